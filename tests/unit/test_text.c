// SPDX-License-Identifier: Apache-2.0
/* Tables and JSON as the commands print them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "fs/text.h"

static void test_columns(void **state)
{
	struct table *table = table_new("lrl");
	char *text;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	(void)state;
	table_row(table, "Tier", "Used", "Path", NULL);
	table_row(table, "archive", "5", "/a", NULL);
	table_row(table, "x", "1234567", "/of two\nlines", NULL);
	assert_true(table_print_to(table, out));
	fclose(out);
	assert_string_equal(text, "Tier        Used  Path\n"
				  "archive        5  /a\n"
				  "x        1234567  /of two\\nlines\n");
	free(text);
}

static double seconds_for(unsigned rows)
{
	struct table *table = table_new("lrrlll");
	FILE *out = fopen("/dev/null", "w");
	clock_t begin = clock();

	for (unsigned i = 0; i < rows; i++)
		table_row(table, "ssd", "131072", "128K", "-", "checksum", "/a/file", NULL);
	assert_true(table_print_to(table, out));
	fclose(out);
	return (double)(clock() - begin) / CLOCKS_PER_SEC;
}

/* The damage of a whole disk is a long list: twenty times the rows, not 400 times the work. */
static void test_long(void **state)
{
	double few = seconds_for(1000), many = seconds_for(20000);

	(void)state;
	assert_true(many < 100 * few + 0.5);
}

/* Times since 1970 and bytes a second keep their digits. */
static void test_numbers(void **state)
{
	FILE *file = tmpfile();
	int before = dup(STDOUT_FILENO);
	char text[128] = "";

	(void)state;
	fflush(stdout);
	dup2(fileno(file), STDOUT_FILENO);
	assert_true(
		json_print(json_pack("{s:f,s:f}", "created", 1795279512.25, "bytes", 4118762.5)));
	fflush(stdout);
	dup2(before, STDOUT_FILENO);
	close(before);
	rewind(file);
	assert_non_null(fgets(text, sizeof(text), file));
	fclose(file);
	assert_string_equal(text, "{\"created\":1795279512.25,\"bytes\":4118762.5}\n");
}

static void check_name(const char *name, const char *as)
{
	json_t *json = json_name(name);
	char *again = json_name_get(json);

	assert_string_equal(json_string_value(json), as);
	assert_string_equal(again, name);
	free(again);
	json_decref(json);
}

/* A name that is not UTF-8 comes back from JSON byte for byte; one that is stays as it is, but for
 * the characters that stand for bytes. */
static void test_names(void **state)
{
	char all[256];

	(void)state;
	check_name("", "");
	check_name("gr\xc3\xbc\xc3\x9f \\ \n \xf0\x9f\x98\x80",
		   "gr\xc3\xbc\xc3\x9f \\ \n \xf0\x9f\x98\x80");
	check_name("\xff", "\xee\xbf\xbf");				      /* U+EFFF */
	check_name("a\x80z", "a\xee\xbe\x80z");				      /* U+EF80 */
	check_name("\xee\xbe\x80", "\xee\xbf\xae\xee\xbe\xbe\xee\xbe\x80");   /* ... itself */
	check_name("\xee\xbd\xbf \xef\x80\x80", "\xee\xbd\xbf \xef\x80\x80"); /* its neighbours */
	check_name("\xe2\x82", "\xee\xbf\xa2\xee\xbe\x82");		      /* cut off */
	for (unsigned i = 0; i < 255; i++)
		all[i] = (char)(i + 1);
	all[255] = '\0';
	for (unsigned i = 0; i < 255; i++) {
		json_t *json = json_name(all + i);
		char *again = json_name_get(json);

		assert_string_equal(again, all + i);
		free(again);
		json_decref(json);
	}
	assert_null(json_name_get(NULL));
	assert_null(json_name_get(json_null()));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_columns),
		cmocka_unit_test(test_long),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
