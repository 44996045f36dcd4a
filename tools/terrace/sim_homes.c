// SPDX-License-Identifier: Apache-2.0
/*
 * Homes of frames. A pass does what the daemon's planner does, in its order: who would come up,
 * room for them from the slowest tier up, then the promotions, the most worthwhile first; moves
 * are made at once. A pass in which no tier is too full and nothing wants to come up would change
 * nothing, so the survey of all frames is only made for the others.
 *
 * Invariants:
 *  1. used[t] is the sum of bytes of the frames whose tier is t; a frame that the trace has not
 *     touched yet is in none (tier 0).
 *  2. candidates[] holds each frame at most once (`listed`).
 */
#include "tools/terrace/sim_homes.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tiers/engine/decide.h"
#include "tiers/engine/ghost.h"
#include "tiers/engine/heat.h"
#include "tiers/engine/rank.h"
#include "tiers/engine/reread.h"
#include "tiers/engine/room.h"

#define BEGIN_S	      1000000000u /* the trace's second 0; 0 itself means "not known" to the engine */
#define SURVEY_FRAMES 65536u	  /* of more, a fair sample is looked at */
#define HEAT_FRAMES   (1u << 20)
#define HEAT_PASSES   16u /* between two times that heat is written into records */

struct home {
	struct heat_state heat; /* what the frame's record would say */
	uint32_t tier, bytes;
	uint32_t placed_s, reread_s;
	bool came_up, listed;
};

struct riser {
	uint32_t frame;
	double worth;
};

struct sim_homes {
	const struct trace *trace;
	const struct sim_setup *setup;
	struct pool_config config; /* the defaults of a pool with such tiers */
	struct heat *heat;
	struct reread *reread;
	struct ghosts *ghosts;
	uint64_t size[CONFIG_TIERS_MAX], used[CONFIG_TIERS_MAX];
	uint32_t next_pass_s, passes;
	struct engine_facts facts; /* of the pass that is being made */
	struct rank_histogram all[CONFIG_TIERS_MAX], old[CONFIG_TIERS_MAX];
	struct rank_histogram wanted[CONFIG_TIERS_MAX];
	uint32_t *candidates;
	struct riser *risers;
	size_t ncandidates;
	struct sim_counts counts[CONFIG_TIERS_MAX];
	struct reread_run *runs; /* by object */
	struct home homes[];	 /* by frame */
};

/* Making and ending ---------------------------------------------------------------------------- */

/* What a pool of these tiers would be configured to, had nobody set anything. */
static int defaults(struct sim_homes *homes)
{
	char text[64], message[256];
	int rc = 0;

	config_init(&homes->config);
	for (uint32_t t = 0; t < homes->setup->ntiers && rc == 0; t++) {
		const char *name = homes->setup->tiers[t].name;

		if (t)
			snprintf(text, sizeof(text), "%s:path=/%s", name, name);
		else
			snprintf(text, sizeof(text), "ram:size=1G");
		rc = config_add_tier(&homes->config, text, message, sizeof(message));
	}
	return rc < 0 ? rc : config_finish(&homes->config, message, sizeof(message));
}

static int sizes(struct sim_homes *homes)
{
	uint64_t footprint = sim_footprint(homes->trace), room = 0;

	for (uint32_t t = 1; t < homes->setup->ntiers; t++) {
		const struct sim_tier *tier = &homes->setup->tiers[t];

		/* `rest` never comes near its high watermark. */
		homes->size[t] = tier->rest ? 2 * footprint + TRACE_FRAME_BYTES : tier->size;
		room += homes->size[t];
	}
	return room < footprint ? -ENOSPC : 0;
}

