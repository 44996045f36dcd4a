// SPDX-License-Identifier: Apache-2.0
/*
 * Inodes: one walk over objects, beside it the names that lead to them (sorted by where they lead),
 * extended attributes, targets of symbolic links and orders to delete. All are in the order of
 * inode numbers, so each step is about one inode that some of them speak of.
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/check_impl.h"
#include "fs/xattr.h"
#include "tiers/object.h"

struct walk { /* of the keys of one type, by inode */
	struct meta_cursor *cursor;
	struct meta_item item;
	uint64_t id; /* UINT64_MAX: at its end */
};

struct name { /* that leads somewhere */
	uint64_t id, folder, cookie;
	uint8_t type;
};

struct inodes {
	struct fs_check *fsc;
	struct walk objects, xattrs, links, orphans;
	struct name name; /* id UINT64_MAX: no more */
};

/* What is said of one inode. */
struct one {
	struct fs_check_inode inode;
	bool there, orphan, has_target;
	uint32_t flags; /* that its attributes should have */
	size_t target_len;
	uint64_t names;
	struct name kept; /* the name that it says itself, else its first */
	bool parent_right;
};

static int walk_next(struct walk *walk)
{
	int rc = meta_cursor_next(walk->cursor, &walk->item);

	walk->id = rc == 0 && walk->item.key_len >= KEY_LEN_1 ? get_be64(walk->item.key + 1)
							      : UINT64_MAX;
	return rc == -ENOENT ? 0 : rc;
}

static int walk_open(struct inodes *inodes, enum key_type type, struct walk *walk)
{
	uint8_t prefix = (uint8_t)type;
	int rc = meta_cursor_open(inodes->fsc->meta, &prefix, 1, NULL, 0, &walk->cursor);

	return rc < 0 ? rc : walk_next(walk);
}

static int name_next(struct inodes *inodes)
{
	const uint8_t *p;
	int rc = sorter_next(inodes->fsc->names, &p);

	inodes->name.id = UINT64_MAX;
	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	inodes->name = (struct name){get_be64(p), get_be64(p + 8), get_be64(p + 16), p[24]};
	return 0;
}

/* Names ------------------------------------------------------------------------------------------
 */

static void name_where(struct inodes *inodes, const struct name *name, char *buf, size_t cap)
{
	char text[DIR_NAME_MAX + 1];
	size_t len;

	fs_check_path(inodes->fsc, name->folder, buf, cap);
	fs_check_name_text(inodes->fsc, name->folder, name->cookie, text, sizeof(text));
	len = strlen(buf);
	snprintf(buf + len, cap - len, "%s%s", len && buf[len - 1] == '/' ? "" : "/", text);
}

static int name_drop(struct inodes *inodes, const struct name *name, enum check_code code,
		     const char *what)
{
	char where[PATH_MAX];
	int rc;

	name_where(inodes, name, where, sizeof(where));
	if (!check_report_at(inodes->fsc->check, code, true, where, "%s (inode %llu)", what,
			     (unsigned long long)name->id))
		return 0;
	rc = fs_check_name_drop(inodes->fsc, name->folder, name->cookie);
	return rc < 0 ? rc : check_mend(inodes->fsc->check);
}

static int name_dangling(struct inodes *inodes, const struct name *name)
{
	int rc = check_lost_add(inodes->fsc->check, name->id);

	return rc < 0 ? rc
		      : name_drop(inodes, name, CHECK_NAME_DANGLING,
				  "leads to an inode that does not exist");
}

static int name_type(struct inodes *inodes, const struct name *name, uint8_t type)
{
	struct dir dir = fs_check_dir(inodes->fsc, name->folder);
	char where[PATH_MAX], text[DIR_NAME_MAX];
	struct dir_entry entry;

	if (dir_at(&dir, name->cookie, text, &entry) < 0 || entry.id != name->id)
		return 0; /* mended in this round already */
	name_where(inodes, name, where, sizeof(where));
	if (!check_report_at(inodes->fsc->check, CHECK_NAME_TYPE, true, where,
			     "the name says file type %u, the inode %u", name->type, type))
		return 0;
	fs_check_name_put(inodes->fsc, name->folder, name->cookie, name->id, type, text,
			  entry.name_len);
	return check_mend(inodes->fsc->check);
}

