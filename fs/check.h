/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checking and mending a whole pool that nobody changes meanwhile: names, inodes, link counts,
 * folders, settings here, all below in tiers/check/check.h, whose reports and rules hold here too.
 * One thread.
 */
#ifndef TERRACE_FS_CHECK_H
#define TERRACE_FS_CHECK_H

#include <stdbool.h>

#include "tiers/check/check.h"

struct fs_check_options {
	struct check_options base;
	bool dry_run; /* base.repair: how it would go to its end, without changing anything */
};

/*
 * Looks at everything, and tells of each problem when it is found; then, when a repair was asked
 * for, carries out what was told. 0: *result tells how it went. -EBUSY: mounted, and a repair was
 * asked for; other errors: the look, or the repair, could not be made.
 */
int fs_check(const struct fs_check_options *options, struct check_result *result);

struct meta;
/* The path of an inode from the root, in a store that nobody has open; "inode N": it has none. */
void fs_path_stored(struct meta *meta, const uint8_t *pool_uuid, uint64_t id, char *buf,
		    size_t cap);

#endif
