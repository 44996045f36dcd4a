// SPDX-License-Identifier: Apache-2.0
/* What the engine wants with a frame: every reason, every block, which comes first, and properties
 * that hold for any facts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/fix_bytes.h"
#include "tiers/engine/decide.h"
#include "tiers/engine/rank.h"
#include "tiers/engine/room.h"

#define NOW  1700000000u
#define HOUR 3600u
#define MIB  (UINT64_C(1) << 20)
#define GIB  (UINT64_C(1) << 30)

enum { RAM, SSD, HDD, ARC, TIERS };

struct world {
	struct engine_facts facts;
	struct frame_facts frame;
};

/* Half full tiers, all that is touched once an hour belongs into the ssd; a frame of 1 MiB in the
 * hdd that nobody has read for a week. */
static void world_init(struct world *world)
{
	struct tier_facts tier = {.size = 100 * GIB,
				  .used = 50 * GIB,
				  .high = 90 * GIB,
				  .low = 80 * GIB,
				  .write_left = UINT64_MAX,
				  .min_age_s = HOUR,
				  .cold_rank = UINT_MAX};

	memset(world, 0, sizeof(*world));
	world->facts = (struct engine_facts){.now_s = NOW,
					     .ntiers = TIERS,
					     .heat = {.half_life_s = HOUR},
					     .promote_window_s = 600,
					     .residency_s = HOUR,
					     .gain = 1,
					     .window_open = true};
	for (unsigned t = SSD; t < TIERS; t++)
		world->facts.tiers[t] = tier;
	for (unsigned t = SSD; t < TIERS; t++) {
		struct tier_facts *facts = &world->facts.tiers[t];

		facts->read_latency_ns = t == SSD ? 100000 : t == HDD ? 10000000 : 100000000;
		facts->read_rate = facts->write_rate = t == SSD ? 2000 * MIB : 150 * MIB;
		facts->hot_rank = t == SSD ? rank_of(1) : t == HDD ? rank_of(0.01) : 0;
	}
	world->frame = (struct frame_facts){.tier = HDD,
					    .raw_len = 1 << 20,
					    .stored_len = 1 << 19,
					    .heat = {.last_s = NOW - 7 * 24 * HOUR},
					    .policy = {.pin = -1, .rule = -1, .tier = -1}};
}

static void heat_up(struct world *world, unsigned touches)
{
	for (unsigned i = touches; i > 0; i--)
		world->frame.heat =
			heat_add(world->frame.heat, world->facts.heat, NOW - i * 60 + 60);
}

/* Read often, the last time now. */
static void make_hot(struct world *world)
{
	heat_up(world, 5);
	world->frame.reread_s = NOW - 5;
}

/* In the ssd, which is above its high watermark and lets go what is touched up to once an hour. */
static void make_full(struct world *world)
{
	world->frame.tier = SSD;
	world->facts.tiers[SSD].used = 95 * GIB;
	world->facts.tiers[SSD].cold_rank = rank_of(1);
}

static void expect(const struct world *world, int to, enum move_reason reason,
		   enum move_block block, uint32_t when_s)
{
	struct verdict verdict;

	decide(&world->facts, &world->frame, &verdict);
	if (verdict.to != to || verdict.reason != reason || verdict.block != block ||
	    verdict.when_s != when_s)
		fail_msg("to %d %s, %s until %u; should be to %d %s, %s until %u", verdict.to,
			 reason_name(verdict.reason), block_name(verdict.block), verdict.when_s, to,
			 reason_name(reason), block_name(block), when_s);
}

/* Where it must be ----------------------------------------------------------------------------- */

static void test_cold_data_stays_where_it_is(void **state)
{
	struct world world;

	(void)state;
	world_init(&world);
	for (unsigned t = SSD; t < TIERS; t++) {
		world.frame.tier = t;
		expect(&world, (int)t, REASON_NONE, BLOCK_NONE, 0);
	}
	world.frame.tier = RAM;
	expect(&world, RAM, REASON_NONE, BLOCK_NONE, 0);
	world.frame.tier = TIERS; /* a tier that is no more */
	expect(&world, TIERS, REASON_NONE, BLOCK_NONE, 0);
}

