// SPDX-License-Identifier: Apache-2.0
/* terrace simulate: the options, the runs (one for what is asked, three per tier for what if), and
 * what is printed of them. */
#include "tools/terrace/terrace.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/terrace/simulate.h"
#include "tools/terrace/text.h"
#include "tools/terrace/trace.h"

#define WHAT_IFS 3u /* per tier */

struct what_if {
	uint32_t tier;
	const char *change;
	uint64_t size;
	uint64_t hits; /* of the tier and those above */
};

struct report {
	const char *file;
	struct trace trace;
	struct sim_setup setup;
	struct sim_result result;
	struct what_if what_ifs[WHAT_IFS * CONFIG_TIERS_MAX];
	size_t nwhat_ifs;
};

/* Options -------------------------------------------------------------------------------------- */

/* What a tier of this name is taken for. */
static void tier_medium(struct sim_tier *tier)
{
	static const struct {
		const char *name;
		uint64_t latency_ns, rate;
	} media[] = {
		{"ram", 5000, UINT64_C(5000000000)},
		{"ssd", 100000, 500000000},
		{"nvme", 100000, 500000000},
		{"hdd", 8000000, 150000000},
		{"", 50000000, 50000000},
	};
	size_t i = 0;

	while (*media[i].name && strcmp(media[i].name, tier->name) != 0)
		i++;
	tier->latency_ns = media[i].latency_ns;
	tier->read_rate = tier->write_rate = media[i].rate;
}

/* Shares are of the footprint, in whole blocks. */
static bool tier_size(const char *text, const struct trace *trace, struct sim_tier *tier)
{
	char *end;
	double percent;

	tier->rest = !strcmp(text, "rest");
	if (tier->rest || (!strchr(text, '%') && config_parse_size(text, &tier->size) == 0))
		return true;
	percent = strtod(text, &end);
	if (end == text || strcmp(end, "%") != 0 || !(percent >= 0 && percent <= 1000))
		return false;
	tier->size = (uint64_t)(trace->nblocks * percent / 100) * trace->block_bytes;
	return true;
}

static enum exit_code tier_option(const char *text, const struct trace *trace,
				  struct sim_tier *tier)
{
	char copy[128], *size, *latency;

	if (strlen(text) >= sizeof(copy))
		return complain(EXIT_USAGE, "--tier='%s' is too long", text);
	strcpy(copy, text);
	size = strchr(copy, '=');
	if (!size || size == copy || (size_t)(size - copy) >= sizeof(tier->name))
		return complain(EXIT_USAGE, "--tier='%s' should be NAME=SIZE[,LATENCY]", text);
	*size++ = '\0';
	latency = strchr(size, ',');
	if (latency)
		*latency++ = '\0';
	*tier = (struct sim_tier){.rest = false};
	strcpy(tier->name, copy);
	tier_medium(tier);
	if (!tier_size(size, trace, tier))
		return complain(EXIT_USAGE,
				"--tier='%s': the size should be like 64G, 2.5%% or rest", text);
	if (latency && config_parse_time(latency, &tier->latency_ns) < 0)
		return complain(EXIT_USAGE, "--tier='%s': the latency should be like 80us or 8ms",
				text);
	return EXIT_DONE;
}

static enum exit_code tier_options(const struct options *options, struct report *report)
{
	static const char *const standard[] = {"ram=10%", "ssd=rest"};
	const char *const *texts = options->ntiers ? options->tiers : standard;
	struct sim_setup *setup = &report->setup;

	setup->ntiers = options->ntiers ? (uint32_t)options->ntiers : 2;
	for (uint32_t t = 0; t < setup->ntiers; t++) {
		struct sim_tier *tier = &setup->tiers[t];
		enum exit_code code = tier_option(texts[t], &report->trace, tier);

		if (code)
			return code;
		if (!t != !strcmp(tier->name, "ram"))
			return complain(EXIT_USAGE, "the first tier is ram, and no other is");
		if (tier->rest && (t == 0 || t + 1 < setup->ntiers))
			return complain(EXIT_USAGE, "only the last tier can be the rest");
	}
	if (setup->ntiers < 2)
		return complain(EXIT_USAGE, "there should be a tier below ram, like ssd=rest");
	return EXIT_DONE;
}

