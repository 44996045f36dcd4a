/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Brings the metadata of a pool back from a copy (meta_copy.h), when its folder is lost or damaged;
 * where only its journal is damaged, from what comes before the damage, unless a copy is newer.
 *
 * What it promises:
 * - the metadata that is there is put aside, into damaged-N in its folder, and never deleted;
 * - the new one is complete and durable before it takes that place, the tree's file last: what dies
 *   in between leaves a pool that does not open, and restoring begins anew;
 * - each byte of a file is the one that the copy speaks of; where that is gone (moved, cleaned
 * away, overwritten since), a newer one of the same file at the same offset, if a frame written
 * after the copy has it; else reading it is an error: never older data than the copy's, nor
 * another's;
 * - ids that may have been given out since the copy are not given out again;
 * - segments written after the copy that nothing is taken from are put aside too, into
 *   segments.newer of their directory: a mount would remove them. A restore finds them there again.
 *   So it is with plain files, and plain.newer (restore/plain.c).
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

struct meta;
struct pool_config;

struct restore_options {
	const struct pool_config *config;
	uint64_t generation;	 /* 0: the newest good one, if the metadata is not sound */
	const char *const *lost; /* directories of tiers that are gone for good: made anew, empty */
	size_t nlost;
	bool dry_run; /* changes nothing; what depends on it is 0 in the result */
	/* Of this object, bytes are lost, or newer than the copy (or moved after it). meta: the
	 * store, to read its names. May be NULL. */
	void (*each)(void *arg, struct meta *meta, uint64_t object, uint64_t lost, uint64_t newer);
	void *arg;
};

struct restore_result {
	struct copy_info copy;
	bool live;	     /* not a copy: what is sound of the metadata itself; copy.seq is its */
	char from[PATH_MAX]; /* the copy's file, or the metadata's */
	char aside[PATH_MAX]; /* where the damaged metadata is now; "" there was none */
	uint64_t objects;
	uint64_t lost_segments, lost_frames; /* that the copy speaks of */
	uint64_t lost_files, lost_bytes;     /* what of that no newer frame has */
	uint64_t newer_files, newer_bytes;   /* what newer frames have */
	uint64_t unknown_objects; /* that these have bytes of, and the copy has no name for */
	uint64_t newer_segments;  /* put aside */
};

/*
 * -EALREADY the metadata is sound and no generation was asked for; -EBUSY the pool is in use;
 * -ENOENT no good copy, no such generation, or a directory is missing that is not said to be lost;
 * -EINVAL a directory that is said to be lost is there, or is none of the pool's.
 */
int meta_restore(const struct restore_options *options, struct restore_result *out);

/* The same for a store that a copy was loaded into, to be read: nothing of the pool changes.
 * Segments may lie in segments.newer then. */
struct finder_dir;
int restore_newer_look(const struct pool_config *config, const struct finder_dir *dirs,
		       size_t ndirs, struct meta *meta, struct restore_result *out);

#endif
