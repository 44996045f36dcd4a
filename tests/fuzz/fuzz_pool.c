// SPDX-License-Identifier: Apache-2.0
/*
 * A whole pool with something of everything in it, changed as the input says, is opened, walked,
 * written to, moved and closed: no crash, no endless loop, whatever the records and files hold.
 *
 * The input's first byte chooses the pool: bit 0 one that was closed in order or one whose daemon
 * was killed. Changes follow, each a kind, then its arguments. Records are changed through the
 * metadata store, so their checksums are right, as if an evil program had written them. The
 * metadata tree's own file is not changed: it is walked in a child process, and has tests of its
 * own.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/control.h"
#include "fs/fs.h"
#include "tests/fuzz/fix_image.h"
#include "tiers/keys.h"
#include "tiers/meta.h"
#include "tiers/object.h"
#include "tiers/pool_impl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum change {
	CHANGE_FILE,   /* file, offset, bytes */
	CHANGE_VALUE,  /* record, offset, bytes */
	CHANGE_LENGTH, /* record, new length */
	NEW_RECORD,    /* length of the key, key, bytes */
	NO_RECORD,     /* record */
	LOGGED,	       /* kind, object, offset, length: a record in the RAM log */
	COPY_VALUE,    /* record, record: the one's value under the other's key */
	CHANGES
};

#define RECORDS_MAX 512u
#define ENTRIES_MAX 64u /* of a folder that are looked at */
#define DEPTH_MAX   4u

struct record {
	uint8_t key[META_KEY_MAX];
	size_t key_len;
	uint8_t *value;
	size_t len;
};

struct store {
	struct image *image;
	struct record records[RECORDS_MAX];
	size_t nrecords;
};

static const char *dir;
static struct pool_config config;
static struct store stores[2]; /* closed, killed */

/* The pool that is changed --------------------------------------------------------------------- */

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void make_config(void)
{
	char text[256], message[256];
	const char *const folders[] = {"ram", "ssd", "hdd"};

	for (size_t i = 0; i < 3; i++) {
		snprintf(text, sizeof(text), "%s/%s", dir, folders[i]);
		must(mkdir(text, 0700) == 0);
	}
	snprintf(text, sizeof(text), "ram:path=%s/ram,size=16M", dir);
	must(config_add_tier(&config, text, message, sizeof(message)) == 0);
	snprintf(text, sizeof(text), "ssd:path=%s/ssd,codec=lz4,segment=4M,frame=32K", dir);
	must(config_add_tier(&config, text, message, sizeof(message)) == 0);
	snprintf(text, sizeof(text), "hdd:path=%s/hdd,codec=zstd:1,segment=4M,frame=64K", dir);
	must(config_add_tier(&config, text, message, sizeof(message)) == 0);
	must(asprintf(&config.meta_path, "%s/meta", dir) > 0);
	must(config_finish(&config, message, sizeof(message)) == 0);
	config.journal_bytes = 1 << 20;
	config.threads = 1;
	config.residency_ns = config.promote_gain = 0;
	for (unsigned t = 1; t < 3; t++) {
		config.tiers[t].size_bytes = 8 << 20;
		config.tiers[t].min_age_ns = 0;
		config.tiers[t].direct = 0;
	}
	/* The same at each run, or no input would do twice what it did once. */
	memcpy(config.uuid, "fuzz a whole poo", 16);
}

static uint64_t make_file(struct fs *fs, uint64_t parent, const char *name, size_t len)
{
	struct fs_cred cred = {.umask = 022};
	struct inode *inode;
	struct stat st;
	char *bytes = malloc(len + 1);

	must(bytes && !fs_create(fs, parent, name, 0644, O_RDWR, &cred, &st, &inode));
	for (size_t i = 0; i < len; i++)
		bytes[i] = (char)(i % 251 * (i / 4096 + 1));
	must(!fs_write(fs, inode, bytes, len, 0, 0));
	fs_file_close(fs, inode, O_RDWR);
	free(bytes);
	return st.st_ino;
}

