// SPDX-License-Identifier: Apache-2.0
#include "tiers/space.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "tiers/clock.h"

#define REFRESH_NS     (500u * 1000 * 1000)
#define HEADROOM_MAX   (64u << 20)
#define HEADROOM_SHIFT 5 /* 1/32 of a small medium */

struct medium_room {
	uint64_t device, total, free;
	uint64_t left;	/* while adding up */
	uint32_t users; /* tiers with an open place here */
};

struct place_room { /* a directory */
	uint32_t tier, medium;
	bool open;
};

struct space {
	struct tier *const *tiers;
	uint32_t ntiers;
	pthread_mutex_t lock; /* all below */
	uint64_t total, free;
	uint64_t reserved; /* raw bytes */
	uint64_t taken;
	uint64_t asked_ns;
	/* as last asked; room for all that there can be */
	struct medium_room *media;
	struct place_room *places;
	uint64_t *quotas, *quotas_left; /* per tier; UINT64_MAX = none */
	unsigned *copies;		/* per tier */
	uint32_t nmedia, nplaces;
};

/* Frames have headers, and a block that does not shrink is stored whole: raw bytes and 1/64. */
static uint64_t with_overhead(uint64_t bytes)
{
	return bytes + bytes / 64 + 256;
}

static uint64_t less_headroom(uint64_t free, uint64_t total)
{
	uint64_t headroom = total >> HEADROOM_SHIFT;

	if (headroom > HEADROOM_MAX)
		headroom = HEADROOM_MAX;
	return free > headroom ? free - headroom : 0;
}

static uint32_t medium_index(struct space *space, const struct tier_space *room)
{
	uint32_t i;

	for (i = 0; i < space->nmedia && space->media[i].device != room->device; i++)
		;
	if (i == space->nmedia)
		space->media[space->nmedia++] = (struct medium_room){
			.device = room->device,
			.total = room->medium_total,
			.free = less_headroom(room->medium_free, room->medium_total)};
	return i;
}

static void ask_tier_locked(struct space *space, uint32_t t)
{
	struct tier *tier = space->tiers[t];
	uint32_t first = space->nplaces;
	uint64_t used = 0, quota = 0, kept = 0;

	for (uint32_t i = 0; i < tier->nplaces; i++) {
		bool open = !tier_place_closed(tier, i);
		struct tier_space room;
		uint32_t medium, k;

		if (!tier_has_place(tier, i) || tier_place_spare(tier, i) ||
		    tier_space(tier, i, &room) < 0)
			continue;
		used += room.used;
		quota = room.quota;
		kept = room.kept;
		medium = medium_index(space, &room);
		for (k = first; k < space->nplaces && space->places[k].medium != medium; k++)
			;
		if (k == space->nplaces) /* the first of this tier on this medium */
			space->places[space->nplaces++] =
				(struct place_room){.tier = t, .medium = medium};
		if (open && !space->places[k].open) {
			space->places[k].open = true;
			space->media[medium].users++;
		}
	}
	space->quotas[t] = quota ? quota : UINT64_MAX;
	space->quotas_left[t] = UINT64_MAX;
	if (quota)
		space->quotas_left[t] =
			less_headroom(quota > used + kept ? quota - used - kept : 0, quota);
}

/* Spare places take copies of their own, out of room that is not counted; a missing directory none.
 */
static unsigned copies_here(const struct space *space, uint32_t t)
{
	const struct tier *tier = space->tiers[t];
	unsigned places = (unsigned)__builtin_popcountll(tier->present & ~tier->spare);

	return places && places < space->copies[t] ? places : space->copies[t];
}

/* Gives the tier up to `limit` bytes of its media: of those it has alone, or of those it shares. */
static uint64_t take_locked(struct space *space, uint32_t t, bool open, bool alone, uint64_t limit)
{
	uint64_t got = 0;

	for (uint32_t i = 0; i < space->nplaces; i++) {
		struct medium_room *medium = &space->media[space->places[i].medium];
		uint64_t some = medium->left < limit - got ? medium->left : limit - got;

		if (space->places[i].tier != t || (open && !space->places[i].open) ||
		    alone != (medium->users < 2))
			continue;
		medium->left -= some;
		got += some;
	}
	return got;
}

/*
 * What fits, each medium counted once and no tier beyond its quota. Tiers with a quota first take
 * what others do not use; where several of them share several media that may be less than the best
 * one could do, never more than there is.
 */
static uint64_t add_up_locked(struct space *space, const uint64_t *limits, bool open)
{
	uint64_t sum = 0;

	for (unsigned pass = 0; pass < 2; pass++) {
		for (uint32_t t = 0; t < space->ntiers; t++) {
			uint64_t got;

			if ((limits[t] == UINT64_MAX) != (pass == 1))
				continue;
			got = take_locked(space, t, open, true, limits[t]);
			got += take_locked(space, t, open, false, limits[t] - got);
			sum += got / copies_here(space, t);
		}
	}
	return sum;
}

