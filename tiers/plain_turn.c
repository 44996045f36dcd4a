// SPDX-License-Identifier: Apache-2.0
/*
 * Turns: from frames into a plain file and back, and what opening a pool does with turns that were
 * cut short (plain.h, invariant 2). A way back goes through the RAM log as any write does, so it
 * waits for room as any write does, and the frames say whose they are.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tiers/clock.h"
#include "tiers/extmap.h"
#include "tiers/flush.h"
#include "tiers/io.h"
#include "tiers/log.h"
#include "tiers/plain.h"
#include "tiers/plain_files.h"
#include "tiers/plain_places.h"
#include "tiers/pool_impl.h"
#include "tiers/resident.h"

#define COPY_BYTES (1u << 20)

static bool cancelled(const _Atomic bool *cancel)
{
	return cancel && atomic_load(cancel);
}

/* Into a plain file ------------------------------------------------------------------------------
 */

struct turn { /* what the object was when it began */
	struct object *object;
	const _Atomic bool *cancel;
	struct plain_home home;
	int fd;
	uint64_t size;
	int64_t write_time;
	uint64_t note_pos;
	uint8_t *buf;
};

static int copy_run(struct turn *turn, uint64_t off, uint64_t end)
{
	struct pool *pool = turn->object->pool;
	int rc = 0;

	while (rc == 0 && off < end) {
		size_t n = end - off < COPY_BYTES ? (size_t)(end - off) : COPY_BYTES, got = 0;

		rc = cancelled(turn->cancel) ? -ECANCELED : space_reserve(pool->space, n);
		if (rc < 0)
			break;
		rc = object_read(turn->object, turn->buf, n, off, &got);
		if (rc == 0 && got < n)
			rc = -EBUSY; /* it has become shorter */
		if (rc == 0)
			rc = io_pwrite_all(turn->fd, turn->buf, n, off);
		space_unreserve(pool->space, n);
		if (rc == 0)
			space_taken(pool->space, n);
		off += n;
	}
	return rc == -EDQUOT ? -ENOSPC : rc;
}

/* Holes stay holes. */
static int copy_out(struct turn *turn)
{
	uint64_t off, end = 0;
	int rc = 0;

	while (rc == 0 && (rc = object_seek(turn->object, end, SEEK_DATA, &off)) == 0) {
		rc = object_seek(turn->object, off, SEEK_HOLE, &end);
		if (rc == 0)
			rc = copy_run(turn, off, end);
	}
	rc = rc == -ENXIO ? 0 : rc;
	return rc == 0 ? io_truncate(turn->fd, turn->size) : rc;
}

/* An empty new object has nothing that could be lost: it is made durable when it is synced. */
static int make_file(struct turn *turn)
{
	struct object *object = turn->object;
	struct pool *pool = object->pool;
	struct timespec times[2] = {{.tv_nsec = UTIME_NOW}};
	int rc = plain_file_create(pool, object->id, turn->size, &turn->home, &turn->fd);

	if (rc < 0)
		return rc;
	if (turn->size)
		rc = copy_out(turn);
	/* Copying is no write: the layer above knows all writes up to then, and counts on later
	 * ones being later. What fails costs a time stamp. */
	times[1].tv_sec = turn->write_time / 1000000000;
	times[1].tv_nsec = turn->write_time % 1000000000;
	(void)futimens(turn->fd, times);
	return rc == 0 && turn->size ? plain_file_complete(turn->fd) : rc;
}

static void drop_file(struct turn *turn)
{
	struct plain_home home = turn->home;

	if (turn->fd >= 0)
		io_close(turn->fd);
	turn->fd = -1;
	if (home.set)
		plain_file_remove(turn->object->pool, turn->object->id, &home, false);
	turn->home.set = false;
}

static int commit_plain(struct turn *turn)
{
	struct object *object = turn->object;
	struct txn *txn = txn_begin(object->pool);
	struct object_record *record = txn_object(txn, object, false, true);
	int rc;

	txn->counts.features |= POOL_FEATURE_PLAIN;
	plain_places_note(object->pool, txn, &turn->home);
	if (record) {
		record->plain = turn->home;
		record->size = turn->size;
		object_show_notes(object, record);
	}
	rc = txn_commit(txn);
	if (rc == 0)
		plain_places_noted(object->pool, &turn->home);
	return rc;
}

