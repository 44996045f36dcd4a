/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the engine has done, for whoever listens: a bounded ring of the last EVENTS_KEPT events,
 * numbered without gaps. Who is slower than the ring is told how many he missed. Nothing waits for
 * a listener.
 *
 * Threads: any. A leaf lock inside; `wake` is called without it.
 */
#ifndef TERRACE_ENGINE_EVENTS_H
#define TERRACE_ENGINE_EVENTS_H

#include <stddef.h>
#include <stdint.h>

#include "tiers/engine/decide.h"

#define EVENTS_KEPT 8192u

enum event_kind {
	EVENT_MOVE,	/* a run of an object has changed tier, or was coded anew */
	EVENT_PARKED,	/* work was given up for now */
	EVENT_UNPARKED, /* ... and is possible again */
	EVENT_BREAKER,	/* a tier's breaker has changed its state */
	EVENT_PLACE,	/* a directory was added, removed, lost or is full */
	EVENT_CONFIG,	/* a setting was changed while mounted */
	EVENT_PRESSURE, /* memory is short: the RAM tier has another limit; before, after */
	EVENT_DAMAGE,	/* a frame cannot be read; `from`: its tier */
	EVENT_MENDED,	/* ... or could not, in one of its places, and now can */
	EVENT_SCRUB,	/* a scrub has begun or ended */
	EVENT_KINDS
};

struct event {
	uint64_t number; /* from 1; set by events_add() */
	int64_t time_ns; /* since 1970; set by events_add() */
	enum event_kind kind;
	uint64_t object;	/* 0 = none */
	uint64_t off, len;	/* of the object */
	int from, to;		/* tiers, -1 = none */
	uint64_t before, after; /* stored bytes */
	enum move_reason reason;
	int error;     /* negative errno, 0 = none */
	char text[96]; /* breaker: its state; place: the path; config: key = value; parked: why */
};

struct events;

int events_new(struct events **out); /* -ENOMEM */
void events_free(struct events *events);
/* Called after every event that was added, by the thread that added it; NULL: nobody. When this
 * returns, the function that was set before does not run any more: do not call it from there. */
void events_wake_set(struct events *events, void (*wake)(void *arg), void *arg);

void events_add(struct events *events, const struct event *event);
/* The first event numbered > after: 0, *missed = how many between were dropped; -ENOENT: none yet.
 */
int events_get(struct events *events, uint64_t after, struct event *out, uint64_t *missed);
uint64_t events_last(struct events *events); /* number of the newest, 0 = none */

const char *event_kind_name(enum event_kind kind); /* "move", "parked" ... */

#endif
