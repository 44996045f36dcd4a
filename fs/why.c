// SPDX-License-Identifier: Apache-2.0
/*
 * user.terrace.why. A line per extent: fields separated by blanks
 *
 *	OFFSET LENGTH TIER CODEC RATIO HEAT ACCESS REASON BLOCK TO UNTIL
 *
 * then, each behind a tab, who decided and what happens next, in words. Times in fields are UTC,
 * those in words local. Too many extents for an attribute: neighbours of one tier, codec and
 * verdict become one line.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fs/fs.h"
#include "fs/layout.h"
#include "fs/policy.h"
#include "fs/xattr_text.h"
#include "tiers/escape.h"
#include "tiers/engine/engine.h"
#include "tiers/object.h"
#include "tiers/plain.h"
#include "tiers/pool.h"

#define PATH_CAP 4096u

struct printer {
	struct subject *subject;
	struct text *text;
	bool merge, open;
	struct extent_why run;
	uint32_t now_s;
	uint32_t rule; /* 1 + the rule that rule_name belongs to; 0 = none yet */
	char rule_name[CONFIG_RULE_NAME_MAX + 1];
	char source[POLICY_KINDS][PATH_CAP]; /* where pin and state are set; "" = nowhere */
};

static const char *tier_name(const struct printer *printer, int tier)
{
	return tier >= 0 && tier < (int)printer->subject->config->ntiers
		       ? printer->subject->config->tiers[tier].name
		       : "-";
}

static void find_sources(struct printer *printer)
{
	struct fs *fs = printer->subject->fs;
	char value[POLICY_TEXT_MAX], path[PATH_CAP];
	uint64_t source;

	for (unsigned kind = 0; kind < POLICY_KINDS; kind++) {
		printer->source[kind][0] = '\0';
		if (policy_source(fs->policy, printer->subject->id, kind, value, &source))
			continue;
		fs_path(fs, source, path, PATH_CAP);
		/* Tabs and line ends divide fields and lines here. */
		escape_name(path, printer->source[kind], PATH_CAP);
	}
}

/* Who decided ---------------------------------------------------------------------------------- */

static void add_rule(struct printer *printer, const struct extent_why *why)
{
	const struct object_policy *policy = &why->frame.policy;

	if (printer->rule != (uint32_t)policy->rule + 1) {
		struct rules_answer answer;
		uint32_t last_s = why->frame.heat.last_s;

		policy_ask_rules(printer->subject->fs->policy, printer->subject->id,
				 printer->now_s > last_s ? printer->now_s - last_s : 0, &answer);
		memcpy(printer->rule_name, answer.name, sizeof(printer->rule_name));
		printer->rule = (uint32_t)policy->rule + 1;
	}
	text_add(printer->text, "rule %s (%s [rule %s])", printer->rule_name,
		 printer->subject->config->file, printer->rule_name);
}

static void add_decided(struct printer *printer, const struct extent_why *why)
{
	const struct object_policy *policy = &why->frame.policy;
	struct text *text = printer->text;

	if (why->verdict.reason == REASON_EVACUATE) {
		text_add(text, "its directory is being emptied");
	} else if (policy->pin >= 0) {
		text_add(text, "pin %s set on %s", tier_name(printer, policy->pin),
			 printer->source[POLICY_PIN]);
	} else if (policy->state == OBJECT_ARCHIVED) {
		text_add(text, "state archived set on %s", printer->source[POLICY_STATE]);
	} else if (policy->ignore || policy->tier >= 0) {
		add_rule(printer, why);
	} else {
		text_add(text, "heat");
		if (policy->state == OBJECT_SEALED)
			text_add(text, ", state sealed set on %s", printer->source[POLICY_STATE]);
		if (policy->rule >= 0 && (policy->never_tiers || policy->has_codec)) {
			text_add(text, ", within ");
			add_rule(printer, why);
		}
	}
}

/* What is next --------------------------------------------------------------------------------- */

static void add_time(struct printer *printer, const char *word, uint32_t at_s)
{
	time_t at = (time_t)at_s;
	char buf[32];
	struct tm tm;

	if (!at_s || at_s == UINT32_MAX || !localtime_r(&at, &tm))
		return;
	strftime(buf, sizeof(buf),
		 at_s > printer->now_s + 86400 || at_s < printer->now_s ? "%Y-%m-%d %H:%M"
									: "%H:%M",
		 &tm);
	text_add(printer->text, "%s%s", word, buf);
}

