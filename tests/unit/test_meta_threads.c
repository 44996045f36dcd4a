// SPDX-License-Identifier: Apache-2.0
/*
 * The metadata store under several threads: appliers, syncers, walkers, a checkpointer. Then the
 * process dies, or the power goes, and what must be there is. Meant for the thread sanitizer too.
 */
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compress/bytes.h"
#include "tests/unit/fix_place.h"
#include "tiers/meta.h"

#define APPLIERS 3u
#define BATCHES	 400u
#define ROUNDS	 12u
#define KEYS	 40u /* of each applier that come and go */

static struct place place;

struct shared {
	struct meta *meta;
	_Atomic bool done;
	_Atomic uint32_t wrong;
};

struct applier {
	struct shared *shared;
	uint32_t id;
	uint32_t synced; /* of its batches */
};

static int open_store(struct meta **out, bool create)
{
	struct meta_options options;

	place_options(&place, create, 1 << 17, &options);
	return meta_open_lmdb(out, &options, NULL);
}

/* Keys that stand throughout: "S" id; keys that come and go: "V" id n. Values repeat the key. */
static void *apply_run(void *arg)
{
	struct applier *applier = arg;
	struct shared *shared = applier->shared;
	struct meta_batch *batch;
	uint8_t key[9], value[64];
	uint32_t i;

	if (meta_batch_new(&batch)) {
		atomic_fetch_add(&shared->wrong, 1);
		return NULL;
	}
	for (i = 1; i <= BATCHES; i++) {
		uint64_t seq;
		size_t len;

		meta_batch_reset(batch);
		key[0] = 'S';
		put_be32(key + 1, applier->id);
		put_le32(value, i);
		meta_batch_put(batch, key, 5, value, 4);
		key[0] = 'V';
		put_be32(key + 5, i % KEYS);
		memset(value, (int)i, sizeof(value));
		if (i / KEYS % 2)
			meta_batch_del(batch, key, 9);
		else
			meta_batch_put(batch, key, 9, value, sizeof(value));
		if (meta_apply(shared->meta, batch, &seq))
			atomic_fetch_add(&shared->wrong, 1);
		if (i % 50 == 0 &&
		    (meta_sync(shared->meta, seq) || meta_durable_seq(shared->meta) < seq))
			atomic_fetch_add(&shared->wrong, 1);
		key[0] = 'S'; /* its own last word is what it reads */
		if (meta_get(shared->meta, key, 5, value, sizeof(value), &len) ||
		    get_le32(value) != i)
			atomic_fetch_add(&shared->wrong, 1);
	}
	meta_batch_free(batch);
	return NULL;
}

static void *walk_run(void *arg)
{
	struct shared *shared = arg;

	while (!atomic_load(&shared->done)) {
		struct meta_cursor *cursor;
		struct meta_item item;
		uint32_t standing = 0;
		uint8_t last[16] = {0};

		if (meta_cursor_open(shared->meta, NULL, 0, NULL, 0, &cursor)) {
			atomic_fetch_add(&shared->wrong, 1);
			continue;
		}
		while (!meta_cursor_next(cursor, &item)) {
			size_t i;

			if (memcmp(item.key, last, item.key_len) <= 0)
				atomic_fetch_add(&shared->wrong, 1);
			memset(last, 0, sizeof(last));
			memcpy(last, item.key, item.key_len);
			standing += item.key[0] == 'S';
			for (i = 1; item.key[0] == 'V' && i < item.len; i++)
				if (item.value[i] != item.value[0])
					atomic_fetch_add(&shared->wrong, 1);
		}
		meta_cursor_close(cursor);
		if (standing != APPLIERS)
			atomic_fetch_add(&shared->wrong, 1);
	}
	return NULL;
}

static void *checkpoint_run(void *arg)
{
	struct shared *shared = arg;

	while (!atomic_load(&shared->done)) {
		int rc = meta_freeze(shared->meta);
		struct meta_stats stats;

		if ((rc && rc != -EBUSY) || meta_checkpoint(shared->meta))
			atomic_fetch_add(&shared->wrong, 1);
		meta_checkpoint_due(shared->meta, 1000000);
		meta_stats(shared->meta, &stats);
	}
	return NULL;
}

static void standing_make(struct meta *meta)
{
	struct meta_batch *batch;
	uint8_t key[5] = {'S'}, value[4] = {0};
	uint32_t id;

	assert_int_equal(meta_batch_new(&batch), 0);
	for (id = 0; id < APPLIERS; id++) {
		put_be32(key + 1, id);
		meta_batch_put(batch, key, 5, value, 4);
	}
	assert_int_equal(meta_apply(meta, batch, NULL), 0);
	meta_batch_free(batch);
}

static void threads_run(struct shared *shared, struct applier applier[APPLIERS])
{
	pthread_t appliers[APPLIERS], walkers[2], checkpointer;
	uint32_t i;

	for (i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&walkers[i], NULL, walk_run, shared), 0);
	assert_int_equal(pthread_create(&checkpointer, NULL, checkpoint_run, shared), 0);
	for (i = 0; i < APPLIERS; i++) {
		applier[i] = (struct applier){shared, i, 0};
		assert_int_equal(pthread_create(&appliers[i], NULL, apply_run, &applier[i]), 0);
	}
	for (i = 0; i < APPLIERS; i++)
		pthread_join(appliers[i], NULL);
	atomic_store(&shared->done, true);
	for (i = 0; i < 2; i++)
		pthread_join(walkers[i], NULL);
	pthread_join(checkpointer, NULL);
	assert_int_equal(shared->wrong, 0);
}

static void round_run(bool power_loss)
{
	struct shared shared = {0};
	struct applier applier[APPLIERS];
	uint8_t key[5] = {'S'}, value[8];
	uint64_t seq, durable;
	uint32_t i;
	size_t len;

	place_make(&place);
	assert_int_equal(open_store(&shared.meta, true), 0);
	standing_make(shared.meta);
	threads_run(&shared, applier);
	seq = meta_seq(shared.meta);
	durable = meta_durable_seq(shared.meta);
	assert_int_equal(seq, 1 + APPLIERS * BATCHES);
	meta_abandon(shared.meta);
	if (power_loss)
		place_lose_tail(&place);
	assert_int_equal(open_store(&shared.meta, false), 0);
	assert_int_equal(meta_seq(shared.meta), power_loss ? durable : seq);
	for (i = 0; i < APPLIERS; i++) {
		put_be32(key + 1, i);
		assert_int_equal(meta_get(shared.meta, key, 5, value, 8, &len), 0);
		assert_in_range(get_le32(value), power_loss ? applier[i].synced : BATCHES, BATCHES);
	}
	assert_int_equal(meta_close(shared.meta), 0);
	place_remove(&place);
}

static void test_threads(void **state)
{
	uint32_t i;

	(void)state;
	for (i = 0; i < ROUNDS; i++)
		round_run(i % 3 != 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
