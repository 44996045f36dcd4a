// SPDX-License-Identifier: Apache-2.0
/*
 * Invariants:
 *  1. An entry that was stored stays in memory, hidden, until its deletion has been committed.
 *  2. A frame without a record has no entry that anybody sees: txn.c tells of every one that goes.
 */
#include "tiers/damage.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compress/bytes.h"
#include "tiers/clock.h"
#include "tiers/engine/engine_impl.h"
#include "tiers/framestore.h"
#include "tiers/log.h"

#define VERSION	     1u
#define RECORD_LEN   32u
#define PREFIX	     "Pdamage."
#define PREFIX_LEN   (sizeof(PREFIX) - 1)
#define SETTLE_STEP  64u
#define OBJECTS_STEP 1024u

struct entry {
	struct damage damage;
	bool gone;    /* its record is to be deleted */
	bool changed; /* since it was stored */
	bool told;
};

struct damages {
	pthread_mutex_t lock; /* a leaf; all below */
	struct idmap entries; /* by frame */
	_Atomic size_t count; /* of those that are not gone */
	size_t changed;
	bool full_told;
};

int damages_new(struct damages **out)
{
	struct damages *damages = calloc(1, sizeof(*damages));

	*out = damages;
	if (!damages)
		return -ENOMEM;
	idmap_init(&damages->entries);
	pthread_mutex_init(&damages->lock, NULL);
	return 0;
}

void damages_free(struct damages *damages)
{
	struct entry *entry;
	size_t at = 0;

	if (!damages)
		return;
	while ((entry = idmap_each(&damages->entries, &at)))
		free(entry);
	idmap_release(&damages->entries);
	pthread_mutex_destroy(&damages->lock);
	free(damages);
}

/* Records -------------------------------------------------------------------------------------- */

static size_t key_of(uint64_t frame, uint8_t *key)
{
	memcpy(key, PREFIX, PREFIX_LEN);
	put_be64(key + PREFIX_LEN, frame);
	return PREFIX_LEN + 8;
}

static void encode(const struct damage *damage, uint8_t *buf)
{
	buf[0] = VERSION;
	buf[1] = damage->tier;
	put_le16(buf + 2, damage->place);
	put_le32(buf + 4, (uint32_t)-damage->error);
	put_le32(buf + 8, damage->off);
	put_le32(buf + 12, damage->len);
	put_le64(buf + 16, damage->since_s);
	put_le64(buf + 24, damage->segment);
}

static bool decode(const struct meta_item *item, struct damage *out)
{
	const uint8_t *buf = item->value;

	if (item->key_len != PREFIX_LEN + 8 || item->len != RECORD_LEN || buf[0] != VERSION)
		return false;
	*out = (struct damage){.frame = get_be64(item->key + PREFIX_LEN),
			       .tier = buf[1],
			       .place = get_le16(buf + 2),
			       .error = -(int)(get_le32(buf + 4) & 0xffff),
			       .off = get_le32(buf + 8),
			       .len = get_le32(buf + 12),
			       .since_s = get_le64(buf + 16),
			       .segment = get_le64(buf + 24)};
	return out->frame != 0;
}

static int load_one(struct pool *pool, const struct damage *damage)
{
	struct damages *damages = pool->damages;
	struct entry *entry = calloc(1, sizeof(*entry));
	struct frame_record record;

	if (!entry || idmap_put(&damages->entries, damage->frame, entry) < 0) {
		free(entry);
		return -ENOMEM;
	}
	entry->damage = *damage;
	entry->told = true;
	entry->gone = frame_record_get(pool, damage->frame, &record) == -ENOENT;
	entry->changed = entry->gone;
	damages->count += !entry->gone;
	damages->changed += entry->changed;
	return 0;
}

int damages_load(struct pool *pool)
{
	struct meta_cursor *cursor;
	struct meta_item item;
	struct damage damage;
	int rc = meta_cursor_open(pool->meta, PREFIX, PREFIX_LEN, NULL, 0, &cursor);

	if (rc < 0)
		return rc;
	while (rc == 0 && (rc = meta_cursor_next(cursor, &item)) == 0)
		if (decode(&item, &damage) && !idmap_get(&pool->damages->entries, damage.frame))
			rc = load_one(pool, &damage);
	meta_cursor_close(cursor);
	return rc == -ENOENT ? 0 : rc;
}

/* Noting --------------------------------------------------------------------------------------- */

bool damage_is(int error)
{
	switch (-error) {
	case EBADMSG: /* checksum */
	case EUCLEAN: /* structure */
	case ENOTSUP: /* bytes that no program of this version has written */
	case EIO:
	case ENODATA: /* the file is too short */
	case ENOENT:  /* ... or not there */
	case ENODEV:  /* ... nor its directory */
	case ENXIO:
	case ESTALE:
		return true;
	default:
		return false;
	}
}

