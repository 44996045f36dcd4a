// SPDX-License-Identifier: Apache-2.0
/*
 * Moves over media that lie or fail, and what must come along: a copy that does not read back,
 * heat, objects deleted in the middle, frames in pieces; a disk that is gone for a week of the
 * engine's own passes.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/unit/fix_clock.h"
#include "tests/unit/fix_place.h"
#include "tests/unit/fix_pool.h"
#include "tiers/clock.h"
#include "tiers/engine/engine_impl.h"
#include "tiers/engine/events.h"
#include "tiers/extmap.h"
#include "tiers/framestore.h"
#include "tiers/io.h"

#define HOUR 3600

static struct fix_pool fix;

/* A medium that can be told what to do with writes and syncs. */
static const struct tier_ops *real;
static struct tier_ops wrapped;
static _Atomic bool lies, dead, first_lost;
static _Atomic unsigned long refused, written, copied;
static _Atomic uint64_t lost, lost_off; /* where the first read for a move was */
static void (*at_sync)(void);		/* once, in the middle of a batch */

static int bad_write(struct tier *tier, struct tier_segment seg, const void *buf, size_t len,
		     uint64_t off, enum tier_hint hint)
{
	uint8_t *copy;
	int rc;

	if (dead) {
		refused++;
		return -EIO;
	}
	written += len;
	if (!lies || off < 4096)
		return real->write(tier, seg, buf, len, off, hint);
	copy = malloc(len);
	memcpy(copy, buf, len);
	copy[len / 2] ^= 1;
	rc = real->write(tier, seg, copy, len, off, hint);
	free(copy);
	return rc;
}

static int bad_sync(struct tier *tier, struct tier_segment seg)
{
	void (*now)(void) = at_sync;

	at_sync = NULL;
	if (now)
		now();
	return dead ? -EIO : real->sync(tier, seg);
}

static int bad_read(struct tier *tier, struct tier_segment seg, void *buf, size_t len, uint64_t off,
		    enum tier_hint hint)
{
	if (hint != TIER_FOREGROUND && copied++ == 0 && first_lost) {
		lost = seg.id;
		lost_off = off + len / 2;
	}
	if (first_lost && seg.id == lost && off <= lost_off && lost_off < off + len)
		return -EIO;
	return real->read(tier, seg, buf, len, off, hint);
}

static void wrap(uint32_t tier)
{
	struct tier *base = fix.pool->tiers[tier].tier;

	real = base->ops;
	wrapped = *real;
	wrapped.write = bad_write;
	wrapped.sync = bad_sync;
	wrapped.read = bad_read;
	base->ops = &wrapped;
}

static void begin(void)
{
	lies = dead = first_lost = false;
	at_sync = NULL;
	refused = written = copied = lost = lost_off = 0;
	quiet_begin();
	fix_pool_small(&fix);
	assert_int_equal(pool_create(&fix.config), 0);
	fix_pool_open(&fix);
}

static void noise(uint8_t *buf, size_t len, uint64_t seed)
{
	for (size_t i = 0; i < len; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		buf[i] = (uint8_t)(seed >> 56);
	}
}

static uint64_t make(size_t len)
{
	struct txn *txn = txn_begin(fix.pool);
	uint8_t *buf = malloc(len);
	struct object *object;
	uint64_t id;

	assert_int_equal(object_create(txn, "attr", 4, &object), 0);
	assert_int_equal(txn_commit(txn), 0);
	id = object_id(object);
	noise(buf, len, id);
	assert_int_equal(object_write(object, buf, len, 0), 0);
	object_put(object);
	free(buf);
	return id;
}

static void check(uint64_t id, size_t len)
{
	uint8_t *want = malloc(len), *buf = malloc(len);
	struct object *object;
	size_t got;

	assert_int_equal(object_get(fix.pool, id, &object), 0);
	noise(want, len, id);
	assert_int_equal(object_read(object, buf, len, 0, &got), 0);
	assert_int_equal(got, len);
	assert_memory_equal(buf, want, len);
	object_put(object);
	free(want);
	free(buf);
}

