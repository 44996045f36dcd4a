/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The label of a directory tier: PATH/terrace.tier, which says whose place this is. Layout:
 * terrace-format(5), TIER LABEL. It keeps a pool from writing into another pool's directory, or
 * into the empty mount point of a disk that is not there.
 *
 * Calls return 0 or a negative errno and log one line that says what, where, and what to do.
 * Threads: any; two formats of one directory at once are the caller's mistake.
 */
#ifndef TERRACE_TIERS_TIER_LABEL_H
#define TERRACE_TIERS_TIER_LABEL_H

#include <stddef.h>
#include <stdint.h>

#define TIER_LABEL_NAME "terrace.tier"
#define TIER_LABEL_LEN	4096u /* one block, so that a reader with O_DIRECT needs no edge case */

struct tier_label {
	uint8_t pool_uuid[16];
	uint32_t tier_id;
	uint32_t place;	  /* index of this directory among the tier's */
	uint32_t nplaces; /* of the tier, when the label was written; informative */
};

/* buf has TIER_LABEL_LEN bytes. */
void tier_label_encode(const struct tier_label *label, void *buf);
/* -ENODATA no label, -EBADMSG damaged, -ENOTSUP newer format. Logs nothing. */
int tier_label_decode(const void *buf, size_t len, struct tier_label *out);

/* Writes the label of a directory durably: all of it or none. */
int tier_label_write(const char *path, const struct tier_label *label);
/* -ENOENT no directory, -ENODATA no label there, -EBADMSG, -ENOTSUP, -EACCES. */
int tier_label_read(const char *path, struct tier_label *out);
/* 0 no label in the directory, -EEXIST there is one, -ENOTEMPTY in a folder above it, -ENOENT,
 * -ENOTDIR, -EACCES, -EROFS. */
int tier_label_absent(const char *path);
/* As tier_label_read(), and it is that of a place of this pool and tier; else -ENOTUNIQ. */
int tier_label_check(const char *path, const uint8_t *pool_uuid, uint32_t tier_id,
		     struct tier_label *out);
/* The same for one who only reads: a directory that may not be written to will do. */
int tier_label_check_reading(const char *path, const uint8_t *pool_uuid, uint32_t tier_id,
			     struct tier_label *out);
/* As tier_label_check(), without a word. */
int tier_label_look(const char *path, const uint8_t *pool_uuid, uint32_t tier_id,
		    struct tier_label *out);
/* As tier_label_absent(), but what is left of a place of this same pool and tier does not count. */
int tier_label_free(const char *path, const uint8_t *pool_uuid, uint32_t tier_id);

#endif
