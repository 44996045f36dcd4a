// SPDX-License-Identifier: Apache-2.0
/* Files that replace others while no tier takes their data: cuts of the journal go on where they
 * can, each fsync tells its own result, and a power loss shows old or new. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/fix_dir.h"
#include "tests/unit/fix_pool.h"
#include "tiers/io.h"
#include "tiers/meta.h"
#include "tiers/object.h"
#include "tiers/pool_impl.h"

static struct fix_pool fix;

/* Tiers that take nothing ---------------------------------------------------------------------- */

static _Atomic int tiers_fail; /* errno, 0 = they work */
static _Atomic bool is_segment[4096];
static _Atomic uint64_t refused;

static _Atomic bool crowd_comes; /* when a tier refuses something next */
static void crowd_come(void);

static int hook_open(const char *path, int flags, mode_t mode)
{
	int fd = io_ops_system.open(path, flags, mode);

	if (fd >= 0 && fd < 4096)
		is_segment[fd] = strstr(path, "/segments/") != NULL;
	return fd;
}

static ssize_t hook_pwrite(int fd, const void *buf, size_t len, off_t off)
{
	if (tiers_fail && fd < 4096 && is_segment[fd]) {
		refused++;
		if (atomic_exchange(&crowd_comes, false))
			crowd_come();
		errno = tiers_fail;
		return -1;
	}
	return io_ops_system.pwrite(fd, buf, len, off);
}

static int setup(void **state)
{
	static struct io_ops ops;

	(void)state;
	log_capture();
	ops = io_ops_system;
	ops.open = hook_open;
	ops.pwrite = hook_pwrite;
	io_ops_set(&ops);
	tiers_fail = 0;
	fix_pool_new(&fix, 64u << 20, false);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	tiers_fail = 0;
	fix_pool_free(&fix);
	io_ops_set(NULL);
	log_release();
	return 0;
}

static struct object *object_make(const char *attr)
{
	struct txn *txn = txn_begin(fix.pool);
	struct object *object;

	assert_int_equal(object_create(txn, attr, strlen(attr), &object), 0);
	assert_int_equal(txn_commit(txn), 0);
	return object;
}

static uint8_t byte_of(uint64_t seed, size_t i)
{
	return (uint8_t)((i * 2654435761u + seed * 40503u) >> 7);
}

static void write_all(struct object *object, uint64_t seed, size_t from, size_t len)
{
	uint8_t *buf = malloc(len);

	for (size_t i = 0; i < len; i++)
		buf[i] = byte_of(seed, from + i);
	for (size_t off = 0; off < len; off += 1u << 20)
		assert_int_equal(object_write(object, buf + off,
					      len - off < 1u << 20 ? len - off : 1u << 20,
					      from + off),
				 0);
	free(buf);
}

static void expect_part(uint64_t id, uint64_t seed, size_t from, size_t len)
{
	uint8_t *buf = malloc(len);
	struct object *object;
	size_t got;

	assert_int_equal(object_get(fix.pool, id, &object), 0);
	assert_int_equal(object_read(object, buf, len, from, &got), 0);
	assert_int_equal(got, len);
	for (size_t i = 0; i < len; i++)
		if (buf[i] != byte_of(seed, from + i))
			fail_msg("byte %zu differs", from + i);
	object_put(object);
	free(buf);
}

static void expect(uint64_t id, uint64_t seed, size_t len)
{
	struct object *object;

	assert_int_equal(object_get(fix.pool, id, &object), 0);
	assert_int_equal(object_size(object), len);
	object_put(object);
	expect_part(id, seed, 0, len);
}

/* As a rename over a name: the name is a key, its value the object. */
static void replace(const char *name, struct object *object)
{
	uint64_t id = object_id(object);
	struct txn *txn = txn_begin(fix.pool);

	object_order_before_sync(txn, object);
	txn_put(txn, name, strlen(name), &id, sizeof(id));
	assert_int_equal(txn_commit(txn), 0);
}

static uint64_t named(const char *name)
{
	uint64_t id = 0;
	size_t len;

	return meta_get(pool_meta(fix.pool), name, strlen(name), &id, sizeof(id), &len) ? 0 : id;
}

