/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of a restore share. Not for others. */
#ifndef TERRACE_RESTORE_IMPL_H
#define TERRACE_RESTORE_IMPL_H

#include "tiers/extmap.h"
#include "tiers/finder.h"
#include "tiers/idmap.h"
#include "tiers/meta.h"
#include "tiers/meta_restore.h"
#include "tiers/records.h"

struct directory { /* of a tier */
	const char *path;
	uint32_t tier, place;
	bool lost;
};

struct restore {
	const struct restore_options *options;
	struct restore_result *out;
	struct directory *dirs;
	size_t ndirs;
	int lock_fd;
	char store[PATH_MAX];	  /* where the new one is made */
	struct meta *meta;	  /* the new store, while it is filled */
	struct meta *live;	  /* what is left of the old one; NULL: nothing */
	bool look;		  /* nothing of the pool changes but `meta` */
	struct idmap known, gone; /* segments: by id */
	struct idmap plains;	  /* plain files that stay, by object (plain.c) */
	struct idmap plain_files; /* objects of which there is some plain file, complete */
	struct found_top top;	  /* what has been given out at least */
};

/* Applies the batch to the new store and empties it. books.c */
int restore_apply(struct restore *restore, struct meta_batch *batch);
/* segments.c ------------------------------------------------------------------------------------
 */

/* Calls each() for every record of a type whose key has one number. */
int restore_walk(struct restore *restore, uint8_t type,
		 int (*each)(void *arg, uint64_t id, const struct meta_item *item), void *arg);
/* A file of the segment that a record speaks of, in one of its places; -ENOENT: in none. */
int restore_segment_find(const struct restore *restore, uint64_t id,
			 const struct segment_record *record, char buf[PATH_MAX]);
/* From where an earlier restore put it, durably. */
int restore_segment_return(const char *dir, uint64_t id);
/* With the copy in the store: `known` and `gone`, then restore_newer(). */
int restore_take_newer(struct restore *restore);

/*
 * newer.c: with the copy in the store, finds the frames it knows that are gone, and lets what was
 * written after it take their place. Tells of files (restore_options.each). Segments that are used
 * from now on become known, and lie where they belong.
 */
int restore_newer(struct restore *restore);

/* plain.c: with the copy, of that time, in the store, before what is newer; and when all is
 * complete, for each directory. Errors of the second are logged. */
int restore_plain(struct restore *restore, int64_t time_ns);
/* Before: fills plain_files. */
int restore_plain_look(struct restore *restore);
/* The record says that the object is plain, and there is no file of it. */
bool restore_plain_gone(const struct restore *restore, uint64_t id,
			const struct object_record *record);
int restore_plain_aside(struct restore *restore, const struct directory *dir);

/* A frame that the copy does not know. */
struct candidate {
	struct found_piece piece;
	struct frame_record record;
	bool sound; /* has been read and verified */
	bool made;  /* it has a record in the store */
};

struct newer {
	struct restore *restore;
	struct meta_batch *batch;
	struct idmap lost;  /* frames that the copy knows and that are gone */
	struct idmap there; /* segments with records: how far they were in use, plus one */
	struct idmap candidates;
	struct idmap claims; /* segments: the directory whose file is taken from, plus one */
	struct finder *finder;
	struct finder_dir *dirs; /* that are there */
	size_t ndirs;
	/* The object at hand (objects.c); 0: none. */
	uint64_t object;
	struct object_record record;
	struct extent_list extents;
	struct extent_list runs; /* of candidates, that may take the place of what is gone */
	bool any;		 /* something of it is gone */
	bool whole;		 /* it was plain, and its file is gone: it may be in frames now */
	bool unsound;		 /* a frame that says it is the object's cannot be read */
};

/* books.c: records of the new store. Errors of puts stick until newer_apply(). */
void newer_put(struct newer *newer, const void *key, size_t key_len, const void *value, size_t len);
void newer_del(struct newer *newer, const void *key, size_t key_len);
int newer_apply(struct newer *newer);
int newer_frame(struct newer *newer, uint64_t id, struct frame_record *out);
int newer_segment(struct newer *newer, uint64_t id, struct segment_record *out);
/* Extents of len bytes point to the frame, or do no longer; with the last of these it goes. */
int newer_frame_use(struct newer *newer, uint64_t id, uint32_t len, bool more,
		    struct frame_record *frame);
/* Gives a candidate a record, and its segment. */
int newer_frame_make(struct newer *newer, struct candidate *candidate);

/* objects.c */
int newer_object_load(struct newer *newer, uint64_t id);
int newer_extents_load(struct newer *newer);
/* Is the piece newer than something of the object at hand that is gone? */
bool newer_is_needed(const struct newer *newer, const struct found_piece *piece);
int newer_run_add(struct newer *newer, const struct found_piece *run);
/* The object at hand, by its runs. */
int newer_object_end(struct newer *newer);

#endif
