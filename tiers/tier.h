/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tier's medium behind one table: append-only containers (segments) named by a 64-bit id, in one
 * of the tier's places (a directory; later a bucket or a pool of a cluster).
 *
 * Callers use the tier_*() wrappers, never the table. All members of the table are mandatory; what
 * a medium promises is a capability bit.
 * Threads: every call may come from any thread, on the same segment too; writes of one segment
 * never overlap. Calls block for the medium. Errors: negative errno, -EIO / -ENOSPC / -EROFS as the
 * medium gave them, logged once here with tier, path and offset. EINTR and short transfers are
 * handled here.
 *
 * Places have indexes that stay: an index is in the label of the directory and in the records of
 * segments. There may be gaps (-ENODEV from every call that names one), and places come and go
 * while the tier is in use: tier_place_add(), tier_place_remove().
 *
 * A spare place is for copies that the others cannot hold, usually on a slower medium: no segment
 * begins there (segment.h), copies are made there last (replicate.h) and read last, and its room is
 * none of the tier's: neither tier_room() nor the quota knows of it. Nothing on the medium tells it
 * from others: the configuration does.
 */
#ifndef TERRACE_TIERS_TIER_H
#define TERRACE_TIERS_TIER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tiers/latency.h"

#define TIER_PLACES_MAX 64u

enum tier_cap {
	TIER_CAP_PUNCH = 1u << 0,  /* tier_punch() gives space back */
	TIER_CAP_DIRECT = 1u << 1, /* bulk I/O goes round the page cache */
};

struct tier;

struct tier_segment { /* where a segment is */
	uint64_t id;
	uint32_t place; /* index of the tier's directory */
};

struct tier_space {	/* bytes, of one place */
	uint64_t total; /* what Terrace may use here at most: the quota or the medium */
	uint64_t free;	/* what can still be written: min(quota - used by all places, medium's
			   free); of a closed place too; of a spare one the medium's */
	uint64_t used;	/* what Terrace's own files really take here (st_blocks * 512), without
			   folders */
	/* For sums over places: a medium that several share counts once, and so does the quota. */
	uint64_t device; /* st_dev of the medium */
	uint64_t medium_total, medium_free;
	uint64_t quota; /* of the tier, all places together; 0 = none */
	uint64_t kept;	/* of the quota, for the file system's own blocks: neither used nor free */
};

enum tier_hint {
	TIER_FOREGROUND = 0, /* somebody waits: page cache allowed */
	TIER_BULK = 1, /* migration, scrub: do not fill the page cache, direct where possible */
	/* Reads only; somebody waits, for a lot, and has its own place for it: what is not in the
	 * page cache goes round it where possible. buf and off are multiples of 4096, and buf has
	 * room up to the next multiple. */
	TIER_STREAM = 2,
};

struct tier_ops {
	void (*close)(struct tier *tier);
	int (*segment_create)(struct tier *tier, struct tier_segment seg);
	int (*segment_remove)(struct tier *tier, struct tier_segment seg);
	int (*segment_truncate)(struct tier *tier, struct tier_segment seg, uint64_t len);
	int (*write)(struct tier *tier, struct tier_segment seg, const void *buf, size_t len,
		     uint64_t off, enum tier_hint hint);
	int (*read)(struct tier *tier, struct tier_segment seg, void *buf, size_t len, uint64_t off,
		    enum tier_hint hint);
	void (*ahead)(struct tier *tier, struct tier_segment seg, size_t len, uint64_t off);
	int (*sync)(struct tier *tier, struct tier_segment seg);
	int (*punch)(struct tier *tier, struct tier_segment seg, uint64_t len, uint64_t off);
	int (*list)(struct tier *tier, uint32_t place,
		    int (*each)(void *arg, struct tier_segment seg, uint64_t len, uint64_t disk),
		    void *arg);
	int (*space)(struct tier *tier, uint32_t place, struct tier_space *out);
	int (*place_add)(struct tier *tier, const char *path, uint32_t place);
	int (*place_return)(struct tier *tier, const char *path, uint32_t *place);
	int (*place_remove)(struct tier *tier, uint32_t place);
	const char *(*place_path)(struct tier *tier, uint32_t place);
};

