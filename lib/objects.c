// SPDX-License-Identifier: Apache-2.0
/* Single objects: looking, getting, putting, deleting. */
#include <errno.h>
#include <fcntl.h>

#include "lib/handle.h"
#include "lib/objects.h"
#include "tiers/object.h"
#include "tiers/pool.h"

#define PUT_FLAGS ((unsigned)(TERRACE_SYNC | TERRACE_NEW | TERRACE_FOLDERS))
#define WRITE_MAX (1u << 20) /* of one object_write() */

/* Looking. ------------------------------------------------------------------------------------- */

int terrace_info(struct terrace *pool, uint64_t id, struct terrace_info *out)
{
	struct stat st;
	int r = fs_getattr(pool->fs, id, &st);

	if (r)
		return r;
	*out = (struct terrace_info){
		.id = id,
		.size = (uint64_t)st.st_size,
		.stored = (uint64_t)st.st_blocks * 512,
		.mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec,
		.mode = st.st_mode,
		.links = (uint32_t)st.st_nlink,
	};
	return 0;
}

int terrace_find(struct terrace *pool, const char *path, struct terrace_info *out)
{
	uint64_t id;
	int r = path_find(pool, path, &id);

	return r ? r : terrace_info(pool, id, out);
}

/* What is to be read or written must be a file. */
static int check_file(struct terrace *pool, uint64_t id)
{
	struct stat st;
	int r = fs_getattr(pool->fs, id, &st);

	if (r)
		return r;
	return S_ISREG(st.st_mode) ? 0 : S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
}

int terrace_get(struct terrace *pool, uint64_t id, void *buf, size_t len, uint64_t off, size_t *got)
{
	int r = object_fetch(pool->pool, id, buf, len, off, got);

	/* What is no file has no bytes: only then it is asked. */
	return r || *got ? r : check_file(pool, id);
}

int terrace_get_path(struct terrace *pool, const char *path, void *buf, size_t len, uint64_t off,
		     size_t *got)
{
	uint64_t id;
	int r = path_find(pool, path, &id);

	*got = 0;
	return r ? r : terrace_get(pool, id, buf, len, off, got);
}

/* Putting. ------------------------------------------------------------------------------------- */

static int write_all(struct object *object, const uint8_t *buf, size_t len)
{
	uint64_t off = 0;
	int r = 0;

	while (!r && len) {
		size_t n = len < WRITE_MAX ? len : WRITE_MAX;

		r = object_write(object, buf, n, off);
		buf += n;
		off += n;
		len -= n;
	}
	return r;
}

int terrace_put(struct terrace *pool, const char *path, const void *buf, size_t len, unsigned flags,
		uint64_t *id)
{
	struct object *object;
	uint64_t folder;
	const char *name;
	int r;

	if (flags & ~PUT_FLAGS)
		return -EINVAL;
	r = path_folder(pool, path, flags & TERRACE_FOLDERS, &folder, &name);
	if (!r)
		r = fs_nameless(pool->fs, folder, pool->file_mode, &pool->cred, &object);
	if (r)
		return r;
	r = write_all(object, buf, len);
	if (!r)
		r = fs_place(pool->fs, object, folder, name, !(flags & TERRACE_NEW));
	if (r) {
		fs_nameless_drop(pool->fs, object);
		return r;
	}
	if (id)
		*id = object_id(object);
	if (flags & TERRACE_SYNC)
		r = object_sync(object);
	object_put(object);
	return r;
}

static int overwrite(struct terrace *pool, struct inode *inode, uint64_t id, const void *buf,
		     size_t len)
{
	struct stat size = {.st_size = (off_t)len}, after;
	int r = fs_write(pool->fs, inode, buf, len, 0, 0);

	if (!r)
		r = fs_getattr(pool->fs, id, &after);
	if (!r && after.st_size > size.st_size)
		r = fs_setattr(pool->fs, id, FS_SET_SIZE, &size, &after);
	return r;
}

int terrace_put_id(struct terrace *pool, uint64_t id, const void *buf, size_t len, unsigned flags)
{
	struct inode *inode;
	int r;

	if (flags & ~(unsigned)TERRACE_SYNC)
		return -EINVAL;
	r = check_file(pool, id);
	if (!r)
		r = fs_file_open(pool->fs, id, O_WRONLY, false, &inode);
	if (r)
		return r;
	r = overwrite(pool, inode, id, buf, len);
	if (!r && flags & TERRACE_SYNC)
		r = fs_fsync(pool->fs, inode);
	fs_file_close(pool->fs, inode, O_WRONLY);
	return r;
}

/* Deleting. ------------------------------------------------------------------------------------ */

int object_unname(struct terrace *pool, const char *path, uint64_t *id)
{
	struct dir_slot slot;
	struct dir_name key;
	uint64_t folder;
	const char *name;
	struct dir dir;
	int r = path_folder(pool, path, false, &folder, &name);

	if (!r)
		r = dir_name_init(&key, name);
	if (r)
		return r;
	dir = fs_dir(pool->fs, folder);
	r = dir_find(&dir, &key, &slot);
	if (!r)
		r = fs_unlink(pool->fs, folder, name);
	if (r)
		return r;
	*id = slot.id;
	fs_forget(pool->fs, slot.id); /* there is no kernel that will */
	return 0;
}

int object_unname_id(struct terrace *pool, uint64_t id)
{
	char name[DIR_NAME_MAX + 1];
	struct object *object;
	struct attr attr;
	size_t len;
	int r = fs_load(pool->fs, id, &object, &attr);

	if (r)
		return r;
	object_put(object);
	if (!S_ISREG(attr.mode))
		return S_ISDIR(attr.mode) ? -EISDIR : -EINVAL;
	if (attr.nlink != 1)
		return attr.nlink ? -EMLINK : -ENOENT;
	r = fs_name(pool->fs, id, &attr, name, &len);
	if (r) /* one of several went, and which is left is not recorded */
		return r == -ENOENT ? -EMLINK : r;
	name[len] = '\0';
	r = fs_unlink(pool->fs, attr.parent, name);
	if (!r)
		fs_forget(pool->fs, id);
	return r;
}

static int settle(struct terrace *pool, int r, unsigned flags)
{
	return !r && flags & TERRACE_SYNC ? terrace_sync(pool) : r;
}

int terrace_delete(struct terrace *pool, const char *path, unsigned flags)
{
	uint64_t id;

	if (flags & ~(unsigned)TERRACE_SYNC)
		return -EINVAL;
	return settle(pool, object_unname(pool, path, &id), flags);
}

int terrace_delete_id(struct terrace *pool, uint64_t id, unsigned flags)
{
	if (flags & ~(unsigned)TERRACE_SYNC)
		return -EINVAL;
	return settle(pool, object_unname_id(pool, id), flags);
}
