// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/fix_months.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/fix_bytes.h"
#include "tiers/engine/room.h"

#define BATCH	16u
#define PARK_S	600u
#define FILES	16u /* small ones in a frame; objects are numbered frame * FILES + file */
#define FIRST_S 60u /* the first pass */

struct batch {
	uint32_t frames[BATCH];
	size_t n;
	uint32_t from, to;
	enum move_reason reason;
};

struct pass {
	struct months *months;
	struct engine_facts facts;
	struct rank_histogram all[CONFIG_TIERS_MAX], old[CONFIG_TIERS_MAX],
		wanted[CONFIG_TIERS_MAX];
	uint64_t need[CONFIG_TIERS_MAX];
	struct batch batch;
	struct riser {
		uint32_t frame;
		double worth;
	} * risers;
	size_t nrisers;
};

void months_init(struct months *months, uint32_t nframes, const uint32_t *sizes, uint32_t ntiers)
{
	memset(months, 0, sizeof(*months));
	months->facts = (struct engine_facts){.ntiers = ntiers + 1,
					      .heat = {HOUR_S},
					      .promote_window_s = 600,
					      .residency_s = 3 * HOUR_S,
					      .gain = 1};
	for (uint32_t t = 1; t <= ntiers; t++) {
		uint64_t size = (uint64_t)sizes[t - 1] * MONTHS_FRAME;

		months->facts.tiers[t] =
			(struct tier_facts){.size = size,
					    .high = size / 100 * 90,
					    .low = size / 100 * 80,
					    .ratio = 1,
					    .min_age_s = HOUR_S,
					    .read_latency_ns = t == 1	? 200000
							       : t == 2 ? 10000000
									: 30000000,
					    .read_rate = t == 1 ? 400u << 20 : 150u << 20,
					    .write_rate = t == 1 ? 400u << 20 : 150u << 20};
	}
	months->now_s = MONTHS_BEGIN;
	months->interval_s = 600;
	months->pass_s = MONTHS_BEGIN + FIRST_S;
	months->seed = 1;
	months->nframes = nframes;
	months->frames = calloc(nframes, sizeof(*months->frames));
	assert_non_null(months->frames);
	for (uint32_t f = 0; f < nframes; f++)
		months->frames[f].tier = ntiers;
	months->used[ntiers] = (uint64_t)nframes * MONTHS_FRAME;
	assert_int_equal(window_parse(NULL, &months->window, NULL, 0), 0);
	assert_int_equal(heat_new(&months->heat, 4 * (size_t)nframes, months->facts.heat), 0);
	assert_int_equal(reread_new(&months->reread), 0);
	assert_int_equal(ghosts_new(&months->ghosts), 0);
}

void months_release(struct months *months)
{
	heat_free(months->heat);
	reread_free(months->reread);
	ghosts_free(months->ghosts);
	free(months->frames);
}

/* Facts ---------------------------------------------------------------------------------------- */

static void facts_now(struct months *months, struct engine_facts *out)
{
	uint32_t wait = window_wait_s(&months->window, months->now_s);

	*out = months->facts;
	out->now_s = months->now_s;
	out->ghost_gain = ghosts_gain(months->ghosts, months->now_s);
	out->window_open = wait == 0;
	out->window_at_s = months->now_s + wait;
	for (uint32_t t = 1; t < out->ntiers; t++) {
		struct tier_facts *tier = &out->tiers[t];
		const struct breaker *breaker = &months->breakers[t];

		tier->used = months->used[t];
		tier->write_left = budget_left(&months->budgets[t],
					       t == MONTHS_SSD ? months->budget : 0, months->now_s);
		tier->budget_at_s = budget_renewed_at(months->now_s);
		tier->cold_rank = UINT_MAX;
		tier->breaker_open =
			breaker->state == BREAKER_OPEN && breaker->until_s > months->now_s;
		tier->breaker_at_s = breaker->until_s;
	}
}

static struct heat_state heat_now(const struct months *months, uint32_t frame)
{
	return heat_of(months->heat, frame + 1, (struct heat_state){0});
}