/* Tests ---------------------------------------------------------------------------------------- */

static void test_what_no_tier_takes_goes_into_the_journal(void **state)
{
	struct object *old = object_make("old"), *fresh = object_make("new"),
		      *other = object_make("other");
	uint64_t old_id = object_id(old), fresh_id = object_id(fresh), other_id = object_id(other);

	(void)state;
	write_all(old, 1, 0, 70000);
	replace("Pname", old);
	assert_int_equal(object_sync(old), 0);
	tiers_fail = EIO;
	write_all(fresh, 2, 0, 300000);
	replace("Pname", fresh);
	write_all(other, 3, 0, 2000);
	/* Another file's fsync is not held up by it. */
	assert_int_equal(object_sync(other), 0);
	assert_true(refused > 0);
	object_put(old);
	object_put(fresh);
	object_put(other);
	fix_pool_power(&fix);
	tiers_fail = 0;
	assert_int_equal(named("Pname"), fresh_id);
	expect(fresh_id, 2, 300000);
	expect(other_id, 3, 2000);
	expect(old_id, 1, 70000);
	/* The records go when a tier has it all. */
	assert_int_equal(pool_sync(fix.pool), 0);
	assert_int_equal(object_get(fix.pool, fresh_id, &fresh), 0);
	assert_false(synced_any(fresh));
	object_put(fresh);
	fix_pool_power(&fix);
	expect(fresh_id, 2, 300000);
	fix_pool_verify(&fix);
}

/* All its bytes are in records, but not that it has grown since. */
static void test_what_has_only_grown_goes_first(void **state)
{
	struct object *fresh = object_make("new"), *other = object_make("other");
	uint64_t fresh_id = object_id(fresh);
	uint8_t buf[10];
	size_t got;

	(void)state;
	write_all(fresh, 1, 0, 1000);
	assert_int_equal(object_sync(fresh), 0);
	assert_int_equal(object_truncate(fresh, 70000), 0);
	replace("Pname", fresh);
	write_all(other, 2, 0, 1000);
	assert_int_equal(object_sync(other), 0);
	object_put(fresh);
	object_put(other);
	fix_pool_power(&fix);
	assert_int_equal(named("Pname"), fresh_id);
	assert_int_equal(object_get(fix.pool, fresh_id, &fresh), 0);
	assert_int_equal(object_size(fresh), 70000);
	assert_int_equal(object_read(fresh, buf, sizeof(buf), 69990, &got), 0);
	assert_int_equal(got, 10);
	assert_memory_equal(buf, "\0\0\0\0\0\0\0\0\0", 10);
	object_put(fresh);
	expect_part(fresh_id, 1, 0, 1000);
	fix_pool_verify(&fix);
}

static void test_a_rescued_file_is_written_on(void **state)
{
	struct object *object = object_make("a"), *other = object_make("b");
	uint64_t id = object_id(object);

	(void)state;
	write_all(object, 4, 0, 40000);
	assert_int_equal(object_sync(object), 0);
	write_all(object, 9, 1000, 500); /* a record of an older write */
	assert_int_equal(object_sync(object), 0);
	tiers_fail = ENOSPC;
	write_all(object, 5, 0, 200000);
	replace("Pname", object);
	write_all(other, 6, 0, 100);
	assert_int_equal(object_sync(other), 0);
	write_all(object, 7, 0, 150000); /* newer than what the journal has */
	assert_int_equal(object_sync(other), 0);
	tiers_fail = 0;
	write_all(object, 7, 150000, 50000);
	assert_int_equal(object_sync(object), 0);
	object_put(object);
	object_put(other);
	fix_pool_power(&fix);
	expect(id, 7, 200000);
	fix_pool_verify(&fix);
}

