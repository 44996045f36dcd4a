// SPDX-License-Identifier: Apache-2.0
/*
 * POSIX behaviour of names and attributes, one case per behaviour: posix_names CASE FOLDER
 * Each case works in an empty folder of the filesystem under test and needs nothing else.
 */
#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "posix.h"

static void create(const char *name, const char *text, mode_t mode)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_EXCL, mode);

	CHECK(fd >= 0);
	CHECK(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	CHECK(close(fd) == 0);
}

static void expect_text(const char *name, const char *text)
{
	char buf[64] = {0};
	int fd = open(name, O_RDONLY);

	CHECK(fd >= 0);
	CHECK(read(fd, buf, sizeof(buf) - 1) == (ssize_t)strlen(text));
	CHECK(strcmp(buf, text) == 0);
	close(fd);
}

static void case_rename_flags(void)
{
	create("a", "AA", 0644);
	create("b", "B", 0644);
	CHECK(mkdir("d", 0755) == 0 && mkdir("d/sub", 0755) == 0);
	CHECK_ERRNO(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_NOREPLACE), EEXIST);
	expect_text("b", "B");
	CHECK(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_EXCHANGE) == 0);
	expect_text("a", "B");
	expect_text("b", "AA");
	CHECK(renameat2(AT_FDCWD, "a", AT_FDCWD, "d", RENAME_EXCHANGE) == 0); /* file and folder */
	expect_text("d", "B");
	CHECK(access("a/sub", F_OK) == 0);
	CHECK_ERRNO(renameat2(AT_FDCWD, "a", AT_FDCWD, "missing", RENAME_EXCHANGE), ENOENT);
	CHECK(renameat2(AT_FDCWD, "b", AT_FDCWD, "c", RENAME_NOREPLACE) == 0);
	expect_text("c", "AA");
	CHECK_ERRNO(renameat2(AT_FDCWD, "c", AT_FDCWD, "d", RENAME_EXCHANGE | RENAME_NOREPLACE),
		    EINVAL);
}

static void case_rename_rules(void)
{
	struct stat st;

	CHECK(mkdir("d", 0755) == 0 && mkdir("d/e", 0755) == 0 && mkdir("f", 0755) == 0);
	create("file", "x", 0644);
	CHECK_ERRNO(rename("d", "d/e/under"), EINVAL);
	CHECK_ERRNO(rename("file", "d"), EISDIR);
	CHECK_ERRNO(rename("d", "file"), ENOTDIR);
	CHECK_ERRNO(rename("f", "d"), ENOTEMPTY);
	CHECK_ERRNO(rmdir("d"), ENOTEMPTY);
	CHECK_ERRNO(rmdir("file"), ENOTDIR);
	CHECK_ERRNO(unlink("d"), EISDIR);
	CHECK(stat(".", &st) == 0 && st.st_nlink == 4);
	CHECK(rename("d/e", "f/e") == 0); /* a folder changes its parent */
	CHECK(stat("d", &st) == 0 && st.st_nlink == 2);
	CHECK(stat("f", &st) == 0 && st.st_nlink == 3);
	CHECK(rename("d", "f/e") == 0); /* onto an empty folder */
	CHECK(stat("f/e/..", &st) == 0 && st.st_nlink == 3);
	CHECK(rename("file", "file") == 0);
	CHECK(link("file", "two") == 0 && rename("file", "two") == 0); /* same file: no change */
	expect_text("file", "x");
	expect_text("two", "x");
}

