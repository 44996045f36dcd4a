/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Objects: the bytes of one inode, and a small attribute blob that belongs to the layer above.
 *
 * A reference (object_get/object_put) keeps the object in memory; whoever stages a change of an
 * object in a transaction keeps his until that has ended. Everything may be called from
 * any thread; reads of one object run side by side, changes of its data exclude each other (a
 * per-object lock, inside; never held by the caller). Lock order: object's data lock before the
 * commit lock (a transaction), so no object_* data call may be made between txn_begin() and
 * txn_commit(), except those that take a txn.
 *
 * Data written is in the RAM tier's log when object_write() returns: it survives the process. It is
 * on a persistent tier after object_sync(). Ids are never reused; the generation of every id is 0.
 *
 * Errors: -ENOSPC no tier may hold it (nothing written), -EFBIG beyond OBJECT_SIZE_MAX, -EIO a
 * damaged or unreadable range (logged with the path), -ENOMEM, -ENOENT the object was deleted.
 */
#ifndef TERRACE_TIERS_OBJECT_H
#define TERRACE_TIERS_OBJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compress/codec.h"
#include "tiers/txn.h"

#define OBJECT_SIZE_MAX INT64_MAX /* 8 EiB - 1 */
#define OBJECT_ATTR_MAX 128u	  /* bytes of the upper layer's blob */
#define OBJECT_ID_ROOT	1u	  /* FUSE's root; made by pool_create() with an empty blob */

struct object;
struct pool;

/* Makes an object of size 0 with this blob; its id in *out. Exists once the txn commits. Returns a
 * reference. */
int object_create(struct txn *txn, const void *attr, size_t attr_len, struct object **out);
int object_get(struct pool *pool, uint64_t id, struct object **out); /* -ENOENT */
struct object *object_hold(struct object *object);
void object_put(struct object *object);

uint64_t object_id(const struct object *object);
/* Its bytes are in a file as they are (tiers/plain.h), to which others may write. */
bool object_is_plain(const struct object *object);
uint64_t object_size(struct object *object);
/* Bytes the object takes: its share of frames as stored, plus written data not yet coded. For
 * st_blocks. */
uint64_t object_stored(struct object *object);
/* Nothing of it is only in the RAM tier: object_stored() will not change by itself. */
bool object_settled(struct pool *pool, uint64_t id);
/* Time of the last object_write()/punch/truncate, wall clock ns; 0 = none since it came into
 * memory. So that a write needs no transaction, the upper layer folds it into mtime and ctime when
 * it reads or next stores its blob. Recovered after process death. */
int64_t object_write_time(struct object *object);

/* The three above at once: one look at the file of a plain object instead of three. */
struct object_look {
	uint64_t size, stored;
	int64_t write_time;
};
void object_look(struct object *object, struct object_look *out);

/* The upper layer's blob. object_attr() copies what is current (inside the txn that staged it: the
 * staged one) and returns its length. */
size_t object_attr(struct object *object, void *buf, size_t cap);
/* told_ns: writes up to then are in the blob, and object_write_time() forgets them; INT64_MAX: all.
 */
int object_attr_set(struct txn *txn, struct object *object, const void *attr, size_t len,
		    int64_t told_ns);
/* The same, where nothing but times has changed: object_sync_data() of a plain object does not wait
 * for that (tiers/plain.h). */
int object_times_set(struct txn *txn, struct object *object, const void *attr, size_t len,
		     int64_t told_ns);

/* Marks for deletion at the next open of the pool (unlinked while open). */
int object_orphan(struct txn *txn, struct object *object);
/* The other way (linkat of an unlinked open file). */
int object_unorphan(struct txn *txn, struct object *object);
/* Deletes data and record. Large ones are cut down in the background; the id answers -ENOENT from
 * the commit on. */
int object_delete(struct txn *txn, struct object *object);
/* The same for a layer that has deleted its own records of it in this transaction, and knows
 * whether it is an orphan: looking for what is not there takes as long as all the rest. */
int object_delete_bare(struct txn *txn, struct object *object, bool orphan);

/* Copies up to len bytes; *got < len only at the end of the object. Holes read as zeros. -EIO, and
 * one log line, where it is damaged; -ENOENT it has been deleted, and its bytes are gone. */
int object_read(struct object *object, void *buf, size_t len, uint64_t off, size_t *got);
/*
 * Get, read and put in one, for whoever knows only the id: -ENOENT. In a pool opened with `fetch`,
 * objects of at most OBJECT_FETCH_MAX bytes are kept whole in memory, and a second fetch is a look
 * into a table and a copy.
 */
#define OBJECT_FETCH_MAX (64u << 10)
int object_fetch(struct pool *pool, uint64_t id, void *buf, size_t len, uint64_t off, size_t *got);
struct blockcache_stats;
void object_fetch_stats(struct pool *pool, struct blockcache_stats *out); /* zeros without it */
/* All of it or an error (nothing written). len <= 1 MiB per call. */
int object_write(struct object *object, const void *buf, size_t len, uint64_t off);
/* Writes at the end as it is then (O_APPEND); *off = where. */
int object_append(struct object *object, const void *buf, size_t len, uint64_t *off);
int object_truncate(struct object *object, uint64_t size);	     /* grows and shrinks */
int object_punch(struct object *object, uint64_t len, uint64_t off); /* size stays */
/* Is there room for len more bytes now? Grows the size when asked. -ENOSPC. Nothing is set aside: a
 * compressed filesystem cannot. */
int object_allocate(struct object *object, uint64_t len, uint64_t off, bool keep_size);
/* Shares src's extents with dst (reflink); both flushed first. *done bytes were shared or copied; 0
 * at src's end. Ranges of one object must not overlap (-EINVAL). -EBUSY: written to all the time,
 * so that no flush leaves it clean, or the RAM tier is full of others' writes; nothing was shared.
 * -EXDEV: one of the two is plain: copy. */
int object_clone(struct object *src, uint64_t src_off, struct object *dst, uint64_t dst_off,
		 uint64_t len, uint64_t *done);
/* SEEK_DATA / SEEK_HOLE; -ENXIO past the end, -EINVAL other whence. */
int object_seek(struct object *object, uint64_t off, int whence, uint64_t *out);

/* All data written before the call, and all metadata changes before it, survive power loss. */
int object_sync(struct object *object);
/* The object has replaced another by rename (or is to): its data goes to media before, or together
 * with, that change. Call it inside the txn of the rename. */
void object_order_before_sync(struct txn *txn, struct object *object);

/* Where an object's bytes are, in order of offset; holes are left out. A non-zero return of each()
 * ends the walk and is returned. each() is called without locks; of a large object, what it is told
 * is not all of one moment. */
struct object_extent {
	uint64_t off, len;
	int tier; /* index in the config; 0 = RAM, not yet on a persistent tier */
	struct codec_spec codec;
	uint64_t frame;	   /* id; 0 in RAM */
	uint64_t stored;   /* this extent's share of the frame's stored bytes */
	uint32_t heat;	   /* 0..65535, decayed (tiers/engine/heat.h) */
	uint64_t resident; /* of len: bytes that are pinned in memory, decoded */
	unsigned copies;   /* places that have it; 1 in RAM */
	unsigned wanted;   /* ... that should */
};
int object_extents(struct object *object,
		   int (*each)(void *arg, const struct object_extent *extent), void *arg);

#endif
