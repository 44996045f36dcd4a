// SPDX-License-Identifier: Apache-2.0
/* A configuration is written whole or not at all, and never over another one, also where the
 * filesystem knows no rename that does not replace (NFS), and without memory. */
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/unit/fix_alloc.h"
#include "tests/unit/fix_dir.h"
#include "tests/unit/fix_fault.h"
#include "tests/unit/fix_place.h"
#include "tiers/config.h"
#include "tiers/io.h"

static char folder[] = "/dev/shm/terrace-config-XXXXXX";
static char file[64];
static struct pool_config config;
static int kernel_says; /* of a rename that does not replace; 0: it knows it */

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
	if (!kernel_says)
		return (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
	errno = kernel_says;
	return -1;
}

static int setup(void **state)
{
	char message[256];

	(void)state;
	log_capture();
	if (!mkdtemp(folder) || config_add_tier(&config, "ssd:path=/a", message, sizeof(message)))
		return -1;
	snprintf(file, sizeof(file), "%s/p.conf", folder);
	return config_finish(&config, message, sizeof(message));
}

static int teardown(void **state)
{
	(void)state;
	config_release(&config);
	log_release();
	return rmdir(folder);
}

static unsigned files(void)
{
	DIR *stream = opendir(folder);
	const struct dirent *entry;
	unsigned n = 0;

	assert_non_null(stream);
	while ((entry = readdir(stream)))
		n += entry->d_name[0] != '.';
	closedir(stream);
	return n;
}

static void loads(const char *path)
{
	struct pool_config back;
	char message[256];

	if (config_load(path, &back, message, sizeof(message)))
		fail_msg("%s", message);
	assert_string_equal(back.tiers[1].paths[0], "/a");
	config_release(&back);
}

static void test_without_the_flag(void **state)
{
	static const int unknown[] = {EINVAL, ENOSYS};

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		kernel_says = unknown[i];
		assert_int_equal(config_save_new(&config, file), 0);
		assert_int_equal(files(), 1);
		loads(file);
		assert_int_equal(unlink(file), 0);
	}
	kernel_says = 0;
}

static int make_in_between(int fd)
{
	place_write(file, (const uint8_t *)"another's", 9);
	return io_ops_system.fsync(fd);
}

/* Somebody makes a file of that name while ours is being written. */
static void test_never_over_another(void **state)
{
	struct io_ops ops = io_ops_system;
	uint8_t *bytes;
	uint64_t len;

	(void)state;
	ops.fsync = make_in_between;
	for (unsigned i = 0; i < 2; i++) {
		kernel_says = i ? EINVAL : 0;
		io_ops_set(&ops);
		assert_int_equal(config_save_new(&config, file), -EEXIST);
		io_ops_set(NULL);
		assert_int_equal(files(), 1);
		bytes = place_read(file, &len);
		assert_int_equal(len, 9);
		assert_memory_equal(bytes, "another's", 9);
		free(bytes);
		assert_int_equal(unlink(file), 0);
	}
	kernel_says = 0;
}

static void test_refused(void **state)
{
	(void)state;
	kernel_says = EACCES;
	log_captured();
	assert_int_equal(config_save_new(&config, file), -EACCES);
	assert_non_null(strstr(log_captured(), "p.conf: cannot write the configuration: Perm"));
	assert_int_equal(files(), 0);
	kernel_says = 0;
}

/* Beside what is where the program runs, and in the root. */
static void test_folders(void **state)
{
	char *here = getcwd(NULL, 0);

	(void)state;
	assert_int_equal(chdir(folder), 0);
	assert_int_equal(config_save_new(&config, "p.conf"), 0);
	loads(file);
	assert_int_equal(unlink("p.conf"), 0);
	assert_int_equal(chdir(here), 0);
	free(here);
	assert_int_equal(config_save_new(&config, "/tmp"), -EEXIST);
}

static void test_no_memory(void **state)
{
	unsigned long failed = 1;

	(void)state;
	if (!ALLOC_FAULTS)
		skip();
	for (unsigned long n = 1; failed; n++) {
		int fds = fault_open_fds(), rc;

		alloc_arm(n, n % 2);
		rc = config_save_new(&config, file);
		failed = alloc_disarm();
		assert_int_equal(alloc_live, 0);
		assert_int_equal(fault_open_fds(), fds);
		assert_int_equal(rc, failed ? -ENOMEM : 0);
		assert_int_equal(files(), !failed);
	}
	loads(file);
	assert_int_equal(unlink(file), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_without_the_flag), cmocka_unit_test(test_never_over_another),
		cmocka_unit_test(test_refused),		 cmocka_unit_test(test_folders),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
