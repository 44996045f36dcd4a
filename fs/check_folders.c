// SPDX-License-Identifier: Apache-2.0
/*
 * Folders among themselves: link counts, and whether each is reached from the root. Every folder
 * has one name by now, so the names make a forest or circles. The table of folders is the one thing
 * that is held in memory: 24 bytes for each.
 */
#include <errno.h>
#include <stdlib.h>

#include "fs/check_impl.h"
#include "tiers/object.h"

enum { UNKNOWN, REACHED }; /* else: the number of the walk that came by, from 2 on */

struct folder {
	uint64_t id, parent;
	uint32_t nlink, mark;
};

struct folders {
	struct fs_check *fsc;
	struct folder *items;
	size_t n, cap;
};

static int load(struct folders *folders)
{
	const uint8_t *p;
	int rc;

	while ((rc = sorter_next(folders->fsc->folders, &p)) == 0) {
		if (folders->n == folders->cap) {
			size_t cap = folders->cap ? folders->cap * 2 : 1024;
			void *items = realloc(folders->items, cap * sizeof(*folders->items));

			if (!items)
				return -ENOMEM;
			folders->items = items;
			folders->cap = cap;
		}
		folders->items[folders->n++] = (struct folder){
			.id = get_be64(p), .parent = get_be64(p + 8), .nlink = get_be32(p + 16)};
	}
	return rc == -ENOENT ? 0 : rc;
}

static int links_mend(struct folders *folders, const struct folder *folder, uint64_t nlink)
{
	struct check *check = folders->fsc->check;
	struct fs_check_inode inode;
	int rc;

	if (!check_report(check, CHECK_LINKS, true, folder->id,
			  "the folder has %llu folders in it and a link count of %u",
			  (unsigned long long)nlink - 2, folder->nlink))
		return 0;
	rc = fs_check_load(folders->fsc, folder->id, &inode);
	if (rc < 0)
		return rc;
	inode.attr.nlink = (uint32_t)nlink;
	fs_check_store(folders->fsc, &inode);
	return check_mend(check);
}

/* Both sorted by the folder. */
static int count(struct folders *folders)
{
	const uint8_t *child;
	int have = sorter_next(folders->fsc->children, &child), rc = 0;

	for (size_t i = 0; i < folders->n && rc == 0; i++) {
		const struct folder *folder = &folders->items[i];
		uint64_t nlink = 2;

		while (have == 0 && get_be64(child) < folder->id)
			have = sorter_next(folders->fsc->children, &child);
		while (have == 0 && get_be64(child) == folder->id) {
			nlink++;
			have = sorter_next(folders->fsc->children, &child);
		}
		if (folder->nlink != nlink)
			rc = links_mend(folders, folder, nlink);
	}
	return rc < 0 ? rc : have == -ENOENT ? 0 : have;
}

static struct folder *find(const struct folders *folders, uint64_t id)
{
	size_t low = 0, high = folders->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (folders->items[mid].id < id)
			low = mid + 1;
		else
			high = mid;
	}
	return low < folders->n && folders->items[low].id == id ? &folders->items[low] : NULL;
}

/* Takes the name of one of the circle's folders away: in the next round it has none, and gets one.
 */
static int cut(struct folders *folders, const struct folder *folder)
{
	struct fs_check *fsc = folders->fsc;
	struct fs_check_inode inode;
	uint64_t cookie;
	int rc = fs_check_load(fsc, folder->id, &inode);

	if (rc == 0)
		rc = fs_check_name_find(fsc, folder->parent, folder->id, inode.attr.cookie,
					&cookie);
	if (rc < 0)
		return rc == -ENOENT ? 0 : rc; /* mended in this round already */
	if (!check_report_at(fsc->check, CHECK_FOLDER_LOOP, true, "",
			     "folder %llu is in a circle of folders (it is in %llu)",
			     (unsigned long long)folder->id, (unsigned long long)folder->parent))
		return 0;
	rc = fs_check_name_drop(fsc, folder->parent, cookie);
	return rc < 0 ? rc : check_mend(fsc->check);
}

/* Up from each folder, until one that is known to be reached, or that this walk has met. */
static int reach(struct folders *folders)
{
	uint32_t walk = REACHED;
	int rc = 0;

	for (size_t i = 0; i < folders->n && rc == 0; i++) {
		struct folder *at = &folders->items[i], *end = NULL;

		if (at->mark != UNKNOWN)
			continue;
		walk++;
		while (at && at->mark == UNKNOWN && at->id != OBJECT_ID_ROOT) {
			at->mark = walk;
			end = at;
			at = find(folders, at->parent);
		}
		if (at && at->id == OBJECT_ID_ROOT)
			at->mark = REACHED;
		if (at && end && at->mark == walk)
			rc = cut(folders, at);
	}
	return rc;
}

int fs_check_folders(struct fs_check *fsc)
{
	struct folders folders = {.fsc = fsc};
	int rc = load(&folders);

	if (rc == 0)
		rc = count(&folders);
	if (rc == 0)
		rc = reach(&folders);
	free(folders.items);
	return rc;
}
