// SPDX-License-Identifier: Apache-2.0
/*
 * A change reads the extents of the range, works out the new list, and stages deletes and puts of
 * exactly the records that differ. Frames' live counts follow each extent as it goes and comes, so
 * the sums hold by construction.
 */
#include "tiers/extmap.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tiers/pool_impl.h"

#define COVER_GAP (1u << 20) /* bytes between changes that are cheaper read than sought over */

int extent_list_add(struct extent_list *list, const struct extent *extent)
{
	if (list->count == list->cap) {
		size_t cap = list->cap ? list->cap * 2 : 16;
		struct extent *items = realloc(list->items, cap * sizeof(*items));

		if (!items)
			return -ENOMEM;
		list->items = items;
		list->cap = cap;
	}
	list->items[list->count++] = *extent;
	return 0;
}

void extent_list_release(struct extent_list *list)
{
	free(list->items);
	*list = (struct extent_list){0};
}

static int list_keys(struct object *object, uint64_t off, uint64_t end, size_t max,
		     struct extent_list *out)
{
	uint8_t prefix[KEY_LEN_1], start[KEY_LEN_2];
	struct meta_cursor *cursor;
	struct meta_item item;
	int rc;

	key_1(prefix, KEY_EXTENT, object->id);
	key_2(start, KEY_EXTENT, object->id, off + 1);
	rc = meta_cursor_open(object->pool->meta, prefix, sizeof(prefix), start, sizeof(start),
			      &cursor);
	if (rc < 0)
		return rc;
	while (out->count < max && (rc = meta_cursor_next(cursor, &item)) == 0) {
		struct extent extent;

		if (item.key_len != KEY_LEN_2)
			rc = -EUCLEAN;
		else
			rc = extent_decode(get_be64(item.key + KEY_LEN_1), item.value, item.len,
					   &extent);
		if (rc < 0 || extent.off >= end)
			break;
		rc = extent_list_add(out, &extent);
		if (rc < 0)
			break;
	}
	meta_cursor_close(cursor);
	return rc == -ENOENT ? 0 : rc;
}

static int list_inline(const struct object_record *record, uint64_t off, uint64_t end, size_t max,
		       struct extent_list *out)
{
	for (unsigned i = 0; i < record->nextents && out->count < max; i++) {
		const struct extent *extent = &record->extents[i];
		int rc;

		if (extent->off + extent->len <= off || extent->off >= end)
			continue;
		rc = extent_list_add(out, extent);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int extmap_list(struct object *object, uint64_t off, uint64_t end, size_t max,
		struct extent_list *out)
{
	if (object->record.has_keys)
		return list_keys(object, off, end, max, out);
	return list_inline(&object->record, off, end, max, out);
}

/* The extent's frame gains or loses it. A frame that is missing (damaged metadata) must not keep a
 * file from being deleted. */
static void account(struct txn *txn, struct object_record *record, const struct extent *extent,
		    bool gains)
{
	struct frame_record *frame = txn_frame(txn, extent->frame);
	uint64_t share;

	if (!frame) {
		if (gains)
			txn_fail(txn, -EUCLEAN);
		return;
	}
	share = extent_share(extent->len, frame);
	if (gains) {
		frame->live += extent->len;
		record->stored += share;
	} else {
		frame->live -= extent->len < frame->live ? extent->len : frame->live;
		record->stored -= share < record->stored ? share : record->stored;
	}
}

/* Merges what lies next to each other in the object and in the same frame: whole-file rewrites
 * leave few extents. */
static size_t merge(struct extent *items, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		struct extent *last = kept ? &items[kept - 1] : NULL;

		if (last && last->frame == items[i].frame &&
		    last->off + last->len == items[i].off &&
		    last->frame_off + last->len == items[i].frame_off)
			last->len += items[i].len;
		else
			items[kept++] = items[i];
	}
	return kept;
}

/* What a change covers: one hole (with the new extents inside it), or each new extent alone. */
struct cover {
	const struct extent *add;
	size_t n;
	bool hole;
	uint64_t off, end; /* of the hole */
};

static bool cover_at(const struct cover *cover, size_t i, uint64_t *off, uint64_t *end)
{
	if (i >= (cover->hole ? 1 : cover->n))
		return false;
	*off = cover->hole ? cover->off : cover->add[i].off;
	*end = cover->hole ? cover->end : cover->add[i].off + cover->add[i].len;
	return true;
}

/* Adds the parts of one old extent that stay. *at: the first cover that can still matter (covers
 * and extents come in order). */
static int keep_outside(struct extent rest, const struct cover *cover, size_t *at,
			struct extent_list *out)
{
	uint64_t rest_end = rest.off + rest.len, off, end;

