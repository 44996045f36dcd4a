/* SPDX-License-Identifier: Apache-2.0 */
/* One directory tier, "ssd", number 1 of pool_a, in directories of its own that a test's setup
 * makes and its teardown removes. The log is captured meanwhile. */
#ifndef TERRACE_TESTS_FIX_TIER_H
#define TERRACE_TESTS_FIX_TIER_H

#include <stddef.h>
#include <stdint.h>

#include "tests/unit/fix_dir.h"
#include "tiers/tier.h"

extern const uint8_t pool_a[16], pool_b[16];
extern struct dir_fixture tier_dirs;

/* For cmocka_unit_test_setup_teardown(). */
int tier_on_disk(void **state);
int tier_in_memory(void **state);
int tier_teardown(void **state);

struct tier_dir_options tier_options(uint32_t npaths);
/* Formats and opens it; the caller closes it. Fails the test if it cannot. */
struct tier *tier_open_new(const struct tier_dir_options *options);
uint64_t tier_used(struct tier *tier, uint32_t place);
/* For tier_list(): adds up what is listed; returns 42 at the stop_at-th. */
struct tier_listing {
	unsigned count, stop_at;
	uint64_t ids, len, disk;
};
int tier_list_one(void *arg, struct tier_segment seg, uint64_t len, uint64_t disk);
/* Bytes that no codec shrinks, the same for the same seed. */
void fill_noise(uint8_t *buf, size_t len, uint64_t seed);

#endif
