/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys of the metadata store: one type byte, then big-endian fields, so that byte order is the
 * order a walk wants. The list is append-only; the records behind the keys are in
 * terrace-format(5).
 */
#ifndef TERRACE_TIERS_KEYS_H
#define TERRACE_TIERS_KEYS_H

#include <stddef.h>
#include <stdint.h>

#include "compress/bytes.h"

enum key_type {
	KEY_POOL = 'P',	   /* P name: pool-wide counters and settings */
	KEY_OBJECT = 'I',  /* I object(8): object record: size, attributes of fs/, inline extents */
	KEY_DENTRY = 'D',  /* D folder(8) cookie(8): a name, owned by fs/ (fs/dir.h) */
	KEY_XATTR = 'X',   /* X object(8) name: owned by fs/, deleted with the object */
	KEY_SYMLINK = 'L', /* L object(8): target, owned by fs/, deleted with the object */
	KEY_EXTENT =
		'E', /* E object(8) end(8): an extent of an object with many, by where it ends */
	KEY_FRAME = 'F',   /* F frame(8): where a frame is, its lengths, codec, live bytes */
	KEY_PLACED = 'S',  /* S segment(8) offset(8) -> frame(8): frames in the order they lie */
	KEY_SEGMENT = 'G', /* G segment(8): tier, place, length, accounts */
	KEY_ORPHAN =
		'O', /* O object(8): to be deleted: unlinked while open, or too big for one txn */
	KEY_SYNCED =
		'W', /* W object(8) number(8): bytes synced into the journal (tiers/synced.h) */
	KEY_SHARED = 'B', /* B frame(8) object(8) offset(8) -> length(8): a user of the frame that
			     its own table of extents does not name */
};

#define KEY_LEN_1 9u  /* type and one number */
#define KEY_LEN_2 17u /* type and two */
#define KEY_LEN_3 25u

static inline size_t key_1(uint8_t *buf, enum key_type type, uint64_t a)
{
	buf[0] = (uint8_t)type;
	put_be64(buf + 1, a);
	return KEY_LEN_1;
}

static inline size_t key_2(uint8_t *buf, enum key_type type, uint64_t a, uint64_t b)
{
	key_1(buf, type, a);
	put_be64(buf + KEY_LEN_1, b);
	return KEY_LEN_2;
}

static inline size_t key_3(uint8_t *buf, enum key_type type, uint64_t a, uint64_t b, uint64_t c)
{
	key_2(buf, type, a, b);
	put_be64(buf + KEY_LEN_2, c);
	return KEY_LEN_3;
}

#endif
