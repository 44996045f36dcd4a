/* SPDX-License-Identifier: Apache-2.0 */
/* System calls in front of libc's, so that what LMDB writes is recorded too; see fix_disk.h. */
#ifndef TERRACE_TESTS_FIX_DISK_CALLS_H
#define TERRACE_TESTS_FIX_DISK_CALLS_H

#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tests/unit/fix_disk.h"

ssize_t pwrite(int fd, const void *buf, size_t len, off_t off)
{
	ssize_t done;

	disk_lock();
	done = syscall(SYS_pwrite64, fd, buf, len, off);
	if (done > 0)
		disk_wrote(fd, buf, (size_t)done, off);
	disk_unlock();
	return done;
}

ssize_t writev(int fd, const struct iovec *parts, int n)
{
	off_t at = lseek(fd, 0, SEEK_CUR);
	ssize_t done, left;

	disk_lock();
	left = done = syscall(SYS_writev, fd, parts, n);
	for (int i = 0; at >= 0 && left > 0; i++) {
		size_t len = parts[i].iov_len < (size_t)left ? parts[i].iov_len : (size_t)left;

		disk_wrote(fd, parts[i].iov_base, len, at);
		at += (off_t)len;
		left -= (ssize_t)len;
	}
	disk_unlock();
	return done;
}

int ftruncate(int fd, off_t len)
{
	int done;

	disk_lock();
	done = (int)syscall(SYS_ftruncate, fd, len);
	if (!done)
		disk_resized(fd, len);
	disk_unlock();
	return done;
}

/* The same under the names that a library built without large-file macros asks for. */
ssize_t disk_plain_pwrite(int fd, const void *buf, size_t len, off_t off) __asm__("pwrite");
int disk_plain_ftruncate(int fd, off_t len) __asm__("ftruncate");

ssize_t disk_plain_pwrite(int fd, const void *buf, size_t len, off_t off)
{
	return pwrite(fd, buf, len, off);
}

int disk_plain_ftruncate(int fd, off_t len)
{
	return ftruncate(fd, len);
}

int fdatasync(int fd)
{
	int done;

	disk_lock();
	done = disk_sync_fails(fd) ? -1 : (int)syscall(SYS_fdatasync, fd);
	if (!done)
		disk_synced(fd);
	disk_unlock();
	return done;
}

int fsync(int fd)
{
	int done;

	disk_lock();
	done = disk_sync_fails(fd) ? -1 : (int)syscall(SYS_fsync, fd);
	if (!done)
		disk_synced(fd);
	disk_unlock();
	return done;
}

#endif
