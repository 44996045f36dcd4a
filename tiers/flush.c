// SPDX-License-Identifier: Apache-2.0
/*
 * Invariants, beside those in the header:
 *  1. Order on media: frames appended, synced, then the transaction that points to them (I1).
 *  2. Of an object, ranges are flushed in order of offset. What a power loss leaves is then the
 * object as it was when the flush began, cut off somewhere at or behind its stored size.
 *  3. A thread that must wait for another's flush holds no object's flushing flag itself.
 *  4. A frame shared by several objects is created by the first one's transaction. If that object
 * was deleted again before the next one's, the frame is gone: the rest stays in the log and is
 * flushed again (-ESTALE inside).
 *  5. Batches are committed in the order in which they were gathered, one after the other. An
 * object with parts in two of them stays marked as flushing until the later one is done.
 */
#include "tiers/flush.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tiers/clock.h"
#include "tiers/extmap.h"
#include "tiers/framestore.h"
#include "tiers/log.h"
#include "tiers/pool_impl.h"
#include "tiers/resident.h"

#define BATCH_MAX    (32u << 20)
#define BATCH_MIN    (1u << 20)
#define BATCH_SHARE  8u /* of the log at most: the log's room comes back batch by batch */
#define TURNS_MAX    4u /* batches between two ends of everything */
#define CLASSES	     8u
#define STALE_TRIES  8u
#define COPY_WAIT_NS 50000
#define COPY_WAITS   100000u /* five seconds */

/* A part of an object's range, and the build that holds it. */
struct placed {
	struct object *object;
	struct frame_build *build;
	uint64_t off, pos;
	uint32_t len, frame_off;
	bool staged; /* in the object's transaction */
};

/* Builds being filled for one tier and codec: one packs small objects, one takes a large one. */
struct build_class {
	int tier;
	bool own_codec;
	struct codec_spec codec;
	unsigned replicas; /* 0: as the tier */
	struct frame_build *pack, *bulk;
};

/* What is synced and committed together. */
struct batch {
	struct job_group *group;
	struct idmap objects; /* referenced, and marked as flushing by us */
	struct placed *placed;
	size_t nplaced, placed_cap;
	struct frame_build **builds;
	size_t nbuilds, builds_cap;
	uint64_t marks[CONFIG_TIERS_MAX]; /* of the appenders, before the first append */
	uint64_t bytes;
};

struct flush {
	struct pool *pool;
	enum job_class job_class;
	struct batch batches[2];
	struct batch *batch;  /* being filled */
	struct batch *before; /* its frames are being written while the next are gathered */
	uint64_t batch_bytes; /* when one is full */
	unsigned turns;	      /* since both were empty */
	struct build_class classes[CLASSES]; /* of the batch being filled */
	size_t nclasses;
	uint64_t failed_bytes;
	bool hopeless; /* of a whole batch not one frame could be written */
	int error;
};

static void flush_fail(struct flush *flush, int error)
{
	if (!flush->error)
		flush->error = error;
}

static void take_marks(struct pool *pool, struct batch *batch)
{
	for (uint32_t t = 1; t < pool->config.ntiers; t++)
		batch->marks[t] = appender_mark(pool->tiers[t].appender);
}

static void flush_release(struct flush *flush)
{
	for (unsigned i = 0; i < 2; i++) {
		struct batch *batch = &flush->batches[i];

		job_group_free(batch->group);
		idmap_release(&batch->objects);
		free(batch->placed);
		free(batch->builds);
	}
}

static uint64_t batch_bytes(struct pool *pool)
{
	struct ramlog_usage log;
	uint64_t share;

	if (pool->config.batch_bytes)
		return pool->config.batch_bytes;
	ramlog_usage(pool->log, &log);
	share = log.max / BATCH_SHARE;
	return share > BATCH_MAX ? BATCH_MAX : share < BATCH_MIN ? BATCH_MIN : share;
}