int sim_homes_new(struct sim_homes **out, const struct trace *trace, const struct sim_setup *setup)
{
	struct sim_homes *homes = calloc(1, sizeof(*homes) + trace->nframes * sizeof(struct home));
	uint32_t heat_frames = trace->nframes < HEAT_FRAMES / 2 ? 2 * trace->nframes : HEAT_FRAMES;
	int rc;

	if (!homes)
		return -ENOMEM;
	homes->trace = trace;
	homes->setup = setup;
	rc = sizes(homes);
	if (rc == 0)
		rc = defaults(homes);
	if (rc == 0)
		rc = heat_new(&homes->heat, heat_frames,
			      (struct heat_scale){
				      (uint32_t)(homes->config.heat_half_life_ns / 1000000000u)});
	if (rc == 0)
		rc = reread_new(&homes->reread);
	if (rc == 0)
		rc = ghosts_new(&homes->ghosts);
	homes->candidates = calloc(trace->nframes + 1, sizeof(*homes->candidates));
	homes->risers = calloc(trace->nframes + 1, sizeof(*homes->risers));
	homes->runs = calloc(trace->nobjects + 1, sizeof(*homes->runs));
	if (rc == 0 && (!homes->candidates || !homes->risers || !homes->runs))
		rc = -ENOMEM;
	for (uint32_t f = 0; f < trace->nframes; f++)
		homes->homes[f].bytes = trace->frame_blocks[f] * trace->block_bytes;
	homes->next_pass_s = (uint32_t)(homes->config.run_interval_ns / 1000000000u);
	if (rc < 0) {
		sim_homes_free(homes);
		return rc;
	}
	*out = homes;
	return 0;
}

void sim_homes_free(struct sim_homes *homes)
{
	if (!homes)
		return;
	config_release(&homes->config);
	heat_free(homes->heat);
	reread_free(homes->reread);
	ghosts_free(homes->ghosts);
	free(homes->candidates);
	free(homes->risers);
	free(homes->runs);
	free(homes);
}

/* Facts ---------------------------------------------------------------------------------------- */

static struct heat_scale scale_of(const struct sim_homes *homes)
{
	return (struct heat_scale){(uint32_t)(homes->config.heat_half_life_ns / 1000000000u)};
}

static void facts_now(struct sim_homes *homes, uint32_t now_s)
{
	const struct pool_config *config = &homes->config;
	struct engine_facts *facts = &homes->facts;

	*facts = (struct engine_facts){
		.now_s = now_s,
		.ntiers = homes->setup->ntiers,
		.heat = scale_of(homes),
		.promote_window_s = (uint32_t)(config->promote_window_ns / 1000000000u),
		.residency_s = (uint32_t)(config->residency_ns / 1000000000u),
		.gain = config->promote_gain / 100.0,
		.ghost_gain = ghosts_gain(homes->ghosts, now_s),
		.window_open = true,
	};
	for (uint32_t t = 1; t < facts->ntiers; t++) {
		const struct sim_tier *tier = &homes->setup->tiers[t];

		facts->tiers[t] = (struct tier_facts){
			.size = homes->size[t],
			.used = homes->used[t],
			.high = homes->size[t] / 100 * config->tiers[t].high_percent,
			.low = homes->size[t] / 100 * config->tiers[t].low_percent,
			.write_left = UINT64_MAX,
			.min_age_s = (uint32_t)(config->tiers[t].min_age_ns / 1000000000u),
			.read_latency_ns = tier->latency_ns,
			.ratio = homes->used[t] ? 1 : 0,
			.read_rate = tier->read_rate,
			.write_rate = tier->write_rate,
			.cold_rank = UINT_MAX,
		};
	}
}

static void frame_facts(const struct sim_homes *homes, uint32_t frame, struct frame_facts *out)
{
	const struct home *home = &homes->homes[frame];

	*out = (struct frame_facts){
		.tier = home->tier,
		.raw_len = home->bytes,
		.stored_len = home->bytes,
		.heat = heat_of(homes->heat, (uint64_t)frame + 1, home->heat),
		.placed_s = home->placed_s,
		.came_up = home->came_up,
		.reread_s = home->reread_s,
		.was_demoted = ghosts_has(homes->ghosts, (uint64_t)frame + 1, homes->facts.now_s),
		.policy = {.pin = -1, .rule = -1, .tier = -1},
	};
}

/* Bytes by rank, of all frames and of those old enough to go, per tier. */
static void survey(struct sim_homes *homes)
{
	struct engine_facts *facts = &homes->facts;
	uint32_t step = homes->trace->nframes / SURVEY_FRAMES + 1;

	memset(homes->all, 0, sizeof(homes->all));
	memset(homes->old, 0, sizeof(homes->old));
	memset(homes->wanted, 0, sizeof(homes->wanted));
	for (uint32_t f = 0; f < homes->trace->nframes; f += step) {
		const struct home *home = &homes->homes[f];
		struct heat_state heat;
		unsigned rank;

		if (!home->tier)
			continue;
		heat = heat_of(homes->heat, (uint64_t)f + 1, home->heat);
		rank = rank_of(heat_rate(heat, facts->heat, facts->now_s));
		homes->all[home->tier].bytes[rank] += (uint64_t)home->bytes * step;
		if (facts->now_s - heat.last_s >= facts->tiers[home->tier].min_age_s)
			homes->old[home->tier].bytes[rank] += (uint64_t)home->bytes * step;
	}
}

