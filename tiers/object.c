// SPDX-License-Identifier: Apache-2.0
/*
 * Objects in memory: the table, references, attributes, creation and deletion.
 *
 * An object stays in the table while somebody holds a reference. Ranges in the RAM log hold one: an
 * object with dirty.bytes > 0 has a reference of its own (taken at the first range, put when the
 * last has been flushed), so that what is loaded from metadata is never older than memory.
 *
 * Those that were put last stay a while longer without one: an operation on a name is several
 * requests, each of which gets the same folder and the same file. What is deleted or plain goes at
 * once, and what no transaction has ever published.
 */
#include "tiers/object.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tiers/extmap.h"
#include "tiers/framestore.h"
#include "tiers/log.h"
#include "tiers/plain.h"
#include "tiers/pool_impl.h"
#include "tiers/record_get.h"
#include "tiers/resident.h"

#define DELETE_AT_ONCE 64u /* extents; larger objects are cut down in the background */

static struct object *object_new(struct pool *pool, uint64_t id)
{
	struct object *object = calloc(1, sizeof(*object));

	if (!object)
		return NULL;
	object->id = id;
	object->pool = pool;
	object->refs = 1;
	pthread_rwlock_init(&object->data_lock, NULL);
	pthread_mutex_init(&object->attr_lock, NULL);
	pthread_mutex_init(&object->plain_lock, NULL);
	dirty_init(&object->dirty);
	object->plain_fd = -1;
	return object;
}

/* The log's bytes that an object lets go. While a flush reads them they must stay: it releases them
 * when it is done. */
static void released(void *arg, uint64_t pos, uint64_t bytes)
{
	struct object *object = arg;
	struct pool *pool = object->pool;

	object->dirty_bytes -= bytes;
	pool->dirty_bytes -= bytes;
	if (pool->abandoned)
		return; /* the next daemon takes them over */
	space_unreserve(pool->space, bytes);
	if (object->flushing) {
		if (object->ndeferred == object->deferred_cap) {
			size_t cap = object->deferred_cap ? object->deferred_cap * 2 : 16;
			void *p = realloc(object->deferred, cap * sizeof(*object->deferred));

			if (!p) {
				/* No memory to remember it: the log's chunk stays until unmount. */
				log_warning("out of memory: %llu bytes of the RAM tier stay in use",
					    (unsigned long long)bytes);
				return;
			}
			object->deferred = p;
			object->deferred_cap = cap;
		}
		object->deferred[object->ndeferred++] =
			(struct deferred_release){.pos = pos, .bytes = bytes};
		return;
	}
	ramlog_release(pool->log, pos, bytes);
}

struct dirty_sink object_dirty_sink(struct object *object)
{
	return (struct dirty_sink){.released = released, .arg = object};
}

void object_dirty_settle(struct object *object)
{
	bool any = !dirty_empty(&object->dirty);

	if (any == object->dirty_held)
		return;
	object->dirty_held = any;
	if (any)
		object_hold(object);
	else
		object_put(object);
}

void object_show_notes(const struct object *object, struct object_record *record)
{
	record->log_epoch = object->pool->log_epoch;
	record->log_pos = object->note_pos;
}

void object_dirty_drop(struct object *object)
{
	struct dirty_sink sink = object_dirty_sink(object);

	pthread_rwlock_wrlock(&object->data_lock);
	dirty_release(&object->dirty, &sink);
	object_dirty_settle(object);
	pthread_rwlock_unlock(&object->data_lock);
}

static void object_free(struct object *object)
{
	struct dirty_sink sink = object_dirty_sink(object);

	dirty_release(&object->dirty, &sink);
	free(object->deferred);
	plain_close(object);
	pthread_rwlock_destroy(&object->data_lock);
	pthread_mutex_destroy(&object->attr_lock);
	pthread_mutex_destroy(&object->plain_lock);
	free(object);
}

