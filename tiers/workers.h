/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bounded pool of threads for encoding and decoding. Each worker owns a codec scratch. Foreground
 * jobs go before background ones, which leave one worker out where there are several: a processor
 * for whoever makes that work. Long and idle ones run beside them on threads of their own, which
 * have stepped back, these far, those a little. The queue has a limit: submitting to a full one
 * blocks; a job that submits to a full one runs the new job itself instead. A job must not wait for
 * a group: all workers could be waiting, and none left to run what they wait for.
 */
#ifndef TERRACE_TIERS_WORKERS_H
#define TERRACE_TIERS_WORKERS_H

#include <stdbool.h>

#include "compress/codec.h"

struct workers;

struct job_group; /* jobs somebody waits for together */

enum job_class {
	JOB_FOREGROUND, /* somebody waits */
	JOB_BACKGROUND,
	JOB_LONG_READ, /* somebody waits for very many: on threads of their own, a little nice */
	JOB_LONG,      /* ... the same threads, when they have nothing to read */
	JOB_IDLE, /* on threads of their own, nice and with idle I/O priority (ioprio_set(2)) */
	JOB_CLASSES
};

int workers_new(struct workers **out, unsigned nthreads); /* of each kind; 0: one per online
							     processor; -ENOMEM, -EAGAIN */
void workers_free(struct workers *workers);		  /* runs what is queued, joins */

int job_group_new(struct job_group **out);
void job_group_free(struct job_group *group);
/* Returns 0. fn's negative return is kept as the group's error if it is the first; group may be
 * NULL. `job` belongs to the pool until fn has returned. */
int workers_submit(struct workers *workers, enum job_class class, struct job_group *group,
		   int (*fn)(void *job, struct codec_scratch *scratch), void *job);
/* The same in the foreground and without a group, if a worker has nothing to do; false: none has,
 * and fn will not be called. Waits for nothing. */
bool workers_offer(struct workers *workers, int (*fn)(void *job, struct codec_scratch *scratch),
		   void *job);
/* Between the two somebody waits for background jobs, and all workers run them. */
void workers_hurry(struct workers *workers);
void workers_hurried(struct workers *workers);
/* Waits for all jobs of the group, returns the first error and resets it. */
int job_group_wait(struct job_group *group);

/* A scratch for the calling thread (a FUSE thread that decodes a block itself); lives as long as
 * the thread. NULL: no memory. */
struct codec_scratch *workers_thread_scratch(void);

/* The calling thread is nice and has idle I/O priority from here on. */
void thread_step_back(void);
/* Only its I/O, and for a while; what it was before, for thread_io_back(). */
int thread_io_idle(void);
void thread_io_back(int before);

#endif
