// SPDX-License-Identifier: Apache-2.0
/* Space is given back while others write: frames that are on the medium and not yet committed stay
 * whole. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "tests/unit/fix_pool.h"
#include "tiers/extmap.h"
#include "tiers/framestore.h"
#include "tiers/meta_impl.h"
#include "tiers/pool_impl.h"

#define RAM   (64u << 20)
#define PIECE (64u << 10)

/* Bytes that no codec shrinks. */
static void noise(uint8_t *buf, uint64_t seed)
{
	for (size_t i = 0; i < PIECE; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		buf[i] = (uint8_t)(seed >> 56);
	}
}

/* An object of one frame. */
static struct object *object_make(struct fix_pool *fix, uint64_t seed)
{
	struct txn *txn = txn_begin(fix->pool);
	struct object *object;
	uint8_t buf[PIECE];

	assert_int_equal(object_create(txn, "attr", 4, &object), 0);
	assert_int_equal(txn_commit(txn), 0);
	noise(buf, seed);
	assert_int_equal(object_write(object, buf, sizeof(buf), 0), 0);
	assert_int_equal(object_sync(object), 0);
	return object;
}

static void object_unmake(struct fix_pool *fix, struct object *object)
{
	struct txn *txn = txn_begin(fix->pool);

	assert_int_equal(object_delete(txn, object), 0);
	assert_int_equal(txn_commit(txn), 0);
	object_put(object);
}

static struct frame_build *build_make(struct fix_pool *fix, const uint8_t *buf)
{
	struct frame_build *build;
	uint32_t taken;

	assert_int_equal(frame_build_new(&build, fix->pool, 1), 0);
	assert_int_equal(frame_build_add(build, 1, 0, PIECE, buf, &taken), 0);
	assert_int_equal(taken, PIECE);
	assert_int_equal(frame_build_write(build, workers_thread_scratch()), 0);
	return build;
}

static void reclaim(struct fix_pool *fix)
{
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(pool_cut(fix->pool), 0);
		pool_reclaim(fix->pool);
	}
}

static void test_neighbour_dies(void **state)
{
	struct object *before, *dead, *after;
	struct frame_build *left, *right;
	uint8_t buf[PIECE];
	struct fix_pool fix;

	(void)state;
	fix_pool_new(&fix, RAM, false);
	noise(buf, 99);
	before = object_make(&fix, 1);
	left = build_make(&fix, buf);
	dead = object_make(&fix, 2);
	right = build_make(&fix, buf);
	after = object_make(&fix, 3);
	object_unmake(&fix, dead);
	reclaim(&fix);
	assert_int_equal(frame_verify(left, workers_thread_scratch()), 0);
	assert_int_equal(frame_verify(right, workers_thread_scratch()), 0);
	frame_build_free(left);
	frame_build_free(right);
	object_put(before);
	object_put(after);
	fix_pool_free(&fix);
}

/* The calls of both tiers' media, some of which a test makes its own. */
static const struct tier_ops *real;
static struct tier_ops wrapped;

static void wrap(struct fix_pool *fix)
{
	real = fix->pool->tiers[1].tier->ops;
	wrapped = *real;
	for (unsigned t = 1; t < 3; t++)
		fix->pool->tiers[t].tier->ops = &wrapped;
}

static void unwrap(struct fix_pool *fix)
{
	for (unsigned t = 1; t < 3; t++)
		fix->pool->tiers[t].tier->ops = real;
}

static unsigned punches;

static int counted_punch(struct tier *tier, struct tier_segment seg, uint64_t len, uint64_t off)
{
	punches++;
	return real->punch(tier, seg, len, off);
}

/* What lies side by side goes in one punch, up to what lives, and what is not durably gone. */
static void test_side_by_side(void **state)
{
	struct object *objects[12];
	struct fix_pool fix;
	uint8_t buf[PIECE], want[PIECE];
	size_t got;

	(void)state;
	fix_pool_new(&fix, RAM, false);
	for (unsigned i = 0; i < 12; i++)
		objects[i] = object_make(&fix, i);
	wrap(&fix);
	wrapped.punch = counted_punch;
	punches = 0;
	for (unsigned i = 11; i > 0; i--) /* out of order */
		if (i != 4 && i != 8)
			object_unmake(&fix, objects[i]);
	assert_int_equal(pool_cut(fix.pool), 0);
	pool_reclaim(fix.pool);
	unwrap(&fix);
	assert_int_equal(punches, 3);
	for (unsigned i = 0; i < 12; i += 4) {
		noise(want, i);
		assert_int_equal(object_read(objects[i], buf, PIECE, 0, &got), 0);
		assert_memory_equal(buf, want, PIECE);
		object_put(objects[i]);
	}
	fix_pool_verify_media(&fix, true);
	fix_pool_free(&fix);
}

