// SPDX-License-Identifier: Apache-2.0
/* What a power loss leaves of a file of which a flush could store only some pieces: its beginning,
 * never a piece behind one that is missing (flush.h, invariant 2). */
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "tests/unit/fix_dir.h"
#include "tests/unit/fix_fault.h"
#include "tests/unit/fix_pool.h"
#include "tiers/flush.h"
#include "tiers/io.h"
#include "tiers/object.h"
#include "tiers/pool_impl.h"

#define PIECE  (32u << 10) /* a frame of fix_pool_small()'s ssd */
#define PIECES 8u

static struct fix_pool fix;
static uint8_t data[PIECES * PIECE];  /* does not shrink, so that it is on media as it is */
static const uint8_t *_Atomic spoilt; /* a write that begins or holds these 64 bytes fails */
static _Atomic unsigned failed;
static _Atomic bool watching;
static _Atomic unsigned appends, syncs, overlapped, marked;
static struct object *watched;
static _Atomic unsigned full; /* so many writes find no room */

static ssize_t hook_pwrite(int fd, const void *buf, size_t len, off_t off)
{
	if (spoilt && memmem(buf, len, spoilt, 64) && len < sizeof(data)) {
		failed++;
		errno = EIO;
		return -1;
	}
	if (full && len >= PIECE / 2) {
		full--;
		errno = ENOSPC;
		return -1;
	}
	if (watching && len >= PIECE / 2) {
		nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL); /* a slow medium */
		appends++;
	}
	return io_ops_system.pwrite(fd, buf, len, off);
}

/* Does anything go to a segment while the first two syncs of a flush are under way, and does the
 * object stay marked? */
static int hook_fdatasync(int fd)
{
	unsigned before = appends;

	if (watching && syncs++ < 2) {
		for (unsigned i = 0; i < 500 && appends == before; i++)
			nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
		overlapped += appends != before;
		marked += watched->flushing;
	}
	return io_ops_system.fdatasync(fd);
}

static int setup(void **state)
{
	static struct io_ops ops;
	uint64_t x = 88172645463325252ull;

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		data[i] = (uint8_t)x;
	}
	log_capture();
	ops = io_ops_system;
	ops.pwrite = hook_pwrite;
	ops.fdatasync = hook_fdatasync;
	io_ops_set(&ops);
	fix_pool_small(&fix);
	fix.config.batch_bytes = 2 * PIECE; /* so that a file takes several */
	assert_int_equal(pool_create(&fix.config), 0);
	fix_pool_open(&fix);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	spoilt = NULL;
	full = 0;
	fix_pool_free(&fix);
	io_ops_set(NULL);
	log_release();
	return 0;
}

static void write_pieces(struct object *object, size_t len)
{
	for (size_t at = 0; at < len; at += PIECE)
		assert_int_equal(object_write(object, data + at, PIECE, at), 0);
}

/* Flushes a file of which piece `bad` cannot be written anywhere; returns its number. */
static uint64_t flush_without(unsigned bad, size_t len)
{
	struct txn *txn = txn_begin(fix.pool);
	struct object *object;
	uint64_t id;

	assert_int_equal(object_create(txn, "a", 1, &object), 0);
	assert_int_equal(txn_commit(txn), 0);
	id = object_id(object);
	write_pieces(object, len);
	failed = 0;
	spoilt = data + bad * PIECE + PIECE / 2;
	assert_int_equal(flush_object(object), -EIO);
	assert_true(failed > 0);
	spoilt = NULL;
	object_put(object);
	return id;
}

static void expect_first(uint64_t id, size_t len)
{
	static uint8_t buf[sizeof(data)];
	struct object *object;
	size_t got;

	assert_int_equal(object_get(fix.pool, id, &object), 0);
	assert_int_equal(object_size(object), len);
	assert_int_equal(object_read(object, buf, sizeof(buf), 0, &got), 0);
	assert_int_equal(got, len);
	assert_memory_equal(buf, data, len);
	object_put(object);
}

static void test_a_power_loss_shows_the_beginning(void **state)
{
	(void)state;
	for (unsigned bad = 0; bad < PIECES; bad++) {
		uint64_t id = flush_without(bad, sizeof(data));

		assert_int_equal(pool_cut(fix.pool), 0);
		fix_pool_power(&fix);
		expect_first(id, bad * PIECE);
		fix_pool_verify(&fix);
	}
}

