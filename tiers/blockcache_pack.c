// SPDX-License-Identifier: Apache-2.0
/*
 * Packed blocks: what small and main give up is kept a while longer, compressed.
 *
 * A thread of the cache's own packs, so that who misses waits for the medium only, and who hits a
 * packed block for its decoding only. It begins when a shard is nearly full, so that a small
 * working set is never packed, and goes on until half of the room is left for packed blocks. Where
 * misses outrun it, blocks are evicted plain. Once there are no more plain ones than there should
 * be, the oldest packed one goes.
 *
 * An entry whose block is being packed is in no queue, and its block can be used as ever; who did
 * use it meanwhile keeps it plain.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "compress/codec.h"
#include "tiers/blockcache_impl.h"
#include "tiers/workers.h"

#define PACK_MIN 1024u /* smaller blocks are not worth a header of their own */

static uint64_t plain_cost(const struct shard *shard)
{
	return shard->fifo.queues[S3_SMALL].cost + shard->fifo.queues[S3_MAIN].cost;
}

struct entry *shard_evict_packed(struct shard *shard)
{
	struct entry *entry;

	/* Where the packer is behind, what it has packed is not thrown away for what it has not. */
	if (plain_cost(shard) > s3fifo_room(&shard->fifo))
		return NULL;
	while ((entry = (struct entry *)shard->fifo.queues[S3_PACKED].oldest)) {
		s3fifo_remove(&shard->fifo, &entry->node);
		if (entry->node.touches) { /* one that did not shrink, and was used */
			entry->node.touches = 0;
			s3fifo_insert(&shard->fifo, &entry->node, true);
			continue;
		}
		if (entry->from_small)
			s3fifo_place(&shard->fifo, &entry->node, S3_GHOST);
		return entry;
	}
	return NULL;
}

bool shard_crowded(const struct shard *shard)
{
	return shard->fifo.half && shard->bytes >= shard->limit - shard->limit / 8 &&
	       plain_cost(shard) > s3fifo_room(&shard->fifo);
}

/* The next to be packed, with a reference to its block; NULL: there are not too many. */
static struct entry *take(struct shard *shard)
{
	struct entry *entry;

	if (!shard_crowded(shard))
		return NULL;
	entry = (struct entry *)s3fifo_evict(&shard->fifo);
	if (!entry)
		return NULL;
	entry->from_small = entry->node.place == S3_GHOST;
	s3fifo_remove(&shard->fifo, &entry->node);
	entry->node.touches = 0;
	entry->packing = true;
	atomic_fetch_add_explicit(&entry->block->refs, 1, memory_order_relaxed);
	return entry;
}

/* Packs into a new buffer; NULL: it does not shrink by a quarter. */
static uint8_t *encode(const struct cached_block *block, size_t *len)
{
	static const struct codec_spec lz4 = {.id = CODEC_LZ4, .level = 1};
	struct codec_scratch *scratch = workers_thread_scratch();
	size_t cap = block->len / 4 * 3;
	uint8_t *buf = scratch && block->len >= PACK_MIN ? malloc(cap) : NULL;

	if (buf && codec_encode(scratch, &lz4, block->data, block->len, buf, cap, len) < 0) {
		free(buf);
		buf = NULL;
	}
	return buf;
}

int packed_decode(const struct cached_block *block, void *buf, size_t len)
{
	struct codec_scratch *scratch = workers_thread_scratch();

	if (!scratch)
		return -ENOMEM;
	return codec_decode(scratch, CODEC_LZ4, block->data, block->packed_len, buf, len);
}

/* The packed bytes take the place of the block. Without memory it stays as it is. */
static void replace(struct shard *shard, struct entry *entry, const uint8_t *buf, size_t len)
{
	struct cached_block *packed = shard_block_new(shard, len);

	if (!packed)
		return;
	memcpy(packed->data, buf, len);
	packed->filling = false;
	packed->len = entry->block->len;
	packed->packed_len = (uint32_t)len;
	shard_block_unref(shard, packed); /* the entry's is left */
	shard_block_unref(shard, entry->block);
	entry->block = packed;
	entry->node.cost = packed->size + sizeof(*entry);
}

/* Our reference is put. */
static void packed_done(struct shard *shard, struct entry *entry, const uint8_t *buf, size_t len)
{
	struct cached_block *block = entry->block;

	entry->packing = false;
	pthread_cond_broadcast(&shard->filled); /* who wants to pin it waits */
	if (entry->dropped) {
		shard_block_unref(shard, block);
		shard_entry_free(shard, entry);
	} else if (entry->node.touches) {
		s3fifo_insert(&shard->fifo, &entry->node, true);
	} else {
		if (buf)
			replace(shard, entry, buf, len);
		s3fifo_place(&shard->fifo, &entry->node, S3_PACKED);
	}
	shard_block_unref(shard, block);
	shard_shrink(shard);
}

static bool pack_one(struct shard *shard)
{
	struct entry *entry;
	uint8_t *buf;
	size_t len = 0;

	pthread_mutex_lock(&shard->lock);
	entry = take(shard);
	pthread_mutex_unlock(&shard->lock);
	if (!entry)
		return false;
	/* The entry stays ours, and its block too: nobody else changes either. */
	buf = encode(entry->block, &len);
	pthread_mutex_lock(&shard->lock);
	packed_done(shard, entry, buf, len);
	pthread_mutex_unlock(&shard->lock);
	free(buf);
	return true;
}

static void *packer_thread(void *arg)
{
	struct blockcache *cache = arg;
	struct packer *packer = &cache->packer;
	bool stop;

	do {
		pthread_mutex_lock(&packer->lock);
		while (!packer->stop && !packer->called)
			pthread_cond_wait(&packer->wake, &packer->lock);
		stop = packer->stop;
		packer->called = false;
		pthread_mutex_unlock(&packer->lock);
		for (bool any = true; any && !stop;) {
			any = false;
			for (unsigned i = 0; i < cache->nshards; i++)
				any = pack_one(&cache->shards[i]) || any;
			/* Whoever stops us waits for one round. */
			pthread_mutex_lock(&packer->lock);
			stop = packer->stop;
			pthread_mutex_unlock(&packer->lock);
		}
	} while (!stop);
	return NULL;
}

void blockcache_pack_soon(struct blockcache *cache)
{
	struct packer *packer = &cache->packer;

	if (atomic_exchange(&packer->called, true))
		return;
	pthread_mutex_lock(&packer->lock);
	pthread_cond_signal(&packer->wake);
	pthread_mutex_unlock(&packer->lock);
}

static void set_half(struct blockcache *cache, bool half)
{
	for (unsigned i = 0; i < cache->nshards; i++) {
		pthread_mutex_lock(&cache->shards[i].lock);
		cache->shards[i].fifo.half = half;
		pthread_mutex_unlock(&cache->shards[i].lock);
	}
}

int blockcache_pack(struct blockcache *cache, bool on)
{
	struct packer *packer = &cache->packer;
	int rc = 0;

	if (on == packer->on)
		return 0;
	if (on) {
		packer->stop = false;
		packer->called = false;
		rc = -pthread_create(&packer->thread, NULL, packer_thread, cache);
	} else {
		pthread_mutex_lock(&packer->lock);
		packer->stop = true;
		pthread_cond_signal(&packer->wake);
		pthread_mutex_unlock(&packer->lock);
		pthread_join(packer->thread, NULL);
	}
	if (rc == 0) {
		packer->on = on;
		set_half(cache, on);
	}
	return rc;
}
