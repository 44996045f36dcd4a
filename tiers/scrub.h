/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scrubbing: every frame of every directory tier is read from its medium and verified, so that
 * damage is found while something can still be done about it. It runs beside everything else, with
 * idle I/O priority, within scrub_bandwidth and move_pressure, in bounded memory.
 *
 * A pass goes over the segments that there were when it began, in order of their numbers. Where it
 * is, is stored as it goes (terrace-format(5), Scrub): an interrupted one goes on there, also after
 * the daemon died. Threads: any; one pass at a time.
 */
#ifndef TERRACE_TIERS_SCRUB_H
#define TERRACE_TIERS_SCRUB_H

#include <stdbool.h>
#include <stdint.h>

struct move_progress;
struct pool;
struct scrub;

struct scrub_status {
	bool under_way;		/* begun and not ended; it may be interrupted */
	uint64_t segment, off;	/* all before has been verified */
	uint64_t limit;		/* segments from here on are younger than the pass */
	uint64_t began_s;	/* of the pass under way, or of the last one; 0 = never */
	uint64_t ended_s;	/* of the last whole pass; 0 = never */
	uint64_t frames, bytes; /* verified by this or the last pass; stored bytes */
	uint64_t damaged;	/* frames that no place holds whole */
	uint64_t mended;	/* frames and segment headers that were mended */
};

int scrub_new(struct scrub **out); /* -ENOMEM */
void scrub_free(struct scrub *scrub);
int scrub_load(struct pool *pool);
void scrub_settle(struct pool *pool);

void pool_scrub_status(struct pool *pool, struct scrub_status *out);
/*
 * A pass: a new one, or, with resume, the one that was interrupted, if there is one. What is found
 * goes on the list of damage (damage.h); that is no error. Counts stored bytes and damaged frames
 * in progress. -ECANCELED when told to stop: it can be resumed. -EBUSY another call is at it.
 */
int pool_scrub(struct pool *pool, bool resume, struct move_progress *progress);
/* Where none has ever been: as if one had ended now. */
void pool_scrub_count_from_now(struct pool *pool);
/* The interrupted pass will not be resumed. Takes a leaf lock only: scrub_settle() stores it. */
void pool_scrub_give_up(struct pool *pool);

#endif
