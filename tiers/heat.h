/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Heat of frames: an exponentially decayed count of touches (the EWMA of the frequency sketches in
 * TinyLFU and of the kernel's load average): at each touch heat = heat * 2^(-dt / half_life) + 1,
 * with a half life of one hour, kept in 1/256 units and saturating at 65535.
 *
 * Frames touched lately are in a bounded table; what leaves it, and what changed at each commit
 * interval, is handed over to be kept in the frame's record. Any thread; a leaf lock inside.
 */
#ifndef TERRACE_TIERS_HEAT_H
#define TERRACE_TIERS_HEAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HEAT_ONE	 256u
#define HEAT_HALF_LIFE_S 3600u
#define HEAT_SAME_TOUCH_S \
	2u /* reads closer together are one touch: a scan reads a frame in pieces */

struct heat;

struct heat_state {
	uint32_t last_s; /* seconds since 1970 of the last touch */
	uint16_t value;
};

/* Decays a state to now. Pure. */
uint16_t heat_decay(struct heat_state state, uint32_t now_s);

int heat_new(struct heat **out, size_t max_frames);
void heat_free(struct heat *heat);

/* A read of frame; `kept` is what its record says, for frames not in the table. Returns seconds
 * since the touch before. */
uint32_t heat_touch(struct heat *heat, uint64_t frame, struct heat_state kept, uint32_t now_s);
/* What is known now: the table's word, else kept. */
struct heat_state heat_of(struct heat *heat, uint64_t frame, struct heat_state kept);
/* Takes up to n entries that changed since they were last taken. */
struct heat_entry {
	uint64_t frame;
	struct heat_state state;
};
size_t heat_take(struct heat *heat, struct heat_entry *out, size_t n);
void heat_forget(struct heat *heat, uint64_t frame);

#endif