static enum exit_code trace_of(const struct options *options, struct report *report)
{
	struct trace_options how = {0};
	uint64_t number = 0;
	char why[512];
	int rc;

	if (options->format && !(how.format = trace_format_find(options->format)))
		return complain(EXIT_USAGE, "--format='%s' should be text, ids, arc or csv",
				options->format);
	if (options->block &&
	    (config_parse_size(options->block, &number) < 0 || number < TRACE_BLOCK_MIN ||
	     number > TRACE_BLOCK_MAX || number & (number - 1)))
		return complain(EXIT_USAGE, "--block='%s' should be a power of two from 512 to 1M",
				options->block);
	how.block_bytes = (uint32_t)number;
	number = 0;
	if (options->length && (config_parse_time(options->length, &number) < 0 ||
				number < 1000000000u || number / 1000000000u > INT32_MAX))
		return complain(EXIT_USAGE, "--length='%s' should be like 2h or 1d",
				options->length);
	how.length_s = (uint32_t)(number / 1000000000u);
	report->file = options->args[0];
	rc = trace_load(report->file, &how, &report->trace, why, sizeof(why));
	return rc < 0 ? complain(EXIT_FAILED, "%s", why) : EXIT_DONE;
}

/* Runs ----------------------------------------------------------------------------------------- */

static enum exit_code run(const struct report *report, const struct sim_setup *setup,
			  struct sim_result *out)
{
	int rc = simulate(&report->trace, setup, out);

	if (rc == -ENOSPC)
		return complain(EXIT_FAILED,
				"the trace's data, %" PRIu64
				" bytes, does not fit into the tiers below ram; let the last be "
				"`rest`",
				sim_footprint(&report->trace));
	return rc < 0 ? complain(EXIT_FAILED, "%s", strerror(-rc)) : EXIT_DONE;
}

/* Requests that came from the tier or from above. */
static uint64_t hits_down_to(const struct sim_result *result, uint32_t tier)
{
	uint64_t hits = 0;

	for (uint32_t t = 0; t <= tier; t++)
		hits += result->tiers[t].hits;
	return hits;
}

static enum exit_code what_if(struct report *report, uint32_t tier, const char *change,
			      uint64_t size)
{
	struct what_if *w = &report->what_ifs[report->nwhat_ifs++];
	struct sim_setup setup = report->setup;
	struct sim_result result;
	enum exit_code code;

	*w = (struct what_if){.tier = tier, .change = change, .size = size};
	if (tier == 0) {
		int rc = simulate_ram(&report->trace, size, &w->hits);

		return rc < 0 ? complain(EXIT_FAILED, "%s", strerror(-rc)) : EXIT_DONE;
	}
	setup.tiers[tier].size = size;
	code = run(report, &setup, &result);
	if (!code)
		w->hits = hits_down_to(&result, tier);
	return code;
}

static enum exit_code what_ifs(struct report *report)
{
	uint64_t tenth = report->trace.nblocks / 10 * (uint64_t)report->trace.block_bytes;
	const struct sim_setup *setup = &report->setup;
	enum exit_code code = EXIT_DONE;

	/* Of less than all data below ram nothing can be told, so only what grows is tried there.
	 */
	for (uint32_t t = 0; t + 1 < setup->ntiers && !code; t++) {
		uint64_t size = setup->tiers[t].size;

		if (t == 0 || setup->tiers[setup->ntiers - 1].rest)
			code = what_if(report, t, "0.5x", size / 2);
		if (!code)
			code = what_if(report, t, "2x", size * 2);
		if (!code)
			code = what_if(report, t, "+10% of footprint", size + tenth);
	}
	return code;
}

/* Text ----------------------------------------------------------------------------------------- */

