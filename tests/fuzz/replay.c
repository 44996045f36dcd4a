// SPDX-License-Identifier: Apache-2.0
/*
 * A fuzz target without libFuzzer: runs the inputs in the files and folders that are named, once
 * each. So every build has the targets, with its own warnings and sanitizers, and every input that
 * has once found something is tried again by the unit tests.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void run_file(const char *path)
{
	uint8_t *data = malloc(1 << 20);
	FILE *file = fopen(path, "re");
	size_t size = file && data ? fread(data, 1, 1 << 20, file) : 0;

	if (!file || !data || ferror(file)) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		exit(2);
	}
	fclose(file);
	data = realloc(data, size ? size : 1); /* of that size, for ASan */
	(void)LLVMFuzzerTestOneInput(data, size);
	free(data);
}

static unsigned run_folder(const char *path)
{
	struct dirent **names;
	int n = scandir(path, &names, NULL, alphasort);
	unsigned ran = 0;

	for (int i = 0; i < n; i++) {
		char inside[4096];

		snprintf(inside, sizeof(inside), "%s/%s", path, names[i]->d_name);
		if (names[i]->d_name[0] != '.') {
			run_file(inside);
			ran++;
		}
		free(names[i]);
	}
	if (n >= 0)
		free(names);
	return ran;
}

int main(int argc, char **argv)
{
	unsigned ran = 0;

	for (int i = 1; i < argc; i++) {
		unsigned below = run_folder(argv[i]);

		if (!below) {
			run_file(argv[i]);
			below = 1;
		}
		ran += below;
	}
	printf("%u inputs\n", ran);
	return ran ? 0 : 2;
}
