// SPDX-License-Identifier: Apache-2.0
/*
 * Directories and their labels: which place each directory is. A label that is lost is written
 * anew when the segments in the directory prove whose it is: each of their headers names pool, tier
 * and number, and the metadata says in which place of the tier that number lies.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tiers/check/check_impl.h"
#include "tiers/io.h"
#include "tiers/segment.h"
#include "tiers/segment_file.h"
#include "tiers/tier_label.h"

#define CONTRADICTION 1

struct proof { /* what the segments in a directory say */
	struct check *check;
	uint32_t tier;
	const char *path;
	uint32_t segments; /* that agree */
	uint16_t place;
};

struct label_fix {
	struct tier_label label;
	char path[PATH_MAX];
};

static int write_label(struct check *check, void *arg)
{
	const struct label_fix *fix = arg;

	(void)check;
	return tier_label_write(fix->path, &fix->label);
}

static int label_read(const char *path, struct tier_label *out)
{
	uint8_t buf[TIER_LABEL_LEN];
	char name[PATH_MAX];
	int fd = io_open(path, O_RDONLY | O_DIRECTORY, 0), rc;

	if (fd < 0)
		return fd; /* -ENOENT: a missing label is -ENODATA */
	io_close(fd);
	if (snprintf(name, sizeof(name), "%s/" TIER_LABEL_NAME, path) >= (int)sizeof(name))
		return -ENAMETOOLONG;
	fd = io_open(name, O_RDONLY, 0);
	if (fd < 0)
		return fd == -ENOENT ? -ENODATA : fd;
	rc = io_pread_all(fd, buf, sizeof(buf), 0);
	io_close(fd);
	if (rc < 0)
		return rc == -ENODATA ? -EBADMSG : rc;
	rc = tier_label_decode(buf, sizeof(buf), out);
	return rc == -ENODATA ? -EBADMSG : rc; /* zeros instead of a label */
}

static int proof_add(void *arg, uint64_t id, int folder, const char *name)
{
	struct proof *proof = arg;
	uint8_t key[KEY_LEN_1], value[RECORD_SEGMENT_MAX], buf[SEGMENT_HEADER_LEN];
	struct segment_header header;
	struct segment_record record;
	char path[PATH_MAX];
	size_t len;
	int fd, rc = segment_file_path(path, sizeof(path), proof->path, id);

	(void)folder;
	(void)name;
	fd = rc < 0 ? rc : io_open(path, O_RDONLY, 0);
	rc = fd < 0 ? fd : io_pread_all(fd, buf, sizeof(buf), 0);
	if (fd >= 0)
		io_close(fd);
	if (rc < 0 || segment_header_check(buf, sizeof(buf), &header) < 0)
		return 0;
	if (memcmp(header.pool_uuid, proof->check->config->uuid, 16) != 0 ||
	    header.tier_id != proof->tier || header.id != id)
		return CONTRADICTION;
	if (meta_get(proof->check->meta, key, key_1(key, KEY_SEGMENT, id), value, sizeof(value),
		     &len) < 0 ||
	    segment_record_decode(value, len, &record) < 0 || record.tier != proof->tier ||
	    record.mirrored) /* it may be in any of several places */
		return 0;
	if (proof->segments && record.place != proof->place)
		return CONTRADICTION;
	proof->place = record.place;
	proof->segments++;
	return 0;
}

/* What cannot be listed might contradict. -ENOMEM: nothing can be said. */
static int place_find(struct check *check, uint32_t tier, const char *path, uint16_t *place,
		      bool *known)
{
	struct proof proof = {.check = check, .tier = tier, .path = path};
	int rc = segment_files_each(path, proof_add, &proof);

	*place = proof.place;
	*known = rc == 0 && proof.segments && proof.place < TIER_PLACES_MAX &&
		 !check->places[tier][proof.place];
	return rc == -ENOMEM ? rc : 0;
}

static int label_lost(struct check *check, uint32_t tier, const char *path, int error)
{
	const struct config_tier *config = &check->config->tiers[tier];
	struct label_fix *fix;
	uint16_t place;
	bool known;
	int rc = place_find(check, tier, path, &place, &known);

	if (rc < 0)
		return rc;
	if (!known)
		check->places_unsure = true;
	else
		check->places[tier][place] = path;
	if (!check_report_at(check, error == -ENODATA ? CHECK_LABEL_MISSING : CHECK_LABEL_DAMAGED,
			     known, path, "tier %s: the label of the directory is %s%s",
			     config->name, error == -ENODATA ? "missing" : "damaged",
			     known ? "" : ", and nothing in it says which directory it is"))
		return 0;
	if (check->round > 1)
		return 0;
	fix = calloc(1, sizeof(*fix));
	if (!fix)
		return -ENOMEM;
	snprintf(fix->path, sizeof(fix->path), "%s", path);
	memcpy(fix->label.pool_uuid, check->config->uuid, 16);
	fix->label.tier_id = tier;
	fix->label.place = place;
	fix->label.nplaces = config->npaths;
	return check_mend_medium(check, write_label, fix);
}

/* What a directory is, whose label can be read. */
static void label_take(struct check *check, uint32_t tier, const char *path,
		       const struct tier_label *label)
{
	const char *name = check->config->tiers[tier].name;

	if (memcmp(label->pool_uuid, check->config->uuid, 16) != 0) {
		check_report_at(check, CHECK_LABEL_FOREIGN, false, path,
				"tier %s: the directory belongs to another pool", name);
	} else if (label->tier_id != tier || label->place >= TIER_PLACES_MAX) {
		check_report_at(check, CHECK_LABEL_FOREIGN, false, path,
				"tier %s: the label says tier number %u, directory %u; this is "
				"tier number %u",
				name, label->tier_id, label->place + 1, tier);
	} else if (check->places[tier][label->place]) {
		check_report_at(check, CHECK_LABEL_FOREIGN, false, path,
				"tier %s: the label says directory %u of the tier, and so does "
				"that of %s",
				name, label->place + 1, check->places[tier][label->place]);
	} else {
		check->places[tier][label->place] = path;
		return;
	}
	check->places_unsure = true;
}

/* Those that can be read first: a lost one must not take the place of another. */
static int tier_labels(struct check *check, uint32_t tier)
{
	const struct config_tier *config = &check->config->tiers[tier];
	struct tier_label label;
	int rc = 0;

	for (uint32_t i = 0; i < config->npaths; i++) {
		int error = label_read(config->paths[i], &label);

		if (!error) {
			label_take(check, tier, config->paths[i], &label);
		} else if (error != -ENODATA && error != -EBADMSG) {
			check_report_at(check, CHECK_DIRECTORY, false, config->paths[i],
					"tier %s: the directory cannot be read: %s", config->name,
					error == -ENOTSUP ? "made by a newer version"
							  : strerror(-error));
			check->places_unsure = true;
		}
	}
	for (uint32_t i = 0; i < config->npaths && rc == 0; i++) {
		int error = label_read(config->paths[i], &label);

		if (error == -ENODATA || error == -EBADMSG)
			rc = label_lost(check, tier, config->paths[i], error);
	}
	return rc;
}

/* Once: what is written anew is so only at the end. */
int check_labels(struct check *check)
{
	int rc = 0;

	if (check->round > 1)
		return 0;
	for (uint32_t t = 1; t < check->config->ntiers && rc == 0; t++)
		rc = tier_labels(check, t);
	return rc;
}
