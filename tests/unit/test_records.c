// SPDX-License-Identifier: Apache-2.0
/* Records as bytes: what is written is read again, and what is no record is refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "compress/bytes.h"
#include "tiers/records.h"

static const struct object_record object = {.size = 5000,
					    .stored = 900,
					    .write_time = -7,
					    .log_epoch = 3,
					    .log_pos = 4,
					    .nextents = 2,
					    .attr_len = 3,
					    .attr = {1, 2, 3},
					    .extents = {{0, 8, 4096, 10}, {4096, 9, 904, 0}}};

static const struct frame_record frame = {.segment = 7,
					  .live = 4096,
					  .off = 8192,
					  .stored_len = 2000,
					  .raw_len = 4096,
					  .header_len = 136,
					  .place = 2,
					  .heat = 300,
					  .heat_slow = 20,
					  .last_access = 1000,
					  .placed = 900,
					  .tier = 1,
					  .block_shift = 15,
					  .codec = {.id = CODEC_ZSTD, .level = -5},
					  .shared = true};

/* The bytes are those of terrace-format(5): what an older program must refuse. */
static void plain_objects(void **state)
{
	struct object_record in = object, out;
	uint8_t buf[RECORD_OBJECT_MAX];
	size_t len;

	(void)state;
	in.plain = (struct plain_home){.set = true, .tier = 2, .place = 0x102, .generation = 3};
	len = object_record_encode(&in, buf);
	assert_int_equal(len, 48 + 3 + 2 * 24 + 8);
	assert_int_equal(buf[1] & 2, 2);
	assert_memory_equal(buf + len - 8, "\2\0\2\1\3\0\0\0", 8);
	assert_int_equal(object_record_decode(buf, len, &out), 0);
	assert_memory_equal(&out, &in, sizeof(out));
	for (size_t cut = 0; cut < len; cut++)
		assert_int_equal(object_record_decode(buf, cut, &out), -EUCLEAN);
	buf[len - 8] = 0; /* the RAM tier */
	assert_int_equal(object_record_decode(buf, len, &out), -EUCLEAN);
	buf[len - 8] = 2;
	buf[len - 7] = 1;
	assert_int_equal(object_record_decode(buf, len, &out), -EUCLEAN);
}

static void objects(void **state)
{
	uint8_t buf[RECORD_OBJECT_MAX];
	size_t len = object_record_encode(&object, buf);
	struct object_record out;

	(void)state;
	assert_int_equal(len, 48 + 3 + 2 * 24);
	assert_int_equal(object_record_decode(buf, len, &out), 0);
	assert_memory_equal(&out, &object, sizeof(out));
	for (size_t cut = 0; cut < len; cut++)
		assert_int_equal(object_record_decode(buf, cut, &out), -EUCLEAN);
	buf[0] = 2;
	assert_int_equal(object_record_decode(buf, len, &out), -ENOTSUP);
	buf[0] = 1;
	buf[1] = 4;
	assert_int_equal(object_record_decode(buf, len, &out), -ENOTSUP);
	buf[1] = 0;
	buf[2] = RECORD_INLINE_MAX + 1;
	assert_int_equal(object_record_decode(buf, len, &out), -EUCLEAN);
	buf[2] = 2;
	buf[5] = 1; /* attributes of 259 bytes */
	assert_int_equal(object_record_decode(buf, len, &out), -EUCLEAN);
	buf[5] = 0;
	buf[15] = 0x80; /* larger than any file */
	assert_int_equal(object_record_decode(buf, len, &out), -EUCLEAN);
	buf[15] = 0;
	memset(buf + 48 + 3 + 16, 0, 4); /* an extent without length */
	assert_int_equal(object_record_decode(buf, len, &out), -EUCLEAN);
}

static void extents(void **state)
{
	const struct extent in = {.off = 100, .frame = 5, .len = 50, .frame_off = 7};
	uint8_t buf[RECORD_EXTENT_LEN];
	struct extent out;

	(void)state;
	extent_encode(&in, buf);
	assert_int_equal(extent_decode(150, buf, sizeof(buf), &out), 0);
	assert_true(out.off == 100 && out.frame == 5 && out.len == 50 && out.frame_off == 7);
	assert_int_equal(extent_decode(50, buf, sizeof(buf), &out), 0);
	assert_int_equal(extent_decode(49, buf, sizeof(buf), &out), -EUCLEAN); /* before 0 */
	assert_int_equal(extent_decode(150, buf, sizeof(buf) - 1, &out), -EUCLEAN);
}

