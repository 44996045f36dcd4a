// SPDX-License-Identifier: Apache-2.0
#include "tiers/plain_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tiers/io.h"
#include "tiers/log.h"
#include "tiers/pool_impl.h"

#define NAME_LEN	  25u /* 16 digits, a dot, 8 digits */
#define GENERATIONS_TRIED 1024u

static int folder_of(const char *root, char *buf, size_t cap)
{
	int len = snprintf(buf, cap, "%s/" PLAIN_FOLDER, root);

	return len < 0 || (size_t)len >= cap ? -ENAMETOOLONG : 0;
}

static int path_in(const char *root, const char *folder, uint64_t object, uint32_t generation,
		   char *buf, size_t cap)
{
	int len = snprintf(buf, cap, "%s/%s/%016" PRIx64 ".%08" PRIx32, root, folder, object,
			   generation);

	return len < 0 || (size_t)len >= cap ? -ENAMETOOLONG : 0;
}

int plain_path(const char *root, uint64_t object, uint32_t generation, char *buf, size_t cap)
{
	return path_in(root, PLAIN_FOLDER, object, generation, buf, cap);
}

int plain_aside_path(const char *root, uint64_t object, uint32_t generation, char *buf, size_t cap)
{
	return path_in(root, PLAIN_ASIDE, object, generation, buf, cap);
}

static bool digits(const char *text, unsigned n, uint64_t *out)
{
	*out = 0;
	for (unsigned i = 0; i < n; i++) {
		const char *all = "0123456789abcdef";
		const char *at = text[i] ? strchr(all, text[i]) : NULL;

		if (!at)
			return false;
		*out = *out << 4 | (uint64_t)(at - all);
	}
	return true;
}

static bool name_parse(const char *name, uint64_t *object, uint32_t *generation)
{
	uint64_t second;

	if (strlen(name) != NAME_LEN || name[16] != '.' || !digits(name, 16, object) ||
	    !digits(name + 17, 8, &second))
		return false;
	*generation = (uint32_t)second;
	return true;
}

int plain_place(struct tier *tier, uint64_t bytes, uint16_t *place)
{
	uint64_t best = 0;
	int rc = -ENODEV;

	for (uint32_t i = 0; i < tier->nplaces; i++) {
		struct tier_space room;

		if (!(tier_places_open(tier) >> i & 1) || tier_space(tier, i, &room) < 0)
			continue;
		if (room.free >= best) {
			best = room.free;
			*place = (uint16_t)i;
			rc = 0;
		}
	}
	return rc == 0 && best < bytes ? -ENOSPC : rc;
}

static const char *root_of(struct pool *pool, const struct plain_home *home)
{
	if (home->tier == 0 || home->tier >= pool->config.ntiers)
		return NULL;
	return tier_place_path(pool->tiers[home->tier].tier, home->place);
}

/* Who takes a directory out closes it, and looks then whether a file is counted there: this one has
 * been, before this looks. */
static int still_open(struct tier *tier, const struct plain_home *home, const char *path, int *fd)
{
	if (tier_places_open(tier) >> home->place & 1)
		return 0;
	io_close(*fd);
	*fd = -1;
	(void)io_remove(path);
	tier_plain_add(tier, home->place, 0, -1);
	return -EBUSY;
}

static int create(struct pool *pool, const char *root, uint64_t object, bool fill,
		  struct plain_home *home, int *fd)
{
	mode_t mode = fill ? S_IRUSR : S_IRUSR | S_IWUSR;
	struct tier *tier = pool->tiers[home->tier].tier;
	char path[PATH_MAX];
	int rc = -EEXIST;

	/* One that is to be removed may still be there, of a life that has just ended. */
	for (unsigned i = 0; i < GENERATIONS_TRIED && rc == -EEXIST; i++) {
		home->generation = i + 1;
		rc = plain_path(root, object, home->generation, path, sizeof(path));
		if (rc < 0)
			return rc;
		*fd = io_open(path, O_RDWR | O_CREAT | O_EXCL, mode);
		rc = *fd < 0 ? *fd : 0;
	}
	/* The name is there: a sync that takes the bit now makes it durable. */
	if (rc == 0) {
		atomic_fetch_or(&tier->plain_names, 1ull << home->place);
		tier_plain_add(tier, home->place, 0, 1);
		rc = still_open(tier, home, path, fd);
	}
	return rc;
}

int plain_file_create(struct pool *pool, uint64_t object, bool fill, struct plain_home *home,
		      int *fd)
{
	const char *root = root_of(pool, home);
	char folder[PATH_MAX];
	int rc = root ? create(pool, root, object, fill, home, fd) : -ENODEV;

	if (rc == -ENOENT) { /* the first one here */
		rc = folder_of(root, folder, sizeof(folder));
		if (rc == 0)
			rc = io_make_folder(folder, 0700);
		if (rc == 0 || rc == -EEXIST)
			rc = io_sync_folder(root);
		if (rc == 0)
			rc = create(pool, root, object, fill, home, fd);
	}
	home->set = rc == 0;
	return rc == -EDQUOT ? -ENOSPC : rc;
}

