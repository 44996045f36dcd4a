// SPDX-License-Identifier: Apache-2.0
/*
 * Packing: small objects share a build, those of one folder beside each other; a large object has
 * builds of its own, so that its frames die with it, and its pieces go in by offset, so that many
 * small extents become few.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tiers/clock.h"
#include "tiers/engine/engine.h"
#include "tiers/engine/move_impl.h"
#include "tiers/log.h"

#define STRONG_LEVEL 19 /* zstd: as quick to decode as any level, near lzma in size */

/* Builds -----------------------------------------------------------------------------------------
 */

static void close_build(struct move *move, struct frame_build **slot)
{
	if (*slot)
		workers_submit(move->pool->workers, move->request->codes, move->group,
			       frame_build_write, *slot);
	*slot = NULL;
}

/* Small objects share a build. */
static struct frame_build **slot_of(struct move *move, struct object *object)
{
	if (object_size(object) < move->pool->config.tiers[move->request->to].frame_bytes)
		return &move->pack;
	if (move->bulk_object != object->id)
		close_build(move, &move->bulk);
	move->bulk_object = object->id;
	return &move->bulk;
}

/* How a piece is to be coded; false: as the tier does. */
static bool codec_of(const struct move *move, const struct object_policy *policy,
		     struct codec_spec *out)
{
	if (move->request->own_codec) {
		*out = move->request->codec;
		return true;
	}
	*out = policy->codec;
	if (policy->has_codec || policy->state == OBJECT_ACTIVE)
		return policy->has_codec;
	pool_strong_codec(move->pool, out);
	return true;
}

static int open_build(struct move *move, struct frame_build **slot,
		      const struct object_policy *policy)
{
	struct frame_build *build = *slot;
	struct codec_spec codec;
	bool own = codec_of(move, policy, &codec);
	int rc;

	if (build && build->replicas == policy->replicas && build->own_codec == own &&
	    (!own || codec_spec_same(&build->codec, &codec)))
		return 0;
	close_build(move, slot);
	rc = frame_build_new(&build, move->pool, move->request->to);
	if (rc < 0)
		return rc;
	if (!move_list_add(&move->builds, &build)) {
		frame_build_free(build);
		return -ENOMEM;
	}
	build->hint = TIER_BULK;
	build->own_codec = own;
	build->codec = codec;
	build->replicas = policy->replicas;
	*slot = build;
	return 0;
}

void pool_strong_codec(struct pool *pool, struct codec_spec *out)
{
	struct tunables now;
	const struct codec_spec *last = &now.tiers[pool->config.ntiers - 1].codec;

	pool_tunables(pool, &now);
	*out = (struct codec_spec){.id = CODEC_ZSTD, .level = STRONG_LEVEL};
	if (last->id == CODEC_LZMA || (last->id == CODEC_ZSTD && last->level > STRONG_LEVEL))
		*out = *last;
}

/* Heat goes along; what came from several frames gets their mean. Cleaning does not make data
 * younger in its tier. */
static void carry_heat(struct move *move, struct frame_build *build, const struct source *source,
		       uint32_t before, uint32_t len)
{
	bool stays = source->record.tier == move->request->to;
	uint32_t placed = stays ? source->record.placed : clock_wall_s();

	build->heat = heat_mix(build->heat, before, source->heat, len, pool_heat_scale(move->pool));
	if (placed > build->placed)
		build->placed = placed;
}

/* A piece into builds; the runs say where. */
static int pack_piece(struct move *move, const struct piece *piece)
{
	struct frame_build **slot = slot_of(move, piece->owner->object);
	uint32_t off = piece->off, len = piece->len;

	while (len) {
		struct run run = {.source = piece->source,
				  .off = off,
				  .object = piece->owner->object->id,
				  .object_off = piece->object_off + (off - piece->off)};
		int rc = open_build(move, slot, &piece->owner->policy);

		if (rc < 0)
			return rc;
		run.build = *slot;
		run.build_off = (*slot)->raw_len;
		rc = frame_build_add(*slot, run.object, run.object_off, len,
				     piece->source->raw + off, &run.len);
		if (rc < 0)
			return rc;
		if (run.len) {
			carry_heat(move, *slot, piece->source, run.build_off, run.len);
			if (!move_list_add(&move->runs, &run))
				return -ENOMEM;
		}
		off += run.len;
		len -= run.len;
		if (frame_build_full(*slot))
			close_build(move, slot);
	}
	return 0;
}

