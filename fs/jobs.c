// SPDX-License-Identifier: Apache-2.0
/*
 * The queue. One job runs at a time: moves share the same disks, and two at once only make both
 * slow and their progress hard to read.
 *
 * An entry is freed only when it has ended, so the runner needs no lock for the one it runs; others
 * read its progress from atomics.
 */
#include "fs/jobs.h"

#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/job_run.h"
#include "fs/fs.h"
#include "tiers/log.h"
#include "tiers/pool.h"

static const char *const state_names[JOB_STATES] = {"queued", "running", "done", "failed",
						    "cancelled"};

struct entry {
	struct entry *next; /* in order of number */
	uint64_t number;
	enum job_state state;
	struct job job; /* the runner's while JOB_RUNNING, but for its atomics */
};

struct jobs {
	struct fs *fs;
	pthread_t thread;
	pthread_mutex_t lock; /* guards all below, and entries */
	pthread_cond_t wake;
	struct entry *first, **end;
	uint64_t last_number;
	unsigned queued, ended;
	bool stop;
};

static void entry_free(struct entry *entry)
{
	if (!entry)
		return;
	job_release(&entry->job);
	free(entry);
}

static struct entry *find_locked(struct jobs *jobs, uint64_t number)
{
	struct entry *entry = jobs->first;

	while (entry && entry->number != number)
		entry = entry->next;
	return entry;
}

static void drop_old_locked(struct jobs *jobs)
{
	struct entry **p = &jobs->first;

	while (jobs->ended > JOBS_KEPT && *p) {
		struct entry *entry = *p;

		if (entry->state < JOB_DONE) {
			p = &entry->next;
			continue;
		}
		*p = entry->next;
		if (jobs->end == &entry->next)
			jobs->end = p;
		jobs->ended--;
		entry_free(entry);
	}
}

static void ended_locked(struct jobs *jobs, struct entry *entry, int r)
{
	entry->job.error = r;
	entry->state = !r ? JOB_DONE : r == -ECANCELED ? JOB_CANCELLED : JOB_FAILED;
	jobs->ended++;
	drop_old_locked(jobs);
}

static struct entry *next_locked(struct jobs *jobs)
{
	struct entry *entry = jobs->first;

	while (entry && entry->state != JOB_QUEUED)
		entry = entry->next;
	return entry;
}

static void *run(void *arg)
{
	struct jobs *jobs = arg;
	struct entry *entry;
	int r;

	pthread_mutex_lock(&jobs->lock);
	while (!jobs->stop) {
		entry = next_locked(jobs);
		if (!entry) {
			pthread_cond_wait(&jobs->wake, &jobs->lock);
			continue;
		}
		entry->state = JOB_RUNNING;
		jobs->queued--;
		pthread_mutex_unlock(&jobs->lock);
		r = job_run(jobs->fs, &entry->job);
		if (r && r != -ECANCELED)
			log_warning("job %llu (%s) failed: %s", (unsigned long long)entry->number,
				    job_verb(&entry->job), strerror(-r));
		pthread_mutex_lock(&jobs->lock);
		ended_locked(jobs, entry, r);
	}
	pthread_mutex_unlock(&jobs->lock);
	return NULL;
}

int jobs_new(struct fs *fs, struct jobs **out)
{
	struct jobs *jobs = calloc(1, sizeof(*jobs));
	int r;

	if (!jobs)
		return -ENOMEM;
	jobs->fs = fs;
	jobs->end = &jobs->first;
	pthread_mutex_init(&jobs->lock, NULL);
	pthread_cond_init(&jobs->wake, NULL);
	r = pthread_create(&jobs->thread, NULL, run, jobs);
	if (r) {
		free(jobs);
		return -r;
	}
	*out = jobs;
	return 0;
}

void jobs_free(struct jobs *jobs)
{
	if (!jobs)
		return;
	pthread_mutex_lock(&jobs->lock);
	jobs->stop = true;
	for (struct entry *entry = jobs->first; entry; entry = entry->next)
		atomic_store(&entry->job.progress.cancel, true);
	pthread_cond_signal(&jobs->wake);
	pthread_mutex_unlock(&jobs->lock);
	pthread_join(jobs->thread, NULL);
	while (jobs->first) {
		struct entry *entry = jobs->first;

		jobs->first = entry->next;
		entry_free(entry);
	}
	pthread_cond_destroy(&jobs->wake);
	pthread_mutex_destroy(&jobs->lock);
	free(jobs);
}