static int flush_init(struct flush *flush, struct pool *pool, enum job_class job_class)
{
	int rc = 0;

	*flush = (struct flush){.pool = pool, .job_class = job_class};
	flush->batch_bytes = batch_bytes(pool);
	flush->batch = &flush->batches[0];
	flush->before = &flush->batches[1];
	for (unsigned i = 0; i < 2; i++)
		idmap_init(&flush->batches[i].objects);
	take_marks(pool, flush->batch);
	for (unsigned i = 0; i < 2 && rc == 0; i++)
		rc = job_group_new(&flush->batches[i].group);
	if (rc < 0)
		flush_release(flush);
	return rc;
}

/* Filling builds ---------------------------------------------------------------------------------
 */

static struct build_class *class_of(struct flush *flush, const struct object_policy *policy)
{
	struct build_class want = {.tier = pool_home(flush->pool, policy),
				   .own_codec = policy->has_codec,
				   .codec = policy->codec,
				   .replicas = policy->replicas};

	for (size_t i = 0; i < flush->nclasses; i++) {
		struct build_class *class = &flush->classes[i];

		if (class->tier == want.tier && class->own_codec == want.own_codec &&
		    class->replicas == want.replicas &&
		    (!want.own_codec || codec_spec_same(&class->codec, &want.codec)))
			return class;
	}
	if (flush->nclasses == CLASSES)
		return NULL; /* the caller submits what is open first */
	flush->classes[flush->nclasses] = want;
	return &flush->classes[flush->nclasses++];
}

static void submit(struct flush *flush, struct batch *batch, struct frame_build *build)
{
	int rc = workers_submit(flush->pool->workers, flush->job_class, batch->group,
				frame_build_write, build);

	if (rc < 0)
		build->error = rc;
}

static struct frame_build *build_open(struct flush *flush, const struct build_class *class)
{
	struct batch *batch = flush->batch;
	struct frame_build *build;

	if (batch->nbuilds == batch->builds_cap) {
		size_t cap = batch->builds_cap ? batch->builds_cap * 2 : 64;
		void *p = realloc(batch->builds, cap * sizeof(struct frame_build *));

		if (!p)
			return NULL;
		batch->builds = p;
		batch->builds_cap = cap;
	}
	if (frame_build_new(&build, flush->pool, class->tier) < 0)
		return NULL;
	build->may_spill = true;
	build->own_codec = class->own_codec;
	build->codec = class->codec;
	build->replicas = class->replicas;
	batch->builds[batch->nbuilds++] = build;
	return build;
}

static int placed_add(struct batch *batch, const struct placed *placed)
{
	if (batch->nplaced == batch->placed_cap) {
		size_t cap = batch->placed_cap ? batch->placed_cap * 2 : 256;
		void *p = realloc(batch->placed, cap * sizeof(*batch->placed));

		if (!p)
			return -ENOMEM;
		batch->placed = p;
		batch->placed_cap = cap;
	}
	batch->placed[batch->nplaced++] = *placed;
	return 0;
}

/* One range of an object into *slot's build, and into fresh ones as each fills. */
static int fill(struct flush *flush, const struct build_class *class, struct frame_build **slot,
		struct object *object, const struct dirty_range *range, uint64_t off, uint64_t len)
{
	const uint8_t *data = range->data + (off - range->off);

	while (len) {
		uint32_t want = len > FRAME_RAW_MAX ? FRAME_RAW_MAX : (uint32_t)len;
		struct placed placed = {.object = object, .off = off, .pos = range->pos};
		int rc;

		if (!*slot)
			*slot = build_open(flush, class);
		if (!*slot)
			return -ENOMEM;
		placed.build = *slot;
		placed.frame_off = (*slot)->raw_len;
		rc = frame_build_add(*slot, object->id, off, want, data, &placed.len);
		if (rc == 0 && placed.len)
			rc = placed_add(flush->batch, &placed);
		if (rc < 0)
			return rc;
		off += placed.len;
		len -= placed.len;
		data += placed.len;
		flush->batch->bytes += placed.len;
		if (frame_build_full(*slot)) {
			submit(flush, flush->batch, *slot);
			*slot = NULL;
		}
	}
	return 0;
}

/* Adds the object's ranges from *from on until the batch is full; *from = UINT64_MAX when nothing
 * is left. */
