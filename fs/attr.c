// SPDX-License-Identifier: Apache-2.0
/*
 * Version 1 of the stored attributes. A later version is longer or has another number; this program
 * refuses what it does not know rather than lose what it cannot write back.
 */
#include "fs/attr.h"

#include <errno.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <time.h>

#include "compress/bytes.h"

#define ATTR_VERSION 1u
#define NS_PER_SEC   1000000000u
#define BLOCK_BYTES  131072 /* st_blksize: a frame of the fast tier */
#define FOLDER_BYTES 4096   /* st_size of a folder; some programs take 0 for "cannot be read" */

_Static_assert(4 + 5 * 4 + 2 * 8 + 4 * 12 + 8 == ATTR_LEN_MIN && ATTR_LEN_MIN + 8 == ATTR_LEN,
	       "layout of version 1");

static uint8_t *put_time(uint8_t *p, struct attr_time time)
{
	put_le64(p, (uint64_t)time.sec);
	put_le32(p + 8, time.nsec);
	return p + 12;
}

/* NULL: not a time, or one before it was not. */
static const uint8_t *get_time(const uint8_t *p, struct attr_time *out)
{
	if (!p || get_le32(p + 8) >= NS_PER_SEC)
		return NULL;
	out->sec = (int64_t)get_le64(p);
	out->nsec = get_le32(p + 8);
	return p + 12;
}

void attr_encode(const struct attr *attr, uint8_t buf[static ATTR_LEN])
{
	uint8_t *p = buf;

	put_le32(p, ATTR_VERSION);
	put_le32(p + 4, attr->mode);
	put_le32(p + 8, attr->uid);
	put_le32(p + 12, attr->gid);
	put_le32(p + 16, attr->nlink);
	put_le32(p + 20, attr->flags);
	put_le64(p + 24, attr->special);
	put_le64(p + 32, attr->parent);
	p = put_time(p + 40, attr->atime);
	p = put_time(p, attr->mtime);
	p = put_time(p, attr->ctime);
	p = put_time(p, attr->btime);
	put_le64(p, (uint64_t)attr->stamp_ns);
	put_le64(p + 8, attr->cookie);
}

int attr_decode(const void *buf, size_t len, struct attr *out)
{
	const uint8_t *p = buf;

	if (len < ATTR_LEN_MIN || get_le32(p) != ATTR_VERSION)
		return -EUCLEAN;
	out->mode = get_le32(p + 4);
	out->uid = get_le32(p + 8);
	out->gid = get_le32(p + 12);
	out->nlink = get_le32(p + 16);
	out->flags = get_le32(p + 20);
	out->special = get_le64(p + 24);
	out->parent = get_le64(p + 32);
	p = get_time(p + 40, &out->atime);
	p = get_time(p, &out->mtime);
	p = get_time(p, &out->ctime);
	p = get_time(p, &out->btime);
	if (!p)
		return -EUCLEAN;
	out->stamp_ns = (int64_t)get_le64(p);
	out->cookie = len >= ATTR_LEN ? get_le64(p + 8) : 0;
	return 0;
}

static struct timespec to_timespec(struct attr_time time)
{
	return (struct timespec){.tv_sec = time.sec, .tv_nsec = (long)time.nsec};
}

#define GENERATION_SHIFT 20 /* about a millisecond */

uint32_t attr_generation(const struct attr *attr)
{
	return (uint32_t)((uint64_t)attr_time_ns(attr->btime) >> GENERATION_SHIFT);
}

void attr_to_stat(const struct attr *attr, uint64_t id, struct stat *out)
{
	memset(out, 0, sizeof(*out));
	out->st_ino = id;
	out->st_dev = attr_generation(attr);
	out->st_mode = attr->mode;
	out->st_nlink = attr->nlink;
	out->st_uid = attr->uid;
	out->st_gid = attr->gid;
	out->st_blksize = BLOCK_BYTES;
	out->st_atim = to_timespec(attr->atime);
	out->st_mtim = to_timespec(attr->mtime);
	out->st_ctim = to_timespec(attr->ctime);
	if (S_ISCHR(attr->mode) || S_ISBLK(attr->mode))
		out->st_rdev = attr->special;
	else if (S_ISLNK(attr->mode))
		out->st_size = (off_t)attr->special;
	else if (S_ISDIR(attr->mode))
		out->st_size = FOLDER_BYTES;
}

struct attr_time attr_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME_COARSE, &ts);
	return (struct attr_time){.sec = ts.tv_sec, .nsec = (uint32_t)ts.tv_nsec};
}

struct attr_time attr_time_of_ns(int64_t ns)
{
	int64_t sec = ns / NS_PER_SEC, rest = ns % NS_PER_SEC;

	if (rest < 0) {
		rest += NS_PER_SEC;
		sec--;
	}
	return (struct attr_time){.sec = sec, .nsec = (uint32_t)rest};
}

int64_t attr_time_ns(struct attr_time time)
{
	int64_t ns;

	if (__builtin_mul_overflow(time.sec, (int64_t)NS_PER_SEC, &ns) ||
	    __builtin_add_overflow(ns, (int64_t)time.nsec, &ns))
		return time.sec < 0 ? INT64_MIN : INT64_MAX;
	return ns;
}

void attr_kill_suidgid(struct attr *attr)
{
	attr->mode &= ~(uint32_t)S_ISUID;
	/* sgid without group execute is mandatory locking's mark, not a privilege: the kernel keeps
	 * it too */
	if (attr->mode & S_IXGRP)
		attr->mode &= ~(uint32_t)S_ISGID;
}