/* Moves ---------------------------------------------------------------------------------------- */

static void move(struct sim_homes *homes, uint32_t frame, uint32_t to)
{
	struct home *home = &homes->homes[frame];
	struct engine_facts *facts = &homes->facts;
	uint32_t from = home->tier;
	struct ghost_counts before, after;

	homes->used[from] -= home->bytes;
	homes->used[to] += home->bytes;
	facts->tiers[from].used -= home->bytes;
	facts->tiers[to].used += home->bytes;
	home->tier = to;
	home->placed_s = facts->now_s;
	home->came_up = to < from;
	if (to > from) {
		ghosts_demoted(homes->ghosts, (uint64_t)frame + 1, facts->now_s);
		homes->counts[from].down++;
		homes->counts[from].down_bytes += home->bytes;
		return;
	}
	ghosts_counts(homes->ghosts, &before);
	ghosts_promoted(homes->ghosts, (uint64_t)frame + 1, facts->now_s);
	ghosts_counts(homes->ghosts, &after);
	homes->counts[to].up++;
	homes->counts[to].up_bytes += home->bytes;
	homes->counts[to].again += after.pingpong - before.pingpong;
}

/* Frames read again within the window that are not in the first tier; the others leave the list. */
static void keep_candidates(struct sim_homes *homes)
{
	uint32_t since = homes->facts.now_s - homes->facts.promote_window_s;
	size_t kept = 0;

	for (size_t i = 0; i < homes->ncandidates; i++) {
		struct home *home = &homes->homes[homes->candidates[i]];

		home->listed = home->tier > 1 && home->reread_s >= since;
		if (home->listed)
			homes->candidates[kept++] = homes->candidates[i];
	}
	homes->ncandidates = kept;
}

static int by_worth(const void *a, const void *b)
{
	const struct riser *x = a, *y = b;

	if (x->worth != y->worth)
		return x->worth > y->worth ? -1 : 1;
	return x->frame < y->frame ? -1 : x->frame > y->frame;
}

/* Who would come up if there was room, and how much that is in each tier. */
static size_t list_risers(struct sim_homes *homes)
{
	struct engine_facts roomy = homes->facts;
	size_t n = 0;

	for (uint32_t t = 1; t < roomy.ntiers; t++)
		roomy.tiers[t].used = 0;
	for (size_t i = 0; i < homes->ncandidates; i++) {
		struct frame_facts frame;
		struct verdict verdict;

		frame_facts(homes, homes->candidates[i], &frame);
		decide(&roomy, &frame, &verdict);
		if (verdict.reason != REASON_HOT || verdict.block != BLOCK_NONE)
			continue;
		homes->wanted[verdict.to].bytes[verdict.rank] += frame.stored_len;
		homes->risers[n++] =
			(struct riser){.frame = homes->candidates[i],
				       .worth = verdict.benefit_s / (verdict.cost_s + 1e-9)};
	}
	qsort(homes->risers, n, sizeof(*homes->risers), by_worth);
	return n;
}

static void make_room(struct sim_homes *homes, uint32_t t, uint64_t need)
{
	for (uint32_t f = 0; f < homes->trace->nframes && need; f++) {
		struct frame_facts frame;
		struct verdict verdict;

		if (homes->homes[f].tier != t)
			continue;
		frame_facts(homes, f, &frame);
		decide(&homes->facts, &frame, &verdict);
		if (verdict.to <= (int)t || verdict.block != BLOCK_NONE)
			continue;
		move(homes, f, (uint32_t)verdict.to);
		need -= frame.stored_len < need ? frame.stored_len : need;
	}
}

static void promote(struct sim_homes *homes, size_t nrisers)
{
	for (size_t i = 0; i < nrisers; i++) {
		struct frame_facts frame;
		struct verdict verdict;

		frame_facts(homes, homes->risers[i].frame, &frame);
		decide(&homes->facts, &frame, &verdict);
		if (verdict.reason == REASON_HOT && verdict.block == BLOCK_NONE)
			move(homes, homes->risers[i].frame, (uint32_t)verdict.to);
	}
}

/* Passes --------------------------------------------------------------------------------------- */

