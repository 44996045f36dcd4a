// SPDX-License-Identifier: Apache-2.0
/*
 * terrace policy: the pool's settings and rules, and changing settings while it is mounted. The
 * daemon checks, writes its configuration file and applies; here requests are only worded.
 */
#include "tools/terrace/terrace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/terrace/control.h"
#include "tools/terrace/mounts.h"
#include "tools/terrace/text.h"
#include "tiers/escape.h"

/* Showing -------------------------------------------------------------------------------------- */

static bool print_settings(const json_t *settings)
{
	struct table *table = table_new("lllll");
	json_t *row;
	size_t i;

	table_row(table, "Setting", "Value", "Source", "Default", "Changes", NULL);
	json_array_foreach(settings, i, row)
	{
		table_row(table, control_text(row, "key"), control_text(row, "value"),
			  control_text(row, "source"), control_text(row, "default"),
			  json_is_true(json_object_get(row, "live")) ? "now" : "at the next mount",
			  NULL);
	}
	return table_print(table);
}

/* Patterns are no names: a backslash of theirs stays one. */
static void print_pair(const char *key, const json_t *value)
{
	char *text = json_name_get(value), *shown = NULL;
	size_t cap = text ? ESCAPED_CAP(strlen(text)) : 0;

	if (text)
		shown = malloc(cap);
	printf(" %s=%s", key, shown ? escape_line(text, shown, cap) : "?");
	free(shown);
	free(text);
}

static void print_pairs(const char *key, const json_t *value)
{
	json_t *one;
	size_t i;

	if (json_is_string(value))
		print_pair(key, value);
	json_array_foreach(value, i, one)
	{
		print_pair(key, one);
	}
}

static void print_rules(const json_t *rules)
{
	static const char *const conditions[] = {"match",    "min_age", "min_size",
						 "max_size", "owner",	NULL};
	static const char *const wishes[] = {"tier", "codec", "replicas", "never", "ignore", NULL};
	json_t *rule;
	size_t i;

	printf("\n%s\n",
	       json_array_size(rules) ? "Rules; the first that fits counts:" : "No rules.");
	json_array_foreach(rules, i, rule)
	{
		printf("%3zu ", i + 1);
		print_json_name(stdout, json_object_get(rule, "name"));
		putchar(':');
		for (size_t k = 0; conditions[k]; k++)
			print_pairs(conditions[k], json_object_get(rule, conditions[k]));
		printf(" ->");
		for (size_t k = 0; wishes[k]; k++)
			print_pairs(wishes[k], json_object_get(rule, wishes[k]));
		printf("\n");
	}
}

static enum exit_code show(const struct options *options, const struct mount *mount)
{
	json_t *root = control_read(mount, "policy");
	bool done;

	if (!root)
		return EXIT_FAILED;
	if (has(options, OPTION_JSON)) {
		done = json_print(root);
	} else {
		print_json_name(stdout, json_object_get(root, "file"));
		printf("\n\n");
		done = print_settings(json_object_get(root, "settings"));
		print_rules(json_object_get(root, "rules"));
		json_decref(root);
	}
	return done ? EXIT_DONE : complain(EXIT_FAILED, "out of memory");
}

/* Changing ------------------------------------------------------------------------------------- */

/* Takes the reference. */
static enum exit_code request(const struct options *options, const struct mount *mount,
			      json_t *json)
{
	char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
	json_t *reply = NULL;
	enum exit_code code;

	json_decref(json);
	if (!text)
		return complain(EXIT_FAILED, "out of memory");
	code = control_request(mount, "policy", text, &reply);
	if (!code && has(options, OPTION_DRY_RUN)) {
		json_object_set_new(reply, "done", json_false());
		json_object_set_new(reply, "dry_run", json_true());
	}
	if (!code && has(options, OPTION_JSON) && !json_print(json_incref(reply)))
		code = complain(EXIT_FAILED, "out of memory");
	json_decref(reply);
	free(text);
	return code;
}

static enum exit_code set(const struct options *options, const struct mount *mount, int end)
{
	json_t *keys = json_object(), *json;
	bool dry = has(options, OPTION_DRY_RUN);
	enum exit_code code;

	for (int i = 1; i < end; i++) {
		char *equals = strchr(options->args[i], '=');
		json_t *value;

		*equals = '\0';
		if (json_object_get(keys, options->args[i])) {
			json_decref(keys);
			return complain(EXIT_USAGE, "%s is given twice", options->args[i]);
		}
		value = json_name(equals + 1);
		if (json_object_set_new(keys, options->args[i], value)) { /* not UTF-8 */
			json_decref(keys);
			return value ? complain(EXIT_FAILED, "'%s' is no setting", options->args[i])
				     : complain(EXIT_FAILED, "out of memory");
		}
	}
	json = json_pack("{so sb sb}", "set", keys, "runtime", has(options, OPTION_RUNTIME),
			 "dry_run", dry);
	code = request(options, mount, json);
	for (int i = 1; i < end && !code && !has(options, OPTION_JSON); i++)
		printf("%s = %s %s\n", options->args[i],
		       options->args[i] + strlen(options->args[i]) + 1,
		       dry			      ? "would be set"
		       : has(options, OPTION_RUNTIME) ? "is set until the next mount"
						      : "is set, here and in the file");
	return code;
}

/* The number of arguments before MNT, which may be left out. */
static int words_end(const struct options *options, bool sets)
{
	int end = 1;

	while (sets && end < options->nargs && strchr(options->args[end], '=') &&
	       options->args[end][0] != '/')
		end++;
	return end;
}

enum exit_code verb_policy(const struct options *options)
{
	const char *word = options->nargs ? options->args[0] : "show";
	bool sets = !strcmp(word, "set"), reloads = !strcmp(word, "reload");
	bool shows = !strcmp(word, "show") || !options->nargs;
	int end = sets || reloads || shows ? words_end(options, sets) : 0;
	struct mount mount;
	enum exit_code code;

	if (options->nargs > end + 1 || (sets && end == 1))
		return complain(EXIT_USAGE, "policy [show] [MNT], policy set KEY=VALUE... [MNT] or "
					    "policy reload [MNT]");
	code = mount_find(options->nargs > end ? options->args[end] : NULL, false, &mount);
	if (code)
		return code;
	if (sets)
		code = set(options, &mount, end);
	else if (reloads)
		code = request(options, &mount, json_pack("{sb}", "reload", 1));
	else
		code = show(options, &mount);
	mount_release(&mount);
	return code;
}
