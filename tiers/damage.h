/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list of damaged frames: what a read or a scrub could not get from any medium. It lasts over
 * mounts (terrace-format(5), Damage). An entry leaves it when its frame is overwritten, deleted or
 * moved, or read well by a scrub.
 *
 * What is noted counts at once and is stored by damage_settle(), which the committer calls every
 * second: so a read may note with locks held. Threads: any; a leaf lock.
 */
#ifndef TERRACE_TIERS_DAMAGE_H
#define TERRACE_TIERS_DAMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tiers/records.h"

#define DAMAGE_MAX 65536u /* entries; what does not fit is found again by a later scrub */

struct pool;
struct damages;

struct damage {
	uint64_t frame;
	uint64_t object;   /* one of those in it, 0 = not known; not stored */
	uint64_t segment;  /* where it lay when it was found */
	uint64_t since_s;  /* 1970 */
	uint32_t off, len; /* of the frame's raw bytes */
	int error;	   /* negative errno; -EBADMSG: a checksum */
	uint16_t place;
	uint8_t tier;
};

int damages_new(struct damages **out); /* -ENOMEM */
void damages_free(struct damages *damages);
/* Takes up what is stored; entries of frames that have gone are dropped. */
int damages_load(struct pool *pool);

/* Is this error of a read one of the medium or the bytes, not of ours? */
bool damage_is(int error);
/* [off, off+len) of a frame's raw bytes cannot be read; joined with what is known of it. True: the
 * frame was not on the list. */
bool damage_note(struct pool *pool, uint64_t frame, const struct frame_record *record, uint32_t off,
		 uint32_t len, int error, uint64_t object);
/* The event about it names this object, if none was known; it may be the second one. */
void damage_name(struct pool *pool, uint64_t frame, uint64_t object);
/* It can be read again, or is no more. Cheap when nothing is damaged. */
void damage_gone(struct pool *pool, uint64_t frame);
bool damage_has(struct pool *pool, uint64_t frame);
size_t damage_count(struct pool *pool);
/* Stores what has changed and tells of what is new (EVENT_DAMAGE). No lock held. */
void damage_settle(struct pool *pool);

/* A part of an object that cannot be read. */
struct damaged {
	struct damage damage;
	uint64_t object;   /* 0: no object uses the damaged bytes */
	uint64_t off, len; /* of the object */
};
/* Calls each() for all of them, in order of object; ends on non-zero, which is returned. Walks the
 * metadata of all objects when there is damage. */
int pool_damaged(struct pool *pool, int (*each)(void *arg, const struct damaged *damaged),
		 void *arg);

#endif