/* Refused with `byte` at `at`, and taken again without it. */
static void frame_refused(uint8_t *buf, size_t at, uint8_t byte, int error)
{
	struct frame_record out;
	uint8_t before = buf[at];

	buf[at] = byte;
	assert_int_equal(frame_record_decode(buf, RECORD_FRAME_LEN, &out), error);
	buf[at] = before;
	assert_int_equal(frame_record_decode(buf, RECORD_FRAME_LEN, &out), 0);
}

static void frames(void **state)
{
	uint8_t buf[RECORD_FRAME_LEN];
	struct frame_record out;

	(void)state;
	frame_record_encode(&frame, buf);
	assert_int_equal(frame_record_decode(buf, sizeof(buf), &out), 0);
	assert_memory_equal(&out, &frame, sizeof(out));
	assert_int_equal(frame_record_decode(buf, sizeof(buf) - 1, &out), -EUCLEAN);
	frame_refused(buf, 0, 2, -ENOTSUP);
	frame_refused(buf, 1, 2, -ENOTSUP);
	frame_refused(buf, 3, 11, -EUCLEAN);
	frame_refused(buf, 3, 21, -EUCLEAN);
	frame_refused(buf, 26, 0x20, -EUCLEAN); /* stored: 2 MiB */
	frame_refused(buf, 29, 0, -EUCLEAN);	/* raw: 0 */
	frame_refused(buf, 30, 0x10, -EUCLEAN); /* raw: more than 1 MiB */
	frame_refused(buf, 33, 8, -EUCLEAN);	/* a header longer than the frame */
	frame_refused(buf, 44, CODEC_COUNT, -EUCLEAN);
}

/* The longest frame there can be is no damage. */
static void longest_frame(void **state)
{
	struct frame_record in = frame, out;
	uint8_t buf[RECORD_FRAME_LEN];

	(void)state;
	in.raw_len = 1 << 20;
	in.header_len = 200800;
	in.stored_len = in.raw_len + in.header_len;
	frame_record_encode(&in, buf);
	assert_int_equal(frame_record_decode(buf, sizeof(buf), &out), 0);
	in.header_len++;
	in.stored_len++;
	frame_record_encode(&in, buf);
	assert_int_equal(frame_record_decode(buf, sizeof(buf), &out), -EUCLEAN);
}

static void segments(void **state)
{
	struct segment_record in = {
		.len = 9000, .logical = 4096, .place = 3, .tier = 2, .homes = 8};
	struct segment_record out;
	uint8_t buf[RECORD_SEGMENT_MAX];
	size_t len;

	(void)state;
	in.codec[CODEC_LZ4] = (struct codec_account){4096, 2000, 1};
	len = segment_record_encode(&in, buf);
	assert_int_equal(len, RECORD_SEGMENT_LEN);
	assert_int_equal(segment_record_decode(buf, len, &out), 0);
	assert_memory_equal(&out, &in, sizeof(out));
	assert_int_equal(segment_record_decode(buf, len - 1, &out), -EUCLEAN);
	buf[0] = 3;
	assert_int_equal(segment_record_decode(buf, len, &out), -ENOTSUP);
	/* In several places. */
	in.mirrored = true;
	in.homes = 0x8000000000000009;
	in.wanted = 3;
	len = segment_record_encode(&in, buf);
	assert_int_equal(len, RECORD_SEGMENT_MAX);
	assert_int_equal(segment_record_decode(buf, len, &out), 0);
	assert_memory_equal(&out, &in, sizeof(out));
	assert_int_equal(segment_record_decode(buf, RECORD_SEGMENT_LEN, &out), -EUCLEAN);
	buf[RECORD_SEGMENT_LEN] = 1; /* its own place is none of them */
	assert_int_equal(segment_record_decode(buf, len, &out), -EUCLEAN);
}

