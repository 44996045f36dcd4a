// SPDX-License-Identifier: Apache-2.0
/*
 * Objects and their extents: one walk over the objects' records, with the extents that have keys of
 * their own beside it. Each extent is handed on to its frame (frames.c), in another order.
 *
 * The extents of an object that has been deleted and is too large to go at once have no object any
 * more; the order to delete it says so.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tiers/check/check_impl.h"

#define CACHE_FRAMES 4096u /* a power of two */

struct cached {
	uint64_t frame;
	int rc;
	struct frame_record record;
};

struct objects {
	struct check *check;
	struct check_walk objects, extents;
	struct cached *frames; /* objects that were made together share them */
};

struct sums { /* of one object */
	uint64_t id, size;
	uint64_t end; /* of the extent before */
	uint64_t stored;
	uint64_t extents;
};

int check_user_add(struct check *check, uint64_t object, const struct extent *extent)
{
	uint8_t user[USER_LEN];

	put_be64(user, extent->frame);
	put_be64(user + 8, object);
	put_be64(user + 16, extent->off);
	put_be32(user + 24, extent->len);
	put_be32(user + 28, extent->frame_off);
	return sorter_add(check->users, user);
}

static int frame_get(struct objects *objects, uint64_t frame, struct frame_record *out)
{
	struct cached *cached = &objects->frames[frame & (CACHE_FRAMES - 1)];
	uint8_t key[KEY_LEN_1], value[RECORD_FRAME_LEN];
	size_t len;

	if (cached->frame != frame || !frame) {
		cached->frame = frame;
		cached->rc = meta_get(objects->check->meta, key, key_1(key, KEY_FRAME, frame),
				      value, sizeof(value), &len);
		if (!cached->rc)
			cached->rc = frame_record_decode(value, len, &cached->record);
	}
	*out = cached->record;
	return cached->rc;
}

/* An extent by itself and behind the one before it. */
static int extent_check(struct objects *objects, struct sums *sums, const struct extent *extent)
{
	unsigned long long off = extent->off, last = extent->off + extent->len - 1;
	struct check *check = objects->check;
	struct frame_record frame;
	int rc = frame_get(objects, extent->frame, &frame);

	if (extent->off < sums->end)
		check_report(check, CHECK_OVERLAP, false, sums->id,
			     "bytes %llu-%llu are in two extents", off,
			     (unsigned long long)(sums->end < last ? sums->end - 1 : last));
	if (extent->off + extent->len > sums->end)
		sums->end = extent->off + extent->len;
	sums->extents++;
	if (rc == -ENOENT || rc == -EUCLEAN || rc == -ENOTSUP || rc == -ERANGE) {
		check_report(check, CHECK_LOST, false, sums->id,
			     "bytes %llu-%llu are lost: their frame %llu is not there", off, last,
			     (unsigned long long)extent->frame);
		return 0;
	}
	if (rc < 0)
		return rc;
	if ((uint64_t)extent->frame_off + extent->len > frame.raw_len)
		check_report(check, CHECK_OUTSIDE_FRAME, false, sums->id,
			     "bytes %llu-%llu are lost: they lie beyond the end of frame %llu", off,
			     last, (unsigned long long)extent->frame);
	sums->stored += extent_share(extent->len, &frame);
	return check_user_add(check, sums->id, extent);
}

/* All extents under keys of this object. */
static int extents_walk(struct objects *objects, struct sums *sums)
{
	int rc = 0;

	while (rc == 0 && check_walk_id(&objects->extents) == sums->id) {
		const struct meta_item *item = &objects->extents.item;
		struct extent extent;

		if (extent_decode(get_be64(item->key + KEY_LEN_1), item->value, item->len,
				  &extent) == 0)
			rc = extent_check(objects, sums, &extent);
		if (rc == 0)
			rc = check_walk_next(&objects->extents);
	}
	return rc;
}

static int record_put(struct check *check, uint64_t id, const struct object_record *record)
{
	uint8_t key[KEY_LEN_1], value[RECORD_OBJECT_MAX];

	check_put(check, key, key_1(key, KEY_OBJECT, id), value,
		  object_record_encode(record, value));
	return check_mend(check);
}

static int object_check(struct objects *objects, uint64_t id, struct object_record *record)
{
	struct check *check = objects->check;
	struct sums sums = {.id = id};
	bool keys, mend = false;
	int rc = 0;

	for (unsigned i = 0; i < record->nextents && rc == 0; i++)
		rc = extent_check(objects, &sums, &record->extents[i]);
	keys = check_walk_id(&objects->extents) == id;
	if (rc == 0)
		rc = extents_walk(objects, &sums);
	if (rc == 0 && record->plain.set)
		rc = check_plain_object(check, id, record);
	if (rc < 0)
		return rc;
	if (keys && !record->has_keys) {
		mend = check_report(check, CHECK_MAP_KIND, !record->nextents, id,
				    "has extents that its record does not speak of");
		record->has_keys = true;
	}
	/* Of a plain object the size is that of its file, and extents are left from a turn. */
	if (sums.end > record->size && !record->plain.set) {
		mend = check_report(check, CHECK_BEYOND_SIZE, true, id,
				    "has data up to byte %llu and a size of %llu",
				    (unsigned long long)sums.end,
				    (unsigned long long)record->size) ||
		       mend;
		record->size = sums.end;
	}
	if (sums.stored != record->stored) {
		mend = check_report(check, CHECK_STORED, true, id,
				    "takes %llu bytes stored, its record says %llu",
				    (unsigned long long)sums.stored,
				    (unsigned long long)record->stored) ||
		       mend;
		record->stored = sums.stored;
	}
	return mend ? record_put(check, id, record) : 0;
}

