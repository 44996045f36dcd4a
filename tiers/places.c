// SPDX-License-Identifier: Apache-2.0
/*
 * Invariants:
 *  1. A directory is written to only while the configuration file names it, durably: a pool whose
 *     data lies in a directory that is not in its configuration does not open.
 *  2. A directory that the configuration names, durably or not, has its label.
 *  3. An index is given to a directory only when no segment and no freed space refers to it.
 */
#include "tiers/places.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "tiers/clock.h"
#include "tiers/config_edit.h"
#include "tiers/config_keys.h"
#include "tiers/framestore.h"
#include "tiers/log.h"
#include "tiers/lost.h"
#include "tiers/meta_copy.h"
#include "tiers/plain_places.h"
#include "tiers/pool_impl.h"
#include "tiers/replicate.h"

#define CLOSE_WAIT_NS (10ull * 1000 * 1000 * 1000)
#define CLOSE_LOOK_NS (1000 * 1000)

_Static_assert(CONFIG_PATHS_MAX == TIER_PLACES_MAX, "a tier's paths and places");

/* Asking --------------------------------------------------------------------------------------- */

static uint64_t frames_stored(const struct segment_record *record)
{
	uint64_t stored = 0;

	for (unsigned c = 0; c < CODEC_COUNT; c++)
		stored += record->codec[c].stored;
	return stored;
}

int pool_places(struct pool *pool, uint32_t t,
		int (*each)(void *arg, const struct pool_place *place), void *arg)
{
	struct tier *tier = t && t < pool->config.ntiers ? pool->tiers[t].tier : NULL;
	int rc = 0;

	for (uint32_t i = 0; tier && rc == 0 && i < tier->nplaces; i++) {
		struct pool_place place = {.place = i,
					   .path = tier_place_path(tier, i),
					   .closed = tier_place_closed(tier, i),
					   .spare = tier_place_spare(tier, i)};
		struct segment *segment;
		size_t at = 0;

		if (!place.path)
			continue;
		if (tier_space(tier, i, &place.space) < 0)
			place.space = (struct tier_space){0};
		pthread_mutex_lock(&pool->commit_lock);
		while ((segment = idmap_each(&pool->segments, &at))) {
			if (!segment_in_place(pool->homes, segment, t, i))
				continue;
			place.live += frames_stored(&segment->record);
			place.segments++;
		}
		place.live += tier_plain_at(tier, i);
		pthread_mutex_unlock(&pool->commit_lock);
		rc = each(arg, &place);
	}
	return rc;
}

int pool_place_find(struct pool *pool, const char *path, uint32_t *tier, uint32_t *place)
{
	struct stat want, st;
	bool known = stat(path, &want) == 0;

	for (uint32_t t = 1; t < pool->config.ntiers; t++) {
		for (uint32_t i = 0; i < pool->tiers[t].tier->nplaces; i++) {
			const char *here = tier_place_path(pool->tiers[t].tier, i);

			if (!here || (strcmp(here, path) != 0 &&
				      (!known || stat(here, &st) != 0 || st.st_dev != want.st_dev ||
				       st.st_ino != want.st_ino)))
				continue;
			*tier = t;
			*place = i;
			return 0;
		}
	}
	return -ENOENT;
}

/* Closing -------------------------------------------------------------------------------------- */

int pool_place_close(struct pool *pool, uint32_t t, uint32_t place)
{
	struct tier *tier = t && t < pool->config.ntiers ? pool->tiers[t].tier : NULL;
	uint64_t until = clock_mono_ns() + CLOSE_WAIT_NS, mark;

	if (!tier || !tier_has_place(tier, place))
		return -ENODEV;
	appender_place_close(pool->tiers[t].appender, place);
	space_refresh(pool->space);
	mark = frame_builds_mark(pool);
	while (frame_builds_place(pool, t, place, mark)) {
		if (clock_mono_ns() > until)
			return -EBUSY;
		nanosleep(&(struct timespec){.tv_nsec = CLOSE_LOOK_NS}, NULL);
	}
	return 0;
}

void pool_place_open(struct pool *pool, uint32_t t, uint32_t place)
{
	if (!t || t >= pool->config.ntiers || !tier_has_place(pool->tiers[t].tier, place))
		return;
	appender_place_open(pool->tiers[t].appender, place);
	space_refresh(pool->space);
}

/* The configuration file ----------------------------------------------------------------------- */

static bool has_path(const struct config_tier *tier, const char *path)
{
	for (uint32_t i = 0; i < tier->npaths; i++)
		if (!strcmp(tier->paths[i], path))
			return true;
	return false;
}