static void share(struct fs *fs, uint64_t from, uint64_t to)
{
	struct inode *in, *out;
	uint64_t done;

	must(!fs_file_open(fs, from, O_RDONLY, false, &in) &&
	     !fs_file_open(fs, to, O_RDWR, false, &out));
	must(!fs_copy_range(fs, in, 4096, out, 0, 40000, false, &done));
	fs_file_close(fs, in, O_RDONLY);
	fs_file_close(fs, out, O_RDWR);
}

static const uint8_t acl[] = {2, 0, 0,	 0,   1,   0,	6,  0, 255, 255, 255, 255, 2,	0,  4,
			      0, 5, 0,	 0,   0,   4,	0,  4, 0,   255, 255, 255, 255, 16, 0,
			      4, 0, 255, 255, 255, 255, 32, 0, 4,   0,	 255, 255, 255, 255};

static void fill(struct fs *fs, struct pool *pool)
{
	struct fs_cred cred = {.umask = 022};
	uint64_t file, folder, other;
	struct stat st;

	must(!fs_mkdir(fs, 1, "folder", 0755, &cred, &st));
	folder = st.st_ino;
	file = make_file(fs, folder, "large", 300000);
	other = make_file(fs, folder, "small", 100);
	must(!pool_sync(pool));
	share(fs, file, other);
	must(!fs_link(fs, file, 1, "link", &st));
	must(!fs_symlink(fs, 1, "symlink", "folder/large", &cred, &st));
	must(!fs_mknod(fs, 1, "fifo", S_IFIFO | 0644, 0, &cred, &st));
	must(!fs_setxattr(fs, file, "user.name", "value", 5, 0, &cred));
	must(!fs_setxattr(fs, file, "user.terrace.pin", "hdd", 3, 0, &cred));
	must(!fs_setxattr(fs, folder, "user.terrace.codec", "zstd:3", 6, 0, &cred));
	must(!fs_setxattr(fs, folder, "system.posix_acl_default", acl, sizeof(acl), 0, &cred));
	must(!fs_setxattr(fs, file, "system.posix_acl_access", acl, sizeof(acl), 0, &cred));
	must(!pool_sync(pool));
	must(!pool_move(pool, &file, 1, 2, NULL) || true);
	must(!pool_sync(pool));
}

/* Of which nothing is stored yet: it is in the RAM log, and the last step in the journal's tail. */
static void fill_late(struct fs *fs)
{
	struct fs_cred cred = {.umask = 022};
	struct inode *inode;
	struct stat st;

	make_file(fs, 1, "late", 5000);
	must(!fs_create(fs, 1, "orphan", 0644, O_RDWR, &cred, &st, &inode));
	must(!fs_write(fs, inode, "synced", 6, 0, 0) && !fs_fsync(fs, inode));
	must(!fs_unlink(fs, 1, "orphan"));
	/* stays open: the daemon is killed */
}

static struct meta *open_meta(void)
{
	char *tail = pool_ram_dir(&config);
	struct meta_options options = {
		.dir = config.meta_path, .tail_dir = tail, .pool_uuid = config.uuid};
	struct meta *meta = NULL;

	must(tail && (mkdir(tail, 0700) == 0 || errno == EEXIST));
	if (meta_open_lmdb(&meta, &options, NULL))
		meta = NULL;
	free(tail);
	return meta;
}

static void take_records(struct store *store)
{
	struct meta *meta = open_meta();

	must(meta);
	for (unsigned type = 0; type < 256; type++) {
		uint8_t prefix = (uint8_t)type;
		struct meta_cursor *cursor;
		struct meta_item item;

		must(!meta_cursor_open(meta, &prefix, 1, NULL, 0, &cursor));
		while (!meta_cursor_next(cursor, &item)) {
			struct record *record = &store->records[store->nrecords++];

			must(store->nrecords < RECORDS_MAX);
			memcpy(record->key, item.key, item.key_len);
			record->key_len = item.key_len;
			record->len = item.len;
			record->value = malloc(item.len + 1);
			must(record->value);
			memcpy(record->value, item.value, item.len);
		}
		meta_cursor_close(cursor);
	}
	meta_abandon(meta);
}

