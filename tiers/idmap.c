// SPDX-License-Identifier: Apache-2.0
#include "tiers/idmap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define IDMAP_FIRST 16u

static size_t home(const struct idmap *map, uint64_t id)
{
	return (size_t)((id * 0x9E3779B97F4A7C15u) >> 20) & (map->cap - 1);
}

void idmap_init(struct idmap *map)
{
	*map = (struct idmap){0};
}

void idmap_release(struct idmap *map)
{
	free(map->slots);
	idmap_init(map);
}

void idmap_clear(struct idmap *map)
{
	if (map->count)
		memset(map->slots, 0, map->cap * sizeof(*map->slots));
	map->count = 0;
}

/* The slot that holds id, or the free one where it would go. The table is never full. */
static size_t find(const struct idmap *map, uint64_t id)
{
	size_t i = home(map, id);

	while (map->slots[i].id && map->slots[i].id != id)
		i = (i + 1) & (map->cap - 1);
	return i;
}

void *idmap_get(const struct idmap *map, uint64_t id)
{
	return map->count ? map->slots[find(map, id)].value : NULL;
}

static int grow(struct idmap *map)
{
	struct idmap bigger = {.cap = map->cap ? map->cap * 2 : IDMAP_FIRST};

	bigger.slots = calloc(bigger.cap, sizeof(*bigger.slots));
	if (!bigger.slots)
		return -ENOMEM;
	for (size_t i = 0; i < map->cap; i++)
		if (map->slots[i].id)
			bigger.slots[find(&bigger, map->slots[i].id)] = map->slots[i];
	bigger.count = map->count;
	free(map->slots);
	*map = bigger;
	return 0;
}

int idmap_put(struct idmap *map, uint64_t id, void *value)
{
	size_t i;

	if (map->count * 4 >= map->cap * 3 && grow(map) < 0)
		return -ENOMEM;
	i = find(map, id);
	if (!map->slots[i].id)
		map->count++;
	map->slots[i] = (struct idmap_slot){.id = id, .value = value};
	return 0;
}

void *idmap_del(struct idmap *map, uint64_t id)
{
	size_t mask = map->cap - 1;
	size_t gap;
	void *value;

	if (!map->count)
		return NULL;
	gap = find(map, id);
	value = map->slots[gap].value;
	if (!map->slots[gap].id)
		return NULL;
	/* Whoever probed past the gap moves into it, so that no tombstones are needed. */
	for (size_t i = (gap + 1) & mask; map->slots[i].id; i = (i + 1) & mask) {
		size_t want = home(map, map->slots[i].id);

		if (((i - want) & mask) >= ((i - gap) & mask)) {
			map->slots[gap] = map->slots[i];
			gap = i;
		}
	}
	map->slots[gap] = (struct idmap_slot){0};
	map->count--;
	return value;
}

void *idmap_each(const struct idmap *map, size_t *at)
{
	while (*at < map->cap) {
		const struct idmap_slot *slot = &map->slots[(*at)++];

		if (slot->id)
			return slot->value;
	}
	return NULL;
}
