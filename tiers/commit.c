// SPDX-License-Identifier: Apache-2.0
/*
 * Making metadata durable: where the journal may be cut, checkpoints, and giving back space that is
 * no longer pointed to.
 *
 * Invariants:
 *  1. A cut never separates a rename over a name from the data of the file that was renamed:
 * objects on pool.ordered are flushed before it, and the cut lies behind the transactions of that
 * flush. sync_lock makes cuts one at a time. What no tier takes goes into the journal itself
 * (synced_rescue()); where that fails too, the cut lies before all such renames since the last one.
 *  2. Freed space is punched or removed only when the transaction that freed it is durable (I2).
 *  3. What is given back beyond a frame's own bytes, edges shared with dead neighbours and whole
 * segments, keeps clear of frames that are written and not yet committed, and of those whose end is
 * not yet durable: records do not name them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tiers/clock.h"
#include "tiers/flush.h"
#include "tiers/framestore.h"
#include "tiers/log.h"
#include "tiers/plain.h"
#include "tiers/plain_files.h"
#include "tiers/pool_impl.h"
#include "tiers/scrub.h"

#define GATE_AFTER   3u /* rounds of ordered flushes before new ordered renames have to wait */
#define STUCK_NS     500000000u /* an object that could not be settled is not tried again before */
#define STUCK_MAX_NS (32ull * 1000 * 1000 * 1000)
#define ROOM_MORE    (1u << 20)
#define PUNCH_ALIGN  4096u
#define FRAME_STORED_MAX \
	((1u << 20) + (1u << 18)) /* no frame is longer: header, tables, incompressible payload */
#define PENDING_LOOK                                                                \
	4096u /* freed frames not yet durable that one freed frame is compared with \
	       */
#define FREED_A_GO	   128u
#define EMPTY_ROLL_BYTES   (1u << 20) /* an open segment this long, with nothing alive, is sealed */
#define HEAT_A_TICK	   512u
#define CLOSED_TICKS	   5u /* plain files that were closed are synced so often */
#define TICK_NS		   (1000u * 1000 * 1000)
#define CHECKPOINT_WAIT_NS (16 * (uint64_t)TICK_NS)

void thread_wait(struct pool *pool, uint64_t due_ns)
{
	struct timespec ts = {.tv_sec = (time_t)(due_ns / 1000000000u),
			      .tv_nsec = (long)(due_ns % 1000000000u)};

	pthread_cond_timedwait(&pool->thread_wake, &pool->thread_lock, &ts);
}

bool pool_rest(struct pool *pool, uint64_t ns)
{
	uint64_t due = clock_mono_ns() + ns;
	bool stop;

	pthread_mutex_lock(&pool->thread_lock);
	while (!pool->stopping && clock_mono_ns() < due)
		thread_wait(pool, due);
	stop = pool->stopping;
	pthread_mutex_unlock(&pool->thread_lock);
	return !stop;
}

/* Cuts -------------------------------------------------------------------------------------------
 */

static void gate_set(struct pool *pool, bool closed)
{
	pthread_mutex_lock(&pool->gate_lock);
	pool->order_gate = closed;
	pthread_cond_broadcast(&pool->gate_open);
	pthread_mutex_unlock(&pool->gate_lock);
}

void pool_order_gate(struct pool *pool)
{
	if (!pool->order_gate)
		return;
	pthread_mutex_lock(&pool->gate_lock);
	while (pool->order_gate)
		pthread_cond_wait(&pool->gate_open, &pool->gate_lock);
	pthread_mutex_unlock(&pool->gate_lock);
}

void pool_order_locked(struct object *object, uint64_t seq)
{
	struct pool *pool = object->pool;

	if (object->ordered)
		return;
	object->ordered = true;
	object->next_ordered = pool->ordered;
	pool->ordered = object_hold(object);
	pool->nordered++;
	if (!pool->ordered_seq)
		pool->ordered_seq = seq;
}

/* All of them, with their references, in the order in which they came. Commit lock held. */
static void list_ordered(struct pool *pool, struct object **out)
{
	struct object *object = pool->ordered;

	for (size_t i = pool->nordered; i-- > 0; object = object->next_ordered) {
		out[i] = object;
		object->ordered = false;
	}
	pool->ordered = NULL;
	pool->nordered = 0;
}

