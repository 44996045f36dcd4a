// SPDX-License-Identifier: Apache-2.0
/*
 * Virtual inodes are numbers only: CONTROL_BASE + a node of the enum below, jobs after the last of
 * them. Nothing is allocated for an inode, and a job's file is there as long as jobs.c keeps the
 * job.
 *
 * A file's text is made by its open, so a reader in several steps sees one moment; but events,
 * which are a stream. Sizes are 0 and the kernel is told to read directly: nobody knows the length
 * before.
 */
#include "fs/control.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/attr.h"
#include "fs/feed.h"
#include "fs/fs.h"
#include "fs/jobs.h"
#include "fs/policy.h"
#include "fs/settings.h"
#include "tiers/escape.h"
#include "tiers/log.h"
#include "tiers/object.h"

enum node { /* added to CONTROL_BASE */
	    NODE_TOP,
	    NODE_STATUS,
	    NODE_STATS,
	    NODE_EVENTS,
	    NODE_METRICS,
	    NODE_PLAN,
	    NODE_PINS,
	    NODE_DAMAGED,
	    NODE_POLICY,
	    NODE_JOBS,
	    NODE_NEW,
	    NODE_JOB, /* + the job's number */
};

#define JOB_MODE	(S_IFREG | 0600) /* its owner may write "cancel" */
#define NEW_REQUEST_MAX (4u << 20)

static const struct entry {
	const char *name;
	enum node node, parent;
	mode_t mode;
} entries[] = {
	{"status", NODE_STATUS, NODE_TOP, S_IFREG | 0444},
	{"stats.json", NODE_STATS, NODE_TOP, S_IFREG | 0444},
	{"damaged", NODE_DAMAGED, NODE_TOP, S_IFREG | 0400},
	/* Events, plans, pins, damage and jobs have names of everybody's files. */
	{"events", NODE_EVENTS, NODE_TOP, S_IFREG | 0400},
	{"plan", NODE_PLAN, NODE_TOP, S_IFREG | 0400},
	{"metrics", NODE_METRICS, NODE_TOP, S_IFREG | 0444},
	{"pins", NODE_PINS, NODE_TOP, S_IFREG | 0400},
	{"policy", NODE_POLICY, NODE_TOP, S_IFREG | 0644},
	{"jobs", NODE_JOBS, NODE_TOP, S_IFDIR | 0555},
	{"new", NODE_NEW, NODE_JOBS, S_IFREG | 0600},
};

struct control {
	struct fs *fs;
	char *mount;
	struct jobs *jobs;
	struct attr_time born;
	pthread_mutex_t lock;	    /* guards files and their links */
	struct control_file *files; /* open ones */
	size_t nfiles;
};

struct control_file {
	struct control *control;
	struct control_file *next, **link; /* of control->files */
	uint64_t id;
	pthread_mutex_t lock; /* guards what follows */
	char *text;	      /* NULL: empty */
	/* jobs/new: where in the file the reply begins. A plain read after the write goes on behind
	 * the request, pread() may begin at 0: where the first one begins, the reply does. */
	bool base_known;
	bool replied; /* text is the answer to a request */
	uint64_t base;
	struct feed *feed; /* .terrace/events: no text, but what happens */
};

int control_new(struct fs *fs, const char *mount, struct control **out)
{
	struct control *control = calloc(1, sizeof(*control));
	int r = -ENOMEM;

	if (!control)
		return r;
	control->fs = fs;
	pthread_mutex_init(&control->lock, NULL);
	control->born = attr_now();
	control->mount = strdup(mount);
	if (control->mount)
		r = jobs_new(fs, &control->jobs);
	if (r)
		control_free(control);
	else
		*out = control;
	return r;
}

void control_free(struct control *control)
{
	if (!control)
		return;
	jobs_free(control->jobs);
	/* Of a session that ended under open files no close has come. */
	while (control->files)
		control_close(control->files);
	pthread_mutex_destroy(&control->lock);
	free(control->mount);
	free(control);
}

int control_start(struct control *control)
{
	return jobs_start(control->jobs);
}

void control_place(struct control *control, uint64_t id)
{
	int r = jobs_place(control->jobs, id);

	if (r)
		log_warning("inode %llu waits for the next pass of the tier engine to be moved: %s",
			    (unsigned long long)id, strerror(-r));
}

static int place_if_resident(void *arg, const struct policy_item *item)
{
	struct control *control = arg;
	const char *ram = pool_config(control->fs->pool)->tiers[0].name;

	if (!strcmp(item->text[POLICY_PIN], ram))
		control_place(control, item->id);
	return 0;
}

/* Without memory for it now, each file is found when it is first read. */
void control_place_resident(struct control *control)
{
	int r = policy_each(control->fs->policy, place_if_resident, control);

	if (r)
		log_warning("what is pinned to memory comes there when it is read: %s",
			    strerror(-r));
}

