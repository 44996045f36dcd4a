// SPDX-License-Identifier: Apache-2.0
/* A process that died between the note of a cut in the RAM log and the cut's transaction: the next
 * one does the cut, whole, and what was written behind the note stays. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/fix_dir.h"
#include "tests/unit/fix_pool.h"
#include "tiers/clock.h"
#include "tiers/flush.h"
#include "tiers/io.h"
#include "tiers/object.h"
#include "tiers/pool_impl.h"

#define STORED (96u << 10)  /* in frames */
#define LEN    (128u << 10) /* the rest is in the log */

static struct fix_pool fix;
static uint8_t expected[LEN];
static struct object *object;
static uint64_t id;

static void put(const char *text, size_t off, size_t len)
{
	for (size_t i = off; i < off + len; i++)
		expected[i] = (uint8_t)text[i % strlen(text)];
	assert_int_equal(object_write(object, expected + off, len, off), 0);
}

static int setup(void **state)
{
	struct txn *txn;

	(void)state;
	log_capture();
	fix_pool_small(&fix);
	assert_int_equal(pool_create(&fix.config), 0);
	fix_pool_open(&fix);
	txn = txn_begin(fix.pool);
	assert_int_equal(object_create(txn, "a", 1, &object), 0);
	assert_int_equal(txn_commit(txn), 0);
	id = object_id(object);
	put("stored", 0, STORED);
	assert_int_equal(flush_object(object), 0);
	put("in the log", STORED, LEN - STORED);
	put("over it", 5000, 100);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fix_pool_free(&fix);
	log_release();
	return 0;
}

static void note(enum ramlog_op op, uint64_t off, uint64_t len)
{
	struct ramlog_record record;
	void *data;

	assert_int_equal(
		ramlog_reserve(fix.pool->log, op, id, off, len, clock_wall_ns(), &record, &data),
		0);
	ramlog_commit(fix.pool->log, &record);
}

/* kill -9, twice: what the first opening did holds. Then all goes to the medium, and the power. */
static void die_and_expect(size_t size)
{
	object_put(object);
	for (unsigned i = 0; i < 3; i++) {
		static uint8_t buf[LEN + 1];
		size_t got;

		if (i < 2) {
			fix_pool_crash(&fix);
		} else {
			assert_int_equal(pool_sync(fix.pool), 0);
			fix_pool_power(&fix);
		}
		fix_pool_verify(&fix);
		assert_int_equal(object_get(fix.pool, id, &object), 0);
		assert_int_equal(object_size(object), size);
		assert_int_equal(object_read(object, buf, sizeof(buf), 0, &got), 0);
		assert_int_equal(got, size);
		assert_memory_equal(buf, expected, size);
		object_put(object);
	}
	/* What was cut away does not come back when the file grows. */
	assert_int_equal(object_get(fix.pool, id, &object), 0);
	assert_int_equal(object_truncate(object, LEN), 0);
	memset(expected + size, 0, LEN - size);
	object_put(object);
	for (unsigned i = 0; i < 2; i++) {
		static uint8_t buf[LEN];
		size_t got;

		assert_int_equal(object_get(fix.pool, id, &object), 0);
		assert_int_equal(object_read(object, buf, sizeof(buf), 0, &got), 0);
		assert_int_equal(got, LEN);
		assert_memory_equal(buf, expected, LEN);
		object_put(object);
		fix_pool_crash(&fix);
	}
}

static void test_a_size(void **state)
{
	(void)state;
	note(RAMLOG_SIZE, 70001, 0);
	die_and_expect(70001);
}

static void test_a_size_within_the_log(void **state)
{
	(void)state;
	note(RAMLOG_SIZE, STORED + 1000, 0);
	die_and_expect(STORED + 1000);
}

static void test_a_hole(void **state)
{
	(void)state;
	note(RAMLOG_PUNCH, 4096, STORED); /* of frames and log */
	memset(expected + 4096, 0, STORED);
	die_and_expect(LEN);
}

static void test_what_was_written_later(void **state)
{
	(void)state;
	note(RAMLOG_PUNCH, 4096, STORED);
	memset(expected + 4096, 0, STORED);
	put("later", 10000, 3000);
	note(RAMLOG_SIZE, 20000, 0);
	put("last", 11000, 100);
	die_and_expect(20000);
}

static bool full; /* the medium of the journal */
static _Atomic bool is_journal[4096];

static int open_noted(const char *path, int flags, mode_t mode)
{
	int fd = io_ops_system.open(path, flags, mode);

	if (fd >= 0 && fd < 4096)
		is_journal[fd] = strstr(path, "/journal.") && !strstr(path, "/journal.tail");
	return fd;
}

static int no_more(int fd, int mode, off_t off, off_t len)
{
	if (full && fd < 4096 && is_journal[fd]) {
		errno = ENOSPC;
		return -1;
	}
	return io_ops_system.fallocate(fd, mode, off, len);
}

/* As many transactions of len bytes as there is room for. */
static void fill(size_t len)
{
	static const char value[60000];
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < 5000; i++) {
		struct txn *txn = txn_begin(fix.pool);

		txn_put(txn, "Pfill", 5, value, len);
		rc = txn_commit(txn);
	}
	assert_int_equal(rc, -ENOSPC);
}

/* A pool whose metadata has no room left is opened after a power loss, too. */
static void test_a_full_disk(void **state)
{
	struct io_ops ops = io_ops_system;

	(void)state;
	log_capture();
	ops.open = open_noted;
	ops.fallocate = no_more;
	io_ops_set(&ops);
	fix_pool_new(&fix, 64u << 20, false);
	full = true;
	fill(60000);
	fill(1);
	assert_int_equal(pool_cut(fix.pool), 0);
	fix_pool_power(&fix);
	fill(1); /* it is full still */
	full = false;
	fix_pool_free(&fix);
	io_ops_set(NULL);
	log_release();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_size, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_size_within_the_log, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_hole, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_was_written_later, setup, teardown),
		cmocka_unit_test(test_a_full_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
