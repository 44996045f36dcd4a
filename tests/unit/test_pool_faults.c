// SPDX-License-Identifier: Apache-2.0
/*
 * Fault loop over the pool: the n-th call through the io seam fails, once or from then on, for
 * n = 1, 2, 3, ... until a run is untouched; and the n-th allocation. A step that fails says so and
 * has been done or not; with the fault taken out everything that was acknowledged is there, now,
 * after kill -9, after closing, and, once synced, after power loss; the accounts add up; no
 * descriptor is lost (promises 1 to 3).
 *
 * TERRACE_STEPS tries every kind of fault at every call; by default calls and kinds are drawn, and
 * TERRACE_SEED repeats a run. TERRACE_WORKLOAD=... tries only that one.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/fix_alloc.h"
#include "tests/unit/fix_depth.h"
#include "tests/unit/fix_fault.h"
#include "tests/unit/fix_place.h"
#include "tests/unit/fix_pool.h"
#include "tests/unit/fix_work.h"
#include "tiers/engine/decide.h"
#include "tiers/pool_impl.h"
#include "tiers/replicate.h"

static const char before[] = "c0c1w0w1s0a1";

static const struct workload {
	const char *steps;
	unsigned moves; /* bit per enum move_reason: what an untouched run must have done */
} workloads[] = {
	{"c2w2s2", 0},
	{"w0s0", 0},
	{"o0S-R-", 0},
	{"a0t0S-", 0},
	{"p0g0s0", 0},
	{"l1s2", 0},
	{"c2l0S-", 0},
	{"x0S-R-", 0},
	{"r0s0", 0},
	{"w0K-x1", 0},
	{"L-w0O-", 0},
	{"w0C-s0", 0},
	{"t1C-O-", 0},
	/* What was asked for. */
	{"d0u0", 1u << REASON_ASKED},
	{"w1d1R-", 1u << REASON_ASKED},
	{"l0S-^2o0x1d0R-", 1u << REASON_ASKED},
	{"l0S-%2x0w1d1u1", 1u << REASON_ASKED},
	{"S-^1l0d1R-", 1u << REASON_ASKED},
	{"l0S-^2t0l0d1R-", 1u << REASON_ASKED},
	{"i0I0", 1u << REASON_PIN},
	{"z0^1w0y1", 1u << REASON_STATE},
	{"q0d0q0", 1u << REASON_ASKED},
	/* Passes. */
	{"^3t0o1x1f-v-", 1u << REASON_FULL},
	{"l0d1^1a1h1", 1u << REASON_HOT},
	{"W0W1s0d0s1^1w1e0", 1u << REASON_ROOM | 1u << REASON_HOT},
	{"c2c3w2w3S-x2x0L-^1o1v-", 1u << REASON_CLEAN},
	{"i0l0S-I1L-v-n0v-", 1u << REASON_PIN},
	/* Evacuations. */
	{"d0^2w1x0E1w1s1N1", 1u << REASON_EVACUATE},
	{"l0S-E1N1E2S-N2", 1u << REASON_EVACUATE}, /* shared frames, whole, there and back */
	{"d0d1E2S-N2", 1u << REASON_EVACUATE},
	{"d0A-w1d1^1w1D0", 1u << REASON_EVACUATE},
	{"A-D0d0d1w1N2D1B-", 1u << REASON_EVACUATE},
	/* "=": everything in two directories. */
	{"=w0s0M-", 0},
	{"=o0S-R-Z1M-w1S-", 0},
	{"=d0^1w1u0Z0M-d1M-", 1u << REASON_ASKED},
	{"=c2c3w2w3S-x2x0L-v-Z1w1s1M-R-", 1u << REASON_CLEAN},
};
#define WORKLOADS (sizeof(workloads) / sizeof(workloads[0]))

