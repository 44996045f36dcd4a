/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pins and codecs that people set on files and folders (user.terrace.pin, user.terrace.codec), and
 * what is in force for an inode: its own, else that of the nearest folder above it.
 *
 * All settings are held in memory (they are few) and stored as keys P "fs.policy." inode(8).
 * Results per folder are cached until any setting changes or a folder is renamed. In a pool without
 * settings a question costs one atomic load.
 *
 * A file with several names inherits through the folder it was linked or moved to last.
 *
 * Threads: any. policy_effective() may be called by the tiers with locks held: it reads attributes
 * only.
 */
#ifndef TERRACE_FS_POLICY_H
#define TERRACE_FS_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tiers/pool.h"

struct fs;
struct policy;
struct txn;

enum policy_kind { POLICY_PIN, POLICY_CODEC, POLICY_KINDS };

#define POLICY_TEXT_MAX 32u

int policy_new(struct fs *fs, struct policy **out);
void policy_free(struct policy *policy);

/* Checks and sets (text NULL: removes, -ENODATA when there is none) on one inode, in a transaction
 * of its own. -EINVAL: no such tier or codec. */
int policy_set(struct policy *policy, uint64_t id, enum policy_kind kind, const char *text);
/* The inode's own: -ENODATA. */
int policy_get(struct policy *policy, uint64_t id, enum policy_kind kind,
	       char buf[static POLICY_TEXT_MAX]);
/* In force, and the inode that sets it: -ENODATA. */
int policy_source(struct policy *policy, uint64_t id, enum policy_kind kind,
		  char buf[static POLICY_TEXT_MAX], uint64_t *source);
/* Is there any setting or rule at all? One atomic load. */
bool policy_any(struct policy *policy);
void policy_effective(struct policy *policy, uint64_t id, uint32_t age_s,
		      struct object_policy *out);

/* A folder has another parent. */
void policy_moved(struct policy *policy);
/* An inode goes: stages the removal of its settings / forgets them after the commit. */
int policy_stage_delete(struct txn *txn, uint64_t id);
void policy_deleted(struct policy *policy, uint64_t id);

#endif
