// SPDX-License-Identifier: Apache-2.0
#include "tiers/engine/slow.h"

#include <linux/ioprio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "tiers/clock.h"
#include "tiers/pool_impl.h"

#define NAP_NS (50ull * 1000 * 1000)

void slow_down(struct pool *pool, struct pace *pace, uint64_t bytes_per_s, uint64_t bytes,
	       uint64_t took_ns, const struct move_progress *progress)
{
	struct pace_facts facts = {.now_ns = clock_mono_ns()};
	struct pace_limits limits = {.bytes_per_s = bytes_per_s};
	struct tunables tunables;
	uint64_t until, now;

	pool_tunables(pool, &tunables);
	limits.pressure_percent = tunables.move_pressure;
	if (limits.pressure_percent)
		facts.pressure = pace_read_pressure();
	until = clock_mono_ns() + pace_wait_ns(pace, &limits, &facts, bytes, 1, took_ns);
	while ((now = clock_mono_ns()) < until && !pool->stopping &&
	       !(progress && progress->cancel)) {
		uint64_t left = until - now;

		nanosleep(&(struct timespec){.tv_nsec = (long)(left < NAP_NS ? left : NAP_NS)},
			  NULL);
	}
}

int slow_step_back(void)
{
	int before = (int)syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0);

	syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_IDLE, 0));
	return before;
}

void slow_restore(int before)
{
	if (before >= 0)
		syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, before);
}