static void test_pins_states_and_rules_in_this_order(void **state)
{
	struct world world;
	struct object_policy *policy = &world.frame.policy;

	(void)state;
	world_init(&world);
	policy->tier = SSD;
	expect(&world, SSD, REASON_RULE, BLOCK_NONE, 0);
	policy->state = OBJECT_ARCHIVED;
	expect(&world, ARC, REASON_STATE, BLOCK_NONE, 0);
	policy->pin = SSD;
	expect(&world, SSD, REASON_PIN, BLOCK_NONE, 0);
	policy->never_tiers = 1u << SSD;
	expect(&world, SSD, REASON_PIN, BLOCK_NONE, 0);
	policy->pin = RAM; /* resident in memory; on disk in the first tier */
	expect(&world, SSD, REASON_PIN, BLOCK_NONE, 0);
	policy->pin = TIERS; /* a tier that is no more */
	expect(&world, ARC, REASON_STATE, BLOCK_NONE, 0);
	policy->never_tiers = 1u << ARC; /* the slowest that may be */
	expect(&world, HDD, REASON_NONE, BLOCK_NONE, 0);
	policy->state = OBJECT_SEALED; /* says nothing about where */
	policy->tier = RAM;
	expect(&world, SSD, REASON_RULE, BLOCK_NONE, 0);
	policy->never_tiers = 1u << SSD; /* a rule that contradicts itself */
	expect(&world, HDD, REASON_NONE, BLOCK_NONE, 0);
}

static void test_what_must_be_somewhere_waits_for_room_there(void **state)
{
	struct world world;

	(void)state;
	world_init(&world);
	world.frame.policy.pin = SSD;
	world.facts.tiers[SSD].used = world.facts.tiers[SSD].high;
	expect(&world, SSD, REASON_PIN, BLOCK_FULL, 0);
	world.facts.tiers[SSD].used = 0;
	world.facts.tiers[SSD].evacuating = true;
	expect(&world, SSD, REASON_PIN, BLOCK_FULL, 0);
}

static void test_pins_keep_what_heat_would_move(void **state)
{
	struct world world;

	(void)state;
	world_init(&world);
	world.frame.policy.pin = HDD;
	expect(&world, HDD, REASON_NONE, BLOCK_NONE, 0);
	make_hot(&world);
	expect(&world, HDD, REASON_NONE, BLOCK_PINNED, 0);
	world_init(&world);
	make_full(&world);
	world.frame.policy.tier = SSD;
	expect(&world, SSD, REASON_NONE, BLOCK_PINNED, 0);
	world.frame.policy = (struct object_policy){.pin = -1, .tier = -1, .rule = -1};
	world.frame.policy.never_tiers = 1u << HDD | 1u << ARC;
	expect(&world, SSD, REASON_NONE, BLOCK_PINNED, 0);
}

static void test_excluded_tiers_are_left_and_no_targets(void **state)
{
	struct world world;

	(void)state;
	world_init(&world);
	world.frame.policy.never_tiers = 1u << HDD;
	expect(&world, ARC, REASON_RULE, BLOCK_NONE, 0);
	world.facts.tiers[ARC].used = 90 * GIB;
	expect(&world, SSD, REASON_RULE, BLOCK_NONE, 0);
	world.facts.tiers[SSD].used = 90 * GIB;
	expect(&world, HDD, REASON_RULE, BLOCK_FULL, 0);
	world_init(&world);
	make_hot(&world);
	world.frame.policy.never_tiers = 1u << SSD;
	expect(&world, HDD, REASON_NONE, BLOCK_NONE, 0);
	world_init(&world);
	make_full(&world);
	world.frame.policy.never_tiers = 1u << HDD;
	expect(&world, ARC, REASON_FULL, BLOCK_NONE, 0);
}

static void test_ignored_data_tells_what_would_be(void **state)
{
	struct world world;

	(void)state;
	world_init(&world);
	world.frame.policy.ignore = true;
	expect(&world, HDD, REASON_NONE, BLOCK_NONE, 0);
	world.frame.policy.pin = SSD;
	expect(&world, SSD, REASON_PIN, BLOCK_IGNORED, 0);
	world.frame.policy.pin = -1;
	make_hot(&world);
	world.facts.window_open = false;
	world.facts.window_at_s = NOW + 10;
	expect(&world, SSD, REASON_HOT, BLOCK_IGNORED, 0);
	world.frame.evacuating = true;
	expect(&world, ARC, REASON_EVACUATE, BLOCK_IGNORED, 0);
}

