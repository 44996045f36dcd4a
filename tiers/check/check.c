// SPDX-License-Identifier: Apache-2.0
/*
 * Opening a pool for a check, reports, mends and their carrying out.
 *
 * A repair holds the lock that a mount takes, from before the look to after the last change. A look
 * alone holds the metadata's lock shared, so that several may look; who finds it taken looks at the
 * last checkpoint of the daemon that has it.
 */
#include "tiers/check/check_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tiers/io.h"
#include "tiers/log.h"
#include "tiers/pool_impl.h"
#include "tiers/session.h"

#define MEND_BYTES_MAX ((size_t)256 << 20) /* mends in memory; then another run is needed */
#define SORT_BYTES     ((size_t)32 << 20)
#define SETTLE_TRIES   300u
#define SETTLE_NS      100000000

/* Reports and mends ------------------------------------------------------------------------------
 */

static bool report(struct check *check, enum check_code code, bool mendable, const char *where,
		   const char *format, va_list args)
{
	const struct check_kind *kind = check_kind_of(code);
	bool room = check->mend_bytes < MEND_BYTES_MAX;
	struct check_problem problem = {.code = code,
					.where = where,
					.consequence = kind->consequence,
					.repair = mendable ? kind->repair : NULL};
	char what[1024];

	if (check->again && code != CHECK_FRAME_HEADER && code != CHECK_FRAME_DATA)
		return false; /* told of in the first look */
	vsnprintf(what, sizeof(what), format, args);
	problem.what = what;
	mendable = mendable && kind->repair;
	if (mendable && room)
		check->result->mended++;
	else
		check->result->left++;
	/* What has no mend was told in the first round. */
	if (check->round > 1 && !mendable)
		return false;
	check->result->problems++;
	check->options.problem(check->options.arg, &problem);
	return mendable && room;
}

bool check_report(struct check *check, enum check_code code, bool mendable, uint64_t object,
		  const char *format, ...)
{
	char path[PATH_MAX] = "";
	va_list args;
	bool mend;

	if (object && check->path)
		check->path(check->path_arg, object, path, sizeof(path));
	else if (object)
		snprintf(path, sizeof(path), "object %llu", (unsigned long long)object);
	va_start(args, format);
	mend = report(check, code, mendable, path, format, args);
	va_end(args);
	return mend;
}

bool check_report_at(struct check *check, enum check_code code, bool mendable, const char *where,
		     const char *format, ...)
{
	va_list args;
	bool mend;

	va_start(args, format);
	mend = report(check, code, mendable, where, format, args);
	va_end(args);
	return mend;
}

void check_put(struct check *check, const void *key, size_t key_len, const void *value, size_t len)
{
	check->batch_bytes += key_len + len + 128;
	(void)meta_batch_put(check->batch, key, key_len, value, len); /* sticks */
}

void check_del(struct check *check, const void *key, size_t key_len)
{
	check->batch_bytes += key_len + 128;
	(void)meta_batch_del(check->batch, key, key_len);
}

int check_mend(struct check *check)
{
	struct meta_batch *fresh;
	uint64_t seq;
	int rc;

	if (meta_batch_empty(check->batch))
		return 0;
	if (check->nmends == check->mends_cap) {
		size_t cap = check->mends_cap ? check->mends_cap * 2 : 64;
		void *p = realloc(check->mends, cap * sizeof(struct meta_batch *));

		if (!p)
			return -ENOMEM;
		check->mends = p;
		check->mends_cap = cap;
	}
	rc = meta_batch_new(&fresh);
	if (rc < 0)
		return rc;
	rc = meta_apply(check->meta, check->batch, &seq);
	if (rc < 0) {
		meta_batch_free(fresh);
		return rc;
	}
	check->mends[check->nmends++] = check->batch;
	check->mend_bytes += check->batch_bytes;
	check->batch = fresh;
	check->batch_bytes = 0;
	check->changes++;
	return 0;
}

