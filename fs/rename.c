// SPDX-License-Identifier: Apache-2.0
/*
 * Moving names: rename(2) with its flags, one transaction.
 *
 * Two things could go wrong and are seen to here: names of equal hash in one folder are one group
 * of entries, so its removal and insertion must be made as one change; and a file that replaces
 * another, or changes places with it, must have its bytes on media no later than the change of
 * names, or a power loss would leave an empty file where the old one was.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fs/fs.h"
#include "fs/inode.h"
#include "fs/names.h"
#include "fs/policy.h"
#include "tiers/object.h"
#include "tiers/pool.h"

struct side { /* one of the two names */
	struct folder own;
	struct folder *folder; /* own, or the other side's when it is the same folder */
	struct dir_name name;
	struct dir_slot slot;
};

struct move {
	struct fs *fs;
	struct txn *txn;
	struct attr_time now;
	struct side from, to;
	struct object *object; /* what moves */
	struct attr attr;
	struct victim victim; /* what it replaces, or is exchanged with */
};

static int load(struct move *move, uint64_t parent, uint64_t new_parent)
{
	struct side *from = &move->from, *to = &move->to;
	int r;

	from->folder = &from->own;
	to->folder = parent == new_parent ? &from->own : &to->own;
	r = folder_load(move->fs, parent, from->folder);
	if (!r && parent != new_parent)
		r = folder_load(move->fs, new_parent, to->folder);
	if (!r)
		r = dir_find(&from->folder->dir, &from->name, &from->slot);
	if (!r)
		r = fs_load(move->fs, from->slot.id, &move->object, &move->attr);
	if (r)
		return r;
	r = dir_find(&to->folder->dir, &to->name, &to->slot);
	if (!r)
		return victim_load(move->fs, to->slot.id, &move->victim);
	return r == -ENOENT ? 0 : r;
}

/* May the victim be replaced? */
static int check_victim(struct move *move)
{
	bool folder = S_ISDIR(move->attr.mode);
	struct dir below = fs_dir(move->fs, move->victim.id);
	int r;

	if (S_ISDIR(move->victim.attr.mode) != folder)
		return folder ? -ENOTDIR : -EISDIR;
	if (!folder)
		return 0;
	r = dir_is_empty(&below);
	return r > 0 ? 0 : r ? r : -ENOTEMPTY;
}

/* A folder's ".." counts as a link of the folder it is in. */
static int count_folders(struct move *move, bool exchange)
{
	struct attr *from = &move->from.folder->attr, *to = &move->to.folder->attr;
	bool victim = move->victim.object && S_ISDIR(move->victim.attr.mode);

	if (S_ISDIR(move->attr.mode)) {
		from->nlink--;
		to->nlink++;
	}
	if (victim) {
		to->nlink--;
		if (exchange)
			from->nlink++;
	}
	return from->nlink > FS_LINK_MAX || to->nlink > FS_LINK_MAX ? -EMLINK : 0;
}

static uint8_t type_of(const struct attr *attr)
{
	return (uint8_t)IFTODT(attr->mode);
}

static int stage_names(struct move *move)
{
	struct side *from = &move->from, *to = &move->to;
	uint64_t id = from->slot.id;
	uint8_t type = type_of(&move->attr);
	int r;

	move->attr.cookie = move->victim.object ? to->slot.cookie : to->slot.vacant;
	if (move->victim.object) {
		r = dir_replace(move->txn, &to->folder->dir, &to->slot, &to->name, id, type);
	} else if (from->folder == to->folder &&
		   dir_same_group(from->slot.cookie, to->slot.vacant)) {
		/* One group: the new name takes the old one's place. */
		move->attr.cookie = from->slot.cookie;
		return dir_replace(move->txn, &to->folder->dir, &from->slot, &to->name, id, type);
	} else {
		r = dir_insert(move->txn, &to->folder->dir, &to->slot, &to->name, id, type);
	}
	return r ? r : dir_remove(move->txn, &from->folder->dir, &from->slot);
}

static int stage_exchange(struct move *move)
{
	struct side *from = &move->from, *to = &move->to;
	struct victim *other = &move->victim;
	int r;

	r = dir_replace(move->txn, &to->folder->dir, &to->slot, &to->name, from->slot.id,
			type_of(&move->attr));
	if (!r)
		r = dir_replace(move->txn, &from->folder->dir, &from->slot, &from->name, other->id,
				type_of(&other->attr));
	other->attr.ctime = move->now;
	other->attr.parent = from->folder->dir.id;
	other->attr.cookie = from->slot.cookie;
	move->attr.cookie = to->slot.cookie;
	return r ? r : fs_store(move->txn, other->object, &other->attr);
}

