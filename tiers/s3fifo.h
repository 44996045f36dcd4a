/* SPDX-License-Identifier: Apache-2.0 */
/*
 * S3-FIFO (Yang et al., SOSP 2023), the order of eviction and nothing else: no keys, no memory, no
 * locks. Three queues: small (a tenth), where new things wait for a second touch; main; and ghost,
 * which remembers what small gave up, as much as main holds. Beside them: pinned nodes, which stay,
 * and whose room the others do without; and packed ones, which small and main gave up and the
 * caller keeps a while in a smaller form.
 *
 * Nodes belong to the caller. One thread at a time per struct s3fifo.
 */
#ifndef TERRACE_TIERS_S3FIFO_H
#define TERRACE_TIERS_S3FIFO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum s3_place { S3_OUT, S3_SMALL, S3_MAIN, S3_GHOST, S3_PINNED, S3_PACKED, S3_PLACES };

struct s3_node {
	struct s3_node *newer, *older;
	uint64_t cost;	     /* bytes; constant while the node is in a queue */
	enum s3_place place; /* read only for the caller */
	uint8_t touches;     /* 0..3 */
};

struct s3_queue {
	struct s3_node *newest, *oldest;
	uint64_t cost, count;
};

struct s3fifo {
	struct s3_queue queues[S3_PLACES]; /* by enum s3_place; that of S3_OUT stays empty */
	uint64_t limit;			   /* what small, main and pinned are to hold */
	bool half; /* small and main are to hold half of it: the other is for packed ones */
};

/* Of a node that is out. again: it was a ghost when it was asked for. */
void s3fifo_insert(struct s3fifo *fifo, struct s3_node *node, bool again);
void s3fifo_remove(struct s3fifo *fifo, struct s3_node *node);
/* Into the queue of this name, from wherever it is. */
void s3fifo_place(struct s3fifo *fifo, struct s3_node *node, enum s3_place place);
/* What small and main are to hold. */
uint64_t s3fifo_room(const struct s3fifo *fifo);

static inline void s3fifo_touch(struct s3_node *node)
{
	if (node->touches < 3)
		node->touches++;
}

/* The next to go, or NULL when small and main are empty. It is a ghost now (from small) or out. */
struct s3_node *s3fifo_evict(struct s3fifo *fifo);
/* The oldest ghost if there are too many, or with `any` at all; it is out now. NULL: none. */
struct s3_node *s3fifo_expire(struct s3fifo *fifo, bool any);

#endif