static struct image *nothing;

static void make_store(struct store *store, bool killed)
{
	struct pool_open_options options = {.no_background = true};
	struct pool *pool;
	struct fs *fs;

	image_put(nothing);
	must(!pool_create(&config));
	must(!pool_open(&config, &options, &pool) && !fs_open(pool, "/mnt", &fs));
	fill(fs, pool);
	if (killed)
		fill_late(fs);
	fs_close(fs);
	if (killed)
		pool_abandon(pool);
	else
		must(!pool_close(pool));
	store->image = image_take(dir);
	take_records(store);
}

static void start(void)
{
	fix_quiet();
	dir = fix_folder_new();
	make_config();
	nothing = image_take(dir);
	make_store(&stores[0], false);
	make_store(&stores[1], true);
}

/* Changes -------------------------------------------------------------------------------------- */

static void change_file(const struct store *store, struct input *input)
{
	uint64_t size, off;
	const char *path =
		image_path(store->image, input_u8(input) % image_files(store->image), &size);
	const uint8_t *bytes;
	size_t len;

	off = input_u16(input);
	bytes = input_bytes(input, input_u8(input), &len);
	if (len && !strstr(path, "metadata.mdb"))
		fix_patch(path, bytes, len, size ? off % size : off);
}

static struct record *a_record(struct store *store, struct input *input)
{
	return &store->records[input_u16(input) % store->nrecords];
}

static void change_value(struct store *store, struct input *input, struct meta_batch *batch)
{
	struct record *record = a_record(store, input);
	size_t off = input_u8(input), len;
	const uint8_t *bytes = input_bytes(input, input_u8(input) % 16, &len);
	uint8_t *value = malloc(record->len + 1);

	must(value);
	memcpy(value, record->value, record->len);
	for (size_t i = 0; record->len && i < len; i++)
		value[(off + i) % record->len] = bytes[i];
	meta_batch_put(batch, record->key, record->key_len, value, record->len);
	free(value);
}

static void change_length(struct store *store, struct input *input, struct meta_batch *batch)
{
	struct record *record = a_record(store, input);
	size_t len = input_u16(input);
	uint8_t *value = calloc(1, len + record->len + 1);

	must(value);
	memcpy(value, record->value, record->len);
	meta_batch_put(batch, record->key, record->key_len, value, len);
	free(value);
}

static void new_record(struct input *input, struct meta_batch *batch)
{
	size_t key_len, len;
	const uint8_t *key = input_bytes(input, 1u + input_u8(input), &key_len);
	const uint8_t *value = input_bytes(input, input_u16(input), &len);

	if (key_len)
		meta_batch_put(batch, key, key_len, value, len);
}

static void copy_value(struct store *store, struct input *input, struct meta_batch *batch)
{
	struct record *from = a_record(store, input), *to = a_record(store, input);

	meta_batch_put(batch, to->key, to->key_len, from->value, from->len);
}

static void logged(struct input *input)
{
	char *ram = pool_ram_dir(&config);
	struct ramlog_options options = {
		.dir = ram, .pool_uuid = config.uuid, .max_bytes = 16u << 20};
	enum ramlog_op op = (enum ramlog_op)(1 + input_u8(input) % 4);
	uint64_t object = input_u8(input), off = input_u64(input), len = input_u64(input);
	struct ramlog_record record;
	struct ramlog *log;
	bool recovered;
	void *data;

	if (op == RAMLOG_WRITE)
		len %= 65536;
	if (ram && !ramlog_open(&log, &options, &recovered)) {
		if (!ramlog_reserve(log, op, object, off, len, 1, &record, &data)) {
			if (op == RAMLOG_WRITE)
				memset(data, 'l', len);
			ramlog_commit(log, &record);
		}
		ramlog_close(log, false);
	}
	free(ram);
}

