// SPDX-License-Identifier: Apache-2.0
/*
 * Transactions: what is staged, how it becomes one metadata batch, and how it becomes visible.
 *
 * Invariants:
 *  1. Nothing in memory changes before meta_apply() has succeeded; then all of it does, under the
 * commit lock.
 *  2. A frame's live bytes are the sum of the lengths of the extents that point to it; a frame with
 * none is deleted in the same transaction, its space queued with the transaction's number (I2).
 *  3. Segment accounts are the sums over the frames that exist in it.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tiers/framestore.h"
#include "tiers/log.h"
#include "tiers/pool_impl.h"
#include "tiers/record_get.h"
#include "tiers/replicate.h"

#define SHARED_DELETE_MAX 8192u /* records in one transaction, of all its frames together */

/* Room for one more element; -ENOMEM. */
static int make_room(void **items, size_t *cap, size_t count, size_t size)
{
	size_t bigger = *cap ? *cap * 2 : 8;
	void *p;

	if (count < *cap)
		return 0;
	p = realloc(*items, bigger * size);
	if (!p)
		return -ENOMEM;
	*items = p;
	*cap = bigger;
	return 0;
}

int txn_fail(struct txn *txn, int error)
{
	if (!txn->error)
		txn->error = error;
	return txn->error;
}

bool txn_mine(struct pool *pool)
{
	return pool->commit_held && pthread_equal(pool->commit_owner, pthread_self());
}

struct txn *txn_begin(struct pool *pool)
{
	struct txn *txn = &pool->txn;

	pthread_mutex_lock(&pool->commit_lock);
	pool->commit_owner = pthread_self();
	pool->commit_held = true;
	txn->pool = pool;
	txn->error = 0;
	txn->counts = pool->counts;
	return txn;
}

int txn_put(struct txn *txn, const void *key, size_t key_len, const void *value, size_t len)
{
	int rc = meta_batch_put(txn->batch, key, key_len, value, len);

	return rc < 0 ? txn_fail(txn, rc) : 0;
}

int txn_del(struct txn *txn, const void *key, size_t key_len)
{
	int rc = meta_batch_del(txn->batch, key, key_len);

	return rc < 0 ? txn_fail(txn, rc) : 0;
}

void txn_frees(struct txn *txn)
{
	meta_batch_frees(txn->batch);
	txn->pool->room_freed = true;
}

struct txn_object *txn_object_find(struct txn *txn, const struct object *object)
{
	for (size_t i = 0; i < txn->nobjects; i++)
		if (txn->objects[i].object == object)
			return &txn->objects[i];
	return NULL;
}

struct object_record *txn_object(struct txn *txn, struct object *object, bool attr, bool data)
{
	struct txn_object *staged = txn_object_find(txn, object);

	/* Deletion comes under the commit lock: whoever looked before he had it may be late, and
	 * would bring the record back. */
	if (object->deleted) {
		txn_fail(txn, -ENOENT);
		return NULL;
	}
	if (!staged) {
		int rc = make_room((void **)&txn->objects, &txn->objects_cap, txn->nobjects,
				   sizeof(*txn->objects));
		if (rc < 0) {
			txn_fail(txn, rc);
			return NULL;
		}
		staged = &txn->objects[txn->nobjects++];
		*staged = (struct txn_object){.object = object, .record = object->record};
		staged->record.write_time = object->write_time;
	}
	staged->attr |= attr;
	staged->data |= data;
	staged->lazy = false;
	return &staged->record;
}

static struct txn_frame *frame_stage(struct txn *txn, uint64_t id)
{
	struct txn_frame *staged = malloc(sizeof(*staged));

	if (!staged)
		return NULL;
	if (make_room((void **)&txn->frames, &txn->frames_cap, txn->nframes, sizeof(*txn->frames)) <
		    0 ||
	    idmap_put(&txn->frame_map, id, staged) < 0) {
		free(staged);
		return NULL;
	}
	*staged = (struct txn_frame){.id = id};
	txn->frames[txn->nframes++] = staged;
	return staged;
}

struct frame_record *txn_frame(struct txn *txn, uint64_t frame)
{
	struct txn_frame *staged = idmap_get(&txn->frame_map, frame);
	struct frame_record record;
	int rc;

	if (staged)
		return &staged->record;
	rc = frame_record_get(txn->pool, frame, &record);
	if (rc == -ENOENT)
		return NULL;
	if (rc < 0) {
		log_error("frame %llu: unreadable record: %s", (unsigned long long)frame,
			  strerror(-rc));
		txn_fail(txn, rc);
		return NULL;
	}
	staged = frame_stage(txn, frame);
	if (!staged) {
		txn_fail(txn, -ENOMEM);
		return NULL;
	}
	staged->old = staged->record = record;
	return &staged->record;
}

