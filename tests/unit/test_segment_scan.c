// SPDX-License-Identifier: Apache-2.0
/*
 * The frames of a segment's file, found without metadata: all that are whole and none that is not,
 * wherever they lie, beside holes, garbage, magics that begin nothing, and bytes that the medium
 * cannot read.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "compress/frame.h"
#include "tests/unit/fix_alloc.h"
#include "tests/unit/fix_bytes.h"
#include "tests/unit/fix_dir.h"
#include "tiers/io.h"
#include "tiers/segment_scan.h"

#define RAW	     5000u
#define WINDOW_BYTES (256u << 10) /* read at a time */
#define FOUND_MAX    16u

static struct codec_scratch *scratch;
static uint8_t frame[RAW * 2];
static size_t frame_len; /* the same of all */
static char path[] = "/dev/shm/terrace-scan-XXXXXX";
static int fd;

static int setup(void **state)
{
	(void)state;
	fd = mkstemp(path);
	log_capture();
	return fd < 0 ? -1 : codec_scratch_new(&scratch);
}

static int teardown(void **state)
{
	(void)state;
	io_ops_set(NULL);
	log_release();
	codec_scratch_free(scratch);
	close(fd);
	return unlink(path);
}

static int empty(void **state)
{
	(void)state;
	io_ops_set(NULL);
	return ftruncate(fd, 0);
}

static void frame_make(uint64_t id)
{
	static const struct codec_spec none = {.id = CODEC_NONE};
	struct frame_extent extent = {.object = 7, .length = RAW};
	uint8_t raw[RAW];

	bytes_fill_random(raw, sizeof(raw), id);
	assert_int_equal(frame_encode(scratch, &none, 4096, id, &extent, 1, raw, RAW, frame,
				      sizeof(frame), &frame_len),
			 0);
}

static void put(const void *bytes, size_t len, uint64_t off)
{
	assert_int_equal(pwrite(fd, bytes, len, (off_t)off), len);
}

static void frame_put(uint64_t id, uint64_t off)
{
	frame_make(id);
	put(frame, frame_len, off);
}

static void garbage_put(size_t len, uint64_t off)
{
	uint8_t *bytes = malloc(len);

	assert_non_null(bytes);
	bytes_fill_random(bytes, len, off + 1);
	put(bytes, len, off);
	free(bytes);
}

struct found {
	unsigned n, stop_at;
	uint64_t ids[FOUND_MAX], offs[FOUND_MAX];
};

static int each(void *arg, uint64_t off, const struct frame_header *header)
{
	struct found *found = arg;

	assert_true(found->n < FOUND_MAX);
	assert_int_equal(header->raw_len, RAW);
	found->ids[found->n] = header->id;
	found->offs[found->n++] = off;
	return found->n == found->stop_at ? -ECANCELED : 0;
}

static struct found scan(uint64_t from)
{
	struct found found = {0};

	assert_int_equal(segment_scan(fd, path, from, each, &found), 0);
	return found;
}

/* Frame i + 1 is the i-th that is found, and lies at offs[i]. */
static void expect(const struct found *found, unsigned n, const uint64_t *offs)
{
	assert_int_equal(found->n, n);
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(found->ids[i], i + 1);
		assert_int_equal(found->offs[i], offs[i]);
	}
}

static void test_neighbours(void **state)
{
	uint64_t offs[] = {0, 0, 0};
	struct found found = scan(0);

	(void)state;
	expect(&found, 0, offs);
	for (unsigned i = 0; i < 3; i++) {
		frame_make(i + 1);
		offs[i] = i * frame_len;
		put(frame, frame_len, offs[i]);
	}
	found = scan(0);
	expect(&found, 3, offs);
	found = scan(1); /* in the middle of the first */
	assert_int_equal(found.n, 2);
	assert_int_equal(found.ids[0], 2);
	found = scan(3 * frame_len);
	assert_int_equal(found.n, 0);
	found = scan(1 << 30); /* behind its end */
	assert_int_equal(found.n, 0);
}

/* Wherever the end of what is read at a time falls into a frame's beginning. */
static void test_windows(void **state)
{
	(void)state;
	for (unsigned back = 0; back <= FRAME_FIXED_LEN + 2; back += 1 + back / 8) {
		const uint64_t offs[] = {WINDOW_BYTES - back};
		struct found found;

		empty(NULL);
		garbage_put(WINDOW_BYTES, 0);
		frame_put(1, offs[0]);
		garbage_put(1000, offs[0] + frame_len);
		found = scan(0);
		expect(&found, 1, offs);
	}
}

