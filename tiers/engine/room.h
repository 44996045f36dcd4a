/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Room: from histograms of what lies where, which ranks belong into a tier and which have to leave
 * it in this pass. The engine and the simulator ask the same functions, so that they do the same.
 *
 * Pure. Arrays are by tier; those of the RAM tier are not looked at.
 */
#ifndef TERRACE_ENGINE_ROOM_H
#define TERRACE_ENGINE_ROOM_H

#include <stdint.h>

#include "tiers/engine/decide.h"
#include "tiers/engine/rank.h"

/* Sets hot_rank of every tier: the hottest of `all` of it and the slower ones, as much as fits
 * below the low watermark besides what is not ours. Up to the low one, since down to there a tier
 * is emptied when it is too full: what fitted only below the high one would be sent down and called
 * up again and again. */
void room_find_hot(struct engine_facts *facts, const struct rank_histogram *all);

/* By how many ranks what leaves must be colder than what comes for it: half as hot at most, and
 * with ghost_gain k 1/sqrt(k) of that. Ping-pong means that what left was missed, so it is as much
 * the fault of what pushes others out as of what comes back; the root, since a margin that shuts
 * out a whole new working set costs more hits than the moves it saves. */
unsigned room_margin(const struct engine_facts *facts);

/* Sets cold_rank, for_room and room_rank, and in `need` the bytes that are to leave each tier.
 * `old`: what may leave by its age. `wanted`: what would come up into the tier. A tier above its
 * high watermark is emptied to the low one. Otherwise places are changed, from the hottest that
 * want up downwards, as long as what leaves for them is colder by room_margin(). What leaves a tier
 * is counted as coming to the next. */
void room_find_cold(struct engine_facts *facts, const struct rank_histogram *old,
		    const struct rank_histogram *wanted, uint64_t *need);

#endif
