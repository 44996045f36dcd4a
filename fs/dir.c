// SPDX-License-Identifier: Apache-2.0
/*
 * How a group of names of equal hash is kept (dir.h, invariant 1): the search stops at the first
 * missing key, so a removal in the middle must leave something, and one at the end must take away
 * what others had left before it. All of that is here; callers see slots.
 */
#include "fs/dir.h"

#include <errno.h>
#include <string.h>

#include "compress/bytes.h"
#include "compress/checksum.h"
#include "tiers/keys.h"
#include "tiers/meta.h"
#include "tiers/txn.h"

#define VALUE_HEAD   DIR_VALUE_HEAD
#define VALUE_MAX    (VALUE_HEAD + DIR_NAME_MAX)
#define GROUP_MASK   DIR_GROUP_MASK
#define COOKIE_FIRST 0x100u

/* 63 bits, as off_t is signed. */
uint64_t dir_cookie(const struct dir *dir, const struct dir_name *name)
{
	uint64_t hash = checksum64_seed(name->text, name->len, dir->seed ^ dir->id);
	uint64_t cookie = (hash >> 1) & ~(uint64_t)GROUP_MASK & dir->mask;

	return cookie ? cookie : COOKIE_FIRST;
}

int dir_name_init(struct dir_name *out, const char *text)
{
	size_t len = strlen(text);

	if (!len)
		return -ENOENT;
	if (len > DIR_NAME_MAX)
		return -ENAMETOOLONG;
	out->text = text;
	out->len = len;
	return 0;
}