void objects_release(struct pool *pool)
{
	for (unsigned i = 0; i < OBJECTS_KEPT; i++)
		if (pool->kept[i] && !pool->kept[i]->refs)
			object_free(pool->kept[i]);
	idmap_release(&pool->objects);
}

int object_get(struct pool *pool, uint64_t id, struct object **out)
{
	struct object *object;
	int rc = 0;

	*out = NULL;
	pthread_mutex_lock(&pool->objects_lock);
	object = idmap_get(&pool->objects, id);
	if (object) {
		object->refs++;
		goto found;
	}
	object = object_new(pool, id);
	rc = object ? object_record_get(pool->meta, id, &object->record) : -ENOMEM;
	if (rc == 0)
		rc = idmap_put(&pool->objects, id, object);
	if (rc < 0) {
		pthread_mutex_unlock(&pool->objects_lock);
		if (object)
			object_free(object);
		return rc;
	}
	object->plain = object->record.plain.set;
	object->size = object->record.size;
	object->write_time = object->record.write_time;
	object->changed_seq = object->data_seq = meta_seq(pool->meta); /* not later */
	plain_returning(object);
	if (object->record.log_epoch == pool->log_epoch)
		object->note_pos = object->record.log_pos;
found:
	pthread_mutex_unlock(&pool->objects_lock);
	if (object->deleted) {
		object_put(object);
		return -ENOENT;
	}
	*out = object;
	return 0;
}

struct object *object_hold(struct object *object)
{
	pthread_mutex_lock(&object->pool->objects_lock);
	object->refs++;
	pthread_mutex_unlock(&object->pool->objects_lock);
	return object;
}

static bool may_stay(const struct object *object)
{
	return !object->deleted && !object->plain && object->changed_seq;
}

/* Nobody holds the object any more: it stays in place of another one, or leaves. Returns who leaves
 * memory, or NULL. objects_lock held. */
static struct object *stay_locked(struct object *object)
{
	struct pool *pool = object->pool;
	struct object **slot = &pool->kept[object->id % OBJECTS_KEPT];
	struct object *gone = object;

	if (may_stay(object)) {
		gone = *slot == object ? NULL : *slot;
		*slot = object;
	} else if (*slot == object) {
		*slot = NULL;
	}
	if (!gone || gone->refs) /* who holds it puts it */
		return NULL;
	plain_leaving(gone);
	idmap_del(&pool->objects, gone->id);
	return gone;
}

void object_put(struct object *object)
{
	struct object *gone = NULL;
	struct pool *pool;

	if (!object)
		return;
	pool = object->pool;
	pthread_mutex_lock(&pool->objects_lock);
	assert(object->refs > 0);
	if (--object->refs == 0)
		gone = stay_locked(object);
	pthread_mutex_unlock(&pool->objects_lock);
	if (gone)
		object_free(gone);
}

uint64_t object_id(const struct object *object)
{
	return object->id;
}

bool object_is_plain(const struct object *object)
{
	return object->plain;
}

void object_look(struct object *object, struct object_look *out)
{
	if (object->plain) {
		plain_look(object, out);
		return;
	}
	*out = (struct object_look){.size = object->size, .write_time = object->write_time};
	pthread_mutex_lock(&object->attr_lock);
	out->stored = object->record.stored;
	pthread_mutex_unlock(&object->attr_lock);
	out->stored += object->dirty_bytes;
}

uint64_t object_size(struct object *object)
{
	struct object_look look;

	if (!object->plain)
		return object->size;
	plain_look(object, &look);
	return look.size;
}

int64_t object_write_time(struct object *object)
{
	struct object_look look;

	if (!object->plain)
		return object->write_time;
	plain_look(object, &look);
	return look.write_time;
}

uint64_t object_stored(struct object *object)
{
	struct object_look look;

	object_look(object, &look);
	return look.stored;
}

bool object_settled(struct pool *pool, uint64_t id)
{
	struct object *object;
	bool settled;

	pthread_mutex_lock(&pool->objects_lock);
	object = idmap_get(&pool->objects, id);
	settled = !object || (object->dirty_bytes == 0 && !object->plain);
	pthread_mutex_unlock(&pool->objects_lock);
	return settled;
}

