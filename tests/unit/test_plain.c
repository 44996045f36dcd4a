// SPDX-License-Identifier: Apache-2.0
/*
 * Plain objects (tiers/plain.h): against the workloads' model through turns, kill -9 and openings;
 * faults at every call of a turn; a turn that is called off; accounts. TERRACE_STEPS=1 makes all
 * kinds of faults.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/unit/fix_bytes.h"
#include "tests/unit/fix_fault.h"
#include "tests/unit/fix_pool.h"
#include "tests/unit/fix_work.h"
#include "tiers/engine/engine.h"
#include "tiers/io.h"
#include "tiers/object.h"
#include "tiers/plain.h"
#include "tiers/plain_files.h"
#include "tiers/pool_impl.h"

static struct fix_pool fix;

static void run(const char *steps)
{
	struct work work;

	fix_pool_small(&fix);
	assert_int_equal(pool_create(&fix.config), 0);
	fix_pool_open(&fix);
	work_init(&work, &fix);
	work_run(&work, steps);
	work_check(&work);
	fix_pool_verify(&fix);
	assert_int_equal(pool_sync(fix.pool), 0);
	fix_pool_verify_media(&fix, true);
	fix_pool_close(&fix);
	fix_pool_open(&fix);
	work_check(&work);
	fix_pool_verify(&fix);
	assert_int_equal(pool_sync(fix.pool), 0);
	fix_pool_verify_media(&fix, true);
	work_release(&work);
	fix_pool_free(&fix);
}

/* What the object is goes through every change of places, and every kind of death. */
static void test_turns(void **state)
{
	static const char *const all[] = {
		"c0P0w0o0a0t0g0p0s0",
		"c0w0P0o0C-o0a0F0o0C-",
		"c0w0P0m0o0j0m0j0a0m0C-j0F0j0",
		"c0w0a0P0o0s0C-K-C-O-",
		"c0w0P0F0P0o0F0C-O-",
		"c0w0t0P0o0F0C-w0C-P0C-",
		"c0c1w0w1P0l0l1s0s1F0l0C-",
		"c0w0P0x0S-C-c1w1",
		"c0w0P0V0S-C-V0C-O-",
		"c0w0S-P0d0u0f-v-S-",
		"c0w0p0g0P0a0F0p0C-",
		"c0P0F0w0C-P0w0F0C-",
		"c0w0P0p0t0t0F0a0C-R-S-",
		"c0w0w0t0g0C-P0a0F0C-g0P0C-F0C-",
		/* Slot 1 keeps the log's chunk, and with it what was written before the turn. */
		"c0c1w1W0P0p0C-F0C-S-",
		"c0c1w1W0P0p0F0C-S-",
		"c0c1w1W0P0t0F0C-S-",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		run(all[i]);
}

/* One object of some size, that the tests below look at. */
static uint8_t bytes[300000];

static struct object *begin(void)
{
	struct object *object;
	struct txn *txn;

	fix_pool_small(&fix);
	assert_int_equal(pool_create(&fix.config), 0);
	fix_pool_open(&fix);
	bytes_fill_text(bytes, sizeof(bytes), 5);
	txn = txn_begin(fix.pool);
	object_create(txn, "attr", 4, &object);
	assert_int_equal(txn_commit(txn), 0);
	assert_int_equal(object_write(object, bytes, sizeof(bytes), 0), 0);
	return object;
}

static void check_bytes(struct object *object)
{
	static uint8_t buf[sizeof(bytes) + 1];
	size_t got;

	assert_int_equal(object_read(object, buf, sizeof(buf), 0, &got), 0);
	assert_int_equal(got, sizeof(bytes));
	assert_int_equal(object_size(object), sizeof(bytes));
	assert_memory_equal(buf, bytes, sizeof(bytes));
}

static void end(struct object *object)
{
	object_put(object);
	fix_pool_verify(&fix);
	assert_int_equal(pool_sync(fix.pool), 0);
	fix_pool_verify_media(&fix, true);
	fix_pool_close(&fix);
	fix_pool_free(&fix);
}

/* What another process (the kernel, for a passthrough file) writes is what is read here. */
static void test_written_past_us(void **state)
{
	struct object *object = begin();
	uint64_t found;
	int fd;

	(void)state;
	assert_int_equal(object_plain_fd(object, &fd), -EINVAL);
	assert_int_equal(object_make_plain(object, 2, NULL), 0);
	assert_int_equal(object_plain_tier(object), 2);
	assert_int_equal(object_plain_fd(object, &fd), 0);
	memset(bytes + 1000, 'x', 5000);
	assert_int_equal(pwrite(fd, bytes + 1000, 5000, 1000), 5000);
	check_bytes(object);
	assert_int_equal(ftruncate(fd, sizeof(bytes) + (1 << 20)), 0);
	assert_int_equal(object_size(object), sizeof(bytes) + (1 << 20));
	assert_int_equal(object_seek(object, 0, SEEK_HOLE, &found), 0);
	assert_in_range(found, sizeof(bytes), sizeof(bytes) + 65536);
	assert_int_equal(object_seek(object, found, SEEK_DATA, &found), -ENXIO);
	assert_int_equal(ftruncate(fd, sizeof(bytes)), 0);
	assert_int_equal(object_plain_settle(object), 0);
	assert_int_equal(object->record.size, sizeof(bytes));
	assert_int_equal(object_sync_data(object), 0);
	assert_int_equal(object_make_frames(object, NULL), 0);
	check_bytes(object);
	end(object);
}

static struct {
	pthread_t thread;
	_Atomic bool begun, done, early;
} beside;

static void *sync_beside(void *arg)
{
	(void)arg;
	assert_int_equal(plain_sync_all(fix.pool, false), 0);
	beside.done = true;
	return NULL;
}

static int sync_slowly(int fd)
{
	if (!atomic_exchange(&beside.begun, true)) {
		assert_int_equal(pthread_create(&beside.thread, NULL, sync_beside, NULL), 0);
		usleep(50000);
		beside.early = beside.done;
	}
	return fdatasync(fd);
}

/* What the background has begun to sync is not yet synced for who asks for all of it. */
static void test_sync_waits(void **state)
{
	struct object *object = begin();
	uint64_t id = object_id(object);
	struct io_ops slow = io_ops_system;

	(void)state;
	slow.fdatasync = sync_slowly;
	assert_int_equal(object_make_plain(object, 1, NULL), 0);
	assert_int_equal(object_write(object, bytes, 4096, 0), 0);
	object_put(object);
	assert_int_equal(fix.pool->nclosed, 1);
	io_ops_set(&slow);
	assert_int_equal(plain_sync_all(fix.pool, true), 0);
	assert_true(beside.begun);
	pthread_join(beside.thread, NULL);
	io_ops_set(NULL);
	assert_false(beside.early);
	assert_int_equal(fix.pool->nclosed, 0);
	assert_int_equal(object_get(fix.pool, id, &object), 0);
	check_bytes(object);
	end(object);
}

static int sync_fails(int fd)
{
	(void)fd;
	errno = EIO;
	return -1;
}

/* What the background could not sync, the next sync of all tells; once. */
static void test_background_fails(void **state)
{
	struct object *object = begin();
	uint64_t id = object_id(object);
	struct io_ops broken = io_ops_system;

	(void)state;
	broken.fdatasync = sync_fails;
	assert_int_equal(object_make_plain(object, 1, NULL), 0);
	assert_int_equal(object_write(object, bytes, 4096, 0), 0);
	object_put(object);
	io_ops_set(&broken);
	assert_int_equal(plain_sync_all(fix.pool, true), -EIO);
	io_ops_set(NULL);
	assert_int_equal(plain_sync_all(fix.pool, false), -EIO);
	assert_int_equal(plain_sync_all(fix.pool, false), 0);
	assert_int_equal(object_get(fix.pool, id, &object), 0);
	check_bytes(object);
	end(object);
}

static _Atomic unsigned begun;

/* As the kernel has it: one of those who have the descriptor is told of a failure. */
static int sync_fails_once(int fd)
{
	(void)fd;
	if (begun++)
		return 0;
	usleep(100000);
	errno = EIO;
	return -1;
}

static void *sync_it(void *arg)
{
	assert_int_equal(object_sync_data(arg), -EIO);
	return NULL;
}

/* Of two syncs side by side none says that all is well when the bytes of both are lost. */
static void test_two_fail(void **state)
{
	struct object *object = begin();
	struct io_ops broken = io_ops_system;
	pthread_t thread;

	(void)state;
	broken.fdatasync = sync_fails_once;
	assert_int_equal(object_make_plain(object, 1, NULL), 0);
	assert_int_equal(object_write(object, bytes, 4096, 0), 0);
	io_ops_set(&broken);
	assert_int_equal(pthread_create(&thread, NULL, sync_it, object), 0);
	while (!begun)
		usleep(1000);
	assert_int_equal(object_sync_data(object), -EIO);
	pthread_join(thread, NULL);
	io_ops_set(NULL);
	check_bytes(object);
	end(object);
}

static unsigned nsyncs;

static int sync_counts(int fd)
{
	nsyncs++;
	return fdatasync(fd);
}

/* Without memory for who was closed, all are synced. */
static void test_closed_unknown(void **state)
{
	struct object *object = begin();
	uint64_t id = object_id(object);
	struct io_ops counting = io_ops_system;

	(void)state;
	counting.fdatasync = sync_counts;
	assert_int_equal(object_make_plain(object, 1, NULL), 0);
	assert_int_equal(plain_sync_all(fix.pool, false), 0);
	assert_int_equal(object_write(object, bytes, 4096, 0), 0);
	object_put(object);
	assert_int_equal(fix.pool->nclosed, 1);
	fix.pool->nclosed = 0;
	fix.pool->closed_any = true;
	io_ops_set(&counting);
	assert_int_equal(plain_sync_all(fix.pool, true), 0);
	io_ops_set(NULL);
	assert_int_equal(nsyncs, 1);
	assert_int_equal(object_get(fix.pool, id, &object), 0);
	end(object);
}

static unsigned syncs_of(int rc)
{
	unsigned n = nsyncs;

	nsyncs = 0;
	assert_int_equal(rc, 0);
	return n;
}

static void set_times(struct object *object)
{
	struct txn *txn = txn_begin(fix.pool);

	assert_int_equal(object_times_set(txn, object, "attr", 4, INT64_MAX), 0);
	assert_int_equal(txn_commit(txn), 0);
}

/* fdatasync(2) is a sync of the file, and of the journal only where there is something in it that
 * leads there; also after the object has left memory. A folder's is none where no name has changed.
 */
static void test_waits_for_its_own(void **state)
{
	struct object *object = begin();
	uint64_t id = object_id(object);
	struct io_ops counting = io_ops_system;
	struct txn *txn;

	(void)state;
	assert_int_equal(object_make_plain(object, 1, NULL), 0);
	assert_int_equal(pool_sync(fix.pool), 0);
	counting.fdatasync = sync_counts;
	io_ops_set(&counting);
	nsyncs = 0;
	set_times(object);
	assert_int_equal(syncs_of(pool_sync_meta(fix.pool)), 0);
	assert_int_equal(object_write(object, bytes, 4096, 0), 0);
	assert_int_equal(syncs_of(object_sync_data(object)), 1);
	for (unsigned i = 0; i < 2; i++) {
		object_put(object);
		assert_int_equal(object_get(fix.pool, id, &object), 0);
		assert_int_equal(syncs_of(object_sync_data(object)), 1);
	}
	assert_int_equal(object_append(object, bytes, 4096, &(uint64_t){0}), 0);
	assert_int_equal(object_plain_settle(object), 0);
	assert_int_equal(syncs_of(object_sync_data(object)), 1);
	assert_int_equal(syncs_of(object_sync(object)), 1); /* the journal; the file by fsync(2) */
	assert_int_equal(syncs_of(object_sync(object)), 0);
	/* Anything else counts, also with times behind it. */
	txn = txn_begin(fix.pool);
	assert_int_equal(object_attr_set(txn, object, "ATTR", 4, INT64_MAX), 0);
	assert_int_equal(object_times_set(txn, object, "ATTR", 4, INT64_MAX), 0);
	assert_int_equal(txn_commit(txn), 0);
	set_times(object);
	object_put(object);
	assert_int_equal(object_get(fix.pool, id, &object), 0);
	assert_int_equal(syncs_of(object_sync_data(object)), 2);
	txn = txn_begin(fix.pool);
	assert_int_equal(txn_put(txn, "Ptest", 5, "x", 1), 0);
	assert_int_equal(object_times_set(txn, object, "ATTR", 4, INT64_MAX), 0);
	assert_int_equal(txn_commit(txn), 0);
	assert_int_equal(syncs_of(object_sync_data(object)), 1);
	assert_int_equal(syncs_of(pool_sync_meta(fix.pool)), 1);
	io_ops_set(NULL);
	assert_int_equal(object_truncate(object, sizeof(bytes)), 0);
	end(object);
}

static struct {
	unsigned opens, looks;
} asked;

static int open_counts(const char *path, int flags, mode_t mode)
{
	asked.opens += strstr(path, "/" PLAIN_FOLDER "/") != NULL;
	return io_ops_system.open(path, flags, mode);
}

static int fstat_counts(int fd, struct stat *out)
{
	asked.looks++;
	return fstat(fd, out);
}

static int lstat_counts(const char *path, struct stat *out)
{
	asked.looks++;
	return lstat(path, out);
}

static void ask(bool on)
{
	static struct io_ops counting;

	counting = io_ops_system;
	counting.open = open_counts;
	counting.fstat = fstat_counts;
	counting.lstat = lstat_counts;
	asked.opens = asked.looks = 0;
	io_ops_set(on ? &counting : NULL);
}

/* What a closed file's stat(2) shows is asked for in one call, and none opens it; nor is it opened
 * to be removed. */
static void test_closed_look(void **state)
{
	struct object *object = begin();
	uint64_t id = object_id(object), used;
	struct object_look open, closed;
	struct plain_home home;
	struct stat st;
	struct txn *txn;

	(void)state;
	assert_int_equal(object_make_plain(object, 1, NULL), 0);
	assert_int_equal(object_write(object, bytes, 4096, 4096), 0);
	assert_int_equal(object_append(object, bytes, 4096, &(uint64_t){0}), 0);
	assert_int_equal(pool_sync(fix.pool), 0); /* its blocks are where they will be */
	object_look(object, &open);
	assert_int_equal(open.size, sizeof(bytes) + 4096);
	home = object->record.plain;
	used = tier_plain_used(fix.pool->tiers[1].tier);
	assert_int_equal(used, open.stored);
	object_put(object);

	ask(true);
	assert_int_equal(object_get(fix.pool, id, &object), 0);
	object_look(object, &closed);
	assert_int_equal(asked.looks, 1);
	assert_int_equal(closed.size, open.size);
	assert_int_equal(closed.stored, open.stored);
	assert_int_equal(closed.write_time, open.write_time);
	assert_int_equal(object_size(object), open.size);
	assert_int_equal(object_stored(object), open.stored);
	assert_int_equal(object_write_time(object), open.write_time);
	assert_int_equal(tier_plain_used(fix.pool->tiers[1].tier), used);

	txn = txn_begin(fix.pool);
	assert_int_equal(object_delete(txn, object), 0);
	assert_int_equal(txn_commit(txn), 0);
	object_put(object);
	assert_int_equal(pool_cut(fix.pool), 0);
	pool_reclaim(fix.pool);
	assert_int_equal(plain_file_stat(fix.pool, id, &home, &st), -ENOENT);
	assert_int_equal(asked.opens, 0);
	ask(false);
	assert_int_equal(tier_plain_used(fix.pool->tiers[1].tier), 0);
	fix_pool_close(&fix);
	fix_pool_free(&fix);
}

/* The accounts follow the file, and end where they began. */
static void test_accounts(void **state)
{
	struct object *object = begin();
	struct pool_usage before, plain, after;

	(void)state;
	assert_int_equal(pool_sync(fix.pool), 0);
	pool_usage(fix.pool, &before);
	assert_int_equal(before.tiers[1].plain, 0);
	assert_int_equal(object_make_plain(object, 1, NULL), 0);
	assert_int_equal(pool_sync(fix.pool), 0);
	pool_usage(fix.pool, &plain);
	assert_in_range(plain.tiers[1].plain, sizeof(bytes), sizeof(bytes) + 65536);
	assert_int_equal(plain.tiers[1].plain, object_stored(object));
	assert_int_equal(plain.stored, plain.tiers[1].plain);
	assert_true(plain.tiers[1].used >= plain.tiers[1].plain);
	assert_int_equal(object_truncate(object, 0), 0);
	pool_usage(fix.pool, &plain);
	assert_int_equal(plain.tiers[1].plain, 0);
	assert_int_equal(object_write(object, bytes, sizeof(bytes), 0), 0);
	assert_int_equal(object_make_frames(object, NULL), 0);
	assert_int_equal(pool_sync(fix.pool), 0);
	pool_usage(fix.pool, &after);
	assert_int_equal(after.tiers[1].plain, 0);
	assert_int_equal(after.logical, before.logical);
	check_bytes(object);
	end(object);
}

static uint64_t plain_bytes(void)
{
	struct pool_usage usage;

	pool_usage(fix.pool, &usage);
	return usage.tiers[1].plain;
}

/* What was copied for a turn that came to nothing was never counted. */
static void test_account_of_no_turn(void **state)
{
	struct object *object = begin();
	struct io_ops broken = io_ops_system;

	(void)state;
	assert_int_equal(pool_sync(fix.pool), 0);
	broken.fdatasync = sync_fails;
	io_ops_set(&broken);
	assert_int_equal(object_make_plain(object, 1, NULL), -EIO);
	io_ops_set(NULL);
	assert_int_equal(plain_bytes(), 0);
	assert_int_equal(object_write(object, bytes, sizeof(bytes), 0), 0);
	assert_int_equal(object_sync(object), 0);
	assert_int_equal(fix.pool->tiers[1].tier->plain_used[0], 0);
	check_bytes(object);
	end(object);
}

static struct {
	pthread_t thread;
	struct object *object;
	_Atomic bool awaited, done;
} reader;

static int read_some(struct object *object)
{
	uint8_t buf[16];
	size_t got;

	return object_read(object, buf, sizeof(buf), 0, &got);
}

static void *read_beside(void *arg)
{
	(void)arg;
	assert_int_equal(read_some(reader.object), 0);
	reader.done = true;
	return NULL;
}

static int stat_slowly(int fd, struct stat *out)
{
	int rc = fstat(fd, out);

	if (atomic_exchange(&reader.awaited, false)) {
		assert_int_equal(pthread_create(&reader.thread, NULL, read_beside, NULL), 0);
		for (unsigned i = 0; i < 50 && !reader.done; i++)
			usleep(1000);
	}
	return rc;
}

/* Who opens it beside another counts nothing twice. */
static void test_account_of_two_openers(void **state)
{
	struct object *object = begin();
	uint64_t id = object_id(object), counted;
	struct io_ops slow = io_ops_system;

	(void)state;
	assert_int_equal(object_make_plain(object, 1, NULL), 0);
	object_put(object);
	counted = plain_bytes();
	assert_int_equal(object_get(fix.pool, id, &object), 0);
	reader.object = object;
	reader.awaited = true;
	slow.fstat = stat_slowly;
	io_ops_set(&slow);
	assert_int_equal(read_some(object), 0);
	assert_false(reader.awaited);
	pthread_join(reader.thread, NULL);
	io_ops_set(NULL);
	assert_int_equal(plain_bytes(), counted);
	check_bytes(object);
	end(object);
}

static int nothing(void *arg, const struct plain_seen *seen)
{
	(void)arg;
	(void)seen;
	return 0;
}

/* A file that gets blocks when nobody has it open, as of writes that are allocated late, and loses
 * those beyond its end: it is counted as it is at the next look at all of them. */
static void test_account_of_late_blocks(void **state)
{
	struct object *object = begin();
	uint64_t id = object_id(object), counted;
	char path[256];

	(void)state;
	snprintf(path, sizeof(path), "%s/ssd/plain/%016x.%08x", fix.dir, (unsigned)id, 1);
	assert_int_equal(object_make_plain(object, 1, NULL), 0);
	object_put(object);
	counted = plain_bytes();
	for (int64_t more = 1 << 20; more >= 0; more -= 1 << 20) {
		int fd = open(path, O_RDWR), mode = more ? 0 : FALLOC_FL_PUNCH_HOLE;

		assert_int_equal(fallocate(fd, mode | FALLOC_FL_KEEP_SIZE, 1 << 20, 1 << 20), 0);
		assert_int_equal(close(fd), 0);
		assert_int_equal(object_get(fix.pool, id, &object), 0);
		check_bytes(object);
		assert_int_equal(pool_plain_each(fix.pool, nothing, NULL), 0);
		assert_int_equal(plain_bytes(), object_stored(object));
		object_put(object);
		assert_int_equal(pool_plain_each(fix.pool, nothing, NULL), 0);
		assert_in_range(plain_bytes(), counted + (uint64_t)more,
				counted + (uint64_t)more + 65536);
	}
	assert_int_equal(object_get(fix.pool, id, &object), 0);
	end(object);
}

/* Invariant 4, also after a crash: what the log still has of an object's earlier life is not put
 * before its plain file, and takes no room. */
static void test_log_of_before(void **state)
{
	struct object *other = begin(), *object;
	struct txn *txn;
	uint64_t records, id;

	(void)state;
	txn = txn_begin(fix.pool);
	object_create(txn, "attr", 4, &object);
	assert_int_equal(txn_commit(txn), 0);
	id = object_id(object);
	assert_int_equal(object_write(object, bytes, 100000, 0), 0);
	assert_int_equal(object_truncate(object, 70000), 0);
	assert_int_equal(object_make_plain(object, 1, NULL), 0);
	object_put(object);
	object_put(other);
	fix_pool_crash(&fix);
	records = fix.pool->dirty_bytes;
	assert_int_equal(object_get(fix.pool, id, &object), 0);
	assert_int_equal(object->dirty_bytes, 0);
	assert_int_equal(object_get(fix.pool, 2, &other), 0);
	assert_int_equal(other->dirty_bytes, sizeof(bytes)); /* the log was there */
	assert_int_equal(records, sizeof(bytes));
	assert_int_equal(pool_sync(fix.pool), 0);
	assert_int_equal(object->record.nextents, 0);
	assert_int_equal(object_size(object), 70000);
	object_put(object);
	check_bytes(other);
	end(other);
}

/* Called off, either turn leaves the object as it was. */
static void test_cancel(void **state)
{
	struct object *object = begin();
	_Atomic bool cancel = true;

	(void)state;
	assert_int_equal(object_make_plain(object, 1, &cancel), -ECANCELED);
	assert_false(object_is_plain(object));
	check_bytes(object);
	assert_int_equal(object_make_plain(object, 1, NULL), 0);
	assert_int_equal(object_make_frames(object, &cancel), -ECANCELED);
	assert_true(object_is_plain(object));
	check_bytes(object);
	end(object);
}

/* A tier that takes nothing is passed over as a full one is; where there is none left, it is told
 * as no room, and the object stays as it was. */
static void test_closed_tiers(void **state)
{
	struct object *object = begin();

	(void)state;
	assert_int_equal(pool_sync(fix.pool), 0);
	assert_int_equal(pool_evacuate(fix.pool, 2, -1, NULL), 0);
	assert_int_equal(object_make_plain(object, 2, NULL), -ENOSPC);
	assert_false(object_is_plain(object));
	check_bytes(object);
	pool_reopen(fix.pool, 2, -1);
	assert_int_equal(pool_evacuate(fix.pool, 1, -1, NULL), 0);
	assert_int_equal(object_make_plain(object, 1, NULL), 0);
	assert_int_equal(object_plain_tier(object), 2);
	check_bytes(object);
	pool_reopen(fix.pool, 1, -1);
	end(object);
}

/* Every call of both turns fails once, or from then on: the object is what it was, and the next try
 * does it. */
static void fault_loop(enum fault_kind kind, bool forever, bool back)
{
	for (uint64_t n = 1;; n++) {
		struct object *object = begin();
		uint64_t failed;
		int rc;

		if (back)
			assert_int_equal(object_make_plain(object, 1, NULL), 0);
		else
			assert_int_equal(pool_sync(fix.pool), 0);
		fault_arm(FAULT_ALL & ~(unsigned)FAULT_CLOSE, n, kind, forever);
		rc = back ? object_make_frames(object, NULL) : object_make_plain(object, 1, NULL);
		failed = fault_disarm();
		if (rc < 0)
			assert_int_equal(object_is_plain(object), back);
		/* A sync that failed stays failed for who holds the object. */
		check_bytes(object);
		object_put(object);
		fix_pool_crash(&fix);
		assert_int_equal(object_get(fix.pool, 2, &object), 0);
		check_bytes(object);
		rc = back ? object_make_frames(object, NULL) : object_make_plain(object, 1, NULL);
		assert_int_equal(rc, 0);
		check_bytes(object);
		end(object);
		if (!failed)
			break;
	}
}

static void test_faults(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 8; i++)
		if (getenv("TERRACE_STEPS") || !(i & 1) == !(i & 2))
			fault_loop(i & 1 ? FAULT_ENOSPC : FAULT_EIO, i & 2, i & 4);
}

