// SPDX-License-Identifier: Apache-2.0
/*
 * terrace: one table of verbs, one table of options. Help, parsing and the check of what a verb
 * takes all come from the two tables, so a new verb is a row and a function. One thread.
 */
#include "tools/terrace/terrace.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tiers/escape.h"

#define MANY 1000000

static const struct verb verbs[] = {
	{"create", "--tier NAME:path=DIR[,KEY=VALUE]... POOL", "make a pool and its configuration",
	 OPTION_TIER | OPTION_META | OPTION_DRY_RUN | OPTION_JSON, 1, 1, verb_create,
	 "Tiers are given fastest first; keys are those of terrace.conf(5). A tier `ram` of 512M "
	 "is\n"
	 "added when none is given. POOL is a name (/etc/terrace/POOL.conf) or a file.\n"
	 "Example: terrace create --tier ram:size=2G --tier ssd:path=/nvme/t,codec=lz4 \\\n"
	 "                        --tier hdd:path=/d1/t,path=/d2/t,codec=zstd:12 home"},
	{"status", "[MNT]", "tiers: size, fill, compression, hits", OPTION_BYTES | OPTION_JSON, 0,
	 1, verb_status,
	 "Hit% is the share of reads that a tier served; Ratio is Logical by what it takes "
	 "stored."},
	{"usage", "[MNT]", "space: logical, packed, compressed, per tier and codec",
	 OPTION_BYTES | OPTION_JSON, 0, 1, verb_usage, NULL},
	{"where", "PATH...", "tiers, codecs and heat of files",
	 OPTION_VERBOSE | OPTION_RECURSIVE | OPTION_BYTES | OPTION_JSON, 1, MANY, verb_where, NULL},
	{"why", "PATH...", "why files are where they are, and what happens next",
	 OPTION_VERBOSE | OPTION_BYTES | OPTION_JSON, 1, MANY, verb_why,
	 "Of folders: what is set for the files in them."},
	{"promote", "[--to TIER] PATH...", "move files up to a faster tier",
	 OPTION_TO | OPTION_ASYNC | OPTION_PROGRESS | OPTION_DRY_RUN | OPTION_JSON, 1, MANY,
	 verb_promote, "Folders are moved whole. Without --to: one tier up. Ctrl-C cancels."},
	{"demote", "[--to TIER] PATH...", "move files down to a slower tier",
	 OPTION_TO | OPTION_ASYNC | OPTION_PROGRESS | OPTION_DRY_RUN | OPTION_JSON, 1, MANY,
	 verb_demote, "Folders are moved whole. Without --to: one tier down. Ctrl-C cancels."},
	{"pin", "TIER PATH...", "keep files, or all below a folder, in a tier",
	 OPTION_ASYNC | OPTION_PROGRESS | OPTION_DRY_RUN | OPTION_JSON, 2, MANY, verb_pin,
	 "What is elsewhere is moved at once; waits for that and shows progress, Ctrl-C cancels\n"
	 "the move. In `ram`, files are kept decoded in memory."},
	{"unpin", "PATH...", "let pinned files move again", OPTION_DRY_RUN | OPTION_JSON, 1, MANY,
	 verb_unpin, NULL},
	{"pins", "[MNT]", "all pins, states, codecs and copies that are set", OPTION_JSON, 0, 1,
	 verb_pins, NULL},
	{"run", "[MNT]", "run the tier engine now, once",
	 OPTION_ASYNC | OPTION_PROGRESS | OPTION_DRY_RUN | OPTION_JSON, 0, 1, verb_run, NULL},
	{"evacuate", "TIER|DIR [MNT]", "empty a tier, or one of its directories",
	 OPTION_ASYNC | OPTION_PROGRESS | OPTION_DRY_RUN | OPTION_JSON, 1, 2, verb_evacuate,
	 "DIR is a directory of a tier and has a / in it. Nothing is written there from then on,\n"
	 "until the next mount; `terrace config remove TIER DIR` takes it out. Ctrl-C cancels."},
	{"plan", "[MNT]", "what the tier engine would move now",
	 OPTION_FILES | OPTION_BYTES | OPTION_JSON, 0, 1, verb_plan, NULL},
	{"jobs", "[[status | wait | pause | resume | cancel] N] [MNT]", "jobs: list, wait, steer",
	 OPTION_PROGRESS | OPTION_JSON, 0, 3, verb_jobs,
	 "Without N: those that wait, run, or are among the last 32 that ended.\n"
	 "status and wait end with 0 done, 1 failed or cancelled, 3 nothing was to be done;\n"
	 "status of a job that has not ended with 75."},
	{"iostat", "[INTERVAL [COUNT]] [MNT]", "rates and latencies of the tiers", OPTION_JSON, 0,
	 3, verb_iostat, "The first report is since the mount, further ones since the one before."},
	{"stats", "[MNT]", "all that the daemon counts, or how long requests take",
	 OPTION_LATENCY | OPTION_JSON, 0, 1, verb_stats, "Without --latency: stats.json."},
	{"top", "[MNT]", "tiers, rates and jobs, refreshed", OPTION_PLAIN, 0, 1, verb_top,
	 "q quits."},
	{"events", "[MNT]", "what the tier engine has done",
	 OPTION_FOLLOW | OPTION_LINES | OPTION_JSON, 0, 1, verb_events,
	 "The daemon keeps the last 8192 events since the mount."},
	{"policy", "[show | set KEY=VALUE... | reload] [MNT]",
	 "settings and rules, changed while mounted", OPTION_RUNTIME | OPTION_DRY_RUN | OPTION_JSON,
	 0, MANY, verb_policy,
	 "Keys are those of terrace.conf(5); a tier's have its name before them.\n"
	 "`reload` reads the configuration file again.\n"
	 "Example: terrace policy set run_interval=10s ssd.high=95% ssd.low=90%"},
	{"config", "[show | add TIER DIR | add-copy TIER DIR | remove TIER DIR] [MNT]",
	 "directories of the tiers, added and taken out while mounted",
	 OPTION_BYTES | OPTION_DRY_RUN | OPTION_JSON, 0, 4, verb_config,
	 "The configuration file is changed along. add-copy: for further copies only (copy_path).\n"
	 "A directory to be taken out must be empty:\n"
	 "terrace evacuate /d1/t && terrace config remove hdd /d1/t"},
	{"scrub", "[--status] [MNT]", "read and verify everything on all media",
	 OPTION_STATUS | OPTION_ASYNC | OPTION_PROGRESS | OPTION_BYTES | OPTION_JSON, 0, 1,
	 verb_scrub,
	 "Goes on after a restart; `terrace jobs pause N` and so on steer it, Ctrl-C cancels.\n"
	 "Other jobs go first. Ends with 0 nothing damaged, 1 damaged; `terrace damaged` lists."},
	{"damaged", "[MNT]", "files and ranges that cannot be read", OPTION_BYTES | OPTION_JSON, 0,
	 1, verb_damaged,
	 "What reads and scrubs have found. An entry goes when it is overwritten, deleted or "
	 "mended.\n"
	 "Ends with 0 when there are any, 3 when there are none."},
	{"import", "DIR PATH", "copy a tree into the pool with all that it carries",
	 OPTION_CHECKSUM | OPTION_PROGRESS | OPTION_DRY_RUN | OPTION_JSON, 2, 2, verb_import,
	 "What is in DIR comes into the folder PATH of a mounted pool, is read back, and is\n"
	 "durable at the end. What is there and same is not copied again, so the same command\n"
	 "goes on after Ctrl-C. Ends with 1 when files could not be imported; each is named."},
	{"sync", "[MNT]", "make everything durable now", OPTION_JSON, 0, 1, verb_sync, NULL},
	{"umount", "[MNT]", "unmount and wait until the daemon has ended", OPTION_JSON, 0, 1,
	 verb_umount, NULL},
	{"check", "POOL", "find what is wrong with a pool, and mend it",
	 OPTION_REPAIR | OPTION_DEEP | OPTION_DRY_RUN | OPTION_JSON, 1, 1, verb_check,
	 "POOL is a name, a configuration file or a mount. A mounted pool is looked at as of its\n"
	 "last checkpoint, and not mended. Codes and repairs are in terrace-check(8).\n"
	 "Exit codes: 0 clean, 1 mended, 4 problems left (5: both), 8 failed, 16 wrong use."},
	{"export", "POOL DEST", "rebuild the files of a pool from what is left of it", OPTION_JSON,
	 2, 2, verb_export,
	 "The pool must not be mounted, and is not changed; tiers may be missing. DEST is an "
	 "empty\n"
	 "folder, or made. Goes by the metadata if it is sound, else by the newest copy of it.\n"
	 "Prints what is missing, and ends with 1 then."},
	{"restore-metadata", "[--lost=DIR]... POOL",
	 "bring lost or damaged metadata back from a copy",
	 OPTION_LOST | OPTION_GENERATION | OPTION_DRY_RUN | OPTION_JSON, 1, 1, verb_restore,
	 "The pool must not be mounted. The newest good copy is taken; what is there is put "
	 "aside,\n"
	 "never deleted. Prints what is missing then."},
	{"simulate", "[--tier NAME=SIZE]... TRACE", "how tiers of other sizes would do",
	 OPTION_SIM_TIER | OPTION_FORMAT | OPTION_BLOCK | OPTION_LENGTH | OPTION_BYTES |
		 OPTION_JSON,
	 1, 1, verb_simulate,
	 "Plays recorded accesses through the code that the daemon decides with. TRACE: lines of\n"
	 "`TIME_S OBJECT OFFSET LENGTH r|w`, or LIRS, ARC or CloudPhysics traces; xz is taken "
	 "too.\n"
	 "Default tiers: ram=10% ssd=rest.\n"
	 "Example: terrace simulate --tier ram=4G --tier ssd=200G --tier hdd=rest accesses.txt"},
	{NULL, NULL, NULL, 0, 0, 0, NULL, NULL},
};

