// SPDX-License-Identifier: Apache-2.0
/*
 * A pool from inside: the filesystem of fs/ in this process, without FUSE and without a kernel that
 * caches. FOLDER is an empty folder on the disk, RAM one on tmpfs.
 *
 *   inside names FOLDER RAM COUNT...    files without bytes in folders of 1000; at each COUNT (they
 *                                       grow) "COUNT CREATES LOOKUPS": operations per second of the
 *                                       last 200,000 files, and of as many names here and there
 *   inside objects FOLDER RAM COUNT     COUNT files of 1 KB, pinned to the RAM tier: "MB": what
 *                                       the process has grown by and the RAM tier's files take
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fs/fs.h"
#include "tiers/config.h"
#include "tiers/pool.h"

#define PER_FOLDER  1000u
#define SAMPLE	    200000u
#define OBJECT_SIZE 1024u

static struct fs *fs;
static uint64_t *folders; /* inodes */
static const struct fs_cred cred = {.umask = 022};

static void must(int r, const char *what)
{
	if (r < 0) {
		fprintf(stderr, "%s: %s\n", what, strerror(-r));
		exit(1);
	}
}

static double now(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static void add_tier(struct pool_config *config, const char *text)
{
	char message[256];

	if (config_add_tier(config, text, message, sizeof(message)) != 0) {
		fprintf(stderr, "%s: %s\n", text, message);
		exit(1);
	}
}

static struct pool *pool_make(const char *folder, const char *ram, const char *ram_size)
{
	const struct pool_open_options options = {0};
	struct pool_config config = {0};
	char text[512], message[256];
	struct pool *pool;

	snprintf(text, sizeof(text), "ram:path=%s,size=%s", ram, ram_size);
	add_tier(&config, text);
	snprintf(text, sizeof(text), "ssd:path=%s,codec=lz4", folder);
	add_tier(&config, text);
	must(config_finish(&config, message, sizeof(message)), "config");
	must(pool_create(&config), "pool_create");
	must(pool_open(&config, &options, &pool), "pool_open");
	must(fs_open(pool, folder, &fs), "fs_open");
	config_release(&config);
	return pool;
}

static void make_folders(uint64_t files)
{
	uint64_t n = (files + PER_FOLDER - 1) / PER_FOLDER;
	struct stat st;
	char name[32];

	folders = calloc(n, sizeof(*folders));
	if (!folders)
		must(-ENOMEM, "folders");
	for (uint64_t i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "folder %llu", (unsigned long long)i);
		must(fs_mkdir(fs, 1, name, 0755, &cred, &st), name);
		folders[i] = st.st_ino;
	}
}

static uint64_t name_of(uint64_t i, char *name, size_t cap)
{
	snprintf(name, cap, "a file's name %llu.txt", (unsigned long long)i);
	return folders[i / PER_FOLDER];
}

/* As the kernel does when it drops an inode from its cache; it drops most sooner or later. */
static void make_file(uint64_t i)
{
	struct stat st;
	char name[64];
	uint64_t folder = name_of(i, name, sizeof(name));

	must(fs_mknod(fs, folder, name, S_IFREG | 0644, 0, &cred, &st), name);
	fs_forget(fs, st.st_ino);
}

static void look_up(uint64_t i)
{
	struct stat st;
	char name[64];
	uint64_t folder = name_of(i, name, sizeof(name));

	must(fs_lookup(fs, folder, name, &st), name);
	fs_forget(fs, st.st_ino);
}

static void names(uint64_t *made, uint64_t count)
{
	uint64_t sample = count / 2 < SAMPLE ? count / 2 : SAMPLE, at = 1;
	double begin, creates, lookups;

	while (*made < count - sample)
		make_file((*made)++);
	begin = now();
	while (*made < count)
		make_file((*made)++);
	creates = (double)sample / (now() - begin);
	begin = now();
	for (uint64_t i = 0; i < sample; i++) {
		at = at * 6364136223846793005u + 1442695040888963407u;
		look_up((at >> 16) % count);
	}
	lookups = (double)sample / (now() - begin);
	printf("%llu %.0f %.0f\n", (unsigned long long)count, creates, lookups);
	fflush(stdout);
}

