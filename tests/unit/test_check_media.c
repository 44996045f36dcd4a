// SPDX-License-Identifier: Apache-2.0
/*
 * The tiers' files as a check sees them: how a place is called, what cannot be opened, where a
 * segment is whose record says nothing; and segments that lie in two directories, of which any one
 * will do.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/unit/fix_bytes.h"
#include "tests/unit/fix_dir.h"
#include "tests/unit/fix_fault.h"
#include "tests/unit/fix_pool.h"
#include "tiers/check/check_impl.h"
#include "tiers/io.h"
#include "tiers/object.h"
#include "tiers/pool_impl.h"
#include "tiers/segment_file.h"

#define LEN 50000u

static struct pool_config config;
static struct check check;

/* Tier 1 has one directory, tier 2 two, and the second of these is not there. */
static int setup(void **state)
{
	static const char *const tiers[] = {"ram:size=16M", "ssd:path=/dev/shm/none/a",
					    "hdd:path=/dev/shm/none/b,path=/dev/shm/none/c"};
	char message[256];

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		if (config_add_tier(&config, tiers[i], message, sizeof(message)))
			return -1;
	check.config = &config;
	check.places[2][0] = config.tiers[2].paths[0];
	return config_finish(&config, message, sizeof(message));
}

static int teardown(void **state)
{
	(void)state;
	config_release(&config);
	return 0;
}

static void is_called(uint8_t tier, uint16_t place, const char *want)
{
	char text[CHECK_PLACE_CAP];

	assert_string_equal(check_place_text(&check, tier, place, text, sizeof(text)), want);
}

/* By its path where that is known, by its number otherwise: directories are counted from one. */
static void test_names(void **state)
{
	(void)state;
	is_called(2, 0, "tier hdd, /dev/shm/none/b");
	is_called(2, 1, "tier hdd, directory 2");
	is_called(2, 999, "tier hdd, directory 1000");
	is_called(1, 0, "tier ssd, /dev/shm/none/a"); /* its only one */
	is_called(1, 1, "tier ssd, directory 2");
	is_called(0, 0, "tier number 0, directory 1");
	is_called(3, 5, "tier number 3, directory 6");
}

static int stat_fails(int fd, struct stat *out)
{
	(void)fd;
	(void)out;
	errno = EIO;
	return -1;
}

static void file_make(const char *root, uint64_t id, unsigned len)
{
	char path[256], *slash;
	int fd;

	assert_int_equal(segment_file_path(path, sizeof(path), root, id), 0);
	for (slash = strchr(path + 9, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(path, 0700);
		*slash = '/';
	}
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, len), 0);
	close(fd);
}

static void test_opening(void **state)
{
	struct io_ops broken = io_ops_system;
	int fds = fault_open_fds(), fd = 99;
	struct dir_fixture dirs;
	uint64_t len = 0;
	uint16_t place = 9;
	uint8_t tier = 9;

	(void)state;
	dir_fixture_make(&dirs, "/dev/shm");
	check.places[2][3] = dirs.list[0];
	file_make(dirs.list[0], 0x1234, 777);
	/* No such tier, no such directory, none that is there, no file. */
	assert_int_equal(check_segment_open(&check, 3, 0, 0x1234, &fd, &len), -ENODEV);
	assert_int_equal(fd, -1);
	assert_int_equal(check_segment_open(&check, 2, TIER_PLACES_MAX, 1, &fd, &len), -ENODEV);
	assert_int_equal(check_segment_open(&check, 2, 1, 0x1234, &fd, &len), -ENODEV);
	assert_int_equal(check_segment_open(&check, 2, 3, 0x1235, &fd, &len), -ENOENT);
	assert_int_equal(check_segment_open(&check, 2, 3, 0x1234, &fd, &len), 0);
	assert_int_equal(len, 777);
	io_close(fd);
	broken.fstat = stat_fails;
	io_ops_set(&broken);
	assert_int_equal(check_segment_open(&check, 2, 3, 0x1234, &fd, &len), -EIO);
	io_ops_set(NULL);
	assert_int_equal(fd, -1);
	assert_int_equal(check_segment_find(&check, 0x1234, &tier, &place), 0);
	assert_int_equal(tier, 2);
	assert_int_equal(place, 3);
	assert_int_equal(check_segment_find(&check, 0x1235, &tier, &place), -ENOENT);
	assert_int_equal(fault_open_fds(), fds);
	check.places[2][3] = NULL;
	dir_fixture_remove(&dirs);
}

static void record_write(struct meta *meta, uint64_t id, const void *value, size_t len)
{
	struct meta_batch *batch;
	uint8_t key[KEY_LEN_1];

	assert_int_equal(meta_batch_new(&batch), 0);
	meta_batch_put(batch, key, key_1(key, KEY_SEGMENT, id), value, len);
	assert_int_equal(meta_apply(meta, batch, NULL), 0);
	meta_batch_free(batch);
}

