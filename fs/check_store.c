// SPDX-License-Identifier: Apache-2.0
/* Inodes and names as a check reads and stages them: there is no pool under it, only its records.
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "fs/check.h"
#include "fs/check_impl.h"
#include "tiers/record_get.h"

#define LOST_NAME "lost+found"
#define DEPTH_MAX 4096u

struct dir fs_check_dir(const struct fs_check *fsc, uint64_t id)
{
	return (struct dir){.meta = fsc->meta, .seed = fsc->seed, .mask = UINT64_MAX, .id = id};
}

int fs_check_decode(uint64_t id, const void *value, size_t len, struct fs_check_inode *out)
{
	int rc = object_record_decode(value, len, &out->record);

	out->id = id;
	out->attr = (struct attr){0};
	out->attr_error = rc ? rc : attr_decode(out->record.attr, out->record.attr_len, &out->attr);
	return rc;
}

int fs_check_load(struct fs_check *fsc, uint64_t id, struct fs_check_inode *out)
{
	uint8_t key[KEY_LEN_1], value[RECORD_OBJECT_MAX];
	size_t len;
	int rc = meta_get(fsc->meta, key, key_1(key, KEY_OBJECT, id), value, sizeof(value), &len);

	return rc < 0 ? rc : fs_check_decode(id, value, len, out);
}

void fs_check_store(struct fs_check *fsc, struct fs_check_inode *inode)
{
	uint8_t key[KEY_LEN_1], value[RECORD_OBJECT_MAX];

	attr_encode(&inode->attr, inode->record.attr);
	inode->record.attr_len = ATTR_LEN;
	check_put(fsc->check, key, key_1(key, KEY_OBJECT, inode->id), value,
		  object_record_encode(&inode->record, value));
}

void fs_check_attr_new(const struct fs_check *fsc, uint32_t mode, struct attr *out)
{
	*out = (struct attr){.mode = mode,
			     .nlink = S_ISDIR(mode) ? 2 : 1,
			     .atime = fsc->now,
			     .mtime = fsc->now,
			     .ctime = fsc->now,
			     .btime = fsc->now};
}

/* Names ------------------------------------------------------------------------------------------
 */

void fs_check_name_put(struct fs_check *fsc, uint64_t folder, uint64_t cookie, uint64_t id,
		       uint8_t type, const char *name, size_t len)
{
	uint8_t key[KEY_LEN_2], value[DIR_VALUE_HEAD + DIR_NAME_MAX];

	put_le64(value, id);
	value[8] = type;
	memcpy(value + DIR_VALUE_HEAD, name, len);
	check_put(fsc->check, key, key_2(key, KEY_DENTRY, folder, cookie), value,
		  DIR_VALUE_HEAD + len);
}

/* -ENOENT; *id 0: a place that is kept for others of the group. */
static int name_get(struct fs_check *fsc, uint64_t folder, uint64_t cookie, uint64_t *id)
{
	uint8_t key[KEY_LEN_2], value[DIR_VALUE_HEAD + DIR_NAME_MAX];
	size_t len;
	int rc = meta_get(fsc->meta, key, key_2(key, KEY_DENTRY, folder, cookie), value,
			  sizeof(value), &len);

	*id = rc == 0 && len >= DIR_VALUE_HEAD ? get_le64(value) : 1;
	return rc == -ERANGE ? 0 : rc;
}

int fs_check_name_drop(struct fs_check *fsc, uint64_t folder, uint64_t cookie)
{
	uint8_t key[KEY_LEN_2];
	uint64_t id;
	int rc = -ENOENT;

	if ((cookie & DIR_GROUP_MASK) != DIR_GROUP_MASK)
		rc = name_get(fsc, folder, cookie + 1, &id);
	if (rc == 0) {
		fs_check_name_put(fsc, folder, cookie, 0, 0, "", 0);
		return 0;
	}
	/* The last of its group goes, and what was kept only for it. */
	do {
		check_del(fsc->check, key, key_2(key, KEY_DENTRY, folder, cookie));
		if (!(cookie & DIR_GROUP_MASK))
			return 0;
		rc = name_get(fsc, folder, --cookie, &id);
	} while (rc == 0 && id == 0);
	return rc == -ENOENT ? 0 : rc;
}

void fs_check_name_text(struct fs_check *fsc, uint64_t folder, uint64_t cookie, char *buf,
			size_t cap)
{
	struct dir dir = fs_check_dir(fsc, folder);
	char name[DIR_NAME_MAX];
	struct dir_entry entry = {.name_len = 0};
	int len = dir_at(&dir, cookie, name, &entry) == 0 ? (int)entry.name_len : 0;

	snprintf(buf, cap, "%.*s", len, name);
}

/* Paths ------------------------------------------------------------------------------------------
 */

struct sought {
	uint64_t id, cookie;
};

static int is_sought(void *arg, const struct dir_entry *entry)
{
	struct sought *sought = arg;

	sought->cookie = entry->cookie;
	return entry->id == sought->id;
}

int fs_check_name_find(struct fs_check *fsc, uint64_t folder, uint64_t id, uint64_t hint,
		       uint64_t *cookie)
{
	struct dir dir = fs_check_dir(fsc, folder);
	struct sought sought = {.id = id, .cookie = hint};
	char name[DIR_NAME_MAX];
	struct dir_entry entry;
	int rc;

	if (!hint || dir_at(&dir, hint, name, &entry) < 0 || entry.id != id) {
		rc = dir_walk(&dir, 0, is_sought, &sought);
		if (rc != 1)
			return rc < 0 ? rc : -ENOENT;
	}
	*cookie = sought.cookie;
	return 0;
}

