// SPDX-License-Identifier: Apache-2.0
/*
 * The engine's state and its thread: a pass every run_interval. A pass that finds no tier too full,
 * nothing read again and no policies looks no further, so that an idle pool stays idle; every
 * CLEAN_EVERY-th one looks all the same, for segments to clean.
 */
#include "tiers/engine/engine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tiers/clock.h"
#include "tiers/engine/engine_impl.h"
#include "tiers/engine/events.h"
#include "tiers/engine/move_impl.h"
#include "tiers/flush.h"
#include "tiers/log.h"
#include "tiers/readbuf.h"
#include "tiers/replicate.h"

#define CLEAN_EVERY    10u			   /* passes */
#define LOOK_NS	       (3ull * 1000 * 1000 * 1000) /* between looks at directories that failed */
#define BUDGETS_KEY    "Pengine.budgets"
#define BUDGETS_LEN    (1 + 12 * CONFIG_TIERS_MAX)
#define BUDGETS_FORMAT 1

/* State ------------------------------------------------------------------------------------------
 */

static int budgets_load(struct pool *pool)
{
	uint8_t value[BUDGETS_LEN];
	size_t len;
	int rc = meta_get(pool->meta, BUDGETS_KEY, sizeof(BUDGETS_KEY) - 1, value, sizeof(value),
			  &len);

	if (rc == -ENOENT)
		return 0;
	if (rc < 0)
		return rc;
	if (len != BUDGETS_LEN || value[0] != BUDGETS_FORMAT)
		return 0; /* a day's count is lost, no more */
	for (uint32_t t = 0; t < CONFIG_TIERS_MAX; t++)
		pool->engine->budgets[t] = (struct budget){.day = get_le32(value + 1 + 12 * t),
							   .used = get_le64(value + 5 + 12 * t)};
	return 0;
}

static void budgets_store(struct pool *pool)
{
	struct engine *engine = pool->engine;
	uint8_t value[BUDGETS_LEN] = {BUDGETS_FORMAT};
	struct txn *txn;
	bool changed;

	pthread_mutex_lock(&engine->lock);
	changed = engine->budgets_changed;
	engine->budgets_changed = false;
	for (uint32_t t = 0; t < CONFIG_TIERS_MAX; t++) {
		put_le32(value + 1 + 12 * t, engine->budgets[t].day);
		put_le64(value + 5 + 12 * t, engine->budgets[t].used);
	}
	pthread_mutex_unlock(&engine->lock);
	if (!changed)
		return;
	txn = txn_begin(pool);
	txn_put(txn, BUDGETS_KEY, sizeof(BUDGETS_KEY) - 1, value, sizeof(value));
	txn_commit(txn); /* a failure costs a day's count */
}

int engine_new(struct pool *pool)
{
	struct engine *engine = calloc(1, sizeof(*engine));
	int rc;

	if (!engine)
		return -ENOMEM;
	pool->engine = engine;
	pthread_mutex_init(&engine->lock, NULL);
	engine->survey_frames = SURVEY_FRAMES;
	engine->opened_ns = clock_mono_ns();
	rc = reread_new(&engine->reread);
	if (rc == 0)
		rc = readbufs_new(&engine->batches, MOVE_BATCH_BYTES, MOVES_AHEAD + 1);
	if (rc == 0)
		rc = candidates_new(&engine->candidates);
	if (rc == 0)
		rc = ghosts_new(&engine->ghosts);
	if (rc == 0)
		rc = parking_new(&engine->parking);
	if (rc == 0)
		rc = held_new(&engine->held);
	return rc < 0 ? rc : budgets_load(pool);
}

void engine_free(struct pool *pool)
{
	struct engine *engine = pool->engine;

	if (!engine)
		return;
	reread_free(engine->reread);
	candidates_free(engine->candidates);
	readbufs_free(engine->batches);
	ghosts_free(engine->ghosts);
	parking_free(engine->parking);
	held_free(engine->held);
	pthread_mutex_destroy(&engine->lock);
	free(engine);
	pool->engine = NULL;
}