static _Atomic int punching; /* 1: one has begun; 2: and has ended */

static int slow_punch(struct tier *tier, struct tier_segment seg, uint64_t len, uint64_t off)
{
	int rc;

	punching = 1;
	nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
	rc = real->punch(tier, seg, len, off);
	punching = 2;
	return rc;
}

static void *reclaim_thread(void *arg)
{
	pool_reclaim(arg);
	return NULL;
}

/* A writer that was refused is not told "full" while another thread has the room in its hands. */
static void test_waits_for_who_gives(void **state)
{
	struct object *dead, *after;
	struct fix_pool fix;
	pthread_t thread;

	(void)state;
	fix_pool_new(&fix, RAM, false);
	dead = object_make(&fix, 1);
	after = object_make(&fix, 2);
	wrap(&fix);
	wrapped.punch = slow_punch;
	punching = 0;
	object_unmake(&fix, dead);
	assert_int_equal(pool_cut(fix.pool), 0);
	assert_int_equal(pthread_create(&thread, NULL, reclaim_thread, fix.pool), 0);
	while (!punching)
		nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
	assert_int_equal(pool_free_up(fix.pool), 0);
	assert_int_equal(punching, 2);
	pthread_join(thread, NULL);
	unwrap(&fix);
	object_put(after);
	fix_pool_free(&fix);
}

static void test_segment_empties(void **state)
{
	struct frame_build *build;
	uint8_t buf[PIECE];
	struct fix_pool fix;
	struct object *dead;

	(void)state;
	fix_pool_new(&fix, RAM, false);
	noise(buf, 99);
	dead = object_make(&fix, 1);
	build = build_make(&fix, buf);
	appender_roll(fix.pool->tiers[1].appender); /* as when it is full */
	object_unmake(&fix, dead);
	reclaim(&fix);
	assert_int_equal(frame_verify(build, workers_thread_scratch()), 0);
	frame_build_free(build);
	reclaim(&fix);
	fix_pool_free(&fix);
}

/* The daemon dies when objects are durably gone and their space is not given back yet: nobody knows
 * of it any more but the records of what still lives. */
static void test_killed_before(void **state)
{
	uint64_t ids[40];
	struct pool_usage usage;
	struct fix_pool fix;
	uint8_t buf[PIECE], want[PIECE];
	size_t got;

	(void)state;
	fix_pool_new(&fix, RAM, false);
	for (unsigned i = 0; i < 40; i++) {
		struct object *object = object_make(&fix, i);

		ids[i] = object_id(object);
		object_put(object);
	}
	fix_pool_close(&fix); /* nothing is in the log any more */
	fix_pool_open(&fix);
	for (unsigned i = 0; i < 40; i++) {
		struct object *object;

		if (i % 10 == 3)
			continue;
		assert_int_equal(object_get(fix.pool, ids[i], &object), 0);
		object_unmake(&fix, object);
	}
	assert_int_equal(pool_cut(fix.pool), 0);
	fix_pool_crash(&fix);
	reclaim(&fix);
	pool_usage(fix.pool, &usage);
	assert_true(usage.tiers[1].used < 4 * PIECE + (256 << 10));
	for (unsigned i = 3; i < 40; i += 10) {
		struct object *object;

		noise(want, i);
		assert_int_equal(object_get(fix.pool, ids[i], &object), 0);
		assert_int_equal(object_read(object, buf, PIECE, 0, &got), 0);
		assert_memory_equal(buf, want, PIECE);
		object_put(object);
	}
	fix_pool_verify(&fix);
	fix_pool_verify_media(&fix, true);
	fix_pool_free(&fix);
}

static uint64_t frame_first(struct object *object)
{
	struct extent_list list = {0};
	uint64_t frame;

	assert_int_equal(extmap_list(object, 0, PIECE, 1, &list), 0);
	assert_int_equal(list.count, 1);
	frame = list.items[0].frame;
	extent_list_release(&list);
	return frame;
}

static void put_raw(struct fix_pool *fix, const void *key, size_t key_len, const void *value,
		    size_t len)
{
	struct meta_batch *batch;

	assert_int_equal(meta_batch_new(&batch), 0);
	meta_batch_put(batch, key, key_len, value, len);
	assert_int_equal(meta_apply(fix->pool->meta, batch, NULL), 0);
	meta_batch_free(batch);
}

