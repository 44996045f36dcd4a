// SPDX-License-Identifier: Apache-2.0
/* When reads move the access time, and that it outlives a mount. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "fs/inode.h"
#include "tests/unit/fix_fault.h"
#include "tests/unit/fix_fs.h"
#include "tiers/clock.h"

#define OLD 1000

static void set_times(struct fix_fs *fix, uint64_t id, time_t atime, time_t mtime)
{
	struct stat values = {.st_atim = {atime, 0}, .st_mtim = {mtime, 0}, .st_ctim = {mtime, 0}},
		    st;

	assert_int_equal(
		fs_setattr(fix->fs, id, FS_SET_ATIME | FS_SET_MTIME | FS_SET_CTIME, &values, &st),
		0);
}

/* One open for reading, with a read. Whether it moved the time. */
static bool reads(struct fix_fs *fix, uint64_t id)
{
	struct inode *inode;
	bool moved;

	assert_int_equal(fs_file_open(fix->fs, id, O_RDONLY, false, &inode), 0);
	moved = atime_file(fix->fs, inode);
	fs_file_close(fix->fs, inode, O_RDONLY);
	return moved;
}

static bool is_now(struct fix_fs *fix, uint64_t id)
{
	return time(NULL) - fix_stat(fix, id).st_atim.tv_sec < 10;
}

static void relative(void **state)
{
	struct fix_fs *fix = *state;
	uint64_t f = fix_file(fix, ROOT, "f", "data");

	set_times(fix, f, OLD, OLD + 1); /* changed since it was read */
	assert_true(reads(fix, f));
	assert_true(is_now(fix, f));
	assert_false(reads(fix, f));
	set_times(fix, f, time(NULL) - 86000, OLD); /* read less than a day ago */
	assert_false(reads(fix, f));
	set_times(fix, f, time(NULL) - 86500, OLD);
	assert_true(reads(fix, f));
	fix_fs_remount(fix);
	assert_true(is_now(fix, f));
	assert_int_equal(fix_stat(fix, f).st_mtim.tv_sec, OLD);
}

/* No room for the new time: a reader's fsync does not fail for it, a writer's does. */
static void on_a_full_pool(void **state)
{
	struct fix_fs *fix = *state;
	uint64_t f = fix_file(fix, ROOT, "f", "data"), other = fix_file(fix, ROOT, "other", "");
	static uint8_t value[60000];
	struct inode *inode;
	char name[32];
	int r = 0;

	set_times(fix, f, OLD, OLD + 1);
	assert_int_equal(pool_sync(fix->pool.pool), 0);
	fault_arm(FAULT_ALLOCATE | FAULT_TRUNCATE, 1, FAULT_ENOSPC, true);
	for (unsigned i = 0; r == 0 && i < 10000; i++) { /* large steps, then small ones */
		size_t len = i < 5000 ? sizeof(value) : 1;

		snprintf(name, sizeof(name), "user.%u", i);
		r = fs_setxattr(fix->fs, other, name, value, len, 0, &fix->cred);
		if (r == -ENOSPC && i < 5000) {
			i = 5000;
			r = 0;
		}
	}
	assert_int_equal(r, -ENOSPC);
	assert_int_equal(fs_file_open(fix->fs, f, O_RDWR, false, &inode), 0);
	assert_true(atime_file(fix->fs, inode));
	assert_int_equal(fs_fsync(fix->fs, inode), 0);
	inode_written(inode, clock_wall_ns());
	assert_int_equal(fs_fsync(fix->fs, inode), -ENOSPC);
	fault_disarm();
	assert_int_equal(fs_fsync(fix->fs, inode), 0);
	fs_file_close(fix->fs, inode, O_RDWR);
	assert_true(is_now(fix, f));
}

static void strict_and_off(void **state)
{
	struct fix_fs *fix = *state;
	uint64_t f = fix_file(fix, ROOT, "f", "data"), d = fix_folder(fix, ROOT, "d");

	set_times(fix, f, OLD + 5, OLD);
	set_times(fix, d, OLD, OLD + 5);
	atime_set_mode(fix->fs, ATIME_OFF, false);
	assert_false(reads(fix, f));
	atime_touch(fix->fs, d);
	assert_int_equal(fix_stat(fix, f).st_atim.tv_sec, OLD + 5);
	assert_int_equal(fix_stat(fix, d).st_atim.tv_sec, OLD);
	atime_set_mode(fix->fs, ATIME_STRICT, true);
	assert_true(reads(fix, f));
	atime_touch(fix->fs, d); /* nodiratime */
	assert_int_equal(fix_stat(fix, d).st_atim.tv_sec, OLD);
	atime_set_mode(fix->fs, ATIME_RELATIVE, false);
	atime_touch(fix->fs, d);
	assert_true(is_now(fix, d));
	atime_touch(fix->fs, 12345); /* no such inode: nothing */
	fix_fs_crash(fix);
	assert_true(is_now(fix, d));
}

/* What somebody sets goes before a read that was earlier, also while the file is open. */
static void set_after_read(void **state)
{
	struct fix_fs *fix = *state;
	uint64_t f = fix_file(fix, ROOT, "f", "data");
	struct inode *inode;

	set_times(fix, f, OLD, OLD);
	assert_int_equal(fs_file_open(fix->fs, f, O_RDONLY, false, &inode), 0);
	assert_true(atime_file(fix->fs, inode));
	assert_true(is_now(fix, f)); /* shown before it is stored */
	set_times(fix, f, OLD + 7, OLD);
	assert_int_equal(fix_stat(fix, f).st_atim.tv_sec, OLD + 7);
	fs_file_close(fix->fs, inode, O_RDONLY);
	assert_int_equal(fix_stat(fix, f).st_atim.tv_sec, OLD + 7);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, fix_fs_setup, fix_fs_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(relative),
		TEST(on_a_full_pool),
		TEST(strict_and_off),
		TEST(set_after_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
