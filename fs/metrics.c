// SPDX-License-Identifier: Apache-2.0
/*
 * The text of .terrace/metrics: Prometheus' text format 0.0.4. Rows come from tables where they are
 * one number of a struct; names follow its rules (base units, _total for what only grows), and once
 * published they stay.
 *
 * Numbers are read one struct after the other, not in one instant.
 */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "fs/control.h"
#include "fs/fs.h"
#include "fs/jobs.h"
#include "tiers/damage.h"
#include "tiers/replicate.h"
#include "tiers/scrub.h"
#include "tiers/engine/engine.h"
#include "tiers/engine/events.h"
#include "tiers/latency.h"
#include "tiers/meta.h"
#include "tiers/pool.h"

struct row {
	const char *name, *type, *help;
	size_t offset; /* of a uint64_t */
};

static void family(FILE *out, const char *name, const char *type, const char *help)
{
	fprintf(out, "# HELP terrace_%s %s\n# TYPE terrace_%s %s\n", name, help, name, type);
}

/* A label's value may hold anything, escaped. */
static void label(FILE *out, const char *name, const char *value, const char *before)
{
	fprintf(out, "%s%s=\"", before, name);
	for (; *value; value++) {
		if (*value == '\n')
			fputs("\\n", out);
		else if (*value == '\\' || *value == '"')
			fprintf(out, "\\%c", *value);
		else
			fputc(*value, out);
	}
	fputc('"', out);
}

static void sample(FILE *out, const char *name, uint64_t value)
{
	fprintf(out, "terrace_%s %" PRIu64 "\n", name, value);
}

static void sample_of(FILE *out, const char *name, const char *key, const char *of, uint64_t value)
{
	fprintf(out, "terrace_%s", name);
	label(out, key, of, "{");
	fprintf(out, "} %" PRIu64 "\n", value);
}

static uint64_t field(const void *base, size_t offset)
{
	return *(const uint64_t *)((const char *)base + offset);
}

static void print_rows(FILE *out, const struct row *rows, size_t n, const void *base)
{
	for (size_t i = 0; i < n; i++) {
		family(out, rows[i].name, rows[i].type, rows[i].help);
		sample(out, rows[i].name, field(base, rows[i].offset));
	}
}

/* One sample per tier: `base` is an array of structs of this size. */
static void print_tier_rows(FILE *out, const struct row *rows, size_t n,
			    const struct pool_config *config, const void *base, size_t size)
{
	for (size_t i = 0; i < n; i++) {
		family(out, rows[i].name, rows[i].type, rows[i].help);
		for (uint32_t t = 0; t < config->ntiers; t++)
			sample_of(out, rows[i].name, "tier", config->tiers[t].name,
				  field((const char *)base + t * size, rows[i].offset));
	}
}

#define ROWS(rows) rows, sizeof(rows) / sizeof((rows)[0])

static void print_usage(FILE *out, struct fs *fs, const struct pool_usage *usage)
{
	static const struct row pool_rows[] = {
		{"logical_bytes", "gauge", "Bytes in files, holes left out.",
		 offsetof(struct pool_usage, logical)},
		{"packed_bytes", "gauge", "Bytes in frames: shared bytes once.",
		 offsetof(struct pool_usage, packed)},
		{"stored_bytes", "gauge", "Bytes in frames after compression.",
		 offsetof(struct pool_usage, stored)},
		{"metadata_bytes", "gauge", "Disk blocks of the metadata's files.",
		 offsetof(struct pool_usage, metadata)},
		{"objects", "gauge", "Files, folders and other inodes.",
		 offsetof(struct pool_usage, objects)},
	};
	static const struct row space_rows[] = {
		{"space_total_bytes", "gauge", "What statfs gives as the size.",
		 offsetof(struct pool_space, total)},
		{"space_free_bytes", "gauge",
		 "What can still be written, not counting on compression.",
		 offsetof(struct pool_space, free)},
	};
	static const struct row tier_rows[] = {
		{"tier_size_bytes", "gauge", "What the tier may hold.",
		 offsetof(struct tier_usage, size)},
		{"tier_used_bytes", "gauge", "What it takes, in disk blocks; ram: memory.",
		 offsetof(struct tier_usage, used)},
		{"tier_live_bytes", "gauge", "Stored bytes that files point to.",
		 offsetof(struct tier_usage, live)},
		{"tier_logical_bytes", "gauge", "Bytes of files that are there.",
		 offsetof(struct tier_usage, logical)},
		{"tier_frames", "gauge", "Frames stored there.",
		 offsetof(struct tier_usage, frames)},
		{"tier_hits_total", "counter", "Reads that the tier served.",
		 offsetof(struct tier_usage, hits)},
		{"tier_misses_total", "counter", "Reads that had to go on to a slower tier.",
		 offsetof(struct tier_usage, misses)},
	};
	struct pool_space space;

	pool_space(fs->pool, &space);
	print_rows(out, ROWS(pool_rows), usage);
	print_rows(out, ROWS(space_rows), &space);
	print_tier_rows(out, ROWS(tier_rows), pool_config(fs->pool), usage->tiers,
			sizeof(usage->tiers[0]));
	family(out, "cache_bytes", "gauge", "Decoded blocks held in memory.");
	sample(out, "cache_bytes", usage->tiers[0].cached);
}

