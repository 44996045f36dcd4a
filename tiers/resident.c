// SPDX-License-Identifier: Apache-2.0
/*
 * Which objects are resident, and the passes that make it so.
 *
 * Invariants:
 *  1. Pins in the block cache carry resident->mark or an older one. A full pass takes a new mark,
 *     renews the pins of every resident object and then takes off those it has not renewed. Loads
 *     and passes take turns (turn), so that nothing is pinned with an old mark meanwhile.
 *  2. What is noted during a pass is done by the next: `noted` is taken over as a whole.
 *
 * Locks: turn is taken first of all, alone or before an object's data lock. lock is a leaf; it
 * guards the set and the notes.
 */
#include "tiers/resident.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tiers/clock.h"
#include "tiers/extmap.h"
#include "tiers/framestore.h"
#include "tiers/log.h"
#include "tiers/pool_impl.h"

#define EXTENTS_A_STEP 8u  /* loaded with the data lock held: about a large read */
#define CHECKS_A_TICK  64u /* objects whose policy is asked again, in turn */
#define TICK_NS	       (250ull * 1000 * 1000)
#define FULL_SHARE     20u /* full passes take at most this part of the time */
#define RETRY_NS       (10ull * 1000 * 1000 * 1000) /* when not all of it had room */

struct member {
	uint64_t id;
	uint64_t bytes, missing;
};

struct resident {
	struct pool *pool;
	pthread_mutex_t turn;
	_Atomic uint16_t mark;
	_Atomic uint64_t count;

	pthread_mutex_t lock;
	struct idmap members; /* struct member */
	struct idmap noted;   /* ids; the value is no matter */
	bool full;	      /* somebody has left, or has other extents than before */
	size_t check_at;

	/* The thread's, or with `turn`. */
	uint64_t full_after_ns, retry_ns;
	uint64_t unpinned, limit; /* of the cache, at the last full pass */
	bool told;
};

int resident_new(struct pool *pool, struct resident **out)
{
	struct resident *resident = calloc(1, sizeof(*resident));

	*out = resident;
	if (!resident)
		return -ENOMEM;
	resident->pool = pool;
	pthread_mutex_init(&resident->turn, NULL);
	pthread_mutex_init(&resident->lock, NULL);
	idmap_init(&resident->members);
	idmap_init(&resident->noted);
	return 0;
}

void resident_free(struct resident *resident)
{
	struct member *member;
	size_t at = 0;

	if (!resident)
		return;
	while ((member = idmap_each(&resident->members, &at)))
		free(member);
	idmap_release(&resident->members);
	idmap_release(&resident->noted);
	pthread_mutex_destroy(&resident->turn);
	pthread_mutex_destroy(&resident->lock);
	free(resident);
}

/* Notes ------------------------------------------------------------------------------------------
 */

void resident_seen(struct pool *pool, uint64_t object)
{
	struct resident *resident = pool->resident;
	struct object_policy policy;

	pool_policy(pool, object, 0, &policy);
	if (policy.pin != 0)
		return;
	pthread_mutex_lock(&resident->lock);
	/* Without memory for the note it is found when it is read from a medium. */
	idmap_put(&resident->noted, object, resident);
	if (idmap_get(&resident->members, object))
		resident->full = true;
	pthread_mutex_unlock(&resident->lock);
}

void resident_changed(struct pool *pool, uint64_t object)
{
	struct resident *resident = pool->resident;

	if (!resident->count)
		return;
	pthread_mutex_lock(&resident->lock);
	if (idmap_get(&resident->members, object)) {
		idmap_put(&resident->noted, object, resident);
		resident->full = true;
	}
	pthread_mutex_unlock(&resident->lock);
}

/* The set ----------------------------------------------------------------------------------------
 */

static int join(struct resident *resident, uint64_t id)
{
	struct member *member;
	int rc = 0;

	pthread_mutex_lock(&resident->lock);
	if (!idmap_get(&resident->members, id)) {
		member = calloc(1, sizeof(*member));
		rc = member ? idmap_put(&resident->members, id, member) : -ENOMEM;
		if (rc == 0) {
			member->id = id;
			resident->count++;
		} else {
			free(member);
		}
	}
	pthread_mutex_unlock(&resident->lock);
	return rc;
}

static void leave(struct resident *resident, uint64_t id)
{
	struct member *member;

	pthread_mutex_lock(&resident->lock);
	member = idmap_del(&resident->members, id);
	if (member) {
		resident->count--;
		resident->full = true;
	}
	pthread_mutex_unlock(&resident->lock);
	free(member);
}