static void test_kill_and_retry_lose_nothing(void **state)
{
	(void)state;
	for (unsigned bad = 0; bad < PIECES; bad++) {
		uint64_t id = flush_without(bad, sizeof(data));
		struct object *object;

		expect_first(id, sizeof(data));
		fix_pool_crash(&fix);
		expect_first(id, sizeof(data));
		assert_int_equal(object_get(fix.pool, id, &object), 0);
		assert_int_equal(flush_object(object), 0);
		object_put(object);
		assert_int_equal(pool_sync(fix.pool), 0);
		fix_pool_power(&fix);
		expect_first(id, sizeof(data));
		fix_pool_verify(&fix);
	}
}

static void gone(struct object *object)
{
	struct txn *txn = txn_begin(fix.pool);

	assert_int_equal(object_delete(txn, object), 0);
	assert_int_equal(txn_commit(txn), 0);
	object_put(object);
	assert_int_equal(pool_sync(fix.pool), 0);
}

static uint64_t file_written(void)
{
	struct txn *txn = txn_begin(fix.pool);
	struct object *object;
	uint64_t id;

	assert_int_equal(object_create(txn, "a", 1, &object), 0);
	assert_int_equal(txn_commit(txn), 0);
	id = object_id(object);
	write_pieces(object, sizeof(data));
	object_put(object);
	return id;
}

/* The next frames are coded and appended while those before are synced; nobody else may change the
 * object all the while. */
static void test_next_is_written_meanwhile(void **state)
{
	uint64_t id = file_written();

	(void)state;
	assert_int_equal(object_get(fix.pool, id, &watched), 0);
	syncs = appends = overlapped = marked = 0;
	watching = true;
	assert_int_equal(flush_object(watched), 0);
	watching = false;
	assert_false(watched->flushing);
	object_put(watched);
	assert_int_equal(overlapped, 2);
	assert_int_equal(marked, 2);
	assert_int_equal(pool_sync(fix.pool), 0);
	fix_pool_power(&fix);
	expect_first(id, sizeof(data));
	fix_pool_verify(&fix);
	fix_pool_verify_media(&fix, true);
}

/* Every write and sync of a flush of several batches fails, once: the file is whole, before the
 * next flush and, after that, without the log. */
static void test_each_call_fails(void **state)
{
	unsigned touched = 0;

	(void)state;
	for (uint64_t n = 1;; n++) {
		uint64_t id = file_written();
		struct object *object;

		fault_arm(FAULT_PWRITE | FAULT_SYNC, n, n % 2 ? FAULT_EIO : FAULT_ENOSPC, false);
		assert_int_equal(object_get(fix.pool, id, &object), 0);
		flush_object(object);
		if (!fault_disarm())
			n = 0;
		expect_first(id, sizeof(data));
		assert_int_equal(object_sync(object), 0);
		object_put(object);
		fix_pool_power(&fix);
		expect_first(id, sizeof(data));
		fix_pool_verify(&fix);
		assert_int_equal(object_get(fix.pool, id, &object), 0);
		gone(object);
		if (!n)
			break;
		touched++;
	}
	assert_true(touched > PIECES);
}

/* Who waits for a flush is not told that there is no room while there is some that only has to be
 * given back. */
static void test_room_to_be_given_back(void **state)
{
	uint64_t dead = file_written(), id;
	struct pool_usage before, after;
	struct object *object;
	struct txn *txn;

	(void)state;
	assert_int_equal(pool_sync(fix.pool), 0);
	id = file_written();
	assert_int_equal(object_get(fix.pool, dead, &object), 0);
	txn = txn_begin(fix.pool);
	assert_int_equal(object_delete(txn, object), 0);
	assert_int_equal(txn_commit(txn), 0);
	object_put(object);
	assert_int_equal(object_get(fix.pool, id, &object), 0);
	pool_usage(fix.pool, &before);
	full = 2; /* on both tiers */
	assert_int_equal(flush_objects_for(fix.pool, &object, 1), 0);
	assert_int_equal(full, 0);
	assert_int_equal(object->dirty_bytes, 0);
	pool_usage(fix.pool, &after); /* what was dead is given back, and the new is there */
	assert_true(after.tiers[1].used + after.tiers[2].used <
		    before.tiers[1].used + before.tiers[2].used + sizeof(data) / 2);
	full = UINT_MAX; /* for good */
	write_pieces(object, sizeof(data));
	assert_int_equal(flush_objects_for(fix.pool, &object, 1), -ENOSPC);
	full = 0;
	object_put(object);
	expect_first(id, sizeof(data));
	fix_pool_verify(&fix);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_power_loss_shows_the_beginning, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_kill_and_retry_lose_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_next_is_written_meanwhile, setup, teardown),
		cmocka_unit_test_setup_teardown(test_each_call_fails, setup, teardown),
		cmocka_unit_test_setup_teardown(test_room_to_be_given_back, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
