// SPDX-License-Identifier: Apache-2.0
/*
 * Verbs. A request is checked when it is made; what it names may have changed when its turn comes,
 * and then what is still there is done and the first error is the job's.
 *
 * Folders are walked first and moved at once, in the order found, because pool_move() packs files
 * into frames in the order it is given: neighbours in the tree become neighbours on the medium.
 */
#include "fs/job_run.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/fs.h"
#include "fs/paths.h"
#include "fs/terrace_xattr.h"
#include "fs/text.h"
#include "tiers/clock.h"
#include "tiers/engine/engine.h"
#include "tiers/log.h"
#include "tiers/object.h"
#include "tiers/places.h"
#include "tiers/scrub.h"

#define PLACE_MAX  4096u /* inodes in one job */
#define INODE_WORD "inode"

struct job_kind {
	const char *verb;
	bool has_paths;
	int step; /* without "to": towards the fast end (-1) or the slow one (+1) */
	int (*run)(struct fs *fs, struct job *job);
	bool has_place; /* "tier" and "path"; evacuate: one of them */
};

static int run_pass(struct fs *fs, struct job *job);
static int run_move(struct fs *fs, struct job *job);
static int run_place(struct fs *fs, struct job *job);
static int run_add_path(struct fs *fs, struct job *job);
static int run_add_copy_path(struct fs *fs, struct job *job);
static int run_remove_path(struct fs *fs, struct job *job);
static int run_evacuate(struct fs *fs, struct job *job);
static int run_scrub(struct fs *fs, struct job *job);

static const struct job_kind kinds[] = {
	{"run", false, 0, run_pass, false},
	{"promote", true, -1, run_move, false},
	{"demote", true, +1, run_move, false},
	{JOB_PLACE, true, 0, run_place, false},
	{"add-path", false, 0, run_add_path, true},
	{"add-copy-path", false, 0, run_add_copy_path, true},
	{"remove-path", false, 0, run_remove_path, true},
	{"evacuate", false, 0, run_evacuate, true},
	{JOB_SCRUB, false, 0, run_scrub, false},
};

/* Requests. ------------------------------------------------------------------------------------ */

static const struct job_kind *kind_find(const char *verb)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (!strcmp(kinds[i].verb, verb))
			return &kinds[i];
	return NULL;
}

static int parse_to(struct job *job, const struct pool_config *config, const char *to)
{
	job->to = -1;
	if (!to)
		return 0;
	for (uint32_t i = 0; i < config->ntiers; i++) {
		if (!strcmp(config->tiers[i].name, to)) {
			job->to = (int)i;
			job->to_name = config->tiers[i].name;
			return 0;
		}
	}
	return -EINVAL;
}

static int resolve(struct fs *fs, const json_t *path, uint64_t *id)
{
	char *name = json_name_get(path);
	int r = name ? fs_resolve(fs, name, id) : -ENOMEM;

	free(name);
	return r;
}

/* A mistyped path is an error for whoever typed it. It may still vanish before its turn comes. */
static int check_paths(struct fs *fs, const struct job *job, const json_t *paths, char *message,
		       size_t message_cap)
{
	bool numbers = job->kind->run == run_place;
	json_t *path;
	uint64_t id;
	size_t i;
	int r;

	if (!json_is_array(paths) || !json_array_size(paths)) {
		snprintf(message, message_cap, "paths must be a list of paths");
		return -EINVAL;
	}
	json_array_foreach(paths, i, path)
	{
		const char *text = json_string_value(path);

		if (numbers && json_is_integer(path))
			continue; /* an inode that is there or is not any more */
		if (!text || *text != '/') {
			snprintf(message, message_cap,
				 "a path begins with /, at the root of the mount");
			return -EINVAL;
		}
		r = job->resumed ? 0 : resolve(fs, path, &id);
		if (r) {
			char *name = json_name_get(path);

			snprintf(message, message_cap, "%.200s: %s", name ? name : text,
				 error_text(r));
			free(name);
			return -EINVAL;
		}
	}
	return 0;
}

