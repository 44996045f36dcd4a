// SPDX-License-Identifier: Apache-2.0
/* What changes of data do to attributes, and attributes themselves. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <linux/limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <cmocka.h>

#include "compress/bytes.h"
#include "fs/policy.h"
#include "tests/unit/fix_fs.h"
#include "tiers/meta.h"

static struct stat set(struct fix_fs *fix, uint64_t id, unsigned what, struct stat values)
{
	struct stat st;

	assert_int_equal(fs_setattr(fix->fs, id, what, &values, &st), 0);
	return st;
}

static void write_some(struct fix_fs *fix, uint64_t id, unsigned flags)
{
	struct inode *inode;

	assert_int_equal(fs_file_open(fix->fs, id, O_WRONLY, false, &inode), 0);
	assert_int_equal(fs_write(fix->fs, inode, "x", 1, 0, flags), 0);
	fs_file_close(fix->fs, inode, O_WRONLY);
}

static void privileges(void **state)
{
	struct fix_fs *fix = *state;
	uint64_t f = fix_file(fix, ROOT, "f", "data"), d = fix_folder(fix, ROOT, "d");
	struct stat suid = {.st_mode = 06755};

	set(fix, f, FS_SET_MODE, suid);
	write_some(fix, f, 0);
	assert_int_equal(fix_stat(fix, f).st_mode, S_IFREG | 06755);
	write_some(fix, f, FS_WRITE_KILL);
	assert_int_equal(fix_stat(fix, f).st_mode, S_IFREG | 0755);
	set(fix, f, FS_SET_MODE, suid);
	set(fix, f, FS_SET_SIZE, (struct stat){.st_size = 1});
	assert_int_equal(fix_stat(fix, f).st_mode, S_IFREG | 06755);
	set(fix, f, FS_SET_SIZE | FS_SET_KILL, (struct stat){.st_size = 2});
	assert_int_equal(fix_stat(fix, f).st_mode, S_IFREG | 0755);
	set(fix, f, FS_SET_MODE, suid);
	set(fix, f, FS_SET_UID, (struct stat){.st_uid = 5});
	assert_int_equal(fix_stat(fix, f).st_mode, S_IFREG | 0755);
	set(fix, d, FS_SET_MODE, suid);
	set(fix, d, FS_SET_UID, (struct stat){.st_uid = 5});
	assert_int_equal(fix_stat(fix, d).st_mode, S_IFDIR | 06755);
}

static void capabilities_go(void **state)
{
	struct fix_fs *fix = *state;
	uint64_t f = fix_file(fix, ROOT, "f", "data");
	size_t len;

	assert_int_equal(fs_setxattr(fix->fs, f, "security.capability", "c", 1, 0, &fix->cred), 0);
	write_some(fix, f, FS_WRITE_CACHED);
	assert_int_equal(fs_getxattr(fix->fs, f, "security.capability", NULL, 0, &len), -ENODATA);
}

static void sizes(void **state)
{
	struct fix_fs *fix = *state;
	uint64_t f = fix_file(fix, ROOT, "f", "data"), d = fix_folder(fix, ROOT, "d");
	struct stat values = {.st_size = 0}, st;

	set(fix, f, FS_SET_SIZE, (struct stat){.st_size = 2});
	fix_content(fix, f, "da");
	st = set(fix, f, FS_SET_SIZE, (struct stat){.st_size = 1 << 20});
	assert_int_equal(st.st_size, 1 << 20);
	assert_true(st.st_blocks <= 8);
	assert_int_equal(fs_setattr(fix->fs, d, FS_SET_SIZE, &values, &st), -EISDIR);
	values.st_size = -1;
	assert_int_equal(fs_setattr(fix->fs, f, FS_SET_SIZE, &values, &st), -EINVAL);
}

static void reported_times_outlive_a_crash(void **state)
{
	struct fix_fs *fix = *state;
	uint64_t f = fix_file(fix, ROOT, "f", ""), g = fix_file(fix, ROOT, "g", "");
	struct stat old = {.st_mtim = {1000, 5}};
	struct inode *inode;

	write_some(fix, g, 0);
	assert_int_equal(fs_file_open(fix->fs, f, O_WRONLY, false, &inode), 0);
	assert_int_equal(fs_write(fix->fs, inode, "x", 1, 0, FS_WRITE_CACHED), 0);
	/* Twice: storing attributes makes the object forget when it was written. */
	set(fix, f, FS_SET_MTIME, old);
	set(fix, f, FS_SET_MTIME, old);
	fix_fs_crash(fix);
	assert_int_equal(fix_stat(fix, f).st_mtim.tv_sec, 1000);
	assert_true(fix_stat(fix, g).st_mtim.tv_sec > 1000000000);
}