static bool too_full(const struct sim_homes *homes)
{
	for (uint32_t t = 1; t + 1 < homes->facts.ntiers; t++)
		if (homes->facts.tiers[t].used > homes->facts.tiers[t].high)
			return true;
	return false;
}

/* Heat as the commit interval would write it into the frames' records. */
static void keep_heat(struct sim_homes *homes)
{
	struct heat_entry entries[256];
	size_t n;

	while ((n = heat_take(homes->heat, entries, 256)) > 0)
		for (size_t i = 0; i < n; i++)
			homes->homes[entries[i].frame - 1].heat = entries[i].state;
}

static void pass(struct sim_homes *homes, uint32_t now_s)
{
	uint64_t needs[CONFIG_TIERS_MAX] = {0};
	size_t nrisers;

	facts_now(homes, now_s);
	keep_candidates(homes);
	if (!homes->ncandidates && !too_full(homes))
		return;
	if (homes->passes++ % HEAT_PASSES == 0)
		keep_heat(homes);
	survey(homes);
	room_find_hot(&homes->facts, homes->all);
	nrisers = list_risers(homes);
	room_find_cold(&homes->facts, homes->old, homes->wanted, needs);
	for (uint32_t t = homes->facts.ntiers - 1; t-- > 1;)
		if (needs[t])
			make_room(homes, t, needs[t]);
	promote(homes, nrisers);
}

void sim_homes_advance(struct sim_homes *homes, uint32_t time_s)
{
	uint32_t interval = (uint32_t)(homes->config.run_interval_ns / 1000000000u);

	for (; homes->next_pass_s <= time_s; homes->next_pass_s += interval)
		pass(homes, BEGIN_S + homes->next_pass_s);
}

/* Uses ----------------------------------------------------------------------------------------- */

/* The first tier that has room for it; the last one takes what no other does. */
static uint32_t tier_with_room(const struct sim_homes *homes, uint32_t bytes)
{
	uint32_t t = 1;

	while (t + 1 < homes->setup->ntiers && homes->used[t] + bytes > homes->size[t])
		t++;
	return t;
}

/* What is written anew goes to the top; what was there before the trace began is at the bottom. */
static void place(struct sim_homes *homes, struct home *home, bool write, uint32_t now_s)
{
	uint32_t to = write ? tier_with_room(homes, home->bytes) : homes->setup->ntiers - 1;

	if (home->tier && (!write || to >= home->tier))
		return;
	homes->used[home->tier] -= home->tier ? home->bytes : 0;
	homes->used[to] += home->bytes;
	home->tier = to;
	home->placed_s = write ? now_s : 0;
	home->came_up = false;
}

/* Is the read evidence that its frame should come up? */
static bool is_evidence(struct sim_homes *homes, const struct trace_access *access, uint32_t now_s)
{
	const struct trace_block *block = &homes->trace->blocks[access->block];
	uint64_t off = block->index * homes->trace->block_bytes + access->off;
	uint32_t window_s = (uint32_t)(homes->config.promote_window_ns / 1000000000u);

	return reread_note(homes->reread, block->object, off,
			   reread_is_scan(&homes->runs[block->object_number], off, access->bytes),
			   now_s, window_s);
}

uint32_t sim_homes_use(struct sim_homes *homes, const struct trace_access *access)
{
	uint32_t frame = homes->trace->blocks[access->block].frame;
	uint32_t now_s = BEGIN_S + access->time_s, from;
	struct home *home = &homes->homes[frame];

	place(homes, home, access->write, now_s);
	from = home->tier;
	heat_touch(homes->heat, (uint64_t)frame + 1, home->heat, now_s);
	if (access->write || !is_evidence(homes, access, now_s))
		return from;
	home->reread_s = now_s;
	if (home->tier > 1 && !home->listed) {
		homes->candidates[homes->ncandidates++] = frame;
		home->listed = true;
	}
	return from;
}

void sim_homes_counts(const struct sim_homes *homes, struct sim_result *out)
{
	for (uint32_t t = 1; t < homes->setup->ntiers; t++) {
		const struct sim_counts *from = &homes->counts[t];
		struct sim_counts *to = &out->tiers[t];

		to->up = from->up;
		to->down = from->down;
		to->up_bytes = from->up_bytes;
		to->down_bytes = from->down_bytes;
		to->again = from->again;
		out->moves += from->up + from->down;
		out->moved_bytes += from->up_bytes + from->down_bytes;
	}
}
