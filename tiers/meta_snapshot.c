// SPDX-License-Identifier: Apache-2.0
/*
 * The tree is walked in pieces while checkpoints change it; what each checkpoint put into the tree
 * since the walk began is handed out too, behind the pieces read before it.
 *
 * Invariants:
 *  1. The tree is never read while a checkpoint is half in it (the gate).
 *  2. A piece read after a checkpoint shows it; one read before it is followed by all words of that
 *     checkpoint. So for every key the last word handed out is that of the last checkpoint.
 *  3. The end is the state of the tree as a checkpoint has left it, never one in the middle.
 * At most PENDING_MAX tables are kept for it: then it gives up.
 */
#include "tiers/meta_snapshot.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "tiers/memtable.h"
#include "tiers/meta_impl.h"
#include "tiers/meta_tree.h"

#define PENDING_MAX 2u
#define PIECE_BYTES (256u << 10)
#define PIECE_ITEMS 4096u

struct meta_snapshot {
	struct snapshot_gate *gate;
	struct tree *tree;
	/* All of it is guarded by the gate. */
	int error;
	bool walked; /* the tree, to its end */
	uint8_t last[META_KEY_MAX];
	size_t last_len;
	struct memtable *pending[PENDING_MAX]; /* checkpoints since, oldest first */
	unsigned npending;
	struct memtable_item *item; /* the next of pending[0]; NULL: at its beginning */
};

int meta_snapshot_open(struct meta *meta, struct meta_snapshot **out)
{
	struct snapshot_gate *gate = meta->ops->gate(meta);
	struct meta_snapshot *snapshot;
	struct meta_sources sources;
	int rc = 0;

	if (!gate)
		return -ENOTSUP;
	snapshot = calloc(1, sizeof(*snapshot));
	if (!snapshot)
		return -ENOMEM;
	meta->ops->sources_get(meta, &sources);
	snapshot->tree = sources.tree;
	meta->ops->sources_put(meta, &sources);
	snapshot->gate = gate;
	pthread_mutex_lock(&gate->lock);
	if (gate->active)
		rc = -EBUSY;
	else
		gate->active = snapshot;
	pthread_mutex_unlock(&gate->lock);
	if (rc)
		free(snapshot);
	else
		*out = snapshot;
	return rc;
}

/* The gate is held. */
static void end_locked(struct meta_snapshot *snapshot)
{
	while (snapshot->npending)
		memtable_put(snapshot->pending[--snapshot->npending]);
	if (snapshot->gate->active == snapshot)
		snapshot->gate->active = NULL;
}

void meta_snapshot_close(struct meta_snapshot *snapshot)
{
	if (!snapshot)
		return;
	pthread_mutex_lock(&snapshot->gate->lock);
	end_locked(snapshot);
	pthread_mutex_unlock(&snapshot->gate->lock);
	free(snapshot);
}

int snapshot_tree_write(struct snapshot_gate *gate, struct tree *tree, struct memtable *table,
			uint64_t seq)
{
	struct meta_snapshot *snapshot;
	int rc;

	pthread_mutex_lock(&gate->lock);
	rc = tree_write(tree, table, seq);
	snapshot = gate->active;
	if (snapshot && !snapshot->error) {
		if (rc || snapshot->npending == PENDING_MAX)
			snapshot->error = -EAGAIN;
		else
			snapshot->pending[snapshot->npending++] = memtable_get(table);
	}
	pthread_mutex_unlock(&gate->lock);
	return rc;
}

/* A piece of the tree, behind the last key. */
static int walk_locked(struct meta_snapshot *snapshot, struct meta_batch *batch)
{
	const uint8_t *key, *value;
	struct tree_read *read;
	size_t key_len, len;
	unsigned items = 0;
	int rc = tree_read_begin(snapshot->tree, &read);

	if (rc)
		return rc;
	rc = tree_read_seek(read, snapshot->last, snapshot->last_len, true, &key, &key_len);
	while (!rc) {
		rc = tree_read_value(read, &value, &len);
		if (!rc)
			rc = meta_batch_put(batch, key, key_len, value, len);
		if (rc)
			break;
		memcpy(snapshot->last, key, key_len);
		snapshot->last_len = key_len;
		if (batch->len >= PIECE_BYTES || ++items == PIECE_ITEMS)
			break;
		rc = tree_read_next(read, &key, &key_len);
	}
	tree_read_end(read);
	if (rc == -ENOENT) {
		snapshot->walked = true;
		rc = 0;
	}
	return rc;
}

/* A piece of what a checkpoint has put into the tree. */
static int pending_locked(struct meta_snapshot *snapshot, struct meta_batch *batch)
{
	struct memtable_item *item = snapshot->item;
	struct memtable_view view;
	int rc = 0;

	if (!item)
		item = memtable_seek(snapshot->pending[0], "", 0, false);
	while (item && !rc && batch->len < PIECE_BYTES) {
		memtable_view(item, &view);
		rc = view.value
			     ? meta_batch_put(batch, view.key, view.key_len, view.value, view.len)
			     : meta_batch_del(batch, view.key, view.key_len);
		item = memtable_next(item);
	}
	snapshot->item = item;
	if (item || rc)
		return rc;
	memtable_put(snapshot->pending[0]);
	snapshot->npending--;
	memmove(snapshot->pending, snapshot->pending + 1,
		snapshot->npending * sizeof(snapshot->pending[0]));
	return 0;
}

int meta_snapshot_next(struct meta_snapshot *snapshot, struct meta_batch *batch, uint64_t *seq)
{
	int rc = 0;

	meta_batch_reset(batch);
	pthread_mutex_lock(&snapshot->gate->lock);
	while (!rc && !batch->count) {
		if (snapshot->error) {
			rc = snapshot->error;
		} else if (snapshot->npending) {
			rc = pending_locked(snapshot, batch);
		} else if (!snapshot->walked) {
			rc = walk_locked(snapshot, batch);
		} else {
			*seq = tree_seq(snapshot->tree);
			end_locked(snapshot);
			rc = -ENOENT;
		}
	}
	pthread_mutex_unlock(&snapshot->gate->lock);
	return rc;
}
