// SPDX-License-Identifier: Apache-2.0
/* The appender: pieces come back whole, ranges never overlap, blocks with durable bytes are never
 * rewritten, places share the work, full and failing places are passed over, failures are told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "compress/bytes.h"
#include "compress/checksum.h"
#include "tests/unit/fix_dir.h"
#include "tests/unit/fix_fault.h"
#include "tiers/io.h"
#include "tiers/segment.h"

#define MIB (1u << 20)

static const uint8_t pool[16] = "pool a pool a po";
static struct dir_fixture fixture;
static _Atomic uint64_t last_id;
static _Atomic int id_error;

static int next_id(void *arg, uint64_t *id)
{
	(void)arg;
	*id = ++last_id;
	return id_error;
}

static int setup(void **state)
{
	(void)state;
	dir_fixture_make(&fixture, "/dev/shm");
	log_capture();
	last_id = 0;
	id_error = 0;
	return 0;
}

static int setup_disk(void **state)
{
	(void)state;
	dir_fixture_make(&fixture, "/tmp");
	log_capture();
	last_id = 0;
	id_error = 0;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	log_release();
	io_ops_set(NULL);
	dir_fixture_remove(&fixture);
	return 0;
}

static struct tier *open_tier(uint32_t npaths, uint64_t quota)
{
	struct tier_dir_options options = {
		.name = "hdd",
		.pool_uuid = pool,
		.tier_id = 2,
		.paths = fixture.list,
		.npaths = npaths,
		.quota_bytes = quota,
		.direct = -1,
	};
	struct tier *tier;

	assert_int_equal(tier_dir_format(&options), 0);
	assert_int_equal(tier_dir_open(&tier, &options), 0);
	return tier;
}

static struct appender *open_appender(struct tier *tier, uint64_t segment_bytes)
{
	struct appender_options options = {
		.tier = tier,
		.pool_uuid = pool,
		.tier_id = 2,
		.segment_bytes = segment_bytes,
		.next_id = next_id,
	};
	struct appender *appender;

	assert_int_equal(appender_new(&appender, &options), 0);
	return appender;
}

static void fill(uint8_t *buf, size_t len, uint64_t seed)
{
	size_t i;

	for (i = 0; i < len; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		buf[i] = (uint8_t)(seed >> 56);
	}
}

static void expect_piece(struct tier *tier, const struct segment_loc *loc, size_t len,
			 uint64_t seed)
{
	uint8_t *want = malloc(len), *got = malloc(len);

	fill(want, len, seed);
	assert_int_equal(tier_read(tier, loc->seg, got, len, loc->off, TIER_FOREGROUND), 0);
	assert_memory_equal(got, want, len);
	free(want);
	free(got);
}

static void test_pieces_come_back_and_segments_are_sealed_when_full(void **state)
{
	static const size_t sizes[] = {1, 35000, 4096, 300000, 70000};
	struct tier *tier = open_tier(1, 0);
	struct appender *appender = open_appender(tier, MIB);
	struct segment_loc locs[40], big;
	uint8_t *buf = malloc(2 * MIB);
	struct segment_header header;
	unsigned i;

	(void)state;
	for (i = 0; i < 40; i++) {
		fill(buf, sizes[i % 5], i);
		assert_int_equal(appender_append(appender, buf, sizes[i % 5],
						 i % 2 ? TIER_BULK : TIER_FOREGROUND, &locs[i]),
				 0);
		assert_true(locs[i].off >= SEGMENT_HEADER_LEN);
		assert_true(locs[i].off + sizes[i % 5] <= MIB);
		if (i && locs[i].seg.id == locs[i - 1].seg.id) /* no padding without a sync */
			assert_int_equal(locs[i].off, locs[i - 1].off + sizes[(i - 1) % 5]);
	}
	assert_int_equal(appender_holds(appender, locs[39].seg.id), APPENDER_OPEN);
	assert_int_equal(appender_holds(appender, locs[0].seg.id), APPENDER_UNSYNCED);
	assert_int_equal(appender_sync(appender), 0);
	assert_false(appender_holds(appender, locs[0].seg.id));
	for (i = 0; i < 40; i++) {
		expect_piece(tier, &locs[i], sizes[i % 5], i);
		assert_int_equal(
			tier_read(tier, locs[i].seg, buf, SEGMENT_HEADER_LEN, 0, TIER_FOREGROUND),
			0);
		assert_int_equal(segment_header_check(buf, SEGMENT_HEADER_LEN, &header), 0);
		assert_int_equal(header.id, locs[i].seg.id);
		assert_int_equal(header.tier_id, 2);
		assert_memory_equal(header.pool_uuid, pool, 16);
		assert_true(header.created_ns > 0);
	}
	/* Longer than a segment: one of its own. */
	fill(buf, 2 * MIB, 99);
	assert_int_equal(appender_append(appender, buf, 2 * MIB, TIER_BULK, &big), 0);
	assert_int_equal(big.off, SEGMENT_HEADER_LEN);
	expect_piece(tier, &big, 2 * MIB, 99);
	assert_int_equal(appender_append(appender, buf, 0, TIER_BULK, &big), -EINVAL);
	appender_free(appender);
	tier_close(tier);
	free(buf);
}

