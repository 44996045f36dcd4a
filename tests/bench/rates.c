// SPDX-License-Identifier: Apache-2.0
/*
 * Rates of small operations: rates FOLDER FILES create|touch|stat|read|rename|unlink
 *
 * One thread, FILES files in folders of 1000. create: open, write 4 KiB, close; touch: no bytes.
 * read: open, read, close. rename: to a name in the same folder, and in the next pass back. All but
 * the first two go through the files in a scattered order; stat, read and rename again and again,
 * for half a second at least. Prints operations per second.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PER_FOLDER    1000u
#define LEAST_SECONDS 0.5

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

static int do_touch(unsigned i)
{
	char path[64];

	path_of(i, 'a', path, sizeof(path));
	return mknod(path, S_IFREG | 0644, 0);
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

static int do_rename_back(unsigned i)
{
	char from[64], to[64];

	path_of(i, 'b', from, sizeof(from));
	path_of(i, 'a', to, sizeof(to));
	return rename(from, to);
}

static int do_unlink(unsigned i)
{
	char path[64];

	path_of(i, 'a', path, sizeof(path));
	return unlink(path);
}

static const struct kind {
	const char *name;
	int (*one)(unsigned i);
	int (*other)(unsigned i); /* every second pass; NULL: there is one pass only */
	int scattered, makes;
} kinds[] = {
	{"create", do_create, NULL, 0, 1},
	{"touch", do_touch, NULL, 0, 1},
	{"stat", do_stat, do_stat, 1, 0},
	{"read", do_read, do_read, 1, 0},
	{"rename", do_rename, do_rename_back, 1, 0},
	{"unlink", do_unlink, NULL, 1, 0},
};

static double now(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static int make_folders(unsigned files)
{
	char folder[32];

	for (unsigned i = 0; i <= (files - 1) / PER_FOLDER; i++) {
		snprintf(folder, sizeof(folder), "d%u", i);
		if (mkdir(folder, 0755) != 0) {
			perror(folder);
			return -1;
		}
	}
	return 0;
}

static int pass(const struct kind *kind, int (*one)(unsigned i), unsigned files)
{
	/* 7919 is prime: a permutation for every count that is no multiple of it */
	int scattered = kind->scattered && files % 7919u;

	for (unsigned i = 0; i < files; i++) {
		unsigned at = scattered ? (unsigned)((unsigned long)i * 7919u % files) : i;

		if (one(at) != 0) {
			perror(kind->name);
			return -1;
		}
	}
	return 0;
}

static int run(const struct kind *kind, unsigned files)
{
	double begin, took, passes = 0;

	if (kind->makes && make_folders(files) != 0)
		return 1;
	begin = now();
	do {
		if (pass(kind, kind->one, files) != 0)
			return 1;
		passes++;
		if (kind->other) {
			if (pass(kind, kind->other, files) != 0)
				return 1;
			passes++;
		}
		took = now() - begin;
	} while (kind->other && took < LEAST_SECONDS);
	printf("%.0f\n", files * passes / took);
	return 0;
}

int main(int argc, char **argv)
{
	unsigned files = argc == 4 ? (unsigned)atoi(argv[2]) : 0;

	for (size_t i = 0; i < sizeof(block); i++) /* compresses about threefold */
		block[i] = (char)('a' + (i * i / 7) % 13);
	if (files && chdir(argv[1]) == 0)
		for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++)
			if (!strcmp(kinds[k].name, argv[3]))
				return run(&kinds[k], files);
	fprintf(stderr, "usage: rates FOLDER FILES create|touch|stat|read|rename|unlink\n");
	return 2;
}
