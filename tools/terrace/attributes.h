/* SPDX-License-Identifier: Apache-2.0 */
/* The user.terrace.* attributes of a path. One thread. */
#ifndef TERRACE_TOOLS_ATTRIBUTES_H
#define TERRACE_TOOLS_ATTRIBUTES_H

/* `name` without "user.terrace.". A new string; NULL and errno (ENODATA: not set). */
char *attribute_get(const char *path, const char *name);
/* value NULL removes. 0 or negative errno. */
int attribute_set(const char *path, const char *name, const char *value);

#endif
