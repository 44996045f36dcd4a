// SPDX-License-Identifier: Apache-2.0
/*
 * Small texts from users. The first byte says which:
 * 0 a pattern and a path, with a zero byte between them: a pattern without a fault matches or does
 *   not, in bounded time; 1 sizes and times; 2 a name as JSON: always valid UTF-8, and the name
 *   again when it is read.
 */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fs/text.h"
#include "tiers/config.h"
#include "tiers/glob.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void pattern(const char *text, size_t len)
{
	const char *path = memchr(text, 0, len);
	const char *fault = glob_fault(text);

	if (fault) {
		assert(*fault && !strchr(fault, '\n'));
		return;
	}
	assert(strlen(text) <= GLOB_MAX);
	if (path && path < text + len && path[1] == '/' && strlen(path + 1) < 4096)
		(void)glob_match(text, path + 1);
	(void)glob_match(text, "/");
	(void)glob_match(text, "/a/b.c");
}

static void numbers(const char *text)
{
	uint64_t value = 0;
	int rc = config_parse_size(text, &value);

	assert(rc == 0 || rc == -EINVAL);
	rc = config_parse_time(text, &value);
	assert(rc == 0 || rc == -EINVAL);
}

static void name(const char *text)
{
	json_t *json = json_name(text);
	char *dump, *again = json_name_get(json);

	assert(json);
	assert(again && !strcmp(again, text));
	free(again);
	dump = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY);
	assert(dump && !strchr(dump, '\n'));
	free(dump);
	json_decref(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text;

	if (size < 1)
		return -1;
	text = malloc(size);
	if (!text)
		return -1;
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0';
	if (data[0] % 3 == 0)
		pattern(text, size - 1);
	else if (data[0] % 3 == 1)
		numbers(text);
	else
		name(text);
	free(text);
	return 0;
}
