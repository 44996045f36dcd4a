// SPDX-License-Identifier: Apache-2.0
/*
 * Opening a filesystem, and everything that only reads: look-ups, attributes, listings, paths.
 *
 * Reads run without a transaction beside changes. They see each record as it is at that moment; an
 * entry whose inode has gone meanwhile is left out of a listing and is ENOENT in a look-up.
 */
#include "fs/fs.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compress/bytes.h"
#include "fs/control.h"
#include "fs/databases.h"
#include "fs/inode.h"
#include "fs/layout.h"
#include "fs/policy.h"
#include "fs/settings.h"
#include "tiers/clock.h"
#include "tiers/keys.h"
#include "tiers/log.h"
#include "tiers/meta.h"
#include "tiers/object.h"
#include "tiers/pool.h"

#define STATFS_BLOCK   4096u
#define INODE_BYTES    1024u /* room that one more small file takes, for df -i */
#define TIGHT_BYTES    (64ull << 20)
#define TIGHT_FRACTION 100u
#define PATH_DEPTH_MAX                                                            \
	2048u /* of one-letter names in 4096 bytes; a rename half way must end it \
	       */

static int make_root(struct fs *fs, struct object *root)
{
	struct attr attr = {.mode = S_IFDIR | 0755,
			    .uid = geteuid(),
			    .gid = getegid(),
			    .nlink = 2,
			    .parent = OBJECT_ID_ROOT};
	struct txn *txn;
	int r;

	attr.atime = attr.mtime = attr.ctime = attr.btime = attr_now();
	txn = txn_begin(fs->pool);
	r = fs_store(txn, root, &attr);
	if (r)
		txn_abort(txn);
	else
		r = txn_commit(txn);
	return r;
}

static int check_root(struct fs *fs)
{
	uint8_t blob[OBJECT_ATTR_MAX];
	struct object *root = NULL;
	struct attr attr;
	size_t len;
	int r;

	r = object_get(fs->pool, OBJECT_ID_ROOT, &root);
	if (r) {
		log_error("the pool has no root folder: %s", strerror(-r));
		return r;
	}
	len = object_attr(root, blob, sizeof(blob));
	r = len ? attr_decode(blob, len, &attr) : make_root(fs, root);
	if (r)
		log_error("the root folder's attributes cannot be %s: %s", len ? "read" : "made",
			  strerror(-r));
	object_put(root);
	return r;
}

static bool hook_any(void *arg)
{
	struct fs *fs = arg;

	return policy_any(fs->policy);
}

static void hook_policy(void *arg, uint64_t object, uint32_t age_s, struct object_policy *out)
{
	struct fs *fs = arg;

	policy_effective(fs->policy, object, age_s, out);
}

static void hook_path(void *arg, uint64_t object, char *buf, size_t cap)
{
	fs_path(arg, object, buf, cap);
}

static void hook_moved(void *arg, uint64_t object)
{
	struct fs *fs = arg;

	pthread_mutex_lock(&fs->changed_lock);
	if (fs->changed)
		fs->changed(fs->changed_arg, object);
	pthread_mutex_unlock(&fs->changed_lock);
}

static void hook_passed(void *arg)
{
	layout_pass(arg);
}

void fs_on_change(struct fs *fs, void (*changed)(void *arg, uint64_t id), void *arg)
{
	pthread_mutex_lock(&fs->changed_lock);
	fs->changed = changed;
	fs->changed_arg = arg;
	pthread_mutex_unlock(&fs->changed_lock);
}

bool fs_settled(struct fs *fs, const struct stat *st)
{
	return !S_ISREG(st->st_mode) || object_settled(fs->pool, st->st_ino);
}

