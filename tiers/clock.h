/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clocks, precise ones (the coarse ones lag by milliseconds) but for one. The wall clock may be
 * set, also back: what must not wait because of that takes the monotonic one.
 *
 * Threads: any.
 */
#ifndef TERRACE_TIERS_CLOCK_H
#define TERRACE_TIERS_CLOCK_H

#include <stdint.h>

uint64_t clock_mono_ns(void);
int64_t clock_wall_ns(void);	/* since 1970 */
uint32_t clock_wall_s(void);	/* ... as frames' records, budgets and breakers count */
uint32_t clock_s(uint64_t ns);	/* a length of time, cut to whole seconds, UINT32_MAX at most */
uint32_t clock_coarse_s(void);	/* monotonic, cheap: for what is asked at every read */
uint64_t clock_thread_ns(void); /* CPU time of this thread */

#endif