/* Data lock held. Frames that are left are cut at the next open, if not here. */
static void frames_cut(struct object *object)
{
	int rc = object_cut(object, 0, UINT64_MAX, false);

	if (rc < 0)
		log_warning("object %llu: its frames stay until the next mount: %s",
			    (unsigned long long)object->id, strerror(-rc));
}

static bool same_as_then(const struct turn *turn)
{
	const struct object *object = turn->object;

	return !object->dirty_bytes && object->size == turn->size &&
	       object->write_time == turn->write_time && object->note_pos == turn->note_pos;
}

static int switch_to_plain(struct turn *turn)
{
	struct object *object = turn->object;
	struct stat st;
	int rc;

	object_lock_still(object);
	if (object->deleted)
		rc = -ENOENT;
	else if (!same_as_then(turn))
		rc = -EBUSY;
	else
		rc = synced_drop(object);
	if (rc == 0)
		rc = commit_plain(turn);
	if (rc == 0) {
		object->plain_used = 0;
		object->plain_error = 0;
		object->plain_fd = turn->fd;
		if (io_stat(turn->fd, &st) == 0)
			plain_count(object, &st);
		turn->fd = -1;
		if (turn->size)
			frames_cut(object);
		object_fetch_drop(object);
	}
	pthread_rwlock_unlock(&object->data_lock);
	return rc;
}

/* What is in the log is flushed first, so that there is one place to copy from. */
static int begin(struct turn *turn)
{
	struct object *object = turn->object;
	int rc = object->dirty_bytes ? flush_objects_for(object->pool, &object, 1) : 0;

	turn->size = object->size;
	turn->write_time = object->write_time;
	turn->note_pos = object->note_pos;
	return rc;
}

static int turn_in_tier(struct turn *turn, uint32_t tier)
{
	struct pool *pool = turn->object->pool;
	struct tier *medium = pool->tiers[tier].tier;
	/* Holes need no room, so this may be too much to ask for; who has many says so here. */
	uint64_t need = turn->object->record.stored ? turn->size : 0;
	int rc;

	turn->home = (struct plain_home){.tier = (uint8_t)tier};
	turn->fd = -1;
	rc = plain_place(medium, need, &turn->home.place);
	if (rc == 0)
		rc = make_file(turn);
	/* The name is in the folder before the record speaks of it; that it is durable before the
	 * record is, pool_cut() sees to. */
	if (rc == 0)
		rc = switch_to_plain(turn);
	if (rc < 0)
		drop_file(turn);
	return rc;
}

int object_make_plain(struct object *object, uint32_t tier, const _Atomic bool *cancel)
{
	struct turn turn = {.object = object, .cancel = cancel, .fd = -1};
	struct pool *pool = object->pool;
	int rc;

	if (object->plain)
		return 0;
	turn.buf = malloc(COPY_BYTES);
	if (!turn.buf)
		return -ENOMEM;
	rc = begin(&turn);
	if (rc == 0)
		rc = -ENOSPC;
	for (; (rc == -ENOSPC || rc == -ENODEV) && tier < pool->config.ntiers; tier++)
		rc = turn_in_tier(&turn, tier);
	rc = rc == -ENODEV ? -ENOSPC : rc;
	free(turn.buf);
	if (rc == 0)
		resident_changed(pool, object->id);
	if (rc == 0 && turn.size) {
		int cut = pool_cut(pool); /* so that the frames can go */

		if (cut == 0)
			pool_reclaim(pool);
	}
	return rc;
}

int pool_plain_room(struct pool *pool, uint32_t tier, uint64_t bytes)
{
	uint16_t place;

	return plain_place(pool->tiers[tier].tier, bytes, &place);
}

/* Back into frames -------------------------------------------------------------------------------
 */

/* The log may hold writes of an earlier life: what comes next replaces them all, for who replays it
 * too, and so does the size, which may be less than theirs. */
static int note_all(struct object *object, uint64_t size)
{
	const uint64_t sizes[] = {0, size};
	int rc = 0;

	for (unsigned i = 0; i < 2 && rc == 0; i++) {
		struct ramlog_record note;

		rc = object_log_note(object, RAMLOG_SIZE, sizes[i], 0, &note);
		if (rc == 0)
			pthread_rwlock_unlock(&object->data_lock);
	}
	return rc;
}

