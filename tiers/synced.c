// SPDX-License-Identifier: Apache-2.0
#include "tiers/synced.h"

#include <errno.h>
#include <string.h>

#include "tiers/flush.h"
#include "tiers/log.h"
#include "tiers/pool_impl.h"

#define BYTES_MAX   (32u << 10) /* more at a time is better off in a frame */
#define RECORDS_MAX 1024u	/* of one object */
#define VALUE_MAX   RECORD_SYNCED_MAX(BYTES_MAX)
#define DELETE_MAX  16384u	 /* in one transaction: cuts have records too, and no bound */
#define RESCUE_MAX  (8u << 20)	 /* of one object */
#define RESCUE_STEP (512u << 10) /* bytes a transaction */

bool synced_any(const struct object *object)
{
	return object->synced.first != object->synced.next;
}

void synced_note(struct object *object, uint64_t off, uint64_t len)
{
	struct synced *synced = &object->synced;
	unsigned last = synced->npending ? synced->npending - 1u : 0;

	synced->behind = true;
	if (synced->unknown)
		return;
	if (synced->bytes + len > BYTES_MAX) {
		synced->unknown = true;
		return;
	}
	synced->bytes += (uint32_t)len;
	if (synced->npending && synced->pending[last].off + synced->pending[last].len == off) {
		synced->pending[last].len += (uint32_t)len;
		return;
	}
	if (synced->npending == SYNCED_PENDING) {
		synced->unknown = true;
		return;
	}
	synced->pending[synced->npending].off = off;
	synced->pending[synced->npending++].len = (uint32_t)len;
}

static void put_record(struct txn *txn, struct object *object, uint64_t number,
		       const struct synced_record *record)
{
	uint8_t key[KEY_LEN_2], value[VALUE_MAX];

	txn_put(txn, key, key_2(key, KEY_SYNCED, object->id, number), value,
		synced_record_encode(record, value));
}

static void put_write(struct txn *txn, struct object *object, uint64_t number, uint64_t off,
		      const uint8_t *bytes, uint64_t len)
{
	put_record(txn, object, number, &(struct synced_record){SYNCED_WRITE, off, len, bytes});
}

/* One pending range: what the log has of it now. Returns the number of records staged. */
static uint64_t stage_range(struct txn *txn, struct object *object, uint64_t number, uint64_t off,
			    uint64_t end, uint64_t *highest)
{
	uint64_t first = number;

	for (struct dirty_range *range = dirty_find(&object->dirty, off); range && range->off < end;
	     range = dirty_next(range)) {
		uint64_t from = range->off > off ? range->off : off;
		uint64_t to = range->off + range->len < end ? range->off + range->len : end;

		put_write(txn, object, number++, from, range->data + (from - range->off),
			  to - from);
		if (to > *highest)
			*highest = to;
	}
	return number - first;
}

static int try_locked(struct object *object, bool *done)
{
	struct synced *synced = &object->synced;
	uint64_t next = synced->next, highest = synced->end;
	struct txn *txn;
	int rc;

	if (object->flushing || synced->unknown || dirty_empty(&object->dirty) ||
	    next - synced->first >= RECORDS_MAX)
		return 0;
	txn = txn_begin(object->pool);
	for (unsigned i = 0; i < synced->npending; i++)
		next += stage_range(txn, object, next, synced->pending[i].off,
				    synced->pending[i].off + synced->pending[i].len, &highest);
	/* A size beyond all data is known to the log alone: only a flush stores it. */
	if (object->deleted ||
	    object->size > (highest > object->record.size ? highest : object->record.size)) {
		txn_abort(txn);
		return 0;
	}
	rc = txn_commit(txn);
	if (rc < 0)
		return rc;
	synced->next = next;
	synced->end = highest;
	synced->npending = 0;
	synced->bytes = 0;
	synced->behind = false;
	object->changed_seq = meta_seq(object->pool->meta); /* records do not stage the object */
	*done = true;
	return 0;
}

int synced_try(struct object *object, bool *done)
{
	int rc;

	*done = false;
	pthread_rwlock_wrlock(&object->data_lock);
	rc = try_locked(object, done);
	pthread_rwlock_unlock(&object->data_lock);
	return rc;
}

