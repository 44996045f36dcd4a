// SPDX-License-Identifier: Apache-2.0
/*
 * Reading a pool's configuration. Invariants:
 *  1. config_load() that fails leaves `out` released, and one line in `message`: the first thing
 *     that is wrong, with file and line.
 *  2. Every line reaches libinih whole, or is an error: it would cut a long one in two.
 *
 * libinih splits lines into keys and values; lines come to it through a reader of ours, which
 * counts them (its handler is not told), sees sections that are empty or come twice (its handler
 * is not called for those), and strips indentation (it takes an indented line for the continuation
 * of the line before).
 *
 * Threads: any, each with its own configuration; the first call sets libinih's limits and should
 * not run beside another user of libinih.
 */
#include "tiers/config_keys.h"

#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tiers/io.h"

#define FILE_MAX (1u << 20) /* bytes; a configuration is a few KiB */
#define LINE_MAX 8192	    /* bytes; a path of PATH_MAX and more */

/* Debian's libinih takes its limits at run time; elsewhere they are fixed at its build (200). */
extern bool ini_use_stack __attribute__((weak));
extern int ini_max_line __attribute__((weak));
extern int ini_initial_alloc __attribute__((weak));

struct reader {
	const char *file, *at, *end;
	int line;
	struct pool_config *config;
	struct config_section section; /* the open one; all NULL: none */
	bool seen_pool;
	uint32_t seen;			 /* bit per row of the open section's table */
	int tier_line[CONFIG_TIERS_MAX]; /* where its section begins */
	int rule_line[CONFIG_RULES_MAX];
	uint32_t seen_pool_keys;
	int error;
	char *message;
	size_t cap;
};

/* Keeps the first error only. */
static void __attribute__((format(printf, 4, 5)))
fail(struct reader *reader, int error, int line, const char *format, ...)
{
	char text[512];
	va_list args;

	if (reader->error)
		return;
	reader->error = error;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (line)
		snprintf(reader->message, reader->cap, "%s:%d: %s", reader->file, line, text);
	else
		snprintf(reader->message, reader->cap, "%s: %s", reader->file, text);
}

static void begin_tier(struct reader *reader, const char *name)
{
	struct pool_config *config = reader->config;
	const char *fault = config_tier_fault(config, name);

	if (fault)
		fail(reader, -EINVAL, reader->line, "[tier %.40s]: %s", name, fault);
	else if (config_tier_new(config, name, &reader->section.tier))
		fail(reader, -ENOMEM, reader->line, "out of memory");
	else
		reader->tier_line[config->ntiers - 1] = reader->line;
}

static void begin_rule(struct reader *reader, const char *name)
{
	struct pool_config *config = reader->config;
	const char *fault = config_rule_fault(config, name);

	if (fault)
		fail(reader, -EINVAL, reader->line, "[rule %.40s]: %s", name, fault);
	else if (config_rule_new(config, name, &reader->section.rule))
		fail(reader, -ENOMEM, reader->line, "out of memory");
	else
		reader->rule_line[config->nrules - 1] = reader->line;
}

/* "[tier ssd]" has begun. Called by the line reader, since libinih does not tell empty sections. */
static void begin_section(struct reader *reader, const char *name)
{
	const char *rest = name + strcspn(name, " \t");

	rest += strspn(rest, " \t");
	reader->seen = 0;
	reader->section = (struct config_section){.pool = NULL};
	if (!strcmp(name, "pool")) {
		reader->section.pool = reader->config;
		if (reader->seen_pool)
			fail(reader, -EINVAL, reader->line, "[pool] comes twice; keep one");
		reader->seen_pool = true;
	} else if (!strncmp(name, "tier ", 5)) {
		begin_tier(reader, rest);
	} else if (!strncmp(name, "rule ", 5)) {
		begin_rule(reader, rest);
	} else {
		fail(reader, -EINVAL, reader->line,
		     "unknown section [%.40s]; there are [pool], [tier NAME] and [rule NAME]",
		     name);
	}
}

/* libinih's fgets(): one line, without indentation; NULL at the end and after an error. */
static char *read_line(char *buf, int cap, void *arg)
{
	struct reader *reader = arg;
	const char *end, *from = reader->at;
	char *close;
	size_t len;

	if (reader->error || from == reader->end)
		return NULL;
	reader->line++;
	end = memchr(from, '\n', (size_t)(reader->end - from));
	end = end ? end : reader->end;
	reader->at = end == reader->end ? end : end + 1;
	if (reader->line == 1 && end - from >= 3 && !memcmp(from, "\xef\xbb\xbf", 3))
		from += 3;
	while (from < end && (*from == ' ' || *from == '\t'))
		from++;
	len = (size_t)(end - from);
	if (memchr(from, '\0', len)) {
		fail(reader, -EINVAL, reader->line, "holds a NUL byte; this is not a text file");
		return NULL;
	}
	if (len + 3 > (size_t)cap) { /* newline and NUL, and libinih wants one to spare */
		fail(reader, -EINVAL, reader->line, "longer than %d bytes; shorten it", cap - 3);
		return NULL;
	}
	memcpy(buf, from, len);
	buf[len] = '\0';
	close = buf[0] == '[' ? strchr(buf, ']') : NULL;
	if (buf[0] == '[' && !close) {
		fail(reader, -EINVAL, reader->line,
		     "'[' without ']'; a section is [pool], [tier NAME] or [rule NAME]");
		return NULL;
	}
	if (close) {
		*close = '\0';
		begin_section(reader, buf + 1);
		*close = ']';
	}
	buf[len] = '\n';
	buf[len + 1] = '\0';
	return buf;
}

