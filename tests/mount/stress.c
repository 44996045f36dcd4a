// SPDX-License-Identifier: Apache-2.0
/*
 * Random changes of names and attributes by several processes in one tree, then a check of the
 * tree.
 *
 *   stress FOLDER SECONDS [SEED]
 *
 * Any call may fail with an errno that a race explains, with no other. At the end: folders' link
 * counts are those of their subfolders, files' are those of their names, each name can be looked
 * up, and the content of each file is whole: as many bytes as its first line says.
 */
#include <dirent.h>
#include <linux/fs.h>
#include <search.h>
#include <sys/xattr.h>
#include <time.h>

#include "posix.h"

#define WORKERS 4
#define NAMES	12u

static uint64_t state;

static size_t draw(size_t below)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (size_t)((state >> 11) % below);
}

/* A path of one to three parts out of few names, so that processes meet. */
static const char *some(char path[64])
{
	size_t n = 1 + draw(3), len = 0;

	for (size_t i = 0; i < n; i++)
		len += (size_t)snprintf(path + len, 64 - len, "%s%c", i ? "/" : "",
					(char)('a' + draw(NAMES)));
	return path;
}

static bool is_race(int error)
{
	static const int races[] = {ENOENT, EEXIST, ENOTDIR, EISDIR, ENOTEMPTY, EINVAL,
				    EPERM,  ELOOP,  ENODATA, EBUSY,  ESTALE,	EOPNOTSUPP};

	for (size_t i = 0; i < sizeof(races) / sizeof(races[0]); i++)
		if (error == races[i])
			return true;
	return false;
}

/* A whole file under a name of its own, then renamed: nobody sees half of one. */
static int write_file(const char *path)
{
	static char buf[70000];
	char temp[32];
	size_t len = 20 + draw(draw(4) ? 300 : sizeof(buf) - 20);
	int fd, r;

	memset(buf, 'x', len);
	snprintf(buf, sizeof(buf), "%zu\n", len);
	snprintf(temp, sizeof(temp), "new-%d", (int)getpid());
	fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	CHECK(fd >= 0 && write(fd, buf, len) == (ssize_t)len);
	if (!draw(10))
		CHECK(fsync(fd) == 0);
	close(fd);
	r = rename(temp, path);
	if (r != 0) {
		int saved = errno;

		unlink(temp);
		errno = saved;
	}
	return r;
}

static int list(const char *path)
{
	struct dirent *entry;
	char below[400];
	struct stat st;
	DIR *dir = opendir(path);

	if (!dir)
		return -1;
	while ((errno = 0, entry = readdir(dir)) != NULL) {
		snprintf(below, sizeof(below), "%s/%s", path, entry->d_name);
		if (lstat(below, &st) != 0)
			CHECK(is_race(errno));
	}
	CHECK(errno == 0 || errno == ENOENT || errno == ESTALE);
	closedir(dir);
	return 0;
}

static int read_file(const char *path)
{
	char buf[64] = {0};
	struct stat st;
	int fd = open(path, O_RDONLY | O_NONBLOCK), r = 0;

	if (fd < 0)
		return -1;
	CHECK(fstat(fd, &st) == 0);
	if (S_ISREG(st.st_mode)) {
		if (read(fd, buf, 63) < 0 || strtol(buf, NULL, 10) != st.st_size)
			check_failed(__FILE__, __LINE__, "%s is not whole: %ld bytes, not %s", path,
				     (long)st.st_size, buf);
	}
	close(fd);
	return r;
}

