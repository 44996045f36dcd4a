// SPDX-License-Identifier: Apache-2.0
#include "fs/deep.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define OPEN_FLAGS (O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

/* The part of path that one call can take: up to a slash. 0: there is none. */
static size_t part_len(const char *path)
{
	size_t len = PATH_MAX - 1;

	while (len && path[len] != '/')
		len--;
	return len;
}

int deep_open(int top, const char *path, const char **rest)
{
	int fd = openat(top, ".", OPEN_FLAGS);

	while (fd >= 0 && strlen(path) >= PATH_MAX) {
		char part[PATH_MAX];
		size_t len = part_len(path);
		int next;

		memcpy(part, path, len);
		part[len] = '\0';
		next = openat(fd, part, OPEN_FLAGS);
		close(fd);
		fd = next;
		path += len + 1;
	}
	*rest = path;
	return fd < 0 ? -errno : fd;
}

void deep_allow(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}
