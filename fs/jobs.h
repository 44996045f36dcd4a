/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Jobs: what people ask the tier engine to do, one after another on a thread of their own. The
 * queue and the last JOBS_KEPT ended ones are kept, also over a restart (terrace-format(5), Jobs):
 * a job that has not ended is begun again, and passes over what has moved. Numbers are 1, 2, 3 ...
 *
 * Threads: any, without a transaction open.
 */
#ifndef TERRACE_FS_JOBS_H
#define TERRACE_FS_JOBS_H

#include <stddef.h>
#include <stdint.h>

#define JOBS_KEPT   32u
#define JOBS_QUEUED 1024u /* more than this many waiting or paused: -EBUSY */

enum job_state {
	JOB_QUEUED,
	JOB_RUNNING,
	JOB_PAUSED,
	JOB_DONE,
	JOB_FAILED,
	JOB_CANCELLED,
	JOB_STATES
};

struct fs;
struct jobs;

/* Takes up what is recorded; runs nothing yet. */
int jobs_new(struct fs *fs, struct jobs **out);
int jobs_start(struct jobs *jobs);
/* Interrupts what runs, at the next batch of moves, and waits for that. The jobs stay recorded. */
void jobs_free(struct jobs *jobs);

/* Parses, records and queues a request (JSON). -EINVAL with a reason in message; -ENOMEM, -EBUSY,
 * and what recording says. */
int jobs_submit(struct jobs *jobs, const char *text, size_t len, uint64_t *number, char *message,
		size_t message_cap);
/* Queues the inode to be placed where its settings want it, with others that wait for that; only
 * the first of them is recorded, as the tier engine will find the others. -EBUSY, -ENOMEM: it will
 * find this one, too. */
int jobs_place(struct jobs *jobs, uint64_t id);
/* The last job that is to place, or has placed, exactly this inode; 0 = none that is kept. */
uint64_t jobs_placing(struct jobs *jobs, uint64_t id);
/* -ENOENT. An ended job is left as it is. A paused job lets others run. */
int jobs_cancel(struct jobs *jobs, uint64_t number);
int jobs_pause(struct jobs *jobs, uint64_t number);
int jobs_resume(struct jobs *jobs, uint64_t number);
/* The job's JSON text, malloc'd; -ENOENT, -ENOMEM. */
int jobs_text(struct jobs *jobs, uint64_t number, char **out);
/* The smallest number >= from, 0 = none. */
uint64_t jobs_next(struct jobs *jobs, uint64_t from);
/* How many there are of each state. */
void jobs_count(struct jobs *jobs, uint64_t counts[static JOB_STATES]);
const char *job_state_name(enum job_state state); /* "queued" ... */

#endif
