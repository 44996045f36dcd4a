// SPDX-License-Identifier: Apache-2.0
#include "tiers/memory_pressure.h"

#include <stdbool.h>

#define MIB	     (1ull << 20)
#define RESERVE_PART 16u
#define RESERVE_MIN  (64 * MIB)
#define RESERVE_MAX  (1024 * MIB)
#define STALL_SOME   10.0 /* percent: beyond it, memory is being fought for */
#define STALL_FULL   2.0
#define STALL_NONE   1.0
#define STALL_STEP   8u	 /* part of the use that is given up while processes stall */
#define GROW_STEP    64u /* part of what was configured */

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t most(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

uint64_t memory_reserve(const struct memory_facts *facts)
{
	uint64_t reserve = least(most(facts->total / RESERVE_PART, RESERVE_MIN), RESERVE_MAX);

	return least(reserve, facts->total / 4);
}

static uint64_t shrunk(uint64_t used, uint64_t by)
{
	return by < used ? used - by : 0;
}

uint64_t memory_limit(const struct memory_facts *facts, uint64_t configured, uint64_t limit,
		      uint64_t used)
{
	uint64_t reserve = memory_reserve(facts);
	bool stalls = facts->some > STALL_SOME || facts->full > STALL_FULL;

	if (!facts->total)
		return configured;
	/* More than there is was never to be had: the machine has become smaller. */
	configured = most(least(configured, facts->total / 4 * 3), least(configured, MEMORY_FLOOR));
	limit = least(limit, configured);
	/* What is not in use gives nothing when it is taken away. */
	if (facts->available < reserve)
		limit = least(limit, shrunk(used, reserve - facts->available));
	else if (stalls && facts->available < 4 * reserve)
		limit = least(limit, most(shrunk(used, used / STALL_STEP), configured / 8));
	else if (facts->available > 2 * reserve && facts->some < STALL_NONE)
		limit = least(configured, limit + configured / GROW_STEP + 1);
	return most(limit, least(configured, MEMORY_FLOOR));
}
