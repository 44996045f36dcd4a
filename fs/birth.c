// SPDX-License-Identifier: Apache-2.0
/*
 * See birth.h; and files that get their name only when their bytes are there, so that nobody ever
 * sees one half written: until then they are orphans, which the next opening of the pool deletes.
 */
#include "fs/birth.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>

#include "compress/bytes.h"
#include "fs/fs.h"
#include "fs/names.h"
#include "fs/xattr.h"
#include "tiers/keys.h"
#include "tiers/object.h"
#include "tiers/pool.h"

int birth_inherit(struct fs *fs, const struct folder *parent, uint32_t umask, struct birth *birth)
{
	uint32_t mode = birth->attr.mode;
	bool minimal;
	size_t len;
	int r;

	if (parent->attr.mode & S_ISGID) {
		birth->attr.gid = parent->attr.gid;
		if (S_ISDIR(mode))
			mode |= S_ISGID;
	}
	r = -ENODATA;
	if ((parent->attr.flags & ATTR_HAS_DACL) && !S_ISLNK(mode))
		r = xattr_load_acl(fs->meta, parent->dir.id, XATTR_ACL_DEFAULT, birth->access,
				   &len);
	if (r == -ENODATA) {
		birth->attr.mode = S_ISLNK(mode) ? mode : mode & ~(umask & 0777u);
		return 0;
	}
	if (r)
		return r;
	if (S_ISDIR(mode)) {
		memcpy(birth->defaults, birth->access, len);
		birth->default_len = len;
		birth->attr.flags |= ATTR_HAS_DACL | ATTR_HAS_XATTR;
	}
	mode = (mode & ~0777u) | acl_inherit(birth->access, len, mode & 0777u);
	acl_to_mode(birth->access, len, &minimal);
	if (!minimal) {
		birth->access_len = len;
		birth->attr.flags |= ATTR_HAS_ACL | ATTR_HAS_XATTR;
	}
	birth->attr.mode = mode;
	return 0;
}

int birth_stage(struct txn *txn, const struct birth *birth, struct object **out)
{
	uint8_t blob[ATTR_LEN], key[9] = {KEY_SYMLINK};
	uint64_t id;
	int r;

	attr_encode(&birth->attr, blob);
	r = object_create(txn, blob, sizeof(blob), out);
	if (r)
		return r;
	id = object_id(*out);
	if (birth->access_len)
		r = xattr_stage(txn, id, XATTR_ACL_ACCESS, birth->access, birth->access_len);
	if (!r && birth->default_len)
		r = xattr_stage(txn, id, XATTR_ACL_DEFAULT, birth->defaults, birth->default_len);
	if (!r && birth->target) {
		put_be64(key + 1, id);
		r = txn_put(txn, key, sizeof(key), birth->target, strlen(birth->target));
	}
	return r;
}

/* Nameless. ------------------------------------------------------------------------------------ */

static int nameless_once(struct fs *fs, uint64_t parent, struct birth *birth, struct object **out)
{
	struct folder folder = {.object = NULL};
	struct txn *txn;
	int r;

	*out = NULL;
	txn = txn_begin(fs->pool);
	r = folder_load(fs, parent, &folder);
	if (!r)
		r = birth_inherit(fs, &folder, 0, birth);
	if (!r)
		r = birth_stage(txn, birth, out);
	if (!r)
		r = object_orphan(txn, *out);
	if (r)
		txn_abort(txn);
	else
		r = txn_commit(txn);
	folder_put(&folder);
	if (r && *out) {
		object_put(*out);
		*out = NULL;
	}
	return r;
}

int fs_nameless(struct fs *fs, uint64_t parent, uint32_t mode, const struct fs_cred *cred,
		struct object **out)
{
	struct attr_time now = attr_now();
	struct birth birth;
	unsigned tries = 0;
	int r;