/* By folder, object, offset. */
static int by_owner(const void *a, const void *b)
{
	const struct piece *x = a, *y = b;
	uint64_t gx = x->owner->policy.group, gy = y->owner->policy.group;
	uint64_t ox = x->owner->object->id, oy = y->owner->object->id;

	if (gx != gy)
		return gx < gy ? -1 : 1;
	if (ox != oy)
		return ox < oy ? -1 : 1;
	return x->object_off < y->object_off ? -1 : x->object_off > y->object_off;
}

/* Redirects --------------------------------------------------------------------------------------
 */

static int by_run(const void *a, const void *b)
{
	const struct run *x = a, *y = b;

	if (x->source != y->source)
		return x->source < y->source ? -1 : 1;
	return x->off < y->off ? -1 : x->off > y->off;
}

/* The first run of the source that reaches beyond off. */
static size_t run_find(const struct move *move, const struct source *source, uint64_t off)
{
	const struct run *runs = move->runs.items;
	size_t low = 0, high = move->runs.count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (runs[mid].source < source ||
		    (runs[mid].source == source && (uint64_t)runs[mid].off + runs[mid].len <= off))
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* Every part of user's extent that lies in one of the runs. */
static int redirect_user(struct move *move, const struct user *user)
{
	const struct run *runs = move->runs.items;
	uint64_t from = user->extent.frame_off, to = from + user->extent.len;

	for (size_t i = run_find(move, user->source, from);
	     i < move->runs.count && runs[i].source == user->source && runs[i].off < to; i++) {
		uint64_t run_end = (uint64_t)runs[i].off + runs[i].len;
		uint64_t lo = from > runs[i].off ? from : runs[i].off;
		uint64_t hi = to < run_end ? to : run_end;
		uint64_t id = user->owner->object->id;
		struct redirect redirect = {.object = user->owner->object,
					    .source = user->source,
					    .build = runs[i].build};

		if (lo >= hi)
			continue;
		redirect.off = user->extent.off + (lo - from);
		redirect.len = (uint32_t)(hi - lo);
		redirect.old_off = (uint32_t)lo;
		redirect.build_off = runs[i].build_off + (uint32_t)(lo - runs[i].off);
		redirect.shared = runs[i].object != id ||
				  runs[i].object_off + (lo - runs[i].off) != redirect.off;
		if (!move_list_add(&move->redirects, &redirect))
			return -ENOMEM;
	}
	return 0;
}

int move_pack(struct move *move)
{
	const struct piece *pieces = move->pieces.items;
	const struct user *users = move->users.items;
	int rc = 0;

	if (!move->pieces.count)
		return 0;
	qsort(move->pieces.items, move->pieces.count, sizeof(*pieces), by_owner);
	for (size_t i = 0; i < move->pieces.count && rc == 0; i++)
		rc = pack_piece(move, &pieces[i]);
	if (move->runs.count)
		qsort(move->runs.items, move->runs.count, sizeof(struct run), by_run);
	for (size_t i = 0; i < move->users.count && rc == 0; i++)
		rc = redirect_user(move, &users[i]);
	close_build(move, &move->pack);
	close_build(move, &move->bulk);
	return rc;
}

/* On media ---------------------------------------------------------------------------------------
 */

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

void move_make_durable(struct move *move)
{
	struct frame_build **builds = move->builds.items;
	int rc;

	rc = move->builds.count ? appender_sync_since(move->pool->tiers[move->request->to].appender,
						      move->mark)
				: 0;
	for (size_t i = 0; i < move->builds.count; i++) {
		if (rc < 0 && !builds[i]->error)
			builds[i]->error = rc;
		if (!builds[i]->error)
			workers_submit(move->pool->workers, move->request->reads, move->group,
				       verify_job, builds[i]);
	}
}

void move_builds_done(struct move *move)
{
	struct frame_build **builds = move->builds.items;

	for (size_t i = 0; i < move->builds.count; i++) {
		if (!builds[i]->error)
			continue;
		move_fail(move, builds[i]->error);
		if (!move->result->write_error && builds[i]->error != -ENOMEM)
			move->result->write_error = builds[i]->error;
	}
}
