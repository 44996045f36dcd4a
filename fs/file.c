// SPDX-License-Identifier: Apache-2.0
/* Open files: data goes straight to the object; what a change of data does to attributes is here.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "fs/databases.h"
#include "fs/fs.h"
#include "fs/inode.h"
#include "fs/layout.h"
#include "tiers/clock.h"
#include "tiers/log.h"
#include "tiers/object.h"
#include "tiers/plain.h"
#include "tiers/txn.h"

#define WRITE_MAX (1u << 20) /* of one object_write() */

static int truncate_at_open(struct fs *fs, uint64_t id, bool kill)
{
	struct stat st = {.st_size = 0}, after;

	return fs_setattr(fs, id, FS_SET_SIZE | (kill ? FS_SET_KILL : 0), &st, &after);
}

static bool is_writer(int flags)
{
	return (flags & O_ACCMODE) != O_RDONLY;
}

int fs_file_open(struct fs *fs, uint64_t id, int flags, bool kill, struct inode **out)
{
	struct object *object;
	struct inode *inode;
	int r;

	r = object_get(fs->pool, id, &object);
	if (r)
		return r;
	if (is_writer(flags))
		layout_opening(fs, object);
	r = inode_open(fs->inodes, object, is_writer(flags), &inode);
	if (r) {
		object_put(object);
		return r;
	}
	if (flags & O_TRUNC)
		r = truncate_at_open(fs, id, kill);
	if (r)
		fs_file_close(fs, inode, flags);
	else
		*out = inode;
	return r;
}

/* Folds and stamps; true when there is something to store. */
static bool settle_times(struct fs *fs, struct object *object, struct attr *attr)
{
	bool folded = fs_fold_times(fs, object, attr);

	return fs_stamp_times(fs, object, attr) || folded;
}

static int attr_of(struct object *object, struct attr *attr)
{
	uint8_t blob[OBJECT_ATTR_MAX];
	size_t len = object_attr(object, blob, sizeof(blob));

	return attr_decode(blob, len, attr);
}

/*
 * Stores write times that no SETATTR will bring, and marks those as settled that one has brought
 * before the write itself came: the next mount would take them for a crash's. A failure costs a
 * time stamp.
 */
static int store_times(struct fs *fs, struct object *object)
{
	struct attr attr, before;
	struct txn *txn;
	bool read_only;
	int r;

	r = attr_of(object, &before);
	attr = before;
	if (r || !settle_times(fs, object, &attr))
		return r;
	read_only = attr_time_ns(attr.ctime) == attr_time_ns(before.ctime) &&
		    attr_time_ns(attr.mtime) == attr_time_ns(before.mtime);
	txn = txn_begin(fs->pool);
	r = attr_of(object, &attr);
	if (!r && settle_times(fs, object, &attr)) {
		r = fs_store_times(txn, object, &attr);
		if (!r) {
			r = txn_commit(txn);
			/* Nobody who only reads is told that the pool is full. */
			return r == -ENOSPC && read_only ? 0 : r;
		}
	}
	txn_abort(txn);
	return r;
}

static void delete_orphan(struct fs *fs, struct object *object)
{
	uint64_t id = object_id(object);
	struct attr attr, stored;
	struct txn *txn;
	int r = 0;

	txn = txn_begin(fs->pool);
	if (attr_of(object, &stored))
		stored = (struct attr){.nlink = 0}; /* damaged: its last ones do */
	/* The unlink may have failed after it had marked the inode. Then it has its name still, and
	 * is not gone any more; but the mark goes after the transaction, so it may not have yet. */
	if (!stored.nlink && inode_last(fs->inodes, id, &attr)) {
		attr.flags |= stored.flags; /* attributes may have been set since */
		r = fs_stage_delete(fs, txn, object, &attr, true);
	} else {
		r = -ECANCELED;
	}
	if (r)
		txn_abort(txn);
	else
		r = txn_commit(txn);
	if (!r)
		fs_deleted(fs, id, &attr);
	else if (r != -ECANCELED)
		log_error("inode %llu was unlinked and cannot be deleted now (%s): the next mount "
			  "deletes it",
			  (unsigned long long)id, strerror(-r));
	inode_deleted(fs->inodes, id);
}

void fs_forget(struct fs *fs, uint64_t id)
{
	struct object *object;

	if (!inode_forget(fs->inodes, id))
		return;
	if (object_get(fs->pool, id, &object)) {
		inode_deleted(fs->inodes, id); /* the next mount deletes it */
		return;
	}
	delete_orphan(fs, object);
	object_put(object);
}

