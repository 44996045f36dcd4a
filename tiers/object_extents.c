// SPDX-License-Identifier: Apache-2.0
/*
 * Where the bytes of an object are. Extents are taken some hundred at a time, with the data lock
 * held, and told without it: neither memory nor the time for which writers wait grows with the
 * file, and who is told may ask for whatever he likes.
 */
#include <errno.h>
#include <stdlib.h>

#include "tiers/extmap.h"
#include "tiers/framestore.h"
#include "tiers/object.h"
#include "tiers/plain.h"
#include "tiers/pool_impl.h"
#include "tiers/replicate.h"
#include "tiers/resident.h"

#define AT_ONCE 256u /* extents in frames; besides, what is in the log between them */

struct look {
	struct object *object;
	uint64_t from; /* extents below have been told; UINT64_MAX: all */
	uint64_t at;   /* ... and ranges of the log below this */
	struct extent_list list;
	struct object_extent *items;
	size_t count, cap;
};

static int look_add(struct look *look, const struct object_extent *item)
{
	if (look->count == look->cap) {
		size_t cap = look->cap ? look->cap * 2 : AT_ONCE;
		void *p = reallocarray(look->items, cap, sizeof(*look->items));

		if (!p)
			return -ENOMEM;
		look->items = p;
		look->cap = cap;
	}
	look->items[look->count++] = *item;
	return 0;
}

/* What is only in the log, up to `next`; under an extent it hides it. */
static int add_ranges(struct look *look, uint64_t next)
{
	struct dirty_range *range = dirty_find(&look->object->dirty, look->at);
	int rc = 0;

	for (; rc == 0 && range && range->off < next; range = dirty_next(range)) {
		rc = look_add(look, &(struct object_extent){.off = range->off,
							    .len = range->len,
							    .stored = range->len,
							    .copies = 1,
							    .wanted = 1});
		look->at = range->off + range->len;
	}
	return rc;
}

static int add_extent(struct look *look, const struct extent *extent)
{
	struct pool *pool = look->object->pool;
	struct frame_record record;
	unsigned copies, wanted;

	if (frame_record_get(pool, extent->frame, &record) < 0)
		return 0;
	copies_of_frame(pool, &record, &copies, &wanted);
	return look_add(look,
			&(struct object_extent){
				.off = extent->off,
				.len = extent->len,
				.tier = record.tier,
				.codec = record.codec,
				.frame = extent->frame,
				.stored = extent_share(extent->len, &record),
				.heat = frame_heat(pool, extent->frame, &record).fast,
				.resident = resident_bytes(pool, extent->frame, extent->frame_off,
							   extent->len, record.block_shift),
				.copies = copies,
				.wanted = wanted});
}

/* Data lock held. */
static int look_locked(struct look *look)
{
	int rc;

	look->list.count = look->count = 0;
	rc = extmap_list(look->object, look->from, UINT64_MAX, AT_ONCE, &look->list);
	for (size_t i = 0; rc == 0 && i < look->list.count; i++) {
		const struct extent *extent = &look->list.items[i];

		rc = add_ranges(look, extent->off);
		if (rc == 0)
			rc = add_extent(look, extent);
		look->from = extent->off + extent->len;
	}
	if (rc == 0 && look->list.count < AT_ONCE) {
		rc = add_ranges(look, UINT64_MAX);
		look->from = UINT64_MAX;
	}
	return rc;
}

int object_extents(struct object *object,
		   int (*each)(void *arg, const struct object_extent *extent), void *arg)
{
	struct look look = {.object = object};
	int rc = 0;

	if (object->plain)
		return plain_extents(object, each, arg);
	while (rc == 0 && look.from != UINT64_MAX) {
		pthread_rwlock_rdlock(&object->data_lock);
		rc = look_locked(&look);
		pthread_rwlock_unlock(&object->data_lock);
		for (size_t i = 0; rc == 0 && i < look.count; i++)
			rc = each(arg, &look.items[i]);
	}
	free(look.items);
	extent_list_release(&look.list);
	return rc;
}
