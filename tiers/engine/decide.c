// SPDX-License-Identifier: Apache-2.0
/*
 * Two steps: what is wanted (must_be(), by_heat()), then what holds it up (hold_up()).
 *
 * What does not deserve to move says so at once (EVIDENCE, COLDER, COST): no time will change it.
 * Of the rest several may hold at once, and then the one that lasts longest is told, since nothing
 * will happen before; one whose end is not known lasts longest of all, and of equals the first is
 * told in the order YOUNG COOLING WINDOW BUDGET BREAKER PARKED. FULL is found while a target is
 * looked for, and its end is never known.
 */
#include "tiers/engine/decide.h"

#include <limits.h>
#include <math.h>
#include <stddef.h>

#include "tiers/engine/rank.h"
#include "tiers/engine/room.h"

#define DAY_S 86400u

struct view {
	const struct engine_facts *facts;
	const struct frame_facts *frame;
	const struct tier_facts *own;
	unsigned rank;
};

const char *reason_name(enum move_reason reason)
{
	static const char *const names[REASONS] = {
		[REASON_NONE] = "none",	  [REASON_PIN] = "pin",	    [REASON_STATE] = "state",
		[REASON_RULE] = "rule",	  [REASON_HOT] = "hot",	    [REASON_FULL] = "full",
		[REASON_ROOM] = "room",	  [REASON_CLEAN] = "clean", [REASON_EVACUATE] = "evacuate",
		[REASON_ASKED] = "asked", [REASON_MEND] = "mend",
	};

	return (unsigned)reason < REASONS ? names[reason] : "unknown";
}

const char *block_name(enum move_block block)
{
	static const char *const names[BLOCKS] = {
		[BLOCK_NONE] = "none",	     [BLOCK_PINNED] = "pinned",
		[BLOCK_IGNORED] = "ignored", [BLOCK_YOUNG] = "young",
		[BLOCK_COOLING] = "cooling", [BLOCK_EVIDENCE] = "evidence",
		[BLOCK_COST] = "cost",	     [BLOCK_COLDER] = "colder",
		[BLOCK_BUDGET] = "budget",   [BLOCK_WINDOW] = "window",
		[BLOCK_FULL] = "full",	     [BLOCK_BREAKER] = "breaker",
		[BLOCK_PARKED] = "parked",
	};

	return (unsigned)block < BLOCKS ? names[block] : "unknown";
}

/* Tiers as targets ----------------------------------------------------------------------------- */

static bool excluded(const struct view *view, uint32_t tier)
{
	return view->frame->policy.never_tiers >> tier & 1;
}

static bool is_target(const struct view *view, uint32_t tier)
{
	return tier != view->frame->tier && !view->facts->tiers[tier].evacuating;
}

/* Bytes it will take there at most: down it is coded more strongly and does not grow; up it may be
 * as large as that tier's ratio lets expect, and not smaller than where it was coded strongly. */
static uint64_t bytes_in(const struct view *view, uint32_t tier)
{
	const struct frame_facts *frame = view->frame;
	double ratio = view->facts->tiers[tier].ratio;
	uint64_t bytes = frame->stored_len;

	if (tier < frame->tier && ratio > 0 && (double)frame->raw_len / ratio > (double)bytes)
		bytes = (uint64_t)((double)frame->raw_len / ratio);
	return bytes > frame->raw_len && frame->raw_len > frame->stored_len ? frame->raw_len
									    : bytes;
}

static bool has_room(const struct view *view, uint32_t tier, uint64_t mark)
{
	return view->facts->tiers[tier].used + bytes_in(view, tier) <= mark;
}

/* The first tier from `from` towards `end` (not included) that may take the frame, or -1. */
static int find_room(const struct view *view, uint32_t from, uint32_t end)
{
	int step = from < end ? 1 : -1;

	for (uint32_t tier = from; tier != end; tier = (uint32_t)((int)tier + step))
		if (is_target(view, tier) && !excluded(view, tier) &&
		    has_room(view, tier, view->facts->tiers[tier].high))
			return (int)tier;
	return -1;
}

/* Where else, for what has to leave: the next one below, else above. */
static int find_refuge(const struct view *view)
{
	uint32_t tier = view->frame->tier;
	int to = find_room(view, tier + 1, view->facts->ntiers);

	return to < 0 && tier > 1 ? find_room(view, tier - 1, 0) : to;
}

