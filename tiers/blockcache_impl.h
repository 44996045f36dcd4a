/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the block cache share: blockcache.c (get, evict, drop), blockcache_pin.c
 * (pins), blockcache_pack.c (packed blocks). Not for others. Who calls a function that takes a
 * shard holds its lock.
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
	bool again : 1;	     /* being filled: it was a ghost, or packed */
	bool dropped : 1;    /* being filled or packed: not to be kept */
	bool packing : 1;    /* its block is being packed: it is in no queue */
	bool from_small : 1; /* packed: becomes a ghost */
	uint16_t mark;	     /* pinned: by whom last, see blockcache_pin() */
};
/* Each lies in a line of its own: a hit waits for memory once for the entry, not twice. */
_Static_assert(sizeof(struct entry) == CACHE_LINE, "one line");

struct shard {
	_Alignas(CACHE_LINE) pthread_mutex_t lock; /* guards the rest */
	pthread_cond_t filled;
	struct blockcache *cache;
	struct s3fifo fifo;
	struct entry **buckets;
	size_t nbuckets; /* a power of two */
	size_t nentries; /* in the index */
	uint64_t limit, bytes;
	uint64_t peak; /* of bytes, since blockcache_peak_reset() */

	struct blockstock stock;
	struct entry *stock_entries;
	unsigned stock_nentries;

	uint64_t hits, misses, evictions, reused, allocated, unpacked;
};

struct blockcache {
	_Atomic uint64_t limit;
	struct packer {
		pthread_mutex_t lock; /* guards on, stop and wake; not held with a shard's */
		pthread_cond_t wake;
		pthread_t thread;
		bool on, stop; /* on: of blockcache_pack() alone */
		_Atomic bool called;
	} packer;
	_Atomic uint64_t pinned;   /* bytes in all shards */
	_Atomic uint64_t unpinned; /* pins taken off for want of room, ever */
	unsigned nshards;	   /* a power of two; constant */
	struct shard *shards;
};

uint64_t blockcache_hash(uint64_t frame, uint32_t index);
struct shard *blockcache_shard(struct blockcache *cache, uint64_t hash);
/* The link that points to the entry, or to NULL at the end of its bucket. */
struct entry **shard_find(struct shard *shard, uint64_t hash, uint64_t frame, uint32_t index);
/* A block with two references, the entry's and the caller's, that is about to be filled. NULL: no
 * memory. */
struct cached_block *shard_block_new(struct shard *shard, size_t len);
/* Drops one reference; the last one puts the block into stock. */
void shard_block_unref(struct shard *shard, struct cached_block *block);
void shard_entry_free(struct shard *shard, struct entry *entry);
/* Back under the limit; what is in stock goes first, it serves nobody. */
void shard_shrink(struct shard *shard);
/* A pinned entry leaves its queue: to main, or out when it is dropped. */
void entry_unpin(struct shard *shard, struct entry *entry, bool out);
/* Takes pins off, the oldest first, until no more is pinned than may be. */
void shard_unpin_excess(struct shard *shard);

/* blockcache_pack.c */
/* Blocks are packed, and there are more plain ones than there should be. */
bool shard_crowded(const struct shard *shard);
/* Wakes the packer. Without a shard's lock. */
void blockcache_pack_soon(struct blockcache *cache);
/* The next packed entry to go, out of its queue or a ghost; NULL: none. */
struct entry *shard_evict_packed(struct shard *shard);
int packed_decode(const struct cached_block *block, void *buf, size_t len);

#endif
