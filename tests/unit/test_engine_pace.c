// SPDX-License-Identifier: Apache-2.0
/* How fast background moves go: limits, the start, and stepping back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "tiers/engine/pace.h"

#define MS  UINT64_C(1000000)
#define S   UINT64_C(1000000000)
#define MIB (UINT64_C(1) << 20)

struct run {
	struct pace pace;
	struct pace_limits limits;
	struct pace_facts facts;
};

static void run_init(struct run *run)
{
	memset(run, 0, sizeof(*run));
	run->facts.began_ns = 5 * S;
	run->facts.now_ns = 3600 * S;
	run->limits.pressure_percent = 40;
}

/* A batch of 16 MiB in 100 ms; time goes on by that and what is waited. */
static uint64_t batch(struct run *run)
{
	uint64_t wait =
		pace_wait_ns(&run->pace, &run->limits, &run->facts, 16 * MIB, 128, 100 * MS);

	run->facts.now_ns += 100 * MS + wait;
	return wait;
}

static void test_full_speed_when_nothing_speaks_against_it(void **state)
{
	struct run run;

	(void)state;
	run_init(&run);
	for (unsigned i = 0; i < 10; i++) {
		assert_int_equal(batch(&run), 0);
		assert_true(run.pace.share == 1);
		assert_null(run.pace.why);
	}
}

static void test_limits_are_kept(void **state)
{
	struct run run;

	(void)state;
	run_init(&run);
	run.limits.bytes_per_s = 16 * MIB;
	assert_int_equal(batch(&run), 900 * MS);
	assert_string_equal(run.pace.why, "limit");
	run.limits.frames_per_s = 64;
	assert_int_equal(batch(&run), 1900 * MS);
	run.limits.bytes_per_s = run.limits.frames_per_s = 0;
	assert_int_equal(batch(&run), 0);
	assert_null(run.pace.why);
	run.limits.bytes_per_s = 1; /* no overflow */
	assert_true(pace_wait_ns(&run.pace, &run.limits, &run.facts, UINT64_MAX, 1, 0) > 86400 * S);
}

static void test_the_start_is_gradual(void **state)
{
	struct run run;
	double last = 0;
	uint64_t busy = 0;

	(void)state;
	run_init(&run);
	run.limits.start_ns = 60 * S;
	run.facts.now_ns = run.facts.began_ns;
	while (run.facts.now_ns < run.facts.began_ns + 60 * S) {
		batch(&run);
		busy += 100 * MS;
		assert_true(run.pace.share >= last);
		assert_string_equal(run.pace.why, "start");
		last = run.pace.share;
	}
	assert_in_range(busy, 15 * S, 35 * S); /* half of the time, about */
	for (unsigned i = 0; i < 20; i++)
		batch(&run);
	assert_true(run.pace.share == 1);
	assert_null(run.pace.why);
}

static void test_pressure_and_latency_step_back_and_recover(void **state)
{
	struct run run;

	(void)state;
	run_init(&run);
	batch(&run);
	run.facts.pressure = 41;
	assert_int_equal(batch(&run), 100 * MS);
	assert_true(run.pace.share == 0.5);
	assert_string_equal(run.pace.why, "pressure");
	/* Not again before a second has passed: what is measured lags. */
	batch(&run);
	assert_true(run.pace.share == 0.5);
	for (unsigned i = 0; i < 200; i++)
		batch(&run);
	assert_true(run.pace.share == 1.0 / 64); /* never nothing */
	run.limits.pressure_percent = 0;	 /* do not look */
	for (unsigned i = 0; i < 20; i++) {
		double before = run.pace.share;

		batch(&run);
		assert_true(run.pace.share >= before && run.pace.share <= before + 0.0626);
		if (run.pace.share < 1)
			assert_string_equal(run.pace.why, "pressure");
	}
	assert_true(run.pace.share == 1);
	assert_null(run.pace.why);
	run.facts.foreground_reads = 8;
	run.facts.foreground_ns = 16 * MS;
	run.facts.quiet_ns = 10 * MS;
	batch(&run);
	assert_string_equal(run.pace.why, "latency");
	assert_true(run.pace.share == 0.5);
}

static void test_what_is_no_trouble(void **state)
{
	static const struct pace_facts fine[] = {
		{.foreground_reads = 7, .foreground_ns = 50 * MS, .quiet_ns = MS}, /* too few */
		{.foreground_reads = 100, .foreground_ns = 50 * MS, .quiet_ns = 0},
		{.foreground_reads = 100, .foreground_ns = 14 * MS, .quiet_ns = 10 * MS},
		{.foreground_reads = 100, .foreground_ns = MS / 4, .quiet_ns = MS / 10},
		{.pressure = 40},
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(fine) / sizeof(fine[0]); i++) {
		struct run run;

		run_init(&run);
		batch(&run);
		run.facts.foreground_reads = fine[i].foreground_reads;
		run.facts.foreground_ns = fine[i].foreground_ns;
		run.facts.quiet_ns = fine[i].quiet_ns;
		run.facts.pressure = fine[i].pressure;
		assert_int_equal(batch(&run), 0);
	}
}

/* A foreground that suffers from more than a share: it settles about there, and neither starves nor
 * swings between all and nothing. */
static void test_it_settles_where_the_foreground_stands_it(void **state)
{
	struct run run;
	double sum = 0, least = 1;

	(void)state;
	run_init(&run);
	run.facts.quiet_ns = 10 * MS;
	run.facts.foreground_reads = 100;
	for (unsigned i = 0; i < 1000; i++) {
		run.facts.foreground_ns = run.pace.share > 0.4 ? 30 * MS : 11 * MS;
		batch(&run);
		if (i < 100)
			continue;
		sum += run.pace.share;
		least = run.pace.share < least ? run.pace.share : least;
	}
	assert_true(sum / 900 > 0.2 && sum / 900 < 0.5);
	assert_true(least > 0.15);
}

static void test_waits_are_bounded(void **state)
{
	struct run run;

	(void)state;
	run_init(&run);
	run.pace.share = 1.0 / 64;
	run.facts.pressure = 100;
	assert_int_equal(pace_wait_ns(&run.pace, &run.limits, &run.facts, 1, 1, 3600 * S), 60 * S);
}

static void test_the_kernel_is_asked(void **state)
{
	double pressure = pace_read_pressure();

	(void)state;
	assert_true(isfinite(pressure) && pressure >= 0 && pressure <= 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_full_speed_when_nothing_speaks_against_it),
		cmocka_unit_test(test_limits_are_kept),
		cmocka_unit_test(test_the_start_is_gradual),
		cmocka_unit_test(test_pressure_and_latency_step_back_and_recover),
		cmocka_unit_test(test_what_is_no_trouble),
		cmocka_unit_test(test_it_settles_where_the_foreground_stands_it),
		cmocka_unit_test(test_waits_are_bounded),
		cmocka_unit_test(test_the_kernel_is_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
