// SPDX-License-Identifier: Apache-2.0
/* What can be done with a plain object; turns are plain_turn.c. */
#include "tiers/plain.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tiers/io.h"
#include "tiers/log.h"
#include "tiers/plain_files.h"
#include "tiers/pool_impl.h"

static int say(struct object *object, const char *what, int rc)
{
	char path[512];

	if (rc == -ENOSPC || rc == -ENOMEM)
		return rc;
	pool_path(object->pool, object->id, path, sizeof(path));
	log_error(
		"%s: its plain file (object %llu, tier %s) cannot be %s: %s", path,
		(unsigned long long)object->id,
		object->pool->config.tiers[object->record.plain.tier % object->pool->config.ntiers]
			.name,
		what, strerror(-rc));
	return -EIO;
}

/* The file ---------------------------------------------------------------------------------------
 */

/* Nobody changes it while it is closed: so much of it is in the account as it takes now. That is
 * known before others have the descriptor, who count what they see. */
static int open_counted(struct object *object)
{
	struct stat st;
	int fd, rc = plain_file_open(object->pool, object->id, &object->record.plain, &fd);

	if (rc < 0)
		return rc;
	rc = io_stat(fd, &st);
	if (rc < 0) {
		io_close(fd);
		return rc;
	}
	object->plain_used = (uint64_t)st.st_blocks * 512;
	object->plain_fd = fd;
	return 0;
}

/* Logs nothing. */
static int open_quietly(struct object *object, int *fd)
{
	int rc = 0;

	*fd = object->plain_fd;
	if (*fd >= 0)
		return 0;
	pthread_mutex_lock(&object->attr_lock);
	if (object->plain_fd < 0)
		rc = open_counted(object);
	*fd = object->plain_fd;
	pthread_mutex_unlock(&object->attr_lock);
	return rc;
}

int plain_open(struct object *object, int *fd)
{
	int rc = open_quietly(object, fd);

	return rc == 0 ? 0 : object->deleted ? -ENOENT : say(object, "opened", rc);
}

void plain_count(struct object *object, const struct stat *st)
{
	uint64_t now = (uint64_t)st->st_blocks * 512;
	uint64_t before = atomic_exchange(&object->plain_used, now);

	if (now != before)
		tier_plain_add(object->pool->tiers[object->record.plain.tier].tier,
			       object->record.plain.place, (int64_t)(now - before), 0);
}

static int look(struct object *object, int *fd, struct stat *st)
{
	int rc = plain_open(object, fd);

	if (rc == 0)
		rc = io_stat(*fd, st);
	if (rc == 0)
		plain_count(object, st);
	return rc;
}

static void closed_add(struct pool *pool, uint64_t id)
{
	pthread_mutex_lock(&pool->closed_lock);
	if (pool->nclosed == pool->closed_cap) {
		size_t cap = pool->closed_cap ? pool->closed_cap * 2 : 64;
		uint64_t *p = realloc(pool->closed, cap * sizeof(*p));

		if (p) {
			pool->closed = p;
			pool->closed_cap = cap;
		}
	}
	if (pool->nclosed < pool->closed_cap)
		pool->closed[pool->nclosed++] = id;
	else
		pool->closed_any = true;
	pthread_mutex_unlock(&pool->closed_lock);
}

void plain_close(struct object *object)
{
	struct stat st;
	int fd;

	pthread_mutex_lock(&object->attr_lock); /* nobody asks it for its size any more */
	fd = atomic_exchange(&object->plain_fd, -1);
	pthread_mutex_unlock(&object->attr_lock);
	if (fd < 0)
		return;
	if (object->plain && !object->deleted && io_stat(fd, &st) == 0)
		plain_count(object, &st);
	io_close(fd);
}

static struct plain_left *left_of(struct object *object)
{
	struct pool *pool = object->pool;

	return &pool->left[object->id % (sizeof(pool->left) / sizeof(pool->left[0]))];
}

void plain_returning(struct object *object)
{
	const struct plain_left *left = left_of(object);

	if (!object->plain || left->id != object->id)
		return;
	object->changed_seq = left->changed_seq;
	object->data_seq = left->data_seq;
}

void plain_leaving(struct object *object)
{
	if (object->plain)
		*left_of(object) = (struct plain_left){.id = object->id,
						       .changed_seq = object->changed_seq,
						       .data_seq = object->data_seq};
	if (object->plain && !object->deleted && object->plain_fd >= 0 &&
	    (object->plain_unsynced || object->plain_shared))
		closed_add(object->pool, object->id);
}

int object_plain_fd(struct object *object, int *fd)
{
	int rc = -EINVAL;

	pthread_rwlock_rdlock(&object->data_lock);
	if (object->plain)
		rc = plain_open(object, fd);
	if (rc == 0)
		object->plain_shared = true;
	pthread_rwlock_unlock(&object->data_lock);
	return rc;
}

