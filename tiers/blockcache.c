// SPDX-License-Identifier: Apache-2.0
/*
 * The block cache: shards, each an index, an S3-FIFO and a stock of buffers under one lock.
 *
 * Invariants:
 *  1. An entry in the index is resident (a block, in small, main or pinned), being filled (a block,
 *     in no queue), packed (a block with packed bytes), being packed (a block, in no queue) or a
 *     ghost (no block). An entry that was dropped while it was filled or packed is in no index; its
 *     filler or packer frees it.
 *  2. A block has one reference for being in its entry and one for each caller; with the last it
 *     goes into the stock. Its bytes do not change after it was filled.
 *  3. shard->bytes is all memory the shard has taken: entries, blocks in use or in stock, index.
 *     It passes the limit only by what is being filled or held when nothing is left to evict.
 *
 * Threads: any. One shard's lock at a time; it is never held while fill() runs. All references are
 * put before blockcache_free().
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tiers/blockcache_impl.h"
#include "tiers/clock.h"

#define SHARDS_MAX	8u
#define SHARD_BYTES	(16u << 20) /* room enough for several of the largest blocks */
#define INDEX_BYTES	(8u << 10)  /* one bucket for so many bytes of limit */
#define STOCK_ABOVE	2u	    /* classes: at most half as large again */
#define STOCK_FAR_ABOVE 8u	    /* ... four times as large */
#define STOCK_SHARE	16u	    /* of the limit may wait in stock for use ... */
#define STOCK_MIN	(1u << 20)  /* ... or so much, but no more than twice that share */
#define STOCK_ENTRIES	256u
#define COPY_LOCKED	4096u /* copied faster than a reference is taken and put */

/* ---- memory ---- */

/* One block in stock less; false: there is none. */
static bool stock_give_up(struct shard *shard)
{
	size_t size = blockstock_give_up(&shard->stock);

	shard->bytes -= size;
	return size != 0;
}

/* Where sizes mix, a small shard needs some stock to find the right one. */
static uint64_t stock_bound(const struct shard *shard)
{
	uint64_t share = shard->limit / STOCK_SHARE;

	return share >= STOCK_MIN ? share : 2 * share < STOCK_MIN ? 2 * share : STOCK_MIN;
}

static void stock_trim(struct shard *shard, uint64_t bound)
{
	while (shard->stock.bytes > bound)
		stock_give_up(shard);
}

void shard_block_unref(struct shard *shard, struct cached_block *block)
{
	if (atomic_fetch_sub_explicit(&block->refs, 1, memory_order_acq_rel) != 1)
		return;
	if (block->class < STOCK_CLASSES) {
		blockstock_put(&shard->stock, block);
	} else {
		shard->bytes -= block->size;
		free(block);
	}
}

static struct entry *entry_new(struct shard *shard)
{
	struct entry *entry = shard->stock_entries;

	if (entry) {
		shard->stock_entries = entry->next;
		shard->stock_nentries--;
	} else {
		entry = aligned_alloc(CACHE_LINE, sizeof(*entry));
		if (!entry)
			return NULL;
		shard->bytes += sizeof(*entry);
	}
	memset(entry, 0, sizeof(*entry));
	return entry;
}

void shard_entry_free(struct shard *shard, struct entry *entry)
{
	if (shard->stock_nentries < STOCK_ENTRIES) {
		entry->next = shard->stock_entries;
		shard->stock_entries = entry;
		shard->stock_nentries++;
	} else {
		shard->bytes -= sizeof(*entry);
		free(entry);
	}
}

/* ---- index ---- */

uint64_t blockcache_hash(uint64_t frame, uint32_t index)
{
	uint64_t h = frame * UINT64_C(0x9e3779b97f4a7c15) + index;

	h = (h ^ h >> 32) * UINT64_C(0xd6e8feb86659fd93);
	h = (h ^ h >> 32) * UINT64_C(0xd6e8feb86659fd93);
	return h ^ h >> 32;
}

