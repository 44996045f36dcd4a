// SPDX-License-Identifier: Apache-2.0
/*
 * Writing the configuration. Invariants:
 *  1. The file under its final name is whole and on the medium, or is not there.
 *  2. What is written, config_load() reads back to the same values; keys at their default are
 *     written as comments, so that the file shows what can be set.
 * Threads: any; two writers of one name: one gets -EEXIST.
 */
#include "tiers/config_keys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tiers/io.h"
#include "tiers/log.h"

static void print_section(const struct config_key *key, const void *base, const void *defaults,
			  bool ram, FILE *out)
{
	const struct config_tier *tier = base;

	for (; key->name; key++) {
		bool paths = key->kind == CONFIG_PATHS;
		/* A codec is written out: the default would change with a tier put above. */
		bool same = !paths && key->kind != CONFIG_CODEC &&
			    config_value_equal(key, base, defaults);
		uint32_t i, n = 1;

		if (ram && !(key->flags & CONFIG_RAM))
			continue;
		if (same && !strncmp(key->name, "test_", 5))
			continue; /* nobody needs to see these */
		fprintf(out, "# %s\n", key->help);
		if (paths)
			config_paths(key, tier, &n);
		if (!n)
			fprintf(out, "#%s =\n", key->name);
		/* No size is no limit but the medium's. */
		if (key->kind == CONFIG_QUOTA && !tier->size_bytes && !tier->size_percent) {
			fprintf(out, "#%s = 100%%\n", key->name);
			continue;
		}
		for (i = 0; i < n; i++) {
			fprintf(out, "%s%s = ", same ? "#" : "", key->name);
			config_value_print(key, base, i, out);
			fputc('\n', out);
		}
	}
}

int config_print(const struct pool_config *config, char **text, size_t *len)
{
	struct pool_config pool;
	struct config_tier tier;
	bool first = true;
	FILE *out = open_memstream(text, len);
	uint32_t i;
	int failed;

	if (!out)
		return -ENOMEM;
	memset(&pool, 0, sizeof(pool));
	config_pool_defaults(&pool);
	fputs("# A Terrace pool; see terrace.conf(5). Tiers stand in order, fastest first.\n"
	      "# A value after '#' is the default. Changes count from the next mount on, or when\n"
	      "# terracefs is told (systemctl reload, or SIGHUP).\n\n[pool]\n",
	      out);
	print_section(config_pool_keys, config, &pool, false, out);
	for (i = 0; i < config->ntiers; i++) {
		const struct config_tier *here = &config->tiers[i];

		memset(&tier, 0, sizeof(tier));
		config_tier_defaults(&tier, here->kind, first);
		first = first && here->kind == TIER_KIND_RAM;
		fprintf(out, "\n[tier %s]\n", here->name);
		print_section(config_tier_keys, here, &tier, here->kind == TIER_KIND_RAM, out);
	}
	for (i = 0; i < config->nrules; i++) {
		fprintf(out, "\n[rule %s]\n", config->rules[i].name);
		config_rule_print(&config->rules[i], out);
	}
	failed = ferror(out);
	/* The last of the memory stream's allocations fails without a word. */
	if (fclose(out) || failed || !*text) {
		free(*text);
		*text = NULL;
		return -ENOMEM;
	}
	return 0;
}

/* The folder of a path as a new string; "." for a bare name. */
static char *folder_of(const char *file)
{
	const char *slash = strrchr(file, '/');

	if (!slash)
		return strdup(".");
	return slash == file ? strdup("/") : strndup(file, (size_t)(slash - file));
}

static int write_file(const char *file, const char *text, size_t len)
{
	int fd = io_open(file, O_WRONLY | O_CREAT | O_EXCL, 0644);
	int error, closed;

	if (fd < 0)
		return fd;
	error = io_pwrite_all(fd, text, len, 0);
	if (!error)
		error = io_sync_file(fd);
	closed = io_close(fd);
	error = error ? error : closed;
	if (error)
		io_remove(file);
	return error;
}

/* rename that never replaces; some filesystems (NFS) do not know the flag, there a check must do.
 */
static int rename_new(const char *from, const char *to)
{
	if (!renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE))
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -errno;
	return access(to, F_OK) ? io_rename(from, to) : -EEXIST;
}

int config_save_new(const struct pool_config *config, const char *file)
{
	char *text = NULL, *temporary = NULL, *folder = folder_of(file);
	size_t len;
	int error;

	if (!folder || asprintf(&temporary, "%s.%ld.new", file, (long)getpid()) < 0) {
		temporary = NULL;
		error = -ENOMEM;
		goto out;
	}
	error = config_print(config, &text, &len);
	if (!error)
		error = access(file, F_OK) ? 0 : -EEXIST;
	if (!error)
		error = write_file(temporary, text, len);
	if (error)
		goto out;
	error = rename_new(temporary, file);
	if (error) {
		io_remove(temporary);
		goto out;
	}
	error = io_sync_folder(folder);
	if (error)
		io_remove(file);
out:
	if (error && error != -EEXIST)
		log_error("%s: cannot write the configuration: %s", file, strerror(-error));
	free(folder);
	free(temporary);
	free(text);
	return error;
}
