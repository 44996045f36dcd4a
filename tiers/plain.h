/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plain objects: their bytes lie as they are in one file of a tier's directory (plain_files.h), to
 * which the kernel may write past us (FUSE passthrough). For files that are overwritten at random
 * all the time: databases, images of machines.
 *
 * Invariants:
 *  1. Of a plain object the file is the truth: its bytes, its size, the time of its last write. The
 *     record's size is that of the last time we looked.
 *  2. An object is plain or not by its record alone. The turn is one transaction: before it all
 *     bytes are durable at the new place, after it the old place is freed once that is durable (I1,
 *     I2 of terrace(7)). So frames that a plain object still has, and a plain file that no record
 *     names, are left from a turn that was cut short, and are removed at the next open.
 *  3. A turn is made by one who knows that nobody else reads or writes the object (the layer above
 *     does: fs/inode.h). Reads and writes take the data lock shared, turns exclusively.
 *  4. Nothing of a plain object is in the RAM log, but what a turn back is writing there.
 *  5. What was written to a plain object that has left memory is synced within seconds, or by
 *     pool_sync().
 *  6. A sync that failed stays failed until the object has left memory.
 *
 * Nothing here has a checksum: that is the trade.
 */
#ifndef TERRACE_TIERS_PLAIN_H
#define TERRACE_TIERS_PLAIN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "tiers/object.h"

/*
 * Copies the object into a plain file in tier `tier` (>= 1), or the next slower one with room, and
 * makes it plain. 0 also if it is. -ENOSPC no tier has room, -ECANCELED *cancel has become true
 * (NULL: never), -EBUSY somebody writes to it all the same, or the directory is being closed; what
 * the media say. On error it is as before.
 */
int object_make_plain(struct object *object, uint32_t tier, const _Atomic bool *cancel);
/* Is there room for so much in this tier itself? -ENOSPC, -ENODEV. */
int pool_plain_room(struct pool *pool, uint32_t tier, uint64_t bytes);
/* The other way. -ENOSPC and so on: it stays plain. */
int object_make_frames(struct object *object, const _Atomic bool *cancel);
/* A descriptor of its file, valid as long as the object's reference is held and no turn is made.
 * -EINVAL it is not plain. */
int object_plain_fd(struct object *object, int *fd);
/* Which tier its file is in; 0: it is not plain. */
uint32_t object_plain_tier(struct object *object);
/* The file's size and times go into the record, if they are others. After it was written to. */
int object_plain_settle(struct object *object);
/* Only the bytes and what is needed to read them are durable: fdatasync(2). Of a plain object that
 * is its file and its last turn, or what else the layer above has changed but times. */
int object_sync_data(struct object *object);

struct plain_seen {
	uint64_t object;
	int64_t used_ns; /* the last read or write that its file shows, wall clock */
	bool leaving;	 /* its directory is being emptied */
};
/* Calls each() for every plain file there is, in no order; ends on non-zero, which is returned.
 * What they take is counted anew: after the last close a file may still get other blocks. */
int pool_plain_each(struct pool *pool, int (*each)(void *arg, const struct plain_seen *seen),
		    void *arg);

/* For the other files of the object: object_*() of a plain one. -------------------------------- */

int plain_read(struct object *object, void *buf, size_t len, uint64_t off, size_t *got);
int plain_write(struct object *object, const void *buf, size_t len, uint64_t off);
int plain_append(struct object *object, const void *buf, size_t len, uint64_t *off);
int plain_truncate(struct object *object, uint64_t size);
int plain_punch(struct object *object, uint64_t len, uint64_t off);
int plain_allocate(struct object *object, uint64_t len, uint64_t off, bool keep_size);
int plain_seek(struct object *object, uint64_t off, int whence, uint64_t *out);
int plain_sync(struct object *object);
int plain_extents(struct object *object, int (*each)(void *arg, const struct object_extent *extent),
		  void *arg);
void plain_look(struct object *object, struct object_look *out);
/* The bytes of those that are plain are durable. */
int plain_sync_each(struct object *const *objects, size_t n);
/* All that has been written to plain objects is durable; closed: only of those not in memory. Also
 * what another call has begun to sync. The first error of all, also those that calls with `closed`
 * have met since; no lock held. */
int plain_sync_all(struct pool *pool, bool closed);
/* Data lock held: the descriptor, opened if need be. */
int plain_open(struct object *object, int *fd);
/* What it takes on disk is counted as it is now. */
void plain_count(struct object *object, const struct stat *st);
void plain_close(struct object *object);
/* It is about to leave memory, with the lock of the objects held: what was written to it is synced
 * by plain_sync_all(), at any time from here on. */
void plain_leaving(struct object *object);
/* It has come into memory, with that lock held. Nobody has changed its record in between, so what
 * it waits for in a sync is what it was, if that is still known. */
void plain_returning(struct object *object);

#endif
