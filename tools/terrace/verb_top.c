// SPDX-License-Identifier: Apache-2.0
/*
 * terrace top. One function makes the whole screen as text of a given width; on a terminal ncurses
 * shows it, which sends only what has changed, elsewhere it is printed once.
 */
#include "tools/terrace/terrace.h"

#include <curses.h>
#include <fcntl.h>
#include <inttypes.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tools/terrace/control.h"
#include "tools/terrace/jobs.h"
#include "tools/terrace/mounts.h"
#include "tools/terrace/rates.h"
#include "tools/terrace/text.h"

#define REFRESH_MS   1000
#define PLAIN_WIDTH  100u
#define BAR_MIN	     10u
#define BAR_MAX	     40u
#define BAR_AROUND   76u /* columns that the rest of a tier's line takes */
#define JOBS_SHOWN   5u	 /* ended ones: only those that run, wait, or ended a short while ago */
#define JOB_RECENT_S 60.0

struct look {
	json_t *stats, *jobs;
};

static double real_of(const json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}

static void print_head(FILE *out, const json_t *stats)
{
	char a[TEXT_CELL], b[TEXT_CELL], c[TEXT_CELL], up[TEXT_CELL], when[16];
	time_t now = (time_t)real_of(stats, "time");
	struct tm tm;

	localtime_r(&now, &tm);
	strftime(when, sizeof(when), "%H:%M:%S", &tm);
	fprintf(out, "terrace: ");
	print_json_name(out, json_object_get(stats, "pool"));
	fprintf(out, " at ");
	print_json_name(out, json_object_get(stats, "mount"));
	fprintf(out, "  %s  up %s\n", when,
		text_time((uint64_t)(real_of(stats, "time") - real_of(stats, "mounted")), up));
	fprintf(out, "%s in files, %s stored (%s), ",
		text_size(control_number(stats, "logical"), false, a),
		text_size(control_number(stats, "stored"), false, b),
		text_ratio(control_number(stats, "logical"), control_number(stats, "stored"), c));
	fprintf(out, "%s free, %" PRIu64 " inodes\n\n",
		text_size(control_number(json_object_get(stats, "space"), "free"), false, a),
		control_number(stats, "objects"));
}

static void print_bar(FILE *out, uint64_t part, uint64_t whole, unsigned width)
{
	double share = whole ? (double)part / (double)whole : 0;
	unsigned full = (unsigned)((share > 1 ? 1 : share) * width + 0.5);

	fputc('[', out);
	for (unsigned i = 0; i < width; i++)
		fputc(i < full ? '#' : '.', out);
	fputc(']', out);
}

static void print_tier(FILE *out, const json_t *tier, const struct tier_rates *rates, unsigned bar)
{
	uint64_t size = control_number(tier, "size"), used = control_number(tier, "used");
	char a[TEXT_CELL], b[TEXT_CELL], hit[TEXT_CELL] = "-";

	fprintf(out, "%-8.8s ", rates->name);
	print_bar(out, used, size, bar);
	fprintf(out, " %6s of %6s", text_size(used, false, a), text_size(size, false, b));
	if (rates->hits >= 0)
		snprintf(hit, sizeof(hit), "%.0f%%", 100 * rates->hits);
	fprintf(out, " %5s", hit);
	if (rates->medium) {
		fprintf(out, " %7s", text_size((uint64_t)rates->read_bytes, false, a));
		fprintf(out, " %7s", text_size((uint64_t)rates->write_bytes, false, a));
		fprintf(out, " %6s %6s", rates_time(rates->read_p50, a),
			rates_time(rates->read_p99, b));
		fprintf(out, " %6s %6s", text_size((uint64_t)rates->in, false, a),
			text_size((uint64_t)rates->out, false, b));
	}
	fputc('\n', out);
}

static void print_tiers(FILE *out, const json_t *stats, const struct rates *rates, unsigned width)
{
	unsigned bar = width > BAR_AROUND + BAR_MIN ? width - BAR_AROUND : BAR_MIN;
	json_t *tier;
	size_t i;

	bar = bar < BAR_MAX ? bar : BAR_MAX;
	fprintf(out, "%-8s %-*s %16s %5s %7s %7s %6s %6s %6s %6s\n", "Tier", (int)bar + 2, "Fill",
		"Used", "Hit%", "read/s", "write/s", "r50", "r99", "in/s", "out/s");
	json_array_foreach(json_object_get(stats, "tiers"), i, tier)
	{
		if (i < rates->ntiers)
			print_tier(out, tier, &rates->tiers[i], bar);
	}
	fputc('\n', out);
}