static const struct {
	enum option_bit bit;
	const char *name;
	char letter;
	const char *argument, *help;
} option_rows[] = {
	{OPTION_TIER, "tier", 't', "TIER", "a tier: NAME:KEY=VALUE[,KEY=VALUE...]; once per tier"},
	{OPTION_META, "meta", 'm', "DIR",
	 "folder of the metadata (default: meta/ in the first tier)"},
	{OPTION_SIM_TIER, "tier", 't', "NAME=SIZE",
	 "a tier, fastest first: bytes, % of the footprint, or rest; ,LATENCY may follow"},
	{OPTION_FORMAT, "format", 'f', "FORMAT",
	 "text, ids, arc or csv (default: found by looking)"},
	{OPTION_BLOCK, "block", 'k', "SIZE", "bytes of a block"},
	{OPTION_LENGTH, "length", 'l', "TIME", "how long a trace without times took (1d)"},
	{OPTION_TO, "to", 't', "TIER", "the tier to move to"},
	{OPTION_STATUS, "status", 's', NULL, "how far it is, and what the last one found"},
	{OPTION_ASYNC, "async", 'a', NULL, "start the job, print its number and return"},
	{OPTION_PROGRESS, "progress", 'p', "MODE", "auto, tty (a bar), plain (lines) or off"},
	{OPTION_CHECKSUM, "checksum", 'c', NULL,
	 "compare bytes, not size and time, of what is there"},
	{OPTION_LOST, "lost", 'l', "DIR",
	 "a tier's directory that is gone for good: it is made anew, empty"},
	{OPTION_GENERATION, "generation", 'g', "N", "this copy, not the newest good one"},
	{OPTION_RUNTIME, "runtime", 'r', NULL, "until the next mount: leave the file as it is"},
	{OPTION_RECURSIVE, "recursive", 'r', NULL, "folders with all that is below"},
	{OPTION_VERBOSE, "verbose", 'v', NULL, "list every extent"},
	{OPTION_BYTES, "bytes", 'b', NULL, "plain byte counts"},
	{OPTION_FOLLOW, "follow", 'f', NULL, "go on with what happens, after the last 10 lines"},
	{OPTION_LINES, "lines", 'n', "N", "only the last N lines"},
	{OPTION_REPAIR, "repair", 'r', NULL, "mend what can be mended"},
	{OPTION_DEEP, "deep", 'd', NULL, "read and verify all data, too"},
	{OPTION_LATENCY, "latency", 'l', NULL, "a table: each kind of request, how long it took"},
	{OPTION_PLAIN, "plain", 'n', NULL, "print once, as text; so without a terminal"},
	{OPTION_FILES, "verbose", 'v', NULL, "list the files, too"},
	{OPTION_DRY_RUN, "dry-run", 'n', NULL, "say what would be done, change nothing"},
	{OPTION_JSON, "json", 'j', NULL, "print JSON"},
};
#define OPTION_ROWS (sizeof(option_rows) / sizeof(option_rows[0]))

