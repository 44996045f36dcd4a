/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FUSE over io_uring: requests come to a thread on the processor that makes them, without a wake-up
 * of another one. The kernel (6.14 and later, module parameter fuse.enable_uring) keeps a queue per
 * processor; ours are served by several threads each, so that one that waits for a medium does not
 * hold up the others. FORGET, INTERRUPT and all that comes before the rings are ready still go
 * through the device, which session_loop() reads; FORGETs gather there for some milliseconds.
 * Interface: Documentation/filesystems/fuse/fuse-io-uring.rst of the kernel and its linux/fuse.h.
 *
 * Order: uring_new() before INIT is answered (only then may the answer say that there are rings),
 * uring_start() after it, uring_stop() and uring_free() when the session has ended.
 *
 * Threads: uring_reply() from any; the others from one. Errors: negative errno.
 */
#ifndef TERRACE_FS_FUSE_URING_H
#define TERRACE_FS_FUSE_URING_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

/* Per processor. Half of them may wait for the kernel to write back at a time. */
#define URING_QUEUE_THREADS 8u
#define URING_THREADS_MAX   1024u /* a machine with more processors gets no rings */

struct fuse_session;
struct uring;

/*
 * Rings and their threads, which wait for uring_start(). All of them, or none. payload: the largest
 * body of a request or an answer, in bytes; each thread has a buffer of that size. -ENOSYS, -EPERM:
 * the kernel has no io_uring or denies it; -E2BIG: too many processors; -ENOMEM, -EAGAIN, -EMFILE.
 */
int uring_new(struct fuse_session *session, size_t payload, struct uring **out);
/* The kernel has taken INIT's answer. */
void uring_start(struct uring *uring);
/* Ends the threads: no further request is handled. Answers may still come. NULL is allowed. */
void uring_stop(struct uring *uring);
/* After it, when no answer can come any more. */
void uring_free(struct uring *uring);

/* What libfuse wants written to the device. False: this is no answer to a request that came through
 * a ring. */
bool uring_reply(struct uring *uring, const struct iovec *iov, int count);

/*
 * Where the answer to the request that this thread is handling is made without a copy later. Only
 * for requests that have no body beside their header, READ: it lies here, too. NULL: the request
 * did not come through a ring, or there is less room.
 */
void *uring_buffer(size_t bytes);

#endif
