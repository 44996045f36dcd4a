/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A frame: the stored unit. Header, table of independently coded blocks, table of the extents
 * inside, then the payload (the blocks' stored bytes, one after another). Layout and checks:
 * terrace-format(5). A frame describes itself, so files can be rebuilt from frames alone.
 *
 * Raw bytes of a frame are its extents' bytes one after another, cut into blocks of block_size
 * (the last one shorter). A block that does not shrink by 1/8 is stored as it is.
 *
 * Filters, dictionary and base frame are present in the header and must be zero: a reader answers
 * -ENOTSUP to what it does not know.
 *
 * Threads: pure functions over the caller's buffers; a scratch belongs to one thread at a time.
 */
#ifndef TERRACE_COMPRESS_FRAME_H
#define TERRACE_COMPRESS_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "compress/codec.h"

#define FRAME_RAW_MAX	  (1u << 20) /* most raw bytes in a frame */
#define FRAME_EXTENTS_MAX 8192u	     /* most extents in a frame */
#define FRAME_BLOCK_MIN	  (4u << 10) /* block_size is a power of two between these */
#define FRAME_BLOCK_MAX	  (1u << 20)
#define FRAME_BLOCKS_MAX  (FRAME_RAW_MAX / FRAME_BLOCK_MIN)

/* A run of one object's bytes inside a frame; extents lie in the frame's raw bytes in table order.
 */
struct frame_extent {
	uint64_t object;
	uint32_t generation; /* of the object id; 0 today */
	uint32_t length;     /* bytes, > 0 */
	uint64_t offset;     /* in the object, bytes */
};

struct frame_block {
	uint32_t stored_off; /* from the frame's first byte */
	uint32_t stored_len;
	uint32_t raw_len;
	uint8_t codec;	   /* enum codec_id of this block; CODEC_NONE when it did not shrink */
	uint64_t checksum; /* of the stored bytes */
};

/* A decoded header. The tables point into memory owned by the struct; frame_header_release(). */
struct frame_header {
	uint64_t id;
	struct codec_spec codec; /* asked for; each block says what it got */
	uint32_t header_len;	 /* header and both tables: where the payload begins */
	uint32_t stored_len;	 /* the whole frame */
	uint32_t raw_len;
	uint32_t block_size;
	uint32_t nblocks;
	uint32_t nextents;
	struct frame_block *blocks;
	struct frame_extent *extents;
};

/* Most stored bytes a frame of raw_len bytes, this block size and extent count can take. */
size_t frame_bound(size_t raw_len, size_t block_size, size_t nextents);

/*
 * Encodes raw[0..raw_len), which holds extents[0..nextents) one after another, as frame `id`.
 * cap >= frame_bound(). *stored = length of the frame.
 * Returns 0; -EINVAL (lengths do not add up, a limit above is broken, unknown codec); -ENOMEM.
 */
int frame_encode(struct codec_scratch *scratch, const struct codec_spec *codec, uint32_t block_size,
		 uint64_t id, const struct frame_extent *extents, uint32_t nextents,
		 const void *raw, size_t raw_len, void *dst, size_t cap, size_t *stored);

/*
 * Bytes of header and tables, from the fixed first FRAME_FIXED_LEN bytes of a frame, so that a
 * reader knows how much to fetch. Returns 0, -EBADMSG (no frame here), -ENOTSUP (newer format).
 */
#define FRAME_FIXED_LEN 96u
int frame_header_len(const void *buf, size_t len, uint32_t *header_len, uint32_t *stored_len);

/* The first place in buf[0..len) where a frame may begin, by its magic; NULL: none does. */
const uint8_t *frame_find(const void *buf, size_t len);

/*
 * Parses and verifies header and tables from buf[0..len), len >= header_len.
 * Returns 0, -EBADMSG damaged, -ENOTSUP a version, feature, filter, dictionary or base frame this
 * program does not know, -ENOMEM. On error *out is empty; frame_header_release() is then harmless.
 */
int frame_header_parse(const void *buf, size_t len, struct frame_header *out);
void frame_header_release(struct frame_header *header);

/*
 * Verifies and decodes one block. stored[0..len) are that block's stored bytes,
 * dst has room for block->raw_len. Returns 0, -EBADMSG, -ENOTSUP, -ENOMEM.
 */
int frame_block_decode(struct codec_scratch *scratch, const struct frame_block *block,
		       const void *stored, size_t len, void *dst);

/* Verifies and decodes a whole frame; dst has room for raw_len. Same errors. */
int frame_decode(struct codec_scratch *scratch, const struct frame_header *header,
		 const void *frame, size_t len, void *dst);

#endif
