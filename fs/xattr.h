/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extended attributes as stored: key X inode(8) name, the value as it is. The calls that
 * applications make (fs_getxattr() ...) are in xattr.c too and add what names mean: ACLs change the
 * mode, user.terrace.* is not stored at all (fs/terrace_xattr.h).
 */
#ifndef TERRACE_FS_XATTR_H
#define TERRACE_FS_XATTR_H

#include <stddef.h>
#include <stdint.h>

struct meta;
struct txn;

#define XATTR_ACL_ACCESS  "system.posix_acl_access"
#define XATTR_ACL_DEFAULT "system.posix_acl_default"
#define XATTR_CAPS	  "security.capability"

/* -ENODATA; -ERANGE with *len when cap is too small (cap 0: asks for the length). */
int xattr_load(struct meta *meta, uint64_t id, const char *name, void *buf, size_t cap,
	       size_t *len);
/* An ACL, with entries; room for ACL_LEN_MAX bytes. -ENODATA; -EUCLEAN: what is stored is none. */
int xattr_load_acl(struct meta *meta, uint64_t id, const char *name, void *buf, size_t *len);
int xattr_stage(struct txn *txn, uint64_t id, const char *name, const void *value, size_t len);
int xattr_stage_remove(struct txn *txn, uint64_t id, const char *name);
int xattr_stage_remove_all(struct txn *txn, struct meta *meta, uint64_t id);

#endif
