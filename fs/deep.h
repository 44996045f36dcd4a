/* SPDX-License-Identifier: Apache-2.0 */
/* Paths that may be longer than PATH_MAX, as trees have them that are walked by descriptors.
 * Threads: any. */
#ifndef TERRACE_FS_DEEP_H
#define TERRACE_FS_DEEP_H

#include <stddef.h>

/*
 * Opens (O_PATH) a folder on the way of path, which is relative to `top`, such that what is left of
 * it, *rest, is short enough for a system call. A descriptor, the caller's; or a negative errno.
 * Follows no link in the last part of what it opens.
 */
int deep_open(int top, const char *path, const char **rest);

/* A path that grows and shrinks by names, without a bound. */
struct deep_path {
	char *text; /* the caller frees it */
	size_t len, cap;
};

int deep_begin(struct deep_path *path); /* "". -ENOMEM: text is NULL */
/* Puts a name behind it. -ENOMEM: it is as it was. */
int deep_push(struct deep_path *path, const char *name);
/* Back to what it was when its length was `len`. */
void deep_cut(struct deep_path *path, size_t len);

/* How many folders in each other a walk by recursion may go into, on the stack of the program's
 * first thread: DEEP_LEVELS, or fewer where the system allows it a smaller one than 8 MiB. For
 * walks that take at most DEEP_LEVEL_BYTES for each (tests/mount/t-deep.sh). */
#define DEEP_LEVELS	 4096u
#define DEEP_LEVEL_BYTES 2048u
unsigned deep_levels(void);

/* A level of folders takes descriptors, and so does each plain file that the daemon has open:
 * allows as many as the system lets this process have. */
void deep_allow(void);

#endif