static int add_tier(void *arg, const struct object_extent *extent)
{
	uint64_t *bytes = arg;

	bytes[extent->tier] += extent->len;
	return 0;
}

static uint64_t bytes_in(uint64_t id, int tier)
{
	uint64_t bytes[CONFIG_TIERS_MAX] = {0};
	struct object *object;

	assert_int_equal(object_get(fix.pool, id, &object), 0);
	assert_int_equal(object_extents(object, add_tier, bytes), 0);
	object_put(object);
	return bytes[tier];
}

static int first_frame(void *arg, const struct object_extent *extent)
{
	*(uint64_t *)arg = extent->frame;
	return 1;
}

static uint64_t frame_of(uint64_t id)
{
	struct object *object;
	uint64_t frame = 0;

	assert_int_equal(object_get(fix.pool, id, &object), 0);
	assert_int_equal(object_extents(object, first_frame, &frame), 1);
	object_put(object);
	return frame;
}

static void delete_object(uint64_t id)
{
	struct object *object;
	struct txn *txn;

	assert_int_equal(object_get(fix.pool, id, &object), 0);
	txn = txn_begin(fix.pool);
	assert_int_equal(object_delete(txn, object), 0);
	assert_int_equal(txn_commit(txn), 0);
	object_put(object);
}

static uint64_t parked(void)
{
	struct engine_stats stats;

	pool_engine_stats(fix.pool, &stats);
	return stats.parked;
}

static int end(void **state)
{
	(void)state;
	quiet_end();
	io_ops_set(NULL);
	lies = dead = false;
	if (fix.dir[0])
		fix_pool_free(&fix);
	fix.dir[0] = '\0';
	return 0;
}

/* ---- */

/* What was written is not what is read back: the source stays where it is, the copy goes, and it is
 * parked with the reason. */
static void test_copy_that_lies(void **state)
{
	uint64_t id;

	(void)state;
	begin();
	id = make(200000);
	assert_int_equal(pool_sync(fix.pool), 0);
	wrap(2);
	lies = true;
	assert_int_equal(pool_move(fix.pool, &id, 1, 2, NULL), -EBADMSG);
	assert_int_equal(bytes_in(id, 1), 200000);
	assert_int_equal(parked(), (200000 + 32767) / 32768);
	lies = false;
	fix_pool_crash(&fix);
	check(id, 200000);
	fix_pool_verify(&fix);
	assert_int_equal(pool_move(fix.pool, &id, 1, 2, NULL), 0);
	assert_int_equal(bytes_in(id, 2), 200000);
	check(id, 200000);
	fix_pool_verify(&fix);
}

static uint64_t many[36];

/* When as many batches have begun as may: of one of them an object is written to, one cut, one
 * deleted. */
static void change_ahead(void)
{
	struct object *object;
	uint8_t buf[5000];

	if (fix.pool->moves_ahead < MOVES_AHEAD) {
		at_sync = change_ahead;
		return;
	}
	noise(buf, sizeof(buf), many[20]); /* what its beginning is */
	assert_int_equal(object_get(fix.pool, many[20], &object), 0);
	assert_int_equal(object_write(object, buf, sizeof(buf), (1 << 20) - 100), 0);
	object_put(object);
	assert_int_equal(object_get(fix.pool, many[21], &object), 0);
	assert_int_equal(object_truncate(object, 1000), 0);
	object_put(object);
	delete_object(many[22]);
}

/* The first batch goes alone; then others begin before one has ended, and what has changed
 * meanwhile stays as it is. */
