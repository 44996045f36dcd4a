/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of a trace is in memory: tiers/s3fifo.h, used as tiers/blockcache.c uses it, without the
 * bytes; and, to compare with, exact least-recently-used replacement in the same room. One thread.
 */
#ifndef TERRACE_TOOLS_SIM_RAM_H
#define TERRACE_TOOLS_SIM_RAM_H

#include <stdbool.h>
#include <stdint.h>

#include "tools/terrace/trace.h"

struct sim_ram;

/* The trace stays while the RAM tier does. -ENOMEM. */
int sim_ram_new(struct sim_ram **out, const struct trace *trace, uint64_t limit_bytes);
void sim_ram_free(struct sim_ram *ram);
/* A use of the block: was it in memory? It is now, if it may be. */
bool sim_ram_use(struct sim_ram *ram, uint32_t block);

struct sim_ram_counts {
	uint64_t in, out; /* blocks copied in, blocks let go */
	uint64_t again;	  /* copied in after having been let go */
};
void sim_ram_counts(const struct sim_ram *ram, struct sim_ram_counts *out);

struct sim_lru;

int sim_lru_new(struct sim_lru **out, const struct trace *trace, uint64_t limit_bytes);
void sim_lru_free(struct sim_lru *lru);
bool sim_lru_use(struct sim_lru *lru, uint32_t block);

#endif