/* A file that a record leads to and that is not there is an error, and not an empty file. */
static void test_missing(void **state)
{
	struct object *object = begin();
	uint8_t buf[10];
	size_t got;

	(void)state;
	assert_int_equal(object_make_plain(object, 1, NULL), 0);
	object_put(object);
	fix_pool_close(&fix);
	{
		char path[256];

		snprintf(path, sizeof(path), "%s/ssd/plain/%016x.%08x", fix.dir, 2, 1);
		assert_int_equal(unlink(path), 0);
	}
	fix_pool_open(&fix);
	assert_int_equal(object_get(fix.pool, 2, &object), 0);
	assert_int_equal(object_read(object, buf, sizeof(buf), 0, &got), -EIO);
	assert_int_equal(object_write(object, buf, sizeof(buf), 0), -EIO);
	assert_int_equal(object_sync(object), -EIO);
	object_put(object);
	fix_pool_close(&fix);
	fix_pool_free(&fix);
}

/* The configuration without the line of hdd1, or with it again. */
static void edit(bool without)
{
	char text[16384], line[128], *at;
	FILE *file = fopen(fix.file, "r+");
	size_t len;

	assert_non_null(file);
	len = fread(text, 1, sizeof(text) - 1, file);
	text[len] = '\0';
	snprintf(line, sizeof(line), "ath = %s/hdd1\n", fix.dir);
	at = strstr(text, line);
	assert_non_null(at);
	at[-1] = without ? '#' : 'p';
	rewind(file);
	assert_int_equal(fwrite(text, 1, len, file), len);
	assert_int_equal(fclose(file), 0);
}

