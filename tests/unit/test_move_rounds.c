// SPDX-License-Identifier: Apache-2.0
/* Moves of frames that are shared by more extents than one round takes. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/fix_pool.h"
#include "tiers/engine/mover.h"
#include "tiers/extmap.h"
#include "tiers/framestore.h"
#include "tiers/object.h"
#include "tiers/pool_impl.h"

#define LEN	  8192u
#define CLONES	  100u
#define AT_A_TIME 7u

static struct fix_pool fix;

static int begin(void **state)
{
	(void)state;
	fix_pool_small(&fix);
	assert_int_equal(pool_create(&fix.config), 0);
	fix_pool_open(&fix);
	return 0;
}

static int end(void **state)
{
	(void)state;
	fix_pool_verify(&fix);
	fix_pool_free(&fix);
	return 0;
}

static struct object *make(void)
{
	struct txn *txn = txn_begin(fix.pool);
	struct object *object;

	assert_int_equal(object_create(txn, "attr", 4, &object), 0);
	assert_int_equal(txn_commit(txn), 0);
	return object;
}

static void fill(uint8_t *buf, size_t len)
{
	for (size_t i = 0; i < len; i++)
		buf[i] = (uint8_t)(i * 2654435761u >> 13);
}

static void share(struct object *from, uint64_t off, struct object *to, uint64_t at, uint64_t len)
{
	uint64_t done = 0;

	assert_int_equal(object_clone(from, off, to, at, len, &done), 0);
	assert_int_equal(done, len);
}

/* The frames of an object, and how many bytes of it are in the tier. */
static uint64_t bytes_in(struct object *object, uint32_t tier, uint64_t *frame)
{
	struct extent_list list = {0};
	uint64_t bytes = 0;

	assert_int_equal(extmap_list(object, 0, UINT64_MAX, SIZE_MAX, &list), 0);
	for (size_t i = 0; i < list.count; i++) {
		struct frame_record record;

		assert_int_equal(frame_record_get(fix.pool, list.items[i].frame, &record), 0);
		bytes += record.tier == tier ? list.items[i].len : 0;
		*frame = list.items[i].frame;
	}
	extent_list_release(&list);
	return bytes;
}

static void check(struct object *object, uint64_t at, uint64_t off, size_t len)
{
	uint8_t want[LEN], got[LEN];
	size_t n;

	fill(want, sizeof(want));
	assert_int_equal(object_read(object, got, len, at, &n), 0);
	assert_int_equal(n, len);
	assert_memory_equal(got, want + off, len);
}

static int told_left;

static void left(void *arg, const struct move_left *one)
{
	(void)arg;
	(void)one;
	told_left++;
}

static void move(const uint64_t *frames, size_t n, size_t users_max, struct move_result *result)
{
	struct move_progress progress = {0};

	told_left = 0;
	*result = (struct move_result){0};
	assert_int_equal(move_frames(fix.pool,
				     &(struct move_request){.frames = frames,
							    .n = n,
							    .to = 2,
							    .reason = REASON_ASKED,
							    .users_max = users_max,
							    .left = left},
				     &progress, result),
			 0);
	assert_int_equal(told_left, 0);
}

/* One frame, shared by many objects: all of them move, some at a time, and the source goes. */
static void test_many_objects(void **state)
{
	struct object *objects[CLONES];
	struct frame_record record;
	struct move_result result;
	uint64_t frame = 0, none;
	uint8_t buf[LEN];

	(void)state;
	fill(buf, LEN);
	objects[0] = make();
	assert_int_equal(object_write(objects[0], buf, LEN, 0), 0);
	assert_int_equal(pool_sync(fix.pool), 0);
	for (unsigned i = 1; i < CLONES; i++) {
		objects[i] = make();
		share(objects[0], i % 3 * 1000, objects[i], 0, LEN - 3000);
	}
	assert_int_equal(pool_sync(fix.pool), 0);
	assert_int_equal(bytes_in(objects[0], 1, &frame), LEN);
	move(&frame, 1, AT_A_TIME, &result);
	assert_int_equal(result.frames, 1);
	assert_int_equal(result.held, 0);
	assert_int_equal(result.moved, LEN + (CLONES - 1) * (LEN - 3000));
	assert_int_equal(frame_record_get(fix.pool, frame, &record), -ENOENT);
	assert_int_equal(bytes_in(objects[0], 2, &none), LEN);
	check(objects[0], 0, 0, LEN);
	for (unsigned i = 1; i < CLONES; i++) {
		assert_int_equal(bytes_in(objects[i], 2, &none), LEN - 3000);
		check(objects[i], 0, i % 3 * 1000, LEN - 3000);
	}
	/* It has taken rounds: the bytes were written more than once, and not once for each. */
	assert_true(result.written > 5 * 1000);
	assert_true(result.written < CLONES / AT_A_TIME * 2 * (LEN + 4096));
	for (unsigned i = 0; i < CLONES; i++)
		object_put(objects[i]);
}

