// SPDX-License-Identifier: Apache-2.0
/* Scrubs and the list of damage: what is flipped is found, and only that; the list follows what
 * becomes of the frames; a pass that was interrupted goes on where it was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/fix_dir.h"
#include "tests/unit/fix_fault.h"
#include "tests/unit/fix_pool.h"
#include "tiers/damage.h"
#include "tiers/extmap.h"
#include "tiers/framestore.h"
#include "tiers/io.h"
#include "tiers/object.h"
#include "tiers/pool_impl.h"
#include "tiers/scrub.h"
#include "tiers/segment_file.h"

#define LEN (300u << 10)

static struct fix_pool fix;
static uint64_t ids[2]; /* on the ssd, on the hdd */

static void fill(uint8_t *buf, uint64_t seed)
{
	for (size_t i = 0; i < LEN; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		buf[i] = (uint8_t)(seed >> 56);
	}
}

static void object_put_bytes(uint64_t id, uint64_t seed)
{
	uint8_t *buf = malloc(LEN);
	struct object *object;

	fill(buf, seed);
	assert_int_equal(object_get(fix.pool, id, &object), 0);
	assert_int_equal(object_write(object, buf, LEN, 0), 0);
	object_put(object);
	assert_int_equal(pool_sync(fix.pool), 0);
	free(buf);
}

static int setup(void **state)
{
	(void)state;
	log_capture();
	fix_pool_small(&fix);
	assert_int_equal(pool_create(&fix.config), 0);
	fix_pool_open(&fix);
	for (unsigned i = 0; i < 2; i++) {
		struct txn *txn = txn_begin(fix.pool);
		struct object *object;

		assert_int_equal(object_create(txn, "a", 1, &object), 0);
		assert_int_equal(txn_commit(txn), 0);
		ids[i] = object_id(object);
		object_put(object);
		object_put_bytes(ids[i], i);
		assert_int_equal(pool_move(fix.pool, &ids[i], 1, (int)i + 1, NULL), 0);
		assert_int_equal(pool_sync(fix.pool), 0);
	}
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	io_ops_set(NULL);
	fix_pool_free(&fix);
	log_release();
	return 0;
}

/* The frame that holds the object's byte at off. */
static uint64_t frame_of(uint64_t id, uint64_t off, struct frame_record *record)
{
	struct extent_list list = {0};
	struct object *object;
	uint64_t frame;

	assert_int_equal(object_get(fix.pool, id, &object), 0);
	assert_int_equal(extmap_list(object, off, off + 1, 1, &list), 0);
	assert_int_equal(list.count, 1);
	frame = list.items[0].frame;
	assert_int_equal(frame_record_get(fix.pool, frame, record), 0);
	extent_list_release(&list);
	object_put(object);
	return frame;
}

/* Flips a bit of a segment file. */
static void flip(const struct frame_record *record, uint64_t off)
{
	struct tier *tier = fix.pool->tiers[record->tier].tier;
	char path[256];
	uint8_t byte;
	int fd;

	assert_int_equal(segment_file_path(path, sizeof(path), tier_place_path(tier, record->place),
					   record->segment),
			 0);
	fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &byte, 1, (off_t)off), 1);
	byte ^= 4;
	assert_int_equal(pwrite(fd, &byte, 1, (off_t)off), 1);
	close(fd);
}

static struct scrub_status scrub(void)
{
	struct scrub_status status;

	assert_int_equal(pool_scrub(fix.pool, false, NULL), 0);
	pool_scrub_status(fix.pool, &status);
	assert_false(status.under_way);
	assert_true(status.ended_s > 0);
	return status;
}

static struct damaged found[16];
static unsigned nfound;

static int each_damaged(void *arg, const struct damaged *damaged)
{
	(void)arg;
	assert_true(nfound < 16);
	found[nfound++] = *damaged;
	return 0;
}

static unsigned damaged(void)
{
	nfound = 0;
	assert_int_equal(pool_damaged(fix.pool, each_damaged, NULL), 0);
	return nfound;
}

static uint64_t frames(void)
{
	struct pool_usage usage;

	pool_usage(fix.pool, &usage);
	return usage.tiers[1].frames + usage.tiers[2].frames;
}

/* Every byte that a frame consists of, taken at steps: each flip is found, in that frame only, and
 * gone when it is flipped back. */