static unsigned shard_number(uint64_t hash, unsigned nshards)
{
	return (unsigned)(hash >> 56) & (nshards - 1);
}

unsigned blockcache_shard_of(uint64_t frame, uint32_t index, unsigned nshards)
{
	return shard_number(blockcache_hash(frame, index), nshards);
}

unsigned blockcache_shards(uint64_t limit_bytes)
{
	unsigned n = 1;

	while (n < SHARDS_MAX && limit_bytes / (2 * n) >= SHARD_BYTES)
		n *= 2;
	return n;
}

uint64_t blockcache_keeps(uint64_t limit_bytes)
{
	return limit_bytes / KEEP_SHARE;
}

struct shard *blockcache_shard(struct blockcache *cache, uint64_t hash)
{
	return &cache->shards[shard_number(hash, cache->nshards)];
}

struct entry **shard_find(struct shard *shard, uint64_t hash, uint64_t frame, uint32_t index)
{
	struct entry **link = &shard->buckets[hash & (shard->nbuckets - 1)];

	while (*link && ((*link)->frame != frame || (*link)->index != index))
		link = &(*link)->next;
	return link;
}

static void unindex(struct shard *shard, struct entry *entry)
{
	struct entry **link = shard_find(shard, blockcache_hash(entry->frame, entry->index),
					 entry->frame, entry->index);

	assert(*link == entry);
	*link = entry->next;
	shard->nentries--;
}

/* Twice the buckets when there are more entries than buckets. Without memory chains get longer,
 * nothing else. */
static void index_grow(struct shard *shard)
{
	size_t n = 2 * shard->nbuckets;
	struct entry **buckets, *entry;

	if (shard->nentries <= shard->nbuckets)
		return;
	buckets = calloc(n, sizeof(struct entry *));
	if (!buckets)
		return;
	for (size_t i = 0; i < shard->nbuckets; i++) {
		while ((entry = shard->buckets[i]) != NULL) {
			uint64_t hash = blockcache_hash(entry->frame, entry->index);

			shard->buckets[i] = entry->next;
			entry->next = buckets[hash & (n - 1)];
			buckets[hash & (n - 1)] = entry;
		}
	}
	free(shard->buckets);
	shard->bytes += (n - shard->nbuckets) * sizeof(struct entry *);
	shard->buckets = buckets;
	shard->nbuckets = n;
}

/* A new entry, at the end of its bucket. */
static void entry_index(struct shard *shard, struct entry **link, struct entry *entry,
			uint64_t frame, uint32_t index)
{
	entry->frame = frame;
	entry->index = index;
	*link = entry;
	shard->nentries++;
	index_grow(shard);
}

/* ---- eviction ---- */

static bool expire_ghost(struct shard *shard, bool any)
{
	struct entry *entry = (struct entry *)s3fifo_expire(&shard->fifo, any);

	if (!entry)
		return false;
	unindex(shard, entry);
	shard_entry_free(shard, entry);
	return true;
}

/* Lets one block go; false: there is none. */
static bool evict(struct shard *shard)
{
	struct entry *entry = shard_evict_packed(shard);

	if (!entry)
		entry = (struct entry *)s3fifo_evict(&shard->fifo);
	if (!entry)
		return false;
	shard->evictions++;
	shard_block_unref(shard, entry->block);
	entry->block = NULL;
	if (entry->node.place == S3_OUT) {
		unindex(shard, entry);
		shard_entry_free(shard, entry);
	}
	while (expire_ghost(shard, false))
		;
	return true;
}

