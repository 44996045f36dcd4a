// SPDX-License-Identifier: Apache-2.0
/* What a pass over a real pool does when it was asked for, and what it does not do twice: budgets
 * hold up the engine's own work only, and pinned data is not read again for nothing. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/fix_clock.h"
#include "tests/unit/fix_dir.h"
#include "tests/unit/fix_pool.h"
#include "tiers/clock.h"
#include "tiers/engine/engine_impl.h"
#include "tiers/io.h"
#include "tiers/pool_impl.h"

#define MIB   (1u << 20)
#define FILES 14u

static struct fix_pool fix;
static bool pinned;

static void policy(void *arg, uint64_t object, uint32_t age_s, struct object_policy *out)
{
	(void)arg;
	(void)object;
	(void)age_s;
	*out = (struct object_policy){.pin = pinned ? 1 : -1, .rule = -1, .tier = -1};
}

static bool any(void *arg)
{
	(void)arg;
	return pinned;
}

/* Bytes that are read from segments. */
static _Atomic bool is_segment[4096];
static _Atomic uint64_t bytes_read;

static int hook_open(const char *path, int flags, mode_t mode)
{
	int fd = io_ops_system.open(path, flags, mode);

	if (fd >= 0 && fd < 4096)
		is_segment[fd] = strstr(path, "/segments/") != NULL;
	return fd;
}

static ssize_t hook_pread(int fd, void *buf, size_t len, off_t off)
{
	if (fd < 4096 && is_segment[fd])
		bytes_read += len;
	return io_ops_system.pread(fd, buf, len, off);
}

static void write_file(unsigned seed)
{
	struct txn *txn = txn_begin(fix.pool);
	uint64_t state = seed + 1;
	struct object *object;
	uint8_t *buf = malloc(MIB);

	assert_int_equal(object_create(txn, "attr", 4, &object), 0);
	assert_int_equal(txn_commit(txn), 0);
	for (size_t i = 0; i < MIB; i++) {
		state = state * 6364136223846793005u + 1442695040888963407u;
		buf[i] = (uint8_t)(state >> 56);
	}
	assert_int_equal(object_write(object, buf, MIB, 0), 0);
	assert_int_equal(object_sync(object), 0);
	object_put(object);
	free(buf);
}

/* An ssd of 16 MiB that is fuller than its high watermark with data old enough to leave. */
static int setup(void **state)
{
	static struct io_ops ops;

	(void)state;
	log_capture();
	ops = io_ops_system;
	ops.open = hook_open;
	ops.pread = hook_pread;
	io_ops_set(&ops);
	pinned = false;
	fix_pool_new(&fix, 64 * MIB, false);
	fix_pool_close(&fix);
	fix.config.tiers[1].size_bytes = 16 * MIB;
	fix.config.tiers[1].segment_bytes = 4 * MIB;
	fix.config.tiers[1].high_percent = 80;
	fix.config.tiers[1].low_percent = 60;
	return 0;
}

static void begin(void)
{
	struct pool_hooks hooks = {.policy = policy, .any = any};

	fix_pool_open(&fix);
	pool_hooks_set(fix.pool, &hooks);
	for (unsigned i = 0; i < FILES; i++)
		write_file(i);
	fix_clock_tick(2 * 3600);
}

static int teardown(void **state)
{
	(void)state;
	fix_pool_verify(&fix);
	fix_pool_free(&fix);
	io_ops_set(NULL);
	log_release();
	return 0;
}

static uint64_t planned(enum move_block block)
{
	struct plan plan;
	uint64_t bytes = 0;

	assert_int_equal(pool_plan(fix.pool, &plan), 0);
	for (size_t i = 0; i < plan.nmoves; i++)
		if (plan.moves[i].block == block && plan.moves[i].to == 2)
			bytes += plan.moves[i].raw;
	plan_release(&plan);
	return bytes;
}

static uint64_t hdd_used(void)
{
	struct pool_usage usage;

	pool_usage(fix.pool, &usage);
	return usage.tiers[2].used;
}

static void test_a_budget_does_not_hold_up_what_is_asked_for(void **state)
{
	(void)state;
	fix.config.tiers[2].write_budget = 1;
	begin();
	assert_true(planned(BLOCK_BUDGET) > MIB);
	assert_int_equal(planned(BLOCK_NONE), 0);
	assert_int_equal(pool_run(fix.pool, NULL), 0);
	assert_in_range(hdd_used(), 2 * MIB, 16 * MIB);
}

static void test_a_window_does_not_hold_up_what_is_asked_for(void **state)
{
	(void)state;
	setenv("TZ", "UTC0", 1);
	/* Closed now and for hours, whatever the time is. */
	fix.config.move_window =
		strdup(clock_wall_s() / 3600 % 24 < 12 ? "20:00-21:00" : "04:00-05:00");
	begin();
	assert_true(planned(BLOCK_WINDOW) > MIB);
	assert_int_equal(planned(BLOCK_NONE), 0);
	assert_int_equal(pool_run(fix.pool, NULL), 0);
	assert_in_range(hdd_used(), 2 * MIB, 16 * MIB);
}

/* Whose bytes a frame holds is known when it is read: so that is done once an hour. */
static void test_pinned_data_is_not_read_in_each_pass(void **state)
{
	uint64_t first, second;

	(void)state;
	begin();
	pinned = true;
	bytes_read = 0;
	assert_int_equal(pool_run(fix.pool, NULL), 0);
	first = bytes_read;
	assert_true(first > MIB);
	assert_in_range(hdd_used(), 0, 65536); /* its label */
	bytes_read = 0;
	fix_clock_tick(60);
	assert_int_equal(pool_run(fix.pool, NULL), 0);
	second = bytes_read;
	assert_true(second < first / 4);
	fix_clock_tick(HELD_S + 60);
	assert_int_equal(pool_run(fix.pool, NULL), 0);
	assert_true(bytes_read > first / 2);
	pinned = false;
	fix_clock_tick(HELD_S + 60);
	assert_int_equal(pool_run(fix.pool, NULL), 0);
	assert_true(hdd_used() > 2 * MIB);
}

static _Atomic bool hdd_dead;

static ssize_t dead_pwrite(int fd, const void *buf, size_t len, off_t off)
{
	if (!hdd_dead || fd >= 4096 || !is_segment[fd])
		return io_ops_system.pwrite(fd, buf, len, off);
	errno = EIO;
	return -1;
}

/* What was chosen and did not go is still there for what comes next in the pass, and for who asks
 * how full the tiers are. */
static void test_what_stays_is_counted(void **state)
{
	static struct io_ops ops;
	const struct tier_facts *tiers;
	struct pool_usage usage;

	(void)state;
	fix.config.tiers[2].size_bytes = 64 * MIB;
	begin();
	ops = *io_ops_get();
	ops.pwrite = dead_pwrite;
	io_ops_set(&ops);
	hdd_dead = true;
	pool_run(fix.pool, NULL);
	hdd_dead = false;
	pool_usage(fix.pool, &usage);
	tiers = fix.pool->engine->facts.tiers;
	assert_true(usage.tiers[1].used > FILES * MIB);
	assert_in_range(tiers[1].used, usage.tiers[1].used - MIB / 2,
			usage.tiers[1].used + MIB / 2);
	assert_in_range(tiers[2].used, 0, MIB / 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_budget_does_not_hold_up_what_is_asked_for,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_window_does_not_hold_up_what_is_asked_for,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_pinned_data_is_not_read_in_each_pass, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_what_stays_is_counted, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
