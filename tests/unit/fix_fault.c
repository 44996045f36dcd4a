// SPDX-License-Identifier: Apache-2.0
/* See fix_fault.h. A failed close still closes: so does Linux, and a test must not leak by it. */
#include "tests/unit/fix_fault.h"

#include <dirent.h>
#include <errno.h>
#include <libaio.h>
#include <stdatomic.h>
#include <unistd.h>

#include "tiers/io.h"

static struct {
	unsigned calls;
	uint64_t nth;
	enum fault_kind kind;
	bool forever;
	_Atomic uint64_t count;
	_Atomic uint64_t failed;
} plan;

/* Counts a call of this kind; true: it is to fail now. */
static bool fault_due(unsigned call)
{
	uint64_t n, last = plan.nth;

	if (!(plan.calls & call))
		return false;
	n = atomic_fetch_add(&plan.count, 1) + 1;
	if (plan.forever)
		last = plan.kind == FAULT_EINTR ? plan.nth + 1 : UINT64_MAX;
	if (n < plan.nth || n > last)
		return false;
	atomic_fetch_add(&plan.failed, 1);
	return true;
}

static int fault_errno(void)
{
	return plan.kind == FAULT_ENOSPC ? ENOSPC : EIO;
}

/* For calls that can only fail outright: true when errno is set. */
static bool fault_plain(unsigned call, bool interruptible)
{
	if (plan.kind == FAULT_SHORT || (plan.kind == FAULT_EINTR && !interruptible))
		return false;
	if (!fault_due(call))
		return false;
	errno = plan.kind == FAULT_EINTR ? EINTR : fault_errno();
	return true;
}

static int fault_open(const char *path, int flags, mode_t mode)
{
	return fault_plain(FAULT_OPEN, true) ? -1 : io_ops_system.open(path, flags, mode);
}

static int fault_close(int fd)
{
	bool fail = fault_plain(FAULT_CLOSE, false);
	int error = errno;
	int done = close(fd);

	if (!fail)
		return done;
	errno = error;
	return -1;
}

/* For transfers: 0 = go on, with *len cut to half where the plan says so; -1 = errno is set. */
static int fault_transfer(unsigned call, size_t *len)
{
	if (plan.kind != FAULT_SHORT)
		return fault_plain(call, true) ? -1 : 0;
	if (*len > 1 && fault_due(call))
		*len /= 2;
	return 0;
}

static ssize_t fault_pread(int fd, void *buf, size_t len, off_t off)
{
	return fault_transfer(FAULT_PREAD, &len) ? -1 : pread(fd, buf, len, off);
}

static ssize_t fault_pwrite(int fd, const void *buf, size_t len, off_t off)
{
	return fault_transfer(FAULT_PWRITE, &len) ? -1 : pwrite(fd, buf, len, off);
}

static int fault_fdatasync(int fd)
{
	return fault_plain(FAULT_SYNC, true) ? -1 : fdatasync(fd);
}

static int fault_fsync(int fd)
{
	return fault_plain(FAULT_SYNC, true) ? -1 : fsync(fd);
}

static int fault_ftruncate(int fd, off_t len)
{
	return fault_plain(FAULT_TRUNCATE, false) ? -1 : ftruncate(fd, len);
}

static int fault_fallocate(int fd, int mode, off_t off, off_t len)
{
	return fault_plain(FAULT_ALLOCATE, false) ? -1
						  : io_ops_system.fallocate(fd, mode, off, len);
}

static int fault_fstat(int fd, struct stat *out)
{
	return fault_plain(FAULT_STAT, false) ? -1 : fstat(fd, out);
}

static int fault_lstat(const char *path, struct stat *out)
{
	return fault_plain(FAULT_STAT, false) ? -1 : lstat(path, out);
}

static int fault_mkdir(const char *path, mode_t mode)
{
	return fault_plain(FAULT_NAMES, false) ? -1 : mkdir(path, mode);
}

static int fault_rename(const char *from, const char *to)
{
	return fault_plain(FAULT_NAMES, false) ? -1 : io_ops_system.rename(from, to);
}

static int fault_unlink(const char *path)
{
	return fault_plain(FAULT_NAMES, false) ? -1 : unlink(path);
}

static int fault_aio_submit(struct io_context *ctx, long n, struct iocb **list)
{
	if (plan.kind == FAULT_SHORT || plan.kind == FAULT_EINTR) {
		if (n > 1 && fault_due(FAULT_AIO))
			n /= 2;
	} else if (fault_due(FAULT_AIO)) {
		return -fault_errno();
	}
	return io_submit(ctx, n, list);
}

static int fault_aio_getevents(struct io_context *ctx, long min, long max, struct io_event *events,
			       struct timespec *timeout)
{
	int got, i;

	if (plan.kind == FAULT_EINTR && fault_due(FAULT_AIO))
		return -EINTR;
	got = io_getevents(ctx, min, max, events, timeout);
	for (i = 0; i < got; i++) {
		if (plan.kind == FAULT_EINTR || !fault_due(FAULT_AIO))
			continue;
		if (plan.kind == FAULT_SHORT)
			events[i].res /= 2;
		else
			events[i].res = (unsigned long)-fault_errno();
	}
	return got;
}

static const struct io_ops fault_ops = {
	.open = fault_open,
	.close = fault_close,
	.pread = fault_pread,
	.pwrite = fault_pwrite,
	.fdatasync = fault_fdatasync,
	.fsync = fault_fsync,
	.ftruncate = fault_ftruncate,
	.fallocate = fault_fallocate,
	.fstat = fault_fstat,
	.lstat = fault_lstat,
	.mkdir = fault_mkdir,
	.rename = fault_rename,
	.unlink = fault_unlink,
	.aio_submit = fault_aio_submit,
	.aio_getevents = fault_aio_getevents,
};

void fault_arm(unsigned calls, uint64_t nth, enum fault_kind kind, bool forever)
{
	plan.calls = calls;
	plan.nth = nth;
	plan.kind = kind;
	plan.forever = forever;
	plan.count = 0;
	plan.failed = 0;
	io_ops_set(&fault_ops);
}

uint64_t fault_disarm(void)
{
	io_ops_set(NULL);
	return plan.failed;
}

uint64_t fault_calls(void)
{
	return plan.count;
}

int fault_open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	if (!dir)
		return -1;
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}
