/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pool in an array, for months in seconds: frames with a tier each, read by workloads, moved by
 * the very functions the engine uses (heat, reread, rank, room, decide, ghost, budget, breaker), in
 * passes like those of tiers/engine/planner.c. Checks at every move what decide() promises.
 *
 * A frame is 1 MiB, the only frame of its object unless said otherwise. Tier 1 is "ssd", then
 * slower ones.
 */
#ifndef TERRACE_TESTS_FIX_MONTHS_H
#define TERRACE_TESTS_FIX_MONTHS_H

#include <stdbool.h>
#include <stdint.h>

#include "tiers/engine/breaker.h"
#include "tiers/engine/budget.h"
#include "tiers/engine/decide.h"
#include "tiers/engine/ghost.h"
#include "tiers/engine/heat.h"
#include "tiers/engine/rank.h"
#include "tiers/engine/reread.h"
#include "tiers/engine/window.h"

#define MONTHS_BEGIN 1767571200u /* Monday 2026-01-05 00:00 UTC, which is local time here */
#define MONTHS_FRAME (1u << 20)
#define MONTHS_RUN   100u
#define MONTHS_SSD   1
#define HOUR_S	     3600u
#define DAY_S	     86400u
#define WEEK_S	     (7 * DAY_S)

struct months_frame {
	uint32_t tier; /* 0 = does not exist */
	uint32_t placed_s, reread_s;
	bool came_up, parked;
	uint32_t parked_until_s, pauses;
	unsigned rank; /* of the last pass */
	struct reread_run run;
};

struct months_counts {
	uint64_t up, down;	     /* frames moved */
	uint64_t reads, fast;	     /* months_read(): of them, from the ssd */
	uint64_t batches, failed;    /* tried, failed */
	uint64_t events;	     /* of breakers */
	uint64_t blocked[BLOCKS];    /* verdicts of frames that wanted to move */
	uint64_t by_reason[REASONS]; /* frames moved */
	uint64_t budget_most;	     /* written into the ssd by moves on one day */
};

struct months {
	uint32_t now_s, interval_s;
	uint32_t nframes;
	struct months_frame *frames;
	uint64_t seed;
	/* set by the test */
	struct engine_facts facts; /* sizes, times, gain as configured */
	uint64_t budget;	   /* of the ssd */
	struct window window;
	uint32_t failing;      /* a tier that fails now, 0 = none, */
	unsigned fail_percent; /* ... so many of its batches */
	/* state */
	struct heat *heat;
	struct reread *reread;
	struct ghosts *ghosts;
	struct budget budgets[CONFIG_TIERS_MAX];
	struct breaker breakers[CONFIG_TIERS_MAX];
	uint64_t used[CONFIG_TIERS_MAX];
	uint32_t pass_s; /* the next one */
	struct months_counts counts;
};

/* Tier sizes in frames, fastest first; all frames begin in the slowest. */
void months_init(struct months *months, uint32_t nframes, const uint32_t *sizes, uint32_t ntiers);
void months_release(struct months *months);

/* Passes that are due by then. */
void months_advance(struct months *months, uint32_t to_s);
/* A read of 4 KiB in one of the frame's first `pieces` pieces. */
void months_read(struct months *months, uint32_t frame, uint32_t pieces);
/* All of the frame, front to back. */
void months_scan(struct months *months, uint32_t frame);
bool months_is_small(uint32_t frame);			  /* holds small files */
void months_write(struct months *months, uint32_t frame); /* anew: goes to the ssd, else below */
void months_remove(struct months *months, uint32_t frame);

uint64_t months_moves(const struct months *months);
double months_pingpong(const struct months *months); /* part of all moves */

#endif
