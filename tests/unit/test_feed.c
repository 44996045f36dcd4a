// SPDX-License-Identifier: Apache-2.0
/* .terrace/events as a file: lines, paths, what a slow reader is told. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "fs/control.h"
#include "fs/feed.h"
#include "tests/unit/fix_fs.h"
#include "tiers/engine/engine.h"
#include "tiers/engine/events.h"

static void add_move(struct fix_fs *fix, uint64_t object)
{
	struct event event = {.kind = EVENT_MOVE,
			      .object = object,
			      .off = 4096,
			      .len = 1000,
			      .from = 1,
			      .to = 2,
			      .before = 900,
			      .after = 300,
			      .reason = REASON_FULL};

	events_add(pool_events(fix->pool.pool), &event);
}

/* One line, read in steps of `step` bytes. */
static json_t *next_line(struct feed *feed, size_t step)
{
	char line[8192], *end;
	size_t len = 0, got;
	json_t *json;

	do {
		assert_int_equal(feed_read(feed, line + len, step, &got), 0);
		assert_true(got >= 1 && got <= step);
		len += got;
		line[len] = '\0';
		assert_true(len + step + 1 < sizeof(line));
	} while (!(end = strchr(line, '\n')));
	assert_true(end == line + len - 1);
	json = json_loads(line, 0, NULL);
	assert_non_null(json);
	return json;
}

static const char *text(const json_t *json, const char *key)
{
	const char *value = json_string_value(json_object_get(json, key));

	return value ? value : "";
}

static json_int_t number(const json_t *json, const char *key)
{
	return json_is_integer(json_object_get(json, key))
		       ? json_integer_value(json_object_get(json, key))
		       : -1;
}

static void a_move_is_a_line(void **state)
{
	struct fix_fs *fix = *state;
	uint64_t d = fix_folder(fix, ROOT, "d"), f = fix_file(fix, d, "na\"me", "x");
	struct feed *feed;
	json_t *line;
	char buf[10];
	size_t got;

	assert_int_equal(feed_new(fix->fs, &feed), 0);
	assert_false(feed_ready(feed));
	assert_int_equal(feed_read(feed, buf, sizeof(buf), &got), -EAGAIN);
	add_move(fix, f);
	assert_true(feed_ready(feed));
	line = next_line(feed, 1);
	assert_false(feed_ready(feed));
	assert_int_equal(feed_read(feed, buf, sizeof(buf), &got), -EAGAIN);
	assert_int_equal(number(line, "event"), 1);
	assert_string_equal(text(line, "kind"), "move");
	assert_string_equal(text(line, "path"), "/d/na\"me");
	assert_string_equal(text(line, "reason"), "full");
	assert_string_equal(text(line, "from"), "ssd");
	assert_string_equal(text(line, "to"), "hdd");
	assert_int_equal(number(line, "object"), f);
	assert_int_equal(number(line, "offset"), 4096);
	assert_int_equal(number(line, "length"), 1000);
	assert_int_equal(number(line, "before"), 900);
	assert_int_equal(number(line, "after"), 300);
	assert_null(json_object_get(line, "error"));
	assert_true(strlen(text(line, "time")) == strlen("2026-01-01T00:00:00.000000000Z"));
	assert_true(strncmp(text(line, "time"), "20", 2) == 0);
	json_decref(line);
	feed_free(feed);
}

