// SPDX-License-Identifier: Apache-2.0
/* The directory tier: labels, formatting, space, punching, listing, descriptors that stay bounded,
 * and calls and options that make no sense. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "compress/bytes.h"
#include "compress/checksum.h"
#include "tests/unit/fix_fault.h"
#include "tests/unit/fix_tier.h"
#include "tiers/tier.h"

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
	struct tier_dir_options options = tier_options(2);
	const char *twice[] = {tier_dirs.paths[1], tier_dirs.paths[1]};
	struct tier *tier = tier_open_new(&options);

	(void)state;
	tier_close(tier);
	options.pool_uuid = pool_b;
	expect_open(&options, -ENOTUNIQ, "another pool");
	options = tier_options(2);
	options.tier_id = 2;
	expect_open(&options, -ENOTUNIQ, "tier number 1 of this pool, not 2");
	options = tier_options(2);
	options.paths = twice;
	expect_open(&options, -ENOTUNIQ, "directory 2 of its tier");
}

static void test_missing_empty_and_occupied_directories(void **state)
{
	const char *nowhere[] = {"/nonexistent/terrace"};
	struct tier_dir_options options = tier_options(1);
	char path[128];
	int fd;

	(void)state;
	expect_open(&options, -ENODATA, "not a Terrace directory");
	options.paths = nowhere;
	expect_open(&options, -ENOENT, "no such directory");
	assert_int_equal(tier_dir_format(&options), -ENOENT);

	/* Other files are left alone, and are no hindrance. */
	options = tier_options(1);
	snprintf(path, sizeof(path), "%s/holiday.jpg", tier_dirs.paths[0]);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	assert_true(fd >= 0);
	close(fd);
	tier_close(tier_open_new(&options));
	assert_int_equal(access(path, F_OK), 0);
	log_captured();
	assert_int_equal(tier_dir_format(&options), -EEXIST);
	assert_non_null(strstr(log_captured(), "already belongs to a pool"));

	/* What is in one is its pool's, too. */
	snprintf(path, sizeof(path), "%s/segments", tier_dirs.paths[0]);
	options.paths = (const char *const[]){path};
	log_captured();
	assert_int_equal(tier_dir_format(&options), -ENOTEMPTY);
	assert_non_null(strstr(log_captured(), "lies in a directory of a pool"));
}

static void test_format_is_all_or_nothing(void **state)
{
	struct tier_dir_options options = tier_options(3);
	const char *twice[] = {tier_dirs.paths[2], tier_dirs.paths[3], tier_dirs.paths[2]};
	char path[128];

	(void)state;
	options.paths = twice;
	assert_int_equal(tier_dir_format(&options), -EEXIST);
	options = tier_options(4);
	tier_close(tier_open_new(&options));
	snprintf(path, sizeof(path), "%s/terrace.tier.new", tier_dirs.paths[0]);
	assert_int_equal(access(path, F_OK), -1);
}

