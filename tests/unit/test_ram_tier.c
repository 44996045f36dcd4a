// SPDX-License-Identifier: Apache-2.0
/* The RAM tier's memory: its size changes while the pool is open, memory pressure lowers it, and
 * the log leaves room for what is pinned. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/unit/fix_pool.h"
#include "tiers/engine/engine.h"
#include "tiers/engine/events.h"
#include "tiers/pool_impl.h"
#include "tiers/tunables.h"

#define MIB (1ull << 20)
#define RAM (256 * MIB)

static struct fix_pool fix;
static char root[64];

/* What the machine is said to have. */
static void memory(uint64_t total_mib, uint64_t available_mib)
{
	char path[100];
	FILE *file;

	snprintf(path, sizeof(path), "%s/proc/meminfo", root);
	file = fopen(path, "w");
	assert_non_null(file);
	fprintf(file, "MemTotal: %llu kB\nMemAvailable: %llu kB\n",
		(unsigned long long)total_mib << 10, (unsigned long long)available_mib << 10);
	fclose(file);
	ram_tier_tick(fix.pool);
}

static int setup(void **state)
{
	char path[100];

	(void)state;
	fix_pool_new(&fix, RAM, false);
	strcpy(root, "/tmp/terrace-memory-XXXXXX");
	assert_non_null(mkdtemp(root));
	snprintf(path, sizeof(path), "%s/proc", root);
	assert_int_equal(mkdir(path, 0700), 0);
	fix.pool->ram_tier.root = root;
	memory(8192, 6000);
	return 0;
}

static int teardown(void **state)
{
	char command[100];

	(void)state;
	fix_pool_free(&fix);
	snprintf(command, sizeof(command), "rm -r %s", root);
	return system(command);
}

static int fill(void *arg, void *buf, size_t len)
{
	(void)arg;
	memset(buf, 1, len);
	return 0;
}

static void cache_fill(uint64_t bytes)
{
	for (uint64_t frame = 1 << 20; bytes; bytes -= MIB / 4, frame++) {
		struct cached_block *block;

		assert_int_equal(blockcache_get(fix.pool->cache, frame, 0, MIB / 4, fill, NULL,
						&block, NULL),
				 0);
		cached_block_put(block);
	}
}

static uint64_t cache_bytes(void)
{
	struct blockcache_stats stats;

	blockcache_stats(fix.pool->cache, &stats);
	return stats.bytes;
}

static int last_event(struct event *out)
{
	struct events *events = pool_events(fix.pool);
	uint64_t missed, last = events_last(events);

	return last ? events_get(events, last - 1, out, &missed) : -ENOENT;
}

static void test_pressure(void **state)
{
	struct event event;

	(void)state;
	cache_fill(400 * MIB);
	assert_true(cache_bytes() > 200 * MIB);
	assert_int_equal(ram_tier_limit(fix.pool), RAM);
	memory(8192, 412); /* the reserve is 512 */
	assert_in_range(ram_tier_limit(fix.pool), 120 * MIB, 160 * MIB);
	assert_true(cache_bytes() <= ram_tier_limit(fix.pool));
	assert_int_equal(ram_tier_size(fix.pool), RAM);
	assert_int_equal(last_event(&event), 0);
	assert_int_equal(event.kind, EVENT_PRESSURE);
	assert_string_equal(event.text, "memory is short");
	assert_int_equal(event.before, RAM);
	assert_int_equal(event.after, ram_tier_limit(fix.pool));
	memory(8192, 0);
	memory(8192, 0);
	assert_int_equal(ram_tier_limit(fix.pool), 16 * MIB);
	assert_true(cache_bytes() <= 16 * MIB);
	for (unsigned i = 0; i < 64; i++)
		memory(8192, 6000);
	assert_int_equal(ram_tier_limit(fix.pool), RAM);
	assert_int_equal(last_event(&event), 0);
	assert_string_equal(event.text, "memory is there again");
	cache_fill(400 * MIB);
	assert_true(cache_bytes() > 200 * MIB);
}

