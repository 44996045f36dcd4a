/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies of the metadata in the tiers' directories: files that hold a whole state of the store,
 * compressed and with checksums. Layout: terrace-format(5), METADATA COPIES.
 *
 * A "directory" here is that of a tier's place; copies lie in its folder metadata/, which is made
 * when the first one is. Threads: any; one copy is written at a time. Errors: negative errno,
 * logged here with file and reason.
 */
#ifndef TERRACE_TIERS_META_COPY_H
#define TERRACE_TIERS_META_COPY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct meta;

struct copy_info {
	uint64_t generation; /* in the name and in the header */
	uint64_t seq;	     /* of the last batch in it */
	int64_t time_ns;     /* it shows what was changed up to then, since 1970 */
	uint64_t operations;
	uint64_t bytes; /* of the file */
};

struct copy_job {
	struct meta *meta;
	const uint8_t *pool_uuid;
	uint64_t generation; /* higher than any there is */
	uint64_t seq;	     /* it is to show this batch: -EAGAIN where the tree does not */
	int64_t time_ns;     /* ... with which all was changed that was changed up to then */
	uint32_t keep;	     /* generations that stay, with this one; at least 1 */
	const char *const *dirs;
	size_t ndirs;
	/* After each block: the bytes coded and how long that took. Non-zero ends the writing with
	 * this error. May be NULL. */
	int (*pace)(void *arg, uint64_t work_ns);
	void *arg;
};

/*
 * Writes a copy to all directories at once, reading the store once, and removes what is too old
 * where it was written. A directory that fails is left as it was; *written = how many have it. 0 if
 * any has, else the first error. What is in memory: two checkpoints' tables and about 3 MiB.
 */
int copy_write(const struct copy_job *job, struct copy_info *info, size_t *written);

/* Calls each() for every file in a directory that has the name, head and end of a copy of this
 * pool; -ENOENT no folder. Damage inside shows when it is read. */
int copy_list(const char *dir, const uint8_t *pool_uuid,
	      int (*each)(void *arg, const char *path, const struct copy_info *info), void *arg);

/*
 * Reads a copy through and calls apply() for each run of operations (meta_op_next()), each of which
 * has been verified; NULL: only verifies. -EBADMSG damaged, -ENOTUNIQ another pool's, -ENOTSUP a
 * newer version's. On error apply() may have been called.
 */
int copy_read(const char *path, const uint8_t *pool_uuid,
	      int (*apply)(void *arg, const void *ops, size_t len), void *arg,
	      struct copy_info *info);

/* Reads all files that have the name of a copy through, whatever is in them: error is
 * copy_read()'s, 0 a good one. Ends with each()'s non-zero return. 0 also where there is no folder.
 */
int copy_verify_all(const char *dir, const uint8_t *pool_uuid,
		    int (*each)(void *arg, const char *path, int error), void *arg);

/* Reads a copy into a store, with checkpoints as they are due. */
int copy_load(const char *path, const uint8_t *pool_uuid, struct meta *meta,
	      struct copy_info *info);

/* Removes all copies of a directory, and the folder. */
void copy_remove_all(const char *dir);

#endif
