// SPDX-License-Identifier: Apache-2.0
/* Directories of an open pool: added, used, emptied, taken out, with the configuration file in step
 * whatever call fails; and the changing of lines in that file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/fix_dir.h"
#include "tests/unit/fix_fault.h"
#include "tests/unit/fix_pool.h"
#include "tiers/config_edit.h"
#include "tiers/io.h"
#include "tiers/object.h"
#include "tiers/places.h"
#include "tiers/plain.h"
#include "tiers/pool_impl.h"
#include "tiers/tunables.h"

#define MIB 1048576u
#define HDD 2u

static struct fix_pool fix;
static char file[128], hdd[3][128], message[512];

/* A pool with a file, as `terrace create` makes it; hdd[0] is its hdd, the others are free. */
static void pool_make(void)
{
	struct pool_config config;

	fix_pool_small(&fix);
	snprintf(file, sizeof(file), "%s/pool.conf", fix.dir);
	for (unsigned i = 0; i < 3; i++) {
		snprintf(hdd[i], sizeof(hdd[i]), "%s/hdd%s", fix.dir, i ? i == 1 ? "1" : "2" : "");
		assert_true(mkdir(hdd[i], 0700) == 0 || errno == EEXIST);
	}
	for (unsigned t = 1; t < 3; t++)
		fix.config.tiers[t].segment_bytes = 4 * MIB; /* what a file may say */
	assert_int_equal(config_save_new(&fix.config, file), 0);
	assert_int_equal(config_load(file, &config, message, sizeof(message)), 0);
	config_release(&fix.config);
	fix.config = config;
	assert_int_equal(pool_create(&fix.config), 0);
	fix_pool_open(&fix);
}

/* As the next mount reads it. */
static void config_again(void)
{
	config_release(&fix.config);
	if (config_load(file, &fix.config, message, sizeof(message)))
		fail_msg("%s", message);
}

static uint64_t object_new(uint64_t seed, size_t len, int tier)
{
	uint8_t *buf = malloc(len);
	struct txn *txn = txn_begin(fix.pool);
	struct object *object;
	uint64_t id;

	for (size_t i = 0; i < len; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		buf[i] = (uint8_t)(seed >> 56);
	}
	assert_int_equal(object_create(txn, "a", 1, &object), 0);
	assert_int_equal(txn_commit(txn), 0);
	for (size_t off = 0; off < len; off += MIB)
		assert_int_equal(
			object_write(object, buf + off, len - off < MIB ? len - off : MIB, off), 0);
	id = object_id(object);
	object_put(object);
	assert_int_equal(pool_move(fix.pool, &id, 1, tier, NULL), 0);
	assert_int_equal(pool_sync(fix.pool), 0);
	free(buf);
	return id;
}

static void object_expect(uint64_t id, uint64_t seed, size_t len)
{
	uint8_t *buf = malloc(len);
	struct object *object;
	size_t got;

	assert_int_equal(object_get(fix.pool, id, &object), 0);
	assert_int_equal(object_read(object, buf, len, 0, &got), 0);
	assert_int_equal(got, len);
	for (size_t i = 0; i < len; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		assert_int_equal(buf[i], (uint8_t)(seed >> 56));
	}
	object_put(object);
	free(buf);
}

