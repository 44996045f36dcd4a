// SPDX-License-Identifier: Apache-2.0
/* Long work on whole media steps back: as fast as was asked for, and behind everybody else. */
#include <linux/ioprio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/unit/fix_pool.h"
#include "tiers/clock.h"
#include "tiers/engine/slow.h"
#include "tiers/pool_impl.h"

#define MS UINT64_C(1000000)

static struct fix_pool fix;

static int setup(void **state)
{
	(void)state;
	fix_pool_small(&fix);
	if (pool_create(&fix.config))
		return -1;
	fix_pool_open(&fix);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fix_pool_free(&fix);
	return 0;
}

/* How long it waits after 1 MiB that took no time. */
static uint64_t waited(uint64_t bytes_per_s, const struct move_progress *progress)
{
	struct pace pace = {0};
	uint64_t began = clock_mono_ns();

	slow_down(fix.pool, &pace, bytes_per_s, 1 << 20, 0, progress);
	return clock_mono_ns() - began;
}

/* Ten MiB a second, once with the kernel asked whether others wait. */
static void test_limit(void **state)
{
	(void)state;
	fix.pool->tunables.move_pressure = 0;
	assert_true(waited(0, NULL) < 50 * MS);
	assert_true(waited(10 << 20, NULL) >= 100 * MS);
	fix.pool->tunables.move_pressure = 100;
	assert_true(waited(10 << 20, NULL) >= 100 * MS);
}

/* Nobody waits a minute for work that has been called off, or for a pool that closes. */
static void test_called_off(void **state)
{
	struct move_progress progress = {.cancel = true};

	(void)state;
	fix.pool->tunables.move_pressure = 0;
	assert_true(waited(1 << 14, &progress) < 5000 * MS);
	progress.cancel = false;
	fix.pool->stopping = true;
	assert_true(waited(1 << 14, &progress) < 5000 * MS);
	fix.pool->stopping = false;
	assert_true(waited(10 << 20, &progress) >= 100 * MS);
}

static int priority(void)
{
	return (int)syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0);
}

static void test_step_back(void **state)
{
	int begun = priority(), before = slow_step_back();

	(void)state;
	assert_int_equal(before, begun);
	assert_int_equal(IOPRIO_PRIO_CLASS(priority()), IOPRIO_CLASS_IDLE);
	slow_restore(-1); /* it was not known */
	assert_int_equal(IOPRIO_PRIO_CLASS(priority()), IOPRIO_CLASS_IDLE);
	slow_restore(before);
	assert_int_equal(priority(), begun);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_called_off),
		cmocka_unit_test(test_step_back),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
