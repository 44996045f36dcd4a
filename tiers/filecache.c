// SPDX-License-Identifier: Apache-2.0
/*
 * See filecache.h.
 *
 * Invariants:
 *  1. A file in the table stands for exactly one name on disk. A removed one leaves the table at
 *     once and lives on for those who hold it.
 *  2. `written` counts completed writes, `synced` those a successful sync covers. A file is dirty
 *     while written > synced; dirty or failed files never leave the table but by removal.
 *  3. `failed` never goes back: the kernel reports a lost page once and then calls it clean, so a
 *     later success would be a lie.
 *  4. used[place] is the sum of `disk` over that place's files, in the table or not.
 *  5. A root, once set, is never freed before the cache: who reads it holds no lock.
 *
 * Locks: cache->lock guards table, lists and all fields of a file but those marked; no I/O under
 * it. file->account orders fstat() and the update that follows; cache->lock is taken inside it.
 */
#include "tiers/filecache.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tiers/io.h"
#include "tiers/medium.h"

#define BUCKETS	   512u
#define SUBFOLDERS 256u

struct segfile {
	struct tier_segment seg;
	struct segfile *chain;	       /* of the bucket */
	struct segfile *older, *newer; /* in the idle list */
	pthread_cond_t changed;	       /* opening or syncing ended */
	pthread_mutex_t account;
	unsigned refs;
	int fd, direct; /* direct: -1 not yet opened */
	int error;	/* of opening; set once */
	int failed;	/* of a sync; stays */
	bool opening, syncing, idle, removed;
	bool name_new; /* the name is not known to be durable */
	bool verified; /* a sync has succeeded since we opened it */
	uint64_t written, synced;
	uint64_t disk; /* st_blocks * 512 at the last look */
};

struct root { /* a place's directory, and those it had before, until the cache is freed */
	struct root *next;
	char path[];
};

struct place {
	_Atomic(struct root *) root;
	struct medium *medium;
	uint64_t used;
	bool folder_durable[SUBFOLDERS]; /* the sub-folder's own name was synced */
};

struct filecache {
	pthread_mutex_t lock;
	struct segfile *buckets[BUCKETS];
	struct segfile *oldest, *newest; /* idle: no references, clean */
	unsigned fds, most_fds;
	uint64_t used_all;
	struct place places[TIER_PLACES_MAX];
};

int filecache_new(struct filecache **out, unsigned most_fds)
{
	struct filecache *cache = calloc(1, sizeof(*cache));

	*out = cache;
	if (!cache)
		return -ENOMEM;
	pthread_mutex_init(&cache->lock, NULL);
	cache->most_fds = most_fds;
	return 0;
}

const char *filecache_root(struct filecache *cache, uint32_t place)
{
	struct root *root = cache->places[place].root;

	return root ? root->path : NULL;
}

int filecache_place_add(struct filecache *cache, uint32_t index, const char *path,
			struct medium *medium)
{
	struct place *place = &cache->places[index];
	size_t len = strlen(path) + 1;
	struct root *root = malloc(sizeof(*root) + len);

	if (!root)
		return -ENOMEM;
	memcpy(root->path, path, len);
	pthread_mutex_lock(&cache->lock);
	root->next = place->root;
	place->root = root;
	place->medium = medium;
	memset(place->folder_durable, 0, sizeof(place->folder_durable));
	pthread_mutex_unlock(&cache->lock);
	return 0;
}

static void used_locked(struct filecache *cache, uint32_t index, int64_t change)
{
	struct place *place = &cache->places[index];

	place->used += (uint64_t)change;
	cache->used_all += (uint64_t)change;
	if (place->medium)
		medium_used_add(place->medium, change);
}

static void segfile_free(struct segfile *file)
{
	/* Everything that counts was synced or has failed already: nothing to learn from close().
	 */
	if (file->direct >= 0)
		io_close(file->direct);
	if (file->fd >= 0)
		io_close(file->fd);
	pthread_cond_destroy(&file->changed);
	pthread_mutex_destroy(&file->account);
	free(file);
}

void filecache_free(struct filecache *cache)
{
	struct segfile *file;
	uint32_t i;

	if (!cache)
		return;
	for (i = 0; i < BUCKETS; i++) {
		while ((file = cache->buckets[i])) {
			cache->buckets[i] = file->chain;
			segfile_free(file);
		}
	}
	for (i = 0; i < TIER_PLACES_MAX; i++) {
		struct root *root = cache->places[i].root;

		used_locked(cache, i, -(int64_t)cache->places[i].used);
		while (root) {
			struct root *before = root->next;

			free(root);
			root = before;
		}
	}
	pthread_mutex_destroy(&cache->lock);
	free(cache);
}

