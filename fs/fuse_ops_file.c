// SPDX-License-Identifier: Apache-2.0
/* Open files. fi->fh is a struct inode, or a struct control_file for virtual ones. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fs/control.h"
#include "fs/fuse_init.h"
#include "fs/fuse_ops.h"
#include "fs/fuse_pass.h"
#include "fs/fuse_uring.h"
#include "fs/fuse_wait.h"
#include "fs/inode.h"
#include "tiers/log.h"
#include "tiers/object.h"

static struct inode *inode_of(const struct fuse_file_info *fi)
{
	return (struct inode *)(uintptr_t)fi->fh;
}

static struct control_file *control_of(const struct fuse_file_info *fi)
{
	return (struct control_file *)(uintptr_t)fi->fh;
}

/* When little room is left, write(2) itself must hear that there is none. */
static void set_caching(struct fs *fs, struct fuse_file_info *fi)
{
	fi->keep_cache = 1;
	fi->direct_io = (fi->flags & O_ACCMODE) != O_RDONLY && fs_is_tight(fs);
}

static void open_control(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *fi)
{
	struct control *control = fs_of(req)->control;
	const struct fuse_ctx *ctx = fuse_req_ctx(req);
	struct control_file *file;
	int r = -ENFILE;

	if (!ctx->uid || ctx->uid == geteuid() || !control_crowded(control))
		r = control_open(control, id, fi->flags, &file);
	if (r) {
		reply(req, r);
		return;
	}
	fi->fh = (uintptr_t)file;
	fi->direct_io = 1;
	fi->nonseekable = control_is_stream(file);
	if (fuse_reply_open(req, fi) == -ENOENT)
		control_close(file);
}

/* Will a change of data by this caller take suid or sgid away? */
static bool loses_mode(struct fs *fs, fuse_ino_t id, bool kill)
{
	struct stat st;

	return kill && !fs_getattr(fs, id, &st) && (st.st_mode & (S_ISUID | S_ISGID));
}

/* The kernel leaves taking suid away, and atime, to us and keeps its own copy of the attributes: it
 * would go on running the program as its owner until that copy is too old. -1: no pages. */
static void forget_attr(fuse_req_t req, fuse_ino_t id)
{
	fuse_lowlevel_notify_inval_inode(door_of(req)->session, id, -1, 0);
}

/*
 * What is read from the kernel's cache does not come here, so opening for reading only counts as a
 * read. True when the kernel's copy of the times is now too old.
 */
static bool marks_open(struct fs *fs, struct inode *inode, int flags)
{
	return (flags & (O_ACCMODE | O_NOATIME)) == O_RDONLY && atime_file(fs, inode);
}

#define RAISED (S_ISUID | S_ISGID)

/* The kernel does the reading and writing itself from here on, and its copy of the attributes does
 * not follow what mappings write. *backing: 0 not so. */
static int backing_of(fuse_req_t req, const struct inode *inode, int flags, int32_t *backing)
{
	struct passes *passes = door_of(req)->passes;
	struct object *object = inode_object(inode);
	bool writes = (flags & O_ACCMODE) != O_RDONLY;
	uid_t uid = fuse_req_ctx(req)->uid;
	struct stat st;
	int r;

	*backing = 0;
	if (!passes || !object_is_plain(object))
		return 0;
	/* What is then written with O_SYNC must not wait for what leads to it. */
	if (flags & O_DSYNC && object_sync(object))
		log_warning("inode %llu is opened with O_SYNC and cannot be made durable",
			    (unsigned long long)object_id(object));
	r = fs_getattr(fs_of(req), object_id(object), &st);
	if (r)
		return r;
	*backing = passes_open(passes, object, uid, writes, st.st_mode & RAISED);
	if (*backing <= 0 || !writes || !uid)
		return *backing < 0 ? *backing : 0;
	r = fs_getattr(fs_of(req), object_id(object), &st);
	if (!r && st.st_mode & RAISED && st.st_uid != uid) { /* see fuse_pass.h */
		st.st_mode &= ~(mode_t)RAISED;
		r = fs_setattr(fs_of(req), object_id(object), FS_SET_MODE, &st, &st);
	}
	if (r)
		passes_close(passes, object_id(object));
	return r;
}

static void close_file(fuse_req_t req, fuse_ino_t id, const struct fuse_file_info *fi)
{
	if (door_of(req)->passes)
		passes_close(door_of(req)->passes, id);
	fs_file_close(fs_of(req), inode_of(fi), fi->flags);
}

