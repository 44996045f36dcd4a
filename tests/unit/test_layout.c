// SPDX-License-Identifier: Apache-2.0
/* When files turn into plain ones and back (fs/layout.h), and the claims that turns need. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "fs/inode.h"
#include "fs/layout.h"
#include "fs/policy.h"
#include "tests/unit/fix_fs.h"
#include "tiers/object.h"
#include "tiers/plain.h"
#include "tiers/pool_impl.h"

#define LAYOUT "user.terrace.layout"

static bool is_plain(struct fix_fs *fix, uint64_t id)
{
	struct object *object;
	bool plain;

	assert_int_equal(object_get(fix->pool.pool, id, &object), 0);
	plain = object_is_plain(object);
	object_put(object);
	return plain;
}

static int set(struct fix_fs *fix, uint64_t id, const char *layout)
{
	return layout ? fs_setxattr(fix->fs, id, LAYOUT, layout, strlen(layout), 0, &fix->cred)
		      : fs_removexattr(fix->fs, id, LAYOUT);
}

static void open_close(struct fix_fs *fix, uint64_t id, int flags)
{
	struct inode *inode;

	assert_int_equal(fs_file_open(fix->fs, id, flags, false, &inode), 0);
	fs_file_close(fix->fs, inode, flags);
}

static void attribute(void **state)
{
	struct fix_fs *fix = *state;
	uint64_t id = fix_file(fix, ROOT, "one", "some content");
	struct inode *inode;
	char buf[32];
	size_t len;

	assert_int_equal(set(fix, id, "else"), -EINVAL);
	assert_int_equal(set(fix, id, "plain"), 0);
	assert_true(is_plain(fix, id));
	fix_content(fix, id, "some content");
	fix_fs_crash(fix);
	assert_true(is_plain(fix, id));
	fix_content(fix, id, "some content");
	/* Open, it neither turns nor forgets what was set. */
	assert_int_equal(fs_file_open(fix->fs, id, O_RDONLY, false, &inode), 0);
	assert_int_equal(set(fix, id, NULL), -EBUSY);
	assert_int_equal(set(fix, id, "frames"), -EBUSY);
	assert_int_equal(fs_getxattr(fix->fs, id, LAYOUT, buf, sizeof(buf), &len), 0);
	assert_memory_equal(buf, "plain", 5);
	fs_file_close(fix->fs, inode, O_RDONLY);
	assert_int_equal(set(fix, id, NULL), 0);
	assert_false(is_plain(fix, id));
	assert_int_equal(set(fix, id, NULL), -ENODATA);
	assert_int_equal(fs_file_open(fix->fs, id, O_RDONLY, false, &inode), 0);
	assert_int_equal(set(fix, id, "plain"), -EBUSY);
	assert_int_equal(fs_getxattr(fix->fs, id, LAYOUT, buf, sizeof(buf), &len), -ENODATA);
	fs_file_close(fix->fs, inode, O_RDONLY);
	fix_content(fix, id, "some content");
}

static void folder(void **state)
{
	struct fix_fs *fix = *state;
	uint64_t dir = fix_folder(fix, ROOT, "dir"), old = fix_file(fix, dir, "old", "content");
	uint64_t made, sealed;

	assert_int_equal(set(fix, dir, "plain"), 0);
	assert_false(is_plain(fix, old));
	made = fix_file(fix, dir, "made", "new content");
	assert_true(is_plain(fix, made));
	fix_content(fix, made, "new content");
	open_close(fix, old, O_RDONLY);
	assert_false(is_plain(fix, old));
	open_close(fix, old, O_RDWR);
	assert_true(is_plain(fix, old));
	fix_content(fix, old, "content");
	/* What will not change any more is in frames. */
	sealed = fix_folder(fix, dir, "sealed");
	assert_int_equal(policy_set(fix->fs->policy, sealed, POLICY_STATE, "sealed", 0), 0);
	assert_false(is_plain(fix, fix_file(fix, sealed, "file", "x")));
	fix_fs_remount(fix);
	assert_true(is_plain(fix, made));
	fix_content(fix, old, "content");
}

/* Writes keep their times over turns, and those that go past us show. */
static void times(void **state)
{
	struct fix_fs *fix = *state;
	uint64_t id = fix_file(fix, ROOT, "one", "some content");
	struct stat values = {.st_mtim = {1000000000, 5}}, st;
	struct object *object;
	int fd;

	assert_int_equal(fs_setattr(fix->fs, id, FS_SET_MTIME, &values, &st), 0);
	fix->fs->past = true;
	assert_int_equal(set(fix, id, "plain"), 0);
	assert_int_equal(fix_stat(fix, id).st_mtim.tv_sec, 1000000000);
	assert_int_equal(object_get(fix->pool.pool, id, &object), 0);
	assert_int_equal(object_plain_fd(object, &fd), 0);
	assert_int_equal(pwrite(fd, "longer", 6, 12), 6);
	st = fix_stat(fix, id);
	assert_int_equal(st.st_size, 18);
	assert_true(st.st_mtim.tv_sec > 1000000000);
	object_put(object);
	assert_int_equal(fs_setattr(fix->fs, id, FS_SET_MTIME, &values, &st), 0);
	assert_int_equal(fix_stat(fix, id).st_mtim.tv_sec, 1000000000);
	assert_int_equal(set(fix, id, NULL), 0);
	assert_int_equal(fix_stat(fix, id).st_mtim.tv_sec, 1000000000);
	fix_fs_remount(fix);
	assert_int_equal(fix_stat(fix, id).st_mtim.tv_sec, 1000000000);
	fix_content(fix, id, "some contentlonger");
}

