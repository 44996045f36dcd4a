// SPDX-License-Identifier: Apache-2.0
/* Exports into folders that take nothing (t-export.sh and t-export-dead.sh have the rest). */
#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "fs/export.h"
#include "tests/unit/fix_fs.h"
#include "tests/unit/fix_place.h"
#include "tiers/io.h"

static int last_error;

static void missing(void *arg, const char *path, uint64_t off, uint64_t len, int error)
{
	(void)arg;
	(void)off;
	(void)len;
	assert_string_equal(path, "f");
	last_error = error;
}

static ssize_t write_nothing(int fd, const void *buf, size_t len, off_t off)
{
	(void)fd;
	(void)buf;
	(void)len;
	(void)off;
	return 0;
}

static ssize_t write_full(int fd, const void *buf, size_t len, off_t off)
{
	(void)fd;
	(void)buf;
	(void)len;
	(void)off;
	errno = ENOSPC;
	return -1;
}

static int remove_one(const char *path, const struct stat *st, int what, struct FTW *ftw)
{
	(void)st;
	(void)what;
	(void)ftw;
	return remove(path);
}

/* Of a pool with the file f, by a daemon that died. */
static int export_with(struct fix_fs *fix, ssize_t (*pwrite)(int, const void *, size_t, off_t),
		       struct export_result *result)
{
	char dest[] = "/var/tmp/terrace-export-XXXXXX", path[64];
	struct export_options options = {
		.config = &fix->pool.config, .dest = dest, .missing = missing};
	struct io_ops ops = io_ops_system;
	uint64_t len;
	uint8_t *bytes;
	int rc;

	assert_non_null(mkdtemp(dest));
	if (pwrite)
		ops.pwrite = pwrite;
	io_ops_set(&ops);
	rc = fs_export(&options, result);
	io_ops_set(NULL);
	snprintf(path, sizeof(path), "%s/f", dest);
	bytes = place_read(path, &len);
	if (rc == 0 && !result->missing) {
		assert_int_equal(len, 4);
		assert_memory_equal(bytes, "data", 4);
	}
	free(bytes);
	nftw(dest, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	return rc;
}

static void test_a_folder_that_takes_nothing(void **state)
{
	struct export_result *result = malloc(sizeof(*result));
	struct fix_fs *fix = *state;

	assert_non_null(result);
	fix_file(fix, ROOT, "f", "data");
	fs_close(fix->fs);
	pool_abandon(fix->pool.pool);
	assert_int_equal(export_with(fix, NULL, result), 0);
	assert_true(result->names == 1 && result->bytes == 4 && !result->missing);
	assert_true(result->source.unclean && !result->source.ram_missing);
	assert_int_equal(export_with(fix, write_nothing, result), 0);
	assert_true(result->missing == 1 && last_error == -EIO);
	assert_int_equal(export_with(fix, write_full, result), -ENOSPC);
	free(result);
	fix_pool_open(&fix->pool);
	assert_int_equal(fs_open(fix->pool.pool, "/mnt", &fix->fs), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_folder_that_takes_nothing, fix_fs_setup,
						fix_fs_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
