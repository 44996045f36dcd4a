// SPDX-License-Identifier: Apache-2.0
/* Stands in front of libc's clock_gettime() in programs that call fix_clock_tick(). */
#include "tests/unit/fix_clock.h"

#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static _Atomic int64_t ahead_s;

int clock_gettime(clockid_t id, struct timespec *ts)
{
	int rc = (int)syscall(SYS_clock_gettime, id, ts);

	if (rc == 0 && id == CLOCK_REALTIME)
		ts->tv_sec += ahead_s;
	return rc;
}

void fix_clock_tick(int64_t seconds)
{
	ahead_s += seconds;
}
