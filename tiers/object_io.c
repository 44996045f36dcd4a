// SPDX-License-Identifier: Apache-2.0
/*
 * Reading and writing an object's bytes.
 *
 * A write goes into the RAM log and is answered; a read looks into the log's ranges first, then
 * into frames. Operations that change content without data (truncate, punch, clone) append a record
 * to the log too, so that replaying the log after the death of the process meets them in their
 * order.
 */
#include <errno.h>
#include <string.h>
#include <stdlib.h>
#include <unistd.h>

#include "tiers/clock.h"
#include "tiers/extmap.h"
#include "tiers/flush.h"
#include "tiers/frame_pieces.h"
#include "tiers/framestore.h"
#include "tiers/log.h"
#include "tiers/plain.h"
#include "tiers/pool_impl.h"
#include "tiers/resident.h"

#define EXTENTS_A_STEP	64u
#define BALANCE_BYTES	(8u << 20)
#define FLUSH_AT_BYTES	(32u << 20) /* written data does not wait for company beyond this */
#define ROOM_WAIT_NS	(100u * 1000 * 1000)
#define ROOM_WAIT_TRIES 600u /* a minute: a medium that takes nothing for so long has failed */

/* Reading ----------------------------------------------------------------------------------------
 */

/* Whoever deletes does not wait for those who still look at the object: its frames go under them.
 * With the commit lock, since frames leave the metadata before the object gets its mark. */
static bool is_deleted(struct object *object)
{
	struct pool *pool = object->pool;
	bool deleted;

	if (txn_mine(pool))
		return object->deleted;
	pthread_mutex_lock(&pool->commit_lock);
	deleted = object->deleted;
	pthread_mutex_unlock(&pool->commit_lock);
	return deleted;
}

static int damaged(struct object *object, const struct extent *extent, uint64_t off, uint64_t len,
		   int rc)
{
	char path[512];

	if (rc == -ENOMEM)
		return rc;
	if (is_deleted(object))
		return -ENOENT;
	damage_name(object->pool, extent->frame, object->id);
	pool_path(object->pool, object->id, path, sizeof(path));
	log_error("%s: bytes %llu-%llu cannot be read: frame %llu: %s", path,
		  (unsigned long long)off, (unsigned long long)(off + len - 1),
		  (unsigned long long)extent->frame, error_text(rc));
	return -EIO;
}

/* One step: the frames' bytes and zeros between them. *done: how far it came. */
static int read_extents(struct object *object, uint8_t *buf, uint64_t off, uint64_t end,
			const struct extent_list *list, uint64_t *done)
{
	struct frame_piece pieces[EXTENTS_A_STEP];
	uint64_t at = off;
	int rc = 0;

	for (size_t i = 0; i < list->count; i++) {
		const struct extent *extent = &list->items[i];
		uint64_t from = extent->off > at ? extent->off : at;
		uint64_t to = extent->off + extent->len < end ? extent->off + extent->len : end;

		memset(buf + (at - off), 0, from - at);
		pieces[i] = (struct frame_piece){.frame = extent->frame,
						 .off = extent->frame_off +
							(uint32_t)(from - extent->off),
						 .len = (uint32_t)(to - from),
						 .buf = buf + (from - off)};
		at = to;
	}
	frame_pieces_read(object->pool, pieces, list->count);
	for (size_t i = 0; i < list->count && rc == 0; i++) {
		uint64_t from = off + (uint64_t)((uint8_t *)pieces[i].buf - buf);

		if (pieces[i].error < 0)
			rc = damaged(object, &list->items[i], from, pieces[i].len, pieces[i].error);
		else if (pieces[i].tier > 1)
			engine_note_read(object->pool, object, pieces[i].frame, from,
					 pieces[i].len);
	}
	*done = at;
	return rc;
}

int object_read_frames(struct object *object, uint8_t *buf, uint64_t off, uint64_t end)
{
	struct extent_list list = {0};
	uint64_t start = off;
	int rc = 0;

	while (off < end && rc == 0) {
		list.count = 0;
		rc = extmap_list(object, off, end, EXTENTS_A_STEP, &list);
		if (rc == 0)
			rc = read_extents(object, buf + (off - start), off, end, &list, &off);
		if (rc == 0 && list.count < EXTENTS_A_STEP) {
			memset(buf + (off - start), 0, end - off);
			off = end;
		}
	}
	extent_list_release(&list);
	return rc;
}

