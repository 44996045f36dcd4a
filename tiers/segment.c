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

#include "tiers/clock.h"
#include "tiers/homes.h"
#include "tiers/log.h"

#define STREAMS	      (2 * COPIES_MAX) /* by copies, and whether they were asked for by name */
#define FAILED_OUT_NS 30000000000u     /* a place with a failed medium is not the first choice */
#define FULL_OUT_NS   1000000000u      /* nor one that was full although it claimed to have room */

struct segment {
	struct segment *next; /* in the appender's list */
	struct tier_segment seg;
	unsigned stream;
	uint64_t made;	      /* bit per place where it was made */
	uint64_t homes;	      /* ... that has all of it so far */
	uint64_t end;	      /* where the next append goes */
	uint64_t appends;     /* that succeeded */
	uint64_t unsynced[2]; /* per epoch parity: number of its first append; 0 = none */
	unsigned inflight[2]; /* per epoch parity: writes on their way */
	unsigned epoch;
	unsigned refs;
	bool syncing, sealed;
	int failed; /* of a sync; stays */
};

struct stream {
	struct segment *open;
	uint64_t creating; /* bit per place where one is being made */
};

struct appender_place {
	struct stream streams[STREAMS]; /* of segments that lie here first */
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
	struct stream *stream = &appender->places[segment->seg.place].streams[segment->stream];

