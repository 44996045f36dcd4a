// SPDX-License-Identifier: Apache-2.0
#include "tiers/clock.h"

#include <time.h>

static int64_t read_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

uint64_t clock_mono_ns(void)
{
	return (uint64_t)read_ns(CLOCK_MONOTONIC);
}

int64_t clock_wall_ns(void)
{
	return read_ns(CLOCK_REALTIME);
}

uint32_t clock_wall_s(void)
{
	return (uint32_t)(clock_wall_ns() / 1000000000);
}

uint32_t clock_coarse_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return (uint32_t)ts.tv_sec;
}

uint64_t clock_thread_ns(void)
{
	return (uint64_t)read_ns(CLOCK_THREAD_CPUTIME_ID);
}

uint32_t clock_s(uint64_t ns)
{
	uint64_t s = ns / 1000000000;

	return s > UINT32_MAX ? UINT32_MAX : (uint32_t)s;
}
