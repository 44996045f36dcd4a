/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much memory the RAM tier may take now: less than configured when the machine, or the control
 * group the daemon runs in, is short of it. It gives way at once, by what is missing, before the
 * machine swaps, and takes it back slowly.
 *
 * Pure: what is known of memory comes in (tiers/memory_facts.h), once a second.
 */
#ifndef TERRACE_TIERS_MEMORY_PRESSURE_H
#define TERRACE_TIERS_MEMORY_PRESSURE_H

#include <stdint.h>

#include "tiers/memory_facts.h"

#define MEMORY_FLOOR (16u << 20) /* the RAM tier is never smaller */

/* What is to stay free for others: a sixteenth of what there is, 64 MiB to 1 GiB, but at most a
 * quarter. */
uint64_t memory_reserve(const struct memory_facts *facts);

/*
 * The new limit, from MEMORY_FLOOR to configured. configured: the size somebody set; limit: the one
 * in force until now; used: what the tier takes of it. With nothing known (facts->total 0) it is
 * what was configured.
 *
 * Shrinks by what the reserve lacks, and by an eighth when processes stall for memory while little
 * is left; below an eighth of what was configured only as far as the reserve demands. Grows by a
 * sixty-fourth of what was configured a call, when twice the reserve is left and nobody stalls.
 */
uint64_t memory_limit(const struct memory_facts *facts, uint64_t configured, uint64_t limit,
		      uint64_t used);

#endif