static void changed_locked(struct damages *damages, struct entry *entry)
{
	damages->changed += !entry->changed;
	entry->changed = true;
}

/* Of a hidden entry, what comes back is new. */
static struct entry *entry_new_locked(struct damages *damages, uint64_t frame)
{
	struct entry *entry = idmap_get(&damages->entries, frame);

	if (!entry) {
		if (damages->entries.count >= DAMAGE_MAX) {
			if (!damages->full_told)
				log_error("more than %u frames are damaged: the list of them is "
					  "full",
					  DAMAGE_MAX);
			damages->full_told = true;
			return NULL;
		}
		entry = calloc(1, sizeof(*entry));
		if (!entry || idmap_put(&damages->entries, frame, entry) < 0) {
			free(entry);
			return NULL;
		}
	}
	entry->gone = entry->told = false;
	damages->count++;
	return entry;
}

static void join(struct damage *damage, uint32_t off, uint32_t len)
{
	uint32_t end = damage->off + damage->len;

	if (off + len > end)
		end = off + len;
	if (off < damage->off)
		damage->off = off;
	damage->len = end - damage->off;
}

bool damage_note(struct pool *pool, uint64_t frame, const struct frame_record *record, uint32_t off,
		 uint32_t len, int error, uint64_t object)
{
	struct damages *damages = pool->damages;
	struct entry *entry;
	bool fresh = false;

	pthread_mutex_lock(&damages->lock);
	entry = idmap_get(&damages->entries, frame);
	if (!entry || entry->gone) {
		entry = entry_new_locked(damages, frame);
		fresh = entry != NULL;
		if (fresh)
			entry->damage = (struct damage){.frame = frame,
							.segment = record->segment,
							.since_s = clock_wall_s(),
							.off = off,
							.len = len,
							.error = error,
							.place = record->place,
							.tier = record->tier};
	}
	if (entry) {
		struct damage before = entry->damage;

		join(&entry->damage, off, len);
		if (!entry->damage.object)
			entry->damage.object = object;
		if (fresh || before.off != entry->damage.off || before.len != entry->damage.len)
			changed_locked(damages, entry);
	}
	pthread_mutex_unlock(&damages->lock);
	return fresh;
}

void damage_name(struct pool *pool, uint64_t frame, uint64_t object)
{
	struct damages *damages = pool->damages;
	struct entry *entry;

	if (!damages->count)
		return;
	pthread_mutex_lock(&damages->lock);
	entry = idmap_get(&damages->entries, frame);
	if (entry && !entry->gone && !entry->damage.object) {
		entry->damage.object = object;
		entry->told = false;
		changed_locked(damages, entry);
	}
	pthread_mutex_unlock(&damages->lock);
}

void damage_gone(struct pool *pool, uint64_t frame)
{
	struct damages *damages = pool->damages;
	struct entry *entry;

	if (!damages->count)
		return;
	pthread_mutex_lock(&damages->lock);
	entry = idmap_get(&damages->entries, frame);
	if (entry && !entry->gone) {
		entry->gone = true;
		damages->count--;
		changed_locked(damages, entry);
	}
	pthread_mutex_unlock(&damages->lock);
}

/* A copy of the entry that others see. */
static bool look_up(struct pool *pool, uint64_t frame, struct damage *out)
{
	struct damages *damages = pool->damages;
	struct entry *entry;
	bool found;

	if (!damages->count)
		return false;
	pthread_mutex_lock(&damages->lock);
	entry = idmap_get(&damages->entries, frame);
	found = entry && !entry->gone;
	if (found)
		*out = entry->damage;
	pthread_mutex_unlock(&damages->lock);
	return found;
}

bool damage_has(struct pool *pool, uint64_t frame)
{
	struct damage damage;

	return look_up(pool, frame, &damage);
}

size_t damage_count(struct pool *pool)
{
	return pool->damages->count;
}

/* Settling ------------------------------------------------------------------------------------- */

/* Some of what has changed; what is copied is no longer marked. */
static size_t take_changed(struct damages *damages, struct entry out[SETTLE_STEP])
{
	struct entry *entry;
	size_t n = 0, at = 0;

	pthread_mutex_lock(&damages->lock);
	while (damages->changed && n < SETTLE_STEP &&
	       (entry = idmap_each(&damages->entries, &at))) {
		if (!entry->changed)
			continue;
		entry->changed = false;
		damages->changed--;
		out[n++] = *entry;
		entry->told = true;
	}
	pthread_mutex_unlock(&damages->lock);
	return n;
}

static int store(struct pool *pool, const struct entry *entries, size_t n)
{
	uint8_t key[PREFIX_LEN + 8], value[RECORD_LEN];
	struct txn *txn = txn_begin(pool);

	for (size_t i = 0; i < n; i++) {
		size_t len = key_of(entries[i].damage.frame, key);

		encode(&entries[i].damage, value);
		if (entries[i].gone)
			txn_del(txn, key, len);
		else
			txn_put(txn, key, len, value, sizeof(value));
	}
	return txn_commit(txn);
}

