/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An ordered table in memory: byte keys to byte values or tombstones. Grows only; a value that is
 * replaced stays behind in the arena until the table goes.
 *
 * One writer at a time (the caller's lock); any number of readers beside it without a lock. What
 * readers get stays valid as long as the table. Memory: memtable_bytes() plus a fixed index and
 * less than one arena block (2 MiB) not yet used.
 */
#ifndef TERRACE_TIERS_MEMTABLE_H
#define TERRACE_TIERS_MEMTABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct memtable;
struct memtable_item; /* a key with its newest value; a position for walking */

struct memtable_view {
	const uint8_t *key;
	const uint8_t *value; /* NULL: tombstone */
	size_t key_len;
	size_t len;
};

/* expected_bytes sizes the index; more may be stored. -ENOMEM. */
int memtable_new(struct memtable **out, size_t expected_bytes);
struct memtable *memtable_get(struct memtable *table); /* another reference */
void memtable_put(struct memtable *table);	       /* NULL is allowed */

/* Most arena bytes one memtable_set() with these lengths takes. */
size_t memtable_cost(size_t key_len, size_t len);
/* After 0, sets whose costs add up to bytes cannot fail. -ENOMEM. */
int memtable_reserve(struct memtable *table, size_t bytes);
/* Needs a reservation. value NULL: tombstone. */
void memtable_set(struct memtable *table, const void *key, size_t key_len, const void *value,
		  size_t len);
/* As memtable_set() of each in turn. n <= MEMTABLE_LOAD_MAX. */
void memtable_set_all(struct memtable *table, const struct memtable_view *words, size_t n);

/* As memtable_set() of each in turn, in half the time, for a table that nobody reads yet: what is
 * replaced leaves nothing behind where the new value fits. n <= MEMTABLE_LOAD_MAX. */
#define MEMTABLE_LOAD_MAX 64u
void memtable_load(struct memtable *table, const struct memtable_view *words, size_t n);

/* True when the table has a word on the key (a tombstone too). */
bool memtable_find(struct memtable *table, const void *key, size_t key_len,
		   struct memtable_view *out);

/* First item with key >= (or > with `after`) the given one; NULL at the end. */
struct memtable_item *memtable_seek(struct memtable *table, const void *key, size_t key_len,
				    bool after);
struct memtable_item *memtable_next(struct memtable_item *item);
void memtable_view(struct memtable_item *item, struct memtable_view *out);

size_t memtable_bytes(struct memtable *table); /* arena bytes in use */
uint64_t memtable_items(struct memtable *table);

#endif