static void test_too_much_for_the_journal(void **state)
{
	struct object *before = object_make("a"), *large = object_make("b"),
		      *after = object_make("c"), *small = object_make("d");
	uint64_t before_id = object_id(before), after_id = object_id(after),
		 small_id = object_id(small), large_id = object_id(large);
	uint64_t tries;

	(void)state;
	write_all(before, 1, 0, 5000);
	assert_int_equal(object_sync(before), 0);
	write_all(small, 4, 0, 5000);
	assert_int_equal(pool_sync(fix.pool), 0);
	replace("Pbefore", before); /* nothing of it is behind: no order */
	write_all(small, 5, 0, 5000);
	replace("Psmall", small);
	tiers_fail = EIO;
	write_all(large, 2, 0, 20u << 20);
	replace("Plarge", large);
	write_all(after, 3, 0, 1000);
	/* What lies behind the rename cannot be durable, and says so; and does not try for ever. */
	assert_int_equal(object_sync(after), -EIO);
	tries = refused;
	assert_int_equal(pool_cut(fix.pool), -EIO);
	assert_int_equal(refused, tries);
	/* What lies before it is. */
	assert_int_equal(object_sync(before), 0);
	object_put(before);
	object_put(large);
	object_put(after);
	object_put(small);
	fix_pool_power(&fix);
	tiers_fail = 0;
	assert_int_equal(named("Pbefore"), before_id);
	assert_int_equal(named("Plarge"), 0);
	expect(before_id, 1, 5000);
	/* Old or new. */
	expect(small_id, named("Psmall") ? 5 : 4, 5000);

	/* The tier works again: so does everything. */
	assert_int_equal(object_get(fix.pool, large_id, &large), 0);
	assert_int_equal(object_get(fix.pool, after_id, &after), 0);
	tiers_fail = EIO;
	write_all(large, 2, 0, 20u << 20);
	replace("Plarge", large);
	write_all(after, 3, 0, 1000);
	assert_int_equal(object_sync(after), -EIO);
	tiers_fail = 0;
	usleep(1200000); /* it had failed once or twice */
	assert_int_equal(object_sync(after), 0);
	object_put(large);
	object_put(after);
	fix_pool_power(&fix);
	assert_int_equal(named("Plarge"), large_id);
	expect(large_id, 2, 20u << 20);
	expect(after_id, 3, 1000);
	fix_pool_verify(&fix);
}

/* After kill -9 on a full pool: what the journal holds needs no room to be durable, so it does not
 * hold up a delete, which is what makes room. */
static void test_records_outlive_the_daemon(void **state)
{
	struct object *rescued = object_make("a"), *small = object_make("b"),
		      *ahead = object_make("c");
	uint64_t rescued_id = object_id(rescued), small_id = object_id(small),
		 ahead_id = object_id(ahead);

	(void)state;
	tiers_fail = ENOSPC;
	write_all(rescued, 1, 0, 300000);
	replace("Pname", rescued);
	write_all(small, 2, 0, 3000);
	assert_int_equal(object_sync(small), 0);
	write_all(small, 3, 1000, 500);
	assert_int_equal(object_sync(small), 0);
	write_all(ahead, 4, 0, 3000);
	assert_int_equal(object_sync(ahead), 0);
	write_all(ahead, 5, 0, 3000); /* its records are older */
	object_put(rescued);
	object_put(small);
	object_put(ahead);
	fix_pool_crash(&fix);

	assert_int_equal(object_get(fix.pool, rescued_id, &rescued), 0);
	assert_int_equal(object_get(fix.pool, small_id, &small), 0);
	assert_int_equal(object_get(fix.pool, ahead_id, &ahead), 0);
	assert_false(rescued->synced.behind);
	assert_false(small->synced.behind);
	assert_true(ahead->synced.behind);
	refused = 0;
	fix.pool->config.journal_bytes = 1024; /* so nothing more is rescued */
	assert_int_equal(pool_cut(fix.pool), -ENOSPC);
	assert_true(refused > 0);
	write_all(small, 6, 3000, 10); /* records go on where they were */
	assert_int_equal(object_sync(small), -ENOSPC);
	tiers_fail = 0;
	fix.pool->stuck_until_ns = 0;
	assert_int_equal(object_sync(small), 0);
	object_put(rescued);
	object_put(small);
	object_put(ahead);
	fix_pool_power(&fix);
	expect(rescued_id, 1, 300000);
	expect(ahead_id, 5, 3000);
	assert_int_equal(pool_sync(fix.pool), 0);
	fix_pool_verify(&fix);
}

