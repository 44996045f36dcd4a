/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wall clock of a test program runs ahead by what it is told; the monotonic clock stays as it
 * is. For what the tier engine does by age. Threads: any may ask the time; one moves it.
 */
#ifndef TERRACE_TESTS_FIX_CLOCK_H
#define TERRACE_TESTS_FIX_CLOCK_H

#include <stdint.h>

void fix_clock_tick(int64_t seconds);

#endif
