// SPDX-License-Identifier: Apache-2.0
/* The texts of .terrace/stats.json and .terrace/status: struct pool_usage for machines, for people.
 */
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "fs/control.h"
#include "fs/fs.h"
#include "tiers/places.h"
#include "tiers/pool.h"

static json_t *number(uint64_t n)
{
	return json_integer((json_int_t)n);
}

static json_t *codecs_json(const struct tier_usage *usage)
{
	json_t *codecs = json_object();

	for (unsigned id = 0; id < CODEC_COUNT; id++)
		if (usage->codec[id].frames)
			json_object_set_new(codecs, codec_name(id),
					    json_pack("{s:o,s:o,s:o}", "raw",
						      number(usage->codec[id].raw), "stored",
						      number(usage->codec[id].stored), "frames",
						      number(usage->codec[id].frames)));
	return codecs;
}

struct paths { /* of one tier, as they are now */
	json_t *paths, *places;
	const char *first;
	unsigned count;
};

static int each_place(void *arg, const struct pool_place *place)
{
	struct paths *paths = arg;

	if (!paths->count++)
		paths->first = place->path;
	if (!paths->paths)
		return 0;
	json_array_append_new(paths->paths, json_string(place->path));
	json_array_append_new(paths->places,
			      json_pack("{s:s,s:o,s:o,s:o,s:o,s:b}", "path", place->path, "size",
					number(place->space.total), "free",
					number(place->space.free), "used",
					number(place->space.used), "live", number(place->live),
					"closed", place->closed));
	return 0;
}

static json_t *tier_json(struct pool *pool, uint32_t t, const struct tier_usage *usage)
{
	const struct config_tier *config = &pool_config(pool)->tiers[t];
	struct paths paths = {.paths = json_array(), .places = json_array()};

	if (config->kind == TIER_KIND_RAM && config->npaths)
		json_array_append_new(paths.paths, json_string(config->paths[0]));
	pool_places(pool, t, each_place, &paths);
	return json_pack("{s:s,s:s,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "name",
			 config->name, "kind", config->kind == TIER_KIND_RAM ? "ram" : "dir",
			 "paths", paths.paths, "places", paths.places, "size", number(usage->size),
			 "free", number(usage->free), "used", number(usage->used), "live",
			 number(usage->live), "logical", number(usage->logical), "frames",
			 number(usage->frames), "hits", number(usage->hits), "misses",
			 number(usage->misses), "cached", number(usage->cached), "codec",
			 codecs_json(usage));
}

char *control_stats_json(struct fs *fs, const char *mount)
{
	const struct pool_config *config = pool_config(fs->pool);
	struct pool_usage *usage = calloc(1, sizeof(*usage));
	struct pool_space space;
	char uuid[33], *text;
	json_t *root, *tiers;

	if (!usage)
		return NULL;
	pool_usage(fs->pool, usage);
	pool_space(fs->pool, &space);
	for (unsigned i = 0; i < 16; i++)
		snprintf(uuid + 2 * i, 3, "%02x", config->uuid[i]);
	tiers = json_array();
	for (uint32_t i = 0; i < usage->ntiers; i++)
		json_array_append_new(tiers, tier_json(fs->pool, i, &usage->tiers[i]));
	root = json_pack(
		"{s:i,s:s,s:s,s:s,s:s,s:i,s:s,s:o,s:o,s:o,s:o,s:o,s:o,s:{s:o,s:o},s:o}", "version",
		1, "program", TERRACE_VERSION, "pool", config->name ? config->name : "", "config",
		config->file ? config->file : "", "uuid", uuid, "pid", (int)getpid(), "mount",
		mount, "logical", number(usage->logical), "packed", number(usage->packed), "stored",
		number(usage->stored), "metadata", number(usage->metadata), "objects",
		number(usage->objects), "parked", number(usage->parked), "space", "total",
		number(space.total), "free", number(space.free), "tiers", tiers);
	text = root ? json_dumps(root, JSON_COMPACT) : NULL;
	json_decref(root);
	free(usage);
	return text;
}

static const char *human(uint64_t bytes, char buf[static 16])
{
	static const char units[] = "BKMGTPE";
	double value = (double)bytes;
	unsigned unit = 0;

	while (value >= 1024 && unit < sizeof(units) - 2) {
		value /= 1024;
		unit++;
	}
	snprintf(buf, 16, unit && value < 10 ? "%.1f%c" : "%.0f%c", value, units[unit]);
	return buf;
}

/* Hit% is the share of all `reads` that the tier served. */
static void row(FILE *file, const char *name, const struct tier_usage *usage, uint64_t reads,
		double ratio, const char *path)
{
	char size[16], used[16], logical[16], hit[16] = "-", percent[16] = "-";

	if (reads)
		snprintf(hit, sizeof(hit), "%.1f", 100.0 * (double)usage->hits / (double)reads);
	if (usage->size)
		snprintf(percent, sizeof(percent), "%.1f",
			 100.0 * (double)usage->used / (double)usage->size);
	fprintf(file, "%-16s %8s %8s %6s %8s %6.2f %6s %s\n", name, human(usage->size, size),
		human(usage->used, used), percent, human(usage->logical, logical), ratio, hit,
		path);
}

static double ratio_of(uint64_t logical, uint64_t stored)
{
	return stored ? (double)logical / (double)stored : 1.0;
}

char *control_status(struct fs *fs)
{
	const struct pool_config *config = pool_config(fs->pool);
	struct pool_usage *usage = calloc(1, sizeof(*usage));
	struct tier_usage all = {.size = 0};
	struct pool_space space;
	uint64_t reads = 0;
	char *text = NULL;
	size_t len;
	FILE *file = usage ? open_memstream(&text, &len) : NULL;

	if (!file) {
		free(usage);
		return NULL;
	}
	pool_usage(fs->pool, usage);
	for (uint32_t i = 0; i < usage->ntiers; i++) {
		const struct tier_usage *tier = &usage->tiers[i];

		reads += tier->hits;
		if (i) /* the RAM tier is a buffer and a cache: no room of its own */
			all.used += tier->used;
	}
	all.logical = usage->logical;
	pool_space(fs->pool, &space);
	all.size = space.total; /* tiers may share media */
	fprintf(file, "%-16s %8s %8s %6s %8s %6s %6s %s\n", "Tier", "Size", "Used", "Use%",
		"Logical", "Ratio", "Hit%", "Path");
	row(file, "combined", &all, 0, ratio_of(usage->logical, usage->stored), "");
	for (uint32_t i = 0; i < usage->ntiers; i++) {
		const struct config_tier *tier = &config->tiers[i];
		struct paths paths = {.first = tier->paths[0]};
		char path[PATH_MAX + 16];

		pool_places(fs->pool, i, each_place, &paths);
		snprintf(path, sizeof(path), "%s", paths.first ? paths.first : "");
		if (paths.count > 1)
			snprintf(path, sizeof(path), "%s +%u", paths.first, paths.count - 1);
		row(file, tier->name, &usage->tiers[i], reads,
		    ratio_of(usage->tiers[i].logical, usage->tiers[i].live), path);
	}
	if (fclose(file)) {
		free(text);
		text = NULL;
	}
	free(usage);
	return text;
}
