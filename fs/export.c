// SPDX-License-Identifier: Apache-2.0
/*
 * Folders are walked by file descriptors (openat and so on), so a name that a damaged pool holds
 * cannot lead out of the destination; names with a slash are refused.
 */
#include "fs/export.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "compress/bytes.h"
#include "fs/attr.h"
#include "fs/deep.h"
#include "fs/dir.h"
#include "tiers/config.h"
#include "tiers/idmap.h"
#include "tiers/io.h"
#include "tiers/keys.h"
#include "tiers/log.h"
#include "tiers/meta.h"

#define WORK_NAME    ".terrace-export"
#define OBJECTS_NAME "objects"

struct exporter {
	const struct export_options *options;
	struct export_result *out;
	struct salvage *salvage;
	struct idmap linked; /* inode with several names -> its first path, a string */
	int dest;
	struct deep_path path;	/* of what is being made, from dest; "" its root */
	struct idmap under_way; /* folders that this one is in */
	unsigned depth, depth_max;
	int fd;			     /* of the file being written */
	uint64_t lost_off, lost_len; /* of it, not told yet */
};

static void miss(struct exporter *exporter, uint64_t off, uint64_t len, int error)
{
	exporter->out->missing++;
	exporter->options->missing(exporter->options->arg, exporter->path.text, off, len, error);
}

/* What belongs to every inode. ----------------------------------------------------------------- */

static struct timespec time_of(struct attr_time time)
{
	return (struct timespec){.tv_sec = time.sec, .tv_nsec = time.nsec};
}

static void xattrs_set(struct exporter *exporter, uint64_t id, const char *proc)
{
	uint8_t prefix[KEY_LEN_1];
	struct meta_cursor *cursor;
	struct meta_item item;
	int rc = meta_cursor_open(salvage_meta(exporter->salvage), prefix,
				  key_1(prefix, KEY_XATTR, id), NULL, 0, &cursor);

	if (rc < 0) {
		miss(exporter, 0, 0, rc);
		return;
	}
	while ((rc = meta_cursor_next(cursor, &item)) == 0) {
		char name[256];
		size_t len = item.key_len - KEY_LEN_1;

		if (len == 0 || len >= sizeof(name))
			continue;
		memcpy(name, item.key + KEY_LEN_1, len);
		name[len] = '\0';
		if (lsetxattr(proc, name, item.value, item.len, 0) < 0)
			log_warning("/%s: extended attribute %s: %s", exporter->path.text, name,
				    strerror(errno));
	}
	if (rc != -ENOENT) /* some of them cannot be read */
		miss(exporter, 0, 0, rc);
	meta_cursor_close(cursor);
}

/* Owner before mode: chown takes suid away. Times last. (Here and below: what has large buffers is
 * not to be a part of the frames of the walk: see deep_levels().) */
__attribute__((noinline)) static void attributes_set(struct exporter *exporter, uint64_t id,
						     const struct attr *attr,
						     const struct object_record *record, int folder,
						     const char *name)
{
	struct attr_time mtime = attr->mtime;
	struct timespec times[2];
	char proc[PATH_MAX];

	if (S_ISREG(attr->mode) && record->write_time > attr->stamp_ns)
		mtime = attr_time_of_ns(record->write_time);
	times[0] = time_of(attr->atime);
	times[1] = time_of(mtime);
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d/%s", folder, name);
	if (fchownat(folder, name, attr->uid, attr->gid, AT_SYMLINK_NOFOLLOW) < 0 && errno != EPERM)
		log_warning("/%s: owner: %s", exporter->path.text, strerror(errno));
	xattrs_set(exporter, id, proc);
	if (!S_ISLNK(attr->mode) && fchmodat(folder, name, attr->mode & 07777, 0) < 0)
		log_warning("/%s: mode: %s", exporter->path.text, strerror(errno));
	if (utimensat(folder, name, times, AT_SYMLINK_NOFOLLOW) < 0)
		log_warning("/%s: times: %s", exporter->path.text, strerror(errno));
}

/* Files. --------------------------------------------------------------------------------------- */

static int put(void *arg, uint64_t off, const void *data, size_t len)
{
	struct exporter *exporter = arg;

	if (!data)
		return fallocate(exporter->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				 (off_t)off, (off_t)len) < 0
			       ? -errno
			       : 0;
	exporter->out->bytes += len;
	return io_pwrite_all(exporter->fd, data, len, off);
}

static void lost_tell(struct exporter *exporter)
{
	if (exporter->lost_len)
		miss(exporter, exporter->lost_off, exporter->lost_len, -EIO);
	exporter->lost_len = 0;
}

/* One line for what lies together. */
static void lost(void *arg, uint64_t off, uint64_t len)
{
	struct exporter *exporter = arg;

	if (exporter->lost_off + exporter->lost_len != off)
		lost_tell(exporter);
	if (!exporter->lost_len)
		exporter->lost_off = off;
	exporter->lost_len += len;
}

