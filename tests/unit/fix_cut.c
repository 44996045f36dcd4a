// SPDX-License-Identifier: Apache-2.0
/*
 * See fix_cut.h. Before each write the sectors it will change are saved; a sync of the file forgets
 * what was saved of it. Lost or torn sectors get their saved bytes back, newest first.
 * One thread.
 */
#include "tests/unit/fix_cut.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/fix_place.h"
#include "tiers/io.h"

#define SECTOR	  512
#define FILES_MAX 1024 /* descriptors */

struct saved {
	struct saved *older;
	ino_t file; /* its names may change */
	int fd;	    /* of our own, for writing */
	off_t off;
	uint8_t bytes[SECTOR];
	ssize_t len;
};

/* A change of names whose folder was not synced. */
struct change {
	struct change *older;
	char from[512]; /* of a rename; "": a new file, or one that was removed */
	char path[512];
	char kept[600]; /* what had that name before; "": nothing */
};

static struct {
	char folder[256];
	char aside[256]; /* beside it, on the same file system: what lost its name */
	unsigned nkept;
	struct change *changes;
	uint64_t left;
	bool dead;
	bool died; /* and was revived */
	struct dice dice;
	struct saved *saved;
	char path[FILES_MAX][512]; /* of covered descriptors */
	bool folder_fd[FILES_MAX];
} cut;

/* Counts a call; true: the machine is dead. */
static bool cut_due(void)
{
	if (!cut.dead && --cut.left == 0)
		cut.dead = true;
	if (cut.dead)
		errno = EIO;
	return cut.dead;
}

static void change_add(const char *from, const char *path)
{
	struct change *change = calloc(1, sizeof(*change));

	if (!change)
		abort();
	snprintf(change->from, sizeof(change->from), "%s", from);
	snprintf(change->path, sizeof(change->path), "%s", path);
	snprintf(change->kept, sizeof(change->kept), "%s/%u", cut.aside, cut.nkept++);
	if (link(path, change->kept)) /* also where it is a folder */
		change->kept[0] = '\0';
	change->older = cut.changes;
	cut.changes = change;
}

static bool is_in(const char *path, const char *folder)
{
	size_t len = strlen(folder);

	return !strncmp(path, folder, len) && path[len] == '/' && !strchr(path + len + 1, '/');
}

static void changes_forget(const char *folder)
{
	struct change **link = &cut.changes;

	while (*link) {
		struct change *change = *link;

		if (!is_in(change->path, folder)) {
			link = &change->older;
			continue;
		}
		*link = change->older;
		unlink(change->kept);
		free(change);
	}
}

static int cut_open(const char *path, int flags, mode_t mode)
{
	bool fresh = (flags & O_CREAT) && access(path, F_OK);
	int fd;

	if (strncmp(path, cut.folder, strlen(cut.folder)))
		return io_ops_system.open(path, flags, mode);
	if (cut_due())
		return -1;
	fd = io_ops_system.open(path, flags, mode);
	if (fd < 0 || fd >= FILES_MAX)
		return fd;
	snprintf(cut.path[fd], sizeof(cut.path[fd]), "%s", path);
	cut.folder_fd[fd] = (flags & O_DIRECTORY) != 0;
	if (fresh)
		change_add("", path);
	return fd;
}

static bool covered(int fd)
{
	return fd >= 0 && fd < FILES_MAX && cut.path[fd][0];
}

static int cut_close(int fd)
{
	if (covered(fd))
		cut.path[fd][0] = '\0';
	return close(fd);
}

static ino_t file_of(int fd)
{
	struct stat st;

	if (fstat(fd, &st))
		abort();
	return st.st_ino;
}

/* One descriptor for all that is saved of a file. */
static int file_hold(int fd, ino_t file)
{
	char path[64];

	for (struct saved *saved = cut.saved; saved; saved = saved->older)
		if (saved->file == file)
			return saved->fd;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		abort();
	return fd;
}

/* When nothing else is saved of its file. */
static void file_let_go(const struct saved *gone)
{
	for (struct saved *saved = cut.saved; saved; saved = saved->older)
		if (saved->fd == gone->fd)
			return;
	close(gone->fd);
}

static void sector_save(int fd, off_t off)
{
	struct saved *saved = calloc(1, sizeof(*saved));

	if (!saved)
		abort();
	saved->file = file_of(fd);
	saved->fd = file_hold(fd, saved->file);
	saved->off = off;
	saved->len = pread(fd, saved->bytes, SECTOR, off);
	saved->older = cut.saved;
	cut.saved = saved;
}

