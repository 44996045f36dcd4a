// SPDX-License-Identifier: Apache-2.0
/*
 * Months of a pool in seconds: working sets that change every week, a scan every night, a backup
 * every week, data that comes and goes; budgets, windows, a disk that fails. What is asserted is
 * what terrace(7) and the issue promise, not what happened to come out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "tests/unit/fix_bytes.h"
#include "tests/unit/fix_months.h"

#define FRAMES 4000u
#define SSD    800u
#define HDD    2000u
#define ARC    4000u
#define STEP_S 60u

/* What happens in a minute. */
struct life {
	struct months months;
	uint32_t hot_first, hot; /* the working set: so many frames from there on */
	double per_hour;	 /* reads of each frame of it */
	uint32_t shift_s;	 /* it moves on by its size this often; 0 = never */
	bool scans, backups, ingest;
	uint32_t next_new;    /* ingest: the frame that is written next */
	uint64_t scanned;     /* bytes */
	uint64_t scan_up;     /* frames that came up in the hour after a scan began */
	uint64_t reads, fast; /* of the working set, from two passes after a shift on */
	uint64_t moves_last_day, day_moves;
};

static void life_init(struct life *life, uint32_t ntiers)
{
	static const uint32_t three[] = {SSD, HDD, ARC}, two[] = {SSD, ARC + HDD};

	*life = (struct life){.hot = SSD * 3 / 10, .per_hour = 15, .next_new = FRAMES * 2 / 3};
	months_init(&life->months, FRAMES, ntiers == 2 ? two : three, ntiers);
}

static void read_hot(struct life *life)
{
	struct months *months = &life->months;
	double expected = life->per_hour * life->hot * STEP_S / 3600;
	uint64_t n = (uint64_t)expected + ((double)(bytes_random(&months->seed) % 1000) <
					   (expected - (double)(uint64_t)expected) * 1000);

	for (uint64_t i = 0; i < n; i++)
		months_read(
			months,
			(life->hot_first + (uint32_t)(bytes_random(&months->seed) % life->hot)) %
				FRAMES,
			2);
}

/* A tenth of a scan of everything, or of the large files. */
static void scan_tenth(struct life *life, unsigned tenth, bool small)
{
	struct months *months = &life->months;

	for (uint32_t f = FRAMES / 10 * tenth; f < FRAMES / 10 * (tenth + 1); f++)
		if (months->frames[f].tier && (small || !months_is_small(f))) {
			months_scan(months, f);
			life->scanned += MONTHS_FRAME;
		}
}

/* Every night a scan, in ten minutes. On Saturdays a backup that reads large files twice, the
 * second time five minutes after the first: evidence, were it not a scan. */
static void scan(struct life *life, uint32_t now_s)
{
	uint32_t night = now_s % DAY_S / STEP_S, week = (now_s - MONTHS_BEGIN) % WEEK_S / STEP_S;

	if (life->scans && night >= 120 && night < 130)
		scan_tenth(life, night - 120, true);
	if (life->backups && week >= 7320 && week < 7330)
		scan_tenth(life, week - 7320, true);
	if (life->backups && week == 7329 + 5)
		scan_tenth(life, 9, false);
}

/* 40 new frames a day, in the place of the oldest. */
static void write_new(struct life *life)
{
	months_write(&life->months, life->next_new);
	life->next_new = (life->next_new + 1) % FRAMES;
}

static void live(struct life *life, uint32_t seconds)
{
	struct months *months = &life->months;
	uint32_t begin = months->now_s;

	for (uint32_t s = 0; s < seconds; s += STEP_S) {
		uint32_t now_s = begin + s, day_s = now_s % DAY_S, since_s;
		uint64_t reads = months->counts.reads, fast = months->counts.fast;
		uint64_t up = months->counts.up;

		months->now_s = now_s;
		if (life->shift_s && s && s % life->shift_s == 0)
			life->hot_first = (life->hot_first + life->hot) % FRAMES;
		since_s = life->shift_s ? s % life->shift_s : s;
		read_hot(life);
		if (since_s >= 2 * months->interval_s) {
			life->reads += months->counts.reads - reads;
			life->fast += months->counts.fast - fast;
		}
		scan(life, now_s);
		if (life->ingest && day_s % (DAY_S / 40) == 0)
			write_new(life);
		months_advance(months, now_s);
		if (life->scans && day_s >= 2 * HOUR_S && day_s < 3 * HOUR_S)
			life->scan_up += months->counts.up - up;
		if (day_s == 0) {
			life->day_moves = months_moves(months) - life->moves_last_day;
			life->moves_last_day = months_moves(months);
		}
	}
	months->now_s = begin + seconds;
}