struct frame_record *txn_frame_new(struct txn *txn, uint64_t frame,
				   const struct frame_record *record)
{
	struct txn_frame *staged = frame_stage(txn, frame);

	if (!staged) {
		txn_fail(txn, -ENOMEM);
		return NULL;
	}
	staged->record = *record;
	staged->fresh = true;
	return &staged->record;
}

static struct txn_segment *segment_stage(struct txn *txn, uint64_t id, const struct txn_frame *of)
{
	const struct frame_record *frame = &of->record;
	struct segment *segment = idmap_get(&txn->pool->segments, id);
	struct txn_segment *staged;

	for (size_t i = 0; i < txn->nsegments; i++)
		if (txn->segments[i].segment->id == id)
			return &txn->segments[i];
	if (!segment && !of->fresh) {
		log_error("frame %llu: the metadata has no segment %llu, where it should lie",
			  (unsigned long long)of->id, (unsigned long long)id);
		txn_fail(txn, -EUCLEAN);
		return NULL;
	}
	if (!segment) {
		/* The first frame of a new segment. Kept if the transaction fails: it is empty
		 * then. */
		segment = calloc(1, sizeof(*segment));
		if (!segment || idmap_put(&txn->pool->segments, id, segment) < 0) {
			free(segment);
			txn_fail(txn, -ENOMEM);
			return NULL;
		}
		segment->id = id;
		segment->record.tier = frame->tier;
		segment->record.place = frame->place;
		segment->record.homes = (uint64_t)1 << frame->place;
	}
	if (make_room((void **)&txn->segments, &txn->segments_cap, txn->nsegments,
		      sizeof(*txn->segments)) < 0) {
		txn_fail(txn, -ENOMEM);
		return NULL;
	}
	staged = &txn->segments[txn->nsegments++];
	*staged = (struct txn_segment){.segment = segment, .record = segment->record};
	return staged;
}

/* The record as it is to be: copies may have been lost since, or made. */
static void homes_into(struct txn *txn, struct txn_segment *staged)
{
	struct segment_record *record = &staged->record;
	struct homes *homes = txn->pool->homes;
	uint64_t id = staged->segment->id;

	record->mirrored |= homes_has(homes, id);
	record->homes = homes_get(homes, id, record->place);
	record->wanted = (uint8_t)homes_wanted(homes, id);
	if (!(record->homes >> record->place & 1))
		record->place = (uint16_t)__builtin_ctzll(record->homes);
}

int txn_segment_homes(struct txn *txn, struct segment *segment)
{
	struct txn_frame any = {.record = {.tier = segment->record.tier}};

	segment_stage(txn, segment->id, &any);
	return txn->error;
}

void txn_segment_drop(struct txn *txn, struct segment *segment)
{
	uint8_t key[KEY_LEN_1];

	if (make_room((void **)&txn->gone, &txn->gone_cap, txn->ngone, sizeof(*txn->gone)) < 0) {
		txn_fail(txn, -ENOMEM);
		return;
	}
	txn->gone[txn->ngone++] = segment;
	txn_del(txn, key, key_1(key, KEY_SEGMENT, segment->id));
}

/* The records that say who shares a frame go with it. */
static void delete_shared(struct txn *txn, uint64_t frame)
{
	uint8_t prefix[KEY_LEN_1];
	struct meta_cursor *cursor;
	struct meta_item item;
	int rc = meta_cursor_open(txn->pool->meta, prefix, key_1(prefix, KEY_SHARED, frame), NULL,
				  0, &cursor);

	if (rc < 0) {
		txn_fail(txn, rc);
		return;
	}
	/* What is beyond the bound stays: no frame has that id again, so nobody asks for it. */
	while (txn->nshared < SHARED_DELETE_MAX && (rc = meta_cursor_next(cursor, &item)) == 0) {
		txn_del(txn, item.key, item.key_len);
		txn->nshared++;
	}
	meta_cursor_close(cursor);
	if (rc < 0 && rc != -ENOENT)
		txn_fail(txn, rc);
}

/* One frame into the batch and into its segment's accounts. */
static void stage_frame(struct txn *txn, struct txn_frame *frame)
{
	const struct frame_record *record = &frame->record;
	bool gone = record->live == 0;
	struct txn_segment *segment;
	uint8_t key[KEY_LEN_2], value[RECORD_FRAME_LEN];
	struct codec_account *account;

	if (gone && frame->fresh)
		return; /* nobody wants it after all; its writer gives the space back */
	segment = segment_stage(txn, record->segment, frame);
	if (!segment)
		return;
	segment->record.logical += record->live - frame->old.live;
	account = &segment->record.codec[record->codec.id];
	if (frame->fresh || gone) {
		uint64_t sign = gone ? UINT64_MAX : 1; /* -1 modulo 2^64 */

		account->raw += sign * record->raw_len;
		account->stored += sign * record->stored_len;
		account->frames += sign;
	}
	if (gone) {
		txn_del(txn, key, key_1(key, KEY_FRAME, frame->id));
		txn_del(txn, key, key_2(key, KEY_PLACED, record->segment, record->off));
		if (record->shared)
			delete_shared(txn, frame->id);
		return;
	}
	frame_record_encode(record, value);
	txn_put(txn, key, key_1(key, KEY_FRAME, frame->id), value, sizeof(value));
	if (frame->fresh) {
		uint64_t end = (uint64_t)record->off + record->stored_len;

		if (end > segment->record.len)
			segment->record.len = end;
		put_le64(value, frame->id);
		txn_put(txn, key, key_2(key, KEY_PLACED, record->segment, record->off), value, 8);
	}
}

