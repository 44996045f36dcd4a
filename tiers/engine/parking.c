// SPDX-License-Identifier: Apache-2.0
#include "tiers/engine/parking.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tiers/idmap.h"

struct entry {
	struct parked work;
	uint32_t pause_s; /* how long it is left alone this time */
};

/* Entries lie together; the map says which one a frame has (index + 1). */
struct parking {
	struct idmap map;
	uint32_t count;
	struct entry entries[PARKED_MAX];
};

int parking_new(struct parking **out)
{
	*out = calloc(1, sizeof(**out));
	if (!*out)
		return -ENOMEM;
	idmap_init(&(*out)->map);
	return 0;
}

void parking_free(struct parking *parking)
{
	if (!parking)
		return;
	idmap_release(&parking->map);
	free(parking);
}

static struct entry *find(const struct parking *parking, uint64_t frame)
{
	return idmap_get(&parking->map, frame);
}

static void drop(struct parking *parking, struct entry *entry)
{
	struct entry *last = &parking->entries[--parking->count];

	idmap_del(&parking->map, entry->work.frame);
	if (entry == last)
		return;
	*entry = *last;
	/* Replacing needs no memory. */
	idmap_put(&parking->map, entry->work.frame, entry);
}

static struct entry *due_first(struct parking *parking)
{
	struct entry *first = &parking->entries[0];

	for (uint32_t i = 1; i < parking->count; i++)
		if (parking->entries[i].work.until_s < first->work.until_s)
			first = &parking->entries[i];
	return first;
}

bool parking_add(struct parking *parking, const struct parked *work, uint32_t now_s)
{
	struct entry *entry = find(parking, work->frame);
	uint32_t since_s = entry ? entry->work.since_s : now_s;
	uint32_t pause_s = entry ? entry->pause_s * 2 : PARK_FIRST_S;
	bool fresh = !entry;

	if (!entry) {
		if (parking->count == PARKED_MAX)
			drop(parking, due_first(parking));
		entry = &parking->entries[parking->count];
		if (idmap_put(&parking->map, work->frame, entry) < 0)
			return false; /* tried again at the next pass, then */
		parking->count++;
	}
	entry->work = *work;
	entry->pause_s = pause_s > PARK_MAX_S ? PARK_MAX_S : pause_s;
	entry->work.since_s = since_s;
	entry->work.until_s = now_s + entry->pause_s;
	return fresh;
}

bool parking_has(const struct parking *parking, uint64_t frame, uint32_t now_s, uint32_t *until_s)
{
	const struct entry *entry = find(parking, frame);

	if (!entry || entry->work.until_s <= now_s)
		return false;
	*until_s = entry->work.until_s;
	return true;
}

bool parking_remove(struct parking *parking, uint64_t frame)
{
	struct entry *entry = find(parking, frame);

	if (entry)
		drop(parking, entry);
	return entry != NULL;
}

uint64_t parking_room(struct parking *parking, int to)
{
	uint64_t n = 0;

	for (uint32_t i = parking->count; i-- > 0;) {
		if (parking->entries[i].work.error != -ENOSPC || parking->entries[i].work.to != to)
			continue;
		drop(parking, &parking->entries[i]);
		n++;
	}
	return n;
}

uint64_t parking_forget(struct parking *parking, uint32_t now_s)
{
	uint64_t n = 0;

	for (uint32_t i = parking->count; i-- > 0;) {
		uint32_t until_s = parking->entries[i].work.until_s;

		if (until_s > now_s || now_s - until_s < PARK_MAX_S)
			continue;
		drop(parking, &parking->entries[i]);
		n++;
	}
	return n;
}

const struct parked *parking_at(const struct parking *parking, uint32_t i)
{
	return i < parking->count ? &parking->entries[i].work : NULL;
}