static const struct verb *current; /* for messages */

enum exit_code complain(enum exit_code code, const char *format, ...)
{
	static char line[64 << 10], shown[ESCAPED_CAP(sizeof(line))];
	va_list args;

	fflush(stdout);
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	fprintf(stderr, "terrace%s%s: %s\n", current ? " " : "", current ? current->name : "",
		escape_line(line, shown, sizeof(shown)));
	return code;
}

enum exit_code with_config(const struct options *options,
			   enum exit_code (*run)(const struct options *options,
						 const struct pool_config *config))
{
	struct pool_config config;
	char message[512], *file = config_resolve(options->args[0]);
	enum exit_code code;

	if (!file)
		return complain(EXIT_FAILED, "out of memory");
	if (config_load(file, &config, message, sizeof(message)) < 0) {
		code = complain(EXIT_FAILED, "%s", message);
	} else {
		code = run(options, &config);
		config_release(&config);
	}
	free(file);
	return code;
}

static const struct verb *find_verb(const char *name)
{
	const struct verb *verb;

	for (verb = verbs; verb->name; verb++) {
		if (!strcmp(verb->name, name))
			return verb;
	}
	return NULL;
}

static void print_overview(FILE *out)
{
	const struct verb *verb;

	fputs("usage: terrace VERB [OPTION]... [ARGUMENT]...\n\n", out);
	for (verb = verbs; verb->name; verb++)
		fprintf(out, "  %-8s  %s\n", verb->name, verb->help);
	fputs("\n`terrace VERB --help` says more; so does terrace(1). MNT is a mounted pool; it "
	      "may\n"
	      "be left out when there is only one.\n"
	      "Exit codes: 0 done, 1 failed, 2 wrong use, 3 nothing to do, 75 busy.\n",
	      out);
}

