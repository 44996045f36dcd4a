// SPDX-License-Identifier: Apache-2.0
/*
 * The pool's core: objects against a model in memory, through flushes, moves, kill -9 and power
 * loss. TERRACE_SEED repeats a run; TERRACE_STEPS makes it longer.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/unit/fix_clock.h"
#include "tests/unit/fix_pool.h"
#include "tiers/engine/engine.h"
#include "tiers/meta.h"
#include "tiers/object.h"
#include "tiers/pool_impl.h"

#define RAM (64u << 20)

static uint64_t new_object(struct fix_pool *fix)
{
	struct txn *txn = txn_begin(fix->pool);
	struct object *object;
	uint64_t id;

	assert_int_equal(object_create(txn, "attr", 4, &object), 0);
	assert_int_equal(txn_commit(txn), 0);
	id = object_id(object);
	object_put(object);
	return id;
}

static struct object *get(struct fix_pool *fix, uint64_t id)
{
	struct object *object;

	assert_int_equal(object_get(fix->pool, id, &object), 0);
	return object;
}

static void put(struct fix_pool *fix, uint64_t id, const char *text, uint64_t off)
{
	struct object *object = get(fix, id);

	assert_int_equal(object_write(object, text, strlen(text), off), 0);
	object_put(object);
}

static void check(struct fix_pool *fix, uint64_t id, const char *text, size_t len)
{
	struct object *object = get(fix, id);
	char buf[256];
	size_t got;

	assert_int_equal(object_size(object), len);
	assert_int_equal(object_read(object, buf, sizeof(buf), 0, &got), 0);
	assert_int_equal(got, len);
	assert_memory_equal(buf, text, len);
	object_put(object);
}

static void test_round_trip(void **state)
{
	struct fix_pool fix;
	struct object *object;
	uint64_t id;
	char attr[8];

	(void)state;
	fix_pool_new(&fix, RAM, false);
	id = new_object(&fix);
	put(&fix, id, "hello, world", 0);
	check(&fix, id, "hello, world", 12);
	assert_int_equal(pool_sync(fix.pool), 0);
	check(&fix, id, "hello, world", 12);
	fix_pool_verify(&fix);
	fix_pool_close(&fix);
	fix_pool_open(&fix);
	check(&fix, id, "hello, world", 12);
	object = get(&fix, id);
	assert_int_equal(object_attr(object, attr, sizeof(attr)), 4);
	assert_memory_equal(attr, "attr", 4);
	object_put(object);
	fix_pool_verify(&fix);
	fix_pool_free(&fix);
}

#define LARGE	(6u << 20)
#define A_READ	(1u << 20)
#define READERS 3u

/* Every byte tells its place. */
static uint8_t byte_at(size_t off)
{
	return (uint8_t)(off * 131 + (off >> 12) * 17 + (off >> 20));
}

static void *read_large(void *arg)
{
	struct object *object = arg;
	uint8_t *buf = malloc(A_READ);
	size_t got, bad = 0;

	for (size_t off = 0; buf && off < LARGE; off += A_READ - 1000) {
		size_t want = LARGE - off < A_READ ? LARGE - off : A_READ;

		memset(buf, 0xee, A_READ);
		if (object_read(object, buf, A_READ, off, &got) || got != want)
			bad++;
		for (size_t i = 0; i < got; i++)
			bad += buf[i] != byte_at(off + i);
	}
	free(buf);
	return buf && !bad ? NULL : arg;
}

/* Reads of many frames, decoded by several threads, by several readers at once, nothing cached. */
static void test_large_reads(void **state)
{
	pthread_t threads[READERS];
	uint8_t *bytes = malloc(LARGE);
	struct object *object;
	struct fix_pool fix;
	uint64_t id;

	(void)state;
	assert_non_null(bytes);
	for (size_t i = 0; i < LARGE; i++)
		bytes[i] = byte_at(i);
	fix_pool_new(&fix, RAM, false);
	id = new_object(&fix);
	object = get(&fix, id);
	for (size_t off = 0; off < LARGE; off += A_READ)
		assert_int_equal(object_write(object, bytes + off, A_READ, off), 0);
	object_put(object);
	fix_pool_close(&fix);
	fix_pool_open(&fix);
	object = get(&fix, id);
	for (unsigned i = 0; i < READERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, read_large, object), 0);
	for (unsigned i = 0; i < READERS; i++) {
		void *failed;

		pthread_join(threads[i], &failed);
		assert_null(failed);
	}
	object_put(object);
	fix_pool_free(&fix);
	free(bytes);
}

