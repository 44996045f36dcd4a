// SPDX-License-Identifier: Apache-2.0
#include "fs/paths.h"

#include <stdlib.h>
#include <string.h>

#include "fs/fs.h"

#define PATH_CAP 4096u

json_t *path_json_of(struct fs *fs, uint64_t id)
{
	char path[PATH_CAP];

	fs_path(fs, id, path, sizeof(path));
	return *path == '/' ? path_json(path) : NULL;
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
