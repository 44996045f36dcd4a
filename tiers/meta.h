/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The metadata store: an ordered map from byte keys to byte values, changed by atomic batches.
 *
 * What each call promises:
 *
 * - meta_apply(): the batch is visible to every later read and survives the death of the process
 *   (it is in the journal's tail, a file on tmpfs). All of it or nothing.
 *
 * - meta_sync(): the batches with seq <= upto, *and no later one*, are durable: they survive power
 *   loss. One group of batches is one atomic unit on the medium: after power loss the store is the
 *   state at the end of some group, never in the middle of one.
 *
 * - meta_freeze() + meta_checkpoint(): all batches so far become durable and move into the tree
 *   (LMDB), and the journal before them is dropped; bounds memory and recovery time.
 *
 * How (engine "lmdb"): batches go into an ordered table in memory (the memtable) and, encoded, into
 * the journal's tail on tmpfs. meta_sync() writes the tail's records as one checksummed group to
 * the journal file on the fast tier and makes one fdatasync, shared by all who wait. A checkpoint
 * freezes the memtable, starts a new one, and writes the frozen one to LMDB on
 * the caller's thread, while the foreground goes on; reads look into the memtable, the frozen one,
 * then LMDB. Engine "memory": the memtable alone, for tests.
 *
 * Keys: 1..META_KEY_MAX bytes, compared with memcmp, shorter first. Values: 0..META_VALUE_MAX
 * bytes. Threads: every call may come from any thread. No call blocks behind a checkpoint's I/O,
 * except meta_apply() when the live memtable is full before the frozen one has been written.
 *
 * Errors: negative errno. -ENOENT no such key; -ENOSPC no room for metadata; -EIO medium;
 * -EBADMSG a value or journal record fails its checksum; -EUCLEAN structure (message logged).
 */
#ifndef TERRACE_TIERS_META_H
#define TERRACE_TIERS_META_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define META_KEY_MAX   288u
#define META_VALUE_MAX (80u << 10)
#define META_BATCH_MAX (1u << 20) /* a batch's keys and values, and 8 bytes for each operation */

struct meta;
struct meta_cursor;

struct meta_options {
	const char *dir;	  /* LMDB file and journal, on the fast tier; must exist */
	const char *tail_dir;	  /* tmpfs folder for the journal's tail; must exist */
	const uint8_t *pool_uuid; /* 16 bytes; a store or journal of another pool is refused */
	size_t memtable_bytes;	  /* freeze is due beyond this; 0 = default (32 MiB) */
	bool create;		  /* make a new store; -EEXIST if there is one */
	bool damaged_values;	  /* to be mended: values that do not verify keep it from nothing */
	/* Before the store makes batches durable by itself (meta_apply()): what these speak of must
	 * be durable first. On an error nothing becomes durable, and that is meta_apply()'s. NULL:
	 * there is nothing. */
	int (*emergency)(void *arg);
	void *arg;
};

struct meta_recovery {		  /* what opening found; for logs and tests */
	uint64_t journal_batches; /* replayed from the journal on the medium */
	uint64_t tail_batches;	  /* replayed from the tail on tmpfs */
	bool tail_lost; /* no tail of this boot: power was lost, or the folder was removed */
	bool clean;	/* meta_close() had checkpointed */
};

/*
 * Opens. A torn last group of the journal is dropped (it was never acknowledged as synced); damage
 * before a valid later group gives -EUCLEAN and a message that names the file, the offset and what
 * to do. -ENOTSUP: unknown incompat feature. -ENOTUNIQ: another pool's. -EBUSY: a process has it
 * open. -ENOENT: no store here. recovery may be NULL. Open after fork(), not before:
 * neither LMDB nor the lock on the folder is for two processes.
 */
int meta_open_lmdb(struct meta **out, const struct meta_options *options,
		   struct meta_recovery *recovery);
int meta_open_memory(struct meta **out);

/* Syncs, checkpoints and closes; first error is returned, everything is released anyway. */
int meta_close(struct meta *meta);
/* Releases memory and descriptors without writing anything: what kill -9 leaves. For tests. */
void meta_abandon(struct meta *meta);

/* Copies the value. *len = its length; -ERANGE (and *len) when cap is too small. */
int meta_get(struct meta *meta, const void *key, size_t key_len, void *buf, size_t cap,
	     size_t *len);

/* A batch: puts and deletes in order; the last word on a key wins. Owned by one thread. Reusable
 * after meta_batch_reset(). */
struct meta_batch;
int meta_batch_new(struct meta_batch **out);
void meta_batch_free(struct meta_batch *batch);
void meta_batch_reset(struct meta_batch *batch);
/* No: an error sticks to it. */
bool meta_batch_empty(const struct meta_batch *batch);
/* -ENOMEM, -EINVAL (limits above), -E2BIG (META_BATCH_MAX). An error sticks: meta_apply() of that
 * batch fails with it. */
int meta_batch_put(struct meta_batch *batch, const void *key, size_t key_len, const void *value,
		   size_t len);
int meta_batch_del(struct meta_batch *batch, const void *key, size_t key_len);
/* The batch only gives space back (deletes, truncates): it may use the reserved headroom. */
void meta_batch_frees(struct meta_batch *batch);

/*
 * Applies; *seq (may be NULL) = its number, 1, 2, 3 ... On error nothing has changed. An empty
 * batch takes no number (*seq = the last one). While this call runs, reads in other threads may see
 * some of the batch's keys changed and others not yet.
 *
 * Checkpoints are the caller's to make, since a checkpoint makes batches durable and the caller may
 * have rules about when. So that a store nobody checkpoints cannot grow for ever:
 *   live memtable beyond 2 x memtable_bytes, and a checkpoint is running: waits for it;
 *   live memtable beyond 4 x memtable_bytes: freezes and checkpoints by itself, whatever the rules
 *   (emergency; meta_stats' `emergencies` counts them);
 *   the tail is full (4 x memtable_bytes, or tmpfs gives no more): makes all batches so far durable
 *   by itself (also an emergency).
 */
int meta_apply(struct meta *meta, const struct meta_batch *batch, uint64_t *seq);
uint64_t meta_seq(struct meta *meta);	      /* last applied */
uint64_t meta_durable_seq(struct meta *meta); /* last known durable */

/* See above. Returns at once if already durable. A failed fsync is final for that journal file: the
 * group is written again from memory to a new file before an error is returned. */
int meta_sync(struct meta *meta, uint64_t upto);

/* Live memtable beyond its size, or the journal beyond 8 times that, or there have been changes
 * outside the tree for max_age_ns since the last freeze (0: no such limit). */
bool meta_checkpoint_due(struct meta *meta, uint64_t max_age_ns);
/* Cheap: the live memtable becomes the frozen one. -EBUSY when one is frozen already. */
int meta_freeze(struct meta *meta);
/* Slow: writes the frozen memtable to the tree, drops the journal before it. On error everything
 * stays as it was and the call may be made again. 0 when nothing is frozen. */
int meta_checkpoint(struct meta *meta);

/*
 * Walks keys that begin with prefix, from the first key >= start (start may be NULL: from the
 * prefix). Not a snapshot: each step sees what is there then; a key that stands throughout is seen
 * exactly once, in order.
 */
int meta_cursor_open(struct meta *meta, const void *prefix, size_t prefix_len, const void *start,
		     size_t start_len, struct meta_cursor **out);
/* 0 and the next item (valid until the next call on this cursor), -ENOENT at the end. */
struct meta_item {
	const uint8_t *key;
	const uint8_t *value;
	size_t key_len;
	size_t len;
};
int meta_cursor_next(struct meta_cursor *cursor, struct meta_item *out);
void meta_cursor_close(struct meta_cursor *cursor);

struct meta_stats {
	uint64_t memtable_bytes; /* both tables */
	uint64_t journal_bytes;	 /* on the medium, not yet dropped */
	uint64_t tree_bytes;	 /* LMDB's used pages */
	uint64_t disk_bytes;	 /* what all metadata files really take (st_blocks) */
	uint64_t batches, syncs, groups, checkpoints, emergencies;
};
void meta_stats(struct meta *meta, struct meta_stats *out);

#endif
