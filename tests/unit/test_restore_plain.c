// SPDX-License-Identifier: Apache-2.0
/*
 * Plain files and a restore from an older copy of the metadata: which file is whose bytes from then
 * on, and that all others are put aside, into plain.newer, where a mount does not remove them
 * (terrace(7), terrace-format(5)).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/unit/fix_bytes.h"
#include "tests/unit/fix_dir.h"
#include "tests/unit/fix_fault.h"
#include "tests/unit/fix_place.h"
#include "tests/unit/fix_pool.h"
#include "tiers/copier.h"
#include "tiers/io.h"
#include "tiers/meta_restore.h"
#include "tiers/plain.h"
#include "tiers/plain_files.h"
#include "tiers/pool_impl.h"

#define LEN	30000u
#define TICK_US 20000u /* times of files are as exact as the kernel's tick */
#define SSD	1u
#define HDD	2u

static struct fix_pool fix;
static struct restore_result result;
static uint8_t old[LEN], new[LEN];

static int begin(void **state)
{
	(void)state;
	log_capture();
	bytes_fill_text(old, sizeof(old), 1);
	bytes_fill_text(new, sizeof(new), 2);
	fix_pool_small(&fix);
	fix.config.metadata_copies = 2;
	assert_int_equal(pool_create(&fix.config), 0);
	fix_pool_open(&fix);
	return 0;
}

static int end(void **state)
{
	(void)state;
	fault_disarm();
	fix_pool_free(&fix);
	log_release();
	return 0;
}

/* An object with the old bytes. */
static uint64_t make(void)
{
	struct txn *txn = txn_begin(fix.pool);
	struct object *object;
	uint64_t id;

	assert_int_equal(object_create(txn, "attr", 4, &object), 0);
	assert_int_equal(txn_commit(txn), 0);
	assert_int_equal(object_write(object, old, LEN, 0), 0);
	id = object_id(object);
	object_put(object);
	return id;
}

static void turn(uint64_t id, uint32_t tier)
{
	struct object *object;

	assert_int_equal(object_get(fix.pool, id, &object), 0);
	assert_int_equal(
		tier ? object_make_plain(object, tier, NULL) : object_make_frames(object, NULL), 0);
	object_put(object);
}

static void write_new(uint64_t id)
{
	struct object *object;

	assert_int_equal(object_get(fix.pool, id, &object), 0);
	assert_int_equal(object_write(object, new, LEN, 0), 0);
	object_put(object);
}

/* All that was done until now is in the copy, and what comes is newer. */
static void copy(void)
{
	assert_int_equal(pool_sync(fix.pool), 0);
	copier_last(fix.pool);
	usleep(TICK_US);
}

static void path_of(char buf[128], const char *tier, uint64_t id, uint32_t generation)
{
	char root[80];

	snprintf(root, sizeof(root), "%s/%s", fix.dir, tier);
	assert_int_equal(plain_path(root, id, generation, buf, 128), 0);
}

static void file_make_mode(const char *path, const uint8_t *bytes, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, mode);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, LEN), LEN);
	close(fd);
}

static void file_make(const char *path, const uint8_t *bytes)
{
	file_make_mode(path, bytes, 0600);
}

static void file_check(const char *path, const uint8_t *bytes)
{
	uint8_t buf[LEN + 1];
	int fd = open(path, O_RDONLY);

	if (fd < 0)
		fail_msg("%s is not there", path);
	assert_int_equal(read(fd, buf, sizeof(buf)), LEN);
	assert_memory_equal(buf, bytes, LEN);
	close(fd);
}

/* It lies in plain.newer of its directory, whole, and no longer where a mount would remove it. */
static void file_is_aside(const char *tier, uint64_t id, uint32_t generation, const uint8_t *bytes)
{
	char path[128], aside[160];

	path_of(path, tier, id, generation);
	assert_int_equal(access(path, F_OK), -1);
	snprintf(aside, sizeof(aside), "%s/%s/plain.newer%s", fix.dir, tier, strrchr(path, '/'));
	file_check(aside, bytes);
}

static int remove_one(const char *path, const struct stat *st, int what, struct FTW *ftw)
{
	(void)st;
	(void)what;
	(void)ftw;
	return remove(path);
}

