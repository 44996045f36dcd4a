// SPDX-License-Identifier: Apache-2.0
/*
 * The floor of the benchmark: a filesystem that keeps everything in memory and has Terrace's
 * session settings, so what any FUSE daemon could reach at best on this machine. No journal, no
 * checksums, no coding, no limits, no permissions beyond the kernel's own.
 *
 *   floor MNT     in the foreground, until it is unmounted
 *
 * One lock for names and attributes, one per file for its contents, taken inside where both are. An
 * inode's number is its address.
 */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>

#include <bsd/sys/tree.h>

#include "fs/fuse_init.h"
#include "fs/fuse_session.h"

#define CHUNK  ((size_t)1 << 20)
#define PIECES ((size_t)8)

struct node;

struct name {
	RB_ENTRY(name) by_name, by_cookie;
	struct node *node;
	uint64_t cookie; /* in readdir: grows */
	char text[];
};

RB_HEAD(names, name);
RB_HEAD(cookies, name);

struct chunk { /* CHUNK bytes; those from cap on are zeros */
	uint8_t *buf;
	size_t cap;
};

struct node {
	struct stat st;
	struct node *parent; /* of a folder */
	struct names names;
	struct cookies cookies;
	uint64_t next_cookie;
	char *target; /* of a symbolic link */
	uint64_t lookups;
	pthread_rwlock_t data_lock;
	struct chunk *chunks;
	size_t nchunks;
};

static int by_name(const struct name *a, const struct name *b)
{
	return strcmp(a->text, b->text);
}

static int by_cookie(const struct name *a, const struct name *b)
{
	return a->cookie < b->cookie ? -1 : a->cookie > b->cookie;
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
RB_GENERATE_INTERNAL(names, name, by_name, by_name, static)
RB_GENERATE_INTERNAL(cookies, name, by_cookie, by_cookie, static)
#pragma GCC diagnostic pop

static pthread_rwlock_t tree_lock = PTHREAD_RWLOCK_INITIALIZER;
static struct node root;

static struct node *node_of(fuse_ino_t ino)
{
	return ino == FUSE_ROOT_ID ? &root : (struct node *)ino;
}

static struct timespec now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ts;
}

static void touch(struct node *node, bool data)
{
	node->st.st_ctim = now();
	if (data)
		node->st.st_mtim = node->st.st_ctim;
}

static struct node *node_new(fuse_req_t req, mode_t mode, dev_t rdev)
{
	struct node *node = calloc(1, sizeof(*node));

	if (!node)
		return NULL;
	RB_INIT(&node->names);
	RB_INIT(&node->cookies);
	node->next_cookie = 3; /* 1 and 2 are . and .. */
	node->st = (struct stat){.st_ino = (ino_t)(uintptr_t)node,
				 .st_mode = mode,
				 .st_nlink = S_ISDIR(mode) ? 2 : 1,
				 .st_rdev = rdev,
				 .st_blksize = 4096};
	if (req) {
		node->st.st_uid = fuse_req_ctx(req)->uid;
		node->st.st_gid = fuse_req_ctx(req)->gid;
	}
	node->st.st_atim = now();
	touch(node, true);
	pthread_rwlock_init(&node->data_lock, NULL);
	return node;
}

/* tree_lock held exclusively. */
static void node_drop(struct node *node)
{
	if (node->lookups || node->st.st_nlink > (S_ISDIR(node->st.st_mode) ? 1 : 0) ||
	    node == &root)
		return;
	for (size_t i = 0; i < node->nchunks; i++)
		free(node->chunks[i].buf);
	free(node->chunks);
	free(node->target);
	pthread_rwlock_destroy(&node->data_lock);
	free(node);
}

static struct name *name_find(struct node *folder, const char *text)
{
	struct name *key, *found;

	key = alloca(sizeof(*key) + strlen(text) + 1);
	strcpy(key->text, text);
	found = RB_FIND(names, &folder->names, key);
	return found;
}