static void case_times(void)
{
	static const struct timespec probes[] = {
		{-1, 999999999},	 {-2000000000, 1}, {0, 0},	    {1700000000, 123456789},
		{2147483647, 999999999}, {2147483648, 5},  {4294967296, 7}, {10000000000, 42},
	};
	struct stat before, after;

	create("file", "x", 0644);
	for (size_t i = 0; i < sizeof(probes) / sizeof(probes[0]); i++) {
		struct timespec set[2] = {probes[i], probes[i]};

		set[0].tv_sec++;
		CHECK(utimensat(AT_FDCWD, "file", set, 0) == 0);
		CHECK(stat("file", &after) == 0);
		CHECK(after.st_mtim.tv_sec == probes[i].tv_sec);
		CHECK(after.st_mtim.tv_nsec == probes[i].tv_nsec);
		CHECK(after.st_atim.tv_sec == probes[i].tv_sec + 1);
		CHECK(after.st_atim.tv_nsec == probes[i].tv_nsec);
	}
	before = after;
	struct timespec only[2] = {{0, UTIME_OMIT}, {0, UTIME_NOW}};

	CHECK(utimensat(AT_FDCWD, "file", only, 0) == 0 && stat("file", &after) == 0);
	CHECK(after.st_atim.tv_sec == before.st_atim.tv_sec);
	CHECK(llabs((long long)(after.st_mtim.tv_sec - time(NULL))) < 100);
	before = after;
	CHECK(chmod("file", 0600) == 0 && stat("file", &after) == 0);
	CHECK(after.st_mtim.tv_nsec == before.st_mtim.tv_nsec); /* only ctime moves */
	CHECK(after.st_ctim.tv_sec > before.st_ctim.tv_sec ||
	      (after.st_ctim.tv_sec == before.st_ctim.tv_sec &&
	       after.st_ctim.tv_nsec >= before.st_ctim.tv_nsec));
	CHECK(stat(".", &before) == 0);
	usleep(20000);
	create("other", "x", 0644); /* a new name moves its folder's mtime */
	CHECK(stat(".", &after) == 0);
	CHECK(after.st_mtim.tv_sec > before.st_mtim.tv_sec ||
	      after.st_mtim.tv_nsec != before.st_mtim.tv_nsec);
}

static void case_suid(void)
{
	struct stat st;
	int fd;

	create("prog", "x", 0644);
	CHECK(chmod("prog", 06755) == 0 && chown("prog", 1, 1) == 0);
	CHECK(stat("prog", &st) == 0 && (st.st_mode & 07777) == 0755); /* chown clears both */
	CHECK(chmod("prog", 06777) == 0);
	if (geteuid() != 0)
		return;
	CHECK(chmod(".", 0777) == 0);
	CHECK(setegid(65534) == 0 && seteuid(65534) == 0);
	fd = open("prog", O_WRONLY);
	CHECK(fd >= 0 && write(fd, "y", 1) == 1 && close(fd) == 0);
	CHECK(seteuid(0) == 0 && setegid(0) == 0);
	CHECK(stat("prog", &st) == 0 && (st.st_mode & 06000) == 0); /* so does another's write */
	CHECK(chmod("prog", 06777) == 0);
	CHECK(setegid(65534) == 0 && seteuid(65534) == 0);
	CHECK(truncate("prog", 0) == 0);
	CHECK(seteuid(0) == 0 && setegid(0) == 0);
	CHECK(stat("prog", &st) == 0 && (st.st_mode & 06000) == 0);
	CHECK(mkdir("group", 0755) == 0 && chown("group", 0, 77) == 0 &&
	      chmod("group", 02775) == 0);
	create("group/file", "x", 0644);
	CHECK(mkdir("group/folder", 0755) == 0);
	CHECK(stat("group/file", &st) == 0 && st.st_gid == 77);
	CHECK(stat("group/folder", &st) == 0 && st.st_gid == 77 && (st.st_mode & 02000));
}

static void case_permissions(void)
{
	create("open", "x", 0644);
	create("closed", "x", 0600);
	CHECK(mkdir("dark", 0700) == 0);
	create("dark/inside", "x", 0644);
	CHECK(chmod(".", 0755) == 0);
	CHECK(setegid(65534) == 0 && seteuid(65534) == 0);
	expect_text("open", "x");
	CHECK_ERRNO(open("closed", O_RDONLY), EACCES);
	CHECK_ERRNO(open("open", O_WRONLY), EACCES);
	CHECK_ERRNO(open("dark/inside", O_RDONLY), EACCES);
	CHECK_ERRNO(mkdir("mine", 0755), EACCES);
	CHECK_ERRNO(unlink("open"), EACCES);
	CHECK_ERRNO(chmod("open", 0666), EPERM);
	CHECK(seteuid(0) == 0 && setegid(0) == 0);
	CHECK(chmod(".", 01777) == 0); /* sticky: only the owner removes */
	CHECK(setegid(65534) == 0 && seteuid(65534) == 0);
	CHECK_ERRNO(unlink("open"), EPERM);
	create("own", "x", 0644);
	CHECK(unlink("own") == 0);
	CHECK(seteuid(0) == 0 && setegid(0) == 0);
}