/* A frame whose record is damaged lives: how far it reaches, nobody knows, so nothing beside it is
 * given back. With its record whole again, it is. A record of a place that is none does not count.
 */
static void test_damaged_neighbour(void **state)
{
	uint8_t key[KEY_LEN_2], odd[KEY_LEN_2 + 1], value[RECORD_FRAME_LEN], buf[PIECE],
		want[PIECE];
	struct object *objects[3], *late;
	struct frame_record record;
	struct fix_pool fix;
	size_t len, got;

	(void)state;
	fix_pool_new(&fix, RAM, false);
	for (unsigned i = 0; i < 3; i++)
		objects[i] = object_make(&fix, i);
	late = object_make(&fix, 3);
	key_1(key, KEY_FRAME, frame_first(objects[1]));
	assert_int_equal(meta_get(fix.pool->meta, key, KEY_LEN_1, value, sizeof(value), &len), 0);
	assert_int_equal(frame_record_decode(value, len, &record), 0);
	put_raw(&fix, key, KEY_LEN_1, value, 3);
	/* One byte too long, and one with a value of no frame's number. */
	key_2(odd, KEY_PLACED, record.segment, record.off + 1);
	odd[KEY_LEN_2] = 0;
	put_raw(&fix, odd, KEY_LEN_2 + 1, value, 8);
	put_raw(&fix, odd, KEY_LEN_2, value, 7);
	wrap(&fix);
	wrapped.punch = counted_punch;
	punches = 0;
	object_unmake(&fix, objects[2]);
	reclaim(&fix);
	assert_int_equal(punches, 0);
	put_raw(&fix, key, KEY_LEN_1, value, RECORD_FRAME_LEN);
	object_unmake(&fix, objects[0]);
	object_unmake(&fix, late);
	reclaim(&fix);
	assert_true(punches > 0);
	unwrap(&fix);
	blockcache_drop(fix.pool->cache, frame_first(objects[1]), 256);
	noise(want, 1);
	assert_int_equal(object_read(objects[1], buf, PIECE, 0, &got), 0);
	assert_memory_equal(buf, want, PIECE);
	object_put(objects[1]);
	fix_pool_free(&fix);
}

/* Who still looks at an object that somebody deletes is told so, and nobody of damage. */
static void test_read_of_deleted(void **state)
{
	struct object *object, *again;
	struct fix_pool fix;
	uint8_t buf[PIECE];
	size_t got;

	(void)state;
	fix_pool_new(&fix, RAM, false);
	object = object_make(&fix, 1);
	assert_int_equal(pool_sync(fix.pool), 0);
	assert_int_equal(object_get(fix.pool, object_id(object), &again), 0);
	object_unmake(&fix, object);
	reclaim(&fix);
	assert_int_equal(object_read(again, buf, sizeof(buf), 0, &got), -ENOENT);
	object_put(again);
	fix_pool_free(&fix);
}

static bool full;
static uint64_t first_id;

static int full_write(struct tier *tier, struct tier_segment seg, const void *buf, size_t len,
		      uint64_t off, enum tier_hint hint)
{
	return full ? -ENOSPC : real->write(tier, seg, buf, len, off, hint);
}

static int freeing_punch(struct tier *tier, struct tier_segment seg, uint64_t len, uint64_t off)
{
	full = full && (seg.id != first_id || off > SEGMENT_HEADER_LEN); /* the first object's */
	return real->punch(tier, seg, len, off);
}

/* The room that something deleted takes is given back before a sync of everything says that there
 * is none. */
static void test_sync_when_full(void **state)
{
	struct object *old, *fresh;
	struct fix_pool fix;
	uint8_t buf[PIECE];

	(void)state;
	fix_pool_new(&fix, RAM, false);
	old = object_make(&fix, 1);
	object_put(object_make(&fix, 2));
	fresh = object_make(&fix, 3);
	noise(buf, 4);
	assert_int_equal(object_write(fresh, buf, sizeof(buf), 0), 0);
	wrap(&fix);
	wrapped.write = full_write;
	wrapped.punch = freeing_punch;
	first_id = fix.pool->next_segment - 1;
	full = true;
	assert_int_equal(pool_sync(fix.pool), -ENOSPC);
	object_unmake(&fix, old);
	assert_int_equal(pool_sync(fix.pool), 0);
	assert_int_equal(fix.pool->dirty_bytes, 0);
	object_put(fresh);
	unwrap(&fix);
	fix_pool_free(&fix);
}

static int no_room(struct meta *meta, const struct meta_batch *batch, uint64_t *seq)
{
	(void)meta;
	(void)batch;
	(void)seq;
	return -ENOSPC;
}