static void test_holes(void **state)
{
	const uint64_t offs[] = {0, 10u << 20, 30u << 20};
	struct found found;

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		frame_put(i + 1, offs[i]);
	assert_int_equal(ftruncate(fd, 100 << 20), 0);
	found = scan(0);
	expect(&found, 3, offs);
}

/* A header that says too much, one that is damaged, one that is cut off: what lies in them is found
 * all the same. */
static void test_no_frames(void **state)
{
	const uint64_t offs[] = {20, 2 * RAW * 2};
	struct found found;
	uint8_t flipped;

	(void)state;
	frame_make(9);
	put(frame, 20, 0); /* another begins in it */
	frame_put(1, offs[0]);
	frame_make(9);
	put(frame, frame_len, offs[0] + frame_len);
	flipped = (uint8_t)(frame[50] ^ 1);
	put(&flipped, 1, offs[0] + frame_len + 50);
	frame_put(2, offs[1]);
	frame_make(9); /* ends in the middle of its bytes, and of its tables */
	put(frame, frame_len - 1, offs[1] + frame_len);
	found = scan(0);
	expect(&found, 2, offs);
	assert_int_equal(ftruncate(fd, (off_t)(offs[1] + frame_len + FRAME_FIXED_LEN)), 0);
	found = scan(0);
	expect(&found, 2, offs);
	assert_int_equal(ftruncate(fd, (off_t)(offs[1] + frame_len + FRAME_FIXED_LEN - 1)), 0);
	found = scan(0);
	expect(&found, 2, offs);
}

static uint64_t bad_from, bad_upto;

static ssize_t read_fails(int file, void *buf, size_t len, off_t off)
{
	if ((uint64_t)off < bad_upto && (uint64_t)off + len > bad_from) {
		errno = EIO;
		return -1;
	}
	return pread(file, buf, len, off);
}

/* Only what cannot be read is passed over, and said once. */
static void test_unreadable(void **state)
{
	const uint64_t offs[] = {0, 3 * 4096 + 5, 100000};
	struct io_ops broken = io_ops_system;
	struct found found;
	const char *lines;
	char want[128];

	(void)state;
	frame_put(1, offs[0]);
	frame_put(2, offs[1]);
	frame_put(9, 60000);
	frame_put(3, offs[2]);
	garbage_put(WINDOW_BYTES, offs[2] + frame_len);
	bad_from = 60000 + 10;
	bad_upto = bad_from + 1;
	broken.pread = read_fails;
	io_ops_set(&broken);
	log_captured();
	found = scan(0);
	expect(&found, 3, offs);
	lines = log_captured();
	snprintf(want, sizeof(want),
		 "%s: cannot be read at byte %u, and maybe further on: Input/output error\n", path,
		 60000 / 4096 * 4096);
	assert_string_equal(lines, want);
}

/* The fixed part can be read, and what follows it cannot. */
static void test_unreadable_tables(void **state)
{
	const uint64_t offs[] = {20000};
	struct io_ops broken = io_ops_system;
	struct found found;

	(void)state;
	frame_put(9, 4096 - FRAME_FIXED_LEN);
	frame_put(1, offs[0]);
	bad_from = 4096;
	bad_upto = 8192;
	broken.pread = read_fails;
	io_ops_set(&broken);
	found = scan(0);
	expect(&found, 1, offs);
}

static int stat_fails(int file, struct stat *out)
{
	(void)file;
	(void)out;
	errno = EIO;
	return -1;
}

/* What ends it: each(), a file that says nothing of itself, no memory. */
static void test_ends(void **state)
{
	struct io_ops broken = io_ops_system;
	struct found found = {.stop_at = 2};

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		frame_put(i + 1, i * 10000);
	assert_int_equal(segment_scan(fd, path, 0, each, &found), -ECANCELED);
	assert_int_equal(found.n, 2);
	broken.fstat = stat_fails;
	io_ops_set(&broken);
	assert_int_equal(segment_scan(fd, path, 0, each, &found), -EIO);
	io_ops_set(NULL);
	for (unsigned long n = 1, failed = ALLOC_FAULTS; failed; n++) {
		int rc;

		found = (struct found){0};
		alloc_arm(n, false);
		rc = segment_scan(fd, path, 0, each, &found);
		failed = alloc_disarm();
		assert_int_equal(alloc_live, 0);
		assert_int_equal(rc, failed ? -ENOMEM : 0);
		assert_true(failed || found.n == 3);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, empty, empty)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_neighbours), TEST(test_windows),    TEST(test_holes),
		TEST(test_no_frames),  TEST(test_unreadable), TEST(test_unreadable_tables),
		TEST(test_ends),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
