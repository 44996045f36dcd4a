// SPDX-License-Identifier: Apache-2.0
/* Walks along a path without copying it. */
#include <dirent.h>
#include <errno.h>
#include <string.h>

#include "lib/handle.h"
#include "tiers/object.h"

struct step {
	struct dir_name name;
	const char *rest; /* behind it and its slashes */
};

/* The next name; its len is 0 at the end. */
static int step_next(const char *path, struct step *out)
{
	for (;;) {
		path += strspn(path, "/");
		out->name = (struct dir_name){.text = path, .len = strcspn(path, "/")};
		path += out->name.len;
		if (out->name.len != 1 || *out->name.text != '.')
			break;
	}
	out->rest = path + strspn(path, "/");
	if (out->name.len == 2 && !memcmp(out->name.text, "..", 2))
		return -EINVAL;
	return out->name.len > DIR_NAME_MAX ? -ENAMETOOLONG : 0;
}

static int make_folder(struct terrace *pool, uint64_t parent, const struct dir_name *name,
		       struct dir_slot *slot)
{
	struct dir dir = fs_dir(pool->fs, parent);
	char text[DIR_NAME_MAX + 1];
	struct stat st;
	int r;

	memcpy(text, name->text, name->len);
	text[name->len] = '\0';
	r = fs_mkdir(pool->fs, parent, text, pool->folder_mode, &pool->cred, &st);
	if (r == -EEXIST) /* another thread was faster */
		return dir_find(&dir, name, slot);
	slot->id = st.st_ino;
	slot->type = DT_DIR;
	return r;
}

/* One step down, to a folder. */
static int enter(struct terrace *pool, uint64_t *folder, const struct dir_name *name, bool make)
{
	struct dir dir = fs_dir(pool->fs, *folder);
	struct dir_slot slot;
	int r = dir_find(&dir, name, &slot);

	if (r == -ENOENT && make)
		r = make_folder(pool, *folder, name, &slot);
	if (r)
		return r;
	*folder = slot.id;
	return slot.type == DT_DIR ? 0 : slot.type == DT_LNK ? -ELOOP : -ENOTDIR;
}

int path_find(struct terrace *pool, const char *path, uint64_t *id)
{
	uint64_t folder = OBJECT_ID_ROOT;
	struct dir_slot slot;
	struct step step;
	struct dir dir;
	int r = step_next(path, &step);

	*id = OBJECT_ID_ROOT;
	while (!r && step.name.len && *step.rest) {
		r = enter(pool, &folder, &step.name, false);
		if (!r)
			r = step_next(step.rest, &step);
		*id = folder; /* of "a/." */
	}
	if (r || !step.name.len)
		return r;
	dir = fs_dir(pool->fs, folder);
	r = dir_find(&dir, &step.name, &slot);
	if (!r)
		*id = slot.id;
	return r;
}

int path_folder(struct terrace *pool, const char *path, bool make, uint64_t *folder,
		const char **name)
{
	struct step step;
	int r = step_next(path, &step);

	*folder = OBJECT_ID_ROOT;
	while (!r && step.name.len && *step.rest) {
		r = enter(pool, folder, &step.name, make);
		if (!r)
			r = step_next(step.rest, &step);
	}
	if (r)
		return r;
	*name = step.name.text;
	/* "a/b/" is no file's path, and where a name ends its string must. */
	return step.name.len && !step.name.text[step.name.len] ? 0 : -EISDIR;
}
