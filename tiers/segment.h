/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Segments: append-only containers of frames. An appender owns one open segment per place of a tier
 * and hands out positions in it; several threads append at once, each writing its own range.
 *
 * Invariants:
 *  1. Bytes once written are never written again (space is given back by punching and removing).
 *  2. segment ids are never reused: next_id is durable before an id is used (the caller's job: it
 *     passes an allocator).
 *  3. After segment_sync() returns 0, everything appended before the call is durable. After
 *     it fails, the segments concerned are closed for appending, and what was not synced must be
 * appended again.
 *  4. A segment file begins with a header of SEGMENT_HEADER_LEN bytes (terrace-format(5)): magic,
 * version, feature words, pool uuid, tier id, segment id, time, checksum.
 */
#ifndef TERRACE_TIERS_SEGMENT_H
#define TERRACE_TIERS_SEGMENT_H

#include <stddef.h>
#include <stdint.h>

#include "tiers/tier.h"

#define SEGMENT_HEADER_LEN 4096u

struct appender;

struct appender_options {
	struct tier *tier;
	const uint8_t *pool_uuid;
	uint32_t tier_id;
	uint64_t segment_bytes;			 /* a segment is sealed at this length */
	int (*next_id)(void *arg, uint64_t *id); /* a fresh segment id; called without locks held */
	void *arg;
};

struct segment_loc {
	struct tier_segment seg;
	uint64_t off; /* of the first byte, from the start of the file */
};

int appender_new(struct appender **out, const struct appender_options *options);
void appender_free(struct appender *appender); /* no sync */

/*
 * Appends buf as one piece. Chooses the place with the most free space; -ENOSPC when none has room,
 * after trying each. A place whose medium fails is left out for a while and the next is tried; the
 * error is returned when all fail.
 */
int appender_append(struct appender *appender, const void *buf, size_t len, enum tier_hint hint,
		    struct segment_loc *out);

/* Makes everything appended so far durable, shared by all who wait (one sync per segment). */
int appender_sync(struct appender *appender);

/* Closes the open segments: the next append starts new ones. */
void appender_roll(struct appender *appender);
/* True while appends may still go to this segment. */
int appender_is_open(struct appender *appender, uint64_t segment_id);

#endif