/* Up to RESCUE_STEP bytes of the log's ranges from *from on; *from = UINT64_MAX at the end. */
static int rescue_step(struct object *object, uint64_t *from, uint64_t *number)
{
	struct txn *txn = txn_begin(object->pool);
	struct dirty_range *range = dirty_find(&object->dirty, *from);
	uint64_t bytes = 0, next = *number;
	int rc;

	while (range && bytes < RESCUE_STEP && next - *number < RECORDS_MAX) {
		uint64_t off = range->off > *from ? range->off : *from;
		uint64_t len = range->off + range->len - off;

		len = len < BYTES_MAX ? len : BYTES_MAX;
		put_write(txn, object, next++, off, range->data + (off - range->off), len);
		bytes += len;
		*from = off + len;
		if (*from == range->off + range->len)
			range = dirty_next(range);
	}
	if (!range)
		*from = UINT64_MAX;
	rc = txn_commit(txn);
	if (rc == 0)
		*number = next;
	return rc;
}

static uint64_t last_dirty(const struct object *object)
{
	uint64_t end = 0;

	for (struct dirty_range *range = dirty_find(&object->dirty, 0); range;
	     range = dirty_next(range))
		end = range->off + range->len;
	return end;
}

/* The records that are there stay until all the new ones are: a store that makes itself durable in
 * between (meta_apply()) loses nothing. */
static int rescue_locked(struct object *object)
{
	struct synced *synced = &object->synced;
	uint64_t limit = object->pool->config.journal_bytes / 2, old = synced->next, from = 0;
	uint64_t next = old, end = last_dirty(object);
	uint8_t key[KEY_LEN_2];
	struct txn *txn;
	int rc = 0;

	limit = limit && limit < RESCUE_MAX ? limit : RESCUE_MAX;
	/* As in try_locked(): a size beyond all data is stored by a flush alone. */
	if (object->dirty.bytes > limit || synced->next - synced->first > RECORDS_MAX ||
	    object->size > (end > object->record.size ? end : object->record.size))
		return -EFBIG;
	while (rc == 0 && from != UINT64_MAX)
		rc = next - old > RECORDS_MAX ? -EFBIG : rescue_step(object, &from, &next);
	synced->next = next;
	synced->end = end > synced->end ? end : synced->end;
	if (rc < 0)
		return rc;
	txn = txn_begin(object->pool);
	txn_frees(txn);
	for (uint64_t i = synced->first; i < old; i++)
		txn_del(txn, key, key_2(key, KEY_SYNCED, object->id, i));
	rc = txn_commit(txn);
	if (rc < 0)
		return rc;
	synced->first = old;
	synced->end = end;
	synced->npending = 0;
	synced->bytes = 0;
	synced->unknown = false;
	synced->behind = false;
	object->changed_seq = meta_seq(object->pool->meta);
	return 0;
}

int synced_rescue(struct object *object)
{
	int rc = 0;

	object_lock_still(object);
	if (!object->deleted && !dirty_empty(&object->dirty) && object->synced.behind)
		rc = rescue_locked(object);
	pthread_rwlock_unlock(&object->data_lock);
	return rc;
}

/* Of [first, next) the oldest ones; returns the first that is left. */
static uint64_t delete_some(struct txn *txn, uint64_t id, uint64_t first, uint64_t next)
{
	uint64_t end = next - first < DELETE_MAX ? next : first + DELETE_MAX;
	uint8_t key[KEY_LEN_2];

	txn_frees(txn);
	for (; first < end; first++)
		txn_del(txn, key, key_2(key, KEY_SYNCED, id, first));
	return end;
}

void synced_delete(struct txn *txn, struct object *object)
{
	delete_some(txn, object->id, object->synced.first, object->synced.next);
}

/* Oldest first: after a power loss in between, those that are left have the last word among the
 * records still. */
int synced_purge(struct object *object)
{
	struct synced *synced = &object->synced;
	int rc = 0;

	while (rc == 0 && synced_any(object)) {
		struct txn *txn = txn_begin(object->pool);
		uint64_t end = delete_some(txn, object->id, synced->first, synced->next);

		rc = txn_commit(txn);
		if (rc == 0)
			synced->first = end;
	}
	return rc;
}

void synced_deleted(struct object *object, bool clean)
{
	struct synced *synced = &object->synced;

	synced->first = synced->next;
	synced->end = 0;
	if (!clean)
		return;
	synced->npending = 0;
	synced->bytes = 0;
	synced->unknown = false;
	synced->behind = false;
}

void synced_stale(struct object *object)
{
	object->synced.unknown = true;
	object->synced.behind = true;
}

void synced_left(struct object *object)
{
	synced_stale(object);
	pool_order(object);
}

