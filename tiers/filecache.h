/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The segment files of a directory tier: a bounded cache of open descriptors, and for each file
 * what is not yet durable and how many bytes of disk it takes.
 *
 * A file is used between filecache_open() (or _create()) and filecache_close(). Descriptors of
 * idle, durable files are closed beyond `most_fds`, the longest unused first; files with bytes not
 * yet synced stay open, so that a write-back error of the kernel cannot be lost with the inode.
 *
 * Calls return 0 or a negative errno and log nothing. Threads: any.
 */
#ifndef TERRACE_TIERS_FILECACHE_H
#define TERRACE_TIERS_FILECACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "tiers/tier.h"

struct filecache;
struct medium;
struct segfile; /* a reference to an open segment file */

int filecache_new(struct filecache **out, unsigned most_fds);
void filecache_free(struct filecache *cache);

/* A place's directory, copied, and the medium whose account is kept. -ENOMEM. */
int filecache_place_add(struct filecache *cache, uint32_t place, const char *root,
			struct medium *medium);
/* Lets go of the files of a place that nobody uses any more. Who still holds one goes on. */
void filecache_place_remove(struct filecache *cache, uint32_t place);
/* As given to filecache_place_add(); valid until filecache_free(). */
const char *filecache_root(struct filecache *cache, uint32_t place);

/* "ROOT/segments/XX/XXXXXXXXXXXXXXXX.seg" into buf. -ENAMETOOLONG. */
int filecache_path(struct filecache *cache, struct tier_segment seg, char *buf, size_t cap);

/* -ENOENT no such file. */
int filecache_open(struct filecache *cache, struct tier_segment seg, struct segfile **out);
/* A new, empty file, and its sub-folder where that is missing. -EEXIST; -EIO when the segments/
 * folder itself is gone (a disk that was unmounted under us). */
int filecache_create(struct filecache *cache, struct tier_segment seg, struct segfile **out);
void filecache_close(struct filecache *cache, struct segfile *file);
/* Takes the name away and the bytes off the account. Readers that hold the file go on. */
int filecache_remove(struct filecache *cache, struct tier_segment seg);

int segfile_fd(const struct segfile *file);
/* A second descriptor with O_DIRECT, opened when first asked for; negative errno where refused. */
int segfile_direct(struct filecache *cache, struct segfile *file);

/* To be called after anything was written, whole or in part: it needs a sync, its size changed. */
void segfile_changed(struct filecache *cache, struct segfile *file);
/* As segfile_changed(), but only the disk account (after punching). */
void segfile_account(struct filecache *cache, struct segfile *file);
/* Error of an earlier failed sync, which stays with the file for ever; 0 none. */
int segfile_error(struct filecache *cache, struct segfile *file);
/*
 * Data and name durable up to now. Callers at the same time share one sync. *led (may be NULL):
 * this call did the work, so an error is this caller's to log.
 */
int segfile_sync(struct filecache *cache, struct segfile *file, bool *led);

/* Bytes of disk (st_blocks * 512) of a place's files: what was added plus what changed since. */
uint64_t filecache_used(struct filecache *cache, uint32_t place);
uint64_t filecache_used_all(struct filecache *cache); /* of all places */
void filecache_used_add(struct filecache *cache, uint32_t place, uint64_t bytes);

#endif
