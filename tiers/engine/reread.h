/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Evidence for promotions: was this very piece of this object read before, within the window? A
 * first pass over data, in whatever order, is no evidence; a second look is. Reads that go on where
 * the last read of the object ended are a scan when they have come far enough, and never evidence.
 *
 * A set-associative table of (fingerprint, time), the doorkeeper of TinyLFU (Einziger et al., ACM
 * ToS 2017) with times instead of bits. Bounded: REREAD_ENTRIES * 8 bytes; a fingerprint of 32 bits
 * is wrong about once in 10^8 reads, which costs one needless look at a frame. Any thread; sharded
 * leaf locks inside.
 */
#ifndef TERRACE_ENGINE_REREAD_H
#define TERRACE_ENGINE_REREAD_H

#include <stdbool.h>
#include <stdint.h>

#define REREAD_ENTRIES	  (1u << 18)
#define REREAD_PIECE	  (32u << 10) /* bytes of an object that count as one piece */
#define REREAD_SCAN_BYTES (1u << 20)  /* a sequential run of so much is a scan */

struct reread;

int reread_new(struct reread **out); /* -ENOMEM */
void reread_free(struct reread *reread);

/* Notes the read and says whether it is evidence: the piece at `off` of the object was read more
 * than HEAT_SAME_TOUCH_S and at most window_s seconds ago. `scan`: it belongs to one; noted all the
 * same where that pushes out nothing that could still become evidence, and never evidence. */
bool reread_note(struct reread *reread, uint64_t object, uint64_t off, bool scan, uint32_t now_s,
		 uint32_t window_s);

/* Where an object's reads are; one per open object, guarded by the caller. */
struct reread_run {
	uint64_t end, len; /* bytes read of the run, */
	uint64_t gap;	   /* and left out: len + gap bytes end at `end` */
};
/* Pure: takes a read into the run, says whether it is part of a scan by now. Reads of a scan may
 * come out of order, as the kernel's read-ahead does: up to REREAD_SCAN_BYTES may be left out for a
 * while; who reads what he has read begins a new run. */
bool reread_is_scan(struct reread_run *run, uint64_t off, uint64_t len);

#endif
