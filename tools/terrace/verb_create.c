// SPDX-License-Identifier: Apache-2.0
/*
 * terrace create. Invariants:
 *  1. The configuration is written before the pool: an error later takes it away again, while a
 *     pool without a configuration could not be taken away.
 *  2. On error nothing is left that was not there: folders made here are removed, in reverse.
 */
#include "tools/terrace/terrace.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tiers/config.h"
#include "tiers/log.h"
#include "tiers/pool.h"
#include "tools/terrace/text.h"

struct made {
	char **folders; /* in the order they were made */
	size_t n;
};

static void made_undo(struct made *made, bool remove)
{
	while (made->n) {
		char *folder = made->folders[--made->n];

		if (remove)
			rmdir(folder); /* somebody else's by now if it is not empty */
		free(folder);
	}
	free(made->folders);
	made->folders = NULL;
}

static int make_one(struct made *made, const char *path, mode_t mode)
{
	char **more;

	if (mkdir(path, mode))
		return errno == EEXIST ? 0 : -errno;
	more = realloc(made->folders, (made->n + 1) * sizeof(*more));
	if (more) {
		made->folders = more;
		more[made->n] = strdup(path);
	}
	if (!more || !more[made->n]) {
		rmdir(path);
		return -ENOMEM;
	}
	made->n++;
	return 0;
}

/*
 * A folder whose parent exists. Not those above: a path that is mistyped, or on a disk that is not
 * mounted, should not become a folder on the system's disk.
 */
static enum exit_code make_place(struct made *made, const char *what, const char *path)
{
	struct stat stat_buf;
	int error = make_one(made, path, 0700); /* it holds everybody's files */

	if (error == -ENOENT)
		return complain(EXIT_FAILED, "%s: %s: the folder it should be in does not exist",
				what, path);
	if (!error && !stat(path, &stat_buf) && !S_ISDIR(stat_buf.st_mode))
		error = -ENOTDIR;
	else if (!error && access(path, W_OK | X_OK))
		error = -errno;
	return error ? complain(EXIT_FAILED, "%s: %s: %s", what, path, strerror(-error))
		     : EXIT_DONE;
}

/* /etc/terrace is made when it is not there. */
static enum exit_code make_parent(struct made *made, const char *file)
{
	const char *slash = strrchr(file, '/');
	char *folder = slash && slash != file ? strndup(file, (size_t)(slash - file)) : NULL;
	int error = folder ? make_one(made, folder, 0755) : 0;

	free(folder);
	return error ? complain(EXIT_FAILED, "%s: cannot make its folder: %s", file,
				strerror(-error))
		     : EXIT_DONE;
}

static enum exit_code make_places(struct made *made, const struct pool_config *config,
				  const char *file)
{
	enum exit_code code = make_parent(made, file);
	uint32_t i, j;

	for (i = 0; i < config->ntiers; i++) {
		const struct config_tier *tier = &config->tiers[i];
		char what[32];

		snprintf(what, sizeof(what), "tier %s", tier->name);
		for (j = 0; !code && tier->kind == TIER_KIND_DIR && j < tier->npaths; j++)
			code = make_place(made, what, tier->paths[j]);
	}
	return code;
}

/* The first error that is logged below says what and where; it becomes this command's message. */
static void take_log(void *arg, enum log_level level, const char *line)
{
	char **first = arg;

	if (level == LOG_LEVEL_ERROR && !*first)
		*first = strdup(line);
}

/* The configuration file, then the pool; `config` is read back from the file on the way. */
static enum exit_code make_pool(struct pool_config *config, const char *file)
{
	char message[512], *logged = NULL;
	int error;

	log_sink_set(take_log, &logged);
	error = config_save_new(config, file);
	if (!error) {
		config_release(config);
		error = config_load(file, config, message, sizeof(message));
		if (error)
			logged = strdup(message);
		else
			error = pool_create(config);
		if (error)
			unlink(file);
	}
	log_sink_set(NULL, NULL);
	if (error)
		complain(EXIT_FAILED, "%s", logged ? logged : strerror(-error));
	free(logged);
	return error ? EXIT_FAILED : EXIT_DONE;
}

