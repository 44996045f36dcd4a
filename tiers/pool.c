// SPDX-License-Identifier: Apache-2.0
/*
 * Opening and closing a pool. Opening goes bottom up (metadata with its lock first, so that a
 * second mount touches nothing), closing top down; a half-opened pool is closed by the same steps,
 * each of which accepts what is not there.
 */
#include "tiers/pool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <linux/magic.h>
#include <unistd.h>

#include "tiers/copier.h"
#include "tiers/engine/engine.h"
#include "tiers/flush.h"
#include "tiers/folder.h"
#include "tiers/log.h"
#include "tiers/lost.h"
#include "tiers/plain_files.h"
#include "tiers/plain_places.h"
#include "tiers/pool_impl.h"
#include "tiers/readbuf.h"
#include "tiers/record_get.h"
#include "tiers/session.h"
#include "tiers/ram_tier.h"
#include "tiers/replicate.h"
#include "tiers/resident.h"
#include "tiers/scrub.h"

#define HEAT_FRAMES (256u << 10)

/* RAM folder -------------------------------------------------------------------------------------
 */

char *pool_ram_dir(const struct pool_config *config)
{
	char hex[33];
	char *dir;

	for (unsigned i = 0; i < 16; i++)
		snprintf(hex + 2 * i, 3, "%02x", config->uuid[i]);
	if (asprintf(&dir, "%s/terrace-%s", config->tiers[0].paths[0], hex) < 0)
		return NULL;
	return dir;
}

static int ram_dir_make(struct pool *pool)
{
	struct statfs fs;
	bool made;
	int rc;
	const char *base = pool->config.tiers[0].paths[0];

	pool->ram_dir = pool_ram_dir(&pool->config);
	if (!pool->ram_dir)
		return -ENOMEM;
	rc = folder_claim(pool->ram_dir, pool->config.meta_path, &made);
	if (rc < 0) {
		free(pool->ram_dir); /* not ours: it stays as it is */
		pool->ram_dir = NULL;
		return rc;
	}
	if (statfs(pool->ram_dir, &fs) == 0 && fs.f_type != TMPFS_MAGIC)
		log_warning("tier %s: %s is not on tmpfs: written data goes to its medium first",
			    pool->config.tiers[0].name, base);
	return 0;
}

/* Small parts ------------------------------------------------------------------------------------
 */

static int next_segment(void *arg, uint64_t *id)
{
	struct pool *pool = arg;

	*id = atomic_fetch_add(&pool->next_segment, 1);
	return 0;
}

/* Where there are several copies, or only copies, it opens without a directory that is not there.
 */
static int open_directories(struct pool *pool, uint32_t t)
{
	const struct config_tier *config = &pool->config.tiers[t];
	struct tier_dir_options options;
	uint64_t missing = 0;
	int rc;

	pool_tier_options(&pool->config, t, &options);
	options.missing = &missing;
	rc = tier_dir_open(&pool->tiers[t].tier, &options);
	for (; rc == 0 && missing; missing &= missing - 1)
		rc = lost_missing(pool, t, config->paths[__builtin_ctzll(missing)]);
	return rc;
}