/* What holds it up ----------------------------------------------------------------------------- */

static void block_set(struct verdict *out, enum move_block block, uint32_t when_s)
{
	if (out->block != BLOCK_NONE && (!out->when_s || (when_s && when_s <= out->when_s)))
		return;
	out->block = block;
	out->when_s = when_s;
}

/* Until when what happened then holds, 0 = no longer. Times more than a day ahead were written by a
 * clock that was wrong, and must not hold anything up until they come. */
static uint32_t holds_until(uint32_t then_s, uint32_t for_s, uint32_t now_s)
{
	uint32_t until_s = then_s > UINT32_MAX - for_s ? UINT32_MAX : then_s + for_s;

	if (!then_s || until_s <= now_s || (then_s > now_s && then_s - now_s > DAY_S))
		return 0;
	return until_s;
}

/* A move for the sake of the tier, not of the data: that has to have rested. What came down or was
 * written here may go on down: that is no ping-pong. */
static void hold_up_demotion(const struct view *view, struct verdict *out)
{
	const struct frame_facts *frame = view->frame;
	uint32_t now_s = view->facts->now_s;
	uint32_t old_at_s = holds_until(frame->heat.last_s, view->own->min_age_s, now_s);
	uint32_t settled_s = holds_until(frame->placed_s, view->facts->residency_s, now_s);

	if (old_at_s)
		block_set(out, BLOCK_YOUNG, old_at_s);
	if (frame->came_up && settled_s)
		block_set(out, BLOCK_COOLING, settled_s);
}

static void hold_up_promotion(const struct view *view, struct verdict *out)
{
	uint32_t settled_s =
		holds_until(view->frame->placed_s, view->facts->residency_s, view->facts->now_s);

	if (view->frame->was_demoted && settled_s)
		block_set(out, BLOCK_COOLING, settled_s);
}

static void hold_up(const struct view *view, struct verdict *out)
{
	const struct engine_facts *facts = view->facts;
	const struct frame_facts *frame = view->frame;
	const struct tier_facts *to = &facts->tiers[out->to];

	if (out->reason == REASON_FULL || out->reason == REASON_ROOM)
		hold_up_demotion(view, out);
	if (out->reason == REASON_HOT)
		hold_up_promotion(view, out);
	/* Emptying a disk is asked for, and reading from a failing one is what it is for. */
	if (out->reason != REASON_EVACUATE) {
		if (!facts->window_open)
			block_set(out, BLOCK_WINDOW, facts->window_at_s);
		if (to->write_left < bytes_in(view, (uint32_t)out->to))
			block_set(out, BLOCK_BUDGET, to->budget_at_s);
		if (view->own->breaker_open)
			block_set(out, BLOCK_BREAKER, view->own->breaker_at_s);
	}
	if (to->breaker_open)
		block_set(out, BLOCK_BREAKER, to->breaker_at_s);
	if (frame->parked && (!frame->parked_until_s || frame->parked_until_s > facts->now_s))
		block_set(out, BLOCK_PARKED, frame->parked_until_s);
}

/* Heat ----------------------------------------------------------------------------------------- */

static bool has_evidence(const struct view *view)
{
	uint32_t reread_s = view->frame->reread_s, now_s = view->facts->now_s;

	return reread_s && (reread_s >= now_s || now_s - reread_s <= view->facts->promote_window_s);
}

static double seconds_for(uint64_t bytes, uint64_t rate)
{
	return rate ? (double)bytes / (double)rate : 0; /* not measured: counts for nothing */
}

/* What the copy takes from others: its bytes, and the way there and back. A disk that reads in one
 * place goes to the frame and then back to where it was read from, or would have been; for a frame
 * in a disk that is most of the cost. What is written is appended, nearly where the last write
 * ended. */
static double copy_seconds(const struct view *view, uint32_t tier)
{
	return 2 * (double)view->own->read_latency_ns / 1e9 +
	       seconds_for(view->frame->stored_len, view->own->read_rate) +
	       seconds_for(bytes_in(view, tier), view->facts->tiers[tier].write_rate);
}

/* Time saved: touches to be expected times what each takes less. Looked ahead is the residency, for
 * which it stays at least, or the half life where that is longer: what was used that lately is
 * expected to be used on. */
