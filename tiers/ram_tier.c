// SPDX-License-Identifier: Apache-2.0
#include "tiers/ram_tier.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>

#include "tiers/engine/events.h"
#include "tiers/log.h"
#include "tiers/memory_pressure.h"
#include "tiers/pool_impl.h"
#include "tiers/tunables.h"

#define CACHE_MIN  (4u << 20)
#define LOG_MIN	   (8u << 20)
/* The cache's buffers lie among other memory of the heap: what it frees stays there until it is
 * looked for. That costs a tenth of a second for each GiB, so not for less than this. */
#define TRIM_BYTES (32u << 20)
#define TRIM_SHARE 8u /* ... nor for a smaller part of the cache */

static uint64_t size_of(uint64_t bytes, uint32_t percent, uint64_t memory)
{
	uint64_t size = percent ? memory / 100 * percent : bytes;

	return size < MEMORY_FLOOR ? MEMORY_FLOOR : size;
}

static void facts_read(struct pool *pool, struct memory_facts *facts)
{
	memory_facts_read(pool->ram_tier.root ? pool->ram_tier.root : "", facts);
}

uint64_t ram_tier_size(struct pool *pool)
{
	struct memory_facts facts = {0};
	struct tunables now;

	pool_tunables(pool, &now);
	if (now.ram_percent)
		facts_read(pool, &facts);
	return size_of(now.ram_bytes, now.ram_percent, facts.total);
}

uint64_t ram_tier_limit(struct pool *pool)
{
	uint64_t size = ram_tier_size(pool), limit = pool->ram_tier.limit;

	return limit && limit < size ? limit : size;
}

/* So that pins, three quarters of the cache, find their room beside a full log. */
static uint64_t log_share(uint64_t limit, uint64_t pinned)
{
	uint64_t most = limit / 4 * 3, least = limit / 4, want = pinned + pinned / 3;
	uint64_t share = want < limit ? limit - want : 0;

	share = share > most ? most : share < least ? least : share;
	return share < LOG_MIN ? LOG_MIN : share;
}

void pool_balance_ram(struct pool *pool)
{
	struct blockcache_stats cache;
	struct ramlog_usage usage;
	uint64_t limit = ram_tier_limit(pool), share;

	blockcache_stats(pool->cache, &cache);
	share = log_share(limit, cache.pinned);
	if (atomic_exchange(&pool->ram_tier.log_max, share) != share)
		ramlog_resize(pool->log, share);
	ramlog_usage(pool->log, &usage);
	limit = usage.reserved + CACHE_MIN < limit ? limit - usage.reserved : CACHE_MIN;
	if (pool->whole)
		limit /= 2;
	if (limit == cache.limit)
		return;
	blockcache_resize(pool->cache, limit);
	if (pool->whole)
		blockcache_resize(pool->whole, limit);
}

static void tell(struct pool *pool, uint64_t size, uint64_t limit)
{
	struct event event = {.kind = EVENT_PRESSURE, .from = -1, .before = size, .after = limit};
	bool low = limit < size;

	if (low == pool->ram_tier.low_memory)
		return;
	pool->ram_tier.low_memory = low;
	snprintf(event.text, sizeof(event.text), low ? "memory is short" : "memory is there again");
	if (low)
		log_info("tier %s: memory is short: it takes %llu MiB instead of %llu MiB for now",
			 pool->config.tiers[0].name, (unsigned long long)limit >> 20,
			 (unsigned long long)size >> 20);
	events_add(pool->events, &event);
}

/* malloc keeps what was freed unless it lies at the end of its heap. */
static void give_back(struct pool *pool)
{
	struct blockcache_stats cache;

	blockcache_stats(pool->cache, &cache);
	if (cache.peak < cache.bytes + TRIM_BYTES ||
	    cache.peak - cache.bytes < cache.limit / TRIM_SHARE)
		return;
	malloc_trim(0);
	blockcache_peak_reset(pool->cache);
}

static void set_codec(struct pool *pool)
{
	struct tunables now;
	int rc;

	pool_tunables(pool, &now);
	rc = blockcache_pack(pool->cache, now.tiers[0].codec.id == CODEC_LZ4);
	if (rc < 0)
		log_warning("tier %s: no thread to compress with: %s", pool->config.tiers[0].name,
			    strerror(-rc));
}

void ram_tier_tick(struct pool *pool)
{
	uint64_t size = ram_tier_size(pool), limit;
	struct blockcache_stats cache, whole;
	struct ramlog_usage usage;
	struct memory_facts facts;

	facts_read(pool, &facts);
	blockcache_stats(pool->cache, &cache);
	object_fetch_stats(pool, &whole);
	ramlog_usage(pool->log, &usage);
	limit = pool->ram_tier.limit ? pool->ram_tier.limit : size;
	limit = memory_limit(&facts, size, limit, usage.reserved + cache.bytes + whole.bytes);
	pool->ram_tier.limit = limit < size ? limit : 0;
	tell(pool, size, limit);
	set_codec(pool);
	pool_balance_ram(pool);
	give_back(pool);
}

int ram_tier_check(const struct pool_config *config)
{
	const struct config_tier *ram = &config->tiers[0];
	struct memory_facts facts;

	memory_facts_read("", &facts);
	if (ram->size_percent || !facts.total || ram->size_bytes <= facts.total)
		return 0;
	log_error("tier %s: size %llu MiB is more than all memory there is (%llu MiB): make it "
		  "smaller, or a part like 50%%",
		  ram->name, (unsigned long long)ram->size_bytes >> 20,
		  (unsigned long long)facts.total >> 20);
	return -EINVAL;
}
