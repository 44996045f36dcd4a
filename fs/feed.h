/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text of .terrace/events, for one reader: events (tiers/engine/events.h) as lines of JSON, see
 * terrace(7), CONTROL FILES. He begins with the oldest that is kept and reads on as from a pipe.
 *
 * Threads: one at a time per feed.
 */
#ifndef TERRACE_FS_FEED_H
#define TERRACE_FS_FEED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct feed;
struct fs;

int feed_new(struct fs *fs, struct feed **out); /* -ENOMEM */
void feed_free(struct feed *feed);
/* The next bytes, at least one; -EAGAIN: nothing has happened since. -ENOMEM: nothing is lost. */
int feed_read(struct feed *feed, void *buf, size_t len, size_t *got);
/* Would feed_read() give something? */
bool feed_ready(struct feed *feed);

#endif
