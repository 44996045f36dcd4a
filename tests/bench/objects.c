// SPDX-License-Identifier: Apache-2.0
/*
 * Rates of libterrace: objects [-f] [-n OBJECTS] [-s BYTES] [-t THREADS] [-r ROUNDS] POOL
 *
 * Puts objects of BYTES (3000) that compress about 2:1, one by one, in batches of 1000 and from
 * THREADS threads (10); gets them from memory (a set of 1000 that was got before), from the ssd and
 * from the hdd tier, whose files are in the page cache; moves and deletes them in batches. "copy"
 * is what a get cannot be faster than: the same bytes copied out of one array, in the same order.
 * -f: not the hdd tier, whose rows take the longest.
 *
 * The pool must be empty and have tiers named ssd and hdd. So that gets from a tier are not gets
 * from memory, OBJECTS (100000) should be several times what its RAM tier holds.
 *
 * Prints "ROW THREADS NS MIN_NS MAX_NS CPU_NS OBJECTS_PER_SECOND": one thread's time for one
 * object, median, least and most of ROUNDS (7) rounds by the clock, and the median of its processor
 * time, which other load on the machine hardly changes; the rate is that of all threads, by the
 * clock.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/terrace.h"

#define HOT	    1000u
#define BATCH	    1000u
#define ROUNDS_MAX  99u
#define THREADS_MAX 64u
#define HOT_GETS    200000u /* in a round */

struct bench {
	struct terrace *pool;
	const char *file;
	uint64_t *ids;
	unsigned n, size, threads, rounds;
	bool fast;	/* not the hdd tier */
	uint8_t *array; /* HOT objects, for "copy" */
};

struct part { /* of one thread */
	struct bench *bench;
	pthread_t thread;
	unsigned number, of, count;
	int (*run)(struct part *part);
	int error;
	uint64_t cpu_ns;
};

struct times {
	double ns[ROUNDS_MAX], cpu_ns[ROUNDS_MAX];
};

static uint64_t clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static uint64_t now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

static void die(const char *what, int error)
{
	fprintf(stderr, "objects: %s: %s\n", what, strerror(-error));
	exit(1);
}

static uint32_t next_random(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*state >> 33);
}

/* Words, half of them made up. */
static void content(uint8_t *buf, unsigned size, uint64_t seed)
{
	static const char words[] = "tier object frame segment journal checkpoint watermark codec ";

	for (unsigned at = 0; at < size;) {
		uint32_t r = next_random(&seed);
		unsigned n = 4 + r % 8;

		for (unsigned i = 0; i < n && at < size; i++, at++)
			buf[at] = r & 64 ? (uint8_t)words[(r >> 8) % 40 + i]
					 : (uint8_t)next_random(&seed);
	}
}

static void path_of(unsigned i, char *out, size_t cap)
{
	snprintf(out, cap, "d%u/o%u", i / 1000, i);
}

/* Running. ------------------------------------------------------------------------------------- */

static void *part_main(void *arg)
{
	struct part *part = arg;
	uint64_t began = clock_ns(CLOCK_THREAD_CPUTIME_ID);

	part->error = part->run(part);
	part->cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID) - began;
	return NULL;
}

/* Round `i`: `count` objects by each of so many threads. */
static void run_round(struct bench *bench, unsigned threads, unsigned count,
		      int (*run)(struct part *part), const char *row, struct times *times,
		      unsigned round)
{
	struct part parts[THREADS_MAX];
	uint64_t began = now_ns(), cpu_ns = 0;

	for (unsigned i = 0; i < threads; i++) {
		parts[i] = (struct part){
			.bench = bench, .number = i, .of = threads, .count = count, .run = run};
		if (threads > 1)
			pthread_create(&parts[i].thread, NULL, part_main, &parts[i]);
		else
			part_main(&parts[i]);
	}
	for (unsigned i = 0; i < threads; i++) {
		if (threads > 1)
			pthread_join(parts[i].thread, NULL);
		if (parts[i].error)
			die(row, parts[i].error);
		cpu_ns += parts[i].cpu_ns;
	}
	times->ns[round] = (double)(now_ns() - began) / count;
	times->cpu_ns[round] = (double)cpu_ns / count / threads;
}

