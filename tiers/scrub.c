// SPDX-License-Identifier: Apache-2.0
/*
 * Frames side by side are read with one request, round the page cache where the medium allows: what
 * memory says of a disk's bytes proves nothing. Only where that fails, each is read by itself.
 *
 * A frame may go, and its bytes with it, while it is being read. Its record goes first; so what
 * fails counts only if the record still says the same afterwards.
 */
#include "tiers/scrub.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tiers/clock.h"
#include "tiers/engine/slow.h"
#include "tiers/framestore.h"
#include "tiers/log.h"
#include "tiers/pool_impl.h"
#include "tiers/segment_list.h"
#include "tiers/workers.h"
#include "tiers/replicate.h"

#define VERSION	   1u
#define RECORD_LEN 80u
#define RUN_FRAMES 256u
#define RUN_BYTES  (2u << 20)
#define SAVE_NS	   (2000ull * 1000 * 1000)

static const char record_key[] = "Pscrub";

struct scrub {
	pthread_mutex_t lock; /* a leaf */
	struct scrub_status status;
	bool busy;
	bool unsaved; /* given up since it was stored */
};

struct pass {
	struct pool *pool;
	struct scrub_status at;
	struct move_progress *progress;
	struct pace pace;
	uint8_t *buf; /* RUN_BYTES */
	uint64_t saved_ns;
	bool unnamed; /* a header was damaged: only the metadata knows whose frame it is */
	uint64_t ids[RUN_FRAMES];
	struct frame_record records[RUN_FRAMES];
};

/* Where it is ---------------------------------------------------------------------------------- */

int scrub_new(struct scrub **out)
{
	struct scrub *scrub = calloc(1, sizeof(*scrub));

	*out = scrub;
	if (scrub)
		pthread_mutex_init(&scrub->lock, NULL);
	return scrub ? 0 : -ENOMEM;
}

void scrub_free(struct scrub *scrub)
{
	if (scrub)
		pthread_mutex_destroy(&scrub->lock);
	free(scrub);
}

int scrub_load(struct pool *pool)
{
	struct scrub_status *status = &pool->scrub->status;
	uint8_t buf[RECORD_LEN];
	size_t len;
	int rc = meta_get(pool->meta, record_key, sizeof(record_key) - 1, buf, sizeof(buf), &len);

	if (rc == -ENOENT)
		return 0;
	/* Of another version: as if it had never been. */
	if (rc < 0 || len != RECORD_LEN || buf[0] != VERSION)
		return rc == -ERANGE ? 0 : rc;
	*status = (struct scrub_status){.under_way = buf[1] & 1,
					.segment = get_le64(buf + 8),
					.off = get_le64(buf + 16),
					.limit = get_le64(buf + 24),
					.began_s = get_le64(buf + 32),
					.ended_s = get_le64(buf + 40),
					.frames = get_le64(buf + 48),
					.bytes = get_le64(buf + 56),
					.damaged = get_le64(buf + 64),
					.mended = get_le64(buf + 72)};
	return 0;
}

static int save(struct pool *pool, const struct scrub_status *status)
{
	uint8_t buf[RECORD_LEN] = {VERSION, status->under_way};
	struct txn *txn;

	put_le64(buf + 8, status->segment);
	put_le64(buf + 16, status->off);
	put_le64(buf + 24, status->limit);
	put_le64(buf + 32, status->began_s);
	put_le64(buf + 40, status->ended_s);
	put_le64(buf + 48, status->frames);
	put_le64(buf + 56, status->bytes);
	put_le64(buf + 64, status->damaged);
	put_le64(buf + 72, status->mended);
	txn = txn_begin(pool);
	txn_put(txn, record_key, sizeof(record_key) - 1, buf, sizeof(buf));
	return txn_commit(txn);
}

static void publish(struct pass *pass)
{
	pthread_mutex_lock(&pass->pool->scrub->lock);
	pass->pool->scrub->status = pass->at;
	pthread_mutex_unlock(&pass->pool->scrub->lock);
}

