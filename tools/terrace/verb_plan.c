// SPDX-License-Identifier: Apache-2.0
/* terrace plan: what the tier engine would do now, from .terrace/plan. */
#include "tools/terrace/terrace.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tools/terrace/control.h"
#include "tools/terrace/mounts.h"
#include "tools/terrace/text.h"

/* Why not, and until when if that is known. */
static void blocked_text(const json_t *move, char *buf, size_t cap)
{
	time_t until = (time_t)control_number(move, "until"), now = time(NULL);
	struct tm tm;
	char when[32];

	if (!*control_text(move, "block")) {
		snprintf(buf, cap, "-");
	} else if (!until) {
		snprintf(buf, cap, "%s", control_text(move, "block"));
	} else {
		localtime_r(&until, &tm);
		strftime(when, sizeof(when), until - now < 86400 ? "%H:%M:%S" : "%Y-%m-%d %H:%M",
			 &tm);
		snprintf(buf, cap, "%s until %s", control_text(move, "block"), when);
	}
}

static void move_row(struct table *table, const json_t *move, bool plain)
{
	double seconds = json_number_value(json_object_get(move, "seconds"));
	bool more = json_is_true(json_object_get(move, "more_files"));
	char files[TEXT_CELL + 1], bytes[TEXT_CELL], takes[TEXT_CELL], took[TEXT_CELL], blocked[96];

	snprintf(files, sizeof(files), "%" PRIu64 "%s", control_number(move, "files"),
		 more ? "+" : "");
	blocked_text(move, blocked, sizeof(blocked));
	if (seconds > 0 && seconds < 1)
		snprintf(took, sizeof(took), "<1s");
	else
		text_time((uint64_t)(seconds + 0.5), took);
	table_row(table, control_text(move, "from"), control_text(move, "to"),
		  control_text(move, "reason"), files,
		  text_size(control_number(move, "bytes"), plain, bytes),
		  text_size(control_number(move, "stored_after"), plain, takes), took, blocked,
		  NULL);
}

static bool print_moves(const json_t *plan, bool plain)
{
	struct table *table = table_new("lllrrrrl");
	json_t *move;
	size_t i;

	table_row(table, "From", "To", "Reason", "Files", "Bytes", "Takes", "Time", "Blocked",
		  NULL);
	json_array_foreach(json_object_get(plan, "moves"), i, move) move_row(table, move, plain);
	return table_print(table);
}

static bool print_fill(const json_t *plan, bool plain)
{
	struct table *table = table_new("lrrrrr");
	json_t *tier;
	size_t i;

	table_row(table, "Tier", "Size", "Used", "Use%", "After", "Use%", NULL);
	json_array_foreach(json_object_get(plan, "tiers"), i, tier)
	{
		uint64_t size = control_number(tier, "size"), used = control_number(tier, "used");
		uint64_t after = control_number(tier, "used_after");
		char a[TEXT_CELL], b[TEXT_CELL], c[TEXT_CELL], d[TEXT_CELL], e[TEXT_CELL];

		table_row(table, control_text(tier, "name"), text_size(size, plain, a),
			  text_size(used, plain, b), text_percent(used, size, c),
			  text_size(after, plain, d), text_percent(after, size, e), NULL);
	}
	return table_print(table);
}

static bool print_plan(const struct options *options, const json_t *plan)
{
	bool plain = has(options, OPTION_BYTES), done = true;
	json_t *path;
	size_t i;

	if (!json_array_size(json_object_get(plan, "moves"))) {
		printf("nothing to move\n");
	} else {
		done = print_moves(plan, plain);
		putchar('\n');
	}
	done = print_fill(plan, plain) && done;
	if (!has(options, OPTION_FILES))
		return done;
	putchar('\n');
	json_array_foreach(json_object_get(plan, "files"), i, path)
	{
		print_json_name(stdout, path);
		putchar('\n');
	}
	return done;
}

enum exit_code verb_plan(const struct options *options)
{
	struct mount mount;
	enum exit_code code = mount_find(options->nargs ? options->args[0] : NULL, false, &mount);
	json_t *plan;

	if (code)
		return code;
	plan = control_read(&mount, "plan");
	if (!plan)
		code = EXIT_FAILED;
	else if (has(options, OPTION_JSON) ? !json_print(json_incref(plan))
					   : !print_plan(options, plan))
		code = complain(EXIT_FAILED, "out of memory");
	json_decref(plan);
	mount_release(&mount);
	return code;
}
