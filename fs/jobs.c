// SPDX-License-Identifier: Apache-2.0
/*
 * The queue. One job runs at a time: moves share the same disks, and two at once only make both
 * slow and their progress hard to read.
 *
 * Invariants:
 *  1. What a caller was told (a number, that a job is cancelled or paused) is recorded before he is
 *     told. The record is written from the entry as it is then, under store_lock: the last one
 *     written is the newest.
 *  2. A job is interrupted by its `cancel`; what becomes of it then, `cancelled`, `paused` and
 *     `stop` say. Interrupted jobs run again from the start and find little left to do.
 *  3. An entry is freed only when it has ended, so the runner needs no lock for the one it runs;
 *     others read its progress from atomics.
 *
 * Order of locks: store_lock < the commit lock < lock < leaf locks.
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
#include <time.h>

#include "fs/fs.h"
#include "fs/job_run.h"
#include "fs/job_store.h"
#include "fs/text.h"
#include "tiers/log.h"
#include "tiers/pool.h"
#include "tiers/scrub.h"
#include "tiers/tunables.h"

#define LOOK_S 2 /* between looks whether a scrub is due */

static const char *const state_names[JOB_STATES] = {"queued", "running", "paused",
						    "done",   "failed",	 "cancelled"};

struct entry {
	struct entry *next; /* in order of number */
	uint64_t number;
	enum job_state state;
	bool own;			/* of jobs_place(): not begun again by the next mount */
	bool cancelled, paused;		/* asked for */
	double created, started, ended; /* seconds since 1970; 0 = not yet */
	double active;			/* seconds that it ran, up to `since` */
	double since;			/* of the monotonic clock; 0 = does not run */
	unsigned parts;			/* of its recorded request */
	json_t *final;	/* of a job that ended before the mount: all that is known of it */
	struct job job; /* the runner's while JOB_RUNNING, but for its atomics; empty with final */
};

struct jobs {
	struct fs *fs;
	pthread_t thread;
	bool started;
	pthread_mutex_t store_lock; /* held while a record is written */
	pthread_mutex_t lock;	    /* guards all below, and entries */
	pthread_cond_t wake;
	struct entry *first;
	uint64_t last_number;
	unsigned waiting, ended; /* how many: queued or paused; kept after their end */
	bool stop;
};

static double clock_s(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void entry_free(struct entry *entry)
{
	if (!entry)
		return;
	if (entry->job.kind)
		job_release(&entry->job);
	json_decref(entry->final);
	free(entry);
}

static struct entry *find_locked(struct jobs *jobs, uint64_t number)
{
	struct entry *entry = jobs->first;

	while (entry && entry->number != number)
		entry = entry->next;
	return entry;
}

static void link_locked(struct jobs *jobs, struct entry *entry)
{
	struct entry **p = &jobs->first;

	while (*p && (*p)->number < entry->number)
		p = &(*p)->next;
	entry->next = *p;
	*p = entry;
}

/* Words about a job ---------------------------------------------------------------------------- */

static void set_time(json_t *json, const char *key, double when)
{
	json_object_set_new(json, key, when > 0 ? json_real(when) : json_null());
}

static void set_rate(json_t *json, const struct entry *entry)
{
	double done = (double)json_integer_value(json_object_get(json, "bytes_done"));
	double total = (double)json_integer_value(json_object_get(json, "bytes_total"));
	double active = entry->active, rate;

	if (entry->since > 0)
		active += clock_s(CLOCK_MONOTONIC) - entry->since;
	rate = active > 0.001 ? done / active : 0;
	json_object_set_new(json, "active_s", json_real(active));
	json_object_set_new(json, "rate", json_integer((json_int_t)rate));
	json_object_set_new(json, "eta_s",
			    entry->state == JOB_RUNNING && rate >= 1 && total > done
				    ? json_integer((json_int_t)((total - done) / rate) + 1)
				    : json_null());
}

/* NULL: no memory. */
static json_t *describe(struct entry *entry)
{
	json_t *json;

	if (entry->final)
		return json_incref(entry->final);
	json = job_json(&entry->job, entry->state >= JOB_DONE);
	if (!json)
		return NULL;
	json_object_set_new(json, "job", json_integer((json_int_t)entry->number));
	json_object_set_new(json, "state", json_string(state_names[entry->state]));
	set_time(json, "created", entry->created);
	set_time(json, "started", entry->started);
	set_time(json, "ended", entry->ended);
	set_rate(json, entry);
	return json;
}

int jobs_text(struct jobs *jobs, uint64_t number, char **out)
{
	struct entry *entry;
	json_t *root = NULL;
	int r = -ENOENT;

	pthread_mutex_lock(&jobs->lock);
	entry = find_locked(jobs, number);
	if (entry) {
		root = describe(entry);
		r = -ENOMEM;
	}
	pthread_mutex_unlock(&jobs->lock);
	if (root)
		job_json_name(jobs->fs, root);
	*out = root ? json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(15)) : NULL;
	json_decref(root);
	return *out ? 0 : r;
}