static void test_a_delete_goes_behind_records(void **state)
{
	struct object *rescued = object_make("a"), *gone = object_make("b");
	uint64_t rescued_id = object_id(rescued), gone_id = object_id(gone);
	struct txn *txn;

	(void)state;
	write_all(gone, 1, 0, 200000);
	assert_int_equal(pool_sync(fix.pool), 0);
	tiers_fail = ENOSPC;
	write_all(rescued, 1, 0, 300000);
	replace("Pname", rescued);
	assert_int_equal(pool_cut(fix.pool), 0); /* with the records of it */
	object_put(rescued);
	object_put(gone);
	fix_pool_crash(&fix);
	fix.pool->config.journal_bytes = 1024; /* no second time */
	assert_int_equal(object_get(fix.pool, gone_id, &gone), 0);
	txn = txn_begin(fix.pool);
	object_delete(txn, gone);
	assert_int_equal(txn_commit(txn), 0);
	object_put(gone);
	assert_int_equal(pool_cut(fix.pool), 0);
	fix_pool_power(&fix);
	assert_int_equal(object_get(fix.pool, gone_id, &gone), -ENOENT);
	expect(rescued_id, 1, 300000);
}

/* The log gives whole chunks back, so a new daemon finds writes there that had been flushed. On a
 * full pool there is room only for those that had not. */
static void test_a_full_pool_takes_over_what_it_had(void **state)
{
	struct object *flushed, *waiting;
	uint64_t flushed_id, waiting_id, before;

	(void)state;
	fix_pool_close(&fix);
	fix.config.tiers[1].size_bytes = fix.config.tiers[2].size_bytes = 8u << 20;
	fix_pool_open(&fix);
	waiting = object_make("a");
	flushed = object_make("b");
	waiting_id = object_id(waiting);
	flushed_id = object_id(flushed);
	write_all(waiting, 1, 0, 100000);
	assert_int_equal(pool_sync(fix.pool), 0);
	write_all(waiting, 2, 5000, 3000); /* what keeps the oldest chunk */
	for (size_t off = 0; off < 13u << 20; off += 1u << 20) {
		write_all(flushed, 3, off, 1u << 20);
		assert_int_equal(object_sync(flushed), 0);
	}
	write_all(flushed, 4, 70000, 5000);
	before = fix.pool->dirty_bytes;
	assert_true(before >= 8000);
	object_put(waiting);
	object_put(flushed);
	fix_pool_crash(&fix);
	assert_in_range(fix.pool->dirty_bytes, 8000, before + (3u << 12));
	assert_int_equal(pool_sync(fix.pool), 0);
	fix_pool_power(&fix);
	expect_part(waiting_id, 1, 0, 5000);
	expect_part(waiting_id, 2, 5000, 3000);
	expect_part(waiting_id, 1, 8000, 92000);
	expect_part(flushed_id, 3, 0, 70000);
	expect_part(flushed_id, 4, 70000, 5000);
	expect_part(flushed_id, 3, 75000, (13u << 20) - 75000);
	fix_pool_verify(&fix);
}

static void *rename_on(void *arg)
{
	unsigned *made = arg;

	for (unsigned i = 0; i < 20; i++) {
		pool_order_gate(fix.pool);
		(*made)++;
		usleep(1000);
	}
	return NULL;
}

static void test_the_gate_opens_again(void **state)
{
	struct object *large = object_make("a");
	unsigned made = 0;
	pthread_t thread;

	(void)state;
	tiers_fail = EIO;
	write_all(large, 2, 0, 20u << 20);
	replace("Plarge", large);
	pthread_create(&thread, NULL, rename_on, &made);
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(pool_cut(fix.pool), -EIO);
		fix.pool->stuck_until_ns = 0;
	}
	pthread_join(thread, NULL);
	assert_int_equal(made, 20);
	tiers_fail = 0;
	fix.pool->stuck_until_ns = 0;
	assert_int_equal(pool_cut(fix.pool), 0);
	object_put(large);
}

#define CROWD 64u

static struct object *crowd[CROWD];

static void crowd_come(void)
{
	for (unsigned i = 0; i < CROWD; i++) {
		char name[16];

		snprintf(name, sizeof(name), "Pcrowd-%u", i);
		replace(name, crowd[i]);
	}
}

