// SPDX-License-Identifier: Apache-2.0
/* Which ranks belong into a tier, and which leave it for what. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <limits.h>
#include <string.h>

#include "tests/unit/fix_bytes.h"
#include "tiers/engine/room.h"

enum { RAM, SSD, HDD, ARC, TIERS };

struct world {
	struct engine_facts facts;
	struct rank_histogram all[TIERS], old[TIERS], wanted[TIERS];
	uint64_t need[TIERS];
};

/* Tiers of 100 bytes each. */
static void world_init(struct world *world)
{
	memset(world, 0, sizeof(*world));
	world->facts.ntiers = TIERS;
	for (unsigned t = SSD; t < TIERS; t++)
		world->facts.tiers[t] = (struct tier_facts){.size = 100, .high = 90, .low = 80};
}

static void put(struct world *world, unsigned tier, unsigned rank, uint64_t bytes)
{
	world->all[tier].bytes[rank] += bytes;
	world->old[tier].bytes[rank] += bytes;
	world->facts.tiers[tier].used += bytes;
}

static void plan(struct world *world)
{
	room_find_hot(&world->facts, world->all);
	room_find_cold(&world->facts, world->old, world->wanted, world->need);
}

static void test_the_hottest_of_all_tiers_fill_the_fast_one(void **state)
{
	struct world world;

	(void)state;
	world_init(&world);
	put(&world, SSD, 100, 50);
	put(&world, HDD, 150, 30);
	put(&world, ARC, 100, 10);
	put(&world, ARC, 50, 500);
	plan(&world);
	assert_int_equal(world.facts.tiers[SSD].hot_rank, 101); /* 80 would fit, 90 do not */
	assert_int_equal(world.facts.tiers[HDD].hot_rank, 51);
	assert_int_equal(world.facts.tiers[ARC].hot_rank, 0);
	/* What others keep on the medium is not ours to give. */
	world.facts.tiers[SSD].used += 51;
	plan(&world);
	assert_int_equal(world.facts.tiers[SSD].hot_rank, 151);
	world.facts.tiers[SSD].used += 100;
	plan(&world);
	assert_int_equal(world.facts.tiers[SSD].hot_rank, 151);
}

static void test_nothing_leaves_without_need(void **state)
{
	struct world world;

	(void)state;
	world_init(&world);
	put(&world, SSD, 10, 60);
	world.wanted[SSD].bytes[200] = 30;
	plan(&world);
	for (unsigned t = SSD; t < TIERS; t++) {
		assert_int_equal(world.need[t], 0);
		assert_int_equal(world.facts.tiers[t].cold_rank, UINT_MAX);
		assert_false(world.facts.tiers[t].for_room);
	}
}

static void test_too_full_is_emptied_to_the_low_watermark(void **state)
{
	struct world world;

	(void)state;
	world_init(&world);
	put(&world, SSD, 200, 85);
	put(&world, SSD, 190, 7);
	put(&world, HDD, 10, 85);
	plan(&world);
	assert_int_equal(world.need[SSD], 12);
	assert_int_equal(world.facts.tiers[SSD].cold_rank, 200); /* however hot */
	assert_false(world.facts.tiers[SSD].for_room);
	/* What comes down from there has to have room as well. */
	assert_int_equal(world.need[HDD], 7);
	assert_false(world.facts.tiers[HDD].for_room);
	assert_int_equal(world.need[ARC], 0);
}

static void test_places_are_changed_with_the_much_colder(void **state)
{
	struct world world;
	struct tier_facts *ssd = &world.facts.tiers[SSD];

	(void)state;
	world_init(&world);
	put(&world, SSD, 100, 70);
	put(&world, SSD, 40, 20);
	world.all[HDD].bytes[150] = world.wanted[SSD].bytes[150] = 15;
	plan(&world);
	assert_int_equal(world.need[SSD], 15);
	assert_int_equal(ssd->cold_rank, 40);
	assert_int_equal(ssd->room_rank, 150);
	assert_true(ssd->for_room);
	/* For as many as there are colder ones, when there are not enough. */
	world.all[HDD].bytes[101] = world.wanted[SSD].bytes[101] = 100;
	plan(&world);
	assert_int_equal(world.need[SSD], 20);
	assert_int_equal(ssd->cold_rank, 40);
	assert_int_equal(ssd->room_rank, 101);
	/* Nearly as hot: not worth the exchange. */
	world_init(&world);
	put(&world, SSD, 100, 90);
	world.all[HDD].bytes[103] = world.wanted[SSD].bytes[103] = 15;
	plan(&world);
	assert_int_equal(world.need[SSD], 0);
	world.all[HDD].bytes[104] = world.wanted[SSD].bytes[104] = 15;
	plan(&world);
	assert_int_equal(world.need[SSD], 15);
	assert_int_equal(ssd->cold_rank, 100);
	/* Ping-pong: neither is this, up to what is hotter still. */
	world.facts.ghost_gain = 4;
	plan(&world);
	assert_int_equal(world.need[SSD], 0);
	world.all[HDD].bytes[108] = world.wanted[SSD].bytes[108] = 15;
	plan(&world);
	assert_int_equal(world.need[SSD], 15);
	assert_int_equal(ssd->room_rank, 108);
}