/* Records -------------------------------------------------------------------------------------- */

/* What is written of it: its words, and what was asked of it. */
static char *record_of(struct entry *entry)
{
	json_t *json = describe(entry);
	char *text;

	if (json) {
		json_object_set_new(json, "parts", json_integer((json_int_t)entry->parts));
		json_object_set_new(json, "own", json_boolean(entry->own));
		json_object_set_new(json, "cancel", json_boolean(entry->cancelled));
		json_object_set_new(json, "pause", json_boolean(entry->paused));
	}
	text = json ? json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(15)) : NULL;
	json_decref(json);
	return text;
}

/* Writes a job as it is now; one that is not there any more is deleted. The request of one that has
 * ended goes. */
static int record(struct jobs *jobs, uint64_t number)
{
	struct entry *entry;
	unsigned drop = 0;
	char *text = NULL;
	int r;

	pthread_mutex_lock(&jobs->store_lock);
	pthread_mutex_lock(&jobs->lock);
	entry = find_locked(jobs, number);
	if (entry) {
		if (entry->state >= JOB_DONE) {
			drop = entry->parts;
			entry->parts = 0;
		}
		text = record_of(entry);
	}
	pthread_mutex_unlock(&jobs->lock);
	if (!entry)
		r = job_store_drop(jobs->fs, number);
	else
		r = text ? job_store_put(jobs->fs, number, text, strlen(text), drop) : -ENOMEM;
	pthread_mutex_unlock(&jobs->store_lock);
	if (r)
		log_warning("job %llu: how it stands could not be recorded: %s",
			    (unsigned long long)number, strerror(-r));
	free(text);
	return r;
}

/* Who is to be forgotten first: of more than half our own, the oldest of those, so that settings on
 * many files do not push out the outcome of what somebody asked for and still waits to see. */
static struct entry **oldest_locked(struct jobs *jobs)
{
	struct entry **any = NULL, **own = NULL, **p;
	unsigned nown = 0;

	for (p = &jobs->first; *p; p = &(*p)->next) {
		if ((*p)->state < JOB_DONE)
			continue;
		any = any ? any : p;
		own = own || !(*p)->own ? own : p;
		nown += (*p)->own;
	}
	return nown > JOBS_KEPT / 2 ? own : any ? any : p;
}

/* Forgets the oldest ended jobs beyond those that are kept. */
static void drop_old(struct jobs *jobs)
{
	for (;;) {
		struct entry **p, *old;
		uint64_t number;

		pthread_mutex_lock(&jobs->lock);
		p = oldest_locked(jobs);
		old = jobs->ended > JOBS_KEPT ? *p : NULL;
		if (old) {
			*p = old->next;
			jobs->ended--;
		}
		pthread_mutex_unlock(&jobs->lock);
		if (!old)
			return;
		number = old->number;
		entry_free(old);
		record(jobs, number);
	}
}

