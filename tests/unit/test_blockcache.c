// SPDX-License-Identifier: Apache-2.0
/* The block cache: what is kept, what it may take, one fill per key, many threads. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/fix_cache.h"
#include "tiers/blockcache.h"

#define MIB   (1u << 20)
#define BLOCK CACHE_BLOCK

static void test_hit_and_miss(void **state)
{
	struct blockcache *cache;

	(void)state;
	assert_int_equal(blockcache_new(&cache, 8 * MIB), 0);
	atomic_store(&cache_fills, 0);
	assert_int_equal(cache_touch_len(cache, 1, 0, BLOCK), 0);
	assert_int_equal(cache_touch_len(cache, 1, 1, 100), 0);
	assert_int_equal(cache_touch_len(cache, 2, 0, MIB), 0);
	assert_int_equal(cache_touch_len(cache, 1, 0, BLOCK), 1);
	assert_int_equal(cache_touch_len(cache, 1, 1, 100), 1);
	assert_int_equal(cache_touch_len(cache, 2, 0, MIB), 1);
	assert_int_equal(atomic_load(&cache_fills), 3);
	assert_int_equal(cache_stats(cache).hits, 3);
	assert_int_equal(cache_stats(cache).misses, 3);
	assert_int_equal(cache_stats(cache).blocks, 3);
	assert_in_range(cache_stats(cache).bytes, MIB + BLOCK + 100, MIB + 2 * BLOCK + 8192);
	blockcache_free(cache);
}

/* A copy of what is there, a small one and one that is made without the lock; what is not there, or
 * is to be noticed where it comes from, is left to the caller. */
static void test_copy(void **state)
{
	struct cache_key key = {7, 0, 0};
	struct cached_block *block;
	struct blockcache *cache;
	uint8_t buf[BLOCK];
	size_t got;

	(void)state;
	assert_int_equal(blockcache_new(&cache, 8 * MIB), 0);
	assert_int_equal(blockcache_copy(cache, 7, 0, buf, 8, 0, 3600, &got), -ENOENT);
	assert_int_equal(cache_stats(cache).misses, 0);
	assert_int_equal(blockcache_get(cache, 7, 0, BLOCK, cache_fill, &key, &block, NULL), 0);
	assert_int_equal(cached_block_len(block), BLOCK);
	for (size_t len = 100; len <= BLOCK; len += BLOCK - 100) {
		memset(buf, 0, sizeof(buf));
		assert_int_equal(blockcache_copy(cache, 7, 0, buf, len, 0, 3600, &got), 0);
		assert_int_equal(got, len);
		assert_memory_equal(buf, cached_block_data(block), len);
	}
	assert_int_equal(blockcache_copy(cache, 7, 0, buf, 100, BLOCK - 8, 3600, &got), 0);
	assert_int_equal(got, 8);
	assert_memory_equal(buf, (const uint8_t *)cached_block_data(block) + BLOCK - 8, 8);
	assert_int_equal(blockcache_copy(cache, 7, 0, buf, 8, BLOCK, 3600, &got), 0);
	assert_int_equal(got, 0);
	assert_int_equal(cache_stats(cache).hits, 4);
	assert_int_equal(blockcache_copy(cache, 7, 0, buf, 8, 0, 0, &got), -EAGAIN);
	assert_int_equal(cache_stats(cache).hits, 4);
	cached_block_put(block);
	blockcache_drop(cache, 7, 1);
	assert_int_equal(blockcache_copy(cache, 7, 0, buf, 8, 0, 3600, &got), -ENOENT);
	blockcache_free(cache);
}