	if (stream->open == segment)
		stream->open = NULL;
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

static void remove_files(struct appender *appender, uint64_t id, uint64_t places)
{
	for (; places; places &= places - 1)
		(void)tier_segment_remove(
			appender->options.tier,
			(struct tier_segment){.id = id,
					      .place = (uint32_t)__builtin_ctzll(places)});
}

/*
 * These places have missed something: they do not count any more. The caller seals it. False: one
 * of them is the last, and stays for what it has: others have failed in the other places meanwhile.
 */
static bool homes_lost_locked(struct appender *appender, struct segment *segment, uint64_t lost)
{
	for (uint64_t left = lost; left; left &= left - 1)
		if (homes_drop(appender->options.homes, segment->seg.id,
			       (uint32_t)__builtin_ctzll(left)))
			segment->homes &= ~(left & -left);
	return !(segment->homes & lost);
}

static void segment_discard(struct appender *appender, struct segment *empty)
{
	if (!empty)
		return;
	/* If this fails as well, an empty file stays that the pool's cleaning finds by listing. */
	remove_files(appender, empty->seg.id, empty->made);
	if (appender->options.homes)
		homes_forget(appender->options.homes, empty->seg.id);
	free(empty);
}

/* Choosing a place ----------------------------------------------------------------------------- */

static bool place_usable(const struct appender *appender, uint32_t place)
{
	return tier_places_open(appender->options.tier) >> place & 1;
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

/* Making segments ----------------------------------------------------------------------------- */

/* The file in one place, with its header. */
static int file_make(struct appender *appender, struct tier_segment seg, const uint8_t *header)
{
	struct tier *tier = appender->options.tier;
	int error = tier_segment_create(tier, seg);

	if (error)
		return error;
	error = tier_write(tier, seg, header, SEGMENT_HEADER_LEN, 0, TIER_FOREGROUND);
	if (error)
		(void)tier_segment_remove(tier, seg);
	return error;
}

/* The other places' files. Those that fail are left out of the segment, and of the next ones. */
static void mirrors_make(struct appender *appender, struct segment *segment, uint64_t places,
			 const uint8_t *header)
{
	for (places &= ~segment->made; places; places &= places - 1) {
		struct tier_segment seg = {.id = segment->seg.id,
					   .place = (uint32_t)__builtin_ctzll(places)};
		int error = file_make(appender, seg, header);

		if (error)
			place_out(appender, seg.place, error);
		else
			segment->made |= (uint64_t)1 << seg.place;
	}
	segment->homes = segment->made;
}

/* Who reads or commits must know where it lies. */
static int mirrors_note(struct appender *appender, const struct segment *segment)
{
	bool own = segment->stream & 1;

	if (!own && !(segment->made & (segment->made - 1)))
		return 0;
	return homes_set(appender->options.homes, segment->seg.id, segment->made,
			 own ? segment->stream / 2 + 1 : 0);
}

/* Makes a segment's files with their headers; the place's own is needed, the others are not. Called
 * without the lock. *fault: the medium is to blame. */
static int segment_make(struct appender *appender, uint32_t place, unsigned stream, uint64_t places,
			struct segment **out, bool *fault)
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
	*segment = (struct segment){.seg = {.id = header.id, .place = place},
				    .stream = stream,
				    .end = SEGMENT_HEADER_LEN};
	error = file_make(appender, segment->seg, bytes);
	*fault = error != 0;
	if (error)
		goto out;
	segment->made = (uint64_t)1 << place;
	mirrors_make(appender, segment, places, bytes);
	error = mirrors_note(appender, segment);
	if (error) {
		remove_files(appender, segment->seg.id, segment->made);
		goto out;
	}
	*out = segment;
	segment = NULL;
out:
	free(bytes);
	free(segment);
	return error;
}

/* Appending ------------------------------------------------------------------------------------ */

/*
 * Where the copies of a segment that lies in `first` go: where most is free, and rather on a medium
 * that has none yet; among equals the next one, so that all get as many. With the lock.
 */
static uint64_t places_choose_locked(struct appender *appender, const struct tier_space *spaces,
				     uint32_t first, size_t len, unsigned copies)
{
	uint64_t chosen = (uint64_t)1 << first, now = copies > 1 ? clock_mono_ns() : 0;
	uint32_t nplaces = appender->options.tier->nplaces;

	while (copies-- > 1) {
		int best = -1;
		bool best_apart = false;

		for (uint32_t after = 1; after < nplaces; after++) {
			uint32_t i = (first + after) % nplaces;
			bool apart = true;

			if (chosen >> i & 1 || !place_usable(appender, i) ||
			    appender->places[i].out_until_ns > now || !has_room(&spaces[i], len))
				continue;
			for (uint32_t k = 0; k < TIER_PLACES_MAX; k++)
				apart &= !(chosen >> k & 1) || spaces[k].device != spaces[i].device;
			if (best >= 0 &&
			    (best_apart > apart ||
			     (best_apart == apart && spaces[best].free >= spaces[i].free)))
				continue;
			best = (int)i;
			best_apart = apart;
		}
		if (best < 0)
			break;
		chosen |= (uint64_t)1 << best;
	}
	return chosen;
}

/* What is to be appended, and how. */
struct append {
	const struct tier_space *spaces; /* per place, as asked */
	const void *buf;
	size_t len;
	enum tier_hint hint;
	unsigned stream;
};

static unsigned copies_of(unsigned stream)
{
	return stream / 2 + 1;
}

/* No room for the piece; or it lies in a place that is being closed, or in fewer than it could. */
static bool segment_is_done(const struct appender *appender, const struct segment *segment,
			    const struct append *append, uint64_t places)
{
	return (segment->end + append->len > appender->options.segment_bytes &&
		segment->end > SEGMENT_HEADER_LEN) ||
	       segment->made & appender->options.tier->closed ||
	       __builtin_popcountll(segment->homes) < __builtin_popcountll(places);
}

/* The place's open segment with room for the piece, made if need be. Takes the lock, keeps it on 0.
 * -ESHUTDOWN: the place has been closed. */
static int segment_ready(struct appender *appender, uint32_t index, const struct append *append,
			 bool *fault, struct segment **out)
{
	struct stream *stream = &appender->places[index].streams[append->stream];
	struct segment *segment, *empty;
	uint64_t places;
	int error;

	pthread_mutex_lock(&appender->lock);
	for (;;) {
		if (!place_usable(appender, index)) {
			pthread_mutex_unlock(&appender->lock);
			return -ESHUTDOWN;
		}
		places = places_choose_locked(appender, append->spaces, index, append->len,
					      copies_of(append->stream));
		segment = stream->open;
		if (segment && segment_is_done(appender, segment, append, places)) {
			segment->refs++;
			seal_locked(appender, segment);
			empty = segment_put_locked(appender, segment);
			if (empty) { /* nothing was ever appended to it */
				pthread_mutex_unlock(&appender->lock);
				segment_discard(appender, empty);
				pthread_mutex_lock(&appender->lock);
				continue;
			}
			segment = NULL;
		}
		if (segment) {
			*out = segment;
			return 0;
		}
		if (stream->creating) {
			pthread_cond_wait(&appender->changed, &appender->lock);
			continue;
		}
		stream->creating = places;
		pthread_mutex_unlock(&appender->lock);
		error = segment_make(appender, index, append->stream, places, &segment, fault);
		pthread_mutex_lock(&appender->lock);
		stream->creating = 0;
		pthread_cond_broadcast(&appender->changed);
		if (error) {
			pthread_mutex_unlock(&appender->lock);
			return error;
		}
		segment->next = appender->segments;
		appender->segments = segment;
		stream->open = segment;
	}
}

/* Writes to every place of `homes`. 0 when one has it all; *lost: those that have not. */
static int write_copies(struct appender *appender, uint64_t id, uint64_t homes,
			const struct append *append, uint64_t off, uint64_t *lost)
{
	struct tier *tier = appender->options.tier;
	int error = 0, one;

	*lost = 0;
	for (uint64_t left = homes; left; left &= left - 1) {
		struct tier_segment seg = {.id = id, .place = (uint32_t)__builtin_ctzll(left)};

		one = tier_write(tier, seg, append->buf, append->len, off, append->hint);
		if (!one)
			continue;
		if (one == -ENOSPC) /* what was written of it is of no use */
			(void)tier_punch(tier, seg, append->len, off);
		if (homes & (homes - 1))
			place_out(appender, seg.place, one);
		*lost |= left & -left;
		error = error ? error : one;
	}
	return *lost == homes ? error : 0;
}

static int append_at(struct appender *appender, uint32_t place, const struct append *append,
		     struct segment_loc *out, bool *fault)
{
	struct segment *segment, *empty;
	uint64_t off, homes, lost;
	unsigned parity;
	int error = segment_ready(appender, place, append, fault, &segment);

