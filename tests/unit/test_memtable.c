// SPDX-License-Identifier: Apache-2.0
/* The ordered table: words and tombstones, order, seeks, readers beside a writer. */
#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compress/bytes.h"
#include "tests/unit/fix_place.h"
#include "tiers/memtable.h"

static void set(struct memtable *table, const char *key, const char *value)
{
	size_t len = value ? strlen(value) : 0;

	assert_int_equal(memtable_reserve(table, memtable_cost(strlen(key), len)), 0);
	memtable_set(table, key, strlen(key), value, len);
}

static void test_words(void **state)
{
	struct memtable *table;
	struct memtable_view view;

	(void)state;
	assert_int_equal(memtable_new(&table, 0), 0);
	assert_false(memtable_find(table, "a", 1, &view));
	set(table, "a", "one");
	set(table, "b", "");
	assert_true(memtable_find(table, "a", 1, &view));
	assert_int_equal(view.len, 3);
	assert_memory_equal(view.value, "one", 3);
	assert_true(memtable_find(table, "b", 1, &view));
	assert_non_null(view.value);
	assert_int_equal(view.len, 0);
	set(table, "a", NULL);
	assert_true(memtable_find(table, "a", 1, &view));
	assert_null(view.value);
	set(table, "a", "two");
	assert_true(memtable_find(table, "a", 1, &view));
	assert_memory_equal(view.value, "two", 3);
	assert_int_equal(memtable_items(table), 2);
	memtable_put(table);
}

static void test_order(void **state)
{
	static const char *const keys[] = {"a", "aa", "ab", "b", "ba", "c"};
	static const char *const insert[] = {"ba", "a", "c", "ab", "aa", "b"};
	struct memtable *table;
	struct memtable_item *item;
	struct memtable_view view;
	size_t i;

	(void)state;
	assert_int_equal(memtable_new(&table, 0), 0);
	assert_null(memtable_seek(table, "", 0, false));
	for (i = 0; i < 6; i++)
		set(table, insert[i], insert[i]);
	item = memtable_seek(table, "", 0, false);
	for (i = 0; i < 6; i++, item = memtable_next(item)) {
		memtable_view(item, &view);
		assert_int_equal(view.key_len, strlen(keys[i]));
		assert_memory_equal(view.key, keys[i], view.key_len);
	}
	assert_null(item);
	memtable_view(memtable_seek(table, "ab", 2, false), &view);
	assert_memory_equal(view.key, "ab", 2);
	memtable_view(memtable_seek(table, "ab", 2, true), &view);
	assert_memory_equal(view.key, "b", 1);
	memtable_view(memtable_seek(table, "abc", 3, false), &view);
	assert_memory_equal(view.key, "b", 1);
	assert_null(memtable_seek(table, "c", 1, true));
	memtable_put(table);
}

#define MODEL_KEYS 500

static void test_model(void **state)
{
	uint32_t model[MODEL_KEYS] = {0}; /* 0: never set, 1: tombstone, else the value */
	struct memtable *table;
	struct memtable_item *item;
	struct dice dice;
	uint32_t i, n;

	(void)state;
	dice_init(&dice, "memtable model");
	assert_int_equal(memtable_new(&table, 1 << 16), 0);
	for (i = 0; i < 20000; i++) {
		uint8_t key[4], value[4];
		uint32_t k = (uint32_t)dice_roll(&dice, MODEL_KEYS);
		bool del = dice_roll(&dice, 4) == 0;

		put_be32(key, k);
		put_le32(value, i + 2);
		assert_int_equal(memtable_reserve(table, memtable_cost(4, 4)), 0);
		memtable_set(table, key, 4, del ? NULL : value, 4);
		model[k] = del ? 1 : i + 2;
	}
	item = memtable_seek(table, "", 0, false);
	for (n = 0; n < MODEL_KEYS; n++) {
		struct memtable_view view, found;

		if (!model[n])
			continue;
		assert_non_null(item);
		memtable_view(item, &view);
		assert_int_equal(get_be32(view.key), n);
		assert_true(memtable_find(table, view.key, 4, &found));
		assert_ptr_equal(found.value, view.value);
		if (model[n] == 1)
			assert_null(view.value);
		else
			assert_int_equal(get_le32(view.value), model[n]);
		item = memtable_next(item);
	}
	assert_null(item);
	memtable_put(table);
}

/* Both say the same, in the same order. */
static void assert_same(struct memtable *set, struct memtable *loaded)
{
	struct memtable_item *a, *b = memtable_seek(loaded, "", 0, false);
	struct memtable_view one, other;

	assert_int_equal(memtable_items(loaded), memtable_items(set));
	for (a = memtable_seek(set, "", 0, false); a; a = memtable_next(a), b = memtable_next(b)) {
		memtable_view(a, &one);
		memtable_view(b, &other);
		assert_memory_equal(one.key, other.key, 4);
		assert_int_equal(one.value == NULL, other.value == NULL);
		assert_int_equal(one.len, other.len);
		if (one.len)
			assert_memory_equal(one.value, other.value, one.len);
		assert_true(memtable_find(loaded, one.key, 4, &one));
		assert_ptr_equal(one.value, other.value);
	}
	assert_null(b);
}

