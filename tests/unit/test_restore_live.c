// SPDX-License-Identifier: Apache-2.0
/*
 * What a restore of the metadata begins with (tiers/meta_restore.h): the good part of a damaged
 * journal, where that is newer than any copy; and what it refuses, with what to do.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/unit/fix_break_impl.h"
#include "tests/unit/fix_dir.h"
#include "tests/unit/fix_fault.h"
#include "tiers/copier.h"
#include "tiers/meta_restore.h"

static struct fix_break_pool pool;
static struct restore_result result;

static int setup(void **state)
{
	(void)state;
	log_capture();
	fix_break_new(&pool);
	pool.fix.pool.config.metadata_copies = 1;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	if (pool.fix.pool.pool)
		fix_break_close(&pool);
	fix_break_free(&pool);
	log_release();
	return 0;
}

static void make_copy(void)
{
	fix_break_open(&pool);
	copier_last(pool.fix.pool.pool);
	fix_break_close(&pool);
}

static const char *folder(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", pool.fix.pool.dir, name);
	return path;
}

static void away(const char *name, bool go)
{
	char other[160];

	snprintf(other, sizeof(other), "%s.away", folder(name));
	assert_int_equal(go ? rename(folder(name), other) : rename(other, folder(name)), 0);
}

static int restore(const char *lost, uint64_t generation)
{
	struct restore_options options = {.config = &pool.fix.pool.config,
					  .lost = &lost,
					  .nlost = lost != NULL,
					  .generation = generation};
	int fds = fault_open_fds(), rc;

	log_captured();
	rc = meta_restore(&options, &result);
	assert_int_equal(fault_open_fds(), fds);
	return rc;
}

static void said(const char *words)
{
	const char *lines = log_captured();

	if (!strstr(lines, words))
		fail_msg("not said: %s, but: %s", words, lines);
}

/* The journal is damaged somewhere; a copy is older than what comes before that. */
static void test_live(void **state)
{
	(void)state;
	make_copy();
	break_journal(&pool);
	assert_int_equal(restore(NULL, 0), 0);
	assert_true(result.live);
	assert_int_equal(result.lost_bytes, 0);
	assert_non_null(strstr(result.from, "metadata.mdb"));
	assert_non_null(strstr(result.aside, "damaged-1"));
	fix_break_open(&pool);
	assert_string_not_equal(fix_list(&pool.fix, ROOT, false), "");
	fix_pool_verify(&pool.fix.pool);
	assert_int_equal(fs_unlink(pool.fix.fs, ROOT, "small"), 0);
	fix_break_close(&pool);
	/* It is sound now. */
	assert_int_equal(restore(NULL, 0), -EALREADY);
}

/* A copy is asked for by its number: then it is taken, whatever else is there. */
static void test_generation(void **state)
{
	(void)state;
	make_copy();
	assert_int_equal(restore(NULL, 7), -ENOENT);
	said("no good copy of generation 7 in any directory");
	assert_int_equal(restore(NULL, 1), 0);
	assert_false(result.live);
	assert_int_equal(result.copy.generation, 1);
	fix_break_open(&pool);
	fix_break_verify(&pool, false);
}

static void test_directories(void **state)
{
	char ssd[128];

	(void)state;
	make_copy();
	strcpy(ssd, folder("ssd"));
	away("meta", true);
	assert_int_equal(restore(ssd, 0), -EINVAL);
	said("ssd: is not lost: it is there");
	assert_int_equal(restore("/another/folder", 0), -EINVAL);
	said("is said to be lost is none of the pool's");
	away("ssd", true);
	assert_int_equal(restore(NULL, 0), -ENOENT);
	said("ssd: is not there: mount its disk; if it is gone for good, say so with --lost=");
	away("ssd", false);
	break_label_foreign(&pool);
	assert_true(restore(NULL, 0) < 0);
}

static void test_no_copy(void **state)
{
	char command[320];

	(void)state;
	away("meta", true);
	snprintf(command, sizeof(command), "rm -rf %s/ssd/metadata %s/hdd/metadata",
		 pool.fix.pool.dir, pool.fix.pool.dir);
	assert_int_equal(system(command), 0);
	assert_int_equal(restore(NULL, 0), -ENOENT);
	said("no good copy of the metadata in any directory");
}

static void test_in_use(void **state)
{
	(void)state;
	fix_break_open(&pool);
	assert_int_equal(restore(NULL, 0), -EBUSY);
	said("the pool is in use: unmount it first");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_live),    TEST(test_generation), TEST(test_directories),
		TEST(test_no_copy), TEST(test_in_use),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
