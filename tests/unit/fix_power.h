/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tier in memory whose power can be cut. Every segment has what the program sees and what the
 * medium holds; tier_sync() copies the one to the other. A cut decides for every segment with
 * something unsynced, on its own, what the medium had really got:
 *
 *	POWER_KEPT   all of it, as if it had been synced
 *	POWER_LOST   nothing: an unsynced name is gone, an unsynced removal has not happened
 *	POWER_TORN   the name, and of each changed sector the old bytes, the new ones or garbage
 *	POWER_NAMED  the name and the length, but zeros where the new bytes should be
 *
 * Each segment's outcome is one digit of a code in base 4, so that a loop over all codes is the
 *cross product; one outcome shared by all would miss "source removed, copy not there".
 *
 *	for (step = 1; !done; step++) {
 *		power_arm(power, step);			// the step-th change never returns
 *		done = run(power_tier(power)) == 0;
 *		for each code < power_combinations(): on a power_clone(): power_cut(), check
 *	}
 *
 * Threads: any for the tier's calls; the power_*() calls while none run.
 */
#ifndef TERRACE_TESTS_FIX_POWER_H
#define TERRACE_TESTS_FIX_POWER_H

#include <stdbool.h>
#include <stdint.h>

#include "tiers/tier.h"

enum power_outcome { POWER_KEPT, POWER_LOST, POWER_TORN, POWER_NAMED, POWER_OUTCOMES };

struct power;

/* capacity: bytes of each place. Aborts without memory. */
struct power *power_new(const char *name, uint32_t nplaces, uint64_t capacity);
/* A second medium in the same state, to try another outcome on; its power is on. */
struct power *power_clone(const struct power *power);
void power_free(struct power *power);
/* tier_close() on it does nothing. */
struct tier *power_tier(struct power *power);

/* Counts create, remove, truncate, write, sync and punch. The nth from now on reaches the medium or
 * not (the cut decides) but answers -EIO, as does everything after it. 0: never. */
void power_arm(struct power *power, uint64_t nth);
bool power_failed(const struct power *power);
uint64_t power_steps(const struct power *power); /* since power_arm() */
/* Without a cut: the nth call from now on of any kind, reads too, gives this error. 0: never. */
void power_fault(struct power *power, uint64_t nth, int error, bool forever);
uint64_t power_faults(const struct power *power); /* calls failed since power_fault() */

/* Segments with something unsynced, and 4 to the power of that (at most 4^16). */
unsigned power_unsynced(const struct power *power);
uint64_t power_combinations(const struct power *power);
/*
 * Cuts the power and puts it back: the i-th unsynced segment, in order of id, gets digit i of code;
 * seed decides what is torn. What is there then is durable.
 */
void power_cut(struct power *power, uint64_t code, uint64_t seed);
/* Outcomes at random, for more segments than combinations can be tried. */
void power_cut_random(struct power *power, uint64_t seed);

/* Writes that touched a block of 4 KiB which held durable bytes (segment.h, invariants 1 and 5). */
uint64_t power_rewrites(const struct power *power);
/* Seeded bug for proving tests: syncs say 0 and do nothing. */
void power_lie(struct power *power, bool lie);

#endif