uint64_t control_placing(struct control *control, uint64_t id)
{
	return jobs_placing(control->jobs, id);
}

static void fill(struct control *control, uint64_t id, mode_t mode, struct stat *out)
{
	struct attr attr = {.mode = mode,
			    .uid = geteuid(),
			    .gid = getegid(),
			    .nlink = S_ISDIR(mode) ? 2 : 1,
			    .atime = control->born,
			    .mtime = control->born,
			    .ctime = control->born};

	attr_to_stat(&attr, id, out);
	out->st_size = 0;
}

int control_getattr(struct control *control, uint64_t id, struct stat *out)
{
	uint64_t node = id - CONTROL_BASE;

	if (node == NODE_TOP) {
		fill(control, id, S_IFDIR | 0555, out);
		return 0;
	}
	for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++) {
		if (entries[i].node == node) {
			fill(control, id, entries[i].mode, out);
			return 0;
		}
	}
	if (jobs_next(control->jobs, node - NODE_JOB) != node - NODE_JOB)
		return -ENOENT;
	fill(control, id, JOB_MODE, out);
	return 0;
}

int control_lookup(struct control *control, uint64_t parent, const char *name, struct stat *out)
{
	uint64_t node = parent - CONTROL_BASE, number;
	char *end;

	if (!strcmp(name, "."))
		return control_getattr(control, parent, out);
	for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++)
		if (entries[i].parent == node && !strcmp(entries[i].name, name))
			return control_getattr(control, CONTROL_BASE + entries[i].node, out);
	if (node != NODE_JOBS || *name < '1' || *name > '9')
		return -ENOENT;
	errno = 0;
	number = strtoull(name, &end, 10);
	if (*end || errno || number >= CONTROL_BASE)
		return -ENOENT;
	return control_getattr(control, CONTROL_BASE + NODE_JOB + number, out);
}

/* Cookies: 1 ".", 2 "..", then an entry's or a job's node + 2. */
int control_readdir(struct control *control, uint64_t id, uint64_t off,
		    int (*each)(void *arg, const char *name, const struct stat *st, uint64_t next),
		    void *arg)
{
	uint64_t node = id - CONTROL_BASE, number = 0;
	struct stat st;
	char name[24];
	int r = 0;

	memset(&st, 0, sizeof(st));
	st.st_mode = S_IFDIR;
	st.st_ino = id;
	if (off < 1)
		r = each(arg, ".", &st, 1);
	st.st_ino = node == NODE_TOP ? OBJECT_ID_ROOT : CONTROL_BASE;
	if (!r && off < 2)
		r = each(arg, "..", &st, 2);
	for (size_t i = 0; !r && i < sizeof(entries) / sizeof(entries[0]); i++) {
		if (entries[i].parent != node || off >= entries[i].node + 2)
			continue;
		fill(control, CONTROL_BASE + entries[i].node, entries[i].mode, &st);
		r = each(arg, entries[i].name, &st, (uint64_t)entries[i].node + 2);
	}
	if (off > NODE_JOB + 2)
		number = off - NODE_JOB - 2;
	while (!r && node == NODE_JOBS && (number = jobs_next(control->jobs, number + 1))) {
		fill(control, CONTROL_BASE + NODE_JOB + number, JOB_MODE, &st);
		snprintf(name, sizeof(name), "%llu", (unsigned long long)number);
		r = each(arg, name, &st, NODE_JOB + 2 + number);
	}
	return 0;
}

/* *text stays NULL for jobs/new. */
static int make_text(struct control *control, uint64_t node, char **text)
{
	switch (node) {
	case NODE_STATUS:
		*text = control_status(control->fs, control->mount);
		break;
	case NODE_STATS:
		*text = control_stats_json(control->fs, control->mount);
		break;
	case NODE_METRICS:
		*text = control_metrics(control->fs, control->jobs);
		break;
	case NODE_PINS:
		*text = control_pins(control->fs);
		break;
	case NODE_POLICY:
		*text = settings_json(control->fs->settings);
		break;
	case NODE_PLAN:
		return control_plan(control->fs, text);
	case NODE_DAMAGED:
		return control_damaged(control->fs, text);
	case NODE_NEW:
	case NODE_EVENTS:
		return 0;
	case NODE_TOP:
	case NODE_JOBS:
		return -EISDIR;
	default:
		return jobs_text(control->jobs, node - NODE_JOB, text);
	}
	return *text ? 0 : -ENOMEM;
}

bool control_crowded(struct control *control)
{
	bool crowded;

	pthread_mutex_lock(&control->lock);
	crowded = control->nfiles >= CONTROL_OTHERS_MAX;
	pthread_mutex_unlock(&control->lock);
	return crowded;
}

