/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The frames in the file of a segment, without metadata: found by their magic and verified by their
 * own checksums. Threads: any, each file by one.
 */
#ifndef TERRACE_TIERS_SEGMENT_SCAN_H
#define TERRACE_TIERS_SEGMENT_SCAN_H

#include <stddef.h>
#include <stdint.h>

struct frame_header;

/*
 * Calls each() for every frame in the file from a place on, in order, whose header and tables
 * verify; the payload is not looked at, and passed over. What lies between is searched byte by
 * byte, but for holes. What the medium cannot read is passed over with a warning that names the
 * path. each()'s negative return ends it and is returned; -ENOMEM.
 */
int segment_scan(int fd, const char *path, uint64_t from,
		 int (*each)(void *arg, uint64_t off, const struct frame_header *header),
		 void *arg);

#endif
