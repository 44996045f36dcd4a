// SPDX-License-Identifier: Apache-2.0
/* The text of .terrace/pins: all that is set on files and folders, as JSON, in order of the paths.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "fs/control.h"
#include "fs/fs.h"
#include "fs/policy.h"
#include "fs/paths.h"

struct pins {
	struct fs *fs;
	json_t **rows;
	size_t n, cap;
};

static int add_row(void *arg, const struct policy_item *item)
{
	struct pins *pins = arg;
	json_t *row, **rows;

	if (pins->n == pins->cap) {
		size_t cap = pins->cap ? 2 * pins->cap : 64;

		rows = reallocarray(pins->rows, cap, sizeof(json_t *));
		if (!rows)
			return -1;
		pins->rows = rows;
		pins->cap = cap;
	}
	row = json_pack("{so? sI}", "path", path_json_of(pins->fs, item->id), "inode",
			(json_int_t)item->id);
	for (unsigned kind = 0; row && kind < POLICY_KINDS; kind++)
		json_object_set_new(row, policy_kind_name(kind),
				    item->text[kind][0] ? json_string(item->text[kind])
							: json_null());
	if (row)
		pins->rows[pins->n++] = row;
	return row ? 0 : -1;
}

static int by_path(const void *a, const void *b)
{
	const char *x = json_string_value(json_object_get(*(json_t *const *)a, "path"));
	const char *y = json_string_value(json_object_get(*(json_t *const *)b, "path"));

	return x && y ? strcmp(x, y) : !x - !y;
}

char *control_pins(struct fs *fs)
{
	struct pins pins = {.fs = fs};
	json_t *list = json_array(), *root = NULL;
	bool whole = !policy_each(fs->policy, add_row, &pins);
	char *text;

	if (pins.n)
		qsort(pins.rows, pins.n, sizeof(json_t *), by_path);
	for (size_t i = 0; i < pins.n; i++)
		json_array_append_new(list, pins.rows[i]);
	free(pins.rows);
	root = json_pack("{so}", "pins", list);
	text = root && whole ? json_dumps(root, JSON_COMPACT) : NULL;
	json_decref(root);
	return text;
}
