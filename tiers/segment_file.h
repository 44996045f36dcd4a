/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a directory of a tier keeps its segments: ROOT/segments/XX/XXXXXXXXXXXXXXXX.seg, XX being
 * the number's low byte (terrace-format(5), DIRECTORY TIERS). For the tier itself, and for those
 * that look at its files without it. Any thread.
 */
#ifndef TERRACE_TIERS_SEGMENT_FILE_H
#define TERRACE_TIERS_SEGMENT_FILE_H

#include <stddef.h>
#include <stdint.h>

/* -ENAMETOOLONG. */
int segment_file_path(char *buf, size_t cap, const char *root, uint64_t id);
/*
 * Calls each() for every name of a segment in a directory, in no order; folder: where the name is,
 * open. Files that are not ours by name are passed over. Ends on non-zero, which is returned.
 * Errors of the listing: negative errno, logged.
 */
int segment_files_each(const char *root,
		       int (*each)(void *arg, uint64_t id, int folder, const char *name),
		       void *arg);
/*
 * Where a restore of the metadata puts segments that nothing speaks of: ROOT/segments.newer, flat.
 * The same for these; that there is no such folder is no error.
 */
#define SEGMENTS_ASIDE "segments.newer"
int segment_aside_path(char *buf, size_t cap, const char *root, uint64_t id);
int segment_aside_each(const char *root,
		       int (*each)(void *arg, uint64_t id, int folder, const char *name),
		       void *arg);
/* What was put there, or taken from there, is durable, whoever did it; 0 without such a folder.
 * Logs nothing. */
int segment_aside_sync(const char *root);
/* Removes the empty folders in ROOT/segments, and that. */
void segment_folders_remove(const char *root);

#endif
