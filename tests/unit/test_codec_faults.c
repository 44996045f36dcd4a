// SPDX-License-Identifier: Apache-2.0
/*
 * Fault loop over memory: the n-th allocation fails, once and from then on, for n = 1, 2, 3, ...
 * until a run is untouched. Each run must end with -ENOMEM or the right result, lose no memory, and
 * leave a scratch that works.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "compress/frame.h"
#include "compress/probe.h"
#include "tests/unit/fix_alloc.h"
#include "tests/unit/fix_bytes.h"

#define RAW_LEN 20000u
#define ROOM	(1u << 16)

static uint8_t raw[RAW_LEN], stored[ROOM], back[RAW_LEN];

/* Runs step() under every fault, with a fresh scratch each time. */
static void fault_loop(int (*step)(struct codec_scratch *scratch))
{
	if (!ALLOC_FAULTS)
		skip();
	for (int forever = 0; forever < 2; forever++) {
		unsigned long hit = 1;

		for (unsigned long n = 1; hit > 0; n++) {
			struct codec_scratch *scratch;
			int err, later = 0;

			assert_true(n < 1000);
			alloc_failed = 0;
			alloc_live = 0;
			alloc_countdown = n;
			alloc_persistent = forever;
			alloc_armed = true;
			err = codec_scratch_new(&scratch);
			if (!err) {
				err = step(scratch);
				alloc_countdown = 0;
				/* The same scratch works once there is memory again. */
				later = step(scratch);
				codec_scratch_free(scratch);
			}
			alloc_armed = false;
			hit = alloc_failed;
			assert_true(err == 0 || (err == -ENOMEM && hit > 0));
			assert_int_equal(later, 0);
			assert_int_equal(alloc_live, 0);
		}
	}
}

static struct codec_spec step_spec;

static int step_codec(struct codec_scratch *scratch)
{
	size_t n;
	int err = codec_encode(scratch, &step_spec, raw, RAW_LEN, stored, ROOM, &n);

	if (!err)
		err = codec_decode(scratch, step_spec.id, stored, n, back, RAW_LEN);
	if (!err && memcmp(raw, back, RAW_LEN) != 0)
		err = -EBADMSG;
	return err;
}

static size_t step_len; /* of what is in stored[] */

/* Decoding first: nothing that encoding allocated can be used again. */
static int step_decode(struct codec_scratch *scratch)
{
	int err = codec_decode(scratch, step_spec.id, stored, step_len, back, RAW_LEN);

	return !err && memcmp(raw, back, RAW_LEN) != 0 ? -EBADMSG : err;
}

static void test_decoders(void **state)
{
	static const char *const specs[] = {"none", "lz4", "zstd:3", "lzma:6"};
	struct codec_scratch *scratch;

	(void)state;
	bytes_fill_text(raw, RAW_LEN, 1);
	for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
		assert_int_equal(codec_parse(specs[i], &step_spec), 0);
		assert_int_equal(codec_scratch_new(&scratch), 0);
		assert_int_equal(
			codec_encode(scratch, &step_spec, raw, RAW_LEN, stored, ROOM, &step_len),
			0);
		codec_scratch_free(scratch);
		fault_loop(step_decode);
	}
}

static void test_codecs(void **state)
{
	static const char *const specs[] = {"none", "lz4", "lz4:9", "zstd:3", "zstd:19", "lzma:6"};

	(void)state;
	bytes_fill_text(raw, RAW_LEN, 1);
	for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
		assert_int_equal(codec_parse(specs[i], &step_spec), 0);
		fault_loop(step_codec);
	}
}

static int step_frame(struct codec_scratch *scratch)
{
	const struct frame_extent extent = {.object = 1, .length = RAW_LEN};
	struct frame_header h = {0};
	size_t n;
	int err = frame_encode(scratch, &step_spec, 4096, 1, &extent, 1, raw, RAW_LEN, stored, ROOM,
			       &n);

	if (!err)
		err = frame_header_parse(stored, n, &h);
	if (!err)
		err = frame_decode(scratch, &h, stored, n, back);
	if (!err && memcmp(raw, back, RAW_LEN) != 0)
		err = -EBADMSG;
	frame_header_release(&h);
	return err;
}

static void test_frames(void **state)
{
	static const char *const specs[] = {"none", "lz4", "lz4:9", "zstd:12", "lzma:6"};

	(void)state;
	bytes_fill_text(raw, RAW_LEN, 1);
	bytes_fill_random(raw + 4096, 4096, 2);
	for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
		assert_int_equal(codec_parse(specs[i], &step_spec), 0);
		fault_loop(step_frame);
	}
}

/* After the first block nothing is allocated: every allocation fails, and nobody notices. */
static void test_no_allocation_after_first(void **state)
{
	static const char *const specs[] = {"none", "lz4", "lz4:9", "zstd:12", "lzma:6"};
	struct codec_scratch *scratch;

	(void)state;
	if (!ALLOC_FAULTS)
		skip();
	bytes_fill_text(raw, RAW_LEN, 1);
	assert_int_equal(codec_scratch_new(&scratch), 0);
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
			int err;

			assert_int_equal(codec_parse(specs[i], &step_spec), 0);
			alloc_countdown = 1;
			alloc_persistent = true;
			alloc_failed = 0;
			alloc_armed = round > 0;
			err = probe_compressible(scratch, &step_spec, raw, RAW_LEN) ||
					      step_spec.id == CODEC_NONE
				      ? step_codec(scratch)
				      : -ENOMEM;
			alloc_armed = false;
			assert_int_equal(err, 0);
			assert_int_equal(alloc_failed, 0);
		}
	}
	codec_scratch_free(scratch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_codecs),
		cmocka_unit_test(test_decoders),
		cmocka_unit_test(test_frames),
		cmocka_unit_test(test_no_allocation_after_first),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
