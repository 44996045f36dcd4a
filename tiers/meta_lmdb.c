// SPDX-License-Identifier: Apache-2.0
/*
 * Engine "lmdb": memtable and tail in front, journal for durability, tree behind.
 *
 * Invariants:
 *  1. A batch is in the tail before it is in the live table, and in the live table before its seq
 *     is published: what a reader sees survives the process, what meta_sync() takes is complete.
 *  2. Groups are written by one leader at a time, in the order of seq, without gaps; a group ends
 *     with a batch that somebody asked for, never later.
 *  3. A checkpoint first makes its batches durable in the journal, then writes the tree in several
 *     transactions: at every point tree plus journal is the whole state.
 *  4. The frozen table goes away only after the tree holds it; a read takes the tables first and
 *     the tree's state after, so it never falls between the two.
 *  5. What is applied has room on the medium: blocks for its group and for its pages in the tree.
 *
 * Locks, outermost first: checkpoint_lock, apply_lock, tables_lock; sync_lock is taken alone. The
 * leader holds none while it writes; the checkpoint holds checkpoint_lock only.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>

#include "tiers/clock.h"
#include "tiers/io.h"
#include "tiers/journal.h"
#include "tiers/log.h"
#include "tiers/memtable.h"
#include "tiers/meta_impl.h"
#include "tiers/meta_load.h"
#include "tiers/meta_snapshot.h"
#include "tiers/meta_tree.h"
#include "tiers/tail.h"

#define MEMTABLE_BYTES_DEFAULT ((size_t)32 << 20)
#define WAIT_FACTOR	       2u /* live table: wait for a running checkpoint beyond this */
#define HARD_FACTOR	       4u /* and checkpoint by ourselves beyond this */
#define JOURNAL_FACTOR	       8u /* journal: a checkpoint is due beyond this */

struct tables { /* what readers look into; replaced as a whole */
	_Atomic uint32_t refs;
	struct memtable *live, *frozen;
};

struct pending { /* what a table will ask of the tree */
	uint64_t grow, items;
	uint64_t bytes; /* of its operations in the journal */
};

struct store {
	struct meta base;
	int lock_fd;
	size_t memtable_bytes;
	int (*emergency)(void *arg); /* see struct meta_options */
	void *arg;
	struct tree *tree;
	struct journal *journal;
	struct tail *tail;
	struct snapshot_gate gate; /* its lock is taken after checkpoint_lock */

	pthread_mutex_t checkpoint_lock;

	pthread_mutex_t apply_lock; /* guards what follows */
	pthread_cond_t checkpointed;
	bool checkpointing;
	uint64_t frozen_seq;
	uint64_t changed_ns; /* first change since the last freeze; 0: none */
	struct pending live_pending, frozen_pending;

	pthread_mutex_t tables_lock; /* guards `tables`; its replacement needs apply_lock too */
	struct tables *tables;

	pthread_mutex_t sync_lock; /* guards what follows */
	pthread_cond_t synced;
	bool leading;
	uint64_t want;	 /* highest seq asked for by those who wait for the next round */
	uint64_t target; /* of the round under way */
	uint64_t rounds; /* ended */
	int round_error; /* of the last one */

	_Atomic uint64_t seq, durable;
	_Atomic uint64_t batches, syncs, groups, checkpoints, emergencies;
};

static struct store *store_of(struct meta *meta)
{
	return (struct store *)meta;
}

/* Tables. -------------------------------------------------------------------------------------- */

/* Two atomic steps and a short lock: measured at about 40 ns, less than one miss of the hash index.
 * Without it a reader could hold a table that a checkpoint frees. */
static struct tables *tables_get(struct store *store)
{
	struct tables *tables;

	pthread_mutex_lock(&store->tables_lock);
	tables = store->tables;
	atomic_fetch_add_explicit(&tables->refs, 1, memory_order_relaxed);
	pthread_mutex_unlock(&store->tables_lock);
	return tables;
}

static void tables_put(struct tables *tables)
{
	if (!tables || atomic_fetch_sub_explicit(&tables->refs, 1, memory_order_acq_rel) != 1)
		return;
	memtable_put(tables->live);
	memtable_put(tables->frozen);
	free(tables);
}

