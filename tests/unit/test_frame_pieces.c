// SPDX-License-Identifier: Apache-2.0
/* A read over many frames, with and without helpers (tiers/frame_pieces.h): all of its bytes, or an
 * error, whatever there was no memory for. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/fix_alloc.h"
#include "tests/unit/fix_bytes.h"
#include "tests/unit/fix_dir.h"
#include "tests/unit/fix_pool.h"
#include "tiers/extmap.h"
#include "tiers/pool_impl.h"

#define SHARED	   (224u << 10) /* helpers are worth it, a stream is not */
#define STREAM	   (640u << 10)
#define BLOCKS_MAX 64u /* of a frame */

static struct fix_pool fix;
static struct object *object;
static uint8_t bytes[STREAM], buf[STREAM];

static int setup(void **state)
{
	struct txn *txn;

	(void)state;
	log_capture();
	fix_pool_small(&fix);
	assert_int_equal(pool_create(&fix.config), 0);
	fix_pool_open(&fix);
	txn = txn_begin(fix.pool);
	assert_int_equal(object_create(txn, "a", 1, &object), 0);
	assert_int_equal(txn_commit(txn), 0);
	bytes_fill_random(bytes, sizeof(bytes), 3);
	assert_int_equal(object_write(object, bytes, sizeof(bytes), 0), 0);
	assert_int_equal(pool_sync(fix.pool), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	object_put(object);
	fix_pool_free(&fix);
	log_release();
	return 0;
}

/* Nothing of it is in the RAM tier any more. */
static void cool(void)
{
	struct extent_list list = {0};

	assert_int_equal(extmap_list(object, 0, UINT64_MAX, 1000, &list), 0);
	assert_true(list.count >= STREAM / (32u << 10));
	for (size_t i = 0; i < list.count; i++)
		blockcache_drop(fix.pool->cache, list.items[i].frame, BLOCKS_MAX);
	extent_list_release(&list);
	object_fetch_drop(object);
}

static int read_cold(size_t len, uint64_t off)
{
	size_t got = 0;
	int rc;

	memset(buf, 0xa5, sizeof(buf));
	rc = object_read(object, buf, len, off, &got);
	if (rc == 0)
		assert_int_equal(got, len);
	return rc;
}

static void test_whole(void **state)
{
	static const struct {
		size_t len, off;
	} reads[] = {{SHARED, 0}, {SHARED, 1000}, {STREAM, 0}, {100, STREAM - 100}, {70000, 30000}};

	(void)state;
	for (unsigned i = 0; i < sizeof(reads) / sizeof(reads[0]); i++) {
		cool();
		assert_int_equal(read_cold(reads[i].len, reads[i].off), 0);
		assert_memory_equal(buf, bytes + reads[i].off, reads[i].len);
		assert_int_equal(buf[reads[i].len % STREAM], reads[i].len < STREAM ? 0xa5 : buf[0]);
	}
}

static void test_no_memory(void **state)
{
	static const size_t lens[] = {SHARED, STREAM};
	unsigned alone = 0;

	(void)state;
	if (!ALLOC_FAULTS)
		skip();
	for (unsigned i = 0; i < 2; i++) {
		for (unsigned long n = 1, failed = 1; failed; n++) {
			int rc;

			cool();
			alloc_arm(n, false);
			rc = read_cold(lens[i], 0);
			failed = alloc_disarm();
			if (rc == 0)
				assert_memory_equal(buf, bytes, lens[i]);
			else
				assert_int_equal(rc, -ENOMEM);
			assert_true(failed || rc == 0);
			alone += failed && rc == 0;
		}
	}
	assert_true(alone > 0); /* what is only quicker with memory goes without */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
