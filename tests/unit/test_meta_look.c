// SPDX-License-Identifier: Apache-2.0
/*
 * The walk of a tree that may be damaged (meta_look_walk), as a file that nobody writes to and as a
 * live one, which a child process walks with LMDB: both name the values that are damaged, both
 * refuse a tree that is, and what LMDB cannot bear ends the child and not the caller.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "compress/bytes.h"
#include "tests/unit/fix_children.h"
#include "tests/unit/fix_dir.h"
#include "tests/unit/fix_fault.h"
#include "tests/unit/fix_place.h"
#include "tiers/meta.h"
#include "tiers/meta_look.h"

#define KEYS 400u
#define PAGE 4096u

static struct place place;
static uint8_t *image; /* of the tree's file, closed in order */
static uint64_t image_len;
static char path[128]; /* of that file */
static bool impatient; /* the child's alarm goes off at once */

/* The child asks for 120 seconds. */
unsigned alarm(unsigned seconds)
{
	(void)seconds;
	if (impatient)
		raise(SIGALRM);
	return 0;
}

static size_t key_of(unsigned i, char key[static 16])
{
	return (size_t)snprintf(key, 16, "Key%05u", i);
}

/* Each value says its key's number, so that it can be found in the file. */
static size_t value_of(unsigned i, uint8_t *buf)
{
	return (size_t)snprintf((char *)buf, 64, "the value of number %05u, and no other", i);
}

static int setup(void **state)
{
	struct meta_options options;
	struct meta_batch *batch;
	struct meta *meta;
	uint8_t value[64];
	char key[16];

	(void)state;
	setenv("TMPDIR", "/dev/shm", 1);
	place_make(&place);
	place_options(&place, true, 1 << 20, &options);
	assert_int_equal(meta_open_lmdb(&meta, &options, NULL), 0);
	assert_int_equal(meta_batch_new(&batch), 0);
	for (unsigned i = 0; i < KEYS; i++)
		meta_batch_put(batch, key, key_of(i, key), value, value_of(i, value));
	assert_int_equal(meta_apply(meta, batch, NULL), 0);
	meta_batch_free(batch);
	assert_int_equal(meta_close(meta), 0);
	snprintf(path, sizeof(path), "%s/metadata.mdb", place.dir);
	image = place_read(path, &image_len);
	log_capture();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	log_release();
	free(image);
	place_remove(&place);
	return 0;
}

static int restore(void **state)
{
	(void)state;
	impatient = false;
	place_write(path, image, image_len);
	return 0;
}

struct told {
	unsigned keys, stop_at;
	char first[32], last[32];
};

static int each(void *arg, const void *key, size_t key_len)
{
	struct told *told = arg;

	assert_true(key_len < sizeof(told->last));
	memcpy(told->last, key, key_len);
	told->last[key_len] = '\0';
	if (!told->keys++)
		strcpy(told->first, told->last);
	return told->keys == told->stop_at ? 42 : 0;
}

static char why[256];

/* No descriptor and no child is left behind. */
static int walk(bool live, struct told *told)
{
	struct meta_look_options options = {
		.dir = place.dir, .pool_uuid = place.uuid, .live = live};
	int fds = fault_open_fds(), rc;

	told->keys = 0;
	strcpy(why, "nothing");
	log_captured();
	rc = meta_look_walk(&options, each, told, why, sizeof(why));
	assert_int_equal(fault_open_fds(), fds);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	return rc;
}

/* Calls change() for each place where the value of a key is: pages that are free may have it, too.
 */
static void each_place(uint8_t *bytes, unsigned i, void (*change)(uint8_t *bytes, uint8_t *at))
{
	uint8_t value[64], *at = bytes;
	size_t len = value_of(i, value);
	unsigned n = 0;

	while ((at = memmem(at, (size_t)(bytes + image_len - at), value, len))) {
		uint8_t *here = at++;

		change(bytes, here);
		n++;
	}
	assert_true(n > 0);
	place_write(path, bytes, image_len);
}

static void flip(uint8_t *bytes, uint8_t *at)
{
	(void)bytes;
	at[3] ^= 1;
}

