// SPDX-License-Identifier: Apache-2.0
/*
 * Power loop over the pool: workloads of a few steps are recorded at the level of system calls, and
 * for every call of each the folders are made as the power loss after it may have left them: each
 * medium (ssd, hdd, metadata) with its own outcome, the RAM tier's files gone. The pool must open,
 * what was synced must be there, the namespace must be that of one moment, and no object may show
 * bytes that it never held (promises 1 and 2).
 *
 * By default, at two of three calls, drawn at random, the outcome in which all is lost is tried,
 * and a part of the others of the cross product. TERRACE_STEPS=n tries all, and n random workloads
 * beside; TERRACE_WORKLOAD=... only that one; TERRACE_SEED repeats a run.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/fix_depth.h"
#include "tests/unit/fix_disk.h"
#include "tests/unit/fix_disk_calls.h"
#include "tests/unit/fix_place.h"
#include "tests/unit/fix_pool.h"
#include "tests/unit/fix_work.h"
#include "tiers/object.h"

#define MEDIA_MAX 5u

static const char *const workloads[] = {
	/* One thing each, on something that was synced before. */
	"c0w0s0w0S-",
	"c0w0a0s0a0o0s0",
	"c0w0S-o0S-R-o0S-R-K-",
	"c0w0s0t0g0s0p0s0",
	"c0c1w0w1s0l0s1o0x0S-",
	"c0w0s0x0S-R-",
	"c0c1w0w1s0a1a0t0s1",
	"c0c1w0w1s0a1a0p0s1C-o0s1",
	/* Moves, and what happens around them. */
	"c0c1w0w1s0d0R-d1R-",
	"c0w0s0d0o0s0u0R-S-",
	"c0c1w0w1l0S-d0x0R-d1S-R-",
	/* ... with somebody at work on the same objects in the middle. */
	"c0c1w0w1l0S-^3o0t1x0d1R-",
	"c0c1w0w1l0S-%2w0l1d0C-R-",
	"c0c1w0w1S-^1l0d1R-C-",
	"c0c1w0w1l0S-^2t0l0d1R-E2",
	"c0c1w0w1S-^3t0a1w1f-R-u1",
	"c0c1w0w1S-f-^1o1h1S-h0",
	"c0c1W0W1S-d0^1w1e0R-",
	/* Places and codings that people ask for. */
	"c0c1w0w1S-i0z1^1o1y1I0",
	"c0w0S-z0q0n0i0C-I0R-",
	/* Cleaning. */
	"c0c1c2w0w1w2S-x1L-^1o2v-R-",
	"c0c1c2w0w1w2S-o0p1S-L-v-v-w0O-",
	/* Tiers and directories that are emptied, added, taken out. */
	"c0c1w0w1S-d0^1w1E1R-N1w1s1",
	"c0c1w0w1S-d0^2t0c2E2R-C-",
	"c0c1w0w1S-A-d0^1w0D0d1R-",
	"c0w0S-A-D0d0N2D1R-B-w0S-",
	"c0w0A-D0i0C-D1N2B-R-O-",
	/* Freed space: given back only when that is durable. */
	"c0c1c2w0w1w2S-L-o0R-w0R-w1R-S-R-",
	"c0w0S-L-w0R-K-R-w0L-O-",
	"c0W0S-L-x0R-R-",
	"c0w0s0L-w0s0x0R-c1w1R-s1",
	"c0c1c2w0s0w1s1w2s2x0S-x1R-",
	"c0c1c2w0w1w2s2x1s2x0R-x2R-",
	/* Files replaced by rename. */
	"c0w0s0r0S-r0R-",
	"c0c1w0w1s0r0w1r1s1",
	"c0w0s0r0C-c1s1",
	/* Plain objects: turns, and what is written to them. */
	"c0w0P0s0o0s0",
	"c0w0s0P0o0s0a0t0",
	"c0w0S-P0o0S-F0R-S-",
	"c0P0w0s0o0F0s0P0",
	"c0c1w0w1s0s1P0P1o0s0o1F1R-",
	"c0w0P0s0x0S-R-c1w1",
	"c0w0s0V0o0S-V0R-",
	"c0c1w0w1s0V0w1s1",
	"c0w0P0C-o0s0C-F0C-R-",
	"c0P0w0j0m0o0j0t0m0j0",
	"c0w0P0j0m0C-a0j0m0o0j0",
	"c0w0j0m0P0m0o0j0F0j0",
	"c0w0P0o0C-s0K-",
	/* The daemon dies first. */
	"c0w0s0C-o0C-s0R-",
	"c0w0S-L-w0R-K-w0x0R-C-c1w1R-",
	"c0w0S-L-w0a0d0L-C-R-C-w0R-S-",
	"c0w0s0t0C-a0C-s0p0C-g0C-s0",
	"c0c1w0w1s0l0C-s1C-o1S-",
	"c0w0K-o0K-C-K-x0K-C-",
	/* "=": everything in two directories. */
	"=c0w0s0o0S-M-R-",
	"=c0w0s0Z1M-o0s0Z0M-R-",
	"=c0c1w0w1S-d0Z1M-R-C-",
	"=c0c1w0w1S-L-Z0x0R-M-",
};

