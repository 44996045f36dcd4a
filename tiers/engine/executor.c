// SPDX-License-Identifier: Apache-2.0
/*
 * Doing what was chosen: frames of one kind are gathered into batches; before each batch the
 * breaker, the budget and the window are asked, after each the pace says how long to wait. So it is
 * with each round of a batch (mover.h): a frame of very many clones is no way past them. What fails
 * is parked, never tried again at once.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "compress/frame.h"
#include "tiers/clock.h"
#include "tiers/engine/engine_impl.h"
#include "tiers/engine/events.h"
#include "tiers/log.h"
#include "tiers/readbuf.h"

#define CUT_EVERY 4u /* batches */
#define NAP_NS	  (100u * 1000 * 1000)

void executor_init(struct executor *executor, struct pool *pool, struct move_progress *progress,
		   bool background)
{
	*executor = (struct executor){.pool = pool,
				      .progress = progress,
				      .background = background,
				      .began_cpu_ns = clock_thread_ns()};
	idmap_init(&executor->batch_only);
	idmap_init(&executor->batch_frames);
}

static bool cancelled(const struct executor *executor)
{
	return executor->pool->stopping || (executor->progress && executor->progress->cancel);
}

/* In short naps, so that nobody who stops the pool waits for it. */
static void wait_ns(const struct executor *executor, uint64_t ns)
{
	uint64_t until = clock_mono_ns() + ns, now;

	while (!cancelled(executor) && (now = clock_mono_ns()) < until) {
		uint64_t rest = until - now < NAP_NS ? until - now : NAP_NS;

		nanosleep(&(struct timespec){.tv_nsec = (long)rest}, NULL);
	}
}

/* Before ------------------------------------------------------------------------------------------
 */

/* May the batch go now? Nobody holds up what was asked for. */
static bool may_go(struct executor *executor)
{
	struct pool *pool = executor->pool;
	struct engine *engine = pool->engine;
	uint32_t now_s = clock_wall_s();
	struct tunables tunables;
	bool ok;

	if (!executor->background)
		return true;
	pool_tunables(pool, &tunables);
	pthread_mutex_lock(&engine->lock);
	ok = breaker_allows(&engine->breakers[executor->from], now_s) &&
	     (executor->from == executor->to ||
	      breaker_allows(&engine->breakers[executor->to], now_s)) &&
	     budget_left(&engine->budgets[executor->to], tunables.tiers[executor->to].write_budget,
			 now_s) >= executor->stored;
	pthread_mutex_unlock(&engine->lock);
	return ok;
}

/* After -------------------------------------------------------------------------------------------
 */

static void tell_breaker(struct pool *pool, uint32_t tier, const struct breaker *breaker)
{
	struct event event = {.kind = EVENT_BREAKER,
			      .from = (int)tier,
			      .to = -1,
			      .error = breaker->state == BREAKER_CLOSED ? 0 : breaker->error};

	snprintf(event.text, sizeof(event.text), "%s%s", breaker_name(breaker->state),
		 breaker->storm ? " (too much is moved into it)" : "");
	events_add(pool->events, &event);
	if (breaker->state == BREAKER_OPEN)
		log_warning("tier %s: moves stop for %u s: %s", pool->config.tiers[tier].name,
			    breaker->pause_s,
			    breaker->storm ? "more is moved into it than it holds"
					   : error_text(breaker->error));
	else if (breaker->state == BREAKER_CLOSED)
		log_info("tier %s: moves go on", pool->config.tiers[tier].name);
}

static void note_breaker(struct pool *pool, int tier, int error, uint64_t bytes)
{
	struct engine *engine = pool->engine;
	uint32_t now_s = clock_wall_s();
	struct breaker *breaker = &engine->breakers[tier], copy;
	bool changed;

	pthread_mutex_lock(&engine->lock);
	changed = breaker_note(breaker, error, now_s);
	if (bytes)
		changed |= breaker_wrote(breaker, bytes, engine->facts.tiers[tier].size, now_s);
	copy = *breaker;
	pthread_mutex_unlock(&engine->lock);
	if (changed)
		tell_breaker(pool, (uint32_t)tier, &copy);
}

