// SPDX-License-Identifier: Apache-2.0
/* Time windows: the grammar of terrace.conf(5), and when they are open. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "tests/unit/fix_bytes.h"
#include "tiers/engine/window.h"

#define DAY 86400u

enum { MON, TUE, WED, THU, FRI, SAT, SUN };

/* A week in 2026 that begins on Monday the 5th of January. */
static uint64_t at(unsigned day, unsigned hour, unsigned minute)
{
	return 1767571200u + day * DAY + hour * 3600 + minute * 60;
}

static struct window parse(const char *text)
{
	struct window window;
	char why[128] = "";
	int rc = window_parse(text, &window, why, sizeof(why));

	if (rc)
		fail_msg("'%s': %s", text ? text : "NULL", why);
	return window;
}

static unsigned open_slots(const struct window *window)
{
	unsigned n = 0;

	for (unsigned slot = 0; slot < WINDOW_SLOTS; slot++)
		n += window_open(window, at(MON, 0, 0) + slot * 900);
	return n;
}

static void test_always(void **state)
{
	static const char *const texts[] = {NULL,
					    "always",
					    "ALWAYS",
					    "Mon-Sun",
					    "0:00-24:00",
					    "Wed-Tue",
					    "mon - SUN 00:00 - 24:00"};

	(void)state;
	for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct window window = parse(texts[i]);

		assert_int_equal(open_slots(&window), WINDOW_SLOTS);
		assert_int_equal(window_wait_s(&window, at(SAT, 3, 0)), 0);
	}
}

static void test_times_of_the_day(void **state)
{
	struct window window = parse("9:15-17:30");

	(void)state;
	assert_int_equal(open_slots(&window), 7 * 33);
	for (unsigned day = MON; day <= SUN; day++) {
		assert_false(window_open(&window, at(day, 9, 14)));
		assert_true(window_open(&window, at(day, 9, 15)));
		assert_true(window_open(&window, at(day, 17, 29)));
		assert_false(window_open(&window, at(day, 17, 30)));
	}
	assert_int_equal(window_wait_s(&window, at(SUN, 17, 30)), (15 * 60 + 45) * 60);
	assert_int_equal(window_wait_s(&window, at(TUE, 9, 14) + 59), 1);
	assert_int_equal(window_wait_s(&window, at(TUE, 9, 15)), 0);
}

static void test_a_night_belongs_to_the_day_on_which_it_begins(void **state)
{
	struct window window = parse("Fri 22:00-6:00");

	(void)state;
	assert_int_equal(open_slots(&window), 32);
	assert_false(window_open(&window, at(FRI, 5, 0)));
	assert_true(window_open(&window, at(FRI, 22, 0)));
	assert_true(window_open(&window, at(SAT, 5, 59)));
	assert_false(window_open(&window, at(SAT, 6, 0)));
	window = parse("Sun 23:00-1:00"); /* and round the end of the week */
	assert_true(window_open(&window, at(MON, 0, 45)));
	assert_true(window_open(&window, at(SUN, 23, 0)));
	assert_int_equal(open_slots(&window), 8);
	window = parse("22:00-06:00");
	assert_int_equal(open_slots(&window), 7 * 32);
	assert_true(window_open(&window, at(MON, 0, 0)));
}

static void test_days_go_round_the_week(void **state)
{
	struct window window = parse("Sat-Mon");

	(void)state;
	assert_int_equal(open_slots(&window), 3 * 96);
	assert_true(window_open(&window, at(SAT, 0, 0)));
	assert_true(window_open(&window, at(SUN, 12, 0)));
	assert_true(window_open(&window, at(MON, 23, 59)));
	assert_false(window_open(&window, at(TUE, 0, 0)));
	assert_int_equal(window_wait_s(&window, at(TUE, 0, 0)), 4 * DAY);
	window = parse("Wed-Wed");
	assert_int_equal(open_slots(&window), 96);
}

