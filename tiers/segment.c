// SPDX-License-Identifier: Apache-2.0
/*
 * See segment.h.
 *
 * Invariants, beyond those of the header:
 *  1. A range is reserved under the lock and written outside it; ranges never overlap.
 *  2. An append belongs to the epoch its segment was in when it reserved. A sync ends the epoch,
 *     moves the end to a block boundary, waits for that epoch's writes and only then syncs: so a
 *     durable block is never shared with a write still on its way.
 *  3. A range whose write failed is a hole that nothing refers to; its segment is sealed.
 *  4. One sync per segment at a time; whoever finds one running waits and then looks again.
 *  5. Whether a place is closed is changed, and looked at before a range is reserved, under the
 *     lock: who closes it then waits for the ranges reserved before.
 *
 * Threads: any. appender->lock guards everything here; no I/O and no callback under it.
 */
#include "tiers/segment.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "compress/bytes.h"
#include "compress/checksum.h"
#include "tiers/clock.h"
#include "tiers/log.h"

#define SEGMENT_VERSION 1u
#define FAILED_OUT_NS	30000000000u /* a place with a failed medium is not the first choice */
#define FULL_OUT_NS	1000000000u  /* nor one that was full although it claimed to have room */

/* Offsets in the header; terrace-format(5) is the text of record. */
enum {
	AT_MAGIC = 0,
	AT_VERSION = 8,
	AT_INCOMPAT = 12,
	AT_RO_COMPAT = 16,
	AT_COMPAT = 20,
	AT_POOL = 24,
	AT_TIER = 40,
	AT_ID = 48,
	AT_CREATED = 56,
	AT_CHECKSUM = SEGMENT_HEADER_LEN - 8,
};
_Static_assert(AT_CREATED + 8 <= AT_CHECKSUM, "segment header fields and checksum overlap");

static const char segment_magic[8] = {'T', 'e', 'r', 'r', 'S', 'e', 'g', 'm'};

struct segment {
	struct segment *next; /* in the appender's list */
	struct tier_segment seg;
	uint64_t end;	      /* where the next append goes */
	uint64_t appends;     /* that succeeded */
	uint64_t unsynced[2]; /* per epoch parity: number of its first append; 0 = none */
	unsigned inflight[2]; /* per epoch parity: writes on their way */
	unsigned epoch;
	unsigned refs;
	bool syncing, sealed;
	int failed; /* of a sync; stays */
};

struct appender_place {
	struct segment *open;
	bool creating;
	uint64_t out_until_ns;
	double credit; /* of the weighted round robin */
};

struct appender {
	struct appender_options options;
	uint8_t pool_uuid[16];
	pthread_mutex_t lock;
	pthread_cond_t changed;	  /* a segment was made, a write or a sync ended */
	struct segment *segments; /* open, or not yet synced, or in use */
	uint64_t appends;	  /* numbers the appends */
	uint64_t failures;	  /* syncs that failed, ever */
	uint64_t told;		  /* failures that appender_sync() has returned */
	int last_error;
	struct appender_place places[TIER_PLACES_MAX];
};

/* Header --------------------------------------------------------------------------------------- */

void segment_header_encode(const struct segment_header *header, uint8_t *p)
{
	memset(p, 0, SEGMENT_HEADER_LEN);
	memcpy(p + AT_MAGIC, segment_magic, sizeof(segment_magic));
	put_le32(p + AT_VERSION, SEGMENT_VERSION);
	memcpy(p + AT_POOL, header->pool_uuid, sizeof(header->pool_uuid));
	put_le32(p + AT_TIER, header->tier_id);
	put_le64(p + AT_ID, header->id);
	put_le64(p + AT_CREATED, header->created_ns);
	put_le64(p + AT_CHECKSUM, checksum64(p, AT_CHECKSUM));
}

/* Reserved fields: a value there is damage, terrace-format(5). */
static bool bytes_zero(const uint8_t *p, size_t len)
{
	while (len && !*p) {
		p++;
		len--;
	}
	return !len;
}