/* Twice, then a root of two more for each doubling of the gain. */
static void test_the_margin_widens_with_ping_pong(void **state)
{
	static const struct {
		double gain;
		unsigned ranks;
	} of[] = {{0, RANK_OCTAVE},
		  {1, RANK_OCTAVE},
		  {2, RANK_OCTAVE * 3 / 2},
		  {4, RANK_OCTAVE * 2},
		  {64, RANK_OCTAVE * 4}};

	(void)state;
	for (unsigned i = 0; i < sizeof(of) / sizeof(of[0]); i++) {
		struct engine_facts facts = {.ghost_gain = of[i].gain};

		assert_int_equal(room_margin(&facts), of[i].ranks);
	}
}

/* All of the tier is equally cold: still, room is made. */
static void test_a_tier_that_nobody_uses_gives_way(void **state)
{
	struct world world;

	(void)state;
	world_init(&world);
	put(&world, SSD, 0, 90);
	world.all[HDD].bytes[130] = world.wanted[SSD].bytes[130] = 50;
	plan(&world);
	assert_int_equal(world.need[SSD], 50);
	assert_int_equal(world.facts.tiers[SSD].cold_rank, 0);
	/* But not what is too young to leave. */
	memset(world.old, 0, sizeof(world.old));
	plan(&world);
	assert_int_equal(world.need[SSD], 0);
}

/* For any pool: who makes room is colder by the margin than all whom it is made for, does not
 * belong there, and no more leaves than is needed. */
static void test_exchanges_of_any_pool(void **state)
{
	uint64_t seed = 9;
	unsigned exchanges = 0;

	(void)state;
	for (unsigned round = 0; round < 5000; round++) {
		struct world world;
		struct tier_facts *ssd = &world.facts.tiers[SSD];
		uint64_t want = 0;

		world_init(&world);
		world.facts.ghost_gain = round % 3 ? 1 : 4;
		for (unsigned i = 0; i < 10; i++) {
			put(&world, SSD, (unsigned)(bytes_random(&seed) % RANK_BUCKETS),
			    bytes_random(&seed) % 18);
			put(&world, HDD, (unsigned)(bytes_random(&seed) % RANK_BUCKETS),
			    bytes_random(&seed) % 8);
		}
		room_find_hot(&world.facts, world.all);
		for (unsigned rank = ssd->hot_rank; rank < RANK_BUCKETS; rank++) {
			world.wanted[SSD].bytes[rank] = world.all[HDD].bytes[rank];
			want += world.all[HDD].bytes[rank];
		}
		room_find_cold(&world.facts, world.old, world.wanted, world.need);
		if (!ssd->for_room)
			continue;
		exchanges++;
		assert_true(ssd->cold_rank + room_margin(&world.facts) <= ssd->room_rank);
		assert_true(ssd->cold_rank < ssd->hot_rank && ssd->room_rank >= ssd->hot_rank);
		assert_true(world.wanted[SSD].bytes[ssd->room_rank] > 0);
		assert_true(world.need[SSD] <= want && ssd->used + want > ssd->high);
	}
	assert_true(exchanges > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_hottest_of_all_tiers_fill_the_fast_one),
		cmocka_unit_test(test_nothing_leaves_without_need),
		cmocka_unit_test(test_too_full_is_emptied_to_the_low_watermark),
		cmocka_unit_test(test_places_are_changed_with_the_much_colder),
		cmocka_unit_test(test_the_margin_widens_with_ping_pong),
		cmocka_unit_test(test_a_tier_that_nobody_uses_gives_way),
		cmocka_unit_test(test_exchanges_of_any_pool),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
