// SPDX-License-Identifier: Apache-2.0
/*
 * Matching with one place to go back to per kind of star. That is enough: when a later star has
 * been reached, whatever an earlier one of the same or narrower kind could still take, the later
 * one can take too. A `**` forgets the `*` before it; a failing `*` falls back to the last `**`.
 */
#include "tiers/glob.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A character beyond all of Unicode for a byte that is not UTF-8. */
#define RAW_BYTE 0x110000u

static uint32_t take_char(const char **text)
{
	const unsigned char *c = (const unsigned char *)*text;
	unsigned more = *c >= 0xf0 && *c <= 0xf4   ? 3
			: *c >= 0xe0 && *c <= 0xef ? 2
			: *c >= 0xc2 && *c <= 0xdf ? 1
						   : 0;
	uint32_t value = more ? *c & (0x3fu >> more) : *c;

	for (unsigned i = 1; i <= more; i++) {
		if ((c[i] & 0xc0) != 0x80) { /* also the end */
			more = 0;
			value = *c;
			break;
		}
		value = value << 6 | (c[i] & 0x3fu);
	}
	*text += 1 + more;
	return !more && *c >= 0x80 ? RAW_BYTE + *c : value;
}

/* The character of a class or of plain text at *pattern, which may be escaped. */
static uint32_t take_literal(const char **pattern)
{
	if (**pattern == '\\')
		++*pattern;
	return take_char(pattern);
}

/* *pattern is behind '['; ends behind ']'. A ']' that comes first is one of the characters. */
static bool class_holds(const char **pattern, uint32_t wanted)
{
	bool negated = **pattern == '!' || **pattern == '^', found = false;
	const char *p = *pattern + negated, *first = p;

	while (*p != ']' || p == first) {
		uint32_t low = take_literal(&p), high = low;

		if (*p == '-' && p[1] != ']') {
			p++;
			high = take_literal(&p);
		}
		found = found || (wanted >= low && wanted <= high);
	}
	*pattern = p + 1;
	return found != negated;
}

/* One element that is no star against one character; both move on when they fit. */
static bool step(const char **pattern, const char **path)
{
	const char *p = *pattern, *t = *path;
	uint32_t c;
	bool fits;

	if (!*t || !*p)
		return false;
	c = take_char(&t);
	if (*p == '?') {
		p++;
		fits = c != '/';
	} else if (*p == '[') {
		p++;
		fits = class_holds(&p, c) && c != '/';
	} else {
		fits = take_literal(&p) == c;
	}
	if (fits) {
		*pattern = p;
		*path = t;
	}
	return fits;
}

struct retry { /* a star: where the pattern goes on, and what of the path it has not taken yet */
	const char *pattern, *path;
	bool whole; /* takes whole names only */
};

static bool star_more(struct retry *star, bool across)
{
	if (!star->pattern || !*star->path || (!across && *star->path == '/'))
		return false;
	if (star->whole) {
		const char *slash = strchr(star->path, '/');

		if (!slash)
			return false;
		star->path = slash + 1;
	} else {
		take_char(&star->path);
	}
	return true;
}

static bool match(const char *pattern, const char *path)
{
	struct retry narrow = {NULL, NULL, false}, wide = {NULL, NULL, false};
	const char *start = pattern;

	for (;;) {
		if (pattern[0] == '*' && pattern[1] == '*') {
			bool leads = pattern == start || pattern[-1] == '/';

			while (*pattern == '*')
				pattern++;
			wide.whole = leads && *pattern == '/';
			wide.pattern = pattern + wide.whole;
			wide.path = path;
			narrow.pattern = NULL;
			pattern = wide.pattern;
			continue;
		}
		if (*pattern == '*') {
			narrow.pattern = ++pattern;
			narrow.path = path;
			continue;
		}
		if (!*pattern && !*path)
			return true;
		if (step(&pattern, &path))
			continue;
		if (star_more(&narrow, false)) {
			pattern = narrow.pattern;
			path = narrow.path;
		} else if (star_more(&wide, true)) {
			narrow.pattern = NULL;
			pattern = wide.pattern;
			path = wide.path;
		} else {
			return false;
		}
	}
}

bool glob_match(const char *pattern, const char *path)
{
	char whole[GLOB_MAX + 8];
	size_t len = strlen(pattern), at = 0;

	if (pattern[0] != '/') {
		memcpy(whole, "/**/", 4);
		at = 4;
	}
	memcpy(whole + at, pattern, len);
	at += len;
	if (len && pattern[len - 1] == '/') {
		memcpy(whole + at, "**", 2);
		at += 2;
	}
	whole[at] = '\0';
	return match(whole, path);
}

/* Behind the class's ']', or NULL. */
static const char *class_end(const char *p)
{
	const char *first;

	p += *p == '!' || *p == '^';
	first = p;
	while (*p && (*p != ']' || p == first)) {
		if (*p == '/' || (*p == '\\' && !*++p))
			return NULL;
		p++;
	}
	return *p ? p + 1 : NULL;
}

const char *glob_fault(const char *pattern)
{
	const char *p = pattern;

	if (!*p)
		return "is empty";
	if (strlen(p) > GLOB_MAX)
		return "is longer than 1024 bytes";
	while (*p) {
		if (*p == '[') {
			p = class_end(p + 1);
			if (!p)
				return "has '[' without ']'; write \\[ for the character";
			continue;
		}
		if (*p == '\\' && !*++p)
			return "ends in '\\'";
		if ((unsigned char)*p < ' ')
			return "has a control character";
		if (p[0] == '/' && p[1] == '/')
			return "has '//', which no path has";
		p++;
	}
	return NULL;
}
