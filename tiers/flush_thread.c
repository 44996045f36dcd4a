// SPDX-License-Identifier: Apache-2.0
/*
 * When the background flushes: at every half of the commit interval, and when somebody asks. What
 * it does then is flush.c.
 */
#include <errno.h>
#include <time.h>

#include "tiers/clock.h"
#include "tiers/flush.h"
#include "tiers/pool_impl.h"

#define RETRY_MAX_NS (60ull * 1000 * 1000 * 1000)
#define ROOM_MORE    (1u << 20)

void flush_kick(struct pool *pool)
{
	if (pool->flush_urgent)
		return;
	pthread_mutex_lock(&pool->thread_lock);
	pool->flush_urgent = true;
	pthread_cond_broadcast(&pool->thread_wake);
	pthread_mutex_unlock(&pool->thread_lock);
}

/* As it is now: it may change while the thread waits, which wakes it. */
static uint64_t flush_period(struct pool *pool)
{
	struct tunables now;

	pool_tunables(pool, &now);
	return now.commit_interval_ns / 2;
}

uint64_t flush_room(struct pool *pool)
{
	uint64_t bytes = 0;

	for (uint32_t t = 1; t < pool->config.ntiers; t++) {
		struct tier_space room;

		if (tier_room(pool->tiers[t].tier, &room) == 0)
			bytes += room.free;
	}
	return bytes;
}

/* What could not be flushed is tried again after twice the time, up to RETRY_MAX_NS, and at the
 * next period when there is more room than there was: coding it all in vain takes a processor. */
struct retry {
	uint64_t at_ns, wait_ns;
	uint64_t room; /* when it failed */
};

static bool retry_due(struct pool *pool, const struct retry *retry)
{
	return !retry->wait_ns || clock_mono_ns() >= retry->at_ns ||
	       flush_room(pool) >= retry->room + ROOM_MORE;
}

static void retry_later(struct pool *pool, struct retry *retry, uint64_t period)
{
	retry->wait_ns = retry->wait_ns ? retry->wait_ns * 2 : period;
	if (retry->wait_ns > RETRY_MAX_NS)
		retry->wait_ns = RETRY_MAX_NS;
	retry->at_ns = clock_mono_ns() + retry->wait_ns;
	retry->room = flush_room(pool);
}

void *flush_thread(void *arg)
{
	struct pool *pool = arg;
	uint64_t began = clock_mono_ns();
	struct retry retry = {0};

	for (;;) {
		uint64_t due;
		bool stop, timed;

		pthread_mutex_lock(&pool->thread_lock);
		while (due = began + flush_period(pool),
		       !pool->stopping && !(pool->flush_urgent && !retry.wait_ns) &&
			       clock_mono_ns() < due)
			thread_wait(pool, due);
		stop = pool->stopping;
		pool->flush_urgent = false;
		pthread_mutex_unlock(&pool->thread_lock);
		if (stop)
			return NULL;
		timed = clock_mono_ns() >= due;
		if (retry_due(pool, &retry)) {
			if (flush_upto(pool, ramlog_head(pool->log)) < 0)
				retry_later(pool, &retry, flush_period(pool));
			else
				retry.wait_ns = 0;
		}
		if (timed) {
			pool_cut(pool);
			pool_reclaim(pool);
			began = clock_mono_ns();
		}
	}
}
