// SPDX-License-Identifier: Apache-2.0
#include "tiers/engine/budget.h"

#define DAY_S 86400u

/* Another day, be it one before because the clock was set back: a budget that had been spent in a
 * future that is none must not hold moves up until then. */
static uint64_t used_today(const struct budget *budget, uint32_t now_s)
{
	return budget->day == now_s / DAY_S ? budget->used : 0;
}

uint64_t budget_left(const struct budget *budget, uint64_t limit, uint32_t now_s)
{
	uint64_t used = used_today(budget, now_s);

	if (!limit)
		return UINT64_MAX;
	return used < limit ? limit - used : 0;
}

void budget_spend(struct budget *budget, uint64_t bytes, uint32_t now_s)
{
	uint64_t used = used_today(budget, now_s);

	budget->day = now_s / DAY_S;
	budget->used = used > UINT64_MAX - bytes ? UINT64_MAX : used + bytes;
}

uint32_t budget_renewed_at(uint32_t now_s)
{
	uint64_t at = ((uint64_t)now_s / DAY_S + 1) * DAY_S;

	return at > UINT32_MAX ? UINT32_MAX : (uint32_t)at;
}
