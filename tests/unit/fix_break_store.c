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
#include "tiers/meta_copy.h"
#include "tiers/pool_impl.h"
#include "tiers/tier_label.h"

/* Metadata store ---------------------------------------------------------------------------------
 */

void break_page(struct fix_break_pool *pool)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/metadata.mdb", pool->fix.pool.config.meta_path);
	for (uint64_t page = 2; page < 6; page++)
		flip_at(path, page * 4096 + 8, 8);
}

void break_value_xattr(struct fix_break_pool *pool)
{
	flip_in_tree(pool, "cornflower", 10, 0);
}

static void break_value(struct fix_break_pool *pool, enum key_type type, uint64_t id)
{
	uint8_t key[KEY_LEN_1];

	flip_in_tree(pool, key, key_1(key, type, id), 12);
}

void break_value_object(struct fix_break_pool *pool)
{
	break_value(pool, KEY_OBJECT, pool->small);
}

void break_value_frame(struct fix_break_pool *pool)
{
	struct edit edit;
	uint64_t frame;

	edit_begin(pool, &edit);
	frame = frame_of(&edit, pool->large);
	edit_end(&edit);
	break_value(pool, KEY_FRAME, frame);
}

void break_value_segment(struct fix_break_pool *pool)
{
	struct frame_record frame;
	char path[4096];

	frame_file(pool, pool->large, path, sizeof(path), &frame);
	break_value(pool, KEY_SEGMENT, frame.segment);
}

void break_value_counts(struct fix_break_pool *pool)
{
	flip_in_tree(pool, "Pcounts", 7, 12);
}

void break_journal(struct fix_break_pool *pool)
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

/* Left by a daemon that died. */
void break_ram_log(struct fix_break_pool *pool)
{
	char command[4096];

	fix_break_open(pool);
	fix_file(&pool->fix, ROOT, "in-ram", "in the log");
	fs_close(pool->fix.fs);
	pool_abandon(pool->fix.pool.pool);
	pool->fix.pool.pool = NULL;
	snprintf(command, sizeof(command), "truncate -s 0 %s/terrace-*/log.head",
		 pool->fix.pool.config.tiers[0].paths[0]);
	assert_int_equal(system(command), 0);
}

static void copy_then(struct fix_break_pool *pool, const char *format)
{
	const char *dir = pool->fix.pool.config.tiers[2].paths[0];
	struct copy_info info;
	struct copy_job job = {.pool_uuid = pool->fix.pool.config.uuid,
			       .generation = 1,
			       .keep = 2,
			       .dirs = &dir,
			       .ndirs = 1};
	char command[4096];
	size_t written;

	fix_break_open(pool);
	job.meta = pool_meta(pool->fix.pool.pool);
	assert_int_equal(copy_write(&job, &info, &written), 0);
	fix_break_close(pool);
	snprintf(command, sizeof(command), format, dir);
	assert_int_equal(system(command), 0);
}

void break_copy(struct fix_break_pool *pool)
{
	copy_then(pool, "printf damaged | dd of=%s/metadata/copy.0000000000000001 seek=200 bs=1 "
			"conv=notrunc status=none");
}

void break_copy_cut(struct fix_break_pool *pool)
{
	copy_then(pool, "truncate -s 0 %s/metadata/copy.0000000000000001");
}

void break_key_type(struct fix_break_pool *pool)
{
	edit_put_one(pool, "zebra", 5, "stripes", 7);
}

void break_key_len(struct fix_break_pool *pool)
{
	edit_put_one(pool, "I\0\0\0", 4, "short", 5);
}

