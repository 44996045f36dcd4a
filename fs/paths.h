/* SPDX-License-Identifier: Apache-2.0 */
/* Paths for lists that people and scripts read (events, plans). Threads: any; no locks are held. */
#ifndef TERRACE_FS_PATHS_H
#define TERRACE_FS_PATHS_H

#include <jansson.h>
#include <stdint.h>

struct fs;

/* The path of an inode from the root as JSON; NULL: it has none any more, or out of memory. */
json_t *path_json_of(struct fs *fs, uint64_t id);

#endif