	do {
		birth.attr = (struct attr){.mode = (mode & 07777u & ~cred->umask) | S_IFREG,
					   .uid = cred->uid,
					   .gid = cred->gid,
					   .parent = parent};
		birth.attr.atime = birth.attr.mtime = birth.attr.ctime = birth.attr.btime = now;
		birth.target = NULL;
		birth.access_len = birth.default_len = 0;
		r = nameless_once(fs, parent, &birth, out);
	} while (fs_try_again(fs, r, false, &tries));
	return r;
}

void fs_nameless_drop(struct fs *fs, struct object *object)
{
	struct txn *txn = txn_begin(fs->pool);

	/* On failure the next opening of the pool does it. */
	if (object_delete(txn, object))
		txn_abort(txn);
	else
		txn_commit(txn);
	object_put(object);
}

struct placing {
	struct folder folder;
	struct dir_name name;
	struct dir_slot slot;
	struct victim victim;
	struct attr attr; /* of the nameless one */
	struct attr_time now;
};

static int stage_name(struct fs *fs, struct txn *txn, struct placing *placing, uint64_t id)
{
	struct folder *folder = &placing->folder;
	int r;

	if (!placing->victim.object) {
		placing->attr.cookie = placing->slot.vacant;
		return dir_insert(txn, &folder->dir, &placing->slot, &placing->name, id, DT_REG);
	}
	if (S_ISDIR(placing->victim.attr.mode))
		return -EISDIR;
	placing->attr.cookie = placing->slot.cookie;
	r = dir_replace(txn, &folder->dir, &placing->slot, &placing->name, id, DT_REG);
	return r ? r
		 : victim_drop_name(fs, txn, &placing->victim, folder->dir.id, placing->now, false);
}

static int stage_placing(struct fs *fs, struct txn *txn, struct placing *placing,
			 struct object *object, bool replace)
{
	uint64_t id = object_id(object);
	uint8_t blob[OBJECT_ATTR_MAX];
	int r = attr_decode(blob, object_attr(object, blob, sizeof(blob)), &placing->attr);

	if (!r)
		r = folder_load(fs, placing->folder.dir.id, &placing->folder);
	if (r)
		return r;
	r = dir_find(&placing->folder.dir, &placing->name, &placing->slot);
	if (r && r != -ENOENT)
		return r;
	if (!r) {
		r = replace ? victim_load(fs, placing->slot.id, &placing->victim) : -EEXIST;
		if (r)
			return r;
	}
	placing->attr.mtime = placing->attr.ctime = placing->now;
	placing->attr.parent = placing->folder.dir.id;
	placing->attr.nlink = 1;
	fs_stamp_times(fs, object, &placing->attr);
	r = stage_name(fs, txn, placing, id);
	if (!r)
		r = object_unorphan(txn, object);
	if (!r)
		r = fs_store(txn, object, &placing->attr);
	if (!r)
		r = folder_touch(txn, &placing->folder, placing->now);
	/* After a power loss it is whole or not there, also when it replaces nothing. */
	if (!r)
		object_order_before_sync(txn, object);
	return r;
}

static int place_once(struct fs *fs, struct object *object, uint64_t parent, const char *name,
		      bool replace)
{
	struct placing placing = {.now = attr_now(), .folder.dir.id = parent};
	uint64_t replaced;
	struct txn *txn;
	int r = dir_name_init(&placing.name, name);

	if (r)
		return r;
	if (name_is_control(parent, name))
		return -EPERM;
	pool_order_gate(fs->pool);
	txn = txn_begin(fs->pool);
	r = stage_placing(fs, txn, &placing, object, replace);
	if (r)
		txn_abort(txn);
	else
		r = txn_commit(txn);
	replaced = !r && placing.victim.object ? placing.victim.id : 0;
	victim_end(fs, &placing.victim, !r);
	if (replaced)
		fs_forget(fs, replaced); /* no kernel that will */
	folder_put(&placing.folder);
	return r;
}

int fs_place(struct fs *fs, struct object *object, uint64_t parent, const char *name, bool replace)
{
	unsigned tries = 0;
	int r;

	do
		r = place_once(fs, object, parent, name, replace);
	while (fs_try_again(fs, r, false, &tries));
	return r;
}
