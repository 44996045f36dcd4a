// SPDX-License-Identifier: Apache-2.0
/*
 * The metadata store's outer calls: wrappers over the engine's table, and batches. Cursors are in
 * meta_cursor.c.
 *
 * Invariants:
 *  1. A batch's bytes are what goes into the journal: encoded once, by its owner, outside all
 * locks.
 *  2. A key or value out of bounds never reaches an engine.
 */
#include "tiers/meta.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "compress/bytes.h"
#include "tiers/memtable.h"
#include "tiers/meta_impl.h"
#include "tiers/meta_tree.h"

#define OP_HEADER_LEN 8u
#define OP_PUT	      1u
#define OP_DEL	      2u

int meta_close(struct meta *meta)
{
	return meta ? meta->ops->close(meta) : 0;
}

void meta_abandon(struct meta *meta)
{
	if (meta)
		meta->ops->abandon(meta);
}

/* A tombstone hides what the tree may hold. */
static int value_copy(const struct memtable_view *view, void *buf, size_t cap, size_t *len)
{
	if (!view->value)
		return -ENOENT;
	*len = view->len;
	if (view->len > cap)
		return -ERANGE;
	if (view->len)
		memcpy(buf, view->value, view->len);
	return 0;
}

/* The value is copied under the sources' reference: no pointer into a table leaves this file. */
int meta_get(struct meta *meta, const void *key, size_t key_len, void *buf, size_t cap, size_t *len)
{
	struct meta_sources sources;
	struct memtable_view view;
	int rc;

	*len = 0;
	if (key_len == 0 || key_len > META_KEY_MAX)
		return -EINVAL;
	meta->ops->sources_get(meta, &sources);
	if (memtable_find(sources.live, key, key_len, &view) ||
	    (sources.frozen && memtable_find(sources.frozen, key, key_len, &view)))
		rc = value_copy(&view, buf, cap, len);
	else
		rc = sources.tree ? tree_get(sources.tree, key, key_len, buf, cap, len) : -ENOENT;
	meta->ops->sources_put(meta, &sources);
	return rc;
}

int meta_batch_new(struct meta_batch **out)
{
	*out = calloc(1, sizeof(**out));
	return *out ? 0 : -ENOMEM;
}

void meta_batch_free(struct meta_batch *batch)
{
	if (!batch)
		return;
	free(batch->ops);
	free(batch);
}

/* The memory stays: a batch that is used again does not allocate. */
void meta_batch_reset(struct meta_batch *batch)
{
	uint8_t *ops = batch->ops;
	size_t cap = batch->cap;

	*batch = (struct meta_batch){.ops = ops, .cap = cap};
}

bool meta_batch_empty(const struct meta_batch *batch)
{
	return batch->count == 0 && !batch->error;
}

void meta_batch_frees(struct meta_batch *batch)
{
	batch->frees = true;
}

/* Room for `more` bytes behind what is there. */
static int batch_room(struct meta_batch *batch, size_t more)
{
	size_t cap = batch->cap ? batch->cap : 512;
	uint8_t *ops;

	if (batch->len + more > META_BATCH_MAX)
		return -E2BIG;
	while (cap < batch->len + more)
		cap *= 2;
	if (cap == batch->cap)
		return 0;
	ops = realloc(batch->ops, cap);
	if (!ops)
		return -ENOMEM;
	batch->ops = ops;
	batch->cap = cap;
	return 0;
}

/* Costs are summed up here, by the owner's thread, so that applying needs one comparison for each.
 */