static void test_alignment_and_every_size(void **state)
{
	struct blockcache *cache;

	(void)state;
	assert_int_equal(blockcache_new(&cache, 64 * MIB), 0);
	for (uint32_t len = 8; len <= MIB; len += 8 + len / 16) {
		struct cache_key key = {len, 0, 0};
		struct cached_block *block;

		assert_int_equal(blockcache_get(cache, len, 0, len, cache_fill, &key, &block, NULL),
				 0);
		assert_int_equal((uintptr_t)cached_block_data(block) % 64, 0);
		cached_block_put(block);
	}
	for (uint32_t len = 8; len <= MIB; len += 8 + len / 16)
		assert_int_equal(cache_touch_len(cache, len, 0, len), 1);
	blockcache_free(cache);
}

static void test_errors_are_not_kept(void **state)
{
	struct cache_key key = {5, 0, -EBADMSG};
	struct cached_block *block;
	struct blockcache *cache;
	int hit = -1;

	(void)state;
	assert_int_equal(blockcache_new(&cache, 8 * MIB), 0);
	assert_int_equal(blockcache_get(cache, 5, 0, BLOCK, cache_fill, &key, &block, &hit),
			 -EBADMSG);
	assert_null(block);
	assert_int_equal(hit, 0);
	assert_int_equal(cache_stats(cache).blocks, 0);
	assert_int_equal(cache_touch(cache, 5), 0);
	assert_int_equal(cache_touch(cache, 5), 1);
	blockcache_free(cache);
}

/* What was touched again survives a scan of ten times the cache; LRU would keep none of it. */
static void test_scan_resistance(void **state)
{
	const unsigned hot = 8 * MIB / BLOCK / 2;
	struct blockcache *cache;
	unsigned kept = 0;

	(void)state;
	assert_int_equal(blockcache_new(&cache, 8 * MIB), 0);
	for (unsigned round = 0; round < 4; round++)
		for (unsigned i = 0; i < hot; i++)
			cache_touch(cache, i);
	for (unsigned i = 0; i < 20 * hot; i++)
		assert_int_equal(cache_touch(cache, 1000000 + i), 0);
	for (unsigned i = 0; i < hot; i++)
		kept += (unsigned)cache_touch(cache, i);
	assert_int_equal(kept, hot);
	blockcache_free(cache);
}

/* What small gave up and is asked for again goes to main at once and outlives the next scan. */
static void test_ghost_remembers(void **state)
{
	const unsigned capacity = 8 * MIB / BLOCK;
	struct blockcache *cache;

	(void)state;
	assert_int_equal(blockcache_new(&cache, 8 * MIB), 0);
	for (unsigned i = 0; i < capacity + 100; i++)
		cache_touch(cache, i);
	assert_int_equal(cache_touch(cache, 0), 0); /* evicted, remembered */
	assert_int_equal(cache_touch(cache, 0), 1);
	for (unsigned i = 0; i < capacity; i++)
		cache_touch(cache, 5000 + i);
	assert_int_equal(cache_touch(cache, 0), 1);
	assert_int_equal(cache_touch(cache, 99), 0);
	blockcache_free(cache);
}

/* What is in use stays in main while others pass through it: main gives a second chance. */
static void test_main_gives_a_second_chance(void **state)
{
	const unsigned hot = 100, capacity = 8 * MIB / BLOCK;
	struct blockcache *cache;

	(void)state;
	assert_int_equal(blockcache_new(&cache, 8 * MIB), 0);
	for (unsigned i = 0; i < 6 * capacity; i++) {
		int hit = cache_touch(cache, i % hot);

		for (unsigned times = 0; times < 4; times++)
			cache_touch(cache, 1000 + i); /* into main, each of them */
		/* While main cache_fills for the first time everything in it is new and may go. */
		if (i > 2 * capacity)
			assert_int_equal(hit, 1);
	}
	blockcache_free(cache);
}

/* Ghosts take memory too: there are never more than main has blocks. */
static void test_ghosts_are_bounded(void **state)
{
	struct blockcache *cache;

	(void)state;
	assert_int_equal(blockcache_new(&cache, 8 * MIB), 0);
	for (unsigned i = 0; i < 100000; i++)
		cache_touch(cache, i);
	assert_in_range(cache_stats(cache).blocks, 490, 512);
	blockcache_free(cache);
}

