// SPDX-License-Identifier: Apache-2.0
#include "tiers/engine/mover.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tiers/extmap.h"
#include "tiers/framestore.h"
#include "tiers/log.h"
#include "tiers/pool_impl.h"

/* A source frame, decoded. */
struct source {
	struct pool *pool;
	uint64_t id;
	struct frame_record record;
	struct frame_header header;
	uint8_t *raw;
	int error;
};

/* An extent of an object that points into a source. */
struct user {
	struct object *object; /* referenced */
	struct extent extent;
};

/* Bytes of a source that go into a build. */
struct run {
	const struct source *source;
	uint32_t off, len; /* in the source */
	struct frame_build *build;
	uint32_t build_off;
	uint64_t object, object_off; /* named in the build's table */
};

/* A part of an object to be pointed to its new place. */
struct redirect {
	struct object *object;
	uint64_t off;
	uint32_t len;
	uint64_t old_frame;
	uint32_t old_off;
	struct frame_build *build;
	uint32_t build_off;
	bool shared;
};

struct list { /* of any of the above */
	void *items;
	size_t count, cap, size;
};

struct move {
	struct pool *pool;
	int to;
	const struct idmap *only;
	struct job_group *group;
	struct source *sources;
	size_t nsources;
	struct list users;		 /* struct user, of the source at hand */
	struct list users_all;		 /* struct object *: references to be put at the end */
	struct list runs;		 /* struct run, of the source at hand */
	struct list builds;		 /* struct frame_build * */
	struct list redirects;		 /* struct redirect */
	struct frame_build *pack, *bulk; /* being filled */
	uint64_t bulk_object;
	uint64_t mark; /* of the appender, before the first append */
	uint64_t moved;
	int error;
};

static void *list_add(struct list *list, const void *item)
{
	if (list->count == list->cap) {
		size_t cap = list->cap ? list->cap * 2 : 32;
		void *p = realloc(list->items, cap * list->size);

		if (!p)
			return NULL;
		list->items = p;
		list->cap = cap;
	}
	return memcpy((char *)list->items + list->count++ * list->size, item, list->size);
}

static int source_load(void *arg, struct codec_scratch *scratch)
{
	struct source *source = arg;

	source->raw = malloc(source->record.raw_len);
	source->error = source->raw ? frame_load(source->pool, source->id, &source->record, scratch,
						 &source->header, source->raw)
				    : -ENOMEM;
	return 0; /* each source's error is its own */
}

static void source_failed(struct move *move, const struct source *source,
			  struct move_progress *progress)
{
	if (progress)
		progress->frames_failed++;
	log_error("tier %s, segment %llu, offset %u: frame %llu cannot be moved: %s",
		  move->pool->config.tiers[source->record.tier].name,
		  (unsigned long long)source->record.segment, source->record.off,
		  (unsigned long long)source->id,
		  source->error == -EBADMSG ? "damaged (checksum)" : strerror(-source->error));
	if (!move->error)
		move->error = source->error;
}

/* Who uses a source ------------------------------------------------------------------------------
 */

/* The object's extents in [off, off+len) that point into the source. */
static int users_in(struct move *move, const struct source *source, uint64_t id, uint64_t off,
		    uint64_t len)
{
	struct extent_list list = {0};
	struct object *object;
	int rc = object_get(move->pool, id, &object);

	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	if (!list_add(&move->users_all, &object)) {
		object_put(object);
		return -ENOMEM;
	}
	pthread_rwlock_rdlock(&object->data_lock);
	rc = extmap_list(object, off, off + len, SIZE_MAX, &list);
	pthread_rwlock_unlock(&object->data_lock);
	for (size_t i = 0; rc == 0 && i < list.count; i++)
		if (list.items[i].frame == source->id &&
		    !list_add(&move->users, &(struct user){object, list.items[i]}))
			rc = -ENOMEM;
	extent_list_release(&list);
	return rc;
}

