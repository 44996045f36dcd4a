// SPDX-License-Identifier: Apache-2.0
/*
 * The metadata store through its header: both engines through the same tests, then what only the
 * engine on LMDB has.
 */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "compress/bytes.h"
#include "tests/unit/fix_place.h"
#include "tiers/meta.h"

static struct place place;

static int open_at(struct meta **out, bool create, size_t memtable, struct meta_recovery *recovery)
{
	struct meta_options options;

	place_options(&place, create, memtable, &options);
	return meta_open_lmdb(out, &options, recovery);
}

static void batch_put(struct meta_batch *batch, const char *key, const char *value)
{
	assert_int_equal(meta_batch_put(batch, key, strlen(key), value, strlen(value)), 0);
}

static void put(struct meta *meta, const char *key, const char *value)
{
	struct meta_batch *batch;

	assert_int_equal(meta_batch_new(&batch), 0);
	batch_put(batch, key, value);
	assert_int_equal(meta_apply(meta, batch, NULL), 0);
	meta_batch_free(batch);
}

static void del(struct meta *meta, const char *key)
{
	struct meta_batch *batch;

	assert_int_equal(meta_batch_new(&batch), 0);
	assert_int_equal(meta_batch_del(batch, key, strlen(key)), 0);
	assert_int_equal(meta_apply(meta, batch, NULL), 0);
	meta_batch_free(batch);
}

static void checkpoint(struct meta *meta)
{
	assert_int_equal(meta_freeze(meta), 0);
	assert_int_equal(meta_checkpoint(meta), 0);
}

static void expect(struct meta *meta, const char *key, const char *value)
{
	char buf[128];
	size_t len;
	int rc = meta_get(meta, key, strlen(key), buf, sizeof(buf), &len);

	if (!value) {
		assert_int_equal(rc, -ENOENT);
		return;
	}
	assert_int_equal(rc, 0);
	assert_int_equal(len, strlen(value));
	assert_memory_equal(buf, value, len);
}

/* Keys of a walk, one after another with a space. */
static void expect_walk(struct meta *meta, const char *prefix, const char *start, const char *keys)
{
	struct meta_cursor *cursor;
	struct meta_item item;
	char seen[512] = "";
	size_t at = 0;
	int rc;

	assert_int_equal(meta_cursor_open(meta, prefix, strlen(prefix), start,
					  start ? strlen(start) : 0, &cursor),
			 0);
	while (!(rc = meta_cursor_next(cursor, &item)))
		at += (size_t)snprintf(seen + at, sizeof(seen) - at, "%.*s ", (int)item.key_len,
				       (const char *)item.key);
	assert_int_equal(rc, -ENOENT);
	assert_int_equal(meta_cursor_next(cursor, &item), -ENOENT);
	meta_cursor_close(cursor);
	assert_string_equal(seen, keys);
}

/* Both engines. -------------------------------------------------------------------------------- */

struct both {
	struct meta *meta;
};

static int setup_memory(void **state)
{
	struct both *both = calloc(1, sizeof(*both));

	*state = both;
	return !both || meta_open_memory(&both->meta);
}

static int setup_lmdb(void **state)
{
	struct both *both = calloc(1, sizeof(*both));

	*state = both;
	place_make(&place);
	return !both || open_at(&both->meta, true, 0, NULL);
}

static int teardown(void **state)
{
	struct both *both = *state;
	int rc = meta_close(both->meta);

	if (place.dir[0])
		place_remove(&place);
	place.dir[0] = '\0';
	free(both);
	return rc;
}

static void test_words(void **state)
{
	struct meta *meta = ((struct both *)*state)->meta;
	char small[2];
	size_t len;

	expect(meta, "a", NULL);
	put(meta, "a", "one");
	expect(meta, "a", "one");
	put(meta, "a", "");
	expect(meta, "a", "");
	del(meta, "a");
	expect(meta, "a", NULL);
	del(meta, "never");
	put(meta, "a", "two");
	checkpoint(meta);
	expect(meta, "a", "two");
	assert_int_equal(meta_get(meta, "a", 1, small, 2, &len), -ERANGE);
	assert_int_equal(len, 3);
	del(meta, "a");
	expect(meta, "a", NULL);
	checkpoint(meta);
	expect(meta, "a", NULL);
}

