// SPDX-License-Identifier: Apache-2.0
/* Histograms of a medium's times: buckets, quantiles, differences, and that the wrappers of
 * tier.h fill them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tiers/latency.h"
#include "tiers/tier.h"

#define MS UINT64_C(1000000)

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* An access that began so long ago. */
static void took(struct latency *latency, enum latency_kind kind, uint64_t ns)
{
	latency_begin(latency, kind);
	latency_end(latency, kind, now_ns() - ns, 4096, 0);
}

static void test_buckets_are_an_eighth_wide_and_leave_no_gap(void **state)
{
	uint64_t before = 0;

	(void)state;
	assert_int_equal(latency_bucket_end(0), 1024);
	for (unsigned i = 1; i < LATENCY_BUCKETS - 1; i++) {
		uint64_t begin = latency_bucket_end(i - 1), end = latency_bucket_end(i);

		assert_true(end > begin && begin > before);
		assert_true((end - begin) * 8 <= begin);
		before = begin;
	}
	assert_int_equal(latency_bucket_end(LATENCY_BUCKETS - 2), UINT64_C(1) << 36);
	assert_true(UINT64_C(1) << 36 >= 60000 * MS);
	assert_int_equal(latency_bucket_end(LATENCY_BUCKETS - 1), UINT64_MAX);
}

/* Every access lies in the bucket whose edges hold it. */
static void test_accesses_fall_between_the_edges_of_their_bucket(void **state)
{
	static const uint64_t times[] = {3000,	  9500,	     100000,	 MS,
					 17 * MS, 1234 * MS, 60000 * MS, 1000000 * MS};

	(void)state;
	for (size_t t = 0; t < sizeof(times) / sizeof(times[0]); t++) {
		struct latency *latency = calloc(1, sizeof(*latency));
		struct latency_view *view = malloc(sizeof(*view));
		unsigned i = 0;

		took(latency, LATENCY_READ, times[t]);
		latency_look(latency, view);
		assert_int_equal(view->kind[LATENCY_READ].count, 1);
		while (!view->kind[LATENCY_READ].buckets[i])
			i++;
		assert_true(latency_bucket_end(i) > times[t]);
		/* The clock went on a little between the two readings. */
		assert_true(i == 0 || latency_bucket_end(i - 1) <= times[t] + 200 * MS);
		assert_true(view->kind[LATENCY_READ].sum_ns >= times[t]);
		free(view);
		free(latency);
	}
}

static void test_quantiles(void **state)
{
	struct latency_counts counts = {.count = 0};

	(void)state;
	assert_int_equal(latency_quantile(&counts, 0.5), 0);
	counts.buckets[41] = 90; /* about 32 us */
	counts.buckets[121] = 9; /* about 32 ms */
	counts.buckets[LATENCY_BUCKETS - 1] = 1;
	counts.count = 100;
	assert_in_range(latency_quantile(&counts, 0.5), latency_bucket_end(40),
			latency_bucket_end(41));
	assert_in_range(latency_quantile(&counts, 0.9), latency_bucket_end(40),
			latency_bucket_end(41));
	assert_in_range(latency_quantile(&counts, 0.95), latency_bucket_end(120),
			latency_bucket_end(121));
	assert_int_equal(latency_quantile(&counts, 1.0), UINT64_C(1) << 36);
	assert_true(latency_quantile(&counts, 0.2) < latency_quantile(&counts, 0.8));
}

static void test_the_difference_of_two_views_is_what_was_between(void **state)
{
	struct latency *latency = calloc(1, sizeof(*latency));
	struct latency_view *a = malloc(sizeof(*a)), *b = malloc(sizeof(*b));

	(void)state;
	for (unsigned i = 0; i < 100; i++)
		took(latency, LATENCY_READ, 50000);
	latency_look(latency, a);
	for (unsigned i = 0; i < 3; i++)
		took(latency, LATENCY_READ, 400 * MS);
	took(latency, LATENCY_BULK_READ, 900 * MS);
	latency_look(latency, b);
	assert_true(latency_quantile(&b->kind[LATENCY_READ], 0.5) < 40 * MS);
	latency_since(b, a, b);
	assert_int_equal(b->kind[LATENCY_READ].count, 3);
	assert_int_equal(b->kind[LATENCY_READ].bytes, 3 * 4096);
	assert_int_equal(b->kind[LATENCY_BULK_READ].count, 1);
	assert_in_range(latency_quantile(&b->kind[LATENCY_READ], 0.5), 350 * MS, 800 * MS);
	free(a);
	free(b);
	free(latency);
}

static void test_what_failed_is_not_counted(void **state)
{
	struct latency *latency = calloc(1, sizeof(*latency));
	struct latency_view *view = malloc(sizeof(*view));

	(void)state;
	latency_end(latency, LATENCY_READ, latency_begin(latency, LATENCY_READ), 4096, -EIO);
	latency_look(latency, view);
	assert_int_equal(view->kind[LATENCY_READ].count, 0);
	assert_int_equal(view->kind[LATENCY_READ].bytes, 0);
	free(view);
	free(latency);
}

