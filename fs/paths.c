// SPDX-License-Identifier: Apache-2.0
#include "fs/paths.h"

#include "fs/fs.h"
#include "fs/text.h"

#define PATH_CAP 4096u

json_t *path_json_of(struct fs *fs, uint64_t id)
{
	char path[PATH_CAP];

	fs_path(fs, id, path, sizeof(path));
	return *path == '/' ? json_name(path) : NULL;
}