void pool_scrub_status(struct pool *pool, struct scrub_status *out)
{
	pthread_mutex_lock(&pool->scrub->lock);
	*out = pool->scrub->status;
	pthread_mutex_unlock(&pool->scrub->lock);
}

/* Damage --------------------------------------------------------------------------------------- */

static bool cancelled(const struct pass *pass)
{
	return pass->progress && pass->progress->cancel;
}

static void note_damage(struct pass *pass, uint64_t frame, const struct frame_record *record,
			const struct frame_flaw *flaw, int error)
{
	struct pool *pool = pass->pool;
	struct tier *tier = pool->tiers[record->tier].tier;
	const char *place = tier_place_path(tier, record->place);
	char path[512];

	pass->at.damaged++;
	if (pass->progress)
		pass->progress->frames_failed++;
	if (!damage_note(pool, frame, record, flaw->off, flaw->len, error, flaw->object))
		return;
	snprintf(path, sizeof(path), "a file that is named below");
	pass->unnamed |= !flaw->object;
	if (flaw->object)
		pool_path(pool, flaw->object, path, sizeof(path));
	log_error("%s: frame %llu (%s, segment %llu, offset %u): %s; `terrace damaged` lists all "
		  "files and ranges",
		  path, (unsigned long long)frame, place ? place : tier->name,
		  (unsigned long long)record->segment, record->off, error_text(error));
}

/* The line that named no file is followed by one that does. */
static int name_damage(void *arg, const struct damaged *damaged)
{
	struct pass *pass = arg;
	const struct damage *damage = &damaged->damage;
	char path[512];

	if (cancelled(pass))
		return -ECANCELED;
	if (!damaged->object || damage->object || damage->since_s < pass->at.began_s)
		return 0;
	damage_name(pass->pool, damage->frame, damaged->object);
	pool_path(pass->pool, damaged->object, path, sizeof(path));
	log_error("%s: frame %llu, whose header is damaged, is this file's", path,
		  (unsigned long long)damage->frame);
	return 0;
}

static bool still_there(struct pool *pool, uint64_t frame, const struct frame_record *record)
{
	struct frame_record now;

	return frame_record_get(pool, frame, &now) == 0 && now.segment == record->segment &&
	       now.off == record->off;
}

/* One frame by itself, in one place. */
static int check_copy(struct pass *pass, size_t i, uint32_t place, struct frame_flaw *flaw)
{
	const struct frame_record *record = &pass->records[i];
	struct tier_segment seg = {.id = record->segment, .place = place};
	uint8_t *bytes = malloc(record->stored_len);
	int rc = -ENOMEM;

	*flaw = (struct frame_flaw){.len = record->raw_len};
	if (!bytes)
		return rc;
	rc = tier_read(pass->pool->tiers[record->tier].tier, seg, bytes, record->stored_len,
		       record->off, TIER_BULK);
	if (rc == 0)
		rc = frame_stored_check(pass->ids[i], record, bytes, flaw);
	free(bytes);
	return rc;
}

/* One frame by itself, in every place that has a copy. */
static int check_frame(struct pass *pass, size_t i, uint64_t places)
{
	const struct frame_record *record = &pass->records[i];
	int errors[TIER_PLACES_MAX] = {0}, first = 0;
	struct frame_flaw flaw, worst = {0};
	uint64_t bad = 0;

	for (uint64_t left = places; left; left &= left - 1) {
		uint32_t place = (uint32_t)__builtin_ctzll(left);
		int rc = check_copy(pass, i, place, &flaw);

		if (rc < 0 && !damage_is(rc))
			return rc;
		if (rc == 0)
			continue;
		errors[place] = rc;
		worst = first ? worst : flaw;
		first = first ? first : rc;
		bad |= left & -left;
	}
	if (bad != places) /* somebody has it */
		damage_gone(pass->pool, pass->ids[i]);
	if (!bad || !still_there(pass->pool, pass->ids[i], record))
		return 0;
	if (bad == places)
		note_damage(pass, pass->ids[i], record, &worst, first);
	for (uint64_t left = bad; left && bad != places; left &= left - 1) {
		uint32_t place = (uint32_t)__builtin_ctzll(left);

		copies_bad(pass->pool, pass->ids[i], record, place, errors[place]);
	}
	pass->at.mended += bad != places;
	return 0;
}

