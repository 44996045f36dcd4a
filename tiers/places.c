// SPDX-License-Identifier: Apache-2.0
#include "tiers/places.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "tiers/framestore.h"
#include "tiers/pool_impl.h"

#define CLOSE_WAIT_NS (10ull * 1000 * 1000 * 1000)
#define CLOSE_LOOK_NS (1000 * 1000)

_Static_assert(CONFIG_PATHS_MAX == TIER_PLACES_MAX, "a tier's paths and places");

/* Asking --------------------------------------------------------------------------------------- */

static uint64_t frames_stored(const struct segment_record *record)
{
	uint64_t stored = 0;

	for (unsigned c = 0; c < CODEC_COUNT; c++)
		stored += record->codec[c].stored;
	return stored;
}

int pool_places(struct pool *pool, uint32_t t,
		int (*each)(void *arg, const struct pool_place *place), void *arg)
{
	struct tier *tier = t && t < pool->config.ntiers ? pool->tiers[t].tier : NULL;
	int rc = 0;

	for (uint32_t i = 0; tier && rc == 0 && i < tier->nplaces; i++) {
		struct pool_place place = {.place = i,
					   .path = tier_place_path(tier, i),
					   .closed = tier_place_closed(tier, i)};
		struct segment *segment;
		size_t at = 0;

		if (!place.path)
			continue;
		if (tier_space(tier, i, &place.space) < 0)
			place.space = (struct tier_space){0};
		pthread_mutex_lock(&pool->commit_lock);
		while ((segment = idmap_each(&pool->segments, &at))) {
			if (segment->record.tier != t || segment->record.place != i)
				continue;
			place.live += frames_stored(&segment->record);
			place.segments++;
		}
		pthread_mutex_unlock(&pool->commit_lock);
		rc = each(arg, &place);
	}
	return rc;
}

int pool_place_find(struct pool *pool, const char *path, uint32_t *tier, uint32_t *place)
{
	struct stat want, st;
	bool known = stat(path, &want) == 0;

	for (uint32_t t = 1; t < pool->config.ntiers; t++) {
		for (uint32_t i = 0; i < pool->tiers[t].tier->nplaces; i++) {
			const char *here = tier_place_path(pool->tiers[t].tier, i);

			if (!here || (strcmp(here, path) != 0 &&
				      (!known || stat(here, &st) != 0 || st.st_dev != want.st_dev ||
				       st.st_ino != want.st_ino)))
				continue;
			*tier = t;
			*place = i;
			return 0;
		}
	}
	return -ENOENT;
}

/* Closing -------------------------------------------------------------------------------------- */

int pool_place_close(struct pool *pool, uint32_t t, uint32_t place)
{
	struct tier *tier = t && t < pool->config.ntiers ? pool->tiers[t].tier : NULL;
	uint64_t until = clock_mono_ns() + CLOSE_WAIT_NS, mark;

	if (!tier || !tier_has_place(tier, place))
		return -ENODEV;
	appender_place_close(pool->tiers[t].appender, place);
	space_refresh(pool->space);
	mark = frame_builds_mark(pool);
	while (frame_builds_place(pool, t, place, mark)) {
		if (clock_mono_ns() > until)
			return -EBUSY;
		nanosleep(&(struct timespec){.tv_nsec = CLOSE_LOOK_NS}, NULL);
	}
	return 0;
}

void pool_place_open(struct pool *pool, uint32_t t, uint32_t place)
{
	if (!t || t >= pool->config.ntiers || !tier_has_place(pool->tiers[t].tier, place))
		return;
	appender_place_open(pool->tiers[t].appender, place);
	space_refresh(pool->space);
}
