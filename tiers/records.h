/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The values behind the keys of the data half: objects, extents, frames, segments, synchronous
 * writes. Bytes as in terrace-format(5), METADATA KEYS. Pure; decoders take any bytes and answer
 * -EUCLEAN to what is not a record, -ENOTSUP to a newer version.
 */
#ifndef TERRACE_TIERS_RECORDS_H
#define TERRACE_TIERS_RECORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compress/codec.h"
#include "tiers/object.h"

/* A run of an object's bytes, and where in which frame's raw bytes it lies. */
struct extent {
	uint64_t off;
	uint64_t frame;
	uint32_t len;
	uint32_t frame_off;
};

#define RECORD_EXTENT_LEN 16u /* as a value under KEY_EXTENT; the key holds the end */
#define RECORD_INLINE_MAX 4u  /* extents kept in the object record itself */

/* The file in a tier's directory that holds an object's bytes as they are (tiers/plain.h). */
struct plain_home {
	bool set; /* no: the bytes are in frames */
	uint8_t tier;
	uint16_t place;
	uint32_t generation;
};

struct object_record {
	uint64_t size;	    /* all data below it is in frames or a hole: what power loss leaves */
	uint64_t stored;    /* sum of extent_share() */
	int64_t write_time; /* see object_write_time() */
	uint64_t log_epoch; /* the RAM log (a new one has a new epoch) and the position in it of the
			       last */
	uint64_t log_pos;   /* size or punch record that this record already shows */
	bool has_keys;	    /* extents are under KEY_EXTENT; else inline */
	uint8_t nextents;   /* inline ones */
	uint16_t attr_len;
	uint8_t attr[OBJECT_ATTR_MAX];
	struct extent extents[RECORD_INLINE_MAX];
	struct plain_home plain; /* set: size is a hint, and extents mean nothing */
};

#define RECORD_OBJECT_MAX (48u + OBJECT_ATTR_MAX + RECORD_INLINE_MAX * 24u + 8u)
size_t object_record_encode(const struct object_record *record, uint8_t *buf);
int object_record_decode(const uint8_t *buf, size_t len, struct object_record *out);

void extent_encode(const struct extent *extent, uint8_t *buf); /* RECORD_EXTENT_LEN bytes */
int extent_decode(uint64_t end, const uint8_t *buf, size_t len, struct extent *out);

struct frame_record {
	uint64_t segment;
	uint64_t live; /* bytes of extents that point here, shared ones counted for each */
	uint32_t off;  /* in the segment */
	uint32_t stored_len, raw_len, header_len;
	uint16_t place;
	uint16_t heat;	      /* short average (tiers/engine/heat.h) */
	uint16_t heat_slow;   /* long average */
	uint32_t last_access; /* seconds since 1970 */
	uint32_t placed; /* when it was moved to this tier, seconds since 1970; 0 = written here */
	uint8_t tier;	 /* index in the config */
	uint8_t block_shift; /* block size = 1 << block_shift */
	struct codec_spec codec;
	bool shared; /* KEY_SHARED records may exist */
};

#define RECORD_FRAME_LEN 52u
void frame_record_encode(const struct frame_record *record, uint8_t *buf);
int frame_record_decode(const uint8_t *buf, size_t len, struct frame_record *out);

/* What an extent of len bytes takes: its share of the frame's stored bytes, rounded down. */
static inline uint64_t extent_share(uint32_t len, const struct frame_record *frame)
{
	return frame->raw_len ? (uint64_t)len * frame->stored_len / frame->raw_len : 0;
}

/* Blocks in a frame's raw bytes. */
static inline uint32_t frame_blocks(const struct frame_record *frame)
{
	return ((frame->raw_len - 1) >> frame->block_shift) + 1;
}

struct codec_account {
	uint64_t raw, stored, frames;
};

struct segment_record {
	uint64_t len;	  /* bytes used from the start of the file */
	uint64_t logical; /* sum of the frames' live bytes */
	uint16_t place;	  /* one of its places */
	uint8_t tier;
	uint8_t wanted; /* copies that were asked for by name; 0: as its tier has */
	bool mirrored;	/* it is, or was: its frames' records may name a place that it is not in */
	uint64_t homes; /* bit per place that has a whole copy; never 0 */
	struct codec_account codec[CODEC_COUNT]; /* of the frames that exist */
};

#define RECORD_SEGMENT_LEN (24u + CODEC_COUNT * 24u)
#define RECORD_SEGMENT_MAX (RECORD_SEGMENT_LEN + 16u)
/* Returns the length: the longer form, which older programs refuse, only where it is needed. */
size_t segment_record_encode(const struct segment_record *record, uint8_t *buf);
int segment_record_decode(const uint8_t *buf, size_t len, struct segment_record *out);

/* A synchronous write that is in the store itself (tiers/synced.h), or a cut between such. */
enum synced_kind { SYNCED_WRITE = 1, SYNCED_HOLE = 2, SYNCED_SIZE = 3 };
struct synced_record {
	enum synced_kind kind;
	uint64_t off;	      /* SYNCED_SIZE: the size */
	uint64_t len;	      /* of a write at least 1; SYNCED_SIZE: not used */
	const uint8_t *bytes; /* SYNCED_WRITE: decoded, they are the value's */
};
#define RECORD_SYNCED_MAX(len) (24u + (len)) /* of a write of len bytes */
size_t synced_record_encode(const struct synced_record *record, uint8_t *buf);
int synced_record_decode(const uint8_t *buf, size_t len, struct synced_record *out);

/* KEY_POOL "counts". */
struct pool_counts {
	uint64_t objects;
	uint64_t object_ids, frame_ids,
		segment_ids; /* no id at or above these has been given out */
	uint64_t log_epoch;
	uint64_t features; /* that whoever opens the pool must know; 32 bits */
};
#define POOL_FEATURE_PLAIN 1u /* objects may be plain */
#define RECORD_COUNTS_LEN  48u
void pool_counts_encode(const struct pool_counts *counts, uint8_t *buf);
int pool_counts_decode(const uint8_t *buf, size_t len, struct pool_counts *out);

#endif