static void stage_objects(struct txn *txn)
{
	for (size_t i = 0; i < txn->nobjects; i++) {
		struct txn_object *staged = &txn->objects[i];
		uint8_t key[KEY_LEN_1], value[RECORD_OBJECT_MAX];

		key_1(key, KEY_OBJECT, staged->object->id);
		if (staged->deleted)
			txn_del(txn, key, sizeof(key));
		else
			txn_put(txn, key, sizeof(key), value,
				object_record_encode(&staged->record, value));
	}
}

int txn_counts_put(struct txn *txn)
{
	uint8_t value[RECORD_COUNTS_LEN];

	pool_counts_encode(&txn->counts, value);
	return txn_put(txn, POOL_COUNTS_KEY, POOL_COUNTS_KEY_LEN, value, sizeof(value));
}

#define ID_BLOCK (1u << 20)

/* Ids are given out below limits that are kept ahead by half a million, so that taking one needs no
 * transaction. */
static void stage_counts(struct txn *txn)
{
	struct pool *pool = txn->pool;
	struct pool_counts *counts = &txn->counts;

	if (pool->next_object + ID_BLOCK / 2 > counts->object_ids)
		counts->object_ids += ID_BLOCK;
	if (pool->next_frame + ID_BLOCK / 2 > counts->frame_ids)
		counts->frame_ids += ID_BLOCK;
	if (pool->next_segment + ID_BLOCK / 2 > counts->segment_ids)
		counts->segment_ids += ID_BLOCK;
	if (memcmp(counts, &pool->counts, sizeof(*counts)) != 0)
		txn_counts_put(txn);
}

/* Without memory for the entry the next open removes the file. */
static void free_plain(const struct object *object, uint64_t seq)
{
	freed_push(
		&object->pool->freed,
		&(struct freed){.seq = seq,
				.segment = {.id = object->id, .place = object->record.plain.place},
				.tier = object->record.plain.tier,
				.plain = object->record.plain});
}

static void publish_object(struct txn_object *staged, uint64_t seq)
{
	struct object *object = staged->object;

	/* Whoever deletes does not hold the data lock, and others may still be looking at what the
	 * object was: it stays as it is. */
	if (object->record.plain.set && (staged->deleted || !staged->record.plain.set))
		free_plain(object, seq);
	if (staged->deleted) {
		object->deleted = true;
		object_fetch_drop(object);
		return;
	}
	pthread_mutex_lock(&object->attr_lock);
	if (staged->attr) {
		memcpy(object->record.attr, staged->record.attr, sizeof(object->record.attr));
		object->record.attr_len = staged->record.attr_len;
	}
	if (staged->data) {
		struct object_record *to = &object->record;

		to->size = staged->record.size;
		to->stored = staged->record.stored;
		to->log_epoch = staged->record.log_epoch;
		to->log_pos = staged->record.log_pos;
		to->has_keys = staged->record.has_keys;
		to->nextents = staged->record.nextents;
		memcpy(to->extents, staged->record.extents, sizeof(to->extents));
		to->plain = staged->record.plain;
		object->plain = to->plain.set;
	}
	pthread_mutex_unlock(&object->attr_lock);
	if (staged->attr && object->write_time <= staged->told_ns)
		object->write_time = 0;
}

/* Files of copies that do not count any more go when that is durable. */
static void publish_segment(struct pool *pool, uint64_t seq, const struct txn_segment *staged)
{
	struct segment *segment = staged->segment;
	uint64_t lost = segment->record.homes & ~staged->record.homes;

	segment->record = staged->record;
	if (lost)
		freed_push(&pool->freed,
			   &(struct freed){
				   .seq = seq,
				   .segment = {.id = segment->id, .place = segment->record.place},
				   .tier = segment->record.tier,
				   .places = lost,
				   .copy = true});
}

/* Before what is staged comes into the batch: has nothing changed but what fdatasync(2) of plain
 * objects leaves out, and names have nothing to do with? */
