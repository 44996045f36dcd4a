// SPDX-License-Identifier: Apache-2.0
/*
 * Emptying a tier or one of its directories. The directory is closed first, so what is in it does
 * not grow; then its frames go, to the first place that takes them: other directories of the tier,
 * the tiers below, those above.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "compress/frame.h"
#include "tiers/engine/engine_impl.h"
#include "tiers/flush.h"
#include "tiers/framestore.h"
#include "tiers/places.h"
#include "tiers/segment_list.h"

struct evacuation {
	struct pool *pool;
	struct executor *executor; /* NULL: only counted */
	uint32_t tier;
	int place; /* -1: all */
	int to;
	uint64_t raw, frames;
};

static int each_frame(void *arg, uint64_t frame, const struct frame_record *record)
{
	struct evacuation *evacuation = arg;
	struct choice choice = {.frame = frame,
				.record = *record,
				.bytes = record->raw_len,
				.verdict = {.to = evacuation->to, .reason = REASON_EVACUATE},
				.rewrite = evacuation->to == (int)evacuation->tier};

	if (record->tier != evacuation->tier)
		return 0;
	evacuation->raw += record->raw_len;
	evacuation->frames++;
	if (!evacuation->executor)
		return 0;
	/* No room there: the next tier is asked. */
	if (evacuation->executor->full)
		return 1;
	return executor_add(evacuation->executor, &choice);
}

/* Has the place something that is to leave it? Of a spare one, what lies there alone: the rest is
 * let go when it is taken out. */
static bool concerns(const struct evacuation *evacuation, const struct segment_brief *segment)
{
	const struct tier *tier = evacuation->pool->tiers[evacuation->tier].tier;
	uint64_t bit = (uint64_t)1 << (evacuation->place & 63), homes;

	if (segment->tier != evacuation->tier || evacuation->place < 0)
		return segment->tier == evacuation->tier;
	homes = homes_get(evacuation->pool->homes, segment->id, segment->place);
	return tier_place_spare(tier, (uint32_t)evacuation->place) ? homes == bit : homes & bit;
}

static int walk(struct evacuation *evacuation)
{
	struct segment_brief *list;
	size_t n;
	int rc = segment_list(evacuation->pool, &list, &n);

	evacuation->raw = evacuation->frames = 0;
	for (size_t i = 0; rc == 0 && i < n; i++)
		if (concerns(evacuation, &list[i]))
			rc = segment_each(evacuation->pool, list[i].id, each_frame, evacuation);
	free(list);
	return rc > 0 ? 0 : rc;
}

/* Every frame that is left to one tier. */
static int walk_to(struct evacuation *evacuation, int to, struct move_progress *progress)
{
	struct executor executor;
	int rc, ended;

	if (evacuation->pool->tiers[to].tier->nplaces == 0)
		return 0;
	executor_init(&executor, evacuation->pool, progress, false);
	evacuation->executor = &executor;
	evacuation->to = to;
	rc = walk(evacuation);
	ended = executor_end(&executor);
	evacuation->executor = NULL;
	return rc < 0 ? rc : ended;
}

static int close_places(struct evacuation *evacuation)
{
	struct pool *pool = evacuation->pool;
	uint32_t nplaces = pool->tiers[evacuation->tier].tier->nplaces;
	int rc = 0;

	if (evacuation->place >= 0)
		return pool_place_close(pool, evacuation->tier, (uint32_t)evacuation->place);
	pool->engine->evacuating[evacuation->tier] = true;
	for (uint32_t place = 0; place < nplaces; place++) {
		int one = pool_place_close(pool, evacuation->tier, place);

		if (one < 0 && one != -ENODEV)
			rc = one;
	}
	return rc;
}

void pool_reopen(struct pool *pool, uint32_t tier, int place)
{
	uint32_t nplaces = pool->tiers[tier].tier->nplaces;

	pool->engine->evacuating[tier] = false;
	if (place >= 0)
		pool_place_open(pool, tier, (uint32_t)place);
	for (uint32_t p = 0; place < 0 && p < nplaces; p++)
		if (tier_has_place(pool->tiers[tier].tier, p))
			pool_place_open(pool, tier, p);
}

static int try_tiers(struct evacuation *evacuation, struct move_progress *progress)
{
	int tier = (int)evacuation->tier, last = (int)evacuation->pool->config.ntiers - 1, rc = 0;

	if (evacuation->place >= 0)
		rc = walk_to(evacuation, tier, progress);
	for (int to = tier + 1; to <= last && rc != -ECANCELED; to++)
		rc = walk_to(evacuation, to, progress);
	for (int to = tier - 1; to >= 1 && rc != -ECANCELED; to--)
		rc = walk_to(evacuation, to, progress);
	return rc;
}

int pool_evacuate(struct pool *pool, uint32_t tier, int place, struct move_progress *progress)
{
	struct evacuation evacuation = {.pool = pool, .tier = tier, .place = place};
	int rc, left;

	if (tier == 0 || tier >= pool->config.ntiers || (place < 0 && pool->config.ntiers == 2))
		return -EINVAL;
	rc = close_places(&evacuation);
	if (rc == 0)
		rc = pool_sync(pool);
	if (rc == 0)
		rc = walk(&evacuation);
	if (rc < 0)
		return rc;
	if (progress)
		progress->bytes_total += evacuation.raw;
	if (evacuation.frames)
		rc = try_tiers(&evacuation, progress);
	if (rc == -ECANCELED) {
		pool_reopen(pool, tier, place);
		return rc;
	}
	/* The space of what has left is given back when that is durable. */
	left = pool_sync(pool);
	if (left == 0)
		left = walk(&evacuation);
	if (left == 0 && evacuation.frames)
		return rc < 0 ? rc : -ENOSPC;
	return left;
}
