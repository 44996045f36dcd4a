// SPDX-License-Identifier: Apache-2.0
/*
 * Fetching by id. Small objects are kept whole, by id, in a block cache of their own: a hit asks
 * neither for the object nor for its extents, frames and blocks.
 *
 * Invariants:
 *  1. What is kept is the object's content: who changes that calls object_fetch_drop() after the
 *     change, before it lets go of the data lock; who deletes the object, after marking it. A fill
 *     looks at the object after its entry is in the table, so it either sees the change or its
 *     entry is dropped.
 *  2. Heat is counted by frames: every TOUCH_S seconds, which heat takes for one touch anyway, a
 *     fetch goes the whole way.
 */
#include <errno.h>
#include <string.h>

#include "tiers/pool_impl.h"

#define TOUCH_S HEAT_SAME_TOUCH_S

static int fill(void *arg, void *buf, size_t len)
{
	struct object *object = arg;
	size_t got;
	int rc = object_read(object, buf, len, 0, &got);

	if (rc < 0)
		return rc;
	if (object->deleted)
		return -ENOENT;
	return got == len && object->size == len ? 0 : -EAGAIN;
}

/* -EAGAIN: its size changes just now. */
static int fetch_whole(struct object *object, size_t size, void *buf, size_t len, uint64_t off,
		       size_t *got)
{
	struct blockcache *whole = object->pool->whole;
	struct cached_block *block;
	int rc = blockcache_get(whole, object->id, 0, size, fill, object, &block, NULL);
	size_t there;

	if (rc < 0)
		return rc;
	there = cached_block_len(block); /* another's fill may be a moment older */
	if (off < there) {
		*got = len < there - off ? len : (size_t)(there - off);
		memcpy(buf, (const uint8_t *)cached_block_data(block) + off, *got);
	}
	cached_block_put(block);
	return 0;
}

int object_fetch(struct pool *pool, uint64_t id, void *buf, size_t len, uint64_t off, size_t *got)
{
	struct object *object;
	int rc = -EFBIG;
	uint64_t size;
	bool keep;

	if (pool->whole && off < OBJECT_FETCH_MAX)
		rc = blockcache_copy(pool->whole, id, 0, buf, len, off, TOUCH_S, got);
	if (rc == 0)
		return 0;
	keep = rc == -ENOENT;
	*got = 0;
	rc = object_get(pool, id, &object);
	if (rc < 0)
		return rc;
	size = object->size;
	rc = -EAGAIN;
	/* Others may write to a plain file without telling. */
	if (keep && !object->plain && size && size <= OBJECT_FETCH_MAX)
		rc = fetch_whole(object, size, buf, len, off, got);
	if (rc == -EAGAIN)
		rc = object_read(object, buf, len, off, got);
	object_put(object);
	return rc;
}

void object_fetch_drop(struct object *object)
{
	if (object->pool->whole)
		blockcache_drop(object->pool->whole, object->id, 1);
}

void object_fetch_stats(struct pool *pool, struct blockcache_stats *out)
{
	*out = (struct blockcache_stats){0};
	if (pool->whole)
		blockcache_stats(pool->whole, out);
}
