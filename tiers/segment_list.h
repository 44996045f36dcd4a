/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The segments that a pool has, copied out for who walks them: none of them is held by it, so any
 * may have gone, or have been moved, when it is looked at. Any thread; takes the commit lock.
 */
#ifndef TERRACE_TIERS_SEGMENT_LIST_H
#define TERRACE_TIERS_SEGMENT_LIST_H

#include <stddef.h>
#include <stdint.h>

struct pool;

struct segment_brief {
	uint64_t id;
	uint64_t stored, raw; /* bytes of the frames in it */
	uint32_t tier, place;
};

/* In the order of their numbers, without those that are being removed. -ENOMEM; *out is the
 * caller's to free. */
int segment_list(struct pool *pool, struct segment_brief **out, size_t *n);

#endif
