// SPDX-License-Identifier: Apache-2.0
/* Objects pinned to memory: they are decoded, stay through scans, flushes and moves, come back
 * after a restart, and leave when the pin does. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/fix_pool.h"
#include "tiers/engine/engine.h"
#include "tiers/object.h"
#include "tiers/pool_impl.h"
#include "tiers/resident.h"

#define MIB (1u << 20)
#define RAM (32u * MIB)

struct fixture {
	struct fix_pool pool;
	struct object *object; /* 4 MiB */
	uint64_t pinned;       /* its id, or 0 */
	uint8_t *bytes;	       /* what it holds */
};

static void policy(void *arg, uint64_t object, uint32_t age_s, struct object_policy *out)
{
	struct fixture *fix = arg;

	(void)age_s;
	out->pin = object == fix->pinned ? 0 : -1;
}

static void hook(struct fixture *fix)
{
	pool_hooks_set(fix->pool.pool, &(struct pool_hooks){.policy = policy, .arg = fix});
}

static struct object *object_make(struct fixture *fix, size_t len)
{
	struct txn *txn = txn_begin(fix->pool.pool);
	struct object *object;

	assert_int_equal(object_create(txn, "a", 1, &object), 0);
	assert_int_equal(txn_commit(txn), 0);
	for (size_t at = 0; at < len; at += MIB) {
		assert_int_equal(object_write(object, fix->bytes + at, MIB, at), 0);
		if (at % (8 * MIB) == 0)
			assert_int_equal(pool_sync(fix->pool.pool), 0);
	}
	assert_int_equal(pool_sync(fix->pool.pool), 0);
	return object;
}

static int setup(void **state)
{
	struct fixture *fix = calloc(1, sizeof(*fix));

	fix->bytes = malloc(32 * MIB);
	srand(3);
	for (size_t i = 0; i < 32 * MIB; i += 4)
		memcpy(fix->bytes + i, &(int){rand() & 0xffff}, 4);
	fix_pool_new(&fix->pool, RAM, false);
	hook(fix);
	fix->object = object_make(fix, 4 * MIB);
	*state = fix;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fix = *state;

	object_put(fix->object);
	fix_pool_verify(&fix->pool);
	fix_pool_free(&fix->pool);
	free(fix->bytes);
	free(fix);
	return 0;
}

/* Reads it all; true if nothing came from a medium. */
static bool in_memory(struct fixture *fix, struct object *object, size_t len)
{
	uint64_t misses = fix->pool.pool->ram_misses;
	uint8_t *buf = malloc(len);
	size_t got;

	assert_int_equal(object_read(object, buf, len, 0, &got), 0);
	assert_int_equal(got, len);
	assert_memory_equal(buf, fix->bytes, len);
	free(buf);
	return fix->pool.pool->ram_misses == misses;
}

/* What a scan of much more than the memory leaves of others. */
static void scan(struct fixture *fix)
{
	struct object *large = object_make(fix, 32 * MIB);

	for (unsigned i = 0; i < 2; i++)
		in_memory(fix, large, 32 * MIB);
	object_put(large);
}

static uint64_t resident_of(struct fixture *fix)
{
	struct resident_stats stats;

	resident_stats(fix->pool.pool, &stats);
	assert_int_equal(stats.missing, 0);
	return stats.bytes;
}

static int add_resident(void *arg, const struct object_extent *extent)
{
	*(uint64_t *)arg += extent->resident;
	return 0;
}

static void pin(struct fixture *fix)
{
	fix->pinned = object_id(fix->object);
	assert_int_equal(resident_load(fix->pool.pool, fix->object, NULL), 0);
}

static void test_stays_through_a_scan(void **state)
{
	struct move_progress progress = {0};
	struct fixture *fix = *state;
	uint64_t bytes = 0;

	in_memory(fix, fix->object, 4 * MIB);
	scan(fix);
	assert_false(in_memory(fix, fix->object, 4 * MIB));
	fix->pinned = object_id(fix->object);
	assert_int_equal(resident_load(fix->pool.pool, fix->object, &progress), 0);
	assert_int_equal(progress.bytes_total, 4 * MIB);
	assert_int_equal(progress.bytes_done, 4 * MIB);
	scan(fix);
	assert_true(in_memory(fix, fix->object, 4 * MIB));
	assert_int_equal(object_extents(fix->object, add_resident, &bytes), 0);
	assert_int_equal(bytes, 4 * MIB);
}

/* Written and flushed: the new frames are read back, and the old ones' pins do not stay. */
static void test_follows_flushes(void **state)
{
	struct fixture *fix = *state;
	struct blockcache_stats before, after;

	pin(fix);
	blockcache_stats(fix->pool.pool->cache, &before);
	for (unsigned i = 0; i < 3; i++) {
		for (size_t at = 0; at < 4 * MIB; at += MIB)
			assert_int_equal(object_write(fix->object, fix->bytes + at, MIB, at), 0);
		assert_int_equal(pool_sync(fix->pool.pool), 0);
		resident_pass(fix->pool.pool);
		assert_int_equal(resident_of(fix), 4 * MIB);
		scan(fix);
		assert_true(in_memory(fix, fix->object, 4 * MIB));
	}
	blockcache_stats(fix->pool.pool->cache, &after);
	assert_int_equal(after.pinned, before.pinned);
}