static double benefit_seconds(const struct view *view, uint32_t tier)
{
	const struct engine_facts *facts = view->facts;
	const struct tier_facts *to = &facts->tiers[tier], *own = view->own;
	uint64_t bytes = view->frame->stored_len;
	uint32_t ahead_s = facts->residency_s > facts->heat.half_life_s ? facts->residency_s
									: facts->heat.half_life_s;
	double touches =
		heat_rate(view->frame->heat, facts->heat, facts->now_s) * (double)ahead_s / 3600;
	double saved = ((double)own->read_latency_ns - (double)to->read_latency_ns) / 1e9 +
		       seconds_for(bytes, own->read_rate) - seconds_for(bytes, to->read_rate);

	return saved > 0 ? touches * saved : 0;
}

/* What came up and went down within a day has cost two copies for little: let it show that it is
 * worth more this time. Others pay the root of that. Not as much: a gain that keeps ghosts away,
 * asked of all, keeps a new working set away too. But not nothing: what is read by chance would
 * only take turns, each frame once a day, and none of it be called ping-pong. */
static double gain_asked(const struct view *view)
{
	const struct engine_facts *facts = view->facts;
	double k = facts->ghost_gain > 1 ? facts->ghost_gain : 1;

	return facts->gain * (view->frame->was_demoted ? k : sqrt(k));
}

/* The fastest tier above that it has earned, that is worth the copy, and that has room. What is
 * refused is told of the fastest that it came so far with. */
static void want_up(const struct view *view, struct verdict *out)
{
	enum move_block block = BLOCK_COLDER;

	for (uint32_t tier = 1; tier < view->frame->tier; tier++) {
		struct verdict verdict = *out;
		enum move_block here = BLOCK_NONE;

		if (!is_target(view, tier) || excluded(view, tier))
			continue;
		verdict.to = (int)tier;
		verdict.reason = REASON_HOT;
		verdict.benefit_s = benefit_seconds(view, tier);
		verdict.cost_s = copy_seconds(view, tier);
		if (view->rank < view->facts->tiers[tier].hot_rank)
			here = BLOCK_COLDER;
		else if (!has_evidence(view))
			here = BLOCK_EVIDENCE;
		else if (verdict.benefit_s < gain_asked(view) * verdict.cost_s)
			here = BLOCK_COST;
		else if (!has_room(view, tier, view->facts->tiers[tier].high))
			here = BLOCK_FULL;
		verdict.block = here;
		if (here == BLOCK_NONE || out->reason == REASON_NONE ||
		    (block == BLOCK_COLDER && here != BLOCK_COLDER)) {
			block = here;
			*out = verdict;
		}
		if (here == BLOCK_NONE)
			return;
	}
}

/* Does it want up at all? Without evidence only what is warm, and hot enough, is held up by the
 * lack of it; all else just lies where it belongs. */
static bool wants_up(const struct view *view, const struct verdict *up)
{
	if (up->reason == REASON_NONE)
		return false;
	if (has_evidence(view))
		return true;
	return up->block == BLOCK_EVIDENCE && view->rank > 0 &&
	       view->rank >= view->facts->tiers[up->to].hot_rank;
}

/* Room for hotter data is made only by what is colder by the margin: else the two would change
 * places for ever. A watermark takes the coldest there is. */
static bool wants_down(const struct view *view)
{
	const struct tier_facts *own = view->own;

	if (own->cold_rank == UINT_MAX || view->rank > own->cold_rank ||
	    view->frame->tier + 1 >= view->facts->ntiers)
		return false;
	return !own->for_room || (view->rank < own->hot_rank &&
				  view->rank + room_margin(view->facts) <= own->room_rank);
}

static void want_down(const struct view *view, struct verdict *out)
{
	uint32_t tier = view->frame->tier, n = view->facts->ntiers;
	int to = find_room(view, tier + 1, n);
	bool full = to < 0;

	for (uint32_t below = tier + 1; to < 0 && below < n; below++)
		if (!excluded(view, below))
			to = (int)below;
	if (to < 0) { /* never below */
		out->block = BLOCK_PINNED;
		return;
	}
	out->to = to;
	out->reason = view->own->for_room ? REASON_ROOM : REASON_FULL;
	out->block = full ? BLOCK_FULL : BLOCK_NONE;
}

