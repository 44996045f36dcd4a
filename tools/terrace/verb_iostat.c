// SPDX-License-Identifier: Apache-2.0
/* terrace iostat: rates and latencies per tier, now and then, as iostat(1) and zpool iostat. */
#include "tools/terrace/terrace.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tools/terrace/control.h"
#include "tools/terrace/mounts.h"
#include "tools/terrace/rates.h"
#include "tools/terrace/text.h"

struct request {
	double interval; /* seconds; 0: one report */
	uint64_t count;	 /* 0: for ever */
	const char *name;
};

static const char *rate(double value, char buf[static TEXT_CELL])
{
	snprintf(buf, TEXT_CELL, value >= 9.95 || value < 0.05 ? "%.0f" : "%.1f", value);
	return buf;
}

static void tier_row(struct table *table, const struct tier_rates *tier)
{
	char r[TEXT_CELL], w[TEXT_CELL], rb[TEXT_CELL], wb[TEXT_CELL], hit[TEXT_CELL] = "-";
	char r50[TEXT_CELL], r99[TEXT_CELL], w50[TEXT_CELL], w99[TEXT_CELL];
	char in[TEXT_CELL], out[TEXT_CELL];

	if (tier->hits >= 0)
		snprintf(hit, sizeof(hit), "%.1f%%", 100 * tier->hits);
	if (!tier->medium) {
		table_row(table, tier->name, "-", "-", "-", "-", "-", "-", "-", "-", hit, "-", "-",
			  NULL);
		return;
	}
	table_row(table, tier->name, rate(tier->reads, r), rate(tier->writes, w),
		  text_size((uint64_t)tier->read_bytes, false, rb),
		  text_size((uint64_t)tier->write_bytes, false, wb),
		  rates_time(tier->read_p50, r50), rates_time(tier->read_p99, r99),
		  rates_time(tier->write_p50, w50), rates_time(tier->write_p99, w99), hit,
		  text_size((uint64_t)tier->in, false, in),
		  text_size((uint64_t)tier->out, false, out), NULL);
}

static bool print_report(const struct rates *rates, bool json)
{
	struct table *table;

	if (json)
		return json_print(rates_json(rates));
	table = table_new("lrrrrrrrrrrr");
	table_row(table, "Tier", "r/s", "w/s", "read/s", "write/s", "r50", "r99", "w50", "w99",
		  "Hit%", "in/s", "out/s", NULL);
	for (size_t i = 0; i < rates->ntiers; i++)
		tier_row(table, &rates->tiers[i]);
	return table_print(table);
}

static bool is_number(const char *text, double *out)
{
	char *end;

	errno = 0;
	*out = strtod(text, &end);
	return !errno && end != text && !*end;
}

static bool in_range(double number)
{
	return number > 0 && number < 1e9;
}

/* Numbers come first; a mount that is called like one is given as ./1 */
static enum exit_code parse(const struct options *options, struct request *request)
{
	double number;
	int at = 0;

	*request = (struct request){.interval = 0};
	if (at < options->nargs && is_number(options->args[at], &number)) {
		request->interval = number;
		at++;
		if (!in_range(number))
			return complain(EXIT_USAGE, "INTERVAL is a number of seconds above 0");
		if (at < options->nargs && is_number(options->args[at], &number)) {
			if (!in_range(number) || (double)(uint64_t)number < number)
				return complain(EXIT_USAGE, "COUNT is a whole number above 0");
			request->count = (uint64_t)number;
			at++;
		}
	}
	if (at < options->nargs)
		request->name = options->args[at++];
	return at < options->nargs ? complain(EXIT_USAGE, "'%s': the numbers come before MNT",
					      options->args[at])
				   : EXIT_DONE;
}

/* The k-th report is due k intervals after the first, whatever printing takes. */
static void sleep_until(const struct timespec *begin, double seconds)
{
	struct timespec due = *begin;

	due.tv_sec += (time_t)seconds;
	due.tv_nsec += (long)((seconds - (double)(time_t)seconds) * 1e9);
	if (due.tv_nsec >= 1000000000) {
		due.tv_sec++;
		due.tv_nsec -= 1000000000;
	}
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL) == EINTR)
		;
}

static enum exit_code report(const struct options *options, const struct mount *mount,
			     const struct request *request)
{
	enum exit_code code = EXIT_DONE;
	struct rates *rates = malloc(sizeof(*rates));
	json_t *before = NULL, *now;
	struct timespec begin;
	uint64_t done;

	if (!rates)
		return complain(EXIT_FAILED, "out of memory");
	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (done = 0; !code; done++) {
		if (done)
			sleep_until(&begin, request->interval * (double)done);
		now = control_read(mount, "stats.json");
		if (!now) {
			code = EXIT_FAILED;
			break;
		}
		rates_between(before, now, rates);
		if (done && !has(options, OPTION_JSON))
			putchar('\n');
		if (!print_report(rates, has(options, OPTION_JSON)))
			code = complain(EXIT_FAILED, "out of memory");
		json_decref(before);
		before = now;
		if (fflush(stdout) || request->interval <= 0 || done + 1 == request->count)
			break;
	}
	json_decref(before);
	free(rates);
	return code;
}

enum exit_code verb_iostat(const struct options *options)
{
	struct request request;
	struct mount mount;
	enum exit_code code = parse(options, &request);

	if (!code)
		code = mount_find(request.name, false, &mount);
	if (code)
		return code;
	code = report(options, &mount, &request);
	mount_release(&mount);
	return code;
}
