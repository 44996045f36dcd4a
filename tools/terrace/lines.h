/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of a text file that may be compressed with xz. One thread. */
#ifndef TERRACE_TOOLS_LINES_H
#define TERRACE_TOOLS_LINES_H

#include <stddef.h>
#include <stdint.h>

#define LINE_MAX_BYTES 4096u

struct lines;

/* file "-": the standard input. Errors of open(2), -ENOMEM. */
int lines_open(struct lines **out, const char *file);
/*
 * The next line without its end, valid until the next call. -ENODATA: there is none; -E2BIG: longer
 * than LINE_MAX_BYTES or with a zero byte in it; -EBADMSG: damaged xz; errors of read(2).
 */
int lines_next(struct lines *lines, char **line);
uint64_t lines_number(const struct lines *lines); /* of the line last returned, from 1 */
void lines_close(struct lines *lines);

#endif