static void test_follows_moves(void **state)
{
	struct fixture *fix = *state;
	uint64_t id = object_id(fix->object);

	pin(fix);
	for (int to = 2; to >= 1; to--) {
		assert_int_equal(pool_move(fix->pool.pool, &id, 1, to, NULL), 0);
		resident_pass(fix->pool.pool);
		scan(fix);
		assert_true(in_memory(fix, fix->object, 4 * MIB));
	}
}

/* Pinned, and nobody has said so to the tiers: the first read from a medium finds it. */
static void test_found_by_a_read(void **state)
{
	struct fixture *fix = *state;
	uint64_t id = object_id(fix->object);

	fix->pinned = id;
	resident_pass(fix->pool.pool);
	assert_int_equal(resident_of(fix), 0);
	object_put(fix->object);
	fix_pool_close(&fix->pool);
	fix_pool_open(&fix->pool);
	assert_int_equal(object_get(fix->pool.pool, id, &fix->object), 0);
	resident_pass(fix->pool.pool); /* no hooks yet: nobody is asked, nothing is let go */
	hook(fix);
	in_memory(fix, fix->object, MIB);
	resident_pass(fix->pool.pool);
	assert_int_equal(resident_of(fix), 4 * MIB);
	scan(fix);
	assert_true(in_memory(fix, fix->object, 4 * MIB));
}

static void test_leaves_with_the_pin(void **state)
{
	struct fixture *fix = *state;
	struct blockcache_stats cache;

	pin(fix);
	fix->pinned = 0;
	resident_pass(fix->pool.pool);
	assert_int_equal(resident_of(fix), 0);
	blockcache_stats(fix->pool.pool->cache, &cache);
	assert_int_equal(cache.pinned, 0);
	pin(fix);
	assert_int_equal(object_truncate(fix->object, 0), 0);
	resident_pass(fix->pool.pool);
	assert_int_equal(resident_of(fix), 0);
	blockcache_stats(fix->pool.pool->cache, &cache);
	assert_int_equal(cache.pinned, 0);
}

/* Part of its blocks are shared with another object that stays: deleting takes its pins off. */
static void test_leaves_when_deleted(void **state)
{
	struct fixture *fix = *state;
	struct object *other = object_make(fix, 0);
	struct blockcache_stats cache;
	struct txn *txn;
	uint64_t done;

	pin(fix);
	assert_int_equal(object_clone(fix->object, 0, other, 0, 4 * MIB, &done), 0);
	txn = txn_begin(fix->pool.pool);
	assert_int_equal(object_delete(txn, fix->object), 0);
	assert_int_equal(txn_commit(txn), 0);
	object_put(fix->object);
	fix->object = other;
	assert_int_equal(pool_sync(fix->pool.pool), 0);
	resident_pass(fix->pool.pool);
	blockcache_stats(fix->pool.pool->cache, &cache);
	assert_int_equal(cache.pinned, 0);
	assert_int_equal(resident_of(fix), 0);
	in_memory(fix, other, 4 * MIB);
}

/* More than memory may hold: as much as goes, and it is said; with more memory, the rest. */
static void test_more_than_fits(void **state)
{
	struct fixture *fix = *state;
	struct blockcache *cache = fix->pool.pool->cache;
	struct blockcache_stats now;
	struct resident_stats stats;
	struct object *large = object_make(fix, 32 * MIB);

	fix->pinned = object_id(large);
	blockcache_resize(cache, 24 * MIB);
	assert_int_equal(resident_load(fix->pool.pool, large, NULL), -ENOSPC);
	resident_stats(fix->pool.pool, &stats);
	assert_int_equal(stats.bytes, 32 * MIB);
	assert_in_range(stats.missing, 14 * MIB, 17 * MIB);
	blockcache_stats(cache, &now);
	assert_in_range(now.pinned, 16 * MIB, 18 * MIB);
	in_memory(fix, large, 32 * MIB);
	blockcache_resize(cache, 64 * MIB);
	resident_pass(fix->pool.pool);
	assert_true(in_memory(fix, large, 32 * MIB));
	resident_stats(fix->pool.pool, &stats);
	assert_int_equal(stats.missing, 0);
	object_put(large);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_stays_through_a_scan, setup, teardown),
		cmocka_unit_test_setup_teardown(test_follows_flushes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_follows_moves, setup, teardown),
		cmocka_unit_test_setup_teardown(test_found_by_a_read, setup, teardown),
		cmocka_unit_test_setup_teardown(test_leaves_with_the_pin, setup, teardown),
		cmocka_unit_test_setup_teardown(test_leaves_when_deleted, setup, teardown),
		cmocka_unit_test_setup_teardown(test_more_than_fits, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
