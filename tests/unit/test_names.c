// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "fs/dir.h"
#include "fs/inode.h"
#include "tests/unit/fix_fs.h"
#include "tiers/object.h"
#include "tiers/pool.h"

static uint64_t objects(struct fix_fs *fix)
{
	struct pool_space space;

	pool_space(fix->pool.pool, &space);
	return space.objects;
}

static void links(void **state)
{
	struct fix_fs *fix = *state;
	uint64_t d = fix_folder(fix, ROOT, "d"), f = fix_file(fix, ROOT, "f", "data");
	struct stat st;

	assert_int_equal(fix_stat(fix, ROOT).st_nlink, 3);
	assert_int_equal(fs_link(fix->fs, f, d, "g", &st), 0);
	assert_int_equal(st.st_nlink, 2);
	assert_int_equal(fs_link(fix->fs, f, d, "g", &st), -EEXIST);
	assert_int_equal(fs_link(fix->fs, d, ROOT, "x", &st), -EPERM);
	assert_int_equal(fs_unlink(fix->fs, ROOT, "f"), 0);
	fix_content(fix, fix_id(fix, d, "g"), "data");
	assert_int_equal(fix_stat(fix, f).st_nlink, 1);
	assert_int_equal(fs_unlink(fix->fs, ROOT, "d"), -EISDIR);
	assert_int_equal(fs_rmdir(fix->fs, d, "g"), -ENOTDIR);
	assert_int_equal(fs_rmdir(fix->fs, ROOT, "d"), -ENOTEMPTY);
	assert_int_equal(fs_unlink(fix->fs, d, "g"), 0);
	assert_int_equal(fs_rmdir(fix->fs, ROOT, "d"), 0);
	assert_int_equal(fix_stat(fix, ROOT).st_nlink, 2);
	assert_int_equal(objects(fix), 1);
}

static void names_refused(void **state)
{
	struct fix_fs *fix = *state;
	char name[300];
	struct stat st;

	memset(name, 'n', sizeof(name));
	name[256] = '\0';
	assert_int_equal(fs_mkdir(fix->fs, ROOT, name, 0, &fix->cred, &st), -ENAMETOOLONG);
	name[255] = '\0';
	assert_int_equal(fs_mkdir(fix->fs, ROOT, name, 0, &fix->cred, &st), 0);
	assert_int_equal(fs_mkdir(fix->fs, ROOT, name, 0, &fix->cred, &st), -EEXIST);
	assert_int_equal(fs_mkdir(fix->fs, ROOT, ".terrace", 0, &fix->cred, &st), -EEXIST);
	assert_int_equal(fs_rename(fix->fs, ROOT, name, ROOT, ".terrace", 0), -EPERM);
	assert_int_equal(fs_rmdir(fix->fs, ROOT, ".terrace"), -EPERM);
	assert_int_equal(fs_mkdir(fix->fs, 999, "x", 0, &fix->cred, &st), -ENOENT);
	assert_int_equal(fs_unlink(fix->fs, ROOT, "missing"), -ENOENT);
}

static void rename_rules(void **state)
{
	struct fix_fs *fix = *state;
	uint64_t a = fix_folder(fix, ROOT, "a"), b = fix_folder(fix, ROOT, "b");
	uint64_t f = fix_file(fix, a, "f", "F"), g = fix_file(fix, b, "g", "G");
	struct stat st;

	assert_int_equal(fs_rename(fix->fs, a, "f", b, "g", 1), -EEXIST); /* NOREPLACE */
	assert_int_equal(fs_rename(fix->fs, a, "f", b, "g", 2), 0);	  /* EXCHANGE */
	assert_int_equal(fix_id(fix, b, "g"), f);
	assert_int_equal(fix_id(fix, a, "f"), g);
	assert_int_equal(fs_rename(fix->fs, a, "f", b, "none", 2), -ENOENT);
	assert_int_equal(fs_rename(fix->fs, a, "f", b, "g", 4), -EINVAL);
	assert_int_equal(fs_rename(fix->fs, a, "f", ROOT, "b", 0), -EISDIR);
	assert_int_equal(fs_rename(fix->fs, ROOT, "a", b, "g", 0), -ENOTDIR);
	assert_int_equal(fs_rename(fix->fs, ROOT, "a", ROOT, "b", 0), -ENOTEMPTY);
	assert_int_equal(fs_rename(fix->fs, a, "f", b, "g", 0), 0); /* replaces */
	assert_int_equal(fix_id(fix, b, "g"), g);
	assert_int_equal(fix_stat(fix, f).st_nlink, 0); /* known until forgotten */
	fs_forget(fix->fs, f);
	assert_int_equal(fs_getattr(fix->fs, f, &st), -ENOENT);
	assert_int_equal(fs_rename(fix->fs, ROOT, "b", ROOT, "a", 0), 0); /* a is empty now */
	assert_int_equal(fix_stat(fix, ROOT).st_nlink, 3);
	assert_int_equal(fix_stat(fix, b).st_nlink, 2);
	fix_folder(fix, b, "sub");
	assert_int_equal(fs_rename(fix->fs, b, "sub", ROOT, "sub", 0), 0);
	assert_int_equal(fix_stat(fix, ROOT).st_nlink, 4);
	assert_int_equal(fix_stat(fix, b).st_nlink, 2);
	assert_int_equal(fs_link(fix->fs, g, ROOT, "same", &st), 0);
	assert_int_equal(fs_rename(fix->fs, ROOT, "same", b, "g", 0), 0); /* one inode: nothing */
	assert_int_equal(fix_id(fix, ROOT, "same"), g);
}

