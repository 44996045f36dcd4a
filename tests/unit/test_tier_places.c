// SPDX-License-Identifier: Apache-2.0
/* Places of a tier that come and go, gaps between them, appending to those that are open, and the
 * space of directories that share a medium. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/fix_fault.h"
#include "tests/unit/fix_tier.h"
#include "tiers/io.h"
#include "tiers/segment.h"
#include "tiers/space.h"
#include "tiers/tier.h"

#define MIB (1u << 20)

static _Atomic uint64_t last_id;

static int setup(void **state)
{
	last_id = 0;
	return tier_in_memory(state);
}

/* Places --------------------------------------------------------------------------------------- */

static void test_the_label_says_which_place_a_directory_is(void **state)
{
	struct tier_dir_options options = tier_options(3);
	const char *some[] = {tier_dirs.paths[2], tier_dirs.paths[0]};
	struct tier_segment two = {.id = 7, .place = 2}, one = {.id = 8, .place = 1};
	struct tier *tier = tier_open_new(&options);
	struct tier_space space;
	char byte;

	(void)state;
	assert_int_equal(tier_segment_create(tier, two), 0);
	assert_int_equal(tier_write(tier, two, "x", 1, 0, TIER_FOREGROUND), 0);
	tier_close(tier);
	options.paths = some;
	options.npaths = 2;
	assert_int_equal(tier_dir_open(&tier, &options), 0);
	assert_int_equal(tier->nplaces, 3);
	assert_int_equal(tier->present, 5);
	assert_int_equal(tier_read(tier, two, &byte, 1, 0, TIER_FOREGROUND), 0);
	assert_int_equal(byte, 'x');
	/* The gap answers, and is no place to write to. */
	assert_int_equal(tier_segment_create(tier, one), -ENODEV);
	assert_int_equal(tier_read(tier, one, &byte, 1, 0, TIER_FOREGROUND), -ENODEV);
	assert_int_equal(tier_space(tier, 1, &space), -ENODEV);
	assert_int_equal(tier_space(tier, 99, &space), -ENODEV);
	assert_null(tier_place_path(tier, 1));
	assert_string_equal(tier_place_path(tier, 2), tier_dirs.paths[2]);
	tier_close(tier);
}

static void test_directories_come_and_go_while_the_tier_is_open(void **state)
{
	struct tier_dir_options options = tier_options(1);
	struct tier_segment seg = {.id = 9, .place = 1};
	struct tier *tier = tier_open_new(&options);
	const char *all[] = {tier_dirs.paths[1], tier_dirs.paths[0]};
	char path[160], byte;

	(void)state;
	assert_int_equal(tier_place_add(tier, tier_dirs.paths[1], 0), -EEXIST);
	assert_int_equal(tier_place_add(tier, tier_dirs.paths[1], TIER_PLACES_MAX), -EEXIST);
	assert_int_equal(tier_place_add(tier, "/nonexistent/terrace", 1), -ENOENT);
	snprintf(path, sizeof(path), "%s/.", tier_dirs.paths[0]);
	assert_int_equal(tier_place_add(tier, path, 1), -EEXIST); /* known by another name */
	assert_false(tier_has_place(tier, 1));
	assert_int_equal(tier_place_add(tier, tier_dirs.paths[1], 1), 0);
	assert_true(tier_place_closed(tier, 1));
	assert_int_equal(tier_segment_create(tier, seg), 0);
	assert_int_equal(tier_write(tier, seg, "y", 1, 0, TIER_FOREGROUND), 0);
	assert_int_equal(tier_sync(tier, seg), 0);
	tier_close(tier);

	/* It is a place like those made with the pool. */
	options.npaths = 2;
	options.paths = all;
	assert_int_equal(tier_dir_open(&tier, &options), 0);
	assert_int_equal(tier_read(tier, seg, &byte, 1, 0, TIER_FOREGROUND), 0);
	assert_int_equal(byte, 'y');
	assert_int_equal(tier_segment_remove(tier, seg), 0);
	atomic_fetch_or(&tier->closed, 2);
	assert_int_equal(tier_place_remove(tier, 1), 0);
	assert_int_equal(tier_place_remove(tier, 1), -ENODEV);
	snprintf(path, sizeof(path), "%s/terrace.tier", tier_dirs.paths[1]);
	assert_int_equal(access(path, F_OK), -1);
	snprintf(path, sizeof(path), "%s/segments", tier_dirs.paths[1]);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(tier_read(tier, seg, &byte, 1, 0, TIER_FOREGROUND), -ENODEV);
	assert_int_equal(tier_place_add(tier, tier_dirs.paths[2], 1), 0); /* the index again */
	assert_true(tier_used(tier, 1) < 65536);
	assert_string_equal(tier_place_path(tier, 1), tier_dirs.paths[2]);
	tier_close(tier);
	options.npaths = 1;
	assert_int_equal(tier_dir_open(&tier, &options), -ENODATA);
}

