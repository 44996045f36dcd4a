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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_columns),
		cmocka_unit_test(test_long),
		cmocka_unit_test(test_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
