// SPDX-License-Identifier: Apache-2.0
/*
 * What opening a pool does with what the last daemon left: segments are matched with their records,
 * the RAM log is replayed, orphans are deleted. Work is in proportion to what was under way, not to
 * the size of the pool.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tiers/extmap.h"
#include "tiers/framestore.h"
#include "tiers/log.h"
#include "tiers/lost.h"
#include "tiers/pool_impl.h"
#include "tiers/ram_look.h"

#define GAP_ALIGN  4096u
#define SAME_STEP  (128u << 10) /* compared with frames at a time */
#define SAME_BLOCK 4096u

/* Segments ---------------------------------------------------------------------------------------
 */

static int load_segments(struct pool *pool)
{
	static const uint8_t prefix[] = {KEY_SEGMENT};
	struct meta_cursor *cursor;
	struct meta_item item;
	int rc = meta_cursor_open(pool->meta, prefix, sizeof(prefix), NULL, 0, &cursor);

	if (rc < 0)
		return rc;
	while ((rc = meta_cursor_next(cursor, &item)) == 0) {
		struct segment *segment = calloc(1, sizeof(*segment));

		if (!segment) {
			rc = -ENOMEM;
			break;
		}
		rc = item.key_len == KEY_LEN_1 && get_be64(item.key + 1)
			     ? segment_record_decode(item.value, item.len, &segment->record)
			     : -EUCLEAN;
		if (rc == 0 &&
		    (segment->record.tier == 0 || segment->record.tier >= pool->config.ntiers))
			rc = -EUCLEAN;
		if (rc == 0) {
			segment->id = get_be64(item.key + 1);
			rc = idmap_put(&pool->segments, segment->id, segment);
		}
		if (rc == 0 && segment->record.mirrored)
			rc = homes_set(pool->homes, segment->id, segment->record.homes,
				       segment->record.wanted);
		if (rc < 0) {
			free(segment);
			log_error("%s: the metadata names a segment of a tier that is not there: "
				  "put the "
				  "[tier] section back that was taken out, or the metadata is "
				  "damaged (%s)",
				  pool->config.file, strerror(-rc));
			break;
		}
	}
	meta_cursor_close(cursor);
	return rc == -ENOENT ? 0 : rc;
}

/* A directory may be missing from the configuration when nothing is in it. */
static int check_places(struct pool *pool)
{
	struct segment *segment;
	size_t at = 0;

	while ((segment = idmap_each(&pool->segments, &at))) {
		const struct segment_record *record = &segment->record;

		lost_keep(pool, record->tier, record->homes);
		if (pool->tiers[record->tier].tier->present & record->homes)
			continue;
		log_error("%s: directory %u of tier %s is missing, and data is in it and nowhere "
			  "else: mount its disk, or put its path back (`terrace evacuate` and "
			  "`terrace config remove` take one out)",
			  pool->config.file, record->place + 1,
			  pool->config.tiers[record->tier].name);
		return -ENOENT;
	}
	return 0;
}

struct leftover {
	struct tier_segment segment;
	uint64_t keep; /* bytes; 0 = the file goes */
	bool longer;   /* it is cut */
	bool gaps;     /* it takes more than what lives in it */
};

struct leftovers {
	struct pool *pool;
	uint32_t tier;
	struct leftover *items;
	size_t count, cap;
};

/*
 * A file without a record was never committed, or its record was deleted; bytes behind the record's
 * length were never committed.
 *
 * After the process died, what the metadata says now may not be durable: a power loss would bring
 * back the record of a segment that was just dropped, with frames in it that live. Such a file goes
 * with the freed space, once the metadata is durable (I2). Lengths only grow, so cutting files is
 * safe at once.
 */
static void leftover_remove(struct pool *pool, uint32_t tier, struct tier_segment segment)
{
	pthread_mutex_lock(&pool->commit_lock);
	/* Without memory for it the next open finds it again. */
	freed_push(&pool->freed, &(struct freed){.seq = meta_seq(pool->meta),
						 .segment = segment,
						 .tier = tier,
						 .places = (uint64_t)1 << segment.place,
						 .copy = true});
	pthread_mutex_unlock(&pool->commit_lock);
}

/* More than an eighth of what a file takes on disk is nobody's: space that was let go of by a
 * daemon that died before it gave it back. The queue of freed space died with it. */
static bool has_gaps(const struct segment *segment, uint64_t disk)
{
	uint64_t need = 2 * GAP_ALIGN;

	for (unsigned c = 0; c < CODEC_COUNT; c++)
		need += segment->record.codec[c].stored +
			segment->record.codec[c].frames * GAP_ALIGN;
	return disk > need && disk - need > disk / 8;
}