static void print_meta(FILE *out, struct fs *fs)
{
	static const struct row rows[] = {
		{"journal_bytes", "gauge", "Journal on the medium, not yet dropped.",
		 offsetof(struct meta_stats, journal_bytes)},
		{"memtable_bytes", "gauge", "Metadata changes held in memory.",
		 offsetof(struct meta_stats, memtable_bytes)},
		{"metadata_tree_bytes", "gauge", "Pages in use in the metadata's tree.",
		 offsetof(struct meta_stats, tree_bytes)},
		{"journal_batches_total", "counter", "Changes of metadata.",
		 offsetof(struct meta_stats, batches)},
		{"journal_groups_total", "counter", "Groups written to the journal.",
		 offsetof(struct meta_stats, groups)},
		{"journal_syncs_total", "counter", "Syncs asked of the journal.",
		 offsetof(struct meta_stats, syncs)},
		{"checkpoints_total", "counter", "Checkpoints of the metadata.",
		 offsetof(struct meta_stats, checkpoints)},
		{"checkpoint_emergencies_total", "counter",
		 "Checkpoints that could not wait for their time.",
		 offsetof(struct meta_stats, emergencies)},
	};
	struct meta_stats stats;

	meta_stats(fs->meta, &stats);
	print_rows(out, ROWS(rows), &stats);
}

/* Media ---------------------------------------------------------------------------------------- */

static void media_labels(FILE *out, const char *name, const char *tier, unsigned kind)
{
	fprintf(out, "terrace_%s", name);
	label(out, "tier", tier, "{");
	label(out, "op", latency_kind_name(kind), ",");
}

/* Edges are the powers of two, which the histogram's steps end at exactly. */
static void print_histogram(FILE *out, const char *tier, unsigned kind,
			    const struct latency_counts *counts)
{
	uint64_t below = 0;

	for (unsigned i = 0; i + 1 < LATENCY_BUCKETS; i++) {
		below += counts->buckets[i];
		if (i % LATENCY_STEPS)
			continue;
		media_labels(out, "medium_seconds_bucket", tier, kind);
		fprintf(out, ",le=\"%.9g\"} %" PRIu64 "\n", (double)latency_bucket_end(i) / 1e9,
			below);
	}
	media_labels(out, "medium_seconds_bucket", tier, kind);
	fprintf(out, ",le=\"+Inf\"} %" PRIu64 "\n", counts->count);
	media_labels(out, "medium_seconds_sum", tier, kind);
	fprintf(out, "} %.9f\n", (double)counts->sum_ns / 1e9);
	media_labels(out, "medium_seconds_count", tier, kind);
	fprintf(out, "} %" PRIu64 "\n", counts->count);
}

static void print_media(FILE *out, struct fs *fs)
{
	const struct pool_config *config = pool_config(fs->pool);
	struct latency_view *views = calloc(config->ntiers, sizeof(*views));

	if (!views)
		return; /* the rest says it: all share one stream of text */
	for (uint32_t t = 1; t < config->ntiers; t++)
		pool_latency(fs->pool, t, &views[t]);
	family(out, "medium_seconds", "histogram",
	       "Time of accesses to a tier's medium; read: somebody waited, bulk_read: moves.");
	for (uint32_t t = 1; t < config->ntiers; t++)
		for (unsigned kind = 0; kind < LATENCY_KINDS; kind++)
			print_histogram(out, config->tiers[t].name, kind, &views[t].kind[kind]);
	family(out, "medium_bytes_total", "counter", "Bytes read from and written to the medium.");
	for (uint32_t t = 1; t < config->ntiers; t++) {
		for (unsigned kind = 0; kind < LATENCY_SYNC; kind++) {
			media_labels(out, "medium_bytes_total", config->tiers[t].name, kind);
			fprintf(out, "} %" PRIu64 "\n", views[t].kind[kind].bytes);
		}
	}
	family(out, "medium_busy_seconds_total", "counter",
	       "Time in which at least one access was under way.");
	for (uint32_t t = 1; t < config->ntiers; t++) {
		media_labels(out, "medium_busy_seconds_total", config->tiers[t].name, LATENCY_READ);
		fprintf(out, "} %.9f\n", (double)views[t].read_busy_ns / 1e9);
		media_labels(out, "medium_busy_seconds_total", config->tiers[t].name,
			     LATENCY_WRITE);
		fprintf(out, "} %.9f\n", (double)views[t].write_busy_ns / 1e9);
	}
	free(views);
}

