/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paths of many inodes at once, for lists that people and scripts read (events, plans). A name is
 * found by walking the folder it is in; here every folder is walked once for all that are asked
 * about. Threads: any; no locks are held.
 */
#ifndef TERRACE_FS_PATHS_H
#define TERRACE_FS_PATHS_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

struct fs;

/* paths[i] = the path of ids[i] from the root, malloc'd, or NULL: deleted, or out of memory. Ids
 * may repeat; 0 is nothing. */
void paths_find(struct fs *fs, const uint64_t *ids, size_t n, char **paths);

/* JSON is UTF-8, names are bytes: in one that is not UTF-8, every byte beyond ASCII becomes
 * U+FFFD. NULL: no memory. */
json_t *path_json(const char *path);

#endif
