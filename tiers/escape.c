// SPDX-License-Identifier: Apache-2.0
/* See escape.h. Beside the control characters of ASCII there are 32 more, U+0080 to U+009F, which
 * terminals obey too. */
#include "tiers/escape.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

size_t utf8_decode(const char *text, uint32_t *out)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	const unsigned char *s = (const unsigned char *)text;
	size_t len = *s < 0x80 ? 1 : *s >> 5 == 6 ? 2 : *s >> 4 == 14 ? 3 : *s >> 3 == 30 ? 4 : 0;
	uint32_t c = len > 1 ? *s & (0x7fu >> len) : *s;

	for (size_t i = 1; i < len; i++) {
		if (s[i] >> 6 != 2)
			return 0;
		c = c << 6 | (s[i] & 0x3fu);
	}
	if (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		return 0;
	*out = c;
	return len;
}

/* The length of the character at s if it may stand as it is, else 0. */
static size_t plain(const unsigned char *s)
{
	uint32_t c;
	size_t len = utf8_decode((const char *)s, &c);

	return !len || c < 0x20 || (c >= 0x7f && c < 0xa0) ? 0 : len;
}

static size_t escaped(unsigned char c, char out[5])
{
	static const char letters[] = "\aa\bb\tt\nn\vv\ff\rr\\\\";

	for (const char *l = letters; *l; l += 2)
		if ((unsigned char)*l == c)
			return (size_t)snprintf(out, 5, "\\%c", l[1]);
	return (size_t)snprintf(out, 5, "\\%03o", c);
}

static char *escape(const char *text, bool name, char *buf, size_t cap)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t at = 0;

	while (*s) {
		size_t len = plain(s), n = len;
		char code[5];

		if (!len || (name && *s == '\\'))
			n = escaped(*s, code);
		if (at + n >= cap)
			break;
		memcpy(buf + at, n == len ? (const char *)s : code, n);
		at += n;
		s += len ? len : 1;
	}
	buf[at] = '\0';
	return buf;
}

char *escape_line(const char *line, char *buf, size_t cap)
{
	return escape(line, false, buf, cap);
}

char *escape_name(const char *name, char *buf, size_t cap)
{
	return escape(name, true, buf, cap);
}
