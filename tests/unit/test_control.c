// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "fs/control.h"
#include "tests/unit/fix_fs.h"

static uint64_t find(struct fix_fs *fix, const char *folder, const char *name)
{
	struct stat st;

	assert_int_equal(fs_lookup(fix->fs, ROOT, ".terrace", &st), 0);
	if (*folder)
		assert_int_equal(control_lookup(fix->fs->control, st.st_ino, folder, &st), 0);
	return control_lookup(fix->fs->control, st.st_ino, name, &st) ? 0 : st.st_ino;
}

static size_t read_all(struct control_file *file, char *buf, size_t cap)
{
	size_t len = 0, got;

	do { /* in small steps: offsets count */
		assert_int_equal(control_read(file, buf + len, 7, len, &got), 0);
		len += got;
		assert_true(len + 8 < cap);
	} while (got);
	buf[len] = '\0';
	return len;
}

static json_t *read_json(struct fix_fs *fix, uint64_t id)
{
	struct control_file *file;
	static char buf[65536];
	json_t *json;

	assert_int_equal(control_open(fix->fs->control, id, O_RDONLY, &file), 0);
	read_all(file, buf, sizeof(buf));
	control_close(file);
	json = json_loads(buf, 0, NULL);
	assert_non_null(json);
	return json;
}

static void stats(void **state)
{
	struct fix_fs *fix = *state;
	json_t *json, *tiers;
	int pid;

	fix_file(fix, ROOT, "f", "data");
	json = read_json(fix, find(fix, "", "stats.json"));
	assert_string_equal(json_string_value(json_object_get(json, "mount")), "/mnt");
	pid = (int)json_integer_value(json_object_get(json, "pid"));
	assert_int_equal(pid, getpid());
	assert_int_equal(json_integer_value(json_object_get(json, "objects")), 2);
	assert_int_equal(json_integer_value(json_object_get(json, "logical")), 4);
	assert_int_equal(strlen(json_string_value(json_object_get(json, "uuid"))), 32);
	tiers = json_object_get(json, "tiers");
	assert_int_equal(json_array_size(tiers), 3);
	assert_string_equal(json_string_value(json_object_get(json_array_get(tiers, 1), "name")),
			    "ssd");
	json_decref(json);
}

static void folder(void **state)
{
	struct fix_fs *fix = *state;
	struct control_file *file;
	static char buf[8192];
	struct stat st;

	assert_int_equal(fix_id(fix, ROOT, ".terrace"), CONTROL_BASE);
	assert_string_equal(fix_list(fix, ROOT, false), "");
	assert_int_equal(find(fix, "", "nothing"), 0);
	assert_int_equal(find(fix, "jobs", "1"), 0);
	assert_int_equal(find(fix, "jobs", "1x"), 0);
	assert_int_equal(find(fix, "jobs", "99999999999999999999999"), 0);
	assert_int_equal(control_getattr(fix->fs->control, CONTROL_BASE + 77, &st), -ENOENT);
	assert_int_equal(control_open(fix->fs->control, find(fix, "", "status"), O_WRONLY, &file),
			 -EPERM);
	assert_int_equal(control_open(fix->fs->control, CONTROL_BASE, O_RDONLY, &file), -EISDIR);
	assert_int_equal(control_open(fix->fs->control, find(fix, "", "status"), O_RDONLY, &file),
			 0);
	read_all(file, buf, sizeof(buf));
	assert_true(strstr(buf, "Tier ") == buf && strstr(buf, "\ncombined ") &&
		    strstr(buf, "\nhdd "));
	assert_int_equal(control_write(file, "x", 1), -EPERM);
	control_close(file);
}

static uint64_t request(struct fix_fs *fix, const char *text, bool good)
{
	struct control_file *file;
	uint64_t number;
	char reply[1024];
	json_t *json;

	assert_int_equal(control_open(fix->fs->control, find(fix, "jobs", "new"), O_RDWR, &file),
			 0);
	assert_int_equal(control_write(file, text, strlen(text)), good ? 0 : -EINVAL);
	read_all(file, reply, sizeof(reply));
	control_close(file);
	json = json_loads(reply, 0, NULL);
	assert_non_null(json);
	assert_true(good || json_is_string(json_object_get(json, "error")));
	number = (uint64_t)json_integer_value(json_object_get(json, "job"));
	json_decref(json);
	return number;
}

