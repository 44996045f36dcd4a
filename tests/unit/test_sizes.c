// SPDX-License-Identifier: Apache-2.0
/* Sizes that were set, when the process dies between the batches of a flush. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/fix_fault.h"
#include "tests/unit/fix_pool.h"
#include "tests/unit/fix_place.h"
#include "tiers/object.h"

#define RAM   (64u << 20)
#define PIECE (1u << 20)
#define SIZE  (1ull << 30)

/* The log's chunk with the record of the new size is freed after the first batch. */
static void test_grown_size(void **state)
{
	struct fix_pool fix;
	struct object *object;
	struct txn *txn;
	char *buf = malloc(PIECE);
	uint64_t id;

	(void)state;
	fix_pool_new(&fix, RAM, false);
	txn = txn_begin(fix.pool);
	assert_int_equal(object_create(txn, "attr", 4, &object), 0);
	assert_int_equal(txn_commit(txn), 0);
	id = object_id(object);
	memset(buf, 'x', PIECE);
	assert_int_equal(object_write(object, buf, 4096, 0), 0);
	assert_int_equal(object_truncate(object, SIZE), 0);
	for (uint64_t i = 1; i <= 40; i++)
		assert_int_equal(object_write(object, buf, PIECE, i * PIECE), 0);
	quiet_begin();
	fault_arm(FAULT_PWRITE, 280, FAULT_EIO, true); /* in the second batch of 32 MiB */
	assert_int_not_equal(object_sync(object), 0);
	assert_true(fault_disarm() > 0);
	quiet_end();
	assert_int_equal(object_size(object), SIZE);
	object_put(object);
	fix_pool_crash(&fix);
	assert_int_equal(object_get(fix.pool, id, &object), 0);
	assert_int_equal(object_size(object), SIZE);
	object_put(object);
	fix_pool_verify(&fix);
	fix_pool_free(&fix);
	free(buf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_grown_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