static void test_what_a_cut_short_removal_left_is_taken_over(void **state)
{
	struct tier_dir_options options = tier_options(2), other;
	struct tier *tier = tier_open_new(&options);

	(void)state;
	tier_close(tier);
	options.npaths = 1; /* the configuration has lost the second already */
	assert_int_equal(tier_dir_open(&tier, &options), 0);
	assert_int_equal(tier_place_add(tier, tier_dirs.paths[1], 4), 0);
	assert_int_equal(tier->nplaces, 5);
	/* Another tier's, or another pool's, is not. */
	other = tier_options(1);
	other.tier_id = 2;
	other.paths = (const char *const[]){tier_dirs.paths[2]};
	assert_int_equal(tier_dir_format(&other), 0);
	assert_int_equal(tier_place_add(tier, tier_dirs.paths[2], 5), -EEXIST);
	other.tier_id = 1;
	other.pool_uuid = pool_b;
	other.paths = (const char *const[]){tier_dirs.paths[3]};
	assert_int_equal(tier_dir_format(&other), 0);
	assert_int_equal(tier_place_add(tier, tier_dirs.paths[3], 5), -EEXIST);
	tier_close(tier);
}

static void test_adding_fails_at_every_call_and_leaves_nothing(void **state)
{
	struct tier_dir_options options = tier_options(1);
	struct tier *tier = tier_open_new(&options);
	char path[160];
	uint64_t n;
	int error;

	(void)state;
	for (n = 1;; n++) {
		int fds = fault_open_fds();

		fault_arm(FAULT_ALL, n, FAULT_EIO, false);
		error = tier_place_add(tier, tier_dirs.paths[1], 1);
		if (!fault_disarm())
			break;
		snprintf(path, sizeof(path), "%s/terrace.tier", tier_dirs.paths[1]);
		assert_int_equal(!error, !access(path, F_OK));
		assert_int_equal(!error, tier_has_place(tier, 1));
		assert_int_equal(fault_open_fds(), fds);
		if (!error) { /* the call that failed was one that may */
			assert_int_equal(tier_place_remove(tier, 1), 0);
		}
		assert_false(tier_place_closed(tier, 1));
	}
	assert_int_equal(error, 0);
	assert_true(n > 10);
	tier_close(tier);
}

static void test_directories_of_one_medium_count_once(void **state)
{
	struct tier_dir_options options = tier_options(3);
	struct tier *tier = tier_open_new(&options);
	struct tier_space place, room;

	(void)state;
	assert_int_equal(tier_room(tier, &room), 0);
	assert_int_equal(tier_space(tier, 0, &place), 0);
	assert_int_equal(room.total, place.total);
	assert_true(room.free <= room.total);
	assert_true(room.used >= 3 * place.used);
	atomic_fetch_or(&tier->closed, 7);
	assert_int_equal(tier_room(tier, &room), 0);
	assert_int_equal(room.total, place.total);
	assert_int_equal(room.free, 0);
	tier_close(tier);
	options.quota_percent = 10;
	assert_int_equal(tier_dir_open(&tier, &options), 0);
	assert_int_equal(tier_room(tier, &room), 0);
	assert_int_equal(room.total, place.total / 100 * 10);
	tier_close(tier);
}

/* Appending ------------------------------------------------------------------------------------ */

static int next_id(void *arg, uint64_t *id)
{
	(void)arg;
	*id = ++last_id;
	return 0;
}

