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

#include "fs/databases.h"
#include "fs/inode.h"
#include "fs/layout.h"
#include "fs/policy.h"
#include "tests/unit/fix_dir.h"
#include "tests/unit/fix_fs.h"
#include "tiers/config_keys.h"
#include "tiers/engine/engine.h"
#include "tiers/io.h"
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

static unsigned looks, opens;

static int lstat_counts(const char *path, struct stat *out)
{
	looks++;
	return lstat(path, out);
}

static int fstat_counts(int fd, struct stat *out)
{
	looks++;
	return fstat(fd, out);
}

static int open_counts(const char *path, int flags, mode_t mode)
{
	opens++;
	return io_ops_system.open(path, flags, mode);
}

/* A stat(2) of a closed file asks for it once, and does not open it. */
static void look(void **state)
{
	struct fix_fs *fix = *state;
	uint64_t id = fix_file(fix, ROOT, "one", "some content");
	struct io_ops counting = io_ops_system;

	assert_int_equal(set(fix, id, "plain"), 0);
	counting.open = open_counts;
	counting.fstat = fstat_counts;
	counting.lstat = lstat_counts;
	looks = opens = 0;
	io_ops_set(&counting);
	assert_int_equal(fix_stat(fix, id).st_size, 12);
	io_ops_set(NULL);
	assert_int_equal(looks, 1);
	assert_int_equal(opens, 0);
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

/* Databases ------------------------------------------------------------------------------------ */

#define DB_BYTES (2u << 20)

static void wants_databases(struct fix_fs *fix, int yes)
{
	pthread_rwlock_wrlock(&fix->pool.pool->tunables_lock);
	fix->pool.pool->plain_databases = yes;
	fix->pool.pool->tunables.plain_idle_ns = 7 * 86400 * UINT64_C(1000000000);
	pthread_rwlock_unlock(&fix->pool.pool->tunables_lock);
}

/* A file of so many bytes, if full, else a hole. */
static uint64_t large(struct fix_fs *fix, uint64_t parent, const char *name, size_t bytes,
		      bool full)
{
	static uint8_t data[DB_BYTES];
	struct stat values = {.st_size = (off_t)bytes}, st;
	struct inode *inode;
	uint64_t id;

	assert_int_equal(fs_create(fix->fs, parent, name, 0666, O_RDWR, &fix->cred, &st, &inode),
			 0);
	id = st.st_ino;
	memset(data, 'a', sizeof(data));
	if (full)
		assert_int_equal(fs_write(fix->fs, inode, data, bytes, 0, 0), 0);
	else
		assert_int_equal(fs_setattr(fix->fs, id, FS_SET_SIZE, &values, &st), 0);
	fs_file_close(fix->fs, inode, O_RDWR);
	return id;
}

struct habit {
	size_t file, write; /* bytes */
	unsigned n, step;   /* writes; from one to the next, in writes */
	unsigned writes_a_sync, writes_an_open;
	bool holes, one;
};

/* Writes number 0 to n, in the order of multiples of step (prime to n). */
static void live(struct fix_fs *fix, uint64_t id, const struct habit *habit)
{
	static uint8_t data[DB_BYTES];
	struct inode *inode = NULL;

	memset(data, 'b', sizeof(data));
	for (unsigned i = 0; i < habit->n; i++) {
		uint64_t at = habit->step ? i * habit->step % habit->n : 0;

		if (!inode)
			assert_int_equal(fs_file_open(fix->fs, id, O_RDWR, false, &inode), 0);
		assert_int_equal(fs_write(fix->fs, inode, data, habit->write, at * habit->write, 0),
				 0);
		if (habit->writes_a_sync && i % habit->writes_a_sync == 0)
			assert_int_equal(
				i % 2 ? fs_fsync(fix->fs, inode) : fs_fdatasync(fix->fs, inode), 0);
		if (habit->writes_an_open && i % habit->writes_an_open == 0) {
			fs_file_close(fix->fs, inode, O_RDWR);
			inode = NULL;
		}
	}
	if (inode)
		fs_file_close(fix->fs, inode, O_RDWR);
}

static bool is_seen(struct fix_fs *fix, uint64_t id)
{
	char buf[32];
	size_t len;
	int r = fs_getxattr(fix->fs, id, LAYOUT, buf, sizeof(buf), &len);

	return !r && len == 8 && !memcmp(buf, "database", 8);
}

static const struct habit database = {DB_BYTES, 4096, 100, 37, 5, 0, false, true};

static void habits(void **state)
{
	static const struct habit all[] = {
		{DB_BYTES, 4096, 100, 37, 5, 0, false, true},
		{DB_BYTES, 16384, 128, 37, 10, 0, false, true},
		{DB_BYTES, 4096, 200, 37, 10, 3, false, true},	/* opened for each transaction */
		{DB_BYTES, 4096, 100, 37, 0, 0, false, false},	/* never synced */
		{DB_BYTES, 4096, 100, 37, 20, 0, false, false}, /* seldom */
		{DB_BYTES, 4096, 60, 37, 5, 0, false, false},	/* little */
		{DB_BYTES, 4096, 500, 1, 5, 0, false, false},	/* from front to back */
		{DB_BYTES, 4096, 200, 0, 5, 0, false, false},	/* in one place */
		{DB_BYTES, 32768, 64, 37, 5, 0, false, false},	/* in large pieces */
		{512 << 10, 4096, 100, 37, 5, 0, false, false}, /* a small file */
		{DB_BYTES, 16384, 128, 37, 5, 0, true, false},	/* a download */
	};
	struct fix_fs *fix = *state;
	char name[16];

	wants_databases(fix, 1);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		uint64_t id;

		snprintf(name, sizeof(name), "file%zu", i);
		id = large(fix, ROOT, name, all[i].file, !all[i].holes);
		live(fix, id, &all[i]);
		if (is_seen(fix, id) != all[i].one)
			fail_msg("habit %zu", i);
		layout_pass(fix->fs);
		assert_true(is_plain(fix, id) == all[i].one);
	}
}

