// SPDX-License-Identifier: Apache-2.0
/*
 * S3-FIFO as in the paper's algorithm 1, with bytes instead of objects.
 *
 * Invariants:
 *  1. A node is in the queue that node->place names, and each queue's cost is the sum of its
 * nodes'.
 *  2. s3fifo_evict() ends: it moves each node of small at most once, and each turn of main takes
 *     one touch away.
 */
#include "tiers/s3fifo.h"

#define SMALL_SHARE  10u /* a tenth of the limit */
#define SECOND_TOUCH 2u	 /* touches after the insertion that let a node pass from small to main */

static void push(struct s3fifo *fifo, struct s3_node *node, enum s3_place place)
{
	struct s3_queue *queue = &fifo->queues[place];

	node->place = place;
	node->newer = NULL;
	node->older = queue->newest;
	if (queue->newest)
		queue->newest->newer = node;
	else
		queue->oldest = node;
	queue->newest = node;
	queue->cost += node->cost;
	queue->count++;
}

void s3fifo_remove(struct s3fifo *fifo, struct s3_node *node)
{
	struct s3_queue *queue = &fifo->queues[node->place];

	if (node->place == S3_OUT)
		return;
	if (node->newer)
		node->newer->older = node->older;
	else
		queue->newest = node->older;
	if (node->older)
		node->older->newer = node->newer;
	else
		queue->oldest = node->newer;
	queue->cost -= node->cost;
	queue->count--;
	node->place = S3_OUT;
}

void s3fifo_insert(struct s3fifo *fifo, struct s3_node *node, bool again)
{
	push(fifo, node, again ? S3_MAIN : S3_SMALL);
}

void s3fifo_place(struct s3fifo *fifo, struct s3_node *node, enum s3_place place)
{
	s3fifo_remove(fifo, node);
	push(fifo, node, place);
}

uint64_t s3fifo_room(const struct s3fifo *fifo)
{
	uint64_t pinned = fifo->queues[S3_PINNED].cost;
	uint64_t room = pinned < fifo->limit ? fifo->limit - pinned : 0;

	return fifo->half ? room / 2 : room;
}

static struct s3_node *evict_main(struct s3fifo *fifo)
{
	struct s3_node *node;

	while ((node = fifo->queues[S3_MAIN].oldest) != NULL) {
		s3fifo_remove(fifo, node);
		if (node->touches == 0)
			return node;
		node->touches--;
		push(fifo, node, S3_MAIN);
	}
	return NULL;
}

static struct s3_node *evict_small(struct s3fifo *fifo)
{
	uint64_t main_limit = s3fifo_room(fifo) - s3fifo_room(fifo) / SMALL_SHARE;
	struct s3_node *node;

	while ((node = fifo->queues[S3_SMALL].oldest) != NULL) {
		s3fifo_remove(fifo, node);
		if (node->touches < SECOND_TOUCH) {
			push(fifo, node, S3_GHOST);
			return node;
		}
		node->touches = 0;
		push(fifo, node, S3_MAIN);
		if (fifo->queues[S3_MAIN].cost > main_limit)
			return evict_main(fifo);
	}
	return NULL;
}

struct s3_node *s3fifo_evict(struct s3fifo *fifo)
{
	struct s3_node *node = NULL;

	if (fifo->queues[S3_SMALL].cost >= s3fifo_room(fifo) / SMALL_SHARE)
		node = evict_small(fifo);
	if (!node)
		node = evict_main(fifo);
	/* Main is empty and small below its share: small is all there is. */
	return node ? node : evict_small(fifo);
}

struct s3_node *s3fifo_expire(struct s3fifo *fifo, bool any)
{
	struct s3_node *node = fifo->queues[S3_GHOST].oldest;

	if (!node || (!any && fifo->queues[S3_GHOST].cost <=
				      s3fifo_room(fifo) - s3fifo_room(fifo) / SMALL_SHARE))
		return NULL;
	s3fifo_remove(fifo, node);
	return node;
}
