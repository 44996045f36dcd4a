/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stored frames that one access fetches: of one segment, one behind the other. They come into the
 * caller's memory as they lie in the medium's blocks, so that nothing is copied.
 */
#ifndef TERRACE_TIERS_FRAME_RUN_H
#define TERRACE_TIERS_FRAME_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tiers/records.h"

struct pool;

struct frame_run {
	uint64_t frame; /* the first one, and its record */
	struct frame_record first;
	uint64_t from, end; /* in the segment, from a multiple of READBUF_ALIGN; end 0: no frame */
};

/* Bytes of memory that fetching takes. */
size_t frame_run_bytes(const struct frame_run *run);
/* Puts the frame at the run's end; false: it does not lie there, or the run would take more than
 * `most` bytes. */
bool frame_run_add(struct frame_run *run, uint64_t frame, const struct frame_record *record,
		   size_t most);
/* From a place that gives it, not verified; what the page cache does not hold goes round it. buf is
 * a multiple of READBUF_ALIGN. */
int frame_run_fetch(struct pool *pool, const struct frame_run *run, uint8_t *buf);
/* Where the frame is in what was fetched. */
const uint8_t *frame_run_at(const struct frame_run *run, const struct frame_record *record,
			    const uint8_t *buf);

#endif
