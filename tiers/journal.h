/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal on the medium: groups of batches in files journal.0, journal.1, ... A group is
 * written and synced as a whole or does not count. Layout: terrace-format(5).
 *
 * Threads: journal_reserve(), journal_prepare() and the numbers from any thread;
 * journal_write() and journal_reset() by one at a time (the leader of a group commit);
 * journal_prepare() and journal_drop() by one at a time (the checkpoint), beside the leader.
 * Errors: negative errno, logged here.
 */
#ifndef TERRACE_TIERS_JOURNAL_H
#define TERRACE_TIERS_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct journal;
struct tail;

struct journal_options {
	const char *dir;
	const uint8_t *pool_uuid;
	uint64_t floor_seq;   /* batches up to here are in the tree */
	uint64_t reach_seq;   /* the journal must reach this one: the tree has parts of it */
	uint64_t spare_bytes; /* a file kept for reuse is cut to this */
	bool create;	      /* no files may be there */
	bool look;	      /* nothing may change: journal_look() sets it */
	bool damaged;	      /* with it: what comes before the first damage counts */
};

/*
 * Reads what is there and calls each() for every batch with seq > floor_seq, in order; those are
 * durable when this returns 0. *last_seq = the last one, or floor_seq.
 * -EUCLEAN: damage before a valid later group, or a file is missing; -ENOTUNIQ, -ENOTSUP.
 */
int journal_open(struct journal **out, const struct journal_options *options,
		 int (*each)(void *arg, uint64_t seq, const void *ops, size_t len), void *arg,
		 uint64_t *last_seq);
/* The same without opening: nothing in the folder changes, and what is handed out may not be
 * durable yet. */
int journal_look(const struct journal_options *options,
		 int (*each)(void *arg, uint64_t seq, const void *ops, size_t len), void *arg,
		 uint64_t *last_seq);
void journal_close(struct journal *journal);

/*
 * Sees to it that bytes of records not yet written have blocks on the medium. slack: leave the
 * reserve alone that batches which free space may use. -ENOSPC.
 */
int journal_reserve(struct journal *journal, uint64_t bytes, bool slack);

/*
 * Writes the tail's records first..last as one group and syncs it. When that fails, the file is
 * given up and the group is written once more, to a new file, before the error is returned.
 */
int journal_write(struct journal *journal, struct tail *tail, uint64_t first, uint64_t last);

/* The next group should begin another file: makes one ready, without holding up the leader. */
int journal_prepare(struct journal *journal);
/* Batches up to seq are in the tree: files that hold nothing else are kept for reuse or removed. */
void journal_drop(struct journal *journal, uint64_t seq);
/* As leader, when everything is in the tree: leaves one empty file. */
int journal_reset(struct journal *journal);
/* True when nothing but the current file is there and it holds no batch later than seq. */
bool journal_resettable(struct journal *journal, uint64_t seq);

uint64_t journal_bytes(struct journal *journal);      /* in groups that may be needed */
uint64_t journal_disk_bytes(struct journal *journal); /* st_blocks of its files */

#endif
