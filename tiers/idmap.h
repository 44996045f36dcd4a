/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A map from non-zero 64-bit ids to pointers: open addressing, linear probing, deletion by shifting
 * back (Knuth, TAOCP vol. 3, 6.4 algorithm R). Not locked: the owner's lock guards it.
 */
#ifndef TERRACE_TIERS_IDMAP_H
#define TERRACE_TIERS_IDMAP_H

#include <stddef.h>
#include <stdint.h>

struct idmap_slot {
	uint64_t id; /* 0 = free */
	void *value;
};

struct idmap {
	struct idmap_slot *slots;
	size_t cap; /* a power of two, or 0 */
	size_t count;
};

void idmap_init(struct idmap *map);
void idmap_release(struct idmap *map); /* the values are the owner's */
void idmap_clear(struct idmap *map);   /* keeps the room */
void *idmap_get(const struct idmap *map, uint64_t id);
int idmap_put(struct idmap *map, uint64_t id, void *value); /* replaces; -ENOMEM */
void *idmap_del(struct idmap *map, uint64_t id);	    /* what was there, or NULL */
/* The first entry at or after slot *at, which then points behind it; NULL at the end. No changes
 * meanwhile. */
void *idmap_each(const struct idmap *map, size_t *at);

#endif