/* How moves go, and what holds them back. */
static void print_engine(FILE *out, const json_t *stats, const struct rates *rates)
{
	const json_t *engine = json_object_get(stats, "engine");
	uint64_t parked = control_number(engine, "parked");
	char text[TEXT_CELL];
	json_t *tier;
	size_t i;

	fprintf(out, "Moves %s/s", text_size((uint64_t)rates->moved, false, text));
	if (*control_text(engine, "slow"))
		fprintf(out, ", at %.0f%% of full speed: %s", 100 * real_of(engine, "share"),
			control_text(engine, "slow"));
	if (json_is_false(json_object_get(engine, "window_open")))
		fputs(", outside their window", out);
	if (parked)
		fprintf(out, ", %s parked",
			text_size(control_number(engine, "parked_bytes"), false, text));
	json_array_foreach(json_object_get(stats, "tiers"), i, tier)
	{
		const char *breaker = control_text(tier, "breaker");

		if (*breaker && strcmp(breaker, "closed") != 0)
			fprintf(out, ", breaker of %s %s", control_text(tier, "name"), breaker);
	}
	fputs("\n", out);
}

static void print_jobs(FILE *out, const struct look *look)
{
	double now = real_of(look->stats, "time");
	struct table *table = table_new("rllrll");
	unsigned shown = 0, more = 0;
	json_t *job;
	size_t i;

	table_row(table, "Job", "State", "Verb", "Moved", "Progress", "What", NULL);
	json_array_foreach(look->jobs, i, job)
	{
		if (control_job_ended(job) && now - real_of(job, "ended") > JOB_RECENT_S)
			continue;
		if (shown < JOBS_SHOWN) {
			jobs_row(table, job);
			shown++;
		} else {
			more++;
		}
	}
	if (shown)
		fputc('\n', out);
	table_print_to(table, shown ? out : NULL);
	if (more)
		fprintf(out, "and %u more: `terrace jobs`\n", more);
}

/* The screen; malloc'd, or NULL. */
static char *render(const struct look *before, const struct look *look, unsigned width)
{
	struct rates *rates = malloc(sizeof(*rates));
	char *text = NULL;
	size_t len;
	FILE *out = rates ? open_memstream(&text, &len) : NULL;

	if (out) {
		rates_between(before->stats, look->stats, rates);
		print_head(out, look->stats);
		print_tiers(out, look->stats, rates, width);
		print_engine(out, look->stats, rates);
		print_jobs(out, look);
		if (fclose(out)) {
			free(text);
			text = NULL;
		}
	}
	free(rates);
	return text;
}

/* jobs/ is for root and for who mounted the pool; without it the rest is shown. */
static bool take_look(const struct mount *mount, struct look *look)
{
	int fd;

	look->stats = control_read(mount, "stats.json");
	fd = look->stats ? control_open(mount, "jobs/new", O_RDONLY) : -1;
	look->jobs = fd >= 0 ? jobs_read(mount) : NULL;
	if (fd >= 0)
		close(fd);
	return look->stats;
}

static void look_release(struct look *look)
{
	json_decref(look->stats);
	json_decref(look->jobs);
	*look = (struct look){.stats = NULL};
}

/* Lines that do not fit are cut, by columns, not bytes. */
static void draw(const char *text)
{
	int y = 0;

	erase();
	for (const char *line = text; *line && y < LINES; y++) {
		size_t len = strcspn(line, "\n");
		char buf[1024];

		snprintf(buf, sizeof(buf), "%.*s", (int)len, line);
		if (!y)
			attron(A_BOLD);
		mvaddnstr(y, 0, buf, -1);
		if (!y)
			attroff(A_BOLD);
		line += len + (line[len] == '\n');
	}
	refresh();
}

static bool wants_to_quit(void)
{
	int key = getch(); /* waits REFRESH_MS; a resize comes as a key, and redraws */

	return key == 'q' || key == 'Q';
}

static enum exit_code run_screen(const struct mount *mount)
{
	struct look before = {.stats = NULL}, look;
	enum exit_code code = EXIT_DONE;
	char *text;

	setlocale(LC_CTYPE, "");
	if (!newterm(NULL, stdout, stdin))
		return complain(EXIT_FAILED, "this terminal cannot be used; see --plain");
	cbreak();
	noecho();
	curs_set(0);
	keypad(stdscr, TRUE);
	timeout(REFRESH_MS);
	do {
		if (!take_look(mount, &look)) {
			code = EXIT_FAILED;
			break;
		}
		text = render(&before, &look, (unsigned)COLS);
		if (text)
			draw(text);
		free(text);
		look_release(&before);
		before = look;
	} while (!wants_to_quit());
	endwin();
	look_release(&before);
	return code ? complain(code, "%s: the pool is not mounted any more", mount->point) : code;
}

static enum exit_code print_once(const struct mount *mount)
{
	struct look none = {.stats = NULL}, look;
	char *text;

	if (!take_look(mount, &look))
		return EXIT_FAILED;
	text = render(&none, &look, PLAIN_WIDTH);
	if (text)
		fputs(text, stdout);
	look_release(&look);
	if (!text)
		return complain(EXIT_FAILED, "out of memory");
	free(text);
	return EXIT_DONE;
}

enum exit_code verb_top(const struct options *options)
{
	struct mount mount;
	enum exit_code code = mount_find(options->nargs ? options->args[0] : NULL, false, &mount);

	if (code)
		return code;
	if (has(options, OPTION_PLAIN) || !isatty(STDOUT_FILENO) || !isatty(STDIN_FILENO))
		code = print_once(&mount);
	else
		code = run_screen(&mount);
	mount_release(&mount);
	return code;
}
