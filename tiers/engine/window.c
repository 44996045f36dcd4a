// SPDX-License-Identifier: Apache-2.0
/*
 * window = "always" | part { "," part }
 * part   = days [ times ] | times
 * days   = day [ "-" day ]         Sat-Mon goes round the end of the week
 * times  = clock "-" clock         past midnight when the second is not later than the first
 * clock  = hour ":" ( "00" | "15" | "30" | "45" )
 * Blanks may stand between all of these. Letters of any case.
 */
#include "tiers/engine/window.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define SLOT_S	  900u
#define DAY_SLOTS 96u
#define EPOCH_DAY 3u /* 1970-01-01 was a Thursday */

struct parser {
	const char *at;
	char *why;
	size_t cap;
};

static int wrong(struct parser *parser, const char *should)
{
	int len = 0;

	while (len < 40 && parser->at[len] >= ' ' && parser->at[len] != ',')
		len++;
	while (len > 0 && parser->at[len - 1] == ' ')
		len--;
	if (len)
		snprintf(parser->why, parser->cap, "'%.*s' should be %s", len, parser->at, should);
	else
		snprintf(parser->why, parser->cap, "should be %s", should);
	return -EINVAL;
}

static void skip_blanks(struct parser *parser)
{
	parser->at += strspn(parser->at, " \t");
}

static bool eat(struct parser *parser, char c)
{
	skip_blanks(parser);
	if (*parser->at != c)
		return false;
	parser->at++;
	skip_blanks(parser);
	return true;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* "Mon" or "Monday"; 0 is Monday. */
static int parse_day(struct parser *parser, unsigned *day)
{
	static const char *const names[] = {"monday", "tuesday",  "wednesday", "thursday",
					    "friday", "saturday", "sunday"};
	size_t len = strcspn(parser->at, " \t-,0123456789:");

	for (*day = 0; *day < 7; ++*day)
		if ((len == 3 || len == strlen(names[*day])) &&
		    strncasecmp(parser->at, names[*day], len) == 0) {
			parser->at += len;
			return 0;
		}
	return wrong(parser, "a day, Mon to Sun, a time like 22:00-06:00, or both");
}

/* In quarters of an hour, 0 to 96. */
static int parse_clock(struct parser *parser, unsigned *slot)
{
	const char *s = parser->at;
	unsigned hour = 0, minute;
	size_t digits = 0;

	while (digits < 2 && is_digit(s[digits]))
		hour = hour * 10 + (unsigned)(s[digits++] - '0');
	if (!digits || s[digits] != ':' || !is_digit(s[digits + 1]) || !is_digit(s[digits + 2]) ||
	    is_digit(s[digits + 3]))
		return wrong(parser, "a time like 22:00");
	minute = (unsigned)(s[digits + 1] - '0') * 10 + (unsigned)(s[digits + 2] - '0');
	if (minute % 15 || minute > 45 || hour > 24 || (hour == 24 && minute))
		return wrong(parser, "a time from 0:00 to 24:00, in quarters of an hour");
	*slot = hour * 4 + minute / 15;
	parser->at += digits + 3;
	return 0;
}

static void add_slots(struct window *window, unsigned first, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		unsigned slot = (first + i) % WINDOW_SLOTS;

		window->bits[slot / 64] |= UINT64_C(1) << slot % 64;
	}
}

static int parse_days(struct parser *parser, unsigned *from, unsigned *days)
{
	unsigned to;
	int rc = parse_day(parser, from);

	*days = 1;
	if (rc < 0 || !eat(parser, '-'))
		return rc;
	rc = parse_day(parser, &to);
	if (rc == 0)
		*days = (to + 7 - *from) % 7 + 1;
	return rc;
}

static int parse_times(struct parser *parser, unsigned *from, unsigned *slots)
{
	const char *start = parser->at;
	unsigned to;
	int rc = parse_clock(parser, from);

	if (rc < 0)
		return rc;
	if (!eat(parser, '-'))
		return wrong(parser, "-, and until when, like 22:00-06:00");
	rc = parse_clock(parser, &to);
	if (rc < 0)
		return rc;
	if (*from == to || *from == DAY_SLOTS) {
		parser->at = start;
		return wrong(parser, "a time that begins before 24:00 and ends later, or on the "
				     "next day");
	}
	*slots = to > *from ? to - *from : to + DAY_SLOTS - *from;
	return 0;
}

static int parse_part(struct parser *parser, struct window *out)
{
	unsigned day = 0, days = 7, from = 0, slots = DAY_SLOTS;
	bool has_days;
	int rc = 0;

	skip_blanks(parser);
	has_days = !is_digit(*parser->at);
	if (has_days)
		rc = parse_days(parser, &day, &days);
	skip_blanks(parser);
	if (rc == 0 && is_digit(*parser->at))
		rc = parse_times(parser, &from, &slots);
	skip_blanks(parser);
	if (rc == 0 && *parser->at && *parser->at != ',')
		rc = wrong(parser, "after a comma");
	for (unsigned i = 0; rc == 0 && i < days; i++)
		add_slots(out, (day + i) % 7 * DAY_SLOTS + from, slots);
	return rc;
}

int window_parse(const char *text, struct window *out, char *why, size_t why_cap)
{
	struct parser parser = {.at = text, .why = why, .cap = why_cap};
	int rc;

	memset(out, 0, sizeof(*out));
	if (!text || strcasecmp(text, "always") == 0) {
		add_slots(out, 0, WINDOW_SLOTS);
		return 0;
	}
	do
		rc = parse_part(&parser, out);
	while (rc == 0 && eat(&parser, ','));
	if (rc < 0)
		memset(out, 0, sizeof(*out));
	return rc;
}

static unsigned slot_of(uint64_t local_s)
{
	return (unsigned)((local_s / SLOT_S + EPOCH_DAY * DAY_SLOTS) % WINDOW_SLOTS);
}

static bool is_set(const struct window *window, unsigned slot)
{
	return window->bits[slot / 64] >> slot % 64 & 1;
}

bool window_open(const struct window *window, uint64_t local_s)
{
	return is_set(window, slot_of(local_s));
}

uint32_t window_wait_s(const struct window *window, uint64_t local_s)
{
	unsigned slot = slot_of(local_s);

	for (unsigned i = 0; i < WINDOW_SLOTS; i++)
		if (is_set(window, (slot + i) % WINDOW_SLOTS))
			return i ? i * SLOT_S - (uint32_t)(local_s % SLOT_S) : 0;
	return UINT32_MAX;
}
