// SPDX-License-Identifier: Apache-2.0
/*
 * Damaged metadata: whatever byte of the tree's file is changed, opening and using the store ends
 * with an error or with the right data: never with a crash, never with wrong data.
 */
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compress/bytes.h"
#include "tests/unit/fix_dir.h"
#include "tests/unit/fix_place.h"
#include "tiers/meta.h"
#include "tiers/meta_walk.h"

#define KEYS	  1500u
#define VALUE_MAX 9000u
#define PAGE	  4096u

static struct place place;
static char saved[64]; /* the folder as it was closed */
static uint8_t *image; /* of the tree's file */
static uint64_t image_len;
static unsigned steps = 240; /* damages of each kind; TERRACE_DEPTH in the environment sets it */

static size_t value_of(unsigned i, unsigned generation, uint8_t *buf)
{
	size_t len = i % 50 ? 20 + i % 90 : VALUE_MAX - i;

	memset(buf, (int)(i + generation), len);
	put_le32(buf, i);
	put_le32(buf + 4, generation);
	return len;
}

static size_t key_of(unsigned i, char key[static 40])
{
	return (size_t)snprintf(key, 40, "Key%u%s", i * 7919 % KEYS, i % 3 ? "" : "-a-longer-one");
}

static void fill(struct meta *meta, unsigned generation, unsigned step)
{
	struct meta_batch *batch;
	uint8_t value[VALUE_MAX];
	char key[40];

	for (unsigned i = 0; i < KEYS; i += step) {
		assert_int_equal(meta_batch_new(&batch), 0);
		meta_batch_put(batch, key, key_of(i, key), value, value_of(i, generation, value));
		if (i % 11 == 0)
			meta_batch_del(batch, key, key_of(i, key));
		assert_int_equal(meta_apply(meta, batch, NULL), 0);
		meta_batch_free(batch);
	}
	assert_int_equal(meta_freeze(meta), 0);
	assert_int_equal(meta_checkpoint(meta), 0);
}

static int setup(void **state)
{
	struct meta_options options;
	struct meta *meta;
	char path[128];

	(void)state;
	if (getenv("TERRACE_DEPTH"))
		steps = (unsigned)atoi(getenv("TERRACE_DEPTH"));
	setenv("TMPDIR", "/dev/shm", 1); /* hundreds of stores are made durable */
	place_make(&place);
	snprintf(saved, sizeof(saved), "/dev/shm/terrace-XXXXXX");
	assert_non_null(mkdtemp(saved));
	place_options(&place, true, 1 << 20, &options);
	assert_int_equal(meta_open_lmdb(&meta, &options, NULL), 0);
	for (unsigned generation = 0; generation < 4; generation++)
		fill(meta, generation, 1);
	assert_int_equal(meta_close(meta), 0);
	place_copy(place.dir, saved);
	snprintf(path, sizeof(path), "%s/metadata.mdb", saved);
	image = place_read(path, &image_len);
	log_capture();
	return 0;
}

static int teardown(void **state)
{
	char command[96];

	(void)state;
	log_release();
	free(image);
	place_remove(&place);
	snprintf(command, sizeof(command), "rm -r %s", saved);
	return system(command);
}

/* Every value is right, or answers an error. */
static void check_values(struct meta *meta)
{
	static uint8_t buf[META_VALUE_MAX], value[VALUE_MAX];
	struct meta_cursor *cursor;
	struct meta_item item;
	unsigned items = 0, present = 0;
	char key[40];
	size_t len;
	int rc;

	for (unsigned i = 0; i < KEYS; i++) {
		rc = meta_get(meta, key, key_of(i, key), buf, sizeof(buf), &len);
		if (i % 11 == 0) {
			assert_int_equal(rc, -ENOENT);
			continue;
		}
		present++;
		if (rc == -EBADMSG || rc == -EUCLEAN || rc == -EIO)
			continue;
		assert_int_equal(rc, 0);
		assert_int_equal(len, value_of(i, 3, value));
		assert_memory_equal(buf, value, len);
	}
	assert_int_equal(meta_cursor_open(meta, "K", 1, NULL, 0, &cursor), 0);
	while (!(rc = meta_cursor_next(cursor, &item)))
		items++;
	meta_cursor_close(cursor);
	if (rc == -ENOENT)
		assert_int_equal(items, present);
}

/* Opens the store with this file in it; when that goes, uses it. True: it was refused. */
static bool open_with(const uint8_t *bytes, uint64_t len)
{
	struct meta_options options;
	struct meta *meta;
	char path[128];
	int rc;

	place_copy(saved, place.dir);
	place_lose_tail(&place);
	snprintf(path, sizeof(path), "%s/metadata.mdb", place.dir);
	place_write(path, bytes, len);
	place_options(&place, false, 1 << 20, &options);
	rc = meta_open_lmdb(&meta, &options, NULL);
	if (rc) {
		assert_true(rc == -EUCLEAN || rc == -ENOTUNIQ || rc == -ENOTSUP);
		assert_string_not_equal(log_captured(), "");
		return true;
	}
	check_values(meta);
	fill(meta, 3, 40); /* takes free pages, splits and joins others */
	check_values(meta);
	assert_int_equal(meta_close(meta), 0);
	assert_int_equal(tree_walk(path, UINT64_MAX, NULL), 0);
	return false;
}

static void test_sound(void **state)
{
	struct tree_walk_counts counts;
	char path[128];

	(void)state;
	snprintf(path, sizeof(path), "%s/metadata.mdb", place.dir);
	assert_int_equal(tree_walk(path, UINT64_MAX, &counts), 0);
	assert_true(counts.whole);
	assert_in_range(counts.items, KEYS * 9 / 10, KEYS + 1);
	assert_false(open_with(image, image_len));
}

