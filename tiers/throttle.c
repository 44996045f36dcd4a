// SPDX-License-Identifier: Apache-2.0
/* See throttle.h. The sleep is outside the lock: only the disk's time line is shared. */
#include "tiers/throttle.h"

#include <errno.h>
#include <time.h>

#define NS 1000000000u

void throttle_init(struct throttle *throttle, uint64_t delay_ns, uint64_t bandwidth)
{
	pthread_mutex_init(&throttle->lock, NULL);
	throttle->busy_until_ns = 0;
	throttle->delay_ns = delay_ns;
	throttle->bandwidth = bandwidth;
}

void throttle_release(struct throttle *throttle)
{
	pthread_mutex_destroy(&throttle->lock);
}

void throttle_wait(struct throttle *throttle, size_t len)
{
	struct timespec at;
	uint64_t now, until;

	if (!throttle->delay_ns && !throttle->bandwidth)
		return;
	clock_gettime(CLOCK_MONOTONIC, &at);
	now = (uint64_t)at.tv_sec * NS + (uint64_t)at.tv_nsec;
	until = now;
	if (throttle->bandwidth) {
		pthread_mutex_lock(&throttle->lock);
		/* An idle disk saves nothing up: the time line starts again at now. */
		if (throttle->busy_until_ns < now)
			throttle->busy_until_ns = now;
		throttle->busy_until_ns +=
			(uint64_t)((double)len * NS / (double)throttle->bandwidth);
		until = throttle->busy_until_ns;
		pthread_mutex_unlock(&throttle->lock);
	}
	until += throttle->delay_ns;
	at.tv_sec = (time_t)(until / NS);
	at.tv_nsec = (long)(until % NS);
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
		;
}