static void account(struct resident *resident, uint64_t id, uint64_t bytes, uint64_t missing)
{
	struct member *member;

	pthread_mutex_lock(&resident->lock);
	member = idmap_get(&resident->members, id);
	if (member) {
		member->bytes = bytes;
		member->missing = missing;
	}
	pthread_mutex_unlock(&resident->lock);
}

/* Loading ----------------------------------------------------------------------------------------
 */

struct load {
	struct object *object;
	struct move_progress *progress;
	uint64_t bytes, missing;
	int error; /* the first */
};

static bool cancelled(const struct load *load)
{
	return load->object->pool->stopping || (load->progress && load->progress->cancel);
}

static void load_extent(struct load *load, const struct extent *extent)
{
	struct pool *pool = load->object->pool;
	int rc = frame_pin(pool, extent->frame, extent->frame_off, extent->len,
			   pool->resident->mark);

	load->bytes += extent->len;
	if (load->progress)
		load->progress->bytes_done += extent->len;
	if (rc == 0)
		return;
	load->missing += extent->len;
	if (!load->error || load->error == -ENOSPC)
		load->error = rc;
}

static int load_object(struct load *load)
{
	struct object *object = load->object;
	struct extent_list list = {0};
	uint64_t off = 0;
	int rc = 0;

	do {
		if (cancelled(load)) {
			rc = -ECANCELED;
			break;
		}
		list.count = 0;
		/* A frame stays while the lock of an object with an extent there is held. */
		pthread_rwlock_rdlock(&object->data_lock);
		if (!object->deleted)
			rc = extmap_list(object, off, UINT64_MAX, EXTENTS_A_STEP, &list);
		for (size_t i = 0; rc == 0 && i < list.count; i++) {
			load_extent(load, &list.items[i]);
			off = list.items[i].off + list.items[i].len;
		}
		pthread_rwlock_unlock(&object->data_lock);
	} while (rc == 0 && list.count);
	extent_list_release(&list);
	return rc < 0 ? rc : load->error;
}

static int load_locked(struct resident *resident, struct object *object,
		       struct move_progress *progress)
{
	struct load load = {.object = object, .progress = progress};
	int rc = join(resident, object->id);

	if (rc < 0)
		return rc;
	rc = load_object(&load);
	if (progress && rc == 0 && object_size(object) > load.bytes)
		progress->bytes_done += object_size(object) - load.bytes; /* holes, and the log */
	account(resident, object->id, load.bytes, load.missing);
	if (load.missing)
		resident->retry_ns = clock_mono_ns() + RETRY_NS;
	return rc;
}

int resident_load(struct pool *pool, struct object *object, struct move_progress *progress)
{
	struct resident *resident = pool->resident;
	int rc;

	if (progress)
		progress->bytes_total += object_size(object);
	pthread_mutex_lock(&resident->turn);
	rc = load_locked(resident, object, progress);
	pthread_mutex_unlock(&resident->turn);
	return rc;
}

/* Passes -----------------------------------------------------------------------------------------
 */

/* An object that was noted: loaded, or let go when it is no longer pinned to memory. */
static int settle(struct resident *resident, uint64_t id)
{
	struct object_policy policy;
	struct object *object;
	int rc = object_get(resident->pool, id, &object);

	if (rc == -ENOENT) {
		leave(resident, id);
		return 0;
	}
	if (rc < 0)
		return rc;
	pool_policy(resident->pool, id, 0, &policy);
	if (policy.pin == 0)
		rc = load_locked(resident, object, NULL);
	else
		leave(resident, id);
	object_put(object);
	return rc;
}

/* The ids of a map, copied, and the map emptied if asked. */
static size_t take_ids(struct resident *resident, struct idmap *map, bool empty, uint64_t **out)
{
	size_t n = 0;

	pthread_mutex_lock(&resident->lock);
	*out = map->count ? malloc(map->count * sizeof(**out)) : NULL;
	for (size_t i = 0; *out && i < map->cap; i++)
		if (map->slots[i].id)
			(*out)[n++] = map->slots[i].id;
	if (empty && (*out || !map->count))
		idmap_clear(map);
	pthread_mutex_unlock(&resident->lock);
	return n;
}

static void settle_all(struct resident *resident, struct idmap *map, bool empty)
{
	uint64_t *ids;
	size_t n = take_ids(resident, map, empty, &ids);

	for (size_t i = 0; i < n && !resident->pool->stopping; i++)
		settle(resident, ids[i]);
	free(ids);
}