static void frame_facts(const struct months *months, uint32_t frame, struct frame_facts *out)
{
	const struct months_frame *from = &months->frames[frame];

	*out = (struct frame_facts){
		.tier = from->tier,
		.raw_len = MONTHS_FRAME,
		.stored_len = MONTHS_FRAME,
		.heat = heat_now(months, frame),
		.placed_s = from->placed_s,
		.came_up = from->came_up,
		.reread_s = from->reread_s,
		.was_demoted = ghosts_has(months->ghosts, frame + 1, months->now_s),
		.parked = from->parked,
		.parked_until_s = from->parked_until_s,
		.policy = {.pin = -1, .rule = -1, .tier = -1},
	};
}

static void ask(struct pass *pass, const struct engine_facts *facts, uint32_t frame,
		struct frame_facts *out, struct verdict *verdict)
{
	frame_facts(pass->months, frame, out);
	decide(facts, out, verdict);
	if (verdict->block != BLOCK_NONE)
		pass->months->counts.blocked[verdict->block]++;
}

static void survey(struct pass *pass)
{
	struct months *months = pass->months;
	struct engine_facts *facts = &pass->facts;

	for (uint32_t f = 0; f < months->nframes; f++) {
		struct months_frame *frame = &months->frames[f];
		struct heat_state heat;

		if (!frame->tier)
			continue;
		heat = heat_now(months, f);
		frame->rank = rank_of(heat_rate(heat, facts->heat, facts->now_s));
		pass->all[frame->tier].bytes[frame->rank] += MONTHS_FRAME;
		if (facts->now_s - heat.last_s >= facts->tiers[frame->tier].min_age_s)
			pass->old[frame->tier].bytes[frame->rank] += MONTHS_FRAME;
	}
	room_find_hot(facts, pass->all);
}

/* Moves ---------------------------------------------------------------------------------------- */

/* What decide() promises of moves that go, seen from here. */
static void check_move(const struct months *months, const struct batch *batch, uint32_t frame)
{
	const struct engine_facts *facts = &months->facts;
	const struct months_frame *moved = &months->frames[frame];
	uint32_t now_s = months->now_s;

	assert_true(window_open(&months->window, now_s));
	assert_true(months->used[batch->to] + MONTHS_FRAME <= facts->tiers[batch->to].high);
	if (batch->to > batch->from) {
		uint32_t last_s = heat_now(months, frame).last_s;

		assert_true(!last_s || now_s - last_s >= facts->tiers[batch->from].min_age_s);
		assert_true(!moved->came_up || now_s - moved->placed_s >= facts->residency_s);
	} else {
		assert_true(now_s - moved->reread_s <= facts->promote_window_s);
	}
}

static void move(struct months *months, const struct batch *batch, uint32_t f)
{
	struct months_frame *frame = &months->frames[f];

	check_move(months, batch, f);
	months->used[batch->from] -= MONTHS_FRAME;
	months->used[batch->to] += MONTHS_FRAME;
	frame->tier = batch->to;
	frame->placed_s = months->now_s;
	frame->came_up = batch->to < batch->from;
	frame->parked = false;
	frame->pauses = 0;
	months->counts.by_reason[batch->reason]++;
	if (frame->came_up) {
		ghosts_promoted(months->ghosts, f + 1, months->now_s);
		months->counts.up++;
	} else {
		ghosts_demoted(months->ghosts, f + 1, months->now_s);
		months->counts.down++;
	}
}

static void park(struct months *months, uint32_t f)
{
	struct months_frame *frame = &months->frames[f];

	frame->parked = true;
	frame->parked_until_s = months->now_s + (PARK_S << (frame->pauses < 7 ? frame->pauses : 7));
	frame->pauses++;
}

static bool may_go(struct months *months, const struct batch *batch)
{
	uint64_t limit = batch->to == MONTHS_SSD ? months->budget : 0;

	return breaker_allows(&months->breakers[batch->from], months->now_s) &&
	       breaker_allows(&months->breakers[batch->to], months->now_s) &&
	       budget_left(&months->budgets[batch->to], limit, months->now_s) >=
		       batch->n * MONTHS_FRAME;
}

static void batch_end(struct months *months, const struct batch *batch, int error)
{
	struct breaker *from = &months->breakers[batch->from], *to = &months->breakers[batch->to];
	uint64_t bytes = error ? 0 : batch->n * MONTHS_FRAME;
	struct budget *budget = &months->budgets[batch->to];

	budget_spend(budget, bytes, months->now_s);
	if (batch->to == MONTHS_SSD && budget->used > months->counts.budget_most)
		months->counts.budget_most = budget->used;
	months->counts.events +=
		breaker_note(from, batch->from == months->failing ? error : 0, months->now_s);
	months->counts.events +=
		breaker_note(to, batch->to == months->failing ? error : 0, months->now_s);
	months->counts.events +=
		breaker_wrote(to, bytes, months->facts.tiers[batch->to].size, months->now_s);
}

