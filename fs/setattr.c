// SPDX-License-Identifier: Apache-2.0
/*
 * Changing attributes. A new size is set first, outside the transaction (it is data); then modes,
 * owners and times in one. A process that dies in between leaves the new size with the old times,
 * which the object's own write time mends.
 */
#include <errno.h>
#include <string.h>

#include "fs/acl.h"
#include "fs/fs.h"
#include "fs/inode.h"
#include "fs/xattr.h"
#include "tiers/object.h"
#include "tiers/txn.h"

static struct attr_time from_timespec(struct timespec ts)
{
	return (struct attr_time){.sec = ts.tv_sec, .nsec = (uint32_t)ts.tv_nsec};
}

static int stage_acl_mode(struct fs *fs, struct txn *txn, uint64_t id, uint32_t mode)
{
	uint8_t acl[ACL_LEN_MAX];
	size_t len;
	int r;

	r = xattr_load_acl(fs->meta, id, XATTR_ACL_ACCESS, acl, &len);
	if (r)
		return r == -ENODATA ? 0 : r;
	acl_set_mode(acl, len, mode);
	return xattr_stage(txn, id, XATTR_ACL_ACCESS, acl, len);
}

/* txn NULL: an inode without a record; only the copy in memory changes. */
static int stage_privileges(struct txn *txn, uint64_t id, struct attr *attr, bool kill)
{
	int r = 0;

	if (kill)
		attr_kill_suidgid(attr);
	if (attr->flags & ATTR_HAS_CAPS) {
		attr->flags &= ~(uint32_t)ATTR_HAS_CAPS;
		r = txn ? xattr_stage_remove(txn, id, XATTR_CAPS) : 0;
	}
	return r;
}

static void set_times(struct attr *attr, unsigned set, const struct stat *values)
{
	struct attr_time now = attr_now();

	if (set & FS_SET_ATIME)
		attr->atime = from_timespec(values->st_atim);
	if (set & FS_SET_ATIME_NOW)
		attr->atime = now;
	if (set & FS_SET_MTIME)
		attr->mtime = from_timespec(values->st_mtim);
	if ((set & FS_SET_MTIME_NOW) || (set & (FS_SET_SIZE | FS_SET_MTIME)) == FS_SET_SIZE)
		attr->mtime = now;
	attr->ctime = set & FS_SET_CTIME ? from_timespec(values->st_ctim) : now;
}

static int apply(struct fs *fs, struct txn *txn, uint64_t id, struct attr *attr, unsigned set,
		 const struct stat *values)
{
	int r = 0;

	if (set & FS_SET_MODE)
		attr->mode = (attr->mode & S_IFMT) | (values->st_mode & 07777u);
	if (set & FS_SET_UID)
		attr->uid = values->st_uid;
	if (set & FS_SET_GID)
		attr->gid = values->st_gid;
	set_times(attr, set, values);
	if ((set & (FS_SET_UID | FS_SET_GID)) && !S_ISDIR(attr->mode))
		r = stage_privileges(txn, id, attr, !(set & FS_SET_MODE));
	else if (set & FS_SET_SIZE)
		r = stage_privileges(txn, id, attr, set & FS_SET_KILL);
	if (!r && txn && (set & FS_SET_MODE) && (attr->flags & ATTR_HAS_ACL))
		r = stage_acl_mode(fs, txn, id, attr->mode);
	return r;
}

static int resize(struct fs *fs, uint64_t id, const struct stat *values)
{
	struct object *object;
	struct attr attr;
	int r;

	if (values->st_size < 0)
		return -EINVAL;
	r = inode_still(fs->inodes, id);
	if (r)
		return r;
	r = fs_load(fs, id, &object, &attr);
	if (r)
		goto out;
	if (!S_ISREG(attr.mode))
		r = S_ISDIR(attr.mode) ? -EISDIR : -EINVAL;
	else if (object_size(object) != (uint64_t)values->st_size)
		r = object_truncate(object, (uint64_t)values->st_size);
	object_put(object);
out:
	inode_move(fs->inodes, id);
	return r;
}

