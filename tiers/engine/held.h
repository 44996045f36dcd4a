/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames that were read for a move and of which nothing was allowed to go: pinned, mostly. Whose
 * bytes a frame holds is only known when it is read, so it is remembered for a while, or a pass
 * over a tier full of pinned data would read all of it each time. 4-way sets; in a full set the
 * entry that ends first makes way. HELD_ENTRIES * 16 bytes of address space, of which only what is
 * used is memory. The caller's lock guards it.
 */
#ifndef TERRACE_ENGINE_HELD_H
#define TERRACE_ENGINE_HELD_H

#include <stdbool.h>
#include <stdint.h>

#define HELD_ENTRIES (1u << 20)
#define HELD_S	     3600u

struct held;

int held_new(struct held **out); /* -ENOMEM */
void held_free(struct held *held);
void held_add(struct held *held, uint64_t frame, uint32_t now_s);
/* Until when it is left alone, 0 = it is not. */
uint32_t held_until(const struct held *held, uint64_t frame, uint32_t now_s);

#endif
