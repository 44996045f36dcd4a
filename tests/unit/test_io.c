// SPDX-License-Identifier: Apache-2.0
/* The io seam: whole transfers, EINTR, ends of files, and the fault double itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/fix_fault.h"
#include "tiers/io.h"

static int scratch_file(void)
{
	char path[] = "/tmp/terrace-io-XXXXXX";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	unlink(path);
	return fd;
}

static void test_whole_transfers_through_short_and_interrupted_calls(void **state)
{
	static const enum fault_kind kinds[] = {FAULT_SHORT, FAULT_EINTR};
	char out[1000], in[1000];
	int fd = scratch_file();
	size_t k, i;

	(void)state;
	for (i = 0; i < sizeof(out); i++)
		out[i] = (char)(i * 7);
	for (k = 0; k < 2; k++) {
		memset(in, 0, sizeof(in));
		fault_arm(FAULT_ALL, 1, kinds[k], true);
		assert_int_equal(io_pwrite_all(fd, out, sizeof(out), 5), 0);
		assert_true(fault_disarm() > 0);
		fault_arm(FAULT_ALL, 1, kinds[k], true);
		assert_int_equal(io_pread_all(fd, in, sizeof(in), 5), 0);
		assert_true(fault_disarm() > 0);
		assert_memory_equal(in, out, sizeof(in));
	}
	close(fd);
}

static void test_end_of_file_is_nodata(void **state)
{
	char buf[10];
	int fd = scratch_file();

	(void)state;
	assert_int_equal(io_pwrite_all(fd, "12345", 5, 0), 0);
	assert_int_equal(io_pread_all(fd, buf, 5, 0), 0);
	assert_int_equal(io_pread_all(fd, buf, 6, 0), -ENODATA);
	assert_int_equal(io_pread_all(fd, buf, 1, 100), -ENODATA);
	close(fd);
}

static void test_errors_come_out_once_and_syncs_are_not_repeated(void **state)
{
	int fd = scratch_file();
	int fds = fault_open_fds();

	(void)state;
	fault_arm(FAULT_PWRITE, 1, FAULT_ENOSPC, false);
	assert_int_equal(io_pwrite_all(fd, "x", 1, 0), -ENOSPC);
	assert_int_equal(io_pwrite_all(fd, "x", 1, 0), 0);
	fault_disarm();
	fault_arm(FAULT_SYNC, 1, FAULT_EIO, false);
	assert_int_equal(io_sync_data(fd), -EIO);
	assert_int_equal(fault_calls(), 1);
	fault_disarm();
	fault_arm(FAULT_SYNC, 1, FAULT_EIO, false);
	assert_int_equal(io_sync_folder("/tmp"), -EIO);
	fault_disarm();
	fault_arm(FAULT_CLOSE, 1, FAULT_EIO, false);
	assert_int_equal(io_sync_folder("/tmp"), -EIO);
	fault_disarm();
	assert_int_equal(io_open("/nonexistent/x", O_RDONLY, 0), -ENOENT);
	assert_int_equal(fault_open_fds(), fds);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole_transfers_through_short_and_interrupted_calls),
		cmocka_unit_test(test_end_of_file_is_nodata),
		cmocka_unit_test(test_errors_come_out_once_and_syncs_are_not_repeated),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