static struct fix_pool fix;
static struct work work;
static struct dice dice;
static unsigned media; /* of the pool at hand */
static unsigned long runs;
static char state_name[160]; /* the state being looked at, for messages */

static void no_pause(bool pause)
{
	(void)pause;
}

/* The media of the pool: with a file of its own, that one's folder and a spare directory too. */
static void record_begin(const char *steps)
{
	static const char *const some[MEDIA_MAX] = {"ssd", "hdd", "meta", "hdd1", "conf"};
	static const char *const both[MEDIA_MAX] = {"ssd", "hdd", "meta", "hdd1", "ssd1"};
	const char *const *names = *steps == '=' ? both : some;
	char paths[MEDIA_MAX][80];
	const char *folders[MEDIA_MAX];

	media = strpbrk(steps, "=ABD") ? 5 : 3;
	if (*steps == '=')
		fix_pool_small_mirrored(&fix);
	else if (media == 5)
		fix_pool_small_file(&fix);
	else
		fix_pool_small(&fix);
	assert_int_equal(pool_create(&fix.config), 0);
	for (unsigned i = 0; i < media; i++) {
		snprintf(paths[i], sizeof(paths[i]), "%s/%s", fix.dir, names[i]);
		folders[i] = paths[i];
	}
	disk_record(folders, media);
}

static void record(const char *steps, unsigned fail_sync)
{
	struct pool_open_options options = {.no_background = true};

	record_begin(steps);
	assert_int_equal(pool_open(&fix.config, &options, &fix.pool), 0);
	work_init(&work, &fix);
	work.clock = disk_steps;
	if (fail_sync)
		work.pause = no_pause; /* steps may fail */
	disk_fail_sync(fail_sync);
	work_run(&work, steps + fix.mirrored);
	work.pause = NULL;
	if (!fix.pool)
		fix_pool_open(&fix);
	work_check(&work);
	disk_stop();
	pool_abandon(fix.pool);
	fix.pool = NULL;
}

/* One state, after `step` calls. Now and then the pool also has to work on. */
static void check_state(const char *steps, size_t step, const enum disk_outcome *outcome)
{
	struct pool_open_options options = {.no_background = true};
	uint64_t seed = dice.state;
	int rc;

	disk_make(outcome, seed);
	fix_pool_lose_ram(&fix);
	snprintf(state_name, sizeof(state_name), "workload %s, call %zu, outcomes %d %d %d %d %d",
		 steps, step, outcome[0], outcome[1], outcome[2], media > 3 ? outcome[3] : 0,
		 media > 3 ? outcome[4] : 0);
	fix_pool_config(&fix);
	rc = pool_open(&fix.config, &options, &fix.pool);
	runs++;
	assert_int_equal(rc, 0);
	work_check_power(&work, step);
	fix_pool_verify(&fix);
	fix_pool_verify_copies(&fix);
	if (dice_roll(&dice, 8) == 0) {
		fix_pool_close(&fix);
		fix_pool_open(&fix);
		work_check_power(&work, step);
		fix_pool_verify(&fix);
		assert_int_equal(pool_sync(fix.pool), 0);
		fix_pool_verify_media(&fix, true);
	}
	pool_abandon(fix.pool);
	fix.pool = NULL;
	state_name[0] = '\0';
}

