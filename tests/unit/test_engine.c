// SPDX-License-Identifier: Apache-2.0
/* The tier engine over a real pool: what goes down, what comes up, what stays, what is parked. */
#include <dlfcn.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "tests/unit/fix_pool.h"
#include "tiers/engine/engine_impl.h"
#include "tiers/engine/events.h"
#include "tiers/pool_impl.h"

#define RAM   (64u << 20)
#define MIB   (1u << 20)
#define HOUR  3600
#define PIECE (256u << 10)

static int64_t shift_s; /* the wall clock goes before by this */

int clock_gettime(clockid_t id, struct timespec *ts)
{
	static int (*real)(clockid_t, struct timespec *);
	int rc;

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
	rc = real(id, ts);
	if (id == CLOCK_REALTIME)
		ts->tv_sec += shift_s;
	return rc;
}

/* What people want, by object. */
static struct object_policy wishes[64];
static bool any_wish;

static void policy(void *arg, uint64_t object, uint32_t age_s, struct object_policy *out)
{
	(void)arg;
	(void)age_s;
	*out = wishes[object % 64];
}

static struct object_policy *wish(const struct object *object)
{
	return &wishes[object_id(object) % 64];
}

static bool any(void *arg)
{
	(void)arg;
	return any_wish;
}

static void pool_begin(struct fix_pool *fix, uint64_t ssd_bytes, uint64_t hdd_bytes)
{
	struct pool_hooks hooks = {.policy = policy, .any = any};

	any_wish = false;
	for (unsigned i = 0; i < 64; i++)
		wishes[i] = (struct object_policy){.pin = -1, .rule = -1, .tier = -1};
	fix_pool_new(fix, RAM, false);
	fix_pool_close(fix);
	fix->config.tiers[1].size_bytes = ssd_bytes;
	fix->config.tiers[2].size_bytes = hdd_bytes;
	fix->config.tiers[1].segment_bytes = 4 * MIB;
	fix->config.tiers[2].segment_bytes = MIB;
	fix->config.promote_gain = 0;
	fix_pool_open(fix);
	pool_hooks_set(fix->pool, &hooks);
}

static void noise(uint8_t *buf, size_t len, uint64_t seed)
{
	for (size_t i = 0; i < len; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		buf[i] = (uint8_t)(seed >> 56);
	}
}

/* An object of incompressible bytes, on the first directory tier its policy lets it. */
static struct object *object_make(struct fix_pool *fix, size_t len)
{
	struct txn *txn = txn_begin(fix->pool);
	struct object *object;
	uint8_t *buf = malloc(len);

	assert_int_equal(object_create(txn, "attr", 4, &object), 0);
	assert_int_equal(txn_commit(txn), 0);
	noise(buf, len, object_id(object));
	for (size_t off = 0; off < len; off += MIB)
		assert_int_equal(
			object_write(object, buf + off, len - off < MIB ? len - off : MIB, off), 0);
	assert_int_equal(object_sync(object), 0);
	free(buf);
	return object;
}

static void object_check(struct object *object, size_t len)
{
	uint8_t *want = malloc(len), *buf = malloc(len);
	size_t got;

	noise(want, len, object_id(object));
	assert_int_equal(object_read(object, buf, len, 0, &got), 0);
	assert_int_equal(got, len);
	assert_memory_equal(buf, want, len);
	free(want);
	free(buf);
}

static int add_tier(void *arg, const struct object_extent *extent)
{
	uint64_t *bytes = arg;

	bytes[extent->tier] += extent->len;
	return 0;
}

static uint64_t bytes_in(struct object *object, int tier)
{
	uint64_t bytes[CONFIG_TIERS_MAX] = {0};

	assert_int_equal(object_extents(object, add_tier, bytes), 0);
	return bytes[tier];
}

static void tick(int32_t seconds)
{
	shift_s += seconds;
}

static void stats(struct fix_pool *fix, struct engine_stats *out)
{
	pool_engine_stats(fix->pool, out);
}

/* ---- */

