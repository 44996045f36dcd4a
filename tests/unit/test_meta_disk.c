// SPDX-License-Identifier: Apache-2.0
/*
 * Power loss at every call of a checkpoint, those of LMDB included: until the tree holds it, the
 * journal does. (test_meta_faults cuts at the calls of the io seam, between which the tree is
 * written whole.)
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "compress/bytes.h"
#include "tests/unit/fix_disk.h"
#include "tests/unit/fix_disk_calls.h"
#include "tests/unit/fix_place.h"
#include "tiers/meta.h"

#define KEYS	60u
#define ROUNDS	3u
#define VALUE	900u
#define AT_STEP 64u

static struct place place;

/* Syncs that returned: all up to `round` is durable from this call on. */
static struct {
	size_t step;
	uint64_t round;
} synced[AT_STEP];
static unsigned nsynced;

static int open_store(struct meta **out, bool create)
{
	struct meta_options options;

	place_options(&place, create, 1 << 16, &options);
	return meta_open_lmdb(out, &options, NULL);
}

/* One batch: every key gets the round's number. */
static void write_round(struct meta *meta, uint64_t round)
{
	struct meta_batch *batch;
	uint8_t value[VALUE] = {0};
	char key[32];

	assert_int_equal(meta_batch_new(&batch), 0);
	put_le64(value, round);
	for (unsigned i = 0; i < KEYS; i++) {
		snprintf(key, sizeof(key), "key %02u", i);
		assert_int_equal(meta_batch_put(batch, key, strlen(key), value, VALUE), 0);
	}
	assert_int_equal(meta_apply(meta, batch, NULL), 0);
	meta_batch_free(batch);
}

static void note_synced(uint64_t round)
{
	assert_true(nsynced < AT_STEP);
	synced[nsynced].step = disk_steps();
	synced[nsynced++].round = round;
}

/* The round that all keys show. */
static uint64_t round_of(struct meta *meta)
{
	uint64_t round = 0;

	for (unsigned i = 0; i < KEYS; i++) {
		uint8_t value[VALUE] = {0};
		char key[32];
		size_t len;
		int rc;

		snprintf(key, sizeof(key), "key %02u", i);
		rc = meta_get(meta, key, strlen(key), value, VALUE, &len);
		assert_true(rc == 0 || rc == -ENOENT);
		if (i == 0)
			round = get_le64(value);
		assert_int_equal(get_le64(value), round);
	}
	return round;
}

static void record(void)
{
	const char *folders[] = {place.dir};
	struct meta *meta;

	place_make(&place);
	assert_int_equal(open_store(&meta, true), 0);
	assert_int_equal(meta_close(meta), 0);
	nsynced = 0;
	disk_record(folders, 1);
	assert_int_equal(open_store(&meta, false), 0);
	for (uint64_t round = 1; round <= ROUNDS; round++) {
		write_round(meta, round);
		if (round != 2) {
			assert_int_equal(meta_sync(meta, meta_seq(meta)), 0);
			note_synced(round);
		}
		assert_int_equal(meta_freeze(meta), 0);
		assert_int_equal(meta_checkpoint(meta), 0);
		note_synced(round);
	}
	disk_stop();
	meta_abandon(meta);
}

static void expect_at(size_t step, enum disk_outcome outcome)
{
	uint64_t least = 0, round;
	struct meta *meta;

	for (unsigned i = 0; i < nsynced; i++)
		if (synced[i].step <= step)
			least = synced[i].round;
	disk_make(&outcome, step * 7 + 1);
	place_lose_tail(&place);
	if (open_store(&meta, false) < 0)
		fail_msg("call %zu, outcome %d: not opened: %s", step, outcome, quiet_last());
	round = round_of(meta);
	if (round < least)
		fail_msg("call %zu, outcome %d: round %llu, and %llu was synced", step, outcome,
			 (unsigned long long)round, (unsigned long long)least);
	meta_abandon(meta);
}

static void test_a_checkpoint_cut_at_every_call(void **state)
{
	size_t steps;

	(void)state;
	quiet_begin();
	record();
	steps = disk_steps();
	assert_true(steps > 30);
	for (size_t step = 0; step <= steps; step++) {
		disk_at(step);
		for (unsigned outcome = 0; outcome < DISK_OUTCOMES; outcome++)
			expect_at(step, (enum disk_outcome)outcome);
	}
	quiet_end();
	disk_release();
	place_remove(&place);
	printf("%zu calls\n", steps);
}

/* What the next daemon finds in the page cache was never on the medium, and is not synced by a sync
 * alone. */
static void test_a_sync_fails_and_the_daemon_dies(void **state)
{
	const char *folders[] = {place.dir};
	struct meta *meta;
	size_t steps;

	(void)state;
	quiet_begin();
	place_make(&place);
	assert_int_equal(open_store(&meta, true), 0);
	assert_int_equal(meta_close(meta), 0);
	nsynced = 0;
	disk_record(folders, 1);
	assert_int_equal(open_store(&meta, false), 0);
	write_round(meta, 1);
	assert_int_equal(meta_sync(meta, meta_seq(meta)), 0);
	write_round(meta, 2);
	disk_fail_syncs(true);
	assert_int_equal(meta_sync(meta, meta_seq(meta)), -EIO);
	meta_abandon(meta);
	disk_fail_syncs(false);
	assert_int_equal(open_store(&meta, false), 0);
	assert_int_equal(round_of(meta), 2);
	assert_int_equal(meta_sync(meta, meta_seq(meta)), 0);
	note_synced(2);
	disk_stop();
	meta_abandon(meta);
	steps = disk_steps();
	disk_at(steps);
	for (unsigned outcome = 0; outcome < DISK_OUTCOMES; outcome++)
		expect_at(steps, (enum disk_outcome)outcome);
	quiet_end();
	disk_release();
	place_remove(&place);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_checkpoint_cut_at_every_call),
		cmocka_unit_test(test_a_sync_fails_and_the_daemon_dies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