/* Who has looked a name up may open the file although a rename has replaced it meanwhile. */
static void replaced_is_kept(void **state)
{
	struct fix_fs *fix = *state;
	uint64_t old = fix_file(fix, ROOT, "f", "old");
	struct inode *inode;

	fix_file(fix, ROOT, "new", "new");
	assert_int_equal(fs_rename(fix->fs, ROOT, "new", ROOT, "f", 0), 0);
	assert_int_equal(objects(fix), 3);
	assert_int_equal(fix_stat(fix, old).st_size, 3);
	fix_content(fix, old, "old"); /* opens and closes it */
	assert_int_equal(fs_file_open(fix->fs, old, O_RDONLY, false, &inode), 0);
	fs_file_close(fix->fs, inode, O_RDONLY);
	fs_forget(fix->fs, old);
	assert_int_equal(objects(fix), 2);
	assert_int_equal(inode_count(fix->fs->inodes), 0);
	assert_int_equal(fs_file_open(fix->fs, old, O_RDONLY, false, &inode), -ENOENT);

	old = fix_id(fix, ROOT, "f");
	fix_file(fix, ROOT, "new", "newer");
	assert_int_equal(fs_file_open(fix->fs, old, O_RDONLY, false, &inode), 0);
	assert_int_equal(fs_rename(fix->fs, ROOT, "new", ROOT, "f", 0), 0);
	fs_forget(fix->fs, old); /* overtakes the last close */
	assert_int_equal(objects(fix), 3);
	fs_file_close(fix->fs, inode, O_RDONLY);
	assert_int_equal(objects(fix), 2);

	old = fix_id(fix, ROOT, "f");
	fix_file(fix, ROOT, "new", "newest");
	assert_int_equal(fs_rename(fix->fs, ROOT, "new", ROOT, "f", 0), 0);
	fix_fs_crash(fix); /* nobody forgets it: the next mount deletes it */
	assert_int_equal(objects(fix), 2);
	assert_int_equal(fs_file_open(fix->fs, old, O_RDONLY, false, &inode), -ENOENT);
}

static void unlinked_while_open(void **state)
{
	struct fix_fs *fix = *state;
	uint64_t f = fix_file(fix, ROOT, "f", "data");
	struct inode *inode, *again;
	struct stat st;
	char buf[8];
	size_t got;

	assert_int_equal(fs_file_open(fix->fs, f, O_RDWR, false, &inode), 0);
	assert_int_equal(fs_unlink(fix->fs, ROOT, "f"), 0);
	assert_int_equal(fix_stat(fix, f).st_nlink, 0);
	assert_int_equal(fs_link(fix->fs, f, ROOT, "back", &st), -ENOENT);
	assert_int_equal(fs_file_open(fix->fs, f, O_RDONLY, false, &again), 0); /* /proc/PID/fd */
	assert_int_equal(fs_write(fix->fs, inode, "more", 4, 4, 0), 0);
	fs_file_close(fix->fs, inode, O_RDWR);
	assert_int_equal(fs_read(fix->fs, again, buf, sizeof(buf), 0, &got), 0);
	assert_int_equal(got, 8);
	assert_int_equal(objects(fix), 2);
	fs_file_close(fix->fs, again, O_RDONLY);
	assert_int_equal(objects(fix), 1);
	assert_int_equal(fs_file_open(fix->fs, f, O_RDONLY, false, &inode), -ENOENT);
	assert_int_equal(inode_count(fix->fs->inodes), 1);
	fs_forget(fix->fs, f);
	assert_int_equal(inode_count(fix->fs->inodes), 0);
}

