// SPDX-License-Identifier: Apache-2.0
/*
 * The RAM log's chunks in their order.
 *
 * Invariants:
 *  1. The chunks in use have the sequence numbers oldest, oldest + 1, ... without a gap; the last
 *     is the current one, the only one that is appended to.
 *  2. The oldest chunk is freed when it is not the current one, holds no live bytes and no record
 *     between reserve and commit. Its header is invalidated before the next chunk may go.
 *  3. There are always CHUNKS_MIN chunks, in use or free. So a full ring, or a tmpfs that others
 *     have filled, always has an oldest chunk that is not the current one: who waits for room
 *     waits for the flusher and for nothing else.
 *  4. The current chunk is sealed only when its successor is at hand.
 *
 * Threads: the log's lock is held, but for open and close.
 */
#include "tiers/ramlog_ring.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tiers/clock.h"
#include "tiers/log.h"

#define CHUNKS_MIN   2u
#define FREE_RESERVE 4u	       /* left by a trim, so that a steady writer does not pay for it */
#define SINK_SHARE   16u       /* of what was in use lately, with every trim */
#define KEEP_SHARE   4u	       /* of the log at most: the rest of the memory is the cache's */
#define RETRY_NS     100000000 /* between two attempts to grow into a full tmpfs */

_Static_assert(CHUNKS_MIN *RAMLOG_CHUNK_BYTES <= RAMLOG_MAX_BYTES_MIN,
	       "the smallest log has its chunks");

static size_t max_chunks(uint64_t max_bytes)
{
	uint64_t n = max_bytes / RAMLOG_CHUNK_BYTES;

	return n < CHUNKS_MIN ? CHUNKS_MIN : (size_t)n;
}

struct ramlog_chunk *ramlog_ring_nth(const struct ramlog_ring *ring, size_t i)
{
	return ring->slots[(ring->first + i) % ring->cap];
}

struct ramlog_chunk *ramlog_ring_current(const struct ramlog_ring *ring)
{
	return ramlog_ring_nth(ring, ring->count - 1);
}

/* The chunk in use that holds pos, or NULL. */
struct ramlog_chunk *ramlog_ring_at(const struct ramlog_ring *ring, uint64_t pos)
{
	uint64_t seq = pos / RAMLOG_CHUNK_BYTES;

	if (seq < ring->oldest || seq - ring->oldest >= ring->count)
		return NULL;
	return ramlog_ring_nth(ring, (size_t)(seq - ring->oldest));
}

static int slots_grow(struct ramlog_ring *ring)
{
	size_t cap = ring->cap ? 2 * ring->cap : 16;
	struct ramlog_chunk **slots = calloc(cap, sizeof(struct ramlog_chunk *));

	if (!slots)
		return -ENOMEM;
	for (size_t i = 0; i < ring->count; i++)
		slots[i] = ramlog_ring_nth(ring, i);
	free(ring->slots);
	ring->slots = slots;
	ring->cap = cap;
	ring->first = 0;
	return 0;
}

static void free_push(struct ramlog_ring *ring, struct ramlog_chunk *chunk)
{
	chunk->next = ring->free;
	ring->free = chunk;
	ring->nfree++;
}

static struct ramlog_chunk *free_pop(struct ramlog_ring *ring)
{
	struct ramlog_chunk *chunk = ring->free;

	ring->free = chunk->next;
	ring->nfree--;
	return chunk;
}

bool ramlog_ring_may_grow(const struct ramlog_ring *ring)
{
	return ring->count + ring->nfree < ring->max &&
	       (!ring->retry_at || clock_mono_ns() >= ring->retry_at);
}

void ramlog_ring_grown(struct ramlog_ring *ring, struct ramlog_chunk *chunk, int err)
{
	if (err) {
		if (!ring->retry_at)
			log_warning("RAM log in %s: %s at %zu of %zu chunks of %u bytes; writes "
				    "wait for the flusher until there is room on its tmpfs",
				    ring->dir, strerror(-err), ring->count + ring->nfree, ring->max,
				    RAMLOG_CHUNK_BYTES);
		ring->retry_at = clock_mono_ns() + RETRY_NS;
	} else {
		ring->retry_at = 0;
		free_push(ring, chunk);
	}
}

