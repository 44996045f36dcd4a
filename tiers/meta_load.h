/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Batches that were logged, on their way into a table that nobody reads yet: gathered, so that the
 * cache misses of many operations are waited for together (memtable_load()).
 *
 * One thread. The table is the caller's.
 */
#ifndef TERRACE_TIERS_META_LOAD_H
#define TERRACE_TIERS_META_LOAD_H

#include <stddef.h>
#include <stdint.h>

struct memtable;
struct meta_load;

struct meta_load_counts {
	uint64_t bytes; /* of operations */
	uint64_t items; /* operations */
	uint64_t grow;	/* bytes of the tree, at most (tree_grow()) */
};

int meta_load_new(struct meta_load **out, struct memtable *table);
/* What has not been ended is lost. */
void meta_load_free(struct meta_load *load);

/* Takes one batch's operations (terrace-format(5)), behind those before. -EBADMSG, -ENOMEM. */
int meta_load_batch(struct meta_load *load, const void *ops, size_t len);
/* All of them are in the table when this returns 0. counts: may be NULL. -ENOMEM. */
int meta_load_end(struct meta_load *load, struct meta_load_counts *counts);

#endif
