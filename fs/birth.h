/* SPDX-License-Identifier: Apache-2.0 */
/*
 * New inodes: what they inherit from their folder, and how they are staged. names.c gives them
 * their name in the same transaction, birth.c a later one (fs_nameless(), fs_place()).
 */
#ifndef TERRACE_FS_BIRTH_H
#define TERRACE_FS_BIRTH_H

#include <stddef.h>
#include <stdint.h>

#include "fs/acl.h"
#include "fs/attr.h"

struct folder;
struct fs;
struct object;
struct txn;

struct birth { /* what a new inode gets besides its attributes */
	struct attr attr;
	const char *target; /* of a symlink */
	size_t access_len, default_len;
	uint8_t access[ACL_LEN_MAX], defaults[ACL_LEN_MAX];
};

/* Takes group, mode and ACLs from the folder. umask counts only where that has no default ACL,
 * which is why the kernel leaves it to us. */
int birth_inherit(struct fs *fs, const struct folder *parent, uint32_t umask, struct birth *birth);
/* Stages the inode and what hangs on it; a reference. */
int birth_stage(struct txn *txn, const struct birth *birth, struct object **out);

#endif