void break_counts_missing(struct fix_break_pool *pool)
{
	edit_del_one(pool, "Pcounts", 7);
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
	edit_put(&edit, "Pcounts", 7, value, sizeof(value));
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

void break_count_objects(struct fix_break_pool *pool)
{
	counts_change(pool, more_objects);
}

void break_limit_objects(struct fix_break_pool *pool)
{
	counts_change(pool, low_objects);
}

void break_limit_frames(struct fix_break_pool *pool)
{
	counts_change(pool, low_frames);
}

/* Directories ------------------------------------------------------------------------------------
 */

void ssd_path(struct fix_break_pool *pool, char *path, size_t cap, const char *name)
{
	snprintf(path, cap, "%s%s", pool->fix.pool.config.tiers[1].paths[0], name);
}

void break_directory(struct fix_break_pool *pool)
{
	char from[4096], to[4096];

	ssd_path(pool, from, sizeof(from), "/segments");
	ssd_path(pool, to, sizeof(to), ".away");
	snprintf(from, sizeof(from), "%s", pool->fix.pool.config.tiers[2].paths[0]);
	assert_int_equal(rename(from, to), 0);
}

void break_label_missing(struct fix_break_pool *pool)
{
	char path[4096];

	ssd_path(pool, path, sizeof(path), "/" TIER_LABEL_NAME);
	assert_int_equal(unlink(path), 0);
}

void break_label_contradicted(struct fix_break_pool *pool)
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

void break_label_damaged(struct fix_break_pool *pool)
{
	char path[4096];

	ssd_path(pool, path, sizeof(path), "/" TIER_LABEL_NAME);
	flip_at(path, 30, 4);
}

void break_label_foreign(struct fix_break_pool *pool)
{
	struct tier_label label = {.pool_uuid = "another pool", .tier_id = 1, .nplaces = 1};

	assert_int_equal(tier_label_write(pool->fix.pool.config.tiers[1].paths[0], &label), 0);
}

/* Segments ---------------------------------------------------------------------------------------
 */

void break_placed_missing(struct fix_break_pool *pool)
{
	uint8_t key[KEY_LEN_2];
	struct frame_record record;
	struct edit edit;

	edit_begin(pool, &edit);
	frame_get_record(&edit, frame_of(&edit, pool->large), &record);
	edit_del(&edit, key, key_2(key, KEY_PLACED, record.segment, record.off));
	edit_end(&edit);
}

void break_placed(struct fix_break_pool *pool)
{
	uint8_t key[KEY_LEN_2], value[8];
	struct frame_record record;
	struct edit edit;

	edit_begin(pool, &edit);
	frame_get_record(&edit, frame_of(&edit, pool->large), &record);
	put_le64(value, 1234);
	edit_put(&edit, key, key_2(key, KEY_PLACED, record.segment, record.off + 8), value,
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

void break_segment_missing(struct fix_break_pool *pool)
{
	uint8_t key[KEY_LEN_1];

	segment_key(pool, key);
	edit_del_one(pool, key, sizeof(key));
}

void break_segment(struct fix_break_pool *pool)
{
	uint8_t key[KEY_LEN_1];

	segment_key(pool, key);
	edit_put_one(pool, key, sizeof(key), "nonsense", 8);
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

void break_accounts(struct fix_break_pool *pool)
{
	segment_change(pool, more_frames);
}

void break_segment_len(struct fix_break_pool *pool)
{
	segment_change(pool, less_len);
}

void break_segment_place(struct fix_break_pool *pool)
{
	segment_change(pool, segment_elsewhere);
}

void break_file_missing(struct fix_break_pool *pool)
{
	struct frame_record frame;
	char path[4096];

	frame_file(pool, pool->large, path, sizeof(path), &frame);
	assert_int_equal(unlink(path), 0);
}

void break_file_short(struct fix_break_pool *pool)
{
	struct frame_record frame;
	char path[4096];

	frame_file(pool, pool->large, path, sizeof(path), &frame);
	assert_int_equal(truncate(path, 8000), 0);
}

void break_file_header(struct fix_break_pool *pool)
{
	struct frame_record frame;
	char path[4096];

	frame_file(pool, pool->large, path, sizeof(path), &frame);
	flip_at(path, 30, 8);
}

void break_file_stray(struct fix_break_pool *pool)
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

static void plain_name(struct fix_break_pool *pool, char *path, size_t cap, uint64_t id,
		       unsigned generation)
{
	char name[64];

	snprintf(name, sizeof(name), "/plain/%016llx.%08x", (unsigned long long)id, generation);
	ssd_path(pool, path, cap, name);
}

static void plain_make(struct fix_break_pool *pool, uint64_t id, unsigned generation)
{
	char path[4096];
	int fd;

	plain_name(pool, path, sizeof(path), id, generation);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "stray", 5), 5);
	close(fd);
}

void break_plain_missing(struct fix_break_pool *pool)
{
	char path[4096];

	plain_name(pool, path, sizeof(path), pool->raw, 1);
	assert_int_equal(unlink(path), 0);
}

void break_plain_stray(struct fix_break_pool *pool)
{
	plain_make(pool, pool->raw + 1000, 1);
}

void break_plain_former(struct fix_break_pool *pool)
{
	plain_make(pool, pool->raw, 7);
}
