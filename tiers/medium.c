// SPDX-License-Identifier: Apache-2.0
#include "tiers/medium.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "tiers/clock.h"

#define STATVFS_NS 1000000000u /* how old a cached answer may be */

struct medium {
	struct medium *next;
	uint64_t device;
	pthread_mutex_t lock; /* all below */
	uint64_t asked_ns;    /* 0: ask again */
	uint64_t total, free;
	int64_t used;	    /* by tiers, as they say; relative: only its changes count */
	int64_t used_asked; /* ... when the medium was asked */
};

static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static struct medium *list;

int medium_of(const char *path, struct medium **out)
{
	struct medium *medium;
	struct stat st;

	*out = NULL;
	if (stat(path, &st))
		return -errno;
	pthread_mutex_lock(&list_lock);
	medium = list;
	while (medium && medium->device != st.st_dev)
		medium = medium->next;
	if (!medium) {
		medium = calloc(1, sizeof(*medium));
		if (medium) {
			medium->device = st.st_dev;
			pthread_mutex_init(&medium->lock, NULL);
			medium->next = list;
			list = medium;
		}
	}
	pthread_mutex_unlock(&list_lock);
	*out = medium;
	return medium ? 0 : -ENOMEM;
}

uint64_t medium_device(const struct medium *medium)
{
	return medium->device;
}

void medium_used_add(struct medium *medium, int64_t bytes)
{
	pthread_mutex_lock(&medium->lock);
	medium->used += bytes;
	pthread_mutex_unlock(&medium->lock);
}

int medium_space(struct medium *medium, const char *path, uint64_t *total, uint64_t *free_bytes)
{
	uint64_t now = clock_mono_ns(), grown;
	int64_t used;
	bool fresh;

	pthread_mutex_lock(&medium->lock);
	fresh = medium->asked_ns && now - medium->asked_ns < STATVFS_NS;
	used = medium->used; /* before asking: what comes in between counts twice, not never */
	pthread_mutex_unlock(&medium->lock);
	if (!fresh) {
		struct statvfs fs;

		if (statvfs(path, &fs))
			return -errno;
		pthread_mutex_lock(&medium->lock);
		medium->asked_ns = now;
		medium->total = (uint64_t)fs.f_blocks * fs.f_frsize;
		medium->free = (uint64_t)fs.f_bavail * fs.f_frsize;
		medium->used_asked = used;
		pthread_mutex_unlock(&medium->lock);
	}
	pthread_mutex_lock(&medium->lock);
	/* What was written since is gone already. */
	grown = medium->used > medium->used_asked ? (uint64_t)(medium->used - medium->used_asked)
						  : 0;
	*total = medium->total;
	*free_bytes = medium->free > grown ? medium->free - grown : 0;
	pthread_mutex_unlock(&medium->lock);
	return 0;
}

void medium_forget(struct medium *medium)
{
	pthread_mutex_lock(&medium->lock);
	medium->asked_ns = 0;
	pthread_mutex_unlock(&medium->lock);
}