int plain_file_complete(int fd)
{
	int rc = io_sync_data(fd);

	if (rc == 0 && fchmod(fd, S_IRUSR | S_IWUSR) < 0)
		rc = -errno;
	return rc == 0 ? io_sync_file(fd) : rc;
}

bool plain_file_is_complete(const struct stat *st)
{
	return st->st_mode & S_IWUSR;
}

static int path_of(struct pool *pool, uint64_t object, const struct plain_home *home,
		   char path[PATH_MAX])
{
	const char *root = root_of(pool, home);

	return root ? plain_path(root, object, home->generation, path, PATH_MAX) : -ENODEV;
}

int plain_file_open(struct pool *pool, uint64_t object, const struct plain_home *home, int *fd)
{
	char path[PATH_MAX];
	int rc = path_of(pool, object, home, path);

	if (rc == 0) {
		*fd = io_open(path, O_RDWR, 0);
		rc = *fd < 0 ? *fd : 0;
	}
	return rc;
}

int plain_file_stat(struct pool *pool, uint64_t object, const struct plain_home *home,
		    struct stat *out)
{
	char path[PATH_MAX];
	int rc = path_of(pool, object, home, path);

	return rc == 0 ? io_stat_path(path, out) : rc;
}

int plain_file_remove(struct pool *pool, uint64_t object, const struct plain_home *home,
		      bool counted)
{
	char path[PATH_MAX];
	struct stat st;
	int rc = path_of(pool, object, home, path);

	if (rc == 0)
		rc = io_stat_path(path, &st);
	if (rc == 0)
		rc = io_remove(path);
	if (rc == 0)
		tier_plain_add(pool->tiers[home->tier].tier, home->place,
			       counted ? -(int64_t)st.st_blocks * 512 : 0, -1);
	return rc;
}

static int place_sync(struct tier *tier, uint32_t place)
{
	const char *root = tier_place_path(tier, place);
	char folder[PATH_MAX];
	int rc = root ? folder_of(root, folder, sizeof(folder)) : 0;

	if (rc == 0 && root)
		rc = io_sync_folder(folder);
	return rc == -ENOENT ? 0 : rc; /* the making of the first one failed */
}

int plain_names_sync(struct pool *pool)
{
	int rc = 0;

	/* Who finds nothing to do has waited for whoever does it. */
	pthread_mutex_lock(&pool->names_lock);
	for (uint32_t t = 1; t < pool->config.ntiers; t++) {
		struct tier *tier = pool->tiers[t].tier;
		uint64_t names = tier->plain_names ? atomic_exchange(&tier->plain_names, 0) : 0;

		for (uint32_t place = 0; names; place++, names >>= 1) {
			int error = names & 1 ? place_sync(tier, place) : 0;

			if (error) {
				atomic_fetch_or(&tier->plain_names, 1ull << place);
				rc = rc ? rc : error;
			}
		}
	}
	pthread_mutex_unlock(&pool->names_lock);
	return rc;
}

void plain_folder_remove(const char *root)
{
	char folder[PATH_MAX];

	if (folder_of(root, folder, sizeof(folder)) == 0)
		(void)rmdir(folder);
}

static int folder_each(const char *folder,
		       int (*each)(void *arg, uint64_t object, uint32_t generation,
				   const struct stat *st),
		       void *arg)
{
	DIR *stream = opendir(folder);
	struct dirent *entry;
	int rc = 0;

	if (!stream && errno == ENOENT)
		return 0;
	if (!stream)
		goto failed;
	while (rc == 0 && (errno = 0, entry = readdir(stream))) {
		uint32_t generation;
		uint64_t object;
		struct stat st;

		if (!name_parse(entry->d_name, &object, &generation))
			continue;
		if (!fstatat(dirfd(stream), entry->d_name, &st, AT_SYMLINK_NOFOLLOW)) {
			if (S_ISREG(st.st_mode))
				rc = each(arg, object, generation, &st);
		} else if (errno != ENOENT) {
			goto failed;
		}
	}
	if (rc == 0 && errno)
		goto failed;
	closedir(stream);
	return rc;
failed:
	rc = -errno;
	log_error("%s cannot be listed: %s", folder, strerror(-rc));
	if (stream)
		closedir(stream);
	return rc;
}

int plain_files_each(const char *root,
		     int (*each)(void *arg, uint64_t object, uint32_t generation,
				 const struct stat *st),
		     void *arg)
{
	char folder[PATH_MAX];
	int rc = folder_of(root, folder, sizeof(folder));

	return rc < 0 ? rc : folder_each(folder, each, arg);
}

int plain_aside_each(const char *root,
		     int (*each)(void *arg, uint64_t object, uint32_t generation,
				 const struct stat *st),
		     void *arg)
{
	char folder[PATH_MAX];

	if (snprintf(folder, sizeof(folder), "%s/" PLAIN_ASIDE, root) >= (int)sizeof(folder))
		return -ENAMETOOLONG;
	return folder_each(folder, each, arg);
}
