/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The RAM tier's log: written data, in files on tmpfs, so that it outlives the process (not the
 * machine). An append-only sequence of records over a ring of chunks; a chunk is given back when it
 * is the oldest and everything in it has been flushed or is dead. Recovery reads the records oldest
 * first and replays them over the durable state.
 *
 * Invariants:
 *  1. Records are replayed in the order of their append. Order matters between the operations of
 * one object only; the caller holds that object's lock while it appends.
 *  2. A record counts after its commit word is written (release order), which is after its payload:
 *     a half-copied record of a killed process is skipped.
 *  3. Chunks are freed in order, oldest first, so a suffix of the log is always complete.
 *  4. Memory is reserved with fallocate before it is touched: a full tmpfs is -ENOSPC, never
 * SIGBUS.
 *  5. The folder is tied to the pool's uuid and to the boot (/proc/sys/kernel/random/boot_id): a
 * log of another boot is discarded, another pool's refused (-ENOTUNIQ). Threads: any. Payload
 * pointers stay valid while the record is live (see ramlog_release()).
 */
#ifndef TERRACE_TIERS_RAMLOG_H
#define TERRACE_TIERS_RAMLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RAMLOG_RECORD_MAX (1u << 20) /* payload bytes in one record */

struct ramlog;

enum ramlog_op {
	RAMLOG_WRITE = 1, /* payload: the bytes */
	RAMLOG_PUNCH = 2, /* [off, off+len) has become a hole; no payload */
	RAMLOG_SIZE = 3,  /* object's size is now off, what lay behind is gone; no payload */
	RAMLOG_CLONE = 4, /* [off, off+len) has come from another object, in metadata, and the size
			     is at least its end; no payload */
};

struct ramlog_record {
	uint64_t object;
	uint64_t off;
	uint64_t len;	 /* WRITE: payload bytes */
	int64_t time_ns; /* wall clock of the operation; 0: not a new one (recover_synced()) */
	enum ramlog_op op;
	const void *data; /* WRITE: the payload in the log; else NULL */
	uint64_t pos;	  /* the record's position: grows for ever; identifies it */
};

struct ramlog_options {
	const char *dir; /* on tmpfs, must exist */
	const uint8_t *pool_uuid;
	uint64_t max_bytes; /* of all chunks */
	bool create;	    /* discard what is there */
	bool hold; /* a fresh one counts for the next opening from ramlog_begin() on only */
	/* What is there is read and nothing changes: -ENOENT when there is no log of this boot;
	 * then only ramlog_walk() and ramlog_close(log, false) may be called. */
	bool look;
};

/* *recovered = true when a log of this boot was there (process death); false: fresh. -EINVAL:
 * max_bytes below 8 MiB. -ENOSPC: tmpfs cannot hold the first two chunks (about 6 MiB). -EUCLEAN:
 * what is there is damaged; -ENOTSUP: of a newer version. Both are logged and change nothing. */
int ramlog_open(struct ramlog **out, const struct ramlog_options *options, bool *recovered);
/* A log opened with `hold` counts from here on. 0 also when it was recovered, or has begun. */
int ramlog_begin(struct ramlog *log);
/* Removes the files if `empty` (clean unmount, all flushed), keeps them otherwise. */
void ramlog_close(struct ramlog *log, bool empty);

/*
 * Appends: two steps, so that payload is copied without the log's lock. ramlog_reserve() gives room
 * for len payload bytes (*data), ramlog_commit() makes the record count. Between them the caller
 * fills *data. -EAGAIN: the ring is full, or its tmpfs is; the caller waits with ramlog_wait_room()
 * or flushes. -EINVAL: a WRITE of more than RAMLOG_RECORD_MAX. -ENOMEM. A reserved record that is
 * not to count: ramlog_cancel(). A record neither committed nor cancelled stops the walk and keeps
 * its chunk and all later ones.
 */
int ramlog_reserve(struct ramlog *log, enum ramlog_op op, uint64_t object, uint64_t off,
		   uint64_t len, int64_t time_ns, struct ramlog_record *out, void **data);
void ramlog_commit(struct ramlog *log, const struct ramlog_record *record);
void ramlog_cancel(struct ramlog *log, const struct ramlog_record *record);
/* A committed record without payload is not to count after all: what it says has failed. The caller
 * still excludes other changes of the object. */
void ramlog_revoke(struct ramlog *log, const struct ramlog_record *record);

/*
 * Live bytes: a committed WRITE record holds `len` live bytes in its chunk; as parts are flushed or
 * overwritten the caller releases them, and a chunk with none left may be freed. Records without
 * payload hold nothing; releasing 0 bytes does nothing.
 */
void ramlog_release(struct ramlog *log, uint64_t pos, uint64_t bytes);

/* Waits until something was freed or timeout; 0 or -ETIMEDOUT. */
int ramlog_wait_room(struct ramlog *log, uint64_t timeout_ns);

/*
 * Walks committed records from position `from` (0: the oldest), in order: recovery, and the
 * flusher's cursor. Returns 0 and the record, with *next = where to go on; -ENOENT at the end or at
 * a record that is reserved but not yet committed. Positions already freed are skipped. A WRITE
 * record's data pointer is only safe to use while the caller knows the record to be live. *next is
 * set with -ENOENT too: where to look again.
 */
int ramlog_walk(struct ramlog *log, uint64_t from, struct ramlog_record *out, uint64_t *next);

/* No record appended later has a position below it. */
uint64_t ramlog_head(struct ramlog *log);
struct ramlog_usage {
	uint64_t reserved; /* bytes of tmpfs held by chunks */
	uint64_t live;	   /* of them, live payload */
	uint64_t max;
};
void ramlog_usage(struct ramlog *log, struct ramlog_usage *out);
/* Gives free chunks back to the system, beyond a small reserve and what was in use lately: called
 * once a second, it halves that every eleven. Never beyond a quarter of the log. */
void ramlog_trim(struct ramlog *log);
void ramlog_resize(struct ramlog *log, uint64_t max_bytes);

#endif
