// SPDX-License-Identifier: Apache-2.0
/*
 * A set-associative table: a frame hashes to a set of WAYS entries; a newcomer takes the free or
 * the coldest one of its set. Cold frames that are pushed out keep what their record says.
 */
#include "tiers/heat.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>

#define WAYS 8u

struct slot {
	uint64_t frame; /* 0 = free */
	struct heat_state state;
	bool changed;
};

struct heat {
	pthread_mutex_t lock;
	size_t nsets;  /* a power of two */
	size_t cursor; /* of heat_take() */
	struct slot slots[];
};

uint16_t heat_decay(struct heat_state state, uint32_t now_s)
{
	uint32_t age = now_s > state.last_s ? now_s - state.last_s : 0;

	if (!state.value || age >= 20 * HEAT_HALF_LIFE_S)
		return 0;
	return (uint16_t)((double)state.value * exp2(-(double)age / HEAT_HALF_LIFE_S));
}

int heat_new(struct heat **out, size_t max_frames)
{
	size_t nsets = 1;
	struct heat *heat;

	while (nsets * WAYS < max_frames)
		nsets *= 2;
	heat = calloc(1, sizeof(*heat) + nsets * WAYS * sizeof(struct slot));
	if (!heat)
		return -ENOMEM;
	heat->nsets = nsets;
	pthread_mutex_init(&heat->lock, NULL);
	*out = heat;
	return 0;
}

void heat_free(struct heat *heat)
{
	if (!heat)
		return;
	pthread_mutex_destroy(&heat->lock);
	free(heat);
}

static struct slot *set_of(struct heat *heat, uint64_t frame)
{
	uint64_t hash = frame * 0x9E3779B97F4A7C15u;

	return &heat->slots[((hash >> 32) & (heat->nsets - 1)) * WAYS];
}

static struct slot *find(struct heat *heat, uint64_t frame)
{
	struct slot *set = set_of(heat, frame);

	for (unsigned i = 0; i < WAYS; i++)
		if (set[i].frame == frame)
			return &set[i];
	return NULL;
}

static struct slot *coldest(struct heat *heat, uint64_t frame, uint32_t now_s)
{
	struct slot *set = set_of(heat, frame);
	struct slot *best = set;
	uint16_t least = UINT16_MAX;

	for (unsigned i = 0; i < WAYS; i++) {
		uint16_t value = heat_decay(set[i].state, now_s);

		if (!set[i].frame)
			return &set[i];
		if (value < least) {
			least = value;
			best = &set[i];
		}
	}
	return best;
}

uint32_t heat_touch(struct heat *heat, uint64_t frame, struct heat_state kept, uint32_t now_s)
{
	struct slot *slot;
	uint32_t since, value;

	pthread_mutex_lock(&heat->lock);
	slot = find(heat, frame);
	if (!slot) {
		slot = coldest(heat, frame, now_s);
		*slot = (struct slot){.frame = frame, .state = kept};
	}
	since = now_s > slot->state.last_s ? now_s - slot->state.last_s : 0;
	if (since < HEAT_SAME_TOUCH_S && slot->state.value) {
		pthread_mutex_unlock(&heat->lock);
		return UINT32_MAX;
	}
	value = heat_decay(slot->state, now_s) + HEAT_ONE;
	slot->state.value = (uint16_t)(value > UINT16_MAX ? UINT16_MAX : value);
	slot->state.last_s = now_s;
	slot->changed = true;
	pthread_mutex_unlock(&heat->lock);
	return since;
}

struct heat_state heat_of(struct heat *heat, uint64_t frame, struct heat_state kept)
{
	struct slot *slot;

	pthread_mutex_lock(&heat->lock);
	slot = find(heat, frame);
	if (slot)
		kept = slot->state;
	pthread_mutex_unlock(&heat->lock);
	return kept;
}

size_t heat_take(struct heat *heat, struct heat_entry *out, size_t n)
{
	size_t total = heat->nsets * WAYS;
	size_t taken = 0;

	pthread_mutex_lock(&heat->lock);
	for (size_t seen = 0; seen < total && taken < n; seen++) {
		struct slot *slot = &heat->slots[heat->cursor];

		heat->cursor = (heat->cursor + 1) % total;
		if (!slot->frame || !slot->changed)
			continue;
		slot->changed = false;
		out[taken++] = (struct heat_entry){.frame = slot->frame, .state = slot->state};
	}
	pthread_mutex_unlock(&heat->lock);
	return taken;
}

void heat_forget(struct heat *heat, uint64_t frame)
{
	struct slot *slot;

	pthread_mutex_lock(&heat->lock);
	slot = find(heat, frame);
	if (slot)
		*slot = (struct slot){0};
	pthread_mutex_unlock(&heat->lock);
}
