// SPDX-License-Identifier: Apache-2.0
/*
 * What a pass wants. Order matters: what policies ask for first, since nobody should wait for it;
 * then room, from the slowest tier up, so that each tier below has room when the one above needs
 * it; then promotions into that room, the most worthwhile first; then cleaning.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "tiers/engine/engine_impl.h"
#include "tiers/extmap.h"
#include "tiers/framestore.h"
#include "tiers/replicate.h"

#define SWEEP_OBJECTS	4096u /* whose policies are looked at in one pass */
#define EXTENTS_AT_ONCE 4096u
#define LEAVE_LOOK	(4 * SURVEY_FRAMES) /* frames looked at for one tier in one pass */

struct planner {
	struct pool *pool;
	struct survey *survey;
	choice_take *take;
	void *arg;
	struct rank_histogram wanted[CONFIG_TIERS_MAX]; /* what would come up, by rank */
	uint64_t need[CONFIG_TIERS_MAX];		/* bytes that are to leave a tier */
	bool over[CONFIG_TIERS_MAX];			/* because it is above its high watermark */
};

/* Policies ---------------------------------------------------------------------------------------
 */

/* More copies than its segment is to have: it goes to another one. Fewer are no reason to write. */
static bool wants_copies(struct pool *pool, struct choice *choice)
{
	const struct frame_facts *frame = &choice->facts;
	unsigned have, want;

	if (!frame->policy.replicas || frame->policy.ignore || frame->parked)
		return false;
	copies_of_frame(pool, &choice->record, &have, &want);
	if (frame->policy.replicas <= want ||
	    !space_has_spare(pool->space, choice->bytes * frame->policy.replicas))
		return false;
	choice->rewrite = true;
	choice->verdict = (struct verdict){
		.to = (int)frame->tier, .reason = REASON_MEND, .block = BLOCK_NONE};
	return true;
}

/* What the object's policy wants of one frame of it; false: nothing. */
static bool policy_choice(struct pool *pool, const struct engine_facts *facts, uint64_t object,
			  struct choice *choice)
{
	struct frame_facts *frame = &choice->facts;
	bool elsewhere;

	pool_policy(pool, object, heat_age_s(frame->heat, facts->now_s), &frame->policy);
	decide(facts, frame, &choice->verdict);
	elsewhere = choice->verdict.to != (int)frame->tier;
	if (elsewhere && choice->verdict.reason != REASON_PIN &&
	    choice->verdict.reason != REASON_STATE && choice->verdict.reason != REASON_RULE)
		return false;
	if (!elsewhere && wants_copies(pool, choice))
		return true;
	if (elsewhere || frame->policy.state == OBJECT_ACTIVE || frame->policy.ignore ||
	    frame->policy.has_codec)
		return elsewhere;
	/* Sealed: it stays, and is coded strongly. */
	pool_strong_codec(pool, &choice->codec);
	if (codec_spec_same(&choice->codec, &choice->record.codec) || frame->parked)
		return false;
	choice->rewrite = choice->own_codec = true;
	choice->verdict.reason = REASON_STATE;
	choice->verdict.to = (int)frame->tier;
	choice->verdict.block = BLOCK_NONE;
	return true;
}

int object_extents_next(struct object *object, uint64_t *from, struct extent_list *list)
{
	int rc;

	list->count = 0;
	pthread_rwlock_rdlock(&object->data_lock);
	rc = extmap_list(object, *from, UINT64_MAX, EXTENTS_AT_ONCE, list);
	pthread_rwlock_unlock(&object->data_lock);
	*from = UINT64_MAX;
	if (rc == 0 && list->count == EXTENTS_AT_ONCE)
		*from = list->items[list->count - 1].off + list->items[list->count - 1].len;
	return rc;
}

bool object_choice_next(struct pool *pool, uint64_t object, const struct extent_list *list,
			size_t *i, struct choice *out)
{
	while (*i < list->count) {
		uint64_t frame = list->items[*i].frame;

		*out = (struct choice){.frame = frame, .object = object};
		for (; *i < list->count && list->items[*i].frame == frame; ++*i)
			out->bytes += list->items[*i].len;
		if (frame_record_get(pool, frame, &out->record) == 0 && out->record.tier > 0 &&
		    out->record.tier < pool->config.ntiers)
			return true;
	}
	return false;
}