void engine_note_read(struct pool *pool, struct object *object, uint64_t frame, uint64_t off,
		      uint64_t len)
{
	struct engine *engine = pool->engine;
	uint32_t now_s = clock_wall_s();
	uint32_t window_s = pool->promote_window_s;
	bool scan;

	pthread_mutex_lock(&object->attr_lock);
	scan = reread_is_scan(&object->run, off, len);
	pthread_mutex_unlock(&object->attr_lock);
	if (reread_note(engine->reread, object->id, off, scan, now_s, window_s))
		candidates_note(engine->candidates, frame, now_s);
}

void engine_note_moved(struct move *move)
{
	struct engine *engine = move->pool->engine;
	struct frame_build **builds = move->builds.items;
	enum move_reason reason = move->request->reason;
	uint32_t now_s = clock_wall_s();

	pthread_mutex_lock(&engine->lock);
	for (size_t i = 0; i < move->builds.count; i++)
		if (builds[i]->created && (reason == REASON_FULL || reason == REASON_ROOM))
			ghosts_demoted(engine->ghosts, builds[i]->id, now_s);
	for (size_t i = 0; i < move->nsources; i++) {
		if (!move->sources[i].used || move->sources[i].error)
			continue;
		if (reason == REASON_HOT)
			ghosts_promoted(engine->ghosts, move->sources[i].id, now_s);
		parking_remove(engine->parking, move->sources[i].id);
	}
	pthread_mutex_unlock(&engine->lock);
	for (size_t i = 0; i < move->nsources; i++)
		if (move->sources[i].used)
			candidates_drop(engine->candidates, move->sources[i].id);
}

void engine_foreground(struct pool *pool, struct pace_facts *out)
{
	struct engine *engine = pool->engine;
	struct latency_counts recent = {0}, quiet = {0};

	for (uint32_t t = 1; t < pool->config.ntiers; t++) {
		struct latency_view now, since;

		pool_latency(pool, t, &now);
		pthread_mutex_lock(&engine->lock);
		latency_since(&now, &engine->seen[t], &since);
		engine->seen[t] = now;
		latency_add(&recent, &since.kind[LATENCY_READ]);
		latency_add(&quiet, &engine->quiet[t].kind[LATENCY_READ]);
		pthread_mutex_unlock(&engine->lock);
	}
	out->foreground_reads = recent.count;
	out->foreground_ns = latency_quantile(&recent, 0.5);
	out->quiet_ns = latency_quantile(&quiet, 0.5);
}

/* What the foreground does while nothing moves: between two passes. */
static void note_quiet(struct pool *pool)
{
	struct engine *engine = pool->engine;

	for (uint32_t t = 1; t < pool->config.ntiers; t++) {
		struct latency_view now, since;

		pool_latency(pool, t, &now);
		pthread_mutex_lock(&engine->lock);
		latency_since(&now, &engine->seen[t], &since);
		if (since.kind[LATENCY_READ].count)
			engine->quiet[t] = since;
		engine->seen[t] = now;
		pthread_mutex_unlock(&engine->lock);
	}
}

/* Passes -----------------------------------------------------------------------------------------
 */

struct pass {
	struct executor executor;
	uint64_t blocked[BLOCKS];
};

static int pass_take(void *arg, const struct choice *choice)
{
	struct pass *pass = arg;

	if (!choice)
		return executor_settle(&pass->executor);
	if (choice->verdict.block != BLOCK_NONE) {
		pass->blocked[choice->verdict.block] += choice->bytes;
		return 0;
	}
	if (pass->executor.progress)
		pass->executor.progress->bytes_total += choice->bytes;
	return executor_add(&pass->executor, choice);
}

/* Where there is room again, what waited for it may be tried. */
static void unpark(struct pool *pool, const struct engine_facts *facts)
{
	for (uint32_t t = 1; t < facts->ntiers; t++) {
		struct event event = {.kind = EVENT_UNPARKED, .from = -1, .to = (int)t};
		uint64_t n;

		if (facts->tiers[t].used > facts->tiers[t].high)
			continue;
		pthread_mutex_lock(&pool->engine->lock);
		n = parking_room(pool->engine->parking, (int)t);
		pthread_mutex_unlock(&pool->engine->lock);
		if (n)
			events_add(pool->events, &event);
	}
}