/* Takes the list of ordered objects over; 0 when it is empty, and then the cut is here. */
static size_t take_ordered(struct pool *pool, bool freeze, struct object ***out, uint64_t *cut,
			   int *error)
{
	size_t n;

	*error = 0;
	pthread_mutex_lock(&pool->commit_lock);
	n = pool->nordered;
	if (n) {
		*out = malloc(n * sizeof(**out));
		if (!*out) {
			*error = -ENOMEM;
		} else {
			list_ordered(pool, *out);
		}
	} else {
		*cut = meta_seq(pool->meta);
		pool->ordered_seq = 0;
		if (freeze) {
			int rc = meta_freeze(pool->meta);

			*error = rc == -EBUSY ? 0 : rc;
		}
	}
	pthread_mutex_unlock(&pool->commit_lock);
	return n;
}

void pool_order(struct object *object)
{
	struct pool *pool = object->pool;

	pthread_mutex_lock(&pool->commit_lock);
	pool_order_locked(object, meta_seq(pool->meta) + 1);
	pthread_mutex_unlock(&pool->commit_lock);
}

/* Makes one object's data go with the cut: in the journal itself, where frames cannot be had. What
 * failed together with others may go alone. */
static int settle(struct object *object, bool alone)
{
	int rc;

	if (object->plain)
		return plain_sync_each(&object, 1);
	if (object->dirty_bytes)
		rc = synced_rescue(object);
	else
		rc = object->synced.behind ? synced_settle(object) : 0;
	return rc < 0 && !alone ? flush_object(object) : rc;
}

/* Not all could be flushed. Those that can be settled are; the others are ordered still. */
static int settle_each(struct object **objects, size_t n, int error)
{
	int first = 0;

	for (size_t i = 0; i < n; i++) {
		int rc = settle(objects[i], n == 1);

		rc = rc == -EFBIG ? error : rc; /* what the tiers say */
		if (rc < 0)
			pool_order(objects[i]); /* still */
		first = first ? first : rc;
	}
	return first;
}

/* As far as the journal may be cut with an object that cannot be settled: before the first rename
 * since the last whole cut. Not just before its own: data of others lies behind theirs. */
static uint64_t partial_cut(struct pool *pool)
{
	uint64_t seq;

	pthread_mutex_lock(&pool->commit_lock);
	seq = pool->ordered_seq;
	pthread_mutex_unlock(&pool->commit_lock);
	return seq ? seq - 1 : 0;
}

/* Was it tried just now? Coding it all in vain takes a processor: so again after twice the time, or
 * when there is more room. */
static bool stuck(struct pool *pool)
{
	return pool->stuck_error && clock_mono_ns() < pool->stuck_until_ns &&
	       flush_room(pool) < pool->stuck_room + ROOM_MORE;
}

static void stuck_set(struct pool *pool, int error)
{
	pool->stuck_wait_ns = pool->stuck_wait_ns ? pool->stuck_wait_ns * 2 : STUCK_NS;
	if (pool->stuck_wait_ns > STUCK_MAX_NS)
		pool->stuck_wait_ns = STUCK_MAX_NS;
	pool->stuck_error = error;
	pool->stuck_until_ns = clock_mono_ns() + pool->stuck_wait_ns;
	pool->stuck_room = flush_room(pool);
	log_warning("%s: a file that must be stored before anything else cannot be (%s): nothing "
		    "after it is durable; tried again after %llu ms, or when there is more room",
		    pool->config.name, strerror(-error),
		    (unsigned long long)(pool->stuck_wait_ns / 1000000));
}

/* With an error, *cut is as far as it may go all the same. */
static int find_cut(struct pool *pool, bool freeze, uint64_t *cut)
{
	int rc;

	pthread_mutex_lock(&pool->sync_lock);
	rc = stuck(pool) ? pool->stuck_error : 0;
	for (unsigned round = 0; rc == 0; round++) {
		struct object **objects = NULL;
		size_t n = take_ordered(pool, freeze, &objects, cut, &rc);

		if (n == 0 || rc < 0)
			break;
		if (round == GATE_AFTER)
			gate_set(pool, true);
		rc = plain_sync_each(objects, n);
		if (rc == 0)
			rc = flush_objects(pool, objects, n);
		if (rc < 0)
			rc = settle_each(objects, n, rc);
		for (size_t i = 0; i < n; i++)
			object_put(objects[i]);
		free(objects);
		if (rc < 0 && rc != -ENOMEM) /* which may have passed already */
			stuck_set(pool, rc);
	}
	if (rc < 0) {
		*cut = partial_cut(pool);
	} else {
		pool->stuck_error = 0;
		pool->stuck_wait_ns = 0;
	}
	if (pool->order_gate)
		gate_set(pool, false);
	pthread_mutex_unlock(&pool->sync_lock);
	return rc;
}