/* ... by many places of one object, whose extents lie beside each other and over each other. */
static void test_one_object(void **state)
{
	struct object *from = make(), *to = make();
	struct frame_record record;
	struct move_result result;
	uint64_t frame = 0, none;
	uint8_t buf[LEN];

	(void)state;
	fill(buf, LEN);
	assert_int_equal(object_write(from, buf, LEN, 0), 0);
	assert_int_equal(pool_sync(fix.pool), 0);
	for (unsigned i = 0; i < CLONES; i++)
		share(from, i * 16, to, i * 600ull, 700);
	assert_int_equal(pool_sync(fix.pool), 0);
	assert_int_equal(bytes_in(from, 1, &frame), LEN);
	move(&frame, 1, AT_A_TIME, &result);
	assert_int_equal(frame_record_get(fix.pool, frame, &record), -ENOENT);
	assert_int_equal(bytes_in(from, 2, &none), LEN);
	assert_int_equal(bytes_in(to, 2, &none), (CLONES - 1) * 600 + 700);
	for (unsigned i = 0; i < CLONES; i++)
		check(to, i * 600ull, i * 16, i + 1 < CLONES ? 600 : 700);
	object_put(from);
	object_put(to);
}

/* A frame whose turn has not come in the first round is not one of which nothing may move. */
static void test_two_frames(void **state)
{
	struct object *first = make(), *second = make(), *to = make();
	uint64_t frames[2] = {0}, none;
	struct move_result result;
	uint8_t buf[LEN];

	(void)state;
	fill(buf, LEN);
	assert_int_equal(object_write(first, buf, LEN, 0), 0);
	assert_int_equal(pool_sync(fix.pool), 0);
	assert_int_equal(object_write(second, buf, LEN, 0), 0);
	assert_int_equal(pool_sync(fix.pool), 0);
	for (unsigned i = 0; i < CLONES; i++)
		share(first, 0, to, i * (uint64_t)LEN, LEN);
	assert_int_equal(pool_sync(fix.pool), 0);
	assert_int_equal(bytes_in(first, 1, &frames[0]), LEN);
	assert_int_equal(bytes_in(second, 1, &frames[1]), LEN);
	assert_int_not_equal(frames[0], frames[1]);
	move(frames, 2, AT_A_TIME, &result);
	assert_int_equal(result.frames, 2);
	assert_int_equal(bytes_in(first, 2, &none), LEN);
	assert_int_equal(bytes_in(second, 2, &none), LEN);
	assert_int_equal(bytes_in(to, 2, &none), CLONES * LEN);
	object_put(first);
	object_put(second);
	object_put(to);
}

/* What nothing bounds moves in one round. */
static void test_default(void **state)
{
	struct object *from = make(), *to = make();
	struct move_result result;
	uint64_t frame = 0;
	uint8_t buf[LEN];

	(void)state;
	fill(buf, LEN);
	assert_int_equal(object_write(from, buf, LEN, 0), 0);
	assert_int_equal(pool_sync(fix.pool), 0);
	for (unsigned i = 0; i < CLONES; i++)
		share(from, 0, to, i * (uint64_t)LEN, LEN);
	assert_int_equal(pool_sync(fix.pool), 0);
	assert_int_equal(bytes_in(from, 1, &frame), LEN);
	move(&frame, 1, 0, &result);
	assert_int_equal(result.moved, (CLONES + 1) * LEN);
	assert_true(result.written < 2 * LEN);
	object_put(from);
	object_put(to);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_many_objects, begin, end),
		cmocka_unit_test_setup_teardown(test_one_object, begin, end),
		cmocka_unit_test_setup_teardown(test_two_frames, begin, end),
		cmocka_unit_test_setup_teardown(test_default, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
