/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the frames of a trace have their homes among the tiers below ram, and how the tier engine
 * moves them: tiers/engine's heat, evidence, ranks, decisions and ghosts, in passes like those of
 * tiers/engine/planner.c, on an array instead of a pool. One thread.
 */
#ifndef TERRACE_TOOLS_SIM_HOMES_H
#define TERRACE_TOOLS_SIM_HOMES_H

#include "tools/terrace/simulate.h"

struct sim_homes;

/* -ENOMEM, -ENOSPC. Trace and setup stay while the homes do. */
int sim_homes_new(struct sim_homes **out, const struct trace *trace, const struct sim_setup *setup);
void sim_homes_free(struct sim_homes *homes);
/* Passes of the engine that are due by then. */
void sim_homes_advance(struct sim_homes *homes, uint32_t time_s);
/* A use of a block; returns the tier it is in now. */
uint32_t sim_homes_use(struct sim_homes *homes, const struct trace_access *access);
/* Adds moves. */
void sim_homes_counts(const struct sim_homes *homes, struct sim_result *out);

#endif
