// SPDX-License-Identifier: Apache-2.0
/* The journal's tail by itself: what an opening takes up, what it discards, what it refuses. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "compress/bytes.h"
#include "compress/checksum.h"
#include "tests/unit/fix_dir.h"
#include "tiers/io.h"
#include "tiers/log.h"
#include "tiers/tail.h"

#define SLOT_AT(slot) (4096 + (off_t)(slot) * (2 << 20)) /* terrace-format(5), JOURNAL TAIL */
#define BIG	      (900u << 10)			 /* two of these fill a slot */

static const uint8_t pool_a[16] = "pool a", pool_b[16] = "pool b";

struct fixture {
	char dir[64];
	struct tail_options options;
	struct tail *tail;
};

/* What a replay has found: the seqs, and that each record holds its own bytes. */
struct seen {
	uint64_t first, last, count;
};

static int each(void *arg, uint64_t seq, const void *ops, size_t len)
{
	struct seen *seen = arg;
	const uint8_t *p = ops;

	if (!seen->count++)
		seen->first = seq;
	seen->last = seq;
	for (size_t i = 0; i < len; i += 997)
		assert_int_equal(p[i], (uint8_t)(seq + i));
	return 0;
}

static int open_tail(struct fixture *fix, bool *found)
{
	return tail_open(&fix->tail, &fix->options, found);
}

static void append(struct fixture *fix, uint64_t seq, size_t len)
{
	uint8_t *ops = malloc(len);

	assert_non_null(ops);
	for (size_t i = 0; i < len; i++)
		ops[i] = (uint8_t)(seq + i);
	assert_int_equal(tail_reserve(fix->tail, len), 0);
	tail_append(fix->tail, seq, ops, len);
	free(ops);
}

static void die(struct fixture *fix)
{
	tail_close(fix->tail, false);
	fix->tail = NULL;
}

/* A tail of the records 1 to n that nobody has taken up. */
static void leave(struct fixture *fix, uint64_t n, size_t len)
{
	struct seen seen = {0};
	bool found;

	fix->options.create = true;
	assert_int_equal(open_tail(fix, &found), 0);
	assert_false(found);
	assert_int_equal(tail_replay(fix->tail, 0, each, &seen), 0);
	assert_int_equal(seen.count, 0);
	for (uint64_t seq = 1; seq <= n; seq++)
		append(fix, seq, len);
	die(fix);
	fix->options.create = false;
}

static void edit(struct fixture *fix, off_t at, const void *buf, size_t len, bool mend)
{
	char path[96];
	uint8_t header[88];
	int fd;

	snprintf(path, sizeof(path), "%s/journal.tail", fix->dir);
	fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, buf, len, at), len);
	assert_int_equal(pread(fd, header, sizeof(header), 0), sizeof(header));
	put_le64(header + 80, checksum64(header, 80));
	if (mend)
		assert_int_equal(pwrite(fd, header, sizeof(header), 0), sizeof(header));
	close(fd);
}

static void expect_records(struct fixture *fix, uint64_t after, uint64_t first, uint64_t last)
{
	struct seen looked = {0}, seen = {0};
	uint64_t count = first ? last - first + 1 : 0;
	bool found;

	assert_int_equal(tail_look(&fix->options, after, each, &looked, &found), 0);
	assert_int_equal(looked.count, count);
	assert_int_equal(open_tail(fix, &found), 0);
	assert_int_equal(tail_replay(fix->tail, after, each, &seen), 0);
	assert_int_equal(seen.count, count);
	assert_int_equal(seen.first, first);
	assert_int_equal(seen.last, last);
	die(fix);
}

static int setup(void **state)
{
	struct fixture *fix = calloc(1, sizeof(*fix));

	assert_non_null(fix);
	strcpy(fix->dir, "/dev/shm/terrace-tail-XXXXXX");
	assert_non_null(mkdtemp(fix->dir));
	fix->options =
		(struct tail_options){.dir = fix->dir, .pool_uuid = pool_a, .max_bytes = 8u << 20};
	log_capture();
	*state = fix;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fix = *state;
	char path[96];

	tail_close(fix->tail, false);
	snprintf(path, sizeof(path), "%s/journal.tail", fix->dir);
	unlink(path);
	assert_int_equal(rmdir(fix->dir), 0);
	free(fix);
	log_release();
	return 0;
}