struct tier { /* base of every implementation, first member there */
	const struct tier_ops *ops;
	const char *name;	  /* "ssd"; owned by the implementation */
	_Atomic uint32_t nplaces; /* all indexes are below; grows only */
	_Atomic uint32_t caps;	  /* enum tier_cap bits */
	_Atomic uint64_t present; /* bit per place; the others are gaps */
	_Atomic uint64_t closed;  /* bit per place: nothing new is put there (segment.h) */
	_Atomic uint64_t spare;	  /* bit per place that is for further copies; set also while it is
				     not there */
	_Atomic uint64_t suspect; /* bit per place that failed since somebody looked at it */
	/* Plain files (tiers/plain_files.h): what those of each place take on disk, which `used`
	 * contains, how many there are, and a bit per place where names of new ones are not
	 * durable yet. */
	_Atomic uint64_t plain_used[TIER_PLACES_MAX];
	_Atomic uint64_t plain_files[TIER_PLACES_MAX];
	_Atomic uint64_t plain_names;
	_Atomic uint64_t plain_noted; /* bit per place: plain_places.h */
	struct latency latency;	      /* counted by the wrappers below */
};

void tier_close(struct tier *tier);

static inline bool tier_has_place(const struct tier *tier, uint32_t place)
{
	return place < TIER_PLACES_MAX && tier->present >> place & 1;
}
static inline bool tier_place_closed(const struct tier *tier, uint32_t place)
{
	return place < TIER_PLACES_MAX && tier->closed >> place & 1;
}
/* Bit per place where something new may begin. */
static inline uint64_t tier_places_open(const struct tier *tier)
{
	return tier->present & ~tier->closed & ~tier->spare;
}
static inline bool tier_place_spare(const struct tier *tier, uint32_t place)
{
	return place < TIER_PLACES_MAX && tier->spare >> place & 1;
}
/* What the place is to be, before it is added or comes back; it stays so when it goes. */
static inline void tier_place_set_spare(struct tier *tier, uint32_t place, bool spare)
{
	uint64_t bit = (uint64_t)1 << place;

	if (spare)
		atomic_fetch_or(&tier->spare, bit);
	else
		atomic_fetch_and(&tier->spare, ~bit);
}
static inline void tier_plain_add(struct tier *tier, uint32_t place, int64_t bytes, int files)
{
	tier->plain_used[place] += (uint64_t)bytes;
	tier->plain_files[place] += (uint64_t)files;
}
/* A file may have grown since it was counted, and go: that is less than nothing, until all are
 * looked at again. */
static inline uint64_t tier_plain_at(const struct tier *tier, uint32_t place)
{
	uint64_t used = tier->plain_used[place];

	return used > INT64_MAX ? 0 : used;
}
static inline uint64_t tier_plain_used(const struct tier *tier)
{
	uint64_t used = 0;

	for (uint32_t i = 0; i < tier->nplaces; i++)
		used += tier_plain_at(tier, i);
	return used;
}
/* For implementations: the place is ready for use. */
void tier_place_announce(struct tier *tier, uint32_t place);

/*
 * Makes a directory this tier's place number `place` (label and folders, durable) and takes it into
 * use, closed. The caller answers for the index: a free one that nothing refers to. -EEXIST the
 * index is in use, or the directory is some tier's already (what was left here by the removal of a
 * place of this same tier is taken over); -ENOENT, -ENOTDIR, -EACCES, -EROFS, -ENOSPC, -ENOTSUP
 * the medium cannot. What was made is taken back on error.
 */
int tier_place_add(struct tier *tier, const char *path, uint32_t place);
/*
 * Takes a directory into use, closed, that was a place of this tier before, with what is in it; its
 * label says which. -EEXIST that one is in use, -ENOTUNIQ it is another pool's or tier's, -ENODATA
 * no label, -ENOENT.
 */
int tier_place_return(struct tier *tier, const char *path, uint32_t *place);
/* Takes a place out of use and removes its label and its empty folders. The caller answers for its
 * being closed and empty. An error says what could not be removed; the place is gone all the same.
 */
int tier_place_remove(struct tier *tier, uint32_t place);
/* Stays valid until tier_close(). NULL: a gap. */
const char *tier_place_path(struct tier *tier, uint32_t place);

