// SPDX-License-Identifier: Apache-2.0
/*
 * See fix_power.h. Invariants:
 *  1. `seen` is what calls show, `medium` what a cut with POWER_LOST leaves; they are equal in a
 *     segment that is not dirty.
 *  2. Segments are kept in order of id, since a cut's code counts them.
 */
#include "tests/unit/fix_power.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK  4096u
#define SECTOR 512u

struct content {
	uint8_t *bytes;
	uint8_t *holes; /* one byte per block: 1 = nothing stored */
	uint64_t len, cap;
	bool exists;
};

struct cell {
	struct cell *next;
	struct tier_segment seg;
	struct content seen, medium;
	bool dirty;
	int failed; /* of a sync; stays until the cut */
};

struct power {
	struct tier base;
	char name[32];
	pthread_mutex_t lock; /* guards everything */
	struct cell *cells;
	uint64_t capacity;
	uint64_t steps, cut_at;
	uint64_t calls, fault_at, faults, rewrites;
	int fault_error;
	bool fault_forever, off, lie;
};

static struct power *power_of(struct tier *tier)
{
	return (struct power *)tier; /* base is the first member */
}

static void *must(void *mem)
{
	if (!mem)
		abort();
	return mem;
}

static uint64_t blocks_of(uint64_t len)
{
	return (len + BLOCK - 1) / BLOCK;
}

/* Contents ------------------------------------------------------------------------------------- */

static void content_reserve(struct content *content, uint64_t len)
{
	uint64_t cap = content->cap ? content->cap : BLOCK;

	if (len <= content->cap)
		return;
	while (cap < len)
		cap *= 2;
	content->bytes = must(realloc(content->bytes, cap));
	content->holes = must(realloc(content->holes, cap / BLOCK));
	memset(content->bytes + content->cap, 0, cap - content->cap);
	memset(content->holes + content->cap / BLOCK, 1, (cap - content->cap) / BLOCK);
	content->cap = cap;
}

static void content_resize(struct content *content, uint64_t len)
{
	content_reserve(content, len);
	if (len < content->len) {
		memset(content->bytes + len, 0, content->len - len);
		memset(content->holes + blocks_of(len), 1, content->cap / BLOCK - blocks_of(len));
	}
	content->len = len;
}

static void content_copy(struct content *to, const struct content *from)
{
	content_resize(to, from->len);
	if (from->len) {
		memcpy(to->bytes, from->bytes, from->len);
		memcpy(to->holes, from->holes, blocks_of(from->len));
	}
	to->exists = from->exists;
}

static void content_release(struct content *content)
{
	free(content->bytes);
	free(content->holes);
}

static uint64_t content_disk(const struct content *content)
{
	uint64_t i, disk = 0;

	for (i = 0; content->exists && i < blocks_of(content->len); i++)
		disk += content->holes[i] ? 0 : BLOCK;
	return disk;
}

/* Cells ---------------------------------------------------------------------------------------- */

static struct cell *cell_find(struct power *power, struct tier_segment seg)
{
	struct cell *cell = power->cells;

	while (cell && (cell->seg.id != seg.id || cell->seg.place != seg.place))
		cell = cell->next;
	return cell;
}

static struct cell *cell_insert(struct power *power, struct tier_segment seg)
{
	struct cell **at = &power->cells;
	struct cell *cell = must(calloc(1, sizeof(*cell)));

	while (*at && ((*at)->seg.id < seg.id ||
		       ((*at)->seg.id == seg.id && (*at)->seg.place < seg.place)))
		at = &(*at)->next;
	cell->seg = seg;
	cell->next = *at;
	*at = cell;
	return cell;
}

static void cell_drop(struct power *power, struct cell *cell)
{
	struct cell **at = &power->cells;

	while (*at != cell)
		at = &(*at)->next;
	*at = cell->next;
	content_release(&cell->seen);
	content_release(&cell->medium);
	free(cell);
}

static uint64_t place_used(const struct power *power, uint32_t place)
{
	const struct cell *cell;
	uint64_t used = 0;

	for (cell = power->cells; cell; cell = cell->next) {
		if (cell->seg.place == place)
			used += content_disk(&cell->seen);
	}
	return used;
}

/* Calls ---------------------------------------------------------------------------------------- */

