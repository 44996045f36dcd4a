// SPDX-License-Identifier: Apache-2.0
/* See tier_label.h. The label is written once, to a new name, synced, renamed, and the folder is
 * synced: a power cut while formatting leaves a directory that is not yet a tier, never half one.
 */
#include "tiers/tier_label.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "compress/bytes.h"
#include "compress/checksum.h"
#include "tiers/folder.h"
#include "tiers/io.h"
#include "tiers/log.h"
#include "tiers/tier.h"

#define LABEL_VERSION 1u

/* Offsets in the label; terrace-format(5) is the text of record. */
enum {
	AT_MAGIC = 0,
	AT_VERSION = 8,
	AT_INCOMPAT = 12,
	AT_RO_COMPAT = 16,
	AT_COMPAT = 20,
	AT_POOL = 24,
	AT_TIER = 40,
	AT_PLACE = 44,
	AT_NPLACES = 48,
	AT_CHECKSUM = TIER_LABEL_LEN - 8,
};
_Static_assert(AT_NPLACES + 4 <= AT_CHECKSUM, "label fields and checksum overlap");

static const char label_magic[8] = {'T', 'e', 'r', 'r', 'T', 'i', 'e', 'r'};

void tier_label_encode(const struct tier_label *label, void *buf)
{
	uint8_t *p = buf;

	memset(p, 0, TIER_LABEL_LEN);
	memcpy(p + AT_MAGIC, label_magic, sizeof(label_magic));
	put_le32(p + AT_VERSION, LABEL_VERSION);
	memcpy(p + AT_POOL, label->pool_uuid, sizeof(label->pool_uuid));
	put_le32(p + AT_TIER, label->tier_id);
	put_le32(p + AT_PLACE, label->place);
	put_le32(p + AT_NPLACES, label->nplaces);
	put_le64(p + AT_CHECKSUM, checksum64(p, AT_CHECKSUM));
}

int tier_label_decode(const void *buf, size_t len, struct tier_label *out)
{
	const uint8_t *p = buf;
	size_t i;

	if (len < TIER_LABEL_LEN || memcmp(p + AT_MAGIC, label_magic, sizeof(label_magic)) != 0)
		return -ENODATA;
	/* The version goes before the checksum: a later format may place its checksum elsewhere. */
	if (get_le32(p + AT_VERSION) != LABEL_VERSION)
		return -ENOTSUP;
	if (get_le64(p + AT_CHECKSUM) != checksum64(p, AT_CHECKSUM))
		return -EBADMSG;
	/* A tier is always opened for writing, so an unknown ro-compat bit refuses as well. */
	if (get_le32(p + AT_INCOMPAT) || get_le32(p + AT_RO_COMPAT))
		return -ENOTSUP;
	for (i = AT_NPLACES + 4; i < AT_CHECKSUM; i++) { /* reserved */
		if (p[i])
			return -EBADMSG;
	}
	memcpy(out->pool_uuid, p + AT_POOL, sizeof(out->pool_uuid));
	out->tier_id = get_le32(p + AT_TIER);
	out->place = get_le32(p + AT_PLACE);
	out->nplaces = get_le32(p + AT_NPLACES);
	return 0;
}

static int label_path(char *buf, size_t cap, const char *path, const char *suffix)
{
	int len = snprintf(buf, cap, "%s/" TIER_LABEL_NAME "%s", path, suffix);

	return len < 0 || (size_t)len >= cap ? -ENAMETOOLONG : 0;
}

static int label_store(const char *name, const void *buf)
{
	int fd = io_open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	int error, closed;

	if (fd < 0)
		return fd;
	error = io_pwrite_all(fd, buf, TIER_LABEL_LEN, 0);
	if (!error)
		error = io_sync_file(fd);
	closed = io_close(fd);
	return error ? error : closed;
}

int tier_label_write(const char *path, const struct tier_label *label)
{
	char name[PATH_MAX], fresh[PATH_MAX];
	uint8_t buf[TIER_LABEL_LEN];
	int error = label_path(name, sizeof(name), path, "");

	if (!error)
		error = label_path(fresh, sizeof(fresh), path, ".new");
	if (error)
		goto out;
	tier_label_encode(label, buf);
	error = label_store(fresh, buf);
	if (!error)
		error = io_rename(fresh, name);
	if (error) {
		io_remove(fresh);
		goto out;
	}
	error = io_sync_folder(path);
	if (error)
		io_remove(name);
out:
	if (error)
		log_error("tier directory %s: cannot write the label: %s", path, strerror(-error));
	return error;
}

/* Logs why a directory is no place of a tier, with what to do about it. */
static int label_refuse(const char *path, int error)
{
	const char *why;

	switch (-error) {
	case ENOENT:
		why = "no such directory: create it, or mount its disk";
		break;
	case ENOTDIR:
		why = "not a directory";
		break;
	case ENODATA:
		why = "not a Terrace directory (no label): is its disk mounted? A new one is made "
		      "by `terrace create`";
		break;
	case EEXIST:
		why = "already belongs to a pool: choose another directory (that pool's data is "
		      "in it, also while it is not mounted)";
		break;
	case ENOTEMPTY:
		why = "lies in a directory of a pool: choose one outside of it";
		break;
	case ENOTSUP:
		why = "made by a newer version of Terrace: upgrade this program";
		break;
	case EBADMSG:
		why = "the label is damaged: restore " TIER_LABEL_NAME
		      " or recover with `terrace export`";
		break;
	case EACCES:
		why = "not writable: check its owner and mode";
		break;
	case EROFS:
		why = "on a read-only filesystem: remount it for writing";
		break;
	default:
		why = strerror(-error);
	}
	log_error("tier directory %s: %s", path, why);
	return error;
}

