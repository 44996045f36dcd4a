/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a folder overlaps with what a pool is made of: the directories of its tiers, its metadata
 * and its RAM folder. Folders are compared by what they are (device and inode, upwards to the
 * root), so links and bind mounts do not hide anything. What is not there overlaps with nothing.
 *
 * Threads: any.
 */
#ifndef TERRACE_TIERS_OVERLAP_H
#define TERRACE_TIERS_OVERLAP_H

#include <stdbool.h>

struct pool_config;

/* inner is outer, or lies in it. */
bool overlap_within(const char *inner, const char *outer);

/* 0; -EBUSY, with a line in the log: a mount at this folder would hide the pool's own files from
 * the daemon, whose requests would then wait for itself. -ENOMEM. */
int overlap_check_mount(const struct pool_config *config, const char *point);

#endif