/* A tier, or the one that has the directory. */
static int parse_evacuate(struct job *job, struct fs *fs, const char **tier, const char *path,
			  char *message, size_t message_cap)
{
	uint32_t place;

	if (!*tier == !path) {
		snprintf(message, message_cap, "either a tier or a path is to be emptied");
		return -EINVAL;
	}
	if (!path)
		return 0;
	if (pool_place_find(fs->pool, path, &job->tier, &place)) {
		snprintf(message, message_cap, "%.200s is no directory of a tier", path);
		return -EINVAL;
	}
	*tier = pool_config(fs->pool)->tiers[job->tier].name;
	return 0;
}

static int parse_place(struct job *job, struct fs *fs, const char *tier, const char *path,
		       char *message, size_t message_cap)
{
	const struct pool_config *config = pool_config(fs->pool);
	bool evacuate = job->kind->run == run_evacuate;

	if (!job->kind->has_place)
		return 0;
	if (evacuate && parse_evacuate(job, fs, &tier, path, message, message_cap))
		return -EINVAL;
	for (job->tier = 1; tier && job->tier < config->ntiers; job->tier++)
		if (!strcmp(config->tiers[job->tier].name, tier))
			break;
	if (!tier || job->tier == config->ntiers) {
		snprintf(message, message_cap, "no such tier of directories");
		return -EINVAL;
	}
	job->tier_name = config->tiers[job->tier].name;
	if (evacuate && !path)
		return 0;
	if (!path || *path != '/') {
		snprintf(message, message_cap, "path must be a directory's, from / on");
		return -EINVAL;
	}
	job->path = strdup(path);
	return job->path ? 0 : -ENOMEM;
}

int job_parse(struct job *job, struct fs *fs, const char *text, size_t len, char *message,
	      size_t message_cap)
{
	const struct pool_config *config = pool_config(fs->pool);
	const char *verb = NULL, *to = NULL, *tier = NULL;
	json_t *root, *paths = NULL, *place = NULL;
	char *path = NULL;
	int r = -EINVAL;

	root = json_loadb(text, len, 0, NULL);
	if (!root || json_unpack(root, "{s:s,s?s,s?o,s?s,s?o}", "verb", &verb, "to", &to, "paths",
				 &paths, "tier", &tier, "path", &place)) {
		snprintf(message, message_cap, "not an object with a verb");
		goto out;
	}
	path = json_name_get(place);
	job->kind = kind_find(verb);
	if (!job->kind) {
		snprintf(message, message_cap, "unknown verb");
	} else if (parse_to(job, config, to)) {
		snprintf(message, message_cap, "no such tier");
	} else if (parse_place(job, fs, tier, path, message, message_cap)) {
		r = -EINVAL;
	} else if (!job->kind->has_paths || !check_paths(fs, job, paths, message, message_cap)) {
		job->paths = job->kind->has_paths ? json_incref(paths) : NULL;
		atomic_store(&job->between, true);
		r = 0;
	}
out:
	free(path);
	json_decref(root);
	return r;
}

void job_release(struct job *job)
{
	json_decref(job->paths);
	job->paths = NULL;
	free(job->path);
	job->path = NULL;
}

char *job_request(const struct job *job)
{
	json_t *root =
		json_pack("{s:s,s:s*,s:O*,s:o*}", "verb", job->kind->verb, "to", job->to_name,
			  "paths", job->paths, "path", job->path ? json_name(job->path) : NULL);
	char *text;

	if (root && job->kind->has_place && (job->kind->run != run_evacuate || !job->path))
		json_object_set_new(root, "tier", json_string(job->tier_name));
	text = root ? json_dumps(root, JSON_COMPACT) : NULL;
	json_decref(root);
	return text;
}

const char *job_verb(const struct job *job)
{
	return job->kind->verb;
}

bool job_place_has(const struct job *job, uint64_t id)
{
	json_t *path;
	size_t i;

	if (strcmp(job->kind->verb, JOB_PLACE) != 0)
		return false;
	json_array_foreach(job->paths, i, path)
	{
		if (json_is_integer(path) && (uint64_t)json_integer_value(path) == id)
			return true;
	}
	return false;
}

