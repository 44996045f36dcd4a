/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What people want of files: pins, codecs, states, numbers of copies and layouts that they set on
 * files and folders (user.terrace.pin, .codec, .state, .replicas, .layout), and the rules of the
 * configuration. What is in force for an inode is, of each kind, its own setting, else that of the
 * nearest folder above it, else what the first rule that fits says (fs/rules.h), else nothing.
 *
 * All settings are held in memory (they are few) and stored as keys P "fs.policy." inode(8).
 * Results per folder are cached until any setting changes or a folder is renamed. In a pool without
 * settings and rules a question costs two atomic loads.
 *
 * A file with several names inherits through the folder it was linked or moved to last, and has
 * that name for rules.
 *
 * Threads: any. policy_effective() may be called by the tiers with locks held: it reads attributes
 * and names only.
 */
#ifndef TERRACE_FS_POLICY_H
#define TERRACE_FS_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/rules.h"
#include "tiers/pool.h"

struct fs;
struct policy;
struct txn;

enum policy_kind {
	POLICY_PIN,
	POLICY_CODEC,
	POLICY_STATE,
	POLICY_REPLICAS,
	POLICY_LAYOUT,
	POLICY_KINDS
};

#define POLICY_TEXT_MAX 32u
/* A layout that nobody can set: the engine has seen a database (fs/layout.h). Plain, if it may be.
 */
#define POLICY_DATABASE "database"

const char *policy_kind_name(enum policy_kind kind);	/* "pin", "codec" ... */
const char *policy_state_name(enum object_state state); /* "active" ... */

int policy_new(struct fs *fs, struct policy **out);
void policy_free(struct policy *policy);

/* Checks and sets (text NULL: removes, -ENODATA when there is none) on one inode, in a transaction
 * of its own. flags: XATTR_CREATE (-EEXIST), XATTR_REPLACE (-ENODATA). -EINVAL: no such tier,
 * codec, state or layout, no number of copies. */
int policy_set(struct policy *policy, uint64_t id, enum policy_kind kind, const char *text,
	       int flags);
/* The engine's own word, which somebody else's never gives way to: made where nothing is set
 * (-EEXIST), or, if it holds no more, removed where it is what is set (-ENODATA). The inode's times
 * stay. */
int policy_note(struct policy *policy, uint64_t id, enum policy_kind kind, const char *word,
		bool holds);
/* The inode's own: -ENODATA. */
int policy_get(struct policy *policy, uint64_t id, enum policy_kind kind,
	       char buf[static POLICY_TEXT_MAX]);
/* The setting in force, and the inode that it is set on: -ENODATA (rules may still say something).
 */
int policy_source(struct policy *policy, uint64_t id, enum policy_kind kind,
		  char buf[static POLICY_TEXT_MAX], uint64_t *source);
/* Is there any setting or rule at all? One atomic load. */
bool policy_any(struct policy *policy);
void policy_effective(struct policy *policy, uint64_t id, uint32_t age_s,
		      struct object_policy *out);
/* What the rules alone say of a file. */
void policy_ask_rules(struct policy *policy, uint64_t id, uint32_t age_s, struct rules_answer *out);
/* The rules of another configuration. -ENOMEM: those of before stay. */
int policy_rules_set(struct policy *policy, const struct pool_config *config);

/* Calls each() for all that is set, in no order, without a lock; ends on non-zero, which is
 * returned. -ENOMEM. */
struct policy_item {
	uint64_t id;
	char text[POLICY_KINDS][POLICY_TEXT_MAX]; /* "" = not set */
};
int policy_each(struct policy *policy, int (*each)(void *arg, const struct policy_item *item),
		void *arg);

/* Is this a record of settings, and how many kinds has it? Its version says that. */
static inline bool policy_record_readable(const uint8_t *value, size_t len, unsigned *kinds)
{
	*kinds = len ? value[0] + 1u : 0;
	return *kinds >= 2 && *kinds <= POLICY_KINDS && len == 1 + *kinds * POLICY_TEXT_MAX;
}
/* A folder has another parent or name. */
void policy_moved(struct policy *policy);
/* An inode goes: stages the removal of its settings / forgets them after the commit. */
int policy_stage_delete(struct txn *txn, uint64_t id);
void policy_deleted(struct policy *policy, uint64_t id);

#endif