int fs_open(struct pool *pool, const char *mount, struct fs **out)
{
	struct pool_hooks hooks = {.policy = hook_policy,
				   .any = hook_any,
				   .path = hook_path,
				   .moved = hook_moved,
				   .passed = hook_passed};
	struct fs *fs = calloc(1, sizeof(*fs));
	int r = -ENOMEM;

	if (!fs)
		goto out;
	pthread_mutex_init(&fs->changed_lock, NULL);
	fs->pool = pool;
	fs->mount = strdup(mount);
	if (!fs->mount)
		goto out;
	fs->meta = pool_meta(pool);
	fs->seed = get_le64(pool_config(pool)->uuid);
	fs->mask = UINT64_MAX;
	/* Not the coarse clock: a write just before a quick restart must be earlier than this. */
	fs->start_ns = clock_wall_ns();
	r = inode_table_new(&fs->inodes);
	if (!r)
		r = databases_new(&fs->databases);
	if (r)
		goto out;
	r = check_root(fs);
	if (r)
		goto out;
	r = policy_new(fs, &fs->policy);
	if (r)
		goto out;
	r = settings_new(fs, &fs->settings);
	if (r)
		goto out;
	r = control_new(fs, mount, &fs->control);
	if (r)
		goto out;
	hooks.arg = fs;
	pool_hooks_set(pool, &hooks);
	r = control_start(fs->control);
	if (r)
		goto out;
	control_place_resident(fs->control);
	*out = fs;
	fs = NULL;
out:
	fs_close(fs);
	return r;
}

void fs_close(struct fs *fs)
{
	static const struct pool_hooks none;

	if (!fs)
		return;
	fs->closing = true;
	if (fs->inodes)
		inode_cancel_claims(fs->inodes);
	control_free(fs->control);
	pool_hooks_set(fs->pool, &none);
	settings_free(fs->settings);
	policy_free(fs->policy);
	databases_free(fs->databases);
	inode_table_free(fs->inodes);
	pthread_mutex_destroy(&fs->changed_lock);
	free(fs->mount);
	free(fs);
}

int fs_reload(struct fs *fs)
{
	char message[512]; /* it is in the log */

	return settings_reload(fs->settings, message, sizeof(message));
}

struct dir fs_dir(const struct fs *fs, uint64_t id)
{
	return (struct dir){.meta = fs->meta, .seed = fs->seed, .mask = fs->mask, .id = id};
}

int fs_load(struct fs *fs, uint64_t id, struct object **object, struct attr *attr)
{
	uint8_t blob[OBJECT_ATTR_MAX];
	size_t len;
	int r;

	r = object_get(fs->pool, id, object);
	if (r)
		return r;
	len = object_attr(*object, blob, sizeof(blob));
	r = attr_decode(blob, len, attr);
	if (r) {
		log_error("inode %llu: its attributes are damaged (%zu bytes)",
			  (unsigned long long)id, len);
		object_put(*object);
		*object = NULL;
	}
	return r;
}

int fs_store(struct txn *txn, struct object *object, const struct attr *attr)
{
	uint8_t blob[ATTR_LEN];

	attr_encode(attr, blob);
	return object_attr_set(txn, object, blob, sizeof(blob), attr->stamp_ns);
}

int fs_store_times(struct txn *txn, struct object *object, const struct attr *attr)
{
	uint8_t blob[ATTR_LEN];

	attr_encode(attr, blob);
	return object_times_set(txn, object, blob, sizeof(blob), attr->stamp_ns);
}

/*
 * Writes from the kernel's cache are followed by a SETATTR with their time, so only those are
 * folded in that the kernel does not report: of a mount without that cache (inode_written()), those
 * of a daemon that died before the kernel could, and those that went past us.
 */
static bool fold(struct fs *fs, struct object *object, int64_t recovered, struct attr *attr)
{
	struct inode_times times = inode_times(fs->inodes, object_id(object));
	int64_t ns = times.write_ns;
	bool read = times.read_ns && times.read_ns != attr_time_ns(attr->atime);

	if (read)
		attr->atime = attr_time_of_ns(times.read_ns);
	if (recovered > ns && (recovered < fs->start_ns || (fs->past && object_is_plain(object))))
		ns = recovered;
	if (ns <= attr->stamp_ns)
		return read;
	attr->stamp_ns = ns;
	attr->mtime = attr_time_of_ns(ns);
	if (attr_time_ns(attr->ctime) < ns)
		attr->ctime = attr->mtime;
	return true;
}

bool fs_fold_times(struct fs *fs, struct object *object, struct attr *attr)
{
	return fold(fs, object, object_write_time(object), attr);
}

bool fs_stamp_times(struct fs *fs, struct object *object, struct attr *attr)
{
	int64_t reported = object_write_time(object);
	int64_t own = inode_times(fs->inodes, object_id(object)).write_ns;
	int64_t last = reported > own ? reported : own;

	if (last <= attr->stamp_ns)
		return false;
	attr->stamp_ns = last;
	return true;
}