static void test_header_check_refuses_damage_and_newer_formats(void **state)
{
	struct tier *tier = open_tier(1, 0);
	struct appender *appender = open_appender(tier, MIB);
	uint8_t buf[SEGMENT_HEADER_LEN], bad[SEGMENT_HEADER_LEN];
	struct segment_header header;
	struct segment_loc loc;
	unsigned i;

	(void)state;
	assert_int_equal(appender_append(appender, "x", 1, TIER_FOREGROUND, &loc), 0);
	assert_int_equal(tier_read(tier, loc.seg, buf, sizeof(buf), 0, TIER_FOREGROUND), 0);
	assert_int_equal(segment_header_check(buf, sizeof(buf) - 1, &header), -EBADMSG);
	for (i = 0; i < sizeof(buf); i++) {
		memcpy(bad, buf, sizeof(bad));
		bad[i] ^= 0x10;
		assert_int_equal(segment_header_check(bad, sizeof(bad), &header),
				 i >= 8 && i < 12 ? -ENOTSUP : -EBADMSG);
	}
	for (i = 12; i < 24; i += 4) {
		memcpy(bad, buf, sizeof(bad));
		put_le32(bad + i, 2);
		put_le64(bad + 4088, checksum64(bad, 4088));
		assert_int_equal(segment_header_check(bad, sizeof(bad), &header),
				 i == 12 ? -ENOTSUP : 0);
	}
	memcpy(bad, buf, sizeof(bad));
	bad[1000] = 1; /* reserved */
	put_le64(bad + 4088, checksum64(bad, 4088));
	assert_int_equal(segment_header_check(bad, sizeof(bad), &header), -EBADMSG);
	appender_free(appender);
	tier_close(tier);
}

static void test_after_a_sync_the_next_append_starts_a_block(void **state)
{
	struct tier *tier = open_tier(1, 0);
	struct appender *appender = open_appender(tier, MIB);
	struct segment_loc a, b, c, d;

	(void)state;
	assert_int_equal(appender_append(appender, "12345", 5, TIER_FOREGROUND, &a), 0);
	assert_int_equal(appender_append(appender, "12345", 5, TIER_FOREGROUND, &b), 0);
	assert_int_equal(b.off, a.off + 5);
	assert_int_equal(appender_sync(appender), 0);
	assert_int_equal(appender_append(appender, "12345", 5, TIER_FOREGROUND, &c), 0);
	assert_int_equal(c.seg.id, a.seg.id);
	assert_int_equal(c.off, a.off + 4096);
	/* A sync with nothing to do costs neither I/O nor padding. */
	assert_int_equal(appender_sync(appender), 0);
	fault_arm(FAULT_ALL, UINT64_MAX, FAULT_EIO, false);
	assert_int_equal(appender_sync(appender), 0);
	assert_int_equal(fault_calls(), 0);
	fault_disarm();
	assert_int_equal(appender_append(appender, "12345", 5, TIER_FOREGROUND, &d), 0);
	assert_int_equal(d.off, c.off + 4096);
	appender_roll(appender);
	assert_int_equal(appender_holds(appender, d.seg.id), APPENDER_UNSYNCED);
	assert_int_equal(appender_append(appender, "12345", 5, TIER_FOREGROUND, &a), 0);
	assert_int_not_equal(a.seg.id, d.seg.id);
	/* The rolled one was not synced yet; it is now. */
	fault_arm(FAULT_SYNC, UINT64_MAX, FAULT_EIO, false);
	assert_int_equal(appender_sync(appender), 0);
	assert_true(fault_calls() >= 2);
	fault_disarm();
	assert_false(appender_holds(appender, d.seg.id));
	appender_free(appender);
	tier_close(tier);
}