static void free_gap(struct pool *pool, const struct leftover *file, uint32_t tier, uint64_t off,
		     uint64_t end)
{
	if (end < off + GAP_ALIGN)
		return;
	pthread_mutex_lock(&pool->commit_lock);
	freed_push(&pool->freed, &(struct freed){.seq = meta_seq(pool->meta),
						 .segment = file->segment,
						 .tier = tier,
						 .off = off,
						 .len = end - off});
	pthread_mutex_unlock(&pool->commit_lock);
}

/* What lies between the frames of a segment goes with the freed space: the last ones to leave may
 * have done so in transactions that are not durable yet. Failing costs space, not data. */
static void free_gaps(struct pool *pool, uint32_t tier, const struct leftover *file)
{
	uint64_t end = SEGMENT_HEADER_LEN;
	uint8_t prefix[KEY_LEN_1];
	struct meta_cursor *cursor;
	struct meta_item item;
	int rc = meta_cursor_open(pool->meta, prefix, key_1(prefix, KEY_PLACED, file->segment.id),
				  NULL, 0, &cursor);

	if (rc < 0)
		return;
	while ((rc = meta_cursor_next(cursor, &item)) == 0) {
		struct frame_record record;

		if (item.key_len != KEY_LEN_2 || item.len != 8 ||
		    frame_record_get(pool, get_le64(item.value), &record) < 0)
			break;
		free_gap(pool, file, tier, end, record.off);
		end = (uint64_t)record.off + record.stored_len;
	}
	meta_cursor_close(cursor);
	if (rc == -ENOENT)
		free_gap(pool, file, tier, end, file->keep);
}

static bool leftover_add(struct leftovers *left, const struct leftover *file)
{
	if (left->count == left->cap) {
		size_t cap = left->cap ? left->cap * 2 : 16;
		void *p = realloc(left->items, cap * sizeof(*left->items));

		if (!p)
			return false;
		left->items = p;
		left->cap = cap;
	}
	left->items[left->count++] = *file;
	return true;
}

static int each_file(void *arg, struct tier_segment file, uint64_t len, uint64_t disk)
{
	struct leftovers *left = arg;
	struct segment *segment = idmap_get(&left->pool->segments, file.id);
	struct leftover item = {.segment = file};

	if (file.id >= left->pool->next_segment)
		left->pool->next_segment = file.id + 1;
	/* A file where the segment has no copy, as far as the record knows, is none. */
	if (segment && segment_in_place(left->pool->homes, segment, left->tier, file.place)) {
		item.keep = segment->record.len;
		if (len >= item.keep)
			segment->seen |= (uint64_t)1 << file.place;
		item.longer = len > item.keep;
		item.gaps = has_gaps(segment, disk) &&
			    left->pool->tiers[left->tier].tier->caps & TIER_CAP_PUNCH;
		if (!item.longer && !item.gaps)
			return 0;
	}
	return leftover_add(left, &item) ? 0 : -ENOMEM;
}

/* Failing to tidy up costs space, not data: no reason not to open. */
static void tidy_up(struct leftovers *left)
{
	struct pool *pool = left->pool;

	for (size_t i = 0; i < left->count; i++) {
		const struct leftover *file = &left->items[i];

		if (file->longer)
			tier_segment_truncate(pool->tiers[left->tier].tier, file->segment,
					      file->keep);
		if (file->gaps)
			free_gaps(pool, left->tier, file);
		if (!file->keep)
			leftover_remove(pool, left->tier, file->segment);
	}
}

/* Copies whose files have gone while the pool was closed, or are too short, count no more where
 * there is another one. Else all stay: what is not there of them, reads will tell. */
static void drop_missing(struct pool *pool)
{
	struct segment *segment;
	size_t at = 0, missing = 0;

	while ((segment = idmap_each(&pool->segments, &at))) {
		uint64_t homes = homes_get(pool->homes, segment->id, segment->record.place);
		uint64_t gone = homes & segment->seen ? homes & ~segment->seen : 0;

		for (; gone; gone &= gone - 1)
			missing += homes_drop(pool->homes, segment->id,
					      (uint32_t)__builtin_ctzll(gone));
	}
	if (missing)
		log_warning("%s: %zu copies of segments are missing; the tier engine makes them "
			    "anew, `terrace run` at once",
			    pool->config.name, missing);
}