/* Frames that are gone, and work that nobody wants any more, wait for nothing. */
static void forget_parked(struct pool *pool, uint32_t now_s)
{
	struct parking *parking = pool->engine->parking;
	uint64_t *frames = malloc(PARKED_MAX * sizeof(*frames));
	size_t n = 0;

	pthread_mutex_lock(&pool->engine->lock);
	parking_forget(parking, now_s);
	while (frames && parking_at(parking, (uint32_t)n)) {
		frames[n] = parking_at(parking, (uint32_t)n)->frame;
		n++;
	}
	pthread_mutex_unlock(&pool->engine->lock);
	for (size_t i = 0; i < n; i++) {
		struct frame_record record;

		if (frame_record_get(pool, frames[i], &record) != -ENOENT)
			continue;
		pthread_mutex_lock(&pool->engine->lock);
		parking_remove(parking, frames[i]);
		pthread_mutex_unlock(&pool->engine->lock);
	}
	free(frames);
}

/* Is there anything a pass could do? */
static bool worth_a_look(struct pool *pool)
{
	struct engine *engine = pool->engine;
	struct engine_facts *facts = malloc(sizeof(*facts));
	uint32_t now_s = clock_wall_s();
	uint32_t window_s = pool->promote_window_s;
	struct candidate one;
	uint64_t passes;
	bool worth = !facts;

	pthread_mutex_lock(&engine->lock);
	passes = engine->stats.passes++;
	pthread_mutex_unlock(&engine->lock);
	if (facts)
		engine_facts_now(pool, facts);
	for (uint32_t t = 1; facts && t < facts->ntiers; t++)
		worth = worth ||
			(facts->tiers[t].used > facts->tiers[t].high && t + 1 < facts->ntiers);
	free(facts);
	return worth || passes % CLEAN_EVERY == 0 || pool_has_policies(pool) ||
	       candidates_list(engine->candidates, now_s > window_s ? now_s - window_s : 0, &one,
			       1) > 0;
}

/* Somebody asked for the pass. */
static void hold_nothing_up(struct engine_facts *facts)
{
	facts->window_open = true;
	for (uint32_t t = 1; t < facts->ntiers; t++) {
		facts->tiers[t].write_left = UINT64_MAX;
		facts->tiers[t].breaker_open = false;
	}
}

static int engine_pass(struct pool *pool, struct move_progress *progress, bool background)
{
	struct engine *engine = pool->engine;
	uint64_t began = clock_mono_ns();
	struct survey *survey;
	struct pass pass;
	int rc, ended;

	rc = survey_make(pool, &survey);
	if (rc < 0)
		return rc;
	if (!background)
		hold_nothing_up(&survey->facts);
	forget_parked(pool, survey->facts.now_s);
	unpark(pool, &survey->facts);
	memset(pass.blocked, 0, sizeof(pass.blocked));
	executor_init(&pass.executor, pool, progress, background);
	pass.executor.facts = &survey->facts;
	rc = planner_run(pool, survey, !background, pass_take, &pass);
	ended = executor_end(&pass.executor);
	budgets_store(pool);
	pthread_mutex_lock(&engine->lock);
	engine->facts = survey->facts;
	engine->merge_from = survey->merge_from;
	memcpy(engine->stats.blocked, pass.blocked, sizeof(pass.blocked));
	engine->stats.last_pass_ns = clock_mono_ns() - began;
	pthread_mutex_unlock(&engine->lock);
	survey_free(survey);
	return rc < 0 ? rc : ended;
}

static bool copies_due(struct pool *pool)
{
	struct copies_stats copies;

	pool_copies(pool, &copies);
	return copies.under_bytes > copies.stuck_bytes;
}

int pool_run(struct pool *pool, struct move_progress *progress)
{
	int rc = pool_sync(pool), copied = 0;

	if (rc == 0)
		copied = pool_replicate(pool, true, progress);
	if (rc == 0 && copied != -ECANCELED)
		rc = engine_pass(pool, progress, false);
	/* What was moved just now has its first copy only, where a spare place has the others. */
	if (rc == 0 && copied == 0 && copies_due(pool))
		copied = pool_replicate(pool, true, progress);
	if (rc == 0)
		pool_passed(pool);
	return rc < 0 ? rc : copied;
}

static uint64_t run_interval(struct pool *pool)
{
	struct tunables tunables;

	pool_tunables(pool, &tunables);
	return tunables.run_interval_ns;
}

/* Has a directory failed since this was asked? */
static bool places_failed(struct pool *pool)
{
	bool failed = false;

	for (uint32_t t = 1; t < pool->config.ntiers; t++)
		failed |= atomic_exchange(&pool->tiers[t].tier->suspect, 0) != 0;
	return failed;
}

