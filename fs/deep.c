// SPDX-License-Identifier: Apache-2.0
#include "fs/deep.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define PATH_CAP   256u
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

int deep_begin(struct deep_path *path)
{
	*path = (struct deep_path){.text = calloc(1, PATH_CAP), .cap = PATH_CAP};
	return path->text ? 0 : -ENOMEM;
}

int deep_push(struct deep_path *path, const char *name)
{
	size_t need = path->len + strlen(name) + 2;

	if (need > path->cap) {
		char *longer = realloc(path->text, 2 * need);

		if (!longer)
			return -ENOMEM;
		path->text = longer;
		path->cap = 2 * need;
	}
	path->len += (size_t)sprintf(path->text + path->len, "%s%s", path->len ? "/" : "", name);
	return 0;
}

void deep_cut(struct deep_path *path, size_t len)
{
	path->len = len;
	path->text[len] = '\0';
}

unsigned deep_levels(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_STACK, &limit) < 0 || limit.rlim_cur / DEEP_LEVEL_BYTES >= DEEP_LEVELS)
		return DEEP_LEVELS;
	return (unsigned)(limit.rlim_cur / DEEP_LEVEL_BYTES);
}

void deep_allow(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}