static void test_batches_side_by_side(void **state)
{
	uint8_t buf[5000], want[5000];
	struct object *object;
	size_t got;

	(void)state;
	begin();
	fix_pool_close(&fix);
	fix.config.tiers[1].size_bytes = fix.config.tiers[2].size_bytes = 128 << 20;
	fix_pool_open(&fix);
	for (unsigned i = 0; i < 36; i++) {
		many[i] = make(1 << 20);
		assert_int_equal(pool_sync(fix.pool), 0);
	}
	wrap(2);
	at_sync = change_ahead;
	assert_int_equal(pool_move(fix.pool, many, 36, 2, NULL), 0);
	assert_null(at_sync);
	assert_int_equal(fix.pool->moves_ahead, 0);
	for (unsigned i = 0; i < 36; i++)
		if (i != 21 && i != 22)
			check(many[i], i == 20 ? (1 << 20) - 100 : 1 << 20);
	check(many[21], 1000);
	noise(want, sizeof(want), many[20]);
	assert_int_equal(object_get(fix.pool, many[20], &object), 0);
	assert_int_equal(object_read(object, buf, sizeof(buf), (1 << 20) - 100, &got), 0);
	assert_memory_equal(buf, want, sizeof(want));
	object_put(object);
	assert_int_equal(object_get(fix.pool, many[22], &object), -ENOENT);
	assert_int_equal(pool_sync(fix.pool), 0);
	fix_pool_crash(&fix);
	fix_pool_verify(&fix);
}

static struct move_progress told;

static void cancel_ahead(void)
{
	at_sync = fix.pool->moves_ahead < MOVES_AHEAD ? cancel_ahead : NULL;
	told.cancel = !at_sync;
}

/* What has begun is brought to its end. */
static void test_cancelled_with_batches_ahead(void **state)
{
	uint64_t there = 0;

	(void)state;
	begin();
	fix_pool_close(&fix);
	fix.config.tiers[1].size_bytes = fix.config.tiers[2].size_bytes = 128 << 20;
	fix_pool_open(&fix);
	for (unsigned i = 0; i < 36; i++) {
		many[i] = make(1 << 20);
		assert_int_equal(pool_sync(fix.pool), 0);
	}
	wrap(2);
	told = (struct move_progress){0};
	at_sync = cancel_ahead;
	assert_int_equal(pool_move(fix.pool, many, 36, 2, &told), -ECANCELED);
	assert_int_equal(fix.pool->moves_ahead, 0);
	for (unsigned i = 0; i < 36; i++) {
		there += bytes_in(many[i], 2);
		check(many[i], 1 << 20);
	}
	assert_int_equal(told.bytes_done, there);
	assert_in_range(there, (3 * MOVE_BATCH_BYTES) / 2, 35 << 20);
	fix_pool_crash(&fix);
	fix_pool_verify(&fix);
}

/* Work that nobody can do any more does not stand in the list for ever. */
static void test_parked_and_gone(void **state)
{
	uint64_t ids[2];

	(void)state;
	begin();
	for (unsigned i = 0; i < 2; i++)
		ids[i] = make(50000);
	assert_int_equal(pool_sync(fix.pool), 0);
	wrap(2);
	lies = true;
	assert_int_equal(pool_move(fix.pool, ids, 2, 2, NULL), -EBADMSG);
	lies = false;
	assert_int_equal(parked(), 4);
	delete_object(ids[0]);
	assert_int_equal(pool_run(fix.pool, NULL), 0);
	assert_in_range(parked(), 1, 3); /* a frame may hold the end of both */
	fix_clock_tick(25 * HOUR);
	assert_int_equal(pool_run(fix.pool, NULL), 0);
	assert_int_equal(parked(), 0);
	check(ids[1], 50000);
}

static int add_wait(void *arg, const struct parked *parked)
{
	uint32_t *wait_s = arg, now_s = clock_wall_s();

	*wait_s = parked->until_s > now_s ? parked->until_s - now_s : 0;
	return 0;
}