uint32_t object_plain_tier(struct object *object)
{
	uint32_t tier;

	pthread_mutex_lock(&object->attr_lock);
	tier = object->record.plain.set ? object->record.plain.tier : 0;
	pthread_mutex_unlock(&object->attr_lock);
	return tier;
}

/* Its size and times -----------------------------------------------------------------------------
 */

/* Asked for in transactions too, so without the data lock: the attributes' lock keeps the
 * descriptor open meanwhile. Of one that is closed the name says the same, and opening it would
 * take longer than all the rest of a stat(2); nobody changes it, so it is in the account. */
static int stat_of(struct object *object, struct stat *st)
{
	int fd, rc = -EINVAL;

	pthread_mutex_lock(&object->attr_lock);
	fd = object->plain_fd;
	if (object->plain)
		rc = fd < 0 ? plain_file_stat(object->pool, object->id, &object->record.plain, st)
			    : io_stat(fd, st);
	if (rc == 0 && fd >= 0)
		plain_count(object, st);
	pthread_mutex_unlock(&object->attr_lock);
	return rc;
}

void plain_look(struct object *object, struct object_look *out)
{
	struct stat st;

	if (stat_of(object, &st))
		*out = (struct object_look){.size = object->record.size,
					    .write_time = object->write_time};
	else
		*out = (struct object_look){.size = (uint64_t)st.st_size,
					    .stored = (uint64_t)st.st_blocks * 512,
					    .write_time = (int64_t)st.st_mtim.tv_sec * 1000000000 +
							  st.st_mtim.tv_nsec};
}

int object_plain_settle(struct object *object)
{
	struct object_record *record;
	struct txn *txn;
	struct stat st;

	if (!object->plain || object->deleted)
		return 0;
	if (stat_of(object, &st) || object->record.size == (uint64_t)st.st_size)
		return 0;
	txn = txn_begin(object->pool);
	txn_frees(txn);
	record = txn_object(txn, object, false, true);
	if (record) {
		record->size = (uint64_t)st.st_size;
		txn_object_find(txn, object)->lazy = true; /* the file has it */
	}
	return txn_commit(txn);
}

/* Reading ----------------------------------------------------------------------------------------
 */

int plain_read(struct object *object, void *buf, size_t len, uint64_t off, size_t *got)
{
	int fd, rc = -ENODATA;
	struct stat st;

	*got = 0;
	pthread_rwlock_rdlock(&object->data_lock);
	/* Once more where it has just become shorter. */
	while (rc == -ENODATA) {
		size_t n = 0;

		rc = look(object, &fd, &st);
		if (rc < 0)
			break;
		if (off < (uint64_t)st.st_size)
			n = len < (uint64_t)st.st_size - off ? len
							     : (size_t)((uint64_t)st.st_size - off);
		rc = n ? io_pread_all(fd, buf, n, off) : 0;
		if (rc == 0)
			*got = n;
		else if (rc != -ENODATA)
			rc = say(object, "read", rc);
	}
	pthread_rwlock_unlock(&object->data_lock);
	return rc;
}

int plain_seek(struct object *object, uint64_t off, int whence, uint64_t *out)
{
	int fd, rc;
	off_t at = 0;

	pthread_rwlock_rdlock(&object->data_lock);
	rc = plain_open(object, &fd);
	if (rc == 0) {
		at = lseek(fd, (off_t)off, whence);
		rc = at < 0 ? -errno : 0;
	}
	pthread_rwlock_unlock(&object->data_lock);
	*out = rc == 0 ? (uint64_t)at : 0;
	return rc;
}

/* Where its bytes are: in runs between holes, as the file has them. */
int plain_extents(struct object *object, int (*each)(void *arg, const struct object_extent *extent),
		  void *arg)
{
	uint64_t off, end = 0;
	int tier = (int)object_plain_tier(object), rc;

	while ((rc = plain_seek(object, end, SEEK_DATA, &off)) == 0) {
		struct object_extent extent = {.off = off, .tier = tier};

		rc = plain_seek(object, off, SEEK_HOLE, &end);
		if (rc < 0)
			break;
		extent.len = extent.stored = end - off;
		rc = extent.len ? each(arg, &extent) : -ENXIO;
		if (rc)
			return rc == -ENXIO ? 0 : rc;
	}
	return rc == -ENXIO ? 0 : rc;
}

/* Writing ----------------------------------------------------------------------------------------
 */

/* So that a quota holds for what is written through here. */
static int room_for(struct object *object, uint64_t more)
{
	const struct plain_home *home = &object->record.plain;
	struct tier_space room;
	int rc = tier_space(object->pool->tiers[home->tier].tier, home->place, &room);

	return rc == 0 && room.free < more ? -ENOSPC : rc;
}