/* Loaded together, words mean what they mean set one by one, and leave less behind. */
static void test_load(void **state)
{
	static uint8_t keys[MEMTABLE_LOAD_MAX][4], bytes[256];
	struct memtable_view words[MEMTABLE_LOAD_MAX];
	struct memtable *set, *all, *loaded;
	struct dice dice;

	(void)state;
	dice_init(&dice, "memtable load");
	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)i;
	assert_int_equal(memtable_new(&set, 1 << 16), 0);
	assert_int_equal(memtable_new(&all, 1 << 16), 0);
	assert_int_equal(memtable_new(&loaded, 1 << 16), 0);
	for (unsigned round = 0; round < 400; round++) {
		size_t n = 1 + dice_roll(&dice, MEMTABLE_LOAD_MAX), cost = 0;

		for (size_t i = 0; i < n; i++) {
			size_t len = dice_roll(&dice, 100), from = dice_roll(&dice, 100);
			bool del = dice_roll(&dice, 4) == 0;

			put_be32(keys[i], (uint32_t)dice_roll(&dice, MODEL_KEYS));
			words[i] = (struct memtable_view){.key = keys[i],
							  .key_len = 4,
							  .value = del ? NULL : bytes + from,
							  .len = del ? 0 : len};
			cost += memtable_cost(4, len);
		}
		assert_int_equal(memtable_reserve(loaded, cost), 0);
		memtable_load(loaded, words, n);
		assert_int_equal(memtable_reserve(all, cost), 0);
		memtable_set_all(all, words, n);
		assert_int_equal(memtable_reserve(set, cost), 0);
		for (size_t i = 0; i < n; i++)
			memtable_set(set, keys[i], 4, words[i].value, words[i].len);
	}
	assert_int_equal(memtable_bytes(all), memtable_bytes(set));
	assert_true(memtable_bytes(loaded) < memtable_bytes(set) / 4);
	assert_same(set, all);
	assert_same(set, loaded);
	memtable_put(set);
	memtable_put(all);
	memtable_put(loaded);
}

#define RUNS_KEYS 60000u

static int by_bytes(const void *a, const void *b)
{
	return memcmp(a, b, 9);
}

/* Keys of several kinds that come in rising runs, with jumps, as those of transactions do: each
 * must be found along every level of the list, and the order must hold. */
static void test_runs(void **state)
{
	static uint8_t keys[RUNS_KEYS][9];
	struct memtable *table;
	struct memtable_item *item;
	uint64_t at[3] = {0};
	struct dice dice;

	(void)state;
	dice_init(&dice, "memtable runs");
	assert_int_equal(memtable_new(&table, 1 << 20), 0);
	for (unsigned i = 0; i < RUNS_KEYS; i++) {
		unsigned kind = (unsigned)dice_roll(&dice, 3);

		if (dice_roll(&dice, 20) == 0)
			at[kind] = dice_roll(&dice, 1u << 20) << 12;
		at[kind] += 1 + dice_roll(&dice, 3);
		keys[i][0] = (uint8_t)("DIS"[kind]);
		put_be64(keys[i] + 1, at[kind]);
		assert_int_equal(memtable_reserve(table, memtable_cost(9, 9)), 0);
		memtable_set(table, keys[i], 9, keys[i], 9);
	}
	for (unsigned i = 0; i < RUNS_KEYS; i++) {
		struct memtable_view view;

		memtable_view(memtable_seek(table, keys[i], 9, false), &view);
		assert_memory_equal(view.key, keys[i], 9);
	}
	qsort(keys, RUNS_KEYS, 9, by_bytes);
	item = memtable_seek(table, "", 0, false);
	for (unsigned i = 0; i < RUNS_KEYS; i++) {
		struct memtable_view view;

		if (i && !memcmp(keys[i], keys[i - 1], 9))
			continue;
		memtable_view(item, &view);
		assert_memory_equal(view.key, keys[i], 9);
		item = memtable_next(item);
	}
	assert_null(item);
	memtable_put(table);
}

struct race {
	struct memtable *table;
	_Atomic int done;
	_Atomic int wrong;
};

/* Values hold their key twice: a torn or misplaced one shows. */
static void *race_read(void *arg)
{
	struct race *race = arg;

	while (!atomic_load(&race->done)) {
		struct memtable_item *item = memtable_seek(race->table, "", 0, false);
		uint64_t last = 0;

		for (; item; item = memtable_next(item)) {
			struct memtable_view view, found;
			uint64_t key;

			memtable_view(item, &view);
			key = get_be64(view.key);
			if (key < last || get_be64(view.value) != key ||
			    !memtable_find(race->table, view.key, 8, &found))
				atomic_store(&race->wrong, 1);
			last = key;
		}
	}
	return NULL;
}

static void test_readers_beside_writer(void **state)
{
	struct race race = {0};
	pthread_t reader[2];
	struct dice dice;
	int i;

	(void)state;
	dice_init(&dice, "memtable race");
	assert_int_equal(memtable_new(&race.table, 1 << 16), 0);
	for (i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&reader[i], NULL, race_read, &race), 0);
	for (i = 0; i < 20000; i++) {
		uint8_t key[8];

		put_be64(key, dice_roll(&dice, 3000));
		assert_int_equal(memtable_reserve(race.table, memtable_cost(8, 8)), 0);
		memtable_set(race.table, key, 8, key, 8);
	}
	atomic_store(&race.done, 1);
	for (i = 0; i < 2; i++)
		pthread_join(reader[i], NULL);
	assert_int_equal(race.wrong, 0);
	memtable_put(race.table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words), cmocka_unit_test(test_order),
		cmocka_unit_test(test_model), cmocka_unit_test(test_load),
		cmocka_unit_test(test_runs),  cmocka_unit_test(test_readers_beside_writer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
