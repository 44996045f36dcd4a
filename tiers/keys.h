/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys of the metadata store: one type byte, then big-endian fields, so that byte order is the
 * order a walk wants. The list is append-only; the records behind the keys are in
 * terrace-format(5).
 */
#ifndef TERRACE_TIERS_KEYS_H
#define TERRACE_TIERS_KEYS_H

#include <stdint.h>

enum key_type {
	KEY_POOL = 'P',	   /* P name: pool-wide counters and settings */
	KEY_OBJECT = 'I',  /* I object(8): object record: size, attributes of fs/, inline extents */
	KEY_DENTRY = 'D',  /* D folder(8) cookie(8): a name, owned by fs/ (fs/dir.h) */
	KEY_XATTR = 'X',   /* X object(8) name: owned by fs/ */
	KEY_SYMLINK = 'L', /* L object(8): target, owned by fs/ */
	KEY_EXTENT = 'E',  /* E object(8) offset(8): an extent of an object with many */
	KEY_FRAME = 'F',   /* F frame(8): where a frame is, its lengths, codec, live bytes */
	KEY_PLACED = 'S',  /* S segment(8) offset(8) -> frame(8): frames in the order they lie */
	KEY_SEGMENT = 'G', /* G segment(8): tier, place, length, live bytes */
	KEY_ORPHAN =
		'O', /* O object(8): to be deleted: unlinked while open, or too big for one batch */
	KEY_SHARED = 'B', /* B frame(8) object(8) offset(8) -> length: who else than the frame's own
			     table uses it */
};

#endif
