/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The filesystem over a pool: names, attributes, files; no FUSE. The adapters in fs/fuse_*.c and
 * the tests call it alike.
 *
 * Every call that changes names or attributes is one transaction: all of it or nothing, checks and
 * change in one step. Reads take no transaction. All return 0 or a negative errno. Permission
 * checks are the kernel's (default_permissions); what a change does to suid, sgid, ACLs, times and
 * link counts is ours.
 *
 * In each struct stat that is filled in, st_dev is no device: it is the inode's generation
 * (fs/attr.h), which FUSE sends beside the attributes.
 *
 * Inode numbers are object ids; the root is 1. Numbers from CONTROL_BASE (fs/control.h) on are
 * virtual and are not passed to these calls, but for fs_lookup() of their name in the root.
 *
 * Threads: any. Lock order: object's data lock < commit lock < inode table, policy table (leaves).
 */
#ifndef TERRACE_FS_FS_H
#define TERRACE_FS_FS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "fs/atime.h"
#include "fs/attr.h"
#include "fs/dir.h"

struct control;
struct databases;
struct inode;
struct inode_table;
struct meta;
struct object;
struct policy;
struct settings;
struct pool;
struct txn;

#define FS_LINK_MAX	INT32_MAX
#define FS_SYMLINK_MAX	4095u
#define FS_CONTROL_NAME ".terrace"
#define FS_COPY_MAX	(1u << 30) /* an answer to the kernel has 32 bits, and 0 means the end */

struct fs {
	struct pool *pool;
	struct meta *meta;
	struct inode_table *inodes;
	struct databases *databases;
	struct policy *policy;
	struct settings *settings;
	struct control *control;
	char *mount;		      /* the mount point; constant */
	uint64_t seed;		      /* of name hashes */
	uint64_t mask;		      /* of name hashes: all bits, but in tests (fs/dir.h) */
	pthread_mutex_t changed_lock; /* held while changed() runs; guards it */
	void (*changed)(void *arg, uint64_t id);
	void *changed_arg;
	int64_t start_ns; /* wall clock at fs_open(): write times before it were recovered */
	enum atime_mode atime_mode; /* constant, as atime_nodir */
	bool atime_nodir;
	_Atomic bool closing;
	bool past; /* constant once requests come: plain files are written to past us (passthrough)
		    */
};

/* `mount` is the mount point's path, for stats.json. Makes the root's attributes on the first use
 * of a pool. The pool stays the caller's and is closed after fs_close(). */
int fs_open(struct pool *pool, const char *mount, struct fs **out);
void fs_close(struct fs *fs);
/* changed(arg, id) is called, from any thread, when st_blocks of an inode has changed by a move. It
 * must not call back into fs/. NULL takes it away: it does not run any more when this returns. */
void fs_on_change(struct fs *fs, void (*changed)(void *arg, uint64_t id), void *arg);
/* The attributes stay as they are until somebody changes them: they may be kept for long. */
bool fs_settled(struct fs *fs, const struct stat *st);

/* Reads the configuration file again (fs/settings.h). */
int fs_reload(struct fs *fs);

struct fs_cred { /* who asks */
	uint32_t uid, gid, umask;
	bool foreign_group; /* not a member of the file's group and not root (fs_setxattr()) */
};

int fs_lookup(struct fs *fs, uint64_t parent, const char *name, struct stat *out);
int fs_getattr(struct fs *fs, uint64_t id, struct stat *out);
/* The kernel does not know the inode any more. What a rename has replaced is deleted then. */
void fs_forget(struct fs *fs, uint64_t id);
int fs_readlink(struct fs *fs, uint64_t id, char *buf, size_t cap); /* terminated */
int fs_statfs(struct fs *fs, struct statvfs *out);