/* Makes room for size bytes, or has a block of this class come into stock. */
static struct cached_block *make_room(struct shard *shard, unsigned class, size_t size)
{
	for (;;) {
		/* A larger one than need be only when there is no room for the right one. */
		bool full = shard->bytes + size > shard->limit;
		struct cached_block *block =
			blockstock_take(&shard->stock, class, full ? STOCK_ABOVE : 0);

		if (block || !full)
			return block;
		/* What is evicted comes into stock: it is looked for there before it is freed. */
		if (shard->stock.bytes > stock_bound(shard)) {
			/* Too much waits that is of no use: rather a buffer that is far too large.
			 */
			block = blockstock_take(&shard->stock, class, STOCK_FAR_ABOVE);
			if (block)
				return block;
			stock_give_up(shard);
		} else if (!evict(shard) && !stock_give_up(shard) && !expire_ghost(shard, true)) {
			return NULL;
		}
	}
}

struct cached_block *shard_block_new(struct shard *shard, size_t len)
{
	unsigned class;
	size_t size = blockstock_size(len, &class);
	struct cached_block *block = make_room(shard, class, size);

	if (block) {
		shard->reused++;
	} else {
		block = aligned_alloc(CACHE_LINE, size);
		if (!block)
			return NULL;
		shard->bytes += size;
		shard->allocated++;
		block->shard = shard;
		block->size = size;
		block->class = class;
	}
	block->len = (uint32_t)len;
	block->packed_len = 0;
	block->waiters = 0;
	block->touched_s = clock_coarse_s();
	block->error = 0;
	block->filling = true;
	atomic_init(&block->refs, 2); /* the entry's and the caller's */
	return block;
}

void shard_shrink(struct shard *shard)
{
	if (shard->bytes > shard->peak)
		shard->peak = shard->bytes;
	stock_trim(shard, stock_bound(shard));
	while (shard->bytes > shard->limit)
		if (!stock_give_up(shard) && !evict(shard) && !expire_ghost(shard, true))
			break;
}

/* Out of the cache. One that is being filled or packed stays with who does that. */
static void entry_drop(struct shard *shard, struct entry *entry)
{
	unindex(shard, entry);
	if (entry->packing || (entry->block && entry->block->filling)) {
		entry->dropped = true;
		return;
	}
	if (entry->node.place == S3_PINNED)
		entry_unpin(shard, entry, true);
	else
		s3fifo_remove(&shard->fifo, &entry->node);
	if (entry->block)
		shard_block_unref(shard, entry->block);
	shard_entry_free(shard, entry);
}

/* ---- get ---- */

/* An entry that is being filled, by this thread. NULL: no memory. */
static struct entry *miss(struct shard *shard, struct entry **link, uint64_t frame, uint32_t index,
			  size_t raw_len)
{
	struct entry *entry = *link;

	shard->misses++;
	if (entry) {
		s3fifo_remove(&shard->fifo, &entry->node);
		entry->again = true;
		entry->node.touches = 0;
	} else {
		entry = entry_new(shard);
		if (!entry)
			return NULL;
		entry_index(shard, link, entry, frame, index);
	}
	entry->block = shard_block_new(shard, raw_len);
	if (!entry->block) {
		unindex(shard, entry);
		shard_entry_free(shard, entry);
		return NULL;
	}
	entry->node.cost = entry->block->size + sizeof(*entry);
	return entry;
}

static void fill_done(struct shard *shard, struct entry *entry, int error, bool keep)
{
	struct cached_block *block = entry->block;

	block->filling = false;
	block->error = error;
	if (block->waiters)
		pthread_cond_broadcast(&shard->filled);
	if (!error && keep && !entry->dropped) {
		s3fifo_insert(&shard->fifo, &entry->node, entry->again);
	} else {
		if (!entry->dropped)
			unindex(shard, entry);
		shard_entry_free(shard, entry);
		shard_block_unref(shard, block);
	}
}

/* Takes a reference to a block that is there or on its way. */
static int join(struct shard *shard, struct entry *entry)
{
	struct cached_block *block = entry->block;

	atomic_fetch_add_explicit(&block->refs, 1, memory_order_relaxed);
	s3fifo_touch(&entry->node);
	if (block->filling) {
		block->waiters++;
		/* The entry may be gone when this returns; the block is ours. */
		while (block->filling)
			pthread_cond_wait(&shard->filled, &shard->lock);
	}
	if (block->error)
		shard->misses++;
	else
		shard->hits++;
	return block->error;
}

