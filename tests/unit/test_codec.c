// SPDX-License-Identifier: Apache-2.0
/* codec.h: the table's text form, and every codec's promises about lengths, room and bad input. */
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "compress/bytes.h"
#include "compress/checksum.h"
#include "compress/codec.h"
#include "tests/unit/fix_bytes.h"

#define RAW_MAX (1u << 20)

static struct codec_scratch *scratch;
static uint8_t *raw, *coded, *back;
static size_t coded_cap;

static int setup(void **state)
{
	(void)state;
	coded_cap = codec_bound(CODEC_LZMA, RAW_MAX) + 65536;
	raw = malloc(RAW_MAX);
	coded = malloc(coded_cap);
	back = malloc(RAW_MAX + 64);
	return raw && coded && back ? codec_scratch_new(&scratch) : -1;
}

static int teardown(void **state)
{
	(void)state;
	codec_scratch_free(scratch);
	free(raw);
	free(coded);
	free(back);
	return 0;
}

static struct codec_spec spec_of(const char *text)
{
	struct codec_spec spec = {0};

	assert_int_equal(codec_parse(text, &spec), 0);
	return spec;
}

/* Encodes with exactly the bound's room, decodes, compares; returns the stored length. */
static size_t round_trip(const struct codec_spec *spec, size_t len)
{
	size_t bound = codec_bound(spec->id, len);
	size_t stored = 0;

	assert_true(bound >= len && bound <= coded_cap);
	memset(coded + bound, 0xA5, 16);
	assert_int_equal(codec_encode(scratch, spec, raw, len, coded, bound, &stored), 0);
	assert_true(stored <= bound);
	for (int i = 0; i < 16; i++)
		assert_int_equal(coded[bound + (size_t)i], 0xA5);
	memset(back, 0xA5, len + 16);
	assert_int_equal(codec_decode(scratch, spec->id, coded, stored, back, len), 0);
	assert_memory_equal(raw, back, len);
	for (int i = 0; i < 16; i++)
		assert_int_equal(back[len + (size_t)i], 0xA5);
	return stored;
}

static void test_round_trips_sizes(void **state)
{
	static const char *const specs[] = {"none",   "lz4",	"lz4:9",  "zstd:-5",
					    "zstd:3", "zstd:9", "lzma:0", "lzma:6"};
	static const size_t sizes[] = {0,    1,	    2,	   7,	   8,	    63,
				       64,   255,   256,   1000,   4095,    4096,
				       4097, 32768, 65537, 131072, 1000000, RAW_MAX};
	(void)state;
	for (size_t s = 0; s < sizeof(specs) / sizeof(specs[0]); s++) {
		struct codec_spec spec = spec_of(specs[s]);

		for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
			size_t stored;

			bytes_fill_text(raw, sizes[i], i);
			stored = round_trip(&spec, sizes[i]);
			if (spec.id != CODEC_NONE && sizes[i] >= 4096)
				assert_true(stored < sizes[i] / 2);
			bytes_fill_random(raw, sizes[i], i);
			round_trip(&spec, sizes[i]);
			memset(raw, 0, sizes[i]);
			round_trip(&spec, sizes[i]);
		}
	}
}

static void test_round_trips_levels(void **state)
{
	(void)state;
	bytes_fill_text(raw, 50000, 1);
	bytes_fill_random(raw + 50000, 10000, 2);
	for (unsigned id = 0; id < CODEC_COUNT; id++) {
		int levels = 0;

		for (int level = -128; level <= 127; level++) {
			struct codec_spec spec = {.id = (uint8_t)id, .level = (int8_t)level};
			size_t stored;

			if (codec_spec_valid(&spec)) {
				round_trip(&spec, 60000);
				levels++;
			} else {
				assert_int_equal(codec_encode(scratch, &spec, raw, 60000, coded,
							      coded_cap, &stored),
						 -EINVAL);
			}
		}
		/* none: 0; lz4: 0..12; zstd: -5..22; lzma: 0..9 */
		assert_int_equal(levels, ((const int[]){1, 13, 28, 10})[id]);
	}
}