/* Behind the end, or into a hole. */
static bool takes_room(int fd, const struct stat *st, uint64_t off, size_t len)
{
	uint64_t end = off + len;
	off_t hole;

	if (end > (uint64_t)st->st_size || st->st_blocks >= st->st_size / 512)
		return end > (uint64_t)st->st_size;
	hole = lseek(fd, (off_t)off, SEEK_HOLE);
	return hole < 0 || (uint64_t)hole < end;
}

static int write_locked(struct object *object, const void *buf, size_t len, uint64_t *off,
			bool append)
{
	struct stat st;
	int fd, rc = look(object, &fd, &st);

	if (rc < 0)
		return rc;
	if (append)
		*off = (uint64_t)st.st_size;
	if (*off > OBJECT_SIZE_MAX || len > OBJECT_SIZE_MAX - *off)
		return -EFBIG;
	if (takes_room(fd, &st, *off, len))
		rc = room_for(object, len);
	object->plain_unsynced = true;
	if (rc == 0)
		rc = io_pwrite_all(fd, buf, len, *off);
	if (rc == -EIO)
		rc = say(object, "written", rc);
	if (rc == 0 && io_stat(fd, &st) == 0)
		plain_count(object, &st);
	return rc == -EDQUOT ? -ENOSPC : rc;
}

int plain_write(struct object *object, const void *buf, size_t len, uint64_t off)
{
	int rc;

	pthread_rwlock_rdlock(&object->data_lock);
	rc = write_locked(object, buf, len, &off, false);
	pthread_rwlock_unlock(&object->data_lock);
	return rc;
}

int plain_append(struct object *object, const void *buf, size_t len, uint64_t *off)
{
	int rc;

	pthread_rwlock_wrlock(&object->data_lock); /* appends one after the other */
	rc = write_locked(object, buf, len, off, true);
	pthread_rwlock_unlock(&object->data_lock);
	return rc;
}

int plain_truncate(struct object *object, uint64_t size)
{
	int fd, rc;
	struct stat st;

	if (size > OBJECT_SIZE_MAX)
		return -EFBIG;
	pthread_rwlock_rdlock(&object->data_lock);
	rc = plain_open(object, &fd);
	object->plain_unsynced = true;
	if (rc == 0)
		rc = io_truncate(fd, size);
	if (rc == 0 && io_stat(fd, &st) == 0)
		plain_count(object, &st);
	pthread_rwlock_unlock(&object->data_lock);
	return rc;
}

static int allocate(struct object *object, int mode, uint64_t len, uint64_t off)
{
	int fd, rc;
	struct stat st;

	pthread_rwlock_rdlock(&object->data_lock);
	rc = look(object, &fd, &st);
	if (rc == 0 && !(mode & FALLOC_FL_PUNCH_HOLE) && off + len > (uint64_t)st.st_blocks * 512)
		rc = room_for(object, off + len - (uint64_t)st.st_blocks * 512);
	object->plain_unsynced = true;
	if (rc == 0)
		rc = io_allocate(fd, mode, len, off);
	if (rc == 0 && io_stat(fd, &st) == 0)
		plain_count(object, &st);
	pthread_rwlock_unlock(&object->data_lock);
	return rc == -EDQUOT ? -ENOSPC : rc;
}

int plain_punch(struct object *object, uint64_t len, uint64_t off)
{
	if (len == 0 || off > OBJECT_SIZE_MAX || len > OBJECT_SIZE_MAX - off)
		return -EINVAL;
	return allocate(object, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, len, off);
}

int plain_allocate(struct object *object, uint64_t len, uint64_t off, bool keep_size)
{
	return allocate(object, keep_size ? FALLOC_FL_KEEP_SIZE : 0, len, off);
}

/* Syncing ----------------------------------------------------------------------------------------
 */

/* One after the other: the kernel tells a failure once to all who have the descriptor, so of two
 * syncs under way one would hear that all is well. */
static int sync_one(struct object *object, int fd, bool data_only, bool *failed)
{
	int rc;

	pthread_mutex_lock(&object->plain_lock);
	rc = object->plain_error;
	if (rc == 0) {
		object->plain_unsynced = false; /* what is written from now on is another's */
		rc = data_only ? io_sync_data(fd) : io_sync_file(fd);
		*failed = rc < 0;
		object->plain_error = rc < 0 ? -EIO : 0;
	}
	pthread_mutex_unlock(&object->plain_lock);
	return rc;
}