bool job_place_add(struct job *job, uint64_t id)
{
	if (strcmp(job->kind->verb, JOB_PLACE) != 0 || json_array_size(job->paths) >= PLACE_MAX)
		return false;
	return !json_array_append_new(job->paths, json_integer((json_int_t)id));
}

/* What the job is about, short. */
static json_t *what_json(const struct job *job)
{
	const json_t *first = json_array_get(job->paths, 0);
	size_t more = json_array_size(job->paths);
	char text[400] = "", count[40] = "", *name = json_name_get(first);

	if (more > 1)
		snprintf(count, sizeof(count), " and %zu more", more - 1);
	if (json_is_integer(first))
		snprintf(text, sizeof(text), INODE_WORD " %lld%s",
			 (long long)json_integer_value(first), count);
	else if (name)
		snprintf(text, sizeof(text), "%.300s%s", name, count);
	else if (job->kind->has_place)
		snprintf(text, sizeof(text), "%.300s", job->path ? job->path : job->tier_name);
	free(name);
	return json_name(text);
}

void job_json_name(struct fs *fs, json_t *json)
{
	const char *what = json_string_value(json_object_get(json, "what"));
	unsigned long long inode;
	int end = 0;
	json_t *path;
	char text[3 * PATH_MAX + 40];

	if (!what || sscanf(what, INODE_WORD " %llu%n", &inode, &end) != 1 || !end)
		return;
	path = path_json_of(fs, inode);
	snprintf(text, sizeof(text), "%s%s", json_string_value(path), what + end);
	if (path)
		json_object_set_new(json, "what", json_string(text));
	json_decref(path);
}

/* Names may be in it. */
static json_t *error_json(const struct job *job)
{
	return json_name(job->why[0] ? job->why : error_text(job->error));
}

json_t *job_json(struct job *job, bool ended)
{
	uint64_t total = job->total, done = job->done, failed = job->failed_frames;

	if (!job->between) {
		total += job->progress.bytes_total;
		done += job->progress.bytes_done;
		failed += job->progress.frames_failed;
	}
	return json_pack("{s:s,s:o,s:s?,s:I,s:I,s:I,s:I,s:I,s:I,s:f,s:f,s:o}", "verb",
			 job->kind->verb, "what", what_json(job), "to", job->to_name, "bytes_total",
			 (json_int_t)total, "bytes_done", (json_int_t)done, "files",
			 (json_int_t)job->files, "moved", (json_int_t)done, "failed_frames",
			 (json_int_t)failed, "directories_made", (json_int_t)job->places_made,
			 "engine_ms", (double)job->engine_ns / 1e6, "moving_ms",
			 (double)job->moving_ns / 1e6, "error",
			 ended && job->error ? error_json(job) : json_null());
}

/* Running. ------------------------------------------------------------------------------------- */

static void move_begins(struct job *job)
{
	job->began_ns = clock_mono_ns();
	atomic_store(&job->between, false);
}

/* Adds up a move that ended. The order keeps a reader from seeing it twice. */
static void move_ended(struct job *job)
{
	atomic_store(&job->between, true);
	job->moving_ns += clock_mono_ns() - job->began_ns;
	job->engine_ns += atomic_exchange(&job->progress.engine_ns, 0);
	job->total += job->progress.bytes_total;
	job->done += job->progress.bytes_done;
	job->failed_frames += job->progress.frames_failed;
	job->places_made += job->progress.places_made;
	job->progress.bytes_total = job->progress.bytes_done = 0;
	job->progress.frames_failed = job->progress.places_made = 0;
}

static int run_pass(struct fs *fs, struct job *job)
{
	int r;

	move_begins(job);
	r = pool_run(fs->pool, &job->progress);
	move_ended(job);
	return r;
}

/* That it is there, or is not, may be this job's own work before a crash. */
/* A tier inside what it is a part of would wait for itself. Asked without a lock held: the question
 * comes back to this daemon. */