/* One name of an inode that is there. */
static int name_take(struct inodes *inodes, struct one *one, const struct name *name)
{
	const struct attr *attr = &one->inode.attr;
	bool folder = S_ISDIR(attr->mode), says = name->folder == attr->parent;
	struct name surplus = *name;

	one->names++;
	one->parent_right |= says;
	if (one->names == 1)
		one->kept = *name;
	if (!one->inode.attr_error && name->type != IFTODT(attr->mode)) {
		int rc = name_type(inodes, name, (uint8_t)IFTODT(attr->mode));

		if (rc < 0)
			return rc;
	}
	if (one->names == 1 || !folder || one->inode.attr_error)
		return 0;
	if (says && one->kept.folder != attr->parent) {
		surplus = one->kept;
		one->kept = *name;
	}
	one->names = 1;
	return name_drop(inodes, &surplus, CHECK_FOLDER_NAMES, "a second name of a folder");
}

static int names_of(struct inodes *inodes, uint64_t id, struct one *one)
{
	bool other = check_is_recovered(inodes->fsc->check, id);
	int rc = 0;

	while (rc == 0 && inodes->name.id == id) {
		if (one->there && other)
			rc = name_drop(inodes, &inodes->name, CHECK_NAME_DANGLING,
				       "leads to a file whose record is lost");
		else if (one->there)
			rc = name_take(inodes, one, &inodes->name);
		else if (id != OBJECT_ID_ROOT)
			rc = name_dangling(inodes, &inodes->name);
		if (rc == 0)
			rc = name_next(inodes);
	}
	return rc;
}

/* What hangs on an inode -------------------------------------------------------------------------
 */

static uint32_t flags_of(const struct meta_item *item)
{
	static const struct {
		const char *name;
		uint32_t flag;
	} known[] = {{XATTR_ACL_ACCESS, ATTR_HAS_ACL},
		     {XATTR_ACL_DEFAULT, ATTR_HAS_DACL},
		     {XATTR_CAPS, ATTR_HAS_CAPS}};
	const char *name = (const char *)item->key + KEY_LEN_1;
	size_t len = item->key_len - KEY_LEN_1;

	for (unsigned i = 0; i < 3; i++)
		if (len == strlen(known[i].name) && memcmp(name, known[i].name, len) == 0)
			return ATTR_HAS_XATTR | known[i].flag;
	return ATTR_HAS_XATTR;
}

static int alone(struct inodes *inodes, const struct meta_item *item, enum check_code code,
		 const char *what)
{
	if (!check_report_at(inodes->fsc->check, code, true, "",
			     "%s of inode %llu, which does not "
			     "exist",
			     what, (unsigned long long)get_be64(item->key + 1)))
		return 0;
	check_del(inodes->fsc->check, item->key, item->key_len);
	return check_mend(inodes->fsc->check);
}

static int hung_on(struct inodes *inodes, uint64_t id, struct one *one)
{
	int rc = 0;

	while (rc == 0 && inodes->xattrs.id == id) {
		one->flags |= flags_of(&inodes->xattrs.item);
		if (!one->there)
			rc = alone(inodes, &inodes->xattrs.item, CHECK_XATTR_ALONE,
				   "an extended attribute");
		if (rc == 0)
			rc = walk_next(&inodes->xattrs);
	}
	while (rc == 0 && inodes->links.id == id) {
		one->has_target = true;
		one->target_len = inodes->links.item.len;
		if (!one->there)
			rc = alone(inodes, &inodes->links.item, CHECK_LINK_ALONE,
				   "a symbolic link's target");
		if (rc == 0)
			rc = walk_next(&inodes->links);
	}
	while (rc == 0 && inodes->orphans.id == id) {
		one->orphan = true;
		rc = walk_next(&inodes->orphans);
	}
	return rc;
}

/* The inode itself -------------------------------------------------------------------------------
 */

static bool has_names(struct fs_check *fsc, uint64_t id)
{
	struct dir dir = fs_check_dir(fsc, id);

	return dir_is_empty(&dir) == 0;
}

