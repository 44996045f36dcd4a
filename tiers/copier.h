/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes copies of the metadata (meta_copy.h) in the directories of the pool's tiers, but the one
 * that the metadata is in: now and then while the pool is open, with a quarter of a processor at
 * most and idle I/O priority, and at its closing.
 *
 * Threads: copier_thread() by its thread; copier_last() when that has ended; the rest any.
 */
#ifndef TERRACE_TIERS_COPIER_H
#define TERRACE_TIERS_COPIER_H

#include <stddef.h>
#include <stdint.h>

#include "tiers/meta_copy.h"

struct copier;
struct pool;
struct pool_config;

/* Looks at the copies there are. -ENOMEM. */
int copier_new(struct pool *pool, struct copier **out);
void copier_free(struct copier *copier);
void *copier_thread(void *pool);
/* At the closing, when all is durable: the last state, without pauses, unless that would take long.
 * A failure is logged and is no reason to fail. */
void copier_last(struct pool *pool);

/* Directories that copies go to; the caller frees the list, not the strings. */
int copier_dirs(struct pool *pool, const char ***out, size_t *n);

struct copier_status {
	struct copy_info newest; /* generation 0: none */
	size_t dirs;		 /* that copies go to */
	size_t written;		 /* that the last one was written to, of this mount */
	int error;		 /* of the last try, 0: none */
};
void pool_copies_status(struct pool *pool, struct copier_status *out);

#endif
