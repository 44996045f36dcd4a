/* SPDX-License-Identifier: Apache-2.0 */
/* What copies.c and replicate.c share. Not for others. */
#ifndef TERRACE_TIERS_COPIES_IMPL_H
#define TERRACE_TIERS_COPIES_IMPL_H

#include <pthread.h>
#include <stdatomic.h>

#include "tiers/lost.h"
#include "tiers/pool_impl.h"
#include "tiers/replicate.h"

struct copies {
	pthread_mutex_t pass; /* one pass at a time; before all others of the pool */
	pthread_mutex_t lock; /* a leaf; guards bad */
	struct idmap bad;     /* frames with a bad copy; values mean nothing */
	_Atomic bool any_bad; /* there are some */
	_Atomic uint64_t fallbacks, copied;
	struct lost *lost; /* lost.h */
	_Atomic uint64_t failed_ns[CONFIG_TIERS_MAX][TIER_PLACES_MAX];
};

/* A copy of the segment as it is now; false: it is not there, or about to go. */
bool segment_look_up(struct pool *pool, uint64_t id, struct segment *out);
/* The frame is to be written anew. */
void copies_mend(struct pool *pool, uint64_t frame);
/* Places that the segment should be in. */
unsigned copies_wanted(struct pool *pool, const struct tunables *tunables, uint64_t segment,
		       uint32_t tier);
/* Stored bytes of its frames. Commit lock held, or a copy. */
uint64_t segment_stored(const struct segment *segment);

#endif