static void check_step(const char *steps, size_t step, bool all)
{
	unsigned unsynced = disk_at(step), states = 1, rare = media > 3 ? 4 : 1;

	for (unsigned i = 0; i < media; i++)
		states *= DISK_OUTCOMES;
	for (unsigned code = 0; code < states; code++) {
		enum disk_outcome outcome[MEDIA_MAX];
		bool twice = false, plain = true, lost = true;

		for (unsigned i = 0, rest = code; i < media; i++, rest /= DISK_OUTCOMES) {
			outcome[i] = (enum disk_outcome)(rest % DISK_OUTCOMES);
			twice |= outcome[i] != DISK_KEPT && !(unsynced >> i & 1);
			plain &= outcome[i] == DISK_KEPT || outcome[i] == DISK_LOST;
			lost &= outcome[i] == DISK_LOST || !(unsynced >> i & 1);
		}
		if (twice || (!all && !lost && dice_roll(&dice, rare * (plain ? 6 : 40)) != 0))
			continue;
		check_state(steps, step, outcome);
	}
}

static void run(const char *steps, bool all)
{
	size_t n;

	quiet_begin();
	record(steps, 0);
	n = disk_steps();
	for (size_t step = 0; step <= n; step++)
		if (all || step == n || dice_roll(&dice, 3 * TRIES_APART) < 2)
			check_step(steps, step, all);
	quiet_end();
	disk_release();
	work_release(&work);
	fix_pool_free(&fix);
}

/* A sync that fails has lost what it was to write: nothing may rely on it, nor on the next one. */
static void test_failed_syncs(void **state)
{
	static const char *const some[] = {"c0w0s0w0s0", "c0c1w0w1S-d0R-S-", "c0w0S-w0K-w0S-",
					   "c0w0s0r0s0L-R-"};
	bool all = getenv("TERRACE_STEPS") != NULL;

	(void)state;
	runs = 0;
	quiet_begin();
	for (size_t i = 0; i < sizeof(some) / sizeof(some[0]); i++)
		for (unsigned n = 1; n <= (all ? 40 : 12); n++) {
			record(some[i], n);
			check_step(some[i], disk_steps(), all);
			disk_release();
			work_release(&work);
			fix_pool_free(&fix);
		}
	quiet_end();
	printf("%lu states after a failed sync and a power loss\n", runs);
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

static void test_workloads(void **state)
{
	bool all = getenv("TERRACE_STEPS") != NULL;

	(void)state;
	for (size_t i = 0; i < sizeof(workloads) / sizeof(workloads[0]); i++)
		if (!getenv("TERRACE_WORKLOAD"))
			run(workloads[i], all);
	if (getenv("TERRACE_WORKLOAD"))
		run(getenv("TERRACE_WORKLOAD"), all);
	printf("%lu states after a power loss\n", runs);
}

static void test_random_workloads(void **state)
{
	static const char ops[] = "cwoatgplsxrduSSKRRLCOfhizyv";
	const char *more = getenv("TERRACE_STEPS");
	unsigned n = more ? (unsigned)atoi(more) : 2;

	(void)state;
	for (unsigned i = 0; i < n; i++) {
		char steps[40] = "c0c1w0w1";
		size_t at = strlen(steps), len = at + 2 * (4 + dice_roll(&dice, 10));

		for (; at < len; at += 2) {
			steps[at] = ops[dice_roll(&dice, sizeof(ops) - 1)];
			steps[at + 1] = (char)('0' + dice_roll(&dice, 3));
		}
		steps[at] = '\0';
		printf("%s\n", steps);
		run(steps, more != NULL);
	}
	printf("%lu states after a power loss\n", runs);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_workloads, tidy),
		cmocka_unit_test_teardown(test_random_workloads, tidy),
		cmocka_unit_test_teardown(test_failed_syncs, tidy),
	};

	dice_init(&dice, "test_pool_power");
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