static void test_parse_and_format(void **state)
{
	static const struct {
		const char *text;
		int id, level;
		const char *printed;
	} good[] = {
		{"none", CODEC_NONE, 0, "none"},	{"lz4", CODEC_LZ4, 1, "lz4:1"},
		{"lz4:1", CODEC_LZ4, 1, "lz4:1"},	{"lz4:12", CODEC_LZ4, 12, "lz4:12"},
		{"zstd", CODEC_ZSTD, 3, "zstd:3"},	{"zstd:22", CODEC_ZSTD, 22, "zstd:22"},
		{"zstd:-5", CODEC_ZSTD, -5, "zstd:-5"}, {"lzma", CODEC_LZMA, 6, "lzma:6"},
		{"lzma:0", CODEC_LZMA, 0, "lzma:0"},	{"lzma:9", CODEC_LZMA, 9, "lzma:9"},
	};
	static const char *const bad[] = {"",	     ":",	"lz",
					  "lz4x",    "LZ4",	"lz4:",
					  "lz4:0",   "lz4:13",	"lz4:-1",
					  "zstd:0",  "zstd:-6", "zstd:23",
					  "zstd:+3", "zstd: 3", "zstd:03",
					  "zstd:3x", "zstd:-0", "zstd:-",
					  "none:0",  "none:1",	"lzma:10",
					  "lzma:-1", "lzma:00", " lz4",
					  "lz4 ",    "gzip",	"zstd:99999999999999999999",
					  "zstd:259"};
	char buf[16];

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct codec_spec spec = spec_of(good[i].text);
		struct codec_spec again;

		assert_int_equal(spec.id, good[i].id);
		assert_int_equal(spec.level, good[i].level);
		codec_format(&spec, buf, sizeof(buf));
		assert_string_equal(buf, good[i].printed);
		again = spec_of(buf);
		assert_memory_equal(&spec, &again, sizeof(spec));
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct codec_spec spec;

		assert_int_equal(codec_parse(bad[i], &spec), -EINVAL);
	}
	/* The default's other name, and what a newer program may have stored. */
	codec_format(&(struct codec_spec){.id = CODEC_LZ4, .level = 0}, buf, sizeof(buf));
	assert_string_equal(buf, "lz4:1");
	codec_format(&(struct codec_spec){.id = 200, .level = 0}, buf, sizeof(buf));
	assert_string_equal(buf, "codec200");
	codec_format(&(struct codec_spec){.id = CODEC_ZSTD, .level = -128}, buf, sizeof(buf));
	assert_string_equal(buf, "zstd:-128");
}

static void test_names_and_bounds(void **state)
{
	size_t stored;

	(void)state;
	assert_string_equal(codec_name(CODEC_NONE), "none");
	assert_string_equal(codec_name(CODEC_LZ4), "lz4");
	assert_string_equal(codec_name(CODEC_ZSTD), "zstd");
	assert_string_equal(codec_name(CODEC_LZMA), "lzma");
	assert_null(codec_name(CODEC_COUNT));
	assert_null(codec_name(255));
	assert_int_equal(codec_bound(CODEC_COUNT, 10), 0);
	/* Lengths no codec can take are refused before a byte is read. */
	for (unsigned id = CODEC_LZ4; id < CODEC_COUNT; id++) {
		struct codec_spec spec = {.id = (uint8_t)id, .level = 1};

		assert_int_equal(codec_bound(id, SIZE_MAX), 0);
		assert_int_equal(
			codec_encode(scratch, &spec, raw, SIZE_MAX, coded, coded_cap, &stored),
			-EINVAL);
	}
	assert_int_equal(codec_encode(scratch, &(struct codec_spec){.id = CODEC_COUNT}, raw, 1,
				      coded, coded_cap, &stored),
			 -EINVAL);
	assert_int_equal(codec_decode(scratch, CODEC_COUNT, raw, 1, back, 1), -ENOTSUP);
	/* Longer than LZ4's int: refused by the length alone. */
	assert_int_equal(codec_decode(scratch, CODEC_LZ4, raw, (size_t)INT_MAX + 1, back, 1),
			 -EBADMSG);
	assert_int_equal(codec_decode(scratch, CODEC_LZ4, raw, 1, back, (size_t)INT_MAX + 1),
			 -EBADMSG);
	codec_scratch_free(NULL);
}

