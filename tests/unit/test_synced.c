// SPDX-License-Identifier: Apache-2.0
/* Records of synced writes that cannot be deleted when their time has come (tiers/synced.h): what
 * was synced later is there after a power loss all the same. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/fix_dir.h"
#include "tests/unit/fix_pool.h"
#include "tiers/flush.h"
#include "tiers/meta_impl.h"
#include "tiers/object.h"
#include "tiers/pool_impl.h"

static struct fix_pool fix;
static const struct meta_ops *real;
static struct meta_ops failing;
static unsigned countdown; /* 1: the next batch is refused */

static int apply(struct meta *meta, const struct meta_batch *batch, uint64_t *seq)
{
	if (countdown && --countdown == 0)
		return -EIO;
	return real->apply(meta, batch, seq);
}

/* The nth batch from now on is refused. */
static void refuse(unsigned nth)
{
	real = fix.pool->meta->ops;
	failing = *real;
	failing.apply = apply;
	fix.pool->meta->ops = &failing;
	countdown = nth;
}

static void refuse_no_more(void)
{
	fix.pool->meta->ops = real;
	assert_int_equal(countdown, 0);
}

static int setup(void **state)
{
	(void)state;
	log_capture();
	fix_pool_small(&fix);
	assert_int_equal(pool_create(&fix.config), 0);
	fix_pool_open(&fix);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fix_pool_free(&fix);
	log_release();
	return 0;
}

/* With a record of these bytes. */
static struct object *object_synced(const char *bytes)
{
	struct txn *txn = txn_begin(fix.pool);
	struct object *object;

	assert_int_equal(object_create(txn, "attr", 4, &object), 0);
	assert_int_equal(txn_commit(txn), 0);
	assert_int_equal(object_write(object, bytes, strlen(bytes), 0), 0);
	assert_int_equal(object_sync(object), 0);
	assert_true(synced_any(object));
	return object;
}

static void expect_after_power(struct object *object, const char *bytes)
{
	uint64_t id = object_id(object);
	char buf[64] = "";
	size_t got;

	object_put(object);
	fix_pool_power(&fix);
	assert_int_equal(object_get(fix.pool, id, &object), 0);
	assert_int_equal(object_read(object, buf, sizeof(buf), 0, &got), 0);
	assert_int_equal(got, strlen(bytes));
	assert_memory_equal(buf, bytes, got);
	object_put(object);
	assert_int_equal(pool_sync(fix.pool), 0);
	fix_pool_verify(&fix);
}

/* A flush whose frames are in, and whose records stay: whoever syncs then is told so until they are
 * gone. */
static void flush_without_end(struct object *object)
{
	assert_int_equal(object_write(object, "newer", 5, 0), 0);
	refuse(2);
	assert_int_equal(flush_object(object), -EIO);
	refuse_no_more();
	assert_int_equal(object->dirty_bytes, 0);
}

static void test_flush_then_fsync(void **state)
{
	struct object *object = object_synced("older");

	(void)state;
	flush_without_end(object);
	assert_int_equal(object_sync(object), 0);
	assert_false(synced_any(object));
	expect_after_power(object, "newer");
}

static void test_flush_then_sync_of_all(void **state)
{
	struct object *object = object_synced("older"), *again;
	uint64_t id = object_id(object);

	(void)state;
	flush_without_end(object);
	object_put(object); /* nobody has it any more */
	refuse(1);
	assert_int_equal(pool_sync(fix.pool), -EIO);
	refuse_no_more();
	fix.pool->stuck_until_ns = 0;
	assert_int_equal(pool_sync(fix.pool), 0);
	assert_int_equal(object_get(fix.pool, id, &again), 0);
	expect_after_power(again, "newer");
}

static void test_flush_then_write(void **state)
{
	struct object *object = object_synced("older");

	(void)state;
	flush_without_end(object);
	assert_int_equal(object_write(object, "!", 1, 5), 0);
	assert_int_equal(object_sync(object), 0);
	expect_after_power(object, "newer!");
}

