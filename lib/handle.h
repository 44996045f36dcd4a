/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of libterrace share. An object, by path or id, is in the end an id here.
 *
 * Threads: any; the struct does not change while it is open.
 */
#ifndef TERRACE_LIB_HANDLE_H
#define TERRACE_LIB_HANDLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/fs.h"
#include "lib/terrace.h"

struct terrace {
	struct pool *pool;
	struct fs *fs;
	struct fs_cred cred; /* of the process; no umask */
	uint32_t file_mode, folder_mode;
};

/* paths.c. Paths are taken from the root; empty parts and "." count as nothing, ".." is -EINVAL. */

/* -ENOENT, -ENOTDIR, -ELOOP (a symbolic link on the way), -ENAMETOOLONG. */
int path_find(struct terrace *pool, const char *path, uint64_t *id);
/* The folder of the path's last name, which need not be there; *name points into path. make: the
 * folders that are missing. -EISDIR: the path names a folder by itself. */
int path_folder(struct terrace *pool, const char *path, bool make, uint64_t *folder,
		const char **name);

#endif
