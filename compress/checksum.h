/* SPDX-License-Identifier: Apache-2.0 */
/* XXH3 64-bit (libxxhash), the checksum of everything Terrace stores. Pure, any thread. */
#ifndef TERRACE_COMPRESS_CHECKSUM_H
#define TERRACE_COMPRESS_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

uint64_t checksum64(const void *buf, size_t len);
/* Chained: checksum of buf with a seed, so that several pieces can be bound together. */
uint64_t checksum64_seed(const void *buf, size_t len, uint64_t seed);

#endif
