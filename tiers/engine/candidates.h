/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames that were read again within the window: what promotion looks at. A bounded table of 4-way
 * sets; in a full set the one that was read again longest ago goes. Any thread; a leaf lock inside.
 */
#ifndef TERRACE_ENGINE_CANDIDATES_H
#define TERRACE_ENGINE_CANDIDATES_H

#include <stddef.h>
#include <stdint.h>

#define CANDIDATES_MAX 32768u

struct candidates;

struct candidate {
	uint64_t frame;
	uint32_t reread_s; /* the last time */
};

int candidates_new(struct candidates **out); /* -ENOMEM */
void candidates_free(struct candidates *candidates);
void candidates_note(struct candidates *candidates, uint64_t frame, uint32_t now_s);
/* When the frame was last read again, 0 = not known. */
uint32_t candidates_get(struct candidates *candidates, uint64_t frame);
void candidates_drop(struct candidates *candidates, uint64_t frame);
/* Copies all that were read again at or after since_s; at most n. */
size_t candidates_list(struct candidates *candidates, uint32_t since_s, struct candidate *out,
		       size_t n);

#endif
