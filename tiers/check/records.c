// SPDX-License-Identifier: Apache-2.0
/*
 * Every key by itself: its form, and that of values whose meaning needs no other record. The counts
 * of the pool come last, from what the other parts have met.
 */
#include <errno.h>
#include <string.h>

#include "tiers/check/check_impl.h"
#include "compress/frame.h"
#include "tiers/record_get.h"

static void top(uint64_t *highest, uint64_t id)
{
	if (id > *highest)
		*highest = id;
}

/* The length that keys of a type have; 0: it differs; SIZE_MAX: no such type. */
static size_t key_len_of(uint8_t type)
{
	switch (type) {
	case KEY_OBJECT:
	case KEY_SYMLINK:
	case KEY_FRAME:
	case KEY_SEGMENT:
	case KEY_ORPHAN:
		return KEY_LEN_1;
	case KEY_DENTRY:
	case KEY_EXTENT:
	case KEY_PLACED:
	case KEY_SYNCED:
		return KEY_LEN_2;
	case KEY_SHARED:
		return KEY_LEN_3;
	case KEY_POOL:
	case KEY_XATTR:
		return 0;
	default:
		return SIZE_MAX;
	}
}

static int drop(struct check *check, const struct meta_item *item, enum check_code code,
		uint64_t object, const char *what)
{
	if (!check_report(check, code, true, object, "%s (key %c, number %llu)", what, item->key[0],
			  item->key_len >= KEY_LEN_1 ? (unsigned long long)get_be64(item->key + 1)
						     : 0ull))
		return 0;
	check_del(check, item->key, item->key_len);
	return check_mend(check);
}

/* Data that an unreadable extent pointed to is lost; a hole in its place would read as zeros. How
 * long it was is not known: at most to the extent before, and no frame is longer than this. */
static int extent_lost(struct check *check, const struct meta_item *item)
{
	uint64_t object = get_be64(item->key + 1), end = get_be64(item->key + KEY_LEN_1);
	struct extent lost = {.len = end < FRAME_RAW_MAX ? (uint32_t)end : FRAME_RAW_MAX,
			      .frame = CHECK_FRAME_LOST};
	uint8_t prefix[KEY_LEN_1], start[KEY_LEN_2], value[RECORD_EXTENT_LEN];
	struct meta_cursor *cursor;
	struct meta_item before;
	int rc;

	if (!check_report(check, CHECK_EXTENT, true, object,
			  "the record of the extent that ends at %llu cannot be read",
			  (unsigned long long)end))
		return 0;
	key_1(prefix, KEY_EXTENT, object);
	key_2(start, KEY_EXTENT, object, end - lost.len);
	rc = meta_cursor_open(check->meta, prefix, sizeof(prefix), start, sizeof(start), &cursor);
	if (rc < 0)
		return rc;
	while (meta_cursor_next(cursor, &before) == 0 && before.key_len == KEY_LEN_2 &&
	       get_be64(before.key + KEY_LEN_1) < end)
		lost.len = (uint32_t)(end - get_be64(before.key + KEY_LEN_1));
	meta_cursor_close(cursor);
	if (!lost.len) { /* ends at 0 */
		check_del(check, item->key, item->key_len);
	} else {
		extent_encode(&lost, value);
		check_put(check, item->key, item->key_len, value, sizeof(value));
	}
	return check_mend(check);
}

/* It says where to look for users, so it may say too much: no frame holds more than this. */
static int shared_mend(struct check *check, const struct meta_item *item)
{
	uint8_t value[8];

	if (!check_report(check, CHECK_SHARED, true, get_be64(item->key + KEY_LEN_1),
			  "what the file uses of frame %llu cannot be read",
			  (unsigned long long)get_be64(item->key + 1)))
		return 0;
	put_le64(value, FRAME_RAW_MAX);
	check_put(check, item->key, item->key_len, value, sizeof(value));
	return check_mend(check);
}

static int check_object(struct check *check, const struct meta_item *item)
{
	struct object_record record;
	uint64_t id = get_be64(item->key + 1);

	top(&check->top_object, id);
	if (object_record_decode(item->value, item->len, &record) < 0)
		return check_lost_add(check, id) < 0 ? -ENOMEM
						     : drop(check, item, CHECK_OBJECT, id,
							    "the file's record cannot be read");
	if (record.log_epoch > check->top_epoch)
		check->top_epoch = record.log_epoch;
	check->nobjects++;
	return 0;
}

