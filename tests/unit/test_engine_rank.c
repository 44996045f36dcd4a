// SPDX-License-Identifier: Apache-2.0
/* Ranks of rates, and the thresholds found in histograms of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <limits.h>
#include <math.h>
#include <string.h>

#include "tiers/engine/rank.h"
#include "tests/unit/fix_bytes.h"

static void test_rates_and_ranks_agree(void **state)
{
	(void)state;
	assert_int_equal(rank_of(0), 0);
	assert_int_equal(rank_of(-1), 0);
	assert_int_equal(rank_of(NAN), 0);
	assert_int_equal(rank_of(1e-300), 0);
	assert_int_equal(rank_of(1e300), RANK_BUCKETS - 1);
	assert_int_equal(rank_of(INFINITY), RANK_BUCKETS - 1);
	for (unsigned rank = 1; rank < RANK_BUCKETS; rank++) {
		assert_int_equal(rank_of(rank_rate(rank)), rank);
		assert_int_equal(rank_of(rank_rate(rank) * 0.999), rank - 1);
		if (rank > RANK_OCTAVE)
			assert_int_equal(rank_of(rank_rate(rank) / 2), rank - RANK_OCTAVE);
	}
	/* The rates that heat can say (heat.h: 1/256 of a touch to 256, half lives of a second to a
	 * year) have ranks of their own. */
	assert_true(rank_of(0.25 / 256 / 24 / 8760) > 0);
	assert_true(rank_of(256.0 * 3600) < RANK_BUCKETS - 1);
}

static void test_the_hot_set_just_fits(void **state)
{
	struct rank_histogram a, b;

	(void)state;
	memset(&a, 0, sizeof(a));
	memset(&b, 0, sizeof(b));
	assert_int_equal(rank_fit(&a, NULL, 0), 0);
	a.bytes[200] = 10;
	b.bytes[200] = 5;
	a.bytes[100] = 20;
	b.bytes[0] = 1000;
	assert_int_equal(rank_fit(&a, NULL, 30), 0);
	assert_int_equal(rank_fit(&a, NULL, 29), 101);
	assert_int_equal(rank_fit(&a, NULL, 9), 201);
	assert_int_equal(rank_fit(&a, &b, 14), 201);
	assert_int_equal(rank_fit(&a, &b, 15), 101);
	assert_int_equal(rank_fit(&a, &b, 35), 1);
	assert_int_equal(rank_fit(&a, &b, 1035), 0);
	a.bytes[255] = 1;
	assert_int_equal(rank_fit(&a, &b, 0), RANK_BUCKETS);
	a.bytes[255] = UINT64_MAX; /* sums do not overflow */
	a.bytes[254] = UINT64_MAX;
	assert_int_equal(rank_fit(&a, &b, UINT64_MAX), 255);
}

static void test_the_coldest_go(void **state)
{
	struct rank_histogram a;

	(void)state;
	memset(&a, 0, sizeof(a));
	assert_int_equal(rank_cut(&a, 0), UINT_MAX);
	assert_int_equal(rank_cut(&a, 1), RANK_BUCKETS - 1);
	a.bytes[3] = 10;
	a.bytes[7] = 5;
	assert_int_equal(rank_cut(&a, 1), 3);
	assert_int_equal(rank_cut(&a, 10), 3);
	assert_int_equal(rank_cut(&a, 11), 7);
	assert_int_equal(rank_cut(&a, 15), 7);
	assert_int_equal(rank_cut(&a, 16), RANK_BUCKETS - 1);
}

/* Against sums by hand, for any histogram: what is said to fit does, one rank more does not; what
 * is cut suffices, one rank less would not. */
static void test_thresholds_are_exact(void **state)
{
	uint64_t seed = 7;

	(void)state;
	for (unsigned round = 0; round < 2000; round++) {
		struct rank_histogram a, b;
		uint64_t all = 0, capacity, above = 0, below = 0;
		unsigned fit, cut;

		memset(&a, 0, sizeof(a));
		memset(&b, 0, sizeof(b));
		for (unsigned i = 0; i < 40; i++) {
			a.bytes[bytes_random(&seed) % RANK_BUCKETS] += bytes_random(&seed) % 1000;
			b.bytes[bytes_random(&seed) % RANK_BUCKETS] += bytes_random(&seed) % 1000;
		}
		for (unsigned i = 0; i < RANK_BUCKETS; i++)
			all += a.bytes[i] + b.bytes[i];
		capacity = bytes_random(&seed) % (all + 1);
		fit = rank_fit(&a, &b, capacity);
		for (unsigned i = fit; i < RANK_BUCKETS; i++)
			above += a.bytes[i] + b.bytes[i];
		assert_true(above <= capacity);
		assert_true(!fit || above + a.bytes[fit - 1] + b.bytes[fit - 1] > capacity);
		capacity = capacity / 2 + 1;
		cut = rank_cut(&a, capacity);
		for (unsigned i = 0; i <= cut; i++)
			below += a.bytes[i];
		assert_true(below >= capacity || cut == RANK_BUCKETS - 1);
		assert_true(below - a.bytes[cut] < capacity);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rates_and_ranks_agree),
		cmocka_unit_test(test_the_hot_set_just_fits),
		cmocka_unit_test(test_the_coldest_go),
		cmocka_unit_test(test_thresholds_are_exact),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
