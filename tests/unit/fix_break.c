// SPDX-License-Identifier: Apache-2.0
/*
 * Breaking is done below the checksums where a bug or a lost write would do it (a record that says
 * something wrong), and above them where a medium would (bytes of a file).
 */
#include "tests/unit/fix_break.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "fs/inode.h"
#include "fs/policy.h"
#include "tiers/extmap.h"
#include "tiers/pool_impl.h"
#include "tiers/tier_label.h"

#define BIG_STEP     65536u
#define BIG_EXTENTS  8u
#define EXTENT_BYTES 4096u
#define LARGE_BYTES  50000u
#define NOBODY	     999999u

/* Content ----------------------------------------------------------------------------------------
 */

/* Bytes that no codec shrinks. */
static void noise(uint8_t *buf, size_t len, uint32_t seed)
{
	for (size_t i = 0; i < len; i++) {
		seed = seed * 1664525u + 1013904223u;
		buf[i] = (uint8_t)(seed >> 24);
	}
}

static uint64_t write_file(struct fix_fs *fix, uint64_t parent, const char *name, const void *bytes,
			   size_t len, uint64_t step, unsigned times)
{
	struct inode *inode;
	struct stat st;

	assert_int_equal(fs_create(fix->fs, parent, name, 0644, O_RDWR, &fix->cred, &st, &inode),
			 0);
	for (unsigned i = 0; i < times; i++)
		assert_int_equal(fs_write(fix->fs, inode, (const uint8_t *)bytes + i * len, len,
					  i * step, 0),
				 0);
	fs_file_close(fix->fs, inode, O_RDWR);
	return st.st_ino;
}

static uint64_t clone_file(struct fix_fs *fix, uint64_t from, uint64_t parent, const char *name,
			   uint64_t len)
{
	struct inode *in, *out;
	struct stat st;
	uint64_t done;

	assert_int_equal(fs_create(fix->fs, parent, name, 0644, O_RDWR, &fix->cred, &st, &out), 0);
	assert_int_equal(fs_file_open(fix->fs, from, O_RDONLY, false, &in), 0);
	assert_int_equal(fs_copy_range(fix->fs, in, 0, out, 0, len, false, &done), 0);
	assert_int_equal(done, len);
	fs_file_close(fix->fs, in, O_RDONLY);
	fs_file_close(fix->fs, out, O_RDWR);
	return st.st_ino;
}

static void make_content(struct fix_break_pool *pool)
{
	static uint8_t bytes[BIG_EXTENTS * EXTENT_BYTES + LARGE_BYTES];
	struct fix_fs *fix = &pool->fix;
	struct stat st;

	noise(bytes, sizeof(bytes), 1);
	pool->small = fix_file(fix, ROOT, "small", "small content");
	pool->dir = fix_folder(fix, ROOT, "dir");
	pool->sub = fix_folder(fix, pool->dir, "sub");
	pool->inner = fix_file(fix, pool->dir, "inner", "inner content");
	pool->leaf = fix_file(fix, pool->sub, "leaf", "leaf content");
	assert_int_equal(fs_link(fix->fs, pool->inner, ROOT, "again", &st), 0);
	assert_int_equal(fs_symlink(fix->fs, ROOT, "link", "small", &fix->cred, &st), 0);
	pool->link = st.st_ino;
	pool->attrs = fix_file(fix, ROOT, "attrs", "with attributes");
	assert_int_equal(
		fs_setxattr(fix->fs, pool->attrs, "user.colour", "cornflower", 10, 0, &fix->cred),
		0);
	pool->big = write_file(fix, ROOT, "big", bytes, EXTENT_BYTES, BIG_STEP, BIG_EXTENTS);
	pool->large = write_file(fix, ROOT, "large", bytes + BIG_EXTENTS * EXTENT_BYTES,
				 LARGE_BYTES, 0, 1);
	pool->pinned = fix_file(fix, ROOT, "pinned", "pinned content");
	assert_int_equal(policy_set(fix->fs->policy, pool->pinned, POLICY_PIN, "hdd", 0), 0);
	assert_int_equal(pool_sync(fix->pool.pool), 0);
	pool->clone = clone_file(fix, pool->large, ROOT, "clone", LARGE_BYTES);
}

static void read_check(struct fix_break_pool *pool, uint64_t parent, const char *name,
		       const uint8_t *want, size_t len, bool loses)
{
	struct fix_fs *fix = &pool->fix;
	uint8_t *got = malloc(len + 1);
	struct inode *inode;
	struct stat st;
	size_t n;
	int rc = fs_lookup(fix->fs, parent, name, &st);

	assert_non_null(got);
	if (rc == 0)
		rc = fs_file_open(fix->fs, st.st_ino, O_RDONLY, false, &inode);
	if (rc < 0) {
		if (!loses)
			fail_msg("%s: %s", name, strerror(-rc));
		free(got);
		return;
	}
	rc = fs_read(fix->fs, inode, got, len + 1, 0, &n);
	fs_file_close(fix->fs, inode, O_RDONLY);
	if (rc < 0 && !loses)
		fail_msg("%s: %s", name, strerror(-rc));
	if (rc == 0) {
		assert_int_equal(n, len);
		if (memcmp(got, want, len) != 0)
			fail_msg("%s: wrong bytes", name);
	}
	free(got);
}

static void check_big(struct fix_break_pool *pool, const uint8_t *bytes, bool loses)
{
	size_t len = (BIG_EXTENTS - 1) * BIG_STEP + EXTENT_BYTES;
	uint8_t *want = calloc(1, len);

	assert_non_null(want);
	for (unsigned i = 0; i < BIG_EXTENTS; i++)
		memcpy(want + i * BIG_STEP, bytes + i * EXTENT_BYTES, EXTENT_BYTES);
	read_check(pool, ROOT, "big", want, len, loses);
	free(want);
}