static void lose(const char *name)
{
	char path[96];

	snprintf(path, sizeof(path), "%s/%s", fix.dir, name);
	assert_int_equal(nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

/* kill -9, and the metadata is gone. */
static void disaster(void)
{
	pool_abandon(fix.pool);
	fix.pool = NULL;
	lose("meta");
}

static int restore_from(const char *lost, uint64_t generation)
{
	struct restore_options options = {.config = &fix.config,
					  .generation = generation,
					  .lost = &lost,
					  .nlost = lost != NULL};
	int fds = fault_open_fds(), rc;

	log_captured();
	rc = meta_restore(&options, &result);
	assert_int_equal(fault_open_fds(), fds);
	return rc;
}

static int restore(const char *lost)
{
	return restore_from(lost, 0);
}

static void said(const char *words)
{
	const char *lines = log_captured();

	if (!strstr(lines, words))
		fail_msg("not said: %s, but: %s", words, lines);
}

/* The pool is open. tier: 0 in frames. */
static void object_check(uint64_t id, uint32_t tier, const uint8_t *bytes)
{
	uint8_t buf[LEN + 1];
	struct object *object;
	size_t got;

	assert_int_equal(object_get(fix.pool, id, &object), 0);
	assert_int_equal(object_plain_tier(object), tier);
	assert_int_equal(object_size(object), LEN);
	assert_int_equal(object_read(object, buf, sizeof(buf), 0, &got), 0);
	assert_int_equal(got, LEN);
	assert_memory_equal(buf, bytes, LEN);
	object_put(object);
}

/* In frames when the copy was made, plain now: its bytes are those of the file, and nothing is
 * lost. The pool knows that it must not open in a program without plain files, nor without that
 * directory. */
static void test_became_plain(void **state)
{
	uint64_t id = make(), other;
	char path[128];

	(void)state;
	assert_int_equal(pool_sync(fix.pool), 0); /* no frame of both */
	other = make();
	copy();
	turn(id, HDD);
	write_new(id);
	disaster();
	assert_int_equal(restore(NULL), 0);
	assert_int_equal(result.lost_frames, 1); /* the freed one */
	assert_int_equal(result.lost_files, 0);
	assert_int_equal(result.newer_files, 0);
	path_of(path, "hdd", id, 1);
	file_check(path, new);
	fix_pool_open(&fix);
	assert_true(fix.pool->counts.features & POOL_FEATURE_PLAIN);
	assert_int_equal(fix.pool->tiers[HDD].tier->plain_noted, 1);
	object_check(id, HDD, new);
	object_check(other, 0, old);
	assert_int_equal(pool_sync(fix.pool), 0);
	fix_pool_verify(&fix);
}

/* It was made after the copy: nobody knows whose it is, and it stays for who looks for it. */
static void test_unknown(void **state)
{
	uint64_t known = make(), id;
	char line[256];

	(void)state;
	turn(known, SSD);
	copy();
	id = make();
	turn(id, SSD);
	disaster();
	assert_int_equal(restore(NULL), 0);
	snprintf(line, sizeof(line),
		 "%s/ssd/plain.newer/%016llx.00000001: the bytes of a file that the copy does not "
		 "know, or knows older: put aside",
		 fix.dir, (unsigned long long)id);
	said(line);
	file_is_aside("ssd", id, 1, old);
	fix_pool_open(&fix);
	object_check(known, SSD, old);
	fix_pool_close(&fix);
	file_is_aside("ssd", id, 1, old);
}

/* What a restore from an old copy has put aside is there again for one from a newer copy that knows
 * it. */
static void test_put_back(void **state)
{
	uint64_t first = make(), id;
	char path[128];

	(void)state;
	turn(first, SSD);
	copy();
	id = make();
	turn(id, HDD);
	copy();
	disaster();
	assert_int_equal(restore_from(NULL, 1), 0);
	file_is_aside("hdd", id, 1, old);
	assert_int_equal(restore_from(NULL, 2), 0);
	assert_int_equal(result.lost_files, 0);
	said("is what the copy speaks of: put back");
	path_of(path, "hdd", id, 1);
	file_check(path, old);
	fix_pool_open(&fix);
	object_check(id, HDD, old);
	object_check(first, SSD, old);
	fix_pool_verify(&fix);
}

/* Not what was put aside before the copy was made: that is of another life of the file. Nor what
 * lies there beside the one that the copy names. */
static void test_not_put_back(void **state)
{
	uint64_t gone = make(), stays = make();
	char path[128], aside[160];

	(void)state;
	turn(gone, SSD);
	turn(stays, SSD);
	snprintf(aside, sizeof(aside), "%s/ssd/plain.newer", fix.dir);
	assert_int_equal(mkdir(aside, 0700), 0);
	path_of(path, "ssd", gone, 1);
	snprintf(aside, sizeof(aside), "%s/ssd/plain.newer%s", fix.dir, strrchr(path, '/'));
	file_make(aside, new);
	usleep(TICK_US);
	copy();
	disaster();
	assert_int_equal(unlink(path), 0);
	path_of(path, "ssd", stays, 1);
	snprintf(aside, sizeof(aside), "%s/ssd/plain.newer%s", fix.dir, strrchr(path, '/'));
	file_make(aside, new);
	assert_int_equal(restore(NULL), 0);
	assert_int_equal(result.lost_files, 1);
	file_check(path, old);
	file_check(aside, new);
	path_of(path, "ssd", gone, 1);
	assert_int_equal(access(path, F_OK), -1);
	fix_pool_open(&fix);
	object_check(stays, SSD, old);
}

/* Two that have the same name are both kept. */
static void test_aside_twice(void **state)
{
	uint64_t first = make(), id;
	char path[128], aside[160];

	(void)state;
	turn(first, SSD);
	copy();
	id = make();
	turn(id, SSD);
	disaster();
	path_of(path, "ssd", id, 1);
	snprintf(aside, sizeof(aside), "%s/ssd/plain.newer", fix.dir);
	assert_int_equal(mkdir(aside, 0700), 0);
	snprintf(aside, sizeof(aside), "%s/ssd/plain.newer%s", fix.dir, strrchr(path, '/'));
	file_make(aside, new);
	assert_int_equal(restore(NULL), 0);
	file_check(aside, new);
	snprintf(aside, sizeof(aside), "%s/ssd/plain.newer%s.2", fix.dir, strrchr(path, '/'));
	file_check(aside, old);
}

/* A file that is older than the copy, of an object that the copy has in frames: left from a turn
 * that was cut short, and not where the bytes are. */
static void test_older(void **state)
{
	uint64_t first = make(), id = make();
	char path[128];

	(void)state;
	turn(first, SSD); /* makes the folder */
	path_of(path, "ssd", id, 1);
	file_make(path, new);
	usleep(TICK_US);
	copy();
	disaster();
	assert_int_equal(restore(NULL), 0);
	file_is_aside("ssd", id, 1, new);
	fix_pool_open(&fix);
	object_check(id, 0, old);
	object_check(first, SSD, old);
}

/* Its file has another generation, or is in another tier, than the copy says: there the bytes are
 * now. Where the one that the copy names is there too, that one stays. */
static void test_elsewhere(void **state)
{
	uint64_t moved = make(), stays = make();
	char path[128];

	(void)state;
	turn(moved, SSD);
	turn(stays, SSD);
	copy();
	turn(moved, 0);
	turn(moved, HDD);
	write_new(moved);
	pool_reclaim(fix.pool);
	path_of(path, "ssd", moved, 1);
	assert_int_equal(access(path, F_OK), -1);
	path_of(path, "ssd", stays, 2);
	file_make(path, new);
	path_of(path, "hdd", stays, 1); /* also of the same generation */
	file_make(path, new);
	disaster();
	assert_int_equal(restore(NULL), 0);
	assert_int_equal(result.lost_files, 0);
	file_is_aside("ssd", stays, 2, new);
	file_is_aside("hdd", stays, 1, new);
	fix_pool_open(&fix);
	object_check(moved, HDD, new);
	object_check(stays, SSD, old);
	fix_pool_verify(&fix);
}

/* The directory is gone for good, with what only it had; a file of the same name in another one is
 * where the object is now. */
static void test_directory_lost(void **state)
{
	uint64_t gone = make(), moved = make();
	char ssd[96];

	(void)state;
	turn(gone, SSD);
	turn(moved, SSD);
	copy();
	turn(moved, 0);
	turn(moved, HDD);
	write_new(moved);
	disaster();
	lose("ssd");
	snprintf(ssd, sizeof(ssd), "%s/ssd", fix.dir);
	assert_int_equal(restore(ssd), 0);
	assert_int_equal(result.lost_files, 1);
	assert_int_equal(result.lost_bytes, LEN);
	fix_pool_open(&fix);
	object_check(moved, HDD, new);
	fix_pool_close(&fix);
}

/* The restore that makes the lost directory anew fails at each of its calls, and is made again, by
 * the same command or without saying again what was lost: what was there alone is lost then too. */
static void test_lost_again(void **state)
{
	uint64_t gone = make(), other = make();
	char ssd[96], marker[128];
	uint64_t failed = 1;

	(void)state;
	turn(gone, SSD);
	turn(other, HDD);
	copy();
	disaster();
	snprintf(ssd, sizeof(ssd), "%s/ssd", fix.dir);
	snprintf(marker, sizeof(marker), "%s/made-anew", ssd);
	for (uint64_t n = 1; failed; n++) {
		int rc;

		if (access(ssd, F_OK) == 0)
			lose("ssd");
		if (n > 1)
			lose("meta");
		fault_arm(FAULT_ALL, n, FAULT_EIO, true);
		rc = restore(ssd);
		failed = fault_disarm();
		if (rc < 0)
			rc = restore(n % 2 ? ssd : NULL);
		if (rc == -ENOENT) {
			said("is not there: mount its disk");
			rc = restore(ssd);
		}
		assert_true(rc == 0 || rc == -EALREADY);
		if (rc == 0)
			assert_int_equal(result.lost_files, 1);
	}
	assert_int_equal(access(marker, F_OK), -1);
	fix_pool_open(&fix);
	object_check(other, HDD, old);
	fix_pool_close(&fix);
	/* It is there now. */
	lose("meta");
	assert_int_equal(restore(ssd), -EINVAL);
	said("ssd: is not lost: it is there");
}

/* Of several files, the one that was changed last has the bytes: those before it are left from
 * lives that have ended. */
static void test_several(void **state)
{
	static const uint32_t last[] = {2, 1}; /* whatever order a folder is read in */
	uint64_t first = make(), ids[2];
	char path[128];

	(void)state;
	ids[0] = make();
	ids[1] = make();
	turn(first, SSD);
	copy();
	for (unsigned i = 0; i < 2; i++)
		for (uint32_t generation = 1; generation < 3; generation++) {
			path_of(path, "ssd", ids[i], generation);
			file_make(path, old);
		}
	usleep(TICK_US);
	for (unsigned i = 0; i < 2; i++) {
		path_of(path, "ssd", ids[i], last[i]);
		place_write(path, new, LEN);
	}
	disaster();
	assert_int_equal(restore(NULL), 0);
	for (unsigned i = 0; i < 2; i++)
		file_is_aside("ssd", ids[i], 3 - last[i], old);
	fix_pool_open(&fix);
	for (unsigned i = 0; i < 2; i++)
		object_check(ids[i], SSD, new);
}

/* The turn was cut short: the file has a part of the bytes, and the frames have all. */
static void test_not_complete(void **state)
{
	uint64_t first = make(), id = make(), back = make();
	char path[128];

	(void)state;
	turn(first, SSD);
	turn(back, SSD);
	copy();
	turn(back, 0);
	path_of(path, "ssd", back, 1);
	assert_int_equal(access(path, F_OK), -1);
	file_make_mode(path, new, 0400); /* ... and again, to its middle */
	path_of(path, "ssd", id, 1);
	file_make_mode(path, new, 0400);
	disaster();
	assert_int_equal(restore(NULL), 0);
	assert_int_equal(result.lost_files, 0);
	file_is_aside("ssd", id, 1, new);
	file_is_aside("ssd", back, 1, new);
	fix_pool_open(&fix);
	object_check(id, 0, old);
	object_check(back, 0, old);
	object_check(first, SSD, old);
}

static unsigned seen_filled, seen_complete;

static int data_looks(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	seen_filled += S_ISREG(st.st_mode) && st.st_size == LEN && !(st.st_mode & S_IWUSR);
	return io_ops_system.fdatasync(fd);
}

static int sync_looks(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	if (S_ISREG(st.st_mode) && st.st_size == LEN) {
		assert_true(seen_filled && (st.st_mode & S_IWUSR));
		seen_complete++;
	}
	return io_ops_system.fsync(fd);
}

static ssize_t write_looks(int fd, const void *buf, size_t len, off_t off)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	if (len == LEN && memcmp(buf, old, LEN) == 0)
		assert_int_equal(st.st_mode & 0777, 0400);
	return io_ops_system.pwrite(fd, buf, len, off);
}

/* What is being filled can be told from what is complete; it is complete when its bytes have been
 * synced, and that is synced, too. */
static void test_filled(void **state)
{
	struct io_ops looking = io_ops_system;
	uint64_t id = make();

	(void)state;
	assert_int_equal(pool_sync(fix.pool), 0);
	looking.pwrite = write_looks;
	looking.fdatasync = data_looks;
	looking.fsync = sync_looks;
	io_ops_set(&looking);
	turn(id, SSD);
	io_ops_set(NULL);
	assert_int_equal(seen_filled, 1);
	assert_int_equal(seen_complete, 1);
	object_check(id, SSD, old);
}

/* No plain file: stays where it is. */
static void test_other_names(void **state)
{
	static const char *const names[] = {
		"note", "0000000000000002.0000000g", "0000000000000002-00000001",
		"0000000000000002.00000001x", "000000000000000A.00000001"};
	uint64_t id = make();
	char path[160];

	(void)state;
	turn(id, SSD);
	copy();
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/ssd/plain/%s", fix.dir, names[i]);
		file_make(path, new);
	}
	snprintf(path, sizeof(path), "%s/ssd/plain/%016x.%08x", fix.dir, 99, 1);
	assert_int_equal(mkdir(path, 0700), 0);
	disaster();
	assert_int_equal(restore(NULL), 0);
	assert_int_equal(access(path, F_OK), 0);
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/ssd/plain/%s", fix.dir, names[i]);
		file_check(path, new);
	}
	snprintf(path, sizeof(path), "%s/ssd/plain.newer", fix.dir);
	assert_int_equal(access(path, F_OK), -1);
	fix_pool_open(&fix);
	object_check(id, SSD, old);
}

