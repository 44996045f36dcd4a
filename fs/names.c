// SPDX-License-Identifier: Apache-2.0
/* Making, linking, removing names. Moving them is in rename.c. */
#include "fs/names.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "compress/bytes.h"
#include "fs/birth.h"
#include "fs/fs.h"
#include "fs/inode.h"
#include "fs/layout.h"
#include "fs/policy.h"
#include "fs/xattr.h"
#include "tiers/keys.h"
#include "tiers/object.h"

int folder_load(struct fs *fs, uint64_t id, struct folder *out)
{
	int r;

	out->object = NULL;
	out->dir = fs_dir(fs, id);
	r = fs_load(fs, id, &out->object, &out->attr);
	if (!r && !S_ISDIR(out->attr.mode))
		r = -ENOTDIR;
	return r;
}

void folder_put(struct folder *folder)
{
	if (folder->object)
		object_put(folder->object);
}

int folder_touch(struct txn *txn, struct folder *folder, struct attr_time now)
{
	folder->attr.mtime = folder->attr.ctime = now;
	return fs_store(txn, folder->object, &folder->attr);
}

/* The control folder's name is taken in the root, though no entry says so. */
bool name_is_control(uint64_t parent, const char *name)
{
	return parent == OBJECT_ID_ROOT && !strcmp(name, FS_CONTROL_NAME);
}

/* Making. -------------------------------------------------------------------------------------- */

/* birth->attr holds mode, uid, gid and special; the rest is filled in here. *object: a reference.
 */
static int make(struct fs *fs, uint64_t parent, const char *name, uint32_t umask,
		struct birth *birth, struct object **object)
{
	struct attr_time now = attr_now();
	struct folder folder = {.object = NULL};
	struct dir_name key;
	struct dir_slot slot;
	struct txn *txn;
	int r;

	*object = NULL;
	r = dir_name_init(&key, name);
	if (r)
		return r;
	if (name_is_control(parent, name))
		return -EEXIST;
	txn = txn_begin(fs->pool);
	r = folder_load(fs, parent, &folder);
	if (r)
		goto out;
	r = dir_find(&folder.dir, &key, &slot);
	if (r != -ENOENT) {
		r = r ? r : -EEXIST;
		goto out;
	}
	birth->attr.parent = parent;
	birth->attr.cookie = slot.vacant;
	birth->attr.nlink = S_ISDIR(birth->attr.mode) ? 2 : 1;
	birth->attr.atime = birth->attr.mtime = birth->attr.ctime = birth->attr.btime = now;
	if (S_ISDIR(birth->attr.mode) && folder.attr.nlink++ >= FS_LINK_MAX) {
		r = -EMLINK;
		goto out;
	}
	r = birth_inherit(fs, &folder, umask, birth);
	if (!r)
		r = birth_stage(txn, birth, object);
	if (!r)
		r = dir_insert(txn, &folder.dir, &slot, &key, object_id(*object),
			       (uint8_t)IFTODT(birth->attr.mode));
	if (!r)
		r = folder_touch(txn, &folder, now);
out:
	if (r)
		txn_abort(txn);
	else
		r = txn_commit(txn);
	folder_put(&folder);
	if (r && *object) {
		object_put(*object);
		*object = NULL;
	}
	return r;
}

static int make_simple(struct fs *fs, uint64_t parent, const char *name, const struct attr *attr,
		       const char *target, const struct fs_cred *cred, struct stat *out,
		       struct object **object)
{
	struct birth birth;
	struct object *made;
	unsigned tries = 0;
	int r;

	do {
		birth.attr = *attr;
		birth.attr.uid = cred->uid;
		birth.attr.gid = cred->gid;
		birth.target = target;
		birth.access_len = birth.default_len = 0;
		r = make(fs, parent, name, cred->umask, &birth, &made);
	} while (fs_try_again(fs, r, false, &tries));
	if (r)
		return r;
	fs_fill(fs, made, &birth.attr, out);
	if (object)
		*object = made;
	else
		object_put(made);
	return 0;
}

