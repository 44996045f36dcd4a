// SPDX-License-Identifier: Apache-2.0
#include "fs/status_text.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fs/text.h"

#define FULL_BYTES (1u << 20) /* less is as good as nothing */

struct cells {
	char size[TEXT_CELL], used[TEXT_CELL], fill[TEXT_CELL], logical[TEXT_CELL],
		ratio[TEXT_CELL], hits[TEXT_CELL];
};

static uint64_t number_of(const json_t *object, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(object, key));
}

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

static char *joined_paths(const json_t *tier)
{
	json_t *path;
	char *text = NULL;
	size_t len = 0, i;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return NULL;
	json_array_foreach(json_object_get(tier, "paths"), i, path)
	{
		char *name = json_name_get(path);

		fprintf(out, "%s%s", i ? "," : "", name ? name : "");
		free(name);
	}
	return fclose(out) ? NULL : text;
}

static bool is_ram(const json_t *tier)
{
	return !strcmp(text_of(tier, "kind"), "ram");
}

uint64_t status_sum(const json_t *tiers, const char *key, bool with_ram)
{
	json_t *tier;
	uint64_t total = 0;
	size_t i;

	json_array_foreach(tiers, i, tier)
	{
		if (with_ram || !is_ram(tier))
			total += number_of(tier, key);
	}
	return total;
}

/*
 * The RAM tier is a cache and a log in front of the others, so `combined` leaves its size out and
 * its hits in.
 */
static void combined_row(struct table *table, const json_t *stats, bool plain)
{
	const json_t *tiers = json_object_get(stats, "tiers");
	/* Tiers may share media: the pool knows what they hold together. */
	uint64_t size = number_of(json_object_get(stats, "space"), "total");
	uint64_t used = status_sum(tiers, "used", false);
	struct cells c;

	table_row(table, "combined", text_size(size, plain, c.size), text_size(used, plain, c.used),
		  text_percent(used, size, c.fill),
		  text_size(number_of(stats, "logical"), plain, c.logical),
		  text_ratio(number_of(stats, "logical"), number_of(stats, "stored"), c.ratio), "-",
		  text_of(stats, "mount"), NULL);
}

static void tier_row(struct table *table, const json_t *tier, uint64_t hits, bool plain)
{
	uint64_t size = number_of(tier, "size"), used = number_of(tier, "used");
	uint64_t logical = number_of(tier, "logical");
	char *paths = joined_paths(tier);
	struct cells c;

	table_row(table, text_of(tier, "name"), text_size(size, plain, c.size),
		  text_size(used, plain, c.used), text_percent(used, size, c.fill),
		  text_size(logical, plain, c.logical),
		  is_ram(tier) ? "-" : text_ratio(logical, number_of(tier, "live"), c.ratio),
		  text_percent(number_of(tier, "hits"), hits, c.hits), paths ? paths : "?", NULL);
	free(paths);
}

/* "in 40s", or "soon". */
static const char *until(const json_t *stats, uint64_t when_s, char buf[TEXT_CELL + 8])
{
	double now = json_number_value(json_object_get(stats, "time"));
	char text[TEXT_CELL];

	if ((double)when_s <= now)
		snprintf(buf, TEXT_CELL + 8, "soon");
	else
		snprintf(buf, TEXT_CELL + 8, "in %s",
			 text_time((uint64_t)((double)when_s - now) + 1, text));
	return buf;
}

/* How old the newest copy of the metadata is; nothing where there is nowhere to copy to. */
static void print_copies(FILE *out, const json_t *stats)
{
	const json_t *copies = json_object_get(stats, "metadata_copies");
	double now = json_number_value(json_object_get(stats, "time"));
	double made = json_number_value(json_object_get(copies, "time"));
	char text[TEXT_CELL];

	if (!number_of(copies, "directories") || !number_of(copies, "keep"))
		return;
	if (!number_of(copies, "generation"))
		fprintf(out, "metadata: not copied yet");
	else
		fprintf(out, "metadata: newest copy %s old",
			text_time((uint64_t)(now > made ? now - made : 0), text));
	if (*text_of(copies, "error"))
		fprintf(out, "; the last try failed: %s", text_of(copies, "error"));
	fputc('\n', out);
}

