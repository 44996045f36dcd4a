/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way from the RAM log to a persistent tier: pieces are packed into frames, coded and appended
 * by the workers, synced, and only then committed to the extent maps (I1), object by object; after
 * that their log bytes are released.
 *
 * An object is flushed by one thread at a time (object.flushing). While it is, its log bytes stay
 * even when overwritten. Objects, not pieces, are committed: after a commit no data below the
 * object's stored size is only in the log, unless it was written after the flush had begun, or
 * after the size was set.
 */
#ifndef TERRACE_TIERS_FLUSH_H
#define TERRACE_TIERS_FLUSH_H

#include <stddef.h>
#include <stdint.h>

struct object;
struct pool;

/* Flushes all that the object has in the log at the time of the call, waiting for another flush of
 * it first. */
int flush_object(struct object *object);
/* The same for several, packed together; objects[] need not be distinct. */
int flush_objects(struct pool *pool, struct object *const *objects, size_t n);
/* The same for who must not hear -ENOSPC while deletes and moves have left room that only waits for
 * its metadata to be durable: gives that back and tries once more. Not while the journal is being
 * cut. */
int flush_objects_for(struct pool *pool, struct object *const *objects, size_t n);
/* Flushes all that was logged before position `upto`. First error; what failed stays in the log and
 * is counted as parked. */
int flush_upto(struct pool *pool, uint64_t upto);

/* Bytes that the tiers could still take, to see whether there are more than there were. */
uint64_t flush_room(struct pool *pool);

/* The flusher thread. */
void *flush_thread(void *pool);
/* The log is filling: no waiting for data to age. */
void flush_kick(struct pool *pool);

#endif
