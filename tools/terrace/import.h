/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies a tree into a folder with everything it carries: data with its holes, hard and symbolic
 * links, special files, owners, modes, ACLs and other extended attributes, times to the nanosecond.
 *
 *  1. A file is written under IMPORT_TEMP, read back from the daemon, given its attributes, and
 * only then renamed to its name: who stops it at any moment finds old or whole files under names.
 *  2. What is there and same (type, size, mtime; with `checksum` every byte) is not copied again,
 * so running it again goes on. Attributes that differ are set.
 *  3. What goes wrong with one file is reported, and the rest goes on. What would go wrong with all
 *     of them (no room, the daemon gone) ends it.
 *
 * Errors are negative errno. One thread.
 */
#ifndef TERRACE_TOOLS_IMPORT_H
#define TERRACE_TOOLS_IMPORT_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#define IMPORT_TEMP ".terrace-import~"

struct import_counts {
	uint64_t files, bytes,
		others;		/* regular files seen, their bytes; links and special files */
	uint64_t folders, made; /* seen; of them, made (or would be) */
	uint64_t copied, copied_bytes; /* or would be */
	uint64_t linked;	       /* further names of a file */
	uint64_t same, attributes,
		failed; /* was there; only its attributes were set; could not be */
};

struct import {
	int from, to; /* the two folders; to < 0: there is none yet (a dry run) */
	int root;     /* the mount's: its fsync makes everything durable, a folder's names only */
	bool dry_run, checksum;
	const volatile sig_atomic_t *stop; /* set: end soon */
	void *arg;
	void (*failed)(void *arg, const char *path, const char *what, int error);
	void (*advanced)(void *arg, uint64_t done_bytes); /* of those that a scan counts */
};

/* Counts only: files, others, folders, bytes. Errors are left to import_run(). */
void import_scan(const struct import *import, struct import_counts *out);
/*
 * 0, also when single files failed; -EINTR stopped; else what ended it: -ENOSPC, -ENOTCONN,
 * -ENOMEM... It has been reported then.
 */
int import_run(const struct import *import, struct import_counts *out);

/* Inside: import_copy.c. ------------------------------------------------------------------------
 */

struct import_side { /* an entry by the folder it is in: what /proc/self/fd makes a path of */
	int dir;
	char path[320];
};
void import_side_init(struct import_side *side, int dir, const char *name);

/* The bytes of a regular file into a new file `to`, read back. advanced(arg, bytes) now and then,
 * non-zero ends it with -EINTR. -EAGAIN: it changed meanwhile. *what: what went wrong. */
int import_copy_data(const char *from, const char *to, const struct stat *st,
		     int (*advanced)(void *arg, uint64_t bytes), void *arg, const char **what);
/* 1: same bytes; 0: not. */
int import_same_data(const char *from, const char *to);
/* Owner, mode, attributes, times, where they differ. *set: whether anything was. */
int import_attributes(const char *from, const char *to, const struct stat *st, bool dry_run,
		      bool *set, const char **what);

#endif