/* Takes over the references; on -ENOMEM they stay the caller's. */
static int tables_set(struct store *store, struct memtable *live, struct memtable *frozen)
{
	struct tables *tables = malloc(sizeof(*tables)), *old;

	if (!tables)
		return -ENOMEM;
	atomic_init(&tables->refs, 1);
	tables->live = live;
	tables->frozen = frozen;
	pthread_mutex_lock(&store->tables_lock);
	old = store->tables;
	store->tables = tables;
	pthread_mutex_unlock(&store->tables_lock);
	tables_put(old);
	return 0;
}

static void store_sources_get(struct meta *meta, struct meta_sources *out)
{
	struct tables *tables = tables_get(store_of(meta));

	*out = (struct meta_sources){tables->live, tables->frozen, store_of(meta)->tree, tables};
}

static void store_sources_put(struct meta *meta, struct meta_sources *sources)
{
	(void)meta;
	tables_put(sources->held);
}

/* Group commit. -------------------------------------------------------------------------------- */

static uint64_t store_seq(struct meta *meta)
{
	return atomic_load_explicit(&store_of(meta)->seq, memory_order_acquire);
}

static uint64_t store_durable_seq(struct meta *meta)
{
	return atomic_load_explicit(&store_of(meta)->durable, memory_order_acquire);
}

/* One round as leader. sync_lock held, given up meanwhile. */
static int lead_locked(struct store *store, uint64_t upto)
{
	uint64_t first = atomic_load(&store->durable) + 1;
	uint64_t target = store->want > upto ? store->want : upto;
	int rc;

	store->leading = true;
	store->target = target;
	store->want = 0;
	pthread_mutex_unlock(&store->sync_lock);
	rc = journal_write(store->journal, store->tail, first, target);
	if (!rc) {
		tail_drop(store->tail, target);
		atomic_fetch_add(&store->groups, 1);
	}
	pthread_mutex_lock(&store->sync_lock);
	if (!rc)
		atomic_store_explicit(&store->durable, target, memory_order_release);
	store->leading = false;
	store->round_error = rc;
	store->rounds++;
	pthread_cond_broadcast(&store->synced);
	return rc;
}

/* Waits for the round under way; its error if it was to cover upto. */
static int follow_locked(struct store *store, uint64_t upto)
{
	bool covered = store->target >= upto;
	uint64_t round = store->rounds;

	if (!covered && store->want < upto)
		store->want = upto;
	while (store->rounds == round)
		pthread_cond_wait(&store->synced, &store->sync_lock);
	return covered && store->rounds == round + 1 ? store->round_error : 0;
}

/* Whoever finds no leader becomes one and writes for all who wait meanwhile. The loop is left with
 * an error only by those whose batches the failed round was to cover. */
static int store_sync(struct meta *meta, uint64_t upto)
{
	struct store *store = store_of(meta);
	uint64_t seq = store_seq(meta);
	int rc = 0;

	atomic_fetch_add_explicit(&store->syncs, 1, memory_order_relaxed);
	if (upto > seq)
		upto = seq;
	if (store_durable_seq(meta) >= upto)
		return 0;
	pthread_mutex_lock(&store->sync_lock);
	while (!rc && atomic_load(&store->durable) < upto)
		rc = store->leading ? follow_locked(store, upto) : lead_locked(store, upto);
	pthread_mutex_unlock(&store->sync_lock);
	return rc;
}

/* Where no spare file could be had: empties the current one, with the leader's place taken. */
static void journal_reset_alone(struct store *store, uint64_t seq)
{
	pthread_mutex_lock(&store->sync_lock);
	while (store->leading)
		pthread_cond_wait(&store->synced, &store->sync_lock);
	store->leading = true;
	store->target = 0;
	pthread_mutex_unlock(&store->sync_lock);
	if (journal_resettable(store->journal, seq))
		journal_reset(store->journal);
	pthread_mutex_lock(&store->sync_lock);
	store->leading = false;
	store->rounds++;
	pthread_cond_broadcast(&store->synced);
	pthread_mutex_unlock(&store->sync_lock);
}

