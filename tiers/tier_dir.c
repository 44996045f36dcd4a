// SPDX-License-Identifier: Apache-2.0
/*
 * The directory tier: segments are files PATH/segments/XX/XXXXXXXXXXXXXXXX.seg, XX being the id's
 * low byte, so that no folder grows beyond a 256th of the segments. terrace-format(5) has the
 * layout; descriptors and durability are filecache.c, transfers round the page cache bulkio.c.
 *
 * Invariants:
 *  1. Nothing is written below a path whose label is not this pool's and tier's; the label says
 *     which place it is.
 *  2. Files in the directory that are not ours by name are neither counted nor touched.
 *  3. After a failed sync a segment takes no more writes and never syncs again (filecache.c, 3).
 *  4. `used` counts label, segment and plain files, not the folders.
 *
 * Threads: any. A place's fields are set before it is announced (tier.h) and stay as they are until
 * the index is used again; places are added and removed by one thread at a time (places_lock).
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tiers/bulkio.h"
#include "tiers/filecache.h"
#include "tiers/io.h"
#include "tiers/log.h"
#include "tiers/medium.h"
#include "tiers/plain_files.h"
#include "tiers/segment_file.h"
#include "tiers/throttle.h"
#include "tiers/tier.h"
#include "tiers/tier_label.h"

#define MOST_FDS      256u
#define PUNCH_BLOCK   4096u
#define START_BYTES   (1u << 20)
#define QUOTA_OWN_MAX (64u << 10)

struct dir_place {
	_Atomic(struct medium *) medium;
	struct throttle throttle;
	_Atomic bool direct;	 /* the medium takes O_DIRECT, and the tier's setting wants it */
	_Atomic bool space_told; /* that it cannot be asked for its space */
	_Atomic bool memory;	 /* tmpfs: dropping its cache would drop nothing */
};

struct dir_tier {
	struct tier base;
	char *name;
	uint8_t pool_uuid[16];
	uint32_t tier_id;
	int direct; /* as asked for */
	struct filecache *files;
	struct bulkio *bulk;
	uint32_t quota_percent;
	_Atomic uint64_t quota; /* of all places together; 0 = the media */
	pthread_mutex_t places_lock;
	struct dir_place places[TIER_PLACES_MAX];
};

static struct dir_tier *dir_of(struct tier *tier)
{
	return (struct dir_tier *)tier; /* base is the first member */
}

/* Logs an error of the medium, at its birth; returns it. */
static int dir_failed(struct dir_tier *dir, struct tier_segment seg, const char *verb, size_t len,
		      uint64_t off, int error)
{
	char path[PATH_MAX];

	if (filecache_path(dir->files, seg, path, sizeof(path)))
		path[0] = '\0';
	log_error("tier %s: cannot %s %s (%zu bytes at %llu): %s", dir->name, verb, path, len,
		  (unsigned long long)off, strerror(-error));
	return error;
}

/* Space ---------------------------------------------------------------------------------------- */

static void space_forget(struct dir_tier *dir, uint32_t place)
{
	medium_forget(dir->places[place].medium);
}

/* Of what the quota is for. */
static uint64_t used_all(const struct dir_tier *dir)
{
	uint64_t used = filecache_used_all(dir->files) + tier_plain_used(&dir->base), spare = 0;

	for (uint64_t left = dir->base.spare; left; left &= left - 1)
		spare += filecache_used(dir->files, (uint32_t)__builtin_ctzll(left));
	return used > spare ? used - spare : 0;
}

/* The file system's own maps of files that are not synced yet do not show in what they take: a
 * block each, of a batch's segments. */
static uint64_t quota_kept(const struct dir_tier *dir)
{
	uint64_t quota = dir->quota;

	return quota / 256 < QUOTA_OWN_MAX ? quota / 256 : QUOTA_OWN_MAX;
}

/* What may still be written. */
static uint64_t quota_left(const struct dir_tier *dir)
{
	uint64_t taken = used_all(dir) + quota_kept(dir), quota = dir->quota;

	return quota > taken ? quota - taken : 0;
}