static int object_some(struct pool *pool, const struct engine_facts *facts, uint64_t object,
		       const struct extent_list *list, choice_take *take, void *arg)
{
	struct choice choice;
	size_t i = 0;
	int rc = 0;

	while (rc == 0 && object_choice_next(pool, object, list, &i, &choice)) {
		engine_frame_facts(pool, choice.frame, &choice.record, &choice.facts);
		if (policy_choice(pool, facts, object, &choice))
			rc = take(arg, &choice);
	}
	return rc;
}

int planner_object(struct pool *pool, const struct engine_facts *facts, struct object *object,
		   choice_take *take, void *arg)
{
	struct extent_list list = {0};
	uint64_t from = 0;
	int rc = 0;

	while (rc == 0 && from != UINT64_MAX && !pool->stopping) {
		rc = object_extents_next(object, &from, &list);
		if (rc == 0)
			rc = object_some(pool, facts, object->id, &list, take, arg);
	}
	extent_list_release(&list);
	return rc;
}

int objects_next(struct pool *pool, uint64_t *from, uint64_t *ids, size_t n, size_t *got)
{
	static const uint8_t prefix[] = {KEY_OBJECT};
	uint8_t start[KEY_LEN_1];
	struct meta_cursor *cursor;
	struct meta_item item;
	int rc = meta_cursor_open(pool->meta, prefix, sizeof(prefix), start,
				  key_1(start, KEY_OBJECT, *from), &cursor);

	*got = 0;
	if (rc < 0)
		return rc;
	while (*got < n && (rc = meta_cursor_next(cursor, &item)) == 0)
		if (item.key_len == KEY_LEN_1)
			ids[(*got)++] = get_be64(item.key + 1);
	meta_cursor_close(cursor);
	*from = *got == n ? ids[n - 1] + 1 : 0;
	return rc == -ENOENT ? 0 : rc;
}

/* Damage of one object's metadata is that one's alone. */
static bool is_damage(int rc)
{
	return rc == -EUCLEAN;
}

int objects_each(struct pool *pool, const uint64_t *ids, size_t n,
		 int (*each)(void *arg, struct object *object), void *arg)
{
	int rc = 0, damage = 0;

	for (size_t i = 0; i < n && rc == 0; i++) {
		struct object *object;

		if (pool->stopping)
			return -ECANCELED;
		rc = object_get(pool, ids[i], &object);
		if (rc == 0)
			rc = each(arg, object);
		else if (rc == -ENOENT)
			rc = 0;
		object_put(object);
		if (is_damage(rc)) {
			damage = damage ? damage : rc;
			rc = 0;
		}
	}
	return rc ? rc : damage;
}

int objects_look(struct pool *pool, const uint64_t *ids, size_t n,
		 int (*each)(void *arg, struct object *object), void *arg)
{
	int rc = objects_each(pool, ids, n, each, arg);

	return is_damage(rc) ? 0 : rc;
}

static int sweep_one(void *arg, struct object *object)
{
	struct planner *planner = arg;

	return planner_object(planner->pool, &planner->survey->facts, object, planner->take,
			      planner->arg);
}

static int sweep(struct planner *planner, bool all)
{
	struct pool *pool = planner->pool;
	uint64_t *ids, from = 0;
	size_t n;
	int rc;

	if (!pool_has_policies(pool))
		return 0;
	ids = malloc(SWEEP_OBJECTS * sizeof(*ids));
	if (!ids)
		return -ENOMEM;
	pthread_mutex_lock(&pool->engine->lock);
	if (!all)
		from = pool->engine->sweep_from;
	pthread_mutex_unlock(&pool->engine->lock);
	do {
		rc = objects_next(pool, &from, ids, SWEEP_OBJECTS, &n);
		if (rc == 0)
			rc = objects_look(pool, ids, n, sweep_one, planner);
	} while (rc == 0 && all && from);
	pthread_mutex_lock(&pool->engine->lock);
	if (!all)
		pool->engine->sweep_from = from;
	pthread_mutex_unlock(&pool->engine->lock);
	free(ids);
	return rc;
}

