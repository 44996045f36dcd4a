// SPDX-License-Identifier: Apache-2.0
/* probe.h: what shrinks is coded, what does not is given up early, for every codec and level. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "compress/probe.h"
#include "tests/unit/fix_bytes.h"

#define LEN (128u << 10)

static struct codec_scratch *scratch;
static uint8_t *raw, *coded;

static int setup(void **state)
{
	(void)state;
	raw = malloc(LEN);
	coded = malloc(LEN);
	return raw && coded ? codec_scratch_new(&scratch) : -1;
}

static int teardown(void **state)
{
	(void)state;
	codec_scratch_free(scratch);
	free(raw);
	free(coded);
	return 0;
}

static bool probe(const char *codec, size_t len)
{
	struct codec_spec spec;

	assert_int_equal(codec_parse(codec, &spec), 0);
	return probe_compressible(scratch, &spec, raw, len);
}

/* Those that are tried before, and those whose own run is the trial. */
static const char *const dear[] = {"lz4:2",   "lz4:12", "zstd:5", "zstd:12",
				   "zstd:22", "lzma:0", "lzma:9"};
static const char *const cheap[] = {"lz4", "zstd:-5", "zstd:1", "zstd:3"};

static void test_text(void **state)
{
	(void)state;
	bytes_fill_text(raw, LEN, 1);
	for (size_t i = 0; i < sizeof(dear) / sizeof(dear[0]); i++) {
		assert_true(probe(dear[i], LEN));
		assert_true(probe(dear[i], 4096));
	}
	for (size_t i = 0; i < sizeof(cheap) / sizeof(cheap[0]); i++)
		assert_true(probe(cheap[i], LEN));
}

static void test_random(void **state)
{
	static const size_t lens[] = {0, 1, 7, 8, 100, 4096, LEN};

	(void)state;
	bytes_fill_random(raw, LEN, 1);
	for (size_t i = 0; i < sizeof(dear) / sizeof(dear[0]); i++)
		for (size_t l = 0; l < sizeof(lens) / sizeof(lens[0]); l++)
			assert_false(probe(dear[i], lens[l]));
	for (size_t i = 0; i < sizeof(cheap) / sizeof(cheap[0]); i++)
		assert_true(probe(cheap[i], LEN));
}

/* The sample in the middle does not speak for the rest when it says no. */
static void test_random_middle(void **state)
{
	(void)state;
	bytes_fill_text(raw, LEN, 1);
	bytes_fill_random(raw + LEN / 4, LEN / 2, 2);
	for (size_t i = 0; i < sizeof(dear) / sizeof(dear[0]); i++)
		assert_true(probe(dear[i], LEN));
}

/* lz4 finds nothing in it; zstd:1 does: the second trial. */
static void test_entropy_only(void **state)
{
	(void)state;
	bytes_fill_skewed(raw, LEN, 1);
	assert_false(probe("lz4:12", LEN));
	assert_true(probe("zstd:12", LEN));
	assert_true(probe("lzma:6", LEN));
}

static void test_none_and_unknown(void **state)
{
	(void)state;
	memset(raw, 0, LEN);
	assert_false(probe("none", LEN));
	assert_false(
		probe_compressible(scratch, &(struct codec_spec){.id = CODEC_COUNT}, raw, LEN));
}

/*
 * At the threshold: random data with a share of zeros. Whatever saves more than 3/16 under the
 * codec itself must not be given up, and what is given up must not have saved more than that.
 */
static void test_threshold(void **state)
{
	(void)state;
	for (size_t zeros = 0; zeros <= 32; zeros++) {
		bytes_fill_random(raw, LEN, zeros);
		for (size_t at = 0; at < LEN; at += 4096)
			memset(raw + at, 0, zeros * 64);
		for (size_t i = 0; i < sizeof(dear) / sizeof(dear[0]); i++) {
			struct codec_spec spec;
			size_t stored;

			assert_int_equal(codec_parse(dear[i], &spec), 0);
			if (codec_encode(scratch, &spec, raw, LEN, coded, LEN - LEN / 16 * 3,
					 &stored) == 0)
				assert_true(probe_compressible(scratch, &spec, raw, LEN));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_entropy_only),
		cmocka_unit_test(test_random_middle),
		cmocka_unit_test(test_none_and_unknown),
		cmocka_unit_test(test_threshold),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
