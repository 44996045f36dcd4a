// SPDX-License-Identifier: Apache-2.0
/*
 * The entries of folders, in their order: whether each can be found by its name (fs/dir.h,
 * invariant 1). What they lead to is check_inodes.c's, by way of the sorter of names.
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "fs/check_impl.h"
#include "tiers/escape.h"
#include "tiers/object.h"

#define GROUP_MAX (DIR_GROUP_MASK + 1)

struct entry { /* a name as it is kept */
	uint64_t folder, cookie, id;
	uint8_t type;
	const char *name;
	size_t len;
};

struct names {
	struct fs_check *fsc;
	uint64_t folder; /* that was looked at last; 0: none */
	uint64_t group;	 /* cookie of its first number */
	unsigned next;	 /* the number that is due */
	bool vacant;	 /* the last one was a place that is kept */
	size_t ntexts;	 /* names of the group, to find one twice */
	size_t text_len[GROUP_MAX];
	char text[GROUP_MAX][DIR_NAME_MAX];
};

/* A problem of a name, told of at its folder. */
static bool report(struct names *names, enum check_code code, bool mendable,
		   const struct entry *entry, const char *what)
{
	size_t len = entry->len < DIR_NAME_MAX ? entry->len : DIR_NAME_MAX;
	char where[PATH_MAX], name[DIR_NAME_MAX + 1], text[ESCAPED_CAP(DIR_NAME_MAX)];

	memcpy(name, entry->name, len);
	name[len] = '\0';
	fs_check_path(names->fsc, entry->folder, where, sizeof(where));
	return check_report_at(
		names->fsc->check, code, mendable, where, "the name '%s' (inode %llu) %s",
		escape_name(name, text, sizeof(text)), (unsigned long long)entry->id, what);
}

static int drop(struct names *names, enum check_code code, const struct entry *entry,
		const char *what)
{
	int rc;

	if (!report(names, code, true, entry, what))
		return 0;
	rc = fs_check_name_drop(names->fsc, entry->folder, entry->cookie);
	return rc < 0 ? rc : check_mend(names->fsc->check);
}

/* It is where a look-up does not go. */
static int misplaced(struct names *names, const struct entry *entry)
{
	struct dir dir = fs_check_dir(names->fsc, entry->folder);
	struct dir_name name = {entry->name, entry->len};
	struct dir_slot slot;
	int rc = dir_find(&dir, &name, &slot);

	if (rc == 0)
		return drop(names, CHECK_NAME_TWICE, entry, "is in the folder twice");
	if (rc != -ENOENT)
		return rc;
	if (!report(names, CHECK_NAME_COOKIE, slot.vacant != 0, entry,
		    "is not where it is looked for"))
		return 0;
	rc = fs_check_name_drop(names->fsc, entry->folder, entry->cookie);
	if (rc < 0)
		return rc;
	fs_check_name_put(names->fsc, entry->folder, slot.vacant, entry->id, entry->type,
			  entry->name, entry->len);
	return check_mend(names->fsc->check);
}

static int fill_gap(struct names *names, const struct entry *entry, unsigned number)
{
	if (!report(names, CHECK_NAME_GAP, true, entry,
		    "is not reached: an entry before it is missing"))
		return 0;
	for (unsigned i = names->next; i < number; i++)
		fs_check_name_put(names->fsc, entry->folder, names->group + i, 0, 0, "", 0);
	return check_mend(names->fsc->check);
}

/* A place that is kept is one for names behind it. */
static int group_end(struct names *names)
{
	struct entry last = {
		.folder = names->folder, .cookie = names->group + names->next - 1, .name = ""};

	if (!names->folder || !names->vacant)
		return 0;
	names->vacant = false;
	return drop(names, CHECK_NAME, &last, "stands for a name that is not there");
}

static bool seen_before(struct names *names, const struct entry *entry)
{
	for (size_t i = 0; i < names->ntexts; i++)
		if (names->text_len[i] == entry->len &&
		    memcmp(names->text[i], entry->name, entry->len) == 0)
			return true;
	return false;
}

