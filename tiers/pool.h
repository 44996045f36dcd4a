/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pool: tiers, metadata, RAM tier, the threads that flush, commit, and move. One process has a
 * pool open at a time.
 *
 * Threads: any, after pool_open() returned and before pool_close(). pool_close() needs all object
 * references put. Errors come with one log line each; see terrace(7) for what each says.
 */
#ifndef TERRACE_TIERS_POOL_H
#define TERRACE_TIERS_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "compress/codec.h"
#include "tiers/config.h"

struct pool;
struct latency_view;
struct meta;
struct object;

/*
 * Makes labels, folders and an empty metadata store with the root object. All directories must
 * exist and be writable; none may belong to a pool. On error nothing is left behind that was not
 * there.
 */
int pool_create(const struct pool_config *config);

struct pool_open_options {
	bool no_background; /* tests: no flusher, no committer, no engine of their own; the caller
			       calls pool_sync() and pool_run() */
	bool guest;	    /* in a program that is not ours: malloc's settings stay */
	bool fetch; /* whole small objects are kept for object_fetch(), in half of the room that the
		       RAM tier has for decoded data */
};

/* -EBUSY another process has it open; -ENOENT a directory or the metadata is missing; -ENOTUNIQ
 * another pool's; -EUCLEAN damaged metadata; -ENOSPC tmpfs full. The config is copied. */
int pool_open(const struct pool_config *config, const struct pool_open_options *options,
	      struct pool **out);
/* Flushes, checkpoints and closes. Returns the first error; data that could not reach a tier stays
 * in the RAM tier's files. */
int pool_close(struct pool *pool);
/* What kill -9 leaves: threads stopped, nothing flushed. For tests. */
void pool_abandon(struct pool *pool);

struct meta *pool_meta(struct pool *pool);
const struct pool_config *pool_config(struct pool *pool);

/* Everything acknowledged before the call is durable on persistent tiers. */
int pool_sync(struct pool *pool);
/* Names and attributes are, but for times of files; bytes as far as these depend on them (a
 * rename over a name). */
int pool_sync_meta(struct pool *pool);

/*
 * A change of metadata was refused for lack of room: what the store has set aside for changes not
 * yet in its tree may be far more than they take, so they are put there. 0: try again. -ENOSPC it
 * has just been done; frees: for deletes and cuts it is done each time. No transaction may be open
 * and no object locked.
 */
int pool_make_room(struct pool *pool, bool frees);

/* To be called before the transaction of a rename over an existing name
 * (object_order_before_sync()): waits, rarely and for milliseconds, while a cut of the journal
 * catches up with such renames. */
void pool_order_gate(struct pool *pool);

/* What somebody said about a file with user.terrace.state. */
enum object_state {
	OBJECT_ACTIVE,	/* nothing, or that it is in use: heat decides */
	OBJECT_SEALED,	/* it will not change any more: coded strongly at once, stays where it is */
	OBJECT_ARCHIVED /* it will hardly be read either: goes to the last tier at once, coded
			   strongly, and never comes up by itself */
};

/* What people want of an object. Pins and states come from attributes, the rest from the first rule
 * of the configuration that matches. */
struct object_policy {
	int pin; /* tier index, -1 = none; 0: decoded and resident in memory */
	bool has_codec;
	struct codec_spec codec;
	unsigned replicas; /* places to be kept in, 1..5; 0: as the tier says */
	enum object_state state;
	int rule;	      /* index in the config's rules, -1 = none matches */
	int tier;	      /* where the rule wants it, -1 = anywhere */
	uint32_t never_tiers; /* bit per tier that the rule excludes */
	bool ignore;	      /* the rule: background work leaves it where it is */
	bool plain;	      /* it should lie in a plain file (tiers/plain.h) */
	uint64_t group;	      /* small objects of one group (folder) are packed side by side */
};

/* The directory tier that new bytes of such an object go to. */
int pool_home(const struct pool *pool, const struct object_policy *policy);

/* What the layer above knows and the tiers do not. Called from any thread, never with a transaction
 * open; must not call object_* data functions. Set before use, once. */