void fix_break_verify(struct fix_break_pool *pool, bool loses)
{
	static uint8_t bytes[BIG_EXTENTS * EXTENT_BYTES + LARGE_BYTES];
	static const struct {
		const char *folder, *name, *text;
	} files[] = {{"", "small", "small content"},   {"dir", "inner", "inner content"},
		     {"sub", "leaf", "leaf content"},  {"", "again", "inner content"},
		     {"", "attrs", "with attributes"}, {"", "pinned", "pinned content"}};
	struct fix_fs *fix = &pool->fix;
	char text[64];

	for (unsigned i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		read_check(pool,
			   !*files[i].folder		     ? ROOT
			   : !strcmp(files[i].folder, "dir") ? pool->dir
							     : pool->sub,
			   files[i].name, (const uint8_t *)files[i].text, strlen(files[i].text),
			   loses);
	noise(bytes, sizeof(bytes), 1);
	check_big(pool, bytes, loses);
	read_check(pool, ROOT, "large", bytes + BIG_EXTENTS * EXTENT_BYTES, LARGE_BYTES, loses);
	read_check(pool, ROOT, "clone", bytes + BIG_EXTENTS * EXTENT_BYTES, LARGE_BYTES, loses);
	if (loses)
		return;
	assert_string_equal(fix_list(fix, ROOT, false),
			    "again attrs big clone dir large link pinned small");
	assert_string_equal(fix_list(fix, pool->dir, false), "inner sub");
	assert_int_equal(fix_stat(fix, pool->inner).st_nlink, 2);
	assert_int_equal(fix_stat(fix, pool->dir).st_nlink, 3);
	assert_int_equal(fs_readlink(fix->fs, pool->link, text, sizeof(text)), 0);
	assert_string_equal(text, "small");
}

void fix_break_is_large(const uint8_t *bytes, size_t len)
{
	static uint8_t want[BIG_EXTENTS * EXTENT_BYTES + LARGE_BYTES];

	noise(want, sizeof(want), 1);
	assert_int_equal(len, LARGE_BYTES);
	assert_memory_equal(bytes, want + BIG_EXTENTS * EXTENT_BYTES, len);
}

/* The pool ---------------------------------------------------------------------------------------
 */

void fix_break_open(struct fix_break_pool *pool)
{
	fix_pool_open(&pool->fix.pool);
	assert_int_equal(fs_open(pool->fix.pool.pool, "/mnt", &pool->fix.fs), 0);
}

void fix_break_close(struct fix_break_pool *pool)
{
	fs_close(pool->fix.fs);
	fix_pool_close(&pool->fix.pool);
}

void fix_break_new(struct fix_break_pool *pool)
{
	*pool = (struct fix_break_pool){.fix.cred = {.umask = 022}};
	fix_pool_small(&pool->fix.pool);
	assert_int_equal(pool_create(&pool->fix.pool.config), 0);
	fix_break_open(pool);
	make_content(pool);
	fix_break_close(pool);
}

void fix_break_free(struct fix_break_pool *pool)
{
	fix_pool_free(&pool->fix.pool);
}

/* Records ----------------------------------------------------------------------------------------
 */

struct edit { /* the metadata, opened for breaking */
	struct meta *meta;
	struct meta_batch *batch;
	char *ram_dir;
};

static void edit_begin(struct fix_break_pool *pool, struct edit *edit)
{
	const struct pool_config *config = &pool->fix.pool.config;
	struct meta_options options;

	edit->ram_dir = pool_ram_dir(config);
	assert_non_null(edit->ram_dir);
	mkdir(edit->ram_dir, 0700);
	options = (struct meta_options){
		.dir = config->meta_path, .tail_dir = edit->ram_dir, .pool_uuid = config->uuid};
	assert_int_equal(meta_open_lmdb(&edit->meta, &options, NULL), 0);
	assert_int_equal(meta_batch_new(&edit->batch), 0);
}

static void edit_end(struct edit *edit)
{
	uint64_t seq;

	assert_int_equal(meta_apply(edit->meta, edit->batch, &seq), 0);
	meta_batch_free(edit->batch);
	assert_int_equal(meta_close(edit->meta), 0);
	rmdir(edit->ram_dir);
	free(edit->ram_dir);
}

static void put(struct edit *edit, const void *key, size_t key_len, const void *value, size_t len)
{
	assert_int_equal(meta_batch_put(edit->batch, key, key_len, value, len), 0);
}

static void del(struct edit *edit, const void *key, size_t key_len)
{
	assert_int_equal(meta_batch_del(edit->batch, key, key_len), 0);
}

static void put_one(struct fix_break_pool *pool, const void *key, size_t key_len, const void *value,
		    size_t len)
{
	struct edit edit;

	edit_begin(pool, &edit);
	put(&edit, key, key_len, value, len);
	edit_end(&edit);
}

static void del_one(struct fix_break_pool *pool, const void *key, size_t key_len)
{
	struct edit edit;

	edit_begin(pool, &edit);
	del(&edit, key, key_len);
	edit_end(&edit);
}

static void object_get_record(struct edit *edit, uint64_t id, struct object_record *out)
{
	uint8_t key[KEY_LEN_1], value[RECORD_OBJECT_MAX];
	size_t len;

	assert_int_equal(
		meta_get(edit->meta, key, key_1(key, KEY_OBJECT, id), value, sizeof(value), &len),
		0);
	assert_int_equal(object_record_decode(value, len, out), 0);
}

static void object_put_record(struct edit *edit, uint64_t id, const struct object_record *record)
{
	uint8_t key[KEY_LEN_1], value[RECORD_OBJECT_MAX];

	put(edit, key, key_1(key, KEY_OBJECT, id), value, object_record_encode(record, value));
}

static void frame_get_record(struct edit *edit, uint64_t id, struct frame_record *out)
{
	uint8_t key[KEY_LEN_1], value[RECORD_FRAME_LEN];
	size_t len;

	assert_int_equal(
		meta_get(edit->meta, key, key_1(key, KEY_FRAME, id), value, sizeof(value), &len),
		0);
	assert_int_equal(frame_record_decode(value, len, out), 0);
}

static void frame_put_record(struct edit *edit, uint64_t id, const struct frame_record *record)
{
	uint8_t key[KEY_LEN_1], value[RECORD_FRAME_LEN];

	frame_record_encode(record, value);
	put(edit, key, key_1(key, KEY_FRAME, id), value, sizeof(value));
}

static void segment_get_record(struct edit *edit, uint64_t id, struct segment_record *out)
{
	uint8_t key[KEY_LEN_1], value[RECORD_SEGMENT_LEN];
	size_t len;

	assert_int_equal(
		meta_get(edit->meta, key, key_1(key, KEY_SEGMENT, id), value, sizeof(value), &len),
		0);
	assert_int_equal(segment_record_decode(value, len, out), 0);
}

static void segment_put_record(struct edit *edit, uint64_t id, const struct segment_record *record)
{
	uint8_t key[KEY_LEN_1], value[RECORD_SEGMENT_LEN];

	segment_record_encode(record, value);
	put(edit, key, key_1(key, KEY_SEGMENT, id), value, sizeof(value));
}

/* The frame that an object's data begins in. */
static uint64_t frame_of(struct edit *edit, uint64_t object)
{
	struct object_record record;

	object_get_record(edit, object, &record);
	assert_true(record.nextents > 0);
	return record.extents[0].frame;
}

static void attr_change(struct fix_break_pool *pool, uint64_t id,
			void (*change)(struct attr *attr, uint64_t arg), uint64_t arg)
{
	struct object_record record;
	struct attr attr;
	struct edit edit;

	edit_begin(pool, &edit);
	object_get_record(&edit, id, &record);
	assert_int_equal(attr_decode(record.attr, record.attr_len, &attr), 0);
	change(&attr, arg);
	attr_encode(&attr, record.attr);
	object_put_record(&edit, id, &record);
	edit_end(&edit);
}

/* Where a name is, and what its record holds. */
static size_t name_get(struct fix_break_pool *pool, struct edit *edit, uint64_t folder,
		       const char *text, uint64_t *cookie, uint8_t value[300])
{
	struct dir dir = {.meta = edit->meta,
			  .seed = get_le64(pool->fix.pool.config.uuid),
			  .mask = UINT64_MAX,
			  .id = folder};
	uint8_t key[KEY_LEN_2];
	struct dir_name name;
	struct dir_slot slot;
	size_t len;

	assert_int_equal(dir_name_init(&name, text), 0);
	assert_int_equal(dir_find(&dir, &name, &slot), 0);
	*cookie = slot.cookie;
	assert_int_equal(meta_get(edit->meta, key, key_2(key, KEY_DENTRY, folder, slot.cookie),
				  value, 300, &len),
			 0);
	return len;
}

/* Files ------------------------------------------------------------------------------------------
 */

static void flip_at(const char *path, uint64_t off, size_t len)
{
	uint8_t bytes[64];
	int fd = open(path, O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0 && len <= sizeof(bytes));
	assert_int_equal(pread(fd, bytes, len, (off_t)off), len);
	for (size_t i = 0; i < len; i++)
		bytes[i] ^= 0x55;
	assert_int_equal(pwrite(fd, bytes, len, (off_t)off), len);
	close(fd);
}

/* Flips bytes at `skip` behind each place where `what` stands in the metadata's file. */
static void flip_in_tree(struct fix_break_pool *pool, const void *what, size_t len, size_t skip)
{
	char path[4096];
	uint8_t *bytes;
	struct stat st;
	unsigned found = 0;
	int fd;

	snprintf(path, sizeof(path), "%s/metadata.mdb", pool->fix.pool.config.meta_path);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	bytes = malloc((size_t)st.st_size);
	assert_non_null(bytes);
	assert_int_equal(pread(fd, bytes, (size_t)st.st_size, 0), st.st_size);
	for (size_t i = 0; i + len + skip + 4 < (size_t)st.st_size; i++) {
		if (memcmp(bytes + i, what, len) != 0)
			continue;
		bytes[i + len + skip] ^= 0x55;
		found++;
		i += len;
	}
	assert_true(found > 0);
	assert_int_equal(pwrite(fd, bytes, (size_t)st.st_size, 0), st.st_size);
	close(fd);
	free(bytes);
}

/* The segment file of the ssd that holds a frame, and where. */
static void frame_file(struct fix_break_pool *pool, uint64_t object, char *path, size_t cap,
		       struct frame_record *frame)
{
	struct edit edit;

	edit_begin(pool, &edit);
	frame_get_record(&edit, frame_of(&edit, object), frame);
	edit_end(&edit);
	snprintf(path, cap, "%s/segments/%02x/%016llx.seg",
		 pool->fix.pool.config.tiers[frame->tier].paths[0],
		 (unsigned)(frame->segment & 0xff), (unsigned long long)frame->segment);
}

/* Metadata store ---------------------------------------------------------------------------------
 */

static void break_page(struct fix_break_pool *pool)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/metadata.mdb", pool->fix.pool.config.meta_path);
	for (uint64_t page = 2; page < 6; page++)
		flip_at(path, page * 4096 + 8, 8);
}