static void print_help(const struct verb *verb)
{
	size_t i;

	printf("usage: terrace %s [OPTION]... %s\n%s.\n\n", verb->name, verb->arguments,
	       verb->help);
	for (i = 0; i < OPTION_ROWS; i++) {
		char text[32];

		if (!(verb->options & option_rows[i].bit))
			continue;
		snprintf(text, sizeof(text), "--%s%s%s", option_rows[i].name,
			 option_rows[i].argument ? "=" : "",
			 option_rows[i].argument ? option_rows[i].argument : "");
		printf("  -%c, %-16s %s\n", option_rows[i].letter, text, option_rows[i].help);
	}
	printf("  -h, %-16s %s\n", "--help", "this text");
	if (verb->detail)
		printf("\n%s\n", verb->detail);
}

/* getopt's two tables of what this verb takes. val of a long option = its letter. */
static void option_tables(const struct verb *verb, struct option longs[OPTION_ROWS + 2],
			  char shorts[2 * OPTION_ROWS + 3])
{
	size_t i, n = 0, s = 0;

	shorts[s++] = ':'; /* a missing argument is told from an unknown option */
	for (i = 0; i < OPTION_ROWS; i++) {
		if (!(verb->options & option_rows[i].bit))
			continue;
		longs[n++] =
			(struct option){option_rows[i].name,
					option_rows[i].argument ? required_argument : no_argument,
					NULL, option_rows[i].letter};
		shorts[s++] = option_rows[i].letter;
		if (option_rows[i].argument)
			shorts[s++] = ':';
	}
	longs[n++] = (struct option){"help", no_argument, NULL, 'h'};
	longs[n] = (struct option){NULL, 0, NULL, 0};
	shorts[s++] = 'h';
	shorts[s] = '\0';
}

static enum exit_code take_option(struct options *options, enum option_bit bit, const char *value)
{
	static const char *const modes[] = {"auto", "tty", "plain", "off"};
	char *end;
	size_t i;

