// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/fix_ops.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "fs/fs.h"
#include "tests/unit/fix_bytes.h"
#include "tests/unit/fix_place.h"
#include "tiers/pool_impl.h"
#include "tiers/segment.h"

enum name { A, B, C, D, E, X };

const struct ops_name ops_names[OPS_NAMES] = {{"a", 0}, {"b", 0}, {"c", 0},
					      {"d", 0}, {"e", 0}, {"x", 1}};

static const struct fs_cred cred = {.umask = 022};

static struct ops_moment *now(struct ops *ops)
{
	return &ops->moments[ops->moment];
}

static uint64_t folder_of(struct ops *ops, enum name name)
{
	return ops_names[name].below ? ops->inodes[now(ops)->at[D]].id : OBJECT_ID_ROOT;
}

static void model(struct ops *ops, bool begins)
{
	if (ops->model)
		ops->model(begins);
}

static void pausing(struct ops *ops, bool on)
{
	if (!ops->pause)
		fail_msg("step %u (%c) failed", ops->nsteps, ops->steps[ops->nsteps].op);
	ops->pause(on);
}

/* Contents ---------------------------------------------------------------------------------------
 */

static struct ops_version *current(struct ops_inode *inode)
{
	return &inode->versions[inode->nversions - 1];
}

static void version_add(struct ops *ops, struct ops_inode *inode, struct ops_version version)
{
	model(ops, true);
	inode->versions =
		realloc(inode->versions, (inode->nversions + 1) * sizeof(*inode->versions));
	model(ops, false);
	assert_non_null(inode->versions);
	inode->versions[inode->nversions++] = version;
}

/* A copy of what is current, to be changed; zeros behind it. */
static struct ops_version draft(struct ops *ops, struct ops_inode *inode)
{
	struct ops_version version = {.step = ops->nsteps};

	model(ops, true);
	version.bytes = calloc(1, OPS_BYTES_MAX);
	model(ops, false);
	assert_non_null(version.bytes);
	if (inode->nversions) {
		version.size = current(inode)->size;
		memcpy(version.bytes, current(inode)->bytes, version.size);
	}
	return version;
}

static int inode_add(struct ops *ops, uint64_t id, bool folder)
{
	struct ops_inode *inode = &ops->inodes[ops->ninodes];

	assert_true(ops->ninodes < OPS_INODES);
	*inode = (struct ops_inode){.id = id, .folder = folder};
	version_add(ops, inode, draft(ops, inode));
	return (int)ops->ninodes++;
}

size_t ops_read(struct ops *ops, const struct ops_inode *model_inode, uint8_t *bytes)
{
	struct inode *inode;
	struct stat st;
	size_t got;

	assert_int_equal(fs_file_open(ops->fs, model_inode->id, O_RDONLY, false, &inode), 0);
	assert_int_equal(fs_read(ops->fs, inode, bytes, OPS_BYTES_MAX, 0, &got), 0);
	fs_file_close(ops->fs, inode, O_RDONLY);
	assert_int_equal(fs_getattr(ops->fs, model_inode->id, &st), 0);
	assert_int_equal(got, st.st_size);
	return got;
}

static bool same(const struct ops_version *version, const uint8_t *bytes, size_t size)
{
	return version->size == size && memcmp(version->bytes, bytes, size) == 0;
}

/* A change of data is over; after an error, which is it? */
static int data_done(struct ops *ops, struct ops_inode *inode, struct ops_version version, int rc)
{
	uint8_t *bytes;
	size_t size;

	if (rc == 0) {
		version_add(ops, inode, version);
		return 0;
	}
	pausing(ops, true);
	bytes = malloc(OPS_BYTES_MAX);
	assert_non_null(bytes);
	size = ops_read(ops, inode, bytes);
	if (same(&version, bytes, size))
		version_add(ops, inode, version);
	else if (same(current(inode), bytes, size))
		free(version.bytes);
	else
		fail_msg("step %u (%c) failed and has left neither the old nor the new content",
			 ops->nsteps, ops->steps[ops->nsteps].op);
	free(bytes);
	pausing(ops, false);
	return rc;
}

static int open_write(struct ops *ops, struct ops_inode *inode, const uint8_t *bytes, size_t len,
		      uint64_t off, bool append)
{
	struct inode *open;
	int rc = fs_file_open(ops->fs, inode->id, O_RDWR, false, &open);

	if (rc < 0)
		return rc;
	rc = fs_write(ops->fs, open, bytes, len, off, append ? FS_WRITE_APPEND : 0);
	fs_file_close(ops->fs, open, O_RDWR);
	return rc;
}

