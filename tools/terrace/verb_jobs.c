// SPDX-License-Identifier: Apache-2.0
/* terrace jobs. */
#include "tools/terrace/terrace.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tools/terrace/control.h"
#include "tools/terrace/jobs.h"
#include "tools/terrace/mounts.h"
#include "tools/terrace/text.h"

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* The numbers in jobs/, in order; the caller frees. */
static enum exit_code list_numbers(const struct mount *mount, uint64_t **out, size_t *n)
{
	int fd = control_open(mount, "jobs", O_RDONLY | O_DIRECTORY);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	uint64_t *list = NULL;

	*n = 0;
	*out = NULL;
	if (!dir) {
		enum exit_code code = control_cannot(mount, "jobs");

		if (fd >= 0)
			close(fd);
		return code;
	}
	while ((entry = readdir(dir))) {
		uint64_t number = strtoull(entry->d_name, NULL, 10);
		uint64_t *more = number ? realloc(list, (*n + 1) * sizeof(*list)) : NULL;

		if (!more)
			continue;
		list = more;
		list[(*n)++] = number;
	}
	closedir(dir);
	if (*n)
		qsort(list, *n, sizeof(*list), compare);
	*out = list;
	return EXIT_DONE;
}

json_t *jobs_read(const struct mount *mount)
{
	json_t *jobs = json_array();
	uint64_t *numbers;
	size_t n;

	if (list_numbers(mount, &numbers, &n)) {
		json_decref(jobs);
		return NULL;
	}
	for (size_t i = 0; i < n; i++) {
		json_t *job;
		char name[32];
		int fd;

		snprintf(name, sizeof(name), "jobs/%" PRIu64, numbers[i]);
		fd = control_open(mount, name, O_RDONLY);
		if (fd < 0 && errno == ENOENT)
			continue; /* dropped since */
		job = control_read_opened(mount, name, fd);
		if (!job) { /* said why; it would be the same of all others */
			json_decref(jobs);
			jobs = NULL;
			break;
		}
		json_array_append_new(jobs, job);
	}
	free(numbers);
	return jobs;
}

/* "45.0%", "done at 12:34:56", what is left, or why it failed. */
static void progress_text(const json_t *job, char *buf, size_t cap)
{
	uint64_t done = control_number(job, "bytes_done"),
		 total = control_number(job, "bytes_total");
	double ended = json_number_value(json_object_get(job, "ended"));
	char a[TEXT_CELL], b[TEXT_CELL], c[TEXT_CELL];
	time_t when = (time_t)ended;
	struct tm tm;

	if (*control_text(job, "error")) {
		char *error = control_name(job, "error");

		snprintf(buf, cap, "%s", error ? error : "?");
		free(error);
	} else if (ended > 0) {
		localtime_r(&when, &tm);
		strftime(buf, cap, "%Y-%m-%d %H:%M:%S", &tm);
	} else if (json_is_integer(json_object_get(job, "eta_s"))) {
		snprintf(buf, cap, "%s, %s/s, ETA %s", text_percent(done, total, a),
			 text_size(control_number(job, "rate"), false, b),
			 text_time(control_number(job, "eta_s"), c));
	} else if (total) {
		snprintf(buf, cap, "%s", text_percent(done, total, a));
	} else {
		snprintf(buf, cap, "-");
	}
}

void jobs_row(struct table *table, const json_t *job)
{
	char number[TEXT_CELL], moved[TEXT_CELL], what[400], progress[400];
	const char *to = control_text(job, "to");
	char *name = control_name(job, "what");

	snprintf(what, sizeof(what), "%.300s%s%.60s", name ? name : "?", *to ? " to " : "", to);
	free(name);
	progress_text(job, progress, sizeof(progress));
	table_row(table, text_size(control_number(job, "job"), true, number),
		  control_text(job, "state"), control_text(job, "verb"),
		  text_size(control_number(job, "bytes_done"), false, moved), progress, what, NULL);
}

