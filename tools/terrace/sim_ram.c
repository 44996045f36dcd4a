// SPDX-License-Identifier: Apache-2.0
/*
 * The RAM tier of a simulation. Blocks have numbers without gaps, so an array stands for the
 * cache's index: nodes[block] is in small, in main, a ghost, or out.
 */
#include "tools/terrace/sim_ram.h"

#include <errno.h>
#include <stdlib.h>

#include "tiers/blockcache.h"
#include "tiers/s3fifo.h"

struct part {
	struct s3fifo fifo;
	uint64_t bytes;
};

struct sim_ram {
	const struct trace *trace;
	struct sim_ram_counts counts;
	bool keeps; /* a block is small enough */
	unsigned nparts;
	struct part *parts;
	bool *left; /* block: it has been let go before */
	struct s3_node nodes[];
};

int sim_ram_new(struct sim_ram **out, const struct trace *trace, uint64_t limit_bytes)
{
	struct sim_ram *ram = calloc(1, sizeof(*ram) + trace->nblocks * sizeof(struct s3_node));

	if (!ram)
		return -ENOMEM;
	ram->trace = trace;
	ram->nparts = blockcache_shards(limit_bytes);
	ram->keeps = trace->block_bytes <= blockcache_keeps(limit_bytes);
	ram->parts = calloc(ram->nparts, sizeof(*ram->parts));
	ram->left = calloc(trace->nblocks, sizeof(*ram->left));
	if (!ram->parts || !ram->left) {
		sim_ram_free(ram);
		return -ENOMEM;
	}
	for (unsigned i = 0; i < ram->nparts; i++)
		ram->parts[i].fifo.limit = limit_bytes / ram->nparts;
	for (uint32_t b = 0; b < trace->nblocks; b++)
		ram->nodes[b].cost = trace->block_bytes;
	*out = ram;
	return 0;
}

void sim_ram_free(struct sim_ram *ram)
{
	if (!ram)
		return;
	free(ram->parts);
	free(ram->left);
	free(ram);
}

static struct part *part_of(struct sim_ram *ram, uint32_t block)
{
	const struct trace_block *b = &ram->trace->blocks[block];

	return &ram->parts[blockcache_shard_of((uint64_t)b->frame + 1, (uint32_t)b->index,
					       ram->nparts)];
}

/* As make_room() and evict() of the block cache. */
static void make_room(struct sim_ram *ram, struct part *part)
{
	uint64_t size = ram->trace->block_bytes;
	struct s3_node *node;

	while (part->bytes + size > part->fifo.limit && (node = s3fifo_evict(&part->fifo))) {
		part->bytes -= size;
		ram->counts.out++;
		ram->left[node - ram->nodes] = true;
		while (s3fifo_expire(&part->fifo, false))
			;
	}
}

bool sim_ram_use(struct sim_ram *ram, uint32_t block)
{
	struct s3_node *node = &ram->nodes[block];
	bool ghost = node->place == S3_GHOST;
	struct part *part;

	if (node->place == S3_SMALL || node->place == S3_MAIN) {
		s3fifo_touch(node);
		return true;
	}
	if (!ram->keeps)
		return false;
	part = part_of(ram, block);
	s3fifo_remove(&part->fifo, node);
	node->touches = 0;
	make_room(ram, part);
	s3fifo_insert(&part->fifo, node, ghost);
	part->bytes += ram->trace->block_bytes;
	ram->counts.in++;
	ram->counts.again += ram->left[block];
	return false;
}

void sim_ram_counts(const struct sim_ram *ram, struct sim_ram_counts *out)
{
	*out = ram->counts;
}

/* Least recently used -------------------------------------------------------------------------- */

#define NONE UINT32_MAX

struct lru_node {
	uint32_t newer, older;
	bool in;
};

struct sim_lru {
	uint64_t most, count;
	uint32_t newest, oldest;
	struct lru_node nodes[];
};

int sim_lru_new(struct sim_lru **out, const struct trace *trace, uint64_t limit_bytes)
{
	struct sim_lru *lru = calloc(1, sizeof(*lru) + trace->nblocks * sizeof(struct lru_node));

	if (!lru)
		return -ENOMEM;
	lru->most = limit_bytes / trace->block_bytes;
	lru->newest = lru->oldest = NONE;
	*out = lru;
	return 0;
}

void sim_lru_free(struct sim_lru *lru)
{
	free(lru);
}

static void lru_unlink(struct sim_lru *lru, uint32_t block)
{
	struct lru_node *node = &lru->nodes[block];

	if (node->newer != NONE)
		lru->nodes[node->newer].older = node->older;
	else
		lru->newest = node->older;
	if (node->older != NONE)
		lru->nodes[node->older].newer = node->newer;
	else
		lru->oldest = node->newer;
	node->in = false;
	lru->count--;
}

bool sim_lru_use(struct sim_lru *lru, uint32_t block)
{
	struct lru_node *node = &lru->nodes[block];
	bool hit = node->in;

	if (!lru->most)
		return false;
	if (hit)
		lru_unlink(lru, block);
	else if (lru->count == lru->most)
		lru_unlink(lru, lru->oldest);
	*node = (struct lru_node){.newer = NONE, .older = lru->newest, .in = true};
	if (lru->newest != NONE)
		lru->nodes[lru->newest].newer = block;
	else
		lru->oldest = block;
	lru->newest = block;
	lru->count++;
	return hit;
}
