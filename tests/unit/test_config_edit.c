// SPDX-License-Identifier: Apache-2.0
/* Setting a key in a configuration file's text: only that changes, whatever the file looks like. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "tiers/config_edit.h"
#include "tiers/config_keys.h"

static void edits(const char *text, const char *section, const char *key, const char *value,
		  const char *expected)
{
	char *out;
	size_t len;
	int rc = config_edit_value(text, strlen(text), section, key, value, &out, &len);

	if (!expected) {
		assert_int_equal(rc, -ENOENT);
		assert_null(out);
		return;
	}
	assert_int_equal(rc, 0);
	assert_int_equal(len, strlen(expected));
	assert_string_equal(out, expected);
	assert_true(config_edit_has(out, len, section, key));
	free(out);
}

static void test_values(void **state)
{
	(void)state;
	/* Where it stands, with what is around it. */
	edits("[pool]\nthreads=1\n run_interval  =  1min ; often\n[tier a]\nhigh=1\n", "pool",
	      "run_interval", "2h",
	      "[pool]\nthreads=1\n run_interval  =  2h ; often\n[tier a]\nhigh=1\n");
	edits("[pool]\r\nrun_interval: 1min\r\n", "pool", "run_interval", "2h",
	      "[pool]\r\nrun_interval: 2h\r\n");
	edits("[pool]\nrun_interval=\n", "pool", "run_interval", "2h", "[pool]\nrun_interval=2h\n");
	edits("[pool]\nrun_interval = 5", "pool", "run_interval", "2h",
	      "[pool]\nrun_interval = 2h");
	/* In its own section only. */
	edits("[tier a]\nhigh = 90\n[tier b]\nhigh = 80\n[rule c]\nhigh = 1\n", "tier b", "high",
	      "70", "[tier a]\nhigh = 90\n[tier b]\nhigh = 70\n[rule c]\nhigh = 1\n");
	edits("[tier   b]\nhigh = 80\n", "tier b", "high", "70", "[tier   b]\nhigh = 70\n");
	edits("[tier bb]\nhigh=1\n[tier b]\nhigh = 80\n", "tier b", "high", "70",
	      "[tier bb]\nhigh=1\n[tier b]\nhigh = 70\n");
	edits("[tier b]\nhigh=1\n[tier bb]\nhigh = 80\n", "tier bb", "high", "70",
	      "[tier b]\nhigh=1\n[tier bb]\nhigh = 70\n");
	/* Not a key that only begins alike. */
	edits("[tier b]\nhigher = 80\nhigh = 1\n", "tier b", "high", "70",
	      "[tier b]\nhigher = 80\nhigh = 70\n");
	/* Not there yet: behind the default, else at the end of what the section says. */
	edits("[pool]\n# passes\n#run_interval = 1min\n\n# next\nthreads=1\n", "pool",
	      "run_interval", "2h",
	      "[pool]\n# passes\n#run_interval = 1min\nrun_interval = 2h\n\n# next\nthreads=1\n");
	edits("[pool]\nthreads=1\n\n# slow ones\n[tier b]\n", "pool", "run_interval", "2h",
	      "[pool]\nthreads=1\nrun_interval = 2h\n\n# slow ones\n[tier b]\n");
	edits("[tier b]\n[pool]", "pool", "run_interval", "2h",
	      "[tier b]\n[pool]\nrun_interval = 2h\n");
	/* The RAM tier need not be in the file. */
	edits("[pool]\nthreads=1\n\n[tier b]\npath=/b\n", "tier ram", "size", "1G",
	      "[pool]\nthreads=1\n\n[tier ram]\nsize = 1G\n\n[tier b]\npath=/b\n");
	edits("[pool]\n", "tier b", "high", "70", NULL);
	edits("", "pool", "run_interval", "1s", NULL);
}