/* Running -------------------------------------------------------------------------------------- */

static void ended_locked(struct jobs *jobs, struct entry *entry, int r)
{
	if (r == -ECANCELED)
		job_undo(jobs->fs, &entry->job);
	entry->job.error = r;
	entry->state = !r ? JOB_DONE : r == -ECANCELED ? JOB_CANCELLED : JOB_FAILED;
	entry->ended = clock_s(CLOCK_REALTIME);
	jobs->ended++;
}

/* The first in the queue; one that gives way, when there is no other. */
static struct entry *next_locked(struct jobs *jobs)
{
	struct entry *last = NULL;

	for (struct entry *entry = jobs->first; entry; entry = entry->next) {
		if (entry->state != JOB_QUEUED)
			continue;
		if (!job_gives_way(&entry->job))
			return entry;
		last = last ? last : entry;
	}
	return last;
}

/* Something has come into the queue: the runner is woken, or what runs makes room. */
static void wake_locked(struct jobs *jobs)
{
	struct entry *next = next_locked(jobs);

	pthread_cond_signal(&jobs->wake);
	if (!next || job_gives_way(&next->job))
		return;
	for (struct entry *entry = jobs->first; entry; entry = entry->next)
		if (entry->state == JOB_RUNNING && job_gives_way(&entry->job))
			atomic_store(&entry->job.progress.cancel, true);
}

static void begin_locked(struct jobs *jobs, struct entry *entry)
{
	entry->state = JOB_RUNNING;
	jobs->waiting--;
	atomic_store(&entry->job.progress.cancel, false);
	/* What is left is counted anew, on top of what is done. */
	atomic_store(&entry->job.total, entry->job.done);
	entry->since = clock_s(CLOCK_MONOTONIC);
	if (entry->started <= 0)
		entry->started = clock_s(CLOCK_REALTIME);
}

/* It has returned: ended, or was interrupted and waits again. */
static void leave_locked(struct jobs *jobs, struct entry *entry, int r)
{
	entry->active += clock_s(CLOCK_MONOTONIC) - entry->since;
	entry->since = 0;
	if (r != -ECANCELED || entry->cancelled) {
		ended_locked(jobs, entry, r);
		return;
	}
	entry->state = entry->paused ? JOB_PAUSED : JOB_QUEUED;
	entry->job.resumed = true;
	jobs->waiting++;
}

static void run_one(struct jobs *jobs, struct entry *entry)
{
	uint64_t number = entry->number;
	int r;

	record(jobs, number);
	r = job_run(jobs->fs, &entry->job);
	if (r && r != -ECANCELED)
		log_warning("job %llu (%s) failed: %s", (unsigned long long)number,
			    job_verb(&entry->job), strerror(-r));
	pthread_mutex_lock(&jobs->lock);
	leave_locked(jobs, entry, r);
	pthread_mutex_unlock(&jobs->lock);
	record(jobs, number);
	drop_old(jobs);
}

/* The pool's first scrub is due an interval after it was first mounted. */
static bool scrub_due(struct jobs *jobs)
{
	uint64_t now_s = (uint64_t)clock_s(CLOCK_REALTIME), since_s;
	struct scrub_status status;
	struct tunables tunables;

	pool_tunables(jobs->fs->pool, &tunables);
	pool_scrub_status(jobs->fs->pool, &status);
	since_s = status.ended_s > status.began_s ? status.ended_s : status.began_s;
	if (!tunables.scrub_interval_ns)
		return false;
	if (!since_s) {
		pool_scrub_count_from_now(jobs->fs->pool);
		return false;
	}
	return now_s > since_s && now_s - since_s >= tunables.scrub_interval_ns / 1000000000;
}