static int write_part(struct ops *ops, struct ops_inode *inode, size_t off, size_t len, bool append)
{
	struct ops_version version = draft(ops, inode);
	uint8_t *at = version.bytes + off;

	assert_true(off + len <= OPS_BYTES_MAX);
	bytes_fill_text(at, len, ops->nsteps * 7919 + off);
	if (off + len > version.size)
		version.size = off + len;
	return data_done(ops, inode, version, open_write(ops, inode, at, len, off, append));
}

static int set_size(struct ops *ops, struct ops_inode *inode, size_t size)
{
	struct ops_version version = draft(ops, inode);
	struct stat st = {.st_size = (off_t)size};

	if (size < version.size)
		memset(version.bytes + size, 0, version.size - size);
	version.size = size;
	return data_done(ops, inode, version,
			 fs_setattr(ops->fs, inode->id, FS_SET_SIZE, &st, &st));
}

static int punch(struct ops *ops, struct ops_inode *inode)
{
	struct ops_version version = draft(ops, inode);
	size_t off = version.size / 4, len = version.size / 2 + 1;
	struct inode *open;
	int rc = fs_file_open(ops->fs, inode->id, O_RDWR, false, &open);

	for (size_t i = off; i < off + len && i < version.size; i++)
		version.bytes[i] = 0;
	if (rc == 0) {
		rc = fs_fallocate(ops->fs, open, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, len,
				  off, false);
		fs_file_close(ops->fs, open, O_RDWR);
	}
	return data_done(ops, inode, version, rc);
}

static int clone_part(struct ops *ops, struct ops_inode *from, struct ops_inode *to)
{
	struct ops_version version = draft(ops, to);
	size_t off = current(from)->size / 3, len = current(from)->size - off, at = 1000;
	struct inode *in = NULL, *out = NULL;
	uint64_t done = 0;
	int rc = fs_file_open(ops->fs, from->id, O_RDONLY, false, &in);

	if (len)
		memcpy(version.bytes + at, current(from)->bytes + off, len);
	if (len && at + len > version.size)
		version.size = at + len;
	if (rc == 0)
		rc = fs_file_open(ops->fs, to->id, O_RDWR, false, &out);
	if (rc == 0 && len)
		rc = fs_copy_range(ops->fs, in, off, out, at, len, false, &done);
	if (rc == 0)
		assert_int_equal(done, len); /* so few extents go at once */
	if (in)
		fs_file_close(ops->fs, in, O_RDONLY);
	if (out)
		fs_file_close(ops->fs, out, O_RDWR);
	return data_done(ops, to, version, rc);
}

static int sync_file(struct ops *ops, struct ops_inode *inode)
{
	struct inode *open;
	int rc = fs_file_open(ops->fs, inode->id, O_RDWR, false, &open);

	if (rc < 0)
		return rc;
	rc = fs_fsync(ops->fs, open);
	fs_file_close(ops->fs, open, O_RDWR);
	return rc;
}

/* Names ------------------------------------------------------------------------------------------
 */

static bool known(const char *name, bool below)
{
	for (unsigned i = 0; i < OPS_NAMES; i++)
		if (strcmp(ops_names[i].name, name) == 0 && ops_names[i].below == below)
			return true;
	return false;
}

struct listing {
	bool below;
	unsigned names;
};

static int count_name(void *arg, const char *name, const struct stat *st, uint64_t next)
{
	struct listing *listing = arg;

	(void)st;
	(void)next;
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return 0;
	if (!known(name, listing->below))
		fail_msg("a name nobody made: %s", name);
	listing->names++;
	return 0;
}

static int inode_of(const struct ops *ops, uint64_t id)
{
	for (unsigned i = 0; i < ops->ninodes; i++)
		if (ops->inodes[i].id == id)
			return (int)i;
	return -1;
}