static void test_limit_holds(void **state)
{
	struct blockcache *cache;
	struct blockcache_stats now;

	(void)state;
	srand(5);
	assert_int_equal(blockcache_new(&cache, 8 * MIB), 0);
	for (unsigned i = 0; i < 20000; i++) {
		size_t len = 8 + (size_t)rand() % (i % 50 ? 60000 : MIB);
		uint64_t frame = (uint64_t)rand() % 3000;

		blockcache_drop(cache, frame, 1);
		cache_touch_len(cache, frame, 0, len);
		if (i % 16 == 0) {
			now = cache_stats(cache);
			assert_true(now.bytes <= now.limit);
		}
	}
	now = cache_stats(cache);
	/* And the memory is used: nine tenths of it hold blocks or wait for them. */
	assert_true(now.bytes > now.limit / 10 * 9);
	blockcache_free(cache);
}

static void test_many_small_ones(void **state)
{
	struct blockcache *cache;
	struct blockcache_stats now;

	(void)state;
	assert_int_equal(blockcache_new(&cache, 48 * MIB), 0);
	for (unsigned i = 0; i < 100000; i++)
		cache_touch_len(cache, i, 0, 256);
	now = cache_stats(cache);
	assert_int_equal(now.blocks, 100000);
	assert_true(now.bytes <= now.limit);
	for (unsigned i = 0; i < 100000; i++)
		assert_int_equal(cache_touch_len(cache, i, 0, 256), 1);
	blockcache_free(cache);
}

static void test_large_blocks_are_not_kept(void **state)
{
	struct blockcache *cache;

	(void)state;
	assert_int_equal(blockcache_new(&cache, 4 * MIB), 0);
	assert_int_equal(cache_touch_len(cache, 1, 0, MIB / 2), 0);
	assert_int_equal(cache_touch_len(cache, 1, 0, MIB / 2), 1);
	assert_int_equal(cache_touch_len(cache, 2, 0, MIB / 2 + 8), 0);
	assert_int_equal(cache_touch_len(cache, 2, 0, MIB / 2 + 8), 0);
	assert_int_equal(cache_touch_len(cache, 3, 0, 3 * MIB), 0);
	assert_true(cache_stats(cache).bytes <= 4 * MIB);
	blockcache_resize(cache, 0);
	assert_int_equal(cache_touch_len(cache, 1, 0, BLOCK), 0);
	assert_int_equal(cache_touch_len(cache, 1, 0, BLOCK), 0);
	assert_int_equal(cache_stats(cache).blocks, 0);
	blockcache_free(cache);
}

/* References outlive eviction, drop and resize, and their bytes stay as they were. */
static void test_references_keep_bytes(void **state)
{
	struct cached_block *held[40];
	struct blockcache *cache;

	(void)state;
	assert_int_equal(blockcache_new(&cache, 8 * MIB), 0);
	for (unsigned i = 0; i < 40; i++) {
		struct cache_key key = {i, 0, 0};

		assert_int_equal(
			blockcache_get(cache, i, 0, BLOCK, cache_fill, &key, &held[i], NULL), 0);
	}
	for (unsigned i = 0; i < 20; i++)
		blockcache_drop(cache, i, 1);
	assert_int_equal(cache_touch(cache, 3), 0);
	for (unsigned i = 0; i < 2000; i++)
		cache_touch(cache, 100 + i);
	blockcache_drop_all(cache);
	assert_int_equal(cache_stats(cache).blocks, 0);
	for (unsigned i = 0; i < 500; i++)
		cache_touch(cache, 100 + i);
	for (unsigned i = 0; i < 40; i++) {
		assert_true(cache_block_is(held[i], i, 0, BLOCK));
		cached_block_put(held[i]);
	}
	assert_true(cache_stats(cache).bytes <= 8 * MIB);
	cached_block_put(NULL);
	blockcache_free(cache);
}