int pool_cut_upto(struct pool *pool, uint64_t need)
{
	uint64_t cut = 0;
	int rc = find_cut(pool, false, &cut), synced = 0;

	/* What is to become durable now may lead to new plain files. */
	if (rc == 0 || cut)
		synced = plain_names_sync(pool);
	if (synced == 0 && (rc == 0 || cut))
		synced = meta_sync(pool->meta, cut);
	if (rc < 0 && synced == 0 && meta_durable_seq(pool->meta) >= need)
		rc = 0;
	return rc < 0 ? rc : synced;
}

int pool_cut(struct pool *pool)
{
	return pool_cut_upto(pool, UINT64_MAX);
}

int pool_sync_meta(struct pool *pool)
{
	if (meta_durable_seq(pool->meta) >= pool->names_seq)
		return 0;
	return pool_cut(pool);
}

int pool_checkpoint(struct pool *pool)
{
	uint64_t cut = 0;
	int rc = find_cut(pool, true, &cut);

	if (rc == 0)
		rc = plain_names_sync(pool);
	return rc < 0 ? rc : meta_checkpoint(pool->meta);
}

int pool_make_room(struct pool *pool, bool frees)
{
	uint64_t before = pool->rooms_made;
	int rc = 0;

	pthread_mutex_lock(&pool->room_lock);
	if (pool->rooms_made == before) { /* else somebody has just done it */
		uint64_t now = clock_mono_ns();

		/* Refused calls alone do not make one after the other; deletes in between do. */
		if (!atomic_exchange(&pool->room_freed, false) && !frees &&
		    now < pool->room_next_ns)
			rc = -ENOSPC;
		else
			rc = pool_checkpoint(pool);
		if (rc == 0) {
			pool->rooms_made++;
			pool->room_next_ns = now + TICK_NS;
		}
	}
	pthread_mutex_unlock(&pool->room_lock);
	return rc;
}

int pool_sync(struct pool *pool)
{
	int rc, cut;

	pthread_mutex_lock(&pool->sync_lock);
	pool->stuck_until_ns = 0; /* somebody wants to know */
	pthread_mutex_unlock(&pool->sync_lock);
	workers_hurry(pool->workers);
	rc = flush_upto(pool, ramlog_head(pool->log));
	pool_reap(pool);
	if (rc == -ENOSPC && pool_free_up(pool) == 0)
		rc = flush_upto(pool, ramlog_head(pool->log));
	workers_hurried(pool->workers);
	cut = plain_sync_all(pool, false);
	rc = rc < 0 ? rc : cut;
	cut = pool_cut(pool);
	if (cut == 0)
		pool_reclaim(pool);
	return rc < 0 ? rc : cut;
}

/* Freed space ------------------------------------------------------------------------------------
 */

int freed_push(struct freed_queue *queue, const struct freed *item)
{
	if (queue->head && queue->head == queue->count)
		queue->head = queue->count = 0;
	if (queue->count == queue->cap && queue->head > queue->cap / 2) {
		queue->count -= queue->head;
		memmove(queue->items, queue->items + queue->head,
			queue->count * sizeof(*queue->items));
		queue->head = 0;
	}
	if (queue->count == queue->cap) {
		size_t cap = queue->cap ? queue->cap * 2 : 64;
		struct freed *items = realloc(queue->items, cap * sizeof(*items));

		if (!items) {
			queue->forgot = item->seq;
			return -ENOMEM;
		}
		queue->items = items;
		queue->cap = cap;
	}
	queue->items[queue->count++] = *item;
	return 0;
}

/* Where the dead bytes around [off, end) of a segment begin and end: between the frames that live,
 * or at `reach` where none follows. */
