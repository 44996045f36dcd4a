// SPDX-License-Identifier: Apache-2.0
/*
 * Enumerated power loop over the filesystem (fs/ and tiers/, without FUSE): workloads of one, two
 * and three operations (fix_ops.h), then longer ones at random, are recorded at the level of
 * system calls; for the calls of each, the media are made as the power loss after it may have left
 * them, each (ssd, hdd, metadata) with its own outcome: kept, lost, torn and reordered, named
 * without bytes; tmpfs is empty. The pool must open, what was synced must be there, the names must
 * be those of one moment, and no file may show bytes that it never held (promise 1). The same where
 * one sync fails and forgets.
 *
 * By default workloads of one operation, and some of two, three and more, are cut at a few calls.
 * TERRACE_DEPTH=1, 2 or 3: all of so many operations, those of one and two cut at every call;
 * TERRACE_EVERY: all at every call, with the whole cross product of outcomes. TERRACE_RANDOM=n:
 * longer ones. TERRACE_SEED repeats a run, TERRACE_WORKLOAD tries only that one.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/fix_disk.h"
#include "tests/unit/fix_disk_calls.h"
#include "tests/unit/fix_ops.h"
#include "tests/unit/fix_place.h"
#include "tiers/pool_impl.h"

#define MEDIA 3u

/* Never left to the lot: one for each rule of order. Data before the map, copy before the map, a
 * segment's name, a group's checksum, data before the rename, free before the reuse. */
static const char *const always[] = {"jS", "DS", "vjS", "jfcwS", "ork", "uUvv"};

static struct fix_pool fix;
static struct ops ops;
static struct dice dice;
static unsigned long runs, workloads;
static char state_name[160]; /* the state being looked at, for messages */

static void no_pause(bool pause)
{
	(void)pause;
}

/* Runs the workload on fresh media; fail_sync: that one fails, 0 = none. */
static void record(const char *workload, unsigned fail_sync)
{
	static const char *const names[MEDIA] = {"ssd", "hdd", "meta"};
	char paths[MEDIA][80];
	const char *folders[MEDIA];

	fix_pool_small(&fix);
	assert_int_equal(pool_create(&fix.config), 0);
	fix_pool_open(&fix);
	ops_begin(&ops, &fix);
	for (unsigned i = 0; i < MEDIA; i++) {
		snprintf(paths[i], sizeof(paths[i]), "%s/%s", fix.dir, names[i]);
		folders[i] = paths[i];
	}
	disk_record(folders, MEDIA);
	ops.clock = disk_steps;
	if (fail_sync) {
		ops.pause = no_pause;
		ops.mixed = true;
		disk_fail_sync(fail_sync);
	}
	ops_run(&ops, workload);
	ops.pause = NULL;
	ops_open(&ops);
	ops_check(&ops);
	disk_stop();
	ops_close(&ops);
	workloads++;
}

static void forget(void)
{
	disk_release();
	ops_release(&ops);
	fix_pool_free(&fix);
}

/* One state, after `step` calls. Now and then the pool also has to work on. */
static void check_state(const char *workload, size_t step, const enum disk_outcome *outcome)
{
	snprintf(state_name, sizeof(state_name), "workload %s, call %zu, outcomes %d %d %d",
		 workload, step, outcome[0], outcome[1], outcome[2]);
	disk_make(outcome, dice.state);
	ops_power(&ops);
	runs++;
	ops_check_power(&ops, step);
	fix_pool_verify(&fix);
	if (dice_roll(&dice, 8) == 0) {
		ops_remount(&ops);
		ops_check_power(&ops, step);
		fix_pool_verify(&fix);
		assert_int_equal(pool_sync(fix.pool), 0);
		fix_pool_verify_media(&fix, true);
	}
	ops_close(&ops);
	state_name[0] = '\0';
}

/* The outcomes after `step` calls: all of the cross product, or one, mostly that all is lost. */
static void check_step(const char *workload, size_t step, bool all)
{
	unsigned unsynced = disk_at(step), states = 1, drawn;

	for (unsigned i = 0; i < MEDIA; i++)
		states *= DISK_OUTCOMES;
	drawn = dice_roll(&dice, 3) ? (unsigned)dice_roll(&dice, states) : states;
	for (unsigned code = 0; code < states; code++) {
		enum disk_outcome outcome[MEDIA];
		bool twice = false;

		for (unsigned i = 0, rest = code; i < MEDIA; i++, rest /= DISK_OUTCOMES) {
			outcome[i] = (enum disk_outcome)(rest % DISK_OUTCOMES);
			twice |= outcome[i] != DISK_KEPT && !(unsynced >> i & 1);
			if (!all)
				outcome[i] = drawn == states ? DISK_LOST : outcome[i];
		}
		if (all ? !twice : code == (drawn == states ? 0 : drawn))
			check_state(workload, step, outcome);
	}
}

/* Cut at every call, or at one of `chance`. */
static void loop_power(const char *workload, unsigned chance)
{
	bool all = getenv("TERRACE_EVERY") != NULL;
	size_t n;

	record(workload, 0);
	n = disk_steps();
	for (size_t step = 0; step <= n; step++)
		if (all || step == n || dice_roll(&dice, chance) == 0)
			check_step(workload, step, all);
	forget();
}

/* A sync that fails has lost what it was to write: nothing may rely on it, nor on the next one. */
static void loop_syncs(const char *workload, unsigned chance)
{
	unsigned nth = 1 + (unsigned)dice_roll(&dice, 8);

	record(workload, nth);
	check_step(workload, (size_t)dice_roll(&dice, disk_steps() + 1), false);
	check_step(workload, disk_steps(), chance == 1);
	forget();
}

/* Those of `depth` operations, one of `few`; cut at one call of `chance`. */
static void all_of(unsigned depth, void (*loop)(const char *workload, unsigned chance),
		   unsigned long few, unsigned chance)
{
	bool all = ops_env("TERRACE_DEPTH", 0) >= depth;
	char workload[OPS_LONGEST + 1];

	for (unsigned long n = 0; ops_workload(depth, n, workload); n++)
		if (all || dice_roll(&dice, few) == 0)
			loop(workload, all && depth < 3 ? 1 : chance);
}

static void enumerate(void (*loop)(const char *workload, unsigned chance), const char *what)
{
	char workload[OPS_LONGEST + 1];

	runs = workloads = 0;
	quiet_begin();
	if (getenv("TERRACE_WORKLOAD")) {
		loop(getenv("TERRACE_WORKLOAD"), 1);
	} else {
		for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++)
			loop(always[i], 1);
		all_of(1, loop, 1, 4);
		all_of(2, loop, 40, 8);
		all_of(3, loop, 2000, 24);
		for (unsigned i = ops_env("TERRACE_RANDOM", 6); i > 0; i--) {
			ops_workload_random(&dice, workload);
			loop(workload, 24);
		}
	}
	quiet_end();
	printf("%lu states of %lu workloads after a power loss%s\n", runs, workloads, what);
}

static void test_power(void **state)
{
	(void)state;
	enumerate(loop_power, "");
}

static void test_failed_syncs(void **state)
{
	(void)state;
	enumerate(loop_syncs, " and a failed sync");
}

/* A failed test leaves its folders behind otherwise. */
static int tidy(void **state)
{
	(void)state;
	disk_stop();
	quiet_end();
	fix_pool_tidy(&fix, state_name);
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_power, tidy),
		cmocka_unit_test_teardown(test_failed_syncs, tidy),
	};

	dice_init(&dice, "test_fs_power");
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
