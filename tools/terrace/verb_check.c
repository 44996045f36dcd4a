// SPDX-License-Identifier: Apache-2.0
/*
 * terrace check. Each problem is printed when it is found, and all of them before anything is
 * changed. Exit codes are those of fsck(8), since scripts know them.
 */
#include "fs/check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tiers/config.h"
#include "tools/terrace/mounts.h"
#include "tools/terrace/terrace.h"
#include "tools/terrace/text.h"

struct output {
	const struct options *options;
	const char *pool;
	bool first;
};

static void print_problem(void *arg, const struct check_problem *problem)
{
	struct output *output = arg;
	bool repair = has(output->options, OPTION_REPAIR);
	char code[8], *text;
	json_t *json;

	if (!has(output->options, OPTION_JSON)) {
		printf("C%03d ", problem->code);
		print_name(stdout, problem->where);
		printf("%s%s\n     %s%s%s\n", *problem->where ? ": " : "", problem->what,
		       problem->consequence,
		       problem->repair ? repair ? "; repair: " : "; --repair " : "",
		       problem->repair ? problem->repair : "");
		return;
	}
	snprintf(code, sizeof(code), "C%03d", problem->code);
	json = json_pack("{ss so so so so*}", "code", code, "where", json_name(problem->where),
			 "what", json_name(problem->what), "consequence",
			 json_name(problem->consequence), "repair",
			 problem->repair ? json_name(problem->repair) : NULL);
	text = json ? json_dumps(json, JSON_COMPACT) : NULL;
	printf("%s%s", output->first ? "\n" : ",\n", text ? text : "null");
	output->first = false;
	free(text);
	json_decref(json);
}

/* A mount's place leads to its configuration, also when its daemon is gone. */
static enum exit_code find_config(const char *pool, char **file)
{
	struct stat st;
	struct mount mount;

	*file = config_resolve(pool);
	if (!*file)
		return complain(EXIT_CHECK_FAILED, "out of memory");
	if (stat(*file, &st) == 0 && S_ISREG(st.st_mode))
		return EXIT_DONE;
	if (!strchr(pool, '/')) /* a name: config_load() says what is missing */
		return EXIT_DONE;
	if (mount_find(pool, true, &mount))
		return EXIT_CHECK_FAILED;
	free(*file);
	*file = strdup(mount.source);
	mount_release(&mount);
	return *file ? EXIT_DONE : complain(EXIT_CHECK_FAILED, "out of memory");
}

static enum exit_code exit_of(const struct options *options, const struct check_result *result)
{
	if (!has(options, OPTION_REPAIR) || has(options, OPTION_DRY_RUN))
		return result->problems ? EXIT_CHECK_LEFT : EXIT_DONE;
	return (enum exit_code)((result->mended ? EXIT_CHECK_MENDED : 0) |
				(result->left ? EXIT_CHECK_LEFT : 0));
}

static void print_end_json(const struct options *options, const struct check_result *result,
			   const char *file, enum exit_code code)
{
	json_t *json = json_pack(
		"{so sb sb sb sI sI sI sI sI sI sI si}", "pool", json_name(file), "mounted",
		result->live, "unclean", result->unclean, "deep", has(options, OPTION_DEEP),
		"found", (json_int_t)result->problems, "mended",
		has(options, OPTION_REPAIR) ? (json_int_t)result->mended : 0, "left",
		has(options, OPTION_REPAIR) ? (json_int_t)result->left
					    : (json_int_t)result->problems,
		"objects", (json_int_t)result->objects, "frames", (json_int_t)result->frames,
		"segments", (json_int_t)result->segments, "bytes", (json_int_t)result->bytes,
		"exit", (int)code);
	char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;

	/* The list stays open until here: the object goes on behind it. */
	printf("%s],%s\n", result->problems ? "\n" : "", text ? text + 1 : "\"exit\":8}");
	free(text);
	json_decref(json);
}

static void print_end(const struct options *options, const struct check_result *result,
		      const char *file)
{
	bool repair = has(options, OPTION_REPAIR), dry = has(options, OPTION_DRY_RUN);

	printf("%s: ", file);
	if (!result->problems)
		printf("clean");
	else if (!repair)
		printf("%llu problems, %llu of them can be mended",
		       (unsigned long long)result->problems, (unsigned long long)result->mended);
	else
		printf("%llu problems, %llu %s, %llu left", (unsigned long long)result->problems,
		       (unsigned long long)result->mended, dry ? "would be mended" : "mended",
		       (unsigned long long)result->left);
	printf("; %llu objects, %llu frames, %llu segments", (unsigned long long)result->objects,
	       (unsigned long long)result->frames, (unsigned long long)result->segments);
	if (has(options, OPTION_DEEP))
		printf(", %llu bytes read and verified", (unsigned long long)result->bytes);
	if (result->live)
		printf("; as of the last checkpoint of the mounted pool; what reading has found "
		       "damaged is told by `terrace damaged`");
	else if (result->unclean)
		printf("; not closed in order, the next mount goes on with what was under way");
	putchar('\n');
}

static enum exit_code failed(const char *file, int error)
{
	if (error == -EBUSY)
		return complain(EXIT_CHECK_FAILED,
				"%s: the pool is mounted: unmount it first, or check without "
				"--repair",
				file);
	return complain(EXIT_CHECK_FAILED, "%s: cannot be checked: %s", file, strerror(-error));
}

static enum exit_code run(const struct options *options, const struct pool_config *config,
			  const char *file)
{
	struct output output = {.options = options, .pool = file, .first = true};
	struct fs_check_options check = {.base = {.config = config,
						  .repair = has(options, OPTION_REPAIR),
						  .deep = has(options, OPTION_DEEP),
						  .problem = print_problem,
						  .arg = &output},
					 .dry_run = has(options, OPTION_DRY_RUN)};
	struct check_result result;
	enum exit_code code;
	int rc;

	if (has(options, OPTION_JSON))
		printf("{\"problems\":[");
	rc = fs_check(&check, &result);
	code = rc < 0 ? EXIT_CHECK_FAILED : exit_of(options, &result);
	if (has(options, OPTION_JSON))
		print_end_json(options, &result, file, code);
	else if (rc == 0)
		print_end(options, &result, file);
	return rc < 0 ? failed(file, rc) : code;
}

enum exit_code verb_check(const struct options *options)
{
	struct pool_config config;
	char message[512], *file;
	enum exit_code code = find_config(options->args[0], &file);

	if (!code && config_load(file, &config, message, sizeof(message)) < 0) {
		code = complain(EXIT_CHECK_FAILED, "%s", message);
	} else if (!code) {
		code = run(options, &config, file);
		config_release(&config);
	}
	free(file);
	return code;
}
