/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When reading moves the access time. FUSE leaves that to us: the kernel never sets it.
 *
 * Files: the time is kept with the open inode, shown at once (fs_fold_times()) and stored with the
 * last close, an fsync or another change of attributes; a crash forgets it. Folders and links: a
 * transaction at once, which relatime makes rare. A time that cannot be stored is no error.
 *
 * Threads: any.
 */
#ifndef TERRACE_FS_ATIME_H
#define TERRACE_FS_ATIME_H

#include <stdbool.h>
#include <stdint.h>

enum atime_mode {
	ATIME_RELATIVE = 0, /* when it is not after the last change, or a day old */
	ATIME_STRICT,
	ATIME_OFF,
};

struct fs;
struct inode;

/* Before the first request; nodir: never of folders. Without it: relative, of folders too. */
void atime_set_mode(struct fs *fs, enum atime_mode mode, bool nodir);
/* Somebody reads an open file. True when its time has moved: the kernel may know an older one. */
bool atime_file(struct fs *fs, struct inode *inode);
/* Somebody lists a folder or reads a link. */
void atime_touch(struct fs *fs, uint64_t id);

#endif
