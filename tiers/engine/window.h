/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time windows: `22:00-06:00`, `Sat-Sun`, `Mon-Fri 20:00-24:00, Sat,Sun`, `always`, in local time.
 * The grammar is terrace.conf(5)'s. Kept as one bit per quarter of an hour of the week. Pure.
 */
#ifndef TERRACE_ENGINE_WINDOW_H
#define TERRACE_ENGINE_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WINDOW_SLOTS (7u * 24u * 4u)

struct window {
	uint64_t bits[(WINDOW_SLOTS + 63) / 64]; /* from Monday 00:00 */
};

/* -EINVAL, and what would be right in why: one line, as long as it fits. *out is then empty. NULL
 * or "always": all bits. */
int window_parse(const char *text, struct window *out, char *why, size_t why_cap);
/* local_s: seconds since 1970 as if local time were UTC (now + tm_gmtoff). */
bool window_open(const struct window *window, uint64_t local_s);
/* Seconds until it is open: 0 = it is; UINT32_MAX never. */
uint32_t window_wait_s(const struct window *window, uint64_t local_s);

#endif