bool ramlog_ring_free_oldest(struct ramlog_ring *ring)
{
	bool any = false;

	while (ring->count > 1) {
		struct ramlog_chunk *chunk = ramlog_ring_nth(ring, 0);

		if (chunk->live || chunk->pending)
			break;
		ramlog_chunk_invalidate(chunk);
		ring->first = (ring->first + 1) % ring->cap;
		ring->count--;
		ring->oldest++;
		any = true;
		if (ring->count + ring->nfree < ring->max)
			free_push(ring, chunk);
		else
			ramlog_chunk_remove(chunk, ring->dir); /* the limit was lowered */
	}
	return any;
}

int ramlog_ring_advance(struct ramlog_ring *ring)
{
	struct ramlog_chunk *chunk;
	int err = ring->count == ring->cap ? slots_grow(ring) : 0;

	if (err)
		return err;
	chunk = free_pop(ring);
	if (ring->count)
		ramlog_chunk_seal(ramlog_ring_current(ring));
	ramlog_chunk_publish(chunk, ring->oldest + ring->count, ring->log_id);
	ring->slots[(ring->first + ring->count) % ring->cap] = chunk;
	ring->count++;
	if (ring->lately < ring->count)
		ring->lately = ring->count;
	return 0;
}

/* Fresh memory costs twenty times what a copy into memory in use does (blocks, faults, zeros: 230
 * ms and 11 for 240 MiB), so who writes again soon finds the chunks of last time. */
static size_t keep(struct ramlog_ring *ring)
{
	size_t most = ring->count + FREE_RESERVE, lately = ring->lately;

	if (lately > ring->count)
		ring->lately -= (lately - ring->count + SINK_SHARE - 1) / SINK_SHARE;
	lately = lately < ring->max / KEEP_SHARE ? lately : ring->max / KEEP_SHARE;
	most = most > lately ? most : lately;
	return most < ring->max ? most : ring->max;
}

struct ramlog_chunk *ramlog_ring_shed(struct ramlog_ring *ring, bool trim)
{
	size_t most = trim ? keep(ring) : ring->max;
	struct ramlog_chunk *list = NULL, *chunk;

	most = most > CHUNKS_MIN ? most : CHUNKS_MIN;
	while (ring->free && ring->count + ring->nfree > most) {
		chunk = free_pop(ring);
		chunk->next = list;
		list = chunk;
	}
	return list;
}

void ramlog_ring_remove(struct ramlog_ring *ring, struct ramlog_chunk *list)
{
	struct ramlog_chunk *chunk;

	while ((chunk = list) != NULL) {
		list = chunk->next;
		ramlog_chunk_remove(chunk, ring->dir);
	}
}

static int discard_file(void *arg, uint64_t file)
{
	return ramlog_file_remove(arg, file);
}

/* The head goes first: chunks without one are nobody's, and a kill in between leaves no log with a
 * part missing. */
int ramlog_ring_discard(struct ramlog_ring *ring)
{
	int err = ramlog_head_remove(ring->dir);

	if (err)
		log_error("RAM log in %s: cannot remove its head: %s", ring->dir, strerror(-err));
	return err ? err : ramlog_files(ring->dir, discard_file, ring->dir);
}

static int recover_file(void *arg, uint64_t file)
{
	struct ramlog_ring *ring = arg;
	struct ramlog_chunk *chunk;
	int err;

	if (file >= ring->next_file)
		ring->next_file = file + 1;
	if (ring->count == ring->cap) {
		err = slots_grow(ring);
		if (err)
			return err;
	}
	err = ring->look ? ramlog_chunk_look(&chunk, ring->dir, file, ring->log_id)
			 : ramlog_chunk_open(&chunk, ring->dir, file, ring->log_id);
	if (err || !chunk)
		return err;
	if (chunk->seq == 0)
		free_push(ring, chunk);
	else
		ring->slots[ring->count++] = chunk;
	return 0;
}

static int chunk_compare(const void *a, const void *b)
{
	const struct ramlog_chunk *const *left = a, *const *right = b;

	return (*left)->seq < (*right)->seq ? -1 : (*left)->seq > (*right)->seq;
}

