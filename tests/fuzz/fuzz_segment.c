// SPDX-License-Identifier: Apache-2.0
/*
 * Any bytes as the header of a segment: what is taken for one comes out again as it went in. The
 * first byte says whether its checksum is mended, so that inputs come past it.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "compress/bytes.h"
#include "compress/checksum.h"
#include "tiers/segment.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* terrace-format(5), SEGMENTS */
enum { AT_RO_COMPAT = 16, AT_POOL = 24, SUM_AT = SEGMENT_HEADER_LEN - 8 };

/* All but the words of features that a reader may ignore, and the checksum over them. */
static void check_same(const uint8_t *data, const struct segment_header *header)
{
	uint8_t again[SEGMENT_HEADER_LEN];

	segment_header_encode(header, again);
	assert(memcmp(again, data, AT_RO_COMPAT) == 0);
	assert(memcmp(again + AT_POOL, data + AT_POOL, SUM_AT - AT_POOL) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct segment_header header;
	size_t len = size > 1 ? size - 1 : 0;
	uint8_t *own, *page;

	if (!len)
		return -1;
	own = malloc(len); /* of that size, for ASan */
	page = calloc(1, SEGMENT_HEADER_LEN);
	assert(own && page);
	memcpy(own, data + 1, len);
	memcpy(page, own, len < SEGMENT_HEADER_LEN ? len : SEGMENT_HEADER_LEN);
	if (data[0] & 1)
		put_le64(page + SUM_AT, checksum64(page, SUM_AT));
	(void)segment_header_check(own, len, &header);
	if (segment_header_check(page, SEGMENT_HEADER_LEN, &header) == 0)
		check_same(page, &header);
	free(own);
	free(page);
	return 0;
}
