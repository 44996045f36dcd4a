// SPDX-License-Identifier: Apache-2.0
/*
 * terrace promote, demote and run: a job for the daemon, followed to its end. All paths of one call
 * are on one pool, so one call is one job.
 */
#include "tools/terrace/terrace.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/terrace/attributes.h"
#include "tools/terrace/control.h"
#include "tools/terrace/mounts.h"
#include "tools/terrace/text.h"
#include "tools/terrace/would.h"

/* The paths as the daemon knows them; *mount is the one they are all on. */
static enum exit_code take_paths(const struct options *options, struct mount *mount, json_t *paths)
{
	enum exit_code code = EXIT_DONE;
	int i;

	for (i = 0; !code && i < options->nargs; i++) {
		struct mount here;
		char *inside = NULL;

		code = mount_of_path(options->args[i], &here, &inside);
		if (!code && i && here.device != mount->device)
			code = complain(EXIT_USAGE, "%s and %s are of two pools; use two calls",
					options->args[0], options->args[i]);
		if (!code && json_array_append_new(paths, json_name(inside)))
			code = complain(EXIT_FAILED, "out of memory");
		free(inside);
		if (!code && !i)
			*mount = here;
		else
			mount_release(&here);
	}
	return code;
}

/* And why, perhaps. */
static void print_nothing(const char *verb, const char *to)
{
	if (!strcmp(verb, "run"))
		printf("nothing to move (what is held up, and why: terrace plan)\n");
	else if (*to && !strcmp(verb, "demote"))
		printf("nothing to move down to %s (what is below it comes up by terrace "
		       "promote)\n",
		       to);
	else if (*to && !strcmp(verb, "promote"))
		printf("nothing to move up to %s (what is above it goes down by terrace demote)\n",
		       to);
	else
		printf("nothing to move\n");
}

static void print_end(const json_t *job)
{
	char moved[TEXT_CELL];
	const char *to = control_text(job, "to");
	uint64_t made = control_number(job, "directories_made");
	uint64_t files = control_number(job, "files");

	if (made)
		printf("made %" PRIu64 " %s again that had been deleted\n", made,
		       made == 1 ? "directory" : "directories");
	if (!control_number(job, "moved")) {
		print_nothing(control_text(job, "verb"), to);
		return;
	}
	printf("moved %s", text_size(control_number(job, "moved"), false, moved));
	if (files)
		printf(" in %" PRIu64 " %s", files, files == 1 ? "file" : "files");
	printf("%s%s\n", to[0] ? " to " : "", to);
}

static enum exit_code submit(const struct options *options, const struct mount *mount,
			     json_t *request)
{
	json_t *end = NULL;
	uint64_t job;
	enum exit_code code = control_submit(mount, request, &job);

	if (code)
		return code;
	if (has(options, OPTION_ASYNC))
		return control_print_started(options, job);
	code = control_follow(mount, job, options->progress, &end);
	if (end && has(options, OPTION_JSON)) {
		if (!json_print(json_incref(end)))
			code = complain(EXIT_FAILED, "out of memory");
	} else if (end && (code == EXIT_DONE || code == EXIT_NOTHING)) {
		print_end(end);
	}
	json_decref(end);
	return code;
}

/* What would be asked, where the paths are now, and how much would go. Takes the reference. */
static enum exit_code print_plan(const struct options *options, const struct mount *mount,
				 json_t *request)
{
	const char *verb = control_text(request, "verb");
	enum exit_code code = EXIT_DONE;
	struct would all = {0, 0};

	for (int i = 0; i < options->nargs; i++) {
		char *tiers = attribute_get(options->args[i], "tiers"), size[TEXT_CELL];
		struct would sum = {0, 0};

		if (would_move(mount, options->args[i], options->to,
			       strcmp(verb, "promote") ? 1 : -1, &sum))
			code = EXIT_FAILED;
		all.files += sum.files;
		all.bytes += sum.bytes;
		if (!has(options, OPTION_JSON)) {
			printf("would %s ", verb);
			print_name(stdout, options->args[i]);
			printf("%s%s%s%s%s: %" PRIu64 " files, %s\n", options->to ? " to " : "",
			       options->to ? options->to : "", tiers && tiers[0] ? " (now " : "",
			       tiers ? tiers : "", tiers && tiers[0] ? ")" : "", sum.files,
			       text_size(sum.bytes, false, size));
		}
		free(tiers);
	}
	json_object_set_new(request, "dry_run", json_true());
	json_object_set_new(request, "files", json_integer((json_int_t)all.files));
	json_object_set_new(request, "bytes", json_integer((json_int_t)all.bytes));
	if (has(options, OPTION_JSON) && !json_print(json_incref(request)))
		code = complain(EXIT_FAILED, "out of memory");
	json_decref(request);
	return code;
}

