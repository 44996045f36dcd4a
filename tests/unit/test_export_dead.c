// SPDX-License-Identifier: Apache-2.0
/*
 * What is read of a pool whose daemon died (tiers/salvage.h) is what the next mount shows: object
 * by object, sizes, bytes and times, and the reading changes nothing. A child process runs a
 * workload and dies at its n-th changing call, while opening too; the machine goes on, or its RAM
 * is lost.
 *
 * TERRACE_STEP=n tries every n-th call (1: all); by default some, drawn at random (TERRACE_SEED).
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "compress/checksum.h"
#include "tests/unit/fix_alloc.h"
#include "tests/unit/fix_dir.h"
#include "tests/unit/fix_fault.h"
#include "tests/unit/fix_place.h"
#include "tests/unit/fix_pool.h"
#include "tests/unit/fix_work.h"
#include "tiers/clock.h"
#include "tiers/io.h"
#include "tiers/pool_impl.h"
#include "tiers/salvage.h"

#define IDS_MAX	  32u
#define BYTES_MAX (1u << 20)

/* Everything that the log may say of an object, over frames, synced writes and clones. */
static const char *const workloads[] = {
	"c0w0s0o0a0c1w1x1",	  "c0w0S-t0a0p0s0g0o0",		  "c0c1w0w1S-l0o1C-p1l0t1a1",
	"c0w0s0r0C-w0d0o0S-p0t0", "c0c1W0w1s1o1s1p1o1K-t1s1a1r1", "=c0w0S-o0C-t0g0w0p0s0a0",
};
#define WORKLOADS (sizeof(workloads) / sizeof(workloads[0]))

struct seen {
	int rc;
	uint64_t size;
	int64_t write_time;
	uint8_t *bytes;
	uint64_t lost;
};

static struct fix_pool fix;
static struct work work;
static struct dice dice;
static unsigned long runs;
static char run_name[160];

/* Dying. --------------------------------------------------------------------------------------- */

static uint64_t calls_left;

static void one_call(void)
{
	if (calls_left && --calls_left == 0)
		raise(SIGKILL);
}

static ssize_t die_pwrite(int fd, const void *buf, size_t len, off_t off)
{
	one_call();
	return io_ops_system.pwrite(fd, buf, len, off);
}

static int die_fdatasync(int fd)
{
	one_call();
	return io_ops_system.fdatasync(fd);
}

static int die_fallocate(int fd, int mode, off_t off, off_t len)
{
	one_call();
	return io_ops_system.fallocate(fd, mode, off, len);
}

static int die_ftruncate(int fd, off_t len)
{
	one_call();
	return io_ops_system.ftruncate(fd, len);
}

static int die_rename(const char *from, const char *to)
{
	one_call();
	return io_ops_system.rename(from, to);
}

static int die_unlink(const char *path)
{
	one_call();
	return io_ops_system.unlink(path);
}

static int die_submit(struct io_context *ctx, long n, struct iocb **list)
{
	one_call();
	return io_ops_system.aio_submit(ctx, n, list);
}

static void die_at(uint64_t nth)
{
	static struct io_ops ops;

	calls_left = nth;
	ops = io_ops_system;
	ops.pwrite = die_pwrite;
	ops.fdatasync = die_fdatasync;
	ops.fallocate = die_fallocate;
	ops.ftruncate = die_ftruncate;
	ops.rename = die_rename;
	ops.unlink = die_unlink;
	ops.aio_submit = die_submit;
	io_ops_set(&ops);
}

/* A daemon that opens the pool, runs the steps, and dies at its n-th call or behind the last. */
static bool daemon_dies(const char *steps, uint64_t nth)
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		die_at(nth);
		fix_pool_open(&fix);
		work_init(&work, &fix);
		work_run(&work, *steps == '=' ? steps + 1 : steps);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 0);
	return WIFSIGNALED(status);
}

static void pool_make(const char *steps)
{
	if (*steps == '=')
		fix_pool_small_mirrored(&fix);
	else
		fix_pool_small(&fix);
	assert_int_equal(pool_create(&fix.config), 0);
}

/* Looking. ------------------------------------------------------------------------------------- */

static uint64_t tree_sum;

