// SPDX-License-Identifier: Apache-2.0
/* Where log lines go, which of them, and what is said of a file that cannot be opened. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/unit/fix_dir.h"
#include "tiers/log.h"

static struct {
	char ident[32], line[256];
	int facility, priority;
	unsigned lines;
} sys;

/* In front of libc's. */
void openlog(const char *ident, int option, int facility)
{
	(void)option;
	snprintf(sys.ident, sizeof(sys.ident), "%s", ident);
	sys.facility = facility;
}

void syslog(int priority, const char *format, ...)
{
	va_list args;

	sys.priority = priority;
	sys.lines++;
	va_start(args, format);
	vsnprintf(sys.line, sizeof(sys.line), format, args);
	va_end(args);
}

/* What say() prints to stderr. */
static const char *printed(void (*say)(void))
{
	static char text[512];
	int ends[2], err = dup(STDERR_FILENO);
	ssize_t n;

	assert_int_equal(pipe(ends), 0);
	fflush(stderr);
	dup2(ends[1], STDERR_FILENO);
	say();
	fflush(stderr);
	dup2(err, STDERR_FILENO);
	close(err);
	close(ends[1]);
	n = read(ends[0], text, sizeof(text) - 1);
	assert_true(n >= 0);
	text[n] = '\0';
	close(ends[0]);
	return text;
}

static void say_some(void)
{
	log_error("no \033[2J \\ of %s", "name\n");
	log_info("for who wants to know");
	log_debug("for who looks for something");
}

/* One line each, names escaped, nothing that is only for debugging. */
static void test_stderr(void **state)
{
	(void)state;
	assert_string_equal(printed(say_some), "terrace: no \\033[2J \\ of name\\n\n"
					       "terrace: for who wants to know\n");
}

static void say_levels(void)
{
	log_warning("warning");
	log_info("info");
	log_debug("debug");
}

/* No more than was asked for. */
static void test_levels(void **state)
{
	(void)state;
	log_level_set(LOG_LEVEL_DEBUG);
	assert_string_equal(printed(say_levels),
			    "terrace: warning\nterrace: info\nterrace: debug\n");
	log_level_set(LOG_LEVEL_ERROR);
	assert_string_equal(printed(say_levels), "");
	log_level_set(LOG_LEVEL_INFO);
}

/* Who may not is told what to do, others what it was; the caller goes on with the error. */
static void test_file_error(void **state)
{
	static const struct {
		int error;
		const char *line;
	} said[] = {
		{-EACCES, "/p/f: Permission denied: be the pool's owner or root, or give its files "
			  "to the owner (chown)\n"},
		{-EPERM, "/p/f: Operation not permitted: be the pool's owner or root, or give its "
			 "files to the owner (chown)\n"},
		{-EIO, "/p/f: Input/output error\n"},
		{-EBADMSG, "/p/f: damaged (checksum)\n"},
		{-EUCLEAN, "/p/f: damaged (structure)\n"},
	};

	(void)state;
	log_capture();
	for (unsigned i = 0; i < sizeof(said) / sizeof(said[0]); i++) {
		assert_int_equal(log_file_error("/p/f", said[i].error), said[i].error);
		assert_string_equal(log_captured(), said[i].line);
	}
	log_release();
}

/* A daemon's go to syslog, with what they are worth; the last test: there is no way back. */
static void test_syslog(void **state)
{
	static const int priorities[] = {LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG};

	(void)state;
	log_to_syslog("terracefs");
	assert_string_equal(sys.ident, "terracefs");
	assert_int_equal(sys.facility, LOG_DAEMON);
	log_level_set(LOG_LEVEL_DEBUG);
	for (int level = LOG_LEVEL_ERROR; level <= LOG_LEVEL_DEBUG; level++) {
		log_line((enum log_level)level, "100%% of %d\n", level);
		assert_int_equal(sys.priority, priorities[level]);
		assert_int_equal(sys.lines, level + 1);
	}
	assert_string_equal(sys.line, "100% of 3\\n");
	assert_string_equal(printed(say_levels), "");
	assert_int_equal(sys.lines, 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stderr),
		cmocka_unit_test(test_levels),
		cmocka_unit_test(test_file_error),
		cmocka_unit_test(test_syslog),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
