/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tier's daily write budget (SSD wear): what background moves may write between two midnights
 * (UTC). What people write themselves, or ask for by a verb, is counted and never refused.
 * Pure; the caller keeps the struct, and stores it so that a restart does not begin a new day.
 */
#ifndef TERRACE_ENGINE_BUDGET_H
#define TERRACE_ENGINE_BUDGET_H

#include <stdint.h>

struct budget {
	uint32_t day; /* since 1970 */
	uint64_t used;
};

/* limit 0 = none: UINT64_MAX. */
uint64_t budget_left(const struct budget *budget, uint64_t limit, uint32_t now_s);
void budget_spend(struct budget *budget, uint64_t bytes, uint32_t now_s);
uint32_t budget_renewed_at(uint32_t now_s);

#endif
