/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading ahead in a mapped file of which the kernel reads single pages (MADV_RANDOM). Look-ups
 * here and there need no more than that, and where a disk's read-ahead is long they would fetch
 * megabytes each. But keys that are used together, such as a folder's, lie together: once a second
 * page is looked at of AHEAD_BYTES that have been looked at lately, the others are asked for.
 *
 * Threads: any. What two of them do at once is lost, or asked for twice: neither matters.
 */
#ifndef TERRACE_TIERS_AHEAD_H
#define TERRACE_TIERS_AHEAD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define AHEAD_BYTES ((uintptr_t)256 << 10) /* also how they are aligned */
#define AHEAD_SLOTS 256u		   /* that many runs of AHEAD_BYTES are "lately" */

struct ahead { /* zeros at first */
	_Atomic uintptr_t slots[AHEAD_SLOTS];
};

/* An address of the map has been looked at. True: what lies around it has been asked for, which
 * the kernel goes on with; what it has already costs it a microsecond or two. */
bool ahead_look(struct ahead *ahead, const void *at);

#endif