/* Directories that are not there, and what lies in too few. */
static void print_replicas(FILE *out, const json_t *replicas, bool plain)
{
	uint64_t missing = number_of(replicas, "missing_bytes");
	uint64_t stuck = number_of(replicas, "stuck_bytes");
	char text[TEXT_CELL + 8];
	const json_t *lost;
	size_t i;

	json_array_foreach(json_object_get(replicas, "lost"), i, lost)
	{
		fprintf(out, "%s: ", text_of(lost, "tier"));
		print_json_name(out, json_object_get(lost, "path"));
		fputs(json_is_true(json_object_get(lost, "went"))
			      ? " is not there: mount its disk; if it was deleted, `terrace run` "
				"makes it again\n"
			      : " is not there: mount its disk, or take it out with `terrace "
				"config remove`\n",
		      out);
	}
	if (stuck)
		fprintf(out,
			"replicas: %s lie in too few directories, and there are no others: put "
			"one back, or `terrace config add`\n",
			text_size(stuck, plain, text));
	if (missing > stuck)
		fprintf(out, "replicas: %s lie in too few directories; `terrace run` copies them\n",
			text_size(missing - stuck, plain, text));
}

/* Not by Use%: other files on the media, and what is kept for metadata, count too. */
static void print_full(FILE *out, const json_t *stats, bool plain)
{
	uint64_t left = number_of(json_object_get(stats, "space"), "free");
	char text[TEXT_CELL];

	if (left < FULL_BYTES)
		fprintf(out,
			"full: %s can still be written; delete something, or add a directory "
			"(`terrace config add`)\n",
			text_size(left, plain, text));
}

/* What holds moves back, what is full and what is damaged, a line each; nothing when all goes well.
 */
static void print_notes(FILE *out, const json_t *stats, bool plain)
{
	const json_t *engine = json_object_get(stats, "engine"), *tier;
	uint64_t parked = number_of(engine, "parked");
	char text[TEXT_CELL + 8];
	size_t i;

	json_array_foreach(json_object_get(stats, "tiers"), i, tier)
	{
		const char *breaker = text_of(tier, "breaker");

		if (*breaker && strcmp(breaker, "closed") != 0)
			fprintf(out, "%s: breaker %s: moves are tried again %s\n",
				text_of(tier, "name"), breaker,
				until(stats, number_of(tier, "breaker_until"), text));
		if (number_of(tier, "budget") &&
		    number_of(tier, "budget_used") >= number_of(tier, "budget"))
			fprintf(out, "%s: the write budget of today is used up\n",
				text_of(tier, "name"));
	}
	print_full(out, stats, plain);
	print_replicas(out, json_object_get(stats, "replicas"), plain);
	if (number_of(stats, "damaged"))
		fprintf(out, "damaged: %llu frames; `terrace damaged` lists the files\n",
			(unsigned long long)number_of(stats, "damaged"));
	if (parked)
		fprintf(out, "parked: %s in %llu frames; `terrace events` says why\n",
			text_size(number_of(engine, "parked_bytes"), plain, text),
			(unsigned long long)parked);
	if (*text_of(engine, "slow"))
		fprintf(out, "moves go at %.0f%% of full speed: %s\n",
			100 * json_number_value(json_object_get(engine, "share")),
			text_of(engine, "slow"));
	if (json_is_false(json_object_get(engine, "window_open")))
		fprintf(out, "moves wait for their window: it opens %s\n",
			until(stats, number_of(engine, "window_at"), text));
}

char *status_text(const json_t *stats, bool plain)
{
	const json_t *tiers = json_object_get(stats, "tiers"), *tier;
	struct table *table = table_new("lrrrrrrl");
	uint64_t hits = status_sum(tiers, "hits", true);
	char *text = NULL;
	size_t len, i;
	FILE *out = open_memstream(&text, &len);
	bool done;

	table_row(table, "Tier", "Size", "Used", "Use%", "Logical", "Ratio", "Hit%", "Path", NULL);
	combined_row(table, stats, plain);
	json_array_foreach(tiers, i, tier) tier_row(table, tier, hits, plain);
	done = table_print_to(table, out);
	if (!out)
		return NULL;
	print_notes(out, stats, plain);
	print_copies(out, stats);
	if (fclose(out) || !done) {
		free(text);
		text = NULL;
	}
	return text;
}
