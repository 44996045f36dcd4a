// SPDX-License-Identifier: Apache-2.0
/*
 * Cursors: the live table, the frozen one and the tree merged, in runs that are copied out.
 *
 * Invariants:
 *  1. Nothing is held between two runs (no table, no LMDB reader): a slow walker pins no pages.
 *  2. A run begins behind the last key looked at, so keys come in order and once, whatever moves
 *     between the sources meanwhile. What moves only moves downwards (live, frozen, tree), and the
 *     tree's state is taken last, so a key that stands throughout is met in one of the three.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tiers/memtable.h"
#include "tiers/meta_impl.h"
#include "tiers/meta_tree.h"

#define RUN_ITEMS 64u
#define RUN_BYTES (64u << 10) /* a run ends beyond this; one large value may exceed it */
#define RUN_STEPS 1024u	      /* keys looked at, deleted ones too */

struct run_item {
	size_t off; /* of the key in the buffer; the value follows */
	size_t key_len, len;
};

struct meta_cursor {
	struct meta *meta;
	uint8_t *buf;
	size_t buf_len, buf_cap;
	struct run_item items[RUN_ITEMS];
	uint32_t n, next;
	bool end;
	bool after; /* `from` has been looked at */
	size_t prefix_len, from_len;
	uint8_t prefix[META_KEY_MAX];
	uint8_t from[META_KEY_MAX];
};

/* One of the three sources: its next key, and how to go on. */
struct stream {
	const uint8_t *key; /* NULL: at its end */
	size_t key_len;
	struct memtable_item *item; /* a table's */
};

struct merge {
	struct stream stream[3]; /* live, frozen, tree: the first of equal keys counts */
	struct tree_read *read;
};

static int compare(const struct stream *a, const struct stream *b)
{
	size_t len = a->key_len < b->key_len ? a->key_len : b->key_len;
	int order = memcmp(a->key, b->key, len);

	return order ? order : (a->key_len > b->key_len) - (a->key_len < b->key_len);
}

static void table_stand(struct stream *stream, struct memtable_item *item)
{
	struct memtable_view view = {0};

	stream->item = item;
	if (item)
		memtable_view(item, &view);
	stream->key = view.key;
	stream->key_len = view.key_len;
}

/* The end of the tree is not an error of the walk. */
static int tree_stand(struct stream *stream, int rc)
{
	if (rc)
		stream->key = NULL;
	return rc == -ENOENT ? 0 : rc;
}

/* The tree comes last: what a checkpoint takes out of the tables meanwhile is in it by then. */
static int merge_begin(struct merge *merge, const struct meta_sources *sources,
		       const struct meta_cursor *cursor)
{
	struct stream *tree = &merge->stream[2];
	int rc;

	*merge = (struct merge){0};
	table_stand(&merge->stream[0],
		    memtable_seek(sources->live, cursor->from, cursor->from_len, cursor->after));
	if (sources->frozen)
		table_stand(&merge->stream[1], memtable_seek(sources->frozen, cursor->from,
							     cursor->from_len, cursor->after));
	if (!sources->tree)
		return 0;
	rc = tree_read_begin(sources->tree, &merge->read);
	if (rc)
		return rc;
	return tree_stand(tree, tree_read_seek(merge->read, cursor->from, cursor->from_len,
					       cursor->after, &tree->key, &tree->key_len));
}

static int stream_next(struct merge *merge, struct stream *stream)
{
	if (stream == &merge->stream[2])
		return tree_stand(stream,
				  tree_read_next(merge->read, &stream->key, &stream->key_len));
	table_stand(stream, memtable_next(stream->item));
	return 0;
}

/* Of equal keys the first stream's, which has the newest word. */
static struct stream *stream_lowest(struct merge *merge)
{
	struct stream *lowest = NULL;
	int i;

	for (i = 0; i < 3; i++)
		if (merge->stream[i].key && (!lowest || compare(&merge->stream[i], lowest) < 0))
			lowest = &merge->stream[i];
	return lowest;
}

/* The value under a stream; NULL when it is deleted. */
static int stream_value(struct merge *merge, const struct stream *stream, const uint8_t **value,
			size_t *len)
{
	struct memtable_view view;

	if (stream == &merge->stream[2])
		return tree_read_value(merge->read, value, len);
	memtable_view(stream->item, &view);
	*value = view.value;
	*len = view.len;
	return 0;
}