int recover_segments(struct pool *pool)
{
	int rc = load_segments(pool);

	if (rc == 0)
		rc = check_places(pool);
	for (uint32_t t = 1; t < pool->config.ntiers && rc == 0; t++) {
		struct tier *tier = pool->tiers[t].tier;

		for (uint32_t place = 0; place < tier->nplaces && rc == 0; place++) {
			struct leftovers left = {.pool = pool, .tier = t};

			if (!tier_has_place(tier, place))
				continue;

			rc = tier_list(tier, place, each_file, &left);
			tidy_up(&left);
			free(left.items);
		}
	}
	if (rc == 0)
		drop_missing(pool);
	return rc;
}

/* The log ----------------------------------------------------------------------------------------
 */

static int replay_write(struct pool *pool, struct object *object,
			const struct ramlog_record *record)
{
	struct dirty_sink sink = object_dirty_sink(object);
	int rc = record->len ? dirty_prepare(&object->dirty) : 0;

	if (rc < 0 || !record->len) /* no write of ours is empty */
		return rc;
	space_reserve_forced(pool->space, record->len);
	object->dirty_bytes += record->len;
	pool->dirty_bytes += record->len;
	object->synced.unknown = true;
	object->synced.behind = true;
	dirty_insert(&object->dirty, record->off, record->len, record->data, record->pos, &sink);
	object->size = ram_record_size(record, object->size);
	return 0;
}

/* Was the change committed before the process died? Then only the log's ranges go; else it is done
 * now, whole. */
static int replay_cut(struct pool *pool, struct object *object, const struct ramlog_record *record)
{
	struct dirty_sink sink = object_dirty_sink(object);
	bool size = record->op == RAMLOG_SIZE;
	uint64_t len = size ? UINT64_MAX - record->off : record->len;
	bool shown = ram_record_shown(record, &object->record, pool->log_epoch);
	int rc = dirty_prepare(&object->dirty);

	if (record->pos > object->note_pos)
		object->note_pos = record->pos;
	if (rc == 0 && !shown)
		rc = object_cut(object, record->off, size ? UINT64_MAX : record->off + len, size);
	if (rc < 0)
		return rc;
	dirty_remove(&object->dirty, record->off, len, &sink);
	object->size = ram_record_size(record, object->size);
	object->note_size = object->size;
	return 0;
}

/* The object, kept in memory until the whole log has been replayed: in between, its size may be any
 * it ever had. */
static int replay_object(struct pool *pool, struct idmap *touched, uint64_t id, struct object **out)
{
	int rc;

	*out = idmap_get(touched, id);
	if (*out)
		return 0;
	rc = object_get(pool, id, out);
	if (rc < 0)
		return rc;
	rc = idmap_put(touched, id, *out);
	if (rc < 0)
		object_put(*out);
	return rc;
}

static int replay(struct pool *pool, struct idmap *touched, const struct ramlog_record *record)
{
	struct object *object;
	int rc;

	if (!ram_record_valid(record)) {
		log_error("%s: the RAM log has a change of object %llu beyond the largest file: "
			  "save the folder, then look at what wrote there",
			  pool->ram_dir, (unsigned long long)record->object);
		return -EUCLEAN;
	}
	rc = replay_object(pool, touched, record->object, &object);
	if (rc == -ENOENT) {
		if (record->op == RAMLOG_WRITE)
			ramlog_release(pool->log, record->pos, record->len);
		return 0;
	}
	if (rc < 0)
		return rc;
	/* Older than its plain file, or from a way back into frames that was not finished. */
	if (object->plain) {
		if (record->op == RAMLOG_WRITE)
			ramlog_release(pool->log, record->pos, record->len);
		return 0;
	}
	pthread_rwlock_wrlock(&object->data_lock);
	rc = record->op == RAMLOG_WRITE ? replay_write(pool, object, record)
					: replay_cut(pool, object, record);
	if (record->time_ns > object->write_time)
		object->write_time = record->time_ns;
	object_dirty_settle(object);
	pthread_rwlock_unlock(&object->data_lock);
	return rc;
}

/* What of [off, end) is the same in frames, block by block, leaves the log. */
static int drop_same(struct object *object, struct dirty_range *range, uint64_t off, uint64_t end,
		     const uint8_t *stored)
{
	struct dirty_sink sink = object_dirty_sink(object);
	const uint8_t *data = range->data + (off - range->off);
	uint64_t at = off;
	int rc = 0;

	while (at < end && rc == 0) {
		uint64_t stop = at;

		while (stop < end) {
			uint64_t next = (stop / SAME_BLOCK + 1) * SAME_BLOCK;

			next = next < end ? next : end;
			if (memcmp(data + (stop - off), stored + (stop - off), next - stop) != 0)
				break;
			stop = next;
		}
		if (stop > at) {
			rc = dirty_prepare(&object->dirty);
			if (rc == 0)
				dirty_remove(&object->dirty, at, stop - at, &sink);
		}
		at = (stop / SAME_BLOCK + 1) * SAME_BLOCK;
	}
	return rc;
}

