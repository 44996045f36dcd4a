// SPDX-License-Identifier: Apache-2.0
/* Breakers and budgets: what is not tried, and for how long. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "tests/unit/fix_bytes.h"
#include "tiers/engine/breaker.h"
#include "tiers/engine/budget.h"

#define NOW  1700000000u
#define HOUR 3600u
#define DAY  86400u

static void test_it_opens_after_failures_in_a_row(void **state)
{
	struct breaker breaker = {0};

	(void)state;
	for (unsigned i = 0; i < 3 * (BREAKER_FAILURES - 1); i++) {
		assert_true(breaker_allows(&breaker, NOW));
		assert_false(breaker_note(
			&breaker, i % BREAKER_FAILURES == BREAKER_FAILURES - 1 ? 0 : -EIO, NOW));
	}
	memset(&breaker, 0, sizeof(breaker));
	for (unsigned i = 1; i < BREAKER_FAILURES; i++)
		assert_false(breaker_note(&breaker, -EIO, NOW));
	assert_true(breaker_note(&breaker, -ENOSPC, NOW));
	assert_int_equal(breaker.state, BREAKER_OPEN);
	assert_int_equal(breaker.error, -ENOSPC);
	assert_int_equal(breaker.opened, 1);
	assert_int_equal(breaker.until_s, NOW + BREAKER_FIRST_S);
	assert_false(breaker.storm);
	assert_false(breaker_allows(&breaker, NOW + BREAKER_FIRST_S - 1));
	/* What had begun before says nothing new. */
	assert_false(breaker_note(&breaker, 0, NOW + 1));
	assert_int_equal(breaker.state, BREAKER_OPEN);
}

static void test_it_opens_when_half_of_the_last_fail(void **state)
{
	struct breaker breaker = {0};
	unsigned tried = 0;

	(void)state;
	do
		tried++;
	while (!breaker_note(&breaker, tried % 2 ? 0 : -EIO, NOW));
	assert_int_equal(tried, BREAKER_LAST);
	memset(&breaker, 0, sizeof(breaker));
	for (unsigned i = 0; i < 1000; i++) /* fewer: never */
		assert_false(breaker_note(&breaker, i % 3 ? 0 : -EIO, NOW));
}

static void open_it(struct breaker *breaker, uint32_t now_s)
{
	while (breaker->state == BREAKER_CLOSED)
		breaker_note(breaker, -EIO, now_s);
}

static void test_one_probe_at_a_time_with_doubling_pauses(void **state)
{
	static const uint32_t pauses[] = {60, 120, 240, 480, 960, 1920, 3600, 3600};
	struct breaker breaker = {0};
	uint32_t now_s = NOW;

	(void)state;
	open_it(&breaker, now_s);
	for (unsigned i = 0; i < sizeof(pauses) / sizeof(pauses[0]); i++) {
		assert_int_equal(breaker.pause_s, pauses[i]);
		assert_false(breaker_allows(&breaker, now_s + pauses[i] - 1));
		now_s += pauses[i];
		assert_true(breaker_allows(&breaker, now_s));
		assert_int_equal(breaker.state, BREAKER_PROBING);
		assert_false(breaker_allows(&breaker, now_s));
		assert_false(breaker_note(&breaker, -EIO, now_s));
		assert_int_equal(breaker.state, BREAKER_OPEN);
	}
	assert_int_equal(breaker.opened, 1);
	assert_true(breaker_allows(&breaker, now_s + HOUR));
	assert_true(breaker_note(&breaker, 0, now_s + HOUR));
	assert_int_equal(breaker.state, BREAKER_CLOSED);
	assert_int_equal(breaker.error, 0);
	assert_true(breaker_allows(&breaker, now_s + HOUR));
}

static void test_a_probe_that_never_ends_is_not_the_last(void **state)
{
	struct breaker breaker = {0};

	(void)state;
	open_it(&breaker, NOW);
	assert_true(breaker_allows(&breaker, NOW + 60));
	assert_false(breaker_allows(&breaker, NOW + 119));
	assert_true(breaker_allows(&breaker, NOW + 120));
}

static void test_a_clock_set_back_does_not_keep_it_open(void **state)
{
	struct breaker breaker = {0};

	(void)state;
	open_it(&breaker, NOW);
	assert_true(breaker_allows(&breaker, NOW - 10 * DAY));
	assert_true(breaker_note(&breaker, 0, NOW - 10 * DAY));
}

static void test_what_opens_again_must_do_better(void **state)
{
	struct breaker breaker = {0};
	uint32_t now_s = NOW;

	(void)state;
	for (unsigned round = 0, needed = 1; round < 10; round++) {
		open_it(&breaker, now_s);
		assert_int_equal(breaker.needed, needed);
		now_s += breaker.pause_s;
		for (unsigned i = 1; i < needed; i++) {
			assert_true(breaker_allows(&breaker, now_s));
			assert_false(breaker_note(&breaker, 0, now_s));
		}
		assert_true(breaker_allows(&breaker, now_s));
		assert_true(breaker_note(&breaker, 0, now_s));
		needed = needed < 64 ? needed * 2 : 64;
	}
	open_it(&breaker, now_s + 2 * DAY); /* forgotten */
	assert_int_equal(breaker.needed, 1);
	assert_int_equal(breaker.pause_s, BREAKER_FIRST_S);
}

