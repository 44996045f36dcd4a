// SPDX-License-Identifier: Apache-2.0
/*
 * Frames whose record is lost or cannot be read: the record of their place says where they begin,
 * and they describe themselves. All but how hot they are comes back from there.
 */
#include <errno.h>
#include <stdlib.h>

#include "compress/frame.h"
#include "tiers/check/check_impl.h"
#include "tiers/clock.h"
#include "tiers/io.h"

int check_header_load(struct check *check, uint64_t segment, uint64_t off, uint8_t tier,
		      uint16_t place, struct frame_header *out)
{
	uint8_t fixed[FRAME_FIXED_LEN], *buf = NULL;
	uint32_t header_len, stored_len;
	uint64_t len;
	int fd, rc = check_segment_open(check, tier, place, segment, &fd, &len);

	if (rc < 0)
		return rc;
	rc = io_pread_all(fd, fixed, sizeof(fixed), off);
	if (rc == 0)
		rc = frame_header_len(fixed, sizeof(fixed), &header_len, &stored_len);
	if (rc == 0) {
		buf = malloc(header_len);
		rc = buf ? io_pread_all(fd, buf, header_len, off) : -ENOMEM;
	}
	if (rc == 0)
		rc = frame_header_parse(buf, header_len, out);
	free(buf);
	io_close(fd);
	return rc;
}

static bool is_shared(struct check *check, uint64_t frame)
{
	uint8_t prefix[KEY_LEN_1];
	struct meta_cursor *cursor;
	struct meta_item item;
	bool shared;

	if (meta_cursor_open(check->meta, prefix, key_1(prefix, KEY_SHARED, frame), NULL, 0,
			     &cursor) < 0)
		return true; /* the flag says that there may be some */
	shared = meta_cursor_next(cursor, &item) == 0;
	meta_cursor_close(cursor);
	return shared;
}

/* -ENOENT: nothing there says that it is this frame. */
static int record_of(struct check *check, uint64_t frame, uint64_t segment, uint64_t off,
		     struct frame_record *out)
{
	struct frame_header header = {0};
	uint8_t tier;
	uint16_t place;
	int rc = check_segment_where(check, segment, &tier, &place);

	if (rc == 0)
		rc = check_header_load(check, segment, off, tier, place, &header);
	if (rc == -ENOMEM)
		return rc;
	if (rc < 0 || header.id != frame || off > UINT32_MAX) {
		frame_header_release(&header);
		return -ENOENT;
	}
	*out = (struct frame_record){.segment = segment,
				     .off = (uint32_t)off,
				     .stored_len = header.stored_len,
				     .raw_len = header.raw_len,
				     .header_len = header.header_len,
				     .place = place,
				     .last_access = clock_wall_s(),
				     .tier = tier,
				     .block_shift = (uint8_t)__builtin_ctz(header.block_size),
				     .codec = header.codec,
				     .shared = is_shared(check, frame)};
	frame_header_release(&header);
	return 0;
}

/* error: why the frame's record cannot be had. */
static int frame_lost(struct check *check, const struct meta_item *item, int error)
{
	uint64_t segment = get_be64(item->key + 1), off = get_be64(item->key + KEY_LEN_1);
	uint64_t frame = get_le64(item->value);
	uint8_t key[KEY_LEN_1], value[RECORD_FRAME_LEN];
	struct frame_record record;
	int rc = record_of(check, frame, segment, off, &record);

	if (rc == -ENOMEM)
		return rc;
	if (rc == 0) {
		if (check_report(check, CHECK_FRAME, true, 0, "the record of frame %llu is %s",
				 (unsigned long long)frame,
				 error == -ENOENT ? "missing" : "damaged")) {
			frame_record_encode(&record, value);
			check_put(check, key, key_1(key, KEY_FRAME, frame), value, sizeof(value));
		}
	} else if (error != -ENOENT) {
		check_report(check, CHECK_FRAME, false, 0,
			     "the record of frame %llu is damaged, and the frame is not where it "
			     "should be",
			     (unsigned long long)frame);
	} else if (check_report(check, CHECK_PLACED, true, 0,
				"frame %llu is said to be at byte %llu of segment %llu and is not",
				(unsigned long long)frame, (unsigned long long)off,
				(unsigned long long)segment)) {
		check_del(check, item->key, item->key_len);
	}
	return check_mend(check);
}

int check_placed(struct check *check)
{
	struct check_walk walk;
	int rc = check_walk_open(check, KEY_PLACED, &walk);

	while (rc == 0 && walk.item.key) {
		uint8_t key[KEY_LEN_1], value[RECORD_FRAME_LEN];
		struct frame_record record;
		size_t len;
		int error = -EUCLEAN;

		if (walk.item.len == 8) {
			key_1(key, KEY_FRAME, get_le64(walk.item.value));
			error = meta_get(check->meta, key, sizeof(key), value, sizeof(value), &len);
			if (error == 0)
				error = frame_record_decode(value, len, &record);
			if (error < 0)
				rc = frame_lost(check, &walk.item, error);
		}
		if (rc == 0)
			rc = check_walk_next(&walk);
	}
	check_walk_close(&walk);
	return rc;
}
