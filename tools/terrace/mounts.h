/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which mounted pool a path belongs to: /proc/self/mountinfo, file systems of type
 * fuse.terracefs. One thread.
 */
#ifndef TERRACE_TOOLS_MOUNTS_H
#define TERRACE_TOOLS_MOUNTS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "tools/terrace/terrace.h"

struct mount {
	char *point;  /* where it is mounted */
	char *root;   /* the part of the pool that is: "/" but for bind mounts */
	char *source; /* the pool's configuration file */
	dev_t device;
};

/*
 * The mount that PATH is on and PATH's name from the pool's root ("/a/b"; "/" is the root itself).
 * Symlinks are followed. Says what is wrong on stderr. inside may be NULL.
 */
enum exit_code mount_of_path(const char *path, struct mount *out, char **inside);
/*
 * The mount meant by MNT: a path on it, its pool's name, or NULL for the only one there is.
 * `dead`: a mount whose daemon is gone will do.
 */
enum exit_code mount_find(const char *name, bool dead, struct mount *out);
/* Has its daemon died? */
bool mount_is_dead(const struct mount *mount);
/* Is the same pool still mounted somewhere (a bind mount, another layer)? where: one such place. */
bool mount_remains(const struct mount *mount, char *where, size_t cap);
void mount_release(struct mount *mount);

#endif