static int open_tiers(struct pool *pool)
{
	for (uint32_t t = 1; t < pool->config.ntiers; t++) {
		const struct config_tier *config = &pool->config.tiers[t];
		struct appender_options append;
		int rc = open_directories(pool, t);

		if (rc < 0)
			return rc;
		append = (struct appender_options){.tier = pool->tiers[t].tier,
						   .homes = pool->homes,
						   .pool_uuid = pool->config.uuid,
						   .tier_id = t,
						   .segment_bytes = config->segment_bytes,
						   .next_id = next_segment,
						   .arg = pool};
		rc = appender_new(&pool->tiers[t].appender, &append);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* Before anything is made in its folder. */
static int meta_there(const struct pool *pool)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s/metadata.mdb", pool->config.meta_path) >= PATH_MAX)
		return -ENAMETOOLONG;
	if (access(path, F_OK) == 0 || errno != ENOENT)
		return 0; /* what else is wrong is said where it is opened */
	log_error("%s: is missing: mount its disk, or mend `meta` in %s; if it is lost, `terrace "
		  "restore-metadata POOL` brings it back from a copy",
		  path, pool->config.file);
	return -ENOENT;
}

/* As before every cut (commit.c): records speak of plain files. */
static int emergency(void *arg)
{
	return plain_names_sync(arg);
}

static int open_meta(struct pool *pool, struct meta_recovery *recovery)
{
	struct meta_options options = {.dir = pool->config.meta_path,
				       .tail_dir = pool->ram_dir,
				       .pool_uuid = pool->config.uuid,
				       .memtable_bytes = pool->config.journal_bytes,
				       .emergency = emergency,
				       .arg = pool};
	int rc = meta_there(pool);

	if (rc == 0)
		rc = session_begin(&pool->session, pool->config.meta_path, pool->ram_dir,
				   pool->config.uuid);
	if (rc == 0)
		rc = meta_open_lmdb(&pool->meta, &options, recovery);
	if (rc == 0)
		rc = session_renew(pool->session);
	if (rc == 0)
		rc = pool_counts_get(pool->meta, &pool->counts);
	if (rc < 0)
		return rc;
	pool->next_object = pool->counts.object_ids;
	pool->names_seq = meta_seq(pool->meta);
	pool->next_frame = pool->counts.frame_ids;
	pool->next_segment = pool->counts.segment_ids;
	return 0;
}

/* A log of this boot goes on; otherwise a new one begins, and positions in the old one mean nothing
 * any more. */
static int open_log(struct pool *pool)
{
	struct ramlog_options options = {.dir = pool->ram_dir,
					 .pool_uuid = pool->config.uuid,
					 .max_bytes = ram_tier_size(pool) / 4 * 3,
					 .hold = true};
	bool recovered = false;
	int rc = ramlog_open(&pool->log, &options, &recovered);
	struct txn *txn;

	if (rc < 0)
		return rc;
	pool->log_epoch = pool->counts.log_epoch;
	pool->log_recovered = recovered;
	if (recovered)
		return 0;
	txn = txn_begin(pool);
	txn_frees(txn); /* who cannot open a full pool cannot make room in it */
	txn->counts.log_epoch++;
	rc = txn_commit(txn);
	pool->log_epoch = pool->counts.log_epoch;
	return rc;
}

static int open_memory(struct pool *pool)
{
	struct tier **tiers = pool->space_tiers;
	int rc = workers_new(&pool->workers, pool->config.threads);

	if (rc == 0)
		rc = heat_new(&pool->heat, HEAT_FRAMES, pool_heat_scale(pool));
	if (rc == 0)
		rc = readbufs_new(&pool->readbufs, READBUF_BYTES, READBUF_KEEP);
	if (rc == 0)
		rc = blockcache_new(&pool->cache, ram_tier_size(pool));
	if (rc == 0 && pool->fetch)
		rc = blockcache_new(&pool->whole, ram_tier_size(pool));
	if (rc == 0)
		rc = resident_new(pool, &pool->resident);
	if (rc == 0)
		rc = meta_batch_new(&pool->txn.batch);
	for (uint32_t t = 1; t < pool->config.ntiers; t++)
		tiers[t - 1] = pool->tiers[t].tier;
	if (rc == 0)
		rc = space_new(&pool->space, tiers, pool->config.ntiers - 1);
	for (uint32_t t = 1; rc == 0 && t < pool->config.ntiers; t++)
		space_copies(pool->space, t - 1, pool->config.tiers[t].replicas);
	if (rc == 0)
		space_refresh(pool->space);
	return rc;
}

static void init_locks(struct pool *pool)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_mutex_init(&pool->commit_lock, NULL);
	pthread_rwlock_init(&pool->passed_lock, NULL);
	pthread_rwlock_init(&pool->hooks_lock, NULL);
	pthread_rwlock_init(&pool->tunables_lock, NULL);
	pthread_mutex_init(&pool->objects_lock, NULL);
	pthread_mutex_init(&pool->flush_lock, NULL);
	pthread_cond_init(&pool->flush_done, NULL);
	pthread_mutex_init(&pool->sync_lock, NULL);
	pthread_mutex_init(&pool->gate_lock, NULL);
	pthread_cond_init(&pool->gate_open, NULL);
	pthread_mutex_init(&pool->thread_lock, NULL);
	pthread_cond_init(&pool->thread_wake, &attr);
	pthread_mutex_init(&pool->cursor_lock, NULL);
	pthread_mutex_init(&pool->move_lock, NULL);
	pthread_mutex_init(&pool->reap_lock, NULL);
	pthread_mutex_init(&pool->reclaim_lock, NULL);
	pthread_mutex_init(&pool->room_lock, NULL);
	pthread_mutex_init(&pool->builds_lock, NULL);
	pthread_mutex_init(&pool->names_lock, NULL);
	pthread_mutex_init(&pool->closing_lock, NULL);
	pthread_mutex_init(&pool->closed_lock, NULL);
	pthread_condattr_destroy(&attr);
}