static void test_kill(void **state)
{
	struct fix_pool fix;
	uint64_t id;

	(void)state;
	fix_pool_new(&fix, RAM, false);
	id = new_object(&fix);
	put(&fix, id, "first", 0);
	fix_pool_crash(&fix);
	check(&fix, id, "first", 5);
	put(&fix, id, "FI", 0);
	assert_int_equal(pool_sync(fix.pool), 0);
	put(&fix, id, "r", 2);
	fix_pool_crash(&fix);
	check(&fix, id, "FIrst", 5);
	fix_pool_verify(&fix);
	fix_pool_free(&fix);
}

static void test_power(void **state)
{
	struct fix_pool fix;
	struct object *object;
	uint64_t id;

	(void)state;
	fix_pool_new(&fix, RAM, false);
	id = new_object(&fix);
	put(&fix, id, "synced", 0);
	object = get(&fix, id);
	assert_int_equal(object_sync(object), 0);
	object_put(object);
	put(&fix, id, "lost and longer", 0);
	fix_pool_power(&fix);
	check(&fix, id, "synced", 6);
	fix_pool_verify(&fix);
	fix_pool_free(&fix);
}

/* The model -------------------------------------------------------------------------------------
 */

#ifdef __SANITIZE_THREAD__ /* each step takes ten times as long */
#define STEPS_ALONE 150
#define STEPS	    600
#else
#define STEPS_ALONE 1500
#define STEPS	    1500
#endif
#define OBJECTS	  12u
#define MODEL_MAX (3u << 20)

struct model {
	uint64_t id;
	uint8_t *bytes; /* MODEL_MAX */
	size_t size;
	bool synced; /* equal to the copy below, and promised to outlive power loss */
	uint8_t *durable;
	size_t durable_size;
};

static uint64_t rng_state;

static uint64_t rnd(uint64_t below)
{
	rng_state ^= rng_state << 13;
	rng_state ^= rng_state >> 7;
	rng_state ^= rng_state << 17;
	return below ? rng_state % below : 0;
}

static void model_new(struct fix_pool *fix, struct model *model)
{
	model->id = new_object(fix);
	model->size = 0;
	model->synced = false;
	memset(model->bytes, 0, MODEL_MAX);
}

static void model_check(struct fix_pool *fix, const struct model *model)
{
	struct object *object = get(fix, model->id);
	uint8_t *buf = malloc(MODEL_MAX + 1);
	size_t got;

	assert_int_equal(object_size(object), model->size);
	assert_int_equal(object_read(object, buf, MODEL_MAX + 1, 0, &got), 0);
	assert_int_equal(got, model->size);
	if (memcmp(buf, model->bytes, model->size) != 0) {
		size_t i = 0;

		while (buf[i] == model->bytes[i])
			i++;
		fail_msg("object %llu differs from byte %zu on", (unsigned long long)model->id, i);
	}
	free(buf);
	object_put(object);
}

static void fill_random(uint8_t *p, size_t len)
{
	static const char words[] = "the quick brown fox jumps over the lazy dog ";

	if (rnd(3))
		for (size_t i = 0; i < len; i++)
			p[i] = (uint8_t)words[(i + rng_state) % (sizeof(words) - 1)];
	else
		for (size_t i = 0; i < len; i++)
			p[i] = (uint8_t)rnd(256);
}

