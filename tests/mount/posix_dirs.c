// SPDX-License-Identifier: Apache-2.0
/*
 * Folders: listings while they change, positions, depth, link counts. POSIX_ENTRIES sets the number
 * of names in the large one (default 5000).
 */
#include <dirent.h>

#include "posix.h"

static long entries(void)
{
	const char *given = getenv("POSIX_ENTRIES");

	return given ? atol(given) : 5000;
}

static void touch(const char *format, long i)
{
	char name[64];
	int fd;

	snprintf(name, sizeof(name), format, i);
	fd = open(name, O_WRONLY | O_CREAT, 0644);
	CHECK(fd >= 0);
	close(fd);
}

/* Every name that stands throughout is seen once, none twice, whatever is removed by reading. */
static void case_remove_all(void)
{
	long n = entries(), seen = 0;
	struct dirent *entry;
	DIR *dir;

	CHECK(mkdir("many", 0755) == 0 && chdir("many") == 0);
	for (long i = 0; i < n; i++)
		touch("name-%ld", i);
	dir = opendir(".");
	CHECK(dir != NULL);
	while ((errno = 0, entry = readdir(dir)) != NULL) {
		CHECK(entry->d_type == (entry->d_name[0] == '.' ? DT_DIR : DT_REG));
		if (entry->d_name[0] == '.')
			continue;
		CHECK(unlink(entry->d_name) == 0); /* ENOENT: named twice */
		seen++;
	}
	CHECK(errno == 0 && seen == n);
	closedir(dir);
	CHECK(chdir("..") == 0 && rmdir("many") == 0);
}

static void change_all(long n)
{
	char a[64], b[64];

	for (long i = 0; i < n; i++) {
		touch("comes-%ld", i);
		snprintf(a, sizeof(a), "goes-%ld", i);
		snprintf(b, sizeof(b), "went-%ld", i);
		CHECK(rename(a, b) == 0);
		snprintf(a, sizeof(a), "comes-%ld", i);
		CHECK(unlink(a) == 0);
	}
	_exit(0);
}

/* One process lists over and over while another makes, renames and removes. */
static void case_changing(void)
{
	long n = 1000, i;
	unsigned char *seen = malloc((size_t)n);
	struct dirent *entry;
	int status = 0;
	pid_t child;
	DIR *dir;

	for (i = 0; i < n; i++) {
		touch("stays-%ld", i);
		touch("goes-%ld", i);
	}
	child = fork();
	CHECK(child >= 0 && seen != NULL);
	if (child == 0)
		change_all(n);
	dir = opendir(".");
	CHECK(dir != NULL);
	do {
		memset(seen, 0, (size_t)n);
		rewinddir(dir);
		while ((errno = 0, entry = readdir(dir)) != NULL)
			if (sscanf(entry->d_name, "stays-%ld", &i) == 1)
				CHECK(i >= 0 && i < n && !seen[i]++);
		CHECK(errno == 0);
		for (i = 0; i < n; i++)
			CHECK(seen[i]);
	} while (waitpid(child, &status, WNOHANG) == 0);
	CHECK(status == 0);
	closedir(dir);
	free(seen);
}

static void case_seek(void)
{
	static char names[1000][32];
	static long where[1000];
	struct dirent *entry;
	int n = 0;
	DIR *dir;

	for (long i = 0; i < 900; i++)
		touch("name-%ld", i);
	dir = opendir(".");
	CHECK(dir != NULL);
	for (where[0] = telldir(dir); (entry = readdir(dir)) != NULL; where[n] = telldir(dir)) {
		CHECK(n < 902);
		CHECK(strlen(entry->d_name) < sizeof(names[0]));
		strcpy(names[n++], entry->d_name);
	}
	CHECK(n == 902);
	for (int i = 0; i < n; i += 2) /* a position holds though names before it go */
		if (names[i][0] != '.')
			CHECK(unlink(names[i]) == 0);
	for (int i = n - 1; i > 0; i -= 2) {
		if (names[i][0] == '.')
			continue;
		seekdir(dir, where[i]);
		entry = readdir(dir);
		CHECK(entry != NULL && strcmp(entry->d_name, names[i]) == 0);
	}
	seekdir(dir, where[n]);
	CHECK(readdir(dir) == NULL);
	rewinddir(dir); /* shows what has come meanwhile */
	touch("new", 0);
	for (n = 0; (entry = readdir(dir)) != NULL;)
		n += strcmp(entry->d_name, "new") == 0;
	CHECK(n == 1);
	closedir(dir);
}