/* Waits until there may be something to do; asks for a scrub when one is due. Nothing runs. */
static void wait_locked(struct jobs *jobs)
{
	static const char request[] = "{\"verb\":\"" JOB_SCRUB "\"}";
	struct timespec until;
	char message[256];
	uint64_t number;
	bool waits = false;

	for (struct entry *entry = jobs->first; entry; entry = entry->next)
		waits |= entry->state < JOB_DONE && job_gives_way(&entry->job);
	pthread_mutex_unlock(&jobs->lock);
	if (!waits && scrub_due(jobs))
		jobs_submit(jobs, request, strlen(request), &number, message, sizeof(message));
	pthread_mutex_lock(&jobs->lock);
	if (jobs->stop || next_locked(jobs))
		return;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += LOOK_S;
	pthread_cond_timedwait(&jobs->wake, &jobs->lock, &until);
}

static void *run(void *arg)
{
	struct jobs *jobs = arg;

	pthread_mutex_lock(&jobs->lock);
	while (!jobs->stop) {
		struct entry *entry = next_locked(jobs);

		if (!entry) {
			wait_locked(jobs);
			continue;
		}
		begin_locked(jobs, entry);
		pthread_mutex_unlock(&jobs->lock);
		run_one(jobs, entry);
		pthread_mutex_lock(&jobs->lock);
	}
	pthread_mutex_unlock(&jobs->lock);
	return NULL;
}

/* Opening and closing -------------------------------------------------------------------------- */

static double real_of(const json_t *json, const char *key)
{
	return json_number_value(json_object_get(json, key));
}

static uint64_t integer_of(const json_t *json, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(json, key));
}

/* As it was when it was recorded last. */
static void restore(struct entry *entry, const json_t *json)
{
	entry->created = real_of(json, "created");
	entry->started = real_of(json, "started");
	entry->active = real_of(json, "active_s");
	entry->parts = (unsigned)integer_of(json, "parts");
	entry->cancelled = json_is_true(json_object_get(json, "cancel"));
	entry->paused = json_is_true(json_object_get(json, "pause"));
	entry->job.total = integer_of(json, "bytes_total");
	entry->job.done = integer_of(json, "bytes_done");
	entry->job.failed_frames = integer_of(json, "failed_frames");
	entry->job.resumed = entry->started > 0;
}

static bool has_ended(const json_t *json)
{
	const char *state = json_string_value(json_object_get(json, "state"));

	for (unsigned i = JOB_DONE; state && i < JOB_STATES; i++)
		if (!strcmp(state, state_names[i]))
			return true;
	return false;
}

/* It cannot be taken up (a tier of it has gone, say): kept as failed, with the reason. */
static void fail(struct entry *entry, const json_t *json, const char *message)
{
	entry->final = json_deep_copy(json);
	if (!entry->final)
		return;
	entry->parts = (unsigned)integer_of(json, "parts"); /* they go when it is recorded again */
	json_object_set_new(entry->final, "state", json_string(state_names[JOB_FAILED]));
	json_object_set_new(entry->final, "error", json_name(message));
	set_time(entry->final, "ended", clock_s(CLOCK_REALTIME));
}

static int take_up(struct jobs *jobs, struct entry *entry, json_t *json, const char *request,
		   size_t len)
{
	char message[256];
	int r = 0;

	if (has_ended(json)) {
		entry->final = json_incref(json);
	} else {
		entry->job.resumed = true; /* its paths may have gone */
		r = job_parse(&entry->job, jobs->fs, request, len, message, sizeof(message));
		if (r) {
			entry->job.kind = NULL;
			fail(entry, json, message);
		} else {
			restore(entry, json);
		}
	}
	if (!entry->job.kind && !entry->final)
		return -ENOMEM;
	if (entry->final) {
		/* Only for this. */
		json_object_del(entry->final, "parts");
		json_object_del(entry->final, "own");
		json_object_del(entry->final, "cancel");
		json_object_del(entry->final, "pause");
		entry->state = r ? JOB_FAILED : JOB_DONE;
		jobs->ended++;
	} else if (entry->cancelled) {
		ended_locked(jobs, entry, -ECANCELED);
	} else {
		entry->state = entry->paused ? JOB_PAUSED : JOB_QUEUED;
		jobs->waiting++;
	}
	return 0;
}