int fs_mknod(struct fs *fs, uint64_t parent, const char *name, uint32_t mode, uint64_t rdev,
	     const struct fs_cred *cred, struct stat *out)
{
	struct attr attr = {.mode = mode};

	if (!(mode & S_IFMT))
		attr.mode |= S_IFREG;
	if (S_ISDIR(attr.mode) || S_ISLNK(attr.mode))
		return -EINVAL;
	if (S_ISCHR(mode) || S_ISBLK(mode))
		attr.special = rdev;
	return make_simple(fs, parent, name, &attr, NULL, cred, out, NULL);
}

int fs_mkdir(struct fs *fs, uint64_t parent, const char *name, uint32_t mode,
	     const struct fs_cred *cred, struct stat *out)
{
	struct attr attr = {.mode = (mode & 07777u) | S_IFDIR};

	return make_simple(fs, parent, name, &attr, NULL, cred, out, NULL);
}

int fs_symlink(struct fs *fs, uint64_t parent, const char *name, const char *target,
	       const struct fs_cred *cred, struct stat *out)
{
	size_t len = strlen(target);
	struct attr attr = {.mode = S_IFLNK | 0777, .special = len};

	if (!len)
		return -ENOENT;
	if (len > FS_SYMLINK_MAX)
		return -ENAMETOOLONG;
	return make_simple(fs, parent, name, &attr, target, cred, out, NULL);
}

int fs_create(struct fs *fs, uint64_t parent, const char *name, uint32_t mode, int flags,
	      const struct fs_cred *cred, struct stat *out, struct inode **inode)
{
	struct attr attr = {.mode = (mode & 07777u) | S_IFREG};
	struct object *object;
	int r;

	r = make_simple(fs, parent, name, &attr, NULL, cred, out, &object);
	if (r)
		return r;
	layout_created(fs, object);
	r = inode_open(fs->inodes, object, (flags & O_ACCMODE) != O_RDONLY, inode);
	if (r)
		object_put(object);
	return r;
}

int fs_link(struct fs *fs, uint64_t id, uint64_t parent, const char *name, struct stat *out)
{
	struct attr_time now = attr_now();
	struct folder folder = {.object = NULL};
	struct object *object = NULL;
	struct dir_name key;
	struct dir_slot slot;
	struct attr attr;
	struct txn *txn;
	int r;

	r = dir_name_init(&key, name);
	if (r)
		return r;
	if (name_is_control(parent, name))
		return -EEXIST;
	txn = txn_begin(fs->pool);
	r = folder_load(fs, parent, &folder);
	if (r)
		goto out;
	r = fs_load(fs, id, &object, &attr);
	if (r) {
		r = r == -ENOENT ? -ESTALE : r;
		goto out;
	}
	r = dir_find(&folder.dir, &key, &slot);
	if (r != -ENOENT) {
		r = r ? r : -EEXIST;
		goto out;
	}
	r = S_ISDIR(attr.mode)		? -EPERM
	    : !attr.nlink		? -ENOENT
	    : attr.nlink >= FS_LINK_MAX ? -EMLINK
					: 0;
	if (r)
		goto out;
	attr.nlink++;
	attr.ctime = now;
	attr.parent = parent;
	attr.cookie = slot.vacant;
	r = fs_store(txn, object, &attr);
	if (!r)
		r = dir_insert(txn, &folder.dir, &slot, &key, id, (uint8_t)IFTODT(attr.mode));
	if (!r)
		r = folder_touch(txn, &folder, now);
out:
	if (r)
		txn_abort(txn);
	else
		r = txn_commit(txn);
	if (!r)
		fs_fill(fs, object, &attr, out);
	folder_put(&folder);
	if (object)
		object_put(object);
	return r;
}

/* Removing. ------------------------------------------------------------------------------------ */

int fs_stage_delete(struct fs *fs, struct txn *txn, struct object *object, const struct attr *attr,
		    bool orphan)
{
	uint64_t id = object_id(object);
	uint8_t key[9] = {KEY_SYMLINK};
	int r = 0;

	txn_frees(txn);
	if (attr->flags & ATTR_HAS_XATTR)
		r = xattr_stage_remove_all(txn, fs->meta, id);
	if (!r && (attr->flags & ATTR_HAS_POLICY))
		r = policy_stage_delete(txn, id);
	if (!r && S_ISLNK(attr->mode)) {
		put_be64(key + 1, id);
		r = txn_del(txn, key, sizeof(key));
	}
	return r ? r : object_delete_bare(txn, object, orphan);
}

