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
/* Verifies every frame; may take days. */
#define JOB_SCRUB "scrub"

struct job {
	const struct job_kind *kind;
	int to;		     /* tier index, -1 = one up or down from where each file is */
	const char *to_name; /* the config's */
	json_t *paths;
	const char *tier_name;
	uint32_t tier; /* add-path, remove-path, evacuate */
	char *path;    /* ... a directory of the machine, not of the mount; evacuate: NULL, all of
			  the tier */
	bool closed;   /* evacuate has closed directory `place`, -1: all of the tier's */
	int place;
	bool resumed;  /* begun before, by this daemon or another: part of it may be done */
	char why[512]; /* when ended: what the error is about; "" = its name says it */
	struct move_progress progress;	     /* of the move under way */
	_Atomic uint64_t total, done, files; /* of moves that ended */
	_Atomic uint64_t failed_frames, places_made;
	_Atomic bool between;	    /* no move under way: do not add its progress */
	_Atomic uint64_t engine_ns; /* of moves that ended: CPU time of choosing and committing */
	_Atomic uint64_t moving_ns; /* ... and from begin to end */
	uint64_t began_ns;	    /* of the move under way */
	int error;		    /* when ended */
};

/* -EINVAL with message (a bad request, or a path that is not there; not so when job->resumed: it
 * may have gone). On error nothing is held. */
int job_parse(struct job *job, struct fs *fs, const char *text, size_t len, char *message,
	      size_t message_cap);
/* The request again, as text; malloc'd, or NULL. */
char *job_request(const struct job *job);
void job_release(struct job *job);
const char *job_verb(const struct job *job);
/* Is the inode one of those to be placed? / Adds it to a job that does not run yet; false: it is of
 * another kind, or full. */
bool job_place_has(const struct job *job, uint64_t id);
bool job_place_add(struct job *job, uint64_t id);
/* It takes so long that it is interrupted when another one waits, and goes on after it. */
bool job_gives_way(const struct job *job);
/* -ECANCELED, or the first error; what could be done has been done. May be called again after
 * -ECANCELED: goes on with what is left. */
int job_run(struct fs *fs, struct job *job);
/* It was cancelled for good: what it holds on to is let go (a directory closed for evacuation).
 * Short, and takes the pool's leaf locks only. */
void job_undo(struct fs *fs, struct job *job);
/* Everything but number, state and times. NULL: no memory. */
json_t *job_json(struct job *job, bool ended);
/* Says a path where job_json() has the number of an inode, if it has one by now. Takes locks. */
void job_json_name(struct fs *fs, json_t *json);

#endif
