/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the frames on the media hold, by what they say of themselves: found without metadata, told
 * object by object, the newest bytes of each range.
 *
 * Of two frames that name the same bytes of an object, the one with the higher number counts: it
 * holds the newer ones, or the same, but in a rare case (terrace-format(5), Contents). A frame does
 * not say which of its bytes were overwritten, cut off or deleted since: what is told here was
 * written to the object once.
 *
 * Memory is bounded: pieces are sorted in a file (check/sorter.h). One thread. Errors: negative
 * errno; files that cannot be read are logged and passed over.
 */
#ifndef TERRACE_TIERS_FINDER_H
#define TERRACE_TIERS_FINDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct finder;
struct frame_header;

struct finder_dir { /* of a tier, with its label */
	const char *path;
	uint32_t tier, place;
};

/* A range of an object, and where its bytes are. */
struct found_piece {
	uint64_t object, off;
	uint64_t frame;
	uint32_t len;
	uint32_t frame_off; /* in the frame's raw bytes */
	uint64_t segment;
	uint32_t at;  /* of the frame, in the segment */
	uint16_t dir; /* index in the list given */
	bool aside;   /* the segment was put aside */
};

/* The list and what it points to are the caller's, and stay. */
int finder_new(struct finder **out, const struct finder_dir *dirs, size_t ndirs,
	       const uint8_t *pool_uuid);
void finder_free(struct finder *finder);

/* Reads the headers of all frames. from(): where to begin in a segment; UINT64_MAX: leave it out.
 */
int finder_scan(struct finder *finder, uint64_t (*from)(void *arg, uint64_t segment), void *arg);

/* The highest numbers that were met, of all segments' names and of the frames looked at. */
struct found_top {
	uint64_t object, frame, segment;
};
struct found_top finder_top(const struct finder *finder);

/*
 * The next range: in order of object and offset, none twice; -ENOENT at the end. usable() is asked
 * about a piece before a range of it is told, pieces of one object after those of another: 1 yes,
 * 0 what is older counts, or an error, which ends it. What is asked about may be more than what is
 * told.
 */
int finder_next(struct finder *finder, int (*usable)(void *arg, const struct found_piece *piece),
		void *arg, struct found_piece *out);

/* Asked in usable(): the same frame lies elsewhere too, and will be asked about if this one is not
 * used. */
bool finder_twin(const struct finder *finder, const struct found_piece *piece);

/* Reads the frame that a piece lies in: its header, and all its stored bytes (free() them), which
 * are not verified yet. -EBADMSG: it is not there. */
int finder_load(struct finder *finder, const struct found_piece *piece, struct frame_header *header,
		uint8_t **stored);

/* Bytes of the frame that was loaded last, len of them, have been given back to the medium. */
bool finder_punched(const struct finder *finder, const struct found_piece *piece, uint32_t len);

/* The piece's file. -ENAMETOOLONG. */
int finder_path(const struct finder *finder, const struct found_piece *piece, char *buf,
		size_t cap);

#endif
