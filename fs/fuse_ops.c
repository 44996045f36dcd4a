// SPDX-License-Identifier: Apache-2.0
/*
 * Names and attributes. The kernel may keep what it learns for long (CACHE_SECONDS), also that a
 * name is missing: every change comes through it. Virtual inodes (fs/control.h) are told apart
 * here.
 */
#include "fs/fuse_ops.h"

#include <errno.h>

#include "fs/control.h"
#include "fs/fuse_init.h"
#include "fs/fuse_pass.h"
#include "tiers/log.h"

#define PUSH_WAIT_MS 200u

struct fs_cred cred_of(fuse_req_t req)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);

	return (struct fs_cred){.uid = ctx->uid, .gid = ctx->gid, .umask = ctx->umask};
}

int settled(fuse_req_t req, int r)
{
	return r || !door_of(req)->dirsync ? r : fs_fsync_folder(fs_of(req));
}

double attr_seconds(struct fs *fs, const struct stat *st)
{
	if (control_owns(st->st_ino))
		return CONTROL_SECONDS;
	return fs_settled(fs, st) ? CACHE_SECONDS : DIRTY_SECONDS;
}

void entry_init(struct fs *fs, struct fuse_entry_param *entry, const struct stat *st)
{
	*entry = (struct fuse_entry_param){
		.ino = st->st_ino,
		.generation = st->st_dev,
		.attr = *st,
		.attr_timeout = attr_seconds(fs, st),
		.entry_timeout = control_owns(st->st_ino) ? CONTROL_SECONDS : CACHE_SECONDS,
	};
}

void reply_entry(fuse_req_t req, int r, const struct stat *st)
{
	struct fuse_entry_param entry;

	if (r) {
		reply(req, r);
		return;
	}
	entry_init(fs_of(req), &entry, st);
	if (fuse_reply_entry(req, &entry) == -ENOENT)
		fs_forget(fs_of(req), st->st_ino); /* interrupted: the kernel did not take it */
}

static void ops_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param missing = {.entry_timeout = CACHE_SECONDS};
	struct fs *fs = fs_of(req);
	struct stat st;
	int r;

	if (control_owns(parent)) {
		reply_entry(req, control_lookup(fs->control, parent, name, &st), &st);
		return;
	}
	r = fs_lookup(fs, parent, name, &st);
	if (r == -ENOENT)
		fuse_reply_entry(req, &missing);
	else
		reply_entry(req, r, &st);
}

static void ops_forget(fuse_req_t req, fuse_ino_t id, uint64_t nlookup)
{
	(void)nlookup; /* an inode without a name is forgotten at once and for good */
	fs_forget(fs_of(req), id);
	fuse_reply_none(req);
}

static void ops_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	for (size_t i = 0; i < count; i++)
		fs_forget(fs_of(req), forgets[i].ino);
	fuse_reply_none(req);
}

static void reply_attr(fuse_req_t req, int r, const struct stat *st)
{
	if (r)
		reply(req, stale(r));
	else
		fuse_reply_attr(req, st, attr_seconds(fs_of(req), st));
}

static void ops_getattr(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	struct stat st;

	(void)fi;
	reply_attr(req,
		   control_owns(id) ? control_getattr(fs->control, id, &st)
				    : fs_getattr(fs, id, &st),
		   &st);
}

/* suid and sgid, with the rule of fuse_pass.h. */
static int set_checked(fuse_req_t req, fuse_ino_t id, unsigned set, const struct stat *values,
		       struct stat *st)
{
	struct passes *passes = door_of(req)->passes;
	struct stat lowered = *values;
	int r = fs_setattr(fs_of(req), id, set, values, st);

	if (r || !passes || !(set & FS_SET_MODE) || !(st->st_mode & (S_ISUID | S_ISGID)) ||
	    passes_may_raise(passes, id, st->st_uid))
		return r;
	lowered.st_mode &= ~(mode_t)(S_ISUID | S_ISGID);
	r = fs_setattr(fs_of(req), id, FS_SET_MODE, &lowered, st);
	return r ? r : -ETXTBSY;
}

static void ops_setattr(fuse_req_t req, fuse_ino_t id, struct stat *values, int to_set,
			struct fuse_file_info *fi)
{
	static const struct {
		int fuse;
		unsigned fs;
	} map[] = {
		{FUSE_SET_ATTR_MODE, FS_SET_MODE},
		{FUSE_SET_ATTR_UID, FS_SET_UID},
		{FUSE_SET_ATTR_GID, FS_SET_GID},
		{FUSE_SET_ATTR_SIZE, FS_SET_SIZE},
		{FUSE_SET_ATTR_ATIME, FS_SET_ATIME},
		{FUSE_SET_ATTR_MTIME, FS_SET_MTIME},
		{FUSE_SET_ATTR_CTIME, FS_SET_CTIME},
		{FUSE_SET_ATTR_ATIME_NOW, FS_SET_ATIME_NOW},
		{FUSE_SET_ATTR_MTIME_NOW, FS_SET_MTIME_NOW},
	};
	struct fs *fs = fs_of(req);
	unsigned set = wire_kills() ? FS_SET_KILL : 0;
	struct stat st;

	(void)fi;
	if (control_owns(id)) { /* open(O_TRUNC) of jobs/new truncates; nothing else changes */
		reply_attr(req,
			   to_set & ~FUSE_SET_ATTR_SIZE ? -EPERM
							: control_getattr(fs->control, id, &st),
			   &st);
		return;
	}
	for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++)
		if (to_set & map[i].fuse)
			set |= map[i].fs;
	reply_attr(req, set_checked(req, id, set, values, &st), &st);
}