static void patch_label(unsigned at, uint32_t value, bool seal)
{
	uint8_t buf[4096];
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/terrace.tier", tier_dirs.paths[0]);
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
	struct tier_dir_options options = tier_options(1);
	struct tier *tier;

	(void)state;
	tier_close(tier_open_new(&options));
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
	struct tier_dir_options options = tier_options(1);
	int status;
	pid_t child;

	(void)state;
	if (geteuid() != 0 || !dir_fixture_mount(&tier_dirs, 0, 1u << 20))
		skip();
	tier_close(tier_open_new(&options));
	child = fork();
	if (child == 0) {
		struct tier *tier;

		/* Whole way down must be searchable for the unprivileged child. */
		if (chmod(tier_dirs.root, 0755) || chmod(tier_dirs.paths[0], 0755) || setuid(65534))
			_exit(2);
		_exit(tier_dir_open(&tier, &options) == -EACCES &&
				      strstr(log_captured(), "not writable")
			      ? 0
			      : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_true(dir_fixture_read_only(&tier_dirs, 0));
	expect_open(&options, -EROFS, "read-only");
	options.paths = (const char *const[]){tier_dirs.paths[0]};
	assert_int_equal(tier_dir_format(&options), -EROFS);
}

/* Space, punching, listing --------------------------------------------------------------------- */

static uint64_t disk_of(unsigned place, uint64_t id)
{
	struct stat st;
	char path[160];

	snprintf(path, sizeof(path), "%s/segments/%02x/%016llx.seg", tier_dirs.paths[place],
		 (unsigned)(id & 0xff), (unsigned long long)id);
	assert_int_equal(stat(path, &st), 0);
	return (uint64_t)st.st_blocks * 512;
}

static void test_used_is_what_the_files_take(void **state)
{
	struct tier_dir_options options = tier_options(2);
	struct tier_segment one = {.id = 1, .place = 0}, two = {.id = 2, .place = 1};
	uint8_t *buf = malloc(1 << 20);
	struct tier *tier = tier_open_new(&options);
	uint64_t label0 = tier_used(tier, 0), label1 = tier_used(tier, 1);

	(void)state;
	assert_true(label0 > 0 && label0 <= 8192);
	fill_noise(buf, 1 << 20, 1);
	assert_int_equal(tier_segment_create(tier, one), 0);
	assert_int_equal(tier_segment_create(tier, two), 0);
	assert_int_equal(tier_write(tier, one, buf, 1 << 20, 0, TIER_FOREGROUND), 0);
	assert_int_equal(tier_write(tier, one, buf, 1 << 20, 1 << 20, TIER_BULK), 0);
	assert_int_equal(tier_write(tier, two, buf, 5000, 0, TIER_FOREGROUND), 0);
	assert_int_equal(tier_used(tier, 0) - label0, disk_of(0, 1));
	assert_int_equal(tier_used(tier, 1) - label1, disk_of(1, 2));
	assert_int_equal(tier_sync(tier, one), 0);
	assert_int_equal(tier_used(tier, 0) - label0, disk_of(0, 1));
	assert_int_equal(tier_punch(tier, one, 1 << 20, 0), 0);
	assert_int_equal(tier_used(tier, 0) - label0, disk_of(0, 1));
	assert_true(disk_of(0, 1) < (2u << 20) - (900u << 10));
	assert_int_equal(tier_segment_truncate(tier, one, 1 << 20), 0);
	assert_int_equal(tier_used(tier, 0) - label0, disk_of(0, 1));
	tier_close(tier);

	assert_int_equal(tier_dir_open(&tier, &options), 0);
	assert_int_equal(tier_used(tier, 0) - label0, disk_of(0, 1));
	assert_int_equal(tier_used(tier, 1) - label1, disk_of(1, 2));
	assert_int_equal(tier_segment_remove(tier, two), 0);
	assert_int_equal(tier_used(tier, 1), label1);
	tier_close(tier);
	free(buf);
}

static void test_quota_is_of_all_places_and_kept(void **state)
{
	struct tier_dir_options options = tier_options(2);
	struct tier_segment seg = {.id = 1, .place = 0}, two = {.id = 2, .place = 1};
	struct tier_space space, room;
	uint8_t *buf = calloc(1, 1 << 20);
	struct tier *tier;

	(void)state;
	options.quota_bytes = 2 << 20;
	tier = tier_open_new(&options);
	assert_int_equal(tier_room(tier, &room), 0);
	assert_int_equal(room.total, 2 << 20);
	assert_int_equal(room.kept, 8192);
	assert_int_equal(room.free, (2 << 20) - room.used - room.kept);
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
	/* What is said to be free can be written, and no more. */
	assert_int_equal(tier_write(tier, two, buf, space.free + 1, 600000, TIER_FOREGROUND),
			 -ENOSPC);
	assert_int_equal(tier_write(tier, two, buf, space.free, 600000, TIER_FOREGROUND), 0);
	tier_close(tier);
	free(buf);
}

static void test_full_medium_is_enospc_and_room_comes_back(void **state)
{
	struct tier_dir_options options = tier_options(1);
	struct tier_segment seg = {.id = 1, .place = 0}, two = {.id = 2, .place = 0};
	uint8_t *buf = calloc(1, 1 << 20);
	struct tier_space space;
	struct tier *tier;
	int error = 0;
	uint64_t off = 0;

	(void)state;
	if (!dir_fixture_mount(&tier_dirs, 0, 1u << 20)) {
		free(buf);
		skip();
	}
	tier = tier_open_new(&options);
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
	struct tier_dir_options options = tier_options(1);
	struct tier_segment seg = {.id = 3, .place = 0};
	uint8_t model[40960], buf[40960];
	struct tier *tier = tier_open_new(&options);

	(void)state;
	fill_noise(model, sizeof(model), 3);
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

static void test_list_shows_segments_and_nothing_else(void **state)
{
	static const char *const strangers[] = {"00000000000000FF.seg", "000000000000000f.seg",
						"00000000000000ff.seg.bak", "x", "00ff.seg"};
	struct tier_dir_options options = tier_options(1);
	struct tier_segment seg = {.place = 0};
	struct tier_listing listing = {0};
	struct tier *tier = tier_open_new(&options);
	char path[200];
	size_t i;
	int fd;

	(void)state;
	for (seg.id = 1; seg.id <= 600; seg.id++) {
		assert_int_equal(tier_segment_create(tier, seg), 0);
		assert_int_equal(tier_write(tier, seg, "hello", 5, 0, TIER_FOREGROUND), 0);
	}
	for (i = 0; i < 5; i++) {
		snprintf(path, sizeof(path), "%s/segments/ff/%s", tier_dirs.paths[0], strangers[i]);
		fd = open(path, O_CREAT | O_WRONLY, 0600);
		assert_true(fd >= 0);
		close(fd);
	}
	assert_int_equal(tier_list(tier, 0, tier_list_one, &listing), 0);
	assert_int_equal(listing.count, 600);
	assert_int_equal(listing.ids, 600 * 601 / 2);
	assert_int_equal(listing.len, 600 * 5);
	memset(&listing, 0, sizeof(listing));
	listing.stop_at = 7;
	assert_int_equal(tier_list(tier, 0, tier_list_one, &listing), 42);
	assert_int_equal(listing.count, 7);
	tier_close(tier);
}

static void test_descriptors_are_bounded(void **state)
{
	struct tier_dir_options options = tier_options(1);
	struct tier_segment seg = {.place = 0};
	struct tier *tier = tier_open_new(&options);
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
	struct tier_dir_options options = tier_options(1);
	struct tier_segment seg = {.id = 5, .place = 0};
	struct tier *tier = tier_open_new(&options);
	char path[128], aside[128], c = 0;

	(void)state;
	assert_int_equal(tier_write(tier, seg, &c, 1, 0, TIER_FOREGROUND), -ENOENT);
	assert_int_equal(tier_read(tier, seg, &c, 1, 0, TIER_BULK), -ENOENT);
	assert_int_equal(tier_sync(tier, seg), -ENOENT);
	assert_int_equal(tier_punch(tier, seg, 8192, 0), -ENOENT);
	assert_int_equal(tier_segment_truncate(tier, seg, 0), -ENOENT);
	/* The disk goes away under us: an error of the medium, and nothing is made in its place. */
	snprintf(path, sizeof(path), "%s/segments", tier_dirs.paths[0]);
	snprintf(aside, sizeof(aside), "%s/aside", tier_dirs.paths[0]);
	assert_int_equal(rename(path, aside), 0);
	assert_int_equal(tier_segment_create(tier, seg), -EIO);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(rename(aside, path), 0);
	assert_int_equal(tier_segment_create(tier, seg), 0);
	/* A folder that cannot be listed is an error, not an empty one. */
	snprintf(path, sizeof(path), "%s/segments/77", tier_dirs.paths[0]);
	assert_int_equal(close(open(path, O_CREAT | O_WRONLY, 0600)), 0);
	log_captured();
	assert_int_equal(tier_list(tier, 0, tier_list_one, &(struct tier_listing){0}), -ENOTDIR);
	assert_non_null(strstr(log_captured(), "cannot list"));
	tier_close(tier);
	assert_int_equal(tier_dir_open(&tier, &options), -ENOTDIR);
	assert_null(tier);
}

static void test_options_that_make_no_sense(void **state)
{
	struct tier_dir_options options = tier_options(0);
	char file[128];
	const char *paths[] = {file};
	struct tier *tier;

	(void)state;
	assert_int_equal(tier_dir_format(&options), -EINVAL);
	assert_int_equal(tier_dir_open(&tier, &options), -EINVAL);
	options = tier_options(1);
	options.tier_id = 64;
	assert_int_equal(tier_dir_format(&options), -EINVAL);
	assert_int_equal(tier_dir_open(&tier, &options), -EINVAL);
	options = tier_options(1);
	options.paths = paths;
	snprintf(file, sizeof(file), "%s/file", tier_dirs.root);
	assert_int_equal(close(open(file, O_CREAT | O_WRONLY, 0600)), 0);
	assert_int_equal(tier_dir_format(&options), -ENOTDIR);
	expect_open(&options, -ENOTDIR, "not a directory");
	memset(file, 'x', sizeof(file) - 1);
	file[0] = '/';
	file[sizeof(file) - 1] = '\0';
	assert_int_equal(tier_dir_format(&options), -ENOENT);
}

#define ON_DISK(test)	cmocka_unit_test_setup_teardown(test, tier_on_disk, tier_teardown)
#define IN_MEMORY(test) cmocka_unit_test_setup_teardown(test, tier_in_memory, tier_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_DISK(test_label_of_another_pool_or_tier_is_refused),
		ON_DISK(test_missing_empty_and_occupied_directories),
		ON_DISK(test_format_is_all_or_nothing),
		ON_DISK(test_damaged_and_newer_labels_are_refused),
		ON_DISK(test_read_only_and_unwritable_directories),
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
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