int segment_header_check(const void *buf, size_t len, struct segment_header *out)
{
	const uint8_t *p = buf;

	if (len < SEGMENT_HEADER_LEN ||
	    memcmp(p + AT_MAGIC, segment_magic, sizeof(segment_magic)) != 0)
		return -EBADMSG;
	if (get_le32(p + AT_VERSION) != SEGMENT_VERSION)
		return -ENOTSUP;
	if (get_le64(p + AT_CHECKSUM) != checksum64(p, AT_CHECKSUM))
		return -EBADMSG;
	/* A reader may ignore unknown ro-compat and compat bits, never incompat ones. */
	if (get_le32(p + AT_INCOMPAT))
		return -ENOTSUP;
	if (!bytes_zero(p + AT_TIER + 4, 4) ||
	    !bytes_zero(p + AT_CREATED + 8, AT_CHECKSUM - AT_CREATED - 8))
		return -EBADMSG;
	memcpy(out->pool_uuid, p + AT_POOL, sizeof(out->pool_uuid));
	out->tier_id = get_le32(p + AT_TIER);
	out->id = get_le64(p + AT_ID);
	out->created_ns = get_le64(p + AT_CREATED);
	return 0;
}

/* Segments in memory --------------------------------------------------------------------------- */

static bool segment_dirty(const struct segment *segment)
{
	return segment->unsynced[0] || segment->unsynced[1];
}

/* The number of the oldest append that is not durable; UINT64_MAX if all are. */
static uint64_t segment_oldest(const struct segment *segment)
{
	uint64_t oldest = UINT64_MAX;
	unsigned i;

	for (i = 0; i < 2; i++) {
		if (segment->unsynced[i] && segment->unsynced[i] < oldest)
			oldest = segment->unsynced[i];
	}
	return oldest;
}

static void seal_locked(struct appender *appender, struct segment *segment)
{
	struct appender_place *place = &appender->places[segment->seg.place];

	if (place->open == segment)
		place->open = NULL;
	segment->sealed = true;
}

/*
 * Gives a reference back; a sealed segment that owes nothing is forgotten. Returns the segment if
 * it holds no append at all: the caller removes the file, without the lock, and frees it.
 */
static struct segment *segment_put_locked(struct appender *appender, struct segment *segment)
{
	struct segment **at = &appender->segments;

	segment->refs--;
	if (segment->refs || !segment->sealed)
		return NULL;
	if (segment_dirty(segment) && segment->appends && !segment->failed)
		return NULL;
	while (*at != segment)
		at = &(*at)->next;
	*at = segment->next;
	if (!segment->appends)
		return segment;
	free(segment);
	return NULL;
}

static void segment_discard(struct appender *appender, struct segment *empty)
{
	if (!empty)
		return;
	/* If this fails as well, an empty file stays that the pool's cleaning finds by listing. */
	(void)tier_segment_remove(appender->options.tier, empty->seg);
	free(empty);
}

/* Makes a segment file with its header. Called without the lock. *fault: the medium is to blame. */
static int segment_make(struct appender *appender, uint32_t place, struct segment **out,
			bool *fault)
{
	const struct appender_options *options = &appender->options;
	struct segment_header header = {.tier_id = options->tier_id};
	struct segment *segment = calloc(1, sizeof(*segment));
	uint8_t *bytes = malloc(SEGMENT_HEADER_LEN);
	int error = -ENOMEM;

	*out = NULL;
	*fault = false;
	if (!segment || !bytes)
		goto out;
	error = options->next_id(options->arg, &header.id);
	if (error)
		goto out;
	memcpy(header.pool_uuid, appender->pool_uuid, sizeof(header.pool_uuid));
	header.created_ns = (uint64_t)clock_wall_ns();
	segment_header_encode(&header, bytes);
	segment->seg.id = header.id;
	segment->seg.place = place;
	segment->end = SEGMENT_HEADER_LEN;
	*fault = true;
	error = tier_segment_create(options->tier, segment->seg);
	if (error)
		goto out;
	error = tier_write(options->tier, segment->seg, bytes, SEGMENT_HEADER_LEN, 0,
			   TIER_FOREGROUND);
	if (error) {
		(void)tier_segment_remove(options->tier, segment->seg);
		goto out;
	}
	*out = segment;
	segment = NULL;
out:
	free(bytes);
	free(segment);
	return error;
}

/* Choosing a place ----------------------------------------------------------------------------- */

static bool place_usable(const struct appender *appender, uint32_t place)
{
	return tier_has_place(appender->options.tier, place) &&
	       !tier_place_closed(appender->options.tier, place);
}

