// SPDX-License-Identifier: Apache-2.0
/* Copies: one that counts is whole, also when what it is made from is not; and where directories
 * go and come back, none that is good is thrown away. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/unit/fix_pool.h"
#include "tests/unit/fix_dir.h"
#include "tiers/damage.h"
#include "tiers/extmap.h"
#include "tiers/framestore.h"
#include "tiers/object.h"
#include "tiers/pool_impl.h"
#include "tiers/replicate.h"
#include "tiers/segment_file.h"

#define LEN (400u << 10)
#define HDD 2u

static struct fix_pool fix;
static uint8_t bytes[LEN];
static uint64_t id;

/* An object on the hdd, in both of its directories. */
static int setup(void **state)
{
	struct object *object;
	struct txn *txn;
	uint32_t x = 1;

	(void)state;
	log_capture();
	fix_pool_small_mirrored(&fix);
	assert_int_equal(pool_create(&fix.config), 0);
	fix_pool_open(&fix);
	for (size_t i = 0; i < LEN; i++) {
		x = x * 1664525 + 1013904223;
		bytes[i] = (uint8_t)(x >> 24);
	}
	txn = txn_begin(fix.pool);
	assert_int_equal(object_create(txn, "a", 1, &object), 0);
	assert_int_equal(txn_commit(txn), 0);
	id = object_id(object);
	assert_int_equal(object_write(object, bytes, LEN, 0), 0);
	object_put(object);
	assert_int_equal(pool_sync(fix.pool), 0);
	assert_int_equal(pool_move(fix.pool, &id, 1, HDD, NULL), 0);
	assert_int_equal(pool_sync(fix.pool), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fix_pool_free(&fix);
	log_release();
	return 0;
}

static uint64_t frame_at(uint64_t off, struct frame_record *record)
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

static void flip(const struct frame_record *record, uint32_t place)
{
	char path[256];
	uint8_t byte;
	int fd;

	assert_int_equal(
		segment_file_path(path, sizeof(path),
				  tier_place_path(fix.pool->tiers[record->tier].tier, place),
				  record->segment),
		0);
	fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &byte, 1, record->off + record->stored_len - 9), 1);
	byte ^= 4;
	assert_int_equal(pwrite(fd, &byte, 1, record->off + record->stored_len - 9), 1);
	close(fd);
}

/* Forgets the copies of the hdd in a place, as when its directory went. */
static void drop(uint32_t place)
{
	struct segment *segment;
	size_t at = 0;

	while ((segment = idmap_each(&fix.pool->segments, &at)))
		if (segment->record.tier == HDD)
			homes_drop(fix.pool->homes, segment->id, place);
}

static unsigned copies_at(uint64_t off)
{
	struct frame_record record;
	unsigned have, want;

	frame_at(off, &record);
	copies_of_frame(fix.pool, &record, &have, &want);
	assert_int_equal(want, 2);
	return have;
}

static int read_at(uint64_t off, uint32_t len)
{
	uint8_t *buf = malloc(len);
	struct object *object;
	size_t got;
	int rc;

	fix_pool_close(&fix);
	fix_pool_open(&fix);
	assert_int_equal(object_get(fix.pool, id, &object), 0);
	rc = object_read(object, buf, len, off, &got);
	if (rc == 0)
		assert_memory_equal(buf, bytes + off, len);
	object_put(object);
	free(buf);
	return rc;
}

/* One frame is damaged in the only copy: the others get their second one, it does not, and no copy
 * with a hole in its place counts. What is damaged is still there, should the bit flip back. */
static void test_damaged_source(void **state)
{
	struct frame_record record;
	uint32_t len;

	(void)state;
	frame_at(0, &record);
	len = record.raw_len;
	assert_int_equal(copies_at(0), 2);
	drop(1);
	flip(&record, 0);
	(void)pool_replicate(fix.pool, true, NULL);
	assert_int_equal(copies_at(0), 1);
	assert_int_equal(copies_at(len), 2);
	assert_int_equal(copies_at(LEN - 1), 2);
	assert_int_equal(read_at(len, LEN - len), 0);
	assert_int_equal(read_at(0, 1), -EIO);
	flip(&record, 0);
	assert_int_equal(read_at(0, LEN), 0);
	assert_int_equal(pool_replicate(fix.pool, true, NULL), 0);
	assert_int_equal(copies_at(0), 2);
	fix_pool_verify_copies(&fix);
}

