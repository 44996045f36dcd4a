// SPDX-License-Identifier: Apache-2.0
/*
 * Pinned blocks of the block cache. A hit takes no notice of them: a pinned entry is in a queue
 * that nothing is evicted from, and that is all.
 *
 * Invariant: cache->pinned is the sum of the shards' pinned costs. It is raised before an entry is
 * pinned, so that all together never pass the bound.
 *
 * Threads: any; one shard's lock at a time.
 */
#include <errno.h>

#include "tiers/blockcache_impl.h"

#define PIN_TRIES 8u

/* Of the limit, what may be pinned in all; one shard may have a little more than its part. */
static uint64_t pinned_most(const struct blockcache *cache)
{
	return atomic_load_explicit(&cache->limit, memory_order_relaxed) / 4 * 3;
}

static uint64_t shard_most(const struct shard *shard)
{
	return shard->limit / 8 * 7;
}

static bool take_room(struct shard *shard, uint64_t cost)
{
	struct blockcache *cache = shard->cache;

	if (shard->fifo.queues[S3_PINNED].cost + cost > shard_most(shard))
		return false;
	if (atomic_fetch_add(&cache->pinned, cost) + cost <= pinned_most(cache))
		return true;
	atomic_fetch_sub(&cache->pinned, cost);
	return false;
}

void entry_unpin(struct shard *shard, struct entry *entry, bool out)
{
	atomic_fetch_sub(&shard->cache->pinned, entry->node.cost);
	if (out)
		s3fifo_remove(&shard->fifo, &entry->node);
	else
		s3fifo_place(&shard->fifo, &entry->node, S3_MAIN);
}

void shard_unpin_excess(struct shard *shard)
{
	const struct s3_queue *queue = &shard->fifo.queues[S3_PINNED];

	/* Each shard gives what it has beyond its part: then all together keep the bound. */
	while (queue->oldest &&
	       (queue->cost > shard_most(shard) ||
		(queue->cost > shard->limit / 4 * 3 &&
		 atomic_load(&shard->cache->pinned) > pinned_most(shard->cache)))) {
		entry_unpin(shard, (struct entry *)queue->oldest, false);
		atomic_fetch_add(&shard->cache->unpinned, 1);
	}
}

/* Pins the entry if it is there, decoded. 1: it is not. */
static int pin_present(struct shard *shard, uint64_t hash, uint64_t frame, uint32_t index,
		       uint16_t mark)
{
	struct entry *entry = *shard_find(shard, hash, frame, index);

	while (entry && entry->packing) {
		entry->node.touches = 1; /* stays as it is */
		pthread_cond_wait(&shard->filled, &shard->lock);
		entry = *shard_find(shard, hash, frame, index);
	}
	if (!entry || entry->node.place == S3_OUT || entry->node.place == S3_GHOST ||
	    entry->block->packed_len)
		return 1;
	if (entry->node.place != S3_PINNED) {
		if (!take_room(shard, entry->node.cost))
			return -ENOSPC;
		s3fifo_place(&shard->fifo, &entry->node, S3_PINNED);
	}
	entry->mark = mark;
	return 0;
}

int blockcache_pin(struct blockcache *cache, uint64_t frame, uint32_t index, size_t raw_len,
		   int (*fill)(void *arg, void *buf, size_t len), void *arg, uint16_t mark)
{
	uint64_t hash = blockcache_hash(frame, index);
	struct shard *shard = blockcache_shard(cache, hash);

	/* A block may be evicted again before it is pinned. */
	for (unsigned tries = 0; tries < PIN_TRIES; tries++) {
		struct cached_block *block;
		bool room;
		int rc;

		pthread_mutex_lock(&shard->lock);
		rc = pin_present(shard, hash, frame, index, mark);
		room = shard->fifo.queues[S3_PINNED].cost + raw_len <= shard_most(shard);
		pthread_mutex_unlock(&shard->lock);
		if (rc <= 0)
			return rc;
		if (raw_len > blockcache_keeps(atomic_load(&cache->limit)) || !room ||
		    atomic_load(&cache->pinned) + raw_len > pinned_most(cache))
			return -ENOSPC;
		rc = blockcache_get(cache, frame, index, raw_len, fill, arg, &block, NULL);
		if (rc < 0)
			return rc;
		cached_block_put(block);
	}
	return -ENOSPC;
}

void blockcache_unpin_others(struct blockcache *cache, uint16_t mark)
{
	for (unsigned i = 0; i < cache->nshards; i++) {
		struct shard *shard = &cache->shards[i];
		struct s3_node *node, *newer;

		pthread_mutex_lock(&shard->lock);
		for (node = shard->fifo.queues[S3_PINNED].oldest; node; node = newer) {
			newer = node->newer;
			if (((struct entry *)node)->mark != mark)
				entry_unpin(shard, (struct entry *)node, false);
		}
		shard_shrink(shard);
		pthread_mutex_unlock(&shard->lock);
	}
}

bool blockcache_pinned(struct blockcache *cache, uint64_t frame, uint32_t index)
{
	uint64_t hash = blockcache_hash(frame, index);
	struct shard *shard = blockcache_shard(cache, hash);
	struct entry *entry;
	bool pinned;

	pthread_mutex_lock(&shard->lock);
	entry = *shard_find(shard, hash, frame, index);
	pinned = entry && entry->node.place == S3_PINNED;
	pthread_mutex_unlock(&shard->lock);
	return pinned;
}
