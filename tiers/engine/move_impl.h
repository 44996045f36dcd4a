/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of a move share: mover.c (sources' users, the order of steps), move_load.c
 * (sources), move_pack.c (builds), move_commit.c (redirects). Not for others.
 */
#ifndef TERRACE_ENGINE_MOVE_IMPL_H
#define TERRACE_ENGINE_MOVE_IMPL_H

#include "tiers/engine/mover.h"
#include "tiers/framestore.h"
#include "tiers/pool_impl.h"
#include "tiers/workers.h"

struct span; /* move_load.c */

enum move_stage { /* what is under way */
		  MOVE_LOADING,
		  MOVE_CODING,
		  MOVE_VERIFYING,
};

/* A source frame, decoded. */
struct source {
	struct pool *pool;
	uint64_t id;
	struct frame_record record;
	struct heat_state heat;
	struct frame_header header;
	uint8_t *raw; /* in the move's */
	bool used;    /* something of it is to move */
	bool again;   /* something of it has moved in a round before */
	bool more;    /* ... is to move in another round, from here on: */
	struct scan {
		uint32_t named;	      /* extents of its table that have been looked at */
		uint64_t object, off; /* then records: up to here */
	} scan;
	int error;
};

struct move_object {
	struct object *object; /* referenced */
	struct object_policy policy;
};

/* An extent of an object that points into a source. */
struct user {
	struct source *source;
	struct move_object *owner;
	struct extent extent;
};

/* Bytes of a source that several users may share, to be written once, under the name of one. */
struct piece {
	struct source *source;
	struct move_object *owner;
	uint32_t off, len;   /* in the source */
	uint64_t object_off; /* in the owner */
};

/* Where bytes of a source are in a build. */
struct run {
	const struct source *source;
	uint32_t off, len; /* in the source */
	struct frame_build *build;
	uint32_t build_off;
	uint64_t object, object_off; /* named in the build's table */
};

/* A part of an object to be pointed to its new place. */
struct redirect {
	struct object *object;
	const struct source *source;
	uint64_t off;
	uint32_t len;
	uint32_t old_off;
	struct frame_build *build;
	uint32_t build_off;
	bool shared;
};

struct list { /* of any of the above */
	void *items;
	size_t count, cap, size;
};

struct move {
	struct pool *pool;
	const struct move_request *request;
	struct move_progress *progress;
	struct move_result *result;
	struct job_group *group; /* of the stage */
	enum move_stage stage;
	struct source *sources;
	size_t nsources, users_max;
	uint8_t *raw; /* of the sources, one behind the other, from engine.batches */
	size_t raw_len;
	struct span *spans;    /* of sources that are being read together */
	struct source **order; /* the sources as they lie on their medium */
	struct idmap objects;  /* id -> struct move_object */
	struct list users, pieces, runs;
	struct list builds; /* struct frame_build * */
	struct list redirects;
	struct frame_build *pack, *bulk; /* being filled */
	uint64_t bulk_object;
	uint64_t mark;	/* of the appender, before the first append */
	int unprepared; /* why it will not be committed */
	bool ended;
	int error;
};

/* A copy of item at the end; NULL: no memory. */
void *move_list_add(struct list *list, const void *item);
void move_fail(struct move *move, int error);

/* Sources, of the request or what the round before has left, are read and decoded when the group's
 * jobs have ended; each has an error of its own. -ENOMEM. */
int move_load(struct move *move, const struct move *before);
/* Pieces into builds, sorted by folder, object and offset; runs and redirects come of it. Builds
 * are on their way when it returns. */
int move_pack(struct move *move);
/* Builds, which are written, are synced, and being read back when it returns. One that fails keeps
 * its error; what it holds stays where it is. */
void move_make_durable(struct move *move);
/* Notes the builds' errors; none of them is under way. */
void move_builds_done(struct move *move);
/* Extents to their new places, ghosts, events, accounts. */
void move_commit(struct move *move);

#endif
