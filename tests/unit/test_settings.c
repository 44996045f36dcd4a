// SPDX-License-Identifier: Apache-2.0
/* Settings of a mounted filesystem: shown with their source, changed one by one and in the file,
 * and read again from it; what is refused changes nothing. */
#include <errno.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "fs/policy.h"
#include "fs/settings.h"
#include "tests/unit/fix_fs.h"
#include "tiers/config_edit.h"
#include "tiers/config_keys.h"
#include "tiers/tunables.h"

#define SECOND UINT64_C(1000000000)

static char file[96];
static char message[512];

static void put_file(const char *text)
{
	FILE *out = fopen(file, "w");

	assert_non_null(out);
	fputs(text, out);
	assert_int_equal(fclose(out), 0);
}

/* The pool's own configuration as a file that it was read from, with a comment of somebody's. */
static int setup(void **state)
{
	struct fix_fs *fix;
	char *text, *more;
	size_t len;

	fix_fs_setup(state);
	fix = *state;
	snprintf(file, sizeof(file), "%s/pool.conf", fix->pool.dir);
	assert_int_equal(config_print(&fix->pool.config, &text, &len), 0);
	assert_true(asprintf(&more, "; mine\n%s", text) > 0);
	put_file(more);
	free(more);
	free(text);
	fix->pool.config.file = strdup(file);
	fix->pool.config.name = strdup("pool");
	fix_fs_remount(fix);
	return 0;
}

static int teardown(void **state)
{
	unlink(file);
	return fix_fs_teardown(state);
}

static char *get_file(void)
{
	char *text;
	size_t len;

	assert_int_equal(config_edit_read(file, &text, &len), 0);
	return text;
}

static int change(struct fix_fs *fix, const char *text)
{
	message[0] = '\0';
	return settings_change(fix->fs->settings, text, strlen(text), message, sizeof(message));
}

/* "VALUE SOURCE" of a key as shown. */
static const char *shown(struct fix_fs *fix, const char *key)
{
	static char buf[128];
	char *text = settings_json(fix->fs->settings);
	json_t *root = json_loads(text, 0, NULL), *row;
	size_t i;

	assert_non_null(root);
	strcpy(buf, "-");
	json_array_foreach(json_object_get(root, "settings"), i, row)
	{
		if (strcmp(json_string_value(json_object_get(row, "key")), key) != 0)
			continue;
		snprintf(buf, sizeof(buf), "%s %s",
			 json_string_value(json_object_get(row, "value")),
			 json_string_value(json_object_get(row, "source")));
	}
	json_decref(root);
	free(text);
	return buf;
}

static struct tunables now(struct fix_fs *fix)
{
	struct tunables tunables;

	pool_tunables(fix->pool.pool, &tunables);
	return tunables;
}

static void test_set(void **state)
{
	struct fix_fs *fix = *state;
	struct pool_config back;
	char *text;

	assert_string_equal(shown(fix, "run_interval"), "1min default");
	assert_string_equal(shown(fix, "ssd.codec"), "lz4:1 file");
	assert_int_equal(change(fix, "{\"set\":{\"run_interval\":\"10s\",\"ssd.high\":\"95%\","
				     "\"hdd.codec\":\"lzma:3\",\"ram.size\":\"100M\","
				     "\"move_window\":\"Sat, Sun\",\"move_iops\":77}}"),
			 0);
	assert_int_equal(now(fix).run_interval_ns, 10 * SECOND);
	assert_int_equal(now(fix).tiers[1].high_percent, 95);
	assert_int_equal(now(fix).tiers[1].low_percent, 80);
	assert_int_equal(now(fix).tiers[2].codec.id, CODEC_LZMA);
	assert_int_equal(now(fix).ram_bytes, 100 << 20);
	assert_int_equal(now(fix).move_iops, 77);
	assert_string_equal(shown(fix, "run_interval"), "10s file");
	assert_string_equal(shown(fix, "ram.size"), "100M file");
	text = get_file();
	assert_memory_equal(text, "; mine\n", 7);
	assert_non_null(strstr(text, "\n#run_interval = 1min\nrun_interval = 10s\n"));
	free(text);
	assert_int_equal(config_load(file, &back, message, sizeof(message)), 0);
	assert_int_equal(back.tiers[1].high_percent, 95);
	assert_string_equal(back.move_window, "Sat, Sun");
	config_release(&back);
	/* For the run time only: not in the file. */
	assert_int_equal(change(fix, "{\"set\":{\"run_interval\":\"20s\"},\"runtime\":true}"), 0);
	assert_int_equal(now(fix).run_interval_ns, 20 * SECOND);
	assert_string_equal(shown(fix, "run_interval"), "20s run time");
	text = get_file();
	assert_null(strstr(text, "20s"));
	free(text);
}

