// SPDX-License-Identifier: Apache-2.0
/*
 * Cleaning: what is left of a segment that is mostly dead is written together anew, or, where it is
 * cold enough to leave the tier, goes down, and the segment is freed. So garbage collection,
 * defragmentation and demotion are one machine. (Ranked by dead share and coldness, after the
 * cost-benefit cleaner of Rosenblum and Ousterhout, "The Design and Implementation of a
 * Log-Structured File System", 1992.)
 *
 * Frames in which nothing lives are given back at once, where the medium can punch holes. What is
 * left to cleaning there are frames that live in part. Without holes, whole segments are.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tiers/engine/engine_impl.h"
#include "tiers/extmap.h"
#include "tiers/framestore.h"

#define DEAD_SHARE	30u /* percent of a segment's bytes, or of a frame's, that make it worth it */
#define SEGMENTS_A_PASS 64u
#define OBJECTS_A_PASS	1024u
#define PIECE_BYTES	(16u << 10) /* extents of less on average, side by side, are merged */
#define PIECES_MIN	32u

struct clean {
	struct pool *pool;
	struct survey *survey;
	choice_take *take;
	void *arg;
	bool whole; /* the segment: the medium has no holes */
};

struct worth {
	const struct survey_segment *segment;
	double value;
	bool whole;
};

static int by_value(const void *a, const void *b)
{
	const struct worth *x = a, *y = b;

	return x->value > y->value ? -1 : x->value < y->value;
}

/* Bytes the segment takes on its medium by its length; 0: it is gone. */
static uint64_t length_of(struct pool *pool, uint64_t id)
{
	struct segment *segment;
	uint64_t len;

	pthread_mutex_lock(&pool->commit_lock);
	segment = idmap_get(&pool->segments, id);
	len = segment && !segment->removing ? segment->record.len : 0;
	pthread_mutex_unlock(&pool->commit_lock);
	return len;
}

/* Cost-benefit: what comes free, by what must be copied, and the colder the longer it lasts. */
static bool worth_of(struct clean *clean, const struct survey_segment *segment, struct worth *out)
{
	bool punch = clean->pool->tiers[segment->tier].tier->caps & TIER_CAP_PUNCH;
	double dead, copy;

	if (segment->open || !segment->raw)
		return false;
	dead = 1.0 - (double)segment->live / (double)segment->raw;
	if (!punch) {
		uint64_t len = length_of(clean->pool, segment->id);

		if (!len)
			return false;
		dead = 1.0 - (1.0 - dead) * (double)segment->stored / (double)len;
	}
	if (dead * 100 < (punch ? DEAD_SHARE / 3 : DEAD_SHARE))
		return false;
	copy = 1.0 - dead;
	*out = (struct worth){.segment = segment,
			      .value = dead / (copy + 0.01) /
				       (1.0 + segment->mean_rank / (double)RANK_BUCKETS),
			      .whole = !punch};
	return true;
}

static int clean_frame(void *arg, uint64_t frame, const struct frame_record *record)
{
	struct clean *clean = arg;
	struct choice choice = {.frame = frame, .record = *record, .bytes = record->live};

	if (!clean->whole && record->live * 100 > (uint64_t)record->raw_len * (100 - DEAD_SHARE))
		return 0;
	engine_frame_facts(clean->pool, frame, record, &choice.facts);
	if (choice.facts.parked)
		return 0;
	decide(&clean->survey->facts, &choice.facts, &choice.verdict);
	if (choice.verdict.block != BLOCK_NONE || choice.verdict.to == (int)record->tier) {
		choice.verdict = (struct verdict){
			.to = record->tier, .reason = REASON_CLEAN, .rank = choice.verdict.rank};
		choice.rewrite = true;
	}
	return clean->take(clean->arg, &choice);
}

/* Files in pieces --------------------------------------------------------------------------------
 */

/* Extents that touch in the file and are small: what random writes leave. Holes between extents
 * are no pieces: they would still be there after merging. */
static bool in_pieces(const struct extent_list *list)
{
	uint64_t bytes = 0, pieces = 0;

	for (size_t i = 1; i < list->count; i++) {
		const struct extent *before = &list->items[i - 1], *extent = &list->items[i];

		if (before->off + before->len != extent->off)
			continue;
		pieces++;
		bytes += extent->len;
	}
	return pieces >= PIECES_MIN && bytes / pieces < PIECE_BYTES;
}

static int merge_extents(struct clean *clean, uint64_t object, const struct extent_list *list)
{
	const struct engine_facts *facts = &clean->survey->facts;
	struct choice choice;
	size_t i = 0;
	int rc = 0;

	while (rc == 0 && object_choice_next(clean->pool, object, list, &i, &choice)) {
		engine_frame_facts(clean->pool, choice.frame, &choice.record, &choice.facts);
		/* Still being written to: it would be in pieces again. */
		if (choice.facts.parked || heat_age_s(choice.facts.heat, facts->now_s) <
						   facts->tiers[choice.record.tier].min_age_s)
			continue;
		choice.rewrite = true;
		choice.verdict = (struct verdict){.to = choice.record.tier, .reason = REASON_CLEAN};
		rc = clean->take(clean->arg, &choice);
	}
	return rc;
}

/* Of a large file, each part by itself. */
static int merge_object(void *arg, struct object *object)
{
	struct clean *clean = arg;
	struct extent_list list = {0};
	uint64_t from = 0;
	bool maybe;
	int rc = 0;

	pthread_rwlock_rdlock(&object->data_lock);
	maybe = object->record.has_keys && !object->dirty_bytes;
	pthread_rwlock_unlock(&object->data_lock);
	while (rc == 0 && maybe && from != UINT64_MAX && !clean->pool->stopping) {
		rc = object_extents_next(object, &from, &list);
		if (rc == 0 && in_pieces(&list))
			rc = merge_extents(clean, object->id, &list);
	}
	extent_list_release(&list);
	return rc;
}

static int merge_some(struct clean *clean)
{
	struct pool *pool = clean->pool;
	uint64_t *ids = malloc(OBJECTS_A_PASS * sizeof(*ids));
	size_t n = 0;
	int rc = ids ? 0 : -ENOMEM;

	if (rc == 0)
		rc = objects_next(pool, &clean->survey->merge_from, ids, OBJECTS_A_PASS, &n);
	if (rc == 0)
		rc = objects_look(pool, ids, n, merge_object, clean);
	free(ids);
	return rc;
}

static int clean_segments(struct clean *clean)
{
	struct survey *survey = clean->survey;
	struct worth *list = malloc((survey->nsegments + 1) * sizeof(*list));
	size_t n = 0;
	int rc = 0;

	if (!list)
		return -ENOMEM;
	for (size_t i = 0; i < survey->nsegments; i++)
		if (worth_of(clean, &survey->segments[i], &list[n]))
			n++;
	if (n)
		qsort(list, n, sizeof(*list), by_value);
	for (size_t i = 0; i < n && i < SEGMENTS_A_PASS && rc == 0 && !clean->pool->stopping; i++) {
		clean->whole = list[i].whole;
		rc = segment_each(clean->pool, list[i].segment->id, clean_frame, clean);
	}
	free(list);
	return rc;
}

int cleaner_run(struct pool *pool, struct survey *survey, choice_take *take, void *arg)
{
	struct clean clean = {.pool = pool, .survey = survey, .take = take, .arg = arg};
	int rc = clean_segments(&clean);

	/* Where files are is looked up after that has been done. */
	if (rc == 0)
		rc = take(arg, NULL);
	return rc < 0 ? rc : merge_some(&clean);
}
