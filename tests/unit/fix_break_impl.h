/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the breaking tool share: opening a closed pool's metadata, changing records,
 * and the functions of its table. Not for tests. */
#ifndef TERRACE_TESTS_FIX_BREAK_IMPL_H
#define TERRACE_TESTS_FIX_BREAK_IMPL_H

#include "fs/attr.h"
#include "tests/unit/fix_break.h"
#include "tiers/records.h"

#define BIG_STEP     65536u
#define BIG_EXTENTS  8u
#define EXTENT_BYTES 4096u
#define LARGE_BYTES  50000u
#define NOBODY	     999999u

struct meta;
struct meta_batch;

struct edit { /* the metadata, opened for breaking */
	struct meta *meta;
	struct meta_batch *batch;
	char *ram_dir;
};

/* fix_break_edit.c */
void edit_begin(struct fix_break_pool *pool, struct edit *edit);
void edit_end(struct edit *edit);
void edit_put(struct edit *edit, const void *key, size_t key_len, const void *value, size_t len);
void edit_del(struct edit *edit, const void *key, size_t key_len);
void edit_put_one(struct fix_break_pool *pool, const void *key, size_t key_len, const void *value,
		  size_t len);
void edit_del_one(struct fix_break_pool *pool, const void *key, size_t key_len);
void object_get_record(struct edit *edit, uint64_t id, struct object_record *out);
void object_put_record(struct edit *edit, uint64_t id, const struct object_record *record);
void frame_get_record(struct edit *edit, uint64_t id, struct frame_record *out);
void frame_put_record(struct edit *edit, uint64_t id, const struct frame_record *record);
void segment_get_record(struct edit *edit, uint64_t id, struct segment_record *out);
void segment_put_record(struct edit *edit, uint64_t id, const struct segment_record *record);
uint64_t frame_of(struct edit *edit, uint64_t object);
void attr_change(struct fix_break_pool *pool, uint64_t id,
		 void (*change)(struct attr *attr, uint64_t arg), uint64_t arg);
size_t name_get(struct fix_break_pool *pool, struct edit *edit, uint64_t folder, const char *text,
		uint64_t *cookie, uint8_t value[300]);
void flip_at(const char *path, uint64_t off, size_t len);
void flip_in_tree(struct fix_break_pool *pool, const void *what, size_t len, size_t skip);
void frame_file(struct fix_break_pool *pool, uint64_t object, char *path, size_t cap,
		struct frame_record *frame);

