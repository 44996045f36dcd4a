// SPDX-License-Identifier: Apache-2.0
#include "fs/layout.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

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

static int turn(struct fs *fs, struct object *object, const struct object_policy *policy)
{
	const _Atomic bool *cancel;
	uint64_t id = object_id(object);
	int r = inode_claim(fs->inodes, id, &cancel);

	if (r)
		return r;
	r = policy->plain ? object_make_plain(object, home_of(fs, policy), cancel)
			  : object_make_frames(object, cancel);
	inode_unclaim(fs->inodes, id);
	return r == -ECANCELED ? -EBUSY : r;
}

static void log_failed(struct fs *fs, uint64_t id, int r)
{
	char path[512];

	if (r == -EBUSY || r == -ENOENT)
		return;
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
	policy_effective(fs->policy, id, 0, &policy);
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
	int r = fs_load(fs, id, &object, &attr);

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
	policy_effective(fs->policy, id, 0, policy);
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

static bool is_over(const struct pass *pass, const struct plain_seen *seen,
		    const struct object_policy *policy, const struct attr *attr)
{
	int64_t used = seen->used_ns, opened = attr_time_ns(attr->atime);

	used = opened > used ? opened : used;
	return !policy->plain || seen->leaving ||
	       (pass->idle_ns && pass->now_ns - used >= pass->idle_ns);
}

static int go_back(void *arg, const struct plain_seen *seen)
{
	struct pass *pass = arg;
	struct fs *fs = pass->fs;
	struct object_policy policy;
	struct object *object;
	struct attr attr;
	int r;

	if (fs->closing)
		return 1;
	if (fs_load(fs, seen->object, &object, &attr))
		return 0; /* on its way out */
	policy_effective(fs->policy, seen->object, 0, &policy);
	if (object_is_plain(object) && is_over(pass, seen, &policy, &attr)) {
		policy.plain = false;
		r = turn(fs, object, &policy);
		if (r && r != -EBUSY && r != -ENOENT)
			log_warning("inode %llu: should go from its plain file into frames: %s",
				    (unsigned long long)seen->object, strerror(-r));
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
}