void *pool_engine(void *arg)
{
	struct pool *pool = arg;
	uint64_t began = clock_mono_ns(), looked = 0, now;

	for (;;) {
		uint64_t due = began + run_interval(pool);
		bool stop, failed = false;

		pthread_mutex_lock(&pool->engine->lock);
		pool->engine->stats.next_pass_s =
			clock_wall_s() +
			(int64_t)(due > clock_mono_ns() ? (due - clock_mono_ns()) / 1000000000 : 0);
		pthread_mutex_unlock(&pool->engine->lock);
		pthread_mutex_lock(&pool->thread_lock);
		while (!pool->stopping && !failed && (now = clock_mono_ns()) < due) {
			thread_wait(pool, due < now + LOOK_NS ? due : now + LOOK_NS);
			due = began + run_interval(pool); /* it may have been changed */
			failed = now >= looked + LOOK_NS && places_failed(pool);
		}
		stop = pool->stopping;
		pthread_mutex_unlock(&pool->thread_lock);
		if (stop)
			return NULL;
		looked = clock_mono_ns();
		if (failed && looked < due) { /* it is told now, not at the next pass */
			(void)pool_replicate(pool, false, NULL);
			continue;
		}
		began = clock_mono_ns();
		note_quiet(pool);
		(void)pool_replicate(pool, false, NULL); /* what is left is counted and shown */
		if (worth_a_look(pool))
			engine_pass(pool, NULL, true);
		pool_passed(pool);
	}
}

/* What others see --------------------------------------------------------------------------------
 */

void pool_engine_stats(struct pool *pool, struct engine_stats *out)
{
	struct engine *engine = pool->engine;
	struct engine_facts *facts = malloc(sizeof(*facts));
	uint32_t now_s = clock_wall_s();
	struct ghost_counts ghosts;
	struct tunables tunables;

	pool_tunables(pool, &tunables);
	if (facts)
		engine_facts_now(pool, facts);
	pthread_mutex_lock(&engine->lock);
	*out = engine->stats;
	ghosts_counts(engine->ghosts, &ghosts);
	out->promotions = ghosts.promotions;
	out->pingpong = ghosts.pingpong;
	out->gain = tunables.promote_gain / 100.0 * ghosts_gain(engine->ghosts, now_s);
	out->share = engine->pace.share;
	out->slow = engine->pace.why;
	out->parked = out->parked_bytes = 0;
	for (uint32_t i = 0; parking_at(engine->parking, i); i++) {
		const struct parked *work = parking_at(engine->parking, i);

		out->parked++;
		out->parked_bytes += work->bytes;
	}
	for (uint32_t t = 1; t < pool->config.ntiers; t++) {
		struct engine_tier_stats *tier = &out->tiers[t];
		const struct breaker *breaker = &engine->breakers[t];
		uint64_t limit = tunables.tiers[t].write_budget;

		tier->breaker = breaker->state;
		tier->breaker_opened = breaker->opened;
		tier->breaker_until_s = breaker->until_s;
		tier->budget = limit;
		/* Of today, also when nothing was written yet today. */
		tier->budget_used =
			UINT64_MAX - budget_left(&engine->budgets[t], UINT64_MAX, now_s);
		tier->hot_rank = engine->facts.tiers[t].hot_rank;
		tier->cold_rank = engine->facts.tiers[t].cold_rank;
	}
	pthread_mutex_unlock(&engine->lock);
	out->window_open = !facts || facts->window_open;
	out->window_at_s = facts ? facts->window_at_s : 0;
	free(facts);
}

int pool_parked(struct pool *pool, int (*each)(void *arg, const struct parked *parked), void *arg)
{
	struct engine *engine = pool->engine;
	struct parked *list = malloc(PARKED_MAX * sizeof(*list));
	size_t n = 0;
	int rc = 0;

	if (!list)
		return -ENOMEM;
	pthread_mutex_lock(&engine->lock);
	for (; parking_at(engine->parking, (uint32_t)n); n++)
		list[n] = *parking_at(engine->parking, (uint32_t)n);
	pthread_mutex_unlock(&engine->lock);
	for (size_t i = 0; i < n && rc == 0; i++)
		rc = each(arg, &list[i]);
	free(list);
	return rc;
}