static int dir_space(struct tier *tier, uint32_t index, struct tier_space *out)
{
	struct dir_tier *dir = dir_of(tier);
	struct medium *medium = dir->places[index].medium;
	const char *path = filecache_root(dir->files, index);
	int error;

	*out = (struct tier_space){.device = medium_device(medium),
				   .used = filecache_used(dir->files, index) +
					   tier_plain_at(tier, index)};
	if (!tier_place_spare(tier, index)) {
		out->quota = dir->quota;
		out->kept = quota_kept(dir);
	}
	error = medium_space(medium, path, &out->medium_total, &out->medium_free);
	if (error && !atomic_exchange(&dir->places[index].space_told, true))
		log_error("tier %s: cannot ask %s for its space: %s", dir->name, path,
			  strerror(-error));
	if (error)
		return error;
	dir->places[index].space_told = false;
	out->total = out->medium_total;
	out->free = out->medium_free;
	if (out->quota) {
		uint64_t left = quota_left(dir);

		if (out->total > out->quota)
			out->total = out->quota;
		if (out->free > left)
			out->free = left;
	}
	return 0;
}

/* `size=80%` is of the media that the places are on. */
static void quota_update(struct dir_tier *dir)
{
	struct tier_space room;

	if (!dir->quota_percent)
		return;
	if (!tier_room(&dir->base, &room))
		dir->quota = room.medium_total / 100 * dir->quota_percent;
}

/* Transfers ------------------------------------------------------------------------------------ */

/* What is appended goes to the medium while the next frames are being coded, not all at the sync.
 */
static void start_writing(int fd, size_t len, uint64_t off)
{
	uint64_t from = off / START_BYTES * START_BYTES;
	uint64_t upto = (off + len) / START_BYTES * START_BYTES;

	if (upto > from)
		io_start_writing(fd, upto - from, from);
}

static int dir_write(struct tier *tier, struct tier_segment seg, const void *buf, size_t len,
		     uint64_t off, enum tier_hint hint)
{
	struct dir_tier *dir = dir_of(tier);
	struct dir_place *place = &dir->places[seg.place];
	struct segfile *file;
	int direct = -1, error = filecache_open(dir->files, seg, &file);

	if (error)
		return dir_failed(dir, seg, "open", len, off, error);
	error = segfile_error(dir->files, file);
	if (error) /* logged when its sync failed */
		goto out;
	if (dir->quota && !tier_place_spare(tier, seg.place) && len > quota_left(dir)) {
		error = -ENOSPC;
		goto out;
	}
	throttle_wait(&place->throttle, len);
	if (hint == TIER_BULK && place->direct && len >= BULKIO_WRITE_MIN)
		direct = segfile_direct(dir->files, file);
	error = bulkio_write(dir->bulk, segfile_fd(file), direct, buf, len, off);
	if (!error && direct < 0)
		start_writing(segfile_fd(file), len, off);
	/* A failed write may have left a part behind: it counts too. */
	segfile_changed(dir->files, file);
	if (error == -ENOSPC || error == -EDQUOT)
		space_forget(dir, seg.place);
	if (error == -EDQUOT)
		error = -ENOSPC;
	if (error)
		dir_failed(dir, seg, "write", len, off, error);
out:
	filecache_close(dir->files, file);
	return error;
}

/* The page cache. A stream whose bytes happen to be there takes them from it. */
static bool goes_round(const struct dir_place *place, const struct segfile *file, size_t len,
		       uint64_t off, enum tier_hint hint)
{
	return hint != TIER_FOREGROUND && place->direct && len >= BULKIO_READ_MIN &&
	       (hint == TIER_BULK || !bulkio_cached(segfile_fd(file), len, off));
}

static int dir_read(struct tier *tier, struct tier_segment seg, void *buf, size_t len, uint64_t off,
		    enum tier_hint hint)
{
	struct dir_tier *dir = dir_of(tier);
	struct dir_place *place = &dir->places[seg.place];
	struct segfile *file;
	int direct = -1, error = filecache_open(dir->files, seg, &file);

	if (error)
		return dir_failed(dir, seg, "open", len, off, error);
	throttle_wait(&place->throttle, len);
	if (goes_round(place, file, len, off, hint))
		direct = segfile_direct(dir->files, file);
	if (hint == TIER_STREAM && direct >= 0)
		error = bulkio_read_aligned(segfile_fd(file), direct, buf, len, off);
	else
		error = bulkio_read(dir->bulk, segfile_fd(file), direct, buf, len, off);
	if (error)
		dir_failed(dir, seg, "read", len, off, error);
	else if (hint == TIER_BULK && direct < 0 && !place->memory)
		(void)posix_fadvise(segfile_fd(file), (off_t)off, (off_t)len, POSIX_FADV_DONTNEED);
	filecache_close(dir->files, file);
	return error;
}

