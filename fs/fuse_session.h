/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a session of ours asks of the kernel and how it is served, apart from what is served: so
 * that the benchmark's floor (tests/bench/floor.c) has just the same. Calls return 0 or a negative
 * errno.
 */
#ifndef TERRACE_FS_FUSE_SESSION_H
#define TERRACE_FS_FUSE_SESSION_H

#include <stdbool.h>

#define SESSION_CACHE_SECONDS 3600.0 /* the daemon is the only writer: what is known stays true */

struct fuse_conn_info;
struct fuse_session;

/* For the operation `init`. */
void session_want(struct fuse_conn_info *conn, bool writeback);
/* Read-ahead and dirty limit of the mount; as root, else they stay. After INIT: the kernel sets its
 * own read-ahead while it takes our answer. */
void session_tune(const char *point);
/* Serves until the session ends; some threads, each with its own descriptor of the device. */
int session_loop(struct fuse_session *session);

#endif
