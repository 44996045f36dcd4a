// SPDX-License-Identifier: Apache-2.0
/* terrace status and terrace usage: the pool's accounts as tables, all from stats.json. */
#include "tools/terrace/terrace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/status_text.h"
#include "tools/terrace/control.h"
#include "tools/terrace/mounts.h"
#include "tools/terrace/text.h"

static bool print_status(const json_t *stats, const char *point, bool plain)
{
	char *text = status_text(stats, plain);

	(void)point;
	if (text)
		fputs(text, stdout);
	free(text);
	return text;
}

static void amount(struct table *table, const char *name, uint64_t bytes, bool plain,
		   const char *what)
{
	char size[TEXT_CELL];

	table_row(table, name, text_size(bytes, plain, size), what, NULL);
}

static bool print_amounts(const json_t *stats, bool plain)
{
	struct table *table = table_new("lrl");
	const json_t *tiers = json_object_get(stats, "tiers");
	const json_t *space = json_object_get(stats, "space");
	uint64_t metadata = control_number(stats, "metadata");
	uint64_t logical = control_number(stats, "logical");
	uint64_t packed = control_number(stats, "packed");

	amount(table, "Logical", logical, plain, "bytes in files, without holes");
	amount(table, "Packed", packed < logical ? packed : logical, plain,
	       "shared bytes counted once");
	/* Frames go when nothing points to them any more; until then what was overwritten in them
	 * stays, and is cleaned with its segment. */
	if (packed > logical)
		amount(table, "Overwritten", packed - logical, plain,
		       "not in files any more, beside what is: goes by cleaning");
	amount(table, "Stored", control_number(stats, "stored"), plain, "after compression");
	if (control_number(json_object_get(stats, "replicas"), "extra_bytes"))
		amount(table, "Replicas",
		       control_number(json_object_get(stats, "replicas"), "extra_bytes"), plain,
		       "further copies of that");
	amount(table, "Metadata", metadata, plain, "names, attributes, maps");
	amount(table, "On disks", status_sum(tiers, "used", false) + metadata, plain,
	       "blocks of all tiers and of the metadata");
	amount(table, "Waiting",
	       status_sum(json_object_get(stats, "tiers"), "live", true) -
		       status_sum(tiers, "live", false),
	       plain, "written, still in RAM");
	amount(table, "Parked", control_number(stats, "parked"), plain,
	       "could not be moved: no room");
	amount(table, "Free", control_number(space, "free"), plain,
	       "can be written, not counting on compression");
	return table_print(table);
}

/* One row as compsize prints it. */
static void codec_row(struct table *table, const char *tier, const char *type, uint64_t stored,
		      uint64_t raw, uint64_t frames, bool plain)
{
	char perc[TEXT_CELL], disk[TEXT_CELL], bytes[TEXT_CELL], count[TEXT_CELL];

	table_row(table, tier, type, text_percent(stored, raw, perc),
		  text_size(stored, plain, disk), text_size(raw, plain, bytes),
		  text_size(frames, true, count), NULL);
}

static bool print_codecs(const json_t *stats, bool plain)
{
	struct table *table = table_new("llrrrr");
	uint64_t raw = 0, stored = 0, frames = 0;
	json_t *tier, *codec;
	const char *name;
	size_t i;
	int pass;

	table_row(table, "Tier", "Type", "Perc", "Disk-Usage", "Uncompressed", "Frames", NULL);
	/* The sum comes first, so the rows are gone through twice. */
	for (pass = 0; pass < 2; pass++) {
		json_array_foreach(json_object_get(stats, "tiers"), i, tier)
		{
			json_object_foreach(json_object_get(tier, "codec"), name, codec)
			{
				uint64_t r = control_number(codec, "raw");
				uint64_t s = control_number(codec, "stored");
				uint64_t f = control_number(codec, "frames");

				if (pass && f)
					codec_row(table, control_text(tier, "name"), name, s, r, f,
						  plain);
				raw += pass ? 0 : r;
				stored += pass ? 0 : s;
				frames += pass ? 0 : f;
			}
		}
		if (!pass)
			codec_row(table, "all", "TOTAL", stored, raw, frames, plain);
	}
	return table_print(table);
}

static enum exit_code show(const struct options *options,
			   bool (*print)(const json_t *stats, const char *point, bool plain))
{
	struct mount mount;
	json_t *stats;
	enum exit_code code = mount_find(options->nargs ? options->args[0] : NULL, false, &mount);

	if (code)
		return code;
	stats = control_read(&mount, "stats.json");
	if (!stats)
		code = EXIT_FAILED;
	else if (has(options, OPTION_JSON) ? !json_print(json_incref(stats))
					   : !print(stats, mount.point, has(options, OPTION_BYTES)))
		code = complain(EXIT_FAILED, "out of memory");
	json_decref(stats);
	mount_release(&mount);
	return code;
}

static bool print_usage(const json_t *stats, const char *point, bool plain)
{
	bool done;

	printf("Pool ");
	print_json_name(stdout, json_object_get(stats, "pool"));
	printf(" at ");
	print_name(stdout, point);
	printf(", ");
	print_json_name(stdout, json_object_get(stats, "config"));
	putchar('\n');
	done = print_amounts(stats, plain);
	putchar('\n');
	return print_codecs(stats, plain) && done;
}

enum exit_code verb_status(const struct options *options)
{
	return show(options, print_status);
}

enum exit_code verb_usage(const struct options *options)
{
	return show(options, print_usage);
}
