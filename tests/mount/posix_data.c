// SPDX-License-Identifier: Apache-2.0
/*
 * POSIX behaviour of file data, one case per behaviour: posix_data CASE FOLDER
 * Each case works in an empty folder of the filesystem under test and needs nothing else, so the
 * cases can be tried on any other filesystem too.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "posix.h"

#define KIB 1024L
#define MIB (1024L * 1024L)

static int create(const char *name)
{
	int fd = open(name, O_RDWR | O_CREAT | O_EXCL, 0644);

	CHECK(fd >= 0);
	return fd;
}

static void fill(int fd, char byte, long len, long off)
{
	char *buf = malloc((size_t)len);

	CHECK(buf != NULL);
	memset(buf, byte, (size_t)len);
	CHECK(pwrite(fd, buf, (size_t)len, off) == len);
	free(buf);
}

/* All bytes of [off, off + len) have this value. */
static void expect(int fd, char byte, long len, long off)
{
	char *buf = malloc((size_t)len);

	CHECK(buf != NULL);
	CHECK(pread(fd, buf, (size_t)len, off) == len);
	for (long i = 0; i < len; i++)
		if (buf[i] != byte)
			check_failed(__FILE__, __LINE__, "offset %ld holds %d instead of %d",
				     off + i, buf[i], byte);
	free(buf);
}

static long size_of(int fd)
{
	struct stat st;

	CHECK(fstat(fd, &st) == 0);
	return st.st_size;
}

static void case_seek(void)
{
	int fd = create("holes");

	fill(fd, 'a', MIB, 0);
	fill(fd, 'b', MIB, 8 * MIB);
	CHECK(ftruncate(fd, 16 * MIB) == 0);
	for (int synced = 0; synced < 2; synced++) {
		CHECK(lseek(fd, 0, SEEK_DATA) == 0);
		/* a filesystem may call zeros data, so holes are only bounded from one side */
		CHECK(lseek(fd, 0, SEEK_HOLE) >= MIB);
		CHECK(lseek(fd, 2 * MIB, SEEK_HOLE) == 2 * MIB);
		CHECK(lseek(fd, 4 * MIB, SEEK_DATA) == 8 * MIB);
		CHECK(lseek(fd, 8 * MIB, SEEK_HOLE) == 9 * MIB);
		CHECK_ERRNO(lseek(fd, 10 * MIB, SEEK_DATA), ENXIO);
		CHECK(lseek(fd, 10 * MIB, SEEK_HOLE) == 10 * MIB);
		CHECK_ERRNO(lseek(fd, 16 * MIB, SEEK_DATA), ENXIO);
		CHECK_ERRNO(lseek(fd, 17 * MIB, SEEK_HOLE), ENXIO);
		CHECK(fsync(fd) == 0);
	}
	close(fd);
}

static void case_fallocate(void)
{
	int fd = create("ranges");

	CHECK(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, MIB) == 0);
	CHECK(size_of(fd) == 0);
	CHECK(fallocate(fd, 0, 0, MIB) == 0);
	CHECK(size_of(fd) == MIB);
	expect(fd, 0, MIB, 0);
	fill(fd, 'x', MIB, 0);
	CHECK(fallocate(fd, 0, 0, MIB) == 0); /* what is there stays */
	expect(fd, 'x', MIB, 0);

	CHECK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1000, 300000) == 0);
	CHECK(size_of(fd) == MIB);
	expect(fd, 'x', 1000, 0);
	expect(fd, 0, 300000, 1000);
	expect(fd, 'x', MIB - 301000, 301000);

	CHECK(fallocate(fd, FALLOC_FL_ZERO_RANGE, 500000, 100) == 0);
	expect(fd, 'x', 100, 499900);
	expect(fd, 0, 100, 500000);
	expect(fd, 'x', 100, 500100);
	CHECK(fallocate(fd, FALLOC_FL_ZERO_RANGE, MIB - 10, 100) == 0);
	CHECK(size_of(fd) == MIB + 90);
	expect(fd, 0, 100, MIB - 10);
	CHECK(fallocate(fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, MIB, MIB) == 0);
	CHECK(size_of(fd) == MIB + 90);
	CHECK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 64 * MIB) == 0);
	CHECK(size_of(fd) == MIB + 90);
	expect(fd, 0, MIB + 90, 0);
	CHECK_ERRNO(fallocate(fd, 0, 0, 0), EINVAL);
	close(fd);
}

