// SPDX-License-Identifier: Apache-2.0
/*
 * The survey: how full tiers are, how hot what lies in them is. Memory grows with the number of
 * segments looked at, not with frames; of a pool with more than SURVEY_FRAMES frames, segments
 * picked at random stand for the rest (as Memtis samples accesses, and Redis keys).
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tiers/clock.h"
#include "tiers/engine/engine_impl.h"
#include "tiers/framestore.h"
#include "tiers/segment_list.h"
#include "tiers/log.h"

#define MEASURED 64u /* reads that make a latency worth believing */

/* Facts ----------------------------------------------------------------------------------------
 */

static void tier_fill(struct pool *pool, uint32_t tier, struct tier_facts *out)
{
	struct tier_space room;

	if (tier_room(pool->tiers[tier].tier, &room) < 0)
		return;
	out->size = room.total;
	/* On a shared medium others take room too: what is not free is used. */
	out->used = room.total - (room.free < room.total ? room.free : room.total);
}

/* As measured since the mount; until then what such media usually do: an SSD first, disks below. */
static void tier_rates(struct pool *pool, uint32_t tier, struct tier_facts *out)
{
	struct latency_view view;
	const struct latency_counts *reads = &view.kind[LATENCY_READ];

	pool_latency(pool, tier, &view);
	out->read_latency_ns = reads->count >= MEASURED ? latency_quantile(reads, 0.5)
			       : tier == 1		? 200000
							: 10000000;
	out->read_rate = latency_read_rate(&view);
	out->write_rate = latency_write_rate(&view);
	if (!out->read_rate)
		out->read_rate = tier == 1 ? 400u << 20 : 150u << 20;
	if (!out->write_rate)
		out->write_rate = tier == 1 ? 400u << 20 : 150u << 20;
}

/* "Never" may be more than 32 bits of seconds. */
static void window_facts(const struct tunables *tunables, struct engine_facts *out)
{
	time_t now = (time_t)out->now_s;
	struct tm tm;
	uint32_t wait;

	localtime_r(&now, &tm);
	wait = window_wait_s(&tunables->move_window,
			     (uint64_t)((int64_t)out->now_s + tm.tm_gmtoff));
	out->window_open = wait == 0;
	out->window_at_s = wait && wait != UINT32_MAX ? out->now_s + wait : 0;
}

/* With the engine's lock held. */
static void tier_state(struct engine *engine, const struct tunables *tunables, uint32_t t,
		       struct engine_facts *out)
{
	const struct breaker *breaker = &engine->breakers[t];
	struct tier_facts *tier = &out->tiers[t];

	tier->high = tier->size / 100 * tunables->tiers[t].high_percent;
	tier->low = tier->size / 100 * tunables->tiers[t].low_percent;
	tier->min_age_s = clock_s(tunables->tiers[t].min_age_ns);
	tier->write_left =
		budget_left(&engine->budgets[t], tunables->tiers[t].write_budget, out->now_s);
	tier->budget_at_s = budget_renewed_at(out->now_s);
	tier->cold_rank = UINT_MAX;
	tier->hot_rank = engine->facts.now_s ? engine->facts.tiers[t].hot_rank : 0;
	tier->breaker_open = breaker->state == BREAKER_OPEN && breaker->until_s > out->now_s;
	tier->breaker_at_s = breaker->until_s;
	tier->evacuating = engine->evacuating[t];
}

void engine_facts_now(struct pool *pool, struct engine_facts *out)
{
	struct engine *engine = pool->engine;
	struct tunables tunables;

	pool_tunables(pool, &tunables);
	*out = (struct engine_facts){.now_s = clock_wall_s(),
				     .ntiers = pool->config.ntiers,
				     .heat = pool_heat_scale(pool),
				     .promote_window_s = clock_s(tunables.promote_window_ns),
				     .residency_s = clock_s(tunables.residency_ns)};
	window_facts(&tunables, out);
	for (uint32_t t = 1; t < out->ntiers; t++) {
		tier_fill(pool, t, &out->tiers[t]);
		tier_rates(pool, t, &out->tiers[t]);
	}
	pthread_mutex_lock(&engine->lock);
	out->gain = tunables.promote_gain / 100.0;
	out->ghost_gain = ghosts_gain(engine->ghosts, out->now_s);
	for (uint32_t t = 1; t < out->ntiers; t++)
		tier_state(engine, &tunables, t, out);
	pthread_mutex_unlock(&engine->lock);
}

void engine_frame_facts(struct pool *pool, uint64_t frame, const struct frame_record *record,
			struct frame_facts *out)
{
	uint32_t now_s = clock_wall_s();
	struct engine *engine = pool->engine;

