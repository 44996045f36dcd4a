// SPDX-License-Identifier: Apache-2.0
/*
 * frame.h: what goes in comes out; nothing that was not written as a frame is taken for one.
 *
 * `test_frame --write-golden DIR` makes golden frames that do not exist yet, when a codec or a
 * format version is added. Those that exist must decode for ever and are never written again.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "compress/frame.h"
#include "compress/frame_format.h"
#include "tests/unit/fix_bytes.h"

#define FRAME_ROOM (FRAME_HEADER_MAX + FRAME_RAW_MAX)

static struct codec_scratch *scratch;
static uint8_t *raw, *frame, *back;

static int setup(void **state)
{
	(void)state;
	raw = malloc(FRAME_RAW_MAX);
	frame = malloc(FRAME_ROOM);
	back = malloc(FRAME_RAW_MAX);
	return raw && frame && back ? codec_scratch_new(&scratch) : -1;
}

static int teardown(void **state)
{
	(void)state;
	codec_scratch_free(scratch);
	free(raw);
	free(frame);
	free(back);
	return 0;
}

static const struct codec_spec lz4 = {.id = CODEC_LZ4, .level = 1};
static const struct codec_spec zstd = {.id = CODEC_ZSTD, .level = 3};
static const struct codec_spec lzma = {.id = CODEC_LZMA, .level = 6};
static const struct codec_spec none = {.id = CODEC_NONE, .level = 0};

/* Cuts len bytes into count extents of odd objects and offsets. */
static void extents_make(struct frame_extent *extents, uint32_t count, size_t len)
{
	for (uint32_t i = 0; i < count; i++) {
		size_t begin = len * i / count;
		size_t end = len * (i + 1) / count;

		extents[i] = (struct frame_extent){
			.object = 1000 + i,
			.generation = i % 3,
			.length = (uint32_t)(end - begin),
			.offset = i % 2 ? (uint64_t)INT64_MAX - (end - begin) : i * 4096ull,
		};
	}
}

/* Encodes raw[0..len) into exactly the bound's room. */
static size_t encode(const struct codec_spec *codec, uint32_t block_size, size_t len,
		     const struct frame_extent *extents, uint32_t nextents)
{
	size_t bound = frame_bound(len, block_size, nextents);
	size_t stored = 0;

	assert_true(bound > 0 && bound <= FRAME_ROOM);
	assert_int_equal(frame_encode(scratch, codec, block_size, 0x0123456789abcdef, extents,
				      nextents, raw, len, frame, bound, &stored),
			 0);
	assert_true(stored <= bound);
	return stored;
}

static void check_frame(const struct codec_spec *codec, uint32_t block_size, size_t len,
			uint32_t nextents)
{
	struct frame_extent *extents = calloc(nextents, sizeof(*extents));
	struct frame_header h;
	uint32_t header_len, stored_len, raw_sum = 0;
	size_t stored;

	assert_non_null(extents);
	extents_make(extents, nextents, len);
	stored = encode(codec, block_size, len, extents, nextents);
	assert_int_equal(frame_header_len(frame, FRAME_FIXED_LEN, &header_len, &stored_len), 0);
	assert_int_equal(stored_len, stored);
	assert_int_equal(frame_header_parse(frame, header_len, &h), 0);
	assert_true(h.id == 0x0123456789abcdef);
	assert_memory_equal(&h.codec, codec, sizeof(*codec));
	assert_int_equal(h.header_len, header_len);
	assert_int_equal(h.header_len, 96 + 16 * h.nblocks + 24 * nextents);
	assert_int_equal(h.stored_len, stored);
	assert_int_equal(h.raw_len, len);
	assert_int_equal(h.block_size, block_size);
	assert_int_equal(h.nblocks, (len + block_size - 1) / block_size);
	assert_int_equal(h.nextents, nextents);
	for (uint32_t i = 0; i < nextents; i++) {
		assert_int_equal(h.extents[i].object, extents[i].object);
		assert_int_equal(h.extents[i].generation, extents[i].generation);
		assert_int_equal(h.extents[i].length, extents[i].length);
		assert_int_equal(h.extents[i].offset, extents[i].offset);
	}
	memset(back, 0xA5, len);
	assert_int_equal(frame_decode(scratch, &h, frame, stored, back), 0);
	assert_memory_equal(raw, back, len);
	/* Each block alone, last first. */
	memset(back, 0xA5, len);
	for (uint32_t i = h.nblocks; i-- > 0;) {
		assert_int_equal(
			frame_block_decode(scratch, &h.blocks[i], frame + h.blocks[i].stored_off,
					   h.blocks[i].stored_len, back + (size_t)i * block_size),
			0);
		raw_sum += h.blocks[i].raw_len;
	}
	assert_int_equal(raw_sum, len);
	assert_memory_equal(raw, back, len);
	frame_header_release(&h);
	assert_null(h.blocks);
	frame_header_release(&h);
	free(extents);
}