static ssize_t cut_pwrite(int fd, const void *buf, size_t len, off_t off)
{
	off_t sector;

	if (!covered(fd))
		return pwrite(fd, buf, len, off);
	/* The call in which the power goes has written: what of it stays, cut_apply() says. */
	if (cut.dead) {
		errno = EIO;
		return -1;
	}
	for (sector = off / SECTOR * SECTOR; sector < off + (off_t)len; sector += SECTOR)
		sector_save(fd, sector);
	if (pwrite(fd, buf, len, off) != (ssize_t)len)
		abort();
	return cut_due() ? -1 : (ssize_t)len;
}

static int cut_sync(int fd)
{
	struct saved **link = &cut.saved;
	ino_t file;

	if (!covered(fd))
		return 0;
	if (cut_due())
		return -1;
	file = file_of(fd);
	if (cut.folder_fd[fd])
		changes_forget(cut.path[fd]);
	while (*link) {
		struct saved *saved = *link;

		if (saved->file != file) {
			link = &saved->older;
			continue;
		}
		*link = saved->older;
		file_let_go(saved);
		free(saved);
	}
	return 0;
}

static int cut_ftruncate(int fd, off_t len)
{
	return covered(fd) && cut_due() ? -1 : ftruncate(fd, len);
}

static int cut_fallocate(int fd, int mode, off_t off, off_t len)
{
	return covered(fd) && cut_due() ? -1 : io_ops_system.fallocate(fd, mode, off, len);
}

static int cut_rename(const char *from, const char *to)
{
	if (strncmp(from, cut.folder, strlen(cut.folder)))
		return io_ops_system.rename(from, to);
	if (cut_due())
		return -1;
	change_add(from, to);
	return io_ops_system.rename(from, to);
}

static int cut_unlink(const char *path)
{
	if (strncmp(path, cut.folder, strlen(cut.folder)))
		return unlink(path);
	if (cut_due())
		return -1;
	change_add("", path);
	return unlink(path);
}

void cut_arm(const char *folder, uint64_t nth, uint64_t seed)
{
	static struct io_ops ops;

	memset(&cut, 0, sizeof(cut));
	snprintf(cut.folder, sizeof(cut.folder), "%s", folder);
	snprintf(cut.aside, sizeof(cut.aside), "%s.aside-XXXXXX", folder);
	if (!mkdtemp(cut.aside))
		abort();
	cut.left = nth;
	cut.dice.state = seed | 1;
	ops = io_ops_system;
	ops.open = cut_open;
	ops.close = cut_close;
	ops.pwrite = cut_pwrite;
	ops.fdatasync = cut_sync;
	ops.fsync = cut_sync;
	ops.ftruncate = cut_ftruncate;
	ops.fallocate = cut_fallocate;
	ops.rename = cut_rename;
	ops.unlink = cut_unlink;
	io_ops_set(&ops);
}

void cut_revive(void)
{
	cut.died |= cut.dead;
	cut.dead = false;
	cut.left = UINT64_MAX;
}

static void sector_restore(const struct saved *saved)
{
	if (saved->len > 0 && pwrite(saved->fd, saved->bytes, (size_t)saved->len, saved->off) < 0)
		abort();
}

/* Newest first. A removed file has its name again, a renamed one its old one, a new one none. */
static void change_undo(const struct change *change)
{
	if (change->from[0])
		rename(change->path, change->from);
	else if (!change->kept[0])
		unlink(change->path);
	if (change->kept[0])
		rename(change->kept, change->path);
}

static void changes_apply(bool undo)
{
	struct change *change;

	while ((change = cut.changes)) {
		cut.changes = change->older;
		if (undo)
			change_undo(change);
		unlink(change->kept);
		free(change);
	}
	if (rmdir(cut.aside))
		abort();
}

bool cut_apply(enum cut_kind kind)
{
	bool gone = cut.dead || cut.died;
	struct saved *saved;

	io_ops_set(NULL);
	while ((saved = cut.saved)) {
		cut.saved = saved->older;
		if (kind == CUT_LOST || (kind == CUT_TORN && dice_roll(&cut.dice, 2)))
			sector_restore(saved);
		file_let_go(saved);
		free(saved);
	}
	changes_apply(kind == CUT_LOST || (kind == CUT_TORN && dice_roll(&cut.dice, 2)));
	return gone;
}
