// SPDX-License-Identifier: Apache-2.0
/*
 * Frames: one walk over their records, beside it the extents that use them (sorted by frame) and
 * the records of users that a frame's own table does not name. All three are in the order of frame,
 * object, offset.
 *
 * A mover finds a frame's users by the frame's own table and those records: an extent that neither
 * leads to would be left behind, pointing to nothing. Asking the table needs the frame itself, so
 * that is looked at with --deep.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "compress/frame.h"
#include "tiers/check/check_impl.h"
#include "tiers/clock.h"

#define FUTURE_S 86400u /* clocks differ, but not by so much */

struct user {
	uint64_t frame, object, off;
	uint32_t len, frame_off;
};

struct frames {
	struct check *check;
	struct check_walk frames, shared;
	struct user user;  /* frame UINT64_MAX: no more */
	struct deep *deep; /* NULL: frames are not read */
	uint32_t now_s;
};

struct table_entry { /* of a frame, and where its bytes are */
	struct frame_extent extent;
	uint64_t pos;
};

struct range { /* of an object that is looked for users */
	uint64_t object, off, end;
};

/* One frame under the eyes. */
struct one {
	uint64_t id;
	struct frame_record record;
	bool skip; /* it is not read */
	bool read; /* header and bad are there */
	struct frame_header header;
	bool bad[FRAME_BLOCKS_MAX];
	size_t at;		     /* in entries */
	struct table_entry *entries; /* the header's extents, sorted; NULL: there are none */
	struct range table; /* of those before at: the object at hand, and where the last ends */
	struct range noted; /* the same of the records */
	uint64_t live, shared;
	int error; /* why it cannot be read */
};

static int user_next(struct frames *frames)
{
	const uint8_t *p;
	int rc = sorter_next(frames->check->users, &p);

	frames->user.frame = UINT64_MAX;
	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	frames->user = (struct user){.frame = get_be64(p),
				     .object = get_be64(p + 8),
				     .off = get_be64(p + 16),
				     .len = get_be32(p + 24),
				     .frame_off = get_be32(p + 28)};
	return 0;
}