/* What else is stored between the write and its time does not make the object forget the write: it
 * would be taken for one that nobody told of. */
static void times_after_a_rename(void **state)
{
	struct fix_fs *fix = *state;
	uint64_t f = fix_file(fix, ROOT, "f", "");
	struct inode *inode;

	assert_int_equal(fs_file_open(fix->fs, f, O_WRONLY, false, &inode), 0);
	assert_int_equal(fs_write(fix->fs, inode, "x", 1, 0, FS_WRITE_CACHED), 0);
	assert_int_equal(fs_rename(fix->fs, ROOT, "f", ROOT, "g", 0), 0);
	set(fix, f, FS_SET_MTIME, (struct stat){.st_mtim = {1000, 5}});
	fix_fs_crash(fix);
	assert_int_equal(fix_stat(fix, f).st_mtim.tv_sec, 1000);
}

/* Written through the kernel's cache, died before the kernel could tell the time. */
static void unreported_times_are_recovered(void **state)
{
	struct fix_fs *fix = *state;
	uint64_t f = fix_file(fix, ROOT, "f", "");
	struct inode *inode;

	set(fix, f, FS_SET_MTIME, (struct stat){.st_mtim = {1000, 5}});
	assert_int_equal(fs_file_open(fix->fs, f, O_WRONLY, false, &inode), 0);
	assert_int_equal(fs_write(fix->fs, inode, "x", 1, 0, FS_WRITE_CACHED), 0);
	assert_int_equal(fix_stat(fix, f).st_mtim.tv_sec, 1000); /* the kernel will tell */
	fix_fs_crash(fix);
	assert_true(fix_stat(fix, f).st_mtim.tv_sec > 1000000000);
}

/* The kernel's SETATTR may overtake its WRITE: the next mount must not take that for a crash. */
static void overtaking_times(void **state)
{
	struct fix_fs *fix = *state;
	uint64_t f = fix_file(fix, ROOT, "f", "");
	struct inode *inode;

	assert_int_equal(fs_file_open(fix->fs, f, O_WRONLY, false, &inode), 0);
	set(fix, f, FS_SET_MTIME, (struct stat){.st_mtim = {1000, 5}});
	assert_int_equal(fs_write(fix->fs, inode, "x", 1, 0, FS_WRITE_CACHED), 0);
	fs_file_close(fix->fs, inode, O_WRONLY);
	fix_fs_remount(fix);
	assert_int_equal(fix_stat(fix, f).st_mtim.tv_sec, 1000);
}

/* What was synced has its time, also where the machine dies, and the next daemon after it. */
static void synced_times_outlive_a_power_loss(void **state)
{
	struct fix_fs *fix = *state;
	uint64_t f = fix_file(fix, ROOT, "f", ""), g = fix_file(fix, ROOT, "g", "some bytes");
	struct inode *inode;
	struct stat before[2];

	assert_int_equal(fs_file_open(fix->fs, f, O_WRONLY, false, &inode), 0);
	assert_int_equal(fs_write(fix->fs, inode, "x", 1, 0, FS_WRITE_CACHED), 0);
	set(fix, f, FS_SET_MTIME, (struct stat){.st_mtim = {1000, 5}});
	assert_int_equal(fs_fsync(fix->fs, inode), 0);
	fs_file_close(fix->fs, inode, O_WRONLY);
	assert_int_equal(fs_file_open(fix->fs, g, O_WRONLY, false, &inode), 0);
	assert_int_equal(fs_write(fix->fs, inode, "y", 1, 4, 0), 0);
	assert_int_equal(fs_fallocate(fix->fs, inode, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1,
				      2, false),
			 0);
	assert_int_equal(fs_fsync(fix->fs, inode), 0);
	before[0] = fix_stat(fix, f);
	before[1] = fix_stat(fix, g);
	fs_file_close(fix->fs, inode, O_WRONLY);
	assert_int_equal(before[0].st_mtim.tv_sec, 1000);
	for (unsigned i = 0; i < 2; i++) {
		if (i)
			fix_fs_crash(fix);
		else
			fix_fs_power(fix);
		for (unsigned k = 0; k < 2; k++) {
			struct stat after = fix_stat(fix, k ? g : f);

			assert_memory_equal(&after.st_mtim, &before[k].st_mtim,
					    sizeof(after.st_mtim));
			assert_memory_equal(&after.st_ctim, &before[k].st_ctim,
					    sizeof(after.st_ctim));
			assert_int_equal(after.st_size, before[k].st_size);
		}
	}
	fix_content(fix, f, "x");
}