static void test_evacuation_takes_what_room_there_is(void **state)
{
	struct world world;

	(void)state;
	world_init(&world);
	world.facts.tiers[HDD].evacuating = true;
	expect(&world, ARC, REASON_EVACUATE, BLOCK_NONE, 0);
	/* Before pins; not held up by what holds background work up. */
	world.frame.policy.pin = HDD;
	world.facts.window_open = false;
	world.facts.tiers[ARC].write_left = 0;
	world.facts.tiers[HDD].breaker_open = true;
	expect(&world, ARC, REASON_EVACUATE, BLOCK_NONE, 0);
	world.facts.tiers[ARC].breaker_open = true;
	world.facts.tiers[ARC].breaker_at_s = NOW + 60;
	expect(&world, ARC, REASON_EVACUATE, BLOCK_BREAKER, NOW + 60);
	world.facts.tiers[ARC].used = 90 * GIB;
	expect(&world, SSD, REASON_EVACUATE, BLOCK_NONE, 0);
	world.frame.policy.never_tiers = 1u << SSD;
	world.facts.tiers[ARC].breaker_open = false;
	expect(&world, ARC, REASON_EVACUATE, BLOCK_NONE, 0); /* beyond the watermark */
	world.facts.tiers[ARC].evacuating = true;
	expect(&world, SSD, REASON_EVACUATE, BLOCK_NONE, 0); /* though excluded */
	world.facts.tiers[SSD].used = world.facts.tiers[SSD].size;
	expect(&world, HDD, REASON_EVACUATE, BLOCK_FULL, 0);
	world_init(&world);
	world.frame.tier = SSD;
	world.frame.evacuating = true;
	expect(&world, HDD, REASON_EVACUATE, BLOCK_NONE, 0);
	world.frame.tier = ARC;
	expect(&world, HDD, REASON_EVACUATE, BLOCK_NONE, 0);
}

/* Heat ----------------------------------------------------------------------------------------- */

static void test_what_is_hot_comes_up(void **state)
{
	struct world world;
	struct verdict verdict;

	(void)state;
	world_init(&world);
	make_hot(&world);
	expect(&world, SSD, REASON_HOT, BLOCK_NONE, 0);
	decide(&world.facts, &world.frame, &verdict);
	assert_true(verdict.benefit_s > verdict.cost_s && verdict.cost_s > 0);
	assert_int_equal(verdict.rank, rank_of(heat_rate(world.frame.heat, world.facts.heat, NOW)));
	/* From the last tier at once to where it belongs; warm data not so far. */
	world.frame.tier = ARC;
	expect(&world, SSD, REASON_HOT, BLOCK_NONE, 0);
	world.facts.tiers[SSD].hot_rank = RANK_BUCKETS;
	expect(&world, HDD, REASON_HOT, BLOCK_NONE, 0);
	world.facts.tiers[HDD].hot_rank = RANK_BUCKETS;
	expect(&world, SSD, REASON_HOT, BLOCK_COLDER, 0);
}

static void test_promotion_needs_evidence(void **state)
{
	struct world world;

	(void)state;
	world_init(&world);
	make_hot(&world);
	world.frame.reread_s = 0;
	expect(&world, SSD, REASON_HOT, BLOCK_EVIDENCE, 0);
	world.frame.reread_s = NOW - 601;
	expect(&world, SSD, REASON_HOT, BLOCK_EVIDENCE, 0);
	world.frame.reread_s = NOW - 600;
	expect(&world, SSD, REASON_HOT, BLOCK_NONE, 0);
	world.frame.reread_s = NOW + 100; /* the clock was set back */
	expect(&world, SSD, REASON_HOT, BLOCK_NONE, 0);
	/* Cold data wants nothing, though all would fit above. */
	world_init(&world);
	world.facts.tiers[SSD].hot_rank = 0;
	expect(&world, HDD, REASON_NONE, BLOCK_NONE, 0);
}

static void test_promotion_must_be_worth_the_copy(void **state)
{
	struct world world;
	struct verdict verdict;

	(void)state;
	world_init(&world);
	make_hot(&world);
	decide(&world.facts, &world.frame, &verdict);
	world.facts.gain = verdict.benefit_s / verdict.cost_s * 1.01;
	expect(&world, SSD, REASON_HOT, BLOCK_COST, 0);
	world.facts.gain = verdict.benefit_s / verdict.cost_s * 0.99;
	expect(&world, SSD, REASON_HOT, BLOCK_NONE, 0);
	world.facts.gain = 1; /* a tier that is no faster */
	world.facts.tiers[SSD].read_latency_ns = world.facts.tiers[HDD].read_latency_ns;
	world.facts.tiers[SSD].read_rate = world.facts.tiers[HDD].read_rate;
	expect(&world, SSD, REASON_HOT, BLOCK_COST, 0);
	/* From the archive the fast tier is too dear, the middle one is not. */
	world.frame.tier = ARC;
	world.facts.tiers[SSD].write_rate = 1;
	expect(&world, HDD, REASON_HOT, BLOCK_NONE, 0);
}

