// SPDX-License-Identifier: Apache-2.0
/* Workers: nothing lost, classes in order, bounded queue, errors, a full queue from inside a job.
 */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tiers/workers.h"

enum { MANY = 4000, SUBMITTERS = 4 };

static atomic_uint ran, submitted;

static int job_count(void *job, struct codec_scratch *scratch)
{
	(void)job;
	atomic_fetch_add(&ran, 1);
	return scratch ? 0 : -EINVAL;
}

static int job_fail(void *job, struct codec_scratch *scratch)
{
	(void)scratch;
	return *(int *)job;
}

/* A job that holds its worker until the test lets go. */
struct gate {
	sem_t entered, open;
};

static void gate_init(struct gate *gate)
{
	sem_init(&gate->entered, 0, 0);
	sem_init(&gate->open, 0, 0);
}

static void gate_release(struct gate *gate)
{
	sem_destroy(&gate->entered);
	sem_destroy(&gate->open);
}

static int job_gate(void *job, struct codec_scratch *scratch)
{
	struct gate *gate = job;

	(void)scratch;
	sem_post(&gate->entered);
	while (sem_wait(&gate->open) != 0)
		;
	return 0;
}

struct submitter {
	struct workers *workers;
	pthread_t thread;
	int error;
};

static void *submit_many(void *arg)
{
	struct submitter *submitter = arg;
	struct job_group *group;

	submitter->error = job_group_new(&group);
	if (submitter->error)
		return NULL;
	for (unsigned i = 0; i < MANY && !submitter->error; i++) {
		submitter->error =
			workers_submit(submitter->workers, i % 3 ? JOB_BACKGROUND : JOB_FOREGROUND,
				       group, job_count, NULL);
		atomic_fetch_add(&submitted, 1);
	}
	if (!submitter->error)
		submitter->error = job_group_wait(group);
	job_group_free(group);
	return NULL;
}

static void test_nothing_lost(void **state)
{
	struct submitter submitters[SUBMITTERS] = {0};
	struct workers *workers;

	(void)state;
	atomic_store(&ran, 0);
	assert_int_equal(workers_new(&workers, 3), 0);
	for (unsigned i = 0; i < SUBMITTERS; i++) {
		submitters[i].workers = workers;
		assert_int_equal(
			pthread_create(&submitters[i].thread, NULL, submit_many, &submitters[i]),
			0);
	}
	for (unsigned i = 0; i < SUBMITTERS; i++) {
		pthread_join(submitters[i].thread, NULL);
		assert_int_equal(submitters[i].error, 0);
	}
	assert_int_equal(atomic_load(&ran), SUBMITTERS * MANY);
	workers_free(workers);
}

static void test_free_runs_what_is_queued(void **state)
{
	struct workers *workers;
	struct gate gate;

	(void)state;
	atomic_store(&ran, 0);
	gate_init(&gate);
	assert_int_equal(workers_new(&workers, 1), 0);
	assert_int_equal(workers_submit(workers, JOB_BACKGROUND, NULL, job_gate, &gate), 0);
	sem_wait(&gate.entered);
	for (unsigned i = 0; i < 50; i++)
		assert_int_equal(workers_submit(workers, JOB_BACKGROUND, NULL, job_count, NULL), 0);
	assert_int_equal(atomic_load(&ran), 0);
	sem_post(&gate.open);
	workers_free(workers);
	assert_int_equal(atomic_load(&ran), 50);
	gate_release(&gate);
}

/* Taken by a worker that has nothing to do, and by no other. */
static void test_offer(void **state)
{
	struct workers *workers;
	struct gate gate;
	unsigned tries = 0;

	(void)state;
	atomic_store(&ran, 0);
	gate_init(&gate);
	assert_int_equal(workers_new(&workers, 1), 0);
	while (!workers_offer(workers, job_gate, &gate) && tries++ < 10000)
		usleep(1000); /* it has not started yet */
	sem_wait(&gate.entered);
	assert_false(workers_offer(workers, job_count, NULL));
	sem_post(&gate.open);
	for (tries = 0; !workers_offer(workers, job_count, NULL) && tries < 10000; tries++)
		usleep(1000);
	workers_free(workers);
	assert_int_equal(atomic_load(&ran), 1);
	gate_release(&gate);
}