static void test_parts_add_up(void **state)
{
	struct window window = parse("Mon-Fri 20:00-24:00, Sat,SUNDAY");

	(void)state;
	assert_int_equal(open_slots(&window), 5 * 16 + 2 * 96);
	assert_true(window_open(&window, at(WED, 20, 0)));
	assert_false(window_open(&window, at(THU, 0, 0)));
	assert_true(window_open(&window, at(SAT, 10, 0)));
	assert_true(window_open(&window, at(SUN, 23, 59)));
	assert_false(window_open(&window, at(MON, 0, 0)));
	/* Blanks and letters do not matter; overlaps count once. */
	window = parse("  mon-fri   20:00 - 24:00 ,tuesday 21:00-22:00 , 0:00-0:15  ");
	assert_int_equal(open_slots(&window), 5 * 16 + 7);
}

static void test_what_is_no_window(void **state)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
		{"", "should be a day"},
		{" ", "should be a day"},
		{",", "should be a day"},
		{"Mon,", "should be a day"},
		{"Mon,,Tue", "should be a day"},
		{"Mo", "'Mo' should be a day"},
		{"Mond", "'Mond' should be a day"},
		{"always, Mon", "'always' should be a day"},
		{"22", "should be a time like"},
		{"22:00", "until when"},
		{"22:0-23:00", "should be a time like"},
		{"22:000-23:00", "should be a time like"},
		{"022:00-23:00", "should be a time like"},
		{"22:00-", "should be a time like"},
		{"22:10-23:00", "quarters of an hour"},
		{"22:60-23:00", "quarters of an hour"},
		{"25:00-26:00", "quarters of an hour"},
		{"24:15-1:00", "quarters of an hour"},
		{"22:00-22:00", "ends later"},
		{"24:00-6:00", "begins before 24:00"},
		{"Mon-", "should be a day"},
		{"Mon-22:00", "should be a day"},
		{"Mon-Fri-Sun", "'-Sun' should be after a comma"},
		{"22:00-6:00 Sat", "'Sat' should be after a comma"},
		{"Mon 1:00-2:00 3:00-4:00", "should be after a comma"},
		{"Mon;Tue", "should be a day"},
		{"Mon\nTue", "should be a day"},
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct window window;
		char why[128] = "", small[8];

		assert_int_equal(window_parse(cases[i].text, &window, why, sizeof(why)), -EINVAL);
		if (!strstr(why, cases[i].says) || strchr(why, '\n'))
			fail_msg("'%s': %s", cases[i].text, why);
		assert_int_equal(open_slots(&window), 0);
		assert_int_equal(window_parse(cases[i].text, &window, small, sizeof(small)),
				 -EINVAL);
		assert_int_equal(window_wait_s(&window, at(MON, 0, 0)), UINT32_MAX);
	}
}

/* When it is said to open, it does, and not before. */
static void test_waiting_ends_when_it_opens(void **state)
{
	uint64_t seed = 5;

	(void)state;
	for (unsigned round = 0; round < 20000; round++) {
		struct window window = {0};
		uint64_t now = bytes_random(&seed) % (200 * 365 * (uint64_t)DAY);
		uint32_t wait;

		for (unsigned i = 0; i < 3; i++) {
			unsigned slot = (unsigned)(bytes_random(&seed) % WINDOW_SLOTS);

			window.bits[slot / 64] |= UINT64_C(1) << slot % 64;
		}
		wait = window_wait_s(&window, now);
		assert_true(wait < 7 * DAY);
		assert_true(window_open(&window, now + wait));
		assert_true(!wait || !window_open(&window, now + wait - 1));
		assert_true(!wait || !window_open(&window, now + bytes_random(&seed) % wait));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_always),
		cmocka_unit_test(test_times_of_the_day),
		cmocka_unit_test(test_a_night_belongs_to_the_day_on_which_it_begins),
		cmocka_unit_test(test_days_go_round_the_week),
		cmocka_unit_test(test_parts_add_up),
		cmocka_unit_test(test_what_is_no_window),
		cmocka_unit_test(test_waiting_ends_when_it_opens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
