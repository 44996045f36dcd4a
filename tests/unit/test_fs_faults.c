// SPDX-License-Identifier: Apache-2.0
/*
 * Enumerated fault loop over the filesystem (fs/ and tiers/, without FUSE): every workload of one,
 * two and three operations (fix_ops.h), then longer ones at random; in each, the n-th call through
 * the io seam fails, or the n-th allocation. An operation that fails says so and has been done or
 * not; with the fault taken out everything that was acknowledged is there: now, after kill -9,
 * after closing, and, once synced, after power loss (promises 1 to 3).
 *
 * By default each workload of one operation, and some of two, three and more, are run with one call
 * failing. TERRACE_DEPTH=1, 2 or 3: all of so many operations; TERRACE_EVERY: with every call, one
 * after the other. TERRACE_RANDOM=n: longer ones. TERRACE_SEED repeats a run, TERRACE_WORKLOAD
 * tries only that one, and TERRACE_CALL=call,kind,way only that call of it.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/fix_alloc.h"
#include "tests/unit/fix_fault.h"
#include "tests/unit/fix_ops.h"
#include "tests/unit/fix_place.h"
#include "tiers/pool_impl.h"

#define WAYS 5u

static const struct {
	enum fault_kind kind;
	bool forever;
	unsigned calls;
} kinds[] = {
	{FAULT_EIO, false, FAULT_ALL},	 {FAULT_ENOSPC, false, FAULT_ALL},
	{FAULT_SHORT, false, FAULT_ALL}, {FAULT_EINTR, true, FAULT_ALL},
	{FAULT_EIO, true, FAULT_ALL},	 {FAULT_ENOSPC, true, FAULT_PWRITE}, /* a full disk */
	{FAULT_EIO, true, FAULT_SYNC},
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static struct fix_pool fix;
static struct ops ops;
static struct dice dice;
static unsigned long runs, workloads;
static char run_name[160]; /* what is being tried, for messages */
static size_t armed;	   /* the kind of fault */
static uint64_t failed_before;

static void pause_io(bool pause)
{
	if (pause)
		failed_before += fault_disarm();
	else if (kinds[armed].forever)
		fault_arm(kinds[armed].calls, 1, kinds[armed].kind, true);
}

static void pause_alloc(bool pause)
{
	alloc_armed = !pause;
}

static void begin(void)
{
	fix_pool_small(&fix);
	assert_int_equal(pool_create(&fix.config), 0);
	fix_pool_open(&fix);
	ops_begin(&ops, &fix);
}

/* The fault is out; what comes now? Opening takes most of a run's time: each has one way. */
static void check_all(const char *workload, unsigned way)
{
	ops.pause = ops.model = NULL;
	ops_open(&ops);
	ops_check(&ops);
	switch (way) {
	case 0:
		ops_crash(&ops);
		break;
	case 1:
		ops_remount(&ops);
		break;
	case 2:
		assert_int_equal(pool_sync(fix.pool), 0);
		ops_power(&ops);
		break;
	case 3:
		ops_crash(&ops);
		ops_check(&ops);
		ops_remount(&ops);
		break;
	default: /* what a flush did before the fault shows no byte of its own */
		ops.mixed = true;
		/* Somebody's fsync. What had no room just now is not tried again at once. */
		assert_true(pool_cut(fix.pool) == 0 || fix.pool->stuck_error);
		ops_power(&ops);
		ops_check_power(&ops, SIZE_MAX - 1);
		fix_pool_verify(&fix);
		return;
	}
	ops_check(&ops);
	fix_pool_verify(&fix);
	assert_int_equal(pool_sync(fix.pool), 0);
	if (!strchr(workload, 'y'))
		fix_pool_verify_frames(&fix);
	if (way == 3)
		fix_pool_verify_media(&fix, true);
}

static void end(int fds)
{
	ops_close(&ops);
	ops_release(&ops);
	assert_int_equal(fault_open_fds(), fds);
	fix_pool_free(&fix);
	run_name[0] = '\0';
	runs++;
}

/* False: the fault was behind the last call. */
static bool run_io(const char *workload, unsigned long n, size_t kind, unsigned way)
{
	int fds = fault_open_fds();
	uint64_t failed;

	snprintf(run_name, sizeof(run_name), "workload %s, call %lu, kind %zu, way %u", workload, n,
		 kind, way);
	begin();
	armed = kind;
	failed_before = 0;
	ops.pause = pause_io;
	fault_arm(kinds[kind].calls, n, kinds[kind].kind, kinds[kind].forever);
	ops_run(&ops, workload);
	failed = fault_disarm() + failed_before;
	check_all(workload, way);
	for (unsigned i = 0; i < ops.nsteps && !failed; i++)
		assert_true(ops.steps[i].rc >= 0);
	end(fds);
	return failed != 0;
}

