// SPDX-License-Identifier: Apache-2.0
/*
 * The control folder. Invariants:
 *  1. A job that was started here is followed to its end or cancelled: Ctrl-C asks for the end and
 *     waits for it; a second Ctrl-C leaves the job to the daemon.
 *  2. st_size says nothing here (direct I/O): files are read until they end.
 */
#include "tools/terrace/control.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tools/terrace/progress.h"
#include "tools/terrace/text.h"

/* Between looks at a job: a sixteenth of the time it has taken so far, so that who waits for a
 * short one hardly waits for us. */
#define POLL_MIN_NS 1000000L
#define POLL_MAX_NS 100000000L
#define POLL_GROWTH 16

enum exit_code control_cannot(const struct mount *mount, const char *name)
{
	const char *hint = "";

	if (errno == EACCES || errno == EPERM)
		hint = "; it belongs to root and to who mounted the pool";
	else if (errno == ENOTCONN)
		hint = "; the daemon is gone: unmount and mount again";
	else if (errno == ENOENT)
		hint = "; is the daemon of another version?";
	return complain(errno == EBUSY ? EXIT_BUSY : EXIT_FAILED, "%s/.terrace/%s: %s%s",
			mount->point, name, strerror(errno), hint);
}

int control_open(const struct mount *mount, const char *name, int flags)
{
	char *path;
	int fd;

	if (asprintf(&path, "%s/.terrace/%s", strcmp(mount->point, "/") ? mount->point : "", name) <
	    0)
		return -1;
	fd = open(path, flags | O_CLOEXEC);
	free(path);
	return fd;
}

/* All that fd gives from its start, as a new string. */
static char *read_all(int fd)
{
	size_t cap = 4096, len = 0;
	char *text = malloc(cap), *more;
	ssize_t got;

	while (text && (got = pread(fd, text + len, cap - len - 1, (off_t)len)) != 0) {
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			free(text);
			return NULL;
		}
		len += (size_t)got;
		if (cap - len > 1)
			continue;
		cap *= 2;
		more = realloc(text, cap);
		if (!more)
			free(text);
		text = more;
	}
	if (text)
		text[len] = '\0';
	return text;
}

json_t *control_read(const struct mount *mount, const char *name)
{
	return control_read_opened(mount, name, control_open(mount, name, O_RDONLY));
}

json_t *control_read_opened(const struct mount *mount, const char *name, int fd)
{
	char *text = fd < 0 ? NULL : read_all(fd);
	json_error_t error;
	json_t *json = NULL;

	if (!text) {
		control_cannot(mount, name);
	} else {
		json = json_loads(text, 0, &error);
		if (!json)
			complain(EXIT_FAILED, "%s/.terrace/%s: %s", mount->point, name, error.text);
	}
	free(text);
	if (fd >= 0)
		close(fd);
	return json;
}

uint64_t control_number(const json_t *object, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(object, key));
}

const char *control_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

char *control_name(const json_t *object, const char *key)
{
	const json_t *name = json_object_get(object, key);

	return json_is_string(name) ? json_name_get(name) : strdup("");
}

enum exit_code control_check_tier(const struct mount *mount, const char *tier)
{
	json_t *stats = control_read(mount, "stats.json"), *row;
	enum exit_code code = EXIT_USAGE;
	char names[512] = "";
	size_t i, used = 0;

	if (!stats)
		return EXIT_FAILED;
	json_array_foreach(json_object_get(stats, "tiers"), i, row)
	{
		const char *name = control_text(row, "name");

		if (!strcmp(name, tier))
			code = EXIT_DONE;
		if (used < sizeof(names))
			used += (size_t)snprintf(names + used, sizeof(names) - used, " %s", name);
	}
	if (code)
		complain(code, "there is no tier '%s' in %s; there are:%s", tier, mount->point,
			 names);
	json_decref(stats);
	return code;
}

/* The reply on the descriptor that the request went to. */
static enum exit_code take_reply(const struct mount *mount, const char *name, int fd, int failed,
				 json_t **reply)
{
	char *text = read_all(fd);
	const char *why;
	enum exit_code code = EXIT_DONE;

	*reply = text ? json_loads(text, 0, NULL) : NULL;
	why = control_text(*reply, "error");
	errno = failed;
	if (why[0])
		code = complain(failed == EBUSY ? EXIT_BUSY : EXIT_FAILED, "%s: %s", mount->point,
				why);
	else if (failed)
		code = control_cannot(mount, name);
	else if (!*reply)
		code = complain(EXIT_FAILED, "%s/.terrace/%s: no reply", mount->point, name);
	free(text);
	return code;
}

enum exit_code control_request(const struct mount *mount, const char *name, const char *text,
			       json_t **reply)
{
	int fd = control_open(mount, name, O_RDWR);
	enum exit_code code;
	ssize_t put;

	*reply = NULL;
	if (fd < 0)
		return control_cannot(mount, name);
	put = write(fd, text, strlen(text));
	code = take_reply(mount, name, fd, put < 0 ? errno : 0, reply);
	close(fd);
	if (code) {
		json_decref(*reply);
		*reply = NULL;
	}
	return code;
}

