// SPDX-License-Identifier: Apache-2.0
/* Reading from whichever copy is good, and what is known of copies. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tiers/clock.h"
#include "tiers/copies_impl.h"
#include "tiers/damage.h"
#include "tiers/log.h"

#define BAD_MAX	 65536u
#define AVOID_NS (30ull * 1000 * 1000 * 1000) /* a place that failed is not asked first */

int copies_new(struct copies **out)
{
	struct copies *copies = calloc(1, sizeof(*copies));

	*out = copies;
	if (!copies)
		return -ENOMEM;
	if (lost_new(&copies->lost) < 0) {
		free(copies);
		*out = NULL;
		return -ENOMEM;
	}
	pthread_mutex_init(&copies->pass, NULL);
	pthread_mutex_init(&copies->lock, NULL);
	idmap_init(&copies->bad);
	return 0;
}

void copies_free(struct copies *copies)
{
	if (!copies)
		return;
	lost_free(copies->lost);
	idmap_release(&copies->bad);
	pthread_mutex_destroy(&copies->lock);
	pthread_mutex_destroy(&copies->pass);
	free(copies);
}

/* Reading -------------------------------------------------------------------------------------- */

/* The file, or all of the place, is not there: no use asking it again. */
static bool is_missing(int error)
{
	return error == -ENOENT || error == -ENODEV || error == -ENXIO || error == -ESTALE ||
	       error == -ENODATA;
}

void copies_bad(struct pool *pool, uint64_t frame, const struct frame_record *record,
		uint32_t place, int error)
{
	if (is_missing(error)) {
		if (homes_drop(pool->homes, record->segment, place))
			log_warning(
				"tier %s: %s: the copy of segment %llu there is missing (%s); it "
				"is made anew from another",
				pool->config.tiers[record->tier].name,
				tier_place_path(pool->tiers[record->tier].tier, place),
				(unsigned long long)record->segment, strerror(-error));
		return;
	}
	copies_mend(pool, frame);
}

/* What does not fit, or finds no memory, is found again. */
void copies_mend(struct pool *pool, uint64_t frame)
{
	struct copies *copies = pool->copies;

	pthread_mutex_lock(&copies->lock);
	if (copies->bad.count < BAD_MAX)
		(void)idmap_put(&copies->bad, frame, copies);
	copies->any_bad = true;
	pthread_mutex_unlock(&copies->lock);
}

void copies_gone(struct pool *pool, uint64_t frame)
{
	struct copies *copies = pool->copies;

	if (!copies->any_bad)
		return;
	pthread_mutex_lock(&copies->lock);
	idmap_del(&copies->bad, frame);
	copies->any_bad = copies->bad.count != 0;
	pthread_mutex_unlock(&copies->lock);
}

struct tries {
	int errors[TIER_PLACES_MAX];
	uint64_t failed;
};

/* The next place to ask: segments begin with different ones, so that disks share the work; spare
 * ones come behind, and those that failed lately last. */
static int next_place(struct pool *pool, const struct frame_record *record, uint64_t left)
{
	const _Atomic uint64_t *failed_ns = pool->copies->failed_ns[record->tier];
	uint64_t spare = pool->tiers[record->tier].tier->spare;
	uint64_t now = left & (left - 1) ? clock_mono_ns() : 0, good = 0;
	unsigned skip;

	for (uint64_t all = left; now && all; all &= all - 1) {
		uint32_t place = (uint32_t)__builtin_ctzll(all);

		if (!failed_ns[place] || now - failed_ns[place] > AVOID_NS)
			good |= all & -all;
	}
	left = good ? good : left;
	left = left & ~spare ? left & ~spare : left;
	skip = (unsigned)(record->segment % (unsigned)__builtin_popcountll(left));
	while (skip--)
		left &= left - 1;
	return __builtin_ctzll(left);
}

static int try_all(struct pool *pool, const struct frame_record *record, uint64_t homes,
		   int (*attempt)(void *arg, struct tier_segment seg), void *arg,
		   struct tries *tries)
{
	int first = -ENODEV, rc;

