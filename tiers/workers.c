// SPDX-License-Identifier: Apache-2.0
/*
 * Worker threads: one ring of waiting jobs per class, one lock for all. There are three kinds of
 * threads, as many of each; those for long and for idle jobs have stepped back for good: an
 * ordinary user's thread could not come forward again.
 *
 * Invariants:
 *  1. A job that was accepted runs exactly once, also while the pool is being freed.
 *  2. A group's count goes up before its job can be taken and down after fn has returned, so
 *     job_group_wait() cannot return early.
 *  3. A worker never waits for room: a job that submits to a full ring runs the new job itself,
 *     with its own scratch. Were it to wait, all workers could wait for each other.
 *  4. Background jobs that wait while a worker rests are more than may run. Who runs one looks for
 *     the next when it ends; should that be one of the foreground, a worker was woken for it.
 *
 * Threads: any. The pool's lock and a group's lock are never held together, and neither while fn
 * runs. No allocation after workers_new().
 */
#include "tiers/workers.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <linux/ioprio.h>
#include <unistd.h>

#include "tiers/log.h"

/* Deep enough that workers do not run dry between two wake-ups of a submitter, small enough that a
 * burst of background work does not pile up buffers. */
#define QUEUE_LEN   128u
#define THREADS_MAX 256u
#define IDLE_NICE   15 /* a thirtieth of the time of whoever else wants the processor */
#define LONG_NICE   10 /* a tenth of it: with 5, a reader beside a move kept 0.6 of its rate */

enum { KIND_PROMPT, KIND_LONG, KIND_IDLE, KINDS };

struct queued_job {
	int (*fn)(void *job, struct codec_scratch *scratch);
	void *job;
	struct job_group *group; /* may be NULL: nobody waits */
	bool background;	 /* of JOB_BACKGROUND */
};

struct job_queue {
	struct queued_job ring[QUEUE_LEN];
	unsigned first, count;
	pthread_cond_t room;
};

/* Each kind takes the jobs of its classes only, and no other kind does. */
struct kind {
	enum job_class first, last;
	unsigned share;		 /* threads for each that was asked for */
	void (*step_back)(void); /* of a thread, once; NULL: it does not */
	pthread_cond_t work;
	unsigned resting; /* threads that wait for work */
};

struct worker {
	struct workers *pool;
	struct codec_scratch *scratch;
	pthread_t thread;
	struct kind *kind;
};

struct workers {
	pthread_mutex_t lock; /* guards everything below but the constant fields at the end */
	struct kind kinds[KINDS];
	struct job_queue queues[JOB_CLASSES];
	unsigned background; /* jobs of JOB_BACKGROUND that are running */
	unsigned hurries;    /* who waits for such */
	bool stopping;

	unsigned background_max; /* unless somebody waits */

	unsigned nthreads;
	struct worker *threads;
};

struct job_group {
	pthread_mutex_t lock; /* guards the rest */
	pthread_cond_t idle;
	unsigned long pending;
	int error; /* the first */
};

/* The worker this thread is, or NULL. */
static _Thread_local struct worker *self;

static pthread_once_t scratch_once = PTHREAD_ONCE_INIT;
static pthread_key_t scratch_key;
static int scratch_key_error;

static void scratch_destroy(void *scratch)
{
	codec_scratch_free(scratch);
}

static void scratch_key_make(void)
{
	scratch_key_error = pthread_key_create(&scratch_key, scratch_destroy);
	if (scratch_key_error)
		log_error("no thread key for codec memory: error %d", scratch_key_error);
}

struct codec_scratch *workers_thread_scratch(void)
{
	struct codec_scratch *scratch;

	/* A codec call leaves nothing behind in a scratch, so a job may come here as well. */
	if (self)
		return self->scratch;
	pthread_once(&scratch_once, scratch_key_make);
	if (scratch_key_error)
		return NULL;
	scratch = pthread_getspecific(scratch_key);
	if (scratch)
		return scratch;
	if (codec_scratch_new(&scratch) < 0)
		return NULL;
	if (pthread_setspecific(scratch_key, scratch) != 0) {
		codec_scratch_free(scratch);
		return NULL;
	}
	return scratch;
}

int job_group_new(struct job_group **out)
{
	struct job_group *group = calloc(1, sizeof(*group));

	*out = group;
	if (!group)
		return -ENOMEM;
	pthread_mutex_init(&group->lock, NULL);
	pthread_cond_init(&group->idle, NULL);
	return 0;
}

void job_group_free(struct job_group *group)
{
	if (!group)
		return;
	assert(group->pending == 0);
	pthread_cond_destroy(&group->idle);
	pthread_mutex_destroy(&group->lock);
	free(group);
}

static void group_add(struct job_group *group)
{
	if (!group)
		return;
	pthread_mutex_lock(&group->lock);
	group->pending++;
	pthread_mutex_unlock(&group->lock);
}

