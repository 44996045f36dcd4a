// SPDX-License-Identifier: Apache-2.0
/* terrace export: the files of a pool that is not mounted, from what is left of it. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/deep.h"
#include "fs/export.h"
#include "tiers/log.h"
#include "tools/terrace/lines.h"
#include "tools/terrace/terrace.h"
#include "tools/terrace/text.h"

struct output {
	bool json;
	json_t *missing;
};

static const char *why(int error)
{
	return error == -ELOOP ? "a folder that lies too deep, or in itself: left out"
			       : error_text(error);
}

static void missing(void *arg, const char *path, uint64_t off, uint64_t len, int error)
{
	struct output *output = arg;
	char *full;

	if (asprintf(&full, "/%s", path) < 0)
		return; /* that something is missing is counted */
	if (output->json) {
		json_array_append_new(output->missing,
				      json_pack("{s:o,s:I,s:I,s:s}", "path", json_name(full),
						"offset", (json_int_t)off, "length",
						(json_int_t)len, "error", why(error)));
	} else {
		printf("missing: ");
		print_name(stdout, full);
		if (len)
			printf(": %llu bytes at %llu\n", (unsigned long long)len,
			       (unsigned long long)off);
		else
			printf(": %s\n", why(error));
	}
	free(full);
}

static bool report_json(const struct export_result *result, struct output *output)
{
	const struct salvage_source *source = &result->source;

	return json_print(json_pack(
		"{s:o,s:b,s:b,s:f,s:b,s:b,s:b,s:I,s:I,s:I,s:I,s:I,s:I,s:o}", "metadata",
		json_name(source->path), "copy", source->copy, "by_number", source->none, "time",
		(double)source->info.time_ns / 1e9, "unclean", source->unclean, "ram_missing",
		source->ram_missing, "journal_damaged", source->damaged, "ram_writes",
		(json_int_t)source->ram_writes, "ram_bytes", (json_int_t)source->ram_bytes,
		"directories_missing", (json_int_t)source->missing, "newer_bytes",
		(json_int_t)source->newer_bytes, "names", (json_int_t)result->names, "bytes",
		(json_int_t)result->bytes, "missing", output->missing));
}

static void report_source(const struct salvage_source *source)
{
	if (source->none)
		printf("missing: all names, sizes and attributes, which bytes were overwritten by "
		       "a "
		       "hole, cut off or deleted: no metadata is left, nor a good copy\n");
	if (source->copy)
		printf("missing: all changes after that copy was made\n");
	if (source->newer_bytes)
		printf("newer: %llu bytes were written or moved after that copy\n",
		       (unsigned long long)source->newer_bytes);
	if (source->damaged)
		printf("missing: all changes behind the damage in the metadata's journal\n");
	if (source->ram_writes)
		printf("the last daemon ended without unmounting: %llu writes (%llu bytes) taken "
		       "from the RAM tier\n",
		       (unsigned long long)source->ram_writes,
		       (unsigned long long)source->ram_bytes);
	if (source->ram_missing && !source->none)
		printf("missing: what only the RAM tier had: the pool was not closed in order, and "
		       "its files there are gone, or of another session, or damaged (see above)\n");
	if (source->missing)
		printf("missing: %llu %s, see above\n", (unsigned long long)source->missing,
		       source->missing == 1 ? "directory of a tier" : "directories of tiers");
}

static void report(const struct export_result *result)
{
	const struct salvage_source *source = &result->source;

	if (source->none)
		printf("%llu objects and %llu bytes, by what frames say, in the folder objects\n",
		       (unsigned long long)result->names, (unsigned long long)result->bytes);
	else
		printf("%llu names and %llu bytes, by %s%s\n", (unsigned long long)result->names,
		       (unsigned long long)result->bytes, source->copy ? "the copy " : "",
		       source->path);
	report_source(source);
	if (result->missing)
		printf("missing: %llu ranges or names, see above\n",
		       (unsigned long long)result->missing);
}

/* Nothing is known to be missing, nor may it be. */
static bool is_whole(const struct export_result *result)
{
	const struct salvage_source *source = &result->source;

	return !result->missing && !source->none && !source->copy && !source->damaged &&
	       !source->ram_missing;
}

static enum exit_code rebuild(const struct options *options, const struct pool_config *config)
{
	struct output output = {.json = has(options, OPTION_JSON)};
	struct export_options request = {
		.config = config, .dest = options->args[1], .missing = missing, .arg = &output};
	struct export_result *result = malloc(sizeof(*result));
	int rc;

	if (output.json)
		output.missing = json_array();
	rc = result ? fs_export(&request, result) : -ENOMEM;
	if (rc < 0)
		json_decref(output.missing);
	else if (!output.json)
		report(result);
	else if (!report_json(result, &output))
		rc = -ENOMEM;
	if (rc == 0 && !is_whole(result))
		rc = -EIO;
	free(result);
	if (rc == -ENOMEM || rc == -ENOSPC) /* else it has been said where it was found */
		return complain(EXIT_FAILED, "%s: %s", options->args[1], strerror(-rc));
	if (rc == -EBUSY)
		return EXIT_BUSY;
	return rc < 0 ? EXIT_FAILED : EXIT_DONE;
}

enum exit_code verb_export(const struct options *options)
{
	deep_allow();
	return with_config(options, rebuild);
}