int control_open(struct control *control, uint64_t id, int flags, struct control_file **out)
{
	uint64_t node = id - CONTROL_BASE;
	struct control_file *file;
	int r;

	if ((flags & O_ACCMODE) != O_RDONLY && node < NODE_NEW && node != NODE_POLICY)
		return -EPERM;
	file = calloc(1, sizeof(*file));
	if (!file)
		return -ENOMEM;
	file->control = control;
	file->id = id;
	r = make_text(control, node, &file->text);
	if (!r && node == NODE_EVENTS)
		r = feed_new(control->fs, &file->feed);
	if (r) {
		free(file);
		return r;
	}
	pthread_mutex_init(&file->lock, NULL);
	pthread_mutex_lock(&control->lock);
	file->next = control->files;
	file->link = &control->files;
	if (file->next)
		file->next->link = &file->next;
	control->files = file;
	control->nfiles++;
	pthread_mutex_unlock(&control->lock);
	*out = file;
	return 0;
}

void control_close(struct control_file *file)
{
	struct control *control = file->control;

	pthread_mutex_lock(&control->lock);
	*file->link = file->next;
	control->nfiles--;
	if (file->next)
		file->next->link = file->link;
	pthread_mutex_unlock(&control->lock);
	pthread_mutex_destroy(&file->lock);
	feed_free(file->feed);
	free(file->text);
	free(file);
}

bool control_is_stream(const struct control_file *file)
{
	return file->feed;
}

bool control_ready(struct control_file *file)
{
	bool ready;

	pthread_mutex_lock(&file->lock);
	ready = !file->feed || feed_ready(file->feed);
	pthread_mutex_unlock(&file->lock);
	return ready;
}

int control_read(struct control_file *file, void *buf, size_t len, uint64_t off, size_t *got)
{
	size_t have;
	int r = 0;

	pthread_mutex_lock(&file->lock);
	*got = 0;
	if (file->feed)
		r = feed_read(file->feed, buf, len, got);
	if (!file->base_known || off < file->base) {
		file->base = file->replied && !file->base_known ? off : 0;
		file->base_known = true;
	}
	off -= file->base;
	have = file->text ? strlen(file->text) : 0;
	if (off < have) {
		*got = have - off < len ? have - off : len;
		memcpy(buf, file->text + off, *got);
	}
	pthread_mutex_unlock(&file->lock);
	return r;
}

/* The file reads as the outcome from now on: json, whose reference it takes, or what is wrong. */
static int answer(struct control_file *file, json_t *json, int r, const char *message)
{
	char shown[1024], *reply;

	if (r) /* parts of names may be in it */
		json = json_pack("{s:s}", "error", escape_line(message, shown, sizeof(shown)));
	reply = json ? json_dumps(json, JSON_COMPACT) : NULL;
	json_decref(json);
	pthread_mutex_lock(&file->lock);
	free(file->text);
	file->text = reply;
	file->replied = true;
	file->base_known = false;
	pthread_mutex_unlock(&file->lock);
	return r || reply ? r : -ENOMEM;
}

static int submit(struct control_file *file, const void *buf, size_t len)
{
	char message[512] = "no memory";
	uint64_t number = 0;
	int r;

	r = jobs_submit(file->control->jobs, buf, len, &number, message, sizeof(message));
	return answer(file, r ? NULL : json_pack("{s:I}", "job", (json_int_t)number), r, message);
}

/* One word, and perhaps the end of its line. */
static int steer(struct jobs *jobs, uint64_t number, const char *word, size_t len)
{
	static const struct {
		const char *word;
		int (*ask)(struct jobs *jobs, uint64_t number);
	} words[] = {{"cancel", jobs_cancel}, {"pause", jobs_pause}, {"resume", jobs_resume}};

	if (len && word[len - 1] == '\n')
		len--;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strlen(words[i].word) == len && !memcmp(words[i].word, word, len))
			return words[i].ask(jobs, number);
	return -EINVAL;
}

static int change_policy(struct control_file *file, const void *buf, size_t len)
{
	char message[512] = "no memory";
	int r = settings_change(file->control->fs->settings, buf, len, message, sizeof(message));

	return answer(file, r ? NULL : json_pack("{s:b}", "done", 1), r, message);
}

int control_write(struct control_file *file, const void *buf, size_t len)
{
	uint64_t node = file->id - CONTROL_BASE;

	if (node == NODE_POLICY)
		return len <= NEW_REQUEST_MAX ? change_policy(file, buf, len) : -EINVAL;
	if (node == NODE_NEW)
		return len <= NEW_REQUEST_MAX ? submit(file, buf, len) : -EINVAL;
	if (node < NODE_JOB)
		return -EPERM;
	return steer(file->control->jobs, node - NODE_JOB, buf, len);
}