/* Engine --------------------------------------------------------------------------------------- */

static void print_moves(FILE *out, const struct engine_stats *stats)
{
	family(out, "moves_total", "counter", "Frames moved, by reason.");
	for (unsigned i = REASON_NONE + 1; i < REASONS; i++)
		sample_of(out, "moves_total", "reason", reason_name(i), stats->moves[i]);
	family(out, "moved_bytes_total", "counter", "Bytes of files moved, by reason.");
	for (unsigned i = REASON_NONE + 1; i < REASONS; i++)
		sample_of(out, "moved_bytes_total", "reason", reason_name(i), stats->bytes[i]);
	family(out, "blocked_bytes", "gauge",
	       "Bytes that the last pass would have moved but for what blocks them.");
	for (unsigned i = BLOCK_NONE + 1; i < BLOCKS; i++)
		sample_of(out, "blocked_bytes", "block", block_name(i), stats->blocked[i]);
}

static void print_breakers(FILE *out, const struct pool_config *config,
			   const struct engine_stats *stats)
{
	family(out, "breaker_state", "gauge", "1 for the state that the tier's breaker is in.");
	for (uint32_t t = 1; t < config->ntiers; t++) {
		for (unsigned state = BREAKER_CLOSED; state <= BREAKER_PROBING; state++) {
			fputs("terrace_breaker_state", out);
			label(out, "tier", config->tiers[t].name, "{");
			label(out, "state", breaker_name(state), ",");
			fprintf(out, "} %d\n", stats->tiers[t].breaker == state);
		}
	}
}

static void print_engine(FILE *out, struct fs *fs)
{
	static const struct row rows[] = {
		{"passes_total", "counter", "Passes of the engine.",
		 offsetof(struct engine_stats, passes)},
		{"parked_frames", "gauge", "Frames whose move failed, tried again later.",
		 offsetof(struct engine_stats, parked)},
		{"parked_bytes", "gauge", "Their bytes.",
		 offsetof(struct engine_stats, parked_bytes)},
		{"segments_cleaned_total", "counter", "Segments emptied by cleaning.",
		 offsetof(struct engine_stats, cleaned)},
		{"promotions_total", "counter", "Frames that came up by heat.",
		 offsetof(struct engine_stats, promotions)},
		{"pingpong_total", "counter", "Of these, those that had lately gone down.",
		 offsetof(struct engine_stats, pingpong)},
	};
	static const struct row tier_rows[] = {
		{"breaker_opened_total", "counter", "Times that the tier's breaker has opened.",
		 offsetof(struct engine_tier_stats, breaker_opened)},
		{"write_budget_bytes", "gauge", "What moves may write per day; 0: no limit.",
		 offsetof(struct engine_tier_stats, budget)},
		{"write_budget_used_bytes", "gauge", "What they have written today.",
		 offsetof(struct engine_tier_stats, budget_used)},
		{"tier_moved_in_bytes_total", "counter", "Stored bytes that moved in.",
		 offsetof(struct engine_tier_stats, moved_in)},
		{"tier_moved_out_bytes_total", "counter", "Stored bytes that moved out.",
		 offsetof(struct engine_tier_stats, moved_out)},
	};
	struct engine_stats *stats = malloc(sizeof(*stats));

	if (!stats)
		return;
	pool_engine_stats(fs->pool, stats);
	print_rows(out, ROWS(rows), stats);
	print_moves(out, stats);
	print_breakers(out, pool_config(fs->pool), stats);
	print_tier_rows(out, ROWS(tier_rows), pool_config(fs->pool), stats->tiers,
			sizeof(stats->tiers[0]));
	family(out, "move_speed_ratio", "gauge", "How fast moves may go: 1 is full speed.");
	fprintf(out, "terrace_move_speed_ratio %.6f\n", stats->share);
	family(out, "move_window_open", "gauge", "1 while moves are allowed at this time of day.");
	sample(out, "move_window_open", stats->window_open);
	family(out, "promote_gain_ratio", "gauge",
	       "What coming back within a day must save, by what it costs; ping-pong raises it.");
	fprintf(out, "terrace_promote_gain_ratio %.6f\n", stats->gain);
	free(stats);
}