static struct appender *open_appender(struct tier *tier)
{
	struct appender_options options = {.tier = tier,
					   .pool_uuid = pool_a,
					   .tier_id = 1,
					   .segment_bytes = MIB,
					   .next_id = next_id};
	struct appender *appender;

	assert_int_equal(appender_new(&appender, &options), 0);
	return appender;
}

static void test_nothing_is_appended_to_a_closed_place(void **state)
{
	struct tier_dir_options options = tier_options(2);
	struct tier *tier = tier_open_new(&options);
	struct appender *appender = open_appender(tier);
	unsigned count[3] = {0}, i;
	struct segment_loc loc;

	(void)state;
	for (i = 0; i < 8; i++)
		assert_int_equal(appender_append(appender, "piece", 5, TIER_FOREGROUND, &loc), 0);
	appender_place_close(appender, 0);
	for (i = 0; i < 20; i++) {
		assert_int_equal(appender_append(appender, "piece", 5, TIER_FOREGROUND, &loc), 0);
		assert_int_equal(loc.seg.place, 1);
	}
	appender_place_close(appender, 1);
	assert_int_equal(appender_append(appender, "piece", 5, TIER_FOREGROUND, &loc), -ENOSPC);
	/* What was appended before can be synced and read. */
	assert_int_equal(appender_sync(appender), 0);
	/* A new directory takes part once it is opened. */
	assert_int_equal(tier_place_add(tier, tier_dirs.paths[2], 2), 0);
	assert_int_equal(appender_append(appender, "piece", 5, TIER_FOREGROUND, &loc), -ENOSPC);
	appender_place_open(appender, 2);
	appender_place_open(appender, 0);
	for (i = 0; i < 30; i++) {
		assert_int_equal(appender_append(appender, "piece", 5, TIER_FOREGROUND, &loc), 0);
		count[loc.seg.place]++;
	}
	assert_true(count[0] >= 10 && !count[1] && count[2] >= 10);
	assert_int_equal(appender_sync(appender), 0);
	appender_free(appender);
	tier_close(tier);
}

/* A segment that is being made for a place while that is closed: the piece goes elsewhere. */
static struct tier *closing;

static int next_id_slowly(void *arg, uint64_t *id)
{
	unsigned waits = 0;

	while (closing && !tier_place_closed(closing, 0) && waits++ < 20000)
		usleep(100);
	closing = NULL;
	return next_id(arg, id);
}

struct one_append {
	struct appender *appender;
	struct segment_loc loc;
	int error;
};

static void *append_one(void *arg)
{
	struct one_append *one = arg;

	one->error = appender_append(one->appender, "piece", 5, TIER_FOREGROUND, &one->loc);
	return NULL;
}

static void test_closing_overtakes_an_append(void **state)
{
	struct tier_dir_options options = tier_options(2);
	struct tier *tier = tier_open_new(&options);
	struct appender_options append = {.tier = tier,
					  .pool_uuid = pool_a,
					  .tier_id = 1,
					  .segment_bytes = MIB,
					  .next_id = next_id_slowly};
	struct one_append one = {0};
	pthread_t thread;

	(void)state;
	assert_int_equal(appender_new(&one.appender, &append), 0);
	closing = tier;
	atomic_fetch_or(&tier->closed, 2);
	pthread_create(&thread, NULL, append_one, &one);
	usleep(20000); /* it is making a segment in the first place */
	appender_place_open(one.appender, 1);
	appender_place_close(one.appender, 0);
	pthread_join(thread, NULL);
	assert_int_equal(one.error, -ENOSPC); /* the second was not asked for its room */
	assert_int_equal(appender_append(one.appender, "piece", 5, TIER_FOREGROUND, &one.loc), 0);
	assert_int_equal(one.loc.seg.place, 1);
	appender_free(one.appender);
	tier_close(tier);
}

