// SPDX-License-Identifier: Apache-2.0
/*
 * The RAM log: records, what of them is live, and who waits for room. Chunks and when they may go
 * are in tiers/ramlog_ring.c, bytes in tiers/ramlog_file.c.
 *
 * A record's position is its chunk's sequence number times RAMLOG_CHUNK_BYTES plus its offset
 * there.
 *
 * Invariants, beyond the header's:
 *  1. A record is counted as pending from reserve to commit or cancel, as live from commit on, both
 *     in one hold of the lock: there is no moment when a chunk with a record on its way may go.
 *  2. Whoever lets a chunk become free (commit, cancel, release, sealing) frees it and wakes those
 *     who wait, before the lock is let go.
 *
 * Threads: any. One lock around everything but the payload's copy and the making of a chunk; no
 * lock but log_line()'s is taken under it.
 */
#include "tiers/ramlog.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "tiers/clock.h"
#include "tiers/log.h"
#include "tiers/ramlog_ring.h"

struct ramlog {
	pthread_mutex_t lock; /* guards the rest */
	pthread_cond_t room;
	struct ramlog_ring ring;
	uint64_t live; /* sum of the chunks' */
	bool growing;  /* a thread is making a chunk, without the lock */
};

static void free_oldest_locked(struct ramlog *log)
{
	if (ramlog_ring_free_oldest(&log->ring))
		pthread_cond_broadcast(&log->room);
}

static void ramlog_destroy(struct ramlog *log)
{
	ramlog_ring_close(&log->ring);
	pthread_cond_destroy(&log->room);
	pthread_mutex_destroy(&log->lock);
	free(log);
}

int ramlog_open(struct ramlog **out, const struct ramlog_options *options, bool *recovered)
{
	pthread_condattr_t attr;
	struct ramlog *log;
	int err;

	*out = NULL;
	*recovered = false;
	if (!options->look && options->max_bytes < RAMLOG_MAX_BYTES_MIN) {
		log_error("RAM log in %s: %" PRIu64 " bytes are too few, it needs %u", options->dir,
			  options->max_bytes, RAMLOG_MAX_BYTES_MIN);
		return -EINVAL;
	}
	log = calloc(1, sizeof(*log));
	if (!log)
		return -ENOMEM;
	pthread_mutex_init(&log->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&log->room, &attr);
	pthread_condattr_destroy(&attr);
	err = ramlog_ring_open(&log->ring, options, recovered);
	if (err) {
		*recovered = false;
		ramlog_destroy(log);
		return err;
	}
	for (size_t i = 0; i < log->ring.count; i++)
		log->live += ramlog_ring_nth(&log->ring, i)->live;
	*out = log;
	return 0;
}

int ramlog_begin(struct ramlog *log)
{
	int err;

	pthread_mutex_lock(&log->lock);
	err = ramlog_ring_begin(&log->ring);
	pthread_mutex_unlock(&log->lock);
	return err;
}

void ramlog_close(struct ramlog *log, bool empty)
{
	if (!log)
		return;
	/* It logs; files that stay without a head are removed by the next open. */
	if (empty)
		ramlog_ring_discard(&log->ring);
	ramlog_destroy(log);
}

/* ---- append ---- */

/* Makes one more chunk. The lock is let go meanwhile: it takes a millisecond. */
static int grow_locked(struct ramlog *log)
{
	uint64_t file = log->ring.next_file++;
	struct ramlog_chunk *chunk;
	int err;

	log->growing = true;
	pthread_mutex_unlock(&log->lock);
	err = ramlog_chunk_create(&chunk, log->ring.dir, file);
	pthread_mutex_lock(&log->lock);
	log->growing = false;
	ramlog_ring_grown(&log->ring, chunk, err);
	pthread_cond_broadcast(&log->room);
	return err;
}