static void test_places_take_turns_by_free_space(void **state)
{
	unsigned count[2] = {0, 0}, i;
	struct appender *appender;
	struct segment_loc loc;
	struct tier *tier;

	(void)state;
	if (!dir_fixture_mount(&fixture, 0, 30u * MIB) ||
	    !dir_fixture_mount(&fixture, 1, 10u * MIB))
		skip();
	tier = open_tier(2, 0);
	appender = open_appender(tier, 64u * MIB);
	for (i = 0; i < 400; i++) {
		assert_int_equal(appender_append(appender, "x", 1, TIER_FOREGROUND, &loc), 0);
		count[loc.seg.place]++;
	}
	assert_in_range(count[0], 280, 320);
	assert_in_range(count[1], 80, 120);
	appender_free(appender);
	tier_close(tier);
}

static void test_full_place_is_passed_over_until_all_are_full(void **state)
{
	uint8_t *buf = malloc(50000);
	struct segment_loc locs[200];
	struct appender *appender;
	struct tier *tier;
	unsigned n, i;
	int error = 0;

	(void)state;
	if (!dir_fixture_mount(&fixture, 0, 2u * MIB) || !dir_fixture_mount(&fixture, 1, MIB)) {
		free(buf);
		skip();
	}
	tier = open_tier(2, 0);
	appender = open_appender(tier, MIB / 2);
	for (n = 0; n < 200; n++) {
		fill(buf, 50000, n);
		error = appender_append(appender, buf, 50000, TIER_BULK, &locs[n]);
		if (error)
			break;
	}
	assert_int_equal(error, -ENOSPC);
	assert_in_range(n, 52, 61); /* 3 MiB less headers and at most two pieces of slack */
	assert_int_equal(appender_sync(appender), 0);
	for (i = 0; i < n; i++)
		expect_piece(tier, &locs[i], 50000, i);
	/* Room given back is room at once. */
	assert_int_equal(tier_segment_remove(tier, locs[0].seg), 0);
	assert_int_equal(appender_append(appender, buf, 50000, TIER_BULK, &locs[0]), 0);
	appender_free(appender);
	tier_close(tier);
	free(buf);
}

static void test_failing_place_is_left_out(void **state)
{
	struct tier *tier = open_tier(2, 64u * MIB);
	struct appender *appender = open_appender(tier, MIB);
	struct segment_loc loc, first;
	unsigned i;

	(void)state;
	/* The first write fails, whichever place it was for; the piece goes to the other one. */
	fault_arm(FAULT_PWRITE, 1, FAULT_EIO, false);
	assert_int_equal(appender_append(appender, "12345", 5, TIER_FOREGROUND, &first), 0);
	assert_int_equal(fault_disarm(), 1);
	assert_non_null(strstr(log_captured(), "left out"));
	for (i = 0; i < 20; i++) {
		assert_int_equal(appender_append(appender, "x", 1, TIER_FOREGROUND, &loc), 0);
		assert_int_equal(loc.seg.place, first.seg.place);
	}
	assert_int_equal(appender_sync(appender), 0);
	/* Both fail: the error comes out. Later, with nothing better, a left-out one is tried. */
	fault_arm(FAULT_PWRITE, 1, FAULT_EIO, true);
	assert_int_equal(appender_append(appender, "x", 1, TIER_FOREGROUND, &loc), -EIO);
	fault_disarm();
	assert_int_equal(appender_append(appender, "x", 1, TIER_FOREGROUND, &loc), 0);
	assert_int_not_equal(loc.seg.id, first.seg.id);
	assert_int_equal(appender_sync(appender), 0);
	appender_free(appender);
	tier_close(tier);
}

static int count_one(void *arg, struct tier_segment seg, uint64_t len, uint64_t disk)
{
	(void)seg;
	(void)len;
	(void)disk;
	++*(unsigned *)arg;
	return 0;
}

static void test_no_id_and_no_leftover_files(void **state)
{
	struct tier *tier = open_tier(1, 0);
	struct appender *appender = open_appender(tier, MIB);
	struct segment_loc loc;
	unsigned files = 0;

	(void)state;
	id_error = -EDQUOT;
	assert_int_equal(appender_append(appender, "x", 1, TIER_FOREGROUND, &loc), -EDQUOT);
	id_error = 0;
	fault_arm(FAULT_PWRITE, 1, FAULT_EIO, false); /* the header */
	assert_int_equal(appender_append(appender, "x", 1, TIER_FOREGROUND, &loc), -EIO);
	fault_disarm();
	fault_arm(FAULT_PWRITE, 2, FAULT_EIO, false); /* the piece */
	assert_int_equal(appender_append(appender, "x", 1, TIER_FOREGROUND, &loc), -EIO);
	fault_disarm();
	assert_int_equal(tier_list(tier, 0, count_one, &files), 0);
	assert_int_equal(files, 0);
	assert_int_equal(appender_sync(appender), 0);
	appender_free(appender);
	tier_close(tier);
}

