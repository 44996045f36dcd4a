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
#include <unistd.h>

#include "tests/unit/fix_place.h"
#include "tiers/io.h"

#define SECTOR	  512
#define FILES_MAX 1024 /* descriptors */

struct saved {
	struct saved *older;
	char path[512];
	off_t off;
	uint8_t bytes[SECTOR];
	ssize_t len;
};

static struct {
	char folder[256];
	uint64_t left;
	bool dead;
	bool died; /* and was revived */
	struct dice dice;
	struct saved *saved;
	char path[FILES_MAX][512]; /* of covered descriptors */
	bool folder_fd[FILES_MAX];
	char fresh[64][512]; /* names not yet synced */
	uint32_t nfresh;
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
	if (fresh && cut.nfresh < 64)
		snprintf(cut.fresh[cut.nfresh++], 512, "%s", path);
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

static void sector_save(int fd, off_t off)
{
	struct saved *saved = calloc(1, sizeof(*saved));

	if (!saved)
		abort();
	snprintf(saved->path, sizeof(saved->path), "%s", cut.path[fd]);
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

	if (!covered(fd))
		return 0;
	if (cut_due())
		return -1;
	if (cut.folder_fd[fd])
		cut.nfresh = 0;
	while (*link) {
		struct saved *saved = *link;

		if (strcmp(saved->path, cut.path[fd])) {
			link = &saved->older;
			continue;
		}
		*link = saved->older;
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
	return !strncmp(from, cut.folder, strlen(cut.folder)) && cut_due()
		       ? -1
		       : io_ops_system.rename(from, to);
}

static int cut_unlink(const char *path)
{
	return !strncmp(path, cut.folder, strlen(cut.folder)) && cut_due() ? -1 : unlink(path);
}

void cut_arm(const char *folder, uint64_t nth, uint64_t seed)
{
	static struct io_ops ops;

	memset(&cut, 0, sizeof(cut));
	snprintf(cut.folder, sizeof(cut.folder), "%s", folder);
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
	int fd = open(saved->path, O_WRONLY);

	if (fd < 0)
		return; /* removed since */
	if (saved->len > 0 && pwrite(fd, saved->bytes, (size_t)saved->len, saved->off) < 0)
		abort();
	close(fd);
}

bool cut_apply(enum cut_kind kind)
{
	struct saved *saved, *older;
	uint32_t i;

	io_ops_set(NULL);
	for (saved = cut.saved; saved; saved = older) {
		older = saved->older;
		if (kind == CUT_LOST || (kind == CUT_TORN && dice_roll(&cut.dice, 2)))
			sector_restore(saved);
		free(saved);
	}
	cut.saved = NULL;
	for (i = 0; kind != CUT_KEPT && i < cut.nfresh; i++)
		unlink(cut.fresh[i]);
	return cut.dead || cut.died;
}
