// SPDX-License-Identifier: Apache-2.0
/*
 * The floor of the benchmark: a filesystem that keeps everything in memory and has Terrace's
 * session settings, so what any FUSE daemon could reach at best on this machine. No journal, no
 * checksums, no coding, no limits, no permissions beyond the kernel's own.
 *
 *   floor MNT [MB]     in the foreground, until it is unmounted
 *
 * MB: of memory that is made at the start, so that no first write into a page is in a measurement.
 * An inode's number is its address.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>

#include "fs/fuse_init.h"
#include "fs/fuse_session.h"
#include "tests/bench/floor/tree.h"

#define DOTS 2 /* entries of a listing before the names */

static struct node *node_of(fuse_ino_t ino)
{
	return ino == FUSE_ROOT_ID ? root : (struct node *)ino;
}

static void entry_of(struct node *node, struct fuse_entry_param *out)
{
	__atomic_add_fetch(&node->lookups, 1, __ATOMIC_RELAXED);
	*out = (struct fuse_entry_param){.ino = (fuse_ino_t)(uintptr_t)node,
					 .attr = node_stat(node),
					 .attr_timeout = SESSION_CACHE_SECONDS,
					 .entry_timeout = SESSION_CACHE_SECONDS};
}

/* Looking. ------------------------------------------------------------------------------------- */

static void op_init(void *data, struct fuse_conn_info *conn)
{
	(void)data;
	session_want(conn, true);
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *text)
{
	struct fuse_entry_param entry = {.entry_timeout = SESSION_CACHE_SECONDS};
	struct name *name;

	pthread_rwlock_rdlock(&tree_lock);
	name = name_find(node_of(parent), text);
	if (name)
		entry_of(name->node, &entry);
	pthread_rwlock_unlock(&tree_lock);
	fuse_reply_entry(req, &entry);
}

/* tree_lock held exclusively: nobody looks it up in between. */
static void forget(fuse_ino_t ino, uint64_t n)
{
	struct node *node = node_of(ino);

	if (!__atomic_sub_fetch(&node->lookups, n, __ATOMIC_RELAXED))
		node_drop(node);
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t n)
{
	pthread_rwlock_wrlock(&tree_lock);
	forget(ino, n);
	pthread_rwlock_unlock(&tree_lock);
	fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *list)
{
	pthread_rwlock_wrlock(&tree_lock);
	for (size_t i = 0; i < count; i++)
		forget(list[i].ino, list[i].nlookup);
	pthread_rwlock_unlock(&tree_lock);
	fuse_reply_none(req);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat st = node_stat(node_of(ino)); /* the kernel knows it, so it stays */

	(void)fi;
	fuse_reply_attr(req, &st, SESSION_CACHE_SECONDS);
}

static void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	fuse_reply_readlink(req, node_of(ino)->target);
}

static bool is_dots(const char *text)
{
	return text[0] == '.' && (!text[1] || (text[1] == '.' && !text[2]));
}

static size_t add_entry(fuse_req_t req, char *buf, size_t cap, const char *text, struct node *node,
			off_t off, bool plus)
{
	struct fuse_entry_param entry = {.ino = 0}; /* not looked up */
	size_t n;

	if (!plus || is_dots(text))
		entry.attr = node_stat(node);
	if (!plus)
		return fuse_add_direntry(req, buf, cap, text, &entry.attr, off);
	if (!is_dots(text))
		entry_of(node, &entry);
	n = fuse_add_direntry_plus(req, buf, cap, text, &entry, off);
	if (n > cap && entry.ino)
		__atomic_sub_fetch(&node->lookups, 1, __ATOMIC_RELAXED);
	return n;
}

