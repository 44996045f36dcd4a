// SPDX-License-Identifier: Apache-2.0
/* Encoders and decoders of the records; layouts are drawn in terrace-format(5), METADATA KEYS. */
#include "tiers/records.h"

#include <errno.h>
#include <string.h>

#include "compress/bytes.h"
#include "compress/frame.h"
#include "compress/frame_format.h"

#define SEGMENT_MIRRORED 2u /* version of the longer segment record */
#define RECORD_VERSION	 1u

enum { OBJECT_FLAG_KEYS = 1u, OBJECT_FLAG_PLAIN = 2u };
enum { FRAME_FLAG_SHARED = 1u };

#define OBJECT_FIXED 48u
#define INLINE_LEN   24u
#define PLAIN_LEN    8u

size_t object_record_encode(const struct object_record *record, uint8_t *buf)
{
	uint8_t *p = buf + OBJECT_FIXED;

	buf[0] = RECORD_VERSION;
	buf[1] = (uint8_t)((record->has_keys ? OBJECT_FLAG_KEYS : 0u) |
			   (record->plain.set ? OBJECT_FLAG_PLAIN : 0u));
	buf[2] = record->nextents;
	buf[3] = 0;
	put_le16(buf + 4, record->attr_len);
	put_le16(buf + 6, 0);
	put_le64(buf + 8, record->size);
	put_le64(buf + 16, record->stored);
	put_le64(buf + 24, (uint64_t)record->write_time);
	put_le64(buf + 32, record->log_epoch);
	put_le64(buf + 40, record->log_pos);
	memcpy(p, record->attr, record->attr_len);
	p += record->attr_len;
	for (unsigned i = 0; i < record->nextents; i++, p += INLINE_LEN) {
		put_le64(p, record->extents[i].off);
		extent_encode(&record->extents[i], p + 8);
	}
	if (record->plain.set) {
		p[0] = record->plain.tier;
		p[1] = 0;
		put_le16(p + 2, record->plain.place);
		put_le32(p + 4, record->plain.generation);
		p += PLAIN_LEN;
	}
	return (size_t)(p - buf);
}

int object_record_decode(const uint8_t *buf, size_t len, struct object_record *out)
{
	const uint8_t *p = buf + OBJECT_FIXED;

	memset(out, 0, sizeof(*out));
	if (len < OBJECT_FIXED)
		return -EUCLEAN;
	if (buf[0] != RECORD_VERSION || (buf[1] & ~(OBJECT_FLAG_KEYS | OBJECT_FLAG_PLAIN)))
		return -ENOTSUP;
	out->has_keys = buf[1] & OBJECT_FLAG_KEYS;
	out->plain.set = buf[1] & OBJECT_FLAG_PLAIN;
	out->nextents = buf[2];
	out->attr_len = get_le16(buf + 4);
	out->size = get_le64(buf + 8);
	out->stored = get_le64(buf + 16);
	out->write_time = (int64_t)get_le64(buf + 24);
	out->log_epoch = get_le64(buf + 32);
	out->log_pos = get_le64(buf + 40);
	if (out->size > OBJECT_SIZE_MAX || out->nextents > RECORD_INLINE_MAX ||
	    out->attr_len > OBJECT_ATTR_MAX ||
	    len != OBJECT_FIXED + out->attr_len + out->nextents * INLINE_LEN +
			    (out->plain.set ? PLAIN_LEN : 0))
		return -EUCLEAN;
	memcpy(out->attr, p, out->attr_len);
	p += out->attr_len;
	for (unsigned i = 0; i < out->nextents; i++, p += INLINE_LEN) {
		struct extent *extent = &out->extents[i];
		uint64_t off = get_le64(p);

		if (extent_decode(off + get_le32(p + 16), p + 8, RECORD_EXTENT_LEN, extent) < 0)
			return -EUCLEAN;
	}
	if (out->plain.set) {
		out->plain.tier = p[0];
		out->plain.place = get_le16(p + 2);
		out->plain.generation = get_le32(p + 4);
		if (p[0] == 0 || p[1])
			return -EUCLEAN;
	}
	return 0;
}