static void test_a_process_that_died_leaves_all(void **state)
{
	struct fixture *fix = *state;

	leave(fix, 5, BIG); /* in three slots */
	expect_records(fix, 0, 1, 5);
	expect_records(fix, 3, 4, 5);
	expect_records(fix, 5, 0, 0);
	expect_records(fix, 9, 0, 0); /* the medium is ahead: nothing here continues it */
}

/* The power was cut, and tmpfs was not tmpfs: what is there is of before, and may be older than
 * what the medium holds, or newer than what its files hold. */
static void test_of_another_boot_is_discarded(void **state)
{
	struct fixture *fix = *state;
	struct seen seen = {0};
	bool found = true;

	leave(fix, 3, 100);
	edit(fix, 56, "another boot....", 16, true);
	assert_int_equal(tail_look(&fix->options, 0, each, &seen, &found), 0);
	assert_int_equal(seen.count, 0);
	assert_int_equal(open_tail(fix, &found), 0);
	assert_false(found);
	assert_int_equal(tail_replay(fix->tail, 0, each, &seen), 0);
	assert_int_equal(seen.count, 0);
	append(fix, 1, 200);
	die(fix);
	expect_records(fix, 0, 1, 1);
}

static void expect_refused(struct fixture *fix, int rc)
{
	struct seen seen = {0};
	bool found;

	assert_int_equal(tail_look(&fix->options, 0, each, &seen, &found), rc);
	assert_int_equal(open_tail(fix, &found), rc);
	assert_null(fix->tail);
	assert_int_equal(seen.count, 0);
}

static void test_refused_and_left_alone(void **state)
{
	static const uint8_t newer[4] = {2}, right[4] = {1}, bit[8] = {1}, none[8];
	struct fixture *fix = *state;

	leave(fix, 3, 100);
	fix->options.pool_uuid = pool_b;
	expect_refused(fix, -ENOTUNIQ);
	assert_non_null(strstr(log_captured(), "another pool"));
	fix->options.create = true; /* not even then */
	expect_refused(fix, -ENOTUNIQ);
	fix->options.create = false;
	fix->options.pool_uuid = pool_a;
	edit(fix, 8, newer, 4, true);
	expect_refused(fix, -ENOTSUP);
	edit(fix, 8, right, 4, true);
	edit(fix, 16, bit, 8, true);
	expect_refused(fix, -ENOTSUP);
	edit(fix, 16, none, 8, true);
	edit(fix, 72, bit, 1, true); /* slots: fewer than are kept */
	expect_refused(fix, -EUCLEAN);
	edit(fix, 72, "\4", 1, true);
	edit(fix, 76, "x", 1, false);
	expect_refused(fix, -EUCLEAN);
	assert_non_null(strstr(log_captured(), "damaged header"));
	edit(fix, 76, none, 1, true);
	expect_records(fix, 0, 1, 3);
}

/* Damage in a record: what is behind it in the same slot goes, as half a record at the end does;
 * when another slot goes on behind it, records are missing inside. */
static void test_a_record_that_is_not_whole(void **state)
{
	struct fixture *fix = *state;
	struct seen seen = {0};
	bool found;

	leave(fix, 3, 100);
	edit(fix, SLOT_AT(0) + 32 + 2 * 128 + 30, "?", 1, false); /* in the third */
	expect_records(fix, 0, 1, 2);

	leave(fix, 5, BIG);
	edit(fix, SLOT_AT(0) + 32 + 24 + BIG + 100, "?", 1, false); /* in the second */
	assert_int_equal(tail_look(&fix->options, 0, each, &seen, &found), -EUCLEAN);
	assert_int_equal(open_tail(fix, &found), 0);
	assert_true(found);
	assert_int_equal(tail_replay(fix->tail, 0, each, &seen), -EUCLEAN);
	assert_non_null(strstr(log_captured(), "are damaged"));
	die(fix);
}