/* Promotions -------------------------------------------------------------------------------------
 */

struct riser {
	uint64_t frame;
	double worth; /* seconds saved per second of copying */
};

static int by_worth(const void *a, const void *b)
{
	const struct riser *x = a, *y = b;

	if (x->worth != y->worth)
		return x->worth > y->worth ? -1 : 1;
	return x->frame < y->frame ? -1 : x->frame > y->frame;
}

static bool riser_look(struct planner *planner, const struct engine_facts *facts, uint64_t frame,
		       struct choice *choice)
{
	*choice = (struct choice){.frame = frame};
	if (frame_record_get(planner->pool, frame, &choice->record) < 0 ||
	    choice->record.tier <= 1 || choice->record.tier >= facts->ntiers) {
		candidates_drop(planner->pool->engine->candidates, frame);
		return false;
	}
	engine_frame_facts(planner->pool, frame, &choice->record, &choice->facts);
	choice->bytes = choice->record.raw_len;
	decide(facts, &choice->facts, &choice->verdict);
	return true;
}

/* Who would come up if there was room, and how much that is in each tier. */
static int list_risers(struct planner *planner, struct riser **out, size_t *n)
{
	struct pool *pool = planner->pool;
	struct engine_facts *facts = &planner->survey->facts, *roomy = malloc(sizeof(*roomy));
	struct candidate *list = malloc(CANDIDATES_MAX * sizeof(*list));
	uint32_t since =
		facts->now_s > facts->promote_window_s ? facts->now_s - facts->promote_window_s : 0;
	size_t count;
	int rc = 0;

	*out = NULL;
	*n = 0;
	if (!list || !roomy)
		goto out;
	count = candidates_list(pool->engine->candidates, since, list, CANDIDATES_MAX);
	*out = malloc((count + 1) * sizeof(**out));
	*roomy = *facts;
	for (uint32_t t = 1; t < facts->ntiers; t++)
		roomy->tiers[t].used = 0;
	for (size_t i = 0; *out && rc == 0 && i < count; i++) {
		struct choice choice;

		if (!riser_look(planner, roomy, list[i].frame, &choice))
			continue;
		if (choice.verdict.block != BLOCK_NONE)
			rc = planner->take(planner->arg, &choice); /* only told */
		if (choice.verdict.reason != REASON_HOT || choice.verdict.block != BLOCK_NONE)
			continue;
		planner->wanted[choice.verdict.to].bytes[choice.verdict.rank] +=
			engine_stored_in(facts, &choice.facts, (uint32_t)choice.verdict.to);
		(*out)[(*n)++] = (struct riser){.frame = list[i].frame,
						.worth = choice.verdict.benefit_s /
							 (choice.verdict.cost_s + 1e-9)};
	}
	if (*n)
		qsort(*out, *n, sizeof(**out), by_worth);
out:
	free(list);
	free(roomy);
	return *out ? rc : -ENOMEM;
}

static int promote(struct planner *planner, const struct riser *risers, size_t n)
{
	int rc = 0;

	for (size_t i = 0; i < n && rc == 0 && !planner->pool->stopping; i++) {
		struct choice choice;

		if (riser_look(planner, &planner->survey->facts, risers[i].frame, &choice) &&
		    choice.verdict.reason == REASON_HOT)
			rc = planner->take(planner->arg, &choice);
	}
	return rc;
}

/* Room -------------------------------------------------------------------------------------------
 */

static void find_needs(struct planner *planner)
{
	struct engine_facts *facts = &planner->survey->facts;

	for (uint32_t t = 1; t < facts->ntiers; t++)
		planner->over[t] = facts->tiers[t].used > facts->tiers[t].high;
	room_find_cold(facts, planner->survey->old, planner->wanted, planner->need);
}

struct leave {
	struct planner *planner;
	uint32_t tier;
	unsigned from, to; /* ranks */
	uint64_t goal;	   /* bytes used when enough has left */
	bool short_of;	   /* what was chosen turned out not to be enough */
	uint64_t looked;   /* frames */
};

