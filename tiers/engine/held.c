// SPDX-License-Identifier: Apache-2.0
#include "tiers/engine/held.h"

#include <errno.h>
#include <stdlib.h>

#define WAYS 4u

struct entry {
	uint64_t frame; /* 0 = free */
	uint32_t until_s;
};

struct held {
	struct entry entries[HELD_ENTRIES];
};

int held_new(struct held **out)
{
	*out = calloc(1, sizeof(**out));
	return *out ? 0 : -ENOMEM;
}

void held_free(struct held *held)
{
	free(held);
}

static size_t set_of(uint64_t frame)
{
	return ((frame * UINT64_C(0x9E3779B97F4A7C15)) >> 32) % (HELD_ENTRIES / WAYS) * WAYS;
}

void held_add(struct held *held, uint64_t frame, uint32_t now_s)
{
	struct entry *set = &held->entries[set_of(frame)], *first = set;

	for (unsigned i = 0; i < WAYS; i++) {
		if (set[i].frame == frame) {
			first = &set[i];
			break;
		}
		if (set[i].until_s < first->until_s)
			first = &set[i];
	}
	*first = (struct entry){.frame = frame, .until_s = now_s + HELD_S};
}

uint32_t held_until(const struct held *held, uint64_t frame, uint32_t now_s)
{
	const struct entry *set = &held->entries[set_of(frame)];

	for (unsigned i = 0; i < WAYS; i++)
		if (set[i].frame == frame && set[i].until_s > now_s)
			return set[i].until_s;
	return 0;
}
