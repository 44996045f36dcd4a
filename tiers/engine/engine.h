/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tier engine of a pool: surveys the tiers, plans moves (decide.h), makes them in batches
 * (mover.h), cleans segments, and can say what it will do and why it has not.
 *
 * One thread per pool makes background moves, a pass every run_interval. Calls on request come from
 * any thread; halves of batches take turns (pool.move_lock).
 */
#ifndef TERRACE_ENGINE_ENGINE_H
#define TERRACE_ENGINE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tiers/engine/breaker.h"
#include "tiers/engine/decide.h"
#include "tiers/object.h"
#include "tiers/pool.h"

/* Why ------------------------------------------------------------------------------------------ */

/* What the engine thinks of each extent of the object, in order; as of the last pass and now. A
 * non-zero return of each() ends the walk and is returned. No lock is held while it runs. */
struct extent_why {
	struct object_extent extent;
	struct frame_facts frame; /* of extents in the RAM tier: zeros */
	struct verdict verdict;
};
int pool_why(struct pool *pool, struct object *object,
	     int (*each)(void *arg, const struct extent_why *why), void *arg);

/* Plans ---------------------------------------------------------------------------------------- */

/* Moves that belong together. With a block: what would go, but may not now. */
struct plan_move {
	int from, to;
	enum move_reason reason;
	enum move_block block;
	uint32_t when_s;
	uint64_t frames, raw, stored;
	uint64_t stored_after; /* estimated by the target's ratio so far */
	uint64_t files;	       /* objects with data in them; at most PLAN_FILES are looked at */
	bool more_files;
	double seconds;	  /* at the measured rates and set limits */
	double benefit_s; /* REASON_HOT: time saved over the residency */
};

#define PLAN_FILES 4096u

struct plan {
	struct plan_move *moves;
	size_t nmoves;
	uint64_t *objects; /* of the moves that would go, the first PLAN_FILES, each once */
	size_t nobjects;
	uint64_t used[CONFIG_TIERS_MAX], used_after[CONFIG_TIERS_MAX];
};

/* What a pass would do now; changes nothing. Reads frame headers of what would move (at most
 * PLAN_FILES). The caller releases. */
int pool_plan(struct pool *pool, struct plan *out);
void plan_release(struct plan *plan);

/* Moves on request ----------------------------------------------------------------------------- */

/* Each object to where its policy (pin, state, rule) wants it, coded as it wants it. */
int pool_place(struct pool *pool, const uint64_t *objects, size_t n,
	       struct move_progress *progress);
/* How sealed and archived objects are coded, unless they have a codec of their own. */
void pool_strong_codec(struct pool *pool, struct codec_spec *out);
/* Empties a tier, or one of its directories (place >= 0): nothing is written there from now on and
 * what is there goes to the other directories of the tier, else to the tiers below, else above.
 * It stays closed until pool_reopen() or the next mount. -ENOSPC: no room elsewhere; what has moved
 * has moved. */
int pool_evacuate(struct pool *pool, uint32_t tier, int place, struct move_progress *progress);
void pool_reopen(struct pool *pool, uint32_t tier, int place);

/* State ---------------------------------------------------------------------------------------- */

struct engine_tier_stats {
	enum breaker_state breaker;
	uint64_t breaker_opened;
	uint32_t breaker_until_s;
	uint64_t budget_used, budget; /* of today; budget 0 = no limit */
	uint64_t moved_in, moved_out; /* stored bytes, since the mount */
	unsigned hot_rank, cold_rank; /* of the last pass */
};

struct engine_stats {
	uint64_t passes, last_pass_ns; /* how long the last one took */
	int64_t next_pass_s;
	uint64_t moves[REASONS], bytes[REASONS]; /* frames, raw bytes */
	uint64_t blocked[BLOCKS];		 /* raw bytes held up at the last pass */
	uint64_t parked, parked_bytes;		 /* frames */
	uint64_t cleaned;			 /* segments */
	uint64_t promotions, pingpong;
	double gain;	  /* k of today: what the gain of a ghost must be */
	double share;	  /* of full speed */
	const char *slow; /* what holds moves back, or NULL */
	bool window_open;
	uint32_t window_at_s;
	struct engine_tier_stats tiers[CONFIG_TIERS_MAX];
};
void pool_engine_stats(struct pool *pool, struct engine_stats *out);

/* Work that could not be done, with its reason: at most PARKED_MAX entries; what does not fit is
 * found again by a later pass. */
#define PARKED_MAX 4096u
struct parked {
	uint64_t frame, object; /* object 0: not known */
	int from, to;
	uint64_t bytes; /* raw */
	enum move_reason reason;
	int error; /* negative errno */
	uint32_t since_s, until_s;
};
/* Calls each() for every entry; ends on non-zero. */
int pool_parked(struct pool *pool, int (*each)(void *arg, const struct parked *parked), void *arg);

struct events;
struct events *pool_events(struct pool *pool);

#endif