/* Forget may overtake the last close: they come from different queues of the kernel. */
static void forgotten_while_open(void **state)
{
	struct fix_fs *fix = *state;
	uint64_t f = fix_file(fix, ROOT, "f", "data");
	struct inode *inode;

	assert_int_equal(fs_file_open(fix->fs, f, O_RDWR, false, &inode), 0);
	assert_int_equal(fs_unlink(fix->fs, ROOT, "f"), 0);
	fs_forget(fix->fs, f);
	fs_file_close(fix->fs, inode, O_RDWR);
	assert_int_equal(inode_count(fix->fs->inodes), 0);
	assert_int_equal(objects(fix), 1);
}

/* What only two threads can bring about: the kernel forgets between the last close and the
 * deletion; the unlink that made the orphan fails after the last close. */
static void orphan_races(void **state)
{
	struct fix_fs *fix = *state;
	uint64_t f = fix_file(fix, ROOT, "f", "data");
	struct inode_table *table;
	struct object *object;
	struct inode *inode;
	struct attr attr = {.nlink = 0};

	assert_int_equal(inode_table_new(&table), 0);
	assert_int_equal(object_get(fix->pool.pool, f, &object), 0);
	assert_int_equal(inode_open(table, object_hold(object), true, &inode), 0);
	assert_int_equal(inode_unlink(table, f, &attr, false), 1);
	assert_true(inode_close(table, inode, true, &object));
	inode_forget(table, f);
	assert_true(inode_last(table, f, &attr)); /* still to be deleted */
	inode_deleted(table, f);
	assert_false(inode_last(table, f, &attr));
	assert_int_equal(inode_count(table), 0);

	assert_int_equal(inode_open(table, object, true, &inode), 0);
	assert_int_equal(inode_unlink(table, f, &attr, false), 1);
	assert_true(inode_close(table, inode, true, &object));
	inode_unlink_undo(table, f);
	assert_false(inode_last(table, f, &attr)); /* not to be deleted any more */
	inode_deleted(table, f);
	assert_int_equal(inode_count(table), 0);
	object_put(object);
	object_put(object);
	inode_table_free(table);
}

/* The same, and the last close comes before the mark is taken back. */
static void failed_unlink_keeps_file(void **state)
{
	struct fix_fs *fix = *state;
	uint64_t f = fix_file(fix, ROOT, "f", "data");
	struct attr attr = {.nlink = 0};
	struct inode *inode;

	assert_int_equal(fs_file_open(fix->fs, f, O_RDWR, false, &inode), 0);
	assert_int_equal(inode_unlink(fix->fs->inodes, f, &attr, false), 1);
	fs_file_close(fix->fs, inode, O_RDWR);
	inode_unlink_undo(fix->fs->inodes, f);
	assert_int_equal(objects(fix), 2);
	fix_content(fix, fix_id(fix, ROOT, "f"), "data");
	assert_int_equal(inode_count(fix->fs->inodes), 0);
	assert_int_equal(fs_unlink(fix->fs, ROOT, "f"), 0);
	assert_int_equal(objects(fix), 1);
}

static void orphans_after_crash(void **state)
{
	struct fix_fs *fix = *state;
	uint64_t f = fix_file(fix, ROOT, "f", "data");
	struct inode *inode;

	fix_file(fix, ROOT, "kept", "here");
	assert_int_equal(fs_file_open(fix->fs, f, O_RDWR, false, &inode), 0);
	assert_int_equal(fs_unlink(fix->fs, ROOT, "f"), 0);
	fix_fs_crash(fix);
	assert_int_equal(objects(fix), 2);
	assert_string_equal(fix_list(fix, ROOT, false), "kept");
	fix_content(fix, fix_id(fix, ROOT, "kept"), "here");
}

