// SPDX-License-Identifier: Apache-2.0
/*
 * The tier engine beside everything else: threads that write, cut, punch, clone, delete and compare
 * objects with a model, while passes, moves on request, placings, evacuations, plans and questions
 * run as fast as they can. Meant for the thread sanitizer; everywhere else it shows that nothing is
 * lost.
 *
 * TERRACE_SECONDS makes it longer, TERRACE_SEED repeats the dice (not the schedule).
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "tests/unit/fix_clock.h"
#include "tests/unit/fix_place.h"
#include "tests/unit/fix_pool.h"
#include "tiers/engine/engine.h"
#include "tiers/object.h"
#include "tiers/pool_impl.h"
#include "tiers/tunables.h"

#define OBJECTS 10u
#define BYTES	(256u << 10)
#define WISHES	64u

struct model {
	pthread_mutex_t lock; /* the model and the foreground's work on the object; in order */
	uint64_t id;
	uint8_t *bytes;
	size_t size;
};

static struct fix_pool fix;
static struct model models[OBJECTS];
static _Atomic uint64_t ids[OBJECTS]; /* as models[].id, for those who only ask */
static _Atomic int pins[WISHES];      /* by object id */
static _Atomic int states[WISHES];
static _Atomic bool stop;
static _Atomic unsigned long passes, moves, evacuations, questions, writes;

struct thread {
	pthread_t thread;
	struct dice dice;
	uint8_t *buf;
};

/* cmocka's assertions are for its own thread. */
static void must(bool good, const char *what, int rc)
{
	if (good)
		return;
	fprintf(stderr, "%s: %s (%s)\n", what, strerror(-rc), quiet_last());
	abort();
}

static void policy(void *arg, uint64_t object, uint32_t age_s, struct object_policy *out)
{
	(void)arg;
	(void)age_s;
	*out = (struct object_policy){.pin = pins[object % WISHES] - 1,
				      .rule = -1,
				      .tier = -1,
				      .state = (enum object_state)states[object % WISHES]};
}

static bool any(void *arg)
{
	(void)arg;
	return true;
}

/* The foreground --------------------------------------------------------------------------------
 */

static struct object *get(uint64_t id)
{
	struct object *object;
	int rc = object_get(fix.pool, id, &object);

	must(rc == 0, "get", rc);
	return object;
}

static void model_create(struct model *model)
{
	struct txn *txn = txn_begin(fix.pool);
	struct object *object;
	int rc;

	object_create(txn, "attr", 4, &object);
	rc = txn_commit(txn);
	must(rc == 0, "create", rc);
	model->id = object_id(object);
	model->size = 0;
	memset(model->bytes, 0, BYTES);
	ids[model - models] = model->id;
	object_put(object);
}

static void model_delete(struct model *model)
{
	struct object *object = get(model->id);
	struct txn *txn = txn_begin(fix.pool);
	int rc;

	object_delete(txn, object);
	rc = txn_commit(txn);
	must(rc == 0, "delete", rc);
	object_put(object);
}

static void model_compare(struct thread *thread, struct model *model)
{
	struct object *object = get(model->id);
	size_t got;
	int rc = object_read(object, thread->buf, BYTES, 0, &got);

	must(rc == 0, "read", rc);
	must(got == model->size, "size", 0);
	must(memcmp(thread->buf, model->bytes, got) == 0, "an object is not as it was written", 0);
	object_put(object);
}

static void fill(struct thread *thread, uint8_t *p, size_t len)
{
	uint64_t x = dice_roll(&thread->dice, UINT32_MAX);
	bool plain = x & 1;

	for (size_t i = 0; i < len; i++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		p[i] = plain ? (uint8_t)('a' + i / 100 % 20) : (uint8_t)(x >> 56);
	}
}