static void test_batches(void **state)
{
	struct meta *meta = ((struct both *)*state)->meta;
	static uint8_t big[META_VALUE_MAX + 1];
	uint64_t seq = 0, first = meta_seq(meta);
	struct meta_batch *batch;
	int i, rc = 0;

	assert_int_equal(meta_batch_new(&batch), 0);
	assert_true(meta_batch_empty(batch));
	assert_int_equal(meta_apply(meta, batch, &seq), 0);
	assert_int_equal(seq, first);
	batch_put(batch, "x", "1");
	batch_put(batch, "y", "1");
	assert_int_equal(meta_batch_del(batch, "x", 1), 0);
	batch_put(batch, "y", "2");
	assert_false(meta_batch_empty(batch));
	assert_int_equal(meta_apply(meta, batch, &seq), 0);
	assert_int_equal(seq, first + 1);
	assert_int_equal(meta_seq(meta), first + 1);
	expect(meta, "x", NULL);
	expect(meta, "y", "2");

	meta_batch_reset(batch);
	assert_true(meta_batch_empty(batch));
	assert_int_equal(meta_batch_put(batch, big, 0, "v", 1), -EINVAL);
	assert_int_equal(meta_batch_put(batch, "z", 1, "v", 1), -EINVAL);
	assert_false(meta_batch_empty(batch)); /* so nobody passes over the error */
	assert_int_equal(meta_apply(meta, batch, NULL), -EINVAL);
	meta_batch_reset(batch);
	assert_int_equal(meta_batch_put(batch, big, META_KEY_MAX + 1, "v", 1), -EINVAL);
	meta_batch_reset(batch);
	assert_int_equal(meta_batch_put(batch, "z", 1, big, META_VALUE_MAX + 1), -EINVAL);
	meta_batch_reset(batch);
	for (i = 0; i < 20 && !rc; i++)
		rc = meta_batch_put(batch, "z", 1, big, META_VALUE_MAX);
	assert_int_equal(rc, -E2BIG);
	assert_int_equal(meta_apply(meta, batch, NULL), -E2BIG);
	expect(meta, "z", NULL);
	meta_batch_free(batch);
	meta_batch_free(NULL);
}

/* Largest key and value, in each of the places where they may be. */
static void test_limits(void **state)
{
	struct meta *meta = ((struct both *)*state)->meta;
	static uint8_t key[META_KEY_MAX], value[META_VALUE_MAX], got[META_VALUE_MAX];
	struct meta_cursor *cursor;
	struct meta_item item;
	struct meta_batch *batch;
	size_t i, len;
	int round;

	memset(key, 0xff, sizeof(key));
	for (i = 0; i < sizeof(value); i++)
		value[i] = (uint8_t)(i * 31 >> 3);
	assert_int_equal(meta_batch_new(&batch), 0);
	assert_int_equal(meta_batch_put(batch, key, sizeof(key), value, sizeof(value)), 0);
	assert_int_equal(meta_apply(meta, batch, NULL), 0);
	for (round = 0; round < 3; round++) {
		assert_int_equal(meta_get(meta, key, sizeof(key), got, sizeof(got), &len), 0);
		assert_int_equal(len, sizeof(value));
		assert_memory_equal(got, value, len);
		assert_int_equal(meta_cursor_open(meta, NULL, 0, NULL, 0, &cursor), 0);
		assert_int_equal(meta_cursor_next(cursor, &item), 0);
		assert_int_equal(item.key_len, sizeof(key));
		assert_int_equal(item.len, sizeof(value));
		assert_memory_equal(item.value, value, item.len);
		assert_int_equal(meta_cursor_next(cursor, &item), -ENOENT);
		meta_cursor_close(cursor);
		assert_int_equal(round ? meta_checkpoint(meta) : meta_freeze(meta), 0);
	}
	meta_batch_free(batch);
	assert_int_equal(meta_get(meta, key, 0, got, 1, &len), -EINVAL);
	assert_int_equal(meta_cursor_open(meta, key, META_KEY_MAX + 1, NULL, 0, &cursor), -EINVAL);
}