/* Who sets high alone means low to come along, until somebody has set that. */
static void test_low_follows(void **state)
{
	struct fix_fs *fix = *state;
	struct pool_config back;

	assert_int_equal(change(fix, "{\"set\":{\"ssd.high\":\"50%\"}}"), 0);
	assert_int_equal(now(fix).tiers[1].low_percent, 40);
	assert_string_equal(shown(fix, "ssd.low"), "40% default");
	assert_int_equal(config_load(file, &back, message, sizeof(message)), 0);
	assert_int_equal(back.tiers[1].low_percent, 40);
	config_release(&back);
	assert_int_equal(change(fix, "{\"set\":{\"ssd.high\":\"85%\"}}"), 0);
	assert_int_equal(now(fix).tiers[1].low_percent, 75);
	assert_int_equal(change(fix, "{\"set\":{\"ssd.high\":\"95%\"}}"), 0);
	assert_int_equal(now(fix).tiers[1].low_percent, 80);
	assert_int_equal(
		change(fix,
		       "{\"set\":{\"ssd.low\":\"60%\",\"ssd.high\":\"85%\"},\"runtime\":true}"),
		0);
	assert_int_equal(now(fix).tiers[1].low_percent, 60);
	assert_int_equal(change(fix, "{\"set\":{\"ssd.high\":\"50%\"}}"), -EINVAL);
	assert_non_null(strstr(message, "low (60%) should be below high (50%)"));
	assert_int_equal(change(fix, "{\"set\":{\"hdd.low\":\"80%\"}}"), 0);
	assert_int_equal(change(fix, "{\"set\":{\"hdd.high\":\"70%\"}}"), -EINVAL);
	assert_int_equal(now(fix).tiers[2].high_percent, 90);
}

static void test_refused(void **state)
{
	static const struct {
		const char *request, *word;
	} wrong[] = {
		{"", "not a request"},
		{"{}", "not a request"},
		{"[1]", "not a request"},
		{"{\"set\":{}}", "not a request"},
		{"{\"set\":{\"fast\":\"1\"}}", "'fast' is no setting"},
		{"{\"set\":{\"ssd.fast\":\"1\"}}", "'ssd.fast' is no setting"},
		{"{\"set\":{\"sdd.high\":\"1\"}}", "tiers are: ram ssd hdd"},
		{"{\"set\":{\"ram.high\":\"1\"}}", "no setting"},
		{"{\"set\":{\"threads\":\"1\"}}", "threads cannot change while"},
		{"{\"set\":{\"uuid\":\"1\"}}", "uuid cannot change while"},
		{"{\"set\":{\"ssd.frame\":\"64K\"}}", "ssd.frame cannot change"},
		{"{\"set\":{\"ssd.size\":\"64M\"}}", "ssd.size cannot change"},
		{"{\"set\":{\"ssd.path\":\"/x\"}}", "terrace config"},
		{"{\"set\":{\"ssd.high\":\"101%\"}}", "ssd.high: high '101%': should be"},
		{"{\"set\":{\"ssd.high\":\"70%\",\"ssd.low\":\"75%\"}}", "tier ssd: low (75%)"},
		{"{\"set\":{\"run_interval\":true}}", "should have a text or a number"},
		{"{\"set\":{\"run_interval\":\"7s\",\"move_window\":\"noon\"}}", "move_window"},
		{"{\"set\":{\"run_interval\":\"7s\\n[x]\"}}", "run_interval"},
	};
	struct fix_fs *fix = *state;
	char *before = get_file(), *after;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		assert_int_equal(change(fix, wrong[i].request), -EINVAL);
		if (!strstr(message, wrong[i].word))
			fail_msg("%s: '%s' should say '%s'", wrong[i].request, message,
				 wrong[i].word);
	}
	after = get_file();
	assert_string_equal(before, after);
	assert_int_equal(now(fix).run_interval_ns, 60 * SECOND);
	assert_int_equal(now(fix).tiers[1].high_percent, 90);
	free(before);
	free(after);
}