static int each_recorded(void *arg, uint64_t number, const char *text, const char *request,
			 size_t len)
{
	struct jobs *jobs = arg;
	struct entry *entry = calloc(1, sizeof(*entry));
	json_t *json = json_loads(text, 0, NULL);
	int r = -ENOMEM;

	jobs->last_number = number;
	if (json_is_true(json_object_get(json, "own")) && !has_ended(json)) {
		json_decref(json);
		free(entry);
		return job_store_drop(jobs->fs, number);
	}
	if (entry && json) {
		entry->number = number;
		r = take_up(jobs, entry, json, request, len);
	} else if (entry) {
		log_warning("job %llu: its record cannot be read; it is given up",
			    (unsigned long long)number);
		r = 0;
	}
	if (!r && json)
		link_locked(jobs, entry); /* nobody else is here yet */
	else
		entry_free(entry);
	json_decref(json);
	return r;
}

int jobs_new(struct fs *fs, struct jobs **out)
{
	struct jobs *jobs = calloc(1, sizeof(*jobs));
	int r;

	if (!jobs)
		return -ENOMEM;
	jobs->fs = fs;
	pthread_mutex_init(&jobs->store_lock, NULL);
	pthread_mutex_init(&jobs->lock, NULL);
	pthread_cond_init(&jobs->wake, NULL);
	r = job_store_each(fs, each_recorded, jobs);
	if (r) {
		log_error("the recorded jobs cannot be read: %s", strerror(-r));
		jobs_free(jobs);
		return r;
	}
	*out = jobs;
	return 0;
}

int jobs_start(struct jobs *jobs)
{
	int r;

	for (struct entry *entry = jobs->first; entry; entry = entry->next)
		if (entry->state >= JOB_DONE && entry->parts)
			record(jobs, entry->number);
	drop_old(jobs);
	r = pthread_create(&jobs->thread, NULL, run, jobs);
	jobs->started = !r;
	return -r;
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
	if (jobs->started)
		pthread_join(jobs->thread, NULL);
	while (jobs->first) {
		struct entry *entry = jobs->first;

		jobs->first = entry->next;
		entry_free(entry);
	}
	pthread_cond_destroy(&jobs->wake);
	pthread_mutex_destroy(&jobs->lock);
	pthread_mutex_destroy(&jobs->store_lock);
	free(jobs);
}

/* Asking --------------------------------------------------------------------------------------- */

/* Request first, then the record: without that the job does not exist. */
static int record_new(struct jobs *jobs, struct entry *entry)
{
	char *request = entry->own ? NULL : job_request(&entry->job), *text = NULL;
	int r = request || entry->own ? 0 : -ENOMEM;

	if (request)
		r = job_store_request(jobs->fs, entry->number, request, strlen(request),
				      &entry->parts);
	if (!r) {
		text = record_of(entry);
		r = text ? job_store_put(jobs->fs, entry->number, text, strlen(text), 0) : -ENOMEM;
		if (r)
			job_store_drop(jobs->fs, entry->number);
	}
	free(request);
	free(text);
	return r;
}

/* A number and a place in the queue. */
static int reserve(struct jobs *jobs, uint64_t *number)
{
	int r = 0;

	pthread_mutex_lock(&jobs->lock);
	if (jobs->waiting >= JOBS_QUEUED) {
		r = -EBUSY;
	} else {
		jobs->waiting++;
		*number = ++jobs->last_number;
	}
	pthread_mutex_unlock(&jobs->lock);
	return r;
}