static int batch_add(struct meta_batch *batch, uint8_t kind, const void *key, size_t key_len,
		     const void *value, size_t len)
{
	uint8_t *op;
	int rc;

	if (batch->error)
		return batch->error;
	if (key_len == 0 || key_len > META_KEY_MAX || len > META_VALUE_MAX)
		rc = -EINVAL;
	else
		rc = batch_room(batch, OP_HEADER_LEN + key_len + len);
	if (rc) {
		batch->error = rc;
		return rc;
	}
	op = batch->ops + batch->len;
	op[0] = kind;
	op[1] = 0;
	put_le16(op + 2, (uint16_t)key_len);
	put_le32(op + 4, (uint32_t)len);
	memcpy(op + OP_HEADER_LEN, key, key_len);
	if (len)
		memcpy(op + OP_HEADER_LEN + key_len, value, len);
	batch->len += OP_HEADER_LEN + key_len + len;
	batch->cost += memtable_cost(key_len, len);
	batch->grow += kind == OP_PUT ? tree_grow(key_len, len) : 0;
	batch->count++;
	return 0;
}

int meta_batch_put(struct meta_batch *batch, const void *key, size_t key_len, const void *value,
		   size_t len)
{
	return batch_add(batch, OP_PUT, key, key_len, value, len);
}

int meta_batch_del(struct meta_batch *batch, const void *key, size_t key_len)
{
	return batch_add(batch, OP_DEL, key, key_len, NULL, 0);
}

/* Checks everything, since replay reads what a medium gave; key and value point into ops. */
int meta_op_next(const void *ops, size_t len, size_t *pos, struct meta_op *out)
{
	const uint8_t *op = (const uint8_t *)ops + *pos;
	size_t left = len - *pos;

	if (!left)
		return -ENOENT;
	if (left < OP_HEADER_LEN)
		return -EBADMSG;
	out->key_len = get_le16(op + 2);
	out->len = get_le32(op + 4);
	if ((op[0] != OP_PUT && op[0] != OP_DEL) || op[1] || out->key_len == 0 ||
	    out->key_len > META_KEY_MAX || out->len > META_VALUE_MAX ||
	    left < OP_HEADER_LEN + out->key_len + out->len || (op[0] == OP_DEL && out->len))
		return -EBADMSG;
	out->key = op + OP_HEADER_LEN;
	out->value = op[0] == OP_PUT ? out->key + out->key_len : NULL;
	*pos += OP_HEADER_LEN + out->key_len + out->len;
	return 0;
}

#define INSERT_WORDS 16u /* as many as an operation on a name has, and more */
_Static_assert(INSERT_WORDS <= MEMTABLE_LOAD_MAX, "what a table takes at once");

int meta_ops_insert(const void *ops, size_t len, size_t cost, struct memtable *table)
{
	struct memtable_view words[INSERT_WORDS];
	struct meta_op op;
	size_t pos = 0, n;
	int rc = memtable_reserve(table, cost);

	while (!rc) {
		for (n = 0; n < INSERT_WORDS && !(rc = meta_op_next(ops, len, &pos, &op)); n++)
			words[n] = (struct memtable_view){op.key, op.value, op.key_len, op.len};
		memtable_set_all(table, words, n);
	}
	return rc == -ENOENT ? 0 : rc;
}

int meta_apply(struct meta *meta, const struct meta_batch *batch, uint64_t *seq)
{
	uint64_t number = 0;
	int rc;

	if (batch->error)
		return batch->error;
	if (!batch->count) {
		if (seq)
			*seq = meta_seq(meta);
		return 0;
	}
	rc = meta->ops->apply(meta, batch, &number);
	if (!rc && seq)
		*seq = number;
	return rc;
}

uint64_t meta_seq(struct meta *meta)
{
	return meta->ops->seq(meta);
}

uint64_t meta_durable_seq(struct meta *meta)
{
	return meta->ops->durable_seq(meta);
}

int meta_sync(struct meta *meta, uint64_t upto)
{
	return meta->ops->sync(meta, upto);
}

bool meta_checkpoint_due(struct meta *meta, uint64_t max_age_ns)
{
	return meta->ops->checkpoint_due(meta, max_age_ns);
}

int meta_freeze(struct meta *meta)
{
	return meta->ops->freeze(meta);
}

int meta_checkpoint(struct meta *meta)
{
	return meta->ops->checkpoint(meta);
}

void meta_stats(struct meta *meta, struct meta_stats *out)
{
	*out = (struct meta_stats){0};
	meta->ops->stats(meta, out);
}