/* Every call begins here, with the lock taken. An error is answered and nothing is done. */
static int call_begin(struct power *power)
{
	pthread_mutex_lock(&power->lock);
	if (power->off)
		return -EIO;
	power->calls++;
	if (power->fault_at && (power->calls == power->fault_at ||
				(power->fault_forever && power->calls > power->fault_at))) {
		power->faults++;
		return power->fault_error;
	}
	return 0;
}

/* A change ends here: done, but if the power fails at it nobody hears that it was. */
static int change_end(struct power *power, int error)
{
	if (!error && !power->off && ++power->steps == power->cut_at) {
		power->off = true;
		error = -EIO;
	}
	pthread_mutex_unlock(&power->lock);
	return error;
}

/* For changes of an existing segment. */
static int change_begin(struct power *power, struct tier_segment seg, struct cell **cell)
{
	int error = call_begin(power);

	*cell = cell_find(power, seg);
	if (!error && (!*cell || !(*cell)->seen.exists))
		error = -ENOENT;
	return error;
}

static void power_close(struct tier *tier)
{
	(void)tier;
}

static int power_create(struct tier *tier, struct tier_segment seg)
{
	struct power *power = power_of(tier);
	int error = call_begin(power);
	struct cell *cell = cell_find(power, seg);

	/* A name that was removed must not come back either: ids are never used twice. */
	if (!error && cell)
		error = -EEXIST;
	if (!error) {
		cell = cell_insert(power, seg);
		cell->seen.exists = true;
		cell->dirty = true;
	}
	return change_end(power, error);
}

static int power_remove(struct tier *tier, struct tier_segment seg)
{
	struct power *power = power_of(tier);
	struct cell *cell;
	int error = change_begin(power, seg, &cell);

	if (!error) {
		content_resize(&cell->seen, 0);
		cell->seen.exists = false;
		cell->dirty = true;
	}
	return change_end(power, error);
}

static int power_truncate(struct tier *tier, struct tier_segment seg, uint64_t len)
{
	struct power *power = power_of(tier);
	struct cell *cell;
	int error = change_begin(power, seg, &cell);

	if (!error && cell->failed)
		error = cell->failed;
	if (!error) {
		content_resize(&cell->seen, len);
		cell->dirty = true;
	}
	return change_end(power, error);
}

static int power_write(struct tier *tier, struct tier_segment seg, const void *buf, size_t len,
		       uint64_t off, enum tier_hint hint)
{
	struct power *power = power_of(tier);
	struct cell *cell;
	uint64_t grows = 0, i;
	int error = change_begin(power, seg, &cell);

	(void)hint;
	if (!error && cell->failed)
		error = cell->failed;
	if (!error) {
		content_reserve(&cell->seen, off + len);
		for (i = off / BLOCK; i < blocks_of(off + len); i++)
			grows += cell->seen.holes[i] ? BLOCK : 0;
		if (grows && place_used(power, seg.place) + grows > power->capacity)
			error = -ENOSPC;
	}
	if (!error) {
		for (i = off / BLOCK; i < blocks_of(off + len); i++) {
			if (i < blocks_of(cell->medium.len) && !cell->medium.holes[i])
				power->rewrites++;
			cell->seen.holes[i] = 0;
		}
		memcpy(cell->seen.bytes + off, buf, len);
		if (cell->seen.len < off + len)
			cell->seen.len = off + len;
		cell->dirty = true;
	}
	return change_end(power, error);
}

static int power_read(struct tier *tier, struct tier_segment seg, void *buf, size_t len,
		      uint64_t off, enum tier_hint hint)
{
	struct power *power = power_of(tier);
	struct cell *cell;
	int error = change_begin(power, seg, &cell);

	(void)hint;
	if (!error && off + len > cell->seen.len)
		error = -ENODATA;
	if (!error)
		memcpy(buf, cell->seen.bytes + off, len);
	pthread_mutex_unlock(&power->lock);
	return error;
}

static int power_sync(struct tier *tier, struct tier_segment seg)
{
	struct power *power = power_of(tier);
	struct cell *cell;
	int error = change_begin(power, seg, &cell);

	if (cell && error && error != -ENOENT && !power->off)
		cell->failed = error;
	if (!error && cell->failed)
		error = cell->failed;
	/* When the power goes during a sync, nothing is certain: the outcome decides. */
	if (!error && !power->lie && power->steps + 1 != power->cut_at) {
		content_copy(&cell->medium, &cell->seen);
		cell->dirty = false;
	}
	return change_end(power, error);
}