void fs_fill(struct fs *fs, struct object *object, const struct attr *attr, struct stat *out)
{
	struct object_look look;
	struct attr folded;

	if (!S_ISREG(attr->mode)) {
		attr_to_stat(attr, object_id(object), out);
		return;
	}
	folded = *attr;
	object_look(object, &look);
	fold(fs, object, look.write_time, &folded);
	attr_to_stat(&folded, object_id(object), out);
	out->st_size = (off_t)look.size;
	out->st_blocks = (blkcnt_t)((look.stored + 511) / 512);
}

int fs_getattr(struct fs *fs, uint64_t id, struct stat *out)
{
	struct object *object;
	struct attr attr;
	int r;

	r = fs_load(fs, id, &object, &attr);
	if (!r) {
		fs_fill(fs, object, &attr, out);
		object_put(object);
	} else if (r == -ENOENT && inode_last(fs->inodes, id, &attr)) {
		attr_to_stat(&attr, id, out);
		r = 0;
	}
	return r;
}

/* The number behind a name: an entry, ".", "..", or the control folder. */
static int lookup_id(struct fs *fs, uint64_t parent, const char *name, uint64_t *id)
{
	struct dir dir = fs_dir(fs, parent);
	struct dir_name key;
	struct dir_slot slot;
	int r;

	if (!strcmp(name, ".") || !strcmp(name, "..")) {
		struct object *object;
		struct attr attr;

		*id = parent;
		if (!name[1])
			return 0;
		r = fs_load(fs, parent, &object, &attr);
		if (r)
			return r;
		object_put(object);
		*id = attr.parent ? attr.parent : OBJECT_ID_ROOT;
		return 0;
	}
	r = dir_name_init(&key, name);
	if (r)
		return r;
	r = dir_find(&dir, &key, &slot);
	if (r)
		return r;
	*id = slot.id;
	return 0;
}

int fs_lookup(struct fs *fs, uint64_t parent, const char *name, struct stat *out)
{
	uint64_t id;
	int r;

	if (parent == OBJECT_ID_ROOT && !strcmp(name, FS_CONTROL_NAME))
		return control_getattr(fs->control, CONTROL_BASE, out);
	r = lookup_id(fs, parent, name, &id);
	return r ? r : fs_getattr(fs, id, out);
}

int fs_resolve(struct fs *fs, const char *path, uint64_t *id)
{
	char *copy = strdup(path), *rest = copy, *part;
	int r = copy ? 0 : -ENOMEM;

	*id = OBJECT_ID_ROOT;
	while (!r && (part = strsep(&rest, "/"))) {
		if (*part && strcmp(part, ".") != 0)
			r = lookup_id(fs, *id, part, id);
	}
	free(copy);
	return r;
}

int fs_readlink(struct fs *fs, uint64_t id, char *buf, size_t cap)
{
	uint8_t key[9] = {KEY_SYMLINK};
	size_t len;
	int r;

	put_be64(key + 1, id);
	r = meta_get(fs->meta, key, sizeof(key), buf, cap - 1, &len);
	if (r)
		return r == -ERANGE ? -EUCLEAN : r;
	buf[len] = '\0';
	return 0;
}

int fs_statfs(struct fs *fs, struct statvfs *out)
{
	struct pool_space space;

	pool_space(fs->pool, &space);
	memset(out, 0, sizeof(*out));
	out->f_bsize = out->f_frsize = STATFS_BLOCK;
	out->f_blocks = space.total / STATFS_BLOCK;
	out->f_bfree = out->f_bavail = space.free / STATFS_BLOCK;
	out->f_ffree = out->f_favail = space.free / INODE_BYTES;
	out->f_files = space.objects + out->f_ffree;
	out->f_namemax = DIR_NAME_MAX;
	return 0;
}

bool fs_try_again(struct fs *fs, int r, bool frees, unsigned *tries)
{
	return r == -ENOSPC && (*tries)++ < 2 && !pool_make_room(fs->pool, frees);
}

bool fs_is_tight(struct fs *fs)
{
	struct pool_space space;
	uint64_t limit;

	pool_space(fs->pool, &space);
	limit = space.total / TIGHT_FRACTION;
	return space.free < (limit > TIGHT_BYTES ? limit : TIGHT_BYTES);
}

int fs_fsync_all(struct fs *fs)
{
	return pool_sync(fs->pool);
}

