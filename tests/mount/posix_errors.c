// SPDX-License-Identifier: Apache-2.0
/* Which errno each call says: paths, types, and what is in use. */
#include <dirent.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

#include "posix.h"

/* Each call that takes a path, on a path that cannot be walked. */
static void every_call(const char *path, int error)
{
	struct timespec times[2] = {{1, 0}, {1, 0}};
	struct statvfs vfs;
	char buf[16];
	struct stat st;

	CHECK_ERRNO(stat(path, &st), error);
	CHECK_ERRNO(lstat(path, &st), error);
	CHECK_ERRNO(open(path, O_RDONLY), error);
	CHECK_ERRNO(open(path, O_WRONLY | O_CREAT, 0644), error);
	CHECK_ERRNO(mkdir(path, 0755), error);
	CHECK_ERRNO(rmdir(path), error);
	CHECK_ERRNO(unlink(path), error);
	CHECK_ERRNO(chmod(path, 0644), error);
	CHECK_ERRNO(chown(path, 0, 0), error);
	CHECK_ERRNO(lchown(path, 0, 0), error);
	CHECK_ERRNO(truncate(path, 0), error);
	CHECK_ERRNO(mkfifo(path, 0644), error);
	CHECK_ERRNO(mknod(path, S_IFCHR | 0644, makedev(1, 3)), error);
	CHECK_ERRNO(symlink("x", path), error);
	CHECK_ERRNO(link(path, "l"), error);
	CHECK_ERRNO(link("file", path), error);
	CHECK_ERRNO(rename(path, "r"), error);
	CHECK_ERRNO(rename("file", path), error);
	CHECK_ERRNO(readlink(path, buf, sizeof(buf)), error);
	CHECK_ERRNO(access(path, F_OK), error);
	CHECK_ERRNO(chdir(path), error);
	CHECK_ERRNO(statvfs(path, &vfs), error);
	CHECK_ERRNO(utimensat(AT_FDCWD, path, times, 0), error);
}

static void case_paths(void)
{
	char name[300] = "d/", path[4200];

	make_file("file", "x", 0644);
	CHECK(mkdir("d", 0755) == 0);
	every_call("file/x", ENOTDIR);
	every_call("missing/x", ENOENT);
	every_call("", ENOENT);
	CHECK(symlink("loop-b", "loop-a") == 0 && symlink("loop-a", "loop-b") == 0);
	every_call("loop-a/x", ELOOP);
	memset(name + 2, 'n', 256);
	every_call(name, ENAMETOOLONG);
	memset(path, '/', sizeof(path));
	memcpy(path, "d", 1);
	path[4096] = '\0';
	every_call(path, ENAMETOOLONG); /* PATH_MAX with its NUL */
	CHECK(symlink("nowhere", "dangling") == 0);
	CHECK_ERRNO(open("dangling", O_RDONLY), ENOENT);
	CHECK_ERRNO(open("dangling", O_WRONLY | O_CREAT | O_EXCL, 0644), EEXIST);
	CHECK(close(open("dangling", O_WRONLY | O_CREAT, 0644)) == 0 &&
	      access("nowhere", F_OK) == 0);
	CHECK_ERRNO(open("loop-a", O_RDONLY), ELOOP);
	CHECK_ERRNO(open("dangling", O_RDONLY | O_NOFOLLOW), ELOOP);
}

static void case_symlinks(void)
{
	char name[32], next[32], target[5000];

	make_file("link-0", "end", 0644);
	for (int i = 1; i <= 41; i++) {
		snprintf(name, sizeof(name), "link-%d", i);
		snprintf(next, sizeof(next), "link-%d", i - 1);
		CHECK(symlink(next, name) == 0);
	}
	CHECK(access("link-40", R_OK) == 0);
	CHECK_ERRNO(access("link-41", R_OK), ELOOP);
	memset(target, 'x', sizeof(target));
	target[4096] = '\0';
	CHECK_ERRNO(symlink(target, "too-long"), ENAMETOOLONG);
	CHECK_ERRNO(symlink("", "empty"), ENOENT);
	CHECK_ERRNO(symlink("x", "link-0"), EEXIST);
	CHECK_ERRNO(readlink("link-0", target, sizeof(target)), EINVAL);
	CHECK(readlink("link-1", target, 3) == 3 && memcmp(target, "lin", 3) == 0);
	CHECK(stat_of("link-1").st_size == 6 && S_ISLNK(stat_of("link-1").st_mode));
	CHECK_ERRNO(fchmodat(AT_FDCWD, "link-1", 0600, AT_SYMLINK_NOFOLLOW), EOPNOTSUPP);
}

