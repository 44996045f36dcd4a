// SPDX-License-Identifier: Apache-2.0
/*
 * The metadata store against a model: random batches, reads, walks, syncs, freezes, checkpoints,
 * with restarts, deaths of the process and power losses in between.
 */
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "compress/bytes.h"
#include "tests/unit/fix_place.h"
#include "tiers/meta.h"

#define MODEL_KEYS  120
#define MODEL_STEPS 3000
#define MODEL_TABLE 65536 /* bytes of memtable: small enough to fill up */

static struct place place;

struct model { /* value 0: absent */
	uint32_t now[MODEL_KEYS];
	uint32_t durable[MODEL_KEYS];
	struct { /* batches not known durable, to find the state at any group's end */
		uint64_t seq;
		uint32_t state[MODEL_KEYS];
	} past[64];
	uint32_t npast;
};

/* Keys of several lengths, in an order of their own. */
static size_t model_key(uint32_t k, uint8_t key[40])
{
	size_t len = 3 + (k % 7) * 5;

	memset(key, 'k', len);
	key[0] = (uint8_t)('A' + k % 3);
	put_be16(key + 1, (uint16_t)(k / 3));
	return len;
}

static size_t model_value(uint32_t v, uint8_t *value)
{
	size_t len = 4 + (v % 11 == 0 ? v % 5000 : v % 60);

	memset(value, (int)(v & 0xff), len);
	put_le32(value, v);
	return len;
}

static void model_check(struct meta *meta, const uint32_t *now, uint32_t k)
{
	uint8_t key[40], value[6000], got[6000];
	size_t len, want;
	int rc = meta_get(meta, key, model_key(k, key), got, sizeof(got), &len);

	assert_int_equal(rc, now[k] ? 0 : -ENOENT);
	if (rc)
		return;
	want = model_value(now[k], value);
	assert_int_equal(len, want);
	assert_memory_equal(got, value, len);
}

static void model_walk(struct meta *meta, const uint32_t *now, uint8_t type)
{
	struct meta_cursor *cursor;
	struct meta_item item;
	uint32_t k;

	assert_int_equal(meta_cursor_open(meta, &type, 1, NULL, 0, &cursor), 0);
	for (k = (uint32_t)(type - 'A'); k < MODEL_KEYS; k += 3) {
		uint8_t key[40], value[6000];

		if (!now[k])
			continue;
		assert_int_equal(meta_cursor_next(cursor, &item), 0);
		assert_int_equal(item.key_len, model_key(k, key));
		assert_memory_equal(item.key, key, item.key_len);
		assert_int_equal(item.len, model_value(now[k], value));
		assert_memory_equal(item.value, value, item.len);
	}
	assert_int_equal(meta_cursor_next(cursor, &item), -ENOENT);
	meta_cursor_close(cursor);
}

static void model_check_all(struct meta *meta, const uint32_t *now)
{
	uint32_t k;

	for (k = 0; k < MODEL_KEYS; k++)
		model_check(meta, now, k);
	model_walk(meta, now, 'A');
	model_walk(meta, now, 'B');
	model_walk(meta, now, 'C');
}

/* Everything up to seq is durable. */
static void model_durable(struct model *model, uint64_t seq)
{
	uint32_t i, kept = 0;

	for (i = 0; i < model->npast; i++) {
		if (model->past[i].seq <= seq)
			memcpy(model->durable, model->past[i].state, sizeof(model->durable));
		else
			model->past[kept++] = model->past[i];
	}
	model->npast = kept;
}

static void model_apply(struct meta *meta, struct model *model, struct dice *dice,
			struct meta_batch *batch, uint32_t stamp)
{
	uint32_t n = 1 + (uint32_t)dice_roll(dice, 5), i;
	uint64_t seq;

