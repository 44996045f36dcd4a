// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "tiers/escape.h"
#include "tiers/log.h"

static void check(const char *text, const char *line, const char *name)
{
	char buf[256];

	assert_string_equal(escape_line(text, buf, sizeof(buf)), line);
	assert_string_equal(escape_name(text, buf, sizeof(buf)), name);
}

static void characters(void **state)
{
	(void)state;
	check("", "", "");
	check("plain name", "plain name", "plain name");
	check("a\nb\tc\r", "a\\nb\\tc\\r", "a\\nb\\tc\\r");
	check("\033[2J\177\001", "\\033[2J\\177\\001", "\\033[2J\\177\\001");
	check("a\\b", "a\\b", "a\\\\b");
	check("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80",
	      "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80",
	      "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80");
}

/* What some terminals take for UTF-8, or for a control character, all the same. */
static void not_characters(void **state)
{
	(void)state;
	check("\xc2\x9b", "\\302\\233", "\\302\\233"); /* U+009B: begins a sequence */
	check("\xff", "\\377", "\\377");
	check("\xc0\x8a", "\\300\\212", "\\300\\212");		     /* a newline in two bytes */
	check("\xe0\x80\x8a", "\\340\\200\\212", "\\340\\200\\212"); /* ... in three */
	check("\xed\xa0\x80", "\\355\\240\\200", "\\355\\240\\200"); /* half a pair */
	check("\xf4\x90\x80\x80", "\\364\\220\\200\\200", "\\364\\220\\200\\200");
	check("\xe2\x82", "\\342\\202", "\\342\\202"); /* cut off */
	check("\xc3"
	      "a",
	      "\\303a", "\\303a");
}

static void room(void **state)
{
	char buf[8];

	(void)state;
	assert_string_equal(escape_line("abcdefghij", buf, sizeof(buf)), "abcdefg");
	assert_string_equal(escape_line("abcd\033", buf, sizeof(buf)), "abcd");
	assert_string_equal(escape_line("abc\033", buf, sizeof(buf)), "abc\\033");
	assert_string_equal(escape_line("abcdef\xc3\xbc", buf, sizeof(buf)), "abcdef");
	assert_string_equal(escape_line("x", buf, 1), "");
}

static char seen[2048];

static void sink(void *arg, enum log_level level, const char *line)
{
	(void)arg;
	(void)level;
	strcpy(seen, line);
}

static void log_lines(void **state)
{
	(void)state;
	log_sink_set(sink, NULL);
	log_error("%s: damaged", "/evil\n\033[31mname");
	log_sink_set(NULL, NULL);
	assert_string_equal(seen, "/evil\\n\\033[31mname: damaged");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(characters),
		cmocka_unit_test(not_characters),
		cmocka_unit_test(room),
		cmocka_unit_test(log_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
