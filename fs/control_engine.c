// SPDX-License-Identifier: Apache-2.0
/* The engine's and the media's part of stats.json: see terrace(7), CONTROL FILES. */
#include <jansson.h>
#include <stdlib.h>
#include <time.h>

#include "fs/control.h"
#include "fs/fs.h"
#include "fs/fuse_requests.h"
#include "tiers/engine/engine.h"
#include "tiers/latency.h"
#include "tiers/pool.h"

static void set(json_t *object, const char *key, uint64_t value)
{
	json_object_set_new(object, key, json_integer((json_int_t)value));
}

static void set_real(json_t *object, const char *key, double value)
{
	json_object_set_new(object, key, json_real(value));
}

/* Pairs of "faster than, ns" and how many, without the empty ones. */
static json_t *histogram_json(const struct latency_counts *counts)
{
	json_t *pairs = json_array();

	for (unsigned i = 0; i < LATENCY_BUCKETS; i++) {
		/* Of the last, which has no end, its begin. */
		unsigned edge = i + 1 < LATENCY_BUCKETS ? i : i - 1;

		if (counts->buckets[i])
			json_array_append_new(pairs, json_pack("[I,I]",
							       (json_int_t)latency_bucket_end(edge),
							       (json_int_t)counts->buckets[i]));
	}
	return pairs;
}

static json_t *media_json(const struct latency_view *view)
{
	json_t *media = json_object();

	for (unsigned kind = 0; kind < LATENCY_KINDS; kind++) {
		const struct latency_counts *counts = &view->kind[kind];
		json_t *json = json_object();

		set(json, "count", counts->count);
		set(json, "bytes", counts->bytes);
		set_real(json, "seconds", (double)counts->sum_ns / 1e9);
		set(json, "p50_ns", latency_quantile(counts, 0.5));
		set(json, "p99_ns", latency_quantile(counts, 0.99));
		json_object_set_new(json, "histogram", histogram_json(counts));
		json_object_set_new(media, latency_kind_name(kind), json);
	}
	set_real(media, "read_busy_seconds", (double)view->read_busy_ns / 1e9);
	set_real(media, "write_busy_seconds", (double)view->write_busy_ns / 1e9);
	return media;
}

static void set_tier(json_t *json, const struct engine_tier_stats *tier)
{
	json_object_set_new(json, "breaker", json_string(breaker_name(tier->breaker)));
	set(json, "breaker_until", tier->breaker_until_s);
	set(json, "breaker_opened", tier->breaker_opened);
	set(json, "budget", tier->budget);
	set(json, "budget_used", tier->budget_used);
	set(json, "moved_in", tier->moved_in);
	set(json, "moved_out", tier->moved_out);
}

static json_t *engine_json(const struct engine_stats *stats)
{
	json_t *engine = json_object(), *moves = json_object(), *blocked = json_object();

	for (unsigned i = REASON_NONE + 1; i < REASONS; i++)
		json_object_set_new(moves, reason_name(i),
				    json_pack("{s:I,s:I}", "frames", (json_int_t)stats->moves[i],
					      "bytes", (json_int_t)stats->bytes[i]));
	for (unsigned i = BLOCK_NONE + 1; i < BLOCKS; i++)
		set(blocked, block_name(i), stats->blocked[i]);
	set(engine, "passes", stats->passes);
	set_real(engine, "last_pass_seconds", (double)stats->last_pass_ns / 1e9);
	set(engine, "next_pass", (uint64_t)stats->next_pass_s);
	json_object_set_new(engine, "moves", moves);
	json_object_set_new(engine, "blocked", blocked);
	set(engine, "parked", stats->parked);
	set(engine, "parked_bytes", stats->parked_bytes);
	set(engine, "cleaned", stats->cleaned);
	set(engine, "promotions", stats->promotions);
	set(engine, "pingpong", stats->pingpong);
	set_real(engine, "gain", stats->gain);
	set_real(engine, "share", stats->share);
	json_object_set_new(engine, "slow", stats->slow ? json_string(stats->slow) : json_null());
	json_object_set_new(engine, "window_open", json_boolean(stats->window_open));
	set(engine, "window_at", stats->window_at_s);
	return engine;
}

static json_t *request_json(const struct latency_counts *counts)
{
	json_t *json = json_object();

	set(json, "count", counts->count);
	set(json, "mean_ns", counts->sum_ns / counts->count);
	set(json, "p50_ns", latency_quantile(counts, 0.5));
	set(json, "p90_ns", latency_quantile(counts, 0.9));
	set(json, "p99_ns", latency_quantile(counts, 0.99));
	set(json, "p999_ns", latency_quantile(counts, 0.999));
	json_object_set_new(json, "histogram", histogram_json(counts));
	return json;
}

/* Those that there have been. */
static json_t *requests_json(void)
{
	json_t *requests = json_object();
	struct latency_counts counts;

	for (uint32_t i = 0; i < REQUEST_KINDS; i++) {
		if (!requests_name(i))
			continue;
		requests_look(i, &counts);
		if (counts.count)
			json_object_set_new(requests, requests_name(i), request_json(&counts));
	}
	return requests;
}

void control_engine_json(struct fs *fs, json_t *stats)
{
	struct engine_stats *engine = malloc(sizeof(*engine));
	struct latency_view *view = malloc(sizeof(*view));
	struct timespec now;
	json_t *tier;
	size_t i;

	clock_gettime(CLOCK_REALTIME, &now);
	set_real(stats, "time", (double)now.tv_sec + (double)now.tv_nsec / 1e9);
	set_real(stats, "mounted", (double)fs->start_ns / 1e9);
	json_object_set_new(stats, "requests", requests_json());
	if (engine && view) {
		pool_engine_stats(fs->pool, engine);
		json_array_foreach(json_object_get(stats, "tiers"), i, tier)
		{
			pool_latency(fs->pool, (uint32_t)i, view);
			if (i) {
				json_object_set_new(tier, "media", media_json(view));
				set_tier(tier, &engine->tiers[i]);
			}
		}
		json_object_set_new(stats, "engine", engine_json(engine));
	}
	free(engine);
	free(view);
}
