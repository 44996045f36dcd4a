// SPDX-License-Identifier: Apache-2.0
/* terrace status and terrace usage: the pool's accounts as tables, all from stats.json. */
#include "tools/terrace/terrace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/terrace/control.h"
#include "tools/terrace/mounts.h"
#include "tools/terrace/text.h"

struct cells {
	char size[TEXT_CELL], used[TEXT_CELL], fill[TEXT_CELL], logical[TEXT_CELL],
		ratio[TEXT_CELL], hits[TEXT_CELL];
};

static char *joined_paths(const json_t *tier)
{
	json_t *path;
	char *text = NULL;
	size_t len = 0, i;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return NULL;
	json_array_foreach(json_object_get(tier, "paths"), i, path)
		fprintf(out, "%s%s", i ? "," : "", json_string_value(path));
	return fclose(out) ? NULL : text;
}

static bool is_ram(const json_t *tier)
{
	return !strcmp(control_text(tier, "kind"), "ram");
}

static uint64_t sum(const json_t *tiers, const char *key, bool ram)
{
	json_t *tier;
	uint64_t total = 0;
	size_t i;

	json_array_foreach(tiers, i, tier)
	{
		if (ram || !is_ram(tier))
			total += control_number(tier, key);
	}
	return total;
}

/*
 * The RAM tier is a cache and a log in front of the others, so `combined` leaves its size out and
 * its hits in.
 */
static void combined_row(struct table *table, const json_t *stats, const char *point, bool plain)
{
	const json_t *tiers = json_object_get(stats, "tiers");
	/* Tiers may share media: the pool knows what they hold together. */
	uint64_t size = control_number(json_object_get(stats, "space"), "total");
	uint64_t used = sum(tiers, "used", false);
	struct cells c;

	table_row(table, "combined", text_size(size, plain, c.size), text_size(used, plain, c.used),
		  text_percent(used, size, c.fill),
		  text_size(control_number(stats, "logical"), plain, c.logical),
		  text_ratio(control_number(stats, "logical"), control_number(stats, "stored"),
			     c.ratio),
		  "-", point, NULL);
}

static bool print_status(const json_t *stats, const char *point, bool plain)
{
	const json_t *tiers = json_object_get(stats, "tiers");
	struct table *table = table_new("lrrrrrrl");
	uint64_t hits = sum(tiers, "hits", true);
	json_t *tier;
	size_t i;

	table_row(table, "Tier", "Size", "Used", "Use%", "Logical", "Ratio", "Hit%", "Path", NULL);
	combined_row(table, stats, point, plain);
	json_array_foreach(tiers, i, tier)
	{
		uint64_t size = control_number(tier, "size"), used = control_number(tier, "used");
		uint64_t logical = control_number(tier, "logical");
		char *paths = joined_paths(tier);
		struct cells c;

		table_row(table, control_text(tier, "name"), text_size(size, plain, c.size),
			  text_size(used, plain, c.used), text_percent(used, size, c.fill),
			  text_size(logical, plain, c.logical),
			  is_ram(tier) ? "-"
				       : text_ratio(logical, control_number(tier, "live"), c.ratio),
			  text_percent(control_number(tier, "hits"), hits, c.hits),
			  paths ? paths : "?", NULL);
		free(paths);
	}
	return table_print(table);
}

static void amount(struct table *table, const char *name, uint64_t bytes, bool plain,
		   const char *what)
{
	char size[TEXT_CELL];

	table_row(table, name, text_size(bytes, plain, size), what, NULL);
}

static bool print_amounts(const json_t *stats, bool plain)
{
	struct table *table = table_new("lrl");
	const json_t *tiers = json_object_get(stats, "tiers");
	const json_t *space = json_object_get(stats, "space");
	uint64_t metadata = control_number(stats, "metadata");

	amount(table, "Logical", control_number(stats, "logical"), plain,
	       "bytes in files, without holes");
	amount(table, "Packed", control_number(stats, "packed"), plain,
	       "shared bytes counted once");
	amount(table, "Stored", control_number(stats, "stored"), plain, "after compression");
	amount(table, "Metadata", metadata, plain, "names, attributes, maps");
	amount(table, "On disks", sum(tiers, "used", false) + metadata, plain,
	       "blocks of all tiers and of the metadata");
	amount(table, "Waiting",
	       sum(json_object_get(stats, "tiers"), "live", true) - sum(tiers, "live", false),
	       plain, "written, still in RAM");
	amount(table, "Parked", control_number(stats, "parked"), plain,
	       "could not be moved: no room");
	amount(table, "Free", control_number(space, "free"), plain,
	       "can be written, not counting on compression");
	return table_print(table);
}

/* One row as compsize prints it. */
static void codec_row(struct table *table, const char *tier, const char *type, uint64_t stored,
		      uint64_t raw, uint64_t frames, bool plain)
{
	char perc[TEXT_CELL], disk[TEXT_CELL], bytes[TEXT_CELL], count[TEXT_CELL];

	table_row(table, tier, type, text_percent(stored, raw, perc),
		  text_size(stored, plain, disk), text_size(raw, plain, bytes),
		  text_size(frames, true, count), NULL);
}

static bool print_codecs(const json_t *stats, bool plain)
{
	struct table *table = table_new("llrrrr");
	uint64_t raw = 0, stored = 0, frames = 0;
	json_t *tier, *codec;
	const char *name;
	size_t i;
	int pass;

	table_row(table, "Tier", "Type", "Perc", "Disk-Usage", "Uncompressed", "Frames", NULL);
	/* The sum comes first, so the rows are gone through twice. */
	for (pass = 0; pass < 2; pass++) {
		json_array_foreach(json_object_get(stats, "tiers"), i, tier)
		{
			json_object_foreach(json_object_get(tier, "codec"), name, codec)
			{
				uint64_t r = control_number(codec, "raw");
				uint64_t s = control_number(codec, "stored");
				uint64_t f = control_number(codec, "frames");

				if (pass && f)
					codec_row(table, control_text(tier, "name"), name, s, r, f,
						  plain);
				raw += pass ? 0 : r;
				stored += pass ? 0 : s;
				frames += pass ? 0 : f;
			}
		}
		if (!pass)
			codec_row(table, "all", "TOTAL", stored, raw, frames, plain);
	}
	return table_print(table);
}

static enum exit_code show(const struct options *options,
			   bool (*print)(const json_t *stats, const char *point, bool plain))
{
	struct mount mount;
	json_t *stats;
	enum exit_code code = mount_find(options->nargs ? options->args[0] : NULL, false, &mount);

	if (code)
		return code;
	stats = control_read(&mount, "stats.json");
	if (!stats)
		code = EXIT_FAILED;
	else if (has(options, OPTION_JSON) ? !json_print(json_incref(stats))
					   : !print(stats, mount.point, has(options, OPTION_BYTES)))
		code = complain(EXIT_FAILED, "out of memory");
	json_decref(stats);
	mount_release(&mount);
	return code;
}

static bool print_usage(const json_t *stats, const char *point, bool plain)
{
	bool done;

	printf("Pool %s at %s, %s\n", control_text(stats, "pool"), point,
	       control_text(stats, "config"));
	done = print_amounts(stats, plain);
	putchar('\n');
	return print_codecs(stats, plain) && done;
}

enum exit_code verb_status(const struct options *options)
{
	return show(options, print_status);
}

enum exit_code verb_usage(const struct options *options)
{
	return show(options, print_usage);
}