static void case_truncate(void)
{
	int fd = create("cut");

	fill(fd, 'x', 300 * KIB, 0);
	CHECK(ftruncate(fd, 1001) == 0);
	CHECK(ftruncate(fd, 300 * KIB) == 0); /* what was cut off must not come back */
	expect(fd, 'x', 1001, 0);
	expect(fd, 0, 300 * KIB - 1001, 1001);
	CHECK(fsync(fd) == 0);
	CHECK(ftruncate(fd, 7) == 0);
	CHECK(fsync(fd) == 0);
	fill(fd, 'y', 1, 5000);
	expect(fd, 'x', 7, 0);
	expect(fd, 0, 4993, 7);
	expect(fd, 'y', 1, 5000);
	CHECK(truncate("cut", 0) == 0);
	CHECK(size_of(fd) == 0);
	CHECK_ERRNO(ftruncate(fd, -1), EINVAL);
	CHECK(ftruncate(fd, INT64_MAX) == 0 || errno == EFBIG);
	close(fd);
}

static void case_huge(void)
{
	static const int64_t offsets[] = {0,	     (1LL << 31) - 3, (1LL << 32) - 5,
					  1LL << 40, 1LL << 50,	      INT64_MAX - 4096};
	int fd = create("huge");
	char buf[8];

	for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
		CHECK(pwrite(fd, "12345678", 8, offsets[i]) == 8);
		CHECK(fsync(fd) == 0);
		CHECK(pread(fd, buf, 8, offsets[i]) == 8 && memcmp(buf, "12345678", 8) == 0);
		if (offsets[i] > 0) {
			CHECK(pread(fd, buf, 1, offsets[i] - 1) == 1 && buf[0] == 0);
		}
	}
	CHECK(size_of(fd) == INT64_MAX - 4096 + 8);
	close(fd);
}

