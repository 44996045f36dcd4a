// SPDX-License-Identifier: Apache-2.0
#include "tiers/record_get.h"

#include "tiers/keys.h"
#include "tiers/meta.h"

int object_record_get(struct meta *meta, uint64_t id, struct object_record *out)
{
	uint8_t key[KEY_LEN_1], value[RECORD_OBJECT_MAX];
	size_t len;
	int rc = meta_get(meta, key, key_1(key, KEY_OBJECT, id), value, sizeof(value), &len);

	return rc < 0 ? rc : object_record_decode(value, len, out);
}

int pool_counts_get(struct meta *meta, struct pool_counts *out)
{
	uint8_t value[RECORD_COUNTS_LEN];
	size_t len;
	int rc = meta_get(meta, POOL_COUNTS_KEY, POOL_COUNTS_KEY_LEN, value, sizeof(value), &len);

	return rc < 0 ? rc : pool_counts_decode(value, len, out);
}
