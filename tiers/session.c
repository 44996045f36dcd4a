// SPDX-License-Identifier: Apache-2.0
/*
 * Invariant: at every instant one of the two tokens in the RAM folder is the metadata's, or both
 * sides have none, or the RAM folder has nothing yet that counts. So a process may die between any
 * two steps.
 *
 * Nothing is synced: when the machine dies, the RAM folder does too.
 */
#include "tiers/session.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

#include "compress/bytes.h"
#include "compress/checksum.h"
#include "tiers/folder.h"
#include "tiers/io.h"
#include "tiers/log.h"

#define META_NAME "metadata.session"
#define RAM_NAME  "session"
#define VERSION	  1u

/* Offsets; terrace-format(5) is the text of record. */
enum {
	AT_MAGIC = 0,
	AT_VERSION = 8,
	AT_INCOMPAT = 12,
	AT_RO_COMPAT = 16,
	AT_COMPAT = 20,
	AT_POOL = 24,
	AT_TOKEN = 40,
	AT_BEFORE = 48,
	AT_CHECKSUM = 56,
	FILE_LEN = 64,
};

static const char magic[8] = {'T', 'E', 'R', 'R', 'S', 'E', 'S', 'S'};

struct session {
	uint8_t uuid[16];
	int fd;	       /* of the metadata's; -1: there is none */
	uint64_t last; /* the metadata's token when it began */
	char *meta_path, *ram_path, *ram_dir;
};

struct tokens { /* 0: none */
	uint64_t token, before;
};

/* A file that is not there, or not whole, has no tokens. */
static int tokens_read(const struct session *session, int fd, const char *path, struct tokens *out)
{
	uint8_t p[FILE_LEN];
	int rc = io_pread_all(fd, p, sizeof(p), 0);

	*out = (struct tokens){0};
	if (rc == -ENODATA)
		return 0;
	if (rc < 0) {
		log_file_error(path, rc);
		return rc;
	}
	if (memcmp(p, magic, sizeof(magic)) != 0 ||
	    get_le64(p + AT_CHECKSUM) != checksum64(p, AT_CHECKSUM))
		return 0;
	if (get_le32(p + AT_VERSION) != VERSION || get_le32(p + AT_INCOMPAT) ||
	    get_le32(p + AT_RO_COMPAT)) {
		log_error("%s: written by a newer version; mount with that one and unmount", path);
		return -ENOTSUP;
	}
	if (memcmp(p + AT_POOL, session->uuid, sizeof(session->uuid)) != 0) {
		log_error("%s: belongs to another pool; give each pool its own folder", path);
		return -ENOTUNIQ;
	}
	out->token = get_le64(p + AT_TOKEN);
	out->before = get_le64(p + AT_BEFORE);
	return 0;
}

/* In place and in one call: it needs no room but the first time. */
static int tokens_write(const struct session *session, int fd, const struct tokens *tokens)
{
	uint8_t p[FILE_LEN] = {0};

	memcpy(p, magic, sizeof(magic));
	put_le32(p + AT_VERSION, VERSION);
	memcpy(p + AT_POOL, session->uuid, sizeof(session->uuid));
	put_le64(p + AT_TOKEN, tokens->token);
	put_le64(p + AT_BEFORE, tokens->before);
	put_le64(p + AT_CHECKSUM, checksum64(p, AT_CHECKSUM));
	return io_pwrite_all(fd, p, sizeof(p), 0);
}

static int ram_read(const struct session *session, struct tokens *out)
{
	int fd = io_open(session->ram_path, O_RDONLY, 0), rc;

	*out = (struct tokens){0};
	if (fd == -ENOENT)
		return 0;
	if (fd < 0) {
		log_error("%s: %s", session->ram_path, strerror(-fd));
		return fd;
	}
	rc = tokens_read(session, fd, session->ram_path, out);
	io_close(fd);
	return rc;
}

static int ram_write(const struct session *session, struct tokens tokens)
{
	int fd = io_open(session->ram_path, O_WRONLY | O_CREAT, 0600), rc, closed;

	if (fd < 0)
		return fd;
	rc = tokens_write(session, fd, &tokens);
	closed = io_close(fd);
	return rc < 0 ? rc : closed;
}

/* Is there anything to be replayed? */
static bool holds_data(const char *dir)
{
	static const char *const names[] = {"journal.tail", "log.head"};
	bool found = false;
	char *path;

	for (unsigned i = 0; i < 2 && !found; i++) {
		if (asprintf(&path, "%s/%s", dir, names[i]) < 0)
			return true;
		found = access(path, F_OK) == 0;
		free(path);
	}
	return found;
}

/* Kept, for whoever wants to look, until the next one that is stale. */
static int move_aside(const struct session *session)
{
	char *old;
	int rc;

	if (asprintf(&old, "%s.old", session->ram_dir) < 0)
		return -ENOMEM;
	folder_remove(old);
	rc = io_rename(session->ram_dir, old);
	if (rc == 0)
		rc = io_make_folder(session->ram_dir, 0700);
	if (rc == 0)
		io_give_folder(session->ram_dir, session->meta_path);
	if (rc == 0)
		log_warning(
			"%s: is of an earlier mount than the last one, and older than the pool: "
			"not used, and moved to %s; remove that when you do not need it",
			session->ram_dir, old);
	else
		log_error("%s: is of an earlier mount than the last one, and cannot be moved "
			  "aside: %s",
			  session->ram_dir, strerror(-rc));
	free(old);
	return rc;
}