static void test_round_trips(void **state)
{
	static const struct codec_spec *const codecs[] = {&none, &lz4, &zstd, &lzma};
	static const size_t lens[] = {1, 100, 4095, 4096, 4097, 40000, 131072, FRAME_RAW_MAX};
	static const uint32_t block_sizes[] = {4096, 32768, FRAME_BLOCK_MAX};

	(void)state;
	for (size_t c = 0; c < 4; c++)
		for (size_t l = 0; l < sizeof(lens) / sizeof(lens[0]); l++)
			for (size_t b = 0; b < 3; b++) {
				uint32_t many = lens[l] < 500 ? 1 : 500;

				bytes_fill_text(raw, lens[l], l);
				check_frame(codecs[c], block_sizes[b], lens[l], 1);
				check_frame(codecs[c], block_sizes[b], lens[l], many);
				/* Half of it does not shrink: blocks of both kinds. */
				bytes_fill_random(raw, lens[l] / 2, l);
				check_frame(codecs[c], block_sizes[b], lens[l], 1);
			}
}

static void test_limits(void **state)
{
	(void)state;
	bytes_fill_text(raw, FRAME_RAW_MAX, 1);
	check_frame(&lz4, FRAME_BLOCK_MIN, FRAME_RAW_MAX, FRAME_EXTENTS_MAX);
	assert_int_equal(frame_bound(FRAME_RAW_MAX, FRAME_BLOCK_MIN, FRAME_EXTENTS_MAX),
			 FRAME_HEADER_MAX + FRAME_RAW_MAX);
	assert_int_equal(frame_bound(FRAME_RAW_MAX + 1, 4096, 1), 0);
	assert_int_equal(frame_bound(SIZE_MAX, 4096, 1), 0);
	assert_int_equal(frame_bound(1, 4096, FRAME_EXTENTS_MAX + 1), 0);
	assert_int_equal(frame_bound(1, 0, 1), 0);
	assert_int_equal(frame_bound(1, 2048, 1), 0);
	assert_int_equal(frame_bound(1, 4097, 1), 0);
	assert_int_equal(frame_bound(1, 2 * FRAME_BLOCK_MAX, 1), 0);
}

/* Incompressible bytes cost the tables and nothing more; a small file costs 136 bytes. */
static void test_overhead(void **state)
{
	struct frame_extent extent = {.object = 1, .length = FRAME_RAW_MAX};

	(void)state;
	bytes_fill_random(raw, FRAME_RAW_MAX, 1);
	assert_int_equal(encode(&zstd, FRAME_BLOCK_MAX, FRAME_RAW_MAX, &extent, 1),
			 FRAME_RAW_MAX + 96 + 16 + 24);
	extent.length = 300;
	assert_int_equal(encode(&lzma, 4096, 300, &extent, 1), 300 + 96 + 16 + 24);
}

