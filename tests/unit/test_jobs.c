// SPDX-License-Identifier: Apache-2.0
/* Jobs that last: over restarts, pauses, and with requests that take several records. Slow jobs are
 * made by a slow hdd. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "fs/control.h"
#include "fs/job_store.h"
#include "tests/unit/fix_fs.h"

#define SLOW (4u << 20) /* bytes per second */

static void set_speed(struct fix_fs *fix, uint64_t bandwidth)
{
	fix->pool.config.tiers[2].bandwidth = bandwidth;
	fix_fs_remount(fix);
}

static uint64_t node_of(struct fix_fs *fix, const char *name)
{
	struct stat st;

	assert_int_equal(control_lookup(fix->fs->control, CONTROL_BASE, "jobs", &st), 0);
	return control_lookup(fix->fs->control, st.st_ino, name, &st) ? 0 : st.st_ino;
}

static uint64_t node_of_job(struct fix_fs *fix, uint64_t number)
{
	char name[24];

	snprintf(name, sizeof(name), "%llu", (unsigned long long)number);
	return node_of(fix, name);
}

static json_t *job(struct fix_fs *fix, uint64_t number)
{
	uint64_t node = node_of_job(fix, number);
	struct control_file *file;
	char text[8192];
	json_t *json;
	size_t got;

	assert_true(node);
	assert_int_equal(control_open(fix->fs->control, node, O_RDONLY, &file), 0);
	assert_int_equal(control_read(file, text, sizeof(text) - 1, 0, &got), 0);
	control_close(file);
	text[got] = '\0';
	json = json_loads(text, 0, NULL);
	assert_non_null(json);
	assert_int_equal(json_integer_value(json_object_get(json, "job")), number);
	return json;
}

static bool is(struct fix_fs *fix, uint64_t number, const char *state)
{
	json_t *json = job(fix, number);
	bool same = !strcmp(json_string_value(json_object_get(json, "state")), state);

	json_decref(json);
	return same;
}

static void wait_state(struct fix_fs *fix, uint64_t number, const char *state)
{
	for (unsigned i = 0; i < 20000 && !is(fix, number, state); i++)
		usleep(1000);
	assert_true(is(fix, number, state));
}

static void wait_forgotten(struct fix_fs *fix, uint64_t number)
{
	for (unsigned i = 0; i < 20000 && node_of_job(fix, number); i++)
		usleep(1000);
	assert_false(node_of_job(fix, number));
}

static int steer(struct fix_fs *fix, uint64_t number, const char *word)
{
	struct control_file *file;
	int r;

	assert_int_equal(control_open(fix->fs->control, node_of_job(fix, number), O_WRONLY, &file),
			 0);
	r = control_write(file, word, strlen(word));
	control_close(file);
	return r;
}

static uint64_t submit_at(struct fix_fs *fix, const char *text, uint64_t off)
{
	struct control_file *file;
	unsigned long long number;
	char reply[200];
	size_t got;

	assert_int_equal(control_open(fix->fs->control, node_of(fix, "new"), O_RDWR, &file), 0);
	assert_int_equal(control_write(file, text, strlen(text)), 0);
	assert_int_equal(control_read(file, reply, sizeof(reply) - 1, off, &got), 0);
	reply[got] = '\0';
	assert_int_equal(sscanf(reply, "{\"job\":%llu}", &number), 1);
	assert_int_equal(control_read(file, reply, sizeof(reply), off + got, &got), 0);
	assert_int_equal(got, 0);
	control_close(file);
	return number;
}

static uint64_t submit(struct fix_fs *fix, const char *text)
{
	return submit_at(fix, text, 0);
}

/* A file of what cannot be compressed. */
static uint64_t noise(struct fix_fs *fix, const char *name, size_t len)
{
	uint64_t id = fix_file(fix, ROOT, name, "");
	char *buf = malloc(len);
	struct inode *inode;
	uint64_t x = 88172645463325252u;

	for (size_t i = 0; i < len; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		buf[i] = (char)x;
	}
	assert_int_equal(fs_file_open(fix->fs, id, O_RDWR, false, &inode), 0);
	for (size_t at = 0; at < len; at += 1 << 20)
		assert_int_equal(fs_write(fix->fs, inode, buf + at,
					  len - at < 1 << 20 ? len - at : 1 << 20, at, 0),
				 0);
	assert_int_equal(fs_fsync(fix->fs, inode), 0);
	fs_file_close(fix->fs, inode, O_RDWR);
	free(buf);
	return id;
}

static void assert_tier(struct fix_fs *fix, uint64_t id, const char *want)
{
	char tier[16] = "";
	size_t len;

	assert_int_equal(fs_getxattr(fix->fs, id, "user.terrace.tier", tier, sizeof(tier), &len),
			 0);
	assert_true(len == strlen(want) && !memcmp(tier, want, len));
}

#define DEMOTE(path) "{\"verb\":\"demote\",\"to\":\"hdd\",\"paths\":[\"" path "\"]}"