static void change(struct store *store, struct input *input)
{
	struct meta_batch *batch;
	struct meta *meta;

	must(!meta_batch_new(&batch));
	while (input->left) {
		switch ((enum change)(input_u8(input) % CHANGES)) {
		case CHANGE_FILE:
			change_file(store, input);
			break;
		case CHANGE_VALUE:
			change_value(store, input, batch);
			break;
		case CHANGE_LENGTH:
			change_length(store, input, batch);
			break;
		case NEW_RECORD:
			new_record(input, batch);
			break;
		case NO_RECORD: {
			struct record *record = a_record(store, input);

			meta_batch_del(batch, record->key, record->key_len);
			break;
		}
		case LOGGED:
			logged(input);
			break;
		case COPY_VALUE:
			copy_value(store, input, batch);
			break;
		case CHANGES:
			break;
		}
	}
	meta = meta_batch_empty(batch) ? NULL : open_meta();
	if (meta) {
		(void)meta_apply(meta, batch, NULL);
		/* As the next open finds it: in the tree, or in the tail. */
		if (store == &stores[1])
			meta_abandon(meta);
		else
			(void)meta_close(meta);
	}
	meta_batch_free(batch);
}

/* What users do -------------------------------------------------------------------------------- */

struct walk {
	struct fs *fs;
	unsigned entries, depth;
};

static void read_some(struct fs *fs, uint64_t id, uint64_t size)
{
	const uint64_t offs[] = {0, 30000, size / 2, size > 100 ? size - 100 : 0, size};
	static uint8_t buf[65536];
	struct inode *inode;
	uint64_t at;
	size_t got;

	if (fs_file_open(fs, id, O_RDWR, false, &inode))
		return;
	for (size_t i = 0; i < 5; i++)
		if (!fs_read(fs, inode, buf, sizeof(buf), offs[i], &got))
			assert(got <= sizeof(buf));
	(void)fs_seek(fs, inode, 0, SEEK_HOLE, &at);
	(void)fs_seek(fs, inode, 1, SEEK_DATA, &at);
	(void)fs_write(fs, inode, "written over", 12, 10, 0);
	(void)fs_write(fs, inode, "at the end", 10, 0, FS_WRITE_APPEND);
	(void)fs_fallocate(fs, inode, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 5000, 4000,
			   false);
	(void)fs_fsync(fs, inode);
	fs_file_close(fs, inode, O_RDWR);
}

static void read_xattrs(struct fs *fs, uint64_t id)
{
	static const char *const own[] = {
		"user.terrace.tier",	      "user.terrace.tiers",
		"user.terrace.extents",	      "user.terrace.ratio",
		"user.terrace.heat",	      "user.terrace.why",
		"user.terrace.pin",	      "user.terrace.codec",
		"user.terrace.effective.pin", "user.terrace.effective.tier",
		"system.posix_acl_access",    "system.posix_acl_default"};
	static char list[65536], value[65536];
	size_t len;

	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		(void)fs_getxattr(fs, id, own[i], value, sizeof(value), &len);
	if (fs_listxattr(fs, id, true, list, sizeof(list), &len))
		return;
	for (size_t at = 0; at < len; at += strlen(list + at) + 1) {
		size_t got;

		(void)fs_getxattr(fs, id, list + at, value, sizeof(value), &got);
	}
}

static void look(struct walk *walk, uint64_t parent, const char *name, const struct stat *st);

struct folder_walk {
	struct walk *walk;
	uint64_t id;
};