void fs_file_close(struct fs *fs, struct inode *inode, int flags)
{
	struct object *object = inode_object(inode);
	int r = store_times(fs, object);
	bool orphan;

	if (!r && is_writer(flags))
		r = object_plain_settle(object);

	if (r && is_writer(flags)) /* a reader's access time is not worth a line per file */
		log_warning("inode %llu: the time of its last write could not be stored: %s",
			    (unsigned long long)object_id(object), strerror(-r));
	orphan = inode_close(fs->inodes, inode, is_writer(flags), &object);
	if (orphan)
		delete_orphan(fs, object);
	else if (object)
		layout_closed(fs, object);
	if (object)
		object_put(object);
}

int fs_read(struct fs *fs, struct inode *inode, void *buf, size_t len, uint64_t off, size_t *got)
{
	(void)fs;
	return object_read(inode_object(inode), buf, len, off, got);
}

int fs_write(struct fs *fs, struct inode *inode, const void *buf, size_t len, uint64_t off,
	     unsigned flags)
{
	struct object *object = inode_object(inode);
	const uint8_t *p = buf;
	int r;

	if (layout_seeks_databases(fs))
		databases_writing(fs->databases, object, len, off);
	r = fs_strip_privileges(fs, object, flags & FS_WRITE_KILL);
	while (!r && len) {
		size_t n = len < WRITE_MAX ? len : WRITE_MAX;

		if ((flags & (FS_WRITE_APPEND | FS_WRITE_CACHED)) == FS_WRITE_APPEND)
			r = object_append(object, p, n, &off);
		else
			r = object_write(object, p, n, off);
		p += n;
		off += n;
		len -= n;
	}
	if (!r && !(flags & FS_WRITE_CACHED))
		inode_written(inode, clock_wall_ns());
	return r;
}

int fs_fallocate(struct fs *fs, struct inode *inode, int mode, uint64_t len, uint64_t off,
		 bool kill)
{
	struct object *object = inode_object(inode);
	bool keep = mode & FALLOC_FL_KEEP_SIZE;
	int r;

	if (!len || off > OBJECT_SIZE_MAX || len > OBJECT_SIZE_MAX - off)
		return len ? -EFBIG : -EINVAL;
	r = fs_strip_privileges(fs, object, kill);
	if (r)
		return r;
	switch (mode & ~FALLOC_FL_KEEP_SIZE) {
	case 0:
		r = object_allocate(object, len, off, keep);
		break;
	case FALLOC_FL_PUNCH_HOLE:
		r = keep ? object_punch(object, len, off) : -EOPNOTSUPP;
		break;
	case FALLOC_FL_ZERO_RANGE:
		r = object_punch(object, len, off);
		if (!r && !keep)
			r = object_allocate(object, len, off, false);
		break;
	default:
		return -EOPNOTSUPP;
	}
	if (!r)
		inode_written(inode, clock_wall_ns());
	return r;
}

int fs_seek(struct fs *fs, struct inode *inode, uint64_t off, int whence, uint64_t *out)
{
	(void)fs;
	return object_seek(inode_object(inode), off, whence, out);
}

int fs_copy_range(struct fs *fs, struct inode *in, uint64_t in_off, struct inode *to,
		  uint64_t to_off, uint64_t len, bool kill, uint64_t *done)
{
	int r;

	*done = 0;
	if (len > FS_COPY_MAX)
		len = FS_COPY_MAX;
	r = fs_strip_privileges(fs, inode_object(to), kill);
	if (!r)
		r = object_clone(inode_object(in), in_off, inode_object(to), to_off, len, done);
	if (r == -EBUSY)
		r = -EXDEV; /* not now: the kernel copies by reading and writing then */
	if (!r && *done)
		inode_written(to, clock_wall_ns());
	return r;
}

/* Of a plain file the times of writes are its file's own, so there is nothing to store. */
int fs_fdatasync(struct fs *fs, struct inode *inode)
{
	struct object *object = inode_object(inode);

	return object_is_plain(object) ? object_sync_data(object) : fs_fsync(fs, inode);
}

int fs_fsync(struct fs *fs, struct inode *inode)
{
	int r = store_times(fs, inode_object(inode));

	databases_synced(fs->databases, object_id(inode_object(inode)));
	return r ? r : object_sync(inode_object(inode));
}