/* Rounding up to a block, and a header if a new segment is due. */
static bool has_room(const struct tier_space *space, size_t len)
{
	return space->free >= len + SEGMENT_ALIGN + SEGMENT_HEADER_LEN;
}

/*
 * Smooth weighted round robin by free space: every candidate gains its weight, the richest is taken
 * and pays the sum. Places left out come last, when no other is left. -1: nowhere to go.
 */
static int place_choose(struct appender *appender, const struct tier_space *spaces, size_t len,
			uint64_t tried)
{
	uint64_t now = clock_mono_ns();
	int best = -1, last = -1;
	double sum = 0;
	uint32_t i;

	pthread_mutex_lock(&appender->lock);
	for (i = 0; i < TIER_PLACES_MAX; i++) {
		struct appender_place *place = &appender->places[i];

		if (tried >> i & 1 || !has_room(&spaces[i], len))
			continue;
		if (place->out_until_ns > now) {
			last = (int)i;
			continue;
		}
		place->credit += (double)spaces[i].free;
		sum += (double)spaces[i].free;
		if (best < 0 || place->credit > appender->places[best].credit)
			best = (int)i;
	}
	if (best >= 0)
		appender->places[best].credit -= sum;
	pthread_mutex_unlock(&appender->lock);
	return best >= 0 ? best : last;
}

static void place_out(struct appender *appender, uint32_t place, int error)
{
	uint64_t until = clock_mono_ns() + (error == -ENOSPC ? FULL_OUT_NS : FAILED_OUT_NS);

	pthread_mutex_lock(&appender->lock);
	appender->places[place].out_until_ns = until;
	pthread_mutex_unlock(&appender->lock);
	if (error != -ENOSPC) {
		const char *path = tier_place_path(appender->options.tier, place);

		log_warning("tier %s: %s failed and is left out of new writes for %u s",
			    appender->options.tier->name, path ? path : "a path",
			    (unsigned)(FAILED_OUT_NS / 1000000000u));
	}
}

/* Appending ------------------------------------------------------------------------------------ */

/* The place's open segment with room for len, made if need be. Takes the lock, keeps it on 0.
 * -ESHUTDOWN: the place has been closed. */
static int segment_ready(struct appender *appender, uint32_t index, size_t len, bool *fault,
			 struct segment **out)
{
	struct appender_place *place = &appender->places[index];
	struct segment *segment;
	int error;

	pthread_mutex_lock(&appender->lock);
	for (;;) {
		if (!place_usable(appender, index)) {
			pthread_mutex_unlock(&appender->lock);
			return -ESHUTDOWN;
		}
		segment = place->open;
		if (segment && segment->end + len > appender->options.segment_bytes &&
		    segment->end > SEGMENT_HEADER_LEN) {
			segment->refs++;
			seal_locked(appender, segment);
			/* Cannot be empty: its end has moved past the header. */
			(void)segment_put_locked(appender, segment);
			segment = NULL;
		}
		if (segment) {
			*out = segment;
			return 0;
		}
		if (place->creating) {
			pthread_cond_wait(&appender->changed, &appender->lock);
			continue;
		}
		place->creating = true;
		pthread_mutex_unlock(&appender->lock);
		error = segment_make(appender, index, &segment, fault);
		pthread_mutex_lock(&appender->lock);
		place->creating = false;
		pthread_cond_broadcast(&appender->changed);
		if (error) {
			pthread_mutex_unlock(&appender->lock);
			return error;
		}
		segment->next = appender->segments;
		appender->segments = segment;
		place->open = segment;
	}
}

static int append_at(struct appender *appender, uint32_t place, const void *buf, size_t len,
		     enum tier_hint hint, struct segment_loc *out, bool *fault)
{
	struct segment *segment, *empty;
	unsigned parity;
	uint64_t off;
	int error = segment_ready(appender, place, len, fault, &segment);

	if (error)
		return error;
	off = segment->end;
	segment->end += len;
	parity = segment->epoch & 1;
	segment->inflight[parity]++;
	appender->appends++;
	if (!segment->unsynced[parity])
		segment->unsynced[parity] = appender->appends;
	segment->refs++;
	pthread_mutex_unlock(&appender->lock);

