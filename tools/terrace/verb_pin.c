// SPDX-License-Identifier: Apache-2.0
/*
 * terrace pin and unpin: the attribute user.terrace.pin of each path. A pin begins to move what is
 * elsewhere; user.terrace.job names the job, which is then followed to its end.
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

static enum exit_code cannot_set(const char *path, int error)
{
	const char *hint = "";

	if (error == -EPERM || error == -EACCES)
		hint = " (only the owner and root may; links and devices hold no pins)";
	return complain(error == -EBUSY ? EXIT_BUSY : EXIT_FAILED, "%s: %s%s", path,
			strerror(-error), hint);
}

/* tier NULL: unpin. EXIT_NOTHING: it was so before. */
static enum exit_code change_one(const char *path, const char *tier, bool dry)
{
	struct mount mount;
	char *now;
	bool same;
	enum exit_code code = mount_of_path(path, &mount, NULL);
	int error = 0;

	if (!code && tier)
		code = control_check_tier(&mount, tier);
	mount_release(&mount);
	if (code)
		return code;
	now = attribute_get(path, "pin");
	if (!now && errno != ENODATA)
		return cannot_set(path, -errno);
	same = tier ? now && !strcmp(now, tier) : !now;
	free(now);
	if (same)
		return EXIT_NOTHING;
	if (!dry)
		error = attribute_set(path, "pin", tier);
	return error ? cannot_set(path, error) : EXIT_DONE;
}

static const char *outcome(enum exit_code code, const char *tier, bool dry)
{
	if (code == EXIT_NOTHING)
		return tier ? "already pinned" : "not pinned itself";
	if (code)
		return "failed";
	if (dry)
		return tier ? "would be pinned" : "would be unpinned";
	return tier ? "pinned" : "unpinned";
}

struct work { /* jobs to be followed, each once: what is set at a time is often one job */
	struct mount mount; /* all of them are this one's; point NULL: none yet */
	uint64_t *jobs;
	size_t n;
};

/* Notes the job that the pin of this path has begun. */
static void note_job(struct work *work, const char *path)
{
	char *text = attribute_get(path, "job");
	uint64_t job = text ? strtoull(text, NULL, 10) : 0, *jobs;

	free(text);
	if (!job || (work->n && work->jobs[work->n - 1] == job))
		return;
	if (!work->mount.point && mount_of_path(path, &work->mount, NULL))
		return;
	jobs = reallocarray(work->jobs, work->n + 1, sizeof(*jobs));
	if (!jobs)
		return; /* the move goes on all the same */
	work->jobs = jobs;
	work->jobs[work->n++] = job;
}

static enum exit_code follow(const struct options *options, struct work *work, uint64_t *moved)
{
	enum exit_code worst = EXIT_DONE;

	*moved = 0;
	for (size_t i = 0; i < work->n; i++) {
		json_t *end = NULL;
		enum exit_code code =
			control_follow(&work->mount, work->jobs[i], options->progress, &end);

		*moved += control_number(end, "moved");
		if (code != EXIT_NOTHING && !worst)
			worst = code;
		json_decref(end);
	}
	return worst;
}

static void work_release(struct work *work)
{
	if (work->mount.point)
		mount_release(&work->mount);
	free(work->jobs);
}

/* Waits, and says what has moved, or says which jobs go on. */
static enum exit_code finish(const struct options *options, struct work *work)
{
	char size[TEXT_CELL];
	enum exit_code code;
	uint64_t moved;

	if (has(options, OPTION_ASYNC)) {
		for (size_t i = 0; i < work->n && !has(options, OPTION_JSON); i++)
			control_print_started(options, work->jobs[i]);
		return EXIT_DONE;
	}
	code = follow(options, work, &moved);
	if (moved && !has(options, OPTION_JSON))
		printf("moved %s\n", text_size(moved, false, size));
	return code;
}

/* Every path is tried; the worst outcome is the code, and "nothing" only if nothing changed. */
static enum exit_code change_all(const struct options *options, const char *tier, int first)
{
	bool dry = has(options, OPTION_DRY_RUN), json = has(options, OPTION_JSON);
	FILE *out = has(options, OPTION_ASYNC) ? stderr : stdout; /* there go numbers of jobs */
	struct work work = {.jobs = NULL};
	json_t *rows = json_array();
	enum exit_code worst = EXIT_NOTHING;
	int i;

	for (i = first; i < options->nargs; i++) {
		const char *path = options->args[i];
		enum exit_code code = change_one(path, tier, dry);
		const char *result = outcome(code, tier, dry);

		if (!code && tier && !dry)
			note_job(&work, path);

		if (json)
			json_array_append_new(
				rows,
				json_pack("{so ss so}", "path", json_name(path), "result", result,
					  "job",
					  work.n && !code
						  ? json_integer((json_int_t)work.jobs[work.n - 1])
						  : json_null()));
		else if (!code || code == EXIT_NOTHING) {
			print_name(out, path);
			fprintf(out, ": %s%s%s\n", result, tier ? " in " : "", tier ? tier : "");
		}
		if (code == EXIT_DONE && worst == EXIT_NOTHING)
			worst = EXIT_DONE;
		else if (code != EXIT_DONE && code != EXIT_NOTHING)
			worst = worst == EXIT_DONE || worst == EXIT_NOTHING ? code : worst;
	}
	if (json && !json_print(json_incref(rows)))
		worst = complain(EXIT_FAILED, "out of memory");
	json_decref(rows);
	if (work.n) {
		enum exit_code code = finish(options, &work);

		worst = worst == EXIT_DONE ? code : worst;
	}
	work_release(&work);
	return worst;
}

enum exit_code verb_pin(const struct options *options)
{
	return change_all(options, options->args[0], 1);
}

enum exit_code verb_unpin(const struct options *options)
{
	return change_all(options, NULL, 0);
}
