// SPDX-License-Identifier: Apache-2.0
/*
 * Engine "look": the tree as it was committed, under a table in memory with what the journal and
 * the tail add to it, and with what is applied here.
 *
 * A store that is open in another process is seen as of its last checkpoint: that is a state at the
 * end of some batch, as long as no checkpoint is half-way (to_seq beyond seq).
 */
#include "tiers/meta_look.h"

#include <errno.h>
#include <stdlib.h>

#include "tiers/journal.h"
#include "tiers/memtable.h"
#include "tiers/meta_impl.h"
#include "tiers/meta_load.h"
#include "tiers/meta_tree.h"
#include "tiers/tail.h"

#define TABLE_BYTES ((size_t)8 << 20)

struct look {
	struct meta base;
	struct tree *tree;
	struct memtable *table;
	uint64_t seq;
};

static struct look *look_of(struct meta *meta)
{
	return (struct look *)meta;
}

static void look_abandon(struct meta *meta)
{
	struct look *look = look_of(meta);

	tree_close(look->tree);
	memtable_put(look->table);
	free(look);
}

static int look_close(struct meta *meta)
{
	look_abandon(meta);
	return 0;
}

static int insert(struct look *look, const void *ops, size_t len)
{
	struct meta_op op;
	size_t pos = 0, cost = 0;
	int rc;

	while (!(rc = meta_op_next(ops, len, &pos, &op)))
		cost += memtable_cost(op.key_len, op.len);
	return rc == -ENOENT ? meta_ops_insert(ops, len, cost, look->table) : rc;
}

static int look_apply(struct meta *meta, const struct meta_batch *batch, uint64_t *seq)
{
	struct look *look = look_of(meta);
	int rc = insert(look, batch->ops, batch->len);

	if (!rc)
		*seq = ++look->seq;
	return rc;
}

static uint64_t look_seq(struct meta *meta)
{
	return look_of(meta)->seq;
}

static int look_sync(struct meta *meta, uint64_t upto)
{
	(void)meta;
	(void)upto;
	return -EROFS;
}

static bool look_checkpoint_due(struct meta *meta, uint64_t max_age_ns)
{
	(void)meta;
	(void)max_age_ns;
	return false;
}

static int look_checkpoint(struct meta *meta)
{
	(void)meta;
	return -EROFS;
}

static void look_stats(struct meta *meta, struct meta_stats *out)
{
	*out = (struct meta_stats){.memtable_bytes = memtable_bytes(look_of(meta)->table),
				   .tree_bytes = tree_bytes(look_of(meta)->tree)};
}

static void look_sources_get(struct meta *meta, struct meta_sources *out)
{
	*out = (struct meta_sources){.live = look_of(meta)->table, .tree = look_of(meta)->tree};
}

static void look_sources_put(struct meta *meta, struct meta_sources *sources)
{
	(void)meta;
	(void)sources;
}

static const struct meta_ops look_ops = {
	.close = look_close,
	.abandon = look_abandon,
	.apply = look_apply,
	.seq = look_seq,
	.durable_seq = look_seq,
	.sync = look_sync,
	.checkpoint_due = look_checkpoint_due,
	.freeze = look_checkpoint,
	.checkpoint = look_checkpoint,
	.stats = look_stats,
	.sources_get = look_sources_get,
	.sources_put = look_sources_put,
};

struct replay {
	struct look *look;
	struct meta_load *load;
};

static int replay_batch(void *arg, uint64_t seq, const void *ops, size_t len)
{
	struct replay *replay = arg;
	int rc = meta_load_batch(replay->load, ops, len);

	if (!rc)
		replay->look->seq = seq;
	return rc;
}

static int add_journal(struct look *look, const struct meta_look_options *options,
		       const struct tree_state *state, bool *tail_found)
{
	struct journal_options journal = {.dir = options->dir,
					  .damaged = options->damaged,
					  .pool_uuid = options->pool_uuid,
					  .floor_seq = state->seq,
					  .reach_seq = state->to_seq};
	struct tail_options tail = {.dir = options->tail_dir, .pool_uuid = options->pool_uuid};
	struct replay replay = {.look = look};
	uint64_t last;
	int rc = meta_load_new(&replay.load, look->table);

	if (!rc)
		rc = journal_look(&journal, replay_batch, &replay, &last);
	if (!rc && options->tail_dir)
		rc = tail_look(&tail, last, replay_batch, &replay, tail_found);
	if (!rc)
		rc = meta_load_end(replay.load, NULL);
	meta_load_free(replay.load);
	return rc;
}

int meta_open_look(struct meta **out, const struct meta_look_options *options,
		   struct meta_look *found)
{
	struct look *look = calloc(1, sizeof(*look));
	struct tree_state state = {0};
	bool tail = false;
	int rc;

	if (!look)
		return -ENOMEM;
	look->base.ops = &look_ops;
	rc = memtable_new(&look->table, TABLE_BYTES);
	if (!rc)
		rc = tree_open_look(&look->tree, options->dir, options->pool_uuid, options->live,
				    &state);
	look->seq = state.seq;
	if (!rc && !options->live)
		rc = add_journal(look, options, &state, &tail);
	if (rc) {
		look_abandon(&look->base);
		return rc;
	}
	*found = (struct meta_look){.seq = look->seq,
				    .clean = state.clean && look->seq == state.seq,
				    .tail = tail,
				    .settled = !options->live || state.to_seq <= state.seq};
	*out = &look->base;
	return 0;
}
