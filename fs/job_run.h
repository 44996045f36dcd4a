/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One job: what a request says, doing it, and how far it is. The table of verbs is in job_run.c.
 * Threads: job_run() on one; meanwhile others may call job_json() and set progress.cancel.
 */
#ifndef TERRACE_FS_JOB_RUN_H
#define TERRACE_FS_JOB_RUN_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tiers/pool.h"

struct fs;
struct job_kind;

/* Puts files where their settings want them; also asked for whenever one is set. Its paths may be
 * numbers of inodes: those outlive renames. */
#define JOB_PLACE "place"

struct job {
	const struct job_kind *kind;
	int to;		     /* tier index, -1 = one up or down from where each file is */
	const char *to_name; /* the config's */
	json_t *paths;
	uint32_t tier; /* add-path, remove-path */
	char *path;    /* ... a directory of the machine, not of the mount */
	char why[512]; /* when ended: what the error is about; "" = its name says it */
	struct move_progress progress;	     /* of the move under way */
	_Atomic uint64_t total, done, files; /* of moves that ended */
	_Atomic uint64_t failed_frames;
	_Atomic bool between;	    /* no move under way: do not add its progress */
	_Atomic uint64_t engine_ns; /* of moves that ended: CPU time of choosing and committing */
	_Atomic uint64_t moving_ns; /* ... and from begin to end */
	uint64_t began_ns;	    /* of the move under way */
	int error;		    /* when ended */
};

/* -EINVAL with message (a bad request, or a path that is not there). On error nothing is held. */
int job_parse(struct job *job, struct fs *fs, const char *text, size_t len, char *message,
	      size_t message_cap);
void job_release(struct job *job);
const char *job_verb(const struct job *job);
/* Is the inode one of those to be placed? / Adds it to a job that does not run yet; false: it is of
 * another kind, or full. */
bool job_place_has(const struct job *job, uint64_t id);
bool job_place_add(struct job *job, uint64_t id);
/* -ECANCELED, or the first error; what could be done has been done. */
int job_run(struct fs *fs, struct job *job);
/* Everything but number and state. NULL: no memory. */
json_t *job_json(struct job *job, bool ended);

#endif
