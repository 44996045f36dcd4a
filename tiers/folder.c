// SPDX-License-Identifier: Apache-2.0
/*
 * What is looked at is the folder that was opened, not its name. The name is then used again: it
 * leads to the same folder, since those above it keep others from renaming it (parent_check()).
 */
#include "tiers/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tiers/io.h"
#include "tiers/log.h"

/* Who may write to a folder may rename what is in it, but for the sticky bit. */
static int parent_check(const char *path)
{
	char *copy = strdup(path);
	const char *parent = copy ? dirname(copy) : NULL;
	struct stat st;
	int rc = parent ? 0 : -ENOMEM;

	if (rc == 0 && stat(parent, &st) == 0 && st.st_mode & S_IWOTH && !(st.st_mode & S_ISVTX)) {
		log_error("%s: everybody may write to it, and rename what is in it: use another "
			  "folder, or set its sticky bit (chmod +t)",
			  parent);
		rc = -EPERM;
	}
	free(copy);
	return rc;
}

static bool owner_trusted(const struct stat *st, const char *trusted)
{
	struct stat other;

	return st->st_uid == geteuid() ||
	       (trusted && stat(trusted, &other) == 0 && other.st_uid == st->st_uid);
}

/* A descriptor of the folder, or why it is none of ours. */
static int open_folder(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int folder_check(const char *path, const char *trusted)
{
	int fd = open_folder(path), rc = 0;
	struct stat st = {0};

	if (fd < 0) {
		log_error("%s: %s: it should be a folder of the daemon's own; remove it", path,
			  fd == -ENOTDIR || fd == -ELOOP ? "no folder" : strerror(-fd));
		return fd == -ELOOP ? -ENOTDIR : fd;
	}
	if (fstat(fd, &st))
		rc = -errno;
	else if (!owner_trusted(&st, trusted) || st.st_mode & (S_IWGRP | S_IWOTH))
		rc = -EPERM;
	if (rc)
		log_error("%s: belongs to user %u, mode %o: others might have put something there; "
			  "remove it, or give it to the user who mounts, with mode 700",
			  path, st.st_uid, st.st_mode & 07777);
	close(fd);
	return rc;
}

int folder_claim(const char *path, const char *trusted, bool *made)
{
	int rc = parent_check(path);

	*made = false;
	if (rc)
		return rc;
	*made = mkdir(path, 0700) == 0;
	if (*made) {
		if (trusted)
			io_give_folder(path, trusted);
		return 0;
	}
	if (errno == EEXIST)
		return folder_check(path, trusted);
	rc = -errno;
	log_error("%s: the folder cannot be made: %s", path, strerror(-rc));
	return rc;
}

void folder_remove(const char *path)
{
	int fd = open_folder(path);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	struct stat st;

	if (!dir) {
		if (fd >= 0)
			close(fd);
		return;
	}
	if (fstat(dirfd(dir), &st) || st.st_uid != geteuid()) {
		closedir(dir);
		return;
	}
	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			unlinkat(dirfd(dir), entry->d_name, 0);
	closedir(dir);
	rmdir(path);
}

bool folder_upwards(const char *path, bool (*is)(int fd, const struct stat *st, void *arg),
		    void *arg)
{
	int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct stat here, last = {0};
	bool found = false;

	/* A folder whose parent is itself is the root. */
	while (fd >= 0 && !found && fstat(fd, &here) == 0 &&
	       (here.st_dev != last.st_dev || here.st_ino != last.st_ino)) {
		int parent = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);

		found = is(fd, &here, arg);
		last = here;
		close(fd);
		fd = parent;
	}
	if (fd >= 0)
		close(fd);
	return found;
}
