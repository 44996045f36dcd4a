/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one door to files: every call of tiers/ that can fail on a medium goes through a table, so
 * that tests can fail the n-th of them (tests/unit/fix_fault.c) or lose what was not synced.
 *
 * The table's members behave as the system calls of the same name (-1 and errno; the two aio ones
 * as libaio: negative errno). Code calls the io_*() functions below, which return 0, a descriptor
 * or a negative errno, take care of EINTR and of short transfers, and log nothing: the caller knows
 * what the file is for.
 *
 * Threads: any. io_ops_set() only while nothing else runs.
 */
#ifndef TERRACE_TIERS_IO_H
#define TERRACE_TIERS_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

struct io_context; /* libaio */
struct iocb;
struct io_event;
struct timespec;

struct io_ops {
	int (*open)(const char *path, int flags, mode_t mode);
	int (*close)(int fd);
	ssize_t (*pread)(int fd, void *buf, size_t len, off_t off);
	ssize_t (*pwrite)(int fd, const void *buf, size_t len, off_t off);
	int (*fdatasync)(int fd);
	int (*fsync)(int fd);
	int (*ftruncate)(int fd, off_t len);
	int (*fallocate)(int fd, int mode, off_t off, off_t len);
	int (*fstat)(int fd, struct stat *out);
	int (*lstat)(const char *path, struct stat *out);
	int (*mkdir)(const char *path, mode_t mode);
	int (*rename)(const char *from, const char *to);
	int (*unlink)(const char *path);
	int (*aio_submit)(struct io_context *ctx, long n, struct iocb **list);
	int (*aio_getevents)(struct io_context *ctx, long min, long max, struct io_event *events,
			     struct timespec *timeout);
};

extern const struct io_ops io_ops_system;

/* NULL puts the system's calls back. Returns the table that was in force. */
const struct io_ops *io_ops_set(const struct io_ops *ops);
const struct io_ops *io_ops_get(void);

/* Returns a descriptor. With O_CREAT, a file that root makes in a folder of somebody else is that
 * one's, so that he can use his pool again. O_CLOEXEC is added, and O_NOFOLLOW but for folders: no
 * file of a pool is a link, and one that somebody put there may lead anywhere. -ELOOP. */
int io_open(const char *path, int flags, mode_t mode);
/* Can it be opened for reading and writing? `create`: made where it is missing. */
int io_touch(const char *path, bool create);
/* The result counts: a deferred write error may come out here. fd is gone either way; EINTR is 0.
 */
int io_close(int fd);
/* All of buf; -ENODATA when the file ends before off + len. */
int io_pread_all(int fd, void *buf, size_t len, uint64_t off);
/* All of buf; on error any part of it may have been written. */
int io_pwrite_all(int fd, const void *buf, size_t len, uint64_t off);
/* The medium may begin to take these bytes; nothing is waited for, and a failure shows when they
 * are synced. */
void io_start_writing(int fd, uint64_t len, uint64_t off);
/* Never tried again after a failure: the page cache may have dropped the bytes. */
int io_sync_data(int fd);
int io_sync_file(int fd);
/* Opens the folder, fsyncs it, closes it: names in it are durable. */
int io_sync_folder(const char *path);
int io_truncate(int fd, uint64_t len);
int io_allocate(int fd, int mode, uint64_t len, uint64_t off);
int io_stat(int fd, struct stat *out);
int io_stat_path(const char *path, struct stat *out); /* -ELOOP, as with io_open() */
int io_make_folder(const char *path, mode_t mode);    /* whose: as with io_open() */
/* The same for a folder that was just made in one of another owner: it goes to who owns `like`. */
void io_give_folder(const char *path, const char *like);
int io_rename(const char *from, const char *to);
int io_remove(const char *path);

#endif
