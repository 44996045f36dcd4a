// SPDX-License-Identifier: Apache-2.0
/*
 * Steps of fix_work.h that are the tier engine's: requests, passes, plans, evacuations,
 * directories. A foreground may come in between: a move's policies are asked for when its sources
 * are loaded, and its target is synced when they are copied; there the steps that wait are made.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/fix_clock.h"
#include "tests/unit/fix_work.h"
#include "tiers/replicate.h"
#include "tiers/engine/engine_impl.h"
#include "tiers/places.h"

#define HOUR 3600

static const char ops[] = "duvfheiIzynqENDABMZ";

static struct work *hooked;
static const struct tier_ops *real[CONFIG_TIERS_MAX];
static struct tier_ops wrapped[CONFIG_TIERS_MAX];

bool work_is_move(char op)
{
	return strchr(ops, op) != NULL;
}

/* In between ------------------------------------------------------------------------------------
 */

/* A batch is under way: only then is the lock held, by this very thread. */
static bool in_batch(struct pool *pool)
{
	if (pthread_mutex_trylock(&pool->move_lock) != 0)
		return true;
	pthread_mutex_unlock(&pool->move_lock);
	return false;
}

static void policy(void *arg, uint64_t object, uint32_t age_s, struct object_policy *out)
{
	struct work *work = arg;

	(void)age_s;
	*out = (struct object_policy){.pin = -1, .rule = -1, .tier = -1};
	for (unsigned i = 0; i < work->nobjects; i++)
		if (work->objects[i].id == object)
			*out = work->objects[i].wish;
	if (hooked && work->nested && work->seam == '%' && in_batch(work->fix->pool))
		work_nested(work, '%');
}

static bool any(void *arg)
{
	struct work *work = arg;

	for (unsigned i = 0; i < work->nobjects; i++)
		if (work->objects[i].wish.pin >= 0 || work->objects[i].wish.state != OBJECT_ACTIVE)
			return true;
	return false;
}

static int sync_hook(struct tier *tier, struct tier_segment seg)
{
	unsigned t = 1;

	while (tier->ops != &wrapped[t])
		t++;
	if (hooked && hooked->nested && hooked->seam == '^' && in_batch(hooked->fix->pool))
		work_nested(hooked, '^');
	return real[t]->sync(tier, seg);
}

void work_hook(struct work *work)
{
	struct pool *pool = work ? work->fix->pool : NULL;

	hooked = work;
	if (!pool || pool->hooks.arg == work)
		return;
	pool_hooks_set(pool, &(struct pool_hooks){.policy = policy, .any = any, .arg = work});
	for (uint32_t t = 1; t < pool->config.ntiers; t++) {
		struct tier *tier = pool->tiers[t].tier;

		real[t] = tier->ops;
		wrapped[t] = *tier->ops;
		wrapped[t].sync = sync_hook;
		tier->ops = &wrapped[t];
	}
}

/* Passes ----------------------------------------------------------------------------------------
 */

static void set_marks(struct pool *pool, uint32_t high, uint32_t low)
{
	pthread_rwlock_wrlock(&pool->tunables_lock);
	pool->tunables.tiers[1].high_percent = high;
	pool->tunables.tiers[1].low_percent = low;
	pthread_rwlock_unlock(&pool->tunables_lock);
}

static int pass_full(struct pool *pool)
{
	int rc;

	set_marks(pool, 0, 0);
	rc = pool_run(pool, NULL);
	set_marks(pool, 90, 80);
	return rc;
}

/* Twice a minute for a while, here and there: evidence. Errors of reads are the move's to tell. */
static void make_hot(struct work *work, const struct work_object *model)
{
	size_t size = model->versions[model->nversions - 1].size;

	for (unsigned round = 0; round < 4; round++) {
		for (size_t at = 0; at < size; at += 30000) {
			struct object *object;
			uint8_t byte;
			size_t got;

			if (object_get(work->fix->pool, model->id, &object) < 0)
				return;
			object_read(object, &byte, 1, (at * 7 + 13) % size, &got);
			object_put(object);
		}
		fix_clock_tick(20);
	}
}

static int pass_exchange(struct work *work, const struct work_object *model)
{
	struct pool *pool = work->fix->pool;
	struct tier_space room;
	uint32_t high;
	int rc;

	fix_clock_tick(4 * HOUR);
	make_hot(work, model);
	rc = tier_room(pool->tiers[1].tier, &room);
	if (rc < 0)
		return rc;
	high = (uint32_t)((room.total - room.free) * 100 / room.total) + 1;
	set_marks(pool, high, high);
	rc = pool_run(pool, NULL);
	set_marks(pool, 90, 80);
	return rc;
}

/* Requests --------------------------------------------------------------------------------------
 */