/* Two at once for 40 ms are 40 ms busy, the pause after them is none, and a third adds its own. */
static void test_busy_time_counts_once_what_overlaps(void **state)
{
	struct latency *latency = calloc(1, sizeof(*latency));
	struct latency_view *view = malloc(sizeof(*view));
	uint64_t one, two, begin = now_ns(), busy;

	(void)state;
	one = latency_begin(latency, LATENCY_READ);
	usleep(20000);
	two = latency_begin(latency, LATENCY_BULK_READ);
	usleep(20000);
	latency_end(latency, LATENCY_READ, one, 1000000, 0);
	latency_end(latency, LATENCY_BULK_READ, two, 1000000, 0);
	busy = now_ns() - begin;
	latency_look(latency, view);
	assert_in_range(view->read_busy_ns, 40 * MS - 1000, busy);
	assert_int_equal(view->write_busy_ns, 0);
	assert_in_range(latency_read_rate(view), 2000000 * UINT64_C(1000000000) / busy - 1,
			2000000u * 25u + 20000);
	assert_int_equal(latency_write_rate(view), 0);
	usleep(20000);
	begin = now_ns();
	one = latency_begin(latency, LATENCY_READ);
	usleep(1000);
	latency_end(latency, LATENCY_READ, one, 1, 0);
	busy += now_ns() - begin;
	latency_look(latency, view);
	assert_in_range(view->read_busy_ns, 41 * MS - 1000, busy);
	free(view);
	free(latency);
}

#define HANDS 4
#define EACH  20000u

static void *work(void *arg)
{
	for (unsigned i = 0; i < EACH; i++) {
		uint64_t begin = latency_begin(arg, LATENCY_WRITE);

		latency_end(arg, LATENCY_WRITE, begin, 10, 0);
	}
	return NULL;
}

static void test_many_threads_lose_nothing(void **state)
{
	struct latency *latency = calloc(1, sizeof(*latency));
	struct latency_view *view = malloc(sizeof(*view));
	uint64_t begin = now_ns(), took_ns;
	pthread_t threads[HANDS];

	(void)state;
	for (unsigned i = 0; i < HANDS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, work, latency), 0);
	for (unsigned i = 0; i < HANDS; i++)
		pthread_join(threads[i], NULL);
	took_ns = now_ns() - begin;
	latency_look(latency, view);
	assert_int_equal(view->kind[LATENCY_WRITE].count, HANDS * EACH);
	assert_int_equal(view->kind[LATENCY_WRITE].bytes, HANDS * EACH * 10);
	assert_true(view->write_busy_ns <= took_ns);
	assert_int_equal(latency->busy[1].state & 0xffff, 0);
	free(view);
	free(latency);
}

/* A medium that fails when asked to. */
static int fake_error;

static int fake_write(struct tier *tier, struct tier_segment seg, const void *buf, size_t len,
		      uint64_t off, enum tier_hint hint)
{
	(void)tier, (void)seg, (void)buf, (void)len, (void)off, (void)hint;
	return fake_error;
}

static int fake_read(struct tier *tier, struct tier_segment seg, void *buf, size_t len,
		     uint64_t off, enum tier_hint hint)
{
	(void)tier, (void)seg, (void)off, (void)hint;
	memset(buf, 0, len);
	return fake_error;
}

static int fake_sync(struct tier *tier, struct tier_segment seg)
{
	(void)tier, (void)seg;
	return fake_error;
}

static void test_the_wrappers_of_a_tier_measure(void **state)
{
	static const struct tier_ops ops = {
		.write = fake_write, .read = fake_read, .sync = fake_sync};
	struct tier *tier = calloc(1, sizeof(*tier));
	struct latency_view *view = malloc(sizeof(*view));
	struct tier_segment seg = {.id = 1};
	char buf[100] = "";

	(void)state;
	tier->ops = &ops;
	tier_place_announce(tier, 0);
	assert_int_equal(tier_write(tier, seg, buf, 100, 0, TIER_BULK), 0);
	assert_int_equal(tier_read(tier, seg, buf, 100, 0, TIER_FOREGROUND), 0);
	assert_int_equal(tier_read(tier, seg, buf, 60, 0, TIER_FOREGROUND), 0);
	assert_int_equal(tier_read(tier, seg, buf, 30, 0, TIER_BULK), 0);
	assert_int_equal(tier_read(tier, seg, buf, 0, 0, TIER_BULK), 0);
	assert_int_equal(tier_sync(tier, seg), 0);
	fake_error = -EIO;
	assert_int_equal(tier_read(tier, seg, buf, 60, 0, TIER_FOREGROUND), -EIO);
	assert_int_equal(tier_write(tier, seg, buf, 60, 0, TIER_FOREGROUND), -EIO);
	fake_error = 0;
	latency_look(&tier->latency, view);
	assert_int_equal(view->kind[LATENCY_READ].count, 2);
	assert_int_equal(view->kind[LATENCY_READ].bytes, 160);
	assert_int_equal(view->kind[LATENCY_BULK_READ].count, 1);
	assert_int_equal(view->kind[LATENCY_BULK_READ].bytes, 30);
	assert_int_equal(view->kind[LATENCY_WRITE].count, 1);
	assert_int_equal(view->kind[LATENCY_WRITE].bytes, 100);
	assert_int_equal(view->kind[LATENCY_SYNC].count, 1);
	free(view);
	free(tier);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_buckets_are_an_eighth_wide_and_leave_no_gap),
		cmocka_unit_test(test_accesses_fall_between_the_edges_of_their_bucket),
		cmocka_unit_test(test_quantiles),
		cmocka_unit_test(test_the_difference_of_two_views_is_what_was_between),
		cmocka_unit_test(test_what_failed_is_not_counted),
		cmocka_unit_test(test_busy_time_counts_once_what_overlaps),
		cmocka_unit_test(test_many_threads_lose_nothing),
		cmocka_unit_test(test_the_wrappers_of_a_tier_measure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