struct pool_hooks {
	/* age_s: since the data in question was last used; 0 for what is being written. */
	void (*policy)(void *arg, uint64_t object, uint32_t age_s, struct object_policy *out);
	/* Is there any pin, state, codec or rule at all? May be NULL: no. */
	bool (*any)(void *arg);
	/* The object's path from the mount's root, for messages. */
	void (*path)(void *arg, uint64_t object, char *buf, size_t cap);
	/* A pass of the tier engine is over; what the layer above has to do then. May be NULL. It
	 * may take long: pool_hooks_set() waits for it. */
	void (*passed)(void *arg);
	/* What the object takes on media has changed by a move; no lock is held. May be NULL. */
	void (*moved)(void *arg, uint64_t object);
	void *arg;
};
/* No hook of before runs any more when it returns. */
void pool_hooks_set(struct pool *pool, const struct pool_hooks *hooks);

/* Room, for statfs: bytes that can still be written, raw, without counting on compression. */
struct pool_space {
	uint64_t total, free;
	uint64_t objects; /* that exist */
};
void pool_space(struct pool *pool, struct pool_space *out);

/* Accounts, exact to the byte. Index 0 is the RAM tier. */
struct tier_usage {
	uint64_t size; /* what the tier may hold: the quota or its media, each once */
	uint64_t free; /* what can still be written there: less than size - used where others use
			  the media too */
	uint64_t used; /* what it takes: directory tiers: disk blocks of its files; RAM: log and
			  cache */
	uint64_t live; /* stored bytes of frames that something points to (RAM: written data not yet
			  flushed) */
	uint64_t logical; /* raw bytes of extents that live here (RAM: same as live) */
	uint64_t plain;	  /* of live and logical: bytes of plain files */
	uint64_t frames;
	uint64_t hits, misses; /* reads served from here / RAM: block cache */
	uint64_t cached;       /* RAM: decoded hot blocks */
	uint64_t limit;	       /* RAM: what it may take now, memory being short; else size */
	uint64_t pinned;       /* RAM: raw bytes on media of files pinned to memory ... */
	uint64_t unpinned;     /* ... and those of them that have no room there */
	struct {
		uint64_t raw, stored, frames; /* frames by codec id: raw and stored bytes */
	} codec[CODEC_COUNT];
};
struct pool_usage {
	uint64_t logical;  /* bytes in objects, holes left out, shared extents counted for each */
	uint64_t packed;   /* raw bytes in frames: shared extents once */
	uint64_t stored;   /* after compression */
	uint64_t metadata; /* disk blocks of metadata files */
	uint64_t objects;
	uint64_t parked; /* bytes that background work could not place */
	uint32_t ntiers;
	struct tier_usage tiers[CONFIG_TIERS_MAX];
};
void pool_usage(struct pool *pool, struct pool_usage *out);
/* What the medium of a tier has taken since the pool was opened (tiers/latency.h); all zero for the
 * RAM tier, which has none. */
void pool_latency(struct pool *pool, uint32_t tier, struct latency_view *out);

/* Moves. --------------------------------------------------------------------------------------- */

struct move_progress { /* read by others while the move runs; all fields atomic */
	_Atomic uint64_t bytes_total, bytes_done; /* raw */
	_Atomic uint64_t frames_failed;
	_Atomic uint64_t places_made; /* directories that had been deleted */
	_Atomic uint64_t
		engine_ns; /* CPU time of choosing and committing; coding is done by others */
	_Atomic bool cancel;
};

/* Moves everything of these objects that is not there yet to tier `to`, folding small extents into
 * full frames and packing small objects by folder. RAM (0): decodes into the cache. Flushes first
 * what is only in the log. -ECANCELED; -ENOSPC; first error otherwise, the rest is still tried. */
int pool_move(struct pool *pool, const uint64_t *objects, size_t n, int to,
	      struct move_progress *progress);
/* The same of what lies below the tier only (step -1: a promotion), or above it (1). */
int pool_move_step(struct pool *pool, const uint64_t *objects, size_t n, int to, int step,
		   struct move_progress *progress);
/* One pass of the tier engine now (tiers/engine/engine.h), whatever the window and the pace. */
int pool_run(struct pool *pool, struct move_progress *progress);

#endif