__attribute__((noinline)) static int file_make(struct exporter *exporter, uint64_t id, int folder,
					       const char *name)
{
	struct salvage_sink sink = {.put = put, .lost = lost, .arg = exporter};
	uint64_t size = 0;
	int rc;

	exporter->fd =
		openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (exporter->fd < 0)
		return -errno;
	rc = salvage_data(exporter->salvage, id, &sink, &size);
	lost_tell(exporter);
	if (rc == 0 && ftruncate(exporter->fd, (off_t)size) < 0)
		rc = -errno;
	if (close(exporter->fd) < 0 && rc == 0)
		rc = -errno;
	return rc;
}

__attribute__((noinline)) static int link_make(struct exporter *exporter, uint64_t id, int folder,
					       const char *name)
{
	uint8_t key[KEY_LEN_1];
	char target[PATH_MAX];
	size_t len;
	int rc = meta_get(salvage_meta(exporter->salvage), key, key_1(key, KEY_SYMLINK, id), target,
			  sizeof(target) - 1, &len);

	if (rc < 0)
		return rc;
	target[len] = '\0';
	return symlinkat(target, folder, name) < 0 ? -errno : 0;
}

/* Folders. ------------------------------------------------------------------------------------- */

static int folder_fill(struct exporter *exporter, uint64_t id, int fd);

static int folder_make(struct exporter *exporter, uint64_t id, int folder, const char *name)
{
	int fd, rc;

	if (mkdirat(folder, name, 0700) < 0)
		return -errno;
	fd = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	rc = folder_fill(exporter, id, fd);
	close(fd);
	return rc;
}

static int inode_make(struct exporter *exporter, uint64_t id, const struct attr *attr, int folder,
		      const char *name)
{
	if (S_ISDIR(attr->mode))
		return folder_make(exporter, id, folder, name);
	if (S_ISREG(attr->mode))
		return file_make(exporter, id, folder, name);
	if (S_ISLNK(attr->mode))
		return link_make(exporter, id, folder, name);
	return mknodat(folder, name, (attr->mode & S_IFMT) | 0600, (dev_t)attr->special) < 0
		       ? -errno
		       : 0;
}

__attribute__((noinline)) static int link_to(struct exporter *exporter, const char *first,
					     int folder, const char *name)
{
	const char *rest;
	int from = deep_open(exporter->dest, first, &rest), rc = from;

	if (from >= 0) {
		rc = linkat(from, rest, folder, name, 0) < 0 ? -errno : 0;
		close(from);
	}
	return rc;
}

/* A further name of an inode is a link to the first. 1: it is the first. */
static int name_again(struct exporter *exporter, uint64_t id, const struct attr *attr, int folder,
		      const char *name)
{
	char *first;
	int rc;

	if (S_ISDIR(attr->mode) || attr->nlink < 2)
		return 1;
	first = idmap_get(&exporter->linked, id);
	if (first)
		return link_to(exporter, first, folder, name);
	first = strdup(exporter->path.text);
	rc = first ? idmap_put(&exporter->linked, id, first) : -ENOMEM;
	if (rc < 0)
		free(first);
	return rc < 0 ? rc : 1;
}

static int name_make(struct exporter *exporter, uint64_t id, int folder, const char *name)
{
	struct object_record record;
	struct attr attr;
	int rc = salvage_record(exporter->salvage, id, &record);

	if (rc == 0)
		rc = attr_decode(record.attr, record.attr_len, &attr);
	if (rc == 0)
		rc = name_again(exporter, id, &attr, folder, name);
	if (rc <= 0)
		return rc;
	rc = inode_make(exporter, id, &attr, folder, name);
	if (rc == 0)
		attributes_set(exporter, id, &attr, &record, folder, name);
	return rc;
}

struct filling {
	struct exporter *exporter;
	int fd;
};

static bool is_name(const char *name, size_t len)
{
	return len && len <= DIR_NAME_MAX && !memchr(name, '/', len) && !memchr(name, 0, len) &&
	       !(len == 1 && name[0] == '.') && !(len == 2 && name[0] == '.' && name[1] == '.');
}

/* What fails here is told, and the rest goes on; but for a full disk. */
static int each_entry(void *arg, const struct dir_entry *entry)
{
	struct filling *filling = arg;
	struct exporter *exporter = filling->exporter;
	size_t before = exporter->path.len;
	char name[DIR_NAME_MAX + 1];
	int rc = -EUCLEAN;

	if (!is_name(entry->name, entry->name_len)) {
		miss(exporter, 0, 0, rc);
		return 0;
	}
	memcpy(name, entry->name, entry->name_len);
	name[entry->name_len] = '\0';
	rc = deep_push(&exporter->path, name);
	if (rc == 0)
		rc = name_make(exporter, entry->id, filling->fd, name);
	exporter->out->names += rc == 0;
	if (rc < 0)
		miss(exporter, 0, 0, rc);
	deep_cut(&exporter->path, before);
	return rc == -ENOSPC || rc == -ENOMEM ? rc : 0;
}