static int dead_bounds(struct pool *pool, uint64_t segment, uint64_t reach, uint64_t *off,
		       uint64_t *end)
{
	uint64_t from = *off > FRAME_STORED_MAX ? *off - FRAME_STORED_MAX : 0;
	uint64_t low = SEGMENT_HEADER_LEN, high = reach;
	uint8_t prefix[KEY_LEN_1], start[KEY_LEN_2];
	struct meta_cursor *cursor;
	struct meta_item item;
	int rc;

	if (from > low)
		low = from + FRAME_STORED_MAX; /* nothing found before: stay at off */
	key_1(prefix, KEY_PLACED, segment);
	key_2(start, KEY_PLACED, segment, from);
	rc = meta_cursor_open(pool->meta, prefix, sizeof(prefix), start, sizeof(start), &cursor);
	if (rc < 0)
		return rc;
	while ((rc = meta_cursor_next(cursor, &item)) == 0) {
		struct frame_record record;
		uint64_t at;

		if (item.key_len != KEY_LEN_2 || item.len != 8)
			continue;
		at = get_be64(item.key + KEY_LEN_1);
		if (at >= *end) {
			high = at;
			break;
		}
		rc = frame_record_get(pool, get_le64(item.value), &record);
		if (rc == 0)
			low = (uint64_t)record.off + record.stored_len;
		else if (rc != -ENOENT) /* it lives, and nobody knows how far it reaches */
			break;
	}
	meta_cursor_close(cursor);
	if (low < *off)
		*off = low;
	*end = high;
	return rc == -ENOENT ? 0 : rc;
}

/* Where frames that are written and not yet committed cannot lie: no record speaks of them. */
static void clear_bounds(struct pool *pool, const struct freed *item, uint64_t *low, uint64_t *high)
{
	struct segment *segment;

	pthread_mutex_lock(&pool->commit_lock);
	segment = idmap_get(&pool->segments, item->segment.id);
	*low = 0;
	*high = segment ? segment->record.len : item->off + item->len;
	pthread_mutex_unlock(&pool->commit_lock);
	frame_builds_avoid(pool, item, low, high);
}

/* Neighbours whose end is not yet durable are in no record either, but after a power loss they
 * live. Asked after the records: who has left them is in the queue. */
static void clip_pending(struct pool *pool, const struct freed *item, uint64_t *off, uint64_t *end)
{
	const struct freed_queue *queue = &pool->freed;
	size_t i;

	pthread_mutex_lock(&pool->commit_lock);
	for (i = queue->head; i < queue->count && i < queue->head + PENDING_LOOK; i++) {
		const struct freed *other = &queue->items[i];

		if (other->segment.id != item->segment.id || !other->len)
			continue;
		if (other->off > item->off && other->off < *end)
			*end = other->off;
		if (other->off < item->off && other->off + other->len > *off)
			*off = other->off + other->len;
	}
	/* Too many to look at; or some that are not there. */
	if (i < queue->count || queue->forgot > meta_durable_seq(pool->meta)) {
		*off = item->off;
		*end = item->off + item->len;
	}
	pthread_mutex_unlock(&pool->commit_lock);
}

void segment_punch(struct pool *pool, uint32_t tier, struct tier_segment segment, uint64_t len,
		   uint64_t off)
{
	uint64_t places = homes_get(pool->homes, segment.id, segment.place);

	for (; places; places &= places - 1) {
		segment.place = (uint32_t)__builtin_ctzll(places);
		tier_punch(pool->tiers[tier].tier, segment, len, off);
	}
}

bool freed_in_place(struct pool *pool, const struct freed *item, uint32_t tier, uint32_t place)
{
	uint64_t places = item->len ? homes_get(pool->homes, item->segment.id, item->segment.place)
				    : item->places;

	return item->tier == tier && places >> place & 1;
}

/* The dead bytes around a frame. Returns where they end; up to there, nothing is left to be given
 * back. */
static uint64_t give_around(struct pool *pool, const struct freed *item, uint64_t reach)
{
	uint64_t off = item->off, end = item->off + item->len, low, high, done;

	clear_bounds(pool, item, &low, &high);
	if (dead_bounds(pool, item->segment.id, reach, &off, &end) < 0)
		return 0;
	clip_pending(pool, item, &off, &end);
	off = off > low ? off : low;
	end = done = end < high ? end : high;
	off = (off + PUNCH_ALIGN - 1) / PUNCH_ALIGN * PUNCH_ALIGN;
	end = end / PUNCH_ALIGN * PUNCH_ALIGN;
	if (off < end)
		segment_punch(pool, item->tier, item->segment, end - off, off);
	return done;
}

