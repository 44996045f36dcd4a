/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Buffers of one size for bytes on their way between a medium and a codec. What was used last is
 * given out first, so a job meets memory that is there and in the processor's caches, and does not
 * have the kernel make and clear new pages each time. A few wait for use; beyond, there are as many
 * as jobs under way. Any thread.
 */
#ifndef TERRACE_TIERS_READBUF_H
#define TERRACE_TIERS_READBUF_H

#include <stddef.h>
#include <stdint.h>

/* Those of reads: the longest stored frame fits, widened to whole blocks of the medium at both
 * ends; and so the raw bytes of any. */
#define READBUF_BYTES (1280u << 10)
#define READBUF_KEEP  8u
#define READBUF_ALIGN 4096u

struct readbufs;

/* `bytes` each, a multiple of READBUF_ALIGN; `keep` wait for use at most. -ENOMEM. */
int readbufs_new(struct readbufs **out, size_t bytes, unsigned keep);
void readbufs_free(struct readbufs *bufs);   /* all have been put */
void readbufs_drop(struct readbufs *bufs);   /* those that wait: nobody will want them soon */
uint8_t *readbuf_get(struct readbufs *bufs); /* aligned; NULL: no memory */
void readbuf_put(struct readbufs *bufs, uint8_t *buf);

#endif