static void test_closing_waits_for_appends_on_their_way(void **state)
{
	struct tier_dir_options options = tier_options(1);
	struct one_append one = {0};
	struct timespec begin, end;
	struct tier *tier;
	pthread_t thread;

	(void)state;
	options.delay_ns = 100000000;
	tier = tier_open_new(&options);
	one.appender = open_appender(tier);
	assert_int_equal(appender_append(one.appender, "piece", 5, TIER_FOREGROUND, &one.loc), 0);
	pthread_create(&thread, NULL, append_one, &one);
	usleep(30000);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	appender_place_close(one.appender, 0);
	clock_gettime(CLOCK_MONOTONIC, &end);
	pthread_join(thread, NULL);
	assert_int_equal(one.error, 0);
	assert_true((end.tv_sec - begin.tv_sec) * 1000 + (end.tv_nsec - begin.tv_nsec) / 1000000 >
		    30);
	appender_free(one.appender);
	tier_close(tier);
}

struct crowd {
	struct appender *appender;
	struct tier *tier;
	_Atomic bool stop;
	_Atomic uint64_t appended, wrong;
	_Atomic uint32_t closed; /* 1 + the place that is closed for sure */
};

static void *crowd_append(void *arg)
{
	struct crowd *crowd = arg;
	struct segment_loc loc;
	char buf[3000] = {0};

	while (!crowd->stop) {
		uint32_t before = crowd->closed;

		if (appender_append(crowd->appender, buf, sizeof(buf), TIER_FOREGROUND, &loc))
			continue;
		crowd->appended++;
		if (before && before == loc.seg.place + 1 && before == crowd->closed)
			crowd->wrong++;
	}
	return NULL;
}

static void *crowd_look(void *arg)
{
	struct crowd *crowd = arg;
	struct tier_space room;

	while (!crowd->stop) {
		tier_room(crowd->tier, &room);
		appender_sync(crowd->appender);
	}
	return NULL;
}

