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

#define BATCH_BYTES  (32u << 20)
#define CLASSES	     8u
#define STALE_TRIES  8u
#define RETRY_MAX_NS (60ull * 1000 * 1000 * 1000)
#define ROOM_MORE    (1u << 20)
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

struct flush {
	struct pool *pool;
	enum job_class job_class;
	struct job_group *group;
	struct idmap objects; /* of this batch: referenced, and marked as flushing by us */
	struct placed *placed;
	size_t nplaced, placed_cap;
	struct frame_build **builds; /* all of this batch */
	size_t nbuilds, builds_cap;
	struct build_class classes[CLASSES];
	size_t nclasses;
	uint64_t marks[CONFIG_TIERS_MAX]; /* of the appenders, before this batch's first append */
	uint64_t bytes;
	uint64_t failed_bytes;
	bool hopeless; /* of a whole batch not one frame could be written */
	int error;
};

static void flush_fail(struct flush *flush, int error)
{
	if (!flush->error)
		flush->error = error;
}

static void take_marks(struct flush *flush)
{
	for (uint32_t t = 1; t < flush->pool->config.ntiers; t++)
		flush->marks[t] = appender_mark(flush->pool->tiers[t].appender);
}

static int flush_init(struct flush *flush, struct pool *pool, enum job_class job_class)
{
	*flush = (struct flush){.pool = pool, .job_class = job_class};
	idmap_init(&flush->objects);
	take_marks(flush);
	return job_group_new(&flush->group);
}

static void flush_release(struct flush *flush)
{
	job_group_free(flush->group);
	idmap_release(&flush->objects);
	free(flush->placed);
	free(flush->builds);
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
		return NULL; /* the caller runs the batch first */
	flush->classes[flush->nclasses] = want;
	return &flush->classes[flush->nclasses++];
}

static void submit(struct flush *flush, struct frame_build *build)
{
	int rc = workers_submit(flush->pool->workers, flush->job_class, flush->group,
				frame_build_write, build);

	if (rc < 0)
		build->error = rc;
}

static struct frame_build *build_open(struct flush *flush, const struct build_class *class)
{
	struct frame_build *build;

	if (flush->nbuilds == flush->builds_cap) {
		size_t cap = flush->builds_cap ? flush->builds_cap * 2 : 64;
		void *p = realloc(flush->builds, cap * sizeof(struct frame_build *));

		if (!p)
			return NULL;
		flush->builds = p;
		flush->builds_cap = cap;
	}
	if (frame_build_new(&build, flush->pool, class->tier) < 0)
		return NULL;
	build->may_spill = true;
	build->own_codec = class->own_codec;
	build->codec = class->codec;
	build->replicas = class->replicas;
	flush->builds[flush->nbuilds++] = build;
	return build;
}

