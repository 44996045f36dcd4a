// SPDX-License-Identifier: Apache-2.0
/* Heat: what the averages say, what counts as a touch, the table of frames, and that it survives.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "tests/unit/fix_bytes.h"
#include "tests/unit/fix_pool.h"
#include "tiers/engine/engine.h"
#include "tiers/engine/heat.h"
#include "tiers/pool_impl.h"

#define NOW  1700000000u
#define HOUR 3600u
#define DAY  86400u

static const struct heat_scale scale = {HOUR};
static const struct heat_state cold;

static void test_half_lives(void **state)
{
	struct heat_state heat = heat_add(cold, scale, NOW);

	(void)state;
	assert_int_equal(heat.last_s, NOW);
	assert_int_equal(heat.fast, HEAT_ONE);
	assert_int_equal(heat.slow, HEAT_ONE);
	heat = heat_decay(heat, scale, NOW + HOUR);
	assert_int_equal(heat.fast, HEAT_ONE / 2);
	assert_in_range(heat.slow, HEAT_ONE * 97 / 100 - 1, HEAT_ONE * 97 / 100 + 1);
	heat = heat_decay(heat_add(cold, scale, NOW), scale, NOW + HEAT_LONG * HOUR);
	assert_int_equal(heat.fast, 0);
	assert_int_equal(heat.slow, HEAT_ONE / 2);
	heat = heat_decay(heat, scale, UINT32_MAX);
	assert_int_equal(heat.slow, 0);
	/* Looked at in steps or at once: the same, but for rounding down. */
	heat = heat_add(cold, scale, NOW);
	for (unsigned i = 1; i <= 12; i++)
		heat = heat_decay(heat, scale, NOW + i * HOUR / 12);
	assert_in_range(heat.fast, HEAT_ONE / 2 - 12, HEAT_ONE / 2);
}

/* What is read at a steady rate has that rate, when it has been so for some days. */
static void test_rates(void **state)
{
	static const double per_hour[] = {0.5, 1, 3, 6};

	(void)state;
	for (unsigned i = 0; i < sizeof(per_hour) / sizeof(per_hour[0]); i++) {
		uint32_t step_s = (uint32_t)(HOUR / per_hour[i]), now_s = NOW;
		struct heat_state heat = cold;
		double rate, before;

		for (; now_s < NOW + 10 * DAY; now_s += step_s)
			heat = heat_add(heat, scale, now_s);
		rate = heat_rate(heat, scale, now_s - step_s / 2);
		assert_true(rate > per_hour[i] * 0.8 && rate < per_hour[i] * 1.25);
		for (unsigned hours = 1; hours < 500; hours++) { /* and falls, to nothing */
			before = rate;
			rate = heat_rate(heat, scale, now_s + hours * HOUR);
			assert_true(rate <= before);
		}
		assert_true(rate == 0);
	}
	assert_true(heat_rate(cold, scale, NOW) == 0);
}

/* Quick to see what is new, slow to forget what is used every day. */
static void test_short_and_long(void **state)
{
	struct heat_state daily = cold, once = cold;

	(void)state;
	for (unsigned day = 0; day < 14; day++)
		for (unsigned i = 0; i < 5; i++)
			daily = heat_add(daily, scale, NOW + day * DAY + i * 600);
	for (unsigned i = 0; i < 5; i++)
		once = heat_add(once, scale, NOW + 13 * DAY + i * 600);
	assert_true(heat_rate(once, scale, NOW + 13 * DAY + HOUR) > 1);
	/* The evening after: what comes every day is warmer than what came once. */
	assert_true(heat_rate(daily, scale, NOW + 13 * DAY + 12 * HOUR) >
		    1.5 * heat_rate(once, scale, NOW + 13 * DAY + 12 * HOUR));
}

static void test_it_saturates(void **state)
{
	struct heat_state heat = cold;

	(void)state;
	for (unsigned i = 0; i < 100000; i++)
		heat = heat_add(heat, scale, NOW);
	assert_int_equal(heat.fast, UINT16_MAX);
	assert_int_equal(heat.slow, UINT16_MAX);
}

static void test_clocks_that_are_wrong(void **state)
{
	struct heat_state heat = heat_add(cold, scale, NOW);

	(void)state;
	/* Set back by a little: nothing decays, nothing breaks. */
	assert_int_equal(heat_decay(heat, scale, NOW - 100).fast, HEAT_ONE);
	assert_int_equal(heat_add(heat, scale, NOW - 100).fast, 2 * HEAT_ONE);
	/* Written in the year 2106: else it would stay hot until then. */
	heat.last_s = UINT32_MAX;
	assert_true(heat_rate(heat, scale, NOW) == 0);
	heat = heat_add(heat, scale, NOW);
	assert_int_equal(heat.last_s, NOW);
	assert_int_equal(heat.fast, HEAT_ONE);
}