static void batch_run(struct pass *pass)
{
	struct months *months = pass->months;
	struct batch *batch = &pass->batch;
	int error = 0;

	if (batch->n && may_go(months, batch)) {
		bool touches = batch->from == months->failing || batch->to == months->failing;

		if (months->failing && touches &&
		    bytes_random(&months->seed) % 100 < months->fail_percent)
			error = -EIO;
		months->counts.batches++;
		months->counts.failed += error != 0;
		for (size_t i = 0; i < batch->n; i++)
			if (error)
				park(months, batch->frames[i]);
			else
				move(months, batch, batch->frames[i]);
		batch_end(months, batch, error);
	}
	batch->n = 0;
}

static void batch_add(struct pass *pass, uint32_t frame, const struct verdict *verdict)
{
	struct batch *batch = &pass->batch;
	uint32_t from = pass->months->frames[frame].tier, to = (uint32_t)verdict->to;
	struct tier_facts *tiers = pass->facts.tiers;

	if (batch->n == BATCH || (batch->n && (batch->from != from || batch->to != to ||
					       batch->reason != verdict->reason)))
		batch_run(pass);
	batch->from = from;
	batch->to = to;
	batch->reason = verdict->reason;
	batch->frames[batch->n++] = frame;
	tiers[from].used -= MONTHS_FRAME;
	tiers[to].used += MONTHS_FRAME;
	if (tiers[to].write_left != UINT64_MAX)
		tiers[to].write_left -= MONTHS_FRAME;
}

/* Passes --------------------------------------------------------------------------------------- */

static int by_worth(const void *a, const void *b)
{
	const struct riser *x = a, *y = b;

	if (x->worth != y->worth)
		return x->worth > y->worth ? -1 : 1;
	return x->frame < y->frame ? -1 : x->frame > y->frame;
}

static void list_risers(struct pass *pass)
{
	struct months *months = pass->months;
	struct engine_facts *roomy = malloc(sizeof(*roomy));

	pass->risers = calloc(months->nframes, sizeof(*pass->risers));
	assert_true(roomy && pass->risers);
	*roomy = pass->facts;
	for (uint32_t t = 1; t < roomy->ntiers; t++)
		roomy->tiers[t].used = 0;
	for (uint32_t f = 0; f < months->nframes; f++) {
		struct frame_facts facts;
		struct verdict verdict;

		if (months->frames[f].tier <= 1 ||
		    months->now_s - months->frames[f].reread_s > roomy->promote_window_s)
			continue;
		ask(pass, roomy, f, &facts, &verdict);
		if (verdict.reason != REASON_HOT || verdict.block != BLOCK_NONE)
			continue;
		pass->wanted[verdict.to].bytes[verdict.rank] += MONTHS_FRAME;
		pass->risers[pass->nrisers++] =
			(struct riser){f, verdict.benefit_s / verdict.cost_s};
	}
	free(roomy);
	qsort(pass->risers, pass->nrisers, sizeof(*pass->risers), by_worth);
}

static void make_room(struct pass *pass, uint32_t tier)
{
	struct months *months = pass->months;
	uint64_t left = pass->need[tier];
	unsigned cold_rank = pass->facts.tiers[tier].cold_rank;

	for (uint32_t f = 0; f < months->nframes && left; f++) {
		struct frame_facts facts;
		struct verdict verdict;

		if (months->frames[f].tier != tier || months->frames[f].rank > cold_rank)
			continue;
		ask(pass, &pass->facts, f, &facts, &verdict);
		if (verdict.to <= (int)tier || verdict.block != BLOCK_NONE)
			continue;
		batch_add(pass, f, &verdict);
		left -= MONTHS_FRAME < left ? MONTHS_FRAME : left;
	}
	batch_run(pass);
}

static void promote(struct pass *pass)
{
	for (size_t i = 0; i < pass->nrisers; i++) {
		struct frame_facts facts;
		struct verdict verdict;

		ask(pass, &pass->facts, pass->risers[i].frame, &facts, &verdict);
		if (verdict.reason == REASON_HOT && verdict.block == BLOCK_NONE)
			batch_add(pass, pass->risers[i].frame, &verdict);
	}
	batch_run(pass);
}

