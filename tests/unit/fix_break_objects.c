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
#include "tiers/tier_label.h"

/* Objects ----------------------------------------------------------------------------------------
 */

void break_object(struct fix_break_pool *pool)
{
	uint8_t key[KEY_LEN_1];

	edit_put_one(pool, key, key_1(key, KEY_OBJECT, pool->small), "nonsense", 8);
}

void break_object_large(struct fix_break_pool *pool)
{
	uint8_t key[KEY_LEN_1];

	edit_put_one(pool, key, key_1(key, KEY_OBJECT, pool->large), "nonsense", 8);
}

/* Nobody else has data in their frames. */
void break_objects_alone(struct fix_break_pool *pool)
{
	uint8_t key[KEY_LEN_1];

	edit_del_one(pool, key, key_1(key, KEY_OBJECT, pool->large));
	edit_del_one(pool, key, key_1(key, KEY_OBJECT, pool->clone));
}

void break_object_missing(struct fix_break_pool *pool)
{
	uint8_t key[KEY_LEN_1];

	edit_del_one(pool, key, key_1(key, KEY_OBJECT, pool->small));
}

void break_extent(struct fix_break_pool *pool)
{
	uint8_t key[KEY_LEN_2];

	edit_put_one(pool, key, key_2(key, KEY_EXTENT, pool->big, BIG_STEP + EXTENT_BYTES), "short",
		     5);
}

void break_extents_alone(struct fix_break_pool *pool)
{
	uint8_t key[KEY_LEN_1];

	edit_del_one(pool, key, key_1(key, KEY_OBJECT, pool->big));
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
		edit_del(&edit, key, sizeof(key));
	change(&extent);
	extent_encode(&extent, value);
	edit_put(&edit, key, key_2(key, KEY_EXTENT, pool->big, extent.off + extent.len), value,
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

void break_overlap(struct fix_break_pool *pool)
{
	extent_change(pool, true, shift);
}

void break_lost(struct fix_break_pool *pool)
{
	extent_change(pool, false, to_nowhere);
}

void break_outside(struct fix_break_pool *pool)
{
	extent_change(pool, false, beyond_frame);
}

static void other_bytes(struct extent *extent)
{
	extent->frame_off += extent->frame_off ? (uint32_t)-1 : 1u;
}

void break_other_bytes(struct fix_break_pool *pool)
{
	extent_change(pool, false, other_bytes);
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

void break_size(struct fix_break_pool *pool)
{
	record_change(pool, pool->big, less_size);
}

void break_stored(struct fix_break_pool *pool)
{
	record_change(pool, pool->large, more_stored);
}

void break_map_kind(struct fix_break_pool *pool)
{
	record_change(pool, pool->big, no_keys);
}

void break_orphan(struct fix_break_pool *pool)
{
	uint8_t key[KEY_LEN_1];

	edit_put_one(pool, key, key_1(key, KEY_ORPHAN, NOBODY), "x", 1);
}

static void synced_put(struct edit *edit, uint64_t object, uint64_t number, uint64_t kind,
		       const char *text)
{
	uint8_t key[KEY_LEN_2], value[64];

	put_le64(value, kind);
	put_le64(value + 8, 0);
	memcpy(value + 16, text, strlen(text));
	edit_put(edit, key, key_2(key, KEY_SYNCED, object, number), value, 16 + strlen(text));
}

void break_synced_alone(struct fix_break_pool *pool)
{
	struct edit edit;

	edit_begin(pool, &edit);
	synced_put(&edit, NOBODY, 0, 1, "bytes");
	edit_end(&edit);
}

void break_synced(struct fix_break_pool *pool)
{
	struct edit edit;

	edit_begin(pool, &edit);
	synced_put(&edit, pool->small, 0, 9, "bytes");
	edit_end(&edit);
}

void break_synced_gap(struct fix_break_pool *pool)
{
	struct edit edit;

	edit_begin(pool, &edit);
	synced_put(&edit, pool->small, 4, 1, "small");
	synced_put(&edit, pool->small, 6, 1, "small content");
	synced_put(&edit, pool->small, 7, 1, "small");
	edit_end(&edit);
}

void break_attributes(struct fix_break_pool *pool)
{
	record_change(pool, pool->large, no_attributes);
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

void break_frame(struct fix_break_pool *pool)
{
	uint8_t key[KEY_LEN_1];
	struct edit edit;

	edit_begin(pool, &edit);
	edit_put(&edit, key, key_1(key, KEY_FRAME, frame_of(&edit, pool->large)), "nonsense", 8);
	edit_end(&edit);
}

void break_frame_missing(struct fix_break_pool *pool)
{
	uint8_t key[KEY_LEN_1];
	struct edit edit;

	edit_begin(pool, &edit);
	edit_del(&edit, key, key_1(key, KEY_FRAME, frame_of(&edit, pool->clone)));
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

void break_live(struct fix_break_pool *pool)
{
	frame_change(pool, pool->large, more_live);
}

void break_shared_flag(struct fix_break_pool *pool)
{
	frame_change(pool, pool->clone, not_shared);
}

void break_heat(struct fix_break_pool *pool)
{
	frame_change(pool, pool->small, future);
}

void break_frame_place(struct fix_break_pool *pool)
{
	frame_change(pool, pool->large, other_tier);
}

void break_unused(struct fix_break_pool *pool)
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
	edit_put(&edit, key, key_2(key, KEY_PLACED, record.segment, record.off), value,
		 sizeof(value));
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

void break_shared(struct fix_break_pool *pool)
{
	uint8_t key[KEY_LEN_3];
	struct edit edit;

	edit_begin(pool, &edit);
	shared_key(pool, &edit, key);
	edit_put(&edit, key, sizeof(key), "odd", 3);
	edit_end(&edit);
}

void break_user_unknown(struct fix_break_pool *pool)
{
	uint8_t key[KEY_LEN_3];
	struct edit edit;

	edit_begin(pool, &edit);
	shared_key(pool, &edit, key);
	edit_del(&edit, key, sizeof(key));
	edit_end(&edit);
}

void break_frames_overlap(struct fix_break_pool *pool)
{
	uint8_t key[KEY_LEN_2], value[8];
	struct frame_record first, second;
	struct edit edit;
	uint64_t frame;

	edit_begin(pool, &edit);
	frame = frame_of(&edit, pool->large);
	frame_get_record(&edit, frame, &first);
	frame_get_record(&edit, frame_of(&edit, pool->small), &second);
	edit_del(&edit, key, key_2(key, KEY_PLACED, first.segment, first.off));
	first.off = second.off + 10;
	put_le64(value, frame);
	edit_put(&edit, key, key_2(key, KEY_PLACED, second.segment, first.off), value,
		 sizeof(value));
	frame_put_record(&edit, frame, &first);
	edit_end(&edit);
}

void break_frame_header(struct fix_break_pool *pool)
{
	struct frame_record frame;
	char path[4096];

	frame_file(pool, pool->large, path, sizeof(path), &frame);
	flip_at(path, frame.off + 30, 4);
}

void break_frame_data(struct fix_break_pool *pool)
{
	struct frame_record frame;
	char path[4096];

	frame_file(pool, pool->large, path, sizeof(path), &frame);
	flip_at(path, frame.off + frame.stored_len - 20, 4);
}
