// SPDX-License-Identifier: Apache-2.0
/*
 * Rings for FUSE (fs/fuse_uring.h), as far as they go without a mount: all of them can be used, or
 * none is there, whichever cannot be enabled. A mount that counts on one that is not there would
 * hang.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <unistd.h>
#include <cmocka.h>

#include <liburing.h>

#include "fs/fuse_uring.h"
#include "tests/unit/fix_fault.h"

static _Atomic unsigned calls, fails; /* of io_uring_register(): so far; which one fails, 0: none */

/* In front of the library's. */
int io_uring_register(unsigned fd, unsigned opcode, const void *arg, unsigned count)
{
	if (opcode == IORING_REGISTER_ENABLE_RINGS && atomic_fetch_add(&calls, 1) + 1 == fails)
		return -ENOMEM;
	return syscall(SYS_io_uring_register, fd, opcode, arg, count) < 0 ? -errno : 0;
}

static int make(unsigned nth, struct uring **uring)
{
	calls = 0;
	fails = nth;
	return uring_new(NULL, 1 << 20, uring);
}

static void test_all_or_none(void **state)
{
	int fds = fault_open_fds();
	struct uring *uring = NULL;
	unsigned rings;
	int r = make(0, &uring);

	(void)state;
	if (r == -ENOSYS || r == -EPERM || r == -E2BIG) /* the machine has none */
		skip();
	assert_int_equal(r, 0);
	rings = calls; /* before they are started: INIT can still be told that there are none */
	assert_int_equal(rings, (unsigned)get_nprocs() * URING_QUEUE_THREADS);
	uring_stop(uring);
	uring_free(uring);
	assert_int_equal(fault_open_fds(), fds);
	for (unsigned nth = 1; nth <= rings; nth++) {
		uring = NULL;
		assert_int_equal(make(nth, &uring), -ENOMEM);
		assert_null(uring);
		assert_int_equal(fault_open_fds(), fds);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_or_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
