// SPDX-License-Identifier: Apache-2.0
#include "tiers/lost.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tiers/config_keys.h"
#include "tiers/copies_impl.h"
#include "tiers/engine/engine_impl.h"
#include "tiers/framestore.h"
#include "tiers/io.h"
#include "tiers/log.h"
#include "tiers/places.h"
#include "tiers/tier_label.h"

struct missing { /* a directory without a place */
	struct missing *next;
	uint32_t tier;
	bool spare;
	char path[];
};

struct lost {
	_Atomic uint64_t gone[CONFIG_TIERS_MAX]; /* bit per place whose directory went */
	_Atomic uint64_t kept[CONFIG_TIERS_MAX]; /* ... that missing directories may have */
	pthread_mutex_t lock;			 /* a leaf; guards missing */
	struct missing *missing;
};

int lost_new(struct lost **out)
{
	*out = calloc(1, sizeof(**out));
	if (!*out)
		return -ENOMEM;
	pthread_mutex_init(&(*out)->lock, NULL);
	return 0;
}

void lost_free(struct lost *lost)
{
	struct missing *missing;

	if (!lost)
		return;
	while ((missing = lost->missing)) {
		lost->missing = missing->next;
		free(missing);
	}
	pthread_mutex_destroy(&lost->lock);
	free(lost);
}

/* Missing since the pool was opened ------------------------------------------------------------ */

static int missing_add(struct lost *lost, uint32_t t, const char *path, bool spare)
{
	struct missing *missing = malloc(sizeof(*missing) + strlen(path) + 1);

	if (!missing)
		return -ENOMEM;
	missing->tier = t;
	missing->spare = spare;
	strcpy(missing->path, path);
	pthread_mutex_lock(&lost->lock);
	missing->next = lost->missing;
	lost->missing = missing;
	pthread_mutex_unlock(&lost->lock);
	return 0;
}

int lost_missing(struct pool *pool, uint32_t t, const char *path)
{
	const struct config_tier *config = &pool->config.tiers[t];

	if (missing_add(pool->copies->lost, t, path, config_is_spare(config, path)) < 0)
		return -ENOMEM;
	log_warning("tier %s: %s is not there; the pool is opened without it, since the others "
		    "have copies: mount its disk, or take it out with `terrace config remove %s "
		    "%s`; `terrace run` copies to what is there",
		    config->name, path, config->name, path);
	return 0;
}

void lost_keep(struct pool *pool, uint32_t t, uint64_t places)
{
	pool->copies->lost->kept[t] |= places;
}

unsigned lost_without_place(struct pool *pool, uint32_t t)
{
	struct lost *lost = pool->copies->lost;
	unsigned n = 0;

	pthread_mutex_lock(&lost->lock);
	for (const struct missing *missing = lost->missing; missing; missing = missing->next)
		n += missing->tier == t;
	pthread_mutex_unlock(&lost->lock);
	return n;
}

bool lost_is_missing(struct pool *pool, uint32_t t, const char *path)
{
	struct lost *lost = pool->copies->lost;
	const struct missing *missing;

	pthread_mutex_lock(&lost->lock);
	missing = lost->missing;
	while (missing && (missing->tier != t || strcmp(missing->path, path) != 0))
		missing = missing->next;
	pthread_mutex_unlock(&lost->lock);
	return missing;
}

bool lost_keeps(struct pool *pool, uint32_t t, uint32_t place)
{
	return lost_without_place(pool, t) && pool->copies->lost->kept[t] >> place & 1;
}

bool lost_forget(struct pool *pool, uint32_t t, const char *path)
{
	struct lost *lost = pool->copies->lost;
	struct missing **at, *found;

	pthread_mutex_lock(&lost->lock);
	at = &lost->missing;
	while (*at && ((*at)->tier != t || strcmp((*at)->path, path) != 0))
		at = &(*at)->next;
	found = *at;
	if (found)
		*at = found->next;
	pthread_mutex_unlock(&lost->lock);
	free(found);
	return found;
}

