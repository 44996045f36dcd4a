/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fixed-width integers in stored bytes. Everything on a medium is little-endian (put_le*, get_le*);
 * metadata keys are big-endian (put_be*, get_be*), so that memcmp order is numeric order.
 * Pointers need no alignment. Pure functions, any thread.
 */
#ifndef TERRACE_COMPRESS_BYTES_H
#define TERRACE_COMPRESS_BYTES_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

#define BYTES_DEFINE(order, bits)                                       \
	static inline void put_##order##bits(void *p, uint##bits##_t v) \
	{                                                               \
		v = hto##order##bits(v);                                \
		memcpy(p, &v, sizeof(v));                               \
	}                                                               \
	static inline uint##bits##_t get_##order##bits(const void *p)   \
	{                                                               \
		uint##bits##_t v;                                       \
		memcpy(&v, p, sizeof(v));                               \
		return order##bits##toh(v);                             \
	}

BYTES_DEFINE(le, 16)
BYTES_DEFINE(le, 32)
BYTES_DEFINE(le, 64)
BYTES_DEFINE(be, 16)
BYTES_DEFINE(be, 32)
BYTES_DEFINE(be, 64)

#undef BYTES_DEFINE

#endif
