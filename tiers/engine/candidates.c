// SPDX-License-Identifier: Apache-2.0
#include "tiers/engine/candidates.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#define WAYS 4u

struct candidates {
	pthread_mutex_t lock;
	struct candidate slots[CANDIDATES_MAX]; /* frame 0 = free */
};

int candidates_new(struct candidates **out)
{
	struct candidates *candidates = calloc(1, sizeof(*candidates));

	*out = candidates;
	if (!candidates)
		return -ENOMEM;
	pthread_mutex_init(&candidates->lock, NULL);
	return 0;
}

void candidates_free(struct candidates *candidates)
{
	if (!candidates)
		return;
	pthread_mutex_destroy(&candidates->lock);
	free(candidates);
}

static struct candidate *set_of(struct candidates *candidates, uint64_t frame)
{
	uint64_t hash = (frame * UINT64_C(0x9E3779B97F4A7C15)) >> 32;

	return &candidates->slots[hash % (CANDIDATES_MAX / WAYS) * WAYS];
}

/* The frame's slot, or NULL; *oldest: the one to be used for a newcomer. */
static struct candidate *find(struct candidates *candidates, uint64_t frame,
			      struct candidate **oldest)
{
	struct candidate *set = set_of(candidates, frame);

	*oldest = set;
	for (unsigned i = 0; i < WAYS; i++) {
		if (set[i].frame == frame)
			return &set[i];
		if (set[i].reread_s < (*oldest)->reread_s)
			*oldest = &set[i];
	}
	return NULL;
}

void candidates_note(struct candidates *candidates, uint64_t frame, uint32_t now_s)
{
	struct candidate *slot, *oldest;

	pthread_mutex_lock(&candidates->lock);
	slot = find(candidates, frame, &oldest);
	if (!slot) {
		slot = oldest;
		*slot = (struct candidate){.frame = frame};
	}
	slot->reread_s = now_s;
	pthread_mutex_unlock(&candidates->lock);
}

uint32_t candidates_get(struct candidates *candidates, uint64_t frame)
{
	struct candidate *slot, *oldest;
	uint32_t when;

	pthread_mutex_lock(&candidates->lock);
	slot = find(candidates, frame, &oldest);
	when = slot ? slot->reread_s : 0;
	pthread_mutex_unlock(&candidates->lock);
	return when;
}

void candidates_drop(struct candidates *candidates, uint64_t frame)
{
	struct candidate *slot, *oldest;

	pthread_mutex_lock(&candidates->lock);
	slot = find(candidates, frame, &oldest);
	if (slot)
		*slot = (struct candidate){0};
	pthread_mutex_unlock(&candidates->lock);
}

size_t candidates_list(struct candidates *candidates, uint32_t since_s, struct candidate *out,
		       size_t n)
{
	size_t count = 0;

	pthread_mutex_lock(&candidates->lock);
	for (size_t i = 0; i < CANDIDATES_MAX && count < n; i++)
		if (candidates->slots[i].frame && candidates->slots[i].reread_s >= since_s)
			out[count++] = candidates->slots[i];
	pthread_mutex_unlock(&candidates->lock);
	return count;
}
