// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/fix_cache.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

atomic_uint cache_fills;

uint64_t cache_word(uint64_t frame, uint32_t index)
{
	return frame * 1000003u + index;
}

int cache_fill(void *arg, void *buf, size_t len)
{
	const struct cache_key *key = arg;
	uint64_t word = cache_word(key->frame, key->index);

	atomic_fetch_add(&cache_fills, 1);
	for (size_t at = 0; at + 8 <= len; at += 8)
		memcpy((uint8_t *)buf + at, &word, 8);
	return key->error;
}

bool cache_block_is(const struct cached_block *block, uint64_t frame, uint32_t index, size_t len)
{
	uint64_t word = cache_word(frame, index);
	const uint8_t *data = cached_block_data(block);

	return memcmp(data, &word, 8) == 0 && memcmp(data + (len / 8 - 1) * 8, &word, 8) == 0;
}

int cache_touch_len(struct blockcache *cache, uint64_t frame, uint32_t index, size_t len)
{
	struct cache_key key = {frame, index, 0};
	struct cached_block *block;
	int hit = -1;

	assert_int_equal(blockcache_get(cache, frame, index, len, cache_fill, &key, &block, &hit),
			 0);
	assert_true(cache_block_is(block, frame, index, len));
	cached_block_put(block);
	return hit;
}

int cache_touch(struct blockcache *cache, uint64_t frame)
{
	return cache_touch_len(cache, frame, 0, CACHE_BLOCK);
}

struct blockcache_stats cache_stats(struct blockcache *cache)
{
	struct blockcache_stats out;

	blockcache_stats(cache, &out);
	return out;
}

int cache_pin(struct blockcache *cache, uint64_t frame, size_t len, uint16_t mark)
{
	struct cache_key key = {frame, 0, 0};

	return blockcache_pin(cache, frame, 0, len, cache_fill, &key, mark);
}