static int gather(struct flush *flush, struct build_class *class, struct object *object,
		  uint64_t *from)
{
	struct frame_build **slot;
	struct dirty_range *range;
	int rc = 0;

	pthread_rwlock_rdlock(&object->data_lock);
	slot = object->dirty.bytes >= flush->pool->config.tiers[class->tier].frame_bytes
		       ? &class->bulk
		       : &class->pack;
	range = object->deleted ? NULL : dirty_find(&object->dirty, *from);
	while (rc == 0 && range &&
	       (flush->batch->bytes < flush->batch_bytes || synced_any(object))) {
		uint64_t off = range->off > *from ? range->off : *from;

		rc = fill(flush, class, slot, object, range, off, range->off + range->len - off);
		*from = range->off + range->len;
		range = dirty_next(range);
	}
	if (!range || rc < 0)
		*from = UINT64_MAX;
	pthread_rwlock_unlock(&object->data_lock);
	/* A large object's end becomes a frame of its own: the mover folds what is small. */
	if (class->bulk && *from == UINT64_MAX) {
		submit(flush, flush->batch, class->bulk);
		class->bulk = NULL;
	}
	return rc;
}

/* Committing -------------------------------------------------------------------------------------
 */

static int by_object(const void *a, const void *b)
{
	const struct placed *x = a, *y = b;

	if (x->object->id != y->object->id)
		return x->object->id < y->object->id ? -1 : 1;
	return x->off < y->off ? -1 : x->off > y->off;
}

static uint64_t still_dirty(const struct object *object, const struct placed *placed)
{
	uint64_t end = placed->off + placed->len, bytes = 0;

	for (struct dirty_range *range = dirty_find(&object->dirty, placed->off);
	     range && range->off < end; range = dirty_next(range)) {
		uint64_t from = range->off > placed->off ? range->off : placed->off;
		uint64_t to = range->off + range->len < end ? range->off + range->len : end;

		if (range->pos == placed->pos)
			bytes += to - from;
	}
	return bytes;
}

/* Bytes in the log that are older than the object's last note. */
static uint64_t older_than_note(const struct object *object)
{
	uint64_t bytes = 0;

	for (struct dirty_range *range = dirty_find(&object->dirty, 0); range;
	     range = dirty_next(range))
		if (range->pos < object->note_pos)
			bytes += range->len;
	return bytes;
}

/* Is anything of [from, to) in the log? */
static bool in_log(const struct object *object, uint64_t from, uint64_t to)
{
	const struct dirty_range *range = from < to ? dirty_find(&object->dirty, from) : NULL;

	return range && range->off < to;
}

/*
 * Stages the extents placed[0..n) of one object and its stored size. That is where the data ends
 * that is on media; and when all that is older than the last note is there, at least the size the
 * note left: nothing else may be left in the log that keeps the note.
 *
 * Behind the stored size nothing is staged past what stays in the log: a power loss would leave a
 * hole there, or extents behind the end that come to light when the object grows.
 */
static int stage_object(struct txn *txn, struct object *object, struct placed *placed, size_t n)
{
	struct object_record *record = txn_object(txn, object, false, true);
	struct extent_list add = {0};
	uint64_t left = object->dirty.bytes, stored, end, older;
	bool whole = true;
	int rc = 0;

	if (!record)
		return txn->error;
	older = record->size < object->note_size ? older_than_note(object) : 0;
	stored = end = record->size;
	for (size_t i = 0; i < n && rc == 0; i++) {
		uint64_t still, piece_end = placed[i].off + placed[i].len;
		struct extent extent = {.off = placed[i].off,
					.len = placed[i].len,
					.frame_off = placed[i].frame_off};

		placed[i].staged = false;
		whole = whole && !in_log(object, end, placed[i].off);
		if (!whole && piece_end > stored)
			continue;
		if (!frame_build_stage(txn, placed[i].build)) {
			whole = whole && piece_end <= stored;
			continue;
		}
		placed[i].staged = true;
		extent.frame = placed[i].build->id;
		rc = extent_list_add(&add, &extent);
		still = still_dirty(object, &placed[i]);
		left -= still;
		if (older && placed[i].pos < object->note_pos)
			older -= still;
		end = piece_end > end ? piece_end : end;
	}
	if (rc == 0)
		rc = extmap_overlay(txn, object, add.items, add.count);
	else
		txn_fail(txn, rc);
	object_show_notes(object, record);
	record->size = left == 0 ? object->size : end;
	if (!older && record->size < object->note_size)
		record->size = object->note_size;
	extent_list_release(&add);
	return rc;
}

