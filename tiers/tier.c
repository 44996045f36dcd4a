// SPDX-License-Identifier: Apache-2.0
/*
 * The wrappers of tier.h: the one place every call to a medium passes, so asserts on our own
 * mistakes stand here, an implementation only sees arguments that make sense, and what a medium
 * takes is measured here. A place's index comes from stored records, and places come and go: one
 * that is not there is no mistake of ours.
 */
#include "tiers/tier.h"

#include <assert.h>
#include <errno.h>

/* Its directory may have gone. */
static int suspect(struct tier *tier, uint32_t place, int rc)
{
	if (rc == -EIO || rc == -ENOENT || rc == -ENOTDIR || rc == -ENODEV || rc == -ENXIO ||
	    rc == -ESTALE || rc == -EROFS)
		atomic_fetch_or(&tier->suspect, (uint64_t)1 << place);
	return rc;
}

void tier_close(struct tier *tier)
{
	if (tier)
		tier->ops->close(tier);
}

int tier_segment_create(struct tier *tier, struct tier_segment seg)
{
	if (!tier_has_place(tier, seg.place))
		return -ENODEV;
	return suspect(tier, seg.place, tier->ops->segment_create(tier, seg));
}

int tier_segment_remove(struct tier *tier, struct tier_segment seg)
{
	if (!tier_has_place(tier, seg.place))
		return -ENODEV;
	return tier->ops->segment_remove(tier, seg);
}

int tier_segment_truncate(struct tier *tier, struct tier_segment seg, uint64_t len)
{
	if (!tier_has_place(tier, seg.place))
		return -ENODEV;
	return tier->ops->segment_truncate(tier, seg, len);
}

int tier_write(struct tier *tier, struct tier_segment seg, const void *buf, size_t len,
	       uint64_t off, enum tier_hint hint)
{
	uint64_t begin;
	int rc;

	if (!tier_has_place(tier, seg.place))
		return -ENODEV;
	assert(off + len >= off && off + len <= INT64_MAX);
	if (!len)
		return 0;
	begin = latency_begin(&tier->latency, LATENCY_WRITE);
	rc = tier->ops->write(tier, seg, buf, len, off, hint);
	latency_end(&tier->latency, LATENCY_WRITE, begin, len, rc);
	return suspect(tier, seg.place, rc);
}

int tier_read(struct tier *tier, struct tier_segment seg, void *buf, size_t len, uint64_t off,
	      enum tier_hint hint)
{
	enum latency_kind kind = hint == TIER_BULK ? LATENCY_BULK_READ : LATENCY_READ;
	uint64_t begin;
	int rc;

	if (!tier_has_place(tier, seg.place))
		return -ENODEV;
	/* An offset comes from stored bytes, so a wild one is the medium's fault, not ours. */
	if (off + len < off || off + len > INT64_MAX)
		return -ENODATA;
	if (!len)
		return 0;
	begin = latency_begin(&tier->latency, kind);
	rc = tier->ops->read(tier, seg, buf, len, off, hint);
	latency_end(&tier->latency, kind, begin, len, rc);
	return suspect(tier, seg.place, rc);
}

void tier_ahead(struct tier *tier, struct tier_segment seg, size_t len, uint64_t off)
{
	if (tier_has_place(tier, seg.place) && len && off + len > off && off + len <= INT64_MAX)
		tier->ops->ahead(tier, seg, len, off);
}

int tier_sync(struct tier *tier, struct tier_segment seg)
{
	uint64_t begin;
	int rc;

	if (!tier_has_place(tier, seg.place))
		return -ENODEV;
	begin = latency_begin(&tier->latency, LATENCY_SYNC);
	rc = tier->ops->sync(tier, seg);
	latency_end(&tier->latency, LATENCY_SYNC, begin, 0, rc);
	return suspect(tier, seg.place, rc);
}

int tier_punch(struct tier *tier, struct tier_segment seg, uint64_t len, uint64_t off)
{
	if (!tier_has_place(tier, seg.place))
		return -ENODEV;
	assert(off + len >= off && off + len <= INT64_MAX);
	if (!len || !(tier->caps & TIER_CAP_PUNCH))
		return 0;
	return tier->ops->punch(tier, seg, len, off);
}

int tier_list(struct tier *tier, uint32_t place,
	      int (*each)(void *arg, struct tier_segment seg, uint64_t len, uint64_t disk),
	      void *arg)
{
	if (!tier_has_place(tier, place))
		return -ENODEV;
	return tier->ops->list(tier, place, each, arg);
}

int tier_space(struct tier *tier, uint32_t place, struct tier_space *out)
{
	if (!tier_has_place(tier, place))
		return -ENODEV;
	return suspect(tier, place, tier->ops->space(tier, place, out));
}

/* Places --------------------------------------------------------------------------------------- */

void tier_place_announce(struct tier *tier, uint32_t place)
{
	uint32_t n = tier->nplaces;

	assert(place < TIER_PLACES_MAX);
	while (n <= place && !atomic_compare_exchange_weak(&tier->nplaces, &n, place + 1))
		;
	atomic_fetch_or(&tier->present, (uint64_t)1 << place);
}

int tier_place_add(struct tier *tier, const char *path, uint32_t place)
{
	int error;

	if (place >= TIER_PLACES_MAX || tier_has_place(tier, place))
		return -EEXIST;
	atomic_fetch_or(&tier->closed, (uint64_t)1 << place);
	error = tier->ops->place_add(tier, path, place);
	if (error)
		atomic_fetch_and(&tier->closed, ~((uint64_t)1 << place));
	return error;
}

int tier_place_return(struct tier *tier, const char *path, uint32_t *place)
{
	return tier->ops->place_return(tier, path, place);
}

int tier_place_remove(struct tier *tier, uint32_t place)
{
	int error;

	if (!tier_has_place(tier, place))
		return -ENODEV;
	assert(tier_place_closed(tier, place));
	atomic_fetch_and(&tier->present, ~((uint64_t)1 << place));
	error = tier->ops->place_remove(tier, place);
	atomic_fetch_and(&tier->closed, ~((uint64_t)1 << place));
	return error;
}

const char *tier_place_path(struct tier *tier, uint32_t place)
{
	return tier_has_place(tier, place) ? tier->ops->place_path(tier, place) : NULL;
}

int tier_room(struct tier *tier, struct tier_space *out)
{
	uint64_t seen[TIER_PLACES_MAX], open[TIER_PLACES_MAX];
	uint32_t nseen = 0, nopen = 0, i, k;
	int error = -ENODEV;

	*out = (struct tier_space){0};
	for (i = 0; i < tier->nplaces; i++) {
		struct tier_space space;

		if (!tier_has_place(tier, i) || tier_place_spare(tier, i) ||
		    tier_space(tier, i, &space))
			continue;
		error = 0;
		out->used += space.used;
		out->quota = space.quota;
		out->kept = space.kept;
		for (k = 0; k < nseen && seen[k] != space.device; k++)
			;
		if (k == nseen) {
			seen[nseen++] = space.device;
			out->medium_total += space.medium_total;
		}
		for (k = 0; k < nopen && open[k] != space.device; k++)
			;
		if (k == nopen && !tier_place_closed(tier, i)) {
			open[nopen++] = space.device;
			out->medium_free += space.medium_free;
		}
	}
	out->total = out->medium_total;
	out->free = out->medium_free;
	if (out->quota) {
		uint64_t taken = out->used + out->kept;
		uint64_t left = out->quota > taken ? out->quota - taken : 0;

		out->total = out->total < out->quota ? out->total : out->quota;
		out->free = out->free < left ? out->free : left;
	}
	return error;
}
