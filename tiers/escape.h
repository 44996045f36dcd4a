/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text that is safe on a terminal, in a log, and as one line: file names may hold any bytes but 0
 * and '/', also such as clear the screen or look like another line. Control characters, and bytes
 * that are not UTF-8, become what `ls -b` prints: "\n", "\t", "\033".
 *
 * What does not fit into cap (> 0) is left out, without cutting an escape or a character in two.
 * Return buf. Pure functions, any thread.
 */
#ifndef TERRACE_TIERS_ESCAPE_H
#define TERRACE_TIERS_ESCAPE_H

#include <stddef.h>
#include <stdint.h>

/* A whole line, in which names stand: a backslash stays one. */
char *escape_line(const char *line, char *buf, size_t cap);
/* A name by itself: a backslash becomes two, so that the name can be told from what is printed. */
char *escape_name(const char *name, char *buf, size_t cap);

/* The bytes of the UTF-8 character that text (not "") begins with, which is *out; 0: there is none.
 */
size_t utf8_decode(const char *text, uint32_t *out);

#define ESCAPED_CAP(len) (4u * (len) + 1) /* room for any text of len bytes */

#endif
