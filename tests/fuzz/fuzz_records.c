// SPDX-License-Identifier: Apache-2.0
/*
 * The decoders of metadata records and labels: any bytes give a record or an error, and what was
 * taken for a record comes out again as it went in.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "tiers/records.h"
#include "tiers/tier_label.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void object(const uint8_t *data, size_t size)
{
	struct object_record record;
	uint8_t again[RECORD_OBJECT_MAX];

	if (object_record_decode(data, size, &record) < 0)
		return;
	assert(object_record_encode(&record, again) == size);
	for (unsigned i = 0; i < record.nextents; i++)
		assert(record.extents[i].len > 0);
}

static void fixed(const uint8_t *data, size_t size)
{
	struct frame_record frame;
	struct segment_record segment;
	struct pool_counts counts;
	struct extent extent;
	uint8_t again[RECORD_SEGMENT_MAX];

	if (frame_record_decode(data, size, &frame) == 0) {
		frame_record_encode(&frame, again);
		assert(memcmp(again, data, 46) == 0);
		assert(frame_blocks(&frame) >= 1);
	}
	if (segment_record_decode(data, size, &segment) == 0) {
		segment_record_encode(&segment, again);
		assert(memcmp(again + 8, data + 8, RECORD_SEGMENT_LEN - 8) == 0);
	}
	if (pool_counts_decode(data, size, &counts) == 0) {
		pool_counts_encode(&counts, again);
		assert(memcmp(again, data, RECORD_COUNTS_LEN) == 0);
	}
	if (size > 8 && extent_decode(size, data + 8, size - 8, &extent) == 0)
		assert(extent.off + extent.len == size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tier_label label;

	object(data, size);
	fixed(data, size);
	(void)tier_label_decode(data, size, &label);
	return 0;
}