enum fs_set {
	FS_SET_MODE = 1u << 0,
	FS_SET_UID = 1u << 1,
	FS_SET_GID = 1u << 2,
	FS_SET_SIZE = 1u << 3,
	FS_SET_ATIME = 1u << 4,
	FS_SET_MTIME = 1u << 5,
	FS_SET_CTIME = 1u << 6,
	FS_SET_ATIME_NOW = 1u << 7,
	FS_SET_MTIME_NOW = 1u << 8,
	FS_SET_KILL = 1u << 9, /* a truncate by somebody without CAP_FSETID */
};
/* Values are taken from *values (st_mode, st_uid ... st_ctim). */
int fs_setattr(struct fs *fs, uint64_t id, unsigned set, const struct stat *values,
	       struct stat *out);

int fs_mknod(struct fs *fs, uint64_t parent, const char *name, uint32_t mode, uint64_t rdev,
	     const struct fs_cred *cred, struct stat *out);
int fs_mkdir(struct fs *fs, uint64_t parent, const char *name, uint32_t mode,
	     const struct fs_cred *cred, struct stat *out);
int fs_symlink(struct fs *fs, uint64_t parent, const char *name, const char *target,
	       const struct fs_cred *cred, struct stat *out);
/* -ESTALE: `id` is no more. */
int fs_link(struct fs *fs, uint64_t id, uint64_t parent, const char *name, struct stat *out);
int fs_unlink(struct fs *fs, uint64_t parent, const char *name);
int fs_rmdir(struct fs *fs, uint64_t parent, const char *name);
/* flags: RENAME_NOREPLACE, RENAME_EXCHANGE; others -EINVAL. */
int fs_rename(struct fs *fs, uint64_t parent, const char *name, uint64_t new_parent,
	      const char *new_name, unsigned flags);
/* Which files, two at most, rename would put in others' places while they are open for writing:
 * what a cache above still has of them must come first, or they replace those by nothing. Returns
 * how many. */
unsigned fs_rename_written(struct fs *fs, uint64_t parent, const char *name, uint64_t new_parent,
			   const char *new_name, unsigned flags, uint64_t ids[static 2]);

/* Files. --------------------------------------------------------------------------------------- */

enum fs_write_flag {
	FS_WRITE_CACHED =
		1u << 0, /* from the kernel's writeback cache, which reports times itself */
	FS_WRITE_APPEND = 1u << 1, /* O_APPEND: at the end as it is now */
	FS_WRITE_KILL = 1u << 2,   /* by somebody without CAP_FSETID */
};

/* flags: O_TRUNC counts; kill as FS_WRITE_KILL, for O_TRUNC. */
int fs_file_open(struct fs *fs, uint64_t id, int flags, bool kill, struct inode **out);
int fs_create(struct fs *fs, uint64_t parent, const char *name, uint32_t mode, int flags,
	      const struct fs_cred *cred, struct stat *out, struct inode **inode);
void fs_file_close(struct fs *fs, struct inode *inode, int flags); /* as at the open */
/*
 * A file that gets its name when its bytes are there (fs/birth.c), inheriting from the folder it is
 * to be in; *out is a reference. The next opening of the pool deletes it unless fs_place() has
 * given it a name by then; fs_nameless_drop() does so now, and puts the reference.
 */
int fs_nameless(struct fs *fs, uint64_t parent, uint32_t mode, const struct fs_cred *cred,
		struct object **out);
void fs_nameless_drop(struct fs *fs, struct object *object);
/* What has the name is replaced as by rename(2), or -EEXIST; -EISDIR. For callers without a kernel
 * that forgets what was replaced. */
int fs_place(struct fs *fs, struct object *object, uint64_t parent, const char *name, bool replace);
int fs_read(struct fs *fs, struct inode *inode, void *buf, size_t len, uint64_t off, size_t *got);
int fs_write(struct fs *fs, struct inode *inode, const void *buf, size_t len, uint64_t off,
	     unsigned flags);
/* mode: FALLOC_FL_KEEP_SIZE, _PUNCH_HOLE, _ZERO_RANGE; others -EOPNOTSUPP. */
int fs_fallocate(struct fs *fs, struct inode *inode, int mode, uint64_t len, uint64_t off,
		 bool kill);
int fs_seek(struct fs *fs, struct inode *inode, uint64_t off, int whence, uint64_t *out);
/* Copies FS_COPY_MAX bytes at most; *done: how many. */
int fs_copy_range(struct fs *fs, struct inode *in, uint64_t in_off, struct inode *to,
		  uint64_t to_off, uint64_t len, bool kill, uint64_t *done);