/* References may hold more than the limit; with the last of them the memory is back under it. */
static void test_held_beyond_the_limit(void **state)
{
	struct cached_block *held[1000];
	struct blockcache *cache;

	(void)state;
	assert_int_equal(blockcache_new(&cache, 8 * MIB), 0);
	for (unsigned i = 0; i < 1000; i++) {
		struct cache_key key = {i, 0, 0};

		assert_int_equal(
			blockcache_get(cache, i, 0, BLOCK, cache_fill, &key, &held[i], NULL), 0);
	}
	assert_true(cache_stats(cache).bytes > 15 * MIB);
	for (unsigned i = 0; i < 1000; i++) {
		assert_true(cache_block_is(held[i], i, 0, BLOCK));
		cached_block_put(held[i]);
	}
	assert_true(cache_stats(cache).bytes <= 8 * MIB);
	blockcache_free(cache);
}

static void test_drop_and_resize(void **state)
{
	struct blockcache *cache;
	uint64_t bytes;

	(void)state;
	assert_int_equal(blockcache_new(&cache, 64 * MIB), 0);
	for (uint32_t i = 0; i < 256; i++)
		cache_touch_len(cache, 7, i, 65536);
	cache_touch(cache, 8);
	bytes = cache_stats(cache).bytes;
	blockcache_drop(cache, 7, 256);
	assert_int_equal(cache_stats(cache).blocks, 1);
	assert_true(cache_stats(cache).bytes < bytes - 8 * MIB);
	assert_int_equal(cache_touch(cache, 8), 1);
	assert_int_equal(cache_touch_len(cache, 7, 3, 65536), 0);
	for (unsigned i = 0; i < 5000; i++)
		cache_touch(cache, i);
	blockcache_peak_reset(cache);
	bytes = cache_stats(cache).bytes;
	blockcache_resize(cache, 16 * MIB);
	assert_true(cache_stats(cache).bytes <= 16 * MIB);
	assert_int_equal(cache_stats(cache).peak, bytes);
	blockcache_peak_reset(cache);
	assert_true(cache_stats(cache).peak <= 16 * MIB);
	assert_in_range(cache_stats(cache).blocks, 800, 1024);
	blockcache_resize(cache, 128 * MIB);
	for (unsigned i = 0; i < 5000; i++)
		cache_touch(cache, i);
	assert_int_equal(cache_stats(cache).blocks, 5000);
	blockcache_drop_all(cache);
	assert_true(cache_stats(cache).bytes < MIB);
	blockcache_free(cache);
}

static size_t mixed_len(unsigned mix)
{
	static const size_t sizes[] = {4096, 16384, 131072, 131072, 131072, 131072, 77000, 3000};

	switch (mix) {
	case 0:
		return 131072;
	case 1:
		return sizes[rand() % 8];
	case 2: /* full blocks, ends of files, headers */
		return rand() % 3 ? 32768 : 200 + (size_t)rand() % 32000;
	default:
		return 64 + (size_t)rand() % 65000;
	}
}

/* In the long run buffers are used again, also where sizes mix and the cache is small. */
static void test_reuse(void **state)
{
	struct blockcache_stats before, after;
	struct blockcache *cache;
	uint64_t reused;

	(void)state;
	srand(6);
	for (unsigned mix = 0; mix < 4; mix++) {
		for (unsigned size = 4; size <= 32; size *= 2) {
			assert_int_equal(blockcache_new(&cache, size * MIB), 0);
			for (unsigned i = 0; i < 3000; i++)
				cache_touch_len(cache, i, 0, mixed_len(mix));
			before = cache_stats(cache);
			for (unsigned i = 0; i < 10000; i++)
				cache_touch_len(cache, 10000 + i, 0, mixed_len(mix));
			after = cache_stats(cache);
			reused = after.reused - before.reused;
			assert_int_equal(reused + after.allocated - before.allocated, 10000);
			assert_true(reused >= 9500);
			assert_true(after.bytes <= after.limit);
			blockcache_free(cache);
		}
	}
}

