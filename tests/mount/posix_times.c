// SPDX-License-Identifier: Apache-2.0
/*
 * What moves which time. Times are compared over a pause that is longer than the kernel's clock
 * tick, so "moved" means later and "stayed" means the same nanosecond.
 */
#include <dirent.h>
#include <linux/falloc.h>
#include <sys/xattr.h>
#include <time.h>

#include "posix.h"

#define PAUSE_US 12000u

static struct stat before;

static int cmp(struct timespec a, struct timespec b)
{
	return a.tv_sec != b.tv_sec ? (a.tv_sec > b.tv_sec) - (a.tv_sec < b.tv_sec)
				    : (a.tv_nsec > b.tv_nsec) - (a.tv_nsec < b.tv_nsec);
}

static void mark(const char *name)
{
	before = stat_of(name);
	usleep(PAUSE_US);
}

/* Which of "amc" have moved since mark(); the others must have stayed. */
static void moved(const char *name, const char *which, const char *after, int line)
{
	struct stat now = stat_of(name);
	char got[4], *p = got;

	if (cmp(now.st_atim, before.st_atim) > 0)
		*p++ = 'a';
	if (cmp(now.st_mtim, before.st_mtim) > 0)
		*p++ = 'm';
	if (cmp(now.st_ctim, before.st_ctim) > 0)
		*p++ = 'c';
	*p = '\0';
	if (strcmp(got, which) != 0)
		check_failed(__FILE__, line, "%s of %s moved '%s' instead of '%s'", after, name,
			     got, which);
}

