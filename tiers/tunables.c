// SPDX-License-Identifier: Apache-2.0
/* Settings that change while the pool is mounted: one struct, copied whole under one lock, so that
 * nobody sees half of a change. */
#include "tiers/tunables.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tiers/clock.h"
#include "tiers/places.h"
#include "tiers/pool_impl.h"

int tunables_init(struct tunables *out, const struct pool_config *config)
{
	char why[160];

	*out = (struct tunables){
		.run_interval_ns = config->run_interval_ns,
		.promote_window_ns = config->promote_window_ns,
		.commit_interval_ns = config->commit_interval_ns,
		.move_bandwidth = config->move_bandwidth,
		.move_iops = config->move_iops,
		.move_pressure = config->move_pressure,
		.scrub_bandwidth = config->scrub_bandwidth,
		.scrub_interval_ns = config->scrub_interval_ns,
		.start_delay_ns = config->start_delay_ns,
		.heat_half_life_ns = config->heat_half_life_ns,
		.residency_ns = config->residency_ns,
		.plain_idle_ns = config->plain_idle_ns,
		.promote_gain = config->promote_gain,
		.ram_bytes = config->tiers[0].size_bytes,
		.ram_percent = config->tiers[0].size_percent,
	};
	for (uint32_t t = 0; t < config->ntiers; t++) {
		const struct config_tier *tier = &config->tiers[t];

		out->tiers[t] = (struct tier_tunables){.high_percent = tier->high_percent,
						       .replicas = tier->replicas,
						       .low_percent = tier->low_percent,
						       .min_age_ns = tier->min_age_ns,
						       .write_budget = tier->write_budget,
						       .codec = tier->codec};
	}
	return window_parse(config->move_window, &out->move_window, why, sizeof(why));
}

void pool_tunables(struct pool *pool, struct tunables *out)
{
	pthread_rwlock_rdlock(&pool->tunables_lock);
	*out = pool->tunables;
	pthread_rwlock_unlock(&pool->tunables_lock);
}

int pool_plain_databases(const struct pool *pool)
{
	return pool->plain_databases;
}

int pool_tunables_set(struct pool *pool, const struct pool_config *config)
{
	struct tunables tunables;
	uint32_t s = clock_s(config->heat_half_life_ns);
	int rc = tunables_init(&tunables, config);

	if (rc < 0)
		return rc;
	pthread_rwlock_wrlock(&pool->tunables_lock);
	pool->tunables = tunables;
	pthread_rwlock_unlock(&pool->tunables_lock);
	for (uint32_t t = 1; pool->space && t < config->ntiers; t++)
		space_copies(pool->space, t - 1, tunables.tiers[t].replicas);
	pool->promote_window_s = clock_s(config->promote_window_ns);
	pool->heat_half_life_s = s ? s : 1;
	pool->plain_databases = config->plain_databases;
	return 0;
}

struct refusal {
	struct pool *pool;
	const struct pool_config *config;
	char *message;
	size_t cap;
};

/* "hdd.path", "hdd.copy_path": `terrace config add` and `remove` have changed it, and the file with
 * it. */
static bool paths_follow(const struct refusal *refusal, const char *name)
{
	const struct pool_config *config = refusal->config;
	size_t len = strcspn(name, ".");

	for (uint32_t t = 1; t < config->ntiers; t++)
		if ((!strcmp(name + len, ".path") || !strcmp(name + len, ".copy_path")) &&
		    strlen(config->tiers[t].name) == len &&
		    !strncmp(config->tiers[t].name, name, len))
			return pool_places_match(refusal->pool, t, &config->tiers[t]);
	return false;
}

static int refuse_fixed(void *arg, const struct config_change *change)
{
	struct refusal *refusal = arg;

	if (change->live || paths_follow(refusal, change->name))
		return 0;
	snprintf(refusal->message, refusal->cap, "%s cannot change while the pool is mounted",
		 change->name);
	return -EINVAL;
}

int pool_reconfigure(struct pool *pool, const struct pool_config *config, char *message,
		     size_t message_cap)
{
	struct refusal refusal = {pool, config, message, message_cap};
	int rc = config_changes(&pool->config, config, refuse_fixed, &refusal);

	if (rc == 0)
		rc = pool_tunables_set(pool, config);
	if (rc < 0)
		return rc;
	heat_rescale(pool->heat, pool_heat_scale(pool));
	pool_balance_ram(pool);
	/* Threads count their intervals anew. */
	pthread_mutex_lock(&pool->thread_lock);
	pthread_cond_broadcast(&pool->thread_wake);
	pthread_mutex_unlock(&pool->thread_lock);
	return 0;
}
