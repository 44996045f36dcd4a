/* SPDX-License-Identifier: Apache-2.0 */
/* MNT/.terrace/: the daemon's statistics and its jobs. One thread. */
#ifndef TERRACE_TOOLS_CONTROL_H
#define TERRACE_TOOLS_CONTROL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "tools/terrace/mounts.h"

/* Opens one of the folder's files: a descriptor, or -1 and errno. */
int control_open(const struct mount *mount, const char *name, int flags);
/* Says why it cannot be used, from errno. */
enum exit_code control_cannot(const struct mount *mount, const char *name);
/* Reads one of the folder's files whole, as JSON; NULL after a line on stderr. */
json_t *control_read(const struct mount *mount, const char *name);
/* The same of one that was to be opened: fd, which is closed, or -1 and errno. */
json_t *control_read_opened(const struct mount *mount, const char *name, int fd);
/* A number of an object, 0 when it is not there. */
uint64_t control_number(const json_t *object, const char *key);
/* Text of an object, "" when it is not there. */
const char *control_text(const json_t *object, const char *key);
/* A name of an object (json_name()): malloc'd, "" when it is not there; NULL: no memory. */
char *control_name(const json_t *object, const char *key);
/* Is there a tier of this name? If not, says which there are. */
enum exit_code control_check_tier(const struct mount *mount, const char *tier);

/* Writes a request to one of the folder's files and takes the reply, which is {"error": TEXT} or
 * something else. Done: *reply is the caller's (never NULL); failed: a line on stderr. */
enum exit_code control_request(const struct mount *mount, const char *name, const char *text,
			       json_t **reply);
/* Hands a request to jobs/new. Takes the reference. */
enum exit_code control_submit(const struct mount *mount, json_t *request, uint64_t *job);
/* --async: the job's number, alone on a line, or as JSON. */
enum exit_code control_print_started(const struct options *options, uint64_t job);
/* Writes "cancel", "pause" or "resume" to a job. */
enum exit_code control_steer(const struct mount *mount, uint64_t job, const char *word);
bool control_job_ended(const json_t *job);
/* What an ended job comes to, said on stderr when it is not "done". */
enum exit_code control_judge(const struct mount *mount, const json_t *job);
/*
 * Follows a job to its end, with progress on stderr; Ctrl-C cancels it. *end: the job's last
 * record (the caller's), also when it failed. The code: done, failed, or nothing to do.
 */
enum exit_code control_follow(const struct mount *mount, uint64_t job, enum progress_mode mode,
			      json_t **end);
/* The same, without a word about how it ended unless it cannot be followed. */
enum exit_code control_watch(const struct mount *mount, uint64_t job, enum progress_mode mode,
			     json_t **end);
/* As control_follow(), of somebody else's job: Ctrl-C ends the waiting only. */
enum exit_code control_wait(const struct mount *mount, uint64_t job, enum progress_mode mode,
			    json_t **end);

#endif