static int change(void)
{
	static const unsigned flags[] = {0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE};
	char a[64], b[64];
	struct timespec times[2] = {{(time_t)draw(1u << 30), 5}, {(time_t)draw(1u << 30), 7}};

	switch (draw(14)) {
	case 0:
		return mkdir(some(a), 0755);
	case 1:
	case 2:
	case 3:
		return write_file(some(a));
	case 4:
		return rmdir(some(a));
	case 5:
		return unlink(some(a));
	case 6:
	case 7:
		return renameat2(AT_FDCWD, some(a), AT_FDCWD, some(b), flags[draw(4)]);
	case 8:
		return link(some(a), some(b));
	case 9:
		return symlink(some(b), some(a));
	case 10:
		return list(some(a));
	case 11:
		return utimensat(AT_FDCWD, some(a), times, AT_SYMLINK_NOFOLLOW);
	case 12:
		return draw(2) ? lsetxattr(some(a), "trusted.x", a, sizeof(a), 0)
			       : lremovexattr(some(a), "trusted.x");
	default:
		return read_file(some(a));
	}
}

static void work(long seconds)
{
	time_t end = time(NULL) + seconds;
	unsigned long done = 0;

	while (time(NULL) < end)
		for (int i = 0; i < 50; i++)
			if (change() == 0)
				done++;
			else if (!is_race(errno))
				check_failed(__FILE__, __LINE__, "no race explains this");
	CHECK(done > 0);
	exit(0);
}

/* The check: names per inode, in a binary tree. */
struct count {
	ino_t ino;
	nlink_t names, nlink;
};

static void *seen;
static unsigned long total;

static int by_ino(const void *a, const void *b)
{
	ino_t x = ((const struct count *)a)->ino, y = ((const struct count *)b)->ino;

	return (x > y) - (x < y);
}

static void count_name(const struct stat *st)
{
	struct count *count = malloc(sizeof(*count)), **found;

	CHECK(count != NULL);
	*count = (struct count){.ino = st->st_ino, .nlink = st->st_nlink};
	found = tsearch(count, &seen, by_ino);
	CHECK(found != NULL);
	if (*found != count)
		free(count);
	(*found)->names++;
	CHECK((*found)->nlink == st->st_nlink);
}

static void check_count(const void *node, VISIT visit, int depth)
{
	const struct count *count = *(struct count *const *)node;

	(void)depth;
	if ((visit == postorder || visit == leaf) && count->names != count->nlink)
		check_failed(__FILE__, __LINE__, "inode %lu has %lu names and %lu links",
			     (unsigned long)count->ino, (unsigned long)count->names,
			     (unsigned long)count->nlink);
}

static void check_tree(void)
{
	nlink_t folders = 2;
	struct dirent *entry;
	struct stat st;
	DIR *dir = opendir(".");

	CHECK(dir != NULL);
	while ((errno = 0, entry = readdir(dir)) != NULL) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		st = stat_of(entry->d_name);
		CHECK(st.st_ino == entry->d_ino);
		total++;
		if (S_ISDIR(st.st_mode)) {
			folders++;
			CHECK(chdir(entry->d_name) == 0);
			check_tree();
			CHECK(chdir("..") == 0);
			continue;
		}
		count_name(&st);
		if (S_ISREG(st.st_mode))
			CHECK(read_file(entry->d_name) == 0);
	}
	CHECK(errno == 0);
	closedir(dir);
	CHECK(stat_of(".").st_nlink == folders);
}

int main(int argc, char **argv)
{
	uint64_t seed;
	int status;

	CHECK(argc >= 3 && chdir(argv[1]) == 0);
	seed = argc > 3 ? strtoull(argv[3], NULL, 10)
			: (uint64_t)time(NULL) * 1000 + (uint64_t)getpid();
	printf("stress: seed %llu\n", (unsigned long long)seed);
	fflush(stdout);
	for (unsigned who = 0; who < WORKERS && atol(argv[2]); who++) {
		pid_t child = fork();

		CHECK(child >= 0);
		if (child == 0) {
			state = (seed + who) * 2654435761u + 88172645463325252u;
			work(atol(argv[2]));
		}
	}
	while (wait(&status) > 0)
		CHECK(status == 0);
	check_tree();
	twalk(seen, check_count);
	printf("stress: %lu names stand\n", total);
	return 0;
}
