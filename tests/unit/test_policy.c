// SPDX-License-Identifier: Apache-2.0
/* user.terrace.*: pins and codecs, their inheritance, and the reports. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "fs/policy.h"
#include "tests/unit/fix_fs.h"
#include "tiers/meta.h"

#define SET(id, name, value) \
	fs_setxattr(fix->fs, id, "user.terrace." name, value, strlen(value), 0, &fix->cred)

static const char *get(struct fix_fs *fix, uint64_t id, const char *key)
{
	static char buf[8192];
	char name[64];
	size_t len = 0;

	snprintf(name, sizeof(name), "user.terrace.%s", key);
	if (fs_getxattr(fix->fs, id, name, buf, sizeof(buf) - 1, &len))
		return "-";
	buf[len] = '\0';
	return buf;
}

static int pin_of(struct fix_fs *fix, uint64_t id)
{
	struct object_policy policy;

	policy_effective(fix->fs->policy, id, 0, &policy);
	return policy.pin;
}

static void inheritance(void **state)
{
	struct fix_fs *fix = *state;
	uint64_t a = fix_folder(fix, ROOT, "a"), b = fix_folder(fix, a, "b");
	uint64_t other = fix_folder(fix, ROOT, "other"), f = fix_file(fix, b, "f", "data");

	assert_int_equal(pin_of(fix, f), -1);
	assert_string_equal(get(fix, f, "effective.pin"), "none default");
	assert_int_equal(SET(a, "pin", "hdd"), 0);
	assert_int_equal(pin_of(fix, f), 2);
	assert_int_equal(pin_of(fix, f), 2); /* cached */
	assert_string_equal(get(fix, f, "effective.pin"), "hdd /a");
	assert_string_equal(get(fix, f, "pin"), "-");
	assert_int_equal(SET(f, "pin", "ssd"), 0); /* the nearest wins */
	assert_int_equal(pin_of(fix, f), 1);
	assert_int_equal(SET(b, "codec", "zstd:7"), 0);
	assert_string_equal(get(fix, f, "effective.codec"), "zstd:7 /a/b");
	assert_string_equal(get(fix, f, "effective.pin"), "ssd /a/b/f");
	assert_int_equal(fs_removexattr(fix->fs, f, "user.terrace.pin"), 0);
	assert_int_equal(fs_removexattr(fix->fs, f, "user.terrace.pin"), -ENODATA);
	assert_int_equal(pin_of(fix, f), 2);
	assert_int_equal(fs_rename(fix->fs, a, "b", other, "b", 0), 0); /* the folder above moves */
	assert_int_equal(pin_of(fix, f), -1);
	assert_string_equal(get(fix, f, "effective.codec"), "zstd:7 /other/b");
	assert_int_equal(fs_rename(fix->fs, other, "b", a, "b", 0), 0);
	assert_int_equal(pin_of(fix, f), 2);
}

static int records(struct fix_fs *fix)
{
	struct meta_cursor *cursor;
	struct meta_item item;
	int n = 0;

	assert_int_equal(meta_cursor_open(fix->fs->meta, "Pfs.policy.", 11, NULL, 0, &cursor), 0);
	while (!meta_cursor_next(cursor, &item))
		n++;
	meta_cursor_close(cursor);
	return n;
}

static void kept(void **state)
{
	struct fix_fs *fix = *state;
	uint64_t a = fix_folder(fix, ROOT, "a"), f = fix_file(fix, a, "f", "data");
	char list[64];
	size_t len;

	assert_int_equal(SET(a, "pin", "hdd"), 0);
	assert_int_equal(SET(a, "codec", "lzma:9"), 0);
	assert_int_equal(fs_listxattr(fix->fs, a, list, sizeof(list), &len), 0);
	assert_int_equal(len, 0);
	assert_int_equal(records(fix), 1);
	fix_fs_crash(fix);
	assert_int_equal(pin_of(fix, f), 2);
	assert_string_equal(get(fix, a, "codec"), "lzma:9");
	assert_int_equal(fs_unlink(fix->fs, a, "f"), 0);
	assert_int_equal(fs_rmdir(fix->fs, ROOT, "a"), 0);
	assert_int_equal(records(fix), 0); /* the setting went with its folder */
	fix_fs_remount(fix);
	f = fix_file(fix, ROOT, "f", "data");
	assert_int_equal(pin_of(fix, f), -1);
}

static void refused(void **state)
{
	struct fix_fs *fix = *state;
	uint64_t f = fix_file(fix, ROOT, "f", "data");

	assert_int_equal(SET(f, "pin", "nowhere"), -EINVAL);
	assert_int_equal(SET(f, "pin", ""), -EINVAL);
	assert_int_equal(SET(f, "codec", "zip"), -EINVAL);
	assert_int_equal(SET(f, "codec", "zstd:99"), -EINVAL);
	assert_int_equal(SET(f, "tier", "ssd"), -EROFS);
	assert_int_equal(SET(f, "effective.pin", "ssd"), -EROFS);
	assert_int_equal(SET(f, "unknown", "ssd"), -EINVAL);
	assert_int_equal(fs_removexattr(fix->fs, f, "user.terrace.tier"), -EROFS);
	assert_int_equal(fs_removexattr(fix->fs, f, "user.terrace.unknown"), -ENODATA);
	assert_string_equal(get(fix, f, "unknown"), "-");
	assert_int_equal(fs_setxattr(fix->fs, f, "user.terrace.pin", "ssd\0x", 5, 0, &fix->cred),
			 -EINVAL);
}

static void reports(void **state)
{
	struct fix_fs *fix = *state;
	char text[3000];
	uint64_t f, d = fix_folder(fix, ROOT, "d");

	memset(text, 'a', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	f = fix_file(fix, d, "f", text);
	assert_string_equal(get(fix, f, "tier"), "ram");
	assert_string_equal(get(fix, f, "tiers"), "ram=2999");
	assert_string_equal(get(fix, f, "extents"), "0 2999 ram - 1.00 0\n");
	assert_int_equal(fs_fsync_all(fix->fs), 0);
	assert_string_equal(get(fix, f, "tier"), "ssd");
	assert_string_equal(get(fix, f, "tiers"), "ssd=2999");
	assert_true(atof(get(fix, f, "ratio")) > 2);
	assert_true(strstr(get(fix, f, "extents"), "0 2999 ssd lz4:1 "));
	assert_string_equal(get(fix, f, "effective.codec"), "lz4:1 tier ssd");
	assert_string_equal(get(fix, ROOT, "tiers"), "ssd=2999");
	assert_string_equal(get(fix, d, "tier"), "-");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, fix_fs_setup, fix_fs_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(inheritance), TEST(kept), TEST(refused),
					   TEST(reports)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