/* Two touches saved 20 ms; the copy is two ways of 10 ms, and its bytes. Without its ways it would
 * be worth it. */
static void test_a_copy_costs_its_ways(void **state)
{
	struct world world;
	struct verdict verdict;

	(void)state;
	world_init(&world);
	make_hot(&world);
	decide(&world.facts, &world.frame, &verdict);
	assert_true(verdict.cost_s > 0.020 && verdict.cost_s < 0.025);
	world.facts.tiers[HDD].read_latency_ns *= 2;
	decide(&world.facts, &world.frame, &verdict);
	assert_true(verdict.cost_s > 0.040 && verdict.cost_s < 0.045);
	make_full(&world);
	decide(&world.facts, &world.frame, &verdict);
	assert_true(verdict.cost_s < 0.005);
}

static void test_what_came_and_went_must_be_worth_more(void **state)
{
	struct world world;
	struct verdict verdict;

	(void)state;
	world_init(&world);
	make_hot(&world);
	decide(&world.facts, &world.frame, &verdict);
	world.facts.gain = verdict.benefit_s / verdict.cost_s / 4; /* it is worth four times that */
	world.facts.ghost_gain = 4.01;
	expect(&world, SSD, REASON_HOT, BLOCK_NONE, 0);
	world.frame.was_demoted = true;
	expect(&world, SSD, REASON_HOT, BLOCK_COST, 0);
	world.facts.ghost_gain = 3.99;
	expect(&world, SSD, REASON_HOT, BLOCK_NONE, 0);
	/* Of others, the root of it. */
	world.frame.was_demoted = false;
	world.facts.ghost_gain = 16.1;
	expect(&world, SSD, REASON_HOT, BLOCK_COST, 0);
	world.facts.ghost_gain = 15.9;
	expect(&world, SSD, REASON_HOT, BLOCK_NONE, 0);
	/* Never less than of others. */
	world.facts.gain = verdict.benefit_s / verdict.cost_s * 1.01;
	world.facts.ghost_gain = 0.1;
	expect(&world, SSD, REASON_HOT, BLOCK_COST, 0);
}

static void test_promotion_takes_the_next_tier_with_room(void **state)
{
	struct world world;

	(void)state;
	world_init(&world);
	make_hot(&world);
	world.facts.tiers[SSD].used = world.facts.tiers[SSD].high - (1 << 19);
	expect(&world, SSD, REASON_HOT, BLOCK_NONE, 0);
	/* It grows where data is coded less strongly. */
	world.facts.tiers[SSD].ratio = 1.5;
	expect(&world, SSD, REASON_HOT, BLOCK_FULL, 0);
	world.facts.tiers[SSD].used = world.facts.tiers[SSD].high - (1 << 20);
	expect(&world, SSD, REASON_HOT, BLOCK_NONE, 0);
	world.facts.tiers[SSD].used = world.facts.tiers[SSD].high;
	expect(&world, SSD, REASON_HOT, BLOCK_FULL, 0);
	world.frame.tier = ARC;
	expect(&world, HDD, REASON_HOT, BLOCK_NONE, 0);
	world.facts.tiers[HDD].evacuating = true;
	expect(&world, SSD, REASON_HOT, BLOCK_FULL, 0);
}

static void test_what_went_down_lately_cools(void **state)
{
	struct world world;

	(void)state;
	world_init(&world);
	make_hot(&world);
	world.frame.placed_s = NOW - 100;
	expect(&world, SSD, REASON_HOT, BLOCK_NONE, 0); /* was written here */
	world.frame.was_demoted = true;
	expect(&world, SSD, REASON_HOT, BLOCK_COOLING, NOW - 100 + HOUR);
	world.frame.placed_s = NOW - HOUR;
	expect(&world, SSD, REASON_HOT, BLOCK_NONE, 0);
	world.frame.placed_s = 0;
	expect(&world, SSD, REASON_HOT, BLOCK_NONE, 0);
}

