// SPDX-License-Identifier: Apache-2.0
/*
 * Keys and values of the configuration: sizes, times, and one table per section. Invariants:
 *  1. What config_value_print() prints, config_value_set() reads back to the same field.
 *  2. A failed config_value_set() leaves the field as it was.
 *  3. Numbers never depend on the locale and never wrap.
 * Threads: pure functions.
 */
#include "tiers/config_keys.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "compress/frame.h"
#include "tiers/engine/window.h"

#define SECOND UINT64_C(1000000000)
#define DAY    (86400 * SECOND)
#define KIB    UINT64_C(1024)
#define MIB    (1024 * KIB)
#define GIB    (1024 * MIB)

struct unit {
	const char *name;
	uint64_t factor;
};

/* Largest first: the printer takes the first that divides. */
static const struct unit size_units[] = {
	{"E", GIB *GIB}, {"P", GIB *MIB}, {"T", GIB *KIB}, {"G", GIB},
	{"M", MIB},	 {"K", KIB},	  {"", 1},	   {NULL, 0},
};

static const struct unit time_units[] = {
	{"d", DAY},
	{"h", 3600 * SECOND},
	{"min", 60 * SECOND},
	{"m", 60 * SECOND},
	{"s", SECOND},
	{"", SECOND},
	{"ms", SECOND / 1000},
	{"us", SECOND / 1000000},
	{"ns", 1},
	{NULL, 0},
};

/* Digits, at most one point and nine decimals; *rest = what follows. No sign, no exponent. */
static int parse_decimal(const char *text, uint64_t *whole, uint64_t *nanos, const char **rest)
{
	uint64_t scale = SECOND / 10;

	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	*whole = *nanos = 0;
	for (; isdigit((unsigned char)*text); text++) {
		if (__builtin_mul_overflow(*whole, 10, whole) ||
		    __builtin_add_overflow(*whole, (uint64_t)(*text - '0'), whole))
			return -EINVAL;
	}
	if (*text == '.') {
		if (!isdigit((unsigned char)*++text))
			return -EINVAL;
		for (; isdigit((unsigned char)*text); text++, scale /= 10) {
			if (!scale)
				return -EINVAL;
			*nanos += scale * (uint64_t)(*text - '0');
		}
	}
	*rest = text;
	return 0;
}

static int parse_number(const char *text, const char *suffix, const struct unit *unit,
			uint64_t *out)
{
	uint64_t whole, nanos;
	unsigned __int128 value;
	const char *rest;

	if (parse_decimal(text, &whole, &nanos, &rest))
		return -EINVAL;
	for (; unit->name; unit++) {
		size_t len = strlen(unit->name);

		if (strncasecmp(rest, unit->name, len))
			continue;
		/* "K", "KB", "KiB"; a plain count of bytes has no "iB". */
		if (rest[len] && strcasecmp(rest + len, suffix) &&
		    (!len || suffix[0] == '\0' || strcasecmp(rest + len, "iB")))
			continue;
		if (nanos && unit->factor == 1)
			return -EINVAL; /* half a byte, half a nanosecond */
		value = (unsigned __int128)nanos * unit->factor / SECOND +
			(unsigned __int128)whole * unit->factor;
		if (value > UINT64_MAX)
			return -EINVAL;
		*out = (uint64_t)value;
		return 0;
	}
	return -EINVAL;
}

int config_parse_size(const char *text, uint64_t *bytes)
{
	return parse_number(text, "B", size_units, bytes);
}

int config_parse_time(const char *text, uint64_t *ns)
{
	return parse_number(text, "", time_units, ns);
}

static void print_number(uint64_t value, const struct unit *unit, FILE *out)
{
	while (unit->factor > 1 && (value % unit->factor || (!value && unit->name[0])))
		unit++;
	fprintf(out, "%" PRIu64 "%s", value / unit->factor, unit->name);
}

const char config_codec_right[] =
	"should be none, lz4[:1..12], zstd[:-5..22] or lzma[:0..9], like zstd:12";

