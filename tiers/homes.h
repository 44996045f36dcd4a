/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where copies of segments are: which places of its tier each segment lies in. A segment that was
 * never mirrored lies in the place that its frames' records name, and is not listed here.
 *
 * The table says what is so now; the segments' records follow with the next transaction that
 * touches them (txn.c), so a frame is never committed to a place that has missed its bytes. A place
 * leaves a segment when a write, a sync or a missing file shows that its copy is not whole. The
 * last place never leaves.
 *
 * Threads: any; a leaf lock.
 */
#ifndef TERRACE_TIERS_HOMES_H
#define TERRACE_TIERS_HOMES_H

#include <stdbool.h>
#include <stdint.h>

struct homes;

int homes_new(struct homes **out); /* -ENOMEM */
void homes_free(struct homes *homes);

/* A bit per place. first: where it lies if it is not listed. */
uint64_t homes_get(struct homes *homes, uint64_t segment, uint32_t first);
bool homes_has(struct homes *homes, uint64_t segment); /* it is listed */
/* Copies that were asked for by name; 0: as many as its tier has. */
unsigned homes_wanted(struct homes *homes, uint64_t segment);
int homes_set(struct homes *homes, uint64_t segment, uint64_t places, unsigned wanted);
/* False: it is the last one, or was none. */
bool homes_drop(struct homes *homes, uint64_t segment, uint32_t place);
int homes_add(struct homes *homes, uint64_t segment, uint32_t first, uint32_t place);
void homes_forget(struct homes *homes, uint64_t segment);

#endif