/* Has enough left? Whose bytes lie in a frame is known only when it is read: of those chosen some
 * may have to stay. So what was chosen is done, and counted again. */
static int leave_enough(struct leave *leave)
{
	struct planner *planner = leave->planner;
	const struct tier_facts *tier = &planner->survey->facts.tiers[leave->tier];
	uint64_t more = leave->short_of ? MOVE_BATCH_BYTES / 2 : 0;
	int rc;

	if (tier->used > leave->goal || leave->goal - tier->used < more)
		return 0;
	rc = planner->take(planner->arg, NULL);
	if (rc < 0)
		return rc;
	leave->short_of = true;
	return tier->used <= leave->goal;
}

static int leave_frame(void *arg, uint64_t frame, const struct frame_record *record)
{
	struct leave *leave = arg;
	struct planner *planner = leave->planner;
	struct engine_facts *facts = &planner->survey->facts;
	struct choice choice = {.frame = frame, .record = *record, .bytes = record->raw_len};
	unsigned rank;
	int rc;

	if (record->tier != leave->tier)
		return 0;
	if (leave->looked++ >= LEAVE_LOOK)
		return 1; /* the next pass looks at others */
	engine_frame_facts(planner->pool, frame, record, &choice.facts);
	rank = rank_of(heat_rate(choice.facts.heat, facts->heat, facts->now_s));
	if (rank < leave->from || rank > leave->to)
		return 0;
	decide(facts, &choice.facts, &choice.verdict);
	if (choice.verdict.reason != REASON_FULL && choice.verdict.reason != REASON_ROOM)
		return 0;
	rc = planner->take(planner->arg, &choice);
	return rc == 0 ? leave_enough(leave) : rc;
}

static int make_room(struct planner *planner, uint32_t t)
{
	struct survey *survey = planner->survey;
	struct tier_facts *tier = &survey->facts.tiers[t];
	struct leave leave = {.planner = planner, .tier = t, .to = tier->cold_rank};
	bool enough = false;
	int rc = 0;

	leave.goal = tier->used > planner->need[t] ? tier->used - planner->need[t] : 0;
	for (unsigned round = 0; round < 2 && !enough && rc == 0; round++) {
		/* The survey may have seen a small part of the tier, and the coldest of that part
		 * are not enough: those of the rest, then, before anything warmer. */
		for (size_t i = 0; i < survey->nall && rc == 0; i++)
			if (survey->segments[i].tier == t)
				rc = segment_each(planner->pool, survey->segments[i].id,
						  leave_frame, &leave);
		if (rc == 0) /* the end: what was chosen last may be enough */
			rc = planner->take(planner->arg, NULL);
		enough = rc > 0 || tier->used <= leave.goal;
		rc = rc > 0 ? 0 : rc;
		/* The coldest may be pinned, or cannot be moved: of a tier that is too full, warmer
		 * ones go instead. */
		if (!planner->over[t] || tier->cold_rank >= RANK_BUCKETS - 1)
			break;
		leave.from = tier->cold_rank + 1;
		leave.to = tier->cold_rank = RANK_BUCKETS - 1;
	}
	return rc;
}

int planner_run(struct pool *pool, struct survey *survey, bool all_policies, choice_take *take,
		void *arg)
{
	struct planner *planner = calloc(1, sizeof(*planner));
	struct riser *risers = NULL;
	size_t n = 0;
	int rc;

	if (!planner)
		return -ENOMEM;
	*planner = (struct planner){.pool = pool, .survey = survey, .take = take, .arg = arg};
	rc = sweep(planner, all_policies);
	if (rc == 0)
		rc = list_risers(planner, &risers, &n);
	if (rc == 0)
		find_needs(planner);
	for (uint32_t t = pool->config.ntiers - 1; rc == 0 && t-- > 1;)
		if (planner->need[t])
			rc = make_room(planner, t);
	if (rc == 0 && n)
		rc = take(arg, NULL);
	if (rc == 0)
		rc = promote(planner, risers, n);
	if (rc == 0)
		rc = cleaner_run(pool, survey, take, arg);
	free(risers);
	free(planner);
	return rc;
}
