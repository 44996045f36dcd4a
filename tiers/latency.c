// SPDX-License-Identifier: Apache-2.0
/*
 * busy.state holds the number of accesses under way in its low COUNT_BITS and the time at which the
 * first of them began above, in units of 64 ns: one word, so that counting up from zero and setting
 * the time is one step, and no lock is needed. The time wraps after half a year; differences of
 * wrapped times are right as long as a medium is not busy without a pause for that long.
 */
#include "tiers/latency.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "tiers/clock.h"

#define COUNT_BITS 16u
#define COUNT_MASK ((UINT64_C(1) << COUNT_BITS) - 1)
#define TIME_SHIFT 6u

unsigned latency_bucket_of(uint64_t ns)
{
	unsigned power;

	if (ns >> LATENCY_FIRST == 0)
		return 0;
	if (ns >> LATENCY_LAST)
		return LATENCY_BUCKETS - 1;
	power = 63u - (unsigned)__builtin_clzll(ns);
	return 1 + (power - LATENCY_FIRST) * LATENCY_STEPS +
	       (unsigned)(ns >> (power - 3) & (LATENCY_STEPS - 1));
}
_Static_assert(LATENCY_STEPS == 1u << 3, "latency_bucket_of() takes three bits");

uint64_t latency_bucket_end(unsigned i)
{
	unsigned power = LATENCY_FIRST + (i - 1) / LATENCY_STEPS;

	if (i == 0)
		return UINT64_C(1) << LATENCY_FIRST;
	if (i >= LATENCY_BUCKETS - 1)
		return UINT64_MAX;
	return (UINT64_C(1) << power) +
	       ((UINT64_C(1) << power) / LATENCY_STEPS) * ((i - 1) % LATENCY_STEPS + 1);
}

static unsigned side(enum latency_kind kind)
{
	return kind == LATENCY_WRITE || kind == LATENCY_SYNC;
}

uint64_t latency_begin(struct latency *latency, enum latency_kind kind)
{
	_Atomic uint64_t *state = &latency->busy[side(kind)].state;
	uint64_t old = atomic_load(state), now, next;

	/* The clock is read after the word: whoever was busy in between has changed it, also by
	 * having gone again, and their time is not counted a second time. */
	do {
		now = clock_mono_ns();
		next = old & COUNT_MASK ? old + 1 : now >> TIME_SHIFT << COUNT_BITS | 1;
	} while (!atomic_compare_exchange_weak(state, &old, next));
	return now;
}

/* fetch_sub() tells the one that leaves last, and what the word said then. */
static void leave(struct latency *latency, enum latency_kind kind, uint64_t now)
{
	uint64_t old = atomic_fetch_sub(&latency->busy[side(kind)].state, 1);
	uint64_t span;

	if ((old & COUNT_MASK) != 1)
		return;
	span = (now >> TIME_SHIFT << COUNT_BITS) - (old & ~COUNT_MASK);
	/* Who began while this clock was being read may have a later time: no time then. */
	if ((int64_t)span > 0)
		atomic_fetch_add_explicit(&latency->busy[side(kind)].ns,
					  span >> COUNT_BITS << TIME_SHIFT, memory_order_relaxed);
}

void latency_end(struct latency *latency, enum latency_kind kind, uint64_t begin_ns, uint64_t bytes,
		 int error)
{
	uint64_t now = clock_mono_ns(), took = now - begin_ns;

	leave(latency, kind, now);
	if (error)
		return;
	atomic_fetch_add_explicit(&latency->kind[kind].buckets[latency_bucket_of(took)], 1,
				  memory_order_relaxed);
	atomic_fetch_add_explicit(&latency->kind[kind].sum_ns, took, memory_order_relaxed);
	if (bytes)
		atomic_fetch_add_explicit(&latency->kind[kind].bytes, bytes, memory_order_relaxed);
}

void latency_look(const struct latency *latency, struct latency_view *out)
{
	memset(out, 0, sizeof(*out));
	for (unsigned kind = 0; kind < LATENCY_KINDS; kind++) {
		struct latency_counts *counts = &out->kind[kind];

		for (unsigned i = 0; i < LATENCY_BUCKETS; i++) {
			counts->buckets[i] = atomic_load_explicit(&latency->kind[kind].buckets[i],
								  memory_order_relaxed);
			counts->count += counts->buckets[i];
		}
		counts->sum_ns =
			atomic_load_explicit(&latency->kind[kind].sum_ns, memory_order_relaxed);
		counts->bytes =
			atomic_load_explicit(&latency->kind[kind].bytes, memory_order_relaxed);
	}
	out->read_busy_ns = atomic_load(&latency->busy[0].ns);
	out->write_busy_ns = atomic_load(&latency->busy[1].ns);
}

void latency_since(const struct latency_view *now, const struct latency_view *before,
		   struct latency_view *out)
{
	for (unsigned kind = 0; kind < LATENCY_KINDS; kind++) {
		const struct latency_counts *a = &now->kind[kind], *b = &before->kind[kind];
		struct latency_counts *to = &out->kind[kind];

		to->count = a->count - b->count;
		to->sum_ns = a->sum_ns - b->sum_ns;
		to->bytes = a->bytes - b->bytes;
		for (unsigned i = 0; i < LATENCY_BUCKETS; i++)
			to->buckets[i] = a->buckets[i] - b->buckets[i];
	}
	out->read_busy_ns = now->read_busy_ns - before->read_busy_ns;
	out->write_busy_ns = now->write_busy_ns - before->write_busy_ns;
}

/* Inside its bucket the accesses are taken to be spread evenly. */
uint64_t latency_quantile(const struct latency_counts *counts, double q)
{
	double want = q * (double)counts->count, before = 0;
	uint64_t begin, end;
	unsigned i, last = 0;

	if (!counts->count)
		return 0;
	for (i = 0; i < LATENCY_BUCKETS; i++) {
		if (!counts->buckets[i])
			continue;
		last = i;
		if (before + (double)counts->buckets[i] >= want)
			break;
		before += (double)counts->buckets[i];
	}
	begin = last ? latency_bucket_end(last - 1) : 0;
	end = latency_bucket_end(last);
	if (end == UINT64_MAX)
		return begin;
	want = i < LATENCY_BUCKETS ? (want - before) / (double)counts->buckets[last] : 1;
	return begin + (uint64_t)(want * (double)(end - begin));
}

static uint64_t rate(uint64_t bytes, uint64_t ns)
{
	return ns ? (uint64_t)((double)bytes * 1e9 / (double)ns) : 0;
}

uint64_t latency_read_rate(const struct latency_view *view)
{
	return rate(view->kind[LATENCY_READ].bytes + view->kind[LATENCY_BULK_READ].bytes,
		    view->read_busy_ns);
}

uint64_t latency_write_rate(const struct latency_view *view)
{
	return rate(view->kind[LATENCY_WRITE].bytes, view->write_busy_ns);
}

const char *latency_kind_name(enum latency_kind kind)
{
	static const char *const names[LATENCY_KINDS] = {"read", "bulk_read", "write", "sync"};

	return (unsigned)kind < LATENCY_KINDS ? names[kind] : "?";
}

void latency_add(struct latency_counts *to, const struct latency_counts *from)
{
	to->count += from->count;
	to->sum_ns += from->sum_ns;
	to->bytes += from->bytes;
	for (unsigned i = 0; i < LATENCY_BUCKETS; i++)
		to->buckets[i] += from->buckets[i];
}