static void test_coldest_go_down(void **state)
{
	struct object *objects[15];
	struct pool_usage usage;
	struct fix_pool fix;
	uint64_t down = 0, need;

	(void)state;
	pool_begin(&fix, 16 * MIB, 0);
	for (unsigned i = 0; i < 14; i++)
		objects[i] = object_make(&fix, MIB);
	tick(2 * HOUR);
	for (unsigned i = 0; i < 5; i++) /* the first ones are in use */
		object_check(objects[i], MIB);
	tick(HOUR + 10); /* older than min_age again, and still warmer than the others */
	objects[14] = object_make(&fix, MIB);
	pool_usage(fix.pool, &usage);
	need = usage.tiers[1].used - 16 * MIB / 100 * 80;
	assert_int_equal(pool_run(fix.pool, NULL), 0);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(bytes_in(objects[i], 2), 0);
	for (unsigned i = 5; i < 14; i++)
		down += bytes_in(objects[i], 2);
	/* As much as to the low watermark, and not a segment more. */
	assert_in_range(down, need / 2, need + PIECE);
	for (unsigned i = 0; i < 15; i++) {
		object_check(objects[i], MIB);
		object_put(objects[i]);
	}
	fix_pool_verify(&fix);
	fix_pool_free(&fix);
}

static void read_all(struct object *object, size_t len)
{
	uint8_t *buf = malloc(len);
	size_t got;

	assert_int_equal(object_read(object, buf, len, 0, &got), 0);
	free(buf);
}

/* Of a pool with more frames than a survey looks at, the coldest go all the same: not whatever lies
 * in the part that was looked at. */
static void test_coldest_of_many(void **state)
{
	struct object *objects[15];
	struct fix_pool fix;
	uint64_t cold = 0, warm = 0;

	(void)state;
	pool_begin(&fix, 32 * MIB, 0);
	fix_pool_close(&fix);
	fix.config.tiers[1].segment_bytes = MIB;
	fix.config.tiers[1].low_percent = 60;
	fix_pool_open(&fix);
	for (unsigned i = 0; i < 15; i++) {
		objects[i] = object_make(&fix, 2 * MIB);
		if (i == 11)
			tick(30 * 24 * HOUR);
	}
	for (unsigned hours = 0; hours < 8; hours++) {
		tick(HOUR);
		for (unsigned i = 12; i < 15; i++)
			object_check(objects[i], 2 * MIB);
	}
	tick(2 * HOUR);
	fix.pool->engine->survey_frames = 40; /* a third: too little to leave the tier */
	assert_int_equal(pool_run(fix.pool, NULL), 0);
	for (unsigned i = 0; i < 12; i++)
		cold += bytes_in(objects[i], 2);
	for (unsigned i = 12; i < 15; i++)
		warm += bytes_in(objects[i], 2);
	assert_int_equal(warm, 0);
	assert_in_range(cold, 10 * MIB, 12 * MIB);
	for (unsigned i = 0; i < 15; i++)
		object_put(objects[i]);
	fix_pool_verify(&fix);
	fix_pool_free(&fix);
}

/* One look is a scan, two are evidence. */
static void test_evidence(void **state)
{
	struct object *once, *twice;
	struct fix_pool fix;

	(void)state;
	pool_begin(&fix, 64 * MIB, 0);
	once = object_make(&fix, PIECE);
	twice = object_make(&fix, PIECE);
	for (unsigned i = 0; i < 2; i++) {
		uint64_t id = object_id(i ? once : twice);

		assert_int_equal(pool_move(fix.pool, &id, 1, 2, NULL), 0);
	}
	assert_int_equal(bytes_in(once, 2), PIECE);
	read_all(once, PIECE);
	read_all(twice, PIECE);
	tick(10);
	read_all(twice, PIECE);
	tick(10);
	assert_int_equal(pool_run(fix.pool, NULL), 0);
	assert_int_equal(bytes_in(once, 2), PIECE);
	assert_int_equal(bytes_in(twice, 1), PIECE);
	object_check(twice, PIECE);
	object_put(once);
	object_put(twice);
	fix_pool_verify(&fix);
	fix_pool_free(&fix);
}

