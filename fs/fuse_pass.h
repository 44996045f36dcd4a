/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Passthrough: opens of plain files (tiers/plain.h) after which the kernel reads, writes and maps
 * the plain file itself, without asking us.
 *
 * The kernel wants all opens of an inode that are there at a time to be of one kind, and to name
 * the same backing file. So the first open registers the file (FUSE_DEV_IOC_BACKING_OPEN), the
 * others join, and the last close takes it back; where registering fails, all of them go without.
 *
 * What is written past us takes no suid or sgid away: the kernel leaves that to us, and asking it
 * to do so costs a request per write (11 us instead of 1.5). So
 *  - a file that has one of them when it is opened first goes without;
 *  - while it is passed through, another than its owner and root who opens it for writing takes
 *    them away by that, and they cannot be set until all have closed it (ETXTBSY). What the owner
 *    writes leaves them: he could set them again anyway.
 * Both sides make themselves seen before they look: passes_open() before the mode is asked for,
 * chmod(2) before passes_may_raise().
 *
 * Threads: any.
 */
#ifndef TERRACE_FS_FUSE_PASS_H
#define TERRACE_FS_FUSE_PASS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct object;
struct passes;

/* device: the session's descriptor; the caller's. -ENOMEM. */
int passes_new(struct passes **out, int device);
void passes_free(struct passes *passes);
/* One more open of a plain object, by `uid`. without: if it is the first one, it and those beside
 * it go without. Returns the number of its backing file, 0: without; -ENOMEM: not counted, it must
 * fail. */
int32_t passes_open(struct passes *passes, struct object *object, uid_t uid, bool writes,
		    bool without);
/* Whether an inode of this owner may have suid or sgid. Waits a moment for writers: the kernel
 * tells of a close(2) some time after it. */
bool passes_may_raise(struct passes *passes, uint64_t id, uid_t owner);
/* One open less; of an inode that is not among them: nothing. */
void passes_close(struct passes *passes, uint64_t id);

#endif