/* Closed in order and large: only the way to the state record is looked at. */
static void test_no_walk_when_clean(void **state)
{
	struct tree_walk_counts counts;
	struct meta_options options;
	struct meta *meta;
	char path[128];

	(void)state;
	snprintf(path, sizeof(path), "%s/metadata.mdb", place.dir);
	assert_int_equal(tree_walk(path, 0, &counts), 0);
	assert_false(counts.whole);
	place_copy(saved, place.dir);
	place_options(&place, false, 1 << 20, &options);
	assert_int_equal(meta_open_lmdb(&meta, &options, NULL), 0);
	meta_abandon(meta);
	assert_int_equal(tree_walk(path, 0, &counts), 0);
	assert_true(counts.whole);
	place_lose_tail(&place);
}

/* A byte with one bit, or all of them, turned round. */
static void test_flips(void **state)
{
	uint8_t *bytes = malloc(image_len);
	unsigned refused = 0;
	struct dice dice;

	(void)state;
	dice_init(&dice, "flips");
	for (unsigned i = 0; i < steps; i++) {
		/* in the two head pages, in pages' heads, anywhere */
		uint64_t page = dice_roll(&dice, i % 3 ? image_len / PAGE : 2) * PAGE;
		uint64_t at = page + dice_roll(&dice, i % 3 == 0 ? 160 : i % 3 == 1 ? 64 : PAGE);

		memcpy(bytes, image, image_len);
		bytes[at] = (uint8_t)(bytes[at] ^ (i % 2 ? 0xff : 1u << dice_roll(&dice, 8)));
		refused += open_with(bytes, image_len);
	}
	print_message("%u of %u flips refused\n", refused, steps);
	assert_true(refused > steps / 16);
	free(bytes);
}

static void test_zeroes(void **state)
{
	static const uint64_t sizes[] = {1, 8, 512, PAGE, 3 * PAGE};
	uint8_t *bytes = malloc(image_len);
	unsigned refused = 0;
	struct dice dice;

	(void)state;
	dice_init(&dice, "zeroes");
	for (unsigned i = 0; i < steps / 3; i++) {
		uint64_t len = sizes[i % 5], at = dice_roll(&dice, image_len - len);

		if (i % 2)
			at = at / PAGE * PAGE;
		memcpy(bytes, image, image_len);
		memset(bytes + at, 0, len);
		refused += open_with(bytes, image_len);
	}
	assert_true(refused > steps / 30);
	free(bytes);
}

/* A page in another's place: a write that went astray. */
static void test_misplaced(void **state)
{
	uint8_t *bytes = malloc(image_len);
	struct dice dice;

	(void)state;
	dice_init(&dice, "misplaced");
	for (unsigned i = 0; i < steps / 5; i++) {
		uint64_t to = dice_roll(&dice, image_len / PAGE) * PAGE;
		uint64_t from = dice_roll(&dice, image_len / PAGE) * PAGE;

		memcpy(bytes, image, image_len);
		memcpy(bytes + to, image + from, PAGE);
		open_with(bytes, image_len);
	}
	free(bytes);
}

/* A page in use among the free ones: LMDB would write over it. The offsets are the format's. */
static void test_free_list(void **state)
{
	uint8_t *bytes = malloc(image_len), *head, *leaf, *node, *list = NULL;
	uint64_t root, i = 0;
	bool found = false;
	char path[128];

	(void)state;
	memcpy(bytes, image, image_len);
	head = bytes + (get_le64(bytes + 144) < get_le64(bytes + PAGE + 144) ? PAGE : 0);
	root = get_le64(head + 128);
	leaf = bytes + get_le64(head + 80) * PAGE;
	assert_int_equal(get_le16(leaf + 10), 2);
	for (unsigned n = 0; n < (get_le16(leaf + 12) - 16u) / 2 && !found; n++) {
		node = leaf + get_le16(leaf + 16 + 2 * n);
		list = node + 8 + get_le16(node + 6);
		for (i = 0; i < get_le64(list) && get_le64(list + 8 + 8 * i) > root; i++)
			;
		found = i < get_le64(list);
	}
	assert_true(found);
	put_le64(list + 8 + 8 * i, root);
	snprintf(path, sizeof(path), "%s/metadata.mdb", place.dir);
	place_write(path, bytes, image_len);
	log_captured();
	assert_int_equal(tree_walk(path, UINT64_MAX, NULL), -EUCLEAN);
	assert_non_null(strstr(log_captured(), "used twice"));
	free(bytes);
}

static void test_truncated(void **state)
{
	uint64_t pages = image_len / PAGE;
	unsigned refused = 0;
	char path[128];

	(void)state;
	snprintf(path, sizeof(path), "%s/metadata.mdb", place.dir);
	for (uint64_t i = 0; i < pages; i += pages / 40 + 1) {
		refused += open_with(image, i * PAGE); /* what is missing may have been free */
		refused += open_with(image, i * PAGE + 100);
	}
	assert_true(refused > 20);
	place_write(path, image, PAGE);
	log_captured();
	assert_int_equal(tree_walk(path, 0, NULL), -EUCLEAN);
	assert_non_null(strstr(log_captured(), "terrace restore-metadata"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sound),	  cmocka_unit_test(test_no_walk_when_clean),
		cmocka_unit_test(test_flips),	  cmocka_unit_test(test_zeroes),
		cmocka_unit_test(test_misplaced), cmocka_unit_test(test_free_list),
		cmocka_unit_test(test_truncated),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
