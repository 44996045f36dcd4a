// SPDX-License-Identifier: Apache-2.0
/*
 * Copies of the metadata: what is read back is the state of one moment, whatever went on meanwhile;
 * damage is told; whatever fails and whenever the power goes, the copy before is there.
 */
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "compress/bytes.h"
#include "tests/unit/fix_cut.h"
#include "tests/unit/fix_dir.h"
#include "tests/unit/fix_fault.h"
#include "tests/unit/fix_place.h"
#include "tiers/meta.h"
#include "tiers/meta_copy.h"
#include "tiers/meta_impl.h"
#include "tiers/meta_snapshot.h"

#define KEYS 12000u

static struct place place;
static struct dir_fixture dirs;
static struct meta *meta;
static uint64_t changes;

static void change(unsigned n)
{
	struct meta_batch *batch;
	uint8_t value[200];

	assert_int_equal(meta_batch_new(&batch), 0);
	for (unsigned i = 0; i < n; i++) {
		uint64_t mix = ++changes * 0x9e3779b97f4a7c15u;
		char key[32];
		size_t len =
			(size_t)snprintf(key, sizeof(key), "K%06u", (unsigned)(mix >> 32) % KEYS);

		memset(value, (int)mix, sizeof(value));
		put_le64(value, changes);
		if (changes % 7)
			meta_batch_put(batch, key, len, value, 8 + mix % 190);
		else
			meta_batch_del(batch, key, len);
	}
	/* The same twice in one moment: a copy that shows one alone is of none. */
	put_le64(value, changes);
	meta_batch_put(batch, "Afirst", 6, value, 8);
	meta_batch_put(batch, "Zlast", 5, value, 8);
	assert_int_equal(meta_apply(meta, batch, NULL), 0);
	meta_batch_free(batch);
}

static void checkpoint(void)
{
	assert_int_equal(meta_freeze(meta), 0);
	assert_int_equal(meta_checkpoint(meta), 0);
}

static int setup_with(unsigned batches)
{
	struct meta_options options;

	setenv("TMPDIR", "/dev/shm", 1);
	place_make(&place);
	dir_fixture_make(&dirs, "/dev/shm");
	place_options(&place, true, 1 << 20, &options);
	assert_int_equal(meta_open_lmdb(&meta, &options, NULL), 0);
	changes = 0;
	for (unsigned i = 0; i < batches; i++)
		change(400);
	checkpoint();
	log_capture();
	return 0;
}

static int setup(void **state)
{
	(void)state;
	return setup_with(40);
}

/* Two or three blocks. */
static int setup_small(void **state)
{
	(void)state;
	return setup_with(6);
}

static int teardown(void **state)
{
	(void)state;
	log_release();
	meta_abandon(meta);
	place_remove(&place);
	dir_fixture_remove(&dirs);
	return 0;
}

static void job_of(struct copy_job *job, uint64_t generation, size_t ndirs)
{
	*job = (struct copy_job){.meta = meta,
				 .pool_uuid = place.uuid,
				 .generation = generation,
				 .time_ns = (int64_t)generation * 1000,
				 .keep = 2,
				 .dirs = dirs.list,
				 .ndirs = ndirs};
}

static void path_in(char path[128], unsigned dir, unsigned generation)
{
	snprintf(path, 128, "%s/metadata/copy.%016x", dirs.paths[dir], generation);
}

static int apply_to(void *arg, const void *ops, size_t len)
{
	struct meta *to = arg;
	struct meta_batch *batch;
	struct meta_op op;
	size_t pos = 0;

	assert_int_equal(meta_batch_new(&batch), 0);
	while (!meta_op_next(ops, len, &pos, &op)) {
		if (op.value)
			meta_batch_put(batch, op.key, op.key_len, op.value, op.len);
		else
			meta_batch_del(batch, op.key, op.key_len);
	}
	assert_int_equal(meta_apply(to, batch, NULL), 0);
	meta_batch_free(batch);
	return 0;
}

/* The copy holds exactly what the store does. */
static void expect_same(const char *path)
{
	struct meta_cursor *a, *b;
	struct meta_item x, y;
	struct copy_info info;
	struct meta *to;
	int rc;

	assert_int_equal(meta_open_memory(&to), 0);
	assert_int_equal(copy_read(path, place.uuid, apply_to, to, &info), 0);
	assert_int_equal(info.seq, meta_seq(meta));
	assert_int_equal(meta_cursor_open(meta, NULL, 0, NULL, 0, &a), 0);
	assert_int_equal(meta_cursor_open(to, NULL, 0, NULL, 0, &b), 0);
	while (!(rc = meta_cursor_next(a, &x))) {
		assert_int_equal(meta_cursor_next(b, &y), 0);
		assert_int_equal(x.key_len, y.key_len);
		assert_memory_equal(x.key, y.key, x.key_len);
		assert_int_equal(x.len, y.len);
		assert_memory_equal(x.value, y.value, x.len);
	}
	assert_int_equal(rc, -ENOENT);
	assert_int_equal(meta_cursor_next(b, &y), -ENOENT);
	meta_cursor_close(a);
	meta_cursor_close(b);
	meta_abandon(to);
}