static int setup(void **state)
{
	(void)state;
	log_capture();
	pool_make();
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

static bool file_says(const char *words)
{
	char *text;
	size_t len;
	bool says;

	assert_int_equal(config_edit_read(file, &text, &len), 0);
	says = strstr(text, words) != NULL;
	free(text);
	return says;
}

static int add(const char *path)
{
	return pool_place_add(fix.pool, HDD, path, false, message, sizeof(message));
}

static int take_out(const char *path)
{
	return pool_place_remove(fix.pool, HDD, path, message, sizeof(message));
}

struct seen {
	uint32_t places, closed;
	uint64_t live[3];
};

static int see(void *arg, const struct pool_place *place)
{
	struct seen *seen = arg;

	assert_string_equal(place->path, hdd[place->place]);
	seen->places |= 1u << place->place;
	seen->closed |= (uint32_t)place->closed << place->place;
	seen->live[place->place] = place->live;
	return 0;
}

static struct seen look(void)
{
	struct seen seen = {0};

	assert_int_equal(pool_places(fix.pool, HDD, see, &seen), 0);
	return seen;
}

static void test_added_used_emptied_taken_out(void **state)
{
	uint64_t one, two, ids[2];
	struct pool_config fresh;
	struct seen seen;

	(void)state;
	one = object_new(1, 700000, HDD);
	assert_int_equal(add(hdd[1]), 0);
	assert_true(file_says("hdd\npath = ") && file_says("/hdd1\n"));
	assert_int_equal(add(hdd[1]), -EEXIST);
	two = object_new(2, 3000000, HDD);
	seen = look();
	assert_int_equal(seen.places, 3);
	assert_int_equal(seen.closed, 0);
	assert_true(seen.live[0] && seen.live[1]);
	/* A reload finds nothing that cannot change. */
	assert_int_equal(config_load(file, &fresh, message, sizeof(message)), 0);
	assert_int_equal(pool_reconfigure(fix.pool, &fresh, message, sizeof(message)), 0);
	config_release(&fresh);

	/* The next mount, too, and the order of the lines is nobody's business. */
	fix_pool_close(&fix);
	config_again();
	assert_int_equal(fix.config.tiers[HDD].npaths, 2);
	{
		char *first = fix.config.tiers[HDD].paths[0];

		fix.config.tiers[HDD].paths[0] = fix.config.tiers[HDD].paths[1];
		fix.config.tiers[HDD].paths[1] = first;
	}
	fix_pool_open(&fix);
	object_expect(one, 1, 700000);
	object_expect(two, 2, 3000000);
	fix_pool_verify(&fix);

	/* With data in it, it stays. */
	assert_int_equal(take_out(hdd[0]), -EBUSY);
	assert_non_null(strstr(message, "evacuate"));
	assert_int_equal(look().closed, 0);
	assert_int_equal(pool_place_close(fix.pool, HDD, 0), 0);
	assert_int_equal(look().closed, 1);
	ids[0] = one;
	ids[1] = two;
	assert_int_equal(pool_move(fix.pool, ids, 2, 1, NULL), 0);
	assert_int_equal(pool_move(fix.pool, ids, 2, HDD, NULL), 0);
	assert_int_equal(take_out(hdd[0]), 0);
	assert_false(file_says("/hdd\n"));
	assert_int_equal(look().places, 2);
	assert_int_equal(take_out(hdd[1]), -EBUSY); /* the only one */
	assert_int_equal(take_out(hdd[0]), -ENOENT);
	object_expect(two, 2, 3000000);
	fix_pool_verify(&fix);
	config_again();
	fix_pool_power(&fix);
	object_expect(one, 1, 700000);
}

static void test_taken_out_and_power_lost(void **state)
{
	uint64_t id;
	char path[160];

	(void)state;
	assert_int_equal(add(hdd[1]), 0);
	id = object_new(3, 500000, HDD);
	assert_int_equal(pool_place_close(fix.pool, HDD, 0), 0);
	assert_int_equal(pool_move(fix.pool, &id, 1, 1, NULL), 0);
	assert_int_equal(take_out(hdd[0]), 0);
	snprintf(path, sizeof(path), "%s/terrace.tier", hdd[0]);
	assert_int_equal(access(path, F_OK), -1);
	config_again();
	fix_pool_power(&fix);
	object_expect(id, 3, 500000);
	/* The index is free again, for another directory. */
	assert_int_equal(add(hdd[2]), 0);
	assert_int_equal(object_new(4, 100, HDD) != 0, true);
	config_again();
	fix_pool_crash(&fix);
	fix_pool_verify(&fix);
}

static void test_a_directory_with_data_must_be_there(void **state)
{
	struct pool_open_options options = {.no_background = true};
	uint64_t id;

	(void)state;
	assert_int_equal(add(hdd[1]), 0);
	fix_pool_close(&fix);
	config_again(); /* a gap that nothing refers to: as the crash of an addition leaves it */
	free(fix.config.tiers[HDD].paths[--fix.config.tiers[HDD].npaths]);
	fix_pool_open(&fix);
	assert_int_equal(add(hdd[1]), 0); /* what was left there is taken over */
	id = object_new(5, 3000000, HDD);
	assert_true(look().live[1]);
	fix_pool_close(&fix);
	log_captured();
	assert_int_equal(pool_open(&fix.config, &options, &fix.pool), -ENOENT);
	fix.pool = NULL;
	assert_non_null(strstr(log_captured(), "directory 2 of tier hdd is missing"));
	config_again();
	fix_pool_open(&fix);
	object_expect(id, 5, 3000000);
}

static void test_what_cannot_be_added(void **state)
{
	char path[200];

	(void)state;
	assert_int_equal(add("hdd1"), -EINVAL);
	assert_int_equal(add("/nonexistent/terrace"), -ENOENT);
	snprintf(path, sizeof(path), "%s/inside", hdd[0]);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(add(path), -EINVAL); /* one inside the other */
	assert_non_null(strstr(message, "overlaps"));
	snprintf(path, sizeof(path), "%s/ssd", fix.dir);
	assert_int_equal(add(path), -EEXIST);
	snprintf(path, sizeof(path), "%s/../hdd", hdd[1]);
	assert_int_equal(add(path), -EEXIST);
	assert_int_equal(pool_place_add(fix.pool, 0, hdd[1], false, message, sizeof(message)),
			 -EINVAL);
	assert_int_equal(pool_place_add(fix.pool, 9, hdd[1], false, message, sizeof(message)),
			 -EINVAL);
	snprintf(path, sizeof(path), "%s/ssd", fix.dir);
	assert_int_equal(take_out(path), -ENOENT);
	assert_false(file_says("inside"));
	config_again();
}

/* Whatever call fails, once or from then on: the file can be read, the pool opens with it, the data
 * is there, and trying again does it. */
static void faults(bool forever, bool removal)
{
	for (uint64_t n = 1;; n++) {
		uint64_t id, failed;
		int rc;

		pool_make();
		id = object_new(n, 100000, HDD);
		if (removal) {
			assert_int_equal(add(hdd[1]), 0);
			assert_int_equal(pool_place_close(fix.pool, HDD, 0), 0);
			assert_int_equal(pool_move(fix.pool, &id, 1, 1, NULL), 0);
		}
		fault_arm(FAULT_ALL & ~FAULT_CLOSE, n, FAULT_EIO, forever);
		rc = removal ? take_out(hdd[0]) : add(hdd[1]);
		failed = fault_disarm();
		if (n % 2) { /* the process dies, or goes on */
			pool_abandon(fix.pool);
			config_again();
			fix_pool_open(&fix);
		}
		object_expect(id, n, 100000);
		if (rc < 0) {
			rc = removal ? take_out(hdd[0]) : add(hdd[1]);
			/* Perhaps it had come so far that it is so already. */
			if (rc < 0 && rc != (removal ? -ENOENT : -EEXIST))
				fail_msg("call %llu: %s", (unsigned long long)n, message);
		}
		fix_pool_close(&fix);
		config_again();
		fix_pool_open(&fix);
		assert_int_equal(look().places, removal ? 2 : 3);
		object_expect(id, n, 100000);
		fix_pool_free(&fix);
		if (!failed)
			break;
		assert_true(n < 500);
	}
}

static void test_every_call_of_an_addition_failing(void **state)
{
	(void)state;
	faults(false, false);
	faults(true, false);
}

static void test_every_call_of_a_removal_failing(void **state)
{
	(void)state;
	faults(false, true);
	faults(true, true);
}

/* Lines ---------------------------------------------------------------------------------------- */

static void expect_edit_of(const char *key, const char *text, const char *tier, const char *path,
			   bool adds, const char *want)
{
	char *out;
	size_t len;
	int rc = config_edit_path(text, strlen(text), tier, key, path, adds, &out, &len);

	if (!want) {
		assert_int_equal(rc, -ENOENT);
		return;
	}
	assert_int_equal(rc, 0);
	assert_int_equal(len, strlen(want));
	assert_memory_equal(out, want, len);
	free(out);
}

static bool leaves; /* hdd[1], when the first plain file is about to be made there */
static int left;

static int open_late(const char *path, int flags, mode_t mode)
{
	if (leaves && flags & O_CREAT && strstr(path, "/hdd1/plain/")) {
		leaves = false;
		left = take_out(hdd[1]);
	}
	return io_ops_system.open(path, flags, mode);
}

/* A directory is taken out when a plain file is about to be made in it: one of the two is refused,
 * and the next mount has the file. */
static void test_taken_out_before_a_plain_file(void **state)
{
	struct io_ops late = io_ops_system;
	uint64_t id = object_new(3, MIB, 1);
	struct object *object;
	int rc;

	(void)state;
	assert_int_equal(add(hdd[1]), 0);
	assert_int_equal(object_get(fix.pool, id, &object), 0);
	late.open = open_late;
	leaves = true;
	io_ops_set(&late);
	rc = object_make_plain(object, HDD, NULL);
	io_ops_set(NULL);
	assert_false(leaves);
	assert_int_equal(left, 0);
	assert_int_equal(rc, -EBUSY);
	assert_false(object_is_plain(object));
	assert_int_equal(fix.pool->tiers[HDD].tier->plain_files[1], 0);
	assert_int_equal(object_make_plain(object, HDD, NULL), 0);
	object_put(object);
	fix_pool_close(&fix);
	config_again();
	fix_pool_open(&fix);
	object_expect(id, 3, MIB);
}

static void expect_edit(const char *text, const char *tier, const char *path, bool adds,
			const char *want)
{
	expect_edit_of("path", text, tier, path, adds, want);
}

static void test_lines_come_and_go_and_the_rest_stays(void **state)
{
	(void)state;
	expect_edit_of("copy_path", "[tier ssd]\npath = /a\nsize = 1G\n", "ssd", "/c", true,
		       "[tier ssd]\npath = /a\ncopy_path = /c\nsize = 1G\n");
	expect_edit_of("copy_path", "[tier ssd]\npath = /a\n#copy_path =\ncopy_path = /b\n", "ssd",
		       "/c", true,
		       "[tier ssd]\npath = /a\n#copy_path =\ncopy_path = /b\ncopy_path = /c\n");
	expect_edit_of("copy_path", "[tier ssd]\npath = /c\ncopy_path = /b\n", "ssd", "/b", false,
		       "[tier ssd]\npath = /c\n");
	expect_edit_of("copy_path", "[tier ssd]\npath = /c\n", "ssd", "/c", false, NULL);
	expect_edit("[tier ssd]\ncopy_path = /b\n", "ssd", "/b", false, NULL);
	expect_edit("# one\n[tier ssd]\npath = /a\n[tier hdd]\n# two\npath = /b ; old\nsize = 1G\n",
		    "hdd", "/c", true,
		    "# one\n[tier ssd]\npath = /a\n[tier hdd]\n# two\npath = /b ; old\npath = /c\n"
		    "size = 1G\n");
	expect_edit("[tier  hdd]\n\tpath=/b\n  path : /c c ;x\n#path = /d\n", "hdd", "/c c", false,
		    "[tier  hdd]\n\tpath=/b\n#path = /d\n");
	expect_edit("[tier hdd]\npath = /b", "hdd", "/c", true,
		    "[tier hdd]\npath = /b\npath = /c\n");
	expect_edit("[tier hdd]\npath = /b\n#path = /c\n[tier old]\npath = /c\n", "hdd", "/c",
		    false, NULL);
	expect_edit("[tier hdd2]\npath = /b\n", "hdd", "/c", true, NULL);
	expect_edit("[pool]\npath = /b\n[tier hdd]\r\n", "hdd", "/c", true,
		    "[pool]\npath = /b\n[tier hdd]\r\npath = /c\n");
	expect_edit("[tier hdd]\nsize = 1\npath = /b;c\npath = /b\n", "hdd", "/b;c", false,
		    "[tier hdd]\nsize = 1\npath = /b\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_added_used_emptied_taken_out, setup, teardown),
		cmocka_unit_test_setup_teardown(test_taken_out_and_power_lost, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_directory_with_data_must_be_there, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_what_cannot_be_added, setup, teardown),
		cmocka_unit_test_setup_teardown(test_taken_out_before_a_plain_file, setup,
						teardown),
		cmocka_unit_test(test_every_call_of_an_addition_failing),
		cmocka_unit_test(test_every_call_of_a_removal_failing),
		cmocka_unit_test(test_lines_come_and_go_and_the_rest_stays),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