static void destroy_locks(struct pool *pool)
{
	pthread_mutex_destroy(&pool->commit_lock);
	pthread_rwlock_destroy(&pool->passed_lock);
	pthread_rwlock_destroy(&pool->hooks_lock);
	pthread_rwlock_destroy(&pool->tunables_lock);
	pthread_mutex_destroy(&pool->objects_lock);
	pthread_mutex_destroy(&pool->flush_lock);
	pthread_cond_destroy(&pool->flush_done);
	pthread_mutex_destroy(&pool->sync_lock);
	pthread_mutex_destroy(&pool->gate_lock);
	pthread_cond_destroy(&pool->gate_open);
	pthread_mutex_destroy(&pool->thread_lock);
	pthread_cond_destroy(&pool->thread_wake);
	pthread_mutex_destroy(&pool->cursor_lock);
	pthread_mutex_destroy(&pool->move_lock);
	pthread_mutex_destroy(&pool->reap_lock);
	pthread_mutex_destroy(&pool->reclaim_lock);
	pthread_mutex_destroy(&pool->room_lock);
	pthread_mutex_destroy(&pool->builds_lock);
	pthread_mutex_destroy(&pool->names_lock);
	pthread_mutex_destroy(&pool->closing_lock);
	pthread_mutex_destroy(&pool->closed_lock);
}

/* Threads ----------------------------------------------------------------------------------------
 */

int pool_start_threads(struct pool *pool)
{
	void *(*const run[])(void *) = {flush_thread, pool_committer, pool_engine, resident_thread,
					copier_thread};

	for (; pool->nthreads < 5; pool->nthreads++) {
		int rc = pthread_create(&pool->threads[pool->nthreads], NULL, run[pool->nthreads],
					pool);

		if (rc)
			return -rc;
	}
	return 0;
}

static void stop_threads(struct pool *pool)
{
	pthread_mutex_lock(&pool->thread_lock);
	pool->stopping = true;
	pthread_cond_broadcast(&pool->thread_wake);
	pthread_mutex_unlock(&pool->thread_lock);
	while (pool->nthreads)
		pthread_join(pool->threads[--pool->nthreads], NULL);
	pool->stopping = false;
}

/* Closing ----------------------------------------------------------------------------------------
 */

/* Objects that only their log ranges still hold (nothing was flushed, or flushing failed). */
static void release_objects(struct pool *pool)
{
	struct object *object;

	for (;;) {
		size_t at = 0;

		pthread_mutex_lock(&pool->objects_lock);
		while ((object = idmap_each(&pool->objects, &at)) && !object->dirty_held)
			;
		if (object)
			object->refs++;
		pthread_mutex_unlock(&pool->objects_lock);
		if (!object)
			break;
		object_dirty_drop(object);
		object_put(object);
	}
}

static void release(struct pool *pool)
{
	struct segment *segment;
	size_t at = 0;

	for (uint32_t t = 1; t < pool->config.ntiers; t++) {
		if (pool->tiers[t].appender)
			appender_free(pool->tiers[t].appender);
		if (pool->tiers[t].tier)
			tier_close(pool->tiers[t].tier);
	}
	while ((segment = idmap_each(&pool->segments, &at)))
		free(segment);
	idmap_release(&pool->segments);
	objects_release(pool);
	idmap_release(&pool->txn.frame_map);
	free(pool->txn.objects);
	free(pool->txn.frames);
	free(pool->txn.segments);
	free(pool->txn.gone);
	free(pool->txn.order);
	if (pool->txn.batch)
		meta_batch_free(pool->txn.batch);
	free(pool->freed.items);
	free(pool->reap_ids);
	free(pool->closed);
	copier_free(pool->copier);
	space_free(pool->space);
	heat_free(pool->heat);
	engine_free(pool);
	resident_free(pool->resident);
	events_free(pool->events);
	damages_free(pool->damages);
	scrub_free(pool->scrub);
	homes_free(pool->homes);
	copies_free(pool->copies);
	if (pool->cache)
		blockcache_free(pool->cache);
	if (pool->whole)
		blockcache_free(pool->whole);
	readbufs_free(pool->readbufs);
	free(pool->ram_dir);
	config_release(&pool->config);
	destroy_locks(pool);
	free(pool);
}