static int sum_one(const char *path, const struct stat *st, int what, struct FTW *ftw)
{
	uint64_t facts[] = {(uint64_t)st->st_mtim.tv_sec, (uint64_t)st->st_mtim.tv_nsec,
			    (uint64_t)st->st_size, (uint64_t)st->st_blocks};
	uint64_t len;
	uint8_t *bytes;

	(void)ftw;
	tree_sum += checksum64_seed(facts, sizeof(facts), checksum64(path, strlen(path)));
	if (what != FTW_F)
		return 0;
	bytes = place_read(path, &len);
	tree_sum += checksum64_seed(bytes, len, checksum64(path, strlen(path)));
	free(bytes);
	return 0;
}

/* Of all that the pool has, names and bytes. */
static uint64_t pool_sum(void)
{
	tree_sum = 0;
	assert_int_equal(nftw(fix.dir, sum_one, 16, FTW_PHYS), 0);
	assert_int_equal(nftw(fix.ram, sum_one, 16, FTW_PHYS), 0);
	return tree_sum;
}

static int seen_put(void *arg, uint64_t off, const void *data, size_t len)
{
	struct seen *seen = arg;

	assert_true(off + len <= BYTES_MAX);
	if (data)
		memcpy(seen->bytes + off, data, len);
	else
		memset(seen->bytes + off, 0, len);
	return 0;
}

static void seen_lost(void *arg, uint64_t off, uint64_t len)
{
	(void)off;
	((struct seen *)arg)->lost += len;
}

static void seen_free(struct seen *seen)
{
	for (unsigned i = 1; i < IDS_MAX; i++)
		free(seen[i].bytes);
	memset(seen, 0, IDS_MAX * sizeof(*seen));
}

static void seen_new(struct seen *seen)
{
	seen_free(seen);
	for (unsigned i = 1; i < IDS_MAX; i++)
		assert_non_null(seen[i].bytes = calloc(1, BYTES_MAX));
}

static int remove_one(const char *path, const struct stat *st, int what, struct FTW *ftw)
{
	(void)st;
	(void)what;
	(void)ftw;
	return remove(path);
}

static void object_salvaged(struct salvage *salvage, uint64_t id, struct seen *seen)
{
	struct salvage_sink sink = {seen_put, seen_lost, seen};
	struct object_record record;

	seen->rc = salvage_record(salvage, id, &record);
	if (seen->rc < 0)
		return;
	seen->write_time = record.write_time;
	seen->rc = salvage_data(salvage, id, &sink, &seen->size);
}