static uint8_t *page_of(uint8_t *bytes, uint8_t *at)
{
	return bytes + (uint64_t)(at - bytes) / PAGE * PAGE;
}

/* The first two keys of a leaf in each other's place. The offsets are the format's. */
static void turn_round(uint8_t *bytes, uint8_t *at)
{
	uint8_t *page = page_of(bytes, at);
	uint16_t one = get_le16(page + 16);

	put_le16(page + 16, get_le16(page + 18));
	put_le16(page + 18, one);
}

/* Of no kind that belongs there. */
static void no_leaf(uint8_t *bytes, uint8_t *at)
{
	put_le16(page_of(bytes, at) + 10, 0x40);
}

static void test_sound(void **state)
{
	struct told told = {0};

	(void)state;
	for (unsigned live = 0; live < 2; live++) {
		assert_int_equal(walk(live, &told), 0);
		assert_int_equal(told.keys, 0);
		assert_string_equal(why, "nothing");
		assert_string_equal(log_captured(), "");
	}
}

static void test_values(void **state)
{
	static const unsigned damaged[] = {7, 100, 399};
	uint8_t *bytes;

	(void)state;
	bytes = place_read(path, &image_len);
	for (unsigned i = 0; i < 3; i++)
		each_place(bytes, damaged[i], flip);
	for (unsigned live = 0; live < 2; live++) {
		struct told told = {0};

		assert_int_equal(walk(live, &told), 0);
		assert_int_equal(told.keys, 3);
		assert_string_equal(told.first, "Key00007");
		assert_string_equal(told.last, "Key00399");
		told.stop_at = 2;
		assert_int_equal(walk(live, &told), 42);
		assert_string_equal(told.last, "Key00100");
	}
	free(bytes);
}

static void expect(struct meta *meta, const char *key, const char *value)
{
	char buf[64];
	size_t len;
	int rc = meta_get(meta, key, strlen(key), buf, sizeof(buf), &len);

	if (!value) {
		assert_int_equal(rc, -ENOENT);
		return;
	}
	assert_int_equal(rc, 0);
	assert_int_equal(len, strlen(value));
	assert_memory_equal(buf, value, len);
}

/* What is applied to a look is seen by who looks, over what the tree has, and by nobody else:
 * nothing of it goes to the medium. */
static void test_applied_in_memory(void **state)
{
	struct meta_look_options options = {.dir = place.dir, .pool_uuid = place.uuid};
	struct meta_stats before, after;
	struct meta_batch *batch;
	struct meta_look look;
	struct meta *meta;
	uint64_t len, seq;
	uint8_t *bytes;

	(void)state;
	assert_int_equal(meta_open_look(&meta, &options, &look), 0);
	assert_true(look.clean && look.settled && !look.tail);
	assert_int_equal(meta_seq(meta), look.seq);
	meta_stats(meta, &before);
	assert_true(before.tree_bytes >= 4ull * PAGE);
	assert_int_equal(meta_batch_new(&batch), 0);
	meta_batch_put(batch, "Key00007", 8, "another", 7);
	meta_batch_put(batch, "new", 3, "one", 3);
	meta_batch_del(batch, "Key00008", 8);
	assert_int_equal(meta_apply(meta, batch, &seq), 0);
	meta_batch_free(batch);
	assert_int_equal(seq, look.seq + 1);
	assert_int_equal(meta_seq(meta), seq);
	assert_int_equal(meta_durable_seq(meta), seq);
	expect(meta, "Key00007", "another");
	expect(meta, "new", "one");
	expect(meta, "Key00008", NULL);
	expect(meta, "Key00009", "the value of number 00009, and no other");
	meta_stats(meta, &after);
	assert_true(after.memtable_bytes > before.memtable_bytes);
	assert_int_equal(after.tree_bytes, before.tree_bytes);
	assert_int_equal(meta_sync(meta, seq), -EROFS);
	assert_false(meta_checkpoint_due(meta, 1));
	assert_int_equal(meta_freeze(meta), -EROFS);
	assert_int_equal(meta_checkpoint(meta), -EROFS);
	assert_int_equal(meta_close(meta), 0);
	bytes = place_read(path, &len);
	assert_int_equal(len, image_len);
	assert_memory_equal(bytes, image, len);
	free(bytes);
	assert_int_equal(meta_open_look(&meta, &options, &look), 0);
	expect(meta, "new", NULL);
	meta_abandon(meta);
}