/* Whatever fails is told by the read that follows. */
static void dir_ahead(struct tier *tier, struct tier_segment seg, size_t len, uint64_t off)
{
	struct dir_tier *dir = dir_of(tier);
	struct segfile *file;

	if (dir->places[seg.place].memory || filecache_open(dir->files, seg, &file))
		return;
	(void)posix_fadvise(segfile_fd(file), (off_t)off, (off_t)len, POSIX_FADV_WILLNEED);
	filecache_close(dir->files, file);
}

static int dir_sync(struct tier *tier, struct tier_segment seg)
{
	struct dir_tier *dir = dir_of(tier);
	struct segfile *file;
	bool led;
	int error = filecache_open(dir->files, seg, &file);

	if (error)
		return dir_failed(dir, seg, "open", 0, 0, error);
	throttle_wait(&dir->places[seg.place].throttle, 0);
	error = segfile_sync(dir->files, file, &led);
	if (error && led)
		dir_failed(dir, seg, "sync", 0, 0, error);
	filecache_close(dir->files, file);
	return error;
}

static int dir_punch(struct tier *tier, struct tier_segment seg, uint64_t len, uint64_t off)
{
	struct dir_tier *dir = dir_of(tier);
	/* Whole blocks only: the kernel would zero the edges in place, and those blocks hold
	 * durable bytes of the neighbours (segment.h, invariant 1). */
	uint64_t first = (off + PUNCH_BLOCK - 1) / PUNCH_BLOCK * PUNCH_BLOCK;
	uint64_t last = (off + len) / PUNCH_BLOCK * PUNCH_BLOCK;
	struct segfile *file;
	int error;

	if (first >= last)
		return 0;
	error = filecache_open(dir->files, seg, &file);
	if (error)
		return dir_failed(dir, seg, "open", len, off, error);
	error = io_allocate(segfile_fd(file), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			    last - first, first);
	if (error)
		dir_failed(dir, seg, "punch", len, off, error);
	segfile_account(dir->files, file);
	space_forget(dir, seg.place);
	filecache_close(dir->files, file);
	return error;
}

static int dir_truncate(struct tier *tier, struct tier_segment seg, uint64_t len)
{
	struct dir_tier *dir = dir_of(tier);
	struct segfile *file;
	int error = filecache_open(dir->files, seg, &file);

	if (error)
		return dir_failed(dir, seg, "open", 0, len, error);
	error = io_truncate(segfile_fd(file), len);
	segfile_changed(dir->files, file);
	if (error)
		dir_failed(dir, seg, "truncate", 0, len, error);
	space_forget(dir, seg.place);
	filecache_close(dir->files, file);
	return error;
}

/* Names ---------------------------------------------------------------------------------------- */

static int dir_create(struct tier *tier, struct tier_segment seg)
{
	struct dir_tier *dir = dir_of(tier);
	struct segfile *file;
	int error = filecache_create(dir->files, seg, &file);

	if (!error) {
		filecache_close(dir->files, file);
		return 0;
	}
	error = error == -EDQUOT ? -ENOSPC : error;
	if (error == -ENOSPC)
		space_forget(dir, seg.place);
	return dir_failed(dir, seg, "create", 0, 0, error);
}

static int dir_remove(struct tier *tier, struct tier_segment seg)
{
	struct dir_tier *dir = dir_of(tier);
	int error = filecache_remove(dir->files, seg);

	if (error && error != -ENOENT) /* a removal tried again after a crash finds nothing */
		dir_failed(dir, seg, "remove", 0, 0, error);
	space_forget(dir, seg.place);
	return error;
}

struct listing {
	uint32_t place;
	int (*each)(void *arg, struct tier_segment seg, uint64_t len, uint64_t disk);
	void *arg;
};

static int list_file(void *arg, uint64_t id, int folder, const char *name)
{
	const struct listing *listing = arg;
	struct stat st;

	if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		if (errno == ENOENT) /* gone between the two calls: removed */
			return 0;
		log_error("segment %s: cannot be looked at: %s", name, strerror(errno));
		return -errno;
	}
	if (!S_ISREG(st.st_mode))
		return 0;
	return listing->each(listing->arg, (struct tier_segment){.id = id, .place = listing->place},
			     (uint64_t)st.st_size, (uint64_t)st.st_blocks * 512);
}