/* Freezing, checkpoints. ----------------------------------------------------------------------- */

/* Under apply_lock: the seq at which the tables change hands must be exact. */
static int store_freeze(struct meta *meta)
{
	struct store *store = store_of(meta);
	struct memtable *fresh = NULL;
	int rc = 0;

	pthread_mutex_lock(&store->apply_lock);
	if (store->tables->frozen) {
		rc = -EBUSY;
		goto out;
	}
	if (!memtable_items(store->tables->live))
		goto out;
	rc = memtable_new(&fresh, store->memtable_bytes);
	if (rc)
		goto out;
	/* The old tables keep their reference to the live one until their last reader is gone. */
	rc = tables_set(store, fresh, memtable_get(store->tables->live));
	if (rc) {
		memtable_put(store->tables->live);
		memtable_put(fresh);
		goto out;
	}
	store->frozen_seq = atomic_load(&store->seq);
	store->frozen_pending = store->live_pending;
	store->live_pending = (struct pending){0};
	store->changed_ns = clock_mono_ns();
out:
	pthread_mutex_unlock(&store->apply_lock);
	return rc;
}

/* The frozen table is in the tree: readers need it no more. */
static int frozen_drop_locked(struct store *store)
{
	struct memtable *live = memtable_get(store->tables->live);
	int rc = tables_set(store, live, NULL);

	if (rc) {
		memtable_put(live);
		return rc;
	}
	store->frozen_pending = (struct pending){0};
	if (!memtable_items(live))
		store->changed_ns = 0;
	return 0;
}

/* First the journal, then the tree: see invariant 3. */
static int frozen_write(struct store *store, struct memtable *frozen, uint64_t seq)
{
	int rc = store_sync(&store->base, seq);

	if (rc)
		return rc;
	/* Without another file the journal goes on in this one; only its room comes back later. */
	(void)journal_prepare(store->journal);
	return snapshot_tree_write(&store->gate, store->tree, frozen, seq);
}

/* apply_lock is held at both ends only; meanwhile appliers fill the live table. */
static int store_checkpoint(struct meta *meta)
{
	struct store *store = store_of(meta);
	struct memtable *frozen;
	uint64_t seq;
	int rc = 0;

	pthread_mutex_lock(&store->checkpoint_lock);
	pthread_mutex_lock(&store->apply_lock);
	frozen = store->tables->frozen;
	seq = store->frozen_seq;
	store->checkpointing = frozen != NULL;
	pthread_mutex_unlock(&store->apply_lock);
	if (!frozen)
		goto out;
	/* Only a checkpoint drops a frozen table, so it stays while checkpoint_lock is held. */
	rc = frozen_write(store, frozen, seq);
	pthread_mutex_lock(&store->apply_lock);
	store->checkpointing = false;
	if (!rc)
		rc = frozen_drop_locked(store);
	if (!rc) /* under apply_lock: no batch reserves room in between */
		tree_trim(store->tree, store->live_pending.grow, store->live_pending.items);
	pthread_cond_broadcast(&store->checkpointed);
	pthread_mutex_unlock(&store->apply_lock);
	if (rc)
		goto out;
	journal_drop(store->journal, seq);
	if (journal_resettable(store->journal, seq))
		journal_reset_alone(store, seq);
	atomic_fetch_add(&store->checkpoints, 1);
out:
	pthread_mutex_unlock(&store->checkpoint_lock);
	return rc;
}

/* What a table costs: memory, or the time that a replay of its batches takes. */
static size_t live_bytes_locked(const struct store *store)
{
	size_t bytes = memtable_bytes(store->tables->live);

	return bytes > store->live_pending.bytes ? bytes : store->live_pending.bytes;
}

/* A failed checkpoint stays due by age, so that the caller tries again. */
static bool store_checkpoint_due(struct meta *meta, uint64_t max_age_ns)
{
	struct store *store = store_of(meta);
	bool due;

	pthread_mutex_lock(&store->apply_lock);
	due = live_bytes_locked(store) >= store->memtable_bytes ||
	      (max_age_ns && store->changed_ns &&
	       clock_mono_ns() - store->changed_ns >= max_age_ns);
	pthread_mutex_unlock(&store->apply_lock);
	return due || journal_bytes(store->journal) > JOURNAL_FACTOR * store->memtable_bytes;
}

