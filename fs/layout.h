/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When a file turns from frames into a plain file and back (tiers/plain.h): when that is set on it;
 * when it is made where that is in force; when it is opened for writing and is not plain yet; when
 * it has gone cold. Never while somebody has it open.
 *
 * Threads: any; no transaction open. Errors: negative errno.
 */
#ifndef TERRACE_FS_LAYOUT_H
#define TERRACE_FS_LAYOUT_H

#include <stdbool.h>
#include <stdint.h>

struct fs;
struct object;

/* Sets (text NULL: removes) user.terrace.layout; a file turns before this returns, so an error of
 * that (-EBUSY: it is open; -ENOSPC) leaves the setting as it was. */
int layout_set(struct fs *fs, uint64_t id, const char *text, int flags);
/* A file has just been made and nobody knows of it: no error, it stays in frames then. */
void layout_created(struct fs *fs, struct object *object);
/* It is about to be opened for writing. What cannot turn now, or is large, opens as it is. */
void layout_opening(struct fs *fs, struct object *object);
/* Plain files that should not be any more go back into frames: those that nothing wants plain now,
 * that were not used for plain_idle, or whose directory is being emptied. Ends soon when the
 * filesystem is closed. */
void layout_pass(struct fs *fs);

#endif
