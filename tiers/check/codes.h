/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kinds of damage that terrace check knows, with the codes that terrace-check(8) lists. Codes
 * never change their meaning; new ones are appended to their group.
 */
#ifndef TERRACE_CHECK_CODES_H
#define TERRACE_CHECK_CODES_H

enum check_code {
	/* metadata store */
	CHECK_TREE = 1,
	CHECK_VALUE = 2,
	CHECK_JOURNAL = 3,
	CHECK_KEY = 4,
	CHECK_COUNTS = 5,
	CHECK_COUNT_OBJECTS = 6,
	CHECK_LIMITS = 7,
	CHECK_RAM_LOG = 8,
	CHECK_COPY = 9,
	/* directories of the tiers */
	CHECK_DIRECTORY = 21,
	CHECK_LABEL_MISSING = 22,
	CHECK_LABEL_DAMAGED = 23,
	CHECK_LABEL_FOREIGN = 24,
	/* objects */
	CHECK_OBJECT = 101,
	CHECK_EXTENT = 102,
	CHECK_EXTENTS_ALONE = 103,
	CHECK_OVERLAP = 104,
	CHECK_BEYOND_SIZE = 105,
	CHECK_LOST = 106,
	CHECK_OUTSIDE_FRAME = 107,
	CHECK_STORED = 108,
	CHECK_MAP_KIND = 109,
	CHECK_ORPHAN = 110,
	CHECK_SYNCED_ALONE = 111,
	CHECK_SYNCED = 112,
	CHECK_SYNCED_GAP = 113,
	/* frames */
	CHECK_FRAME = 201,
	CHECK_LIVE = 202,
	CHECK_UNUSED = 203,
	CHECK_SHARED_FLAG = 204,
	CHECK_SHARED = 205,
	CHECK_USER_UNKNOWN = 206,
	CHECK_FRAMES_OVERLAP = 207,
	CHECK_HEAT = 208,
	CHECK_FRAME_HEADER = 209,
	CHECK_FRAME_DATA = 210,
	CHECK_FOUND = 211,
	CHECK_OTHER_BYTES = 212,
	/* segments */
	CHECK_PLACED_MISSING = 301,
	CHECK_PLACED = 302,
	CHECK_SEGMENT_MISSING = 303,
	CHECK_SEGMENT = 304,
	CHECK_ACCOUNTS = 305,
	CHECK_SEGMENT_LEN = 306,
	CHECK_FRAME_PLACE = 307,
	CHECK_FILE_MISSING = 308,
	CHECK_FILE_SHORT = 309,
	CHECK_FILE_HEADER = 310,
	CHECK_FILE_STRAY = 311,
	CHECK_SEGMENT_PLACE = 312,
	CHECK_PLAIN_MISSING = 313,
	CHECK_PLAIN_STRAY = 314,
	/* names */
	CHECK_NAME = 401,
	CHECK_NAME_DANGLING = 402,
	CHECK_NAME_TYPE = 403,
	CHECK_NAME_COOKIE = 404,
	CHECK_NAME_GAP = 405,
	CHECK_NAME_TWICE = 406,
	CHECK_FOLDER_MISSING = 407,
	CHECK_ATTRIBUTES = 408,
	CHECK_LINKS = 409,
	CHECK_NAMELESS = 410,
	CHECK_ORPHAN_NAMED = 411,
	CHECK_FOLDER_NAMES = 412,
	CHECK_FOLDER_LOOP = 413,
	CHECK_LINK_TARGET = 414,
	CHECK_LINK_ALONE = 415,
	CHECK_XATTR_ALONE = 416,
	CHECK_FLAGS = 417,
	CHECK_PARENT = 418,
	CHECK_ROOT = 419,
	CHECK_SETTINGS = 420,
	CHECK_JOB = 421,
};

struct check_kind {
	enum check_code code;
	const char *consequence; /* what it means for who uses the pool */
	const char *repair;	 /* what --repair does; NULL: nothing can be done */
};

/* Never NULL. */
const struct check_kind *check_kind_of(enum check_code code);
/* All of them; *n of them. For the manual's test. */
const struct check_kind *check_kinds(unsigned *n);

#endif
