// SPDX-License-Identifier: Apache-2.0
/*
 * One record per attribute. The inode's flags say whether there are any, and whether there is an
 * ACL or a capability, so that the calls that every create, chmod and write would have to make cost
 * nothing on ordinary files. A flag is set together with its attribute; it may outlive it.
 */
#include "fs/xattr.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/xattr.h>
#include <linux/limits.h>

#include "compress/bytes.h"
#include "fs/acl.h"
#include "fs/fs.h"
#include "fs/terrace_xattr.h"
#include "tiers/keys.h"
#include "tiers/meta.h"
#include "tiers/object.h"

#define NAME_MAX_LEN  255u
#define VALUE_MAX_LEN (64u << 10)
#define TRUSTED	      "trusted."
#define KEY_HEAD      9u
#define KEY_MAX	      (KEY_HEAD + NAME_MAX_LEN)

static int key_put(uint8_t key[static KEY_MAX], uint64_t id, const char *name, size_t *key_len)
{
	size_t len = strlen(name);

	if (!len || len > NAME_MAX_LEN)
		return -ERANGE;
	key[0] = KEY_XATTR;
	put_be64(key + 1, id);
	memcpy(key + KEY_HEAD, name, len);
	*key_len = KEY_HEAD + len;
	return 0;
}

int xattr_load(struct meta *meta, uint64_t id, const char *name, void *buf, size_t cap, size_t *len)
{
	uint8_t key[KEY_MAX];
	size_t key_len;
	int r;

	r = key_put(key, id, name, &key_len);
	if (!r)
		r = meta_get(meta, key, key_len, buf, cap, len);
	return r == -ENOENT ? -ENODATA : r;
}

int xattr_load_acl(struct meta *meta, uint64_t id, const char *name, void *buf, size_t *len)
{
	int r = xattr_load(meta, id, name, buf, ACL_LEN_MAX, len);

	if (r == -ERANGE || (!r && (acl_is_empty(*len) || acl_check(buf, *len))))
		r = -EUCLEAN;
	return r;
}

int xattr_stage(struct txn *txn, uint64_t id, const char *name, const void *value, size_t len)
{
	uint8_t key[KEY_MAX];
	size_t key_len;
	int r = key_put(key, id, name, &key_len);

	return r ? r : txn_put(txn, key, key_len, value, len);
}

int xattr_stage_remove(struct txn *txn, uint64_t id, const char *name)
{
	uint8_t key[KEY_MAX];
	size_t key_len;
	int r = key_put(key, id, name, &key_len);

	return r ? r : txn_del(txn, key, key_len);
}

/* Calls each() for every stored name. */
static int walk(struct meta *meta, uint64_t id, int (*each)(void *arg, const struct meta_item *),
		void *arg)
{
	uint8_t prefix[KEY_HEAD] = {KEY_XATTR};
	struct meta_cursor *cursor;
	struct meta_item item;
	int r;

	put_be64(prefix + 1, id);
	r = meta_cursor_open(meta, prefix, sizeof(prefix), NULL, 0, &cursor);
	if (r)
		return r;
	while (!(r = meta_cursor_next(cursor, &item))) {
		r = each(arg, &item);
		if (r)
			break;
	}
	meta_cursor_close(cursor);
	return r == -ENOENT ? 0 : r;
}

static int remove_one(void *arg, const struct meta_item *item)
{
	return txn_del(arg, item->key, item->key_len);
}

int xattr_stage_remove_all(struct txn *txn, struct meta *meta, uint64_t id)
{
	return walk(meta, id, remove_one, txn);
}

/* Reading. ------------------------------------------------------------------------------------- */

int fs_getxattr(struct fs *fs, uint64_t id, const char *name, void *buf, size_t cap, size_t *len)
{
	struct object *object;
	struct attr attr;
	int r;

	if (terrace_xattr_is(name))
		return terrace_xattr_get(fs, id, name, buf, cap, len);
	r = fs_load(fs, id, &object, &attr);
	if (r)
		return r;
	object_put(object);
	if (!(attr.flags & ATTR_HAS_XATTR))
		return -ENODATA;
	r = xattr_load(fs->meta, id, name, buf, cap, len);
	return r == -ERANGE && !cap ? 0 : r;
}

struct listing {
	char *buf;
	size_t cap, len;
	bool trusted;
};

static bool is_trusted(const char *name, size_t len)
{
	return len >= strlen(TRUSTED) && !memcmp(name, TRUSTED, strlen(TRUSTED));
}

static int list_one(void *arg, const struct meta_item *item)
{
	struct listing *list = arg;
	size_t len = item->key_len - KEY_HEAD;

	if (!list->trusted && is_trusted((const char *)item->key + KEY_HEAD, len))
		return 0;
	if (list->cap) {
		if (list->len + len + 1 > list->cap)
			return -ERANGE;
		memcpy(list->buf + list->len, item->key + KEY_HEAD, len);
		list->buf[list->len + len] = '\0';
	}
	list->len += len + 1;
	return 0;
}

int fs_listxattr(struct fs *fs, uint64_t id, bool trusted, char *buf, size_t cap, size_t *len)
{
	struct listing list = {.buf = buf, .cap = cap, .trusted = trusted};
	struct object *object;
	struct attr attr;
	int r;

	r = fs_load(fs, id, &object, &attr);
	if (r)
		return r;
	object_put(object);
	if (attr.flags & ATTR_HAS_XATTR)
		r = walk(fs->meta, id, list_one, &list);
	*len = list.len;
	return r;
}

