// SPDX-License-Identifier: Apache-2.0
#include "fs/job_store.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "compress/bytes.h"
#include "fs/fs.h"
#include "tiers/keys.h"
#include "tiers/log.h"
#include "tiers/meta.h"
#include "tiers/txn.h"

#define KEY_HEAD     "fs.job."
#define KEY_HEAD_LEN (sizeof(KEY_HEAD) - 1)
#define KEY_LEN	     (1 + KEY_HEAD_LEN + 8 + 2)
#define VERSION	     1u
#define PART_BYTES   65536u
#define PARTS_MAX    UINT16_MAX
#define STEP	     8u /* parts in one transaction: they have a limit (META_BATCH_MAX) */

static void key_put(uint8_t key[static KEY_LEN], uint64_t number, unsigned part)
{
	key[0] = KEY_POOL;
	memcpy(key + 1, KEY_HEAD, KEY_HEAD_LEN);
	put_be64(key + 1 + KEY_HEAD_LEN, number);
	key[KEY_LEN - 2] = (uint8_t)(part >> 8);
	key[KEY_LEN - 1] = (uint8_t)part;
}

static int stage(struct txn *txn, uint64_t number, unsigned part, const char *text, size_t len)
{
	uint8_t key[KEY_LEN], *value = malloc(1 + len);
	int r;

	if (!value)
		return -ENOMEM;
	value[0] = VERSION;
	memcpy(value + 1, text, len);
	key_put(key, number, part);
	r = txn_put(txn, key, sizeof(key), value, 1 + len);
	free(value);
	return r;
}

static int finish(struct txn *txn, int r)
{
	if (!r)
		return txn_commit(txn);
	txn_abort(txn);
	return r;
}

int job_store_request(struct fs *fs, uint64_t number, const char *text, size_t len, unsigned *parts)
{
	size_t off = 0;
	int r = len / PART_BYTES < PARTS_MAX ? 0 : -E2BIG;

	*parts = 0;
	while (!r && off < len) {
		struct txn *txn = txn_begin(fs->pool);

		for (unsigned i = 0; !r && i < STEP && off < len; i++) {
			size_t part = len - off < PART_BYTES ? len - off : PART_BYTES;

			r = stage(txn, number, ++*parts, text + off, part);
			off += part;
		}
		r = finish(txn, r);
	}
	if (r)
		job_store_drop(fs, number);
	return r;
}

int job_store_put(struct fs *fs, uint64_t number, const char *record, size_t len, unsigned drop)
{
	struct txn *txn = txn_begin(fs->pool);
	uint8_t key[KEY_LEN];
	int r = stage(txn, number, 0, record, len);

	if (drop)
		txn_frees(txn); /* more goes than comes */
	for (unsigned part = 1; !r && part <= drop; part++) {
		key_put(key, number, part);
		r = txn_del(txn, key, sizeof(key));
	}
	return finish(txn, r);
}

/* The keys of a job, by prefix: number, or all jobs' when `all`. */
static int cursor_open(struct fs *fs, uint64_t number, bool all, struct meta_cursor **out)
{
	uint8_t key[KEY_LEN];

	key_put(key, number, 0);
	return meta_cursor_open(fs->meta, key, all ? 1 + KEY_HEAD_LEN : KEY_LEN - 2, NULL, 0, out);
}

int job_store_drop(struct fs *fs, uint64_t number)
{
	struct txn *txn = txn_begin(fs->pool);
	struct meta_cursor *cursor = NULL;
	struct meta_item item;
	int r = cursor_open(fs, number, false, &cursor);

	txn_frees(txn);
	/* Part 0 comes first and goes with the others: there are never parts of nothing. */
	while (!r && !(r = meta_cursor_next(cursor, &item)))
		r = txn_del(txn, item.key, item.key_len);
	if (cursor)
		meta_cursor_close(cursor);
	return finish(txn, r == -ENOENT ? 0 : r);
}

struct found { /* one job on the way through the keys */
	uint64_t number;
	bool has_record, strange;
	char *record, *request;
	size_t request_len;
};

static int append(char **text, size_t *len, const uint8_t *bytes, size_t n)
{
	char *more = realloc(*text, *len + n + 1);

	if (!more)
		return -ENOMEM;
	memcpy(more + *len, bytes, n);
	*text = more;
	*len += n;
	more[*len] = '\0';
	return 0;
}

static int take_item(struct found *found, const struct meta_item *item)
{
	size_t len = 0;

	if (!item->len || item->value[0] != VERSION) {
		found->strange = true; /* of a newer program: left alone */
		return 0;
	}
	if (item->key[KEY_LEN - 2] || item->key[KEY_LEN - 1])
		return append(&found->request, &found->request_len, item->value + 1, item->len - 1);
	found->has_record = true;
	return append(&found->record, &len, item->value + 1, item->len - 1);
}

/* Hands the job on, and forgets it. */
static int emit(struct fs *fs, struct found *found,
		int (*each)(void *arg, uint64_t number, const char *record, const char *request,
			    size_t request_len),
		void *arg)
{
	int r = 0;

	if (found->strange)
		log_warning("job %llu was recorded by another version and is left alone",
			    (unsigned long long)found->number);
	else if (found->has_record)
		r = each(arg, found->number, found->record, found->request ? found->request : "",
			 found->request_len);
	else if (found->request)
		r = job_store_drop(fs, found->number);
	free(found->record);
	free(found->request);
	*found = (struct found){.number = 0};
	return r;
}

int job_store_each(struct fs *fs,
		   int (*each)(void *arg, uint64_t number, const char *record, const char *request,
			       size_t request_len),
		   void *arg)
{
	struct found found = {.number = 0};
	struct meta_cursor *cursor;
	struct meta_item item;
	int r = cursor_open(fs, 0, true, &cursor);

	if (r)
		return r;
	while (!r && !(r = meta_cursor_next(cursor, &item))) {
		uint64_t number;

		if (item.key_len != KEY_LEN)
			continue;
		number = get_be64(item.key + 1 + KEY_HEAD_LEN);
		if (number != found.number) {
			r = emit(fs, &found, each, arg);
			found.number = number;
		}
		if (!r)
			r = take_item(&found, &item);
	}
	meta_cursor_close(cursor);
	if (r == -ENOENT)
		r = emit(fs, &found, each, arg);
	free(found.record);
	free(found.request);
	return r;
}
