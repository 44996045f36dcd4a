/* SPDX-License-Identifier: Apache-2.0 */
/* Directories for tests of directory tiers: made below /tmp (a disk) or /dev/shm (memory), removed
 * with everything in them by dir_fixture_remove(). Also small tmpfs mounts, for a full medium. */
#ifndef TERRACE_TESTS_FIX_DIR_H
#define TERRACE_TESTS_FIX_DIR_H

#include <stdbool.h>
#include <stdint.h>

#define DIR_FIXTURE_PATHS 4

struct dir_fixture {
	char root[64];
	char paths[DIR_FIXTURE_PATHS][80]; /* root/0 .. root/3, all made */
	const char *list[DIR_FIXTURE_PATHS];
	unsigned mounted; /* bit i: paths[i] is a mount of ours */
};

/* base: "/tmp" or "/dev/shm". Fails the test if it cannot. */
void dir_fixture_make(struct dir_fixture *fixture, const char *base);
void dir_fixture_remove(struct dir_fixture *fixture);
/* Mounts a tmpfs of this many bytes on paths[i]; false when we may not (not root). */
bool dir_fixture_mount(struct dir_fixture *fixture, unsigned i, uint64_t bytes);
bool dir_fixture_read_only(struct dir_fixture *fixture, unsigned i);

/* Log lines since the last call, one string; the log goes nowhere else while captured. */
void log_capture(void);
const char *log_captured(void);
void log_release(void);

#endif