/* What there is to tell ------------------------------------------------------------------------ */

unsigned lost_count(struct pool *pool)
{
	unsigned n = 0;

	for (uint32_t t = 1; t < pool->config.ntiers; t++)
		n += (unsigned)__builtin_popcountll(pool->copies->lost->gone[t]) +
		     lost_without_place(pool, t);
	return n;
}

/* Number `index` of those without a place, or NULL; the caller frees it. */
static char *missing_path(struct pool *pool, size_t index, uint32_t *t, bool *spare)
{
	struct lost *lost = pool->copies->lost;
	struct missing *missing;
	char *path = NULL;

	pthread_mutex_lock(&lost->lock);
	missing = lost->missing;
	while (missing && index--)
		missing = missing->next;
	if (missing) {
		*t = missing->tier;
		*spare = missing->spare;
		path = strdup(missing->path);
	}
	pthread_mutex_unlock(&lost->lock);
	return path;
}

int lost_each(struct pool *pool, int (*each)(void *arg, uint32_t tier, const char *path, bool went),
	      void *arg)
{
	uint32_t t;
	char *path;
	bool spare;
	int rc = 0;

	for (t = 1; t < pool->config.ntiers; t++) {
		uint64_t gone = pool->copies->lost->gone[t];

		for (; rc == 0 && gone; gone &= gone - 1) {
			const char *was = tier_place_path(pool->tiers[t].tier,
							  (uint32_t)__builtin_ctzll(gone));

			rc = was ? each(arg, t, was, true) : 0;
		}
	}
	for (size_t i = 0; rc == 0 && (path = missing_path(pool, i, &t, &spare)); i++) {
		rc = each(arg, t, path, false);
		free(path);
	}
	return rc;
}

static void tell(struct pool *pool, uint32_t t, const char *path, const char *what)
{
	struct event event = {.kind = EVENT_PLACE, .from = (int)t, .to = -1};

	snprintf(event.text, sizeof(event.text), "%s", path);
	events_add(pool->events, &event);
	log_warning("tier %s: %s %s", pool->config.tiers[t].name, path, what);
}

/* Back again ----------------------------------------------------------------------------------- */

struct sweep {
	struct pool *pool;
	uint32_t tier;
};

/* In fewer places than it should be? Then nothing is thrown away, for who must look for data. */
static bool is_under(struct pool *pool, const struct segment *segment)
{
	struct tunables tunables;

	pool_tunables(pool, &tunables);
	return (unsigned)__builtin_popcountll(
		       homes_get(pool->homes, segment->id, segment->record.place)) <
	       copies_wanted(pool, &tunables, segment->id, segment->record.tier);
}

/* A file that no record counts as a copy goes when that is durable, as after a crash. */
static int each_left(void *arg, struct tier_segment file, uint64_t len, uint64_t disk)
{
	const struct sweep *sweep = arg;
	struct pool *pool = sweep->pool;
	struct segment segment;
	bool known = segment_look_up(pool, file.id, &segment);

	(void)len;
	(void)disk;
	if (known && (segment_in_place(pool->homes, &segment, sweep->tier, file.place) ||
		      is_under(pool, &segment)))
		return 0;
	/* Not in any record yet. */
	if (!known &&
	    (homes_has(pool->homes, file.id) || frame_builds_in(pool, sweep->tier, file.id)))
		return 0;
	pthread_mutex_lock(&pool->commit_lock);
	freed_push(&pool->freed, &(struct freed){.seq = meta_seq(pool->meta),
						 .segment = file,
						 .tier = sweep->tier,
						 .places = (uint64_t)1 << file.place,
						 .copy = true});
	pthread_mutex_unlock(&pool->commit_lock);
	return 0;
}

static void use_again(struct pool *pool, uint32_t t, uint32_t place, const char *path)
{
	struct sweep sweep = {pool, t};

	(void)tier_list(pool->tiers[t].tier, place, each_left, &sweep);
	pool_place_open(pool, t, place);
	tell(pool, t, path, "is there again");
}

