/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole state of the store, read piece by piece for as long as that takes, while the store goes
 * on and checkpoints are made. Nothing is pinned: no reader of LMDB is held between two pieces, so
 * the tree's file does not grow, and no checkpoint waits for more than one piece.
 *
 * Threads: a snapshot belongs to one thread; one per store at a time.
 */
#ifndef TERRACE_TIERS_META_SNAPSHOT_H
#define TERRACE_TIERS_META_SNAPSHOT_H

#include <pthread.h>
#include <stdint.h>

struct memtable;
struct meta;
struct meta_batch;
struct meta_snapshot;
struct tree;

/* -EBUSY there is one already; -ENOTSUP the engine has no tree; -ENOMEM. */
int meta_snapshot_open(struct meta *meta, struct meta_snapshot **out);
/*
 * The next operations, in place of what is in the batch. Carried out in order, those of all calls
 * up to the one that answers -ENOENT make the state after batch *seq (set then), which is durable.
 * -EAGAIN: the store changes faster than it is read, or a checkpoint failed: to be begun anew.
 * -EBADMSG, -EUCLEAN, -EIO as the tree says.
 */
int meta_snapshot_next(struct meta_snapshot *snapshot, struct meta_batch *batch, uint64_t *seq);
void meta_snapshot_close(struct meta_snapshot *snapshot);

/* For engines. */
struct snapshot_gate {
	pthread_mutex_t lock; /* held while the tree is written and while a piece is read */
	struct meta_snapshot *active;
};
/* tree_write(), told to the snapshot that is being read. */
int snapshot_tree_write(struct snapshot_gate *gate, struct tree *tree, struct memtable *table,
			uint64_t seq);

#endif
