// SPDX-License-Identifier: Apache-2.0
/*
 * The deep check of a pool that is mounted. A child process has it open and does what it is told,
 * also while the check waits: frames that cannot be read are told of when they are still in the
 * metadata later on, and not when the daemon has let go of them meanwhile.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/unit/fix_alloc.h"
#include "tests/unit/fix_children.h"
#include "tests/unit/fix_dir.h"
#include "tests/unit/fix_pool.h"
#include "tests/unit/fix_tier.h"
#include "tiers/check/check_impl.h"
#include "tiers/clock.h"
#include "tiers/extmap.h"
#include "tiers/framestore.h"
#include "tiers/object.h"
#include "tiers/pool_impl.h"
#include "tiers/segment_file.h"

#define OBJECTS 3u
#define LEN	20000u
#define HDD	2

static struct fix_pool fix;
static pid_t daemon_pid;
static int line = -1; /* to the other process */

/* The daemon -------------------------------------------------------------------------------------
 */

static uint64_t ids[OBJECTS];

static void object_new(unsigned i)
{
	struct txn *txn = txn_begin(fix.pool);
	struct object *object;
	uint8_t bytes[LEN];

	fill_noise(bytes, sizeof(bytes), i + 1);
	assert_int_equal(object_create(txn, "a", 1, &object), 0);
	assert_int_equal(txn_commit(txn), 0);
	assert_int_equal(object_write(object, bytes, sizeof(bytes), 0), 0);
	ids[i] = object_id(object);
	object_put(object);
	assert_int_equal(pool_sync(fix.pool), 0);
}

static void first_delete(void)
{
	struct txn *txn = txn_begin(fix.pool);
	struct object *object;

	assert_int_equal(object_get(fix.pool, ids[0], &object), 0);
	assert_int_equal(object_delete(txn, object), 0);
	assert_int_equal(txn_commit(txn), 0);
	object_put(object);
}

/* A bit of what the first object's frame holds turns round on the medium. */
static void first_damage(void)
{
	struct extent_list list = {0};
	struct frame_record record;
	struct object *object;
	char path[256];
	uint8_t byte;
	off_t at;
	int fd;

	assert_int_equal(object_get(fix.pool, ids[0], &object), 0);
	assert_int_equal(extmap_list(object, 0, LEN, 1, &list), 0);
	assert_int_equal(frame_record_get(fix.pool, list.items[0].frame, &record), 0);
	extent_list_release(&list);
	object_put(object);
	assert_int_equal(segment_file_path(path, sizeof(path),
					   fix.config.tiers[record.tier].paths[0], record.segment),
			 0);
	fd = open(path, O_RDWR);
	at = record.off + record.stored_len - 9;
	assert_int_equal(pread(fd, &byte, 1, at), 1);
	byte ^= 4;
	assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	close(fd);
}

/* f: damages the first object; d: deletes it; m: moves all; k: makes another one. Then what is
 * freed goes back to the medium, and a checkpoint is made. */
static void obey(char what)
{
	if (what == 'f')
		first_damage();
	if (what == 'd')
		first_delete();
	if (what == 'm')
		assert_int_equal(pool_move(fix.pool, ids, OBJECTS, HDD, NULL), 0);
	if (what == 'k')
		object_new(OBJECTS - 1);
	assert_int_equal(pool_sync(fix.pool), 0);
	assert_int_equal(pool_cut(fix.pool), 0);
	pool_reclaim(fix.pool);
	assert_int_equal(pool_checkpoint(fix.pool), 0);
}

static void daemon_run(void)
{
	char what = 'k';

	fix_pool_open(&fix);
	for (unsigned i = 0; i < OBJECTS; i++)
		object_new(i);
	assert_int_equal(pool_checkpoint(fix.pool), 0);
	do
		assert_int_equal(write(line, &what, 1), 1);
	while (read(line, &what, 1) == 1 && (obey(what), true));
	pool_abandon(fix.pool);
}

static void tell(char what)
{
	char done;

	assert_int_equal(write(line, &what, 1), 1);
	assert_int_equal(read(line, &done, 1), 1);
	assert_int_equal(done, what);
}

