// SPDX-License-Identifier: Apache-2.0
/*
 * Reading frames: what a medium gave back is believed only after its checksum, and even then every
 * length is checked against every other, because a checksum says nothing about who wrote it.
 *
 * Invariants:
 *  1. Any input is safe: nothing beyond buf[0..len) is read, what is allocated is bounded by the
 *     limits in frame.h, and that only after the header's checksum has matched.
 *  2. A header that parses is whole: its blocks tile both the raw bytes and the payload, its
 *     extents tile the raw bytes, so later arithmetic on it cannot overflow.
 *  3. Unsupported (-ENOTSUP) is said only of what a newer program could have written; all else that
 *     does not fit is damage (-EBADMSG).
 * Threads: pure over the caller's buffers and scratch.
 */
#include "compress/frame.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "compress/frame_format.h"

int frame_header_len(const void *buf, size_t len, uint32_t *header_len, uint32_t *stored_len)
{
	const uint8_t *frame = buf;

	*header_len = 0;
	*stored_len = 0;
	if (len < FRAME_FIXED_LEN || get_le32(frame + FRAME_AT_MAGIC) != FRAME_MAGIC)
		return -EBADMSG;
	/* Before the lengths: a newer format may have other limits. */
	if (get_le16(frame + FRAME_AT_VERSION) != FRAME_VERSION)
		return -ENOTSUP;
	if (get_le32(frame + FRAME_AT_INCOMPAT) & ~FRAME_INCOMPAT)
		return -ENOTSUP;

	uint32_t head = get_le32(frame + FRAME_AT_HEADER_LEN);
	uint32_t whole = get_le32(frame + FRAME_AT_STORED_LEN);

	if (head < FRAME_FIXED_LEN || head > FRAME_HEADER_MAX || whole < head ||
	    whole - head > FRAME_RAW_MAX)
		return -EBADMSG;
	*header_len = head;
	*stored_len = whole;
	return 0;
}

/* Everything in the fixed part that does not need the tables. */
static int fixed_parse(const uint8_t *frame, struct frame_header *h)
{
	h->raw_len = get_le32(frame + FRAME_AT_RAW_LEN);
	h->block_size = get_le32(frame + FRAME_AT_BLOCK_SIZE);
	h->nblocks = get_le32(frame + FRAME_AT_NBLOCKS);
	h->nextents = get_le32(frame + FRAME_AT_NEXTENTS);
	h->codec.id = frame[FRAME_AT_CODEC];
	h->codec.level = (int8_t)frame[FRAME_AT_LEVEL];
	h->id = get_le64(frame + FRAME_AT_ID);

	if (!codec_name(h->codec.id) || get_le32(frame + FRAME_AT_FILTERS) != 0 ||
	    get_le64(frame + FRAME_AT_DICTIONARY) != 0 || get_le64(frame + FRAME_AT_BASE) != 0)
		return -ENOTSUP;
	if (get_le16(frame + FRAME_AT_RESERVED16) != 0 ||
	    get_le16(frame + FRAME_AT_RESERVED42) != 0 ||
	    get_le64(frame + FRAME_AT_RESERVED72) != 0 ||
	    get_le64(frame + FRAME_AT_RESERVED80) != 0)
		return -EBADMSG;
	/* frame_bound() checks the limits and is 0 beyond them; less the raw bytes it is what the
	 * header and the tables take. */
	size_t bound = frame_bound(h->raw_len, h->block_size, h->nextents);
	if (bound == 0 || h->raw_len == 0 || h->header_len != bound - h->raw_len)
		return -EBADMSG;
	if (h->nblocks != (h->raw_len + h->block_size - 1) / h->block_size)
		return -EBADMSG;
	return 0;
}

