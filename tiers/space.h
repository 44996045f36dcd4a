/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Room: a write is accepted only when some directory tier can take it raw (promise 3).
 *
 * Directories on one medium, also of different tiers, share its free bytes: they are counted once.
 * A quota is one for all directories of its tier. Closed directories are not counted on, nor spare
 * ones.
 *
 * reserved = bytes accepted and not yet in a frame; taken = bytes appended since the media were
 * last asked. A reservation succeeds when reserved + taken + what it asks for fits into the media's
 * free bytes less a headroom, which deletes and metadata may use. Any thread.
 */
#ifndef TERRACE_TIERS_SPACE_H
#define TERRACE_TIERS_SPACE_H

#include <stdbool.h>
#include <stdint.h>

#include "tiers/tier.h"

struct space;

/* tiers stay the caller's. */
int space_new(struct space **out, struct tier *const *tiers, uint32_t ntiers);
/* What is written to a tier takes so many times its bytes there, at most once in each directory;
 * from the next asking on. */
void space_copies(struct space *space, uint32_t tier, unsigned copies);
void space_free(struct space *space);

int space_reserve(struct space *space, uint64_t bytes); /* -ENOSPC */
/* What a recovered log already holds was accepted before: it counts, whether it fits or not. */
void space_reserve_forced(struct space *space, uint64_t bytes);
/* Is more reserved than the media have? */
bool space_overdrawn(struct space *space);
/* Would so many bytes leave room for all that is reserved? */
bool space_has_spare(struct space *space, uint64_t bytes);
void space_unreserve(struct space *space, uint64_t bytes);
void space_taken(struct space *space, uint64_t bytes); /* appended to a tier just now */
void space_refresh(struct space *space);	       /* asks the media again */
void space_totals(struct space *space, uint64_t *total, uint64_t *free_bytes);

#endif