static void break_value_xattr(struct fix_break_pool *pool)
{
	flip_in_tree(pool, "cornflower", 10, 0);
}

static void break_value(struct fix_break_pool *pool, enum key_type type, uint64_t id)
{
	uint8_t key[KEY_LEN_1];

	flip_in_tree(pool, key, key_1(key, type, id), 12);
}

static void break_value_object(struct fix_break_pool *pool)
{
	break_value(pool, KEY_OBJECT, pool->small);
}

static void break_value_frame(struct fix_break_pool *pool)
{
	struct edit edit;
	uint64_t frame;

	edit_begin(pool, &edit);
	frame = frame_of(&edit, pool->large);
	edit_end(&edit);
	break_value(pool, KEY_FRAME, frame);
}

static void break_value_segment(struct fix_break_pool *pool)
{
	struct frame_record frame;
	char path[4096];

	frame_file(pool, pool->large, path, sizeof(path), &frame);
	break_value(pool, KEY_SEGMENT, frame.segment);
}

static void break_value_counts(struct fix_break_pool *pool)
{
	flip_in_tree(pool, "Pcounts", 7, 12);
}

static void break_journal(struct fix_break_pool *pool)
{
	char path[4096];

	fix_break_open(pool);
	for (unsigned i = 0; i < 4; i++) {
		char name[8];

		snprintf(name, sizeof(name), "j%u", i);
		fix_file(&pool->fix, ROOT, name, "journal");
		assert_int_equal(pool_sync(pool->fix.pool.pool), 0);
	}
	fs_close(pool->fix.fs);
	pool_abandon(pool->fix.pool.pool);
	pool->fix.pool.pool = NULL;
	for (unsigned i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/journal.%u", pool->fix.pool.config.meta_path, i);
		if (access(path, F_OK) == 0)
			flip_at(path, 4096 + 200, 8);
	}
}

static void break_key_type(struct fix_break_pool *pool)
{
	put_one(pool, "zebra", 5, "stripes", 7);
}

static void break_key_len(struct fix_break_pool *pool)
{
	put_one(pool, "I\0\0\0", 4, "short", 5);
}

static void break_counts_missing(struct fix_break_pool *pool)
{
	del_one(pool, "Pcounts", 7);
}

static void counts_change(struct fix_break_pool *pool, void (*change)(struct pool_counts *counts))
{
	uint8_t value[RECORD_COUNTS_LEN];
	struct pool_counts counts;
	struct edit edit;
	size_t len;

	edit_begin(pool, &edit);
	assert_int_equal(meta_get(edit.meta, "Pcounts", 7, value, sizeof(value), &len), 0);
	assert_int_equal(pool_counts_decode(value, len, &counts), 0);
	change(&counts);
	pool_counts_encode(&counts, value);
	put(&edit, "Pcounts", 7, value, sizeof(value));
	edit_end(&edit);
}

static void more_objects(struct pool_counts *counts)
{
	counts->objects += 5;
}

static void low_objects(struct pool_counts *counts)
{
	counts->object_ids = 3;
}

static void low_frames(struct pool_counts *counts)
{
	counts->frame_ids = 1;
}

static void break_count_objects(struct fix_break_pool *pool)
{
	counts_change(pool, more_objects);
}

static void break_limit_objects(struct fix_break_pool *pool)
{
	counts_change(pool, low_objects);
}

static void break_limit_frames(struct fix_break_pool *pool)
{
	counts_change(pool, low_frames);
}

/* Directories ------------------------------------------------------------------------------------
 */

static void ssd_path(struct fix_break_pool *pool, char *path, size_t cap, const char *name)
{
	snprintf(path, cap, "%s%s", pool->fix.pool.config.tiers[1].paths[0], name);
}