/* A piece whose transaction came back with rc: its bytes leave the log, or stay and count as
 * failed. */
static void piece_done(struct flush *flush, const struct placed *placed, int rc)
{
	struct object *object = placed->object;
	struct dirty_sink sink = object_dirty_sink(object);
	struct frame_build *build = placed->build;

	if (rc < 0 || build->error) {
		flush->failed_bytes += placed->len;
		flush_fail(flush, rc < 0 ? rc : build->error);
		return;
	}
	if (!placed->staged) { /* once more, with what lies before it */
		flush->failed_bytes += placed->len;
		flush_fail(flush, -ESTALE);
		return;
	}
	build->created = true;
	if (dirty_prepare(&object->dirty) < 0)
		flush_fail(flush, -ENOMEM); /* it stays in the log and is flushed once more */
	else
		dirty_remove_flushed(&object->dirty, placed->off, placed->len, placed->pos, &sink);
}

/* Pieces of one object in one transaction; in several, in order of offset, where the batch of one
 * would be larger than the metadata store takes. Data lock held. */
static int commit_pieces(struct flush *flush, struct placed *placed, size_t n)
{
	struct txn *txn = txn_begin(flush->pool);
	int rc;

	if (placed[0].object->deleted) {
		txn_abort(txn);
		return 0;
	}
	stage_object(txn, placed[0].object, placed, n);
	rc = txn_commit(txn);
	if (rc == -E2BIG && n > 1) {
		size_t half = n / 2;

		rc = commit_pieces(flush, placed, half);
		if (rc == 0)
			return commit_pieces(flush, placed + half, n - half);
		placed += half;
		n -= half;
	}
	for (size_t i = 0; i < n; i++)
		piece_done(flush, &placed[i], rc);
	return rc;
}

/* All that the object had is in frames: its records of synced writes go. No sync of what this flush
 * committed has returned yet, so that a power loss in between may replay them over it. */
static void records_done(struct flush *flush, struct object *object)
{
	int rc = synced_purge(object);

	if (rc < 0) {
		synced_left(object);
		flush_fail(flush, rc);
	} else {
		synced_deleted(object, dirty_empty(&object->dirty));
	}
}

static void commit_object(struct flush *flush, struct placed *placed, size_t n)
{
	struct object *object = placed[0].object;
	bool whole;

	pthread_rwlock_wrlock(&object->data_lock);
	whole = commit_pieces(flush, placed, n) == 0 && !object->deleted;
	for (size_t i = 0; i < n && whole; i++)
		whole = placed[i].staged && !placed[i].build->error;
	/* After an error something may not even have been gathered, unless nothing is left. */
	if (whole && (!flush->error || dirty_empty(&object->dirty)))
		records_done(flush, object);
	else if (synced_any(object))
		synced_stale(object);
	object_dirty_settle(object);
	pthread_rwlock_unlock(&object->data_lock);
	resident_seen(flush->pool, object->id);
}

static int sync_tiers(struct pool *pool, const struct batch *batch, bool *failed)
{
	int first = 0;

	for (uint32_t t = 1; t < pool->config.ntiers; t++) {
		bool used = false;
		int rc;

		failed[t] = false;
		for (size_t i = 0; i < batch->nbuilds && !used; i++)
			used = !batch->builds[i]->error && batch->builds[i]->record.tier == t;
		rc = used ? appender_sync_since(pool->tiers[t].appender, batch->marks[t]) : 0;
		if (rc < 0) {
			failed[t] = true;
			first = first ? first : rc;
		}
	}
	return first;
}

/* What a failed sync left in doubt is written again, elsewhere, once. */
static void make_durable(struct flush *flush, struct batch *batch)
{
	bool failed[CONFIG_TIERS_MAX];
	int rc = sync_tiers(flush->pool, batch, failed);

	if (rc == 0)
		return;
	take_marks(flush->pool, batch);
	for (size_t i = 0; i < batch->nbuilds; i++) {
		struct frame_build *build = batch->builds[i];

		if (!build->error && failed[build->record.tier])
			submit(flush, batch, build);
	}
	job_group_wait(batch->group);
	rc = sync_tiers(flush->pool, batch, failed);
	for (size_t i = 0; rc < 0 && i < batch->nbuilds; i++)
		if (!batch->builds[i]->error && failed[batch->builds[i]->record.tier])
			batch->builds[i]->error = rc;
}