static int by_range(const void *a, const void *b)
{
	const struct freed *x = a, *y = b;

	if (x->segment.id != y->segment.id)
		return x->segment.id < y->segment.id ? -1 : 1;
	return x->off < y->off ? -1 : x->off > y->off;
}

/* Frames with nothing alive between them go in one punch: each is a change of the file system's
 * journal and, where that is mounted with `discard`, a request to the disk that is waited for. */
static void give_frames(struct pool *pool, struct freed *items, size_t n)
{
	uint64_t reach = 0, done = 0;

	qsort(items, n, sizeof(*items), by_range);
	for (size_t i = 0; i < n; i++) {
		blockcache_drop(pool->cache, items[i].frame, items[i].nblocks);
		heat_forget(pool->heat, items[i].frame);
	}
	for (size_t i = 0, k = 0; i < n; i++) {
		if (i == k) { /* another segment */
			while (k < n && items[k].segment.id == items[i].segment.id)
				k++;
			reach = items[k - 1].off + items[k - 1].len;
			done = 0;
		}
		if (items[i].off + items[i].len > done)
			done = give_around(pool, &items[i], reach);
	}
}

static void give_segment(struct pool *pool, const struct freed *item)
{
	struct tier_segment file = item->segment;
	struct segment *segment;
	int rc = 0;

	for (uint64_t places = item->places; places; places &= places - 1) {
		int one;

		file.place = (uint32_t)__builtin_ctzll(places);
		one = tier_segment_remove(pool->tiers[item->tier].tier, file);
		if (one < 0 && one != -ENOENT && one != -ENODEV)
			rc = one;
	}
	if (rc < 0 || item->copy)
		return; /* an orphan file: the next open removes it */
	homes_forget(pool->homes, item->segment.id);
	pthread_mutex_lock(&pool->commit_lock);
	segment = idmap_del(&pool->segments, item->segment.id);
	pthread_mutex_unlock(&pool->commit_lock);
	free(segment);
}

/* Failing leaves a file that the next open removes. */
static void give_plain(struct pool *pool, const struct freed *item)
{
	int rc = plain_file_remove(pool, item->segment.id, &item->plain, true);

	if (rc < 0 && rc != -ENOENT)
		log_warning("tier %s: a plain file that nothing uses cannot be removed (object "
			    "%llu): %s; the next mount tries again",
			    pool->config.tiers[item->tier].name,
			    (unsigned long long)item->segment.id, strerror(-rc));
}

static uint64_t segment_frames(const struct segment *segment)
{
	uint64_t frames = 0;

	for (unsigned c = 0; c < CODEC_COUNT; c++)
		frames += segment->record.codec[c].frames;
	return frames;
}

/* Lets go of sealed segments in which nothing lives. */
static void drop_empty(struct pool *pool)
{
	struct txn *txn = txn_begin(pool);
	struct segment *segment;
	size_t at = 0;
	bool any = false;

	while (!txn->error && (segment = idmap_each(&pool->segments, &at))) {
		if (!segment->removing && !segment_frames(segment) &&
		    segment->record.len > EMPTY_ROLL_BYTES &&
		    appender_holds(pool->tiers[segment->record.tier].appender, segment->id) ==
			    APPENDER_OPEN)
			appender_roll(pool->tiers[segment->record.tier].appender);
		if (segment->removing || segment_frames(segment) ||
		    appender_holds(pool->tiers[segment->record.tier].appender, segment->id) ||
		    frame_builds_in(pool, segment->record.tier, segment->id))
			continue;
		txn_segment_drop(txn, segment);
		any = true;
	}
	if (!any) {
		txn_abort(txn);
		return;
	}
	txn_frees(txn);
	txn_commit(txn);
}

static bool is_frame(const struct freed *item)
{
	return item->len && !item->plain.set;
}