/* It was counted as gone when it was chosen. */
static void facts_stayed(struct engine_facts *facts, int from, int target, uint64_t stored)
{
	struct tier_facts *to = &facts->tiers[target];

	if (from == target)
		return;
	facts->tiers[from].used += stored;
	to->used -= stored < to->used ? stored : to->used;
}

static void park(void *arg, const struct move_left *left)
{
	struct batch *batch = arg;
	struct executor *executor = batch->executor;
	struct pool *pool = executor->pool;
	struct engine *engine = pool->engine;
	struct parked work = {.frame = left->frame,
			      .from = batch->from,
			      .to = batch->request.to,
			      .bytes = left->raw_len,
			      .reason = batch->request.reason,
			      .error = left->error};
	struct event event = {.kind = EVENT_PARKED,
			      .object = left->object,
			      .len = left->raw_len,
			      .from = batch->from,
			      .to = batch->request.to,
			      .reason = batch->request.reason,
			      .error = left->error};
	bool fresh;

	if (executor->facts)
		facts_stayed(executor->facts, batch->from, batch->request.to, left->stored_len);
	if (left->error == -ENOMEM || left->error == -EAGAIN) /* another pass has its turn */
		return;
	if (!left->error) { /* nothing in it may move: no failure, and nothing to show */
		pthread_mutex_lock(&engine->lock);
		held_add(engine->held, left->frame, clock_wall_s());
		pthread_mutex_unlock(&engine->lock);
		return;
	}
	work.object = left->object;
	pthread_mutex_lock(&engine->lock);
	fresh = parking_add(engine->parking, &work, clock_wall_s());
	pthread_mutex_unlock(&engine->lock);
	if (!fresh)
		return;
	snprintf(event.text, sizeof(event.text), "%s", error_text(left->error));
	events_add(pool->events, &event);
}

static void note_result(struct batch *batch)
{
	const struct executor *executor = batch->executor;
	const struct move_result *result = &batch->result;
	enum move_reason reason = batch->request.reason;
	struct pool *pool = executor->pool;
	int from = batch->from, to = batch->request.to;
	struct engine *engine = pool->engine;
	/* A full tier is no fault of it. */
	int write_error = result->write_error == -ENOSPC ? 0 : result->write_error;

	pthread_mutex_lock(&engine->lock);
	engine->stats.moves[reason] += result->frames - result->held;
	engine->stats.bytes[reason] += result->moved;
	engine->stats.tiers[to].moved_in += result->written;
	engine->stats.tiers[from].moved_out += result->moved ? batch->stored : 0;
	batch->stored = result->moved ? 0 : batch->stored; /* once for all rounds */
	if (reason == REASON_CLEAN)
		engine->stats.cleaned += result->frames;
	budget_spend(&engine->budgets[to], result->written, clock_wall_s());
	engine->budgets_changed |= result->written > 0;
	pthread_mutex_unlock(&engine->lock);
	if (result->read_error || from != to)
		note_breaker(pool, from, result->read_error, 0);
	/* What people ask for is no storm. */
	note_breaker(pool, to, write_error, executor->background ? result->written : 0);
}

static void keep_pace(struct executor *executor, uint64_t bytes, uint64_t frames, uint64_t took_ns)
{
	struct pool *pool = executor->pool;
	struct engine *engine = pool->engine;
	struct pace_facts facts = {.now_ns = clock_mono_ns(), .began_ns = engine->opened_ns};
	struct pace_limits limits;
	struct tunables tunables;
	uint64_t ns;

	if (!executor->background)
		return;
	pool_tunables(pool, &tunables);
	limits = (struct pace_limits){.bytes_per_s = tunables.move_bandwidth,
				      .frames_per_s = tunables.move_iops,
				      .pressure_percent = tunables.move_pressure,
				      .start_ns = tunables.start_delay_ns};
	if (limits.pressure_percent)
		facts.pressure = pace_read_pressure();
	engine_foreground(pool, &facts);
	pthread_mutex_lock(&engine->lock);
	ns = pace_wait_ns(&engine->pace, &limits, &facts, bytes, frames, took_ns);
	pthread_mutex_unlock(&engine->lock);
	wait_ns(executor, ns);
}

/* Batches -----------------------------------------------------------------------------------------
 */

static void batch_clear(struct executor *executor)
{
	executor->count = 0;
	executor->raw = executor->stored = 0;
	idmap_clear(&executor->batch_only);
	idmap_clear(&executor->batch_frames);
}