/* The file cannot be changed, or is not what it was: nothing changes, but for the run time. */
static void test_file_in_the_way(void **state)
{
	struct fix_fs *fix = *state;
	char *before = get_file();

	put_file("[pool]\nuuid = 00112233445566778899aabbccddeeff\n[tier ssd]\npath=/x\n[tier "
		 "hdd]\npath=/y\n");
	assert_int_equal(change(fix, "{\"set\":{\"run_interval\":\"7s\"}}"), -EINVAL);
	assert_non_null(strstr(message, "not this pool's"));
	put_file("[pool\n");
	assert_int_equal(change(fix, "{\"set\":{\"run_interval\":\"7s\"}}"), -EINVAL);
	unlink(file);
	assert_int_equal(change(fix, "{\"set\":{\"run_interval\":\"7s\"}}"), -ENOENT);
	assert_int_equal(now(fix).run_interval_ns, 60 * SECOND);
	assert_int_equal(change(fix, "{\"set\":{\"run_interval\":\"7s\"},\"runtime\":true}"), 0);
	assert_int_equal(now(fix).run_interval_ns, 7 * SECOND);
	put_file(before);
	free(before);
}

static void edit_file(const char *section, const char *key, const char *value)
{
	char *text = get_file(), *out;
	size_t len;

	assert_int_equal(config_edit_value(text, strlen(text), section, key, value, &out, &len), 0);
	put_file(out);
	free(out);
	free(text);
}

static void append_file(const char *more)
{
	FILE *out = fopen(file, "a");

	assert_non_null(out);
	fputs(more, out);
	assert_int_equal(fclose(out), 0);
}

static void test_reload(void **state)
{
	struct fix_fs *fix = *state;
	uint64_t f = fix_file(fix, ROOT, "f.raw", "data");
	struct object_policy policy;
	struct stat st;

	assert_int_equal(change(fix, "{\"set\":{\"move_iops\":5},\"runtime\":true}"), 0);
	edit_file("pool", "run_interval", "33s");
	edit_file("pool", "threads", "9"); /* counts from the next mount on */
	edit_file("tier hdd", "high", "85");
	append_file("[rule raw]\nmatch = *.raw\ntier = hdd\n");
	assert_int_equal(fs_reload(fix->fs), 0);
	assert_int_equal(now(fix).run_interval_ns, 33 * SECOND);
	assert_int_equal(now(fix).tiers[2].high_percent, 85);
	assert_int_equal(now(fix).move_iops, 0);
	assert_string_equal(shown(fix, "run_interval"), "33s file");
	assert_string_equal(shown(fix, "threads"), "0 mount"); /* the file says otherwise */
	policy_effective(fix->fs->policy, f, 0, &policy);
	assert_int_equal(policy.tier, 2);
	/* A mistake anywhere: all stays, rules too. */
	edit_file("pool", "run_interval", "44s");
	append_file("[rule x]\ntier = nowhere\n");
	assert_int_equal(change(fix, "{\"reload\":true}"), -EINVAL);
	assert_non_null(strstr(message, "no such tier"));
	assert_int_equal(now(fix).run_interval_ns, 33 * SECOND);
	policy_effective(fix->fs->policy, f, 0, &policy);
	assert_int_equal(policy.tier, 2);
	/* And it can still be set one by one once the file is right again. */
	append_file("[tier nowhere]\npath=/nowhere\n");
	assert_int_equal(change(fix, "{\"reload\":true}"), -EINVAL); /* other tiers */
	assert_int_equal(now(fix).run_interval_ns, 33 * SECOND);
	/* With a symbolic link in its place, or unreadable, the same. */
	unlink(file);
	assert_int_equal(fs_reload(fix->fs), -ENOENT);
	assert_int_equal(now(fix).run_interval_ns, 33 * SECOND);
	assert_int_not_equal(stat(file, &st), 0);
}

/* Mode and owner stay; so does a pool whose file nobody may write, when told so. */
static void test_mode(void **state)
{
	struct fix_fs *fix = *state;
	struct stat st;

	assert_int_equal(chmod(file, 0640), 0);
	assert_int_equal(change(fix, "{\"set\":{\"move_iops\":5}}"), 0);
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(test_set),     TEST(test_low_follows),
					   TEST(test_refused), TEST(test_file_in_the_way),
					   TEST(test_reload),  TEST(test_mode)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