static void case_names(void)
{
	char name[300], path[5000];
	struct stat st;

	memset(name, 'n', sizeof(name));
	name[256] = 0;
	CHECK_ERRNO(mkdir(name, 0755), ENAMETOOLONG);
	CHECK_ERRNO(stat(name, &st), ENAMETOOLONG);
	name[255] = 0;
	create(name, "long", 0644);
	expect_text(name, "long");
	for (int i = 1; i < 256; i++) { /* every byte but '/' and NUL is a name */
		if (i == '/')
			continue;
		snprintf(path, sizeof(path), "byte-%c", i);
		create(path, "x", 0644);
	}
	create(" spaces \n newline \t", "x", 0644);
	create("\xff\xfe not utf-8", "x", 0644);
	memset(path, 'l', sizeof(path));
	path[4095] = 0;
	CHECK(symlink(path, "long-link") == 0);
	CHECK(readlink("long-link", path, sizeof(path)) == 4095);
	for (int i = 0; i < 100; i++)
		CHECK(mkdir("deep", 0755) == 0 && chdir("deep") == 0);
	create("file", "deep down", 0644);
	expect_text("file", "deep down");
}

/* Names that stand throughout are seen exactly once while others come and go. */
static void case_readdir(void)
{
	static int seen[2000];
	char name[32];
	struct dirent *entry;
	int i, step = 0;
	DIR *dir;

	for (i = 0; i < 2000; i++) {
		snprintf(name, sizeof(name), "stays-%d", i);
		create(name, "", 0644);
		snprintf(name, sizeof(name), "leaves-%d", i);
		create(name, "", 0644);
	}
	dir = opendir(".");
	CHECK(dir != NULL);
	while ((errno = 0, entry = readdir(dir)) != NULL) {
		if (sscanf(entry->d_name, "stays-%d", &i) == 1) {
			CHECK(i >= 0 && i < 2000);
			seen[i]++;
		}
		if (step < 2000) {
			snprintf(name, sizeof(name), "leaves-%d", step);
			CHECK(unlink(name) == 0);
			snprintf(name, sizeof(name), "comes-%d", step);
			create(name, "", 0644);
			step++;
		}
	}
	CHECK(errno == 0);
	for (i = 0; i < 2000; i++)
		if (seen[i] != 1)
			check_failed(__FILE__, __LINE__, "stays-%d seen %d times", i, seen[i]);
	rewinddir(dir);
	for (i = 0; (entry = readdir(dir)) != NULL; i++)
		CHECK(strncmp(entry->d_name, "leaves", 6) != 0);
	CHECK(i == 2000 + step + 2); /* "." and ".." too */
	closedir(dir);
}

static void case_seekdir(void)
{
	char names[500][256], name[32];
	long where[500];
	struct dirent *entry;
	int n = 0;
	DIR *dir;

	for (int i = 0; i < 490; i++) {
		snprintf(name, sizeof(name), "entry-%d", i);
		create(name, "", 0644);
	}
	dir = opendir(".");
	CHECK(dir != NULL);
	for (;;) {
		CHECK(n < 500);
		where[n] = telldir(dir);
		entry = readdir(dir);
		if (entry == NULL)
			break;
		snprintf(names[n++], sizeof(names[0]), "%s", entry->d_name);
	}
	CHECK(n == 492);
	for (int i = n - 1; i >= 0; i -= 7) {
		seekdir(dir, where[i]);
		entry = readdir(dir);
		CHECK(entry != NULL && strcmp(entry->d_name, names[i]) == 0);
	}
	closedir(dir);
}

static void case_statvfs(void)
{
	struct statvfs st;

	CHECK(statvfs(".", &st) == 0);
	CHECK(st.f_namemax == 255);
	CHECK(st.f_bsize >= 512 && st.f_frsize >= 512);
	CHECK(st.f_blocks > 0 && st.f_bfree <= st.f_blocks && st.f_bavail <= st.f_bfree);
	CHECK(st.f_files > 0 && st.f_ffree <= st.f_files && st.f_ffree > 0);
}

