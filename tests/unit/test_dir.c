// SPDX-License-Identifier: Apache-2.0
/* Names of equal hash. The mask leaves a bit or none of the hash, so that every name collides. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/fix_fs.h"

static void one_group(void **state)
{
	struct fix_fs *fix = *state;
	uint64_t d;

	fix->fs->mask = 0;
	d = fix_folder(fix, ROOT, "d");
	fix_file(fix, d, "a", "A");
	fix_file(fix, d, "b", "B");
	fix_file(fix, d, "c", "C");
	fix_content(fix, fix_id(fix, d, "b"), "B");
	assert_int_equal(fs_unlink(fix->fs, d, "a"), 0); /* leaves a tombstone before the others */
	assert_string_equal(fix_list(fix, d, true), "b c");
	fix_content(fix, fix_id(fix, d, "c"), "C");
	assert_int_equal(fix_id(fix, d, "a"), 0);
	fix_file(fix, d, "e", "E"); /* in its place */
	assert_string_equal(fix_list(fix, d, true), "b c e");
	assert_int_equal(fs_unlink(fix->fs, d, "b"), 0);
	assert_int_equal(fs_unlink(fix->fs, d, "c"), 0); /* the last: the tombstone goes too */
	assert_int_equal(fs_rmdir(fix->fs, ROOT, "d"), -ENOTEMPTY);
	assert_int_equal(fs_unlink(fix->fs, d, "e"), 0);
	assert_int_equal(fs_rmdir(fix->fs, ROOT, "d"), 0);
}

static void renames(void **state)
{
	struct fix_fs *fix = *state;
	uint64_t d, c;

	fix->fs->mask = 0;
	d = fix_folder(fix, ROOT, "d");
	fix_file(fix, d, "a", "A");
	assert_int_equal(fs_rename(fix->fs, d, "a", d, "b", 0), 0); /* the only one of its group */
	fix_content(fix, fix_id(fix, d, "b"), "A");
	assert_string_equal(fix_list(fix, d, true), "b");
	c = fix_file(fix, d, "c", "C");
	assert_int_equal(fs_rename(fix->fs, d, "b", d, "c", 0), 0); /* replaces, source before */
	assert_string_equal(fix_list(fix, d, true), "c");
	fix_content(fix, fix_id(fix, d, "c"), "A");
	fs_forget(fix->fs, c);
	fix_file(fix, d, "x", "X");
	assert_int_equal(fs_rename(fix->fs, d, "x", d, "c", 0), 0); /* replaces, source after */
	fix_content(fix, fix_id(fix, d, "c"), "X");
	assert_string_equal(fix_list(fix, d, true), "c");
	assert_int_equal(fs_unlink(fix->fs, d, "c"), 0);
	assert_int_equal(fs_rmdir(fix->fs, ROOT, "d"), 0);
}

static void full_group(void **state)
{
	struct fix_fs *fix = *state;
	struct stat st;
	char name[16];
	uint64_t d;

	fix->fs->mask = 0;
	d = fix_folder(fix, ROOT, "d");
	for (int i = 0; i < 256; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		fix_file(fix, d, name, name);
	}
	assert_int_equal(fs_mknod(fix->fs, d, "more", S_IFREG, 0, &fix->cred, &st), -ENOSPC);
	assert_int_equal(fix_id(fix, d, "more"), 0);
	fix_content(fix, fix_id(fix, d, "n255"), "n255");
	assert_int_equal(fs_unlink(fix->fs, d, "n7"), 0);
	fix_file(fix, d, "more", "m");
	for (int i = 0; i < 256; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		assert_int_equal(fs_unlink(fix->fs, d, name), i == 7 ? -ENOENT : 0);
	}
	assert_string_equal(fix_list(fix, d, true), "more");
	assert_int_equal(fs_unlink(fix->fs, d, "more"), 0);
	assert_int_equal(fs_rmdir(fix->fs, ROOT, "d"), 0);
}

/* Against a list: two groups, random insertions, removals, renames; a walk cut at every entry. */
static void model(void **state)
{
	struct fix_fs *fix = *state;
	uint64_t d = fix_folder(fix, ROOT, "d");
	bool there[40] = {false};
	char name[16], other[16], want[400];
	unsigned seed = 1;

	fix->fs->mask = 0x100;
	for (int step = 0; step < 2000; step++) {
		int i = rand_r(&seed) % 40, j = rand_r(&seed) % 40;

		snprintf(name, sizeof(name), "f%02d", i);
		snprintf(other, sizeof(other), "f%02d", j);
		if (!there[i]) {
			fix_file(fix, d, name, name);
			there[i] = true;
		} else if (step % 3) {
			assert_int_equal(fs_unlink(fix->fs, d, name), 0);
			there[i] = false;
		} else {
			assert_int_equal(fs_rename(fix->fs, d, name, d, other, 0), 0);
			there[i] = false;
			there[j] = true;
		}
		if (step % 20)
			continue;
		*want = '\0';
		for (i = 0; i < 40; i++) {
			snprintf(name, sizeof(name), "f%02d", i);
			assert_int_equal(fix_id(fix, d, name) != 0, there[i]);
			if (there[i])
				strcat(strcat(want, *want ? " " : ""), name);
		}
		assert_string_equal(fix_list(fix, d, step % 40 == 0), want);
	}
}

/* An entry removed while somebody reads at its cookie costs that reader nothing. */
static int stop(void *arg, const char *name, const struct stat *st, uint64_t next)
{
	(void)name, (void)st;
	*(uint64_t *)arg = next;
	return next > 2;
}

static int count(void *arg, const char *name, const struct stat *st, uint64_t next)
{
	(void)name, (void)st, (void)next;
	++*(int *)arg;
	return 0;
}

static void removed_under_reader(void **state)
{
	struct fix_fs *fix = *state;
	uint64_t cookie = 0;
	int rest = 0;

	fix->fs->mask = 0;
	fix_file(fix, ROOT, "a", "");
	fix_file(fix, ROOT, "b", "");
	fix_file(fix, ROOT, "c", "");
	assert_int_equal(fs_readdir(fix->fs, ROOT, 0, false, stop, &cookie), 0);
	assert_int_equal(fs_unlink(fix->fs, ROOT, "a"), 0);
	assert_int_equal(fs_readdir(fix->fs, ROOT, cookie, false, count, &rest), 0);
	assert_int_equal(rest, 2);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, fix_fs_setup, fix_fs_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(one_group), TEST(renames), TEST(full_group),
					   TEST(model), TEST(removed_under_reader)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
