/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading many pieces of frames at once: the caller, and workers that have nothing else to do, as
 * long as decoding is what takes the time. A reader whose thread is bound to one processor gets
 * the others this way.
 */
#ifndef TERRACE_TIERS_FRAME_PIECES_H
#define TERRACE_TIERS_FRAME_PIECES_H

#include <stddef.h>
#include <stdint.h>

struct pool;

struct frame_piece {
	uint64_t frame;
	uint32_t off, len; /* raw bytes of the frame */
	void *buf;
	/* result, as from frame_read() */
	uint32_t tier;
	int error;
};

/* Each piece gets its result. The caller holds the data lock as for frame_read(). Any thread. */
void frame_pieces_read(struct pool *pool, struct frame_piece *pieces, size_t n);

#endif