static void test_walks(void **state)
{
	struct meta *meta = ((struct both *)*state)->meta;

	expect_walk(meta, "", NULL, "");
	put(meta, "a1", "t");
	put(meta, "a3", "t");
	put(meta, "a5", "t");
	put(meta, "b1", "t");
	checkpoint(meta);
	put(meta, "a2", "f");
	del(meta, "a3");
	put(meta, "a5", "f");
	assert_int_equal(meta_freeze(meta), 0);
	put(meta, "a4", "l");
	put(meta, "a5", "l");
	put(meta, "a", "l");
	del(meta, "a2");
	expect_walk(meta, "a", NULL, "a a1 a4 a5 ");
	expect_walk(meta, "a", "a2", "a4 a5 ");
	expect_walk(meta, "a", "a4", "a4 a5 ");
	expect_walk(meta, "a", "0", "a a1 a4 a5 ");
	expect_walk(meta, "a", "b", "");
	expect_walk(meta, "", NULL, "a a1 a4 a5 b1 ");
	expect_walk(meta, "b", NULL, "b1 ");
	expect_walk(meta, "c", NULL, "");
	expect(meta, "a5", "l");
	assert_int_equal(meta_checkpoint(meta), 0);
	expect_walk(meta, "a", NULL, "a a1 a4 a5 ");
	checkpoint(meta);
	expect_walk(meta, "a", NULL, "a a1 a4 a5 ");
}

/* Many runs, over stretches of deleted keys, while what is walked moves into the tree. */
static void test_long_walk(void **state)
{
	struct meta *meta = ((struct both *)*state)->meta;
	struct meta_cursor *cursor;
	struct meta_item item;
	struct meta_batch *batch;
	uint8_t key[4];
	uint32_t i, seen = 0;

	assert_int_equal(meta_batch_new(&batch), 0);
	for (i = 0; i < 6000; i++) {
		put_be32(key, i);
		assert_int_equal(meta_batch_put(batch, key, 4, key, 4), 0);
	}
	assert_int_equal(meta_apply(meta, batch, NULL), 0);
	meta_batch_reset(batch);
	for (i = 1000; i < 5000; i++) {
		put_be32(key, i);
		assert_int_equal(meta_batch_del(batch, key, 4), 0);
	}
	checkpoint(meta);
	assert_int_equal(meta_apply(meta, batch, NULL), 0);
	meta_batch_free(batch);
	assert_int_equal(meta_cursor_open(meta, NULL, 0, NULL, 0, &cursor), 0);
	for (i = 0; i < 6000; i = i == 999 ? 5000 : i + 1) {
		assert_int_equal(meta_cursor_next(cursor, &item), 0);
		assert_int_equal(get_be32(item.key), i);
		if (++seen == 500)
			assert_int_equal(meta_freeze(meta), 0);
		if (seen == 700)
			assert_int_equal(meta_checkpoint(meta), 0);
	}
	assert_int_equal(meta_cursor_next(cursor, &item), -ENOENT);
	meta_cursor_close(cursor);
}

static void test_numbers(void **state)
{
	struct meta *meta = ((struct both *)*state)->meta;
	struct meta_stats stats;
	uint64_t seq = meta_seq(meta);

	put(meta, "a", "1");
	put(meta, "b", "1");
	assert_int_equal(meta_seq(meta), seq + 2);
	assert_int_equal(meta_sync(meta, seq + 1), 0);
	assert_true(meta_durable_seq(meta) >= seq + 1);
	assert_int_equal(meta_sync(meta, UINT64_MAX), 0);
	assert_int_equal(meta_durable_seq(meta), seq + 2);
	meta_stats(meta, &stats);
	assert_int_equal(stats.batches, 2);
	assert_int_equal(stats.syncs, 2);
	assert_true(stats.memtable_bytes > 0);
}

/* The engine on LMDB. -------------------------------------------------------------------------- */

static int setup_place(void **state)
{
	(void)state;
	place_make(&place);
	quiet_begin();
	return 0;
}

static int teardown_place(void **state)
{
	(void)state;
	quiet_end();
	place_remove(&place);
	place.dir[0] = '\0';
	return 0;
}