/* A directory with nothing but plain files in it is missed, and one that had some is not. */
static void test_missing_directory(void **state)
{
	struct pool_open_options options = {.no_background = true};
	struct object *object;
	struct txn *txn;
	struct work work;

	(void)state;
	fix_pool_small_file(&fix);
	assert_int_equal(pool_create(&fix.config), 0);
	fix_pool_open(&fix);
	work_init(&work, &fix);
	work_run(&work, "A-");
	txn = txn_begin(fix.pool);
	object_create(txn, "attr", 4, &object);
	assert_int_equal(txn_commit(txn), 0);
	assert_int_equal(object_make_plain(object, 2, NULL), 0);
	assert_int_equal(object->record.plain.place, 1);
	object_put(object);
	for (unsigned i = 0; i < 2; i++) {
		if (i)
			fix_pool_crash(&fix);
		fix_pool_close(&fix);
		edit(true);
		fix_pool_config(&fix);
		assert_int_equal(pool_open(&fix.config, &options, &fix.pool), -ENOENT);
		fix.pool = NULL;
		edit(false);
		fix_pool_open(&fix);
	}
	assert_int_equal(object_get(fix.pool, 2, &object), 0);
	assert_int_equal(object_make_frames(object, NULL), 0);
	object_put(object);
	fix_pool_close(&fix);
	edit(true);
	fix_pool_open(&fix);
	work_release(&work);
	fix_pool_close(&fix);
	fix_pool_free(&fix);
}