static void print_damage(FILE *out, struct fs *fs)
{
	struct scrub_status scrub;
	struct copies_stats copies;

	pool_scrub_status(fs->pool, &scrub);
	pool_copies(fs->pool, &copies);
	family(out, "replicas_missing_bytes", "gauge", "Stored bytes in too few directories.");
	sample(out, "replicas_missing_bytes", copies.under_bytes);
	family(out, "replicas_extra_bytes", "gauge", "Stored bytes of copies beyond the first.");
	sample(out, "replicas_extra_bytes", copies.extra_bytes);
	family(out, "replicas_bad_frames", "gauge", "Frames with a bad copy, to be mended.");
	sample(out, "replicas_bad_frames", copies.bad);
	family(out, "replicas_fallbacks_total", "counter", "Reads that another copy answered.");
	sample(out, "replicas_fallbacks_total", copies.fallbacks);
	family(out, "replicas_copied_bytes_total", "counter",
	       "Bytes copied to further directories.");
	sample(out, "replicas_copied_bytes_total", copies.copied_bytes);
	family(out, "lost_places", "gauge", "Directories of tiers that are not there.");
	sample(out, "lost_places", copies.lost_places);
	family(out, "damaged_frames", "gauge", "Frames that cannot be read; see .terrace/damaged.");
	sample(out, "damaged_frames", damage_count(fs->pool));
	family(out, "scrub_under_way", "gauge", "1 while a scrub is, or waits to go on.");
	sample(out, "scrub_under_way", scrub.under_way);
	family(out, "scrub_verified_bytes", "gauge",
	       "Stored bytes that this or the last one read.");
	sample(out, "scrub_verified_bytes", scrub.bytes);
	family(out, "scrub_damaged_frames", "gauge", "Damaged frames that it found.");
	sample(out, "scrub_damaged_frames", scrub.damaged);
	family(out, "scrub_mended", "gauge", "What it has mended: frames and segment headers.");
	sample(out, "scrub_mended", scrub.mended);
	family(out, "scrub_ended_seconds", "gauge", "When the last whole one ended, since 1970.");
	sample(out, "scrub_ended_seconds", scrub.ended_s);
}

static void print_about(FILE *out, struct fs *fs)
{
	const struct pool_config *config = pool_config(fs->pool);
	char uuid[33];

	for (unsigned i = 0; i < 16; i++)
		snprintf(uuid + 2 * i, 3, "%02x", config->uuid[i]);
	family(out, "info", "gauge", "The pool and the program.");
	fprintf(out, "terrace_info");
	label(out, "version", TERRACE_VERSION, "{");
	label(out, "pool", config->name ? config->name : "", ",");
	label(out, "uuid", uuid, ",");
	fputs("} 1\n", out);
	family(out, "start_time_seconds", "gauge", "When the pool was mounted, since 1970.");
	fprintf(out, "terrace_start_time_seconds %.3f\n", (double)fs->start_ns / 1e9);
	family(out, "events_total", "counter", "Lines of .terrace/events since the mount.");
	sample(out, "events_total", events_last(pool_events(fs->pool)));
}

static void print_jobs(FILE *out, struct jobs *jobs)
{
	uint64_t counts[JOB_STATES];

	jobs_count(jobs, counts);
	family(out, "jobs", "gauge", "Jobs in .terrace/jobs by state.");
	for (unsigned state = 0; state < JOB_STATES; state++)
		sample_of(out, "jobs", "state", job_state_name(state), counts[state]);
}

char *control_metrics(struct fs *fs, struct jobs *jobs)
{
	struct pool_usage *usage = calloc(1, sizeof(*usage));
	char *text = NULL;
	size_t len;
	FILE *out = usage ? open_memstream(&text, &len) : NULL;

	if (out) {
		pool_usage(fs->pool, usage);
		print_about(out, fs);
		print_usage(out, fs, usage);
		print_meta(out, fs);
		print_media(out, fs);
		print_engine(out, fs);
		print_damage(out, fs);
		print_jobs(out, jobs);
		if (fclose(out)) {
			free(text);
			text = NULL;
		}
	}
	free(usage);
	return text;
}
