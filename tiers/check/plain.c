// SPDX-License-Identifier: Apache-2.0
/* Plain files: each plain object has its file, each file its object. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "tiers/check/check_impl.h"
#include "tiers/io.h"
#include "tiers/plain_files.h"

/* While the pool is mounted, turns go on that the last checkpoint knows nothing of. */
static bool unknown(const struct check *check)
{
	return check->result->live || check->places_unsure;
}

int check_plain_object(struct check *check, uint64_t id, const struct object_record *record)
{
	const struct plain_home *home = &record->plain;
	const char *root = NULL;
	char path[PATH_MAX];
	int fd;

	check->plain = true;
	if (unknown(check))
		return 0;
	if (home->tier < check->config->ntiers && home->place < TIER_PLACES_MAX)
		root = check->places[home->tier][home->place];
	if (root && plain_path(root, id, home->generation, path, sizeof(path)) == 0) {
		fd = io_open(path, O_RDONLY, 0);
		if (fd >= 0) {
			io_close(fd);
			return 0;
		}
		if (fd != -ENOENT)
			return fd;
	}
	check_report(check, CHECK_PLAIN_MISSING, false, id,
		     "is plain, and its file %016llx.%08x is not in tier %u, directory %u",
		     (unsigned long long)id, home->generation, home->tier, home->place);
	return 0;
}

static int remove_file(struct check *check, void *arg)
{
	(void)check;
	return io_remove(arg);
}

struct looking {
	struct check *check;
	const char *root;
	uint32_t tier, place;
};

static bool is_of(const struct looking *looking, const struct object_record *record,
		  uint32_t generation)
{
	return record->plain.set && record->plain.tier == looking->tier &&
	       record->plain.place == looking->place && record->plain.generation == generation;
}

static int each_file(void *arg, uint64_t id, uint32_t generation, const struct stat *st)
{
	const struct looking *looking = arg;
	struct check *check = looking->check;
	uint8_t key[KEY_LEN_1], value[RECORD_OBJECT_MAX];
	struct object_record record;
	char path[PATH_MAX], *copy;
	size_t len;
	int rc = meta_get(check->meta, key, key_1(key, KEY_OBJECT, id), value, sizeof(value), &len);

	(void)st;
	if (rc < 0 && rc != -ENOENT)
		return rc == -ERANGE || rc == -EBADMSG ? 0 : rc; /* told of by records.c */
	if (rc == 0 && object_record_decode(value, len, &record) < 0)
		return 0;
	if (rc == 0 && is_of(looking, &record, generation))
		return 0;
	if (plain_path(looking->root, id, generation, path, sizeof(path)) < 0 ||
	    !check_report_at(check, CHECK_PLAIN_STRAY, true, path,
			     "no record speaks of this plain file"))
		return 0;
	copy = strdup(path);
	return copy ? check_mend_medium(check, remove_file, copy) : -ENOMEM;
}

int check_plain(struct check *check)
{
	int rc = 0;

	if (unknown(check))
		return 0;
	for (uint32_t t = 1; t < check->config->ntiers; t++) {
		for (uint32_t p = 0; p < TIER_PLACES_MAX && rc == 0; p++) {
			struct looking looking = {check, check->places[t][p], t, p};

			if (looking.root)
				rc = plain_files_each(looking.root, each_file, &looking);
		}
	}
	return rc;
}
