// SPDX-License-Identifier: Apache-2.0
/*
 * Invariants:
 *  1. A place is added to a segment (homes.h, then its record) only when its copy is synced and has
 *     been read back.
 *  2. A copy is made only of a segment that takes no more frames, where all that it has are in
 *     records; and only where no older file of it is about to be removed: what has left is recorded
 *     durably, and its files removed, before copying begins.
 *  3. A copy that counts has every frame of its segment.
 */
#include "tiers/replicate.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tiers/clock.h"
#include "tiers/copies_impl.h"
#include "tiers/engine/engine_impl.h"
#include "tiers/engine/slow.h"
#include "tiers/framestore.h"
#include "tiers/lost.h"

#define BAD_MAX	    65536u
#define RUN_FRAMES  256u
#define RUN_BYTES   (2u << 20)
#define STILL_LOOKS 200u
#define STILL_NS    (5 * 1000 * 1000)

/* A pass --------------------------------------------------------------------------------------- */

struct pass {
	struct pool *pool;
	struct move_progress *progress;
	bool asked;
	struct pace pace;
	struct tunables tunables;
	uint64_t *ids; /* of all segments */
	size_t nids;
	uint8_t *buf; /* RUN_BYTES */
	uint64_t frames[RUN_FRAMES];
	struct frame_record records[RUN_FRAMES];
	size_t n;
	int error;    /* the first */
	bool damaged; /* no place has some frame of the segment */
};

static bool cancelled(const struct pass *pass)
{
	return pass->pool->stopping || (pass->progress && pass->progress->cancel);
}

static void failed(struct pass *pass, int rc)
{
	if (rc < 0 && !pass->error)
		pass->error = rc;
}

static int list_ids(struct pass *pass)
{
	struct pool *pool = pass->pool;
	struct segment *segment;
	size_t at = 0;

	pass->nids = 0;
	free(pass->ids);
	pthread_mutex_lock(&pool->commit_lock);
	pass->ids = malloc((pool->segments.count + 1) * sizeof(*pass->ids));
	while (pass->ids && (segment = idmap_each(&pool->segments, &at)))
		if (!segment->removing)
			pass->ids[pass->nids++] = segment->id;
	pthread_mutex_unlock(&pool->commit_lock);
	return pass->ids ? 0 : -ENOMEM;
}

bool segment_look_up(struct pool *pool, uint64_t id, struct segment *out)
{
	struct segment *segment;
	bool found;

	pthread_mutex_lock(&pool->commit_lock);
	segment = idmap_get(&pool->segments, id);
	found = segment && !segment->removing;
	if (found)
		*out = *segment;
	pthread_mutex_unlock(&pool->commit_lock);
	return found;
}

/* Records that follow -------------------------------------------------------------------------- */

/* Where copies are now goes into the records. */
static int record_homes(struct pass *pass)
{
	struct pool *pool = pass->pool;
	bool any = false;
	struct txn *txn = txn_begin(pool);
	int rc;

	for (size_t i = 0; !txn->error && i < pass->nids; i++) {
		struct segment *segment = idmap_get(&pool->segments, pass->ids[i]);

		if (!segment || segment->removing ||
		    homes_get(pool->homes, segment->id, segment->record.place) ==
			    segment->record.homes)
			continue;
		txn_segment_homes(txn, segment);
		any = true;
	}
	if (any)
		return txn_commit(txn);
	rc = txn->error;
	txn_abort(txn);
	return rc;
}

/* ... durably, and files that do not count go: invariant 2. */
static int settle(struct pool *pool)
{
	int rc = pool_cut(pool);

	if (rc == 0)
		pool_reclaim(pool);
	return rc;
}

/* Copying -------------------------------------------------------------------------------------- */

/* Frames from *off on, as many as one read takes; *off: where to go on, 0 at the end. */
static int gather(struct pass *pass, uint64_t segment, uint64_t *off)
{
	uint8_t prefix[KEY_LEN_1], start[KEY_LEN_2];
	struct meta_cursor *cursor;
	struct meta_item item;
	int rc = meta_cursor_open(pass->pool->meta, prefix, key_1(prefix, KEY_PLACED, segment),
				  start, key_2(start, KEY_PLACED, segment, *off), &cursor);

	pass->n = 0;
	*off = 0;
	if (rc < 0)
		return rc;
	while ((rc = meta_cursor_next(cursor, &item)) == 0) {
		struct frame_record record;
		uint64_t frame = item.len == 8 ? get_le64(item.value) : 0;

		if (frame_record_get(pass->pool, frame, &record) < 0 || record.segment != segment)
			continue; /* freed meanwhile */
		if (pass->n == RUN_FRAMES ||
		    (pass->n && (uint64_t)record.off + record.stored_len >
					pass->records[0].off + (uint64_t)RUN_BYTES)) {
			*off = record.off;
			break;
		}
		pass->frames[pass->n] = frame;
		pass->records[pass->n++] = record;
	}
	meta_cursor_close(cursor);
	return rc == -ENOENT ? 0 : rc;
}