static void check_database(struct fix_fs *fix, uint64_t id)
{
	static uint8_t data[DB_BYTES];
	struct object *object;
	size_t got;

	assert_int_equal(object_get(fix->pool.pool, id, &object), 0);
	assert_int_equal(object_read(object, data, sizeof(data), 0, &got), 0);
	assert_int_equal(got, DB_BYTES);
	for (size_t i = 0; i < got; i++)
		if (data[i] != (i < database.n * database.write ? 'b' : 'a'))
			fail_msg("byte %zu is %c", i, data[i]);
	object_put(object);
}

static uint64_t seen_database(struct fix_fs *fix, const char *name)
{
	uint64_t id = large(fix, ROOT, name, DB_BYTES, true);
	struct timespec before = fix_stat(fix, id).st_ctim;

	live(fix, id, &database);
	assert_true(is_seen(fix, id));
	assert_false(is_plain(fix, id));
	assert_true(fix_stat(fix, id).st_ctim.tv_sec - before.tv_sec <= 10);
	return id;
}

/* There and back: by opening it, by a pass, by a crash in between, by whoever says otherwise. */
static void databases(void **state)
{
	struct fix_fs *fix = *state;
	struct inode *inode;
	uint64_t id;
	char buf[64];
	size_t len;

	wants_databases(fix, 1);
	id = seen_database(fix, "one");
	assert_int_equal(set(fix, id, "database"), -EINVAL);
	open_close(fix, id, O_RDONLY);
	assert_false(is_plain(fix, id));
	open_close(fix, id, O_RDWR);
	assert_true(is_plain(fix, id));
	check_database(fix, id);
	assert_int_equal(
		fs_getxattr(fix->fs, id, "user.terrace.effective.layout", buf, sizeof(buf), &len),
		0);
	assert_memory_equal(buf, "plain database", len);
	fix_fs_crash(fix);
	wants_databases(fix, 1);
	layout_pass(fix->fs);
	assert_true(is_plain(fix, id) && is_seen(fix, id));
	assert_int_equal(set(fix, id, "frames"), 0);
	assert_false(is_plain(fix, id));
	live(fix, id, &database);
	assert_false(is_seen(fix, id));
	check_database(fix, id);

	id = seen_database(fix, "two");
	assert_int_equal(fs_file_open(fix->fs, id, O_RDONLY, false, &inode), 0);
	layout_pass(fix->fs);
	assert_false(is_plain(fix, id));
	fs_file_close(fix->fs, inode, O_RDONLY);
	fix_fs_crash(fix);
	wants_databases(fix, 1);
	layout_pass(fix->fs);
	assert_true(is_plain(fix, id));
	/* Nobody wants any any more; somebody does. */
	wants_databases(fix, 0);
	layout_pass(fix->fs);
	assert_false(is_plain(fix, id));
	wants_databases(fix, -1);
	layout_pass(fix->fs);
	assert_false(is_plain(fix, id));
	fix->fs->past = true;
	layout_pass(fix->fs);
	assert_true(is_plain(fix, id));
	/* Cold, it is forgotten. */
	age(fix, id, 8 * 86400);
	layout_pass(fix->fs);
	assert_false(is_plain(fix, id) || is_seen(fix, id));
	open_close(fix, id, O_RDWR);
	assert_false(is_plain(fix, id));
	check_database(fix, id);
}

