// SPDX-License-Identifier: Apache-2.0
#include "tiers/engine/pace.h"

#include <stddef.h>
#include <stdio.h>

#define SHARE_MIN  (1.0 / 64)
#define STEP	   (1.0 / 16)  /* up, per batch that harmed nobody */
#define BACK_NS	   1000000000u /* at most one step back in this time: what is measured lags */
#define WAIT_MAX   (60 * 1e9)  /* of a slow batch at a small share */
#define LATENCY_UP 1.5	       /* times what it is while nothing moves */
#define LATENCY_NS 200000u     /* ... and by this much at least: less nobody feels */
#define READS_MIN  8u	       /* fewer say nothing */

static const char *trouble(const struct pace_limits *limits, const struct pace_facts *facts)
{
	if (limits->pressure_percent && facts->pressure > limits->pressure_percent)
		return "pressure";
	if (facts->quiet_ns && facts->foreground_reads >= READS_MIN &&
	    (double)facts->foreground_ns > LATENCY_UP * (double)facts->quiet_ns &&
	    facts->foreground_ns > facts->quiet_ns + LATENCY_NS)
		return "latency";
	return NULL;
}

/* How much of full speed the time since the mount allows. */
static double started(const struct pace_limits *limits, const struct pace_facts *facts)
{
	uint64_t up_ns = facts->now_ns > facts->began_ns ? facts->now_ns - facts->began_ns : 0;
	double share;

	if (up_ns >= limits->start_ns)
		return 1;
	share = (double)up_ns / (double)limits->start_ns;
	return share < SHARE_MIN ? SHARE_MIN : share;
}

static void adapt(struct pace *pace, const struct pace_limits *limits,
		  const struct pace_facts *facts)
{
	const char *why = trouble(limits, facts);
	double most = started(limits, facts);
	bool lately = pace->last_ns && facts->now_ns - pace->last_ns < BACK_NS;

	if (!(pace->share > 0)) {
		*pace = (struct pace){.share = most, .why = most < 1 ? "start" : NULL};
	}
	if (why && !lately) {
		pace->share /= 2;
		pace->last_ns = facts->now_ns;
	} else if (!why && !lately) {
		pace->share += STEP;
	}
	if (why)
		pace->why = why;
	if (pace->share >= most) {
		pace->share = most;
		pace->why = most < 1 ? "start" : why;
	}
	if (pace->share < SHARE_MIN)
		pace->share = SHARE_MIN;
}

/* How long so much should take, in ns. */
static double due_ns(uint64_t amount, uint64_t per_s)
{
	return per_s ? (double)amount * 1e9 / (double)per_s : 0;
}

uint64_t pace_wait_ns(struct pace *pace, const struct pace_limits *limits,
		      const struct pace_facts *facts, uint64_t bytes, uint64_t frames,
		      uint64_t took_ns)
{
	double bytes_ns = due_ns(bytes, limits->bytes_per_s);
	double frames_ns = due_ns(frames, limits->frames_per_s);
	double limit = (bytes_ns > frames_ns ? bytes_ns : frames_ns) - (double)took_ns;
	double wait;

	adapt(pace, limits, facts);
	wait = (double)took_ns * (1 / pace->share - 1);
	if (wait > WAIT_MAX)
		wait = WAIT_MAX;
	if (limit > wait) {
		wait = limit;
		pace->why = "limit";
	} else if (pace->share >= 1) {
		pace->why = NULL;
	}
	return wait < 1e18 ? (uint64_t)wait : (uint64_t)1e18;
}

static double read_some(const char *path)
{
	FILE *file = fopen(path, "re");
	double percent = 0;

	if (!file)
		return 0;
	if (fscanf(file, "some avg10=%lf", &percent) != 1 || !(percent > 0))
		percent = 0;
	fclose(file); /* was only read */
	return percent;
}

double pace_read_pressure(void)
{
	double io = read_some("/proc/pressure/io"), memory = read_some("/proc/pressure/memory");

	return io > memory ? io : memory;
}