struct sound { /* a frame's stored bytes, verified */
	struct pool *pool;
	uint64_t frame;
	const struct frame_record *record;
	uint8_t *buf;
};

static int sound_attempt(void *arg, struct tier_segment seg)
{
	const struct sound *sound = arg;
	struct frame_flaw flaw;
	int rc = tier_read(sound->pool->tiers[sound->record->tier].tier, seg, sound->buf,
			   sound->record->stored_len, sound->record->off, TIER_BULK);

	return rc < 0 ? rc : frame_stored_check(sound->frame, sound->record, sound->buf, &flaw);
}

/* One frame from whichever place has it to the new one. What was freed meanwhile stays a hole. */
static int copy_frame(struct pass *pass, size_t i, struct tier_segment to)
{
	const struct frame_record *record = &pass->records[i];
	struct sound sound = {pass->pool, pass->frames[i], record, pass->buf};
	int rc = copies_try(pass->pool, pass->frames[i], record, sound_attempt, &sound);

	if (damage_is(rc)) {
		struct frame_record now;

		if (frame_record_get(pass->pool, pass->frames[i], &now) < 0 ||
		    now.segment != record->segment || now.off != record->off)
			return 0;
		damage_note(pass->pool, pass->frames[i], record, 0, record->raw_len, rc, 0);
		pass->damaged = true;
	}
	if (rc == 0)
		rc = tier_write(pass->pool->tiers[record->tier].tier, to, pass->buf,
				record->stored_len, record->off, TIER_BULK);
	return rc;
}

static bool run_is_sound(struct pass *pass, struct tier_segment from, uint64_t len)
{
	const struct frame_record *first = &pass->records[0];
	struct frame_flaw flaw;

	if (len > RUN_BYTES || tier_read(pass->pool->tiers[first->tier].tier, from, pass->buf, len,
					 first->off, TIER_BULK) < 0)
		return false;
	for (size_t i = 0; i < pass->n; i++)
		if (frame_stored_check(pass->frames[i], &pass->records[i],
				       pass->buf + (pass->records[i].off - first->off), &flaw) < 0)
			return false;
	return true;
}

static uint64_t run_length(const struct pass *pass)
{
	const struct frame_record *last = &pass->records[pass->n - 1];

	return (uint64_t)last->off + last->stored_len - pass->records[0].off;
}

/* A run from one place at once; if that has it not whole, frame by frame. */
static int copy_run(struct pass *pass, struct tier_segment from, struct tier_segment to)
{
	struct tier *tier = pass->pool->tiers[pass->records[0].tier].tier;
	uint64_t len = run_length(pass);
	int rc = 0;

	if (run_is_sound(pass, from, len))
		return tier_write(tier, to, pass->buf, len, pass->records[0].off, TIER_BULK);
	for (size_t i = 0; rc == 0 && i < pass->n; i++)
		rc = copy_frame(pass, i, to);
	return rc;
}

/* Read back. What is a hole there, as it was freed, does not count. */
static int verify_run(struct pass *pass, struct tier_segment from, struct tier_segment to)
{
	struct pool *pool = pass->pool;
	int rc = 0;

	(void)from;
	if (run_is_sound(pass, to, run_length(pass)))
		return 0;
	for (size_t i = 0; rc == 0 && i < pass->n; i++) {
		struct sound sound = {pool, pass->frames[i], &pass->records[i], pass->buf};
		struct frame_record now;

		rc = sound_attempt(&sound, to);
		if (damage_is(rc) && frame_record_get(pool, pass->frames[i], &now) == -ENOENT)
			rc = 0;
	}
	return rc;
}

/* Every run of the segment. */
static int
each_run(struct pass *pass, struct tier_segment from, struct tier_segment to, bool copies,
	 int (*each)(struct pass *pass, struct tier_segment from, struct tier_segment to))
{
	uint64_t off = 1;
	int rc = 0;

	while (rc == 0 && off) {
		uint64_t began = clock_mono_ns(), bytes;

		rc = cancelled(pass) ? -ECANCELED : gather(pass, from.id, &off);
		if (rc < 0 || !pass->n)
			break;
		bytes = run_length(pass);
		rc = each(pass, from, to);
		if (copies && pass->progress)
			pass->progress->bytes_done += bytes;
		if (copies)
			pass->pool->copies->copied += bytes;
		if (!pass->asked)
			slow_down(pass->pool, &pass->pace, pass->tunables.move_bandwidth, bytes,
				  clock_mono_ns() - began, pass->progress);
	}
	return rc;
}