static int sync_file(struct object *object, bool data_only)
{
	bool failed = false;
	struct stat st;
	int fd, rc;

	pthread_rwlock_rdlock(&object->data_lock);
	rc = object->plain ? look(object, &fd, &st) : 0;
	if (rc == 0 && object->plain)
		rc = sync_one(object, fd, data_only, &failed);
	if (failed)
		rc = say(object, "synced", rc);
	pthread_rwlock_unlock(&object->data_lock);
	return rc;
}

/* Then what leads there. */
static int sync_object(struct object *object, bool data_only)
{
	struct pool *pool = object->pool;
	uint64_t need = data_only ? object->data_seq : object->changed_seq;
	int rc = sync_file(object, data_only);

	if (rc == 0 && meta_durable_seq(pool->meta) < need)
		rc = pool_cut_upto(pool, need);
	return rc;
}

int plain_sync(struct object *object)
{
	return sync_object(object, false);
}

int object_sync_data(struct object *object)
{
	return object->plain ? sync_object(object, true) : object_sync(object);
}

int plain_sync_each(struct object *const *objects, size_t n)
{
	int first = 0;

	for (size_t i = 0; i < n; i++) {
		int rc =
			objects[i]->plain && !objects[i]->deleted ? sync_file(objects[i], true) : 0;

		first = first ? first : rc;
	}
	return first;
}

/* Those in memory that are open; -ENOMEM. */
static int open_ones(struct pool *pool, uint64_t **ids, size_t *n, size_t *cap)
{
	struct object *object;
	size_t at = 0;
	int rc = 0;

	pthread_mutex_lock(&pool->objects_lock);
	while (rc == 0 && (object = idmap_each(&pool->objects, &at))) {
		if (!object->plain || object->plain_fd < 0)
			continue;
		if (*n == *cap) {
			size_t more = *cap ? *cap * 2 : 64;
			uint64_t *p = realloc(*ids, more * sizeof(*p));

			rc = p ? 0 : -ENOMEM;
			*ids = p ? p : *ids;
			*cap = p ? more : *cap;
		}
		if (rc == 0)
			(*ids)[(*n)++] = object->id;
	}
	pthread_mutex_unlock(&pool->objects_lock);
	return rc;
}

static size_t closed_take(struct pool *pool, uint64_t **ids, bool *any)
{
	size_t n;

	pthread_mutex_lock(&pool->closed_lock);
	*ids = pool->closed;
	*any = pool->closed_any;
	n = pool->nclosed;
	pool->closed = NULL;
	pool->closed_any = false;
	pool->nclosed = pool->closed_cap = 0;
	pthread_mutex_unlock(&pool->closed_lock);
	return n;
}

/* The first error. What could not even be looked at is tried again with the next ones. */
static int sync_ids(struct pool *pool, const uint64_t *ids, size_t n)
{
	int first = 0;

	for (size_t i = 0; i < n; i++) {
		struct object *object;
		int rc = object_get(pool, ids[i], &object);

		if (rc == 0) {
			rc = plain_sync_each(&object, 1);
			object_put(object);
		} else if (rc != -ENOENT) {
			closed_add(pool, ids[i]);
		}
		if (rc < 0 && rc != -ENOENT)
			first = first ? first : rc;
	}
	return first;
}

struct syncing {
	struct pool *pool;
	int first;
};

static int sync_seen(void *arg, const struct plain_seen *seen)
{
	struct syncing *syncing = arg;
	int rc = sync_ids(syncing->pool, &seen->object, 1);

	syncing->first = syncing->first ? syncing->first : rc;
	return 0;
}

/* Which of them were closed nobody could remember: all there are. */
static int sync_every(struct pool *pool)
{
	struct syncing syncing = {.pool = pool};
	int rc = pool_plain_each(pool, sync_seen, &syncing);

	return syncing.first ? syncing.first : rc;
}

/* Who finds nothing to do has waited for whoever does it. The open ones are asked for first: what
 * is closed meanwhile is among the others by then. */
int plain_sync_all(struct pool *pool, bool closed)
{
	uint64_t *open = NULL, *ids;
	size_t nopen = 0, cap = 0, n;
	int first = 0, rc;
	bool any;

	pthread_mutex_lock(&pool->closing_lock);
	if (!closed)
		first = open_ones(pool, &open, &nopen, &cap);
	n = closed_take(pool, &ids, &any);
	rc = sync_ids(pool, open, nopen);
	first = first ? first : rc;
	rc = any ? sync_every(pool) : sync_ids(pool, ids, n);
	first = first ? first : rc;
	/* An object that is in memory no more cannot tell its next fsync. */
	if (closed) {
		pool->closed_error = pool->closed_error ? pool->closed_error : first;
	} else {
		first = first ? first : pool->closed_error;
		pool->closed_error = 0;
	}
	pthread_mutex_unlock(&pool->closing_lock);
	free(open);
	free(ids);
	return first;
}