/* Others replace files while one is being flushed in vain: it goes before them still. */
static void test_none_is_forgotten_in_a_crowd(void **state)
{
	struct object *large = object_make("a"), *after = object_make("b");
	uint64_t large_id = object_id(large);

	(void)state;
	for (unsigned i = 0; i < CROWD; i++) {
		crowd[i] = object_make("c");
		write_all(crowd[i], i, 0, 1000);
	}
	write_all(large, 99, 0, 20u << 20);
	replace("Plarge", large);
	tiers_fail = EIO;
	crowd_comes = true;
	assert_int_equal(pool_cut(fix.pool), -EIO);
	assert_false(crowd_comes);
	tiers_fail = 0;
	fix.pool->stuck_until_ns = 0;
	write_all(after, 100, 0, 1000);
	assert_int_equal(object_sync(after), 0);
	for (unsigned i = 0; i < CROWD; i++)
		object_put(crowd[i]);
	object_put(large);
	object_put(after);
	fix_pool_power(&fix);
	assert_int_equal(named("Plarge"), large_id);
	expect(large_id, 99, 20u << 20);
	fix_pool_verify(&fix);
}

/* What had been renamed before kill -9 goes behind what is renamed after it. */
static void test_before_the_daemon_died(void **state)
{
	struct object *large = object_make("a"), *other;

	(void)state;
	tiers_fail = EIO;
	write_all(large, 2, 0, 20u << 20);
	replace("Plarge", large);
	object_put(large);
	fix_pool_crash(&fix);
	other = object_make("b");
	write_all(other, 3, 0, 1000);
	replace("Pother", other);
	assert_int_equal(pool_cut(fix.pool), -EIO);
	object_put(other);
	fix_pool_power(&fix);
	tiers_fail = 0;
	assert_int_equal(named("Plarge"), 0);
	fix_pool_verify(&fix);
}

/* Many, of all sizes, with the tiers failing now and then, and power lost at the end. */
static void test_replaced_at_random(void **state)
{
	uint64_t ids[64], sizes[64], rng = 88172645463325252u;
	struct object *other = object_make("other");
	uint64_t newest[4] = {0}, durable[4] = {0};

	(void)state;
	for (unsigned i = 0; i < 64; i++) {
		char name[] = "Pname-0";
		struct object *object = object_make("x");

		rng ^= rng << 13;
		rng ^= rng >> 7;
		rng ^= rng << 17;
		tiers_fail = rng >> 20 & 1 ? ENOSPC : 0;
		ids[i] = object_id(object);
		sizes[i] = 1 + (rng >> 30) % (rng >> 21 & 3 ? 60000 : 1500000);
		write_all(object, i, 0, sizes[i]);
		name[6] = (char)('0' + i % 4);
		replace(name, object);
		newest[i % 4] = i + 1;
		object_put(object);
		if (i % 3 == 0) {
			write_all(other, i, 0, 100);
			fix.pool->stuck_until_ns = 0;
			if (object_sync(other) == 0)
				memcpy(durable, newest, sizeof(durable));
		}
	}
	object_put(other);
	fix_pool_power(&fix);
	tiers_fail = 0;
	for (unsigned n = 0; n < 4; n++) {
		char name[] = "Pname-0";
		uint64_t id;
		unsigned i = 0;

		name[6] = (char)('0' + n);
		id = named(name);
		if (!id && !durable[n])
			continue;
		while (i < 64 && ids[i] != id)
			i++;
		assert_true(i < 64);
		assert_true(i + 1 >= durable[n]);
		expect(id, i, sizes[i]);
	}
	assert_int_equal(pool_sync(fix.pool), 0);
	fix_pool_verify(&fix);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_what_no_tier_takes_goes_into_the_journal,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_has_only_grown_goes_first, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_a_rescued_file_is_written_on, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_much_for_the_journal, setup, teardown),
		cmocka_unit_test_setup_teardown(test_records_outlive_the_daemon, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_delete_goes_behind_records, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_full_pool_takes_over_what_it_had, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_the_gate_opens_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_none_is_forgotten_in_a_crowd, setup, teardown),
		cmocka_unit_test_setup_teardown(test_before_the_daemon_died, setup, teardown),
		cmocka_unit_test_setup_teardown(test_replaced_at_random, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