static const char *fails_at; /* names in which this is cannot be given or made */

static int mkdir_fails(const char *path, mode_t mode)
{
	if (!strstr(path, fails_at))
		return io_ops_system.mkdir(path, mode);
	errno = EIO;
	return -1;
}

static int rename_fails(const char *from, const char *to)
{
	if (!strstr(to, fails_at))
		return io_ops_system.rename(from, to);
	errno = EIO;
	return -1;
}

static unsigned nsynced;

/* Folders only. */
static int sync_notes(int fd)
{
	char link[64], path[160] = "";

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	assert_true(readlink(link, path, sizeof(path) - 1) > 0);
	nsynced += strstr(path, "/plain.newer") != NULL || strstr(path, "ssd/plain") != NULL;
	return io_ops_system.fsync(fd);
}

static int sync_fails(int fd)
{
	char link[64], path[160] = "";

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	assert_true(readlink(link, path, sizeof(path) - 1) > 0);
	if (!strstr(path, fails_at))
		return io_ops_system.fsync(fd);
	errno = EIO;
	return -1;
}

/* What cannot be put aside ends the restore, which says so and can be made again. The names are
 * durable before the new metadata is in its place: a mount would remove what is back in plain. */
static void test_faults(void **state)
{
	struct io_ops broken = io_ops_system;
	struct pool_open_options options = {.no_background = true};
	uint64_t known = make(), id;

	(void)state;
	turn(known, SSD);
	copy();
	id = make();
	turn(id, SSD);
	disaster();
	fails_at = "/plain.newer";
	broken.mkdir = mkdir_fails;
	for (unsigned i = 0; i < 2; i++) {
		io_ops_set(&broken);
		assert_int_equal(restore(NULL), -EIO);
		io_ops_set(NULL);
		said("ssd: plain files that the copy does not know cannot be put aside: ");
		assert_true(pool_open(&fix.config, &options, &fix.pool) < 0);
		fix.pool = NULL;
		broken = io_ops_system;
		broken.rename = rename_fails;
	}
	broken = io_ops_system;
	broken.fsync = sync_fails;
	io_ops_set(&broken);
	assert_int_equal(restore(NULL), -EIO);
	said("ssd: that plain files were put aside cannot be made durable: ");
	broken.fsync = sync_notes; /* it has been put aside already */
	io_ops_set(&broken);
	assert_int_equal(restore(NULL), 0);
	io_ops_set(NULL);
	assert_int_equal(nsynced, 2); /* plain.newer, plain */
	file_is_aside("ssd", id, 1, old);
	fix_pool_open(&fix);
	object_check(known, SSD, old);
}

/* A folder that cannot be listed hides whose bytes are where: nothing is taken over. */
static void test_not_listed(void **state)
{
	uint64_t id = make();
	char path[128], away[128];

	(void)state;
	copy();
	turn(id, SSD);
	write_new(id);
	disaster();
	snprintf(path, sizeof(path), "%s/ssd/plain", fix.dir);
	snprintf(away, sizeof(away), "%s/ssd/away", fix.dir);
	assert_int_equal(rename(path, away), 0);
	file_make(path, old);
	assert_int_equal(restore(NULL), -ENOTDIR);
	said("ssd/plain cannot be listed: ");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rename(away, path), 0);
	assert_int_equal(restore(NULL), 0);
	fix_pool_open(&fix);
	object_check(id, SSD, new);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_became_plain), TEST(test_unknown),	    TEST(test_older),
		TEST(test_elsewhere),	 TEST(test_directory_lost), TEST(test_several),
		TEST(test_other_names),	 TEST(test_faults),	    TEST(test_not_listed),
		TEST(test_not_complete), TEST(test_filled),	    TEST(test_put_back),
		TEST(test_not_put_back), TEST(test_aside_twice),    TEST(test_lost_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
