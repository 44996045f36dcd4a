/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Objects that are pinned to memory: their blocks are decoded and pinned in the block cache, and
 * stay so through flushes, moves and scans by others. Which objects those are is not stored: the
 * layer above loads what it has pinned when it mounts, and an object that is found to be pinned to
 * memory when it is flushed, moved or read from a medium joins them.
 *
 * A thread of its own does what was noted. What has changed or gone is found by going over all
 * resident objects and taking the pins off that none of them has renewed.
 *
 * Threads: any. Notes are cheap and may be made with any lock held: a leaf lock inside.
 */
#ifndef TERRACE_TIERS_RESIDENT_H
#define TERRACE_TIERS_RESIDENT_H

#include <stdbool.h>
#include <stdint.h>

#include "tiers/pool.h"

struct object;
struct pool;
struct resident;

int resident_new(struct pool *pool, struct resident **out);
void resident_free(struct resident *resident);

/*
 * Reads what the object has on media into memory and pins it there; its policy has been asked. What
 * is still in the log is in memory already and follows when it is flushed. Raw bytes are added to
 * progress (may be NULL). -ENOSPC: no room for all of it, the rest stays as it is and is tried
 * again when there is more; -ECANCELED; the first error otherwise, the rest is still tried.
 */
int resident_load(struct pool *pool, struct object *object, struct move_progress *progress);

/* The object has got other extents, or was read from a medium: if it is pinned to memory, that is
 * noted. Asks the policy; no transaction may be open. */
void resident_seen(struct pool *pool, uint64_t object);
/* The object has changed or gone, or its policy may have: does nothing unless it is resident. */
void resident_changed(struct pool *pool, uint64_t object);

/* Does what has been noted, now. Tests call it; the thread does every quarter of a second. */
void resident_pass(struct pool *pool);
void *resident_thread(void *pool);

struct resident_stats {
	uint64_t objects;
	uint64_t bytes;	  /* raw, on media, of these objects */
	uint64_t missing; /* of them, not in memory for want of room, or damaged */
};
void resident_stats(struct pool *pool, struct resident_stats *out);
/* Raw bytes of [off, off + len) of a frame that are pinned; 0 without a look when nothing is. */
uint64_t resident_bytes(struct pool *pool, uint64_t frame, uint32_t off, uint32_t len,
			uint32_t block_shift);

#endif