	error = tier_write(appender->options.tier, segment->seg, buf, len, off, hint);
	*fault = error != 0;
	if (error == -ENOSPC) /* what was written of it is of no use */
		(void)tier_punch(appender->options.tier, segment->seg, len, off);
	out->seg = segment->seg;
	out->off = off;

	pthread_mutex_lock(&appender->lock);
	if (error)
		seal_locked(appender, segment);
	else
		segment->appends++;
	if (--segment->inflight[parity] == 0)
		pthread_cond_broadcast(&appender->changed);
	empty = segment_put_locked(appender, segment);
	pthread_mutex_unlock(&appender->lock);
	segment_discard(appender, empty);
	return error;
}

int appender_append(struct appender *appender, const void *buf, size_t len, enum tier_hint hint,
		    struct segment_loc *out)
{
	struct tier *tier = appender->options.tier;
	struct tier_space spaces[TIER_PLACES_MAX];
	bool fault, full = false;
	uint64_t tried = ~(tier->present & ~tier->closed);
	int place, error = 0, result = -ENOSPC;
	uint32_t i;

	if (!len)
		return -EINVAL;
	for (i = 0; i < TIER_PLACES_MAX; i++) {
		error = tried >> i & 1 ? 0 : tier_space(tier, i, &spaces[i]);
		if (tried >> i & 1) {
			continue;
		} else if (error) { /* a place that cannot even be asked is no choice */
			result = error;
			tried |= (uint64_t)1 << i;
		} else if (!has_room(&spaces[i], len)) {
			full = true;
		}
	}
	while ((place = place_choose(appender, spaces, len, tried)) >= 0) {
		tried |= (uint64_t)1 << place;
		fault = false;
		error = append_at(appender, (uint32_t)place, buf, len, hint, out, &fault);
		if (!error)
			return 0;
		if (error == -ESHUTDOWN)
			continue;
		if (!fault) /* not this place's doing: no memory, no id */
			return error;
		place_out(appender, (uint32_t)place, error);
		full |= error == -ENOSPC;
		result = error;
	}
	return full ? -ENOSPC : result;
}

bool appender_has_room(struct appender *appender, size_t len)
{
	struct tier_space space;
	uint32_t i;

	for (i = 0; i < appender->options.tier->nplaces; i++)
		if (place_usable(appender, i) && !tier_space(appender->options.tier, i, &space) &&
		    has_room(&space, len))
			return true;
	return false;
}

/* Syncing -------------------------------------------------------------------------------------- */

/* Makes everything up to append number `upto` in this segment durable, or marks it failed. Called
 * with the lock and a reference; the lock is given up meanwhile. */
static void segment_sync_locked(struct appender *appender, struct segment *segment, uint64_t upto)
{
	unsigned parity;
	int error;

	while (segment->syncing)
		pthread_cond_wait(&appender->changed, &appender->lock);
	if (segment->failed || segment_oldest(segment) > upto)
		return;
	segment->syncing = true;
	parity = segment->epoch & 1;
	segment->epoch++;
	segment->end = (segment->end + SEGMENT_ALIGN - 1) / SEGMENT_ALIGN * SEGMENT_ALIGN;
	while (segment->inflight[parity])
		pthread_cond_wait(&appender->changed, &appender->lock);
	pthread_mutex_unlock(&appender->lock);

	error = tier_sync(appender->options.tier, segment->seg);
	if (error)
		place_out(appender, segment->seg.place, error);

	pthread_mutex_lock(&appender->lock);
	segment->syncing = false;
	if (error) {
		segment->failed = error;
		seal_locked(appender, segment);
		appender->failures++;
		appender->last_error = error;
	} else {
		segment->unsynced[parity] = 0;
	}
	pthread_cond_broadcast(&appender->changed);
}

/* A segment with an append up to `upto` that is neither durable nor given up. */
static struct segment *segment_due_locked(struct appender *appender, uint64_t upto)
{
	struct segment *segment = appender->segments;

	while (segment && (segment->failed || segment_oldest(segment) > upto))
		segment = segment->next;
	return segment;
}

static int sync_locked(struct appender *appender, uint64_t mark)
{
	uint64_t upto = appender->appends;
	struct segment *segment, *empty;

	while ((segment = segment_due_locked(appender, upto))) {
		segment->refs++;
		segment_sync_locked(appender, segment, upto);
		empty = segment_put_locked(appender, segment);
		if (empty) {
			pthread_mutex_unlock(&appender->lock);
			segment_discard(appender, empty);
			pthread_mutex_lock(&appender->lock);
		}
	}
	return appender->failures > mark ? appender->last_error : 0;
}

