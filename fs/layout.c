// SPDX-License-Identifier: Apache-2.0
#include "fs/layout.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/databases.h"
#include "fs/fs.h"
#include "fs/inode.h"
#include "fs/policy.h"
#include "tiers/clock.h"
#include "tiers/log.h"
#include "tiers/object.h"
#include "tiers/plain.h"
#include "tiers/pool.h"
#include "tiers/tunables.h"

#define OPEN_TURN_MAX (256u << 20) /* an open waits for the copy of so much */

/* Where an object's plain file should lie: where its frames would. */
static uint32_t home_of(struct fs *fs, const struct object_policy *policy)
{
	int home = pool_home(fs->pool, policy);

	return home > 0 ? (uint32_t)home : 1;
}

bool layout_is_database(struct fs *fs, uint64_t id)
{
	char text[POLICY_TEXT_MAX];
	uint64_t source;

	return !policy_source(fs->policy, id, POLICY_LAYOUT, text, &source) &&
	       !strcmp(text, POLICY_DATABASE);
}

bool layout_seeks_databases(const struct fs *fs)
{
	int databases = pool_plain_databases(fs->pool);

	return databases < 0 ? fs->past : databases;
}

/* May the engine say so of itself? Not against what somebody has said for keeping the data safe, or
 * in its place. */
static bool may_say(struct fs *fs, const struct object_policy *policy)
{
	uint32_t home = home_of(fs, policy);
	struct tunables tunables;

	if (!layout_seeks_databases(fs))
		return false;
	pool_tunables(fs->pool, &tunables);
	return policy->pin != 0 && !policy->ignore && policy->state == OBJECT_ACTIVE &&
	       (policy->replicas ? policy->replicas : tunables.tiers[home].replicas) <= 1;
}

void layout_effective(struct fs *fs, uint64_t id, struct object_policy *out)
{
	struct rules_answer rule;

	policy_effective(fs->policy, id, 0, out);
	if (!out->plain || !layout_is_database(fs, id))
		return;
	policy_ask_rules(fs->policy, id, 0, &rule);
	out->plain = rule.plain || may_say(fs, out);
}

/* The engine's word moves nothing to a slower tier. */
static int make_plain(struct fs *fs, struct object *object, const struct object_policy *policy,
		      const _Atomic bool *cancel)
{
	uint32_t home = home_of(fs, policy);
	int r = 0;

	if (layout_is_database(fs, object_id(object)))
		r = pool_plain_room(fs->pool, home, object_size(object));
	return r ? r : object_make_plain(object, home, cancel);
}

static int turn(struct fs *fs, struct object *object, const struct object_policy *policy)
{
	const _Atomic bool *cancel;
	uint64_t id = object_id(object);
	int r = inode_claim(fs->inodes, id, &cancel);

	if (r)
		return r;
	r = policy->plain ? make_plain(fs, object, policy, cancel)
			  : object_make_frames(object, cancel);
	inode_unclaim(fs->inodes, id);
	return r == -ECANCELED ? -EBUSY : r;
}

static void log_failed(struct fs *fs, uint64_t id, int r)
{
	char path[512];

	if (r == -EBUSY || r == -ENOENT)
		return;
	if ((r == -ENOSPC || r == -ENODEV) && layout_is_database(fs, id))
		return; /* nobody has asked for it */
	fs_path(fs, id, path, sizeof(path));
	log_warning("%s: should be plain and stays in frames: %s", path, strerror(-r));
}

static int set_file(struct fs *fs, uint64_t id, struct object *object, const char *text, int flags)
{
	char before[POLICY_TEXT_MAX];
	bool had = !policy_get(fs->policy, id, POLICY_LAYOUT, before);
	struct object_policy policy;
	int r = policy_set(fs->policy, id, POLICY_LAYOUT, text, flags);

	if (r)
		return r;
	layout_effective(fs, id, &policy);
	if (policy.plain == object_is_plain(object))
		return 0;
	r = turn(fs, object, &policy);
	if (r)
		policy_set(fs->policy, id, POLICY_LAYOUT, had ? before : NULL, 0);
	return r;
}

int layout_set(struct fs *fs, uint64_t id, const char *text, int flags)
{
	struct object *object;
	struct attr attr;
	int r;

	if (text && !strcmp(text, POLICY_DATABASE))
		return -EINVAL; /* that is the engine's */
	r = fs_load(fs, id, &object, &attr);
	if (r)
		return r;
	r = S_ISREG(attr.mode)	 ? set_file(fs, id, object, text, flags)
	    : S_ISDIR(attr.mode) ? policy_set(fs->policy, id, POLICY_LAYOUT, text, flags)
				 : -EINVAL;
	object_put(object);
	return r;
}

/* Asks only where there is anything to be asked about. */
static bool wants_plain(struct fs *fs, uint64_t id, struct object_policy *policy)
{
	if (!policy_any(fs->policy))
		return false;
	layout_effective(fs, id, policy);
	return policy->plain;
}