static void test_opening(void **state)
{
	struct meta_recovery recovery;
	struct meta *meta, *other;

	(void)state;
	assert_int_equal(open_at(&meta, false, 0, NULL), -ENOENT);
	assert_int_equal(open_at(&meta, true, 0, &recovery), 0);
	assert_false(recovery.tail_lost);
	assert_int_equal(open_at(&other, false, 0, NULL), -EBUSY);
	assert_non_null(strstr(quiet_last(), "another process"));
	put(meta, "a", "1");
	assert_int_equal(meta_close(meta), 0);
	assert_int_equal(open_at(&meta, true, 0, NULL), -EEXIST);
	place.uuid[0]++;
	assert_int_equal(open_at(&meta, false, 0, NULL), -ENOTUNIQ);
	place.uuid[0]--;
	assert_int_equal(open_at(&meta, false, 0, &recovery), 0);
	assert_true(recovery.clean);
	assert_false(recovery.tail_lost);
	assert_int_equal(meta_seq(meta), 1);
	expect(meta, "a", "1");
	/* Opened and changed, then the power goes: not clean any more. */
	put(meta, "b", "1");
	meta_abandon(meta);
	place_lose_tail(&place);
	assert_int_equal(open_at(&meta, false, 0, &recovery), 0);
	assert_false(recovery.clean);
	assert_true(recovery.tail_lost);
	expect(meta, "a", "1");
	expect(meta, "b", NULL);
	assert_int_equal(meta_close(meta), 0);
}

/* meta_sync(upto) takes no later batch along. */
static void test_sync_is_exact(void **state)
{
	struct meta_recovery recovery;
	struct meta *meta;

	(void)state;
	assert_int_equal(open_at(&meta, true, 0, NULL), 0);
	put(meta, "a", "1");
	put(meta, "b", "1");
	put(meta, "c", "1");
	assert_int_equal(meta_sync(meta, 2), 0);
	assert_int_equal(meta_durable_seq(meta), 2);
	meta_abandon(meta);
	place_lose_tail(&place);
	assert_int_equal(open_at(&meta, false, 0, &recovery), 0);
	assert_int_equal(recovery.journal_batches, 2);
	expect(meta, "b", "1");
	expect(meta, "c", NULL);
	assert_int_equal(meta_seq(meta), 2);
	put(meta, "d", "1");
	meta_abandon(meta);
	assert_int_equal(open_at(&meta, false, 0, &recovery), 0);
	assert_int_equal(recovery.tail_batches, 1);
	expect(meta, "d", "1");
	assert_int_equal(meta_close(meta), 0);
}

static void test_checkpoint_due(void **state)
{
	struct meta *meta;
	struct meta_stats stats;
	int i;

	(void)state;
	assert_int_equal(open_at(&meta, true, 1 << 14, NULL), 0);
	assert_false(meta_checkpoint_due(meta, 1));
	put(meta, "a", "1");
	assert_true(meta_checkpoint_due(meta, 1));
	assert_false(meta_checkpoint_due(meta, 0));
	assert_false(meta_checkpoint_due(meta, UINT64_MAX));
	assert_int_equal(meta_freeze(meta), 0);
	put(meta, "b", "1");
	assert_int_equal(meta_freeze(meta), -EBUSY);
	assert_int_equal(meta_checkpoint(meta), 0);
	assert_int_equal(meta_checkpoint(meta), 0);
	checkpoint(meta);
	assert_false(meta_checkpoint_due(meta, 1));
	for (i = 0; i < 700; i++)
		put(meta, "a", "more and more of it");
	assert_true(meta_checkpoint_due(meta, 0));
	meta_stats(meta, &stats);
	assert_int_equal(stats.checkpoints, 2);
	assert_true(stats.tree_bytes >= 4096);
	assert_true(stats.disk_bytes >= stats.tree_bytes);
	assert_int_equal(meta_close(meta), 0);
}