static void numbers_and_ended_jobs_outlive_the_mount(void **state)
{
	struct fix_fs *fix = *state;
	json_t *before, *after;

	fix_file(fix, ROOT, "f", "data");
	assert_int_equal(submit(fix, DEMOTE("/f")), 1);
	for (unsigned i = 2; i <= 40; i++)
		submit(fix, "{\"verb\":\"run\"}");
	wait_state(fix, 40, "done");
	before = job(fix, 40);
	fix_fs_remount(fix);
	assert_false(node_of_job(fix, 8));
	assert_true(node_of_job(fix, 9));
	after = job(fix, 40);
	assert_true(json_equal(before, after));
	assert_true(json_number_value(json_object_get(after, "ended")) >=
		    json_number_value(json_object_get(after, "started")));
	json_decref(before);
	json_decref(after);
	assert_int_equal(submit(fix, "{\"verb\":\"run\"}"), 41);
	wait_state(fix, 41, "done");
	wait_forgotten(fix, 9); /* a moment after it */
	fix_fs_crash(fix);
	assert_false(node_of_job(fix, 9));
	assert_true(node_of_job(fix, 10));
	assert_int_equal(submit(fix, "{\"verb\":\"run\"}"), 42);
	wait_state(fix, 42, "done");
}

static void what_has_not_ended_goes_on(void **state)
{
	struct fix_fs *fix = *state;
	uint64_t a = noise(fix, "a", 3 << 20), b = noise(fix, "b", 1000);
	json_t *json;

	set_speed(fix, SLOW);
	assert_int_equal(submit(fix, DEMOTE("/a")), 1);
	assert_int_equal(submit(fix, DEMOTE("/b")), 2);
	wait_state(fix, 1, "running");
	assert_true(is(fix, 2, "queued"));
	fix->pool.config.tiers[2].bandwidth = 0;
	fix_fs_crash(fix);
	wait_state(fix, 2, "done");
	json = job(fix, 1);
	assert_string_equal(json_string_value(json_object_get(json, "state")), "done");
	assert_string_equal(json_string_value(json_object_get(json, "what")), "/a");
	assert_int_equal(json_integer_value(json_object_get(json, "files")), 1);
	assert_int_equal(json_integer_value(json_object_get(json, "bytes_done")),
			 json_integer_value(json_object_get(json, "bytes_total")));
	json_decref(json);
	assert_tier(fix, a, "hdd");
	assert_tier(fix, b, "hdd");
}

static void a_paused_job_lets_others_run_and_stays_paused(void **state)
{
	struct fix_fs *fix = *state;
	uint64_t a = noise(fix, "a", 3 << 20), b = noise(fix, "b", 1000);

	set_speed(fix, SLOW);
	submit(fix, DEMOTE("/a"));
	submit(fix, DEMOTE("/b"));
	wait_state(fix, 1, "running");
	assert_int_equal(steer(fix, 1, "pause\n"), 0);
	wait_state(fix, 1, "paused");
	wait_state(fix, 2, "done");
	assert_tier(fix, b, "hdd");
	set_speed(fix, 0);
	assert_int_equal(submit(fix, "{\"verb\":\"run\"}"), 3);
	wait_state(fix, 3, "done");
	assert_true(is(fix, 1, "paused"));
	assert_int_equal(steer(fix, 1, "resume"), 0);
	wait_state(fix, 1, "done");
	assert_tier(fix, a, "hdd");
	assert_int_equal(steer(fix, 1, "pause"), 0); /* too late, and no error */
	assert_true(is(fix, 1, "done"));
	assert_int_equal(steer(fix, 1, "paused"), -EINVAL);
	assert_int_equal(steer(fix, 1, "paus"), -EINVAL);
}

static void a_cancelled_job_stays_cancelled(void **state)
{
	struct fix_fs *fix = *state;

	noise(fix, "a", 3 << 20);
	set_speed(fix, SLOW);
	submit(fix, DEMOTE("/a"));
	submit(fix, DEMOTE("/a"));
	submit(fix, DEMOTE("/a"));
	wait_state(fix, 1, "running");
	assert_int_equal(steer(fix, 2, "pause"), 0);
	assert_int_equal(steer(fix, 2, "cancel"), 0);
	assert_true(is(fix, 2, "cancelled"));
	assert_int_equal(steer(fix, 3, "cancel"), 0);
	assert_int_equal(steer(fix, 1, "cancel"), 0);
	wait_state(fix, 1, "cancelled");
	set_speed(fix, 0);
	for (uint64_t number = 1; number <= 3; number++)
		assert_true(is(fix, number, "cancelled"));
}