bool dir_name_valid(const char *name, size_t len)
{
	return len && len <= DIR_NAME_MAX && !memchr(name, '/', len) && !memchr(name, 0, len) &&
	       !(name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.')));
}

/* A tombstone, or an inode with a name: whoever walks a folder has room for no more. */
static bool value_is_entry(const uint8_t *value, size_t len)
{
	size_t name_len = len - VALUE_HEAD;

	if (len < VALUE_HEAD)
		return false;
	return get_le64(value) ? dir_name_valid((const char *)value + VALUE_HEAD, name_len)
			       : name_len == 0;
}

/* The value at a cookie: -ENOENT, or 0 with *len >= VALUE_HEAD. */
static int slot_get(const struct dir *dir, uint64_t cookie, uint8_t value[static VALUE_MAX],
		    size_t *len)
{
	uint8_t key[KEY_LEN_2];
	int r;

	key_2(key, KEY_DENTRY, dir->id, cookie);
	r = meta_get(dir->meta, key, sizeof(key), value, VALUE_MAX, len);
	if (!r && !value_is_entry(value, *len))
		r = -EUCLEAN;
	return r == -ERANGE ? -EUCLEAN : r;
}

int dir_find(const struct dir *dir, const struct dir_name *name, struct dir_slot *slot)
{
	uint64_t cookie = dir_cookie(dir, name);
	uint64_t end = cookie + GROUP_MASK;
	uint8_t value[VALUE_MAX];
	size_t len;

	slot->vacant = 0;
	for (;; cookie++) {
		int r = slot_get(dir, cookie, value, &len);

		if (r && r != -ENOENT)
			return r;
		if (r || !get_le64(value)) {
			if (!slot->vacant)
				slot->vacant = cookie;
			if (r)
				return -ENOENT;
		} else if (len - VALUE_HEAD == name->len &&
			   !memcmp(value + VALUE_HEAD, name->text, name->len)) {
			slot->cookie = cookie;
			slot->id = get_le64(value);
			slot->type = value[8];
			return 0;
		}
		if (cookie == end)
			return -ENOENT;
	}
}

int dir_at(const struct dir *dir, uint64_t cookie, char buf[static DIR_NAME_MAX],
	   struct dir_entry *out)
{
	uint8_t value[VALUE_MAX];
	size_t len;
	int r = slot_get(dir, cookie, value, &len);

	if (!r && !get_le64(value))
		r = -ENOENT;
	if (r)
		return r;
	*out = (struct dir_entry){.name = buf,
				  .name_len = len - VALUE_HEAD,
				  .cookie = cookie,
				  .id = get_le64(value),
				  .type = value[8]};
	memcpy(buf, value + VALUE_HEAD, out->name_len);
	return 0;
}

static int entry_put(struct txn *txn, const struct dir *dir, uint64_t cookie,
		     const struct dir_name *name, uint64_t id, uint8_t type)
{
	uint8_t key[KEY_LEN_2], value[VALUE_MAX];

	key_2(key, KEY_DENTRY, dir->id, cookie);
	put_le64(value, id);
	value[8] = type;
	memcpy(value + VALUE_HEAD, name->text, name->len);
	return txn_put(txn, key, sizeof(key), value, VALUE_HEAD + name->len);
}

int dir_insert(struct txn *txn, const struct dir *dir, const struct dir_slot *slot,
	       const struct dir_name *name, uint64_t id, uint8_t type)
{
	if (!slot->vacant)
		return -ENOSPC;
	return entry_put(txn, dir, slot->vacant, name, id, type);
}

int dir_replace(struct txn *txn, const struct dir *dir, const struct dir_slot *slot,
		const struct dir_name *name, uint64_t id, uint8_t type)
{
	return entry_put(txn, dir, slot->cookie, name, id, type);
}

int dir_remove(struct txn *txn, const struct dir *dir, const struct dir_slot *slot)
{
	static const struct dir_name tombstone = {.text = "", .len = 0};
	uint8_t key[KEY_LEN_2], value[VALUE_MAX];
	uint64_t cookie = slot->cookie;
	size_t len;
	int r = -ENOENT;

	if ((cookie & GROUP_MASK) != GROUP_MASK)
		r = slot_get(dir, cookie + 1, value, &len);
	if (!r)
		return entry_put(txn, dir, cookie, &tombstone, 0, 0);
	if (r != -ENOENT)
		return r;
	/* The last of its group: it goes, and so do tombstones before it. */
	for (;;) {
		key_2(key, KEY_DENTRY, dir->id, cookie);
		r = txn_del(txn, key, sizeof(key));
		if (r || !(cookie & GROUP_MASK))
			return r;
		r = slot_get(dir, --cookie, value, &len);
		if (r || get_le64(value))
			return r;
	}
}

bool dir_same_group(uint64_t cookie_a, uint64_t cookie_b)
{
	return (cookie_a | GROUP_MASK) == (cookie_b | GROUP_MASK);
}

int dir_is_empty(const struct dir *dir)
{
	struct meta_cursor *cursor;
	struct meta_item item;
	uint8_t prefix[KEY_LEN_2];
	int r;

	key_2(prefix, KEY_DENTRY, dir->id, 0);
	r = meta_cursor_open(dir->meta, prefix, 9, NULL, 0, &cursor);
	if (r)
		return r;
	r = meta_cursor_next(cursor, &item);
	meta_cursor_close(cursor);
	return r == -ENOENT ? 1 : r;
}

int dir_walk(const struct dir *dir, uint64_t after,
	     int (*each)(void *arg, const struct dir_entry *entry), void *arg)
{
	struct meta_cursor *cursor;
	struct meta_item item;
	uint8_t start[KEY_LEN_2];
	int r;

	key_2(start, KEY_DENTRY, dir->id, after + 1);
	r = meta_cursor_open(dir->meta, start, 9, start, sizeof(start), &cursor);
	if (r)
		return r;
	while (!(r = meta_cursor_next(cursor, &item))) {
		struct dir_entry entry;

		if (item.key_len != KEY_LEN_2 || !value_is_entry(item.value, item.len)) {
			r = -EUCLEAN;
			break;
		}
		entry.cookie = get_be64(item.key + 9);
		entry.id = get_le64(item.value);
		entry.type = item.value[8];
		entry.name = (const char *)item.value + VALUE_HEAD;
		entry.name_len = item.len - VALUE_HEAD;
		if (!entry.id)
			continue;
		r = each(arg, &entry);
		if (r)
			break;
	}
	meta_cursor_close(cursor);
	return r == -ENOENT ? 0 : r;
}
