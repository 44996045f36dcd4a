/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tier engine wants with one frame, and why: the one place where that is decided. The
 * engine asks it before a move, `why` asks it to explain, the simulator asks it millions of times.
 *
 * Pure: no I/O, no clock, no memory. Times are seconds since 1970, rates bytes per second.
 *
 * In this order, the first that speaks decides:
 *   1. a tier or directory that is being emptied (REASON_EVACUATE)
 *   2. pin, then archived, then the rule's tier: where it must be (REASON_PIN, STATE, RULE); a tier
 *      that the rule excludes is left (RULE) and never a target
 *   3. heat: up when the evidence and the gain suffice (REASON_HOT), down when the tier is too full
 *      or room is needed for hotter data (REASON_FULL, REASON_ROOM)
 * What is wanted may be held up (enum move_block), and `when_s` says until when, if that is known.
 * An ignore rule holds up whatever is wanted, evacuations too (BLOCK_IGNORED): `to` and `reason`
 * tell what would be, for who empties a disk all the same.
 *
 * Evacuation goes to the next tier below with room, else above; if need be beyond the high
 * watermark and to a tier that rules exclude; window, budget and the breaker of the tier that is
 * left do not hold it up. Who empties one directory looks in the tier's others first.
 *
 * Pinned to memory (0): on disk it is kept in the first directory tier. Sealed: heat decides.
 */
#ifndef TERRACE_ENGINE_DECIDE_H
#define TERRACE_ENGINE_DECIDE_H

#include <stdbool.h>
#include <stdint.h>

#include "tiers/config.h"
#include "tiers/engine/heat.h"
#include "tiers/pool.h"

enum move_reason {
	REASON_NONE,	 /* stays */
	REASON_PIN,	 /* a pin says so */
	REASON_STATE,	 /* sealed or archived */
	REASON_RULE,	 /* a rule of the configuration */
	REASON_HOT,	 /* read again within the window: comes up */
	REASON_FULL,	 /* the tier is above its high watermark */
	REASON_ROOM,	 /* makes room for hotter data */
	REASON_CLEAN,	 /* its segment is mostly dead: written together anew */
	REASON_EVACUATE, /* the tier or directory is being emptied */
	REASON_ASKED,	 /* terrace promote, demote */
	REASON_MEND,	 /* a copy is damaged, or there are to be more: written anew */
	REASONS
};

enum move_block {
	BLOCK_NONE,	/* goes, or wants nothing */
	BLOCK_PINNED,	/* would go down or up by heat, but a pin, state or rule keeps it: `to` is
			   its own tier */
	BLOCK_IGNORED,	/* a rule says: leave it */
	BLOCK_YOUNG,	/* used less than min_age ago */
	BLOCK_COOLING,	/* came here less than `residency` ago, or comes and goes too often */
	BLOCK_EVIDENCE, /* not read twice within promote_window */
	BLOCK_COST,	/* the time it would save is less than the copy costs, times k */
	BLOCK_COLDER,	/* colder than what would have to leave for it */
	BLOCK_BUDGET,	/* the target's write budget of today is used up */
	BLOCK_WINDOW,	/* outside move_window */
	BLOCK_FULL,	/* no tier that may hold it has room */
	BLOCK_BREAKER,	/* the breaker of the tier is open */
	BLOCK_PARKED,	/* tried, failed; tried again later */
	BLOCKS
};

/* A tier, as the engine sees it in one pass. [0], the RAM tier, is never a source or a target
 * here. */
struct tier_facts {
	uint64_t size, used;  /* bytes on the medium */
	uint64_t high, low;   /* bytes */
	uint64_t write_left;  /* of the write budget; UINT64_MAX = no limit */
	uint32_t budget_at_s; /* when it begins anew */
	double ratio;	      /* raw by stored bytes of what is there; 0 = nothing is */
	uint32_t min_age_s;
	uint64_t read_latency_ns;	/* of one read of a block, as measured */
	uint64_t read_rate, write_rate; /* bytes/s, as measured */
	unsigned hot_rank;     /* ranks at and above belong here or higher: rank_fit() over this and
				  all slower tiers, of what the tier may hold for good */
	unsigned cold_rank;    /* ranks up to this leave now; UINT_MAX: none need to */
	bool for_room;	       /* they leave for hotter data, not for a watermark, */
	unsigned room_rank;    /* ... the coldest of which has this rank */
	bool breaker_open;     /* as a target or a source */
	uint32_t breaker_at_s; /* when it is tried again */
	bool evacuating;       /* all of it */
};

struct engine_facts {
	uint32_t now_s;
	uint32_t ntiers;
	struct tier_facts tiers[CONFIG_TIERS_MAX];
	struct heat_scale heat;
	uint32_t promote_window_s, residency_s;
	double gain;	   /* time saved / cost of the copy must be at least this */
	double ghost_gain; /* k of ghosts_gain(): a ghost's must be k times `gain`, others' sqrt(k)
			      times; widens room_margin(). Less than 1 is taken for 1 */
	bool window_open;
	uint32_t window_at_s; /* when it opens */
};

struct frame_facts {
	uint32_t tier;
	uint32_t raw_len, stored_len;
	struct heat_state heat;
	uint32_t placed_s; /* since when it is in this tier; 0 = not known */
	bool came_up;	   /* ... by a promotion: then it is not demoted during its residency */
	uint32_t reread_s; /* when it was last read again within the window (reread.h); 0 =
			      not */
	bool was_demoted;  /* a ghost: went down lately (ghost.h); not promoted within `residency`,
			      nor for less than ghost_gain times `gain` */
	bool evacuating;   /* its directory is being emptied */
	bool parked;
	uint32_t parked_until_s;
	struct object_policy policy; /* of the object asked about */
};

struct verdict {
	int to; /* where it should be: its own tier = stays */
	enum move_reason reason;
	enum move_block block; /* why not now */
	uint32_t when_s;       /* 0 = now, or not known */
	unsigned rank;	       /* tiers/engine/rank.h */
	double benefit_s; /* REASON_HOT: time saved over the residency, or the half life of heat
			     where that is longer */
	double cost_s;	  /* of the copy */
};

void decide(const struct engine_facts *facts, const struct frame_facts *frame, struct verdict *out);

/* "hot", "full" ...; "pinned", "budget" ... for JSON, events and people. */
const char *reason_name(enum move_reason reason);
const char *block_name(enum move_block block);

#endif