static unsigned told_parked(void)
{
	uint64_t after = 0, missed;
	struct event event;
	unsigned n = 0;

	for (; events_get(fix.pool->events, after, &event, &missed) == 0; after = event.number)
		n += event.kind == EVENT_PARKED;
	return n;
}

/* What fails again waits twice as long and is told once; it has not moved, so nothing counts it as
 * promoted. */
static void test_failing_again(void **state)
{
	struct engine_stats stats;
	uint32_t wait_s = 0;
	uint64_t id, frame;

	(void)state;
	begin();
	id = make(20000);
	assert_int_equal(pool_sync(fix.pool), 0);
	assert_int_equal(pool_move(fix.pool, &id, 1, 2, NULL), 0);
	wrap(1);
	lies = true;
	assert_int_equal(pool_move(fix.pool, &id, 1, 1, NULL), -EBADMSG);
	pool_parked(fix.pool, add_wait, &wait_s);
	assert_in_range(wait_s, PARK_FIRST_S - 5, PARK_FIRST_S);
	assert_int_equal(pool_move(fix.pool, &id, 1, 1, NULL), -EBADMSG);
	pool_parked(fix.pool, add_wait, &wait_s);
	assert_in_range(wait_s, 2 * PARK_FIRST_S - 5, 2 * PARK_FIRST_S);
	assert_int_equal(told_parked(), 1);

	frame = frame_of(id);
	assert_int_equal(
		move_frames(fix.pool,
			    &(struct move_request){
				    .frames = &frame, .n = 1, .to = 1, .reason = REASON_HOT},
			    NULL, &(struct move_result){0}),
		-EBADMSG);
	pool_engine_stats(fix.pool, &stats);
	assert_int_equal(stats.promotions, 0);
	lies = false;
	assert_int_equal(pool_move(fix.pool, &id, 1, 1, NULL), 0);
	assert_int_equal(parked(), 0);
	check(id, 20000);
}

/* A file is moved whole, however many extents it has: they are looked at part by part. */
static void test_many_extents(void **state)
{
	const unsigned n = 10000, len = 64, step = 128;
	uint8_t buf[64], want[64];
	struct object *object;
	uint64_t id;
	size_t got;

	(void)state;
	begin();
	id = make(0);
	assert_int_equal(object_get(fix.pool, id, &object), 0);
	for (unsigned i = 0; i < n; i++) {
		noise(buf, len, i);
		assert_int_equal(object_write(object, buf, len, (uint64_t)i * step), 0);
	}
	assert_int_equal(pool_sync(fix.pool), 0);
	assert_int_equal(pool_move(fix.pool, &id, 1, 2, NULL), 0);
	assert_int_equal(bytes_in(id, 1), 0);
	assert_int_equal(bytes_in(id, 2), n * len);
	for (unsigned i = 0; i < n; i += 97) {
		noise(want, len, i);
		assert_int_equal(object_read(object, buf, len, (uint64_t)i * step, &got), 0);
		assert_int_equal(got, len);
		assert_memory_equal(buf, want, len);
	}
	object_put(object);
	fix_pool_verify(&fix);
}

/* A tier without room is not offered all that is left, frame by frame, because something else went
 * wrong before. */
static void test_evacuate_damaged_to_full(void **state)
{
	const unsigned n = 150, len = 200000;
	uint64_t ids[150];

	(void)state;
	begin();
	fix_pool_close(&fix);
	fix.config.tiers[1].size_bytes = 64u << 20;
	fix.config.tiers[2].size_bytes = 1u << 20;
	fix_pool_open(&fix);
	for (unsigned i = 0; i < n; i++) {
		ids[i] = make(len);
		if (i % 10 == 9)
			assert_int_equal(pool_sync(fix.pool), 0);
	}
	assert_int_equal(pool_sync(fix.pool), 0);
	wrap(1);
	first_lost = true;
	assert_int_equal(pool_evacuate(fix.pool, 1, -1, NULL), -EIO);
	assert_in_range(copied, 1, n * len / 32768 / 2);
	first_lost = false;
	for (unsigned i = 0; i < n; i++)
		check(ids[i], len);
}