static double share(uint64_t part, uint64_t whole)
{
	return whole ? (double)part / (double)whole : 0;
}

static void tier_row(struct table *table, const struct report *report, uint32_t t, bool plain)
{
	const struct sim_tier *tier = &report->setup.tiers[t];
	const struct sim_counts *counts = &report->result.tiers[t];
	uint64_t requests = report->trace.requests;
	char size[TEXT_CELL], of[TEXT_CELL], hits[TEXT_CELL], hit[TEXT_CELL], lru[TEXT_CELL],
		up[TEXT_CELL], down[TEXT_CELL], in[TEXT_CELL], out[TEXT_CELL], again[TEXT_CELL];

	snprintf(hits, sizeof(hits), "%" PRIu64, counts->hits);
	snprintf(up, sizeof(up), "%" PRIu64, counts->up);
	snprintf(down, sizeof(down), "%" PRIu64, counts->down);
	table_row(table, tier->name, tier->rest ? "rest" : text_size(tier->size, plain, size),
		  tier->rest ? "-" : text_percent(tier->size, sim_footprint(&report->trace), of),
		  hits, text_percent(counts->hits, requests, hit),
		  text_percent(counts->lru_hits, requests, lru), up, down,
		  text_size(counts->up_bytes, plain, in), text_size(counts->down_bytes, plain, out),
		  text_percent(counts->again, counts->up, again), NULL);
}

static uint64_t pingpong(const struct sim_result *result, uint32_t ntiers)
{
	uint64_t sum = 0;

	for (uint32_t t = 1; t < ntiers; t++)
		sum += result->tiers[t].again;
	return sum;
}

static void print_sums(const struct report *report)
{
	const struct sim_result *result = &report->result;
	const struct trace *trace = &report->trace;
	char percent[TEXT_CELL];

	printf("\nmoves between disk tiers: %" PRIu64 ", ping-pong %s\n", result->moves,
	       text_percent(pingpong(result, report->setup.ntiers), result->moves, percent));
	printf("bytes moved per byte served: %.4f\n", share(result->moved_bytes, trace->bytes));
	printf("copied into memory per byte served: %.4f\n",
	       share(result->tiers[0].up_bytes, trace->bytes));
	printf("mean latency: %.3f ms, with LRU %.3f ms\n",
	       share(result->latency_ns, trace->requests) / 1e6,
	       share(result->lru_latency_ns, trace->requests) / 1e6);
}

static void print_what_ifs(const struct report *report, bool plain)
{
	uint64_t requests = report->trace.requests;

	printf("\nwhat if:\n");
	for (size_t i = 0; i < report->nwhat_ifs; i++) {
		const struct what_if *w = &report->what_ifs[i];
		char size[TEXT_CELL];

		printf("  %s %s (%s): hit %.1f %% -> %.1f %%\n", report->setup.tiers[w->tier].name,
		       w->change, text_size(w->size, plain, size),
		       100 * share(hits_down_to(&report->result, w->tier), requests),
		       100 * share(w->hits, requests));
	}
}

static bool print_text(const struct report *report, bool plain)
{
	const struct trace *trace = &report->trace;
	struct table *table = table_new("lrrrrrrrrrr");
	char footprint[TEXT_CELL], block[TEXT_CELL], length[TEXT_CELL];

	printf("%zu requests in %s (%s), footprint %s in blocks of %s\n\n", trace->requests,
	       text_time(trace->length_s, length), trace_format_name(trace->format),
	       text_size(sim_footprint(trace), plain, footprint),
	       text_size(trace->block_bytes, plain, block));
	if (!table)
		return false;
	table_row(table, "Tier", "Size", "Size%", "Hits", "Hit%", "LRU%", "Up", "Down", "In", "Out",
		  "Again", NULL);
	for (uint32_t t = 0; t < report->setup.ntiers; t++)
		tier_row(table, report, t, plain);
	if (!table_print(table))
		return false;
	print_sums(report);
	print_what_ifs(report, plain);
	return true;
}