static void case_deep(void)
{
	char name[256];
	int depth = 0;
	struct stat st;

	memset(name, 'd', sizeof(name));
	name[255] = '\0';
	for (; depth < 60; depth++) /* 15 KiB of path: more than PATH_MAX */
		CHECK(mkdir(name, 0755) == 0 && chdir(name) == 0);
	touch("file", 0);
	CHECK(stat("file", &st) == 0 && unlink("file") == 0);
	for (; depth; depth--)
		CHECK(chdir("..") == 0 && rmdir(name) == 0);
	for (; depth < 1000; depth++)
		CHECK(mkdir("x", 0755) == 0 && chdir("x") == 0);
	for (; depth; depth--)
		CHECK(chdir("..") == 0 && rmdir("x") == 0);
}

static void case_links(void)
{
	char name[16];

	CHECK(mkdir("d", 0755) == 0 && stat_of("d").st_nlink == 2);
	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "d/%d", i);
		CHECK(mkdir(name, 0755) == 0);
	}
	CHECK(stat_of("d").st_nlink == 302 && stat_of("d/7/..").st_nlink == 302);
	CHECK(symlink("x", "d/soft") == 0 && mkfifo("d/fifo", 0600) == 0);
	CHECK(stat_of("d").st_nlink == 302); /* folders only */
	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "d/%d", i);
		CHECK(rmdir(name) == 0);
	}
	CHECK(stat_of("d").st_nlink == 2);
	CHECK(stat_of("d").st_ino == stat_of("d/.").st_ino);
	CHECK(stat_of("d/..").st_ino == stat_of(".").st_ino);
}

/* d_ino and d_type are those of stat(2). */
static void case_types(void)
{
	static const mode_t types[] = {S_IFREG, S_IFIFO, S_IFSOCK};
	struct dirent *entry;
	int n = 0;
	DIR *dir;

	for (size_t i = 0; i < 3; i++) {
		char name[16];

		snprintf(name, sizeof(name), "node-%zu", i);
		CHECK(mknod(name, types[i] | 0644, 0) == 0);
	}
	CHECK(symlink("x", "soft") == 0 && mkdir("folder", 0755) == 0 &&
	      mknod("dev", S_IFCHR | 0600, 259) == 0);
	dir = opendir(".");
	for (; (entry = readdir(dir)) != NULL; n++) {
		struct stat st = stat_of(entry->d_name);

		if (strcmp(entry->d_name, "..") != 0)
			CHECK(entry->d_ino == st.st_ino);
		CHECK((mode_t)DTTOIF(entry->d_type) == (st.st_mode & S_IFMT));
	}
	CHECK(n == 8);
	closedir(dir);
}

/* A folder that was removed while it was open reads as empty. */
static void case_removed(void)
{
	DIR *dir;

	CHECK(mkdir("d", 0755) == 0);
	dir = opendir("d");
	CHECK(dir != NULL && rmdir("d") == 0);
	while (readdir(dir) != NULL)
		continue;
	rewinddir(dir);
	CHECK(readdir(dir) == NULL);
	closedir(dir);
}

static const struct posix_case cases[] = {
	{"remove_all", case_remove_all},
	{"changing", case_changing},
	{"seek", case_seek},
	{"deep", case_deep},
	{"links", case_links},
	{"types", case_types},
	{"removed", case_removed},
};

POSIX_MAIN(cases)