/* Applying. ------------------------------------------------------------------------------------ */

/* Batches are to become durable without the caller's having said so. No lock held. */
static int emergency_begin(struct store *store)
{
	atomic_fetch_add(&store->emergencies, 1);
	return store->emergency ? store->emergency(store->arg) : 0;
}

/* Nobody made a checkpoint for far too long: see meta_apply(). */
static int emergency_checkpoint(struct store *store)
{
	int rc = store_freeze(&store->base);

	if (!rc || rc == -EBUSY) /* after it: what comes now does not become durable */
		rc = emergency_begin(store);
	return rc ? rc : store_checkpoint(&store->base);
}

/* apply_lock held, given up meanwhile. */
static int limits_wait_locked(struct store *store)
{
	for (;;) {
		size_t live = live_bytes_locked(store);
		int rc;

		if (live < WAIT_FACTOR * store->memtable_bytes)
			return 0;
		if (store->checkpointing) {
			pthread_cond_wait(&store->checkpointed, &store->apply_lock);
			continue;
		}
		if (live < HARD_FACTOR * store->memtable_bytes)
			return 0;
		pthread_mutex_unlock(&store->apply_lock);
		rc = emergency_checkpoint(store);
		pthread_mutex_lock(&store->apply_lock);
		if (rc)
			return rc;
	}
}

/* Room on the medium for the batch, and everything before it. */
static int room_reserve_locked(struct store *store, const struct meta_batch *batch)
{
	uint64_t grow = store->live_pending.grow + store->frozen_pending.grow + batch->grow;
	uint64_t items = store->live_pending.items + store->frozen_pending.items + batch->count;
	int rc = journal_reserve(store->journal, tail_bytes(store->tail) + record_size(batch->len),
				 !batch->frees);

	return rc ? rc : tree_reserve(store->tree, grow, items, batch->frees);
}

/* apply_lock held, given up while a full tail is written out. */
static int tail_reserve_locked(struct store *store, const struct meta_batch *batch)
{
	int rc;

	while ((rc = tail_reserve(store->tail, batch->len)) == -EAGAIN) {
		uint64_t upto = store_seq(&store->base);

		pthread_mutex_unlock(&store->apply_lock);
		rc = emergency_begin(store);
		if (!rc)
			rc = store_sync(&store->base, upto);
		pthread_mutex_lock(&store->apply_lock);
		if (rc)
			return rc;
	}
	return rc;
}

/* Everything that can fail comes before the first change; after tail_append() nothing does. */
static int store_apply(struct meta *meta, const struct meta_batch *batch, uint64_t *seq)
{
	struct store *store = store_of(meta);
	int rc;

	pthread_mutex_lock(&store->apply_lock);
	rc = limits_wait_locked(store);
	if (!rc)
		rc = tail_reserve_locked(store, batch);
	if (!rc)
		rc = room_reserve_locked(store, batch);
	if (!rc)
		rc = memtable_reserve(store->tables->live, batch->cost);
	if (rc)
		goto out;
	*seq = atomic_load_explicit(&store->seq, memory_order_relaxed) + 1;
	tail_append(store->tail, *seq, batch->ops, batch->len);
	/* Cannot fail: the room is reserved, and the bytes were made by this process. */
	(void)meta_ops_insert(batch->ops, batch->len, 0, store->tables->live);
	atomic_store_explicit(&store->seq, *seq, memory_order_release);
	store->live_pending.grow += batch->grow;
	store->live_pending.items += batch->count;
	store->live_pending.bytes += batch->len;
	if (!store->changed_ns)
		store->changed_ns = clock_mono_ns();
	atomic_fetch_add_explicit(&store->batches, 1, memory_order_relaxed);
out:
	pthread_mutex_unlock(&store->apply_lock);
	return rc;
}

