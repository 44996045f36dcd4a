/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tiers of given sizes under a recorded load, decided by the daemon's own code: see terrace(1),
 * SIMULATION. Deterministic; no clock, no I/O. One thread.
 */
#ifndef TERRACE_TOOLS_SIMULATE_H
#define TERRACE_TOOLS_SIMULATE_H

#include <stdbool.h>
#include <stdint.h>

#include "tiers/config.h"
#include "tools/terrace/trace.h"

struct sim_tier {
	char name[17];
	uint64_t size; /* bytes */
	bool rest;     /* size is not set: it is large enough */
	uint64_t latency_ns;
	uint64_t read_rate, write_rate; /* bytes/s */
};

struct sim_setup {
	struct sim_tier tiers[CONFIG_TIERS_MAX]; /* [0] is the RAM tier */
	uint32_t ntiers;			 /* >= 2 */
};

struct sim_counts {		 /* of one tier */
	uint64_t hits, lru_hits; /* requests */
	/* Disk tiers: moves into it from below, out of it to below. RAM tier: blocks copied in, let
	 * go. */
	uint64_t up, down, up_bytes, down_bytes;
	uint64_t again; /* of up: what had gone down within a day; RAM tier: what had been let go */
};

struct sim_result {
	struct sim_counts tiers[CONFIG_TIERS_MAX];
	uint64_t moves, moved_bytes; /* between disk tiers */
	uint64_t latency_ns;	     /* of all requests together */
	uint64_t lru_latency_ns;
};

/* -ENOSPC: the tiers cannot hold the trace's data. -ENOMEM. */
int simulate(const struct trace *trace, const struct sim_setup *setup, struct sim_result *out);
/* Only the requests that a RAM tier of this size would serve; it does not depend on what is below.
 * -ENOMEM. */
int simulate_ram(const struct trace *trace, uint64_t size, uint64_t *hits);

static inline uint64_t sim_footprint(const struct trace *trace)
{
	return (uint64_t)trace->nblocks * trace->block_bytes;
}

#endif
