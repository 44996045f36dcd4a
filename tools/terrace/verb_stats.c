// SPDX-License-Identifier: Apache-2.0
/* terrace stats: what the daemon has counted, and how long the kernel's requests take. */
#include "tools/terrace/terrace.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/terrace/control.h"
#include "tools/terrace/mounts.h"
#include "tools/terrace/rates.h"
#include "tools/terrace/text.h"

static const char *time_of(const json_t *row, const char *key, char buf[static 24])
{
	return rates_time((double)control_number(row, key) / 1e9, buf);
}

static enum exit_code print_latency(const json_t *requests)
{
	struct table *table = table_new("lrrrrrr");
	const char *name;
	json_t *row;

	table_row(table, "Request", "Count", "Mean", "p50", "p90", "p99", "p99.9", NULL);
	json_object_foreach((json_t *)requests, name, row)
	{
		char count[24], mean[24], p50[24], p90[24], p99[24], p999[24];

		snprintf(count, sizeof(count), "%" PRIu64, control_number(row, "count"));
		table_row(table, name, count, time_of(row, "mean_ns", mean),
			  time_of(row, "p50_ns", p50), time_of(row, "p90_ns", p90),
			  time_of(row, "p99_ns", p99), time_of(row, "p999_ns", p999), NULL);
	}
	return table_print(table) ? EXIT_DONE : complain(EXIT_FAILED, "out of memory");
}

enum exit_code verb_stats(const struct options *options)
{
	struct mount mount;
	enum exit_code code = mount_find(options->nargs ? options->args[0] : NULL, false, &mount);
	json_t *stats, *requests;

	if (code)
		return code;
	stats = control_read(&mount, "stats.json");
	requests = json_object_get(stats, "requests");
	if (!stats)
		code = EXIT_FAILED;
	else if (!has(options, OPTION_LATENCY))
		code = json_print(json_incref(stats)) ? EXIT_DONE
						      : complain(EXIT_FAILED, "out of memory");
	else if (has(options, OPTION_JSON))
		code = json_print(json_incref(requests)) ? EXIT_DONE
							 : complain(EXIT_FAILED, "out of memory");
	else
		code = print_latency(requests);
	json_decref(stats);
	mount_release(&mount);
	return code;
}
