// SPDX-License-Identifier: Apache-2.0
/*
 * What single operations take while a filesystem is busy making things durable:
 *
 *   stalls FOLDER SECONDS MNT
 *
 * One thread creates and deletes files as fast as it can; one asks for everything to be made
 * durable each second (syncfs(2), then fsync(2) of MNT, which is what `terrace sync` does); one
 * measures: an operation each millisecond, in turn create, write (open, write 4 KiB, close), stat
 * (past the kernel's cache), read (4 KiB that the kernel does not hold), unlink.
 *
 * Operations begin by the clock, whether or not the one before has ended: what waits behind a stall
 * counts as late, from the moment at which it should have begun. A loop that measures one operation
 * after the other would see each stall once, and hide it from its percentiles.
 *
 * Prints "NAME P50 P99 MAX" lines, in microseconds.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PERIOD_NS  1000000u
#define LOAD_FILES 1000u
#define BLOCK	   4096u
#define BLOCKS	   8192u /* of the file that is read: 32 MiB */

enum kind { CREATE, WRITE, STAT, READ, UNLINK, KINDS };

static const char *const names[KINDS] = {"create", "write", "stat", "read", "unlink"};
static char block[BLOCK];
static atomic_bool over;
static int big;

static void fatal(const char *what)
{
	perror(what);
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
}

static void wait_until(uint64_t ns)
{
	struct timespec at = {.tv_sec = (time_t)(ns / 1000000000u),
			      .tv_nsec = (long)(ns % 1000000000u)};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) != 0)
		;
}

static void write_file(const char *path, int flags)
{
	int fd = open(path, O_WRONLY | flags, 0644);

	if (fd < 0 || write(fd, block, BLOCK) != BLOCK || close(fd) != 0)
		fatal(path);
}

static void *load(void *arg)
{
	char path[64];

	(void)arg;
	for (unsigned i = 0; !over; i++) {
		snprintf(path, sizeof(path), "load/%u", i);
		write_file(path, O_CREAT | O_EXCL);
		snprintf(path, sizeof(path), "load/%u", i - LOAD_FILES);
		if (i >= LOAD_FILES && unlink(path) != 0)
			fatal(path);
	}
	return NULL;
}

static void *sync_all(void *arg)
{
	int fd = open(arg, O_RDONLY | O_DIRECTORY);

	if (fd < 0)
		fatal(arg);
	while (!over) {
		/* ESTALE: mergerfs, of a file deleted before the kernel had written it back */
		if ((syncfs(fd) != 0 && errno != ESTALE) || fsync(fd) != 0)
			fatal(arg);
		wait_until(now_ns() + 1000000000u);
	}
	close(fd);
	return NULL;
}

/* What comes before the clock: the block to be read leaves the kernel's cache. */
static void prepare(enum kind kind, unsigned round)
{
	off_t at = (off_t)(round * 7919u % BLOCKS) * BLOCK;

	if (kind == READ && posix_fadvise(big, at, BLOCK, POSIX_FADV_DONTNEED) != 0)
		fatal("posix_fadvise");
}

static void operate(enum kind kind, unsigned round)
{
	char path[64], got[BLOCK];
	struct statx st;
	int fd;

	snprintf(path, sizeof(path), "own/%u", round);
	switch (kind) {
	case CREATE:
		fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
		if (fd < 0 || close(fd) != 0)
			fatal(path);
		break;
	case WRITE:
		write_file(path, 0);
		break;
	case STAT:
		if (statx(AT_FDCWD, path, AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &st) != 0)
			fatal(path);
		break;
	case READ:
		if (pread(big, got, BLOCK, (off_t)(round * 7919u % BLOCKS) * BLOCK) != BLOCK)
			fatal("big");
		break;
	default:
		if (unlink(path) != 0)
			fatal(path);
	}
}

static void measure(uint64_t *took[KINDS], unsigned rounds)
{
	uint64_t due = now_ns(), begin, end = 0;

	for (unsigned i = 0; i < rounds * KINDS; i++) {
		enum kind kind = i % KINDS;

		due += PERIOD_NS;
		prepare(kind, i / KINDS);
		if (end < due) {
			wait_until(due);
			begin = now_ns(); /* how late a timer wakes us is not the filesystem's */
		} else {
			begin = due;
		}
		operate(kind, i / KINDS);
		end = now_ns();
		took[kind][i / KINDS] = end - begin;
	}
}

static int compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static void make_files(void)
{
	/* text of a kind: compresses about threefold */
	for (unsigned i = 0; i < BLOCK; i++)
		block[i] = (char)('a' + (i * i / 7) % 13);
	if (mkdir("own", 0755) != 0 || mkdir("load", 0755) != 0)
		fatal("mkdir");
	big = open("big", O_RDWR | O_CREAT | O_EXCL, 0644);
	for (unsigned i = 0; i < BLOCKS; i++)
		if (write(big, block, BLOCK) != BLOCK)
			fatal("big");
	if (fsync(big) != 0 || posix_fadvise(big, 0, 0, POSIX_FADV_RANDOM) != 0)
		fatal("big");
}

int main(int argc, char **argv)
{
	unsigned rounds = argc == 4 ? (unsigned)atoi(argv[2]) * 1000u / KINDS : 0;
	uint64_t *took[KINDS];
	pthread_t threads[2];

	if (!rounds || chdir(argv[1]) != 0) {
		fprintf(stderr, "usage: stalls FOLDER SECONDS MNT\n");
		return 2;
	}
	for (unsigned k = 0; k < KINDS; k++)
		if (!(took[k] = calloc(rounds, sizeof(**took))))
			fatal("calloc");
	make_files();
	if (pthread_create(&threads[0], NULL, load, NULL) != 0 ||
	    pthread_create(&threads[1], NULL, sync_all, argv[3]) != 0)
		fatal("pthread_create");
	measure(took, rounds);
	over = true;
	for (unsigned i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	for (unsigned k = 0; k < KINDS; k++) {
		qsort(took[k], rounds, sizeof(**took), compare);
		printf("%s %.1f %.1f %.1f\n", names[k], (double)took[k][rounds / 2] / 1e3,
		       (double)took[k][rounds * 99 / 100] / 1e3, (double)took[k][rounds - 1] / 1e3);
		free(took[k]);
	}
	return 0;
}
