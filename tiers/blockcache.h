/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decoded hot blocks under one byte limit. Replacement: S3-FIFO (Yang et al., "FIFO queues are all
 * you need for cache eviction", SOSP 2023: small queue 10 %, main queue, ghost queue of keys). Keys
 * are (frame id, block index); frames never change, so an entry never goes stale; a freed frame's
 * entries are dropped to give the room back. What is pinned stays, up to three quarters of the
 * limit; a limit that is lowered takes pins off, the oldest first.
 *
 * Sharded; any thread. One decode at a time per key: others who ask for it wait and share the
 * result. Memory: entries plus buffers never exceed the limit by more than the blocks now being
 * filled; buffers are reused.
 */
#ifndef TERRACE_TIERS_BLOCKCACHE_H
#define TERRACE_TIERS_BLOCKCACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct blockcache;
struct cached_block; /* a reference that keeps the bytes */

int blockcache_new(struct blockcache **out, uint64_t limit_bytes);
void blockcache_free(struct blockcache *cache); /* all references have been put */
/*
 * From now on, blocks that were not used lately are packed with lz4 instead of evicted, in half of
 * the room that pins leave; a hit decodes them again (microseconds), and what does not shrink stays
 * as it is. A thread does it that exists while this is on. Off: what is packed stays until it is
 * evicted. One caller at a time. -EAGAIN: no thread.
 */
int blockcache_pack(struct blockcache *cache, bool on);
/* How many shards there are was settled by blockcache_new(). */
void blockcache_resize(struct blockcache *cache, uint64_t limit_bytes);

/*
 * Gets block (frame, index) of raw_len bytes. On a miss fill(arg, buf, raw_len) is called without
 * locks held to make the bytes; its error is returned (to all who waited) and nothing is kept. *hit
 * (may be NULL) says which; who waited for another's fill has hit. raw_len is the same in every
 * call for a key. A block larger than an eighth of the limit is filled and returned but not kept.
 * Release with cached_block_put(). -ENOMEM.
 */
int blockcache_get(struct blockcache *cache, uint64_t frame, uint32_t index, size_t raw_len,
		   int (*fill)(void *arg, void *buf, size_t len), void *arg,
		   struct cached_block **out, int *hit);
const void *cached_block_data(const struct cached_block *block);
size_t cached_block_len(const struct cached_block *block);
void cached_block_put(struct cached_block *block);

/*
 * Copies up to len bytes from off of a block, if it is there and decoded: a hit. -ENOENT: it is
 * not, which counts as nothing. -EAGAIN: for `every_s` seconds this has not been said of the block;
 * the bytes are to be fetched from where they come from, so that their being used is noticed there.
 */
int blockcache_copy(struct blockcache *cache, uint64_t frame, uint32_t index, void *buf, size_t len,
		    size_t off, uint32_t every_s, size_t *got);

/*
 * As blockcache_get(), and the block stays until blockcache_unpin() or a drop: it is not evicted.
 * `mark` says in whose name; a later pin of the same block replaces it. -ENOSPC: pinned blocks
 * would take more than three quarters of the limit, or the block is too large to be kept; nothing
 * was filled then unless it was on the way.
 */
int blockcache_pin(struct blockcache *cache, uint64_t frame, uint32_t index, size_t raw_len,
		   int (*fill)(void *arg, void *buf, size_t len), void *arg, uint16_t mark);
/* Pinned blocks with another mark become ordinary ones. */
void blockcache_unpin_others(struct blockcache *cache, uint16_t mark);
bool blockcache_pinned(struct blockcache *cache, uint64_t frame, uint32_t index);

/*
 * For who reads past the cache: is the block there, or was it asked for before? Then it belongs
 * into the cache. Otherwise blockcache_remember() has it there from the next time on.
 */
bool blockcache_knows(struct blockcache *cache, uint64_t frame, uint32_t index);
void blockcache_remember(struct blockcache *cache, uint64_t frame, uint32_t index, size_t raw_len);

/* Drops every block of a frame (blocks 0..nblocks-1). References held elsewhere stay valid. */
void blockcache_drop(struct blockcache *cache, uint64_t frame, uint32_t nblocks);
void blockcache_drop_all(struct blockcache *cache);

/* The parts of a cache of this limit, and the part that keeps a block: what `terrace simulate`
 * needs to keep and evict as the cache does. A block larger than blockcache_keeps() is not kept. */
unsigned blockcache_shards(uint64_t limit_bytes);
unsigned blockcache_shard_of(uint64_t frame, uint32_t index, unsigned nshards);
uint64_t blockcache_keeps(uint64_t limit_bytes);

struct blockcache_stats {
	uint64_t limit, bytes, blocks, hits, misses, evictions, reused, allocated;
	uint64_t pinned;   /* bytes */
	uint64_t unpinned; /* pins that a lower limit has taken off, ever */
	uint64_t peak;	   /* most bytes since the last blockcache_peak_reset() */
	uint64_t packed;   /* blocks kept for later, packed where they shrink */
	uint64_t unpacked; /* hits that had to decode one */
};
void blockcache_stats(struct blockcache *cache, struct blockcache_stats *out);
/* The peak begins anew. */
void blockcache_peak_reset(struct blockcache *cache);

#endif