#define POOL(field) offsetof(struct pool_config, field)
#define TIER(field) offsetof(struct config_tier, field)

const struct config_key config_pool_keys[] = {
	{"uuid", CONFIG_UUID, POOL(uuid), 0, 0, 0, "the pool's identity; never change it"},
	{"meta", CONFIG_PATH, POOL(meta_path), 0, 0, 0,
	 "folder of the metadata; on the fastest disk"},
	{"commit_interval", CONFIG_TIME, POOL(commit_interval_ns), SECOND / 100, 3600 * SECOND,
	 CONFIG_LIVE, "power loss costs at most the unsynced work of this time"},
	{"checkpoint_interval", CONFIG_TIME, POOL(checkpoint_interval_ns), SECOND / 10, DAY, 0,
	 "the journal is folded into the metadata this often"},
	{"journal_size", CONFIG_SIZE, POOL(journal_bytes), MIB, 16 * GIB, 0,
	 "... or when it has grown to this"},
	{"metadata_copies", CONFIG_COUNT, POOL(metadata_copies), 0, 32, 0,
	 "copies of the metadata kept in each other tier's folders; 0 = none"},
	{"metadata_copy_interval", CONFIG_TIME, POOL(metadata_copy_interval_ns), SECOND, 30 * DAY,
	 0, "a new copy is made when something has changed for this long"},
	{"metadata_copy_bytes", CONFIG_SIZE, POOL(metadata_copy_bytes), MIB, UINT64_MAX >> 1, 0,
	 "... or much sooner, when so much was moved"},
	{"run_interval", CONFIG_TIME, POOL(run_interval_ns), SECOND / 10, 30 * DAY, CONFIG_LIVE,
	 "between passes of the tier engine"},
	{"promote_window", CONFIG_TIME, POOL(promote_window_ns), 0, 30 * DAY, CONFIG_LIVE,
	 "two reads within this time promote data"},
	{"move_bandwidth", CONFIG_SIZE, POOL(move_bandwidth), 0, UINT64_MAX, CONFIG_LIVE,
	 "bytes per second of background moves; 0 = no limit"},
	{"move_iops", CONFIG_COUNT, POOL(move_iops), 0, UINT32_MAX, CONFIG_LIVE,
	 "frames per second of background moves; 0 = no limit"},
	{"move_pressure", CONFIG_PERCENT, POOL(move_pressure), 0, 100, CONFIG_LIVE,
	 "moves wait while the machine stalls on I/O or memory more than this; 0 = never"},
	{"move_window", CONFIG_WINDOW, POOL(move_window), 0, 0, CONFIG_LIVE,
	 "when background moves may run, like Mon-Fri 22:00-06:00,Sat,Sun; always"},
	{"start_delay", CONFIG_TIME, POOL(start_delay_ns), 0, DAY, CONFIG_LIVE,
	 "after mounting, background moves come up to speed over this time"},
	{"scrub_bandwidth", CONFIG_SIZE, POOL(scrub_bandwidth), 0, UINT64_MAX, CONFIG_LIVE,
	 "bytes per second that a scrub reads; 0 = no limit"},
	{"scrub_interval", CONFIG_TIME, POOL(scrub_interval_ns), 0, 3650 * DAY, CONFIG_LIVE,
	 "from the end of a scrub to the begin of the next; 0 = only when asked for"},
	{"heat_half_life", CONFIG_TIME, POOL(heat_half_life_ns), SECOND, 365 * DAY, CONFIG_LIVE,
	 "how fast heat falls: about the time in which a working set changes"},
	{"plain_idle", CONFIG_TIME, POOL(plain_idle_ns), 0, 3650 * DAY, CONFIG_LIVE,
	 "plain files that were not used for so long are compressed again; 0: never"},
	{"plain_databases", CONFIG_SWITCH, POOL(plain_databases), 0, 0, CONFIG_LIVE,
	 "files written like databases become plain: yes, no, auto (with passthrough)"},
	{"residency", CONFIG_TIME, POOL(residency_ns), 0, 365 * DAY, CONFIG_LIVE,
	 "what came up stays at least so long"},
	{"promote_gain", CONFIG_PERCENT, POOL(promote_gain), 0, 100000, CONFIG_LIVE,
	 "time saved by a promotion must be at least this part of what it costs"},
	{"threads", CONFIG_COUNT, POOL(threads), 0, 256, 0,
	 "that encode and decode; 0 = one per processor"},
	{NULL, CONFIG_COUNT, 0, 0, 0, 0, NULL},
};