	meta_batch_reset(batch);
	for (i = 0; i < n; i++) {
		uint32_t k = (uint32_t)dice_roll(dice, MODEL_KEYS);
		uint8_t key[40], value[6000];
		size_t len = model_key(k, key);

		model->now[k] = dice_roll(dice, 3) ? stamp * 8 + i : 0;
		if (model->now[k])
			meta_batch_put(batch, key, len, value, model_value(model->now[k], value));
		else
			meta_batch_del(batch, key, len);
	}
	assert_int_equal(meta_apply(meta, batch, &seq), 0);
	model->past[model->npast].seq = seq;
	memcpy(model->past[model->npast++].state, model->now, sizeof(model->now));
}

static int model_open(struct meta **out, bool create, struct meta_recovery *recovery)
{
	struct meta_options options;

	place_options(&place, create, MODEL_TABLE, &options);
	return meta_open_lmdb(out, &options, recovery);
}

/* kind: 0 close, 1 kill, 2 power loss. */
static void model_restart(struct meta **meta, struct model *model, int kind)
{
	struct meta_recovery recovery;
	uint64_t seq = meta_seq(*meta), durable = meta_durable_seq(*meta);

	if (kind == 0) {
		assert_int_equal(meta_close(*meta), 0);
		durable = seq;
	} else {
		meta_abandon(*meta);
	}
	model_durable(model, durable);
	if (kind == 2) {
		place_lose_tail(&place);
		seq = durable;
		memcpy(model->now, model->durable, sizeof(model->now));
		model->npast = 0;
	}
	assert_int_equal(model_open(meta, false, &recovery), 0);
	assert_int_equal(meta_seq(*meta), seq);
	assert_int_equal(meta_durable_seq(*meta), durable);
	assert_int_equal(recovery.clean, kind == 0);
	assert_int_equal(recovery.tail_lost, kind == 2);
	assert_int_equal(recovery.tail_batches, seq - durable);
	model_check_all(*meta, model->now);
}

static void model_step(struct meta **meta, struct model *model, struct dice *dice,
		       struct meta_batch *batch, uint32_t stamp)
{
	uint64_t what = dice_roll(dice, 1000);
	int rc;

	if (what < 600 && model->npast < 60) {
		model_apply(*meta, model, dice, batch, stamp);
	} else if (what < 700) {
		uint64_t behind = dice_roll(dice, 4), seq = meta_seq(*meta), was;

		seq -= behind < seq ? behind : seq;
		was = meta_durable_seq(*meta);
		assert_int_equal(meta_sync(*meta, seq), 0);
		assert_int_equal(meta_durable_seq(*meta), was > seq ? was : seq);
		model_durable(model, meta_durable_seq(*meta));
	} else if (what < 740) {
		rc = meta_freeze(*meta);
		assert_true(rc == 0 || rc == -EBUSY);
	} else if (what < 780) {
		assert_int_equal(meta_checkpoint(*meta), 0);
		model_durable(model, meta_durable_seq(*meta));
	} else if (what < 980) {
		model_check(*meta, model->now, (uint32_t)dice_roll(dice, MODEL_KEYS));
		model_walk(*meta, model->now, (uint8_t)('A' + dice_roll(dice, 3)));
	} else {
		model_restart(meta, model, (int)dice_roll(dice, 3));
	}
}

static void test_model(void **state)
{
	struct model *model = calloc(1, sizeof(*model));
	struct meta_batch *batch;
	struct meta *meta;
	struct dice dice;
	uint32_t i;

	(void)state;
	assert_non_null(model);
	dice_init(&dice, "meta model");
	place_make(&place);
	quiet_begin();
	assert_int_equal(meta_batch_new(&batch), 0);
	assert_int_equal(model_open(&meta, true, NULL), 0);
	for (i = 1; i <= MODEL_STEPS; i++)
		model_step(&meta, model, &dice, batch, i);
	model_restart(&meta, model, 1);
	assert_int_equal(meta_close(meta), 0);
	meta_batch_free(batch);
	free(model);
	quiet_end();
	place_remove(&place);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