static const struct {
	const char *text, *until; /* NULL: its end is not known in time */
} block_texts[BLOCKS] = {
	[BLOCK_YOUNG] = {"young: used less than min_age ago", ", until "},
	[BLOCK_COOLING] = {"cooling: came here less than residency ago", ", until "},
	[BLOCK_EVIDENCE] = {"not read twice within promote_window", NULL},
	[BLOCK_COST] = {"the copy would take longer than it saves", NULL},
	[BLOCK_COLDER] = {"colder than what is there", NULL},
	[BLOCK_WINDOW] = {"outside move_window", ", which opens "},
	[BLOCK_FULL] = {"full: no tier that may hold it has room", NULL},
	[BLOCK_PARKED] = {"parked: it was tried and failed", ", again from "},
};

static void add_block(struct printer *printer, const struct verdict *verdict)
{
	const char *to = tier_name(printer, verdict->to);
	struct text *text = printer->text;

	switch (verdict->block) {
	case BLOCK_BUDGET:
		text_add(text, "budget: what may be written to %s today is used up", to);
		add_time(printer, ", until ", verdict->when_s);
		break;
	case BLOCK_BREAKER:
		text_add(text, "breaker: moves from here or to %s failed", to);
		add_time(printer, ", until ", verdict->when_s);
		break;
	case BLOCK_PINNED:
		text_add(text, "pinned");
		break;
	case BLOCK_IGNORED:
		text_add(text, "the rule says ignore");
		break;
	default:
		text_add(text, "%s", block_texts[verdict->block].text);
		if (block_texts[verdict->block].until)
			add_time(printer, block_texts[verdict->block].until, verdict->when_s);
		break;
	}
}

static const char *for_what(enum move_reason reason)
{
	switch (reason) {
	case REASON_HOT:
		return ", since it is hot";
	case REASON_FULL:
		return ", since this tier is above high";
	case REASON_ROOM:
		return ", to make room for hotter data";
	default:
		return "";
	}
}

static void add_next(struct printer *printer, const struct extent_why *why)
{
	const struct verdict *verdict = &why->verdict;
	struct text *text = printer->text;
	bool goes = verdict->to != why->extent.tier;

	if (!why->extent.tier) {
		text_add(text, "is written to a disk within commit_interval");
		return;
	}
	if (verdict->block == BLOCK_EVIDENCE || verdict->block == BLOCK_COST ||
	    verdict->block == BLOCK_COLDER || !goes) {
		text_add(text, "stays");
		if (verdict->block != BLOCK_NONE) {
			text_add(text, ": ");
			add_block(printer, verdict);
		}
		return;
	}
	text_add(text, "goes to %s%s", tier_name(printer, verdict->to), for_what(verdict->reason));
	if (verdict->block == BLOCK_NONE) {
		text_add(text, ", at the next pass");
	} else {
		text_add(text, "; held up: ");
		add_block(printer, verdict);
	}
}

/* Lines ---------------------------------------------------------------------------------------- */

static void utc(uint32_t at_s, char buf[static 24])
{
	time_t at = (time_t)at_s;
	struct tm tm;

	if (!at_s || at_s == UINT32_MAX || !gmtime_r(&at, &tm) ||
	    !strftime(buf, 24, "%Y-%m-%dT%H:%M:%SZ", &tm))
		memcpy(buf, "-", 2);
}

static void flush_run(struct printer *printer)
{
	const struct extent_why *why = &printer->run;
	const struct object_extent *extent = &why->extent;
	char codec[16] = "-", access[24], until[24];
	size_t start = printer->text->len;

	if (!printer->open)
		return;
	printer->open = false;
	if (extent->tier)
		codec_format(&extent->codec, codec, sizeof(codec));
	utc(extent->tier ? why->frame.heat.last_s : printer->now_s, access);
	utc(why->verdict.when_s, until);
	text_add(printer->text, "%llu %llu %s %s %.2f %u %s %s %s %s %s %u/%u\t",
		 (unsigned long long)extent->off, (unsigned long long)extent->len,
		 tier_name(printer, extent->tier), codec,
		 extent->tier && extent->stored ? (double)extent->len / (double)extent->stored
						: 1.0,
		 extent->heat, access, reason_name(why->verdict.reason),
		 block_name(why->verdict.block), tier_name(printer, why->verdict.to), until,
		 extent->copies, extent->wanted);
	add_decided(printer, why);
	text_add(printer->text, "\t");
	add_next(printer, why);
	text_add(printer->text, "\n");
	if (printer->text->full) { /* no half lines */
		printer->text->len = start;
		printer->text->buf[start] = '\0';
	}
}

