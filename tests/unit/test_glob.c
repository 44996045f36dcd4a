// SPDX-License-Identifier: Apache-2.0
/* Patterns of rules: what each means, and random ones against a slow matcher that tries everything.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tiers/glob.h"

static void test_meaning(void **state)
{
	static const struct {
		const char *pattern, *path;
		bool fits;
	} cases[] = {
		{"/a", "/a", true},
		{"/a", "/a/b", false},
		{"/a", "/b/a", false},
		{"a", "/a", true},
		{"a", "/x/y/a", true},
		{"a", "/xa", false},
		{"*.jpg", "/deep/down/in/x.jpg", true},
		{"*.jpg", "/x.jpg/readme", false},
		{"/*.jpg", "/x.jpg", true},
		{"/*.jpg", "/in/x.jpg", false},
		{"/photos/", "/photos/2020/x.jpg", true},
		{"/photos/", "/photos", false},
		{"/photos/**", "/photos/a/b", true},
		{"/photos/**", "/photosx/a", false},
		{"/photos/*", "/photos/a", true},
		{"/photos/*", "/photos/a/b", false},
		{"/a/**/b", "/a/b", true},
		{"/a/**/b", "/a/x/y/b", true},
		{"/a/**/b", "/a/xb", false},
		{"/a/**/b/**/c", "/a/b/x/b/c", true},
		{"cache/", "/home/me/cache/x/y", true},
		{"cache/*", "/home/me/cache/x/y", false},
		{"**", "/a/b", true},
		{"/**", "/a", true},
		{"a**b", "/xa/a/cb", true},
		{"?.c", "/x.c", true},
		{"?.c", "/xy.c", false},
		{"a?b", "/a/b", false},
		{"?", "/\xc3\xa4", true}, /* one character of two bytes */
		{"?", "/\xc3", true},	  /* a byte that is none */
		{"??", "/\xc3\xa4", false},
		{"[a-c]x", "/bx", true},
		{"[a-c]x", "/dx", false},
		{"[!a-c]x", "/dx", true},
		{"[^a-c]x", "/ax", false},
		{"[]a]", "/]", true},
		{"[a-]", "/-", true},
		{"[\xc3\xa0-\xc3\xbc]", "/\xc3\xa4", true},
		{"a[!b]c", "/a/c", false},
		{"[*]", "/*", true},
		{"\\*", "/*", true},
		{"\\*", "/x", false},
		{"a b", "/a b", true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_null(glob_fault(cases[i].pattern));
		if (glob_match(cases[i].pattern, cases[i].path) != cases[i].fits)
			fail_msg("%s on %s should be %d", cases[i].pattern, cases[i].path,
				 cases[i].fits);
	}
}

static void test_faults(void **state)
{
	static const char *const wrong[] = {"",	    "[",  "[]",	  "[!]",   "[a",   "a\\",
					    "[a\\", "//", "a//b", "[a/b]", "a\nb", "[\\]"};
	char text[1100];

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		if (!glob_fault(wrong[i]))
			fail_msg("'%s' should be wrong", wrong[i]);
	memset(text, 'x', 1025);
	text[1025] = '\0';
	assert_non_null(glob_fault(text));
	text[1024] = '\0';
	assert_null(glob_fault(text));
	assert_false(glob_match(text, "/x"));
}

/* Tries every way; patterns here have no classes and no escapes. */
static bool slow(const char *start, const char *p, const char *t)
{
	if (!*p)
		return !*t;
	if (p[0] == '*' && p[1] == '*') {
		const char *rest = p + strspn(p, "*");

		if (*rest == '/' && p > start && p[-1] == '/') {
			if (slow(start, rest + 1, t))
				return true;
			for (; *t; t++)
				if (*t == '/' && slow(start, rest + 1, t + 1))
					return true;
			return false;
		}
		for (;; t++) {
			if (slow(start, rest, t))
				return true;
			if (!*t)
				return false;
		}
	}
	if (*p == '*') {
		for (;; t++) {
			if (slow(start, p + 1, t))
				return true;
			if (!*t || *t == '/')
				return false;
		}
	}
	return *t && (*p == '?' ? *t != '/' : *p == *t) && slow(start, p + 1, t + 1);
}

static void random_text(char *buf, size_t len, const char *from, size_t n)
{
	for (size_t i = 0; i < len; i++)
		buf[i] = from[(size_t)random() % n];
	buf[len] = '\0';
}

static void test_against_slow(void **state)
{
	char pattern[16] = "/", path[16] = "/";
	unsigned fits = 0;

	(void)state;
	srandom(7);
	for (unsigned i = 0; i < 200000; i++) {
		bool want;

		random_text(pattern + 1, 1 + (size_t)random() % 9, "ab/**?*", 7);
		random_text(path + 1, 1 + (size_t)random() % 10, "aab/", 4);
		if (glob_fault(pattern) || strstr(path, "//") || path[strlen(path) - 1] == '/' ||
		    pattern[strlen(pattern) - 1] == '/')
			continue;
		want = slow(pattern, pattern, path);
		fits += want;
		if (glob_match(pattern, path) != want)
			fail_msg("%s on %s should be %d", pattern, path, want);
	}
	assert_true(fits > 1000);
}

/* Stars that match almost everything must not try everything. */
static void test_time(void **state)
{
	char pattern[1000], path[4096];

	(void)state;
	pattern[0] = '\0';
	for (unsigned i = 0; i < 300; i++)
		strcat(pattern, i % 3 ? "*a" : "**a");
	strcat(pattern, "b");
	memset(path, 'a', sizeof(path));
	path[0] = '/';
	for (unsigned i = 200; i < sizeof(path); i += 200)
		path[i] = '/';
	path[sizeof(path) - 1] = '\0';
	assert_false(glob_match(pattern, path));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_meaning),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_against_slow),
		cmocka_unit_test(test_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
