/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking at a metadata store without changing a byte of it: what opening it would find, as a store
 * of tiers/meta.h to be read. What is applied to it stays in memory, over the rest: so a check can
 * try what it would mend.
 *
 * Threads: one at a time. Errors as for meta_open_lmdb(), logged.
 */
#ifndef TERRACE_TIERS_META_LOOK_H
#define TERRACE_TIERS_META_LOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tiers/meta.h"

struct meta_look_options {
	const char *dir;
	const char *tail_dir; /* NULL: what lies there does not count */
	const uint8_t *pool_uuid;
	bool live;    /* a process has the store open: its last checkpoint is what is seen */
	bool damaged; /* of a damaged journal, what comes before the damage is seen */
};

struct meta_look {
	uint64_t seq; /* the batch that is the last one seen */
	bool clean;   /* closed in order, nothing since */
	bool tail;    /* in tail_dir there was a tail of this boot */
	/* Not settled: a live store is in the middle of a checkpoint. Try again. */
	bool settled;
};

int meta_open_look(struct meta **out, const struct meta_look_options *options,
		   struct meta_look *look);

/*
 * Reads the whole tree, every page and every value. each() gets the keys whose value does not
 * verify; a non-zero return ends the walk and is returned. -EUCLEAN: the tree is damaged, and must
 * not be given to LMDB; `why` says how, and where that is all that can be said a line is logged.
 *
 * Of a live store, whose pages change meanwhile, only LMDB can tell which count: a child process
 * walks them with it, since LMDB trusts its pages, and a damaged one may end the process. Call
 * without threads.
 */
int meta_look_walk(const struct meta_look_options *options,
		   int (*each)(void *arg, const void *key, size_t key_len), void *arg, char *why,
		   size_t why_cap);

#endif
