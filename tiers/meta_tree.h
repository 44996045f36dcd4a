/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The metadata store's tree: LMDB, read by many, written by the checkpoint.
 *
 * Values carry a checksum that every read verifies. Errors: negative errno, logged here: -EBADMSG a
 * value's checksum, -EUCLEAN the tree's structure, -ENOSPC, -EIO.
 *
 * Threads: tree_write(), tree_mark() by one at a time; the rest from any.
 */
#ifndef TERRACE_TIERS_META_TREE_H
#define TERRACE_TIERS_META_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct memtable;
struct tree;
struct tree_read; /* a short look at one committed state */

struct tree_state {	 /* kept in the tree itself */
	uint64_t seq;	 /* every batch up to here is in it */
	uint64_t to_seq; /* batches up to here may be in it in part: the journal has them */
	bool clean;	 /* closed in order, nothing applied since */
};

#define TREE_SUM_LEN 4u /* behind each stored value */
/* The key is part of it: a value that ended up under another key does not verify. */
uint32_t tree_value_sum(const void *key, size_t key_len, const void *value, size_t len);
/* Is it the reserved key of the state record? And is this one whole; what does it say? */
bool tree_state_is(const void *key, size_t key_len);
bool tree_state_sound(const void *value, size_t len, bool *clean);

/* A file that is damaged gives -EUCLEAN, not a crash of LMDB's (meta_walk.h).
 * damaged_values: those alone are no such damage; reading them is -EBADMSG.
 * create: -EEXIST if there is one. Else -ENOENT; -ENOTUNIQ another pool's; -ENOTSUP. */
int tree_open(struct tree **out, const char *dir, const uint8_t *pool_uuid, bool create,
	      bool damaged_values, struct tree_state *state);
/*
 * One committed state, to be looked at only: nothing in the folder changes. live: another process
 * may be writing; else the caller keeps writers out. Looks of one tree do not overlap.
 */
int tree_open_look(struct tree **out, const char *dir, const uint8_t *pool_uuid, bool live,
		   struct tree_state *state);
void tree_close(struct tree *tree);

/* -ENOENT; -ERANGE and *len when cap is too small. */
int tree_get(struct tree *tree, const void *key, size_t key_len, void *buf, size_t cap,
	     size_t *len);

int tree_read_begin(struct tree *tree, struct tree_read **out);
void tree_read_end(struct tree_read *read);
/* First item with key >= (or > with `after`); what is returned is valid until tree_read_end(). A
 * value is verified by tree_read_value(). -ENOENT at the end. */
int tree_read_seek(struct tree_read *read, const void *key, size_t key_len, bool after,
		   const uint8_t **found, size_t *found_len);
int tree_read_next(struct tree_read *read, const uint8_t **found, size_t *found_len);
int tree_read_value(struct tree_read *read, const uint8_t **value, size_t *len);

/*
 * Writes all of the table's words, as the state of batch seq, in transactions of bounded size.
 * Durable on 0. On error parts may be in the tree: it must be tried again, or the journal replayed.
 */
int tree_write(struct tree *tree, struct memtable *table, uint64_t seq);
int tree_mark(struct tree *tree, bool clean);
/* Of the last tree_write(); not while one runs. */
uint64_t tree_seq(const struct tree *tree);

/*
 * Sees to it that the file has blocks for `grow` more bytes of content that came in `items` words
 * (tree_grow() each), so that a later tree_write() does not meet a full disk. frees: may use the
 * headroom. -ENOSPC.
 */
int tree_reserve(struct tree *tree, uint64_t grow, uint64_t items, bool frees);
uint64_t tree_grow(size_t key_len, size_t len);
/* Gives back blocks that are reserved far beyond what grow and items need. Nobody writes meanwhile.
 */
void tree_trim(struct tree *tree, uint64_t grow, uint64_t items);

uint64_t tree_bytes(struct tree *tree);	     /* used pages */
uint64_t tree_disk_bytes(struct tree *tree); /* st_blocks */

#endif