static void test_has(void **state)
{
	static const char text[] = "[pool]\n#threads = 3\n; move_iops = 1\n[tier a]\nhigh = 90\n";

	(void)state;
	assert_true(config_edit_has(text, sizeof(text) - 1, "tier a", "high"));
	assert_false(config_edit_has(text, sizeof(text) - 1, "tier a", "low"));
	assert_false(config_edit_has(text, sizeof(text) - 1, "pool", "threads"));
	assert_false(config_edit_has(text, sizeof(text) - 1, "pool", "move_iops"));
	assert_false(config_edit_has(text, sizeof(text) - 1, "pool", "high"));
	assert_false(config_edit_has(text, sizeof(text) - 1, "tier b", "high"));
}

#define HEAD  "[pool]\nuuid = 00112233445566778899aabbccddeeff\n"
#define TIERS "[tier ssd]\npath = /a\n[tier hdd]\npath = /b\n"

/* Every live key goes over, as it was printed, and nothing else does. */
static void test_take_live(void **state)
{
	static const char other[] = HEAD
		"run_interval = 2h\nmove_window = Sat\nthreads = 7\n[tier ram]\nsize = 25%\n" TIERS
		"high = 70\nlow = 60\nmin_age = 3s\nframe = 64K\nblock = 4K\ncodec = lzma:3\n"
		"write_budget = 7G\n[rule a]\nmatch = /x\ntier = hdd\n";
	struct pool_config to, from;
	char message[512];

	(void)state;
	assert_int_equal(config_parse_text("/x", HEAD TIERS, strlen(HEAD TIERS), &to, message, 512),
			 0);
	assert_int_equal(config_parse_text("/x", other, strlen(other), &from, message, 512), 0);
	assert_int_equal(config_take_live(&to, &from), 0);
	assert_int_equal(to.run_interval_ns, from.run_interval_ns);
	assert_string_equal(to.move_window, "Sat");
	assert_int_equal(to.threads, 0);
	assert_int_equal(to.tiers[0].size_percent, 25);
	assert_int_equal(to.tiers[2].high_percent, 70);
	assert_int_equal(to.tiers[2].write_budget, 7ull << 30);
	assert_int_equal(to.tiers[2].codec.id, CODEC_LZMA);
	assert_int_equal(to.tiers[2].frame_bytes, 1 << 20);
	assert_int_equal(to.nrules, 1);
	assert_int_equal(to.rules[0].tier, 2);
	/* And back to what is not set at all. */
	config_release(&from);
	assert_int_equal(
		config_parse_text("/x", HEAD TIERS, strlen(HEAD TIERS), &from, message, 512), 0);
	assert_int_equal(config_take_live(&to, &from), 0);
	assert_null(to.move_window);
	assert_int_equal(to.tiers[2].write_budget, 0);
	assert_int_equal(to.nrules, 0);
	config_release(&to);
	config_release(&from);
}

static void put(const char *path, const char *text)
{
	FILE *file = fopen(path, "we");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static void holds(const char *path, const char *text)
{
	char *got;
	size_t len;

	assert_int_equal(config_edit_read(path, &got, &len), 0);
	assert_string_equal(got, text);
	free(got);
}

/* A configuration that is a link stays one, and a link that somebody has put where the new text is
 * prepared leads nowhere. */
static void test_replace_links(void **state)
{
	char dir[] = "/tmp/terrace-edit-XXXXXX", real[64], link[64], other[64], trap[96];
	bool replaced;
	struct stat st;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(real, sizeof(real), "%s/real", dir);
	snprintf(link, sizeof(link), "%s/link", dir);
	snprintf(other, sizeof(other), "%s/other", dir);
	snprintf(trap, sizeof(trap), "%s.%ld.new", real, (long)getpid());
	put(real, "old");
	put(other, "precious");
	assert_int_equal(symlink(real, link), 0);
	assert_int_equal(symlink(other, trap), 0);
	assert_int_equal(config_edit_replace(link, "new", 3, &replaced), 0);
	assert_true(replaced);
	holds(real, "new");
	holds(other, "precious");
	assert_int_equal(lstat(link, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(lstat(trap, &st), -1);
	unlink(real);
	unlink(link);
	unlink(other);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_has),
		cmocka_unit_test(test_take_live),
		cmocka_unit_test(test_replace_links),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
