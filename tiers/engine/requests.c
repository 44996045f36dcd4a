// SPDX-License-Identifier: Apache-2.0
/*
 * Moves that somebody asked for. They keep to no window, budget or pace: somebody waits.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tiers/engine/engine_impl.h"
#include "tiers/extmap.h"
#include "tiers/flush.h"
#include "tiers/framestore.h"
#include "tiers/resident.h"

#define PREFETCH_BYTES (1u << 20)

/* To a tier ---------------------------------------------------------------------------------------
 */

/* To the RAM tier: decoded blocks into the cache. */
static int prefetch(struct pool *pool, struct object *object, struct move_progress *progress)
{
	uint8_t *buf = malloc(PREFETCH_BYTES);
	uint64_t off = 0;
	size_t got = 1;
	int rc = buf ? 0 : -ENOMEM;

	while (rc == 0 && got && !(progress && progress->cancel) && !pool->stopping) {
		rc = object_read(object, buf, PREFETCH_BYTES, off, &got);
		off += got;
		if (progress)
			progress->bytes_done += got;
	}
	free(buf);
	return rc;
}

static int to_ram(struct pool *pool, const uint64_t *objects, size_t n,
		  struct move_progress *progress)
{
	int rc = 0;

	for (size_t i = 0; i < n && rc == 0; i++) {
		struct object *object;

		rc = object_get(pool, objects[i], &object);
		if (rc == 0) {
			if (progress)
				progress->bytes_total += object_size(object);
			rc = prefetch(pool, object, progress);
		}
		rc = rc == -ENOENT ? 0 : rc;
		object_put(object);
		if (progress && progress->cancel)
			return -ECANCELED;
	}
	return rc;
}

struct asked {
	struct pool *pool;
	int to, step;		   /* step: see pool_move_step(); 0 from everywhere */
	struct executor *executor; /* NULL: bytes are only counted */
	uint64_t bytes;
};

static int ask_some(struct asked *asked, uint64_t object, const struct extent_list *list)
{
	struct choice choice;
	size_t i = 0;
	int rc = 0;

	while (rc == 0 && object_choice_next(asked->pool, object, list, &i, &choice)) {
		int below = (int)choice.record.tier - asked->to;

		if (!below || below * asked->step > 0)
			continue;
		asked->bytes += choice.bytes;
		choice.verdict = (struct verdict){.to = asked->to, .reason = REASON_ASKED};
		if (asked->executor)
			rc = executor_add(asked->executor, &choice);
	}
	return rc;
}

/* The frames of one object that are not in the tier yet. */
static int ask_object(void *arg, struct object *object)
{
	struct asked *asked = arg;
	struct extent_list list = {0};
	uint64_t from = 0;
	int rc = 0;

	while (rc == 0 && from != UINT64_MAX && !asked->pool->stopping) {
		rc = object_extents_next(object, &from, &list);
		if (rc == 0)
			rc = ask_some(asked, object->id, &list);
	}
	extent_list_release(&list);
	return rc;
}

int pool_move(struct pool *pool, const uint64_t *objects, size_t n, int to,
	      struct move_progress *progress)
{
	return pool_move_step(pool, objects, n, to, 0, progress);
}

int pool_move_step(struct pool *pool, const uint64_t *objects, size_t n, int to, int step,
		   struct move_progress *progress)
{
	struct asked asked = {.pool = pool, .to = to, .step = step};
	struct executor executor;
	int rc, ended;

	if (to < 0 || to >= (int)pool->config.ntiers)
		return -EINVAL;
	if (to == 0)
		return step > 0 ? 0 : to_ram(pool, objects, n, progress);
	rc = pool_sync(pool);
	if (rc == 0)
		rc = objects_each(pool, objects, n, ask_object, &asked);
	if (rc < 0)
		return rc;
	if (progress)
		progress->bytes_total += asked.bytes;
	executor_init(&executor, pool, progress, false);
	asked.executor = &executor;
	rc = objects_each(pool, objects, n, ask_object, &asked);
	ended = executor_end(&executor);
	return rc < 0 ? rc : ended;
}

/* Where policies want it --------------------------------------------------------------------------
 */

struct placing {
	struct executor *executor;
	const struct engine_facts *facts;
	struct move_progress *progress;
};

static int place_take(void *arg, const struct choice *choice)
{
	struct placing *placing = arg;
	struct choice now = *choice;

	/* Budgets and windows are for the engine's own work: somebody has just asked for this. */
	if (now.verdict.to == (int)now.record.tier && !now.rewrite)
		return 0;
	now.verdict.block = BLOCK_NONE;
	if (placing->progress)
		placing->progress->bytes_total += now.bytes;
	return executor_add(placing->executor, &now);
}

static int place_one(void *arg, struct object *object)
{
	struct placing *placing = arg;

	return planner_object(object->pool, placing->facts, object, place_take, placing);
}

/* Pinned to memory: decoded there. No room for all of it is shown, and no failure of the job. */
static int reside_one(void *arg, struct object *object)
{
	struct placing *placing = arg;
	struct pool *pool = object->pool;
	struct object_policy policy;
	int rc = 0;

	pool_policy(pool, object->id, 0, &policy);
	if (policy.pin != 0) {
		resident_changed(pool, object->id);
		return 0;
	}
	rc = resident_load(pool, object, placing->progress);
	return rc == -ECANCELED || rc == -ENOMEM ? rc : 0;
}

int pool_place(struct pool *pool, const uint64_t *objects, size_t n, struct move_progress *progress)
{
	struct engine_facts *facts = malloc(sizeof(*facts));
	struct executor executor;
	struct placing placing = {&executor, facts, progress};
	int rc = facts ? pool_sync(pool) : -ENOMEM, ended;

	if (rc < 0) {
		free(facts);
		return rc;
	}
	engine_facts_now(pool, facts);
	executor_init(&executor, pool, progress, false);
	rc = objects_each(pool, objects, n, place_one, &placing);
	ended = executor_end(&executor);
	if (rc == 0)
		rc = objects_each(pool, objects, n, reside_one, &placing);
	free(facts);
	return rc < 0 ? rc : ended;
}