static void tell(const struct life *life, const char *what)
{
	const struct months_counts *counts = &life->months.counts;

	print_message("%s: %llu frames up, %llu down; ping-pong %.1f %% of moves; %.1f %% of the "
		      "working set's reads from the ssd; %.3f %% of what scans read came up; %llu "
		      "moves on the last day\n",
		      what, (unsigned long long)counts->up, (unsigned long long)counts->down,
		      100 * months_pingpong(&life->months),
		      life->reads ? 100.0 * (double)life->fast / (double)life->reads : 0,
		      life->scanned ? 100.0 * (double)(life->scan_up * MONTHS_FRAME) /
					      (double)life->scanned
				    : 0,
		      (unsigned long long)life->day_moves);
}

/* A working set of so much of the ssd, another one every week; three or two tiers. */
static void live_a_month(unsigned percent, uint32_t ntiers, const char *what)
{
	struct life life;

	life_init(&life, ntiers);
	life.hot = SSD * percent / 100;
	life.shift_s = WEEK_S;
	life.scans = life.backups = life.ingest = true;
	live(&life, 30 * DAY_S);
	tell(&life, what);
	assert_true(life.months.counts.up >= 4 * life.hot * 9 / 10);
	assert_true(months_pingpong(&life.months) < 0.05);
	/* From two passes after each change on; 95 % is what the issue asks for. */
	assert_true(life.fast * 100 > life.reads * 97);
	/* The issue asks for 2 %; two of a thousand are as many as the backups read again. */
	assert_true(life.scan_up * MONTHS_FRAME * 500 < life.scanned);
	months_release(&life.months);
}

static void test_a_month_of_shifting_work(void **state)
{
	(void)state;
	live_a_month(30, 3, "a small working set");
	live_a_month(60, 2, "a large working set");
}

/* The same load for days: what is to come up does on the first, then nothing moves, be the working
 * set smaller than the ssd, as large, or twice as large. */
static void test_nothing_moves_when_nothing_changes(void **state)
{
	static const unsigned percent[] = {30, 100, 200};

	(void)state;
	for (unsigned i = 0; i < sizeof(percent) / sizeof(percent[0]); i++) {
		struct life life;

		life_init(&life, 3);
		life.hot = SSD * percent[i] / 100;
		live(&life, 3 * DAY_S + HOUR_S);
		tell(&life, "the same load");
		assert_in_range(life.day_moves, 0, life.hot / 100);
		assert_true(months_pingpong(&life.months) < 0.01);
		/* It is full of the working set. */
		assert_true(life.months.used[MONTHS_SSD] / MONTHS_FRAME >=
			    (life.hot < SSD * 88 / 100 ? life.hot : SSD * 88 / 100));
		months_release(&life.months);
	}
}

/* A frame by Zipf's law with exponent 1: no working set, everything is read now and then. */
static uint32_t by_zipf(const double *sums, uint64_t *seed)
{
	double x =
		(double)(bytes_random(seed) >> 11) / (double)(UINT64_C(1) << 53) * sums[FRAMES - 1];
	uint32_t low = 0, high = FRAMES - 1;

	while (low < high) {
		uint32_t middle = (low + high) / 2;

		if (sums[middle] < x)
			low = middle + 1;
		else
			high = middle;
	}
	return low * 1607 % FRAMES; /* scattered */
}

/* The threshold runs through the middle of data that is read by chance: where ping-pong comes from.
 * The best 720 frames, 90 % of the ssd, would serve 80.7 % of the reads. */
