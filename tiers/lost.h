/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Directories of tiers that are not there: deleted or unmounted while in use, or missing already
 * when the pool was opened, which is allowed where the tier keeps several copies, or the directory
 * is for further copies only, and every segment has one in a directory that is there.
 *
 * A directory that went keeps its place, closed, and counts again when its label is seen. One that
 * was missing, or could not be made again, has no place: its label says which it is when it is
 * back. What lies there then counts only as far as the segments' records still say so; all else is
 * removed.
 *
 * Threads: any; the calls of a pass (replicate.h) from passes only, which take turns.
 */
#ifndef TERRACE_TIERS_LOST_H
#define TERRACE_TIERS_LOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lost;
struct pool;

int lost_new(struct lost **out); /* -ENOMEM */
void lost_free(struct lost *lost);

/* Opening: this path of the tier is left out. -ENOMEM. */
int lost_missing(struct pool *pool, uint32_t tier, const char *path);
/* ... and segments name these places, which no directory has. */
void lost_keep(struct pool *pool, uint32_t tier, uint64_t places);

unsigned lost_count(struct pool *pool);
/* Calls each() for every directory that is not there; went: while in use. Ends on non-zero, which
 * is returned. */
int lost_each(struct pool *pool, int (*each)(void *arg, uint32_t tier, const char *path, bool went),
	      void *arg);
/* Directories that have no place now. */
unsigned lost_without_place(struct pool *pool, uint32_t tier);
bool lost_is_missing(struct pool *pool, uint32_t tier, const char *path);
/* May no other directory have this place? */
bool lost_keeps(struct pool *pool, uint32_t tier, uint32_t place);
/* One that has no place is not waited for any more. False: there is none of this path. */
bool lost_forget(struct pool *pool, uint32_t tier, const char *path);

/* Bit per place that is not there, or not any more. */
uint64_t lost_places(struct pool *pool, uint32_t tier);

/* Of a pass. ids: of all segments. Finds directories that went or are back; copies in those that
 * are not there count no more (homes.h), where another one is. */
void lost_look(struct pool *pool, const uint64_t *ids, size_t n);
/* Copies of which the file has gone. The first error. */
int lost_files(struct pool *pool, const uint64_t *ids, size_t n);
/* Makes directories again that were deleted, while their parent is on the same medium as they were.
 * The segments' records say already that nothing is there. *made: how many. The first error. */
int lost_remake(struct pool *pool, unsigned *made);

#endif