static int blocks_parse(const uint8_t *entry, struct frame_header *h)
{
	uint32_t at = h->header_len;
	uint32_t raw_left = h->raw_len;

	for (uint32_t i = 0; i < h->nblocks; i++, entry += FRAME_BLOCK_ENTRY) {
		struct frame_block *block = &h->blocks[i];
		uint32_t codec = get_le32(entry + FRAME_BLOCK_AT_CODEC);

		block->stored_off = at;
		block->stored_len = get_le32(entry + FRAME_BLOCK_AT_STORED_LEN);
		block->raw_len = raw_left < h->block_size ? raw_left : h->block_size;
		block->codec = (uint8_t)codec;
		block->checksum = get_le64(entry + FRAME_BLOCK_AT_CHECKSUM);
		if (codec > UINT8_MAX)
			return -EBADMSG;
		if (!codec_name(codec))
			return -ENOTSUP;
		if (block->stored_len == 0 || block->stored_len > block->raw_len)
			return -EBADMSG;
		if (codec == CODEC_NONE && block->stored_len != block->raw_len)
			return -EBADMSG;
		at += block->stored_len;
		raw_left -= block->raw_len;
	}
	return at == h->stored_len ? 0 : -EBADMSG;
}

static int extents_parse(const uint8_t *entry, struct frame_header *h)
{
	uint32_t raw_left = h->raw_len;

	for (uint32_t i = 0; i < h->nextents; i++, entry += FRAME_EXTENT_ENTRY) {
		struct frame_extent *extent = &h->extents[i];

		extent->object = get_le64(entry + FRAME_EXTENT_AT_OBJECT);
		extent->generation = get_le32(entry + FRAME_EXTENT_AT_GENERATION);
		extent->length = get_le32(entry + FRAME_EXTENT_AT_LENGTH);
		extent->offset = get_le64(entry + FRAME_EXTENT_AT_OFFSET);
		if (extent->length == 0 || extent->length > raw_left ||
		    extent->offset > (uint64_t)INT64_MAX - extent->length)
			return -EBADMSG;
		raw_left -= extent->length;
	}
	return raw_left == 0 ? 0 : -EBADMSG;
}

const uint8_t *frame_find(const void *buf, size_t len)
{
	uint8_t magic[4];

	put_le32(magic, FRAME_MAGIC);
	return memmem(buf, len, magic, sizeof(magic));
}

int frame_header_parse(const void *buf, size_t len, struct frame_header *out)
{
	const uint8_t *frame = buf;
	struct frame_header h = {0};
	int err;

	*out = (struct frame_header){0};
	err = frame_header_len(buf, len, &h.header_len, &h.stored_len);
	if (err)
		goto out;
	err = -EBADMSG;
	if (len < h.header_len ||
	    get_le64(frame + FRAME_AT_CHECKSUM) != frame_header_checksum(frame, h.header_len))
		goto out;
	err = fixed_parse(frame, &h);
	if (err)
		goto out;

	/* One piece for both tables; the extents need no stricter alignment than the blocks. */
	_Static_assert(_Alignof(struct frame_extent) <= _Alignof(struct frame_block), "one piece");
	h.blocks = malloc(h.nblocks * sizeof(*h.blocks) + h.nextents * sizeof(*h.extents));
	err = -ENOMEM;
	if (!h.blocks)
		goto out;
	h.extents = (struct frame_extent *)(h.blocks + h.nblocks);
	err = blocks_parse(frame + FRAME_FIXED_LEN, &h);
	if (err)
		goto out;
	err = extents_parse(frame + FRAME_FIXED_LEN + (size_t)h.nblocks * FRAME_BLOCK_ENTRY, &h);
out:
	if (err)
		frame_header_release(&h);
	*out = h;
	return err;
}

void frame_header_release(struct frame_header *header)
{
	free(header->blocks);
	*header = (struct frame_header){0};
}

int frame_block_decode(struct codec_scratch *scratch, const struct frame_block *block,
		       const void *stored, size_t len, void *dst)
{
	if (len != block->stored_len || checksum64(stored, len) != block->checksum)
		return -EBADMSG;
	return codec_decode(scratch, block->codec, stored, len, dst, block->raw_len);
}

int frame_decode(struct codec_scratch *scratch, const struct frame_header *header,
		 const void *frame, size_t len, void *dst)
{
	uint8_t *raw = dst;

	if (len < header->stored_len)
		return -EBADMSG;
	for (uint32_t i = 0; i < header->nblocks; i++) {
		const struct frame_block *block = &header->blocks[i];
		int err = frame_block_decode(scratch, block,
					     (const uint8_t *)frame + block->stored_off,
					     block->stored_len, raw);

		if (err)
			return err;
		raw += block->raw_len;
	}
	return 0;
}