int jobs_submit(struct jobs *jobs, const char *text, size_t len, uint64_t *number, char *message,
		size_t message_cap)
{
	struct entry *entry = calloc(1, sizeof(*entry));
	int r;

	if (!entry)
		return -ENOMEM;
	r = job_parse(&entry->job, jobs->fs, text, len, message, message_cap);
	if (r)
		goto out;
	pthread_mutex_lock(&jobs->lock);
	if (jobs->queued >= JOBS_QUEUED) {
		r = -EBUSY;
		snprintf(message, message_cap, "%u jobs are waiting already", JOBS_QUEUED);
	} else {
		jobs->queued++;
		*number = entry->number = ++jobs->last_number;
		*jobs->end = entry;
		jobs->end = &entry->next;
		entry = NULL;
		pthread_cond_signal(&jobs->wake);
	}
	pthread_mutex_unlock(&jobs->lock);
out:
	entry_free(entry);
	return r;
}

/* To the last job, if that waits and places: what is set on many files is one job or a few. */
static bool join_locked(struct jobs *jobs, uint64_t id)
{
	struct entry *last = NULL;

	for (struct entry *entry = jobs->first; entry; entry = entry->next)
		last = entry;
	return last && last->state == JOB_QUEUED &&
	       (job_place_has(&last->job, id) || job_place_add(&last->job, id));
}

int jobs_place(struct jobs *jobs, uint64_t id)
{
	char request[80], message[256];
	uint64_t number;
	bool joined;

	pthread_mutex_lock(&jobs->lock);
	joined = join_locked(jobs, id);
	pthread_mutex_unlock(&jobs->lock);
	if (joined)
		return 0;
	snprintf(request, sizeof(request), "{\"verb\":\"" JOB_PLACE "\",\"paths\":[%llu]}",
		 (unsigned long long)id);
	return jobs_submit(jobs, request, strlen(request), &number, message, sizeof(message));
}

uint64_t jobs_placing(struct jobs *jobs, uint64_t id)
{
	uint64_t number = 0;

	pthread_mutex_lock(&jobs->lock);
	for (struct entry *entry = jobs->first; entry; entry = entry->next)
		if (job_place_has(&entry->job, id))
			number = entry->number;
	pthread_mutex_unlock(&jobs->lock);
	return number;
}

int jobs_cancel(struct jobs *jobs, uint64_t number)
{
	struct entry *entry;

	pthread_mutex_lock(&jobs->lock);
	entry = find_locked(jobs, number);
	if (entry) {
		atomic_store(&entry->job.progress.cancel, true);
		if (entry->state == JOB_QUEUED) {
			jobs->queued--;
			ended_locked(jobs, entry, -ECANCELED);
		}
	}
	pthread_mutex_unlock(&jobs->lock);
	return entry ? 0 : -ENOENT;
}

int jobs_text(struct jobs *jobs, uint64_t number, char **out)
{
	struct entry *entry;
	json_t *root = NULL;
	int r = -ENOENT;

	pthread_mutex_lock(&jobs->lock);
	entry = find_locked(jobs, number);
	if (entry) {
		root = job_json(&entry->job, entry->state >= JOB_DONE);
		json_object_set_new(root, "job", json_integer((json_int_t)number));
		json_object_set_new(root, "state", json_string(state_names[entry->state]));
		r = -ENOMEM;
	}
	pthread_mutex_unlock(&jobs->lock);
	*out = root ? json_dumps(root, JSON_COMPACT) : NULL;
	json_decref(root);
	return *out ? 0 : r;
}

uint64_t jobs_next(struct jobs *jobs, uint64_t from)
{
	struct entry *entry;
	uint64_t number;

	pthread_mutex_lock(&jobs->lock);
	entry = jobs->first;
	while (entry && entry->number < from)
		entry = entry->next;
	number = entry ? entry->number : 0;
	pthread_mutex_unlock(&jobs->lock);
	return number;
}

void jobs_count(struct jobs *jobs, uint64_t counts[static JOB_STATES])
{
	memset(counts, 0, JOB_STATES * sizeof(counts[0]));
	pthread_mutex_lock(&jobs->lock);
	for (struct entry *entry = jobs->first; entry; entry = entry->next)
		counts[entry->state]++;
	pthread_mutex_unlock(&jobs->lock);
}

const char *job_state_name(enum job_state state)
{
	return (unsigned)state < JOB_STATES ? state_names[state] : "?";
}