static int by_value(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static void report(const char *row, unsigned threads, struct times *times, unsigned rounds)
{
	double *ns = times->ns;

	qsort(ns, rounds, sizeof(*ns), by_value);
	qsort(times->cpu_ns, rounds, sizeof(*ns), by_value);
	printf("%-14s %2u %9.0f %9.0f %9.0f %9.0f %10.0f\n", row, threads, ns[rounds / 2], ns[0],
	       ns[rounds - 1], times->cpu_ns[rounds / 2], 1e9 * threads / ns[rounds / 2]);
	fflush(stdout);
}

static void repeat(struct bench *bench, const char *row, unsigned threads, unsigned count,
		   int (*run)(struct part *part))
{
	struct times times;

	for (unsigned i = 0; i < bench->rounds; i++)
		run_round(bench, threads, count, run, row, &times, i);
	report(row, threads, &times, bench->rounds);
}

static void once(struct bench *bench, const char *row, unsigned threads, unsigned count,
		 int (*run)(struct part *part))
{
	struct times times;

	run_round(bench, threads, count, run, row, &times, 0);
	report(row, threads, &times, 1);
}

/* Rows. ---------------------------------------------------------------------------------------- */

/* Thread k of n takes every n-th of its third of all: singles, batches, threads. */
static int put_range(struct part *part, unsigned first, bool batches)
{
	struct bench *bench = part->bench;
	static _Thread_local char paths[BATCH][24];
	struct terrace_item *items = calloc(BATCH, sizeof(*items));
	uint8_t *data = malloc((size_t)BATCH * bench->size);
	unsigned some = batches ? BATCH : 1;
	int r = 0;

	for (unsigned done = 0; done < part->count && !r; done += some) {
		for (unsigned k = 0; k < some; k++) {
			unsigned i = first + part->number * part->count + done + k;

			path_of(i, paths[k], sizeof(paths[k]));
			content(data + (size_t)k * bench->size, bench->size, i);
			items[k] = (struct terrace_item){.path = paths[k],
							 .buf = data + (size_t)k * bench->size,
							 .len = bench->size};
		}
		r = batches ? terrace_put_many(bench->pool, items, some, TERRACE_FOLDERS)
			    : terrace_put(bench->pool, items->path, items->buf, items->len,
					  TERRACE_FOLDERS, &items->id);
		for (unsigned k = 0; k < some; k++)
			bench->ids[first + part->number * part->count + done + k] = items[k].id;
	}
	free(items);
	free(data);
	return r;
}

static int put_single(struct part *part)
{
	return put_range(part, 0, false);
}

static int put_batch(struct part *part)
{
	return put_range(part, part->bench->n / 4, true);
}

static int put_threads(struct part *part)
{
	return put_range(part, part->bench->n / 2, true);
}

static int get_one(struct bench *bench, uint64_t id, uint8_t *buf)
{
	size_t got;
	int r = terrace_get(bench->pool, id, buf, bench->size, 0, &got);

	return r ? r : got == bench->size ? 0 : -5;
}

static int get_hot(struct part *part)
{
	struct bench *bench = part->bench;
	uint64_t random = part->number + 1;
	uint8_t *buf = malloc(bench->size);
	int r = 0;

	for (unsigned i = 0; i < part->count && !r; i++)
		r = get_one(bench, bench->ids[next_random(&random) % HOT], buf);
	free(buf);
	return r;
}

static int copy_hot(struct part *part)
{
	struct bench *bench = part->bench;
	uint64_t random = part->number + 1;
	uint8_t *buf = malloc(bench->size);

	for (unsigned i = 0; i < part->count; i++) {
		memcpy(buf, bench->array + (size_t)(next_random(&random) % HOT) * bench->size,
		       bench->size);
		__asm__ volatile("" : : "r"(buf) : "memory");
	}
	free(buf);
	return 0;
}

static int get_any(struct part *part)
{
	struct bench *bench = part->bench;
	uint64_t random = now_ns() + part->number;
	uint8_t *buf = malloc(bench->size);
	int r = 0;

	for (unsigned i = 0; i < part->count && !r; i++)
		r = get_one(bench, bench->ids[next_random(&random) % bench->n], buf);
	free(buf);
	return r;
}

/* In the order in which they were put: neighbours lie together. */
static int get_in_order(struct part *part)
{
	struct bench *bench = part->bench;
	unsigned at = (unsigned)now_ns() % bench->n;
	uint8_t *buf = malloc(bench->size);
	int r = 0;

	for (unsigned i = 0; i < part->count && !r; i++)
		r = get_one(bench, bench->ids[(at + i) % bench->n], buf);
	free(buf);
	return r;
}

static int delete_batch(struct part *part)
{
	struct terrace_item *items = calloc(part->count, sizeof(*items));
	int r;

	for (unsigned i = 0; i < part->count; i++)
		items[i].id = part->bench->ids[i];
	r = terrace_delete_many(part->bench->pool, items, part->count, 0);
	free(items);
	return r;
}

static int demote(struct part *part)
{
	return terrace_move(part->bench->pool, part->bench->ids, part->count, "hdd");
}

static int promote(struct part *part)
{
	return terrace_move(part->bench->pool, part->bench->ids, part->count, "ssd");
}

static int sync_all(struct part *part)
{
	return terrace_sync(part->bench->pool);
}

/* Memory forgets; the page cache does not. */
static void reopen(struct bench *bench)
{
	int r = bench->pool ? terrace_close(bench->pool) : 0;

	if (!r)
		r = terrace_open(bench->file, NULL, &bench->pool);
	if (r)
		die(bench->file, r);
}

static void read_tier(struct bench *bench, const char *tier)
{
	struct times times;
	char row[32];

	reopen(bench);
	run_round(bench, 1, bench->n, get_in_order, tier, &times, 0); /* into the page cache */
	snprintf(row, sizeof(row), "get-%s-any", tier);
	repeat(bench, row, 1, bench->n / 20, get_any);
	repeat(bench, row, bench->threads, bench->n / 20, get_any);
	snprintf(row, sizeof(row), "get-%s-order", tier);
	repeat(bench, row, 1, bench->n / 10, get_in_order);
}

static void read_memory(struct bench *bench)
{
	struct times times;

	repeat(bench, "copy", 1, HOT_GETS, copy_hot);
	for (unsigned i = 0; i < 3; i++)
		run_round(bench, 1, 10 * HOT, get_hot, "get-ram", &times, 0);
	repeat(bench, "get-ram", 1, HOT_GETS, get_hot);
	repeat(bench, "copy", bench->threads, HOT_GETS / 4, copy_hot);
	repeat(bench, "get-ram", bench->threads, HOT_GETS / 4, get_hot);
}

static void show_reuse(struct bench *bench)
{
	struct terrace_stats stats;

	terrace_stats(bench->pool, &stats);
	printf("# buffers: %llu reused, %llu made, %.2f %% reuse; %llu objects in %llu MiB\n",
	       (unsigned long long)stats.buffers_reused, (unsigned long long)stats.buffers_made,
	       100.0 * (double)stats.buffers_reused /
		       (double)(stats.buffers_reused + stats.buffers_made + 1),
	       (unsigned long long)stats.objects, (unsigned long long)stats.cache_bytes >> 20);
}

static void run(struct bench *bench)
{
	unsigned quarter = bench->n / 4, each = bench->n / 2 / bench->threads / BATCH * BATCH;

	once(bench, "put", 1, quarter, put_single);
	once(bench, "put-batch", 1, quarter, put_batch);
	once(bench, "put-batch", bench->threads, each, put_threads);
	bench->n = 2 * quarter + each * bench->threads;
	once(bench, "sync", 1, 1, sync_all);
	read_memory(bench);
	read_tier(bench, "ssd");
	show_reuse(bench);
	if (!bench->fast) {
		once(bench, "demote", 1, bench->n, demote);
		read_tier(bench, "hdd");
		once(bench, "promote", 1, bench->n, promote);
	}
	once(bench, "delete-batch", 1, bench->n, delete_batch);
}

static int usage(void)
{
	fprintf(stderr,
		"usage: objects [-f] [-n OBJECTS] [-s BYTES] [-t THREADS] [-r ROUNDS] POOL\n");
	return 2;
}

int main(int argc, char **argv)
{
	struct bench bench = {.n = 100000, .size = 3000, .threads = 10, .rounds = 7};
	int c;

	while ((c = getopt(argc, argv, "fn:s:t:r:")) != -1) {
		unsigned value = c == '?' ? 0 : c == 'f' ? 1 : (unsigned)strtoul(optarg, NULL, 10);

		if (!value)
			return usage();
		if (c == 'f') {
			bench.fast = true;
			continue;
		}
		*(c == 'n'   ? &bench.n
		  : c == 's' ? &bench.size
		  : c == 't' ? &bench.threads
			     : &bench.rounds) = value;
	}
	if (argc - optind != 1 || bench.rounds > ROUNDS_MAX || bench.threads > THREADS_MAX)
		return usage();
	bench.n = bench.n / (4 * BATCH) * 4 * BATCH;
	if (bench.n / 2 / bench.threads < BATCH)
		return usage();
	bench.file = argv[optind];
	bench.ids = calloc(bench.n, sizeof(*bench.ids));
	bench.array = calloc(HOT, bench.size);
	if (!bench.ids || !bench.array)
		die("memory", -12);
	for (unsigned i = 0; i < HOT; i++)
		content(bench.array + (size_t)i * bench.size, bench.size, i);
	reopen(&bench);
	run(&bench);
	if (terrace_close(bench.pool))
		die("close", -5);
	free(bench.ids);
	free(bench.array);
	return 0;
}
