// SPDX-License-Identifier: Apache-2.0
/*
 * rename(2): every kind of thing onto every kind, within a folder and across, link counts, "..",
 * flags, and what stays open meanwhile.
 */
#include <linux/fs.h>

#include "posix.h"

enum kind { NOTHING, FILE_, EMPTY, FULL, SOFT, FIFO, KINDS };

static void make(enum kind kind, const char *name)
{
	char below[64];

	snprintf(below, sizeof(below), "%s/below", name);
	switch (kind) {
	case FILE_:
		make_file(name, name, 0644);
		break;
	case EMPTY:
	case FULL:
		CHECK(mkdir(name, 0755) == 0);
		if (kind == FULL)
			make_file(below, "x", 0644);
		break;
	case SOFT:
		CHECK(symlink("target", name) == 0);
		break;
	case FIFO:
		CHECK(mkfifo(name, 0644) == 0);
		break;
	default:
		break;
	}
}

static void clear(const char *name)
{
	char below[64];

	snprintf(below, sizeof(below), "%s/below", name);
	unlink(below);
	if (unlink(name) != 0)
		rmdir(name);
	CHECK(access(name, F_OK) == -1 && errno == ENOENT);
}

static bool is_folder(enum kind kind)
{
	return kind == EMPTY || kind == FULL;
}

static int expected(enum kind from, enum kind to, unsigned flags)
{
	if (from == NOTHING)
		return ENOENT;
	if (flags == RENAME_EXCHANGE)
		return to == NOTHING ? ENOENT : 0;
	if (to == NOTHING)
		return 0;
	if (flags == RENAME_NOREPLACE)
		return EEXIST;
	if (is_folder(from) != is_folder(to))
		return is_folder(from) ? ENOTDIR : EISDIR;
	return to == FULL ? ENOTEMPTY : 0;
}

static unsigned long links(const char *folder)
{
	return (unsigned long)stat_of(folder).st_nlink;
}

static void one(enum kind from, enum kind to, const char *a, const char *b, unsigned flags)
{
	int wanted = expected(from, to, flags), r;
	ino_t ino_a = 0, ino_b = 0;
	unsigned long folders;

	make(from, a);
	make(to, b);
	if (from != NOTHING)
		ino_a = stat_of(a).st_ino;
	if (to != NOTHING)
		ino_b = stat_of(b).st_ino;
	folders = links("d") + links("e");
	r = renameat2(AT_FDCWD, a, AT_FDCWD, b, flags);
	if ((r == 0 ? 0 : errno) != wanted && !(wanted == ENOTEMPTY && r != 0 && errno == EEXIST))
		check_failed(__FILE__, __LINE__, "kind %d %s onto kind %d %s, flags %u: %d wanted",
			     from, a, to, b, flags, wanted);
	if (wanted == 0 && flags == RENAME_EXCHANGE) {
		CHECK(stat_of(a).st_ino == ino_b && stat_of(b).st_ino == ino_a);
	} else if (wanted == 0) {
		CHECK(access(a, F_OK) == -1 && stat_of(b).st_ino == ino_a);
		folders -= is_folder(to) ? 1 : 0;
	} else {
		CHECK(from == NOTHING || stat_of(a).st_ino == ino_a);
		CHECK(to == NOTHING || stat_of(b).st_ino == ino_b);
	}
	CHECK(links("d") + links("e") == folders);
	clear(a);
	clear(b);
	CHECK(links("d") == 2 && links("e") == 2);
}

static void case_matrix(void)
{
	static const unsigned flags[] = {0, RENAME_NOREPLACE, RENAME_EXCHANGE};

	CHECK(mkdir("d", 0755) == 0 && mkdir("e", 0755) == 0);
	for (size_t f = 0; f < 3; f++)
		for (int from = NOTHING; from < KINDS; from++)
			for (int to = NOTHING; to < KINDS; to++) {
				one((enum kind)from, (enum kind)to, "d/a", "d/b", flags[f]);
				one((enum kind)from, (enum kind)to, "d/a", "e/b", flags[f]);
			}
}

static void case_paths(void)
{
	char name[258];

	CHECK(mkdir("d", 0755) == 0 && mkdir("d/e", 0755) == 0 && mkdir("d/e/f", 0755) == 0);
	make_file("file", "x", 0644);
	CHECK_ERRNO(rename("d", "d/e"), EINVAL);
	CHECK_ERRNO(rename("d", "d/e/f/g"), EINVAL);
	CHECK_ERRNO(rename("d/e", "d"), ENOTEMPTY);
	CHECK_ERRNO(renameat2(AT_FDCWD, "d", AT_FDCWD, "d/e", RENAME_EXCHANGE), EINVAL);
	CHECK_ERRNO(renameat2(AT_FDCWD, "d/e", AT_FDCWD, "d", RENAME_EXCHANGE), EINVAL);
	CHECK_ERRNO(rename("d/.", "x"), EBUSY);
	CHECK_ERRNO(rename("d/e/..", "x"), EBUSY);
	CHECK_ERRNO(rename("file", "d/."), EBUSY);
	CHECK_ERRNO(rename("file/x", "y"), ENOTDIR);
	CHECK_ERRNO(rename("file", "file/y"), ENOTDIR);
	CHECK_ERRNO(rename("missing/x", "y"), ENOENT);
	CHECK_ERRNO(rename("file", "missing/y"), ENOENT);
	CHECK_ERRNO(rename("file", ""), ENOENT);
	CHECK_ERRNO(rename("", "x"), ENOENT);
	CHECK_ERRNO(rename("file", "newname/"), ENOTDIR);
	CHECK(rename("d/e/f", "d/e/h/") == 0);
	memset(name, 'n', sizeof(name));
	name[256] = '\0';
	CHECK_ERRNO(rename("file", name), ENAMETOOLONG);
	CHECK_ERRNO(rename(name, "file"), ENAMETOOLONG);
	name[255] = '\0';
	CHECK(rename("file", name) == 0 && rename(name, "file") == 0);
	CHECK_ERRNO(renameat2(AT_FDCWD, "file", AT_FDCWD, "x", 1u << 7), EINVAL);
	CHECK_ERRNO(rename("file", "/proc/x"), EXDEV);
}

