/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Jobs: what people ask the tier engine to do, one after another on a thread of their own. The
 * queue and the last JOBS_KEPT ended ones are kept. Numbers are 1, 2, 3 ... since the mount.
 * Threads: any.
 */
#ifndef TERRACE_FS_JOBS_H
#define TERRACE_FS_JOBS_H

#include <stddef.h>
#include <stdint.h>

#define JOBS_KEPT   32u
#define JOBS_QUEUED 1024u /* more than this many waiting: -EBUSY */

enum job_state { JOB_QUEUED, JOB_RUNNING, JOB_DONE, JOB_FAILED, JOB_CANCELLED, JOB_STATES };

struct fs;
struct jobs;

int jobs_new(struct fs *fs, struct jobs **out);
/* Cancels and waits. */
void jobs_free(struct jobs *jobs);

/* Parses and queues a request (JSON). -EINVAL with a reason in message; -ENOMEM, -EBUSY. */
int jobs_submit(struct jobs *jobs, const char *text, size_t len, uint64_t *number, char *message,
		size_t message_cap);
/* Queues the inode to be placed where its settings want it, with others that wait for that. -EBUSY,
 * -ENOMEM: the tier engine will find it. */
int jobs_place(struct jobs *jobs, uint64_t id);
/* The last job that is to place, or has placed, exactly this inode; 0 = none that is kept. */
uint64_t jobs_placing(struct jobs *jobs, uint64_t id);
/* -ENOENT. An ended job is left as it is. */
int jobs_cancel(struct jobs *jobs, uint64_t number);
/* The job's JSON text, malloc'd; -ENOENT, -ENOMEM. */
int jobs_text(struct jobs *jobs, uint64_t number, char **out);
/* The smallest number >= from, 0 = none. */
uint64_t jobs_next(struct jobs *jobs, uint64_t from);
/* How many there are of each state. */
void jobs_count(struct jobs *jobs, uint64_t counts[static JOB_STATES]);
const char *job_state_name(enum job_state state); /* "queued" ... */

#endif
