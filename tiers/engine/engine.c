// SPDX-License-Identifier: Apache-2.0
/*
 * The first tier engine: demotion by watermark and minimum age, promotion of what was read twice.
 * One pass looks at the tiers from the fastest down. Which frames are cold enough is found with a
 * histogram over all of the tier's frames, so memory does not grow with their number; they are then
 * moved in the order in which they lie, so that neighbours stay together.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tiers/extmap.h"
#include "tiers/flush.h"
#include "tiers/framestore.h"
#include "tiers/log.h"
#include "tiers/engine/mover.h"
#include "tiers/pool_impl.h"

#define CUT_EVERY 4u /* batches */
#define BUCKETS	  128u
#define BLOCKED_NS \
	(600ull * 1000 * 1000 * 1000) /* a tier that could not be emptied is left alone so long */

static uint32_t now_s(void)
{
	return (uint32_t)(clock_wall_ns() / 1000000000);
}

/* Batches ----------------------------------------------------------------------------------------
 */

/* Frames on their way into one move_frames(). */
struct batch {
	struct pool *pool;
	int to;
	const struct idmap *only;
	struct move_progress *progress;
	uint64_t *frames;
	size_t count, cap;
	uint64_t raw, stored, moved;
	uint64_t *left; /* stored bytes still wanted: what has moved is taken off; may be NULL */
	uint64_t began_ns;
	unsigned runs;
	bool throttled;
	int error;
};

static bool cancelled(const struct batch *batch)
{
	return batch->pool->stopping || (batch->progress && batch->progress->cancel);
}

static void batch_run(struct batch *batch)
{
	uint64_t before = batch->moved, rate;
	uint64_t began = clock_mono_ns();
	struct tunables tunables;
	int rc;

	if (!batch->count)
		return;
	pool_tunables(batch->pool, &tunables);
	rate = tunables.move_bandwidth;
	rc = move_frames(batch->pool, batch->frames, batch->count, batch->to, batch->only,
			 batch->progress, &batch->moved);
	if (rc < 0 && !batch->error)
		batch->error = rc;
	if (batch->progress)
		batch->progress->bytes_done += batch->moved - before;
	if (batch->left && batch->raw) {
		/* Of frames with pinned objects, or damaged ones, less moves than was asked for. */
		uint64_t gone = (uint64_t)((double)(batch->moved - before) * (double)batch->stored /
					   (double)batch->raw);

		*batch->left -= gone < *batch->left ? gone : *batch->left;
	}
	batch->count = 0;
	batch->raw = batch->stored = 0;
	/* Long moves give space back as they go, and do not let the journal's tail grow. A cut that
	 * fails is tried again, and told, at the end. */
	if (++batch->runs % CUT_EVERY == 0 && pool_cut(batch->pool) == 0)
		pool_reclaim(batch->pool);
	if (batch->throttled && rate) {
		uint64_t want = (batch->moved - before) * 1000000000u / rate;
		uint64_t took = clock_mono_ns() - began;

		while (want > took && !cancelled(batch)) {
			uint64_t rest = want - took > 100000000u ? 100000000u : want - took;

			nanosleep(&(struct timespec){.tv_nsec = (long)rest}, NULL);
			took = clock_mono_ns() - began;
		}
	}
}

static int batch_add(struct batch *batch, uint64_t frame, const struct frame_record *record)
{
	if (batch->count == batch->cap) {
		size_t cap = batch->cap ? batch->cap * 2 : 64;
		void *p = realloc(batch->frames, cap * sizeof(*batch->frames));

		if (!p)
			return -ENOMEM;
		batch->frames = p;
		batch->cap = cap;
	}
	batch->frames[batch->count++] = frame;
	batch->raw += record->raw_len;
	batch->stored += record->stored_len;
	if (batch->raw + FRAME_RAW_MAX > MOVE_BATCH_BYTES)
		batch_run(batch);
	return 0;
}

/* Demotion ---------------------------------------------------------------------------------------
 */

/* Colder is lower: untouched frames by age (doubling), then touched ones by heat. */
static unsigned coldness(const struct pool *pool, uint64_t frame, const struct frame_record *record,
			 uint32_t now, uint32_t *age)
{
	struct heat_state state = heat_of(pool->heat, frame, frame_record_heat(record));
	unsigned heat = heat_decay(state, pool_heat_scale(pool), now).fast / 64u;
	unsigned log_age = 0;

	*age = now > state.last_s ? now - state.last_s : 0;
	if (heat)
		return 64 + (heat > 63 ? 63 : heat);
	for (uint32_t a = *age; a; a >>= 1)
		log_age++;
	return 63 - (log_age > 31 ? 31 : log_age);
}

