// SPDX-License-Identifier: Apache-2.0
/*
 * Control groups: limits of all groups from our own up to the root count; in each, page cache that
 * can be dropped counts as available, as MemAvailable does for the machine.
 */
#include "tiers/memory_facts.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GROUPS	 "/sys/fs/cgroup"
#define PATH_CAP 4200u /* of a folder in 4096 */

/* The number that follows the word at the beginning of a line; a NULL word: the first line. */
static bool number_of(const char *path, const char *word, uint64_t *out)
{
	size_t len = word ? strlen(word) : 0;
	FILE *file = fopen(path, "re");
	bool found = false;
	char line[256];

	if (!file)
		return false;
	while (!found && fgets(line, sizeof(line), file))
		found = (!word || !strncmp(line, word, len)) &&
			sscanf(line + len, " %" SCNu64, out) == 1;
	fclose(file);
	return found;
}

static void read_machine(const char *root, struct memory_facts *out)
{
	char path[PATH_CAP];
	uint64_t total, available;

	snprintf(path, sizeof(path), "%s/proc/meminfo", root);
	if (!number_of(path, "MemTotal:", &total) || !number_of(path, "MemAvailable:", &available))
		return;
	out->total = total << 10;
	out->available = available << 10;
}

static void read_pressure(const char *path, struct memory_facts *out)
{
	FILE *file = fopen(path, "re");
	char line[256], kind[8];
	double avg10;

	if (!file)
		return;
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%7s avg10=%lf", kind, &avg10) != 2)
			continue;
		if (!strcmp(kind, "some"))
			out->some = avg10;
		else if (!strcmp(kind, "full"))
			out->full = avg10;
	}
	fclose(file);
}

/* One group: `folder` is where its files are. */
static void apply_group(const char *folder, struct memory_facts *out)
{
	uint64_t max, current, part, cache = 0, left;
	char path[PATH_CAP];

	snprintf(path, sizeof(path), "%s/memory.max", folder);
	if (!number_of(path, NULL, &max)) /* "max" is no number: no limit */
		return;
	snprintf(path, sizeof(path), "%s/memory.current", folder);
	if (!number_of(path, NULL, &current))
		return;
	snprintf(path, sizeof(path), "%s/memory.stat", folder);
	if (number_of(path, "inactive_file ", &part))
		cache += part;
	if (number_of(path, "active_file ", &part))
		cache += part;
	current -= cache < current ? cache : current;
	left = current < max ? max - current : 0;
	if (!out->total || max < out->total)
		out->total = max;
	if (left < out->available)
		out->available = left;
}

/* The path of our group below the root of the hierarchy, without a slash at its end; "" is the root
 * itself. */
static bool group_path(const char *root, char *buf, size_t cap)
{
	char path[PATH_CAP];
	bool found = false;
	FILE *file;

	snprintf(path, sizeof(path), "%s/proc/self/cgroup", root);
	file = fopen(path, "re");
	if (!file)
		return false;
	while (!found && fgets(buf, (int)cap, file))
		found = !strncmp(buf, "0::/", 4);
	fclose(file);
	if (!found)
		return false;
	memmove(buf, buf + 3, strlen(buf + 3) + 1);
	buf[strcspn(buf, "\n")] = '\0';
	if (!strcmp(buf, "/"))
		buf[0] = '\0';
	return true;
}

void memory_facts_read(const char *root, struct memory_facts *out)
{
	char group[1024], path[4096];

	*out = (struct memory_facts){0};
	read_machine(root, out);
	snprintf(path, sizeof(path), "%s/proc/pressure/memory", root);
	read_pressure(path, out);
	if (!out->total || !group_path(root, group, sizeof(group)))
		return;
	if (group[0]) { /* our own stalls say more than the machine's */
		snprintf(path, sizeof(path), "%s" GROUPS "%s/memory.pressure", root, group);
		read_pressure(path, out);
	}
	while (group[0]) {
		snprintf(path, sizeof(path), "%s" GROUPS "%s", root, group);
		apply_group(path, out);
		*strrchr(group, '/') = '\0';
	}
}
