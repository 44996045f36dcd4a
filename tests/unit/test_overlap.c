// SPDX-License-Identifier: Apache-2.0
/* Where a pool must not be mounted: each folder that it lives in, what contains one and what lies
 * in one, by whatever path; and that nothing else is refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/unit/fix_alloc.h"
#include "tests/unit/fix_dir.h"
#include "tests/unit/fix_fault.h"
#include "tests/unit/fix_pool.h"
#include "tiers/overlap.h"
#include "tiers/pool_impl.h"

static struct dir_fixture dirs;
static struct fix_pool fix;

static int setup(void **state)
{
	(void)state;
	dir_fixture_make(&dirs, "/dev/shm");
	fix_pool_small(&fix);
	log_capture();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	log_release();
	fix_pool_free(&fix);
	dir_fixture_remove(&dirs);
	return 0;
}

/* dir/name, made unless it is there; one of two buffers in turn. */
static const char *folder(const char *dir, const char *name)
{
	static char paths[2][160];
	static unsigned turn;
	char *path = paths[turn++ % 2];

	snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
	if (mkdir(path, 0700) < 0)
		assert_int_equal(errno, EEXIST);
	return path;
}

static void test_within(void **state)
{
	const char *top = dirs.paths[0], *below, *deep;
	int fds = fault_open_fds();
	char link[160];

	(void)state;
	below = folder(top, "below");
	deep = folder(below, "deep");
	assert_true(overlap_within(top, top));
	assert_true(overlap_within(below, top));
	assert_true(overlap_within(deep, top));
	assert_true(overlap_within(deep, "/"));
	assert_true(overlap_within("/", "/"));
	assert_false(overlap_within(top, below));
	assert_false(overlap_within("/", top));
	assert_false(overlap_within(top, dirs.paths[1]));
	/* A link to it, and a path through one. */
	snprintf(link, sizeof(link), "%s/link", dirs.paths[1]);
	assert_int_equal(symlink(top, link), 0);
	assert_true(overlap_within(link, top));
	assert_true(overlap_within(top, link));
	assert_true(overlap_within(folder(link, "below"), top));
	assert_false(overlap_within(link, dirs.paths[1]));
	/* What is not there. */
	snprintf(link, sizeof(link), "%s/none", top);
	assert_false(overlap_within(link, top));
	assert_false(overlap_within(top, link));
	assert_int_equal(fault_open_fds(), fds);
}

/* A bind mount of a folder is the folder. */
static void test_bound(void **state)
{
	const char *at = dirs.paths[3];

	(void)state;
	if (mount(dirs.paths[0], at, NULL, MS_BIND, NULL) < 0)
		skip();
	dirs.mounted |= 1u << 3;
	assert_true(overlap_within(at, dirs.paths[0]));
	assert_true(overlap_within(dirs.paths[0], at));
	assert_true(overlap_within(folder(at, "inside"), dirs.paths[0]));
	assert_true(overlap_within(at, dirs.root));
}

static void refused(const char *point, const char *relation, const char *what)
{
	char text[512];

	log_captured();
	assert_int_equal(overlap_check_mount(&fix.config, point), -EBUSY);
	snprintf(text, sizeof(text), "%s: the mount point %s %s", point, relation, what);
	if (!strstr(log_captured(), text))
		fail_msg("not said: %s", text);
}

static void test_directories(void **state)
{
	const char *hdd;

	(void)state;
	hdd = folder(fix.dir, "hdd");
	refused(hdd, "is", "the tier directory");
	refused(folder(hdd, "inside"), "lies in", "the tier directory");
	refused(fix.dir, "contains", "the tier directory");
	refused(folder(fix.dir, "ssd"), "is", "the tier directory");
}

static void test_metadata(void **state)
{
	const char *meta;

	(void)state;
	assert_int_equal(overlap_check_mount(&fix.config, dirs.paths[0]), 0);
	meta = folder(fix.dir, "meta");
	assert_string_equal(meta, fix.config.meta_path);
	refused(meta, "is", "the metadata's folder");
	refused(folder(meta, "inside"), "lies in", "the metadata's folder");
}

/* The RAM folder, made or not; what others have beside it is theirs. */
static void test_ram(void **state)
{
	char *ram = pool_ram_dir(&fix.config);

	(void)state;
	assert_non_null(ram);
	refused(fix.ram, "is or contains", "the RAM tier's");
	assert_int_equal(mkdir(ram, 0700), 0);
	refused(ram, "is", "the RAM folder");
	refused(folder(ram, "inside"), "lies in", "the RAM folder");
	refused(fix.ram, "contains", "the RAM folder");
	log_captured();
	assert_int_equal(overlap_check_mount(&fix.config, folder(fix.ram, "other")), 0);
	assert_string_equal(log_captured(), "");
	free(ram);
}

static void test_elsewhere(void **state)
{
	int fds = fault_open_fds();

	(void)state;
	log_captured();
	assert_int_equal(overlap_check_mount(&fix.config, dirs.paths[0]), 0);
	assert_int_equal(overlap_check_mount(&fix.config, "/nowhere/at/all"), 0);
	assert_string_equal(log_captured(), "");
	assert_int_equal(fault_open_fds(), fds);
}

static void test_no_memory(void **state)
{
	int rc;

	(void)state;
	if (!ALLOC_FAULTS)
		skip();
	alloc_arm(1, true);
	rc = overlap_check_mount(&fix.config, dirs.paths[0]);
	alloc_disarm();
	assert_int_equal(rc, -ENOMEM);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_within),    TEST(test_bound), TEST(test_directories),
		TEST(test_metadata),  TEST(test_ram),	TEST(test_elsewhere),
		TEST(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