/* LMDB walks keys as they lie. */
static void test_order(void **state)
{
	struct told told = {0};
	uint8_t *bytes;

	(void)state;
	bytes = place_read(path, &image_len);
	each_place(bytes, 100, turn_round);
	assert_int_equal(walk(false, &told), -EUCLEAN);
	assert_string_equal(why, "see the line above");
	assert_non_null(strstr(log_captured(), "metadata.mdb"));
	assert_int_equal(walk(true, &told), -EUCLEAN);
	assert_string_equal(why, "its pages do not fit together");
	free(bytes);
}

static void test_page(void **state)
{
	int ends[2], err = dup(STDERR_FILENO), rc;
	struct told told = {0};
	uint8_t *bytes, byte;

	(void)state;
	bytes = place_read(path, &image_len);
	each_place(bytes, 300, no_leaf);
	assert_int_equal(walk(false, &told), -EUCLEAN);
	assert_string_equal(why, "see the line above");
	assert_int_equal(pipe(ends), 0);
	dup2(ends[1], STDERR_FILENO);
	rc = walk(true, &told);
	dup2(err, STDERR_FILENO);
	close(ends[1]);
	assert_int_equal(rc, -EUCLEAN);
	assert_string_equal(why, "reading it ends in signal 6 (Aborted)");
	assert_int_equal(read(ends[0], &byte, 1), 0); /* LMDB's last words */
	close(ends[0]);
	close(err);
	free(bytes);
}

/* The file ends before its pages do: who reads them through a map gets a signal, and not the
 * handler that cmocka has for it. */
static void test_cut(void **state)
{
	struct told told = {0};

	(void)state;
	place_write(path, image, 2ull * PAGE);
	assert_int_equal(walk(false, &told), -EUCLEAN);
	assert_int_equal(walk(true, &told), -EUCLEAN);
	assert_string_equal(why, "reading it ends in signal 7 (Bus error)");
}

static void test_hangs(void **state)
{
	struct told told = {0};

	(void)state;
	impatient = true;
	assert_int_equal(walk(true, &told), -EUCLEAN);
	assert_string_equal(why, "reading it does not end");
}

static void test_not_there(void **state)
{
	struct meta_look_options options = {.pool_uuid = place.uuid};
	struct told told = {0};
	char dir[4100];

	(void)state;
	assert_int_equal(unlink(path), 0);
	for (unsigned live = 0; live < 2; live++) {
		assert_int_equal(walk(live, &told), -ENOENT);
		assert_string_equal(why, "nothing");
	}
	memset(dir, 'd', sizeof(dir) - 1);
	dir[sizeof(dir) - 1] = '\0';
	options.dir = dir;
	for (unsigned live = 0; live < 2; live++) {
		options.live = live;
		assert_int_equal(meta_look_walk(&options, each, &told, why, sizeof(why)),
				 -ENAMETOOLONG);
	}
}

/* Another pool's, live: what the child found out is what the caller gets. */
static void test_foreign(void **state)
{
	struct told told = {0};

	(void)state;
	place.uuid[0] ^= 1;
	assert_int_equal(walk(true, &told), -ENOTUNIQ);
	place.uuid[0] ^= 1;
	assert_int_equal(told.keys, 0);
	assert_string_equal(why, "nothing");
}

static void test_no_descriptors(void **state)
{
	struct meta_look_options options = {
		.dir = place.dir, .pool_uuid = place.uuid, .live = true};
	struct rlimit old, none;
	struct told told = {0};
	int rc;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = old;
	none.rlim_cur = 3;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	rc = meta_look_walk(&options, each, &told, why, sizeof(why));
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(rc, -EMFILE);
}

#define TEST(f) cmocka_unit_test_teardown(f, restore)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_sound),     TEST(test_values),
		TEST(test_order),     TEST(test_page),
		TEST(test_cut),	      TEST(test_hangs),
		TEST(test_foreign),   TEST(test_no_descriptors),
		TEST(test_not_there), TEST(test_applied_in_memory),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