static void case_xattrs(void)
{
	char value[65536], list[4096];

	create("file", "x", 0644);
	memset(value, 'v', sizeof(value));
	CHECK(setxattr("file", "user.one", "1", 1, XATTR_CREATE) == 0);
	CHECK_ERRNO(setxattr("file", "user.one", "2", 1, XATTR_CREATE), EEXIST);
	CHECK_ERRNO(setxattr("file", "user.two", "2", 1, XATTR_REPLACE), ENODATA);
	CHECK(setxattr("file", "user.one", "22", 2, XATTR_REPLACE) == 0);
	CHECK(getxattr("file", "user.one", value, sizeof(value)) == 2 && value[0] == '2');
	CHECK(getxattr("file", "user.one", NULL, 0) == 2);
	CHECK_ERRNO(getxattr("file", "user.one", value, 1), ERANGE);
	CHECK(setxattr("file", "user.empty", "", 0, 0) == 0);
	CHECK(getxattr("file", "user.empty", value, sizeof(value)) == 0);
	CHECK(setxattr("file", "user.big", value, 3000, 0) == 0);
	CHECK(getxattr("file", "user.big", list, sizeof(list)) == 3000);
	CHECK(listxattr("file", NULL, 0) == 9 + 11 + 9);
	CHECK(listxattr("file", list, sizeof(list)) == 9 + 11 + 9);
	CHECK_ERRNO(listxattr("file", list, 5), ERANGE);
	CHECK(removexattr("file", "user.one") == 0);
	CHECK_ERRNO(removexattr("file", "user.one"), ENODATA);
	CHECK_ERRNO(getxattr("file", "user.one", value, sizeof(value)), ENODATA);
	CHECK(mkdir("d", 0755) == 0 && setxattr("d", "user.folder", "y", 1, 0) == 0);
	CHECK(setxattr("d", "trusted.root", "y", 1, 0) == 0);
	CHECK(getxattr("d", "trusted.root", value, sizeof(value)) == 1);
}

static void case_hardlinks(void)
{
	char name[32];
	struct stat st, other;

	create("a", "shared", 0644);
	CHECK(mkdir("d", 0755) == 0);
	CHECK(link("a", "d/b") == 0 && link("d/b", "c") == 0);
	CHECK(stat("a", &st) == 0 && stat("c", &other) == 0);
	CHECK(st.st_nlink == 3 && st.st_ino == other.st_ino);
	CHECK(chmod("c", 0600) == 0 && truncate("d/b", 3) == 0);
	CHECK(stat("a", &st) == 0 && (st.st_mode & 0777) == 0600 && st.st_size == 3);
	CHECK(unlink("a") == 0 && stat("c", &st) == 0 && st.st_nlink == 2);
	expect_text("c", "sha");
	CHECK_ERRNO(link("d", "no-folders"), EPERM);
	CHECK_ERRNO(link("c", "d/b"), EEXIST);
	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "many-%d", i);
		CHECK(link("c", name) == 0);
	}
	CHECK(stat("c", &st) == 0 && st.st_nlink == 1002);
	CHECK(symlink("c", "soft") == 0);
	CHECK(linkat(AT_FDCWD, "soft", AT_FDCWD, "hard-soft", 0) == 0); /* a link to the link */
	CHECK(lstat("hard-soft", &st) == 0 && S_ISLNK(st.st_mode) && st.st_nlink == 2);
}

static void case_ioctl(void)
{
	int fd, number = 0;

	create("file", "x", 0644);
	fd = open("file", O_RDONLY);
	CHECK(fd >= 0);
	CHECK_ERRNO(ioctl(fd, _IOR('T', 99, int), &number), ENOTTY);
	CHECK(ioctl(fd, FS_IOC_GETFLAGS, &number) == 0 || errno == ENOTTY);
	close(fd);
}

static void case_tmpfile(void)
{
	char path[64];
	int fd = open(".", O_TMPFILE | O_RDWR, 0644);

	if (fd < 0) { /* programs fall back to a name of their own on just this */
		CHECK(errno == EOPNOTSUPP);
		return;
	}
	CHECK(write(fd, "tmp", 3) == 3);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	CHECK(linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW) == 0);
	expect_text("named", "tmp");
	close(fd);
}

static const struct posix_case cases[] = {
	{"rename_flags", case_rename_flags},
	{"rename_rules", case_rename_rules},
	{"times", case_times},
	{"suid", case_suid},
	{"permissions", case_permissions},
	{"names", case_names},
	{"readdir", case_readdir},
	{"seekdir", case_seekdir},
	{"statvfs", case_statvfs},
	{"xattrs", case_xattrs},
	{"hardlinks", case_hardlinks},
	{"ioctl", case_ioctl},
	{"tmpfile", case_tmpfile},
};

POSIX_MAIN(cases)
