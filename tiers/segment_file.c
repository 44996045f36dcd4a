// SPDX-License-Identifier: Apache-2.0
#include "tiers/segment_file.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tiers/io.h"
#include "tiers/log.h"

#define FOLDERS	    256u
#define NAME_DIGITS 16u
#define SUFFIX	    ".seg"
#define ANY	    FOLDERS /* in place of a folder's number */

static int folder_path(char *buf, size_t cap, const char *root, unsigned folder)
{
	int len = folder == ANY ? snprintf(buf, cap, "%s/" SEGMENTS_ASIDE, root)
				: snprintf(buf, cap, "%s/segments/%02x", root, folder);

	return len < 0 || (size_t)len >= cap ? -ENAMETOOLONG : 0;
}

int segment_file_path(char *buf, size_t cap, const char *root, uint64_t id)
{
	int len = snprintf(buf, cap, "%s/segments/%02x/%016llx" SUFFIX, root, (unsigned)(id & 0xff),
			   (unsigned long long)id);

	return len < 0 || (size_t)len >= cap ? -ENAMETOOLONG : 0;
}

int segment_aside_path(char *buf, size_t cap, const char *root, uint64_t id)
{
	int len = snprintf(buf, cap, "%s/" SEGMENTS_ASIDE "/%016llx" SUFFIX, root,
			   (unsigned long long)id);

	return len < 0 || (size_t)len >= cap ? -ENAMETOOLONG : 0;
}

/* "00000000000000ff.seg" in folder 0xff; anything else is not ours. */
static bool is_segment(const char *name, unsigned folder, uint64_t *id)
{
	*id = 0;
	for (size_t i = 0; i < NAME_DIGITS; i++) {
		const char *digits = "0123456789abcdef";
		const char *at = name[i] ? strchr(digits, name[i]) : NULL;

		if (!at)
			return false;
		*id = *id << 4 | (uint64_t)(at - digits);
	}
	return !strcmp(name + NAME_DIGITS, SUFFIX) && (folder == ANY || (*id & 0xff) == folder);
}

static int list_folder(const char *root, unsigned folder,
		       int (*each)(void *arg, uint64_t id, int folder, const char *name), void *arg)
{
	char path[PATH_MAX];
	struct dirent *entry;
	DIR *stream = NULL;
	uint64_t id;
	int rc = folder_path(path, sizeof(path), root, folder), error = 0;

	if (rc == 0) {
		stream = opendir(path);
		error = stream || errno == ENOENT ? 0 : -errno;
	}
	while (stream && rc == 0 && (errno = 0, entry = readdir(stream)))
		if (is_segment(entry->d_name, folder, &id))
			rc = each(arg, id, dirfd(stream), entry->d_name);
	if (stream && rc == 0)
		error = -errno;
	if (stream)
		closedir(stream);
	if (error < 0)
		log_error("%s: cannot list the segments: %s", path, strerror(-error));
	return error < 0 ? error : rc;
}

int segment_files_each(const char *root,
		       int (*each)(void *arg, uint64_t id, int folder, const char *name), void *arg)
{
	int rc = 0;

	for (unsigned folder = 0; folder < FOLDERS && rc == 0; folder++)
		rc = list_folder(root, folder, each, arg);
	return rc;
}

int segment_aside_each(const char *root,
		       int (*each)(void *arg, uint64_t id, int folder, const char *name), void *arg)
{
	return list_folder(root, ANY, each, arg);
}

static int folder_sync(const char *path)
{
	int rc = access(path, F_OK) == 0 ? io_sync_folder(path) : 0;

	return rc == -ENOENT ? 0 : rc;
}

/* The folders they come from too: where those keep a name, a mount removes what it names. */
int segment_aside_sync(const char *root)
{
	char path[PATH_MAX];
	int rc = folder_path(path, sizeof(path), root, ANY);

	if (rc < 0 || access(path, F_OK) < 0)
		return rc;
	for (unsigned folder = 0; folder <= ANY && rc == 0; folder++) {
		rc = folder_path(path, sizeof(path), root, folder);
		if (rc == 0)
			rc = folder_sync(path);
	}
	if (rc == 0 && snprintf(path, sizeof(path), "%s/segments", root) < (int)sizeof(path))
		rc = folder_sync(path); /* it may have got new ones */
	return rc == 0 ? io_sync_folder(root) : rc;
}

void segment_folders_remove(const char *root)
{
	char path[PATH_MAX];

	for (unsigned folder = 0; folder < FOLDERS; folder++)
		if (folder_path(path, sizeof(path), root, folder) == 0)
			(void)remove(path); /* what holds files of others stays */
	if (snprintf(path, sizeof(path), "%s/segments", root) < (int)sizeof(path))
		(void)remove(path);
}