static void break_directory(struct fix_break_pool *pool)
{
	char from[4096], to[4096];

	ssd_path(pool, from, sizeof(from), "/segments");
	ssd_path(pool, to, sizeof(to), ".away");
	snprintf(from, sizeof(from), "%s", pool->fix.pool.config.tiers[2].paths[0]);
	assert_int_equal(rename(from, to), 0);
}

static void break_label_missing(struct fix_break_pool *pool)
{
	char path[4096];

	ssd_path(pool, path, sizeof(path), "/" TIER_LABEL_NAME);
	assert_int_equal(unlink(path), 0);
}

static void break_label_contradicted(struct fix_break_pool *pool)
{
	struct segment_header header = {.pool_uuid = "another pool", .tier_id = 1, .id = 0x7799};
	uint8_t bytes[SEGMENT_HEADER_LEN];
	char path[4096];
	int fd;

	break_label_missing(pool);
	segment_header_encode(&header, bytes);
	ssd_path(pool, path, sizeof(path), "/segments/99");
	mkdir(path, 0700);
	ssd_path(pool, path, sizeof(path), "/segments/99/0000000000007799.seg");
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, sizeof(bytes)), sizeof(bytes));
	close(fd);
}

static void break_label_damaged(struct fix_break_pool *pool)
{
	char path[4096];

	ssd_path(pool, path, sizeof(path), "/" TIER_LABEL_NAME);
	flip_at(path, 30, 4);
}

static void break_label_foreign(struct fix_break_pool *pool)
{
	struct tier_label label = {.pool_uuid = "another pool", .tier_id = 1, .nplaces = 1};

	assert_int_equal(tier_label_write(pool->fix.pool.config.tiers[1].paths[0], &label), 0);
}

/* Objects ----------------------------------------------------------------------------------------
 */

static void break_object(struct fix_break_pool *pool)
{
	uint8_t key[KEY_LEN_1];

	put_one(pool, key, key_1(key, KEY_OBJECT, pool->small), "nonsense", 8);
}

static void break_object_large(struct fix_break_pool *pool)
{
	uint8_t key[KEY_LEN_1];

	put_one(pool, key, key_1(key, KEY_OBJECT, pool->large), "nonsense", 8);
}

/* Nobody else has data in their frames. */
static void break_objects_alone(struct fix_break_pool *pool)
{
	uint8_t key[KEY_LEN_1];

	del_one(pool, key, key_1(key, KEY_OBJECT, pool->large));
	del_one(pool, key, key_1(key, KEY_OBJECT, pool->clone));
}

static void break_object_missing(struct fix_break_pool *pool)
{
	uint8_t key[KEY_LEN_1];

	del_one(pool, key, key_1(key, KEY_OBJECT, pool->small));
}

static void break_extent(struct fix_break_pool *pool)
{
	uint8_t key[KEY_LEN_2];

	put_one(pool, key, key_2(key, KEY_EXTENT, pool->big, BIG_STEP + EXTENT_BYTES), "short", 5);
}

static void break_extents_alone(struct fix_break_pool *pool)
{
	uint8_t key[KEY_LEN_1];

	del_one(pool, key, key_1(key, KEY_OBJECT, pool->big));
}

/* Changes the second extent of the file with many, moving its key along. */
static void extent_change(struct fix_break_pool *pool, bool keep,
			  void (*change)(struct extent *extent))
{
	uint8_t key[KEY_LEN_2], value[RECORD_EXTENT_LEN];
	uint64_t end = BIG_STEP + EXTENT_BYTES;
	struct extent extent;
	struct edit edit;
	size_t len;

	edit_begin(pool, &edit);
	key_2(key, KEY_EXTENT, pool->big, end);
	assert_int_equal(meta_get(edit.meta, key, sizeof(key), value, sizeof(value), &len), 0);
	assert_int_equal(extent_decode(end, value, len, &extent), 0);
	if (!keep)
		del(&edit, key, sizeof(key));
	change(&extent);
	extent_encode(&extent, value);
	put(&edit, key, key_2(key, KEY_EXTENT, pool->big, extent.off + extent.len), value,
	    sizeof(value));
	edit_end(&edit);
}

static void shift(struct extent *extent)
{
	extent->off += 100;
}

static void beyond_frame(struct extent *extent)
{
	extent->frame_off = 1u << 20;
}

static void to_nowhere(struct extent *extent)
{
	extent->frame = NOBODY;
}

static void break_overlap(struct fix_break_pool *pool)
{
	extent_change(pool, true, shift);
}

static void break_lost(struct fix_break_pool *pool)
{
	extent_change(pool, false, to_nowhere);
}

static void break_outside(struct fix_break_pool *pool)
{
	extent_change(pool, false, beyond_frame);
}

static void record_change(struct fix_break_pool *pool, uint64_t id,
			  void (*change)(struct object_record *record))
{
	struct object_record record;
	struct edit edit;

	edit_begin(pool, &edit);
	object_get_record(&edit, id, &record);
	change(&record);
	object_put_record(&edit, id, &record);
	edit_end(&edit);
}

static void less_size(struct object_record *record)
{
	record->size = 10;
}

static void more_stored(struct object_record *record)
{
	record->stored += 7;
}

static void no_keys(struct object_record *record)
{
	record->has_keys = false;
}

static void no_attributes(struct object_record *record)
{
	record->attr_len = 0;
}

static void break_size(struct fix_break_pool *pool)
{
	record_change(pool, pool->big, less_size);
}

static void break_stored(struct fix_break_pool *pool)
{
	record_change(pool, pool->large, more_stored);
}

static void break_map_kind(struct fix_break_pool *pool)
{
	record_change(pool, pool->big, no_keys);
}

static void break_orphan(struct fix_break_pool *pool)
{
	uint8_t key[KEY_LEN_1];

	put_one(pool, key, key_1(key, KEY_ORPHAN, NOBODY), "x", 1);
}

static void synced_put(struct edit *edit, uint64_t object, uint64_t number, uint64_t kind,
		       const char *text)
{
	uint8_t key[KEY_LEN_2], value[64];

	put_le64(value, kind);
	put_le64(value + 8, 0);
	memcpy(value + 16, text, strlen(text));
	put(edit, key, key_2(key, KEY_SYNCED, object, number), value, 16 + strlen(text));
}

static void break_synced_alone(struct fix_break_pool *pool)
{
	struct edit edit;

	edit_begin(pool, &edit);
	synced_put(&edit, NOBODY, 0, 1, "bytes");
	edit_end(&edit);
}

static void break_synced(struct fix_break_pool *pool)
{
	struct edit edit;

	edit_begin(pool, &edit);
	synced_put(&edit, pool->small, 0, 9, "bytes");
	edit_end(&edit);
}

