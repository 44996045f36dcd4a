// SPDX-License-Identifier: Apache-2.0
/* Attributes: see attributes.h. */
#include "tools/terrace/attributes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#define VALUE_MAX     65536u /* the kernel's limit (XATTR_SIZE_MAX) */
#define FULL_NAME_MAX 64u

char *attribute_get(const char *path, const char *name)
{
	char full[FULL_NAME_MAX], *value = malloc(VALUE_MAX + 1), *fit;
	ssize_t len;

	if (!value)
		return NULL;
	snprintf(full, sizeof(full), "user.terrace.%s", name);
	len = getxattr(path, full, value, VALUE_MAX);
	if (len < 0) {
		int error = errno;

		free(value);
		errno = error;
		return NULL;
	}
	value[len] = '\0';
	fit = realloc(value, (size_t)len + 1);
	return fit ? fit : value;
}

int attribute_set(const char *path, const char *name, const char *value)
{
	char full[FULL_NAME_MAX];
	int failed;

	snprintf(full, sizeof(full), "user.terrace.%s", name);
	failed = value ? setxattr(path, full, value, strlen(value), 0) : removexattr(path, full);
	return failed ? -errno : 0;
}