/*
 * The log's chunks are freed whole, so some of what was taken over had been flushed before: no room
 * is reserved for it any more. On a full pool it would be in the way of what there is room for.
 */
static int drop_stored(struct object *object)
{
	uint8_t *buf = malloc(SAME_STEP);
	struct dirty_range *range;
	uint64_t off = 0;
	int rc = buf ? 0 : -ENOMEM;

	while (rc == 0 && (range = dirty_find(&object->dirty, off)) &&
	       range->off < object->record.size) {
		uint64_t end = range->off + range->len;

		off = range->off > off ? range->off : off;
		end = end < off + SAME_STEP ? end : off + SAME_STEP;
		end = end < object->record.size ? end : object->record.size;
		if (off >= end)
			break;
		/* What cannot be read is not the same. */
		if (object_read_frames(object, buf, off, end) == 0)
			rc = drop_same(object, range, off, end, buf);
		off = end;
	}
	free(buf);
	if (dirty_empty(&object->dirty) && !synced_any(object))
		object->synced.behind = false;
	return rc;
}

/* Which of the objects in the log had been renamed over others is not known any more, nor when: all
 * of them are flushed before the journal is cut, but for those that records in it hold; and without
 * them it is not cut behind anything that is not durable now. */
static int order(struct pool *pool, struct object *object)
{
	struct txn *txn = txn_begin(pool);

	if (!pool->ordered_seq)
		pool->ordered_seq = meta_durable_seq(pool->meta) + 1;
	object_order_before_sync(txn, object);
	return txn_commit(txn);
}

static int settle_object(struct object *object, bool short_of_room)
{
	int rc;

	if (object->plain)
		return 0;
	pthread_rwlock_wrlock(&object->data_lock);
	rc = short_of_room ? drop_stored(object) : 0;
	if (rc == 0)
		rc = object_size_settle(object);
	if (rc == 0)
		rc = synced_recall(object);
	if (rc == 0)
		rc = order(object->pool, object);
	object_dirty_settle(object);
	pthread_rwlock_unlock(&object->data_lock);
	return rc;
}

int recover_log(struct pool *pool)
{
	struct ramlog_record record;
	struct idmap touched;
	struct object *object;
	uint64_t at = 0, next, records = 0;
	size_t slot = 0;
	bool short_of_room;
	int rc = 0;

	idmap_init(&touched);
	while (rc == 0 && ramlog_walk(pool->log, at, &record, &next) == 0) {
		rc = replay(pool, &touched, &record);
		records++;
		at = next;
	}
	short_of_room = records && space_overdrawn(pool->space);
	while ((object = idmap_each(&touched, &slot))) {
		if (rc == 0)
			rc = settle_object(object, short_of_room);
		object_put(object);
	}
	idmap_release(&touched);
	if (records)
		log_info("%s: the last daemon ended without unmounting: %llu writes (%llu bytes) "
			 "taken over from the RAM tier",
			 pool->config.name, (unsigned long long)records,
			 (unsigned long long)pool->dirty_bytes);
	return rc;
}

/* Orphans ----------------------------------------------------------------------------------------
 */

static int delete_orphan(struct pool *pool, uint64_t id)
{
	struct object *object;
	struct txn *txn;
	int rc = object_get(pool, id, &object);

	if (rc == 0) {
		txn = txn_begin(pool);
		object_delete(txn, object);
		rc = txn_commit(txn);
		object_put(object);
		return rc;
	}
	if (rc != -ENOENT)
		return rc;
	pthread_mutex_lock(&pool->commit_lock);
	rc = pool_reap_add(pool, id);
	pthread_mutex_unlock(&pool->commit_lock);
	return rc;
}

int recover_orphans(struct pool *pool)
{
	static const uint8_t prefix[] = {KEY_ORPHAN};
	struct meta_cursor *cursor;
	struct meta_item item;
	int rc = meta_cursor_open(pool->meta, prefix, sizeof(prefix), NULL, 0, &cursor);

	if (rc < 0)
		return rc;
	while ((rc = meta_cursor_next(cursor, &item)) == 0) {
		if (item.key_len != KEY_LEN_1) /* no program makes it; terrace check drops it */
			continue;
		rc = delete_orphan(pool, get_be64(item.key + 1));
		if (rc < 0)
			break;
	}
	meta_cursor_close(cursor);
	return rc == -ENOENT ? 0 : rc;
}
