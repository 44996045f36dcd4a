// SPDX-License-Identifier: Apache-2.0
/* Buffers of reads: whole, aligned, nobody else's, and those used last come first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tiers/readbuf.h"

#define MANY 20u /* more than wait for use */

static void test_apart(void **state)
{
	struct readbufs *bufs;
	uint8_t *all[MANY];

	(void)state;
	assert_int_equal(readbufs_new(&bufs, READBUF_BYTES, READBUF_KEEP), 0);
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < MANY; i++) {
			all[i] = readbuf_get(bufs);
			assert_non_null(all[i]);
			assert_int_equal((uintptr_t)all[i] % READBUF_ALIGN, 0);
			memset(all[i], (int)i, READBUF_BYTES);
		}
		for (unsigned i = 0; i < MANY; i++) {
			assert_int_equal(all[i][0], i);
			assert_int_equal(all[i][READBUF_BYTES - 1], i);
			readbuf_put(bufs, all[i]);
		}
	}
	readbufs_free(bufs);
}

static void test_last_first(void **state)
{
	struct readbufs *bufs;
	uint8_t *one, *two;

	(void)state;
	assert_int_equal(readbufs_new(&bufs, READBUF_BYTES, READBUF_KEEP), 0);
	one = readbuf_get(bufs);
	two = readbuf_get(bufs);
	readbuf_put(bufs, two);
	readbuf_put(bufs, one);
	readbuf_put(bufs, NULL);
	assert_ptr_equal(readbuf_get(bufs), one);
	assert_ptr_equal(readbuf_get(bufs), two);
	readbuf_put(bufs, one);
	readbuf_put(bufs, two);
	readbufs_free(bufs);
	readbufs_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_apart),
		cmocka_unit_test(test_last_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