/* Each breaks the pool in one way. */
void break_page(struct fix_break_pool *pool);
void break_value_xattr(struct fix_break_pool *pool);
void break_value_object(struct fix_break_pool *pool);
void break_value_frame(struct fix_break_pool *pool);
void break_value_segment(struct fix_break_pool *pool);
void break_value_counts(struct fix_break_pool *pool);
void break_journal(struct fix_break_pool *pool);
void break_ram_log(struct fix_break_pool *pool);
void break_copy(struct fix_break_pool *pool);
void break_copy_cut(struct fix_break_pool *pool);
void break_key_type(struct fix_break_pool *pool);
void break_key_len(struct fix_break_pool *pool);
void break_counts_missing(struct fix_break_pool *pool);
void break_count_objects(struct fix_break_pool *pool);
void break_limit_objects(struct fix_break_pool *pool);
void break_limit_frames(struct fix_break_pool *pool);
void ssd_path(struct fix_break_pool *pool, char *path, size_t cap, const char *name);
void break_directory(struct fix_break_pool *pool);
void break_label_missing(struct fix_break_pool *pool);
void break_label_contradicted(struct fix_break_pool *pool);
void break_label_damaged(struct fix_break_pool *pool);
void break_label_foreign(struct fix_break_pool *pool);
void break_placed_missing(struct fix_break_pool *pool);
void break_placed(struct fix_break_pool *pool);
void break_segment_missing(struct fix_break_pool *pool);
void break_segment(struct fix_break_pool *pool);
void break_accounts(struct fix_break_pool *pool);
void break_segment_len(struct fix_break_pool *pool);
void break_segment_place(struct fix_break_pool *pool);
void break_file_missing(struct fix_break_pool *pool);
void break_file_short(struct fix_break_pool *pool);
void break_file_header(struct fix_break_pool *pool);
void break_file_stray(struct fix_break_pool *pool);
void break_plain_missing(struct fix_break_pool *pool);
void break_plain_stray(struct fix_break_pool *pool);
void break_plain_former(struct fix_break_pool *pool);
void break_object(struct fix_break_pool *pool);
void break_object_large(struct fix_break_pool *pool);
void break_objects_alone(struct fix_break_pool *pool);
void break_object_missing(struct fix_break_pool *pool);
void break_extent(struct fix_break_pool *pool);
void break_extents_alone(struct fix_break_pool *pool);
void break_overlap(struct fix_break_pool *pool);
void break_lost(struct fix_break_pool *pool);
void break_outside(struct fix_break_pool *pool);
void break_size(struct fix_break_pool *pool);
void break_stored(struct fix_break_pool *pool);
void break_map_kind(struct fix_break_pool *pool);
void break_orphan(struct fix_break_pool *pool);
void break_synced_alone(struct fix_break_pool *pool);
void break_synced(struct fix_break_pool *pool);
void break_synced_gap(struct fix_break_pool *pool);
void break_attributes(struct fix_break_pool *pool);
void break_frame(struct fix_break_pool *pool);
void break_frame_missing(struct fix_break_pool *pool);
void break_live(struct fix_break_pool *pool);
void break_shared_flag(struct fix_break_pool *pool);
void break_heat(struct fix_break_pool *pool);
void break_frame_place(struct fix_break_pool *pool);
void break_unused(struct fix_break_pool *pool);
void break_shared(struct fix_break_pool *pool);
void break_other_bytes(struct fix_break_pool *pool);
void break_user_unknown(struct fix_break_pool *pool);
void break_frames_overlap(struct fix_break_pool *pool);
void break_frame_header(struct fix_break_pool *pool);
void break_frame_data(struct fix_break_pool *pool);
void break_name_cut(struct fix_break_pool *pool);
void break_name_slash(struct fix_break_pool *pool);
void break_name_before(struct fix_break_pool *pool);
void break_name_kept(struct fix_break_pool *pool);
void break_dangling(struct fix_break_pool *pool);
void break_dangling_twice(struct fix_break_pool *pool);
void break_type(struct fix_break_pool *pool);
void break_cookie(struct fix_break_pool *pool);
void break_gap(struct fix_break_pool *pool);
void break_twice(struct fix_break_pool *pool);
void break_nameless(struct fix_break_pool *pool);
void break_nameless_folder(struct fix_break_pool *pool);
void break_folder_missing(struct fix_break_pool *pool);
void break_mode(struct fix_break_pool *pool);
void break_links(struct fix_break_pool *pool);
void break_folder_links(struct fix_break_pool *pool);
void break_link_len(struct fix_break_pool *pool);
void break_flags(struct fix_break_pool *pool);
void break_setting_flag(struct fix_break_pool *pool);
void break_parent(struct fix_break_pool *pool);
void break_folder_parent(struct fix_break_pool *pool);
void break_root_type(struct fix_break_pool *pool);
void break_root(struct fix_break_pool *pool);
void break_orphan_named(struct fix_break_pool *pool);
void break_folder_names(struct fix_break_pool *pool);
void break_loop(struct fix_break_pool *pool);
void break_target(struct fix_break_pool *pool);
void break_target_alone(struct fix_break_pool *pool);
void break_xattr_alone(struct fix_break_pool *pool);
void break_setting(struct fix_break_pool *pool);
void break_job(struct fix_break_pool *pool);

#endif
