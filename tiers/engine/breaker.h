/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A circuit breaker (Nygard, "Release It!"): one per tier. It opens when moves from or to the tier
 * fail, or when the same bytes are moved again and again (a storm), and nothing is then tried until
 * its time has come; then one small batch probes. Success closes it, failure keeps it open for
 * twice as long, up to BREAKER_MAX_S. What opens again within a day of having been closed (a disk
 * that works every other time) takes up its pause where it was and must succeed twice as often in a
 * row.
 *
 * One outage is one opening: `opened` counts from closed to open, not the probes that fail.
 *
 * Pure: the caller keeps the struct and brings the time.
 */
#ifndef TERRACE_ENGINE_BREAKER_H
#define TERRACE_ENGINE_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

#define BREAKER_FAILURES 5u  /* batches that failed one after another, or */
#define BREAKER_SHARE	 50u /* percent of the last BREAKER_LAST batches */
#define BREAKER_LAST	 16u
#define BREAKER_FIRST_S	 60u
#define BREAKER_MAX_S	 3600u
#define BREAKER_STORM	 3u /* times its size that a tier may take in within an hour */

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_PROBING };

struct breaker {
	enum breaker_state state;
	uint32_t until_s; /* OPEN: tried again then */
	uint32_t pause_s; /* of the current opening */
	uint32_t recent;  /* bit per batch, newest lowest: 1 = failed */
	uint32_t nrecent, in_row;
	uint32_t hour; /* of storm_bytes */
	uint64_t storm_bytes;
	uint64_t opened; /* times */
	uint32_t needed; /* probes in a row that close it */
	uint32_t good;	 /* that were */
	uint32_t closed_s;
	bool storm; /* why it is open */
	int error;  /* the last failure */
};

/* May a batch go now? Turns OPEN into PROBING when the time has come: true once, until noted (or
 * until another pause has passed: who asked may have found nothing to move). */
bool breaker_allows(struct breaker *breaker, uint32_t now_s);
/* A batch has ended; error 0 or negative errno. True when that has opened or closed it: an event. A
 * probe that fails is none. */
bool breaker_note(struct breaker *breaker, int error, uint32_t now_s);
/* Bytes written into a tier of `size`; true when that opens it. */
bool breaker_wrote(struct breaker *breaker, uint64_t bytes, uint64_t size, uint32_t now_s);
const char *breaker_name(enum breaker_state state); /* "closed", "open", "probing" */

#endif