static void removed_folder(void **state)
{
	struct fix_fs *fix = *state;
	uint64_t d = fix_folder(fix, ROOT, "d");
	struct stat st;

	assert_int_equal(fs_rmdir(fix->fs, ROOT, "d"), 0);
	assert_int_equal(fix_stat(fix, d).st_nlink, 0);
	assert_string_equal(fix_list(fix, d, false), "");
	assert_int_equal(fs_mkdir(fix->fs, d, "x", 0, &fix->cred, &st), -ENOENT);
	fs_forget(fix->fs, d);
	assert_int_equal(inode_count(fix->fs->inodes), 0);
}

static void symlinks_and_devices(void **state)
{
	struct fix_fs *fix = *state;
	char target[FS_SYMLINK_MAX + 2], buf[FS_SYMLINK_MAX + 1];
	struct stat st;

	memset(target, 't', sizeof(target));
	target[sizeof(target) - 1] = '\0';
	assert_int_equal(fs_symlink(fix->fs, ROOT, "l", target, &fix->cred, &st), -ENAMETOOLONG);
	target[FS_SYMLINK_MAX] = '\0';
	assert_int_equal(fs_symlink(fix->fs, ROOT, "l", target, &fix->cred, &st), 0);
	assert_int_equal(st.st_size, FS_SYMLINK_MAX);
	assert_int_equal(fs_readlink(fix->fs, st.st_ino, buf, sizeof(buf)), 0);
	assert_string_equal(buf, target);
	assert_int_equal(fs_mknod(fix->fs, ROOT, "n", S_IFCHR | 0600, 0x103, &fix->cred, &st), 0);
	assert_int_equal(fix_stat(fix, st.st_ino).st_rdev, 0x103);
	fix_fs_remount(fix);
	assert_string_equal(fix_list(fix, ROOT, false), "l n");
	assert_int_equal(fs_unlink(fix->fs, ROOT, "l"), 0);
	assert_int_equal(fs_unlink(fix->fs, ROOT, "n"), 0);
}

static void group_inheritance(void **state)
{
	struct fix_fs *fix = *state;
	uint64_t d = fix_folder(fix, ROOT, "d"), sub;
	struct stat values = {.st_mode = 02775, .st_gid = 77}, st;

	assert_int_equal(fs_setattr(fix->fs, d, FS_SET_MODE | FS_SET_GID, &values, &st), 0);
	assert_int_equal(st.st_mode, S_IFDIR | 02775);
	sub = fix_folder(fix, d, "sub");
	st = fix_stat(fix, sub);
	assert_int_equal(st.st_mode, S_IFDIR | 02755);
	assert_int_equal(st.st_gid, 77);
	st = fix_stat(fix, fix_file(fix, sub, "f", ""));
	assert_int_equal(st.st_mode, S_IFREG | 0644);
	assert_int_equal(st.st_gid, 77);
}

/* An NFS handle: the number alone, long after the kernel forgot it. */
static void handles(void **state)
{
	struct fix_fs *fix = *state;
	uint64_t d = fix_folder(fix, ROOT, "d"), e = fix_folder(fix, d, "e");

	fix_fs_remount(fix);
	assert_int_equal(fix_id(fix, e, "."), e);
	assert_int_equal(fix_id(fix, e, ".."), d);
	assert_int_equal(fix_id(fix, ROOT, ".."), ROOT);
}

static void paths(void **state)
{
	struct fix_fs *fix = *state;
	uint64_t d = fix_folder(fix, ROOT, "d"), f = fix_file(fix, d, "f", ""), id;
	char buf[64];

	fs_path(fix->fs, f, buf, sizeof(buf));
	assert_string_equal(buf, "/d/f");
	fs_path(fix->fs, ROOT, buf, sizeof(buf));
	assert_string_equal(buf, "/");
	fs_path(fix->fs, 4711, buf, sizeof(buf));
	assert_string_equal(buf, "object 4711");
	assert_int_equal(fs_resolve(fix->fs, "/d//./f", &id), 0);
	assert_true(id == f);
	assert_int_equal(fs_resolve(fix->fs, "/d/none", &id), -ENOENT);
}

/* The path is right, and was found without walking the folder. */
static void hinted(struct fix_fs *fix, uint64_t id, const char *path)
{
	struct object *object;
	struct dir_entry entry;
	struct attr attr;
	struct dir dir;
	char buf[256];

	fs_path(fix->fs, id, buf, sizeof(buf));
	assert_string_equal(buf, path);
	assert_int_equal(fs_load(fix->fs, id, &object, &attr), 0);
	object_put(object);
	dir = fs_dir(fix->fs, attr.parent);
	assert_int_equal(dir_at(&dir, attr.cookie, buf, &entry), 0);
	assert_true(entry.id == id);
}