struct ordered {
	unsigned *next; /* one worker: no two at once */
	unsigned was;
};

static int job_ordered(void *job, struct codec_scratch *scratch)
{
	struct ordered *ordered = job;

	(void)scratch;
	ordered->was = (*ordered->next)++;
	return 0;
}

static void test_foreground_first_and_in_order(void **state)
{
	struct ordered jobs[40];
	struct job_group *group;
	struct workers *workers;
	struct gate gate;
	unsigned next = 0;

	(void)state;
	gate_init(&gate);
	assert_int_equal(workers_new(&workers, 1), 0);
	assert_int_equal(job_group_new(&group), 0);
	assert_int_equal(workers_submit(workers, JOB_BACKGROUND, group, job_gate, &gate), 0);
	sem_wait(&gate.entered);
	for (unsigned i = 0; i < 40; i++) {
		jobs[i] = (struct ordered){.next = &next};
		assert_int_equal(workers_submit(workers, i < 20 ? JOB_BACKGROUND : JOB_FOREGROUND,
						group, job_ordered, &jobs[i]),
				 0);
	}
	sem_post(&gate.open);
	assert_int_equal(job_group_wait(group), 0);
	for (unsigned i = 0; i < 40; i++)
		assert_int_equal(jobs[i].was, (i + 20) % 40);
	job_group_free(group);
	workers_free(workers);
	gate_release(&gate);
}

static int job_nice(void *job, struct codec_scratch *scratch)
{
	(void)scratch;
	*(int *)job = getpriority(PRIO_PROCESS, 0);
	return 0;
}

/* Long and idle jobs wait for no other kind; of the long ones, those that read go first. */
static void test_kinds(void **state)
{
	int mine = getpriority(PRIO_PROCESS, 0), prompt, longer, idle;
	struct gate gate, both[2];
	struct ordered jobs[8];
	struct job_group *group;
	struct workers *workers;
	unsigned next = 0;

	(void)state;
	gate_init(&gate);
	assert_int_equal(workers_new(&workers, 1), 0);
	assert_int_equal(job_group_new(&group), 0);
	assert_int_equal(workers_submit(workers, JOB_BACKGROUND, NULL, job_gate, &gate), 0);
	sem_wait(&gate.entered);
	assert_int_equal(workers_submit(workers, JOB_LONG, group, job_nice, &longer), 0);
	assert_int_equal(workers_submit(workers, JOB_IDLE, group, job_nice, &idle), 0);
	assert_int_equal(job_group_wait(group), 0);
	assert_true(longer > mine || mine >= 15);
	assert_true(idle >= 15);
	for (unsigned i = 0; i < 2; i++) { /* there are two for one processor */
		gate_init(&both[i]);
		assert_int_equal(workers_submit(workers, JOB_LONG, group, job_gate, &both[i]), 0);
		sem_wait(&both[i].entered);
	}
	sem_post(&gate.open);
	assert_int_equal(workers_submit(workers, JOB_FOREGROUND, group, job_nice, &prompt), 0);
	for (unsigned i = 0; i < 8; i++) {
		jobs[i] = (struct ordered){.next = &next};
		assert_int_equal(workers_submit(workers, i < 4 ? JOB_LONG : JOB_LONG_READ, group,
						job_ordered, &jobs[i]),
				 0);
	}
	sem_post(&both[0].open); /* one goes on: no two at once */
	assert_int_equal(workers_submit(workers, JOB_LONG, group, job_gate, &gate), 0);
	sem_wait(&gate.entered); /* behind them all */
	sem_post(&gate.open);
	sem_post(&both[1].open);
	assert_int_equal(job_group_wait(group), 0);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(jobs[i].was, (i + 4) % 8);
	job_group_free(group);
	workers_free(workers);
	assert_int_equal(prompt, mine);
	gate_release(&gate);
	gate_release(&both[0]);
	gate_release(&both[1]);
}