const struct config_key config_tier_keys[] = {
	{"path", CONFIG_PATHS, TIER(paths), 0, 0, CONFIG_RAM,
	 "a folder; of other tiers than ram, may be given several times"},
	{"copy_path", CONFIG_PATHS, TIER(paths), 0, 0, CONFIG_SPARE,
	 "a folder on another tier's disk, for copies that the paths cannot hold"},
	{"size", CONFIG_QUOTA, 0, MIB, UINT64_MAX, CONFIG_RAM | CONFIG_RAM_LIVE,
	 "bytes (64G) or part of the medium (80%)"},
	{"codec", CONFIG_CODEC, TIER(codec), 0, 0, CONFIG_RAM | CONFIG_LIVE | CONFIG_RAM_LIVE,
	 "none, lz4[:N], zstd[:N], lzma[:N]"},
	{"frame", CONFIG_SIZE32, TIER(frame_bytes), FRAME_BLOCK_MIN, FRAME_RAW_MAX, 0,
	 "data is stored in runs of this many bytes"},
	{"block", CONFIG_SIZE32, TIER(block_bytes), FRAME_BLOCK_MIN, FRAME_BLOCK_MAX, 0,
	 "... coded in blocks of this many: what a random read decodes"},
	{"segment", CONFIG_SIZE, TIER(segment_bytes), MIB, 2 * GIB, 0,
	 "size of the files that hold the frames"},
	{"replicas", CONFIG_COUNT, TIER(replicas), 1, 5, CONFIG_LIVE,
	 "directories of the tier that everything is kept in, 1 to 5"},
	{"high", CONFIG_PERCENT, TIER(high_percent), 1, 100, CONFIG_LIVE, "demote above this fill"},
	{"low", CONFIG_PERCENT, TIER(low_percent), 0, 99, CONFIG_LIVE, "... until below this"},
	{"min_age", CONFIG_TIME, TIER(min_age_ns), 0, UINT64_MAX, CONFIG_LIVE,
	 "not demoted sooner after the last access"},
	{"write_budget", CONFIG_SIZE, TIER(write_budget), 0, UINT64_MAX, CONFIG_LIVE,
	 "bytes that background moves may write here per day; 0 = no limit"},
	{"direct", CONFIG_SWITCH, TIER(direct), 0, 0, 0, "go round the page cache: yes, no, auto"},
	{"test_delay", CONFIG_TIME, TIER(delay_ns), 0, 60 * SECOND, 0,
	 "for tests: every read waits this long"},
	{"test_bandwidth", CONFIG_SIZE, TIER(bandwidth), 0, UINT64_MAX, 0,
	 "for tests: bytes per second; 0 = no limit"},
	{NULL, CONFIG_COUNT, 0, 0, 0, 0, NULL},
};

const struct config_key *config_key_find(const struct config_key *keys, const char *name)
{
	for (; keys->name; keys++) {
		if (!strcmp(keys->name, name))
			return keys;
	}
	return NULL;
}

bool config_comment_in(const char *text)
{
	const char *c;

	for (c = text; *c; c++)
		/* libinih takes a ';' after a blank for a comment. */
		if (*c == ';' && (c == text || isspace((unsigned char)c[-1])))
			return true;
	return false;
}