static void test_encode_refuses(void **state)
{
	struct frame_extent two[2] = {{.object = 1, .length = 60}, {.object = 2, .length = 40}};
	const struct codec_spec unknown = {.id = CODEC_COUNT},
				level = {.id = CODEC_LZMA, .level = 10};
	size_t bound = frame_bound(100, 4096, 2);
	size_t n;

	(void)state;
	bytes_fill_text(raw, 100, 1);
#define REFUSED(codec, block, nextents, len, cap)                                                \
	assert_int_equal(                                                                        \
		frame_encode(scratch, codec, block, 1, two, nextents, raw, len, frame, cap, &n), \
		-EINVAL)
	assert_int_equal(frame_encode(scratch, &lz4, 4096, 1, two, 2, raw, 100, frame, bound, &n),
			 0);
	REFUSED(&lz4, 4096, 2, 100, bound - 1);
	REFUSED(&lz4, 4096, 2, 99, FRAME_ROOM);
	REFUSED(&lz4, 4096, 2, 101, FRAME_ROOM);
	REFUSED(&lz4, 4096, 1, 100, FRAME_ROOM);
	REFUSED(&lz4, 4096, 0, 100, FRAME_ROOM);
	REFUSED(&lz4, 4096, 0, 0, FRAME_ROOM);
	REFUSED(&lz4, 4096, FRAME_EXTENTS_MAX + 1, 100, FRAME_ROOM);
	REFUSED(&lz4, 4095, 2, 100, FRAME_ROOM);
	REFUSED(&lz4, 0, 2, 100, FRAME_ROOM);
	REFUSED(&lz4, 4096, 2, FRAME_RAW_MAX + 1, SIZE_MAX);
	REFUSED(&unknown, 4096, 2, 100, FRAME_ROOM);
	REFUSED(&level, 4096, 2, 100, FRAME_ROOM);
	two[1].offset = (uint64_t)INT64_MAX - 39;
	REFUSED(&lz4, 4096, 2, 100, FRAME_ROOM);
	two[1].offset = UINT64_MAX;
	REFUSED(&lz4, 4096, 2, 100, FRAME_ROOM);
	two[1] = (struct frame_extent){.object = 2, .length = 0};
	two[0].length = 100;
	REFUSED(&lz4, 4096, 2, 100, FRAME_ROOM);
	/* Lengths whose 32-bit sum would be right. */
	two[0].length = 101;
	two[1].length = UINT32_MAX;
	REFUSED(&lz4, 4096, 2, 100, FRAME_ROOM);
#undef REFUSED
}

/* Whole read path over a copy of exactly len bytes (so that ASan sees the edges). */
static int read_frame(const uint8_t *bytes, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);
	struct frame_header h;
	int err;

	assert_non_null(copy);
	memcpy(copy, bytes, len);
	err = frame_header_parse(copy, len, &h);
	if (!err)
		err = frame_decode(scratch, &h, copy, len, back);
	else
		assert_null(h.blocks);
	frame_header_release(&h);
	free(copy);
	return err;
}

/* A frame of three extents and four blocks, one of which did not shrink. */
static size_t small_frame(const struct codec_spec *codec)
{
	struct frame_extent extents[3];

	bytes_fill_text(raw, 13000, 1);
	bytes_fill_random(raw + 4096, 4096, 2);
	extents_make(extents, 3, 13000);
	return encode(codec, 4096, 13000, extents, 3);
}

static void test_bit_flips(void **state)
{
	static const struct codec_spec *const codecs[] = {&none, &lz4, &zstd, &lzma};

	(void)state;
	for (size_t c = 0; c < 4; c++) {
		size_t stored = small_frame(codecs[c]);

		assert_int_equal(read_frame(frame, stored), 0);
		for (size_t bit = 0; bit < stored * 8; bit++) {
			int err;

			frame[bit / 8] ^= (uint8_t)(1u << bit % 8);
			err = read_frame(frame, stored);
			frame[bit / 8] ^= (uint8_t)(1u << bit % 8);
			/* Only version and feature words speak before the checksum does. */
			if ((bit >= 32 && bit < 48) || (bit >= 64 && bit < 96))
				assert_int_equal(err, -ENOTSUP);
			else
				assert_int_equal(err, -EBADMSG);
		}
	}
}

static void test_truncated(void **state)
{
	uint32_t header_len, stored_len;
	size_t stored = small_frame(&zstd);

	(void)state;
	for (size_t n = 0; n < stored; n++)
		assert_int_equal(read_frame(frame, n), -EBADMSG);
	for (size_t n = 0; n < FRAME_FIXED_LEN; n++)
		assert_int_equal(frame_header_len(frame, n, &header_len, &stored_len), -EBADMSG);
	/* A reader may hold more than the frame: the rest of a segment. */
	assert_int_equal(read_frame(frame, stored + 1000), 0);
}

static void test_block_wrong_length(void **state)
{
	size_t stored = small_frame(&lz4);
	struct frame_header h;

	(void)state;
	assert_int_equal(frame_header_parse(frame, stored, &h), 0);
	const uint8_t *at = frame + h.blocks[0].stored_off;
	uint32_t len = h.blocks[0].stored_len;

	assert_int_equal(frame_block_decode(scratch, &h.blocks[0], at, len, back), 0);
	assert_int_equal(frame_block_decode(scratch, &h.blocks[0], at, len - 1, back), -EBADMSG);
	assert_int_equal(frame_block_decode(scratch, &h.blocks[0], at, len + 1, back), -EBADMSG);
	assert_int_equal(frame_block_decode(scratch, &h.blocks[0], at, 0, back), -EBADMSG);
	/* Another block's bytes, as after a misdirected read. */
	assert_int_equal(frame_block_decode(scratch, &h.blocks[2], at, len, back), -EBADMSG);
	frame_header_release(&h);
}

