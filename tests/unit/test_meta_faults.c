// SPDX-License-Identifier: Apache-2.0
/*
 * The metadata store under faults and power cuts: every call through the io seam fails in turn, and
 * the power goes at every call in turn. What was acknowledged must be there afterwards, and the
 * state must be that of one moment.
 */
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compress/bytes.h"
#include "tests/unit/fix_cut.h"
#include "tests/unit/fix_depth.h"
#include "tests/unit/fix_fault.h"
#include "tests/unit/fix_place.h"
#include "tiers/meta.h"

#define BATCHES 14u

static struct place place;
static size_t memtable_bytes = 1 << 16;

struct acknowledged {
	uint64_t applied; /* meta_apply() returned 0 up to here */
	uint64_t durable; /* meta_sync() or meta_checkpoint() did */
};

static int open_store(struct meta **out, bool create)
{
	struct meta_options options;

	place_options(&place, create, memtable_bytes, &options);
	return meta_open_lmdb(out, &options, NULL);
}

/* Batch n moves "moving" from one key to the next and sets "count": never both, never neither. */
static int apply(struct meta *meta, uint64_t n)
{
	struct meta_batch *batch;
	uint8_t value[8];
	char key[32];
	int rc;

	assert_int_equal(meta_batch_new(&batch), 0);
	put_le64(value, n);
	meta_batch_put(batch, "count", 5, value, 8);
	snprintf(key, sizeof(key), "moving %u", (unsigned)((n - 1) % 5));
	meta_batch_del(batch, key, strlen(key));
	snprintf(key, sizeof(key), "moving %u", (unsigned)(n % 5));
	meta_batch_put(batch, key, strlen(key), value, 8);
	rc = meta_apply(meta, batch, NULL);
	meta_batch_free(batch);
	return rc;
}

/* The batch whose state this is. */
static uint64_t state_of(struct meta *meta)
{
	struct meta_cursor *cursor;
	struct meta_item item;
	uint8_t value[8];
	char key[32];
	size_t len;
	uint64_t n;
	int rc = meta_get(meta, "count", 5, value, 8, &len);

	assert_int_equal(meta_cursor_open(meta, "moving", 6, NULL, 0, &cursor), 0);
	if (rc == -ENOENT) {
		assert_int_equal(meta_cursor_next(cursor, &item), -ENOENT);
		meta_cursor_close(cursor);
		return 0;
	}
	assert_int_equal(rc, 0);
	n = get_le64(value);
	snprintf(key, sizeof(key), "moving %u", (unsigned)(n % 5));
	assert_int_equal(meta_cursor_next(cursor, &item), 0);
	assert_memory_equal(item.key, key, item.key_len);
	assert_int_equal(get_le64(item.value), n);
	assert_int_equal(meta_cursor_next(cursor, &item), -ENOENT);
	meta_cursor_close(cursor);
	return n;
}

/* What goes between the batches; errors are expected, acknowledgements noted. */
static void between(struct meta *meta, uint64_t n, struct acknowledged *ack)
{
	switch (n) {
	case 2:
	case 3:
	case 9:
	case 11:
		if (!meta_sync(meta, n - 1) && ack->durable < n - 1)
			ack->durable = n - 1 < ack->applied ? n - 1 : ack->applied;
		break;
	case 5:
	case 10:
		meta_freeze(meta);
		break;
	case 6:
	case 12:
		if (!meta_checkpoint(meta) && meta_durable_seq(meta) > ack->durable)
			ack->durable = meta_durable_seq(meta);
		break;
	default:
		break;
	}
}

static void run(struct acknowledged *ack)
{
	struct meta *meta;
	uint64_t n;

	*ack = (struct acknowledged){0};
	if (open_store(&meta, false))
		return;
	ack->applied = meta_seq(meta);
	ack->durable = meta_durable_seq(meta);
	for (n = ack->applied + 1; n <= BATCHES; n++) {
		if (apply(meta, n))
			break;
		ack->applied = n;
		between(meta, n, ack);
		assert_int_equal(state_of(meta), n);
	}
	if (n % 2) {
		meta_abandon(meta);
	} else if (!meta_close(meta)) {
		ack->durable = ack->applied;
	}
}

static void fresh(void)
{
	struct meta *meta;

	place_make(&place);
	assert_int_equal(open_store(&meta, true), 0);
	assert_int_equal(meta_close(meta), 0);
}