static void time_rules(void **state)
{
	struct fix_fs *fix = *state;
	uint64_t f = fix_file(fix, ROOT, "f", "");
	struct stat st;

	st = set(fix, f, FS_SET_ATIME | FS_SET_MTIME | FS_SET_CTIME,
		 (struct stat){.st_atim = {-5, 1}, .st_mtim = {6, 2}, .st_ctim = {7, 3}});
	assert_true(st.st_atim.tv_sec == -5 && st.st_mtim.tv_sec == 6 && st.st_ctim.tv_sec == 7);
	st = set(fix, f, FS_SET_MODE, (struct stat){.st_mode = 0600});
	assert_true(st.st_mtim.tv_sec == 6 && st.st_ctim.tv_sec > 1000000000);
	st = set(fix, f, FS_SET_ATIME_NOW, (struct stat){.st_mode = 0});
	assert_true(st.st_mtim.tv_sec == 6 && st.st_atim.tv_sec > 1000000000);
	st = set(fix, f, FS_SET_SIZE, (struct stat){.st_size = 9});
	assert_true(st.st_mtim.tv_sec > 1000000000);
	set(fix, ROOT, FS_SET_MTIME, (struct stat){.st_mtim = {8, 0}});
	assert_int_equal(fs_unlink(fix->fs, ROOT, "f"), 0);
	assert_true(fix_stat(fix, ROOT).st_mtim.tv_sec > 8);
	st = set(fix, f, FS_SET_MTIME,
		 (struct stat){.st_mtim = {9, 0}}); /* late, of a dead inode */
	assert_true(st.st_mtim.tv_sec == 9 && st.st_nlink == 0);
}

static void allocation(void **state)
{
	struct fix_fs *fix = *state;
	uint64_t f = fix_file(fix, ROOT, "f", "abcdef");
	struct inode *inode;
	char buf[8];
	size_t got;

	assert_int_equal(fs_file_open(fix->fs, f, O_RDWR, false, &inode), 0);
	assert_int_equal(fs_fallocate(fix->fs, inode, FALLOC_FL_KEEP_SIZE, 100, 0, false), 0);
	assert_int_equal(fix_stat(fix, f).st_size, 6);
	assert_int_equal(fs_fallocate(fix->fs, inode, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 2,
				      1, false),
			 0);
	assert_int_equal(fs_fallocate(fix->fs, inode, FALLOC_FL_ZERO_RANGE, 4, 4, false), 0);
	assert_int_equal(fs_read(fix->fs, inode, buf, 8, 0, &got), 0);
	assert_int_equal(got, 8);
	assert_memory_equal(buf, "a\0\0d\0\0\0\0", 8);
	assert_int_equal(fs_fallocate(fix->fs, inode, FALLOC_FL_COLLAPSE_RANGE, 4096, 0, false),
			 -EOPNOTSUPP);
	assert_int_equal(fs_fallocate(fix->fs, inode, 0, 0, 0, false), -EINVAL);
	assert_int_equal(fs_fallocate(fix->fs, inode, 0, 10, INT64_MAX - 5, false), -EFBIG);
	fs_file_close(fix->fs, inode, O_RDWR);
}

static void appending_and_truncating_opens(void **state)
{
	struct fix_fs *fix = *state;
	uint64_t f = fix_file(fix, ROOT, "f", "abc");
	struct inode *inode;

	assert_int_equal(fs_file_open(fix->fs, f, O_WRONLY | O_APPEND, false, &inode), 0);
	assert_int_equal(fs_write(fix->fs, inode, "de", 2, 0, FS_WRITE_APPEND), 0);
	fs_file_close(fix->fs, inode, O_WRONLY);
	fix_content(fix, f, "abcde");
	assert_int_equal(fs_file_open(fix->fs, f, O_WRONLY | O_TRUNC, false, &inode), 0);
	fs_file_close(fix->fs, inode, O_WRONLY);
	fix_content(fix, f, "");
}