static void model_change(struct thread *thread, struct model *model)
{
	struct object *object = get(model->id);
	size_t most = dice_roll(&thread->dice, 3) ? 9000 : BYTES;
	size_t len = 1 + dice_roll(&thread->dice, most), off = dice_roll(&thread->dice, BYTES);
	int rc = 0;

	if (off + len > BYTES)
		len = BYTES - off;
	switch (dice_roll(&thread->dice, 6)) {
	case 0:
		rc = object_truncate(object, off);
		if (off < model->size)
			memset(model->bytes + off, 0, model->size - off);
		model->size = off;
		break;
	case 1:
		rc = object_punch(object, len, off);
		memset(model->bytes + off, 0, len);
		break;
	case 2:
		rc = object_sync(object);
		break;
	default:
		if (off > model->size)
			off = model->size < BYTES / 2 ? model->size : 0;
		if (off + len > BYTES)
			len = BYTES - off;
		fill(thread, model->bytes + off, len);
		rc = object_write(object, model->bytes + off, len, off);
		if (off + len > model->size)
			model->size = off + len;
	}
	must(rc == 0, "change", rc);
	object_put(object);
}

static void model_clone(struct thread *thread, struct model *from, struct model *to)
{
	size_t off, len, done;

	if (from->size < 2)
		return;
	off = dice_roll(&thread->dice, from->size - 1);
	len = 1 + dice_roll(&thread->dice, from->size - off - 1);
	for (size_t at = 0; at < len; at += done) {
		struct object *a = get(from->id), *b = get(to->id);
		uint64_t n = 0;
		int rc = object_clone(a, off + at, b, off + at, len - at, &n);

		must(rc == 0 && n > 0, "clone", rc);
		done = n;
		object_put(a);
		object_put(b);
	}
	memcpy(to->bytes + off, from->bytes + off, len);
	if (off + len > to->size)
		to->size = off + len;
}

static void *writer(void *arg)
{
	struct thread *thread = arg;

	while (!stop) {
		unsigned a = (unsigned)dice_roll(&thread->dice, OBJECTS - 1);
		unsigned b = a + 1 + (unsigned)dice_roll(&thread->dice, OBJECTS - 1 - a);

		pthread_mutex_lock(&models[a].lock);
		pthread_mutex_lock(&models[b].lock);
		model_change(thread, &models[a]);
		if (dice_roll(&thread->dice, 8) == 0)
			model_clone(thread, &models[a], &models[b]);
		if (dice_roll(&thread->dice, 40) == 0) {
			model_delete(&models[b]);
			model_create(&models[b]);
		}
		model_compare(thread, &models[a]);
		model_compare(thread, &models[b]);
		pthread_mutex_unlock(&models[b].lock);
		pthread_mutex_unlock(&models[a].lock);
		writes++;
	}
	return NULL;
}

/* The engine ------------------------------------------------------------------------------------
 */

/* What is full at the moment, cancelled by the end, or closed by an evacuation, is no failure. */
static bool may_be(int rc)
{
	return rc == 0 || rc == -ENOSPC || rc == -ECANCELED || rc == -ENOENT;
}

static void *runner(void *arg)
{
	struct thread *thread = arg;

	while (!stop) {
		struct pool_config config;
		char message[256];
		int rc;

		must(config_copy(&fix.config, &config) == 0, "copy", 0);
		config.tiers[1].high_percent = 1 + (uint32_t)dice_roll(&thread->dice, 15);
		config.tiers[1].low_percent = 1;
		rc = pool_reconfigure(fix.pool, &config, message, sizeof(message));
		must(rc == 0, message, rc);
		config_release(&config);
		fix_clock_tick(30);
		rc = pool_run(fix.pool, NULL);
		must(may_be(rc), "pass", rc);
		passes++;
	}
	return NULL;
}

static size_t some_ids(struct thread *thread, uint64_t *out)
{
	size_t n = 0;

	for (unsigned i = 0; i < OBJECTS; i++)
		if (dice_roll(&thread->dice, 2))
			out[n++] = ids[i];
	return n;
}

static void *mover(void *arg)
{
	struct thread *thread = arg;

	while (!stop) {
		uint64_t some[OBJECTS];
		size_t n = some_ids(thread, some);
		int rc;

		if (dice_roll(&thread->dice, 3)) {
			rc = pool_move(fix.pool, some, n, (int)dice_roll(&thread->dice, 3), NULL);
		} else {
			for (size_t i = 0; i < n; i++) {
				pins[some[i] % WISHES] = (int)dice_roll(&thread->dice, 4);
				states[some[i] % WISHES] = (int)dice_roll(&thread->dice, 3);
			}
			rc = pool_place(fix.pool, some, n, NULL);
		}
		must(may_be(rc), "move", rc);
		moves++;
	}
	return NULL;
}