/* Takes up what a killed process left. */
static int recover(struct ramlog_ring *ring)
{
	int err = ramlog_files(ring->dir, recover_file, ring);
	bool sealed = true;

	if (err)
		return err;
	if (ring->count == 0)
		return 0;
	qsort(ring->slots, ring->count, sizeof(struct ramlog_chunk *), chunk_compare);
	ring->oldest = ring->slots[0]->seq;
	for (size_t i = 0; i < ring->count; i++) {
		struct ramlog_chunk *chunk = ring->slots[i];

		if (chunk->seq != ring->oldest + i || !sealed) {
			log_error("RAM log in %s: chunk %" PRIu64 " is missing or was cut short; "
				  "save the folder, then look at what removed it",
				  ring->dir,
				  chunk->seq == ring->oldest + i ? chunk->seq - 1
								 : ring->oldest + i);
			return -EUCLEAN;
		}
		err = ramlog_chunk_scan(chunk, ring->dir, ring->log_id, &sealed);
		if (err)
			return err;
	}
	return 0;
}

/* A log of another boot is none. */
static int ring_look(struct ramlog_ring *ring, const struct ramlog_options *options)
{
	int err = ramlog_head_read(ring->dir, options->pool_uuid, &ring->log_id);

	ring->look = true;
	if (err)
		return err == -ESTALE ? -ENOENT : err;
	return recover(ring);
}

int ramlog_ring_open(struct ramlog_ring *ring, const struct ramlog_options *options,
		     bool *recovered)
{
	struct ramlog_chunk *chunk;
	bool fresh = false;
	int err;

	*ring = (struct ramlog_ring){.max = max_chunks(options->max_bytes),
				     .oldest = 1}; /* so that no position is 0 */
	*recovered = false;
	ring->dir = strdup(options->dir);
	if (!ring->dir)
		return -ENOMEM;
	if (options->look) {
		err = ring_look(ring, options);
		*recovered = err == 0;
		return err;
	}
	memcpy(ring->pool_uuid, options->pool_uuid, sizeof(ring->pool_uuid));
	err = options->create ? -ENOENT
			      : ramlog_head_read(ring->dir, options->pool_uuid, &ring->log_id);
	*recovered = err == 0;
	if (err == -ESTALE)
		log_info("RAM log in %s: of another boot, discarded", ring->dir);
	if (err == -ENOENT || err == -ESTALE) {
		err = ramlog_ring_discard(ring);
		fresh = !err;
		ring->held = true;
		if (!err)
			err = ramlog_id_new(&ring->log_id);
		if (!err && !options->hold)
			err = ramlog_ring_begin(ring);
	} else if (!err) {
		err = recover(ring);
		if (!err)
			ramlog_ring_remove(ring, ramlog_ring_shed(ring, false));
	}
	while (!err && ring->count + ring->nfree < CHUNKS_MIN) {
		err = ramlog_chunk_create(&chunk, ring->dir, ring->next_file++);
		ramlog_ring_grown(ring, chunk, err);
	}
	if (!err && ring->count == 0)
		err = ramlog_ring_advance(ring);
	/* A log that did not come to be leaves no memory taken. */
	if (err && fresh)
		ramlog_ring_discard(ring);
	return err;
}

/* Chunks without a head are nobody's: until here the log is as if it had never been. */
int ramlog_ring_begin(struct ramlog_ring *ring)
{
	int err = ring->held ? ramlog_head_write(ring->dir, ring->pool_uuid, ring->log_id) : 0;

	ring->held = ring->held && err;
	return err;
}

void ramlog_ring_close(struct ramlog_ring *ring)
{
	for (size_t i = 0; i < ring->count; i++)
		ramlog_chunk_close(ramlog_ring_nth(ring, i));
	while (ring->free)
		ramlog_chunk_close(free_pop(ring));
	free(ring->slots);
	free(ring->dir);
}

void ramlog_ring_limit(struct ramlog_ring *ring, uint64_t max_bytes)
{
	ring->max = max_chunks(max_bytes);
}
