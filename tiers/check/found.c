// SPDX-License-Identifier: Apache-2.0
/*
 * Data of objects whose record is lost. Each frame names the objects whose bytes it holds, so what
 * is left of a lost file is found by asking all frames; that is done only when something is lost.
 *
 * A frame's table also names what has been overwritten since. Of two frames that have the same
 * range the one with the higher number was made later; that is mostly, not always, the newer data.
 * So what is put together here is not taken for the file that was: it gets no name of its own, and
 * the report says so.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "compress/frame.h"
#include "tiers/check/check_impl.h"
#include "tiers/extmap.h"

#define PIECE_LEN 32u /* object, ~frame, off, 8 each, big-endian; len(4) frame_off(4) */

struct found {
	struct check *check;
	struct sorter *pieces;
};

static int add(uint64_t **ids, size_t *n, size_t *cap, uint64_t id)
{
	if (*n == *cap) {
		size_t bigger = *cap ? *cap * 2 : 16;
		void *p = realloc(*ids, bigger * sizeof(**ids));

		if (!p)
			return -ENOMEM;
		*ids = p;
		*cap = bigger;
	}
	(*ids)[(*n)++] = id;
	return 0;
}

int check_lost_add(struct check *check, uint64_t object)
{
	/* A frame's table names one object many times in a row. */
	if (check->nlost && check->lost[check->nlost - 1] == object)
		return 0;
	return add(&check->lost, &check->nlost, &check->lost_cap, object);
}

bool check_is_recovered(const struct check *check, uint64_t object)
{
	for (size_t i = 0; i < check->nrecovered; i++)
		if (check->recovered[i] == object)
			return true;
	return false;
}

bool check_object_there(struct check *check, uint64_t object)
{
	uint8_t key[KEY_LEN_1], value[RECORD_OBJECT_MAX];
	size_t len;

	return meta_get(check->meta, key, key_1(key, KEY_OBJECT, object), value, sizeof(value),
			&len) != -ENOENT;
}