/* One buffer for a run; offsets, since it may move while it grows. */
static int item_copy(struct meta_cursor *cursor, const struct stream *stream, const uint8_t *value,
		     size_t len)
{
	size_t need = cursor->buf_len + stream->key_len + len;
	struct run_item *item = &cursor->items[cursor->n];

	if (need > cursor->buf_cap) {
		size_t cap = need < 4096 ? 4096 : need * 2;
		uint8_t *buf = realloc(cursor->buf, cap);

		if (!buf)
			return -ENOMEM;
		cursor->buf = buf;
		cursor->buf_cap = cap;
	}
	*item = (struct run_item){cursor->buf_len, stream->key_len, len};
	memcpy(cursor->buf + item->off, stream->key, stream->key_len);
	memcpy(cursor->buf + item->off + item->key_len, value, len);
	cursor->buf_len = need;
	cursor->n++;
	return 0;
}

/* Takes the lowest key of the three and moves all that stand on it. */
static int merge_step(struct meta_cursor *cursor, struct merge *merge)
{
	struct stream *lowest = stream_lowest(merge);
	struct stream at;
	const uint8_t *value;
	size_t len;
	int i, rc;

	if (!lowest || lowest->key_len < cursor->prefix_len ||
	    memcmp(lowest->key, cursor->prefix, cursor->prefix_len)) {
		cursor->end = true;
		return 0;
	}
	rc = stream_value(merge, lowest, &value, &len);
	if (!rc && value)
		rc = item_copy(cursor, lowest, value, len);
	if (rc)
		return rc;
	memcpy(cursor->from, lowest->key, lowest->key_len);
	cursor->from_len = lowest->key_len;
	cursor->after = true;
	at = (struct stream){cursor->from, cursor->from_len, NULL};
	for (i = 0; !rc && i < 3; i++)
		if (merge->stream[i].key && compare(&merge->stream[i], &at) == 0)
			rc = stream_next(merge, &merge->stream[i]);
	return rc;
}

/* Bounded in items, bytes and steps: a run over a desert of deleted keys gives up and is resumed.
 */
static int run_fill(struct meta_cursor *cursor)
{
	struct meta_sources sources;
	struct merge merge;
	uint32_t steps;
	int rc;

	cursor->n = 0;
	cursor->next = 0;
	cursor->buf_len = 0;
	cursor->meta->ops->sources_get(cursor->meta, &sources);
	rc = merge_begin(&merge, &sources, cursor);
	for (steps = 0; !rc && !cursor->end && steps < RUN_STEPS && cursor->n < RUN_ITEMS &&
			cursor->buf_len < RUN_BYTES;
	     steps++)
		rc = merge_step(cursor, &merge);
	if (merge.read)
		tree_read_end(merge.read);
	cursor->meta->ops->sources_put(cursor->meta, &sources);
	return rc;
}

/* Nothing is read yet, so this cannot fail for the medium's sake. */
int meta_cursor_open(struct meta *meta, const void *prefix, size_t prefix_len, const void *start,
		     size_t start_len, struct meta_cursor **out)
{
	struct stream p = {prefix, prefix_len, NULL}, s = {start, start_len, NULL};
	struct meta_cursor *cursor;

	if (prefix_len > META_KEY_MAX || (start && start_len > META_KEY_MAX))
		return -EINVAL;
	cursor = calloc(1, sizeof(*cursor));
	if (!cursor)
		return -ENOMEM;
	cursor->meta = meta;
	if (prefix_len)
		memcpy(cursor->prefix, prefix, prefix_len);
	cursor->prefix_len = prefix_len;
	if (start && start_len && (!prefix_len || compare(&s, &p) > 0))
		p = s;
	if (p.key_len)
		memcpy(cursor->from, p.key, p.key_len);
	cursor->from_len = p.key_len;
	*out = cursor;
	return 0;
}

int meta_cursor_next(struct meta_cursor *cursor, struct meta_item *out)
{
	const struct run_item *item;

	while (cursor->next == cursor->n) {
		int rc;

		if (cursor->end)
			return -ENOENT;
		rc = run_fill(cursor);
		/* What was read before the damage is still given; the error comes again after it.
		 */
		if (rc && !cursor->n)
			return rc;
	}
	item = &cursor->items[cursor->next++];
	out->key = cursor->buf + item->off;
	out->key_len = item->key_len;
	out->value = out->key + item->key_len;
	out->len = item->len;
	return 0;
}

void meta_cursor_close(struct meta_cursor *cursor)
{
	if (!cursor)
		return;
	free(cursor->buf);
	free(cursor);
}
