// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/fix_tier.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tiers/io.h"

const uint8_t pool_a[16] = "pool a pool a po";
const uint8_t pool_b[16] = "pool b pool b po";

struct dir_fixture tier_dirs;

static int setup(const char *base)
{
	dir_fixture_make(&tier_dirs, base);
	log_capture();
	return 0;
}

int tier_on_disk(void **state)
{
	(void)state;
	return setup("/tmp");
}

int tier_in_memory(void **state)
{
	(void)state;
	return setup("/dev/shm");
}

int tier_teardown(void **state)
{
	(void)state;
	log_release();
	io_ops_set(NULL);
	dir_fixture_remove(&tier_dirs);
	return 0;
}

struct tier_dir_options tier_options(uint32_t npaths)
{
	return (struct tier_dir_options){
		.name = "ssd",
		.pool_uuid = pool_a,
		.tier_id = 1,
		.paths = tier_dirs.list,
		.npaths = npaths,
		.direct = -1,
	};
}

struct tier *tier_open_new(const struct tier_dir_options *options)
{
	struct tier *tier;

	assert_int_equal(tier_dir_format(options), 0);
	assert_int_equal(tier_dir_open(&tier, options), 0);
	return tier;
}

uint64_t tier_used(struct tier *tier, uint32_t place)
{
	struct tier_space space;

	assert_int_equal(tier_space(tier, place, &space), 0);
	return space.used;
}

int tier_list_one(void *arg, struct tier_segment seg, uint64_t len, uint64_t disk)
{
	struct tier_listing *listing = arg;

	listing->count++;
	listing->ids += seg.id;
	listing->len += len;
	listing->disk += disk;
	return listing->count == listing->stop_at ? 42 : 0;
}

void fill_noise(uint8_t *buf, size_t len, uint64_t seed)
{
	for (size_t i = 0; i < len; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		buf[i] = (uint8_t)(seed >> 56);
	}
}
