/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What libfuse 3.14 does not speak, at the level of messages: INIT flags it does not set (parallel
 * look-ups in one folder, HANDLE_KILLPRIV_V2, mmap of files opened for direct I/O), and the flag in
 * a request that says "the caller may not keep suid and sgid". The session's reads and writes of
 * the device go through here (fuse_session_custom_io()).
 *
 * Threads: a request is read and handled by one thread, so its flag is kept per thread.
 */
#ifndef TERRACE_FS_FUSE_INIT_H
#define TERRACE_FS_FUSE_INIT_H

#include <stdbool.h>

struct fuse_session;

/* After fuse_session_mount(). `ready` (may be NULL) is called once, on the thread that answers
 * INIT, when the kernel has taken the answer. Returns 0 or a negative errno. */
int wire_attach(struct fuse_session *session, void (*ready)(void *arg), void *arg);

/* Does the request being handled say that suid and sgid are to go? */
bool wire_kills(void);

#endif
