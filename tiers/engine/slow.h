/* SPDX-License-Identifier: Apache-2.0 */
/* Keeping back long work that reads or copies whole media: see pace.h. The caller's thread waits.
 */
#ifndef TERRACE_ENGINE_SLOW_H
#define TERRACE_ENGINE_SLOW_H

#include <stdint.h>

#include "tiers/engine/pace.h"

struct move_progress;
struct pool;

/* So many bytes took took_ns: waits as bytes_per_s (0: no limit) and move_pressure ask for, or
 * until progress (may be NULL) is cancelled or the pool stops. */
void slow_down(struct pool *pool, struct pace *pace, uint64_t bytes_per_s, uint64_t bytes,
	       uint64_t took_ns, const struct move_progress *progress);
/* This thread's I/O goes behind everybody else's; returns what slow_restore() puts back. */
int slow_step_back(void);
void slow_restore(int before);

#endif