/* Sees to it that the current chunk has need bytes left; the lock may be let go meanwhile. */
static int make_room_locked(struct ramlog *log, uint32_t need)
{
	int err = 0;

	while (!err && need > RAMLOG_CHUNK_BYTES - ramlog_ring_current(&log->ring)->used) {
		if (log->ring.free) {
			err = ramlog_ring_advance(&log->ring);
			free_oldest_locked(log); /* what was the current one may be dead */
		} else if (log->growing) {
			pthread_cond_wait(&log->room, &log->lock);
		} else if (!ramlog_ring_may_grow(&log->ring) || grow_locked(log) < 0) {
			/* Also when tmpfs is full: for the writer, the ring is as large as it
			 * is. */
			err = -EAGAIN;
		}
	}
	return err;
}

int ramlog_reserve(struct ramlog *log, enum ramlog_op op, uint64_t object, uint64_t off,
		   uint64_t len, int64_t time_ns, struct ramlog_record *out, void **data)
{
	struct ramlog_chunk *chunk;
	uint32_t at;
	int err;

	*data = NULL;
	if (op == RAMLOG_WRITE && len > RAMLOG_RECORD_MAX)
		return -EINVAL;
	pthread_mutex_lock(&log->lock);
	err = make_room_locked(log, ramlog_record_bytes(op, len));
	if (!err) {
		chunk = ramlog_ring_current(&log->ring);
		at = chunk->used;
		*out = (struct ramlog_record){
			.object = object,
			.off = off,
			.len = len,
			.time_ns = time_ns,
			.op = op,
			.pos = chunk->seq * RAMLOG_CHUNK_BYTES + at,
		};
		ramlog_record_put(chunk, out, log->ring.log_id);
		chunk->pending++;
		if (op == RAMLOG_WRITE)
			out->data = *data = chunk->base + at + RAMLOG_HEADER;
	}
	pthread_mutex_unlock(&log->lock);
	return err;
}

static void settle(struct ramlog *log, const struct ramlog_record *record, enum ramlog_state state)
{
	struct ramlog_chunk *chunk;

	pthread_mutex_lock(&log->lock);
	chunk = ramlog_ring_at(&log->ring, record->pos);
	assert(chunk && chunk->pending);
	ramlog_record_mark(chunk, (uint32_t)(record->pos % RAMLOG_CHUNK_BYTES), state);
	chunk->pending--;
	if (state == RAMLOG_COMMITTED && record->op == RAMLOG_WRITE) {
		chunk->live += record->len;
		log->live += record->len;
	}
	free_oldest_locked(log);
	pthread_mutex_unlock(&log->lock);
}

void ramlog_commit(struct ramlog *log, const struct ramlog_record *record)
{
	settle(log, record, RAMLOG_COMMITTED);
}

void ramlog_cancel(struct ramlog *log, const struct ramlog_record *record)
{
	settle(log, record, RAMLOG_CANCELLED);
}

void ramlog_revoke(struct ramlog *log, const struct ramlog_record *record)
{
	struct ramlog_chunk *chunk;

	assert(record->op != RAMLOG_WRITE);
	pthread_mutex_lock(&log->lock);
	chunk = ramlog_ring_at(&log->ring, record->pos);
	if (chunk) /* else it has been freed, and the record with it */
		ramlog_record_mark(chunk, (uint32_t)(record->pos % RAMLOG_CHUNK_BYTES),
				   RAMLOG_CANCELLED);
	pthread_mutex_unlock(&log->lock);
}

void ramlog_release(struct ramlog *log, uint64_t pos, uint64_t bytes)
{
	struct ramlog_chunk *chunk;

	if (bytes == 0)
		return; /* an empty record does not keep its chunk: it may be gone */
	pthread_mutex_lock(&log->lock);
	chunk = ramlog_ring_at(&log->ring, pos);
	assert(chunk && chunk->live >= bytes);
	chunk->live -= bytes;
	log->live -= bytes;
	if (chunk->live == 0)
		free_oldest_locked(log);
	pthread_mutex_unlock(&log->lock);
}

/* True if there is a free chunk, or one may be made now. */
static bool room_locked(const struct ramlog *log)
{
	return log->ring.free || ramlog_ring_may_grow(&log->ring);
}