/* A caller that never checkpoints gets a store that does. */
static void test_emergency(void **state)
{
	struct meta *meta;
	struct meta_stats stats;
	char key[32];
	int i;

	(void)state;
	assert_int_equal(open_at(&meta, true, 1 << 14, NULL), 0);
	for (i = 0; i < 2000; i++) {
		snprintf(key, sizeof(key), "key %d", i);
		put(meta, key, "value");
		if (i == 100)
			assert_int_equal(meta_freeze(meta), 0);
	}
	meta_stats(meta, &stats);
	assert_true(stats.emergencies > 0);
	assert_true(stats.memtable_bytes < 6 << 14);
	for (i = 0; i < 2000; i += 37) {
		snprintf(key, sizeof(key), "key %d", i);
		expect(meta, key, "value");
	}
	assert_int_equal(meta_close(meta), 0);
}

struct emergency {
	struct meta *meta;
	unsigned calls;
	int error;
	uint64_t durable; /* when it was called first without an error */
};

static int emergency(void *arg)
{
	struct emergency *emergency = arg;

	if (++emergency->calls == 2)
		emergency->durable = meta_durable_seq(emergency->meta);
	return emergency->error;
}

static int apply_large(struct meta *meta, uint32_t n, size_t len)
{
	static const uint8_t value[META_VALUE_MAX];
	struct meta_batch *batch;
	uint8_t key[4];
	int rc;

	put_be32(key, n);
	assert_int_equal(meta_batch_new(&batch), 0);
	meta_batch_put(batch, key, 4, value, len);
	rc = meta_apply(meta, batch, NULL);
	meta_batch_free(batch);
	return rc;
}

/* Nothing becomes durable by itself before the caller has had his say, and nothing if he fails. */
static void emergency_at(size_t memtable_bytes, size_t len)
{
	struct emergency asked = {.error = -EIO, .durable = UINT64_MAX};
	struct meta_options options;
	uint32_t n = 0;
	int rc;

	place_options(&place, true, memtable_bytes, &options);
	options.emergency = emergency;
	options.arg = &asked;
	assert_int_equal(meta_open_lmdb(&asked.meta, &options, NULL), 0);
	while ((rc = apply_large(asked.meta, n, len)) == 0)
		n++;
	assert_int_equal(rc, -EIO);
	assert_int_equal(asked.calls, 1);
	assert_int_equal(meta_durable_seq(asked.meta), 0);
	assert_int_equal(meta_seq(asked.meta), n);
	asked.error = 0;
	while (asked.calls == 1)
		assert_int_equal(apply_large(asked.meta, n++, len), 0);
	assert_int_equal(asked.durable, 0);
	assert_true(meta_durable_seq(asked.meta) > 0);
	assert_int_equal(meta_close(asked.meta), 0);
}

static void test_emergency_memtable(void **state)
{
	(void)state;
	emergency_at(1 << 14, 100);
}

static void test_emergency_tail(void **state)
{
	(void)state;
	emergency_at(8 << 20, META_VALUE_MAX);
}

/* Tail chunks come and go; what is unsynced when the process dies spans several of them. */
static void test_large_tail(void **state)
{
	static uint8_t value[META_VALUE_MAX];
	struct meta_recovery recovery;
	struct meta_batch *batch;
	struct meta_stats stats;
	struct meta *meta;
	uint8_t key[4], got[8];
	uint32_t i;
	size_t len;

	(void)state;
	assert_int_equal(open_at(&meta, true, 8 << 20, NULL), 0);
	assert_int_equal(meta_batch_new(&batch), 0);
	for (i = 0; i < 450; i++) { /* 36 MiB through a tail of 32 */
		put_be32(key, i % 90);
		put_le32(value, i);
		meta_batch_reset(batch);
		meta_batch_put(batch, key, 4, value, sizeof(value));
		assert_int_equal(meta_apply(meta, batch, NULL), 0);
		if (i == 50)
			assert_int_equal(meta_sync(meta, 20), 0);
		if (i == 300)
			checkpoint(meta);
	}
	meta_stats(meta, &stats);
	meta_abandon(meta);
	assert_int_equal(open_at(&meta, false, 8 << 20, &recovery), 0);
	assert_int_equal(meta_seq(meta), 450);
	assert_int_equal(recovery.tail_batches, 149);
	for (i = 0; i < 90; i++) {
		put_be32(key, i);
		assert_int_equal(meta_get(meta, key, 4, got, 8, &len), -ERANGE);
		assert_int_equal(len, sizeof(value));
		assert_int_equal(meta_get(meta, key, 4, value, sizeof(value), &len), 0);
		assert_int_equal(get_le32(value), 360 + i);
	}
	/* The same bytes once more, as a group larger than a window of its checksum. */
	assert_int_equal(meta_sync(meta, UINT64_MAX), 0);
	meta_abandon(meta);
	place_lose_tail(&place);
	assert_int_equal(open_at(&meta, false, 8 << 20, &recovery), 0);
	assert_int_equal(recovery.journal_batches, 149);
	meta_batch_free(batch);
	assert_int_equal(meta_close(meta), 0);
}

