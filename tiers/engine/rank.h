/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Heat of many frames at once: a histogram of their rates, and thresholds found in it so that the
 * hot set just fills a tier, as Memtis does (Lee et al., "Memtis: Efficient Memory Tiering with
 * Dynamic Page Classification and Page Size Determination", SOSP 2023) instead of a fixed count.
 *
 * Pure functions; the caller owns everything.
 */
#ifndef TERRACE_ENGINE_RANK_H
#define TERRACE_ENGINE_RANK_H

#include <stdint.h>

#define RANK_BUCKETS 256u
#define RANK_OCTAVE  4u /* buckets for a doubling of the rate */

struct rank_histogram {
	uint64_t bytes[RANK_BUCKETS]; /* stored bytes of frames by rank */
};

/* Touches per hour to a rank; larger is hotter, 0: (nearly) never. Half the rate is RANK_OCTAVE
 * ranks less. */
unsigned rank_of(double touches_per_hour);
/* The smallest rate of a rank. */
double rank_rate(unsigned rank);

/* The lowest rank at and above which everything in the histograms (b may be NULL) together fits
 * into capacity bytes; RANK_BUCKETS when not even the hottest does. */
unsigned rank_fit(const struct rank_histogram *a, const struct rank_histogram *b,
		  uint64_t capacity);
/* The highest rank up to which (inclusive) the coldest are to go so that at least `bytes` go; the
 * last bucket when all together are fewer. bytes 0: no rank, UINT_MAX. */
unsigned rank_cut(const struct rank_histogram *histogram, uint64_t bytes);

#endif
