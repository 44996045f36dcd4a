// SPDX-License-Identifier: Apache-2.0
/* Records of the metadata whose checksum is right and whose content is not, as an evil program may
 * have written them: an error where they are used, and nothing else. What fuzzing finds lands here.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "compress/bytes.h"
#include "tests/unit/fix_fs.h"
#include "tiers/keys.h"
#include "tiers/meta.h"

static void put(struct fix_fs *fix, const void *key, size_t key_len, const void *value, size_t len)
{
	struct meta_batch *batch;

	assert_int_equal(meta_batch_new(&batch), 0);
	assert_int_equal(meta_batch_put(batch, key, key_len, value, len), 0);
	assert_int_equal(meta_apply(pool_meta(fix->pool.pool), batch, NULL), 0);
	meta_batch_free(batch);
}

static void take(struct fix_fs *fix, const void *key, size_t key_len)
{
	struct meta_batch *batch;

	assert_int_equal(meta_batch_new(&batch), 0);
	assert_int_equal(meta_batch_del(batch, key, key_len), 0);
	assert_int_equal(meta_apply(pool_meta(fix->pool.pool), batch, NULL), 0);
	meta_batch_free(batch);
}

static int nothing(void *arg, const char *name, const struct stat *st, uint64_t next)
{
	(void)arg;
	(void)name;
	(void)st;
	(void)next;
	return 0;
}

/* A name as `value` has it in a folder: readdir says that it is damaged. */
static void bad_name(struct fix_fs *fix, const void *name, size_t len)
{
	uint8_t key[KEY_LEN_2], value[9 + 70000] = {7, [8] = 8};
	uint64_t folder = fix_folder(fix, ROOT, "folder");

	memcpy(value + 9, name, len);
	put(fix, key, key_2(key, KEY_DENTRY, folder, 256), value, 9 + len);
	assert_int_equal(fs_readdir(fix->fs, folder, 0, true, nothing, NULL), -EUCLEAN);
	take(fix, key, sizeof(key));
	assert_int_equal(fs_rmdir(fix->fs, ROOT, "folder"), 0);
	fs_forget(fix->fs, folder);
}

static void names(void **state)
{
	struct fix_fs *fix = *state;
	char *letters = malloc(70000);

	assert_non_null(letters);
	memset(letters, 'x', 70000);
	bad_name(fix, letters, 256);
	bad_name(fix, letters, 70000);
	bad_name(fix, "", 0);
	bad_name(fix, "a/b", 3);
	bad_name(fix, "a\0b", 3);
	free(letters);
}

/* Sets a right ACL, so that the inode knows that it has one, then puts `value` in its place. */
static void bad_acl(struct fix_fs *fix, uint64_t id, const char *name, const void *value,
		    size_t len)
{
	static const struct {
		uint16_t tag, perm;
		uint32_t id;
	} entries[] = {{1, 7, UINT32_MAX},
		       {2, 5, 1000},
		       {4, 5, UINT32_MAX},
		       {16, 5, UINT32_MAX},
		       {32, 5, UINT32_MAX}};
	uint8_t key[64], good[4 + 5 * 8] = {2};

	for (size_t i = 0; i < 5; i++) {
		put_le16(good + 4 + 8 * i, entries[i].tag);
		put_le16(good + 6 + 8 * i, entries[i].perm);
		put_le32(good + 8 + 8 * i, entries[i].id);
	}
	assert_int_equal(fs_setxattr(fix->fs, id, name, good, sizeof(good), 0, &fix->cred), 0);
	key_1(key, KEY_XATTR, id);
	memcpy(key + 9, name, strlen(name));
	put(fix, key, 9 + strlen(name), value, len);
}

/* Cut short, of another version, without the entries that it needs, too long: chmod says so, and
 * making a file below. */
static void acls(void **state)
{
	static const uint8_t bad[][12] = {{2, 0, 0}, {2}, {2}, {2, 0, 0, 0, 1, 0, 6}, {3}};
	static const size_t lens[] = {3, 0, 4, 12, 12};
	struct fix_fs *fix = *state;
	struct stat st = {.st_mode = 0600};
	uint64_t id = fix_folder(fix, ROOT, "folder");
	char *long_one = calloc(1, 70000);

	assert_non_null(long_one);
	long_one[0] = 2;
	for (size_t i = 0; i < 6; i++) {
		const void *value = i < 5 ? (const void *)bad[i] : long_one;
		size_t len = i < 5 ? lens[i] : 70000;

		bad_acl(fix, id, "system.posix_acl_default", value, len);
		assert_int_equal(fs_mkdir(fix->fs, id, "below", 0777, &fix->cred, &st), -EUCLEAN);
		bad_acl(fix, id, "system.posix_acl_access", value, len);
		st.st_mode = 0600;
		assert_int_equal(fs_setattr(fix->fs, id, FS_SET_MODE, &st, &st), -EUCLEAN);
	}
	free(long_one);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(acls, fix_fs_setup, fix_fs_teardown),
		cmocka_unit_test_setup_teardown(names, fix_fs_setup, fix_fs_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
