// SPDX-License-Identifier: Apache-2.0
/* A red-black tree (libbsd's tree.h) of ranges ordered by offset. */
#include "tiers/dirty.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

static int compare(const struct dirty_range *a, const struct dirty_range *b)
{
	return a->off < b->off ? -1 : a->off > b->off;
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
RB_GENERATE_INTERNAL(dirty_tree, dirty_range, node, compare, static)
#pragma GCC diagnostic pop

void dirty_init(struct dirty_map *map)
{
	*map = (struct dirty_map){0};
	RB_INIT(&map->tree);
}

static const uint8_t *data_at(const struct dirty_range *range, uint64_t off)
{
	return range->data ? range->data + (off - range->off) : NULL;
}

static void drop(struct dirty_map *map, struct dirty_range *range, const struct dirty_sink *sink)
{
	RB_REMOVE(dirty_tree, &map->tree, range);
	map->bytes -= range->len;
	sink->released(sink->arg, range->pos, range->len);
	free(range);
}

void dirty_release(struct dirty_map *map, const struct dirty_sink *sink)
{
	struct dirty_range *range;

	while ((range = RB_MIN(dirty_tree, &map->tree)))
		drop(map, range, sink);
	while (map->nspare)
		free(map->spare[--map->nspare]);
}

int dirty_prepare(struct dirty_map *map)
{
	while (map->nspare < 2) {
		struct dirty_range *range = malloc(sizeof(*range));

		if (!range)
			return -ENOMEM;
		map->spare[map->nspare++] = range;
	}
	return 0;
}

static void put(struct dirty_map *map, uint64_t off, uint64_t len, const uint8_t *data,
		uint64_t pos)
{
	struct dirty_range *range;

	assert(map->nspare > 0);
	range = map->spare[--map->nspare];
	*range = (struct dirty_range){.off = off, .len = len, .data = data, .pos = pos};
	RB_INSERT(dirty_tree, &map->tree, range);
	map->bytes += len;
}

/* Cuts [off, end) out of one range that overlaps it. */
static void cut(struct dirty_map *map, struct dirty_range *range, uint64_t off, uint64_t end,
		const struct dirty_sink *sink)
{
	uint64_t range_end = range->off + range->len;

	if (off <= range->off && end >= range_end) {
		drop(map, range, sink);
		return;
	}
	if (off > range->off) {
		uint64_t gone = (end < range_end ? end : range_end) - off;

		map->bytes -= range_end - off;
		range->len = off - range->off;
		if (end < range_end)
			put(map, end, range_end - end, data_at(range, end), range->pos);
		sink->released(sink->arg, range->pos, gone);
		return;
	}
	/* The head goes. The key grows but stays between its neighbours, so the tree's order holds.
	 */
	map->bytes -= end - range->off;
	sink->released(sink->arg, range->pos, end - range->off);
	range->data = data_at(range, end);
	range->len = range_end - end;
	range->off = end;
}

void dirty_remove(struct dirty_map *map, uint64_t off, uint64_t len, const struct dirty_sink *sink)
{
	uint64_t end = len > UINT64_MAX - off ? UINT64_MAX : off + len;
	struct dirty_range *range = dirty_find(map, off);

	while (range && range->off < end) {
		struct dirty_range *next = dirty_next(range);

		cut(map, range, off, end, sink);
		range = next;
	}
}

void dirty_insert(struct dirty_map *map, uint64_t off, uint64_t len, const void *data, uint64_t pos,
		  const struct dirty_sink *sink)
{
	dirty_remove(map, off, len, sink);
	put(map, off, len, data, pos);
}

void dirty_remove_flushed(struct dirty_map *map, uint64_t off, uint64_t len, uint64_t pos,
			  const struct dirty_sink *sink)
{
	uint64_t end = off + len;
	struct dirty_range *range = dirty_find(map, off);

	while (range && range->off < end) {
		struct dirty_range *next = dirty_next(range);

		if (range->pos == pos)
			cut(map, range, off, end, sink);
		range = next;
	}
}

struct dirty_range *dirty_find(const struct dirty_map *map, uint64_t off)
{
	struct dirty_range *range = RB_ROOT(&map->tree);
	struct dirty_range *best = NULL;

	while (range) {
		if (range->off + range->len > off) {
			best = range;
			range = RB_LEFT(range, node);
		} else {
			range = RB_RIGHT(range, node);
		}
	}
	return best;
}

struct dirty_range *dirty_next(struct dirty_range *range)
{
	return RB_NEXT(dirty_tree, NULL, range);
}

bool dirty_empty(const struct dirty_map *map)
{
	return RB_EMPTY(&map->tree);
}
