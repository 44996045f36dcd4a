// SPDX-License-Identifier: Apache-2.0
/*
 * Engine "memory": one memtable and nothing under it. For tests of what stands on a metadata store.
 * Every applied batch counts as durable. Threads: any; `lock` serialises appliers.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "tiers/memtable.h"
#include "tiers/meta_impl.h"

#define EXPECTED_BYTES ((size_t)4 << 20)

struct mem_store {
	struct meta base;
	pthread_mutex_t lock;
	struct memtable *table;
	_Atomic uint64_t seq;
	_Atomic uint64_t syncs;
};

static struct mem_store *mem_store(struct meta *meta)
{
	return (struct mem_store *)meta;
}

static void mem_abandon(struct meta *meta)
{
	struct mem_store *store = mem_store(meta);

	memtable_put(store->table);
	pthread_mutex_destroy(&store->lock);
	free(store);
}

static int mem_close(struct meta *meta)
{
	mem_abandon(meta);
	return 0;
}

/* meta_ops_insert() fails before the first change or not at all: the bytes are a batch's own. */
static int mem_apply(struct meta *meta, const struct meta_batch *batch, uint64_t *seq)
{
	struct mem_store *store = mem_store(meta);
	int rc;

	pthread_mutex_lock(&store->lock);
	rc = meta_ops_insert(batch->ops, batch->len, batch->cost, store->table);
	if (!rc)
		*seq = atomic_fetch_add(&store->seq, 1) + 1;
	pthread_mutex_unlock(&store->lock);
	return rc;
}

static uint64_t mem_seq(struct meta *meta)
{
	return atomic_load(&mem_store(meta)->seq);
}

static int mem_sync(struct meta *meta, uint64_t upto)
{
	(void)upto;
	atomic_fetch_add(&mem_store(meta)->syncs, 1);
	return 0;
}

static bool mem_checkpoint_due(struct meta *meta, uint64_t max_age_ns)
{
	(void)meta;
	(void)max_age_ns;
	return false;
}

/* There is no tree to move anything to. */
static int mem_nothing(struct meta *meta)
{
	(void)meta;
	return 0;
}

static void mem_stats(struct meta *meta, struct meta_stats *out)
{
	out->memtable_bytes = memtable_bytes(mem_store(meta)->table);
	out->batches = mem_seq(meta);
	out->syncs = atomic_load(&mem_store(meta)->syncs);
}

static void mem_sources_get(struct meta *meta, struct meta_sources *out)
{
	*out = (struct meta_sources){.live = mem_store(meta)->table};
}

static void mem_sources_put(struct meta *meta, struct meta_sources *sources)
{
	(void)meta;
	(void)sources;
}

static struct snapshot_gate *mem_gate(struct meta *meta)
{
	(void)meta;
	return NULL;
}

static const struct meta_ops mem_ops = {
	.close = mem_close,
	.abandon = mem_abandon,
	.apply = mem_apply,
	.seq = mem_seq,
	.durable_seq = mem_seq,
	.sync = mem_sync,
	.checkpoint_due = mem_checkpoint_due,
	.freeze = mem_nothing,
	.checkpoint = mem_nothing,
	.stats = mem_stats,
	.sources_get = mem_sources_get,
	.sources_put = mem_sources_put,
	.gate = mem_gate,
};

int meta_open_memory(struct meta **out)
{
	struct mem_store *store = calloc(1, sizeof(*store));
	int rc;

	if (!store)
		return -ENOMEM;
	rc = memtable_new(&store->table, EXPECTED_BYTES);
	if (rc) {
		free(store);
		return rc;
	}
	store->base.ops = &mem_ops;
	pthread_mutex_init(&store->lock, NULL);
	*out = &store->base;
	return 0;
}
