// SPDX-License-Identifier: Apache-2.0
/* Files that change places, and then the power goes: each name shows one of the two whole. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "fs/inode.h"
#include "tests/unit/fix_fs.h"

static void power(struct fix_fs *fix)
{
	fs_close(fix->fs);
	fix_pool_power(&fix->pool);
	assert_int_equal(fs_open(fix->pool.pool, "/mnt", &fix->fs), 0);
}

static void test_exchange(void **state)
{
	struct fix_fs *fix = *state;
	struct inode *inode;
	uint64_t other;

	fix_file(fix, ROOT, "a", "first");
	fix_file(fix, ROOT, "b", "second");
	assert_int_equal(fs_rename(fix->fs, ROOT, "a", ROOT, "b", RENAME_EXCHANGE), 0);
	/* Makes metadata durable, and of data only what has to be. */
	other = fix_file(fix, ROOT, "other", "x");
	assert_int_equal(fs_file_open(fix->fs, other, O_RDWR, false, &inode), 0);
	assert_int_equal(fs_fsync(fix->fs, inode), 0);
	fs_file_close(fix->fs, inode, O_RDWR);
	power(fix);
	fix_content(fix, fix_id(fix, ROOT, "a"), "second");
	fix_content(fix, fix_id(fix, ROOT, "b"), "first");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_exchange, fix_fs_setup, fix_fs_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