static void test_a_mix_is_weighed_by_bytes(void **state)
{
	struct heat_state a = heat_add(cold, scale, NOW), b = heat_add(cold, scale, NOW + HOUR);
	struct heat_state mix = heat_mix(a, 3000, b, 1000, scale);

	(void)state;
	assert_int_equal(mix.last_s, NOW + HOUR);
	assert_int_equal(mix.fast, HEAT_ONE / 2 * 3 / 4 + HEAT_ONE / 4);
	mix = heat_mix(cold, 0, a, 10, scale);
	assert_memory_equal(&mix, &a, sizeof(a));
	mix = heat_mix(cold, 0, cold, 0, scale);
	assert_int_equal(mix.fast, 0);
}

/* The table ------------------------------------------------------------------------------------ */

static uint16_t fast_of(struct heat *heat, uint64_t frame)
{
	return heat_of(heat, frame, cold).fast;
}

static void test_a_scan_in_pieces_is_one_touch(void **state)
{
	struct heat *heat;

	(void)state;
	assert_int_equal(heat_new(&heat, 100, scale), 0);
	for (uint32_t s = 0; s <= HEAT_ONE_TOUCH_S; s++)
		heat_touch(heat, 1, cold, NOW + s);
	assert_int_equal(fast_of(heat, 1), HEAT_ONE);
	heat_touch(heat, 1, cold, NOW + HEAT_ONE_TOUCH_S + 1); /* but not for ever */
	assert_in_range(fast_of(heat, 1), 2 * HEAT_ONE - 5, 2 * HEAT_ONE);
	heat_touch(heat, 1, cold, NOW + HEAT_ONE_TOUCH_S + 2 + HEAT_SAME_TOUCH_S);
	assert_in_range(fast_of(heat, 1), 3 * HEAT_ONE - 10, 3 * HEAT_ONE);
	/* A clock that is set back by a day does not stop the counting. */
	heat_touch(heat, 1, cold, NOW - DAY / 2);
	heat_touch(heat, 1, cold, NOW - DAY / 2 + 1);
	assert_in_range(fast_of(heat, 1), 4 * HEAT_ONE - 10, 4 * HEAT_ONE);
	heat_touch(heat, 1, cold, NOW - DAY / 2 + 60);
	assert_in_range(fast_of(heat, 1), 5 * HEAT_ONE - 20, 5 * HEAT_ONE);
	heat_free(heat);
	heat_free(NULL);
}

static void test_what_records_say_goes_on(void **state)
{
	struct heat_state kept = heat_add(cold, scale, NOW - HOUR);
	struct heat *heat;

	(void)state;
	assert_int_equal(heat_new(&heat, 100, scale), 0);
	assert_int_equal(heat_of(heat, 1, kept).fast, HEAT_ONE);
	heat_touch(heat, 1, kept, NOW);
	assert_int_equal(heat_of(heat, 1, cold).fast, HEAT_ONE * 3 / 2);
	heat_forget(heat, 1);
	assert_int_equal(heat_of(heat, 1, kept).fast, HEAT_ONE);
	heat_rescale(heat, (struct heat_scale){2 * HOUR});
	heat_touch(heat, 1, kept, NOW + HOUR);
	assert_int_equal(heat_of(heat, 1, cold).fast, HEAT_ONE * 3 / 2);
	heat_free(heat);
}

/* Everything that changed is taken once, whoever was pushed out meanwhile; frames that were
 * forgotten, at most from the list of those. */
static void test_changes_are_taken_once(void **state)
{
	struct heat_entry entries[50];
	struct heat *heat;
	unsigned seen[301] = {0};
	size_t n;

	(void)state;
	assert_int_equal(heat_new(&heat, 10000, scale), 0);
	assert_int_equal(heat_take(heat, entries, 50), 0);
	for (uint64_t frame = 1; frame <= 300; frame++)
		heat_touch(heat, frame, cold, NOW);
	for (uint64_t frame = 1; frame <= 10; frame++)
		heat_forget(heat, frame);
	while ((n = heat_take(heat, entries, 50)) > 0)
		for (size_t i = 0; i < n; i++) {
			assert_in_range(entries[i].frame, 11, 300);
			assert_int_equal(entries[i].state.fast, HEAT_ONE);
			seen[entries[i].frame]++;
		}
	for (unsigned frame = 11; frame <= 300; frame++)
		assert_int_equal(seen[frame], 1);
	heat_touch(heat, 20, cold, NOW + 1); /* the same touch */
	assert_int_equal(heat_take(heat, entries, 50), 0);
	heat_touch(heat, 20, cold, NOW + 100);
	assert_int_equal(heat_take(heat, entries, 50), 1);
	assert_int_equal(entries[0].frame, 20);
	heat_free(heat);
}

