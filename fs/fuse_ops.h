/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The adapters between libfuse and fs/: decode a request, call fs_*(), reply. The sign of errno is
 * flipped here and nowhere else. Requests come from many threads at once.
 */
#ifndef TERRACE_FS_FUSE_OPS_H
#define TERRACE_FS_FUSE_OPS_H

#define FUSE_USE_VERSION 314
#include <errno.h>
#include <fuse_lowlevel.h>
#include <semaphore.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "fs/fs.h"
#include "fs/fuse_session.h"

#define CACHE_SECONDS	SESSION_CACHE_SECONDS
#define CONTROL_SECONDS 0.0
#define DIRTY_SECONDS	0.0 /* st_blocks will be another when the data has been coded */

struct passes;
struct waits;

struct fuse_door { /* the session's user data */
	struct fs *fs;
	bool writeback;
	bool dirsync; /* constant: see settled() */
	struct fuse_session *session;
	struct waits *waits;
	struct passes *passes; /* or NULL: no passthrough */
	sem_t pushing;	       /* threads that may wait for the kernel's writeback at a time */
};

static inline struct fuse_door *door_of(fuse_req_t req)
{
	return (struct fuse_door *)fuse_req_userdata(req);
}

static inline struct fs *fs_of(fuse_req_t req)
{
	return door_of(req)->fs;
}

/* The inode that a name led to has been deleted since: the kernel is to walk the path again. */
static inline int stale(int r)
{
	return r == -ENOENT ? -ESTALE : r;
}

static inline void reply(fuse_req_t req, int r)
{
	fuse_reply_err(req, -r);
}

struct fs_cred cred_of(fuse_req_t req);
/* What a change of names has returned; with dirsync it is durable by then. The kernel leaves that
 * to us. */
int settled(fuse_req_t req, int r);
/* For how long the kernel may keep these attributes. */
double attr_seconds(struct fs *fs, const struct stat *st);
void entry_init(struct fs *fs, struct fuse_entry_param *entry, const struct stat *st);
/* r, or the entry. */
void reply_entry(fuse_req_t req, int r, const struct stat *st);

/* fuse_ops_file.c */
void ops_open(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *fi);
void ops_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
		struct fuse_file_info *fi);
void ops_release(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *fi);
void ops_read(fuse_req_t req, fuse_ino_t id, size_t len, off_t off, struct fuse_file_info *fi);
void ops_poll(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *fi,
	      struct fuse_pollhandle *handle);
void ops_write(fuse_req_t req, fuse_ino_t id, const char *buf, size_t len, off_t off,
	       struct fuse_file_info *fi);
void ops_fsync(fuse_req_t req, fuse_ino_t id, int datasync, struct fuse_file_info *fi);
void ops_fallocate(fuse_req_t req, fuse_ino_t id, int mode, off_t off, off_t len,
		   struct fuse_file_info *fi);
/* What the kernel's writeback cache has of the file is here when this returns, unless too many
 * threads wait for such already, for wait_ms: -EINVAL. */
int push_out(struct fuse_door *door, fuse_ino_t id, unsigned wait_ms);
/* The same for all files that are open for writing, however long that takes: for one caller at a
 * time. What cannot be written is told to those who have the files open. */
int push_all(struct fuse_door *door);
void ops_lseek(fuse_req_t req, fuse_ino_t id, off_t off, int whence, struct fuse_file_info *fi);
void ops_copy_file_range(fuse_req_t req, fuse_ino_t in, off_t in_off, struct fuse_file_info *in_fi,
			 fuse_ino_t to, off_t to_off, struct fuse_file_info *to_fi, size_t len,
			 int flags);

/* fuse_ops_dir.c */
void ops_opendir(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *fi);
void ops_readdir(fuse_req_t req, fuse_ino_t id, size_t size, off_t off, struct fuse_file_info *fi);
void ops_readdirplus(fuse_req_t req, fuse_ino_t id, size_t size, off_t off,
		     struct fuse_file_info *fi);
void ops_fsyncdir(fuse_req_t req, fuse_ino_t id, int datasync, struct fuse_file_info *fi);

/* fuse_ops_xattr.c */
void ops_getxattr(fuse_req_t req, fuse_ino_t id, const char *name, size_t size);
void ops_listxattr(fuse_req_t req, fuse_ino_t id, size_t size);
void ops_setxattr(fuse_req_t req, fuse_ino_t id, const char *name, const char *value, size_t size,
		  int flags);
void ops_removexattr(fuse_req_t req, fuse_ino_t id, const char *name);

extern const struct fuse_lowlevel_ops fuse_ops;

#endif
