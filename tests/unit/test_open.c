// SPDX-License-Identifier: Apache-2.0
/*
 * Opening and closing a pool that a daemon has left when it died, while the n-th allocation or call
 * fails: it opens with everything, or does not, and then the next opening has everything. And what
 * an opening refuses. Calls and allocations are drawn; TERRACE_STEP=1 tries all.
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

#include "compress/bytes.h"
#include "compress/checksum.h"
#include "tests/unit/fix_alloc.h"
#include "tests/unit/fix_bytes.h"
#include "tests/unit/fix_dir.h"
#include "tests/unit/fix_fault.h"
#include "tests/unit/fix_place.h"
#include "tests/unit/fix_pool.h"
#include "tiers/object.h"
#include "tiers/pool_impl.h"

#define OBJECTS 4u
#define LEN	60000u

static struct fix_pool fix;
static struct dice dice;
static uint64_t ids[OBJECTS];
static uint8_t want[OBJECTS][LEN];
static unsigned round_no;

static struct object *get(unsigned i)
{
	struct object *object;

	assert_int_equal(object_get(fix.pool, ids[i], &object), 0);
	return object;
}

/* Something of each kind, that the next opening has to do with: bytes in the log, a hole, a size,
 * a synchronous write, freed frames, a deleted object of many extents, one to be deleted. */
static void work(void)
{
	struct object *object = get(round_no % OBJECTS);
	uint8_t *bytes = want[round_no % OBJECTS];
	struct txn *txn;

	round_no++;
	bytes_fill_random(bytes, 5000, round_no);
	assert_int_equal(object_write(object, bytes, 5000, 0), 0);
	memset(bytes + 10000, 0, 3000);
	assert_int_equal(object_punch(object, 3000, 10000), 0);
	assert_int_equal(object_truncate(object, LEN - 100), 0);
	memset(bytes + LEN - 100, 0, 100);
	assert_int_equal(object_truncate(object, LEN), 0);
	object_put(object);
	object = get(round_no % OBJECTS);
	memcpy(want[round_no % OBJECTS] + 7, "synced", 6);
	assert_int_equal(object_write(object, "synced", 6, 7), 0);
	assert_int_equal(object_sync(object), 0);
	object_put(object);
	txn = txn_begin(fix.pool);
	assert_int_equal(object_create(txn, "orphan", 6, &object), 0);
	object_orphan(txn, object);
	assert_int_equal(txn_commit(txn), 0);
	for (unsigned i = 0; i < (round_no % 4 ? 3 : 80); i++)
		assert_int_equal(object_write(object, "piece", 5, i * 8192), 0);
	if (round_no % 2 == 0) {
		assert_int_equal(object_sync(object), 0);
		txn = txn_begin(fix.pool);
		object_delete(txn, object);
		assert_int_equal(txn_commit(txn), 0);
	}
	object_put(object);
}

static void die(void)
{
	pool_abandon(fix.pool);
	fix.pool = NULL;
}

static int setup(void **state)
{
	(void)state;
	log_capture();
	fix_pool_small(&fix);
	assert_int_equal(pool_create(&fix.config), 0);
	fix_pool_open(&fix);
	round_no = 0;
	for (unsigned i = 0; i < OBJECTS; i++) {
		struct txn *txn = txn_begin(fix.pool);
		struct object *object;

		assert_int_equal(object_create(txn, "a", 1, &object), 0);
		assert_int_equal(txn_commit(txn), 0);
		ids[i] = object_id(object);
		bytes_fill_text(want[i], LEN, i + 1);
		assert_int_equal(object_write(object, want[i], LEN, 0), 0);
		object_put(object);
	}
	assert_int_equal(pool_sync(fix.pool), 0);
	work();
	die();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fault_disarm();
	alloc_disarm();
	fix_pool_free(&fix);
	log_release();
	return 0;
}

static void verify(void)
{
	static uint8_t buf[LEN + 1];
	size_t got;

	for (unsigned i = 0; i < OBJECTS; i++) {
		struct object *object = get(i);

		assert_int_equal(object_read(object, buf, sizeof(buf), 0, &got), 0);
		assert_int_equal(got, LEN);
		assert_memory_equal(buf, want[i], LEN);
		object_put(object);
	}
	pool_reap(fix.pool);
	fix_pool_verify(&fix);
}

static int try_open(void)
{
	struct pool_open_options options = {.no_background = true};
	int rc = pool_open(&fix.config, &options, &fix.pool);

	if (rc < 0)
		fix.pool = NULL;
	return rc;
}

