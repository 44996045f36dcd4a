// SPDX-License-Identifier: Apache-2.0
/* The directory tier: labels, transfers on disk and in memory, space, punching, listing, sync that
 * is shared and final, descriptors that stay bounded, and every system call failing in turn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "compress/bytes.h"
#include "compress/checksum.h"
#include "tests/unit/fix_dir.h"
#include "tests/unit/fix_fault.h"
#include "tiers/io.h"
#include "tiers/tier.h"

static const uint8_t pool_a[16] = "pool a pool a po";
static const uint8_t pool_b[16] = "pool b pool b po";

static struct dir_fixture fixture;

static struct tier_dir_options options_for(uint32_t npaths)
{
	struct tier_dir_options options = {
		.name = "ssd",
		.pool_uuid = pool_a,
		.tier_id = 1,
		.paths = fixture.list,
		.npaths = npaths,
		.direct = -1,
	};
	return options;
}

static int setup_disk(void **state)
{
	(void)state;
	dir_fixture_make(&fixture, "/tmp");
	log_capture();
	return 0;
}

static int setup_memory(void **state)
{
	(void)state;
	dir_fixture_make(&fixture, "/dev/shm");
	log_capture();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	log_release();
	io_ops_set(NULL);
	dir_fixture_remove(&fixture);
	return 0;
}

static struct tier *open_new(const struct tier_dir_options *options)
{
	struct tier *tier;

	assert_int_equal(tier_dir_format(options), 0);
	assert_int_equal(tier_dir_open(&tier, options), 0);
	return tier;
}

static void fill(uint8_t *buf, size_t len, uint64_t seed)
{
	size_t i;

	for (i = 0; i < len; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		buf[i] = (uint8_t)(seed >> 56);
	}
}

/* Labels --------------------------------------------------------------------------------------- */

static void expect_open(const struct tier_dir_options *options, int error, const char *words)
{
	struct tier *tier = (struct tier *)1;

	log_captured();
	assert_int_equal(tier_dir_open(&tier, options), error);
	assert_null(tier);
	if (!strstr(log_captured(), words))
		fail_msg("no log line says \"%s\"", words);
}

static void test_label_of_another_pool_or_tier_is_refused(void **state)
{
	struct tier_dir_options options = options_for(2);
	const char *twice[] = {fixture.paths[1], fixture.paths[1]};
	struct tier *tier = open_new(&options);

	(void)state;
	tier_close(tier);
	options.pool_uuid = pool_b;
	expect_open(&options, -ENOTUNIQ, "another pool");
	options = options_for(2);
	options.tier_id = 2;
	expect_open(&options, -ENOTUNIQ, "tier number 1 of this pool, not 2");
	options = options_for(2);
	options.paths = twice;
	expect_open(&options, -ENOTUNIQ, "directory 2 of its tier");
}

static void test_missing_empty_and_occupied_directories(void **state)
{
	const char *nowhere[] = {"/nonexistent/terrace"};
	struct tier_dir_options options = options_for(1);
	char path[128];
	int fd;

	(void)state;
	expect_open(&options, -ENODATA, "not a Terrace directory");
	options.paths = nowhere;
	expect_open(&options, -ENOENT, "no such directory");
	assert_int_equal(tier_dir_format(&options), -ENOENT);

	/* Other files are left alone, and are no hindrance. */
	options = options_for(1);
	snprintf(path, sizeof(path), "%s/holiday.jpg", fixture.paths[0]);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	assert_true(fd >= 0);
	close(fd);
	tier_close(open_new(&options));
	assert_int_equal(access(path, F_OK), 0);
	log_captured();
	assert_int_equal(tier_dir_format(&options), -EEXIST);
	assert_non_null(strstr(log_captured(), "already belongs to a pool"));
}

static void test_format_is_all_or_nothing(void **state)
{
	struct tier_dir_options options = options_for(3);
	const char *twice[] = {fixture.paths[2], fixture.paths[3], fixture.paths[2]};
	char path[128];

	(void)state;
	options.paths = twice;
	assert_int_equal(tier_dir_format(&options), -EEXIST);
	options = options_for(4);
	tier_close(open_new(&options));
	snprintf(path, sizeof(path), "%s/terrace.tier.new", fixture.paths[0]);
	assert_int_equal(access(path, F_OK), -1);
}

static void patch_label(unsigned at, uint32_t value, bool seal)
{
	uint8_t buf[4096];
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/terrace.tier", fixture.paths[0]);
	fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, buf, sizeof(buf), 0), sizeof(buf));
	put_le32(buf + at, value);
	if (seal)
		put_le64(buf + 4088, checksum64(buf, 4088));
	assert_int_equal(pwrite(fd, buf, sizeof(buf), 0), sizeof(buf));
	close(fd);
}