/* What a large object leaves is not forgotten when there is no room for metadata just then. */
static void test_reap_without_room(void **state)
{
	const struct meta_ops *ops;
	struct meta_ops refusing;
	struct pool_usage usage;
	struct object *object;
	struct fix_pool fix;
	uint8_t buf[PIECE];
	struct txn *txn;

	(void)state;
	fix_pool_new(&fix, RAM, false);
	txn = txn_begin(fix.pool);
	assert_int_equal(object_create(txn, "attr", 4, &object), 0);
	assert_int_equal(txn_commit(txn), 0);
	noise(buf, 5);
	for (uint64_t i = 0; i < 200; i++) /* so many extents */
		assert_int_equal(object_write(object, buf, 4096, 8192 * i), 0);
	assert_int_equal(object_sync(object), 0);
	object_unmake(&fix, object);
	ops = fix.pool->meta->ops;
	refusing = *ops;
	refusing.apply = no_room;
	fix.pool->meta->ops = &refusing;
	pool_reap(fix.pool);
	fix.pool->meta->ops = ops;
	pool_usage(fix.pool, &usage);
	assert_true(usage.tiers[1].frames > 0);
	pool_reap(fix.pool);
	pool_usage(fix.pool, &usage);
	assert_int_equal(usage.tiers[1].frames, 0);
	reclaim(&fix);
	fix_pool_verify(&fix);
	fix_pool_free(&fix);
}

#define SHARED_MIB 17u /* more frames of 32 KiB than one transaction cuts */
#define CLONES	   70u

static struct object *shared_make(struct fix_pool *fix)
{
	struct txn *txn = txn_begin(fix->pool);
	struct object *object;

	assert_int_equal(object_create(txn, "attr", 4, &object), 0);
	assert_int_equal(txn_commit(txn), 0);
	return object;
}

static uint64_t shared_records(struct fix_pool *fix)
{
	static const uint8_t prefix[] = {KEY_SHARED};
	struct meta_cursor *cursor;
	struct meta_item item;
	uint64_t n = 0;

	assert_int_equal(meta_cursor_open(fix->pool->meta, prefix, 1, NULL, 0, &cursor), 0);
	while (meta_cursor_next(cursor, &item) == 0)
		n++;
	meta_cursor_close(cursor);
	return n;
}

/* The last of many that share frames takes them along, whether the others were deleted or cut. */
static void shared_by_many(bool cut)
{
	uint64_t size = (uint64_t)SHARED_MIB << 20;
	uint8_t *buf = calloc(1, 1u << 20);
	struct object *first, *clones[CLONES];
	struct pool_usage usage;
	struct fix_pool fix;

	fix_pool_small(&fix);
	assert_int_equal(pool_create(&fix.config), 0);
	fix_pool_open(&fix);
	first = shared_make(&fix);
	for (uint64_t i = 0; i < SHARED_MIB; i++) {
		memset(buf, (int)i + 1, 1u << 20);
		assert_int_equal(object_write(first, buf, 1u << 20, i << 20), 0);
		assert_int_equal(object_sync(first), 0);
	}
	free(buf);
	for (unsigned i = 0; i < CLONES; i++) {
		clones[i] = shared_make(&fix);
		for (uint64_t at = 0, done; at < size; at += done)
			assert_int_equal(object_clone(first, at, clones[i], at, size - at, &done),
					 0);
	}
	for (unsigned i = 0; i < CLONES; i++)
		if (cut)
			assert_int_equal(object_truncate(clones[i], 0), 0);
		else
			object_unmake(&fix, clones[i]);
	object_unmake(&fix, first);
	pool_reap(fix.pool);
	pool_usage(fix.pool, &usage);
	assert_int_equal(usage.tiers[1].frames + usage.tiers[2].frames, 0);
	if (!cut)
		assert_int_equal(shared_records(&fix), 0);
	for (unsigned i = 0; cut && i < CLONES; i++)
		object_put(clones[i]);
	fix_pool_verify(&fix);
	fix_pool_free(&fix);
}

static void test_shared_by_many(void **state)
{
	(void)state;
	shared_by_many(false);
	shared_by_many(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_neighbour_dies),	    cmocka_unit_test(test_side_by_side),
		cmocka_unit_test(test_waits_for_who_gives), cmocka_unit_test(test_segment_empties),
		cmocka_unit_test(test_killed_before),	    cmocka_unit_test(test_read_of_deleted),
		cmocka_unit_test(test_damaged_neighbour),   cmocka_unit_test(test_sync_when_full),
		cmocka_unit_test(test_reap_without_room),   cmocka_unit_test(test_shared_by_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