static int folder_path(struct filecache *cache, struct tier_segment seg, char *buf, size_t cap)
{
	int len = snprintf(buf, cap, "%s/segments/%02x", filecache_root(cache, seg.place),
			   (unsigned)(seg.id & 0xff));

	return len < 0 || (size_t)len >= cap ? -ENAMETOOLONG : 0;
}

int filecache_path(struct filecache *cache, struct tier_segment seg, char *buf, size_t cap)
{
	int len =
		snprintf(buf, cap, "%s/segments/%02x/%016llx.seg", filecache_root(cache, seg.place),
			 (unsigned)(seg.id & 0xff), (unsigned long long)seg.id);

	return len < 0 || (size_t)len >= cap ? -ENAMETOOLONG : 0;
}

/* Table and lists ------------------------------------------------------------------------------ */

static struct segfile **bucket_of(struct filecache *cache, struct tier_segment seg)
{
	/* Ids are handed out one after another, so their low bits spread by themselves. */
	return &cache->buckets[(seg.id + seg.place) % BUCKETS];
}

static struct segfile *find_locked(struct filecache *cache, struct tier_segment seg)
{
	struct segfile *file = *bucket_of(cache, seg);

	while (file && (file->seg.id != seg.id || file->seg.place != seg.place))
		file = file->chain;
	return file;
}

static void unhash_locked(struct filecache *cache, struct segfile *file)
{
	struct segfile **at = bucket_of(cache, file->seg);

	while (*at && *at != file)
		at = &(*at)->chain;
	if (*at)
		*at = file->chain;
	file->chain = NULL;
}

static void idle_remove_locked(struct filecache *cache, struct segfile *file)
{
	if (!file->idle)
		return;
	*(file->older ? &file->older->newer : &cache->oldest) = file->newer;
	*(file->newer ? &file->newer->older : &cache->newest) = file->older;
	file->older = file->newer = NULL;
	file->idle = false;
}

static void idle_add_locked(struct filecache *cache, struct segfile *file)
{
	file->older = cache->newest;
	file->newer = NULL;
	*(cache->newest ? &cache->newest->newer : &cache->oldest) = file;
	cache->newest = file;
	file->idle = true;
}

static unsigned fds_of(const struct segfile *file)
{
	return (unsigned)(file->fd >= 0) + (unsigned)(file->direct >= 0);
}

/* Takes out what is beyond the bound; the caller frees the chain without the lock. */
static struct segfile *evict_locked(struct filecache *cache)
{
	struct segfile *file, *dead = NULL;

	while (cache->fds > cache->most_fds && (file = cache->oldest)) {
		idle_remove_locked(cache, file);
		unhash_locked(cache, file);
		cache->fds -= fds_of(file);
		file->chain = dead;
		dead = file;
	}
	return dead;
}

static void free_chain(struct segfile *dead)
{
	while (dead) {
		struct segfile *next = dead->chain;

		segfile_free(dead);
		dead = next;
	}
}

/* Opening and closing -------------------------------------------------------------------------- */

static struct segfile *segfile_new(struct tier_segment seg)
{
	struct segfile *file = calloc(1, sizeof(*file));

	if (!file)
		return NULL;
	file->seg = seg;
	file->refs = 1;
	file->fd = file->direct = -1;
	file->opening = true;
	pthread_cond_init(&file->changed, NULL);
	pthread_mutex_init(&file->account, NULL);
	return file;
}

static int create_file(struct filecache *cache, struct tier_segment seg, const char *path)
{
	char folder[PATH_MAX];
	int fd = io_open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
	int error;

	if (fd != -ENOENT)
		return fd;
	error = folder_path(cache, seg, folder, sizeof(folder));
	if (error)
		return error;
	error = io_make_folder(folder, 0700);
	if (error == -ENOENT)
		return -EIO;
	if (error && error != -EEXIST)
		return error;
	return io_open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
}

/* The slow half of opening, without the lock; file is in the table, marked `opening`. */
static int open_file(struct filecache *cache, struct segfile *file, bool create)
{
	char path[PATH_MAX];
	struct stat st;
	int fd, error = filecache_path(cache, file->seg, path, sizeof(path));

	if (error)
		return error;
	fd = create ? create_file(cache, file->seg, path) : io_open(path, O_RDWR, 0);
	if (fd < 0)
		return fd;
	error = io_stat(fd, &st);
	if (error) {
		io_close(fd);
		if (create)
			io_remove(path);
		return error;
	}
	file->fd = fd;
	file->disk = (uint64_t)st.st_blocks * 512;
	file->name_new = create;
	return 0;
}

