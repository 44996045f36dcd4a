/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The attributes of an inode and their stored form: the blob that tiers/object.h keeps for us.
 * Layout in terrace-format(5), "inode attributes". Pure functions, any thread.
 */
#ifndef TERRACE_FS_ATTR_H
#define TERRACE_FS_ATTR_H

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#define ATTR_LEN     104u /* stored bytes of version 1 */
#define ATTR_LEN_MIN 96u  /* ... as older programs wrote it */

enum attr_flag { /* so that the common inode costs no look-up; may say yes when
		    there is no more */
		 ATTR_HAS_XATTR = 1u << 0,  /* at least one key X of this inode */
		 ATTR_HAS_ACL = 1u << 1,    /* system.posix_acl_access */
		 ATTR_HAS_DACL = 1u << 2,   /* system.posix_acl_default */
		 ATTR_HAS_CAPS = 1u << 3,   /* security.capability, to be dropped by a write */
		 ATTR_HAS_POLICY = 1u << 4, /* a pin or codec set on this very inode */
};

struct attr_time {
	int64_t sec;
	uint32_t nsec;
};

struct attr {
	uint32_t mode; /* type and permission bits */
	uint32_t uid, gid;
	uint32_t nlink;
	uint32_t flags;	  /* enum attr_flag */
	uint64_t special; /* device number; length of a symlink's target */
	uint64_t parent;  /* the folder it was made in, linked or moved to last; 0 = not known */
	uint64_t cookie;  /* of its name there (fs/dir.h), a hint: 0 = not known; the entry may be
			     gone or another's */
	struct attr_time atime, mtime, ctime, btime;
	int64_t stamp_ns; /* object_write_time() up to this is contained in mtime and ctime */
};

void attr_encode(const struct attr *attr, uint8_t buf[static ATTR_LEN]);
/* Takes attributes without a cookie too. -EUCLEAN: too short, a version this program does not know,
 * or a time of a second or more beyond its seconds. */
int attr_decode(const void *buf, size_t len, struct attr *out);

/* Tells an inode from an earlier one that had its number (after a power loss, numbers that were not
 * durable yet are given again). From the time of birth, in ms; it wraps after 52 days. */
uint32_t attr_generation(const struct attr *attr);
/* Everything of st but st_size and st_blocks of regular files; st_dev is the generation. */
void attr_to_stat(const struct attr *attr, uint64_t id, struct stat *out);

/* The clock of the kernel's own time stamps (CLOCK_REALTIME_COARSE): a finer one would let a time
 * set here be later than one that the kernel sets afterwards. */
struct attr_time attr_now(void);
struct attr_time attr_time_of_ns(int64_t ns);
int64_t attr_time_ns(struct attr_time time); /* saturates */

/* Takes suid away, and sgid where a group may execute: what a write, truncate or chown does. */
void attr_kill_suidgid(struct attr *attr);

#endif
