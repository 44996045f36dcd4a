// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/floor/tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define FNV_START 0xcbf29ce484222325u
#define FNV_PRIME 0x100000001b3u

static struct {
	struct name **slots; /* a power of two of them */
	size_t nslots, count;
} table;

pthread_rwlock_t tree_lock = PTHREAD_RWLOCK_INITIALIZER;
struct node *root;

static struct timespec now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ts;
}

void node_touch(struct node *node, bool data)
{
	node->st.st_ctim = now();
	if (data)
		node->st.st_mtim = node->st.st_ctim;
}

void node_link(struct node *node, bool data, int links)
{
	pthread_rwlock_wrlock(&node->lock);
	node_touch(node, data);
	node->st.st_nlink += (nlink_t)links;
	pthread_rwlock_unlock(&node->lock);
}

struct node *node_new(mode_t mode, dev_t rdev)
{
	struct node *node = calloc(1, sizeof(*node));

	if (!node)
		return NULL;
	node->st = (struct stat){.st_ino = (ino_t)(uintptr_t)node,
				 .st_mode = mode,
				 .st_nlink = S_ISDIR(mode) ? 2 : 1,
				 .st_rdev = rdev,
				 .st_blksize = 4096};
	node->st.st_atim = now();
	node_touch(node, true);
	pthread_rwlock_init(&node->lock, NULL);
	return node;
}

void node_drop(struct node *node)
{
	if (node->lookups || node->st.st_nlink > (S_ISDIR(node->st.st_mode) ? 1 : 0) ||
	    node == root)
		return;
	contents_release(&node->contents);
	free(node->list);
	free(node->target);
	pthread_rwlock_destroy(&node->lock);
	free(node);
}

static uint64_t hash_of(const struct node *folder, const char *text)
{
	uint64_t hash = FNV_START ^ (uintptr_t)folder;

	for (; *text; text++)
		hash = (hash ^ (uint8_t)*text) * FNV_PRIME;
	return hash ^ hash >> 32;
}

struct name *name_find(struct node *folder, const char *text)
{
	uint64_t hash = hash_of(folder, text);
	struct name *name = table.slots[hash & (table.nslots - 1)];

	while (name &&
	       (name->hash != hash || name->folder != folder || strcmp(name->text, text) != 0))
		name = name->next;
	return name;
}

/* Twice as many slots: a look-up meets one name on average. */
static bool table_grow(void)
{
	size_t n = table.nslots ? table.nslots * 2 : 4096;
	struct name **slots = calloc(n, sizeof(struct name *)), *name, *next;

	if (!slots)
		return false;
	for (size_t i = 0; i < table.nslots; i++) {
		for (name = table.slots[i]; name; name = next) {
			next = name->next;
			name->next = slots[name->hash & (n - 1)];
			slots[name->hash & (n - 1)] = name;
		}
	}
	free(table.slots);
	table.slots = slots;
	table.nslots = n;
	return true;
}

static bool list_grow(struct node *folder)
{
	size_t cap = folder->cap ? folder->cap * 2 : 16;
	struct name **names = realloc(folder->list, cap * sizeof(struct name *));

	if (!names)
		return false;
	folder->list = names;
	folder->cap = cap;
	return true;
}

int name_add(struct node *folder, const char *text, struct node *node)
{
	size_t len = strlen(text);
	struct name *name, **slot;

	if ((table.count == table.nslots && !table_grow()) ||
	    (folder->len == folder->cap && !list_grow(folder)))
		return ENOMEM;
	name = malloc(sizeof(*name) + len + 1);
	if (!name)
		return ENOMEM;
	*name = (struct name){.folder = folder,
			      .node = node,
			      .place = folder->len,
			      .hash = hash_of(folder, text)};
	memcpy(name->text, text, len + 1);
	slot = &table.slots[name->hash & (table.nslots - 1)];
	name->next = *slot;
	*slot = name;
	table.count++;
	folder->list[folder->len++] = name;
	folder->names++;
	if (S_ISDIR(node->st.st_mode))
		node->parent = folder;
	node_link(folder, true, S_ISDIR(node->st.st_mode) ? 1 : 0);
	return 0;
}

void name_remove(struct name *name)
{
	struct node *folder = name->folder;
	struct name **at = &table.slots[name->hash & (table.nslots - 1)];

	while (*at != name)
		at = &(*at)->next;
	*at = name->next;
	table.count--;
	folder->list[name->place] = NULL;
	if (!--folder->names)
		folder->len = 0;
	node_link(folder, true, S_ISDIR(name->node->st.st_mode) ? -1 : 0);
	free(name);
}

struct stat node_stat(struct node *node)
{
	struct stat st;

	pthread_rwlock_rdlock(&node->lock);
	st = node->st;
	pthread_rwlock_unlock(&node->lock);
	return st;
}

bool tree_open(void)
{
	root = node_new(S_IFDIR | 0755, 0);
	if (!root || !table_grow())
		return false;
	root->st.st_ino = 1;
	root->st.st_uid = getuid();
	return true;
}
