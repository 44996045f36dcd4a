// SPDX-License-Identifier: Apache-2.0
/* A RAM folder that was away while the pool was mounted without it, and comes back in the same
 * boot: not replayed. One that was not is, whatever step of an opening was the last of a process.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/fix_dir.h"
#include "tests/unit/fix_fault.h"
#include "tests/unit/fix_pool.h"
#include "tiers/io.h"
#include "tiers/object.h"

static struct fix_pool fix;

static int setup(void **state)
{
	(void)state;
	log_capture();
	fix_pool_new(&fix, 16u << 20, false);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	io_ops_set(NULL);
	fix_pool_free(&fix);
	log_release();
	return 0;
}

static uint64_t object_new(const char *text)
{
	struct txn *txn = txn_begin(fix.pool);
	struct object *object;
	uint64_t id;

	assert_int_equal(object_create(txn, "a", 1, &object), 0);
	assert_int_equal(txn_commit(txn), 0);
	assert_int_equal(object_write(object, text, strlen(text), 0), 0);
	id = object_id(object);
	object_put(object);
	return id;
}

static void put(uint64_t id, const char *text, bool sync)
{
	struct object *object;

	assert_int_equal(object_get(fix.pool, id, &object), 0);
	assert_int_equal(object_write(object, text, strlen(text), 0), 0);
	if (sync)
		assert_int_equal(object_sync(object), 0);
	object_put(object);
}

static void expect(uint64_t id, const char *text)
{
	char buf[64] = "";
	struct object *object;
	size_t got;

	assert_int_equal(object_get(fix.pool, id, &object), 0);
	assert_int_equal(object_read(object, buf, sizeof(buf) - 1, 0, &got), 0);
	assert_string_equal(buf, text);
	object_put(object);
}

static void die(void)
{
	pool_abandon(fix.pool);
	fix.pool = NULL;
}

static void old_folder(bool closed)
{
	char command[512];
	uint64_t id = object_new("one");

	assert_int_equal(pool_sync(fix.pool), 0);
	put(id, "two", false);
	die();
	snprintf(command, sizeof(command), "mv %s %s.away && mkdir %s", fix.ram, fix.ram, fix.ram);
	assert_int_equal(system(command), 0);
	fix_pool_open(&fix); /* as after a power loss */
	expect(id, "one");
	put(id, "new", true);
	if (closed)
		fix_pool_close(&fix);
	else
		die();
	snprintf(command, sizeof(command), "rm -rf %s && mv %s.away %s", fix.ram, fix.ram, fix.ram);
	assert_int_equal(system(command), 0);
	log_captured();
	fix_pool_open(&fix);
	assert_non_null(strstr(log_captured(), "of an earlier mount than the last one"));
	expect(id, "new");
	fix_pool_verify(&fix);
	put(id, "more", false);
	fix_pool_crash(&fix);
	expect(id, "more");
}

static void test_back_after_a_death(void **state)
{
	(void)state;
	old_folder(false);
}

static void test_back_after_a_clean_end(void **state)
{
	(void)state;
	old_folder(true);
}

static void test_a_copy_of_a_folder_that_went_on_is_old(void **state)
{
	char command[512];
	uint64_t id = object_new("one");

	(void)state;
	die();
	snprintf(command, sizeof(command), "cp -a %s %s.away", fix.ram, fix.ram);
	assert_int_equal(system(command), 0);
	fix_pool_open(&fix);
	expect(id, "one");
	put(id, "two", true);
	die();
	snprintf(command, sizeof(command), "rm -rf %s && mv %s.away %s", fix.ram, fix.ram, fix.ram);
	assert_int_equal(system(command), 0);
	fix_pool_open(&fix);
	expect(id, "two");
	fix_pool_verify(&fix);
}

/* Folders of a program that knew no tokens. */
static void test_without_tokens_all_is_as_before(void **state)
{
	char command[512];
	uint64_t id = object_new("one");

	(void)state;
	die();
	snprintf(command, sizeof(command), "rm %s/*/session %s/ssd/meta/metadata.session", fix.ram,
		 fix.dir);
	assert_int_equal(system(command), 0);
	fix_pool_open(&fix);
	expect(id, "one");
}

/* Every call of an opening fails, once or from then on, and the process dies of it. */
static void test_every_step_may_be_the_last(void **state)
{
	uint64_t id = object_new("one");
	struct pool_open_options options = {.no_background = true};

	(void)state;
	die();
	for (unsigned kind = 0; kind < 4; kind++)
		for (uint64_t n = 1;; n++) {
			int rc;
			uint64_t failed;

			fault_arm(FAULT_ALL & ~FAULT_CLOSE, n, kind % 2 ? FAULT_ENOSPC : FAULT_EIO,
				  kind / 2);
			rc = pool_open(&fix.config, &options, &fix.pool);
			failed = fault_disarm();
			if (rc == 0)
				die();
			fix_pool_open(&fix);
			expect(id, "one");
			die();
			if (!failed)
				break;
		}
	fix_pool_open(&fix);
	expect(id, "one");
}

static void test_one_process_at_a_time(void **state)
{
	struct pool_open_options options = {.no_background = true};
	struct pool *second;
	uint64_t id = object_new("one");

	(void)state;
	assert_int_equal(pool_open(&fix.config, &options, &second), -EBUSY);
	fix_pool_crash(&fix);
	expect(id, "one");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_back_after_a_death, setup, teardown),
		cmocka_unit_test_setup_teardown(test_back_after_a_clean_end, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_copy_of_a_folder_that_went_on_is_old, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_without_tokens_all_is_as_before, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_every_step_may_be_the_last, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_process_at_a_time, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