static void case_types(void)
{
	struct stat st;
	char byte;
	int fd;

	make_file("file", "x", 0644);
	CHECK(mkdir("d", 0755) == 0 && mkdir("full", 0755) == 0 && mkdir("full/x", 0755) == 0);
	CHECK_ERRNO(open("d", O_WRONLY), EISDIR);
	CHECK_ERRNO(open("d", O_RDWR), EISDIR);
	CHECK_ERRNO(open("d", O_RDONLY | O_CREAT, 0644), EISDIR);
	CHECK_ERRNO(open("file", O_RDONLY | O_DIRECTORY), ENOTDIR);
	CHECK_ERRNO(open("file", O_WRONLY | O_CREAT | O_EXCL, 0644), EEXIST);
	CHECK_ERRNO(open("d", O_WRONLY | O_CREAT | O_EXCL, 0644), EEXIST);
	CHECK_ERRNO(mkdir("file", 0755), EEXIST);
	CHECK_ERRNO(mkdir("d", 0755), EEXIST);
	CHECK_ERRNO(rmdir("file"), ENOTDIR);
	CHECK_ERRNO(rmdir("full"), ENOTEMPTY);
	CHECK_ERRNO(rmdir("d/."), EINVAL);
	CHECK_ERRNO(rmdir("full/x/.."), ENOTEMPTY);
	CHECK_ERRNO(unlink("d"), EISDIR);
	CHECK_ERRNO(truncate("d", 0), EISDIR);
	CHECK_ERRNO(link("d", "l"), EPERM);
	CHECK_ERRNO(link("file", "d"), EEXIST);
	CHECK_ERRNO(truncate("file", -1), EINVAL);
	fd = open("d", O_RDONLY);
	CHECK(fd >= 0);
	CHECK_ERRNO(read(fd, &byte, 1), EISDIR);
	CHECK(rmdir("d") == 0 && fstat(fd, &st) == 0 && st.st_nlink == 0);
	CHECK_ERRNO(openat(fd, "x", O_WRONLY | O_CREAT, 0644), ENOENT);
	close(fd);
	fd = open("file", O_RDONLY);
	CHECK(fd >= 0);
	CHECK_ERRNO(write(fd, "x", 1), EBADF);
	CHECK_ERRNO(ftruncate(fd, 0), EINVAL);
	CHECK_ERRNO(lseek(fd, -1, SEEK_SET), EINVAL);
	CHECK_ERRNO(pread(fd, &byte, 1, -1), EINVAL);
	CHECK(pread(fd, &byte, 1, 100) == 0);
	CHECK_ERRNO(fallocate(fd, 0, 0, 10), EBADF);
	close(fd);
}

static void case_busy(void)
{
	char buf[4096];
	struct stat st;
	pid_t child;
	int fd, from, status;

	from = open("/bin/sleep", O_RDONLY);
	fd = open("prog", O_WRONLY | O_CREAT, 0755);
	CHECK(from >= 0 && fd >= 0);
	for (ssize_t n; (n = read(from, buf, sizeof(buf))) > 0;)
		CHECK(write(fd, buf, (size_t)n) == n);
	execl("./prog", "prog", "0", (char *)NULL);
	CHECK(errno == ETXTBSY); /* open for writing */
	close(fd);
	child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		execl("./prog", "prog", "20", (char *)NULL);
		_exit(99);
	}
	usleep(200000);
	CHECK_ERRNO(open("prog", O_WRONLY), ETXTBSY);
	CHECK_ERRNO(truncate("prog", 0), ETXTBSY);
	CHECK(unlink("prog") == 0); /* but removing it is allowed, and it goes on */
	kill(child, SIGTERM);
	CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status));
	CHECK(mkdir("cwd", 0755) == 0 && chdir("cwd") == 0 && rmdir("../cwd") == 0);
	CHECK(stat(".", &st) == 0 && st.st_nlink == 0);
	CHECK_ERRNO(open("x", O_WRONLY | O_CREAT, 0644), ENOENT);
	CHECK_ERRNO(stat("..x", &st), ENOENT);
	CHECK(chdir("..") == 0);
}

static void case_special(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "socket"};
	char buf[8];
	int fd, peer, other, zero;

	CHECK(mkfifo("fifo", 0600) == 0 && S_ISFIFO(stat_of("fifo").st_mode));
	fd = open("fifo", O_RDWR);
	CHECK(fd >= 0 && write(fd, "pipe", 4) == 4 && read(fd, buf, 8) == 4);
	close(fd);
	CHECK_ERRNO(open("fifo", O_WRONLY | O_NONBLOCK), ENXIO);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	CHECK(bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 && listen(fd, 1) == 0);
	CHECK(S_ISSOCK(stat_of("socket").st_mode));
	CHECK_ERRNO(open("socket", O_RDONLY), ENXIO);
	peer = socket(AF_UNIX, SOCK_STREAM, 0);
	CHECK(connect(peer, (struct sockaddr *)&address, sizeof(address)) == 0);
	other = accept(fd, NULL, NULL);
	CHECK(write(peer, "sock", 4) == 4 && read(other, buf, 8) == 4);
	peer = socket(AF_UNIX, SOCK_STREAM, 0);
	CHECK_ERRNO(bind(peer, (struct sockaddr *)&address, sizeof(address)), EADDRINUSE);
	CHECK(mknod("zero", S_IFCHR | 0600, makedev(1, 5)) == 0);
	CHECK(stat_of("zero").st_rdev == makedev(1, 5));
	zero = open("zero", O_RDONLY);
	CHECK(zero >= 0 && read(zero, buf, 8) == 8 && buf[0] == 0);
	CHECK(mknod("big", S_IFBLK | 0600, makedev(259, 70000)) == 0);
	CHECK(stat_of("big").st_rdev == makedev(259, 70000) && S_ISBLK(stat_of("big").st_mode));
	CHECK(mknod("plain", S_IFREG | 0640, 0) == 0 && mode_of("plain") == 0640);
	CHECK_ERRNO(mknod("plain", S_IFREG | 0640, 0), EEXIST);
	CHECK_ERRNO(mknod("folder", S_IFDIR | 0755, 0), EPERM);
	CHECK(link("fifo", "fifo-2") == 0 && stat_of("fifo").st_nlink == 2);
	CHECK(chmod("fifo-2", 0644) == 0 && mode_of("fifo") == 0644);
}

static const struct posix_case cases[] = {
	{"paths", case_paths}, {"symlinks", case_symlinks}, {"types", case_types},
	{"busy", case_busy},   {"special", case_special},
};

POSIX_MAIN(cases)