static json_t *wait_end(struct fix_fs *fix, uint64_t number)
{
	char name[24];

	snprintf(name, sizeof(name), "%llu", (unsigned long long)number);
	for (;;) {
		json_t *json = read_json(fix, find(fix, "jobs", name));
		const char *now = json_string_value(json_object_get(json, "state"));

		if (strcmp(now, "queued") != 0 && strcmp(now, "running") != 0)
			return json;
		json_decref(json);
		usleep(1000);
	}
}

static void jobs(void **state)
{
	struct fix_fs *fix = *state;
	uint64_t d = fix_folder(fix, ROOT, "d"), f = fix_file(fix, d, "f", "data data"), number;
	char tier[8];
	size_t len;
	json_t *json;

	number = request(fix, "{\"verb\":\"demote\",\"to\":\"hdd\",\"paths\":[\"/d\"]}", true);
	assert_int_equal(number, 1);
	json = wait_end(fix, number);
	assert_string_equal(json_string_value(json_object_get(json, "state")), "done");
	assert_true(json_is_null(json_object_get(json, "error")));
	assert_int_equal(json_integer_value(json_object_get(json, "files")), 1);
	assert_int_equal(json_integer_value(json_object_get(json, "moved")), 9);
	json_decref(json);
	assert_int_equal(fs_getxattr(fix->fs, f, "user.terrace.tier", tier, sizeof(tier), &len), 0);
	assert_memory_equal(tier, "hdd", 3);
	json_decref(
		wait_end(fix, request(fix, "{\"verb\":\"promote\",\"paths\":[\"/d/f\"]}", true)));
	assert_int_equal(fs_getxattr(fix->fs, f, "user.terrace.tier", tier, sizeof(tier), &len), 0);
	assert_memory_equal(tier, "ssd", 3);
	json_decref(wait_end(fix, request(fix, "{\"verb\":\"run\"}", true)));
	fix_content(fix, f, "data data");
}

static void bad_requests(void **state)
{
	struct fix_fs *fix = *state;
	static const char *const bad[] = {
		"",
		"{}",
		"no json",
		"[]",
		"{\"verb\":7}",
		"{\"verb\":\"dance\"}",
		"{\"verb\":\"demote\"}",
		"{\"verb\":\"demote\",\"paths\":[]}",
		"{\"verb\":\"demote\",\"paths\":\"/\"}",
		"{\"verb\":\"demote\",\"paths\":[7]}",
		"{\"verb\":\"demote\",\"paths\":[\"relative\"]}",
		"{\"verb\":\"demote\",\"paths\":[\"/\",\"/no \\\"such\\\" path\"]}",
		"{\"verb\":\"demote\",\"to\":\"nowhere\",\"paths\":[\"/\"]}",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		request(fix, bad[i], false);
}

static void ended_jobs_are_dropped(void **state)
{
	struct fix_fs *fix = *state;
	struct control_file *file;

	for (int i = 0; i < 40; i++)
		json_decref(wait_end(fix, request(fix, "{\"verb\":\"run\"}", true)));
	/* The last one is told to have ended just before the oldest goes. */
	for (int i = 0; i < 1000 && find(fix, "jobs", "8"); i++)
		usleep(10000);
	assert_int_equal(find(fix, "jobs", "8"), 0);
	assert_true(find(fix, "jobs", "9") && find(fix, "jobs", "40"));
	assert_int_equal(control_open(fix->fs->control, find(fix, "jobs", "40"), O_WRONLY, &file),
			 0);
	assert_int_equal(control_write(file, "cancel\n", 7), 0); /* too late, and no error */
	assert_int_equal(control_write(file, "stop", 4), -EINVAL);
	control_close(file);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, fix_fs_setup, fix_fs_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(stats), TEST(folder), TEST(jobs),
					   TEST(bad_requests), TEST(ended_jobs_are_dropped)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
