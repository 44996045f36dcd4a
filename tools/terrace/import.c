// SPDX-License-Identifier: Apache-2.0
/*
 * The walk, and what is done with each entry. Both trees are walked by descriptors of their
 * folders, so that paths may be of any depth and what is renamed meanwhile is not mistaken.
 *
 * Further names of a file are links to the first name that this run has seen, which is there and
 * whole at that moment, whether this run or an earlier one has copied it.
 */
#include "tools/terrace/import.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/deep.h"
#include "tools/terrace/numbers.h"

#define TRIES_CHANGED 3 /* of a file that changes while it is copied */

struct walk {
	const struct import *import;
	struct import_counts *counts;
	bool scan;		/* counts only */
	struct deep_path path;	/* of the entry, from the top: for messages and links */
	dev_t top_dev;		/* the destination's folder: */
	ino_t top_ino;		/* not to be imported into itself */
	struct numbers numbers; /* (device, inode) of files with several names */
	char **names;		/* by number: the first name */
	size_t names_cap;
	unsigned depth, depth_max;
	uint64_t left; /* bytes of the current file that have still to be copied */
};

static bool is_stopped(const struct walk *walk)
{
	return walk->import->stop && *walk->import->stop;
}

static void tell(struct walk *walk)
{
	if (walk->import->advanced)
		walk->import->advanced(walk->import->arg, walk->counts->bytes - walk->left);
}

/* What every further file would meet, too. */
static bool is_fatal(int r)
{
	return r == -ENOSPC || r == -EDQUOT || r == -EROFS || r == -ENOTCONN || r == -ECANCELED ||
	       r == -ENOMEM || r == -EINTR;
}

/* Reports; what ends the run is returned, else 0. */
static int fail(struct walk *walk, int r, const char *what)
{
	if (r == -EINTR)
		return r;
	walk->counts->failed++;
	walk->import->failed(walk->import->arg, walk->path.len ? walk->path.text : ".", what, -r);
	return is_fatal(r) ? r : 0;
}

/* Links. ----------------------------------------------------------------------------------------
 */

/* *first: the name that the file was first seen under, NULL: this is the first. */
static int first_name(struct walk *walk, const struct stat *st, const char **first)
{
	uint32_t number;
	int r;

	*first = NULL;
	r = numbers_get(&walk->numbers, st->st_dev, st->st_ino, &number);
	if (r)
		return r;
	if (number >= walk->names_cap) {
		size_t cap = walk->names_cap ? walk->names_cap * 2 : 64;
		char **more = realloc(walk->names, cap * sizeof(*more));

		if (!more)
			return -ENOMEM;
		memset(more + walk->names_cap, 0, (cap - walk->names_cap) * sizeof(*more));
		walk->names = more;
		walk->names_cap = cap;
	}
	*first = walk->names[number];
	if (*first)
		return 0;
	walk->names[number] = strdup(walk->path.text);
	return walk->names[number] ? 0 : -ENOMEM;
}

/* The first name could not be imported: the next one takes its place. */
static void forget_first(struct walk *walk, const struct stat *st)
{
	uint32_t number;

	if (st->st_nlink < 2 || numbers_get(&walk->numbers, st->st_dev, st->st_ino, &number) ||
	    !walk->names[number])
		return;
	free(walk->names[number]);
	walk->names[number] = NULL;
}

static int link_again(struct walk *walk, const struct import_side *to, const char *name,
		      const char *first, const struct stat *there, const char **what)
{
	const struct import *import = walk->import;
	const char *rest;
	struct stat st;
	int folder, r = 0;

	*what = "cannot be linked to its other name";
	if (import->dry_run) {
		walk->counts->linked++;
		return 0;
	}
	folder = deep_open(import->to, first, &rest);
	if (folder < 0)
		return folder;
	if (fstatat(folder, rest, &st, AT_SYMLINK_NOFOLLOW))
		r = -errno;
	else if (there && there->st_ino == st.st_ino)
		walk->counts->same++;
	else if ((unlinkat(to->dir, IMPORT_TEMP, 0) && errno != ENOENT) ||
		 linkat(folder, rest, to->dir, IMPORT_TEMP, 0) ||
		 renameat(to->dir, IMPORT_TEMP, to->dir, name))
		r = -errno;
	else
		walk->counts->linked++;
	close(folder);
	return r;
}

/* Entries that are no folders. ------------------------------------------------------------------
 */

static int advanced(void *arg, uint64_t bytes)
{
	struct walk *walk = arg;

	walk->left -= bytes < walk->left ? bytes : walk->left;
	tell(walk);
	return is_stopped(walk);
}