/* By what the inode itself says of its name, if the name there agrees; else by looking. */
static bool name_of(struct fs_check *fsc, uint64_t id, uint64_t *parent, char *buf, size_t cap)
{
	struct fs_check_inode inode;
	uint64_t cookie;

	if (fs_check_load(fsc, id, &inode) < 0 || inode.attr_error || !inode.attr.parent ||
	    fs_check_name_find(fsc, inode.attr.parent, id, inode.attr.cookie, &cookie) < 0)
		return false;
	*parent = inode.attr.parent;
	fs_check_name_text(fsc, *parent, cookie, buf, cap);
	return true;
}

void fs_check_path(void *arg, uint64_t id, char *buf, size_t cap)
{
	struct fs_check *fsc = arg;
	char path[PATH_MAX], name[DIR_NAME_MAX + 1];
	size_t at = sizeof(path) - 1;
	uint64_t here = id;

	path[at] = '\0';
	for (unsigned depth = 0; here != OBJECT_ID_ROOT; depth++) {
		size_t len;

		if (depth == DEPTH_MAX || !name_of(fsc, here, &here, name, sizeof(name)) ||
		    (len = strlen(name)) + 1 > at) {
			snprintf(buf, cap, "inode %llu", (unsigned long long)id);
			return;
		}
		at -= len;
		memcpy(path + at, name, len);
		path[--at] = '/';
	}
	snprintf(buf, cap, "%s", path[at] ? path + at : "/");
}

void fs_path_stored(struct meta *meta, const uint8_t *pool_uuid, uint64_t id, char *buf, size_t cap)
{
	struct fs_check fsc = {.meta = meta, .seed = get_le64(pool_uuid)};

	fs_check_path(&fsc, id, buf, cap);
}

/* lost+found -------------------------------------------------------------------------------------
 */

static int lost_make(struct fs_check *fsc, const struct dir *root, const struct dir_slot *slot,
		     const struct dir_name *name, struct fs_check_inode *out)
{
	uint8_t value[RECORD_COUNTS_LEN];
	struct fs_check_inode top;
	struct pool_counts counts;
	int rc = pool_counts_get(fsc->meta, &counts);

	if (rc == 0)
		rc = fs_check_load(fsc, OBJECT_ID_ROOT, &top);
	if (rc < 0)
		return rc;
	*out = (struct fs_check_inode){.id = counts.object_ids++};
	counts.objects++;
	fs_check_attr_new(fsc, S_IFDIR | 0700, &out->attr);
	out->attr.parent = OBJECT_ID_ROOT;
	out->attr.cookie = slot->vacant;
	pool_counts_encode(&counts, value);
	check_put(fsc->check, POOL_COUNTS_KEY, POOL_COUNTS_KEY_LEN, value, sizeof(value));
	top.attr.nlink++;
	fs_check_store(fsc, &top);
	fs_check_store(fsc, out);
	fs_check_name_put(fsc, root->id, slot->vacant, out->id, DT_DIR, name->text, name->len);
	return check_mend(fsc->check);
}

/* Under another name where the first is taken by a file. */
static int lost_find(struct fs_check *fsc, struct fs_check_inode *out)
{
	struct dir root = fs_check_dir(fsc, OBJECT_ID_ROOT);

	for (unsigned i = 0; i < 100; i++) {
		char text[32];
		struct dir_name name;
		struct dir_slot slot;
		int rc;

		snprintf(text, sizeof(text), i ? LOST_NAME ".%u" : LOST_NAME, i);
		rc = dir_name_init(&name, text);
		if (rc == 0)
			rc = dir_find(&root, &name, &slot);
		if (rc == -ENOENT && slot.vacant)
			return lost_make(fsc, &root, &slot, &name, out);
		if (rc < 0 && rc != -ENOENT)
			return rc;
		if (rc == 0 && fs_check_load(fsc, slot.id, out) == 0 && !out->attr_error &&
		    S_ISDIR(out->attr.mode))
			return 0;
	}
	return -EEXIST;
}

int fs_check_adopt(struct fs_check *fsc, struct fs_check_inode *inode)
{
	struct fs_check_inode lost;
	struct dir_name name;
	struct dir_slot slot;
	struct dir dir;
	char text[32];
	int rc = lost_find(fsc, &lost);

	if (rc < 0)
		return rc;
	snprintf(text, sizeof(text), "#%llu", (unsigned long long)inode->id);
	dir = fs_check_dir(fsc, lost.id);
	rc = dir_name_init(&name, text);
	if (rc == 0)
		rc = dir_find(&dir, &name, &slot);
	if (rc != -ENOENT || !slot.vacant)
		return rc < 0 ? rc : -EEXIST;
	inode->attr.parent = lost.id;
	inode->attr.cookie = slot.vacant;
	if (S_ISDIR(inode->attr.mode)) {
		lost.attr.nlink++;
		fs_check_store(fsc, &lost);
	} else {
		inode->attr.nlink = 1;
	}
	fs_check_store(fsc, inode);
	fs_check_name_put(fsc, lost.id, slot.vacant, inode->id, (uint8_t)IFTODT(inode->attr.mode),
			  name.text, name.len);
	return check_mend(fsc->check);
}