static void break_synced_gap(struct fix_break_pool *pool)
{
	struct edit edit;

	edit_begin(pool, &edit);
	synced_put(&edit, pool->small, 4, 1, "small");
	synced_put(&edit, pool->small, 6, 1, "small content");
	synced_put(&edit, pool->small, 7, 1, "small");
	edit_end(&edit);
}

/* Frames -----------------------------------------------------------------------------------------
 */

static void frame_change(struct fix_break_pool *pool, uint64_t object,
			 void (*change)(struct frame_record *record))
{
	struct frame_record record;
	struct edit edit;
	uint64_t frame;

	edit_begin(pool, &edit);
	frame = frame_of(&edit, object);
	frame_get_record(&edit, frame, &record);
	change(&record);
	frame_put_record(&edit, frame, &record);
	edit_end(&edit);
}

static void break_frame(struct fix_break_pool *pool)
{
	uint8_t key[KEY_LEN_1];
	struct edit edit;

	edit_begin(pool, &edit);
	put(&edit, key, key_1(key, KEY_FRAME, frame_of(&edit, pool->large)), "nonsense", 8);
	edit_end(&edit);
}

static void break_frame_missing(struct fix_break_pool *pool)
{
	uint8_t key[KEY_LEN_1];
	struct edit edit;

	edit_begin(pool, &edit);
	del(&edit, key, key_1(key, KEY_FRAME, frame_of(&edit, pool->clone)));
	edit_end(&edit);
}

static void more_live(struct frame_record *record)
{
	record->live += 3;
}

static void not_shared(struct frame_record *record)
{
	record->shared = false;
}

static void future(struct frame_record *record)
{
	record->last_access = UINT32_MAX;
}

static void other_tier(struct frame_record *record)
{
	record->tier = 2;
}

static void break_live(struct fix_break_pool *pool)
{
	frame_change(pool, pool->large, more_live);
}

static void break_shared_flag(struct fix_break_pool *pool)
{
	frame_change(pool, pool->clone, not_shared);
}

static void break_heat(struct fix_break_pool *pool)
{
	frame_change(pool, pool->small, future);
}

static void break_frame_place(struct fix_break_pool *pool)
{
	frame_change(pool, pool->large, other_tier);
}

static void break_unused(struct fix_break_pool *pool)
{
	uint8_t key[KEY_LEN_2], value[8];
	struct segment_record segment;
	struct frame_record record;
	struct edit edit;

	edit_begin(pool, &edit);
	frame_get_record(&edit, frame_of(&edit, pool->large), &record);
	segment_get_record(&edit, record.segment, &segment);
	record.off = (uint32_t)segment.len;
	record.live = 10;
	segment.len += record.stored_len;
	segment.logical += record.live;
	segment.codec[record.codec.id].raw += record.raw_len;
	segment.codec[record.codec.id].stored += record.stored_len;
	segment.codec[record.codec.id].frames++;
	frame_put_record(&edit, 1000, &record);
	segment_put_record(&edit, record.segment, &segment);
	put_le64(value, 1000);
	put(&edit, key, key_2(key, KEY_PLACED, record.segment, record.off), value, sizeof(value));
	edit_end(&edit);
	{ /* the file must be as long */
		char path[4096];
		struct frame_record large;

		frame_file(pool, pool->large, path, sizeof(path), &large);
		assert_int_equal(truncate(path, (off_t)segment.len), 0);
	}
}

static size_t shared_key(struct fix_break_pool *pool, struct edit *edit, uint8_t *key)
{
	return key_3(key, KEY_SHARED, frame_of(edit, pool->clone), pool->clone, 0);
}

static void break_shared(struct fix_break_pool *pool)
{
	uint8_t key[KEY_LEN_3];
	struct edit edit;

	edit_begin(pool, &edit);
	shared_key(pool, &edit, key);
	put(&edit, key, sizeof(key), "odd", 3);
	edit_end(&edit);
}

static void break_user_unknown(struct fix_break_pool *pool)
{
	uint8_t key[KEY_LEN_3];
	struct edit edit;

	edit_begin(pool, &edit);
	shared_key(pool, &edit, key);
	del(&edit, key, sizeof(key));
	edit_end(&edit);
}

static void break_frames_overlap(struct fix_break_pool *pool)
{
	uint8_t key[KEY_LEN_2], value[8];
	struct frame_record first, second;
	struct edit edit;
	uint64_t frame;

	edit_begin(pool, &edit);
	frame = frame_of(&edit, pool->large);
	frame_get_record(&edit, frame, &first);
	frame_get_record(&edit, frame_of(&edit, pool->small), &second);
	del(&edit, key, key_2(key, KEY_PLACED, first.segment, first.off));
	first.off = second.off + 10;
	put_le64(value, frame);
	put(&edit, key, key_2(key, KEY_PLACED, second.segment, first.off), value, sizeof(value));
	frame_put_record(&edit, frame, &first);
	edit_end(&edit);
}

static void break_frame_header(struct fix_break_pool *pool)
{
	struct frame_record frame;
	char path[4096];

	frame_file(pool, pool->large, path, sizeof(path), &frame);
	flip_at(path, frame.off + 30, 4);
}

static void break_frame_data(struct fix_break_pool *pool)
{
	struct frame_record frame;
	char path[4096];

	frame_file(pool, pool->large, path, sizeof(path), &frame);
	flip_at(path, frame.off + frame.stored_len - 20, 4);
}

/* Segments ---------------------------------------------------------------------------------------
 */

static void break_placed_missing(struct fix_break_pool *pool)
{
	uint8_t key[KEY_LEN_2];
	struct frame_record record;
	struct edit edit;

	edit_begin(pool, &edit);
	frame_get_record(&edit, frame_of(&edit, pool->large), &record);
	del(&edit, key, key_2(key, KEY_PLACED, record.segment, record.off));
	edit_end(&edit);
}

static void break_placed(struct fix_break_pool *pool)
{
	uint8_t key[KEY_LEN_2], value[8];
	struct frame_record record;
	struct edit edit;

	edit_begin(pool, &edit);
	frame_get_record(&edit, frame_of(&edit, pool->large), &record);
	put_le64(value, 1234);
	put(&edit, key, key_2(key, KEY_PLACED, record.segment, record.off + 8), value,
	    sizeof(value));
	edit_end(&edit);
}

static void segment_key(struct fix_break_pool *pool, uint8_t key[KEY_LEN_1])
{
	struct frame_record frame;
	char path[4096];

	frame_file(pool, pool->large, path, sizeof(path), &frame);
	key_1(key, KEY_SEGMENT, frame.segment);
}

static void break_segment_missing(struct fix_break_pool *pool)
{
	uint8_t key[KEY_LEN_1];

	segment_key(pool, key);
	del_one(pool, key, sizeof(key));
}

static void break_segment(struct fix_break_pool *pool)
{
	uint8_t key[KEY_LEN_1];

	segment_key(pool, key);
	put_one(pool, key, sizeof(key), "nonsense", 8);
}

