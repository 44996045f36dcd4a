// SPDX-License-Identifier: Apache-2.0
/*
 * Reading stored frames whole and verifying all their checksums. Frames come in the order of their
 * numbers, which is nearly that in which they lie, so one open segment per tier is enough.
 */
#include <errno.h>
#include <stdlib.h>

#include "compress/frame.h"
#include "tiers/check/check_impl.h"
#include "tiers/io.h"

#define STORED_MAX                                                                     \
	(FRAME_RAW_MAX + (256u << 10)) /* header, tables and an incompressible payload \
					*/

struct open_segment {
	uint64_t id;
	uint16_t place;
	int fd; /* -1: none */
};

struct deep {
	struct check *check;
	struct codec_scratch *scratch;
	uint8_t *stored, *raw;
	struct open_segment open[CONFIG_TIERS_MAX];
};

int deep_new(struct deep **out, struct check *check)
{
	struct deep *deep = calloc(1, sizeof(*deep));

	*out = deep;
	if (!deep)
		return -ENOMEM;
	deep->check = check;
	for (uint32_t t = 0; t < CONFIG_TIERS_MAX; t++)
		deep->open[t].fd = -1;
	if (codec_scratch_new(&deep->scratch) < 0)
		return -ENOMEM;
	deep->stored = malloc(STORED_MAX);
	deep->raw = malloc(FRAME_RAW_MAX);
	return deep->stored && deep->raw ? 0 : -ENOMEM;
}

void deep_free(struct deep *deep)
{
	if (!deep)
		return;
	for (uint32_t t = 0; t < CONFIG_TIERS_MAX; t++)
		if (deep->open[t].fd >= 0)
			io_close(deep->open[t].fd);
	if (deep->scratch)
		codec_scratch_free(deep->scratch);
	free(deep->stored);
	free(deep->raw);
	free(deep);
}

static int segment_open(struct deep *deep, const struct frame_record *record, int *fd)
{
	struct open_segment *open;
	uint64_t len;
	int rc;

	if (record->tier >= CONFIG_TIERS_MAX)
		return -ENODEV;
	open = &deep->open[record->tier];
	if (open->fd < 0 || open->id != record->segment || open->place != record->place) {
		if (open->fd >= 0)
			io_close(open->fd);
		rc = check_segment_open(deep->check, record->tier, record->place, record->segment,
					&open->fd, &len);
		if (rc < 0)
			return rc;
		open->id = record->segment;
		open->place = record->place;
	}
	*fd = open->fd;
	return 0;
}

static int header_read(struct deep *deep, uint64_t id, const struct frame_record *record,
		       struct frame_header *header)
{
	int fd, rc = segment_open(deep, record, &fd);

	if (rc == 0 && record->stored_len > STORED_MAX)
		rc = -EUCLEAN;
	if (rc == 0)
		rc = io_pread_all(fd, deep->stored, record->stored_len, record->off);
	if (rc == 0)
		rc = frame_header_parse(deep->stored, record->stored_len, header);
	if (rc < 0)
		return rc;
	if (header->id == id && header->raw_len == record->raw_len &&
	    header->stored_len == record->stored_len && header->header_len == record->header_len &&
	    header->block_size == 1u << record->block_shift)
		return 0;
	frame_header_release(header);
	return -EBADMSG;
}

int deep_read(struct deep *deep, uint64_t id, const struct frame_record *record,
	      struct frame_header *header, bool *bad)
{
	int rc;

	*header = (struct frame_header){0};
	rc = header_read(deep, id, record, header);
	for (uint32_t i = 0; rc == 0 && i < header->nblocks; i++) {
		const struct frame_block *block = &header->blocks[i];
		int error =
			frame_block_decode(deep->scratch, block, deep->stored + block->stored_off,
					   block->stored_len, deep->raw);

		if (error == -ENOMEM) {
			frame_header_release(header);
			rc = error;
		} else {
			bad[i] = error < 0;
		}
	}
	if (rc == 0)
		deep->check->result->bytes += record->stored_len;
	return rc;
}