bool synced_mark(struct txn *txn, struct object *object, bool size, uint64_t off, uint64_t len)
{
	struct synced_record record = {
		.kind = size ? SYNCED_SIZE : SYNCED_HOLE, .off = off, .len = len};

	if (!synced_any(object))
		return false;
	put_record(txn, object, object->synced.next, &record);
	return true;
}

void synced_marked(struct object *object)
{
	object->synced.next++;
}

int synced_drop(struct object *object)
{
	int rc;

	if (!synced_any(object) || !dirty_empty(&object->dirty))
		return 0;
	rc = synced_purge(object);
	if (rc == 0)
		synced_deleted(object, true);
	else
		synced_left(object);
	return rc;
}

int synced_settle(struct object *object)
{
	int rc = 0;

	object_lock_still(object);
	if (!object->deleted)
		rc = synced_drop(object);
	pthread_rwlock_unlock(&object->data_lock);
	return rc;
}

/* Opening ----------------------------------------------------------------------------------------
 */

static void release_nothing(void *arg, uint64_t pos, uint64_t bytes)
{
	(void)arg;
	(void)pos;
	(void)bytes;
}

static const struct dirty_sink no_sink = {.released = release_nothing};

static int dirty_copy(const struct dirty_map *from, struct dirty_map *to)
{
	for (struct dirty_range *range = dirty_find(from, 0); range; range = dirty_next(range)) {
		int rc = dirty_prepare(to);

		if (rc < 0)
			return rc;
		dirty_insert(to, range->off, range->len, range->data, range->pos, &no_sink);
	}
	return 0;
}

/* Does the log have all of [off, end)? */
static bool in_log(const struct object *object, uint64_t off, uint64_t end)
{
	for (struct dirty_range *range = dirty_find(&object->dirty, off); range && off < end;
	     range = dirty_next(range)) {
		if (range->off > off)
			return false;
		off = range->off + range->len;
	}
	return off >= end;
}

/* Takes what a record tells out of `left`, which newer records have not told. False: the log has
 * something else, so it is newer, or frames do. */
static bool tell(const struct object *object, struct dirty_map *left,
		 const struct synced_record *record)
{
	uint64_t off = record->off, end = off + record->len;

	if (record->kind != SYNCED_WRITE || !in_log(object, off, end))
		return false;
	for (struct dirty_range *range = dirty_find(left, off); range && range->off < end;
	     range = dirty_next(range)) {
		uint64_t from = range->off > off ? range->off : off;
		uint64_t to = range->off + range->len < end ? range->off + range->len : end;

		if (memcmp(range->data + (from - range->off), record->bytes + (from - off),
			   to - from) != 0)
			return false;
	}
	if (dirty_prepare(left) < 0)
		return false;
	dirty_remove(left, off, end - off, &no_sink);
	return true;
}

/* Its bytes are those of `value`. */
static int get_record(struct pool *pool, uint64_t object, uint64_t number,
		      uint8_t value[static VALUE_MAX], struct synced_record *out)
{
	uint8_t key[KEY_LEN_2];
	size_t len;
	int rc = meta_get(pool->meta, key, key_2(key, KEY_SYNCED, object, number), value, VALUE_MAX,
			  &len);

	return rc < 0 ? rc : synced_record_decode(value, len, out);
}

/* Newest first. Whatever is not plain (cuts, parts that are in frames by now) counts as not told:
 * then a flush deletes the records, as always. */
static bool tell_all(const struct object *object, uint64_t *end)
{
	struct synced_record record;
	uint8_t value[VALUE_MAX];
	struct dirty_map left;
	bool told;

	dirty_init(&left);
	told = dirty_copy(&object->dirty, &left) == 0;
	for (uint64_t i = object->synced.next; told && i-- > object->synced.first;) {
		told = get_record(object->pool, object->id, i, value, &record) == 0 &&
		       tell(object, &left, &record);
		if (told && record.off + record.len > *end)
			*end = record.off + record.len;
	}
	told = told && dirty_empty(&left);
	dirty_release(&left, &no_sink);
	return told;
}

static int replay_record(struct object *object, const struct synced_record *record)
{
	if (record->kind == SYNCED_WRITE)
		return object_write(object, record->bytes, record->len, record->off);
	if (record->kind == SYNCED_HOLE)
		return object_punch(object, record->len, record->off);
	/* A cut never grows: what was cut may have been longer by writes that nobody had synced. */
	return record->off < object_size(object) ? object_truncate(object, record->off) : 0;
}

