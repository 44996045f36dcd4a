// SPDX-License-Identifier: Apache-2.0
/* The block cache: blocks that are pinned, and blocks that are kept compressed. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/fix_cache.h"
#include "tiers/blockcache.h"

#define MIB   (1u << 20)
#define BLOCK CACHE_BLOCK

/* ---- pins ---- */

/* Scans of any length and any number of other hot blocks leave them where they are. */
static void test_pins_stay(void **state)
{
	const unsigned pinned = 8 * MIB / BLOCK / 2;
	struct blockcache *cache;

	(void)state;
	assert_int_equal(blockcache_new(&cache, 8 * MIB), 0);
	for (unsigned i = 0; i < pinned; i++)
		assert_int_equal(cache_pin(cache, i, BLOCK, 1), 0);
	for (unsigned i = 0; i < 20 * pinned; i++)
		cache_touch(cache, 100000 + i);
	for (unsigned round = 0; round < 8; round++)
		for (unsigned i = 0; i < 2 * pinned; i++)
			cache_touch(cache, 200000 + i);
	for (unsigned i = 0; i < pinned; i++) {
		assert_true(blockcache_pinned(cache, i, 0));
		assert_int_equal(cache_touch(cache, i), 1);
	}
	assert_true(cache_stats(cache).bytes <= 8 * MIB);
	assert_in_range(cache_stats(cache).pinned, 4 * MIB, 4 * MIB + pinned * 256);
	blockcache_free(cache);
}

/* The others go on: hot ones among them are kept in what pins leave. */
static void test_pins_leave_room(void **state)
{
	struct blockcache *cache;
	unsigned n = 0, kept = 0;

	(void)state;
	for (unsigned size = 8; size <= 64; size *= 8) {
		assert_int_equal(blockcache_new(&cache, size * MIB), 0);
		for (n = 0; cache_pin(cache, n, BLOCK, 1) == 0;)
			n++;
		assert_int_equal(cache_pin(cache, n, BLOCK, 1), -ENOSPC);
		assert_true(cache_stats(cache).pinned <= size * MIB / 4 * 3);
		assert_true(cache_stats(cache).pinned >= size * MIB / 10 * 7);
		atomic_store(&cache_fills, 0);
		assert_int_equal(cache_pin(cache, n, BLOCK, 1), -ENOSPC);
		assert_int_equal(atomic_load(&cache_fills), 0);
		for (unsigned round = 0; round < 4; round++)
			for (unsigned i = 0; i < size; i++)
				cache_touch(cache, 50000 + i);
		for (unsigned i = 0; i < 100 * size; i++)
			cache_touch(cache, 100000 + i);
		for (unsigned i = kept = 0; i < size; i++)
			kept += (unsigned)cache_touch(cache, 50000 + i);
		assert_int_equal(kept, size);
		assert_true(cache_stats(cache).bytes <= size * MIB);
		blockcache_free(cache);
	}
}

static void test_pins_go_by_mark(void **state)
{
	struct blockcache *cache;

	(void)state;
	assert_int_equal(blockcache_new(&cache, 8 * MIB), 0);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(cache_pin(cache, i, BLOCK, 1), 0);
	for (unsigned i = 0; i < 100; i += 2)
		assert_int_equal(cache_pin(cache, i, BLOCK, 2), 0);
	blockcache_unpin_others(cache, 2);
	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(blockcache_pinned(cache, i, 0), i % 2 == 0);
		assert_int_equal(cache_touch(cache, i), 1);
	}
	blockcache_resize(cache, MIB / 5 * 6);
	assert_in_range(cache_stats(cache).blocks, 50, MIB / 5 * 6 / BLOCK);
	assert_int_equal(cache_touch(cache, 1), 0);
	assert_int_equal(cache_touch(cache, 2), 1);
	blockcache_resize(cache, 8 * MIB);
	/* Dropped: the room is there again. */
	for (unsigned i = 0; i < 100; i++)
		blockcache_drop(cache, i, 1);
	assert_int_equal(cache_stats(cache).pinned, 0);
	assert_int_equal(cache_pin(cache, 5, MIB, 3), 0);
	blockcache_drop_all(cache);
	assert_int_equal(cache_stats(cache).pinned, 0);
	assert_int_equal(cache_pin(cache, 6, MIB + 64, 3), -ENOSPC);
	blockcache_free(cache);
}

/* A lower limit keeps the bound, and takes off no more than it must. */
static void test_pins_and_resize(void **state)
{
	struct blockcache *cache;
	unsigned left = 0;

	(void)state;
	assert_int_equal(blockcache_new(&cache, 128 * MIB), 0);
	for (unsigned i = 0; i < 64 * MIB / BLOCK; i++)
		assert_int_equal(cache_pin(cache, i, BLOCK, 1), 0);
	blockcache_resize(cache, 96 * MIB);
	assert_int_equal(cache_stats(cache).unpinned, 0);
	blockcache_resize(cache, 64 * MIB);
	assert_true(cache_stats(cache).pinned <= 48 * MIB);
	assert_true(cache_stats(cache).pinned >= 45 * MIB);
	assert_true(cache_stats(cache).bytes <= 64 * MIB);
	for (unsigned i = 0; i < 64 * MIB / BLOCK; i++)
		left += blockcache_pinned(cache, i, 0);
	assert_int_equal(left + cache_stats(cache).unpinned, 64 * MIB / BLOCK);
	blockcache_resize(cache, 0);
	assert_int_equal(cache_stats(cache).pinned, 0);
	blockcache_free(cache);
}

