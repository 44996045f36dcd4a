// SPDX-License-Identifier: Apache-2.0
/*
 * A set-associative table: a frame hashes to a set of WAYS entries, a newcomer takes the one that
 * is oldest. Beside it a ring of the last promotions, from which the gain is made.
 */
#include "tiers/engine/ghost.h"

#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>

#define WAYS	 8u
#define LAST	 512u /* promotions that the gain looks at */
#define LAST_MIN 100u /* as many at least are taken for the whole: one is 1 % at most */
#define DOUBLING 0.01
#define GAIN_MAX 64.0

struct ghosts {
	uint64_t frame[GHOST_ENTRIES]; /* 0 = free */
	uint32_t down_s[GHOST_ENTRIES];
	uint32_t up_s[LAST];
	bool pingpong[LAST];
	struct ghost_counts counts; /* the ring is filled at promotions % LAST */
};

int ghosts_new(struct ghosts **out)
{
	*out = calloc(1, sizeof(**out));
	return *out ? 0 : -ENOMEM;
}

void ghosts_free(struct ghosts *ghosts)
{
	free(ghosts);
}

static size_t set_of(uint64_t frame)
{
	uint64_t hash = frame * UINT64_C(0x9E3779B97F4A7C15);

	return (hash >> 32) % (GHOST_ENTRIES / WAYS) * WAYS;
}

/* The frame's entry, or GHOST_ENTRIES. */
static size_t find(const struct ghosts *ghosts, uint64_t frame)
{
	size_t set = set_of(frame);

	for (size_t i = set; frame && i < set + WAYS; i++)
		if (ghosts->frame[i] == frame)
			return i;
	return GHOST_ENTRIES;
}

static bool is_recent(uint32_t then_s, uint32_t now_s)
{
	/* A clock that was set back makes nothing old. */
	return now_s < then_s || now_s - then_s <= GHOST_WINDOW_S;
}

void ghosts_demoted(struct ghosts *ghosts, uint64_t frame, uint32_t now_s)
{
	size_t entry = find(ghosts, frame);

	if (entry == GHOST_ENTRIES) {
		entry = set_of(frame);
		for (size_t i = entry; i < set_of(frame) + WAYS; i++)
			if (!ghosts->frame[i] ||
			    (ghosts->frame[entry] && ghosts->down_s[i] < ghosts->down_s[entry]))
				entry = i;
	}
	ghosts->frame[entry] = frame;
	ghosts->down_s[entry] = now_s;
}

bool ghosts_has(const struct ghosts *ghosts, uint64_t frame, uint32_t now_s)
{
	size_t entry = find(ghosts, frame);

	return entry < GHOST_ENTRIES && is_recent(ghosts->down_s[entry], now_s);
}

void ghosts_promoted(struct ghosts *ghosts, uint64_t frame, uint32_t now_s)
{
	size_t entry = find(ghosts, frame);
	size_t slot = ghosts->counts.promotions++ % LAST;

	ghosts->up_s[slot] = now_s;
	ghosts->pingpong[slot] = ghosts_has(ghosts, frame, now_s);
	if (ghosts->pingpong[slot])
		ghosts->counts.pingpong++;
	if (entry < GHOST_ENTRIES)
		ghosts->frame[entry] = 0;
}

void ghosts_counts(const struct ghosts *ghosts, struct ghost_counts *out)
{
	*out = ghosts->counts;
}

double ghosts_gain(const struct ghosts *ghosts, uint32_t now_s)
{
	size_t n = ghosts->counts.promotions < LAST ? ghosts->counts.promotions : LAST;
	unsigned recent = 0, bad = 0;
	double gain;

	for (size_t i = 0; i < n; i++) {
		if (!is_recent(ghosts->up_s[i], now_s))
			continue;
		recent++;
		bad += ghosts->pingpong[i];
	}
	gain = exp2(bad / (double)(recent > LAST_MIN ? recent : LAST_MIN) / DOUBLING);
	return gain < GAIN_MAX ? gain : GAIN_MAX;
}