/* What somebody has said goes before. */
static void no_databases(void **state)
{
	static const char *const said[][2] = {{"user.terrace.layout", "frames"},
					      {"user.terrace.replicas", "2"},
					      {"user.terrace.state", "sealed"},
					      {"user.terrace.pin", "ram"}};
	struct fix_fs *fix = *state;
	struct inode *inode;
	uint64_t id, dir;
	char name[16];

	for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++) {
		snprintf(name, sizeof(name), "dir%zu", i);
		dir = fix_folder(fix, ROOT, name);
		assert_int_equal(fs_setxattr(fix->fs, dir, said[i][0], said[i][1],
					     strlen(said[i][1]), 0, &fix->cred),
				 0);
		wants_databases(fix, 1);
		id = large(fix, dir, "file", DB_BYTES, true);
		live(fix, id, &database);
		assert_false(is_seen(fix, id));
		/* ... also when it comes later. */
		id = large(fix, ROOT, name + 3, DB_BYTES, true);
		live(fix, id, &database);
		assert_true(is_seen(fix, id));
		assert_int_equal(fs_setxattr(fix->fs, id, said[i][0], said[i][1],
					     strlen(said[i][1]), 0, &fix->cred),
				 0);
		layout_pass(fix->fs);
		assert_false(is_plain(fix, id));
	}
	wants_databases(fix, 0);
	id = large(fix, ROOT, "file", DB_BYTES, true);
	live(fix, id, &database);
	assert_false(is_seen(fix, id));
	/* While nobody wants any, nothing is counted. */
	assert_int_equal(fs_file_open(fix->fs, id, O_RDWR, false, &inode), 0);
	live(fix, id, &database);
	wants_databases(fix, 1);
	fs_file_close(fix->fs, inode, O_RDWR);
	assert_false(is_seen(fix, id));
	live(fix, id, &database);
	assert_true(is_seen(fix, id));
}

#define SLOTS 256u /* fs/databases.c */

static struct {
	struct databases *databases;
	uint64_t id;
	_Atomic bool ended;
	unsigned taken;
} asking;

static void *ask(void *arg)
{
	(void)arg;
	while (!asking.ended)
		asking.taken += databases_take(asking.databases, asking.id);
	return NULL;
}

/* A file that takes the slot of a database is none itself, at no moment. */
static void slots(void **state)
{
	struct fix_fs *fix = *state;
	uint64_t id = large(fix, ROOT, "one", DB_BYTES, true), next = id;
	struct object *one, *other;
	pthread_t thread;
	char name[16];

	for (unsigned i = 0; next < id + SLOTS - 1; i++) {
		snprintf(name, sizeof(name), "file%u", i);
		next = fix_file(fix, ROOT, name, "");
	}
	asking.id = large(fix, ROOT, "other", DB_BYTES, true);
	assert_int_equal(asking.id % SLOTS, id % SLOTS);
	asking.databases = fix->fs->databases;
	assert_int_equal(object_get(fix->pool.pool, id, &one), 0);
	assert_int_equal(object_get(fix->pool.pool, asking.id, &other), 0);
	assert_int_equal(pthread_create(&thread, NULL, ask, NULL), 0);
	for (unsigned round = 0; round < 6000; round++) {
		for (unsigned i = 0; i < 100; i++) {
			databases_writing(asking.databases, one, 4096, i * 37 % 100 * 4096);
			if (i % 10 == 0)
				databases_synced(asking.databases, id);
		}
		databases_writing(asking.databases, other, 4096, 0);
	}
	asking.ended = true;
	pthread_join(thread, NULL);
	assert_int_equal(asking.taken, 0);
	object_put(one);
	object_put(other);
}