static int power_punch(struct tier *tier, struct tier_segment seg, uint64_t len, uint64_t off)
{
	struct power *power = power_of(tier);
	uint64_t i, last = (off + len) / BLOCK;
	struct cell *cell;
	int error = change_begin(power, seg, &cell);

	for (i = blocks_of(off); !error && i < last && i * BLOCK < cell->seen.len; i++) {
		memset(cell->seen.bytes + i * BLOCK, 0, BLOCK);
		cell->seen.holes[i] = 1;
		cell->dirty = true;
	}
	return change_end(power, error);
}

static int power_list(struct tier *tier, uint32_t place,
		      int (*each)(void *arg, struct tier_segment seg, uint64_t len, uint64_t disk),
		      void *arg)
{
	struct power *power = power_of(tier);
	int error = call_begin(power);
	uint64_t from = 0;

	/* each() may call the tier, so the lock is not held over it. */
	while (!error) {
		struct cell *cell = power->cells;
		uint64_t len, disk;
		struct tier_segment seg;

		while (cell &&
		       (cell->seg.place != place || !cell->seen.exists || cell->seg.id < from))
			cell = cell->next;
		if (!cell)
			break;
		seg = cell->seg;
		len = cell->seen.len;
		disk = content_disk(&cell->seen);
		from = seg.id + 1;
		pthread_mutex_unlock(&power->lock);
		error = each(arg, seg, len, disk);
		pthread_mutex_lock(&power->lock);
	}
	pthread_mutex_unlock(&power->lock);
	return error;
}

static int power_space(struct tier *tier, uint32_t place, struct tier_space *out)
{
	struct power *power = power_of(tier);
	int error = call_begin(power);

	out->used = place_used(power, place);
	out->total = power->capacity;
	out->free = power->capacity > out->used ? power->capacity - out->used : 0;
	out->device = place;
	out->medium_total = out->total;
	out->medium_free = out->free;
	out->quota = out->kept = 0;
	pthread_mutex_unlock(&power->lock);
	return error;
}

static int power_place_add(struct tier *tier, const char *path, uint32_t place)
{
	(void)path;
	tier_place_announce(tier, place);
	return 0;
}

static int power_place_return(struct tier *tier, const char *path, uint32_t *place)
{
	(void)tier;
	(void)path;
	(void)place;
	return -ENODEV;
}

static int power_place_remove(struct tier *tier, uint32_t place)
{
	(void)tier;
	(void)place;
	return 0;
}

static const char *power_place_path(struct tier *tier, uint32_t place)
{
	(void)tier;
	(void)place;
	return "/power";
}

static void power_ahead(struct tier *tier, struct tier_segment seg, size_t len, uint64_t off)
{
	(void)tier;
	(void)seg;
	(void)len;
	(void)off;
}

static const struct tier_ops power_ops = {
	.close = power_close,
	.segment_create = power_create,
	.segment_remove = power_remove,
	.segment_truncate = power_truncate,
	.write = power_write,
	.read = power_read,
	.ahead = power_ahead,
	.sync = power_sync,
	.punch = power_punch,
	.list = power_list,
	.space = power_space,
	.place_add = power_place_add,
	.place_return = power_place_return,
	.place_remove = power_place_remove,
	.place_path = power_place_path,
};

/* The double itself ---------------------------------------------------------------------------- */

struct power *power_new(const char *name, uint32_t nplaces, uint64_t capacity)
{
	struct power *power = must(calloc(1, sizeof(*power)));

	snprintf(power->name, sizeof(power->name), "%s", name);
	power->base.ops = &power_ops;
	power->base.name = power->name;
	for (uint32_t i = 0; i < nplaces; i++)
		tier_place_announce(&power->base, i);
	power->base.caps = TIER_CAP_PUNCH;
	power->capacity = capacity;
	pthread_mutex_init(&power->lock, NULL);
	return power;
}

struct power *power_clone(const struct power *power)
{
	struct power *copy = power_new(power->name, power->base.nplaces, power->capacity);
	const struct cell *cell;

