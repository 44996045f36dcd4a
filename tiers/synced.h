/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small synchronous writes: an fsync that costs one flush.
 *
 * Coding a few KB into a frame, syncing its segment and then the journal costs two flushes, and the
 * frame is small. So when little of an object is new, its bytes go into the metadata store as they
 * are (KEY_SYNCED records, numbered), and one sync of the journal makes them durable. They stay in
 * the RAM log, and the flusher packs them into a frame as always, and then deletes the records.
 *
 * Invariants:
 *  1. Records of an object exist only for data that the log still holds: a flush that has
 * committed everything it had of the object deletes them before any sync of it returns.
 *  2. Either every range of the log is in a record or in `pending`, or `unknown` is set.
 *  3. After power loss the records, in their order, over what is in frames are the object. Cuts are
 * records too.
 *  4. An object with records does not leave memory: those of its next life would begin anew.
 *
 * Guarded by the object's data lock (exclusive to change) and, first and next, by the commit lock
 * as well.
 */
#ifndef TERRACE_TIERS_SYNCED_H
#define TERRACE_TIERS_SYNCED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define SYNCED_PENDING 4u /* ranges written since the last sync */

struct object;
struct object_record;
struct pool;
struct txn;

struct synced {
	uint64_t first, next; /* numbers of the records that exist: [first, next) */
	uint64_t end;	      /* where the highest of them ends in the object */
	struct {
		uint64_t off;
		uint32_t len;
	} pending[SYNCED_PENDING];
	uint32_t bytes; /* of pending */
	uint8_t npending;
	bool unknown; /* more was written than pending can name */
	_Atomic bool
		behind; /* something is neither in a record nor in a frame; readable without lock */
};

bool synced_any(const struct object *object); /* are there records? */
/* A range was written. Data lock held. */
void synced_note(struct object *object, uint64_t off, uint64_t len);
/* Puts what is new into records, if it is little. *done: all of the object is in frames or records,
 * and the store's next sync makes it durable. Takes the data lock. */
int synced_try(struct object *object, bool *done);
/*
 * No tier takes the object's data, and something must be durable behind it: all that it has in the
 * log goes into records, in place of those it had. -EFBIG: too much for that; -ENOSPC and so on as
 * the store says. Takes the data lock.
 */
int synced_rescue(struct object *object);
/* For the transaction that deletes the object: deletes the records, as many as one takes. Others
 * are of an object that does not exist then: the next opening deletes them. */
void synced_delete(struct txn *txn, struct object *object);
/* All of the object that its flush had is committed: deletes the records, in as many transactions
 * as it takes. Data lock held exclusively. */
int synced_purge(struct object *object);
/* That has been done; `clean`: nothing is left in the log. */
void synced_deleted(struct object *object, bool clean);
/* Frames now hold newer data than some records: until a flush has deleted those, no sync adds to
 * them. */
void synced_stale(struct object *object);
/* For a transaction that cuts [off, off+len) (or sets the size to off): stages a record that says
 * so, where there are others. True: synced_marked() when it is committed. */
bool synced_mark(struct txn *txn, struct object *object, bool size, uint64_t off, uint64_t len);
void synced_marked(struct object *object);
/* Records that should have been deleted are there still, older than frames and the next ones: the
 * object stays in memory, and no cut of the journal goes on without it, until they are. */
void synced_left(struct object *object);
/* Deletes the records of an object that has nothing in the log any more. Data lock held
 * exclusively. */
int synced_drop(struct object *object);
/* The same. Takes the data lock. */
int synced_settle(struct object *object);

/*
 * At opening, when the log was taken over from a daemon that died: finds the object's records.
 * Where they hold just what the log does, nothing of the object is behind; else `unknown` is set.
 * Data lock held exclusively.
 */
int synced_recall(struct object *object);
/* At opening: after power loss the records are replayed and flushed; otherwise the log has it all,
 * and they are only counted. */
int recover_synced(struct pool *pool, bool log_recovered);

#endif
