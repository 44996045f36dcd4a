// SPDX-License-Identifier: Apache-2.0
/* The RAM log for who only looks, and before it has begun. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fix_ramlog.h"

static int log_look(struct fixture *fix, struct ramlog **out)
{
	struct ramlog_options options = {.dir = fix->dir, .pool_uuid = pool_a, .look = true};
	bool recovered;
	int err = ramlog_open(out, &options, &recovered);

	assert_true(recovered == !err);
	return err;
}

/* Names, bytes and blocks of the folder's files. */
static void folder_sum(struct fixture *fix, char out[256])
{
	char command[192];
	FILE *p;

	snprintf(command, sizeof(command),
		 "cd '%s' && (ls -s1; find . -type f -exec sha256sum {} + | sort) | sha256sum",
		 fix->dir);
	p = popen(command, "r");
	assert_non_null(p);
	assert_non_null(fgets(out, 256, p));
	assert_int_equal(pclose(p), 0);
}

/* A log that was opened to be begun later is none until then. */
static void test_hold(void **state)
{
	struct fixture *fix = *state;
	struct ramlog_options options = {
		.dir = fix->dir, .pool_uuid = pool_a, .max_bytes = 8 * MIB, .hold = true};
	struct ramlog *look;
	bool recovered;

	for (unsigned begun = 0; begun < 3; begun++) {
		assert_int_equal(ramlog_open(&fix->log, &options, &recovered), 0);
		assert_true(recovered == (begun == 2));
		assert_int_equal(append(fix, 1 + begun, 100, NULL), 0);
		if (begun)
			assert_int_equal(ramlog_begin(fix->log), 0);
		ramlog_close(fix->log, false);
		fix->log = NULL;
		assert_int_equal(log_look(fix, &look), begun ? 0 : -ENOENT);
		if (begun)
			ramlog_close(look, false);
	}
	log_reopen(fix, 8 * MIB);
	check_walk(fix, 0, 2, 3);
}

/* What a mount would find, and not a byte is changed. */
static void test_look(void **state)
{
	struct fixture *fix = *state;
	struct ramlog_record record;
	struct ramlog *look, *log;
	char path[96], before[256], after[256];
	void *data;
	int fd;

	assert_int_equal(log_look(fix, &look), -ENOENT);
	log_fresh(fix, 16 * MIB);
	for (unsigned i = 1; i <= 7; i++)
		assert_int_equal(append(fix, i, MIB, NULL), 0);
	assert_int_equal(ramlog_reserve(fix->log, RAMLOG_WRITE, 666, 0, 100, 77, &record, &data),
			 0);
	assert_int_equal(append(fix, 8, 100, NULL), 0);
	ramlog_close(fix->log, false); /* killed, in the middle of a write ... */
	fix->log = NULL;
	snprintf(path, sizeof(path), "%s/log.77", fix->dir);
	close(open(path, O_CREAT | O_WRONLY, 0600)); /* ... and of making a chunk */
	for (unsigned holes = 0; holes < 2; holes++) {
		for (unsigned i = 0; i < 3 && holes; i++) {
			snprintf(path, sizeof(path), "%s/log.%u", fix->dir, i);
			fd = open(path, O_RDWR);
			assert_int_equal(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
						   RAMLOG_CHUNK_BYTES - 4096, 4096),
					 0);
			close(fd);
		}
		folder_sum(fix, before);
		assert_int_equal(log_look(fix, &look), 0);
		log = fix->log;
		fix->log = look;
		check_walk(fix, 0, 1, 8);
		fix->log = log;
		ramlog_close(look, false);
		folder_sum(fix, after);
		assert_string_equal(before, after);
	}
	log_reopen(fix, 16 * MIB);
	check_walk(fix, 0, 1, 8);
	ramlog_close(fix->log, false);
	fix->log = NULL;
	chunk_edit(fix, 1, 72);
	folder_sum(fix, before);
	assert_int_equal(log_look(fix, &look), -EUCLEAN);
	folder_sum(fix, after);
	assert_string_equal(before, after);
	head_edit(fix, 50, true); /* of another boot */
	folder_sum(fix, before);
	assert_int_equal(log_look(fix, &look), -ENOENT);
	folder_sum(fix, after);
	assert_string_equal(before, after);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_look),
		T(test_hold),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
