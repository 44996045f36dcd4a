// SPDX-License-Identifier: Apache-2.0
/* terrace scrub and terrace damaged. */
#include "tools/terrace/terrace.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tools/terrace/control.h"
#include "tools/terrace/jobs.h"
#include "tools/terrace/mounts.h"
#include "tools/terrace/text.h"

static enum exit_code out_of_memory(void)
{
	return complain(EXIT_FAILED, "out of memory");
}

static const char *when(uint64_t seconds, char buf[32])
{
	time_t time = (time_t)seconds;
	struct tm tm;

	if (!seconds)
		return "never";
	localtime_r(&time, &tm);
	strftime(buf, 32, "%Y-%m-%d %H:%M:%S", &tm);
	return buf;
}

/* Status --------------------------------------------------------------------------------------- */

/* The job that scrubs or is to; NULL: none. */
static json_t *scrub_job(const json_t *jobs)
{
	json_t *job, *found = NULL;
	size_t i;

	json_array_foreach(jobs, i, job)
	{
		if (!strcmp(control_text(job, "verb"), "scrub") && !control_job_ended(job))
			found = job;
	}
	return found;
}

static void print_job(const json_t *job)
{
	uint64_t done = control_number(job, "bytes_done"),
		 total = control_number(job, "bytes_total");
	char percent[TEXT_CELL], rate[TEXT_CELL], eta[TEXT_CELL];

	printf("Job:      %" PRIu64 ", %s, %s", control_number(job, "job"),
	       control_text(job, "state"), text_percent(done, total, percent));
	if (json_is_integer(json_object_get(job, "eta_s")))
		printf(", %s/s, ETA %s", text_size(control_number(job, "rate"), false, rate),
		       text_time(control_number(job, "eta_s"), eta));
	putchar('\n');
}

static enum exit_code print_status(const struct options *options, const json_t *stats,
				   const json_t *job)
{
	const json_t *scrub = json_object_get(stats, "scrub");
	char text[32], size[TEXT_CELL];
	bool plain = has(options, OPTION_BYTES);

	if (has(options, OPTION_JSON)) {
		json_t *json = json_deep_copy(scrub);

		json_object_set_new(json, "listed",
				    json_deep_copy(json_object_get(stats, "damaged")));
		json_object_set_new(json, "job", job ? json_deep_copy(job) : json_null());
		return json_print(json) ? EXIT_DONE : out_of_memory();
	}
	if (job)
		print_job(job);
	if (!control_number(scrub, "began")) {
		printf("Last one: there has been none\n");
	} else {
		printf("Last one: begun %s, ", when(control_number(scrub, "began"), text));
		if (json_is_true(json_object_get(scrub, "under_way")))
			printf("not ended\n");
		else
			printf("ended %s\n", when(control_number(scrub, "ended"), text));
	}
	printf("Verified: %s in %" PRIu64 " frames\n",
	       text_size(control_number(scrub, "bytes"), plain, size),
	       control_number(scrub, "frames"));
	printf("Damaged:  %" PRIu64 " frames found, %" PRIu64 " mended, %" PRIu64
	       " on the list (`terrace damaged`)\n",
	       control_number(scrub, "damaged"), control_number(scrub, "mended"),
	       control_number(stats, "damaged"));
	return EXIT_DONE;
}

static enum exit_code status(const struct options *options, const struct mount *mount)
{
	json_t *stats = control_read(mount, "stats.json"), *jobs = jobs_read(mount);
	enum exit_code code = EXIT_FAILED;

	if (stats && jobs)
		code = print_status(options, stats, scrub_job(jobs));
	json_decref(jobs);
	json_decref(stats);
	return code;
}

/* A pass --------------------------------------------------------------------------------------- */

static enum exit_code print_end(const struct options *options, const struct mount *mount,
				json_t *end)
{
	uint64_t damaged = control_number(end, "failed_frames");
	char size[TEXT_CELL];

	if (strcmp(control_text(end, "state"), "done") != 0)
		return control_judge(mount, end);
	if (has(options, OPTION_JSON))
		return !json_print(json_incref(end)) ? out_of_memory()
		       : damaged		     ? EXIT_FAILED
						     : EXIT_DONE;
	printf("verified %s\n", text_size(control_number(end, "bytes_done"), false, size));
	if (damaged)
		return complain(EXIT_FAILED,
				"%" PRIu64 " frames are damaged; `terrace damaged` lists the files",
				damaged);
	return EXIT_DONE;
}

static enum exit_code scrub(const struct options *options, const struct mount *mount)
{
	json_t *jobs = jobs_read(mount), *job = jobs ? scrub_job(jobs) : NULL, *end = NULL;
	enum exit_code code = jobs ? EXIT_DONE : EXIT_FAILED;
	uint64_t number = 0;

	if (job)
		code = complain(EXIT_BUSY,
				"job %" PRIu64 " is a scrub and is %s; `terrace jobs wait`, "
				"`resume` or `cancel` it",
				control_number(job, "job"), control_text(job, "state"));
	json_decref(jobs);
	if (!code)
		code = control_submit(mount, json_pack("{ss}", "verb", "scrub"), &number);
	if (code)
		return code;
	if (has(options, OPTION_ASYNC))
		return control_print_started(options, number);
	code = control_watch(mount, number, options->progress, &end);
	if (end)
		code = print_end(options, mount, end);
	json_decref(end);
	return code;
}

enum exit_code verb_scrub(const struct options *options)
{
	struct mount mount;
	enum exit_code code = mount_find(options->nargs ? options->args[0] : NULL, false, &mount);

	if (code)
		return code;
	code = has(options, OPTION_STATUS) ? status(options, &mount) : scrub(options, &mount);
	mount_release(&mount);
	return code;
}

/* The list ------------------------------------------------------------------------------------- */

static void damaged_row(struct table *table, const json_t *item, bool plain)
{
	char *path = control_name(item, "path"), off[TEXT_CELL], len[TEXT_CELL], since[32];
	bool used = json_object_get(item, "offset");

	table_row(table, control_text(item, "tier"),
		  used ? text_size(control_number(item, "offset"), true, off) : "-",
		  used ? text_size(control_number(item, "length"), plain, len) : "-",
		  when(control_number(item, "since"), since),
		  strcmp(control_text(item, "error"), "EBADMSG") ? control_text(item, "error")
								 : "checksum",
		  path && *path ? path : "(in no file any more)", NULL);
	free(path);
}

static bool print_list(const json_t *list, bool plain)
{
	struct table *table = table_new("lrrlll");
	json_t *item;
	size_t i;

	table_row(table, "Tier", "Offset", "Length", "Since", "Error", "Path", NULL);
	json_array_foreach(list, i, item) damaged_row(table, item, plain);
	return table_print(table);
}

enum exit_code verb_damaged(const struct options *options)
{
	struct mount mount;
	enum exit_code code = mount_find(options->nargs ? options->args[0] : NULL, false, &mount);
	json_t *json;
	const json_t *list;

	if (code)
		return code;
	json = control_read(&mount, "damaged");
	list = json_object_get(json, "damaged");
	mount_release(&mount);
	if (!json)
		return EXIT_FAILED;
	if (!json_array_size(list))
		code = EXIT_NOTHING;
	if (has(options, OPTION_JSON)) {
		if (!json_print(json_incref(json)))
			code = out_of_memory();
	} else if (code == EXIT_NOTHING) {
		printf("nothing is known to be damaged\n");
	} else if (!print_list(list, has(options, OPTION_BYTES))) {
		code = out_of_memory();
	}
	json_decref(json);
	return code;
}