static int by_user(const void *a, const void *b)
{
	const struct user *x = a, *y = b;

	if (x->object->id != y->object->id)
		return x->object->id < y->object->id ? -1 : 1;
	return x->extent.off < y->extent.off ? -1 : x->extent.off > y->extent.off;
}

static int users_find(struct move *move, const struct source *source)
{
	uint8_t prefix[KEY_LEN_1];
	struct meta_cursor *cursor;
	struct meta_item item;
	struct user *users;
	size_t kept = 0;
	int rc = 0;

	move->users.count = 0;
	for (uint32_t i = 0; rc == 0 && i < source->header.nextents; i++) {
		const struct frame_extent *extent = &source->header.extents[i];

		rc = users_in(move, source, extent->object, extent->offset, extent->length);
	}
	if (rc == 0 && source->record.shared) {
		rc = meta_cursor_open(move->pool->meta, prefix,
				      key_1(prefix, KEY_SHARED, source->id), NULL, 0, &cursor);
		if (rc < 0)
			return rc;
		while (rc == 0 && (rc = meta_cursor_next(cursor, &item)) == 0)
			if (item.key_len == KEY_LEN_3 && item.len == 8)
				rc = users_in(move, source, get_be64(item.key + KEY_LEN_1),
					      get_be64(item.key + KEY_LEN_2), get_le64(item.value));
		meta_cursor_close(cursor);
		rc = rc == -ENOENT ? 0 : rc;
	}
	/* Extents grow together in the map: the same one may have been found by several names. */
	users = move->users.items;
	if (move->users.count)
		qsort(users, move->users.count, sizeof(*users), by_user);
	for (size_t i = 0; i < move->users.count; i++)
		if (!kept || by_user(&users[kept - 1], &users[i]) != 0)
			users[kept++] = users[i];
	move->users.count = kept;
	return rc;
}

static bool wanted(struct move *move, const struct source *source, const struct user *user)
{
	struct object_policy policy;

	if (move->only)
		return idmap_get(move->only, user->object->id) != NULL;
	pool_policy(move->pool, user->object->id, 0, &policy);
	return policy.pin < 0 || policy.pin != source->record.tier;
}

/* Packing ----------------------------------------------------------------------------------------
 */

static void close_build(struct move *move, struct frame_build **slot)
{
	if (*slot)
		workers_submit(move->pool->workers, JOB_BACKGROUND, move->group, frame_build_write,
			       *slot);
	*slot = NULL;
}

/* Small objects share a build. A large one has its own, so that its frames die with it. */
static struct frame_build **slot_of(struct move *move, struct object *object)
{
	if (object_size(object) < move->pool->config.tiers[move->to].frame_bytes)
		return &move->pack;
	if (move->bulk_object != object->id)
		close_build(move, &move->bulk);
	move->bulk_object = object->id;
	return &move->bulk;
}

static int open_build(struct move *move, struct frame_build **slot,
		      const struct object_policy *policy)
{
	struct frame_build *build = *slot;
	int rc;

	if (build && build->own_codec == policy->has_codec &&
	    (!policy->has_codec ||
	     (build->codec.id == policy->codec.id && build->codec.level == policy->codec.level)))
		return 0;
	close_build(move, slot);
	rc = frame_build_new(&build, move->pool, move->to);
	if (rc < 0)
		return rc;
	if (!list_add(&move->builds, &build)) {
		frame_build_free(build);
		return -ENOMEM;
	}
	build->hint = TIER_BULK;
	build->own_codec = policy->has_codec;
	build->codec = policy->codec;
	*slot = build;
	return 0;
}