static int make_special(const char *from, const char *temp, const struct stat *st,
			const char **what)
{
	char target[4096 + 1];
	ssize_t n;

	*what = "cannot be made";
	if (!S_ISLNK(st->st_mode))
		return mknod(temp, st->st_mode & (S_IFMT | 0600), st->st_rdev) ? -errno : 0;
	n = readlink(from, target, sizeof(target) - 1);
	if (n < 0)
		return -errno;
	target[n] = '\0';
	return symlink(target, temp) ? -errno : 0;
}

static bool same_target(const char *from, const char *to)
{
	char a[4096], b[4096];
	ssize_t n = readlink(from, a, sizeof(a));

	return n >= 0 && readlink(to, b, sizeof(b)) == n && !memcmp(a, b, (size_t)n);
}

/* Invariant 2. */
static bool is_same(const struct walk *walk, const char *from, const char *to,
		    const struct stat *st, const struct stat *there)
{
	if (!there || (st->st_mode & S_IFMT) != (there->st_mode & S_IFMT))
		return false;
	if (S_ISLNK(st->st_mode))
		return same_target(from, to);
	if (!S_ISREG(st->st_mode))
		return st->st_rdev == there->st_rdev;
	if (st->st_size != there->st_size || st->st_mtim.tv_sec != there->st_mtim.tv_sec ||
	    st->st_mtim.tv_nsec != there->st_mtim.tv_nsec)
		return false;
	return !walk->import->checksum || import_same_data(from, to);
}

/* Invariant 1. */
static int copy_new(struct walk *walk, const char *from, const struct import_side *to,
		    const struct stat *st, const char **what)
{
	struct import_side temp;
	bool set;
	int r;

	import_side_init(&temp, to->dir, IMPORT_TEMP);
	if (unlink(temp.path) && errno != ENOENT) {
		*what = "what an earlier import left beside it cannot be removed";
		return -errno;
	}
	walk->left = S_ISREG(st->st_mode) ? (uint64_t)st->st_size : 0;
	r = S_ISREG(st->st_mode) ? import_copy_data(from, temp.path, st, advanced, walk, what)
				 : make_special(from, temp.path, st, what);
	walk->left = 0;
	if (!r)
		r = import_attributes(from, temp.path, st, false, &set, what);
	if (!r && rename(temp.path, to->path)) {
		*what = "cannot take its name";
		r = -errno;
	}
	if (r)
		unlink(temp.path);
	return r;
}

static int copy_entry(struct walk *walk, const char *from, const struct import_side *to,
		      struct stat *st, const char **what)
{
	int r = 0;

	for (int i = 0; i < TRIES_CHANGED && !walk->import->dry_run; i++) {
		r = copy_new(walk, from, to, st, what);
		if (r != -EAGAIN || lstat(from, st) || !S_ISREG(st->st_mode))
			break;
	}
	if (r == -EAGAIN)
		*what = "changes while it is copied; import it again";
	if (r)
		return r;
	walk->counts->copied++;
	if (S_ISREG(st->st_mode))
		walk->counts->copied_bytes += (uint64_t)st->st_size;
	return 0;
}

/* Not a part of the walk's frames: its buffers are large, and folders may be thousands deep. */
__attribute__((noinline)) static int import_entry(struct walk *walk, const struct import_side *from,
						  const struct import_side *to, const char *name,
						  struct stat *st)
{
	const char *what = "cannot be imported", *first = NULL;
	struct stat buf, *there = NULL;
	bool set;
	int r = 0;

	if (to->dir >= 0 && !lstat(to->path, &buf))
		there = &buf;
	if (there && S_ISDIR(there->st_mode))
		return fail(walk, -EISDIR, "a folder is in its place");
	if (st->st_nlink > 1)
		r = first_name(walk, st, &first);
	if (!r && first) {
		r = link_again(walk, to, name, first, there, &what);
		return r ? fail(walk, r, what) : 0;
	}
	if (!r && is_same(walk, from->path, to->path, st, there)) {
		r = import_attributes(from->path, to->path, st, walk->import->dry_run, &set, &what);
		walk->counts->attributes += !r && set;
		walk->counts->same += !r && !set;
	} else if (!r) {
		r = copy_entry(walk, from->path, to, st, &what);
	}
	if (r)
		forget_first(walk, st);
	return r ? fail(walk, r, what) : 0;
}

/* Folders. --------------------------------------------------------------------------------------
 */

static int walk_folder(struct walk *walk, int from, int to);

