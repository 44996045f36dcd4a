// SPDX-License-Identifier: Apache-2.0
/* When copies of the metadata are made (tiers/copier.h): by themselves while the pool is open, when
 * enough time has gone or enough has been moved, and not when nothing has changed. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/unit/fix_bytes.h"
#include "tests/unit/fix_pool.h"
#include "tiers/clock.h"
#include "tiers/copier.h"
#include "tiers/object.h"
#include "tiers/pool_impl.h"

#define LEN	  300000u
#define SECOND_NS 1000000000ull

static struct fix_pool fix;
static uint64_t id;

static void begin(uint64_t interval_ns, uint64_t bytes)
{
	static uint8_t buf[LEN];
	struct object *object;
	struct txn *txn;

	fix_pool_small(&fix);
	fix.background = true;
	fix.config.metadata_copies = 2;
	fix.config.metadata_copy_interval_ns = interval_ns;
	fix.config.metadata_copy_bytes = bytes;
	assert_int_equal(pool_create(&fix.config), 0);
	fix_pool_open(&fix);
	txn = txn_begin(fix.pool);
	assert_int_equal(object_create(txn, "a", 1, &object), 0);
	assert_int_equal(txn_commit(txn), 0);
	id = object_id(object);
	bytes_fill_random(buf, LEN, 4);
	assert_int_equal(object_write(object, buf, LEN, 0), 0);
	object_put(object);
	assert_int_equal(pool_sync(fix.pool), 0);
}

static int teardown(void **state)
{
	(void)state;
	fix_pool_free(&fix);
	return 0;
}

static struct copier_status status(void)
{
	struct copier_status out;

	pool_copies_status(fix.pool, &out);
	return out;
}

/* Waits for one newer than `generation`. */
static struct copier_status newer_than(uint64_t generation)
{
	uint64_t until = clock_mono_ns() + 60 * SECOND_NS;

	while (status().newest.generation <= generation && clock_mono_ns() < until)
		usleep(5000);
	return status();
}

/* The interval has gone; and again, only when something has changed since. */
static void test_interval(void **state)
{
	struct copier_status first, second;

	(void)state;
	begin(SECOND_NS / 5, UINT64_MAX);
	first = newer_than(0);
	assert_int_equal(first.newest.generation, 1);
	assert_int_equal(first.error, 0);
	assert_int_equal(first.dirs, 2);
	assert_int_equal(first.written, 2);
	usleep(400000);
	second = status();
	assert_true(second.newest.seq <= meta_seq(fix.pool->meta));
	if (second.newest.seq == meta_seq(fix.pool->meta))
		assert_true(second.newest.generation <= 2);
	assert_int_equal(pool_move(fix.pool, &id, 1, 2, NULL), 0);
	second = newer_than(second.newest.generation);
	assert_true(second.newest.seq > first.newest.seq);
	assert_int_equal(second.error, 0);
}

/* Long before the interval, since much has been moved: a restore would have to seek all that. */
static void test_moved(void **state)
{
	uint64_t interval = 12 * SECOND_NS, opened;
	struct copier_status before, after;

	(void)state;
	begin(interval, 1000);
	fix_pool_close(&fix); /* the last copy of this mount */
	opened = clock_mono_ns();
	fix_pool_open(&fix);
	before = status();
	assert_true(before.newest.generation >= 1);
	assert_int_equal(pool_move(fix.pool, &id, 1, 2, NULL), 0);
	after = newer_than(before.newest.generation);
	assert_true(clock_mono_ns() - opened < interval);
	assert_true(after.newest.seq > before.newest.seq);
}

/* None are wanted: none are made, at the closing neither. */
static void test_unwanted(void **state)
{
	(void)state;
	begin(SECOND_NS / 10, 1);
	fix.config.metadata_copies = 0;
	fix_pool_close(&fix);
	fix_pool_open(&fix);
	{
		uint64_t had = status().newest.generation;

		assert_int_equal(pool_move(fix.pool, &id, 1, 2, NULL), 0);
		usleep(300000);
		assert_int_equal(status().written, 0);
		fix_pool_close(&fix);
		fix_pool_open(&fix);
		assert_int_equal(status().newest.generation, had);
	}
}

#define TEST(f) cmocka_unit_test_teardown(f, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(test_interval), TEST(test_moved),
					   TEST(test_unwanted)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
