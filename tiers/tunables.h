/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The settings of a pool that may change while it is mounted, as plain values. pool_config() stays
 * as it was at the mount; who needs a value of here as it is now takes a copy with pool_tunables().
 *
 * Threads: any. pool.tunables_lock is a leaf.
 */
#ifndef TERRACE_TIERS_TUNABLES_H
#define TERRACE_TIERS_TUNABLES_H

#include <stddef.h>
#include <stdint.h>

#include "compress/codec.h"
#include "tiers/config.h"
#include "tiers/engine/window.h"

struct pool;

struct tier_tunables {
	uint32_t high_percent, low_percent;
	unsigned replicas;
	uint64_t min_age_ns;
	uint64_t write_budget; /* bytes a day, 0 = no limit */
	struct codec_spec codec;
};

struct tunables { /* as in struct pool_config */
	uint64_t run_interval_ns, promote_window_ns, commit_interval_ns;
	uint64_t move_bandwidth;
	uint32_t move_iops, move_pressure;
	uint64_t scrub_bandwidth, scrub_interval_ns;
	uint64_t start_delay_ns, heat_half_life_ns, residency_ns, plain_idle_ns;
	uint32_t promote_gain;
	struct window move_window;
	uint64_t ram_bytes; /* of the RAM tier; ram_percent of memory when that is not 0 */
	uint32_t ram_percent;
	struct tier_tunables tiers[CONFIG_TIERS_MAX];
};

/* -EINVAL: the window cannot be read (a configuration that was loaded has been checked). */
int tunables_init(struct tunables *out, const struct pool_config *config);

void pool_tunables(struct pool *pool, struct tunables *out);
/* 1, 0, -1; asked for at every write, so by itself and without a lock. */
int pool_plain_databases(const struct pool *pool);

/*
 * Takes over the keys of a newly read configuration that may change at run time (config_live()).
 * -EINVAL when another key differs from the mounted configuration: nothing is changed then, and
 * message says which one needs a new mount. Rules are not the pool's: see pool_hooks.policy.
 */
int pool_reconfigure(struct pool *pool, const struct pool_config *config, char *message,
		     size_t message_cap);

#endif