void ops_open(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	struct inode *inode;
	int32_t backing;
	bool loses;
	int r;

	if (control_owns(id)) {
		open_control(req, id, fi);
		return;
	}
	loses = (fi->flags & O_TRUNC) && loses_mode(fs, id, wire_kills());
	r = fs_file_open(fs, id, fi->flags, wire_kills(), &inode);
	if (r) {
		reply(req, stale(r));
		return;
	}
	r = backing_of(req, inode, fi->flags, &backing);
	if (r) {
		fs_file_close(fs, inode, fi->flags);
		reply(req, stale(r));
		return;
	}
	if (marks_open(fs, inode, fi->flags) || loses || backing)
		forget_attr(req, id);
	fi->fh = (uintptr_t)inode;
	set_caching(fs, fi);
	wire_pass(backing);
	if (fuse_reply_open(req, fi) == -ENOENT)
		close_file(req, id, fi); /* interrupted: no release will come */
}

void ops_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
		struct fuse_file_info *fi)
{
	struct fs_cred cred = cred_of(req);
	struct fuse_entry_param entry;
	struct fs *fs = fs_of(req);
	struct inode *inode;
	int32_t backing;
	struct stat st;
	int r;

	r = control_owns(parent) ? -EPERM
				 : fs_create(fs, parent, name, mode, fi->flags, &cred, &st, &inode);
	if (r) {
		reply(req, r);
		return;
	}
	r = settled(req, 0);
	if (!r)
		r = backing_of(req, inode, fi->flags, &backing);
	if (r) {
		fs_file_close(fs, inode, fi->flags);
		reply(req, r);
		return;
	}
	fi->fh = (uintptr_t)inode;
	set_caching(fs, fi);
	entry_init(fs, &entry, &st);
	wire_pass(backing);
	if (fuse_reply_create(req, &entry, fi) == -ENOENT)
		close_file(req, st.st_ino, fi);
}

void ops_release(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *fi)
{
	if (control_owns(id)) {
		waits_forget(door_of(req)->waits, control_of(fi));
		control_close(control_of(fi));
	} else {
		close_file(req, id, fi);
	}
	reply(req, 0);
}

/* A buffer per thread, so that a read allocates nothing; freed with the thread. */
static pthread_key_t buffer_key;
static pthread_once_t buffer_once = PTHREAD_ONCE_INIT;

struct buffer {
	size_t cap;
	char bytes[];
};

static void buffer_key_make(void)
{
	if (pthread_key_create(&buffer_key, free))
		abort(); /* only with more keys than a process may have */
}

static char *thread_buffer(size_t len)
{
	struct buffer *buffer;

	pthread_once(&buffer_once, buffer_key_make);
	buffer = pthread_getspecific(buffer_key);
	if (buffer && buffer->cap >= len)
		return buffer->bytes;
	free(buffer);
	buffer = malloc(sizeof(*buffer) + len);
	pthread_setspecific(buffer_key, buffer);
	if (!buffer)
		return NULL;
	buffer->cap = len;
	return buffer->bytes;
}

void ops_read(fuse_req_t req, fuse_ino_t id, size_t len, off_t off, struct fuse_file_info *fi)
{
	char *buf;
	size_t got = 0;
	int r;

	if (control_owns(id) && control_is_stream(control_of(fi))) {
		waits_read(door_of(req)->waits, req, control_of(fi), len, fi->flags & O_NONBLOCK);
		return;
	}
	buf = uring_buffer(len);
	if (!buf)
		buf = thread_buffer(len);
	if (!buf)
		r = -ENOMEM;
	else if (control_owns(id))
		r = control_read(control_of(fi), buf, len, (uint64_t)off, &got);
	else
		r = fs_read(fs_of(req), inode_of(fi), buf, len, (uint64_t)off, &got);
	if (r) {
		reply(req, r);
		return;
	}
	if (!control_owns(id) && !(fi->flags & O_NOATIME))
		atime_file(fs_of(req), inode_of(fi));
	fuse_reply_buf(req, buf, got);
}

/* Files are always ready. The handle is kept before the look: what happens after it is told. */
void ops_poll(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *fi,
	      struct fuse_pollhandle *handle)
{
	bool stream = control_owns(id) && control_is_stream(control_of(fi));
	unsigned ready = POLLIN | POLLRDNORM | (stream ? 0 : POLLOUT | POLLWRNORM);

	if (handle && stream)
		waits_poll(door_of(req)->waits, control_of(fi), handle);
	else if (handle)
		fuse_pollhandle_destroy(handle);
	fuse_reply_poll(req, !stream || control_ready(control_of(fi)) ? ready : 0);
}

/* O_SYNC, O_DSYNC, RWF_DSYNC. Of a file that it does not cache (set_caching()) the kernel leaves
 * that to us; of others it sends an fsync, too, which finds nothing left to do. */
static bool is_sync(fuse_ino_t id, const struct fuse_file_info *fi)
{
	return (fi->flags & O_DSYNC) && !fi->writepage && !control_owns(id);
}

static int sync_file(fuse_req_t req, const struct fuse_file_info *fi, bool datasync)
{
	return datasync ? fs_fdatasync(fs_of(req), inode_of(fi))
			: fs_fsync(fs_of(req), inode_of(fi));
}