/* Whatever a hint says, the path is right. */
static void wrong_hint(struct fix_fs *fix, uint64_t id, uint64_t folder, const char *path)
{
	uint64_t other = fix_file(fix, folder, "other", "");
	struct object *object;
	struct attr attr, others;
	struct txn *txn;
	char buf[64];

	assert_int_equal(fs_load(fix->fs, other, &object, &others), 0);
	object_put(object);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(fs_load(fix->fs, id, &object, &attr), 0);
		attr.cookie = i == 0 ? others.cookie : i == 1 ? 0 : 4711;
		txn = txn_begin(fix->fs->pool);
		assert_int_equal(fs_store(txn, object, &attr), 0);
		assert_int_equal(txn_commit(txn), 0);
		object_put(object);
		fs_path(fix->fs, id, buf, sizeof(buf));
		assert_string_equal(buf, path);
	}
	assert_int_equal(fs_unlink(fix->fs, folder, "other"), 0);
}

static void hints(struct fix_fs *fix)
{
	uint64_t d = fix_folder(fix, ROOT, "d"), e = fix_folder(fix, d, "e");
	uint64_t f = fix_file(fix, e, "f", ""), g = fix_file(fix, e, "g", "");
	struct stat st;
	char buf[64];

	hinted(fix, f, "/d/e/f");
	assert_int_equal(fs_rename(fix->fs, e, "f", e, "f2", 0), 0);
	hinted(fix, f, "/d/e/f2");
	assert_int_equal(fs_rename(fix->fs, e, "f2", ROOT, "f3", 0), 0);
	hinted(fix, f, "/f3");
	assert_int_equal(fs_rename(fix->fs, ROOT, "f3", e, "g", RENAME_EXCHANGE), 0);
	hinted(fix, f, "/d/e/g");
	hinted(fix, g, "/f3");
	assert_int_equal(fs_rename(fix->fs, e, "g", ROOT, "f3", 0), 0); /* replaces */
	hinted(fix, f, "/f3");
	assert_int_equal(fs_link(fix->fs, f, d, "h", &st), 0);
	hinted(fix, f, "/d/h");
	assert_int_equal(fs_rename(fix->fs, ROOT, "d", ROOT, "dd", 0), 0);
	hinted(fix, f, "/dd/h");
	assert_int_equal(fs_unlink(fix->fs, d, "h"), 0); /* the other name is not known */
	fs_path(fix->fs, f, buf, sizeof(buf));
	assert_memory_equal(buf, "object ", 7);
	assert_int_equal(fs_rename(fix->fs, ROOT, "f3", d, "i", 0), 0);
	hinted(fix, f, "/dd/i");
	wrong_hint(fix, f, d, "/dd/i");
	/* A hint that has become another's: */
	assert_int_equal(fs_link(fix->fs, f, d, "j", &st), 0);
	assert_int_equal(fs_rename(fix->fs, d, "i", d, "k", 0), 0);
	assert_int_equal(fs_unlink(fix->fs, d, "k"), 0);
	fix_file(fix, d, "k", "");
	fs_path(fix->fs, f, buf, sizeof(buf));
	assert_true(!strcmp(buf, "/dd/j") || !memcmp(buf, "object ", 7));
}

static void paths_by_hint(void **state)
{
	hints(*state);
}

static void paths_by_hint_in_one_group(void **state)
{
	struct fix_fs *fix = *state;

	fix->fs->mask = 0; /* all names have one hash */
	hints(fix);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, fix_fs_setup, fix_fs_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(links),
		TEST(names_refused),
		TEST(rename_rules),
		TEST(replaced_is_kept),
		TEST(unlinked_while_open),
		TEST(forgotten_while_open),
		TEST(orphans_after_crash),
		TEST(orphan_races),
		TEST(failed_unlink_keeps_file),
		TEST(removed_folder),
		TEST(symlinks_and_devices),
		TEST(group_inheritance),
		TEST(handles),
		TEST(paths),
		TEST(paths_by_hint),
		TEST(paths_by_hint_in_one_group),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