/* ---- packed blocks ---- */

/* Blocks that no codec makes smaller. */
static int fill_noise(void *arg, void *buf, size_t len)
{
	const struct cache_key *key = arg;
	uint64_t x = cache_word(key->frame, key->index) | 1, *words = buf;

	for (size_t i = 0; i < len / 8; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		words[i] = x;
	}
	atomic_fetch_add(&cache_fills, 1);
	return 0;
}

/* Touches [from, to), slowly enough for the packer. */
static void touch_packing(struct blockcache *cache, unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++) {
		cache_touch(cache, i);
		if (i % 8 == 0)
			usleep(2000);
	}
}

static void test_packed(void **state)
{
	const unsigned capacity = 8 * MIB / BLOCK;
	struct blockcache_stats now;
	struct blockcache *cache;
	unsigned kept = 0;

	(void)state;
	assert_int_equal(blockcache_new(&cache, 8 * MIB), 0);
	assert_int_equal(blockcache_pack(cache, true), 0);
	touch_packing(cache, 0, capacity / 4 * 3);
	assert_int_equal(cache_stats(cache).packed, 0); /* there is room: nothing is packed */
	touch_packing(cache, capacity / 4 * 3, 4 * capacity);
	now = cache_stats(cache);
	assert_true(now.blocks > 3 * capacity);
	assert_true(now.packed > 2 * capacity);
	assert_true(now.bytes <= now.limit);
	atomic_store(&cache_fills, 0);
	for (unsigned i = 0; i < 4 * capacity; i++) /* the bytes are compared */
		kept += (unsigned)cache_touch(cache, i);
	now = cache_stats(cache);
	assert_true(kept > 3 * capacity);
	assert_int_equal(kept + atomic_load(&cache_fills), 4 * capacity);
	assert_true(now.unpacked > capacity);
	assert_true(now.bytes <= now.limit);
	/* Pinned, it is decoded first. */
	assert_int_equal(cache_pin(cache, 1, BLOCK, 1), 0);
	assert_true(blockcache_pinned(cache, 1, 0));
	for (unsigned i = 0; i < 4 * capacity; i++)
		blockcache_drop(cache, i, 1);
	assert_int_equal(cache_stats(cache).blocks, 0);
	blockcache_free(cache);
}

/* What is dropped, or used, while it is being packed. */
static void test_packed_meanwhile(void **state)
{
	struct blockcache *cache;

	(void)state;
	srand(9);
	assert_int_equal(blockcache_new(&cache, 8 * MIB), 0);
	assert_int_equal(blockcache_pack(cache, true), 0);
	for (unsigned i = 100; i < 30000; i++) {
		cache_touch(cache, i);
		blockcache_drop(cache, i - (unsigned)rand() % 100, 1);
		cache_touch(cache, i - (unsigned)rand() % 100);
	}
	assert_true(cache_stats(cache).packed > 0);
	assert_true(cache_stats(cache).bytes <= 8 * MIB);
	blockcache_free(cache);
}

static void test_packed_off(void **state)
{
	const unsigned capacity = 8 * MIB / BLOCK;
	struct blockcache *cache;

	(void)state;
	assert_int_equal(blockcache_new(&cache, 8 * MIB), 0);
	assert_int_equal(blockcache_pack(cache, true), 0);
	assert_int_equal(blockcache_pack(cache, true), 0);
	touch_packing(cache, 0, 2 * capacity);
	assert_true(cache_stats(cache).packed > 0);
	assert_int_equal(blockcache_pack(cache, false), 0);
	for (unsigned i = 0; i < 4 * capacity; i++)
		cache_touch(cache, 100000 + i);
	assert_int_equal(cache_stats(cache).packed, 0);
	assert_true(cache_stats(cache).bytes <= 8 * MIB);
	blockcache_free(cache);
}

/* What does not shrink stays as it is, and a hit decodes nothing. */
static void test_packed_noise(void **state)
{
	const unsigned capacity = 8 * MIB / BLOCK;
	struct blockcache *cache;
	unsigned hits = 0;

	(void)state;
	assert_int_equal(blockcache_new(&cache, 8 * MIB), 0);
	assert_int_equal(blockcache_pack(cache, true), 0);
	for (unsigned i = 0; i < 3 * capacity; i++) {
		struct cache_key key = {i / 2, 0, 0}, want = {i / 2, 0, 0};
		uint8_t bytes[BLOCK];
		struct cached_block *block;
		int hit;

		assert_int_equal(
			blockcache_get(cache, key.frame, 0, BLOCK, fill_noise, &key, &block, &hit),
			0);
		fill_noise(&want, bytes, BLOCK);
		assert_memory_equal(cached_block_data(block), bytes, BLOCK);
		cached_block_put(block);
		hits += (unsigned)hit;
		if (i % 16 == 0)
			usleep(2000);
	}
	assert_int_equal(hits, 3 * capacity / 2);
	assert_true(cache_stats(cache).blocks > capacity / 10 * 9);
	assert_int_equal(cache_stats(cache).unpacked, 0);
	assert_true(cache_stats(cache).bytes <= 8 * MIB);
	blockcache_free(cache);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pins_stay),	cmocka_unit_test(test_pins_leave_room),
		cmocka_unit_test(test_pins_go_by_mark), cmocka_unit_test(test_pins_and_resize),
		cmocka_unit_test(test_packed),		cmocka_unit_test(test_packed_meanwhile),
		cmocka_unit_test(test_packed_off),	cmocka_unit_test(test_packed_noise),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