/* ---- threads ---- */

struct slow {
	struct blockcache *cache;
	atomic_uint *waiting;
	unsigned threads;
	int error;
};

/* Ends when all the others have asked, or have had time to. */
static int fill_slow(void *arg, void *buf, size_t len)
{
	struct slow *slow = arg;

	atomic_fetch_add(&cache_fills, 1);
	for (unsigned i = 0; i < 200 && atomic_load(slow->waiting) < slow->threads; i++)
		usleep(1000);
	usleep(5000);
	memset(buf, 0x5a, len);
	return slow->error;
}

static void *get_slow(void *arg)
{
	struct slow *slow = arg;
	struct cached_block *block;
	int err;

	atomic_fetch_add(slow->waiting, 1);
	err = blockcache_get(slow->cache, 1, 1, BLOCK, fill_slow, slow, &block, NULL);
	if (!err && ((const uint8_t *)cached_block_data(block))[BLOCK - 1] != 0x5a)
		err = -EIO;
	cached_block_put(block);
	return (void *)(intptr_t)err;
}

static void run_single_flight(int error, unsigned *done, unsigned *failed)
{
	atomic_uint waiting = 0;
	struct slow slow = {.waiting = &waiting, .threads = 12, .error = error};
	pthread_t threads[12];

	*done = *failed = 0;
	atomic_store(&cache_fills, 0);
	assert_int_equal(blockcache_new(&slow.cache, 8 * MIB), 0);
	for (unsigned i = 0; i < 12; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, get_slow, &slow), 0);
	for (unsigned i = 0; i < 12; i++) {
		void *result;

		pthread_join(threads[i], &result);
		*done += (intptr_t)result == 0;
		*failed += (intptr_t)result == error;
	}
	assert_int_equal(cache_stats(slow.cache).hits + cache_stats(slow.cache).misses, 12);
	blockcache_free(slow.cache);
}

static void test_single_flight(void **state)
{
	unsigned done, failed;

	(void)state;
	run_single_flight(0, &done, &failed);
	assert_int_equal(done, 12);
	assert_int_equal(atomic_load(&cache_fills), 1);
	/* All who waited get the error; whoever came after it tries for himself. */
	run_single_flight(-EIO, &done, &failed);
	assert_int_equal(failed, 12);
	assert_in_range(atomic_load(&cache_fills), 1, 12);
}

struct drop_during {
	struct blockcache *cache;
};

static int fill_dropping(void *arg, void *buf, size_t len)
{
	struct drop_during *drop = arg;

	blockcache_drop(drop->cache, 9, 1);
	/* Asked for again meanwhile: a second fill, not a wait for this one. */
	cache_touch_len(drop->cache, 9, 0, len);
	blockcache_drop_all(drop->cache);
	memset(buf, 1, len);
	return 0;
}

static void test_drop_while_filling(void **state)
{
	struct drop_during drop;
	struct cached_block *block;
	int hit;

	(void)state;
	assert_int_equal(blockcache_new(&drop.cache, 8 * MIB), 0);
	assert_int_equal(
		blockcache_get(drop.cache, 9, 0, BLOCK, fill_dropping, &drop, &block, &hit), 0);
	assert_int_equal(hit, 0);
	assert_int_equal(((const uint8_t *)cached_block_data(block))[BLOCK - 1], 1);
	assert_int_equal(cache_stats(drop.cache).blocks, 0);
	cached_block_put(block);
	assert_int_equal(cache_touch(drop.cache, 9), 0);
	blockcache_free(drop.cache);
}

struct hammer {
	struct blockcache *cache;
	unsigned seed;
	unsigned bad;
};

