/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Passthrough: opens of plain files (tiers/plain.h) after which the kernel reads, writes and maps
 * the plain file itself, without asking us.
 *
 * The kernel wants all opens of an inode that are there at a time to be of one kind, and to name
 * the same backing file. So the first open registers the file (FUSE_DEV_IOC_BACKING_OPEN), the
 * others join, and the last close takes it back; where registering fails, all of them go without.
 *
 * Threads: any.
 */
#ifndef TERRACE_FS_FUSE_PASS_H
#define TERRACE_FS_FUSE_PASS_H

#include <stdint.h>

struct object;
struct passes;

/* device: the session's descriptor; the caller's. -ENOMEM. */
int passes_new(struct passes **out, int device);
void passes_free(struct passes *passes);
/* One more open of a plain object. Returns the number of its backing file, or 0: without. */
int32_t passes_open(struct passes *passes, struct object *object);
/* One open less; of an inode that is not among them: nothing. */
void passes_close(struct passes *passes, uint64_t id);

#endif