static void away(uint32_t place, bool go)
{
	char here[128], there[160];

	snprintf(here, sizeof(here), "%s/hdd%s", fix.dir, place ? "1" : "");
	snprintf(there, sizeof(there), "%s.away", here);
	assert_int_equal(go ? rename(here, there) : rename(there, here), 0);
}

/* Both directories go; whichever is back first, has it all. */
static void test_both_away(void **state)
{
	(void)state;
	for (uint32_t first = 0; first < 2; first++) {
		struct copies_stats copies;

		away(0, true);
		away(1, true);
		assert_int_equal(pool_replicate(fix.pool, false, NULL), 0);
		pool_copies(fix.pool, &copies);
		assert_int_equal(copies.lost_places, 2);
		away(first, false);
		assert_int_equal(pool_replicate(fix.pool, false, NULL), 0);
		assert_int_equal(read_at(0, LEN), 0); /* opened without the other one */
		away(!first, false);
		assert_int_equal(pool_replicate(fix.pool, false, NULL), 0);
		pool_copies(fix.pool, &copies);
		assert_int_equal(copies.lost_places, 0);
		assert_int_equal(copies.under, 0);
		fix_pool_verify_copies(&fix);
	}
}

/* A scrub finds a bad copy, and mends it: nothing is left to be mended. */
static void test_bad_copy(void **state)
{
	(void)state;
	for (uint32_t place = 0; place < 2; place++) {
		struct frame_record record;
		struct copies_stats copies;
		uint64_t frame = frame_at(0, &record);

		flip(&record, place);
		copies_bad(fix.pool, frame, &record, place, -EBADMSG);
		pool_copies(fix.pool, &copies);
		assert_int_equal(copies.bad, 1);
		assert_int_equal(pool_replicate(fix.pool, false, NULL), 0);
		pool_copies(fix.pool, &copies);
		assert_int_equal(copies.bad, 0);
		assert_true(frame_at(0, &record) != frame);
		assert_int_equal(copies_at(0), 2);
		fix_pool_verify_copies(&fix);
	}
}

static const struct tier_ops *real;
static uint64_t late; /* a segment, until its copy in place 1 is lost */

/* Another segment is being copied there: meanwhile this one's copy is lost, and that is recorded.
 */
static int late_write(struct tier *tier, struct tier_segment seg, const void *buf, size_t len,
		      uint64_t off, enum tier_hint hint)
{
	uint64_t lost = late;
	struct txn *txn;

	if (late && seg.place == 1 && seg.id != late) {
		late = 0;
		assert_true(homes_drop(fix.pool->homes, lost, 1));
		txn = txn_begin(fix.pool);
		txn_segment_homes(txn, idmap_get(&fix.pool->segments, lost));
		assert_int_equal(txn_commit(txn), 0);
	}
	return real->write(tier, seg, buf, len, off, hint);
}

/* What is made anew in a place is not removed in the name of the copy that was lost there. */
static void test_lost_during_a_pass(void **state)
{
	struct tier *tier = fix.pool->tiers[HDD].tier;
	struct tier_ops wrapped = *tier->ops;
	struct segment *segment;
	uint64_t first = 0;
	size_t at = 0;

	(void)state;
	while ((segment = idmap_each(&fix.pool->segments, &at)))
		if (segment->record.tier == HDD && segment->record.logical) {
			first = first ? first : segment->id;
			late = segment->id;
		}
	assert_true(first != late);
	assert_true(homes_drop(fix.pool->homes, first, 1));
	real = tier->ops;
	wrapped.write = late_write;
	tier->ops = &wrapped;
	assert_int_equal(pool_replicate(fix.pool, true, NULL), 0);
	tier->ops = real;
	assert_int_equal(late, 0);
	assert_int_equal(pool_cut(fix.pool), 0);
	pool_reclaim(fix.pool);
	fix_pool_verify_copies(&fix);
	assert_int_equal(pool_replicate(fix.pool, true, NULL), 0);
	assert_int_equal(copies_at(0), 2);
	assert_int_equal(copies_at(LEN - 1), 2);
	fix_pool_verify_copies(&fix);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(test_damaged_source), TEST(test_both_away),
					   TEST(test_bad_copy), TEST(test_lost_during_a_pass)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