#define MOVES(name, which, call)                     \
	do {                                         \
		mark(name);                          \
		CHECK(call);                         \
		moved(name, which, #call, __LINE__); \
	} while (0)

static int set_times(const char *name, time_t atime, time_t mtime)
{
	struct timespec times[2] = {{atime, 0}, {mtime, 0}};

	return utimensat(AT_FDCWD, name, times, AT_SYMLINK_NOFOLLOW);
}

static void case_names(void)
{
	CHECK(mkdir("d", 0755) == 0 && mkdir("e", 0755) == 0);
	make_file("file", "x", 0644);
	MOVES("d", "mc", mkdir("d/sub", 0755) == 0);
	MOVES("d", "mc", symlink("x", "d/soft") == 0);
	MOVES("d", "mc", mkfifo("d/fifo", 0600) == 0);
	MOVES("d", "mc", close(open("d/file", O_WRONLY | O_CREAT, 0644)) == 0);
	MOVES("d", "", close(open("d/file", O_WRONLY | O_CREAT, 0644)) == 0);
	MOVES("file", "c", link("file", "d/hard") == 0);
	MOVES("d", "mc", link("file", "d/hard-2") == 0);
	MOVES("file", "c", unlink("d/hard-2") == 0);
	MOVES("d", "mc", unlink("d/hard") == 0);
	MOVES("d", "mc", rmdir("d/sub") == 0);
	MOVES("d", "mc", rename("d/file", "d/renamed") == 0);
	MOVES("d", "mc", rename("d/renamed", "e/renamed") == 0);
	MOVES("e", "mc", rename("e/renamed", "d/back") == 0);
	mark("d/back");
	CHECK(rename("d/back", "d/again") == 0);
	moved("d/again", "c", "its rename", __LINE__);
	mark("d/soft");
	CHECK(rename("d/soft", "e/soft") == 0);
	moved("e/soft", "c", "its rename", __LINE__);
	MOVES("d", "", access("d/missing", F_OK) == -1 && errno == ENOENT);
	MOVES("d", "", mkdir("d/again", 0755) == -1 && errno == EEXIST);
	make_file("d/victim", "x", 0644);
	CHECK(link("d/victim", "kept") == 0);
	MOVES("kept", "c", rename("d/again", "d/victim") == 0); /* it lost a name */
}

static void case_attributes(void)
{
	make_file("file", "text", 0644);
	CHECK(symlink("file", "soft") == 0);
	MOVES("file", "c", chmod("file", 0600) == 0);
	MOVES("file", "c", chown("file", 3, 3) == 0);
	MOVES("file", "c", chown("file", (uid_t)-1, (gid_t)-1) == 0);
	MOVES("soft", "c", lchown("soft", 3, 3) == 0);
	MOVES("file", "c", setxattr("file", "user.x", "1", 1, 0) == 0);
	MOVES("file", "c", removexattr("file", "user.x") == 0);
	MOVES("file", "c", set_times("file", 1, 1) == 0);
	CHECK(stat_of("file").st_atim.tv_sec == 1 && stat_of("file").st_mtim.tv_sec == 1);
	MOVES("soft", "c", set_times("soft", 1, 1) == 0);
	CHECK(stat_of("soft").st_mtim.tv_sec == 1 && stat_of("file").st_atim.tv_sec == 1);
	MOVES("file", "amc", utimensat(AT_FDCWD, "file", NULL, 0) == 0);
	struct timespec only_a[2] = {{7, 8}, {0, UTIME_OMIT}},
			only_m[2] = {{0, UTIME_OMIT}, {9, 1}};

	mark("file");
	CHECK(utimensat(AT_FDCWD, "file", only_a, 0) == 0);
	CHECK(stat_of("file").st_atim.tv_sec == 7 && stat_of("file").st_atim.tv_nsec == 8);
	CHECK(cmp(stat_of("file").st_mtim, before.st_mtim) == 0);
	CHECK(cmp(stat_of("file").st_ctim, before.st_ctim) > 0);
	CHECK(utimensat(AT_FDCWD, "file", only_m, 0) == 0);
	CHECK(stat_of("file").st_mtim.tv_sec == 9 && stat_of("file").st_atim.tv_nsec == 8);
	MOVES("file", "", chmod("missing", 0600) == -1 && errno == ENOENT);
	only_a[1].tv_nsec = 1000000000; /* no such nanosecond */
	CHECK_ERRNO(utimensat(AT_FDCWD, "file", only_a, 0), EINVAL);
}

static int fd;

static void case_data(void)
{
	char *big = calloc(1, 300000);

	CHECK(big != NULL);
	make_file("file", "text", 0644);
	fd = open("file", O_RDWR);
	CHECK(fd >= 0);
	MOVES("file", "mc", write(fd, "x", 1) == 1);
	MOVES("file", "mc", pwrite(fd, big, 300000, 10) == 300000);
	MOVES("file", "", fsync(fd) == 0);
	MOVES("file", "mc", ftruncate(fd, 100) == 0);
	MOVES("file", "mc", ftruncate(fd, 100) == 0); /* the same size as well */
	MOVES("file", "mc", ftruncate(fd, 400000) == 0);
	MOVES("file", "mc", truncate("file", 50) == 0);
	MOVES("file", "mc", fallocate(fd, 0, 0, 100000) == 0);
	MOVES("file", "mc",
	      fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 8192) == 0);
	MOVES("file", "", pwrite(fd, "", 0, 0) == 0);
	close(fd);
	MOVES("file", "", close(open("file", O_WRONLY)) == 0);
	MOVES("file", "mc", close(open("file", O_WRONLY | O_TRUNC)) == 0);
	MOVES("file", "mc", close(open("file", O_WRONLY | O_TRUNC)) == 0); /* empty already */
	make_file("other", "some text to be copied", 0644);
	int from = open("other", O_RDONLY), to = open("file", O_WRONLY);

	CHECK(from >= 0 && to >= 0);
	MOVES("file", "mc", copy_file_range(from, NULL, to, NULL, 10, 0) == 10);
	close(from);
	close(to);
	free(big);
}

/* Times that the caller set stay although its data has still to be written back. */
static void case_set_after_write(void)
{
	struct timespec times[2] = {{1000, 11}, {2000, 22}};
	struct stat st;

	fd = open("file", O_WRONLY | O_CREAT, 0644);
	CHECK(fd >= 0 && write(fd, "data", 4) == 4);
	CHECK(futimens(fd, times) == 0);
	CHECK(fsync(fd) == 0 && close(fd) == 0);
	st = stat_of("file");
	CHECK(st.st_mtim.tv_sec == 2000 && st.st_mtim.tv_nsec == 22);
	CHECK(st.st_atim.tv_sec == 1000 && st.st_atim.tv_nsec == 11);
}