static int dir_list(struct tier *tier, uint32_t place,
		    int (*each)(void *arg, struct tier_segment seg, uint64_t len, uint64_t disk),
		    void *arg)
{
	struct listing listing = {.place = place, .each = each, .arg = arg};

	return segment_files_each(filecache_root(dir_of(tier)->files, place), list_file, &listing);
}

/* Opening -------------------------------------------------------------------------------------- */

static void dir_close(struct tier *tier)
{
	struct dir_tier *dir = dir_of(tier);
	uint32_t i;

	filecache_free(dir->files);
	bulkio_free(dir->bulk);
	for (i = 0; i < TIER_PLACES_MAX; i++)
		throttle_release(&dir->places[i].throttle);
	pthread_mutex_destroy(&dir->places_lock);
	free(dir->name);
	free(dir);
}

static const char *dir_place_path(struct tier *tier, uint32_t place)
{
	return filecache_root(dir_of(tier)->files, place);
}

static int count_segment(void *arg, struct tier_segment seg, uint64_t len, uint64_t disk)
{
	struct dir_tier *dir = arg;

	(void)len;
	filecache_used_add(dir->files, seg.place, disk);
	return 0;
}

/* What one place's medium can do, and what our files take there now. */
static int place_probe(struct dir_tier *dir, uint32_t index, const char *path)
{
	struct dir_place *place = &dir->places[index];
	char label[PATH_MAX];
	struct stat st = {0};
	int fd, error;

	if (snprintf(label, sizeof(label), "%s/" TIER_LABEL_NAME, path) >= (int)sizeof(label))
		return -ENAMETOOLONG;
	place->direct = dir->direct != 0 && bulkio_probe(label);
	place->memory = !bulkio_medium(label);
	if (dir->direct == 1 && !place->direct)
		log_warning("tier %s: %s takes no direct I/O, using the page cache", dir->name,
			    path);
	if (place->direct)
		dir->base.caps |= TIER_CAP_DIRECT;
	fd = io_open(label, O_RDWR, 0);
	if (fd < 0)
		return fd;
	/* Beyond the label's end, where there is nothing to lose. */
	if (io_allocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, PUNCH_BLOCK, 1u << 20))
		dir->base.caps &= ~(uint32_t)TIER_CAP_PUNCH;
	error = io_stat(fd, &st);
	io_close(fd);
	if (error)
		return error;
	filecache_used_add(dir->files, index, (uint64_t)st.st_blocks * 512);
	return dir_list(&dir->base, index, count_segment, dir);
}

/* Takes a labelled directory into use. */
static int place_open(struct dir_tier *dir, uint32_t index, const char *path)
{
	struct medium *medium;
	int error = medium_of(path, &medium);

	if (!error)
		error = filecache_place_add(dir->files, index, path, medium);
	if (!error) {
		dir->places[index].medium = medium;
		error = place_probe(dir, index, path);
		if (error)
			filecache_place_remove(dir->files, index);
	}
	if (error)
		log_error("tier %s: cannot open %s: %s", dir->name, path, strerror(-error));
	else
		tier_place_announce(&dir->base, index);
	return error;
}

/* The directory is not there, or what it is on. */
static bool is_gone(int error)
{
	return error == -ENOENT || error == -ENOTDIR || error == -ENODATA || error == -ENODEV ||
	       error == -ENXIO || error == -ESTALE || error == -EIO;
}

/* Paths that may be left out, and must be; not if none would be left. */
static uint64_t places_missing(const struct tier_dir_options *options)
{
	uint64_t missing = 0;
	struct tier_label label;
	uint32_t i;

	for (i = 0; i < options->npaths; i++)
		if (options->optional >> i & 1 &&
		    is_gone(tier_label_look(options->paths[i], options->pool_uuid, options->tier_id,
					    &label)))
			missing |= (uint64_t)1 << i;
	return (uint32_t)__builtin_popcountll(missing) < options->npaths ? missing : 0;
}

/* Which place each path is: from their labels. UINT32_MAX: it is missing. */
static int places_find(const struct tier_dir_options *options, uint32_t *indexes)
{
	uint64_t missing = places_missing(options);
	uint32_t i, k;

	if (options->missing)
		*options->missing = missing;
	for (i = 0; i < options->npaths; i++) {
		struct tier_label label;
		int error;

		indexes[i] = UINT32_MAX;
		if (missing >> i & 1)
			continue;
		error = tier_label_check(options->paths[i], options->pool_uuid, options->tier_id,
					 &label);
		if (error)
			return error;
		indexes[i] = label.place;
		for (k = 0; k < i && indexes[k] != indexes[i]; k++)
			;
		if (k == i)
			continue;
		log_error("tier directory %s: has the label of directory %u of its tier, and so "
			  "has %s: one is a copy of the other, or both are one",
			  options->paths[i], label.place + 1, options->paths[k]);
		return -ENOTUNIQ;
	}
	return 0;
}