static void by_heat(const struct view *view, struct verdict *out)
{
	struct verdict up = *out;

	want_up(view, &up);
	if (up.block == BLOCK_NONE && up.reason == REASON_HOT)
		*out = up;
	else if (wants_down(view))
		want_down(view, out);
	else if (wants_up(view, &up))
		*out = up;
}

/* Where it must be ----------------------------------------------------------------------------- */

/* The slowest tier that no rule excludes. */
static int last_tier(const struct view *view)
{
	for (uint32_t tier = view->facts->ntiers - 1; tier > 0; tier--)
		if (!excluded(view, tier))
			return (int)tier;
	return -1;
}

/* The tier that a pin, state or rule names, or -1. A pin beats what a rule excludes: somebody set
 * it on this very file or folder. Pinned to memory, it is kept in the first directory tier besides:
 * nearest to where it is read into memory from. */
static int must_be(const struct view *view, enum move_reason *reason)
{
	const struct object_policy *policy = &view->frame->policy;
	int n = (int)view->facts->ntiers, to = -1;

	if (policy->pin >= 0 && policy->pin < n) {
		*reason = REASON_PIN;
		return policy->pin ? policy->pin : 1;
	}
	if (policy->state == OBJECT_ARCHIVED) {
		*reason = REASON_STATE;
		return last_tier(view);
	}
	*reason = REASON_RULE;
	if (policy->tier >= 0 && policy->tier < n)
		to = policy->tier ? policy->tier : 1;
	return to >= 0 && excluded(view, (uint32_t)to) ? -1 : to;
}

static void go(const struct view *view, int to, enum move_reason reason, struct verdict *out)
{
	const struct tier_facts *tier = &view->facts->tiers[to];

	out->to = to;
	out->reason = reason;
	if (!is_target(view, (uint32_t)to) || !has_room(view, (uint32_t)to, tier->high))
		out->block = BLOCK_FULL;
}

/* What is emptied leaves for tiers that rules exclude too, and fills others to the brim, when there
 * is no better place: the disk is going away. */
static void evacuate(const struct view *view, struct verdict *out)
{
	uint32_t n = view->facts->ntiers;
	int to = find_refuge(view);

	for (uint32_t i = 1; to < 0 && i < n; i++) {
		uint32_t tier = (view->frame->tier - 1 + i) % (n - 1) + 1; /* below, then above */

		if (is_target(view, tier) && has_room(view, tier, view->facts->tiers[tier].size))
			to = (int)tier;
	}
	out->reason = REASON_EVACUATE;
	if (to < 0)
		out->block = BLOCK_FULL;
	else
		out->to = to;
}

static void want(const struct view *view, struct verdict *out)
{
	enum move_reason reason;
	int tier = (int)view->frame->tier, to;

	if (view->own->evacuating || view->frame->evacuating) {
		evacuate(view, out);
		return;
	}
	to = must_be(view, &reason);
	if (to >= 0 && to != tier) {
		go(view, to, reason, out);
	} else if (to == tier) {
		struct verdict heat = *out;

		by_heat(view, &heat);
		if (heat.to != tier && heat.block == BLOCK_NONE)
			out->block = BLOCK_PINNED;
	} else if (excluded(view, (uint32_t)tier)) {
		to = find_refuge(view);
		out->reason = REASON_RULE;
		out->block = to < 0 ? BLOCK_FULL : BLOCK_NONE;
		out->to = to < 0 ? tier : to;
	} else {
		by_heat(view, out);
	}
}

void decide(const struct engine_facts *facts, const struct frame_facts *frame, struct verdict *out)
{
	struct view view = {.facts = facts, .frame = frame};

	*out = (struct verdict){.to = (int)frame->tier};
	if (frame->tier == 0 || frame->tier >= facts->ntiers)
		return;
	view.own = &facts->tiers[frame->tier];
	view.rank = out->rank = rank_of(heat_rate(frame->heat, facts->heat, facts->now_s));
	want(&view, out);
	if (out->reason == REASON_NONE)
		return;
	if (out->to != (int)frame->tier)
		out->cost_s = copy_seconds(&view, (uint32_t)out->to);
	if (frame->policy.ignore) {
		out->block = BLOCK_IGNORED;
		out->when_s = 0;
		return;
	}
	if (out->block == BLOCK_NONE)
		hold_up(&view, out);
}