static void ask_locked(struct space *space)
{
	space->nmedia = space->nplaces = 0;
	for (uint32_t t = 0; t < space->ntiers; t++)
		ask_tier_locked(space, t);
	for (uint32_t i = 0; i < space->nmedia; i++)
		space->media[i].left = space->media[i].total;
	space->total = add_up_locked(space, space->quotas, false);
	for (uint32_t i = 0; i < space->nmedia; i++)
		space->media[i].left = space->media[i].free;
	space->free = add_up_locked(space, space->quotas_left, true);
	space->taken = 0;
	space->asked_ns = clock_mono_ns();
}

int space_new(struct space **out, struct tier *const *tiers, uint32_t ntiers)
{
	struct space *space = calloc(1, sizeof(*space));
	size_t most = (size_t)ntiers * TIER_PLACES_MAX;

	if (!space)
		return -ENOMEM;
	pthread_mutex_init(&space->lock, NULL);
	space->tiers = tiers;
	space->ntiers = ntiers;
	space->media = calloc(most, sizeof(*space->media));
	space->places = calloc(most, sizeof(*space->places));
	space->quotas = calloc(ntiers, sizeof(*space->quotas));
	space->quotas_left = calloc(ntiers, sizeof(*space->quotas_left));
	space->copies = calloc(ntiers, sizeof(*space->copies));
	for (uint32_t t = 0; space->copies && t < ntiers; t++)
		space->copies[t] = 1;
	if (!space->copies || !space->media || !space->places || !space->quotas ||
	    !space->quotas_left) {
		space_free(space);
		return -ENOMEM;
	}
	ask_locked(space);
	*out = space;
	return 0;
}

void space_free(struct space *space)
{
	if (!space)
		return;
	pthread_mutex_destroy(&space->lock);
	free(space->media);
	free(space->places);
	free(space->quotas);
	free(space->quotas_left);
	free(space->copies);
	free(space);
}

void space_copies(struct space *space, uint32_t tier, unsigned copies)
{
	pthread_mutex_lock(&space->lock);
	space->copies[tier] = copies ? copies : 1;
	pthread_mutex_unlock(&space->lock);
}

int space_reserve(struct space *space, uint64_t bytes)
{
	int rc = 0;

	pthread_mutex_lock(&space->lock);
	if (clock_mono_ns() - space->asked_ns > REFRESH_NS)
		ask_locked(space);
	if (with_overhead(space->reserved + bytes) + space->taken > space->free) {
		ask_locked(space);
		if (with_overhead(space->reserved + bytes) > space->free)
			rc = -ENOSPC;
	}
	if (rc == 0)
		space->reserved += bytes;
	pthread_mutex_unlock(&space->lock);
	return rc;
}

void space_reserve_forced(struct space *space, uint64_t bytes)
{
	pthread_mutex_lock(&space->lock);
	space->reserved += bytes;
	pthread_mutex_unlock(&space->lock);
}

bool space_overdrawn(struct space *space)
{
	bool overdrawn;

	pthread_mutex_lock(&space->lock);
	ask_locked(space);
	overdrawn = with_overhead(space->reserved) > space->free;
	pthread_mutex_unlock(&space->lock);
	return overdrawn;
}

bool space_has_spare(struct space *space, uint64_t bytes)
{
	bool spare;

	pthread_mutex_lock(&space->lock);
	spare = with_overhead(space->reserved + bytes) + space->taken <= space->free;
	pthread_mutex_unlock(&space->lock);
	return spare;
}

void space_unreserve(struct space *space, uint64_t bytes)
{
	pthread_mutex_lock(&space->lock);
	assert(bytes <= space->reserved);
	space->reserved -= bytes;
	pthread_mutex_unlock(&space->lock);
}

void space_taken(struct space *space, uint64_t bytes)
{
	pthread_mutex_lock(&space->lock);
	space->taken += bytes;
	pthread_mutex_unlock(&space->lock);
}

void space_refresh(struct space *space)
{
	pthread_mutex_lock(&space->lock);
	ask_locked(space);
	pthread_mutex_unlock(&space->lock);
}

void space_totals(struct space *space, uint64_t *total, uint64_t *free_bytes)
{
	uint64_t used;

	pthread_mutex_lock(&space->lock);
	if (clock_mono_ns() - space->asked_ns > REFRESH_NS)
		ask_locked(space);
	used = with_overhead(space->reserved) + space->taken;
	*total = space->total;
	*free_bytes = space->free > used ? space->free - used : 0;
	pthread_mutex_unlock(&space->lock);
}