static void case_mmap(void)
{
	const long len = 3 * MIB + 123;
	int fd = create("mapped");
	pid_t child;
	int status;
	char *map;

	CHECK(ftruncate(fd, len) == 0);
	map = mmap(NULL, (size_t)len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(map != MAP_FAILED);
	child = fork();
	CHECK(child >= 0);
	if (child == 0) { /* another process with a mapping of its own */
		char *other;
		int again = open("mapped", O_RDWR);

		CHECK(again >= 0);
		other = mmap(NULL, (size_t)len, PROT_READ | PROT_WRITE, MAP_SHARED, again, 0);
		CHECK(other != MAP_FAILED);
		memset(other + MIB, 'c', (size_t)MIB);
		_exit(0);
	}
	memset(map, 'p', (size_t)MIB);
	CHECK(waitpid(child, &status, 0) == child && status == 0);
	CHECK(map[MIB] == 'c' && map[2 * MIB - 1] == 'c' && map[2 * MIB] == 0);
	CHECK(msync(map, (size_t)len, MS_SYNC) == 0);
	expect(fd, 'p', MIB, 0);
	expect(fd, 'c', MIB, MIB);
	fill(fd, 'w', 100, 2 * MIB); /* write(2) shows in the mapping */
	CHECK(map[2 * MIB] == 'w' && map[2 * MIB + 99] == 'w' && map[2 * MIB + 100] == 0);
	map[len - 1] = 'e';
	CHECK(munmap(map, (size_t)len) == 0);
	close(fd);
	fd = open("mapped", O_RDONLY);
	CHECK(fd >= 0);
	expect(fd, 'e', 1, len - 1);
	close(fd);
}

static void case_append(void)
{
	char line[64], seen[4][2000] = {{0}};
	FILE *file;
	int status;

	close(create("log"));
	for (int who = 0; who < 4; who++) {
		pid_t child = fork();

		CHECK(child >= 0);
		if (child != 0)
			continue;
		int fd = open("log", O_WRONLY | O_APPEND);

		CHECK(fd >= 0);
		for (int i = 0; i < 2000; i++) {
			int len = snprintf(line, sizeof(line), "%d %d end\n", who, i);

			CHECK(write(fd, line, (size_t)len) == len);
		}
		_exit(0);
	}
	for (int who = 0; who < 4; who++)
		CHECK(wait(&status) > 0 && status == 0);
	file = fopen("log", "r");
	CHECK(file != NULL);
	while (fgets(line, sizeof(line), file)) {
		int who, i, end = 0;

		CHECK(sscanf(line, "%d %d end%n", &who, &i, &end) == 2 && end > 0);
		CHECK(who >= 0 && who < 4 && i >= 0 && i < 2000 && !seen[who][i]);
		seen[who][i] = 1;
	}
	for (int who = 0; who < 4; who++)
		for (int i = 0; i < 2000; i++)
			CHECK(seen[who][i]);
	fclose(file);
}

static void case_copy_range(void)
{
	off_t in = 100000, out = 7;
	int from = create("from"), to = create("to");
	long done = 0;

	fill(from, 'a', MIB, 0);
	fill(from, 'b', MIB, 3 * MIB); /* a hole lies between */
	while (done < 3 * MIB) {
		ssize_t n = copy_file_range(from, &in, to, &out, (size_t)(3 * MIB - done), 0);

		CHECK(n > 0);
		done += n;
	}
	CHECK(size_of(to) == 3 * MIB + 7);
	expect(to, 0, 7, 0);
	expect(to, 'a', MIB - 100000, 7);
	expect(to, 0, 2 * MIB, MIB - 100000 + 7);
	expect(to, 'b', 100000, 3 * MIB - 100000 + 7);
	fill(from, 'z', 4 * MIB, 0); /* the copy is its own */
	expect(to, 'a', MIB - 100000, 7);
	fill(to, 'y', 1000, 7);
	expect(from, 'z', 4 * MIB, 0);
	in = 4 * MIB;
	out = 0;
	CHECK(copy_file_range(from, &in, to, &out, 10, 0) == 0); /* at the end: nothing */
	in = 0;
	out = 10;
	CHECK_ERRNO(copy_file_range(from, &in, from, &out, 100, 0), EINVAL); /* overlap */
	close(from);
	close(to);
}

static void case_rename_open(void)
{
	int old, new = create("new");

	old = create("name");
	fill(old, 'o', MIB, 0);
	fill(new, 'n', MIB, 0);
	CHECK(rename("new", "name") == 0);
	expect(old, 'o', MIB, 0); /* the replaced file lives on for who has it open */
	fill(old, 'q', 10, MIB);
	CHECK(size_of(old) == MIB + 10);
	expect(new, 'n', MIB, 0);
	close(new);
	new = open("name", O_RDONLY);
	CHECK(new >= 0);
	expect(new, 'n', MIB, 0);
	close(old);
	close(new);
}

static void case_unlinked(void)
{
	struct stat st;
	int fd = create("gone");

	fill(fd, 'a', MIB, 0);
	CHECK(unlink("gone") == 0);
	CHECK(fstat(fd, &st) == 0 && st.st_nlink == 0 && st.st_size == MIB);
	CHECK_ERRNO(open("gone", O_RDONLY), ENOENT);
	fill(fd, 'b', MIB, MIB);
	CHECK(fsync(fd) == 0);
	expect(fd, 'a', MIB, 0);
	expect(fd, 'b', MIB, MIB);
	CHECK(ftruncate(fd, 10) == 0 && fchmod(fd, 0600) == 0);
	CHECK(size_of(fd) == 10);
	close(create("gone")); /* the name is free again */
	expect(fd, 'a', 10, 0);
	close(fd);
}

static void case_locks(void)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 10, .l_len = 10};
	int fd = create("locked"), status;
	pid_t child;

	CHECK(flock(fd, LOCK_EX) == 0 && fcntl(fd, F_SETLK, &lock) == 0);
	child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		int other = open("locked", O_RDWR);

		CHECK(other >= 0);
		CHECK_ERRNO(flock(other, LOCK_SH | LOCK_NB), EWOULDBLOCK);
		CHECK_ERRNO(fcntl(other, F_SETLK, &lock), EAGAIN);
		lock.l_start = 20;
		CHECK(fcntl(other, F_SETLK, &lock) == 0);
		lock.l_start = 15;
		CHECK(fcntl(other, F_GETLK, &lock) == 0 && lock.l_type == F_WRLCK);
		CHECK(lock.l_pid == getppid());
		_exit(0);
	}
	CHECK(waitpid(child, &status, 0) == child && status == 0);
	CHECK(flock(fd, LOCK_UN) == 0);
	close(fd);
}

static void case_direct(void)
{
	char *buf = aligned_alloc(4096, (size_t)MIB);
	int fd = open("direct", O_RDWR | O_CREAT | O_DIRECT, 0644), plain;

	CHECK(buf != NULL && fd >= 0);
	memset(buf, 'd', (size_t)MIB);
	CHECK(pwrite(fd, buf, (size_t)MIB, 4096) == MIB);
	plain = open("direct", O_RDWR);
	CHECK(plain >= 0);
	expect(plain, 0, 4096, 0);
	expect(plain, 'd', MIB, 4096);
	fill(plain, 'p', 4096, 8192);
	CHECK(pread(fd, buf, 8192, 4096) == 8192);
	CHECK(buf[0] == 'd' && buf[4095] == 'd' && buf[4096] == 'p' && buf[8191] == 'p');
	close(fd);
	close(plain);
	free(buf);
}

static const struct posix_case cases[] = {
	{"seek", case_seek},
	{"fallocate", case_fallocate},
	{"truncate", case_truncate},
	{"huge", case_huge},
	{"mmap", case_mmap},
	{"append", case_append},
	{"copy_range", case_copy_range},
	{"rename_open", case_rename_open},
	{"unlinked", case_unlinked},
	{"locks", case_locks},
	{"direct", case_direct},
};

POSIX_MAIN(cases)
