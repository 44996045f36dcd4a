/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the check share. Not for other folders. */
#ifndef TERRACE_CHECK_CHECK_IMPL_H
#define TERRACE_CHECK_CHECK_IMPL_H

#include "tiers/check/check.h"
#include "tiers/check/sorter.h"
#include "tiers/keys.h"
#include "tiers/meta.h"
#include "tiers/meta_look.h"
#include "tiers/records.h"
#include "tiers/tier.h"

#define CHECK_FRAME_LOST 0u /* no frame has this id: an extent that points there is lost data */

struct session;

struct check_action {
	int (*run)(struct check *check, void *arg);
	void *arg;
};

struct check {
	struct check_options options;
	const struct pool_config *config;
	struct check_result *result;
	struct meta *meta;
	struct meta_look look;
	char *ram_dir;
	bool ram_used;					       /* what is in ram_dir counts */
	bool ram_made;					       /* by us */
	int lock_fd;					       /* of a look */
	struct session *session;			       /* of a repair */
	const char *places[CONFIG_TIERS_MAX][TIER_PLACES_MAX]; /* paths; NULL: none */
	bool places_unsure; /* some directory could not be told: no file counts as missing */

	void (*path)(void *arg, uint64_t object, char *buf, size_t cap);
	void *path_arg;

	unsigned round;
	uint64_t changes;	  /* mends since check_round() */
	struct meta_batch *batch; /* of the mend at hand */
	size_t batch_bytes;
	struct meta_batch **mends;
	size_t nmends, mends_cap, mend_bytes;
	struct check_action *actions;
	size_t nactions;

	struct sorter *users;  /* extents by frame (objects.c -> frames.c) */
	struct sorter *placed; /* frames by segment and offset (frames.c -> segments.c) */
	uint64_t *lost; /* objects whose record is lost; some may have none any more by right */
	size_t nlost, lost_cap, lost_sought;
	uint64_t *recovered; /* of them, those that were put together in this round */
	size_t nrecovered, recovered_cap;
	struct doubt *doubts; /* doubt.c: by frame */
	size_t ndoubts, doubts_cap;
	bool again;				     /* only they are looked at, and told of */
	uint64_t top_object, top_frame, top_segment; /* highest ids met */
	uint64_t nobjects;
	bool plain; /* there are plain objects */
	uint64_t top_epoch;
};

/* An extent as its frame's user. Sorted by its bytes. */
#define USER_LEN 32u /* frame(8) object(8) off(8), big-endian; len(4) frame_off(4) */
int check_user_add(struct check *check, uint64_t object, const struct extent *extent);

/* A frame as it lies. */
#define LAID_LEN                                                                                   \
	46u /* segment off frame, 8 each, big-endian; live(8) stored(4) raw(4) tier codec place(2) \
	       spare(2) */

int check_labels(struct check *check);	 /* labels.c */
int check_beside(struct check *check);	 /* beside.c: the RAM log, copies of the metadata */
int check_records(struct check *check);	 /* records.c */
int check_objects(struct check *check);	 /* objects.c */
int check_placed(struct check *check);	 /* placed.c: frames whose record is lost */
int check_frames(struct check *check);	 /* frames.c */
int check_segments(struct check *check); /* segments.c */
int check_plain(struct check *check);	 /* plain.c: files of nobody */
int check_plain_object(struct check *check, uint64_t id, const struct object_record *record);
int check_counts(struct check *check); /* records.c */

/* media.c: the tiers' files, opened for reading and never made */
int check_segment_path(struct check *check, uint8_t tier, uint16_t place, uint64_t id, char *buf,
		       size_t cap);
/* Where that is, for people: "tier hdd, /b/t". Returns buf. */
#define CHECK_PLACE_CAP 4200u
const char *check_place_text(const struct check *check, uint8_t tier, uint16_t place, char *buf,
			     size_t cap);
/* -ENOENT; *len: of the file. */
int check_segment_open(struct check *check, uint8_t tier, uint16_t place, uint64_t id, int *fd,
		       uint64_t *len);

/* The segment's record; where that is missing or unreadable, from where its file is. -ENOENT. */
int check_segment_where(struct check *check, uint64_t id, uint8_t *tier, uint16_t *place);
/* Where a file of that number is. Directories that cannot be told count as empty. -ENOENT. */
int check_segment_find(struct check *check, uint64_t id, uint8_t *tier, uint16_t *place);

/* placed.c: what the frame at that place says of itself, with nothing known of it. */
struct frame_header;
int check_header_load(struct check *check, uint64_t segment, uint64_t off, uint8_t tier,
		      uint16_t place, struct frame_header *out);

/* found.c: data of objects whose record is lost. */
/* Makes records for those that frames speak of. *any: there are some: objects and frames must be
 * looked at again. */
int check_found(struct check *check, bool *any);
/* What cannot be read counts as there: nothing is to be put in its place. */
bool check_object_there(struct check *check, uint64_t object);

/* deep.c: a frame as it is stored. */
struct deep;
int deep_new(struct deep **out, struct check *check); /* -ENOMEM: deep_free() all the same */
void deep_free(struct deep *deep);		      /* NULL is allowed */
/* Reads and verifies. 0: *header is the caller's to release, and bad[] says which of its blocks are
 * damaged; else the error of the whole, as when nothing can be read. */
int deep_read(struct deep *deep, uint64_t id, const struct frame_record *record,
	      struct frame_header *header, bool *bad);

/*
 * doubt.c: frames of a mounted pool that cannot be read. The daemon may have let go of them, and
 * given their bytes back, since the checkpoint that is looked at; they are told of when they are
 * still there in a later one.
 */
int check_doubt_add(struct check *check, uint64_t frame, const struct frame_record *record);
/* Is the frame not to be read in this walk? */
bool check_doubt_skips(const struct check *check, uint64_t frame);

/* The walks over objects and frames. */
int check_objects_and_frames(struct check *check);
/* Opens the metadata; again, as it is by then, where it is open. */
int check_open_look(struct check *check);

/* A walk of all keys of one type, that stands on an item: item.key is NULL at the end. */
struct check_walk {
	struct meta_cursor *cursor;
	struct meta_item item;
};
int check_walk_open(struct check *check, enum key_type type, struct check_walk *out);
int check_walk_next(struct check_walk *walk);
void check_walk_close(struct check_walk *walk);
/* The number behind the type. */
static inline uint64_t check_walk_id(const struct check_walk *walk)
{
	return walk->item.key ? get_be64(walk->item.key + 1) : UINT64_MAX;
}

#endif