static void attributes(void **state)
{
	struct fix_fs *fix = *state;
	uint64_t f = fix_file(fix, ROOT, "f", "");
	char list[64], buf[8];
	size_t len;

	assert_int_equal(fs_setxattr(fix->fs, f, "user.a", "1", 1, 0, &fix->cred), 0);
	assert_int_equal(fs_setxattr(fix->fs, f, "user.a", "2", 1, XATTR_CREATE, &fix->cred),
			 -EEXIST);
	assert_int_equal(fs_setxattr(fix->fs, f, "user.b", "2", 1, XATTR_REPLACE, &fix->cred),
			 -ENODATA);
	assert_int_equal(fs_setxattr(fix->fs, f, "user.empty", NULL, 0, 0, &fix->cred), 0);
	assert_int_equal(fs_getxattr(fix->fs, f, "user.empty", buf, sizeof(buf), &len), 0);
	assert_int_equal(len, 0);
	assert_int_equal(fs_setxattr(fix->fs, f, "user.a", "long value", 10, 0, &fix->cred), 0);
	assert_int_equal(fs_getxattr(fix->fs, f, "user.a", buf, sizeof(buf), &len), -ERANGE);
	assert_int_equal(fs_getxattr(fix->fs, f, "user.a", NULL, 0, &len), 0);
	assert_int_equal(len, 10);
	assert_int_equal(fs_listxattr(fix->fs, f, true, list, sizeof(list), &len), 0);
	assert_int_equal(len, 18);
	assert_memory_equal(list, "user.a\0user.empty\0", 18);
	assert_int_equal(fs_listxattr(fix->fs, f, true, list, 10, &len), -ERANGE);
	assert_int_equal(fs_setxattr(fix->fs, f, "trusted.t", "1", 1, 0, &fix->cred), 0);
	assert_int_equal(fs_listxattr(fix->fs, f, false, list, sizeof(list), &len), 0);
	assert_int_equal(len, 18); /* trusted ones are for root */
	assert_int_equal(fs_listxattr(fix->fs, f, true, list, sizeof(list), &len), 0);
	assert_int_equal(len, 28);
	assert_int_equal(fs_setxattr(fix->fs, f, "none.t", "1", 1, 0, &fix->cred), -EOPNOTSUPP);
	assert_int_equal(fs_setxattr(fix->fs, f, "system.t", "1", 1, 0, &fix->cred), -EOPNOTSUPP);
	assert_int_equal(fs_setxattr(fix->fs, f, "user.", "1", 1, 0, &fix->cred), -EINVAL);
	assert_int_equal(fs_removexattr(fix->fs, f, "user.a"), 0);
	assert_int_equal(fs_removexattr(fix->fs, f, "user.a"), -ENODATA);
	assert_int_equal(fs_unlink(fix->fs, ROOT, "f"), 0); /* the fixture counts what is left */
}

/* As many names as listxattr(2) can tell of, and no more; the file can be deleted with them. */
static void many_attributes(void **state)
{
	struct fix_fs *fix = *state;
	uint64_t f = fix_file(fix, ROOT, "f", "");
	char name[256], *list = malloc(XATTR_LIST_MAX);
	unsigned n = 0;
	size_t len;
	int r = 0;

	assert_non_null(list);
	while (r == 0 && n < 1000) {
		snprintf(name, sizeof(name), "user.%0250u", n++); /* 256 bytes with the zero */
		r = fs_setxattr(fix->fs, f, name, "1", 1, 0, &fix->cred);
	}
	assert_int_equal(r, -ENOSPC);
	assert_int_equal(n, XATTR_LIST_MAX / 256 + 1);
	assert_int_equal(fs_setxattr(fix->fs, f, "user.t", "1", 1, 0, &fix->cred), -ENOSPC);
	assert_int_equal(fs_listxattr(fix->fs, f, true, list, XATTR_LIST_MAX, &len), 0);
	assert_int_equal(len, XATTR_LIST_MAX);
	snprintf(name, sizeof(name), "user.%0250u", 7u);
	assert_int_equal(fs_setxattr(fix->fs, f, name, "another", 7, 0, &fix->cred), 0);
	assert_int_equal(fs_removexattr(fix->fs, f, name), 0);
	assert_int_equal(fs_setxattr(fix->fs, f, "user.t", "1", 1, 0, &fix->cred), 0);
	assert_int_equal(fs_unlink(fix->fs, ROOT, "f"), 0);
	free(list);
}