int check_mend_medium(struct check *check, int (*run)(struct check *check, void *arg), void *arg)
{
	void *p = realloc(check->actions, (check->nactions + 1) * sizeof(*check->actions));

	if (!p) {
		free(arg);
		return -ENOMEM;
	}
	check->actions = p;
	check->actions[check->nactions++] = (struct check_action){run, arg};
	return 0;
}

/* Opening ----------------------------------------------------------------------------------------
 */

static int lock_shared(struct check *check)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s/metadata.lock", check->config->meta_path) >=
	    (int)sizeof(path))
		return -ENAMETOOLONG;
	check->lock_fd = io_open(path, O_RDONLY, 0);
	if (check->lock_fd == -ENOENT)
		return 0;
	if (check->lock_fd < 0) {
		log_file_error(path, check->lock_fd);
		return check->lock_fd;
	}
	if (flock(check->lock_fd, LOCK_SH | LOCK_NB) == 0)
		return 0;
	check->result->live = errno == EWOULDBLOCK;
	return check->result->live ? 0 : -errno;
}

/* A repair keeps mounts out as a mount does. That moves a stale RAM folder aside, as a mount would.
 */
static int lock_alone(struct check *check)
{
	int rc;

	rc = io_make_folder(check->ram_dir, 0700);
	check->ram_made = rc == 0;
	if (rc < 0 && rc != -EEXIST)
		return rc;
	if (check->ram_made)
		io_give_folder(check->ram_dir, check->config->meta_path);
	rc = session_begin(&check->session, check->config->meta_path, check->ram_dir,
			   check->config->uuid);
	if (rc < 0)
		return rc;
	return lock_shared(check); /* who looks may look on; a daemon without sessions is found */
}

static int count_value(void *arg, const void *key, size_t key_len)
{
	size_t *count = arg;

	(void)key;
	(void)key_len;
	++*count;
	return 0;
}

struct values {
	struct check *check;
	bool mendable;
};

static int damaged_value(void *arg, const void *key, size_t key_len)
{
	const struct values *values = arg;
	struct check *check = values->check;
	const uint8_t *k = key;
	char hex[2 * META_KEY_MAX + 1] = "";

	for (size_t i = 1; i < key_len; i++)
		snprintf(hex + 2 * (i - 1), 3, "%02x", k[i]);
	if (check_report_at(check, CHECK_VALUE, values->mendable, "",
			    "the value of key %c %s is damaged",
			    k[0] > ' ' && k[0] < 127 ? k[0] : '?', hex))
		check_del(check, key, key_len);
	return k[0] == KEY_OBJECT && key_len == KEY_LEN_1 ? check_lost_add(check, get_be64(k + 1))
							  : 0;
}

int check_open_look(struct check *check)
{
	struct meta_look_options options = {.dir = check->config->meta_path,
					    .tail_dir = check->ram_used ? check->ram_dir : NULL,
					    .pool_uuid = check->config->uuid,
					    .live = check->result->live};
	int rc = 0;

	for (unsigned i = 0; i < SETTLE_TRIES; i++) {
		static const struct timespec nap = {.tv_nsec = SETTLE_NS};

		/* One environment of LMDB per file and process. */
		if (check->meta)
			meta_close(check->meta);
		check->meta = NULL;
		rc = meta_open_look(&check->meta, &options, &check->look);
		if (rc < 0 || check->look.settled)
			break;
		rc = -EAGAIN;
		nanosleep(&nap, NULL);
	}
	return rc;
}

/* Values that do not verify. Where nothing can be changed in the metadata, no mend is promised. */
static int tell_values(struct check *check, const struct meta_look_options *options, bool mendable)
{
	struct values values = {check, mendable};
	char why[256];
	int rc;

	/* One environment of LMDB per file and process. */
	if (check->meta)
		meta_close(check->meta);
	check->meta = NULL;
	rc = meta_look_walk(options, damaged_value, &values, why, sizeof(why));
	if (!mendable)
		return rc == -EUCLEAN ? 0 : rc;
	if (rc == 0)
		rc = check_open_look(check);
	return rc < 0 ? rc : check_mend(check);
}

