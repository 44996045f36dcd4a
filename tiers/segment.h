/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Segments: append-only containers of frames. An appender owns one open segment per place of a tier
 * and hands out positions in it; several threads append at once, each writing its own range.
 *
 * Invariants:
 *  1. Bytes once written are never written again (space is given back by punching and removing);
 *     but for a damaged header, which a scrub writes anew: nothing else is in its blocks.
 *  2. segment ids are never reused: next_id is durable before an id is used (the caller's job: it
 *     passes an allocator).
 *  3. After appender_sync() returns 0, everything appended before the call is durable. After
 *     it fails, the segments concerned are closed for appending, and what was not synced must be
 *     appended again.
 *  4. A segment file begins with a header of SEGMENT_HEADER_LEN bytes (terrace-format(5)): magic,
 *     version, feature words, pool uuid, tier id, segment id, time, checksum.
 *  5. A mirrored segment is the same file in several places. A place that has missed a write or a
 *     sync of it is out of homes.h before the append or the sync returns; only when all have, does
 *     it fail.
 *  6. The first append after a sync begins at the next multiple of SEGMENT_ALIGN, so that no block
 *     with durable bytes is ever rewritten. Bytes between appends are never referenced.
 */
#ifndef TERRACE_TIERS_SEGMENT_H
#define TERRACE_TIERS_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tiers/tier.h"

#define SEGMENT_HEADER_LEN 4096u
#define SEGMENT_ALIGN	   4096u

struct appender;

struct appender_options {
	struct tier *tier;
	const uint8_t *pool_uuid;
	uint32_t tier_id;
	uint64_t segment_bytes; /* a segment is sealed at this length */
	struct homes *homes;	/* told of mirrored segments; NULL: there are none */
	int (*next_id)(void *arg, uint64_t *id); /* a fresh segment id; called without locks held */
	void *arg;
};

struct segment_loc {
	struct tier_segment seg;
	uint64_t off; /* of the first byte, from the start of the file */
};

/* Learns of places that come and go from the tier. -EINVAL, -ENOMEM. The uuid is copied. */
int appender_new(struct appender **out, const struct appender_options *options);
void appender_free(struct appender *appender); /* no sync */

/*
 * Appends buf as one piece. Places take turns in proportion to their free space, so that appends
 * side by side use several disks; -ENOSPC when none that is open has room, after trying each. A
 * place whose medium fails is left out for a while and the next is tried; the error is returned
 * when all fail. A piece longer than a segment gets one of its own.
 */
int appender_append(struct appender *appender, const void *buf, size_t len, enum tier_hint hint,
		    struct segment_loc *out);

/*
 * The same into a segment that lies in `copies` places (1 to COPIES_MAX), or in as many as can be
 * had, spare ones not: those are filled afterwards (replicate.h). It is appended when one place has
 * it all. A place that fails loses the segment (homes.h), which takes no more then. own: so many
 * were asked for by name, not by the tier's setting. out names the first of its places.
 */
#define COPIES_MAX 5u
int appender_append_copies(struct appender *appender, const void *buf, size_t len,
			   enum tier_hint hint, unsigned copies, bool own, struct segment_loc *out);

/* Might a piece of this length find room now? Nothing is set aside. */
bool appender_has_room(struct appender *appender, size_t len);

/*
 * Makes everything appended so far durable, shared by all who wait (one sync per segment). A sync
 * that failed is told to every call that was running then, and to the next one after it. That is
 * right for one thread that appends and syncs. Threads that do so side by side must each know of a
 * failure another one was told first: they take a mark before they append and use the second form,
 * which fails if any segment has failed since.
 */
int appender_sync(struct appender *appender);
uint64_t appender_mark(struct appender *appender);
int appender_sync_since(struct appender *appender, uint64_t mark);

/* Closes the open segments: the next append starts new ones. */
void appender_roll(struct appender *appender);
/*
 * Closes a place, or opens it again. Nothing is appended to a closed one: when the call returns,
 * all appends that were on their way there have ended, and the segment that was open is sealed.
 * What they appended may not be synced yet, nor the records that point there committed. The tier
 * says which are closed (tier_place_closed()), so that their room is not counted on.
 */
void appender_place_close(struct appender *appender, uint32_t place);
void appender_place_open(struct appender *appender, uint32_t place);
/* What the appender needs a segment's file for: appends may still go there, or what was appended is
 * on its way or not synced yet. */
enum appender_hold { APPENDER_FREE, APPENDER_UNSYNCED, APPENDER_OPEN };
enum appender_hold appender_holds(struct appender *appender, uint64_t segment_id);

/* What the header of a segment says. */
struct segment_header {
	uint8_t pool_uuid[16];
	uint32_t tier_id;
	uint64_t id;
	uint64_t created_ns; /* since 1970 */
};

/*
 * Verifies the first SEGMENT_HEADER_LEN bytes of a segment. The caller compares pool, tier and id
 * with what it expects. Returns 0; -EBADMSG no header, or damaged; -ENOTSUP newer format.
 */
int segment_header_check(const void *buf, size_t len, struct segment_header *out);
/* Makes those bytes. */
void segment_header_encode(const struct segment_header *header, uint8_t *buf);

#endif
