// SPDX-License-Identifier: Apache-2.0
/*
 * The rounds of a check. What a round mends may uncover more (a name that leads nowhere goes, then
 * the folder's link count is wrong), so a repair is tried in memory until a round finds nothing to
 * mend; only then does anything change on a medium.
 */
#include "fs/check.h"

#include <errno.h>
#include <string.h>

#include "fs/check_impl.h"
#include "tiers/log.h"

#define ROUNDS_MAX 16u

static int names_pass(struct fs_check *fsc)
{
	int rc = sorter_new(&fsc->names, NAME_LEN, check_memory());

	if (rc == 0)
		rc = sorter_new(&fsc->folders, FOLDER_LEN, check_memory());
	if (rc == 0)
		rc = sorter_new(&fsc->children, CHILD_LEN, check_memory());
	if (rc == 0)
		rc = fs_check_names(fsc);
	if (rc == 0)
		rc = fs_check_inodes(fsc);
	if (rc == 0)
		rc = fs_check_folders(fsc);
	if (rc == 0)
		rc = fs_check_settings(fsc);
	sorter_free(fsc->names);
	sorter_free(fsc->folders);
	sorter_free(fsc->children);
	fsc->names = fsc->folders = fsc->children = NULL;
	return rc;
}

static int rounds(struct fs_check *fsc, bool repair)
{
	int rc;

	for (unsigned i = 0; i < ROUNDS_MAX; i++) {
		check_round(fsc->check);
		rc = check_pass(fsc->check);
		if (rc == 0)
			rc = names_pass(fsc);
		if (rc < 0 || !repair || !check_changed(fsc->check))
			return rc;
	}
	log_error("mending one thing brings up another without end; nothing was changed");
	return -ELOOP;
}

int fs_check(const struct fs_check_options *options, struct check_result *result)
{
	struct check_options base = options->base;
	struct fs_check fsc = {.now = attr_now()};
	int rc;

	base.repair = base.repair && !options->dry_run;
	rc = check_open(&fsc.check, &base, result);
	if (rc < 0 || !fsc.check)
		return rc;
	fsc.meta = check_meta(fsc.check);
	fsc.seed = get_le64(options->base.config->uuid);
	check_path_set(fsc.check, fs_check_path, &fsc);
	rc = rounds(&fsc, options->base.repair);
	if (rc == 0)
		rc = check_doubts(fsc.check, &fsc.meta);
	if (rc == 0 && base.repair && result->mended)
		rc = check_repair(fsc.check);
	check_close(fsc.check);
	return rc;
}
