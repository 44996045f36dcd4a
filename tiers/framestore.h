/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames of a pool: building them from pieces of objects, and reading bytes out of them.
 *
 * A build is made by one thread, encoded and appended by a worker, and then belongs to its maker
 * again. The frame exists for others only when a transaction has made its record and extents point
 * to it; its bytes must be durable before that (I1).
 */
#ifndef TERRACE_TIERS_FRAMESTORE_H
#define TERRACE_TIERS_FRAMESTORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compress/frame.h"
#include "tiers/engine/heat.h"
#include "tiers/records.h"
#include "tiers/tier.h"

struct pool;

struct frame_build {
	struct pool *pool;
	int tier; /* the first to try; further down when it has no room, if may_spill */
	bool may_spill;
	enum tier_hint hint;
	struct codec_spec codec;
	bool own_codec;		/* codec was asked for; else each tier's own */
	unsigned replicas;	/* asked for; 0: each tier's own */
	struct heat_state heat; /* of what goes in; last_s 0: it was just written */
	uint32_t placed;	/* since when it is in the tier, if it was moved there */
	uint32_t raw_len, raw_max;
	struct frame_extent *extents;
	const uint8_t **data; /* where each extent's bytes are; they stay until the build is done */
	uint32_t nextents, cap;
	/* result */
	int error;
	uint64_t id;
	struct frame_record record; /* live = 0 */
	bool staged;		    /* in the maker's present transaction */
	bool created; /* a committed transaction has made the record; set by the maker */
	/* pool.builds_lock, and so is `record` until the write has ended */
	struct frame_build *newer, *older; /* in pool.builds, from the first append on */
	bool listed;
	int placing; /* tier of the append under way, 0 = none */
	uint64_t placing_no;
};

int frame_build_new(struct frame_build **out, struct pool *pool, int tier);
void frame_build_free(struct frame_build *build);
bool frame_build_full(const struct frame_build *build);
/* Takes as much of the piece as fits; *taken bytes. -ENOMEM. */
int frame_build_add(struct frame_build *build, uint64_t object, uint64_t off, uint32_t len,
		    const uint8_t *data, uint32_t *taken);

/* A worker's job: encode and append. Result in build. -ENOSPC: no tier allowed has room. */
struct codec_scratch;
int frame_build_write(void *build, struct codec_scratch *scratch);
/*
 * The frame's record, for a transaction that is to point to it: made by the first that needs it,
 * found by the others. False: it was not written, or has been freed again since (build->error =
 * -ESTALE: what it held must be written again).
 */
struct txn;
bool frame_build_stage(struct txn *txn, struct frame_build *build);
/* Reads the stored frame back from its media and checks every checksum; copies that do not verify
 * do not count any more. */
int frame_verify(struct frame_build *build, struct codec_scratch *scratch);
/* The frame was written but nothing will point to it: its space is given back. */
void frame_build_discard(struct frame_build *build);

/*
 * Bytes of builds lie in segments that others give back room in. Cuts [*off, *end) so that it keeps
 * clear of them but holds item's own bytes; to be called before the records are looked at, with
 * *end not behind what was committed then: so a build that is not seen here is seen there, or lies
 * behind.
 */
struct freed;
void frame_builds_avoid(struct pool *pool, const struct freed *item, uint64_t *off, uint64_t *end);
/* May bytes of a build lie in this segment, which takes no more appends? */
bool frame_builds_in(struct pool *pool, uint32_t tier, uint64_t segment);
/* ... of one that was begun up to the mark (below)? */
bool frame_builds_segment(struct pool *pool, uint32_t tier, uint64_t segment, uint64_t mark);
/* May bytes of a build that was begun up to the mark lie in this place, which takes no more? */
uint64_t frame_builds_mark(struct pool *pool);
bool frame_builds_place(struct pool *pool, uint32_t tier, uint32_t place, uint64_t mark);

int frame_record_get(struct pool *pool, uint64_t frame, struct frame_record *out);

/* As the record keeps it; what was read lately is in pool.heat. */
static inline struct heat_state frame_record_heat(const struct frame_record *record)
{
	return (struct heat_state){
		.last_s = record->last_access, .fast = record->heat, .slow = record->heat_slow};
}
/* Its heat as of now, also what was not kept yet. */
struct heat_state frame_heat(struct pool *pool, uint64_t frame, const struct frame_record *record);

/* As much of one copy. */
int frame_copy_read(struct pool *pool, const struct frame_record *record, struct tier_segment seg,
		    void *buf, uint32_t len, uint32_t off, enum tier_hint hint);
/* -EBADMSG: a sound header, but of another frame. */
int frame_header_check(const struct frame_header *header, uint64_t frame,
		       const struct frame_record *record);

/*
 * Copies raw bytes [off, off+len) of a frame; through the block cache. The caller holds the data
 * lock of an object with an extent there, so the frame stays. Counts as a touch. *tier: where it
 * is. -EBADMSG damaged, -EIO.
 */
int frame_read(struct pool *pool, uint64_t frame, uint32_t off, void *buf, uint32_t len,
	       uint32_t *tier);

/*
 * The same of whole blocks out of the stored frame, which the caller has fetched, past the cache:
 * that only remembers them. -EBADMSG, -ENOTSUP: these stored bytes are no good, and nothing has
 * been said of it; -ENOMEM.
 */
int frame_decode_blocks(struct pool *pool, uint64_t frame, const struct frame_record *record,
			const uint8_t *stored, uint32_t off, void *buf, uint32_t len);

/* Bytes of a frame as they are stored, from a place that gives them; not verified. */
int frame_stored_read(struct pool *pool, uint64_t frame, const struct frame_record *record,
		      void *buf, uint32_t len, uint32_t off, enum tier_hint hint);

/*
 * Verifies a frame's stored bytes without decoding them: header, what it says of itself against the
 * record, the checksum of every block. -EBADMSG, -ENOTSUP: and which raw bytes cannot be had.
 */
struct frame_flaw {
	uint32_t off, len;
	uint64_t object; /* one of those in the frame; 0 = not known */
};
int frame_stored_check(uint64_t frame, const struct frame_record *record, const void *stored,
		       struct frame_flaw *out);

/* Pins the blocks that hold [off, off+len) of a frame in the block cache, reading what is not
 * there. The lock as for frame_read(). The first error; the rest is still tried. -ENOSPC: no room
 * for all of them. */
int frame_pin(struct pool *pool, uint64_t frame, uint32_t off, uint32_t len, uint16_t mark);

/* Reads and decodes a whole frame for a move or a check, past the cache; *header is the caller's to
 * release. */
int frame_load(struct pool *pool, uint64_t frame, const struct frame_record *record,
	       struct codec_scratch *scratch, struct frame_header *header, void *raw);
/* The same out of the stored frame, which the caller has fetched. -EBADMSG, -ENOTSUP: these stored
 * bytes are no good, and nothing has been said of it; -ENOMEM. Then *header is empty. */
int frame_load_stored(uint64_t frame, const struct frame_record *record, const void *stored,
		      struct codec_scratch *scratch, struct frame_header *header, void *raw);

#endif
