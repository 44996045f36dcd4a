// SPDX-License-Identifier: Apache-2.0
#include "tools/terrace/would.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/terrace/attributes.h"
#include "tools/terrace/below.h"
#include "tools/terrace/control.h"

struct question {
	const json_t *tiers; /* of stats.json: their order */
	const char *to;
	int step;
	struct would *sum;
};

static int index_of(const json_t *tiers, const char *name)
{
	json_t *tier;
	size_t i;

	json_array_foreach(tiers, i, tier)
	{
		if (!strcmp(control_text(tier, "name"), name))
			return (int)i;
	}
	return -1;
}

/* The target of a file that is mostly in tier `main_tier`; "": it is at that end already. */
static const char *target_of(const struct question *question, const char *main_tier)
{
	int from = index_of(question->tiers, main_tier), to = from + question->step;

	if (question->to)
		return question->to;
	return from < 0 || to < 0
		       ? ""
		       : control_text(json_array_get(question->tiers, (size_t)to), "name");
}

/* text: "ssd=123 hdd=456", as the attribute has it. What is beyond the target stays there. */
static uint64_t bytes_to_move(const struct question *question, const char *text)
{
	uint64_t moved = 0, most = 0, bytes;
	char name[32], main_tier[32] = "";
	int used, target;

	for (const char *p = text; sscanf(p, "%31[^=]=%" SCNu64 " %n", name, &bytes, &used) == 2;
	     p += used) {
		if (bytes > most) {
			most = bytes;
			memcpy(main_tier, name, sizeof(name));
		}
	}
	target = index_of(question->tiers, target_of(question, main_tier));
	for (const char *p = text; sscanf(p, "%31[^=]=%" SCNu64 " %n", name, &bytes, &used) == 2;
	     p += used)
		if ((target - index_of(question->tiers, name)) * question->step > 0)
			moved += bytes;
	return target < 0 ? 0 : moved;
}

static enum exit_code add_file(void *arg, const char *file, const char *at, const struct stat *st)
{
	struct question *question = arg;
	char *text = attribute_get(at, "tiers");
	uint64_t bytes;

	(void)st;
	if (!text)
		return complain(EXIT_FAILED, "%s: %s", file, strerror(errno));
	bytes = bytes_to_move(question, text);
	question->sum->files += bytes > 0;
	question->sum->bytes += bytes;
	free(text);
	return EXIT_DONE;
}

enum exit_code would_move(const struct mount *mount, char *path, const char *to, int step,
			  struct would *sum)
{
	json_t *stats = control_read(mount, "stats.json");
	struct question question = {json_object_get(stats, "tiers"), to, step, sum};
	enum exit_code code = stats ? each_file(path, add_file, &question) : EXIT_FAILED;

	json_decref(stats);
	return code;
}

enum exit_code would_run(const struct mount *mount, struct would *sum)
{
	json_t *plan = control_read(mount, "plan"), *move;
	enum exit_code code = plan ? EXIT_DONE : EXIT_FAILED;
	size_t i;

	json_array_foreach(json_object_get(plan, "moves"), i, move)
	{
		if (*control_text(move, "block"))
			continue;
		sum->files += control_number(move, "files");
		sum->bytes += control_number(move, "bytes");
	}
	json_decref(plan);
	return code;
}

static bool find_used(const json_t *stats, const char *what, uint64_t *used)
{
	json_t *tier, *place;
	size_t i, k;

	json_array_foreach(json_object_get(stats, "tiers"), i, tier)
	{
		*used = control_number(tier, "used");
		if (!strcmp(control_text(tier, "name"), what))
			return true;
		json_array_foreach(json_object_get(tier, "places"), k, place)
		{
			char *path = control_name(place, "path");
			bool found = path && !strcmp(path, what);

			free(path);
			*used = control_number(place, "used");
			if (found)
				return true;
		}
	}
	return false;
}

enum exit_code would_empty(const struct mount *mount, const char *what, uint64_t *used)
{
	json_t *stats = control_read(mount, "stats.json");
	enum exit_code code = stats ? EXIT_DONE : EXIT_FAILED;

	if (stats && !find_used(stats, what, used))
		code = complain(EXIT_FAILED, "%s is no directory of a tier of %s", what,
				mount->point);
	json_decref(stats);
	return code;
}