static uint64_t gone;

static void delete_gone(void)
{
	delete_object(gone);
}

/* A file that is deleted in the middle of a batch does not keep the others from moving. */
static void test_deleted_meanwhile(void **state)
{
	uint64_t ids[5];

	(void)state;
	begin();
	for (unsigned i = 0; i < 5; i++)
		ids[i] = make(3000);
	assert_int_equal(pool_sync(fix.pool), 0);
	wrap(2);
	gone = ids[2];
	at_sync = delete_gone;
	assert_int_equal(pool_move(fix.pool, ids, 5, 2, NULL), 0);
	assert_null(at_sync);
	for (unsigned i = 0; i < 5; i++) {
		if (i == 2)
			continue;
		assert_int_equal(bytes_in(ids[i], 2), 3000);
		check(ids[i], 3000);
	}
	fix_pool_verify(&fix);
}

/* Pieces that do not fit a frame go on in the next one, and that one's own table knows where they
 * belong: else it could never be moved again. */
static void test_pieces_over_frames(void **state)
{
	uint64_t ids[3];

	(void)state;
	begin();
	for (unsigned i = 0; i < 3; i++)
		ids[i] = make(45000); /* frames hold 32 KiB and 64 KiB */
	for (unsigned round = 0; round < 2; round++)
		for (int to = 2; to >= 1; to--) {
			assert_int_equal(pool_move(fix.pool, ids, 3, to, NULL), 0);
			for (unsigned i = 0; i < 3; i++) {
				assert_int_equal(bytes_in(ids[i], to), 45000);
				check(ids[i], 45000);
			}
		}
	assert_int_equal(pool_evacuate(fix.pool, 1, -1, NULL), 0);
	fix_pool_verify(&fix);
}

static struct heat_state heat_of_object(uint64_t id)
{
	struct frame_record record;
	struct extent_list list = {0};
	struct object *object;
	struct heat_state heat;

	assert_int_equal(object_get(fix.pool, id, &object), 0);
	pthread_rwlock_rdlock(&object->data_lock);
	assert_int_equal(extmap_list(object, 0, UINT64_MAX, 1, &list), 0);
	pthread_rwlock_unlock(&object->data_lock);
	assert_int_equal(list.count, 1);
	assert_int_equal(frame_record_get(fix.pool, list.items[0].frame, &record), 0);
	heat = frame_heat(fix.pool, list.items[0].frame, &record);
	extent_list_release(&list);
	object_put(object);
	return heat;
}

/* Old data is as cold after a move as before, hot data as hot; also when it is only cleaned. */
static void test_heat_comes_along(void **state)
{
	struct heat_state before, after;
	uint64_t id;

	(void)state;
	begin();
	id = make(20000);
	assert_int_equal(pool_sync(fix.pool), 0);
	for (unsigned i = 0; i < 20; i++) {
		fix_clock_tick(60);
		check(id, 20000);
	}
	fix_clock_tick(2 * HOUR);
	before = heat_of_object(id);
	for (int to = 2; to >= 1; to--) {
		assert_int_equal(pool_move(fix.pool, &id, 1, to, NULL), 0);
		after = heat_of_object(id);
		assert_in_range(after.fast, before.fast - before.fast / 20 - 1,
				before.fast + before.fast / 20 + 1);
		assert_in_range(after.slow, before.slow - before.slow / 20 - 1,
				before.slow + before.slow / 20 + 1);
	}
}

