/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtual folder .terrace in the root: state as files, jobs as files (terrace(7)). Not listed
 * in the root, reachable by name. Text is made when a file is opened and stays as it was then.
 *
 *	status  stats.json  metrics  plan  pins  policy  events  jobs/  jobs/new  jobs/N
 *
 * .terrace/events is a stream: each open reads what is kept, then what happens (fs/feed.h).
 *
 * Inode numbers begin at CONTROL_BASE; object ids never get there. Threads: any; one open file
 * belongs to whoever opened it (calls on it are serialised inside).
 */
#ifndef TERRACE_FS_CONTROL_H
#define TERRACE_FS_CONTROL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#define CONTROL_BASE (1ull << 62)

struct control;
struct control_file;
struct fs;
struct jobs;

static inline bool control_owns(uint64_t id)
{
	return id >= CONTROL_BASE;
}

/* `mount`: for stats.json. */
int control_new(struct fs *fs, const char *mount, struct control **out);
/* Lets jobs run: when all that they need is there (the pool's hooks). */
int control_start(struct control *control);
/* Interrupts the job that runs and waits for that; the next mount goes on with it. Closes what was
 * left open. */
void control_free(struct control *control);

/* Something was set that may want the inode's data elsewhere: that is begun now. */
void control_place(struct control *control, uint64_t id);
/* After a mount: what is pinned to memory is to be there again. */
void control_place_resident(struct control *control);
/* The number of the job that does it, or has done it; 0 = none that is kept. */
uint64_t control_placing(struct control *control, uint64_t id);

int control_lookup(struct control *control, uint64_t parent, const char *name, struct stat *out);
int control_getattr(struct control *control, uint64_t id, struct stat *out);
int control_readdir(struct control *control, uint64_t id, uint64_t off,
		    int (*each)(void *arg, const char *name, const struct stat *st, uint64_t next),
		    void *arg);

/* So many are open that only the pool's owner and root may open more: each holds its text. */
#define CONTROL_OTHERS_MAX 1024u
bool control_crowded(struct control *control);
int control_open(struct control *control, uint64_t id, int flags, struct control_file **out);
void control_close(struct control_file *file);
/* -EAGAIN: a stream that has nothing yet. */
int control_read(struct control_file *file, void *buf, size_t len, uint64_t off, size_t *got);
bool control_is_stream(const struct control_file *file);
bool control_ready(struct control_file *file); /* control_read() would not answer -EAGAIN */
/* A request is one write. -EINVAL: refused, the file then reads as {"error": ...}. */
int control_write(struct control_file *file, const void *buf, size_t len);

/* Adds to stats.json what the engine does and what the media take (control_engine.c). */
void control_engine_json(struct fs *fs, json_t *stats);

/* Texts, in control_stats.c and metrics.c: malloc'd, or NULL (no memory). */
char *control_pins(struct fs *fs); /* control_pins.c */
char *control_stats_json(struct fs *fs, const char *mount);
char *control_status(struct fs *fs, const char *mount);
char *control_metrics(struct fs *fs, struct jobs *jobs);
/* .terrace/plan (control_plan.c): pool_plan() takes its time and may fail. */
int control_plan(struct fs *fs, char **out);
/* .terrace/damaged (control_damaged.c): pool_damaged() takes its time, too. */
int control_damaged(struct fs *fs, char **out);
/* Adds to stats.json how many frames are damaged, and the scrub. */
void control_damage_json(struct fs *fs, json_t *stats);

#endif