struct scan {
	struct pool *pool;
	uint32_t tier;
	uint32_t min_age_s, now;
	uint64_t cold[BUCKETS]; /* stored bytes of frames old enough */
	/* second pass */
	unsigned from, threshold; /* buckets */
	uint64_t left;		  /* stored bytes still to be moved */
	struct batch *batch;
};

static int scan_frame(struct scan *scan, uint64_t frame, bool count)
{
	struct frame_record record;
	uint32_t age;
	unsigned bucket;

	if (frame_record_get(scan->pool, frame, &record) < 0 || record.tier != scan->tier)
		return 0;
	bucket = coldness(scan->pool, frame, &record, scan->now, &age);
	if (age < scan->min_age_s)
		return 0;
	if (count) {
		scan->cold[bucket] += record.stored_len;
		return 0;
	}
	if (bucket < scan->from || bucket > scan->threshold || scan->left <= scan->batch->stored)
		return 0;
	return batch_add(scan->batch, frame, &record);
}

static int scan_segment(struct scan *scan, uint64_t segment, bool count)
{
	uint8_t prefix[KEY_LEN_1];
	struct meta_cursor *cursor;
	struct meta_item item;
	int rc = meta_cursor_open(scan->pool->meta, prefix, key_1(prefix, KEY_PLACED, segment),
				  NULL, 0, &cursor);

	if (rc < 0)
		return rc;
	while (!scan->pool->stopping && (rc = meta_cursor_next(cursor, &item)) == 0) {
		rc = item.len == 8 ? scan_frame(scan, get_le64(item.value), count) : -EUCLEAN;
		if (rc < 0)
			break;
	}
	meta_cursor_close(cursor);
	return rc == -ENOENT ? 0 : rc;
}

