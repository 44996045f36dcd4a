// SPDX-License-Identifier: Apache-2.0
/*
 * A set-associative table: a frame hashes to a set of WAYS entries; a newcomer takes the free or
 * the coldest one of its set. What is pushed out before it was taken goes to `left`, a short list
 * that heat_take() empties first; when that is full, the frame keeps what its record says.
 */
#include "tiers/engine/heat.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>

#define WAYS	   8u
/* Frames written one after another are read one after another: their sets lie side by side, so that
 * a reader touches few pages of the table. */
#define NEIGHBOURS 64u
#define LEFT	   256u
#define AT_ONCE	   4096u  /* slots that heat_take() looks at before it lets others have the lock */
#define DAY_S	   86400u /* times further ahead were written by a clock that was wrong */
#define MEMORY	   20	  /* half lives, after which nothing is left of 16 bits */

struct slot {
	uint64_t frame; /* 0 = free */
	struct heat_state state;
	uint32_t seen_s;    /* last read, counted or not */
	uint32_t counted_s; /* last read that counted */
	bool changed;
};

struct heat {
	pthread_mutex_t lock;
	struct heat_scale scale;
	size_t nsets;  /* a power of two */
	size_t cursor; /* of heat_take() */
	size_t nchanged;
	struct heat_entry left[LEFT];
	size_t nleft;
	struct slot slots[];
};

static uint16_t decay_one(uint16_t value, double half_lives)
{
	return half_lives >= MEMORY ? 0 : (uint16_t)((double)value * exp2(-half_lives));
}

struct heat_state heat_decay(struct heat_state state, struct heat_scale scale, uint32_t now_s)
{
	double age = heat_age_s(state, now_s);
	double half_lives = age / scale.half_life_s;

	/* Else it would not cool before that time has come. */
	if (state.last_s > now_s && state.last_s - now_s > DAY_S)
		return (struct heat_state){.last_s = now_s};
	state.fast = decay_one(state.fast, half_lives);
	state.slow = decay_one(state.slow, half_lives / HEAT_LONG);
	if (now_s > state.last_s)
		state.last_s = now_s;
	return state;
}

static uint16_t add_one(uint16_t value)
{
	return value > UINT16_MAX - HEAT_ONE ? UINT16_MAX : (uint16_t)(value + HEAT_ONE);
}

struct heat_state heat_add(struct heat_state state, struct heat_scale scale, uint32_t now_s)
{
	state = heat_decay(state, scale, now_s);
	state.fast = add_one(state.fast);
	state.slow = add_one(state.slow);
	return state;
}

double heat_rate(struct heat_state state, struct heat_scale scale, uint32_t now_s)
{
	/* A steady rate r settles at r * half_life / ln 2. */
	double per_hour = 3600.0 * 0.6931471805599453 / scale.half_life_s / HEAT_ONE;

	state = heat_decay(state, scale, now_s);
	return per_hour * (0.75 * state.fast + 0.25 * state.slow / HEAT_LONG);
}

struct heat_state heat_mix(struct heat_state a, uint64_t a_bytes, struct heat_state b,
			   uint64_t b_bytes, struct heat_scale scale)
{
	uint32_t now_s = a.last_s > b.last_s ? a.last_s : b.last_s;
	double share = a_bytes + b_bytes ? (double)a_bytes / (double)(a_bytes + b_bytes) : 0;

	a = heat_decay(a, scale, now_s);
	b = heat_decay(b, scale, now_s);
	return (struct heat_state){
		.last_s = now_s,
		.fast = (uint16_t)(share * a.fast + (1 - share) * b.fast),
		.slow = (uint16_t)(share * a.slow + (1 - share) * b.slow),
	};
}