static int name_add(struct node *folder, const char *text, struct node *node)
{
	struct name *name = malloc(sizeof(*name) + strlen(text) + 1);

	if (!name)
		return ENOMEM;
	strcpy(name->text, text);
	name->node = node;
	name->cookie = folder->next_cookie++;
	RB_INSERT(names, &folder->names, name);
	RB_INSERT(cookies, &folder->cookies, name);
	if (S_ISDIR(node->st.st_mode)) {
		node->parent = folder;
		folder->st.st_nlink++;
	}
	touch(folder, true);
	return 0;
}

static void name_remove(struct node *folder, struct name *name)
{
	RB_REMOVE(names, &folder->names, name);
	RB_REMOVE(cookies, &folder->cookies, name);
	if (S_ISDIR(name->node->st.st_mode))
		folder->st.st_nlink--;
	touch(folder, true);
	free(name);
}

static void entry_of(struct node *node, struct fuse_entry_param *out)
{
	__atomic_add_fetch(&node->lookups, 1, __ATOMIC_RELAXED);
	*out = (struct fuse_entry_param){.ino = (fuse_ino_t)(uintptr_t)node,
					 .attr = node->st,
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

static void forget(fuse_ino_t ino, uint64_t n)
{
	struct node *node = node_of(ino);

	if (__atomic_sub_fetch(&node->lookups, n, __ATOMIC_ACQ_REL))
		return;
	pthread_rwlock_wrlock(&tree_lock);
	node_drop(node);
	pthread_rwlock_unlock(&tree_lock);
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t n)
{
	forget(ino, n);
	fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *list)
{
	for (size_t i = 0; i < count; i++)
		forget(list[i].ino, list[i].nlookup);
	fuse_reply_none(req);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat st;

	(void)fi;
	pthread_rwlock_rdlock(&tree_lock);
	st = node_of(ino)->st;
	pthread_rwlock_unlock(&tree_lock);
	fuse_reply_attr(req, &st, SESSION_CACHE_SECONDS);
}

static void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	fuse_reply_readlink(req, node_of(ino)->target);
}

static size_t add_entry(fuse_req_t req, char *buf, size_t cap, const char *text, struct node *node,
			off_t off, bool plus)
{
	struct fuse_entry_param entry;
	size_t n;

	if (!plus)
		return fuse_add_direntry(req, buf, cap, text, &node->st, off);
	entry = (struct fuse_entry_param){.attr = node->st}; /* ino 0: not looked up */
	if (text[0] != '.' || (text[1] && text[1] != '.'))
		entry_of(node, &entry);
	n = fuse_add_direntry_plus(req, buf, cap, text, &entry, off);
	if (n > cap && entry.ino)
		__atomic_sub_fetch(&node->lookups, 1, __ATOMIC_RELAXED);
	return n;
}

static void list(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, bool plus)
{
	struct node *folder = node_of(ino);
	char *buf = malloc(size);
	struct name key = {.cookie = (uint64_t)off + 1}, *name;
	size_t at = 0, n = 0;

	if (!buf) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	pthread_rwlock_rdlock(&tree_lock);
	for (off_t dot = off + 1; dot < 3 && at + n <= size; dot++) {
		n = add_entry(req, buf + at, size - at, dot == 1 ? "." : "..",
			      dot == 1 || !folder->parent ? folder : folder->parent, dot, plus);
		at += n <= size - at ? n : 0;
	}
	if (key.cookie < 3)
		key.cookie = 3;
	for (name = RB_NFIND(cookies, &folder->cookies, &key); name;
	     name = RB_NEXT(cookies, &folder->cookies, name)) {
		n = add_entry(req, buf + at, size - at, name->text, name->node, (off_t)name->cookie,
			      plus);
		if (n > size - at)
			break;
		at += n;
	}
	pthread_rwlock_unlock(&tree_lock);
	fuse_reply_buf(req, buf, at);
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
	struct node *node = node_new(req, mode, rdev);
	int error = node ? 0 : ENOMEM;

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
		node->st.st_nlink++;
		touch(node, false);
		entry_of(node, &entry);
	}
	pthread_rwlock_unlock(&tree_lock);
	reply_made(req, error, &entry);
}

