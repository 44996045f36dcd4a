// SPDX-License-Identifier: Apache-2.0
/*
 * A hash index for point lookups and a skip list for order, over the same items in one arena. The
 * skip list alone took about 20 cache misses per lookup of a 32 MiB table; the index takes two,
 * which matters twice, since a key that is in the tree is first looked for here in vain.
 *
 * Invariants:
 *  1. An item is complete before a pointer to it is stored (release); it never moves, never goes.
 *  2. An item's value pointer changes as a whole; old values stay in the arena. So a reader without
 *     a lock sees an old value or the new one, never a mixture.
 *  3. Every item is in the hash index and in level 0 of the list.
 *  4. The index never grows: a table beyond its expected size has longer chains, at worst by the
 *     factor of the store's hard limit (4).
 * Threads: one writer, many readers.
 */
#include "tiers/memtable.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "compress/checksum.h"

#define HEIGHT_MAX  12
#define BLOCK_BYTES ((size_t)1 << 20) /* the first, which is all that an idle pool needs */
#define HUGE_BYTES  ((size_t)2 << 20) /* all others: a page of the processor's */
#define HEAP_BYTES  64u		      /* of it, for the allocator: so they lie side by side */
#define ITEM_BYTES  128 /* what an item with key and value takes, roughly; sizes the index */
#define BUCKETS_MIN ((size_t)256)
#define FINGERS	    32u /* a power of two; letters fall apart */

struct value {
	uint32_t len;
	uint32_t room : 31; /* bytes that fit here */
	uint32_t tombstone : 1;
	uint8_t bytes[];
};

struct memtable_item {
	struct value *_Atomic value;
	struct memtable_item *chain; /* same bucket; constant */
	uint32_t hash;
	uint16_t key_len;
	uint16_t height;
	struct memtable_item *_Atomic next[]; /* height of them, then the key's bytes */
};

struct block {
	struct block *older;
	size_t cap;
	size_t used;
	_Alignas(16) uint8_t bytes[];
};

/* Where the last item of a kind of key, its first byte, went in: the item, and the links before it
 * of the levels that it does not reach, or some earlier ones. */
struct finger {
	struct memtable_item *item;
	struct memtable_item *_Atomic *links[HEIGHT_MAX];
};

struct memtable {
	_Atomic uint32_t refs;
	struct block *block; /* writer only, as the next two */
	uint64_t random;
	struct finger fingers[FINGERS];
	_Atomic size_t bytes;
	_Atomic uint64_t items;
	size_t mask;
	struct memtable_item *_Atomic head[HEIGHT_MAX];
	struct memtable_item *_Atomic *bucket;
};

static size_t aligned(size_t n)
{
	return (n + 7) & ~(size_t)7;
}

static const uint8_t *item_key(const struct memtable_item *item)
{
	return (const uint8_t *)&item->next[item->height];
}

static int key_compare(const void *a, size_t a_len, const void *b, size_t b_len)
{
	int order = memcmp(a, b, a_len < b_len ? a_len : b_len);

	if (order)
		return order;
	return (a_len > b_len) - (a_len < b_len);
}

/* One page of the processor's where it is that large: who serves a request comes from another
 * process each time, and has no translation at hand. */
static void *index_new(size_t bytes)
{
	void *index;

	if (bytes < HUGE_BYTES)
		return calloc(1, bytes);
	if (posix_memalign(&index, HUGE_BYTES, bytes))
		return NULL;
	madvise(index, bytes, MADV_HUGEPAGE); /* else small pages do */
	memset(index, 0, bytes);
	return index;
}

int memtable_new(struct memtable **out, size_t expected_bytes)
{
	size_t buckets = BUCKETS_MIN;
	struct memtable *table = calloc(1, sizeof(*table));

	if (!table)
		return -ENOMEM;
	while (buckets < expected_bytes / ITEM_BYTES)
		buckets *= 2;
	table->bucket = index_new(buckets * sizeof(struct memtable_item *));
	if (!table->bucket) {
		free(table);
		return -ENOMEM;
	}
	atomic_init(&table->refs, 1);
	table->mask = buckets - 1;
	table->random = 0x9e3779b97f4a7c15u;
	*out = table;
	return 0;
}

struct memtable *memtable_get(struct memtable *table)
{
	atomic_fetch_add_explicit(&table->refs, 1, memory_order_relaxed);
	return table;
}