/* Deleted, but the kernel still knows it: a late flush of times, mostly. */
static int setattr_last(struct fs *fs, uint64_t id, unsigned set, const struct stat *values,
			struct stat *out)
{
	struct attr attr;
	int r;

	if (!inode_last(fs->inodes, id, &attr))
		return -ENOENT;
	r = apply(fs, NULL, id, &attr, set, values);
	if (r)
		return r;
	inode_last_set(fs->inodes, id, &attr);
	attr_to_stat(&attr, id, out);
	return 0;
}

/* As stored, that is: the structs have holes. */
static bool is_same(const struct attr *a, const struct attr *b)
{
	uint8_t x[ATTR_LEN], y[ATTR_LEN];

	attr_encode(a, x);
	attr_encode(b, y);
	return !memcmp(x, y, sizeof(x));
}

static bool same_but_times(const struct attr *before, const struct attr *after)
{
	struct attr attr = *before;

	attr.atime = after->atime;
	attr.mtime = after->mtime;
	attr.ctime = after->ctime;
	attr.stamp_ns = after->stamp_ns;
	return is_same(&attr, after);
}

static int setattr_once(struct fs *fs, uint64_t id, unsigned set, const struct stat *values,
			struct stat *out)
{
	struct attr attr = {.mode = 0}, before;
	struct object *object = NULL;
	struct txn *txn;
	bool unchanged;
	int r;

	if (inode_last(fs->inodes, id, &attr))
		return setattr_last(fs, id, set, values, out);
	if (set & FS_SET_SIZE) {
		r = resize(fs, id, values);
		if (r)
			return r;
	}
	txn = txn_begin(fs->pool);
	txn_frees(txn); /* a record is rewritten: truncating, done above, must not fail here */
	r = fs_load(fs, id, &object, &attr);
	before = attr;
	if (!r) {
		if (set & (FS_SET_ATIME | FS_SET_ATIME_NOW))
			inode_read_forget(fs->inodes, id);
		if (S_ISREG(attr.mode)) {
			fs_fold_times(fs, object, &attr);
			if (set & (FS_SET_SIZE | FS_SET_MTIME | FS_SET_MTIME_NOW))
				fs_stamp_times(fs, object, &attr);
		}
		r = apply(fs, txn, id, &attr, set, values);
	}
	/* After a rename or link the kernel sends the times that we have just set: nothing to
	 * store. */
	unchanged = !r && is_same(&before, &attr);
	if (!r && !unchanged)
		r = same_but_times(&before, &attr) ? fs_store_times(txn, object, &attr)
						   : fs_store(txn, object, &attr);
	if (r || unchanged)
		txn_abort(txn);
	else
		r = txn_commit(txn);
	if (!r)
		fs_fill(fs, object, &attr, out);
	if (object)
		object_put(object);
	return r;
}

int fs_setattr(struct fs *fs, uint64_t id, unsigned set, const struct stat *values,
	       struct stat *out)
{
	unsigned tries = 0;
	int r;

	do
		r = setattr_once(fs, id, set, values, out);
	while (fs_try_again(fs, r, set & FS_SET_SIZE, &tries));
	return r;
}

int fs_strip_privileges(struct fs *fs, struct object *object, bool kill)
{
	uint64_t id = object_id(object);
	uint8_t blob[OBJECT_ATTR_MAX];
	struct attr attr;
	struct txn *txn;
	size_t len;
	int r;

	len = object_attr(object, blob, sizeof(blob));
	r = attr_decode(blob, len, &attr);
	if (r)
		return r;
	if (!(attr.flags & ATTR_HAS_CAPS) && !(kill && (attr.mode & (S_ISUID | S_ISGID))))
		return 0;
	txn = txn_begin(fs->pool);
	len = object_attr(object, blob, sizeof(blob));
	r = attr_decode(blob, len, &attr);
	if (!r)
		r = stage_privileges(txn, id, &attr, kill);
	if (!r)
		r = fs_store(txn, object, &attr);
	if (r)
		txn_abort(txn);
	else
		r = txn_commit(txn);
	return r;
}
