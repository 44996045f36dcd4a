// SPDX-License-Identifier: Apache-2.0
#include "tiers/engine/breaker.h"

#include <stddef.h>

#define HOUR_S	   3600u
#define CALM_S	   86400u /* closed for so long: what was is forgotten */
#define NEEDED_MAX 64u

static uint32_t double_up(uint32_t value, uint32_t most)
{
	return value > most / 2 ? most : value * 2;
}

static void wait_until(struct breaker *breaker, uint32_t now_s)
{
	breaker->until_s =
		now_s > UINT32_MAX - breaker->pause_s ? UINT32_MAX : now_s + breaker->pause_s;
}

/* A tier that works every other time would be closed and opened for ever: each time it opens again
 * within a day, it has to do well for twice as long. */
static void open_up(struct breaker *breaker, bool storm, uint32_t now_s)
{
	bool again = breaker->opened && now_s - breaker->closed_s < CALM_S;

	breaker->state = BREAKER_OPEN;
	breaker->opened++;
	breaker->storm = storm;
	breaker->needed = again ? double_up(breaker->needed, NEEDED_MAX) : 1;
	breaker->good = 0;
	/* A storm is over when what it was made of has had time to cool. */
	breaker->pause_s = storm   ? BREAKER_MAX_S
			   : again ? double_up(breaker->pause_s, BREAKER_MAX_S)
				   : BREAKER_FIRST_S;
	breaker->storm_bytes = 0;
	wait_until(breaker, now_s);
}

static void close_down(struct breaker *breaker, uint32_t now_s)
{
	breaker->state = BREAKER_CLOSED;
	breaker->closed_s = now_s;
	breaker->recent = breaker->nrecent = breaker->in_row = 0;
	breaker->storm = false;
	breaker->error = 0;
}

/* A clock that was set back would make the time come late: never later than after a whole pause. */
static bool is_due(const struct breaker *breaker, uint32_t now_s)
{
	return now_s >= breaker->until_s || breaker->until_s - now_s > breaker->pause_s;
}

bool breaker_allows(struct breaker *breaker, uint32_t now_s)
{
	if (breaker->state == BREAKER_CLOSED)
		return true;
	if (!is_due(breaker, now_s))
		return false;
	breaker->state = BREAKER_PROBING;
	/* Whoever was let through may find nothing to do, and then never tells. */
	wait_until(breaker, now_s);
	return true;
}

static bool note_probe(struct breaker *breaker, int error, uint32_t now_s)
{
	if (error) {
		breaker->state = BREAKER_OPEN;
		breaker->good = 0;
		breaker->pause_s = double_up(breaker->pause_s, BREAKER_MAX_S);
		wait_until(breaker, now_s);
		return false;
	}
	if (++breaker->good < breaker->needed) {
		breaker->until_s = now_s; /* the next one at once */
		return false;
	}
	close_down(breaker, now_s);
	return true;
}

static bool note_batch(struct breaker *breaker, int error, uint32_t now_s)
{
	uint32_t all = (uint32_t)((UINT64_C(1) << BREAKER_LAST) - 1), failed;

	breaker->recent = (breaker->recent << 1 | (error ? 1u : 0u)) & all;
	if (breaker->nrecent < BREAKER_LAST)
		breaker->nrecent++;
	breaker->in_row = error ? breaker->in_row + 1 : 0;
	failed = (uint32_t)__builtin_popcount(breaker->recent);
	if (!error ||
	    (breaker->in_row < BREAKER_FAILURES &&
	     (breaker->nrecent < BREAKER_LAST || failed * 100 < BREAKER_SHARE * BREAKER_LAST)))
		return false;
	open_up(breaker, false, now_s);
	return true;
}

bool breaker_note(struct breaker *breaker, int error, uint32_t now_s)
{
	if (error)
		breaker->error = error;
	switch (breaker->state) {
	case BREAKER_CLOSED:
		return note_batch(breaker, error, now_s);
	case BREAKER_PROBING:
		return note_probe(breaker, error, now_s);
	case BREAKER_OPEN:
		break; /* had begun before it was opened: says nothing new */
	}
	return false;
}

bool breaker_wrote(struct breaker *breaker, uint64_t bytes, uint64_t size, uint32_t now_s)
{
	if (breaker->hour != now_s / HOUR_S) {
		breaker->hour = now_s / HOUR_S;
		breaker->storm_bytes = 0;
	}
	breaker->storm_bytes += bytes;
	if (!size || breaker->storm_bytes / BREAKER_STORM <= size ||
	    breaker->state != BREAKER_CLOSED)
		return false;
	open_up(breaker, true, now_s);
	return true;
}

const char *breaker_name(enum breaker_state state)
{
	static const char *const names[] = {"closed", "open", "probing"};

	return (unsigned)state <= BREAKER_PROBING ? names[state] : "unknown";
}