static void age(struct fix_fs *fix, uint64_t id, time_t seconds)
{
	struct timespec then = {.tv_sec = time(NULL) - seconds}, both[2] = {then, then};
	struct stat values = {.st_atim = then, .st_mtim = then}, st;
	struct object *object;
	int fd;

	assert_int_equal(fs_setattr(fix->fs, id, FS_SET_MTIME | FS_SET_ATIME, &values, &st), 0);
	assert_int_equal(object_get(fix->pool.pool, id, &object), 0);
	assert_int_equal(object_plain_fd(object, &fd), 0);
	assert_int_equal(futimens(fd, both), 0);
	object_put(object);
}

static void pass(void **state)
{
	struct fix_fs *fix = *state;
	uint64_t dir = fix_folder(fix, ROOT, "dir"), hot, cold, held, made;
	struct inode *inode;

	pthread_rwlock_wrlock(&fix->pool.pool->tunables_lock);
	fix->pool.pool->tunables.plain_idle_ns = 7 * 86400 * UINT64_C(1000000000);
	pthread_rwlock_unlock(&fix->pool.pool->tunables_lock);
	assert_int_equal(set(fix, dir, "plain"), 0);
	hot = fix_file(fix, dir, "hot", "hot");
	cold = fix_file(fix, dir, "cold", "cold");
	held = fix_file(fix, dir, "held", "held");
	age(fix, hot, 6 * 86400);
	age(fix, cold, 8 * 86400);
	age(fix, held, 8 * 86400);
	assert_int_equal(fs_file_open(fix->fs, held, O_RDONLY | O_NOATIME, false, &inode), 0);
	layout_pass(fix->fs);
	assert_true(is_plain(fix, hot));
	assert_true(is_plain(fix, held));
	assert_false(is_plain(fix, cold));
	fix_content(fix, cold, "cold");
	fs_file_close(fix->fs, inode, O_RDONLY);
	open_close(fix, cold, O_RDWR);
	assert_true(is_plain(fix, cold));
	/* Nobody wants any of them plain any more. */
	made = fix_file(fix, dir, "made", "made");
	assert_int_equal(set(fix, dir, NULL), 0);
	layout_pass(fix->fs);
	assert_false(is_plain(fix, hot) || is_plain(fix, made) || is_plain(fix, held));
	fix_content(fix, made, "made");
}

/* Claims ----------------------------------------------------------------------------------------
 */

static void *open_it(void *arg)
{
	struct fix_fs *fix = arg;

	open_close(fix, fix_id(fix, ROOT, "one"), O_RDWR);
	return NULL;
}

/* Who wants the file calls the turn off, and gets it when the claim ends. */
static void claims(void **state)
{
	struct fix_fs *fix = *state;
	uint64_t id = fix_file(fix, ROOT, "one", "content");
	uint64_t entries = inode_count(fix->fs->inodes);
	const _Atomic bool *cancel, *other;
	struct stat values = {.st_size = 3}, st;
	struct inode *inode;
	pthread_t thread;

	assert_int_equal(inode_claim(fix->fs->inodes, id, &cancel), 0);
	assert_int_equal(inode_claim(fix->fs->inodes, id, &other), -EBUSY);
	assert_false(*cancel);
	assert_int_equal(pthread_create(&thread, NULL, open_it, fix), 0);
	while (!*cancel)
		sched_yield();
	inode_unclaim(fix->fs->inodes, id);
	pthread_join(thread, NULL);
	assert_int_equal(fs_setattr(fix->fs, id, FS_SET_SIZE, &values, &st), 0);
	assert_int_equal(inode_still(fix->fs->inodes, id), 0);
	assert_int_equal(inode_claim(fix->fs->inodes, id, &cancel), -EBUSY);
	inode_move(fix->fs->inodes, id);
	assert_int_equal(fs_file_open(fix->fs, id, O_RDONLY, false, &inode), 0);
	assert_int_equal(inode_claim(fix->fs->inodes, id, &cancel), -EBUSY);
	fs_file_close(fix->fs, inode, O_RDONLY);
	/* Removed while it is claimed: it goes when that ends. */
	assert_int_equal(inode_claim(fix->fs->inodes, id, &cancel), 0);
	assert_int_equal(fs_unlink(fix->fs, ROOT, "one"), 0);
	inode_cancel_claims(fix->fs->inodes);
	assert_true(*cancel);
	inode_unclaim(fix->fs->inodes, id);
	fs_forget(fix->fs, id);
	assert_int_equal(inode_count(fix->fs->inodes), entries);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(attribute, fix_fs_setup, fix_fs_teardown),
		cmocka_unit_test_setup_teardown(folder, fix_fs_setup, fix_fs_teardown),
		cmocka_unit_test_setup_teardown(times, fix_fs_setup, fix_fs_teardown),
		cmocka_unit_test_setup_teardown(pass, fix_fs_setup, fix_fs_teardown),
		cmocka_unit_test_setup_teardown(claims, fix_fs_setup, fix_fs_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