static int on_key(void *arg, const char *section, const char *name, const char *value)
{
	struct reader *reader = arg;
	char why[360];
	int error;

	(void)section;
	if (reader->error)
		return 0;
	if (!reader->section.pool && !reader->section.tier && !reader->section.rule) {
		fail(reader, -EINVAL, reader->line, "'%.40s' stands before any section", name);
		return 0;
	}
	error = config_set_key(&reader->section, &reader->seen, name, value, why, sizeof(why));
	if (error)
		fail(reader, error, reader->line, "%s", why);
	else if (reader->section.pool)
		reader->seen_pool_keys = reader->seen;
	return !error;
}

static int take_names(struct pool_config *config, const char *file)
{
	const char *slash = strrchr(file, '/'), *base = slash ? slash + 1 : file;
	size_t len = strlen(base);

	if (len > 5 && !strcmp(base + len - 5, ".conf"))
		len -= 5;
	config->file = strdup(file);
	config->name = strndup(base, len);
	return config->file && config->name ? 0 : -ENOMEM;
}

static void check_read(struct reader *reader, int bad_line)
{
	char why[360];
	uint32_t where;
	int error;

	if (bad_line > 0)
		fail(reader, -EINVAL, bad_line, "neither [section] nor key = value");
	else if (bad_line < 0)
		fail(reader, -ENOMEM, 0, "out of memory");
	if (!reader->seen_pool || !(reader->seen_pool_keys & 1u))
		fail(reader, -EINVAL, 0, "no [pool] with a uuid; `terrace create` writes one");
	if (reader->error)
		return;
	/* config_check() may put `ram` in front of the tiers that the file names. */
	if (reader->config->ntiers && reader->config->tiers[0].kind != TIER_KIND_RAM) {
		uint32_t i;

		for (i = 1; i < reader->config->ntiers; i++) {
			if (reader->config->tiers[i].kind == TIER_KIND_RAM)
				fail(reader, -EINVAL, reader->tier_line[i],
				     "[tier ram] comes before all other tiers; move it up");
		}
		memmove(&reader->tier_line[1], &reader->tier_line[0],
			sizeof(reader->tier_line) - sizeof(reader->tier_line[0]));
	}
	if (reader->error)
		return;
	error = config_check(reader->config, &where, why, sizeof(why));
	if (error)
		fail(reader, error, where < CONFIG_TIERS_MAX ? reader->tier_line[where] : 0, "%s",
		     why);
	if (error)
		return;
	error = config_check_rules(reader->config, &where, why, sizeof(why));
	if (error)
		fail(reader, error, reader->rule_line[where], "[rule %s]: %s",
		     reader->config->rules[where].name, why);
}

int config_parse_text(const char *file, const char *text, size_t len, struct pool_config *out,
		      char *message, size_t message_cap)
{
	struct reader reader = {.file = file,
				.at = text,
				.end = text + len,
				.config = out,
				.message = message,
				.cap = message_cap};

	memset(out, 0, sizeof(*out));
	message[0] = '\0';
	if (&ini_use_stack && &ini_max_line && &ini_initial_alloc) {
		ini_use_stack = false;
		ini_max_line = LINE_MAX;
		ini_initial_alloc = LINE_MAX;
	}
	config_pool_defaults(out);
	if (take_names(out, file))
		fail(&reader, -ENOMEM, 0, "out of memory");
	if (!reader.error)
		check_read(&reader, ini_parse_stream(read_line, &reader, on_key, &reader));
	if (reader.error)
		config_release(out);
	return reader.error;
}

static int read_file(const char *file, char **text, size_t *len)
{
	struct stat stat;
	int fd = io_open(file, O_RDONLY, 0);
	int error;

	if (fd < 0)
		return fd;
	error = io_stat(fd, &stat);
	if (!error && (!S_ISREG(stat.st_mode) || stat.st_size > FILE_MAX))
		error = -EFBIG;
	if (!error) {
		*len = (size_t)stat.st_size;
		*text = malloc(*len + 1);
		error = *text ? io_pread_all(fd, *text, *len, 0) : -ENOMEM;
	}
	io_close(fd); /* nothing was written */
	return error;
}

int config_load(const char *file, struct pool_config *out, char *message, size_t message_cap)
{
	char *text = NULL, *full;
	size_t len = 0;
	int error;

	memset(out, 0, sizeof(*out));
	/* The daemon leaves its folder; the name must outlive that. */
	full = realpath(file, NULL);
	error = full ? read_file(full, &text, &len) : -errno;
	if (!error)
		error = config_parse_text(full, text, len, out, message, message_cap);
	else if (error == -ENOENT)
		snprintf(message, message_cap,
			 "%s: there is no such pool; `terrace create` makes one", file);
	else
		snprintf(message, message_cap, "%s: %s", file,
			 error == -EFBIG ? "not a configuration file" : strerror(-error));
	free(text);
	free(full);
	return error == -EFBIG ? -EINVAL : error;
}
