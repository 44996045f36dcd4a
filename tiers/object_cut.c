// SPDX-License-Identifier: Apache-2.0
/*
 * Taking ranges out of objects in transactions of bounded size, and sharing ranges between objects.
 *
 * A cut goes from the back: where it stops half-way (power loss; nobody was answered yet), a
 * shrinking file has some size between the old and the new and its content below that is whole.
 */
#include <errno.h>
#include <stdlib.h>

#include "tiers/clock.h"
#include "tiers/extmap.h"
#include "tiers/flush.h"
#include "tiers/framestore.h"
#include "tiers/log.h"
#include "tiers/pool_impl.h"
#include "tiers/resident.h"

#define CUT_EXTENTS 512u /* extents in one transaction */

struct bounds {
	uint64_t *items; /* bounds[0] = the range's start; a step cuts from one to the next */
	size_t count, cap;
};

static int bounds_add(struct bounds *bounds, uint64_t at)
{
	if (bounds->count == bounds->cap) {
		size_t cap = bounds->cap ? bounds->cap * 2 : 16;
		uint64_t *items = realloc(bounds->items, cap * sizeof(*items));

		if (!items)
			return -ENOMEM;
		bounds->items = items;
		bounds->cap = cap;
	}
	bounds->items[bounds->count++] = at;
	return 0;
}

static int bounds_find(struct object *object, uint64_t off, uint64_t end, struct bounds *out)
{
	struct extent_list list = {0};
	int rc = bounds_add(out, off);

	while (rc == 0) {
		list.count = 0;
		rc = extmap_list(object, off, end, CUT_EXTENTS, &list);
		if (rc < 0 || list.count < CUT_EXTENTS)
			break;
		off = list.items[list.count - 1].off + list.items[list.count - 1].len;
		if (off >= end)
			break;
		rc = bounds_add(out, off);
	}
	extent_list_release(&list);
	return rc;
}

struct cut {
	uint64_t off, end;
};

/* whole: this is the last step of that cut. */
static int cut_step(struct object *object, uint64_t off, uint64_t end, bool shrink,
		    const struct cut *whole)
{
	struct txn *txn = txn_begin(object->pool);
	struct object_record *record = txn_object(txn, object, false, true);
	bool marked = false;
	int rc;

	if (!record)
		return txn_commit(txn); /* with what went wrong */
	txn_frees(txn);
	if (shrink && record->size > off)
		record->size = off;
	if (whole) {
		object_show_notes(object, record);
		marked = synced_mark(txn, object, shrink, whole->off, whole->end - whole->off);
	}
	extmap_replace(txn, object, off, end, NULL, 0, false);
	rc = txn_commit(txn);
	if (rc == 0 && marked)
		synced_marked(object);
	return rc;
}

int object_cut(struct object *object, uint64_t off, uint64_t end, bool shrink)
{
	struct bounds bounds = {0};
	int rc = bounds_find(object, off, end, &bounds);

	for (size_t i = bounds.count; rc == 0 && i-- > 0;) {
		uint64_t step_end = i + 1 < bounds.count ? bounds.items[i + 1] : end;

		rc = cut_step(object, bounds.items[i], step_end, shrink,
			      i ? NULL : &(struct cut){off, end});
	}
	free(bounds.items);
	return rc;
}

/* The object lets go of one extent, and of what says that it shares the frame: else the last one to
 * leave a frame would have all of those to delete. */
static void reap_extent(struct txn *txn, uint64_t id, const struct extent *extent)
{
	struct frame_record *frame = txn_frame(txn, extent->frame);
	uint8_t key[KEY_LEN_3];

	if (!frame)
		return;
	frame->live -= extent->len < frame->live ? extent->len : frame->live;
	if (frame->shared)
		txn_del(txn, key, key_3(key, KEY_SHARED, extent->frame, id, extent->off));
}

