/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the posix_*.c programs share: small files, other users, and the table of cases.
 *
 *   posix_SUBJECT CASE FOLDER    runs a case in an empty folder; 0, or 1 and where it failed
 *   posix_SUBJECT list           names the cases
 *
 * A case needs nothing but its folder, so it can be tried on any other filesystem: what fails there
 * is a mistake of the test. Included by one .c file per program.
 */
#ifndef TERRACE_TESTS_MOUNT_POSIX_H
#define TERRACE_TESTS_MOUNT_POSIX_H

#include <fcntl.h>
#include <grp.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

#define USER_A	1001u /* no such users need to exist */
#define USER_B	1002u
#define GROUP_A 2001u
#define GROUP_B 2002u

struct posix_case {
	const char *name;
	void (*run)(void);
};

static inline void make_file(const char *name, const char *text, mode_t mode)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_EXCL, 0600);

	CHECK(fd >= 0);
	CHECK(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	CHECK(fchmod(fd, mode) == 0);
	CHECK(close(fd) == 0);
}

static inline struct stat stat_of(const char *name)
{
	struct stat st;

	if (lstat(name, &st) != 0)
		check_failed(__FILE__, __LINE__, "lstat %s", name);
	return st;
}

static inline unsigned mode_of(const char *name)
{
	return stat_of(name).st_mode & 07777u;
}

/* Runs in a child with this user, group and one more group (0: none). What the child checks counts
 * as checked here. */
static inline void as_user(uid_t uid, gid_t gid, gid_t more, void (*run)(void))
{
	pid_t child = fork();
	int status;

	CHECK(child >= 0);
	if (child == 0) {
		CHECK(setgroups(more ? 1 : 0, &more) == 0);
		CHECK(setresgid(gid, gid, gid) == 0);
		CHECK(setresuid(uid, uid, uid) == 0);
		run();
		_exit(0);
	}
	CHECK(waitpid(child, &status, 0) == child);
	if (status != 0)
		exit(1); /* it has said why */
}

static inline int posix_main(int argc, char **argv, const struct posix_case *cases, size_t count)
{
	if (argc == 2 && !strcmp(argv[1], "list")) {
		for (size_t i = 0; i < count; i++)
			puts(cases[i].name);
		return 0;
	}
	if (argc != 3 || chdir(argv[2]) != 0) {
		fprintf(stderr, "usage: %s CASE FOLDER | list\n", argv[0]);
		return 2;
	}
	umask(022);
	for (size_t i = 0; i < count; i++)
		if (!strcmp(cases[i].name, argv[1])) {
			cases[i].run();
			return 0;
		}
	fprintf(stderr, "%s: no case %s\n", argv[0], argv[1]);
	return 2;
}

#define POSIX_MAIN(cases)                                                               \
	int main(int argc, char **argv)                                                 \
	{                                                                               \
		return posix_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0])); \
	}

#endif