int appender_sync(struct appender *appender)
{
	int error;

	pthread_mutex_lock(&appender->lock);
	error = sync_locked(appender, appender->told);
	if (error)
		appender->told = appender->failures;
	pthread_mutex_unlock(&appender->lock);
	return error;
}

uint64_t appender_mark(struct appender *appender)
{
	uint64_t mark;

	pthread_mutex_lock(&appender->lock);
	mark = appender->failures;
	pthread_mutex_unlock(&appender->lock);
	return mark;
}

int appender_sync_since(struct appender *appender, uint64_t mark)
{
	int error;

	pthread_mutex_lock(&appender->lock);
	error = sync_locked(appender, mark);
	pthread_mutex_unlock(&appender->lock);
	return error;
}

/* The rest ------------------------------------------------------------------------------------- */

/* Seals the place's open segment. */
static void roll(struct appender *appender, uint32_t place)
{
	struct segment *segment, *empty = NULL;

	pthread_mutex_lock(&appender->lock);
	segment = appender->places[place].open;
	if (segment) {
		segment->refs++;
		seal_locked(appender, segment);
		empty = segment_put_locked(appender, segment);
	}
	pthread_mutex_unlock(&appender->lock);
	segment_discard(appender, empty);
}

void appender_roll(struct appender *appender)
{
	uint32_t i;

	for (i = 0; i < TIER_PLACES_MAX; i++)
		roll(appender, i);
}

/* Is anybody writing there, or about to? */
static bool place_busy_locked(const struct appender *appender, uint32_t place)
{
	const struct segment *segment = appender->segments;

	while (segment &&
	       (segment->seg.place != place || !(segment->inflight[0] || segment->inflight[1])))
		segment = segment->next;
	return appender->places[place].creating || segment;
}

void appender_place_close(struct appender *appender, uint32_t place)
{
	assert(place < TIER_PLACES_MAX);
	pthread_mutex_lock(&appender->lock);
	atomic_fetch_or(&appender->options.tier->closed, (uint64_t)1 << place);
	while (place_busy_locked(appender, place))
		pthread_cond_wait(&appender->changed, &appender->lock);
	pthread_mutex_unlock(&appender->lock);
	roll(appender, place);
}

void appender_place_open(struct appender *appender, uint32_t place)
{
	assert(place < TIER_PLACES_MAX);
	pthread_mutex_lock(&appender->lock);
	atomic_fetch_and(&appender->options.tier->closed, ~((uint64_t)1 << place));
	appender->places[place].out_until_ns = 0;
	appender->places[place].credit = 0;
	pthread_mutex_unlock(&appender->lock);
}

int appender_is_open(struct appender *appender, uint64_t segment_id)
{
	struct segment *segment;
	int open;

	pthread_mutex_lock(&appender->lock);
	segment = appender->segments;
	while (segment && segment->seg.id != segment_id)
		segment = segment->next;
	open = segment && (!segment->sealed || segment->inflight[0] || segment->inflight[1]);
	pthread_mutex_unlock(&appender->lock);
	return open;
}

int appender_new(struct appender **out, const struct appender_options *options)
{
	struct appender *appender;

	*out = NULL;
	if (!options->tier->nplaces || !options->next_id)
		return -EINVAL;
	appender = calloc(1, sizeof(*appender));
	if (!appender)
		return -ENOMEM;
	appender->options = *options;
	memcpy(appender->pool_uuid, options->pool_uuid, sizeof(appender->pool_uuid));
	appender->options.pool_uuid = appender->pool_uuid;
	pthread_mutex_init(&appender->lock, NULL);
	pthread_cond_init(&appender->changed, NULL);
	*out = appender;
	return 0;
}

void appender_free(struct appender *appender)
{
	struct segment *segment;

	if (!appender)
		return;
	while ((segment = appender->segments)) {
		assert(!segment->refs);
		appender->segments = segment->next;
		free(segment);
	}
	pthread_cond_destroy(&appender->changed);
	pthread_mutex_destroy(&appender->lock);
	free(appender);
}