	for (cell = power->cells; cell; cell = cell->next) {
		struct cell *twin = cell_insert(copy, cell->seg);

		content_copy(&twin->seen, &cell->seen);
		content_copy(&twin->medium, &cell->medium);
		twin->dirty = cell->dirty;
		twin->failed = cell->failed;
	}
	copy->rewrites = power->rewrites;
	copy->lie = power->lie;
	return copy;
}

void power_free(struct power *power)
{
	if (!power)
		return;
	while (power->cells)
		cell_drop(power, power->cells);
	pthread_mutex_destroy(&power->lock);
	free(power);
}

struct tier *power_tier(struct power *power)
{
	return &power->base;
}

void power_arm(struct power *power, uint64_t nth)
{
	power->steps = 0;
	power->cut_at = nth;
}

bool power_failed(const struct power *power)
{
	return power->off;
}

uint64_t power_steps(const struct power *power)
{
	return power->steps;
}

void power_fault(struct power *power, uint64_t nth, int error, bool forever)
{
	power->calls = power->faults = 0;
	power->fault_at = nth;
	power->fault_error = error;
	power->fault_forever = forever;
}

uint64_t power_faults(const struct power *power)
{
	return power->faults;
}

unsigned power_unsynced(const struct power *power)
{
	const struct cell *cell;
	unsigned n = 0;

	for (cell = power->cells; cell; cell = cell->next)
		n += cell->dirty;
	return n;
}

uint64_t power_combinations(const struct power *power)
{
	unsigned n = power_unsynced(power);

	return (uint64_t)1 << 2 * (n < 16 ? n : 16);
}

static uint64_t random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* Of every changed sector the old bytes, the new ones, or neither. */
static void tear(struct cell *cell, uint64_t *state)
{
	struct content *old = &cell->medium, *new = &cell->seen;
	uint64_t len = old->len > new->len ? old->len : new->len, at;
	uint64_t end = random_next(state) % 2 ? new->len : old->len;

	content_reserve(old, len);
	content_reserve(new, len);
	for (at = 0; at < len; at += SECTOR) {
		if (!memcmp(old->bytes + at, new->bytes + at, SECTOR))
			continue;
		switch (random_next(state) % 3) {
		case 0:
			break;
		case 1:
			memcpy(old->bytes + at, new->bytes + at, SECTOR);
			break;
		default:
			memset(old->bytes + at, (int)(random_next(state) & 0xff), SECTOR);
		}
		old->holes[at / BLOCK] = 0;
	}
	old->len = len;
	content_resize(old, end);
	old->exists = true;
}

static void settle(struct cell *cell, enum power_outcome outcome, uint64_t *state)
{
	bool removed = !cell->seen.exists;

	if (outcome == POWER_KEPT || (removed && outcome != POWER_LOST))
		content_copy(&cell->medium, &cell->seen);
	else if (outcome == POWER_TORN)
		tear(cell, state);
	else if (outcome == POWER_NAMED) {
		content_resize(&cell->medium, cell->seen.len);
		cell->medium.exists = true;
	}
	content_copy(&cell->seen, &cell->medium);
	cell->dirty = false;
}

static void cut(struct power *power, uint64_t code, uint64_t seed, bool by_code)
{
	uint64_t state = seed * 2 + 88172645463325253u;
	struct cell *cell = power->cells;

	while (cell) {
		struct cell *next = cell->next;

		cell->failed = 0;
		if (cell->dirty) {
			uint64_t digit = by_code ? code : random_next(&state) >> 20;

			settle(cell, (enum power_outcome)(digit % POWER_OUTCOMES), &state);
			code /= POWER_OUTCOMES;
		}
		if (!cell->seen.exists)
			cell_drop(power, cell);
		cell = next;
	}
	power->off = false;
	power->cut_at = 0;
	power->fault_at = 0;
}

void power_cut(struct power *power, uint64_t code, uint64_t seed)
{
	cut(power, code, seed, true);
}

void power_cut_random(struct power *power, uint64_t seed)
{
	cut(power, 0, seed, false);
}

uint64_t power_rewrites(const struct power *power)
{
	return power->rewrites;
}

void power_lie(struct power *power, bool lie)
{
	power->lie = lie;
}