void ops_look(struct ops *ops, struct ops_moment *out, uint64_t *fresh)
{
	struct listing root = {.below = false}, below = {.below = true};
	unsigned found = 0, nlink[OPS_INODES] = {0};
	struct stat st;

	assert_int_equal(fs_readdir(ops->fs, OBJECT_ID_ROOT, 0, false, count_name, &root), 0);
	for (unsigned i = 0; i < OPS_NAMES; i++) {
		int rc = fs_lookup(ops->fs, folder_of(ops, i), ops_names[i].name, &st);

		out->at[i] = -1;
		if (rc == -ENOENT)
			continue;
		assert_int_equal(rc, 0);
		found++;
		out->at[i] = inode_of(ops, st.st_ino);
		if (out->at[i] < 0) {
			assert_non_null(fresh);
			*fresh = st.st_ino;
			out->at[i] = (int)ops->ninodes;
			continue;
		}
		out->mode[out->at[i]] = st.st_mode & 07777;
		nlink[out->at[i]]++;
	}
	if (out->at[D] >= 0)
		assert_int_equal(fs_readdir(ops->fs, ops->inodes[out->at[D]].id, 0, false,
					    count_name, &below),
				 0);
	assert_int_equal(found, root.names + below.names);
	for (unsigned i = 0; i < ops->ninodes; i++) {
		if (!nlink[i] || ops->inodes[i].folder)
			continue;
		assert_int_equal(fs_getattr(ops->fs, ops->inodes[i].id, &st), 0);
		assert_int_equal(st.st_nlink, nlink[i]);
	}
}

bool ops_same_moment(const struct ops *ops, const struct ops_moment *a, const struct ops_moment *b)
{
	if (memcmp(a->at, b->at, sizeof(a->at)) != 0)
		return false;
	for (unsigned i = 0; i < OPS_NAMES; i++)
		if (a->at[i] >= 0 && (unsigned)a->at[i] < ops->ninodes &&
		    a->mode[a->at[i]] != b->mode[b->at[i]])
			return false;
	return true;
}

static void moment_add(struct ops *ops, const struct ops_moment *next)
{
	assert_true(ops->moment < OPS_STEPS);
	ops->moments[++ops->moment] = *next;
}

/* A change of names is over; after an error, which is it? */
static int names_done(struct ops *ops, const struct ops_moment *next, int rc)
{
	struct ops_moment found = {0};
	uint64_t fresh = 0;

	if (rc == 0) {
		moment_add(ops, next);
		return 0;
	}
	pausing(ops, true);
	ops_look(ops, &found, &fresh);
	if (ops_same_moment(ops, &found, next)) {
		if (fresh)
			inode_add(ops, fresh, ops->steps[ops->nsteps].op == 'm');
		moment_add(ops, next);
	} else if (!ops_same_moment(ops, &found, now(ops))) {
		fail_msg("step %u (%c) failed and has left neither the old nor the new names",
			 ops->nsteps, ops->steps[ops->nsteps].op);
	}
	pausing(ops, false);
	return rc;
}

static int make(struct ops *ops, enum name name, bool folder)
{
	struct ops_moment next = *now(ops);
	struct inode *inode;
	struct stat st;
	int rc;

	if (next.at[name] >= 0)
		return 1;
	if (folder) {
		rc = fs_mkdir(ops->fs, folder_of(ops, name), ops_names[name].name, 0755, &cred,
			      &st);
	} else {
		rc = fs_create(ops->fs, folder_of(ops, name), ops_names[name].name, 0644, O_RDWR,
			       &cred, &st, &inode);
		if (rc == 0)
			fs_file_close(ops->fs, inode, O_RDWR);
	}
	next.at[name] = (int)ops->ninodes;
	next.mode[ops->ninodes] = folder ? 0755 : 0644;
	if (rc == 0)
		inode_add(ops, st.st_ino, folder);
	return names_done(ops, &next, rc);
}

static int rename_to(struct ops *ops, enum name from, enum name to, unsigned flags)
{
	struct ops_moment next = *now(ops);
	struct ops_inode *inode;
	bool replaces = next.at[to] >= 0 && !flags;
	unsigned before = ops->moment;
	int rc;

	if (next.at[from] < 0 || next.at[from] == next.at[to] || (flags && next.at[to] < 0))
		return 1;
	rc = fs_rename(ops->fs, folder_of(ops, from), ops_names[from].name, folder_of(ops, to),
		       ops_names[to].name, flags);
	next.at[from] = flags ? now(ops)->at[to] : -1;
	next.at[to] = now(ops)->at[from];
	inode = &ops->inodes[next.at[to]];
	rc = names_done(ops, &next, rc);
	if (replaces && ops->moment != before) {
		inode->named = ops->moment;
		inode->named_version = inode->nversions - 1;
	}
	return rc;
}

static int link_to(struct ops *ops, enum name from, enum name to)
{
	struct ops_moment next = *now(ops);
	struct stat st;
	int rc;

	if (next.at[from] < 0 || next.at[to] >= 0)
		return 1;
	rc = fs_link(ops->fs, ops->inodes[next.at[from]].id, folder_of(ops, to), ops_names[to].name,
		     &st);
	next.at[to] = next.at[from];
	return names_done(ops, &next, rc);
}

