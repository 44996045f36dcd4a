// SPDX-License-Identifier: Apache-2.0
/*
 * Invariants:
 *  1. A piece is read by whoever claims it (team.next), once. The caller claims too, until none is
 *     left, so that it never waits for a helper that has not begun.
 *  2. The pieces belong to the caller: it returns only when all that were claimed are done. The
 *     team outlives it as long as a helper holds a reference; a late one finds nothing to claim.
 */
#include "tiers/frame_pieces.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "tiers/frame_stream.h"
#include "tiers/framestore.h"
#include "tiers/pool_impl.h"
#include "tiers/workers.h"

#define TEAM_PIECES_MIN	 3u	      /* left after the first */
#define TEAM_BYTES_MIN	 (192u << 10) /* waking a worker costs about what 64 KiB of decoding does */
#define HELPERS_MAX	 3u
/* Smaller reads are not a stream's: the kernel reads ahead by more. Larger ones are taken in steps,
 * each of a buffer's size. */
#define STREAM_BYTES_MIN (256u << 10)
#define STREAM_BYTES_MAX (1u << 20)

struct work {
	struct pool *pool;
	struct frame_piece *pieces;
	const struct frame_stream *stream; /* what it has of the pieces; NULL: nothing */
};

struct team {
	struct work work;
	size_t n;
	_Atomic size_t next;
	_Atomic unsigned refs;
	pthread_mutex_t lock;
	pthread_cond_t all_done;
	size_t done; /* lock */
};

static void read_piece(const struct work *work, size_t i)
{
	struct frame_piece *piece = &work->pieces[i];

	if (!work->stream || !stream_decode(work->stream, piece, i))
		piece->error = frame_read(work->pool, piece->frame, piece->off, piece->buf,
					  piece->len, &piece->tier);
}

static void team_put(struct team *team)
{
	if (atomic_fetch_sub(&team->refs, 1) > 1)
		return;
	pthread_cond_destroy(&team->all_done);
	pthread_mutex_destroy(&team->lock);
	free(team);
}

static void team_work(struct team *team)
{
	size_t i, done = 0;

	while ((i = atomic_fetch_add(&team->next, 1)) < team->n) {
		read_piece(&team->work, i);
		done++;
	}
	pthread_mutex_lock(&team->lock);
	team->done += done;
	if (team->done == team->n)
		pthread_cond_signal(&team->all_done);
	pthread_mutex_unlock(&team->lock);
}

static int help(void *job, struct codec_scratch *scratch)
{
	struct team *team = job;

	(void)scratch;
	team_work(team);
	team_put(team);
	return 0;
}

/* Pieces [first, n). */
static bool team_read(const struct work *work, size_t first, size_t n)
{
	struct team *team = malloc(sizeof(*team));

	if (!team)
		return false;
	*team = (struct team){.work = *work, .n = n, .done = first};
	atomic_init(&team->next, first);
	atomic_init(&team->refs, 1);
	pthread_mutex_init(&team->lock, NULL);
	pthread_cond_init(&team->all_done, NULL);
	for (unsigned i = 0; i < HELPERS_MAX && first + i + 1 < n; i++) {
		atomic_fetch_add(&team->refs, 1);
		if (workers_offer(work->pool->workers, help, team))
			continue;
		atomic_fetch_sub(&team->refs, 1);
		break;
	}
	team_work(team);
	pthread_mutex_lock(&team->lock);
	while (team->done < n)
		pthread_cond_wait(&team->all_done, &team->lock);
	pthread_mutex_unlock(&team->lock);
	team_put(team);
	return true;
}

/* Neighbours that are read at once. */
static void read_some(struct pool *pool, struct frame_piece *pieces, size_t n, uint64_t bytes)
{
	struct frame_stream stream;
	struct work work = {.pool = pool, .pieces = pieces};
	uint64_t misses = pool->ram_misses;
	bool missing = false;
	size_t i = 0;

	if (bytes >= STREAM_BYTES_MIN) {
		missing = stream_fetch(&stream, pool, pieces, n);
		work.stream = &stream;
	}
	if (!missing) { /* what is decoded already is only copied: no work to share */
		read_piece(&work, i++);
		missing = pool->ram_misses != misses;
	}
	if (missing && n - i >= TEAM_PIECES_MIN && bytes >= TEAM_BYTES_MIN &&
	    team_read(&work, i, n))
		i = n;
	for (; i < n; i++)
		read_piece(&work, i);
	if (work.stream)
		stream_end(&stream);
}

void frame_pieces_read(struct pool *pool, struct frame_piece *pieces, size_t n)
{
	while (n) {
		uint64_t bytes = 0;
		size_t some = 0;

		while (some < n && some < STREAM_PIECES_MAX &&
		       (!some || bytes + pieces[some].len <= STREAM_BYTES_MAX))
			bytes += pieces[some++].len;
		read_some(pool, pieces, some, bytes);
		pieces += some;
		n -= some;
	}
}
