// SPDX-License-Identifier: Apache-2.0
/*
 * When a copy is due: something has changed since the last one, and that is metadata_copy_interval
 * ago; or a twelfth of that, and as much has changed as a quarter of the files would be, or
 * metadata_copy_bytes were moved: what is restored from a copy is sought in all that was written to
 * the tiers after it. The first one comes a minute after the mount.
 *
 * A copy holds what a checkpoint has put into the tree, so one is made first: by the committer,
 * since this thread steps back from the media, and others would wait for its locks.
 *
 * What the thread does between two copies is look at two numbers, so nothing wakes a disk unless a
 * copy is due.
 */
#include "tiers/copier.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tiers/clock.h"
#include "tiers/log.h"
#include "tiers/pool_impl.h"
#include "tiers/workers.h"

#define SECOND_NS	   1000000000ull
#define FIRST_NS	   (60 * SECOND_NS)
#define TICK_NS		   (5 * SECOND_NS)
#define CHECKPOINT_TICK_NS (SECOND_NS / 20)
#define EARLY_PART	   12u /* of the interval: not sooner, however much changes */
#define EARLY_CHANGES	   4096u
#define PAUSE_FACTOR	   3u		/* the thread rests this many times as long as it works */
#define LAST_BYTES_MAX	   (256u << 20) /* of the tree: more would hold an unmount up too long */

struct copier {
	pthread_mutex_t lock; /* guards status */
	struct copier_status status;
	uint64_t seq, batches; /* of the store, when the last copy was begun; the thread's */
	uint64_t moved;	       /* of the pool, then */
	uint64_t tried_ns;
	bool any;
};

static bool holds_metadata(const struct pool *pool, const char *path)
{
	char *meta = realpath(pool->config.meta_path, NULL), *place = realpath(path, NULL);
	size_t len = place ? strlen(place) : 0;
	bool inside = meta && place && !strncmp(meta, place, len) &&
		      (meta[len] == '/' || meta[len] == '\0' || len == 1);

	free(meta);
	free(place);
	return inside;
}

int copier_dirs(struct pool *pool, const char ***out, size_t *n)
{
	const char **dirs = calloc((size_t)pool->config.ntiers * TIER_PLACES_MAX, sizeof(*dirs));

	*n = 0;
	if (!dirs)
		return -ENOMEM;
	for (uint32_t t = 1; t < pool->config.ntiers; t++) {
		struct tier *tier = pool->tiers[t].tier;

		for (uint32_t place = 0; place < tier->nplaces; place++) {
			const char *path = tier_place_path(tier, place);

			if (path && tier_has_place(tier, place) && !holds_metadata(pool, path))
				dirs[(*n)++] = path;
		}
	}
	*out = dirs;
	return 0;
}

static int each_found(void *arg, const char *path, const struct copy_info *info)
{
	struct copier_status *status = arg;

	(void)path;
	if (info->generation > status->newest.generation)
		status->newest = *info;
	return 0;
}

int copier_new(struct pool *pool, struct copier **out)
{
	struct copier *copier = calloc(1, sizeof(*copier));
	const char **dirs = NULL;
	int rc = copier ? copier_dirs(pool, &dirs, &copier->status.dirs) : -ENOMEM;

	if (rc < 0) {
		free(copier);
		return rc;
	}
	for (size_t i = 0; i < copier->status.dirs; i++)
		copy_list(dirs[i], pool->config.uuid, each_found, &copier->status);
	free(dirs);
	pthread_mutex_init(&copier->lock, NULL);
	copier->any = copier->status.newest.generation != 0;
	copier->seq = copier->status.newest.seq;
	copier->tried_ns = clock_mono_ns();
	*out = copier;
	return 0;
}

void copier_free(struct copier *copier)
{
	if (!copier)
		return;
	pthread_mutex_destroy(&copier->lock);
	free(copier);
}

void pool_copies_status(struct pool *pool, struct copier_status *out)
{
	pthread_mutex_lock(&pool->copier->lock);
	*out = pool->copier->status;
	pthread_mutex_unlock(&pool->copier->lock);
}

/* A state that is to be in the copy, and since when it has been. */
struct mark {
	uint64_t seq;
	int64_t time_ns;
};

static struct mark mark_now(struct pool *pool)
{
	int64_t now = clock_wall_ns(); /* before: what comes in between is in it, too */

	return (struct mark){.seq = meta_seq(pool->meta), .time_ns = now};
}

