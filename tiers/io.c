// SPDX-License-Identifier: Apache-2.0
/*
 * Files through one table. Invariants:
 *  1. EINTR is repeated for every call but close (on Linux the descriptor is gone) and the syncs'
 *     real failures: an fsync that failed is never repeated, since a second one would say 0.
 *  2. A transfer of 0 bytes never loops: at the end of file a read gives -ENODATA, a write -EIO.
 */
#include "tiers/io.h"

#include <errno.h>
#include <fcntl.h>
#include <libaio.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int system_open(const char *path, int flags, mode_t mode)
{
	return open(path, flags, mode);
}

const struct io_ops io_ops_system = {
	.open = system_open,
	.close = close,
	.pread = pread,
	.pwrite = pwrite,
	.fdatasync = fdatasync,
	.fsync = fsync,
	.ftruncate = ftruncate,
	.fallocate = fallocate,
	.fstat = fstat,
	.lstat = lstat,
	.mkdir = mkdir,
	.rename = rename,
	.unlink = unlink,
	.aio_submit = io_submit,
	.aio_getevents = io_getevents,
};

static const struct io_ops *_Atomic current = &io_ops_system;

const struct io_ops *io_ops_get(void)
{
	return atomic_load_explicit(&current, memory_order_acquire);
}

const struct io_ops *io_ops_set(const struct io_ops *ops)
{
	return atomic_exchange(&current, ops ? ops : &io_ops_system);
}

/* What was there before is left alone: the file may be another name of one that is root's. */
static void give(int fd, const char *like)
{
	struct stat owner, st;

	if (geteuid() || stat(like, &owner) || !owner.st_uid || fstat(fd, &st) || st.st_uid)
		return;
	if (!S_ISDIR(st.st_mode) && (st.st_nlink != 1 || st.st_size))
		return;
	if (fchown(fd, owner.st_uid, owner.st_gid))
		return; /* then it is root's; whom it keeps out is told */
}

static void give_to_parent(int fd, const char *path)
{
	const char *slash = strrchr(path, '/');
	char folder[PATH_MAX];

	if (slash && slash != path && (size_t)(slash - path) < sizeof(folder)) {
		memcpy(folder, path, (size_t)(slash - path));
		folder[slash - path] = '\0';
		give(fd, folder);
	}
}

void io_give_folder(const char *path, const char *like)
{
	int fd = geteuid() ? -1 : open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return;
	if (like)
		give(fd, like);
	else
		give_to_parent(fd, path);
	close(fd);
}

int io_open(const char *path, int flags, mode_t mode)
{
	int fd;

	flags |= O_CLOEXEC | (flags & O_DIRECTORY ? 0 : O_NOFOLLOW);
	do {
		fd = io_ops_get()->open(path, flags, mode);
	} while (fd < 0 && errno == EINTR);
	if (fd >= 0 && flags & O_CREAT && !geteuid())
		give_to_parent(fd, path);
	return fd < 0 ? -errno : fd;
}

int io_touch(const char *path, bool create)
{
	int fd = io_open(path, O_RDWR | (create ? O_CREAT : 0), 0600);

	return fd < 0 ? fd : io_close(fd);
}

int io_close(int fd)
{
	if (!io_ops_get()->close(fd) || errno == EINTR)
		return 0;
	return -errno;
}

int io_pread_all(int fd, void *buf, size_t len, uint64_t off)
{
	size_t done = 0;

	while (done < len) {
		ssize_t got = io_ops_get()->pread(fd, (char *)buf + done, len - done,
						  (off_t)(off + done));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			return -ENODATA;
		done += (size_t)got;
	}
	return 0;
}

int io_pwrite_all(int fd, const void *buf, size_t len, uint64_t off)
{
	size_t done = 0;

	while (done < len) {
		ssize_t put = io_ops_get()->pwrite(fd, (const char *)buf + done, len - done,
						   (off_t)(off + done));

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return -errno;
		if (put == 0)
			return -EIO;
		done += (size_t)put;
	}
	return 0;
}

void io_start_writing(int fd, uint64_t len, uint64_t off)
{
	sync_file_range(fd, (off_t)off, (off_t)len, SYNC_FILE_RANGE_WRITE);
}

int io_sync_data(int fd)
{
	int failed;

	do {
		failed = io_ops_get()->fdatasync(fd);
	} while (failed && errno == EINTR);
	return failed ? -errno : 0;
}

int io_sync_file(int fd)
{
	int failed;

	do {
		failed = io_ops_get()->fsync(fd);
	} while (failed && errno == EINTR);
	return failed ? -errno : 0;
}

int io_sync_folder(const char *path)
{
	int fd = io_open(path, O_RDONLY | O_DIRECTORY, 0);
	int error, closed;

	if (fd < 0)
		return fd;
	error = io_sync_file(fd);
	closed = io_close(fd);
	return error ? error : closed;
}

int io_truncate(int fd, uint64_t len)
{
	int failed;

	do {
		failed = io_ops_get()->ftruncate(fd, (off_t)len);
	} while (failed && errno == EINTR);
	return failed ? -errno : 0;
}

int io_allocate(int fd, int mode, uint64_t len, uint64_t off)
{
	int failed;

	do {
		failed = io_ops_get()->fallocate(fd, mode, (off_t)off, (off_t)len);
	} while (failed && errno == EINTR);
	return failed ? -errno : 0;
}

int io_stat(int fd, struct stat *out)
{
	return io_ops_get()->fstat(fd, out) ? -errno : 0;
}

int io_stat_path(const char *path, struct stat *out)
{
	if (io_ops_get()->lstat(path, out))
		return -errno;
	return S_ISLNK(out->st_mode) ? -ELOOP : 0;
}

int io_make_folder(const char *path, mode_t mode)
{
	if (io_ops_get()->mkdir(path, mode))
		return -errno;
	io_give_folder(path, NULL);
	return 0;
}

int io_rename(const char *from, const char *to)
{
	return io_ops_get()->rename(from, to) ? -errno : 0;
}

int io_remove(const char *path)
{
	return io_ops_get()->unlink(path) ? -errno : 0;
}