/* Stored: those that are gone are forgotten. Not stored: they have changed still. */
static void stored(struct damages *damages, const struct entry *entries, size_t n, int rc)
{
	pthread_mutex_lock(&damages->lock);
	for (size_t i = 0; i < n; i++) {
		struct entry *entry = idmap_get(&damages->entries, entries[i].damage.frame);

		if (!entry)
			continue;
		if (rc < 0)
			changed_locked(damages, entry);
		else if (entries[i].gone && entry->gone && !entry->changed)
			free(idmap_del(&damages->entries, entry->damage.frame));
	}
	pthread_mutex_unlock(&damages->lock);
}

static void tell(struct pool *pool, const struct damage *damage)
{
	struct event event = {.kind = EVENT_DAMAGE,
			      .object = damage->object,
			      .from = damage->tier,
			      .to = -1,
			      .error = damage->error};

	snprintf(event.text, sizeof(event.text), "frame %llu, segment %llu",
		 (unsigned long long)damage->frame, (unsigned long long)damage->segment);
	events_add(pool->events, &event);
}

void damage_settle(struct pool *pool)
{
	struct entry entries[SETTLE_STEP];
	size_t n;
	int rc = 0;

	while (rc == 0 && (n = take_changed(pool->damages, entries))) {
		rc = store(pool, entries, n);
		stored(pool->damages, entries, n, rc);
		for (size_t i = 0; i < n; i++)
			if (!entries[i].told && !entries[i].gone)
				tell(pool, &entries[i].damage);
	}
}

/* Whose bytes they are ------------------------------------------------------------------------- */

struct seek {
	struct pool *pool;
	struct idmap seen; /* frames with a user */
	int (*each)(void *arg, const struct damaged *damaged);
	void *arg;
	uint64_t object;
};

/* The part of the extent that lies in the damage. */
static int seek_extent(struct seek *seek, const struct extent *extent)
{
	struct damaged damaged = {.object = seek->object};
	uint64_t from = extent->frame_off, end = from + extent->len, bad_end;
	int rc;

	if (!look_up(seek->pool, extent->frame, &damaged.damage))
		return 0;
	bad_end = (uint64_t)damaged.damage.off + damaged.damage.len;
	if (from < damaged.damage.off)
		from = damaged.damage.off;
	if (end > bad_end)
		end = bad_end;
	if (from >= end)
		return 0;
	rc = idmap_put(&seek->seen, extent->frame, seek);
	if (rc < 0)
		return rc;
	damaged.off = extent->off + (from - extent->frame_off);
	damaged.len = end - from;
	return seek->each(seek->arg, &damaged);
}

static int seek_object(void *arg, struct object *object)
{
	struct seek *seek = arg;
	struct extent_list list = {0};
	uint64_t from = 0;
	int rc = 0;

	seek->object = object->id;
	while (rc == 0 && from != UINT64_MAX) {
		rc = object_extents_next(object, &from, &list);
		for (size_t i = 0; rc == 0 && i < list.count; i++)
			rc = seek_extent(seek, &list.items[i]);
	}
	extent_list_release(&list);
	return rc;
}

/* Frames of which only dead bytes are damaged. */
static int seek_unused(struct seek *seek)
{
	struct damages *damages = seek->pool->damages;
	int rc = 0;

	for (size_t at = 0; rc == 0;) {
		struct damaged damaged = {0};
		struct entry *entry;

		pthread_mutex_lock(&damages->lock);
		do
			entry = idmap_each(&damages->entries, &at);
		while (entry && (entry->gone || idmap_get(&seek->seen, entry->damage.frame)));
		if (entry)
			damaged.damage = entry->damage;
		pthread_mutex_unlock(&damages->lock);
		if (!entry)
			break;
		rc = seek->each(seek->arg, &damaged);
	}
	return rc;
}

int pool_damaged(struct pool *pool, int (*each)(void *arg, const struct damaged *damaged),
		 void *arg)
{
	struct seek seek = {.pool = pool, .each = each, .arg = arg};
	uint64_t *ids, from = 0;
	size_t n;
	int rc = 0;

	if (!damage_count(pool))
		return 0;
	ids = malloc(OBJECTS_STEP * sizeof(*ids));
	if (!ids)
		return -ENOMEM;
	idmap_init(&seek.seen);
	do {
		rc = objects_next(pool, &from, ids, OBJECTS_STEP, &n);
		if (rc == 0)
			rc = objects_look(pool, ids, n, seek_object, &seek);
	} while (rc == 0 && from);
	if (rc == 0)
		rc = seek_unused(&seek);
	idmap_release(&seek.seen);
	free(ids);
	return rc;
}