/* One batch longer than what is gathered of a journal, others that are shorter, all of them on the
 * same keys: after a replay the last one on each counts. */
static void test_replay_of_long_batches(void **state)
{
	static uint8_t value[20000];
	struct meta_recovery recovery;
	struct meta_batch *batch;
	struct meta *meta;
	uint8_t key[4];
	size_t len;

	(void)state;
	assert_int_equal(open_at(&meta, true, 8 << 20, NULL), 0);
	assert_int_equal(meta_batch_new(&batch), 0);
	for (uint32_t i = 0; i < 60; i++) {
		meta_batch_reset(batch);
		for (uint32_t k = 0; k < (i % 7 == 0 ? 100 : 3); k++) {
			put_be32(key, (i + k) % 100);
			put_le32(value, i * 1000 + k);
			meta_batch_put(batch, key, 4, value, 4 + (i * k) % (sizeof(value) - 4));
		}
		put_be32(key, 1000 + i % 2);
		if (i % 3)
			meta_batch_put(batch, key, 4, value, 4);
		else
			meta_batch_del(batch, key, 4);
		assert_int_equal(meta_apply(meta, batch, NULL), 0);
	}
	assert_int_equal(meta_sync(meta, 40), 0);
	meta_abandon(meta);
	assert_int_equal(open_at(&meta, false, 8 << 20, &recovery), 0);
	assert_int_equal(recovery.journal_batches, 40);
	assert_int_equal(recovery.tail_batches, 20);
	for (uint32_t k = 0; k < 100; k++) {
		uint32_t i = 59;

		while (i % 7 && (k + 100 - i) % 100 >= 3)
			i--;
		put_be32(key, k);
		assert_int_equal(meta_get(meta, key, 4, value, sizeof(value), &len), 0);
		assert_int_equal(get_le32(value), i * 1000 + (k + 100 - i) % 100);
		assert_int_equal(len, 4 + (i * ((k + 100 - i) % 100)) % (sizeof(value) - 4));
	}
	put_be32(key, 1000);
	assert_int_equal(meta_get(meta, key, 4, value, sizeof(value), &len), 0);
	put_be32(key, 1001);
	assert_int_equal(meta_get(meta, key, 4, value, sizeof(value), &len), 0);
	meta_batch_free(batch);
	assert_int_equal(meta_close(meta), 0);
}

/* A daemon that dies again and again goes on with the journal that it finds, which must not grow
 * for ever: what was replayed makes a checkpoint due, though it takes hardly any memory. */
static void test_due_after_replay(void **state)
{
	struct meta *meta;

	(void)state;
	assert_int_equal(open_at(&meta, true, 1 << 14, NULL), 0);
	for (unsigned i = 0; i < 700; i++)
		put(meta, "a", "more and more of it");
	meta_abandon(meta);
	assert_int_equal(open_at(&meta, false, 1 << 14, NULL), 0);
	assert_true(meta_checkpoint_due(meta, 0));
	expect(meta, "a", "more and more of it");
	checkpoint(meta);
	assert_false(meta_checkpoint_due(meta, 0));
	assert_int_equal(meta_close(meta), 0);
}