static void test_every_byte(void **state)
{
	(void)state;
	assert_int_equal(scrub().frames, frames());
	assert_int_equal(damaged(), 0);
	for (unsigned i = 0; i < 2; i++) {
		struct frame_record record;
		uint64_t frame = frame_of(ids[i], 0, &record);

		for (uint32_t at = 0; at < record.stored_len;
		     at += at < record.header_len ? 7 : record.stored_len / 13) {
			flip(&record, record.off + at);
			assert_int_equal(scrub().damaged, 1);
			assert_int_equal(damaged(), 1);
			assert_true(found[0].object == ids[i] && found[0].damage.frame == frame);
			assert_int_equal(found[0].damage.tier, i + 1);
			if (at < record.header_len)
				assert_int_equal(found[0].len, record.raw_len);
			flip(&record, record.off + at);
			assert_int_equal(scrub().damaged, 0);
			assert_int_equal(damaged(), 0);
		}
	}
}

/* A frame that is sound, but in the place of another. */
static void test_wrong_frame(void **state)
{
	struct frame_record record;
	struct frame_flaw flaw;
	uint64_t frame = frame_of(ids[0], 0, &record);
	uint8_t *stored = malloc(record.stored_len);

	(void)state;
	assert_int_equal(frame_stored_read(fix.pool, frame, &record, stored, record.stored_len, 0,
					   TIER_BULK),
			 0);
	assert_int_equal(frame_stored_check(frame, &record, stored, &flaw), 0);
	assert_int_equal(frame_stored_check(frame + 1, &record, stored, &flaw), -EBADMSG);
	free(stored);
}

static void test_segment_header(void **state)
{
	struct frame_record record;

	(void)state;
	frame_of(ids[1], 0, &record);
	flip(&record, 60);
	assert_int_equal(scrub().mended, 1);
	assert_int_equal(damaged(), 0);
	assert_int_equal(scrub().mended, 0);
}

static void read_fails(uint64_t id)
{
	uint8_t *buf = malloc(LEN);
	struct object *object;
	size_t got;

	assert_int_equal(object_get(fix.pool, id, &object), 0);
	assert_int_equal(object_read(object, buf, LEN, 0, &got), -EIO);
	object_put(object);
	free(buf);
}

/* The list lasts, is made by reads too, and an entry goes with its frame. */
static void test_list(void **state)
{
	struct frame_record record[2];
	struct object *object;
	struct txn *txn;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		frame_of(ids[i], 0, &record[i]);
		flip(&record[i], record[i].off + record[i].stored_len - 1);
	}
	fix_pool_close(&fix); /* nothing is cached */
	fix_pool_open(&fix);
	read_fails(ids[0]);
	assert_int_equal(damaged(), 1);
	assert_true(found[0].object == ids[0]);
	damage_settle(fix.pool);
	assert_int_equal(scrub().damaged, 2);
	assert_int_equal(damaged(), 2);
	fix_pool_crash(&fix);
	assert_int_equal(damaged(), 2);
	object_put_bytes(ids[0], 7);
	assert_int_equal(damaged(), 1);
	assert_true(found[0].object == ids[1]);
	fix_pool_close(&fix);
	fix_pool_open(&fix);
	assert_int_equal(damage_count(fix.pool), 1);
	assert_int_equal(object_get(fix.pool, ids[1], &object), 0);
	txn = txn_begin(fix.pool);
	assert_int_equal(object_delete(txn, object), 0);
	assert_int_equal(txn_commit(txn), 0);
	object_put(object);
	assert_int_equal(damaged(), 0);
	damage_settle(fix.pool);
	fix_pool_crash(&fix);
	assert_int_equal(damage_count(fix.pool), 0);
}

/* Told to stop at once; taken up after a crash. (In the middle: the mount test.) */
static void test_resume(void **state)
{
	struct scrub_status status;
	struct frame_record record;
	uint64_t began;

	(void)state;
	frame_of(ids[1], 0, &record);
	flip(&record, record.off);
	for (unsigned calls = 0; calls < 3; calls++) {
		struct move_progress progress = {.cancel = true};

		assert_int_equal(pool_scrub(fix.pool, calls > 0, &progress), -ECANCELED);
		pool_scrub_status(fix.pool, &status);
		began = status.began_s;
		assert_true(status.under_way && !status.frames);
	}
	fix_pool_crash(&fix);
	pool_scrub_status(fix.pool, &status);
	assert_true(status.under_way && status.began_s == began);
	assert_int_equal(pool_scrub(fix.pool, true, NULL), 0);
	pool_scrub_status(fix.pool, &status);
	assert_int_equal(status.frames, frames());
	assert_int_equal(status.damaged, 1);
}

