// SPDX-License-Identifier: Apache-2.0
/*
 * Sequential access, timed where it happens:
 *
 *   stream write SOURCE FILE [fsync]   the bytes of SOURCE, mapped before the clock starts
 *   stream read FILE [SECONDS]         once; with SECONDS again and again for that long
 *
 * In steps of 1 MiB, from open to close. Prints MB/s (of 2^20 bytes).
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define STEP ((size_t)1 << 20)

static double now(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static int fails(const char *what)
{
	perror(what);
	return 1;
}

static int write_all(int fd, const char *buf, size_t len)
{
	while (len) {
		ssize_t n = write(fd, buf, len < STEP ? len : STEP);

		if (n < 0)
			return -1;
		buf += n;
		len -= (size_t)n;
	}
	return 0;
}

static int do_write(const char *source, const char *path, int sync)
{
	int from = open(source, O_RDONLY), fd;
	struct stat st;
	double begin;
	char *buf;

	if (from < 0 || fstat(from, &st) != 0)
		return fails(source);
	buf = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED | MAP_POPULATE, from, 0);
	if (buf == MAP_FAILED)
		return fails(source);
	begin = now();
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	if (fd < 0 || write_all(fd, buf, (size_t)st.st_size) != 0 || (sync && fsync(fd) != 0) ||
	    close(fd) != 0)
		return fails(path);
	printf("%.1f\n", (double)st.st_size / (double)STEP / (now() - begin));
	return 0;
}

static int do_read(const char *path, double least)
{
	static char buf[STEP];
	double begin = now(), took, bytes = 0;

	do {
		int fd = open(path, O_RDONLY);
		ssize_t n;

		if (fd < 0)
			return fails(path);
		while ((n = read(fd, buf, sizeof(buf))) > 0)
			bytes += (double)n;
		if (n < 0 || close(fd) != 0)
			return fails(path);
		took = now() - begin;
	} while (took < least);
	printf("%.1f\n", bytes / (double)STEP / took);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc >= 4 && argc <= 5 && !strcmp(argv[1], "write"))
		return do_write(argv[2], argv[3], argc == 5 && !strcmp(argv[4], "fsync"));
	if (argc >= 3 && argc <= 4 && !strcmp(argv[1], "read"))
		return do_read(argv[2], argc == 4 ? atof(argv[3]) : 0);
	fprintf(stderr, "usage: stream write SOURCE FILE [fsync] | read FILE [SECONDS]\n");
	return 2;
}
