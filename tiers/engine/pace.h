/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How fast background moves may go: limits people set (bytes/s, frames/s), a gradual start, and
 * stepping back when the foreground suffers (its latency rises above what it is without moves, or
 * the kernel's pressure stall information says that tasks wait). Additive increase, multiplicative
 * decrease of one share between 1/64 and 1, as in TCP (Jacobson 1988).
 *
 * Pure but for pace_read_pressure(). The caller keeps the struct.
 */
#ifndef TERRACE_ENGINE_PACE_H
#define TERRACE_ENGINE_PACE_H

#include <stdbool.h>
#include <stdint.h>

struct pace_limits {
	uint64_t bytes_per_s; /* 0 = none */
	uint32_t frames_per_s;
	uint32_t pressure_percent; /* 0 = do not look */
	uint64_t start_ns;	   /* moves come up to speed over this time; 0 = at once */
};

struct pace_facts {		   /* of the time since the last batch */
	uint64_t now_ns;	   /* monotonic */
	uint64_t began_ns;	   /* the pool was opened */
	uint64_t foreground_reads; /* cache misses served in that time */
	uint64_t foreground_ns;	   /* their median latency */
	uint64_t quiet_ns;	   /* the median while nothing moves; 0 = not known */
	double pressure;	   /* the larger of io and memory "some avg10", percent */
};

struct pace {
	double share;	  /* of full speed, (0, 1]; 0 = not begun */
	uint64_t last_ns; /* of the last step back */
	const char *why;  /* what holds it back: "latency", "pressure", "start", "limit", or NULL */
};

/* A batch of bytes and frames took took_ns. Returns how long to wait before the next, in ns. */
uint64_t pace_wait_ns(struct pace *pace, const struct pace_limits *limits,
		      const struct pace_facts *facts, uint64_t bytes, uint64_t frames,
		      uint64_t took_ns);

/* The larger "some avg10" of /proc/pressure/io and memory; 0 where the kernel has none. */
double pace_read_pressure(void);

#endif
