/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The extent map of one object: which byte ranges lie in which frames. Up to RECORD_INLINE_MAX
 * extents are in the object record; more are metadata records keyed by where they end, so that the
 * first key above an offset is the extent that holds it or the next one.
 *
 * Reading needs the object's data lock (shared). Changing needs it exclusively, and a transaction;
 * extents changed earlier in the same transaction are not seen by a second change of the same range
 * in it, so one transaction changes a range once.
 */
#ifndef TERRACE_TIERS_EXTMAP_H
#define TERRACE_TIERS_EXTMAP_H

#include <stdbool.h>
#include <stdint.h>

#include "tiers/records.h"

struct object;
struct pool;
struct txn;

/* A growing list of extents; free with extent_list_release(). */
struct extent_list {
	struct extent *items;
	size_t count, cap;
};
int extent_list_add(struct extent_list *list, const struct extent *extent);
void extent_list_release(struct extent_list *list);

/* Appends every extent that overlaps [off, end), whole, in order; at most max of them. */
int extmap_list(struct object *object, uint64_t off, uint64_t end, size_t max,
		struct extent_list *out);

/*
 * Replaces the extents in [off, end) by add[0..n) (sorted, inside the range; n = 0: a hole), with
 * the frames' live bytes and the object's stored bytes. `shared` marks that the new extents come
 * from another object's (KEY_SHARED is kept).
 */
int extmap_replace(struct txn *txn, struct object *object, uint64_t off, uint64_t end,
		   const struct extent *add, size_t n, bool shared);

/* Notes that an extent's frame is used by more than the objects its own table names. */
void extmap_note_shared(struct txn *txn, struct object *object, const struct extent *extent);

/* The same for many ranges at once: each of add[0..n) (sorted, not overlapping) replaces what lies
 * under it. */
int extmap_overlay(struct txn *txn, struct object *object, const struct extent *add, size_t n);

#endif