size_t object_attr(struct object *object, void *buf, size_t cap)
{
	struct pool *pool = object->pool;
	struct txn_object *staged = txn_mine(pool) ? txn_object_find(&pool->txn, object) : NULL;
	size_t len;

	if (staged) {
		len = staged->record.attr_len;
		memcpy(buf, staged->record.attr, len < cap ? len : cap);
		return len;
	}
	pthread_mutex_lock(&object->attr_lock);
	len = object->record.attr_len;
	memcpy(buf, object->record.attr, len < cap ? len : cap);
	pthread_mutex_unlock(&object->attr_lock);
	return len;
}

int object_attr_set(struct txn *txn, struct object *object, const void *attr, size_t len,
		    int64_t told_ns)
{
	struct object_record *record;

	if (len > OBJECT_ATTR_MAX)
		return txn_fail(txn, -EINVAL);
	record = txn_object(txn, object, true, false);
	if (!record)
		return txn->error;
	memcpy(record->attr, attr, len);
	record->attr_len = (uint16_t)len;
	if (record->write_time <= told_ns)
		record->write_time = 0;
	txn_object_find(txn, object)->told_ns = told_ns;
	return 0;
}

int object_times_set(struct txn *txn, struct object *object, const void *attr, size_t len,
		     int64_t told_ns)
{
	struct txn_object *staged = txn_object_find(txn, object);
	bool lazy = !staged || staged->lazy;
	int rc = object_attr_set(txn, object, attr, len, told_ns);

	if (rc == 0)
		txn_object_find(txn, object)->lazy = lazy;
	return rc;
}

int object_create(struct txn *txn, const void *attr, size_t attr_len, struct object **out)
{
	struct pool *pool = txn->pool;
	struct object *object = object_new(pool, atomic_fetch_add(&pool->next_object, 1));
	int rc;

	*out = NULL;
	if (!object)
		return txn_fail(txn, -ENOMEM);
	pthread_mutex_lock(&pool->objects_lock);
	rc = idmap_put(&pool->objects, object->id, object);
	pthread_mutex_unlock(&pool->objects_lock);
	if (rc < 0) {
		object_free(object);
		return txn_fail(txn, rc);
	}
	rc = object_attr_set(txn, object, attr, attr_len, INT64_MAX);
	if (rc < 0) {
		object_put(object);
		return rc;
	}
	txn->counts.objects++;
	*out = object;
	return 0;
}

int object_orphan(struct txn *txn, struct object *object)
{
	uint8_t key[KEY_LEN_1];

	return txn_put(txn, key, key_1(key, KEY_ORPHAN, object->id), "", 0);
}

int object_unorphan(struct txn *txn, struct object *object)
{
	uint8_t key[KEY_LEN_1];

	return txn_del(txn, key, key_1(key, KEY_ORPHAN, object->id));
}

/* Deletes the records of one type that belong to the object (extended attributes, link target). */
static int delete_keys(struct txn *txn, enum key_type type, uint64_t object)
{
	uint8_t prefix[KEY_LEN_1];
	struct meta_cursor *cursor;
	struct meta_item item;
	int rc;

	rc = meta_cursor_open(txn->pool->meta, prefix, key_1(prefix, type, object), NULL, 0,
			      &cursor);
	if (rc < 0)
		return txn_fail(txn, rc);
	while ((rc = meta_cursor_next(cursor, &item)) == 0)
		txn_del(txn, item.key, item.key_len);
	meta_cursor_close(cursor);
	return rc == -ENOENT ? txn->error : txn_fail(txn, rc);
}