int fs_fsync_folder(struct fs *fs)
{
	return pool_sync_meta(fs->pool);
}

struct name_of { /* fs_path(): looking for an inode's name in a folder */
	uint64_t id;
	char *buf;
	size_t len;
};

static int name_matches(void *arg, const struct dir_entry *entry)
{
	struct name_of *of = arg;

	if (entry->id != of->id)
		return 0;
	memcpy(of->buf, entry->name, entry->name_len);
	of->len = entry->name_len;
	return 1;
}

int fs_name(struct fs *fs, uint64_t id, const struct attr *attr, char buf[static DIR_NAME_MAX],
	    size_t *len)
{
	struct name_of of = {.id = id, .buf = buf};
	struct dir dir = fs_dir(fs, attr->parent);
	struct dir_entry entry;

	if (!attr->parent)
		return -ENOENT;
	if (attr->cookie && !dir_at(&dir, attr->cookie, buf, &entry) && entry.id == id) {
		*len = entry.name_len;
		return 0;
	}
	if (dir_walk(&dir, 0, name_matches, &of) != 1)
		return -ENOENT;
	*len = of.len;
	return 0;
}

/* Builds from the end: parents are known. */
void fs_path(struct fs *fs, uint64_t id, char *buf, size_t cap)
{
	char path[4096], name[DIR_NAME_MAX];
	size_t at = sizeof(path) - 1, len;
	uint64_t child = id;
	unsigned depth;

	path[at] = '\0';
	for (depth = 0; child != OBJECT_ID_ROOT && depth < PATH_DEPTH_MAX; depth++) {
		struct object *object;
		struct attr attr;

		if (fs_load(fs, child, &object, &attr))
			break;
		object_put(object);
		if (fs_name(fs, child, &attr, name, &len) || len + 1 > at)
			break;
		at -= len;
		memcpy(path + at, name, len);
		path[--at] = '/';
		child = attr.parent;
	}
	if (child == OBJECT_ID_ROOT)
		snprintf(buf, cap, "%s", path[at] ? path + at : "/");
	else
		snprintf(buf, cap, "object %llu", (unsigned long long)id);
}

/* readdir -------------------------------------------------------------------------------------- */

struct readdir_walk {
	struct fs *fs;
	bool attributes;
	int (*each)(void *arg, const char *name, const struct stat *st, uint64_t next);
	void *arg;
};

static int emit(struct readdir_walk *walk, const char *name, uint64_t id, uint8_t type,
		uint64_t next)
{
	struct stat st;
	int r = walk->attributes ? fs_getattr(walk->fs, id, &st) : -EAGAIN;

	if (r == -ENOENT)
		return 0; /* removed since the cursor saw it */
	if (r) {	  /* not wanted; or damaged: the name at least is shown */
		memset(&st, 0, sizeof(st));
		st.st_ino = id;
		st.st_mode = (mode_t)DTTOIF(type);
	}
	return walk->each(walk->arg, name, &st, next);
}

static int emit_entry(void *arg, const struct dir_entry *entry)
{
	char name[DIR_NAME_MAX + 1];

	memcpy(name, entry->name, entry->name_len);
	name[entry->name_len] = '\0';
	return emit(arg, name, entry->id, entry->type, entry->cookie);
}

int fs_readdir(struct fs *fs, uint64_t id, uint64_t off, bool attributes,
	       int (*each)(void *arg, const char *name, const struct stat *st, uint64_t next),
	       void *arg)
{
	struct readdir_walk walk = {.fs = fs, .attributes = attributes, .each = each, .arg = arg};
	struct dir dir = fs_dir(fs, id);
	int r = 0;

	if (off < DIR_PARENT) {
		struct object *object;
		struct attr attr;

		r = fs_load(fs, id, &object, &attr);
		if (r == -ENOENT)
			return 0; /* a removed folder that somebody holds open: empty */
		if (r)
			return r;
		object_put(object);
		if (off < DIR_SELF)
			r = emit(&walk, ".", id, DT_DIR, DIR_SELF);
		if (!r)
			r = emit(&walk, "..", attr.parent ? attr.parent : OBJECT_ID_ROOT, DT_DIR,
				 DIR_PARENT);
	}
	if (!r)
		r = dir_walk(&dir, off, emit_entry, &walk);
	return r < 0 ? r : 0;
}