/* What cannot be opened is told of; *usable says whether there is more to look at. */
static int open_meta(struct check *check, bool *usable)
{
	struct meta_look_options options = {.dir = check->config->meta_path,
					    .pool_uuid = check->config->uuid,
					    .live = check->result->live};
	char why[256] = "";
	size_t values = 0;
	int rc = meta_look_walk(&options, count_value, &values, why, sizeof(why));

	if (rc == -EUCLEAN || rc == -ENOENT) {
		check_report_at(check, CHECK_TREE, false, check->config->meta_path,
				"metadata.mdb is %s%s",
				rc == -ENOENT ? "missing" : "damaged: ", why);
		return values ? tell_values(check, &options, false) : 0;
	}
	if (rc == 0)
		rc = check_open_look(check);
	if (rc == -EUCLEAN || rc == -EBADMSG) {
		check_report_at(check, CHECK_JOURNAL, false, check->config->meta_path,
				"the journal, or its tail in the RAM tier, is damaged (see above)");
		return values ? tell_values(check, &options, false) : 0;
	}
	if (rc < 0)
		return rc;
	check->result->unclean = !check->look.clean && !check->result->live;
	*usable = true;
	return values ? tell_values(check, &options, true) : 0;
}

static int open_all(struct check *check, bool *usable)
{
	int rc;

	check->ram_dir = pool_ram_dir(check->config);
	if (!check->ram_dir)
		return -ENOMEM;
	rc = check->options.repair ? lock_alone(check) : lock_shared(check);
	if (rc == 0 && check->options.repair && check->result->live)
		rc = -EBUSY;
	if (rc == 0 && !check->result->live)
		rc = session_look(check->config->meta_path, check->ram_dir, check->config->uuid,
				  &check->ram_used);
	if (rc == 0)
		rc = meta_batch_new(&check->batch);
	if (rc == 0)
		rc = open_meta(check, usable);
	return rc;
}

int check_open(struct check **out, const struct check_options *options, struct check_result *result)
{
	struct check *check = calloc(1, sizeof(*check));
	bool usable = false;
	int rc;

	*out = NULL;
	*result = (struct check_result){0};
	if (!check)
		return -ENOMEM;
	check->options = *options;
	check->config = options->config;
	check->result = result;
	check->lock_fd = -1;
	rc = open_all(check, &usable);
	if (rc < 0 || !usable) {
		check_close(check);
		return rc;
	}
	*out = check;
	return 0;
}

/* Is there anything that a mount would replay? */
static bool ram_holds(const struct check *check)
{
	static const char *const names[] = {"journal.tail", "log.head"};
	bool found = false;

	for (unsigned i = 0; i < 2 && !found; i++) {
		char path[PATH_MAX];

		snprintf(path, sizeof(path), "%s/%s", check->ram_dir, names[i]);
		found = access(path, F_OK) == 0;
	}
	return found;
}

static void sorters_free(struct check *check)
{
	sorter_free(check->users);
	sorter_free(check->placed);
	check->users = check->placed = NULL;
}

void check_close(struct check *check)
{
	if (!check)
		return;
	if (check->meta)
		meta_close(check->meta);
	if (check->lock_fd >= 0)
		io_close(check->lock_fd);
	if (check->session)
		session_end(check->session, !ram_holds(check));
	if (check->ram_made)
		rmdir(check->ram_dir);
	for (size_t i = 0; i < check->nmends; i++)
		meta_batch_free(check->mends[i]);
	for (size_t i = 0; i < check->nactions; i++)
		free(check->actions[i].arg);
	if (check->batch)
		meta_batch_free(check->batch);
	sorters_free(check);
	free(check->doubts);
	free(check->lost);
	free(check->recovered);
	free(check->mends);
	free(check->actions);
	free(check->ram_dir);
	free(check);
}

/* Rounds -----------------------------------------------------------------------------------------
 */

