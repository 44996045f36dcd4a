// SPDX-License-Identifier: Apache-2.0
/* What a power loss leaves of a file of which a flush could store only some pieces: its beginning,
 * never a piece behind one that is missing (flush.h, invariant 2). */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/fix_dir.h"
#include "tests/unit/fix_pool.h"
#include "tiers/flush.h"
#include "tiers/io.h"
#include "tiers/object.h"
#include "tiers/pool_impl.h"

#define PIECE  (32u << 10) /* a frame of fix_pool_small()'s ssd */
#define PIECES 4u

static struct fix_pool fix;
static uint8_t data[PIECES * PIECE];  /* does not shrink, so that it is on media as it is */
static const uint8_t *_Atomic spoilt; /* a write that begins or holds these 64 bytes fails */
static _Atomic unsigned failed;

static ssize_t hook_pwrite(int fd, const void *buf, size_t len, off_t off)
{
	if (spoilt && memmem(buf, len, spoilt, 64) && len < sizeof(data)) {
		failed++;
		errno = EIO;
		return -1;
	}
	return io_ops_system.pwrite(fd, buf, len, off);
}

static int setup(void **state)
{
	static struct io_ops ops;
	uint64_t x = 88172645463325252ull;

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		data[i] = (uint8_t)x;
	}
	log_capture();
	ops = io_ops_system;
	ops.pwrite = hook_pwrite;
	io_ops_set(&ops);
	fix_pool_small(&fix);
	assert_int_equal(pool_create(&fix.config), 0);
	fix_pool_open(&fix);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	spoilt = NULL;
	fix_pool_free(&fix);
	io_ops_set(NULL);
	log_release();
	return 0;
}

/* Flushes a file of which piece `bad` cannot be written anywhere; returns its number. */
static uint64_t flush_without(unsigned bad, size_t len)
{
	struct txn *txn = txn_begin(fix.pool);
	struct object *object;
	uint64_t id;

	assert_int_equal(object_create(txn, "a", 1, &object), 0);
	assert_int_equal(txn_commit(txn), 0);
	id = object_id(object);
	assert_int_equal(object_write(object, data, len, 0), 0);
	failed = 0;
	spoilt = data + bad * PIECE + PIECE / 2;
	assert_int_equal(flush_object(object), -EIO);
	assert_true(failed > 0);
	spoilt = NULL;
	object_put(object);
	return id;
}

static void expect_first(uint64_t id, size_t len)
{
	static uint8_t buf[sizeof(data)];
	struct object *object;
	size_t got;

	assert_int_equal(object_get(fix.pool, id, &object), 0);
	assert_int_equal(object_size(object), len);
	assert_int_equal(object_read(object, buf, sizeof(buf), 0, &got), 0);
	assert_int_equal(got, len);
	assert_memory_equal(buf, data, len);
	object_put(object);
}

static void test_a_power_loss_shows_the_beginning(void **state)
{
	(void)state;
	for (unsigned bad = 0; bad < PIECES; bad++) {
		uint64_t id = flush_without(bad, sizeof(data));

		assert_int_equal(pool_cut(fix.pool), 0);
		fix_pool_power(&fix);
		expect_first(id, bad * PIECE);
		fix_pool_verify(&fix);
	}
}

static void test_kill_and_retry_lose_nothing(void **state)
{
	(void)state;
	for (unsigned bad = 0; bad < PIECES; bad++) {
		uint64_t id = flush_without(bad, sizeof(data));
		struct object *object;

		expect_first(id, sizeof(data));
		fix_pool_crash(&fix);
		expect_first(id, sizeof(data));
		assert_int_equal(object_get(fix.pool, id, &object), 0);
		assert_int_equal(flush_object(object), 0);
		object_put(object);
		assert_int_equal(pool_sync(fix.pool), 0);
		fix_pool_power(&fix);
		expect_first(id, sizeof(data));
		fix_pool_verify(&fix);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_power_loss_shows_the_beginning, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_kill_and_retry_lose_nothing, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
