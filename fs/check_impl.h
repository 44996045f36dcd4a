/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the check of names share. Not for others. */
#ifndef TERRACE_FS_CHECK_IMPL_H
#define TERRACE_FS_CHECK_IMPL_H

#include "fs/attr.h"
#include "fs/dir.h"
#include "tiers/check/check.h"
#include "tiers/check/sorter.h"
#include "tiers/keys.h"
#include "tiers/meta.h"
#include "tiers/records.h"

struct fs_check {
	struct check *check;
	struct meta *meta;
	uint64_t seed;
	struct attr_time now;
	struct sorter *names;	 /* by what they lead to */
	struct sorter *folders;	 /* by number */
	struct sorter *children; /* folders by the folder they are in */
};

/* In the order of the bytes. */
#define NAME_LEN   25u /* inode(8) folder(8) cookie(8) type(1) */
#define FOLDER_LEN 20u /* folder(8) its parent(8) link count(4) */
#define CHILD_LEN  16u /* parent(8) folder(8) */

int fs_check_names(struct fs_check *fsc);    /* check_names.c: folders' entries */
int fs_check_inodes(struct fs_check *fsc);   /* check_inodes.c */
int fs_check_folders(struct fs_check *fsc);  /* check_folders.c: links and circles */
int fs_check_settings(struct fs_check *fsc); /* check_settings.c */

/* check_store.c: records, as they are or will be after the mends so far */
struct fs_check_inode {
	uint64_t id;
	struct object_record record;
	struct attr attr;
	int attr_error; /* the attributes cannot be read */
};
int fs_check_load(struct fs_check *fsc, uint64_t id, struct fs_check_inode *out); /* -ENOENT */
int fs_check_decode(uint64_t id, const void *value, size_t len, struct fs_check_inode *out);
void fs_check_store(struct fs_check *fsc, struct fs_check_inode *inode);
struct dir fs_check_dir(const struct fs_check *fsc, uint64_t id);
void fs_check_attr_new(const struct fs_check *fsc, uint32_t mode, struct attr *out);
void fs_check_name_put(struct fs_check *fsc, uint64_t folder, uint64_t cookie, uint64_t id,
		       uint8_t type, const char *name, size_t len);
/* Takes a name out of its group, so that the others stay reachable. */
int fs_check_name_drop(struct fs_check *fsc, uint64_t folder, uint64_t cookie);
/* The cookie of a name that leads to the inode: the hint, if it does; -ENOENT. */
int fs_check_name_find(struct fs_check *fsc, uint64_t folder, uint64_t id, uint64_t hint,
		       uint64_t *cookie);
/* The name at a cookie as it is; "" when there is none. */
void fs_check_name_text(struct fs_check *fsc, uint64_t folder, uint64_t cookie, char *buf,
			size_t cap);
/* Gives an inode without a name one in /lost+found, which is made at need; stores the inode. */
int fs_check_adopt(struct fs_check *fsc, struct fs_check_inode *inode);
/* check_path_set()'s. */
void fs_check_path(void *arg, uint64_t id, char *buf, size_t cap);

#endif