/* Pins are taken by hand too, and folders renamed: a few objects are asked about in turn. */
static void check_some(struct resident *resident)
{
	uint64_t ids[CHECKS_A_TICK];
	struct object_policy policy;
	struct member *member;
	size_t n = 0;

	pthread_mutex_lock(&resident->lock);
	while (n < CHECKS_A_TICK && (member = idmap_each(&resident->members, &resident->check_at)))
		ids[n++] = member->id;
	if (n < CHECKS_A_TICK)
		resident->check_at = 0;
	pthread_mutex_unlock(&resident->lock);
	for (size_t i = 0; i < n; i++) {
		pool_policy(resident->pool, ids[i], 0, &policy);
		if (policy.pin != 0)
			leave(resident, ids[i]);
	}
}

/* Renews the pins of all and takes off the rest. */
static void full_pass(struct resident *resident)
{
	uint64_t began = clock_mono_ns();

	pthread_mutex_lock(&resident->lock);
	resident->full = false;
	pthread_mutex_unlock(&resident->lock);
	resident->mark++;
	resident->retry_ns = 0;
	settle_all(resident, &resident->members, false);
	if (!resident->pool->stopping)
		blockcache_unpin_others(resident->pool->cache, resident->mark);
	resident->full_after_ns = clock_mono_ns() + (clock_mono_ns() - began) * FULL_SHARE;
}

static void tell_missing(struct resident *resident)
{
	struct resident_stats stats;

	resident_stats(resident->pool, &stats);
	if (stats.missing && !resident->told)
		log_warning("tier %s: of %llu bytes that are pinned to memory %llu have no room "
			    "there: raise its size or take pins off",
			    resident->pool->config.tiers[0].name, (unsigned long long)stats.bytes,
			    (unsigned long long)stats.missing);
	resident->told = stats.missing != 0;
}

static void pass_locked(struct resident *resident, bool now)
{
	struct blockcache_stats cache;
	bool full;

	settle_all(resident, &resident->noted, true);
	check_some(resident);
	blockcache_stats(resident->pool->cache, &cache);
	pthread_mutex_lock(&resident->lock);
	/* A lower limit has taken pins off: who was loaded may not be any more. */
	full = resident->full || cache.unpinned != resident->unpinned ||
	       (resident->retry_ns &&
		(cache.limit > resident->limit || clock_mono_ns() >= resident->retry_ns));
	pthread_mutex_unlock(&resident->lock);
	if (full && (now || clock_mono_ns() >= resident->full_after_ns)) {
		resident->unpinned = cache.unpinned;
		resident->limit = cache.limit;
		full_pass(resident);
		tell_missing(resident);
	}
}

/* Before there are hooks nobody can say what is pinned. */
static bool idle(struct resident *resident)
{
	bool nothing;

	pthread_rwlock_rdlock(&resident->pool->hooks_lock);
	nothing = !resident->pool->hooks.policy;
	pthread_rwlock_unlock(&resident->pool->hooks_lock);
	pthread_mutex_lock(&resident->lock);
	nothing =
		nothing || (!resident->members.count && !resident->noted.count && !resident->full);
	pthread_mutex_unlock(&resident->lock);
	return nothing;
}

void resident_pass(struct pool *pool)
{
	if (idle(pool->resident))
		return;
	pthread_mutex_lock(&pool->resident->turn);
	pass_locked(pool->resident, true);
	pthread_mutex_unlock(&pool->resident->turn);
}

void *resident_thread(void *arg)
{
	struct pool *pool = arg;

	while (pool_rest(pool, TICK_NS)) {
		if (idle(pool->resident))
			continue;
		pthread_mutex_lock(&pool->resident->turn);
		pass_locked(pool->resident, false);
		pthread_mutex_unlock(&pool->resident->turn);
	}
	return NULL;
}

/* What is known ----------------------------------------------------------------------------------
 */

void resident_stats(struct pool *pool, struct resident_stats *out)
{
	struct resident *resident = pool->resident;
	struct member *member;
	size_t at = 0;

	*out = (struct resident_stats){0};
	pthread_mutex_lock(&resident->lock);
	out->objects = resident->members.count;
	while ((member = idmap_each(&resident->members, &at))) {
		out->bytes += member->bytes;
		out->missing += member->missing;
	}
	pthread_mutex_unlock(&resident->lock);
}

uint64_t resident_bytes(struct pool *pool, uint64_t frame, uint32_t off, uint32_t len,
			uint32_t block_shift)
{
	uint64_t bytes = 0, end = (uint64_t)off + len;

	if (!pool->resident->count || !len)
		return 0;
	for (uint32_t i = off >> block_shift; (uint64_t)i << block_shift < end; i++) {
		uint64_t from = (uint64_t)i << block_shift, to = (uint64_t)(i + 1) << block_shift;

		if (blockcache_pinned(pool->cache, frame, i))
			bytes += (to < end ? to : end) - (from > off ? from : off);
	}
	return bytes;
}