/* What is hotter takes the place of what is not. */
static void test_exchange(void **state)
{
	struct object *old[14], *hot[4];
	struct fix_pool fix;

	(void)state;
	pool_begin(&fix, 16 * MIB, 0);
	for (unsigned i = 0; i < 4; i++) {
		uint64_t id;

		hot[i] = object_make(&fix, MIB);
		id = object_id(hot[i]);
		assert_int_equal(pool_move(fix.pool, &id, 1, 2, NULL), 0);
	}
	for (unsigned i = 0; i < 13; i++)
		old[i] = object_make(&fix, MIB);
	tick(4 * HOUR);
	for (unsigned round = 0; round < 4; round++) {
		for (unsigned i = 0; i < 4; i++)
			for (unsigned off = 0; off < MIB; off += PIECE) {
				uint8_t byte;
				size_t got;

				assert_int_equal(
					object_read(hot[i], &byte, 1, (off * 5) % MIB, &got), 0);
			}
		tick(20);
	}
	assert_int_equal(pool_run(fix.pool, NULL), 0);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(bytes_in(hot[i], 1), MIB);
		object_check(hot[i], MIB);
		object_put(hot[i]);
	}
	for (unsigned i = 0; i < 13; i++) {
		object_check(old[i], MIB);
		object_put(old[i]);
	}
	fix_pool_verify(&fix);
	fix_pool_free(&fix);
}

/* Pins, states and rules are obeyed by a pass, and new data goes where they say. */
static void test_policies(void **state)
{
	struct object *pinned, *archived, *sealed, *ruled;
	struct engine_stats before, after;
	struct fix_pool fix;

	(void)state;
	pool_begin(&fix, 64 * MIB, 0);
	pinned = object_make(&fix, PIECE);
	archived = object_make(&fix, PIECE);
	sealed = object_make(&fix, PIECE);
	ruled = object_make(&fix, PIECE);
	any_wish = true;
	wish(pinned)->pin = 2;
	wish(archived)->state = OBJECT_ARCHIVED;
	wish(sealed)->state = OBJECT_SEALED;
	wish(ruled)->never_tiers = 1u << 1;
	assert_int_equal(pool_run(fix.pool, NULL), 0);
	assert_int_equal(bytes_in(pinned, 2), PIECE);
	assert_int_equal(bytes_in(archived, 2), PIECE);
	assert_int_equal(bytes_in(sealed, 1), PIECE);
	assert_int_equal(bytes_in(ruled, 2), PIECE);
	stats(&fix, &before);
	assert_int_equal(before.moves[REASON_PIN] > 0, true);
	assert_int_equal(before.moves[REASON_RULE] > 0, true);
	assert_int_equal(before.moves[REASON_STATE] > 1, true);
	/* All is done: another pass moves nothing. */
	assert_int_equal(pool_run(fix.pool, NULL), 0);
	stats(&fix, &after);
	for (unsigned r = 0; r < REASONS; r++)
		assert_int_equal(after.moves[r], before.moves[r]);
	object_check(pinned, PIECE);
	object_check(archived, PIECE);
	object_check(sealed, PIECE);
	object_check(ruled, PIECE);
	object_put(pinned);
	object_put(archived);
	object_put(sealed);
	object_put(ruled);
	fix_pool_verify(&fix);
	fix_pool_free(&fix);
}

/* A file that is pinned stays although it is the coldest; what shares a frame with it goes. */
static void test_pinned_stays(void **state)
{
	struct object *pinned, *others[14];
	struct fix_pool fix;

	(void)state;
	pool_begin(&fix, 16 * MIB, 0);
	pinned = object_make(&fix, MIB);
	wish(pinned)->pin = 1;
	any_wish = true;
	tick(HOUR);
	for (unsigned i = 0; i < 14; i++)
		others[i] = object_make(&fix, MIB);
	tick(2 * HOUR);
	assert_int_equal(pool_run(fix.pool, NULL), 0);
	assert_int_equal(bytes_in(pinned, 1), MIB);
	assert_true(bytes_in(others[0], 2) > 0 || bytes_in(others[13], 2) > 0);
	object_put(pinned);
	for (unsigned i = 0; i < 14; i++)
		object_put(others[i]);
	fix_pool_free(&fix);
}

