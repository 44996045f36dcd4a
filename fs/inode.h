/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The few inodes of which something must be remembered in memory: those that are open, and those
 * without a name (until the kernel forgets them). The inode number is the object's id and ids are
 * never reused, so an inode that is merely cached by the kernel needs no entry here: a million of
 * them cost nothing, and an NFS handle works without having been looked up before.
 *
 * Invariants:
 *  1. An entry exists while opens > 0, `gone` is set, or somebody claims it or holds it still.
 *  2. An open inode holds a reference to its object.
 *  3. gone: the last name was removed. With opens it is an orphan, deleted at the last close;
 *     without, its record is deleted and `last` answers getattr until the kernel forgets it.
 *  4. claimed: opens and stills are 0; those who want it wait.
 *  5. kept: an orphan until the kernel forgets it, opens or not. What a rename replaces is kept:
 * who has just looked its name up opens it, or "replaced by rename" would look like "missing".
 *
 * Threads: any. The table's locks are leaves: nothing is called with one held. inode_unlink() is
 * called inside a transaction, so that "is it open?" and "delete it" are one step; its undo comes
 * after that has failed, so who is to delete an orphan looks whether its record has names.
 */
#ifndef TERRACE_FS_INODE_H
#define TERRACE_FS_INODE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/attr.h"

struct object;
struct inode;
struct inode_table;

int inode_table_new(struct inode_table **out);
/* Puts the objects of inodes that are still open. */
void inode_table_free(struct inode_table *table);

/* One more open, `writer`: for writing. Takes over the caller's reference on success. -ENOENT:
 * deleted meanwhile. */
int inode_open(struct inode_table *table, struct object *object, bool writer, struct inode **out);
/* The object of an open inode; valid until the caller's close. */
struct object *inode_object(const struct inode *inode);

/*
 * Turns of layout (tiers/plain.h) want an inode that nobody reads or writes. inode_claim(): from
 * now on who opens it or holds it still waits for inode_unclaim(), and *cancel becomes true. -EBUSY
 * it is open, held still or claimed; -ENOENT deleted, -ENOMEM. *cancel is valid until
 * inode_unclaim(). inode_still(): no claim is there, and none is given until inode_move(): for a
 * change of data by who has not opened it.
 */
int inode_claim(struct inode_table *table, uint64_t id, const _Atomic bool **cancel);
void inode_unclaim(struct inode_table *table, uint64_t id);
/* Whoever claims is to end soon. */
void inode_cancel_claims(struct inode_table *table);
int inode_still(struct inode_table *table, uint64_t id);
void inode_move(struct inode_table *table, uint64_t id);

/* A write that the kernel does not report by SETATTR (not from its writeback cache). */
void inode_written(struct inode *inode, int64_t now_ns);
/* A read that moves atime. */
void inode_read(struct inode *inode, int64_t now_ns);
/* atime was set by somebody: reads before that do not count any more. */
void inode_read_forget(struct inode_table *table, uint64_t id);

struct inode_times {
	int64_t write_ns, read_ns; /* the last inode_written() and inode_read(); 0 = none */
};
/* All 0 when it is not open. */
struct inode_times inode_times(struct inode_table *table, uint64_t id);

/*
 * One open less. Returns true when it was the last one of an orphan: the caller deletes the object
 * and calls inode_deleted(). *object is the reference given to inode_open() when this was the last
 * open, NULL otherwise; the caller puts it.
 */
bool inode_close(struct inode_table *table, struct inode *inode, bool writer,
		 struct object **object);
/* Is it open for writing? */
bool inode_has_writers(const struct inode *inode);
bool inode_is_written(struct inode_table *table, uint64_t id);
/* Is anything? Cheap. */
bool inode_any_written(const struct inode_table *table);
/* All that are, in no order; the caller frees *ids. -ENOMEM. */
int inode_list_written(struct inode_table *table, uint64_t **ids, size_t *count);

/* Inside the transaction that removes the last name. Returns 1: open, or kept: becomes an orphan;
 * 0: not open, the record is to be deleted; -ENOMEM. keep: the kernel knows it and will forget it.
 */
int inode_unlink(struct inode_table *table, uint64_t id, const struct attr *last, bool keep);
/* That transaction failed. */
void inode_unlink_undo(struct inode_table *table, uint64_t id);
/* An orphan's object has been deleted (or is left to the next open of the pool). */
void inode_deleted(struct inode_table *table, uint64_t id);

/* Attributes of an inode whose record has been deleted. */
bool inode_last(struct inode_table *table, uint64_t id, struct attr *out);
void inode_last_set(struct inode_table *table, uint64_t id, const struct attr *attr);
/* True when that was what a closed orphan waited for: the caller deletes the object and calls
 * inode_deleted(). */
bool inode_forget(struct inode_table *table, uint64_t id);

/* Entries in the table; for tests and statistics. */
uint64_t inode_count(struct inode_table *table);

#endif