	if (error)
		return error;
	off = segment->end;
	segment->end += append->len;
	homes = segment->homes;
	parity = segment->epoch & 1;
	segment->inflight[parity]++;
	appender->appends++;
	if (!segment->unsynced[parity])
		segment->unsynced[parity] = appender->appends;
	segment->refs++;
	pthread_mutex_unlock(&appender->lock);

	error = write_copies(appender, segment->seg.id, homes, append, off, &lost);
	*fault = error != 0;
	out->seg = segment->seg;
	out->off = off;

	pthread_mutex_lock(&appender->lock);
	if (!error && lost && !homes_lost_locked(appender, segment, lost))
		error = -EIO;
	if (error || lost)
		seal_locked(appender, segment);
	if (!error)
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
	return appender_append_copies(appender, buf, len, hint, 1, false, out);
}

int appender_append_copies(struct appender *appender, const void *buf, size_t len,
			   enum tier_hint hint, unsigned copies, bool own, struct segment_loc *out)
{
	struct tier *tier = appender->options.tier;
	struct tier_space spaces[TIER_PLACES_MAX] = {0};
	struct append append = {.spaces = spaces,
				.buf = buf,
				.len = len,
				.hint = hint,
				.stream = (copies - 1) * 2 + own};
	bool fault, full = false;
	uint64_t tried = ~tier_places_open(tier);
	int place, error = 0, result = -ENOSPC;
	uint32_t i;