static unsigned paces;

/* Changes, and checkpoints of them, while the copy is being made. */
static int pace_changing(void *arg, uint64_t work_ns)
{
	unsigned *upto = arg;

	(void)work_ns;
	if (paces++ >= *upto)
		return 0;
	change(300);
	checkpoint();
	return 0;
}

static void test_while_changing(void **state)
{
	struct copy_info info;
	struct copy_job job;
	size_t written;
	char path[128];

	(void)state;
	for (unsigned upto = 0; upto <= 6; upto++) {
		paces = 0;
		job_of(&job, upto + 1, 3);
		job.pace = pace_changing;
		job.arg = &upto;
		assert_int_equal(copy_write(&job, &info, &written), 0);
		assert_int_equal(written, 3);
		assert_true(paces >= 5);
		for (unsigned i = 0; i < 3; i++) {
			path_in(path, i, upto + 1);
			expect_same(path);
		}
	}
}

/* A store that changes faster than it is copied: said, not endless. */
static void test_overtaken(void **state)
{
	struct meta_snapshot *snapshot, *second;
	struct meta_batch *batch;
	uint64_t seq;

	(void)state;
	assert_int_equal(meta_batch_new(&batch), 0);
	assert_int_equal(meta_snapshot_open(meta, &snapshot), 0);
	assert_int_equal(meta_snapshot_open(meta, &second), -EBUSY);
	assert_int_equal(meta_snapshot_next(snapshot, batch, &seq), 0);
	for (unsigned i = 0; i < 3; i++) {
		change(10);
		checkpoint();
	}
	assert_int_equal(meta_snapshot_next(snapshot, batch, &seq), -EAGAIN);
	meta_snapshot_close(snapshot);
	meta_batch_free(batch);
}

struct found {
	unsigned count;
	uint64_t newest;
};

static int each_found(void *arg, const char *path, const struct copy_info *info)
{
	struct found *found = arg;
	struct copy_info whole;

	assert_int_equal(copy_read(path, place.uuid, NULL, NULL, &whole), 0);
	assert_memory_equal(&whole, info, sizeof(whole));
	found->count++;
	if (info->generation > found->newest)
		found->newest = info->generation;
	return 0;
}

static void test_generations(void **state)
{
	struct found found = {0};
	struct copy_info info;
	struct copy_job job;
	uint8_t other[16] = "another pool's.";
	size_t written;
	char path[128];

	(void)state;
	for (unsigned i = 1; i <= 5; i++) {
		job_of(&job, i, 2);
		assert_int_equal(copy_write(&job, &info, &written), 0);
	}
	for (unsigned i = 0; i < 2; i++) {
		found = (struct found){0};
		assert_int_equal(copy_list(dirs.paths[i], place.uuid, each_found, &found), 0);
		assert_int_equal(found.count, 2);
		assert_int_equal(found.newest, 5);
	}
	found.count = 0;
	assert_int_equal(copy_list(dirs.paths[0], other, each_found, &found), 0);
	assert_int_equal(found.count, 0);
	path_in(path, 0, 5);
	assert_int_equal(copy_read(path, other, NULL, NULL, &info), -ENOTUNIQ);
	assert_int_equal(copy_list(dirs.paths[2], place.uuid, each_found, &found), -ENOENT);
	path_in(path, 0, 4);
	assert_int_equal(copy_read(path, place.uuid, NULL, NULL, &info), 0);
	assert_int_equal(info.time_ns, 4000); /* of the state, not of the writing */
	copy_remove_all(dirs.paths[0]);
	assert_int_equal(copy_list(dirs.paths[0], place.uuid, each_found, &found), -ENOENT);
}

/* What no checkpoint has put into the tree is not in a copy, so it must not say that it is. */
static void test_state_of_the_tree(void **state)
{
	struct copy_info info;
	struct copy_job job;
	size_t written;

	(void)state;
	change(1);
	job_of(&job, 1, 2);
	job.seq = meta_seq(meta);
	assert_int_equal(copy_write(&job, &info, &written), -EAGAIN);
	assert_int_equal(written, 0);
	checkpoint();
	assert_int_equal(copy_write(&job, &info, &written), 0);
	assert_int_equal(info.seq, job.seq);
}