static void segment_change(struct fix_break_pool *pool,
			   void (*change)(struct segment_record *record))
{
	struct segment_record record;
	uint8_t key[KEY_LEN_1];
	struct edit edit;

	segment_key(pool, key);
	edit_begin(pool, &edit);
	segment_get_record(&edit, get_be64(key + 1), &record);
	change(&record);
	segment_put_record(&edit, get_be64(key + 1), &record);
	edit_end(&edit);
}

static void more_frames(struct segment_record *record)
{
	record->codec[0].frames += 2;
}

static void less_len(struct segment_record *record)
{
	record->len = 5000;
}

static void segment_elsewhere(struct segment_record *record)
{
	record->tier = 2;
}

static void break_accounts(struct fix_break_pool *pool)
{
	segment_change(pool, more_frames);
}

static void break_segment_len(struct fix_break_pool *pool)
{
	segment_change(pool, less_len);
}

static void break_segment_place(struct fix_break_pool *pool)
{
	segment_change(pool, segment_elsewhere);
}

static void break_file_missing(struct fix_break_pool *pool)
{
	struct frame_record frame;
	char path[4096];

	frame_file(pool, pool->large, path, sizeof(path), &frame);
	assert_int_equal(unlink(path), 0);
}

static void break_file_short(struct fix_break_pool *pool)
{
	struct frame_record frame;
	char path[4096];

	frame_file(pool, pool->large, path, sizeof(path), &frame);
	assert_int_equal(truncate(path, 8000), 0);
}

static void break_file_header(struct fix_break_pool *pool)
{
	struct frame_record frame;
	char path[4096];

	frame_file(pool, pool->large, path, sizeof(path), &frame);
	flip_at(path, 30, 8);
}

static void break_file_stray(struct fix_break_pool *pool)
{
	char path[4096];
	int fd;

	ssd_path(pool, path, sizeof(path), "/segments/99");
	mkdir(path, 0700);
	ssd_path(pool, path, sizeof(path), "/segments/99/0000000000007799.seg");
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "stray", 5), 5);
	close(fd);
}

/* Names ------------------------------------------------------------------------------------------
 */

static void dentry_put(struct edit *edit, uint64_t folder, uint64_t cookie, const void *value,
		       size_t len)
{
	uint8_t key[KEY_LEN_2];

	put(edit, key, key_2(key, KEY_DENTRY, folder, cookie), value, len);
}

static void dentry_del(struct edit *edit, uint64_t folder, uint64_t cookie)
{
	uint8_t key[KEY_LEN_2];

	del(edit, key, key_2(key, KEY_DENTRY, folder, cookie));
}

/* How a name of the root is broken: its value, then where it is. */
static void name_change(struct fix_break_pool *pool, const char *name,
			void (*change)(struct edit *edit, uint64_t cookie, uint8_t *value,
				       size_t len))
{
	uint8_t value[300];
	struct edit edit;
	uint64_t cookie;
	size_t len;

	edit_begin(pool, &edit);
	len = name_get(pool, &edit, ROOT, name, &cookie, value);
	change(&edit, cookie, value, len);
	edit_end(&edit);
}

static void name_cut(struct edit *edit, uint64_t cookie, uint8_t *value, size_t len)
{
	(void)len;
	dentry_put(edit, ROOT, cookie, value, 3);
}

static void name_slash(struct edit *edit, uint64_t cookie, uint8_t *value, size_t len)
{
	value[10] = '/';
	dentry_put(edit, ROOT, cookie, value, len);
}

static void name_to_nothing(struct edit *edit, uint64_t cookie, uint8_t *value, size_t len)
{
	put_le64(value, NOBODY);
	dentry_put(edit, ROOT, (cookie & ~0xffull) + 1, value, len); /* a second one, by hash */
}

static void name_type(struct edit *edit, uint64_t cookie, uint8_t *value, size_t len)
{
	value[8] = DT_FIFO;
	dentry_put(edit, ROOT, cookie, value, len);
}

static void name_moved(struct edit *edit, uint64_t cookie, uint8_t *value, size_t len)
{
	dentry_del(edit, ROOT, cookie);
	dentry_put(edit, ROOT, cookie ^ 0x100, value, len);
}

static void name_gap(struct edit *edit, uint64_t cookie, uint8_t *value, size_t len)
{
	dentry_del(edit, ROOT, cookie);
	dentry_put(edit, ROOT, cookie + 2, value, len);
}

static void name_twice(struct edit *edit, uint64_t cookie, uint8_t *value, size_t len)
{
	dentry_put(edit, ROOT, cookie + 1, value, len);
}

/* A bad name with a good one behind it in its group. */
static void name_before(struct edit *edit, uint64_t cookie, uint8_t *value, size_t len)
{
	dentry_put(edit, ROOT, cookie + 1, value, len);
	value[10] = '/';
	dentry_put(edit, ROOT, cookie, value, len);
}

static void name_gone(struct edit *edit, uint64_t cookie, uint8_t *value, size_t len)
{
	(void)value;
	(void)len;
	dentry_del(edit, ROOT, cookie);
}

static void name_kept(struct edit *edit, uint64_t cookie, uint8_t *value, size_t len)
{
	(void)len;
	memset(value, 0, 9);
	dentry_put(edit, ROOT, cookie + 1, value, 9);
}

static void break_name_cut(struct fix_break_pool *pool)
{
	name_change(pool, "small", name_cut);
}

static void break_name_slash(struct fix_break_pool *pool)
{
	name_change(pool, "small", name_slash);
}

static void break_name_before(struct fix_break_pool *pool)
{
	name_change(pool, "small", name_before);
}

static void break_name_kept(struct fix_break_pool *pool)
{
	name_change(pool, "small", name_kept);
}

/* A name that leads nowhere, where a look-up finds it. */
static void break_dangling(struct fix_break_pool *pool)
{
	struct dir dir = {
		.seed = get_le64(pool->fix.pool.config.uuid), .mask = UINT64_MAX, .id = pool->dir};
	struct dir_name name;
	uint8_t value[32] = {0};
	struct edit edit;

	assert_int_equal(dir_name_init(&name, "ghost"), 0);
	put_le64(value, NOBODY);
	value[8] = DT_REG;
	memcpy(value + 9, "ghost", 5);
	edit_begin(pool, &edit);
	dentry_put(&edit, pool->dir, dir_cookie(&dir, &name), value, 14);
	edit_end(&edit);
}

static void break_dangling_twice(struct fix_break_pool *pool)
{
	name_change(pool, "small", name_to_nothing);
}

static void break_type(struct fix_break_pool *pool)
{
	name_change(pool, "small", name_type);
}

static void break_cookie(struct fix_break_pool *pool)
{
	name_change(pool, "small", name_moved);
}

static void break_gap(struct fix_break_pool *pool)
{
	name_change(pool, "small", name_gap);
}