/* Puts a run of the source's bytes into builds; the pieces go to move->runs. */
static int pack(struct move *move, const struct source *source, const struct user *user,
		uint32_t off, uint32_t len)
{
	struct frame_build **slot = slot_of(move, user->object);
	struct object_policy policy;

	pool_policy(move->pool, user->object->id, 0, &policy);
	while (len) {
		struct run run = {.source = source,
				  .off = off,
				  .object = user->object->id,
				  .object_off = user->extent.off + (off - user->extent.frame_off)};
		int rc = open_build(move, slot, &policy);

		if (rc < 0)
			return rc;
		run.build = *slot;
		run.build_off = (*slot)->raw_len;
		rc = frame_build_add(*slot, run.object, run.object_off, len, source->raw + off,
				     &run.len);
		if (rc < 0)
			return rc;
		if (run.len && !list_add(&move->runs, &run))
			return -ENOMEM;
		off += run.len;
		len -= run.len;
		if (frame_build_full(*slot))
			close_build(move, slot);
	}
	return 0;
}

static int by_place(const void *a, const void *b)
{
	const struct user *x = a, *y = b;

	return x->extent.frame_off < y->extent.frame_off
		       ? -1
		       : x->extent.frame_off > y->extent.frame_off;
}

/* Every part of user's extent that lies in one of the runs. */
static int redirect_user(struct move *move, const struct user *user)
{
	const struct run *runs = move->runs.items;
	uint64_t from = user->extent.frame_off, to = from + user->extent.len;

	for (size_t i = 0; i < move->runs.count; i++) {
		uint64_t run_end = (uint64_t)runs[i].off + runs[i].len;
		uint64_t lo = from > runs[i].off ? from : runs[i].off;
		uint64_t hi = to < run_end ? to : run_end;
		struct redirect redirect = {
			.object = user->object,
			.old_frame = user->extent.frame,
			.build = runs[i].build,
		};

		if (lo >= hi)
			continue;
		redirect.off = user->extent.off + (lo - from);
		redirect.len = (uint32_t)(hi - lo);
		redirect.old_off = (uint32_t)lo;
		redirect.build_off = runs[i].build_off + (uint32_t)(lo - runs[i].off);
		redirect.shared = runs[i].object != user->object->id ||
				  runs[i].object_off + (lo - runs[i].off) != redirect.off;
		if (!list_add(&move->redirects, &redirect))
			return -ENOMEM;
	}
	return 0;
}

/* One source: the union of its wanted bytes into builds, every user of them to be redirected. */
static int plan_source(struct move *move, const struct source *source)
{
	uint64_t packed = 0; /* source bytes below this are in runs or unwanted */
	struct user *users;
	int rc = users_find(move, source);

	move->runs.count = 0;
	users = move->users.items;
	if (move->users.count)
		qsort(users, move->users.count, sizeof(*users), by_place);
	for (size_t i = 0; rc == 0 && i < move->users.count; i++) {
		uint64_t from = users[i].extent.frame_off, end = from + users[i].extent.len;

		if (from < packed)
			from = packed;
		if (from >= end || end > source->record.raw_len || !wanted(move, source, &users[i]))
			continue;
		rc = pack(move, source, &users[i], (uint32_t)from, (uint32_t)(end - from));
		packed = end;
	}
	for (size_t i = 0; rc == 0 && i < move->users.count; i++)
		rc = redirect_user(move, &users[i]);
	return rc;
}

/* Committing -------------------------------------------------------------------------------------
 */

static int by_redirect(const void *a, const void *b)
{
	const struct redirect *x = a, *y = b;

	if (x->object->id != y->object->id)
		return x->object->id < y->object->id ? -1 : 1;
	return x->off < y->off ? -1 : x->off > y->off;
}

