// SPDX-License-Identifier: Apache-2.0
/*
 * Rates of small operations: rates FOLDER FILES
 *
 * One thread, FILES files of 4 KiB in folders of 1000: create (open, write, close), stat, read
 * (open, read, close), rename (to a name in the same folder), unlink. stat, read and unlink go
 * through the files in a scattered order. Prints "NAME OPERATIONS_PER_SECOND" lines.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PER_FOLDER 1000u

static char block[4096];

static void path_of(unsigned i, char kind, char *out, size_t cap)
{
	snprintf(out, cap, "d%u/%c-%u", i / PER_FOLDER, kind, i);
}

static int do_create(unsigned i)
{
	char path[64];
	int fd, bad;

	path_of(i, 'a', path, sizeof(path));
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
	if (fd < 0)
		return -1;
	bad = write(fd, block, sizeof(block)) != (ssize_t)sizeof(block);
	return close(fd) || bad ? -1 : 0;
}

static int do_stat(unsigned i)
{
	char path[64];
	struct stat st;

	path_of(i, 'a', path, sizeof(path));
	return stat(path, &st);
}

static int do_read(unsigned i)
{
	char path[64], got[sizeof(block)];
	int fd, bad;

	path_of(i, 'a', path, sizeof(path));
	fd = open(path, O_RDONLY);
	if (fd < 0)
		return -1;
	bad = read(fd, got, sizeof(got)) != (ssize_t)sizeof(got);
	close(fd);
	return bad ? -1 : 0;
}

static int do_rename(unsigned i)
{
	char from[64], to[64];

	path_of(i, 'a', from, sizeof(from));
	path_of(i, 'b', to, sizeof(to));
	return rename(from, to);
}

static int do_unlink(unsigned i)
{
	char path[64];

	path_of(i, 'b', path, sizeof(path));
	return unlink(path);
}

static double now(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*one)(unsigned i);
		int scattered;
	} kinds[] = {
		{"create", do_create, 0}, {"stat", do_stat, 1},	    {"read", do_read, 1},
		{"rename", do_rename, 1}, {"unlink", do_unlink, 1},
	};
	char folder[32];
	unsigned files;

	if (argc != 3 || chdir(argv[1]) != 0 || (files = (unsigned)atoi(argv[2])) == 0) {
		fprintf(stderr, "usage: rates FOLDER FILES\n");
		return 2;
	}
	for (size_t i = 0; i < sizeof(block); i++) /* compresses about threefold */
		block[i] = (char)('a' + (i * i / 7) % 13);
	for (unsigned i = 0; i <= (files - 1) / PER_FOLDER; i++) {
		snprintf(folder, sizeof(folder), "d%u", i);
		if (mkdir(folder, 0755) != 0) {
			perror(folder);
			return 1;
		}
	}
	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		double begin = now();

		for (unsigned i = 0; i < files; i++) {
			/* 7919 is prime: a permutation for every count that is no multiple of it */
			unsigned at = kinds[k].scattered && files % 7919u
					      ? (unsigned)((unsigned long)i * 7919u % files)
					      : i;

			if (kinds[k].one(at) != 0) {
				perror(kinds[k].name);
				return 1;
			}
		}
		printf("%s %.0f\n", kinds[k].name, files / (now() - begin));
	}
	return 0;
}