int object_read(struct object *object, void *buf, size_t len, uint64_t off, size_t *got)
{
	uint64_t size, end, misses = object->pool->ram_misses;
	uint8_t *p = buf;
	int rc = 0;

	*got = 0;
	if (object->plain)
		return plain_read(object, buf, len, off, got);
	pthread_rwlock_rdlock(&object->data_lock);
	size = object->size;
	end = off >= size ? off : (len < size - off ? off + len : size);
	for (uint64_t at = off; at < end && rc == 0;) {
		struct dirty_range *range = dirty_find(&object->dirty, at);
		uint64_t stop = range && range->off < end ? range->off : end;

		if (at < stop) {
			rc = object_read_frames(object, p, at, stop);
		} else {
			uint64_t skip = at - range->off;

			stop = range->off + range->len < end ? range->off + range->len : end;
			memcpy(p, range->data + skip, stop - at);
			object->pool->ram_hits++;
		}
		p += stop - at;
		at = stop;
	}
	if (rc == 0)
		*got = (size_t)(end - off);
	pthread_rwlock_unlock(&object->data_lock);
	/* This read or another one at the same time: the question is cheap. */
	if (object->pool->ram_misses != misses)
		resident_seen(object->pool, object->id);
	return rc;
}

/* Writing ----------------------------------------------------------------------------------------
 */

/* Space that deletes have let go is given back only when that is durable, and that of large files
 * goes in the background: before a writer is refused, both are done. */
static int reserve(struct pool *pool, uint64_t len)
{
	int rc = space_reserve(pool->space, len);

	if (rc != -ENOSPC)
		return rc;
	pool_reap(pool);
	return pool_free_up(pool) < 0 ? rc : space_reserve(pool->space, len);
}

/* What is made again after a power loss is not new: the record has its time. */
static int64_t change_time(const struct pool *pool)
{
	return pool->making_again ? 0 : clock_wall_ns();
}

static void changed_at(struct object *object, const struct ramlog_record *record)
{
	if (record->time_ns)
		object->write_time = record->time_ns;
}

/* Reserves a log record with the data lock held exclusively; waits for room without it. */
static int log_reserve(struct object *object, enum ramlog_op op, uint64_t off, uint64_t len,
		       bool append, int64_t time_ns, struct ramlog_record *record, void **data)
{
	struct pool *pool = object->pool;
	int rc = -EAGAIN;

	for (unsigned tries = 0; tries < ROOM_WAIT_TRIES; tries++) {
		pthread_rwlock_wrlock(&object->data_lock);
		if (object->deleted)
			rc = -ENOENT;
		else
			rc = ramlog_reserve(pool->log, op, object->id, append ? object->size : off,
					    len, time_ns ? time_ns : change_time(pool), record,
					    data);
		if (rc != -EAGAIN)
			break;
		pthread_rwlock_unlock(&object->data_lock);
		if (pool->parked_bytes && tries > 20)
			return -ENOSPC; /* background work has found no room: neither will this */
		flush_kick(pool);
		workers_hurry(pool->workers);
		ramlog_wait_room(pool->log, ROOM_WAIT_NS);
		workers_hurried(pool->workers);
	}
	if (rc < 0 && rc != -EAGAIN)
		pthread_rwlock_unlock(&object->data_lock);
	return rc == -EAGAIN ? -EIO : rc;
}

static int write_at(struct object *object, const void *buf, size_t len, uint64_t off, bool append,
		    int64_t time_ns, uint64_t *at)
{
	struct pool *pool = object->pool;
	struct dirty_sink sink = object_dirty_sink(object);
	struct ramlog_record record;
	void *data;
	int rc;

	if (len == 0)
		return 0;
	if (len > RAMLOG_RECORD_MAX)
		return -EINVAL;
	if (!append && (off > OBJECT_SIZE_MAX || len > OBJECT_SIZE_MAX - off))
		return -EFBIG;
	rc = reserve(pool, len);
	if (rc < 0)
		return rc;
	rc = log_reserve(object, RAMLOG_WRITE, off, len, append, time_ns, &record, &data);
	if (rc < 0)
		goto unreserve;
	rc = dirty_prepare(&object->dirty);
	if (rc == 0 && len > OBJECT_SIZE_MAX - record.off)
		rc = -EFBIG;
	if (rc < 0) {
		ramlog_cancel(pool->log, &record);
		pthread_rwlock_unlock(&object->data_lock);
		goto unreserve;
	}
	memcpy(data, buf, len);
	ramlog_commit(pool->log, &record);
	object->dirty_bytes += len;
	pool->dirty_bytes += len;
	dirty_insert(&object->dirty, record.off, len, data, record.pos, &sink);
	if (record.off + len > object->size)
		object->size = record.off + len;
	changed_at(object, &record);
	synced_note(object, record.off, len);
	object_fetch_drop(object);
	*at = record.off;
	object_dirty_settle(object);
	pthread_rwlock_unlock(&object->data_lock);
	if (atomic_fetch_add(&pool->since_balance, len) + len >= BALANCE_BYTES) {
		pool->since_balance = 0;
		pool_balance_ram(pool);
	}
	if (pool->dirty_bytes > FLUSH_AT_BYTES)
		flush_kick(pool);
	return 0;
unreserve:
	space_unreserve(pool->space, len);
	return rc;
}