void ops_write(fuse_req_t req, fuse_ino_t id, const char *buf, size_t len, off_t off,
	       struct fuse_file_info *fi)
{
	unsigned flags = (fi->writepage ? FS_WRITE_CACHED : 0) | (wire_kills() ? FS_WRITE_KILL : 0);
	bool loses = !control_owns(id) && loses_mode(fs_of(req), id, wire_kills());
	int r;

	/* With the writeback cache the kernel knows the end of the file better than we do. */
	if ((fi->flags & O_APPEND) && !door_of(req)->writeback)
		flags |= FS_WRITE_APPEND;
	if (control_owns(id))
		r = control_write(control_of(fi), buf, len);
	else
		r = fs_write(fs_of(req), inode_of(fi), buf, len, (uint64_t)off, flags);
	if (!r && is_sync(id, fi))
		r = sync_file(req, fi, (fi->flags & O_SYNC) != O_SYNC);
	if (loses)
		forget_attr(req, id);
	if (r)
		reply(req, r);
	else
		fuse_reply_write(req, len);
}

void ops_fsync(fuse_req_t req, fuse_ino_t id, int datasync, struct fuse_file_info *fi)
{
	reply(req, control_owns(id) ? 0 : sync_file(req, fi, datasync));
}

/* Not told whether the caller may keep suid and sgid: root may. */
static bool kills(fuse_req_t req)
{
	return fuse_req_ctx(req)->uid != 0;
}

void ops_fallocate(fuse_req_t req, fuse_ino_t id, int mode, off_t off, off_t len,
		   struct fuse_file_info *fi)
{
	bool loses = !control_owns(id) && loses_mode(fs_of(req), id, kills(req));
	int r = control_owns(id) ? -EOPNOTSUPP
				 : fs_fallocate(fs_of(req), inode_of(fi), mode, (uint64_t)len,
						(uint64_t)off, kills(req));

	if (loses)
		forget_attr(req, id);
	reply(req, r);
}

/* By telling the kernel to drop its pages. That waits for WRITE requests, so only half of the
 * threads of one queue may do so at a time, and who waits for his turn does not wait for long. */
static int push(struct fuse_door *door, fuse_ino_t id, unsigned wait_ms)
{
	struct timespec until;
	int r;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += (long)wait_ms * 1000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	while (sem_timedwait(&door->pushing, &until))
		if (errno != EINTR)
			return -EAGAIN;
	r = fuse_lowlevel_notify_inval_inode(door->session, id, 0, 0);
	sem_post(&door->pushing);
	return r;
}

int push_out(struct fuse_door *door, fuse_ino_t id, unsigned wait_ms)
{
	return push(door, id, wait_ms) ? -EINVAL : 0;
}

int push_all(struct fuse_door *door)
{
	uint64_t *ids = NULL;
	size_t count = 0;
	int r = 0;

	if (door->writeback && inode_any_written(door->fs->inodes))
		r = inode_list_written(door->fs->inodes, &ids, &count);
	for (size_t i = 0; i < count && !r; i++) {
		r = push(door, ids[i], UINT_MAX);
		if (r == -ENOENT) /* closed, and forgotten, meanwhile */
			r = 0;
	}
	free(ids);
	return r;
}

/*
 * The kernel asks for holes without writing its cache back, so what has just been written would be
 * answered as a hole, and a copy would lose it. A file that is open for writing is therefore pushed
 * out first; where that cannot be, the answer is "not supported here", and programs take all of the
 * file for data.
 */
static int push_before_look(struct fuse_door *door, fuse_ino_t id, const struct inode *inode)
{
	return door->writeback && inode_has_writers(inode) ? push_out(door, id, 0) : 0;
}

void ops_lseek(fuse_req_t req, fuse_ino_t id, off_t off, int whence, struct fuse_file_info *fi)
{
	uint64_t found = 0;
	int r = control_owns(id) ? -EINVAL : push_before_look(door_of(req), id, inode_of(fi));

	if (!r)
		r = fs_seek(fs_of(req), inode_of(fi), (uint64_t)off, whence, &found);

	if (r)
		reply(req, r);
	else
		fuse_reply_lseek(req, (off_t)found);
}

void ops_copy_file_range(fuse_req_t req, fuse_ino_t in, off_t in_off, struct fuse_file_info *in_fi,
			 fuse_ino_t to, off_t to_off, struct fuse_file_info *to_fi, size_t len,
			 int flags)
{
	bool loses = !control_owns(to) && loses_mode(fs_of(req), to, kills(req));
	uint64_t done = 0;
	int r;

	(void)flags;
	if (control_owns(in) || control_owns(to))
		r = -EXDEV; /* the kernel copies by reading and writing then */
	else
		r = fs_copy_range(fs_of(req), inode_of(in_fi), (uint64_t)in_off, inode_of(to_fi),
				  (uint64_t)to_off, len, kills(req), &done);
	if (loses)
		forget_attr(req, to);
	if (r)
		reply(req, r);
	else
		fuse_reply_write(req, done);
}
