/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers and tables as people read them, and JSON. One thread. */
#ifndef TERRACE_FS_TEXT_H
#define TERRACE_FS_TEXT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define TEXT_CELL 24u /* bytes that hold any number below */

/* "1.2G", or every byte. Returns buf. */
const char *text_size(uint64_t bytes, bool plain, char buf[TEXT_CELL]);
/* part of whole in percent, "-" when there is no whole. */
const char *text_percent(uint64_t part, uint64_t whole, char buf[TEXT_CELL]);
/* raw by stored, "-" when there is nothing. */
const char *text_ratio(uint64_t raw, uint64_t stored, char buf[TEXT_CELL]);
/* "12s", "3:05", "2:03:04". */
const char *text_time(uint64_t seconds, char buf[TEXT_CELL]);

/* A name, or another text of which nobody knows what is in it, as escape_name() has it. */
void print_name(FILE *out, const char *name);
void print_name_line(const char *name);			/* and the end of a line, to stdout */
void print_setting(const char *what, const char *text); /* "  what: text" */

/* A table: cells are copied and printed as names are, columns get as wide as they must, numbers
 * stand to the right. */
struct table;
/* `align`: one letter per column, 'l' or 'r'. NULL: no memory. */
struct table *table_new(const char *align);
/* As many strings as columns, then NULL. */
void table_row(struct table *table, ...) __attribute__((sentinel));
/* Prints and frees. Returns false when memory ran out on the way (nothing is printed). */
bool table_print(struct table *table);		     /* to stdout */
bool table_print_to(struct table *table, FILE *out); /* out NULL: only frees */

/* A file's name, or a text that may have one in it. JSON holds characters only: bytes that are no
 * part of one stand as U+EF80 to U+EFFF, and so do the bytes of these characters themselves. NULL:
 * no memory. */
json_t *json_name(const char *name);
/* What json_name() was made of: malloc'd; NULL: not a string, or no memory. */
char *json_name_get(const json_t *json);
/* As print_name() has it. Nothing, if it is no string. */
void print_json_name(FILE *out, const json_t *json);
/* Prints one line of JSON; takes the reference. false when it is NULL. */
bool json_print(json_t *json);

#endif