/* The stored forms of both versions are a promise: terrace-format(5). */
static void segments_golden(void **state)
{
	static const uint8_t head[24] = {1, 2, 3, 0, [8] = 0x28, 0x23, [16] = 0, 0x10};
	static const uint8_t lz4[24] = {0, 0x10, [8] = 0xd0, 0x07, [16] = 1};
	static const uint8_t tail[16] = {9, [7] = 0x80, [8] = 4};
	uint8_t stored[RECORD_SEGMENT_MAX] = {0}, buf[RECORD_SEGMENT_MAX];
	struct segment_record out;

	(void)state;
	assert_int_equal(RECORD_SEGMENT_LEN, 120);
	assert_int_equal(RECORD_SEGMENT_MAX, 136);
	memcpy(stored, head, sizeof(head));
	memcpy(stored + 24 + CODEC_LZ4 * 24, lz4, sizeof(lz4));
	assert_int_equal(segment_record_decode(stored, 120, &out), 0);
	assert_true(out.tier == 2 && out.place == 3 && out.len == 9000 && out.logical == 4096);
	assert_true(!out.mirrored && out.homes == 8 && out.wanted == 0);
	assert_int_equal(out.codec[CODEC_LZ4].stored, 2000);
	assert_int_equal(segment_record_encode(&out, buf), 120);
	assert_memory_equal(buf, stored, 120);

	stored[0] = 2;
	memcpy(stored + 120, tail, sizeof(tail));
	assert_int_equal(segment_record_decode(stored, 136, &out), 0);
	assert_true(out.mirrored && out.homes == 0x8000000000000009 && out.wanted == 4);
	assert_true(out.tier == 2 && out.place == 3 && out.len == 9000 && out.logical == 4096);
	assert_int_equal(segment_record_encode(&out, buf), 136);
	assert_memory_equal(buf, stored, 136);
	stored[0] = 1; /* each version has its length */
	assert_int_equal(segment_record_decode(stored, 136, &out), -EUCLEAN);
	stored[0] = 2;
	assert_int_equal(segment_record_decode(stored, 120, &out), -EUCLEAN);
}

static void counts(void **state)
{
	const struct pool_counts in = {1, 2, 3, 4, 5, POOL_FEATURE_PLAIN};
	uint8_t buf[RECORD_COUNTS_LEN];
	struct pool_counts out;

	(void)state;
	pool_counts_encode(&in, buf);
	assert_int_equal(pool_counts_decode(buf, sizeof(buf), &out), 0);
	assert_memory_equal(&out, &in, sizeof(out));
	assert_int_equal(pool_counts_decode(buf, sizeof(buf) - 1, &out), -EUCLEAN);
	for (size_t at = 16; at <= 32; at += 8) { /* limits of ids */
		put_le64(buf + at, 0);
		assert_int_equal(pool_counts_decode(buf, sizeof(buf), &out), -EUCLEAN);
		put_le64(buf + at, UINT64_MAX - 1);
		assert_int_equal(pool_counts_decode(buf, sizeof(buf), &out), -EUCLEAN);
		put_le64(buf + at, 7);
	}
	buf[0] = 2;
	assert_int_equal(pool_counts_decode(buf, sizeof(buf), &out), -ENOTSUP);
}

/* terrace-format(5): kind, offset, then bytes or a length. */
static void synced(void **state)
{
	static const struct synced_record in[] = {{SYNCED_WRITE, 7, 5, (const uint8_t *)"bytes"},
						  {SYNCED_HOLE, 4096, 8192, NULL},
						  {SYNCED_SIZE, 12, 0, NULL}};
	uint8_t buf[RECORD_SYNCED_MAX(5)];
	struct synced_record out;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		size_t len = synced_record_encode(&in[i], buf);

		assert_int_equal(len, i ? 24 : 21);
		assert_int_equal(get_le64(buf), i + 1);
		assert_int_equal(get_le64(buf + 8), in[i].off);
		assert_int_equal(synced_record_decode(buf, len, &out), 0);
		assert_int_equal(out.kind, in[i].kind);
		assert_int_equal(out.off, in[i].off);
		assert_int_equal(out.len, in[i].len);
		assert_int_equal(synced_record_decode(buf, i ? len - 1 : 16, &out), -EUCLEAN);
		if (i)
			assert_int_equal(synced_record_decode(buf, len + 1, &out), -EUCLEAN);
		else
			assert_memory_equal(out.bytes, "bytes", 5);
	}
	put_le64(buf, 4);
	assert_int_equal(synced_record_decode(buf, 24, &out), -ENOTSUP);
	put_le64(buf, 0);
	assert_int_equal(synced_record_decode(buf, 24, &out), -EUCLEAN);
	assert_int_equal(synced_record_decode(buf, 0, &out), -EUCLEAN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(objects),	   cmocka_unit_test(plain_objects),
		cmocka_unit_test(extents),	   cmocka_unit_test(frames),
		cmocka_unit_test(longest_frame),   cmocka_unit_test(segments),
		cmocka_unit_test(segments_golden), cmocka_unit_test(counts),
		cmocka_unit_test(synced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
