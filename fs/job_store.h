/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Jobs in the metadata store: terrace-format(5), Jobs. Each call is one transaction or a few, in an
 * order in which a crash between them leaves nothing that counts.
 *
 * Threads: any, for one job one at a time.
 */
#ifndef TERRACE_FS_JOB_STORE_H
#define TERRACE_FS_JOB_STORE_H

#include <stddef.h>
#include <stdint.h>

struct fs;

/* Writes the request, in *parts parts; the job exists when job_store_put() has returned. */
int job_store_request(struct fs *fs, uint64_t number, const char *text, size_t len,
		      unsigned *parts);
/* Writes the record; with `drop` parts, deletes those of the request in the same step. */
int job_store_put(struct fs *fs, uint64_t number, const char *record, size_t len, unsigned drop);
/* Deletes all of it. Also gives space back when the metadata's is used up. */
int job_store_drop(struct fs *fs, uint64_t number);

/* Calls each() for every job, in order of numbers; request: "" when there is none (any more). Jobs
 * without a record are deleted. Not beside other calls. */
int job_store_each(struct fs *fs,
		   int (*each)(void *arg, uint64_t number, const char *record, const char *request,
			       size_t request_len),
		   void *arg);

#endif