static void put_ordered(struct pool *pool)
{
	struct object *object;

	while ((object = pool->ordered)) {
		pool->ordered = object->next_ordered;
		object->ordered = false;
		object_put(object);
	}
	pool->nordered = 0;
}

/* Nothing is written: for a pool that failed to open, and for tests that play kill -9. */
void pool_abandon(struct pool *pool)
{
	stop_threads(pool);
	put_ordered(pool);
	if (pool->workers)
		workers_free(pool->workers);
	if (pool->log) {
		/* The ranges go from memory only; the log's files stay as they are. */
		pool->abandoned = true;
		release_objects(pool);
		ramlog_close(pool->log, false);
	}
	if (pool->meta)
		meta_abandon(pool->meta);
	session_end(pool->session, false);
	release(pool);
}

int pool_close(struct pool *pool)
{
	bool background = pool->nthreads;
	int rc, closed;

	stop_threads(pool);
	pool_keep_heat(pool);
	damage_settle(pool);
	scrub_settle(pool);
	rc = pool_sync(pool);
	pool_reap(pool);
	for (unsigned i = 0; i < 2 && rc == 0; i++) {
		/* The first round frees what is dead, the second removes the segments that emptied.
		 */
		for (uint32_t t = 1; t < pool->config.ntiers; t++)
			appender_roll(pool->tiers[t].appender);
		pool_reclaim(pool);
		rc = pool_cut(pool);
	}
	pool_reclaim(pool);
	if (rc == 0)
		rc = plain_places_tidy(pool);
	if (rc == 0 && background)
		copier_last(pool);
	if (rc < 0)
		log_error("%s: not everything could be written: %s; it is kept in %s until the "
			  "next mount "
			  "on this machine before it restarts: make room and mount again",
			  pool->config.name, strerror(-rc), pool->ram_dir);
	put_ordered(pool);
	workers_free(pool->workers);
	pool->abandoned = true;
	release_objects(pool);
	if (rc < 0) {
		meta_abandon(pool->meta);
		ramlog_close(pool->log, false);
	} else {
		closed = meta_close(pool->meta);
		rc = closed;
		ramlog_close(pool->log, closed == 0);
	}
	session_end(pool->session, rc == 0);
	pool->session = NULL;
	if (rc == 0)
		rmdir(pool->ram_dir);
	release(pool);
	return rc;
}

/* Opening ----------------------------------------------------------------------------------------
 */

static int pool_start(struct pool *pool, const struct pool_open_options *options)
{
	struct meta_recovery recovery;
	int rc = ram_dir_make(pool);

	pool->fetch = options && options->fetch;
	if (rc == 0)
		rc = open_tiers(pool);
	if (rc == 0)
		rc = open_meta(pool, &recovery);
	if (rc == 0)
		rc = open_memory(pool);
	if (rc == 0)
		rc = engine_new(pool);
	if (rc == 0)
		rc = open_log(pool);
	if (rc == 0)
		rc = recover_segments(pool);
	if (rc == 0)
		rc = recover_plain(pool);
	if (rc == 0)
		rc = recover_log(pool);
	if (rc == 0)
		rc = recover_synced(pool, pool->log_recovered);
	/* Not before: who dies above has a part of the synced writes in a fresh log, and the next
	 * opening would take it for all. */
	if (rc == 0)
		rc = ramlog_begin(pool->log);
	if (rc == 0)
		rc = recover_orphans(pool);
	if (rc == 0)
		rc = copier_new(pool, &pool->copier);
	if (rc == 0)
		rc = damages_load(pool);
	if (rc == 0)
		rc = scrub_load(pool);
	if (rc < 0)
		return rc;
	ram_tier_check(&pool->config); /* it gives way to what there is: a warning is enough */
	ram_tier_tick(pool);
	if (recovery.tail_lost && !recovery.clean)
		log_warning(
			"%s: nothing of the last daemon is in %s: opened as after a power loss, "
			"in the state of the last commit; if the machine has not restarted, the "
			"RAM tier's path was changed or its folder removed, and what was only "
			"there "
			"is lost",
			pool->config.name, pool->config.tiers[0].paths[0]);
	return options && options->no_background ? 0 : pool_start_threads(pool);
}