static void test_failed_sync_is_told_and_the_segment_closed(void **state)
{
	struct tier *tier = open_tier(1, 0);
	struct appender *appender = open_appender(tier, MIB);
	struct segment_loc a, b;
	uint64_t mine, later;

	(void)state;
	mine = appender_mark(appender);
	assert_int_equal(appender_append(appender, "a", 1, TIER_FOREGROUND, &a), 0);
	fault_arm(FAULT_SYNC, 1, FAULT_EIO, false);
	assert_int_equal(appender_sync(appender), -EIO);
	fault_disarm();
	assert_false(appender_holds(appender, a.seg.id));
	later = appender_mark(appender);
	assert_int_equal(appender_append(appender, "b", 1, TIER_FOREGROUND, &b), 0);
	assert_int_not_equal(a.seg.id, b.seg.id);
	/* Who appended before the failure must hear of it, whoever was told first. */
	assert_int_equal(appender_sync_since(appender, mine), -EIO);
	assert_int_equal(appender_sync_since(appender, later), 0);
	assert_int_equal(appender_sync(appender), 0);
	appender_free(appender);
	tier_close(tier);
}

/* Threads -------------------------------------------------------------------------------------- */

#define THREADS 4u
#define ROUNDS	60u

struct writer {
	struct tier *tier;
	struct appender *appender;
	struct segment_loc locs[ROUNDS];
	pthread_t thread;
	unsigned index;
	int error;
};

static size_t piece_len(unsigned index, unsigned round)
{
	return 1 + (index * 7919 + round * 104729) % 40000;
}

static void *append_and_sync(void *arg)
{
	struct writer *writer = arg;
	uint8_t *buf = malloc(40001);
	unsigned i;

	for (i = 0; i < ROUNDS && !writer->error; i++) {
		size_t len = piece_len(writer->index, i);

		fill(buf, len, writer->index * 1000 + i);
		writer->error =
			appender_append(writer->appender, buf, len,
					i % 2 ? TIER_BULK : TIER_FOREGROUND, &writer->locs[i]);
		if (!writer->error && i % 5 == writer->index % 5)
			writer->error = appender_sync(writer->appender);
		if (i % 20 == 19)
			appender_roll(writer->appender);
		(void)appender_holds(writer->appender, writer->locs[i].seg.id);
	}
	free(buf);
	return NULL;
}

static void test_threads_append_side_by_side(void **state)
{
	struct tier *tier = open_tier(2, 0);
	struct appender *appender = open_appender(tier, MIB / 2);
	static struct writer writers[THREADS];
	unsigned i, j;

	(void)state;
	for (i = 0; i < THREADS; i++) {
		writers[i] = (struct writer){.tier = tier, .appender = appender, .index = i};
		pthread_create(&writers[i].thread, NULL, append_and_sync, &writers[i]);
	}
	for (i = 0; i < THREADS; i++) {
		pthread_join(writers[i].thread, NULL);
		assert_int_equal(writers[i].error, 0);
	}
	assert_int_equal(appender_sync(appender), 0);
	for (i = 0; i < THREADS; i++) {
		for (j = 0; j < ROUNDS; j++)
			expect_piece(tier, &writers[i].locs[j], piece_len(i, j), i * 1000 + j);
	}
	appender_free(appender);
	tier_close(tier);
}

/*
 * Invariant 5, watched at the seam: once a sync has told somebody that a piece is durable, no write
 * touches that piece's blocks or earlier ones. One place, one segment, so offsets say it all.
 */
static struct {
	pthread_mutex_t lock;
	uint64_t promised; /* end of the highest piece that a sync covered */
	unsigned bad;
} watch = {.lock = PTHREAD_MUTEX_INITIALIZER};

static ssize_t watched_pwrite(int fd, const void *buf, size_t len, off_t off)
{
	/* Some writes linger, so that syncs find them on their way. */
	if (off / 10 % 7 == 0)
		nanosleep(&(struct timespec){.tv_nsec = 500000}, NULL);
	pthread_mutex_lock(&watch.lock);
	if ((uint64_t)off / 4096 * 4096 < watch.promised)
		watch.bad++;
	pthread_mutex_unlock(&watch.lock);
	return pwrite(fd, buf, len, off);
}