static uint64_t rss_bytes(void)
{
	unsigned long long pages = 0, shared = 0;
	FILE *file = fopen("/proc/self/statm", "re");

	if (!file || fscanf(file, "%*u %llu %llu", &pages, &shared) != 2)
		must(-EIO, "/proc/self/statm");
	fclose(file);
	return (pages - shared) * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* What is pinned to memory is fetched by a thread of the pool, a few times each second. */
static void wait_for_pins(struct pool *pool, uint64_t bytes, struct pool_usage *usage)
{
	for (int i = 0; i < 600; i++) {
		pool_usage(pool, usage);
		if (usage->tiers[0].pinned >= bytes && !usage->tiers[0].unpinned)
			return;
		usleep(100000);
	}
	fprintf(stderr, "%llu bytes are pinned to the RAM tier, and %llu not there\n",
		(unsigned long long)usage->tiers[0].pinned,
		(unsigned long long)usage->tiers[0].unpinned);
	exit(1);
}

static uint64_t folder_bytes;

static int add_file(const char *path, const struct stat *st, int what, struct FTW *ftw)
{
	(void)path;
	(void)ftw;
	folder_bytes += what == FTW_F ? (uint64_t)st->st_blocks * 512 : 0;
	return 0;
}

/* The RAM tier is both: decoded blocks in this process, and files on tmpfs. */
static void objects(struct pool *pool, const char *ram, uint64_t count)
{
	uint64_t before = rss_bytes(), process;
	char text[OBJECT_SIZE], name[64];
	struct pool_usage *usage = calloc(1, sizeof(*usage));
	struct inode *inode;
	struct stat st;

	if (!usage)
		must(-ENOMEM, "usage");
	must(fs_setxattr(fs, 1, "user.terrace.pin", "ram", 3, 0, &cred), "user.terrace.pin");
	for (uint64_t i = 0; i < count; i++) {
		uint64_t folder = name_of(i, name, sizeof(name));

		for (unsigned at = 0; at < OBJECT_SIZE; at++)
			text[at] = (char)('a' + (i + at * at / 7) % 13);
		must(fs_create(fs, folder, name, 0644, O_WRONLY, &cred, &st, &inode), name);
		must(fs_write(fs, inode, text, sizeof(text), 0, 0), name);
		fs_file_close(fs, inode, O_WRONLY);
		fs_forget(fs, st.st_ino);
	}
	must(pool_sync(pool), "pool_sync");
	wait_for_pins(pool, count * sizeof(text), usage);
	process = rss_bytes() - before;
	if (nftw(ram, add_file, 16, FTW_PHYS) != 0)
		must(-errno, ram);
	printf("%.0f\n", (double)(process + folder_bytes) / 1e6);
	fprintf(stderr, "process %.0f MB, files of the RAM tier %.0f MB\n", (double)process / 1e6,
		(double)folder_bytes / 1e6);
	free(usage);
}

int main(int argc, char **argv)
{
	bool is_names = argc >= 5 && !strcmp(argv[1], "names");
	uint64_t most = argc >= 5 ? strtoull(argv[argc - 1], NULL, 10) : 0, made = 0;
	struct pool *pool;

	if (!most || (!is_names && (argc != 5 || strcmp(argv[1], "objects") != 0))) {
		fprintf(stderr, "usage: inside names|objects FOLDER RAM COUNT...\n");
		return 2;
	}
	pool = pool_make(argv[2], argv[3], is_names ? "256M" : "2G");
	make_folders(most);
	if (is_names)
		for (int i = 4; i < argc; i++)
			names(&made, strtoull(argv[i], NULL, 10));
	else
		objects(pool, argv[3], most);
	fs_close(fs);
	free(folders);
	must(pool_close(pool), "pool_close");
	return 0;
}