/* The tier's size holds for what is written through here, into holes too. */
static void test_size(void **state)
{
	struct object *object = begin();
	uint64_t off = sizeof(bytes), most = 9 << 20;
	int rc = 0;

	(void)state;
	assert_int_equal(pool_sync(fix.pool), 0);
	assert_int_equal(object_make_plain(object, 1, NULL), 0);
	assert_int_equal(object_truncate(object, 2 * most), 0);
	for (; rc == 0 && off < most; off += 65536)
		rc = object_write(object, bytes, 65536, off);
	assert_int_equal(rc, -ENOSPC);
	assert_in_range(object_stored(object), 6 << 20, 8 << 20); /* of 8 MiB */
	assert_int_equal(object_write(object, bytes, sizeof(bytes), 0),
			 0); /* no more than there was */
	assert_int_equal(object_write(object, bytes, 65536, 2 * most), -ENOSPC);
	assert_int_equal(object_truncate(object, sizeof(bytes)), 0);
	check_bytes(object);
	end(object);
}

static int sync_folder_fails(int fd)
{
	struct stat st;

	if (!fstat(fd, &st) && S_ISDIR(st.st_mode)) {
		errno = EIO;
		return -1;
	}
	return fsync(fd);
}

static int put_large(uint64_t object, uint64_t number)
{
	static const uint8_t value[META_VALUE_MAX];
	struct txn *txn = txn_begin(fix.pool);
	uint8_t key[KEY_LEN_2];

	txn_put(txn, key, key_2(key, KEY_XATTR, object, number), value, sizeof(value));
	return txn_commit(txn);
}