/* tree_lock held. Entry number `at`: two for . and .. come before the names. */
static size_t add_place(fuse_req_t req, char *buf, size_t cap, struct node *folder, size_t at,
			bool plus)
{
	struct name *name = at < DOTS ? NULL : folder->list[at - (DOTS)];

	if (at == 0)
		return add_entry(req, buf, cap, ".", folder, 1, plus);
	if (at == 1)
		return add_entry(req, buf, cap, "..", folder->parent ? folder->parent : folder, 2,
				 plus);
	return name ? add_entry(req, buf, cap, name->text, name->node, (off_t)at + 1, plus) : 0;
}

static void list(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, bool plus)
{
	struct node *folder = node_of(ino);
	char *buf = malloc(size);
	size_t len = 0, n;

	if (!buf) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	pthread_rwlock_rdlock(&tree_lock);
	for (size_t at = (size_t)off; at < folder->len + DOTS; at++) {
		n = add_place(req, buf + len, size - len, folder, at, plus);
		if (n > size - len)
			break;
		len += n;
	}
	pthread_rwlock_unlock(&tree_lock);
	fuse_reply_buf(req, buf, len);
	free(buf);
}

static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		       struct fuse_file_info *fi)
{
	(void)fi;
	list(req, ino, size, off, false);
}

static void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
			   struct fuse_file_info *fi)
{
	(void)fi;
	list(req, ino, size, off, true);
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct statvfs st = {.f_bsize = 4096,
			     .f_frsize = 4096,
			     .f_blocks = 1 << 28,
			     .f_bfree = 1 << 28,
			     .f_bavail = 1 << 28,
			     .f_namemax = 255};

	(void)ino;
	fuse_reply_statfs(req, &st);
}

static void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	(void)ino;
	(void)name;
	(void)size;
	fuse_reply_err(req, ENODATA);
}

static void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	(void)ino;
	if (size)
		fuse_reply_buf(req, NULL, 0);
	else
		fuse_reply_xattr(req, 0);
}

/* Names. --------------------------------------------------------------------------------------- */

static int make(fuse_req_t req, fuse_ino_t parent, const char *text, mode_t mode, dev_t rdev,
		const char *target, struct fuse_entry_param *out)
{
	struct node *node = node_new(mode, rdev);
	int error = node ? 0 : ENOMEM;

	if (node) {
		node->st.st_uid = fuse_req_ctx(req)->uid;
		node->st.st_gid = fuse_req_ctx(req)->gid;
	}
	if (node && target) {
		node->target = strdup(target);
		node->st.st_size = (off_t)strlen(target);
	}
	pthread_rwlock_wrlock(&tree_lock);
	if (!error)
		error = name_find(node_of(parent), text) ? EEXIST : 0;
	if (!error)
		error = name_add(node_of(parent), text, node);
	if (!error) {
		entry_of(node, out);
	} else if (node) {
		node->st.st_nlink = 0;
		node_drop(node);
	}
	pthread_rwlock_unlock(&tree_lock);
	return error;
}

static void reply_made(fuse_req_t req, int error, const struct fuse_entry_param *entry)
{
	if (error)
		fuse_reply_err(req, error);
	else
		fuse_reply_entry(req, entry);
}

static mode_t masked(fuse_req_t req, mode_t mode)
{
	return mode & ~fuse_req_ctx(req)->umask;
}

static void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *text, mode_t mode, dev_t rdev)
{
	struct fuse_entry_param entry;

	reply_made(req, make(req, parent, text, masked(req, mode), rdev, NULL, &entry), &entry);
}

static void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *text, mode_t mode)
{
	struct fuse_entry_param entry;

	reply_made(req, make(req, parent, text, S_IFDIR | masked(req, mode), 0, NULL, &entry),
		   &entry);
}

static void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *text)
{
	struct fuse_entry_param entry;

	reply_made(req, make(req, parent, text, S_IFLNK | 0777, 0, target, &entry), &entry);
}

static void op_create(fuse_req_t req, fuse_ino_t parent, const char *text, mode_t mode,
		      struct fuse_file_info *fi)
{
	struct fuse_entry_param entry;
	int error = make(req, parent, text, S_IFREG | masked(req, mode), 0, NULL, &entry);