/* A request of several parts; and a path that goes while the job waits. */
static void long_requests_are_kept_whole(void **state)
{
	struct fix_fs *fix = *state;
	uint64_t last = noise(fix, "last", 1000);
	char *text = malloc(1 << 20);
	size_t len = (size_t)sprintf(text, "{\"verb\":\"demote\",\"to\":\"hdd\",\"paths\":[");
	json_t *json;

	noise(fix, "a", 3 << 20);
	fix_file(fix, ROOT, "this goes", "x");
	for (unsigned i = 0; i < 20000; i++)
		len += (size_t)sprintf(text + len, "\"/././a\",");
	sprintf(text + len, "\"/this goes\",\"/last\"]}");
	set_speed(fix, SLOW);
	submit(fix, DEMOTE("/a"));
	wait_state(fix, 1, "running");
	submit(fix, text);
	assert_int_equal(steer(fix, 2, "pause"), 0);
	set_speed(fix, 0);
	assert_int_equal(fs_unlink(fix->fs, ROOT, "this goes"), 0);
	fix_fs_crash(fix);
	assert_tier(fix, last, "ssd");
	assert_int_equal(steer(fix, 2, "resume"), 0);
	wait_state(fix, 2, "failed");
	assert_tier(fix, last, "hdd"); /* what is there has been moved all the same */
	json = job(fix, 2);
	assert_string_equal(json_string_value(json_object_get(json, "error")), strerror(ENOENT));
	assert_string_equal(json_string_value(json_object_get(json, "what")),
			    "/././a and 20001 more");
	json_decref(json);
	free(text);
}

static int count(void *arg, uint64_t number, const char *record, const char *request,
		 size_t request_len)
{
	size_t *bytes = arg;

	assert_true(number && *record == '{');
	assert_int_equal(strlen(request), request_len);
	*bytes += 1 + request_len;
	return 0;
}

/* Ended jobs keep no request; parts without a record are nothing, and go. */
static void nothing_is_left_behind(void **state)
{
	struct fix_fs *fix = *state;
	size_t bytes = 0;
	unsigned parts;

	fix_file(fix, ROOT, "f", "data");
	submit(fix, DEMOTE("/f"));
	wait_state(fix, 1, "done");
	usleep(20000); /* its record follows */
	assert_int_equal(job_store_request(fix->fs, 77, "half a job", 10, &parts), 0);
	assert_int_equal(parts, 1);
	fix_fs_remount(fix);
	assert_int_equal(job_store_each(fix->fs, count, &bytes), 0);
	assert_int_equal(bytes, 1);
	assert_int_equal(submit(fix, "{\"verb\":\"run\"}"), 2);
	wait_state(fix, 2, "done");
}

static void a_plain_read_gives_the_reply(void **state)
{
	struct fix_fs *fix = *state;

	assert_int_equal(submit_at(fix, "{\"verb\":\"run\"}", 14), 1);
	assert_int_equal(submit_at(fix, "{\"verb\":\"run\"}", 3), 2);
	assert_int_equal(submit_at(fix, "{\"verb\":\"run\"}", 0), 3);
	wait_state(fix, 3, "done");
}

static void evacuation(void **state)
{
	struct fix_fs *fix = *state;
	uint64_t a = noise(fix, "a", 1 << 20);
	char request[200];

	assert_tier(fix, a, "ssd");
	submit(fix, "{\"verb\":\"evacuate\",\"tier\":\"ssd\"}");
	wait_state(fix, 1, "done");
	assert_tier(fix, a, "hdd");
	fix_fs_remount(fix); /* open again */
	snprintf(request, sizeof(request), "{\"verb\":\"evacuate\",\"path\":\"%s\"}",
		 fix->pool.config.tiers[2].paths[0]);
	submit(fix, request);
	wait_state(fix, 2, "done");
	assert_tier(fix, a, "ssd");
}

/* What cannot be taken up any more has failed, and says why, whatever bytes a name in that has. */
static void what_cannot_be_taken_up(void **state)
{
	static const char request[] =
		"{\"verb\":\"evacuate\",\"path\":\"/gone\xee\xbf\xbf\"}"; /* \377 */
	static const char record[] =
		"{\"job\":7,\"verb\":\"evacuate\",\"state\":\"queued\",\"parts\":1}";
	struct fix_fs *fix = *state;
	unsigned parts;
	json_t *json;

	assert_int_equal(job_store_request(fix->fs, 7, request, strlen(request), &parts), 0);
	assert_int_equal(job_store_put(fix->fs, 7, record, strlen(record), 0), 0);
	fix_fs_remount(fix);
	json = job(fix, 7);
	assert_string_equal(json_string_value(json_object_get(json, "state")), "failed");
	assert_string_equal(json_string_value(json_object_get(json, "error")),
			    "/gone\xee\xbf\xbf is no directory of a tier");
	json_decref(json);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, fix_fs_setup, fix_fs_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(numbers_and_ended_jobs_outlive_the_mount),
		TEST(what_has_not_ended_goes_on),
		TEST(a_paused_job_lets_others_run_and_stays_paused),
		TEST(a_cancelled_job_stays_cancelled),
		TEST(long_requests_are_kept_whole),
		TEST(nothing_is_left_behind),
		TEST(a_plain_read_gives_the_reply),
		TEST(evacuation),
		TEST(what_cannot_be_taken_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