/* An object that is in the other batch too stays marked. */
static void objects_done(struct flush *flush, struct batch *batch)
{
	struct batch *other = batch == flush->batch ? flush->before : flush->batch;
	struct object *object;
	size_t at = 0;

	while ((object = idmap_each(&batch->objects, &at))) {
		if (!idmap_get(&other->objects, object->id))
			object_flushing_clear(object);
		object_put(object);
	}
	idmap_clear(&batch->objects);
}

/* Waits for the frames of a batch, syncs and commits them; it is empty afterwards. */
static void finish(struct flush *flush, struct batch *batch)
{
	bool hopeless = batch->nbuilds > 0;

	job_group_wait(batch->group);
	make_durable(flush, batch);
	for (size_t i = 0; i < batch->nbuilds; i++)
		hopeless = hopeless && batch->builds[i]->error;
	flush->hopeless = flush->hopeless || hopeless;
	if (batch->nplaced)
		qsort(batch->placed, batch->nplaced, sizeof(*batch->placed), by_object);
	for (size_t i = 0, n; i < batch->nplaced; i += n) {
		for (n = 1; i + n < batch->nplaced &&
			    batch->placed[i + n].object == batch->placed[i].object;)
			n++;
		commit_object(flush, &batch->placed[i], n);
	}
	for (size_t i = 0; i < batch->nbuilds; i++) {
		if (!batch->builds[i]->created && batch->builds[i]->error != -ESTALE)
			frame_build_discard(batch->builds[i]);
		frame_build_free(batch->builds[i]);
	}
	objects_done(flush, batch);
	batch->nplaced = batch->nbuilds = 0;
	batch->bytes = 0;
}

static void submit_open(struct flush *flush)
{
	for (size_t i = 0; i < flush->nclasses; i++)
		for (unsigned k = 0; k < 2; k++) {
			struct frame_build *open =
				k ? flush->classes[i].bulk : flush->classes[i].pack;

			if (open)
				submit(flush, flush->batch, open);
		}
	flush->nclasses = 0;
}

/* Writes, syncs and commits all that has been gathered. */
static void run(struct flush *flush)
{
	submit_open(flush);
	finish(flush, flush->before);
	finish(flush, flush->batch);
	take_marks(flush->pool, flush->batch);
	flush->turns = 0;
}

/*
 * The batch is full: the one before it is synced and committed while this one's frames are being
 * coded, so that neither the processors wait for the medium nor it for them. Every so often all is
 * finished, for those who wait for an object that is written to without end.
 */
static void turn(struct flush *flush)
{
	struct batch *full = flush->batch;

	if (flush->turns++ == TURNS_MAX) {
		run(flush);
		return;
	}
	submit_open(flush);
	finish(flush, flush->before);
	flush->batch = flush->before;
	flush->before = full;
	take_marks(flush->pool, flush->batch);
}

/* Marks the object as being flushed by us. It may be so already: the batch before has a part. */
static void mark(struct flush *flush, struct object *object)
{
	while (!idmap_get(&flush->before->objects, object->id) && !object_flushing_try(object)) {
		run(flush); /* invariant 3 */
		object_flushing_wait(object);
	}
}

/* Nothing of it is in the log; records may be left that could not be deleted. */
static void settle_records(struct flush *flush, struct object *object)
{
	int rc;

	if (!object->synced.behind)
		return;
	run(flush); /* invariant 3 */
	rc = synced_settle(object);
	if (rc < 0)
		flush_fail(flush, rc);
}

