// SPDX-License-Identifier: Apache-2.0
#include "tiers/overlap.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "tiers/folder.h"
#include "tiers/log.h"
#include "tiers/pool_impl.h"

static bool same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

static bool is_target(int fd, const struct stat *st, void *arg)
{
	(void)fd;
	return same(st, arg);
}

bool overlap_within(const char *inner, const char *outer)
{
	struct stat target;

	return stat(outer, &target) == 0 && folder_upwards(inner, is_target, &target);
}

static int refuse(const char *point, const char *relation, const char *what, const char *dir)
{
	log_error("%s: the mount point %s %s %s, which the mount would hide from the daemon: "
		  "mount at another folder",
		  point, relation, what, dir);
	return -EBUSY;
}

static int check_one(const char *point, const char *what, const char *dir)
{
	if (overlap_within(dir, point))
		return refuse(point, overlap_within(point, dir) ? "is" : "contains", what, dir);
	return overlap_within(point, dir) ? refuse(point, "lies in", what, dir) : 0;
}

int overlap_check_mount(const struct pool_config *config, const char *point)
{
	const char *base = config->tiers[0].paths[0];
	char *ram = pool_ram_dir(config);
	int rc = ram ? 0 : -ENOMEM;

	for (uint32_t t = 1; t < config->ntiers && rc == 0; t++)
		for (uint32_t i = 0; i < config->tiers[t].npaths && rc == 0; i++)
			rc = check_one(point, "the tier directory", config->tiers[t].paths[i]);
	if (rc == 0)
		rc = check_one(point, "the metadata's folder", config->meta_path);
	if (rc == 0)
		rc = check_one(point, "the RAM folder", ram);
	/* The RAM folder may not have been made yet. Others' folders may lie beside it. */
	if (rc == 0 && overlap_within(base, point))
		rc = refuse(point, "is or contains", "the RAM tier's", base);
	free(ram);
	return rc;
}