/* What a batch has done since the last time goes into the accounts. */
static void batch_account(struct batch *batch)
{
	struct executor *executor = batch->executor;
	struct move_result *result = &batch->result;
	struct pool *pool = executor->pool;

	if (result->error && !executor->error)
		executor->error = result->error;
	executor->full |= result->write_error == -ENOSPC;
	executor->moved += result->moved;
	if (executor->progress)
		executor->progress->bytes_done += result->moved;
	note_result(batch);
	/* Long moves give space back as they go, and do not let the journal's tail grow. A cut that
	 * fails is tried again, and told, at the end. */
	if (++executor->runs % CUT_EVERY == 0 && pool_cut(pool) == 0)
		pool_reclaim(pool);
	keep_pace(executor, result->moved, result->frames, clock_mono_ns() - batch->began_ns);
	batch->began_ns = clock_mono_ns();
	*result = (struct move_result){.commit_error = result->commit_error};
}

/* What may_go() asks about is this batch still: others are only gathered beside what was asked for,
 * which always goes. */
static bool again(void *arg)
{
	struct batch *batch = arg;

	batch_account(batch);
	return may_go(batch->executor);
}

static struct batch *batch_new(struct executor *executor)
{
	struct batch *batch = malloc(sizeof(*batch));

	if (!batch)
		return NULL;
	*batch =
		(struct batch){.executor = executor,
			       .from = executor->from,
			       .stored = executor->stored,
			       .request = {.frames = executor->frames,
					   .n = executor->count,
					   .to = executor->to,
					   .reason = executor->reason,
					   .reads = executor->background ? JOB_IDLE : JOB_LONG_READ,
					   .codes = executor->background ? JOB_IDLE : JOB_LONG,
					   .only = executor->by_object ? &batch->only : NULL,
					   .rewrite = executor->rewrite,
					   .own_codec = executor->own_codec,
					   .codec = executor->codec,
					   .users_max = executor->users_max,
					   .left = park,
					   .again = again,
					   .arg = batch}};
	batch->only = executor->batch_only;
	idmap_init(&executor->batch_only);
	return batch;
}

/* To its end; what the metadata store says when it takes no move. */
static int batch_finish(struct batch *batch)
{
	int rc;

	if (batch->move)
		move_finish(batch->move);
	batch_account(batch);
	rc = batch->result.commit_error;
	idmap_release(&batch->only);
	free(batch);
	return rc;
}

/* Only after a batch that has come through: what fails is not tried with several at once. */
static bool ahead_take(const struct executor *executor)
{
	struct pool *pool = executor->pool;

	if (executor->background || !executor->moved || executor->error)
		return false;
	if (atomic_fetch_add(&pool->moves_ahead, 1) < MOVES_AHEAD)
		return true;
	atomic_fetch_sub(&pool->moves_ahead, 1);
	return false;
}

/* Those from the first-th on that were begun, up to the n-th, go a step further. The youngest come
 * first: their jobs keep the processors busy while the older ones wait for the medium. */
static void ahead_step(const struct executor *executor, size_t first, size_t n)
{
	while (n-- > first)
		if (executor->ahead[n]->move)
			move_step(&executor->ahead[n]->move);
}

static int ahead_finish_oldest(struct executor *executor)
{
	struct batch *oldest = executor->ahead[0];

	memmove(executor->ahead, executor->ahead + 1, --executor->nahead * sizeof(oldest));
	return batch_finish(oldest);
}

/* Finishes those that were begun, in their order; the first error. */
static int ahead_finish(struct executor *executor)
{
	int first = 0;

	while (executor->nahead) {
		int rc;

		ahead_step(executor, 1, executor->nahead);
		rc = ahead_finish_oldest(executor);
		first = first ? first : rc;
		atomic_fetch_sub(&executor->pool->moves_ahead, 1);
	}
	return first;
}

/*
 * What was asked for goes in steps: while one batch waits for its medium or is read back, others
 * are read and coded. There are so many at most in the whole pool: each takes memory.
 */