static int file_get(struct filecache *cache, struct tier_segment seg, bool create,
		    struct segfile **out)
{
	struct segfile *file, *fresh, *dead;
	int error = 0;

	*out = NULL;
	pthread_mutex_lock(&cache->lock);
	file = find_locked(cache, seg);
	if (file) {
		file->refs++;
		idle_remove_locked(cache, file);
		while (file->opening)
			pthread_cond_wait(&file->changed, &cache->lock);
		error = file->error ? file->error : create ? -EEXIST : 0;
		pthread_mutex_unlock(&cache->lock);
		if (error)
			filecache_close(cache, file);
		else
			*out = file;
		return error;
	}
	fresh = segfile_new(seg);
	if (!fresh) {
		pthread_mutex_unlock(&cache->lock);
		return -ENOMEM;
	}
	fresh->chain = *bucket_of(cache, seg);
	*bucket_of(cache, seg) = fresh;
	pthread_mutex_unlock(&cache->lock);

	error = open_file(cache, fresh, create);

	pthread_mutex_lock(&cache->lock);
	fresh->opening = false;
	fresh->error = error;
	if (error) {
		unhash_locked(cache, fresh);
		fresh->removed = true;
	} else {
		cache->fds += fds_of(fresh);
		if (create)
			used_locked(cache, seg.place, (int64_t)fresh->disk);
	}
	pthread_cond_broadcast(&fresh->changed);
	dead = evict_locked(cache);
	pthread_mutex_unlock(&cache->lock);
	free_chain(dead);
	if (error)
		filecache_close(cache, fresh);
	else
		*out = fresh;
	return error;
}

int filecache_open(struct filecache *cache, struct tier_segment seg, struct segfile **out)
{
	return file_get(cache, seg, false, out);
}

int filecache_create(struct filecache *cache, struct tier_segment seg, struct segfile **out)
{
	return file_get(cache, seg, true, out);
}

void filecache_close(struct filecache *cache, struct segfile *file)
{
	struct segfile *dead = NULL;

	pthread_mutex_lock(&cache->lock);
	if (--file->refs == 0) {
		if (file->removed) {
			cache->fds -= fds_of(file);
			file->chain = NULL;
			dead = file;
		} else if (!file->failed && !file->name_new && file->written == file->synced) {
			idle_add_locked(cache, file);
			dead = evict_locked(cache);
		}
	}
	pthread_mutex_unlock(&cache->lock);
	free_chain(dead);
}

int filecache_remove(struct filecache *cache, struct tier_segment seg)
{
	char path[PATH_MAX];
	struct segfile *file;
	int error = filecache_open(cache, seg, &file);

	if (error)
		return error;
	error = filecache_path(cache, seg, path, sizeof(path));
	if (!error)
		error = io_remove(path);
	if (!error || error == -ENOENT) { /* somebody else may have removed it */
		segfile_account(cache, file);
		pthread_mutex_lock(&file->account);
		pthread_mutex_lock(&cache->lock);
		if (!file->removed) {
			unhash_locked(cache, file);
			file->removed = true;
			used_locked(cache, seg.place, -(int64_t)file->disk);
		}
		pthread_mutex_unlock(&cache->lock);
		pthread_mutex_unlock(&file->account);
	}
	filecache_close(cache, file);
	return error;
}

void filecache_place_remove(struct filecache *cache, uint32_t place)
{
	struct segfile *dead = NULL;
	unsigned i;

	pthread_mutex_lock(&cache->lock);
	for (i = 0; i < BUCKETS; i++) {
		struct segfile **at = &cache->buckets[i], *file;

		while ((file = *at)) {
			if (file->seg.place != place) {
				at = &file->chain;
				continue;
			}
			*at = file->chain;
			file->removed = true; /* who holds it frees it */
			idle_remove_locked(cache, file);
			if (file->refs) {
				file->chain = NULL;
				continue;
			}
			cache->fds -= fds_of(file);
			file->chain = dead;
			dead = file;
		}
	}
	used_locked(cache, place, -(int64_t)cache->places[place].used);
	pthread_mutex_unlock(&cache->lock);
	free_chain(dead);
}

int segfile_fd(const struct segfile *file)
{
	return file->fd;
}

