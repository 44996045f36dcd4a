// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "fs/attr.h"

static void round_trip(void **state)
{
	struct attr in = {.mode = S_IFCHR | 06755,
			  .uid = UINT32_MAX - 1,
			  .gid = 7,
			  .nlink = 3,
			  .flags = ATTR_HAS_ACL | ATTR_HAS_CAPS,
			  .special = 0x123456789abcdefull,
			  .parent = 42,
			  .cookie = 0xfedcba9876543210ull,
			  .atime = {-1, 999999999},
			  .mtime = {INT64_MIN, 0},
			  .ctime = {1, 2},
			  .btime = {INT64_MAX, 3},
			  .stamp_ns = -5};
	uint8_t buf[ATTR_LEN];
	struct attr out;

	(void)state;
	memset(&out, 0xee, sizeof(out));
	attr_encode(&in, buf);
	assert_int_equal(attr_decode(buf, sizeof(buf), &out), 0);
	assert_int_equal(out.mode, in.mode);
	assert_int_equal(out.uid, in.uid);
	assert_int_equal(out.gid, in.gid);
	assert_int_equal(out.nlink, in.nlink);
	assert_int_equal(out.flags, in.flags);
	assert_true(out.special == in.special && out.parent == in.parent);
	assert_true(out.atime.sec == -1 && out.atime.nsec == 999999999);
	assert_true(out.mtime.sec == INT64_MIN && out.btime.sec == INT64_MAX);
	assert_true(out.ctime.sec == 1 && out.ctime.nsec == 2 && out.btime.nsec == 3);
	assert_true(out.stamp_ns == -5);
	assert_true(out.cookie == in.cookie);
	assert_int_equal(attr_decode(buf, 96, &out), 0); /* as older programs wrote it */
	assert_true(out.stamp_ns == -5 && out.cookie == 0);
	assert_int_equal(attr_decode(buf, 95, &out), -EUCLEAN);
	buf[0]++;
	assert_int_equal(attr_decode(buf, sizeof(buf), &out), -EUCLEAN);
}

/* Nanoseconds of a whole second: the kernel would be given a time that is none. */
static void no_time(void **state)
{
	const size_t nanoseconds[] = {48, 60, 72, 84};
	struct attr attr = {.mode = S_IFREG | 0644}, out;
	uint8_t buf[ATTR_LEN];

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		attr_encode(&attr, buf);
		memcpy(buf + nanoseconds[i], "\xff\xc9\x9a\x3b", 4);
		assert_int_equal(attr_decode(buf, sizeof(buf), &out), 0);
		memcpy(buf + nanoseconds[i], "\x00\xca\x9a\x3b", 4);
		assert_int_equal(attr_decode(buf, sizeof(buf), &out), -EUCLEAN);
	}
}

/* The stored form is a promise: terrace-format(5). */
static void golden(void **state)
{
	struct attr attr = {.mode = S_IFREG | 0644, .uid = 1, .gid = 2, .nlink = 1, .parent = 1};
	uint8_t buf[ATTR_LEN];

	(void)state;
	attr.mtime = (struct attr_time){0x0102030405060708, 9};
	attr_encode(&attr, buf);
	assert_memory_equal(buf, "\1\0\0\0\xa4\x81\0\0\1\0\0\0\2\0\0\0\1\0\0\0", 20);
	assert_memory_equal(buf + 52, "\x08\x07\x06\x05\x04\x03\x02\x01\x09\0\0\0", 12);
}

static void times(void **state)
{
	static const int64_t ns[] = {0,		 1,	      -1,	   999999999,
				     1000000000, -1000000000, -1000000001, 1795242104123456789};

	(void)state;
	for (size_t i = 0; i < sizeof(ns) / sizeof(ns[0]); i++) {
		struct attr_time time = attr_time_of_ns(ns[i]);

		assert_true(time.nsec < 1000000000);
		assert_true(attr_time_ns(time) == ns[i]);
	}
	assert_true(attr_time_ns((struct attr_time){INT64_MAX, 0}) == INT64_MAX);
	assert_true(attr_time_ns((struct attr_time){INT64_MIN, 0}) == INT64_MIN);
}

static void privileges(void **state)
{
	struct attr attr = {.mode = S_IFREG | 06755};

	(void)state;
	attr_kill_suidgid(&attr);
	assert_int_equal(attr.mode, S_IFREG | 0755);
	attr.mode = S_IFREG | 06744; /* sgid without group execute stays */
	attr_kill_suidgid(&attr);
	assert_int_equal(attr.mode, S_IFREG | 02744);
}

static void stats(void **state)
{
	struct attr attr = {.mode = S_IFLNK | 0777, .nlink = 1, .special = 11};
	struct stat st;

	(void)state;
	attr_to_stat(&attr, 5, &st);
	assert_int_equal(st.st_size, 11);
	assert_int_equal(st.st_ino, 5);
	attr.btime = (struct attr_time){5, 0};
	attr_to_stat(&attr, 5, &st);
	assert_int_equal(st.st_dev, attr_generation(&attr));
	attr.btime.nsec = 4000000; /* the next tick of the coarse clock */
	assert_int_not_equal(st.st_dev, attr_generation(&attr));
	attr.mode = S_IFBLK | 0600;
	attr_to_stat(&attr, 5, &st);
	assert_int_equal(st.st_rdev, 11);
	assert_int_equal(st.st_size, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip), cmocka_unit_test(no_time),
		cmocka_unit_test(golden),     cmocka_unit_test(times),
		cmocka_unit_test(privileges), cmocka_unit_test(stats),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
