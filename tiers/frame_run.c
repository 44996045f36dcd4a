// SPDX-License-Identifier: Apache-2.0
#include "tiers/frame_run.h"

#include "tiers/pool_impl.h"
#include "tiers/readbuf.h"
#include "tiers/replicate.h"

size_t frame_run_bytes(const struct frame_run *run)
{
	uint64_t len = run->end ? run->end - run->from : 0;

	return (size_t)((len + READBUF_ALIGN - 1) / READBUF_ALIGN * READBUF_ALIGN);
}

bool frame_run_add(struct frame_run *run, uint64_t frame, const struct frame_record *record,
		   size_t most)
{
	struct frame_run longer = *run;

	if (!run->end) {
		longer.frame = frame;
		longer.first = *record;
		longer.from = record->off / READBUF_ALIGN * READBUF_ALIGN;
	} else if (record->tier != run->first.tier || record->segment != run->first.segment ||
		   record->off < run->end || record->off - run->end >= READBUF_ALIGN) {
		return false;
	}
	longer.end = (uint64_t)record->off + record->stored_len;
	if (frame_run_bytes(&longer) > most)
		return false;
	*run = longer;
	return true;
}

struct fetch {
	struct pool *pool;
	const struct frame_run *run;
	uint8_t *buf;
};

static int fetch_attempt(void *arg, struct tier_segment seg)
{
	const struct fetch *fetch = arg;
	const struct frame_run *run = fetch->run;

	return tier_read(fetch->pool->tiers[run->first.tier].tier, seg, fetch->buf,
			 run->end - run->from, run->from, TIER_STREAM);
}

int frame_run_fetch(struct pool *pool, const struct frame_run *run, uint8_t *buf)
{
	struct fetch fetch = {pool, run, buf};

	return copies_try(pool, run->frame, &run->first, fetch_attempt, &fetch);
}

const uint8_t *frame_run_at(const struct frame_run *run, const struct frame_record *record,
			    const uint8_t *buf)
{
	return buf + (record->off - run->from);
}