int fs_fsync(struct fs *fs, struct inode *inode);
/* The bytes, not the times. */
int fs_fdatasync(struct fs *fs, struct inode *inode);
int fs_fsync_all(struct fs *fs);
/* The entries of any folder but the root; what fsync(2) of that one does is fs_fsync_all(). */
int fs_fsync_folder(struct fs *fs);
/* True when so little room is left that writes should not linger in the kernel's cache. */
/* After a change that failed with r: is it worth making once more? frees: it gives space back. */
bool fs_try_again(struct fs *fs, int r, bool frees, unsigned *tries);

bool fs_is_tight(struct fs *fs);

/* Folders. ------------------------------------------------------------------------------------- */

/* "." and ".." first. `attributes`: st is complete (readdirplus); else, and where they cannot be
 * read, only st_ino and st_mode's type (st_nlink is 0). each() returns non-zero to stop; the walk
 * goes on after `off` = a cookie next time. */
int fs_readdir(struct fs *fs, uint64_t id, uint64_t off, bool attributes,
	       int (*each)(void *arg, const char *name, const struct stat *st, uint64_t next),
	       void *arg);

/* Extended attributes. ------------------------------------------------------------------------- */

/* cap 0: only *len. -ERANGE when cap is too small; -ENODATA. */
int fs_getxattr(struct fs *fs, uint64_t id, const char *name, void *buf, size_t cap, size_t *len);
/* trusted: also the names that only root may see. */
int fs_listxattr(struct fs *fs, uint64_t id, bool trusted, char *buf, size_t cap, size_t *len);
/* flags: XATTR_CREATE, XATTR_REPLACE. */
int fs_setxattr(struct fs *fs, uint64_t id, const char *name, const void *value, size_t len,
		int flags, const struct fs_cred *cred);
int fs_removexattr(struct fs *fs, uint64_t id, const char *name);

/* Inside fs/. ---------------------------------------------------------------------------------- */

struct dir fs_dir(const struct fs *fs, uint64_t id);
/* Object and attributes; the caller puts the object. */
int fs_load(struct fs *fs, uint64_t id, struct object **object, struct attr *attr);
int fs_store(struct txn *txn, struct object *object, const struct attr *attr);
/* Only times are others: fdatasync(2) of a plain file does not wait for them. */
int fs_store_times(struct txn *txn, struct object *object, const struct attr *attr);
void fs_fill(struct fs *fs, struct object *object, const struct attr *attr, struct stat *out);
/* Folds the time of writes that the kernel did not report into mtime and ctime, and that of reads
 * into atime. True if it did. */
bool fs_fold_times(struct fs *fs, struct object *object, struct attr *attr);
/* All writes so far are contained in the times as they are now, or set otherwise on purpose. True
 * if that was news. */
bool fs_stamp_times(struct fs *fs, struct object *object, struct attr *attr);
/* Takes suid, sgid (when `kill`) and security.capability (always) away, in a transaction, if there
 * are any. */
int fs_strip_privileges(struct fs *fs, struct object *object, bool kill);
/* Stages the deletion of an inode's object and all records of fs/. orphan: it had been unlinked
 * while it was open. */
int fs_stage_delete(struct fs *fs, struct txn *txn, struct object *object, const struct attr *attr,
		    bool orphan);
/* After the commit of that. */
void fs_deleted(struct fs *fs, uint64_t id, const struct attr *attr);
/* The last name of an inode with these attributes: -ENOENT when its folder is not known or has no
 * such name. Slow only for inodes that an older program made. */
int fs_name(struct fs *fs, uint64_t id, const struct attr *attr, char buf[static DIR_NAME_MAX],
	    size_t *len);
/* Path from the root ("/a/b"), for messages; "object N" when it cannot be found. */
void fs_path(struct fs *fs, uint64_t id, char *buf, size_t cap);
/* The inode at a path from the root; symlinks are not followed. */
int fs_resolve(struct fs *fs, const char *path, uint64_t *id);

#endif