/*
 * Sums over the places that are there, but spare ones, each medium once and the quota once: total
 * is what the tier may hold at most, free what can still be written to places that are not closed,
 * used what its files take. So used + free < total where others use the medium too. -ENODEV no
 * place could be asked.
 */
int tier_room(struct tier *tier, struct tier_space *out);

/* Creates an empty segment file; -EEXIST. Durable (with its name) only after tier_sync(). */
int tier_segment_create(struct tier *tier, struct tier_segment seg);
int tier_segment_remove(struct tier *tier, struct tier_segment seg); /* -ENOENT */
int tier_segment_truncate(struct tier *tier, struct tier_segment seg, uint64_t len);
/* All of buf or an error. */
int tier_write(struct tier *tier, struct tier_segment seg, const void *buf, size_t len,
	       uint64_t off, enum tier_hint hint);
/* All of buf or an error; -ENODATA when the segment ends before off + len; -ENOENT no such segment.
 */
int tier_read(struct tier *tier, struct tier_segment seg, void *buf, size_t len, uint64_t off,
	      enum tier_hint hint);
/* These bytes will be read soon, TIER_FOREGROUND: the medium may begin. Does not wait for it. */
void tier_ahead(struct tier *tier, struct tier_segment seg, size_t len, uint64_t off);
/* Data and name are durable. A failure is final for what was written since the last success: the
 * caller writes it again, to another segment. This one takes no more writes and syncs (the same
 * error); it can be read and removed. */
int tier_sync(struct tier *tier, struct tier_segment seg);
/* Gives the whole blocks of 4 KiB inside [off, off+len) back where TIER_CAP_PUNCH; reads there give
 * zeros. 0 and nothing otherwise, and where no whole block lies inside: the edges share their
 * blocks with durable neighbours, which are not written again. So punch neighbours together. */
int tier_punch(struct tier *tier, struct tier_segment seg, uint64_t len, uint64_t off);
/* Calls each() for every segment of a place: its length and what it takes on disk, in bytes. A
 * non-zero return ends the walk and is returned. */
int tier_list(struct tier *tier, uint32_t place,
	      int (*each)(void *arg, struct tier_segment seg, uint64_t len, uint64_t disk),
	      void *arg);
int tier_space(struct tier *tier, uint32_t place, struct tier_space *out);

/* The directory tier. -------------------------------------------------------------------------- */

struct tier_dir_options {
	const char *name;
	const uint8_t *pool_uuid; /* 16 bytes */
	uint32_t tier_id;	  /* stored in the label; 0..63 */
	const char *const *paths; /* one place each; must exist */
	uint32_t npaths;
	uint64_t spare;	   /* bit per path of a spare place */
	uint64_t optional; /* bit per path that is left out when it is not there, if others are */
	uint64_t *missing; /* out: those that were; NULL: nobody asks */
	uint64_t quota_bytes;	/* for all places together; 0 = the media */
	uint32_t quota_percent; /* 1..99: of the media that the places are on; then quota_bytes is 0
				 */
	uint64_t delay_ns;  /* test setting: added to every request (per request, not summed over a
			       queue) */
	uint64_t bandwidth; /* test setting: bytes/s; 0 = no limit */
	int direct; /* O_DIRECT through libaio for bulk: 1 on, 0 off, -1 where the medium allows */
};

/*
 * Makes the label file (terrace.tier: pool uuid, tier id, place index, format version) and the
 * segments/ folder in every path. -ENOENT no such directory, -EACCES/-EROFS not writable, -EEXIST
 * it is already some pool's (also this one's), -ENOTEMPTY never: other files in the directory are
 * left alone.
 */
int tier_dir_format(const struct tier_dir_options *options);
/* Takes back what tier_dir_format() has made, when making the pool failed later on. */
void tier_dir_unformat(const struct tier_dir_options *options);
/* Opens formatted paths, in any order: the label says which place each is. A place that no path
 * leads to is a gap. -ENOENT missing directory, -ENODATA no label, -ENOTUNIQ the label of another
 * pool or tier, or of the same place as another one's, -EBADMSG a damaged one, -ENOTSUP newer
 * format, -EACCES, -EROFS. One clear log line each (what, where, what to do). Counts the space
 * taken by asking for every segment's size once. */
int tier_dir_open(struct tier **out, const struct tier_dir_options *options);

#endif
