// SPDX-License-Identifier: Apache-2.0
/* terrace config: which file a pool's settings are in, its tiers' directories, and adding and
 * taking out directories while it is mounted. */
#include "tools/terrace/terrace.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/terrace/control.h"
#include "tools/terrace/mounts.h"
#include "tools/terrace/text.h"
#include "tools/terrace/would.h"

static const char *state_of(const json_t *place)
{
	if (json_is_true(json_object_get(place, "closed")))
		return "closed";
	return json_is_true(json_object_get(place, "copies")) ? "copies" : "open";
}

static void place_row(struct table *table, const json_t *tier, const json_t *place, bool plain)
{
	char size[TEXT_CELL], used[TEXT_CELL], free_bytes[TEXT_CELL];
	char *path = control_name(place, "path");

	table_row(table, control_text(tier, "name"),
		  text_size(control_number(place, "size"), plain, size),
		  text_size(control_number(place, "used"), plain, used),
		  text_size(control_number(place, "free"), plain, free_bytes), state_of(place),
		  path ? path : "?", NULL);
	free(path);
}

static bool print_places(const json_t *stats, bool plain)
{
	struct table *table = table_new("lrrrll");
	json_t *tier, *place;
	size_t i, k;

	print_json_name(stdout, json_object_get(stats, "config"));
	putchar('\n');
	table_row(table, "Tier", "Size", "Used", "Free", "State", "Path", NULL);
	json_array_foreach(json_object_get(stats, "tiers"), i, tier)
	{
		json_array_foreach(json_object_get(tier, "places"), k, place)
			place_row(table, tier, place, plain);
	}
	return table_print(table);
}

static bool print_json(const json_t *stats)
{
	json_t *tiers = json_array(), *tier;
	size_t i;

	json_array_foreach(json_object_get(stats, "tiers"), i, tier) json_array_append_new(
		tiers, json_pack("{ss sO}", "name", control_text(tier, "name"), "places",
				 json_object_get(tier, "places")));
	return json_print(json_pack("{sO sO so}", "pool", json_object_get(stats, "pool"), "config",
				    json_object_get(stats, "config"), "tiers", tiers));
}

static enum exit_code show(const struct options *options, const struct mount *mount)
{
	json_t *stats = control_read(mount, "stats.json");
	bool done;

	if (!stats)
		return EXIT_FAILED;
	done = has(options, OPTION_JSON) ? print_json(stats)
					 : print_places(stats, has(options, OPTION_BYTES));
	json_decref(stats);
	return done ? EXIT_DONE : complain(EXIT_FAILED, "out of memory");
}

/* The directory as the daemon knows it; the caller frees. One that is gone is named as it was. */
static char *full_path(const char *path)
{
	char *full = realpath(path, NULL), *folder;

	if (full || path[0] == '/')
		return full ? full : strdup(path);
	folder = getcwd(NULL, 0);
	if (!folder || asprintf(&full, "%s/%s", folder, path) < 0)
		full = NULL;
	free(folder);
	return full;
}

/* What the daemon would find first. */
static enum exit_code check_folder(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return complain(EXIT_FAILED, "%s: %s", path, strerror(errno));
	return S_ISDIR(st.st_mode) ? EXIT_DONE : complain(EXIT_FAILED, "%s: not a directory", path);
}

static enum exit_code dry_run(const struct options *options, const struct mount *mount,
			      json_t *request, bool add)
{
	char *path = control_name(request, "path");
	enum exit_code code = path ? control_check_tier(mount, control_text(request, "tier"))
				   : complain(EXIT_FAILED, "out of memory");
	uint64_t used = 0;

	if (!code)
		code = add ? check_folder(path) : would_empty(mount, path, &used);

	if (!code && !has(options, OPTION_JSON)) {
		printf("would %s ", add ? "add" : "take");
		print_name(stdout, path);
		printf(" %s tier %s\n", add ? "to" : "out of", control_text(request, "tier"));
	}
	if (!code && has(options, OPTION_JSON)) {
		json_object_set_new(request, "dry_run", json_true());
		if (!json_print(json_incref(request)))
			code = complain(EXIT_FAILED, "out of memory");
	}
	free(path);
	return code;
}

static enum exit_code change(const struct options *options, const struct mount *mount,
			     const char *verb)
{
	const char *tier = options->args[1];
	bool add = strcmp(verb, "remove-path") != 0;
	char *path = full_path(options->args[2]);
	json_t *request, *end = NULL;
	enum exit_code code;
	uint64_t job;

	if (!path)
		return complain(EXIT_FAILED, "%s: %s", options->args[2], strerror(errno));
	request = json_pack("{ss so so}", "verb", verb, "tier", json_name(tier), "path",
			    json_name(path));
	if (!request) {
		code = complain(EXIT_FAILED, "out of memory");
		goto out;
	}
	if (has(options, OPTION_DRY_RUN)) {
		code = dry_run(options, mount, request, add);
		json_decref(request);
		goto out;
	}
	code = control_submit(mount, request, &job);
	if (!code)
		code = control_follow(mount, job, PROGRESS_OFF, &end);
	code = code == EXIT_NOTHING ? EXIT_DONE : code; /* no bytes are moved */
	if (end && has(options, OPTION_JSON))
		json_print(json_incref(end));
	else if (!code) {
		print_name(stdout, path);
		printf(" is %s tier %s\n", add ? "in" : "no longer in", tier);
	}
	json_decref(end);
out:
	free(path);
	return code;
}

/* NULL: nothing is to be changed. */
static const char *verb_of(const char *word)
{
	static const char *const verbs[][2] = {
		{"add", "add-path"}, {"add-copy", "add-copy-path"}, {"remove", "remove-path"}};

	for (unsigned i = 0; i < 3; i++)
		if (!strcmp(word, verbs[i][0]))
			return verbs[i][1];
	return NULL;
}

enum exit_code verb_config(const struct options *options)
{
	const char *word = options->nargs ? options->args[0] : "show", *verb = verb_of(word);
	int at = verb ? 3 : !strcmp(word, "show");
	struct mount mount;
	enum exit_code code;

	if (options->nargs < (verb ? 3 : 0) || options->nargs > at + 1)
		return complain(EXIT_USAGE,
				"config [show] [MNT], config add TIER DIR [MNT], config "
				"add-copy TIER DIR [MNT] or config remove TIER DIR [MNT]");
	code = mount_find(options->nargs > at ? options->args[at] : NULL, false, &mount);
	if (code)
		return code;
	code = verb ? change(options, &mount, verb) : show(options, &mount);
	mount_release(&mount);
	return code;
}
