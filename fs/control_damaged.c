// SPDX-License-Identifier: Apache-2.0
/* The text of .terrace/damaged, and what stats.json says of damage, scrubs and copies: see
 * terrace(7). */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/control.h"
#include "fs/fs.h"
#include "fs/paths.h"
#include "fs/text.h"
#include "tiers/damage.h"
#include "tiers/lost.h"
#include "tiers/pool.h"
#include "tiers/replicate.h"
#include "tiers/scrub.h"

struct print {
	struct fs *fs;
	FILE *out;
	bool any;
};

static json_t *number(uint64_t n)
{
	return json_integer((json_int_t)n);
}

static json_t *item_json(struct fs *fs, const struct damaged *damaged)
{
	const struct pool_config *config = pool_config(fs->pool);
	const struct damage *damage = &damaged->damage;
	const char *error = strerrorname_np(-damage->error);
	json_t *json = json_object(),
	       *path = damaged->object ? path_json_of(fs, damaged->object) : NULL;

	json_object_set_new(json, "path", path ? path : json_null());
	if (damaged->object) {
		json_object_set_new(json, "object", number(damaged->object));
		json_object_set_new(json, "offset", number(damaged->off));
		json_object_set_new(json, "length", number(damaged->len));
	}
	if (damage->tier < config->ntiers)
		json_object_set_new(json, "tier", json_string(config->tiers[damage->tier].name));
	json_object_set_new(json, "frame", number(damage->frame));
	json_object_set_new(json, "segment", number(damage->segment));
	json_object_set_new(json, "error", json_string(error ? error : "EIO"));
	json_object_set_new(json, "since", number(damage->since_s));
	return json;
}

static int print_item(void *arg, const struct damaged *damaged)
{
	struct print *print = arg;
	json_t *json = item_json(print->fs, damaged);
	int r;

	if (print->any)
		fputc(',', print->out);
	print->any = true;
	r = json_dumpf(json, print->out, JSON_COMPACT);
	json_decref(json);
	return r ? -ENOMEM : 0;
}

/* The list is as long as the damage: it is printed as it is found. */
int control_damaged(struct fs *fs, char **out)
{
	size_t len;
	struct print print = {.fs = fs, .out = open_memstream(out, &len)};
	int r;

	if (!print.out)
		return -ENOMEM;
	fprintf(print.out, "{\"frames\":%zu,\"damaged\":[", damage_count(fs->pool));
	r = pool_damaged(fs->pool, print_item, &print);
	fputs("]}", print.out);
	if (fclose(print.out) && !r)
		r = -ENOMEM;
	if (r) {
		free(*out);
		*out = NULL;
	}
	return r;
}

struct lost_list {
	const struct pool_config *config;
	json_t *paths;
};

static int add_lost(void *arg, uint32_t tier, const char *path, bool went)
{
	struct lost_list *list = arg;

	return json_array_append_new(list->paths,
				     json_pack("{ss so sb}", "tier", list->config->tiers[tier].name,
					       "path", json_name(path), "went", went));
}

static json_t *replicas_json(struct fs *fs)
{
	struct lost_list list = {.config = pool_config(fs->pool), .paths = json_array()};
	struct copies_stats copies;

	pool_copies(fs->pool, &copies);
	lost_each(fs->pool, add_lost, &list);
	return json_pack("{s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "missing_segments",
			 number(copies.under), "missing_bytes", number(copies.under_bytes),
			 "stuck_bytes", number(copies.stuck_bytes), "extra_bytes",
			 number(copies.extra_bytes), "bad_frames", number(copies.bad), "fallbacks",
			 number(copies.fallbacks), "copied_bytes", number(copies.copied_bytes),
			 "lost_places", number(copies.lost_places), "lost", list.paths);
}

void control_damage_json(struct fs *fs, json_t *stats)
{
	struct scrub_status status;

	pool_scrub_status(fs->pool, &status);
	json_object_set_new(stats, "replicas", replicas_json(fs));
	json_object_set_new(stats, "damaged", number(damage_count(fs->pool)));
	json_object_set_new(stats, "scrub",
			    json_pack("{s:b,s:o,s:o,s:o,s:o,s:o,s:o}", "under_way",
				      status.under_way, "began", number(status.began_s), "ended",
				      number(status.ended_s), "frames", number(status.frames),
				      "bytes", number(status.bytes), "damaged",
				      number(status.damaged), "mended", number(status.mended)));
}