static void break_twice(struct fix_break_pool *pool)
{
	name_change(pool, "small", name_twice);
}

static void break_nameless(struct fix_break_pool *pool)
{
	name_change(pool, "small", name_gone);
}

static void break_nameless_folder(struct fix_break_pool *pool)
{
	name_change(pool, "dir", name_gone);
}

static void break_folder_missing(struct fix_break_pool *pool)
{
	uint8_t key[KEY_LEN_1];

	del_one(pool, key, key_1(key, KEY_OBJECT, pool->sub));
}

static void break_attributes(struct fix_break_pool *pool)
{
	record_change(pool, pool->large, no_attributes);
}

static void set_links(struct attr *attr, uint64_t arg)
{
	attr->nlink = (uint32_t)arg;
}

static void set_mode(struct attr *attr, uint64_t arg)
{
	attr->mode = (uint32_t)arg;
}

static void set_special(struct attr *attr, uint64_t arg)
{
	attr->special = arg;
}

static void set_flags(struct attr *attr, uint64_t arg)
{
	attr->flags = (uint32_t)arg;
}

static void set_parent(struct attr *attr, uint64_t arg)
{
	attr->parent = arg;
}

static void break_mode(struct fix_break_pool *pool)
{
	attr_change(pool, pool->large, set_mode, 0644);
}

static void break_links(struct fix_break_pool *pool)
{
	attr_change(pool, pool->inner, set_links, 7);
}

static void break_folder_links(struct fix_break_pool *pool)
{
	attr_change(pool, pool->dir, set_links, 2);
}

static void break_link_len(struct fix_break_pool *pool)
{
	attr_change(pool, pool->link, set_special, 99);
}

static void break_flags(struct fix_break_pool *pool)
{
	attr_change(pool, pool->attrs, set_flags, 0);
}

static void break_setting_flag(struct fix_break_pool *pool)
{
	attr_change(pool, pool->pinned, set_flags, 0);
}

static void break_parent(struct fix_break_pool *pool)
{
	attr_change(pool, pool->small, set_parent, pool->sub);
}

static void break_folder_parent(struct fix_break_pool *pool)
{
	attr_change(pool, pool->sub, set_parent, ROOT);
}

static void break_root_type(struct fix_break_pool *pool)
{
	attr_change(pool, ROOT, set_mode, S_IFREG | 0644);
}

static void break_root(struct fix_break_pool *pool)
{
	uint8_t key[KEY_LEN_1];

	del_one(pool, key, key_1(key, KEY_OBJECT, ROOT));
}

static void break_orphan_named(struct fix_break_pool *pool)
{
	uint8_t key[KEY_LEN_1];

	put_one(pool, key, key_1(key, KEY_ORPHAN, pool->small), "", 0);
}

static void folder_name_put(struct fix_break_pool *pool, struct edit *edit, uint64_t folder,
			    uint64_t id, const char *text)
{
	struct dir dir = {
		.seed = get_le64(pool->fix.pool.config.uuid), .mask = UINT64_MAX, .id = folder};
	struct dir_name name;
	uint8_t value[64] = {0};

	assert_int_equal(dir_name_init(&name, text), 0);
	put_le64(value, id);
	value[8] = DT_DIR;
	memcpy(value + 9, text, name.len);
	dentry_put(edit, folder, dir_cookie(&dir, &name), value, 9 + name.len);
}

static void break_folder_names(struct fix_break_pool *pool)
{
	struct edit edit;

	edit_begin(pool, &edit);
	folder_name_put(pool, &edit, ROOT, pool->sub, "second");
	edit_end(&edit);
}

static void break_loop(struct fix_break_pool *pool)
{
	uint8_t value[300];
	struct edit edit;
	uint64_t cookie;

	edit_begin(pool, &edit);
	name_get(pool, &edit, ROOT, "dir", &cookie, value);
	dentry_del(&edit, ROOT, cookie);
	folder_name_put(pool, &edit, pool->sub, pool->dir, "dir");
	edit_end(&edit);
	attr_change(pool, pool->dir, set_parent, pool->sub);
}

static void break_target(struct fix_break_pool *pool)
{
	uint8_t key[KEY_LEN_1];

	del_one(pool, key, key_1(key, KEY_SYMLINK, pool->link));
}

static void break_target_alone(struct fix_break_pool *pool)
{
	uint8_t key[KEY_LEN_1];

	put_one(pool, key, key_1(key, KEY_SYMLINK, NOBODY), "nowhere", 7);
}

static void break_xattr_alone(struct fix_break_pool *pool)
{
	uint8_t key[KEY_LEN_1 + 6];

	key_1(key, KEY_XATTR, NOBODY);
	memcpy(key + KEY_LEN_1, "user.x", 6);
	put_one(pool, key, sizeof(key), "y", 1);
}

static void break_setting(struct fix_break_pool *pool)
{
	uint8_t key[19], value[65] = {1};

	memcpy(key, "Pfs.policy.", 11);
	put_be64(key + 11, NOBODY);
	put_one(pool, key, sizeof(key), value, sizeof(value));
}

static void break_job(struct fix_break_pool *pool)
{
	static const char record[] =
		"\1{\"job\":1,\"verb\":\"run\",\"state\":\"queued\",\"parts\":3}";
	uint8_t key[18] = {0};

	memcpy(key, "Pfs.job.", 8);
	put_be64(key + 8, 1);
	put_one(pool, key, sizeof(key), record, sizeof(record) - 1);
}

#define MENDS	    true, false, false
#define MENDS_LOSES true, true, false
#define LEAVES	    false, true, false
#define DEEP_MENDS  true, false, true
#define DEEP	    false, true, true