static void test_a_full_tier_lets_the_coldest_go(void **state)
{
	struct world world;

	(void)state;
	world_init(&world);
	make_full(&world);
	expect(&world, HDD, REASON_FULL, BLOCK_NONE, 0);
	world.facts.tiers[SSD].cold_rank = UINT_MAX;
	expect(&world, SSD, REASON_NONE, BLOCK_NONE, 0);
	/* However hot, when it is of the coldest: but not what was just used. */
	world.facts.tiers[SSD].cold_rank = RANK_BUCKETS - 1;
	heat_up(&world, 10);
	expect(&world, HDD, REASON_FULL, BLOCK_YOUNG, NOW + HOUR);
	world.facts.tiers[SSD].min_age_s = 0;
	expect(&world, HDD, REASON_FULL, BLOCK_NONE, 0);
	world.facts.tiers[SSD].cold_rank = rank_of(1);
	expect(&world, SSD, REASON_NONE, BLOCK_NONE, 0);
	world.facts.tiers[SSD].cold_rank = RANK_BUCKETS - 1;
	world.facts.tiers[HDD].used = 90 * GIB;
	expect(&world, ARC, REASON_FULL, BLOCK_NONE, 0);
	world.facts.tiers[ARC].used = 90 * GIB;
	expect(&world, HDD, REASON_FULL, BLOCK_FULL, 0);
	world.frame.tier = ARC;
	world.frame.heat.fast = world.frame.heat.slow = 0;
	world.facts.tiers[ARC].cold_rank = RANK_BUCKETS - 1;
	expect(&world, ARC, REASON_NONE, BLOCK_NONE, 0); /* nothing is below */
}

static void test_room_is_made_only_by_the_much_colder(void **state)
{
	struct world world;
	struct tier_facts *ssd = &world.facts.tiers[SSD];
	unsigned rank;

	(void)state;
	world_init(&world);
	make_full(&world);
	heat_up(&world, 3);
	rank = rank_of(heat_rate(world.frame.heat, world.facts.heat, NOW));
	ssd->min_age_s = 0;
	ssd->for_room = true;
	ssd->cold_rank = RANK_BUCKETS - 1;
	ssd->room_rank = rank + RANK_OCTAVE;
	ssd->hot_rank = rank; /* belongs here */
	expect(&world, SSD, REASON_NONE, BLOCK_NONE, 0);
	ssd->hot_rank++;
	expect(&world, HDD, REASON_ROOM, BLOCK_NONE, 0);
	ssd->room_rank--;
	expect(&world, SSD, REASON_NONE, BLOCK_NONE, 0);
	/* With ping-pong, only for what is hotter still: 16 times of it make the half an eighth. */
	world.facts.ghost_gain = 16;
	ssd->room_rank = rank + 3 * RANK_OCTAVE - 1;
	expect(&world, SSD, REASON_NONE, BLOCK_NONE, 0);
	ssd->room_rank++;
	expect(&world, HDD, REASON_ROOM, BLOCK_NONE, 0);
	/* A watermark asks for none of this. */
	ssd->room_rank = rank;
	ssd->for_room = false;
	expect(&world, HDD, REASON_FULL, BLOCK_NONE, 0);
}

static void test_what_came_up_stays_a_while(void **state)
{
	struct world world;

	(void)state;
	world_init(&world);
	make_full(&world);
	world.frame.placed_s = NOW - 100;
	expect(&world, HDD, REASON_FULL, BLOCK_NONE, 0); /* was written here */
	world.frame.came_up = true;
	expect(&world, HDD, REASON_FULL, BLOCK_COOLING, NOW - 100 + HOUR);
	world.frame.placed_s = NOW - HOUR;
	expect(&world, HDD, REASON_FULL, BLOCK_NONE, 0);
}

static void test_times_that_have_not_come_hold_nothing_up(void **state)
{
	struct world world;

	(void)state;
	world_init(&world);
	make_full(&world);
	world.frame.heat.last_s = NOW + 10; /* the clock was set back a little */
	expect(&world, HDD, REASON_FULL, BLOCK_YOUNG, NOW + 10 + HOUR);
	world.frame.heat.last_s = UINT32_MAX - 10; /* it was wrong */
	world.frame.placed_s = UINT32_MAX - 10;
	world.frame.came_up = true;
	expect(&world, HDD, REASON_FULL, BLOCK_NONE, 0);
}

/* What holds moves up -------------------------------------------------------------------------- */

