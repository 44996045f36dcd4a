// SPDX-License-Identifier: Apache-2.0
/* See fix_dir.h. */
#include "tests/unit/fix_dir.h"

#include <assert.h>
#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tiers/log.h"

void dir_fixture_make(struct dir_fixture *fixture, const char *base)
{
	unsigned i;

	memset(fixture, 0, sizeof(*fixture));
	snprintf(fixture->root, sizeof(fixture->root), "%s/terrace-XXXXXX", base);
	if (!mkdtemp(fixture->root))
		abort();
	for (i = 0; i < DIR_FIXTURE_PATHS; i++) {
		snprintf(fixture->paths[i], sizeof(fixture->paths[i]), "%s/%u", fixture->root, i);
		if (mkdir(fixture->paths[i], 0700))
			abort();
		fixture->list[i] = fixture->paths[i];
	}
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void dir_fixture_remove(struct dir_fixture *fixture)
{
	unsigned i;

	for (i = 0; i < DIR_FIXTURE_PATHS; i++) {
		if (fixture->mounted >> i & 1)
			umount2(fixture->paths[i], MNT_DETACH);
	}
	nftw(fixture->root, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

bool dir_fixture_mount(struct dir_fixture *fixture, unsigned i, uint64_t bytes)
{
	char options[32];

	snprintf(options, sizeof(options), "size=%llu", (unsigned long long)bytes);
	if (mount("tmpfs", fixture->paths[i], "tmpfs", 0, options))
		return false;
	fixture->mounted |= 1u << i;
	return true;
}

bool dir_fixture_read_only(struct dir_fixture *fixture, unsigned i)
{
	return !mount("tmpfs", fixture->paths[i], "tmpfs", MS_REMOUNT | MS_RDONLY, NULL);
}

static struct {
	pthread_mutex_t lock;
	char lines[16384];
	char out[16384];
} captured = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void capture_line(void *arg, enum log_level level, const char *line)
{
	size_t used;

	(void)arg;
	(void)level;
	pthread_mutex_lock(&captured.lock);
	used = strlen(captured.lines);
	snprintf(captured.lines + used, sizeof(captured.lines) - used, "%s\n", line);
	pthread_mutex_unlock(&captured.lock);
}

void log_capture(void)
{
	captured.lines[0] = '\0';
	log_sink_set(capture_line, NULL);
}

const char *log_captured(void)
{
	pthread_mutex_lock(&captured.lock);
	memcpy(captured.out, captured.lines, sizeof(captured.out));
	captured.lines[0] = '\0';
	pthread_mutex_unlock(&captured.lock);
	return captured.out;
}

void log_release(void)
{
	log_sink_set(NULL, NULL);
}