static int folder_fill(struct exporter *exporter, uint64_t id, int fd)
{
	struct dir dir = {.meta = salvage_meta(exporter->salvage),
			  .seed = get_le64(exporter->options->config->uuid),
			  .mask = UINT64_MAX,
			  .id = id};
	struct filling filling = {exporter, fd};
	int rc;

	if (exporter->depth >= exporter->depth_max || idmap_get(&exporter->under_way, id))
		return -ELOOP;
	rc = idmap_put(&exporter->under_way, id, exporter);
	if (rc < 0)
		return rc;
	exporter->depth++;
	rc = dir_walk(&dir, DIR_PARENT, each_entry, &filling);
	exporter->depth--;
	idmap_del(&exporter->under_way, id);
	return rc;
}

/* ---------------------------------------------------------------------------------------------- */

static int dest_open(const char *dest, bool *made)
{
	struct dirent *entry;
	bool empty = true;
	DIR *stream;

	*made = mkdir(dest, 0700) == 0;
	if (!*made && errno != EEXIST) {
		log_error("%s: %s", dest, strerror(errno));
		return -errno;
	}
	stream = opendir(dest);
	if (!stream) {
		log_error("%s: %s", dest, strerror(errno));
		return -errno;
	}
	while (empty && (entry = readdir(stream)))
		empty = !strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..");
	closedir(stream);
	if (!empty) {
		log_error("%s: is not empty: name a folder that is, or one to be made", dest);
		return -ENOTEMPTY;
	}
	return open(dest, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void work_remove(const char *work)
{
	static const char *const folders[] = {"copy", "copy.tail"};

	for (unsigned i = 0; i < 2; i++) {
		char path[PATH_MAX];
		struct dirent *entry;
		DIR *stream;

		if (snprintf(path, sizeof(path), "%s/%s", work, folders[i]) >= PATH_MAX)
			continue;
		stream = opendir(path);
		while (stream && (entry = readdir(stream)))
			if (entry->d_name[0] != '.')
				unlinkat(dirfd(stream), entry->d_name, 0);
		if (stream)
			closedir(stream);
		rmdir(path);
	}
	rmdir(work);
}

/* Objects without names: OBJECTS_NAME/NUMBER. ---------------------------------------------------
 */

static int number_end(struct exporter *exporter)
{
	int fd = exporter->fd;

	lost_tell(exporter);
	exporter->fd = -1;
	return fd >= 0 && close(fd) < 0 ? -errno : 0;
}

static int number_begin(void *arg, uint64_t object)
{
	struct exporter *exporter = arg;
	int rc = number_end(exporter);

	if (rc < 0)
		return rc;
	snprintf(exporter->path.text, exporter->path.cap, OBJECTS_NAME "/%llu",
		 (unsigned long long)object);
	exporter->fd = openat(exporter->dest, exporter->path.text,
			      O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (exporter->fd < 0)
		return -errno;
	exporter->out->names++;
	return 0;
}

static int numbers_fill(struct exporter *exporter)
{
	struct salvage_sink sink = {.put = put, .lost = lost, .arg = exporter};
	int closed, rc = mkdirat(exporter->dest, OBJECTS_NAME, 0700) < 0 ? -errno : 0;

	exporter->fd = -1;
	if (rc == 0)
		rc = salvage_each(exporter->salvage, number_begin, &sink);
	closed = number_end(exporter);
	return rc < 0 ? rc : closed;
}

static int root_fill(struct exporter *exporter)
{
	struct object_record record;
	struct attr attr;
	int rc = folder_fill(exporter, OBJECT_ID_ROOT, exporter->dest);

	if (rc == 0 && salvage_record(exporter->salvage, OBJECT_ID_ROOT, &record) == 0 &&
	    attr_decode(record.attr, record.attr_len, &attr) == 0)
		attributes_set(exporter, OBJECT_ID_ROOT, &attr, &record, exporter->dest, ".");
	return rc;
}

int fs_export(const struct export_options *options, struct export_result *out)
{
	struct exporter exporter = {.options = options, .out = out, .depth_max = deep_levels()};
	char work[PATH_MAX], *first;
	size_t at = 0;
	bool made;
	int rc;

	*out = (struct export_result){.names = 0};
	if (snprintf(work, sizeof(work), "%s/" WORK_NAME, options->dest) >= PATH_MAX)
		return -ENAMETOOLONG;
	exporter.dest = dest_open(options->dest, &made);
	if (exporter.dest < 0)
		return exporter.dest;
	idmap_init(&exporter.linked);
	idmap_init(&exporter.under_way);
	rc = deep_begin(&exporter.path);
	if (rc == 0)
		rc = mkdir(work, 0700) < 0 ? -errno : 0;
	if (rc == 0)
		rc = salvage_open(&exporter.salvage, options->config, work, &out->source);
	if (rc == 0) {
		rc = out->source.none ? numbers_fill(&exporter) : root_fill(&exporter);
		salvage_close(exporter.salvage);
	}
	work_remove(work);
	while ((first = idmap_each(&exporter.linked, &at)))
		free(first);
	idmap_release(&exporter.linked);
	idmap_release(&exporter.under_way);
	free(exporter.path.text);
	close(exporter.dest);
	if (rc < 0 && made)
		rmdir(options->dest); /* if nothing is in it */
	return rc;
}