static void test_what_holds_a_move_up_is_told(void **state)
{
	struct world world;

	(void)state;
	world_init(&world);
	make_hot(&world);
	world.facts.window_open = false;
	world.facts.window_at_s = NOW + 500;
	expect(&world, SSD, REASON_HOT, BLOCK_WINDOW, NOW + 500);
	world.facts.window_open = true;
	world.facts.tiers[SSD].write_left = (1 << 19) - 1;
	world.facts.tiers[SSD].budget_at_s = NOW + 700;
	expect(&world, SSD, REASON_HOT, BLOCK_BUDGET, NOW + 700);
	world.facts.tiers[SSD].write_left++;
	expect(&world, SSD, REASON_HOT, BLOCK_NONE, 0);
	world.facts.tiers[SSD].breaker_open = true;
	world.facts.tiers[SSD].breaker_at_s = NOW + 60;
	expect(&world, SSD, REASON_HOT, BLOCK_BREAKER, NOW + 60);
	world.facts.tiers[SSD].breaker_open = false;
	world.facts.tiers[HDD].breaker_open = true; /* the source's */
	world.facts.tiers[HDD].breaker_at_s = NOW + 61;
	expect(&world, SSD, REASON_HOT, BLOCK_BREAKER, NOW + 61);
	world.facts.tiers[HDD].breaker_open = false;
	world.facts.tiers[ARC].breaker_open = true; /* nobody's */
	world.frame.parked = true;
	world.frame.parked_until_s = NOW;
	expect(&world, SSD, REASON_HOT, BLOCK_NONE, 0);
	world.frame.parked_until_s = NOW + 1;
	expect(&world, SSD, REASON_HOT, BLOCK_PARKED, NOW + 1);
	world.frame.parked_until_s = 0;
	expect(&world, SSD, REASON_HOT, BLOCK_PARKED, 0);
	/* Policies wait like everything in the background. */
	world.frame.parked = false;
	world.facts.window_open = false;
	world.frame.policy.pin = SSD;
	expect(&world, SSD, REASON_PIN, BLOCK_WINDOW, NOW + 500);
	/* What stays is not held up. */
	world.frame.policy.pin = HDD;
	expect(&world, HDD, REASON_NONE, BLOCK_PINNED, 0);
}

static void test_of_several_the_one_that_lasts_longest_is_told(void **state)
{
	struct world world;

	(void)state;
	world_init(&world);
	make_full(&world);
	world.frame.heat.last_s = NOW - HOUR + 10; /* young for 10 s */
	world.frame.came_up = true;
	world.frame.placed_s = NOW - HOUR + 20; /* cooling for 20 s */
	world.facts.tiers[HDD].write_left = 0;
	world.facts.tiers[HDD].budget_at_s = NOW + 30;
	expect(&world, HDD, REASON_FULL, BLOCK_BUDGET, NOW + 30);
	world.facts.tiers[HDD].budget_at_s = NOW + 15;
	expect(&world, HDD, REASON_FULL, BLOCK_COOLING, NOW + 20);
	world.frame.came_up = false;
	world.facts.tiers[HDD].budget_at_s = NOW + 5;
	expect(&world, HDD, REASON_FULL, BLOCK_YOUNG, NOW + 10);
	world.facts.tiers[HDD].budget_at_s = NOW + 10; /* equal: the first in the list */
	expect(&world, HDD, REASON_FULL, BLOCK_YOUNG, NOW + 10);
	world.facts.window_open = false; /* never opens, as far as is known */
	world.facts.window_at_s = 0;
	expect(&world, HDD, REASON_FULL, BLOCK_WINDOW, 0);
	world.facts.tiers[HDD].used = world.facts.tiers[ARC].used = 90 * GIB;
	expect(&world, HDD, REASON_FULL, BLOCK_FULL, 0);
}

/* Properties ----------------------------------------------------------------------------------- */

static bool often(uint64_t *seed, unsigned percent)
{
	return bytes_random(seed) % 100 < percent;
}

static uint32_t about_now(uint64_t *seed)
{
	return often(seed, 20) ? 0 : NOW - 5000 + (uint32_t)(bytes_random(seed) % 6000);
}

static void random_tier(struct tier_facts *tier, uint64_t *seed)
{
	tier->used = bytes_random(seed) % (100 * GIB);
	tier->write_left = often(seed, 80) ? UINT64_MAX : bytes_random(seed) % MIB;
	tier->budget_at_s = about_now(seed);
	tier->ratio = (double)(bytes_random(seed) % 5);
	tier->hot_rank = (unsigned)(bytes_random(seed) % (RANK_BUCKETS + 1));
	tier->cold_rank =
		often(seed, 50) ? UINT_MAX : (unsigned)(bytes_random(seed) % RANK_BUCKETS);
	tier->for_room = often(seed, 50);
	tier->room_rank = (unsigned)(bytes_random(seed) % (RANK_BUCKETS + 1));
	tier->breaker_open = often(seed, 10);
	tier->breaker_at_s = about_now(seed);
	tier->evacuating = often(seed, 5);
}

