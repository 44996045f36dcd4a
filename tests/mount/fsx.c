// SPDX-License-Identifier: Apache-2.0
/*
 * One file, all ways to its bytes in random order, each compared with a copy in memory.
 *
 *   fsx FOLDER SECONDS [SEED]
 *
 * The seed is printed first; a difference prints the last operations. (model.c has many files and
 * processes; this one mixes mappings, O_DIRECT, ranges and reopening on the same pages.)
 */
#include <linux/falloc.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <time.h>

#include "posix.h"

#define FILE_MAX (512u * 1024u)
#define PAGE	 4096u
#define HISTORY	 60u

static char model[FILE_MAX], *scratch;
static size_t size;
static int fd, direct;
static uint64_t state, seed;
static char history[HISTORY][96];
static unsigned long steps;

static size_t draw(size_t below)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (size_t)((state >> 11) % below);
}

__attribute__((format(printf, 1, 2))) static void did(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(history[steps++ % HISTORY], sizeof(history[0]), format, args);
	va_end(args);
}

static void wrong(const char *what, size_t off)
{
	int saved = errno;

	for (unsigned long i = steps > HISTORY ? steps - HISTORY : 0; i < steps; i++)
		fprintf(stderr, "  %lu %s\n", i, history[i % HISTORY]);
	errno = saved;
	check_failed(__FILE__, __LINE__, "seed %llu: %s at %zu, size %zu", (unsigned long long)seed,
		     what, off, size);
}

/* Some place and length, often at the edges of pages and of the file. */
static void range(size_t limit, size_t *off, size_t *len)
{
	*off = draw(limit);
	if (!draw(4))
		*off &= ~(size_t)(PAGE - 1);
	*len = 1 + draw(draw(3) ? 20000 : 100);
	if (!draw(5) && size > *off)
		*len = size - *off;
	if (*len > limit - *off)
		*len = limit - *off;
}

static void fill(size_t len)
{
	for (size_t i = 0; i < len; i++)
		scratch[i] = (char)('a' + draw(26));
}

static void put(size_t off, size_t len)
{
	memcpy(model + off, scratch, len);
	if (off + len > size)
		size = off + len;
}

static void compare(const char *what, const char *got, size_t off, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (got[i] != model[off + i])
			wrong(what, off + i);
}

static void do_read(int from, const char *what, size_t off, size_t len)
{
	size_t there = off >= size ? 0 : size - off < len ? size - off : len;

	did("%s %zu+%zu", what, off, len);
	if (pread(from, scratch, len, (off_t)off) != (ssize_t)there)
		wrong("length of a read", off);
	compare(what, scratch, off, there);
}

static void do_write(int to, const char *what, size_t off, size_t len)
{
	did("%s %zu+%zu", what, off, len);
	fill(len);
	if (pwrite(to, scratch, len, (off_t)off) != (ssize_t)len)
		wrong(what, off);
	put(off, len);
}

static void do_truncate(size_t to)
{
	did("truncate %zu to %zu", size, to);
	if (ftruncate(fd, (off_t)to) != 0)
		wrong("truncate", to);
	if (to < size)
		memset(model + to, 0, size - to);
	size = to;
}

static void do_map(bool write, size_t off, size_t len)
{
	size_t map_len = size;
	char *map;

	if (off >= size)
		return;
	if (len > size - off)
		len = size - off; /* behind the end is nobody's business */
	did("map %s %zu+%zu", write ? "write" : "read", off, len);
	map = mmap(NULL, map_len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		wrong("mmap", 0);
	compare("map read", map + off, off, len);
	if (write) {
		fill(len);
		memcpy(map + off, scratch, len);
		put(off, len);
		if (!draw(3) && msync(map, map_len, draw(2) ? MS_SYNC : MS_ASYNC) != 0)
			wrong("msync", 0);
	}
	munmap(map, map_len);
}

static void do_fallocate(int mode, size_t off, size_t len)
{
	bool zeroes = mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE);

	did("fallocate %d %zu+%zu", mode, off, len);
	if (fallocate(fd, mode, (off_t)off, (off_t)len) != 0)
		wrong("fallocate", off);
	if (zeroes && off < size)
		memset(model + off, 0, size - off < len ? size - off : len);
	if (!(mode & FALLOC_FL_KEEP_SIZE) && off + len > size)
		size = off + len;
}