static void group_done(struct job_group *group, int error)
{
	if (!group)
		return;
	pthread_mutex_lock(&group->lock);
	if (error < 0 && group->error == 0)
		group->error = error;
	/* Under the lock: the waiter may free the group as soon as it can take it. */
	if (--group->pending == 0)
		pthread_cond_broadcast(&group->idle);
	pthread_mutex_unlock(&group->lock);
}

int job_group_wait(struct job_group *group)
{
	int error;

	pthread_mutex_lock(&group->lock);
	while (group->pending > 0)
		pthread_cond_wait(&group->idle, &group->lock);
	error = group->error;
	group->error = 0;
	pthread_mutex_unlock(&group->lock);
	return error;
}

static void job_run(const struct queued_job *job, struct codec_scratch *scratch)
{
	/* Read before the call: a caller that submitted without a group may free its job in fn. */
	struct job_group *group = job->group;

	group_done(group, job->fn(job->job, scratch));
}

/* Of those that wait in the background, how many may be taken now. */
static unsigned background_due_locked(const struct workers *workers)
{
	unsigned count = workers->queues[JOB_BACKGROUND].count, room = 0;

	if (workers->hurries)
		return count;
	if (workers->background < workers->background_max)
		room = workers->background_max - workers->background;
	return count < room ? count : room;
}

static bool queue_take_locked(struct workers *workers, const struct kind *kind,
			      struct queued_job *out)
{
	for (enum job_class i = kind->first; i <= kind->last; i++) {
		struct job_queue *queue = &workers->queues[i];

		if (queue->count == 0 || (i == JOB_BACKGROUND && !background_due_locked(workers)))
			continue;
		*out = queue->ring[queue->first];
		queue->first = (queue->first + 1) % QUEUE_LEN;
		queue->count--;
		workers->background += out->background;
		pthread_cond_signal(&queue->room);
		return true;
	}
	return false;
}

/* For the life of the thread: an ordinary user could not take it back. A scheduler lets whoever
 * wakes up go before a thread this nice; the I/O priority counts with bfq and mq-deadline. */
void thread_step_back(void)
{
	setpriority(PRIO_PROCESS, (id_t)gettid(), IDLE_NICE);
	(void)thread_io_idle();
}

/* From where the process is. */
static void step_back_a_little(void)
{
	setpriority(PRIO_PROCESS, (id_t)gettid(), getpriority(PRIO_PROCESS, 0) + LONG_NICE);
}

int thread_io_idle(void)
{
	int before = (int)syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0);

	syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_IDLE, 0));
	return before;
}

void thread_io_back(int before)
{
	if (before >= 0)
		syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, before);
}

static void *worker_main(void *arg)
{
	struct worker *worker = arg;
	struct workers *workers = worker->pool;
	struct kind *kind = worker->kind;
	struct queued_job job;

	self = worker;
	if (kind->step_back)
		kind->step_back();
	pthread_mutex_lock(&workers->lock);
	for (;;) {
		if (queue_take_locked(workers, kind, &job)) {
			pthread_mutex_unlock(&workers->lock);
			job_run(&job, worker->scratch);
			pthread_mutex_lock(&workers->lock);
			workers->background -= job.background;
		} else if (workers->stopping) {
			break;
		} else {
			kind->resting++;
			pthread_cond_wait(&kind->work, &workers->lock);
			kind->resting--;
		}
	}
	pthread_mutex_unlock(&workers->lock);
	return NULL;
}

static int worker_start(struct workers *workers, struct kind *kind)
{
	struct worker *worker = &workers->threads[workers->nthreads];
	int err = codec_scratch_new(&worker->scratch);

	if (err < 0)
		return err;
	worker->pool = workers;
	worker->kind = kind;
	err = -pthread_create(&worker->thread, NULL, worker_main, worker);
	if (err < 0)
		codec_scratch_free(worker->scratch);
	else
		workers->nthreads++;
	return err;
}

/* Starts the threads with every signal blocked: signals are for the thread that serves the mount.
 */
static int workers_start(struct workers *workers, unsigned nthreads)
{
	sigset_t all, before;
	int err = 0;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	for (unsigned k = 0; k < KINDS && !err; k++)
		for (unsigned i = 0; i < workers->kinds[k].share * nthreads && !err; i++)
			err = worker_start(workers, &workers->kinds[k]);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err < 0)
		log_error("worker thread %u did not start: error %d", workers->nthreads + 1, -err);
	return err;
}

/* Long jobs wait for media half of the time: with as many threads as processors these were idle
 * for a third of a move. */
static const struct kind kinds[KINDS] = {
	[KIND_PROMPT] = {.first = JOB_FOREGROUND, .last = JOB_BACKGROUND, .share = 1},
	[KIND_LONG] = {.first = JOB_LONG_READ,
		       .last = JOB_LONG,
		       .share = 2,
		       .step_back = step_back_a_little},
	[KIND_IDLE] = {.first = JOB_IDLE,
		       .last = JOB_IDLE,
		       .share = 1,
		       .step_back = thread_step_back},
};