	*out = (struct frame_facts){
		.tier = record->tier,
		.raw_len = record->raw_len,
		.stored_len = record->stored_len,
		.heat = heat_of(pool->heat, frame, frame_record_heat(record)),
		.placed_s = record->placed,
		.reread_s = candidates_get(engine->candidates, frame),
		.policy = {.pin = -1, .rule = -1, .tier = -1},
	};
	pthread_mutex_lock(&engine->lock);
	out->was_demoted = ghosts_has(engine->ghosts, frame, now_s);
	out->came_up = record->placed && !out->was_demoted;
	out->parked = parking_has(engine->parking, frame, now_s, &out->parked_until_s);
	if (!out->parked) {
		out->parked_until_s = held_until(engine->held, frame, now_s);
		out->parked = out->parked_until_s != 0;
	}
	pthread_mutex_unlock(&engine->lock);
}

uint64_t engine_stored_in(const struct engine_facts *facts, const struct frame_facts *frame,
			  uint32_t tier)
{
	double ratio = facts->tiers[tier].ratio;
	uint64_t stored = ratio > 0 ? (uint64_t)(frame->raw_len / ratio) : frame->stored_len;

	return stored < frame->raw_len ? stored : frame->raw_len;
}

void engine_facts_apply(struct engine_facts *facts, const struct choice *choice)
{
	const struct frame_record *record = &choice->record;
	struct tier_facts *source = &facts->tiers[record->tier];
	struct tier_facts *target = &facts->tiers[choice->verdict.to];
	double share = (double)choice->bytes / record->raw_len;
	uint64_t gone = (uint64_t)(share * record->stored_len);
	uint64_t stored =
		(uint64_t)(share * (double)engine_stored_in(facts, &choice->facts,
							    (uint32_t)choice->verdict.to));

	if (record->tier == choice->verdict.to)
		return;
	source->used -= gone < source->used ? gone : source->used;
	target->used += stored;
	if (target->write_left != UINT64_MAX)
		target->write_left -= stored < target->write_left ? stored : target->write_left;
}

/* Segments ---------------------------------------------------------------------------------------
 */

struct look { /* at one segment */
	struct pool *pool;
	struct survey *survey;
	struct survey_segment *segment;
	uint64_t frames, rank_bytes;
};

int segment_each(struct pool *pool, uint64_t segment,
		 int (*each)(void *arg, uint64_t frame, const struct frame_record *record),
		 void *arg)
{
	uint8_t prefix[KEY_LEN_1];
	struct meta_cursor *cursor;
	struct meta_item item;
	int rc = meta_cursor_open(pool->meta, prefix, key_1(prefix, KEY_PLACED, segment), NULL, 0,
				  &cursor);

	if (rc < 0)
		return rc;
	while (!pool->stopping && (rc = meta_cursor_next(cursor, &item)) == 0) {
		struct frame_record record;
		uint64_t frame;

		if (item.len != 8) {
			rc = -EUCLEAN;
			break;
		}
		frame = get_le64(item.value);
		if (frame_record_get(pool, frame, &record) < 0)
			continue; /* freed meanwhile */
		rc = each(arg, frame, &record);
		if (rc != 0)
			break;
	}
	meta_cursor_close(cursor);
	return rc == -ENOENT ? 0 : rc;
}

static int look_at(void *arg, uint64_t frame, const struct frame_record *record)
{
	struct look *look = arg;
	struct survey *survey = look->survey;
	const struct tier_facts *tier = &survey->facts.tiers[record->tier];
	struct heat_state heat = heat_of(look->pool->heat, frame, frame_record_heat(record));
	uint32_t now_s = survey->facts.now_s;
	unsigned rank = rank_of(heat_rate(heat, survey->facts.heat, now_s));

	survey->all[record->tier].bytes[rank] += record->stored_len;
	if (now_s >= heat.last_s && now_s - heat.last_s >= tier->min_age_s)
		survey->old[record->tier].bytes[rank] += record->stored_len;
	look->segment->stored += record->stored_len;
	look->segment->raw += record->raw_len;
	look->segment->live += record->live < record->raw_len ? record->live : record->raw_len;
	look->rank_bytes += (uint64_t)rank * record->stored_len;
	look->frames++;
	return 0;
}

