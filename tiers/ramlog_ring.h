/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The RAM log's chunks: those in use, in order, those free, and when there may be more. Belongs to
 * tiers/ramlog.c, which holds its lock around every call but open and close.
 */
#ifndef TERRACE_TIERS_RAMLOG_RING_H
#define TERRACE_TIERS_RAMLOG_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tiers/ramlog_file.h"

#define RAMLOG_MAX_BYTES_MIN (8u << 20)

struct ramlog_ring {
	char *dir;
	uint64_t log_id;
	uint8_t pool_uuid[16];
	bool held; /* there is no head yet */

	/* The chunks in use: slots[(first + i) % cap] has sequence number oldest + i. */
	struct ramlog_chunk **slots;
	size_t cap, first, count;
	uint64_t oldest;

	struct ramlog_chunk *free;
	size_t nfree;
	size_t max;    /* chunks, in use and free */
	size_t lately; /* the most that were in use; sinks with every trim */

	bool look; /* nothing may change */
	uint64_t next_file;
	uint64_t retry_at; /* monotonic: no growing before it, tmpfs was full; 0: it was not */
};

/* Options as ramlog_open(). After an error only ramlog_ring_close() is allowed. */
int ramlog_ring_open(struct ramlog_ring *ring, const struct ramlog_options *options,
		     bool *recovered);
int ramlog_ring_begin(struct ramlog_ring *ring);
void ramlog_ring_close(struct ramlog_ring *ring); /* the files stay */
int ramlog_ring_discard(struct ramlog_ring *ring);

struct ramlog_chunk *ramlog_ring_current(const struct ramlog_ring *ring);
/* The chunk in use that holds pos, or NULL. */
struct ramlog_chunk *ramlog_ring_at(const struct ramlog_ring *ring, uint64_t pos);
/* The i-th oldest of the ring->count in use. */
struct ramlog_chunk *ramlog_ring_nth(const struct ramlog_ring *ring, size_t i);

/* True if one more chunk may be made now. The caller makes it, as file next_file++, without the
 * lock, one at a time, and hands in what came of it: a chunk, or the error. */
bool ramlog_ring_may_grow(const struct ramlog_ring *ring);
void ramlog_ring_grown(struct ramlog_ring *ring, struct ramlog_chunk *chunk, int err);
/* A free chunk, there must be one, becomes the current one. -ENOMEM. */
int ramlog_ring_advance(struct ramlog_ring *ring);
/* Frees what may go, oldest first; true if anything went. */
bool ramlog_ring_free_oldest(struct ramlog_ring *ring);

void ramlog_ring_limit(struct ramlog_ring *ring, uint64_t max_bytes);
/* Takes free chunks out that are beyond the limit, or, with trim, beyond what was in use lately and
 * a small reserve. */
struct ramlog_chunk *ramlog_ring_shed(struct ramlog_ring *ring, bool trim);
/* Removes such a list; without the lock. */
void ramlog_ring_remove(struct ramlog_ring *ring, struct ramlog_chunk *list);

#endif
