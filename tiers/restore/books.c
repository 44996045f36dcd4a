// SPDX-License-Identifier: Apache-2.0
/* The records of frames and segments in the new store: their sums hold after each step. */
#include <errno.h>

#include "tiers/keys.h"
#include "tiers/restore/impl.h"

void newer_put(struct newer *newer, const void *key, size_t key_len, const void *value, size_t len)
{
	(void)meta_batch_put(newer->batch, key, key_len, value, len);
}

void newer_del(struct newer *newer, const void *key, size_t key_len)
{
	(void)meta_batch_del(newer->batch, key, key_len);
}

int restore_apply(struct restore *restore, struct meta_batch *batch)
{
	struct meta *meta = restore->meta;
	int rc = meta_apply(meta, batch, NULL);

	meta_batch_reset(batch);
	if (rc == 0 && meta_checkpoint_due(meta, 0)) {
		rc = meta_freeze(meta);
		if (rc == 0)
			rc = meta_checkpoint(meta);
	}
	return rc;
}

int newer_apply(struct newer *newer)
{
	return restore_apply(newer->restore, newer->batch);
}

int newer_frame(struct newer *newer, uint64_t id, struct frame_record *out)
{
	uint8_t key[KEY_LEN_1], value[RECORD_FRAME_LEN];
	size_t len;
	int rc = meta_get(newer->restore->meta, key, key_1(key, KEY_FRAME, id), value,
			  sizeof(value), &len);

	return rc < 0 ? rc : frame_record_decode(value, len, out);
}

static void frame_put(struct newer *newer, uint64_t id, const struct frame_record *record)
{
	uint8_t key[KEY_LEN_1], value[RECORD_FRAME_LEN];

	frame_record_encode(record, value);
	newer_put(newer, key, key_1(key, KEY_FRAME, id), value, sizeof(value));
}

int newer_segment(struct newer *newer, uint64_t id, struct segment_record *out)
{
	uint8_t key[KEY_LEN_1], value[RECORD_SEGMENT_MAX];
	size_t len;
	int rc = meta_get(newer->restore->meta, key, key_1(key, KEY_SEGMENT, id), value,
			  sizeof(value), &len);

	return rc < 0 ? rc : segment_record_decode(value, len, out);
}

/* One without frames, whose file is gone, goes. */
static void segment_put(struct newer *newer, uint64_t id, const struct segment_record *record)
{
	uint8_t key[KEY_LEN_1], value[RECORD_SEGMENT_MAX];
	uint64_t frames = 0;

	key_1(key, KEY_SEGMENT, id);
	for (unsigned i = 0; i < CODEC_COUNT; i++)
		frames += record->codec[i].frames;
	if (!frames && idmap_get(&newer->restore->gone, id)) {
		newer_del(newer, key, sizeof(key));
		return;
	}
	newer_put(newer, key, sizeof(key), value, segment_record_encode(record, value));
}

static void account(struct segment_record *segment, const struct frame_record *frame, bool comes)
{
	struct codec_account *sums = &segment->codec[frame->codec.id];
	uint64_t sign = comes ? 1 : UINT64_MAX;

	sums->raw += sign * frame->raw_len;
	sums->stored += sign * frame->stored_len;
	sums->frames += sign;
}

/* Users that the frame's own table does not name. */
static int shared_del(struct newer *newer, uint64_t frame)
{
	uint8_t prefix[KEY_LEN_1];
	struct meta_cursor *cursor;
	struct meta_item item;
	int rc = meta_cursor_open(newer->restore->meta, prefix, key_1(prefix, KEY_SHARED, frame),
				  NULL, 0, &cursor);

	if (rc < 0)
		return rc;
	while ((rc = meta_cursor_next(cursor, &item)) == 0)
		newer_del(newer, item.key, item.key_len);
	meta_cursor_close(cursor);
	return rc == -ENOENT ? 0 : rc;
}

int newer_frame_use(struct newer *newer, uint64_t id, uint32_t len, bool more,
		    struct frame_record *frame)
{
	uint8_t key[KEY_LEN_2];
	struct segment_record segment;
	int rc = newer_frame(newer, id, frame);

	if (rc == 0)
		rc = newer_segment(newer, frame->segment, &segment);
	if (rc == 0 && !more && frame->live < len)
		rc = -EUCLEAN;
	if (rc < 0)
		return rc;
	frame->live += more ? len : -(uint64_t)len;
	segment.logical += more ? len : -(uint64_t)len;
	if (frame->live) {
		frame_put(newer, id, frame);
	} else {
		newer_del(newer, key, key_1(key, KEY_FRAME, id));
		newer_del(newer, key, key_2(key, KEY_PLACED, frame->segment, frame->off));
		account(&segment, frame, false);
		rc = frame->shared ? shared_del(newer, id) : 0;
	}
	segment_put(newer, frame->segment, &segment);
	return rc < 0 ? rc : newer_apply(newer);
}

/* A record of the segment that reaches up to the frame's end. */
static int segment_know(struct newer *newer, const struct found_piece *piece,
			const struct frame_record *frame)
{
	const struct finder_dir *dir = &newer->dirs[piece->dir];
	struct segment_record segment;
	uint64_t end = (uint64_t)frame->off + frame->stored_len;
	int rc = newer_segment(newer, piece->segment, &segment);

	if (rc == -ENOENT) {
		segment = (struct segment_record){.tier = (uint8_t)dir->tier};
		rc = idmap_put(&newer->restore->known, piece->segment, newer);
		if (rc == 0 && piece->aside && !newer->restore->look)
			rc = restore_segment_return(dir->path, piece->segment);
	}
	if (rc < 0)
		return rc;
	account(&segment, frame, true);
	/* Other files of it may not have the frame: they are made again from this one. */
	segment.place = (uint16_t)dir->place;
	segment.homes = (uint64_t)1 << dir->place;
	if (segment.len < end)
		segment.len = end;
	segment_put(newer, piece->segment, &segment);
	return 0;
}

int newer_frame_make(struct newer *newer, struct candidate *candidate)
{
	const struct found_piece *piece = &candidate->piece;
	uint8_t key[KEY_LEN_2], value[8];
	int rc = segment_know(newer, piece, &candidate->record);

	if (rc < 0)
		return rc;
	frame_put(newer, piece->frame, &candidate->record);
	put_le64(value, piece->frame);
	newer_put(newer, key, key_2(key, KEY_PLACED, piece->segment, piece->at), value,
		  sizeof(value));
	rc = newer_apply(newer);
	candidate->made = rc == 0;
	return rc;
}