static int setup(void **state)
{
	int ends[2];
	char up;

	(void)state;
	log_capture();
	fix_pool_small(&fix);
	fix.config.checkpoint_interval_ns = 1000000;
	assert_int_equal(pool_create(&fix.config), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	fflush(NULL);
	daemon_pid = fork();
	line = ends[daemon_pid == 0];
	close(ends[daemon_pid != 0]);
	if (daemon_pid == 0) {
		daemon_run();
		_exit(0);
	}
	assert_int_equal(read(line, &up, 1), 1);
	return 0;
}

static int teardown(void **state)
{
	int status = 1;

	(void)state;
	close(line);
	waitpid(daemon_pid, &status, 0);
	fix_pool_free(&fix);
	log_release();
	return status;
}

/* The check --------------------------------------------------------------------------------------
 */

static const char *at_nap; /* what the daemon is told when the check waits: one of it each time */
static unsigned naps;
static char aside[128]; /* where the tree's file goes at a nap; empty: it stays */

/* The check's. It is not what this test waits for. */
int nanosleep(const struct timespec *wanted, struct timespec *left)
{
	static const struct timespec nap = {.tv_nsec = 20000000};

	(void)wanted;
	(void)left;
	naps++;
	if (at_nap && *at_nap)
		tell(*at_nap++);
	if (*aside) {
		char path[128];

		snprintf(path, sizeof(path), "%s/metadata.mdb", fix.config.meta_path);
		assert_int_equal(rename(path, aside), 0);
	}
	return clock_nanosleep(CLOCK_MONOTONIC, 0, &nap, NULL);
}

static unsigned told;
static enum check_code told_code;
static char told_where[64];

static void problem(void *arg, const struct check_problem *problem)
{
	(void)arg;
	told++;
	told_code = problem->code;
	snprintf(told_where, sizeof(told_where), "%s", problem->where);
}

static struct check *begin(struct check_result *result)
{
	static struct check_options options = {.deep = true, .problem = problem};
	struct check *check;

	options.config = &fix.config;
	at_nap = NULL;
	naps = told = 0;
	assert_int_equal(check_open(&check, &options, result), 0);
	assert_non_null(check);
	assert_true(result->live);
	assert_false(result->unclean); /* nobody can say that of it */
	check_round(check);
	return check;
}

/* From the pass on. */
static void end(struct check *check, const char *say)
{
	struct meta *meta;

	assert_int_equal(check_pass(check), 0);
	assert_int_equal(told, 0); /* in doubt, for the daemon's good */
	at_nap = say;
	assert_int_equal(check_doubts(check, &meta), 0);
	assert_ptr_equal(meta, check_meta(check));
	check_close(check);
}

static void test_sound(void **state)
{
	struct check_result result;

	(void)state;
	end(begin(&result), NULL);
	assert_int_equal(naps, 0);
	assert_int_equal(told, 0);
	assert_int_equal(result.objects, OBJECTS + 1); /* and the root */
	assert_int_equal(result.frames, OBJECTS);
	assert_true(result.bytes > OBJECTS * LEN);
}

static void is_told(const struct check_result *result, uint64_t bytes)
{
	assert_int_equal(told, 1);
	assert_true(told_code == CHECK_FRAME_DATA || told_code == CHECK_FRAME_HEADER);
	assert_int_equal(strncmp(told_where, "object ", 7), 0);
	assert_int_equal(result->problems, 1);
	assert_int_equal(result->left, 1);
	/* Each is counted once, though all has been looked at twice. */
	assert_int_equal(result->objects, OBJECTS + 1);
	assert_int_equal(result->frames, OBJECTS);
	assert_int_equal(result->bytes, bytes);
}

/* No checkpoint comes: it is told of when two should have come. */
static void test_damaged(void **state)
{
	uint64_t begun = clock_mono_ns(), bytes;
	struct check_result result;

	(void)state;
	end(begin(&result), NULL);
	bytes = result.bytes;
	tell('f');
	end(begin(&result), NULL);
	assert_true(naps > 0);
	assert_true(clock_mono_ns() - begun >= 500000000);
	is_told(&result, bytes);
}

/* Two checkpoints come, and the frame is in both. */
static void test_checkpoints(void **state)
{
	struct check_result result;

	(void)state;
	tell('f');
	end(begin(&result), "kkkk");
	assert_int_equal(naps, 2);
	assert_int_equal(told, 1);
	assert_int_equal(result.left, 1);
}

static void test_deleted(void **state)
{
	struct check_result result;

	(void)state;
	tell('f');
	end(begin(&result), "dk");
	assert_int_equal(naps, 1);
	assert_int_equal(told, 0);
	assert_int_equal(result.problems, 0);
}

/* Not damaged at all: between the checkpoint that is looked at and the look, all moved away. */
static void test_moved(void **state)
{
	struct check_result result;
	struct check *check = begin(&result);

	(void)state;
	tell('m');
	end(check, NULL);
	assert_int_equal(naps, 1);
	assert_int_equal(told, 0);
}

/* The metadata goes while the check waits. */
static void test_metadata_gone(void **state)
{
	struct check_result result;
	struct meta *meta;
	struct check *check;
	char path[128];
	int rc;

	(void)state;
	tell('f');
	check = begin(&result);
	assert_int_equal(check_pass(check), 0);
	snprintf(aside, sizeof(aside), "%s/aside", fix.config.meta_path);
	rc = check_doubts(check, &meta);
	snprintf(path, sizeof(path), "%s/metadata.mdb", fix.config.meta_path);
	assert_int_equal(rename(aside, path), 0);
	*aside = '\0';
	assert_int_equal(rc, -ENOENT);
	assert_null(meta);
	assert_int_equal(told, 0);
	check_close(check);
}

static void test_no_memory(void **state)
{
	struct check check = {.ndoubts = 0};
	struct frame_record record = {.segment = 7, .off = 4096};
	int rc;

	(void)state;
	if (!ALLOC_FAULTS)
		skip();
	for (unsigned i = 0; i < 64; i++)
		assert_int_equal(check_doubt_add(&check, i, &record), 0);
	alloc_arm(1, false);
	rc = check_doubt_add(&check, 64, &record);
	alloc_disarm();
	assert_int_equal(rc, -ENOMEM);
	assert_int_equal(check.ndoubts, 64);
	assert_int_equal(check_doubt_add(&check, 64, &record), 0);
	assert_false(check_doubt_skips(&check, 99)); /* in the first look all are read */
	check.again = true;
	assert_false(check_doubt_skips(&check, 64));
	assert_true(check_doubt_skips(&check, 99));
	free(check.doubts);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_sound),
		TEST(test_damaged),
		TEST(test_checkpoints),
		TEST(test_deleted),
		TEST(test_moved),
		TEST(test_metadata_gone),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