/* Blocks far larger than a frame's: other stores may use the codecs too. */
static void test_large_block(void **state)
{
	static const char *const specs[] = {"none", "lz4", "lz4:9", "zstd:3", "lzma:6"};
	const size_t len = 9u << 20;
	uint8_t *large = calloc(2, len);

	(void)state;
	assert_non_null(large);
	bytes_fill_text(large, 10000, 9);
	bytes_fill_text(large + len - 10000, 10000, 9);
	for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
		struct codec_spec spec = spec_of(specs[i]);
		size_t cap = codec_bound(spec.id, len);
		uint8_t *stored = malloc(cap);
		size_t n;

		assert_non_null(stored);
		/* Twice: what the first run left in the scratch must serve the second. */
		for (int run = 0; run < 2; run++) {
			memset(large + len, 0xA5, len);
			assert_int_equal(codec_encode(scratch, &spec, large, len, stored, cap, &n),
					 0);
			assert_int_equal(
				codec_decode(scratch, spec.id, stored, n, large + len, len), 0);
			assert_memory_equal(large, large + len, len);
		}
		free(stored);
	}
	free(large);
}

/* Less room than the result needs is -ENOSPC, never a byte beyond it; the scratch stays usable. */
static void test_short_room(void **state)
{
	static const char *const specs[] = {"none", "lz4", "lz4:9", "zstd:3", "zstd:19", "lzma:6"};
	const size_t len = 3000;

	(void)state;
	for (size_t s = 0; s < sizeof(specs) / sizeof(specs[0]); s++) {
		struct codec_spec spec = spec_of(specs[s]);
		size_t full, stored;

		bytes_fill_text(raw, len, 7);
		full = round_trip(&spec, len);
		for (size_t cap = 0; cap < full; cap += cap < 16 || cap > full - 16 ? 1 : 13) {
			/* Of that size exactly, so that ASan sees a write beyond. */
			uint8_t *dst = malloc(cap ? cap : 1);

			assert_non_null(dst);
			assert_int_equal(codec_encode(scratch, &spec, raw, len, dst, cap, &stored),
					 -ENOSPC);
			assert_int_equal(stored, 0);
			free(dst);
		}
		round_trip(&spec, len);
		bytes_fill_random(raw, len, 8);
		if (spec.id != CODEC_NONE)
			assert_int_equal(codec_encode(scratch, &spec, raw, len, coded,
						      len - len / 8, &stored),
					 -ENOSPC);
	}
}

/* Truncated, extended, of another raw length: refused, inside the buffers. */
static void test_wrong_lengths(void **state)
{
	static const char *const specs[] = {"none", "lz4", "lz4:9", "zstd:3", "lzma:6"};
	const size_t len = 3000;

	(void)state;
	for (size_t s = 0; s < sizeof(specs) / sizeof(specs[0]); s++) {
		struct codec_spec spec = spec_of(specs[s]);
		size_t full;

		bytes_fill_text(raw, len, 3);
		full = round_trip(&spec, len);
		for (size_t n = 0; n < full; n++) {
			uint8_t *part = malloc(n ? n : 1);

			assert_non_null(part);
			memcpy(part, coded, n);
			assert_int_equal(codec_decode(scratch, spec.id, part, n, back, len),
					 -EBADMSG);
			free(part);
		}
		memset(coded + full, 0, 8);
		assert_int_equal(codec_decode(scratch, spec.id, coded, full + 8, back, len),
				 -EBADMSG);
		assert_int_equal(codec_decode(scratch, spec.id, coded, full, back, len - 1),
				 -EBADMSG);
		assert_int_equal(codec_decode(scratch, spec.id, coded, full, back, len + 1),
				 -EBADMSG);
		assert_int_equal(codec_decode(scratch, spec.id, coded, full, NULL, 0), -EBADMSG);
		assert_int_equal(codec_decode(scratch, spec.id, coded, 0, back, len), -EBADMSG);
		assert_int_equal(codec_decode(scratch, spec.id, coded, full, back, len), 0);
	}
}

