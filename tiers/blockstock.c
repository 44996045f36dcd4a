// SPDX-License-Identifier: Apache-2.0
/*
 * Buffers in stock, one list per size class. Invariant: stock->bytes is the sum of the sizes of the
 * blocks in the lists. Threads: see the header.
 */
#include "tiers/blockstock.h"

#include <stdlib.h>

#define CLASS_SHIFT 8u /* of the smallest class */

static unsigned class_of(size_t len)
{
	unsigned bits, quarter;

	if (len <= (size_t)1 << CLASS_SHIFT)
		return 0;
	bits = 63u - (unsigned)__builtin_clzll(len - 1);
	quarter = (unsigned)((len - 1 - ((size_t)1 << bits)) >> (bits - 2));
	bits = (bits - CLASS_SHIFT) * 4 + quarter + 1;
	return bits < STOCK_CLASSES ? bits : STOCK_CLASSES;
}

size_t blockstock_size(size_t len, unsigned *class)
{
	size_t base;

	*class = class_of(len);
	if (*class == STOCK_CLASSES)
		return sizeof(struct cached_block) +
		       ((len + CACHE_LINE - 1) & ~(size_t)(CACHE_LINE - 1));
	base = (size_t)1 << (CLASS_SHIFT + *class / 4);
	return sizeof(struct cached_block) + base + base / 4 * (*class % 4);
}

struct cached_block *blockstock_take(struct blockstock *stock, unsigned class, unsigned above)
{
	struct cached_block *block = NULL;

	for (unsigned i = class; i <= class + above && i < STOCK_CLASSES && !block; i++)
		block = stock->lists[i];
	if (block) {
		stock->lists[block->class] = block->next;
		stock->held[block->class] -= block->size;
		stock->bytes -= block->size;
	}
	return block;
}

void blockstock_put(struct blockstock *stock, struct cached_block *block)
{
	block->next = stock->lists[block->class];
	stock->lists[block->class] = block;
	stock->bytes += block->size;
	stock->held[block->class] += block->size;
}

size_t blockstock_give_up(struct blockstock *stock)
{
	struct cached_block *block = NULL;
	uint64_t most = 0;
	size_t size;

	for (unsigned i = 0; i < STOCK_CLASSES; i++) {
		if (stock->held[i] > most) {
			most = stock->held[i];
			block = stock->lists[i];
		}
	}
	if (!block)
		return 0;
	size = block->size;
	free(blockstock_take(stock, block->class, 0));
	return size;
}
