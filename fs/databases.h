/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which files are written as databases and images of machines are: small overwrites here and there,
 * and syncs in between (terrace(7), "Plain files"). Counted in memory, in a table of fixed size
 * that remembers the files that were written so last, open or not: many programs open and close a
 * database for each transaction.
 *
 * Counted is only what overwrites bytes that are there, within ten minutes: a download fills holes,
 * a film that is being cut is written from front to back, and a log with a counter at its head is
 * overwritten in one place.
 *
 * Threads: any, without a lock. Two files may meet in a slot, and threads in the fields of one:
 * then a count is a few off, or begins anew, and a database is found later.
 */
#ifndef TERRACE_FS_DATABASES_H
#define TERRACE_FS_DATABASES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct databases;
struct object;

int databases_new(struct databases **out); /* -ENOMEM */
void databases_free(struct databases *databases);
/* It is about to be written to. For those who seek databases (fs/layout.h): it looks into the map
 * of the object. */
void databases_writing(struct databases *databases, struct object *object, size_t len,
		       uint64_t off);
void databases_synced(struct databases *databases, uint64_t id);
/* Has enough been seen? Once: it is counted anew then. */
bool databases_take(struct databases *databases, uint64_t id);

#endif