/* tree_lock held exclusively. */
static int drop_name(struct node *folder, struct name *name, bool want_dir)
{
	struct node *node = name->node;

	if (want_dir && !S_ISDIR(node->st.st_mode))
		return ENOTDIR;
	if (!want_dir && S_ISDIR(node->st.st_mode))
		return EISDIR;
	if (!RB_EMPTY(&node->names))
		return ENOTEMPTY;
	name_remove(folder, name);
	node->st.st_nlink--;
	touch(node, false);
	node_drop(node);
	return 0;
}

static void remove_name(fuse_req_t req, fuse_ino_t parent, const char *text, bool want_dir)
{
	struct name *name;
	int error;

	pthread_rwlock_wrlock(&tree_lock);
	name = name_find(node_of(parent), text);
	error = name ? drop_name(node_of(parent), name, want_dir) : ENOENT;
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
		error = flags ? EEXIST
			      : drop_name(node_of(to), victim, S_ISDIR(name->node->st.st_mode));
	if (!error)
		error = name_add(node_of(to), other, name->node);
	if (!error) {
		touch(name->node, false);
		name_remove(node_of(from), name);
	}
	pthread_rwlock_unlock(&tree_lock);
	fuse_reply_err(req, error);
}

/* Contents. ------------------------------------------------------------------------------------ */

/* data_lock held exclusively: room for [0, need) of chunk i. */
static int grow(struct node *node, size_t i, size_t need)
{
	struct chunk *chunk;
	size_t cap = 4096;
	uint8_t *buf;

	if (i >= node->nchunks) {
		size_t n = i + 1 < node->nchunks * 2 ? node->nchunks * 2 : i + 1;
		struct chunk *chunks = realloc(node->chunks, n * sizeof(*chunks));

		if (!chunks)
			return ENOMEM;
		memset(chunks + node->nchunks, 0, (n - node->nchunks) * sizeof(*chunks));
		node->chunks = chunks;
		node->nchunks = n;
	}
	chunk = &node->chunks[i];
	if (need <= chunk->cap)
		return 0;
	while (cap < need)
		cap *= 2;
	buf = realloc(chunk->buf, cap);
	if (!buf)
		return ENOMEM;
	memset(buf + chunk->cap, 0, cap - chunk->cap);
	*chunk = (struct chunk){.buf = buf, .cap = cap};
	return 0;
}

static void cut(struct node *node, size_t size)
{
	for (size_t i = size / CHUNK; i < node->nchunks; i++) {
		struct chunk *chunk = &node->chunks[i];
		size_t keep = i == size / CHUNK ? size % CHUNK : 0;

		if (!keep) {
			free(chunk->buf);
			*chunk = (struct chunk){0};
		} else if (keep < chunk->cap) {
			memset(chunk->buf + keep, 0, chunk->cap - keep);
		}
	}
}

static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *set, int what,
		       struct fuse_file_info *fi)
{
	struct node *node = node_of(ino);
	struct stat *st = &node->st, out;

	(void)fi;
	pthread_rwlock_wrlock(&tree_lock);
	if (what & FUSE_SET_ATTR_SIZE) {
		if (set->st_size < st->st_size) {
			pthread_rwlock_wrlock(&node->data_lock);
			cut(node, (size_t)set->st_size);
			pthread_rwlock_unlock(&node->data_lock);
		}
		st->st_size = set->st_size;
		touch(node, true);
	}
	if (what & FUSE_SET_ATTR_MODE)
		st->st_mode = (st->st_mode & S_IFMT) | (set->st_mode & ~(mode_t)S_IFMT);
	st->st_uid = what & FUSE_SET_ATTR_UID ? set->st_uid : st->st_uid;
	st->st_gid = what & FUSE_SET_ATTR_GID ? set->st_gid : st->st_gid;
	st->st_ctim = what & FUSE_SET_ATTR_CTIME ? set->st_ctim : now();
	if (what & FUSE_SET_ATTR_ATIME)
		st->st_atim = what & FUSE_SET_ATTR_ATIME_NOW ? now() : set->st_atim;
	if (what & FUSE_SET_ATTR_MTIME)
		st->st_mtim = what & FUSE_SET_ATTR_MTIME_NOW ? now() : set->st_mtim;
	out = *st;
	pthread_rwlock_unlock(&tree_lock);
	fuse_reply_attr(req, &out, SESSION_CACHE_SECONDS);
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct node *node = node_of(ino);

