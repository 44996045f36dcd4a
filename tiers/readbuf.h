/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Buffers for stored bytes on their way from a medium to a decoder. What was used last is given out
 * first, so a reader meets memory that is there and in the processor's caches, and does not have
 * the kernel make and clear new pages for every read. A few wait for use; beyond, there are as many
 * as reads under way. Any thread.
 */
#ifndef TERRACE_TIERS_READBUF_H
#define TERRACE_TIERS_READBUF_H

#include <stdint.h>

/* The longest stored frame fits, widened to whole blocks of the medium at both ends. */
#define READBUF_BYTES (1280u << 10)
#define READBUF_ALIGN 4096u

struct readbufs;

int readbufs_new(struct readbufs **out);     /* -ENOMEM */
void readbufs_free(struct readbufs *bufs);   /* all have been put */
uint8_t *readbuf_get(struct readbufs *bufs); /* READBUF_BYTES, aligned; NULL: no memory */
void readbuf_put(struct readbufs *bufs, uint8_t *buf);

#endif