	if (!len || !copies || copies > COPIES_MAX)
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
		error = append_at(appender, (uint32_t)place, &append, out, &fault);
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

static int sync_copies(struct appender *appender, uint64_t id, uint64_t homes, uint64_t *lost)
{
	int error = 0;

	*lost = 0;
	for (uint64_t left = homes; left; left &= left - 1) {
		struct tier_segment seg = {.id = id, .place = (uint32_t)__builtin_ctzll(left)};
		int one = tier_sync(appender->options.tier, seg);

		if (!one)
			continue;
		place_out(appender, seg.place, one);
		*lost |= left & -left;
		error = error ? error : one;
	}
	return *lost == homes ? error : 0;
}

/* Makes everything up to append number `upto` in this segment durable, or marks it failed. Called
 * with the lock and a reference; the lock is given up meanwhile. */
static void segment_sync_locked(struct appender *appender, struct segment *segment, uint64_t upto)
{
	uint64_t homes, lost;
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
	homes = segment->homes;
	pthread_mutex_unlock(&appender->lock);

	error = sync_copies(appender, segment->seg.id, homes, &lost);

	pthread_mutex_lock(&appender->lock);
	segment->syncing = false;
	if (!error && lost) {
		error = homes_lost_locked(appender, segment, lost) ? 0 : -EIO;
		seal_locked(appender, segment);
	}
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

static struct segment *open_in_locked(struct appender *appender, uint64_t places)
{
	for (uint32_t i = 0; i < TIER_PLACES_MAX; i++) {
		for (uint32_t k = 0; k < STREAMS; k++) {
			struct segment *segment = appender->places[i].streams[k].open;

			if (segment && segment->made & places)
				return segment;
		}
	}
	return NULL;
}

/* Seals the open segments that lie in these places. */
static void roll(struct appender *appender, uint64_t places)
{
	struct segment *segment;

	do {
		struct segment *empty = NULL;

		pthread_mutex_lock(&appender->lock);
		segment = open_in_locked(appender, places);
		if (segment) {
			segment->refs++;
			seal_locked(appender, segment);
			empty = segment_put_locked(appender, segment);
		}
		pthread_mutex_unlock(&appender->lock);
		segment_discard(appender, empty);
	} while (segment);
}

void appender_roll(struct appender *appender)
{
	roll(appender, UINT64_MAX);
}

/* Is anybody writing there, or about to? */
static bool place_busy_locked(const struct appender *appender, uint32_t place)
{
	const struct segment *segment = appender->segments;
	uint64_t creating = 0;

	while (segment &&
	       (!(segment->made >> place & 1) || !(segment->inflight[0] || segment->inflight[1])))
		segment = segment->next;
	for (uint32_t i = 0; i < TIER_PLACES_MAX; i++)
		for (uint32_t k = 0; k < STREAMS; k++)
			creating |= appender->places[i].streams[k].creating;
	return creating >> place & 1 || segment;
}

void appender_place_close(struct appender *appender, uint32_t place)
{
	assert(place < TIER_PLACES_MAX);
	pthread_mutex_lock(&appender->lock);
	atomic_fetch_or(&appender->options.tier->closed, (uint64_t)1 << place);
	while (place_busy_locked(appender, place))
		pthread_cond_wait(&appender->changed, &appender->lock);
	pthread_mutex_unlock(&appender->lock);
	roll(appender, (uint64_t)1 << place);
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

enum appender_hold appender_holds(struct appender *appender, uint64_t segment_id)
{
	enum appender_hold hold = APPENDER_FREE;
	struct segment *segment;

	pthread_mutex_lock(&appender->lock);
	segment = appender->segments;
	while (segment && segment->seg.id != segment_id)
		segment = segment->next;
	if (segment)
		hold = segment->sealed ? APPENDER_UNSYNCED : APPENDER_OPEN;
	pthread_mutex_unlock(&appender->lock);
	return hold;
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
