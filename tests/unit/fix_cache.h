/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of the block cache: blocks of which every 8-byte word says whose they are. */
#ifndef TERRACE_TESTS_FIX_CACHE_H
#define TERRACE_TESTS_FIX_CACHE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tiers/blockcache.h"

#define CACHE_BLOCK 16384u /* of cache_touch() */

struct cache_key {
	uint64_t frame;
	uint32_t index;
	int error; /* what the fill returns */
};

extern atomic_uint cache_fills; /* how often something was filled */

uint64_t cache_word(uint64_t frame, uint32_t index);
int cache_fill(void *key, void *buf, size_t len);
bool cache_block_is(const struct cached_block *block, uint64_t frame, uint32_t index, size_t len);
/* Gets and puts; returns 1 for a hit. Fails the test where the bytes are wrong. */
int cache_touch_len(struct blockcache *cache, uint64_t frame, uint32_t index, size_t len);
int cache_touch(struct blockcache *cache, uint64_t frame); /* block 0 */
int cache_pin(struct blockcache *cache, uint64_t frame, size_t len, uint16_t mark);
struct blockcache_stats cache_stats(struct blockcache *cache);

#endif
