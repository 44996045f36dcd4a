// SPDX-License-Identifier: Apache-2.0
/* The first bytes of a segment: see segment.h and terrace-format(5). */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "compress/bytes.h"
#include "compress/checksum.h"
#include "tiers/segment.h"

#define SEGMENT_VERSION 1u

/* Offsets in the header; terrace-format(5) is the text of record. */
enum {
	AT_MAGIC = 0,
	AT_VERSION = 8,
	AT_INCOMPAT = 12,
	AT_RO_COMPAT = 16,
	AT_COMPAT = 20,
	AT_POOL = 24,
	AT_TIER = 40,
	AT_ID = 48,
	AT_CREATED = 56,
	AT_CHECKSUM = SEGMENT_HEADER_LEN - 8,
};
_Static_assert(AT_CREATED + 8 <= AT_CHECKSUM, "segment header fields and checksum overlap");

static const char segment_magic[8] = {'T', 'e', 'r', 'r', 'S', 'e', 'g', 'm'};

void segment_header_encode(const struct segment_header *header, uint8_t *p)
{
	memset(p, 0, SEGMENT_HEADER_LEN);
	memcpy(p + AT_MAGIC, segment_magic, sizeof(segment_magic));
	put_le32(p + AT_VERSION, SEGMENT_VERSION);
	memcpy(p + AT_POOL, header->pool_uuid, sizeof(header->pool_uuid));
	put_le32(p + AT_TIER, header->tier_id);
	put_le64(p + AT_ID, header->id);
	put_le64(p + AT_CREATED, header->created_ns);
	put_le64(p + AT_CHECKSUM, checksum64(p, AT_CHECKSUM));
}

/* Reserved fields: a value there is damage, terrace-format(5). */
static bool bytes_zero(const uint8_t *p, size_t len)
{
	while (len && !*p) {
		p++;
		len--;
	}
	return !len;
}

int segment_header_check(const void *buf, size_t len, struct segment_header *out)
{
	const uint8_t *p = buf;

	if (len < SEGMENT_HEADER_LEN ||
	    memcmp(p + AT_MAGIC, segment_magic, sizeof(segment_magic)) != 0)
		return -EBADMSG;
	if (get_le32(p + AT_VERSION) != SEGMENT_VERSION)
		return -ENOTSUP;
	if (get_le64(p + AT_CHECKSUM) != checksum64(p, AT_CHECKSUM))
		return -EBADMSG;
	/* A reader may ignore unknown ro-compat and compat bits, never incompat ones. */
	if (get_le32(p + AT_INCOMPAT))
		return -ENOTSUP;
	if (!bytes_zero(p + AT_TIER + 4, 4) ||
	    !bytes_zero(p + AT_CREATED + 8, AT_CHECKSUM - AT_CREATED - 8))
		return -EBADMSG;
	memcpy(out->pool_uuid, p + AT_POOL, sizeof(out->pool_uuid));
	out->tier_id = get_le32(p + AT_TIER);
	out->id = get_le64(p + AT_ID);
	out->created_ns = get_le64(p + AT_CREATED);
	return 0;
}