static int write_copy(struct pool *pool, const struct mark *mark,
		      int (*pace)(void *arg, uint64_t work_ns))
{
	struct copier *copier = pool->copier;
	struct copy_job job = {.meta = pool->meta,
			       .pool_uuid = pool->config.uuid,
			       .generation = copier->status.newest.generation + 1,
			       .seq = mark->seq,
			       .time_ns = mark->time_ns,
			       .keep = pool->config.metadata_copies,
			       .pace = pace,
			       .arg = pool};
	struct meta_stats stats;
	struct copy_info info;
	uint64_t moved = pool->moved_bytes;
	size_t written = 0, n;
	const char **dirs;
	int rc = copier_dirs(pool, &dirs, &n);

	if (rc < 0)
		return rc;
	job.dirs = dirs;
	job.ndirs = n;
	meta_stats(pool->meta, &stats);
	if (n)
		rc = copy_write(&job, &info, &written);
	free(dirs);
	pthread_mutex_lock(&copier->lock);
	copier->status.dirs = n;
	if (n && rc != -ECANCELED)
		copier->status.error = rc;
	if (written) {
		copier->status.newest = info;
		copier->status.written = written;
	}
	pthread_mutex_unlock(&copier->lock);
	if (written) {
		copier->any = true;
		copier->seq = info.seq;
		copier->batches = stats.batches;
		copier->moved = moved;
	}
	return rc;
}

/* After a failure too the next try is an interval away, but for one that lost a race. */
static bool due(struct pool *pool)
{
	const struct copier *copier = pool->copier;
	uint64_t interval = pool->config.metadata_copy_interval_ns;
	uint64_t age = clock_mono_ns() - copier->tried_ns;
	struct meta_stats stats;
	uint64_t objects;

	if (!pool->config.metadata_copies || meta_seq(pool->meta) == copier->seq)
		return false;
	if (age >= interval || (!copier->any && age >= FIRST_NS))
		return true;
	if (age < interval / EARLY_PART)
		return false;
	if (pool->moved_bytes - copier->moved >= pool->config.metadata_copy_bytes)
		return true;
	meta_stats(pool->meta, &stats);
	pthread_mutex_lock(&pool->commit_lock);
	objects = pool->counts.objects;
	pthread_mutex_unlock(&pool->commit_lock);
	return stats.batches - copier->batches > objects / 4 + EARLY_CHANGES;
}

/* -ECANCELED: the pool is being closed. */
static int wait_checkpoint(struct pool *pool)
{
	pool->copy_checkpoint = COPY_WANTED;
	while (pool->copy_checkpoint == COPY_WANTED)
		if (!pool_rest(pool, CHECKPOINT_TICK_NS))
			return -ECANCELED;
	return pool->copy_checkpoint;
}

static int pace(void *arg, uint64_t work_ns)
{
	return pool_rest(arg, PAUSE_FACTOR * work_ns) ? 0 : -ECANCELED;
}

static int make_copy(struct pool *pool)
{
	struct mark mark = mark_now(pool);
	int rc = wait_checkpoint(pool);

	if (rc == 0)
		return write_copy(pool, &mark, pace);
	if (rc != -ECANCELED) {
		pthread_mutex_lock(&pool->copier->lock);
		pool->copier->status.error = rc;
		pthread_mutex_unlock(&pool->copier->lock);
	}
	return rc;
}

void *copier_thread(void *arg)
{
	struct pool *pool = arg;
	uint64_t interval = pool->config.metadata_copy_interval_ns;
	uint64_t tick = interval / EARLY_PART < TICK_NS ? interval / EARLY_PART : TICK_NS;

	if (tick < SECOND_NS / 20)
		tick = SECOND_NS / 20;
	thread_step_back();
	while (pool_rest(pool, tick)) {
		if (!due(pool))
			continue;
		if (make_copy(pool) != -EAGAIN)
			pool->copier->tried_ns = clock_mono_ns();
	}
	return NULL;
}

void copier_last(struct pool *pool)
{
	struct mark mark = mark_now(pool);
	struct meta_stats stats;

	if (!pool->config.metadata_copies || meta_seq(pool->meta) == pool->copier->seq)
		return;
	meta_stats(pool->meta, &stats);
	if (stats.tree_bytes <= LAST_BYTES_MAX && pool_checkpoint(pool) == 0)
		write_copy(pool, &mark, NULL);
}