static enum exit_code move(const struct options *options, const char *verb)
{
	struct mount mount = {NULL, NULL, NULL, 0};
	json_t *paths = json_array(), *request;
	enum exit_code code = take_paths(options, &mount, paths);

	if (!code && options->to)
		code = control_check_tier(&mount, options->to);
	if (code) {
		json_decref(paths);
		mount_release(&mount);
		return code;
	}
	request = json_pack("{ss so}", "verb", verb, "paths", paths);
	if (options->to)
		json_object_set_new(request, "to", json_string(options->to));
	if (has(options, OPTION_DRY_RUN))
		code = print_plan(options, &mount, request);
	else
		code = submit(options, &mount, request);
	mount_release(&mount);
	return code;
}

enum exit_code verb_promote(const struct options *options)
{
	return move(options, "promote");
}

enum exit_code verb_demote(const struct options *options)
{
	return move(options, "demote");
}

static enum exit_code dry_run(const struct options *options, const struct mount *mount)
{
	struct would sum = {0, 0};
	char size[TEXT_CELL];
	enum exit_code code = would_run(mount, &sum);

	if (code)
		return code;
	if (has(options, OPTION_JSON))
		return json_print(json_pack("{ss so sb sI sI}", "verb", "run", "mount",
					    json_name(mount->point), "dry_run", 1, "files",
					    (json_int_t)sum.files, "bytes", (json_int_t)sum.bytes))
			       ? EXIT_DONE
			       : complain(EXIT_FAILED, "out of memory");
	printf("would run the tier engine of %s once: %" PRIu64 " files, %s (terrace plan)\n",
	       mount->point, sum.files, text_size(sum.bytes, false, size));
	return EXIT_DONE;
}

enum exit_code verb_run(const struct options *options)
{
	struct mount mount;
	enum exit_code code = mount_find(options->nargs ? options->args[0] : NULL, false, &mount);

	if (code)
		return code;
	code = has(options, OPTION_DRY_RUN)
		       ? dry_run(options, &mount)
		       : submit(options, &mount, json_pack("{ss}", "verb", "run"));
	mount_release(&mount);
	return code;
}

/* The directory as the daemon knows it, or the tier. */
static json_t *evacuate_request(const char *what)
{
	char *full = strchr(what, '/') ? realpath(what, NULL) : NULL;
	json_t *request =
		json_pack("{ss so}", "verb", "evacuate", strchr(what, '/') ? "path" : "tier",
			  json_name(full ? full : what));

	free(full);
	return request;
}

/* Takes the reference. */
static enum exit_code dry_evacuate(const struct options *options, const struct mount *mount,
				   json_t *request)
{
	char *path = control_name(request, "path");
	const char *what = path && *path ? path : control_text(request, "tier");
	uint64_t used = 0;
	enum exit_code code = would_empty(mount, what, &used);
	char size[TEXT_CELL];

	if (!code && !has(options, OPTION_JSON)) {
		printf("would empty ");
		print_name(stdout, what);
		printf(", which takes %s, and keep it so until the next mount\n",
		       text_size(used, false, size));
	}
	json_object_set_new(request, "dry_run", json_true());
	json_object_set_new(request, "used", json_integer((json_int_t)used));
	if (!code && has(options, OPTION_JSON) && !json_print(json_incref(request)))
		code = complain(EXIT_FAILED, "out of memory");
	json_decref(request);
	free(path);
	return code;
}

enum exit_code verb_evacuate(const struct options *options)
{
	const char *what = options->args[0];
	struct mount mount;
	enum exit_code code =
		mount_find(options->nargs > 1 ? options->args[1] : NULL, false, &mount);

	if (code)
		return code;
	if (!strchr(what, '/'))
		code = control_check_tier(&mount, what);
	if (code)
		goto out;
	code = has(options, OPTION_DRY_RUN) ? dry_evacuate(options, &mount, evacuate_request(what))
					    : submit(options, &mount, evacuate_request(what));
out:
	mount_release(&mount);
	return code;
}