/* Runs of frames ------------------------------------------------------------------------------- */

/* The next frames of the segment, as many as one read takes. *next: where to go on; 0: the end. */
static int gather(struct pass *pass, uint64_t *next, size_t *n)
{
	uint8_t prefix[KEY_LEN_1], start[KEY_LEN_2];
	struct meta_cursor *cursor;
	struct meta_item item;
	int rc = meta_cursor_open(
		pass->pool->meta, prefix, key_1(prefix, KEY_PLACED, pass->at.segment), start,
		key_2(start, KEY_PLACED, pass->at.segment, pass->at.off), &cursor);

	*n = 0;
	*next = 0;
	if (rc < 0)
		return rc;
	while ((rc = meta_cursor_next(cursor, &item)) == 0) {
		struct frame_record *record = &pass->records[*n];
		uint64_t frame = item.len == 8 ? get_le64(item.value) : 0;

		if (item.key_len != KEY_LEN_2 || frame_record_get(pass->pool, frame, record) < 0 ||
		    record->segment != pass->at.segment)
			continue; /* freed meanwhile */
		if (*n == RUN_FRAMES ||
		    (*n && (uint64_t)record->off + record->stored_len >
				   pass->records[0].off + (uint64_t)RUN_BYTES)) {
			*next = record->off;
			break;
		}
		pass->ids[(*n)++] = frame;
	}
	meta_cursor_close(cursor);
	return rc == -ENOENT ? 0 : rc;
}

/* Is all of a run whole in this place? One read. */
static bool run_is_whole(struct pass *pass, size_t n, uint32_t place)
{
	const struct frame_record *first = &pass->records[0], *last = &pass->records[n - 1];
	uint64_t len = (uint64_t)last->off + last->stored_len - first->off;
	struct tier_segment seg = {.id = first->segment, .place = place};
	struct frame_flaw flaw;

	if (len > RUN_BYTES || tier_read(pass->pool->tiers[first->tier].tier, seg, pass->buf, len,
					 first->off, TIER_BULK) < 0)
		return false;
	for (size_t i = 0; i < n; i++)
		if (frame_stored_check(pass->ids[i], &pass->records[i],
				       pass->buf + (pass->records[i].off - first->off), &flaw) != 0)
			return false;
	return true;
}

/* A run in every place; where one has it not whole, frame by frame. */
static int check_run(struct pass *pass, size_t n)
{
	const struct frame_record *first = &pass->records[0];
	uint64_t places = homes_get(pass->pool->homes, first->segment, first->place);
	bool whole = true;
	int rc = 0;

	for (uint64_t left = places; whole && left; left &= left - 1)
		whole = run_is_whole(pass, n, (uint32_t)__builtin_ctzll(left));
	for (size_t i = 0; rc == 0 && i < n; i++) {
		if (!whole || damage_has(pass->pool, pass->ids[i]))
			rc = check_frame(pass, i, places);
		pass->at.frames++;
		pass->at.bytes += pass->records[i].stored_len;
		if (pass->progress)
			pass->progress->bytes_done += pass->records[i].stored_len;
	}
	return rc;
}

/* Segments ------------------------------------------------------------------------------------- */

/* A header is for who reads segments without metadata; no frame needs it. So a damaged one is
 * written anew, and that is all. */