static int read_it(void)
{
	char byte;
	int r = open("file", O_RDONLY);
	ssize_t n = r >= 0 ? read(r, &byte, 1) : -1;

	close(r);
	return n == 1 ? 0 : -1;
}

static int list_it(const char *name)
{
	char buf[1024];
	int r = open(name, O_RDONLY | O_DIRECTORY);
	long n = getdents64(r, buf, sizeof(buf));

	close(r);
	return n > 0 ? 0 : -1;
}

/* As relatime has it: reading moves atime when it is not after the last change, or a day old. */
static void case_relatime(void)
{
	char target[10];

	make_file("file", "text", 0644);
	MOVES("file", "a", read_it() == 0);
	MOVES("file", "", read_it() == 0);
	CHECK(set_times("file", 1000, 2000) == 0); /* changed since it was read */
	MOVES("file", "a", read_it() == 0);
	MOVES("file", "", read_it() == 0);
	CHECK(set_times("file", time(NULL) - 90000, 1000) == 0); /* read, but days ago */
	MOVES("file", "a", read_it() == 0);
	CHECK(chmod("file", 0600) == 0);
	MOVES("file", "a", read_it() == 0); /* ctime counts */
	CHECK(mkdir("d", 0755) == 0);
	MOVES("d", "a", list_it("d") == 0);
	MOVES("d", "", list_it("d") == 0);
	make_file("d/new", "x", 0644);
	MOVES("d", "a", list_it("d") == 0);
	CHECK(symlink("file", "soft") == 0);
	MOVES("soft", "a", readlink("soft", target, sizeof(target)) == 4);
	MOVES("file", "", stat_of("file").st_size == 4 && access("file", R_OK) == 0);
	make_file("quiet", "x", 0644);
	fd = open("quiet", O_RDONLY | O_NOATIME);
	CHECK(fd >= 0);
	mark("quiet");
	CHECK(read(fd, target, 1) == 1 && close(fd) == 0);
	moved("quiet", "", "a read with O_NOATIME", __LINE__);
}

/* For a mount with -o noatime. */
static void case_noatime(void)
{
	char target[10];

	make_file("file", "text", 0644);
	CHECK(mkdir("d", 0755) == 0 && symlink("file", "soft") == 0);
	MOVES("file", "", read_it() == 0);
	CHECK(set_times("file", 1000, 2000) == 0);
	MOVES("file", "", read_it() == 0);
	MOVES("d", "", list_it("d") == 0);
	MOVES("soft", "", readlink("soft", target, sizeof(target)) == 4);
}

/* For a mount with -o strictatime. */
static void case_strictatime(void)
{
	make_file("file", "text", 0644);
	CHECK(mkdir("d", 0755) == 0);
	for (int i = 0; i < 3; i++) {
		MOVES("file", "a", read_it() == 0);
		MOVES("d", "a", list_it("d") == 0);
	}
}

static void case_birth(void)
{
	struct timespec now;
	struct stat st;

	clock_gettime(CLOCK_REALTIME, &now);
	make_file("file", "", 0644);
	st = stat_of("file");
	CHECK(cmp(st.st_atim, st.st_mtim) == 0 && cmp(st.st_mtim, st.st_ctim) <= 0);
	CHECK(st.st_mtim.tv_sec - now.tv_sec <= 1 && now.tv_sec - st.st_mtim.tv_sec <= 1);
	CHECK(mkdir("d", 0755) == 0);
	st = stat_of("d");
	CHECK(cmp(st.st_atim, st.st_mtim) == 0 && cmp(st.st_mtim, st.st_ctim) == 0);
}

static const struct posix_case cases[] = {
	{"names", case_names},
	{"attributes", case_attributes},
	{"data", case_data},
	{"set_after_write", case_set_after_write},
	{"relatime", case_relatime},
	{"noatime", case_noatime},
	{"strictatime", case_strictatime},
	{"birth", case_birth},
};

POSIX_MAIN(cases)
