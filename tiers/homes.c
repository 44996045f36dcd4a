// SPDX-License-Identifier: Apache-2.0
#include "tiers/homes.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "tiers/idmap.h"

struct home {
	uint64_t places;
	unsigned wanted;
};

struct homes {
	pthread_rwlock_t lock;
	struct idmap map; /* segment -> struct home */
};

int homes_new(struct homes **out)
{
	struct homes *homes = calloc(1, sizeof(*homes));

	*out = homes;
	if (!homes)
		return -ENOMEM;
	pthread_rwlock_init(&homes->lock, NULL);
	idmap_init(&homes->map);
	return 0;
}

void homes_free(struct homes *homes)
{
	struct home *home;
	size_t at = 0;

	if (!homes)
		return;
	while ((home = idmap_each(&homes->map, &at)))
		free(home);
	idmap_release(&homes->map);
	pthread_rwlock_destroy(&homes->lock);
	free(homes);
}

uint64_t homes_get(struct homes *homes, uint64_t segment, uint32_t first)
{
	const struct home *home;
	uint64_t places;

	pthread_rwlock_rdlock(&homes->lock);
	home = idmap_get(&homes->map, segment);
	places = home ? home->places : (uint64_t)1 << first;
	pthread_rwlock_unlock(&homes->lock);
	return places;
}

bool homes_has(struct homes *homes, uint64_t segment)
{
	bool listed;

	pthread_rwlock_rdlock(&homes->lock);
	listed = idmap_get(&homes->map, segment) != NULL;
	pthread_rwlock_unlock(&homes->lock);
	return listed;
}

unsigned homes_wanted(struct homes *homes, uint64_t segment)
{
	const struct home *home;
	unsigned wanted;

	pthread_rwlock_rdlock(&homes->lock);
	home = idmap_get(&homes->map, segment);
	wanted = home ? home->wanted : 0;
	pthread_rwlock_unlock(&homes->lock);
	return wanted;
}

/* Lock held exclusively. The entry, made if there is none. */
static struct home *home_of(struct homes *homes, uint64_t segment, uint64_t places)
{
	struct home *home = idmap_get(&homes->map, segment);

	if (home)
		return home;
	home = calloc(1, sizeof(*home));
	if (home && idmap_put(&homes->map, segment, home) < 0) {
		free(home);
		home = NULL;
	}
	if (home)
		home->places = places;
	return home;
}

int homes_set(struct homes *homes, uint64_t segment, uint64_t places, unsigned wanted)
{
	struct home *home;

	pthread_rwlock_wrlock(&homes->lock);
	home = home_of(homes, segment, places);
	if (home)
		*home = (struct home){places, wanted};
	pthread_rwlock_unlock(&homes->lock);
	return home ? 0 : -ENOMEM;
}

bool homes_drop(struct homes *homes, uint64_t segment, uint32_t place)
{
	uint64_t bit = (uint64_t)1 << place;
	struct home *home;
	bool dropped;

	pthread_rwlock_wrlock(&homes->lock);
	home = idmap_get(&homes->map, segment);
	dropped = home && home->places & bit && home->places != bit;
	if (dropped)
		home->places &= ~bit;
	pthread_rwlock_unlock(&homes->lock);
	return dropped;
}

int homes_add(struct homes *homes, uint64_t segment, uint32_t first, uint32_t place)
{
	struct home *home;

	pthread_rwlock_wrlock(&homes->lock);
	home = home_of(homes, segment, (uint64_t)1 << first);
	if (home)
		home->places |= (uint64_t)1 << place;
	pthread_rwlock_unlock(&homes->lock);
	return home ? 0 : -ENOMEM;
}

void homes_forget(struct homes *homes, uint64_t segment)
{
	pthread_rwlock_wrlock(&homes->lock);
	free(idmap_del(&homes->map, segment));
	pthread_rwlock_unlock(&homes->lock);
}
