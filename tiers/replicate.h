/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies of segments in several places of a tier (homes.h): reading from whichever is good, and
 * making good what is missing.
 *
 * A copy of which a file is missing leaves the segment at once, and is made anew from the others: a
 * whole segment is copied, frame by frame verified, synced, read back, and counts when its record
 * says so. A frame that one place gives damaged, and another one well, is moved: written elsewhere,
 * in full number; the old frame goes with all its copies. So nothing is ever written over.
 *
 * Threads: any; passes take turns.
 */
#ifndef TERRACE_TIERS_REPLICATE_H
#define TERRACE_TIERS_REPLICATE_H

#include <stdbool.h>
#include <stdint.h>

#include "tiers/records.h"
#include "tiers/tier.h"

struct copies;
struct move_progress;
struct pool;

int copies_new(struct copies **out); /* -ENOMEM */
void copies_free(struct copies *copies);

/*
 * Calls attempt() for one place after another that has a copy of the frame, until one succeeds or
 * fails for another reason than its medium or bytes (damage_is()). The first error otherwise. What
 * failed in a place although another one could is noted, to be mended.
 */
int copies_try(struct pool *pool, uint64_t frame, const struct frame_record *record,
	       int (*attempt)(void *arg, struct tier_segment seg), void *arg);
/* The frame cannot be had from this place, but from another one. */
void copies_bad(struct pool *pool, uint64_t frame, const struct frame_record *record,
		uint32_t place, int error);

void copies_gone(struct pool *pool, uint64_t frame); /* it was freed */

struct copies_stats {
	uint64_t under;	       /* segments in fewer places than they should be */
	uint64_t under_bytes;  /* stored in them */
	uint64_t stuck_bytes;  /* ... for which there is no other directory */
	uint64_t extra_bytes;  /* stored in copies beyond the first */
	uint64_t bad;	       /* frames that wait to be mended */
	uint64_t fallbacks;    /* reads that another place had to answer; since the mount */
	uint64_t copied_bytes; /* ... stored bytes copied to further places */
	uint64_t lost_places;  /* directories that are not there */
};
void pool_copies(struct pool *pool, struct copies_stats *out);
/* In how many places a frame lies, and should as its segment was made for. */
void copies_of_frame(struct pool *pool, const struct frame_record *record, unsigned *have,
		     unsigned *want);

/* Copies in this place count no more, where another one is; their files go when that is durable.
 * The place is closed. -ENOMEM, or what the commit says. */
int copies_leave(struct pool *pool, uint32_t tier, uint32_t place);

/*
 * Finds directories and files that have gone, copies segments that lie in too few places, moves
 * frames with a bad copy. asked: somebody waits; then every file is looked for, and a directory
 * that was deleted, while its parent is on the same medium as it was, is made again. -ECANCELED, or
 * the first error; the rest is done. What finds no place or no room stays counted.
 */
int pool_replicate(struct pool *pool, bool asked, struct move_progress *progress);

#endif
