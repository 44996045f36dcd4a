// SPDX-License-Identifier: Apache-2.0
/* Mappings, and writes that go past the cache: each must see what the other did. */
#include <linux/falloc.h>
#include <signal.h>
#include <setjmp.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "posix.h"

#define PAGE 4096u

static sigjmp_buf jump;

static void on_bus(int sig)
{
	siglongjmp(jump, sig);
}

static char *map_of(int fd, size_t len, int prot, int flags)
{
	char *map = mmap(NULL, len, prot, flags, fd, 0);

	CHECK(map != MAP_FAILED);
	return map;
}

static void write_at(int fd, char byte, size_t len, off_t off)
{
	char *buf = malloc(len);

	CHECK(buf != NULL);
	memset(buf, byte, len);
	CHECK(pwrite(fd, buf, len, off) == (ssize_t)len);
	free(buf);
}

static char byte_at(int fd, off_t off)
{
	char byte;

	CHECK(pread(fd, &byte, 1, off) == 1);
	return byte;
}

static void case_private(void)
{
	int fd = open("file", O_RDWR | O_CREAT, 0644);
	char *map;

	write_at(fd, 'a', 3 * PAGE, 0);
	map = map_of(fd, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	CHECK(map[0] == 'a');
	memset(map, 'p', PAGE);
	CHECK(byte_at(fd, 0) == 'a'); /* a copy of one's own */
	write_at(fd, 'b', 3 * PAGE, 0);
	CHECK(map[0] == 'p' && map[PAGE] == 'b');
	CHECK(msync(map, 3 * PAGE, MS_SYNC) == 0 && byte_at(fd, 0) == 'b');
	munmap(map, 3 * PAGE);
	close(fd);
	fd = open("file", O_RDONLY);
	CHECK(mmap(NULL, PAGE, PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED && errno == EACCES);
	map = map_of(fd, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	close(fd);
	CHECK(unlink("file") == 0 && map[PAGE - 1] == 'b'); /* the mapping holds the file */
	map[0] = 'x';
	munmap(map, PAGE);
}

static void case_truncate(void)
{
	int fd = open("file", O_RDWR | O_CREAT, 0644);
	struct sigaction action = {.sa_handler = on_bus};
	char *map;

	sigaction(SIGBUS, &action, NULL);
	write_at(fd, 'a', 4 * PAGE, 0);
	map = map_of(fd, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	memset(map, 'm', 4 * PAGE);
	CHECK(ftruncate(fd, PAGE + 100) == 0);
	CHECK(map[PAGE + 99] == 'm' && map[PAGE + 100] == 0); /* the rest of the page is zero */
	if (sigsetjmp(jump, 1) == 0) {
		map[2 * PAGE] = 'x';
		check_failed(__FILE__, __LINE__, "a page behind the end can be written");
	}
	CHECK(ftruncate(fd, 4 * PAGE) == 0);
	CHECK(map[PAGE + 99] == 'm' && map[PAGE + 100] == 0 && map[2 * PAGE] == 0);
	CHECK(byte_at(fd, PAGE + 200) == 0 && byte_at(fd, 3 * PAGE) == 0);
	map[3 * PAGE] = 'e';
	CHECK(msync(map, 4 * PAGE, MS_SYNC) == 0 && byte_at(fd, 3 * PAGE) == 'e');
	munmap(map, 4 * PAGE);
	CHECK(close(fd) == 0);
}

/* A hole that is mapped, punched and filled again. */
static void case_holes(void)
{
	int fd = open("file", O_RDWR | O_CREAT, 0644);
	char *map;

	CHECK(ftruncate(fd, 64 * PAGE) == 0);
	map = map_of(fd, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	for (size_t i = 0; i < 64; i += 2)
		map[i * PAGE + 5] = (char)('a' + i % 20);
	CHECK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 8 * PAGE, 8 * PAGE) == 0);
	for (size_t i = 0; i < 64; i++) {
		char wanted = i % 2 || (i >= 8 && i < 16) ? 0 : (char)('a' + i % 20);

		CHECK(map[i * PAGE + 5] == wanted && byte_at(fd, (off_t)(i * PAGE + 5)) == wanted);
	}
	map[10 * PAGE] = 'n';
	CHECK(msync(map, 64 * PAGE, MS_ASYNC) == 0 && msync(map, 64 * PAGE, MS_SYNC) == 0);
	CHECK(byte_at(fd, 10 * PAGE) == 'n');
	munmap(map, 64 * PAGE);
	/* the descriptor is not needed for what was mapped */
	map = map_of(fd, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	close(fd);
	map[1] = 'k';
	munmap(map, PAGE);
	fd = open("file", O_RDONLY);
	CHECK(byte_at(fd, 1) == 'k');
	close(fd);
}

static void case_direct(void)
{
	char *buf = aligned_alloc(PAGE, 4 * PAGE), *map;
	int direct = open("file", O_RDWR | O_CREAT | O_DIRECT, 0644);
	int plain = open("file", O_RDWR);

	CHECK(buf != NULL && direct >= 0 && plain >= 0);
	write_at(plain, 'c', 4 * PAGE, 0); /* dirty in the cache */
	CHECK(pread(direct, buf, 4 * PAGE, 0) == 4 * PAGE && buf[0] == 'c' &&
	      buf[4 * PAGE - 1] == 'c');
	map = map_of(plain, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	map[2 * PAGE] = 'm';
	CHECK(pread(direct, buf, PAGE, 2 * PAGE) == PAGE && buf[0] == 'm');
	memset(buf, 'd', PAGE);
	CHECK(pwrite(direct, buf, PAGE, PAGE) == PAGE);
	CHECK(map[PAGE] == 'd' && byte_at(plain, PAGE) == 'd' && map[2 * PAGE] == 'm');
	memset(buf, 'e', 4 * PAGE); /* over the end */
	CHECK(pwrite(direct, buf, 4 * PAGE, 3 * PAGE) == 4 * PAGE);
	CHECK(lseek(plain, 0, SEEK_END) == 7 * PAGE && byte_at(plain, 7 * PAGE - 1) == 'e');
	CHECK(ftruncate(direct, 100) == 0 && pread(direct, buf, PAGE, 0) == 100);
	CHECK(pread(direct, buf, PAGE, PAGE) == 0);
	close(direct);
	close(plain);
	direct = open("file", O_WRONLY | O_DIRECT | O_APPEND);
	memset(buf, 'f', PAGE);
	CHECK(truncate("file", PAGE) == 0 && write(direct, buf, PAGE) == PAGE);
	CHECK(stat_of("file").st_size == 2 * PAGE);
	close(direct);
	free(buf);
}

static void case_sync(void)
{
	static const int flags[] = {O_SYNC, O_DSYNC, O_SYNC | O_APPEND, O_DIRECT | O_SYNC};
	char *buf = aligned_alloc(PAGE, PAGE), name[16];

	CHECK(buf != NULL);
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		int fd;

		snprintf(name, sizeof(name), "file-%zu", i);
		fd = open(name, O_WRONLY | O_CREAT | flags[i], 0644);
		memset(buf, (char)('a' + i), PAGE);
		CHECK(fd >= 0 && write(fd, buf, PAGE) == PAGE && write(fd, buf, PAGE) == PAGE);
		CHECK(fsync(fd) == 0 && fdatasync(fd) == 0 && close(fd) == 0);
		CHECK(stat_of(name).st_size == 2 * PAGE);
	}
	free(buf);
}

static void case_vectors(void)
{
	char a[10] = "0123456789", b[5000], c[3];
	struct iovec out[3] = {{a, 10}, {b, sizeof(b)}, {a, 3}}, in[2] = {{c, 3}, {b, 100}};
	int fd = open("file", O_RDWR | O_CREAT, 0644);

	memset(b, 'b', sizeof(b));
	CHECK(writev(fd, out, 3) == 5013 && stat_of("file").st_size == 5013);
	CHECK(preadv(fd, in, 2, 8) == 103 && memcmp(c, "89b", 3) == 0);
	CHECK(pwritev(fd, out, 1, 5010) == 10 && stat_of("file").st_size == 5020);
	CHECK(preadv(fd, in, 2, 5019) == 1 && c[0] == '9');
	CHECK(lseek(fd, 0, SEEK_CUR) == 5013);
	CHECK(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0 && byte_at(fd, 5) == '5');
	close(fd);
}

/* Two processes with mappings and one with write(2), all at other bytes of the same pages. */
static void case_together(void)
{
	const size_t len = 50 * PAGE;
	int fd = open("file", O_RDWR | O_CREAT, 0644), status;
	char *map;

	CHECK(ftruncate(fd, (off_t)len) == 0);
	for (size_t who = 0; who < 3; who++) {
		pid_t child = fork();

		CHECK(child >= 0);
		if (child != 0)
			continue;
		map = map_of(fd, len, PROT_READ | PROT_WRITE, MAP_SHARED);
		for (size_t i = who; i < len; i += 3)
			if (who < 2)
				map[i] = (char)('a' + who);
			else if (i % 64 < 3)
				CHECK(pwrite(fd, "w", 1, (off_t)i) == 1);
		_exit(0);
	}
	for (int who = 0; who < 3; who++)
		CHECK(wait(&status) > 0 && status == 0);
	map = map_of(fd, len, PROT_READ, MAP_SHARED);
	for (size_t i = 0; i < len; i++)
		CHECK(map[i] == (i % 3 < 2 ? (char)('a' + i % 3) : i % 64 < 3 ? 'w' : 0));
	munmap(map, len);
	close(fd);
}

static const struct posix_case cases[] = {
	{"private", case_private},   {"truncate", case_truncate}, {"holes", case_holes},
	{"direct", case_direct},     {"sync", case_sync},	  {"vectors", case_vectors},
	{"together", case_together},
};

POSIX_MAIN(cases)