static void test_places_change_under_writers(void **state)
{
	struct tier_dir_options options = tier_options(2);
	struct tier *tier = tier_open_new(&options);
	struct crowd crowd = {.appender = open_appender(tier), .tier = tier};
	pthread_t threads[4];
	unsigned i;

	(void)state;
	for (i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, i < 3 ? crowd_append : crowd_look, &crowd);
	for (i = 0; i < 60; i++) {
		uint32_t place = i % 2;

		appender_place_close(crowd.appender, place);
		crowd.closed = place + 1;
		usleep(500);
		crowd.closed = 0;
		appender_place_open(crowd.appender, place);
		/* A directory comes and goes; nobody has had time to use it. */
		assert_int_equal(tier_place_add(tier, tier_dirs.paths[2], 2), 0);
		usleep(200);
		assert_int_equal(tier_place_remove(tier, 2), 0);
	}
	crowd.stop = true;
	for (i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(crowd.wrong, 0);
	assert_true(crowd.appended > 0);
	appender_free(crowd.appender);
	tier_close(tier);
}

/* Space ---------------------------------------------------------------------------------------- */

static void test_space_counts_a_medium_once_whoever_uses_it(void **state)
{
	struct tier_dir_options fast = tier_options(1), slow = tier_options(1);
	char path[2][128];
	const char *one[] = {path[0]}, *both[] = {path[1], tier_dirs.paths[1]};
	struct tier *tiers[2];
	struct space *space;
	uint64_t total, free_bytes;

	(void)state;
	if (!dir_fixture_mount(&tier_dirs, 0, 64 * MIB) ||
	    !dir_fixture_mount(&tier_dirs, 1, 32 * MIB))
		skip();
	slow.tier_id = 2;
	slow.name = "hdd";
	/* Two tiers, three directories, two media. */
	snprintf(path[0], sizeof(path[0]), "%s/a", tier_dirs.paths[0]);
	snprintf(path[1], sizeof(path[1]), "%s/b", tier_dirs.paths[0]);
	assert_int_equal(io_make_folder(path[0], 0700), 0);
	assert_int_equal(io_make_folder(path[1], 0700), 0);
	fast.paths = one;
	slow.paths = both;
	slow.npaths = 2;
	tiers[0] = tier_open_new(&fast);
	tiers[1] = tier_open_new(&slow);
	assert_int_equal(space_new(&space, tiers, 2), 0);
	space_totals(space, &total, &free_bytes);
	assert_int_equal(total, 96 * MIB);
	assert_in_range(free_bytes, 92 * MIB, 94 * MIB);
	assert_int_equal(space_reserve(space, 91 * MIB), 0);
	assert_int_equal(space_reserve(space, 4 * MIB), -ENOSPC);
	space_unreserve(space, 91 * MIB);
	/* A closed directory's medium is not counted on, unless others have it too. */
	atomic_fetch_or(&tiers[1]->closed, 2);
	space_refresh(space);
	space_totals(space, &total, &free_bytes);
	assert_int_equal(total, 96 * MIB);
	assert_in_range(free_bytes, 60 * MIB, 63 * MIB);
	atomic_fetch_or(&tiers[1]->closed, 1);
	space_refresh(space);
	space_totals(space, &total, &free_bytes);
	assert_in_range(free_bytes, 60 * MIB, 63 * MIB);
	space_free(space);
	tier_close(tiers[0]);
	tier_close(tiers[1]);

	/* Quotas: each tier's own, and never more than the media have. */
	fast.quota_bytes = 40 * MIB;
	slow.quota_bytes = 200 * MIB;
	assert_int_equal(tier_dir_open(&tiers[0], &fast), 0);
	assert_int_equal(tier_dir_open(&tiers[1], &slow), 0);
	assert_int_equal(space_new(&space, tiers, 2), 0);
	space_totals(space, &total, &free_bytes);
	assert_int_equal(total, 96 * MIB);
	assert_true(free_bytes <= 94 * MIB);
	space_free(space);
	tier_close(tiers[0]);
	tier_close(tiers[1]);
}

static void test_bytes_written_are_off_the_free_ones_at_once(void **state)
{
	struct tier_dir_options options = tier_options(1), second = tier_options(1);
	struct tier_segment seg = {.id = 1, .place = 0};
	struct tier_space before, after, other;
	uint8_t *buf = calloc(1, 4 * MIB);
	struct tier *tier, *twin;
	char first[128], path[128];

	(void)state;
	if (!dir_fixture_mount(&tier_dirs, 0, 64 * MIB)) {
		free(buf);
		skip();
	}
	snprintf(first, sizeof(first), "%s/first", tier_dirs.paths[0]);
	snprintf(path, sizeof(path), "%s/second", tier_dirs.paths[0]);
	assert_int_equal(io_make_folder(first, 0700), 0);
	assert_int_equal(io_make_folder(path, 0700), 0);
	options.paths = (const char *const[]){first};
	tier = tier_open_new(&options);
	second.tier_id = 2;
	second.paths = (const char *const[]){path};
	twin = tier_open_new(&second);
	assert_int_equal(tier_space(twin, 0, &other), 0);
	assert_int_equal(tier_space(tier, 0, &before), 0);
	assert_int_equal(tier_segment_create(tier, seg), 0);
	assert_int_equal(tier_write(tier, seg, buf, 4 * MIB, 0, TIER_FOREGROUND), 0);
	assert_int_equal(tier_space(tier, 0, &after), 0);
	assert_true(after.free + 4 * MIB <= before.free);
	/* The other tier of this medium knows it too. */
	assert_int_equal(tier_space(twin, 0, &after), 0);
	assert_true(after.free + 4 * MIB <= other.free);
	tier_close(tier);
	tier_close(twin);
	free(buf);
}

#define IN_MEMORY(test) cmocka_unit_test_setup_teardown(test, setup, tier_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_MEMORY(test_the_label_says_which_place_a_directory_is),
		IN_MEMORY(test_directories_come_and_go_while_the_tier_is_open),
		IN_MEMORY(test_what_a_cut_short_removal_left_is_taken_over),
		IN_MEMORY(test_adding_fails_at_every_call_and_leaves_nothing),
		IN_MEMORY(test_directories_of_one_medium_count_once),
		IN_MEMORY(test_nothing_is_appended_to_a_closed_place),
		IN_MEMORY(test_closing_overtakes_an_append),
		IN_MEMORY(test_closing_waits_for_appends_on_their_way),
		IN_MEMORY(test_places_change_under_writers),
		IN_MEMORY(test_space_counts_a_medium_once_whoever_uses_it),
		IN_MEMORY(test_bytes_written_are_off_the_free_ones_at_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
