/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The RAM tier's memory as a whole: how large it may be now, and what of it the log, the block
 * cache and what is pinned there get.
 *
 * The log may take three quarters. What is pinned goes before written data that waits for the
 * disks: the log then does with less, down to a quarter. The block cache has what the log has not
 * taken; in a pool that keeps whole objects (object_fetch()), each has half of that.
 */
#ifndef TERRACE_TIERS_RAM_TIER_H
#define TERRACE_TIERS_RAM_TIER_H

#include <stdbool.h>
#include <stdint.h>

struct pool;
struct pool_config;

struct ram_tier {		/* one writer, the committer; in struct pool */
	_Atomic uint64_t limit; /* in force; 0 = what is configured */
	_Atomic uint64_t log_max;
	bool low_memory;  /* said so */
	const char *root; /* where proc/ and sys/ are; NULL = / (tests: a folder) */
};

/* As configured now, in bytes; and as it may be now, memory being short. */
uint64_t ram_tier_size(struct pool *pool);
uint64_t ram_tier_limit(struct pool *pool);
/* Divides it anew. Cheap; after a change of the size, and from time to time. Any thread. */
void pool_balance_ram(struct pool *pool);
/* Once a second, by one thread: looks at the machine's memory, divides anew, and gives what the
 * block cache has let go back to the system. */
void ram_tier_tick(struct pool *pool);
/* -EINVAL, logged: the configured size is more than all memory there is. */
int ram_tier_check(const struct pool_config *config);

#endif
