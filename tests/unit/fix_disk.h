/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Power loss for whole folders, each standing for a medium with its own write cache. One run is
 * recorded, call by call; afterwards the folders can be made again as they could have been found if
 * the power had gone after any of the calls:
 *
 *	DISK_KEPT   everything that had been done
 *	DISK_LOST   only what had been synced: bytes by a sync of their file, names by a sync of
 *	            their folder
 *	DISK_TORN   the names of the one or the other, of each changed sector of 512 bytes the old
 *	            or the new bytes, any of the two lengths
 *	DISK_NAMED  the names and lengths, zeros where the new bytes should be
 *
 * The calls come through tiers/io.h and, for libraries that write by themselves (LMDB), through the
 * system calls that fix_disk_calls.h puts in front of libc's; only one .c file of a program may
 * include that. Any failure of the machine aborts.
 *
 * Threads: any while recording; recorded calls are made one at a time.
 */
#ifndef TERRACE_TESTS_FIX_DISK_H
#define TERRACE_TESTS_FIX_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define DISK_MEDIA 5u

enum disk_outcome { DISK_KEPT, DISK_LOST, DISK_TORN, DISK_NAMED, DISK_OUTCOMES };

/* What is there now is durable. The folders must not lie in each other. */
void disk_record(const char *const *folders, unsigned n);
/* Calls recorded so far. */
size_t disk_steps(void);
/* The nth sync from now on fails with EIO, and what it was to write is forgotten: no later sync
 * writes it either, as the page cache has it. 0: none. */
void disk_fail_sync(unsigned n);
/* The same for all syncs, until it is taken back. */
void disk_fail_syncs(bool fail);
/* Ends the recording. */
void disk_stop(void);

/* Goes to the state after the first `step` calls; only forward. Returns a bit for each medium on
 * which something is not synced. */
unsigned disk_at(size_t step);
/* Makes the folders anew, outcome[i] for the i-th. */
void disk_make(const enum disk_outcome *outcome, uint64_t seed);
void disk_release(void);

/* For fix_disk_calls.h. lock/unlock around the call itself. */
void disk_lock(void);
void disk_unlock(void);
void disk_wrote(int fd, const void *buf, size_t len, off_t off);
bool disk_sync_fails(int fd);
void disk_synced(int fd);
void disk_resized(int fd, off_t len);

#endif