/* The parts of the range that still point to where they did, as extents of the new frame. */
static int still_there(const struct redirect *redirect, const struct extent_list *now,
		       struct extent_list *add)
{
	for (size_t i = 0; i < now->count; i++) {
		const struct extent *extent = &now->items[i];
		uint64_t from = extent->off > redirect->off ? extent->off : redirect->off;
		uint64_t end = extent->off + extent->len < redirect->off + redirect->len
				       ? extent->off + extent->len
				       : redirect->off + redirect->len;
		int rc;

		if (from >= end || extent->frame != redirect->old_frame ||
		    extent->frame_off + (from - extent->off) !=
			    redirect->old_off + (from - redirect->off))
			continue;
		rc = extent_list_add(
			add, &(struct extent){.off = from,
					      .frame = redirect->build->id,
					      .len = (uint32_t)(end - from),
					      .frame_off = redirect->build_off +
							   (uint32_t)(from - redirect->off)});
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int stage_redirects(struct txn *txn, struct object *object, const struct redirect *redirects,
			   size_t n, uint64_t *moved)
{
	struct extent_list now = {0}, add = {0};
	int rc = 0;

	for (size_t i = 0; i < n && rc == 0; i++) {
		const struct redirect *redirect = &redirects[i];
		size_t before = add.count;

		if (redirect->build->error)
			continue;
		now.count = 0;
		rc = extmap_list(object, redirect->off, redirect->off + redirect->len, SIZE_MAX,
				 &now);
		if (rc == 0)
			rc = still_there(redirect, &now, &add);
		if (rc == 0 && add.count > before && !frame_build_stage(txn, redirect->build))
			add.count = before;
		for (size_t k = before; rc == 0 && k < add.count; k++) {
			*moved += add.items[k].len;
			if (redirect->shared)
				extmap_note_shared(txn, object, &add.items[k]);
		}
	}
	if (rc == 0)
		rc = extmap_overlay(txn, object, add.items, add.count);
	extent_list_release(&now);
	extent_list_release(&add);
	return rc;
}

/* Redirects of one object in one transaction, or in several where the batch of one would be larger
 * than the metadata store takes. Data lock held. */
static int commit_some(struct move *move, const struct redirect *redirects, size_t n)
{
	struct object *object = redirects[0].object;
	struct txn *txn = txn_begin(move->pool);
	uint64_t moved = 0;
	int rc = object->deleted ? -ENOENT : stage_redirects(txn, object, redirects, n, &moved);

	if (rc < 0)
		txn_abort(txn);
	else
		rc = txn_commit(txn);
	if (rc == -E2BIG && n > 1) {
		rc = commit_some(move, redirects, n / 2);
		return rc < 0 ? rc : commit_some(move, redirects + n / 2, n - n / 2);
	}
	for (size_t i = 0; rc == 0 && i < n; i++)
		if (!redirects[i].build->error)
			redirects[i].build->created = true;
	if (rc == 0)
		move->moved += moved;
	return rc;
}

static int commit_redirects(struct move *move, const struct redirect *redirects, size_t n)
{
	struct object *object = redirects[0].object;
	int rc;

	pthread_rwlock_wrlock(&object->data_lock);
	rc = commit_some(move, redirects, n);
	pthread_rwlock_unlock(&object->data_lock);
	if (rc == 0)
		pool_moved(move->pool, object->id);
	return rc == -ENOENT ? 0 : rc;
}

static int verify_job(void *arg, struct codec_scratch *scratch)
{
	struct frame_build *build = arg;
	int rc = frame_verify(build, scratch);

	if (rc < 0) {
		log_error("tier %s, segment %llu, offset %u: a copy does not read back as written: "
			  "%s",
			  build->pool->config.tiers[build->record.tier].name,
			  (unsigned long long)build->record.segment, build->record.off,
			  strerror(-rc));
		build->error = rc;
	}
	return 0;
}

/* Builds written, synced, read back. A failed one keeps its error; what it holds stays where it is.
 */
static void make_durable(struct move *move)
{
	struct frame_build **builds = move->builds.items;
	int rc;

	close_build(move, &move->pack);
	close_build(move, &move->bulk);
	job_group_wait(move->group);
	rc = move->builds.count
		     ? appender_sync_since(move->pool->tiers[move->to].appender, move->mark)
		     : 0;
	for (size_t i = 0; i < move->builds.count; i++) {
		if (rc < 0 && !builds[i]->error)
			builds[i]->error = rc;
		if (!builds[i]->error)
			workers_submit(move->pool->workers, JOB_BACKGROUND, move->group, verify_job,
				       builds[i]);
	}
	job_group_wait(move->group);
	for (size_t i = 0; i < move->builds.count; i++)
		if (builds[i]->error && !move->error)
			move->error = builds[i]->error;
}

static void commit_all(struct move *move)
{
	struct redirect *redirects = move->redirects.items;

	if (move->redirects.count)
		qsort(redirects, move->redirects.count, sizeof(*redirects), by_redirect);
	for (size_t i = 0, n; i < move->redirects.count; i += n) {
		int rc;

		for (n = 1; i + n < move->redirects.count &&
			    redirects[i + n].object == redirects[i].object;)
			n++;
		rc = commit_redirects(move, &redirects[i], n);
		if (rc < 0 && !move->error)
			move->error = rc;
	}
}

static void move_release(struct move *move)
{
	struct frame_build **builds = move->builds.items;
	struct object **objects = move->users_all.items;

	for (size_t i = 0; i < move->builds.count; i++) {
		if (!builds[i]->created)
			frame_build_discard(builds[i]);
		frame_build_free(builds[i]);
	}
	for (size_t i = 0; i < move->users_all.count; i++)
		object_put(objects[i]);
	for (size_t i = 0; i < move->nsources; i++) {
		frame_header_release(&move->sources[i].header);
		free(move->sources[i].raw);
	}
	free(move->sources);
	free(move->users.items);
	free(move->users_all.items);
	free(move->runs.items);
	free(move->builds.items);
	free(move->redirects.items);
	job_group_free(move->group);
}

static int load_sources(struct move *move, const uint64_t *frames, size_t n)
{
	move->sources = calloc(n, sizeof(*move->sources));
	if (!move->sources)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		struct source *source = &move->sources[move->nsources];

		*source = (struct source){.pool = move->pool, .id = frames[i]};
		if (frame_record_get(move->pool, frames[i], &source->record) < 0 ||
		    source->record.tier == move->to || source->record.tier == 0 ||
		    source->record.tier >= move->pool->config.ntiers)
			continue; /* freed meanwhile, or there already */
		move->nsources++;
		workers_submit(move->pool->workers, JOB_BACKGROUND, move->group, source_load,
			       source);
	}
	return job_group_wait(move->group);
}

/* A source may be freed, and punched, while it is read: then it is no longer anybody's, and no
 * damage. */
static bool source_gone(struct move *move, const struct source *source)
{
	struct frame_record record;

	return frame_record_get(move->pool, source->id, &record) == -ENOENT;
}

int move_frames(struct pool *pool, const uint64_t *frames, size_t n, int to,
		const struct idmap *only, struct move_progress *progress, uint64_t *moved)
{
	struct move move = {.pool = pool,
			    .to = to,
			    .only = only,
			    .mark = appender_mark(pool->tiers[to].appender),
			    .users.size = sizeof(struct user),
			    .users_all.size = sizeof(struct object *),
			    .runs.size = sizeof(struct run),
			    .builds.size = sizeof(struct frame_build *),
			    .redirects.size = sizeof(struct redirect)};
	int rc = job_group_new(&move.group);

	if (rc < 0)
		return rc;
	pthread_mutex_lock(&pool->move_lock);
	rc = load_sources(&move, frames, n);
	for (size_t i = 0; i < move.nsources && rc == 0; i++) {
		const struct source *source = &move.sources[i];

		if (source->error && source_gone(&move, source))
			continue;
		if (source->error)
			source_failed(&move, source, progress);
		else
			rc = plan_source(&move, source);
	}
	/* Builds that are under way read from the sources: they are waited for whatever happened.
	 */
	make_durable(&move);
	if (rc == 0)
		commit_all(&move);
	if (progress)
		progress->frames_done += move.nsources;
	*moved += move.moved;
	pthread_mutex_unlock(&pool->move_lock);
	rc = rc < 0 ? rc : move.error;
	move_release(&move);
	return rc;
}
