// SPDX-License-Identifier: Apache-2.0
/* Ping-pong: what is remembered of demotions, and the gain that is made of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tiers/engine/ghost.h"

#define NOW 1000000u

static void test_a_ghost_is_seen_for_a_day_and_once(void **state)
{
	struct ghost_counts counts;
	struct ghosts *ghosts;

	(void)state;
	assert_int_equal(ghosts_new(&ghosts), 0);
	assert_false(ghosts_has(ghosts, 1, NOW));
	assert_false(ghosts_has(ghosts, 0, NOW));
	ghosts_demoted(ghosts, 1, NOW);
	ghosts_demoted(ghosts, 2, NOW);
	assert_true(ghosts_has(ghosts, 1, NOW));
	assert_true(ghosts_has(ghosts, 1, NOW + GHOST_WINDOW_S));
	assert_false(ghosts_has(ghosts, 1, NOW + GHOST_WINDOW_S + 1));
	assert_true(ghosts_has(ghosts, 1, NOW - 5)); /* the clock was set back */
	ghosts_promoted(ghosts, 1, NOW + 10);
	assert_false(ghosts_has(ghosts, 1, NOW + 10));
	assert_true(ghosts_has(ghosts, 2, NOW + 10));
	ghosts_promoted(ghosts, 1, NOW + 20);
	ghosts_promoted(ghosts, 2, NOW + GHOST_WINDOW_S + 1);
	ghosts_counts(ghosts, &counts);
	assert_int_equal(counts.promotions, 3);
	assert_int_equal(counts.pingpong, 1);
	/* Down again: the time is the last one. */
	ghosts_demoted(ghosts, 3, NOW);
	ghosts_demoted(ghosts, 3, NOW + 1000);
	assert_true(ghosts_has(ghosts, 3, NOW + GHOST_WINDOW_S + 1000));
	ghosts_free(ghosts);
	ghosts_free(NULL);
}

static void test_the_table_is_bounded_and_forgets_the_oldest(void **state)
{
	struct ghosts *ghosts;
	unsigned kept = 0;

	(void)state;
	assert_int_equal(ghosts_new(&ghosts), 0);
	for (uint32_t i = 1; i <= 3 * GHOST_ENTRIES; i++)
		ghosts_demoted(ghosts, i, NOW + i / 100);
	/* Of the younger half of what fits, nearly all are there. */
	for (uint32_t i = 0; i < GHOST_ENTRIES / 2; i++)
		kept += ghosts_has(ghosts, 3 * GHOST_ENTRIES - i, NOW + 3000);
	assert_true(kept > GHOST_ENTRIES / 2 * 95 / 100);
	ghosts_free(ghosts);
}

/* `bad` of 100 promotions, every 100/bad-th, come up from where they had gone down to. */
static void promote(struct ghosts *ghosts, unsigned n, unsigned bad, uint64_t first, uint32_t now_s)
{
	for (unsigned i = 0; i < n; i++) {
		if (i * bad / 100 != (i + 1) * bad / 100)
			ghosts_demoted(ghosts, first + i, now_s);
		ghosts_promoted(ghosts, first + i, now_s);
	}
}

static void assert_near(double a, double b)
{
	assert_true(a > b - 0.05 * b && a < b + 0.05 * b);
}

static void test_ping_pong_raises_the_gain_and_time_lowers_it(void **state)
{
	struct ghosts *ghosts;

	(void)state;
	assert_int_equal(ghosts_new(&ghosts), 0);
	assert_near(ghosts_gain(ghosts, NOW), 1);
	/* A single one, though it is all there is, is a small part of what will be. */
	promote(ghosts, 1, 100, 1, NOW);
	assert_near(ghosts_gain(ghosts, NOW), 2);
	promote(ghosts, 1000, 0, 1000, NOW);
	assert_near(ghosts_gain(ghosts, NOW), 1);
	promote(ghosts, 600, 2, 10000, NOW);
	assert_in_range(ghosts_gain(ghosts, NOW) * 100, 350, 460);
	promote(ghosts, 600, 5, 20000, NOW);
	assert_in_range(ghosts_gain(ghosts, NOW) * 100, 2800, 3600);
	promote(ghosts, 600, 80, 30000, NOW);
	assert_near(ghosts_gain(ghosts, NOW), 64);
	assert_near(ghosts_gain(ghosts, NOW + GHOST_WINDOW_S), 64);
	assert_near(ghosts_gain(ghosts, NOW + GHOST_WINDOW_S + 1), 1);
	promote(ghosts, 600, 0, 40000, NOW);
	assert_near(ghosts_gain(ghosts, NOW), 1);
	ghosts_free(ghosts);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_ghost_is_seen_for_a_day_and_once),
		cmocka_unit_test(test_the_table_is_bounded_and_forgets_the_oldest),
		cmocka_unit_test(test_ping_pong_raises_the_gain_and_time_lowers_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