/* Records of an object that is gone. */
static int delete_left(struct pool *pool, uint64_t id, uint64_t first, uint64_t next)
{
	int rc = 0;

	while (rc == 0 && first < next) {
		struct txn *txn = txn_begin(pool);

		first = delete_some(txn, id, first, next);
		rc = txn_commit(txn);
	}
	return rc;
}

/*
 * The records of one object, [first, next). Replaying changes the object through the log; while it
 * goes on the object is not told of the records, so that they stay as they are, and at the end its
 * flush deletes them.
 */
static int recover_object(struct pool *pool, uint64_t id, uint64_t first, uint64_t next,
			  bool replay)
{
	struct synced_record record;
	uint8_t value[VALUE_MAX];
	struct object *object;
	int rc = object_get(pool, id, &object);

	if (rc == -ENOENT)
		return delete_left(pool, id, first, next);
	if (rc < 0)
		return rc;
	for (uint64_t i = first; replay && rc == 0 && i < next; i++) {
		rc = get_record(pool, id, i, value, &record);
		if (rc == 0)
			rc = replay_record(object, &record);
	}
	pthread_rwlock_wrlock(&object->data_lock);
	if (!synced_any(object)) { /* else synced_recall() has found them */
		object->synced.first = first;
		object->synced.next = next;
		object->synced.unknown = true;
	}
	if (rc == 0)
		rc = synced_drop(object);
	pthread_rwlock_unlock(&object->data_lock);
	/* Without room now the data stays in the log, and the records until it is flushed. */
	if (rc == 0 && replay && flush_object(object) < 0)
		log_warning("%s: what was synced before the power loss waits in RAM for room",
			    pool->config.name);
	object_put(object);
	return rc;
}

/* The next object that has records, from *id to `last`, and their numbers. -ENOENT: no more. */
static int find_object(struct pool *pool, uint64_t *id, uint64_t last, uint64_t *first,
		       uint64_t *next)
{
	static const uint8_t prefix[] = {KEY_SYNCED};
	struct meta_cursor *cursor;
	struct meta_item item;
	uint8_t start[KEY_LEN_2];
	bool any = false;
	int rc;

	key_2(start, KEY_SYNCED, *id, 0);
	rc = meta_cursor_open(pool->meta, prefix, sizeof(prefix), start, sizeof(start), &cursor);
	if (rc < 0)
		return rc;
	while ((rc = meta_cursor_next(cursor, &item)) == 0) {
		if (item.key_len != KEY_LEN_2) {
			rc = -EUCLEAN;
			break;
		}
		if (get_be64(item.key + 1) > last || (any && get_be64(item.key + 1) != *id)) {
			rc = -ENOENT;
			break;
		}
		if (!any)
			*first = get_be64(item.key + KEY_LEN_1);
		*id = get_be64(item.key + 1);
		*next = get_be64(item.key + KEY_LEN_1) + 1;
		any = true;
	}
	meta_cursor_close(cursor);
	return any && rc == -ENOENT ? 0 : rc; /* of a part of them nothing may be concluded */
}

int synced_recall(struct object *object)
{
	struct synced *synced = &object->synced;
	uint64_t id = object->id, first = 0, next = 0, end = 0;
	int rc = find_object(object->pool, &id, id, &first, &next);

	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	synced->first = first;
	synced->next = next;
	synced->unknown = true;
	if (dirty_empty(&object->dirty) || !tell_all(object, &end) ||
	    object->size > (end > object->record.size ? end : object->record.size))
		return 0;
	synced->end = end;
	synced->npending = 0;
	synced->bytes = 0;
	synced->unknown = false;
	synced->behind = false;
	object->changed_seq = meta_seq(object->pool->meta);
	return 0;
}

static int recover_each(struct pool *pool, bool replay)
{
	uint64_t id = 0, first = 0, next = 0;
	int rc;

	while ((rc = find_object(pool, &id, UINT64_MAX, &first, &next)) == 0) {
		rc = recover_object(pool, id, first, next, replay);
		if (rc < 0) {
			log_error("%s: synced writes of object %llu cannot be replayed: %s",
				  pool->config.name, (unsigned long long)id, strerror(-rc));
			return rc;
		}
		id++;
	}
	return rc == -ENOENT ? 0 : rc;
}

int recover_synced(struct pool *pool, bool log_recovered)
{
	int rc;

	pool->making_again = true;
	rc = recover_each(pool, !log_recovered);
	pool->making_again = false;
	return rc;
}
