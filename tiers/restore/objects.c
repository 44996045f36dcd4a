// SPDX-License-Identifier: Apache-2.0
/*
 * One object: its extents whose frames are gone turn to newer ones, as far as there are some. The
 * ranges behind its end and in its holes stay what the copy says.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tiers/config.h"
#include "tiers/keys.h"
#include "tiers/restore/impl.h"

int newer_extents_load(struct newer *newer)
{
	uint8_t prefix[KEY_LEN_1];
	struct meta_cursor *cursor;
	struct meta_item item;
	int rc = 0;

	newer->extents.count = 0;
	for (unsigned i = 0; i < newer->record.nextents && rc == 0; i++)
		rc = extent_list_add(&newer->extents, &newer->record.extents[i]);
	if (rc < 0 || !newer->record.has_keys)
		return rc;
	rc = meta_cursor_open(newer->restore->meta, prefix,
			      key_1(prefix, KEY_EXTENT, newer->object), NULL, 0, &cursor);
	if (rc < 0)
		return rc;
	while ((rc = meta_cursor_next(cursor, &item)) == 0) {
		struct extent extent;

		rc = item.key_len == KEY_LEN_2 ? extent_decode(get_be64(item.key + KEY_LEN_1),
							       item.value, item.len, &extent)
					       : -EUCLEAN;
		if (rc == 0)
			rc = extent_list_add(&newer->extents, &extent);
		if (rc < 0)
			break;
	}
	meta_cursor_close(cursor);
	return rc == -ENOENT ? 0 : rc;
}

int newer_object_load(struct newer *newer, uint64_t id)
{
	uint8_t key[KEY_LEN_1], value[RECORD_OBJECT_MAX];
	size_t len;
	int rc = meta_get(newer->restore->meta, key, key_1(key, KEY_OBJECT, id), value,
			  sizeof(value), &len);

	newer->object = id;
	newer->any = newer->whole = newer->unsound = false;
	newer->runs.count = 0;
	newer->extents.count = 0;
	if (rc == -ENOENT) {
		newer->restore->out->unknown_objects++;
		return 0;
	}
	if (rc == 0 && object_record_decode(value, len, &newer->record) < 0)
		return 0; /* the check's */
	if (rc == 0)
		rc = newer_extents_load(newer);
	if (rc < 0)
		return rc;
	newer->whole = restore_plain_gone(newer->restore, id, &newer->record);
	if (newer->record.plain.set) /* extents that it still has mean nothing */
		return 0;
	for (size_t i = 0; i < newer->extents.count; i++)
		if (idmap_get(&newer->lost, newer->extents.items[i].frame))
			newer->any = true;
	return 0;
}