static int batch_go(struct executor *executor, struct batch *batch)
{
	size_t before = executor->nahead;

	batch->began_ns = clock_mono_ns();
	move_begin(executor->pool, &batch->request, executor->progress, &batch->result,
		   &batch->move);
	executor->ahead[executor->nahead++] = batch;
	if (ahead_take(executor)) {
		ahead_step(executor, 0, before);
		return 0;
	}
	ahead_step(executor, 1, before);
	return ahead_finish_oldest(executor);
}

/* What is gathered, if it may go. */
static int executor_run(struct executor *executor)
{
	struct batch *batch;
	int rc = 0;

	if (executor->count && may_go(executor)) {
		batch = batch_new(executor);
		rc = batch ? batch_go(executor, batch) : -ENOMEM;
	} else if (executor->count && executor->facts) {
		facts_stayed(executor->facts, executor->from, executor->to, executor->stored);
	}
	batch_clear(executor);
	return cancelled(executor) ? -ECANCELED : rc;
}

static bool same_kind(const struct executor *executor, const struct choice *choice)
{
	return executor->from == (int)choice->record.tier && executor->to == choice->verdict.to &&
	       executor->reason == choice->verdict.reason && executor->rewrite == choice->rewrite &&
	       executor->by_object == (choice->object != 0) &&
	       executor->own_codec == choice->own_codec &&
	       (!executor->own_codec || codec_spec_same(&executor->codec, &choice->codec));
}

static int add_frame(struct executor *executor, const struct choice *choice)
{
	if (executor->count == executor->cap) {
		size_t cap = executor->cap ? executor->cap * 2 : 64;
		void *p = realloc(executor->frames, cap * sizeof(*executor->frames));

		if (!p)
			return -ENOMEM;
		executor->frames = p;
		executor->cap = cap;
	}
	executor->frames[executor->count++] = choice->frame;
	executor->raw += choice->record.raw_len;
	executor->stored += choice->record.stored_len;
	return 0;
}

/* The first batch of what was asked for is small: it tells whether the medium takes anything, and
 * the others wait for it. */
static bool has_room(const struct executor *executor, const struct choice *choice)
{
	bool first = executor->reason == REASON_ASKED && !executor->moved;

	return idmap_get(&executor->batch_frames, choice->frame) ||
	       executor->raw + choice->record.raw_len <= (first ? FRAME_RAW_MAX : MOVE_BATCH_BYTES);
}

int executor_add(struct executor *executor, const struct choice *choice)
{
	int rc = cancelled(executor) ? -ECANCELED : 0;

	if (executor->count && (!same_kind(executor, choice) || !has_room(executor, choice)))
		rc = executor_run(executor);
	if (rc < 0)
		return rc;
	executor->from = choice->record.tier;
	executor->to = choice->verdict.to;
	executor->reason = choice->verdict.reason;
	executor->rewrite = choice->rewrite;
	executor->by_object = choice->object != 0;
	executor->own_codec = choice->own_codec;
	executor->codec = choice->codec;
	if (choice->object)
		rc = idmap_put(&executor->batch_only, choice->object, executor);
	/* Small files share a frame: it is read once for all that are in the batch. */
	if (rc == 0 && idmap_get(&executor->batch_frames, choice->frame))
		return 0;
	if (rc == 0)
		rc = idmap_put(&executor->batch_frames, choice->frame, executor);
	if (rc == 0)
		rc = add_frame(executor, choice);
	if (rc == 0 && executor->facts)
		engine_facts_apply(executor->facts, choice);
	return rc;
}

int executor_settle(struct executor *executor)
{
	struct pool *pool = executor->pool;
	int rc = executor_run(executor), ended = ahead_finish(executor), cut;

	rc = rc < 0 ? rc : ended;
	if (rc < 0 || !executor->moved)
		return rc;
	/* Segments that emptied go with the second cut. */
	for (unsigned i = 0; i < 2; i++) {
		cut = pool_cut(pool);
		if (cut < 0)
			return cut;
		pool_reclaim(pool);
	}
	return 0;
}

int executor_end(struct executor *executor)
{
	int rc = executor_settle(executor);

	if (executor->progress)
		executor->progress->engine_ns += clock_thread_ns() - executor->began_cpu_ns;
	readbufs_drop(executor->pool->engine->batches);
	free(executor->frames);
	idmap_release(&executor->batch_only);
	idmap_release(&executor->batch_frames);
	return executor->error ? executor->error : rc;
}
