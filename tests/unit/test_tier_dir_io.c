// SPDX-License-Identifier: Apache-2.0
/* Transfers of the directory tier: on disk and in memory, sync that is shared and final, many
 * threads, and every system call failing in turn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/fix_fault.h"
#include "tests/unit/fix_tier.h"
#include "tiers/io.h"
#include "tiers/tier.h"

/* Transfers ------------------------------------------------------------------------------------ */

/* Random ranges through every way of writing and reading, against a copy in memory. */
static void transfers(int direct)
{
	enum { LIMIT = 12 << 20 };
	static const size_t sizes[] = {1,      100,    4096,	35000,
				       262144, 300001, 1 << 20, (3 << 20) + 77};
	struct tier_dir_options options = tier_options(1);
	struct tier_segment seg = {.id = 0x1ff, .place = 0};
	uint8_t *model = calloc(1, LIMIT), *buf = malloc(LIMIT);
	uint64_t end = 0;
	struct tier *tier;
	unsigned n, seed = 7;

	options.direct = direct;
	tier = tier_open_new(&options);
	assert_non_null(model);
	assert_non_null(buf);
	assert_int_equal(tier_segment_create(tier, seg), 0);
	assert_int_equal(tier_segment_create(tier, seg), -EEXIST);
	for (n = 0; end + (4 << 20) < LIMIT; n++) {
		size_t len = sizes[(unsigned)rand_r(&seed) % 8];
		/* Aligned and odd memory addresses. */
		uint8_t *from = model + end;

		fill_noise(from, len, n);
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
	struct tier_dir_options options = tier_options(1);
	struct tier *tier;

	(void)state;
	options.direct = 1;
	tier = tier_open_new(&options);
	assert_int_equal(tier->caps & TIER_CAP_DIRECT, 0);
	assert_int_equal(tier->caps & TIER_CAP_PUNCH, TIER_CAP_PUNCH);
	assert_non_null(strstr(log_captured(), "no direct I/O"));
	tier_close(tier);
}

/* Sync ----------------------------------------------------------------------------------------- */

static void test_sync_covers_the_name_once_and_clean_ones_cost_nothing(void **state)
{
	struct tier_dir_options options = tier_options(1);
	struct tier_segment seg = {.id = 0x101, .place = 0}, next = {.id = 0x201, .place = 0};
	struct tier *tier = tier_open_new(&options);

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
	struct tier_dir_options options = tier_options(1);
	struct tier_segment seg = {.id = 1, .place = 0}, other = {.id = 2, .place = 0};
	struct tier *tier = tier_open_new(&options);
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
	struct tier_dir_options options = tier_options(1);
	struct tier *tier = tier_open_new(&options);
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

		fill_noise(out, sizeof(out), mine.id);
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
	struct tier_dir_options options = tier_options(2);
	struct tier *tier = tier_open_new(&options);
	uint64_t labels = tier_used(tier, 0) + tier_used(tier, 1);
	struct worker workers[4];
	struct tier_listing listing = {0};
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
	assert_int_equal(tier_list(tier, 0, tier_list_one, &listing), 0);
	assert_int_equal(tier_list(tier, 1, tier_list_one, &listing), 0);
	assert_int_equal(listing.count, 1 + 4 * 20);
	assert_int_equal(tier_used(tier, 0) + tier_used(tier, 1), labels + listing.disk);
	tier_close(tier);
}

static void *read_large(void *arg)
{
	struct worker *worker = arg;
	uint8_t *in = malloc(3 << 20), *want = malloc(3 << 20);
	unsigned i;

	fill_noise(want, 3 << 20, 21);
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
	struct tier_dir_options options = tier_options(1);
	struct tier_segment seg = {.id = 1, .place = 0};
	struct tier *tier = tier_open_new(&options);
	uint8_t *buf = malloc(3 << 20);
	struct worker workers[10];
	unsigned i;

	(void)state;
	fill_noise(buf, 3 << 20, 21);
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
	struct tier_dir_options options = tier_options(1);
	struct tier_segment seg = {.id = 1, .place = 0};
	struct tier *tier = tier_open_new(&options);
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
	struct tier_dir_options options = tier_options(1);
	struct tier_segment seg = {.id = 1, .place = 0};
	uint8_t *buf = calloc(1, 200000);
	struct timespec from, to;
	struct tier *tier;
	int64_t ms;

	(void)state;
	options.delay_ns = 10000000;
	options.bandwidth = 2000000;
	tier = tier_open_new(&options);
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
	struct tier_dir_options options = tier_options(1);
	uint8_t *buf = malloc(3 << 20), *in = malloc(3 << 20);
	int fds, error, forever;
	uint64_t n, hits;
	size_t k;

	options.direct = direct;
	fill_noise(buf, 3 << 20, 11);
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
					 tier_dirs.paths[0]);
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
	struct tier_dir_options options = tier_options(2);
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
				snprintf(path, sizeof(path), "%s/terrace.tier", tier_dirs.paths[i]);
				assert_int_equal(access(path, F_OK), -1);
			}
			continue;
		}
		assert_int_equal(tier_dir_open(&tier, &options), 0);
		tier_close(tier);
		for (i = 0; i < 2; i++) {
			snprintf(path, sizeof(path), "%s/terrace.tier", tier_dirs.paths[i]);
			assert_int_equal(unlink(path), 0);
		}
	}
	assert_true(n > 10);
}

#define ON_DISK(test)	cmocka_unit_test_setup_teardown(test, tier_on_disk, tier_teardown)
#define IN_MEMORY(test) cmocka_unit_test_setup_teardown(test, tier_in_memory, tier_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_DISK(test_transfers_direct_where_possible),
		ON_DISK(test_transfers_through_the_page_cache),
		IN_MEMORY(test_transfers_direct_where_possible),
		IN_MEMORY(test_memory_says_it_has_no_direct_io),
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
