/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An object's written data that is not yet on a persistent tier: byte ranges that point into the
 * RAM log. Ranges never overlap; a later write cuts what it covers out of earlier ones.
 *
 * Not locked: the object's data lock guards it (readers shared, changes exclusive).
 * Whoever is told of released bytes (`released`) passes them to ramlog_release().
 */
#ifndef TERRACE_TIERS_DIRTY_H
#define TERRACE_TIERS_DIRTY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <bsd/sys/tree.h>

struct dirty_range {
	RB_ENTRY(dirty_range) node;
	uint64_t off, len;
	uint64_t pos;	     /* of the log record */
	const uint8_t *data; /* of this range's first byte; NULL: a hole (ram_look.c alone) */
};

RB_HEAD(dirty_tree, dirty_range);

struct dirty_map {
	struct dirty_tree tree;
	uint64_t bytes;
	uint32_t nspare;
	struct dirty_range *spare[2]; /* so that a change, once begun, cannot fail */
};

struct dirty_sink {
	void (*released)(void *arg, uint64_t pos, uint64_t bytes);
	void *arg;
};

void dirty_init(struct dirty_map *map);
/* Releases every range. */
void dirty_release(struct dirty_map *map, const struct dirty_sink *sink);

/* Makes sure the next insert or remove succeeds. -ENOMEM. */
int dirty_prepare(struct dirty_map *map);
/* Both need dirty_prepare() since the last change. */
void dirty_insert(struct dirty_map *map, uint64_t off, uint64_t len, const void *data, uint64_t pos,
		  const struct dirty_sink *sink);
void dirty_remove(struct dirty_map *map, uint64_t off, uint64_t len, const struct dirty_sink *sink);
/* Removes what of [off, off+len) still points into record pos; at most one dirty_prepare() per
 * call. */
void dirty_remove_flushed(struct dirty_map *map, uint64_t off, uint64_t len, uint64_t pos,
			  const struct dirty_sink *sink);

/* The first range that ends after off, or NULL. */
struct dirty_range *dirty_find(const struct dirty_map *map, uint64_t off);
struct dirty_range *dirty_next(struct dirty_range *range);
bool dirty_empty(const struct dirty_map *map);

#endif