static void *evacuator(void *arg)
{
	struct thread *thread = arg;

	while (!stop) {
		uint32_t tier = 1 + (uint32_t)dice_roll(&thread->dice, 2);
		int rc = pool_evacuate(fix.pool, tier, -1, NULL);

		must(may_be(rc), "evacuate", rc);
		evacuations += rc == 0;
		pool_reopen(fix.pool, tier, -1);
		nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
	}
	return NULL;
}

static int each_why(void *arg, const struct extent_why *why)
{
	(void)arg;
	(void)why;
	return 0;
}

static int each_parked(void *arg, const struct parked *parked)
{
	(void)arg;
	(void)parked;
	return 0;
}

static void *asker(void *arg)
{
	struct thread *thread = arg;

	while (!stop) {
		struct engine_stats stats;
		struct pool_usage usage;
		struct object *object;
		struct plan plan;
		int rc = pool_plan(fix.pool, &plan);

		must(may_be(rc), "plan", rc);
		if (rc == 0)
			plan_release(&plan);
		pool_engine_stats(fix.pool, &stats);
		pool_usage(fix.pool, &usage);
		pool_parked(fix.pool, each_parked, NULL);
		rc = object_get(fix.pool, ids[dice_roll(&thread->dice, OBJECTS)], &object);
		if (rc == 0) {
			rc = pool_why(fix.pool, object, each_why, NULL);
			object_put(object);
		}
		must(may_be(rc), "why", rc);
		questions++;
	}
	return NULL;
}

/* ---- */

static void open_pool(void)
{
	fix_pool_open(&fix);
	pool_hooks_set(fix.pool, &(struct pool_hooks){.policy = policy, .any = any});
}

static void test_all_at_once(void **state)
{
	void *(*const run[])(void *) = {writer, writer, runner, mover, evacuator, asker};
	struct thread threads[sizeof(run) / sizeof(run[0])];
	const char *more = getenv("TERRACE_SECONDS");
	struct dice dice;

	(void)state;
	dice_init(&dice, "test_engine_threads");
	quiet_begin();
	fix_pool_small(&fix);
	fix.background = true;
	fix.config.run_interval_ns = 50000000;
	fix.config.start_delay_ns = 0;
	fix.config.move_pressure = 0;
	fix.config.threads = 2;
	/* Room for all of it in either tier, with what is not given back yet. */
	fix.config.tiers[1].size_bytes = fix.config.tiers[2].size_bytes = 32 << 20;
	assert_int_equal(pool_create(&fix.config), 0);
	open_pool();
	for (unsigned i = 0; i < OBJECTS; i++) {
		models[i].bytes = malloc(BYTES);
		pthread_mutex_init(&models[i].lock, NULL);
		model_create(&models[i]);
	}
	stop = false;
	for (size_t i = 0; i < sizeof(run) / sizeof(run[0]); i++) {
		threads[i].dice.state = dice_roll(&dice, UINT32_MAX) | 1;
		threads[i].buf = malloc(BYTES);
		assert_int_equal(pthread_create(&threads[i].thread, NULL, run[i], &threads[i]), 0);
	}
	nanosleep(&(struct timespec){.tv_sec = more ? atoi(more) : 3}, NULL);
	stop = true;
	for (size_t i = 0; i < sizeof(run) / sizeof(run[0]); i++)
		pthread_join(threads[i].thread, NULL);
	quiet_end();
	printf("%lu writes, %lu passes, %lu moves, %lu evacuations, %lu questions\n", writes,
	       passes, moves, evacuations, questions);
	assert_int_equal(pool_sync(fix.pool), 0);
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < OBJECTS; i++)
			model_compare(&threads[0], &models[i]);
		fix_pool_close(&fix);
		fix.background = false;
		fix_pool_open(&fix);
		fix_pool_verify(&fix);
	}
	assert_int_equal(pool_sync(fix.pool), 0);
	fix_pool_verify_media(&fix, true);
	for (size_t i = 0; i < sizeof(run) / sizeof(run[0]); i++)
		free(threads[i].buf);
	for (unsigned i = 0; i < OBJECTS; i++)
		free(models[i].bytes);
	fix_pool_free(&fix);
	assert_true(writes > 0 && passes > 0 && moves > 0 && questions > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