/* Buffers of up to a frame come and go all the time: from the heap, not by mmap each time. Each
 * heap keeps what it once had, so there are few, and they are trimmed early. */
static void tune_malloc(void)
{
	mallopt(M_ARENA_MAX, 2);
	mallopt(M_MMAP_THRESHOLD, 4 << 20);
	mallopt(M_TRIM_THRESHOLD, 8 << 20);
}

int pool_open(const struct pool_config *config, const struct pool_open_options *options,
	      struct pool **out)
{
	struct pool *pool = calloc(1, sizeof(*pool));
	int rc;

	*out = NULL;
	if (!pool)
		return -ENOMEM;
	init_locks(pool);
	pool->txn.pool = pool;
	if (!options || !options->guest)
		tune_malloc();
	rc = config_copy(config, &pool->config);
	if (rc == 0)
		rc = events_new(&pool->events);
	if (rc == 0)
		rc = damages_new(&pool->damages);
	if (rc == 0)
		rc = scrub_new(&pool->scrub);
	if (rc == 0)
		rc = homes_new(&pool->homes);
	if (rc == 0)
		rc = copies_new(&pool->copies);
	if (rc == 0)
		rc = pool_tunables_set(pool, config);
	if (rc == 0)
		rc = pool_start(pool, options);
	if (rc < 0) {
		char *ram_dir = pool->ram_dir;

		/* A folder that is left empty was made in vain; one that holds data stays. */
		pool->ram_dir = NULL;
		pool_abandon(pool);
		if (ram_dir)
			rmdir(ram_dir);
		free(ram_dir);
		return rc;
	}
	*out = pool;
	return 0;
}

/* What the pool knows ----------------------------------------------------------------------------
 */

struct meta *pool_meta(struct pool *pool)
{
	return pool->meta;
}

struct events *pool_events(struct pool *pool)
{
	return pool->events;
}

void pool_latency(struct pool *pool, uint32_t tier, struct latency_view *out)
{
	if (tier && tier < pool->config.ntiers)
		latency_look(&pool->tiers[tier].tier->latency, out);
	else
		memset(out, 0, sizeof(*out));
}

const struct pool_config *pool_config(struct pool *pool)
{
	return &pool->config;
}

void pool_hooks_set(struct pool *pool, const struct pool_hooks *hooks)
{
	pthread_rwlock_wrlock(&pool->passed_lock);
	pthread_rwlock_wrlock(&pool->hooks_lock);
	pool->hooks = *hooks;
	pthread_rwlock_unlock(&pool->hooks_lock);
	pthread_rwlock_unlock(&pool->passed_lock);
}

void pool_moved(struct pool *pool, uint64_t object)
{
	pthread_rwlock_rdlock(&pool->hooks_lock);
	if (pool->hooks.moved)
		pool->hooks.moved(pool->hooks.arg, object);
	pthread_rwlock_unlock(&pool->hooks_lock);
	resident_seen(pool, object);
}

/* Not under hooks_lock: what is done after a pass moves files, and takes all the locks for that. */
void pool_passed(struct pool *pool)
{
	struct pool_hooks hooks;

	pthread_rwlock_rdlock(&pool->passed_lock);
	pthread_rwlock_rdlock(&pool->hooks_lock);
	hooks = pool->hooks;
	pthread_rwlock_unlock(&pool->hooks_lock);
	if (hooks.passed)
		hooks.passed(hooks.arg);
	pthread_rwlock_unlock(&pool->passed_lock);
}

void pool_path(struct pool *pool, uint64_t object, char *buf, size_t cap)
{
	snprintf(buf, cap, "object %llu", (unsigned long long)object);
	pthread_rwlock_rdlock(&pool->hooks_lock);
	if (pool->hooks.path)
		pool->hooks.path(pool->hooks.arg, object, buf, cap);
	pthread_rwlock_unlock(&pool->hooks_lock);
}

