// SPDX-License-Identifier: Apache-2.0
/*
 * Counters of stats.json only grow while the daemon lives; after a restart they begin anew, which
 * shows in "mounted": then what there was before does not count.
 */
#include "tools/terrace/rates.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/terrace/control.h"

static double real_of(const json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}

static double grown(const json_t *before, const json_t *now, const char *key)
{
	return real_of(now, key) - real_of(before, key);
}

static double count_at(const json_t *histogram, json_int_t edge)
{
	json_t *pair;
	size_t i;

	json_array_foreach(histogram, i, pair)
	{
		if (json_integer_value(json_array_get(pair, 0)) == edge)
			return json_number_value(json_array_get(pair, 1));
	}
	return 0;
}

/* The edge below which a share q of the accesses between the looks lies, in seconds. */
static double quantile(const json_t *before, const json_t *now, double q)
{
	const json_t *old = json_object_get(before, "histogram");
	const json_t *all = json_object_get(now, "histogram");
	double want = q * grown(before, now, "count"), below = 0;
	json_t *pair;
	size_t i;

	if (want <= 0)
		return -1;
	json_array_foreach(all, i, pair)
	{
		json_int_t edge = json_integer_value(json_array_get(pair, 0));

		below += json_number_value(json_array_get(pair, 1)) - count_at(old, edge);
		if (below >= want)
			return (double)edge / 1e9;
	}
	return -1;
}

static void of_tier(const json_t *before, const json_t *now, double seconds, double reads,
		    struct tier_rates *out)
{
	const json_t *was = json_object_get(before, "media"), *is = json_object_get(now, "media");
	const json_t *read = json_object_get(is, "read"), *read0 = json_object_get(was, "read");
	const json_t *write = json_object_get(is, "write"), *write0 = json_object_get(was, "write");
	const json_t *bulk = json_object_get(is, "bulk_read");
	const json_t *bulk0 = json_object_get(was, "bulk_read");

	*out = (struct tier_rates){.name = control_text(now, "name"), .medium = is};
	out->reads = (grown(read0, read, "count") + grown(bulk0, bulk, "count")) / seconds;
	out->read_bytes = (grown(read0, read, "bytes") + grown(bulk0, bulk, "bytes")) / seconds;
	out->writes = grown(write0, write, "count") / seconds;
	out->write_bytes = grown(write0, write, "bytes") / seconds;
	out->read_p50 = quantile(read0, read, 0.5);
	out->read_p99 = quantile(read0, read, 0.99);
	out->write_p50 = quantile(write0, write, 0.5);
	out->write_p99 = quantile(write0, write, 0.99);
	out->hits = reads > 0 ? grown(before, now, "hits") / reads : -1;
	out->in = grown(before, now, "moved_in") / seconds;
	out->out = grown(before, now, "moved_out") / seconds;
}

static double moved_bytes(const json_t *stats)
{
	json_t *moves = json_object_get(json_object_get(stats, "engine"), "moves"), *reason;
	double bytes = 0;
	const char *name;

	json_object_foreach(moves, name, reason) bytes += real_of(reason, "bytes");
	return bytes;
}

void rates_between(const json_t *before, const json_t *now, struct rates *out)
{
	const json_t *tiers = json_object_get(now, "tiers");
	double since, reads = 0;
	json_t *tier;
	size_t i;

	if (before && real_of(before, "mounted") != real_of(now, "mounted"))
		before = NULL;
	since = before ? real_of(before, "time") : real_of(now, "mounted");
	memset(out, 0, sizeof(*out));
	out->seconds = real_of(now, "time") - since;
	if (out->seconds < 0.001)
		out->seconds = 0.001;
	json_array_foreach(tiers, i, tier) reads +=
		grown(json_array_get(json_object_get(before, "tiers"), i), tier, "hits");
	json_array_foreach(tiers, i, tier)
	{
		if (i == CONFIG_TIERS_MAX)
			break;
		of_tier(json_array_get(json_object_get(before, "tiers"), i), tier, out->seconds,
			reads, &out->tiers[i]);
		out->ntiers = i + 1;
	}
	out->moved = (moved_bytes(now) - moved_bytes(before)) / out->seconds;
}

static void set(json_t *json, const char *key, double value)
{
	json_object_set_new(json, key, value < 0 ? json_null() : json_real(value));
}

json_t *rates_json(const struct rates *rates)
{
	json_t *tiers = json_array();

	for (size_t i = 0; i < rates->ntiers; i++) {
		const struct tier_rates *tier = &rates->tiers[i];
		json_t *json = json_object();

		json_object_set_new(json, "name", json_string(tier->name));
		if (tier->medium) {
			set(json, "reads", tier->reads);
			set(json, "writes", tier->writes);
			set(json, "read_bytes", tier->read_bytes);
			set(json, "write_bytes", tier->write_bytes);
			set(json, "read_p50_s", tier->read_p50);
			set(json, "read_p99_s", tier->read_p99);
			set(json, "write_p50_s", tier->write_p50);
			set(json, "write_p99_s", tier->write_p99);
			set(json, "moved_in", tier->in);
			set(json, "moved_out", tier->out);
		}
		set(json, "hits", tier->hits);
		json_array_append_new(tiers, json);
	}
	return json_pack("{s:f,s:f,s:o}", "seconds", rates->seconds, "moved", rates->moved, "tiers",
			 tiers);
}

const char *rates_time(double seconds, char buf[static 24])
{
	if (seconds < 0)
		snprintf(buf, 24, "-");
	else if (seconds < 1e-3)
		snprintf(buf, 24, "%.0fus", seconds * 1e6);
	else if (seconds < 1)
		snprintf(buf, 24, seconds < 0.01 ? "%.1fms" : "%.0fms", seconds * 1e3);
	else
		snprintf(buf, 24, "%.1fs", seconds);
	return buf;
}
