// SPDX-License-Identifier: Apache-2.0
/* Moves of frames that are shared by more extents than one round takes. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/unit/fix_pool.h"
#include "tiers/engine/engine_impl.h"
#include "tiers/engine/mover.h"
#include "tiers/extmap.h"
#include "tiers/framestore.h"
#include "tiers/io.h"
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

static int told_left, left_error;
static unsigned asked, rounds_max;

static void left(void *arg, const struct move_left *one)
{
	(void)arg;
	told_left++;
	left_error = one->error;
}

/* Others may move meanwhile. */
static bool again(void *arg)
{
	(void)arg;
	assert_int_equal(pthread_mutex_trylock(&fix.pool->move_lock), 0);
	pthread_mutex_unlock(&fix.pool->move_lock);
	return ++asked < rounds_max;
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

/* CLONES objects that share one frame. */
static uint64_t make_clones(struct object **objects)
{
	uint64_t frame = 0;
	uint8_t buf[LEN];

	fill(buf, LEN);
	objects[0] = make();
	assert_int_equal(object_write(objects[0], buf, LEN, 0), 0);
	assert_int_equal(pool_sync(fix.pool), 0);
	for (unsigned i = 1; i < CLONES; i++) {
		objects[i] = make();
		share(objects[0], 0, objects[i], 0, LEN);
	}
	assert_int_equal(pool_sync(fix.pool), 0);
	assert_int_equal(bytes_in(objects[0], 1, &frame), LEN);
	return frame;
}

/* How many of them are whole in the tier; all bytes of all are right. */
static unsigned count_in(struct object *const *objects, uint32_t tier)
{
	unsigned n = 0;
	uint64_t none;

	for (unsigned i = 0; i < CLONES; i++) {
		check(objects[i], 0, 0, LEN);
		n += bytes_in(objects[i], tier, &none) == LEN;
	}
	return n;
}

static void drop(struct object **objects)
{
	for (unsigned i = 0; i < CLONES; i++)
		object_put(objects[i]);
}

/* Who asks for a move is asked between its rounds. What is left then is told, and goes in another
 * move. */
static void test_ended_between(void **state)
{
	struct object *objects[CLONES];
	uint64_t frame = make_clones(objects);
	struct move_request request = {.frames = &frame,
				       .n = 1,
				       .to = 2,
				       .reason = REASON_ASKED,
				       .users_max = AT_A_TIME,
				       .left = left,
				       .again = again};
	struct move_result result = {0};
	struct frame_record record;

	(void)state;
	told_left = 0;
	asked = 0;
	rounds_max = 2;
	assert_int_equal(move_frames(fix.pool, &request, NULL, &result), 0);
	assert_int_equal(asked, 2);
	assert_int_equal(told_left, 1);
	assert_int_equal(left_error, -EAGAIN);
	assert_int_equal(result.frames, 1);
	assert_int_equal(result.moved, 2 * AT_A_TIME * LEN);
	assert_int_equal(count_in(objects, 2), 2 * AT_A_TIME);
	assert_int_equal(count_in(objects, 1), CLONES - 2 * AT_A_TIME);
	assert_int_equal(frame_record_get(fix.pool, frame, &record), 0);
	fix_pool_verify(&fix);

	told_left = 0;
	asked = 0;
	rounds_max = UINT32_MAX;
	assert_int_equal(move_frames(fix.pool, &request, NULL, &result), 0);
	assert_int_equal(asked, (CLONES - 2 * AT_A_TIME - 1) / AT_A_TIME);
	assert_int_equal(told_left, 0);
	assert_int_equal(count_in(objects, 2), CLONES);
	assert_int_equal(frame_record_get(fix.pool, frame, &record), -ENOENT);
	drop(objects);
}

static struct object **emptied;

/* While the first round's bytes are on their way, all they belong to is emptied. */
static int empty_and_sync(int fd)
{
	struct object **objects = emptied;

	emptied = NULL;
	for (unsigned i = 0; objects && i < AT_A_TIME; i++)
		assert_int_equal(object_truncate(objects[i], 0), 0);
	return fdatasync(fd);
}

/* A round of which nothing was left when it came to its end is not the last one. */
static void test_round_of_nothing(void **state)
{
	struct object *objects[CLONES];
	uint64_t frame = make_clones(objects), none;
	struct io_ops ops = io_ops_system;
	struct frame_record record;
	struct move_result result;

	(void)state;
	ops.fdatasync = empty_and_sync;
	emptied = objects;
	io_ops_set(&ops);
	move(&frame, 1, AT_A_TIME, &result);
	io_ops_set(NULL);
	assert_null(emptied);
	assert_int_equal(result.moved, (CLONES - AT_A_TIME) * LEN);
	assert_int_equal(frame_record_get(fix.pool, frame, &record), -ENOENT);
	for (unsigned i = 0; i < CLONES; i++)
		assert_int_equal(bytes_in(objects[i], 2, &none), i < AT_A_TIME ? 0 : LEN);
	drop(objects);
}

static uint64_t passed(struct object *const *objects, uint64_t frame, uint64_t budget)
{
	struct choice choice = {
		.frame = frame, .verdict = {.to = 2, .reason = REASON_FULL}, .bytes = LEN};
	struct executor executor;

	assert_int_equal(frame_record_get(fix.pool, frame, &choice.record), 0);
	pthread_rwlock_wrlock(&fix.pool->tunables_lock);
	fix.pool->tunables.tiers[2].write_budget = budget;
	fix.pool->tunables.move_pressure = 0;
	fix.pool->tunables.start_delay_ns = 0;
	pthread_rwlock_unlock(&fix.pool->tunables_lock);
	executor_init(&executor, fix.pool, NULL, true);
	executor.users_max = AT_A_TIME;
	assert_int_equal(executor_add(&executor, &choice), 0);
	assert_int_equal(executor_end(&executor), 0);
	fix_pool_verify(&fix);
	return count_in(objects, 2);
}

/* Each round is counted in the tier's budget, and has to fit into it. */
static void test_budget(void **state)
{
	struct object *objects[CLONES];
	uint64_t frame = make_clones(objects), round;
	struct frame_record record;
	struct engine_stats stats;

	(void)state;
	assert_int_equal(frame_record_get(fix.pool, frame, &record), 0);
	assert_int_equal(passed(objects, frame, record.stored_len), AT_A_TIME);
	assert_int_equal(passed(objects, frame, record.stored_len), AT_A_TIME);
	pool_engine_stats(fix.pool, &stats);
	assert_int_equal(stats.moves[REASON_FULL], 1);
	assert_int_equal(stats.bytes[REASON_FULL], AT_A_TIME * LEN);
	round = stats.tiers[2].moved_in;
	assert_true(round > 0);
	assert_int_equal(passed(objects, frame, record.stored_len + 3 * round), 4 * AT_A_TIME);
	pool_engine_stats(fix.pool, &stats);
	assert_in_range(stats.tiers[2].moved_in, 3 * round, 5 * round);
	assert_int_equal(stats.tiers[1].moved_out, 2 * record.stored_len); /* once a pass */
	assert_int_equal(passed(objects, frame, 0), CLONES);
	assert_int_equal(frame_record_get(fix.pool, frame, &record), -ENOENT);
	drop(objects);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_many_objects, begin, end),
		cmocka_unit_test_setup_teardown(test_one_object, begin, end),
		cmocka_unit_test_setup_teardown(test_two_frames, begin, end),
		cmocka_unit_test_setup_teardown(test_default, begin, end),
		cmocka_unit_test_setup_teardown(test_ended_between, begin, end),
		cmocka_unit_test_setup_teardown(test_round_of_nothing, begin, end),
		cmocka_unit_test_setup_teardown(test_budget, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