static bool is_inside(const char *path, const char *mount)
{
	struct stat a, b;

	return !stat(path, &a) && !stat(mount, &b) && a.st_dev == b.st_dev;
}

static int add_path(struct fs *fs, struct job *job, bool spare)
{
	int r;

	if (is_inside(job->path, fs->mount)) {
		snprintf(job->why, sizeof(job->why),
			 "%s lies in this pool's own mount: a tier needs a directory outside it",
			 job->path);
		return -EINVAL;
	}
	r = pool_place_add(fs->pool, job->tier, job->path, spare, job->why, sizeof(job->why));
	return r == -EEXIST && job->resumed ? 0 : r;
}

static int run_add_path(struct fs *fs, struct job *job)
{
	return add_path(fs, job, false);
}

static int run_add_copy_path(struct fs *fs, struct job *job)
{
	return add_path(fs, job, true);
}

static int run_remove_path(struct fs *fs, struct job *job)
{
	int r = pool_place_remove(fs->pool, job->tier, job->path, job->why, sizeof(job->why));

	return r == -ENOENT && job->resumed ? 0 : r;
}

/* Which directory; -1: all of the tier. */
static int evacuated_place(struct fs *fs, const struct job *job, int *place)
{
	uint32_t tier, found;
	int r;

	*place = -1;
	if (!job->path)
		return 0;
	r = pool_place_find(fs->pool, job->path, &tier, &found);
	if (!r)
		*place = (int)found;
	return r;
}

static int run_evacuate(struct fs *fs, struct job *job)
{
	int place, r = evacuated_place(fs, job, &place);

	if (r)
		return r;
	job->place = place;
	job->closed = true;
	move_begins(job);
	r = pool_evacuate(fs->pool, job->tier, place, &job->progress);
	move_ended(job);
	if (r == -ENOSPC)
		snprintf(job->why, sizeof(job->why),
			 "no other directory or tier has room for what is left: delete something, "
			 "or add a directory (`terrace config add`)");
	return r;
}

static int run_scrub(struct fs *fs, struct job *job)
{
	int r;

	move_begins(job);
	r = pool_scrub(fs->pool, job->resumed, &job->progress);
	move_ended(job);
	return r;
}

bool job_gives_way(const struct job *job)
{
	return job->kind && job->kind->run == run_scrub;
}

void job_undo(struct fs *fs, struct job *job)
{
	if (job_gives_way(job))
		pool_scrub_give_up(fs->pool);
	if (job->closed)
		pool_reopen(fs->pool, job->tier, job->place);
}

struct list {
	uint64_t *ids;
	size_t len, cap;
};

static int list_add(struct list *list, uint64_t id)
{
	if (list->len == list->cap) {
		size_t cap = list->cap ? 2 * list->cap : 1024;
		uint64_t *ids = reallocarray(list->ids, cap, sizeof(*ids));

		if (!ids)
			return -ENOMEM;
		list->ids = ids;
		list->cap = cap;
	}
	list->ids[list->len++] = id;
	return 0;
}

struct collect { /* folders wait in their own list: no recursion, whatever the depth */
	struct job *job;
	struct list files, folders;
};

static int collect_one(struct collect *collect, uint64_t id, uint8_t type)
{
	if (collect->job->progress.cancel)
		return -ECANCELED;
	if (type == DT_DIR)
		return list_add(&collect->folders, id);
	return type == DT_REG ? list_add(&collect->files, id) : 0;
}

static int collect_entry(void *arg, const struct dir_entry *entry)
{
	return collect_one(arg, entry->id, entry->type);
}

/* A path, or the number of an inode: then it is no error when that is gone. */
static int collect_path(struct fs *fs, struct collect *collect, const json_t *path)
{
	uint64_t id = (uint64_t)json_integer_value(path);
	struct stat st;
	int r = 0;

	if (!json_is_integer(path))
		r = resolve(fs, path, &id);
	if (!r)
		r = fs_getattr(fs, id, &st);
	if (r == -ENOENT && json_is_integer(path))
		return 0;
	if (!r)
		r = collect_one(collect, id, (uint8_t)IFTODT(st.st_mode));
	while (!r && collect->folders.len) {
		struct dir dir = fs_dir(fs, collect->folders.ids[--collect->folders.len]);

		r = dir_walk(&dir, 0, collect_entry, collect);
	}
	return r;
}

