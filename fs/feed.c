// SPDX-License-Identifier: Apache-2.0
/*
 * Lines are made BATCH events at a time, and only when all lines before have been read: a reader
 * who is slow holds one batch of text and a number.
 */
#include "fs/feed.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fs/fs.h"
#include "fs/paths.h"
#include "fs/text.h"
#include "tiers/engine/engine.h"
#include "tiers/engine/events.h"
#include "tiers/pool.h"

#define BATCH 128u

struct feed {
	struct fs *fs;
	struct events *events;
	uint64_t after; /* the last event that text holds, or held */
	char *text;	/* lines not yet read, from `at` on; NULL: none */
	size_t at, len;
};

int feed_new(struct fs *fs, struct feed **out)
{
	struct feed *feed = calloc(1, sizeof(*feed));
	uint64_t last;

	if (!feed)
		return -ENOMEM;
	feed->fs = fs;
	feed->events = pool_events(fs->pool);
	/* Whoever comes late has missed nothing: he begins where the ring does. */
	last = events_last(feed->events);
	feed->after = last > EVENTS_KEPT ? last - EVENTS_KEPT : 0;
	*out = feed;
	return 0;
}

void feed_free(struct feed *feed)
{
	if (!feed)
		return;
	free(feed->text);
	free(feed);
}

bool feed_ready(struct feed *feed)
{
	return feed->text || events_last(feed->events) > feed->after;
}

/* Making lines --------------------------------------------------------------------------------- */

static void set(json_t *line, const char *key, json_t *value)
{
	json_object_set_new(line, key, value);
}

static void set_number(json_t *line, const char *key, uint64_t value)
{
	set(line, key, json_integer((json_int_t)value));
}

static void set_tier(json_t *line, const struct fs *fs, const char *key, int tier)
{
	const struct pool_config *config = pool_config(fs->pool);

	if (tier >= 0 && (uint32_t)tier < config->ntiers)
		set(line, key, json_string(config->tiers[tier].name));
}

static void set_time(json_t *line, int64_t ns)
{
	time_t seconds = (time_t)(ns / 1000000000);
	char text[64], *end = text;
	struct tm tm;

	if (gmtime_r(&seconds, &tm))
		end += strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(end, 16, ".%09uZ", (unsigned)(ns % 1000000000));
	set(line, "time", json_string(text));
}

static void set_error(json_t *line, int error)
{
	const char *name = strerrorname_np(-error);

	set(line, "error", json_string(name ? name : "EIO"));
}

/* What the text of an event is, by its kind; moves have none. */
static const char *text_key(enum event_kind kind)
{
	switch (kind) {
	case EVENT_BREAKER:
		return "state";
	case EVENT_PLACE:
		return "place";
	case EVENT_CONFIG:
		return "setting";
	case EVENT_DAMAGE:
	case EVENT_MENDED:
		return "what";
	default:
		return "why";
	}
}

static json_t *line_of(struct fs *fs, const struct event *event)
{
	bool of_tier = event->kind == EVENT_BREAKER || event->kind == EVENT_PLACE ||
		       event->kind == EVENT_PRESSURE || event->kind == EVENT_DAMAGE ||
		       event->kind == EVENT_MENDED;
	json_t *line = json_object(), *path = NULL;

	set_number(line, "event", event->number);
	set_time(line, event->time_ns);
	set(line, "kind", json_string(event_kind_name(event->kind)));
	if (event->reason != REASON_NONE)
		set(line, "reason", json_string(reason_name(event->reason)));
	if (event->object)
		path = path_json_of(fs, event->object);
	if (path)
		set(line, "path", path);
	if (event->object)
		set_number(line, "object", event->object);
	if (event->len) {
		set_number(line, "offset", event->off);
		set_number(line, "length", event->len);
	}
	if (of_tier) {
		set_tier(line, fs, "tier", event->to >= 0 ? event->to : event->from);
	} else if (event->kind != EVENT_CONFIG) {
		set_tier(line, fs, "from", event->from);
		set_tier(line, fs, "to", event->to);
	}
	if (event->before || event->after) {
		set_number(line, "before", event->before);
		set_number(line, "after", event->after);
	}
	if (event->error)
		set_error(line, event->error);
	if (*event->text)
		set(line, text_key(event->kind), json_name(event->text));
	return line;
}

static int print_line(FILE *out, json_t *line)
{
	int r = line ? json_dumpf(line, out, JSON_COMPACT) : -1;

	json_decref(line);
	if (!r)
		fputc('\n', out);
	return r;
}

/* Prints what is new, at most BATCH events. *after: the last of them. */
static int print_batch(struct feed *feed, FILE *out, uint64_t *after)
{
	struct event event;
	uint64_t missed;
	int r = 0;

	for (unsigned i = 0; !r && i < BATCH; i++) {
		if (events_get(feed->events, *after, &event, &missed))
			break;
		if (missed)
			r = print_line(out, json_pack("{s:I}", "missed", (json_int_t)missed));
		if (!r)
			r = print_line(out, line_of(feed->fs, &event));
		*after = event.number;
	}
	return r;
}

/* -EAGAIN: there is nothing new. */
static int make_text(struct feed *feed)
{
	uint64_t after = feed->after;
	FILE *out;
	int r;

	if (events_last(feed->events) <= after)
		return -EAGAIN;
	out = open_memstream(&feed->text, &feed->len);
	if (!out)
		return -ENOMEM;
	r = print_batch(feed, out, &after);
	if (fclose(out) || r) {
		free(feed->text);
		feed->text = NULL;
		return -ENOMEM;
	}
	feed->after = after;
	feed->at = 0;
	return 0;
}

int feed_read(struct feed *feed, void *buf, size_t len, size_t *got)
{
	char *to = buf;
	int r = 0;

	*got = 0;
	while (*got < len) {
		size_t part;

		if (!feed->text) {
			r = make_text(feed);
			if (r)
				break;
		}
		part = feed->len - feed->at < len - *got ? feed->len - feed->at : len - *got;
		memcpy(to + *got, feed->text + feed->at, part);
		*got += part;
		feed->at += part;
		if (feed->at == feed->len) {
			free(feed->text);
			feed->text = NULL;
		}
	}
	return *got ? 0 : r;
}