/* Half of every frame is dead: cleaning writes the rest together and frees the segments. */
static void test_clean(void **state)
{
	struct object *objects[40];
	struct pool_usage before, after;
	struct fix_pool fix;
	uint8_t buf[3000];

	(void)state;
	pool_begin(&fix, 64 * MIB, 0);
	for (unsigned i = 0; i < 40; i++) {
		struct txn *txn = txn_begin(fix.pool);

		assert_int_equal(object_create(txn, "attr", 4, &objects[i]), 0);
		assert_int_equal(txn_commit(txn), 0);
		noise(buf, sizeof(buf), object_id(objects[i]));
		assert_int_equal(object_write(objects[i], buf, sizeof(buf), 0), 0);
	}
	assert_int_equal(pool_sync(fix.pool), 0);
	for (unsigned i = 0; i < 40; i += 2) {
		struct txn *txn = txn_begin(fix.pool);

		assert_int_equal(object_delete(txn, objects[i]), 0);
		assert_int_equal(txn_commit(txn), 0);
		object_put(objects[i]);
	}
	/* Only sealed segments are cleaned. */
	for (uint32_t t = 1; t < 3; t++)
		appender_roll(fix.pool->tiers[t].appender);
	pool_usage(fix.pool, &before);
	assert_int_equal(pool_run(fix.pool, NULL), 0);
	pool_usage(fix.pool, &after);
	assert_true(before.tiers[1].live > after.tiers[1].live * 3 / 2);
	for (unsigned i = 1; i < 40; i += 2) {
		object_check(objects[i], sizeof(buf));
		object_put(objects[i]);
	}
	fix_pool_verify(&fix);
	fix_pool_free(&fix);
}

static int count_extent(void *arg, const struct object_extent *extent)
{
	(void)extent;
	(*(unsigned *)arg)++;
	return 0;
}

static uint64_t merge_planned(struct fix_pool *fix)
{
	struct plan plan;
	uint64_t merged = 0;

	fix->pool->engine->merge_from = 1;
	assert_int_equal(pool_plan(fix->pool, &plan), 0);
	for (size_t i = 0; i < plan.nmoves; i++)
		merged += plan.moves[i].reason == REASON_CLEAN ? plan.moves[i].raw : 0;
	plan_release(&plan);
	return merged;
}

/* What random writes have left in pieces is written together; a file with holes is left alone. */
static void test_merge(void **state)
{
	struct object *object, *holes;
	unsigned before = 0, after = 0;
	struct engine_stats first, second;
	struct fix_pool fix;
	uint8_t *want = malloc(MIB);
	struct txn *txn;

	(void)state;
	pool_begin(&fix, 64 * MIB, 0);
	object = object_make(&fix, MIB);
	noise(want, MIB, object_id(object));
	txn = txn_begin(fix.pool);
	assert_int_equal(object_create(txn, "attr", 4, &holes), 0);
	assert_int_equal(txn_commit(txn), 0);
	for (unsigned i = 0; i < 128; i++) {
		uint64_t at = i * 37 % 256 * 4096;

		assert_int_equal(object_write(object, want + at, 4096, at), 0);
		assert_int_equal(object_write(holes, want + at, 4096, (uint64_t)i * 65536), 0);
	}
	assert_int_equal(pool_sync(fix.pool), 0);
	assert_int_equal(object_extents(object, count_extent, &before), 0);
	assert_true(before > 100);
	/* Written while a pass is under way, it is younger than what the pass calls now. */
	tick(-10);
	assert_int_equal(merge_planned(&fix), 0);
	tick(2 * HOUR);
	assert_int_equal(merge_planned(&fix), MIB);
	assert_int_equal(fix.pool->engine->merge_from, 1); /* a plan changes nothing */
	assert_int_equal(pool_run(fix.pool, NULL), 0);
	assert_int_equal(fix.pool->engine->merge_from, 0);
	assert_int_equal(object_extents(object, count_extent, &after), 0);
	assert_in_range(after, 1, 20);
	stats(&fix, &first);
	tick(2 * HOUR);
	assert_int_equal(pool_run(fix.pool, NULL), 0);
	stats(&fix, &second);
	assert_int_equal(second.moves[REASON_CLEAN], first.moves[REASON_CLEAN]);
	object_check(object, MIB);
	object_put(object);
	object_put(holes);
	free(want);
	fix_pool_verify(&fix);
	fix_pool_free(&fix);
}

static uint64_t moves_of(const struct plan *plan, enum move_reason reason, enum move_block block)
{
	uint64_t frames = 0;

	for (size_t i = 0; i < plan->nmoves; i++)
		if (plan->moves[i].reason == reason && plan->moves[i].block == block)
			frames += plan->moves[i].frames;
	return frames;
}

