/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way of large reads past the block cache, for frames that nobody has read lately: the stored
 * bytes of neighbours come in one access round the page cache and are decoded right into the
 * reader's memory. Who reads from end to end, once, neither fills memory with what is not wanted
 * again nor waits for the kernel to make that memory. What a stream does not take, or finds
 * damaged, is read by frame_read().
 */
#ifndef TERRACE_TIERS_FRAME_STREAM_H
#define TERRACE_TIERS_FRAME_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tiers/frame_pieces.h"
#include "tiers/records.h"

#define STREAM_PIECES_MAX 32u

struct stream_part {
	struct frame_record record;
	const uint8_t *stored; /* the frame; NULL: not taken */
};

struct frame_stream {
	struct pool *pool;
	uint8_t *buf;
	size_t used;
	struct stream_part parts[STREAM_PIECES_MAX]; /* of the pieces */
};

/* Fetches for up to STREAM_PIECES_MAX pieces; true: for some at least. One thread. */
bool stream_fetch(struct frame_stream *stream, struct pool *pool, const struct frame_piece *pieces,
		  size_t n);
/* Decodes piece i; false: it is to be read by frame_read(). Different pieces on any threads. */
bool stream_decode(const struct frame_stream *stream, struct frame_piece *piece, size_t i);
void stream_end(struct frame_stream *stream); /* also of one that fetched nothing */

#endif
