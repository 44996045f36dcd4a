// SPDX-License-Identifier: Apache-2.0
/*
 * Places for further copies (copy_path): nothing begins there, copies follow, reads come there
 * last, its room is not the tier's, and neither it nor the tier's own directory is missed when it
 * is gone.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
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
#include "tests/unit/fix_place.h"
#include "tests/unit/fix_pool.h"
#include "tiers/copier.h"
#include "tiers/copies_impl.h"
#include "tiers/engine/engine.h"
#include "tiers/io.h"
#include "tiers/meta_restore.h"
#include "tiers/object.h"
#include "tiers/places.h"
#include "tiers/pool_impl.h"
#include "tiers/segment_file.h"
#include "tiers/space.h"
#include "tiers/tunables.h"

#define SSD	1u
#define OBJECTS 4u
#define LEN	200000u
#define MIB	1048576u

static struct fix_pool fix;
static uint64_t ids[OBJECTS];
static unsigned objects;
static char message[512];

static const char *path_of(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", fix.dir, name);
	return path;
}

static void add_dir(struct config_tier *tier, const char *name)
{
	tier->paths[tier->npaths] = strdup(path_of(name));
	assert_int_equal(mkdir(tier->paths[tier->npaths++], 0700), 0);
}

/* The ssd has so many directories, ssd and ssd1, and behind them a spare one, `spare`. */
static void make(unsigned paths, unsigned replicas)
{
	struct config_tier *tier = &fix.config.tiers[SSD];

	fix_pool_small(&fix);
	objects = 0;
	if (paths > 1)
		add_dir(tier, "ssd1");
	add_dir(tier, "spare");
	tier->nspares = 1;
	tier->replicas = replicas;
	fix.config.metadata_copies = 2;
	assert_int_equal(pool_create(&fix.config), 0);
	fix_pool_open(&fix);
}

/* One directory, two copies wanted, a configuration file, and a free folder `spare`. */
static void make_file(void)
{
	fix_pool_small(&fix);
	objects = 0;
	fix.config.journal_bytes = 16 * MIB; /* what a file may say */
	for (unsigned t = 1; t < 3; t++)
		fix.config.tiers[t].segment_bytes = 4 * MIB;
	fix.config.tiers[SSD].replicas = 2;
	snprintf(fix.file, sizeof(fix.file), "%s/pool.conf", fix.dir);
	assert_int_equal(config_save_new(&fix.config, fix.file), 0);
	assert_int_equal(mkdir(path_of("spare"), 0700), 0);
	fix_pool_config(&fix);
	assert_int_equal(pool_create(&fix.config), 0);
	fix_pool_open(&fix);
}

static int setup(void **state)
{
	(void)state;
	log_capture();
	return 0;
}

static int teardown_logs(void **state)
{
	(void)state;
	io_ops_set(NULL);
	log_release();
	return 0;
}

static int teardown(void **state)
{
	fix_pool_free(&fix);
	return teardown_logs(state);
}

static void object_new(size_t len)
{
	uint8_t *bytes = malloc(len);
	struct object *object;
	struct txn *txn = txn_begin(fix.pool);

	assert_true(objects < OBJECTS);
	bytes_fill_random(bytes, len, objects + 1);
	assert_int_equal(object_create(txn, "a", 1, &object), 0);
	assert_int_equal(txn_commit(txn), 0);
	ids[objects++] = object_id(object);
	for (size_t off = 0; off < len; off += LEN)
		assert_int_equal(
			object_write(object, bytes + off, len - off < LEN ? len - off : LEN, off),
			0);
	object_put(object);
	free(bytes);
	assert_int_equal(pool_sync(fix.pool), 0);
}

