// SPDX-License-Identifier: Apache-2.0
/*
 * Objects with very many extents: a transaction's batch is bounded (META_BATCH_MAX), a file's
 * number of extents is not.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <cmocka.h>

#include "tests/unit/fix_pool.h"
#include "tiers/object.h"

#define RAM    (64u << 20)
#define PIECE  512u
#define STRIDE (64u << 10)

static struct object *object_make(struct fix_pool *fix)
{
	struct txn *txn = txn_begin(fix->pool);
	struct object *object;

	assert_int_equal(object_create(txn, "attr", 4, &object), 0);
	assert_int_equal(txn_commit(txn), 0);
	return object;
}

/* Piece i holds its number; round tells rewrites apart. */
static void piece_write(struct object *object, uint32_t i, uint32_t round)
{
	uint32_t buf[PIECE / 4];

	for (uint32_t k = 0; k < PIECE / 4; k++)
		buf[k] = i * 16 + round;
	assert_int_equal(object_write(object, buf, sizeof(buf), (uint64_t)i * STRIDE), 0);
}

static void piece_check(struct object *object, uint32_t i, uint32_t round)
{
	uint32_t buf[PIECE / 4];
	size_t got;

	assert_int_equal(object_read(object, buf, sizeof(buf), (uint64_t)i * STRIDE, &got), 0);
	assert_int_equal(got, sizeof(buf));
	assert_int_equal(buf[0], i * 16 + round);
	assert_int_equal(buf[PIECE / 4 - 1], i * 16 + round);
}

/* Many extents in one flush; then a change at both ends of the map; then all of it, moved. */
static void test_scattered(void **state)
{
	const uint32_t n = 40000;
	struct fix_pool fix;
	struct object *object;
	uint64_t id;

	(void)state;
	fix_pool_new(&fix, RAM, false);
	object = object_make(&fix);
	id = object_id(object);
	for (uint32_t i = 0; i < n; i++)
		piece_write(object, i, 0);
	assert_int_equal(object_sync(object), 0);
	piece_write(object, 0, 1);
	piece_write(object, n - 1, 1);
	assert_int_equal(object_sync(object), 0);
	for (uint32_t i = 0; i < n; i += 2)
		piece_write(object, i, 2);
	assert_int_equal(pool_sync(fix.pool), 0);
	fix_pool_verify(&fix);
	assert_int_equal(pool_move(fix.pool, &id, 1, 2, NULL), 0);
	fix_pool_verify(&fix);
	object_put(object);
	fix_pool_power(&fix);
	assert_int_equal(object_get(fix.pool, id, &object), 0);
	for (uint32_t i = 0; i < n; i++)
		piece_check(object, i, i % 2 == 0 ? 2 : i == n - 1 ? 1 : 0);
	object_put(object);
	fix_pool_free(&fix);
}

/* A large hole shared over many extents goes in steps. */
static void test_clone_over(void **state)
{
	const uint32_t n = 40000;
	struct fix_pool fix;
	struct object *from, *to;
	uint64_t size = (uint64_t)n * STRIDE, at = 0, done;

	(void)state;
	fix_pool_new(&fix, RAM, false);
	from = object_make(&fix);
	to = object_make(&fix);
	assert_int_equal(object_truncate(from, size), 0);
	for (uint32_t i = 0; i < n; i++)
		piece_write(to, i, 0);
	while (at < size) {
		assert_int_equal(object_clone(from, at, to, at, size - at, &done), 0);
		assert_true(done > 0);
		at += done;
	}
	assert_int_equal(object_seek(to, 0, SEEK_DATA, &at), -ENXIO);
	fix_pool_verify(&fix);
	object_put(from);
	object_put(to);
	fix_pool_free(&fix);
}

/* Two clones from one frame to one place, the second shorter: the end of the first is found by a
 * move. */
static void test_clone_twice(void **state)
{
	struct pool_usage usage;
	struct fix_pool fix;
	struct object *from, *to;
	char *buf = calloc(1, 128u << 10);
	uint64_t id, done;
	struct txn *txn;

	(void)state;
	fix_pool_new(&fix, RAM, false);
	from = object_make(&fix);
	to = object_make(&fix);
	id = object_id(to);
	assert_int_equal(object_write(from, buf, 128u << 10, 0), 0);
	assert_int_equal(object_clone(from, 0, to, 0, 100u << 10, &done), 0);
	assert_int_equal(object_clone(from, 100u << 10, to, 0, 4u << 10, &done), 0);
	txn = txn_begin(fix.pool);
	assert_int_equal(object_delete(txn, from), 0);
	assert_int_equal(txn_commit(txn), 0);
	object_put(from);
	assert_int_equal(pool_move(fix.pool, &id, 1, 2, NULL), 0);
	pool_usage(fix.pool, &usage);
	assert_int_equal(usage.tiers[1].logical, 0);
	assert_int_equal(usage.tiers[2].logical, 100u << 10);
	fix_pool_verify(&fix);
	object_put(to);
	fix_pool_free(&fix);
	free(buf);
}

static long peak_kib(void)
{
	struct rusage usage;

	assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
	return usage.ru_maxrss;
}

/* A clone over most of the one before, again and again: so many extents of one byte in one frame,
 * each within the reach of all records before it. A move finds each once. */
static void test_clone_shifted(void **state)
{
	const uint32_t n = 3000, len = 100u << 10;
	struct fix_pool fix;
	struct object *from, *to, *other;
	uint8_t *buf = malloc(len), *got = malloc(len + n);
	struct pool_usage usage;
	uint64_t ids[3], done;
	size_t size;
	long before;

	(void)state;
	for (uint32_t i = 0; i < len; i++)
		buf[i] = (uint8_t)(i * 7 + i / 251);
	fix_pool_new(&fix, RAM, false);
	from = object_make(&fix);
	to = object_make(&fix);
	ids[0] = object_id(from);
	ids[1] = object_id(to);
	other = object_make(&fix);
	ids[2] = object_id(other);
	assert_int_equal(object_write(from, buf, len, 0), 0);
	assert_int_equal(object_clone(from, 0, other, 0, 4096, &done), 0);
	assert_int_equal(object_clone(from, 0, other, 1 << 20, 4096, &done), 0);
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(object_clone(from, 0, to, i, len, &done), 0);
	before = peak_kib();
	assert_int_equal(pool_move(fix.pool, ids, 3, 2, NULL), 0);
	assert_true(peak_kib() - before < 64 << 10);
	pool_usage(fix.pool, &usage);
	assert_int_equal(usage.tiers[1].logical, 0);
	fix_pool_verify(&fix);
	assert_int_equal(object_read(to, got, len + n, 0, &size), 0);
	assert_int_equal(size, len + n - 1);
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(got[i], buf[0]);
	assert_memory_equal(got + n - 1, buf, len);
	object_put(from);
	object_put(to);
	object_put(other);
	fix_pool_free(&fix);
	free(buf);
	free(got);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clone_shifted), /* first: its memory is seen as a peak */
		cmocka_unit_test(test_scattered),
		cmocka_unit_test(test_clone_over),
		cmocka_unit_test(test_clone_twice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
