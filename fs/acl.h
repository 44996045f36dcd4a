/* SPDX-License-Identifier: Apache-2.0 */
/*
 * POSIX ACLs as the kernel passes them (system.posix_acl_*: version 2, little-endian entries). The
 * kernel checks access by them; keeping mode and ACL in step, and inheriting, is the filesystem's
 * job. Pure functions on bytes, any thread; what is stored is the same bytes.
 */
#ifndef TERRACE_FS_ACL_H
#define TERRACE_FS_ACL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ACL_LEN_MAX (4u + 8u * 1024u) /* bytes: 1024 entries */

/* 0 when it is a well-formed ACL with all entries it needs in the right order; -EINVAL, -ENOTSUP
 * (other version), -E2BIG. A header alone (no entries) is well-formed: it means "remove". */
int acl_check(const void *acl, size_t len);
bool acl_is_empty(size_t len);

/* The permission bits that correspond; *minimal: they say all that the ACL says. */
uint32_t acl_to_mode(const void *acl, size_t len, bool *minimal);
/* chmod: sets owner, mask (or group) and others. */
void acl_set_mode(void *acl, size_t len, uint32_t mode);
/* A new file's access ACL: starts as a copy of the folder's default one and is narrowed by the
 * mode that the program asked for. Returns the permission bits of the file. */
uint32_t acl_inherit(void *acl, size_t len, uint32_t mode);

#endif
