/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Brings the metadata of a pool back from a copy (meta_copy.h), when its folder is lost or damaged.
 *
 * What it promises:
 * - the metadata that is there is put aside, into damaged-N in its folder, and never deleted;
 * - the new one is complete and durable before it takes that place, the tree's file last: what dies
 *   in between leaves a pool that does not open, and restoring begins anew;
 * - ids that may have been given out since the copy are not given out again, so a frame that the
 *   copy speaks of is either there as it was, or reads as an error: never as other data;
 * - segments that the copy does not know, written after it, are put aside too, into segments.newer
 *   of their directory: a mount would remove them.
 *
 * One thread; no other process has the pool open. Errors: negative errno, logged here.
 */
#ifndef TERRACE_TIERS_META_RESTORE_H
#define TERRACE_TIERS_META_RESTORE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tiers/meta_copy.h"

struct pool_config;

struct restore_options {
	const struct pool_config *config;
	uint64_t generation;	 /* 0: the newest good one, if the metadata is not sound */
	const char *const *lost; /* directories of tiers that are gone for good: made anew, empty */
	size_t nlost;
	bool dry_run; /* changes nothing; what depends on it is 0 in the result */
};

struct restore_result {
	struct copy_info copy;
	char from[PATH_MAX];  /* the copy's file */
	char aside[PATH_MAX]; /* where the damaged metadata is now; "" there was none */
	uint64_t objects;
	uint64_t lost_segments, lost_frames;
	uint64_t lost_bytes;	 /* of files: extents in these frames */
	uint64_t newer_segments; /* put aside */
};

/*
 * -EALREADY the metadata is sound and no generation was asked for; -EBUSY the pool is in use;
 * -ENOENT no good copy, no such generation, or a directory is missing that is not said to be lost;
 * -EINVAL a directory that is said to be lost is there, or is none of the pool's.
 */
int meta_restore(const struct restore_options *options, struct restore_result *out);

#endif