/* The destination's folder, made when it is missing; -1 in a dry run when it is. */
static int open_folder(struct walk *walk, const struct import_side *to, const char *name, int *out,
		       const char **what)
{
	*out = -1;
	if (to->dir < 0)
		return 0;
	*what = "the folder cannot be opened in the pool";
	*out = openat(to->dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (*out >= 0)
		return 0;
	if (errno == ENOTDIR || errno == ELOOP)
		*what = "a file is in the folder's place";
	if (errno != ENOENT)
		return -errno;
	if (walk->import->dry_run) {
		walk->counts->made++;
		return 0;
	}
	*what = "the folder cannot be made";
	if (mkdirat(to->dir, name, 0700))
		return -errno;
	walk->counts->made++;
	*out = openat(to->dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return *out < 0 ? -errno : 0;
}

static int import_folder(struct walk *walk, const struct import_side *from,
			 const struct import_side *to, const char *name, const struct stat *st)
{
	const char *what = "the folder cannot be read";
	uint64_t made = walk->counts->made;
	int in = -1, out = -1, r = 0;
	bool set;

	if (st->st_dev == walk->top_dev && st->st_ino == walk->top_ino)
		return 0; /* where all this goes to */
	if (walk->depth >= walk->depth_max)
		return walk->scan ? 0 : fail(walk, -ELOOP, "lies too deep");
	in = openat(from->dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (in < 0)
		r = -errno;
	if (!r && !walk->scan)
		r = open_folder(walk, to, name, &out, &what);
	made = walk->counts->made - made;
	if (r) {
		if (in >= 0)
			close(in);
		return walk->scan ? 0 : fail(walk, r, what);
	}
	walk->depth++;
	r = walk_folder(walk, in, out);
	walk->depth--;
	if (!r && out >= 0) { /* last: what was made in it has moved its times */
		r = import_attributes(from->path, to->path, st, walk->import->dry_run, &set, &what);
		walk->counts->attributes += !r && set && !made;
		r = r ? fail(walk, r, what) : 0;
	}
	if (out >= 0)
		close(out);
	return r;
}

static int take(struct walk *walk, int from, int to, const char *name)
{
	struct import_side source, target;
	struct stat st;

	if (is_stopped(walk))
		return -EINTR;
	import_side_init(&source, from, name);
	import_side_init(&target, to, name);
	if (lstat(source.path, &st))
		return walk->scan || errno == ENOENT ? 0
						     : fail(walk, -errno, "cannot be looked at");
	if (S_ISDIR(st.st_mode)) {
		walk->counts->folders++;
		return import_folder(walk, &source, &target, name, &st);
	}
	if (S_ISREG(st.st_mode)) {
		walk->counts->files++;
		walk->counts->bytes += (uint64_t)st.st_size;
	} else {
		walk->counts->others++;
	}
	if (walk->scan)
		return 0;
	if (!strcmp(name, IMPORT_TEMP))
		return fail(walk, -EINVAL, "has the name that imports use; not imported");
	tell(walk);
	return import_entry(walk, &source, &target, name, &st);
}

/* Takes `from` over. */
static int walk_folder(struct walk *walk, int from, int to)
{
	DIR *dir = fdopendir(from);
	struct dirent *entry;
	int r = 0;

	if (!dir) {
		close(from);
		return -ENOMEM;
	}
	while (!r && (errno = 0, entry = readdir(dir)) != NULL) {
		const char *name = entry->d_name;
		size_t before = walk->path.len;

		if (!strcmp(name, ".") || !strcmp(name, ".."))
			continue;
		r = deep_push(&walk->path, name);
		if (r)
			break;
		r = take(walk, from, to, name);
		deep_cut(&walk->path, before);
	}
	if (!r && errno && !walk->scan)
		r = fail(walk, -errno, "the folder cannot be read to its end");
	closedir(dir);
	return r;
}

static int run(const struct import *import, struct import_counts *out, bool scan)
{
	struct walk walk = {
		.import = import, .counts = out, .scan = scan, .depth_max = deep_levels()};
	const char *what = "the folder cannot be read";
	struct import_side from, to;
	struct stat st;
	bool set;
	int fd, r;

	memset(out, 0, sizeof(*out));
	if (import->to >= 0 && !fstat(import->to, &st)) {
		walk.top_dev = st.st_dev;
		walk.top_ino = st.st_ino;
	}
	r = deep_begin(&walk.path);
	fd = r ? -1 : openat(import->from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fstat(import->from, &st)) {
		r = r ? r : -errno;
		if (fd >= 0)
			close(fd);
		goto out;
	}
	r = walk_folder(&walk, fd, import->to);
	if (!r && !scan && import->to >= 0) {
		import_side_init(&from, import->from, ".");
		import_side_init(&to, import->to, ".");
		r = import_attributes(from.path, to.path, &st, import->dry_run, &set, &what);
		out->attributes += !r && set;
		r = r ? fail(&walk, r, what) : 0;
	}
	if (!r && !scan && !import->dry_run && fsync(import->root))
		r = fail(&walk, -errno, "cannot be made durable");
out:
	for (size_t i = 0; i < walk.names_cap; i++)
		free(walk.names[i]);
	free(walk.names);
	numbers_release(&walk.numbers);
	free(walk.path.text);
	return r;
}

void import_scan(const struct import *import, struct import_counts *out)
{
	run(import, out, true);
}

int import_run(const struct import *import, struct import_counts *out)
{
	return run(import, out, false);
}
