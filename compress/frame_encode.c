// SPDX-License-Identifier: Apache-2.0
/*
 * Writing frames. Blocks are coded straight into the caller's buffer, behind the place of the
 * tables, whose sizes are known beforehand; then the tables and the header are filled in.
 *
 * Invariants:
 *  1. A block never takes more than its raw length, so frame_bound() is exact for the worst case
 *     and nothing is written beyond it.
 *  2. What is written, frame_header_parse() accepts: both follow frame_format.h and the limits in
 *     frame.h.
 * Threads: pure over the caller's buffers and scratch.
 */
#include "compress/frame.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "compress/frame_format.h"
#include "compress/probe.h"

static bool block_size_ok(size_t block_size)
{
	return block_size >= FRAME_BLOCK_MIN && block_size <= FRAME_BLOCK_MAX &&
	       (block_size & (block_size - 1)) == 0;
}

size_t frame_bound(size_t raw_len, size_t block_size, size_t nextents)
{
	if (raw_len > FRAME_RAW_MAX || nextents > FRAME_EXTENTS_MAX || !block_size_ok(block_size))
		return 0;
	return FRAME_FIXED_LEN + (raw_len + block_size - 1) / block_size * FRAME_BLOCK_ENTRY +
	       nextents * FRAME_EXTENT_ENTRY + raw_len;
}

static bool extents_ok(const struct frame_extent *extents, uint32_t nextents, size_t raw_len)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < nextents; i++) {
		if (extents[i].length == 0 ||
		    extents[i].offset > (uint64_t)INT64_MAX - extents[i].length)
			return false;
		sum += extents[i].length;
	}
	return sum == raw_len;
}

/* Writes one block to dst (room for len bytes) and its table entry. */
static int block_encode(struct codec_scratch *scratch, const struct codec_spec *codec,
			const uint8_t *raw, size_t len, uint8_t *dst, uint8_t *entry,
			size_t *stored)
{
	unsigned id = codec->id;
	int err = -ENOSPC;

	if (probe_compressible(scratch, codec, raw, len))
		err = codec_encode(scratch, codec, raw, len, dst, len - (len >> PROBE_SAVING_SHIFT),
				   stored);
	if (err == -ENOSPC) {
		id = CODEC_NONE;
		memcpy(dst, raw, len);
		*stored = len;
		err = 0;
	}
	if (err)
		return err;
	put_le32(entry + FRAME_BLOCK_AT_STORED_LEN, (uint32_t)*stored);
	put_le32(entry + FRAME_BLOCK_AT_CODEC, id);
	put_le64(entry + FRAME_BLOCK_AT_CHECKSUM, checksum64(dst, *stored));
	return 0;
}

static void extents_put(uint8_t *entry, const struct frame_extent *extents, uint32_t nextents)
{
	for (uint32_t i = 0; i < nextents; i++, entry += FRAME_EXTENT_ENTRY) {
		put_le64(entry + FRAME_EXTENT_AT_OBJECT, extents[i].object);
		put_le32(entry + FRAME_EXTENT_AT_GENERATION, extents[i].generation);
		put_le32(entry + FRAME_EXTENT_AT_LENGTH, extents[i].length);
		put_le64(entry + FRAME_EXTENT_AT_OFFSET, extents[i].offset);
	}
}

int frame_encode(struct codec_scratch *scratch, const struct codec_spec *codec, uint32_t block_size,
		 uint64_t id, const struct frame_extent *extents, uint32_t nextents,
		 const void *raw, size_t raw_len, void *dst, size_t cap, size_t *stored)
{
	size_t bound = frame_bound(raw_len, block_size, nextents);
	uint8_t *frame = dst;
	size_t header_len;
	size_t at;

	*stored = 0;
	if (bound == 0 || cap < bound || raw_len == 0 || !codec_spec_valid(codec) ||
	    !extents_ok(extents, nextents, raw_len))
		return -EINVAL;
	header_len = bound - raw_len;
	at = header_len;

	uint8_t *entry = frame + FRAME_FIXED_LEN;
	for (size_t off = 0; off < raw_len; off += block_size, entry += FRAME_BLOCK_ENTRY) {
		size_t len = raw_len - off < block_size ? raw_len - off : block_size;
		size_t n = 0;
		int err = block_encode(scratch, codec, (const uint8_t *)raw + off, len, frame + at,
				       entry, &n);

		if (err)
			return err;
		at += n;
	}
	uint32_t nblocks = (uint32_t)((entry - frame) - FRAME_FIXED_LEN) / FRAME_BLOCK_ENTRY;
	extents_put(entry, extents, nextents);

	memset(frame, 0, FRAME_FIXED_LEN);
	put_le32(frame + FRAME_AT_MAGIC, FRAME_MAGIC);
	put_le16(frame + FRAME_AT_VERSION, FRAME_VERSION);
	put_le32(frame + FRAME_AT_HEADER_LEN, (uint32_t)header_len);
	put_le32(frame + FRAME_AT_STORED_LEN, (uint32_t)at);
	put_le32(frame + FRAME_AT_RAW_LEN, (uint32_t)raw_len);
	put_le32(frame + FRAME_AT_BLOCK_SIZE, block_size);
	put_le32(frame + FRAME_AT_NBLOCKS, nblocks);
	put_le32(frame + FRAME_AT_NEXTENTS, nextents);
	frame[FRAME_AT_CODEC] = codec->id;
	frame[FRAME_AT_LEVEL] = (uint8_t)codec->level;
	put_le64(frame + FRAME_AT_ID, id);
	put_le64(frame + FRAME_AT_CHECKSUM, frame_header_checksum(frame, (uint32_t)header_len));
	*stored = at;
	return 0;
}