enum exit_code control_submit(const struct mount *mount, json_t *request, uint64_t *job)
{
	char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;
	json_t *reply = NULL;
	enum exit_code code;

	json_decref(request);
	if (!text)
		return complain(EXIT_FAILED, "out of memory");
	code = control_request(mount, "jobs/new", text, &reply);
	*job = control_number(reply, "job");
	json_decref(reply);
	free(text);
	return code;
}

enum exit_code control_print_started(const struct options *options, uint64_t job)
{
	if (!has(options, OPTION_JSON))
		printf("%" PRIu64 "\n", job);
	else if (!json_print(json_pack("{sI}", "job", (json_int_t)job)))
		return complain(EXIT_FAILED, "out of memory");
	return EXIT_DONE;
}

static volatile sig_atomic_t interrupts;

static void on_interrupt(int number)
{
	(void)number;
	interrupts++;
}

enum exit_code control_steer(const struct mount *mount, uint64_t job, const char *word)
{
	enum exit_code code = EXIT_DONE;
	char name[32];
	int fd;

	snprintf(name, sizeof(name), "jobs/%" PRIu64, job);
	fd = control_open(mount, name, O_WRONLY);
	if (fd < 0 && errno == ENOENT)
		code = complain(EXIT_FAILED, "there is no job %" PRIu64 " in %s", job,
				mount->point);
	else if (fd < 0 || write(fd, word, strlen(word)) < 0)
		code = control_cannot(mount, name);
	if (fd >= 0)
		close(fd);
	return code;
}

bool control_job_ended(const json_t *job)
{
	const char *state = control_text(job, "state");

	return strcmp(state, "queued") != 0 && strcmp(state, "running") != 0 &&
	       strcmp(state, "paused") != 0;
}

enum exit_code control_judge(const struct mount *mount, const json_t *job)
{
	const char *state = control_text(job, "state"), *because;
	char *why = control_name(job, "error");
	enum exit_code code =
		control_number(job, "moved") || control_number(job, "directories_made")
			? EXIT_DONE
			: EXIT_NOTHING;

	because = why ? why : "";
	if (!strcmp(state, "cancelled"))
		code = complain(EXIT_FAILED, "cancelled; what had moved by then has moved");
	else if (strcmp(state, "done") != 0)
		code = complain(EXIT_FAILED, "%s: job %" PRIu64 ": %s", mount->point,
				control_number(job, "job"), *because ? because : state);
	else if (control_number(job, "failed_frames"))
		code = complain(EXIT_FAILED, "%s: %" PRIu64 " frames could not be moved%s%s",
				mount->point, control_number(job, "failed_frames"),
				*because ? ": " : "", because);
	free(why);
	return code;
}

/* Looks at a job until it has ended, is given up, or cannot be read: NULL. */
static json_t *watch(const struct mount *mount, uint64_t number, enum progress_mode mode)
{
	struct timespec pause = {.tv_nsec = POLL_MIN_NS};
	struct progress progress;
	bool cancelled = false;
	json_t *job;
	char name[32];

	snprintf(name, sizeof(name), "jobs/%" PRIu64, number);
	progress_init(&progress, mode);
	while ((job = control_read(mount, name))) {
		bool ended = control_job_ended(job);

		progress_show(&progress, control_text(job, "verb"),
			      control_number(job, "bytes_done"), control_number(job, "bytes_total"),
			      ended);
		if (ended || interrupts > 1)
			break;
		json_decref(job);
		if (interrupts && !cancelled) {
			control_steer(mount, number, "cancel");
			cancelled = true;
		}
		nanosleep(&pause, NULL);
		pause.tv_nsec += pause.tv_nsec / POLL_GROWTH;
		if (pause.tv_nsec > POLL_MAX_NS)
			pause.tv_nsec = POLL_MAX_NS;
	}
	return job;
}

static enum exit_code wait_end(const struct mount *mount, uint64_t number, enum progress_mode mode,
			       json_t **end)
{
	json_t *job = watch(mount, number, mode);
	enum exit_code code = EXIT_FAILED;

	*end = NULL;
	if (job && control_job_ended(job)) {
		*end = job;
		return EXIT_DONE;
	}
	if (job)
		complain(code, "job %" PRIu64 " goes on", number);
	else
		complain(code, "job %" PRIu64 " goes on when the pool is mounted again", number);
	json_decref(job);
	return code;
}

enum exit_code control_wait(const struct mount *mount, uint64_t number, enum progress_mode mode,
			    json_t **end)
{
	enum exit_code code = wait_end(mount, number, mode, end);

	return code ? code : control_judge(mount, *end);
}

enum exit_code control_watch(const struct mount *mount, uint64_t number, enum progress_mode mode,
			     json_t **end)
{
	struct sigaction action = {.sa_handler = on_interrupt}, before;
	enum exit_code code;

	sigaction(SIGINT, &action, &before);
	code = wait_end(mount, number, mode, end);
	sigaction(SIGINT, &before, NULL);
	return code;
}

enum exit_code control_follow(const struct mount *mount, uint64_t number, enum progress_mode mode,
			      json_t **end)
{
	enum exit_code code = control_watch(mount, number, mode, end);

	return code ? code : control_judge(mount, *end);
}