static int begin_copy(struct pass *pass, const struct segment *segment, struct tier_segment to)
{
	struct tier *tier = pass->pool->tiers[segment->record.tier].tier;
	struct segment_header header = {.tier_id = segment->record.tier,
					.id = to.id,
					.created_ns = (uint64_t)clock_wall_ns()};
	int rc = tier_segment_remove(tier, to); /* what an earlier copy left */

	if (rc == 0 || rc == -ENOENT)
		rc = tier_segment_create(tier, to);
	if (rc < 0)
		return rc;
	memcpy(header.pool_uuid, pass->pool->config.uuid, sizeof(header.pool_uuid));
	segment_header_encode(&header, pass->buf);
	return tier_write(tier, to, pass->buf, SEGMENT_HEADER_LEN, 0, TIER_BULK);
}

/* It counts from now on, if the segment is still there. */
static int count_copy(struct pool *pool, struct tier_segment to)
{
	struct txn *txn = txn_begin(pool);
	struct segment *segment = idmap_get(&pool->segments, to.id);
	int rc = segment && !segment->removing ? 0 : -ESTALE;

	if (rc == 0)
		rc = homes_add(pool->homes, to.id, segment->record.place, to.place);
	if (rc < 0) {
		txn_abort(txn);
		return rc;
	}
	txn_segment_homes(txn, segment);
	rc = txn_commit(txn);
	if (rc < 0)
		homes_drop(pool->homes, to.id, to.place);
	return rc;
}

static int copy_segment(struct pass *pass, const struct segment *segment, struct tier_segment from,
			struct tier_segment to)
{
	struct tier *tier = pass->pool->tiers[segment->record.tier].tier;
	int rc = begin_copy(pass, segment, to);

	if (rc == 0)
		rc = each_run(pass, from, to, true, copy_run);
	if (rc == 0) /* as long as the others, also where the last frames have gone */
		rc = tier_segment_truncate(tier, to, segment->record.len);
	if (rc == 0)
		rc = tier_sync(tier, to);
	if (rc == 0)
		rc = each_run(pass, from, to, false, verify_run);
	if (rc == 0)
		rc = count_copy(pass->pool, to);
	if (rc < 0)
		(void)tier_segment_remove(tier, to);
	return rc == -ESTALE ? 0 : rc;
}

/* Which of these places takes the next copy: one with room, on a medium that has none if there is
 * one. -1: none. */
static int choose_among(struct tier *tier, uint64_t places, uint64_t homes, uint64_t need)
{
	struct tier_space space, other;
	uint64_t best_free = 0;
	bool best_apart = false;
	int best = -1;

	for (places &= ~homes; places; places &= places - 1) {
		uint32_t i = (uint32_t)__builtin_ctzll(places);
		bool apart = true;

		if (tier_space(tier, i, &space) < 0 || space.free < need)
			continue;
		for (uint64_t left = homes; left; left &= left - 1)
			if (tier_space(tier, (uint32_t)__builtin_ctzll(left), &other) == 0)
				apart &= other.device != space.device;
		if (best >= 0 &&
		    (best_apart > apart || (best_apart == apart && best_free >= space.free)))
			continue;
		best = (int)i;
		best_free = space.free;
		best_apart = apart;
	}
	return best;
}

/* Where the next copy of a segment goes; -1: nowhere. A spare place takes what the others cannot,
 * and only from room that nobody was promised: others write to its medium too. */
static int choose_target(struct pool *pool, const struct segment *segment, uint64_t homes)
{
	struct tier *tier = pool->tiers[segment->record.tier].tier;
	uint64_t stored = segment_stored(segment), need = stored + (1u << 20);
	int to = choose_among(tier, tier_places_open(tier), homes, need);

	if (to < 0 && space_has_spare(pool->space, stored))
		to = choose_among(tier, tier->present & ~tier->closed & tier->spare, homes, need);
	return to;
}

/* A segment that takes no more frames, and all of whose frames are in records. What is on its way
 * there gets some time. */
static bool is_still(struct pass *pass, const struct segment *segment)
{
	struct pool *pool = pass->pool;
	uint64_t mark;

	if (appender_holds(pool->tiers[segment->record.tier].appender, segment->id))
		return false;
	mark = frame_builds_mark(pool);
	for (unsigned i = 0; i < STILL_LOOKS && !cancelled(pass); i++) {
		if (!frame_builds_segment(pool, segment->record.tier, segment->id, mark))
			return true;
		nanosleep(&(struct timespec){.tv_nsec = STILL_NS}, NULL);
	}
	return false;
}