/* A plan says what a pass then does, and does nothing itself. */
static void test_plan(void **state)
{
	struct engine_stats before, after;
	struct object *objects[15];
	struct fix_pool fix;
	struct plan plan;
	uint64_t frames;

	(void)state;
	pool_begin(&fix, 16 * MIB, 0);
	for (unsigned i = 0; i < 15; i++)
		objects[i] = object_make(&fix, MIB);
	assert_int_equal(pool_plan(fix.pool, &plan), 0);
	assert_int_equal(moves_of(&plan, REASON_FULL, BLOCK_NONE), 0);
	assert_true(moves_of(&plan, REASON_FULL, BLOCK_YOUNG) > 0);
	plan_release(&plan);
	tick(2 * HOUR);
	stats(&fix, &before);
	assert_int_equal(pool_plan(fix.pool, &plan), 0);
	stats(&fix, &after);
	frames = moves_of(&plan, REASON_FULL, BLOCK_NONE);
	assert_true(frames > 0);
	assert_true(plan.nobjects > 0);
	assert_true(plan.used_after[1] < plan.used[1]);
	assert_true(plan.used_after[2] > plan.used[2]);
	plan_release(&plan);
	assert_int_equal(after.moves[REASON_FULL], before.moves[REASON_FULL]);
	assert_int_equal(bytes_in(objects[0], 2), 0);
	assert_int_equal(pool_run(fix.pool, NULL), 0);
	stats(&fix, &after);
	assert_int_equal(after.moves[REASON_FULL], frames);
	for (unsigned i = 0; i < 15; i++)
		object_put(objects[i]);
	fix_pool_free(&fix);
}

static int first_why(void *arg, const struct extent_why *why)
{
	*(struct extent_why *)arg = *why;
	return 1;
}

static void test_why(void **state)
{
	struct object *object;
	struct extent_why why;
	struct fix_pool fix;

	(void)state;
	pool_begin(&fix, 16 * MIB, 0);
	object = object_make(&fix, PIECE);
	assert_int_equal(pool_why(fix.pool, object, first_why, &why), 1);
	assert_int_equal(why.verdict.to, 1);
	assert_int_equal(why.verdict.reason, REASON_NONE);
	assert_int_equal(why.extent.tier, 1);
	wish(object)->pin = 2;
	assert_int_equal(pool_why(fix.pool, object, first_why, &why), 1);
	assert_int_equal(why.verdict.to, 2);
	assert_int_equal(why.verdict.reason, REASON_PIN);
	object_put(object);
	fix_pool_free(&fix);
}

/* A tier below that is full: what cannot go is parked or held up, nothing is lost, and it goes when
 * there is room. */
static void test_full_below(void **state)
{
	struct object *objects[15], *filler[16];
	struct engine_stats now;
	struct fix_pool fix;

	(void)state;
	pool_begin(&fix, 32 * MIB, 8 * MIB);
	for (unsigned i = 0; i < 8; i++) {
		uint64_t id;

		filler[i] = object_make(&fix, MIB);
		id = object_id(filler[i]);
		pool_move(fix.pool, &id, 1, 2, NULL);
	}
	for (unsigned i = 0; i < 15; i++)
		objects[i] = object_make(&fix, 2 * MIB);
	tick(2 * HOUR);
	pool_run(fix.pool, NULL);
	pool_run(fix.pool, NULL);
	stats(&fix, &now);
	assert_true(now.blocked[BLOCK_FULL] > 0 || now.parked > 0);
	for (unsigned i = 0; i < 8; i++) {
		struct txn *txn = txn_begin(fix.pool);

		assert_int_equal(object_delete(txn, filler[i]), 0);
		assert_int_equal(txn_commit(txn), 0);
		object_put(filler[i]);
	}
	assert_int_equal(pool_sync(fix.pool), 0);
	assert_int_equal(pool_run(fix.pool, NULL), 0);
	stats(&fix, &now);
	assert_true(now.moves[REASON_FULL] > 0);
	for (unsigned i = 0; i < 15; i++) {
		object_check(objects[i], 2 * MIB);
		object_put(objects[i]);
	}
	fix_pool_verify(&fix);
	fix_pool_free(&fix);
}

