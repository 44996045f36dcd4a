// SPDX-License-Identifier: Apache-2.0
/*
 * terrace events: .terrace/events line by line. What is kept is read without blocking; following
 * then reads the same descriptor with blocking, so nothing is missed or shown twice.
 */
#include "tools/terrace/terrace.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tools/terrace/control.h"
#include "tools/terrace/mounts.h"
#include "tools/terrace/text.h"

#define FOLLOW_LINES 10u /* of what is kept, as tail(1) */

/* "2026-01-02T03:04:05.123456789Z" as local time. */
static void print_time(const char *text)
{
	struct tm tm = {.tm_isdst = 0}, here;
	char shown[32];
	time_t seconds;

	if (!strptime(text, "%Y-%m-%dT%H:%M:%S", &tm)) {
		printf("%-19s", text);
		return;
	}
	seconds = timegm(&tm);
	localtime_r(&seconds, &here);
	strftime(shown, sizeof(shown), "%Y-%m-%d %H:%M:%S", &here);
	fputs(shown, stdout);
}

/* ssd -> hdd, or one of them. */
static void print_tiers(const json_t *event)
{
	const char *from = control_text(event, "from"), *to = control_text(event, "to");
	char text[128];

	if (*control_text(event, "tier"))
		snprintf(text, sizeof(text), "%s", control_text(event, "tier"));
	else
		snprintf(text, sizeof(text), "%.60s%s%.60s", from, *from && *to ? " -> " : "", to);
	printf("  %-10s", text);
}

static void print_part(const json_t *event, const char *key)
{
	if (!*control_text(event, key))
		return;
	fputs("  ", stdout);
	print_json_name(stdout, json_object_get(event, key));
}

static void print_event(const json_t *event)
{
	static const char *const texts[] = {"state", "place", "setting", "why", "error"};
	char before[TEXT_CELL], after[TEXT_CELL];
	uint64_t missed = control_number(event, "missed");

	if (missed) {
		printf("(%" PRIu64 " events were missed)\n", missed);
		return;
	}
	print_time(control_text(event, "time"));
	printf("  %-8s", control_text(event, "kind"));
	print_tiers(event);
	printf(" %-8s", control_text(event, "reason"));
	if (control_number(event, "length"))
		printf(" %8s", text_size(control_number(event, "length"), false, before));
	if (json_object_get(event, "after"))
		printf(" (%s -> %s stored)",
		       text_size(control_number(event, "before"), false, before),
		       text_size(control_number(event, "after"), false, after));
	print_part(event, "path");
	if (!*control_text(event, "path") && control_number(event, "object"))
		printf("  object %" PRIu64, control_number(event, "object"));
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		print_part(event, texts[i]);
	putchar('\n');
}

static void print_line(const char *line, size_t len, bool json)
{
	json_t *event = json ? NULL : json_loadb(line, len, 0, NULL);

	if (event)
		print_event(event);
	else
		printf("%.*s\n", (int)len, line);
	json_decref(event);
}

/* Prints whole lines but for the first `skip`; what is left of the last one moves to the front. */
static void print_lines(char *text, size_t *len, uint64_t skip, bool json)
{
	char *at = text, *end;

	while ((end = memchr(at, '\n', *len - (size_t)(at - text)))) {
		if (skip)
			skip--;
		else
			print_line(at, (size_t)(end - at), json);
		at = end + 1;
	}
	*len -= (size_t)(at - text);
	memmove(text, at, *len);
}

/* All that is there now. *len: bytes; 0 or an errno. */
static int read_kept(int fd, char **text, size_t *len, size_t *cap)
{
	for (;;) {
		ssize_t got;

		if (*cap - *len < 65536) {
			char *more = realloc(*text, *cap ? 2 * *cap : 131072);

			if (!more)
				return ENOMEM;
			*text = more;
			*cap = *cap ? 2 * *cap : 131072;
		}
		got = read(fd, *text + *len, *cap - *len);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got < 0 && errno != EAGAIN ? errno : 0;
		*len += (size_t)got;
	}
}

static uint64_t count_lines(const char *text, size_t len)
{
	uint64_t lines = 0;

	for (size_t i = 0; i < len; i++)
		lines += text[i] == '\n';
	return lines;
}

static enum exit_code follow(const struct mount *mount, int fd, char *text, size_t len, size_t cap,
			     bool json)
{
	ssize_t got;

	if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK))
		return control_cannot(mount, "events");
	while (!fflush(stdout)) {
		/* No line is as long as the buffer: it has held a batch of them. */
		got = read(fd, text + len, cap - len);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 && (errno == ENODEV || errno == ECONNABORTED || errno == ECANCELED ||
				errno == ENOTCONN))
			return complain(EXIT_FAILED, "%s was unmounted", mount->point);
		if (got <= 0)
			return control_cannot(mount, "events");
		len += (size_t)got;
		print_lines(text, &len, 0, json);
	}
	return EXIT_DONE; /* main() says that the output is gone */
}

enum exit_code verb_events(const struct options *options)
{
	struct mount mount;
	enum exit_code code = mount_find(options->nargs ? options->args[0] : NULL, false, &mount);
	uint64_t lines, want = UINT64_MAX;
	size_t len = 0, cap = 0;
	char *text = NULL;
	int fd, r;

	if (code)
		return code;
	fd = control_open(&mount, "events", O_RDONLY | O_NONBLOCK);
	r = fd < 0 ? errno : read_kept(fd, &text, &len, &cap);
	if (has(options, OPTION_LINES))
		want = options->lines;
	else if (has(options, OPTION_FOLLOW))
		want = FOLLOW_LINES;
	if (r) {
		errno = r;
		code = control_cannot(&mount, "events");
	} else {
		lines = count_lines(text, len);
		print_lines(text, &len, lines > want ? lines - want : 0, has(options, OPTION_JSON));
		if (has(options, OPTION_FOLLOW))
			code = follow(&mount, fd, text, len, cap, has(options, OPTION_JSON));
	}
	if (fd >= 0)
		close(fd);
	free(text);
	mount_release(&mount);
	return code;
}