void layout_created(struct fs *fs, struct object *object)
{
	struct object_policy policy;
	int r;

	if (!wants_plain(fs, object_id(object), &policy))
		return;
	r = turn(fs, object, &policy);
	if (r)
		log_failed(fs, object_id(object), r);
}

void layout_opening(struct fs *fs, struct object *object)
{
	struct object_policy policy;
	int r;

	if (object_is_plain(object) || !wants_plain(fs, object_id(object), &policy) ||
	    object_size(object) > OPEN_TURN_MAX)
		return;
	r = turn(fs, object, &policy);
	if (r)
		log_failed(fs, object_id(object), r);
}

/* Going back ----------------------------------------------------------------------------------- */

struct pass {
	struct fs *fs;
	int64_t now_ns, idle_ns;
};

/* used_ns: the last use that its file shows. */
static bool is_idle(const struct pass *pass, const struct attr *attr, int64_t used_ns)
{
	int64_t opened_ns = attr_time_ns(attr->atime);

	used_ns = opened_ns > used_ns ? opened_ns : used_ns;
	return pass->idle_ns && pass->now_ns - used_ns >= pass->idle_ns;
}

/* A file that has gone cold begins anew; it is plain no more. */
static void forget_database(struct fs *fs, uint64_t id)
{
	int r = layout_is_database(fs, id)
			? policy_note(fs->policy, id, POLICY_LAYOUT, POLICY_DATABASE, false)
			: 0;

	if (r && r != -ENOENT && r != -ENODATA)
		log_warning("inode %llu: that it was a database cannot be forgotten: %s",
			    (unsigned long long)id, strerror(-r));
}

static int go_back(void *arg, const struct plain_seen *seen)
{
	struct pass *pass = arg;
	struct fs *fs = pass->fs;
	struct object_policy policy;
	struct object *object;
	struct attr attr;
	bool idle;
	int r;

	if (fs->closing)
		return 1;
	if (fs_load(fs, seen->object, &object, &attr))
		return 0; /* on its way out */
	layout_effective(fs, seen->object, &policy);
	idle = is_idle(pass, &attr, seen->used_ns);
	if (object_is_plain(object) && (idle || !policy.plain || seen->leaving)) {
		policy.plain = false;
		r = turn(fs, object, &policy);
		if (r && r != -EBUSY && r != -ENOENT)
			log_warning("inode %llu: should go from its plain file into frames: %s",
				    (unsigned long long)seen->object, strerror(-r));
		if (!r && idle)
			forget_database(fs, seen->object);
	}
	object_put(object);
	return 0;
}

/* Databases ------------------------------------------------------------------------------------ */

void layout_closed(struct fs *fs, struct object *object)
{
	uint64_t id = object_id(object), source;
	char text[POLICY_TEXT_MAX], path[512];
	struct object_policy policy;
	int r;

	if (!databases_take(fs->databases, id))
		return;
	policy_effective(fs->policy, id, 0, &policy);
	if (policy.plain || !may_say(fs, &policy) ||
	    !policy_source(fs->policy, id, POLICY_LAYOUT, text, &source))
		return;
	r = policy_note(fs->policy, id, POLICY_LAYOUT, POLICY_DATABASE, true);
	if (r == -ENOENT || r == -EEXIST)
		return;
	fs_path(fs, id, path, sizeof(path));
	if (r)
		log_warning("%s: is written as a database is, and cannot become plain: %s", path,
			    strerror(-r));
	else
		log_info("%s: is written as a database is, and becomes plain (plain_databases)",
			 path);
}

static int become_plain(void *arg, const struct policy_item *item)
{
	struct pass *pass = arg;
	struct fs *fs = pass->fs;
	struct object_policy policy;
	struct object *object;
	struct attr attr;
	int r;

	if (fs->closing)
		return 1;
	if (strcmp(item->text[POLICY_LAYOUT], POLICY_DATABASE) != 0 ||
	    fs_load(fs, item->id, &object, &attr))
		return 0;
	if (!object_is_plain(object)) {
		layout_effective(fs, item->id, &policy);
		if (is_idle(pass, &attr, attr_time_ns(attr.mtime)))
			forget_database(fs, item->id);
		else if (policy.plain && (r = turn(fs, object, &policy)))
			log_failed(fs, item->id, r);
	}
	object_put(object);
	return 0;
}

void layout_pass(struct fs *fs)
{
	struct pass pass = {.fs = fs, .now_ns = clock_wall_ns()};
	struct tunables tunables;

	pool_tunables(fs->pool, &tunables);
	pass.idle_ns = (int64_t)tunables.plain_idle_ns;
	pool_plain_each(fs->pool, go_back, &pass);
	policy_each(fs->policy, become_plain, &pass); /* -ENOMEM: at the next pass */
}