static void *append_small(void *arg)
{
	struct writer *writer = arg;
	unsigned i;

	for (i = 0; i < ROUNDS && !writer->error; i++) {
		uint64_t end;

		writer->error = appender_append(writer->appender, "0123456789", 10, TIER_FOREGROUND,
						&writer->locs[i]);
		end = writer->locs[i].off + 10;
		if (writer->error || i % 3)
			continue;
		writer->error = appender_sync(writer->appender);
		pthread_mutex_lock(&watch.lock);
		if (!writer->error && watch.promised < end)
			watch.promised = end;
		pthread_mutex_unlock(&watch.lock);
	}
	return NULL;
}

static void test_durable_blocks_are_never_rewritten(void **state)
{
	struct tier *tier = open_tier(1, 0);
	struct appender *appender = open_appender(tier, 64u * MIB);
	static struct writer writers[THREADS];
	struct io_ops ops = io_ops_system;
	unsigned i;

	(void)state;
	ops.pwrite = watched_pwrite;
	io_ops_set(&ops);
	watch.promised = watch.bad = 0;
	for (i = 0; i < THREADS; i++) {
		writers[i] = (struct writer){.tier = tier, .appender = appender, .index = i};
		pthread_create(&writers[i].thread, NULL, append_small, &writers[i]);
	}
	for (i = 0; i < THREADS; i++) {
		pthread_join(writers[i].thread, NULL);
		assert_int_equal(writers[i].error, 0);
	}
	io_ops_set(NULL);
	assert_true(watch.promised > 2 * 4096);
	assert_int_equal(watch.bad, 0);
	appender_free(appender);
	tier_close(tier);
}

/* Faults --------------------------------------------------------------------------------------- */

/* What an append and the sync after it said they did is there, whatever failed in between. */
static void test_every_call_failing(void **state)
{
	static const enum fault_kind kinds[] = {FAULT_EIO, FAULT_ENOSPC, FAULT_SHORT, FAULT_EINTR};
	struct tier *tier = open_tier(2, 0);
	uint8_t *buf = malloc(400000);
	int fds = fault_open_fds(), forever, error;
	uint64_t n, hits;
	unsigned i;
	size_t k;

	(void)state;
	for (k = 0; k < 8; k++) {
		forever = (int)(k / 4);
		for (n = 1, hits = 1; hits; n++) {
			struct appender *appender = open_appender(tier, MIB / 2);
			struct segment_loc locs[6];
			bool done[6] = {false};

			fault_arm(FAULT_ALL & ~(unsigned)FAULT_CLOSE, n, kinds[k % 4], forever);
			for (i = 0; i < 6; i++) {
				size_t len = i % 2 ? 390000 : 500;

				fill(buf, len, i);
				error = appender_append(appender, buf, len, TIER_BULK, &locs[i]);
				done[i] = !error;
				if (!error && appender_sync(appender))
					done[i] = false;
			}
			hits = fault_disarm();
			assert_true(n < 500);
			for (i = 0; i < 6; i++) {
				if (done[i])
					expect_piece(tier, &locs[i], i % 2 ? 390000 : 500, i);
				else
					assert_true(hits > 0 && k % 4 < 2);
			}
			appender_roll(appender);
			appender_free(appender);
		}
	}
	tier_close(tier);
	assert_true(fault_open_fds() <= fds);
	free(buf);
}

#define CASE(test)	cmocka_unit_test_setup_teardown(test, setup, teardown)
#define CASE_DISK(test) cmocka_unit_test_setup_teardown(test, setup_disk, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_pieces_come_back_and_segments_are_sealed_when_full),
		CASE_DISK(test_pieces_come_back_and_segments_are_sealed_when_full),
		CASE(test_header_check_refuses_damage_and_newer_formats),
		CASE(test_after_a_sync_the_next_append_starts_a_block),
		CASE(test_places_take_turns_by_free_space),
		CASE(test_full_place_is_passed_over_until_all_are_full),
		CASE(test_failing_place_is_left_out),
		CASE(test_no_id_and_no_leftover_files),
		CASE(test_failed_sync_is_told_and_the_segment_closed),
		CASE(test_threads_append_side_by_side),
		CASE_DISK(test_threads_append_side_by_side),
		CASE(test_durable_blocks_are_never_rewritten),
		CASE(test_every_call_failing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
