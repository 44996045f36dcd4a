/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the verbs of the `terrace` command share: the table's row, parsed options, exit codes and
 * messages. The command knows a mounted pool only through attributes and MNT/.terrace/, so that
 * whatever it does a script can do. One thread.
 */
#ifndef TERRACE_TOOLS_TERRACE_H
#define TERRACE_TOOLS_TERRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tiers/config.h"

enum exit_code {
	EXIT_DONE = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
	EXIT_NOTHING = 3, /* nothing to do */
	EXIT_BUSY = 75,	  /* try again later (EX_TEMPFAIL) */

	/* of terrace check, those of fsck(8) */
	EXIT_CHECK_MENDED = 1,
	EXIT_CHECK_LEFT = 4, /* may be added to the one before */
	EXIT_CHECK_FAILED = 8,
	EXIT_CHECK_USAGE = 16,
};

enum option_bit {
	OPTION_JSON = 1u << 0,
	OPTION_DRY_RUN = 1u << 1,
	OPTION_BYTES = 1u << 2,
	OPTION_VERBOSE = 1u << 3,
	OPTION_RECURSIVE = 1u << 4,
	OPTION_TO = 1u << 5,
	OPTION_ASYNC = 1u << 6,
	OPTION_PROGRESS = 1u << 7,
	OPTION_TIER = 1u << 8,
	OPTION_META = 1u << 9,
	OPTION_FOLLOW = 1u << 10,
	OPTION_LINES = 1u << 11,
	OPTION_PLAIN = 1u << 12,
	OPTION_FILES = 1u << 13, /* plan's -v */
	OPTION_STATUS = 1u << 14,
	OPTION_LATENCY = 1u << 15,
	OPTION_REPAIR = 1u << 16,
	OPTION_DEEP = 1u << 17,
	OPTION_CHECKSUM = 1u << 22,
	OPTION_LOST = 1u << 20,
	OPTION_GENERATION = 1u << 21,
	OPTION_RUNTIME = 1u << 23,
	OPTION_SIM_TIER = 1u << 24, /* those of simulate */
	OPTION_FORMAT = 1u << 25,
	OPTION_BLOCK = 1u << 26,
	OPTION_LENGTH = 1u << 27,
};

enum progress_mode { PROGRESS_AUTO, PROGRESS_TTY, PROGRESS_PLAIN, PROGRESS_OFF };

struct options {
	unsigned given; /* option bits */
	const char *to, *meta;
	const char *format, *block, *length;
	const char *tiers[CONFIG_TIERS_MAX];
	size_t ntiers;
	enum progress_mode progress;
	uint64_t lines; /* OPTION_LINES */
	uint64_t generation;
	const char *lost[CONFIG_PATHS_MAX];
	size_t nlost;
	char **args;
	int nargs;
};

struct verb {
	const char *name, *arguments, *help;
	unsigned options; /* that it takes, besides --help */
	int min_args, max_args;
	enum exit_code (*run)(const struct options *options);
	const char *detail; /* more for --help */
};

/* One line on stderr, "terrace VERB: ..."; returns the code, so that a verb can return it. */
enum exit_code complain(enum exit_code code, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* Runs a verb on the configuration that its first argument names, of a pool that is not mounted. */
enum exit_code with_config(const struct options *options,
			   enum exit_code (*run)(const struct options *options,
						 const struct pool_config *config));

static inline bool has(const struct options *options, enum option_bit bit)
{
	return options->given & bit;
}

enum exit_code verb_create(const struct options *options);
enum exit_code verb_status(const struct options *options);
enum exit_code verb_usage(const struct options *options);
enum exit_code verb_where(const struct options *options);
enum exit_code verb_promote(const struct options *options);
enum exit_code verb_demote(const struct options *options);
enum exit_code verb_run(const struct options *options);
enum exit_code verb_why(const struct options *options);
enum exit_code verb_pins(const struct options *options);
enum exit_code verb_policy(const struct options *options);
enum exit_code verb_pin(const struct options *options);
enum exit_code verb_unpin(const struct options *options);
enum exit_code verb_plan(const struct options *options);
enum exit_code verb_jobs(const struct options *options);
enum exit_code verb_evacuate(const struct options *options);
enum exit_code verb_iostat(const struct options *options);
enum exit_code verb_stats(const struct options *options);
enum exit_code verb_top(const struct options *options);
enum exit_code verb_events(const struct options *options);
enum exit_code verb_config(const struct options *options);
enum exit_code verb_import(const struct options *options);
enum exit_code verb_sync(const struct options *options);
enum exit_code verb_scrub(const struct options *options);
enum exit_code verb_damaged(const struct options *options);
enum exit_code verb_umount(const struct options *options);
enum exit_code verb_check(const struct options *options);
enum exit_code verb_export(const struct options *options);
enum exit_code verb_restore(const struct options *options);
enum exit_code verb_simulate(const struct options *options);

#endif