/* Events tell of every byte that moved. */
static void test_events(void **state)
{
	uint64_t bytes = 0, after = 0, missed, id;
	struct object *object;
	struct fix_pool fix;
	struct event event;

	(void)state;
	pool_begin(&fix, 64 * MIB, 0);
	object = object_make(&fix, MIB);
	id = object_id(object);
	assert_int_equal(pool_move(fix.pool, &id, 1, 2, NULL), 0);
	while (events_get(pool_events(fix.pool), after, &event, &missed) == 0) {
		after = event.number;
		if (event.kind != EVENT_MOVE)
			continue;
		assert_int_equal(event.object, id);
		assert_int_equal(event.from, 1);
		assert_int_equal(event.to, 2);
		assert_int_equal(event.reason, REASON_ASKED);
		bytes += event.len;
	}
	assert_int_equal(bytes, MIB);
	object_put(object);
	fix_pool_free(&fix);
}

/* A tier is emptied into the other one, and takes nothing until it is opened again. */
static void test_evacuate(void **state)
{
	struct object *objects[6], *late;
	struct fix_pool fix;

	(void)state;
	pool_begin(&fix, 0, 0);
	for (unsigned i = 0; i < 6; i++)
		objects[i] = object_make(&fix, MIB);
	assert_int_equal(pool_evacuate(fix.pool, 1, -1, NULL), 0);
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(bytes_in(objects[i], 2), MIB);
	late = object_make(&fix, PIECE);
	assert_int_equal(bytes_in(late, 2), PIECE);
	pool_reopen(fix.pool, 1, -1);
	object_put(late);
	late = object_make(&fix, PIECE);
	assert_int_equal(bytes_in(late, 1), PIECE);
	object_put(late);
	for (unsigned i = 0; i < 6; i++) {
		object_check(objects[i], MIB);
		object_put(objects[i]);
	}
	fix_pool_verify(&fix);
	fix_pool_free(&fix);
}

/* No room elsewhere: an error, and everything can still be read. */
static void test_evacuate_full(void **state)
{
	struct object *objects[12];
	struct fix_pool fix;

	(void)state;
	pool_begin(&fix, 0, 4 * MIB);
	for (unsigned i = 0; i < 12; i++)
		objects[i] = object_make(&fix, MIB);
	assert_int_equal(pool_evacuate(fix.pool, 1, -1, NULL), -ENOSPC);
	for (unsigned i = 0; i < 12; i++) {
		object_check(objects[i], MIB);
		object_put(objects[i]);
	}
	fix_pool_verify(&fix);
	fix_pool_free(&fix);
}

/* One file whose record is damaged does not keep the tiers from being looked after. */
static void test_damaged_object(void **state)
{
	struct object *objects[15];
	uint8_t key[KEY_LEN_1];
	struct engine_stats now;
	struct fix_pool fix;
	struct txn *txn;
	size_t len;

	(void)state;
	pool_begin(&fix, 16 * MIB, 0);
	for (unsigned i = 0; i < 15; i++)
		objects[i] = object_make(&fix, MIB);
	len = key_1(key, KEY_OBJECT, object_id(objects[14]) + 1000);
	txn = txn_begin(fix.pool);
	assert_int_equal(txn_put(txn, key, len, "?", 1), 0);
	assert_int_equal(txn_commit(txn), 0);
	any_wish = true;
	tick(2 * HOUR);
	assert_int_equal(pool_run(fix.pool, NULL), 0);
	stats(&fix, &now);
	assert_true(now.moves[REASON_FULL] > 0);
	txn = txn_begin(fix.pool);
	assert_int_equal(txn_del(txn, key, len), 0);
	assert_int_equal(txn_commit(txn), 0);
	for (unsigned i = 0; i < 15; i++)
		object_put(objects[i]);
	fix_pool_free(&fix);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_coldest_go_down),
		cmocka_unit_test(test_coldest_of_many),
		cmocka_unit_test(test_evidence),
		cmocka_unit_test(test_exchange),
		cmocka_unit_test(test_policies),
		cmocka_unit_test(test_pinned_stays),
		cmocka_unit_test(test_clean),
		cmocka_unit_test(test_merge),
		cmocka_unit_test(test_plan),
		cmocka_unit_test(test_why),
		cmocka_unit_test(test_evacuate),
		cmocka_unit_test(test_evacuate_full),
		cmocka_unit_test(test_full_below),
		cmocka_unit_test(test_events),
		cmocka_unit_test(test_damaged_object),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
