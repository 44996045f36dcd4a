/* SPDX-License-Identifier: Apache-2.0 */
/* A filesystem over a pool in a temporary folder (fix_pool.h), and the calls that most tests make,
 * as one-liners that fail the test when they fail. Names are in the root unless a folder is given.
 */
#ifndef TERRACE_TESTS_FIX_FS_H
#define TERRACE_TESTS_FIX_FS_H

#include <stddef.h>
#include <stdint.h>

#include "fs/fs.h"
#include "tests/unit/fix_pool.h"

#define ROOT 1u

struct fix_fs {
	struct fix_pool pool;
	struct fs *fs;
	struct fs_cred cred; /* root, umask 022 */
};

/* cmocka's group or test fixtures: *state is a struct fix_fs. */
int fix_fs_setup(void **state);
int fix_fs_teardown(void **state);
void fix_fs_crash(struct fix_fs *fix); /* kill -9, and opened again */
void fix_fs_power(struct fix_fs *fix); /* the machine dies, and opened again */
void fix_fs_remount(struct fix_fs *fix);

uint64_t fix_file(struct fix_fs *fix, uint64_t parent, const char *name, const char *content);
uint64_t fix_folder(struct fix_fs *fix, uint64_t parent, const char *name);
/* The inode of a name, 0 = none. */
uint64_t fix_id(struct fix_fs *fix, uint64_t parent, const char *name);
struct stat fix_stat(struct fix_fs *fix, uint64_t id);
/* Compares the whole content. */
void fix_content(struct fix_fs *fix, uint64_t id, const char *content);
/* Names in a folder without dots, sorted, joined with spaces; reading begins again at every cookie
 * when `resume`. Static buffer. */
const char *fix_list(struct fix_fs *fix, uint64_t id, bool resume);

#endif
