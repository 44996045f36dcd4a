// SPDX-License-Identifier: Apache-2.0
/*
 * A check, and a repair, of a pool that is broken in many ways at once, while allocations and calls
 * fail: it ends with an error, or has found what there is; nothing is left open or allocated; what
 * a repair that was cut short has done, the next one takes up. Allocations and calls are drawn;
 * TERRACE_STEP=1 tries all.
 */
#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "fs/check.h"
#include "tests/unit/fix_alloc.h"
#include "tests/unit/fix_break.h"
#include "tests/unit/fix_fault.h"
#include "tests/unit/fix_place.h"

/* That can be mended, all of them together. */
static const char *const broken[] = {
	"the limit of objects",
	"a frame's live bytes",
	"the mark of a shared frame",
	"a segment's accounts",
	"a segment's length",
	"no record of a frame's place",
	"a segment file of nobody",
	"a size below the data",
	"a file's stored bytes",
	"a synced write of nobody",
	"an order to delete",
	"a file's links",
	"a name of nothing",
	"a gap before a name",
	"a folder without a name",
	"an attribute of nobody",
	"settings of nobody",
	"a frame used in the future",
	"a lost file's frames",
	"no label",
	"no counts",
	"a value: a file's record",
};
#define BROKEN (sizeof(broken) / sizeof(broken[0]))

static struct fix_break_pool pool;
static struct dice dice;
static uint64_t stride;
static unsigned found_whole; /* problems that an untouched check finds */
static unsigned long runs;

static int remove_one(const char *path, const struct stat *st, int what, struct FTW *ftw)
{
	(void)st;
	(void)what;
	(void)ftw;
	return remove(path);
}

/* The pool's folders, twice: broken, and as a repair is tried on. */
static char kept[96];