/* The names lead to nothing as long as their folder is not there. */
static int folder_check(struct names *names, uint64_t folder)
{
	struct fs_check_inode inode;
	int rc = fs_check_load(names->fsc, folder, &inode);

	if (rc == 0 && !inode.attr_error && !S_ISDIR(inode.attr.mode))
		check_report(names->fsc->check, CHECK_FOLDER_MISSING, false, folder,
			     "there are names in inode %llu, which is no folder",
			     (unsigned long long)folder);
	if (rc != -ENOENT || folder == OBJECT_ID_ROOT) /* the root is check_inodes.c's */
		return rc == -ENOENT || rc == -EUCLEAN || rc == -ENOTSUP ? 0 : rc;
	if (!check_report_at(names->fsc->check, CHECK_FOLDER_MISSING, true, "",
			     "there are names in folder %llu, which does not exist",
			     (unsigned long long)folder))
		return 0;
	inode = (struct fs_check_inode){.id = folder};
	fs_check_attr_new(names->fsc, S_IFDIR | 0700, &inode.attr);
	fs_check_store(names->fsc, &inode);
	return check_mend(names->fsc->check);
}

static int hand_on(struct names *names, const struct entry *entry)
{
	uint8_t record[NAME_LEN];

	put_be64(record, entry->id);
	put_be64(record + 8, entry->folder);
	put_be64(record + 16, entry->cookie);
	record[24] = entry->type;
	return sorter_add(names->fsc->names, record);
}

static int entry_check(struct names *names, const struct entry *entry)
{
	struct dir dir = fs_check_dir(names->fsc, entry->folder);
	struct dir_name name = {entry->name, entry->len};
	unsigned number = (unsigned)(entry->cookie & DIR_GROUP_MASK);
	int rc = 0;

	if (number > names->next)
		rc = fill_gap(names, entry, number);
	names->next = number + 1;
	names->vacant = !entry->id && !entry->len;
	if (rc < 0 || names->vacant)
		return rc;
	if (!entry->id || !dir_name_valid(entry->name, entry->len))
		return drop(names, CHECK_NAME, entry, "is no name");
	if (seen_before(names, entry))
		return drop(names, CHECK_NAME_TWICE, entry, "is in the folder twice");
	memcpy(names->text[names->ntexts], entry->name, entry->len);
	names->text_len[names->ntexts++] = entry->len;
	rc = hand_on(names, entry);
	if (rc < 0 || dir_cookie(&dir, &name) == names->group)
		return rc;
	return misplaced(names, entry);
}

static int item_check(struct names *names, const struct meta_item *item)
{
	uint64_t folder = get_be64(item->key + 1), cookie = get_be64(item->key + KEY_LEN_1);
	uint64_t group = cookie & ~(uint64_t)DIR_GROUP_MASK;
	struct entry entry = {.folder = folder, .cookie = cookie, .name = ""};
	int rc = 0;

	if (folder != names->folder || group != names->group)
		rc = group_end(names);
	if (rc == 0 && folder != names->folder)
		rc = folder_check(names, folder);
	if (rc < 0)
		return rc;
	if (folder != names->folder || group != names->group) {
		names->next = 0;
		names->ntexts = 0;
	}
	names->folder = folder;
	names->group = group;
	if (item->len < DIR_VALUE_HEAD) {
		names->next = (unsigned)(cookie & DIR_GROUP_MASK) + 1;
		return drop(names, CHECK_NAME, &entry, "cannot be read");
	}
	entry.id = get_le64(item->value);
	entry.type = item->value[8];
	entry.name = (const char *)item->value + DIR_VALUE_HEAD;
	entry.len = item->len - DIR_VALUE_HEAD;
	return entry_check(names, &entry);
}

int fs_check_names(struct fs_check *fsc)
{
	static const uint8_t prefix = KEY_DENTRY;
	struct names *names = calloc(1, sizeof(*names));
	struct meta_cursor *cursor = NULL;
	struct meta_item item;
	int rc = names ? meta_cursor_open(fsc->meta, &prefix, 1, NULL, 0, &cursor) : -ENOMEM;

	if (rc < 0)
		goto out;
	names->fsc = fsc;
	while ((rc = meta_cursor_next(cursor, &item)) == 0) {
		rc = item.key_len == KEY_LEN_2 ? item_check(names, &item) : 0;
		if (rc < 0)
			break;
	}
	rc = rc == -ENOENT ? group_end(names) : rc;
out:
	meta_cursor_close(cursor);
	free(names);
	return rc;
}
