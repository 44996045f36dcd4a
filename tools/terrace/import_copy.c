// SPDX-License-Identifier: Apache-2.0
/*
 * One entry: its bytes and its attributes.
 *
 * Each piece is read back with O_DIRECT before the next is written: that makes the kernel hand it
 * to the daemon and ask the daemon for it, so what is compared has made the whole way. The source
 * is read once.
 */
#include "tools/terrace/import.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#define PIECE_BYTES (4u << 20)
#define PAGE_BYTES  4096u
#define VALUE_MAX   65536u

void import_side_init(struct import_side *side, int dir, const char *name)
{
	side->dir = dir;
	snprintf(side->path, sizeof(side->path), "/proc/self/fd/%d/%s", dir, name);
}

/* Data. ---------------------------------------------------------------------------------------- */

struct copy {
	int in, out, back; /* back: `out` once more, to read past the cache */
	char *buf, *again;
	int (*advanced)(void *arg, uint64_t bytes);
	void *arg;
	const char **what;
};

static int failed(struct copy *copy, const char *what)
{
	*copy->what = what;
	return -errno;
}

static int write_all(int fd, const char *buf, size_t len, off_t off)
{
	while (len) {
		ssize_t n = pwrite(fd, buf, len, off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		buf += n;
		off += n;
		len -= (size_t)n;
	}
	return 0;
}

/* As many bytes as there are, up to len. */
static ssize_t read_full(int fd, char *buf, size_t len, off_t off)
{
	size_t got = 0;

	while (got < len) {
		ssize_t n = pread(fd, buf + got, len - got, off + (off_t)got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (!n)
			break;
		got += (size_t)n;
	}
	return (ssize_t)got;
}

static int copy_piece(struct copy *copy, off_t off, size_t len)
{
	ssize_t n = read_full(copy->in, copy->buf, len, off), back;
	int r;

	if (n < 0)
		return failed(copy, "cannot be read");
	if ((size_t)n < len)
		return -EAGAIN; /* shorter than it was */
	r = write_all(copy->out, copy->buf, len, off);
	if (r) {
		*copy->what = "cannot be written";
		return r;
	}
	back = read_full(copy->back, copy->again, len, off);
	if (back < 0)
		return failed(copy, "cannot be read back");
	if (back != n || memcmp(copy->buf, copy->again, len) != 0) {
		*copy->what = "reads back other bytes than were written";
		return -EIO;
	}
	return copy->advanced(copy->arg, len) ? -EINTR : 0;
}

/* [*off, *end): the next run of data; false: there is none. A filesystem that does not know holes
 * has one run. */
static bool next_data(int fd, off_t size, off_t *off, off_t *end)
{
	off_t data = lseek(fd, *off, SEEK_DATA);

	if (data < 0 && errno == ENXIO)
		return false;
	if (data < 0) {
		*end = size;
		return *off < size;
	}
	*off = data;
	*end = lseek(fd, data, SEEK_HOLE);
	if (*end < 0 || *end > size)
		*end = size;
	return data < size;
}

static int copy_ranges(struct copy *copy, off_t size)
{
	off_t off = 0, end;
	int r = 0;

	while (!r && next_data(copy->in, size, &off, &end)) {
		for (; !r && off < end; off += PIECE_BYTES) {
			off_t left = end - off;

			r = copy_piece(copy, off, left < PIECE_BYTES ? (size_t)left : PIECE_BYTES);
		}
		off = end;
	}
	return r;
}

static bool is_unchanged(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
	       a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* Reading should not move the source's access time, where we may ask for that. */
static int open_source(const char *path)
{
	int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
	int fd = open(path, flags | O_NOATIME);

	return fd < 0 && errno == EPERM ? open(path, flags) : fd;
}

static int open_copy(struct copy *copy, const char *from, const char *to)
{
	copy->buf = aligned_alloc(PAGE_BYTES, PIECE_BYTES);
	copy->again = aligned_alloc(PAGE_BYTES, PIECE_BYTES);
	if (!copy->buf || !copy->again) {
		errno = ENOMEM;
		return failed(copy, "cannot be copied");
	}
	copy->in = open_source(from);
	if (copy->in < 0)
		return failed(copy, "cannot be opened");
	copy->out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (copy->out < 0)
		return failed(copy, "cannot be made");
	copy->back = open(to, O_RDONLY | O_DIRECT | O_NOFOLLOW | O_CLOEXEC);
	return copy->back < 0 ? failed(copy, "cannot be read back") : 0;
}

int import_copy_data(const char *from, const char *to, const struct stat *st,
		     int (*advanced)(void *arg, uint64_t bytes), void *arg, const char **what)
{
	struct copy copy = {
		.in = -1, .out = -1, .back = -1, .advanced = advanced, .arg = arg, .what = what};
	struct stat now;
	int r = open_copy(&copy, from, to);

	if (!r && (fstat(copy.in, &now) || !is_unchanged(st, &now)))
		r = -EAGAIN;
	if (!r)
		r = copy_ranges(&copy, st->st_size);
	if (!r && ftruncate(copy.out, st->st_size))
		r = failed(&copy, "cannot be written");
	if (!r && (fstat(copy.in, &now) || !is_unchanged(st, &now)))
		r = -EAGAIN;
	if (copy.in >= 0)
		close(copy.in);
	if (copy.back >= 0)
		close(copy.back);
	if (copy.out >= 0 && close(copy.out) && !r)
		r = failed(&copy, "cannot be written");
	free(copy.buf);
	free(copy.again);
	return r;
}

int import_same_data(const char *from, const char *to)
{
	char *a = malloc(PIECE_BYTES), *b = malloc(PIECE_BYTES);
	int in = open_source(from), out = open(to, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	int same = a && b && in >= 0 && out >= 0;
	off_t off = 0;
	ssize_t n = 1;

	while (same && n) {
		n = read_full(in, a, PIECE_BYTES, off);
		same = n >= 0 && read_full(out, b, PIECE_BYTES, off) == n &&
		       !memcmp(a, b, (size_t)n);
		off += n;
	}
	if (in >= 0)
		close(in);
	if (out >= 0)
		close(out);
	free(a);
	free(b);
	return same;
}

/* Attributes. -----------------------------------------------------------------------------------
 */

struct change { /* from one path to the other; the buffers are reused for each name */
	const char *from, *to;
	bool dry_run, set;
	const char **what;
	char value[VALUE_MAX], other[VALUE_MAX];
};

static int cannot(struct change *change, const char *what)
{
	*change->what = what;
	return -errno;
}

/* All names; the caller's. Filesystems without attributes have none. */
static char *names_of(const char *path, ssize_t *len)
{
	char *names = malloc(VALUE_MAX);

	*len = names ? llistxattr(path, names, VALUE_MAX) : -1;
	if (*len < 0 && names && (errno == EOPNOTSUPP || errno == ENOSYS))
		*len = 0;
	return names;
}

static bool is_listed(const char *names, ssize_t len, const char *name)
{
	for (const char *p = names; p < names + len; p += strlen(p) + 1)
		if (!strcmp(p, name))
			return true;
	return false;
}

static int copy_xattr(struct change *change, const char *name)
{
	ssize_t len = lgetxattr(change->from, name, change->value, VALUE_MAX);
	ssize_t there = lgetxattr(change->to, name, change->other, VALUE_MAX);

	if (len < 0)
		return cannot(change, "an extended attribute cannot be read");
	if (len == there && !memcmp(change->value, change->other, (size_t)len))
		return 0;
	change->set = true;
	if (!change->dry_run && lsetxattr(change->to, name, change->value, (size_t)len, 0))
		return cannot(change, "an extended attribute cannot be kept");
	return 0;
}

static int copy_xattrs(struct change *change)
{
	ssize_t wanted_len, there_len;
	char *wanted = names_of(change->from, &wanted_len);
	char *there = names_of(change->to, &there_len);
	int r = 0;

	if (wanted_len < 0 || there_len < 0)
		r = cannot(change, "the extended attributes cannot be listed");
	for (const char *p = wanted; !r && p < wanted + wanted_len; p += strlen(p) + 1)
		r = copy_xattr(change, p);
	for (const char *p = there; !r && p < there + there_len; p += strlen(p) + 1) {
		if (is_listed(wanted, wanted_len, p))
			continue;
		change->set = true;
		if (!change->dry_run && lremovexattr(change->to, p) && errno != ENODATA)
			r = cannot(change, "an extended attribute cannot be removed");
	}
	free(wanted);
	free(there);
	return r;
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

/* chown takes suid and capabilities away, so modes and attributes come after it; times are last. */
static int change_all(struct change *change, const struct stat *st)
{
	struct timespec times[2] = {st->st_atim, st->st_mtim};
	struct stat now;
	int r;

	if (lstat(change->to, &now))
		return cannot(change, "cannot be looked at");
	if (now.st_uid != st->st_uid || now.st_gid != st->st_gid) {
		change->set = true;
		if (!change->dry_run && lchown(change->to, st->st_uid, st->st_gid))
			return cannot(change, "the owner cannot be kept");
	}
	r = copy_xattrs(change);
	if (r)
		return r;
	if (!change->dry_run && lstat(change->to, &now))
		return cannot(change, "cannot be looked at");
	if (!S_ISLNK(st->st_mode) && (now.st_mode ^ st->st_mode) & 07777) {
		change->set = true;
		if (!change->dry_run && chmod(change->to, st->st_mode & 07777))
			return cannot(change, "the mode cannot be kept");
	}
	if (same_time(&now.st_mtim, &st->st_mtim) && !change->set)
		return 0;
	change->set = true;
	if (!change->dry_run && utimensat(AT_FDCWD, change->to, times, AT_SYMLINK_NOFOLLOW))
		return cannot(change, "the times cannot be kept");
	return 0;
}

int import_attributes(const char *from, const char *to, const struct stat *st, bool dry_run,
		      bool *set, const char **what)
{
	struct change *change = calloc(1, sizeof(*change));
	int r;

	*set = false;
	if (!change) {
		*what = "cannot be copied";
		return -ENOMEM;
	}
	change->from = from;
	change->to = to;
	change->dry_run = dry_run;
	change->what = what;
	r = change_all(change, st);
	*set = change->set;
	free(change);
	return r;
}