static int each_entry(void *arg, const char *name, const struct stat *st, uint64_t next)
{
	struct folder_walk *folder = arg;

	(void)next;
	assert(strlen(name) <= 255);
	if (++folder->walk->entries > ENTRIES_MAX)
		return 1;
	if (strcmp(name, ".") && strcmp(name, ".."))
		look(folder->walk, folder->id, name, st);
	return 0;
}

static void look(struct walk *walk, uint64_t parent, const char *name, const struct stat *st)
{
	struct folder_walk folder = {walk, st->st_ino};
	struct fs *fs = walk->fs;
	struct stat now;
	char text[FS_SYMLINK_MAX + 1], path[4096];

	(void)fs_lookup(fs, parent, name, &now);
	if (fs_getattr(fs, st->st_ino, &now))
		return;
	fs_path(fs, st->st_ino, path, sizeof(path));
	read_xattrs(fs, st->st_ino);
	if (S_ISLNK(now.st_mode))
		(void)fs_readlink(fs, st->st_ino, text, sizeof(text));
	if (S_ISREG(now.st_mode))
		read_some(fs, st->st_ino, (uint64_t)now.st_size);
	if (!S_ISDIR(now.st_mode) || walk->depth >= DEPTH_MAX)
		return;
	walk->depth++;
	(void)fs_readdir(fs, st->st_ino, 0, true, each_entry, &folder);
	walk->depth--;
}

static void change_names(struct fs *fs)
{
	struct fs_cred cred = {.umask = 022};
	struct stat st = {.st_mode = 0600, .st_size = 1000};
	struct inode *inode;
	uint64_t id;

	if (!fs_create(fs, 1, "new", 0644, O_RDWR, &cred, &st, &inode)) {
		(void)fs_write(fs, inode, "new", 3, 0, 0);
		fs_file_close(fs, inode, O_RDWR);
	}
	if (!fs_resolve(fs, "/folder/large", &id)) {
		st.st_mode = 0600;
		st.st_size = 1000;
		(void)fs_setattr(fs, id, FS_SET_MODE | FS_SET_SIZE, &st, &st);
	}
	(void)fs_rename(fs, 1, "new", 1, "symlink", 0);
	(void)fs_rename(fs, 1, "folder", 1, "moved", 0);
	(void)fs_unlink(fs, 1, "link");
	(void)fs_unlink(fs, 1, "late");
	(void)fs_rmdir(fs, 1, "moved");
}

static void read_control(struct fs *fs)
{
	static const char *const names[] = {"status", "stats.json", "metrics", "plan",
					    "pins",   "policy",	    "events"};
	static char buf[65536];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct control_file *file;
		struct stat st;
		size_t got;

		if (control_lookup(fs->control, CONTROL_BASE, names[i], &st) ||
		    control_open(fs->control, st.st_ino, O_RDONLY, &file))
			continue;
		(void)control_read(file, buf, sizeof(buf), 0, &got);
		control_close(file);
	}
}

static void use(struct pool *pool)
{
	struct stat root = {.st_ino = 1, .st_mode = S_IFDIR};
	struct walk walk = {0};
	struct move_progress progress = {0};
	struct statvfs space;
	struct fs *fs;
	uint64_t id;

	if (fs_open(pool, "/mnt", &fs))
		return;
	walk.fs = fs;
	look(&walk, 1, ".", &root);
	(void)fs_statfs(fs, &space);
	read_control(fs);
	(void)pool_sync(pool);
	if (!fs_resolve(fs, "/folder/small", &id))
		(void)pool_move(pool, &id, 1, 2, &progress);
	(void)pool_run(pool, &progress);
	change_names(fs);
	(void)pool_sync(pool);
	fs_close(fs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pool_open_options options = {.no_background = true};
	struct input input = {data, size};
	struct store *store;
	struct pool *pool;

	if (!dir)
		start();
	store = &stores[input_u8(&input) & 1];
	image_put(store->image);
	change(store, &input);
	if (pool_open(&config, &options, &pool))
		return 0;
	use(pool);
	(void)pool_close(pool);
	return 0;
}
