// SPDX-License-Identifier: Apache-2.0
/*
 * A queue of operations in front of memtable_load().
 *
 * Invariants:
 *  1. Words leave the queue in the order they came in: the last one on a key counts.
 *  2. Words point into `bytes`, or into a batch that is longer than that, which is done with before
 *     meta_load_batch() returns.
 */
#include "tiers/meta_load.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tiers/memtable.h"
#include "tiers/meta_impl.h"
#include "tiers/meta_tree.h"

#define QUEUE_BYTES (16u << 10) /* stays in the processor's first cache */

struct meta_load {
	struct memtable *table;
	struct meta_load_counts counts;
	size_t n, used;
	size_t cost; /* of the words, in the table's arena */
	struct memtable_view words[MEMTABLE_LOAD_MAX];
	uint8_t bytes[QUEUE_BYTES];
};

int meta_load_new(struct meta_load **out, struct memtable *table)
{
	struct meta_load *load = calloc(1, sizeof(*load));

	if (!load)
		return -ENOMEM;
	load->table = table;
	*out = load;
	return 0;
}

void meta_load_free(struct meta_load *load)
{
	free(load);
}

static int words_load(struct meta_load *load)
{
	int rc = load->n ? memtable_reserve(load->table, load->cost) : 0;

	if (rc)
		return rc;
	memtable_load(load->table, load->words, load->n);
	load->n = 0;
	load->cost = 0;
	return 0;
}

static int words_add(struct meta_load *load, const void *ops, size_t len)
{
	struct meta_op op;
	size_t pos = 0;
	int rc;

	while (!(rc = meta_op_next(ops, len, &pos, &op))) {
		if (load->n == MEMTABLE_LOAD_MAX) {
			rc = words_load(load);
			if (rc)
				return rc;
		}
		load->words[load->n++] = (struct memtable_view){
			.key = op.key, .value = op.value, .key_len = op.key_len, .len = op.len};
		load->cost += memtable_cost(op.key_len, op.len);
		load->counts.grow += op.value ? tree_grow(op.key_len, op.len) : 0;
		load->counts.items++;
	}
	load->counts.bytes += len;
	return rc == -ENOENT ? 0 : rc;
}

int meta_load_batch(struct meta_load *load, const void *ops, size_t len)
{
	int rc = 0;

	if (len > QUEUE_BYTES - load->used) {
		rc = words_load(load);
		load->used = 0;
	}
	if (rc)
		return rc;
	if (len > QUEUE_BYTES) {
		rc = words_add(load, ops, len);
		return rc ? rc : words_load(load);
	}
	memcpy(load->bytes + load->used, ops, len);
	load->used += len;
	return words_add(load, load->bytes + load->used - len, len);
}

int meta_load_end(struct meta_load *load, struct meta_load_counts *counts)
{
	int rc = words_load(load);

	if (counts)
		*counts = load->counts;
	return rc;
}
