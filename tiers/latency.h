/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long a tier's medium takes: a histogram per kind of access, since the tier was opened.
 * Log-linear as HdrHistogram (Gil Tene): LATENCY_STEPS equal steps in every power of two from 1 us
 * to 68 s, so a quantile is never off by more than one eighth, and two histograms subtract: "the
 * median since I last asked" is the difference of two views.
 *
 * Two clock reads and five atomic additions per access. Only accesses that succeed are counted: a
 * medium that refuses at once is not a fast one.
 *
 * Also the time in which at least one read (write or sync) was under way, for rates: bytes by busy
 * time is what the medium does while it is asked, however many ask at once.
 *
 * Threads: any, without locks; a view is not of one instant. struct latency begins as zeros.
 */
#ifndef TERRACE_TIERS_LATENCY_H
#define TERRACE_TIERS_LATENCY_H

#include <stdint.h>

#define LATENCY_STEPS	8u
#define LATENCY_FIRST	10u /* powers of two, of ns: below 2^10 all is one bucket, */
#define LATENCY_LAST	36u /* from 2^36 on as well */
#define LATENCY_BUCKETS ((LATENCY_LAST - LATENCY_FIRST) * LATENCY_STEPS + 2)

enum latency_kind {
	LATENCY_READ,	   /* somebody waits (TIER_FOREGROUND) */
	LATENCY_BULK_READ, /* moves, cleaning, scrub */
	LATENCY_WRITE,
	LATENCY_SYNC,
	LATENCY_KINDS
};

struct latency {
	struct {
		_Atomic uint64_t buckets[LATENCY_BUCKETS];
		_Atomic uint64_t sum_ns, bytes;
	} kind[LATENCY_KINDS];
	struct {
		_Atomic uint64_t state; /* how many are under way, and since when one is */
		_Atomic uint64_t ns;
	} busy[2]; /* reads; writes and syncs */
};

/* Returns the time, for latency_end(). */
uint64_t latency_begin(struct latency *latency, enum latency_kind kind);
/* error: 0 or negative errno. */
void latency_end(struct latency *latency, enum latency_kind kind, uint64_t begin_ns, uint64_t bytes,
		 int error);

/* What was counted up to a moment, or between two. */
struct latency_counts {
	uint64_t count, sum_ns, bytes;
	uint64_t buckets[LATENCY_BUCKETS];
};
struct latency_view {
	struct latency_counts kind[LATENCY_KINDS];
	uint64_t read_busy_ns, write_busy_ns; /* accesses that have ended */
};

void latency_look(const struct latency *latency, struct latency_view *out);
/* `now` less `before`, which is an earlier view of the same tier; out may be either. */
void latency_since(const struct latency_view *now, const struct latency_view *before,
		   struct latency_view *out);

/* Adds what another tier took. */
void latency_add(struct latency_counts *to, const struct latency_counts *from);

/* The time that a share `q` (0 to 1) of the accesses did not take longer than, in ns; 0 when there
 * were none. */
uint64_t latency_quantile(const struct latency_counts *counts, double q);
/* Bytes per second while busy; 0 when there was nothing. */
uint64_t latency_read_rate(const struct latency_view *view);
uint64_t latency_write_rate(const struct latency_view *view); /* syncs belong to it */

unsigned latency_bucket_of(uint64_t ns);
/* Bucket i holds times below this, in ns; UINT64_MAX for the last. */
uint64_t latency_bucket_end(unsigned i);
const char *latency_kind_name(enum latency_kind kind); /* "read", "bulk_read", "write", "sync" */

#endif