/* A change of the file that was thought through, and not made yet: a path comes or goes. */
struct edit {
	const char *tier, *path;
	bool spare, add;
	const char *file;
	char *text; /* NULL: it says so already */
	size_t len;
};

static struct config_tier *tier_named(struct pool_config *config, const char *name)
{
	for (uint32_t t = 0; t < config->ntiers; t++)
		if (!strcmp(config->tiers[t].name, name))
			return &config->tiers[t];
	return NULL;
}

/* The new text says the same but for this path, and would be read. */
static int check_edit(struct pool *pool, const struct edit *edit, const struct pool_config *before,
		      char *message, size_t cap)
{
	struct pool_config after;
	const struct config_tier *was = tier_named((struct pool_config *)before, edit->tier), *is;
	int rc = config_parse_text(edit->file, edit->text, edit->len, &after, message, cap);
	uint32_t change = edit->add ? 1 : UINT32_MAX; /* one less */

	if (rc < 0)
		return rc;
	is = tier_named(&after, edit->tier);
	if (!is || is->npaths != was->npaths + change ||
	    is->nspares != was->nspares + (edit->spare ? change : 0) ||
	    has_path(is, edit->path) != edit->add || after.ntiers != before->ntiers)
		rc = config_say(
			-EINVAL, message, cap,
			"%s: cannot find the line of this path; change the file by hand and "
			"mount again",
			edit->file);
	else if (strcmp(after.meta_path, pool->config.meta_path) != 0)
		rc = config_say(
			-EBUSY, message, cap,
			"%s: the metadata's folder would be another one; set `meta = %s` in "
			"[pool] first",
			edit->file, pool->config.meta_path);
	config_release(&after);
	return rc;
}

static int prepare_edit(struct pool *pool, struct edit *edit, char *message, size_t cap)
{
	struct pool_config before;
	const struct config_tier *here;
	char *text = NULL;
	size_t len;
	int rc;

	edit->file = pool->config.file;
	if (!edit->file) /* a pool that has no file */
		return 0;
	rc = config_edit_read(edit->file, &text, &len);
	if (rc < 0)
		return config_say(rc, message, cap, "%s: %s", edit->file, strerror(-rc));
	rc = config_parse_text(edit->file, text, len, &before, message, cap);
	if (rc < 0)
		goto out;
	here = tier_named(&before, edit->tier);
	if (!here || memcmp(before.uuid, pool->config.uuid, sizeof(before.uuid)) != 0) {
		rc = config_say(-EINVAL, message, cap, "%s: is not this pool's any more",
				edit->file);
	} else if (has_path(here, edit->path) != edit->add) {
		if (!edit->add)
			edit->spare = config_is_spare(here, edit->path);
		rc = config_edit_path(text, len, edit->tier, edit->spare ? "copy_path" : "path",
				      edit->path, edit->add, &edit->text, &edit->len);
		if (rc < 0)
			rc = config_say(rc == -ENOENT ? -EINVAL : rc, message, cap, "%s: %s",
					edit->file,
					rc == -ENOENT ? "cannot find the line of this path"
						      : strerror(-rc));
		else
			rc = check_edit(pool, edit, &before, message, cap);
	}
	config_release(&before);
out:
	free(text);
	return rc;
}

/* *changed: what the file says is the new state, though perhaps not durably. */
static int make_edit(const struct edit *edit, bool *changed, char *message, size_t cap)
{
	int rc = 0;

	*changed = true;
	if (edit->text)
		rc = config_edit_replace(edit->file, edit->text, edit->len, changed);
	else if (edit->file)
		rc = config_edit_sync(edit->file);
	return rc < 0 ? config_say(rc, message, cap, "%s: %s", edit->file, strerror(-rc)) : 0;
}

static void place_event(struct pool *pool, int from, int to, const char *path)
{
	struct event event = {.kind = EVENT_PLACE, .from = from, .to = to};

	snprintf(event.text, sizeof(event.text), "%s", path);
	events_add(pool->events, &event);
	log_info("%s: %s was %s tier %s", pool->config.name, path,
		 to >= 0 ? "added to" : "taken out of",
		 pool->config.tiers[to >= 0 ? to : from].name);
}

/* Adding --------------------------------------------------------------------------------------- */