static int copy_in(struct turn *turn)
{
	uint64_t off, end = 0;
	int rc = 0;

	while (rc == 0 && (rc = plain_seek(turn->object, end, SEEK_DATA, &off)) == 0) {
		rc = plain_seek(turn->object, off, SEEK_HOLE, &end);
		while (rc == 0 && off < end) {
			size_t n = end - off < COPY_BYTES ? (size_t)(end - off) : COPY_BYTES, got;

			rc = cancelled(turn->cancel)
				     ? -ECANCELED
				     : plain_read(turn->object, turn->buf, n, off, &got);
			if (rc == 0 && got)
				rc = object_log_write(turn->object, turn->buf, got, off,
						      turn->write_time);
			if (rc == 0 && got < n)
				rc = -EBUSY;
			off += n;
		}
	}
	return rc == -ENXIO ? 0 : rc;
}

/* What has been written so far goes; the file is as it was. */
static void undo_frames(struct turn *turn)
{
	struct object *object = turn->object;
	struct dirty_sink sink = object_dirty_sink(object);

	object_hold(object);
	object_lock_still(object);
	if (dirty_prepare(&object->dirty) == 0) {
		dirty_remove(&object->dirty, 0, UINT64_MAX, &sink);
		object_dirty_settle(object);
	}
	if (!object->deleted) {
		frames_cut(object);
		synced_drop(object);
	}
	pthread_rwlock_unlock(&object->data_lock);
	object_put(object);
}

static int switch_to_frames(struct turn *turn)
{
	struct object *object = turn->object;
	struct object_record *record;
	struct txn *txn;
	struct stat st;
	int rc = 0;

	object_lock_still(object);
	if (object->deleted)
		rc = -ENOENT;
	else if (object->dirty_bytes || io_stat(turn->fd, &st) ||
		 (uint64_t)st.st_size != turn->size)
		rc = -EBUSY;
	if (rc == 0) {
		plain_count(object, &st);
		object->write_time = turn->write_time;
		txn = txn_begin(object->pool);
		record = txn_object(txn, object, false, true);
		if (record) {
			record->plain = (struct plain_home){.set = false};
			record->size = turn->size;
			object_show_notes(object, record);
		}
		rc = txn_commit(txn);
	}
	if (rc == 0) {
		object->size = object->note_size = turn->size;
		plain_close(object);
	}
	pthread_rwlock_unlock(&object->data_lock);
	return rc;
}

int object_make_frames(struct object *object, const _Atomic bool *cancel)
{
	struct turn turn = {.object = object, .cancel = cancel, .fd = -1};
	struct pool *pool = object->pool;
	struct object_look look;
	int rc;

	if (!object->plain)
		return 0;
	turn.buf = malloc(COPY_BYTES);
	rc = turn.buf ? object_plain_fd(object, &turn.fd) : -ENOMEM;
	if (rc == 0) {
		plain_look(object, &look);
		turn.size = look.size;
		turn.write_time = look.write_time;
		object->size = turn.size;
		rc = note_all(object, turn.size);
	}
	if (rc == 0) {
		rc = copy_in(&turn);
		if (rc == 0)
			rc = flush_objects_for(pool, &object, 1);
		if (rc == 0)
			rc = switch_to_frames(&turn);
		if (rc < 0)
			undo_frames(&turn);
	}
	free(turn.buf);
	if (rc == 0 && pool_cut(pool) == 0)
		pool_reclaim(pool);
	return rc;
}

/* Opening ----------------------------------------------------------------------------------------
 */

struct finding {
	struct pool *pool;
	uint32_t tier, place;
};

static bool has_extents(struct object *object)
{
	struct extent_list list = {0};
	bool any = extmap_list(object, 0, UINT64_MAX, 1, &list) == 0 && list.count;

	extent_list_release(&list);
	return any;
}

/* What the metadata says may not be durable yet: the file goes with the freed space (I2). */
static void leftover(struct pool *pool, uint64_t id, const struct plain_home *home)
{
	pthread_mutex_lock(&pool->commit_lock);
	freed_push(&pool->freed, &(struct freed){.seq = meta_seq(pool->meta),
						 .segment = {.id = id, .place = home->place},
						 .tier = home->tier,
						 .plain = *home});
	pthread_mutex_unlock(&pool->commit_lock);
}

