// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/fix_break_impl.h"

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
#include "tiers/segment_file.h"
#include "tiers/tier_label.h"

/* Records ----------------------------------------------------------------------------------------
 */

void edit_begin(struct fix_break_pool *pool, struct edit *edit)
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

void edit_end(struct edit *edit)
{
	uint64_t seq;

	assert_int_equal(meta_apply(edit->meta, edit->batch, &seq), 0);
	meta_batch_free(edit->batch);
	assert_int_equal(meta_close(edit->meta), 0);
	rmdir(edit->ram_dir);
	free(edit->ram_dir);
}

void edit_put(struct edit *edit, const void *key, size_t key_len, const void *value, size_t len)
{
	assert_int_equal(meta_batch_put(edit->batch, key, key_len, value, len), 0);
}

void edit_del(struct edit *edit, const void *key, size_t key_len)
{
	assert_int_equal(meta_batch_del(edit->batch, key, key_len), 0);
}

void edit_put_one(struct fix_break_pool *pool, const void *key, size_t key_len, const void *value,
		  size_t len)
{
	struct edit edit;

	edit_begin(pool, &edit);
	edit_put(&edit, key, key_len, value, len);
	edit_end(&edit);
}

void edit_del_one(struct fix_break_pool *pool, const void *key, size_t key_len)
{
	struct edit edit;

	edit_begin(pool, &edit);
	edit_del(&edit, key, key_len);
	edit_end(&edit);
}

void object_get_record(struct edit *edit, uint64_t id, struct object_record *out)
{
	uint8_t key[KEY_LEN_1], value[RECORD_OBJECT_MAX];
	size_t len;

	assert_int_equal(
		meta_get(edit->meta, key, key_1(key, KEY_OBJECT, id), value, sizeof(value), &len),
		0);
	assert_int_equal(object_record_decode(value, len, out), 0);
}

void object_put_record(struct edit *edit, uint64_t id, const struct object_record *record)
{
	uint8_t key[KEY_LEN_1], value[RECORD_OBJECT_MAX];

	edit_put(edit, key, key_1(key, KEY_OBJECT, id), value, object_record_encode(record, value));
}

void frame_get_record(struct edit *edit, uint64_t id, struct frame_record *out)
{
	uint8_t key[KEY_LEN_1], value[RECORD_FRAME_LEN];
	size_t len;

	assert_int_equal(
		meta_get(edit->meta, key, key_1(key, KEY_FRAME, id), value, sizeof(value), &len),
		0);
	assert_int_equal(frame_record_decode(value, len, out), 0);
}

void frame_put_record(struct edit *edit, uint64_t id, const struct frame_record *record)
{
	uint8_t key[KEY_LEN_1], value[RECORD_FRAME_LEN];

	frame_record_encode(record, value);
	edit_put(edit, key, key_1(key, KEY_FRAME, id), value, sizeof(value));
}

void segment_get_record(struct edit *edit, uint64_t id, struct segment_record *out)
{
	uint8_t key[KEY_LEN_1], value[RECORD_SEGMENT_MAX];
	size_t len;

	assert_int_equal(
		meta_get(edit->meta, key, key_1(key, KEY_SEGMENT, id), value, sizeof(value), &len),
		0);
	assert_int_equal(segment_record_decode(value, len, out), 0);
}

void segment_put_record(struct edit *edit, uint64_t id, const struct segment_record *record)
{
	uint8_t key[KEY_LEN_1], value[RECORD_SEGMENT_MAX];

	edit_put(edit, key, key_1(key, KEY_SEGMENT, id), value,
		 segment_record_encode(record, value));
}

/* The frame that an object's data begins in. */
uint64_t frame_of(struct edit *edit, uint64_t object)
{
	struct object_record record;

	object_get_record(edit, object, &record);
	assert_true(record.nextents > 0);
	return record.extents[0].frame;
}

void attr_change(struct fix_break_pool *pool, uint64_t id,
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
size_t name_get(struct fix_break_pool *pool, struct edit *edit, uint64_t folder, const char *text,
		uint64_t *cookie, uint8_t value[300])
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

void flip_at(const char *path, uint64_t off, size_t len)
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
void flip_in_tree(struct fix_break_pool *pool, const void *what, size_t len, size_t skip)
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
void frame_file(struct fix_break_pool *pool, uint64_t object, char *path, size_t cap,
		struct frame_record *frame)
{
	struct edit edit;

	edit_begin(pool, &edit);
	frame_get_record(&edit, frame_of(&edit, object), frame);
	edit_end(&edit);
	assert_int_equal(segment_file_path(path, cap,
					   pool->fix.pool.config.tiers[frame->tier].paths[0],
					   frame->segment),
			 0);
}