static void store_stats(struct meta *meta, struct meta_stats *out)
{
	struct store *store = store_of(meta);
	struct tables *tables = tables_get(store);

	out->memtable_bytes = memtable_bytes(tables->live) +
			      (tables->frozen ? memtable_bytes(tables->frozen) : 0);
	tables_put(tables);
	out->journal_bytes = journal_bytes(store->journal);
	out->tree_bytes = tree_bytes(store->tree);
	out->disk_bytes = tree_disk_bytes(store->tree) + journal_disk_bytes(store->journal);
	out->batches = atomic_load(&store->batches);
	out->syncs = atomic_load(&store->syncs);
	out->groups = atomic_load(&store->groups);
	out->checkpoints = atomic_load(&store->checkpoints);
	out->emergencies = atomic_load(&store->emergencies);
}

static struct snapshot_gate *store_gate(struct meta *meta)
{
	return &store_of(meta)->gate;
}

/* Opening and closing. ------------------------------------------------------------------------- */

/* Also for a half-opened store: what is not there yet is NULL. */
static void store_release(struct store *store, bool remove_tail)
{
	tail_close(store->tail, remove_tail);
	journal_close(store->journal);
	tree_close(store->tree);
	tables_put(store->tables);
	if (store->lock_fd >= 0)
		io_close(store->lock_fd);
	pthread_mutex_destroy(&store->gate.lock);
	pthread_mutex_destroy(&store->checkpoint_lock);
	pthread_mutex_destroy(&store->apply_lock);
	pthread_mutex_destroy(&store->tables_lock);
	pthread_mutex_destroy(&store->sync_lock);
	pthread_cond_destroy(&store->checkpointed);
	pthread_cond_destroy(&store->synced);
	free(store);
}

static void store_abandon(struct meta *meta)
{
	store_release(store_of(meta), false);
}

/* The tail goes last and only when the tree holds everything: until then it is what would be
 * replayed.
 */
static int store_close(struct meta *meta)
{
	struct store *store = store_of(meta);
	uint64_t seq = store_seq(meta);
	int rc = store_sync(meta, seq);

	if (!rc)
		rc = store_checkpoint(meta); /* what was frozen already */
	if (!rc)
		rc = store_freeze(meta);
	if (!rc)
		rc = store_checkpoint(meta);
	if (!rc) {
		journal_drop(store->journal, seq);
		journal_reset_alone(store, seq);
		rc = tree_mark(store->tree, true);
	}
	store_release(store, !rc);
	return rc;
}

struct replay {
	struct store *store;
	struct meta_load *load;
};

/* A batch from the journal or the tail: into the live table, like an applied one, but without
 * asking for room: it had it when it was applied. */
static int replay_batch(void *arg, uint64_t seq, const void *ops, size_t len)
{
	struct replay *replay = arg;
	int rc = meta_load_batch(replay->load, ops, len);

	if (!rc)
		atomic_store(&replay->store->seq, seq);
	return rc;
}

/* What the batches ask of the tree, and the journal they take, count as if they were applied. */
static int replay_end(struct replay *replay)
{
	struct meta_load_counts counts;
	int rc = meta_load_end(replay->load, &counts);

	if (rc)
		return rc;
	replay->store->live_pending =
		(struct pending){.grow = counts.grow, .items = counts.items, .bytes = counts.bytes};
	return 0;
}

/* flock, not LMDB's own lock: that one lets several processes in, and knows nothing of the journal.
 */
static int folder_lock(struct store *store, const char *dir)
{
	char path[4096];

	if ((size_t)snprintf(path, sizeof(path), "%s/metadata.lock", dir) >= sizeof(path))
		return -ENAMETOOLONG;
	store->lock_fd = io_open(path, O_RDWR | O_CREAT, 0600);
	if (store->lock_fd < 0) {
		log_file_error(path, store->lock_fd);
		return store->lock_fd;
	}
	if (!flock(store->lock_fd, LOCK_EX | LOCK_NB))
		return 0;
	if (errno != EWOULDBLOCK) {
		log_error("%s: lock: %s", path, strerror(errno));
		return -errno;
	}
	log_error("%s: the pool is in use by another process", path);
	return -EBUSY;
}

