/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The filesystems that tiers' directories are on: each is asked for its space once a second at
 * most, whoever asks, and what tiers write in between is taken off. Directories on one filesystem
 * share one medium, also of different tiers: what is free there is free once.
 *
 * A medium lives as long as the process, and there are as many as filesystems were seen. Calls log
 * nothing. Threads: any.
 */
#ifndef TERRACE_TIERS_MEDIUM_H
#define TERRACE_TIERS_MEDIUM_H

#include <stdint.h>

struct medium;

/* The medium of a directory. -ENOENT and the like; -ENOMEM. */
int medium_of(const char *path, struct medium **out);
/* st_dev: equal for directories that share a medium. */
uint64_t medium_device(const struct medium *medium);
/* Bytes that tiers take there, as they change. */
void medium_used_add(struct medium *medium, int64_t bytes);
/* Bytes in all, and free for us; path is a directory on it. */
int medium_space(struct medium *medium, const char *path, uint64_t *total, uint64_t *free_bytes);
/* Something was given back, or refused: the next call asks again. */
void medium_forget(struct medium *medium);

#endif
