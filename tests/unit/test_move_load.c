// SPDX-License-Identifier: Apache-2.0
/*
 * How moves ask for their sources: frames that lie in a row in one access, and what is wrong with
 * such an access, or with one frame of it, costs what it costs elsewhere. And in which batches they
 * come.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/unit/fix_bytes.h"
#include "tests/unit/fix_dir.h"
#include "tests/unit/fix_pool.h"
#include "tiers/damage.h"
#include "tiers/engine/engine_impl.h"
#include "tiers/extmap.h"
#include "tiers/framestore.h"
#include "tiers/object.h"
#include "tiers/replicate.h"
#include "tiers/segment_file.h"

#define LEN    ((10u << 20) + 12345u) /* more than a batch */
#define FRAME  (128u << 10)
#define FRAMES (LEN / FRAME + 1)
#define ALONE  (FRAMES / 10) /* frames behind the last row of a batch, or of a segment */
#define SSD    1u
#define HDD    2u

static struct fix_pool fix;
static uint8_t bytes[LEN], got[LEN];
static uint64_t id;

static const struct tier_ops *real;
static struct tier_ops wrapped;
static _Atomic unsigned long in_rows, alone; /* reads of the ssd */
static _Atomic bool rows_fail;

static int ssd_read(struct tier *tier, struct tier_segment seg, void *buf, size_t len, uint64_t off,
		    enum tier_hint hint)
{
	(hint == TIER_STREAM ? &in_rows : &alone)[0]++;
	if (hint == TIER_STREAM && rows_fail)
		return -EIO;
	return real->read(tier, seg, buf, len, off, hint);
}

static void wrap(void)
{
	struct tier *ssd = fix.pool->tiers[SSD].tier;

	real = ssd->ops;
	wrapped = *real;
	wrapped.read = ssd_read;
	ssd->ops = &wrapped;
	in_rows = alone = 0;
	rows_fail = false;
}

static int setup(void **state)
{
	struct object *object;
	struct txn *txn;

	(void)state;
	log_capture();
	fix_pool_new(&fix, 64u << 20, false);
	txn = txn_begin(fix.pool);
	assert_int_equal(object_create(txn, "a", 1, &object), 0);
	assert_int_equal(txn_commit(txn), 0);
	id = object_id(object);
	bytes_fill_text(bytes, LEN, 1);
	bytes_fill_random(bytes + LEN / 2, 300u << 10, 2);
	for (uint32_t off = 0; off < LEN; off += 1u << 20)
		assert_int_equal(object_write(object, bytes + off,
					      LEN - off < 1u << 20 ? LEN - off : 1u << 20, off),
				 0);
	object_put(object);
	assert_int_equal(pool_sync(fix.pool), 0);
	wrap();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fix_pool_free(&fix);
	log_release();
	return 0;
}

static int read_at(uint32_t off, uint32_t len)
{
	struct object *object;
	size_t n = 0;
	int rc;

	assert_int_equal(object_get(fix.pool, id, &object), 0);
	rc = object_read(object, got, len, off, &n);
	object_put(object);
	if (rc == 0) {
		assert_int_equal(n, len);
		assert_memory_equal(got, bytes + off, len);
	}
	return rc;
}

static int add_tier(void *arg, const struct object_extent *extent)
{
	((uint64_t *)arg)[extent->tier] += extent->len;
	return 0;
}

static uint64_t bytes_in(uint32_t tier)
{
	uint64_t in[CONFIG_TIERS_MAX] = {0};
	struct object *object;

	assert_int_equal(object_get(fix.pool, id, &object), 0);
	assert_int_equal(object_extents(object, add_tier, in), 0);
	object_put(object);
	return in[tier];
}

static void flip_stored(uint64_t off)
{
	struct extent_list list = {0};
	struct frame_record record;
	struct object *object;
	char path[256];
	uint8_t byte;
	int fd;

	assert_int_equal(object_get(fix.pool, id, &object), 0);
	assert_int_equal(extmap_list(object, off, off + 1, 1, &list), 0);
	assert_int_equal(frame_record_get(fix.pool, list.items[0].frame, &record), 0);
	extent_list_release(&list);
	object_put(object);
	assert_int_equal(segment_file_path(path, sizeof(path),
					   tier_place_path(fix.pool->tiers[SSD].tier, record.place),
					   record.segment),
			 0);
	fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	off = record.off + record.stored_len - 10u;
	assert_int_equal(pread(fd, &byte, 1, (off_t)off), 1);
	byte ^= 4;
	assert_int_equal(pwrite(fd, &byte, 1, (off_t)off), 1);
	assert_int_equal(fdatasync(fd), 0);
	close(fd);
}

static void test_in_rows(void **state)
{
	(void)state;
	assert_int_equal(pool_move(fix.pool, &id, 1, HDD, NULL), 0);
	assert_int_equal(bytes_in(HDD), LEN);
	assert_in_range(in_rows, 1, FRAMES / 3);
	assert_in_range(alone, 0, ALONE);
	assert_int_equal(read_at(0, LEN), 0);
	fix_pool_verify(&fix);
}

/* What the row does not give is read frame by frame. */
static void test_rows_that_fail(void **state)
{
	(void)state;
	rows_fail = true;
	assert_int_equal(pool_move(fix.pool, &id, 1, HDD, NULL), 0);
	assert_int_equal(bytes_in(HDD), LEN);
	assert_true(in_rows > 0);
	assert_int_equal(alone, FRAMES);
	assert_int_equal(read_at(0, LEN), 0);
	fix_pool_verify(&fix);
}

/* One of them is damaged: it stays, the others move. */
static void test_damage_in_a_row(void **state)
{
	(void)state;
	flip_stored(5 * FRAME);
	assert_int_equal(pool_move(fix.pool, &id, 1, HDD, NULL), -EBADMSG);
	assert_int_equal(bytes_in(SSD), FRAME);
	assert_int_equal(bytes_in(HDD), LEN - FRAME);
	assert_in_range(alone, 1, 1 + ALONE);
	assert_int_equal(read_at(0, 5 * FRAME), 0);
	assert_int_equal(read_at(5 * FRAME, 4096 + 1), 0); /* another block of it */
	assert_int_equal(read_at(6 * FRAME, LEN - 6 * FRAME), 0);
	assert_int_equal(read_at(5 * FRAME, FRAME), -EIO);
}

/* There and back: batches are as large as they may be, so their ends make no small frames. */
static void test_whole_frames(void **state)
{
	struct extent_list list = {0};
	struct object *object;

	(void)state;
	assert_int_equal(pool_move(fix.pool, &id, 1, HDD, NULL), 0);
	assert_int_equal(object_get(fix.pool, id, &object), 0);
	assert_int_equal(extmap_list(object, 0, LEN, SIZE_MAX, &list), 0);
	assert_int_equal(list.count, LEN / (1u << 20) + 1);
	for (size_t i = 0; i + 1 < list.count; i++)
		assert_int_equal(list.items[i].len, 1u << 20);
	extent_list_release(&list);
	object_put(object);
	assert_int_equal(pool_move(fix.pool, &id, 1, SSD, NULL), 0);
	assert_int_equal(bytes_in(SSD), LEN);
	assert_int_equal(read_at(0, LEN), 0);
	fix_pool_verify(&fix);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_in_rows, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rows_that_fail, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damage_in_a_row, setup, teardown),
		cmocka_unit_test_setup_teardown(test_whole_frames, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