static void do_copy(size_t off, size_t len)
{
	size_t to = draw(FILE_MAX - len + 1);
	off_t in = (off_t)off, out = (off_t)to;

	if (off >= size)
		return;
	if (len > size - off)
		len = size - off;
	if (off < to + len && to < off + len)
		return;
	did("copy %zu+%zu to %zu", off, len, to);
	for (size_t left = len; left;) {
		ssize_t n = copy_file_range(fd, &in, fd, &out, left, 0);

		if (n <= 0)
			wrong("copy_file_range", off);
		left -= (size_t)n;
	}
	memcpy(model + to, model + off, len);
	if (to + len > size)
		size = to + len;
}

static void reopen(const char *path)
{
	did("reopen");
	CHECK(close(fd) == 0 && close(direct) == 0);
	fd = open(path, O_RDWR);
	direct = open(path, O_RDWR | O_DIRECT);
	CHECK(fd >= 0 && direct >= 0);
}

static void step(const char *path)
{
	static const int modes[] = {
		0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		FALLOC_FL_ZERO_RANGE, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE};
	size_t off, len, aligned, pages;

	range(FILE_MAX, &off, &len);
	aligned = off & ~(size_t)(PAGE - 1);
	pages = PAGE * (1 + draw(8));
	if (pages > FILE_MAX - aligned)
		pages = FILE_MAX - aligned;
	switch (draw(16)) {
	case 0:
	case 1:
	case 2:
		do_write(fd, "write", off, len);
		break;
	case 3:
		do_truncate(draw(4) ? draw(FILE_MAX) : off & ~(size_t)(PAGE - 1));
		break;
	case 4:
	case 5:
		do_map(true, off, len);
		break;
	case 6:
		do_map(false, off, len);
		break;
	case 7:
	case 8:
		do_fallocate(modes[draw(5)], off, len);
		break;
	case 9:
		do_copy(off, len);
		break;
	case 10:
		do_write(direct, "direct write", aligned, pages);
		break;
	case 11:
		do_read(direct, "direct read", aligned, pages);
		break;
	case 12:
		did("fsync");
		if ((draw(2) ? fsync(fd) : fdatasync(fd)) != 0)
			wrong("fsync", 0);
		break;
	case 13:
		if (!draw(8))
			reopen(path);
		break;
	default:
		do_read(fd, "read", off, len);
	}
	if (stat_of(path).st_size != (off_t)size)
		wrong("st_size", (size_t)stat_of(path).st_size);
}

int main(int argc, char **argv)
{
	char path[4096];
	time_t end;

	CHECK(argc >= 3);
	seed = argc > 3 ? strtoull(argv[3], NULL, 10)
			: (uint64_t)time(NULL) * 1000 + (uint64_t)getpid();
	state = seed * 2654435761u + 88172645463325252u;
	printf("fsx: seed %llu\n", (unsigned long long)seed);
	fflush(stdout);
	snprintf(path, sizeof(path), "%s/fsx-%d", argv[1], getpid());
	scratch = aligned_alloc(PAGE, FILE_MAX);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0644);
	direct = open(path, O_RDWR | O_DIRECT);
	CHECK(scratch != NULL && fd >= 0 && direct >= 0);
	for (end = time(NULL) + atol(argv[2]); time(NULL) < end;)
		for (int i = 0; i < 50; i++)
			step(path);
	reopen(path);
	do_read(fd, "read", 0, FILE_MAX);
	CHECK(unlink(path) == 0);
	printf("fsx: %lu operations\n", steps);
	return 0;
}
