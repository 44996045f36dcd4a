/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looks at the metadata's tree file without LMDB, which takes every byte of it for granted: a page
 * that a medium has damaged would end the process, or let it write over what is in use.
 *
 * Everything that LMDB will rely on is checked: both head pages, each page that is in use and its
 * place in the tree, the order of keys and the branches' separators, each value's checksum, the
 * list of free pages, and that no page is used twice. Nothing is changed.
 *
 * One thread; takes one bit of memory for each page of the file and some pages.
 */
#ifndef TERRACE_TIERS_META_WALK_H
#define TERRACE_TIERS_META_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TREE_WALK_ALWAYS_BYTES (64u << 20)

struct tree_walk_counts {
	bool whole; /* else only what is needed to tell that it was closed in order */
	uint64_t pages, items;
};

/*
 * Walks the whole file if its store was not closed in order, or when it has no more than
 * always_bytes in use; a larger one that was closed in order is taken for sound after its head
 * pages and the way to the state record, so that opening takes no time. counts may be NULL.
 *
 * -EUCLEAN damaged: one line names the file, the page and what to do. -ENOENT, -EIO (logged),
 * -ENOMEM.
 */
int tree_walk(const char *path, uint64_t always_bytes, struct tree_walk_counts *counts);
/*
 * The same, always whole, for a file that nobody writes to; each() gets the keys whose value does
 * not verify, which are no damage of the tree then. A non-zero return ends the walk and is
 * returned.
 */
int tree_walk_values(const char *path, int (*each)(void *arg, const void *key, size_t key_len),
		     void *arg, struct tree_walk_counts *counts);

#endif
