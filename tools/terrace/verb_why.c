// SPDX-License-Identifier: Apache-2.0
/*
 * terrace why: the attribute user.terrace.why in plain words. Extents with one verdict are summed
 * up; -v shows each.
 */
#include "tools/terrace/terrace.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "tools/terrace/attributes.h"
#include "tools/terrace/mounts.h"
#include "tools/terrace/text.h"

#define GROUPS_MAX 64u /* verdicts that one summary tells apart */

struct reasons { /* of an extent, or of several alike */
	uint64_t off, len, extents;
	double stored, heat;
	char tier[32], codec[32], access[32], reason[32], block[32], to[32], until[32];
	unsigned copies, wanted;    /* directories that have it, and that should */
	const char *decided, *next; /* parts of the attribute's text */
};

/* A line of the attribute, cut up; false: it is not as terrace(7) says. */
static bool parse_line(char *line, struct reasons *out)
{
	char *decided = strchr(line, '\t'), *next = decided ? strchr(decided + 1, '\t') : NULL;
	double ratio;

	if (!next)
		return false;
	*decided++ = *next++ = '\0';
	out->decided = decided;
	out->next = next;
	out->extents = 1;
	if (sscanf(line, "%" SCNu64 " %" SCNu64 " %31s %31s %lf %lf %31s %31s %31s %31s %31s %u/%u",
		   &out->off, &out->len, out->tier, out->codec, &ratio, &out->heat, out->access,
		   out->reason, out->block, out->to, out->until, &out->copies, &out->wanted) != 13)
		return false;
	out->stored = (double)out->len / (ratio > 0 ? ratio : 1);
	return true;
}

static bool alike(const struct reasons *a, const struct reasons *b)
{
	return a->copies == b->copies && a->wanted == b->wanted && !strcmp(a->tier, b->tier) &&
	       !strcmp(a->codec, b->codec) && !strcmp(a->reason, b->reason) &&
	       !strcmp(a->block, b->block) && !strcmp(a->to, b->to) &&
	       !strcmp(a->decided, b->decided);
}

/* Heat is that of the mean byte; access and end of a block are the latest. */
static void join(struct reasons *to, const struct reasons *more)
{
	double bytes = (double)(to->len + more->len);

	if (bytes > 0)
		to->heat = (to->heat * (double)to->len + more->heat * (double)more->len) / bytes;
	to->len += more->len;
	to->stored += more->stored;
	to->extents += more->extents;
	if (strcmp(more->access, to->access) > 0)
		memcpy(to->access, more->access, sizeof(to->access));
	if (strcmp(more->until, to->until) > 0) {
		memcpy(to->until, more->until, sizeof(to->until));
		to->next = more->next;
	}
}

struct list {
	struct reasons *items;
	size_t n, cap;
};

static bool list_add(struct list *list, const struct reasons *item)
{
	if (list->n == list->cap) {
		size_t cap = list->cap ? 2 * list->cap : 64;
		struct reasons *items = reallocarray(list->items, cap, sizeof(*items));

		if (!items)
			return false;
		list->items = items;
		list->cap = cap;
	}
	list->items[list->n++] = *item;
	return true;
}

/* Every extent; runs of alike ones (for programs); or all alike ones together (for people). */
enum merge { MERGE_NONE, MERGE_RUNS, MERGE_ALL };

static bool take(struct list *list, const struct reasons *item, enum merge merge)
{
	size_t first = merge == MERGE_ALL || !list->n ? 0 : list->n - 1;

	for (size_t i = first; merge != MERGE_NONE && i < list->n; i++) {
		struct reasons *known = &list->items[i];

		/* Beyond the limit the last takes what has no place of its own. */
		if (!alike(known, item) &&
		    !(merge == MERGE_ALL && list->n == GROUPS_MAX && i + 1 == list->n))
			continue;
		if (merge == MERGE_RUNS && known->off + known->len != item->off)
			continue;
		join(known, item);
		return true;
	}
	return list_add(list, item);
}

/* -EBADMSG: a daemon of another version. */
static int parse(char *text, enum merge merge, struct list *list)
{
	char *line;

	while ((line = strsep(&text, "\n"))) {
		struct reasons item;

		if (!*line)
			continue;
		if (!parse_line(line, &item))
			return -EBADMSG;
		if (!take(list, &item, merge))
			return -ENOMEM;
	}
	return 0;
}

/* "last used 3:05 ago" */
static void print_access(const char *access)
{
	struct tm tm = {.tm_isdst = 0};
	char ago[TEXT_CELL];
	time_t at;

	if (!strptime(access, "%Y-%m-%dT%H:%M:%SZ", &tm))
		return;
	at = timegm(&tm);
	if (time(NULL) - at < 2)
		printf(", used just now");
	else
		printf(", last used %s ago", text_time((uint64_t)(time(NULL) - at), ago));
}

