// SPDX-License-Identifier: Apache-2.0
/* The list of work that could not be done (tiers/engine/parking.h): left alone for twice as long
 * each time; bounded, and what is due first makes way; taken out, and let go when there is room. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "tests/unit/fix_alloc.h"
#include "tiers/engine/parking.h"

static struct parking *parking;

static int setup(void **state)
{
	(void)state;
	return parking_new(&parking);
}

static int teardown(void **state)
{
	(void)state;
	parking_free(parking);
	return 0;
}

static bool add(uint64_t frame, int to, uint32_t now_s)
{
	const struct parked work = {.frame = frame, .from = 1, .to = to, .error = -ENOSPC};

	return parking_add(parking, &work, now_s);
}

static uint32_t count(void)
{
	uint32_t n = 0;

	while (parking_at(parking, n))
		n++;
	return n;
}

static void test_twice_as_long(void **state)
{
	uint32_t now = 1000, until = 0, pause = PARK_FIRST_S;

	(void)state;
	assert_false(parking_has(parking, 5, now, &until));
	assert_true(add(5, 2, now));
	for (unsigned i = 0; i < 12; i++) {
		assert_true(parking_has(parking, 5, now, &until));
		assert_int_equal(until, now + pause);
		assert_true(parking_has(parking, 5, until - 1, &until));
		assert_false(parking_has(parking, 5, until, &until));
		assert_int_equal(parking_at(parking, 0)->since_s, 1000);
		now = until;
		assert_false(add(5, 2, now));
		pause = pause * 2 > PARK_MAX_S ? PARK_MAX_S : pause * 2;
	}
	assert_int_equal(pause, PARK_MAX_S);
	assert_int_equal(count(), 1);
	assert_true(parking_remove(parking, 5));
	assert_false(parking_remove(parking, 5));
	assert_int_equal(count(), 0);
}

/* The one that is due first makes way, wherever it is in the list. */
static void test_full(void **state)
{
	uint32_t until;

	(void)state;
	for (uint32_t i = 0; i < PARKED_MAX; i++)
		assert_true(add(i + 1, 2, i == 77 ? 10 : 1000 + i));
	assert_int_equal(count(), PARKED_MAX);
	assert_true(add(999999, 2, 5000));
	assert_int_equal(count(), PARKED_MAX);
	assert_false(parking_has(parking, 78, 11, &until));
	assert_true(parking_has(parking, 77, 1001, &until));
	assert_true(parking_has(parking, PARKED_MAX, 1001, &until)); /* it was moved in the list */
	assert_int_equal(until, 1000 + PARKED_MAX - 1 + PARK_FIRST_S);
	assert_true(add(999998, 2, 5000));
	assert_false(parking_has(parking, 1, 1001, &until));
	for (uint32_t i = 2; i < PARKED_MAX; i++)
		assert_int_equal(parking_remove(parking, i + 1), i != 77);
	assert_true(parking_has(parking, 999999, 5001, &until));
}

/* Room in one tier is no room in another. */
static void test_room(void **state)
{
	uint32_t until;

	(void)state;
	for (uint64_t i = 1; i <= 10; i++)
		assert_true(add(i, i % 2 ? 1 : 2, 100));
	assert_int_equal(parking_room(parking, 2), 5);
	for (uint64_t i = 1; i <= 10; i++)
		assert_int_equal(parking_has(parking, i, 101, &until), i % 2);
	assert_int_equal(parking_room(parking, 7), 0);
}

/* What has been due for a day, and nobody has tried. */
static void test_forgotten(void **state)
{
	(void)state;
	assert_true(add(1, 2, 100));
	assert_true(add(2, 2, 100 + 2 * PARK_MAX_S));
	assert_int_equal(parking_forget(parking, 100 + PARK_FIRST_S), 0);
	assert_int_equal(parking_forget(parking, 101 + PARK_FIRST_S + PARK_MAX_S), 1);
	assert_int_equal(count(), 1);
	assert_int_equal(parking_at(parking, 0)->frame, 2);
}

/* It is not noted then: tried again at the next pass. */
static void test_no_memory(void **state)
{
	struct parking *none = NULL;
	bool fresh;
	int rc;

	(void)state;
	if (!ALLOC_FAULTS)
		skip();
	alloc_arm(1, true);
	rc = parking_new(&none);
	fresh = add(1, 2, 100);
	alloc_disarm();
	assert_int_equal(rc, -ENOMEM);
	parking_free(none);
	assert_false(fresh);
	assert_int_equal(count(), 0);
	assert_true(add(1, 2, 100));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(test_twice_as_long), TEST(test_full),
					   TEST(test_room), TEST(test_forgotten),
					   TEST(test_no_memory)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