/* What it was is told by what hangs on it. */
static int attributes_new(struct inodes *inodes, struct one *one)
{
	struct fs_check *fsc = inodes->fsc;
	struct fs_check_inode *inode = &one->inode;
	uint32_t mode = S_IFREG | 0600;

	if (inode->id == OBJECT_ID_ROOT || has_names(fsc, inode->id))
		mode = S_IFDIR | 0700;
	else if (one->has_target)
		mode = S_IFLNK | 0777;
	if (!check_report(fsc->check, CHECK_ATTRIBUTES, true, inode->id,
			  "the attributes of inode %llu cannot be read",
			  (unsigned long long)inode->id))
		return 0;
	fs_check_attr_new(fsc, mode, &inode->attr);
	inode->attr.flags = one->flags;
	inode->attr.special = S_ISLNK(mode) ? one->target_len : 0;
	if (!S_ISDIR(mode) && one->names)
		inode->attr.nlink = (uint32_t)one->names;
	if (one->names) {
		inode->attr.parent = one->kept.folder;
		inode->attr.cookie = one->kept.cookie;
	}
	inode->attr_error = 0;
	fs_check_store(fsc, inode);
	return check_mend(fsc->check);
}

static bool is_type(uint32_t mode)
{
	return S_ISREG(mode) || S_ISDIR(mode) || S_ISLNK(mode) || S_ISCHR(mode) || S_ISBLK(mode) ||
	       S_ISFIFO(mode) || S_ISSOCK(mode);
}

static bool link_check(struct inodes *inodes, struct one *one)
{
	struct fs_check_inode *inode = &one->inode;
	struct check *check = inodes->fsc->check;

	if (S_ISLNK(inode->attr.mode) && !one->has_target) {
		check_report(check, CHECK_LINK_TARGET, false, inode->id,
			     "the symbolic link has no target");
		return false;
	}
	if (!S_ISLNK(inode->attr.mode) || inode->attr.special == one->target_len)
		return false;
	if (!check_report(check, CHECK_LINK_ALONE, true, inode->id,
			  "the symbolic link's target has %zu bytes, its attributes say %llu",
			  one->target_len, (unsigned long long)inode->attr.special))
		return false;
	inode->attr.special = one->target_len;
	return true;
}

/* Everything of the attributes that its names and the rest contradict; one record in the end. */
static int attributes_check(struct inodes *inodes, struct one *one)
{
	struct fs_check_inode *inode = &one->inode;
	struct check *check = inodes->fsc->check;
	struct attr *attr = &inode->attr;
	bool mend = link_check(inodes, one);

	if (one->flags & ~attr->flags) {
		mend = check_report(check, CHECK_FLAGS, true, inode->id,
				    "has extended attributes, and its flags do not say so") ||
		       mend;
		attr->flags |= one->flags;
	}
	if (!S_ISDIR(attr->mode) && attr->nlink != one->names) {
		mend = check_report(check, CHECK_LINKS, true, inode->id,
				    "has %llu names and a link count of %u",
				    (unsigned long long)one->names, attr->nlink) ||
		       mend;
		attr->nlink = (uint32_t)one->names;
	}
	if (inode->id != OBJECT_ID_ROOT && !one->parent_right &&
	    (attr->parent || S_ISDIR(attr->mode))) {
		mend = check_report(check, CHECK_PARENT, true, inode->id,
				    "is said to be in folder %llu, and is in %llu",
				    (unsigned long long)attr->parent,
				    (unsigned long long)one->kept.folder) ||
		       mend;
		attr->parent = one->kept.folder;
		attr->cookie = one->kept.cookie;
	}
	if (!mend)
		return 0;
	fs_check_store(inodes->fsc, inode);
	return check_mend(check);
}

static int folder_add(struct inodes *inodes, const struct one *one)
{
	uint8_t folder[FOLDER_LEN], child[CHILD_LEN];
	uint64_t parent = one->inode.id == OBJECT_ID_ROOT ? OBJECT_ID_ROOT : one->kept.folder;
	int rc;

	put_be64(folder, one->inode.id);
	put_be64(folder + 8, parent);
	put_be32(folder + 16, one->inode.attr.nlink);
	rc = sorter_add(inodes->fsc->folders, folder);
	if (rc < 0 || one->inode.id == OBJECT_ID_ROOT)
		return rc;
	put_be64(child, parent);
	put_be64(child + 8, one->inode.id);
	return sorter_add(inodes->fsc->children, child);
}

static int orphan_named(struct inodes *inodes, const struct one *one)
{
	uint8_t key[KEY_LEN_1];

	if (!check_report(inodes->fsc->check, CHECK_ORPHAN_NAMED, true, one->inode.id,
			  "is to be deleted, and has a name"))
		return 0;
	check_del(inodes->fsc->check, key, key_1(key, KEY_ORPHAN, one->inode.id));
	return check_mend(inodes->fsc->check);
}