/* Damage that carries a right checksum: a bug or a newer writer, never a reason to misread. */
enum { TABLE_AT = FRAME_FIXED_LEN, EXTENTS_AT = TABLE_AT + 4 * FRAME_BLOCK_ENTRY };
static const struct {
	unsigned at, bytes;
	uint64_t value;
	int err;
} mended[] = {
	{FRAME_AT_MAGIC, 4, 0, -EBADMSG},
	{FRAME_AT_VERSION, 2, 0, -ENOTSUP},
	{FRAME_AT_VERSION, 2, 2, -ENOTSUP},
	{FRAME_AT_RESERVED16, 2, 1, -EBADMSG},
	{FRAME_AT_INCOMPAT, 4, 1, -ENOTSUP},
	{FRAME_AT_INCOMPAT, 4, 0x80000000, -ENOTSUP},
	{FRAME_AT_COMPAT, 4, 0xffffffff, 0}, /* may be ignored */
	{FRAME_AT_STORED_LEN, 4, 0, -EBADMSG},
	{FRAME_AT_STORED_LEN, 4, UINT32_MAX, -EBADMSG},
	{FRAME_AT_STORED_LEN, 4, 500, -EBADMSG},
	{FRAME_AT_RAW_LEN, 4, 0, -EBADMSG},
	{FRAME_AT_RAW_LEN, 4, 12999, -EBADMSG},
	{FRAME_AT_RAW_LEN, 4, 13001, -EBADMSG},
	{FRAME_AT_RAW_LEN, 4, UINT32_MAX, -EBADMSG},
	{FRAME_AT_BLOCK_SIZE, 4, 0, -EBADMSG},
	{FRAME_AT_BLOCK_SIZE, 4, 4097, -EBADMSG},
	{FRAME_AT_BLOCK_SIZE, 4, 8192, -EBADMSG},
	{FRAME_AT_BLOCK_SIZE, 4, 1u << 31, -EBADMSG},
	{FRAME_AT_NBLOCKS, 4, 0, -EBADMSG},
	{FRAME_AT_NBLOCKS, 4, 5, -EBADMSG},
	{FRAME_AT_NBLOCKS, 4, UINT32_MAX, -EBADMSG},
	{FRAME_AT_NEXTENTS, 4, 0, -EBADMSG},
	{FRAME_AT_NEXTENTS, 4, 2, -EBADMSG},
	{FRAME_AT_NEXTENTS, 4, UINT32_MAX, -EBADMSG},
	{FRAME_AT_CODEC, 1, CODEC_COUNT, -ENOTSUP},
	{FRAME_AT_LEVEL, 1, 0x80, 0}, /* informative */
	{FRAME_AT_RESERVED42, 2, 1, -EBADMSG},
	{FRAME_AT_FILTERS, 4, 1, -ENOTSUP},
	{FRAME_AT_FILTERS + 3, 1, 1, -ENOTSUP},
	{FRAME_AT_DICTIONARY, 8, 1, -ENOTSUP},
	{FRAME_AT_BASE, 8, 1ull << 63, -ENOTSUP},
	{FRAME_AT_RESERVED72, 8, 1, -EBADMSG},
	{FRAME_AT_RESERVED80, 8, 1ull << 63, -EBADMSG},
	{TABLE_AT + FRAME_BLOCK_AT_STORED_LEN, 4, 0, -EBADMSG},
	{TABLE_AT + FRAME_BLOCK_AT_STORED_LEN, 4, 4097, -EBADMSG},
	{TABLE_AT + FRAME_BLOCK_AT_STORED_LEN, 4, UINT32_MAX, -EBADMSG},
	{TABLE_AT + FRAME_BLOCK_AT_CODEC, 1, CODEC_COUNT, -ENOTSUP},
	{TABLE_AT + FRAME_BLOCK_AT_CODEC, 1, CODEC_NONE, -EBADMSG},
	{TABLE_AT + FRAME_BLOCK_AT_CODEC + 1, 1, 1, -EBADMSG},
	{TABLE_AT + FRAME_BLOCK_AT_CODEC + 3, 1, 1, -EBADMSG},
	{TABLE_AT + FRAME_BLOCK_AT_CHECKSUM, 8, 0, -EBADMSG},
	{TABLE_AT + FRAME_BLOCK_ENTRY + FRAME_BLOCK_AT_STORED_LEN, 4, 4095, -EBADMSG},
	{EXTENTS_AT + FRAME_EXTENT_AT_OBJECT, 8, UINT64_MAX, 0},
	{EXTENTS_AT + FRAME_EXTENT_AT_LENGTH, 4, 0, -EBADMSG},
	{EXTENTS_AT + FRAME_EXTENT_AT_LENGTH, 4, 1, -EBADMSG},
	{EXTENTS_AT + FRAME_EXTENT_AT_LENGTH, 4, UINT32_MAX, -EBADMSG},
	{EXTENTS_AT + FRAME_EXTENT_AT_OFFSET, 8, INT64_MAX, -EBADMSG},
	{EXTENTS_AT + FRAME_EXTENT_AT_OFFSET, 8, UINT64_MAX, -EBADMSG},
};