/* A tier that takes nothing now is no news at every pass. */
static void closed_tier(void **state)
{
	struct fix_fs *fix = *state;
	uint64_t id;

	wants_databases(fix, 1);
	id = seen_database(fix, "one");
	assert_int_equal(pool_evacuate(fix->pool.pool, 1, -1, NULL), 0);
	log_capture();
	layout_pass(fix->fs);
	assert_string_equal(log_captured(), "");
	log_release();
	assert_false(is_plain(fix, id));
	pool_reopen(fix->pool.pool, 1, -1);
	layout_pass(fix->fs);
	assert_true(is_plain(fix, id));
	check_database(fix, id);
}

static void is_in_force(struct fix_fs *fix, uint64_t id, const char *layout)
{
	char buf[64];
	size_t len;

	assert_int_equal(
		fs_getxattr(fix->fs, id, "user.terrace.effective.layout", buf, sizeof(buf), &len),
		0);
	assert_int_equal(len, strlen(layout));
	assert_memory_equal(buf, layout, len);
}

static void use_rules(struct fix_fs *fix, const char *rules)
{
	char text[512], message[256];
	struct pool_config config;

	snprintf(text, sizeof(text),
		 "[pool]\nuuid = 00112233445566778899aabbccddeeff\n[tier ssd]\npath = /s\n%s",
		 rules);
	if (config_parse_text("/x.conf", text, strlen(text), &config, message, sizeof(message)))
		fail_msg("%s", message);
	assert_int_equal(policy_rules_set(fix->fs->policy, &config), 0);
	config_release(&config);
}

/* What is said later, of the folder or by a rule, goes before the engine's word too. */
static void said_later(void **state)
{
	struct fix_fs *fix = *state;
	uint64_t dir = fix_folder(fix, ROOT, "dir"), id;

	wants_databases(fix, 1);
	id = large(fix, dir, "file", DB_BYTES, true);
	live(fix, id, &database);
	assert_true(is_seen(fix, id));
	layout_pass(fix->fs);
	assert_true(is_plain(fix, id));
	is_in_force(fix, id, "plain database");
	assert_int_equal(set(fix, dir, "frames"), 0);
	is_in_force(fix, id, "frames /dir");
	layout_pass(fix->fs);
	assert_false(is_plain(fix, id));
	open_close(fix, id, O_RDWR);
	assert_false(is_plain(fix, id));
	/* The engine has no word any more, and hides nobody's. */
	wants_databases(fix, 0);
	assert_int_equal(set(fix, dir, "plain"), 0);
	is_in_force(fix, id, "plain /dir");
	open_close(fix, id, O_RDWR);
	assert_true(is_plain(fix, id));
	assert_int_equal(set(fix, dir, NULL), 0);
	is_in_force(fix, id, "frames default");
	layout_pass(fix->fs);
	assert_false(is_plain(fix, id));
	use_rules(fix, "[rule all]\nlayout = plain\n");
	is_in_force(fix, id, "plain rule all");
	open_close(fix, id, O_RDWR);
	assert_true(is_plain(fix, id));
	check_database(fix, id);
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
		cmocka_unit_test_setup_teardown(look, fix_fs_setup, fix_fs_teardown),
		cmocka_unit_test_setup_teardown(pass, fix_fs_setup, fix_fs_teardown),
		cmocka_unit_test_setup_teardown(habits, fix_fs_setup, fix_fs_teardown),
		cmocka_unit_test_setup_teardown(databases, fix_fs_setup, fix_fs_teardown),
		cmocka_unit_test_setup_teardown(no_databases, fix_fs_setup, fix_fs_teardown),
		cmocka_unit_test_setup_teardown(slots, fix_fs_setup, fix_fs_teardown),
		cmocka_unit_test_setup_teardown(closed_tier, fix_fs_setup, fix_fs_teardown),
		cmocka_unit_test_setup_teardown(said_later, fix_fs_setup, fix_fs_teardown),
		cmocka_unit_test_setup_teardown(claims, fix_fs_setup, fix_fs_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
