/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Folders: names in the metadata store. Key: D folder(8) cookie(8), value: inode(8) type(1) name.
 *
 * The cookie is the entry's place in readdir order, unique within its folder, and stays as long as
 * the name does: 55 bits of the name's hash, then 8 bits that number names of equal hash. So
 * seekdir() and NFS resume exactly, also inside such a group, and a look-up is one get, without a
 * cursor.
 *
 * Invariants:
 *  1. A group fills its numbers from 0 without gaps; the last one of a group is a live entry. An
 *     entry removed before the last one leaves a tombstone (inode 0), which the next insertion of
 *     that hash fills; so a missing key ends the search, and a folder is empty when it has no keys.
 *  2. Cookies are >= 256: 1 and 2 stand for "." and "..".
 *
 * -EUCLEAN from all that read: a value that is no entry, whatever its checksum says.
 *
 * Finding, and a change that relies on it, belong into one transaction of the caller.
 */
#ifndef TERRACE_FS_DIR_H
#define TERRACE_FS_DIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct meta;
struct txn;

#define DIR_NAME_MAX   255u
#define DIR_VALUE_HEAD 9u /* inode, type: before the name */
#define DIR_SELF       1u /* cookies of "." and ".." */
#define DIR_PARENT     2u

struct dir {
	struct meta *meta;
	uint64_t seed; /* of the name hash: the pool's, so that nobody can make names collide */
	uint64_t mask; /* bits of the hash that count: all; tests take some away, so that names
			  collide */
	uint64_t id;   /* the folder's inode */
};

struct dir_slot {
	uint64_t cookie; /* of the entry when found */
	uint64_t vacant; /* when not found: where a new name of this hash goes, 0 = nowhere */
	uint64_t id;
	uint8_t type; /* DT_REG, DT_DIR ... */
};

struct dir_name {
	const char *text;
	size_t len; /* 1..DIR_NAME_MAX */
};

/* -ENAMETOOLONG, -ENOENT for an empty name. */
int dir_name_init(struct dir_name *out, const char *text);
/* May a folder hold it? What comes from a medium may be anything. */
bool dir_name_valid(const char *name, size_t len);

/* The first cookie of the group that the name belongs to, and the group's mask. */
uint64_t dir_cookie(const struct dir *dir, const struct dir_name *name);
#define DIR_GROUP_MASK 0xffu
/* 0, or -ENOENT with slot->vacant set. */
int dir_find(const struct dir *dir, const struct dir_name *name, struct dir_slot *slot);

/* After dir_find() said -ENOENT / 0; of one group of names only one change per transaction.
 * dir_insert(): -ENOSPC when there are 256 names of equal hash. */
int dir_insert(struct txn *txn, const struct dir *dir, const struct dir_slot *slot,
	       const struct dir_name *name, uint64_t id, uint8_t type);
int dir_replace(struct txn *txn, const struct dir *dir, const struct dir_slot *slot,
		const struct dir_name *name, uint64_t id, uint8_t type);
int dir_remove(struct txn *txn, const struct dir *dir, const struct dir_slot *slot);
/* Both cookies belong to names of equal hash: their changes must not be made as two. */
bool dir_same_group(uint64_t cookie_a, uint64_t cookie_b);

/* 1 empty, 0 not, or an error. */
int dir_is_empty(const struct dir *dir);

struct dir_entry {
	const char *name; /* not terminated */
	size_t name_len;
	uint64_t cookie, id;
	uint8_t type;
};
/* The entry at a cookie, its name in buf: -ENOENT. */
int dir_at(const struct dir *dir, uint64_t cookie, char buf[static DIR_NAME_MAX],
	   struct dir_entry *out);
/* Entries with a cookie beyond `after`, in order, without "." and "..". A non-zero return of each()
 * ends the walk and is returned. */
int dir_walk(const struct dir *dir, uint64_t after,
	     int (*each)(void *arg, const struct dir_entry *entry), void *arg);

#endif
