// SPDX-License-Identifier: Apache-2.0
/*
 * Proves the power-loss double, and the appender on it. A small mover (copy, sync, commit, remove)
 * must survive every cut; each of its steps left out or swapped must be caught, and the swap must
 * be one that only the cross product of outcomes shows.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/fix_dir.h"
#include "tests/unit/fix_power.h"
#include "tiers/segment.h"

#define LEN 10000u

static const struct tier_segment source = {.id = 1, .place = 0}, target = {.id = 2, .place = 1};

static void pattern(uint8_t *buf, size_t len, unsigned seed)
{
	size_t i;

	for (i = 0; i < len; i++)
		buf[i] = (uint8_t)(1 + (i * 31 + seed) % 255); /* never zero */
}

enum mover { MOVER_GOOD, MOVER_NO_SYNC, MOVER_REMOVES_FIRST };

/* *home is the metadata: where the bytes are, always durable. Returns 0 when all was done. */
static int move(struct tier *tier, enum mover mover, struct tier_segment *home)
{
	uint8_t buf[LEN];
	int error = tier_read(tier, source, buf, LEN, 0, TIER_BULK);

	if (!error)
		error = tier_segment_create(tier, target);
	if (!error)
		error = tier_write(tier, target, buf, LEN, 0, TIER_BULK);
	if (!error && mover == MOVER_REMOVES_FIRST) {
		error = tier_segment_remove(tier, source);
		if (!error)
			*home = target;
	}
	if (!error && mover != MOVER_NO_SYNC)
		error = tier_sync(tier, target);
	if (error || mover == MOVER_REMOVES_FIRST)
		return error;
	*home = target;
	return tier_segment_remove(tier, source);
}

static struct power *with_source(void)
{
	struct power *power = power_new("double", 2, 1 << 20);
	uint8_t buf[LEN];

	pattern(buf, LEN, 5);
	assert_int_equal(tier_segment_create(power_tier(power), source), 0);
	assert_int_equal(tier_write(power_tier(power), source, buf, LEN, 0, TIER_BULK), 0);
	assert_int_equal(tier_sync(power_tier(power), source), 0);
	return power;
}

static bool intact(struct power *power, struct tier_segment seg)
{
	uint8_t want[LEN], got[LEN];

	pattern(want, LEN, 5);
	return !tier_read(power_tier(power), seg, got, LEN, 0, TIER_BULK) &&
	       !memcmp(want, got, LEN);
}

/* Outcomes under which the bytes were lost, over all steps. */
static unsigned losses(enum mover mover, bool lie)
{
	unsigned lost = 0;
	bool done = false;
	uint64_t step, code;

	for (step = 1; !done; step++) {
		struct power *power = with_source();
		struct tier_segment home = source;

		power_lie(power, lie);
		power_arm(power, step);
		done = move(power_tier(power), mover, &home) == 0;
		assert_int_equal(power_failed(power), !done);
		for (code = 0; code < power_combinations(power); code++) {
			struct power *twin = power_clone(power);

			power_cut(twin, code, step * 100 + code);
			lost += !intact(twin, home);
			power_free(twin);
		}
		power_free(power);
	}
	assert_true(step > 3);
	return lost;
}

static void test_a_good_mover_survives_every_cut(void **state)
{
	(void)state;
	assert_int_equal(losses(MOVER_GOOD, false), 0);
}

static void test_seeded_bugs_are_caught(void **state)
{
	(void)state;
	assert_true(losses(MOVER_NO_SYNC, false) > 0);
	assert_true(losses(MOVER_REMOVES_FIRST, false) > 0);
	assert_true(losses(MOVER_GOOD, true) > 0); /* a sync that lies */
}