/* Whether the directory is there and may be used, told apart from a missing label. */
static int directory_usable(const char *path, int mode)
{
	int fd = io_open(path, O_RDONLY | O_DIRECTORY, 0);

	if (fd < 0)
		return fd;
	io_close(fd);
	return access(path, mode) ? -errno : 0;
}

static int label_load_for(const char *path, int mode, struct tier_label *out)
{
	char name[PATH_MAX];
	uint8_t buf[TIER_LABEL_LEN];
	int fd, error = label_path(name, sizeof(name), path, "");

	if (!error)
		error = directory_usable(path, mode);
	if (error)
		return error;
	fd = io_open(name, mode & W_OK ? O_RDWR : O_RDONLY, 0);
	if (fd < 0)
		return fd == -ENOENT ? -ENODATA : fd;
	error = io_pread_all(fd, buf, sizeof(buf), 0);
	io_close(fd);
	return error ? error : tier_label_decode(buf, sizeof(buf), out);
}

/* For writing, so that a read-only mount is found now and not at the first flush. */
static int label_load(const char *path, struct tier_label *out)
{
	return label_load_for(path, W_OK | X_OK, out);
}

int tier_label_read(const char *path, struct tier_label *out)
{
	int error = label_load(path, out);

	return error ? label_refuse(path, error) : 0;
}

static bool has_label(int fd, const struct stat *st, void *arg)
{
	(void)st;
	(void)arg;
	return !faccessat(fd, TIER_LABEL_NAME, F_OK, 0);
}

/* What is in a place is its pool's to make and to remove. */
static bool inside_place(const char *path)
{
	return folder_upwards(path, has_label, NULL);
}

int tier_label_absent(const char *path)
{
	char name[PATH_MAX];
	int error = label_path(name, sizeof(name), path, "");

	if (!error)
		error = directory_usable(path, W_OK | X_OK);
	/* Any file of that name counts: a damaged label is still somebody's. */
	if (!error && !access(name, F_OK))
		error = -EEXIST;
	if (!error && inside_place(path))
		error = -ENOTEMPTY;
	return error ? label_refuse(path, error) : 0;
}

static int belongs(const char *path, const uint8_t *pool_uuid, uint32_t tier_id,
		   const struct tier_label *label)
{
	if (memcmp(label->pool_uuid, pool_uuid, sizeof(label->pool_uuid)) != 0)
		log_error("tier directory %s: belongs to another pool: check the paths in the "
			  "configuration",
			  path);
	else if (label->tier_id != tier_id)
		log_error("tier directory %s: belongs to tier number %u of this pool, not %u: "
			  "check the paths in the configuration",
			  path, label->tier_id, tier_id);
	else if (label->place >= TIER_PLACES_MAX)
		log_error("tier directory %s: says it is directory %u of its tier, of which there "
			  "are at most %u: the label is damaged, or of a newer version of Terrace",
			  path, label->place, TIER_PLACES_MAX);
	else
		return 0;
	return -ENOTUNIQ;
}

int tier_label_check(const char *path, const uint8_t *pool_uuid, uint32_t tier_id,
		     struct tier_label *out)
{
	int error = tier_label_read(path, out);

	return error ? error : belongs(path, pool_uuid, tier_id, out);
}

int tier_label_check_reading(const char *path, const uint8_t *pool_uuid, uint32_t tier_id,
			     struct tier_label *out)
{
	int error = label_load_for(path, R_OK | X_OK, out);

	if (error == -EACCES)
		log_error("tier directory %s: may not be read: check its owner and mode", path);
	else if (error)
		label_refuse(path, error);
	return error ? error : belongs(path, pool_uuid, tier_id, out);
}

int tier_label_look(const char *path, const uint8_t *pool_uuid, uint32_t tier_id,
		    struct tier_label *out)
{
	int error = label_load(path, out);

	if (!error && (memcmp(out->pool_uuid, pool_uuid, sizeof(out->pool_uuid)) != 0 ||
		       out->tier_id != tier_id || out->place >= TIER_PLACES_MAX))
		error = -ENOTUNIQ;
	return error;
}

int tier_label_free(const char *path, const uint8_t *pool_uuid, uint32_t tier_id)
{
	struct tier_label label;
	int error = label_load(path, &label);

	if (error == -ENODATA && inside_place(path))
		return label_refuse(path, -ENOTEMPTY);
	if (error == -ENODATA || (!error && label.tier_id == tier_id &&
				  !memcmp(label.pool_uuid, pool_uuid, sizeof(label.pool_uuid))))
		return 0;
	return label_refuse(path, !error || error == -EBADMSG ? -EEXIST : error);
}
