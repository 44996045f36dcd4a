// SPDX-License-Identifier: Apache-2.0
/*
 * Directories that go and come back (tiers/lost.h), of a tier that keeps everything in two: while
 * the pool is open, and missing when it is opened; what is told of them; which are made again and
 * which are waited for; and what of their files counts when they are back.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/unit/fix_bytes.h"
#include "tests/unit/fix_dir.h"
#include "tests/unit/fix_place.h"
#include "tests/unit/fix_pool.h"
#include "tiers/copies_impl.h"
#include "tiers/engine/engine.h"
#include "tiers/homes.h"
#include "tiers/lost.h"
#include "tiers/object.h"
#include "tiers/places.h"
#include "tiers/pool_impl.h"
#include "tiers/replicate.h"
#include "tiers/segment_file.h"

#define LEN 200000u
#define SSD 1u
#define HDD 2u

static struct fix_pool fix;
static uint8_t bytes[LEN];
static uint64_t id;
static char hdd1[96];
static bool mounted; /* something on hdd1 */

/* Both tiers have two directories and keep everything in both; there is a configuration file. */
static int setup(void **state)
{
	struct object *object;
	struct txn *txn;
	char path[96];

	(void)state;
	log_capture();
	fix_pool_small_mirrored(&fix);
	fix.config.journal_bytes = 16 << 20; /* what a file may say */
	for (unsigned t = 1; t < 3; t++)
		fix.config.tiers[t].segment_bytes = 4 << 20;
	snprintf(path, sizeof(path), "%s/pool.conf", fix.dir);
	snprintf(hdd1, sizeof(hdd1), "%s/hdd1", fix.dir);
	assert_int_equal(config_save_new(&fix.config, path), 0);
	strcpy(fix.file, path);
	fix_pool_config(&fix);
	if (state && *state) /* hdd1 is a medium of its own */
		mounted = mount("tmpfs", hdd1, "tmpfs", 0, "size=32M") == 0;
	assert_int_equal(pool_create(&fix.config), 0);
	fix_pool_open(&fix);
	bytes_fill_random(bytes, LEN, 9);
	txn = txn_begin(fix.pool);
	assert_int_equal(object_create(txn, "a", 1, &object), 0);
	assert_int_equal(txn_commit(txn), 0);
	id = object_id(object);
	assert_int_equal(object_write(object, bytes, LEN, 0), 0);
	object_put(object);
	assert_int_equal(pool_sync(fix.pool), 0);
	assert_int_equal(pool_move(fix.pool, &id, 1, HDD, NULL), 0);
	assert_int_equal(pool_sync(fix.pool), 0);
	log_captured();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	if (mounted)
		umount2(hdd1, MNT_DETACH);
	mounted = false;
	fix_pool_free(&fix);
	log_release();
	return 0;
}

static void away(const char *name, bool go)
{
	char here[128], there[160];

	snprintf(here, sizeof(here), "%s/%s", fix.dir, name);
	snprintf(there, sizeof(there), "%s.away", here);
	assert_int_equal(go ? rename(here, there) : rename(there, here), 0);
}

static int remove_one(const char *path, const struct stat *st, int what, struct FTW *ftw)
{
	(void)st;
	(void)what;
	(void)ftw;
	return remove(path);
}

static void expect_read(void)
{
	static uint8_t buf[LEN];
	struct object *object;
	size_t got;

	assert_int_equal(object_get(fix.pool, id, &object), 0);
	assert_int_equal(object_read(object, buf, LEN, 0, &got), 0);
	assert_int_equal(got, LEN);
	assert_memory_equal(buf, bytes, LEN);
	object_put(object);
}

struct told {
	unsigned count, went, stop_at;
	char paths[512];
};

static int each(void *arg, uint32_t tier, const char *path, bool went)
{
	struct told *told = arg;
	size_t used = strlen(told->paths);

	snprintf(told->paths + used, sizeof(told->paths) - used, "%u:%s ", tier,
		 strrchr(path, '/') + 1);
	told->count++;
	told->went += went;
	return told->count == told->stop_at ? 42 : 0;
}

static struct told look(unsigned stop_at)
{
	struct told told = {.stop_at = stop_at};

	assert_int_equal(lost_each(fix.pool, each, &told), stop_at ? 42 : 0);
	return told;
}

static void expect_copies(unsigned under, unsigned lost)
{
	struct copies_stats copies;

	pool_copies(fix.pool, &copies);
	assert_int_equal(copies.lost_places, lost);
	assert_int_equal(copies.under > 0, under > 0);
	assert_int_equal(lost_count(fix.pool), lost);
	fix_pool_verify_copies(&fix);
}

/* While the pool is open -------------------------------------------------------------------------
 */