static void expect_objects(size_t len)
{
	uint8_t *want = malloc(len), *buf = malloc(len);
	struct object *object;
	size_t got;

	for (unsigned i = 0; i < objects; i++) {
		bytes_fill_random(want, len, i + 1);
		assert_int_equal(object_get(fix.pool, ids[i], &object), 0);
		assert_int_equal(object_read(object, buf, len, 0, &got), 0);
		assert_int_equal(got, len);
		assert_memory_equal(buf, want, len);
		object_put(object);
	}
	free(want);
	free(buf);
}

static void open_again(void)
{
	fix_pool_close(&fix);
	fix_pool_open(&fix);
}

static void away(const char *name, bool go)
{
	char here[128], there[160];

	snprintf(here, sizeof(here), "%s", path_of(name));
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

static void delete_folder(const char *name)
{
	assert_int_equal(nftw(path_of(name), remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static void replicate(bool asked)
{
	assert_int_equal(pool_replicate(fix.pool, asked, NULL), 0);
}

/* Every segment of the ssd with something in it is in these places. Returns how many there are. */
static unsigned expect_homes(uint64_t homes)
{
	struct segment *segment;
	unsigned n = 0;
	size_t at = 0;

	while ((segment = idmap_each(&fix.pool->segments, &at))) {
		if (segment->record.tier != SSD || !segment_stored(segment))
			continue;
		assert_int_equal(homes_get(fix.pool->homes, segment->id, segment->record.place),
				 homes);
		n++;
	}
	assert_true(n > 0);
	return n;
}

static void expect_copies(bool under, unsigned lost)
{
	struct copies_stats copies;

	pool_copies(fix.pool, &copies);
	assert_int_equal(copies.under > 0, under);
	assert_int_equal(copies.lost_places, lost);
	fix_pool_verify_copies(&fix);
}

/* The rule ------------------------------------------------------------------------------------- */

/* Writes begin in the tier's own directory, one copy each; the second one follows. */
static void test_copies_follow(void **state)
{
	(void)state;
	make(1, 2);
	for (unsigned i = 0; i < OBJECTS; i++) {
		object_new(LEN);
		expect_copies(true, 0);
		replicate(i & 1);
		assert_true(expect_homes(3) > i);
		expect_copies(false, 0);
	}
	assert_int_equal(pool_place_close(fix.pool, SSD, 0), 0); /* not even then */
	assert_int_equal(appender_has_room(fix.pool->tiers[SSD].appender, 1), false);
	pool_place_open(fix.pool, SSD, 0);
	fix_pool_verify(&fix);
	open_again();
	expect_objects(LEN);
	expect_homes(3);
	expect_copies(false, 0);
}

static bool any(void *arg)
{
	(void)arg;
	return true;
}

static void to_ssd(void *arg, uint64_t object, uint32_t age_s, struct object_policy *out)
{
	(void)arg;
	(void)object;
	(void)age_s;
	out->tier = SSD;
}

/* What a run moves there itself is in full number when it ends. */
static void test_run_ends_with_all(void **state)
{
	struct pool_hooks hooks = {.any = any, .policy = to_ssd};

	(void)state;
	make(1, 2);
	object_new(LEN);
	assert_int_equal(pool_move(fix.pool, ids, 1, 2, NULL), 0);
	pool_hooks_set(fix.pool, &hooks);
	assert_int_equal(pool_run(fix.pool, NULL), 0);
	expect_homes(3);
	expect_copies(false, 0);
	expect_objects(LEN);
}

/* Where the tier's own directories can hold the copies, the spare one gets none. */
static void test_own_directories_first(void **state)
{
	(void)state;
	make(2, 2);
	object_new(LEN);
	expect_homes(3);
	replicate(true);
	expect_homes(3);
	fix_pool_close(&fix);
	away("ssd1", true);
	fix_pool_open(&fix);
	expect_copies(true, 1);
	replicate(true);
	expect_homes(5);
	expect_copies(false, 1);
	away("ssd1", false);
	replicate(false);
	expect_copies(false, 0);
	expect_homes(5);
	expect_objects(LEN);
}

/* What is wrong in the spare one is not seen by who reads: there is a better place. */
static void test_read_last(void **state)
{
	struct copies_stats copies;
	struct segment *segment;
	uint64_t odd = 0;
	size_t at = 0;

	(void)state;
	make(1, 2);
	for (unsigned i = 0; i < OBJECTS; i++) {
		object_new(LEN);
		replicate(true);
	}
	while ((segment = idmap_each(&fix.pool->segments, &at))) {
		char path[256], spare[128];
		struct stat st;
		int fd;

		snprintf(spare, sizeof(spare), "%s", path_of("spare"));
		segment_file_path(path, sizeof(path), spare, segment->id);
		if (stat(path, &st) < 0)
			continue;
		odd |= 1u << (segment->id & 1);
		fd = open(path, O_WRONLY);
		assert_true(fd >= 0);
		for (off_t off = SEGMENT_HEADER_LEN; off < st.st_size; off += 64)
			assert_int_equal(pwrite(fd, "\xee", 1, off), 1);
		close(fd);
	}
	assert_int_equal(odd, 3); /* both kinds of numbers: they share the disks by these */
	open_again();
	expect_objects(LEN);
	pool_copies(fix.pool, &copies);
	assert_int_equal(copies.fallbacks, 0);
	assert_int_equal(copies.bad, 0);
}

/* Lost ----------------------------------------------------------------------------------------- */

/* The tier's own directory is gone at the mount: all is read from the copies; what is written goes
 * to the next tier, nothing of it begins in the spare place; put back, all is as it was. */
static void test_own_directory_missing(void **state)
{
	struct segment *segment;
	uint64_t first_new;
	size_t at = 0;

	(void)state;
	make(1, 2);
	object_new(LEN);
	replicate(true);
	fix_pool_close(&fix);
	away("ssd", true);
	fix_pool_open(&fix);
	first_new = fix.pool->next_segment;
	expect_objects(LEN);
	object_new(LEN);
	while ((segment = idmap_each(&fix.pool->segments, &at)))
		assert_true(segment->id < first_new || segment->record.tier != SSD);
	replicate(true);
	expect_homes(2);
	open_again();
	expect_objects(LEN);
	expect_copies(true, 1);
	away("ssd", false);
	replicate(true);
	expect_homes(3);
	expect_copies(false, 0);
	open_again();
	expect_objects(LEN);
	fix_pool_verify(&fix);
}

/* ... deleted while in use, and made again. */
static void test_own_directory_deleted(void **state)
{
	(void)state;
	make(1, 2);
	object_new(LEN);
	replicate(true);
	delete_folder("ssd");
	replicate(false);
	expect_homes(2);
	object_new(LEN);
	expect_objects(LEN);
	replicate(true);
	assert_non_null(strstr(log_captured(), "ssd had been deleted and has been made again"));
	expect_homes(3);
	assert_false(tier_place_spare(fix.pool->tiers[SSD].tier, 0));
	object_new(LEN);
	expect_copies(true, 0);
	open_again();
	expect_objects(LEN);
}

/* The spare one is deleted while in use: who writes and reads does not notice. */
static void test_spare_deleted(void **state)
{
	struct tier *tier;

	(void)state;
	make(1, 2);
	tier = fix.pool->tiers[SSD].tier;
	object_new(LEN);
	replicate(true);
	delete_folder("spare");
	object_new(LEN);
	replicate(false);
	expect_copies(true, 1);
	expect_homes(1);
	assert_non_null(strstr(log_captured(), "spare is not there any more"));
	expect_objects(LEN);
	replicate(true);
	assert_true(tier_place_spare(tier, 1));
	expect_homes(3);
	expect_copies(false, 0);
	object_new(LEN);
	expect_copies(true, 0);
	expect_objects(LEN);
}

/* ... missing at the mount, also where no copies are asked for; back, it is still a spare one. */
static void test_spare_missing(void **state)
{
	(void)state;
	for (unsigned replicas = 1; replicas < 3; replicas++) {
		make(1, replicas);
		object_new(LEN);
		replicate(true);
		fix_pool_close(&fix);
		away("spare", true);
		fix_pool_open(&fix);
		assert_non_null(strstr(log_captured(), "the pool is opened without it"));
		expect_copies(replicas > 1, 1);
		object_new(LEN);
		expect_objects(LEN);
		away("spare", false);
		replicate(false);
		assert_true(tier_place_spare(fix.pool->tiers[SSD].tier, 1));
		object_new(LEN);
		replicate(false);
		expect_homes(replicas > 1 ? 3 : 1);
		expect_copies(false, 0);
		open_again();
		expect_objects(LEN);
		if (replicas == 1)
			fix_pool_free(&fix);
	}
}

/* With data in it alone, it must be there. */
static void test_spare_has_it_alone(void **state)
{
	struct pool_open_options options = {.no_background = true};

	(void)state;
	make(1, 2);
	object_new(LEN);
	replicate(true);
	delete_folder("ssd");
	replicate(false);
	replicate(true); /* ssd made again, and all copied there */
	delete_folder("ssd");
	replicate(false);
	expect_homes(2);
	assert_int_equal(mkdir(path_of("ssd"), 0700), 0); /* somebody's, without a label */
	fix_pool_close(&fix);
	away("spare", true);
	log_captured();
	assert_true(pool_open(&fix.config, &options, &fix.pool) < 0);
	fix.pool = NULL;
	away("spare", false);
	fix_pool_open(&fix);
	expect_objects(LEN);
}

/* The metadata's copy is older than the copies of the data, and the ssd is lost with the metadata.
 */
static void test_restored(void **state)
{
	char ssd[128];
	const char *lost = ssd;
	struct restore_options options = {.config = &fix.config, .lost = &lost, .nlost = 1};
	struct restore_result result;

	(void)state;
	make(1, 2);
	object_new(LEN);
	copier_last(fix.pool);
	replicate(true);
	expect_homes(3);
	fix_pool_close(&fix);
	delete_folder("ssd");
	delete_folder("meta");
	snprintf(ssd, sizeof(ssd), "%s", path_of("ssd"));
	assert_int_equal(meta_restore(&options, &result), 0);
	assert_int_equal(result.lost_bytes, 0);
	fix_pool_open(&fix);
	expect_homes(2);
	expect_objects(LEN);
	replicate(true);
	expect_homes(3);
	fix_pool_verify(&fix);
}

/* Room ----------------------------------------------------------------------------------------- */

static struct pool_space space_now(void)
{
	struct pool_space space;

	space_refresh(fix.pool->space);
	pool_space(fix.pool, &space);
	return space;
}

/* A quota of 8M: with a spare place, without it, and while it is missing, as much can be written.
 */
static void test_room_is_not_counted(void **state)
{
	struct pool_space without, with, missing;
	struct tier_space room, spare;
	struct tier_segment seg = {.id = 0xffff};
	struct pool_usage usage;
	struct tier *tier;
	uint8_t *bytes;

	(void)state;
	fix_pool_small(&fix);
	assert_int_equal(pool_create(&fix.config), 0);
	fix_pool_open(&fix);
	without = space_now();
	fix_pool_free(&fix);
	make(1, 2);
	with = space_now();
	assert_int_equal(with.total, without.total);
	assert_int_equal(with.free, without.free);
	object_new(5 * MIB);
	replicate(true);
	tier = fix.pool->tiers[SSD].tier;
	assert_int_equal(tier_space(tier, 1, &spare), 0);
	assert_true(spare.used > 5 * MIB);
	assert_int_equal(spare.quota, 0);
	assert_int_equal(tier_space(tier, 0, &room), 0);
	assert_true(room.free > 2 * MIB);
	bytes = calloc(4, MIB);
	for (seg.place = 0; seg.place < 2;
	     seg.place++) { /* the quota has 3M, and is not of the spare */
		assert_int_equal(tier_segment_create(tier, seg), 0);
		assert_int_equal(tier_write(tier, seg, bytes, 2 * MIB, 0, TIER_FOREGROUND), 0);
		assert_int_equal(tier_segment_truncate(tier, seg, 0), 0);
		assert_int_equal(tier_write(tier, seg, bytes, 4 * MIB, 0, TIER_FOREGROUND),
				 seg.place ? 0 : -ENOSPC);
		assert_int_equal(tier_segment_remove(tier, seg), 0);
	}
	free(bytes);
	assert_int_equal(tier_room(tier, &room), 0);
	assert_int_equal(room.total, 8 * MIB);
	assert_true(room.used < 6 * MIB);
	assert_true(room.free > 2 * MIB);
	pool_usage(fix.pool, &usage);
	assert_int_equal(usage.tiers[SSD].size, 8 * MIB);
	assert_int_equal(usage.tiers[SSD].used, room.used);
	with = space_now();
	fix_pool_close(&fix);
	away("spare", true);
	fix_pool_open(&fix);
	missing = space_now();
	assert_int_equal(missing.total, with.total);
	assert_in_range(missing.free, with.free - MIB / 2, with.free + MIB / 2);
	away("spare", false);
	replicate(false);
	expect_objects(5 * MIB);
}

/* Its medium is others' too: copies are made of what nobody was promised. */
static void test_promised_room_is_left(void **state)
{
	uint64_t bytes;

	(void)state;
	make(1, 2);
	object_new(2 * MIB);
	bytes = space_now().free;
	while (space_reserve(fix.pool->space, bytes) < 0)
		bytes -= 4096;
	replicate(true);
	expect_homes(1);
	expect_copies(true, 0);
	space_unreserve(fix.pool->space, bytes);
	replicate(true);
	expect_homes(3);
	expect_copies(false, 0);
}

/* Coming and going ----------------------------------------------------------------------------- */

static bool file_says(const char *words)
{
	uint64_t len;
	char *text = (char *)place_read(fix.file, &len);
	bool says = memmem(text, len, words, strlen(words)) != NULL;

	free(text);
	return says;
}

static int add(void)
{
	return pool_place_add(fix.pool, SSD, path_of("spare"), true, message, sizeof(message));
}

static int take_out(const char *name)
{
	return pool_place_remove(fix.pool, SSD, path_of(name), message, sizeof(message));
}

static int each_file(void *arg, uint64_t id, int folder, const char *name)
{
	(void)id;
	(void)folder;
	(void)name;
	++*(unsigned *)arg;
	return 0;
}

static unsigned files_in_spare(void)
{
	unsigned n = 0;

	segment_files_each(path_of("spare"), each_file, &n);
	return n;
}

static void test_added_and_taken_out(void **state)
{
	struct pool_config fresh;

	(void)state;
	make_file();
	object_new(LEN);
	assert_int_equal(add(), 0);
	assert_true(file_says("\ncopy_path = ") && file_says("/spare\n"));
	assert_int_equal(add(), -EEXIST);
	replicate(true);
	expect_homes(3);
	/* A reload finds nothing that cannot change; the next mount knows it for what it is. */
	assert_int_equal(config_copy(&fix.config, &fresh), 0);
	fresh.tiers[SSD].paths[fresh.tiers[SSD].npaths++] = strdup(path_of("spare"));
	fresh.tiers[SSD].nspares = 1;
	assert_int_equal(pool_reconfigure(fix.pool, &fresh, message, sizeof(message)), 0);
	assert_true(pool_places_match(fix.pool, SSD, &fresh.tiers[SSD]));
	fresh.tiers[SSD].nspares = 0;
	assert_false(pool_places_match(fix.pool, SSD, &fresh.tiers[SSD]));
	config_release(&fresh);
	open_again();
	assert_int_equal(fix.config.tiers[SSD].nspares, 1);
	assert_true(tier_place_spare(fix.pool->tiers[SSD].tier, 1));
	object_new(LEN);
	replicate(true);
	expect_homes(3);
	assert_true(files_in_spare() > 0);
	assert_int_equal(take_out("ssd"), -EBUSY);
	assert_non_null(strstr(message, "only directory"));
	assert_int_equal(take_out("spare"), 0);
	assert_false(file_says("\ncopy_path"));
	expect_homes(1);
	assert_int_equal(files_in_spare(), 0);
	assert_int_equal(access(path_of("spare/terrace.tier"), F_OK), -1);
	expect_objects(LEN);
	fix_pool_verify(&fix);
	fix_pool_power(&fix);
	expect_objects(LEN);
	/* Its number is free, for an ordinary one. */
	assert_int_equal(
		pool_place_add(fix.pool, SSD, path_of("spare"), false, message, sizeof(message)),
		0);
	assert_false(tier_place_spare(fix.pool->tiers[SSD].tier, 1));
	assert_true(file_says("/spare\n") && !file_says("\ncopy_path"));
}

/* What lies there alone stays, until it was moved. Emptying writes nothing else anew. */
static void test_emptied(void **state)
{
	struct segment *segment;
	uint64_t next;
	size_t at = 0;

	(void)state;
	make_file();
	object_new(LEN);
	assert_int_equal(add(), 0);
	replicate(true);
	next = fix.pool->next_segment;
	assert_int_equal(pool_evacuate(fix.pool, SSD, 1, NULL), 0);
	assert_int_equal(fix.pool->next_segment, next);
	pool_place_open(fix.pool, SSD, 1);
	delete_folder("ssd");
	replicate(false);
	expect_homes(2);
	assert_int_equal(take_out("spare"), -EBUSY);
	assert_non_null(strstr(message, "evacuate"));
	expect_objects(LEN);
	assert_int_equal(pool_evacuate(fix.pool, SSD, 1, NULL), 0);
	while ((segment = idmap_each(&fix.pool->segments, &at)))
		assert_true(segment->record.tier != SSD || !segment_stored(segment));
	expect_objects(LEN);
	assert_int_equal(take_out("spare"), 0);
	expect_objects(LEN);
}

/* Whatever call of its removal fails, once or from then on: the data is there, the file can be
 * read, and trying again does it. */
static void removal_fails(bool forever)
{
	for (uint64_t n = 1;; n++) {
		uint64_t failed;
		int rc;

		make_file();
		object_new(20000);
		assert_int_equal(add(), 0);
		replicate(true);
		fault_arm(FAULT_ALL & ~FAULT_CLOSE, n, FAULT_EIO, forever);
		rc = take_out("spare");
		failed = fault_disarm();
		if (n % 2) { /* the process dies, or goes on */
			pool_abandon(fix.pool);
			fix_pool_open(&fix);
		}
		expect_objects(20000);
		if (rc < 0)
			rc = take_out("spare");
		if (rc < 0 && rc != -ENOENT)
			fail_msg("call %llu: %s", (unsigned long long)n, message);
		assert_false(file_says("\ncopy_path"));
		open_again();
		expect_homes(1);
		expect_objects(20000);
		fix_pool_free(&fix);
		if (!failed)
			break;
		assert_true(n < 500);
	}
}

static void test_every_call_of_a_removal_failing(void **state)
{
	(void)state;
	removal_fails(false);
	removal_fails(true);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_copies_follow),
		TEST(test_run_ends_with_all),
		TEST(test_own_directories_first),
		TEST(test_read_last),
		TEST(test_own_directory_missing),
		TEST(test_own_directory_deleted),
		TEST(test_spare_deleted),
		TEST(test_spare_missing),
		TEST(test_spare_has_it_alone),
		TEST(test_restored),
		TEST(test_room_is_not_counted),
		TEST(test_promised_room_is_left),
		TEST(test_added_and_taken_out),
		TEST(test_emptied),
		cmocka_unit_test_setup_teardown(test_every_call_of_a_removal_failing, setup,
						teardown_logs),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