	while (cover_at(cover, *at, &off, &end) && end <= rest.off)
		(*at)++;
	for (size_t i = *at; cover_at(cover, i, &off, &end) && off < rest_end; i++) {
		if (off > rest.off) {
			struct extent before = rest;
			int rc;

			before.len = (uint32_t)(off - rest.off);
			rc = extent_list_add(out, &before);
			if (rc < 0)
				return rc;
		}
		if (end >= rest_end)
			return 0;
		rest.frame_off += (uint32_t)(end - rest.off);
		rest.off = end;
		rest.len = (uint32_t)(rest_end - end);
	}
	return extent_list_add(out, &rest);
}

/* The old extents less what is covered, and the new ones; not yet in order. */
static int lay_over(const struct extent_list *old, const struct cover *cover,
		    struct extent_list *out)
{
	size_t at = 0;
	int rc = 0;

	for (size_t i = 0; i < old->count && rc == 0; i++)
		rc = keep_outside(old->items[i], cover, &at, out);
	for (size_t i = 0; i < cover->n && rc == 0; i++)
		rc = extent_list_add(out, &cover->add[i]);
	return rc;
}

static int by_offset(const void *a, const void *b)
{
	const struct extent *x = a, *y = b;

	return x->off < y->off ? -1 : x->off > y->off;
}

static bool extent_equal(const struct extent *a, const struct extent *b)
{
	return a->off == b->off && a->len == b->len && a->frame == b->frame &&
	       a->frame_off == b->frame_off;
}

/* Takes what is in both lists (in order, without overlaps) out of both: those records stay. A
 * transaction's batch has a limit, and a file may have a million extents. */
static void drop_common(struct extent_list *a, struct extent_list *b)
{
	size_t i = 0, k = 0, a_kept = 0, b_kept = 0;

	while (i < a->count && k < b->count) {
		if (extent_equal(&a->items[i], &b->items[k])) {
			i++;
			k++;
		} else if (a->items[i].off <= b->items[k].off) {
			a->items[a_kept++] = a->items[i++];
		} else {
			b->items[b_kept++] = b->items[k++];
		}
	}
	while (i < a->count)
		a->items[a_kept++] = a->items[i++];
	while (k < b->count)
		b->items[b_kept++] = b->items[k++];
	a->count = a_kept;
	b->count = b_kept;
}

static void extent_key(uint8_t *key, const struct object *object, const struct extent *extent)
{
	key_2(key, KEY_EXTENT, object->id, extent->off + extent->len);
}

/* Stages the map's records: `old` were there, `now` are to be; what is in neither stays. */
static void stage(struct txn *txn, struct object *object, struct object_record *record,
		  const struct extent_list *old, const struct extent_list *now, size_t rest)
{
	uint8_t key[KEY_LEN_2], value[RECORD_EXTENT_LEN];
	bool to_keys = record->has_keys ? rest + now->count > 0 : now->count > RECORD_INLINE_MAX;

	if (!to_keys && record->has_keys) {
		/* Nothing is left: small again. */
		for (size_t i = 0; i < old->count; i++) {
			extent_key(key, object, &old->items[i]);
			txn_del(txn, key, sizeof(key));
		}
		record->has_keys = false;
		record->nextents = 0;
		return;
	}
	if (!to_keys) {
		record->nextents = (uint8_t)now->count;
		if (now->count)
			memcpy(record->extents, now->items, now->count * sizeof(*now->items));
		return;
	}
	if (record->has_keys)
		for (size_t i = 0; i < old->count; i++) {
			extent_key(key, object, &old->items[i]);
			txn_del(txn, key, sizeof(key));
		}
	for (size_t i = 0; i < now->count; i++) {
		extent_key(key, object, &now->items[i]);
		extent_encode(&now->items[i], value);
		txn_put(txn, key, sizeof(key), value, sizeof(value));
	}
	record->has_keys = true;
	record->nextents = 0;
}

/* Does the object have extents outside of the listed range? Only asked of objects with keys. */
static int others(struct object *object, const struct extent_list *listed, size_t *out)
{
	struct extent_list all = {0};
	int rc;

	*out = 0;
	if (!object->record.has_keys)
		return 0;
	rc = extmap_list(object, 0, UINT64_MAX, listed->count + 1, &all);
	if (rc == 0)
		*out = all.count - listed->count;
	extent_list_release(&all);
	return rc;
}

void extmap_note_shared(struct txn *txn, struct object *object, const struct extent *extent)
{
	struct frame_record *frame = txn_frame(txn, extent->frame);
	size_t key_len, len;
	uint8_t key[KEY_LEN_3], value[8];

	if (!frame)
		return;
	frame->shared = true;
	key_len = key_3(key, KEY_SHARED, extent->frame, object->id, extent->off);
	/* Of an earlier, longer one there the end may still be in use. */
	if (meta_get(txn->pool->meta, key, key_len, value, sizeof(value), &len) == 0 &&
	    len == sizeof(value) && get_le64(value) >= extent->len)
		return;
	put_le64(value, extent->len);
	txn_put(txn, key, key_len, value, sizeof(value));
}

/* The old extents under the covers. Covers near each other are one look; what lies between far ones
 * is not read. Some of what is listed may not be covered. */
static int list_under(struct object *object, const struct cover *cover, struct extent_list *out)
{
	uint64_t off, end, next, next_end;
	size_t i = 0;
	int rc = 0;

	while (rc == 0 && cover_at(cover, i, &off, &end)) {
		while (cover_at(cover, ++i, &next, &next_end) && next - end < COVER_GAP)
			end = next_end;
		/* One that reaches into this look has been listed by the one before. */
		if (out->count) {
			const struct extent *last = &out->items[out->count - 1];

			if (last->off + last->len > off)
				off = last->off + last->len;
		}
		if (off < end)
			rc = list_keys(object, off, end, SIZE_MAX, out);
	}
	return rc;
}

static int change(struct txn *txn, struct object *object, const struct cover *cover, bool shared)
{
	struct object_record *record = txn_object(txn, object, false, true);
	struct extent_list old = {0}, now = {0};
	size_t rest = 1;
	int rc;

	if (!record)
		return txn->error;
	if (record->has_keys)
		rc = list_under(object, cover, &old);
	else /* all of them: they are staged together */
		rc = list_inline(record, 0, UINT64_MAX, SIZE_MAX, &old);
	if (rc == 0)
		rc = lay_over(&old, cover, &now);
	if (rc == 0 && record->has_keys && now.count == 0)
		rc = others(object, &old, &rest);
	if (rc < 0)
		goto out;
	if (now.count) /* qsort() wants an array even for nothing */
		qsort(now.items, now.count, sizeof(*now.items), by_offset);
	now.count = merge(now.items, now.count);
	if (record->has_keys)
		drop_common(&old, &now);
	/* New before old, so that a frame that only changes hands never drops to nothing in
	 * between. */
	for (size_t i = 0; i < now.count; i++)
		account(txn, record, &now.items[i], true);
	for (size_t i = 0; i < old.count; i++)
		account(txn, record, &old.items[i], false);
	stage(txn, object, record, &old, &now, rest);
	for (size_t i = 0; shared && i < cover->n; i++)
		extmap_note_shared(txn, object, &cover->add[i]);
	rc = txn->error;
out:
	if (rc < 0)
		txn_fail(txn, rc);
	extent_list_release(&old);
	extent_list_release(&now);
	return rc;
}

int extmap_replace(struct txn *txn, struct object *object, uint64_t off, uint64_t end,
		   const struct extent *add, size_t n, bool shared)
{
	struct cover cover = {.add = add, .n = n, .hole = true, .off = off, .end = end};

	return change(txn, object, &cover, shared);
}

int extmap_overlay(struct txn *txn, struct object *object, const struct extent *add, size_t n)
{
	struct cover cover = {.add = add, .n = n};

	if (n == 0)
		return 0;
	return change(txn, object, &cover, false);
}
