// SPDX-License-Identifier: Apache-2.0
/* The texts of .terrace/stats.json and .terrace/status: the accounts for machines, for people. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/control.h"
#include "fs/fs.h"
#include "fs/status_text.h"
#include "fs/text.h"
#include "tiers/copier.h"
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
};

static int each_place(void *arg, const struct pool_place *place)
{
	struct paths *paths = arg;

	json_array_append_new(paths->paths, json_name(place->path));
	json_array_append_new(paths->places,
			      json_pack("{s:o,s:o,s:o,s:o,s:o,s:b,s:b}", "path",
					json_name(place->path), "size", number(place->space.total),
					"free", number(place->space.free), "used",
					number(place->space.used), "live", number(place->live),
					"closed", place->closed, "copies", place->spare));
	return 0;
}

static json_t *tier_json(struct pool *pool, uint32_t t, const struct tier_usage *usage)
{
	const struct config_tier *config = &pool_config(pool)->tiers[t];
	struct paths paths = {.paths = json_array(), .places = json_array()};
	json_t *json;

	if (config->kind == TIER_KIND_RAM && config->npaths)
		json_array_append_new(paths.paths, json_name(config->paths[0]));
	pool_places(pool, t, each_place, &paths);
	json = json_pack("{s:s,s:s,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "name",
			 config->name, "kind", config->kind == TIER_KIND_RAM ? "ram" : "dir",
			 "paths", paths.paths, "places", paths.places, "size", number(usage->size),
			 "free", number(usage->free), "used", number(usage->used), "live",
			 number(usage->live), "logical", number(usage->logical), "frames",
			 number(usage->frames), "hits", number(usage->hits), "misses",
			 number(usage->misses), "cached", number(usage->cached), "codec",
			 codecs_json(usage));
	if (config->kind == TIER_KIND_RAM) {
		json_object_set_new(json, "limit", number(usage->limit));
		json_object_set_new(json, "pinned", number(usage->pinned));
		json_object_set_new(json, "unpinned", number(usage->unpinned));
	}
	return json;
}

static json_t *copies_json(struct pool *pool)
{
	struct copier_status status;

	pool_copies_status(pool, &status);
	return json_pack("{s:i,s:o,s:o,s:f,s:o,s:o,s:s}", "keep",
			 (int)pool_config(pool)->metadata_copies, "directories",
			 number(status.dirs), "generation", number(status.newest.generation),
			 "time", (double)status.newest.time_ns / 1e9, "bytes",
			 number(status.newest.bytes), "written", number(status.written), "error",
			 status.error ? strerror(-status.error) : "");
}

static json_t *make_stats(struct fs *fs, const char *mount)
{
	const struct pool_config *config = pool_config(fs->pool);
	struct pool_usage *usage = calloc(1, sizeof(*usage));
	struct pool_space space;
	char uuid[33];
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
	root = json_pack("{s:i,s:s,s:o,s:o,s:s,s:i,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:{s:o,s:o},s:o}",
			 "version", 1, "program", TERRACE_VERSION, "pool",
			 json_name(config->name ? config->name : ""), "config",
			 json_name(config->file ? config->file : ""), "uuid", uuid, "pid",
			 (int)getpid(), "mount", json_name(mount), "logical",
			 number(usage->logical), "packed", number(usage->packed), "stored",
			 number(usage->stored), "metadata", number(usage->metadata), "objects",
			 number(usage->objects), "parked", number(usage->parked), "space", "total",
			 number(space.total), "free", number(space.free), "tiers", tiers);
	free(usage);
	if (root) {
		json_object_set_new(root, "metadata_copies", copies_json(fs->pool));
		control_engine_json(fs, root);
		control_damage_json(fs, root);
	}
	return root;
}

char *control_stats_json(struct fs *fs, const char *mount)
{
	json_t *stats = make_stats(fs, mount);
	char *text = stats ? json_dumps(stats, JSON_COMPACT | JSON_REAL_PRECISION(15)) : NULL;

	json_decref(stats);
	return text;
}

char *control_status(struct fs *fs, const char *mount)
{
	json_t *stats = make_stats(fs, mount);
	char *text = stats ? status_text(stats, false) : NULL;

	json_decref(stats);
	return text;
}
