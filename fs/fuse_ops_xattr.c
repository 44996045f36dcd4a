// SPDX-License-Identifier: Apache-2.0
/* A value is fetched into a buffer of the size the caller offers; size 0 asks for the length. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/control.h"
#include "fs/fuse_ops.h"
#include "fs/xattr.h"

#define GROUPS_FIRST 64

static void reply_value(fuse_req_t req, int r, const char *buf, size_t cap, size_t len)
{
	if (r)
		reply(req, stale(r));
	else if (!cap)
		fuse_reply_xattr(req, len);
	else
		fuse_reply_buf(req, buf, len);
}

void ops_getxattr(fuse_req_t req, fuse_ino_t id, const char *name, size_t size)
{
	char *buf = size ? malloc(size) : NULL;
	size_t len = 0;
	int r;

	if (control_owns(id))
		r = -ENODATA;
	else
		r = size && !buf ? -ENOMEM : fs_getxattr(fs_of(req), id, name, buf, size, &len);
	reply_value(req, r, buf, size, len);
	free(buf);
}

void ops_listxattr(fuse_req_t req, fuse_ino_t id, size_t size)
{
	char *buf = size ? malloc(size) : NULL;
	size_t len = 0;
	int r = 0;

	if (!control_owns(id))
		r = size && !buf ? -ENOMEM
				 : fs_listxattr(fs_of(req), id, !fuse_req_ctx(req)->uid, buf, size,
						&len);
	reply_value(req, r, buf, size, len);
	free(buf);
}

/* Also of more groups than a first guess has room for; false when they cannot be read. */
static bool is_member(fuse_req_t req, gid_t group)
{
	gid_t *groups = NULL;
	int n = 0, cap = GROUPS_FIRST;
	bool found = false;

	for (;; cap = n) {
		free(groups);
		groups = calloc((size_t)cap, sizeof(*groups));
		n = groups ? fuse_req_getgroups(req, cap, groups) : -1;
		if (n <= cap)
			break;
	}
	for (int i = 0; i < n && !found; i++)
		found = groups[i] == group;
	free(groups);
	return found;
}

/* Setting an ACL is a chmod: who is not of the file's group may not give it sgid. libfuse does not
 * pass the kernel's verdict on, so it is made again here. */
static bool is_foreign_group(fuse_req_t req, fuse_ino_t id)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);
	struct stat st;

	if (!ctx->uid || fs_getattr(fs_of(req), id, &st) || ctx->gid == st.st_gid)
		return false;
	return !is_member(req, st.st_gid);
}

void ops_setxattr(fuse_req_t req, fuse_ino_t id, const char *name, const char *value, size_t size,
		  int flags)
{
	struct fs_cred cred = cred_of(req);

	if (control_owns(id)) {
		reply(req, -EPERM);
		return;
	}
	if (!strcmp(name, XATTR_ACL_ACCESS))
		cred.foreign_group = is_foreign_group(req, id);
	reply(req, stale(fs_setxattr(fs_of(req), id, name, value, size, flags, &cred)));
}

void ops_removexattr(fuse_req_t req, fuse_ino_t id, const char *name)
{
	reply(req, control_owns(id) ? -EPERM : stale(fs_removexattr(fs_of(req), id, name)));
}