static void check_header(struct pass *pass, uint32_t t, struct tier_segment seg)
{
	struct pool *pool = pass->pool;
	struct tier *tier = pool->tiers[t].tier;
	struct segment_header header;
	int rc = tier_read(tier, seg, pass->buf, SEGMENT_HEADER_LEN, 0, TIER_BULK);

	if (rc == 0)
		rc = segment_header_check(pass->buf, SEGMENT_HEADER_LEN, &header);
	if (rc == 0 && (header.id != seg.id || header.tier_id != t ||
			memcmp(header.pool_uuid, pool->config.uuid, 16) != 0))
		rc = -EBADMSG;
	if (rc != -EBADMSG)
		return; /* what cannot be read at all, its frames will tell */
	header = (struct segment_header){
		.tier_id = t, .id = seg.id, .created_ns = (uint64_t)clock_wall_ns()};
	memcpy(header.pool_uuid, pool->config.uuid, sizeof(header.pool_uuid));
	segment_header_encode(&header, pass->buf);
	rc = tier_write(tier, seg, pass->buf, SEGMENT_HEADER_LEN, 0, TIER_BULK);
	if (rc == 0)
		rc = tier_sync(tier, seg);
	log_warning("tier %s: %s, segment %llu: the header was damaged and %s: no file is affected",
		    tier->name, tier_place_path(tier, seg.place), (unsigned long long)seg.id,
		    rc == 0 ? "has been written anew" : strerror(-rc));
	pass->at.mended += rc == 0;
}

static bool find_segment(struct pool *pool, uint64_t id, uint32_t *tier, struct tier_segment *out)
{
	struct segment *segment;
	bool found;

	pthread_mutex_lock(&pool->commit_lock);
	segment = idmap_get(&pool->segments, id);
	found = segment && !segment->removing && segment->record.tier < pool->config.ntiers;
	if (found) {
		*tier = segment->record.tier;
		*out = (struct tier_segment){.id = id, .place = segment->record.place};
	}
	pthread_mutex_unlock(&pool->commit_lock);
	return found;
}

static int save_at(struct pass *pass)
{
	pass->saved_ns = clock_mono_ns();
	publish(pass);
	damage_settle(pass->pool);
	return save(pass->pool, &pass->at);
}

/* From at.off on. */
static int scrub_segment(struct pass *pass)
{
	struct tunables tunables;
	struct tier_segment seg;
	uint64_t next = 1;
	uint32_t tier;
	int rc = 0;

	if (!find_segment(pass->pool, pass->at.segment, &tier, &seg))
		return 0;
	for (uint64_t left = homes_get(pass->pool->homes, seg.id, seg.place); left && !pass->at.off;
	     left &= left - 1) {
		seg.place = (uint32_t)__builtin_ctzll(left);
		check_header(pass, tier, seg);
	}
	while (rc == 0 && next) {
		uint64_t began = clock_mono_ns(), bytes = pass->at.bytes;
		size_t n;

		rc = gather(pass, &next, &n);
		if (rc == 0 && n)
			rc = check_run(pass, n);
		if (rc < 0)
			break;
		pass->at.off = next;
		pass->at.segment += !next;
		publish(pass);
		pool_tunables(pass->pool, &tunables);
		slow_down(pass->pool, &pass->pace, tunables.scrub_bandwidth, pass->at.bytes - bytes,
			  clock_mono_ns() - began, pass->progress);
		if (cancelled(pass))
			rc = -ECANCELED;
		else if (clock_mono_ns() - pass->saved_ns > SAVE_NS)
			rc = save_at(pass);
	}
	return rc;
}

static int scrub_all(struct pass *pass)
{
	struct segment_brief *list;
	size_t n, first = 0;
	int rc = segment_list(pass->pool, &list, &n);

	while (rc == 0 && first < n && list[first].id < pass->at.segment)
		first++;
	while (n > first && list[n - 1].id >= pass->at.limit)
		n--;
	for (size_t i = first; rc == 0 && pass->progress && i < n; i++)
		pass->progress->bytes_total += list[i].stored;
	for (size_t i = first; rc == 0 && i < n; i++) {
		if (list[i].id > pass->at.segment) {
			pass->at.segment = list[i].id;
			pass->at.off = 0;
		}
		rc = cancelled(pass) ? -ECANCELED : scrub_segment(pass);
	}
	free(list);
	return rc;
}