/* The first extent or run that ends behind a place. */
static size_t first_behind(const struct extent_list *list, uint64_t off)
{
	size_t low = 0, high = list->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (list->items[mid].off + list->items[mid].len <= off)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

bool newer_is_needed(const struct newer *newer, const struct found_piece *piece)
{
	const struct extent_list *list = &newer->extents;

	if (newer->whole || !newer->any)
		return newer->whole;
	for (size_t i = first_behind(list, piece->off);
	     i < list->count && list->items[i].off < piece->off + piece->len; i++)
		if (list->items[i].frame < piece->frame &&
		    idmap_get(&newer->lost, list->items[i].frame))
			return true;
	return false;
}

/* The object's record, and the extents at hand in place of those there were. */
static int object_store(struct newer *newer)
{
	const struct extent_list *list = &newer->extents;
	struct object_record *record = &newer->record;
	uint8_t key[KEY_LEN_2], value[RECORD_OBJECT_MAX];
	int rc = 0;

	record->has_keys = list->count > RECORD_INLINE_MAX;
	record->nextents = record->has_keys ? 0 : (uint8_t)list->count;
	if (!record->has_keys)
		memcpy(record->extents, list->items, list->count * sizeof(*list->items));
	newer_put(newer, key, key_1(key, KEY_OBJECT, newer->object), value,
		  object_record_encode(record, value));
	for (size_t i = 0; i < list->count && record->has_keys && rc == 0; i++) {
		const struct extent *extent = &list->items[i];

		extent_encode(extent, value);
		newer_put(newer, key,
			  key_2(key, KEY_EXTENT, newer->object, extent->off + extent->len), value,
			  RECORD_EXTENT_LEN);
		if (i % 1024 == 1023)
			rc = newer_apply(newer);
	}
	return rc < 0 ? rc : newer_apply(newer);
}

static int keys_del(struct newer *newer, const struct extent_list *list)
{
	uint8_t key[KEY_LEN_2];
	int rc = 0;

	for (size_t i = 0; i < list->count && rc == 0; i++) {
		newer_del(newer, key,
			  key_2(key, KEY_EXTENT, newer->object,
				list->items[i].off + list->items[i].len));
		if (i % 1024 == 1023)
			rc = newer_apply(newer);
	}
	return rc < 0 ? rc : newer_apply(newer);
}

/* A part of a gone extent (NULL: of a plain file) is in another frame from now on. */
static int extent_turn(struct newer *newer, const struct extent *was, const struct extent *is)
{
	struct candidate *candidate = idmap_get(&newer->candidates, is->frame);
	struct frame_record from, to;
	int rc = candidate->made ? 0 : newer_frame_make(newer, candidate);

	if (rc == 0)
		rc = newer_frame_use(newer, is->frame, is->len, true, &to);
	if (rc == 0 && was)
		rc = newer_frame_use(newer, was->frame, is->len, false, &from);
	if (rc < 0)
		return rc;
	newer->record.stored += extent_share(is->len, &to);
	return 0;
}

/* [from, upto) of an extent. */
static struct extent part_of(const struct extent *extent, uint64_t from, uint64_t upto)
{
	return (struct extent){.off = from,
			       .frame = extent->frame,
			       .len = (uint32_t)(upto - from),
			       .frame_off = extent->frame_off + (uint32_t)(from - extent->off)};
}

static int part_add(struct extent_list *out, const struct extent *extent, uint64_t from,
		    uint64_t upto)
{
	struct extent part = part_of(extent, from, upto);

	return from < upto ? extent_list_add(out, &part) : 0;
}

/* One gone extent, by the runs over it: what they do not reach stays as it is. */
static int extent_mend(struct newer *newer, const struct extent *extent, struct extent_list *out,
		       uint64_t *bytes)
{
	uint64_t end = extent->off + extent->len, at = extent->off;
	int rc = 0;

	for (size_t i = first_behind(&newer->runs, at);
	     rc == 0 && i < newer->runs.count && newer->runs.items[i].off < end; i++) {
		const struct extent *run = &newer->runs.items[i];
		uint64_t from = run->off > at ? run->off : at;
		uint64_t upto = run->off + run->len < end ? run->off + run->len : end;
		struct extent part = part_of(run, from, upto);

		if (run->frame <= extent->frame)
			continue;
		rc = part_add(out, extent, at, from);
		if (rc == 0)
			rc = extent_list_add(out, &part);
		if (rc == 0)
			rc = extent_turn(newer, extent, &part);
		*bytes += part.len;
		at = upto;
	}
	return rc < 0 ? rc : part_add(out, extent, at, end);
}

/* What the gone extents took; with those that come it is their sum again. */
static int stored_less(struct newer *newer, const struct extent *extent, bool more)
{
	struct frame_record frame;
	int rc = newer_frame(newer, extent->frame, &frame);
	uint64_t share = rc == 0 ? extent_share(extent->len, &frame) : 0;

	newer->record.stored += more ? share : -share;
	return rc == -ENOENT ? 0 : rc;
}

static void tell_newer(struct newer *newer, uint64_t bytes)
{
	const struct restore_options *options = newer->restore->options;

	newer->restore->out->newer_files++;
	newer->restore->out->newer_bytes += bytes;
	if (options->each)
		options->each(options->arg, newer->restore->meta, newer->object, 0, bytes);
}

static int object_mend(struct newer *newer)
{
	struct extent_list out = {0}, was = newer->extents;
	uint64_t bytes = 0;
	int rc = 0;

	for (size_t i = 0; i < was.count && rc == 0; i++) {
		const struct extent *extent = &was.items[i];
		size_t first = out.count;

		if (!idmap_get(&newer->lost, extent->frame)) {
			rc = extent_list_add(&out, extent);
			continue;
		}
		rc = stored_less(newer, extent, false);
		if (rc == 0)
			rc = extent_mend(newer, extent, &out, &bytes);
		for (; rc == 0 && first < out.count; first++)
			if (out.items[first].frame == extent->frame)
				rc = stored_less(newer, &out.items[first], true);
	}
	if (rc == 0 && newer->record.has_keys)
		rc = keys_del(newer, &was);
	newer->extents = out;
	if (rc == 0)
		rc = object_store(newer);
	extent_list_release(&was);
	if (rc == 0 && bytes)
		tell_newer(newer, bytes);
	return rc;
}

static bool all_there(const struct restore *restore)
{
	const struct pool_config *config = restore->options->config;
	size_t there = 0, wanted = 0;

	for (size_t i = 0; i < restore->ndirs; i++)
		there += !restore->dirs[i].lost;
	for (uint32_t t = 1; t < config->ntiers; t++)
		wanted += config->tiers[t].npaths;
	return there >= wanted;
}

/* It was plain and went back into frames. Extents it may still have mean nothing. */
static int whole_mend(struct newer *newer)
{
	struct object_record *record = &newer->record;
	struct extent_list out = {0}, was = newer->extents;
	struct frame_record frame;
	uint64_t bytes = 0, at = 0;
	int rc = 0;

	for (size_t i = 0; i < was.count && rc == 0; i++)
		rc = newer_frame_use(newer, was.items[i].frame, was.items[i].len, false, &frame);
	if (rc == 0 && record->has_keys)
		rc = keys_del(newer, &was);
	record->plain.set = false;
	record->stored = 0;
	for (size_t i = 0; i < newer->runs.count && rc == 0; i++) {
		const struct extent *run = &newer->runs.items[i];
		uint64_t end = run->off + run->len;
		struct extent part = part_of(run, run->off > at ? run->off : at, end);

		if (end <= at)
			continue;
		rc = extent_list_add(&out, &part);
		if (rc == 0)
			rc = extent_turn(newer, NULL, &part);
		bytes += part.len;
		at = end;
	}
	record->size = at > record->size ? at : record->size;
	newer->extents = out;
	if (rc == 0)
		rc = object_store(newer);
	extent_list_release(&was);
	if (rc == 0)
		tell_newer(newer, bytes);
	return rc;
}

int newer_object_end(struct newer *newer)
{
	if (!newer->runs.count)
		return 0;
	if (!newer->whole)
		return object_mend(newer);
	return newer->unsound || !all_there(newer->restore) ? 0 : whole_mend(newer);
}

int newer_run_add(struct newer *newer, const struct found_piece *run)
{
	struct extent_list *runs = &newer->runs;
	struct extent *last = runs->count ? &runs->items[runs->count - 1] : NULL;

	if (last && last->frame == run->frame && last->off + last->len == run->off &&
	    last->frame_off + last->len == run->frame_off) {
		last->len += run->len;
		return 0;
	}
	return extent_list_add(runs, &(struct extent){.off = run->off,
						      .frame = run->frame,
						      .len = run->len,
						      .frame_off = run->frame_off});
}