static int by_object(const void *a, const void *b)
{
	const struct frame_extent *x = &((const struct table_entry *)a)->extent;
	const struct frame_extent *y = &((const struct table_entry *)b)->extent;

	if (x->object != y->object)
		return x->object < y->object ? -1 : 1;
	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* Ranges come in order: what begins before the user's end, and how far that reaches, is kept. */
static void range_add(struct range *range, uint64_t object, uint64_t end)
{
	if (range->object != object)
		*range = (struct range){.object = object};
	if (end > range->end)
		range->end = end;
}

static bool range_holds(const struct range *range, const struct user *user)
{
	return range->object == user->object && range->end > user->off;
}

static bool before_end(uint64_t object, uint64_t off, const struct user *user)
{
	return object < user->object || (object == user->object && off < user->off + user->len);
}

/* The next record of a user of this frame, if it begins before the user's end. */
static int shared_upto(struct frames *frames, struct one *one, const struct user *user)
{
	int rc = 0;

	while (rc == 0 && check_walk_id(&frames->shared) == one->id) {
		const struct meta_item *item = &frames->shared.item;
		uint64_t object = get_be64(item->key + KEY_LEN_1);
		uint64_t off = get_be64(item->key + KEY_LEN_2);

		if (user && !before_end(object, off, user))
			break;
		one->shared++;
		if (item->len == 8)
			range_add(&one->noted, object, off + get_le64(item->value));
		rc = check_walk_next(&frames->shared);
	}
	return rc;
}

static void table_upto(struct one *one, const struct user *user)
{
	for (; one->at < one->header.nextents; one->at++) {
		const struct frame_extent *extent = &one->entries[one->at].extent;

		if (!before_end(extent->object, extent->offset, user))
			break;
		range_add(&one->table, extent->object, extent->offset + extent->length);
	}
}

static int user_unknown(struct check *check, struct one *one, const struct user *user)
{
	uint8_t key[KEY_LEN_3], value[RECORD_FRAME_LEN];

	if (!check_report(check, CHECK_USER_UNKNOWN, true, user->object,
			  "bytes %llu-%llu are in frame %llu, which does not know of it",
			  (unsigned long long)user->off,
			  (unsigned long long)(user->off + user->len - 1),
			  (unsigned long long)one->id))
		return 0;
	put_le64(value, user->len);
	check_put(check, key, key_3(key, KEY_SHARED, one->id, user->object, user->off), value, 8);
	one->record.shared = true;
	frame_record_encode(&one->record, value);
	check_put(check, key, key_1(key, KEY_FRAME, one->id), value, sizeof(value));
	return check_mend(check);
}

/* The user's bytes that lie in damaged blocks. */
static void user_damaged(struct check *check, const struct one *one, const struct user *user)
{
	uint32_t first = user->frame_off >> one->record.block_shift;
	uint64_t end = (uint64_t)user->frame_off + user->len;

	for (uint32_t i = first;
	     i < one->header.nblocks && (uint64_t)i << one->record.block_shift < end; i++) {
		uint64_t from = (uint64_t)i << one->record.block_shift, to;

		if (!one->bad[i])
			continue;
		while (i < one->header.nblocks && one->bad[i])
			i++;
		to = (uint64_t)i << one->record.block_shift;
		from = from > user->frame_off ? from : user->frame_off;
		to = to < end ? to : end;
		check_report(check, CHECK_FRAME_DATA, false, user->object,
			     "bytes %llu-%llu are damaged on the medium (frame %llu, segment %llu, "
			     "offset %u)",
			     (unsigned long long)(user->off + (from - user->frame_off)),
			     (unsigned long long)(user->off + (to - user->frame_off) - 1),
			     (unsigned long long)one->id, (unsigned long long)one->record.segment,
			     one->record.off);
	}
}

/* Does the frame say itself that the bytes at the user's place are these of the object? All entries
 * that begin at or before the user's have been passed. */
static bool table_agrees(const struct one *one, const struct user *user)
{
	for (size_t i = one->at; i-- > 0 && one->entries[i].extent.object == user->object;) {
		const struct table_entry *entry = &one->entries[i];
		uint64_t from = user->off - entry->extent.offset;

		if (user->off >= entry->extent.offset && from < entry->extent.length &&
		    entry->pos + from == user->frame_off)
			return true;
	}
	return false;
}

static void other_bytes(struct check *check, const struct one *one, const struct user *user)
{
	check_report(check, CHECK_OTHER_BYTES, false, user->object,
		     "bytes %llu-%llu lead to byte %u of frame %llu, where it has others",
		     (unsigned long long)user->off, (unsigned long long)(user->off + user->len - 1),
		     user->frame_off, (unsigned long long)one->id);
}

static int user_check(struct frames *frames, struct one *one, const struct user *user)
{
	struct check *check = frames->check;
	int rc = shared_upto(frames, one, user);

	one->live += user->len;
	if (rc < 0 || one->skip)
		return rc;
	if (!one->read) {
		check_report(check, CHECK_FRAME_HEADER, false, user->object,
			     "bytes %llu-%llu cannot be read: frame %llu (segment %llu, offset "
			     "%u): %s",
			     (unsigned long long)user->off,
			     (unsigned long long)(user->off + user->len - 1),
			     (unsigned long long)one->id, (unsigned long long)one->record.segment,
			     one->record.off,
			     one->error == -EBADMSG ? "damaged" : strerror(-one->error));
		return 0;
	}
	table_upto(one, user);
	user_damaged(check, one, user);
	if (range_holds(&one->noted, user))
		return 0;
	if (!range_holds(&one->table, user))
		return user_unknown(check, one, user);
	if (!table_agrees(one, user))
		other_bytes(check, one, user);
	return 0;
}

/* Does it hold data of objects that should be there? They are remembered. */
static int unused_holds(struct check *check, const struct one *one, bool *holds)
{
	const struct frame_record *record = &one->record;
	struct frame_header header = {0};
	int rc = check->result->live ? -EBUSY
				     : check_header_load(check, record->segment, record->off,
							 record->tier, record->place, &header);

	*holds = false;
	if (rc < 0 || header.id != one->id) { /* nothing can be said of it, nor read */
		frame_header_release(&header);
		return rc == -ENOMEM ? rc : 0;
	}
	for (uint32_t i = 0; rc == 0 && i < header.nextents; i++) {
		if (check_object_there(check, header.extents[i].object))
			continue; /* it has newer data there */
		*holds = true;
		rc = check_lost_add(check, header.extents[i].object);
	}
	frame_header_release(&header);
	return rc;
}

/* Frees a frame that nothing uses, as the transaction that lets its last user go would have. */
static int frame_unused(struct check *check, const struct one *one)
{
	const struct frame_record *record = &one->record;
	uint8_t key[KEY_LEN_2], value[RECORD_SEGMENT_MAX];
	struct segment_record segment;
	bool holds;
	size_t len;
	int rc = unused_holds(check, one, &holds);

	if (rc < 0 || holds) /* found.c's */
		return rc;
	if (!check_report(check, CHECK_UNUSED, true, 0,
			  "frame %llu (%u bytes stored) is used by no file",
			  (unsigned long long)one->id, record->stored_len))
		return 0;
	check_del(check, key, key_1(key, KEY_FRAME, one->id));
	check_del(check, key, key_2(key, KEY_PLACED, record->segment, record->off));
	key_1(key, KEY_SEGMENT, record->segment);
	if (meta_get(check->meta, key, KEY_LEN_1, value, sizeof(value), &len) == 0 &&
	    segment_record_decode(value, len, &segment) == 0) {
		struct codec_account *account = &segment.codec[record->codec.id];

		segment.logical -= record->live;
		account->raw -= record->raw_len;
		account->stored -= record->stored_len;
		account->frames--;
		len = segment_record_encode(&segment, value);
		check_put(check, key, KEY_LEN_1, value, len);
	}
	return check_mend(check);
}

static int record_mend(struct frames *frames, struct one *one)
{
	struct check *check = frames->check;
	struct frame_record *record = &one->record;
	unsigned long long id = one->id;
	uint8_t key[KEY_LEN_1], value[RECORD_FRAME_LEN];
	bool mend = false;

	if (record->live != one->live) {
		mend = check_report(check, CHECK_LIVE, true, 0,
				    "%llu bytes of frame %llu are used, its record says %llu",
				    (unsigned long long)one->live, id,
				    (unsigned long long)record->live);
		record->live = one->live;
	}
	if (one->shared && !record->shared) {
		mend = check_report(check, CHECK_SHARED_FLAG, true, 0,
				    "frame %llu is shared, and its record does not say so", id) ||
		       mend;
		record->shared = true;
	}
	if (record->last_access > frames->now_s + FUTURE_S ||
	    record->placed > frames->now_s + FUTURE_S) {
		mend = check_report(check, CHECK_HEAT, true, 0,
				    "frame %llu was used or moved in the future", id) ||
		       mend;
		record->last_access = frames->now_s;
		if (record->placed > frames->now_s)
			record->placed = frames->now_s;
	}
	if (!mend)
		return 0;
	frame_record_encode(record, value);
	check_put(check, key, key_1(key, KEY_FRAME, one->id), value, sizeof(value));
	return check_mend(check);
}

static int laid_add(struct check *check, const struct one *one)
{
	const struct frame_record *record = &one->record;
	uint8_t laid[LAID_LEN] = {0};

	put_be64(laid, record->segment);
	put_be64(laid + 8, record->off);
	put_be64(laid + 16, one->id);
	put_le64(laid + 24, record->live);
	put_le32(laid + 32, record->stored_len);
	put_le32(laid + 36, record->raw_len);
	laid[40] = record->tier;
	laid[41] = record->codec.id;
	put_le16(laid + 42, record->place);
	return sorter_add(check->placed, laid);
}

static int entries_make(struct one *one)
{
	uint64_t pos = 0;

	one->entries = calloc(one->header.nextents + 1u, sizeof(*one->entries));
	if (!one->entries)
		return -ENOMEM;
	for (uint32_t i = 0; i < one->header.nextents; i++) {
		one->entries[i] = (struct table_entry){one->header.extents[i], pos};
		pos += one->header.extents[i].length;
	}
	qsort(one->entries, one->header.nextents, sizeof(*one->entries), by_object);
	return 0;
}

static bool any_bad(const struct one *one)
{
	for (uint32_t i = 0; one->read && i < one->header.nblocks; i++)
		if (one->bad[i])
			return true;
	return !one->read;
}

/* A frame that cannot be read for its users to be told of. */
static int frame_read_deep(struct frames *frames, struct one *one)
{
	one->skip = !frames->deep || check_doubt_skips(frames->check, one->id);
	if (one->skip)
		return 0;
	one->error = deep_read(frames->deep, one->id, &one->record, &one->header, one->bad);
	if (one->error == -ENOMEM)
		return one->error;
	one->read = one->error == 0;
	if (frames->check->result->live && !frames->check->again && any_bad(one)) {
		one->skip = true;
		return check_doubt_add(frames->check, one->id, &one->record);
	}
	return one->read ? entries_make(one) : 0;
}

static int frame_check(struct frames *frames, struct one *one)
{
	uint64_t users = 0;
	int rc = frame_read_deep(frames, one);

	while (rc == 0 && frames->user.frame < one->id) /* their frame is not there: told of */
		rc = user_next(frames);
	while (rc == 0 && check_walk_id(&frames->shared) < one->id)
		rc = check_walk_next(&frames->shared); /* of frames that have gone */
	while (rc == 0 && frames->user.frame == one->id) {
		rc = user_check(frames, one, &frames->user);
		users++;
		if (rc == 0)
			rc = user_next(frames);
	}
	if (rc == 0)
		rc = shared_upto(frames, one, NULL);
	frame_header_release(&one->header);
	free(one->entries);
	if (rc < 0)
		return rc;
	frames->check->result->frames++;
	if (!users)
		return frame_unused(frames->check, one);
	rc = record_mend(frames, one);
	return rc < 0 ? rc : laid_add(frames->check, one);
}

static int frames_walk(struct frames *frames)
{
	int rc = 0;

	while (rc == 0 && frames->frames.item.key) {
		struct one one = {.id = check_walk_id(&frames->frames)};
		int error = frame_record_decode(frames->frames.item.value, frames->frames.item.len,
						&one.record);

		if (error == 0)
			rc = frame_check(frames, &one);
		else
			check_report(frames->check, CHECK_FRAME, false, 0,
				     "the record of frame %llu cannot be read",
				     (unsigned long long)one.id);
		if (rc == 0)
			rc = check_walk_next(&frames->frames);
	}
	return rc;
}

int check_frames(struct check *check)
{
	struct frames frames = {.check = check, .now_s = clock_wall_s()};
	int rc = check->options.deep ? deep_new(&frames.deep, check) : 0;

	if (rc == 0)
		rc = check_walk_open(check, KEY_FRAME, &frames.frames);
	if (rc == 0)
		rc = check_walk_open(check, KEY_SHARED, &frames.shared);
	if (rc == 0)
		rc = user_next(&frames);
	if (rc == 0)
		rc = frames_walk(&frames);
	check_walk_close(&frames.frames);
	check_walk_close(&frames.shared);
	deep_free(frames.deep);
	return rc;
}