static void step_write(struct model *model, struct object *object)
{
	size_t len = 1 + rnd(rnd(4) ? 9000 : 400000), off = rnd(MODEL_MAX - len);

	if (rnd(2))
		off = rnd(model->size + 1) % (MODEL_MAX - len);
	fill_random(model->bytes + off, len);
	assert_int_equal(object_write(object, model->bytes + off, len, off), 0);
	if (off + len > model->size)
		model->size = off + len;
	model->synced = false;
}

static void step_sync(struct model *model, struct object *object)
{
	assert_int_equal(object_sync(object), 0);
	model->synced = true;
	memcpy(model->durable, model->bytes, MODEL_MAX);
	model->durable_size = model->size;
}

/* What a database does: the records of synced writes (tiers/synced.h) and cuts between them. */
static void step_small_syncs(struct model *model, struct object *object)
{
	for (unsigned n = 1 + (unsigned)rnd(6); n > 0; n--) {
		size_t len = 1 + rnd(5000), off = rnd(model->size + 1) % (MODEL_MAX - len);

		fill_random(model->bytes + off, len);
		assert_int_equal(object_write(object, model->bytes + off, len, off), 0);
		if (off + len > model->size)
			model->size = off + len;
		model->synced = false;
		if (rnd(8) == 0) {
			size_t size = rnd(model->size + 1);

			assert_int_equal(object_truncate(object, size), 0);
			memset(model->bytes + size, 0, model->size - size);
			model->size = size;
		}
		if (rnd(8) == 0) {
			size_t at = rnd(MODEL_MAX - 1), hole = 1 + rnd(MODEL_MAX - at - 1);

			assert_int_equal(object_punch(object, hole, at), 0);
			memset(model->bytes + at, 0, hole);
		}
		if (rnd(3))
			step_sync(model, object);
	}
}

static void step_truncate(struct model *model, struct object *object)
{
	size_t size = rnd(MODEL_MAX);

	if (rnd(3) == 0)
		size = 0;
	assert_int_equal(object_truncate(object, size), 0);
	if (size < model->size)
		memset(model->bytes + size, 0, model->size - size);
	model->size = size;
	model->synced = false;
}

static void step_punch(struct model *model, struct object *object)
{
	size_t off = rnd(MODEL_MAX - 1), len = 1 + rnd(MODEL_MAX - off - 1);

	assert_int_equal(object_punch(object, len, off), 0);
	memset(model->bytes + off, 0, len);
	model->synced = false;
}

static void step_clone(struct fix_pool *fix, struct model *src, struct model *dst)
{
	size_t off, len, to;
	uint64_t done = 0;

	if (src->size < 2)
		return;
	off = rnd(src->size - 1);
	len = 1 + rnd(src->size - off - 1);
	to = rnd(MODEL_MAX - len);
	if (src == dst && off < to + len && to < off + len)
		return;
	for (size_t at = 0; at < len; at += done) {
		struct object *a = get(fix, src->id), *b = get(fix, dst->id);

		assert_int_equal(object_clone(a, off + at, b, to + at, len - at, &done), 0);
		assert_true(done > 0);
		object_put(a);
		object_put(b);
	}
	memmove(dst->bytes + to, src->bytes + off, len);
	if (to + len > dst->size)
		dst->size = to + len;
	dst->synced = false;
}

static void step_move(struct fix_pool *fix, const struct model *models)
{
	uint64_t ids[OBJECTS];
	size_t n = 0;

	for (unsigned i = 0; i < OBJECTS; i++)
		if (rnd(2))
			ids[n++] = models[i].id;
	assert_int_equal(pool_move(fix->pool, ids, n, (int)rnd(3), NULL), 0);
}

/* What people want of objects: by id, as a layer above would keep it. */
static struct object_policy wishes[64];

static void wish_policy(void *arg, uint64_t object, uint32_t age_s, struct object_policy *out)
{
	(void)arg;
	(void)age_s;
	*out = wishes[object % 64];
}

static bool wish_any(void *arg)
{
	(void)arg;
	return true;
}

static void hook(struct fix_pool *fix)
{
	pool_hooks_set(fix->pool, &(struct pool_hooks){.policy = wish_policy, .any = wish_any});
}