/* The record's word counts; without one, or with one that is damaged, the file's place does. */
static void test_where(void **state)
{
	struct segment_record record = {.tier = 1, .place = 7};
	uint8_t value[RECORD_SEGMENT_MAX];
	struct dir_fixture dirs;
	uint16_t place = 9;
	uint8_t tier = 9;

	(void)state;
	dir_fixture_make(&dirs, "/dev/shm");
	check.places[2][3] = dirs.list[0];
	for (uint64_t id = 1; id <= 3; id++)
		file_make(dirs.list[0], id, 10);
	assert_int_equal(meta_open_memory(&check.meta), 0);
	record_write(check.meta, 1, value, segment_record_encode(&record, value));
	record_write(check.meta, 2, "damaged", 7);
	assert_int_equal(check_segment_where(&check, 1, &tier, &place), 0);
	assert_true(tier == 1 && place == 7);
	for (uint64_t id = 2; id <= 3; id++) {
		tier = 0;
		assert_int_equal(check_segment_where(&check, id, &tier, &place), 0);
		assert_true(tier == 2 && place == 3);
	}
	assert_int_equal(check_segment_where(&check, 4, &tier, &place), -ENOENT);
	meta_abandon(check.meta);
	check.places[2][3] = NULL;
	dir_fixture_remove(&dirs);
}

/* Mirrored --------------------------------------------------------------------------------------
 */

static struct fix_pool fix;
static unsigned problems[500];

static void problem(void *arg, const struct check_problem *told)
{
	(void)arg;
	problems[told->code]++;
	problems[0]++;
}

static void check_all(void)
{
	struct check_options options = {.config = &fix.config, .deep = true, .problem = problem};
	struct check_result result;
	struct check *at;

	memset(problems, 0, sizeof(problems));
	assert_int_equal(check_open(&at, &options, &result), 0);
	assert_non_null(at);
	check_round(at);
	assert_int_equal(check_pass(at), 0);
	check_close(at);
}

static void away(const char *name, bool go)
{
	char here[128], there[160];

	snprintf(here, sizeof(here), "%s/%s/segments", fix.dir, name);
	snprintf(there, sizeof(there), "%s/%s/away", fix.dir, name);
	if (!go)
		assert_int_equal(rmdir(here), 0);
	assert_int_equal(go ? rename(here, there) : rename(there, here), 0);
	if (go)
		assert_int_equal(mkdir(here, 0700), 0);
}

/* A pool that has an object, in both directories of its first tier; it is closed. */
static void mirrored_make(void)
{
	static uint8_t bytes[LEN];
	struct object *object;
	struct txn *txn;

	fix_pool_small_mirrored(&fix);
	assert_int_equal(pool_create(&fix.config), 0);
	fix_pool_open(&fix);
	txn = txn_begin(fix.pool);
	assert_int_equal(object_create(txn, "attr", 4, &object), 0);
	assert_int_equal(txn_commit(txn), 0);
	bytes_fill_random(bytes, sizeof(bytes), 1);
	assert_int_equal(object_write(object, bytes, sizeof(bytes), 0), 0);
	object_put(object);
	fix_pool_close(&fix);
}

static void test_any_copy_will_do(void **state)
{
	(void)state;
	log_capture();
	mirrored_make();
	check_all();
	assert_int_equal(problems[0], 0);
	away("ssd", true);
	check_all();
	assert_int_equal(problems[CHECK_FILE_MISSING], 0);
	away("ssd1", true);
	check_all();
	assert_true(problems[CHECK_FILE_MISSING] > 0);
	away("ssd", false);
	check_all();
	assert_int_equal(problems[CHECK_FILE_MISSING], 0);
	fix_pool_free(&fix);
	log_release();
}

/* Deletes the records of all segments. */
static void segments_forget(void)
{
	static const uint8_t prefix[] = {KEY_SEGMENT};
	struct meta_options options = {
		.dir = fix.config.meta_path, .tail_dir = fix.ram, .pool_uuid = fix.config.uuid};
	struct meta_cursor *cursor;
	struct meta_batch *batch;
	struct meta_item item;
	struct meta *meta;

	assert_int_equal(meta_open_lmdb(&meta, &options, NULL), 0);
	assert_int_equal(meta_batch_new(&batch), 0);
	assert_int_equal(meta_cursor_open(meta, prefix, sizeof(prefix), NULL, 0, &cursor), 0);
	while (meta_cursor_next(cursor, &item) == 0)
		meta_batch_del(batch, item.key, item.key_len);
	meta_cursor_close(cursor);
	assert_int_equal(meta_apply(meta, batch, NULL), 0);
	meta_batch_free(batch);
	assert_int_equal(meta_close(meta), 0);
}

/* A record that is made anew from frames counts all copies: the next mount keeps them. */
static void test_copies_of_a_lost_record(void **state)
{
	struct check_options options = {.config = &fix.config, .repair = true, .problem = problem};
	struct check_result result;
	struct segment *segment;
	struct check *at;
	unsigned n = 0;
	size_t slot = 0;

	(void)state;
	log_capture();
	mirrored_make();
	segments_forget();
	assert_int_equal(check_open(&at, &options, &result), 0);
	assert_non_null(at);
	check_round(at);
	assert_int_equal(check_pass(at), 0);
	assert_int_equal(check_repair(at), 0);
	check_close(at);
	fix_pool_open(&fix);
	while ((segment = idmap_each(&fix.pool->segments, &slot))) {
		assert_int_equal(homes_get(fix.pool->homes, segment->id, segment->record.place), 3);
		n++;
	}
	assert_true(n > 0);
	assert_int_equal(pool_sync(fix.pool), 0);
	fix_pool_verify_copies(&fix);
	fix_pool_verify(&fix);
	fix_pool_free(&fix);
	log_release();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_opening),
		cmocka_unit_test(test_where),
		cmocka_unit_test(test_any_copy_will_do),
		cmocka_unit_test(test_copies_of_a_lost_record),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
