// SPDX-License-Identifier: Apache-2.0
/*
 * A slot per file, found by its inode's number alone: numbers are given in sequence, so files that
 * were made together lie side by side. What takes a slot is a small write inside of a large file;
 * all others pass by at the cost of two comparisons.
 *
 * Invariant: `places` has a bit for (a hash of) each 16 KiB that was overwritten, so it does not
 * grow with what is overwritten in one place.
 */
#include "fs/databases.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "tiers/clock.h"
#include "tiers/object.h"

#define SLOTS	    256u
#define WRITE_MAX   (16u << 10) /* pages of databases have 4 to 16 KiB */
#define SIZE_MIN    (1u << 20)	/* less is written anew in no time */
#define OVERWRITES  64u
#define SYNCS	    8u
#define PLACES	    16
#define PLACE_SHIFT 14
#define WINDOW_S    600u

struct slot {
	_Atomic uint64_t id;	 /* 0: of nobody */
	_Atomic uint64_t end;	 /* of the write before */
	_Atomic uint64_t places; /* invariant */
	_Atomic uint32_t since_s;
	_Atomic uint32_t overwrites, syncs;
	_Atomic bool fresh; /* overwritten since the last sync */
};

struct databases {
	struct slot slots[SLOTS];
};

int databases_new(struct databases **out)
{
	*out = calloc(1, sizeof(**out));
	return *out ? 0 : -ENOMEM;
}

void databases_free(struct databases *databases)
{
	free(databases);
}

static struct slot *slot_of(struct databases *databases, uint64_t id)
{
	return &databases->slots[id % SLOTS];
}

static bool is_one(const struct slot *slot)
{
	return slot->overwrites >= OVERWRITES && slot->syncs >= SYNCS &&
	       __builtin_popcountll(slot->places) >= PLACES;
}

/* Of nobody in between, so that no count is taken for the next one's. */
static void begin(struct slot *slot, uint64_t id, uint32_t now_s)
{
	slot->id = 0;
	slot->since_s = now_s;
	slot->end = slot->places = 0;
	slot->overwrites = slot->syncs = 0;
	slot->fresh = false;
	slot->id = id;
}

static unsigned place_bit(uint64_t off)
{
	return (unsigned)((off >> PLACE_SHIFT) * UINT64_C(0x9e3779b97f4a7c15) >> 58);
}

static bool is_data(struct object *object, uint64_t off)
{
	uint64_t found;

	return object_seek(object, off, SEEK_DATA, &found) == 0 && found == off;
}

void databases_writing(struct databases *databases, struct object *object, size_t len, uint64_t off)
{
	struct slot *slot = slot_of(databases, object_id(object));
	uint32_t now_s;
	uint64_t size;

	if (len > WRITE_MAX || object_is_plain(object))
		return;
	size = object_size(object);
	if (size < SIZE_MIN || off > size || len > size - off)
		return;
	now_s = clock_coarse_s();
	if (slot->id != object_id(object) || (!is_one(slot) && now_s - slot->since_s > WINDOW_S))
		begin(slot, object_id(object), now_s);
	if (atomic_exchange(&slot->end, off + len) == off || is_one(slot) || !is_data(object, off))
		return;
	slot->overwrites++;
	slot->places |= UINT64_C(1) << place_bit(off);
	slot->fresh = true;
}

void databases_synced(struct databases *databases, uint64_t id)
{
	struct slot *slot = slot_of(databases, id);

	if (slot->id == id && atomic_exchange(&slot->fresh, false))
		slot->syncs++;
}

bool databases_take(struct databases *databases, uint64_t id)
{
	struct slot *slot = slot_of(databases, id);
	bool one = slot->id == id && is_one(slot);

	if (one)
		begin(slot, 0, 0);
	return one;
}