/* Without anything that wants up or has to leave, a pass changes nothing. */
static bool has_work(const struct months *months)
{
	for (uint32_t t = 1; t + 1 < months->facts.ntiers; t++)
		if (months->used[t] > months->facts.tiers[t].high)
			return true;
	for (uint32_t f = 0; f < months->nframes; f++)
		if (months->frames[f].tier > 1 &&
		    months->now_s - months->frames[f].reread_s <= months->facts.promote_window_s)
			return true;
	return false;
}

static void make_pass(struct months *months)
{
	struct pass *pass = calloc(1, sizeof(*pass));

	assert_non_null(pass);
	pass->months = months;
	facts_now(months, &pass->facts);
	survey(pass);
	list_risers(pass);
	room_find_cold(&pass->facts, pass->old, pass->wanted, pass->need);
	for (uint32_t t = pass->facts.ntiers - 1; t >= 1; t--)
		if (pass->need[t])
			make_room(pass, t);
	/* As the engine does: what has not left is still there. */
	for (uint32_t t = 1; t < pass->facts.ntiers; t++)
		pass->facts.tiers[t].used = months->used[t];
	promote(pass);
	free(pass->risers);
	free(pass);
}

void months_advance(struct months *months, uint32_t to_s)
{
	for (; months->pass_s <= to_s; months->pass_s += months->interval_s) {
		months->now_s = months->pass_s;
		if (has_work(months))
			make_pass(months);
	}
	months->now_s = to_s;
}

/* Uses ----------------------------------------------------------------------------------------- */

bool months_is_small(uint32_t frame)
{
	return frame / MONTHS_RUN % 3 == 0;
}

/* A read at `off` of the frame. */
static void use(struct months *months, uint32_t f, uint64_t off, uint64_t len)
{
	struct months_frame *frame = &months->frames[f];
	uint32_t first = f - f % MONTHS_RUN;
	uint64_t object, file_off = off;
	struct reread_run *run;
	bool scan;

	if (months_is_small(f)) {
		object = f * FILES + off / (MONTHS_FRAME / FILES);
		file_off %= MONTHS_FRAME / FILES;
		run = &frame->run;
	} else {
		object = first * FILES;
		file_off += (uint64_t)(f - first) * MONTHS_FRAME;
		run = &months->frames[first].run;
	}
	if (!file_off)
		*run = (struct reread_run){0}; /* opened */
	scan = reread_is_scan(run, file_off, len);
	heat_touch(months->heat, f + 1, (struct heat_state){0}, months->now_s);
	if (reread_note(months->reread, object, file_off, scan, months->now_s,
			months->facts.promote_window_s))
		frame->reread_s = months->now_s;
}

void months_read(struct months *months, uint32_t frame, uint32_t pieces)
{
	uint64_t off = bytes_random(&months->seed) % pieces * REREAD_PIECE;

	months->counts.reads++;
	months->counts.fast += months->frames[frame].tier == MONTHS_SSD;
	use(months, frame, off, 4096);
}

void months_scan(struct months *months, uint32_t frame)
{
	uint64_t step = MONTHS_FRAME / FILES;

	for (uint64_t off = 0; off < MONTHS_FRAME; off += step)
		use(months, frame, off, step);
}

void months_remove(struct months *months, uint32_t f)
{
	if (months->frames[f].tier)
		months->used[months->frames[f].tier] -= MONTHS_FRAME;
	heat_forget(months->heat, f + 1);
	months->frames[f] = (struct months_frame){.run = months->frames[f].run};
}

void months_write(struct months *months, uint32_t f)
{
	uint32_t tier = 1;

	months_remove(months, f);
	while (tier + 1 < months->facts.ntiers &&
	       months->used[tier] + MONTHS_FRAME > months->facts.tiers[tier].size)
		tier++;
	months->frames[f].tier = tier;
	months->used[tier] += MONTHS_FRAME;
	heat_touch(months->heat, f + 1, (struct heat_state){0}, months->now_s);
}

uint64_t months_moves(const struct months *months)
{
	return months->counts.up + months->counts.down;
}

double months_pingpong(const struct months *months)
{
	struct ghost_counts counts;

	ghosts_counts(months->ghosts, &counts);
	return months_moves(months) ? (double)counts.pingpong / (double)months_moves(months) : 0;
}
