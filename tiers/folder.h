/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A folder of the daemon's own in a place that others write to, as /dev/shm: whoever made it first,
 * or put a link there, must not choose where written data goes or what is removed.
 *
 * Threads: one at a time per folder. Errors: negative errno, logged.
 */
#ifndef TERRACE_TIERS_FOLDER_H
#define TERRACE_TIERS_FOLDER_H

#include <stdbool.h>
#include <sys/stat.h>

/*
 * Makes the folder (0700), or takes one that is there: no link, of this user or of the user that
 * `trusted` (a path, may be NULL) belongs to, and written to by nobody else. Nobody else may rename
 * it, either. One that root makes belongs to the owner of `trusted`. -EPERM otherwise; -ENOTDIR;
 * what mkdir(2) says.
 */
int folder_claim(const char *path, const char *trusted, bool *made);

/* Removes the files in a folder of this user, and the folder. Follows no link; what it may not
 * remove stays. */
void folder_remove(const char *path);

/*
 * Asks about a folder, and then about each one above it up to the root; fd is open with O_PATH.
 * True as soon as the answer is; false also for what is not there.
 */
bool folder_upwards(const char *path, bool (*is)(int fd, const struct stat *st, void *arg),
		    void *arg);

#endif
