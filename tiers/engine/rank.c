// SPDX-License-Identifier: Apache-2.0
/*
 * A rank is a rate on a logarithmic scale, RANK_OCTAVE steps for a doubling, one touch per hour in
 * the middle: 2^-32 to 2^32 touches per hour, more on both sides than two 16-bit averages of any
 * half life can say.
 */
#include "tiers/engine/rank.h"

#include <limits.h>
#include <math.h>

#define RANK_ONE (RANK_BUCKETS / 2) /* one touch per hour */

unsigned rank_of(double touches_per_hour)
{
	double rank;

	if (!(touches_per_hour > 0)) /* NaN too */
		return 0;
	/* What rank_rate() gives belongs to its rank, though it was rounded. */
	rank = floor(log2(touches_per_hour) * RANK_OCTAVE + 1e-9) + RANK_ONE;
	if (rank < 0)
		return 0;
	return rank >= RANK_BUCKETS ? RANK_BUCKETS - 1 : (unsigned)rank;
}

double rank_rate(unsigned rank)
{
	return rank ? exp2(((double)rank - RANK_ONE) / RANK_OCTAVE) : 0;
}

unsigned rank_fit(const struct rank_histogram *a, const struct rank_histogram *b, uint64_t capacity)
{
	unsigned rank = RANK_BUCKETS;

	while (rank) {
		uint64_t more = a->bytes[rank - 1];

		/* Taken off, not added up: sums of what nobody has cannot overflow. */
		if (more > capacity)
			break;
		capacity -= more;
		more = b ? b->bytes[rank - 1] : 0;
		if (more > capacity)
			break;
		capacity -= more;
		rank--;
	}
	return rank;
}

unsigned rank_cut(const struct rank_histogram *histogram, uint64_t bytes)
{
	unsigned rank = 0;

	if (!bytes)
		return UINT_MAX;
	while (rank < RANK_BUCKETS - 1 && histogram->bytes[rank] < bytes)
		bytes -= histogram->bytes[rank++];
	return rank;
}