/* One kind of fault, drawn, at a call; few calls can be short, or are writes: then any error. */
static bool one_fault(const char *workload, unsigned long n)
{
	size_t kind = (size_t)dice_roll(&dice, KINDS);
	unsigned way = (unsigned)dice_roll(&dice, WAYS);

	return run_io(workload, n, kind, way) || (kind > 1 && run_io(workload, n, kind % 2, way));
}

/* At every call; or at one. */
static void loop_io(const char *workload, bool every)
{
	unsigned long n = every ? 1 : 1 + (unsigned long)dice_roll(&dice, 30);
	const char *only = getenv("TERRACE_CALL");
	unsigned kind, way;

	workloads++;
	if (only && sscanf(only, "%lu,%u,%u", &n, &kind, &way) == 3) {
		run_io(workload, n, kind, way);
		return;
	}
	while (one_fault(workload, n++) && every)
		;
}

/* All of `depth` operations; `chance`: one in so many. */
static void all_of(unsigned depth, void (*loop)(const char *workload, bool every),
		   unsigned long chance)
{
	bool all = ops_env("TERRACE_DEPTH", 0) >= depth;
	bool every = all && getenv("TERRACE_EVERY") != NULL;
	char workload[OPS_LONGEST + 1];

	for (unsigned long n = 0; ops_workload(depth, n, workload); n++)
		if (all || dice_roll(&dice, chance) == 0)
			loop(workload, every);
}

static void enumerate(void (*loop)(const char *workload, bool every), const char *what)
{
	char workload[OPS_LONGEST + 1];

	runs = workloads = 0;
	quiet_begin();
	if (getenv("TERRACE_WORKLOAD")) {
		loop(getenv("TERRACE_WORKLOAD"), true);
	} else {
		all_of(1, loop, 1);
		all_of(2, loop, 8);
		all_of(3, loop, 800);
		for (unsigned i = ops_env("TERRACE_RANDOM", 10); i > 0; i--) {
			ops_workload_random(&dice, workload);
			loop(workload, getenv("TERRACE_RANDOM") != NULL);
		}
	}
	quiet_end();
	printf("%lu runs of %lu workloads with %s\n", runs, workloads, what);
}

/* Nothing fails: everything is there, whatever comes after it. */
static void loop_untouched(const char *workload, bool every)
{
	(void)every;
	workloads++;
	run_io(workload, 1u << 30, 0, (unsigned)dice_roll(&dice, WAYS));
}

static void test_untouched(void **state)
{
	(void)state;
	enumerate(loop_untouched, "nothing failing");
}

static void test_io_faults(void **state)
{
	(void)state;
	enumerate(loop_io, "failing calls");
}

static bool run_alloc(const char *workload, unsigned long n)
{
	int fds = fault_open_fds();
	unsigned way = (unsigned)dice_roll(&dice, WAYS);
	unsigned long failed;

	snprintf(run_name, sizeof(run_name), "workload %s, allocation %lu, way %u", workload, n,
		 way);
	begin();
	ops.pause = ops.model = pause_alloc;
	alloc_persistent = dice_roll(&dice, 2);
	alloc_countdown = n;
	alloc_failed = 0;
	alloc_live = 0;
	alloc_armed = true;
	ops_run(&ops, workload);
	alloc_armed = false;
	failed = alloc_failed;
	check_all(workload, way);
	end(fds);
	return failed != 0;
}

static void loop_alloc(const char *workload, bool every)
{
	unsigned long n = every ? 1 : 1 + (unsigned long)dice_roll(&dice, 40);

	workloads++;
	while (run_alloc(workload, n++) && every)
		;
}

static void test_failing_allocations(void **state)
{
	(void)state;
	if (!ALLOC_FAULTS)
		skip();
	enumerate(loop_alloc, "failing allocations");
}

/* A failed test leaves its folders behind otherwise. */
static int tidy(void **state)
{
	(void)state;
	fault_disarm();
	alloc_armed = false;
	quiet_end();
	fix_pool_tidy(&fix, run_name);
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_untouched, tidy),
		cmocka_unit_test_teardown(test_io_faults, tidy),
		cmocka_unit_test_teardown(test_failing_allocations, tidy),
	};

	dice_init(&dice, "test_fs_faults");
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
