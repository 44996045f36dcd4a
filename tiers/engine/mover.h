/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Moving frames: copy, sync, read back, commit the maps, and only then let the source go (promise
 * 2). To another tier, or within one (coding anew, cleaning, emptying a directory).
 *
 * A move takes source frames, finds every extent that lives in them (the frame's own table and
 * KEY_SHARED records say whom to ask), packs the bytes that are still used into frames of the
 * target tier, by folder, object and offset, and points the extents there. What was changed
 * meanwhile stays as it is: an extent is only redirected if it still points to the source.
 *
 * A frame may be shared by any number of extents (clones). A move takes so many at a time, in
 * rounds: each writes what its extents need once more, and the source goes with the last of them.
 * Between two rounds the caller is asked, as he asks himself between two moves.
 */
#ifndef TERRACE_ENGINE_MOVER_H
#define TERRACE_ENGINE_MOVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tiers/engine/decide.h"
#include "tiers/idmap.h"
#include "tiers/pool.h"
#include "tiers/workers.h"

#define MOVE_BATCH_BYTES \
	(8u << 20) /* raw bytes of source frames in one batch: bounds the memory of a move */

/* A source of which nothing has moved, or that has more than has moved. */
struct move_left {
	uint64_t frame;
	uint64_t object; /* one that lives there, 0 = not known */
	uint32_t raw_len, stored_len;
	int error; /* 0: nobody in it may move; -EAGAIN: the rounds were ended before it was through
		    */
};

/* Extents that one round of a move points elsewhere; meanwhile each takes several hundred bytes. */
#define MOVE_USERS_MAX 65536u

struct move_request {
	const uint64_t *frames; /* together at most MOVE_BATCH_BYTES raw */
	size_t n;
	int to; /* a directory tier */
	enum move_reason reason;
	enum job_class reads, codes; /* classes of the jobs */
	const struct idmap *only;    /* objects whose bytes are to move; NULL: all whose policy lets
					them (move_allowed()) */
	bool rewrite;		     /* also what is in that tier already */
	bool own_codec;		     /* code what moves with this one, whatever else is set */
	struct codec_spec codec;
	size_t users_max;				       /* 0: MOVE_USERS_MAX */
	void (*left)(void *arg, const struct move_left *left); /* may be NULL */
	/* Between two rounds, with no lock of the move held: *result is of what has been done, and
	 * may be taken and set to zeros. May another one follow? May be NULL. */
	bool (*again)(void *arg);
	void *arg;
};

struct move_result {
	uint64_t moved;		     /* raw bytes that live elsewhere now */
	uint64_t written;	     /* stored bytes of the new frames */
	uint64_t frames;	     /* sources that were looked at */
	uint64_t held;		     /* of them, those of which nothing was allowed to move */
	int read_error, write_error; /* the first of each; write: of the target tier */
	int commit_error; /* the metadata takes nothing now: other moves would be in vain too */
	int error;	  /* the first of all */
};

/*
 * A move goes in steps: its sources are read (move_begin()); what is to move is coded and written;
 * it is synced and read back (move_step() each); committed (move_finish()). Each waits for what the
 * one before has set going, and returns when its own is on its way. So other moves may begin, go on
 * and end between two steps: what the one waits for, the others use.
 *
 * The request's frames are not looked at after move_begin(); all else stays the caller's until
 * move_finish(). -ENOMEM: nothing has begun, and the others must not be called.
 */
struct move;
int move_begin(struct pool *pool, const struct move_request *request,
	       struct move_progress *progress, struct move_result *result, struct move **out);
/* Nothing when there are no more. Of a move in several rounds, all but the last end in its coding,
 * and *move is the last one then. */
void move_step(struct move **move);
/* The steps that are left, and the last one. Adds to *result. Returns result->error of this move.
 * Frames that cannot be read are logged with the path and left. */
int move_finish(struct move *move);
/* All. */
int move_frames(struct pool *pool, const struct move_request *request,
		struct move_progress *progress, struct move_result *result);

/* May background work take an object's bytes from one tier to another for this reason? Pure. */
bool move_allowed(const struct object_policy *policy, int from, int to, enum move_reason reason,
		  uint32_t ntiers);

#endif
