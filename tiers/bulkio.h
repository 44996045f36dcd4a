/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transfers that go round the page cache (O_DIRECT), for any offset, length and memory address.
 *
 * Each tier owns one pool of lanes; a lane is a libaio context with aligned bounce buffers, made on
 * first need, kept and reused. At most BULKIO_LANES transfers run at once, others wait for a lane.
 *
 * Calls take two descriptors of one file: fd through the page cache and direct with O_DIRECT.
 * They return 0 or a negative errno: -ENODATA when a read goes past the end.
 * Threads: any; transfers that overlap are the caller's mistake.
 */
#ifndef TERRACE_TIERS_BULKIO_H
#define TERRACE_TIERS_BULKIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BULKIO_ALIGN	 4096u
#define BULKIO_LANES	 4u
#define BULKIO_DEPTH	 4u	    /* requests in flight per lane */
#define BULKIO_CHUNK	 (1u << 20) /* bytes per request, and of a bounce buffer */
/* Where going round the page cache begins to pay. Measured on NVMe, ext4: writes of 128 KiB 1.25
 * GB/s direct and 1.75 cached, from 512 KiB on 2.15 and 1.8; with 64 MiB between syncs 2.6 and
 * 0.35. */
#define BULKIO_WRITE_MIN (256u << 10)
#define BULKIO_READ_MIN	 (16u << 10)

struct bulkio;

int bulkio_new(struct bulkio **out);
void bulkio_free(struct bulkio *bulk);

int bulkio_read(struct bulkio *bulk, int fd, int direct, void *buf, size_t len, uint64_t off);
/* The same without a lane: buf and off are multiples of BULKIO_ALIGN, and buf has room for len
 * rounded up to the next. */
int bulkio_read_aligned(int fd, int direct, void *buf, size_t len, uint64_t off);
/* True if at least half of these bytes of the file are in the page cache. False also where the
 * kernel cannot say (before Linux 6.5). */
bool bulkio_cached(int fd, size_t len, uint64_t off);
int bulkio_write(struct bulkio *bulk, int fd, int direct, const void *buf, size_t len,
		 uint64_t off);

/* True if the file at path lies on a medium, not in memory (tmpfs). */
bool bulkio_medium(const char *path);
/* True if O_DIRECT works there and goes round the page cache. */
bool bulkio_probe(const char *path);

#endif