static void test_mended_headers(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(mended) / sizeof(mended[0]); i++) {
		size_t stored = small_frame(&lz4);
		uint32_t header_len = get_le32(frame + FRAME_AT_HEADER_LEN);
		uint8_t value[8];
		int err;

		put_le64(value, mended[i].value);
		memcpy(frame + mended[i].at, value, mended[i].bytes);
		put_le64(frame + FRAME_AT_CHECKSUM, frame_header_checksum(frame, header_len));
		err = read_frame(frame, stored);
		if (err != mended[i].err)
			print_error("case %zu: field at %u\n", i, mended[i].at);
		assert_int_equal(err, mended[i].err);
	}
}

/* The same for header_len, whose change moves what the checksum covers. */
static void test_mended_header_len(void **state)
{
	static const uint32_t lens[] = {
		0, 95, 96, 97, 231, 233, 4000, FRAME_HEADER_MAX, FRAME_HEADER_MAX + 1, UINT32_MAX};

	(void)state;
	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		size_t stored = small_frame(&lz4);

		assert_int_equal(get_le32(frame + FRAME_AT_HEADER_LEN), 232);
		put_le32(frame + FRAME_AT_HEADER_LEN, lens[i]);
		if (lens[i] >= FRAME_FIXED_LEN && lens[i] <= stored)
			put_le64(frame + FRAME_AT_CHECKSUM, frame_header_checksum(frame, lens[i]));
		assert_int_equal(read_frame(frame, stored), -EBADMSG);
	}
}

/* Two lengths, each off by half of 2^32: their 32-bit sum is right. */
static void test_mended_wrapping(void **state)
{
	enum { BLOCKS = FRAME_FIXED_LEN, EXTENTS = BLOCKS + 4 * FRAME_BLOCK_ENTRY };
	static const unsigned pairs[][2] = {
		{BLOCKS + FRAME_BLOCK_AT_STORED_LEN,
		 BLOCKS + 2 * FRAME_BLOCK_ENTRY + FRAME_BLOCK_AT_STORED_LEN},
		{EXTENTS + FRAME_EXTENT_AT_LENGTH,
		 EXTENTS + FRAME_EXTENT_ENTRY + FRAME_EXTENT_AT_LENGTH},
	};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		size_t stored = small_frame(&lz4);

		for (size_t k = 0; k < 2; k++)
			put_le32(frame + pairs[i][k], get_le32(frame + pairs[i][k]) + (1u << 31));
		/* Offset 0, so that the sum of offset and length is not what is refused. */
		put_le64(frame + EXTENTS + FRAME_EXTENT_ENTRY + FRAME_EXTENT_AT_OFFSET, 0);
		put_le64(frame + FRAME_AT_CHECKSUM, frame_header_checksum(frame, 232));
		struct frame_header h;

		assert_int_equal(frame_header_parse(frame, stored, &h), -EBADMSG);
	}
}

/* A stored run with a right checksum that does not decode to its block's length. */
static void test_mended_payload(void **state)
{
	size_t stored = small_frame(&zstd);
	uint32_t header_len = get_le32(frame + FRAME_AT_HEADER_LEN);
	uint8_t *entry = frame + FRAME_FIXED_LEN;

	(void)state;
	frame[header_len + 6] ^= 0xff;
	put_le64(entry + FRAME_BLOCK_AT_CHECKSUM,
		 checksum64(frame + header_len, get_le32(entry + FRAME_BLOCK_AT_STORED_LEN)));
	put_le64(frame + FRAME_AT_CHECKSUM, frame_header_checksum(frame, header_len));
	assert_int_equal(read_frame(frame, stored), -EBADMSG);
}

