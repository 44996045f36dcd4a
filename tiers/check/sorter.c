// SPDX-License-Identifier: Apache-2.0
/*
 * Runs as large as the memory, then one merge of all of them, each read through its part of the
 * same memory. What fits never touches the file.
 */
#include "tiers/check/sorter.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "tiers/io.h"

struct run {
	uint64_t off, end; /* in the file: what is still to be read */
	uint8_t *buf;	   /* its part of the memory */
	size_t at, n;	   /* records in buf */
};

struct sorter {
	size_t record_len, cap, room, n; /* records: at most in memory, room for, there */
	uint8_t *memory, *other;	 /* other: what a merge of two halves needs */
	uint64_t file_end;
	int fd; /* -1: nothing was too much so far */
	struct run *runs;
	size_t nruns, at;
	size_t run_cap;	  /* records of one run in memory while merging */
	struct run *last; /* whose record was handed out */
	bool sorted;
};

int sorter_new(struct sorter **out, size_t record_len, size_t memory)
{
	struct sorter *sorter = calloc(1, sizeof(*sorter));

	if (!sorter)
		return -ENOMEM;
	sorter->fd = -1;
	sorter->record_len = record_len;
	sorter->cap = memory / 2 / record_len;
	*out = sorter;
	return 0;
}

void sorter_free(struct sorter *sorter)
{
	if (!sorter)
		return;
	if (sorter->fd >= 0)
		io_close(sorter->fd);
	free(sorter->memory);
	free(sorter->other);
	free(sorter->runs);
	free(sorter);
}

/* Merges [low, mid) and [mid, high) of `from` into `to`. */
static void merge(const struct sorter *sorter, const uint8_t *from, uint8_t *to, size_t low,
		  size_t mid, size_t high)
{
	size_t len = sorter->record_len, a = low, b = mid;

	for (size_t at = low; at < high; at++) {
		bool left =
			a < mid && (b >= high || memcmp(from + a * len, from + b * len, len) <= 0);

		memcpy(to + at * len, from + (left ? a++ : b++) * len, len);
	}
}

/* By merging, from below: records may come nearly in order, and qsort() may not use the memory that
 * is set aside here. */
static void sort_memory(struct sorter *sorter)
{
	for (size_t width = 1; width < sorter->n; width *= 2) {
		uint8_t *swap = sorter->memory;

		for (size_t low = 0; low < sorter->n; low += 2 * width) {
			size_t mid = low + width < sorter->n ? low + width : sorter->n;
			size_t high = low + 2 * width < sorter->n ? low + 2 * width : sorter->n;

			merge(sorter, sorter->memory, sorter->other, low, mid, high);
		}
		sorter->memory = sorter->other;
		sorter->other = swap;
	}
}

static int file_open(struct sorter *sorter)
{
	const char *dir = getenv("TMPDIR");

	sorter->fd = io_open(dir && *dir ? dir : "/var/tmp", O_RDWR | O_TMPFILE, 0600);
	return sorter->fd < 0 ? sorter->fd : 0;
}

static int spill(struct sorter *sorter)
{
	size_t bytes = sorter->n * sorter->record_len;
	struct run *runs = realloc(sorter->runs, (sorter->nruns + 1) * sizeof(*runs));
	int rc = sorter->fd < 0 ? file_open(sorter) : 0;

	if (!runs)
		return -ENOMEM;
	sorter->runs = runs;
	if (rc < 0)
		return rc;
	sort_memory(sorter);
	rc = io_pwrite_all(sorter->fd, sorter->memory, bytes, sorter->file_end);
	if (rc < 0)
		return rc;
	runs[sorter->nruns++] =
		(struct run){.off = sorter->file_end, .end = sorter->file_end + bytes};
	sorter->file_end += bytes;
	sorter->n = 0;
	return 0;
}

static int grow(struct sorter *sorter)
{
	size_t room = sorter->room ? sorter->room * 4 : 256;
	void *p;

	room = room < sorter->cap ? room : sorter->cap;
	p = realloc(sorter->memory, room * sorter->record_len);
	if (!p)
		return -ENOMEM;
	sorter->memory = p;
	p = realloc(sorter->other, room * sorter->record_len);
	if (!p)
		return -ENOMEM;
	sorter->other = p;
	sorter->room = room;
	return 0;
}

int sorter_add(struct sorter *sorter, const void *record)
{
	int rc = 0;

	if (sorter->n == sorter->cap)
		rc = spill(sorter);
	else if (sorter->n == sorter->room)
		rc = grow(sorter);
	if (rc < 0)
		return rc;
	memcpy(sorter->memory + sorter->n++ * sorter->record_len, record, sorter->record_len);
	return 0;
}

static int run_fill(struct sorter *sorter, struct run *run)
{
	uint64_t left = run->end - run->off;
	size_t bytes = sorter->run_cap * sorter->record_len;
	int rc;

	bytes = left < bytes ? (size_t)left : bytes;
	rc = io_pread_all(sorter->fd, run->buf, bytes, run->off);
	run->off += bytes;
	run->at = 0;
	run->n = bytes / sorter->record_len;
	return rc;
}

/* All that was added is sorted, in memory or in runs. */
static int finish(struct sorter *sorter)
{
	int rc = 0;

	sorter->sorted = true;
	if (!sorter->nruns) {
		sort_memory(sorter);
		return 0;
	}
	if (sorter->n)
		rc = spill(sorter);
	sorter->run_cap = sorter->cap / sorter->nruns;
	if (!rc && !sorter->run_cap)
		return -ENOMEM;
	for (size_t i = 0; !rc && i < sorter->nruns; i++) {
		sorter->runs[i].buf = sorter->memory + i * sorter->run_cap * sorter->record_len;
		rc = run_fill(sorter, &sorter->runs[i]);
	}
	return rc;
}

static const uint8_t *run_record(const struct sorter *sorter, const struct run *run)
{
	return run->buf + run->at * sorter->record_len;
}

/* There are as many runs as the input is larger than the memory: few, so they are simply looked
 * through. */
static int next_of_runs(struct sorter *sorter, const uint8_t **record)
{
	struct run *lowest = NULL;
	int rc = 0;

	if (sorter->last && ++sorter->last->at == sorter->last->n)
		rc = run_fill(sorter, sorter->last);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < sorter->nruns; i++) {
		struct run *run = &sorter->runs[i];

		if (run->at < run->n &&
		    (!lowest || memcmp(run_record(sorter, run), run_record(sorter, lowest),
				       sorter->record_len) < 0))
			lowest = run;
	}
	sorter->last = lowest;
	if (!lowest)
		return -ENOENT;
	*record = run_record(sorter, lowest);
	return 0;
}

int sorter_next(struct sorter *sorter, const uint8_t **record)
{
	int rc = sorter->sorted ? 0 : finish(sorter);

	if (rc < 0)
		return rc;
	if (sorter->nruns)
		return next_of_runs(sorter, record);
	if (sorter->at == sorter->n)
		return -ENOENT;
	*record = sorter->memory + sorter->at++ * sorter->record_len;
	return 0;
}
