// SPDX-License-Identifier: Apache-2.0
/*
 * One flag wakes the thread: an event has come, a read has come, a caller was interrupted. It then
 * tries every read again; so nothing that happens between a look and going to sleep is missed.
 *
 * A request may be freed as soon as it is in the list (the thread answers it), so what is asked of
 * it before, its interrupt function, is set before it gets there. An interrupt that comes too early
 * for the list is seen when the thread looks at the request itself.
 *
 * Order of locks: libfuse's of a request < lock < libfuse's of the session.
 */
#include "fs/fuse_wait.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "fs/control.h"
#include "tiers/engine/engine.h"
#include "tiers/engine/events.h"

struct waiting { /* a read */
	struct waiting *next;
	fuse_req_t req;
	struct control_file *file;
	size_t len;
};

struct polling {
	struct polling *next;
	struct control_file *file;
	struct fuse_pollhandle *handle;
};

struct waits {
	struct fs *fs;
	pthread_t thread;
	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t wake;
	struct waiting *reads;
	unsigned nreads; /* with those that the thread is trying; one may have been answered */
	struct polling *polls;
	bool woken, stop;
};

static void wake(void *arg)
{
	struct waits *waits = arg;

	pthread_mutex_lock(&waits->lock);
	waits->woken = true;
	pthread_cond_signal(&waits->wake);
	pthread_mutex_unlock(&waits->lock);
}

static void on_interrupt(fuse_req_t req, void *arg)
{
	(void)req;
	wake(arg);
}

/* Answers, or says false: it has to wait. */
static bool try_read(fuse_req_t req, struct control_file *file, size_t len, bool nonblock)
{
	char *buf = malloc(len ? len : 1);
	size_t got = 0;
	int r = buf ? control_read(file, buf, len, 0, &got) : -ENOMEM;

	if (!r)
		fuse_reply_buf(req, buf, got);
	else if (r != -EAGAIN || nonblock)
		reply(req, r);
	free(buf);
	return r != -EAGAIN || nonblock;
}

static bool try_waiting(struct waiting *read)
{
	if (try_read(read->req, read->file, read->len, false))
		return true;
	if (!fuse_req_interrupted(read->req))
		return false;
	reply(read->req, -EINTR);
	return true;
}

static void tell_polls(struct polling *polls)
{
	while (polls) {
		struct polling *poll = polls;

		polls = poll->next;
		fuse_lowlevel_notify_poll(poll->handle);
		fuse_pollhandle_destroy(poll->handle);
		free(poll);
	}
}

/* At once, not for all at the end: their readers come back for more meanwhile. */
static void answered(struct waits *waits)
{
	pthread_mutex_lock(&waits->lock);
	waits->nreads--;
	pthread_mutex_unlock(&waits->lock);
}

/* Takes both lists, works without the lock, puts back the reads that go on waiting. */
static void look_locked(struct waits *waits)
{
	struct waiting *reads = waits->reads, *left = NULL, **end = &left;
	struct polling *polls = waits->polls;

	waits->reads = NULL;
	waits->polls = NULL;
	pthread_mutex_unlock(&waits->lock);
	tell_polls(polls);
	while (reads) {
		struct waiting *read = reads;

		reads = read->next;
		if (try_waiting(read)) {
			free(read);
			answered(waits);
		} else {
			*end = read;
			end = &read->next;
		}
	}
	pthread_mutex_lock(&waits->lock);
	*end = waits->reads;
	waits->reads = left;
}

static void *run(void *arg)
{
	struct waits *waits = arg;

	pthread_mutex_lock(&waits->lock);
	while (!waits->stop) {
		if (!waits->woken) {
			pthread_cond_wait(&waits->wake, &waits->lock);
			continue;
		}
		waits->woken = false;
		look_locked(waits);
	}
	pthread_mutex_unlock(&waits->lock);
	return NULL;
}

int waits_new(struct fs *fs, struct waits **out)
{
	struct waits *waits = calloc(1, sizeof(*waits));
	int r;

	if (!waits)
		return -ENOMEM;
	waits->fs = fs;
	pthread_mutex_init(&waits->lock, NULL);
	pthread_cond_init(&waits->wake, NULL);
	r = pthread_create(&waits->thread, NULL, run, waits);
	if (r) {
		free(waits);
		return -r;
	}
	events_wake_set(pool_events(fs->pool), wake, waits);
	*out = waits;
	return 0;
}

void waits_free(struct waits *waits)
{
	if (!waits)
		return;
	events_wake_set(pool_events(waits->fs->pool), NULL, NULL);
	pthread_mutex_lock(&waits->lock);
	waits->stop = true;
	pthread_cond_signal(&waits->wake);
	pthread_mutex_unlock(&waits->lock);
	pthread_join(waits->thread, NULL);
	while (waits->reads) {
		struct waiting *read = waits->reads;

		waits->reads = read->next;
		reply(read->req, -ENODEV);
		free(read);
	}
	while (waits->polls) {
		struct polling *poll = waits->polls;

		waits->polls = poll->next;
		fuse_pollhandle_destroy(poll->handle);
		free(poll);
	}
	pthread_cond_destroy(&waits->wake);
	pthread_mutex_destroy(&waits->lock);
	free(waits);
}

void waits_read(struct waits *waits, fuse_req_t req, struct control_file *file, size_t len,
		bool nonblock)
{
	struct waiting *read;

	if (try_read(req, file, len, nonblock))
		return;
	read = malloc(sizeof(*read));
	if (!read) {
		reply(req, -ENOMEM);
		return;
	}
	*read = (struct waiting){.req = req, .file = file, .len = len};
	fuse_req_interrupt_func(req, on_interrupt, waits);
	pthread_mutex_lock(&waits->lock);
	if (waits->nreads < WAITS_MAX) {
		waits->nreads++;
		read->next = waits->reads;
		waits->reads = read;
		read = NULL;
		waits->woken = true; /* an event, or the interrupt, may have come meanwhile */
		pthread_cond_signal(&waits->wake);
	}
	pthread_mutex_unlock(&waits->lock);
	if (read)
		reply(req, -EBUSY);
	free(read);
}

void waits_poll(struct waits *waits, struct control_file *file, struct fuse_pollhandle *handle)
{
	struct polling *poll;

	pthread_mutex_lock(&waits->lock);
	for (poll = waits->polls; poll && poll->file != file; poll = poll->next)
		;
	if (poll) { /* one is enough: the kernel asks again for each who polls */
		fuse_pollhandle_destroy(poll->handle);
		poll->handle = handle;
	} else if ((poll = malloc(sizeof(*poll)))) {
		*poll = (struct polling){waits->polls, file, handle};
		waits->polls = poll;
	} else {
		fuse_pollhandle_destroy(handle);
	}
	pthread_mutex_unlock(&waits->lock);
}

void waits_forget(struct waits *waits, struct control_file *file)
{
	struct polling **p, *gone = NULL;

	pthread_mutex_lock(&waits->lock);
	for (p = &waits->polls; *p && (*p)->file != file; p = &(*p)->next)
		;
	if (*p) {
		gone = *p;
		*p = gone->next;
	}
	pthread_mutex_unlock(&waits->lock);
	if (gone) {
		fuse_pollhandle_destroy(gone->handle);
		free(gone);
	}
}