int check_objects_and_frames(struct check *check)
{
	int rc;

	sorters_free(check);
	check->result->frames = 0;
	check->result->bytes = 0;
	rc = sorter_new(&check->users, USER_LEN, check_memory());
	if (rc == 0)
		rc = sorter_new(&check->placed, LAID_LEN, check_memory());
	if (rc == 0)
		rc = check_objects(check);
	return rc < 0 ? rc : check_frames(check);
}

int check_pass(struct check *check)
{
	unsigned round = check->round;
	bool again = false;
	int rc;

	check->nobjects = 0;
	check->result->objects = check->result->segments = 0;
	rc = check_labels(check);
	if (rc == 0)
		rc = check_beside(check);
	if (rc == 0)
		rc = check_records(check);
	if (rc == 0)
		rc = check_placed(check);
	if (rc == 0)
		rc = check_objects_and_frames(check);
	if (rc == 0 && check->nlost && !check->result->live)
		rc = check_found(check, &again);
	if (rc == 0 && again) {
		check->round++; /* what it tells of again is known */
		rc = check_objects_and_frames(check);
		check->round = round;
	}
	if (rc == 0)
		rc = check_segments(check);
	if (rc == 0)
		rc = check_plain(check);
	sorters_free(check);
	return rc < 0 ? rc : check_counts(check);
}

void check_round(struct check *check)
{
	check->round++;
	check->nrecovered = 0;
	check->changes = 0;
	check->result->left = 0;
}

bool check_changed(const struct check *check)
{
	return check->changes > 0;
}

/* Repair -----------------------------------------------------------------------------------------
 */

static int apply_mends(struct check *check)
{
	struct meta_options options = {.dir = check->config->meta_path,
				       .tail_dir = check->ram_dir,
				       .pool_uuid = check->config->uuid,
				       .damaged_values = true};
	struct meta *meta;
	int rc = meta_open_lmdb(&meta, &options, NULL), closed;

	for (size_t i = 0; rc == 0 && i < check->nmends; i++) {
		uint64_t seq;

		rc = meta_apply(meta, check->mends[i], &seq);
	}
	closed = rc == 0 ? meta_close(meta) : 0;
	return rc < 0 ? rc : closed;
}

int check_repair(struct check *check)
{
	int rc = 0;

	/* One environment of LMDB per file and process. */
	meta_close(check->meta);
	check->meta = NULL;
	io_close(check->lock_fd);
	check->lock_fd = -1;
	for (size_t i = 0; i < check->nactions; i++) {
		int error = check->actions[i].run(check, check->actions[i].arg);

		rc = rc < 0 ? rc : error;
	}
	if (rc == 0 && check->nmends)
		rc = apply_mends(check);
	return rc;
}

/* Small parts ------------------------------------------------------------------------------------
 */

struct meta *check_meta(struct check *check)
{
	return check->meta;
}

const struct pool_config *check_config(struct check *check)
{
	return check->config;
}

struct check_result *check_result(struct check *check)
{
	return check->result;
}

size_t check_memory(void)
{
	return SORT_BYTES;
}

void check_path_set(struct check *check,
		    void (*path)(void *arg, uint64_t object, char *buf, size_t cap), void *arg)
{
	check->path = path;
	check->path_arg = arg;
}

int check_walk_open(struct check *check, enum key_type type, struct check_walk *out)
{
	uint8_t prefix = (uint8_t)type;
	int rc;

	*out = (struct check_walk){0};
	rc = meta_cursor_open(check->meta, &prefix, 1, NULL, 0, &out->cursor);
	return rc < 0 ? rc : check_walk_next(out);
}

int check_walk_next(struct check_walk *walk)
{
	int rc = meta_cursor_next(walk->cursor, &walk->item);

	if (rc < 0)
		walk->item = (struct meta_item){0};
	return rc == -ENOENT ? 0 : rc;
}

void check_walk_close(struct check_walk *walk)
{
	meta_cursor_close(walk->cursor);
	walk->cursor = NULL;
}
