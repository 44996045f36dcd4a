// SPDX-License-Identifier: Apache-2.0
#include "tiers/engine/room.h"

#include <limits.h>
#include <math.h>
#include <string.h>

static uint64_t sum_to(const struct rank_histogram *histogram, unsigned ranks)
{
	uint64_t bytes = 0;

	for (unsigned rank = 0; rank < ranks; rank++)
		bytes += histogram->bytes[rank];
	return bytes;
}

void room_find_hot(struct engine_facts *facts, const struct rank_histogram *all)
{
	struct rank_histogram slower;

	memset(&slower, 0, sizeof(slower));
	for (uint32_t t = facts->ntiers - 1; t >= 1; t--) {
		struct tier_facts *tier = &facts->tiers[t];
		uint64_t ours = sum_to(&all[t], RANK_BUCKETS);
		uint64_t others = tier->used > ours ? tier->used - ours : 0;
		uint64_t room = tier->low > others ? tier->low - others : 0;

		/* The last one takes everything. */
		tier->hot_rank = t == facts->ntiers - 1 ? 0 : rank_fit(&all[t], &slower, room);
		for (unsigned rank = 0; rank < RANK_BUCKETS; rank++)
			slower.bytes[rank] += all[t].bytes[rank];
	}
}

static uint64_t over(uint64_t used, uint64_t mark)
{
	return used > mark ? used - mark : 0;
}

unsigned room_margin(const struct engine_facts *facts)
{
	double octaves = facts->ghost_gain > 1 ? log2(facts->ghost_gain) / 2 : 0;

	return RANK_OCTAVE + (unsigned)(octaves * RANK_OCTAVE);
}

/* The ranks that may make room for this one: 0 to one less. */
static unsigned colder_than(const struct tier_facts *tier, unsigned rank, unsigned margin)
{
	unsigned end = rank < margin ? 0 : rank - margin + 1;

	return end < tier->hot_rank ? end : tier->hot_rank;
}

/* Bytes that are to leave so that the hottest of `wanted` can come; *coldest: of those that do. */
static uint64_t find_exchange(const struct tier_facts *tier, unsigned margin,
			      const struct rank_histogram *old, const struct rank_histogram *wanted,
			      uint64_t inflow, unsigned *coldest)
{
	uint64_t used = tier->used + inflow;
	uint64_t need = 0;

	for (unsigned rank = RANK_BUCKETS; rank-- > 0;) {
		uint64_t much_colder, want;

		if (!wanted->bytes[rank])
			continue;
		used += wanted->bytes[rank];
		want = over(used, tier->high);
		much_colder = sum_to(old, colder_than(tier, rank, margin));
		if (want && much_colder <= need)
			break;
		*coldest = rank;
		need = want < much_colder ? want : much_colder;
		if (need < want)
			break;
	}
	return need;
}

void room_find_cold(struct engine_facts *facts, const struct rank_histogram *old,
		    const struct rank_histogram *wanted, uint64_t *need)
{
	uint64_t inflow = 0;

	for (uint32_t t = 1; t < facts->ntiers; t++) {
		struct tier_facts *tier = &facts->tiers[t];

		tier->for_room = false;
		tier->room_rank = RANK_BUCKETS;
		if (t == facts->ntiers - 1) {
			need[t] = 0;
		} else if (over(tier->used + inflow, tier->high)) {
			need[t] = tier->used + inflow -
				  (tier->used > tier->high ? tier->low : tier->high);
		} else {
			need[t] = find_exchange(tier, room_margin(facts), &old[t], &wanted[t],
						inflow, &tier->room_rank);
			tier->for_room = need[t] > 0;
		}
		tier->cold_rank = rank_cut(&old[t], need[t]);
		/* In the codec of the next tier it will be less, rarely more. */
		inflow = need[t];
	}
}
