// SPDX-License-Identifier: Apache-2.0
/* terrace pin and unpin: the attribute user.terrace.pin of each path. */
#include "tools/terrace/terrace.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/terrace/attributes.h"
#include "tools/terrace/control.h"
#include "tools/terrace/mounts.h"
#include "tools/terrace/text.h"

static enum exit_code cannot_set(const char *path, int error)
{
	const char *hint = "";

	if (error == -EPERM || error == -EACCES)
		hint = " (only the owner and root may; links and devices hold no pins)";
	return complain(error == -EBUSY ? EXIT_BUSY : EXIT_FAILED, "%s: %s%s", path,
			strerror(-error), hint);
}

/* tier NULL: unpin. EXIT_NOTHING: it was so before. */
static enum exit_code change_one(const char *path, const char *tier, bool dry)
{
	struct mount mount;
	char *now;
	bool same;
	enum exit_code code = mount_of_path(path, &mount, NULL);
	int error = 0;

	if (!code && tier)
		code = control_check_tier(&mount, tier);
	mount_release(&mount);
	if (code)
		return code;
	now = attribute_get(path, "pin");
	if (!now && errno != ENODATA)
		return cannot_set(path, -errno);
	same = tier ? now && !strcmp(now, tier) : !now;
	free(now);
	if (same)
		return EXIT_NOTHING;
	if (!dry)
		error = attribute_set(path, "pin", tier);
	return error ? cannot_set(path, error) : EXIT_DONE;
}

static const char *outcome(enum exit_code code, const char *tier, bool dry)
{
	if (code == EXIT_NOTHING)
		return tier ? "already pinned" : "not pinned itself";
	if (code)
		return "failed";
	if (dry)
		return tier ? "would be pinned" : "would be unpinned";
	return tier ? "pinned" : "unpinned";
}

/* Every path is tried; the worst outcome is the code, and "nothing" only if nothing changed. */
static enum exit_code change_all(const struct options *options, const char *tier, int first)
{
	bool dry = has(options, OPTION_DRY_RUN), json = has(options, OPTION_JSON);
	json_t *rows = json_array();
	enum exit_code worst = EXIT_NOTHING;
	int i;

	for (i = first; i < options->nargs; i++) {
		const char *path = options->args[i];
		enum exit_code code = change_one(path, tier, dry);
		const char *result = outcome(code, tier, dry);

		if (json)
			json_array_append_new(rows, json_pack("{so ss}", "path", json_name(path),
							      "result", result));
		else if (!code || code == EXIT_NOTHING)
			printf("%s: %s%s%s\n", path, result, tier ? " in " : "", tier ? tier : "");
		if (code == EXIT_DONE && worst == EXIT_NOTHING)
			worst = EXIT_DONE;
		else if (code != EXIT_DONE && code != EXIT_NOTHING)
			worst = worst == EXIT_DONE || worst == EXIT_NOTHING ? code : worst;
	}
	if (json && !json_print(json_incref(rows)))
		worst = complain(EXIT_FAILED, "out of memory");
	json_decref(rows);
	return worst;
}

enum exit_code verb_pin(const struct options *options)
{
	return change_all(options, options->args[0], 1);
}

enum exit_code verb_unpin(const struct options *options)
{
	return change_all(options, NULL, 0);
}
