// SPDX-License-Identifier: Apache-2.0
/* The text of .terrace/plan: what a pass of the tier engine would do now, see terrace(7). */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <time.h>

#include "fs/control.h"
#include "fs/fs.h"
#include "fs/paths.h"
#include "tiers/engine/engine.h"
#include "tiers/pool.h"

static json_t *number(uint64_t n)
{
	return json_integer((json_int_t)n);
}

static json_t *tier_name(const struct pool_config *config, int tier)
{
	return tier >= 0 && (uint32_t)tier < config->ntiers ? json_string(config->tiers[tier].name)
							    : json_null();
}

static json_t *move_json(const struct pool_config *config, const struct plan_move *move)
{
	json_t *json = json_pack("{s:o,s:o,s:s,s:o,s:o,s:o,s:o,s:o,s:b,s:f,s:f}", "from",
				 tier_name(config, move->from), "to", tier_name(config, move->to),
				 "reason", reason_name(move->reason), "frames",
				 number(move->frames), "bytes", number(move->raw), "stored",
				 number(move->stored), "stored_after", number(move->stored_after),
				 "files", number(move->files), "more_files", move->more_files,
				 "seconds", move->seconds, "benefit_s", move->benefit_s);

	if (json && move->block != BLOCK_NONE) {
		json_object_set_new(json, "block", json_string(block_name(move->block)));
		json_object_set_new(json, "until",
				    move->when_s ? number(move->when_s) : json_null());
	}
	return json;
}

static json_t *tiers_json(struct fs *fs, const struct plan *plan)
{
	const struct pool_config *config = pool_config(fs->pool);
	struct pool_usage *usage = malloc(sizeof(*usage));
	json_t *tiers = json_array();

	if (!usage)
		return tiers;
	pool_usage(fs->pool, usage);
	for (uint32_t t = 1; t < config->ntiers; t++)
		json_array_append_new(tiers,
				      json_pack("{s:s,s:o,s:o,s:o}", "name", config->tiers[t].name,
						"size", number(usage->tiers[t].size), "used",
						number(plan->used[t]), "used_after",
						number(plan->used_after[t])));
	free(usage);
	return tiers;
}

int control_plan(struct fs *fs, char **out)
{
	json_t *root, *moves = json_array(), *files = json_array();
	struct plan plan;
	int r = pool_plan(fs->pool, &plan);

	if (r) {
		json_decref(moves);
		json_decref(files);
		return r;
	}
	for (size_t i = 0; i < plan.nmoves; i++)
		json_array_append_new(moves, move_json(pool_config(fs->pool), &plan.moves[i]));
	for (size_t i = 0; i < plan.nobjects; i++) {
		json_t *path = path_json_of(fs, plan.objects[i]);

		if (path)
			json_array_append_new(files, path);
	}
	root = json_pack("{s:o,s:o,s:o,s:o}", "time", number((uint64_t)time(NULL)), "tiers",
			 tiers_json(fs, &plan), "moves", moves, "files", files);
	plan_release(&plan);
	*out = root ? json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
	json_decref(root);
	return *out ? 0 : -ENOMEM;
}
