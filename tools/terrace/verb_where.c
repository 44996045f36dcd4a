// SPDX-License-Identifier: Apache-2.0
/*
 * terrace where: on which tiers and how the bytes of files are, from their attributes. A file of
 * very many extents has more lines than an attribute can hold; its tiers are then shown without
 * codecs.
 */
#include "tools/terrace/terrace.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tools/terrace/attributes.h"
#include "tools/terrace/below.h"
#include "tools/terrace/mounts.h"
#include "tools/terrace/text.h"

#define ROWS_MAX 64u /* tiers times codecs and levels that one summary tells apart */

struct row {
	char tier[32], codec[32];
	uint64_t bytes, extents;
	unsigned copies, wanted; /* directories that have what has fewest, and that should */
	double stored;		 /* bytes by ratio: an extent's share of its frame */
	double heat;		 /* sum of heat times bytes */
};

struct summary {
	struct row rows[ROWS_MAX];
	size_t n;
	uint64_t files, size, stored;
	json_t *extents;   /* with -v --json: of the file that is being read */
	uint64_t resident; /* bytes pinned in memory */
};

struct extent {
	uint64_t off, len;
	char tier[32], codec[32];
	double ratio, heat;
	unsigned copies, wanted;
};

static void add(struct summary *to, const struct extent *extent)
{
	struct row *row = to->rows;
	size_t i;

	for (i = 0; i < to->n; i++, row++) {
		if (!strcmp(row->tier, extent->tier) && !strcmp(row->codec, extent->codec))
			break;
	}
	if (i == ROWS_MAX)
		row--; /* the last row takes what has no room of its own */
	else if (i == to->n) {
		memset(row, 0, sizeof(*row));
		snprintf(row->tier, sizeof(row->tier), "%s", extent->tier);
		snprintf(row->codec, sizeof(row->codec), "%s", extent->codec);
		row->copies = extent->copies;
		row->wanted = extent->wanted;
		to->n++;
	}
	if (extent->copies < row->copies) {
		row->copies = extent->copies;
		row->wanted = extent->wanted;
	}
	row->bytes += extent->len;
	row->extents++;
	row->stored += (double)extent->len / (extent->ratio > 0 ? extent->ratio : 1);
	row->heat += extent->heat * (double)extent->len;
}

/* "2", or "1/2" where there are to be more. */
static const char *copies_text(unsigned copies, unsigned wanted, char buf[static TEXT_CELL])
{
	if (copies < wanted)
		snprintf(buf, TEXT_CELL, "%u/%u", copies, wanted);
	else
		snprintf(buf, TEXT_CELL, "%u", copies);
	return buf;
}

static void print_extent(const struct extent *extent, bool plain)
{
	char off[TEXT_CELL], len[TEXT_CELL], copies[TEXT_CELL];

	printf("  %12s %10s  %-8s %-9s %6.2f %6.0f %6s\n", text_size(extent->off, true, off),
	       text_size(extent->len, plain, len), extent->tier, extent->codec, extent->ratio,
	       extent->heat, copies_text(extent->copies, extent->wanted, copies));
}

/* "offset length tier codec ratio heat copies" per line. false: a line that is not so. */
static bool take_extents(char *text, const struct options *options, struct summary *sum)
{
	bool verbose = has(options, OPTION_VERBOSE);
	char *line;

	if (verbose && !sum->extents && text[0])
		printf("  %12s %10s  %-8s %-9s %6s %6s %6s\n", "Offset", "Length", "Tier", "Codec",
		       "Ratio", "Heat", "Copies");
	while ((line = strsep(&text, "\n"))) {
		struct extent extent;

		if (!*line)
			continue;
		if (sscanf(line, "%" SCNu64 " %" SCNu64 " %31s %31s %lf %lf %u/%u", &extent.off,
			   &extent.len, extent.tier, extent.codec, &extent.ratio, &extent.heat,
			   &extent.copies, &extent.wanted) != 8)
			return false;
		add(sum, &extent);
		if (sum->extents)
			json_array_append_new(
				sum->extents,
				json_pack("{sI sI ss ss sf sf si si}", "offset",
					  (json_int_t)extent.off, "length", (json_int_t)extent.len,
					  "tier", extent.tier, "codec", extent.codec, "ratio",
					  extent.ratio, "heat", extent.heat, "copies",
					  (int)extent.copies, "copies_wanted", (int)extent.wanted));
		else if (verbose)
			print_extent(&extent, has(options, OPTION_BYTES));
	}
	return true;
}