int object_write(struct object *object, const void *buf, size_t len, uint64_t off)
{
	uint64_t at;

	if (object->plain)
		return plain_write(object, buf, len, off);
	return write_at(object, buf, len, off, false, 0, &at);
}

int object_log_write(struct object *object, const void *buf, size_t len, uint64_t off,
		     int64_t time_ns)
{
	uint64_t at;

	return write_at(object, buf, len, off, false, time_ns, &at);
}

int object_append(struct object *object, const void *buf, size_t len, uint64_t *off)
{
	if (object->plain)
		return plain_append(object, buf, len, off);
	return write_at(object, buf, len, 0, true, 0, off);
}

int object_size_settle(struct object *object)
{
	struct txn *txn;
	struct object_record *record;
	bool marked;
	int rc;

	if (!dirty_empty(&object->dirty) || object->record.size == object->size)
		return 0;
	txn = txn_begin(object->pool);
	txn_frees(txn);
	record = txn_object(txn, object, false, true);
	if (record) {
		record->size = object->size;
		object_show_notes(object, record);
	}
	marked = synced_mark(txn, object, true, object->size, 0);
	rc = txn_commit(txn);
	if (rc == 0 && marked)
		synced_marked(object);
	return rc;
}

/* A record without payload, in its place among the object's records. Data lock held, no flush under
 * way, on success. It comes before the change, so that a process that dies in between is caught up
 * with; where the change fails it is revoked, or else it would be made at the next replay. */
int object_log_note(struct object *object, enum ramlog_op op, uint64_t off, uint64_t len,
		    struct ramlog_record *note)
{
	void *data;

	for (;;) {
		int rc = log_reserve(object, op, off, len, false, 0, note, &data);

		if (rc < 0)
			return rc;
		if (!object->flushing)
			break;
		ramlog_cancel(object->pool->log, note);
		pthread_rwlock_unlock(&object->data_lock);
		object_flushing_wait(object);
	}
	ramlog_commit(object->pool->log, note);
	changed_at(object, note);
	object->note_pos = note->pos;
	object->note_size = object->size;
	return 0;
}

static int truncate_once(struct object *object, uint64_t size)
{
	struct dirty_sink sink = object_dirty_sink(object);
	struct ramlog_record note;
	uint64_t before;
	bool done;
	int rc;

	if (size > OBJECT_SIZE_MAX)
		return -EFBIG;
	rc = object_log_note(object, RAMLOG_SIZE, size, 0, &note);
	if (rc < 0)
		return rc;
	before = object->size;
	rc = dirty_prepare(&object->dirty);
	if (rc == 0 && size < before)
		rc = object_cut(object, size, UINT64_MAX, true);
	done = rc == 0;
	if (rc == 0) {
		dirty_remove(&object->dirty, size, UINT64_MAX - size, &sink);
		object->size = object->note_size = size;
		object_dirty_settle(object);
		/* Where ranges are left, only a flush stores it. */
		if (size > before && !dirty_empty(&object->dirty))
			object->synced.behind = true;
		rc = object_size_settle(object);
		if (rc < 0 && size > before) {
			object->size = object->note_size = before;
			done = false;
		}
	}
	if (!done)
		ramlog_revoke(object->pool->log, &note);
	if (rc == 0)
		rc = synced_drop(object);
	object_fetch_drop(object);
	pthread_rwlock_unlock(&object->data_lock);
	resident_changed(object->pool, object->id);
	return rc;
}

int object_truncate(struct object *object, uint64_t size)
{
	bool frees = size < object->size;
	int rc;

	if (object->plain)
		return plain_truncate(object, size);
	rc = truncate_once(object, size);

	if (rc == -ENOSPC && pool_make_room(object->pool, frees) == 0)
		rc = truncate_once(object, size);
	return rc;
}

