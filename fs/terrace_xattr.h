/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The attributes user.terrace.*: where a file's bytes are, and what is set about it. Made when
 * read, never stored, never listed, so that cp -a, rsync -X and tar --xattrs do not copy them.
 *
 * .tier .tiers .extents .ratio .stored .heat .why: files; the root folder's speak for the whole
 * pool (not .extents, .heat and .why); other folders: -ENODATA. .pin .codec .state: settable, with
 * XATTR_CREATE and XATTR_REPLACE. .job: what a pin or state has begun. .effective.pin .codec
 * .state .rule .tier: "VALUE SOURCE". Others: -ENODATA to read, -EINVAL to set; read-only ones
 * -EROFS.
 */
#ifndef TERRACE_FS_TERRACE_XATTR_H
#define TERRACE_FS_TERRACE_XATTR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fs;
struct object;

bool terrace_xattr_is(const char *name);
int terrace_xattr_get(struct fs *fs, uint64_t id, const char *name, void *buf, size_t cap,
		      size_t *len);
int terrace_xattr_set(struct fs *fs, uint64_t id, const char *name, const void *value, size_t len,
		      int flags);
int terrace_xattr_remove(struct fs *fs, uint64_t id, const char *name);

/* The tier (index) that holds most of an object's bytes; 0 (RAM) when it has none. */
int terrace_main_tier(struct object *object, int *tier);

#endif