static int dir_place_add(struct tier *tier, const char *path, uint32_t index);
static int dir_place_return(struct tier *tier, const char *path, uint32_t *index);
static int dir_place_remove(struct tier *tier, uint32_t index);

static const struct tier_ops dir_ops = {
	.close = dir_close,
	.segment_create = dir_create,
	.segment_remove = dir_remove,
	.segment_truncate = dir_truncate,
	.write = dir_write,
	.read = dir_read,
	.ahead = dir_ahead,
	.sync = dir_sync,
	.punch = dir_punch,
	.list = dir_list,
	.space = dir_space,
	.place_add = dir_place_add,
	.place_return = dir_place_return,
	.place_remove = dir_place_remove,
	.place_path = dir_place_path,
};

static struct dir_tier *dir_new(const struct tier_dir_options *options)
{
	struct dir_tier *dir = calloc(1, sizeof(*dir));
	uint32_t i;

	if (!dir)
		return NULL;
	pthread_mutex_init(&dir->places_lock, NULL);
	for (i = 0; i < TIER_PLACES_MAX; i++)
		throttle_init(&dir->places[i].throttle, options->delay_ns, options->bandwidth);
	dir->base.ops = &dir_ops;
	dir->base.caps = TIER_CAP_PUNCH;
	memcpy(dir->pool_uuid, options->pool_uuid, sizeof(dir->pool_uuid));
	dir->tier_id = options->tier_id;
	dir->direct = options->direct;
	dir->quota = options->quota_bytes;
	dir->quota_percent = options->quota_bytes ? 0 : options->quota_percent;
	dir->base.name = dir->name = strdup(options->name);
	return dir;
}

int tier_dir_open(struct tier **out, const struct tier_dir_options *options)
{
	uint32_t indexes[TIER_PLACES_MAX], i;
	struct dir_tier *dir;
	int error;

	*out = NULL;
	if (!options->npaths || options->npaths > TIER_PLACES_MAX || options->tier_id > 63)
		return -EINVAL;
	error = places_find(options, indexes);
	if (error)
		return error;
	dir = dir_new(options);
	if (!dir)
		return -ENOMEM;
	error = dir->name ? filecache_new(&dir->files, MOST_FDS) : -ENOMEM;
	if (!error)
		error = bulkio_new(&dir->bulk);
	for (i = 0; i < options->npaths && !error; i++) {
		if (indexes[i] == UINT32_MAX)
			continue;
		tier_place_set_spare(&dir->base, indexes[i], options->spare >> i & 1);
		error = place_open(dir, indexes[i], options->paths[i]);
	}
	if (error) {
		dir_close(&dir->base);
		return error;
	}
	quota_update(dir);
	*out = &dir->base;
	return 0;
}

/* Undoes what tier_dir_format() made in a path; what was there before stays. */
static void place_unformat(const char *path, bool made_folder)
{
	char name[PATH_MAX];

	if (snprintf(name, sizeof(name), "%s/" TIER_LABEL_NAME, path) < (int)sizeof(name))
		io_remove(name);
	if (made_folder && snprintf(name, sizeof(name), "%s/segments", path) < (int)sizeof(name))
		(void)remove(name);
}

static int place_format(const char *path, const struct tier_label *label)
{
	char segments[PATH_MAX];
	int error, made;

	if (snprintf(segments, sizeof(segments), "%s/segments", path) >= (int)sizeof(segments))
		return -ENAMETOOLONG;
	made = io_make_folder(segments, 0700);
	if (made && made != -EEXIST) {
		log_error("tier directory %s: cannot make segments/: %s", path, strerror(-made));
		return made;
	}
	/* The label comes last: it is what makes the directory a tier. */
	error = tier_label_write(path, label);
	if (error)
		place_unformat(path, !made);
	return error;
}

static struct tier_label label_of(const uint8_t *pool_uuid, uint32_t tier_id, uint32_t place,
				  uint32_t nplaces)
{
	struct tier_label label = {.tier_id = tier_id, .place = place, .nplaces = nplaces};

	memcpy(label.pool_uuid, pool_uuid, sizeof(label.pool_uuid));
	return label;
}