static void add_object(struct flush *flush, struct object *object)
{
	struct object_policy policy;
	uint64_t from = 0;

	if (!object->dirty_bytes && !object->flushing) {
		settle_records(flush, object);
		return;
	}
	if (idmap_get(&flush->batch->objects, object->id) ||
	    idmap_get(&flush->before->objects, object->id))
		return; /* its ranges of now are in these batches */
	pool_policy(flush->pool, object->id, 0, &policy);
	while (from != UINT64_MAX && !flush->hopeless) {
		struct build_class *class;
		int rc;

		mark(flush, object);
		class = class_of(flush, &policy);
		if (!class) {
			submit_open(flush);
			class = class_of(flush, &policy);
		}
		rc = idmap_put(&flush->batch->objects, object->id, object);
		if (rc < 0) {
			if (!idmap_get(&flush->before->objects, object->id))
				object_flushing_clear(object);
			flush_fail(flush, rc);
			return;
		}
		object_hold(object);
		rc = gather(flush, class, object, &from);
		if (rc < 0)
			flush_fail(flush, rc);
		if (flush->batch->bytes >= flush->batch_bytes)
			turn(flush);
	}
}

int flush_objects(struct pool *pool, struct object *const *objects, size_t n)
{
	struct flush flush;
	int rc = flush_init(&flush, pool, JOB_FOREGROUND);

	if (rc < 0)
		return rc;
	for (unsigned tries = 0; tries < STALE_TRIES; tries++) {
		flush.error = 0;
		flush.hopeless = false;
		for (size_t i = 0; i < n; i++)
			add_object(&flush, objects[i]);
		run(&flush);
		if (flush.error != -ESTALE)
			break;
	}
	rc = flush.error;
	flush_release(&flush);
	return rc;
}

int flush_objects_for(struct pool *pool, struct object *const *objects, size_t n)
{
	int rc = flush_objects(pool, objects, n);

	if (rc != -ENOSPC)
		return rc;
	return pool_free_up(pool) < 0 ? rc : flush_objects(pool, objects, n);
}

int flush_object(struct object *object)
{
	return flush_objects(object->pool, &object, 1);
}

/* The background's walk over the log -------------------------------------------------------------
 */

static struct object *object_peek(struct pool *pool, uint64_t id)
{
	struct object *object;

	pthread_mutex_lock(&pool->objects_lock);
	object = idmap_get(&pool->objects, id);
	if (object)
		object->refs++;
	pthread_mutex_unlock(&pool->objects_lock);
	return object;
}

static uint64_t walk(struct flush *flush, uint64_t from, uint64_t upto)
{
	struct pool *pool = flush->pool;
	unsigned waits = 0;

	while (from < upto && !flush->hopeless) {
		struct ramlog_record record;
		uint64_t next;
		struct object *object;

		if (ramlog_walk(pool->log, from, &record, &next) < 0) {
			from = next; /* behind what was cancelled */
			if (from >= upto || ramlog_head(pool->log) <= from)
				break;
			/* Somebody is copying into the next record: microseconds, unless it waits
			 * for the processor. */
			if (++waits > COPY_WAITS) {
				flush_fail(flush,
					   -EBUSY); /* what lies behind it was not looked at */
				break;
			}
			nanosleep(&(struct timespec){.tv_nsec = COPY_WAIT_NS}, NULL);
			continue;
		}
		waits = 0;
		if (record.pos >= upto)
			break;
		from = next;
		if (record.op != RAMLOG_WRITE)
			continue;
		object = object_peek(pool, record.object);
		if (!object)
			continue;
		add_object(flush, object);
		object_put(object);
	}
	return from;
}

int flush_upto(struct pool *pool, uint64_t upto)
{
	struct flush flush;
	uint64_t reached = pool->flush_cursor;
	int rc = flush_init(&flush, pool, JOB_BACKGROUND);

	if (rc < 0)
		return rc;
	pthread_mutex_lock(&pool->cursor_lock);
	for (unsigned tries = 0; tries < STALE_TRIES; tries++) {
		flush.error = 0;
		flush.failed_bytes = 0;
		flush.hopeless = false;
		reached = walk(&flush, pool->flush_cursor, upto);
		run(&flush);
		if (flush.error != -ESTALE)
			break;
	}
	rc = flush.error;
	if (rc == 0)
		pool->flush_cursor = reached;
	/* Where it gave up, the rest was not even tried. */
	pool->parked_bytes = flush.error && flush.hopeless ? pool->dirty_bytes : flush.failed_bytes;
	pthread_mutex_unlock(&pool->cursor_lock);
	flush_release(&flush);
	return rc;
}