/* A segment with a frame that no place has is not copied: the copy would have a hole, and would
 * count like the others. Its frames are written anew one by one, as far as they can be had; those
 * that could not be are tried again when somebody asks. */
static int leave_damaged(struct pass *pass, uint64_t segment)
{
	uint64_t off = 1;
	int rc = 0;

	while (rc == 0 && off) {
		rc = cancelled(pass) ? -ECANCELED : gather(pass, segment, &off);
		for (size_t i = 0; rc == 0 && i < pass->n; i++)
			if (pass->asked || !damage_has(pass->pool, pass->frames[i]))
				copies_mend(pass->pool, pass->frames[i]);
	}
	return rc;
}

static bool has_damaged(struct pass *pass, uint64_t segment)
{
	uint64_t off = 1;
	bool found = false;

	while (!found && off && gather(pass, segment, &off) == 0)
		for (size_t i = 0; i < pass->n; i++)
			found |= damage_has(pass->pool, pass->frames[i]);
	return found;
}

/* Where a copy may be read; none: all of its directories are away. */
static uint64_t places_there(struct pool *pool, const struct segment *segment)
{
	return homes_get(pool->homes, segment->id, segment->record.place) &
	       ~lost_places(pool, segment->record.tier);
}

/* Invariant 2, as it is now: a copy may have been lost since the pass began. Then it is the next
 * pass's to make it anew, or the file would be removed in the name of the old one. */
static bool place_is_clear(struct pool *pool, struct tier_segment to)
{
	const struct freed_queue *queue = &pool->freed;
	const struct segment *segment;
	bool clear;

	pthread_mutex_lock(&pool->reclaim_lock); /* nobody has one in hand */
	pthread_mutex_lock(&pool->commit_lock);
	segment = idmap_get(&pool->segments, to.id);
	clear = segment && !(segment->record.homes >> to.place & 1);
	for (size_t i = queue->head; clear && i < queue->count; i++)
		clear = !queue->items[i].copy || queue->items[i].segment.id != to.id ||
			!(queue->items[i].places >> to.place & 1);
	pthread_mutex_unlock(&pool->commit_lock);
	pthread_mutex_unlock(&pool->reclaim_lock);
	return clear;
}

static int replicate_one(struct pass *pass, uint64_t id)
{
	struct pool *pool = pass->pool;
	struct segment segment;
	uint64_t homes, there;
	unsigned want;
	int to, rc = 0;

	while (rc == 0 && segment_look_up(pool, id, &segment)) {
		homes = homes_get(pool->homes, id, segment.record.place);
		want = copies_wanted(pool, &pass->tunables, id, segment.record.tier);
		there = places_there(pool, &segment);
		if ((unsigned)__builtin_popcountll(homes) >= want || !segment_stored(&segment) ||
		    !there || !is_still(pass, &segment))
			break;
		to = choose_target(pool, &segment, homes);
		if (to < 0 ||
		    (want > pass->tunables.tiers[segment.record.tier].replicas &&
		     !space_has_spare(pool->space, segment_stored(&segment))) ||
		    !place_is_clear(pool, (struct tier_segment){.id = id, .place = (uint32_t)to}))
			break;
		pass->damaged = has_damaged(pass, id);
		if (!pass->damaged)
			rc = copy_segment(
				pass, &segment,
				(struct tier_segment){.id = id,
						      .place = (uint32_t)__builtin_ctzll(there)},
				(struct tier_segment){.id = id, .place = (uint32_t)to});
		if (pass->damaged)
			return leave_damaged(pass, id);
	}
	return rc;
}

/* Is there one to be copied? Then those that are open are closed, and the bytes are counted. */
static bool prepare(struct pass *pass)
{
	struct pool *pool = pass->pool;
	struct segment segment;
	bool any = false, roll[CONFIG_TIERS_MAX] = {false};

	for (size_t i = 0; i < pass->nids; i++) {
		unsigned have, want;

		if (!segment_look_up(pool, pass->ids[i], &segment) || !segment_stored(&segment))
			continue;
		have = (unsigned)__builtin_popcountll(
			homes_get(pool->homes, segment.id, segment.record.place));
		want = copies_wanted(pool, &pass->tunables, segment.id, segment.record.tier);
		if (have >= want || !places_there(pool, &segment) ||
		    choose_target(pool, &segment,
				  homes_get(pool->homes, segment.id, segment.record.place)) < 0)
			continue;
		any = roll[segment.record.tier] = true;
		if (pass->progress)
			pass->progress->bytes_total += segment_stored(&segment) * (want - have);
	}
	for (uint32_t t = 1; t < pool->config.ntiers; t++)
		if (roll[t])
			appender_roll(pool->tiers[t].appender);
	return any;
}