static bool to_be_deleted(struct check *check, uint64_t id)
{
	uint8_t key[KEY_LEN_1], value[1];
	size_t len;

	return meta_get(check->meta, key, key_1(key, KEY_ORPHAN, id), value, sizeof(value), &len) ==
	       0;
}

/* Extents without their object. What they were a file of gets a record again; its attributes and
 * its name are the layer above's to make up. */
static int extents_alone(struct objects *objects, uint64_t id)
{
	struct check *check = objects->check;
	bool deleted = to_be_deleted(check, id);
	struct object_record record = {.has_keys = true};
	struct sums sums = {.id = id};
	int rc = 0;

	if (deleted) {
		while (rc == 0 && check_walk_id(&objects->extents) == id) {
			const struct meta_item *item = &objects->extents.item;
			struct extent extent;

			if (extent_decode(get_be64(item->key + KEY_LEN_1), item->value, item->len,
					  &extent) == 0)
				rc = check_user_add(check, id, &extent);
			if (rc == 0)
				rc = check_walk_next(&objects->extents);
		}
		return rc;
	}
	rc = extents_walk(objects, &sums);
	if (rc < 0 || !check_report(check, CHECK_EXTENTS_ALONE, true, id,
				    "%llu extents (up to byte %llu) belong to no file",
				    (unsigned long long)sums.extents, (unsigned long long)sums.end))
		return rc;
	record.size = sums.end;
	record.stored = sums.stored;
	check->nobjects++;
	return record_put(check, id, &record);
}

static int step(struct objects *objects)
{
	uint64_t id = check_walk_id(&objects->objects);
	struct object_record record;
	int rc;

	if (check_walk_id(&objects->extents) < id)
		return extents_alone(objects, check_walk_id(&objects->extents));
	if (object_record_decode(objects->objects.item.value, objects->objects.item.len, &record) ==
	    0) {
		rc = object_check(objects, id, &record);
	} else { /* told of by records.c; what it may have had is not looked at */
		for (rc = 0; rc == 0 && check_walk_id(&objects->extents) == id;)
			rc = check_walk_next(&objects->extents);
	}
	return rc < 0 ? rc : check_walk_next(&objects->objects);
}

/* Synchronous writes -----------------------------------------------------------------------------
 */

struct synced_walk {
	uint64_t object, next; /* the number that is due */
	bool there;	       /* the object is */
	bool moving;	       /* a gap was found: all later ones move down */
};

static int synced_begin(struct check *check, struct synced_walk *at, uint64_t id, uint64_t number)
{
	uint8_t key[KEY_LEN_1], value[RECORD_OBJECT_MAX];
	size_t len;
	int rc = meta_get(check->meta, key, key_1(key, KEY_OBJECT, id), value, sizeof(value), &len);

	*at = (struct synced_walk){.object = id, .next = number, .there = rc == 0};
	return rc == -ENOENT ? 0 : rc;
}

static int synced_step(struct check *check, struct synced_walk *at, const struct meta_item *item)
{
	uint64_t id = get_be64(item->key + 1), number = get_be64(item->key + KEY_LEN_1);
	struct synced_record record;
	uint8_t key[KEY_LEN_2];
	int rc = at->object == id ? 0 : synced_begin(check, at, id, number);

	if (rc < 0)
		return rc;
	if (!at->there || synced_record_decode(item->value, item->len, &record) < 0) {
		if (!check_report(check, at->there ? CHECK_SYNCED : CHECK_SYNCED_ALONE, true,
				  at->there ? id : 0,
				  at->there ? "synchronous write %llu cannot be read (object %llu)"
					    : "synchronous write %llu of object %llu, which does "
					      "not exist",
				  (unsigned long long)number, (unsigned long long)id))
			return 0;
		check_del(check, item->key, item->key_len);
		return check_mend(check);
	}
	if (number != at->next && !at->moving)
		at->moving = check_report(check, CHECK_SYNCED_GAP, true, id,
					  "synchronous write %llu is missing",
					  (unsigned long long)at->next);
	if (at->moving) {
		check_put(check, key, key_2(key, KEY_SYNCED, id, at->next), item->value, item->len);
		check_del(check, item->key, item->key_len);
		rc = check_mend(check);
	}
	at->next = at->moving ? at->next + 1 : number + 1;
	return rc;
}

static int check_synced(struct check *check)
{
	struct synced_walk at = {0};
	struct check_walk walk;
	int rc = check_walk_open(check, KEY_SYNCED, &walk);

	while (rc == 0 && walk.item.key) {
		rc = synced_step(check, &at, &walk.item);
		if (rc == 0)
			rc = check_walk_next(&walk);
	}
	check_walk_close(&walk);
	return rc;
}

int check_objects(struct check *check)
{
	struct objects objects = {.check = check};
	int rc;

	objects.frames = calloc(CACHE_FRAMES, sizeof(*objects.frames));
	if (!objects.frames)
		return -ENOMEM;
	rc = check_walk_open(check, KEY_OBJECT, &objects.objects);
	if (rc == 0)
		rc = check_walk_open(check, KEY_EXTENT, &objects.extents);
	while (rc == 0 && (objects.objects.item.key || objects.extents.item.key))
		rc = step(&objects);
	check_walk_close(&objects.objects);
	check_walk_close(&objects.extents);
	free(objects.frames);
	check->result->objects = check->nobjects;
	return rc < 0 ? rc : check_synced(check);
}