static int place(struct work *work, char op, struct work_object *model)
{
	struct object_policy *wish = &model->wish;

	*wish = (struct object_policy){.pin = -1, .rule = -1, .tier = -1};
	if (op == 'i' || op == 'I')
		wish->pin = op == 'i' ? 2 : 1;
	else if (op != 'n')
		wish->state = op == 'z' ? OBJECT_SEALED : OBJECT_ARCHIVED;
	return pool_place(work->fix->pool, &model->id, 1, NULL);
}

static int no_more(void *arg, const struct extent_why *why)
{
	(void)arg;
	(void)why;
	return 0;
}

static int look(struct work *work, int object)
{
	struct pool *pool = work->fix->pool;
	struct pool_usage before, after;
	size_t calls = work->clock ? work->clock() : 0;
	struct object *one;
	struct plan plan;
	int rc;

	memset(&before, 0, sizeof(before));
	memset(&after, 0, sizeof(after));
	pool_usage(pool, &before);
	rc = pool_plan(pool, &plan);
	if (rc == 0)
		plan_release(&plan);
	if (rc == 0 && object >= 0)
		rc = object_get(pool, work->objects[object].id, &one);
	if (rc == 0 && object >= 0) {
		rc = pool_why(pool, one, no_more, NULL);
		object_put(one);
	}
	if (work->pause)
		return rc;
	pool_usage(pool, &after);
	assert_int_equal(before.stored, after.stored);
	assert_int_equal(before.logical, after.logical);
	for (uint32_t t = 0; t < before.ntiers; t++)
		assert_int_equal(before.tiers[t].used, after.tiers[t].used);
	if (work->clock)
		assert_int_equal(work->clock(), calls); /* nothing is written anywhere */
	return rc;
}

/* Evacuation ------------------------------------------------------------------------------------
 */

struct emptied {
	int place;
	uint64_t live;
};

static int add_live(void *arg, const struct pool_place *now)
{
	struct emptied *emptied = arg;

	if (emptied->place < 0 || now->place == (uint32_t)emptied->place)
		emptied->live += now->live;
	return 0;
}

/* Who says that it is empty means it. */
static int evacuate(struct pool *pool, uint32_t tier, int place)
{
	struct emptied emptied = {.place = place};
	int rc;

	if (place >= 0 && !tier_has_place(pool->tiers[tier].tier, (uint32_t)place))
		return 1;
	rc = pool_evacuate(pool, tier, place, NULL);
	if (rc == 0) {
		pool_places(pool, tier, add_live, &emptied);
		assert_int_equal(emptied.live, 0);
	}
	return rc;
}

static int directory(struct work *work, bool add)
{
	char path[96], message[512];
	int rc;

	if (!work->fix->file[0])
		return 1;
	snprintf(path, sizeof(path), "%s/hdd1", work->fix->dir);
	rc = add ? pool_place_add(work->fix->pool, 2, path, false, message, sizeof(message))
		 : pool_place_remove(work->fix->pool, 2, path, message, sizeof(message));
	/* Is there already, is not, is not empty. */
	return rc == -EEXIST || rc == -ENOENT || rc == -EBUSY ? 1 : rc;
}

/* ---- */

/* What finding that the files of a directory are missing does. */
static void lose_copies(struct pool *pool, uint32_t place)
{
	struct segment *segment;
	size_t at = 0;

	pthread_mutex_lock(&pool->commit_lock);
	while ((segment = idmap_each(&pool->segments, &at)))
		homes_drop(pool->homes, segment->id, place);
	pthread_mutex_unlock(&pool->commit_lock);
}

static int on_pool(struct work *work, char op, unsigned slot)
{
	struct pool *pool = work->fix->pool;

	switch (op) {
	case 'f':
		return pass_full(pool);
	case 'v':
		return pool_run(pool, NULL);
	case 'q':
		return look(work, work->slots[slot]);
	case 'E':
		return evacuate(pool, slot, -1);
	case 'D':
		return evacuate(pool, 2, (int)slot);
	case 'M':
		return pool_replicate(pool, true, NULL);
	case 'Z':
		lose_copies(pool, slot);
		return 0;
	case 'N':
		pool_reopen(pool, slot, -1);
		return 0;
	default:
		return directory(work, op == 'A');
	}
}

static int on_object(struct work *work, char op, struct work_object *model)
{
	struct pool *pool = work->fix->pool;

	switch (op) {
	case 'd':
	case 'u':
		return pool_move(pool, &model->id, 1, op == 'd' ? 2 : 1, NULL);
	case 'h':
		make_hot(work, model);
		return pool_run(pool, NULL);
	case 'e':
		return pass_exchange(work, model);
	default:
		return place(work, op, model);
	}
}

int work_move(struct work *work, char op, unsigned slot)
{
	int object = work->slots[slot], rc;

	work_hook(work);
	if (strchr("fvqENDABMZ", op))
		rc = on_pool(work, op, slot);
	else
		rc = object < 0 ? 1 : on_object(work, op, &work->objects[object]);
	for (unsigned reason = 0; reason < REASONS; reason++)
		if (work->fix->pool->engine->stats.bytes[reason])
			work->moved |= 1u << reason;
	return rc;
}