/* The next ones that are durable: several frames, or something else. */
static size_t take_freed(struct pool *pool, struct freed *items, size_t max)
{
	uint64_t durable = meta_durable_seq(pool->meta);
	struct freed_queue *queue = &pool->freed;
	size_t n = 0;

	pthread_mutex_lock(&pool->commit_lock);
	while (n < max && queue->head < queue->count && queue->items[queue->head].seq <= durable &&
	       (n == 0 || (is_frame(items) && is_frame(&queue->items[queue->head]))))
		items[n++] = queue->items[queue->head++];
	pthread_mutex_unlock(&pool->commit_lock);
	return n;
}

/* reclaim_lock: who needs the room waits for what another has in hand; and no frame is punched out
 * of a segment whose file another has removed. */
void pool_reclaim(struct pool *pool)
{
	struct freed items[FREED_A_GO];
	size_t n;

	pthread_mutex_lock(&pool->reclaim_lock);
	while ((n = take_freed(pool, items, FREED_A_GO))) {
		if (items->plain.set)
			give_plain(pool, items);
		else if (items->len)
			give_frames(pool, items, n);
		else
			give_segment(pool, items);
	}
	pthread_mutex_unlock(&pool->reclaim_lock);
	drop_empty(pool);
}

int pool_free_up(struct pool *pool)
{
	int rc = 0;

	/* The second cut is for segments that the first has emptied. */
	for (unsigned i = 0; i < 2 && rc == 0; i++) {
		rc = pool_cut(pool);
		if (rc == 0)
			pool_reclaim(pool);
	}
	space_refresh(pool->space);
	return rc;
}

/* The committer thread: checkpoints, leftovers of large deletes, heat. ----------------------------
 */

static size_t keep_heat(struct pool *pool)
{
	struct heat_entry entries[HEAT_A_TICK];
	size_t n = heat_take(pool->heat, entries, HEAT_A_TICK);
	struct txn *txn;

	if (n == 0)
		return 0;
	txn = txn_begin(pool);
	for (size_t i = 0; i < n; i++) {
		struct frame_record *record = txn_frame(txn, entries[i].frame);

		if (!record)
			continue;
		record->heat = entries[i].state.fast;
		record->heat_slow = entries[i].state.slow;
		record->last_access = entries[i].state.last_s;
	}
	txn_commit(txn); /* a loss of heat is no loss */
	return n;
}

void pool_keep_heat(struct pool *pool)
{
	while (keep_heat(pool))
		;
}

/* A checkpoint that fails is tried again after twice the time, up to CHECKPOINT_WAIT_NS; one that
 * is made because there was no room for metadata comes at the next tick, and once. */
struct checkpoints {
	uint64_t next_ns, wait_ns;
};

static void checkpoint_if_due(struct pool *pool, struct checkpoints *state)
{
	bool due = meta_checkpoint_due(pool->meta, pool->config.checkpoint_interval_ns);
	bool copy = pool->copy_checkpoint == COPY_WANTED;
	uint64_t now = clock_mono_ns();
	int rc;

	if (now < state->next_ns || !(due || copy || atomic_exchange(&pool->meta_full, false)))
		return;
	rc = pool_checkpoint(pool);
	if (copy)
		pool->copy_checkpoint = rc;
	if (rc == 0) { /* else logged where it failed */
		state->wait_ns = 0;
		return;
	}
	state->wait_ns = state->wait_ns ? state->wait_ns * 2 : TICK_NS;
	if (state->wait_ns > CHECKPOINT_WAIT_NS)
		state->wait_ns = CHECKPOINT_WAIT_NS;
	state->next_ns = now + state->wait_ns;
}

void *pool_committer(void *arg)
{
	struct pool *pool = arg;
	struct checkpoints checkpoints = {0};
	unsigned ticks = 0;
	uint64_t heat_due = clock_mono_ns() + 10 * (uint64_t)TICK_NS;

	while (pool_rest(pool, TICK_NS)) {
		checkpoint_if_due(pool, &checkpoints);
		pool_reap(pool);
		damage_settle(pool);
		scrub_settle(pool);
		ramlog_trim(pool->log);
		ram_tier_tick(pool);
		if (++ticks % CLOSED_TICKS == 0)
			plain_sync_all(pool, true); /* what fails is told by the next sync */
		if (clock_mono_ns() >= heat_due) {
			keep_heat(pool);
			heat_due = clock_mono_ns() + 10 * (uint64_t)TICK_NS;
		}
	}
	return NULL;
}