static int each_found(void *arg, uint64_t id, uint32_t generation, const struct stat *st)
{
	struct finding *finding = arg;
	struct pool *pool = finding->pool;
	struct plain_home home = {.set = true,
				  .tier = (uint8_t)finding->tier,
				  .place = (uint16_t)finding->place,
				  .generation = generation};
	struct object *object;
	int rc = object_get(pool, id, &object);

	tier_plain_add(pool->tiers[finding->tier].tier, finding->place,
		       (int64_t)st->st_blocks * 512, 1);
	if (rc < 0 && rc != -ENOENT)
		return rc;
	if (rc < 0 || !object->plain || object->record.plain.tier != home.tier ||
	    object->record.plain.place != home.place ||
	    object->record.plain.generation != home.generation) {
		leftover(pool, id, &home);
	} else if (has_extents(object)) {
		pthread_rwlock_wrlock(&object->data_lock);
		frames_cut(object);
		pthread_rwlock_unlock(&object->data_lock);
	}
	if (rc == 0)
		object_put(object);
	return 0;
}

int recover_plain(struct pool *pool)
{
	int rc = plain_places_check(pool);

	for (uint32_t t = 1; t < pool->config.ntiers && rc == 0; t++) {
		struct tier *tier = pool->tiers[t].tier;

		for (uint32_t place = 0; place < tier->nplaces && rc == 0; place++) {
			struct finding finding = {.pool = pool, .tier = t, .place = place};

			if (!tier_has_place(tier, place))
				continue;
			rc = plain_files_each(tier_place_path(tier, place), each_found, &finding);
			/* A daemon that died may not have got to it. */
			if (tier->plain_files[place])
				atomic_fetch_or(&tier->plain_names, 1ull << place);
		}
	}
	if (rc == 0)
		(void)plain_places_tidy(pool); /* the next turn or mount does it otherwise */
	return rc;
}

/* All of them --------------------------------------------------------------------------------- */

struct telling {
	struct pool *pool;
	bool leaving;
	int (*each)(void *arg, const struct plain_seen *seen);
	void *arg;
	uint64_t used; /* of a place: what should be counted there */
};

/* Of a file that is open, what was last seen; of one that is being filled, nothing. */
static uint64_t used_by(struct pool *pool, uint64_t id, const struct stat *st)
{
	uint64_t used = plain_file_is_complete(st) ? (uint64_t)st->st_blocks * 512 : 0;
	const struct object *object;

	pthread_mutex_lock(&pool->objects_lock);
	object = idmap_get(&pool->objects, id);
	if (object && object->plain && object->plain_fd >= 0)
		used = object->plain_used;
	pthread_mutex_unlock(&pool->objects_lock);
	return used;
}

static int64_t ns_of(struct timespec ts)
{
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static int tell(void *arg, uint64_t id, uint32_t generation, const struct stat *st)
{
	struct telling *telling = arg;
	int64_t read_ns = ns_of(st->st_atim), write_ns = ns_of(st->st_mtim);
	struct plain_seen seen = {.object = id,
				  .used_ns = read_ns > write_ns ? read_ns : write_ns,
				  .leaving = telling->leaving};

	(void)generation;
	telling->used += used_by(telling->pool, id, st);
	return telling->each(telling->arg, &seen);
}

int pool_plain_each(struct pool *pool, int (*each)(void *arg, const struct plain_seen *seen),
		    void *arg)
{
	int rc = 0;

	for (uint32_t t = 1; t < pool->config.ntiers; t++) {
		struct tier *tier = pool->tiers[t].tier;

		for (uint32_t place = 0; place < tier->nplaces && rc == 0; place++) {
			struct telling telling = {pool, tier_place_closed(tier, place), each, arg,
						  0};
			uint64_t before = tier->plain_used[place];

			if (tier_has_place(tier, place) && tier->plain_files[place])
				rc = plain_files_each(tier_place_path(tier, place), tell, &telling);
			/* If nobody has counted meanwhile. */
			if (rc == 0)
				atomic_compare_exchange_strong(&tier->plain_used[place], &before,
							       telling.used);
		}
	}
	return rc;
}