static void random_world(struct world *world, uint64_t *seed)
{
	struct frame_facts *frame = &world->frame;

	world_init(world);
	for (unsigned t = SSD; t < TIERS; t++)
		random_tier(&world->facts.tiers[t], seed);
	world->facts.window_open = often(seed, 90);
	world->facts.window_at_s = about_now(seed);
	world->facts.gain = (double)(bytes_random(seed) % 3);
	world->facts.ghost_gain = (double)(bytes_random(seed) % 65);
	frame->tier = (uint32_t)(bytes_random(seed) % (TIERS + 1));
	frame->stored_len = (uint32_t)(bytes_random(seed) % (2 << 20));
	frame->heat = (struct heat_state){.last_s = about_now(seed),
					  .fast = (uint16_t)bytes_random(seed),
					  .slow = (uint16_t)bytes_random(seed)};
	frame->placed_s = about_now(seed);
	frame->came_up = often(seed, 30);
	frame->was_demoted = !frame->came_up && often(seed, 30);
	frame->reread_s = about_now(seed);
	frame->evacuating = often(seed, 5);
	frame->parked = often(seed, 5);
	frame->parked_until_s = about_now(seed);
	frame->policy.pin = often(seed, 85) ? -1 : (int)(bytes_random(seed) % (TIERS + 1));
	frame->policy.tier = often(seed, 85) ? -1 : (int)(bytes_random(seed) % (TIERS + 1));
	frame->policy.state = (enum object_state)(often(seed, 85) ? 0 : bytes_random(seed) % 3);
	frame->policy.never_tiers = often(seed, 80) ? 0 : (uint32_t)bytes_random(seed);
	frame->policy.ignore = often(seed, 5);
}

/* A move that goes at once respects everything that could have held it up. */
static void check_go(const struct world *world, const struct verdict *verdict)
{
	const struct frame_facts *frame = &world->frame;
	const struct tier_facts *own = &world->facts.tiers[frame->tier];
	const struct tier_facts *to = &world->facts.tiers[verdict->to];
	bool evacuation = own->evacuating || frame->evacuating;
	bool down = verdict->reason == REASON_FULL || verdict->reason == REASON_ROOM;

	assert_true(verdict->to >= SSD && verdict->to < TIERS);
	assert_false(frame->policy.ignore);
	assert_int_equal(evacuation, verdict->reason == REASON_EVACUATE);
	assert_false(to->evacuating || to->breaker_open);
	assert_true(to->used + frame->stored_len <= to->size);
	assert_false(frame->parked && (!frame->parked_until_s || frame->parked_until_s > NOW));
	if (evacuation)
		return;
	assert_true(world->facts.window_open && !own->breaker_open);
	assert_true(to->used + frame->stored_len <= to->high);
	assert_true(to->write_left >= frame->stored_len);
	if (verdict->reason != REASON_PIN)
		assert_false(frame->policy.never_tiers >> verdict->to & 1);
	if (verdict->reason == REASON_HOT) {
		assert_true(verdict->to < (int)frame->tier && verdict->rank >= to->hot_rank);
		assert_true(frame->reread_s && frame->reread_s + 600 >= NOW);
		assert_true(verdict->benefit_s >= world->facts.gain * verdict->cost_s);
		assert_true(!frame->was_demoted || world->facts.ghost_gain < 1 ||
			    verdict->benefit_s >=
				    world->facts.gain * world->facts.ghost_gain * verdict->cost_s);
		assert_false(frame->was_demoted && frame->placed_s + HOUR > NOW);
	}
	if (down) {
		assert_true(verdict->to > (int)frame->tier && verdict->rank <= own->cold_rank);
		assert_true(frame->heat.last_s + own->min_age_s <= NOW);
		assert_false(frame->came_up && frame->placed_s + HOUR > NOW);
		assert_int_equal(own->for_room, verdict->reason == REASON_ROOM);
		assert_true(!own->for_room ||
			    verdict->rank + room_margin(&world->facts) <= own->room_rank);
	}
}

static void test_for_any_facts(void **state)
{
	unsigned reasons[REASONS] = {0}, blocks[BLOCKS] = {0};
	uint64_t seed = 11;

	(void)state;
	for (unsigned round = 0; round < 200000; round++) {
		struct world world;
		struct verdict verdict, again;

		random_world(&world, &seed);
		decide(&world.facts, &world.frame, &verdict);
		decide(&world.facts, &world.frame, &again);
		assert_memory_equal(&verdict, &again, sizeof(verdict));
		if (verdict.to != (int)world.frame.tier) {
			assert_int_not_equal(verdict.reason, REASON_NONE);
			if (verdict.block == BLOCK_NONE)
				check_go(&world, &verdict);
		}
		if (verdict.block == BLOCK_NONE) {
			assert_int_equal(verdict.when_s, 0);
			assert_int_equal(verdict.reason == REASON_NONE,
					 verdict.to == (int)world.frame.tier);
		}
		reasons[verdict.reason]++;
		blocks[verdict.block]++;
	}
	for (unsigned i = 0; i < BLOCKS; i++)
		assert_true(blocks[i] > 0);
	for (unsigned i = 0; i < REASONS; i++) /* the other two are nobody's wish */
		assert_int_equal(reasons[i] > 0,
				 i != REASON_CLEAN && i != REASON_ASKED && i != REASON_MEND);
}