/* Only one that is not there may be done without: a RAM folder has a token beside the other's, and
 * would be taken for stale. */
static int meta_open_file(struct session *session)
{
	int fd = io_open(session->meta_path, O_RDWR, 0);

	if (fd < 0 && fd != -ENOENT) {
		log_file_error(session->meta_path, fd);
		return fd;
	}
	if (fd < 0)
		fd = io_open(session->meta_path, O_RDWR | O_CREAT, 0600);
	if (fd == -ENOENT) /* no such folder: the metadata store says so */
		return 0;
	if (fd == -ENOSPC || fd == -EDQUOT) {
		log_warning("%s: %s: an old RAM folder that comes back would not be recognised",
			    session->meta_path, strerror(-fd));
		return 0;
	}
	if (fd < 0) {
		log_file_error(session->meta_path, fd);
		return fd;
	}
	session->fd = fd;
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	log_error("%s: in use: another process has this pool mounted", session->meta_path);
	return -EBUSY;
}

static int session_new(struct session **out, const char *meta_dir, const char *ram_dir,
		       const uint8_t *pool_uuid)
{
	struct session *session = calloc(1, sizeof(*session));

	*out = session;
	if (!session)
		return -ENOMEM;
	memcpy(session->uuid, pool_uuid, sizeof(session->uuid));
	session->fd = -1;
	session->ram_dir = strdup(ram_dir);
	if (asprintf(&session->meta_path, "%s/" META_NAME, meta_dir) < 0)
		session->meta_path = NULL;
	if (asprintf(&session->ram_path, "%s/" RAM_NAME, ram_dir) < 0)
		session->ram_path = NULL;
	return session->ram_dir && session->meta_path && session->ram_path ? 0 : -ENOMEM;
}

static void session_free(struct session *session)
{
	if (!session)
		return;
	if (session->fd >= 0)
		io_close(session->fd);
	free(session->ram_dir);
	free(session->meta_path);
	free(session->ram_path);
	free(session);
}

int session_begin(struct session **out, const char *meta_dir, const char *ram_dir,
		  const uint8_t *pool_uuid)
{
	struct tokens meta = {0}, ram = {0};
	struct session *session;
	int rc = session_new(&session, meta_dir, ram_dir, pool_uuid);

	*out = NULL;
	if (rc == 0)
		rc = meta_open_file(session);
	if (rc == 0 && session->fd >= 0)
		rc = tokens_read(session, session->fd, session->meta_path, &meta);
	if (rc == 0)
		rc = ram_read(session, &ram);
	if (rc == 0 && ram.token != meta.token && ram.before != meta.token && holds_data(ram_dir))
		rc = move_aside(session);
	if (rc < 0) {
		session_free(session);
		return rc;
	}
	session->last = meta.token;
	*out = session;
	return 0;
}

int session_look(const char *meta_dir, const char *ram_dir, const uint8_t *pool_uuid, bool *current)
{
	struct tokens meta = {0}, ram = {0};
	struct session *session;
	int rc = session_new(&session, meta_dir, ram_dir, pool_uuid);

	if (rc == 0)
		session->fd = io_open(session->meta_path, O_RDONLY, 0);
	if (rc == 0 && session->fd < 0 && session->fd != -ENOENT)
		rc = session->fd;
	if (rc == 0 && session->fd >= 0)
		rc = tokens_read(session, session->fd, session->meta_path, &meta);
	if (rc == 0)
		rc = ram_read(session, &ram);
	*current = ram.token == meta.token || ram.before == meta.token;
	session_free(session);
	return rc;
}

/* See the invariant: the RAM folder gets the new token beside the old one first. */
int session_renew(struct session *session)
{
	struct tokens fresh;
	int rc;

	if (session->fd < 0)
		return 0;
	if (getrandom(&fresh.token, sizeof(fresh.token), 0) != (ssize_t)sizeof(fresh.token))
		return -EIO;
	fresh.token |= 1;
	fresh.before = session->last;
	rc = ram_write(session, fresh);
	if (rc == 0)
		rc = tokens_write(session, session->fd, &fresh);
	if (rc == -ENOSPC || rc == -EDQUOT) {
		log_warning("%s: %s: an old RAM folder that comes back would not be recognised",
			    session->meta_path, strerror(-rc));
		return 0;
	}
	fresh.before = fresh.token;
	if (rc == 0)
		rc = ram_write(session, fresh);
	if (rc < 0)
		log_error("%s, %s: cannot be written: %s", session->ram_path, session->meta_path,
			  strerror(-rc));
	return rc;
}

void session_end(struct session *session, bool closed)
{
	if (!session)
		return;
	if (closed || !holds_data(session->ram_dir))
		io_remove(session->ram_path);
	if (closed)
		io_remove(session->meta_path);
	session_free(session);
}
