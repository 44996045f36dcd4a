/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of one file of the floor, in chunks of CHUNK, in memory that is not given back to the
 * system but used again. Whoever calls sees to it that nobody else changes the same contents. Calls
 * return 0 or a positive errno.
 */
#ifndef TERRACE_BENCH_FLOOR_CONTENTS_H
#define TERRACE_BENCH_FLOOR_CONTENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

#define CONTENTS_PIECES ((size_t)8)

struct chunk;

struct contents { /* all zero: empty */
	struct chunk *chunks;
	size_t count;
};

/* Makes so many bytes of memory now, for contents to come. */
bool contents_reserve(size_t bytes);
void contents_release(struct contents *contents);
int contents_write(struct contents *contents, const char *buf, size_t len, size_t off);
/* Bytes from size on are zeros then. */
void contents_cut(struct contents *contents, size_t size);
/* Where [off, end) is, valid until the contents change; the number of pieces. */
size_t contents_pieces(const struct contents *contents, size_t off, size_t end,
		       struct iovec iov[static CONTENTS_PIECES]);

#endif