void extent_encode(const struct extent *extent, uint8_t *buf)
{
	put_le64(buf, extent->frame);
	put_le32(buf + 8, extent->len);
	put_le32(buf + 12, extent->frame_off);
}

int extent_decode(uint64_t end, const uint8_t *buf, size_t len, struct extent *out)
{
	if (len != RECORD_EXTENT_LEN)
		return -EUCLEAN;
	out->frame = get_le64(buf);
	out->len = get_le32(buf + 8);
	out->frame_off = get_le32(buf + 12);
	if (out->len == 0 || out->len > end)
		return -EUCLEAN;
	out->off = end - out->len;
	return 0;
}

void frame_record_encode(const struct frame_record *record, uint8_t *buf)
{
	buf[0] = RECORD_VERSION;
	buf[1] = record->shared ? FRAME_FLAG_SHARED : 0;
	buf[2] = record->tier;
	buf[3] = record->block_shift;
	put_le64(buf + 4, record->segment);
	put_le64(buf + 12, record->live);
	put_le32(buf + 20, record->off);
	put_le32(buf + 24, record->stored_len);
	put_le32(buf + 28, record->raw_len);
	put_le32(buf + 32, record->header_len);
	put_le16(buf + 36, record->place);
	put_le16(buf + 38, record->heat);
	put_le32(buf + 40, record->last_access);
	buf[44] = record->codec.id;
	buf[45] = (uint8_t)record->codec.level;
	put_le16(buf + 46, record->heat_slow);
	put_le32(buf + 48, record->placed);
}

int frame_record_decode(const uint8_t *buf, size_t len, struct frame_record *out)
{
	memset(out, 0, sizeof(*out));
	if (len != RECORD_FRAME_LEN)
		return -EUCLEAN;
	if (buf[0] != RECORD_VERSION || (buf[1] & ~FRAME_FLAG_SHARED))
		return -ENOTSUP;
	out->shared = buf[1] & FRAME_FLAG_SHARED;
	out->tier = buf[2];
	out->block_shift = buf[3];
	out->segment = get_le64(buf + 4);
	out->live = get_le64(buf + 12);
	out->off = get_le32(buf + 20);
	out->stored_len = get_le32(buf + 24);
	out->raw_len = get_le32(buf + 28);
	out->header_len = get_le32(buf + 32);
	out->place = get_le16(buf + 36);
	out->heat = get_le16(buf + 38);
	out->last_access = get_le32(buf + 40);
	out->codec.id = buf[44];
	out->codec.level = (int8_t)buf[45];
	out->heat_slow = get_le16(buf + 46);
	out->placed = get_le32(buf + 48);
	if (out->block_shift < 12 || out->block_shift > 20 || out->codec.id >= CODEC_COUNT ||
	    out->header_len > out->stored_len || out->raw_len == 0 ||
	    out->raw_len > FRAME_RAW_MAX || out->header_len > FRAME_HEADER_MAX ||
	    out->stored_len - out->header_len > FRAME_RAW_MAX)
		return -EUCLEAN;
	return 0;
}

size_t segment_record_encode(const struct segment_record *record, uint8_t *buf)
{
	buf[0] = record->mirrored ? SEGMENT_MIRRORED : RECORD_VERSION;
	buf[1] = record->tier;
	put_le16(buf + 2, record->place);
	put_le32(buf + 4, 0);
	put_le64(buf + 8, record->len);
	put_le64(buf + 16, record->logical);
	for (unsigned i = 0; i < CODEC_COUNT; i++) {
		put_le64(buf + 24 + i * 24, record->codec[i].raw);
		put_le64(buf + 32 + i * 24, record->codec[i].stored);
		put_le64(buf + 40 + i * 24, record->codec[i].frames);
	}
	if (!record->mirrored)
		return RECORD_SEGMENT_LEN;
	memset(buf + RECORD_SEGMENT_LEN, 0, 16);
	put_le64(buf + RECORD_SEGMENT_LEN, record->homes);
	buf[RECORD_SEGMENT_LEN + 8] = record->wanted;
	return RECORD_SEGMENT_MAX;
}