static void ops_readlink(fuse_req_t req, fuse_ino_t id)
{
	char target[FS_SYMLINK_MAX + 1];
	int r = control_owns(id) ? -EINVAL : fs_readlink(fs_of(req), id, target, sizeof(target));

	if (r) {
		reply(req, stale(r));
		return;
	}
	atime_touch(fs_of(req), id);
	fuse_reply_readlink(req, target);
}

static void ops_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	struct fs_cred cred = cred_of(req);
	struct stat st;

	reply_entry(req,
		    control_owns(parent) ? -EPERM
					 : settled(req, fs_mknod(fs_of(req), parent, name, mode,
								 rdev, &cred, &st)),
		    &st);
}

static void ops_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	struct fs_cred cred = cred_of(req);
	struct stat st;

	reply_entry(req,
		    control_owns(parent)
			    ? -EPERM
			    : settled(req, fs_mkdir(fs_of(req), parent, name, mode, &cred, &st)),
		    &st);
}

static void ops_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	struct fs_cred cred = cred_of(req);
	struct stat st;

	reply_entry(req,
		    control_owns(parent) ? -EPERM
					 : settled(req, fs_symlink(fs_of(req), parent, name, target,
								   &cred, &st)),
		    &st);
}

static void ops_link(fuse_req_t req, fuse_ino_t id, fuse_ino_t parent, const char *name)
{
	struct stat st;

	reply_entry(req,
		    control_owns(parent) || control_owns(id)
			    ? -EPERM
			    : settled(req, fs_link(fs_of(req), id, parent, name, &st)),
		    &st);
}

static void ops_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	reply(req,
	      control_owns(parent) ? -EPERM : settled(req, fs_unlink(fs_of(req), parent, name)));
}

static void ops_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	reply(req,
	      control_owns(parent) ? -EPERM : settled(req, fs_rmdir(fs_of(req), parent, name)));
}

/* Of a file that replaces another while it is being written, the kernel's cache may have all
 * bytes: the name would be durable long before them. What cannot be pushed out now is renamed all
 * the same. */
static void push_before_rename(struct fuse_door *door, fuse_ino_t parent, const char *name,
			       fuse_ino_t new_parent, const char *new_name, unsigned flags)
{
	uint64_t ids[2];
	unsigned n = 0;

	if (door->writeback)
		n = fs_rename_written(door->fs, parent, name, new_parent, new_name, flags, ids);
	while (n--)
		(void)push_out(door, ids[n], PUSH_WAIT_MS);
}

static void ops_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
		       const char *new_name, unsigned flags)
{
	push_before_rename(door_of(req), parent, name, new_parent, new_name, flags);
	reply(req, control_owns(parent) || control_owns(new_parent)
			   ? -EPERM
			   : settled(req, fs_rename(fs_of(req), parent, name, new_parent, new_name,
						    flags)));
}

static void ops_statfs(fuse_req_t req, fuse_ino_t id)
{
	struct statvfs st;
	int r;

	(void)id;
	r = fs_statfs(fs_of(req), &st);
	if (r)
		reply(req, r);
	else
		fuse_reply_statfs(req, &st);
}

static void ops_ioctl(fuse_req_t req, fuse_ino_t id, unsigned cmd, void *arg,
		      struct fuse_file_info *fi, unsigned flags, const void *in, size_t in_len,
		      size_t out_len)
{
	(void)id, (void)cmd, (void)arg, (void)fi, (void)flags, (void)in, (void)in_len;
	(void)out_len;
	reply(req, -ENOTTY);
}

static void ops_init(void *data, struct fuse_conn_info *conn)
{
	struct fuse_door *door = data;

	if (door->passes && !wire_ask_passthrough()) {
		log_warning("the kernel offers no passthrough (Linux 6.9 or later with "
			    "CONFIG_FUSE_PASSTHROUGH does): mounted without");
		passes_free(door->passes);
		door->passes = NULL;
	}
	/* The kernel grants it only without. */
	door->writeback = door->writeback && !door->passes;
	door->fs->past = door->passes != NULL;
	session_want(conn, door->writeback);
}

/* No flush: close(2) writes the kernel's cache back whether we answer it or not. */
const struct fuse_lowlevel_ops fuse_ops = {
	.init = ops_init,
	.lookup = ops_lookup,
	.forget = ops_forget,
	.forget_multi = ops_forget_multi,
	.getattr = ops_getattr,
	.setattr = ops_setattr,
	.readlink = ops_readlink,
	.mknod = ops_mknod,
	.mkdir = ops_mkdir,
	.symlink = ops_symlink,
	.link = ops_link,
	.unlink = ops_unlink,
	.rmdir = ops_rmdir,
	.rename = ops_rename,
	.statfs = ops_statfs,
	.ioctl = ops_ioctl,
	.open = ops_open,
	.create = ops_create,
	.release = ops_release,
	.read = ops_read,
	.poll = ops_poll,
	.write = ops_write,
	.fsync = ops_fsync,
	.fallocate = ops_fallocate,
	.lseek = ops_lseek,
	.copy_file_range = ops_copy_file_range,
	.opendir = ops_opendir,
	.readdir = ops_readdir,
	.readdirplus = ops_readdirplus,
	.fsyncdir = ops_fsyncdir,
	.getxattr = ops_getxattr,
	.listxattr = ops_listxattr,
	.setxattr = ops_setxattr,
	.removexattr = ops_removexattr,
};