/* Any byte changed, any length cut: never taken for good. */
static void test_damage(void **state)
{
	struct copy_info info;
	struct copy_job job;
	size_t written;
	struct dice dice;
	uint8_t *bytes;
	char path[128];
	uint64_t len;

	(void)state;
	job_of(&job, 1, 1);
	assert_int_equal(copy_write(&job, &info, &written), 0);
	path_in(path, 0, 1);
	bytes = place_read(path, &len);
	dice_init(&dice, "damage");
	for (unsigned i = 0; i < 400; i++) {
		uint64_t at = i < 168 ? i : i < 240 ? len - 1 - (i - 168) : dice_roll(&dice, len);

		bytes[at] ^= 0x20;
		place_write(path, bytes, len);
		assert_int_not_equal(copy_read(path, place.uuid, NULL, NULL, &info), 0);
		bytes[at] ^= 0x20;
	}
	for (unsigned i = 0; i < 100; i++) {
		place_write(path, bytes, dice_roll(&dice, len));
		assert_int_not_equal(copy_read(path, place.uuid, NULL, NULL, &info), 0);
	}
	place_write(path, bytes, len);
	assert_int_equal(copy_read(path, place.uuid, NULL, NULL, &info), 0);
	free(bytes);
}

static void test_faults(void **state)
{
	static const enum fault_kind kinds[] = {FAULT_EIO, FAULT_ENOSPC, FAULT_SHORT, FAULT_EINTR};
	struct found found;
	struct copy_info info;
	struct copy_job job;
	size_t written;
	uint64_t generation = 1;
	char path[128];
	int fds = fault_open_fds();

	(void)state;
	job_of(&job, generation, 1);
	assert_int_equal(copy_write(&job, &info, &written), 0);
	for (unsigned kind = 0; kind < 8; kind++) {
		for (uint64_t n = 1;; n++) {
			uint64_t failed;
			int rc;

			job_of(&job, ++generation, 1);
			fault_arm(FAULT_ALL, n, kinds[kind / 2], kind & 1);
			rc = copy_write(&job, &info, &written);
			failed = fault_disarm();
			found = (struct found){0};
			assert_int_equal(copy_list(dirs.paths[0], place.uuid, each_found, &found),
					 0);
			assert_true(found.count >= 1);
			assert_int_equal(fault_open_fds(), fds);
			assert_int_equal(rc == 0, written == 1);
			if (rc == 0)
				assert_int_equal(found.newest, generation);
			if (!failed)
				break;
			if (found.count > 1) { /* else there are ever more to be looked at */
				job_of(&job, ++generation, 1);
				job.keep = 1;
				assert_int_equal(copy_write(&job, &info, &written), 0);
			}
		}
	}
	snprintf(path, sizeof(path), "%s/metadata/copy.new", dirs.paths[0]);
	assert_int_not_equal(access(path, F_OK), 0);
}

/* One medium fails, the other one has the copy. */
static void test_one_medium_fails(void **state)
{
	struct copy_info info;
	struct copy_job job;
	size_t written;
	char path[128];

	(void)state;
	snprintf(path, sizeof(path), "%s/metadata", dirs.paths[0]);
	place_write(path, (const uint8_t *)"x", 1); /* a file where the folder should be */
	job_of(&job, 1, 2);
	assert_int_equal(copy_write(&job, &info, &written), 0);
	assert_int_equal(written, 1);
	assert_non_null(strstr(log_captured(), "no copy of the metadata"));
	path_in(path, 1, 1);
	expect_same(path);
}

static void test_power(void **state)
{
	static const enum cut_kind kinds[] = {CUT_KEPT, CUT_LOST, CUT_TORN};
	struct copy_info info;
	struct copy_job job;
	struct found found;
	size_t written;
	uint64_t generation = 1;
	bool cut;

	(void)state;
	job_of(&job, generation, 1);
	job.keep = 1;
	assert_int_equal(copy_write(&job, &info, &written), 0);
	for (unsigned kind = 0; kind < 3; kind++) {
		for (uint64_t n = 1;; n++) {
			int rc;

			job_of(&job, ++generation, 1);
			job.keep = 1;
			cut_arm(dirs.root, n, n);
			rc = copy_write(&job, &info, &written);
			cut = cut_apply(kinds[kind]);
			found = (struct found){0};
			assert_int_equal(copy_list(dirs.paths[0], place.uuid, each_found, &found),
					 0);
			assert_true(found.count >= 1); /* one that is good */
			if (rc == 0)
				assert_int_equal(found.newest, generation);
			if (!cut)
				break;
			if (found.count > 1) {
				job_of(&job, ++generation, 1);
				job.keep = 1;
				assert_int_equal(copy_write(&job, &info, &written), 0);
			}
		}
	}
}

#define TEST(test)  cmocka_unit_test_setup_teardown(test, setup, teardown)
#define SMALL(test) cmocka_unit_test_setup_teardown(test, setup_small, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_while_changing),    TEST(test_overtaken), TEST(test_state_of_the_tree),
		TEST(test_generations),	      SMALL(test_damage),   SMALL(test_faults),
		SMALL(test_one_medium_fails), SMALL(test_power),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
