/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of plain objects (tiers/plain.h): PLACE/plain/OBJECT.GENERATION in the directories of
 * the tiers, named by numbers of 16 and 8 hexadecimal digits. terrace-format(5), PLAIN FILES.
 *
 * A file is created before the record that names it and removed after that record is durably gone:
 * metadata never leads to a name that is not there. So the names of new files are made durable
 * before the journal is cut (plain_names_sync()).
 *
 * What a place's plain files take on disk is counted in its tier (tier.h, plain_used).
 *
 * Threads: any. Errors: negative errno; the caller logs, but for plain_files_each().
 */
#ifndef TERRACE_TIERS_PLAIN_FILES_H
#define TERRACE_TIERS_PLAIN_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "tiers/records.h"
#include "tiers/tier.h"

#define PLAIN_FOLDER "plain"

struct pool;

/* root: the place's directory. -ENAMETOOLONG. */
int plain_path(const char *root, uint64_t object, uint32_t generation, char *buf, size_t cap);

/* Which place of the tier takes a new file: the one with most room. -ENOSPC less than `bytes`
 * anywhere; -ENODEV no open place. */
int plain_place(struct tier *tier, uint64_t bytes, uint16_t *place);
/* Makes an empty file in home->tier and home->place; home->generation is the first that is free.
 * *fd is open for reading and writing. fill: until plain_file_complete(), nobody takes it for the
 * object's bytes. */
int plain_file_create(struct pool *pool, uint64_t object, bool fill, struct plain_home *home,
		      int *fd);
/* Makes its bytes durable, and then that these are all: a power loss in between must not leave a
 * file that says so and lacks some. */
int plain_file_complete(int fd);
/* Of one that no record leads to. */
bool plain_file_is_complete(const struct stat *st);
int plain_file_open(struct pool *pool, uint64_t object, const struct plain_home *home, int *fd);
/* What open and fstat(2) would say of it; -ENOENT. */
int plain_file_stat(struct pool *pool, uint64_t object, const struct plain_home *home,
		    struct stat *out);
/* Takes the name away, and the bytes off the account if they are on it. -ENOENT. */
int plain_file_remove(struct pool *pool, uint64_t object, const struct plain_home *home,
		      bool counted);

/* All names made before the call are durable. Cheap where there are none. */
int plain_names_sync(struct pool *pool);

/* Where a restore of the metadata puts those that nothing speaks of: PLACE/plain.newer. */
#define PLAIN_ASIDE "plain.newer"
int plain_aside_path(const char *root, uint64_t object, uint32_t generation, char *buf, size_t cap);
/* As plain_files_each(). */
int plain_aside_each(const char *root,
		     int (*each)(void *arg, uint64_t object, uint32_t generation,
				 const struct stat *st),
		     void *arg);

/* Removes the folder of a place's directory, if it is empty. */
void plain_folder_remove(const char *root);
/* Calls each() for every plain file of a directory, in no order; a non-zero return ends the walk
 * and is returned. 0 without such a folder. */
int plain_files_each(const char *root,
		     int (*each)(void *arg, uint64_t object, uint32_t generation,
				 const struct stat *st),
		     void *arg);

#endif