/* Journal and tail: each continues where the one before ends. */
static int logs_replay(struct store *store, const struct meta_options *options,
		       const struct tree_state *state, uint64_t *journal_seq, bool *tail_found)
{
	struct tail_options tail = {
		.dir = options->tail_dir,
		.pool_uuid = options->pool_uuid,
		.max_bytes = (uint64_t)HARD_FACTOR * store->memtable_bytes,
		.create = options->create,
	};
	struct journal_options journal = {
		.dir = options->dir,
		.pool_uuid = options->pool_uuid,
		.floor_seq = state->seq,
		.reach_seq = state->to_seq,
		.spare_bytes = store->memtable_bytes,
		.create = options->create,
	};
	struct replay replay = {.store = store};
	int rc = meta_load_new(&replay.load, store->tables->live);

	if (!rc)
		rc = journal_open(&store->journal, &journal, replay_batch, &replay, journal_seq);
	if (!rc)
		rc = tail_open(&store->tail, &tail, tail_found);
	if (!rc)
		rc = tail_replay(store->tail, *journal_seq, replay_batch, &replay);
	if (!rc)
		rc = replay_end(&replay);
	meta_load_free(replay.load);
	return rc;
}

/* Tree and logs. */
static int store_recover(struct store *store, const struct meta_options *options,
			 struct meta_recovery *recovery)
{
	struct tree_state state;
	uint64_t journal_seq;
	bool tail_found = false;
	int rc = tree_open(&store->tree, options->dir, options->pool_uuid, options->create,
			   options->damaged_values, &state);

	if (rc)
		return rc;
	atomic_store(&store->seq, state.seq);
	rc = logs_replay(store, options, &state, &journal_seq, &tail_found);
	if (rc)
		return rc;
	atomic_store(&store->durable, journal_seq);
	recovery->journal_batches = journal_seq - state.seq;
	recovery->tail_batches = atomic_load(&store->seq) - journal_seq;
	recovery->clean = state.clean && !recovery->journal_batches && !recovery->tail_batches;
	recovery->tail_lost = !options->create && !tail_found && !state.clean;
	if (memtable_items(store->tables->live))
		store->changed_ns = clock_mono_ns();
	return tree_mark(store->tree, false);
}

static const struct meta_ops store_ops = {
	.close = store_close,
	.abandon = store_abandon,
	.apply = store_apply,
	.seq = store_seq,
	.durable_seq = store_durable_seq,
	.sync = store_sync,
	.checkpoint_due = store_checkpoint_due,
	.freeze = store_freeze,
	.checkpoint = store_checkpoint,
	.stats = store_stats,
	.sources_get = store_sources_get,
	.sources_put = store_sources_put,
	.gate = store_gate,
};

int meta_open_lmdb(struct meta **out, const struct meta_options *options,
		   struct meta_recovery *recovery)
{
	struct store *store = calloc(1, sizeof(*store));
	struct meta_recovery found = {0};
	struct memtable *live = NULL;
	int rc;

	if (!store)
		return -ENOMEM;
	store->base.ops = &store_ops;
	store->lock_fd = -1;
	store->emergency = options->emergency;
	store->arg = options->arg;
	store->memtable_bytes =
		options->memtable_bytes ? options->memtable_bytes : MEMTABLE_BYTES_DEFAULT;
	pthread_mutex_init(&store->gate.lock, NULL);
	pthread_mutex_init(&store->checkpoint_lock, NULL);
	pthread_mutex_init(&store->apply_lock, NULL);
	pthread_mutex_init(&store->tables_lock, NULL);
	pthread_mutex_init(&store->sync_lock, NULL);
	pthread_cond_init(&store->checkpointed, NULL);
	pthread_cond_init(&store->synced, NULL);
	rc = folder_lock(store, options->dir);
	if (!rc)
		rc = memtable_new(&live, store->memtable_bytes);
	if (!rc)
		rc = tables_set(store, live, NULL);
	if (rc)
		memtable_put(live);
	else
		rc = store_recover(store, options, &found);
	if (rc) {
		store_release(store, false);
		return rc;
	}
	if (recovery)
		*recovery = found;
	*out = &store->base;
	return 0;
}