int tier_dir_format(const struct tier_dir_options *options)
{
	uint32_t i;
	int error = 0;

	if (!options->npaths || options->npaths > TIER_PLACES_MAX || options->tier_id > 63)
		return -EINVAL;
	for (i = 0; i < options->npaths && !error; i++)
		error = tier_label_absent(options->paths[i]);
	if (error)
		return error;
	for (i = 0; i < options->npaths && !error; i++) {
		struct tier_label label =
			label_of(options->pool_uuid, options->tier_id, i, options->npaths);

		/* Again: the same directory may have been given twice. */
		error = tier_label_absent(options->paths[i]);
		if (!error)
			error = place_format(options->paths[i], &label);
	}
	/* All or nothing; the failed one has cleaned up after itself. */
	for (i = error ? i - 1 : 0; i > 0; i--)
		place_unformat(options->paths[i - 1], true);
	return error;
}

void tier_dir_unformat(const struct tier_dir_options *options)
{
	for (uint32_t i = 0; i < options->npaths; i++)
		place_unformat(options->paths[i], true);
}

/* Adding and removing while in use ------------------------------------------------------------- */

/* The same directory may be known by another path. */
static int place_twice(struct dir_tier *dir, const char *path)
{
	struct stat st, other;
	uint32_t i;

	if (stat(path, &st))
		return -errno;
	for (i = 0; i < dir->base.nplaces; i++) {
		const char *root = tier_place_path(&dir->base, i);

		if (!root || stat(root, &other) || st.st_dev != other.st_dev ||
		    st.st_ino != other.st_ino)
			continue;
		log_error("tier directory %s: is %s, which tier %s has already", path, root,
			  dir->name);
		return -EEXIST;
	}
	return 0;
}

static int dir_place_add(struct tier *tier, const char *path, uint32_t index)
{
	struct dir_tier *dir = dir_of(tier);
	struct tier_label label = label_of(dir->pool_uuid, dir->tier_id, index, tier->nplaces + 1);
	int error;

	pthread_mutex_lock(&dir->places_lock);
	error = tier_label_free(path, dir->pool_uuid, dir->tier_id);
	if (!error)
		error = place_twice(dir, path);
	if (!error)
		error = place_format(path, &label);
	if (!error) {
		error = place_open(dir, index, path);
		if (error)
			place_unformat(path, true);
	}
	if (!error)
		quota_update(dir);
	pthread_mutex_unlock(&dir->places_lock);
	return error;
}

static int dir_place_return(struct tier *tier, const char *path, uint32_t *index)
{
	struct dir_tier *dir = dir_of(tier);
	struct tier_label label;
	uint64_t bit;
	int error;

	pthread_mutex_lock(&dir->places_lock);
	error = tier_label_look(path, dir->pool_uuid, dir->tier_id, &label);
	if (!error && tier_has_place(tier, label.place))
		error = -EEXIST;
	if (error)
		goto out;
	bit = (uint64_t)1 << label.place;
	atomic_fetch_or(&tier->closed, bit);
	error = place_open(dir, label.place, path);
	if (error)
		atomic_fetch_and(&tier->closed, ~bit);
	else
		quota_update(dir);
	*index = label.place;
out:
	pthread_mutex_unlock(&dir->places_lock);
	return error;
}

/* The label goes first: without it the directory is nobody's, whatever else is left in it. */
static int dir_place_remove(struct tier *tier, uint32_t index)
{
	struct dir_tier *dir = dir_of(tier);
	const char *path = filecache_root(dir->files, index);
	char name[PATH_MAX];
	int error = 0;

	pthread_mutex_lock(&dir->places_lock);
	filecache_place_remove(dir->files, index);
	if (snprintf(name, sizeof(name), "%s/" TIER_LABEL_NAME, path) >= (int)sizeof(name))
		error = -ENAMETOOLONG;
	if (!error)
		error = io_remove(name);
	if (error == -ENOENT) /* it was deleted */
		error = 0;
	else if (!error)
		error = io_sync_folder(path);
	if (!error) {
		segment_folders_remove(path);
		plain_folder_remove(path);
	}
	quota_update(dir);
	pthread_mutex_unlock(&dir->places_lock);
	if (error)
		log_warning("tier %s: cannot remove the label in %s: %s", dir->name, path,
			    strerror(-error));
	return error;
}