static void test_damaged_and_newer_labels_are_refused(void **state)
{
	struct tier_dir_options options = options_for(1);
	struct tier *tier;

	(void)state;
	tier_close(open_new(&options));
	patch_label(44, 7, false);
	expect_open(&options, -EBADMSG, "damaged");
	patch_label(44, 0, true);
	patch_label(12, 1, true);
	expect_open(&options, -ENOTSUP, "newer");
	patch_label(12, 0, true);
	patch_label(16, 4, true);
	expect_open(&options, -ENOTSUP, "newer");
	patch_label(16, 0, true);
	patch_label(20, 4, true); /* compat bits are for whoever knows them */
	assert_int_equal(tier_dir_open(&tier, &options), 0);
	tier_close(tier);
	patch_label(20, 0, true);
	patch_label(400, 1, true); /* reserved */
	expect_open(&options, -EBADMSG, "damaged");
	patch_label(8, 2, false);
	expect_open(&options, -ENOTSUP, "newer");
	patch_label(0, 0, false);
	expect_open(&options, -ENODATA, "not a Terrace directory");
}

static void test_read_only_and_unwritable_directories(void **state)
{
	struct tier_dir_options options = options_for(1);
	int status;
	pid_t child;

	(void)state;
	if (geteuid() != 0 || !dir_fixture_mount(&fixture, 0, 1u << 20))
		skip();
	tier_close(open_new(&options));
	child = fork();
	if (child == 0) {
		struct tier *tier;

		/* Whole way down must be searchable for the unprivileged child. */
		if (chmod(fixture.root, 0755) || chmod(fixture.paths[0], 0755) || setuid(65534))
			_exit(2);
		_exit(tier_dir_open(&tier, &options) == -EACCES &&
				      strstr(log_captured(), "not writable")
			      ? 0
			      : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_true(dir_fixture_read_only(&fixture, 0));
	expect_open(&options, -EROFS, "read-only");
	options.paths = (const char *const[]){fixture.paths[0]};
	assert_int_equal(tier_dir_format(&options), -EROFS);
}

/* Transfers ------------------------------------------------------------------------------------ */

/* Random ranges through every way of writing and reading, against a copy in memory. */
static void transfers(int direct)
{
	enum { LIMIT = 12 << 20 };
	static const size_t sizes[] = {1,      100,    4096,	35000,
				       262144, 300001, 1 << 20, (3 << 20) + 77};
	struct tier_dir_options options = options_for(1);
	struct tier_segment seg = {.id = 0x1ff, .place = 0};
	uint8_t *model = calloc(1, LIMIT), *buf = malloc(LIMIT);
	uint64_t end = 0;
	struct tier *tier;
	unsigned n, seed = 7;

	options.direct = direct;
	tier = open_new(&options);
	assert_non_null(model);
	assert_non_null(buf);
	assert_int_equal(tier_segment_create(tier, seg), 0);
	assert_int_equal(tier_segment_create(tier, seg), -EEXIST);
	for (n = 0; end + (4 << 20) < LIMIT; n++) {
		size_t len = sizes[(unsigned)rand_r(&seed) % 8];
		/* Aligned and odd memory addresses. */
		uint8_t *from = model + end;

		fill(from, len, n);
		assert_int_equal(
			tier_write(tier, seg, from, len, end, n % 2 ? TIER_BULK : TIER_FOREGROUND),
			0);
		end += len;
	}
	for (n = 0; n < 60; n++) {
		size_t len = sizes[(unsigned)rand_r(&seed) % 8];
		uint64_t off = (unsigned)rand_r(&seed) % (end - len);
		size_t shift = (unsigned)rand_r(&seed) % 3 ? 5 : 0;

		if (n % 4 == 0)
			off -= off % 4096;
		memset(buf, 0xee, len + 16);
		assert_int_equal(tier_read(tier, seg, buf + shift, len, off,
					   n % 3 ? TIER_BULK : TIER_FOREGROUND),
				 0);
		assert_memory_equal(buf + shift, model + off, len);
		assert_int_equal(buf[shift + len], 0xee);
	}
	/* To the very end, and beyond. */
	assert_int_equal(tier_read(tier, seg, buf, 50000, end - 50000, TIER_BULK), 0);
	assert_memory_equal(buf, model + end - 50000, 50000);
	assert_int_equal(tier_read(tier, seg, buf, 50001, end - 50000, TIER_BULK), -ENODATA);
	assert_int_equal(tier_read(tier, seg, buf, 2 << 20, end - (1 << 20), TIER_BULK), -ENODATA);
	assert_int_equal(tier_read(tier, seg, buf, 10, end, TIER_FOREGROUND), -ENODATA);
	assert_int_equal(tier_read(tier, seg, buf, 10, UINT64_MAX - 3, TIER_FOREGROUND), -ENODATA);
	assert_int_equal(tier_sync(tier, seg), 0);
	tier_close(tier);

	/* Another run of the program reads the same. */
	assert_int_equal(tier_dir_open(&tier, &options), 0);
	assert_int_equal(tier_read(tier, seg, buf, end, 0, TIER_BULK), 0);
	assert_memory_equal(buf, model, end);
	assert_int_equal(tier_segment_remove(tier, seg), 0);
	assert_int_equal(tier_segment_remove(tier, seg), -ENOENT);
	assert_int_equal(tier_read(tier, seg, buf, 1, 0, TIER_FOREGROUND), -ENOENT);
	tier_close(tier);
	free(model);
	free(buf);
}

static void test_transfers_direct_where_possible(void **state)
{
	(void)state;
	transfers(-1);
}

static void test_transfers_through_the_page_cache(void **state)
{
	(void)state;
	transfers(0);
}

static void test_memory_says_it_has_no_direct_io(void **state)
{
	struct tier_dir_options options = options_for(1);
	struct tier *tier;

	(void)state;
	options.direct = 1;
	tier = open_new(&options);
	assert_int_equal(tier->caps & TIER_CAP_DIRECT, 0);
	assert_int_equal(tier->caps & TIER_CAP_PUNCH, TIER_CAP_PUNCH);
	assert_non_null(strstr(log_captured(), "no direct I/O"));
	tier_close(tier);
}

/* Space, punching, listing --------------------------------------------------------------------- */

static uint64_t used_of(struct tier *tier, uint32_t place)
{
	struct tier_space space;

	assert_int_equal(tier_space(tier, place, &space), 0);
	return space.used;
}

static uint64_t disk_of(unsigned place, uint64_t id)
{
	struct stat st;
	char path[160];

	snprintf(path, sizeof(path), "%s/segments/%02x/%016llx.seg", fixture.paths[place],
		 (unsigned)(id & 0xff), (unsigned long long)id);
	assert_int_equal(stat(path, &st), 0);
	return (uint64_t)st.st_blocks * 512;
}

static void test_used_is_what_the_files_take(void **state)
{
	struct tier_dir_options options = options_for(2);
	struct tier_segment one = {.id = 1, .place = 0}, two = {.id = 2, .place = 1};
	uint8_t *buf = malloc(1 << 20);
	struct tier *tier = open_new(&options);
	uint64_t label0 = used_of(tier, 0), label1 = used_of(tier, 1);

	(void)state;
	assert_true(label0 > 0 && label0 <= 8192);
	fill(buf, 1 << 20, 1);
	assert_int_equal(tier_segment_create(tier, one), 0);
	assert_int_equal(tier_segment_create(tier, two), 0);
	assert_int_equal(tier_write(tier, one, buf, 1 << 20, 0, TIER_FOREGROUND), 0);
	assert_int_equal(tier_write(tier, one, buf, 1 << 20, 1 << 20, TIER_BULK), 0);
	assert_int_equal(tier_write(tier, two, buf, 5000, 0, TIER_FOREGROUND), 0);
	assert_int_equal(used_of(tier, 0) - label0, disk_of(0, 1));
	assert_int_equal(used_of(tier, 1) - label1, disk_of(1, 2));
	assert_int_equal(tier_sync(tier, one), 0);
	assert_int_equal(used_of(tier, 0) - label0, disk_of(0, 1));
	assert_int_equal(tier_punch(tier, one, 1 << 20, 0), 0);
	assert_int_equal(used_of(tier, 0) - label0, disk_of(0, 1));
	assert_true(disk_of(0, 1) < (2u << 20) - (900u << 10));
	assert_int_equal(tier_segment_truncate(tier, one, 1 << 20), 0);
	assert_int_equal(used_of(tier, 0) - label0, disk_of(0, 1));
	tier_close(tier);

	assert_int_equal(tier_dir_open(&tier, &options), 0);
	assert_int_equal(used_of(tier, 0) - label0, disk_of(0, 1));
	assert_int_equal(used_of(tier, 1) - label1, disk_of(1, 2));
	assert_int_equal(tier_segment_remove(tier, two), 0);
	assert_int_equal(used_of(tier, 1), label1);
	tier_close(tier);
	free(buf);
}

static void test_quota_is_of_all_places_and_kept(void **state)
{
	struct tier_dir_options options = options_for(2);
	struct tier_segment seg = {.id = 1, .place = 0}, two = {.id = 2, .place = 1};
	struct tier_space space, room;
	uint8_t *buf = calloc(1, 1 << 20);
	struct tier *tier;

	(void)state;
	options.quota_bytes = 2 << 20;
	tier = open_new(&options);
	assert_int_equal(tier_room(tier, &room), 0);
	assert_int_equal(room.total, 2 << 20);
	assert_int_equal(room.free, (2 << 20) - room.used);
	assert_int_equal(tier_segment_create(tier, seg), 0);
	assert_int_equal(tier_segment_create(tier, two), 0);
	/* More than half of it in one place: the other has what is left. */
	assert_int_equal(tier_write(tier, seg, buf, 1 << 20, 0, TIER_FOREGROUND), 0);
	assert_int_equal(tier_write(tier, seg, buf, 300000, 1 << 20, TIER_FOREGROUND), 0);
	assert_int_equal(tier_write(tier, two, buf, 600000, 0, TIER_FOREGROUND), 0);
	assert_int_equal(tier_write(tier, two, buf, 600000, 600000, TIER_FOREGROUND), -ENOSPC);
	assert_int_equal(tier_write(tier, seg, buf, 600000, 1 << 21, TIER_FOREGROUND), -ENOSPC);
	assert_int_equal(tier_space(tier, 0, &space), 0);
	assert_true(space.free < 300000);
	assert_int_equal(tier_room(tier, &room), 0);
	assert_int_equal(room.free, space.free);
	tier_close(tier);
	free(buf);
}

static void test_full_medium_is_enospc_and_room_comes_back(void **state)
{
	struct tier_dir_options options = options_for(1);
	struct tier_segment seg = {.id = 1, .place = 0}, two = {.id = 2, .place = 0};
	uint8_t *buf = calloc(1, 1 << 20);
	struct tier_space space;
	struct tier *tier;
	int error = 0;
	uint64_t off = 0;

	(void)state;
	if (!dir_fixture_mount(&fixture, 0, 1u << 20)) {
		free(buf);
		skip();
	}
	tier = open_new(&options);
	assert_int_equal(tier_segment_create(tier, seg), 0);
	assert_int_equal(tier_segment_create(tier, two), 0);
	for (off = 0; !error && off < 4 << 20; off += 100000)
		error = tier_write(tier, seg, buf, 100000, off, TIER_FOREGROUND);
	assert_int_equal(error, -ENOSPC);
	assert_non_null(strstr(log_captured(), "No space left"));
	assert_int_equal(tier_space(tier, 0, &space), 0);
	assert_true(space.free < 100000);
	assert_int_equal(tier_segment_remove(tier, seg), 0);
	assert_int_equal(tier_space(tier, 0, &space), 0);
	assert_true(space.free > 900000);
	assert_int_equal(tier_write(tier, two, buf, 900000, 0, TIER_BULK), 0);
	tier_close(tier);
	free(buf);
}

static void test_punch_gives_back_whole_blocks_only(void **state)
{
	struct tier_dir_options options = options_for(1);
	struct tier_segment seg = {.id = 3, .place = 0};
	uint8_t model[40960], buf[40960];
	struct tier *tier = open_new(&options);

	(void)state;
	fill(model, sizeof(model), 3);
	assert_int_equal(tier_segment_create(tier, seg), 0);
	assert_int_equal(tier_write(tier, seg, model, sizeof(model), 0, TIER_FOREGROUND), 0);
	assert_int_equal(tier_sync(tier, seg), 0);
	assert_int_equal(tier_punch(tier, seg, 4000, 5000), 0); /* no whole block inside */
	assert_int_equal(tier_read(tier, seg, buf, sizeof(buf), 0, TIER_FOREGROUND), 0);
	assert_memory_equal(buf, model, sizeof(buf));
	assert_int_equal(tier_punch(tier, seg, 20000, 5000), 0);
	memset(model + 8192, 0, 24576 - 8192);
	assert_int_equal(tier_read(tier, seg, buf, sizeof(buf), 0, TIER_FOREGROUND), 0);
	assert_memory_equal(buf, model, sizeof(buf));
	assert_int_equal(tier_read(tier, seg, buf, sizeof(buf), 0, TIER_BULK), 0);
	assert_memory_equal(buf, model, sizeof(buf));
	tier_close(tier);
}

struct listing {
	unsigned count, stop_at;
	uint64_t ids, len, disk;
};

static int list_one(void *arg, struct tier_segment seg, uint64_t len, uint64_t disk)
{
	struct listing *listing = arg;

	listing->count++;
	listing->ids += seg.id;
	listing->len += len;
	listing->disk += disk;
	return listing->count == listing->stop_at ? 42 : 0;
}

static void test_list_shows_segments_and_nothing_else(void **state)
{
	static const char *const strangers[] = {"00000000000000FF.seg", "000000000000000f.seg",
						"00000000000000ff.seg.bak", "x", "00ff.seg"};
	struct tier_dir_options options = options_for(1);
	struct tier_segment seg = {.place = 0};
	struct listing listing = {0};
	struct tier *tier = open_new(&options);
	char path[200];
	size_t i;
	int fd;

	(void)state;
	for (seg.id = 1; seg.id <= 600; seg.id++) {
		assert_int_equal(tier_segment_create(tier, seg), 0);
		assert_int_equal(tier_write(tier, seg, "hello", 5, 0, TIER_FOREGROUND), 0);
	}
	for (i = 0; i < 5; i++) {
		snprintf(path, sizeof(path), "%s/segments/ff/%s", fixture.paths[0], strangers[i]);
		fd = open(path, O_CREAT | O_WRONLY, 0600);
		assert_true(fd >= 0);
		close(fd);
	}
	assert_int_equal(tier_list(tier, 0, list_one, &listing), 0);
	assert_int_equal(listing.count, 600);
	assert_int_equal(listing.ids, 600 * 601 / 2);
	assert_int_equal(listing.len, 600 * 5);
	memset(&listing, 0, sizeof(listing));
	listing.stop_at = 7;
	assert_int_equal(tier_list(tier, 0, list_one, &listing), 42);
	assert_int_equal(listing.count, 7);
	tier_close(tier);
}

static void test_descriptors_are_bounded(void **state)
{
	struct tier_dir_options options = options_for(1);
	struct tier_segment seg = {.place = 0};
	struct tier *tier = open_new(&options);
	int before = fault_open_fds();
	char buf[8];
	unsigned round;

	(void)state;
	for (seg.id = 1; seg.id <= 400; seg.id++) {
		put_le64(buf, seg.id);
		assert_int_equal(tier_segment_create(tier, seg), 0);
		assert_int_equal(tier_write(tier, seg, buf, 8, 0, TIER_FOREGROUND), 0);
		assert_int_equal(tier_sync(tier, seg), 0);
	}
	for (round = 0; round < 2; round++) {
		for (seg.id = 1; seg.id <= 400; seg.id++) {
			assert_int_equal(tier_read(tier, seg, buf, 8, 0, TIER_FOREGROUND), 0);
			assert_int_equal(get_le64(buf), seg.id);
		}
	}
	assert_true(fault_open_fds() - before <= 256);
	assert_true(fault_open_fds() - before > 200);
	tier_close(tier);
	assert_int_equal(fault_open_fds(), before);
}

static void test_calls_on_what_is_not_there(void **state)
{
	struct tier_dir_options options = options_for(1);
	struct tier_segment seg = {.id = 5, .place = 0};
	struct tier *tier = open_new(&options);
	char path[128], aside[128], c = 0;

	(void)state;
	assert_int_equal(tier_write(tier, seg, &c, 1, 0, TIER_FOREGROUND), -ENOENT);
	assert_int_equal(tier_read(tier, seg, &c, 1, 0, TIER_BULK), -ENOENT);
	assert_int_equal(tier_sync(tier, seg), -ENOENT);
	assert_int_equal(tier_punch(tier, seg, 8192, 0), -ENOENT);
	assert_int_equal(tier_segment_truncate(tier, seg, 0), -ENOENT);
	/* The disk goes away under us: an error of the medium, and nothing is made in its place. */
	snprintf(path, sizeof(path), "%s/segments", fixture.paths[0]);
	snprintf(aside, sizeof(aside), "%s/aside", fixture.paths[0]);
	assert_int_equal(rename(path, aside), 0);
	assert_int_equal(tier_segment_create(tier, seg), -EIO);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(rename(aside, path), 0);
	assert_int_equal(tier_segment_create(tier, seg), 0);
	/* A folder that cannot be listed is an error, not an empty one. */
	snprintf(path, sizeof(path), "%s/segments/77", fixture.paths[0]);
	assert_int_equal(close(open(path, O_CREAT | O_WRONLY, 0600)), 0);
	log_captured();
	assert_int_equal(tier_list(tier, 0, list_one, &(struct listing){0}), -ENOTDIR);
	assert_non_null(strstr(log_captured(), "cannot list"));
	tier_close(tier);
	assert_int_equal(tier_dir_open(&tier, &options), -ENOTDIR);
	assert_null(tier);
}

static void test_options_that_make_no_sense(void **state)
{
	struct tier_dir_options options = options_for(0);
	char file[128];
	const char *paths[] = {file};
	struct tier *tier;

	(void)state;
	assert_int_equal(tier_dir_format(&options), -EINVAL);
	assert_int_equal(tier_dir_open(&tier, &options), -EINVAL);
	options = options_for(1);
	options.tier_id = 64;
	assert_int_equal(tier_dir_format(&options), -EINVAL);
	assert_int_equal(tier_dir_open(&tier, &options), -EINVAL);
	options = options_for(1);
	options.paths = paths;
	snprintf(file, sizeof(file), "%s/file", fixture.root);
	assert_int_equal(close(open(file, O_CREAT | O_WRONLY, 0600)), 0);
	assert_int_equal(tier_dir_format(&options), -ENOTDIR);
	expect_open(&options, -ENOTDIR, "not a directory");
	memset(file, 'x', sizeof(file) - 1);
	file[0] = '/';
	file[sizeof(file) - 1] = '\0';
	assert_int_equal(tier_dir_format(&options), -ENOENT);
}

/* Sync ----------------------------------------------------------------------------------------- */

static void test_sync_covers_the_name_once_and_clean_ones_cost_nothing(void **state)
{
	struct tier_dir_options options = options_for(1);
	struct tier_segment seg = {.id = 0x101, .place = 0}, next = {.id = 0x201, .place = 0};
	struct tier *tier = open_new(&options);

	(void)state;
	assert_int_equal(tier_segment_create(tier, seg), 0);
	assert_int_equal(tier_segment_create(tier, next), 0);
	fault_arm(FAULT_SYNC, UINT64_MAX, FAULT_EIO, false);
	assert_int_equal(tier_sync(tier, seg), 0);
	assert_int_equal(fault_calls(), 3); /* data, segments/01, segments */
	assert_int_equal(tier_sync(tier, seg), 0);
	assert_int_equal(fault_calls(), 3);
	assert_int_equal(tier_write(tier, seg, "x", 1, 0, TIER_FOREGROUND), 0);
	assert_int_equal(tier_sync(tier, seg), 0);
	assert_int_equal(fault_calls(), 4);
	assert_int_equal(tier_sync(tier, next), 0);
	assert_int_equal(fault_calls(), 6); /* segments/01 has a name already */
	fault_disarm();
	tier_close(tier);
	/* A new run cannot know what the last one synced. */
	assert_int_equal(tier_dir_open(&tier, &options), 0);
	fault_arm(FAULT_SYNC, UINT64_MAX, FAULT_EIO, false);
	assert_int_equal(tier_sync(tier, seg), 0);
	assert_int_equal(fault_calls(), 3);
	fault_disarm();
	tier_close(tier);
}

static void test_failed_sync_is_final(void **state)
{
	struct tier_dir_options options = options_for(1);
	struct tier_segment seg = {.id = 1, .place = 0}, other = {.id = 2, .place = 0};
	struct tier *tier = open_new(&options);
	unsigned nth;
	char c;

	(void)state;
	for (nth = 1; nth <= 3; nth++, seg.id += 0x10) {
		assert_int_equal(tier_segment_create(tier, seg), 0);
		assert_int_equal(tier_write(tier, seg, "x", 1, 0, TIER_FOREGROUND), 0);
		fault_arm(FAULT_SYNC, nth, FAULT_EIO, false);
		assert_int_equal(tier_sync(tier, seg), -EIO);
		assert_int_equal(fault_disarm(), 1);
		assert_int_equal(tier_sync(tier, seg), -EIO);
		assert_int_equal(tier_write(tier, seg, "y", 1, 1, TIER_FOREGROUND), -EIO);
		assert_int_equal(tier_sync(tier, seg), -EIO);
		assert_int_equal(tier_read(tier, seg, &c, 1, 0, TIER_FOREGROUND), 0);
	}
	assert_int_equal(tier_segment_create(tier, other), 0);
	assert_int_equal(tier_sync(tier, other), 0);
	seg.id -= 0x10;
	assert_int_equal(tier_segment_remove(tier, seg), 0);
	tier_close(tier);
}

static int slow_fdatasync(int fd)
{
	struct timespec ts = {.tv_nsec = 20000000};
	int done = fdatasync(fd);

	nanosleep(&ts, NULL);
	return done;
}

static _Atomic unsigned sync_count;

static int counted_fdatasync(int fd)
{
	sync_count++;
	return slow_fdatasync(fd);
}

struct worker {
	struct tier *tier;
	struct tier_segment seg;
	pthread_t thread;
	unsigned index;
	int error;
};

static void *write_and_sync(void *arg)
{
	struct worker *worker = arg;
	unsigned i;

	for (i = 0; i < 3 && !worker->error; i++) {
		worker->error = tier_write(worker->tier, worker->seg, "abcd", 4,
					   (worker->index * 3 + i) * 4, TIER_FOREGROUND);
		if (!worker->error)
			worker->error = tier_sync(worker->tier, worker->seg);
	}
	return NULL;
}

static void test_syncs_at_the_same_time_are_shared(void **state)
{
	struct tier_dir_options options = options_for(1);
	struct tier *tier = open_new(&options);
	struct io_ops ops = io_ops_system;
	struct worker workers[8];
	unsigned i;

	(void)state;
	assert_int_equal(tier_segment_create(tier, (struct tier_segment){.id = 1}), 0);
	sync_count = 0;
	ops.fdatasync = counted_fdatasync;
	io_ops_set(&ops);
	for (i = 0; i < 8; i++) {
		workers[i] = (struct worker){.tier = tier, .seg = {.id = 1}, .index = i};
		pthread_create(&workers[i].thread, NULL, write_and_sync, &workers[i]);
	}
	for (i = 0; i < 8; i++) {
		pthread_join(workers[i].thread, NULL);
		assert_int_equal(workers[i].error, 0);
	}
	io_ops_set(NULL);
	/* 24 callers; at least one sync per round must have been shared. */
	assert_true(sync_count < 24);
	tier_close(tier);
}

/* Many threads --------------------------------------------------------------------------------- */

static void *churn(void *arg)
{
	struct worker *worker = arg;
	uint8_t out[20000], in[20000];
	unsigned i;

	for (i = 0; i < 60 && !worker->error; i++) {
		struct tier_segment mine = {.id = 1000 + worker->index * 100 + i,
					    .place = worker->index % 2};
		enum tier_hint hint = i % 2 ? TIER_BULK : TIER_FOREGROUND;

		fill(out, sizeof(out), mine.id);
		worker->error = tier_segment_create(worker->tier, mine);
		if (!worker->error)
			worker->error = tier_write(worker->tier, mine, out, sizeof(out), 0, hint);
		if (!worker->error && i % 8 == 0)
			worker->error = tier_sync(worker->tier, mine);
		if (!worker->error)
			worker->error = tier_read(worker->tier, mine, in, sizeof(in), 0, hint);
		if (!worker->error && memcmp(in, out, sizeof(in)) != 0)
			worker->error = -EBADMSG;
		/* One that all share, each its own range. */
		if (!worker->error)
			worker->error = tier_write(worker->tier, worker->seg, out, 1000,
						   (worker->index * 60 + i) * 1000, hint);
		if (!worker->error && i % 3)
			worker->error = tier_segment_remove(worker->tier, mine);
	}
	return NULL;
}

static void test_threads_with_files_coming_and_going(void **state)
{
	struct tier_dir_options options = options_for(2);
	struct tier *tier = open_new(&options);
	uint64_t labels = used_of(tier, 0) + used_of(tier, 1);
	struct worker workers[4];
	struct listing listing = {0};
	unsigned i;

	(void)state;
	assert_int_equal(tier_segment_create(tier, (struct tier_segment){.id = 1}), 0);
	for (i = 0; i < 4; i++) {
		workers[i] = (struct worker){.tier = tier, .seg = {.id = 1}, .index = i};
		pthread_create(&workers[i].thread, NULL, churn, &workers[i]);
	}
	for (i = 0; i < 4; i++) {
		pthread_join(workers[i].thread, NULL);
		assert_int_equal(workers[i].error, 0);
	}
	assert_int_equal(tier_sync(tier, (struct tier_segment){.id = 1}), 0);
	assert_int_equal(tier_list(tier, 0, list_one, &listing), 0);
	assert_int_equal(tier_list(tier, 1, list_one, &listing), 0);
	assert_int_equal(listing.count, 1 + 4 * 20);
	assert_int_equal(used_of(tier, 0) + used_of(tier, 1), labels + listing.disk);
	tier_close(tier);
}

static void *read_large(void *arg)
{
	struct worker *worker = arg;
	uint8_t *in = malloc(3 << 20), *want = malloc(3 << 20);
	unsigned i;

	fill(want, 3 << 20, 21);
	for (i = 0; i < 4 && !worker->error; i++) {
		uint64_t off = worker->index * 777 + i;

		worker->error =
			tier_read(worker->tier, worker->seg, in, (3 << 20) - off, off, TIER_BULK);
		if (!worker->error && memcmp(in, want + off, (3 << 20) - off) != 0)
			worker->error = -EBADMSG;
	}
	free(in);
	free(want);
	return NULL;
}

/* More than there are lanes, all opening one file at once. */
static void test_many_bulk_readers(void **state)
{
	struct tier_dir_options options = options_for(1);
	struct tier_segment seg = {.id = 1, .place = 0};
	struct tier *tier = open_new(&options);
	uint8_t *buf = malloc(3 << 20);
	struct worker workers[10];
	unsigned i;

	(void)state;
	fill(buf, 3 << 20, 21);
	assert_int_equal(tier_segment_create(tier, seg), 0);
	assert_int_equal(tier_write(tier, seg, buf, 3 << 20, 0, TIER_BULK), 0);
	tier_close(tier);
	assert_int_equal(tier_dir_open(&tier, &options), 0);
	for (i = 0; i < 10; i++) {
		workers[i] = (struct worker){.tier = tier, .seg = seg, .index = i};
		pthread_create(&workers[i].thread, NULL, read_large, &workers[i]);
	}
	for (i = 0; i < 10; i++) {
		pthread_join(workers[i].thread, NULL);
		assert_int_equal(workers[i].error, 0);
	}
	tier_close(tier);
	free(buf);
}

static int broken_getevents(struct io_context *ctx, long min, long max, struct io_event *events,
			    struct timespec *timeout)
{
	(void)ctx;
	(void)min;
	(void)max;
	(void)events;
	(void)timeout;
	return -EINVAL;
}

/* Requests on their way must have ended before their memory is the caller's again. */
static void test_waiting_for_requests_fails(void **state)
{
	struct tier_dir_options options = options_for(1);
	struct tier_segment seg = {.id = 1, .place = 0};
	struct tier *tier = open_new(&options);
	uint8_t *buf = calloc(1, 3 << 20);
	struct io_ops ops = io_ops_system;

	(void)state;
	assert_int_equal(tier_segment_create(tier, seg), 0);
	assert_int_equal(tier_write(tier, seg, buf, 3 << 20, 0, TIER_BULK), 0);
	ops.aio_getevents = broken_getevents;
	io_ops_set(&ops);
	assert_int_equal(tier_read(tier, seg, buf, 3 << 20, 0, TIER_BULK),
			 tier->caps & TIER_CAP_DIRECT ? -EINVAL : 0);
	io_ops_set(NULL);
	assert_int_equal(tier_read(tier, seg, buf, 3 << 20, 0, TIER_BULK), 0);
	tier_close(tier);
	free(buf);
}

/* Settings for tests --------------------------------------------------------------------------- */

static void test_delay_and_bandwidth_slow_requests_down(void **state)
{
	struct tier_dir_options options = options_for(1);
	struct tier_segment seg = {.id = 1, .place = 0};
	uint8_t *buf = calloc(1, 200000);
	struct timespec from, to;
	struct tier *tier;
	int64_t ms;

	(void)state;
	options.delay_ns = 10000000;
	options.bandwidth = 2000000;
	tier = open_new(&options);
	assert_int_equal(tier_segment_create(tier, seg), 0);
	clock_gettime(CLOCK_MONOTONIC, &from);
	assert_int_equal(tier_write(tier, seg, buf, 200000, 0, TIER_FOREGROUND), 0);
	assert_int_equal(tier_read(tier, seg, buf, 1, 0, TIER_FOREGROUND), 0);
	clock_gettime(CLOCK_MONOTONIC, &to);
	ms = (to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000;
	/* A lower bound only: the sleeps are ours, whatever the machine is doing. */
	assert_true(ms >= 119);
	tier_close(tier);
	free(buf);
}

/* Faults --------------------------------------------------------------------------------------- */

/* A little life of a tier. Returns the first error; checks that what was called done is done. */
static int life(const struct tier_dir_options *options, uint8_t *buf, uint8_t *in)
{
	enum { BIG = (2 << 20) + 999 };
	struct tier_segment seg = {.id = 1, .place = 0};
	struct tier *tier = NULL;
	int error = tier_dir_open(&tier, options);
	int synced;

	if (error)
		return error;
	error = tier_segment_create(tier, seg);
	if (!error)
		error = tier_write(tier, seg, buf, 5000, 0, TIER_FOREGROUND);
	if (!error)
		error = tier_write(tier, seg, buf + 5000, BIG, 5000, TIER_BULK);
	if (!error) {
		error = synced = tier_sync(tier, seg);
		if (synced) /* no success may follow */
			assert_int_not_equal(tier_sync(tier, seg), 0);
	}
	if (!error)
		error = tier_read(tier, seg, in, 5000 + BIG, 0, TIER_BULK);
	if (!error)
		assert_memory_equal(in, buf, 5000 + BIG);
	if (!error)
		error = tier_read(tier, seg, in, 4000, 900, TIER_FOREGROUND);
	if (!error)
		assert_memory_equal(in, buf + 900, 4000);
	if (!error)
		error = tier_punch(tier, seg, 8192, 0);
	if (!error)
		error = tier_segment_truncate(tier, seg, 4096);
	if (!error)
		error = tier_segment_remove(tier, seg);
	tier_close(tier);
	return error;
}

static void fault_loop(int direct)
{
	static const struct {
		enum fault_kind kind;
		int error; /* 0: must not be noticed */
	} kinds[] = {
		{FAULT_EIO, -EIO}, {FAULT_ENOSPC, -ENOSPC}, {FAULT_SHORT, 0}, {FAULT_EINTR, 0}};
	struct tier_dir_options options = options_for(1);
	uint8_t *buf = malloc(3 << 20), *in = malloc(3 << 20);
	int fds, error, forever;
	uint64_t n, hits;
	size_t k;

	options.direct = direct;
	fill(buf, 3 << 20, 11);
	assert_int_equal(tier_dir_format(&options), 0);
	fds = fault_open_fds();
	for (k = 0; k < 4; k++) {
		for (forever = 0; forever < 2; forever++) {
			for (n = 1, hits = 1; hits; n++) {
				char path[160];

				fault_arm(FAULT_ALL, n, kinds[k].kind, forever);
				error = life(&options, buf, in);
				hits = fault_disarm();
				assert_true(n < 500);
				assert_int_equal(fault_open_fds(), fds);
				if (!kinds[k].error || !hits)
					assert_int_equal(error, 0);
				else if (error)
					assert_int_equal(error, kinds[k].error);
				snprintf(path, sizeof(path), "%s/segments/01/0000000000000001.seg",
					 fixture.paths[0]);
				unlink(path);
			}
		}
	}
	free(buf);
	free(in);
}

static void test_every_call_failing_direct(void **state)
{
	(void)state;
	fault_loop(-1);
}

static void test_every_call_failing_cached(void **state)
{
	(void)state;
	fault_loop(0);
}

static void test_format_with_every_call_failing(void **state)
{
	struct tier_dir_options options = options_for(2);
	int fds = fault_open_fds(), error, i;
	char path[128];
	struct tier *tier;
	uint64_t n, hits;

	(void)state;
	for (n = 1, hits = 1; hits; n++) {
		fault_arm(FAULT_ALL, n, FAULT_EIO, false);
		error = tier_dir_format(&options);
		hits = fault_disarm();
		assert_int_equal(fault_open_fds(), fds);
		if (error) { /* nothing half done: the next try works */
			for (i = 0; i < 2; i++) {
				snprintf(path, sizeof(path), "%s/terrace.tier", fixture.paths[i]);
				assert_int_equal(access(path, F_OK), -1);
			}
			continue;
		}
		assert_int_equal(tier_dir_open(&tier, &options), 0);
		tier_close(tier);
		for (i = 0; i < 2; i++) {
			snprintf(path, sizeof(path), "%s/terrace.tier", fixture.paths[i]);
			assert_int_equal(unlink(path), 0);
		}
	}
	assert_true(n > 10);
}

#define ON_DISK(test)	cmocka_unit_test_setup_teardown(test, setup_disk, teardown)
#define IN_MEMORY(test) cmocka_unit_test_setup_teardown(test, setup_memory, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_DISK(test_label_of_another_pool_or_tier_is_refused),
		ON_DISK(test_missing_empty_and_occupied_directories),
		ON_DISK(test_format_is_all_or_nothing),
		ON_DISK(test_damaged_and_newer_labels_are_refused),
		ON_DISK(test_read_only_and_unwritable_directories),
		ON_DISK(test_transfers_direct_where_possible),
		ON_DISK(test_transfers_through_the_page_cache),
		IN_MEMORY(test_transfers_direct_where_possible),
		IN_MEMORY(test_memory_says_it_has_no_direct_io),
		ON_DISK(test_used_is_what_the_files_take),
		IN_MEMORY(test_used_is_what_the_files_take),
		ON_DISK(test_quota_is_of_all_places_and_kept),
		ON_DISK(test_full_medium_is_enospc_and_room_comes_back),
		ON_DISK(test_punch_gives_back_whole_blocks_only),
		IN_MEMORY(test_punch_gives_back_whole_blocks_only),
		IN_MEMORY(test_list_shows_segments_and_nothing_else),
		IN_MEMORY(test_descriptors_are_bounded),
		ON_DISK(test_calls_on_what_is_not_there),
		ON_DISK(test_options_that_make_no_sense),
		ON_DISK(test_many_bulk_readers),
		ON_DISK(test_waiting_for_requests_fails),
		ON_DISK(test_sync_covers_the_name_once_and_clean_ones_cost_nothing),
		ON_DISK(test_failed_sync_is_final),
		ON_DISK(test_syncs_at_the_same_time_are_shared),
		ON_DISK(test_threads_with_files_coming_and_going),
		IN_MEMORY(test_delay_and_bandwidth_slow_requests_down),
		ON_DISK(test_every_call_failing_direct),
		IN_MEMORY(test_every_call_failing_cached),
		ON_DISK(test_format_with_every_call_failing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