/* What was packed has been decoded into a new block: it was a hit, though an expensive one. */
static void unpacked(struct shard *shard, struct cached_block *packed)
{
	shard->misses--;
	shard->hits++;
	shard->unpacked++;
	shard_block_unref(shard, packed);
}

int blockcache_get(struct blockcache *cache, uint64_t frame, uint32_t index, size_t raw_len,
		   int (*fill)(void *arg, void *buf, size_t len), void *arg,
		   struct cached_block **out, int *hit)
{
	uint64_t hash = blockcache_hash(frame, index);
	struct shard *shard = blockcache_shard(cache, hash);
	struct cached_block *block, *packed = NULL;
	struct entry *entry, **link;
	bool keep, there, crowded = false;
	int err;

	*out = NULL;
	pthread_mutex_lock(&shard->lock);
	link = shard_find(shard, hash, frame, index);
	entry = *link;
	there = entry && entry->block;
	if (there && !entry->block->packed_len) {
		block = entry->block;
		err = join(shard, entry);
	} else {
		packed = there ? entry->block : NULL; /* with the entry's reference */
		entry = miss(shard, link, frame, index, raw_len);
		if (packed && !entry)
			shard_block_unref(shard, packed);
		if (!entry) {
			pthread_mutex_unlock(&shard->lock);
			return -ENOMEM;
		}
		block = entry->block;
		pthread_mutex_unlock(&shard->lock);
		err = packed ? packed_decode(packed, block->data, raw_len) : -ENOENT;
		if (err)
			err = fill(arg, block->data, raw_len);
		pthread_mutex_lock(&shard->lock);
		if (packed)
			unpacked(shard, packed);
		keep = raw_len <= blockcache_keeps(atomic_load_explicit(&cache->limit,
									memory_order_relaxed)) &&
		       entry->node.cost <= shard->limit;
		fill_done(shard, entry, err, keep);
		shard_shrink(shard);
		crowded = shard_crowded(shard);
	}
	if (err) {
		shard_block_unref(shard, block);
		block = NULL;
	}
	pthread_mutex_unlock(&shard->lock);
	*out = block;
	if (hit)
		*hit = there && !err;
	if (crowded)
		blockcache_pack_soon(cache);
	return err;
}

const void *cached_block_data(const struct cached_block *block)
{
	return block->data;
}

size_t cached_block_len(const struct cached_block *block)
{
	return block->len;
}

/* A large copy is made without the lock. */
static void copy_held(struct shard *shard, struct cached_block *block, void *buf, size_t len,
		      size_t off)
{
	atomic_fetch_add_explicit(&block->refs, 1, memory_order_relaxed);
	pthread_mutex_unlock(&shard->lock);
	memcpy(buf, block->data + off, len);
	cached_block_put(block);
}

int blockcache_copy(struct blockcache *cache, uint64_t frame, uint32_t index, void *buf, size_t len,
		    size_t off, uint32_t every_s, size_t *got)
{
	uint64_t hash = blockcache_hash(frame, index);
	struct shard *shard = blockcache_shard(cache, hash);
	uint32_t now_s = clock_coarse_s();
	struct cached_block *block;
	struct entry *entry;

	*got = 0;
	pthread_mutex_lock(&shard->lock);
	entry = *shard_find(shard, hash, frame, index);
	block = entry ? entry->block : NULL;
	if (!block || block->filling || block->packed_len) {
		pthread_mutex_unlock(&shard->lock);
		return -ENOENT;
	}
	if (now_s - block->touched_s >= every_s) {
		block->touched_s = now_s;
		pthread_mutex_unlock(&shard->lock);
		return -EAGAIN;
	}
	s3fifo_touch(&entry->node);
	shard->hits++;
	if (off < block->len)
		*got = len < block->len - off ? len : block->len - off;
	if (*got > COPY_LOCKED) {
		copy_held(shard, block, buf, *got, off);
		return 0;
	}
	memcpy(buf, block->data + off, *got);
	pthread_mutex_unlock(&shard->lock);
	return 0;
}