/* Pinned, sealed, archived or nothing of it, and placed. */
static void step_place(struct fix_pool *fix, const struct model *model)
{
	static const enum object_state states[] = {OBJECT_ACTIVE, OBJECT_ACTIVE, OBJECT_SEALED,
						   OBJECT_ARCHIVED};
	struct object_policy *wish = &wishes[model->id % 64];

	wish->pin = rnd(3) ? -1 : 1 + (int)rnd(2);
	wish->state = states[rnd(4)];
	assert_int_equal(pool_place(fix->pool, &model->id, 1, NULL), 0);
}

/* A pass, with a tier that is too full now and then, and sealed segments to clean. */
static void step_pass(struct fix_pool *fix)
{
	uint32_t high = rnd(2) ? 0 : 90;

	fix_clock_tick(2 * 3600);
	for (uint32_t t = 1; t < 3 && rnd(2); t++)
		appender_roll(fix->pool->tiers[t].appender);
	pthread_rwlock_wrlock(&fix->pool->tunables_lock);
	fix->pool->tunables.tiers[1].high_percent = fix->pool->tunables.tiers[1].low_percent = high;
	pthread_rwlock_unlock(&fix->pool->tunables_lock);
	assert_int_equal(pool_run(fix->pool, NULL), 0);
}

static uint64_t frames_of(struct fix_pool *fix, uint32_t tier)
{
	struct pool_usage usage;

	pool_usage(fix->pool, &usage);
	return usage.tiers[tier].frames;
}

static void step_evacuate(struct fix_pool *fix)
{
	uint32_t tier = 1 + (uint32_t)rnd(2);

	assert_int_equal(pool_evacuate(fix->pool, tier, -1, NULL), 0);
	assert_int_equal(frames_of(fix, tier), 0);
	pool_reopen(fix->pool, tier, -1);
}

static void step_delete(struct fix_pool *fix, struct model *model)
{
	struct object *object = get(fix, model->id);
	struct txn *txn = txn_begin(fix->pool);

	assert_int_equal(object_delete(txn, object), 0);
	assert_int_equal(txn_commit(txn), 0);
	object_put(object);
	assert_int_equal(object_get(fix->pool, model->id, &object), -ENOENT);
	model_new(fix, model);
}

/* After power loss an object that was not synced may be older, but a synced one is as it was. */
static void after_power(struct fix_pool *fix, struct model *models)
{
	for (unsigned i = 0; i < OBJECTS; i++) {
		struct model *model = &models[i];
		struct object *object;
		size_t got;

		if (model->synced) {
			model_check(fix, model);
			continue;
		}
		if (object_get(fix->pool, model->id, &object) == -ENOENT) {
			model_new(fix, model);
			continue;
		}
		model->size = object_size(object);
		assert_true(model->size <= MODEL_MAX);
		memset(model->bytes, 0, MODEL_MAX);
		assert_int_equal(object_read(object, model->bytes, MODEL_MAX, 0, &got), 0);
		assert_int_equal(got, model->size);
		object_put(object);
	}
}

static void step(struct fix_pool *fix, struct model *models)
{
	struct model *model = &models[rnd(OBJECTS)];
	struct object *object = get(fix, model->id);

	switch (rnd(20)) {
	case 0:
	case 1:
	case 2:
	case 3:
	case 4:
		step_write(model, object);
		break;
	case 5:
		step_truncate(model, object);
		break;
	case 6:
		step_punch(model, object);
		break;
	case 7:
		step_sync(model, object);
		break;
	case 8:
		assert_int_equal(pool_sync(fix->pool), 0);
		break;
	case 9:
		step_move(fix, models);
		break;
	case 11:
	case 12:
		step_small_syncs(model, object);
		break;
	case 10:
		step_clone(fix, model, &models[rnd(OBJECTS)]);
		break;
	case 13:
		step_place(fix, model);
		break;
	case 14:
		step_pass(fix);
		break;
	case 15:
		if (rnd(6) == 0)
			step_evacuate(fix);
		break;
	default:
		break;
	}
	object_put(object);
	if (rnd(40) == 0)
		step_delete(fix, model);
	else
		model_check(fix, model);
}