/* Asks for the background to cut down what a deleted object left. */
int pool_reap_add(struct pool *pool, uint64_t id)
{
	if (pool->nreap == pool->reap_cap) {
		size_t cap = pool->reap_cap ? pool->reap_cap * 2 : 16;
		uint64_t *ids = realloc(pool->reap_ids, cap * sizeof(*ids));

		if (!ids)
			return -ENOMEM; /* the orphan record stays: the next open does it */
		pool->reap_ids = ids;
		pool->reap_cap = cap;
	}
	pool->reap_ids[pool->nreap++] = id;
	return 0;
}

int object_delete_bare(struct txn *txn, struct object *object, bool orphan)
{
	struct object_record *record = txn_object(txn, object, false, true);
	struct txn_object *staged = txn_object_find(txn, object);
	struct extent_list extents = {0};
	uint8_t key[KEY_LEN_2];
	int rc;

	if (!record)
		return txn->error;
	txn_frees(txn);
	rc = extmap_list(object, 0, UINT64_MAX, DELETE_AT_ONCE + 1, &extents);
	if (rc < 0)
		goto out;
	if (extents.count > DELETE_AT_ONCE) {
		rc = object_orphan(txn, object);
		if (rc == 0)
			pool_reap_add(txn->pool, object->id);
	} else {
		for (size_t i = 0; i < extents.count; i++) {
			const struct extent *extent = &extents.items[i];
			struct frame_record *frame = txn_frame(txn, extent->frame);

			/* So that a frame shared by very many does not end with all their
			 * records to be deleted at once. */
			if (frame && frame->shared) {
				uint8_t shared[KEY_LEN_3];

				txn_del(txn, shared,
					key_3(shared, KEY_SHARED, extent->frame, object->id,
					      extent->off));
			}
			if (frame)
				frame->live -=
					extent->len < frame->live ? extent->len : frame->live;
			if (record->has_keys)
				txn_del(txn, key,
					key_2(key, KEY_EXTENT, object->id,
					      extent->off + extent->len));
		}
		rc = orphan ? object_unorphan(txn, object) : 0;
	}
	synced_delete(txn, object);
	resident_changed(txn->pool, object->id);
	staged->deleted = true;
	txn->counts.objects--;
out:
	extent_list_release(&extents);
	return rc < 0 ? txn_fail(txn, rc) : 0;
}

int object_delete(struct txn *txn, struct object *object)
{
	int rc = delete_keys(txn, KEY_XATTR, object->id);

	if (rc == 0)
		rc = delete_keys(txn, KEY_SYMLINK, object->id);
	return rc == 0 ? object_delete_bare(txn, object, true) : rc;
}

/* Flushing ---------------------------------------------------------------------------------------
 */

bool object_flushing_try(struct object *object)
{
	struct pool *pool = object->pool;
	bool mine;

	pthread_mutex_lock(&pool->flush_lock);
	mine = !object->flushing;
	object->flushing = true;
	pthread_mutex_unlock(&pool->flush_lock);
	return mine;
}

void object_flushing_wait(struct object *object)
{
	struct pool *pool = object->pool;

	workers_hurry(pool->workers);
	pthread_mutex_lock(&pool->flush_lock);
	while (object->flushing)
		pthread_cond_wait(&pool->flush_done, &pool->flush_lock);
	pthread_mutex_unlock(&pool->flush_lock);
	workers_hurried(pool->workers);
}

void object_flushing_clear(struct object *object)
{
	struct pool *pool = object->pool;

	pthread_rwlock_wrlock(&object->data_lock);
	for (size_t i = 0; i < object->ndeferred; i++)
		ramlog_release(pool->log, object->deferred[i].pos, object->deferred[i].bytes);
	object->ndeferred = 0;
	pthread_mutex_lock(&pool->flush_lock);
	object->flushing = false;
	pthread_cond_broadcast(&pool->flush_done);
	pthread_mutex_unlock(&pool->flush_lock);
	pthread_rwlock_unlock(&object->data_lock);
}

void object_lock_still(struct object *object)
{
	for (;;) {
		pthread_rwlock_wrlock(&object->data_lock);
		if (!object->flushing)
			return;
		pthread_rwlock_unlock(&object->data_lock);
		object_flushing_wait(object);
	}
}