/* Deleted objects too large for one transaction: their extents go here, then the orphan record. */
static int reap_step(struct pool *pool, uint64_t id, bool *done)
{
	uint8_t key[KEY_LEN_2], prefix[KEY_LEN_1];
	struct txn *txn = txn_begin(pool);
	struct meta_cursor *cursor;
	struct meta_item item;
	unsigned n = 0;
	int rc;

	txn_frees(txn);
	*done = false;
	rc = meta_get(pool->meta, key, key_1(key, KEY_OBJECT, id), NULL, 0, &(size_t){0});
	if (rc != -ENOENT) { /* its delete was not committed: it lives */
		txn_abort(txn);
		*done = true;
		return rc == -ERANGE ? 0 : rc;
	}
	rc = meta_cursor_open(pool->meta, prefix, key_1(prefix, KEY_EXTENT, id), NULL, 0, &cursor);
	if (rc < 0) {
		txn_abort(txn);
		return rc;
	}
	while (n < CUT_EXTENTS && (rc = meta_cursor_next(cursor, &item)) == 0) {
		struct extent extent;

		txn_del(txn, item.key, item.key_len);
		n++;
		if (item.key_len == KEY_LEN_2 && extent_decode(get_be64(item.key + KEY_LEN_1),
							       item.value, item.len, &extent) == 0)
			reap_extent(txn, id, &extent);
	}
	meta_cursor_close(cursor);
	if (n < CUT_EXTENTS) {
		*done = true;
		txn_del(txn, key, key_1(key, KEY_ORPHAN, id));
	}
	return txn_commit(txn);
}

/* What was refused room for metadata, or memory, is tried again a second later; after any other
 * error, or without memory to remember it, the orphan record stays, and the next open does it. */
static void reap_later(struct pool *pool, uint64_t id)
{
	pthread_mutex_lock(&pool->commit_lock);
	(void)pool_reap_add(pool, id);
	pthread_mutex_unlock(&pool->commit_lock);
}

/* reap_lock: who needs the room waits for another's reaping, too. */
void pool_reap(struct pool *pool)
{
	uint64_t id = 1;
	bool done;
	int rc = 0;

	pthread_mutex_lock(&pool->reap_lock);
	while (rc == 0 && id) {
		id = 0;
		pthread_mutex_lock(&pool->commit_lock);
		if (pool->nreap)
			id = pool->reap_ids[--pool->nreap];
		pthread_mutex_unlock(&pool->commit_lock);
		for (done = !id; rc == 0 && !done;)
			rc = reap_step(pool, id, &done);
		if (rc == -ENOSPC || rc == -ENOMEM)
			reap_later(pool, id);
	}
	pthread_mutex_unlock(&pool->reap_lock);
}

/* Sharing ----------------------------------------------------------------------------------------
 */

/* How much of [off, off + len) has few enough extents to be replaced in one transaction. */
static int few_extents(struct object *object, uint64_t off, uint64_t *len)
{
	struct extent_list list = {0};
	int rc = extmap_list(object, off, off + *len, CUT_EXTENTS, &list);

	if (rc == 0 && list.count == CUT_EXTENTS) {
		const struct extent *last = &list.items[CUT_EXTENTS - 1];
		uint64_t end = last->off + last->len;

		*len = end < off + *len ? end - off : *len;
	}
	extent_list_release(&list);
	return rc;
}

/* src's extents of the range as they are to stand in the other object; *done <= len when there are
 * very many. */
static int share_extents(struct object *src, uint64_t src_off, uint64_t dst_off, uint64_t len,
			 struct extent_list *out, uint64_t *done)
{
	struct extent_list list = {0};
	int rc = extmap_list(src, src_off, src_off + len, CUT_EXTENTS, &list);

	*done = len;
	for (size_t i = 0; rc == 0 && i < list.count; i++) {
		struct extent extent = list.items[i];
		uint64_t end = extent.off + extent.len;

		if (end > src_off + len)
			end = src_off + len;
		if (extent.off < src_off) {
			extent.frame_off += (uint32_t)(src_off - extent.off);
			extent.off = src_off;
		}
		extent.len = (uint32_t)(end - extent.off);
		extent.off = extent.off - src_off + dst_off;
		rc = extent_list_add(out, &extent);
		if (list.count == CUT_EXTENTS)
			*done = end - src_off;
	}
	extent_list_release(&list);
	return rc;
}