	fi->keep_cache = 1;
	if (error)
		fuse_reply_err(req, error);
	else
		fuse_reply_create(req, &entry, fi);
}

static void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *text)
{
	struct fuse_entry_param entry;
	struct node *node = node_of(ino);
	int error;

	pthread_rwlock_wrlock(&tree_lock);
	error = name_find(node_of(parent), text) ? EEXIST : name_add(node_of(parent), text, node);
	if (!error) {
		node_link(node, false, 1);
		entry_of(node, &entry);
	}
	pthread_rwlock_unlock(&tree_lock);
	reply_made(req, error, &entry);
}

/* tree_lock held exclusively. */
static int drop_name(struct name *name, bool want_dir)
{
	struct node *node = name->node;

	if (want_dir && !S_ISDIR(node->st.st_mode))
		return ENOTDIR;
	if (!want_dir && S_ISDIR(node->st.st_mode))
		return EISDIR;
	if (node->names)
		return ENOTEMPTY;
	name_remove(name);
	node_link(node, false, -1);
	node_drop(node);
	return 0;
}

static void remove_name(fuse_req_t req, fuse_ino_t parent, const char *text, bool want_dir)
{
	struct name *name;
	int error;

	pthread_rwlock_wrlock(&tree_lock);
	name = name_find(node_of(parent), text);
	error = name ? drop_name(name, want_dir) : ENOENT;
	pthread_rwlock_unlock(&tree_lock);
	fuse_reply_err(req, error);
}

static void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *text)
{
	remove_name(req, parent, text, false);
}

static void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *text)
{
	remove_name(req, parent, text, true);
}

static void op_rename(fuse_req_t req, fuse_ino_t from, const char *text, fuse_ino_t to,
		      const char *other, unsigned flags)
{
	struct name *name, *victim;
	int error = flags & ~1u ? EINVAL : 0; /* NOREPLACE alone */

	pthread_rwlock_wrlock(&tree_lock);
	name = name_find(node_of(from), text);
	victim = name_find(node_of(to), other);
	if (!error && !name)
		error = ENOENT;
	if (!error && victim)
		error = flags ? EEXIST : drop_name(victim, S_ISDIR(name->node->st.st_mode));
	if (!error)
		error = name_add(node_of(to), other, name->node);
	if (!error) {
		node_link(name->node, false, 0);
		name_remove(name);
	}
	pthread_rwlock_unlock(&tree_lock);
	fuse_reply_err(req, error);
}

/* Contents. ------------------------------------------------------------------------------------ */

static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *set, int what,
		       struct fuse_file_info *fi)
{
	struct node *node = node_of(ino);
	struct stat *st = &node->st, out;

	(void)fi;
	pthread_rwlock_wrlock(&node->lock);
	if (what & FUSE_SET_ATTR_SIZE) {
		if (set->st_size < st->st_size)
			contents_cut(&node->contents, (size_t)set->st_size);
		st->st_size = set->st_size;
	}
	if (what & FUSE_SET_ATTR_MODE)
		st->st_mode = (st->st_mode & S_IFMT) | (set->st_mode & ~(mode_t)S_IFMT);
	st->st_uid = what & FUSE_SET_ATTR_UID ? set->st_uid : st->st_uid;
	st->st_gid = what & FUSE_SET_ATTR_GID ? set->st_gid : st->st_gid;
	node_touch(node, what & FUSE_SET_ATTR_SIZE);
	if (what & FUSE_SET_ATTR_ATIME)
		st->st_atim = what & FUSE_SET_ATTR_ATIME_NOW ? st->st_ctim : set->st_atim;
	if (what & FUSE_SET_ATTR_MTIME)
		st->st_mtim = what & FUSE_SET_ATTR_MTIME_NOW ? st->st_ctim : set->st_mtim;
	if (what & FUSE_SET_ATTR_CTIME)
		st->st_ctim = set->st_ctim;
	out = *st;
	pthread_rwlock_unlock(&node->lock);
	fuse_reply_attr(req, &out, SESSION_CACHE_SECONDS);
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct node *node = node_of(ino);