	options->given |= bit;
	switch (bit) {
	case OPTION_TO:
		options->to = value;
		break;
	case OPTION_META:
		options->meta = value;
		break;
	case OPTION_FORMAT:
		options->format = value;
		break;
	case OPTION_BLOCK:
		options->block = value;
		break;
	case OPTION_LENGTH:
		options->length = value;
		break;
	case OPTION_TIER:
	case OPTION_SIM_TIER:
		if (options->ntiers == CONFIG_TIERS_MAX)
			return complain(EXIT_USAGE, "a pool has at most %u tiers",
					CONFIG_TIERS_MAX);
		options->tiers[options->ntiers++] = value;
		break;
	case OPTION_LOST:
		if (options->nlost == CONFIG_PATHS_MAX)
			return complain(EXIT_USAGE, "too many --lost");
		options->lost[options->nlost++] = value;
		break;
	case OPTION_PROGRESS:
		for (i = 0; i < 4 && strcmp(modes[i], value) != 0; i++)
			;
		if (i == 4)
			return complain(EXIT_USAGE,
					"--progress='%s' should be auto, tty, plain or off", value);
		options->progress = (enum progress_mode)i;
		break;
	case OPTION_GENERATION:
		errno = 0;
		options->generation = strtoull(value, &end, 10);
		if (errno || *end || end == value || *value == '-' || !options->generation)
			return complain(EXIT_USAGE, "--generation='%s' should be a number", value);
		break;
	case OPTION_LINES:
		errno = 0;
		options->lines = strtoull(value, &end, 10);
		if (errno || *end || end == value || *value == '-')
			return complain(EXIT_USAGE, "--lines='%s' should be a number", value);
		break;
	default:
		break;
	}
	return EXIT_DONE;
}

static enum exit_code parse(const struct verb *verb, int argc, char **argv, struct options *options)
{
	struct option longs[OPTION_ROWS + 2];
	char shorts[2 * OPTION_ROWS + 3];
	int letter;
	size_t i;

	memset(options, 0, sizeof(*options));
	option_tables(verb, longs, shorts);
	opterr = 0;
	while ((letter = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		if (letter == 'h') {
			print_help(verb);
			exit(EXIT_DONE);
		}
		if (letter == ':')
			return complain(EXIT_USAGE, "'%s' needs a value", argv[optind - 1]);
		for (i = 0; i < OPTION_ROWS; i++) {
			if (letter == option_rows[i].letter && verb->options & option_rows[i].bit)
				break;
		}
		if (i == OPTION_ROWS)
			return complain(EXIT_USAGE, "unknown option '%s'; see terrace %s --help",
					argv[optind - 1], verb->name);
		if (take_option(options, option_rows[i].bit, optarg))
			return EXIT_USAGE;
	}
	options->args = argv + optind;
	options->nargs = argc - optind;
	if (options->nargs < verb->min_args || options->nargs > verb->max_args)
		return complain(EXIT_USAGE, "%s; usage: terrace %s %s",
				options->nargs < verb->min_args ? "something is missing"
								: "too many arguments",
				verb->name, verb->arguments);
	return EXIT_DONE;
}

int main(int argc, char **argv)
{
	struct options options;
	enum exit_code code;

	if (argc < 2) {
		print_overview(stderr);
		return EXIT_USAGE;
	}
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")) {
		printf("terrace %s\n", TERRACE_VERSION);
		return EXIT_DONE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
		const struct verb *about = argc > 2 ? find_verb(argv[2]) : NULL;

		if (about)
			print_help(about);
		else
			print_overview(stdout);
		return EXIT_DONE;
	}
	current = find_verb(argv[1]);
	if (!current)
		return complain(EXIT_USAGE, "'%s' is no verb; `terrace --help` lists them",
				argv[1]);
	code = parse(current, argc - 1, argv + 1, &options);
	if (code)
		return current->run == verb_check ? (int)EXIT_CHECK_USAGE : (int)code;
	code = current->run(&options);
	/* What was printed counts only when it has arrived (a full disk, a closed pipe). */
	if (fflush(stdout) || ferror(stdout))
		return complain(EXIT_FAILED, "cannot write the output: %s", strerror(errno));
	return code;
}