static int root_new(struct inodes *inodes, struct one *one, const char *what)
{
	struct fs_check *fsc = inodes->fsc;

	if (!check_report_at(fsc->check, CHECK_ROOT, true, "/", "the root folder %s", what))
		return 0;
	if (!one->there)
		one->inode = (struct fs_check_inode){.id = OBJECT_ID_ROOT};
	fs_check_attr_new(fsc, S_IFDIR | 0755, &one->inode.attr);
	one->inode.attr.parent = OBJECT_ID_ROOT;
	one->inode.attr.flags = one->flags;
	fs_check_store(fsc, &one->inode);
	return check_mend(fsc->check);
}

static int inode_check(struct inodes *inodes, struct one *one)
{
	struct fs_check_inode *inode = &one->inode;
	bool root = inode->id == OBJECT_ID_ROOT;
	int rc = 0;

	if (root && !inode->record.attr_len)
		return 0; /* a pool that has not been mounted yet */
	if (root && !inode->attr_error && !S_ISDIR(inode->attr.mode))
		return root_new(inodes, one, "is no folder");
	if (one->orphan && one->names)
		rc = orphan_named(inodes, one);
	if (rc < 0 || (one->orphan && !one->names))
		return rc;
	if (inode->attr_error || !is_type(inode->attr.mode)) {
		rc = attributes_new(inodes, one);
		if (rc < 0 || inode->attr_error)
			return rc;
		one->parent_right = true;
	}
	if (!one->names && !root) {
		if (!check_report(inodes->fsc->check, CHECK_NAMELESS, true, inode->id,
				  "inode %llu (%llu bytes) has no name",
				  (unsigned long long)inode->id,
				  (unsigned long long)inode->record.size))
			return 0;
		inode->attr.flags |= one->flags;
		return fs_check_adopt(inodes->fsc, inode); /* its links come in the next round */
	}
	rc = attributes_check(inodes, one);
	return rc < 0 || !S_ISDIR(inode->attr.mode) ? rc : folder_add(inodes, one);
}

static uint64_t lowest_id(const struct inodes *inodes)
{
	const uint64_t ids[] = {inodes->objects.id, inodes->xattrs.id, inodes->links.id,
				inodes->orphans.id, inodes->name.id};
	uint64_t low = UINT64_MAX;

	for (unsigned i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
		low = ids[i] < low ? ids[i] : low;
	return low;
}

static int step(struct inodes *inodes, uint64_t id)
{
	struct one one = {.there = false};
	bool readable = true;
	int rc;

	if (inodes->objects.id == id) {
		/* One that cannot be read was told of below; what belongs to it stays with it. */
		readable = fs_check_decode(id, inodes->objects.item.value, inodes->objects.item.len,
					   &one.inode) == 0;
		one.there = true;
	}
	rc = names_of(inodes, id, &one);
	if (rc == 0)
		rc = hung_on(inodes, id, &one);
	if (rc == 0 && one.there && readable)
		rc = inode_check(inodes, &one);
	if (rc == 0 && inodes->objects.id == id)
		rc = walk_next(&inodes->objects);
	return rc;
}

int fs_check_inodes(struct fs_check *fsc)
{
	struct inodes inodes = {.fsc = fsc};
	struct one root = {.there = false};
	uint64_t id;
	int rc = walk_open(&inodes, KEY_OBJECT, &inodes.objects);

	if (rc == 0)
		rc = walk_open(&inodes, KEY_XATTR, &inodes.xattrs);
	if (rc == 0)
		rc = walk_open(&inodes, KEY_SYMLINK, &inodes.links);
	if (rc == 0)
		rc = walk_open(&inodes, KEY_ORPHAN, &inodes.orphans);
	if (rc == 0)
		rc = name_next(&inodes);
	if (rc == 0 && inodes.objects.id != OBJECT_ID_ROOT)
		rc = root_new(&inodes, &root, "is not there");
	while (rc == 0 && (id = lowest_id(&inodes)) != UINT64_MAX)
		rc = step(&inodes, id);
	meta_cursor_close(inodes.objects.cursor);
	meta_cursor_close(inodes.xattrs.cursor);
	meta_cursor_close(inodes.links.cursor);
	meta_cursor_close(inodes.orphans.cursor);
	return rc;
}
