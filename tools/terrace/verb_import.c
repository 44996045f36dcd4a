// SPDX-License-Identifier: Apache-2.0
/* terrace import: a tree into a mounted pool (import.h), with messages, progress and a summary. */
#include "tools/terrace/terrace.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/deep.h"
#include "tools/terrace/import.h"
#include "tools/terrace/mounts.h"
#include "tools/terrace/progress.h"
#include "tools/terrace/text.h"

static volatile sig_atomic_t interrupted;

struct report {
	const struct options *options;
	const char *from;
	struct progress progress;
	uint64_t total;
	json_t *errors; /* of --json */
};

static void interrupt(int sig)
{
	(void)sig;
	interrupted = 1;
}

static void on_failed(void *arg, const char *path, const char *what, int error)
{
	struct report *report = arg;
	bool said = error == EAGAIN || error == ELOOP; /* what says it all */
	const char *text = said ? "it was not taken over" : strerror(error);

	complain(EXIT_FAILED, "%s/%s: %s: %s", report->from, path, what, text);
	if (report->errors)
		json_array_append_new(report->errors,
				      json_pack("{so, ss, ss}", "path", json_name(path), "what",
						what, "error", text));
}

static void on_advanced(void *arg, uint64_t done)
{
	struct report *report = arg;

	progress_show(&report->progress, "import", done, report->total, false);
}

/* What 100 % is. */
static void measure(const struct import *import, struct report *report)
{
	struct import_counts counts;

	if (report->progress.mode == PROGRESS_OFF)
		return;
	import_scan(import, &counts);
	report->total = counts.bytes;
}

static void print_text(const struct import_counts *counts, bool dry_run)
{
	char a[TEXT_CELL], b[TEXT_CELL];

	printf("%" PRIu64 " files (%s), %" PRIu64 " links and special files, %" PRIu64
	       " folders: %" PRIu64 " %s (%s), %" PRIu64 " %s, %" PRIu64 " there already; %" PRIu64
	       " %s\n",
	       counts->files, text_size(counts->bytes, false, a), counts->others, counts->folders,
	       counts->copied, dry_run ? "to be copied" : "copied and read back",
	       text_size(counts->copied_bytes, false, b), counts->linked,
	       dry_run ? "to be linked" : "linked", counts->same, counts->attributes,
	       dry_run ? "need other attributes" : "got attributes only");
}

static bool print_json(const struct report *report, const struct import_counts *counts,
		       bool dry_run)
{
	return json_print(json_pack(
		"{so, sb, sI, sI, sI, sI, sI, sI, sI, sI, sI, sI, sI, sO}", "from",
		json_name(report->from), "dry_run", dry_run, "files", (json_int_t)counts->files,
		"others", (json_int_t)counts->others, "bytes", (json_int_t)counts->bytes, "folders",
		(json_int_t)counts->folders, "made", (json_int_t)counts->made, "copied",
		(json_int_t)counts->copied, "copied_bytes", (json_int_t)counts->copied_bytes,
		"linked", (json_int_t)counts->linked, "same", (json_int_t)counts->same,
		"attributes", (json_int_t)counts->attributes, "failed", (json_int_t)counts->failed,
		"errors", report->errors));
}

static enum exit_code conclude(const struct report *report, const struct import_counts *counts,
			       bool dry_run, int r)
{
	if (report->errors && !print_json(report, counts, dry_run))
		return complain(EXIT_FAILED, "out of memory");
	if (!report->errors)
		print_text(counts, dry_run);
	if (r == -EINTR)
		return complain(EXIT_FAILED, "interrupted; the same command goes on");
	if (r)
		return complain(EXIT_FAILED,
				"ended early; the same command goes on when that is mended");
	if (counts->failed)
		return complain(EXIT_FAILED,
				"%" PRIu64
				" could not be imported; the same command tries them again",
				counts->failed);
	return counts->copied || counts->linked || counts->made || counts->attributes
		       ? EXIT_DONE
		       : EXIT_NOTHING;
}

static enum exit_code run(const struct options *options, int from, int to, int root)
{
	struct report report = {.options = options, .from = options->args[0]};
	struct import import = {.from = from,
				.to = to,
				.root = root,
				.dry_run = has(options, OPTION_DRY_RUN),
				.checksum = has(options, OPTION_CHECKSUM),
				.stop = &interrupted,
				.arg = &report,
				.failed = on_failed,
				.advanced = on_advanced};
	struct sigaction action = {.sa_handler = interrupt};
	struct import_counts counts;
	enum exit_code code;
	int r;

	if (has(options, OPTION_JSON))
		report.errors = json_array();
	progress_init(&report.progress, options->progress);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	measure(&import, &report);
	r = import_run(&import, &counts);
	progress_show(&report.progress, "import", counts.bytes, report.total, true);
	code = conclude(&report, &counts, import.dry_run, r);
	json_decref(report.errors);
	return code;
}

/* DEST, made when only its last part is missing; in a dry run it may be. It must be in a pool.
 * *root: of the mount. */
static enum exit_code open_dest(const char *dest, bool dry_run, int *out, int *root)
{
	char *copy = strdup(dest);
	struct mount mount;
	enum exit_code code;

	*out = *root = -1;
	if (!copy)
		return complain(EXIT_FAILED, "out of memory");
	code = mount_of_path(access(dest, F_OK) ? dirname(copy) : dest, &mount, NULL);
	free(copy);
	if (code)
		return code;
	*root = open(mount.point, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*root < 0)
		code = complain(EXIT_FAILED, "%s: %s", mount.point, strerror(errno));
	mount_release(&mount);
	if (code)
		return code;
	*out = open(dest, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*out < 0 && errno == ENOENT) {
		if (dry_run)
			return EXIT_DONE;
		if (mkdir(dest, 0700))
			return complain(EXIT_FAILED, "%s cannot be made: %s", dest,
					strerror(errno));
		*out = open(dest, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	return *out < 0 ? complain(EXIT_FAILED, "%s: %s", dest, strerror(errno)) : EXIT_DONE;
}

enum exit_code verb_import(const struct options *options)
{
	const char *source = options->args[0];
	int from = open(source, O_RDONLY | O_DIRECTORY | O_CLOEXEC), to, root;
	enum exit_code code;

	if (from < 0)
		return complain(EXIT_FAILED, "%s: %s", source, strerror(errno));
	deep_allow();
	code = open_dest(options->args[1], has(options, OPTION_DRY_RUN), &to, &root);
	if (!code)
		code = run(options, from, to, root);
	if (to >= 0)
		close(to);
	if (root >= 0)
		close(root);
	close(from);
	return code;
}
