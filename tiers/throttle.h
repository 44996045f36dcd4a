/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes a fast disk behave like a slow one, for tests and benchmarks: requests share one bandwidth,
 * one after another, and each waits for a delay of its own (delays of queued requests overlap, as
 * seeks do in a disk with a command queue). Any thread.
 */
#ifndef TERRACE_TIERS_THROTTLE_H
#define TERRACE_TIERS_THROTTLE_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

struct throttle {
	pthread_mutex_t lock; /* guards busy_until_ns */
	uint64_t busy_until_ns;
	uint64_t delay_ns;  /* per request; 0 = none */
	uint64_t bandwidth; /* bytes/s; 0 = no limit */
};

void throttle_init(struct throttle *throttle, uint64_t delay_ns, uint64_t bandwidth);
void throttle_release(struct throttle *throttle);
/* Sleeps for as long as a request of len bytes takes; returns at once when nothing is set. */
void throttle_wait(struct throttle *throttle, size_t len);

#endif
