/* SPDX-License-Identifier: Apache-2.0 */
/* Files below a folder of a mounted pool. One thread. */
#ifndef TERRACE_TOOLS_BELOW_H
#define TERRACE_TOOLS_BELOW_H

#include <sys/stat.h>

#include "tools/terrace/terrace.h"

/*
 * Calls each() for a file, or for every one below a folder, on the same filesystem; hard links as
 * often as they are found. `file` is its name to be told, of any length; `at` is where it can be
 * reached: the process is in the file's folder meanwhile. What cannot be read is said on stderr,
 * and the rest is gone on with: EXIT_FAILED then, or when each() has failed once.
 */
enum exit_code each_file(char *path,
			 enum exit_code (*each)(void *arg, const char *file, const char *at,
						const struct stat *st),
			 void *arg);

#endif
