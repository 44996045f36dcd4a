/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A mount: the kernel's session over an open struct fs, from mount(2) to the end of it.
 *
 * Signals: SIGTERM and SIGINT must be blocked in every thread before mount_run(), which waits for
 * them on a thread of its own and then unmounts: what the kernel holds is written back first, also
 * when files are still open (those then lose their filesystem). SIGHUP, blocked as well, makes it
 * read the configuration again.
 */
#ifndef TERRACE_FS_FUSE_MOUNT_H
#define TERRACE_FS_FUSE_MOUNT_H

#include <stdbool.h>

struct fs;
struct mount;

struct mount_options {
	const char *point;  /* absolute path of a folder */
	const char *source; /* shown by mount(8) and df: the pool's config file */
	const char *kernel; /* options for the kernel and libfuse ("ro,noexec"), or NULL */
	bool allow_other;
	bool writeback;	  /* the kernel's writeback cache */
	bool io_uring;	  /* FUSE over io_uring where the kernel offers it */
	bool passthrough; /* of plain files; without writeback then */
	bool dirsync;	  /* a change of names is durable when it is answered */
	bool debug;
};

/* Mounts. -EPERM, -EIO and the like; libfuse has said why. The kernel's requests wait for
 * mount_run(). */
int mount_new(struct fs *fs, const struct mount_options *options, struct mount **out);
/* Serves until unmounted. Returns 0 or a negative errno of the device. */
int mount_run(struct mount *mount);
/* Unmounts if it still stands. */
void mount_free(struct mount *mount);

#endif