/* What has come up does not want down at once by the same facts, nor the other way round: whatever
 * the ranks, while the tiers are not above their watermarks. */
static void test_no_frame_wants_back_at_once(void **state)
{
	uint64_t seed = 12;
	unsigned moves = 0;

	(void)state;
	for (unsigned round = 0; round < 200000; round++) {
		struct world world;
		struct verdict verdict;

		random_world(&world, &seed);
		world.frame.policy = (struct object_policy){.pin = -1, .tier = -1, .rule = -1};
		world.frame.evacuating = false;
		for (unsigned t = SSD; t < TIERS; t++) {
			world.facts.tiers[t].evacuating = false;
			world.facts.tiers[t].for_room = true;
			if (t > SSD &&
			    world.facts.tiers[t].hot_rank > world.facts.tiers[t - 1].hot_rank)
				world.facts.tiers[t].hot_rank = world.facts.tiers[t - 1].hot_rank;
		}
		decide(&world.facts, &world.frame, &verdict);
		if (verdict.to == (int)world.frame.tier || verdict.block != BLOCK_NONE)
			continue;
		moves++;
		/* Even if nobody remembered that it has moved. */
		world.frame.placed_s = 0;
		world.frame.came_up = world.frame.was_demoted = false;
		for (uint32_t from = world.frame.tier; world.frame.tier != (uint32_t)verdict.to;) {
			struct verdict back;

			world.frame.tier = (uint32_t)verdict.to;
			decide(&world.facts, &world.frame, &back);
			assert_true(back.to == verdict.to || back.block != BLOCK_NONE ||
				    (back.to > verdict.to) == (verdict.to > (int)from));
		}
	}
	assert_true(moves > 1000);
}

static void test_names(void **state)
{
	(void)state;
	for (unsigned i = 0; i < REASONS; i++)
		for (unsigned k = 0; k < i; k++)
			assert_string_not_equal(reason_name(i), reason_name(k));
	for (unsigned i = 0; i < BLOCKS; i++)
		for (unsigned k = 0; k < i; k++)
			assert_string_not_equal(block_name(i), block_name(k));
	assert_string_equal(reason_name(REASON_HOT), "hot");
	assert_string_equal(block_name(BLOCK_BUDGET), "budget");
	assert_string_equal(reason_name(REASONS), "unknown");
	assert_string_equal(block_name(BLOCKS), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cold_data_stays_where_it_is),
		cmocka_unit_test(test_pins_states_and_rules_in_this_order),
		cmocka_unit_test(test_what_must_be_somewhere_waits_for_room_there),
		cmocka_unit_test(test_pins_keep_what_heat_would_move),
		cmocka_unit_test(test_excluded_tiers_are_left_and_no_targets),
		cmocka_unit_test(test_ignored_data_tells_what_would_be),
		cmocka_unit_test(test_evacuation_takes_what_room_there_is),
		cmocka_unit_test(test_what_is_hot_comes_up),
		cmocka_unit_test(test_promotion_needs_evidence),
		cmocka_unit_test(test_promotion_must_be_worth_the_copy),
		cmocka_unit_test(test_a_copy_costs_its_ways),
		cmocka_unit_test(test_what_came_and_went_must_be_worth_more),
		cmocka_unit_test(test_promotion_takes_the_next_tier_with_room),
		cmocka_unit_test(test_what_went_down_lately_cools),
		cmocka_unit_test(test_a_full_tier_lets_the_coldest_go),
		cmocka_unit_test(test_room_is_made_only_by_the_much_colder),
		cmocka_unit_test(test_what_came_up_stays_a_while),
		cmocka_unit_test(test_times_that_have_not_come_hold_nothing_up),
		cmocka_unit_test(test_what_holds_a_move_up_is_told),
		cmocka_unit_test(test_of_several_the_one_that_lasts_longest_is_told),
		cmocka_unit_test(test_for_any_facts),
		cmocka_unit_test(test_no_frame_wants_back_at_once),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