static void test_outcomes_are_what_they_say(void **state)
{
	struct power *power = with_source();
	uint8_t buf[LEN], zero[LEN] = {0};
	unsigned outcome;

	(void)state;
	pattern(buf, LEN, 5);
	assert_int_equal(tier_segment_create(power_tier(power), target), 0);
	assert_int_equal(tier_write(power_tier(power), target, buf, LEN, 0, TIER_BULK), 0);
	assert_int_equal(tier_segment_remove(power_tier(power), source), 0);
	assert_int_equal(power_unsynced(power), 2);
	assert_int_equal(power_combinations(power), 16);
	/* Digit 0 is the source, whose removal is unsynced; digit 1 the target. */
	for (outcome = 0; outcome < 16; outcome++) {
		struct power *twin = power_clone(power);
		struct tier *tier = power_tier(twin);
		int found;

		power_cut(twin, outcome, 1);
		assert_int_equal(intact(twin, source), outcome % 4 == POWER_LOST);
		found = tier_read(tier, target, buf, 1, 0, TIER_BULK);
		switch (outcome / 4) {
		case POWER_KEPT:
			assert_true(intact(twin, target));
			break;
		case POWER_LOST:
			assert_int_equal(found, -ENOENT);
			break;
		case POWER_TORN:
			assert_false(intact(twin, target));
			assert_int_not_equal(found, -ENOENT);
			break;
		default:
			assert_int_equal(tier_read(tier, target, buf, LEN, 0, TIER_BULK), 0);
			assert_memory_equal(buf, zero, LEN);
		}
		assert_int_equal(power_unsynced(twin), 0);
		power_free(twin);
	}
	power_free(power);
}

static void test_one_shared_outcome_would_miss_it(void **state)
{
	struct power *power = with_source(), *twin;
	uint8_t buf[LEN];
	unsigned code, lost = 0;

	(void)state;
	pattern(buf, LEN, 5);
	assert_int_equal(tier_segment_create(power_tier(power), target), 0);
	assert_int_equal(tier_write(power_tier(power), target, buf, LEN, 0, TIER_BULK), 0);
	assert_int_equal(tier_segment_remove(power_tier(power), source), 0);
	/* All kept: the copy is there. All lost: the source is. Bytes are lost only when the two
	 * media disagree. */
	for (code = 0; code < 16; code++) {
		twin = power_clone(power);
		power_cut(twin, code, 3);
		if (!intact(twin, source) && !intact(twin, target)) {
			lost++;
			assert_true(code != 0 && code != 5);
		}
		power_free(twin);
	}
	assert_true(lost > 0);
	power_free(power);
}

/* The appender on the double ------------------------------------------------------------------- */

static int count_up(void *arg, uint64_t *id)
{
	*id = ++*(uint64_t *)arg;
	return 0;
}

#define PIECES 24u

static size_t piece_len(unsigned i)
{
	return 100 + i * 397 % 9000;
}

/* Appends and syncs until the power goes; durable[i]: a sync said so. */
static void append_pieces(struct power *power, struct segment_loc *locs, bool *durable, bool *done)
{
	uint64_t last = 0;
	struct appender_options options = {
		.tier = power_tier(power),
		.pool_uuid = (const uint8_t *)"0123456789abcdef",
		.segment_bytes = 65536,
		.next_id = count_up,
		.arg = &last,
	};
	struct appender *appender;
	uint8_t buf[9100];
	unsigned i, j, from = 0;
	int error = appender_new(&appender, &options);

	for (i = 0; i < PIECES && !error; i++) {
		pattern(buf, piece_len(i), i);
		error = appender_append(appender, buf, piece_len(i), TIER_BULK, &locs[i]);
		if (error || i % 4 != 3)
			continue;
		error = appender_sync(appender);
		for (j = from; j <= i && !error; j++)
			durable[j] = true;
		from = i + 1;
	}
	*done = !error;
	appender_free(appender);
}

