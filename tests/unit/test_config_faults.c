// SPDX-License-Identifier: Apache-2.0
/*
 * Fault loop over memory for the configuration: the n-th allocation fails, once and from then on,
 * for n = 1, 2, 3, ... until a run is untouched. Each run ends with -ENOMEM, a message and an empty
 * result, or with the right result; nothing is lost.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/fix_alloc.h"
#include "tiers/config_keys.h"

static const char text[] =
	"[pool]\nuuid = 00112233445566778899aabbccddeeff\n"
	"[tier ssd]\npath = /a\npath = /b\ncodec = zstd:3\n[tier hdd]\npath = /c\n"
	"[rule a]\nmatch = /x/**\nmatch = *.y\nowner = 12\ntier = hdd\n[rule b]\nnever = hdd\n";

/* Each gives 0, or a negative errno, and leaves nothing allocated. */
static int run_parse(char *message, size_t cap)
{
	struct pool_config config;
	int error = config_parse_text("/x.conf", text, sizeof(text) - 1, &config, message, cap);

	if (!error &&
	    (config.ntiers != 3 || !config.name || strcmp(config.meta_path, "/a/meta") != 0))
		return -EPROTO;
	if (error && (config.ntiers || config.file))
		return -EPROTO;
	config_release(&config);
	return error;
}

static int run_wrong(char *message, size_t cap)
{
	static const char wrong[] = "[pool]\njournal_size = 1X\n";
	struct pool_config config;
	int error = config_parse_text("/x.conf", wrong, sizeof(wrong) - 1, &config, message, cap);

	return error == -EINVAL ? 0 : error;
}

static int run_command_line(char *message, size_t cap)
{
	struct pool_config config;
	char *printed = NULL;
	size_t len;
	int error;

	memset(&config, 0, sizeof(config));
	error = config_add_tier(&config, "ssd:path=rel,size=1G", message, cap);
	if (!error)
		error = config_finish(&config, message, cap);
	if (!error) {
		error = config_print(&config, &printed, &len);
		if (error)
			snprintf(message, cap, "print");
	}
	free(printed);
	config_release(&config);
	return error;
}

static int run_copy(char *message, size_t cap)
{
	struct pool_config config, copy;
	int error = config_parse_text("/x.conf", text, sizeof(text) - 1, &config, message, cap);

	if (error)
		return error;
	error = config_copy(&config, &copy);
	if (error && (copy.ntiers || copy.file))
		return -EPROTO;
	if (!error && strcmp(copy.tiers[1].paths[1], "/b") != 0)
		return -EPROTO;
	snprintf(message, cap, "copy");
	config_release(&copy);
	config_release(&config);
	return error;
}

static void loop(int (*run)(char *message, size_t cap))
{
	char message[512];
	unsigned long n;
	int forever, error;

	if (!ALLOC_FAULTS)
		skip();
	for (forever = 0; forever < 2; forever++) {
		for (n = 1;; n++) {
			message[0] = '\0';
			alloc_persistent = forever;
			alloc_countdown = n;
			alloc_failed = 0;
			alloc_live = 0;
			alloc_armed = true;
			error = run(message, sizeof(message));
			alloc_armed = false;
			assert_int_equal(alloc_live, 0);
			if (!alloc_failed)
				break;
			if (error) {
				assert_int_equal(error, -ENOMEM);
				assert_true(message[0]);
			}
			assert_true(n < 10000);
		}
		assert_int_equal(error, 0);
		assert_true(n > 3);
	}
}

static void test_reading(void **state)
{
	(void)state;
	loop(run_parse);
}

static void test_reading_what_is_wrong(void **state)
{
	(void)state;
	loop(run_wrong);
}

static void test_tiers_of_a_command_line(void **state)
{
	(void)state;
	loop(run_command_line);
}

static void test_copying(void **state)
{
	(void)state;
	loop(run_copy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reading),
		cmocka_unit_test(test_reading_what_is_wrong),
		cmocka_unit_test(test_tiers_of_a_command_line),
		cmocka_unit_test(test_copying),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