static int placed_add(struct flush *flush, const struct placed *placed)
{
	if (flush->nplaced == flush->placed_cap) {
		size_t cap = flush->placed_cap ? flush->placed_cap * 2 : 256;
		void *p = realloc(flush->placed, cap * sizeof(*flush->placed));

		if (!p)
			return -ENOMEM;
		flush->placed = p;
		flush->placed_cap = cap;
	}
	flush->placed[flush->nplaced++] = *placed;
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
			rc = placed_add(flush, &placed);
		if (rc < 0)
			return rc;
		off += placed.len;
		len -= placed.len;
		data += placed.len;
		flush->bytes += placed.len;
		if (frame_build_full(*slot)) {
			submit(flush, *slot);
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
	while (rc == 0 && range && (flush->bytes < BATCH_BYTES || synced_any(object))) {
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
		submit(flush, class->bulk);
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
	struct txn *txn;
	int rc = 0;

	if (synced_any(object)) {
		txn = txn_begin(flush->pool);
		txn_frees(txn);
		synced_delete(txn, object);
		rc = txn_commit(txn);
	}
	if (rc < 0)
		flush_fail(flush, rc);
	else
		synced_deleted(object, dirty_empty(&object->dirty));
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

static int sync_tiers(struct flush *flush, bool *failed)
{
	struct pool *pool = flush->pool;
	int first = 0;

	for (uint32_t t = 1; t < pool->config.ntiers; t++) {
		bool used = false;
		int rc;

		failed[t] = false;
		for (size_t i = 0; i < flush->nbuilds && !used; i++)
			used = !flush->builds[i]->error && flush->builds[i]->record.tier == t;
		rc = used ? appender_sync_since(pool->tiers[t].appender, flush->marks[t]) : 0;
		if (rc < 0) {
			failed[t] = true;
			first = first ? first : rc;
		}
	}
	return first;
}

/* What a failed sync left in doubt is written again, elsewhere, once. */
static void make_durable(struct flush *flush)
{
	bool failed[CONFIG_TIERS_MAX];
	int rc = sync_tiers(flush, failed);

	if (rc == 0)
		return;
	take_marks(flush);
	for (size_t i = 0; i < flush->nbuilds; i++) {
		struct frame_build *build = flush->builds[i];

		if (!build->error && failed[build->record.tier])
			submit(flush, build);
	}
	job_group_wait(flush->group);
	rc = sync_tiers(flush, failed);
	for (size_t i = 0; rc < 0 && i < flush->nbuilds; i++)
		if (!flush->builds[i]->error && failed[flush->builds[i]->record.tier])
			flush->builds[i]->error = rc;
}

/* Writes, syncs and commits what has been gathered; the batch is empty afterwards. */
static void run(struct flush *flush)
{
	struct object *object;
	size_t at = 0;

	for (size_t i = 0; i < flush->nclasses; i++)
		for (unsigned k = 0; k < 2; k++) {
			struct frame_build *open =
				k ? flush->classes[i].bulk : flush->classes[i].pack;

			if (open)
				submit(flush, open);
		}
	job_group_wait(flush->group);
	make_durable(flush);
	flush->hopeless = flush->nbuilds > 0;
	for (size_t i = 0; i < flush->nbuilds; i++)
		flush->hopeless = flush->hopeless && flush->builds[i]->error;
	if (flush->nplaced)
		qsort(flush->placed, flush->nplaced, sizeof(*flush->placed), by_object);
	for (size_t i = 0, n; i < flush->nplaced; i += n) {
		for (n = 1; i + n < flush->nplaced &&
			    flush->placed[i + n].object == flush->placed[i].object;)
			n++;
		commit_object(flush, &flush->placed[i], n);
	}
	for (size_t i = 0; i < flush->nbuilds; i++) {
		if (!flush->builds[i]->created && flush->builds[i]->error != -ESTALE)
			frame_build_discard(flush->builds[i]);
		frame_build_free(flush->builds[i]);
	}
	while ((object = idmap_each(&flush->objects, &at))) {
		object_flushing_clear(object);
		object_put(object);
	}
	idmap_clear(&flush->objects);
	flush->nclasses = flush->nplaced = flush->nbuilds = 0;
	take_marks(flush);
	flush->bytes = 0;
}

static void add_object(struct flush *flush, struct object *object)
{
	struct object_policy policy;
	uint64_t from = 0;

	if (!object->dirty_bytes && !object->flushing)
		return;
	if (idmap_get(&flush->objects, object->id))
		return; /* its ranges of now are in this batch */
	pool_policy(flush->pool, object->id, 0, &policy);
	while (from != UINT64_MAX && !flush->hopeless) {
		struct build_class *class = class_of(flush, &policy);
		int rc;

		if (!class) {
			run(flush);
			continue;
		}
		while (!object_flushing_try(object)) {
			run(flush); /* invariant 3; it also takes the class away */
			object_flushing_wait(object);
		}
		class = class_of(flush, &policy);
		rc = class ? idmap_put(&flush->objects, object->id, object) : -ENOMEM;
		if (rc < 0) {
			object_flushing_clear(object);
			flush_fail(flush, rc);
			return;
		}
		object_hold(object);
		rc = gather(flush, class, object, &from);
		if (rc < 0)
			flush_fail(flush, rc);
		if (flush->bytes >= BATCH_BYTES)
			run(flush);
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
	/* The second cut is for segments that the first has emptied. */
	for (unsigned i = 0; i < 2; i++) {
		if (pool_cut(pool) < 0)
			return rc;
		pool_reclaim(pool);
	}
	space_refresh(pool->space);
	return flush_objects(pool, objects, n);
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

void flush_kick(struct pool *pool)
{
	if (pool->flush_urgent)
		return;
	pthread_mutex_lock(&pool->thread_lock);
	pool->flush_urgent = true;
	pthread_cond_broadcast(&pool->thread_wake);
	pthread_mutex_unlock(&pool->thread_lock);
}

/* As it is now: it may change while the thread waits, which wakes it. */
static uint64_t flush_period(struct pool *pool)
{
	struct tunables now;

	pool_tunables(pool, &now);
	return now.commit_interval_ns / 2;
}

uint64_t flush_room(struct pool *pool)
{
	uint64_t bytes = 0;

	for (uint32_t t = 1; t < pool->config.ntiers; t++) {
		struct tier_space room;

		if (tier_room(pool->tiers[t].tier, &room) == 0)
			bytes += room.free;
	}
	return bytes;
}

/* What could not be flushed is tried again after twice the time, up to RETRY_MAX_NS, and at the
 * next period when there is more room than there was: coding it all in vain takes a processor. */
struct retry {
	uint64_t at_ns, wait_ns;
	uint64_t room; /* when it failed */
};

static bool retry_due(struct pool *pool, const struct retry *retry)
{
	return !retry->wait_ns || clock_mono_ns() >= retry->at_ns ||
	       flush_room(pool) >= retry->room + ROOM_MORE;
}

static void retry_later(struct pool *pool, struct retry *retry, uint64_t period)
{
	retry->wait_ns = retry->wait_ns ? retry->wait_ns * 2 : period;
	if (retry->wait_ns > RETRY_MAX_NS)
		retry->wait_ns = RETRY_MAX_NS;
	retry->at_ns = clock_mono_ns() + retry->wait_ns;
	retry->room = flush_room(pool);
}

void *flush_thread(void *arg)
{
	struct pool *pool = arg;
	uint64_t began = clock_mono_ns();
	struct retry retry = {0};

	for (;;) {
		uint64_t due;
		bool stop, timed;

		pthread_mutex_lock(&pool->thread_lock);
		while (due = began + flush_period(pool),
		       !pool->stopping && !(pool->flush_urgent && !retry.wait_ns) &&
			       clock_mono_ns() < due)
			thread_wait(pool, due);
		stop = pool->stopping;
		pool->flush_urgent = false;
		pthread_mutex_unlock(&pool->thread_lock);
		if (stop)
			return NULL;
		timed = clock_mono_ns() >= due;
		if (retry_due(pool, &retry)) {
			if (flush_upto(pool, ramlog_head(pool->log)) < 0)
				retry_later(pool, &retry, flush_period(pool));
			else
				retry.wait_ns = 0;
		}
		if (timed) {
			pool_cut(pool);
			pool_reclaim(pool);
			began = clock_mono_ns();
		}
	}
}