static bool referred_to(struct pool *pool, uint32_t t, uint32_t place)
{
	struct segment *segment;
	size_t at = 0;
	bool found = false;

	pthread_mutex_lock(&pool->commit_lock);
	while (!found && (segment = idmap_each(&pool->segments, &at)))
		found = segment_in_place(pool->homes, segment, t, place);
	for (size_t i = pool->freed.head; !found && i < pool->freed.count; i++)
		found = freed_in_place(pool, &pool->freed.items[i], t, place);
	pthread_mutex_unlock(&pool->commit_lock);
	return found;
}

static const char *why_not(int rc)
{
	switch (-rc) {
	case EEXIST:
		return "belongs to a tier already";
	case ENOTEMPTY:
		return "lies in a directory of a pool: choose one outside of it";
	case ENOENT:
		return "no such directory: create it, or mount its disk";
	default:
		return strerror(-rc);
	}
}

static int add_locked(struct pool *pool, uint32_t t, const char *path, bool spare, char *message,
		      size_t cap)
{
	const char *name = pool->config.tiers[t].name;
	struct tier *tier = pool->tiers[t].tier;
	struct edit edit = {.tier = name, .path = path, .spare = spare, .add = true};
	uint32_t place = 0;
	bool changed;
	int rc = prepare_edit(pool, &edit, message, cap);

	while (place < TIER_PLACES_MAX &&
	       (tier_has_place(tier, place) || referred_to(pool, t, place) ||
		lost_keeps(pool, t, place)))
		place++;
	if (rc == 0 && place == TIER_PLACES_MAX)
		rc = config_say(-EINVAL, message, cap,
				"tier %s has %u directories, which is the most", name,
				TIER_PLACES_MAX);
	if (rc < 0)
		goto out;
	tier_place_set_spare(tier, place, spare);
	rc = tier_place_add(tier, path, place);
	if (rc < 0) {
		config_say(rc, message, cap, "%s: %s", path, why_not(rc));
		goto out;
	}
	rc = make_edit(&edit, &changed, message, cap);
	if (rc < 0) {
		/* Where the file may name it, its label stays, and it stays closed. */
		if (!changed)
			tier_place_remove(tier, place);
		goto out;
	}
	pool_place_open(pool, t, place);
	place_event(pool, -1, (int)t, path);
out:
	free(edit.text);
	return rc;
}

int pool_place_add(struct pool *pool, uint32_t t, const char *path, bool spare, char *message,
		   size_t cap)
{
	const char *fault = path[0] == '/' ? config_path_fault(path) : "must begin with /";
	uint32_t tier, place;
	int rc;

	if (!t || t >= pool->config.ntiers)
		return config_say(-EINVAL, message, cap, "no such tier of directories");
	if (fault)
		return config_say(-EINVAL, message, cap, "%s: %s", path, fault);
	if (pool_place_find(pool, path, &tier, &place) == 0)
		return config_say(-EEXIST, message, cap, "%s: is a directory of tier %s already",
				  path, pool->config.tiers[tier].name);
	config_edit_lock();
	rc = add_locked(pool, t, path, spare, message, cap);
	config_edit_unlock();
	return rc;
}

/* Taking out ----------------------------------------------------------------------------------- */

/* The bytes that live there; with none, segments whose files could not be removed are forgotten:
 * the medium may be dead. */
static uint64_t left_in(struct pool *pool, uint32_t t, uint32_t place)
{
	struct segment *segment, *dead;
	uint64_t left = 0;
	size_t at = 0;

	do {
		dead = NULL;
		at = 0;
		left = pool->tiers[t].tier->plain_files[place];
		pthread_mutex_lock(&pool->commit_lock);
		while ((segment = idmap_each(&pool->segments, &at))) {
			if (!segment_in_place(pool->homes, segment, t, place))
				continue;
			if (segment->removing)
				dead = segment;
			else
				left += frames_stored(&segment->record) + 1;
		}
		for (size_t i = pool->freed.head; i < pool->freed.count; i++)
			left += freed_in_place(pool, &pool->freed.items[i], t, place);
		if (!left && dead)
			idmap_del(&pool->segments, dead->id);
		pthread_mutex_unlock(&pool->commit_lock);
		if (!left)
			free(dead);
	} while (!left && dead);
	return left;
}