static void test_what_the_appender_called_durable_survives_every_cut(void **state)
{
	struct segment_loc locs[PIECES];
	uint8_t want[9100], got[9100];
	bool durable[PIECES], done = false;
	uint64_t step, code;
	unsigned i;

	(void)state;
	for (step = 1; !done; step++) {
		struct power *power = power_new("double", 2, 1 << 20);

		memset(durable, 0, sizeof(durable));
		power_arm(power, step);
		append_pieces(power, locs, durable, &done);
		assert_int_equal(power_rewrites(power), 0);
		for (code = 0; code < power_combinations(power); code++) {
			struct power *twin = power_clone(power);

			power_cut(twin, code, step * 1000 + code);
			for (i = 0; i < PIECES; i++) {
				if (!durable[i])
					continue;
				pattern(want, piece_len(i), i);
				assert_int_equal(tier_read(power_tier(twin), locs[i].seg, got,
							   piece_len(i), locs[i].off, TIER_BULK),
						 0);
				assert_memory_equal(got, want, piece_len(i));
			}
			power_free(twin);
		}
		power_free(power);
	}
	assert_true(step > PIECES);
}

static void test_appender_with_every_tier_call_failing(void **state)
{
	static const int errors[] = {-EIO, -ENOSPC};
	struct segment_loc locs[PIECES];
	uint8_t want[9100], got[9100];
	bool durable[PIECES], done;
	uint64_t n, hits;
	unsigned i, k;

	(void)state;
	for (k = 0; k < 4; k++) {
		for (n = 1, hits = 1; hits; n++) {
			struct power *power = power_new("double", 2, 1 << 20);

			memset(durable, 0, sizeof(durable));
			power_fault(power, n, errors[k % 2], k / 2);
			append_pieces(power, locs, durable, &done);
			hits = power_faults(power);
			/* With a second place, one failed write is nobody's loss. */
			assert_true(done || hits);
			power_cut(power, 0x5555555555555555u, n); /* unsynced is lost */
			for (i = 0; i < PIECES; i++) {
				if (!durable[i])
					continue;
				pattern(want, piece_len(i), i);
				assert_int_equal(tier_read(power_tier(power), locs[i].seg, got,
							   piece_len(i), locs[i].off, TIER_BULK),
						 0);
				assert_memory_equal(got, want, piece_len(i));
			}
			power_free(power);
		}
	}
}

static void test_capacity_and_punching(void **state)
{
	struct power *power = power_new("double", 1, 16384);
	struct tier *tier = power_tier(power);
	struct tier_segment seg = {.id = 9};
	struct tier_space space;
	uint8_t buf[16384];

	(void)state;
	memset(buf, 1, sizeof(buf));
	assert_int_equal(tier_segment_create(tier, seg), 0);
	assert_int_equal(tier_write(tier, seg, buf, 16384, 0, TIER_BULK), 0);
	assert_int_equal(tier_write(tier, seg, buf, 1, 16384, TIER_BULK), -ENOSPC);
	assert_int_equal(tier_punch(tier, seg, 8192, 100), 0);
	assert_int_equal(tier_space(tier, 0, &space), 0);
	assert_int_equal(space.free, 4096);
	assert_int_equal(tier_write(tier, seg, buf, 1, 16384, TIER_BULK), 0);
	assert_int_equal(tier_sync(tier, seg), 0);
	assert_int_equal(power_rewrites(power), 0);
	assert_int_equal(tier_write(tier, seg, buf, 1, 16385, TIER_BULK), 0);
	assert_int_equal(power_rewrites(power), 1);
	power_free(power);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_good_mover_survives_every_cut),
		cmocka_unit_test(test_seeded_bugs_are_caught),
		cmocka_unit_test(test_outcomes_are_what_they_say),
		cmocka_unit_test(test_one_shared_outcome_would_miss_it),
		cmocka_unit_test(test_what_the_appender_called_durable_survives_every_cut),
		cmocka_unit_test(test_appender_with_every_tier_call_failing),
		cmocka_unit_test(test_capacity_and_punching),
	};
	log_capture();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