const struct fix_break fix_breaks[] = {
	{"pages of the tree", CHECK_TREE, LEAVES, break_page},
	{"a value: an attribute's", CHECK_VALUE, MENDS, break_value_xattr},
	{"a value: a file's record", CHECK_VALUE, MENDS_LOSES, break_value_object},
	{"a value: a frame's record", CHECK_VALUE, MENDS, break_value_frame},
	{"a value: a segment's record", CHECK_VALUE, MENDS, break_value_segment},
	{"a value: the counts", CHECK_VALUE, MENDS, break_value_counts},
	{"the journal", CHECK_JOURNAL, LEAVES, break_journal},
	{"a key of no type", CHECK_KEY, MENDS, break_key_type},
	{"a key of a wrong length", CHECK_KEY, MENDS, break_key_len},
	{"no counts", CHECK_COUNTS, MENDS, break_counts_missing},
	{"the number of objects", CHECK_COUNT_OBJECTS, MENDS, break_count_objects},
	{"the limit of objects", CHECK_LIMITS, MENDS, break_limit_objects},
	{"the limit of frames", CHECK_LIMITS, MENDS, break_limit_frames},
	{"no directory", CHECK_DIRECTORY, LEAVES, break_directory},
	{"no label", CHECK_LABEL_MISSING, MENDS, break_label_missing},
	{"no label, and another pool's segment", CHECK_LABEL_MISSING, LEAVES,
	 break_label_contradicted},
	{"a damaged label", CHECK_LABEL_DAMAGED, MENDS, break_label_damaged},
	{"another pool's label", CHECK_LABEL_FOREIGN, LEAVES, break_label_foreign},
	{"a file's record", CHECK_OBJECT, MENDS_LOSES, break_object},
	{"an extent's record", CHECK_EXTENT, LEAVES, break_extent},
	{"extents without a file", CHECK_EXTENTS_ALONE, MENDS_LOSES, break_extents_alone},
	{"extents that overlap", CHECK_OVERLAP, LEAVES, break_overlap},
	{"a size below the data", CHECK_BEYOND_SIZE, MENDS, break_size},
	{"an extent without a frame", CHECK_LOST, LEAVES, break_lost},
	{"an extent beyond its frame", CHECK_OUTSIDE_FRAME, LEAVES, break_outside},
	{"a file's stored bytes", CHECK_STORED, MENDS, break_stored},
	{"the kind of a file's map", CHECK_MAP_KIND, MENDS, break_map_kind},
	{"an order to delete", CHECK_ORPHAN, MENDS, break_orphan},
	{"a synced write of nobody", CHECK_SYNCED_ALONE, MENDS, break_synced_alone},
	{"a synced write", CHECK_SYNCED, MENDS, break_synced},
	{"a missing synced write", CHECK_SYNCED_GAP, MENDS, break_synced_gap},
	{"a frame's record", CHECK_FRAME, MENDS, break_frame},
	{"no record of a shared frame", CHECK_FRAME, MENDS, break_frame_missing},
	{"a frame's live bytes", CHECK_LIVE, MENDS, break_live},
	{"a frame that nobody uses", CHECK_UNUSED, MENDS, break_unused},
	{"the mark of a shared frame", CHECK_SHARED_FLAG, MENDS, break_shared_flag},
	{"a shared frame's user", CHECK_SHARED, MENDS, break_shared},
	{"an unknown user of a frame", CHECK_USER_UNKNOWN, DEEP_MENDS, break_user_unknown},
	{"frames that overlap", CHECK_FRAMES_OVERLAP, LEAVES, break_frames_overlap},
	{"a frame used in the future", CHECK_HEAT, MENDS, break_heat},
	{"a frame's header", CHECK_FRAME_HEADER, DEEP, break_frame_header},
	{"a frame's data", CHECK_FRAME_DATA, DEEP, break_frame_data},
	{"a lost file's data", CHECK_FOUND, MENDS_LOSES, break_object_large},
	{"a lost file's frames", CHECK_FOUND, MENDS_LOSES, break_objects_alone},
	{"no record of a file", CHECK_NAME_DANGLING, MENDS_LOSES, break_object_missing},
	{"no record of a frame's place", CHECK_PLACED_MISSING, MENDS, break_placed_missing},
	{"a record of a place without a frame", CHECK_PLACED, MENDS, break_placed},
	{"no record of a segment", CHECK_SEGMENT_MISSING, MENDS, break_segment_missing},
	{"a segment's record", CHECK_SEGMENT, MENDS, break_segment},
	{"a segment's accounts", CHECK_ACCOUNTS, MENDS, break_accounts},
	{"a segment's length", CHECK_SEGMENT_LEN, MENDS, break_segment_len},
	{"a frame's tier", CHECK_FRAME_PLACE, MENDS, break_frame_place},
	{"a segment's tier", CHECK_SEGMENT_PLACE, MENDS, break_segment_place},
	{"no segment file", CHECK_FILE_MISSING, LEAVES, break_file_missing},
	{"a short segment file", CHECK_FILE_SHORT, LEAVES, break_file_short},
	{"a segment file's header", CHECK_FILE_HEADER, MENDS, break_file_header},
	{"a segment file of nobody", CHECK_FILE_STRAY, MENDS, break_file_stray},
	{"a name's record", CHECK_NAME, MENDS_LOSES, break_name_cut},
	{"a name with a slash", CHECK_NAME, MENDS_LOSES, break_name_slash},
	{"a bad name before a good one", CHECK_NAME, MENDS, break_name_before},
	{"a place kept for no name", CHECK_NAME, MENDS, break_name_kept},
	{"a name of nothing", CHECK_NAME_DANGLING, MENDS, break_dangling},
	{"a second name of nothing", CHECK_NAME_TWICE, MENDS, break_dangling_twice},
	{"a name's type", CHECK_NAME_TYPE, MENDS, break_type},
	{"a name in the wrong place", CHECK_NAME_COOKIE, MENDS, break_cookie},
	{"a gap before a name", CHECK_NAME_GAP, MENDS, break_gap},
	{"a name twice", CHECK_NAME_TWICE, MENDS, break_twice},
	{"no record of a folder", CHECK_FOLDER_MISSING, MENDS_LOSES, break_folder_missing},
	{"a file's attributes", CHECK_ATTRIBUTES, MENDS, break_attributes},
	{"a file's type", CHECK_ATTRIBUTES, MENDS, break_mode},
	{"a file's links", CHECK_LINKS, MENDS, break_links},
	{"a folder's links", CHECK_LINKS, MENDS, break_folder_links},
	{"a file without a name", CHECK_NAMELESS, MENDS_LOSES, break_nameless},
	{"a folder without a name", CHECK_NAMELESS, MENDS_LOSES, break_nameless_folder},
	{"an order to delete a file", CHECK_ORPHAN_NAMED, MENDS, break_orphan_named},
	{"a folder with two names", CHECK_FOLDER_NAMES, MENDS, break_folder_names},
	{"a circle of folders", CHECK_FOLDER_LOOP, MENDS_LOSES, break_loop},
	{"a link without its target", CHECK_LINK_TARGET, LEAVES, break_target},
	{"a target without its link", CHECK_LINK_ALONE, MENDS, break_target_alone},
	{"a target's length", CHECK_LINK_ALONE, MENDS, break_link_len},
	{"an attribute of nobody", CHECK_XATTR_ALONE, MENDS, break_xattr_alone},
	{"the mark of attributes", CHECK_FLAGS, MENDS, break_flags},
	{"the mark of settings", CHECK_FLAGS, MENDS, break_setting_flag},
	{"the folder of a file", CHECK_PARENT, MENDS, break_parent},
	{"the folder of a folder", CHECK_PARENT, MENDS, break_folder_parent},
	{"no root", CHECK_ROOT, MENDS, break_root},
	{"a root that is a file", CHECK_ROOT, MENDS, break_root_type},
	{"settings of nobody", CHECK_SETTINGS, MENDS, break_setting},
	{"a job's request", CHECK_JOB, MENDS, break_job},
};
const unsigned fix_breaks_count = sizeof(fix_breaks) / sizeof(fix_breaks[0]);