/* Closes it and lets go of what is dead in it, durably. */
static int empty_out(struct pool *pool, uint32_t t, uint32_t place, char *message, size_t cap)
{
	const char *path = tier_place_path(pool->tiers[t].tier, place);
	uint64_t left = 1;
	int rc = pool_place_close(pool, t, place);

	if (rc == 0 && tier_place_spare(pool->tiers[t].tier, place))
		rc = copies_leave(pool, t, place);
	/* The first round frees frames, the next ones drop the segments and remove their files. */
	for (unsigned i = 0; rc == 0 && left && i < 3; i++) {
		pool_reap(pool);
		rc = pool_cut(pool);
		if (rc == 0) {
			pool_reclaim(pool);
			left = left_in(pool, t, place);
		}
	}
	if (rc < 0)
		return config_say(rc, message, cap, "%s: %s", path,
				  rc == -EBUSY ? "writes are on their way there; try again"
					       : strerror(-rc));
	if (left)
		return config_say(-EBUSY, message, cap,
				  "%s: data is in it; `terrace evacuate %s` moves it elsewhere",
				  path, path);
	/* The next mount must not look for the plain files that were in it. */
	rc = plain_places_tidy(pool);
	return rc < 0 ? rc : pool_cut(pool);
}

static bool lies_in(const char *path, const char *folder)
{
	size_t len = strlen(folder);

	return !strncmp(path, folder, len) && (!path[len] || path[len] == '/');
}

static uint32_t count_places(const struct tier *tier, bool spares)
{
	return (uint32_t)__builtin_popcountll(tier->present & (spares ? UINT64_MAX : ~tier->spare));
}

static int remove_locked(struct pool *pool, uint32_t t, uint32_t place, char *message, size_t cap)
{
	const char *name = pool->config.tiers[t].name;
	struct tier *tier = pool->tiers[t].tier;
	const char *path = tier_place_path(tier, place);
	bool was_closed = tier_place_closed(tier, place), changed = false;
	struct edit edit = {.tier = name, .path = path};
	int rc = 0;

	if (!path)
		return config_say(-ENOENT, message, cap, "it has just been taken out");
	if (!tier_place_spare(tier, place) && count_places(tier, false) < 2)
		return config_say(-EBUSY, message, cap, "%s: is the only directory of tier %s",
				  path, name);
	if (lies_in(pool->config.meta_path, path))
		return config_say(-EBUSY, message, cap,
				  "%s: the pool's metadata is in it, in %s: it cannot be taken out",
				  path, pool->config.meta_path);
	rc = prepare_edit(pool, &edit, message, cap);
	if (rc == 0)
		rc = empty_out(pool, t, place, message, cap);
	if (rc == 0)
		rc = make_edit(&edit, &changed, message, cap);
	free(edit.text);
	if (rc < 0) {
		/* Where the file may not name it any more, it stays closed. */
		if (!was_closed && !changed)
			pool_place_open(pool, t, place);
		return rc;
	}
	copy_remove_all(path);
	/* A label that stays is nobody's: its medium may be dead. */
	tier_place_remove(tier, place);
	space_refresh(pool->space);
	place_event(pool, (int)t, -1, path);
	return 0;
}

/* One that was missing when the pool was opened: only the configuration has it. */
static int remove_missing_locked(struct pool *pool, uint32_t t, const char *path, char *message,
				 size_t cap)
{
	struct edit edit = {.tier = pool->config.tiers[t].name, .path = path};
	bool changed;
	int rc = prepare_edit(pool, &edit, message, cap);

	if (rc == 0)
		rc = make_edit(&edit, &changed, message, cap);
	free(edit.text);
	if (rc == 0 && lost_forget(pool, t, path))
		place_event(pool, (int)t, -1, path);
	return rc;
}

int pool_place_remove(struct pool *pool, uint32_t t, const char *path, char *message, size_t cap)
{
	uint32_t tier, place;
	bool missing;
	int rc;

	if (!t || t >= pool->config.ntiers)
		return config_say(-EINVAL, message, cap, "no such tier of directories");
	missing = lost_is_missing(pool, t, path);
	if (!missing && (pool_place_find(pool, path, &tier, &place) < 0 || tier != t))
		return config_say(-ENOENT, message, cap, "%s: is no directory of tier %s", path,
				  pool->config.tiers[t].name);
	config_edit_lock();
	rc = missing ? remove_missing_locked(pool, t, path, message, cap)
		     : remove_locked(pool, t, place, message, cap);
	config_edit_unlock();
	return rc;
}

bool pool_places_match(struct pool *pool, uint32_t t, const struct config_tier *config)
{
	struct tier *tier = t && t < pool->config.ntiers ? pool->tiers[t].tier : NULL;
	uint32_t i;

	if (!tier || count_places(tier, true) + lost_without_place(pool, t) != config->npaths)
		return false;
	for (i = 0; i < tier->nplaces; i++) {
		const char *path = tier_place_path(tier, i);

		if (path && (!has_path(config, path) ||
			     config_is_spare(config, path) != tier_place_spare(tier, i)))
			return false;
	}
	return true;
}
