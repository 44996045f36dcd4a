// SPDX-License-Identifier: Apache-2.0
/* Making a pool, with every call failing once: nothing stays that was made, and nothing goes that
 * was there. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/unit/fix_fault.h"
#include "tests/unit/fix_place.h"
#include "tests/unit/fix_pool.h"

static void run(const char *format, const char *a)
{
	char command[256];

	snprintf(command, sizeof(command), format, a);
	assert_int_equal(system(command), 0);
}

static void test_faults(void **state)
{
	char dir[] = "/var/tmp/terrace-test-XXXXXX", text[256], message[256];
	struct pool_config config = {0};
	uint64_t n;

	(void)state;
	assert_non_null(mkdtemp(dir));
	run("mkdir %s/ssd", dir);
	run("mkdir %s/meta", dir);
	run("mkdir %s/ram", dir);
	run("echo mine > %s/meta/notes", dir);
	snprintf(text, sizeof(text), "ram:path=%s/ram,size=16M", dir);
	assert_int_equal(config_add_tier(&config, text, message, sizeof(message)), 0);
	snprintf(text, sizeof(text), "ssd:path=%s/ssd", dir);
	assert_int_equal(config_add_tier(&config, text, message, sizeof(message)), 0);
	assert_true(asprintf(&config.meta_path, "%s/meta", dir) > 0);
	assert_int_equal(config_finish(&config, message, sizeof(message)), 0);
	quiet_begin();
	for (n = 1;; n++) {
		int rc;

		fault_arm(FAULT_OPEN | FAULT_PWRITE | FAULT_SYNC | FAULT_ALLOCATE | FAULT_TRUNCATE,
			  n, FAULT_ENOSPC, true);
		rc = pool_create(&config);
		if (!fault_disarm())
			break;
		run("test -f %s/meta/notes", dir);
		if (rc == 0) { /* what failed was of no matter; once more, from nothing */
			run("rm -r %s/ssd/*", dir);
			run("cd %s/meta && rm metadata.* journal.*", dir);
			continue;
		}
		run("test \"$(ls %s/meta)\" = notes", dir);
		run("test -z \"$(ls -A %s/ssd)\"", dir);
		run("test -z \"$(ls -A %s/ram)\"", dir);
	}
	quiet_end();
	assert_true(n > 10);
	run("test -f %s/meta/notes", dir);
	run("test -f %s/meta/metadata.mdb", dir);
	config_release(&config);
	run("rm -rf %s", dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_faults),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
