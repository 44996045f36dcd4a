/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The n-th allocation fails: a malloc() of the program's own in front of glibc's, so that the
 * libraries' allocations fail too. The sanitizers bring their own malloc; there ALLOC_FAULTS is
 * false and tests skip, and only there.
 *
 * Included by the one .c file of a test program (it defines malloc). One thread while armed.
 */
#ifndef TERRACE_TESTS_FIX_ALLOC_H
#define TERRACE_TESTS_FIX_ALLOC_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

static bool alloc_armed, alloc_persistent;
static unsigned long alloc_countdown; /* 1: the next allocation fails */
static unsigned long alloc_failed;
static long alloc_live; /* pieces allocated while armed, less those freed */

/* The nth allocation from now on fails, once or from then on. */
static inline void alloc_arm(unsigned long nth, bool persistent)
{
	alloc_countdown = nth;
	alloc_persistent = persistent;
	alloc_failed = 0;
	alloc_live = 0;
	alloc_armed = true;
}

/* How many have failed. */
static inline unsigned long alloc_disarm(void)
{
	alloc_armed = false;
	return alloc_failed;
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define ALLOC_FAULTS false
#else
#define ALLOC_FAULTS true

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *ptr, size_t size);
void __libc_free(void *ptr);

static bool fault_now(void)
{
	if (!alloc_armed || alloc_countdown == 0 || (alloc_countdown > 1 && alloc_countdown--))
		return false;
	alloc_countdown = alloc_persistent ? 1 : 0;
	alloc_failed++;
	errno = ENOMEM;
	return true;
}

static void *counted(void *ptr)
{
	alloc_live += alloc_armed && ptr;
	return ptr;
}

void *malloc(size_t size)
{
	return fault_now() ? NULL : counted(__libc_malloc(size));
}

void *calloc(size_t n, size_t size)
{
	return fault_now() ? NULL : counted(__libc_calloc(n, size));
}

void *realloc(void *ptr, size_t size)
{
	if (fault_now())
		return NULL;
	return ptr ? __libc_realloc(ptr, size) : counted(__libc_realloc(ptr, size));
}

void free(void *ptr)
{
	alloc_live -= alloc_armed && ptr;
	__libc_free(ptr);
}
#endif

#endif