/* One that is given up is not resumed, also by the next daemon: a new one begins. */
static void test_given_up(void **state)
{
	struct move_progress progress = {.cancel = true};
	struct scrub_status status;

	(void)state;
	assert_int_equal(pool_scrub(fix.pool, false, &progress), -ECANCELED);
	pool_scrub_give_up(fix.pool);
	pool_scrub_status(fix.pool, &status);
	assert_false(status.under_way);
	scrub_settle(fix.pool);
	fix_pool_crash(&fix);
	pool_scrub_status(fix.pool, &status);
	assert_false(status.under_way);
	assert_true(status.began_s > 0 && status.ended_s == 0);
	pool_scrub_count_from_now(fix.pool); /* one has begun: that counts */
	pool_scrub_status(fix.pool, &status);
	assert_int_equal(status.ended_s, 0);
	assert_int_equal(pool_scrub(fix.pool, true, NULL), 0);
	pool_scrub_status(fix.pool, &status);
	assert_int_equal(status.frames, frames());
}

/* A pool that was never scrubbed counts from when somebody asked. */
static void test_never(void **state)
{
	struct scrub_status status;

	(void)state;
	pool_scrub_status(fix.pool, &status);
	assert_true(status.began_s == 0 && status.ended_s == 0);
	pool_scrub_count_from_now(fix.pool);
	scrub_settle(fix.pool);
	fix_pool_crash(&fix);
	pool_scrub_status(fix.pool, &status);
	assert_true(status.began_s == 0 && status.ended_s > 0);
	assert_false(status.under_way);
}

static int second = 1; /* what a second call said in the middle of the first */

static ssize_t second_pread(int fd, void *buf, size_t len, off_t off)
{
	if (second > 0)
		second = pool_scrub(fix.pool, false, NULL);
	return io_ops_system.pread(fd, buf, len, off);
}

static void test_one_at_a_time(void **state)
{
	struct io_ops ops = io_ops_system;

	(void)state;
	ops.pread = second_pread;
	io_ops_set(&ops);
	assert_int_equal(scrub().frames, frames());
	io_ops_set(NULL);
	assert_int_equal(second, -EBUSY);
}

/* Who watches is told how much there is, how far it is, and what is damaged. */
static void test_progress(void **state)
{
	struct move_progress progress = {.cancel = false};
	struct frame_record record;

	(void)state;
	frame_of(ids[0], 0, &record);
	flip(&record, record.off + record.stored_len - 1);
	assert_int_equal(pool_scrub(fix.pool, false, &progress), 0);
	assert_true(progress.bytes_total > 0);
	assert_int_equal(progress.bytes_done, progress.bytes_total);
	assert_int_equal(progress.frames_failed, 1);
}

/* A frame that one of two directories has damaged is no damage: it is made good. */
static void test_mirrored(void **state)
{
	struct frame_record record;
	struct scrub_status status;
	uint64_t frame;

	teardown(state);
	log_capture();
	fix_pool_small_mirrored(&fix);
	assert_int_equal(pool_create(&fix.config), 0);
	fix_pool_open(&fix);
	{
		struct txn *txn = txn_begin(fix.pool);
		struct object *object;

		assert_int_equal(object_create(txn, "a", 1, &object), 0);
		assert_int_equal(txn_commit(txn), 0);
		ids[0] = object_id(object);
		object_put(object);
	}
	object_put_bytes(ids[0], 1);
	assert_int_equal(pool_sync(fix.pool), 0);
	frame = frame_of(ids[0], 0, &record);
	flip(&record, record.off + record.stored_len - 1);
	status = scrub();
	assert_int_equal(status.damaged, 0);
	assert_true(status.mended >= 1);
	assert_int_equal(damaged(), 0);
	assert_true(frame_of(ids[0], 0, &record) != frame); /* written elsewhere */
	fix_pool_verify_copies(&fix);
	status = scrub();
	assert_int_equal(status.mended + status.damaged, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_every_byte, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wrong_frame, setup, teardown),
		cmocka_unit_test_setup_teardown(test_segment_header, setup, teardown),
		cmocka_unit_test_setup_teardown(test_list, setup, teardown),
		cmocka_unit_test_setup_teardown(test_resume, setup, teardown),
		cmocka_unit_test_setup_teardown(test_given_up, setup, teardown),
		cmocka_unit_test_setup_teardown(test_never, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_at_a_time, setup, teardown),
		cmocka_unit_test_setup_teardown(test_progress, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mirrored, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
