// SPDX-License-Identifier: Apache-2.0
#include "tiers/segment_list.h"

#include <errno.h>
#include <stdlib.h>

#include "tiers/pool_impl.h"

static int by_id(const void *a, const void *b)
{
	const struct segment_brief *x = a, *y = b;

	return x->id < y->id ? -1 : x->id > y->id;
}

int segment_list(struct pool *pool, struct segment_brief **out, size_t *n)
{
	struct segment_brief *list;
	struct segment *segment;
	size_t at = 0;

	*n = 0;
	pthread_mutex_lock(&pool->commit_lock);
	list = malloc((pool->segments.count + 1) * sizeof(*list));
	while (list && (segment = idmap_each(&pool->segments, &at))) {
		struct segment_brief *brief = &list[*n];

		if (segment->removing)
			continue;
		*brief = (struct segment_brief){.id = segment->id,
						.tier = segment->record.tier,
						.place = segment->record.place};
		for (unsigned c = 0; c < CODEC_COUNT; c++) {
			brief->stored += segment->record.codec[c].stored;
			brief->raw += segment->record.codec[c].raw;
		}
		++*n;
	}
	pthread_mutex_unlock(&pool->commit_lock);
	if (*n)
		qsort(list, *n, sizeof(*list), by_id);
	*out = list;
	return list ? 0 : -ENOMEM;
}