/* u::rwx u:1000:rwx g::r-x m::rwx o::--- */
static size_t make_acl(uint8_t *acl)
{
	static const struct {
		uint16_t tag, perm;
	} entries[] = {{1, 7}, {2, 7}, {4, 5}, {16, 7}, {32, 0}};

	put_le32(acl, 2);
	for (size_t i = 0; i < 5; i++) {
		put_le16(acl + 4 + 8 * i, entries[i].tag);
		put_le16(acl + 6 + 8 * i, entries[i].perm);
		put_le32(acl + 8 + 8 * i, entries[i].tag == 2 ? 1000 : UINT32_MAX);
	}
	return 44;
}

static void acls(void **state)
{
	static const char access_name[] = "system.posix_acl_access";
	static const char default_name[] = "system.posix_acl_default";
	struct fix_fs *fix = *state;
	uint64_t d = fix_folder(fix, ROOT, "d"), f, sub;
	uint8_t acl[44], got[64];
	struct fs_cred stranger = {.uid = 9, .foreign_group = true};
	size_t len = make_acl(acl), n;

	f = fix_file(fix, ROOT, "f", "");
	assert_int_equal(fs_setxattr(fix->fs, f, default_name, acl, len, 0, &fix->cred), -EACCES);
	assert_int_equal(fs_setxattr(fix->fs, f, access_name, acl, 43, 0, &fix->cred), -EINVAL);
	set(fix, f, FS_SET_MODE, (struct stat){.st_mode = 02755});
	assert_int_equal(fs_setxattr(fix->fs, f, access_name, acl, len, 0, &stranger), 0);
	assert_int_equal(fix_stat(fix, f).st_mode, S_IFREG | 0770); /* and sgid is gone */
	set(fix, f, FS_SET_MODE, (struct stat){.st_mode = 0640});
	assert_int_equal(fs_getxattr(fix->fs, f, access_name, got, sizeof(got), &n), 0);
	assert_int_equal(get_le16(got + 6 + 8 * 3), 4); /* the mask follows chmod */
	assert_int_equal(get_le16(got + 6 + 8 * 2), 5); /* the group's own entry does not */
	assert_int_equal(fs_removexattr(fix->fs, f, access_name), 0);
	assert_int_equal(fs_setxattr(fix->fs, d, default_name, acl, len, 0, &fix->cred), 0);
	f = fix_file(fix, d, "f", ""); /* 0666, umask 022 does not count */
	assert_int_equal(fix_stat(fix, f).st_mode, S_IFREG | 0660);
	assert_int_equal(fs_getxattr(fix->fs, f, access_name, got, sizeof(got), &n), 0);
	assert_int_equal(n, len);
	sub = fix_folder(fix, d, "sub");
	assert_int_equal(fs_getxattr(fix->fs, sub, default_name, got, sizeof(got), &n), 0);
	assert_memory_equal(got, acl, len);
	assert_int_equal(fix_stat(fix, fix_file(fix, ROOT, "g", "")).st_mode, S_IFREG | 0644);
}

static unsigned keys(struct fix_fs *fix, const char *prefix)
{
	struct meta_cursor *cursor;
	struct meta_item item;
	unsigned n = 0;

	assert_int_equal(meta_cursor_open(fix->fs->meta, prefix, strlen(prefix), NULL, 0, &cursor),
			 0);
	while (meta_cursor_next(cursor, &item) == 0)
		n++;
	meta_cursor_close(cursor);
	return n;
}

/* All records that an inode has, here and in the tiers, go with it: at once, when it is closed,
 * when it is replaced, and at the next opening when the daemon dies before. */