static int by_id(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* The ids of a tier's segments, oldest first. */
static int segment_ids(struct pool *pool, uint32_t tier, uint64_t **out, size_t *n)
{
	struct segment *segment;
	size_t at = 0;

	*n = 0;
	pthread_mutex_lock(&pool->commit_lock);
	*out = malloc((pool->segments.count + 1) * sizeof(**out));
	while (*out && (segment = idmap_each(&pool->segments, &at)))
		if (segment->record.tier == tier && !segment->removing)
			(*out)[(*n)++] = segment->id;
	pthread_mutex_unlock(&pool->commit_lock);
	if (*out)
		qsort(*out, *n, sizeof(**out), by_id);
	return *out ? 0 : -ENOMEM;
}

static int scan_tier(struct scan *scan, bool count)
{
	uint64_t *ids;
	size_t n;
	int rc = segment_ids(scan->pool, scan->tier, &ids, &n);

	for (size_t i = 0; i < n && rc == 0 && !scan->pool->stopping; i++)
		rc = scan_segment(scan, ids[i], count);
	free(ids);
	return rc;
}

static void tier_fill(struct pool *pool, uint32_t tier, uint64_t *size, uint64_t *used)
{
	struct tier_space room;

	*size = *used = 0;
	if (tier_room(pool->tiers[tier].tier, &room) < 0)
		return;
	*size = room.total;
	/* On a shared medium others take room too: what is not free is used. */
	*used = room.total - (room.free < room.total ? room.free : room.total);
}

static int demote(struct pool *pool, uint32_t tier, struct move_progress *progress, uint64_t *moved)
{
	struct tunables tunables;
	const struct tier_tunables *config = &tunables.tiers[tier];
	struct batch batch = {
		.pool = pool, .to = (int)tier + 1, .progress = progress, .throttled = true};
	struct scan scan = {.pool = pool, .tier = tier, .now = now_s(), .batch = &batch};
	uint64_t size, used, need, sum = 0;
	int rc;

	pool_tunables(pool, &tunables);
	scan.min_age_s = (uint32_t)(config->min_age_ns / 1000000000u);
	tier_fill(pool, tier, &size, &used);
	if (used <= size / 100 * config->high_percent ||
	    (!progress && clock_mono_ns() < pool->tiers[tier].demote_after_ns))
		return 0;
	need = used - size / 100 * config->low_percent;
	rc = scan_tier(&scan, true);
	while (rc == 0 && scan.threshold < BUCKETS - 1 && (sum += scan.cold[scan.threshold]) < need)
		scan.threshold++;
	scan.left = need;
	batch.left = &scan.left;
	if (progress)
		progress->bytes_total += need;
	if (rc == 0)
		rc = scan_tier(&scan, false);
	batch_run(&batch);
	if (rc == 0 && scan.left && scan.threshold < BUCKETS - 1) {
		/* The coldest are pinned: warmer ones go instead. */
		scan.from = scan.threshold + 1;
		scan.threshold = BUCKETS - 1;
		rc = scan_tier(&scan, false);
		batch_run(&batch);
	}
	if (scan.left)
		pool->tiers[tier].demote_after_ns = clock_mono_ns() + BLOCKED_NS;
	free(batch.frames);
	*moved += batch.moved;
	return rc < 0 ? rc : batch.error;
}

/* Promotion --------------------------------------------------------------------------------------
 */

void pool_promote_ask(struct pool *pool, uint64_t frame)
{
	bool known = false;

	pthread_mutex_lock(&pool->promote_lock);
	for (size_t i = 0; i < pool->npromote && !known; i++)
		known = pool->promote[i] == frame;
	if (!known && pool->npromote < sizeof(pool->promote) / sizeof(pool->promote[0]))
		pool->promote[pool->npromote++] = frame;
	pthread_mutex_unlock(&pool->promote_lock);
}

static int promote(struct pool *pool, struct move_progress *progress, uint64_t *moved)
{
	struct batch batch = {.pool = pool, .to = 1, .progress = progress, .throttled = true};
	uint64_t frames[sizeof(pool->promote) / sizeof(pool->promote[0])];
	struct tunables tunables;
	uint64_t size, used;
	size_t n;
	int rc = 0;

	pool_tunables(pool, &tunables);
	pthread_mutex_lock(&pool->promote_lock);
	n = pool->npromote;
	memcpy(frames, pool->promote, n * sizeof(*frames));
	pool->npromote = 0;
	pthread_mutex_unlock(&pool->promote_lock);
	for (size_t i = 0; i < n && rc == 0 && !pool->stopping; i++) {
		struct frame_record record;

		if (frame_record_get(pool, frames[i], &record) < 0 || record.tier <= 1)
			continue;
		tier_fill(pool, 1, &size, &used);
		if (used + batch.raw + record.raw_len > size / 100 * tunables.tiers[1].high_percent)
			break;
		if (progress)
			progress->bytes_total += record.raw_len;
		rc = batch_add(&batch, frames[i], &record);
	}
	batch_run(&batch);
	free(batch.frames);
	*moved += batch.moved;
	return rc < 0 ? rc : batch.error;
}

static int engine_pass(struct pool *pool, struct move_progress *progress, uint64_t *moved)
{
	int rc = 0;

	for (uint32_t t = 1; t + 1 < pool->config.ntiers && !pool->stopping; t++) {
		int one = demote(pool, t, progress, moved);

		rc = rc < 0 ? rc : one;
	}
	if (pool->config.ntiers > 2 && !pool->stopping) {
		int one = promote(pool, progress, moved);

		rc = rc < 0 ? rc : one;
	}
	return rc;
}

int pool_run(struct pool *pool, struct move_progress *progress)
{
	uint64_t moved = 0;
	int rc = pool_sync(pool);

	if (rc == 0)
		rc = engine_pass(pool, progress, &moved);
	if (moved) {
		int cut = pool_cut(pool);

		pool_reclaim(pool);
		rc = rc < 0 ? rc : cut;
	}
	return rc;
}

static uint64_t run_interval(struct pool *pool)
{
	struct tunables tunables;

	pool_tunables(pool, &tunables);
	return tunables.run_interval_ns;
}

void *pool_engine(void *arg)
{
	struct pool *pool = arg;

	for (;;) {
		uint64_t began = clock_mono_ns(), due;
		uint64_t moved = 0;
		bool stop;

		pthread_mutex_lock(&pool->thread_lock);
		while (due = began + run_interval(pool), !pool->stopping && clock_mono_ns() < due)
			thread_wait(pool, due);
		stop = pool->stopping;
		pthread_mutex_unlock(&pool->thread_lock);
		if (stop)
			return NULL;
		engine_pass(pool, NULL, &moved);
		if (moved) {
			pool_cut(pool);
			pool_reclaim(pool);
		}
	}
}

/* Moves on request -------------------------------------------------------------------------------
 */

#define PREFETCH_BYTES (1u << 20)

/* To the RAM tier: decoded blocks into the cache. */
static int prefetch(struct pool *pool, struct object *object, struct move_progress *progress)
{
	uint8_t *buf = malloc(PREFETCH_BYTES);
	uint64_t off = 0;
	size_t got = 1;
	int rc = buf ? 0 : -ENOMEM;

	while (rc == 0 && got && !(progress && progress->cancel) && !pool->stopping) {
		rc = object_read(object, buf, PREFETCH_BYTES, off, &got);
		off += got;
		if (progress)
			progress->bytes_done += got;
	}
	free(buf);
	return rc;
}

/* The frames of one object that are not in the tier yet; with a NULL batch only their bytes are
 * counted. */
static int add_object(struct pool *pool, struct object *object, int to, struct idmap *seen,
		      struct batch *batch, uint64_t *bytes)
{
	struct extent_list list = {0};
	int rc;

	pthread_rwlock_rdlock(&object->data_lock);
	rc = extmap_list(object, 0, UINT64_MAX, SIZE_MAX, &list);
	pthread_rwlock_unlock(&object->data_lock);
	for (size_t i = 0; rc == 0 && i < list.count; i++) {
		struct frame_record record;

		if (frame_record_get(pool, list.items[i].frame, &record) < 0 ||
		    record.tier == (uint32_t)to)
			continue;
		*bytes += list.items[i].len;
		if (!batch || idmap_get(seen, list.items[i].frame))
			continue;
		rc = idmap_put(seen, list.items[i].frame, object);
		if (rc == 0)
			rc = batch_add(batch, list.items[i].frame, &record);
	}
	extent_list_release(&list);
	return rc;
}

static int each_object(struct pool *pool, const uint64_t *objects, size_t n, int to,
		       struct idmap *seen, struct batch *batch, uint64_t *bytes)
{
	int rc = 0;

	for (size_t i = 0; i < n && rc == 0; i++) {
		struct object *object;

		if (batch && cancelled(batch))
			return -ECANCELED;
		rc = object_get(pool, objects[i], &object);
		if (rc == -ENOENT) {
			rc = 0;
			continue;
		}
		if (rc == 0)
			rc = add_object(pool, object, to, seen, batch, bytes);
		object_put(object);
	}
	return rc;
}

static int to_ram(struct pool *pool, const uint64_t *objects, size_t n,
		  struct move_progress *progress)
{
	int rc = 0;

	for (size_t i = 0; i < n && rc == 0; i++) {
		struct object *object;

		rc = object_get(pool, objects[i], &object);
		if (rc == 0) {
			if (progress)
				progress->bytes_total += object_size(object);
			rc = prefetch(pool, object, progress);
		}
		rc = rc == -ENOENT ? 0 : rc;
		object_put(object);
		if (progress && progress->cancel)
			return -ECANCELED;
	}
	return rc;
}

int pool_move(struct pool *pool, const uint64_t *objects, size_t n, int to,
	      struct move_progress *progress)
{
	struct idmap only, seen;
	struct batch batch = {.pool = pool, .to = to, .progress = progress, .only = &only};
	uint64_t bytes = 0;
	int rc;

	if (to < 0 || to >= (int)pool->config.ntiers)
		return -EINVAL;
	if (to == 0)
		return to_ram(pool, objects, n, progress);
	idmap_init(&only);
	idmap_init(&seen);
	rc = pool_sync(pool);
	for (size_t i = 0; i < n && rc == 0; i++)
		rc = idmap_put(&only, objects[i], pool);
	if (rc == 0)
		rc = each_object(pool, objects, n, to, NULL, NULL, &bytes);
	if (progress)
		progress->bytes_total += bytes;
	bytes = 0;
	if (rc == 0)
		rc = each_object(pool, objects, n, to, &seen, &batch, &bytes);
	if (rc == 0)
		batch_run(&batch);
	if (batch.moved) {
		int cut = pool_cut(pool);

		pool_reclaim(pool);
		rc = rc < 0 ? rc : cut;
	}
	free(batch.frames);
	idmap_release(&only);
	idmap_release(&seen);
	return rc < 0 ? rc : batch.error;
}
