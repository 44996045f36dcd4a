// SPDX-License-Identifier: Apache-2.0
/* terrace pins: all pins, states, codecs, numbers of copies and layouts that are set, from
 * .terrace/pins. */
#include "tools/terrace/terrace.h"

#include <stdio.h>
#include <stdlib.h>

#include "tools/terrace/control.h"
#include "tools/terrace/mounts.h"
#include "tools/terrace/text.h"

static const char *cell(const json_t *row, const char *key)
{
	const char *text = control_text(row, key);

	return text[0] ? text : "-";
}

static enum exit_code print_pins(const json_t *pins)
{
	struct table *table = table_new("llllll");
	json_t *row;
	size_t i;

	table_row(table, "Pin", "State", "Codec", "Replicas", "Layout", "Path", NULL);
	json_array_foreach(pins, i, row)
	{
		char *path = control_name(row, "path");

		table_row(table, cell(row, "pin"), cell(row, "state"), cell(row, "codec"),
			  cell(row, "replicas"), cell(row, "layout"), path && *path ? path : "-",
			  NULL);
		free(path);
	}
	return table_print(table) ? EXIT_DONE : complain(EXIT_FAILED, "out of memory");
}

enum exit_code verb_pins(const struct options *options)
{
	struct mount mount;
	enum exit_code code = mount_find(options->nargs ? options->args[0] : NULL, false, &mount);
	json_t *root, *pins;

	if (code)
		return code;
	root = control_read(&mount, "pins");
	pins = json_object_get(root, "pins");
	if (!root)
		code = EXIT_FAILED;
	else if (has(options, OPTION_JSON))
		code = json_print(json_incref(pins)) ? EXIT_DONE
						     : complain(EXIT_FAILED, "out of memory");
	else if (!json_array_size(pins))
		printf("nothing is set on files or folders of %s\n", mount.point);
	else
		code = print_pins(pins);
	json_decref(root);
	mount_release(&mount);
	return code;
}
