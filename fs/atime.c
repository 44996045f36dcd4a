// SPDX-License-Identifier: Apache-2.0
/*
 * The rule is the kernel's (relatime_need_update()), so that what looks at atime and mtime of a
 * mailbox, say, finds them as on other filesystems.
 */
#include "fs/atime.h"

#include <errno.h>
#include <sys/stat.h>

#include "fs/fs.h"
#include "fs/inode.h"
#include "tiers/object.h"
#include "tiers/txn.h"

#define DAY_NS (86400 * INT64_C(1000000000))

void atime_set_mode(struct fs *fs, enum atime_mode mode, bool nodir)
{
	fs->atime_mode = mode;
	fs->atime_nodir = nodir;
}

static int attr_of(struct object *object, struct attr *attr)
{
	uint8_t blob[OBJECT_ATTR_MAX];

	return attr_decode(blob, object_attr(object, blob, sizeof(blob)), attr);
}

static bool is_due(const struct fs *fs, const struct attr *attr, int64_t now_ns)
{
	int64_t atime = attr_time_ns(attr->atime);

	if (atime == now_ns)
		return false;
	return fs->atime_mode == ATIME_STRICT || atime <= attr_time_ns(attr->mtime) ||
	       atime <= attr_time_ns(attr->ctime) || now_ns - atime >= DAY_NS;
}

bool atime_file(struct fs *fs, struct inode *inode)
{
	struct object *object = inode_object(inode);
	int64_t now_ns = attr_time_ns(attr_now());
	struct attr attr;

	if (fs->atime_mode == ATIME_OFF || attr_of(object, &attr))
		return false;
	fs_fold_times(fs, object, &attr);
	if (!is_due(fs, &attr, now_ns))
		return false;
	inode_read(inode, now_ns);
	return true;
}

static bool folder_due(const struct fs *fs, const struct attr *attr, struct attr_time now)
{
	return !(S_ISDIR(attr->mode) && fs->atime_nodir) && is_due(fs, attr, attr_time_ns(now));
}

void atime_touch(struct fs *fs, uint64_t id)
{
	struct attr_time now = attr_now();
	struct object *object = NULL;
	struct attr attr;
	struct txn *txn;
	int r;

	if (fs->atime_mode == ATIME_OFF || fs_load(fs, id, &object, &attr))
		return;
	if (!folder_due(fs, &attr, now))
		goto out;
	txn = txn_begin(fs->pool);
	r = attr_of(object, &attr); /* it may have changed before the transaction */
	if (!r && folder_due(fs, &attr, now)) {
		attr.atime = now;
		r = fs_store(txn, object, &attr);
	} else {
		r = -ECANCELED;
	}
	if (r)
		txn_abort(txn);
	else
		txn_commit(txn);
out:
	object_put(object); /* held until then: a change is in it before it is committed */
}