static bool is_lazy(const struct txn *txn)
{
	bool lazy = meta_batch_empty(txn->batch) && !txn->nframes && !txn->nsegments;

	for (size_t i = 0; i < txn->nobjects; i++)
		lazy = lazy && txn->objects[i].lazy;
	return lazy;
}

static void publish(struct txn *txn, uint64_t seq, bool lazy)
{
	struct pool *pool = txn->pool;

	if (seq && !lazy)
		pool->names_seq = seq;

	for (size_t i = 0; i < txn->nobjects; i++) {
		publish_object(&txn->objects[i], seq);
		txn->objects[i].object->changed_seq = seq;
		if (!txn->objects[i].lazy)
			txn->objects[i].object->data_seq = seq;
	}
	for (size_t i = 0; i < txn->nsegments; i++)
		publish_segment(pool, seq, &txn->segments[i]);
	for (size_t i = 0; i < txn->nframes; i++) {
		const struct txn_frame *frame = txn->frames[i];
		const struct frame_record *record = &frame->record;

		if (record->live || frame->fresh)
			continue;
		damage_gone(pool, frame->id);
		copies_gone(pool, frame->id);
		/* Without memory for the entry the space stays taken until the segment goes: no
		 * harm. */
		freed_push(
			&pool->freed,
			&(struct freed){.seq = seq,
					.segment = {.id = record->segment, .place = record->place},
					.tier = record->tier,
					.off = record->off,
					.len = record->stored_len,
					.frame = frame->id,
					.nblocks = frame_blocks(record) + 1}); /* and its header */
	}
	for (size_t i = 0; i < txn->ngone; i++) {
		struct segment *segment = txn->gone[i];

		segment->removing = true;
		freed_push(&pool->freed,
			   &(struct freed){
				   .seq = seq,
				   .segment = {.id = segment->id, .place = segment->record.place},
				   .tier = segment->record.tier,
				   .places = segment->record.homes |
					     homes_get(pool->homes, segment->id,
						       segment->record.place)});
	}
	for (size_t i = 0; i < txn->norder; i++)
		pool_order_locked(txn->order[i], seq);
	pool->counts = txn->counts;
}

static void txn_end(struct txn *txn)
{
	struct pool *pool = txn->pool;

	for (size_t i = 0; i < txn->nframes; i++)
		free(txn->frames[i]);
	idmap_clear(&txn->frame_map);
	meta_batch_reset(txn->batch);
	txn->nobjects = txn->nframes = txn->nsegments = txn->norder = txn->ngone = 0;
	txn->nshared = 0;
	pool->commit_held = false;
	pthread_mutex_unlock(&pool->commit_lock);
}

int txn_commit(struct txn *txn)
{
	struct pool *pool = txn->pool;
	struct object *dropped = NULL;
	bool lazy = is_lazy(txn);
	uint64_t seq = 0;
	int rc;

	stage_objects(txn);
	for (size_t i = 0; i < txn->nframes; i++)
		stage_frame(txn, txn->frames[i]);
	for (size_t i = 0; i < txn->nsegments; i++) {
		uint8_t key[KEY_LEN_1], value[RECORD_SEGMENT_MAX];
		size_t len;

		homes_into(txn, &txn->segments[i]);
		len = segment_record_encode(&txn->segments[i].record, value);
		txn_put(txn, key, key_1(key, KEY_SEGMENT, txn->segments[i].segment->id), value,
			len);
	}
	stage_counts(txn);
	rc = txn->error;
	if (rc == 0 && !meta_batch_empty(txn->batch))
		rc = meta_apply(pool->meta, txn->batch, &seq);
	if (rc == -ENOSPC)
		pool->meta_full = true; /* a checkpoint may give back what is set aside */
	if (rc == 0)
		publish(txn, seq, lazy);
	for (size_t i = 0; rc == 0 && i < txn->nobjects; i++) {
		/* Their log ranges go once the commit lock is free: the data lock comes before it.
		 */
		struct object *object = txn->objects[i].object;

		if (!txn->objects[i].deleted)
			continue;
		object->next_dropped = dropped;
		dropped = object_hold(object);
	}
	txn_end(txn);
	while (dropped) {
		struct object *object = dropped;

		dropped = object->next_dropped;
		object_dirty_drop(object);
		object_put(object);
	}
	return rc;
}

void txn_abort(struct txn *txn)
{
	txn_end(txn);
}

void object_order_before_sync(struct txn *txn, struct object *object)
{
	/* Records of synced writes come before this change in the journal: no flush is needed. */
	if (!object->plain && !atomic_load(&object->synced.behind) &&
	    !atomic_load(&object->flushing))
		return;
	if (make_room((void **)&txn->order, &txn->order_cap, txn->norder, sizeof(*txn->order)) <
	    0) {
		txn_fail(txn, -ENOMEM);
		return;
	}
	txn->order[txn->norder++] = object;
}