static const struct {
	enum fault_kind kind;
	bool forever;
	unsigned calls;
} kinds[] = {
	{FAULT_EIO, false, FAULT_ALL},	 {FAULT_ENOSPC, true, FAULT_ALL},
	{FAULT_SHORT, false, FAULT_ALL}, {FAULT_ENOSPC, false, FAULT_ALL},
	{FAULT_EIO, true, FAULT_ALL},	 {FAULT_ENOSPC, true, FAULT_PWRITE}, /* a full disk */
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static struct fix_pool fix;
static struct work work;
static struct dice dice;
static unsigned long runs;
static char run_name[160]; /* what is being tried, for messages */
static size_t armed;	   /* the kind of fault */

/* Calls failed before a pause: the steps after it may make no call at all. */
static uint64_t failed_before;

static void pause_io(bool pause)
{
	if (pause)
		failed_before += fault_disarm();
	else if (kinds[armed].forever)
		fault_arm(kinds[armed].calls, 1, kinds[armed].kind, true);
}

/* Those that count are whole, and those that are missing can be made. */
static void check_copies(void)
{
	struct copies_stats copies;

	fix_pool_verify_copies(&fix);
	if (!fix.mirrored)
		return;
	assert_int_equal(pool_replicate(fix.pool, true, NULL), 0);
	pool_copies(fix.pool, &copies);
	assert_int_equal(copies.under, 0);
	fix_pool_verify_copies(&fix);
	work_check(&work);
}

/* The fault is out. */
static void check_all(unsigned long way)
{
	work.pause = work.model = NULL;
	if (!fix.pool)
		fix_pool_open(&fix);
	work_check(&work);
	if (way % 5 == 4) { /* what a flush did before the fault shows no byte of its own */
		work.mixed = true;
		assert_int_equal(pool_cut(fix.pool), 0); /* somebody's fsync */
		fix_pool_power(&fix);
		work_check_power(&work, SIZE_MAX - 1);
		fix_pool_verify(&fix);
		fix_pool_close(&fix);
		return;
	}
	if (way % 5 == 0 || way % 5 == 3) {
		fix_pool_crash(&fix);
		work_check(&work);
	}
	if (way % 5 >= 2) {
		assert_int_equal(pool_sync(fix.pool), 0);
		fix_pool_power(&fix);
		work_check(&work);
	}
	fix_pool_verify(&fix);
	fix_pool_close(&fix);
	fix_pool_open(&fix);
	work_check(&work);
	fix_pool_verify(&fix);
	assert_int_equal(pool_sync(fix.pool), 0);
	fix_pool_verify_media(&fix, true);
	check_copies();
	fix_pool_close(&fix);
}

static void begin(const char *steps)
{
	if (*steps == '=')
		fix_pool_small_mirrored(&fix);
	else if (strpbrk(steps, "ABD"))
		fix_pool_small_file(&fix);
	else
		fix_pool_small(&fix);
	assert_int_equal(pool_create(&fix.config), 0);
	fix_pool_open(&fix);
	work_init(&work, &fix);
	work_run(&work, before);
}

static void end(int fds)
{
	assert_int_equal(fault_open_fds(), fds);
	work_release(&work);
	fix_pool_free(&fix);
	run_name[0] = '\0';
	runs++;
}

/* False: the fault was behind the last call. */
static bool run_io(const struct workload *workload, unsigned long n, size_t kind, unsigned long way)
{
	int fds = fault_open_fds();
	uint64_t failed;

	snprintf(run_name, sizeof(run_name), "workload %s, call %lu, kind %zu, way %lu",
		 workload->steps, n, kind, way % 5);
	begin(workload->steps);
	armed = kind;
	work.pause = pause_io;
	failed_before = 0;
	fault_arm(kinds[kind].calls, n, kinds[kind].kind, kinds[kind].forever);
	work_run(&work, workload->steps + (*workload->steps == '='));
	failed = fault_disarm() + failed_before;
	check_all(way);
	if (!failed) {
		assert_int_equal(work.moved & workload->moves, workload->moves);
		for (unsigned i = 0; i < work.nsteps; i++)
			assert_true(work.steps[i].rc >= 0);
	}
	end(fds);
	return failed != 0;
}

static void loop_io(const struct workload *workload, bool all)
{
	for (size_t turn = 0; turn < (all ? KINDS : 1); turn++) {
		unsigned long n = 1;
		size_t kind = turn;

		while (run_io(workload, n, kind, dice_roll(&dice, 5)) ||
		       (!all && (kind == 2 || kind == 5))) {
			n += all ? 1 : 1 + dice_roll(&dice, 4 * TRIES_APART);
			/* Short transfers and writes are counted among themselves: there
			 * are fewer, and the end is another. */
			if (!all)
				kind = dice_roll(&dice, KINDS);
		}
	}
}

/* Nothing fails: each does what it is for, and everything is there whatever comes after it. */
static void test_untouched(void **state)
{
	const struct workload only = {.steps = getenv("TERRACE_WORKLOAD")};

	(void)state;
	quiet_begin();
	for (size_t i = 0; i < WORKLOADS; i++)
		for (unsigned long way = 0; way < 5; way++)
			run_io(only.steps ? &only : &workloads[i], 1u << 30, 0, way);
	quiet_end();
	runs = 0;
}

static void test_io_faults(void **state)
{
	bool all = getenv("TERRACE_STEPS") != NULL;
	struct workload only = {.steps = getenv("TERRACE_WORKLOAD")};

	(void)state;
	quiet_begin();
	if (only.steps)
		loop_io(&only, all);
	for (size_t i = 0; i < WORKLOADS && !only.steps; i++)
		loop_io(&workloads[i], all);
	quiet_end();
	printf("%lu runs with failing calls\n", runs);
}

/* The disk is full in the middle of a flush, and the power goes: what is stored ends where the data
 * does. */
static void test_full_disks(void **state)
{
	static const struct workload some[] = {
		{"c2w2a2s2", 0}, {"a0a0s0", 0}, {"a1a1a1S-", 0}, {"g0a0s0", 0}};

	(void)state;
	quiet_begin();
	for (size_t i = 0; i < sizeof(some) / sizeof(some[0]); i++)
		for (unsigned long n = 1; run_io(&some[i], n, KINDS - 1, 4); n += TRIES_APART)
			;
	quiet_end();
}

/* What could not be made leaves nothing behind, and can be made afterwards. (Not where every call
 * fails: then what was made cannot be removed either.) */
static void test_creating(void **state)
{
	uint64_t failed = 1;

	(void)state;
	quiet_begin();
	for (unsigned long n = 1; failed; n++) {
		int fds = fault_open_fds(), rc;

		fix_pool_small(&fix);
		snprintf(run_name, sizeof(run_name), "create, call %lu", n);
		fault_arm(FAULT_ALL, n, n % 2 ? FAULT_EIO : FAULT_ENOSPC, false);
		rc = pool_create(&fix.config);
		failed = fault_disarm();
		assert_int_equal(fault_open_fds(), fds);
		if (rc < 0)
			assert_int_equal(pool_create(&fix.config), 0);
		fix_pool_open(&fix);
		work_init(&work, &fix);
		work_run(&work, "c0w0S-O-");
		work_check(&work);
		fix_pool_close(&fix);
		end(fds);
	}
	quiet_end();
}

static void pause_alloc(bool pause)
{
	alloc_armed = !pause;
}

static void test_failing_allocations(void **state)
{
	bool all = getenv("TERRACE_STEPS") != NULL;
	const char *only = getenv("TERRACE_WORKLOAD");

	(void)state;
	if (!ALLOC_FAULTS)
		skip();
	quiet_begin();
	runs = 0;
	for (size_t i = 0; i < WORKLOADS; i++) {
		const char *steps = only ? only : workloads[i].steps;
		unsigned long failed = 1;

		for (unsigned long n = 1; failed;
		     n += all ? 1 : 1 + dice_roll(&dice, 8 * TRIES_APART)) {
			int fds = fault_open_fds();

			snprintf(run_name, sizeof(run_name), "workload %s, allocation %lu", steps,
				 n);
			begin(steps);
			work.pause = work.model = pause_alloc;
			alloc_persistent = dice_roll(&dice, 2);
			alloc_countdown = n;
			alloc_failed = 0;
			alloc_live = 0;
			alloc_armed = true;
			work_run(&work, steps + (*steps == '='));
			alloc_armed = false;
			failed = alloc_failed;
			check_all(dice_roll(&dice, 5));
			end(fds);
		}
		if (only)
			break;
	}
	quiet_end();
	printf("%lu runs with failing allocations\n", runs);
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
		cmocka_unit_test_teardown(test_full_disks, tidy),
		cmocka_unit_test_teardown(test_creating, tidy),
		cmocka_unit_test_teardown(test_failing_allocations, tidy),
	};

	dice_init(&dice, "test_pool_faults");
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