/* As tier_place_return(); the place is what the directory was when it was missed. */
static int come_back(struct pool *pool, uint32_t t, const char *path, bool spare, uint32_t *place)
{
	struct tier *tier = pool->tiers[t].tier;
	struct tier_label label;
	int rc = tier_label_look(path, pool->config.uuid, t, &label);

	if (rc == 0 && tier_has_place(tier, label.place))
		rc = -EEXIST;
	if (rc < 0)
		return rc;
	tier_place_set_spare(tier, label.place, spare);
	return tier_place_return(tier, path, place);
}

static void look_for_missing(struct pool *pool)
{
	uint32_t t, place;
	char *path;
	bool spare;

	for (size_t i = 0; (path = missing_path(pool, i, &t, &spare)); i++) {
		if (come_back(pool, t, path, spare, &place) == 0 && lost_forget(pool, t, path)) {
			use_again(pool, t, place, path);
			i--; /* the next one has its number now */
		}
		free(path);
	}
}

/* Looking -------------------------------------------------------------------------------------- */

/* One that was not there must show whose it is. */
static bool is_there(struct pool *pool, uint32_t t, uint32_t place, const char *path, bool was_lost)
{
	struct tier_label label;
	char name[PATH_MAX];

	if (was_lost)
		return tier_label_look(path, pool->config.uuid, t, &label) == 0 &&
		       label.place == place;
	if (snprintf(name, sizeof(name), "%s/" TIER_LABEL_NAME, path) >= (int)sizeof(name))
		return true;
	return access(name, F_OK) == 0 || errno == EACCES || errno == ENOMEM;
}

uint64_t lost_places(struct pool *pool, uint32_t t)
{
	return pool->copies->lost->gone[t] | ~pool->tiers[t].tier->present;
}

/* Copies that are not there count no more, where another one is. Where none is, all still count:
 * nobody knows which directory will be back first. */
static void drop_lost(struct pool *pool, const uint64_t *ids, size_t n)
{
	struct segment segment;

	for (size_t i = 0; i < n; i++) {
		uint64_t homes, lost;

		if (!segment_look_up(pool, ids[i], &segment))
			continue;
		homes = homes_get(pool->homes, segment.id, segment.record.place);
		lost = homes & lost_places(pool, segment.record.tier);
		for (; lost && homes != lost; homes &= ~(lost & -lost), lost &= lost - 1)
			homes_drop(pool->homes, segment.id, (uint32_t)__builtin_ctzll(lost));
	}
}

static void look_at(struct pool *pool, uint32_t t, uint32_t place)
{
	const char *path = tier_place_path(pool->tiers[t].tier, place);
	_Atomic uint64_t *gone = &pool->copies->lost->gone[t];
	uint64_t bit = (uint64_t)1 << place;
	bool was_lost = *gone & bit, there;

	if (!path) { /* taken out meanwhile */
		*gone &= ~bit;
		return;
	}
	there = is_there(pool, t, place, path, was_lost);
	if (there && was_lost) {
		*gone &= ~bit;
		use_again(pool, t, place, path);
	}
	if (there || was_lost)
		return;
	*gone |= bit;
	appender_place_close(pool->tiers[t].appender, place);
	space_refresh(pool->space);
	tell(pool, t, path,
	     "is not there any more (no " TIER_LABEL_NAME "): nothing is written to it");
}

void lost_look(struct pool *pool, const uint64_t *ids, size_t n)
{
	look_for_missing(pool);
	for (uint32_t t = 1; t < pool->config.ntiers; t++)
		for (uint32_t place = 0; place < pool->tiers[t].tier->nplaces; place++)
			look_at(pool, t, place);
	drop_lost(pool, ids, n);
}

static int each_seen(void *arg, struct tier_segment seg, uint64_t len, uint64_t disk)
{
	(void)len;
	(void)disk;
	return idmap_put(arg, seg.id, arg);
}

