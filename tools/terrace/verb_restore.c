// SPDX-License-Identifier: Apache-2.0
/* terrace restore-metadata: the pool's metadata from a copy. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fs/check.h"
#include "tiers/config.h"
#include "tiers/meta_restore.h"
#include "tools/terrace/lines.h"
#include "tools/terrace/terrace.h"
#include "tools/terrace/text.h"

static const char *time_text(int64_t time_ns, char buf[32])
{
	time_t seconds = (time_t)(time_ns / 1000000000);
	struct tm tm;

	if (!localtime_r(&seconds, &tm) || !strftime(buf, 32, "%Y-%m-%d %H:%M:%S", &tm))
		snprintf(buf, 32, "?");
	return buf;
}

static json_t *number(uint64_t n)
{
	return json_integer((json_int_t)n);
}

struct output {
	const struct pool_config *config;
	json_t *lost, *newer; /* NULL: lines are printed */
};

static void each(void *arg, struct meta *meta, uint64_t object, uint64_t lost, uint64_t newer)
{
	struct output *output = arg;
	char path[4096];

	fs_path_stored(meta, output->config->uuid, object, path, sizeof(path));
	if (output->lost) {
		json_array_append_new(lost ? output->lost : output->newer,
				      json_pack("{s:o,s:o,s:o}", "path", json_name(path), "object",
						number(object), "bytes", number(lost + newer)));
		return;
	}
	printf("%s: ", lost ? "lost" : "newer");
	print_name(stdout, path);
	printf(": %llu bytes\n", (unsigned long long)(lost + newer));
}

static json_t *describe(const struct restore_result *result, const struct output *output, bool dry)
{
	return json_pack(
		"{s:o,s:b,s:o,s:f,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:b,s:O,s:O}", "copy",
		json_name(result->from), "live", result->live, "generation",
		number(result->copy.generation), "time", (double)result->copy.time_ns / 1e9,
		"aside", json_name(result->aside), "objects", number(result->objects),
		"lost_segments", number(result->lost_segments), "lost_frames",
		number(result->lost_frames), "lost_bytes", number(result->lost_bytes),
		"newer_bytes", number(result->newer_bytes), "newer_segments",
		number(result->newer_segments), "unknown_files", number(result->unknown_objects),
		"dry_run", dry, "lost", output->lost, "newer", output->newer);
}

static void report(const struct restore_result *result, bool dry)
{
	char text[32];

	if (result->live)
		printf("%s from %s and its journal, up to the damage\n",
		       dry ? "would be restored" : "restored", result->from);
	else
		printf("%s from %s, of %s\n", dry ? "would be restored" : "restored", result->from,
		       time_text(result->copy.time_ns, text));
	printf("missing: all changes of files, names and attributes after that time\n");
	if (result->newer_files)
		printf("newer: %llu bytes of %llu files, see above: written or moved after that "
		       "time\n",
		       (unsigned long long)result->newer_bytes,
		       (unsigned long long)result->newer_files);
	if (result->lost_files)
		printf("missing: %llu bytes of %llu files, see above: reading them is an error\n",
		       (unsigned long long)result->lost_bytes,
		       (unsigned long long)result->lost_files);
	if (result->unknown_objects)
		printf("missing: %llu files made after that time, which have no name\n",
		       (unsigned long long)result->unknown_objects);
	if (result->newer_segments)
		printf("kept: %llu segments written after that time, in segments.newer of the "
		       "tiers' directories\n",
		       (unsigned long long)result->newer_segments);
	if (*result->aside)
		printf("kept: the metadata that was there, in %s\n", result->aside);
}

static enum exit_code restore(const struct options *options, const struct pool_config *config)
{
	struct output output = {.config = config};
	struct restore_options request = {.config = config,
					  .generation = options->generation,
					  .lost = options->lost,
					  .nlost = options->nlost,
					  .dry_run = has(options, OPTION_DRY_RUN),
					  .each = each,
					  .arg = &output};
	struct restore_result *result = malloc(sizeof(*result));
	enum exit_code code = EXIT_DONE;
	int rc;

	if (has(options, OPTION_JSON)) {
		output.lost = json_array();
		output.newer = json_array();
	}
	rc = result ? meta_restore(&request, result) : -ENOMEM;
	if (rc == -EALREADY)
		code = complain(EXIT_NOTHING,
				"the metadata in %s is sound: nothing to do; to go "
				"back to a copy all the same, name its --generation",
				config->meta_path);
	else if (rc == -EBUSY)
		code = EXIT_BUSY;
	else if (rc == -EINVAL)
		code = EXIT_USAGE;
	else if (rc < 0)
		code = rc == -ENOMEM ? complain(EXIT_FAILED, "out of memory") : EXIT_FAILED;
	else if (!has(options, OPTION_JSON))
		report(result, request.dry_run);
	else if (!json_print(describe(result, &output, request.dry_run)))
		code = complain(EXIT_FAILED, "out of memory");
	json_decref(output.lost);
	json_decref(output.newer);
	free(result);
	return code;
}

enum exit_code verb_restore(const struct options *options)
{
	return with_config(options, restore);
}
