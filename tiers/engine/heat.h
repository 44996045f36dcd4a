/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Heat of frames: two exponentially decayed counts of touches, a short and a long one. At each
 * touch value = value * 2^(-dt / half_life) + 1, kept in 1/256 units and saturating at 65535. This
 * is the EWMA of the kernel's load average, with "forward decay" (Cormode et al., ICDE 2009): a
 * state needs no work until it is touched or looked at. The long half life is HEAT_LONG times the
 * short one (`heat_half_life`, default 1 h, so 1 d).
 *
 * The rate that decides is 3/4 of what the short and 1/4 of what the long average says: quick to
 * see that a working set has changed, slow to forget what is used every day.
 *
 * Frames touched lately are in a bounded table; what leaves it (of a crowd, some) and what has
 * changed is handed over to be kept in the frame's record. Any thread; a leaf lock inside.
 *
 * A state that says it was touched more than a day after now was written by a clock that was wrong:
 * it counts as cold.
 */
#ifndef TERRACE_ENGINE_HEAT_H
#define TERRACE_ENGINE_HEAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HEAT_ONE	  256u
#define HEAT_LONG	  24u
/* Reads at most so far apart are one touch, since a scan reads in pieces, */
#define HEAT_SAME_TOUCH_S 2u
#define HEAT_ONE_TOUCH_S  30u /* ... but not for longer than this */

struct heat;

struct heat_scale {
	uint32_t half_life_s; /* of the short average, >= 1 */
};

struct heat_state {
	uint32_t last_s; /* seconds since 1970 of the last touch */
	uint16_t fast, slow;
};

/* Pure. */
struct heat_state heat_decay(struct heat_state state, struct heat_scale scale, uint32_t now_s);
struct heat_state heat_add(struct heat_state state, struct heat_scale scale, uint32_t now_s);
/* Since the last touch; 0 also when that is in the future. */
static inline uint32_t heat_age_s(struct heat_state state, uint32_t now_s)
{
	return now_s > state.last_s ? now_s - state.last_s : 0;
}
/* Touches per hour to be expected. */
double heat_rate(struct heat_state state, struct heat_scale scale, uint32_t now_s);
/* Of one frame packed from several: bytes weigh. Start with {0}, 0 bytes. */
struct heat_state heat_mix(struct heat_state a, uint64_t a_bytes, struct heat_state b,
			   uint64_t b_bytes, struct heat_scale scale);

int heat_new(struct heat **out, size_t max_frames, struct heat_scale scale);
void heat_free(struct heat *heat);
/* From now on; values in the table are kept as they are. */
void heat_rescale(struct heat *heat, struct heat_scale scale);

/* A read of frame; `kept` is what its record says, for frames not in the table. */
void heat_touch(struct heat *heat, uint64_t frame, struct heat_state kept, uint32_t now_s);
/* What is known now: the table's word, else kept. */
struct heat_state heat_of(struct heat *heat, uint64_t frame, struct heat_state kept);
/* Takes up to n entries that changed since they were last taken. Those of frames that have been
 * forgotten may be among them. */
struct heat_entry {
	uint64_t frame;
	struct heat_state state;
};
size_t heat_take(struct heat *heat, struct heat_entry *out, size_t n);
void heat_forget(struct heat *heat, uint64_t frame);

#endif
