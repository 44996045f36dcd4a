// SPDX-License-Identifier: Apache-2.0
/* Opens of plain files that may go past the daemon (fs/fuse_pass.h), with a kernel that takes none
 * of them: what is counted, who may raise a mode, and that no memory is an error and nothing else.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <cmocka.h>

#include "fs/fuse_pass.h"
#include "tests/unit/fix_alloc.h"
#include "tests/unit/fix_dir.h"
#include "tests/unit/fix_fault.h"
#include "tests/unit/fix_pool.h"
#include "tiers/object.h"
#include "tiers/plain.h"

#define DEVICE 1000 /* never asked by its number */
#define ALICE  1000u
#define BOB    1001u

static struct fix_pool fix;
static struct passes *passes;
static struct object *object, *frames;
static int kernel_says; /* < 0: an error */
static unsigned opened, closed;

/* The kernel: a number for a file, or the number back. */
int ioctl(int fd, unsigned long request, ...)
{
	assert_int_equal(fd, DEVICE);
	if (_IOC_NR(request) == 1)
		opened++;
	else
		closed++;
	if (kernel_says >= 0)
		return kernel_says;
	errno = -kernel_says;
	return -1;
}

static struct object *make(void)
{
	struct txn *txn = txn_begin(fix.pool);
	struct object *made;

	assert_int_equal(object_create(txn, "a", 1, &made), 0);
	assert_int_equal(txn_commit(txn), 0);
	return made;
}

static int setup(void **state)
{
	(void)state;
	log_capture();
	fix_pool_small(&fix);
	assert_int_equal(pool_create(&fix.config), 0);
	fix_pool_open(&fix);
	object = make();
	frames = make();
	assert_int_equal(object_make_plain(object, 1, NULL), 0);
	assert_int_equal(passes_new(&passes, DEVICE), 0);
	kernel_says = 7;
	opened = closed = 0;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	passes_free(passes);
	object_put(object);
	object_put(frames);
	fix_pool_free(&fix);
	log_release();
	return 0;
}

static int32_t pass(uid_t uid, bool writes, bool without)
{
	return passes_open(passes, object, uid, writes, without);
}

static void leave(void)
{
	passes_close(passes, object_id(object));
}

static bool may_raise(uid_t owner)
{
	return passes_may_raise(passes, object_id(object), owner);
}

/* The first open registers the file, the last close takes it back. */
static void test_shared(void **state)
{
	(void)state;
	assert_int_equal(pass(ALICE, true, false), 7);
	kernel_says = 8;
	assert_int_equal(pass(BOB, false, true), 7);
	assert_int_equal(opened, 1);
	leave();
	assert_int_equal(closed, 0);
	leave();
	assert_int_equal(closed, 1);
	leave(); /* of none: nothing */
	assert_int_equal(pass(ALICE, true, false), 8);
	assert_int_equal(opened, 2);
	kernel_says = -ENOENT;
	leave();
	assert_non_null(strstr(log_captured(), "the kernel keeps a plain file of inode"));
}

/* One that goes without takes those beside it along. */
static void test_without(void **state)
{
	(void)state;
	assert_int_equal(pass(ALICE, true, true), 0);
	assert_int_equal(pass(ALICE, true, false), 0);
	assert_int_equal(opened, 0);
	assert_true(may_raise(BOB));
	leave();
	leave();
	assert_int_equal(closed, 0);
	assert_int_equal(passes_open(passes, frames, ALICE, true, false), 0);
	passes_close(passes, object_id(frames));
	assert_int_equal(opened, 0);
}

/* Who writes past us and is neither the owner nor root keeps suid and sgid away. */
static void test_modes(void **state)
{
	(void)state;
	assert_true(may_raise(ALICE));
	assert_int_equal(pass(0, true, false), 7);
	assert_int_equal(pass(BOB, false, false), 7);
	assert_true(may_raise(ALICE));
	assert_int_equal(pass(ALICE, true, false), 7);
	assert_true(may_raise(ALICE));
	assert_false(may_raise(BOB));
	assert_int_equal(pass(BOB, true, false), 7);
	assert_false(may_raise(ALICE));
	assert_false(may_raise(BOB));
	for (unsigned i = 0; i < 4; i++)
		leave();
	assert_true(may_raise(BOB));
}

/* Told once, with what may help; the files are read through us. */
static void test_refused(void **state)
{
	const char *lines;

	(void)state;
	kernel_says = -ELOOP;
	assert_int_equal(pass(ALICE, true, false), 0);
	leave();
	assert_int_equal(closed, 0);
	lines = log_captured();
	assert_non_null(strstr(lines, "the kernel takes no passthrough of a plain file ("));
	assert_non_null(strstr(lines, "is its tier's directory on overlayfs"));
	assert_int_equal(pass(ALICE, true, false), 0);
	assert_string_equal(log_captured(), "");
	leave();
}

/* An open that is not counted is an error: it would have no kind. */
static void test_no_memory(void **state)
{
	unsigned long failed = 1;

	(void)state;
	if (!ALLOC_FAULTS)
		skip();
	assert_int_equal(pass(ALICE, false, false), 7); /* the file's descriptor is there */
	leave();
	passes_free(passes);
	for (unsigned long n = 1; failed; n++) {
		int rc, opens = 0;

		passes = NULL;
		opened = closed = 0;
		alloc_arm(n, false);
		rc = passes_new(&passes, DEVICE);
		if (rc == 0)
			opens = pass(ALICE, true, false);
		failed = alloc_disarm();
		if (rc < 0) {
			assert_int_equal(rc, -ENOMEM);
			assert_null(passes);
			continue;
		}
		assert_int_equal(opens, failed ? -ENOMEM : 7);
		assert_int_equal(opened, !failed);
		assert_true(!failed || may_raise(BOB));
		leave();
		assert_int_equal(closed, !failed);
		if (failed)
			passes_free(passes);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_shared),  TEST(test_without),	  TEST(test_modes),
		TEST(test_refused), TEST(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