int workers_new(struct workers **out, unsigned nthreads)
{
	struct workers *workers;
	unsigned all = 0;
	long online;
	int err;

	*out = NULL;
	if (nthreads == 0) {
		online = sysconf(_SC_NPROCESSORS_ONLN);
		nthreads = online > 0 ? (unsigned)online : 1;
	}
	if (nthreads > THREADS_MAX)
		nthreads = THREADS_MAX;
	workers = calloc(1, sizeof(*workers));
	if (!workers)
		return -ENOMEM;
	pthread_mutex_init(&workers->lock, NULL);
	for (unsigned i = 0; i < JOB_CLASSES; i++)
		pthread_cond_init(&workers->queues[i].room, NULL);
	for (unsigned i = 0; i < KINDS; i++) {
		workers->kinds[i] = kinds[i];
		pthread_cond_init(&workers->kinds[i].work, NULL);
		all += kinds[i].share * nthreads;
	}
	workers->background_max = nthreads > 1 ? nthreads - 1 : 1;
	workers->threads = calloc(all, sizeof(*workers->threads));
	err = workers->threads ? workers_start(workers, nthreads) : -ENOMEM;
	if (err < 0) {
		workers_free(workers);
		return err;
	}
	*out = workers;
	return 0;
}

void workers_free(struct workers *workers)
{
	if (!workers)
		return;
	pthread_mutex_lock(&workers->lock);
	workers->stopping = true;
	for (unsigned i = 0; i < KINDS; i++)
		pthread_cond_broadcast(&workers->kinds[i].work);
	pthread_mutex_unlock(&workers->lock);
	for (unsigned i = 0; i < workers->nthreads; i++) {
		pthread_join(workers->threads[i].thread, NULL);
		codec_scratch_free(workers->threads[i].scratch);
	}
	free(workers->threads);
	for (unsigned i = 0; i < JOB_CLASSES; i++)
		pthread_cond_destroy(&workers->queues[i].room);
	for (unsigned i = 0; i < KINDS; i++)
		pthread_cond_destroy(&workers->kinds[i].work);
	pthread_mutex_destroy(&workers->lock);
	free(workers);
}

static void queue_add_locked(struct workers *workers, enum job_class class,
			     const struct queued_job *job)
{
	struct job_queue *queue = &workers->queues[class];

	queue->ring[(queue->first + queue->count) % QUEUE_LEN] = *job;
	queue->count++;
	if (class == JOB_BACKGROUND && !background_due_locked(workers))
		return; /* who runs one takes it next */
	for (unsigned i = 0; i < KINDS; i++)
		if (class >= workers->kinds[i].first && class <= workers->kinds[i].last)
			pthread_cond_signal(&workers->kinds[i].work);
}

void workers_hurry(struct workers *workers)
{
	pthread_mutex_lock(&workers->lock);
	if (!workers->hurries++)
		pthread_cond_broadcast(&workers->kinds[KIND_PROMPT].work);
	pthread_mutex_unlock(&workers->lock);
}

void workers_hurried(struct workers *workers)
{
	pthread_mutex_lock(&workers->lock);
	assert(workers->hurries);
	workers->hurries--;
	pthread_mutex_unlock(&workers->lock);
}

bool workers_offer(struct workers *workers, int (*fn)(void *job, struct codec_scratch *scratch),
		   void *job)
{
	struct queued_job queued = {.fn = fn, .job = job};
	bool taken;

	pthread_mutex_lock(&workers->lock);
	/* One that has been woken still counts as resting. */
	taken = workers->kinds[KIND_PROMPT].resting >
		workers->queues[JOB_FOREGROUND].count + background_due_locked(workers);
	if (taken)
		queue_add_locked(workers, JOB_FOREGROUND, &queued);
	pthread_mutex_unlock(&workers->lock);
	return taken;
}

int workers_submit(struct workers *workers, enum job_class class, struct job_group *group,
		   int (*fn)(void *job, struct codec_scratch *scratch), void *job)
{
	struct queued_job queued = {
		.fn = fn, .job = job, .group = group, .background = class == JOB_BACKGROUND};
	struct job_queue *queue = &workers->queues[class];

	group_add(group);
	pthread_mutex_lock(&workers->lock);
	while (queue->count == QUEUE_LEN) {
		if (self && self->pool == workers) {
			pthread_mutex_unlock(&workers->lock);
			job_run(&queued, self->scratch);
			return 0;
		}
		pthread_cond_wait(&queue->room, &workers->lock);
	}
	queue_add_locked(workers, class, &queued);
	pthread_mutex_unlock(&workers->lock);
	return 0;
}
