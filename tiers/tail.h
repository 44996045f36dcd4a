/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal's tail: the records of batches that are applied but not yet in a group on the medium.
 * A file on tmpfs, so it outlives the process, not the machine. Mapped memory in chunks; a chunk is
 * given back when all its records have reached the medium.
 *
 * A record (terrace-format(5)): checksum, seq, length, the batch's operations. The same bytes are
 * a group's payload.
 *
 * Threads: tail_reserve()+tail_append() by one thread at a time (the store's apply lock);
 * tail_read() and tail_drop() by one at a time (the leader of a group commit), beside appends.
 */
#ifndef TERRACE_TIERS_TAIL_H
#define TERRACE_TIERS_TAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RECORD_HEADER_LEN 24u

/* Bytes of a record whose operations take len bytes. */
size_t record_size(size_t len);
/* Encodes the header in front of operations; room for record_size(len), padding is zeroed. */
void record_encode(void *room, uint64_t seq, const void *ops, size_t len);
/* Checks the record at buf[0..cap). Returns 0 and seq, ops, len; -EBADMSG. */
int record_decode(const void *buf, size_t cap, uint64_t *seq, const void **ops, size_t *len);

struct tail;

struct tail_options {
	const char *dir; /* on tmpfs */
	const uint8_t *pool_uuid;
	uint64_t max_bytes; /* of all chunks; two are kept reserved, up to eight where as many were
			       in use lately */
	bool create;	    /* discard what is there (this pool's) */
};

/*
 * *found = a tail of this pool and this boot was there. One of another boot is discarded.
 * -ENOTUNIQ another pool's; -ENOTSUP newer format; -EUCLEAN damaged; -ENOSPC tmpfs is full.
 */
int tail_open(struct tail **out, const struct tail_options *options, bool *found);
/* Calls each() for what tail_replay() would after an opening, and changes nothing. No tail of this
 * boot is none: *found = false. */
int tail_look(const struct tail_options *options, uint64_t after,
	      int (*each)(void *arg, uint64_t seq, const void *ops, size_t len), void *arg,
	      bool *found);
/* remove: everything in it is on the medium (clean close). */
void tail_close(struct tail *tail, bool remove);

/*
 * Once, after tail_open(): calls each() for the records with seq > after, in order, and makes them
 * the tail's content. A half-written record at the end is dropped. -EUCLEAN: the tail does not
 * continue where `after` ends, or records are missing inside.
 */
int tail_replay(struct tail *tail, uint64_t after,
		int (*each)(void *arg, uint64_t seq, const void *ops, size_t len), void *arg);

/* Room for one record of len bytes of operations. -EAGAIN: full (max_bytes or tmpfs). */
int tail_reserve(struct tail *tail, size_t len);
/* After tail_reserve() of the same len; seq is the last one plus 1. */
void tail_append(struct tail *tail, uint64_t seq, const void *ops, size_t len);

/* Calls each() for runs of whole records that make up the undropped ones up to `upto`. */
int tail_read(struct tail *tail, uint64_t upto, int (*each)(void *arg, const void *buf, size_t len),
	      void *arg);
/* The records up to `upto` are on the medium. */
void tail_drop(struct tail *tail, uint64_t upto);

uint64_t tail_bytes(struct tail *tail); /* of undropped records */

#endif
