/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Children that end with _exit() take the counts of the lines they ran with them. In a build for
 * coverage (tests/coverage.sh) an _exit() of the program's own writes them first.
 *
 * Included by the one .c file of a test program (it defines _exit).
 */
#ifndef TERRACE_TESTS_FIX_CHILDREN_H
#define TERRACE_TESTS_FIX_CHILDREN_H

#ifdef TERRACE_COVERAGE
#include <sys/syscall.h>
#include <unistd.h>

void __gcov_dump(void);

void _exit(int status)
{
	__gcov_dump();
	for (;;)
		syscall(SYS_exit_group, status);
}
#endif

#endif