static void nothing_is_left_of_what_is_deleted(void **state)
{
	static const char *const names[] = {"gone", "open", "died", "replaced", "new"};
	struct fix_fs *fix = *state;
	uint64_t f = fix_folder(fix, ROOT, "f");
	struct inode *open, *died;
	struct stat st;

	for (unsigned i = 0; i < 5; i++) {
		uint64_t id = fix_file(fix, f, names[i], "data");

		assert_int_equal(fs_setxattr(fix->fs, id, "user.one", "1", 1, 0, &fix->cred), 0);
		assert_int_equal(
			fs_setxattr(fix->fs, id, "user.terrace.pin", "ssd", 3, 0, &fix->cred), 0);
	}
	assert_int_equal(fs_symlink(fix->fs, f, "link", "target", &fix->cred, &st), 0);
	assert_int_equal(fs_fsync_all(fix->fs), 0);
	assert_int_equal(fs_file_open(fix->fs, fix_id(fix, f, "open"), O_RDONLY, false, &open), 0);
	assert_int_equal(fs_file_open(fix->fs, fix_id(fix, f, "died"), O_RDONLY, false, &died), 0);
	assert_int_equal(keys(fix, "X"), 5);
	assert_int_equal(keys(fix, "Pfs.policy."), 5);
	assert_int_equal(keys(fix, "L"), 1);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(fs_unlink(fix->fs, f, names[i]), 0);
	assert_int_equal(fs_unlink(fix->fs, f, "link"), 0);
	assert_int_equal(keys(fix, "O"), 2);
	fs_file_close(fix->fs, open, O_RDONLY);
	assert_int_equal(keys(fix, "O"), 1);
	assert_int_equal(keys(fix, "X"), 3);
	assert_int_equal(keys(fix, "Pfs.policy."), 3);
	assert_int_equal(keys(fix, "L"), 0);
	assert_int_equal(fs_rename(fix->fs, f, "new", f, "replaced", 0), 0);
	fix_fs_crash(fix);
	assert_int_equal(fs_unlink(fix->fs, f, "replaced"), 0);
	assert_int_equal(fs_rmdir(fix->fs, ROOT, "f"), 0);
	assert_int_equal(keys(fix, "I"), 1);
	for (const char *type = "DXLOEW"; *type; type++)
		assert_int_equal(keys(fix, (const char[]){*type, '\0'}), 0);
	assert_int_equal(keys(fix, "Pfs.policy."), 0);
	assert_false(policy_any(fix->fs->policy));
}

/* Also what is set when the last name has gone, by who has the file open. */
static void nothing_is_left_of_what_is_set_late(void **state)
{
	struct fix_fs *fix = *state;
	uint64_t f = fix_file(fix, ROOT, "f", "data");
	struct inode *open;

	assert_int_equal(fs_file_open(fix->fs, f, O_WRONLY, false, &open), 0);
	assert_int_equal(fs_unlink(fix->fs, ROOT, "f"), 0);
	assert_int_equal(fs_setxattr(fix->fs, f, "user.late", "1", 1, 0, &fix->cred), 0);
	assert_int_equal(fs_setxattr(fix->fs, f, "user.terrace.pin", "ssd", 3, 0, &fix->cred), 0);
	assert_int_equal(keys(fix, "X"), 1);
	assert_int_equal(keys(fix, "Pfs.policy."), 1);
	fs_file_close(fix->fs, open, O_WRONLY);
	assert_int_equal(keys(fix, "X"), 0);
	assert_int_equal(keys(fix, "Pfs.policy."), 0);
	assert_false(policy_any(fix->fs->policy));
}

/* 4 GiB would be told to the kernel as 0, the end of the file. */
static void copies_are_told_in_32_bits(void **state)
{
	struct fix_fs *fix = *state;
	uint64_t f = fix_file(fix, ROOT, "f", "data"), g = fix_file(fix, ROOT, "g", ""), done;
	struct stat large = {.st_size = (off_t)4 << 30};
	struct inode *in, *out;

	set(fix, f, FS_SET_SIZE, large);
	assert_int_equal(fs_file_open(fix->fs, f, O_RDONLY, false, &in), 0);
	assert_int_equal(fs_file_open(fix->fs, g, O_WRONLY, false, &out), 0);
	for (uint64_t off = 0; off < (uint64_t)large.st_size; off += done) {
		assert_int_equal(fs_copy_range(fix->fs, in, off, out, off, INT64_MAX, false, &done),
				 0);
		assert_true(done > 0 && done <= UINT32_MAX);
	}
	assert_int_equal(fix_stat(fix, g).st_size, large.st_size);
	fs_file_close(fix->fs, in, O_RDONLY);
	fs_file_close(fix->fs, out, O_WRONLY);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, fix_fs_setup, fix_fs_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(privileges),
		TEST(capabilities_go),
		TEST(sizes),
		TEST(reported_times_outlive_a_crash),
		TEST(times_after_a_rename),
		TEST(unreported_times_are_recovered),
		TEST(overtaking_times),
		TEST(synced_times_outlive_a_power_loss),
		TEST(time_rules),
		TEST(allocation),
		TEST(appending_and_truncating_opens),
		TEST(attributes),
		TEST(many_attributes),
		TEST(acls),
		TEST(nothing_is_left_of_what_is_deleted),
		TEST(nothing_is_left_of_what_is_set_late),
		TEST(copies_are_told_in_32_bits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