static void other_kinds_have_their_own_fields(void **state)
{
	struct fix_fs *fix = *state;
	struct event breaker = {
		.kind = EVENT_BREAKER, .from = 2, .to = -1, .error = -EIO, .text = "open"};
	struct event config = {
		.kind = EVENT_CONFIG, .from = -1, .to = -1, .text = "run_interval = 5s"};
	struct event place = {.kind = EVENT_PLACE, .from = -1, .to = 2, .text = "/d\xff/t"};
	struct feed *feed;
	json_t *line;

	assert_int_equal(feed_new(fix->fs, &feed), 0);
	events_add(pool_events(fix->pool.pool), &breaker);
	events_add(pool_events(fix->pool.pool), &config);
	events_add(pool_events(fix->pool.pool), &place);
	line = next_line(feed, 1);
	assert_string_equal(text(line, "kind"), "breaker");
	assert_string_equal(text(line, "tier"), "hdd");
	assert_string_equal(text(line, "state"), "open");
	assert_string_equal(text(line, "error"), "EIO");
	assert_null(json_object_get(line, "object"));
	assert_null(json_object_get(line, "from"));
	json_decref(line);
	line = next_line(feed, 1);
	assert_string_equal(text(line, "setting"), "run_interval = 5s");
	assert_null(json_object_get(line, "tier"));
	json_decref(line);
	line = next_line(feed, 1);
	assert_string_equal(text(line, "place"), "/d\xee\xbf\xbf/t");
	json_decref(line);
	feed_free(feed);
}

/* What is kept is read by who opens later, and each has a place of his own; who is too slow learns
 * how much he has missed, who comes late has missed nothing. */
static void readers_are_apart(void **state)
{
	struct fix_fs *fix = *state;
	struct feed *slow, *late;
	char *buf = malloc(1 << 20);
	json_t *line;
	size_t got;

	assert_int_equal(feed_new(fix->fs, &slow), 0);
	for (unsigned i = 0; i < 200; i++)
		add_move(fix, 1000000 + i);
	line = next_line(slow, 1);
	assert_int_equal(number(line, "event"), 1);
	assert_string_equal(text(line, "path"), ""); /* there is no such object */
	json_decref(line);
	for (unsigned i = 0; i < EVENTS_KEPT; i++)
		add_move(fix, 2000000 + i);
	assert_int_equal(feed_new(fix->fs, &late), 0);
	line = next_line(late, 1);
	assert_int_equal(number(line, "event"), 201);
	json_decref(line);
	do { /* the batch of lines that was made at the first read; then the gap */
		line = next_line(slow, 1);
		if (number(line, "missed") < 0)
			json_decref(line);
	} while (number(line, "missed") < 0);
	assert_int_equal(number(line, "missed"), 200 - 128);
	json_decref(line);
	line = next_line(slow, 1);
	assert_int_equal(number(line, "event"), 201);
	json_decref(line);
	got = 0;
	for (size_t all = 0, lines = 0; !feed_read(slow, buf, 1 << 20, &got); all += got) {
		for (size_t i = 0; i < got; i++)
			lines += buf[i] == '\n';
		assert_true(lines <= EVENTS_KEPT);
	}
	assert_false(feed_ready(slow));
	free(buf);
	feed_free(late);
	feed_free(slow);
}

static void the_file_is_a_stream(void **state)
{
	struct fix_fs *fix = *state;
	struct control_file *file;
	struct stat st;
	char buf[4096];
	size_t got;

	assert_int_equal(control_lookup(fix->fs->control, CONTROL_BASE, "events", &st), 0);
	assert_int_equal(control_open(fix->fs->control, st.st_ino, O_WRONLY, &file), -EPERM);
	assert_int_equal(control_open(fix->fs->control, st.st_ino, O_RDONLY, &file), 0);
	assert_true(control_is_stream(file));
	assert_false(control_ready(file));
	assert_int_equal(control_read(file, buf, sizeof(buf), 0, &got), -EAGAIN);
	add_move(fix, 7);
	assert_true(control_ready(file));
	assert_int_equal(control_read(file, buf, sizeof(buf), 12345, &got), 0);
	assert_true(got > 50 && buf[got - 1] == '\n');
	assert_int_equal(control_write(file, "x", 1), -EPERM);
	control_close(file);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, fix_fs_setup, fix_fs_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(a_move_is_a_line),
					   TEST(other_kinds_have_their_own_fields),
					   TEST(readers_are_apart), TEST(the_file_is_a_stream)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