const char *config_path_fault(const char *path)
{
	const unsigned char *c = (const unsigned char *)path;

	if (path[0] != '/')
		return "must be an absolute path (/...)";
	if (isspace((unsigned char)path[strlen(path) - 1]))
		return "ends in a blank, which a configuration file cannot hold";
	for (; *c; c++) {
		if (iscntrl(*c))
			return "has a control character";
	}
	if (config_comment_in(path))
		return "has ' ;', which begins a comment in a configuration file";
	return NULL;
}

/* "/a/b//" and "/a/b" are one place, and comparing paths should see that. */
static char *path_copy(const char *text)
{
	size_t len = strlen(text);

	while (len > 1 && text[len - 1] == '/')
		len--;
	return strndup(text, len);
}

char *const *config_paths(const struct config_key *key, const struct config_tier *tier, uint32_t *n)
{
	uint32_t first = tier->npaths - tier->nspares;

	*n = key->flags & CONFIG_SPARE ? tier->nspares : first;
	return tier->paths + (key->flags & CONFIG_SPARE ? first : 0);
}

bool config_is_spare(const struct config_tier *tier, const char *path)
{
	for (uint32_t i = tier->npaths - tier->nspares; i < tier->npaths; i++)
		if (!strcmp(tier->paths[i], path))
			return true;
	return false;
}

/* Those of further copies stay the last, in whatever order the file has them. */
static void path_add(struct config_tier *tier, char *path, bool spare)
{
	uint32_t at = spare ? tier->npaths : tier->npaths - tier->nspares;

	memmove(&tier->paths[at + 1], &tier->paths[at],
		(tier->npaths - at) * sizeof(tier->paths[0]));
	tier->paths[at] = path;
	tier->npaths++;
	tier->nspares += spare;
}

static int set_path(const struct config_key *key, void *base, const char *text, char *why,
		    size_t cap)
{
	struct config_tier *tier = base;
	char **field = key->kind == CONFIG_PATH ? (char **)(void *)((char *)base + key->at) : NULL;
	char *copy = path_copy(text);
	const char *fault = copy ? config_path_fault(copy) : NULL;

	if (!copy)
		return -ENOMEM;
	if (fault)
		snprintf(why, cap, "%s", fault);
	else if (!field && tier->npaths == CONFIG_PATHS_MAX)
		snprintf(why, cap, "one tier has at most %u paths", CONFIG_PATHS_MAX);
	if (why[0]) {
		free(copy);
		return -EINVAL;
	}
	if (field) {
		free(*field);
		*field = copy;
	} else {
		path_add(tier, copy, key->flags & CONFIG_SPARE);
	}
	return 0;
}

