// SPDX-License-Identifier: Apache-2.0
/* Plans: a pass that is only told. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tiers/engine/engine_impl.h"
#include "tiers/framestore.h"
#include "tiers/workers.h"

struct planning {
	struct pool *pool;
	struct survey *survey;
	struct plan *plan;
	struct idmap objects; /* seen */
	uint64_t looked;      /* frames whose header was read */
	size_t cap;
};

static struct plan_move *move_of(struct planning *planning, const struct choice *choice)
{
	struct plan *plan = planning->plan;

	for (size_t i = 0; i < plan->nmoves; i++) {
		struct plan_move *move = &plan->moves[i];

		if (move->from == (int)choice->record.tier && move->to == choice->verdict.to &&
		    move->reason == choice->verdict.reason && move->block == choice->verdict.block)
			return move;
	}
	if (plan->nmoves == planning->cap) {
		size_t cap = planning->cap ? planning->cap * 2 : 16;
		void *p = reallocarray(plan->moves, cap, sizeof(*plan->moves));

		if (!p)
			return NULL;
		plan->moves = p;
		planning->cap = cap;
	}
	plan->moves[plan->nmoves] = (struct plan_move){.from = (int)choice->record.tier,
						       .to = choice->verdict.to,
						       .reason = choice->verdict.reason,
						       .block = choice->verdict.block};
	return &plan->moves[plan->nmoves++];
}

static int note_object(struct planning *planning, struct plan_move *move, uint64_t object)
{
	struct plan *plan = planning->plan;
	int rc;

	if (!object || idmap_get(&planning->objects, object))
		return 0;
	if (plan->nobjects == PLAN_FILES) {
		move->more_files = true;
		return 0;
	}
	rc = idmap_put(&planning->objects, object, planning);
	if (rc == 0) {
		move->files++;
		plan->objects[plan->nobjects++] = object;
	}
	return rc;
}

/* Whose bytes are in it: its own table says so. */
static int note_frame(struct planning *planning, struct plan_move *move,
		      const struct choice *choice)
{
	struct frame_header header;
	uint32_t n = choice->record.header_len;
	uint8_t *buf;
	int rc = 0;

	if (choice->object)
		return note_object(planning, move, choice->object);
	if (planning->looked++ >= PLAN_FILES) {
		move->more_files = true;
		return 0;
	}
	buf = malloc(n);
	if (!buf)
		return -ENOMEM;
	if (frame_stored_read(planning->pool, choice->frame, &choice->record, buf, n, 0,
			      TIER_BULK) == 0 &&
	    frame_header_parse(buf, n, &header) == 0) {
		for (uint32_t i = 0; i < header.nextents && rc == 0; i++)
			rc = note_object(planning, move, header.extents[i].object);
		frame_header_release(&header);
	}
	free(buf);
	return rc;
}

static double seconds_of(const struct engine_facts *facts, const struct choice *choice,
			 uint64_t stored_after)
{
	const struct tier_facts *from = &facts->tiers[choice->record.tier];
	const struct tier_facts *to = &facts->tiers[choice->verdict.to];

	return (double)choice->bytes / choice->record.raw_len * choice->record.stored_len /
		       (double)(from->read_rate ? from->read_rate : 1) +
	       (double)stored_after / (double)(to->write_rate ? to->write_rate : 1);
}

static int plan_take(void *arg, const struct choice *choice)
{
	struct planning *planning = arg;
	struct engine_facts *facts = &planning->survey->facts;
	struct plan_move *move;
	uint64_t after;
	double share; /* of the frame */

	if (!choice)
		return 0;
	move = move_of(planning, choice);
	if (!move)
		return -ENOMEM;
	share = (double)choice->bytes / choice->record.raw_len;
	after = (uint64_t)(share * (double)engine_stored_in(facts, &choice->facts,
							    (uint32_t)choice->verdict.to));
	move->frames++;
	move->raw += choice->bytes;
	move->stored += (uint64_t)(share * choice->record.stored_len);
	move->stored_after += after;
	if (choice->verdict.when_s > move->when_s)
		move->when_s = choice->verdict.when_s;
	if (choice->verdict.block != BLOCK_NONE)
		return 0;
	move->seconds += seconds_of(facts, choice, after);
	move->benefit_s += choice->verdict.benefit_s;
	engine_facts_apply(facts, choice);
	return note_frame(planning, move, choice);
}

/* No faster than what people have set. */
static void apply_limits(struct pool *pool, struct plan *plan)
{
	struct tunables tunables;

	pool_tunables(pool, &tunables);
	for (size_t i = 0; i < plan->nmoves; i++) {
		struct plan_move *move = &plan->moves[i];
		double least = 0;

		if (tunables.move_bandwidth)
			least = (double)move->raw / (double)tunables.move_bandwidth;
		if (tunables.move_iops && (double)move->frames / tunables.move_iops > least)
			least = (double)move->frames / tunables.move_iops;
		if (move->block == BLOCK_NONE && least > move->seconds)
			move->seconds = least;
	}
}

int pool_plan(struct pool *pool, struct plan *out)
{
	struct planning planning = {.pool = pool, .plan = out};
	int rc = survey_make(pool, &planning.survey);

	*out = (struct plan){0};
	if (rc < 0)
		return rc;
	idmap_init(&planning.objects);
	out->objects = malloc(PLAN_FILES * sizeof(*out->objects));
	rc = out->objects ? 0 : -ENOMEM;
	for (uint32_t t = 1; t < pool->config.ntiers; t++)
		out->used[t] = planning.survey->facts.tiers[t].used;
	if (rc == 0)
		rc = planner_run(pool, planning.survey, true, plan_take, &planning);
	for (uint32_t t = 1; t < pool->config.ntiers; t++)
		out->used_after[t] = planning.survey->facts.tiers[t].used;
	apply_limits(pool, out);
	idmap_release(&planning.objects);
	survey_free(planning.survey);
	if (rc < 0)
		plan_release(out);
	return rc;
}

void plan_release(struct plan *plan)
{
	free(plan->moves);
	free(plan->objects);
	*plan = (struct plan){0};
}
