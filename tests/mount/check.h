/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks for the small programs of the mount tests: a failed one prints where and why and ends the
 * program with 1. Included by one .c file per program.
 */
#ifndef TERRACE_TESTS_MOUNT_CHECK_H
#define TERRACE_TESTS_MOUNT_CHECK_H

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__attribute__((noreturn, format(printf, 3, 4))) static inline void
check_failed(const char *file, int line, const char *format, ...)
{
	int saved = errno;
	va_list args;

	fprintf(stderr, "%s:%d: ", file, line);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, " (errno %d: %s)\n", saved, strerror(saved));
	exit(1);
}

#define CHECK(condition)                                                              \
	do {                                                                          \
		if (!(condition))                                                     \
			check_failed(__FILE__, __LINE__, "not true: %s", #condition); \
	} while (0)

/* The call must fail with just this errno. */
#define CHECK_ERRNO(call, expected)                                                          \
	do {                                                                                 \
		errno = 0;                                                                   \
		if ((call) != -1)                                                            \
			check_failed(__FILE__, __LINE__, "did not fail: %s", #call);         \
		if (errno != (expected))                                                     \
			check_failed(__FILE__, __LINE__, "%s: wanted %s", #call, #expected); \
	} while (0)

#endif