static void test_what_is_pushed_out_is_handed_over(void **state)
{
	struct heat_entry entries[1000];
	struct heat *heat;
	unsigned hot = 0, taken = 0;

	(void)state;
	assert_int_equal(heat_new(&heat, 64, scale), 0);
	for (unsigned i = 0; i < 20; i++)
		for (uint64_t frame = 1; frame <= 8; frame++)
			heat_touch(heat, frame, cold, NOW + i * 60);
	for (uint64_t frame = 100; frame < 300; frame++) /* each once: colder than those */
		heat_touch(heat, frame, cold, NOW + 1200);
	for (uint64_t frame = 1; frame <= 8; frame++)
		hot += fast_of(heat, frame) > 0;
	assert_in_range(hot, 7, 8);
	taken = (unsigned)heat_take(heat, entries, 1000);
	assert_int_equal(taken, 208);
	heat_free(heat);
}

static void test_taking_ends(void **state)
{
	struct heat_entry entries[64];
	struct heat *heat;
	uint64_t seed = 3;

	(void)state;
	assert_int_equal(heat_new(&heat, 64, scale), 0);
	for (unsigned round = 0; round < 2000; round++) {
		size_t n = 0, got;

		for (unsigned i = 0; i < bytes_random(&seed) % 100; i++)
			heat_touch(heat, 1 + bytes_random(&seed) % 200, cold,
				   NOW + (uint32_t)(bytes_random(&seed) % DAY));
		if (round % 3 == 0)
			heat_forget(heat, 1 + bytes_random(&seed) % 200);
		while ((got = heat_take(heat, entries, 1 + bytes_random(&seed) % 64)) > 0)
			n += got;
		assert_true(n <= 100);
		assert_int_equal(heat_take(heat, entries, 64), 0);
	}
	heat_free(heat);
}

/* A pool --------------------------------------------------------------------------------------- */

static int note_heat(void *arg, const struct extent_why *why)
{
	*(struct heat_state *)arg = why->frame.heat;
	return 0;
}

static void test_heat_survives_a_mount(void **state)
{
	uint8_t buf[4096] = {1, 2, 3};
	struct heat_state before = {0}, after = {0};
	struct object *object;
	struct fix_pool fix;
	struct txn *txn;
	uint64_t id;
	size_t got;

	(void)state;
	fix_pool_new(&fix, 64u << 20, false);
	txn = txn_begin(fix.pool);
	assert_int_equal(object_create(txn, "attr", 4, &object), 0);
	assert_int_equal(txn_commit(txn), 0);
	id = object_id(object);
	assert_int_equal(object_write(object, buf, sizeof(buf), 0), 0);
	assert_int_equal(object_sync(object), 0);
	object_put(object);
	fix_pool_close(&fix);
	fix_pool_open(&fix);
	assert_int_equal(object_get(fix.pool, id, &object), 0);
	assert_int_equal(object_read(object, buf, sizeof(buf), 0, &got), 0);
	assert_int_equal(pool_why(fix.pool, object, note_heat, &before), 0);
	assert_true(before.fast > 0);
	object_put(object);
	fix_pool_close(&fix);
	fix_pool_open(&fix);
	assert_int_equal(object_get(fix.pool, id, &object), 0);
	assert_int_equal(pool_why(fix.pool, object, note_heat, &after), 0);
	assert_int_equal(after.fast, before.fast);
	assert_int_equal(after.slow, before.slow);
	assert_int_equal(after.last_s, before.last_s);
	object_put(object);
	fix_pool_free(&fix);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_half_lives),
		cmocka_unit_test(test_rates),
		cmocka_unit_test(test_short_and_long),
		cmocka_unit_test(test_it_saturates),
		cmocka_unit_test(test_clocks_that_are_wrong),
		cmocka_unit_test(test_a_mix_is_weighed_by_bytes),
		cmocka_unit_test(test_a_scan_in_pieces_is_one_touch),
		cmocka_unit_test(test_what_records_say_goes_on),
		cmocka_unit_test(test_changes_are_taken_once),
		cmocka_unit_test(test_what_is_pushed_out_is_handed_over),
		cmocka_unit_test(test_taking_ends),
		cmocka_unit_test(test_heat_survives_a_mount),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