static int look_segment(struct pool *pool, struct survey *survey, struct survey_segment *segment,
			uint64_t *frames)
{
	struct look look = {.pool = pool, .survey = survey, .segment = segment};
	int rc = segment_each(pool, segment->id, look_at, &look);

	if (segment->stored)
		segment->mean_rank = (uint32_t)(look.rank_bytes / segment->stored);
	segment->open = appender_holds(pool->tiers[segment->tier].appender, segment->id);
	*frames += look.frames;
	return rc;
}

/* Every segment of the pool, and the bytes of frames in each tier. */
static int list_segments(struct pool *pool, struct survey *survey, uint64_t *stored)
{
	struct engine_facts *facts = &survey->facts;
	uint64_t raw[CONFIG_TIERS_MAX] = {0};
	struct segment_brief *list;
	size_t n;
	int rc = segment_list(pool, &list, &n);

	if (rc == 0)
		survey->segments = calloc(n + 1, sizeof(*survey->segments));
	for (size_t i = 0; survey->segments && i < n; i++) {
		survey->segments[survey->nsegments++] = (struct survey_segment){
			.id = list[i].id, .tier = list[i].tier, .place = list[i].place};
		stored[list[i].tier] += list[i].stored;
		raw[list[i].tier] += list[i].raw;
	}
	free(list);
	for (uint32_t t = 1; t < pool->config.ntiers; t++)
		facts->tiers[t].ratio = stored[t] ? (double)raw[t] / (double)stored[t] : 0;
	return survey->segments ? 0 : -ENOMEM;
}

/* Fisher and Yates, so that a survey that ends early has seen a fair sample. */
static void shuffle(struct survey_segment *segments, size_t n, uint64_t seed)
{
	for (size_t i = n; i > 1; i--) {
		struct survey_segment swap;
		size_t k;

		seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
		k = (size_t)((seed >> 33) % i);
		swap = segments[i - 1];
		segments[i - 1] = segments[k];
		segments[k] = swap;
	}
}

static int by_rank(const void *a, const void *b)
{
	const struct survey_segment *x = a, *y = b;

	if (x->mean_rank != y->mean_rank)
		return x->mean_rank < y->mean_rank ? -1 : 1;
	return x->id < y->id ? -1 : x->id > y->id;
}

/* The whole --------------------------------------------------------------------------------------
 */

static uint64_t sum(const struct rank_histogram *histogram)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < RANK_BUCKETS; i++)
		bytes += histogram->bytes[i];
	return bytes;
}

/* The part that was looked at stands for the whole: at most for all of it, also where the accounts
 * are wrong. */
static void scale(struct rank_histogram *histogram, uint64_t seen, uint64_t whole)
{
	if (!seen || seen >= whole)
		return;
	for (unsigned i = 0; i < RANK_BUCKETS; i++) {
		double bytes = (double)histogram->bytes[i] / (double)seen * (double)whole;

		histogram->bytes[i] = bytes < (double)whole ? (uint64_t)bytes : whole;
	}
}

int survey_make(struct pool *pool, struct survey **out)
{
	struct survey *survey = calloc(1, sizeof(*survey));
	uint64_t stored[CONFIG_TIERS_MAX] = {0}, frames = 0;
	size_t seen = 0;
	int rc;

	*out = NULL;
	if (!survey)
		return -ENOMEM;
	engine_facts_now(pool, &survey->facts);
	pthread_mutex_lock(&pool->engine->lock);
	survey->merge_from = pool->engine->merge_from;
	pthread_mutex_unlock(&pool->engine->lock);
	rc = list_segments(pool, survey, stored);
	if (rc == 0)
		shuffle(survey->segments, survey->nsegments, clock_mono_ns());
	while (rc == 0 && seen < survey->nsegments && frames < pool->engine->survey_frames) {
		rc = look_segment(pool, survey, &survey->segments[seen++], &frames);
		if (rc == -EUCLEAN) /* one damaged value is no reason to look at nothing */
			rc = 0;
	}
	if (rc == 0 && pool->stopping)
		rc = -ECANCELED;
	if (rc < 0) {
		survey_free(survey);
		return rc;
	}
	survey->nall = survey->nsegments;
	survey->nsegments = seen;
	if (seen)
		qsort(survey->segments, seen, sizeof(*survey->segments), by_rank);
	for (uint32_t t = 1; t < pool->config.ntiers; t++) {
		uint64_t looked = sum(&survey->all[t]);

		scale(&survey->all[t], looked, stored[t]);
		scale(&survey->old[t], looked, stored[t]);
	}
	room_find_hot(&survey->facts, survey->all);
	*out = survey;
	return 0;
}

void survey_free(struct survey *survey)
{
	if (!survey)
		return;
	free(survey->segments);
	free(survey);
}
