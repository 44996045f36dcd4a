// SPDX-License-Identifier: Apache-2.0
/*
 * Event number n stands at ring[n % EVENTS_KEPT]. The ring is allocated whole, so that adding an
 * event cannot fail; pages that no event has reached take no memory.
 *
 * wake() is called with wake_lock held shared and never with `lock`: a listener may read events
 * from it, and who takes the listener away waits until it does not run any more.
 */
#include "tiers/engine/events.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

struct events {
	pthread_mutex_t lock; /* guards last and ring */
	uint64_t last;
	struct event *ring;
	pthread_rwlock_t wake_lock; /* guards wake and arg */
	void (*wake)(void *arg);
	void *arg;
};

int events_new(struct events **out)
{
	struct events *events = calloc(1, sizeof(*events));

	*out = NULL;
	if (!events)
		return -ENOMEM;
	events->ring = calloc(EVENTS_KEPT, sizeof(*events->ring));
	if (!events->ring) {
		free(events);
		return -ENOMEM;
	}
	pthread_mutex_init(&events->lock, NULL);
	pthread_rwlock_init(&events->wake_lock, NULL);
	*out = events;
	return 0;
}

void events_free(struct events *events)
{
	if (!events)
		return;
	pthread_rwlock_destroy(&events->wake_lock);
	pthread_mutex_destroy(&events->lock);
	free(events->ring);
	free(events);
}

void events_wake_set(struct events *events, void (*wake)(void *arg), void *arg)
{
	pthread_rwlock_wrlock(&events->wake_lock);
	events->wake = wake;
	events->arg = arg;
	pthread_rwlock_unlock(&events->wake_lock);
}

void events_add(struct events *events, const struct event *event)
{
	struct timespec now;
	struct event *slot;

	pthread_mutex_lock(&events->lock);
	/* Under the lock: later numbers have later times. */
	clock_gettime(CLOCK_REALTIME, &now);
	slot = &events->ring[++events->last % EVENTS_KEPT];
	*slot = *event;
	slot->number = events->last;
	slot->time_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
	slot->text[sizeof(slot->text) - 1] = '\0';
	pthread_mutex_unlock(&events->lock);
	pthread_rwlock_rdlock(&events->wake_lock);
	if (events->wake)
		events->wake(events->arg);
	pthread_rwlock_unlock(&events->wake_lock);
}

int events_get(struct events *events, uint64_t after, struct event *out, uint64_t *missed)
{
	uint64_t oldest, next;
	int r = -ENOENT;

	*missed = 0;
	pthread_mutex_lock(&events->lock);
	oldest = events->last > EVENTS_KEPT ? events->last - EVENTS_KEPT + 1 : 1;
	if (after < events->last) {
		next = after + 1 < oldest ? oldest : after + 1;
		*missed = next - (after + 1);
		*out = events->ring[next % EVENTS_KEPT];
		r = 0;
	}
	pthread_mutex_unlock(&events->lock);
	return r;
}

uint64_t events_last(struct events *events)
{
	uint64_t last;

	pthread_mutex_lock(&events->lock);
	last = events->last;
	pthread_mutex_unlock(&events->lock);
	return last;
}

const char *event_kind_name(enum event_kind kind)
{
	static const char *const names[EVENT_KINDS] = {"move",	 "parked", "unparked", "breaker",
						       "place",	 "config", "pressure", "damage",
						       "mended", "scrub"};

	return (unsigned)kind < EVENT_KINDS ? names[kind] : "?";
}