/* Changing. ------------------------------------------------------------------------------------ */

struct change {
	struct fs *fs;
	struct txn *txn;
	uint64_t id;
	const char *name;
	const void *value; /* NULL: remove */
	size_t len;
	int flags;
	bool foreign_group;
	struct attr attr;
};

static uint32_t flag_of(const char *name)
{
	return !strcmp(name, XATTR_ACL_ACCESS)	  ? ATTR_HAS_ACL
	       : !strcmp(name, XATTR_ACL_DEFAULT) ? ATTR_HAS_DACL
	       : !strcmp(name, XATTR_CAPS)	  ? ATTR_HAS_CAPS
						  : 0;
}

/* An access ACL that says no more than the mode is not stored; a header alone means "remove". */
static int prepare_acl(struct change *change, uint32_t flag)
{
	bool minimal;
	uint32_t mode;
	int r;

	if (S_ISLNK(change->attr.mode))
		return -EOPNOTSUPP;
	if (!change->value)
		return 0;
	r = acl_check(change->value, change->len);
	if (r)
		return r;
	if (flag == ATTR_HAS_DACL && !S_ISDIR(change->attr.mode))
		return acl_is_empty(change->len) ? 0 : -EACCES;
	change->flags = 0;
	if (acl_is_empty(change->len)) {
		change->value = NULL;
	} else if (flag == ATTR_HAS_ACL) {
		mode = acl_to_mode(change->value, change->len, &minimal);
		change->attr.mode = (change->attr.mode & ~0777u) | mode;
		if (change->foreign_group)
			change->attr.mode &= ~(uint32_t)S_ISGID;
		if (minimal)
			change->value = NULL;
	}
	return 0;
}

static int add_name(void *arg, const struct meta_item *item)
{
	size_t *bytes = arg;

	*bytes += item->key_len - KEY_HEAD + 1;
	return 0;
}

/* listxattr(2) could not return more names, nor could one transaction delete them with the file. */
static int room_for_name(const struct change *change)
{
	size_t bytes = strlen(change->name) + 1;
	int r = 0;

	if (change->attr.flags & ATTR_HAS_XATTR)
		r = walk(change->fs->meta, change->id, add_name, &bytes);
	return r ? r : bytes > XATTR_LIST_MAX ? -ENOSPC : 0;
}

static int stage(struct change *change)
{
	uint32_t flag = flag_of(change->name);
	bool asked_removal = !change->value, exists;
	size_t len;
	int r = 0;

	if (flag == ATTR_HAS_ACL || flag == ATTR_HAS_DACL)
		r = prepare_acl(change, flag);
	if (r)
		return r;
	r = xattr_load(change->fs->meta, change->id, change->name, NULL, 0, &len);
	if (r && r != -ENODATA && r != -ERANGE)
		return r;
	exists = r != -ENODATA;
	if (exists && (change->flags & XATTR_CREATE))
		return -EEXIST;
	if (!exists && ((change->flags & XATTR_REPLACE) || (asked_removal && !flag)))
		return -ENODATA;
	if (!exists && asked_removal)
		return flag == ATTR_HAS_CAPS ? -ENODATA : 0;
	r = exists || !change->value ? 0 : room_for_name(change);
	if (r)
		return r;
	change->attr.ctime = attr_now();
	if (change->value) {
		change->attr.flags |= flag | ATTR_HAS_XATTR;
		return xattr_stage(change->txn, change->id, change->name, change->value,
				   change->len);
	}
	change->attr.flags &= ~flag;
	return exists ? xattr_stage_remove(change->txn, change->id, change->name) : 0;
}

static int run(struct change *change)
{
	struct object *object = NULL;
	int r;

	change->txn = txn_begin(change->fs->pool);
	r = fs_load(change->fs, change->id, &object, &change->attr);
	if (!r)
		r = stage(change);
	if (!r)
		r = fs_store(change->txn, object, &change->attr);
	if (r)
		txn_abort(change->txn);
	else
		r = txn_commit(change->txn);
	if (object)
		object_put(object);
	return r;
}

/* As ext4 answers. The kernel has looked at the rights of these classes; others have none. */
static int check_name(const char *name)
{
	static const char *const classes[] = {"user.", TRUSTED, "security."};

	if (!strcmp(name, XATTR_ACL_ACCESS) || !strcmp(name, XATTR_ACL_DEFAULT))
		return 0;
	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
		if (!strncmp(name, classes[i], strlen(classes[i])))
			return name[strlen(classes[i])] ? 0 : -EINVAL;
	return -EOPNOTSUPP;
}

int fs_setxattr(struct fs *fs, uint64_t id, const char *name, const void *value, size_t len,
		int flags, const struct fs_cred *cred)
{
	struct change change = {.fs = fs,
				.id = id,
				.name = name,
				.value = value,
				.len = len,
				.flags = flags,
				.foreign_group = cred->foreign_group};
	int r;

	if (terrace_xattr_is(name))
		return terrace_xattr_set(fs, id, name, value, len, flags);
	if (len > VALUE_MAX_LEN)
		return -E2BIG;
	r = check_name(name);
	if (r)
		return r;
	if (!value)
		change.value = "";
	return run(&change);
}

int fs_removexattr(struct fs *fs, uint64_t id, const char *name)
{
	struct change change = {.fs = fs, .id = id, .name = name};

	if (terrace_xattr_is(name))
		return terrace_xattr_remove(fs, id, name);
	return run(&change);
}