bool pool_has_policies(struct pool *pool)
{
	bool any;

	pthread_rwlock_rdlock(&pool->hooks_lock);
	any = pool->hooks.any && pool->hooks.any(pool->hooks.arg);
	pthread_rwlock_unlock(&pool->hooks_lock);
	return any;
}

int pool_home(const struct pool *pool, const struct object_policy *policy)
{
	int last = (int)pool->config.ntiers - 1, home = 1;

	if (policy->pin > 0)
		return policy->pin;
	if (policy->state == OBJECT_ARCHIVED)
		home = last;
	else if (policy->tier > 0)
		home = policy->tier;
	while (home < last && policy->never_tiers & 1u << home)
		home++;
	return home;
}

void pool_policy(struct pool *pool, uint64_t object, uint32_t age_s, struct object_policy *out)
{
	*out = (struct object_policy){.pin = -1, .rule = -1, .tier = -1};
	pthread_rwlock_rdlock(&pool->hooks_lock);
	if (pool->hooks.policy)
		pool->hooks.policy(pool->hooks.arg, object, age_s, out);
	pthread_rwlock_unlock(&pool->hooks_lock);
	if (out->pin >= (int)pool->config.ntiers)
		out->pin = -1;
}

void pool_space(struct pool *pool, struct pool_space *out)
{
	space_totals(pool->space, &out->total, &out->free);
	pthread_mutex_lock(&pool->commit_lock);
	out->objects = pool->counts.objects;
	pthread_mutex_unlock(&pool->commit_lock);
}

/* Plain files are in no segment: what they take is what they hold, but for holes. */
static void usage_plain(struct pool_usage *usage, uint32_t t, const struct tier *tier)
{
	uint64_t used = tier_plain_used(tier);

	usage->tiers[t].plain = used;
	usage->tiers[t].live += used;
	usage->tiers[t].logical += used;
	usage->logical += used;
	usage->packed += used;
	usage->stored += used;
}

static void usage_segment(struct pool_usage *usage, const struct segment_record *record)
{
	struct tier_usage *tier = &usage->tiers[record->tier];

	tier->logical += record->logical;
	usage->logical += record->logical;
	for (unsigned c = 0; c < CODEC_COUNT; c++) {
		tier->codec[c].raw += record->codec[c].raw;
		tier->codec[c].stored += record->codec[c].stored;
		tier->codec[c].frames += record->codec[c].frames;
		tier->live += record->codec[c].stored;
		tier->frames += record->codec[c].frames;
		usage->packed += record->codec[c].raw;
		usage->stored += record->codec[c].stored;
	}
}

void pool_usage(struct pool *pool, struct pool_usage *out)
{
	struct resident_stats resident;
	struct blockcache_stats cache, whole;
	struct ramlog_usage log;
	struct meta_stats meta;
	struct segment *segment;
	size_t at = 0;

	*out = (struct pool_usage){.ntiers = pool->config.ntiers, .parked = pool->parked_bytes};
	pthread_mutex_lock(&pool->commit_lock);
	while ((segment = idmap_each(&pool->segments, &at)))
		usage_segment(out, &segment->record);
	out->objects = pool->counts.objects;
	pthread_mutex_unlock(&pool->commit_lock);
	for (uint32_t t = 1; t < pool->config.ntiers; t++) {
		struct tier_usage *tier = &out->tiers[t];
		struct tier_space room;

		if (tier_room(pool->tiers[t].tier, &room) == 0) {
			tier->size = room.total;
			tier->free = room.free;
			tier->used = room.used;
		}
		tier->hits = pool->tiers[t].reads;
		usage_plain(out, t, pool->tiers[t].tier);
	}
	ramlog_usage(pool->log, &log);
	blockcache_stats(pool->cache, &cache);
	object_fetch_stats(pool, &whole);
	resident_stats(pool, &resident);
	meta_stats(pool->meta, &meta);
	out->metadata = meta.disk_bytes;
	out->tiers[0] = (struct tier_usage){.size = ram_tier_size(pool),
					    .limit = ram_tier_limit(pool),
					    .used = log.reserved + cache.bytes + whole.bytes,
					    .live = pool->dirty_bytes,
					    .logical = pool->dirty_bytes,
					    .hits = pool->ram_hits,
					    .misses = pool->ram_misses,
					    .cached = cache.bytes + whole.bytes,
					    .pinned = resident.bytes,
					    .unpinned = resident.missing};
	out->logical += pool->dirty_bytes;
}
