// SPDX-License-Identifier: Apache-2.0
/* Why an extent is where it is, and what comes next: decide(), asked about what is there. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tiers/engine/engine_impl.h"
#include "tiers/framestore.h"

struct asking {
	struct pool *pool;
	const struct engine_facts *facts;
	uint64_t object;
	int (*each)(void *arg, const struct extent_why *why);
	void *arg;
};

/* Of the last pass if there was one: it knows what a tier's threshold is. */
static void facts_for_why(struct pool *pool, struct engine_facts *facts)
{
	struct engine *engine = pool->engine;

	engine_facts_now(pool, facts);
	pthread_mutex_lock(&engine->lock);
	for (uint32_t t = 1; engine->facts.now_s && t < facts->ntiers; t++) {
		facts->tiers[t].cold_rank = engine->facts.tiers[t].cold_rank;
		facts->tiers[t].for_room = engine->facts.tiers[t].for_room;
		facts->tiers[t].ratio = engine->facts.tiers[t].ratio;
	}
	pthread_mutex_unlock(&engine->lock);
}

static void explain(struct pool *pool, const struct engine_facts *facts, uint64_t object,
		    struct extent_why *why)
{
	struct frame_record record;

	why->verdict.to = why->extent.tier;
	if (why->extent.tier == 0 || frame_record_get(pool, why->extent.frame, &record) < 0)
		return;
	engine_frame_facts(pool, why->extent.frame, &record, &why->frame);
	pool_policy(pool, object, heat_age_s(why->frame.heat, facts->now_s), &why->frame.policy);
	why->frame.evacuating = tier_place_closed(pool->tiers[record.tier].tier, record.place);
	decide(facts, &why->frame, &why->verdict);
}

static int ask(void *arg, const struct object_extent *extent)
{
	const struct asking *asking = arg;
	struct extent_why why = {.extent = *extent};

	explain(asking->pool, asking->facts, asking->object, &why);
	return asking->each(asking->arg, &why);
}

int pool_why(struct pool *pool, struct object *object,
	     int (*each)(void *arg, const struct extent_why *why), void *arg)
{
	struct engine_facts *facts = malloc(sizeof(*facts));
	struct asking asking = {pool, facts, object_id(object), each, arg};
	int rc = -ENOMEM;

	if (facts) {
		facts_for_why(pool, facts);
		rc = object_extents(object, ask, &asking);
	}
	free(facts);
	return rc;
}