static void run_model(bool background, unsigned steps)
{
	const char *seed = getenv("TERRACE_SEED");
	struct model models[OBJECTS];
	struct fix_pool fix;

	rng_state = seed ? strtoull(seed, NULL, 10) : (uint64_t)getpid() * 2654435761u + steps;
	printf("seed: TERRACE_SEED=%llu\n", (unsigned long long)rng_state);
	fix_pool_new(&fix, RAM, background);
	for (unsigned i = 0; i < 64; i++)
		wishes[i] = (struct object_policy){.pin = -1, .rule = -1, .tier = -1};
	hook(&fix);
	for (unsigned i = 0; i < OBJECTS; i++) {
		models[i].bytes = malloc(MODEL_MAX);
		models[i].durable = malloc(MODEL_MAX);
		model_new(&fix, &models[i]);
	}
	if (getenv("TERRACE_STEPS"))
		steps = (unsigned)atoi(getenv("TERRACE_STEPS"));
	for (unsigned i = 0; i < steps; i++) {
		step(&fix, models);
		if (rnd(60) == 0) {
			fix_pool_crash(&fix);
			hook(&fix);
			for (unsigned k = 0; k < OBJECTS; k++)
				model_check(&fix, &models[k]);
		}
		if (rnd(90) == 0) {
			fix_pool_power(&fix);
			hook(&fix);
			after_power(&fix, models);
		}
		if (rnd(120) == 0) {
			fix_pool_close(&fix);
			fix_pool_open(&fix);
			hook(&fix);
		}
		if (!background && rnd(10) == 0)
			fix_pool_verify(&fix);
	}
	for (unsigned i = 0; i < OBJECTS; i++) {
		model_check(&fix, &models[i]);
		free(models[i].bytes);
		free(models[i].durable);
	}
	fix_pool_free(&fix);
}

static void test_model(void **state)
{
	(void)state;
	run_model(false, STEPS_ALONE);
}

static void test_model_background(void **state)
{
	(void)state;
	run_model(true, STEPS);
}

static struct {
	struct fix_pool *fix;
	pthread_t thread;
	_Atomic bool taken, early;
	bool locked;
} pass;

static void *hooks_take(void *arg)
{
	(void)arg;
	pool_hooks_set(pass.fix->pool, &(struct pool_hooks){.arg = NULL});
	pass.taken = true;
	return NULL;
}

static void long_pass(void *arg)
{
	struct pool *pool = pass.fix->pool;

	(void)arg;
	pass.locked = pthread_rwlock_trywrlock(&pool->hooks_lock) != 0;
	if (!pass.locked)
		pthread_rwlock_unlock(&pool->hooks_lock);
	assert_int_equal(pthread_create(&pass.thread, NULL, hooks_take, NULL), 0);
	usleep(50000);
	assert_true(pool_has_policies(pool));
	pass.early = pass.taken;
}

/* What is done after a pass holds nothing that others need, and who takes hooks away waits for it.
 */
static void test_passed(void **state)
{
	struct fix_pool fix;

	(void)state;
	pass.fix = &fix;
	fix_pool_new(&fix, RAM, false);
	pool_hooks_set(
		fix.pool,
		&(struct pool_hooks){.policy = wish_policy, .any = wish_any, .passed = long_pass});
	assert_int_equal(pool_run(fix.pool, NULL), 0);
	pthread_join(pass.thread, NULL);
	assert_false(pass.locked);
	assert_false(pass.early);
	assert_true(pass.taken);
	assert_false(pool_has_policies(fix.pool));
	fix_pool_free(&fix);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip), cmocka_unit_test(test_large_reads),
		cmocka_unit_test(test_kill),	   cmocka_unit_test(test_power),
		cmocka_unit_test(test_model),	   cmocka_unit_test(test_model_background),
		cmocka_unit_test(test_passed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