static void test_first_error_is_kept_and_reset(void **state)
{
	int errors[] = {0, -EBADMSG, -EIO, 7};
	struct job_group *group;
	struct workers *workers;

	(void)state;
	assert_int_equal(workers_new(&workers, 1), 0);
	assert_int_equal(job_group_new(&group), 0);
	assert_int_equal(job_group_wait(group), 0);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(
			workers_submit(workers, JOB_FOREGROUND, group, job_fail, &errors[i]), 0);
	assert_int_equal(job_group_wait(group), -EBADMSG);
	assert_int_equal(job_group_wait(group), 0);
	job_group_free(group);
	workers_free(workers);
}

/* The queue has a limit: with its only worker held, one submitter cannot get all its jobs in. */
static void test_full_queue_blocks_the_submitter(void **state)
{
	struct submitter submitter = {0};
	struct workers *workers;
	struct gate gate;

	(void)state;
	atomic_store(&ran, 0);
	gate_init(&gate);
	assert_int_equal(workers_new(&workers, 1), 0);
	assert_int_equal(workers_submit(workers, JOB_FOREGROUND, NULL, job_gate, &gate), 0);
	sem_wait(&gate.entered);
	submitter.workers = workers;
	atomic_store(&submitted, 0);
	assert_int_equal(pthread_create(&submitter.thread, NULL, submit_many, &submitter), 0);
	/* Until it has stopped: never red for being slow, red if it goes on and on. */
	while (atomic_load(&submitted) == 0)
		usleep(1000);
	usleep(20000);
	assert_in_range(atomic_load(&submitted), 1, MANY / 4);
	assert_int_equal(atomic_load(&ran), 0);
	sem_post(&gate.open);
	pthread_join(submitter.thread, NULL);
	assert_int_equal(submitter.error, 0);
	assert_int_equal(atomic_load(&ran), MANY);
	workers_free(workers);
	gate_release(&gate);
}

/* Every worker submits more than the queue holds: were they to wait for room, none could go on. */
static int job_submits(void *job, struct codec_scratch *scratch)
{
	(void)scratch;
	for (unsigned i = 0; i < 500; i++) {
		int err = workers_submit(job, JOB_FOREGROUND, NULL, job_count, NULL);

		if (err < 0)
			return err;
	}
	return 0;
}

static void test_submit_from_a_worker_never_blocks(void **state)
{
	struct job_group *group;
	struct workers *workers;

	(void)state;
	atomic_store(&ran, 0);
	assert_int_equal(workers_new(&workers, 2), 0);
	assert_int_equal(job_group_new(&group), 0);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(
			workers_submit(workers, JOB_FOREGROUND, group, job_submits, workers), 0);
	assert_int_equal(job_group_wait(group), 0);
	workers_free(workers);
	assert_int_equal(atomic_load(&ran), 4 * 500);
	job_group_free(group);
}

static int job_same_scratch(void *job, struct codec_scratch *scratch)
{
	(void)job;
	return workers_thread_scratch() == scratch ? 0 : -EINVAL;
}

static void *take_scratch(void *arg)
{
	struct codec_scratch **out = arg;

	*out = workers_thread_scratch();
	return *out == workers_thread_scratch() ? out : NULL;
}

/* One per thread, kept for its life; the sanitizers see a leak or a double free at its end. */
static void test_thread_scratch(void **state)
{
	struct codec_scratch *mine = workers_thread_scratch(), *other = NULL;
	struct job_group *group;
	struct workers *workers;
	pthread_t thread;
	void *same;

	(void)state;
	assert_non_null(mine);
	assert_ptr_equal(mine, workers_thread_scratch());
	assert_int_equal(pthread_create(&thread, NULL, take_scratch, &other), 0);
	pthread_join(thread, &same);
	assert_non_null(same);
	assert_non_null(other);
	assert_int_equal(workers_new(&workers, 0), 0);
	assert_int_equal(job_group_new(&group), 0);
	assert_int_equal(workers_submit(workers, JOB_FOREGROUND, group, job_same_scratch, NULL), 0);
	assert_int_equal(job_group_wait(group), 0);
	job_group_free(group);
	workers_free(workers);
}