static void test_reads_by_chance_do_not_make_ping_pong(void **state)
{
	double *sums = calloc(FRAMES, sizeof(*sums));
	struct life life;

	(void)state;
	assert_non_null(sums);
	for (uint32_t i = 0; i < FRAMES; i++)
		sums[i] = (i ? sums[i - 1] : 0) + 1.0 / (i + 1);
	life_init(&life, 2);
	life.per_hour = 0;
	for (uint32_t minute = 0; minute < 7 * DAY_S / 60; minute++) {
		if (minute == 3 * DAY_S / 60)
			life.months.counts.reads = life.months.counts.fast = 0;
		for (unsigned i = 0; i < 60; i++)
			months_read(&life.months, by_zipf(sums, &life.months.seed), 1);
		live(&life, 60);
	}
	life.reads = life.months.counts.reads;
	life.fast = life.months.counts.fast;
	tell(&life, "reads by chance");
	assert_true(months_pingpong(&life.months) < 0.05);
	assert_true(life.fast * 100 > life.reads * 78);
	/* Nor does it come and go once a day, which would not be called ping-pong. */
	assert_in_range(months_moves(&life.months), SSD * 9 / 10, 6 * SSD);
	months_release(&life.months);
	free(sums);
}

/* months.c checks every move for the window, ages and residency. */
static void test_budget_and_window_are_kept(void **state)
{
	struct life life;

	(void)state;
	life_init(&life, 3);
	life.shift_s = WEEK_S;
	life.scans = life.backups = life.ingest = true;
	life.months.budget = 60 * MONTHS_FRAME;
	assert_int_equal(window_parse("Mon-Fri 22:00-08:00, Sun", &life.months.window, NULL, 0), 0);
	live(&life, 28 * DAY_S);
	tell(&life, "60 frames a day, at night");
	assert_true(life.months.counts.budget_most <= life.months.budget);
	assert_true(life.months.counts.budget_most >= life.months.budget / 2);
	assert_true(life.months.counts.blocked[BLOCK_BUDGET] > 0);
	assert_true(life.months.counts.blocked[BLOCK_WINDOW] > 0);
	months_release(&life.months);
}

/* A week in which the slow disk fails from the third to the fifth day, wholly or every other time.
 */
static void fail_for_days(unsigned percent, struct months_counts *outage, struct life *life)
{
	struct months_counts before;

	life_init(life, 2);
	life->shift_s = DAY_S;
	life->scans = life->ingest = true;
	live(life, 2 * DAY_S);
	assert_int_equal(life->months.counts.events, 0);
	before = life->months.counts;
	life->months.failing = 2;
	life->months.fail_percent = percent;
	live(life, 3 * DAY_S);
	*outage = life->months.counts;
	outage->batches -= before.batches;
	outage->failed -= before.failed;
	outage->up -= before.up;
	life->months.failing = 0;
	live(life, 2 * DAY_S);
	tell(life, "a week with an outage");
	print_message("  %llu batches tried in three bad days, %llu failed; opened %llu times\n",
		      (unsigned long long)outage->batches, (unsigned long long)outage->failed,
		      (unsigned long long)life->months.breakers[2].opened);
}

static void test_a_disk_that_fails_is_left_alone(void **state)
{
	struct months_counts outage;
	struct life life;

	(void)state;
	fail_for_days(100, &outage, &life);
	assert_int_equal(life.months.breakers[2].opened, 1);
	assert_int_equal(life.months.breakers[1].opened, 0);
	assert_int_equal(life.months.counts.events, 2); /* opened, closed */
	/* Some until it opens, the doubling pauses, then one an hour. */
	assert_in_range(outage.failed, BREAKER_FAILURES, BREAKER_FAILURES + 7 + 72);
	assert_int_equal(outage.batches, outage.failed);
	assert_int_equal(outage.up, 0);
	/* When it works again, all is as it was before: the next day's working set comes up. */
	assert_int_equal(life.months.breakers[2].state, BREAKER_CLOSED);
	assert_true(life.months.counts.up > outage.up + 2 * life.hot);
	months_release(&life.months);
	fail_for_days(50, &outage, &life);
	assert_in_range(life.months.breakers[2].opened, 1, 8);
	assert_int_equal(life.months.breakers[2].state, BREAKER_CLOSED);
	assert_in_range(outage.failed, 1, 150);
	months_release(&life.months);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_month_of_shifting_work),
		cmocka_unit_test(test_nothing_moves_when_nothing_changes),
		cmocka_unit_test(test_reads_by_chance_do_not_make_ping_pong),
		cmocka_unit_test(test_budget_and_window_are_kept),
		cmocka_unit_test(test_a_disk_that_fails_is_left_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