/* A pool may have fewer for a while, when disks fail; a new one is better told. */
static enum exit_code check_copies(const struct pool_config *config)
{
	for (uint32_t i = 0; i < config->ntiers; i++) {
		const struct config_tier *tier = &config->tiers[i];

		if (tier->kind == TIER_KIND_DIR && tier->replicas > tier->npaths)
			return complain(EXIT_USAGE,
					"tier %s: replicas=%u needs %u directories, and there "
					"are %u; add path=/some/folder on other disks",
					tier->name, tier->replicas, tier->replicas, tier->npaths);
	}
	return EXIT_DONE;
}

static enum exit_code take_tiers(struct pool_config *config, const struct options *options)
{
	char message[512];
	size_t i;

	for (i = 0; i < options->ntiers; i++) {
		if (config_add_tier(config, options->tiers[i], message, sizeof(message)))
			return complain(EXIT_USAGE, "%s", message);
	}
	if (options->meta) {
		if (options->meta[0] != '/')
			return complain(EXIT_USAGE, "--meta='%s' should be an absolute path",
					options->meta);
		config->meta_path = strdup(options->meta);
		if (!config->meta_path)
			return complain(EXIT_FAILED, "out of memory");
	}
	if (config_finish(config, message, sizeof(message)))
		return complain(EXIT_USAGE, "%s", message);
	return check_copies(config);
}

static json_t *describe(const struct pool_config *config, const char *file, bool dry)
{
	json_t *tiers = json_array();
	char uuid[33];
	uint32_t i, j;

	for (i = 0; i < 16; i++)
		snprintf(uuid + 2 * i, 3, "%02x", config->uuid[i]);
	for (i = 0; i < config->ntiers; i++) {
		json_t *paths = json_array();

		for (j = 0; j < config->tiers[i].npaths; j++)
			json_array_append_new(paths, json_name(config->tiers[i].paths[j]));
		json_array_append_new(
			tiers, json_pack("{ss so}", "name", config->tiers[i].name, "paths", paths));
	}
	return json_pack("{so ss so so sb}", "config", json_name(file), "uuid", uuid, "meta",
			 json_name(config->meta_path), "tiers", tiers, "dry_run", dry);
}

static void report(const struct pool_config *config, const char *file, const char *pool, bool dry)
{
	uint32_t i, j;

	printf("%s%s\n", dry ? "would write " : "", file);
	for (i = 0; i < config->ntiers; i++) {
		const struct config_tier *tier = &config->tiers[i];
		char codec[16] = "";

		if (tier->kind == TIER_KIND_DIR)
			codec_format(&tier->codec, codec, sizeof(codec));
		printf("  %-8s %-8s", tier->name, codec);
		for (j = 0; j < tier->npaths; j++) {
			putchar(' ');
			print_name(stdout, tier->paths[j]);
		}
		putchar('\n');
	}
	printf("  %-8s %-8s ", "metadata", "");
	print_name_line(config->meta_path);
	for (i = 0; i < config->ntiers; i++)
		if (config->tiers[i].nspares && config->tiers[i].replicas == 1)
			printf("tier %s keeps one copy: its copy_path takes what rules and "
			       "user.terrace.replicas ask for; replicas=2 copies everything\n",
			       config->tiers[i].name);
	if (!dry)
		printf("mount it with: terracefs %s MNT\n", pool);
}

enum exit_code verb_create(const struct options *options)
{
	struct pool_config config;
	struct made made = {NULL, 0};
	bool dry = has(options, OPTION_DRY_RUN);
	char *file = config_resolve(options->args[0]);
	enum exit_code code;

	config_init(&config);
	if (!options->args[0][0] ||
	    (options->args[0][0] == '.' && !strchr(options->args[0], '/'))) {
		free(file);
		return complain(EXIT_USAGE, "'%s' is no name for a pool", options->args[0]);
	}
	code = file ? take_tiers(&config, options) : complain(EXIT_FAILED, "out of memory");
	if (!code && !access(file, F_OK))
		code = complain(EXIT_FAILED,
				"%s exists; choose another name, or remove it if it is no pool's",
				file);
	if (!code && !dry) {
		code = make_places(&made, &config, file);
		if (!code)
			code = make_pool(&config, file);
		made_undo(&made, code != EXIT_DONE);
	}
	if (!code && has(options, OPTION_JSON) && !json_print(describe(&config, file, dry)))
		code = complain(EXIT_FAILED, "out of memory");
	else if (!code && !has(options, OPTION_JSON))
		report(&config, file, options->args[0], dry);
	config_release(&config);
	free(file);
	return code;
}