	if (fi->flags & O_TRUNC) {
		pthread_rwlock_wrlock(&tree_lock);
		pthread_rwlock_wrlock(&node->data_lock);
		cut(node, 0);
		pthread_rwlock_unlock(&node->data_lock);
		node->st.st_size = 0;
		touch(node, true);
		pthread_rwlock_unlock(&tree_lock);
	}
	fi->keep_cache = 1;
	fuse_reply_open(req, fi);
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	static uint8_t zeros[CHUNK];
	struct node *node = node_of(ino);
	struct iovec iov[PIECES];
	size_t at = (size_t)off, end, n = 0;

	(void)fi;
	pthread_rwlock_rdlock(&tree_lock);
	pthread_rwlock_rdlock(&node->data_lock);
	end = at + size < (size_t)node->st.st_size ? at + size : (size_t)node->st.st_size;
	while (at < end && n < PIECES) {
		size_t i = at / CHUNK, skip = at % CHUNK;
		size_t cap = i < node->nchunks ? node->chunks[i].cap : 0;
		size_t stop = skip < cap ? cap : CHUNK;
		size_t len = stop - skip < end - at ? stop - skip : end - at;

		iov[n++] = (struct iovec){.iov_base = skip < cap ? node->chunks[i].buf + skip
								 : (void *)zeros,
					  .iov_len = len};
		at += len;
	}
	fuse_reply_iov(req, iov, (int)n);
	pthread_rwlock_unlock(&node->data_lock);
	pthread_rwlock_unlock(&tree_lock);
}

/* data_lock held exclusively. */
static int put(struct node *node, const char *buf, size_t len, size_t off)
{
	int error = 0;

	while (!error && len) {
		size_t i = off / CHUNK, skip = off % CHUNK;
		size_t n = CHUNK - skip < len ? CHUNK - skip : len;

		error = grow(node, i, skip + n);
		if (!error)
			memcpy(node->chunks[i].buf + skip, buf, n);
		buf += n;
		off += n;
		len -= n;
	}
	return error;
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t len, off_t off,
		     struct fuse_file_info *fi)
{
	struct node *node = node_of(ino);
	off_t end = off + (off_t)len;
	int error;

	(void)fi;
	pthread_rwlock_wrlock(&node->data_lock);
	error = put(node, buf, len, (size_t)off);
	pthread_rwlock_unlock(&node->data_lock);
	if (error) {
		fuse_reply_err(req, error);
		return;
	}
	pthread_rwlock_wrlock(&tree_lock);
	node->st.st_size = end > node->st.st_size ? end : node->st.st_size;
	node->st.st_blocks = (node->st.st_size + 511) / 512;
	touch(node, true);
	pthread_rwlock_unlock(&tree_lock);
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
			   "default_permissions,allow_other,fsname=floor,subtype=floor"};
	struct fuse_args args = FUSE_ARGS_INIT(3, args_of);
	struct fuse_session *session;
	struct node *made = node_new(NULL, S_IFDIR | 0755, 0);
	int r = 1;

	mallopt(M_MMAP_THRESHOLD, 4 << 20);
	if (argc != 2 || !made) {
		fprintf(stderr, "usage: floor MNT\n");
		free(made);
		return 2;
	}
	root = *made;
	free(made);
	root.st.st_ino = FUSE_ROOT_ID;
	root.st.st_uid = getuid();
	session = fuse_session_new(&args, &ops, sizeof(ops), NULL);
	if (session && !fuse_session_mount(session, argv[1])) {
		if (!wire_attach(session, ready, argv[1]))
			r = session_loop(session) != 0;
		fuse_session_unmount(session);
	}
	if (session)
		fuse_session_destroy(session);
	return r;
}
