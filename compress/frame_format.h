/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where things are in a stored frame: terrace-format(5), section FRAMES, in numbers. Only frame*.c
 * and the tests that make damaged frames include this; everyone else sees frame.h.
 */
#ifndef TERRACE_COMPRESS_FRAME_FORMAT_H
#define TERRACE_COMPRESS_FRAME_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#include "compress/bytes.h"
#include "compress/checksum.h"
#include "compress/frame.h"

#define FRAME_MAGIC    0x72665254u /* "TRfr" */
#define FRAME_VERSION  1u
#define FRAME_INCOMPAT 0u /* feature bits this program knows */

enum frame_field { /* offset in the header */
		   FRAME_AT_MAGIC = 0,
		   FRAME_AT_VERSION = 4,
		   FRAME_AT_RESERVED16 = 6,
		   FRAME_AT_INCOMPAT = 8,
		   FRAME_AT_COMPAT = 12,
		   FRAME_AT_HEADER_LEN = 16,
		   FRAME_AT_STORED_LEN = 20,
		   FRAME_AT_RAW_LEN = 24,
		   FRAME_AT_BLOCK_SIZE = 28,
		   FRAME_AT_NBLOCKS = 32,
		   FRAME_AT_NEXTENTS = 36,
		   FRAME_AT_CODEC = 40,
		   FRAME_AT_LEVEL = 41,
		   FRAME_AT_RESERVED42 = 42,
		   FRAME_AT_FILTERS = 44,
		   FRAME_AT_DICTIONARY = 48,
		   FRAME_AT_BASE = 56,
		   FRAME_AT_ID = 64,
		   FRAME_AT_RESERVED72 = 72,
		   FRAME_AT_RESERVED80 = 80,
		   FRAME_AT_CHECKSUM = 88,
};

enum frame_block_field { /* offset in a block's entry */
			 FRAME_BLOCK_AT_STORED_LEN = 0,
			 FRAME_BLOCK_AT_CODEC =
				 4, /* with the reserved bytes behind it one 32-bit word */
			 FRAME_BLOCK_AT_CHECKSUM = 8,
			 FRAME_BLOCK_ENTRY = 16,
};

enum frame_extent_field { /* offset in an extent's entry */
			  FRAME_EXTENT_AT_OBJECT = 0,
			  FRAME_EXTENT_AT_GENERATION = 8,
			  FRAME_EXTENT_AT_LENGTH = 12,
			  FRAME_EXTENT_AT_OFFSET = 16,
			  FRAME_EXTENT_ENTRY = 24,
};

#define FRAME_HEADER_MAX                                          \
	(FRAME_FIXED_LEN + FRAME_BLOCKS_MAX * FRAME_BLOCK_ENTRY + \
	 FRAME_EXTENTS_MAX * FRAME_EXTENT_ENTRY)

_Static_assert(FRAME_AT_CHECKSUM + 8 == FRAME_FIXED_LEN, "the checksum ends the fixed header");
_Static_assert(FRAME_BLOCK_AT_CHECKSUM + 8 == FRAME_BLOCK_ENTRY, "block entry");
_Static_assert(FRAME_EXTENT_AT_OFFSET + 8 == FRAME_EXTENT_ENTRY, "extent entry");
_Static_assert(FRAME_HEADER_MAX == 200800, "terrace-format(5) names this number");
_Static_assert(FRAME_HEADER_MAX + FRAME_RAW_MAX < UINT32_MAX / 2, "lengths are 32 bits");

/* The checksum that belongs at FRAME_AT_CHECKSUM. */
static inline uint64_t frame_header_checksum(const uint8_t *frame, uint32_t header_len)
{
	return checksum64_seed(frame + FRAME_FIXED_LEN, header_len - FRAME_FIXED_LEN,
			       checksum64(frame, FRAME_AT_CHECKSUM));
}

#endif
