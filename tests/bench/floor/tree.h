/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inodes and names of the floor. tree_lock guards names and link counts; each inode has a lock
 * for its attributes and contents, taken inside. Calls return 0 or a positive errno.
 *
 * A name's place in its folder's list is its cookie: it stays, and is not used again before the
 * folder is empty.
 */
#ifndef TERRACE_BENCH_FLOOR_TREE_H
#define TERRACE_BENCH_FLOOR_TREE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "tests/bench/floor/contents.h"

struct node;

struct name {
	struct name *next; /* in its slot of the table */
	struct node *folder, *node;
	size_t place; /* in folder->list */
	uint64_t hash;
	char text[];
};

struct node {
	pthread_rwlock_t lock; /* st, contents */
	struct stat st;	       /* st_nlink: tree_lock, too */
	struct contents contents;
	uint64_t lookups;    /* atomic; rises with tree_lock held, falls to 0 with it exclusively */
	char *target;	     /* of a symbolic link; constant */
	struct node *parent; /* of a folder, as the rest; tree_lock */
	struct name **list;  /* NULL: a name that has gone */
	size_t len, cap, names;
};

extern pthread_rwlock_t tree_lock;
extern struct node *root;

/* Makes the root. */
bool tree_open(void);
struct node *node_new(mode_t mode, dev_t rdev);
struct stat node_stat(struct node *node);
/* node->lock held exclusively: ctime is now; data: and mtime. */
void node_touch(struct node *node, bool data);

/* The rest: tree_lock held, exclusively but for name_find(). */
/* The same, and so many links more. */
void node_link(struct node *node, bool data, int links);
/* Frees it if it has neither a name nor somebody who knows it. */
void node_drop(struct node *node);
struct name *name_find(struct node *folder, const char *text);
int name_add(struct node *folder, const char *text, struct node *node);
void name_remove(struct name *name);

#endif