/* Golden frames ------------------------------------------------------------------------------- */

/* What the golden frames hold. Its own generator, because it must never change. */
static size_t golden_raw(uint8_t *buf, unsigned codec)
{
	size_t len = codec == CODEC_NONE ? 200 : 6000;
	uint32_t x = 1 + codec;

	for (size_t i = 0; i < len; i++) {
		if (i % 128 == 0)
			x = x * 1103515245u + 12345u;
		buf[i] =
			(uint8_t)("Terrace golden frame, line by line.\n"[(x >> 16) % 20 + i % 16]);
	}
	return len;
}

static uint32_t golden_extents(struct frame_extent extents[3], size_t len)
{
	extents[0] = (struct frame_extent){.object = 7, .length = 100, .offset = 0};
	extents[1] = (struct frame_extent){
		.object = 8, .generation = 9, .length = 50, .offset = 1ull << 40};
	extents[2] = (struct frame_extent){
		.object = UINT64_MAX, .length = (uint32_t)len - 150, .offset = 123};
	return 3;
}

static void golden_path(char *path, size_t cap, const char *dir, unsigned codec)
{
	snprintf(path, cap, "%s/frame-v1-%s.bin", dir, codec_name(codec));
}

static int write_golden(const char *dir)
{
	if (setup(NULL))
		return 1;
	for (unsigned id = 0; id < CODEC_COUNT; id++) {
		const struct codec_spec *const codecs[] = {&none, &lz4, &zstd, &lzma};
		struct frame_extent extents[3];
		size_t len = golden_raw(raw, id);
		size_t stored =
			encode(codecs[id], 4096, len, extents, golden_extents(extents, len));
		char path[4096];
		int fd;

		golden_path(path, sizeof(path), dir, id);
		fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
		if (fd < 0) {
			perror(path);
			continue;
		}
		if (write(fd, frame, stored) != (ssize_t)stored || close(fd)) {
			perror(path);
			return 1;
		}
	}
	return teardown(NULL);
}

static void test_golden(void **state)
{
	char source[] = __FILE__;
	char dir[4096], path[4200];

	(void)state;
	snprintf(dir, sizeof(dir), "%s/../golden", dirname(source));
	for (unsigned id = 0; id < CODEC_COUNT; id++) {
		struct frame_extent extents[3];
		struct frame_header h;
		size_t stored, len = golden_raw(raw, id);
		FILE *file;

		golden_path(path, sizeof(path), dir, id);
		file = fopen(path, "re");
		if (!file)
			fail_msg("%s: %s", path, strerror(errno));
		stored = fread(frame, 1, FRAME_ROOM, file);
		fclose(file);
		assert_int_equal(frame_header_parse(frame, stored, &h), 0);
		assert_int_equal(h.stored_len, stored);
		assert_true(h.id == 0x0123456789abcdef);
		assert_int_equal(h.codec.id, id);
		assert_int_equal(h.blocks[0].codec, id);
		assert_int_equal(h.raw_len, len);
		assert_int_equal(h.nextents, golden_extents(extents, len));
		for (int i = 0; i < 3; i++) {
			assert_true(h.extents[i].object == extents[i].object);
			assert_int_equal(h.extents[i].generation, extents[i].generation);
			assert_int_equal(h.extents[i].length, extents[i].length);
			assert_int_equal(h.extents[i].offset, extents[i].offset);
		}
		assert_int_equal(frame_decode(scratch, &h, frame, stored, back), 0);
		assert_memory_equal(raw, back, len);
		frame_header_release(&h);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trips),	   cmocka_unit_test(test_limits),
		cmocka_unit_test(test_overhead),	   cmocka_unit_test(test_encode_refuses),
		cmocka_unit_test(test_bit_flips),	   cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_block_wrong_length), cmocka_unit_test(test_mended_headers),
		cmocka_unit_test(test_mended_header_len),  cmocka_unit_test(test_mended_wrapping),
		cmocka_unit_test(test_mended_payload),	   cmocka_unit_test(test_golden),
	};
	if (argc == 3 && strcmp(argv[1], "--write-golden") == 0)
		return write_golden(argv[2]);
	return cmocka_run_group_tests(tests, setup, teardown);
}