void fs_deleted(struct fs *fs, uint64_t id, const struct attr *attr)
{
	if (attr->flags & ATTR_HAS_POLICY)
		policy_deleted(fs->policy, id);
}

int victim_load(struct fs *fs, uint64_t id, struct victim *out)
{
	out->id = id;
	out->marked = out->deleted = false;
	return fs_load(fs, id, &out->object, &out->attr);
}

int victim_drop_name(struct fs *fs, struct txn *txn, struct victim *victim, uint64_t parent,
		     struct attr_time now, bool replaced)
{
	struct attr *attr = &victim->attr;
	int r;

	attr->ctime = now;
	attr->nlink = S_ISDIR(attr->mode) ? 0 : attr->nlink - 1;
	if (attr->nlink) {
		/* Which other folder has a name of it is not recorded: it inherits nothing until
		 * it is linked or moved again. */
		if (attr->parent == parent)
			attr->parent = 0;
		return fs_store(txn, victim->object, attr);
	}
	r = inode_unlink(fs->inodes, victim->id, attr, replaced && !S_ISDIR(attr->mode));
	if (r < 0)
		return r;
	victim->marked = true;
	if (r > 0) {
		txn_frees(txn);
		r = fs_store(txn, victim->object, attr);
		return r ? r : object_orphan(txn, victim->object);
	}
	victim->deleted = true;
	return fs_stage_delete(fs, txn, victim->object, attr, false);
}

void victim_end(struct fs *fs, struct victim *victim, bool committed)
{
	if (!committed && victim->marked)
		inode_unlink_undo(fs->inodes, victim->id);
	if (committed && victim->deleted)
		fs_deleted(fs, victim->id, &victim->attr);
	if (victim->object)
		object_put(victim->object);
}

static int remove_name(struct fs *fs, uint64_t parent, const char *name, bool folder)
{
	struct attr_time now = attr_now();
	struct folder from = {.object = NULL};
	struct victim victim = {.object = NULL};
	struct dir_name key;
	struct dir_slot slot;
	struct dir below;
	struct txn *txn;
	int r;

	r = dir_name_init(&key, name);
	if (r)
		return r;
	if (name_is_control(parent, name))
		return -EPERM;
	txn = txn_begin(fs->pool);
	txn_frees(txn); /* also one of several names: deleting must not fail for lack of room */
	r = folder_load(fs, parent, &from);
	if (!r)
		r = dir_find(&from.dir, &key, &slot);
	if (!r)
		r = victim_load(fs, slot.id, &victim);
	if (r)
		goto out;
	if (S_ISDIR(victim.attr.mode) != folder) {
		r = folder ? -ENOTDIR : -EISDIR;
		goto out;
	}
	if (folder) {
		below = fs_dir(fs, slot.id);
		r = dir_is_empty(&below);
		if (r <= 0) {
			r = r ? r : -ENOTEMPTY;
			goto out;
		}
		from.attr.nlink--;
	}
	r = dir_remove(txn, &from.dir, &slot);
	if (!r)
		r = victim_drop_name(fs, txn, &victim, parent, now, false);
	if (!r)
		r = folder_touch(txn, &from, now);
out:
	if (r)
		txn_abort(txn);
	else
		r = txn_commit(txn);
	victim_end(fs, &victim, !r);
	folder_put(&from);
	return r;
}

int fs_unlink(struct fs *fs, uint64_t parent, const char *name)
{
	unsigned tries = 0;
	int r;

	do
		r = remove_name(fs, parent, name, false);
	while (fs_try_again(fs, r, true, &tries));
	return r;
}

int fs_rmdir(struct fs *fs, uint64_t parent, const char *name)
{
	unsigned tries = 0;
	int r;

	do
		r = remove_name(fs, parent, name, true);
	while (fs_try_again(fs, r, true, &tries));
	return r;
}