	if (fi->flags & O_TRUNC) {
		pthread_rwlock_wrlock(&node->lock);
		contents_cut(&node->contents, 0);
		node->st.st_size = 0;
		node_touch(node, true);
		pthread_rwlock_unlock(&node->lock);
	}
	fi->keep_cache = 1;
	fuse_reply_open(req, fi);
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	struct node *node = node_of(ino);
	struct iovec iov[CONTENTS_PIECES];
	size_t at = (size_t)off, end;

	(void)fi;
	pthread_rwlock_rdlock(&node->lock);
	end = at + size < (size_t)node->st.st_size ? at + size : (size_t)node->st.st_size;
	fuse_reply_iov(req, iov, (int)contents_pieces(&node->contents, at, end, iov));
	pthread_rwlock_unlock(&node->lock);
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t len, off_t off,
		     struct fuse_file_info *fi)
{
	struct node *node = node_of(ino);
	off_t end = off + (off_t)len;
	int error;

	(void)fi;
	pthread_rwlock_wrlock(&node->lock);
	error = contents_write(&node->contents, buf, len, (size_t)off);
	if (!error) {
		node->st.st_size = end > node->st.st_size ? end : node->st.st_size;
		node->st.st_blocks = (node->st.st_size + 511) / 512;
		node_touch(node, true);
	}
	pthread_rwlock_unlock(&node->lock);
	if (error)
		fuse_reply_err(req, error);
	else
		fuse_reply_write(req, len);
}

static void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	(void)ino;
	(void)datasync;
	(void)fi;
	fuse_reply_err(req, 0);
}

static const struct fuse_lowlevel_ops ops = {
	.init = op_init,
	.lookup = op_lookup,
	.forget = op_forget,
	.forget_multi = op_forget_multi,
	.getattr = op_getattr,
	.setattr = op_setattr,
	.readlink = op_readlink,
	.mknod = op_mknod,
	.mkdir = op_mkdir,
	.symlink = op_symlink,
	.link = op_link,
	.unlink = op_unlink,
	.rmdir = op_rmdir,
	.rename = op_rename,
	.open = op_open,
	.create = op_create,
	.read = op_read,
	.write = op_write,
	.fsync = op_fsync,
	.fsyncdir = op_fsync,
	.readdir = op_readdir,
	.readdirplus = op_readdirplus,
	.statfs = op_statfs,
	.getxattr = op_getxattr,
	.listxattr = op_listxattr,
};

static void ready(void *arg)
{
	session_tune(arg);
}

int main(int argc, char **argv)
{
	char *args_of[] = {"floor", "-o",
			   "default_permissions,allow_other,noatime,fsname=floor,subtype=floor"};
	struct fuse_args args = FUSE_ARGS_INIT(3, args_of);
	size_t made = argc == 3 ? strtoul(argv[2], NULL, 10) << 20 : 0;
	struct fuse_session *session;
	int r = 1;

	if (argc < 2 || argc > 3 || (argc == 3 && !made)) {
		fprintf(stderr, "usage: floor MNT [MB]\n");
		return 2;
	}
	if (!tree_open() || (made && !contents_reserve(made))) {
		fprintf(stderr, "floor: no memory\n");
		return 1;
	}
	session = fuse_session_new(&args, &ops, sizeof(ops), NULL);
	if (session && !fuse_session_mount(session, argv[1])) {
		if (!wire_attach(session, true, ready, argv[1]))
			r = session_loop(session) != 0;
		wire_stop();
		wire_detach();
		fuse_session_unmount(session);
	}
	if (session)
		fuse_session_destroy(session);
	return r;
}