/* "ssd=123 hdd=456": what there is to say of a file with too many extents. */
static bool take_tiers(char *text, uint64_t size, uint64_t stored, struct summary *sum)
{
	char *word;

	while ((word = strsep(&text, " \n"))) {
		struct extent extent = {.codec = "-", .copies = 1, .wanted = 1};

		if (!*word)
			continue;
		if (sscanf(word, "%31[^=]=%" SCNu64, extent.tier, &extent.len) != 2)
			return false;
		extent.ratio = stored ? (double)size / (double)stored : 1;
		add(sum, &extent);
	}
	return true;
}

static uint64_t number_attribute(const char *path, const char *name)
{
	char *text = attribute_get(path, name);
	uint64_t value = text ? strtoull(text, NULL, 10) : 0;

	free(text);
	return value;
}

/* at: where it can be reached. */
static enum exit_code look_at_file(const char *path, const char *at, uint64_t size,
				   const struct options *options, struct summary *sum)
{
	uint64_t stored = number_attribute(at, "stored");
	char *text = attribute_get(at, "extents");
	bool understood;

	if (text) {
		understood = take_extents(text, options, sum);
	} else if (errno == E2BIG || errno == ERANGE) {
		text = attribute_get(at, "tiers");
		understood = text && take_tiers(text, size, stored, sum);
	} else {
		return complain(EXIT_FAILED, "%s: %s", path, strerror(errno));
	}
	free(text);
	sum->files++;
	sum->size += size;
	sum->stored += stored;
	sum->resident += number_attribute(at, "resident");
	return understood ? EXIT_DONE
			  : complain(EXIT_FAILED, "%s: the daemon is of another version", path);
}

static void print_rows(const struct summary *sum, bool plain)
{
	struct table *table = table_new("lllrrrrrr");
	size_t i;

	if (sum->n)
		table_row(table, " ", "Tier", "Codec", "Bytes", "Stored", "Ratio", "Heat",
			  "Extents", "Copies", NULL);
	for (i = 0; i < sum->n; i++) {
		const struct row *row = &sum->rows[i];
		char bytes[TEXT_CELL], stored[TEXT_CELL], ratio[TEXT_CELL], heat[TEXT_CELL],
			extents[TEXT_CELL], copies[TEXT_CELL];

		snprintf(heat, sizeof(heat), "%.0f",
			 row->bytes ? row->heat / (double)row->bytes : 0.0);
		table_row(table, " ", row->tier, row->codec, text_size(row->bytes, plain, bytes),
			  text_size((uint64_t)row->stored, plain, stored),
			  text_ratio(row->bytes, (uint64_t)row->stored, ratio), heat,
			  text_size(row->extents, true, extents),
			  copies_text(row->copies, row->wanted, copies), NULL);
	}
	if (!table_print(table))
		complain(EXIT_FAILED, "out of memory");
}

static void print_summary(const char *path, const struct summary *sum, bool folder, bool plain)
{
	char size[TEXT_CELL], stored[TEXT_CELL], ratio[TEXT_CELL];
	char *pin = attribute_get(path, "effective.pin");
	char *codec = attribute_get(path, "effective.codec");
	char *replicas = attribute_get(path, "effective.replicas");

	print_name(stdout, path);
	fputs(": ", stdout);
	if (folder)
		printf("%" PRIu64 " files, ", sum->files);
	printf("%s, stored %s, ratio %s\n", text_size(sum->size, plain, size),
	       text_size(sum->stored, plain, stored), text_ratio(sum->size, sum->stored, ratio));
	/* Tier and default settings are the ordinary case; only what somebody set is worth a line.
	 */
	if (pin && strchr(pin, '/'))
		print_setting("pin", pin);
	if (codec && strchr(codec, '/'))
		print_setting("codec", codec);
	if (replicas && strchr(replicas, '/'))
		print_setting("replicas", replicas);
	if (sum->resident)
		printf("  pinned in memory: %s\n", text_size(sum->resident, plain, size));
	free(pin);
	free(codec);
	free(replicas);
	print_rows(sum, plain);
}

