// SPDX-License-Identifier: Apache-2.0
/* One walk over a trace: each block through memory, what memory does not have through the tiers. */
#include "tools/terrace/simulate.h"

#include <errno.h>

#include "tools/terrace/sim_homes.h"
#include "tools/terrace/sim_ram.h"

struct simulation {
	const struct trace *trace;
	const struct sim_setup *setup;
	struct sim_ram *ram;
	struct sim_homes *homes;
	struct sim_lru *lru[CONFIG_TIERS_MAX]; /* of each tier but the last */
	struct sim_result *result;
};

static uint64_t latency_ns(const struct simulation *sim, uint32_t tier)
{
	const struct sim_tier *t = &sim->setup->tiers[tier];

	return t->latency_ns + sim->trace->block_bytes * UINT64_C(1000000000) / t->read_rate;
}

/* The tier a block comes from, with Terrace's policy. */
static uint32_t use(struct simulation *sim, const struct trace_access *access)
{
	uint32_t home;

	sim_homes_advance(sim->homes, access->time_s);
	home = sim_homes_use(sim->homes, access);
	return sim_ram_use(sim->ram, access->block) ? 0 : home;
}

/* The same if each tier held what was used last. */
static uint32_t use_lru(struct simulation *sim, uint32_t block)
{
	uint32_t last = sim->setup->ntiers - 1, tier = last;

	for (uint32_t t = last; t-- > 0;)
		if (sim_lru_use(sim->lru[t], block))
			tier = t;
	return tier;
}

static void request_done(struct simulation *sim, uint32_t tier, uint32_t lru_tier)
{
	sim->result->tiers[tier].hits++;
	sim->result->tiers[lru_tier].lru_hits++;
	sim->result->latency_ns += latency_ns(sim, tier);
	sim->result->lru_latency_ns += latency_ns(sim, lru_tier);
}

static void walk(struct simulation *sim)
{
	const struct trace *trace = sim->trace;
	uint32_t slowest = 0, lru_slowest = 0;

	for (size_t i = 0; i < trace->naccesses; i++) {
		const struct trace_access *access = &trace->accesses[i];
		uint32_t tier, lru_tier;

		if (access->first && i) {
			request_done(sim, slowest, lru_slowest);
			slowest = lru_slowest = 0;
		}
		tier = use(sim, access);
		lru_tier = use_lru(sim, access->block);
		slowest = tier > slowest ? tier : slowest;
		lru_slowest = lru_tier > lru_slowest ? lru_tier : lru_slowest;
	}
	if (trace->naccesses)
		request_done(sim, slowest, lru_slowest);
}

static void count_ram(struct simulation *sim)
{
	struct sim_counts *ram = &sim->result->tiers[0];
	struct sim_ram_counts counts;

	sim_ram_counts(sim->ram, &counts);
	ram->up = counts.in;
	ram->down = counts.out;
	ram->up_bytes = counts.in * sim->trace->block_bytes;
	ram->down_bytes = counts.out * sim->trace->block_bytes;
	ram->again = counts.again;
}

int simulate(const struct trace *trace, const struct sim_setup *setup, struct sim_result *out)
{
	struct simulation sim = {.trace = trace, .setup = setup, .result = out};
	int rc;

	*out = (struct sim_result){0};
	rc = sim_ram_new(&sim.ram, trace, setup->tiers[0].size);
	if (rc == 0)
		rc = sim_homes_new(&sim.homes, trace, setup);
	for (uint32_t t = 0; t + 1 < setup->ntiers && rc == 0; t++)
		rc = sim_lru_new(&sim.lru[t], trace, setup->tiers[t].size);
	if (rc == 0) {
		walk(&sim);
		count_ram(&sim);
		sim_homes_counts(sim.homes, out);
	}
	for (uint32_t t = 0; t + 1 < setup->ntiers; t++)
		sim_lru_free(sim.lru[t]);
	sim_homes_free(sim.homes);
	sim_ram_free(sim.ram);
	return rc;
}

int simulate_ram(const struct trace *trace, uint64_t size, uint64_t *hits)
{
	struct sim_ram *ram;
	bool all = true;
	int rc = sim_ram_new(&ram, trace, size);

	if (rc < 0)
		return rc;
	*hits = 0;
	for (size_t i = 0; i < trace->naccesses; i++) {
		if (trace->accesses[i].first && i) {
			*hits += all;
			all = true;
		}
		all &= sim_ram_use(ram, trace->accesses[i].block);
	}
	*hits += all && trace->naccesses;
	sim_ram_free(ram);
	return 0;
}
