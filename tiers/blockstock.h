/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The block cache's buffers: made once, by size class, and kept in stock between uses. Belongs to
 * tiers/blockcache.c; each of its shards has a stock of its own and calls it under its lock.
 */
#ifndef TERRACE_TIERS_BLOCKSTOCK_H
#define TERRACE_TIERS_BLOCKSTOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CACHE_LINE    64u
/* Four classes to each doubling, from 256 bytes to 1 MiB; beyond, blocks are not kept in stock. */
#define STOCK_CLASSES 49u

struct shard;

struct cached_block {
	struct shard *shard;
	struct cached_block *next; /* in stock */
	size_t size;		   /* what it takes, header included */
	uint32_t len;		   /* of its bytes, decoded */
	uint32_t packed_len;	   /* data is packed, so long; 0: it is not */
	unsigned class;		   /* STOCK_CLASSES: too large for one */
	atomic_uint refs;
	/* Guarded by the shard's lock. */
	unsigned waiters;
	int error;
	uint32_t touched_s; /* see blockcache_copy() */
	bool filling;
	_Alignas(CACHE_LINE) uint8_t data[];
};

struct blockstock {
	struct cached_block *lists[STOCK_CLASSES];
	uint64_t held[STOCK_CLASSES]; /* bytes in each list */
	uint64_t bytes;		      /* in all of them */
};

/* What a block for len bytes takes, and its class. */
size_t blockstock_size(size_t len, unsigned *class);
/* One of this class, or of the next `above` larger ones; or NULL. */
struct cached_block *blockstock_take(struct blockstock *stock, unsigned class, unsigned above);
void blockstock_put(struct blockstock *stock, struct cached_block *block);
/* Frees one block of the class that holds most; its size, 0 when nothing is in stock. */
size_t blockstock_give_up(struct blockstock *stock);

#endif