/* Where a file goes: -1 = nowhere, it is at that end already or gone. */
static int target_of(struct fs *fs, const struct job *job, uint64_t id)
{
	const struct pool_config *config = pool_config(fs->pool);
	struct object *object;
	int tier, r;

	if (job->to >= 0)
		return job->to;
	if (object_get(fs->pool, id, &object))
		return -1;
	r = terrace_main_tier(object, &tier);
	object_put(object);
	tier += job->kind->step;
	return r < 0 || tier < 0 || tier >= (int)config->ntiers ? -1 : tier;
}

/* All files with one target at once, in the order found, so that neighbours are packed together. */
static int move_to(struct fs *fs, struct job *job, const struct list *files, const int8_t *targets,
		   int to)
{
	struct list some = {.ids = NULL};
	int r = 0;

	for (size_t i = 0; !r && i < files->len; i++)
		if (targets[i] == to)
			r = list_add(&some, files->ids[i]);
	if (!r && some.len) {
		move_begins(job);
		r = pool_move_step(fs->pool, some.ids, some.len, to, job->kind->step,
				   &job->progress);
		move_ended(job);
		if (r == -ENOSPC)
			snprintf(job->why, sizeof(job->why),
				 "tier %s has no room for all of it: make some (`terrace status`), "
				 "or it is being emptied (`terrace config`)",
				 pool_config(fs->pool)->tiers[to].name);
		job->files += some.len;
	}
	free(some.ids);
	return r;
}

static int move_all(struct fs *fs, struct job *job, const struct list *files)
{
	int ntiers = (int)pool_config(fs->pool)->ntiers, first = 0, r;
	int8_t *targets = malloc(files->len);

	if (!targets)
		return files->len ? -ENOMEM : 0;
	for (size_t i = 0; i < files->len; i++)
		targets[i] = (int8_t)target_of(fs, job, files->ids[i]);
	for (int to = 0; to < ntiers; to++) {
		r = job->progress.cancel ? -ECANCELED : move_to(fs, job, files, targets, to);
		if (r == -ECANCELED) {
			first = r;
			break;
		}
		if (!first)
			first = r;
	}
	free(targets);
	return first;
}

/* All files below the job's paths. A path that cannot be found fails the job, after the others were
 * done: *first. */
static int collect_all(struct fs *fs, struct collect *collect, int *first)
{
	json_t *path;
	size_t i;
	int r;

	*first = 0;
	json_array_foreach(collect->job->paths, i, path)
	{
		r = collect_path(fs, collect, path);
		if (r == -ECANCELED || r == -ENOMEM)
			return r;
		if (!*first)
			*first = r;
	}
	return 0;
}

static int run_collected(struct fs *fs, struct job *job,
			 int (*move)(struct fs *fs, struct job *job, const struct list *files))
{
	struct collect collect = {.job = job};
	int first, r = collect_all(fs, &collect, &first);

	if (!r) {
		r = move(fs, job, &collect.files);
		if (first && r != -ECANCELED)
			r = first;
	}
	free(collect.files.ids);
	free(collect.folders.ids);
	return r;
}

static int run_move(struct fs *fs, struct job *job)
{
	return run_collected(fs, job, move_all);
}

static int place_all(struct fs *fs, struct job *job, const struct list *files)
{
	int r;

	if (!files->len)
		return 0;
	move_begins(job);
	r = pool_place(fs->pool, files->ids, files->len, &job->progress);
	move_ended(job);
	job->files += files->len;
	return r;
}

static int run_place(struct fs *fs, struct job *job)
{
	return run_collected(fs, job, place_all);
}

int job_run(struct fs *fs, struct job *job)
{
	job->files = 0; /* all are walked again */
	return job->kind->run(fs, job);
}