static void resize(uint64_t bytes)
{
	struct pool_config config;
	char message[256];

	assert_int_equal(config_copy(&fix.config, &config), 0);
	config.tiers[0].size_bytes = bytes;
	assert_int_equal(pool_reconfigure(fix.pool, &config, message, sizeof(message)), 0);
	config_release(&config);
}

static void test_resize(void **state)
{
	struct ramlog_usage log;

	(void)state;
	cache_fill(400 * MIB);
	resize(64 * MIB);
	assert_int_equal(ram_tier_limit(fix.pool), 64 * MIB);
	assert_true(cache_bytes() <= 64 * MIB);
	ramlog_usage(fix.pool->log, &log);
	assert_in_range(log.max, 40 * MIB, 48 * MIB);
	resize(512 * MIB);
	cache_fill(600 * MIB);
	assert_true(cache_bytes() > 400 * MIB);
	ramlog_usage(fix.pool->log, &log);
	assert_in_range(log.max, 380 * MIB, 384 * MIB);
}

/* A full log beside it takes no pin away. */
static void test_log_leaves_room_for_pins(void **state)
{
	struct ramlog_usage log;
	struct blockcache_stats stats;

	(void)state;
	for (uint64_t frame = 1; frame <= 400; frame++)
		assert_int_equal(blockcache_pin(fix.pool->cache, frame, 0, MIB / 4, fill, NULL, 1),
				 0);
	pool_balance_ram(fix.pool);
	ramlog_usage(fix.pool->log, &log);
	assert_in_range(log.max, 110 * MIB, 123 * MIB);
	for (uint64_t frame = 401; frame <= 1000; frame++)
		blockcache_pin(fix.pool->cache, frame, 0, MIB / 4, fill, NULL, 1);
	pool_balance_ram(fix.pool);
	ramlog_usage(fix.pool->log, &log);
	assert_in_range(log.max, 60 * MIB, 64 * MIB);
	blockcache_stats(fix.pool->cache, &stats);
	/* As when the log has grown to what it may. */
	blockcache_resize(fix.pool->cache, 256 * MIB - log.max);
	blockcache_stats(fix.pool->cache, &stats);
	assert_true(stats.pinned > 130 * MIB);
	blockcache_unpin_others(fix.pool->cache, 2);
	pool_balance_ram(fix.pool);
	ramlog_usage(fix.pool->log, &log);
	assert_in_range(log.max, 189 * MIB, 192 * MIB);
}

static void test_codec(void **state)
{
	struct blockcache_stats stats;
	struct pool_config config;
	char message[256];

	(void)state;
	assert_int_equal(config_copy(&fix.config, &config), 0);
	assert_int_equal(codec_parse("lz4", &config.tiers[0].codec), 0);
	config.tiers[0].size_bytes = 32 * MIB;
	assert_int_equal(pool_reconfigure(fix.pool, &config, message, sizeof(message)), 0);
	memory(8192, 6000); /* a tick */
	for (unsigned i = 0; i < 100; i++) {
		cache_fill(64 * MIB);
		blockcache_stats(fix.pool->cache, &stats);
		if (stats.packed > 50)
			break;
		usleep(10000);
	}
	assert_true(stats.packed > 50);
	config_release(&config);
}

static void test_more_than_memory(void **state)
{
	(void)state;
	assert_int_equal(ram_tier_check(&fix.config), 0);
	fix.config.tiers[0].size_bytes = 1ull << 60;
	assert_int_equal(ram_tier_check(&fix.config), -EINVAL);
	assert_int_equal(pool_create(&fix.config), -EINVAL);
	fix.config.tiers[0].size_percent = 50;
	assert_int_equal(ram_tier_check(&fix.config), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_pressure, setup, teardown),
		cmocka_unit_test_setup_teardown(test_resize, setup, teardown),
		cmocka_unit_test_setup_teardown(test_log_leaves_room_for_pins, setup, teardown),
		cmocka_unit_test_setup_teardown(test_codec, setup, teardown),
		cmocka_unit_test_setup_teardown(test_more_than_memory, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
