/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What names.c and rename.c share: a folder that is being changed, and an inode that loses a name.
 * All of it between txn_begin() and the end of that transaction, but for folder_put() and
 * victim_end(), which come after it.
 */
#ifndef TERRACE_FS_NAMES_H
#define TERRACE_FS_NAMES_H

#include <stdbool.h>
#include <stdint.h>

#include "fs/attr.h"
#include "fs/dir.h"

struct fs;
struct object;
struct txn;

struct folder {
	struct dir dir;
	struct object *object; /* NULL: not loaded */
	struct attr attr;
};
int folder_load(struct fs *fs, uint64_t id, struct folder *out); /* -ENOTDIR, -ENOENT */
void folder_put(struct folder *folder);
/* mtime, ctime, and whatever else was changed in its attributes. */
int folder_touch(struct txn *txn, struct folder *folder, struct attr_time now);

struct victim {
	uint64_t id;
	struct object *object; /* NULL: none */
	struct attr attr;
	bool marked;  /* in the inode table: to be undone when the transaction fails */
	bool deleted; /* record and all, in this transaction */
};
int victim_load(struct fs *fs, uint64_t id, struct victim *out);
/* Its name in `parent` goes, removed or replaced by another: link count, orphan or deletion.
 * Folders must be empty. */
int victim_drop_name(struct fs *fs, struct txn *txn, struct victim *victim, uint64_t parent,
		     struct attr_time now, bool replaced);
void victim_end(struct fs *fs, struct victim *victim, bool committed);

bool name_is_control(uint64_t parent, const char *name);

#endif