void cached_block_put(struct cached_block *block)
{
	struct shard *shard;
	unsigned refs;

	if (!block)
		return;
	/* The common case without the lock: the cache itself still has its reference. */
	refs = atomic_load_explicit(&block->refs, memory_order_relaxed);
	while (refs > 1)
		if (atomic_compare_exchange_weak_explicit(&block->refs, &refs, refs - 1,
							  memory_order_release,
							  memory_order_relaxed))
			return;
	shard = block->shard;
	pthread_mutex_lock(&shard->lock);
	shard_block_unref(shard, block);
	shard_shrink(shard);
	pthread_mutex_unlock(&shard->lock);
}

/* ---- past the cache ---- */

bool blockcache_knows(struct blockcache *cache, uint64_t frame, uint32_t index)
{
	uint64_t hash = blockcache_hash(frame, index);
	struct shard *shard = blockcache_shard(cache, hash);
	bool knows;

	pthread_mutex_lock(&shard->lock);
	knows = *shard_find(shard, hash, frame, index) != NULL;
	pthread_mutex_unlock(&shard->lock);
	return knows;
}

/* A ghost of its own. Without memory it is forgotten, which costs a decode. */
void blockcache_remember(struct blockcache *cache, uint64_t frame, uint32_t index, size_t raw_len)
{
	uint64_t hash = blockcache_hash(frame, index);
	struct shard *shard = blockcache_shard(cache, hash);
	struct entry **link, *entry = NULL;
	unsigned class;

	pthread_mutex_lock(&shard->lock);
	shard->misses++;
	link = shard_find(shard, hash, frame, index);
	if (!*link)
		entry = entry_new(shard);
	if (entry) {
		entry_index(shard, link, entry, frame, index);
		entry->node.cost = blockstock_size(raw_len, &class) + sizeof(*entry);
		s3fifo_place(&shard->fifo, &entry->node, S3_GHOST);
		while (expire_ghost(shard, false))
			;
		shard_shrink(shard);
	}
	pthread_mutex_unlock(&shard->lock);
}

/* ---- drop, resize, new, free ---- */

void blockcache_drop(struct blockcache *cache, uint64_t frame, uint32_t nblocks)
{
	for (uint32_t index = 0; index < nblocks; index++) {
		uint64_t hash = blockcache_hash(frame, index);
		struct shard *shard = blockcache_shard(cache, hash);
		struct entry *entry;

		pthread_mutex_lock(&shard->lock);
		entry = *shard_find(shard, hash, frame, index);
		if (entry) {
			entry_drop(shard, entry);
			shard_shrink(shard);
		}
		pthread_mutex_unlock(&shard->lock);
	}
}

static void shard_drop_all(struct shard *shard)
{
	struct entry *entry;

	pthread_mutex_lock(&shard->lock);
	for (size_t i = 0; i < shard->nbuckets; i++)
		while (shard->buckets[i])
			entry_drop(shard, shard->buckets[i]);
	stock_trim(shard, 0);
	while ((entry = shard->stock_entries) != NULL) {
		shard->stock_entries = entry->next;
		shard->bytes -= sizeof(*entry);
		free(entry);
	}
	shard->stock_nentries = 0;
	pthread_mutex_unlock(&shard->lock);
}

void blockcache_drop_all(struct blockcache *cache)
{
	for (unsigned i = 0; i < cache->nshards; i++)
		shard_drop_all(&cache->shards[i]);
}

void blockcache_resize(struct blockcache *cache, uint64_t limit_bytes)
{
	atomic_store_explicit(&cache->limit, limit_bytes, memory_order_relaxed);
	for (unsigned i = 0; i < cache->nshards; i++) {
		struct shard *shard = &cache->shards[i];

		pthread_mutex_lock(&shard->lock);
		shard->limit = limit_bytes / cache->nshards;
		shard->fifo.limit = shard->limit;
		shard_unpin_excess(shard);
		while (expire_ghost(shard, false))
			;
		shard_shrink(shard);
		pthread_mutex_unlock(&shard->lock);
	}
}

