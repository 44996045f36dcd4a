// SPDX-License-Identifier: Apache-2.0
#include "fs/paths.h"

#include <stdlib.h>
#include <string.h>

#include "fs/fs.h"
#include "tiers/object.h"

#define PATH_CAP 4096u

struct wanted {
	uint64_t parent, id; /* sorted by these; parent 0: not known */
	size_t index;
};

static int compare(const void *a, const void *b)
{
	const struct wanted *x = a, *y = b;

	if (x->parent != y->parent)
		return x->parent < y->parent ? -1 : 1;
	if (x->id != y->id)
		return x->id < y->id ? -1 : 1;
	return x->index < y->index ? -1 : x->index > y->index;
}

static uint64_t parent_of(struct fs *fs, uint64_t id)
{
	struct object *object;
	struct attr attr;

	if (!id || fs_load(fs, id, &object, &attr))
		return 0;
	object_put(object);
	return attr.parent;
}

struct search { /* in one folder */
	const struct wanted *wanted;
	size_t n, missing;
	const char *folder;
	char **paths;
};

static char *join(const char *folder, const char *name, size_t len)
{
	size_t head = strlen(folder);
	char *path = malloc(head + len + 2);

	if (!path)
		return NULL;
	memcpy(path, folder, head);
	if (head > 1) /* not the root */
		path[head++] = '/';
	memcpy(path + head, name, len);
	path[head + len] = '\0';
	return path;
}

static int take_name(void *arg, const struct dir_entry *entry)
{
	struct search *search = arg;
	size_t low = 0, high = search->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (search->wanted[middle].id < entry->id)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < search->n && search->wanted[low].id == entry->id; low++) {
		char **path = &search->paths[search->wanted[low].index];

		if (*path)
			continue; /* another name of it in the same folder */
		*path = join(search->folder, entry->name, entry->name_len);
		search->missing--;
	}
	return search->missing == 0;
}

void paths_find(struct fs *fs, const uint64_t *ids, size_t n, char **paths)
{
	struct wanted *wanted = malloc(n * sizeof(*wanted));
	char folder[PATH_CAP];
	size_t end;

	memset(paths, 0, n * sizeof(*paths));
	if (!wanted)
		return;
	for (size_t i = 0; i < n; i++)
		wanted[i] = (struct wanted){parent_of(fs, ids[i]), ids[i], i};
	qsort(wanted, n, sizeof(*wanted), compare);
	for (size_t i = 0; i < n; i = end) {
		struct dir dir = fs_dir(fs, wanted[i].parent);
		struct search search = {.wanted = &wanted[i], .folder = folder, .paths = paths};

		for (end = i; end < n && wanted[end].parent == wanted[i].parent; end++)
			;
		search.n = search.missing = end - i;
		if (!wanted[i].parent)
			continue;
		fs_path(fs, wanted[i].parent, folder, sizeof(folder));
		if (*folder == '/')
			dir_walk(&dir, 0, take_name, &search);
	}
	free(wanted);
}

json_t *path_json(const char *path)
{
	json_t *json = json_string(path);
	size_t len = strlen(path), n = 0;
	char *text;

	if (json)
		return json;
	text = malloc(3 * len + 1);
	for (size_t i = 0; text && i < len; i++) {
		if ((unsigned char)path[i] < 0x80) {
			text[n++] = path[i];
		} else {
			memcpy(text + n, "\xef\xbf\xbd", 3);
			n += 3;
		}
	}
	if (text)
		json = json_stringn(text, n);
	free(text);
	return json;
}