static void copy(const char *from, const char *to)
{
	char command[256];

	if (access(to, F_OK) == 0)
		assert_int_equal(nftw(to, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
	snprintf(command, sizeof(command), "cp -a --sparse=always %s %s", from, to);
	assert_int_equal(system(command), 0);
}

static int setup(void **state)
{
	const char *step = getenv("TERRACE_STEP");

	(void)state;
	quiet_begin();
	dice_init(&dice, "check faults");
	stride = step ? strtoull(step, NULL, 10) : 0;
	fix_break_new(&pool);
	for (unsigned i = 0; i < BROKEN; i++) {
		unsigned k = 0;

		while (k < fix_breaks_count && strcmp(fix_breaks[k].name, broken[i]) != 0)
			k++;
		assert_true(k < fix_breaks_count);
		fix_breaks[k].run(&pool);
	}
	snprintf(kept, sizeof(kept), "%s.kept", pool.fix.pool.dir);
	copy(pool.fix.pool.dir, kept);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fault_disarm();
	alloc_disarm();
	quiet_end();
	print_message("%lu runs\n", runs);
	nftw(kept, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	fix_break_free(&pool);
	return 0;
}

/* Steps of a loop of about `most` runs. */
static uint64_t step_of(uint64_t calls, uint64_t most)
{
	uint64_t step = stride ? stride : calls / most + 1;

	return step;
}

static void count(void *arg, const struct check_problem *problem)
{
	unsigned *n = arg;

	assert_true(*problem->what && *problem->consequence);
	++*n;
}

static int check(bool repair, bool dry, bool deep, unsigned *problems, struct check_result *result)
{
	struct fs_check_options options = {.base = {.config = &pool.fix.pool.config,
						    .repair = repair,
						    .deep = deep,
						    .problem = count,
						    .arg = problems},
					   .dry_run = dry};

	runs++;
	*problems = 0;
	return fs_check(&options, result);
}

static void test_untouched(void **state)
{
	struct check_result result;
	unsigned n;

	(void)state;
	assert_int_equal(check(true, true, true, &found_whole, &result), 0);
	assert_true(found_whole >= BROKEN);
	assert_int_equal(result.left, 0);
	assert_int_equal(check(true, false, true, &n, &result), 0);
	assert_int_equal(n, found_whole);
	assert_int_equal(check(false, false, true, &n, &result), 0);
	assert_int_equal(n, 0);
	copy(kept, pool.fix.pool.dir);
}

/* A look, with what would be mended: no memory is an error, and never a problem of the pool's. */
static void test_allocations(void **state)
{
	struct check_result result;
	unsigned long total, failed = 1;
	unsigned n;

	(void)state;
	if (!ALLOC_FAULTS)
		skip();
	alloc_arm(1ul << 40, false);
	assert_int_equal(check(true, true, true, &n, &result), 0);
	alloc_disarm();
	total = (1ul << 40) - alloc_countdown;
	for (unsigned long i = 1 + dice_roll(&dice, step_of(total, 150)); failed;
	     i += 1 + dice_roll(&dice, 2 * step_of(total, 150) - 1)) {
		int fds = fault_open_fds(), rc;

		alloc_arm(i, dice_roll(&dice, 2));
		rc = check(true, true, true, &n, &result);
		failed = alloc_disarm();
		assert_int_equal(alloc_live, 0);
		assert_int_equal(fault_open_fds(), fds);
		if (n > found_whole)
			fail_msg("allocation %lu is told of as damage", i);
		if (rc == 0)
			assert_int_equal(n, found_whole);
		else if (rc != -ENOMEM)
			fail_msg("allocation %lu: %s", i, strerror(-rc));
	}
}

static void test_calls(void **state)
{
	static const enum fault_kind kinds[] = {FAULT_EIO, FAULT_SHORT, FAULT_EINTR};
	int fds = fault_open_fds();

	(void)state;
	for (unsigned kind = 0; kind < 3; kind++) {
		uint64_t total, failed = 1;
		struct check_result result;
		unsigned n;

		fault_arm(FAULT_ALL, UINT64_MAX, kinds[kind], false);
		assert_int_equal(check(true, true, true, &n, &result), 0);
		total = fault_calls();
		fault_disarm();
		for (uint64_t i = 1 + dice_roll(&dice, step_of(total, 25)); failed;
		     i += 1 + dice_roll(&dice, 2 * step_of(total, 25) - 1)) {
			int rc;

			fault_arm(FAULT_ALL, i, kinds[kind], dice_roll(&dice, 2));
			rc = check(true, true, true, &n, &result);
			failed = fault_disarm();
			assert_int_equal(fault_open_fds(), fds);
			if (kind == 0 && failed)
				continue; /* it may be told of as damage, or end the check */
			assert_int_equal(rc, 0);
			assert_int_equal(n, found_whole);
		}
	}
}

/* Cut short, a repair is made again, and then all is well. */
static void test_repairs(void **state)
{
	uint64_t failed = 1;

	(void)state;
	for (uint64_t i = 1 + dice_roll(&dice, 30); failed; i += 1 + dice_roll(&dice, 60)) {
		struct check_result result;
		unsigned n;
		int rc;

		copy(kept, pool.fix.pool.dir);
		fault_arm(FAULT_ALL & ~(unsigned)FAULT_CLOSE, i,
			  dice_roll(&dice, 2) ? FAULT_EIO : FAULT_ENOSPC, dice_roll(&dice, 2));
		rc = check(true, false, false, &n, &result);
		failed = fault_disarm();
		if (!failed)
			assert_int_equal(rc, 0);
		for (unsigned again = 0; again < 3; again++)
			assert_int_equal(check(true, false, false, &n, &result), 0);
		if (n)
			fail_msg("call %llu: %u problems stay", (unsigned long long)i, n);
		fix_break_open(&pool);
		fix_break_verify(&pool, true);
		fix_break_close(&pool);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_untouched),
		cmocka_unit_test(test_allocations),
		cmocka_unit_test(test_calls),
		cmocka_unit_test(test_repairs),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
