/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What libfuse 3.14 does not speak, at the level of messages: INIT flags it does not set (parallel
 * look-ups in one folder, HANDLE_KILLPRIV_V2, mmap of files opened for direct I/O, passthrough),
 * the flag in a request that says "the caller may not keep suid and sgid", and the backing file in
 * the answer to an open. The session's reads and writes of the device go through here
 * (fuse_session_custom_io()).
 *
 * Threads: a request is read and handled by one thread, so its flag is kept per thread.
 */
#ifndef TERRACE_FS_FUSE_INIT_H
#define TERRACE_FS_FUSE_INIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fuse_session;

/* After fuse_session_mount(). rings: requests may come over io_uring where the kernel offers that
 * (fuse_uring.h). `ready` (may be NULL) is called once, on the thread that answers INIT, when the
 * kernel has taken the answer. Returns 0 or a negative errno. */
int wire_attach(struct fuse_session *session, bool rings, void (*ready)(void *arg), void *arg);
/* After session_loop(): no further request is handled. */
void wire_stop(void);
/* After that, when no answer can come any more. */
void wire_detach(void);

/* A request is about to be handled by this thread: notes what wire_kills() tells. */
void wire_note(const void *request, size_t len);

/* In the operation `init`: passthrough is asked for, unless the kernel does not offer it (false).
 * It takes no writeback cache beside it. */
bool wire_ask_passthrough(void);
/* The next answer of this thread, to an open or a create, names this backing file. */
void wire_pass(int32_t backing);

/* Does the request being handled say that suid and sgid are to go? */
bool wire_kills(void);

#endif