static int check_item(struct check *check, const struct meta_item *item)
{
	union {
		struct extent extent;
		struct frame_record frame;
		struct segment_record segment;
	} to;
	uint64_t id;
	size_t len = key_len_of(item->key[0]);

	if (len == SIZE_MAX || (len && item->key_len != len) ||
	    (!len && item->key[0] == KEY_XATTR && item->key_len <= KEY_LEN_1))
		return drop(check, item, CHECK_KEY, 0, "a key that no program makes");
	id = item->key_len >= KEY_LEN_1 ? get_be64(item->key + 1) : 0;
	switch (item->key[0]) {
	case KEY_OBJECT:
		return check_object(check, item);
	case KEY_EXTENT:
		top(&check->top_object, id);
		if (extent_decode(get_be64(item->key + KEY_LEN_1), item->value, item->len,
				  &to.extent) < 0)
			return extent_lost(check, item);
		return 0;
	case KEY_FRAME:
		top(&check->top_frame, id);
		return 0; /* frames.c */
	case KEY_SEGMENT:
		top(&check->top_segment, id);
		if (segment_record_decode(item->value, item->len, &to.segment) < 0)
			return drop(check, item, CHECK_SEGMENT, 0,
				    "a segment's record cannot be read");
		return 0;
	case KEY_PLACED:
		if (item->len != 8)
			return drop(check, item, CHECK_PLACED, 0,
				    "the record of a frame's place cannot be read");
		return 0;
	case KEY_SHARED:
		return item->len == 8 ? 0 : shared_mend(check, item);
	case KEY_ORPHAN:
		if (item->len)
			return drop(check, item, CHECK_ORPHAN, 0,
				    "an order to delete has an unknown form");
		return 0;
	default:
		return 0;
	}
}

int check_records(struct check *check)
{
	struct meta_cursor *cursor;
	struct meta_item item;
	int rc = meta_cursor_open(check->meta, "", 0, NULL, 0, &cursor);

	if (rc < 0)
		return rc;
	while ((rc = meta_cursor_next(cursor, &item)) == 0) {
		rc = check_item(check, &item);
		if (rc < 0)
			break;
	}
	meta_cursor_close(cursor);
	return rc == -ENOENT ? 0 : rc;
}

/* Counts -----------------------------------------------------------------------------------------
 */

#define ID_BLOCK (1u << 20)

/* Counted anew. The RAM log's epoch is the highest that an object has: one that is too high would
 * only make records of the log count again that an object shows already. */
static void counts_new(const struct check *check, struct pool_counts *out)
{
	*out = (struct pool_counts){.objects = check->nobjects,
				    .object_ids = check->top_object + ID_BLOCK,
				    .frame_ids = check->top_frame + ID_BLOCK,
				    .segment_ids = check->top_segment + ID_BLOCK,
				    .log_epoch = check->top_epoch ? check->top_epoch : 1,
				    .features = check->plain ? POOL_FEATURE_PLAIN : 0};
}

static bool limit_mend(uint64_t *limit, uint64_t highest)
{
	if (*limit > highest)
		return false;
	*limit = highest + ID_BLOCK;
	return true;
}

int check_counts(struct check *check)
{
	struct pool_counts counts, was;
	uint8_t value[RECORD_COUNTS_LEN];
	bool mend = false;
	int rc = pool_counts_get(check->meta, &counts);

	if (rc < 0 && rc != -ENOENT && rc != -EUCLEAN && rc != -ERANGE && rc != -ENOTSUP)
		return rc;
	if (rc < 0) {
		mend = check_report(check, CHECK_COUNTS, true, 0, "the pool's counts are %s",
				    rc == -ENOENT ? "missing" : "damaged");
		counts_new(check, &counts);
		goto out;
	}
	was = counts;
	if (counts.objects != check->nobjects) {
		mend = check_report(
			check, CHECK_COUNT_OBJECTS, true, 0, "%llu objects are counted, %llu exist",
			(unsigned long long)counts.objects, (unsigned long long)check->nobjects);
		counts.objects = check->nobjects;
	}
	if (limit_mend(&counts.object_ids, check->top_object) +
	    limit_mend(&counts.frame_ids, check->top_frame) +
	    limit_mend(&counts.segment_ids, check->top_segment))
		mend = check_report(check, CHECK_LIMITS, true, 0,
				    "numbers are in use above what is given out: objects %llu "
				    "(below %llu), frames %llu (%llu), segments %llu (%llu)",
				    (unsigned long long)check->top_object,
				    (unsigned long long)was.object_ids,
				    (unsigned long long)check->top_frame,
				    (unsigned long long)was.frame_ids,
				    (unsigned long long)check->top_segment,
				    (unsigned long long)was.segment_ids) ||
		       mend;
out:
	if (!mend)
		return 0;
	pool_counts_encode(&counts, value);
	check_put(check, POOL_COUNTS_KEY, POOL_COUNTS_KEY_LEN, value, sizeof(value));
	return check_mend(check);
}
