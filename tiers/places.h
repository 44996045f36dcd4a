/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The directories of a pool's tiers while it is open: which there are, closing one, adding and
 * taking out.
 *
 * pool_config()'s paths are those of the mount and do not change; what is there now is asked here.
 * Threads: any; adding and taking out are one at a time.
 */
#ifndef TERRACE_TIERS_PLACES_H
#define TERRACE_TIERS_PLACES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tiers/tier.h"

struct pool;

struct pool_place {
	uint32_t place;	  /* its index */
	const char *path; /* valid until the pool is closed */
	bool closed;	  /* nothing new is put there */
	bool spare;	  /* for further copies only */
	struct tier_space space;
	uint64_t live; /* stored bytes of frames that something points to, and plain files */
	uint32_t segments;
};
/* Calls each() for every directory of a tier, in order of index; ends on non-zero and returns it.
 */
int pool_places(struct pool *pool, uint32_t tier,
		int (*each)(void *arg, const struct pool_place *place), void *arg);
/* Which directory this path is; also one that leads there by other names. -ENOENT none. */
int pool_place_find(struct pool *pool, const char *path, uint32_t *tier, uint32_t *place);

/* From the return on, no frame is appended there any more, and none that was is on its way to its
 * record: what is in the place now is all in the accounts. -ENODEV no such place; -EBUSY after 10 s
 * something was still on its way: closed all the same. */
int pool_place_close(struct pool *pool, uint32_t tier, uint32_t place);
void pool_place_open(struct pool *pool, uint32_t tier, uint32_t place);

/*
 * Adds a directory to a tier: label and folders first, then its line in the configuration file,
 * then it is used. So a crash leaves a pool that opens, with the directory or without it. The
 * directory must exist. spare: it is for further copies only. -EINVAL no such tier, or the path
 * cannot be one of its; -EEXIST it is in use already; and what tier_place_add() says. message (256
 * bytes or more) holds one line.
 */
int pool_place_add(struct pool *pool, uint32_t tier, const char *path, bool spare, char *message,
		   size_t cap);
/*
 * Takes an empty directory out of a tier: out of the configuration file first, then its label. One
 * for further copies need not be empty: those that are elsewhere too are let go. -EBUSY data is in
 * it (evacuate first), or it is the tier's only one, or the metadata is in it; -ENOENT it is none
 * of the tier's.
 */
int pool_place_remove(struct pool *pool, uint32_t tier, const char *path, char *message,
		      size_t cap);
/* Are these the directories that the tier has now, in any order, each for what it is? */
struct config_tier;
bool pool_places_match(struct pool *pool, uint32_t tier, const struct config_tier *config);

#endif