static int each_run(void *arg, const void *buf, size_t len)
{
	struct seen *seen = arg;
	const uint8_t *p = buf;
	const void *ops;
	uint64_t seq;
	size_t n;

	for (size_t off = 0; off < len; off += record_size(n)) {
		assert_int_equal(record_decode(p + off, len - off, &seq, &ops, &n), 0);
		each(seen, seq, ops, n);
	}
	return 0;
}

/* A slot that is used again still holds whole records of its former life behind the new ones. */
static void test_a_slot_used_again(void **state)
{
	struct fixture *fix = *state;
	struct seen seen = {0}, read = {0};
	bool found;

	fix->options.create = true;
	assert_int_equal(open_tail(fix, &found), 0);
	assert_int_equal(tail_replay(fix->tail, 0, each, &seen), 0);
	for (uint64_t seq = 1; seq <= 5; seq++)
		append(fix, seq, BIG);
	tail_drop(fix->tail, 5);
	append(fix, 6, BIG);
	append(fix, 7, BIG); /* in the first slot, where 1 and 2 were */
	die(fix);
	fix->options.create = false;
	assert_int_equal(open_tail(fix, &found), 0);
	assert_int_equal(tail_replay(fix->tail, 5, each, &seen), 0);
	assert_int_equal(seen.first, 6);
	assert_int_equal(seen.last, 7);
	append(fix, 8, 100);
	assert_int_equal(tail_read(fix->tail, 8, each_run, &read), 0);
	assert_int_equal(read.first, 6);
	assert_int_equal(read.last, 8);
	assert_int_equal(read.count, 3);
}

/* The metadata folder is older than the tail. */
static void test_a_tail_that_begins_later(void **state)
{
	struct fixture *fix = *state;
	struct seen seen = {0};
	bool found;

	fix->options.create = true;
	assert_int_equal(open_tail(fix, &found), 0);
	assert_int_equal(tail_replay(fix->tail, 6, each, &seen), 0);
	append(fix, 7, 100);
	die(fix);
	fix->options.create = false;
	expect_records(fix, 6, 7, 7);
	assert_int_equal(open_tail(fix, &found), 0);
	assert_int_equal(tail_replay(fix->tail, 5, each, &seen), -EUCLEAN);
	assert_int_equal(seen.count, 0);
}

static uint64_t slots_taken(struct fixture *fix)
{
	char path[96];
	struct stat st;

	snprintf(path, sizeof(path), "%s/journal.tail", fix->dir);
	assert_int_equal(stat(path, &st), 0);
	return (uint64_t)st.st_blocks * 512 / (2 << 20);
}

/* What was needed lately stays reserved, within bounds; what is not needed any more goes. */
static void test_slots_kept(void **state)
{
	struct fixture *fix = *state;
	struct seen seen = {0};
	uint64_t seq = 0;
	bool found;

	fix->options.max_bytes = 32 << 20;
	fix->options.create = true;
	assert_int_equal(open_tail(fix, &found), 0);
	assert_int_equal(tail_replay(fix->tail, 0, each, &seen), 0);
	while (seq < 10)
		append(fix, ++seq, BIG);
	assert_int_equal(slots_taken(fix), 5);
	tail_drop(fix->tail, seq);
	assert_int_equal(slots_taken(fix), 5);
	while (seq < 34)
		append(fix, ++seq, BIG);
	assert_int_equal(slots_taken(fix), 13); /* the one it was in, and twelve */
	tail_drop(fix->tail, seq);
	assert_in_range(slots_taken(fix), 8, 9); /* and the one that is written to */
	for (unsigned i = 0; i < 20; i++) {
		append(fix, ++seq, 100);
		tail_drop(fix->tail, seq);
	}
	assert_in_range(slots_taken(fix), 2, 3);
	die(fix);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_process_that_died_leaves_all, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_of_another_boot_is_discarded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused_and_left_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_record_that_is_not_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_slot_used_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_tail_that_begins_later, setup, teardown),
		cmocka_unit_test_setup_teardown(test_slots_kept, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
