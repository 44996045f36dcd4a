/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When a file turns from frames into a plain file and back (tiers/plain.h): when that is set on it;
 * when it is made where that is in force; when it is opened for writing and is not plain yet; when
 * it has gone cold. Never while somebody has it open.
 *
 * The engine's own word (terrace.conf(5), plain_databases) is a setting of the file that nobody
 * else can make, POLICY_DATABASE. It is made at the last close of what was written like a database
 * (fs/databases.h) and nobody has said anything of, holds as long as it may be made, and goes when
 * the file has gone cold.
 *
 * Threads: any; no transaction open. Errors: negative errno.
 */
#ifndef TERRACE_FS_LAYOUT_H
#define TERRACE_FS_LAYOUT_H

#include <stdbool.h>
#include <stdint.h>

struct fs;
struct object;
struct object_policy;

/* Sets (text NULL: removes) user.terrace.layout; a file turns before this returns, so an error of
 * that (-EBUSY: it is open; -ENOSPC) leaves the setting as it was. */
int layout_set(struct fs *fs, uint64_t id, const char *text, int flags);
/* A file has just been made and nobody knows of it: no error, it stays in frames then. */
void layout_created(struct fs *fs, struct object *object);
/* It is about to be opened for writing. What cannot turn now, or is large, opens as it is. */
void layout_opening(struct fs *fs, struct object *object);
/* May files become plain by the engine's own word? If not, nobody need count (fs/databases.h). */
bool layout_seeks_databases(const struct fs *fs);
/* It has just been closed by all. */
void layout_closed(struct fs *fs, struct object *object);
/* Plain files that should not be any more go back into frames: those that nothing wants plain now,
 * that were not used for plain_idle, or whose directory is being emptied. Databases that have been
 * seen become plain. Ends soon when the filesystem is closed. */
void layout_pass(struct fs *fs);

/* What is in force for a file, as policy_effective(), but plain only if the engine's word holds. */
void layout_effective(struct fs *fs, uint64_t id, struct object_policy *out);
/* Is that the engine's word, whether or not it holds? */
bool layout_is_database(struct fs *fs, uint64_t id);

#endif
