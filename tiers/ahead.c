// SPDX-License-Identifier: Apache-2.0
/*
 * A slot holds the page that was looked at last, of the run of AHEAD_BYTES that has the slot now;
 * its lowest bit says that the run has been asked for.
 */
#include "tiers/ahead.h"

#include <sys/mman.h>

#define PAGE_BYTES ((uintptr_t)4096) /* or smaller than the machine's: asks too early, no harm */
#define ASKED	   ((uintptr_t)1)

bool ahead_look(struct ahead *ahead, const void *at)
{
	uintptr_t page = (uintptr_t)at / PAGE_BYTES * PAGE_BYTES, run = page / AHEAD_BYTES;
	_Atomic uintptr_t *slot = &ahead->slots[run % AHEAD_SLOTS];
	uintptr_t before = atomic_load_explicit(slot, memory_order_relaxed);

	if (before / AHEAD_BYTES != run) {
		atomic_store_explicit(slot, page, memory_order_relaxed);
		return false;
	}
	if (before & ASKED || before == page)
		return false;
	atomic_store_explicit(slot, page | ASKED, memory_order_relaxed);
	/* Where the map begins or ends in between, what there is of it counts. */
	madvise((void *)(run * AHEAD_BYTES), AHEAD_BYTES, MADV_WILLNEED);
	return true;
}
