// SPDX-License-Identifier: Apache-2.0
/* Reading folders. Offsets are cookies of entries, so an open folder needs no state here. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/control.h"
#include "fs/fuse_ops.h"

void ops_opendir(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *fi)
{
	(void)id;
	/*
	 * The kernel does not cache the listing: one that is made again while somebody else reads
	 * at a cookie whose name has gone shows that reader the end, and rm -rf fails with
	 * ENOTEMPTY.
	 */
	fi->fh = 0;
	fuse_reply_open(req, fi);
}

struct listing {
	fuse_req_t req;
	char *buf;
	size_t size, len;
	bool plus;
};

static bool is_dots(const char *name)
{
	return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

static int add(void *arg, const char *name, const struct stat *st, uint64_t next)
{
	struct listing *list = arg;
	struct fuse_entry_param entry;
	size_t room = list->size - list->len, n;

	if (list->plus) {
		entry_init(fs_of(list->req), &entry, st);
		/* 0: no attributes come with this one, look it up when needed. */
		if (is_dots(name) || !st->st_nlink)
			entry.ino = 0;
		n = fuse_add_direntry_plus(list->req, list->buf + list->len, room, name, &entry,
					   (off_t)next);
	} else {
		n = fuse_add_direntry(list->req, list->buf + list->len, room, name, st,
				      (off_t)next);
	}
	if (n > room)
		return 1;
	list->len += n;
	return 0;
}

static void list(fuse_req_t req, fuse_ino_t id, size_t size, off_t off, bool plus)
{
	struct listing listing = {.req = req, .size = size, .plus = plus};
	struct fs *fs = fs_of(req);
	int r = -ENOMEM;

	if (!off && !control_owns(id))
		atime_touch(fs, id);
	listing.buf = malloc(size);
	if (listing.buf)
		r = control_owns(id)
			    ? control_readdir(fs->control, id, (uint64_t)off, add, &listing)
			    : fs_readdir(fs, id, (uint64_t)off, plus, add, &listing);
	if (r && !listing.len)
		reply(req, r);
	else
		fuse_reply_buf(req, listing.buf, listing.len);
	free(listing.buf);
}

void ops_readdir(fuse_req_t req, fuse_ino_t id, size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)fi;
	list(req, id, size, off, false);
}

void ops_readdirplus(fuse_req_t req, fuse_ino_t id, size_t size, off_t off,
		     struct fuse_file_info *fi)
{
	(void)fi;
	list(req, id, size, off, true);
}

void ops_fsyncdir(fuse_req_t req, fuse_ino_t id, int datasync, struct fuse_file_info *fi)
{
	int r = 0;

	(void)fi;
	if (id != FUSE_ROOT_ID) {
		reply(req, fs_fsync_folder(fs_of(req)));
		return;
	}
	/* The kernel locks the folder, so there is one such request at a time. fdatasync(2) is what
	 * databases call for their names. */
	if (!datasync)
		r = push_all(door_of(req));
	reply(req, r ? r : fs_fsync_all(fs_of(req)));
}