/* Both data locks held exclusively, nothing of either range in the log. */
static int clone_locked(struct object *src, uint64_t src_off, struct object *dst, uint64_t dst_off,
			uint64_t len, uint64_t *done)
{
	struct pool *pool = dst->pool;
	struct extent_list shared = {0};
	struct ramlog_record note;
	struct object_record *record;
	struct txn *txn;
	void *data;
	int rc;

	rc = few_extents(dst, dst_off, &len);
	if (rc == 0)
		rc = share_extents(src, src_off, dst_off, len, &shared, done);
	if (rc < 0)
		goto out;
	/* The note drops what the log may still hold of the range; it counts only once the change
	 * is committed. */
	rc = ramlog_reserve(pool->log, RAMLOG_CLONE, dst->id, dst_off, *done, clock_wall_ns(),
			    &note, &data);
	if (rc < 0)
		goto out;
	txn = txn_begin(pool);
	record = txn_object(txn, dst, false, true);
	if (record) {
		record->log_epoch = pool->log_epoch;
		record->log_pos = note.pos;
		if (dst_off + *done > record->size)
			record->size = dst_off + *done;
		extmap_replace(txn, dst, dst_off, dst_off + *done, shared.items, shared.count,
			       true);
	}
	rc = txn_commit(txn);
	if (rc < 0) {
		ramlog_cancel(pool->log, &note);
		goto out;
	}
	ramlog_commit(pool->log, &note);
	dst->note_pos = note.pos;
	if (dst_off + *done > dst->size)
		dst->size = dst_off + *done;
	dst->note_size = dst->size;
	dst->write_time = note.time_ns;
out:
	extent_list_release(&shared);
	return rc;
}

/* Records of synced writes would be replayed over what is shared now. */
static bool dst_synced(struct object *dst)
{
	return synced_drop(dst) < 0 || synced_any(dst);
}

static bool range_clean(struct object *object, uint64_t off, uint64_t end)
{
	struct dirty_range *range = dirty_find(&object->dirty, off);

	return !range || range->off >= end;
}

/* Flushes and locks both until nothing of the two ranges, nor of dst before its range, is only in
 * the log. */
static int lock_both_clean(struct object *src, uint64_t src_off, struct object *dst,
			   uint64_t dst_off, uint64_t len)
{
	struct object *first = src->id < dst->id ? src : dst;
	struct object *second = src->id < dst->id ? dst : src;

	for (unsigned tries = 0; tries < 100; tries++) {
		struct object *both[] = {first, second};
		int rc = flush_objects_for(src->pool, both, 2);

		if (rc < 0)
			return rc;
		pthread_rwlock_wrlock(&first->data_lock);
		if (first != second)
			pthread_rwlock_wrlock(&second->data_lock);
		if (!first->flushing && !second->flushing &&
		    range_clean(src, src_off, src_off + len) && !dst_synced(dst) &&
		    range_clean(dst, 0, dst_off + len))
			return 0;
		if (first != second)
			pthread_rwlock_unlock(&second->data_lock);
		pthread_rwlock_unlock(&first->data_lock);
	}
	return -EBUSY;
}

int object_clone(struct object *src, uint64_t src_off, struct object *dst, uint64_t dst_off,
		 uint64_t len, uint64_t *done)
{
	int rc;

	*done = 0;
	if (src->plain || dst->plain)
		return -EXDEV;
	if (src_off >= src->size || len == 0)
		return 0;
	if (len > src->size - src_off)
		len = src->size - src_off;
	if (dst_off > OBJECT_SIZE_MAX || len > OBJECT_SIZE_MAX - dst_off)
		return -EFBIG;
	if (src == dst && src_off < dst_off + len && dst_off < src_off + len)
		return -EINVAL;
	rc = lock_both_clean(src, src_off, dst, dst_off, len);
	if (rc < 0)
		return rc;
	if (src->size > src_off) {
		if (len > src->size - src_off)
			len = src->size - src_off;
		rc = clone_locked(src, src_off, dst, dst_off, len, done);
		if (rc == -EAGAIN) /* the log is full: who copies waits for room */
			rc = -EBUSY;
		object_fetch_drop(dst);
	}
	pthread_rwlock_unlock(&src->data_lock);
	if (src != dst)
		pthread_rwlock_unlock(&dst->data_lock);
	resident_seen(dst->pool, dst->id);
	return rc;
}