/* The whole ------------------------------------------------------------------------------------ */

static bool enter(struct pool *pool, struct scrub_status *at)
{
	bool free_now;

	pthread_mutex_lock(&pool->scrub->lock);
	free_now = !pool->scrub->busy;
	pool->scrub->busy = true;
	*at = pool->scrub->status;
	pthread_mutex_unlock(&pool->scrub->lock);
	return free_now;
}

static void leave(struct pool *pool)
{
	pthread_mutex_lock(&pool->scrub->lock);
	pool->scrub->busy = false;
	pthread_mutex_unlock(&pool->scrub->lock);
}

static void tell(const struct pass *pass, const char *what)
{
	struct event event = {.kind = EVENT_SCRUB, .from = -1, .to = -1};

	snprintf(event.text, sizeof(event.text), "%s: %llu frames, %llu damaged, %llu mended", what,
		 (unsigned long long)pass->at.frames, (unsigned long long)pass->at.damaged,
		 (unsigned long long)pass->at.mended);
	events_add(pass->pool->events, &event);
	log_info("%s: scrub %s", pass->pool->config.name, event.text);
}

static int run_pass(struct pass *pass, bool resume)
{
	int before = slow_step_back(), rc, saved;

	if (!resume || !pass->at.under_way) {
		pass->at = (struct scrub_status){.under_way = true,
						 .limit = pass->pool->next_segment,
						 .began_s = clock_wall_s(),
						 .ended_s = pass->at.ended_s};
		tell(pass, "begins");
	}
	rc = save_at(pass);
	if (rc == 0)
		rc = scrub_all(pass);
	if (rc == 0 && pass->at.mended)
		(void)pool_replicate(pass->pool, false, NULL); /* what is left is counted */
	if (rc == 0 && pass->unnamed)
		rc = pool_damaged(pass->pool, name_damage, pass);
	if (rc == 0) {
		pass->at.under_way = false;
		pass->at.ended_s = clock_wall_s();
	}
	saved = save_at(pass);
	if (rc == 0)
		tell(pass, "ended");
	slow_restore(before);
	return rc < 0 ? rc : saved;
}

int pool_scrub(struct pool *pool, bool resume, struct move_progress *progress)
{
	struct pass *pass = calloc(1, sizeof(*pass));
	int rc = -ENOMEM;

	if (!pass)
		return rc;
	*pass = (struct pass){.pool = pool, .progress = progress};
	if (!enter(pool, &pass->at)) {
		free(pass);
		return -EBUSY;
	}
	pass->buf = malloc(RUN_BYTES);
	if (pass->buf)
		rc = run_pass(pass, resume);
	leave(pool);
	free(pass->buf);
	free(pass);
	return rc;
}

void pool_scrub_give_up(struct pool *pool)
{
	pthread_mutex_lock(&pool->scrub->lock);
	pool->scrub->unsaved |= pool->scrub->status.under_way;
	pool->scrub->status.under_way = false;
	pthread_mutex_unlock(&pool->scrub->lock);
}

void pool_scrub_count_from_now(struct pool *pool)
{
	struct scrub *scrub = pool->scrub;

	pthread_mutex_lock(&scrub->lock);
	if (!scrub->status.began_s && !scrub->status.ended_s) {
		scrub->status.ended_s = clock_wall_s();
		scrub->unsaved = true;
	}
	pthread_mutex_unlock(&scrub->lock);
}

void scrub_settle(struct pool *pool)
{
	struct scrub_status status;
	bool unsaved;

	pthread_mutex_lock(&pool->scrub->lock);
	unsaved = pool->scrub->unsaved;
	pool->scrub->unsaved = false;
	status = pool->scrub->status;
	pthread_mutex_unlock(&pool->scrub->lock);
	if (unsaved && save(pool, &status) < 0)
		log_warning("%s: that the scrub was given up could not be stored",
			    pool->config.name);
}