static void print_item(const struct reasons *item, bool verbose, bool plain)
{
	char len[TEXT_CELL], off[TEXT_CELL], ratio[TEXT_CELL];

	if (verbose)
		printf("  at %s: ", text_size(item->off, true, off));
	else
		printf("  ");
	printf("%s on %s", text_size(item->len, plain, len), item->tier);
	if (strcmp(item->codec, "-") != 0)
		printf(", %s, ratio %s, heat %.0f", item->codec,
		       text_ratio(item->len, (uint64_t)item->stored, ratio), item->heat);
	if (item->copies < item->wanted)
		printf(", in %u of %u directories", item->copies, item->wanted);
	else if (item->copies > 1)
		printf(", in %u directories", item->copies);
	print_access(item->access);
	printf("\n    decided by: %s\n    next: %s\n", item->decided, item->next);
}

static json_t *item_json(const struct reasons *item)
{
	const char *to = strcmp(item->to, item->tier) != 0 ? item->to : NULL;
	const char *until = strcmp(item->until, "-") != 0 ? item->until : NULL;

	return json_pack("{sI sI sI ss ss sf sf ss ss ss ss? ss? si si so so}", "offset",
			 (json_int_t)item->off, "length", (json_int_t)item->len, "extents",
			 (json_int_t)item->extents, "tier", item->tier, "codec", item->codec,
			 "ratio", item->stored > 0 ? (double)item->len / item->stored : 1.0, "heat",
			 item->heat, "access", item->access, "reason", item->reason, "block",
			 item->block, "to", to, "until", until, "copies", (int)item->copies,
			 "copies_wanted", (int)item->wanted, "decided", json_name(item->decided),
			 "next", json_name(item->next));
}

/* What holds for the files in a folder. */
static json_t *look_at_folder(const char *path, bool json)
{
	static const char *const names[] = {"pin", "codec", "state", "replicas", "tier"};
	json_t *object = json ? json_pack("{so}", "path", json_name(path)) : NULL;

	if (!json) {
		print_name(stdout, path);
		printf(": a folder; for files in it:\n");
	}
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char name[32], *value;

		snprintf(name, sizeof(name), "effective.%s", names[i]);
		value = attribute_get(path, name);
		if (value && json)
			json_object_set_new(object, names[i], json_name(value));
		else if (value)
			print_setting(names[i], value);
		free(value);
	}
	return object;
}

static enum exit_code look_at_file(const char *path, const struct options *options, uint64_t size,
				   json_t **out)
{
	bool json = has(options, OPTION_JSON), verbose = has(options, OPTION_VERBOSE);
	char *text = attribute_get(path, "why"), cell[TEXT_CELL];
	struct list list = {.items = NULL};
	enum exit_code code = EXIT_DONE;
	json_t *rows;
	int r;

	if (!text)
		return complain(EXIT_FAILED, "%s: %s", path, strerror(errno));
	r = parse(text, verbose ? MERGE_NONE : json ? MERGE_RUNS : MERGE_ALL, &list);
	if (r)
		code = complain(EXIT_FAILED, "%s: %s", path,
				r == -EBADMSG ? "the daemon is of another version" : strerror(-r));
	if (!r && json) {
		rows = json_array();
		for (size_t i = 0; i < list.n; i++)
			json_array_append_new(rows, item_json(&list.items[i]));
		*out = json_pack("{so sI so}", "path", json_name(path), "size", (json_int_t)size,
				 "runs", rows);
	} else if (!r) {
		print_name(stdout, path);
		printf(": %s%s\n", text_size(size, has(options, OPTION_BYTES), cell),
		       list.n ? "" : ", nothing is stored");
		for (size_t i = 0; i < list.n; i++)
			print_item(&list.items[i], verbose, has(options, OPTION_BYTES));
	}
	free(list.items);
	free(text);
	return code;
}

static enum exit_code look_at(const char *path, const struct options *options, json_t *all)
{
	struct mount mount;
	json_t *row = NULL;
	struct stat st;
	enum exit_code code = mount_of_path(path, &mount, NULL);

	mount_release(&mount);
	if (code)
		return code;
	if (stat(path, &st))
		return complain(EXIT_FAILED, "%s: %s", path, strerror(errno));
	if (S_ISDIR(st.st_mode))
		row = look_at_folder(path, all);
	else if (S_ISREG(st.st_mode))
		code = look_at_file(path, options, (uint64_t)st.st_size, &row);
	else
		code = complain(EXIT_FAILED, "%s is no file and no folder: it has no bytes", path);
	if (row)
		json_array_append_new(all, row);
	return code;
}

enum exit_code verb_why(const struct options *options)
{
	json_t *all = has(options, OPTION_JSON) ? json_array() : NULL;
	enum exit_code worst = EXIT_DONE;

	for (int i = 0; i < options->nargs; i++) {
		enum exit_code code = look_at(options->args[i], options, all);

		worst = worst ? worst : code;
	}
	if (all && !json_print(all))
		worst = complain(EXIT_FAILED, "out of memory");
	return worst;
}