/* JSON ----------------------------------------------------------------------------------------- */

static json_t *json_tier(const struct report *report, uint32_t t)
{
	const struct sim_tier *tier = &report->setup.tiers[t];
	const struct sim_counts *counts = &report->result.tiers[t];
	uint64_t requests = report->trace.requests;

	return json_pack(
		"{s:s, s:o, s:I, s:I, s:f, s:I, s:f, s:I, s:I, s:I, s:I, s:I}", "name", tier->name,
		"size", tier->rest ? json_null() : json_integer((json_int_t)tier->size),
		"latency_ns", (json_int_t)tier->latency_ns, "hits", (json_int_t)counts->hits,
		"hit_percent", 100 * share(counts->hits, requests), "lru_hits",
		(json_int_t)counts->lru_hits, "lru_hit_percent",
		100 * share(counts->lru_hits, requests), "up", (json_int_t)counts->up, "down",
		(json_int_t)counts->down, "up_bytes", (json_int_t)counts->up_bytes, "down_bytes",
		(json_int_t)counts->down_bytes, "again", (json_int_t)counts->again);
}

static json_t *json_what_if(const struct report *report, const struct what_if *w)
{
	uint64_t requests = report->trace.requests;

	return json_pack("{s:s, s:s, s:I, s:f, s:f}", "tier", report->setup.tiers[w->tier].name,
			 "change", w->change, "size", (json_int_t)w->size, "hit_percent_before",
			 100 * share(hits_down_to(&report->result, w->tier), requests),
			 "hit_percent", 100 * share(w->hits, requests));
}

static bool print_json(const struct report *report)
{
	const struct sim_result *result = &report->result;
	const struct trace *trace = &report->trace;
	json_t *tiers = json_array(), *ifs = json_array();
	uint64_t again = pingpong(result, report->setup.ntiers);

	for (uint32_t t = 0; t < report->setup.ntiers; t++)
		json_array_append_new(tiers, json_tier(report, t));
	for (size_t i = 0; i < report->nwhat_ifs; i++)
		json_array_append_new(ifs, json_what_if(report, &report->what_ifs[i]));
	return json_print(json_pack(
		"{s:o, s:s, s:I, s:I, s:I, s:I, s:I, s:o, s:I, s:I, s:f, s:I, s:f, s:f, s:f, s:f, "
		"s:o}",
		"trace", json_name(report->file), "format", trace_format_name(trace->format),
		"requests", (json_int_t)trace->requests, "bytes", (json_int_t)trace->bytes,
		"footprint", (json_int_t)sim_footprint(trace), "block",
		(json_int_t)trace->block_bytes, "length_s", (json_int_t)trace->length_s, "tiers",
		tiers, "moves", (json_int_t)result->moves, "pingpong", (json_int_t)again,
		"pingpong_percent", 100 * share(again, result->moves), "moved_bytes",
		(json_int_t)result->moved_bytes, "moved_per_byte",
		share(result->moved_bytes, trace->bytes), "copied_per_byte",
		share(result->tiers[0].up_bytes, trace->bytes), "latency_ns",
		share(result->latency_ns, trace->requests), "lru_latency_ns",
		share(result->lru_latency_ns, trace->requests), "what_if", ifs));
}

enum exit_code verb_simulate(const struct options *options)
{
	struct report *report = calloc(1, sizeof(*report));
	enum exit_code code;

	if (!report)
		return complain(EXIT_FAILED, "%s", strerror(ENOMEM));
	code = trace_of(options, report);
	if (!code)
		code = tier_options(options, report);
	if (!code)
		code = run(report, &report->setup, &report->result);
	if (!code)
		code = what_ifs(report);
	if (!code && !(has(options, OPTION_JSON) ? print_json(report)
						 : print_text(report, has(options, OPTION_BYTES))))
		code = complain(EXIT_FAILED, "%s", strerror(ENOMEM));
	trace_release(&report->trace);
	free(report);
	return code;
}