static int submit(struct jobs *jobs, bool own, const char *text, size_t len, uint64_t *number,
		  char *message, size_t message_cap)
{
	struct entry *entry = calloc(1, sizeof(*entry));
	int r;

	if (!entry)
		return -ENOMEM;
	entry->own = own;
	r = job_parse(&entry->job, jobs->fs, text, len, message, message_cap);
	if (r) {
		entry->job.kind = NULL; /* it holds nothing */
		goto out;
	}
	r = reserve(jobs, number);
	if (r) {
		snprintf(message, message_cap, "%u jobs are waiting already", JOBS_QUEUED);
		goto out;
	}
	entry->number = *number;
	entry->created = clock_s(CLOCK_REALTIME);
	r = record_new(jobs, entry);
	pthread_mutex_lock(&jobs->lock);
	if (r) {
		jobs->waiting--;
		snprintf(message, message_cap, "the job cannot be recorded: %s", strerror(-r));
	} else {
		link_locked(jobs, entry);
		entry = NULL;
		wake_locked(jobs);
	}
	pthread_mutex_unlock(&jobs->lock);
out:
	entry_free(entry);
	return r;
}

int jobs_submit(struct jobs *jobs, const char *text, size_t len, uint64_t *number, char *message,
		size_t message_cap)
{
	return submit(jobs, false, text, len, number, message, message_cap);
}

/* To the last job, if that waits and places: what is set on many files is one job or a few. */
static bool join_locked(struct jobs *jobs, uint64_t id)
{
	struct entry *last = NULL;

	for (struct entry *entry = jobs->first; entry; entry = entry->next)
		last = entry;
	return last && last->own && last->state == JOB_QUEUED &&
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
	return submit(jobs, true, request, strlen(request), &number, message, sizeof(message));
}

uint64_t jobs_placing(struct jobs *jobs, uint64_t id)
{
	uint64_t number = 0;

	pthread_mutex_lock(&jobs->lock);
	for (struct entry *entry = jobs->first; entry; entry = entry->next)
		if (entry->job.kind && job_place_has(&entry->job, id))
			number = entry->number;
	pthread_mutex_unlock(&jobs->lock);
	return number;
}

/* What becomes of a waiting or running job when it is asked to stop. */
enum wish { WISH_CANCEL, WISH_PAUSE, WISH_RESUME };

static void wish_locked(struct jobs *jobs, struct entry *entry, enum wish wish)
{
	if (wish == WISH_CANCEL)
		entry->cancelled = true;
	else
		entry->paused = wish == WISH_PAUSE;
	if (entry->state == JOB_RUNNING) {
		/* One that is resumed while it is being interrupted runs again at once. */
		if (wish != WISH_RESUME)
			atomic_store(&entry->job.progress.cancel, true);
		return;
	}
	if (wish == WISH_CANCEL) {
		jobs->waiting--;
		ended_locked(jobs, entry, -ECANCELED);
		return;
	}
	entry->state = entry->paused ? JOB_PAUSED : JOB_QUEUED;
	wake_locked(jobs);
}

static int ask(struct jobs *jobs, uint64_t number, enum wish wish)
{
	struct entry *entry;
	bool changed = false;

	pthread_mutex_lock(&jobs->lock);
	entry = find_locked(jobs, number);
	if (entry && entry->state < JOB_DONE) {
		/* It has closed a directory, perhaps; reopening is short and takes no lock of ours.
		 */
		if (wish == WISH_CANCEL && entry->state != JOB_RUNNING)
			job_undo(jobs->fs, &entry->job);
		wish_locked(jobs, entry, wish);
		changed = true;
	}
	pthread_mutex_unlock(&jobs->lock);
	if (!entry)
		return -ENOENT;
	if (changed && record(jobs, number))
		return -EIO;
	drop_old(jobs);
	return 0;
}

int jobs_cancel(struct jobs *jobs, uint64_t number)
{
	return ask(jobs, number, WISH_CANCEL);
}

int jobs_pause(struct jobs *jobs, uint64_t number)
{
	return ask(jobs, number, WISH_PAUSE);
}

int jobs_resume(struct jobs *jobs, uint64_t number)
{
	return ask(jobs, number, WISH_RESUME);
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
