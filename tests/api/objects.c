// SPDX-License-Identifier: Apache-2.0
/*
 * A program that knows libterrace by its installed header alone; it is C, and C++ too.
 *
 *	objects POOL put PATH TEXT | sync PATH TEXT | get PATH | delete PATH
 *	objects POOL die PATH TEXT     puts, and dies at once
 *	objects POOL hold              opens, prints a line, waits for its input to end
 */
#include <terrace.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <sys/types.h>
#include <unistd.h>

static int put(struct terrace *pool, const char *path, const char *text, unsigned flags)
{
	uint64_t id;
	int error = terrace_put(pool, path, text, strlen(text), TERRACE_FOLDERS | flags, &id);

	if (!error)
		printf("%llu\n", (unsigned long long)id);
	fflush(stdout);
	return error;
}

static int get(struct terrace *pool, const char *path)
{
	struct terrace_info info;
	char buf[4096];
	size_t got;
	int error = terrace_find(pool, path, &info);

	if (!error)
		error = terrace_get(pool, info.id, buf, sizeof(buf), 0, &got);
	if (!error)
		fwrite(buf, 1, got, stdout);
	return error;
}

static int run(struct terrace *pool, int argc, char **argv)
{
	const char *verb = argv[2], *path = argc > 3 ? argv[3] : "",
		   *text = argc > 4 ? argv[4] : "";

	if (!strcmp(verb, "put"))
		return put(pool, path, text, 0);
	if (!strcmp(verb, "sync"))
		return put(pool, path, text, TERRACE_SYNC);
	if (!strcmp(verb, "get"))
		return get(pool, path);
	if (!strcmp(verb, "delete"))
		return terrace_delete(pool, path, 0);
	if (!strcmp(verb, "die")) {
		if (put(pool, path, text, 0))
			return -1;
		kill(getpid(), SIGKILL);
	}
	puts("open");
	fflush(stdout);
	while (getchar() != EOF)
		;
	return 0;
}

int main(int argc, char **argv)
{
	struct terrace *pool;
	int error;

	if (argc < 3 || terrace_version() != TERRACE_API_VERSION)
		return 2;
	error = terrace_open(argv[1], NULL, &pool);
	if (error) {
		fprintf(stderr, "%s: %s\n", argv[1], strerror(-error));
		return 75;
	}
	error = run(pool, argc, argv);
	if (error)
		fprintf(stderr, "%s: %s\n", argv[2], strerror(-error));
	return terrace_close(pool) || error ? 1 : 0;
}