/* What an export sees. `seen` has its room. */
static int look(struct seen *seen, struct salvage_source *source)
{
	struct salvage *salvage;
	char work_dir[] = "/dev/shm/terrace-salvage-XXXXXX";
	int rc;

	runs++;
	assert_non_null(mkdtemp(work_dir));
	rc = salvage_open(&salvage, &fix.config, work_dir, source);
	if (rc == 0) {
		for (unsigned i = 1; i < IDS_MAX && !source->none; i++)
			object_salvaged(salvage, i, &seen[i]);
		salvage_close(salvage);
	}
	nftw(work_dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	return rc;
}

/* What a mount sees. */
static void mount_look(struct seen *seen)
{
	fix_pool_open(&fix);
	for (unsigned i = 1; i < IDS_MAX; i++) {
		struct object *object;
		size_t got;

		seen[i].rc = object_get(fix.pool, i, &object);
		if (seen[i].rc < 0)
			continue;
		seen[i].size = object_size(object);
		seen[i].write_time = object_write_time(object);
		assert_int_equal(object_read(object, seen[i].bytes, BYTES_MAX, 0, &got), 0);
		assert_int_equal(got, seen[i].size);
		object_put(object);
	}
}

static void expect_same(const struct seen *a, const struct seen *b, bool times)
{
	for (unsigned i = 1; i < IDS_MAX; i++) {
		assert_int_equal(a[i].rc, b[i].rc);
		if (a[i].rc < 0)
			continue;
		assert_int_equal(a[i].size, b[i].size);
		if (a[i].size)
			assert_memory_equal(a[i].bytes, b[i].bytes, a[i].size);
		assert_int_equal(a[i].lost + b[i].lost, 0);
		if (times)
			assert_int_equal(a[i].write_time, b[i].write_time);
	}
}

static struct seen before[IDS_MAX], exported[IDS_MAX], mounted[IDS_MAX];

/* The pool is as a dead daemon left it. power: since RAM was lost, no daemon has gone on. */
static void expect_as_mounted(bool power)
{
	struct salvage_source *source = calloc(1, sizeof(*source));
	bool unchanged = dice_roll(&dice, 8) == 0;
	uint64_t sum = unchanged ? pool_sum() : 0;

	assert_non_null(source);
	seen_new(exported);
	seen_new(mounted);
	assert_int_equal(look(exported, source), 0);
	assert_false(source->copy || source->none || source->damaged);
	if (unchanged)
		assert_true(pool_sum() == sum);
	mount_look(mounted);
	expect_same(exported, mounted, !power);
	free(source);
}

/* Tests. --------------------------------------------------------------------------------------- */

static uint64_t next_call(uint64_t n)
{
	const char *step = getenv("TERRACE_STEP");

	return n + (step ? strtoul(step, NULL, 10) : 1 + dice_roll(&dice, 48));
}

static void pool_drop(void)
{
	if (fix.pool)
		pool_abandon(fix.pool);
	fix.pool = NULL;
	fix_pool_free(&fix);
}

static void test_dead_daemon(void **state)
{
	bool died = true;

	(void)state;
	for (unsigned w = 0; w < WORKLOADS; w++) {
		for (uint64_t n = next_call(0); died; n = next_call(n)) {
			snprintf(run_name, sizeof(run_name), "%s, dead at call %llu", workloads[w],
				 (unsigned long long)n);
			pool_make(workloads[w]);
			died = daemon_dies(workloads[w], n);
			expect_as_mounted(false);
			pool_drop();
		}
		died = true;
	}
	*run_name = '\0';
}

/* A daemon died, or the power went, and the next one dies while it opens the pool: what there was
 * stays. */
static void test_dead_while_opening(void **state)
{
	struct salvage_source *source = calloc(1, sizeof(*source));

	(void)state;
	assert_non_null(source);
	for (unsigned w = 0; w < WORKLOADS; w++) {
		for (unsigned power = 0; power < 2; power++) {
			bool died = true;

			for (uint64_t n = next_call(0); died; n = next_call(n)) {
				snprintf(run_name, sizeof(run_name),
					 "%s, %s, dead at call %llu of opening", workloads[w],
					 power ? "power lost" : "dead", (unsigned long long)n);
				pool_make(workloads[w]);
				daemon_dies(workloads[w], 0);
				if (power)
					fix_pool_lose_ram(&fix);
				seen_new(before);
				assert_int_equal(look(before, source), 0);
				died = daemon_dies("", n);
				expect_as_mounted(power);
				expect_same(before, mounted, !power);
				pool_drop();
			}
		}
	}
	*run_name = '\0';
	free(source);
}

static void test_power_lost(void **state)
{
	(void)state;
	for (unsigned w = 0; w < WORKLOADS; w++) {
		bool died = true;

		for (uint64_t n = next_call(0); died; n = next_call(n)) {
			snprintf(run_name, sizeof(run_name), "%s, power lost at call %llu",
				 workloads[w], (unsigned long long)n);
			pool_make(workloads[w]);
			died = daemon_dies(workloads[w], n);
			fix_pool_lose_ram(&fix);
			expect_as_mounted(true);
			pool_drop();
		}
	}
	*run_name = '\0';
}

static void note(enum ramlog_op op, uint64_t id, uint64_t off, uint64_t len)
{
	struct ramlog_record record;
	void *data;

	assert_int_equal(
		ramlog_reserve(fix.pool->log, op, id, off, len, clock_wall_ns(), &record, &data),
		0);
	ramlog_commit(fix.pool->log, &record);
}

/* The daemon died between the notes of cuts in the log and their transactions. */
static void test_cuts_noted(void **state)
{
	(void)state;
	pool_make("");
	fix_pool_open(&fix);
	work_init(&work, &fix);
	work_run(&work, "c0c1w0w1S-a0");
	note(RAMLOG_PUNCH, work.objects[0].id, 1000, 9000);
	note(RAMLOG_SIZE, work.objects[1].id, 5000, 0);
	note(RAMLOG_SIZE, work.objects[1].id, 7000, 0);
	work_run(&work, "o0");
	work_release(&work);
	pool_abandon(fix.pool);
	expect_as_mounted(false);
	assert_true(exported[work.objects[1].id].size == 7000);
	pool_drop();
}

/* A pool with all kinds of things in its log, and what is to be read of it. */
static void dead_pool(void)
{
	pool_make(workloads[1]);
	daemon_dies("c0c1w0w1S-l0o1C-p1l0t1a1c2w2s2o2s2", 0);
	expect_as_mounted(false);
	pool_abandon(fix.pool);
	fix.pool = NULL;
}

/* All is right, or it is said that something is missing. */
static void expect_right_or_told(int rc, const struct salvage_source *source, struct seen *seen)
{
	if (rc < 0 || source->ram_missing || source->copy || source->none || source->damaged)
		return;
	for (unsigned i = 1; i < IDS_MAX; i++) {
		if (seen[i].rc < 0 && seen[i].rc != -ENOENT)
			continue; /* told, too */
		assert_int_equal(seen[i].rc, mounted[i].rc);
		assert_int_equal(seen[i].size, mounted[i].size);
		if (seen[i].rc == 0 && !seen[i].lost && seen[i].size)
			assert_memory_equal(seen[i].bytes, mounted[i].bytes, seen[i].size);
	}
}

static void test_faults(void **state)
{
	static const enum fault_kind kinds[] = {FAULT_EIO, FAULT_ENOSPC, FAULT_SHORT, FAULT_EINTR};
	struct salvage_source *source = calloc(1, sizeof(*source));
	int fds = fault_open_fds(), rc;

	(void)state;
	assert_non_null(source);
	dead_pool();
	for (unsigned kind = 0; kind < 8; kind++) {
		uint64_t failed = 1;

		for (uint64_t n = next_call(0); failed; n = next_call(n)) {
			snprintf(run_name, sizeof(run_name), "fault %u at call %llu", kind,
				 (unsigned long long)n);
			seen_new(exported);
			fault_arm(FAULT_ALL, n, kinds[kind / 2], kind & 1);
			rc = look(exported, source);
			failed = fault_disarm();
			assert_int_equal(fault_open_fds(), fds);
			expect_right_or_told(rc, source, exported);
			if (kinds[kind / 2] < FAULT_SHORT && failed)
				continue;
			assert_int_equal(rc, 0);
			assert_false(source->ram_missing);
			expect_same(exported, mounted, true);
		}
	}
	*run_name = '\0';
	free(source);
	pool_drop();
}

static void test_allocations(void **state)
{
	struct salvage_source *source;
	int rc;

	(void)state;
	if (!ALLOC_FAULTS)
		skip();
	source = calloc(1, sizeof(*source));
	assert_non_null(source);
	dead_pool();
	for (unsigned persistent = 0; persistent < 2; persistent++) {
		alloc_failed = 1;
		for (uint64_t n = next_call(0); alloc_failed; n = next_call(n)) {
			seen_new(exported);
			alloc_persistent = persistent;
			alloc_countdown = n;
			alloc_failed = 0;
			alloc_live = 0;
			alloc_armed = true;
			rc = look(exported, source);
			alloc_armed = false;
			assert_int_equal(alloc_live, 0);
			assert_true(rc == 0 || rc == -ENOMEM);
			assert_true(rc < 0 || !source->ram_missing); /* no memory is no loss */
			expect_right_or_told(rc, source, exported);
		}
	}
	free(source);
	pool_drop();
}

static int teardown(void **state)
{
	(void)state;
	seen_free(before);
	seen_free(exported);
	seen_free(mounted);
	fix_pool_tidy(&fix, run_name);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_dead_daemon, teardown),
		cmocka_unit_test_teardown(test_dead_while_opening, teardown),
		cmocka_unit_test_teardown(test_cuts_noted, teardown),
		cmocka_unit_test_teardown(test_power_lost, teardown),
		cmocka_unit_test_teardown(test_faults, teardown),
		cmocka_unit_test_teardown(test_allocations, teardown),
	};
	int rc;

	dice_init(&dice, "test_export_dead");
	quiet_begin();
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	quiet_end();
	printf("%lu looks\n", runs);
	return rc;
}