static void test_a_storm_opens_it_for_long(void **state)
{
	struct breaker breaker = {0};
	uint32_t now_s = NOW / HOUR * HOUR;

	(void)state;
	for (unsigned i = 0; i < 100; i++) /* once its size per hour, for days */
		assert_false(breaker_wrote(&breaker, 1000, 1000, now_s + i * HOUR));
	now_s += 200 * HOUR;
	for (unsigned i = 0; i < BREAKER_STORM; i++)
		assert_false(breaker_wrote(&breaker, 1000, 1000, now_s + i));
	assert_true(breaker_wrote(&breaker, 1000, 1000, now_s + 10));
	assert_true(breaker.storm);
	assert_int_equal(breaker.opened, 1);
	assert_false(breaker_wrote(&breaker, 100000, 1000, now_s + 10));
	assert_false(breaker_allows(&breaker, now_s + 9 + BREAKER_MAX_S));
	assert_true(breaker_allows(&breaker, now_s + 10 + BREAKER_MAX_S));
	assert_true(breaker_note(&breaker, 0, now_s + 10 + BREAKER_MAX_S));
	assert_false(breaker.storm);
	assert_false(breaker_wrote(&breaker, 100000, 0, now_s)); /* size not known */
}

/* A batch every minute for a week; from Wednesday to Friday `percent` of those that are made fail.
 */
struct week {
	unsigned tried, failed, events, opened;
	enum breaker_state end;
};

static void live_a_week(unsigned percent, uint64_t seed, struct week *week)
{
	struct breaker breaker = {0};

	memset(week, 0, sizeof(*week));
	for (uint32_t now_s = NOW; now_s < NOW + 7 * DAY; now_s += 60) {
		bool bad = now_s > NOW + 2 * DAY && now_s < NOW + 5 * DAY &&
			   bytes_random(&seed) % 100 < percent;
		bool outage = now_s > NOW + 2 * DAY && now_s < NOW + 5 * DAY;

		if (!breaker_allows(&breaker, now_s))
			continue;
		week->tried += outage;
		week->failed += bad;
		week->events += breaker_note(&breaker, bad ? -EIO : 0, now_s);
	}
	week->opened = (unsigned)breaker.opened;
	week->end = breaker.state;
}

static void test_a_week_with_an_outage(void **state)
{
	struct week week;

	(void)state;
	live_a_week(100, 1, &week);
	assert_int_equal(week.opened, 1);
	assert_int_equal(week.events, 2);
	assert_in_range(week.tried, 5 + 70, 5 + 7 + 72);
	assert_int_equal(week.end, BREAKER_CLOSED);
	/* One of two directories fails: half of what is tried. Of 4320 batches few are tried. */
	for (uint64_t seed = 1; seed <= 20; seed++) {
		live_a_week(50, seed, &week);
		assert_in_range(week.opened, 1, 8);
		assert_in_range(week.failed, 5, 200);
		assert_int_equal(week.end, BREAKER_CLOSED);
	}
	live_a_week(0, 1, &week);
	assert_int_equal(week.events, 0);
	assert_int_equal(week.tried, 3 * 1440 - 1);
}

static void test_breaker_names(void **state)
{
	(void)state;
	assert_string_equal(breaker_name(BREAKER_CLOSED), "closed");
	assert_string_equal(breaker_name(BREAKER_OPEN), "open");
	assert_string_equal(breaker_name(BREAKER_PROBING), "probing");
	assert_string_equal(breaker_name(3), "unknown");
}

/* Budgets -------------------------------------------------------------------------------------- */

static void test_a_budget_is_of_one_day(void **state)
{
	struct budget budget = {0};
	uint32_t midnight = NOW / DAY * DAY + DAY;

	(void)state;
	assert_true(budget_left(&budget, 0, NOW) == UINT64_MAX);
	assert_int_equal(budget_left(&budget, 1000, NOW), 1000);
	budget_spend(&budget, 400, NOW);
	budget_spend(&budget, 500, midnight - 1);
	assert_int_equal(budget_left(&budget, 1000, midnight - 1), 100);
	assert_int_equal(budget_left(&budget, 800, midnight - 1), 0); /* was made smaller */
	assert_true(budget_left(&budget, 0, NOW) == UINT64_MAX);
	assert_int_equal(budget_renewed_at(NOW), midnight);
	assert_int_equal(budget_renewed_at(midnight - 1), midnight);
	assert_int_equal(budget_renewed_at(midnight), midnight + DAY);
	assert_int_equal(budget_left(&budget, 1000, midnight), 1000);
	budget_spend(&budget, 1, midnight);
	assert_int_equal(budget_left(&budget, 1000, midnight), 999);
	budget_spend(&budget, UINT64_MAX, midnight);
	assert_int_equal(budget_left(&budget, UINT64_MAX - 1, midnight), 0);
	/* A clock that was a year ahead must not stop moves for a year. */
	assert_int_equal(budget_left(&budget, 1000, NOW - DAY), 1000);
	assert_int_equal(budget_renewed_at(UINT32_MAX), UINT32_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_it_opens_after_failures_in_a_row),
		cmocka_unit_test(test_it_opens_when_half_of_the_last_fail),
		cmocka_unit_test(test_one_probe_at_a_time_with_doubling_pauses),
		cmocka_unit_test(test_a_probe_that_never_ends_is_not_the_last),
		cmocka_unit_test(test_a_clock_set_back_does_not_keep_it_open),
		cmocka_unit_test(test_what_opens_again_must_do_better),
		cmocka_unit_test(test_a_storm_opens_it_for_long),
		cmocka_unit_test(test_a_week_with_an_outage),
		cmocka_unit_test(test_breaker_names),
		cmocka_unit_test(test_a_budget_is_of_one_day),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