/* LMDB cannot write: the checkpoint fails, nothing is lost, and the next one does it. */
static void test_checkpoint_fails(void **state)
{
	struct rlimit limit, was;
	struct meta *meta;
	char key[32];
	int i;

	(void)state;
	assert_int_equal(open_at(&meta, true, 1 << 20, NULL), 0);
	for (i = 0; i < 2000; i++) {
		snprintf(key, sizeof(key), "key %d", i);
		put(meta, key, "value");
	}
	assert_int_equal(meta_sync(meta, UINT64_MAX), 0);
	assert_int_equal(meta_freeze(meta), 0);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
	limit = was;
	limit.rlim_cur = 8192;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	i = meta_checkpoint(meta);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
	assert_int_not_equal(i, 0);
	expect(meta, "key 1999", "value");
	put(meta, "later", "1");
	expect_walk(meta, "key 199", NULL,
		    "key 199 key 1990 key 1991 key 1992 key 1993 key 1994 key 1995 key 1996 "
		    "key 1997 key 1998 key 1999 ");
	assert_int_equal(meta_freeze(meta), -EBUSY);
	assert_int_equal(meta_checkpoint(meta), 0);
	expect(meta, "key 1999", "value");
	expect(meta, "later", "1");
	assert_int_equal(meta_close(meta), 0);
}

/* A bit flipped in a stored value while the store is open gives -EBADMSG for that key and no other;
 * at the next opening, a damaged store. */
static void test_damaged_value(void **state)
{
	static const char marker[] = "a value to be found in the file";
	char path[128], buf[64];
	uint8_t *bytes, *at = NULL;
	struct meta_cursor *cursor;
	struct meta_item item;
	struct meta *meta;
	uint64_t size;
	size_t len;
	FILE *file;

	(void)state;
	assert_int_equal(open_at(&meta, true, 0, NULL), 0);
	put(meta, "a", "fine");
	put(meta, "b", marker);
	put(meta, "c", "fine");
	assert_int_equal(meta_close(meta), 0);
	assert_int_equal(open_at(&meta, false, 0, NULL), 0);
	snprintf(path, sizeof(path), "%s/metadata.mdb", place.dir);
	bytes = place_read(path, &size);
	/* Older copies of the page may hold it too. */
	while ((at = memmem(at ? at + 1 : bytes, size - (size_t)(at ? at + 1 - bytes : 0), marker,
			    sizeof(marker) - 1)))
		at[5] ^= 1;
	file = fopen(path, "r+"); /* in place: LMDB has it mapped */
	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, size, file), size);
	assert_int_equal(fclose(file), 0);
	free(bytes);
	assert_int_equal(meta_get(meta, "b", 1, buf, sizeof(buf), &len), -EBADMSG);
	assert_non_null(strstr(quiet_last(), "damaged"));
	expect(meta, "a", "fine");
	expect(meta, "c", "fine");
	assert_int_equal(meta_cursor_open(meta, NULL, 0, NULL, 0, &cursor), 0);
	assert_int_equal(meta_cursor_next(cursor, &item), 0);
	assert_int_equal(meta_cursor_next(cursor, &item), -EBADMSG);
	assert_int_equal(meta_cursor_next(cursor, &item), -EBADMSG);
	meta_cursor_close(cursor);
	meta_abandon(meta);
	assert_int_equal(open_at(&meta, false, 0, NULL), -EUCLEAN);
	assert_non_null(strstr(quiet_last(), "terrace check --repair"));
	assert_non_null(strstr(quiet_last(), "--dry-run"));
	assert_non_null(strstr(quiet_last(), "restore-metadata"));
}

#define BOTH(test)                                                     \
	cmocka_unit_test_setup_teardown(test, setup_memory, teardown), \
		cmocka_unit_test_setup_teardown(test, setup_lmdb, teardown)
#define PLACE(test) cmocka_unit_test_setup_teardown(test, setup_place, teardown_place)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(test_words),
		BOTH(test_batches),
		BOTH(test_limits),
		BOTH(test_walks),
		BOTH(test_long_walk),
		BOTH(test_numbers),
		PLACE(test_opening),
		PLACE(test_sync_is_exact),
		PLACE(test_checkpoint_due),
		PLACE(test_replay_of_long_batches),
		PLACE(test_due_after_replay),
		PLACE(test_emergency),
		PLACE(test_emergency_memtable),
		PLACE(test_emergency_tail),
		PLACE(test_large_tail),
		PLACE(test_checkpoint_fails),
		PLACE(test_damaged_value),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
