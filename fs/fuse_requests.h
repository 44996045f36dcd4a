/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long the kernel's requests take, from when one is taken to when its answer is handed over: a
 * histogram for each kind, since the mount. What waits by intent (.terrace/events) and what gets no
 * answer (FORGET) does not count. One mount to a process. Threads: any, without locks.
 */
#ifndef TERRACE_FS_FUSE_REQUESTS_H
#define TERRACE_FS_FUSE_REQUESTS_H

#include <stdint.h>

#define REQUEST_KINDS 64u /* opcodes of linux/fuse.h below this */

struct latency_counts;

/* This thread has taken a request. */
void requests_begin(uint32_t opcode, uint64_t unique);
/* It hands an answer over; one to another request than the last taken is passed by. */
void requests_end(uint64_t unique);

/* NULL: no such kind, or none of ours. */
const char *requests_name(uint32_t opcode);
void requests_look(uint32_t opcode, struct latency_counts *out);

#endif