/* Segments that were listed before, and have no file there now. */
static int look_for_files(struct pool *pool, uint32_t t, uint32_t place, const uint64_t *ids,
			  size_t n)
{
	struct segment segment;
	struct idmap seen;
	int rc;

	idmap_init(&seen);
	rc = tier_list(pool->tiers[t].tier, place, each_seen, &seen);
	for (size_t i = 0; rc == 0 && i < n; i++)
		if (!idmap_get(&seen, ids[i]) && segment_look_up(pool, ids[i], &segment) &&
		    segment.record.tier == t)
			homes_drop(pool->homes, segment.id, place);
	idmap_release(&seen);
	return rc;
}

int lost_files(struct pool *pool, const uint64_t *ids, size_t n)
{
	int first = 0;

	for (uint32_t t = 1; t < pool->config.ntiers; t++) {
		const struct tier *tier = pool->tiers[t].tier;
		uint64_t there = tier->present & ~pool->copies->lost->gone[t];

		for (; there; there &= there - 1) {
			int rc = look_for_files(pool, t, (uint32_t)__builtin_ctzll(there), ids, n);

			first = first ? first : rc;
		}
	}
	return first;
}

/* Making again --------------------------------------------------------------------------------- */

/* Was it deleted, and not unmounted? Then it is where its parent is: on the medium it was on. */
static bool was_deleted(struct pool *pool, uint32_t t, uint32_t place, const char *path)
{
	char *copy = strdup(path);
	struct tier_space space = {0};
	struct stat st;
	bool same;

	(void)tier_space(pool->tiers[t].tier, place, &space); /* its device is known all the same */
	same = copy && stat(dirname(copy), &st) == 0 && st.st_dev == space.device;
	if (stat(path, &st) == 0) /* a disk's root is not where its parent is */
		same = S_ISDIR(st.st_mode) && st.st_dev == space.device;
	free(copy);
	return same;
}

/* Where that fails it has no place any more, and is waited for as if it had been missing from the
 * beginning: its number stays its own, since segments may name it. */
static int remake(struct pool *pool, uint32_t t, uint32_t place)
{
	struct tier *tier = pool->tiers[t].tier;
	struct lost *lost = pool->copies->lost;
	uint64_t bit = (uint64_t)1 << place;
	char *path = strdup(tier_place_path(tier, place));
	int rc = path ? 0 : -ENOMEM;

	if (rc == 0)
		rc = io_make_folder(path, 0700);
	if (rc == 0)
		io_give_folder(path, pool->config.meta_path); /* a disk's root is root's */
	rc = rc == -EEXIST ? 0 : rc;
	if (rc == 0) {
		tier_place_remove(tier, place);
		lost->gone[t] &= ~bit;
		rc = tier_place_add(tier, path, place);
		if (rc < 0) {
			lost->kept[t] |= bit;
			(void)missing_add(lost, t, path, tier_place_spare(tier, place));
		}
	}
	if (rc == 0) {
		pool_place_open(pool, t, place);
		tell(pool, t, path, "had been deleted and has been made again");
	} else if (path) {
		log_error("tier %s: %s had been deleted and cannot be made again: %s", tier->name,
			  path, strerror(-rc));
	}
	free(path);
	return rc;
}

int lost_remake(struct pool *pool, unsigned *made)
{
	int first = 0;

	*made = 0;
	for (uint32_t t = 1; t < pool->config.ntiers; t++) {
		for (uint64_t gone = pool->copies->lost->gone[t]; gone; gone &= gone - 1) {
			uint32_t place = (uint32_t)__builtin_ctzll(gone);
			const char *path = tier_place_path(pool->tiers[t].tier, place);
			int rc = 0;

			if (path && was_deleted(pool, t, place, path)) {
				rc = remake(pool, t, place);
				*made += rc == 0;
			}
			first = first ? first : rc;
		}
	}
	return first;
}