/* Frames with a bad copy ----------------------------------------------------------------------- */

static size_t take_bad(struct copies *copies, uint64_t *frames, size_t cap)
{
	size_t n = 0;

	pthread_mutex_lock(&copies->lock);
	for (size_t i = 0; i < copies->bad.cap && n < cap; i++)
		if (copies->bad.slots[i].id)
			frames[n++] = copies->bad.slots[i].id;
	for (size_t i = 0; i < n; i++)
		idmap_del(&copies->bad, frames[i]);
	pthread_mutex_unlock(&copies->lock);
	return n;
}

/* Written elsewhere, with all their copies. What cannot be is parked by the mover, and found again
 * by the next read or scrub. */
static int mend_frames(struct pass *pass)
{
	struct pool *pool = pass->pool;
	uint64_t *frames = malloc(BAD_MAX * sizeof(*frames));
	struct executor executor;
	size_t n = frames ? take_bad(pool->copies, frames, BAD_MAX) : 0;
	int rc = frames ? 0 : -ENOMEM, ended;

	if (n) {
		executor_init(&executor, pool, pass->progress, false);
		for (size_t i = 0; rc == 0 && i < n; i++) {
			struct choice choice = {.frame = frames[i], .rewrite = true};

			if (frame_record_get(pool, frames[i], &choice.record) < 0)
				continue;
			choice.bytes = choice.record.raw_len;
			choice.verdict =
				(struct verdict){.to = choice.record.tier, .reason = REASON_MEND};
			if (pass->progress)
				pass->progress->bytes_total += choice.bytes;
			rc = executor_add(&executor, &choice);
		}
		ended = executor_end(&executor);
		rc = rc < 0 ? rc : ended;
	}
	free(frames);
	return rc;
}

/* The whole ------------------------------------------------------------------------------------ */

static int run_pass(struct pass *pass)
{
	int rc = list_ids(pass);
	unsigned made = 0;

	if (rc < 0)
		return rc;
	pool_tunables(pass->pool, &pass->tunables);
	lost_look(pass->pool, pass->ids, pass->nids);
	if (pass->asked)
		failed(pass, lost_files(pass->pool, pass->ids, pass->nids));
	rc = record_homes(pass);
	if (rc == 0 && pass->asked)
		failed(pass, lost_remake(pass->pool, &made));
	if (pass->progress)
		pass->progress->places_made += made;
	if (rc == 0 && prepare(pass)) {
		rc = settle(pass->pool);
		for (size_t i = 0; rc == 0 && i < pass->nids; i++) {
			int one = replicate_one(pass, pass->ids[i]);

			failed(pass, one);
			if (one == -ECANCELED)
				rc = one;
		}
	}
	if (rc == 0)
		rc = mend_frames(pass);
	return rc < 0 ? rc : pass->error;
}

int copies_leave(struct pool *pool, uint32_t tier, uint32_t place)
{
	struct pass *pass = calloc(1, sizeof(*pass));
	struct segment segment;
	int rc;

	if (!pass)
		return -ENOMEM;
	pass->pool = pool;
	pthread_mutex_lock(&pool->copies->pass);
	rc = list_ids(pass);
	for (size_t i = 0; rc == 0 && i < pass->nids; i++)
		if (segment_look_up(pool, pass->ids[i], &segment) && segment.record.tier == tier)
			homes_drop(pool->homes, segment.id, place);
	if (rc == 0)
		rc = record_homes(pass);
	pthread_mutex_unlock(&pool->copies->pass);
	free(pass->ids);
	free(pass);
	return rc;
}

int pool_replicate(struct pool *pool, bool asked, struct move_progress *progress)
{
	struct pass *pass = calloc(1, sizeof(*pass));
	int rc = -ENOMEM, before;

	if (!pass)
		return rc;
	*pass = (struct pass){.pool = pool, .progress = progress, .asked = asked};
	pass->buf = malloc(RUN_BYTES);
	before = slow_step_back();
	pthread_mutex_lock(&pool->copies->pass);
	if (pass->buf)
		rc = run_pass(pass);
	pthread_mutex_unlock(&pool->copies->pass);
	slow_restore(before);
	free(pass->ids);
	free(pass->buf);
	free(pass);
	return rc;
}
