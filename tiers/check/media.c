// SPDX-License-Identifier: Apache-2.0
/* The tiers' files as a check sees them: opened for reading, whatever else may be wrong. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "tiers/check/check_impl.h"
#include "tiers/io.h"
#include "tiers/segment_file.h"

int check_segment_path(struct check *check, uint8_t tier, uint16_t place, uint64_t id, char *buf,
		       size_t cap)
{
	const char *root = NULL;

	if (tier < check->config->ntiers && place < TIER_PLACES_MAX)
		root = check->places[tier][place];
	return root ? segment_file_path(buf, cap, root, id) : -ENODEV;
}

const char *check_place_text(const struct check *check, uint8_t tier, uint16_t place, char *buf,
			     size_t cap)
{
	const struct config_tier *config;
	const char *root = NULL;

	if (tier == 0 || tier >= check->config->ntiers) {
		snprintf(buf, cap, "tier number %u, directory %u", tier, place + 1u);
		return buf;
	}
	config = &check->config->tiers[tier];
	if (place < TIER_PLACES_MAX)
		root = check->places[tier][place];
	if (!root && config->npaths == 1 && place == 0)
		root = config->paths[0];
	if (root)
		snprintf(buf, cap, "tier %s, %s", config->name, root);
	else
		snprintf(buf, cap, "tier %s, directory %u", config->name, place + 1u);
	return buf;
}

int check_segment_open(struct check *check, uint8_t tier, uint16_t place, uint64_t id, int *fd,
		       uint64_t *len)
{
	char path[4096];
	struct stat st;
	int rc = check_segment_path(check, tier, place, id, path, sizeof(path));

	*fd = -1;
	if (rc < 0)
		return rc;
	*fd = io_open(path, O_RDONLY, 0);
	if (*fd < 0)
		return *fd;
	rc = io_stat(*fd, &st);
	if (rc < 0) {
		io_close(*fd);
		*fd = -1;
		return rc;
	}
	*len = (uint64_t)st.st_size;
	return 0;
}

int check_segment_find(struct check *check, uint64_t id, uint8_t *tier, uint16_t *place)
{
	for (uint32_t t = 1; t < check->config->ntiers; t++) {
		for (uint32_t p = 0; p < TIER_PLACES_MAX; p++) {
			uint64_t len;
			int fd;

			if (check_segment_open(check, (uint8_t)t, (uint16_t)p, id, &fd, &len) < 0)
				continue;
			io_close(fd);
			*tier = (uint8_t)t;
			*place = (uint16_t)p;
			return 0;
		}
	}
	return -ENOENT;
}

int check_segment_where(struct check *check, uint64_t id, uint8_t *tier, uint16_t *place)
{
	uint8_t key[KEY_LEN_1], value[RECORD_SEGMENT_MAX];
	struct segment_record record;
	size_t len;

	if (meta_get(check->meta, key, key_1(key, KEY_SEGMENT, id), value, sizeof(value), &len) !=
		    0 ||
	    segment_record_decode(value, len, &record) < 0)
		return check_segment_find(check, id, tier, place);
	*tier = record.tier;
	*place = record.place;
	return 0;
}