static bool same_policy(const struct object_policy *a, const struct object_policy *b)
{
	return a->rule == b->rule && a->pin == b->pin && a->state == b->state &&
	       a->tier == b->tier && a->ignore == b->ignore;
}

static bool joins(const struct extent_why *run, const struct extent_why *why)
{
	const struct object_extent *a = &run->extent, *b = &why->extent;

	return b->off == a->off + a->len && a->tier == b->tier && a->copies == b->copies &&
	       a->wanted == b->wanted && codec_spec_same(&a->codec, &b->codec) &&
	       run->verdict.to == why->verdict.to && run->verdict.reason == why->verdict.reason &&
	       run->verdict.block == why->verdict.block &&
	       same_policy(&run->frame.policy, &why->frame.policy);
}

static int print_extent(void *arg, const struct extent_why *why)
{
	struct printer *printer = arg;
	struct extent_why *run = &printer->run;

	if (printer->merge && printer->open && joins(run, why)) {
		run->extent.len += why->extent.len;
		run->extent.stored += why->extent.stored;
		if (why->extent.heat > run->extent.heat)
			run->extent.heat = why->extent.heat;
		if (why->frame.heat.last_s > run->frame.heat.last_s)
			run->frame.heat.last_s = why->frame.heat.last_s;
		if (why->verdict.when_s > run->verdict.when_s)
			run->verdict.when_s = why->verdict.when_s;
		return 0;
	}
	flush_run(printer);
	*run = *why;
	printer->open = true;
	/* Of what is only in memory the engine knows nothing. */
	if (!why->extent.tier)
		policy_effective(printer->subject->fs->policy, printer->subject->id, 0,
				 &run->frame.policy);
	return printer->text->full; /* ends the walk: with merge off it starts again */
}

/* Who wants it so, and what that means for it. */
static int print_plain(struct printer *printer)
{
	struct subject *subject = printer->subject;
	uint64_t size = object_size(subject->object), stored = object_stored(subject->object);
	const char *tier = tier_name(printer, (int)object_plain_tier(subject->object));
	const char *source = printer->source[POLICY_LAYOUT];
	bool database = layout_is_database(subject->fs, subject->id);
	struct rules_answer rule;

	text_add(printer->text, "0 %llu %s none %.2f 0 - plain none %s - 1/1\t",
		 (unsigned long long)size, tier, stored ? (double)size / (double)stored : 1.0,
		 tier);
	policy_ask_rules(subject->fs->policy, subject->id, 0, &rule);
	if (*source && !database)
		text_add(printer->text, "layout plain set on %s", source);
	else if (rule.plain)
		text_add(printer->text, "rule %s (%s [rule %s])", rule.name, subject->config->file,
			 rule.name);
	else if (database)
		text_add(printer->text, "it was written as a database is (plain_databases)");
	else
		text_add(printer->text, "layout plain, which nobody wants any more");
	text_add(printer->text, "\tstays one file without compression and checksums until it is "
				"closed and was not used for plain_idle\n");
	return 0;
}

int why_print(struct subject *subject, struct text *text)
{
	struct printer *printer = calloc(1, sizeof(*printer));
	int r;

	if (!printer)
		return -ENOMEM;
	printer->subject = subject;
	printer->text = text;
	printer->now_s = (uint32_t)time(NULL);
	find_sources(printer);
	if (object_is_plain(subject->object))
		r = print_plain(printer);
	else
		r = pool_why(subject->fs->pool, subject->object, print_extent, printer);
	flush_run(printer);
	if (r >= 0 && text->full) {
		text->len = 0;
		text->full = printer->open = false;
		printer->merge = true;
		r = pool_why(subject->fs->pool, subject->object, print_extent, printer);
		flush_run(printer);
	}
	free(printer);
	return r < 0 ? r : 0;
}
