// SPDX-License-Identifier: Apache-2.0
/* See fix_place.h. Any failure here is a failure of the machine, so it aborts. */
#include "tests/unit/fix_place.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tiers/log.h"
#include "tiers/meta.h"

static void must(int good, const char *what)
{
	if (good)
		return;
	perror(what);
	abort();
}

static void folder_clear(const char *dir)
{
	DIR *folder = opendir(dir);
	struct dirent *entry;
	char path[512];

	must(folder != NULL, dir);
	while ((entry = readdir(folder))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
		must(unlink(path) == 0, path);
	}
	closedir(folder);
}

static struct place
	*live_place; /* for the exit handler: a failed assertion leaves nothing behind */

static void place_exit(void)
{
	if (live_place)
		place_remove(live_place);
}

void place_make(struct place *place)
{
	static int registered;
	const char *tmp = getenv("TMPDIR");
	size_t i;

	place_exit(); /* of a test that failed before */
	snprintf(place->dir, sizeof(place->dir), "%.40s/terrace-XXXXXX", tmp ? tmp : "/tmp");
	must(mkdtemp(place->dir) != NULL, place->dir);
	snprintf(place->tail_dir, sizeof(place->tail_dir), "/dev/shm/terrace-XXXXXX");
	must(mkdtemp(place->tail_dir) != NULL, place->tail_dir);
	for (i = 0; i < sizeof(place->uuid); i++)
		place->uuid[i] = (uint8_t)(i * 7 + 1);
	live_place = place;
	if (!registered++)
		atexit(place_exit);
}

void place_remove(struct place *place)
{
	live_place = NULL;
	folder_clear(place->dir);
	folder_clear(place->tail_dir);
	must(rmdir(place->dir) == 0, place->dir);
	must(rmdir(place->tail_dir) == 0, place->tail_dir);
}

void place_options(const struct place *place, bool create, size_t memtable_bytes,
		   struct meta_options *out)
{
	*out = (struct meta_options){
		.dir = place->dir,
		.tail_dir = place->tail_dir,
		.pool_uuid = place->uuid,
		.memtable_bytes = memtable_bytes,
		.create = create,
	};
}

void place_lose_tail(const struct place *place)
{
	folder_clear(place->tail_dir);
}

uint8_t *place_read(const char *path, uint64_t *len)
{
	int fd = open(path, O_RDONLY);
	struct stat st;
	uint8_t *bytes;

	must(fd >= 0 && fstat(fd, &st) == 0, path);
	*len = (uint64_t)st.st_size;
	bytes = malloc(*len + 1);
	must(bytes && read(fd, bytes, *len) == st.st_size, path);
	close(fd);
	return bytes;
}

void place_write(const char *path, const uint8_t *bytes, uint64_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	must(fd >= 0 && write(fd, bytes, len) == (ssize_t)len, path);
	close(fd);
}

void place_copy(const char *from, const char *to)
{
	DIR *folder = opendir(from);
	struct dirent *entry;
	char path[512];

	folder_clear(to);
	must(folder != NULL, from);
	while ((entry = readdir(folder))) {
		uint8_t *bytes;
		uint64_t len;

		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", from, entry->d_name);
		bytes = place_read(path, &len);
		snprintf(path, sizeof(path), "%s/%s", to, entry->d_name);
		place_write(path, bytes, len);
		free(bytes);
	}
	closedir(folder);
}

void dice_init(struct dice *dice, const char *test)
{
	const char *set = getenv("TERRACE_SEED");
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	dice->state = set ? strtoull(set, NULL, 0) : (uint64_t)(ts.tv_sec ^ (ts.tv_nsec << 12));
	dice->state |= 1;
	printf("%s: TERRACE_SEED=%llu\n", test, (unsigned long long)dice->state);
}

uint64_t dice_roll(struct dice *dice, uint64_t below)
{
	dice->state ^= dice->state << 13;
	dice->state ^= dice->state >> 7;
	dice->state ^= dice->state << 17;
	return (dice->state * 0x2545f4914f6cdd1du >> 11) % below;
}

static char quiet_line[1024];

static void quiet_sink(void *arg, enum log_level level, const char *line)
{
	(void)arg;
	if (level == LOG_LEVEL_ERROR)
		snprintf(quiet_line, sizeof(quiet_line), "%s", line);
}

void quiet_begin(void)
{
	quiet_line[0] = '\0';
	log_sink_set(quiet_sink, NULL);
}

void quiet_end(void)
{
	log_sink_set(NULL, NULL);
}

const char *quiet_last(void)
{
	return quiet_line;
}
