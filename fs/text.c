// SPDX-License-Identifier: Apache-2.0
/* Numbers, tables, JSON: see text.h. */
#include "fs/text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tiers/escape.h"

const char *text_size(uint64_t bytes, bool plain, char buf[TEXT_CELL])
{
	static const char units[] = "KMGTPE";
	double value = (double)bytes;
	size_t unit = 0;

	if (plain || bytes < 1024) {
		snprintf(buf, TEXT_CELL, "%" PRIu64, bytes);
		return buf;
	}
	for (value /= 1024; value >= 1023.95 && unit < 5; unit++)
		value /= 1024;
	/* Three digits say enough: 9.53G, 95.3G, 953G would make columns jump; one decimal it is.
	 */
	snprintf(buf, TEXT_CELL, "%.1f%c", value, units[unit]);
	return buf;
}

const char *text_percent(uint64_t part, uint64_t whole, char buf[TEXT_CELL])
{
	if (whole)
		snprintf(buf, TEXT_CELL, "%.1f%%", 100.0 * (double)part / (double)whole);
	else
		snprintf(buf, TEXT_CELL, "-");
	return buf;
}

const char *text_ratio(uint64_t raw, uint64_t stored, char buf[TEXT_CELL])
{
	if (raw && stored)
		snprintf(buf, TEXT_CELL, "%.2f", (double)raw / (double)stored);
	else
		snprintf(buf, TEXT_CELL, "-");
	return buf;
}

const char *text_time(uint64_t seconds, char buf[TEXT_CELL])
{
	if (seconds >= 3600)
		snprintf(buf, TEXT_CELL, "%" PRIu64 ":%02u:%02u", seconds / 3600,
			 (unsigned)(seconds / 60 % 60), (unsigned)(seconds % 60));
	else if (seconds >= 60)
		snprintf(buf, TEXT_CELL, "%u:%02u", (unsigned)(seconds / 60),
			 (unsigned)(seconds % 60));
	else
		snprintf(buf, TEXT_CELL, "%us", (unsigned)seconds);
	return buf;
}

struct table {
	const char *align;
	size_t columns, ncells, cap;
	char **cells; /* row after row */
	bool failed;
};

struct table *table_new(const char *align)
{
	struct table *table = calloc(1, sizeof(*table));

	if (table) {
		table->align = align;
		table->columns = strlen(align);
	}
	return table;
}

/* Malloc'd, or NULL. */
static char *shown(const char *text)
{
	size_t cap = ESCAPED_CAP(strlen(text));
	char *buf = malloc(cap);

	return buf ? escape_name(text, buf, cap) : NULL;
}

void print_name(FILE *out, const char *name)
{
	char *text = shown(name);

	fputs(text ? text : "?", out);
	free(text);
}

void print_name_line(const char *name)
{
	print_name(stdout, name);
	putchar('\n');
}

void print_setting(const char *what, const char *text)
{
	printf("  %s: ", what);
	print_name_line(text);
}

static bool has_room(struct table *table)
{
	size_t cap = table->cap ? 2 * table->cap : 64;
	char **more;

	if (table->ncells < table->cap)
		return true;
	more = realloc(table->cells, cap * sizeof(*more));
	if (!more)
		return false;
	table->cells = more;
	table->cap = cap;
	return true;
}

void table_row(struct table *table, ...)
{
	const char *cell;
	va_list args;

	if (!table)
		return;
	va_start(args, table);
	while ((cell = va_arg(args, const char *))) {
		if (!has_room(table) || !(table->cells[table->ncells] = shown(cell))) {
			table->failed = true;
			break;
		}
		table->ncells++;
	}
	va_end(args);
}

/* Of all columns, in one pass: a list may have a million rows. */
static int *column_widths(const struct table *table)
{
	int *widths = calloc(table->columns, sizeof(*widths));

	for (size_t i = 0; widths && i < table->ncells; i++) {
		int *width = &widths[i % table->columns], len = (int)strlen(table->cells[i]);

		*width = len > *width ? len : *width;
	}
	return widths;
}

bool table_print_to(struct table *table, FILE *out)
{
	int *widths = table && out && !table->failed ? column_widths(table) : NULL;
	bool done = widths;
	size_t i;

	for (i = 0; done && i < table->ncells; i++) {
		size_t column = i % table->columns;
		int width = widths[column];
		bool last = column + 1 == table->columns;

		if (table->align[column] == 'r')
			fprintf(out, "%*s%s", width, table->cells[i], last ? "\n" : "  ");
		else
			fprintf(out, "%-*s%s", last ? 0 : width, table->cells[i],
				last ? "\n" : "  ");
	}
	for (i = 0; table && i < table->ncells; i++)
		free(table->cells[i]);
	if (table)
		free(table->cells);
	free(table);
	free(widths);
	return done;
}

bool table_print(struct table *table)
{
	return table_print_to(table, stdout);
}

/* Bytes that are no characters stand as these, all of which are in the private use area; to tell
 * them from what is in names, these characters stand as their bytes do. */
#define BYTE_BASE  0xef00u
#define BYTE_FIRST 0xef80u
#define BYTE_LAST  0xefffu

static bool is_byte(uint32_t c)
{
	return c >= BYTE_FIRST && c <= BYTE_LAST;
}

json_t *json_name(const char *name)
{
	size_t cap = 3 * strlen(name) + 1, n = 0;
	char *text = malloc(cap);
	json_t *json;

	if (!text)
		return NULL;
	while (*name) {
		uint32_t c;
		size_t len = utf8_decode(name, &c);

		if (len && !is_byte(c)) {
			memcpy(text + n, name, len);
			name += len;
			n += len;
		} else {
			c = BYTE_BASE + (unsigned char)*name++;
			text[n++] = (char)(0xe0 | c >> 12);
			text[n++] = (char)(0x80 | (c >> 6 & 0x3f));
			text[n++] = (char)(0x80 | (c & 0x3f));
		}
	}
	json = json_stringn(text, n);
	free(text);
	return json;
}

char *json_name_get(const json_t *json)
{
	const char *text = json_string_value(json);
	char *name = text ? malloc(strlen(text) + 1) : NULL, *to = name;

	while (name && *text) {
		uint32_t c;
		size_t len = utf8_decode(text, &c);

		if (len && is_byte(c)) {
			*to++ = (char)(c - BYTE_BASE);
		} else {
			len = len ? len : 1; /* jansson holds nothing but characters */
			memcpy(to, text, len);
			to += len;
		}
		text += len;
	}
	if (name)
		*to = '\0';
	return name;
}

void print_json_name(FILE *out, const json_t *json)
{
	char *name = json_name_get(json);

	if (name)
		print_name(out, name);
	free(name);
}

bool json_print(json_t *json)
{
	bool done = json && !json_dumpf(json, stdout, JSON_COMPACT | JSON_REAL_PRECISION(15));

	if (done)
		putchar('\n');
	json_decref(json);
	return done;
}