int ramlog_wait_room(struct ramlog *log, uint64_t timeout_ns)
{
	uint64_t end = clock_mono_ns() + timeout_ns;
	int err = 0;

	if (end < timeout_ns)
		end = UINT64_MAX;
	pthread_mutex_lock(&log->lock);
	while (!room_locked(log) && !err) {
		uint64_t until = end;
		struct timespec at;

		/* When nothing is freed, the time to try tmpfs again is an event too. */
		if (log->ring.count + log->ring.nfree < log->ring.max && log->ring.retry_at < until)
			until = log->ring.retry_at;
		at.tv_sec = (time_t)(until / 1000000000u);
		at.tv_nsec = (long)(until % 1000000000u);
		if (pthread_cond_timedwait(&log->room, &log->lock, &at) == ETIMEDOUT &&
		    until == end && !room_locked(log))
			err = -ETIMEDOUT;
	}
	pthread_mutex_unlock(&log->lock);
	return err;
}

/* ---- read back ---- */

int ramlog_walk(struct ramlog *log, uint64_t from, struct ramlog_record *out, uint64_t *next)
{
	struct ramlog_chunk *chunk;
	enum ramlog_state state;
	uint32_t at;
	int err = -ENOENT;

	pthread_mutex_lock(&log->lock);
	if (from < log->ring.oldest * RAMLOG_CHUNK_BYTES)
		from = log->ring.oldest * RAMLOG_CHUNK_BYTES;
	while ((chunk = ramlog_ring_at(&log->ring, from)) != NULL) {
		at = (uint32_t)(from % RAMLOG_CHUNK_BYTES);
		if (at < RAMLOG_CHUNK_HEADER)
			at = RAMLOG_CHUNK_HEADER;
		from = chunk->seq * RAMLOG_CHUNK_BYTES + at;
		if (at >= chunk->used) {
			if (chunk == ramlog_ring_current(&log->ring))
				break;
			from = (chunk->seq + 1) * RAMLOG_CHUNK_BYTES;
			continue;
		}
		state = ramlog_record_get(chunk, at, out);
		if (state == RAMLOG_RESERVED)
			break;
		from += ramlog_record_bytes(out->op, out->len);
		if (state == RAMLOG_COMMITTED) {
			err = 0;
			break;
		}
	}
	*next = from;
	pthread_mutex_unlock(&log->lock);
	return err;
}

uint64_t ramlog_head(struct ramlog *log)
{
	uint64_t pos;

	pthread_mutex_lock(&log->lock);
	pos = ramlog_ring_current(&log->ring)->seq * RAMLOG_CHUNK_BYTES +
	      ramlog_ring_current(&log->ring)->used;
	pthread_mutex_unlock(&log->lock);
	return pos;
}

void ramlog_usage(struct ramlog *log, struct ramlog_usage *out)
{
	pthread_mutex_lock(&log->lock);
	out->reserved = (log->ring.count + log->ring.nfree) * (uint64_t)RAMLOG_CHUNK_BYTES;
	out->live = log->live;
	out->max = log->ring.max * (uint64_t)RAMLOG_CHUNK_BYTES;
	pthread_mutex_unlock(&log->lock);
}

/* ---- size ---- */

void ramlog_trim(struct ramlog *log)
{
	struct ramlog_chunk *list;

	pthread_mutex_lock(&log->lock);
	list = ramlog_ring_shed(&log->ring, true);
	pthread_mutex_unlock(&log->lock);
	ramlog_ring_remove(&log->ring, list);
}

void ramlog_resize(struct ramlog *log, uint64_t max_bytes)
{
	struct ramlog_chunk *list;

	pthread_mutex_lock(&log->lock);
	ramlog_ring_limit(&log->ring, max_bytes);
	list = ramlog_ring_shed(&log->ring, false);
	pthread_cond_broadcast(&log->room); /* it may have grown */
	pthread_mutex_unlock(&log->lock);
	ramlog_ring_remove(&log->ring, list);
}