static int punch_once(struct object *object, uint64_t len, uint64_t off)
{
	struct dirty_sink sink = object_dirty_sink(object);
	struct ramlog_record note;
	int rc;

	if (len == 0 || off > OBJECT_SIZE_MAX || len > OBJECT_SIZE_MAX - off)
		return -EINVAL;
	rc = object_log_note(object, RAMLOG_PUNCH, off, len, &note);
	if (rc < 0)
		return rc;
	rc = dirty_prepare(&object->dirty);
	if (rc == 0)
		rc = object_cut(object, off, off + len, false);
	if (rc == 0) {
		dirty_remove(&object->dirty, off, len, &sink);
		object_dirty_settle(object);
		rc = object_size_settle(object);
	} else {
		ramlog_revoke(object->pool->log, &note);
	}
	if (rc == 0)
		rc = synced_drop(object);
	object_fetch_drop(object);
	pthread_rwlock_unlock(&object->data_lock);
	resident_changed(object->pool, object->id);
	return rc;
}

int object_punch(struct object *object, uint64_t len, uint64_t off)
{
	int rc;

	if (object->plain)
		return plain_punch(object, len, off);
	rc = punch_once(object, len, off);

	if (rc == -ENOSPC && pool_make_room(object->pool, true) == 0)
		rc = punch_once(object, len, off);
	return rc;
}

int object_allocate(struct object *object, uint64_t len, uint64_t off, bool keep_size)
{
	struct pool *pool = object->pool;
	int rc;

	if (off > OBJECT_SIZE_MAX || len > OBJECT_SIZE_MAX - off)
		return -EFBIG;
	if (object->plain)
		return plain_allocate(object, len, off, keep_size);
	rc = reserve(pool, len);
	if (rc < 0)
		return rc;
	space_unreserve(pool->space, len);
	if (keep_size || off + len <= object->size)
		return 0;
	return object_truncate(object, off + len);
}

int object_sync(struct object *object)
{
	bool done;
	int rc;

	if (object->plain)
		return plain_sync(object);
	rc = synced_try(object, &done);
	if (rc == 0 && done)
		return pool_cut_upto(object->pool, object->changed_seq);
	/* Also when the journal had no room: a frame may have. */
	rc = flush_objects_for(object->pool, &object, 1);
	if (rc == -ENOSPC && object->pool->meta_full && pool_make_room(object->pool, false) == 0)
		rc = flush_object(object);
	if (rc == 0) {
		object_lock_still(object);
		if (!object->deleted)
			rc = object_size_settle(object);
		pthread_rwlock_unlock(&object->data_lock);
	}
	return rc < 0 ? rc : pool_cut_upto(object->pool, object->changed_seq);
}

/* Holes ------------------------------------------------------------------------------------------
 */

/* The first byte at or after off that is data, or UINT64_MAX. */
static int next_data(struct object *object, uint64_t off, uint64_t *out)
{
	struct dirty_range *range = dirty_find(&object->dirty, off);
	struct extent_list list = {0};
	int rc = extmap_list(object, off, UINT64_MAX, 1, &list);

	*out = UINT64_MAX;
	if (range)
		*out = range->off > off ? range->off : off;
	if (list.count && list.items[0].off < *out)
		*out = list.items[0].off > off ? list.items[0].off : off;
	extent_list_release(&list);
	return rc;
}

/* The first byte at or after off that is not data. */
static int next_hole(struct object *object, uint64_t off, uint64_t *out)
{
	struct extent_list list = {0};
	bool moved = true;
	int rc = 0;

	while (moved && rc == 0) {
		struct dirty_range *range = dirty_find(&object->dirty, off);

		moved = false;
		if (range && range->off <= off) {
			off = range->off + range->len;
			moved = true;
		}
		list.count = 0;
		rc = extmap_list(object, off, UINT64_MAX, EXTENTS_A_STEP, &list);
		for (size_t i = 0; i < list.count && list.items[i].off <= off; i++) {
			off = list.items[i].off + list.items[i].len;
			moved = true;
		}
	}
	*out = off;
	extent_list_release(&list);
	return rc;
}

int object_seek(struct object *object, uint64_t off, int whence, uint64_t *out)
{
	uint64_t size, at = 0;
	int rc;

	if (whence != SEEK_DATA && whence != SEEK_HOLE)
		return -EINVAL;
	if (object->plain)
		return plain_seek(object, off, whence, out);
	pthread_rwlock_rdlock(&object->data_lock);
	size = object->size;
	if (off >= size)
		rc = -ENXIO;
	else if (whence == SEEK_DATA)
		rc = next_data(object, off, &at);
	else
		rc = next_hole(object, off, &at);
	pthread_rwlock_unlock(&object->data_lock);
	if (rc == 0 && whence == SEEK_DATA && at >= size)
		rc = -ENXIO;
	*out = at < size ? at : size;
	return rc;
}