static bool entered(struct gate *gate, unsigned ms)
{
	struct timespec at;

	clock_gettime(CLOCK_REALTIME, &at);
	at.tv_nsec += (long)ms * 1000000;
	at.tv_sec += at.tv_nsec / 1000000000;
	at.tv_nsec %= 1000000000;
	return sem_timedwait(&gate->entered, &at) == 0;
}

/* Of two workers the background has one, until somebody waits for it; what it leaves free is the
 * foreground's at once. */
static void test_background_leaves_one(void **state)
{
	struct workers *workers;
	struct job_group *group;
	struct gate gates[3], front;
	unsigned tries = 0;

	(void)state;
	assert_int_equal(workers_new(&workers, 2), 0);
	assert_int_equal(job_group_new(&group), 0);
	gate_init(&front);
	for (unsigned i = 0; i < 3; i++) {
		gate_init(&gates[i]);
		assert_int_equal(
			workers_submit(workers, JOB_BACKGROUND, group, job_gate, &gates[i]), 0);
	}
	assert_true(entered(&gates[0], 10000));
	assert_false(entered(&gates[1], 50));
	while (!workers_offer(workers, job_gate, &front) && tries++ < 10000)
		usleep(1000); /* the other one has not come to rest yet */
	assert_true(entered(&front, 10000));
	sem_post(&front.open);
	assert_false(entered(&gates[1], 50));
	workers_hurry(workers);
	workers_hurry(workers);
	assert_true(entered(&gates[1], 10000));
	workers_hurried(workers);
	sem_post(&gates[1].open); /* its worker takes the third: one still waits */
	assert_true(entered(&gates[2], 10000));
	workers_hurried(workers);
	sem_post(&gates[0].open);
	sem_post(&gates[2].open);
	assert_int_equal(job_group_wait(group), 0);
	workers_free(workers);
	job_group_free(group);
	gate_release(&front);
	for (unsigned i = 0; i < 3; i++)
		gate_release(&gates[i]);
}

/* The worker that ran what is in the background takes a foreground job next: the other one goes on
 * in its place. */
static void test_background_goes_on(void **state)
{
	struct workers *workers;
	struct job_group *group;
	struct gate background[2], front[2];

	(void)state;
	assert_int_equal(workers_new(&workers, 2), 0);
	assert_int_equal(job_group_new(&group), 0);
	for (unsigned i = 0; i < 2; i++) {
		gate_init(&background[i]);
		gate_init(&front[i]);
		assert_int_equal(
			workers_submit(workers, JOB_BACKGROUND, group, job_gate, &background[i]),
			0);
	}
	assert_true(entered(&background[0], 10000));
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(
			workers_submit(workers, JOB_FOREGROUND, group, job_gate, &front[i]), 0);
	assert_true(entered(&front[0], 10000));
	sem_post(&background[0].open); /* its worker goes to the front */
	assert_true(entered(&front[1], 10000));
	sem_post(&front[0].open);
	assert_true(entered(&background[1], 10000));
	sem_post(&front[1].open);
	sem_post(&background[1].open);
	assert_int_equal(job_group_wait(group), 0);
	workers_free(workers);
	job_group_free(group);
	for (unsigned i = 0; i < 2; i++) {
		gate_release(&background[i]);
		gate_release(&front[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_lost),
		cmocka_unit_test(test_free_runs_what_is_queued),
		cmocka_unit_test(test_offer),
		cmocka_unit_test(test_foreground_first_and_in_order),
		cmocka_unit_test(test_background_leaves_one),
		cmocka_unit_test(test_background_goes_on),
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_first_error_is_kept_and_reset),
		cmocka_unit_test(test_full_queue_blocks_the_submitter),
		cmocka_unit_test(test_submit_from_a_worker_never_blocks),
		cmocka_unit_test(test_thread_scratch),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