	tries->failed = 0;
	for (uint64_t left = homes; left;) {
		uint32_t place = (uint32_t)next_place(pool, record, left);

		left &= ~((uint64_t)1 << place);
		rc = attempt(arg, (struct tier_segment){.id = record->segment, .place = place});
		if (!damage_is(rc))
			return rc;
		if (rc != -EBADMSG)
			pool->copies->failed_ns[record->tier][place] = clock_mono_ns();
		first = tries->failed ? first : rc;
		tries->errors[place] = rc;
		tries->failed |= (uint64_t)1 << place;
	}
	return first;
}

int copies_try(struct pool *pool, uint64_t frame, const struct frame_record *record,
	       int (*attempt)(void *arg, struct tier_segment seg), void *arg)
{
	uint64_t homes, before;
	struct tries tries;
	int rc;

	if (record->tier == 0 || record->tier >= pool->config.ntiers)
		return -EUCLEAN;
	homes = homes_get(pool->homes, record->segment, record->place);
	do { /* the copies may have changed places meanwhile */
		before = homes;
		rc = try_all(pool, record, homes, attempt, arg, &tries);
		homes = homes_get(pool->homes, record->segment, record->place);
	} while (damage_is(rc) && homes & ~before);
	if (rc < 0 || !tries.failed)
		return rc;
	pool->copies->fallbacks++;
	for (uint64_t left = tries.failed & homes; left; left &= left - 1) {
		uint32_t place = (uint32_t)__builtin_ctzll(left);

		copies_bad(pool, frame, record, place, tries.errors[place]);
	}
	return rc;
}

/* What is there, and what should be ------------------------------------------------------------ */

unsigned copies_wanted(struct pool *pool, const struct tunables *tunables, uint64_t segment,
		       uint32_t tier)
{
	unsigned wanted = homes_wanted(pool->homes, segment);

	return wanted ? wanted : tunables->tiers[tier].replicas;
}

uint64_t segment_stored(const struct segment *segment)
{
	uint64_t stored = 0;

	for (unsigned c = 0; c < CODEC_COUNT; c++)
		stored += segment->record.codec[c].stored;
	return stored;
}

void copies_of_frame(struct pool *pool, const struct frame_record *record, unsigned *have,
		     unsigned *want)
{
	struct tunables tunables;

	pool_tunables(pool, &tunables);
	*have = (unsigned)__builtin_popcountll(
		homes_get(pool->homes, record->segment, record->place));
	*want = copies_wanted(pool, &tunables, record->segment, record->tier);
}

void pool_copies(struct pool *pool, struct copies_stats *out)
{
	struct copies *copies = pool->copies;
	struct tunables tunables;
	struct segment *segment;
	size_t at = 0;

	pool_tunables(pool, &tunables);
	*out = (struct copies_stats){.fallbacks = copies->fallbacks,
				     .copied_bytes = copies->copied};
	out->lost_places = lost_count(pool);
	pthread_mutex_lock(&pool->commit_lock);
	while ((segment = idmap_each(&pool->segments, &at))) {
		uint64_t homes = homes_get(pool->homes, segment->id, segment->record.place);
		unsigned have = (unsigned)__builtin_popcountll(homes);
		uint64_t stored = segment_stored(segment);
		const struct tier *tier = pool->tiers[segment->record.tier].tier;

		if (segment->removing)
			continue;
		out->extra_bytes += stored * (have - 1);
		if (have >= copies_wanted(pool, &tunables, segment->id, segment->record.tier))
			continue;
		out->under++;
		out->under_bytes += stored;
		if (!(tier->present & ~tier->closed & ~homes))
			out->stuck_bytes += stored;
	}
	pthread_mutex_unlock(&pool->commit_lock);
	pthread_mutex_lock(&copies->lock);
	out->bad = copies->bad.count;
	pthread_mutex_unlock(&copies->lock);
}