/* Every single-bit flip: lzma's CRC64 finds all; the others must at least stay in bounds. */
static void test_bit_flips(void **state)
{
	static const char *const specs[] = {"lz4", "zstd:3", "lzma:6"};
	const size_t len = 2000;

	(void)state;
	for (size_t s = 0; s < sizeof(specs) / sizeof(specs[0]); s++) {
		struct codec_spec spec = spec_of(specs[s]);
		size_t full;

		bytes_fill_text(raw, len, 4);
		full = round_trip(&spec, len);
		for (size_t bit = 0; bit < full * 8; bit++) {
			int err;

			coded[bit / 8] ^= (uint8_t)(1u << bit % 8);
			err = codec_decode(scratch, spec.id, coded, full, back, len);
			coded[bit / 8] ^= (uint8_t)(1u << bit % 8);
			assert_true(err == 0 || err == -EBADMSG);
			if (spec.id == CODEC_LZMA)
				assert_int_equal(err, -EBADMSG);
		}
	}
}

/* What other writers of the same formats may produce, and we do not take. */
static void test_foreign_streams(void **state)
{
	struct codec_spec zstd = spec_of("zstd:3");
	size_t full, stored;

	(void)state;
	bytes_fill_text(raw, 1000, 5);
	full = round_trip(&zstd, 1000);
	/* A skippable frame in front or behind. */
	memmove(coded + 12, coded, full);
	put_le32(coded, 0x184D2A50);
	put_le32(coded + 4, 4);
	assert_int_equal(codec_decode(scratch, CODEC_ZSTD, coded, full + 12, back, 1000), -EBADMSG);
	memmove(coded, coded + 12, full);
	put_le32(coded + full, 0x184D2A50);
	put_le32(coded + full + 4, 4);
	assert_int_equal(codec_decode(scratch, CODEC_ZSTD, coded, full + 12, back, 1000), -EBADMSG);
	/* Two frames that would make up the right length together. */
	full = round_trip(&zstd, 500);
	assert_int_equal(codec_encode(scratch, &zstd, raw + 500, 500, coded + full,
				      coded_cap - full, &stored),
			 0);
	assert_int_equal(codec_decode(scratch, CODEC_ZSTD, coded, full + stored, back, 1000),
			 -EBADMSG);
	/* v0.7, which Debian's libzstd would decode. */
	put_le32(coded, 0xFD2FB527);
	assert_int_equal(codec_decode(scratch, CODEC_ZSTD, coded, full, back, 500), -EBADMSG);
}

/* A small zstd frame costs 9 bytes of container: magic, header, block header. */
static void test_small_overhead(void **state)
{
	struct codec_spec zstd = spec_of("zstd:3");

	(void)state;
	bytes_fill_random(raw, 300, 6);
	assert_int_equal(round_trip(&zstd, 300), 309);
}

/* One scratch serves all codecs and levels in any order. */
static void test_mixed_use(void **state)
{
	uint64_t seed = 11;

	(void)state;
	for (int i = 0; i < 150; i++) {
		static const char *const specs[] = {"lz4",     "lz4:12", "zstd:1", "zstd:19",
						    "zstd:-3", "lzma:1", "lzma:9", "none"};
		struct codec_spec spec = spec_of(specs[bytes_random(&seed) % 8]);
		size_t len = bytes_random(&seed) % 40000;
		size_t stored;

		bytes_fill_text(raw, len, seed);
		round_trip(&spec, len);
		(void)codec_encode(scratch, &spec, raw, len, coded, len / 8, &stored);
		(void)codec_decode(scratch, CODEC_LZMA, raw, len, back, len);
		(void)codec_decode(scratch, CODEC_ZSTD, raw, len, back, len);
	}
}

/* The values are on media: they must not change with the library. */
static void test_checksum_values(void **state)
{
	(void)state;
	assert_true(checksum64("", 0) == 0x2d06800538d394c2u);
	assert_true(checksum64("terrace", 7) == checksum64_seed("terrace", 7, 0));
	assert_true(checksum64("terrace", 7) == 0xcddc9e8ef76ed303u);
	assert_true(checksum64_seed("terrace", 7, 1) == 0x8b385692a7c02ff0u);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trips_sizes), cmocka_unit_test(test_round_trips_levels),
		cmocka_unit_test(test_parse_and_format),  cmocka_unit_test(test_names_and_bounds),
		cmocka_unit_test(test_short_room),	  cmocka_unit_test(test_wrong_lengths),
		cmocka_unit_test(test_bit_flips),	  cmocka_unit_test(test_foreign_streams),
		cmocka_unit_test(test_small_overhead),	  cmocka_unit_test(test_mixed_use),
		cmocka_unit_test(test_checksum_values),	  cmocka_unit_test(test_large_block),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
