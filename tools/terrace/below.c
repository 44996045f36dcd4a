// SPDX-License-Identifier: Apache-2.0
#include "tools/terrace/below.h"

#include <errno.h>
#include <fts.h>
#include <string.h>

enum exit_code each_file(char *path,
			 enum exit_code (*each)(void *arg, const char *file, const char *at,
						const struct stat *st),
			 void *arg)
{
	char *roots[] = {path, NULL};
	/* It goes from folder to folder, so that paths may be longer than PATH_MAX. */
	FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_COMFOLLOW | FTS_XDEV, NULL);
	enum exit_code code = EXIT_DONE;
	FTSENT *entry;

	if (!tree)
		return complain(EXIT_FAILED, "%s: %s", path, strerror(errno));
	while ((entry = fts_read(tree))) {
		if (entry->fts_info == FTS_ERR || entry->fts_info == FTS_DNR ||
		    entry->fts_info == FTS_NS)
			code = complain(EXIT_FAILED, "%s: %s", entry->fts_path,
					strerror(entry->fts_errno));
		else if (entry->fts_info == FTS_F &&
			 each(arg, entry->fts_path, entry->fts_accpath, entry->fts_statp))
			code = EXIT_FAILED;
	}
	if (errno) /* not the end: a folder was moved meanwhile, or a path takes 64 KiB */
		code = complain(EXIT_FAILED, "%s: not all below it was looked at: %s", path,
				strerror(errno));
	fts_close(tree);
	return code;
}
