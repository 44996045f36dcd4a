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
#include "tiers/folder.h"
#include "tiers/framestore.h"
#include "tiers/keys.h"
#include "tiers/meta.h"
#include "tiers/pool_impl.h"
#include "tiers/records.h"

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

/* The record of the one frame that a file of 100000 bytes has, with a byte changed. */
static void frame_byte(struct fix_fs *fix, size_t at, uint8_t byte)
{
	static const uint8_t prefix = KEY_FRAME;
	struct meta_cursor *cursor;
	struct meta_item item;
	uint8_t key[KEY_LEN_1], value[RECORD_FRAME_LEN];

	assert_int_equal(meta_cursor_open(pool_meta(fix->pool.pool), &prefix, 1, NULL, 0, &cursor),
			 0);
	assert_int_equal(meta_cursor_next(cursor, &item), 0);
	assert_int_equal(item.len, sizeof(value));
	memcpy(key, item.key, sizeof(key));
	memcpy(value, item.value, sizeof(value));
	meta_cursor_close(cursor);
	value[at] = byte;
	put(fix, key, sizeof(key), value, sizeof(value));
}

/* Frames that lie in a segment that there is not: nothing is changed that has to do with them. */
static void no_segment(void **state)
{
	struct fix_fs *fix = *state;
	char *bytes = calloc(1, 100001);
	uint8_t key[KEY_LEN_1], good[RECORD_FRAME_LEN], bad[RECORD_FRAME_LEN];
	struct inode *inode;
	uint64_t id;
	size_t len;

	assert_non_null(bytes);
	memset(bytes, 'x', 100000);
	id = fix_file(fix, ROOT, "file", bytes);
	assert_int_equal(pool_sync(fix->pool.pool), 0);
	key_1(key, KEY_FRAME, 1);
	assert_int_equal(
		meta_get(pool_meta(fix->pool.pool), key, sizeof(key), good, sizeof(good), &len), 0);
	for (uint64_t segment = 0; segment < 1000; segment += 999) {
		memcpy(bad, good, sizeof(bad));
		put_le64(bad + 4, segment);
		put(fix, key, sizeof(key), bad, sizeof(bad));
		assert_int_equal(fs_file_open(fix->fs, id, O_RDWR, false, &inode), 0);
		assert_int_equal(fs_fallocate(fix->fs, inode,
					      FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 50000, 0,
					      false),
				 -EUCLEAN);
		fs_file_close(fix->fs, inode, O_RDWR);
	}
	put(fix, key, sizeof(key), good, sizeof(good));
	free(bytes);
}

static void forget_log(struct fix_fs *fix)
{
	char *folder = pool_ram_dir(&fix->pool.config);

	assert_non_null(folder);
	folder_remove(folder);
	free(folder);
}

/* A change in the RAM log beyond the largest file: the pool is not opened with it. */
static void log_record(void **state)
{
	struct fix_fs *fix = *state;
	struct pool_open_options options = {.no_background = true};
	uint64_t id = fix_file(fix, ROOT, "file", "content");
	static const uint64_t bad[][2] = {{UINT64_MAX, 0}, {0, UINT64_MAX}, {INT64_MAX, 1}};
	struct ramlog_record record;
	void *data;

	for (unsigned i = 0; i < 3; i++) {
		struct ramlog *log = fix->pool.pool->log;

		assert_int_equal(ramlog_reserve(log, RAMLOG_PUNCH, id, bad[i][0], bad[i][1], 1,
						&record, &data),
				 0);
		ramlog_commit(log, &record);
		fs_close(fix->fs);
		pool_abandon(fix->pool.pool);
		assert_int_equal(pool_open(&fix->pool.config, &options, &fix->pool.pool), -EUCLEAN);
		/* Without the log the pool opens. */
		forget_log(fix);
		fix_pool_open(&fix->pool);
		assert_int_equal(fs_open(fix->pool.pool, "/mnt", &fix->fs), 0);
	}
}

/* What indexes arrays and sizes buffers: tier, block size, lengths, codec. */
static void frames(void **state)
{
	static const struct {
		size_t at;
		uint8_t byte;
	} bad[] = {{2, 255}, {2, 3}, {2, 0}, {3, 11}, {3, 21}, {27, 1}, {31, 1}, {35, 1}, {44, 4}};
	struct fix_fs *fix = *state;
	char *bytes = calloc(1, 100001), value[4096];
	struct frame_record record;
	uint8_t key[KEY_LEN_1], good[RECORD_FRAME_LEN];
	struct inode *inode;
	size_t len;
	uint64_t id;

	assert_non_null(bytes);
	memset(bytes, 'x', 100000);
	id = fix_file(fix, ROOT, "file", bytes);
	assert_int_equal(pool_sync(fix->pool.pool), 0);
	key_1(key, KEY_FRAME, 1);
	assert_int_equal(
		meta_get(pool_meta(fix->pool.pool), key, sizeof(key), good, sizeof(good), &len), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		frame_byte(fix, bad[i].at, bad[i].byte);
		assert_int_equal(frame_record_get(fix->pool.pool, 1, &record), -EUCLEAN);
		/* Looks at what can be looked at. */
		assert_int_equal(
			fs_getxattr(fix->fs, id, "user.terrace.tiers", value, sizeof(value), &len),
			0);
		assert_int_equal(fs_file_open(fix->fs, id, O_RDONLY, false, &inode), 0);
		assert_true(fs_read(fix->fs, inode, value, sizeof(value), 0, &len) < 0);
		fs_file_close(fix->fs, inode, O_RDONLY);
		put(fix, key, sizeof(key), good, sizeof(good));
	}
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(no_segment, fix_fs_setup, fix_fs_teardown),
		cmocka_unit_test_setup_teardown(log_record, fix_fs_setup, fix_fs_teardown),
		cmocka_unit_test_setup_teardown(frames, fix_fs_setup, fix_fs_teardown),
		cmocka_unit_test_setup_teardown(acls, fix_fs_setup, fix_fs_teardown),
		cmocka_unit_test_setup_teardown(names, fix_fs_setup, fix_fs_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