/* The object goes out of use and comes back: the records of its next life are not mixed with those
 * of the one before. */
static void test_truncated(void **state)
{
	struct object *object = object_synced("older");
	uint64_t id = object_id(object);

	(void)state;
	refuse(2); /* the cut itself goes through */
	assert_int_equal(object_truncate(object, 0), -EIO);
	refuse_no_more();
	assert_int_equal(object_size(object), 0);
	object_put(object);
	assert_int_equal(object_get(fix.pool, id, &object), 0);
	assert_int_equal(object_write(object, "next", 4, 0), 0);
	assert_int_equal(object_sync(object), 0);
	expect_after_power(object, "next");
}

static void test_punched(void **state)
{
	struct object *object = object_synced("older");
	uint64_t id = object_id(object);

	(void)state;
	assert_int_equal(object_truncate(object, 5), 0);
	refuse(3); /* the cut and the size go through */
	assert_int_equal(object_punch(object, 5, 0), -EIO);
	refuse_no_more();
	object_put(object);
	assert_int_equal(object_get(fix.pool, id, &object), 0);
	assert_int_equal(object_write(object, "next.", 5, 0), 0);
	assert_int_equal(object_sync(object), 0);
	expect_after_power(object, "next.");
}

#define CUTS 45000u /* more than one transaction can delete */

/* As so many holes, between two flushes. */
static void cut_often(struct object *object)
{
	for (unsigned i = 0; i < CUTS;) {
		struct txn *txn = txn_begin(fix.pool);

		for (unsigned n = 0; n < 5000; n++, i++) {
			assert_true(synced_mark(txn, object, false, 1 << 20, 4096));
			synced_marked(object);
		}
		assert_int_equal(txn_commit(txn), 0);
	}
}

static uint64_t records(void)
{
	static const uint8_t prefix[] = {KEY_SYNCED};
	struct meta_cursor *cursor;
	struct meta_item item;
	uint64_t n = 0;

	assert_int_equal(meta_cursor_open(fix.pool->meta, prefix, 1, NULL, 0, &cursor), 0);
	while (meta_cursor_next(cursor, &item) == 0)
		n++;
	meta_cursor_close(cursor);
	return n;
}

/* Very many cuts between two flushes: their records go, and hold nobody up. */
static void test_very_many(void **state)
{
	struct object *object = object_synced("older");

	(void)state;
	cut_often(object);
	assert_int_equal(object_write(object, "newer", 5, 0), 0);
	assert_int_equal(flush_object(object), 0);
	assert_false(synced_any(object));
	assert_int_equal(records(), 0);
	assert_int_equal(object_sync(object), 0);
	expect_after_power(object, "newer");
}

/* The same of an object that is deleted: what is left of them goes with the next opening. */
static void test_very_many_of_none(void **state)
{
	struct object *object = object_synced("older");
	struct txn *txn;

	(void)state;
	cut_often(object);
	txn = txn_begin(fix.pool);
	object_delete(txn, object);
	assert_int_equal(txn_commit(txn), 0);
	object_put(object);
	assert_int_equal(pool_sync(fix.pool), 0);
	fix_pool_power(&fix);
	assert_int_equal(records(), 0);
	fix_pool_verify(&fix);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_flush_then_fsync, setup, teardown),
		cmocka_unit_test_setup_teardown(test_flush_then_sync_of_all, setup, teardown),
		cmocka_unit_test_setup_teardown(test_flush_then_write, setup, teardown),
		cmocka_unit_test_setup_teardown(test_truncated, setup, teardown),
		cmocka_unit_test_setup_teardown(test_punched, setup, teardown),
		cmocka_unit_test_setup_teardown(test_very_many, setup, teardown),
		cmocka_unit_test_setup_teardown(test_very_many_of_none, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