static int hex_digit(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = c ? strchr(digits, tolower((unsigned char)c)) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* 32 hex digits, dashes anywhere between bytes; all zero is no uuid. */
static int parse_uuid(const char *text, uint8_t uuid[16])
{
	uint8_t bytes[16], any = 0;
	size_t n = 0;

	while (*text) {
		int high, low;

		if (*text == '-') {
			text++;
			continue;
		}
		high = hex_digit(text[0]);
		low = high < 0 ? -1 : hex_digit(text[1]);
		if (low < 0 || n == sizeof(bytes))
			return -EINVAL;
		bytes[n] = (uint8_t)(high << 4 | low);
		any |= bytes[n++];
		text += 2;
	}
	if (n != sizeof(bytes) || !any)
		return -EINVAL;
	memcpy(uuid, bytes, sizeof(bytes));
	return 0;
}

static int parse_percent(const char *text, uint64_t *percent)
{
	const char *rest;
	uint64_t nanos;

	if (parse_decimal(text, percent, &nanos, &rest) || nanos)
		return -EINVAL;
	return *rest && strcmp(rest, "%") ? -EINVAL : 0;
}

static int set_quota(const struct config_key *key, struct config_tier *tier, const char *text)
{
	size_t len = strlen(text);
	uint64_t value;

	if (len && text[len - 1] == '%') {
		if (parse_percent(text, &value) || value < 1 || value > 100)
			return -EINVAL;
		tier->size_percent = (uint32_t)value;
		tier->size_bytes = 0;
		return 0;
	}
	if (config_parse_size(text, &value) || value < key->min || value > key->max)
		return -EINVAL;
	tier->size_bytes = value;
	tier->size_percent = 0;
	return 0;
}

static int set_switch(int *out, const char *text)
{
	static const char *const words[] = {"auto", "no", "yes"};
	int i;

	for (i = 0; i < 3; i++) {
		if (!strcmp(text, words[i])) {
			*out = i - 1;
			return 0;
		}
	}
	return -EINVAL;
}

/* The kinds that are one number between min and max. */
static int set_number(const struct config_key *key, void *field, const char *text)
{
	uint64_t value;
	int error;

	if (key->kind == CONFIG_TIME)
		error = config_parse_time(text, &value);
	else if (key->kind == CONFIG_PERCENT)
		error = parse_percent(text, &value);
	else
		error = config_parse_size(text, &value);
	if (error || value < key->min || value > key->max)
		return -EINVAL;
	if (key->kind == CONFIG_SIZE32 && value & (value - 1))
		return -EINVAL;
	if (key->kind == CONFIG_TIME || key->kind == CONFIG_SIZE)
		*(uint64_t *)field = value;
	else
		*(uint32_t *)field = (uint32_t)value;
	return 0;
}

static int set_window(char **field, const char *text, char *why, size_t cap)
{
	struct window window;
	char *copy = NULL;

	if (window_parse(text, &window, why, cap) < 0)
		return -EINVAL;
	if (strcasecmp(text, "always") != 0) {
		copy = strdup(text);
		if (!copy)
			return -ENOMEM;
	}
	free(*field);
	*field = copy;
	return 0;
}

static void say_range(const struct config_key *key, const char *what, char *why, size_t cap)
{
	const struct unit *units = key->kind == CONFIG_TIME ? time_units : size_units;
	FILE *out = fmemopen(why, cap, "w");

	/* Without memory for a stream the message is just shorter. */
	if (!out) {
		snprintf(why, cap, "should be %s", what);
		return;
	}
	fprintf(out, "should be %s", what);
	if (key->min && key->max != UINT64_MAX) {
		fputs(", from ", out);
		print_number(key->min, units, out);
		fputs(" to ", out);
		print_number(key->max, units, out);
	} else if (key->min) {
		fputs(", at least ", out);
		print_number(key->min, units, out);
	} else if (key->max != UINT64_MAX) {
		fputs(", at most ", out);
		print_number(key->max, units, out);
	}
	fclose(out);
}

static void say_right(const struct config_key *key, char *why, size_t cap)
{
	switch (key->kind) {
	case CONFIG_SIZE:
		say_range(key, "a size like 64K or 2G", why, cap);
		break;
	case CONFIG_SIZE32:
		say_range(key, "a power of two like 128K", why, cap);
		break;
	case CONFIG_TIME:
		say_range(key, "a time like 500ms, 5s, 10min, 2h or 7d", why, cap);
		break;
	case CONFIG_COUNT:
		say_range(key, "a number", why, cap);
		break;
	case CONFIG_PERCENT:
		say_range(key, "a percentage like 90%", why, cap);
		break;
	case CONFIG_QUOTA:
		say_range(key, "a size like 64G or a part like 80%", why, cap);
		break;
	case CONFIG_CODEC:
		snprintf(why, cap, "%s", config_codec_right);
		break;
	case CONFIG_SWITCH:
		snprintf(why, cap, "should be yes, no or auto");
		break;
	case CONFIG_UUID:
		snprintf(why, cap, "should be 32 hexadecimal digits, not all 0");
		break;
	default:
		break; /* whoever refused it has said why */
	}
}

int config_value_set(const struct config_key *key, void *base, const char *text, char *why,
		     size_t why_cap)
{
	void *field = (char *)base + key->at;
	int error = 0;

	why[0] = '\0';
	switch (key->kind) {
	case CONFIG_SIZE:
	case CONFIG_SIZE32:
	case CONFIG_TIME:
	case CONFIG_COUNT:
	case CONFIG_PERCENT:
		error = set_number(key, field, text);
		break;
	case CONFIG_QUOTA:
		error = set_quota(key, base, text);
		break;
	case CONFIG_CODEC:
		error = codec_parse(text, field);
		break;
	case CONFIG_SWITCH:
		error = set_switch(field, text);
		break;
	case CONFIG_UUID:
		error = parse_uuid(text, field);
		break;
	case CONFIG_PATH:
	case CONFIG_PATHS:
		return set_path(key, base, text, why, why_cap);
	case CONFIG_WINDOW:
		return set_window(field, text, why, why_cap);
	default:
		return config_rule_value_set(key, base, text, why, why_cap);
	}
	if (error == -EINVAL)
		say_right(key, why, why_cap);
	return error;
}

void config_value_print(const struct config_key *key, const void *base, uint32_t i, FILE *out)
{
	static const char *const words[] = {"auto", "no", "yes"};
	const void *field = (const char *)base + key->at;
	const struct config_tier *tier = base;
	char codec[16];
	uint32_t n;

	switch (key->kind) {
	case CONFIG_SIZE:
		print_number(*(const uint64_t *)field, size_units, out);
		break;
	case CONFIG_SIZE32:
		print_number(*(const uint32_t *)field, size_units, out);
		break;
	case CONFIG_TIME:
		print_number(*(const uint64_t *)field, time_units, out);
		break;
	case CONFIG_COUNT:
		fprintf(out, "%u", *(const unsigned *)field);
		break;
	case CONFIG_PERCENT:
		fprintf(out, "%" PRIu32 "%%", *(const uint32_t *)field);
		break;
	case CONFIG_QUOTA:
		if (tier->size_percent)
			fprintf(out, "%" PRIu32 "%%", tier->size_percent);
		else
			print_number(tier->size_bytes, size_units, out);
		break;
	case CONFIG_CODEC:
		codec_format(field, codec, sizeof(codec));
		fputs(codec, out);
		break;
	case CONFIG_SWITCH:
		fputs(words[*(const int *)field + 1], out);
		break;
	case CONFIG_UUID:
		for (n = 0; n < 16; n++)
			fprintf(out, "%02x", ((const uint8_t *)field)[n]);
		break;
	case CONFIG_PATH:
		fputs(*(char *const *)field, out);
		break;
	case CONFIG_PATHS:
		fputs(config_paths(key, tier, &n)[i], out);
		break;
	case CONFIG_WINDOW:
		fputs(*(char *const *)field ? *(char *const *)field : "always", out);
		break;
	default: /* config_rule_print() */
		break;
	}
}

bool config_value_equal(const struct config_key *key, const void *a, const void *b)
{
	const void *left = (const char *)a + key->at, *right = (const char *)b + key->at;
	const struct config_tier *tier_a = a, *tier_b = b;
	const char *text_a, *text_b;

	switch (key->kind) {
	case CONFIG_SIZE:
	case CONFIG_TIME:
		return !memcmp(left, right, sizeof(uint64_t));
	case CONFIG_SIZE32:
	case CONFIG_COUNT:
	case CONFIG_PERCENT:
	case CONFIG_SWITCH:
		return !memcmp(left, right, sizeof(uint32_t));
	case CONFIG_QUOTA:
		return tier_a->size_bytes == tier_b->size_bytes &&
		       tier_a->size_percent == tier_b->size_percent;
	case CONFIG_CODEC:
		return !memcmp(left, right, sizeof(struct codec_spec));
	case CONFIG_UUID:
		return !memcmp(left, right, 16);
	case CONFIG_PATH:
	case CONFIG_WINDOW:
		text_a = *(char *const *)left;
		text_b = *(char *const *)right;
		return text_a && text_b ? !strcmp(text_a, text_b) : text_a == text_b;
	default:
		break;
	}
	return false;
}