/* ".." and link counts follow a folder; a cwd in it goes along. */
static void case_folders(void)
{
	ino_t e;

	CHECK(mkdir("d", 0755) == 0 && mkdir("e", 0755) == 0 && mkdir("d/sub", 0755) == 0);
	CHECK(mkdir("d/sub/in", 0755) == 0);
	e = stat_of("e").st_ino;
	CHECK(chdir("d/sub/in") == 0);
	CHECK(rename("../../../d/sub", "../../../e/moved") == 0);
	CHECK(stat_of("../..").st_ino == e &&
	      stat_of("../../moved").st_ino == stat_of("..").st_ino);
	CHECK(chdir("../../..") == 0);
	CHECK(links("d") == 2 && links("e") == 3 && links("e/moved") == 3);
	CHECK(mkdir("d/x", 0755) == 0 && mkdir("d/x/y", 0755) == 0);
	CHECK(renameat2(AT_FDCWD, "d/x", AT_FDCWD, "e/moved", RENAME_EXCHANGE) == 0);
	CHECK(stat_of("d/x/..").st_ino == stat_of("d").st_ino);
	CHECK(stat_of("e/moved/..").st_ino == e);
	CHECK(access("d/x/in", F_OK) == 0 && access("e/moved/y", F_OK) == 0);
	make_file("d/plain", "x", 0644);
	CHECK(renameat2(AT_FDCWD, "d/plain", AT_FDCWD, "e/moved", RENAME_EXCHANGE) == 0);
	CHECK(links("e") == 2 && links("d") == 4);
}

static void case_replaced(void)
{
	struct stat st;
	int old, fd;

	make_file("a", "aaa", 0644);
	make_file("b", "b", 0644);
	CHECK(link("b", "b2") == 0);
	old = open("b", O_RDWR);
	CHECK(old >= 0 && rename("a", "b") == 0);
	CHECK(fstat(old, &st) == 0 && st.st_nlink == 1 && st.st_size == 1);
	CHECK(unlink("b2") == 0 && fstat(old, &st) == 0 && st.st_nlink == 0);
	CHECK(write(old, "more", 4) == 4 && fstat(old, &st) == 0 && st.st_size == 4);
	CHECK(close(old) == 0 && stat_of("b").st_size == 3);
	/* two names of one file: nothing happens, and both stay */
	CHECK(link("b", "same") == 0 && rename("b", "same") == 0 && stat_of("b").st_nlink == 2);
	CHECK(renameat2(AT_FDCWD, "b", AT_FDCWD, "same", RENAME_EXCHANGE) == 0);
	CHECK_ERRNO(renameat2(AT_FDCWD, "b", AT_FDCWD, "same", RENAME_NOREPLACE), EEXIST);
	/* an open folder that is replaced by another lives on, empty */
	CHECK(mkdir("d", 0755) == 0 && mkdir("e", 0755) == 0);
	fd = open("e", O_RDONLY | O_DIRECTORY);
	CHECK(fd >= 0 && rename("d", "e") == 0);
	CHECK(fstat(fd, &st) == 0 && st.st_nlink == 0);
	CHECK_ERRNO(openat(fd, "x", O_CREAT | O_WRONLY, 0644), ENOENT);
	CHECK_ERRNO(mkdirat(fd, "x", 0755), ENOENT);
	close(fd);
}

/* Renames over one name by several processes: it is there at every moment, and whole. */
static void case_race(void)
{
	char text[48], name[32];
	int status;

	make_file("target", "from nobody", 0644);
	for (int who = 0; who < 3; who++) {
		pid_t child = fork();

		CHECK(child >= 0);
		if (child != 0)
			continue;
		for (int i = 0; i < 200; i++) {
			snprintf(name, sizeof(name), "new-%d", who);
			snprintf(text, sizeof(text), "from %d number %d", who, i);
			make_file(name, text, 0644);
			CHECK(rename(name, "target") == 0);
		}
		_exit(0);
	}
	for (int i = 0; i < 600; i++) {
		char buf[32] = {0};
		int fd = open("target", O_RDONLY);

		CHECK(fd >= 0 && read(fd, buf, sizeof(buf) - 1) >= 10);
		CHECK(strncmp(buf, "from ", 5) == 0);
		close(fd);
	}
	for (int who = 0; who < 3; who++)
		CHECK(wait(&status) > 0 && status == 0);
	CHECK(stat_of("target").st_nlink == 1);
}

static const struct posix_case cases[] = {
	{"matrix", case_matrix},     {"paths", case_paths}, {"folders", case_folders},
	{"replaced", case_replaced}, {"race", case_race},
};

POSIX_MAIN(cases)