int segment_record_decode(const uint8_t *buf, size_t len, struct segment_record *out)
{
	bool mirrored = len && buf[0] == SEGMENT_MIRRORED;

	memset(out, 0, sizeof(*out));
	if (len != (mirrored ? RECORD_SEGMENT_MAX : RECORD_SEGMENT_LEN))
		return -EUCLEAN;
	if (!mirrored && buf[0] != RECORD_VERSION)
		return -ENOTSUP;
	out->mirrored = mirrored;
	out->tier = buf[1];
	out->place = get_le16(buf + 2);
	if (out->place >= 64)
		return -EUCLEAN;
	out->homes = mirrored ? get_le64(buf + RECORD_SEGMENT_LEN) : (uint64_t)1 << out->place;
	out->wanted = mirrored ? buf[RECORD_SEGMENT_LEN + 8] : 0;
	if (!(out->homes >> out->place & 1))
		return -EUCLEAN;
	out->len = get_le64(buf + 8);
	out->logical = get_le64(buf + 16);
	for (unsigned i = 0; i < CODEC_COUNT; i++) {
		out->codec[i].raw = get_le64(buf + 24 + i * 24);
		out->codec[i].stored = get_le64(buf + 32 + i * 24);
		out->codec[i].frames = get_le64(buf + 40 + i * 24);
	}
	return 0;
}

enum { SYNCED_AT_KIND = 0, SYNCED_AT_OFF = 8, SYNCED_AT_BYTES = 16, SYNCED_CUT_LEN = 24 };

size_t synced_record_encode(const struct synced_record *record, uint8_t *buf)
{
	put_le64(buf + SYNCED_AT_KIND, record->kind);
	put_le64(buf + SYNCED_AT_OFF, record->off);
	if (record->kind != SYNCED_WRITE) {
		put_le64(buf + SYNCED_AT_BYTES, record->len);
		return SYNCED_CUT_LEN;
	}
	memcpy(buf + SYNCED_AT_BYTES, record->bytes, record->len);
	return SYNCED_AT_BYTES + record->len;
}

int synced_record_decode(const uint8_t *buf, size_t len, struct synced_record *out)
{
	uint64_t kind = len > SYNCED_AT_BYTES ? get_le64(buf + SYNCED_AT_KIND) : 0;

	if (!kind || (kind != SYNCED_WRITE && len != SYNCED_CUT_LEN))
		return -EUCLEAN;
	if (kind > SYNCED_SIZE)
		return -ENOTSUP;
	*out = (struct synced_record){.kind = (enum synced_kind)kind,
				      .off = get_le64(buf + SYNCED_AT_OFF)};
	if (kind == SYNCED_WRITE) {
		out->bytes = buf + SYNCED_AT_BYTES;
		out->len = len - SYNCED_AT_BYTES;
	} else {
		out->len = get_le64(buf + SYNCED_AT_BYTES);
	}
	return 0;
}

void pool_counts_encode(const struct pool_counts *counts, uint8_t *buf)
{
	put_le32(buf, RECORD_VERSION);
	put_le32(buf + 4, (uint32_t)counts->features);
	put_le64(buf + 8, counts->objects);
	put_le64(buf + 16, counts->object_ids);
	put_le64(buf + 24, counts->frame_ids);
	put_le64(buf + 32, counts->segment_ids);
	put_le64(buf + 40, counts->log_epoch);
}

static bool id_limit(uint64_t limit)
{
	return limit > 0 && limit < UINT64_MAX / 2;
}

int pool_counts_decode(const uint8_t *buf, size_t len, struct pool_counts *out)
{
	if (len != RECORD_COUNTS_LEN)
		return -EUCLEAN;
	out->features = get_le32(buf + 4);
	if (get_le32(buf) != RECORD_VERSION || out->features & ~POOL_FEATURE_PLAIN)
		return -ENOTSUP;
	out->objects = get_le64(buf + 8);
	out->object_ids = get_le64(buf + 16);
	out->frame_ids = get_le64(buf + 24);
	out->segment_ids = get_le64(buf + 32);
	out->log_epoch = get_le64(buf + 40);
	/* 0 is nobody's id, and ids are counted up from here. */
	if (!id_limit(out->object_ids) || !id_limit(out->frame_ids) || !id_limit(out->segment_ids))
		return -EUCLEAN;
	return 0;
}