static int drop(struct ops *ops, enum name name, bool folder, bool open)
{
	struct ops_moment next = *now(ops);
	struct inode *inode = NULL;
	uint64_t id;
	int rc = 0;

	if (next.at[name] < 0)
		return 1;
	id = ops->inodes[next.at[name]].id;
	if (open)
		rc = fs_file_open(ops->fs, id, O_RDWR, false, &inode);
	if (rc == 0)
		rc = folder ? fs_rmdir(ops->fs, folder_of(ops, name), ops_names[name].name)
			    : fs_unlink(ops->fs, folder_of(ops, name), ops_names[name].name);
	if (inode)
		fs_file_close(ops->fs, inode, O_RDWR);
	next.at[name] = -1;
	return names_done(ops, &next, rc);
}

static int set_mode(struct ops *ops, int inode)
{
	struct ops_moment next = *now(ops);
	struct stat st = {.st_mode = next.mode[inode] ^ 0111};
	int rc = fs_setattr(ops->fs, ops->inodes[inode].id, FS_SET_MODE, &st, &st);

	next.mode[inode] ^= 0111;
	return names_done(ops, &next, rc);
}

/* The pool ---------------------------------------------------------------------------------------
 */

static int move_down(struct ops *ops)
{
	struct move_progress progress = {0};
	uint64_t ids[2];
	size_t n = 0;

	for (enum name name = A; name <= B; name++)
		if (now(ops)->at[name] >= 0)
			ids[n++] = ops->inodes[now(ops)->at[name]].id;
	return n ? pool_move(ops->fs->pool, ids, n, 2, &progress) : 1;
}

static int clean(struct ops *ops)
{
	struct pool *pool = ops->fs->pool;
	int rc;

	for (uint32_t t = 1; t < pool->config.ntiers; t++)
		appender_roll(pool->tiers[t].appender);
	rc = pool_run(pool, NULL);
	pool_reclaim(pool);
	return rc;
}

void ops_close(struct ops *ops)
{
	if (ops->fs)
		fs_close(ops->fs);
	ops->fs = NULL;
	if (ops->pool->pool)
		pool_abandon(ops->pool->pool);
	ops->pool->pool = NULL;
}

static int open_all(struct ops *ops)
{
	struct pool_open_options options = {.no_background = true};
	int rc = 0;

	if (!ops->pool->pool)
		rc = pool_open(&ops->pool->config, &options, &ops->pool->pool);
	if (rc == 0 && !ops->fs)
		rc = fs_open(ops->pool->pool, "/mnt", &ops->fs);
	return rc;
}

void ops_open(struct ops *ops)
{
	assert_int_equal(open_all(ops), 0);
}

/* With faults, what cannot be opened stays closed to the end. */
static int reopen(struct ops *ops, bool crash)
{
	int rc = 0, opened;

	if (crash) {
		ops_close(ops);
	} else {
		fs_close(ops->fs);
		ops->fs = NULL;
		rc = pool_close(ops->pool->pool);
		ops->pool->pool = NULL;
	}
	opened = open_all(ops);
	return rc < 0 ? rc : opened;
}

void ops_crash(struct ops *ops)
{
	ops_close(ops);
	ops_open(ops);
}

void ops_power(struct ops *ops)
{
	ops_close(ops);
	fix_pool_lose_ram(ops->pool);
	ops_open(ops);
}

void ops_remount(struct ops *ops)
{
	assert_int_equal(reopen(ops, false), 0);
}

/* Steps ------------------------------------------------------------------------------------------
 */

static int fs_step(struct ops *ops, struct ops_step *step)
{
	switch (step->op) {
	case 'S':
		return fs_fsync_all(ops->fs);
	case 'D':
		return move_down(ops);
	case 'v':
		return clean(ops);
	case 'k':
		return pool_checkpoint(ops->fs->pool);
	case 'K':
		return reopen(ops, true);
	default:
		return reopen(ops, false);
	}
}

static int name_step(struct ops *ops, struct ops_step *step)
{
	switch (step->op) {
	case 'c':
		return make(ops, C, false);
	case 'r':
		return rename_to(ops, A, B, 0);
	case 'R':
		return rename_to(ops, now(ops)->at[C] < 0 ? B : C, X, 0);
	case 'x':
		return rename_to(ops, A, B, RENAME_EXCHANGE);
	case 'l':
		return link_to(ops, A, X);
	case 'u':
		return drop(ops, A, false, false);
	case 'U':
		return drop(ops, B, false, true);
	case 'm':
		return make(ops, E, true);
	default:
		return drop(ops, E, true, false);
	}
}