/* What is still being appended to is not cleaned: it would go on for ever. */
static void test_open_segments_are_left(void **state)
{
	uint64_t ids[12];

	(void)state;
	begin();
	for (unsigned i = 0; i < 12; i++)
		ids[i] = make(2000);
	assert_int_equal(pool_sync(fix.pool), 0);
	for (unsigned i = 0; i < 12; i += 2)
		delete_object(ids[i]);
	assert_int_equal(pool_run(fix.pool, NULL), 0);
	assert_int_equal(fix.pool->engine->stats.moves[REASON_CLEAN], 0);
	appender_roll(fix.pool->tiers[1].appender);
	assert_int_equal(pool_run(fix.pool, NULL), 0);
	assert_true(fix.pool->engine->stats.moves[REASON_CLEAN] > 0);
	for (unsigned i = 1; i < 12; i += 2)
		check(ids[i], 2000);
	fix_pool_verify(&fix);
}

/* A full place for metadata -------------------------------------------------------------------
 */

static int no_room_for_metadata(int fd, int mode, off_t off, off_t len)
{
	char name[64], path[256] = "";

	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	if (readlink(name, path, sizeof(path) - 1) > 0 && strstr(path, "/meta/")) {
		errno = ENOSPC;
		return -1;
	}
	return io_ops_system.fallocate(fd, mode, off, len);
}

static void fill_metadata(void)
{
	char attr[64];
	int rc = 0;

	memset(attr, 'a', sizeof(attr));
	while (rc == 0) {
		struct txn *txn = txn_begin(fix.pool);
		struct object *object;

		object_create(txn, attr, sizeof(attr), &object);
		rc = txn_commit(txn);
		object_put(object);
	}
	assert_int_equal(rc, -ENOSPC);
}

/* Moves that cannot be committed: one batch is copied in vain, not all that the tier holds. */
static void test_metadata_full(void **state)
{
	struct io_ops ops = io_ops_system;
	uint64_t ids[24];

	(void)state;
	begin();
	fix_pool_close(&fix);
	fix.config.tiers[1].size_bytes = fix.config.tiers[2].size_bytes = 64 << 20;
	fix_pool_open(&fix);
	for (unsigned i = 0; i < 24; i++) {
		ids[i] = make(1 << 20);
		assert_int_equal(pool_sync(fix.pool), 0);
	}
	wrap(2);
	ops.fallocate = no_room_for_metadata;
	io_ops_set(&ops);
	fill_metadata();
	assert_int_equal(pool_move(fix.pool, ids, 24, 2, NULL), -ENOSPC);
	assert_in_range(written, 1, 9 << 20);
	written = 0;
	assert_int_equal(pool_evacuate(fix.pool, 1, -1, NULL), -ENOSPC);
	assert_in_range(written, 1, 9 << 20);
	pool_reopen(fix.pool, 1, -1);
	io_ops_set(NULL);
	assert_int_equal(pool_move(fix.pool, ids, 24, 2, NULL), 0);
	for (unsigned i = 0; i < 24; i++) {
		assert_int_equal(bytes_in(ids[i], 2), 1 << 20);
		check(ids[i], 1 << 20);
	}
	fix_pool_verify(&fix);
}

/* A dead disk -----------------------------------------------------------------------------------
 */

static uint64_t passes(void)
{
	struct engine_stats stats;

	pool_engine_stats(fix.pool, &stats);
	return stats.passes;
}

/* At least one whole pass since the clock was set. */
static void let_run(void)
{
	uint64_t from = passes();

	for (unsigned i = 0; i < 20000 && passes() < from + 2; i++)
		nanosleep(&(struct timespec){.tv_nsec = 500000}, NULL);
	assert_true(passes() >= from + 2);
}

struct tale {
	unsigned opened, closed, other;
	uint64_t after;
};

static void listen(struct tale *tale)
{
	struct event event;
	uint64_t missed;

	while (events_get(pool_events(fix.pool), tale->after, &event, &missed) == 0) {
		tale->after = event.number;
		if (event.kind != EVENT_BREAKER)
			continue;
		if (!strcmp(event.text, "open"))
			tale->opened++;
		else if (!strcmp(event.text, "closed"))
			tale->closed++;
		else
			tale->other++;
	}
}