/* Deleted, parent and all else there: made again when somebody asks, and filled. */
static void test_deleted(void **state)
{
	struct told told;

	(void)state;
	assert_int_equal(nftw(hdd1, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
	assert_int_equal(pool_replicate(fix.pool, false, NULL), 0);
	assert_non_null(strstr(log_captured(), "hdd1 is not there any more (no "));
	told = look(0);
	assert_string_equal(told.paths, "2:hdd1 ");
	assert_int_equal(told.went, 1);
	assert_int_equal(lost_places(fix.pool, HDD) & 3, 2);
	expect_copies(1, 1);
	expect_read();
	/* It is said once. */
	assert_int_equal(pool_replicate(fix.pool, false, NULL), 0);
	assert_string_equal(log_captured(), "");
	assert_int_equal(pool_replicate(fix.pool, true, NULL), 0);
	assert_non_null(strstr(log_captured(), "hdd1 had been deleted and has been made again"));
	assert_int_equal(look(0).count, 0);
	expect_copies(0, 0);
	expect_read();
	away("hdd", true); /* what has been made is enough */
	fix_pool_close(&fix);
	fix_pool_open(&fix);
	expect_read();
	away("hdd", false);
}

/* All four: each is told of; the walk ends when it is told to. */
static void test_all_gone(void **state)
{
	static const char *const names[] = {"ssd", "ssd1", "hdd", "hdd1"};
	struct told told;

	(void)state;
	for (unsigned i = 0; i < 4; i++)
		away(names[i], true);
	assert_int_equal(pool_replicate(fix.pool, false, NULL), 0);
	told = look(0);
	assert_string_equal(told.paths, "1:ssd 1:ssd1 2:hdd 2:hdd1 ");
	assert_int_equal(told.went, 4);
	assert_int_equal(look(3).count, 3);
	for (unsigned i = 0; i < 4; i++)
		away(names[i], false);
	assert_int_equal(pool_replicate(fix.pool, false, NULL), 0);
	assert_int_equal(look(0).count, 0);
	assert_non_null(strstr(log_captured(), "is there again"));
	expect_read();
	expect_copies(0, 0);
}

/* Its disk was unmounted: what is under it now is another medium, and nothing is made there. */
static void test_unmounted(void **state)
{
	struct stat st;
	char path[128];

	(void)state;
	if (!mounted)
		skip();
	assert_int_equal(umount2(hdd1, MNT_DETACH), 0);
	mounted = false;
	assert_int_equal(pool_replicate(fix.pool, true, NULL), 0);
	expect_copies(1, 1);
	snprintf(path, sizeof(path), "%s/segments", hdd1);
	assert_int_equal(stat(path, &st), -1);
	assert_null(strstr(log_captured(), "made again"));
	expect_read();
}

/* In its place is something that cannot become a directory of the tier. */
static void test_not_makeable(void **state)
{
	(void)state;
	away("hdd1", true);
	assert_int_equal(symlink("/nowhere/at/all", hdd1), 0);
	assert_true(pool_replicate(fix.pool, true, NULL) < 0);
	assert_non_null(strstr(log_captured(), "hdd1 had been deleted and cannot be made again"));
	assert_string_equal(look(0).paths, "2:hdd1 ");
	assert_true(lost_keeps(fix.pool, HDD, 1));
	assert_int_equal(unlink(hdd1), 0);
	place_write(hdd1, (const uint8_t *)"a file", 6);
	assert_int_equal(pool_replicate(fix.pool, true, NULL), 0);
	assert_int_equal(look(0).count, 1); /* nobody deleted that */
	assert_int_equal(unlink(hdd1), 0);
	away("hdd1", false);
	assert_int_equal(pool_replicate(fix.pool, true, NULL), 0);
	expect_copies(0, 0);
}

/* Another directory in its place, with another place's label, or with another pool's, is not it. */
static void test_exchanged(void **state)
{
	(void)state;
	away("hdd1", true);
	away("ssd1", true);
	assert_int_equal(pool_replicate(fix.pool, false, NULL), 0);
	assert_int_equal(look(0).count, 2);
	away("ssd1", false);
	assert_int_equal(symlink("ssd1", hdd1), 0);
	assert_int_equal(pool_replicate(fix.pool, false, NULL), 0);
	assert_string_equal(look(0).paths, "2:hdd1 ");
	assert_int_equal(unlink(hdd1), 0);
	away("hdd1", false);
	assert_int_equal(pool_replicate(fix.pool, false, NULL), 0);
	assert_int_equal(look(0).count, 0);
	expect_copies(0, 0);
}

/* A file of a copy is removed, the directory stays: who asks finds out, and it is copied again. */
static void test_file_gone(void **state)
{
	struct segment *segment;
	char path[256] = "";
	size_t at = 0;

	(void)state;
	while ((segment = idmap_each(&fix.pool->segments, &at)))
		if (segment->record.tier == HDD && segment_stored(segment))
			segment_file_path(path, sizeof(path), hdd1, segment->id);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(pool_replicate(fix.pool, true, NULL), 0);
	assert_int_equal(access(path, F_OK), 0);
	expect_copies(0, 0);
	expect_read();
}

/* Not gone, but emptied: also what has its first copy elsewhere leaves, so that it can be taken
 * out. */
static void test_emptied(void **state)
{
	char message[256] = "";

	(void)state;
	assert_int_equal(pool_evacuate(fix.pool, HDD, 1, NULL), 0);
	if (pool_place_remove(fix.pool, HDD, hdd1, message, sizeof(message)) < 0)
		fail_msg("%s", message);
	expect_read();
	fix_pool_close(&fix);
	fix_pool_open(&fix);
	expect_read();
	expect_copies(1, 0);
}

/* Missing at the opening ------------------------------------------------------------------------
 */

static void open_without(const char *a, const char *b)
{
	fix_pool_close(&fix);
	away(a, true);
	if (b)
		away(b, true);
	log_captured();
	fix_pool_open(&fix);
}

static void test_missing(void **state)
{
	char ssd1[96];
	struct told told;

	(void)state;
	snprintf(ssd1, sizeof(ssd1), "%s/ssd1", fix.dir);
	open_without("hdd1", "ssd1");
	assert_non_null(strstr(log_captured(), "the pool is opened without it"));
	told = look(0);
	assert_int_equal(told.count, 2);
	assert_int_equal(told.went, 0);
	assert_int_equal(look(1).count, 1);
	assert_int_equal(lost_without_place(fix.pool, HDD), 1);
	assert_true(lost_is_missing(fix.pool, HDD, hdd1));
	assert_true(lost_is_missing(fix.pool, SSD, ssd1));
	assert_false(lost_is_missing(fix.pool, SSD, hdd1));
	assert_false(lost_is_missing(fix.pool, HDD, "/another"));
	assert_true(lost_keeps(fix.pool, HDD, 1)); /* nobody else gets its number */
	assert_false(lost_keeps(fix.pool, HDD, 7));
	assert_false(lost_forget(fix.pool, HDD, "/another"));
	expect_read();
	assert_int_equal(pool_replicate(fix.pool, false, NULL), 0);
	expect_copies(1, 2);
	away("ssd1", false);
	away("hdd1", false);
	assert_int_equal(pool_replicate(fix.pool, false, NULL), 0);
	assert_non_null(strstr(log_captured(), "is there again"));
	expect_copies(0, 0);
	assert_false(lost_keeps(fix.pool, HDD, 1));
	expect_read();
}

/* Closed and opened again without it: it is still waited for. */
static void test_missing_twice(void **state)
{
	(void)state;
	open_without("hdd1", NULL);
	fix_pool_close(&fix);
	fix_pool_open(&fix);
	assert_string_equal(look(0).paths, "2:hdd1 ");
	away("hdd1", false);
	assert_int_equal(pool_replicate(fix.pool, false, NULL), 0);
	expect_copies(0, 0);
}

/* Taken out of the configuration while it is missing: nobody waits for it any more. */
static void test_missing_taken_out(void **state)
{
	char message[256] = "", *text;
	uint64_t len;

	(void)state;
	open_without("hdd1", NULL);
	assert_int_equal(pool_place_remove(fix.pool, SSD, hdd1, message, sizeof(message)), -ENOENT);
	assert_int_equal(pool_place_remove(fix.pool, HDD, hdd1, message, sizeof(message)), 0);
	assert_int_equal(look(0).count, 0);
	assert_int_equal(lost_count(fix.pool), 0);
	text = (char *)place_read(fix.file, &len);
	text[len] = '\0';
	assert_null(strstr(text, hdd1));
	free(text);
	expect_read();
	assert_int_equal(pool_place_remove(fix.pool, HDD, hdd1, message, sizeof(message)), -ENOENT);
}

/* Files in it that nothing speaks of go, after that is durable; those that count stay. */
static void test_strays(void **state)
{
	char stray[256], folder[256];

	(void)state;
	away("hdd1", true);
	assert_int_equal(pool_replicate(fix.pool, false, NULL), 0);
	snprintf(folder, sizeof(folder), "%s.away", hdd1);
	assert_int_equal(segment_file_path(stray, sizeof(stray), folder, 0xabcdef), 0);
	snprintf(folder, sizeof(folder), "%s", stray);
	*strrchr(folder, '/') = '\0';
	assert_true(mkdir(folder, 0700) == 0 || errno == EEXIST);
	place_write(stray, (const uint8_t *)"stray", 5);
	away("hdd1", false);
	assert_int_equal(segment_file_path(stray, sizeof(stray), hdd1, 0xabcdef), 0);
	assert_int_equal(pool_replicate(fix.pool, false, NULL), 0);
	assert_int_equal(access(stray, F_OK), -1);
	expect_copies(0, 0);
	expect_read();
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	static bool own_medium = true;
	const struct CMUnitTest tests[] = {
		TEST(test_deleted),
		TEST(test_all_gone),
		cmocka_unit_test_prestate_setup_teardown(test_unmounted, setup, teardown,
							 &own_medium),
		TEST(test_not_makeable),
		TEST(test_exchanged),
		TEST(test_emptied),
		TEST(test_file_gone),
		TEST(test_missing),
		TEST(test_missing_twice),
		TEST(test_missing_taken_out),
		TEST(test_strays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