int heat_new(struct heat **out, size_t max_frames, struct heat_scale scale)
{
	size_t nsets = 1;
	struct heat *heat;

	while (nsets * WAYS < max_frames)
		nsets *= 2;
	heat = calloc(1, sizeof(*heat) + nsets * WAYS * sizeof(struct slot));
	if (!heat)
		return -ENOMEM;
	heat->nsets = nsets;
	heat->scale = scale;
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

void heat_rescale(struct heat *heat, struct heat_scale scale)
{
	pthread_mutex_lock(&heat->lock);
	heat->scale = scale;
	pthread_mutex_unlock(&heat->lock);
}

static struct slot *set_of(struct heat *heat, uint64_t frame)
{
	uint64_t hash = frame / NEIGHBOURS * 0x9E3779B97F4A7C15u;

	return &heat->slots[(((hash >> 32) + frame % NEIGHBOURS) & (heat->nsets - 1)) * WAYS];
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
	double least = INFINITY;

	for (unsigned i = 0; i < WAYS; i++) {
		double rate;

		if (!set[i].frame)
			return &set[i];
		rate = heat_rate(set[i].state, heat->scale, now_s);
		if (rate < least) {
			least = rate;
			best = &set[i];
		}
	}
	return best;
}

static struct slot *admit(struct heat *heat, uint64_t frame, struct heat_state kept, uint32_t now_s)
{
	struct slot *slot = coldest(heat, frame, now_s);

	if (slot->frame && slot->changed) {
		heat->nchanged--;
		if (heat->nleft < LEFT)
			heat->left[heat->nleft++] = (struct heat_entry){slot->frame, slot->state};
	}
	*slot = (struct slot){.frame = frame, .state = kept};
	return slot;
}

static bool is_new_touch(const struct slot *slot, uint32_t now_s)
{
	if (now_s < slot->counted_s) /* the clock was set back */
		return slot->counted_s - now_s > HEAT_ONE_TOUCH_S;
	return now_s > slot->seen_s + HEAT_SAME_TOUCH_S ||
	       now_s > slot->counted_s + HEAT_ONE_TOUCH_S;
}

void heat_touch(struct heat *heat, uint64_t frame, struct heat_state kept, uint32_t now_s)
{
	struct slot *slot;

	pthread_mutex_lock(&heat->lock);
	slot = find(heat, frame);
	if (!slot)
		slot = admit(heat, frame, kept, now_s);
	if (is_new_touch(slot, now_s)) {
		slot->state = heat_add(slot->state, heat->scale, now_s);
		slot->seen_s = slot->counted_s = now_s;
		heat->nchanged += !slot->changed;
		slot->changed = true;
	}
	if (now_s > slot->seen_s)
		slot->seen_s = now_s;
	pthread_mutex_unlock(&heat->lock);
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

static size_t take_left(struct heat *heat, struct heat_entry *out, size_t n)
{
	size_t taken = 0;

	while (heat->nleft && taken < n)
		out[taken++] = heat->left[--heat->nleft];
	return taken;
}

static size_t take_some(struct heat *heat, struct heat_entry *out, size_t n)
{
	size_t total = heat->nsets * WAYS, taken = 0;

	for (size_t seen = 0; seen < AT_ONCE && taken < n && heat->nchanged; seen++) {
		struct slot *slot = &heat->slots[heat->cursor];

		heat->cursor = (heat->cursor + 1) % total;
		if (!slot->frame || !slot->changed)
			continue;
		slot->changed = false;
		heat->nchanged--;
		out[taken++] = (struct heat_entry){.frame = slot->frame, .state = slot->state};
	}
	return taken;
}

size_t heat_take(struct heat *heat, struct heat_entry *out, size_t n)
{
	size_t total = heat->nsets * WAYS, taken;

	pthread_mutex_lock(&heat->lock);
	taken = take_left(heat, out, n);
	for (size_t seen = 0; seen < total && taken < n && heat->nchanged; seen += AT_ONCE) {
		taken += take_some(heat, out + taken, n - taken);
		pthread_mutex_unlock(&heat->lock);
		pthread_mutex_lock(&heat->lock);
	}
	pthread_mutex_unlock(&heat->lock);
	return taken;
}

void heat_forget(struct heat *heat, uint64_t frame)
{
	struct slot *slot;

	pthread_mutex_lock(&heat->lock);
	slot = find(heat, frame);
	if (slot) {
		heat->nchanged -= slot->changed;
		*slot = (struct slot){0};
	}
	pthread_mutex_unlock(&heat->lock);
}