static enum exit_code list(const struct options *options, const struct mount *mount)
{
	json_t *jobs = jobs_read(mount), *job;
	struct table *table;
	bool done;
	size_t i;

	if (!jobs)
		return EXIT_FAILED;
	if (has(options, OPTION_JSON)) {
		done = json_print(jobs);
	} else {
		table = table_new("rllrll");
		table_row(table, "Job", "State", "Verb", "Moved", "Progress", "What", NULL);
		json_array_foreach(jobs, i, job) jobs_row(table, job);
		done = table_print(table);
		json_decref(jobs);
	}
	return done ? EXIT_DONE : complain(EXIT_FAILED, "out of memory");
}

static enum exit_code print_one(const struct options *options, json_t *job)
{
	struct table *table;

	if (has(options, OPTION_JSON))
		return json_print(json_incref(job)) ? EXIT_DONE
						    : complain(EXIT_FAILED, "out of memory");
	table = table_new("rllrll");
	jobs_row(table, job);
	return table_print(table) ? EXIT_DONE : complain(EXIT_FAILED, "out of memory");
}

static json_t *read_job(const struct mount *mount, uint64_t number)
{
	char name[32];
	int fd;

	snprintf(name, sizeof(name), "jobs/%" PRIu64, number);
	fd = control_open(mount, name, O_RDONLY);
	if (fd < 0 && errno == ENOENT) {
		complain(EXIT_FAILED, "there is no job %" PRIu64 " in %s", number, mount->point);
		return NULL;
	}
	return control_read_opened(mount, name, fd);
}

static enum exit_code act(const struct options *options, const struct mount *mount,
			  const char *action, uint64_t number)
{
	json_t *job = read_job(mount, number), *end = NULL;
	enum exit_code code = EXIT_FAILED;

	if (!job)
		return code;
	if (!strcmp(action, "status")) {
		code = print_one(options, job);
		if (!code)
			code = control_job_ended(job) ? control_judge(mount, job) : EXIT_BUSY;
	} else if (!strcmp(action, "wait")) {
		code = control_wait(mount, number, options->progress, &end);
		if (end)
			print_one(options, end);
	} else if (control_job_ended(job)) {
		code = complain(EXIT_NOTHING, "job %" PRIu64 " has ended: %s", number,
				control_text(job, "state"));
	} else {
		code = control_steer(mount, number, action);
	}
	json_decref(end);
	json_decref(job);
	return code;
}

/* The action that the arguments begin with, and its job's number; NULL: none. */
static enum exit_code parse(const struct options *options, const char **action, uint64_t *number)
{
	static const char *const actions[] = {"status", "wait", "pause", "resume", "cancel"};
	char *end;

	*action = NULL;
	*number = 0;
	for (size_t i = 0; options->nargs && i < sizeof(actions) / sizeof(actions[0]); i++)
		if (!strcmp(options->args[0], actions[i]))
			*action = actions[i];
	if (!*action)
		return options->nargs > 1
			       ? complain(EXIT_USAGE,
					  "'%s' should be status, wait, pause, resume or cancel",
					  options->args[0])
			       : EXIT_DONE;
	if (options->nargs < 2)
		return complain(EXIT_USAGE, "which job? `terrace jobs` lists them");
	errno = 0;
	*number = strtoull(options->args[1], &end, 10);
	if (errno || *end || !*number || options->args[1][0] == '-')
		return complain(EXIT_USAGE, "'%s' is no job's number", options->args[1]);
	return EXIT_DONE;
}

enum exit_code verb_jobs(const struct options *options)
{
	const char *action;
	struct mount mount;
	uint64_t number;
	enum exit_code code = parse(options, &action, &number);
	int place = action ? 2 : 0;

	if (code)
		return code;
	code = mount_find(options->nargs > place ? options->args[place] : NULL, false, &mount);
	if (code)
		return code;
	code = action ? act(options, &mount, action, number) : list(options, &mount);
	mount_release(&mount);
	return code;
}