static int shard_init(struct shard *shard, uint64_t limit)
{
	size_t buckets = 64;

	while (buckets < limit / INDEX_BYTES)
		buckets *= 2;
	shard->buckets = calloc(buckets, sizeof(struct entry *));
	if (!shard->buckets)
		return -ENOMEM;
	shard->nbuckets = buckets;
	shard->bytes = buckets * sizeof(struct entry *);
	shard->limit = limit;
	shard->fifo.limit = limit;
	pthread_mutex_init(&shard->lock, NULL);
	pthread_cond_init(&shard->filled, NULL);
	return 0;
}

int blockcache_new(struct blockcache **out, uint64_t limit_bytes)
{
	struct blockcache *cache = calloc(1, sizeof(*cache));
	unsigned n = blockcache_shards(limit_bytes);

	*out = NULL;
	if (!cache)
		return -ENOMEM;
	atomic_init(&cache->limit, limit_bytes);
	pthread_mutex_init(&cache->packer.lock, NULL);
	pthread_cond_init(&cache->packer.wake, NULL);
	cache->shards = aligned_alloc(CACHE_LINE, n * sizeof(struct shard));
	if (!cache->shards) {
		free(cache);
		return -ENOMEM;
	}
	memset(cache->shards, 0, n * sizeof(struct shard));
	for (unsigned i = 0; i < n; i++)
		cache->shards[i].cache = cache;
	while (cache->nshards < n) {
		if (shard_init(&cache->shards[cache->nshards], limit_bytes / n) < 0) {
			blockcache_free(cache);
			return -ENOMEM;
		}
		cache->nshards++;
	}
	*out = cache;
	return 0;
}

void blockcache_free(struct blockcache *cache)
{
	if (!cache)
		return;
	blockcache_pack(cache, false);
	for (unsigned i = 0; i < cache->nshards; i++) {
		struct shard *shard = &cache->shards[i];

		shard_drop_all(shard);
		assert(shard->bytes == shard->nbuckets * sizeof(struct entry *));
		free(shard->buckets);
		pthread_cond_destroy(&shard->filled);
		pthread_mutex_destroy(&shard->lock);
	}
	pthread_cond_destroy(&cache->packer.wake);
	pthread_mutex_destroy(&cache->packer.lock);
	free(cache->shards);
	free(cache);
}

void blockcache_stats(struct blockcache *cache, struct blockcache_stats *out)
{
	*out = (struct blockcache_stats){.limit = atomic_load(&cache->limit),
					 .pinned = atomic_load(&cache->pinned),
					 .unpinned = atomic_load(&cache->unpinned)};
	for (unsigned i = 0; i < cache->nshards; i++) {
		struct shard *shard = &cache->shards[i];
		const struct s3_queue *queues = shard->fifo.queues;

		pthread_mutex_lock(&shard->lock);
		out->bytes += shard->bytes;
		out->blocks += queues[S3_SMALL].count + queues[S3_MAIN].count +
			       queues[S3_PINNED].count + queues[S3_PACKED].count;
		out->peak += shard->peak;
		out->packed += queues[S3_PACKED].count;
		out->unpacked += shard->unpacked;
		out->hits += shard->hits;
		out->misses += shard->misses;
		out->evictions += shard->evictions;
		out->reused += shard->reused;
		out->allocated += shard->allocated;
		pthread_mutex_unlock(&shard->lock);
	}
}

void blockcache_peak_reset(struct blockcache *cache)
{
	for (unsigned i = 0; i < cache->nshards; i++) {
		pthread_mutex_lock(&cache->shards[i].lock);
		cache->shards[i].peak = cache->shards[i].bytes;
		pthread_mutex_unlock(&cache->shards[i].lock);
	}
}
