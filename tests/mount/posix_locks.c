// SPDX-License-Identifier: Apache-2.0
/* flock, POSIX and open-file-description locks: who is kept out, and when they end. */
#include <signal.h>
#include <sys/file.h>
#include <time.h>

#include "posix.h"

static struct flock lock_of(short type, off_t start, off_t len)
{
	return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len};
}

static bool taken(int fd, int cmd, short type, off_t start, off_t len)
{
	struct flock lock = lock_of(type, start, len);

	if (fcntl(fd, cmd, &lock) == 0)
		return true;
	CHECK(errno == EAGAIN || errno == EACCES);
	return false;
}

static int file_open(void)
{
	int fd = open("file", O_RDWR | O_CREAT, 0644);

	CHECK(fd >= 0);
	return fd;
}

static void in_child(void (*run)(void))
{
	pid_t child = fork();
	int status;

	CHECK(child >= 0);
	if (child == 0) {
		run();
		_exit(0);
	}
	CHECK(waitpid(child, &status, 0) == child);
	if (status != 0)
		exit(1);
}

static void posix_child(void)
{
	struct flock lock = lock_of(F_WRLCK, 0, 0);
	int fd = file_open();

	CHECK(!taken(fd, F_SETLK, F_WRLCK, 15, 1) && !taken(fd, F_SETLK, F_RDLCK, 0, 0));
	CHECK(taken(fd, F_SETLK, F_WRLCK, 20, 80) && taken(fd, F_SETLK, F_RDLCK, 100, 10));
	CHECK(!taken(fd, F_SETLK, F_WRLCK, 100, 10));
	CHECK(fcntl(fd, F_GETLK, &lock) == 0 && lock.l_pid == getppid());
	CHECK(lock.l_start == 10 && lock.l_len == 10 && lock.l_type == F_WRLCK);
}

static void posix_free(void)
{
	int fd = file_open();

	CHECK(taken(fd, F_SETLK, F_WRLCK, 0, 0));
}

static void case_posix(void)
{
	int fd = file_open(), second;

	CHECK(taken(fd, F_SETLK, F_WRLCK, 10, 10) && taken(fd, F_SETLK, F_RDLCK, 100, 10));
	CHECK(taken(fd, F_SETLK, F_WRLCK, 5, 10)); /* one's own are no hindrance */
	CHECK(taken(fd, F_SETLK, F_UNLCK, 5, 5));
	in_child(posix_child);
	CHECK(taken(fd, F_SETLK, F_UNLCK, 12, 4)); /* splits it */
	CHECK(taken(fd, F_SETLK, F_WRLCK, 12, 4));
	in_child(posix_child);
	second = open("file", O_RDONLY);
	CHECK_ERRNO(fcntl(second, F_SETLK, &(struct flock){.l_type = F_WRLCK}), EBADF);
	close(second); /* any close by the process ends its POSIX locks */
	in_child(posix_free);
	close(fd);
}

static void case_ofd(void)
{
	int fd = file_open(), second = file_open(), same;

	CHECK(taken(fd, F_OFD_SETLK, F_WRLCK, 0, 10));
	CHECK(!taken(second, F_OFD_SETLK, F_WRLCK, 5, 10)); /* within one process */
	CHECK(!taken(second, F_SETLK, F_WRLCK, 5, 10));
	same = dup(fd);
	close(fd);
	CHECK(!taken(second, F_OFD_SETLK, F_RDLCK, 0, 1)); /* the description lives */
	close(same);
	CHECK(taken(second, F_OFD_SETLK, F_WRLCK, 0, 10));
	close(second);
	in_child(posix_free);
}

static int shared_fd;

static void flock_child(void)
{
	int fd = file_open();

	CHECK_ERRNO(flock(fd, LOCK_EX | LOCK_NB), EWOULDBLOCK);
	CHECK_ERRNO(flock(fd, LOCK_SH | LOCK_NB), EWOULDBLOCK);
	CHECK(flock(shared_fd, LOCK_SH) == 0); /* inherited: it may change it */
	CHECK(flock(fd, LOCK_SH | LOCK_NB) == 0);
}

static void case_flock(void)
{
	int fd;

	shared_fd = file_open();
	CHECK(flock(shared_fd, LOCK_EX) == 0);
	CHECK(taken(shared_fd, F_SETLK, F_WRLCK, 0, 0)); /* the two kinds do not meet */
	in_child(flock_child);
	fd = file_open();
	CHECK(flock(fd, LOCK_SH | LOCK_NB) == 0); /* downgraded by the child */
	CHECK_ERRNO(flock(fd, LOCK_EX | LOCK_NB), EWOULDBLOCK);
	CHECK(flock(shared_fd, LOCK_UN) == 0 && flock(fd, LOCK_EX | LOCK_NB) == 0);
	close(fd);
	close(shared_fd);
}

/* A waiter gets the lock when its holder dies. */
static void case_wait(void)
{
	int fd = file_open(), ready[2], status;
	struct flock lock = lock_of(F_WRLCK, 0, 0);
	pid_t child;
	char byte;

	CHECK(pipe(ready) == 0);
	child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		CHECK(fcntl(fd, F_SETLK, &lock) == 0 && write(ready[1], "x", 1) == 1);
		pause();
	}
	CHECK(read(ready[0], &byte, 1) == 1);
	CHECK(!taken(fd, F_SETLK, F_WRLCK, 0, 0));
	if (fork() == 0) {
		usleep(100000);
		kill(child, SIGKILL);
		_exit(0);
	}
	CHECK(fcntl(fd, F_SETLKW, &lock) == 0);
	CHECK(wait(&status) > 0 && wait(&status) > 0);
	close(fd);
}

static void case_deadlock(void)
{
	int fd = file_open(), status;
	struct flock high = lock_of(F_WRLCK, 10, 1), low = lock_of(F_WRLCK, 0, 1);
	pid_t child;

	CHECK(fcntl(fd, F_SETLK, &low) == 0);
	child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		CHECK(fcntl(fd, F_SETLK, &high) == 0);
		_exit(fcntl(fd, F_SETLKW, &low) == 0 ? 0 : 1); /* waits for its parent */
	}
	usleep(200000);
	CHECK_ERRNO(fcntl(fd, F_SETLKW, &high), EDEADLK);
	low.l_type = F_UNLCK;
	CHECK(fcntl(fd, F_SETLK, &low) == 0);
	CHECK(waitpid(child, &status, 0) == child && status == 0);
	close(fd);
}

static const struct posix_case cases[] = {
	{"posix", case_posix}, {"ofd", case_ofd},	    {"flock", case_flock},
	{"wait", case_wait},   {"deadlock", case_deadlock},
};

POSIX_MAIN(cases)