/* The last reference may be a slow reader's, long after the checkpoint. */
void memtable_put(struct memtable *table)
{
	struct block *block, *older;

	if (!table || atomic_fetch_sub_explicit(&table->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (block = table->block; block; block = older) {
		older = block->older;
		free(block);
	}
	free(table->bucket);
	free(table);
}

/* As if the item were new and as high as can be. */
size_t memtable_cost(size_t key_len, size_t len)
{
	return aligned(sizeof(struct memtable_item) + HEIGHT_MAX * sizeof(void *) + key_len) +
	       aligned(sizeof(struct value) + len);
}

/* One fault for 2 MiB in place of 512, and fewer misses of the TLB: a quarter of a replay. */
static struct block *block_huge(size_t *cap)
{
	void *block;

	if (posix_memalign(&block, HUGE_BYTES, HUGE_BYTES - HEAP_BYTES))
		return NULL;
	madvise(block, HUGE_BYTES, MADV_HUGEPAGE); /* else small pages do */
	*cap = HUGE_BYTES - HEAP_BYTES - sizeof(struct block);
	return block;
}

/* What is left of the block before is given up: at most a batch's worth in each MiB. */
int memtable_reserve(struct memtable *table, size_t bytes)
{
	struct block *block = table->block;
	size_t cap = bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES;

	if (block && block->cap - block->used >= bytes)
		return 0;
	if (block && bytes <= BLOCK_BYTES)
		block = block_huge(&cap);
	else
		block = malloc(sizeof(*block) + cap);
	if (!block)
		return -ENOMEM;
	block->older = table->block;
	block->cap = cap;
	block->used = 0;
	table->block = block;
	return 0;
}

static void *arena_take(struct memtable *table, size_t bytes)
{
	struct block *block = table->block;
	void *room;

	bytes = aligned(bytes);
	assert(block && block->cap - block->used >= bytes);
	room = block->bytes + block->used;
	block->used += bytes;
	atomic_fetch_add_explicit(&table->bytes, bytes, memory_order_relaxed);
	return room;
}

/* The last byte is added, so that neighbours lie side by side in the index: objects made one after
 * the other, and the place behind a name's, which every removal looks at. */
static uint64_t key_hash(const void *key, size_t key_len)
{
	const uint8_t *bytes = key;

	return key_len ? checksum64(bytes, key_len - 1) + bytes[key_len - 1] : 0;
}

static struct memtable_item *bucket_find(struct memtable *table, const void *key, size_t key_len,
					 uint64_t hash)
{
	struct memtable_item *item;

	item = atomic_load_explicit(&table->bucket[hash & table->mask], memory_order_acquire);
	while (item && (item->hash != (uint32_t)hash || item->key_len != key_len ||
			memcmp(item_key(item), key, key_len)))
		item = item->chain;
	return item;
}

/* The links of every level behind which a key belongs; returns the item behind level 0's. */
static struct memtable_item *list_search(struct memtable *table, const void *key, size_t key_len,
					 bool after, struct memtable_item *_Atomic *links[])
{
	struct memtable_item *_Atomic *tower = table->head;
	struct memtable_item *item = NULL, *passed = NULL;
	int level;

	for (level = HEIGHT_MAX - 1; level >= 0; level--) {
		for (;;) {
			int order;

			item = atomic_load_explicit(&tower[level], memory_order_acquire);
			if (!item || item == passed)
				break; /* `passed`: compared one level up already */
			order = key_compare(item_key(item), item->key_len, key, key_len);
			if (order > 0 || (order == 0 && !after)) {
				passed = item;
				break;
			}
			tower = item->next;
		}
		if (links)
			links[level] = &tower[level];
	}
	return item;
}

static struct memtable_item *_Atomic *finger_link(const struct finger *finger, int level)
{
	return level < finger->item->height ? &finger->item->next[level] : finger->links[level];
}

static bool link_before(struct memtable_item *_Atomic *link, const void *key, size_t key_len)
{
	struct memtable_item *next = atomic_load_explicit(link, memory_order_relaxed);

	return next && key_compare(item_key(next), next->key_len, key, key_len) < 0;
}

/*
 * As list_search() for a key behind the finger's, which is near when keys come in their order:
 * climbs from there only as far as it has to (W. Pugh, "A skip list cookbook", 1990, search
 * fingers). Only the links of the levels below height are asked for.
 */
static void finger_search(const struct finger *finger, const void *key, size_t key_len, int height,
			  struct memtable_item *_Atomic *links[])
{
	struct memtable_item *_Atomic *tower = NULL;
	int level = 0;

	while (level < HEIGHT_MAX - 1 && link_before(finger_link(finger, level), key, key_len))
		level++;
	if (level < height - 1)
		level = height - 1;
	for (; level >= 0; level--) {
		struct memtable_item *_Atomic *link =
			tower ? &tower[level] : finger_link(finger, level);

		while (link_before(link, key, key_len)) {
			tower = atomic_load_explicit(link, memory_order_relaxed)->next;
			link = &tower[level];
		}
		links[level] = link;
	}
}

/* The links behind which a new item belongs; the finger points at it afterwards. */
static void insert_search(struct memtable *table, struct memtable_item *item,
			  struct memtable_item *_Atomic *links[])
{
	const void *key = item_key(item);
	size_t key_len = item->key_len;
	struct finger *finger =
		&table->fingers[key_len ? *(const uint8_t *)key & (FINGERS - 1) : 0];
	struct memtable_item *last = finger->item;

	if (last && key_compare(item_key(last), last->key_len, key, key_len) < 0) {
		finger_search(finger, key, key_len, item->height, links);
		/* Links before the last item are before this one, too. */
		for (int level = item->height; level < last->height; level++)
			finger->links[level] = &last->next[level];
	} else {
		list_search(table, key, key_len, false, links);
		memcpy(finger->links, links, sizeof(finger->links));
	}
	finger->item = item;
}

/* A quarter of each level reaches the next. The seed is fixed: heights need not be secret, since
 * keys do not choose them. */
static uint16_t random_height(struct memtable *table)
{
	uint16_t height = 1;
	uint64_t bits;

	table->random ^= table->random << 13;
	table->random ^= table->random >> 7;
	table->random ^= table->random << 17;
	for (bits = table->random >> 8; height < HEIGHT_MAX && (bits & 3) == 0; bits >>= 2)
		height++;
	return height;
}

/* Key and value apart, so that replacing a value leaves the item where readers stand. */
static struct value *value_new(struct memtable *table, const void *bytes, size_t len)
{
	struct value *value = arena_take(table, sizeof(*value) + (bytes ? len : 0));

	value->len = bytes ? (uint32_t)len : 0;
	value->room = aligned(value->len) & INT32_MAX;
	value->tombstone = !bytes;
	if (bytes && len)
		memcpy(value->bytes, bytes, len);
	return value;
}

static void item_insert(struct memtable *table, const struct memtable_view *word, uint64_t hash,
			struct value *value)
{
	struct memtable_item *_Atomic *links[HEIGHT_MAX];
	struct memtable_item *_Atomic *bucket = &table->bucket[hash & table->mask];
	uint16_t height = random_height(table), level;
	struct memtable_item *item =
		arena_take(table, sizeof(*item) + height * sizeof(item->next[0]) + word->key_len);

	atomic_init(&item->value, value);
	item->hash = (uint32_t)hash;
	item->key_len = (uint16_t)word->key_len;
	item->height = height;
	memcpy(&item->next[height], word->key, word->key_len);
	insert_search(table, item, links);
	for (level = 0; level < height; level++)
		atomic_init(&item->next[level],
			    atomic_load_explicit(links[level], memory_order_relaxed));
	item->chain = atomic_load_explicit(bucket, memory_order_relaxed);
	atomic_store_explicit(bucket, item, memory_order_release);
	/* Lowest level first: an item found on a high level must be on all below it. */
	for (level = 0; level < height; level++)
		atomic_store_explicit(links[level], item, memory_order_release);
	atomic_fetch_add_explicit(&table->items, 1, memory_order_relaxed);
}

static void set_hashed(struct memtable *table, const struct memtable_view *word, uint64_t hash)
{
	struct memtable_item *item = bucket_find(table, word->key, word->key_len, hash);
	struct value *value = value_new(table, word->value, word->len);

	if (item)
		atomic_store_explicit(&item->value, value, memory_order_release);
	else
		item_insert(table, word, hash, value);
}

void memtable_set(struct memtable *table, const void *key, size_t key_len, const void *bytes,
		  size_t len)
{
	struct memtable_view word = {.key = key, .value = bytes, .key_len = key_len, .len = len};

	set_hashed(table, &word, key_hash(key, key_len));
}

/* Where the old value was, if the new one fits: for a table without readers. */
static void item_replace(struct memtable *table, struct memtable_item *item,
			 const struct memtable_view *word)
{
	struct value *value = atomic_load_explicit(&item->value, memory_order_relaxed);
	size_t len = word->value ? word->len : 0;

	if (len > value->room) {
		value = value_new(table, word->value, len);
		atomic_store_explicit(&item->value, value, memory_order_relaxed);
		return;
	}
	value->len = (uint32_t)len;
	value->tombstone = !word->value;
	if (len)
		memcpy(value->bytes, word->value, len);
}

/* Asks for what memtable_set_all() will look at: three steps, each needs what the one before
 * brought. */
static void words_prefetch(struct memtable *table, const struct memtable_view *words,
			   uint64_t *hashes, size_t n)
{
	const struct memtable_item *item;
	size_t i;

	for (i = 0; i < n; i++) {
		hashes[i] = key_hash(words[i].key, words[i].key_len);
		__builtin_prefetch(&table->bucket[hashes[i] & table->mask]);
	}
	for (i = 0; i < n; i++)
		__builtin_prefetch(atomic_load_explicit(&table->bucket[hashes[i] & table->mask],
							memory_order_relaxed));
	for (i = 0; i < n; i++) {
		item = atomic_load_explicit(&table->bucket[hashes[i] & table->mask],
					    memory_order_relaxed);
		if (!item)
			continue;
		__builtin_prefetch(item_key(item));
		__builtin_prefetch(atomic_load_explicit(&item->value, memory_order_relaxed), 1);
	}
}

/* Cache misses are most of what a set takes: those of all words are waited for together. */
void memtable_set_all(struct memtable *table, const struct memtable_view *words, size_t n)
{
	uint64_t hashes[MEMTABLE_LOAD_MAX];

	assert(n <= MEMTABLE_LOAD_MAX);
	words_prefetch(table, words, hashes, n);
	for (size_t i = 0; i < n; i++)
		set_hashed(table, &words[i], hashes[i]);
}

void memtable_load(struct memtable *table, const struct memtable_view *words, size_t n)
{
	uint64_t hashes[MEMTABLE_LOAD_MAX];

	assert(n <= MEMTABLE_LOAD_MAX);
	words_prefetch(table, words, hashes, n);
	for (size_t i = 0; i < n; i++) {
		const struct memtable_view *word = &words[i];
		struct memtable_item *item =
			bucket_find(table, word->key, word->key_len, hashes[i]);

		if (item)
			item_replace(table, item, word);
		else
			item_insert(table, word, hashes[i],
				    value_new(table, word->value, word->len));
	}
}

/* One load: key is constant, and the value pointer decides both length and bytes. */
void memtable_view(struct memtable_item *item, struct memtable_view *out)
{
	const struct value *value = atomic_load_explicit(&item->value, memory_order_acquire);

	out->key = item_key(item);
	out->key_len = item->key_len;
	out->value = value->tombstone ? NULL : value->bytes;
	out->len = value->len;
}

bool memtable_find(struct memtable *table, const void *key, size_t key_len,
		   struct memtable_view *out)
{
	struct memtable_item *item;

	if (!atomic_load_explicit(&table->items, memory_order_acquire))
		return false; /* spares the hash of a fresh table */
	item = bucket_find(table, key, key_len, key_hash(key, key_len));
	if (item)
		memtable_view(item, out);
	return item != NULL;
}

struct memtable_item *memtable_seek(struct memtable *table, const void *key, size_t key_len,
				    bool after)
{
	return list_search(table, key, key_len, after, NULL);
}

struct memtable_item *memtable_next(struct memtable_item *item)
{
	return atomic_load_explicit(&item->next[0], memory_order_acquire);
}

size_t memtable_bytes(struct memtable *table)
{
	return atomic_load_explicit(&table->bytes, memory_order_relaxed);
}

uint64_t memtable_items(struct memtable *table)
{
	return atomic_load_explicit(&table->items, memory_order_relaxed);
}
