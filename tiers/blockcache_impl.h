/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the block cache share: blockcache.c (get, evict, drop) and blockcache_pin.c
 * (pins). Not for others. Who calls a function that takes a shard holds its lock.
 */
#ifndef TERRACE_TIERS_BLOCKCACHE_IMPL_H
#define TERRACE_TIERS_BLOCKCACHE_IMPL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "tiers/blockcache.h"
#include "tiers/blockstock.h"
#include "tiers/s3fifo.h"

#define KEEP_SHARE 8u /* a larger share of the limit is not kept */

struct entry {
	struct s3_node node; /* first */
	struct entry *next;  /* in the bucket, or in stock */
	struct cached_block *block;
	uint64_t frame;
	uint32_t index;
	bool again;    /* being filled: it was a ghost */
	bool dropped;  /* being filled: not to be kept */
	uint16_t mark; /* pinned: by whom last, see blockcache_pin() */
};

struct shard {
	_Alignas(CACHE_LINE) pthread_mutex_t lock; /* guards the rest */
	pthread_cond_t filled;
	struct blockcache *cache;
	struct s3fifo fifo;
	struct entry **buckets;
	size_t nbuckets; /* a power of two */
	size_t nentries; /* in the index */
	uint64_t limit, bytes;

	struct blockstock stock;
	struct entry *stock_entries;
	unsigned stock_nentries;

	uint64_t hits, misses, evictions, reused, allocated;
};

struct blockcache {
	_Atomic uint64_t limit;
	_Atomic uint64_t pinned;   /* bytes in all shards */
	_Atomic uint64_t unpinned; /* pins taken off for want of room, ever */
	unsigned nshards;	   /* a power of two; constant */
	struct shard *shards;
};

uint64_t blockcache_hash(uint64_t frame, uint32_t index);
struct shard *blockcache_shard(struct blockcache *cache, uint64_t hash);
/* The link that points to the entry, or to NULL at the end of its bucket. */
struct entry **shard_find(struct shard *shard, uint64_t hash, uint64_t frame, uint32_t index);
/* Back under the limit; what is in stock goes first, it serves nobody. */
void shard_shrink(struct shard *shard);
/* A pinned entry leaves its queue: to main, or out when it is dropped. */
void entry_unpin(struct shard *shard, struct entry *entry, bool out);
/* Takes pins off, the oldest first, until no more is pinned than may be. */
void shard_unpin_excess(struct shard *shard);

#endif
