/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads of .terrace/events that have to wait, and who polls it. A read that waits occupies no
 * thread of the session: its request is kept in a list and answered by a thread of this module when
 * there is something, when its caller is interrupted or killed (EINTR), or when the session ends.
 *
 * At most WAITS_MAX reads wait at a time; further ones are refused with EBUSY.
 */
#ifndef TERRACE_FS_FUSE_WAIT_H
#define TERRACE_FS_FUSE_WAIT_H

#include "fs/fuse_ops.h"

#define WAITS_MAX 64u

struct control_file;
struct waits;

int waits_new(struct fs *fs, struct waits **out);
/* Answers all who wait (ENODEV), and takes no more. While the session can still be written to. */
void waits_free(struct waits *waits);

/* Answers the read, now or later. The file stays open until it has been answered. */
void waits_read(struct waits *waits, fuse_req_t req, struct control_file *file, size_t len,
		bool nonblock);
/* Tells who polls the file once when there is something new. Takes the handle. */
void waits_poll(struct waits *waits, struct control_file *file, struct fuse_pollhandle *handle);
/* The file is being closed. */
void waits_forget(struct waits *waits, struct control_file *file);

#endif
