// SPDX-License-Identifier: Apache-2.0
#include "tiers/space.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define REFRESH_NS     (500u * 1000 * 1000)
#define HEADROOM_MAX   (64u << 20)
#define HEADROOM_SHIFT 5 /* 1/32 of a small medium */

struct space {
	struct tier *const *tiers;
	uint32_t ntiers;
	pthread_mutex_t lock; /* all below */
	uint64_t total, free;
	uint64_t reserved; /* raw bytes */
	uint64_t taken;
	uint64_t asked_ns;
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* Frames have headers, and a block that does not shrink is stored whole: raw bytes and 1/64. */
static uint64_t with_overhead(uint64_t bytes)
{
	return bytes + bytes / 64 + 256;
}

static void ask_locked(struct space *space)
{
	space->total = space->free = 0;
	for (uint32_t t = 0; t < space->ntiers; t++) {
		for (uint32_t place = 0; place < space->tiers[t]->nplaces; place++) {
			struct tier_space room;
			uint64_t headroom;

			if (tier_space(space->tiers[t], place, &room) < 0)
				continue;
			headroom = room.total >> HEADROOM_SHIFT;
			if (headroom > HEADROOM_MAX)
				headroom = HEADROOM_MAX;
			space->total += room.total;
			if (room.free > headroom)
				space->free += room.free - headroom;
		}
	}
	space->taken = 0;
	space->asked_ns = now_ns();
}

int space_new(struct space **out, struct tier *const *tiers, uint32_t ntiers)
{
	struct space *space = calloc(1, sizeof(*space));

	if (!space)
		return -ENOMEM;
	space->tiers = tiers;
	space->ntiers = ntiers;
	pthread_mutex_init(&space->lock, NULL);
	ask_locked(space);
	*out = space;
	return 0;
}

void space_free(struct space *space)
{
	if (!space)
		return;
	pthread_mutex_destroy(&space->lock);
	free(space);
}

int space_reserve(struct space *space, uint64_t bytes)
{
	int rc = 0;

	pthread_mutex_lock(&space->lock);
	if (now_ns() - space->asked_ns > REFRESH_NS)
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
	if (now_ns() - space->asked_ns > REFRESH_NS)
		ask_locked(space);
	used = with_overhead(space->reserved) + space->taken;
	*total = space->total;
	*free_bytes = space->free > used ? space->free - used : 0;
	pthread_mutex_unlock(&space->lock);
}
