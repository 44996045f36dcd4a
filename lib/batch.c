// SPDX-License-Identifier: Apache-2.0
/* Many objects in one call. Each is on its own; what they share is the wait for the media. */
#include <errno.h>
#include <string.h>

#include "lib/handle.h"
#include "lib/objects.h"
#include "tiers/pool.h"

static void keep_first(int *first, int r)
{
	if (r && !*first)
		*first = r;
}

static int get_one(struct terrace *pool, struct terrace_item *item)
{
	size_t room = item->len;
	int r = item->path ? path_find(pool, item->path, &item->id) : 0;

	item->len = 0;
	return r ? r : terrace_get(pool, item->id, item->buf, room, 0, &item->len);
}

int terrace_get_many(struct terrace *pool, struct terrace_item *items, size_t n)
{
	int first = 0;

	for (size_t i = 0; i < n; i++) {
		items[i].error = get_one(pool, &items[i]);
		keep_first(&first, items[i].error);
	}
	return first;
}

/* All that was done is durable. */
static int settle(struct terrace *pool, int first, unsigned flags)
{
	int r = flags & TERRACE_SYNC ? terrace_sync(pool) : 0;

	return r ? r : first;
}

int terrace_put_many(struct terrace *pool, struct terrace_item *items, size_t n, unsigned flags)
{
	unsigned each = flags & ~(unsigned)TERRACE_SYNC;
	int first = 0;

	for (size_t i = 0; i < n; i++) {
		struct terrace_item *item = &items[i];

		item->error = item->path ? terrace_put(pool, item->path, item->buf, item->len, each,
						       &item->id)
					 : terrace_put_id(pool, item->id, item->buf, item->len, 0);
		keep_first(&first, item->error);
	}
	return settle(pool, first, flags);
}

int terrace_delete_many(struct terrace *pool, struct terrace_item *items, size_t n, unsigned flags)
{
	int first = 0;

	if (flags & ~(unsigned)TERRACE_SYNC)
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		struct terrace_item *item = &items[i];

		item->error = item->path ? object_unname(pool, item->path, &item->id)
					 : object_unname_id(pool, item->id);
		keep_first(&first, item->error);
	}
	return settle(pool, first, flags);
}

int terrace_move(struct terrace *pool, const uint64_t *ids, size_t n, const char *tier)
{
	const struct pool_config *config = pool_config(pool->pool);
	struct move_progress progress = {0};

	for (uint32_t i = 0; i < config->ntiers; i++)
		if (!strcmp(config->tiers[i].name, tier))
			return pool_move(pool->pool, ids, n, (int)i, &progress);
	return -EINVAL;
}