static json_t *summary_json(const char *path, struct summary *sum)
{
	json_t *rows = json_array(), *object;
	size_t i;

	for (i = 0; i < sum->n; i++) {
		const struct row *row = &sum->rows[i];

		json_array_append_new(
			rows,
			json_pack("{ss ss sI sI sI si si sf}", "tier", row->tier, "codec",
				  row->codec, "bytes", (json_int_t)row->bytes, "stored",
				  (json_int_t)row->stored, "extents", (json_int_t)row->extents,
				  "copies", (int)row->copies, "copies_wanted", (int)row->wanted,
				  "heat", row->bytes ? row->heat / (double)row->bytes : 0.0));
	}
	object = json_pack("{so sI sI sI sI so}", "path", json_name(path), "files",
			   (json_int_t)sum->files, "size", (json_int_t)sum->size, "stored",
			   (json_int_t)sum->stored, "resident", (json_int_t)sum->resident, "rows",
			   rows);
	if (object && sum->extents)
		json_object_set(object, "extents", sum->extents);
	json_decref(sum->extents);
	sum->extents = NULL;
	return object;
}

struct look {
	const struct options *options;
	struct summary *sum;
};

static enum exit_code look_below(void *arg, const char *file, const char *at, const struct stat *st)
{
	struct look *look = arg;

	if (has(look->options, OPTION_VERBOSE) && !look->sum->extents)
		print_name_line(file);
	return look_at_file(file, at, (uint64_t)st->st_size, look->options, look->sum);
}

static enum exit_code look_at(char *path, const struct options *options, json_t *all)
{
	bool json = has(options, OPTION_JSON), folder;
	struct summary *sum = calloc(1, sizeof(*sum));
	struct stat stat_buf;
	struct mount mount;
	enum exit_code code = mount_of_path(path, &mount, NULL);

	mount_release(&mount);
	if (!sum)
		code = complain(EXIT_FAILED, "out of memory");
	if (code || stat(path, &stat_buf)) {
		free(sum);
		return code ? code : complain(EXIT_FAILED, "%s: %s", path, strerror(errno));
	}
	folder = S_ISDIR(stat_buf.st_mode);
	if (json && has(options, OPTION_VERBOSE))
		sum->extents = json_array();
	if (folder && !has(options, OPTION_RECURSIVE))
		code = complain(EXIT_USAGE, "%s is a folder; -r sums up what is below", path);
	else if (folder)
		code = each_file(path, look_below, &(struct look){options, sum});
	else if (S_ISREG(stat_buf.st_mode))
		code = look_at_file(path, path, (uint64_t)stat_buf.st_size, options, sum);
	else
		code = complain(EXIT_FAILED, "%s is no file and no folder: it has no bytes", path);
	if (json)
		json_array_append_new(all, summary_json(path, sum));
	else if (!code || sum->files)
		print_summary(path, sum, folder, has(options, OPTION_BYTES));
	free(sum);
	return code;
}

enum exit_code verb_where(const struct options *options)
{
	json_t *all = has(options, OPTION_JSON) ? json_array() : NULL;
	enum exit_code worst = EXIT_DONE, code;
	int i;

	for (i = 0; i < options->nargs; i++) {
		code = look_at(options->args[i], options, all);
		worst = worst ? worst : code;
	}
	if (all && !json_print(all))
		worst = complain(EXIT_FAILED, "out of memory");
	return worst;
}
