// SPDX-License-Identifier: Apache-2.0
/*
 * Breaking is done below the checksums where a bug or a lost write would do it (a record that says
 * something wrong), and above them where a medium would (bytes of a file).
 */
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
#include "fs/layout.h"
#include "fs/policy.h"
#include "tiers/extmap.h"
#include "tiers/pool_impl.h"
#include "tiers/tier_label.h"

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
	pool->raw = fix_file(fix, ROOT, "raw", "plain content");
	assert_int_equal(layout_set(fix->fs, pool->raw, "plain", 0), 0);
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
		     {"", "attrs", "with attributes"}, {"", "pinned", "pinned content"},
		     {"", "raw", "plain content"}};
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
			    "again attrs big clone dir large link pinned raw small");
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
	{"the RAM log", CHECK_RAM_LOG, LEAVES, break_ram_log},
	{"a copy of the metadata", CHECK_COPY, DEEP, break_copy},
	{"a copy of the metadata, cut", CHECK_COPY, DEEP, break_copy_cut},
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
	{"other bytes of the right frame", CHECK_OTHER_BYTES, DEEP, break_other_bytes},
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
	{"no plain file", CHECK_PLAIN_MISSING, LEAVES, break_plain_missing},
	{"a plain file of nobody", CHECK_PLAIN_STRAY, MENDS, break_plain_stray},
	{"a plain file of a former life", CHECK_PLAIN_STRAY, MENDS, break_plain_former},
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
