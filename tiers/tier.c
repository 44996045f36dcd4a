// SPDX-License-Identifier: Apache-2.0
/*
 * The wrappers of tier.h: the one place every call to a medium passes, so asserts on our own
 * mistakes stand here, an implementation only sees arguments that make sense, and what a medium
 * takes is measured here.
 */
#include "tiers/tier.h"

#include <assert.h>
#include <errno.h>

void tier_close(struct tier *tier)
{
	if (tier)
		tier->ops->close(tier);
}

int tier_segment_create(struct tier *tier, struct tier_segment seg)
{
	assert(seg.place < tier->nplaces);
	return tier->ops->segment_create(tier, seg);
}

int tier_segment_remove(struct tier *tier, struct tier_segment seg)
{
	assert(seg.place < tier->nplaces);
	return tier->ops->segment_remove(tier, seg);
}

int tier_segment_truncate(struct tier *tier, struct tier_segment seg, uint64_t len)
{
	assert(seg.place < tier->nplaces);
	return tier->ops->segment_truncate(tier, seg, len);
}

int tier_write(struct tier *tier, struct tier_segment seg, const void *buf, size_t len,
	       uint64_t off, enum tier_hint hint)
{
	uint64_t begin;
	int rc;

	assert(seg.place < tier->nplaces);
	assert(off + len >= off && off + len <= INT64_MAX);
	if (!len)
		return 0;
	begin = latency_begin(&tier->latency, LATENCY_WRITE);
	rc = tier->ops->write(tier, seg, buf, len, off, hint);
	latency_end(&tier->latency, LATENCY_WRITE, begin, len, rc);
	return rc;
}

int tier_read(struct tier *tier, struct tier_segment seg, void *buf, size_t len, uint64_t off,
	      enum tier_hint hint)
{
	enum latency_kind kind = hint == TIER_BULK ? LATENCY_BULK_READ : LATENCY_READ;
	uint64_t begin;
	int rc;

	assert(seg.place < tier->nplaces);
	/* An offset comes from stored bytes, so a wild one is the medium's fault, not ours. */
	if (off + len < off || off + len > INT64_MAX)
		return -ENODATA;
	if (!len)
		return 0;
	begin = latency_begin(&tier->latency, kind);
	rc = tier->ops->read(tier, seg, buf, len, off, hint);
	latency_end(&tier->latency, kind, begin, len, rc);
	return rc;
}

int tier_sync(struct tier *tier, struct tier_segment seg)
{
	uint64_t begin;
	int rc;

	assert(seg.place < tier->nplaces);
	begin = latency_begin(&tier->latency, LATENCY_SYNC);
	rc = tier->ops->sync(tier, seg);
	latency_end(&tier->latency, LATENCY_SYNC, begin, 0, rc);
	return rc;
}

int tier_punch(struct tier *tier, struct tier_segment seg, uint64_t len, uint64_t off)
{
	assert(seg.place < tier->nplaces);
	assert(off + len >= off && off + len <= INT64_MAX);
	if (!len || !(tier->caps & TIER_CAP_PUNCH))
		return 0;
	return tier->ops->punch(tier, seg, len, off);
}

int tier_list(struct tier *tier, uint32_t place,
	      int (*each)(void *arg, struct tier_segment seg, uint64_t len, uint64_t disk),
	      void *arg)
{
	assert(place < tier->nplaces);
	return tier->ops->list(tier, place, each, arg);
}

int tier_space(struct tier *tier, uint32_t place, struct tier_space *out)
{
	assert(place < tier->nplaces);
	return tier->ops->space(tier, place, out);
}