/* Death of the process loses nothing applied; then power loss nothing synced. */
static void check(const struct acknowledged *ack, bool tail_lost)
{
	struct meta *meta;
	uint64_t n;

	if (tail_lost)
		place_lose_tail(&place);
	assert_int_equal(open_store(&meta, false), 0);
	n = state_of(meta);
	assert_int_equal(n, meta_seq(meta));
	assert_true(n <= BATCHES);
	if (tail_lost)
		assert_true(n >= ack->durable);
	else
		assert_int_equal(n, ack->applied);
	/* And it works on from there. */
	assert_int_equal(apply(meta, n + 1), 0);
	assert_int_equal(meta_sync(meta, n + 1), 0);
	meta_abandon(meta);
	place_lose_tail(&place);
	assert_int_equal(open_store(&meta, false), 0);
	assert_int_equal(state_of(meta), n + 1);
	assert_int_equal(meta_close(meta), 0);
}

static void fault_loop(enum fault_kind kind, bool forever)
{
	uint64_t n;

	quiet_begin();
	for (n = 1;; n += TRIES_APART) {
		struct acknowledged ack;
		int fds = fault_open_fds();
		uint64_t failed;

		fresh();
		fault_arm(FAULT_ALL, n, kind, forever);
		run(&ack);
		failed = fault_disarm();
		assert_int_equal(fault_open_fds(), fds);
		/* A store that could not be opened has acknowledged nothing. */
		check(&ack, n % 2 == 0);
		place_remove(&place);
		if (!failed)
			break;
	}
	assert_true(n > 20);
	quiet_end();
}

static void test_faults_once(void **state)
{
	(void)state;
	fault_loop(FAULT_EIO, false);
	fault_loop(FAULT_ENOSPC, false);
	fault_loop(FAULT_SHORT, false);
}

static void test_faults_for_ever(void **state)
{
	(void)state;
	fault_loop(FAULT_EIO, true);
	fault_loop(FAULT_ENOSPC, true);
}

/* The power goes at every call of a store's life; or first the process dies there, another one
 * opens the store, trusts what it finds, and then the power goes. */
static void cut_loop(enum cut_kind kind, bool second, uint64_t seed)
{
	uint64_t n;
	bool cut;

	quiet_begin();
	for (n = 1;; n += TRIES_APART) {
		struct acknowledged ack;
		struct meta *meta;

		fresh();
		cut_arm(place.dir, n, n * seed);
		run(&ack);
		if (second) {
			cut_revive();
			assert_int_equal(open_store(&meta, false), 0);
			assert_true(meta_durable_seq(meta) >= ack.durable);
			ack.durable = meta_durable_seq(meta);
			meta_abandon(meta);
		}
		cut = cut_apply(kind);
		check(&ack, true);
		place_remove(&place);
		if (!cut)
			break;
	}
	assert_true(n > 20);
	quiet_end();
}

static void test_power_cuts(void **state)
{
	uint64_t seed;

	(void)state;
	cut_loop(CUT_KEPT, false, 77);
	cut_loop(CUT_LOST, false, 77);
	cut_loop(CUT_LOST, true, 77);
	for (seed = 1; seed <= 6; seed++)
		cut_loop(CUT_TORN, false, seed);
}

/* A full disk shows when a batch is applied; what frees space still can, and a checkpoint does. */
static void test_full_disk(void **state)
{
	static uint8_t value[META_VALUE_MAX];
	struct meta_batch *batch, *frees;
	struct meta *meta;
	uint32_t n = 0;
	char key[32];
	int rc = 0;

	(void)state;
	memtable_bytes = 32 << 20;
	fresh();
	quiet_begin();
	assert_int_equal(open_store(&meta, false), 0);
	assert_int_equal(meta_batch_new(&batch), 0);
	assert_int_equal(meta_batch_new(&frees), 0);
	meta_batch_del(frees, "count", 5);
	meta_batch_frees(frees);
	assert_int_equal(apply(meta, 1), 0);
	fault_arm(FAULT_ALLOCATE, 1, FAULT_ENOSPC, true);
	while (!rc && n < 10000) {
		meta_batch_reset(batch);
		snprintf(key, sizeof(key), "key %u", n);
		meta_batch_put(batch, key, strlen(key), value, 2000);
		rc = meta_apply(meta, batch, NULL);
		n += !rc;
	}
	assert_int_equal(rc, -ENOSPC);
	assert_int_equal(meta_seq(meta), 1 + n);
	for (n = 0; n < 20; n++)
		assert_int_equal(meta_apply(meta, frees, NULL), 0);
	assert_int_equal(meta_sync(meta, UINT64_MAX), 0);
	assert_int_equal(meta_freeze(meta), 0);
	assert_int_equal(meta_checkpoint(meta), 0);
	fault_disarm();
	assert_int_equal(meta_apply(meta, batch, NULL), 0);
	meta_batch_free(batch);
	meta_batch_free(frees);
	assert_int_equal(meta_close(meta), 0);
	quiet_end();
	place_remove(&place);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_faults_once),
		cmocka_unit_test(test_faults_for_ever),
		cmocka_unit_test(test_power_cuts),
		cmocka_unit_test(test_full_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
