// SPDX-License-Identifier: Apache-2.0
/*
 * Fuzzes the frame reader. Checksums would stop nearly every mutation at the door, so the first
 * byte of the input says which of them are mended before the frame is read:
 * bit 0 the header's, bit 1 the blocks'. What is read must also be consistent, see check().
 */
#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "compress/frame.h"
#include "compress/frame_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum mend { MEND_HEADER = 1, MEND_BLOCKS = 2 };

/* Sums of the blocks as the table cuts them, as far as that lies inside the input. */
static void mend_blocks(uint8_t *frame, size_t len, uint32_t header_len)
{
	uint32_t nblocks = get_le32(frame + FRAME_AT_NBLOCKS);
	uint8_t *entry = frame + FRAME_FIXED_LEN;
	size_t at = header_len;

	for (uint32_t i = 0; i < nblocks; i++, entry += FRAME_BLOCK_ENTRY) {
		if ((size_t)(entry - frame) + FRAME_BLOCK_ENTRY > header_len)
			return;
		size_t stored = get_le32(entry + FRAME_BLOCK_AT_STORED_LEN);

		if (stored > len - at)
			return;
		put_le64(entry + FRAME_BLOCK_AT_CHECKSUM, checksum64(frame + at, stored));
		at += stored;
	}
}

/* What the readers above rely on without asking again. */
static void check(const struct frame_header *h)
{
	uint64_t raw = 0, at = h->header_len, covered = 0;

	assert(h->raw_len > 0 && h->raw_len <= FRAME_RAW_MAX);
	assert(h->nblocks <= FRAME_BLOCKS_MAX && h->nextents <= FRAME_EXTENTS_MAX);
	for (uint32_t i = 0; i < h->nblocks; i++) {
		assert(h->blocks[i].stored_off == at);
		assert(h->blocks[i].raw_len <= h->block_size);
		assert(codec_name(h->blocks[i].codec));
		at += h->blocks[i].stored_len;
		raw += h->blocks[i].raw_len;
	}
	for (uint32_t i = 0; i < h->nextents; i++) {
		assert(h->extents[i].offset + h->extents[i].length <= INT64_MAX);
		covered += h->extents[i].length;
	}
	assert(at == h->stored_len && raw == h->raw_len && covered == h->raw_len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct codec_scratch *scratch;
	struct frame_header h;
	uint32_t header_len, stored_len;

	if (len < 1 || (!scratch && codec_scratch_new(&scratch)))
		return -1;
	unsigned mend = data[0];
	uint8_t *frame = malloc(len); /* of that size exactly, for ASan */

	if (!frame)
		return -1;
	memcpy(frame, data + 1, --len);
	frame = realloc(frame, len ? len : 1);
	if (!frame)
		return -1;
	if (frame_header_len(frame, len, &header_len, &stored_len) == 0 && header_len <= len) {
		if (mend & MEND_BLOCKS)
			mend_blocks(frame, len, header_len);
		if (mend & MEND_HEADER)
			put_le64(frame + FRAME_AT_CHECKSUM,
				 frame_header_checksum(frame, header_len));
	}
	if (frame_header_parse(frame, len, &h) == 0) {
		uint8_t *raw = malloc(h.raw_len);

		check(&h);
		if (raw)
			(void)frame_decode(scratch, &h, frame, len, raw);
		free(raw);
	}
	frame_header_release(&h);
	free(frame);
	return 0;
}
