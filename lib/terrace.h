/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libterrace: the objects of a Terrace pool from within a program, without a mount. libterrace(3)
 * is the manual.
 *
 * An object is the content of a regular file. Its id is the file's inode number, never given twice;
 * its path begins at the pool's root, with or without a slash. What is put here is an ordinary file
 * at the next mount, and the other way round.
 *
 * All calls return 0 or a negative errno. Any thread may call anything between terrace_open() and
 * terrace_close(). Strings and buffers stay the caller's. Structs may grow at their end only with a
 * new ABI; fields named reserved are 0.
 */
#ifndef TERRACE_H
#define TERRACE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TERRACE_API_VERSION 0x000100u /* 0.1.0; terrace_version() is the library's */

struct terrace; /* an open pool */

enum terrace_log_level { TERRACE_LOG_ERROR, TERRACE_LOG_WARNING, TERRACE_LOG_INFO };

struct terrace_options {
	/* Bits of new files and folders; 0: 0644 and 0755. The umask does not count. */
	uint32_t file_mode, folder_mode;
	/* One line each, from any thread; of the process, not of one pool. NULL: errors and
	 * warnings to the standard error. */
	void (*log)(void *arg, enum terrace_log_level level, const char *line);
	void *log_arg;
	uint64_t reserved[4];
};

/* Of the library that runs, as TERRACE_API_VERSION. */
uint32_t terrace_version(void);

/*
 * pool: a configuration file, or NAME for /etc/terrace/NAME.conf. options may be NULL. -EBUSY: it
 * is mounted or open elsewhere; -ENOENT, -EACCES, -EINVAL: the configuration, or a folder of it;
 * -EUCLEAN: damaged. The reason is logged. Not before a fork() whose child goes on with it.
 */
int terrace_open(const char *pool, const struct terrace_options *options, struct terrace **out);
/* Writes everything to its tiers and closes. No other call may be under way. An error: what could
 * not be written is kept for the next opening. The handle is gone in any case. */
int terrace_close(struct terrace *pool);

struct terrace_info {
	uint64_t id;
	uint64_t size;	  /* bytes */
	uint64_t stored;  /* bytes it takes, as coded */
	int64_t mtime_ns; /* since 1970 */
	uint32_t mode;	  /* as st_mode: files, folders, links, devices */
	uint32_t links;	  /* names */
	uint64_t reserved[2];
};
int terrace_find(struct terrace *pool, const char *path, struct terrace_info *out);
int terrace_info(struct terrace *pool, uint64_t id, struct terrace_info *out);

/*
 * Copies up to len bytes from byte off of the object; *got < len only at its end. -ENOENT, -EISDIR,
 * -EINVAL (neither file nor folder), -EIO (a damaged range; logged). The bytes are those of one
 * moment when the object is at most 64 KiB.
 */
int terrace_get(struct terrace *pool, uint64_t id, void *buf, size_t len, uint64_t off,
		size_t *got);
int terrace_get_path(struct terrace *pool, const char *path, void *buf, size_t len, uint64_t off,
		     size_t *got);

enum terrace_flag {
	TERRACE_SYNC = 1u << 0,	   /* on media when the call returns: survives power loss */
	TERRACE_NEW = 1u << 1,	   /* put: -EEXIST when the name is taken */
	TERRACE_FOLDERS = 1u << 2, /* put: makes the folders that are missing */
};

/*
 * Makes the file at path with these bytes, all or nothing: who reads it sees what was there before
 * or all of the new, also after the process has died or power was lost. What was there is replaced
 * as by rename(2): it is a new object with a new id (*id, may be NULL). -ENOENT: no such folder;
 * -EISDIR; -ENOSPC; -EEXIST; -ELOOP: a symbolic link is on the way.
 */
int terrace_put(struct terrace *pool, const char *path, const void *buf, size_t len, unsigned flags,
		uint64_t *id);
/* Overwrites the content of an object that exists, in place: id, names and attributes stay. Not one
 * step for those who read meanwhile, or when the process dies: bytes first, then the size. */
int terrace_put_id(struct terrace *pool, uint64_t id, const void *buf, size_t len, unsigned flags);

/* Removes a file's name; the object goes with the last one. -EISDIR: a folder. By id: -EMLINK when
 * it has several names, or had. */
int terrace_delete(struct terrace *pool, const char *path, unsigned flags);
int terrace_delete_id(struct terrace *pool, uint64_t id, unsigned flags);

/*
 * Many at once: each item on its own, in order, its result in error; the call returns the first
 * error, or 0. With TERRACE_SYNC, all are made durable together at the end; where that fails, the
 * call returns the reason and the items keep theirs. An item is named by its path, or where that is
 * NULL by its id. n: any number; items may be as large as single ones.
 */
struct terrace_item {
	const char *path;
	uint64_t id; /* put by path, get and delete by path: set to the object's */
	void *buf;   /* get: written to; put: only read; delete: not used */
	size_t len;  /* get: room, and then bytes got; put: bytes */
	int error;
	uint32_t reserved;
};
int terrace_get_many(struct terrace *pool, struct terrace_item *items, size_t n);
int terrace_put_many(struct terrace *pool, struct terrace_item *items, size_t n, unsigned flags);
int terrace_delete_many(struct terrace *pool, struct terrace_item *items, size_t n, unsigned flags);

/* Moves objects to the tier of this name, now, and returns when they are there; "ram": decodes them
 * into memory. -EINVAL: no such tier; -ENOSPC; ids that are no more are skipped. */
int terrace_move(struct terrace *pool, const uint64_t *ids, size_t n, const char *tier);

/* Everything that returned before is durable. */
int terrace_sync(struct terrace *pool);

struct terrace_stats {	      /* since the pool was opened */
	uint64_t gets;	      /* of small objects, served from the memory of whole objects ... */
	uint64_t misses;      /* ... and those that were not */
	uint64_t cache_bytes; /* that memory */
	uint64_t objects;     /* in it */
	uint64_t buffers_reused, buffers_made; /* of it */
	uint64_t reserved[4];
};
int terrace_stats(struct terrace *pool, struct terrace_stats *out);

#ifdef __cplusplus
}
#endif

#endif