int segfile_direct(struct filecache *cache, struct segfile *file)
{
	char path[PATH_MAX];
	int fd, mine;

	pthread_mutex_lock(&cache->lock);
	fd = file->direct;
	pthread_mutex_unlock(&cache->lock);
	if (fd >= 0)
		return fd;
	fd = filecache_path(cache, file->seg, path, sizeof(path));
	if (!fd)
		fd = io_open(path, O_RDWR | O_DIRECT, 0);
	if (fd < 0)
		return fd;
	mine = fd;
	pthread_mutex_lock(&cache->lock);
	if (file->direct < 0) {
		file->direct = mine;
		cache->fds++;
		mine = -1;
	}
	fd = file->direct;
	pthread_mutex_unlock(&cache->lock);
	if (mine >= 0)
		io_close(mine);
	return fd;
}

/* State ---------------------------------------------------------------------------------------- */

void segfile_account(struct filecache *cache, struct segfile *file)
{
	struct stat st;

	pthread_mutex_lock(&file->account);
	if (!io_stat(file->fd, &st)) {
		pthread_mutex_lock(&cache->lock);
		if (!file->removed)
			used_locked(cache, file->seg.place,
				    (int64_t)st.st_blocks * 512 - (int64_t)file->disk);
		file->disk = (uint64_t)st.st_blocks * 512;
		pthread_mutex_unlock(&cache->lock);
	}
	pthread_mutex_unlock(&file->account);
}

void segfile_changed(struct filecache *cache, struct segfile *file)
{
	pthread_mutex_lock(&cache->lock);
	file->written++;
	pthread_mutex_unlock(&cache->lock);
	segfile_account(cache, file);
}

int segfile_error(struct filecache *cache, struct segfile *file)
{
	int error;

	pthread_mutex_lock(&cache->lock);
	error = file->failed;
	pthread_mutex_unlock(&cache->lock);
	return error;
}

/* Makes the name durable: the sub-folder's list of files, and its own name in segments/. */
static int sync_name(struct filecache *cache, struct segfile *file)
{
	struct place *place = &cache->places[file->seg.place];
	unsigned sub = (unsigned)(file->seg.id & 0xff);
	char path[PATH_MAX];
	bool durable;
	int error = folder_path(cache, file->seg, path, sizeof(path));

	if (!error)
		error = io_sync_folder(path);
	pthread_mutex_lock(&cache->lock);
	durable = place->folder_durable[sub];
	pthread_mutex_unlock(&cache->lock);
	if (error || durable)
		return error;
	path[strlen(path) - strlen("/XX")] = '\0';
	error = io_sync_folder(path);
	if (error)
		return error;
	pthread_mutex_lock(&cache->lock);
	place->folder_durable[sub] = true;
	pthread_mutex_unlock(&cache->lock);
	return 0;
}

int segfile_sync(struct filecache *cache, struct segfile *file, bool *led)
{
	uint64_t upto, cover;
	bool name_new;
	int error;

	if (led)
		*led = false;
	pthread_mutex_lock(&cache->lock);
	upto = file->written;
	for (;;) {
		error = file->failed;
		if (error || (file->verified && !file->name_new && file->synced >= upto))
			goto out;
		if (!file->syncing)
			break;
		pthread_cond_wait(&file->changed, &cache->lock);
	}
	file->syncing = true;
	cover = file->written;
	/* A file of an earlier run may have been created just before that run died. */
	name_new = file->name_new || !file->verified;
	pthread_mutex_unlock(&cache->lock);

	error = io_sync_data(file->fd);
	if (!error && name_new)
		error = sync_name(cache, file);
	/* Writing out may have added blocks (extent trees, delayed allocation). */
	segfile_account(cache, file);

	pthread_mutex_lock(&cache->lock);
	file->syncing = false;
	if (error) {
		file->failed = error;
	} else {
		file->synced = cover;
		file->verified = true;
		file->name_new = false;
	}
	if (led)
		*led = true;
	pthread_cond_broadcast(&file->changed);
out:
	pthread_mutex_unlock(&cache->lock);
	return error;
}

uint64_t filecache_used(struct filecache *cache, uint32_t place)
{
	uint64_t used;

	pthread_mutex_lock(&cache->lock);
	used = cache->places[place].used;
	pthread_mutex_unlock(&cache->lock);
	return used;
}

void filecache_used_add(struct filecache *cache, uint32_t place, uint64_t bytes)
{
	pthread_mutex_lock(&cache->lock);
	used_locked(cache, place, (int64_t)bytes);
	pthread_mutex_unlock(&cache->lock);
}

uint64_t filecache_used_all(struct filecache *cache)
{
	uint64_t used;

	pthread_mutex_lock(&cache->lock);
	used = cache->used_all;
	pthread_mutex_unlock(&cache->lock);
	return used;
}