static int data_step(struct ops *ops, struct ops_step *step)
{
	struct ops_inode *inode = &ops->inodes[step->inode];
	size_t size = current(inode)->size;
	int b = now(ops)->at[B];

	switch (step->op) {
	case 'w':
		return write_part(ops, inode, 0, 5000, false);
	case 'o':
		return write_part(ops, inode, size / 4, size / 3 + 1, false);
	case 'i':
		return write_part(ops, inode, size, 2500, true);
	case 'j':
		return write_part(ops, inode, size, 9000, true);
	case 't':
		return set_size(ops, inode, size / 2);
	case 'g':
		return set_size(ops, inode, size + 3000);
	case 'p':
		return size ? punch(ops, inode) : 1;
	case 'y':
		return b < 0 || b == step->inode ? 1 : clone_part(ops, &ops->inodes[b], inode);
	case 'q':
		return set_mode(ops, step->inode);
	default:
		return sync_file(ops, inode);
	}
}

/* The file that a step on data is about, or -1. */
static int subject(struct ops *ops, char op)
{
	const struct ops_moment *at = now(ops);

	if (strchr("oitpyqs", op))
		return at->at[A];
	if (strchr("jg", op))
		return at->at[B];
	return at->at[C] >= 0 ? at->at[C] : at->at[B];
}

static void run_step(struct ops *ops, char op)
{
	struct ops_step *step = &ops->steps[ops->nsteps];

	assert_true(ops->nsteps < OPS_STEPS);
	*step = (struct ops_step){.op = op, .inode = -1, .rc = 1, .end = SIZE_MAX};
	step->begin = ops->clock ? ops->clock() : 0;
	if (ops->fs && strchr("SDvkKO", op)) {
		step->rc = fs_step(ops, step);
	} else if (ops->fs && strchr("crRxluUmz", op)) {
		step->rc = name_step(ops, step);
	} else if (ops->fs) {
		step->inode = subject(ops, op);
		if (step->inode >= 0)
			step->rc = data_step(ops, step);
	}
	if (step->rc < 0 && !ops->pause)
		fail_msg("step %u (%c): %s", ops->nsteps, op, strerror(-step->rc));
	step->end = ops->clock ? ops->clock() : 0;
	step->moment = ops->moment;
	ops->nsteps++;
}

void ops_run(struct ops *ops, const char *workload)
{
	for (; *workload; workload++)
		run_step(ops, *workload);
}

void ops_begin(struct ops *ops, struct fix_pool *pool)
{
	*ops = (struct ops){.pool = pool};
	memset(ops->moments[0].at, -1, sizeof(ops->moments[0].at));
	ops_open(ops);
	ops->steps[0].op = '!';
	assert_int_equal(make(ops, D, true), 0);
	assert_int_equal(make(ops, A, false), 0);
	assert_int_equal(make(ops, B, false), 0);
	assert_int_equal(write_part(ops, &ops->inodes[now(ops)->at[A]], 0, 6000, false), 0);
	assert_int_equal(write_part(ops, &ops->inodes[now(ops)->at[B]], 0, 3000, false), 0);
	ops_run(ops, "S");
	ops_run(ops, "j");
}

void ops_release(struct ops *ops)
{
	if (ops->fs)
		fs_close(ops->fs);
	for (unsigned i = 0; i < ops->ninodes; i++) {
		for (unsigned v = 0; v < ops->inodes[i].nversions; v++)
			free(ops->inodes[i].versions[v].bytes);
		free(ops->inodes[i].versions);
	}
	*ops = (struct ops){0};
}

bool ops_workload(unsigned depth, unsigned long n, char *out)
{
	unsigned long count = sizeof(OPS_ALL) - 1;

	for (unsigned i = 0; i < depth; i++, n /= count)
		out[depth - 1 - i] = OPS_ALL[n % count];
	out[depth] = '\0';
	return n == 0;
}

void ops_workload_random(struct dice *dice, char *out)
{
	size_t len = 4 + (size_t)dice_roll(dice, OPS_LONGEST - 4);

	for (size_t i = 0; i < len; i++)
		out[i] = OPS_ALL[dice_roll(dice, sizeof(OPS_ALL) - 1)];
	out[len] = '\0';
}

unsigned ops_env(const char *name, unsigned otherwise)
{
	const char *value = getenv(name);

	return value ? (unsigned)atoi(value) : otherwise;
}