static uint64_t step(uint64_t some)
{
	const char *set = getenv("TERRACE_STEP");

	return set ? strtoull(set, NULL, 10) : 1 + dice_roll(&dice, some);
}

/* It opened, or will at the next try; either way all is there. */
static void goes_on(int rc, int fds, const char *what, uint64_t n)
{
	if (rc < 0) {
		assert_int_equal(fault_open_fds(), fds);
		rc = try_open();
		if (rc < 0)
			fail_msg("%s %llu: opens no more: %s", what, (unsigned long long)n,
				 strerror(-rc));
	}
	verify();
	work();
	die();
}

static void test_allocations(void **state)
{
	unsigned long failed = 1;

	(void)state;
	if (!ALLOC_FAULTS)
		skip();
	for (unsigned long n = step(60); failed; n += step(60)) {
		int fds = fault_open_fds(), rc;

		alloc_arm(n, dice_roll(&dice, 2));
		rc = try_open();
		failed = alloc_disarm();
		if (rc < 0 && rc != -ENOMEM)
			fail_msg("allocation %lu: %s", n, strerror(-rc));
		goes_on(rc, fds, "allocation", n);
	}
	fix_pool_open(&fix);
	verify();
	assert_int_equal(pool_sync(fix.pool), 0);
	fix_pool_close(&fix);
	fix_pool_open(&fix);
	verify();
	assert_int_equal(pool_sync(fix.pool), 0);
	fix_pool_verify_media(&fix, true);
}

static void test_calls(void **state)
{
	static const enum fault_kind kinds[] = {FAULT_EIO, FAULT_ENOSPC, FAULT_SHORT, FAULT_EINTR};

	(void)state;
	for (unsigned kind = 0; kind < 4; kind++) {
		uint64_t failed = 1;

		for (uint64_t n = step(100); failed; n += step(100)) {
			int fds = fault_open_fds(), rc;

			fault_arm(FAULT_ALL, n, kinds[kind], dice_roll(&dice, 2));
			rc = try_open();
			failed = fault_disarm();
			if (kind >= 2)
				assert_int_equal(rc, 0);
			goes_on(rc, fds, "call", n);
		}
	}
}

/* What cannot be written at the end stays for the next opening. */
static void test_closing(void **state)
{
	uint64_t failed = 1;

	(void)state;
	for (uint64_t n = step(60); failed; n += step(60)) {
		int fds = fault_open_fds(), rc;

		fix_pool_open(&fix);
		verify();
		work();
		fault_arm(FAULT_ALL, n, dice_roll(&dice, 2) ? FAULT_EIO : FAULT_ENOSPC,
			  dice_roll(&dice, 2));
		rc = pool_close(fix.pool);
		failed = fault_disarm();
		fix.pool = NULL;
		assert_int_equal(fault_open_fds(), fds);
		if (!failed)
			assert_int_equal(rc, 0);
	}
	fix_pool_open(&fix);
	verify();
}

/* Refused ----------------------------------------------------------------------------------------
 */

/* The RAM folder's session file with a word of it changed, and its checksum right. */
static void session_change(size_t at, uint32_t value)
{
	char *dir = pool_ram_dir(&fix.config), path[256];
	uint8_t *bytes;
	uint64_t len;

	snprintf(path, sizeof(path), "%s/session", dir);
	free(dir);
	bytes = place_read(path, &len);
	assert_int_equal(len, 64);
	put_le32(bytes + at, value);
	put_le64(bytes + 56, checksum64(bytes, 56));
	place_write(path, bytes, len);
	free(bytes);
}

static void refused(int error, const char *words)
{
	int fds = fault_open_fds();

	log_captured();
	assert_int_equal(try_open(), error);
	assert_int_equal(fault_open_fds(), fds);
	if (!strstr(log_captured(), words))
		fail_msg("not said: %s", words);
}

static void test_sessions(void **state)
{
	(void)state;
	session_change(8, 99);
	refused(-ENOTSUP, "session: written by a newer version; mount with that one and unmount");
	session_change(8, 1);
	session_change(24, 0x01020304); /* the pool's number */
	refused(-ENOTUNIQ, "session: belongs to another pool; give each pool its own folder");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_allocations),
		TEST(test_calls),
		TEST(test_closing),
		TEST(test_sessions),
	};

	dice_init(&dice, "test_open");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