static int by_id(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* Those that still have no record, once each. */
static void lost_sort(struct check *check)
{
	size_t kept = 0;

	qsort(check->lost, check->nlost, sizeof(*check->lost), by_id);
	for (size_t i = 0; i < check->nlost; i++)
		if ((!kept || check->lost[kept - 1] != check->lost[i]) &&
		    !check_object_there(check, check->lost[i]))
			check->lost[kept++] = check->lost[i];
	check->nlost = kept;
}

/* Pieces -----------------------------------------------------------------------------------------
 */

static int pieces_of(struct found *found, uint64_t frame, const struct frame_record *record)
{
	struct check *check = found->check;
	struct frame_header header = {0};
	uint32_t at = 0;
	int rc = check_header_load(check, record->segment, record->off, record->tier, record->place,
				   &header);

	if (rc < 0 || header.id != frame || header.raw_len != record->raw_len) {
		frame_header_release(&header);
		return rc == -ENOMEM ? rc : 0;
	}
	for (uint32_t i = 0; rc == 0 && i < header.nextents; i++) {
		const struct frame_extent *extent = &header.extents[i];
		uint8_t piece[PIECE_LEN];

		if (bsearch(&extent->object, check->lost, check->nlost, sizeof(*check->lost),
			    by_id)) {
			put_be64(piece, extent->object);
			put_be64(piece + 8, ~frame);
			put_be64(piece + 16, extent->offset);
			put_be32(piece + 24, extent->length);
			put_be32(piece + 28, at);
			rc = sorter_add(found->pieces, piece);
		}
		at += extent->length;
	}
	frame_header_release(&header);
	return rc;
}

static int gather(struct found *found)
{
	struct check_walk walk;
	int rc = check_walk_open(found->check, KEY_FRAME, &walk);

	while (rc == 0 && walk.item.key) {
		struct frame_record record;

		if (frame_record_decode(walk.item.value, walk.item.len, &record) == 0)
			rc = pieces_of(found, check_walk_id(&walk), &record);
		if (rc == 0)
			rc = check_walk_next(&walk);
	}
	check_walk_close(&walk);
	return rc;
}

/* Objects ----------------------------------------------------------------------------------------
 */

static int insert(struct extent_list *list, size_t at, const struct extent *extent)
{
	int rc = extent_list_add(list, extent);

	if (rc < 0)
		return rc;
	memmove(&list->items[at + 1], &list->items[at],
		(list->count - 1 - at) * sizeof(*list->items));
	list->items[at] = *extent;
	return 0;
}

/* What of the piece nobody newer has, into the list, which stays in order. */
static int lay(struct extent_list *list, struct extent piece)
{
	size_t low = 0, high = list->count;

	while (low < high) { /* the first that ends behind the piece's beginning */
		size_t mid = low + (high - low) / 2;

		if (list->items[mid].off + list->items[mid].len <= piece.off)
			low = mid + 1;
		else
			high = mid;
	}
	for (size_t at = low; piece.len; at++) {
		const struct extent *next = at < list->count ? &list->items[at] : NULL;
		uint64_t end = piece.off + piece.len, skip;
		struct extent part = piece;

		if (!next || next->off >= end)
			return insert(list, at, &piece);
		if (piece.off < next->off) {
			int rc;

			part.len = (uint32_t)(next->off - piece.off);
			rc = insert(list, at++, &part);
			if (rc < 0)
				return rc;
			next = &list->items[at];
		}
		if (next->off + next->len >= end)
			return 0;
		skip = next->off + next->len - piece.off;
		piece.off += skip;
		piece.frame_off += (uint32_t)skip;
		piece.len -= (uint32_t)skip;
	}
	return 0;
}

/* One extent and what it is to its frame and segment. *share: of the stored bytes. */
static int stage_extent(struct check *check, uint64_t object, const struct extent *extent,
			uint64_t *share)
{
	uint8_t key[KEY_LEN_2], value[RECORD_SEGMENT_MAX];
	struct segment_record segment;
	struct frame_record frame;
	size_t len;
	int rc = meta_get(check->meta, key, key_1(key, KEY_FRAME, extent->frame), value,
			  sizeof(value), &len);

	if (rc == 0)
		rc = frame_record_decode(value, len, &frame);
	if (rc < 0)
		return rc;
	*share += extent_share(extent->len, &frame);
	frame.live += extent->len;
	frame_record_encode(&frame, value);
	check_put(check, key, KEY_LEN_1, value, RECORD_FRAME_LEN);
	rc = meta_get(check->meta, key, key_1(key, KEY_SEGMENT, frame.segment), value,
		      sizeof(value), &len);
	if (rc == 0 && segment_record_decode(value, len, &segment) == 0) {
		segment.logical += extent->len;
		len = segment_record_encode(&segment, value);
		check_put(check, key, KEY_LEN_1, value, len);
	}
	extent_encode(extent, value);
	check_put(check, key, key_2(key, KEY_EXTENT, object, extent->off + extent->len), value,
		  RECORD_EXTENT_LEN);
	return check_mend(check);
}

static int object_make(struct check *check, uint64_t object, const struct extent_list *list,
		       bool *any)
{
	const struct extent *last = &list->items[list->count - 1];
	uint8_t key[KEY_LEN_1], value[RECORD_OBJECT_MAX];
	struct object_record record = {.has_keys = true, .size = last->off + last->len};
	uint64_t bytes = 0;
	int rc = 0;

	for (size_t i = 0; i < list->count; i++)
		bytes += list->items[i].len;
	if (!check_report(check, CHECK_FOUND, true, 0,
			  "%llu bytes of inode %llu are in frames, up to byte %llu of the file",
			  (unsigned long long)bytes, (unsigned long long)object,
			  (unsigned long long)record.size))
		return 0;
	*any = true;
	for (size_t i = 0; i < list->count && rc == 0; i++)
		rc = stage_extent(check, object, &list->items[i], &record.stored);
	if (rc < 0)
		return rc;
	check_put(check, key, key_1(key, KEY_OBJECT, object), value,
		  object_record_encode(&record, value));
	check->nobjects++;
	rc = check_mend(check);
	return rc < 0 ? rc
		      : add(&check->recovered, &check->nrecovered, &check->recovered_cap, object);
}

static int make_all(struct found *found, bool *any)
{
	struct extent_list list = {0};
	uint64_t object = 0;
	const uint8_t *p;
	int rc;

	while ((rc = sorter_next(found->pieces, &p)) == 0) {
		uint64_t id = get_be64(p);

		if (id != object && list.count) {
			rc = object_make(found->check, object, &list, any);
			list.count = 0;
		}
		object = id;
		if (rc == 0)
			rc = lay(&list, (struct extent){.frame = ~get_be64(p + 8),
							.off = get_be64(p + 16),
							.len = get_be32(p + 24),
							.frame_off = get_be32(p + 28)});
		if (rc < 0)
			break;
	}
	if (rc == -ENOENT)
		rc = list.count ? object_make(found->check, object, &list, any) : 0;
	extent_list_release(&list);
	return rc;
}

int check_found(struct check *check, bool *any)
{
	struct found found = {.check = check};
	int rc;

	if (check->lost_sought == check->nlost)
		return 0; /* asked for before */
	lost_sort(check);
	rc = check->nlost ? sorter_new(&found.pieces, PIECE_LEN, check_memory()) : 0;
	if (rc == 0 && check->nlost)
		rc = gather(&found);
	if (rc == 0 && check->nlost)
		rc = make_all(&found, any);
	sorter_free(found.pieces);
	lost_sort(check);
	check->lost_sought = check->nlost;
	return rc;
}