static int stage(struct move *move, unsigned flags)
{
	bool exchange = flags & RENAME_EXCHANGE;
	int r;

	if (move->victim.object && (flags & RENAME_NOREPLACE))
		return -EEXIST;
	if (exchange && !move->victim.object)
		return -ENOENT;
	if (move->victim.object && !exchange) {
		r = check_victim(move);
		if (r)
			return r;
	}
	r = count_folders(move, exchange);
	if (!r)
		r = exchange ? stage_exchange(move) : stage_names(move);
	if (!r && move->victim.object && !exchange)
		r = victim_drop_name(move->fs, move->txn, &move->victim, move->to.folder->dir.id,
				     move->now, true);
	if (r)
		return r;
	move->attr.ctime = move->now;
	move->attr.parent = move->to.folder->dir.id;
	r = fs_store(move->txn, move->object, &move->attr);
	if (!r)
		r = folder_touch(move->txn, move->from.folder, move->now);
	if (!r && move->from.folder != move->to.folder)
		r = folder_touch(move->txn, move->to.folder, move->now);
	if (!r && move->victim.object && S_ISREG(move->attr.mode))
		object_order_before_sync(move->txn, move->object);
	if (!r && exchange && S_ISREG(move->victim.attr.mode))
		object_order_before_sync(move->txn, move->victim.object);
	return r;
}

static int rename_once(struct fs *fs, uint64_t parent, const char *name, uint64_t new_parent,
		       const char *new_name, unsigned flags)
{
	struct move move = {.fs = fs, .now = attr_now()};
	bool same = false;
	int r;

	if ((flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE)) ||
	    flags == (RENAME_NOREPLACE | RENAME_EXCHANGE))
		return -EINVAL;
	if (name_is_control(parent, name) || name_is_control(new_parent, new_name))
		return -EPERM;
	r = dir_name_init(&move.from.name, name);
	if (!r)
		r = dir_name_init(&move.to.name, new_name);
	if (r)
		return r;
	pool_order_gate(fs->pool);
	move.txn = txn_begin(fs->pool);
	r = load(&move, parent, new_parent);
	same = !r && move.victim.object && move.victim.id == move.from.slot.id;
	if (!r && !same)
		r = stage(&move, flags);
	else if (same && (flags & RENAME_NOREPLACE))
		r = -EEXIST;
	if (r || same)
		txn_abort(move.txn);
	else
		r = txn_commit(move.txn);
	victim_end(fs, &move.victim, !r && !same);
	/* Also within one folder: its path is part of what rules were asked. */
	if (!r && !same &&
	    (S_ISDIR(move.attr.mode) || (move.victim.object && S_ISDIR(move.victim.attr.mode))))
		policy_moved(fs->policy);
	if (move.object)
		object_put(move.object);
	folder_put(&move.from.own);
	folder_put(&move.to.own);
	return r;
}

int fs_rename(struct fs *fs, uint64_t parent, const char *name, uint64_t new_parent,
	      const char *new_name, unsigned flags)
{
	unsigned tries = 0;
	int r;

	do
		r = rename_once(fs, parent, name, new_parent, new_name, flags);
	while (fs_try_again(fs, r, false, &tries));
	return r;
}

static uint64_t id_of(struct fs *fs, uint64_t parent, const char *name)
{
	struct dir dir = fs_dir(fs, parent);
	struct dir_name key;
	struct dir_slot slot;

	return dir_name_init(&key, name) || dir_find(&dir, &key, &slot) ? 0 : slot.id;
}

/* Most files are closed before they are moved: one look-up then, none where nothing is written. */
unsigned fs_rename_written(struct fs *fs, uint64_t parent, const char *name, uint64_t new_parent,
			   const char *new_name, unsigned flags, uint64_t ids[static 2])
{
	bool exchange = flags & RENAME_EXCHANGE;
	uint64_t from, to;
	unsigned n = 0;

	if (!inode_any_written(fs->inodes))
		return 0;
	from = id_of(fs, parent, name);
	if (!exchange && !inode_is_written(fs->inodes, from))
		return 0;
	to = id_of(fs, new_parent, new_name);
	if (!from || !to || from == to)
		return 0;
	if (inode_is_written(fs->inodes, from))
		ids[n++] = from;
	if (exchange && inode_is_written(fs->inodes, to))
		ids[n++] = to;
	return n;
}