static void *hammer_main(void *arg)
{
	struct hammer *hammer = arg;
	struct cached_block *held[8] = {NULL};
	struct cache_key keys[8] = {{0}};

	for (unsigned i = 0; i < 6000; i++) {
		unsigned slot = i % 8;
		struct cache_key *key = &keys[slot];
		size_t len;
		int err;

		if (held[slot] && !cache_block_is(held[slot], key->frame, key->index, 64))
			hammer->bad++;
		cached_block_put(held[slot]);
		key->frame = (unsigned)rand_r(&hammer->seed) % 200;
		key->index = (unsigned)rand_r(&hammer->seed) % 4;
		key->error = rand_r(&hammer->seed) % 20 == 0 ? -EIO : 0;
		len = 64 + key->frame * 800 % 30000;
		err = blockcache_get(hammer->cache, key->frame, key->index, len, cache_fill, key,
				     &held[slot], NULL);
		if (err && (err != -EIO || held[slot]))
			hammer->bad++;
		if (i % 13 == 0)
			blockcache_pin(hammer->cache, key->frame, key->index, len, cache_fill, key,
				       (uint16_t)(i / 500));
		if (i % 499 == 0)
			blockcache_unpin_others(hammer->cache, (uint16_t)(i / 500));
		if (i % 97 == 0)
			blockcache_drop(hammer->cache, (unsigned)rand_r(&hammer->seed) % 200, 4);
		if (i % 1999 == 0)
			blockcache_drop_all(hammer->cache);
		if (i % 501 == 0)
			blockcache_resize(hammer->cache, (2 + i % 3) * MIB);
	}
	for (unsigned slot = 0; slot < 8; slot++)
		cached_block_put(held[slot]);
	return NULL;
}

static void run_hammer(bool pack)
{
	struct hammer hammers[4] = {0};
	struct blockcache *cache;
	pthread_t threads[4];
	unsigned bad = 0;

	assert_int_equal(blockcache_new(&cache, 40 * MIB), 0);
	if (pack)
		assert_int_equal(blockcache_pack(cache, true), 0);
	for (unsigned i = 0; i < 4; i++) {
		hammers[i] = (struct hammer){.cache = cache, .seed = i + 1};
		assert_int_equal(pthread_create(&threads[i], NULL, hammer_main, &hammers[i]), 0);
	}
	for (unsigned i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		bad += hammers[i].bad;
	}
	assert_int_equal(bad, 0);
	blockcache_resize(cache, 4 * MIB);
	assert_true(cache_stats(cache).bytes <= 4 * MIB);
	assert_true(cache_stats(cache).pinned <= 3 * MIB);
	blockcache_drop_all(cache);
	assert_int_equal(cache_stats(cache).pinned, 0);
	blockcache_free(cache);
}

static void test_hammer(void **state)
{
	(void)state;
	run_hammer(false);
	run_hammer(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hit_and_miss),
		cmocka_unit_test(test_alignment_and_every_size),
		cmocka_unit_test(test_errors_are_not_kept),
		cmocka_unit_test(test_scan_resistance),
		cmocka_unit_test(test_ghost_remembers),
		cmocka_unit_test(test_main_gives_a_second_chance),
		cmocka_unit_test(test_ghosts_are_bounded),
		cmocka_unit_test(test_limit_holds),
		cmocka_unit_test(test_many_small_ones),
		cmocka_unit_test(test_large_blocks_are_not_kept),
		cmocka_unit_test(test_references_keep_bytes),
		cmocka_unit_test(test_held_beyond_the_limit),
		cmocka_unit_test(test_drop_and_resize),
		cmocka_unit_test(test_copy),
		cmocka_unit_test(test_reuse),
		cmocka_unit_test(test_single_flight),
		cmocka_unit_test(test_drop_while_filling),
		cmocka_unit_test(test_hammer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