/* The hdd fails in the middle of a demotion and stays dead for a week. One outage is one event,
 * what is tried stays a handful a day, and when it comes back the work is done and the breaker
 * closed. */
static void test_week_without_a_disk(void **state)
{
	struct engine_stats stats;
	struct tale tale = {0};
	uint64_t ids[24];
	unsigned tried = 0;

	(void)state;
	begin();
	fix_pool_close(&fix);
	fix.config.run_interval_ns = 1000000;
	fix.config.start_delay_ns = 0;
	fix.config.move_pressure = 0;
	fix.config.tiers[1].high_percent = 90;
	fix_pool_open(&fix);
	wrap(2); /* before there are threads that look at it */
	assert_int_equal(pool_start_threads(fix.pool), 0);
	for (unsigned i = 0; i < 24; i++)
		ids[i] = make(60000);
	assert_int_equal(pool_sync(fix.pool), 0);
	dead = true;
	pthread_rwlock_wrlock(&fix.pool->tunables_lock);
	fix.pool->tunables.tiers[1].high_percent = fix.pool->tunables.tiers[1].low_percent = 1;
	pthread_rwlock_unlock(&fix.pool->tunables_lock);
	for (unsigned minutes = 0; minutes < 7 * 24 * 60; minutes += 10) {
		unsigned long before = refused;

		fix_clock_tick(600);
		let_run();
		tried += refused != before;
		listen(&tale);
	}
	pool_engine_stats(fix.pool, &stats);
	assert_int_equal(stats.tiers[2].breaker_opened, 1);
	assert_int_not_equal(stats.tiers[2].breaker, BREAKER_CLOSED);
	assert_true(stats.parked > 0);
	assert_int_equal(tale.opened, 1);
	assert_int_equal(tale.closed, 0);
	assert_in_range(tried, 1, 7 * 24 + 16); /* once an hour, at the end */
	printf("tried in %u of %u ten minutes, %lu writes refused\n", tried, 7 * 24 * 6, refused);
	for (unsigned i = 0; i < 24; i++)
		check(ids[i], 60000);
	dead = false;
	for (unsigned minutes = 0; minutes < 3 * 24 * 60; minutes += 30) {
		fix_clock_tick(1800);
		let_run();
	}
	listen(&tale);
	pool_engine_stats(fix.pool, &stats);
	assert_int_equal(stats.tiers[2].breaker, BREAKER_CLOSED);
	assert_int_equal(tale.opened, 1);
	assert_int_equal(tale.closed, 1);
	assert_int_equal(stats.parked, 0);
	for (unsigned i = 0; i < 24; i++)
		check(ids[i], 60000);
	assert_true(stats.moves[REASON_FULL] > 0);
	fix_pool_close(&fix);
	fix.background = false;
	fix_pool_open(&fix);
	fix_pool_verify(&fix);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_copy_that_lies, end),
		cmocka_unit_test_teardown(test_batches_side_by_side, end),
		cmocka_unit_test_teardown(test_cancelled_with_batches_ahead, end),
		cmocka_unit_test_teardown(test_parked_and_gone, end),
		cmocka_unit_test_teardown(test_failing_again, end),
		cmocka_unit_test_teardown(test_many_extents, end),
		cmocka_unit_test_teardown(test_evacuate_damaged_to_full, end),
		cmocka_unit_test_teardown(test_deleted_meanwhile, end),
		cmocka_unit_test_teardown(test_pieces_over_frames, end),
		cmocka_unit_test_teardown(test_heat_comes_along, end),
		cmocka_unit_test_teardown(test_open_segments_are_left, end),
		cmocka_unit_test_teardown(test_metadata_full, end),
		cmocka_unit_test_teardown(test_week_without_a_disk, end),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