/* Nobody cuts the journal, so the store makes durable by itself what speaks of a plain file: not
 * before the file's name is. */
static void test_emergency(void **state)
{
	struct object *object = begin(), *plain;
	struct io_ops fails = io_ops_system;
	struct meta *meta = fix.pool->meta;
	uint64_t made, n = 0;
	struct txn *txn;
	int rc = 0;

	(void)state;
	assert_int_equal(pool_sync(fix.pool), 0);
	txn = txn_begin(fix.pool);
	assert_int_equal(object_create(txn, "attr", 4, &plain), 0);
	assert_int_equal(txn_commit(txn), 0);
	assert_int_equal(object_make_plain(plain, 1, NULL), 0);
	made = meta_seq(meta);
	fails.fsync = sync_folder_fails;
	io_ops_set(&fails);
	while (rc == 0 && n < 1000)
		rc = put_large(object_id(object), n++);
	io_ops_set(NULL);
	assert_int_equal(rc, -EIO);
	assert_true(meta_durable_seq(meta) < made);
	assert_true(fix.pool->tiers[1].tier->plain_names);
	assert_int_equal(put_large(object_id(object), n), 0);
	assert_true(meta_durable_seq(meta) >= made);
	assert_int_equal(fix.pool->tiers[1].tier->plain_names, 0);
	object_put(plain);
	check_bytes(object);
	end(object);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_turns),
		cmocka_unit_test(test_written_past_us),
		cmocka_unit_test(test_closed_look),
		cmocka_unit_test(test_accounts),
		cmocka_unit_test(test_account_of_no_turn),
		cmocka_unit_test(test_account_of_two_openers),
		cmocka_unit_test(test_account_of_late_blocks),
		cmocka_unit_test(test_log_of_before),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_closed_tiers),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_missing),
		cmocka_unit_test(test_missing_directory),
		cmocka_unit_test(test_size),
		cmocka_unit_test(test_sync_waits),
		cmocka_unit_test(test_background_fails),
		cmocka_unit_test(test_two_fail),
		cmocka_unit_test(test_closed_unknown),
		cmocka_unit_test(test_emergency),
		cmocka_unit_test(test_waits_for_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
